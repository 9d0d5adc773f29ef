//! What is lent off the calling thread, while the store reopens itself.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use larder_core::{Borrower, ErrorKind, Key, MetaRef, Query, Result, Row, Store};
use larder_redb::{Redb, StorageBackend, backend};

use crate::support::*;

/// A medium that finds no space while it is told so.
#[derive(Debug)]
struct Full(Box<dyn StorageBackend>, Arc<AtomicBool>);

impl StorageBackend for Full {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// Takes keys. With the hundredth, a write finds no space, and the next one makes the store reopen itself under the
/// lending.
struct Interrupting {
    store: Arc<dyn Store>,
    full: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<Key>>>,
    begun: Arc<AtomicU64>,
}

impl Interrupting {
    fn interrupt(&self) {
        self.full.store(true, Ordering::SeqCst);
        let write = || commit(&*self.store, [put(&PERSON, person(3_000, "x", "", 1))]);
        let here = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(here.block_on(write()).unwrap_err().kind(), ErrorKind::Full);
        self.full.store(false, Ordering::SeqCst);
        here.block_on(write()).unwrap();
    }
}

impl Borrower for Interrupting {
    fn take(&mut self, _: MetaRef<'_>, row: &dyn Row) -> Result<()> {
        let taken = {
            let mut taken = self.taken.lock().unwrap();
            taken.push(PERSON.key_of(row)?);
            taken.len()
        };
        if taken == 100 && self.begun.load(Ordering::SeqCst) == 1 {
            self.interrupt();
        }
        Ok(())
    }

    fn anew(&mut self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.taken.lock().unwrap().clear();
    }
}

// Rules: p-lend
#[tokio::test]
async fn lending_begins_anew_if_the_store_reopens_itself_in_the_middle() {
    let directory = tempfile::tempdir().unwrap();
    let (path, full) = (directory.path().join("a.redb"), Arc::<AtomicBool>::default());
    let shared = full.clone();
    // So few pages are kept that the rows have to come from the medium.
    let config = Redb::at(&path)
        .cache_size(16 << 10)
        .backend(move || Ok(Box::new(Full(backend::file(&path)?, shared.clone()))));
    let store = open(&config, &[&PERSON]).await.unwrap();
    save(&*store, (0..3_000).map(|id| person(id, "x", "", 1))).await;
    let (taken, begun) = (Arc::<Mutex<Vec<Key>>>::default(), Arc::<AtomicU64>::default());
    let to = Interrupting { store: store.clone(), full, taken: taken.clone(), begun: begun.clone() };
    store.lend(&cx(), &PERSON, &Query::all(), Box::new(to)).await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 2, "begun, and once more");
    assert_eq!(*taken.lock().unwrap(), (0..=3_000_u32).map(Key::from).collect::<Vec<_>>());
}
