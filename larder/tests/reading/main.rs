//! Reads: the five policies, what is known, and what an outage looks like.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

#[path = "../support/mod.rs"]
mod support;

mod asking;
mod coverage;
mod deleting;
mod flights;
mod interleaved;
mod iterating;
mod policies;
mod standing;
mod streams;
mod together;

use std::sync::Arc;
use std::time::Duration;

use larder::ReadPolicy::{LocalOnly, LocalThenRemote, RemoteFirst, RemoteOnly};
use larder::{Builder, ErrorKind, Memory, Model, Origin, Repository, Select};
use rstest::rstest;
use support::{Note, Switches, note, repo, settled};

/// What a read gave: the texts, or the kind of the error.
async fn texts(repo: &Repository) -> Result<Vec<String>, ErrorKind> {
    let rows = repo.get(Select::<Note>::all()).await.map_err(|error| error.kind())?;
    Ok(rows.iter().map(|note| note.text.clone()).collect())
}

// Rules: r-remote-first-offline, r-origin
#[tokio::test]
async fn a_stale_answer_says_so() {
    let net = Switches::new();
    let repo = repo(&net).await.reading(RemoteFirst);
    net.elsewhere(note("1", "text", 0)).await;
    let fresh = repo.get(Select::<Note>::all()).await.unwrap();
    assert_eq!((fresh.origin(), fresh.stale().is_none(), fresh.is_complete()), (Origin::Remote, true, true));
    net.offline(true);
    let stale = repo.get(Select::<Note>::all()).await.unwrap();
    assert_eq!(stale.stale().map(larder::Error::kind), Some(ErrorKind::Offline));
    assert_eq!((stale.len(), stale.origin()), (1, Origin::Local));
}

// Rules: r-coverage
#[tokio::test]
async fn a_few_cached_rows_do_not_suppress_the_first_fetch_of_a_list() {
    let net = Switches::new();
    let repo = repo(&net).await;
    for id in ["1", "2", "3"] {
        net.elsewhere(note(id, "theirs", 0)).await;
    }
    assert!(repo.find::<Note>("2").await.unwrap().is_some());
    assert_eq!(repo.get(Note::TEXT.eq("theirs")).await.unwrap().len(), 3);
    let reads = net.reads();
    assert_eq!(repo.get(Note::TEXT.eq("theirs")).await.unwrap().len(), 3);
    assert_eq!(net.reads(), reads, "the second answer is known locally");
}

// Rules: r-then-remote
#[tokio::test]
async fn local_then_remote_refreshes_behind_the_answer() {
    let net = Switches::new();
    let repo = repo(&net).await.reading(LocalThenRemote);
    net.elsewhere(note("1", "old", 0)).await;
    assert_eq!(texts(&repo).await.unwrap(), ["old"]);
    net.elsewhere(note("1", "new", 0)).await;
    let mut live = repo.reading(LocalOnly).watch(Select::<Note>::all()).unwrap();
    assert_eq!(live.next().await.unwrap().unwrap()[0].text, "old");
    assert_eq!(texts(&repo).await.unwrap(), ["old"]);
    assert_eq!(live.next().await.unwrap().unwrap()[0].text, "new");
}

// Rules: r-max-age
#[tokio::test]
async fn max_age_makes_what_is_known_expire() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.elsewhere(note("1", "old", 0)).await;
    assert_eq!(texts(&repo).await.unwrap(), ["old"]);
    net.elsewhere(note("1", "new", 0)).await;
    assert_eq!(texts(&repo).await.unwrap(), ["old"]);
    assert_eq!(texts(&repo.max_age(Duration::ZERO)).await.unwrap(), ["new"]);
}

// Rules: r-from-store, r-origin, s-pending
#[tokio::test]
async fn pending_edits_are_visible_in_every_answer_and_no_pull_overwrites_them() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.elsewhere(note("1", "theirs", 0)).await;
    repo.sync().await.unwrap();
    repo.outbox().pause();
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    let _ = repo.update(&row, |note| note.text = "mine".into()).await.unwrap();
    let answer = repo.reading(RemoteOnly).get(Select::<Note>::all()).await.unwrap();
    assert_eq!((answer[0].text.as_str(), answer.pending()), ("mine", 1));
}

// Rules: r-absence, s-delete
#[tokio::test]
async fn rows_that_are_gone_at_the_remote_go_but_not_what_is_pending() {
    let net = Switches::new();
    let repo = repo(&net).await;
    for id in ["1", "2"] {
        net.elsewhere(note(id, "theirs", 0)).await;
    }
    repo.sync().await.unwrap();
    net.delete_elsewhere("1").await;
    net.offline(true);
    let _ = repo.upsert(&note("3", "mine", 0)).await.unwrap();
    net.offline(false);
    repo.outbox().pause();
    repo.sync().await.unwrap();
    let left: Vec<_> =
        repo.get(Select::<Note>::all()).await.unwrap().iter().map(|note| note.id.clone()).collect();
    assert_eq!(left, ["2", "3"]);
}

// Rules: r-coverage, r-exists
#[tokio::test]
async fn a_key_that_was_deleted_here_is_known_to_be_gone() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.elsewhere(note("1", "theirs", 0)).await;
    repo.sync().await.unwrap();
    net.offline(true);
    let _ = repo.delete::<Note>("1").await.unwrap();
    assert!(repo.find::<Note>("1").await.unwrap().is_none());
    assert!(!repo.exists(Select::<Note>::key("1")).await.unwrap());
    net.offline(false);
    settled(&repo).await;
}

