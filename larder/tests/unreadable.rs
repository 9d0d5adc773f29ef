//! Entries of the outbox that can't be read, among others that can.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::core::{Context, Store};
use larder::{Model, OutboxSettings, ReadPolicy, Repository, RowState};
use support::chaos::{Faults, Faulty, memory};
use support::gates::dequeues;
use support::{Note, Switches, drained, note, settled, soon};

fn settings() -> OutboxSettings {
    let wait = Duration::from_millis(1);
    OutboxSettings::new().without_coalescing().backoff(wait, 5 * wait)
}

/// A store in which these entries can't be read; of each it is known whose it is.
fn damaged(disk: &Arc<dyn Store>, entries: &[u64]) -> (Arc<dyn Store>, Arc<Faults>) {
    let (store, faults) = Faulty::over(disk, 1);
    faults.named.store(true, Ordering::SeqCst);
    faults.unreadable.lock().unwrap().extend(entries);
    (store, faults)
}

/// A repository over this disk that sends nothing yet.
async fn open(disk: &Arc<dyn Store>, net: &Arc<Switches>) -> (Repository, Arc<Faults>) {
    let (store, faults) = damaged(disk, &[]);
    let builder = support::builder(net).store(store).outbox(settings()).paused();
    (builder.build().await.unwrap(), faults)
}

/// Writes these rows, each as (key, text): the entries have the numbers from 1 on.
async fn written(disk: &Arc<dyn Store>, net: &Arc<Switches>, notes: &[(&str, &str)]) {
    let (repo, _) = open(disk, net).await;
    for (id, text) in notes {
        drop(repo.upsert(&note(id, text, 0)).await.unwrap());
    }
    repo.close().await;
}

fn damage(faults: &Faults, seq: u64) {
    faults.unreadable.lock().unwrap().insert(seq);
}

/// How a row stands: its text and its state.
async fn row(repo: &Repository, key: &str) -> (String, RowState) {
    let row = repo.reading(ReadPolicy::LocalOnly).find::<Note>(key).await.unwrap().unwrap();
    (row.text.clone(), repo.sync_state::<Note>(key).await.unwrap().unwrap().state)
}

// Rules: o-parked, o-unreadable
#[tokio::test]
async fn what_comes_after_it_in_its_row_waits_and_other_rows_go_on() {
    let (disk, net) = (memory().await, Switches::new());
    written(&disk, &net, &[("1", "damaged"), ("2", "other"), ("1", "behind")]).await;
    let (repo, faults) = open(&disk, &net).await;
    damage(&faults, 1);
    repo.outbox().resume();
    let status = soon(repo.outbox().settled()).await;
    assert_eq!(net.seen(), ["insert 2"]);
    assert_eq!((status.parked, status.pending, status.blocked), (1, 1, 1));
    repo.outbox().discard(1).await.unwrap();
    soon(settled(&repo)).await;
    assert!(net.notes().await.contains(&("1".to_owned(), "behind".to_owned())));
}

// Rules: o-unreadable
#[tokio::test]
async fn the_rest_of_the_outbox_is_read_all_the_same() {
    let (disk, net) = (memory().await, Switches::new());
    written(&disk, &net, &[("1", ""), ("2", ""), ("3", ""), ("4", "")]).await;
    // Nothing of what is read first can go.
    let (store, _) = damaged(&disk, &[1, 2]);
    let builder = support::builder(&net).store(store).outbox(settings().window(2));
    let _repo = builder.build().await.unwrap();
    soon(async {
        while net.seen().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut seen = net.seen();
    seen.sort();
    assert_eq!(seen, ["insert 3", "insert 4"]);
}

// Rules: o-unreadable, o-marked
#[tokio::test]
async fn it_keeps_none_from_going_that_is_marked_with_it() {
    let (disk, net) = (memory().await, Switches::new());
    written(&disk, &net, &[("1", ""), ("2", "")]).await;
    let (repo, faults) = open(&disk, &net).await;
    drained(&repo).await;
    // It could still be read when it was looked at first.
    damage(&faults, 1);
    repo.outbox().resume();
    drained(&repo).await;
    assert_eq!(net.seen(), ["insert 2"]);
}

// Rules: o-discard, o-unreadable
#[tokio::test]
async fn of_what_is_given_up_the_row_stays_as_it_is_and_says_how_it_stands() {
    let (disk, net) = (memory().await, Switches::new());
    written(&disk, &net, &[("1", "damaged"), ("2", "first"), ("2", "damaged")]).await;
    let (repo, faults) = open(&disk, &net).await;
    for seq in [1, 3] {
        damage(&faults, seq);
        repo.outbox().discard(seq).await.unwrap();
    }
    assert_eq!(row(&repo, "1").await, ("damaged".into(), RowState::Synced), "it counts as the remote's");
    assert_eq!(
        row(&repo, "2").await,
        ("damaged".into(), RowState::Pending),
        "the first change is still to go"
    );
    repo.outbox().resume();
    soon(settled(&repo)).await;
    assert_eq!(net.seen(), ["insert 2"]);
    assert_eq!(row(&repo, "2").await.1, RowState::Synced);
}

// Rules: o-discard, o-unreadable
#[tokio::test]
async fn of_a_deletion_that_is_given_up_nothing_is_left() {
    let (disk, net) = (memory().await, Switches::new());
    let (repo, faults) = open(&disk, &net).await;
    repo.outbox().resume();
    repo.upsert(&note("1", "", 0)).await.unwrap().accepted().await.unwrap();
    repo.outbox().pause();
    drained(&repo).await;
    drop(repo.delete::<Note>("1").await.unwrap());
    let seq = repo.outbox().list(0, 1).await.unwrap()[0].seq;
    damage(&faults, seq);
    repo.outbox().discard(seq).await.unwrap();
    let left = disk.load(&Context::new(), Note::schema(), &"1".into()).await.unwrap();
    assert!(left.is_none(), "it is gone, as far as can be told: {left:?}");
}

// Rules: o-discard, o-unreadable
#[tokio::test]
async fn what_is_written_while_it_is_given_up_is_not_lost() {
    let (disk, net) = (memory().await, Switches::new());
    written(&disk, &net, &[("1", "damaged")]).await;
    let (repo, faults) = open(&disk, &net).await;
    damage(&faults, 1);
    let held = faults.gates.hold(dequeues);
    let giving_up = repo.clone();
    let discard = tokio::spawn(async move { giving_up.outbox().discard(1).await });
    held.during(async { drop(repo.upsert(&note("1", "later", 0)).await.unwrap()) }).await;
    soon(discard).await.unwrap().unwrap();
    assert_eq!(row(&repo, "1").await, ("later".into(), RowState::Pending));
    repo.outbox().resume();
    soon(settled(&repo)).await;
    assert_eq!(net.notes().await, [("1".to_owned(), "later".to_owned())]);
}
