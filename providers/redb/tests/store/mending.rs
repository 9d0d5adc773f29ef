//! How a store goes on after an error: mended, reopened, closed, made smaller.

use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use larder_core::runtime::BoxFuture;
use larder_core::{
    Batch, Borrower, CommitObserver, CommitOutcome, ErrorKind, Expect, FindingKind, IndexDef, Key, KeyDef,
    MetaRef, Migration, OldRow, Op, Query, Result, Row, Runtime, Schema, Store, Timestamp, Touched,
};
use larder_redb::backend::{self, CountingBackend, Counts};
use larder_redb::{Files, Redb, StorageBackend};

use crate::damage::{COUNTERS, OUTBOX, ROWS, at, faulty, kind, tamper};
use crate::disk::Disk;
use crate::outbox::entry;
use crate::salvage::{asides, filled, row};
use crate::support::*;

const PAGE: usize = 4096;

/// Alters the name of a row wherever it lies in the file, while a store is open over it or not.
fn spoil(path: &Path, name: &str) {
    let mut bytes = std::fs::read(path).unwrap();
    for at in 0..bytes.len() - name.len() {
        if bytes[at..].starts_with(name.as_bytes()) {
            bytes[at] ^= 1;
        }
    }
    std::fs::write(path, bytes).unwrap();
}

/// A store that keeps nothing of its file in memory, so that damage is come across at once.
async fn opened(path: &Path) -> Arc<dyn Store> {
    open_on(TestRuntime::inline(), &Redb::at(path).cache_size(0), &[&PERSON]).await.unwrap()
}

/// Remembers what observers are told of.
#[derive(Default)]
struct Told(Mutex<Vec<(u64, bool)>>);

impl CommitObserver for Told {
    fn durable(&self, _: &Touched) {}

    fn published(&self, touched: &Touched) {
        self.0.lock().unwrap().push((touched.revision, touched.wiped));
    }
}

// Rules: d-salvage
#[tokio::test]
async fn a_store_mends_itself_each_time_and_whoever_relied_on_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 2_000, 0).await;
    let store = opened(&path).await;
    let told = Arc::new(Told::default());
    let observer: Arc<dyn CommitObserver> = told.clone();
    store.observe(Arc::downgrade(&observer));
    let before = store.revision();
    spoil(&path, "name 1500");
    assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Corrupt);
    assert_eq!(*told.0.lock().unwrap(), [(store.revision(), true)], "all of it may be another");
    let relies = Batch {
        expect: vec![Expect::Model { schema: &PERSON, revision: before }],
        ops: vec![put(&PERSON, row(1))],
    };
    assert!(matches!(store.commit(&cx(), relies).await.unwrap(), CommitOutcome::Stale));
    // Once more.
    spoil(&path, "name 700");
    assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Corrupt);
    assert_eq!(asides(directory.path()).len(), 2);
    assert!(get(&*store, &PERSON, &Query::all()).await.unwrap().len() > 1_900);
}

// Rules: d-salvage
#[tokio::test]
async fn an_outbox_that_can_t_be_read_is_mended_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 10, 3).await;
    tamper(&path, OUTBOX, |key, value| {
        value[9] ^= 1;
        key.ends_with(&[2])
    });
    let store = opened(&path).await;
    assert_eq!(store.outbox(&cx(), 0, 10).await.unwrap().unreadable.len(), 1);
    assert_eq!(store.damage().map(|damage| (damage.entries, damage.lost)), Some((2, 1)));
    assert_eq!(store.outbox(&cx(), 0, 10).await.unwrap().entries.len(), 2);
}

// Rules: d-salvage
#[tokio::test]
async fn what_can_t_be_salvaged_now_is_read_on_and_salvaged_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 10, 0).await;
    tamper(&path, ROWS, |key, value| {
        let last = value.len() - 1;
        value[last] ^= 1;
        key.ends_with(&[7])
    });
    let store = opened(&path).await;
    // There is no place for the new file.
    let in_its_place = PathBuf::from(format!("{}.salvage", path.display()));
    std::fs::create_dir(&in_its_place).unwrap();
    assert_eq!(kind(store.salvage(&cx()).await), ErrorKind::Storage);
    assert!(lent(&*store, &PERSON, &Query::key(1.into())).unwrap().is_some(), "at once");
    assert!(store.damage().is_none() && asides(directory.path()).is_empty());
    std::fs::remove_dir(in_its_place).unwrap();
    assert_eq!(store.salvage(&cx()).await.unwrap().unwrap().rows, 9);
    assert_eq!(all(&*store).await.len(), 9);
}

