//! A salvage for which there is no room now is done later, and nobody has to ask for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use larder_core::{ErrorKind, Query, Store};
use larder_harness::TestRuntime as Manual;
use larder_redb::{Files, OnCorrupt, Redb, StorageBackend, backend};

use crate::damage::{ROWS, kind, tamper};
use crate::salvage::{asides, filled};
use crate::support::*;

/// So many minutes pass, second by second.
async fn pass(clock: &Manual, minutes: u32) {
    for _ in 0..60 * minutes {
        clock.advance(Duration::from_secs(1));
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
}

/// A file system with room for what it has, and for nothing new as long as it is full.
#[derive(Debug, Default)]
struct Narrow {
    full: AtomicBool,
    /// How often a new file was begun.
    begun: AtomicUsize,
}

#[derive(Debug)]
struct NoRoom(Box<dyn StorageBackend>);

impl StorageBackend for NoRoom {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

impl Files for Narrow {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        let file = backend::file(path)?;
        if path.extension().is_some_and(|extension| extension == "salvage") {
            self.begun.fetch_add(1, Ordering::SeqCst);
            if self.full.load(Ordering::SeqCst) {
                return Ok(Box::new(NoRoom(file)));
            }
        }
        Ok(file)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// A file with a row that was altered, open on a disk that has become full.
struct Damaged {
    directory: tempfile::TempDir,
    files: Arc<Narrow>,
    clock: Manual,
    store: Arc<dyn Store>,
}

impl Damaged {
    async fn new(on_corrupt: OnCorrupt) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = Self::path(&directory);
        filled(&path, 10, 3).await;
        tamper(&path, ROWS, |key, value| {
            let last = value.len() - 1;
            value[last] ^= 1;
            key.ends_with(&[7])
        });
        let (files, clock) = (Arc::new(Narrow::default()), Manual::manual(1));
        let config = Redb::at(path).cache_size(0).files(files.clone()).on_corrupt(on_corrupt);
        let store = open_on(Arc::new(clock.clone()), &config, &[&PERSON]).await.unwrap();
        files.full.store(true, Ordering::SeqCst);
        Self { directory, files, clock, store }
    }

    fn path(directory: &tempfile::TempDir) -> PathBuf {
        directory.path().join("a.redb")
    }

    fn begun(&self) -> usize {
        self.files.begun.swap(0, Ordering::SeqCst)
    }
}

// Rules: d-salvage-again, d-full
#[tokio::test]
async fn what_there_was_no_room_to_salvage_is_salvaged_once_there_is_and_nobody_asks() {
    for asked in [false, true] {
        without_room(asked).await;
    }
}

/// The damage is come across by a read, or a salvage is asked for.
async fn without_room(asked: bool) {
    let damaged = Damaged::new(OnCorrupt::Salvage).await;
    let Damaged { store, clock, .. } = &damaged;
    if asked {
        assert_eq!(kind(store.salvage(&cx()).await), ErrorKind::Full);
    } else {
        assert_eq!(kind(get(&**store, &PERSON, &Query::all()).await), ErrorKind::Corrupt);
    }
    assert_eq!(damaged.begun(), 1, "it is tried at once");
    assert!(lent(&**store, &PERSON, &Query::key(1.into())).unwrap().is_some(), "what is sound is read on");
    pass(clock, 1).await;
    assert!((3..=6).contains(&damaged.begun()), "soon again, and then less and less often");
    pass(clock, 60).await;
    let begun = damaged.begun();
    assert!((12..=30).contains(&begun), "{begun} attempts in an hour");
    assert!(store.damage().is_none() && asides(damaged.directory.path()).is_empty());
    damaged.files.full.store(false, Ordering::SeqCst);
    pass(clock, 5).await;
    let report = store.damage().expect("it is done");
    assert_eq!((report.rows, report.entries, damaged.begun()), (9, 3, 1));
    assert_eq!(all(&**store).await.len(), 9);
    pass(clock, 60).await;
    assert_eq!((damaged.begun(), asides(damaged.directory.path()).len()), (0, 1), "and that was all");
}

// Rules: d-salvage-again
#[tokio::test]
async fn one_that_was_done_meanwhile_is_not_tried_again_and_the_next_begins_with_short_waits() {
    let damaged = Damaged::new(OnCorrupt::Salvage).await;
    let Damaged { store, clock, files, .. } = &damaged;
    assert_eq!(kind(store.salvage(&cx()).await), ErrorKind::Full);
    pass(clock, 30).await;
    files.full.store(false, Ordering::SeqCst);
    assert!(store.salvage(&cx()).await.unwrap().is_some());
    damaged.begun();
    pass(clock, 10).await;
    assert_eq!(damaged.begun(), 0);
    let bytes = std::fs::read(Damaged::path(&damaged.directory)).unwrap();
    let at = bytes.windows(6).position(|bytes| bytes == b"name 5").unwrap();
    let mut spoiled = bytes;
    spoiled[at] ^= 1;
    std::fs::write(Damaged::path(&damaged.directory), spoiled).unwrap();
    files.full.store(true, Ordering::SeqCst);
    assert_eq!(kind(store.salvage(&cx()).await), ErrorKind::Full);
    damaged.begun();
    pass(clock, 1).await;
    assert!(damaged.begun() >= 3);
}

// Rules: d-salvage-again
#[tokio::test]
async fn where_the_application_decides_and_when_the_store_is_closed_nothing_is_tried_again() {
    for on_corrupt in [OnCorrupt::Fail, OnCorrupt::Salvage] {
        let Damaged { directory: _directory, files, clock, store } = Damaged::new(on_corrupt).await;
        assert_eq!(kind(store.salvage(&cx()).await), ErrorKind::Full);
        assert_eq!(files.begun.swap(0, Ordering::SeqCst), 1);
        if on_corrupt == OnCorrupt::Salvage {
            drop(store);
        }
        pass(&clock, 10).await;
        assert_eq!(files.begun.load(Ordering::SeqCst), 0);
    }
}

/// Damage of the pages in which the file says which of its pages are free: it can't be opened again as it is.
// Rules: d-salvage-again
#[tokio::test]
async fn a_store_that_can_not_even_be_opened_any_more_comes_back_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = Damaged::path(&directory);
    filled(&path, 200, 3).await;
    let sound = std::fs::read(&path).unwrap();
    let refused = async |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let opened = open_on(TestRuntime::inline(), &crate::damage::at(&path), &[&PERSON]).await;
        opened.err().is_some_and(|error| message(&error).contains("its own pages"))
    };
    let mut spoiled = Vec::new();
    for at in (4096..sound.len()).step_by(4096) {
        spoiled.clone_from(&sound);
        spoiled[at + 9] ^= 0x10;
        if refused(&spoiled).await {
            break;
        }
    }
    std::fs::write(&path, &sound).unwrap();
    let (files, clock) = (Arc::new(Narrow::default()), Manual::manual(1));
    let config = Redb::at(&path).cache_size(0).files(files.clone());
    let store = open_on(Arc::new(clock.clone()), &config, &[&PERSON]).await.unwrap();
    std::fs::write(&path, &spoiled).unwrap();
    files.full.store(true, Ordering::SeqCst);
    assert_eq!(kind(store.salvage(&cx()).await), ErrorKind::Full);
    assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Corrupt);
    pass(&clock, 1).await;
    assert_eq!(kind(commit(&*store, [put(&PERSON, person(1, "x", "", 1))]).await), ErrorKind::Corrupt);
    files.full.store(false, Ordering::SeqCst);
    pass(&clock, 1).await;
    assert_eq!(all(&*store).await.len(), 200);
    assert_eq!(store.outbox_counts(&cx()).await.unwrap().entries, 3);
    commit(&*store, [put(&PERSON, person(1, "x", "", 1))]).await.unwrap();
}
