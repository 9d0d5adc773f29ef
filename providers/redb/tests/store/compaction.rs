//! Giving space back.

#![allow(clippy::disallowed_methods, reason = "a test waits in real time")]

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use larder_core::{Borrower, MetaRef, Op, Query, Result, Row, Store};
use larder_redb::{Redb, StorageBackend, backend};

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

/// Reads for as long as it is told to.
struct Slow {
    begun: mpsc::Sender<()>,
    end: mpsc::Receiver<()>,
}

impl Borrower for Slow {
    fn take(&mut self, _: MetaRef<'_>, _: &dyn Row) -> Result<()> {
        if self.begun.send(()).is_ok() {
            // Whoever reads on is not kept a second time.
            let _ = self.end.recv();
        }
        Ok(())
    }

    fn anew(&mut self) {}
}

// Rules: d-compact
#[tokio::test]
async fn giving_space_back_waits_for_who_is_reading() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&Redb::at(&path).compact_above(u64::MAX), &[&PERSON]).await.unwrap();
    let (full, _) = fill_and_drain(&*store, 5_000).await;
    let (begun, has_begun) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let reads = store.clone();
    let read = tokio::spawn(async move {
        let slow = Box::new(Slow { begun, end: ended });
        // With a limit, they are lent on another thread.
        let query = Query { limit: Some(10_000), ..Query::all() };
        reads.lend(&cx(), &PERSON, &query, slow).await
    });
    while has_begun.try_recv().is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let gives = store.clone();
    let compact = tokio::spawn(async move { gives.compact(&cx()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!compact.is_finished(), "somebody reads");
    drop((end, has_begun));
    let compacted = compact.await.unwrap().unwrap().bytes;
    assert!(compacted <= full / 10, "{full} became {compacted}");
    read.await.unwrap().unwrap();
}

/// Counts what is read from the medium.
#[derive(Debug)]
struct Reads(Box<dyn StorageBackend>, Arc<AtomicU64>);

impl StorageBackend for Reads {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

// Rules: d-cache
#[tokio::test]
async fn no_more_of_the_file_is_kept_in_memory_than_was_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    for first in (0..4_000).step_by(500) {
        save(&*store, (first..first + 500).map(|id| person(id, &"x".repeat(1_000), "", 1))).await;
    }
    drop(store);
    for (cache, all_kept) in [(1 << 20, false), (64 << 20, true)] {
        let (reads, file) = (Arc::new(AtomicU64::new(0)), path.clone());
        let counted = Arc::clone(&reads);
        let config = Redb::at(&path)
            .cache_size(cache)
            .backend(move || Ok(Box::new(Reads(backend::file(&file)?, Arc::clone(&counted)))));
        let store = open(&config, &[&PERSON]).await.unwrap();
        assert_eq!(all(&*store).await.len(), 4_000);
        let before = reads.swap(0, Ordering::SeqCst);
        assert_eq!(all(&*store).await.len(), 4_000);
        let again = reads.load(Ordering::SeqCst);
        assert_eq!(
            again == 0,
            all_kept,
            "{before} reads, and {again} of the same once more, with {cache} bytes"
        );
    }
}

// Rules: d-compact
#[tokio::test]
async fn what_comes_and_goes_one_by_one_leaves_nothing_to_give_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    // Were space given back, the file would be as small as it can be.
    let store =
        open_on(TestRuntime::inline(), &Redb::at(&path).compact_above(256 << 10), &[&PERSON]).await.unwrap();
    let before = store.size(&cx()).await.unwrap().bytes;
    let large = entry(&PERSON, person(1, &"x".repeat(20_000), "", 1));
    for _ in 0..100 {
        let seqs = commit(&*store, [Op::Enqueue(large.clone())]).await.unwrap().seqs;
        commit(&*store, [Op::Dequeue(seqs[0])]).await.unwrap();
    }
    assert!(
        store.size(&cx()).await.unwrap().bytes >= before,
        "two megabytes have gone, and were never there at once"
    );
}