// Rules: d-salvage
#[tokio::test]
async fn nothing_of_a_salvage_that_was_cut_short_is_in_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let cut_short = PathBuf::from(format!("{}.salvage", path.display()));
    let store = open(&at(&cut_short), &[&PERSON]).await.unwrap();
    save(&*store, [row(77)]).await;
    drop(store);
    filled(&path, 10, 0).await;
    tamper(&path, COUNTERS, |_, value| {
        value[5] ^= 1;
        true
    });
    let store = opened(&path).await;
    assert_eq!(store.damage().map(|damage| damage.rows), Some(10));
    assert_eq!(all(&*store).await.len(), 10);
}

// Rules: d-salvage
#[tokio::test]
async fn what_is_noted_of_models_is_known_while_the_store_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 10, 0).await;
    let store = open_on(TestRuntime::inline(), &Redb::at(&path), &[&PERSON]).await.unwrap();
    // Both copies of it.
    spoil(&path, "Person");
    let damage = store.salvage(&cx()).await.unwrap().unwrap();
    assert_eq!(damage.rows, 10, "{damage:?}");
    assert_eq!(all(&*store).await.len(), 10);
}

/// A row that can't be brought up to date is not damaged, and an index that lacks it hides it from nobody.
// Rules: d-salvage, q-plan-alike
#[tokio::test]
async fn an_index_that_lacks_a_row_is_not_used_after_a_salvage_either() {
    fn refuses(row: &mut OldRow) -> std::result::Result<(), String> {
        if row.get("name") == Some(&text("odd")) { Err("an odd name".into()) } else { Ok(()) }
    }
    static OLD: Schema = Schema::new("Note", PERSON.fields, KeyDef::natural(&[0]));
    static NEW: Schema = Schema::new("Note", PERSON.fields, KeyDef::natural(&[0]))
        .version(2)
        .migrations(&[Migration::step(1, refuses)])
        .indexes(&[IndexDef { name: "age", fields: &[3], unique: false }]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&OLD]).await.unwrap();
    commit(
        &*store,
        ["plain", "odd", "gone"].iter().zip(1..).map(|(name, id)| put(&OLD, person(id, name, "", 7))),
    )
    .await
    .unwrap();
    drop(store);
    tamper(&path, ROWS, |key, value| {
        let last = value.len() - 1;
        value[last] ^= 1;
        key.ends_with(&[3])
    });
    let store = open_on(TestRuntime::inline(), &Redb::at(&path), &[&NEW]).await.unwrap();
    let by_age = where_(larder_core::Predicate::Compare {
        field: 3,
        op: larder_core::CompareOp::Eq,
        value: larder_core::Value::Int(7),
    });
    assert_eq!(kind(find(&*store, &NEW, 3).await), ErrorKind::Corrupt);
    assert_eq!(store.damage().map(|damage| (damage.rows, damage.lost)), Some((2, 1)));
    assert_eq!(kind(get(&*store, &NEW, &by_age).await), ErrorKind::Serialization);
    // Once nothing is there any more, it lacks nothing.
    let denied = Query { deny_scan: true, ..by_age };
    assert_eq!(kind(get(&*store, &NEW, &denied).await), ErrorKind::Unsupported);
    store.wipe(&cx()).await.unwrap();
    commit(&*store, [put(&NEW, person(1, "plain", "", 7))]).await.unwrap();
    let plan = store.explain(&NEW, &denied).unwrap();
    assert!(matches!(plan.access, larder_core::query::plan::Access::Index { .. }), "{plan}");
    assert_eq!(keys(&*store, &NEW, &denied).await, [Key::from(1)]);
}

/// Asks, whenever it is asked for the time, whether somebody else could have the file.
#[derive(Debug)]
struct Asking {
    inner: Arc<dyn Runtime>,
    path: PathBuf,
    free: AtomicBool,
}

impl Runtime for Asking {
    fn now(&self) -> Timestamp {
        let file = backend::file(&self.path).unwrap();
        if !matches!(file.try_lock_range(Bound::Unbounded, Bound::Unbounded), Ok(false)) {
            self.free.store(true, Ordering::SeqCst);
        }
        self.inner.now()
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.inner.spawn(name, task);
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.inner.blocking(name, work);
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.inner.in_place(name, work);
    }
}

