//! What the status says, and how the driver pauses and ends.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use larder::{ErrorKind, OutboxSettings, Repository, RowState};
use support::{Note, Switches, Turn, drained, note, soon};

/// A repository that sends one after the other.
async fn serial(net: &Arc<Switches>) -> Repository {
    let settings = OutboxSettings::new().serial().backoff(Duration::from_millis(1), Duration::from_millis(5));
    support::builder(net).outbox(settings).build().await.unwrap()
}

/// Until this holds.
async fn until(holds: impl Fn() -> bool) {
    soon(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

// Rules: o-status
#[tokio::test]
async fn when_something_was_pushed_or_pulled_last_is_told_until_it_happens_again() {
    let net = Switches::new();
    let repo = serial(&net).await;
    soon(repo.outbox().settled()).await;
    assert_eq!((repo.status().last_pushed, repo.status().last_pulled), (None, None));
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    repo.upsert(&note("1", "", 0)).await.unwrap().accepted().await.unwrap_err();
    soon(repo.outbox().settled()).await;
    assert_eq!(repo.status().last_pushed, None, "a refusal is no push");
    repo.upsert(&note("2", "", 0)).await.unwrap().accepted().await.unwrap();
    repo.sync().await.unwrap();
    until(|| repo.status().last_pushed.is_some()).await;
    let (pushed, pulled) = (repo.status().last_pushed, repo.status().last_pulled);
    assert!(pulled.is_some());
    drained(&repo).await;
    assert_eq!((repo.status().last_pushed, repo.status().last_pulled), (pushed, pulled));
}

// Rules: o-pause, o-status
#[tokio::test]
async fn a_pause_and_its_end_are_seen_though_nothing_else_happens() {
    let net = Switches::new();
    let repo = serial(&net).await;
    soon(repo.outbox().settled()).await;
    repo.outbox().pause();
    until(|| repo.status().paused).await;
    repo.outbox().resume();
    until(|| !repo.status().paused).await;
}

// Rules: r-sync-state, o-status
#[tokio::test]
async fn a_row_is_in_flight_as_long_as_its_mutation_is() {
    let net = Switches::new();
    let repo = serial(&net).await;
    net.hang(true);
    let stored = repo.upsert(&note("1", "", 0)).await.unwrap();
    until(|| net.seen().len() == 1 && repo.status().in_flight == 1).await;
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::InFlight);
    net.hang(false);
    soon(stored.accepted()).await.unwrap();
    soon(repo.outbox().settled()).await;
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Synced);
}

// Rules: o-pause
#[tokio::test]
async fn nothing_begins_any_more_while_a_repository_closes_even_if_it_is_resumed() {
    let net = Switches::new();
    let repo = serial(&net).await;
    net.hang(true);
    for id in ["1", "2"] {
        drop(repo.upsert(&note(id, "", 0)).await.unwrap());
    }
    until(|| net.seen().len() == 1).await;
    let closing = repo.clone();
    let close = tokio::spawn(async move { closing.close().await });
    until(|| repo.status().paused).await;
    repo.outbox().resume();
    net.hang(false);
    soon(close).await.unwrap();
    assert_eq!(net.seen(), ["insert 1"]);
}
