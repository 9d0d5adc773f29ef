//! The counters, wherever they lie: damaged, behind an entry that is damaged, after a wipe, after a commit that failed.

use std::sync::atomic::Ordering;

use larder_core::{
    Batch, CommitOutcome, EntryState, Expect, FindingKind, Op, OutboxCounts, ParkReason, Query,
};

use crate::damage::{OUTBOX, at, faulty, pairs, tamper};
use crate::disk::Disk;
use crate::outbox::{enqueue, entry};
use crate::support::*;

fn flip(value: &mut [u8]) {
    value[9] ^= 1;
}

/// The one entry that there is has the counters behind it, and their own record is that of a new store.
// Rules: d-checksum
#[tokio::test]
async fn the_number_after_the_only_entry_is_known_though_it_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    enqueue(&*store, 3).await;
    commit(&*store, [Op::Dequeue(1), Op::Dequeue(2)]).await.unwrap();
    let revision = store.revision();
    drop(store);
    tamper(&path, OUTBOX, |_, value| {
        flip(value);
        true
    });
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    let next = commit(&*store, [Op::Enqueue(entry(&PERSON, person(1, "x", "", 1)))]).await.unwrap();
    assert!(next.seqs == [4] && next.revision > revision, "{next:?}");
    assert_eq!(store.outbox_counts(&cx()).await.unwrap(), OutboxCounts { entries: 2, parked: 0 });
}

/// What is behind the oldest entry counts where that is the newest of the three: with all four numbers.
// Rules: p-durable
#[tokio::test]
async fn counters_behind_the_oldest_entry_say_which_number_is_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    enqueue(&*store, 5).await;
    let mut parked = store.entry(&cx(), 3).await.unwrap().unwrap();
    parked.state = EntryState::Parked(ParkReason::Rejected);
    commit(&*store, [Op::Revise(Box::new(parked))]).await.unwrap();
    save(&*store, [person(7, "x", "", 1)]).await;
    let revision = store.revision();
    drop(store);
    let record = |entry: &[u8]| entry.windows(8).any(|bytes| bytes == revision.to_le_bytes());
    let noted: Vec<bool> = pairs(&path, OUTBOX).iter().map(|(_, entry)| record(entry)).collect();
    assert_eq!(noted, [true, false, false, false, false], "they lie behind the oldest");
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    assert_eq!(store.revision(), revision);
    assert_eq!(store.outbox_counts(&cx()).await.unwrap(), OutboxCounts { entries: 5, parked: 1 });
    assert_eq!(enqueue(&*store, 1).await, [6]);
    // Where the newest number is gone, it is not told by what is left.
    commit(&*store, [Op::Dequeue(6)]).await.unwrap();
    drop(store);
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    assert_eq!(enqueue(&*store, 1).await, [7]);
}

// Rules: d-check
#[tokio::test]
async fn counters_that_are_altered_under_an_open_store_are_found_by_what_they_say() {
    let disk = Disk::default();
    let store = crate::findings::opened_once(&disk).await;
    // So much that not all of it is kept in memory.
    for first in (0..3_000).step_by(500) {
        save(&*store, (first..first + 500).map(|id| person(id, "x", "", 1))).await;
    }
    let numbers = [store.revision(), 1, 0, 0].map(u64::to_le_bytes).concat();
    let (record, bytes) = (sealed(&numbers), disk.bytes());
    let places: Vec<usize> =
        (0..bytes.len() - record.len()).filter(|at| bytes[*at..].starts_with(&record)).collect();
    assert!(!places.is_empty());
    for place in places {
        larder_redb::StorageBackend::write(&disk, place as u64 + 4, &[bytes[place + 4] ^ 1]).unwrap();
    }
    let found = store.check(&cx()).await.unwrap();
    let kinds: Vec<_> = found.findings.iter().map(|found| (found.kind, found.key.clone())).collect();
    assert_eq!(kinds, [(FindingKind::Altered, None)], "{found:?}");
}

// Rules: p-wipe
#[tokio::test]
async fn after_a_wipe_nothing_is_queued_and_nothing_waits_for_a_decision() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let mut store = open(&at(&path), &[&PERSON]).await.unwrap();
    enqueue(&*store, 3).await;
    let mut parked = store.entry(&cx(), 2).await.unwrap().unwrap();
    parked.state = EntryState::Parked(ParkReason::Rejected);
    commit(&*store, [Op::Revise(Box::new(parked))]).await.unwrap();
    let revision = store.revision();
    store.wipe(&cx()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.outbox_counts(&cx()).await.unwrap(), OutboxCounts { entries: 0, parked: 0 });
        assert!(store.revision() > revision && store.check(&cx()).await.unwrap().is_sound());
        drop(store);
        store = open(&at(&path), &[&PERSON]).await.unwrap();
    }
    assert_eq!(enqueue(&*store, 1).await, [4], "numbers are not used again");
}

/// Who relied on what was before it writes nothing.
// Rules: d-full
#[tokio::test]
async fn a_commit_that_failed_and_was_durable_after_all_has_moved_its_model() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = faulty(&directory.path().join("a.redb")).await;
    save(&*store, [person(1, "x", "", 1)]).await;
    let before = store.revision();
    faults.mode.store(2, Ordering::SeqCst);
    assert!(commit(&*store, [put(&PERSON, person(2, "x", "", 1))]).await.is_err());
    faults.mode.store(0, Ordering::SeqCst);
    assert_eq!(get(&*store, &PERSON, &Query::all()).await.unwrap().len(), 2, "all of it had been written");
    let relies = |expect| Batch { expect: vec![expect], ops: vec![put(&PERSON, person(3, "x", "", 1))] };
    let model = |revision| relies(Expect::Model { schema: &PERSON, revision });
    assert!(matches!(store.commit(&cx(), model(before)).await.unwrap(), CommitOutcome::Stale));
    let now = store.revision();
    assert!(matches!(store.commit(&cx(), model(now)).await.unwrap(), CommitOutcome::Committed(_)));
}
