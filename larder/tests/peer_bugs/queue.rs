//! What gets into the queue, and in which order it leaves it.

use larder::{ErrorKind, Operation, OutboxSettings, ParkReason, Repository};

use crate::reading::{Album, Track, album, track};
use crate::support::{self, Note, Switches, Turn, local, note, parked, repo, settled, soon};

async fn albums(net: &std::sync::Arc<Switches>) -> Repository {
    support::builder(net).model::<Album>().model::<Track>().build().await.unwrap()
}

/// oxigdal-offline queued none; Brick 102 and 571: the deletion of a row that was not loaded threw.
// Rules: w-delete
#[tokio::test]
async fn a_delete_is_stored_locally_and_never_queued_and_one_of_a_row_that_was_not_loaded_throws() {
    let net = Switches::new();
    let repo = repo(&net).await;
    for key in ["1", "2", "3"] {
        net.elsewhere(note(key, "", 0)).await;
    }
    // One is here, another is not, of the third nobody has heard.
    let loaded = repo.find::<Note>("1").await.unwrap().unwrap();
    net.offline(true);
    let by_model = repo.delete::<Note>(&*loaded).await.unwrap();
    let by_key = repo.delete::<Note>("2").await.unwrap();
    let _ = repo.delete::<Note>("nowhere").await.unwrap();
    let queued = repo.outbox().list(0, 10).await.unwrap();
    assert_eq!(queued.len(), 3);
    assert!(queued.iter().all(|queued| queued.operation == Operation::Delete));
    assert!(local(&repo).await.is_empty());
    net.offline(false);
    soon(by_model.accepted()).await.unwrap();
    soon(by_key.accepted()).await.unwrap();
    settled(&repo).await;
    assert_eq!(net.notes().await, [("3".to_owned(), String::new())]);
}

/// cht-core 6103: the server refused the child; matrix-rust-sdk 4389: a later message went before a failed one.
// Rules: o-dependencies, o-lanes
#[tokio::test]
async fn the_child_is_pushed_before_its_parent_and_a_later_message_overtakes_a_failed_one() {
    let net = Switches::new();
    let repo = albums(&net).await;
    repo.outbox().pause();
    let _ = repo.upsert(&album(1)).await.unwrap();
    let child = repo.upsert(&track(7, 1)).await.unwrap();
    let _ = repo.upsert(&Album { title: "renamed".into(), ..album(1) }).await.unwrap();
    for turn in [Turn::Unreachable, Turn::Say(ErrorKind::Http { status: 500 }, 500), Turn::LoseReply] {
        net.next(turn);
    }
    repo.outbox().resume();
    soon(child.accepted()).await.unwrap();
    soon(settled(&repo)).await;
    let seen = net.seen();
    let first = |what: &str| seen.iter().position(|seen| seen == what).unwrap();
    assert!(first("insert 1") < first("insert 7"), "{seen:?}");
    // The new title went with the creation, or after it.
    let renamed = seen.iter().position(|seen| seen == "update 1");
    assert!(renamed.is_none_or(|renamed| first("insert 1") < renamed), "{seen:?}");
    assert_eq!(repo.find::<Album>(1_u32).await.unwrap().unwrap().title, "renamed");

    // A parent that is refused for good takes the child along, and nothing else.
    net.poison("2", Turn::Say(ErrorKind::Rejected, 422));
    repo.upsert(&album(2)).await.unwrap().accepted().await.unwrap_err();
    let _ = repo.upsert(&track(8, 2)).await.unwrap();
    soon(repo.upsert(&track(9, 1)).await.unwrap().accepted()).await.unwrap();
    assert_eq!(parked(&repo, 1).await[0].parked, Some(ParkReason::Rejected));
    assert!(!net.seen().contains(&"insert 8".to_owned()));
    assert_eq!(repo.status().pending, 1);
}

/// How it was a month ago, and how it is now.
#[cfg(feature = "redb")]
mod versions {
    pub(super) mod then {
        #[derive(larder::Model, Clone, Debug, PartialEq)]
        #[model(name = "Note")]
        pub(crate) struct Note {
            #[model(key)]
            pub(crate) id: String,
            pub(crate) text: String,
            pub(crate) stars: i64,
            /// A number, written as text.
            pub(crate) tag: i64,
        }
    }

    pub(super) mod now {
        #[derive(larder::Model, Clone, Debug, PartialEq)]
        #[model(name = "Note", version = 2, migrate(1 => "super::say_tags"))]
        pub(crate) struct Note {
            #[model(key)]
            pub(crate) id: String,
            #[model(alias = "text")]
            pub(crate) body: String,
            pub(crate) stars: i64,
            pub(crate) tag: Option<String>,
        }
    }

    fn say_tags(row: &mut larder::OldRow) -> Result<(), String> {
        let tag = row.int("tag")?;
        row.set("tag", (tag != 0).then(|| format!("tag {tag}")));
        Ok(())
    }
}

/// Its queue was written by a version of the application that nobody has any more.
// Rules: m-evolve-queued, o-marked
#[tokio::test(flavor = "multi_thread")]
#[cfg(feature = "redb")]
async fn a_device_offline_for_a_month_comes_back_with_a_queue_written_by_an_older_app_version() {
    use larder::{Model as _, Redb};
    use versions::{now, then};

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.redb");
    let settings = || {
        OutboxSettings::new()
            .backoff(std::time::Duration::from_millis(1), std::time::Duration::from_millis(20))
    };
    let builder = |net: &std::sync::Arc<Switches>| {
        Repository::builder().store(Redb::at(&file)).remote(support::Net(net.clone())).outbox(settings())
    };
    let net = Switches::new();
    net.offline(true);
    let repo = builder(&net).model::<then::Note>().build().await.unwrap();
    let old = |id: &str, tag| then::Note { id: id.into(), text: format!("text {id}"), stars: 5, tag };
    let _ = repo.upsert_many(&[old("1", 0), old("2", 3)]).await.unwrap();
    let _ = repo.delete::<then::Note>("3").await.unwrap();
    repo.close().await;

    let net = Switches::new();
    let repo = builder(&net).model::<now::Note>().build().await.unwrap();
    soon(settled(&repo)).await;
    let applied = net.applied.lock().unwrap().clone();
    let sent: Vec<_> = applied
        .iter()
        .filter_map(|sent| sent.row.as_ref())
        .map(|row| now::Note::from_row(&**row).unwrap())
        .collect();
    let new = |id: &str, tag: Option<&str>| now::Note {
        id: id.into(),
        body: format!("text {id}"),
        stars: 5,
        tag: tag.map(Into::into),
    };
    assert_eq!(sent, [new("1", None), new("2", Some("tag 3"))]);
    assert_eq!(net.seen(), ["insert 1", "insert 2", "delete 3"]);
    assert!(repo.check().await.unwrap().is_sound());
    repo.close().await;
}
