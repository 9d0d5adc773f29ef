//! Giving up a mutation in the middle of others of its row.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that can't go on stops, and waits in real time"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use larder::{ErrorKind, Model, OutboxSettings, ReadPolicy, Repository, RowState, Select};
use support::{Note, Switches, Turn, local, note, settled, soon};

const HOUR: Duration = Duration::from_secs(3600);

/// A repository that sends nothing yet, with a row that the server has.
async fn paused() -> (Arc<Switches>, Repository) {
    let net = Switches::new();
    let repo = support::stepwise(&net).build().await.unwrap();
    repo.upsert(&note("1", "old", 0)).await.unwrap().accepted().await.unwrap();
    repo.outbox().pause();
    soon(repo.outbox().drain()).await;
    (net, repo)
}

async fn discard_nth(repo: &Repository, nth: usize) {
    let seq = repo.outbox().list(0, 10).await.unwrap()[nth].seq;
    repo.outbox().discard(seq).await.unwrap();
}

async fn arrives(net: &Arc<Switches>, repo: &Repository, seen: &[&str], rows: &[(&str, &str)]) {
    let before = net.seen().len();
    repo.outbox().resume();
    soon(settled(repo)).await;
    assert_eq!(net.seen()[before..], *seen);
    let rows: Vec<_> = rows.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect();
    assert_eq!(net.notes().await, rows);
    let here = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    let here: Vec<_> = here.iter().map(|note| (note.id.clone(), note.text.clone())).collect();
    assert_eq!(here, rows);
}

#[tokio::test]
async fn giving_up_a_delete_makes_the_creation_after_it_an_update() {
    let (net, repo) = paused().await;
    let _ = repo.delete::<Note>("1").await.unwrap();
    let _ = repo.upsert(&note("1", "again", 0)).await.unwrap();
    discard_nth(&repo, 0).await;
    arrives(&net, &repo, &["update 1"], &[("1", "again")]).await;
}

#[tokio::test]
async fn giving_up_the_newest_change_leaves_the_older_ones_pending() {
    let (net, repo) = paused().await;
    let _ = repo.upsert(&note("1", "first", 0)).await.unwrap();
    let second = repo.upsert(&note("1", "second", 0)).await.unwrap();
    discard_nth(&repo, 1).await;
    assert_eq!(second.accepted().await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Pending);
    repo.sync().await.unwrap();
    assert_eq!(repo.find::<Note>("1").await.unwrap().unwrap().text, "first", "no pull overwrites it");
    arrives(&net, &repo, &["update 1"], &[("1", "first")]).await;
}

#[tokio::test]
async fn giving_up_a_change_in_the_middle_keeps_those_around_it() {
    let (net, repo) = paused().await;
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    let _ = repo.update(&row, |note| note.text = "first".into()).await.unwrap();
    let _ = repo.update(&row, |note| note.stars = 5).await.unwrap();
    let _ = repo.update(&row, |note| note.tag = Some("third".into())).await.unwrap();
    discard_nth(&repo, 1).await;
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    assert_eq!((row.text.as_str(), row.stars, row.tag.as_deref()), ("first", 0, Some("third")));
    let _ = repo.update(&row, |note| note.stars = 9).await.unwrap();
    discard_nth(&repo, 0).await;
    arrives(&net, &repo, &["update 1", "update 1"], &[("1", "old")]).await;
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    assert_eq!((row.stars, row.tag.as_deref()), (9, Some("third")));
}

#[tokio::test]
async fn giving_up_a_creation_keeps_a_later_creation_and_an_earlier_delete() {
    let (net, repo) = paused().await;
    for id in ["1", "new"] {
        if id == "1" {
            let _ = repo.delete::<Note>(id).await.unwrap();
        }
        let _ = repo.upsert(&note(id, "a", 0)).await.unwrap();
        let _ = repo.upsert(&note(id, "b", 0)).await.unwrap();
        let _ = repo.delete::<Note>(id).await.unwrap();
        let _ = repo.upsert(&note(id, "c", 0)).await.unwrap();
    }
    discard_nth(&repo, 1).await;
    let new =
        repo.outbox().list(0, 20).await.unwrap().into_iter().find(|entry| entry.key == "new".into()).unwrap();
    repo.outbox().discard(new.seq).await.unwrap();
    arrives(&net, &repo, &["delete 1", "insert new", "insert 1"], &[("1", "c"), ("new", "c")]).await;
}

#[tokio::test]
async fn giving_up_a_creation_after_a_delete_leaves_the_delete() {
    let (net, repo) = paused().await;
    let _ = repo.delete::<Note>("1").await.unwrap();
    let _ = repo.upsert(&note("1", "again", 0)).await.unwrap();
    discard_nth(&repo, 1).await;
    repo.sync().await.unwrap();
    assert!(local(&repo).await.is_empty(), "no pull brings it back");
    arrives(&net, &repo, &["delete 1"], &[]).await;
}

// Rules: o-coalesce-sent, o-entry
#[tokio::test]
async fn giving_up_a_later_change_alters_nothing_that_may_have_been_sent() {
    let net = Switches::new();
    // What got no answer does not go again by itself before the end.
    let settings = OutboxSettings::new().without_coalescing().backoff(HOUR, HOUR);
    let repo = support::builder(&net).outbox(settings).build().await.unwrap();
    repo.upsert(&note("1", "old", 0)).await.unwrap().accepted().await.unwrap();
    net.next(Turn::LoseReply);
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    let first = repo.update(&row, |note| note.text = "mine".into()).await.unwrap();
    soon(async {
        while net.seen().len() < 2 {
            tokio::task::yield_now().await;
        }
        repo.outbox().pause();
        repo.outbox().drain().await;
    })
    .await;
    // What somebody else has made of the row is kept beside it.
    net.elsewhere(note("1", "mine", 7)).await;
    repo.sync().await.unwrap();
    let _ = repo.update(&first, |note| note.tag = Some("later".into())).await.unwrap();
    discard_nth(&repo, 1).await;
    repo.outbox().resume();
    soon(settled(&repo)).await;
    let sent = net.applied.lock().unwrap()[1..].to_vec();
    assert!(sent.len() >= 2 && sent.iter().all(|again| again.id == sent[0].id), "{sent:?}");
    for again in &sent {
        let rows = [&sent[0], again].map(|sent| Note::from_row(&**sent.row.as_ref().unwrap()).unwrap());
        assert_eq!(rows[0], rows[1], "what goes again under an identity is what went");
        assert_eq!((again.operation, &again.base_version), (sent[0].operation, &sent[0].base_version));
    }
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    assert_eq!((row.text.as_str(), row.stars, row.tag.as_deref()), ("mine", 7, None));
}