// Rules: d-salvage, d-second
#[tokio::test]
async fn nobody_else_has_the_file_while_it_is_salvaged_at_opening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 10, 0).await;
    tamper(&path, COUNTERS, |_, value| {
        value[5] ^= 1;
        true
    });
    let asking =
        Arc::new(Asking { inner: TestRuntime::inline(), path: path.clone(), free: AtomicBool::new(false) });
    let store = open_on(asking.clone(), &Redb::at(&path), &[&PERSON]).await.unwrap();
    assert!(store.damage().is_some());
    assert!(!asking.free.load(Ordering::SeqCst));
}

// Rules: d-check, d-closing
#[tokio::test]
async fn a_check_verifies_what_the_file_says_of_its_own_pages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 200, 5).await;
    let sound = std::fs::read(&path).unwrap();
    let mut own = 0;
    for at in (PAGE..sound.len()).step_by(PAGE) {
        let mut bytes = sound.clone();
        bytes[at + 9] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let refused = open_on(TestRuntime::inline(), &crate::damage::at(&path), &[&PERSON]).await.err();
        if !refused.is_some_and(|error| message(&error).contains("its own pages")) {
            continue;
        }
        std::fs::write(&path, &sound).unwrap();
        let store = open_on(TestRuntime::inline(), &crate::damage::at(&path), &[&PERSON]).await.unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let found = store.check(&cx()).await.unwrap();
        assert_eq!(found.findings.first().map(|found| found.kind), Some(FindingKind::Page), "{found:?}");
        own += 1;
    }
    assert!(own > 0);
}

/// A medium of which a read fails now and then, or every write.
#[derive(Debug)]
struct Failing(Disk, Arc<AtomicU8>);

const READ: u8 = 1;
const WRITES: u8 = 2;

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.1.compare_exchange(READ, 0, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Err(io::Error::other("not now")),
            Err(_) => self.0.read(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self.1.load(Ordering::SeqCst) {
            WRITES => Err(io::ErrorKind::StorageFull.into()),
            _ => self.0.write(offset, data),
        }
    }
}

async fn failing(disk: &Disk) -> (Arc<dyn Store>, Arc<AtomicU8>) {
    let (disk, fails) = (disk.clone(), Arc::new(AtomicU8::new(0)));
    let shared = fails.clone();
    let config =
        Redb::in_memory().cache_size(0).backend(move || Ok(Box::new(Failing(disk.clone(), shared.clone()))));
    (open_on(TestRuntime::inline(), &config, &[&PERSON]).await.unwrap(), fails)
}

// Rules: d-full
#[tokio::test]
async fn a_read_that_fails_once_is_the_only_one() {
    let (store, fails) = failing(&Disk::default()).await;
    for first in (0..2_000).step_by(500) {
        save(&*store, (first..first + 500).map(row)).await;
    }
    fails.store(READ, Ordering::SeqCst);
    assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Storage);
    assert_eq!(get(&*store, &PERSON, &Query::all()).await.unwrap().len(), 2_000);
    save(&*store, [row(2_000)]).await;
}

/// The only file there is, whose reads fail as they are told.
#[derive(Debug)]
struct Alone(Disk, Arc<AtomicU8>);

impl Files for Alone {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        assert_eq!(path, Path::new("app.redb"), "nothing is set aside");
        Ok(Box::new(Failing(self.0.clone(), self.1.clone())))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(path == Path::new("app.redb"))
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

// Rules: d-salvage
#[tokio::test]
async fn a_sound_file_is_not_salvaged_because_a_read_of_it_has_failed() {
    let fails = Arc::new(AtomicU8::new(0));
    let files = Alone(Disk::default(), fails.clone());
    let config = Redb::at("app.redb").cache_size(0).files(Arc::new(files));
    let store = open_on(TestRuntime::inline(), &config, &[&PERSON]).await.unwrap();
    for first in (0..2_000).step_by(500) {
        save(&*store, (first..first + 500).map(row)).await;
    }
    fails.store(READ, Ordering::SeqCst);
    assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Storage);
    assert_eq!(store.salvage(&cx()).await.unwrap(), None);
    assert_eq!(get(&*store, &PERSON, &Query::all()).await.unwrap().len(), 2_000);
}

// Rules: d-full
#[tokio::test]
async fn reads_go_on_at_once_after_a_write_that_failed() {
    let (store, fails) = failing(&Disk::default()).await;
    for first in (0..2_000).step_by(500) {
        save(&*store, (first..first + 500).map(row)).await;
    }
    fails.store(WRITES, Ordering::SeqCst);
    assert_eq!(kind(commit(&*store, [put(&PERSON, row(1))]).await), ErrorKind::Full);
    let found = lent(&*store, &PERSON, &Query::key(1_000.into())).unwrap();
    assert_eq!(found, Some(vec![row(1_000)]), "without waiting");
}