// Rules: r-single-flight
#[tokio::test]
async fn identical_fetches_in_flight_are_one() {
    let net = Switches::new();
    let repo = repo(&net).await.reading(RemoteOnly);
    net.elsewhere(note("1", "text", 0)).await;
    let gets = (0..10).map(|_| repo.get(Select::<Note>::all()));
    for answer in futures_util::future::join_all(gets).await {
        assert_eq!(answer.unwrap().len(), 1);
    }
    assert_eq!(net.reads(), 1);
}

// Rules: r-watch, r-watch-empty
#[tokio::test]
async fn a_watch_gives_the_local_answer_then_the_remotes_then_every_change_and_emptiness() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.elsewhere(note("1", "theirs", 5)).await;
    let mut live = repo.watch(Note::STARS.gt(3)).unwrap();
    assert_eq!(live.next().await.unwrap().unwrap().len(), 0);
    assert_eq!(live.next().await.unwrap().unwrap().len(), 1);
    let _ = repo.upsert(&note("2", "mine", 9)).await.unwrap();
    let mut len = live.next().await.unwrap().unwrap().len();
    assert_eq!(len, 2);
    let _ = repo.delete(Note::STARS.gt(0)).await.unwrap();
    while len > 0 {
        // The row's confirmation may come in between.
        len = live.next().await.unwrap().unwrap().len();
    }
}

// Rules: r-watch-outage, r-empty
#[tokio::test]
async fn an_outage_is_an_item_of_a_watch_and_not_its_end() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.offline(true);
    let mut live = repo.watch(Select::<Note>::all()).unwrap();
    assert!(live.next().await.unwrap().unwrap().is_empty());
    assert_eq!(live.next().await.unwrap().unwrap_err().kind(), ErrorKind::Offline);
    let _ = repo.upsert(&note("1", "mine", 0)).await.unwrap();
    assert_eq!(live.next().await.unwrap().unwrap().len(), 1);
}

// Rules: r-cache
#[rstest]
#[case::cached(Builder::CACHE_SIZE)]
#[case::crowded(2000)]
#[case::off(0)]
#[tokio::test]
async fn the_cache_never_shows_an_older_row(#[case] capacity: usize) {
    let repo = Repository::builder()
        .store(Memory::new())
        .model::<Note>()
        .cache_size(capacity)
        .build()
        .await
        .unwrap();
    let writers = (0..4).map(|writer| {
        let repo = repo.clone();
        tokio::spawn(async move {
            for round in 0..200_i64 {
                let id = format!("{}", round % 5);
                let written = note(&id, "text", round * 4 + writer);
                let _ = repo.upsert(&written).await.unwrap();
                assert!(repo.find::<Note>(id.as_str()).await.unwrap().is_some());
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    for id in 0..5 {
        let id = id.to_string();
        let cached = repo.find::<Note>(id.as_str()).await.unwrap().unwrap();
        let stored = repo.get(Note::ID.eq(id)).await.unwrap();
        assert_eq!(*cached, *stored[0]);
    }
}

#[tokio::test]
async fn a_cached_row_is_handed_out_without_being_copied() {
    let repo = Repository::builder().store(Memory::new()).model::<Note>().build().await.unwrap();
    let stored = repo.upsert(&note("1", "text", 0)).await.unwrap().into_row();
    let found = repo.find::<Note>("1").await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&stored, &found));
}

// Rules: r-local-only, r-remote-only-offline
#[tokio::test]
async fn without_a_remote_everything_is_local() {
    let repo = Repository::builder().store(Memory::new()).model::<Note>().build().await.unwrap();
    assert!(repo.find::<Note>("1").await.unwrap().is_none());
    assert!(repo.get(Select::<Note>::all()).await.unwrap().is_empty());
    assert_eq!(texts(&repo.reading(RemoteOnly)).await, Err(ErrorKind::Offline));
    assert!(!repo.upsert(&note("1", "text", 0)).await.unwrap().is_queued());
    assert_eq!(repo.sync().await.unwrap_err().kind(), ErrorKind::Offline);
    assert_eq!(Note::schema().model, "Note");
}

#[tokio::test]
async fn a_list_that_tells_no_versions_takes_none_away_from_rows_that_are_what_they_were() {
    let net = Switches::new();
    *net.lists_without_versions.lock().unwrap() = true;
    let repo = repo(&net).await;
    for id in ["1", "2"] {
        repo.upsert(&note(id, "mine", 0)).await.unwrap().accepted().await.unwrap();
    }
    net.elsewhere(note("2", "theirs", 0)).await;
    assert_eq!(repo.sync().await.unwrap().changed, 1);
    for id in ["1", "2"] {
        let row = repo.find::<Note>(id).await.unwrap().unwrap();
        repo.update(&row, |note| note.stars = 1).await.unwrap().accepted().await.unwrap();
    }
    let applied = net.applied.lock().unwrap();
    let known: Vec<bool> =
        applied.iter().rev().take(2).map(|mutation| mutation.base_version.is_some()).collect();
    assert_eq!(known, [false, true], "of the row that changed the version is not known any more");
}
