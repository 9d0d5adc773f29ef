//! An application that comes back in a newer version: its rows, and what it had queued.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use larder::{Error, ErrorKind, Model, Redb, Repository, Value};
use support::{Net, Switches, settled};

mod then {
    #[derive(larder::Model, Clone, Debug, PartialEq)]
    #[model(name = "Note")]
    pub(super) struct Note {
        #[model(key)]
        pub(super) id: String,
        pub(super) text: String,
        /// A number, written as text.
        pub(super) stars: String,
    }
}

mod now {
    #[derive(larder::Model, Clone, Debug, PartialEq)]
    #[model(name = "Note", version = 2, migrate(1 => "super::count_stars"))]
    pub(super) struct Note {
        #[model(key)]
        pub(super) id: String,
        pub(super) text: String,
        #[model(index)]
        pub(super) stars: i64,
        pub(super) tag: Option<String>,
    }
}

fn count_stars(row: &mut larder::OldRow) -> Result<(), String> {
    let stars: i64 = row.text("stars")?.parse().map_err(|_| "`stars` is no number".to_owned())?;
    row.set("stars", stars);
    row.set("tag", Value::Null);
    Ok(())
}

async fn open<M: Model>(file: &Path, net: &Arc<Switches>) -> Result<Repository, Error> {
    Repository::builder()
        .store(Redb::at(file))
        .remote(Net(Arc::clone(net)))
        .model::<M>()
        .outbox(
            larder::OutboxSettings::new()
                .without_coalescing()
                .backoff(Duration::from_millis(1), Duration::from_millis(20)),
        )
        .build()
        .await
}

fn old(id: &str, text: &str, stars: &str) -> then::Note {
    then::Note { id: id.into(), text: text.into(), stars: stars.into() }
}