/// Makes a commit fail while it is lent the first row, and counts what it is lent after it has begun anew.
struct Breaks {
    store: Weak<dyn Store>,
    fails: Arc<AtomicU8>,
    is_broken: bool,
    taken: Arc<AtomicU64>,
}

impl Borrower for Breaks {
    fn take(&mut self, _: MetaRef<'_>, _: &dyn Row) -> Result<()> {
        self.taken.fetch_add(1, Ordering::SeqCst);
        if !std::mem::replace(&mut self.is_broken, true) {
            self.fails.store(WRITES, Ordering::SeqCst);
            let store = self.store.upgrade().unwrap();
            let context = cx();
            let commit = store.commit(&context, batch([put(&PERSON, row(1))]));
            assert_eq!(kind(commit.now_or_never().unwrap()), ErrorKind::Full);
        }
        Ok(())
    }

    fn anew(&mut self) {
        self.taken.store(if self.is_broken { 10_000 } else { 0 }, Ordering::SeqCst);
    }
}

/// Whether they are read in pieces on the calling thread, or in one go off it.
// Rules: d-full
#[tokio::test]
async fn who_is_reading_when_the_store_can_t_be_written_to_any_more_reads_on() {
    for query in [Query::all(), Query { limit: Some(10_000), ..Query::all() }] {
        let (store, fails) = failing(&Disk::default()).await;
        for first in (0..2_000).step_by(500) {
            save(&*store, (first..first + 500).map(row)).await;
        }
        let taken = Arc::<AtomicU64>::default();
        let breaks = Breaks { store: Arc::downgrade(&store), fails, is_broken: false, taken: taken.clone() };
        store.lend(&cx(), &PERSON, &query, Box::new(breaks)).await.unwrap();
        assert_eq!(taken.load(Ordering::SeqCst), 10_000 + 2_000, "it has begun anew");
    }
}

// Rules: d-check
#[tokio::test]
async fn a_store_that_can_t_be_opened_any_more_is_a_finding() {
    let disk = Disk::default();
    let (store, fails) = failing(&disk).await;
    save(&*store, [row(1)]).await;
    fails.store(WRITES, Ordering::SeqCst);
    assert_eq!(kind(commit(&*store, [put(&PERSON, row(2))]).await), ErrorKind::Full);
    fails.store(0, Ordering::SeqCst);
    disk.write(0, &[0; PAGE]).unwrap();
    let found = store.check(&cx()).await.unwrap();
    assert_eq!(found.findings.first().map(|found| found.kind), Some(FindingKind::Page), "{found:?}");
}

// Rules: d-closing
#[tokio::test]
async fn a_refusal_is_no_damage_and_the_file_is_closed() {
    let disk = Disk::default();
    let store = open_on(TestRuntime::inline(), &disk.config(), &[&PERSON]).await.unwrap();
    save(&*store, [person(1, "x", "a@x", 1)]).await;
    assert_eq!(kind(commit(&*store, [put(&PERSON, person(2, "x", "a@x", 1))]).await), ErrorKind::Conflict);
    drop(store);
    assert_eq!(disk.bytes()[9] & 2, 0, "it need not be verified when it is opened again");
}

async fn enqueue(store: &dyn Store, count: u32, len: usize) -> Vec<u64> {
    let entry = entry(&PERSON, person(1, &"x".repeat(len), "", 1));
    commit(store, (0..count).map(|_| Op::Enqueue(entry.clone()))).await.unwrap().seqs
}

async fn dequeue(store: &dyn Store, seqs: &[u64]) {
    commit(store, seqs.iter().map(|seq| Op::Dequeue(*seq))).await.unwrap();
}

async fn size(store: &dyn Store) -> u64 {
    store.size(&cx()).await.unwrap().bytes
}

