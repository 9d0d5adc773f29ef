//! What is lent off the calling thread, while the store reopens itself.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use larder_core::{Borrower, ErrorKind, Key, MetaRef, Predicate, Query, Record, Result, Row, Store, Value};
use larder_redb::{Redb, StorageBackend, backend};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

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
    // With a limit, they are lent on another thread.
    let query = Query { limit: Some(10_000), ..Query::all() };
    store.lend(&cx(), &PERSON, &query, Box::new(to)).await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 2, "begun, and once more");
    assert_eq!(*taken.lock().unwrap(), (0..=3_000_u32).map(Key::from).collect::<Vec<_>>());
}

/// A person of one of the cities, of which there may be more than people.
fn citizen(id: u32, city: u16) -> Record {
    let mut citizen = person(id, "x", "", i64::from(city));
    citizen.set(4, Value::Str(format!("c{city:05}").into()));
    citizen
}

// Rules: q-plan-alike
#[test]
fn the_rows_of_many_keys_are_found_by_one_walk_over_an_index() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    // From cities with many people to those with none, and keys that lie beside each other or far apart.
    let cases = (prop::sample::select(vec![1, 3, 40, 2_000_u16]), any::<u64>(), 1..300_u64, 1..6_u64);
    let checked = runner.run(&cases, |(cities, seed, asked, step)| {
        let city = |n: u64| (seed.wrapping_add(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as u16 % cities;
        let wanted = |city: u16| {
            let after = u64::from(city).wrapping_sub(seed % u64::from(cities));
            after < asked && after.is_multiple_of(step)
        };
        runtime.block_on(async {
            let store = open_on(TestRuntime::inline(), &Redb::in_memory(), &[&PERSON]).await.unwrap();
            save(&*store, (0..400).map(|id| citizen(id, city(id.into())))).await;
            let keys_of =
                (0..cities).filter(|city| wanted(*city)).map(|city| Key::from(format!("c{city:05}")));
            let among = Predicate::Among { field: 4, keys: keys_of.collect() };
            let expected: Vec<Key> =
                (0..400_u32).filter(|id| wanted(city((*id).into()))).map(Key::from).collect();
            prop_assert_eq!(keys(&*store, &PERSON, &where_(among)).await, expected);
            Ok(())
        })
    });
    checked.unwrap();
}
