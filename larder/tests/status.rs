//! What the status says, and how the driver pauses and ends.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::poll;
use larder::core::Context;
use larder::core::runtime::BoxFuture;
use larder::{Connectivity, ErrorKind, OutboxSettings, Pushed, Repository, RowState};
use rstest::rstest;
use support::chaos::memory;
use support::clock::{Clock, rest};
use support::{Note, Switches, Turn, drained, note, soon};
use tokio::sync::watch;

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

// Rules: o-status
#[tokio::test]
async fn what_the_remote_turns_out_to_have_anyway_was_not_pushed() {
    let net = Switches::new();
    let repo = serial(&net).await;
    repo.upsert(&note("1", "", 0)).await.unwrap().accepted().await.unwrap();
    until(|| repo.status().last_pushed.is_some()).await;
    let pushed = repo.status().last_pushed;
    repo.outbox().pause();
    drop(repo.update(&note("1", "", 0), |note| note.stars = 1).await.unwrap());
    assert_eq!(repo.status().pending, 1);
    repo.pushed(Pushed::rows([note("1", "", 1)])).await.unwrap();
    until(|| repo.status().pending == 0).await;
    assert_eq!(repo.status().last_pushed, pushed);
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

// Rules: o-status
#[tokio::test]
async fn what_is_queued_counts_once_however_much_of_it_is_looked_at() {
    let net = Switches::new();
    let repo = support::builder(&net).outbox(OutboxSettings::new().window(2)).paused().build().await.unwrap();
    let notes = ["1", "2", "3", "4", "5"].map(|id| note(id, "", 0));
    drop(repo.upsert_many(&notes).await.unwrap());
    drained(&repo).await;
    let status = repo.status();
    assert_eq!((status.pending, status.more), (5, true), "two are looked at, and three are not yet");
}

// Rules: o-pause, o-bookkeeping
#[tokio::test]
async fn whoever_closes_waits_until_what_is_under_way_has_ended_and_so_does_the_next_one() {
    let net = Switches::new();
    let repo = serial(&net).await;
    net.hang(true);
    let stored = repo.upsert(&note("1", "", 0)).await.unwrap();
    until(|| net.seen().len() == 1).await;
    let closes = [(); 2].map(|()| {
        let closing = repo.clone();
        tokio::spawn(async move { closing.close().await })
    });
    rest().await;
    assert!(closes.iter().all(|close| !close.is_finished()), "the answer is still to come");
    net.hang(false);
    for close in closes {
        soon(close).await.unwrap();
    }
    soon(stored.accepted()).await.unwrap();
    assert!(repo.outbox().is_empty().await.unwrap());
}

// Rules: o-pause, o-bookkeeping
#[tokio::test]
async fn what_is_under_way_when_nobody_holds_the_repository_any_more_ends_and_nothing_else_begins() {
    let (net, disk) = (Switches::new(), memory().await);
    let settings = OutboxSettings::new().serial();
    let builder = support::builder(&net).store(Arc::clone(&disk)).outbox(settings);
    let repo = builder.build().await.unwrap();
    net.hang(true);
    for id in ["1", "2"] {
        drop(repo.upsert(&note(id, "", 0)).await.unwrap());
    }
    until(|| net.seen().len() == 1).await;
    drop(repo);
    rest().await;
    net.hang(false);
    soon(async {
        while disk.outbox(&Context::new(), 0, 9).await.unwrap().entries.len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    rest().await;
    assert_eq!(net.seen(), ["insert 1"]);
}

// Rules: o-discard
#[rstest]
#[case::when_nothing_is_sent_any_more(false)]
#[case::at_that_very_moment(true)]
#[tokio::test]
async fn what_is_queued_is_given_up_though_the_repository_is_closed(#[case] at_once: bool) {
    let net = Switches::new();
    net.offline(true);
    let repo = serial(&net).await;
    drop(repo.upsert(&note("1", "", 0)).await.unwrap());
    drained(&repo).await;
    let seq = repo.outbox().list(0, 1).await.unwrap()[0].seq;
    let other = repo.clone();
    let mut close = pin!(repo.close());
    if !at_once {
        soon(&mut close).await;
    }
    let outbox = other.outbox();
    let mut discard = pin!(outbox.discard(seq));
    // The question whether it is on its way comes right behind the word to end.
    let asked = poll!(&mut discard);
    assert!(asked.is_pending());
    if at_once {
        assert!(poll!(&mut close).is_pending());
        soon(close).await;
    }
    soon(discard).await.unwrap();
    assert!(other.outbox().is_empty().await.unwrap());
    assert!(support::local(&other).await.is_empty());
}

/// A connection that comes and goes.
#[derive(Debug)]
struct Line(watch::Sender<bool>);

impl Connectivity for Line {
    fn is_online(&self) -> bool {
        *self.0.borrow()
    }

    fn is_metered(&self) -> bool {
        false
    }

    fn changed(&self, seen: bool) -> BoxFuture<'static, ()> {
        let mut online = self.0.subscribe();
        Box::pin(async move { drop(online.wait_for(|online| *online != seen).await) })
    }
}

// Rules: o-apart
#[tokio::test]
async fn a_device_whose_connection_comes_back_begins_when_chance_says() {
    let (net, clock, line) = (Switches::new(), Clock::new(), Arc::new(Line(watch::Sender::new(false))));
    let settings = OutboxSettings::new().spread(Duration::from_secs(2));
    let builder =
        support::builder(&net).runtime(Arc::new(clock.clone())).connectivity(Arc::clone(&line) as _);
    let repo = builder.outbox(settings).build().await.unwrap();
    drop(repo.upsert(&note("1", "", 0)).await.unwrap());
    rest().await;
    line.0.send_replace(true);
    rest().await;
    // Chance says: half of it.
    clock.advance(Duration::from_millis(900)).await;
    assert!(net.seen().is_empty(), "others have theirs back at the same moment");
    clock.advance(Duration::from_millis(200)).await;
    assert_eq!(net.seen(), ["insert 1"]);
}