// Rules: d-compact
#[tokio::test]
async fn space_is_given_back_once_and_only_if_it_is_worth_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let counts = Arc::<Counts>::default();
    let (counted, file) = (counts.clone(), path.clone());
    let config = Redb::at(&path)
        .compact_above(1 << 20)
        .backend(move || Ok(Box::new(CountingBackend::new(backend::file(&file)?, counted.clone()))));
    let store = open_on(TestRuntime::inline(), &config, &[&PERSON]).await.unwrap();
    // What is left may be sent soon as well.
    let seqs = enqueue(&*store, 1_000, 4_000).await;
    let full = size(&*store).await;
    dequeue(&*store, &seqs[1..]).await;
    assert_eq!(size(&*store).await, full, "the outbox is not empty");
    dequeue(&*store, &seqs[..1]).await;
    let small = size(&*store).await;
    assert!(small < full / 2, "{full} became {small}");
    // That is done with: what is written next costs what it costs.
    save(&*store, [row(1)]).await;
    let before = counts.syncs();
    save(&*store, [row(2)]).await;
    assert!(counts.syncs() - before <= 2, "{} syncs", counts.syncs() - before);
    // Beside much that stays, a little is not worth it.
    for first in (0..4_000).step_by(500) {
        save(&*store, (first..first + 500).map(|id| person(id, &"x".repeat(4_000), "", 1))).await;
    }
    let seqs = enqueue(&*store, 500, 4_000).await;
    let full = size(&*store).await;
    dequeue(&*store, &seqs).await;
    assert_eq!(size(&*store).await, full);
}

/// Writes again as soon as it sees that the outbox has become empty, and looks how large the file is after that.
struct Hasty {
    store: Mutex<Option<Weak<dyn Store>>>,
    sizes: Mutex<Vec<u64>>,
    path: PathBuf,
}

impl CommitObserver for Hasty {
    fn durable(&self, _: &Touched) {}

    fn published(&self, _: &Touched) {
        self.sizes.lock().unwrap().push(std::fs::metadata(&self.path).unwrap().len());
        let store = self.store.lock().unwrap().take();
        if let Some(store) = store.and_then(|store| store.upgrade()) {
            // It is in the queue when this is asked once.
            assert!(store.commit(&cx(), batch([put(&PERSON, row(1))])).now_or_never().is_none());
        }
    }
}

// Rules: d-compact
#[tokio::test]
async fn space_is_given_back_when_nobody_waits_to_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let config = Redb::at(&path).compact_above(1 << 20);
    let store = open_on(TestRuntime::inline(), &config, &[&PERSON]).await.unwrap();
    let seqs = enqueue(&*store, 1_000, 4_000).await;
    let hasty = Arc::new(Hasty {
        store: Mutex::new(Some(Arc::downgrade(&store))),
        sizes: Mutex::default(),
        path: path.clone(),
    });
    let observer: Arc<dyn CommitObserver> = hasty.clone();
    store.observe(Arc::downgrade(&observer));
    dequeue(&*store, &seqs).await;
    let sizes = hasty.sizes.lock().unwrap().clone();
    let small = size(&*store).await;
    assert!(sizes.len() == 2 && sizes[1] == sizes[0] && small < sizes[1] / 2, "{sizes:?}, then {small}");
}

// Rules: d-compact, d-full
#[tokio::test]
async fn space_is_given_back_after_an_error_and_an_error_while_it_is_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = faulty(&directory.path().join("a.redb")).await;
    save(&*store, (0..100).map(row)).await;
    let seqs = enqueue(&*store, 500, 4_000).await;
    dequeue(&*store, &seqs).await;
    let full = size(&*store).await;
    faults.mode.store(1, Ordering::SeqCst);
    assert_eq!(kind(commit(&*store, [put(&PERSON, row(1))]).await), ErrorKind::Full);
    faults.mode.store(0, Ordering::SeqCst);
    let small = store.compact(&cx()).await.unwrap().bytes;
    assert!(small < full / 2, "{full} became {small}");
    faults.mode.store(1, Ordering::SeqCst);
    assert!(matches!(kind(store.compact(&cx()).await), ErrorKind::Full | ErrorKind::Storage));
    assert_eq!(all(&*store).await.len(), 100);
    faults.mode.store(0, Ordering::SeqCst);
    save(&*store, [row(100)]).await;
    assert_eq!(all(&*store).await.len(), 101);
}

// Rules: d-closing, d-compact
#[tokio::test]
async fn no_space_is_given_back_of_a_file_with_damaged_pages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 2_000, 0).await;
    let store = open_on(TestRuntime::inline(), &at(&path), &[&PERSON]).await.unwrap();
    spoil(&path, "name 1500");
    let damaged = std::fs::read(&path).unwrap();
    assert_eq!(kind(store.compact(&cx()).await), ErrorKind::Corrupt);
    assert!(std::fs::read(&path).unwrap()[2 * PAGE..] == damaged[2 * PAGE..], "no page was moved");
}