fn new(id: &str, text: &str, stars: i64) -> now::Note {
    now::Note { id: id.into(), text: text.into(), stars, tag: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_queued_by_an_older_version_is_sent_as_todays() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    net.offline(true);
    let repo = open::<then::Note>(&file, &net).await.unwrap();
    let _ = repo.upsert(&old("1", "first", "3")).await.unwrap();
    let _ = repo.upsert(&old("1", "second", "4")).await.unwrap();
    repo.close().await;

    // The server knows today's version.
    let net = Switches::new();
    net.offline(true);
    let repo = open::<now::Note>(&file, &net).await.unwrap();
    assert_eq!(*repo.find::<now::Note>("1").await.unwrap().unwrap(), new("1", "second", 4));
    assert_eq!(repo.get(now::Note::STARS.gt(3)).await.unwrap().len(), 1, "over the index");
    let queued = repo.outbox().list(0, 10).await.unwrap();
    assert!(queued.iter().all(|queued| queued.changed.contains(&"stars")), "{queued:?}");
    net.offline(false);
    settled(&repo).await;
    let sent: Vec<_> = net
        .applied
        .lock()
        .unwrap()
        .iter()
        .filter_map(|mutation| now::Note::from_row(&**mutation.row.as_ref()?).ok())
        .collect();
    assert_eq!(sent.last(), Some(&new("1", "second", 4)));
    assert!(sent.iter().all(|note| note.stars >= 3));
    repo.close().await;
    // What this version has written, the older one leaves alone.
    let refused = open::<then::Note>(&file, &net).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

// Rules: m-evolve-queued
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_migrated_holds_back_its_row_and_no_other() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    net.offline(true);
    let repo = open::<then::Note>(&file, &net).await.unwrap();
    for (text, stars) in [("first", "1"), ("second", "many"), ("third", "3")] {
        let _ = repo.upsert(&old("odd", text, stars)).await.unwrap();
    }
    let _ = repo.upsert(&old("even", "other", "5")).await.unwrap();
    repo.close().await;

    let net = Switches::new();
    net.offline(true);
    let repo = open::<now::Note>(&file, &net).await.unwrap();
    // The second can't be read, nor can the third, which was made from it; what is written now comes after both.
    let _ = repo.upsert(&new("odd", "fourth", 4)).await.unwrap();
    net.offline(false);
    repo.outbox().drain().await;
    let mut sent: Vec<(String, String)> = net
        .applied
        .lock()
        .unwrap()
        .iter()
        .filter_map(|mutation| now::Note::from_row(&**mutation.row.as_ref()?).ok())
        .map(|note| (note.id, note.text))
        .collect();
    sent.sort();
    let expected = [("even", "other"), ("odd", "first")].map(|(id, text)| (id.to_owned(), text.to_owned()));
    assert_eq!(sent, expected, "nothing overtakes what can't be sent");
    assert_eq!(repo.status().parked, 2);
    let left = repo.outbox().list(0, 10).await.unwrap();
    assert_eq!(left.iter().map(|queued| queued.key.to_string()).collect::<Vec<_>>(), ["odd"]);
    assert_eq!(left[0].parked, None);
    assert_eq!(repo.find::<now::Note>("odd").await.unwrap().unwrap().text, "fourth");
    repo.close().await;
}

#[tokio::test]
async fn all_is_rewritten_with_progress_and_reads_the_same() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    net.offline(true);
    let repo = open::<then::Note>(&file, &net).await.unwrap();
    let notes: Vec<_> = (0..1500).map(|id| old(&format!("{id:04}"), "text", &id.to_string())).collect();
    repo.upsert_many(&notes).await.unwrap();
    let _ = repo.upsert(&old("9999", "odd", "many")).await.unwrap();
    repo.close().await;

    let net = Switches::new();
    net.offline(true);
    // Paused: an entry that is about to be sent is written anew by that, and is none that is left to rewrite.
    let builder = Repository::builder().store(Redb::at(&file)).remote(Net(Arc::clone(&net))).paused();
    let repo = builder.model::<now::Note>().build().await.unwrap();
    let mut seen = Vec::new();
    let report = repo.migrate(|so_far| seen.push(so_far.rows + so_far.entries)).await.unwrap();
    assert_eq!((report.rows, report.entries), (1500, 1500));
    assert!(seen.len() >= 3 && seen.is_sorted(), "{seen:?}");
    let failed: Vec<_> = report.failed.iter().filter_map(Error::row_key).collect();
    assert_eq!(failed, ["9999", "#1501"], "the row and its entry");
    assert_eq!(repo.find::<now::Note>("0007").await.unwrap().unwrap().stars, 7);
    repo.close().await;
}

mod later {
    #[derive(larder::Model, Clone, Debug, PartialEq)]
    #[model(name = "Note", version = 3, migrate(1 => "super::count_stars", 2 => "super::shout"))]
    pub(super) struct Note {
        #[model(key)]
        pub(super) id: String,
        pub(super) text: String,
        #[model(index)]
        pub(super) stars: i64,
        pub(super) tag: Option<String>,
        pub(super) loud: String,
    }
}

fn shout(row: &mut larder::OldRow) -> Result<(), String> {
    let loud = row.text("text")?.to_uppercase();
    row.set("loud", loud);
    Ok(())
}

/// Gives up the rewriting as soon as some of it is done.
async fn rewrite_in_part(repo: &Repository) -> u64 {
    let (enough, told) = tokio::sync::oneshot::channel();
    let (mut enough, mut rewritten) = (Some(enough), 0);
    let rewriting = repo.migrate(|so_far| {
        rewritten = so_far.rows;
        if let Some(enough) = enough.take() {
            let _ = enough.send(());
        }
    });
    tokio::select! {
        biased;
        _ = told => {}
        report = rewriting => panic!("it has come to its end: {report:?}"),
    }
    rewritten
}

