//! Giving space back.

#![allow(clippy::disallowed_methods, reason = "a test waits in real time")]

use larder_core::{Op, Query, Store};
use larder_redb::Redb;

use crate::outbox::entry;
use crate::support::*;

async fn fill_and_drain(store: &dyn Store, entries: u64) -> (u64, u64) {
    for _ in (0..entries).step_by(500) {
        let entry = entry(&PERSON, person(1, &"x".repeat(512), "", 1));
        commit(store, (0..500).map(|_| Op::Enqueue(entry.clone()))).await.unwrap();
    }
    let full = store.size(&cx()).await.unwrap().bytes;
    let loaded = store.outbox(&cx(), 0, usize::MAX).await.unwrap();
    for some in loaded.entries.chunks(500) {
        commit(store, some.iter().map(|entry| Op::Dequeue(entry.seq))).await.unwrap();
    }
    save(store, [person(2, "y", "", 1)]).await;
    // What is done at rest comes when nobody waits to write.
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        if store.size(&cx()).await.unwrap().bytes < full / 10 {
            break;
        }
    }
    (full, store.size(&cx()).await.unwrap().bytes)
}

// Rules: d-compact
#[tokio::test]
async fn after_a_drain_the_file_shrinks_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&Redb::at(&path).compact_above(1 << 20), &[&PERSON]).await.unwrap();
    save(&*store, (10..100).map(|id| person(id, "x", "", 1))).await;
    let (full, drained) = fill_and_drain(&*store, 10_000).await;
    assert!(full > 5 << 20 && drained <= full / 10, "{full} became {drained}");
    assert_eq!(all(&*store).await.len(), 91);
    assert!(store.check(&cx()).await.unwrap().is_sound());
}

// Rules: d-compact
#[tokio::test]
async fn space_is_given_back_when_asked_while_others_read_and_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&Redb::at(&path).compact_above(u64::MAX), &[&PERSON]).await.unwrap();
    let (full, drained) = fill_and_drain(&*store, 5_000).await;
    assert!(drained > full / 2, "not by itself: {full} became {drained}");
    let context = cx();
    let query = Query::all();
    let read = async {
        for _ in 0..50 {
            assert!(!store.get(&context, &PERSON, &query).await.unwrap().rows.is_empty());
        }
    };
    let write = async {
        for id in 10..30 {
            save(&*store, [person(id, "x", "", 1)]).await;
        }
    };
    let (compacted, (), ()) = futures_util::future::join3(store.compact(&context), read, write).await;
    let compacted = compacted.unwrap().bytes;
    assert!(compacted <= full / 10, "{full} became {compacted}");
    assert_eq!(all(&*store).await.len(), 21);
}