// Rules: m-evolve-at-once, m-evolve-migrate
#[tokio::test]
async fn a_store_that_was_rewritten_in_part_opens_in_any_later_version() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    net.offline(true);
    let repo = open::<then::Note>(&file, &net).await.unwrap();
    let notes: Vec<_> = (0..2000).map(|id| old(&format!("{id:04}"), "text", &id.to_string())).collect();
    let _ = repo.upsert_many(&notes).await.unwrap();
    repo.close().await;

    let open_paused = async || {
        let builder = Repository::builder().store(Redb::at(&file)).remote(Net(Arc::clone(&net))).paused();
        builder.model::<now::Note>().build().await.unwrap()
    };
    let repo = open_paused().await;
    let some = rewrite_in_part(&repo).await;
    assert!(some > 0 && some < 2000, "{some}");
    let _ = repo.upsert(&new("0003", "rewritten by hand", 7)).await.unwrap();
    repo.close().await;
    let repo = open_paused().await;
    let all = repo.get(now::Note::STARS.ge(0)).await.unwrap();
    assert_eq!(all.len(), 2000);
    assert!(all.iter().enumerate().all(|(at, note)| note.stars == at as i64 || note.id == "0003"));
    repo.close().await;

    // Rows of the first version lie beside rows of the second.
    let builder = Repository::builder().store(Redb::at(&file)).remote(Net(Arc::clone(&net))).paused();
    let repo = builder.model::<later::Note>().build().await.unwrap();
    let all = repo.get(later::Note::STARS.ge(0)).await.unwrap();
    assert!(all.iter().all(|note| note.loud == note.text.to_uppercase()));
    assert_eq!(repo.get(later::Note::STARS.eq(7)).await.unwrap().len(), 2, "the index has followed");
    let report = repo.migrate(|_| {}).await.unwrap();
    assert_eq!((report.rows, report.failed.len()), (2000, 0));
    assert_eq!(repo.get(later::Note::STARS.ge(0)).await.unwrap()[..], all[..]);
    repo.close().await;
}

mod hasty {
    #[derive(larder::Model, Clone, Debug, PartialEq)]
    #[model(name = "Note", version = 3, migrate(1 => "super::count_stars", 2 => "super::shout_or_panic"))]
    pub(super) struct Note {
        #[model(key)]
        pub(super) id: String,
        pub(super) text: String,
        #[model(index)]
        pub(super) stars: i64,
        pub(super) tag: Option<String>,
        pub(super) loud: String,
    }
}

fn shout_or_panic(row: &mut larder::OldRow) -> Result<(), String> {
    assert_ne!(row.text("text")?, "odd", "whoever wrote this step did not think of it");
    shout(row)
}

// Rules: m-evolve-migrate
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_panics_spoils_its_row_and_no_other() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    net.offline(true);
    let repo = open::<then::Note>(&file, &net).await.unwrap();
    let local = repo.writing(larder::WritePolicy::LocalOnly);
    for (id, text) in [("1", "one"), ("2", "odd"), ("3", "three")] {
        let _ = local.upsert(&old(id, text, "5")).await.unwrap();
    }
    drop(local);
    repo.close().await;

    let repo = open::<hasty::Note>(&file, &net).await.unwrap();
    let here = repo.reading(larder::ReadPolicy::LocalOnly);
    let error = here.find::<hasty::Note>("2").await.unwrap_err();
    assert_eq!((error.kind(), error.row_key()), (ErrorKind::Serialization, Some("2")), "{error}");
    assert_eq!(here.find::<hasty::Note>("1").await.unwrap().unwrap().loud, "ONE");
    assert_eq!(here.find::<hasty::Note>("3").await.unwrap().unwrap().loud, "THREE");
    let written = hasty::Note {
        loud: "NEW".into(),
        ..(*here.find::<hasty::Note>("1").await.unwrap().unwrap()).clone()
    };
    let _ = repo.writing(larder::WritePolicy::LocalOnly).upsert(&written).await.unwrap();
    let report = repo.migrate(|_| {}).await.unwrap();
    let failed: Vec<_> = report.failed.iter().filter_map(Error::row_key).collect();
    assert_eq!(failed, ["2"]);
    drop(here);
    repo.close().await;

    // A step that is mended reads it.
    let repo = open::<later::Note>(&file, &net).await.unwrap();
    let here = repo.reading(larder::ReadPolicy::LocalOnly);
    assert_eq!(here.find::<later::Note>("2").await.unwrap().unwrap().loud, "ODD");
    assert_eq!(here.find::<later::Note>("1").await.unwrap().unwrap().loud, "NEW");
    drop(here);
    repo.close().await;
}
