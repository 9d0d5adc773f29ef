//! What the store does when the medium fails or lies.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use larder_core::{
    CommitObserver, CompareOp, EntryState, Error, ErrorKind, Key, KeyDef, Meta, Op, Order, OutboxCounts,
    ParkReason, Predicate, Query, Record, Schema, Store, Tail, Timestamp, Touched, Value,
};
use larder_redb::{OnCorrupt, Redb, StorageBackend, backend};
use redb::{Database, ReadableTable, TableDefinition};

use crate::support::*;

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("larder");
pub(crate) const ROWS: u8 = 0x20;
pub(crate) const ENTRIES: u8 = 0x30;
pub(crate) const COUNTERS: u8 = 0x4f;
pub(crate) const OUTBOX: u8 = 0x50;

/// A store that leaves damage as it is, to be looked at.
pub(crate) fn at(path: &Path) -> Redb {
    Redb::at(path).on_corrupt(OnCorrupt::Fail)
}

/// What lies in a space.
pub(crate) fn pairs(path: &Path, space: u8) -> Vec<(Vec<u8>, Vec<u8>)> {
    let found = Mutex::new(Vec::new());
    tamper(path, space, |key, value| {
        found.lock().unwrap().push((key.to_vec(), value.clone()));
        false
    });
    found.into_inner().unwrap()
}

/// Changes what is stored in a space, behind the store's back.
pub(crate) fn tamper(path: &Path, space: u8, change: impl Fn(&[u8], &mut Vec<u8>) -> bool) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(TABLE).unwrap();
        let range = table.range::<&[u8]>([space].as_slice()..[space + 1].as_slice()).unwrap();
        let pairs: Vec<_> = range
            .map(|pair| pair.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())).unwrap())
            .collect();
        for (key, mut value) in pairs {
            if change(&key, &mut value) {
                table.insert(key.as_slice(), value.as_slice()).unwrap();
            }
        }
    }
    transaction.commit().unwrap();
}

pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

// Rules: d-checksum
#[tokio::test]
async fn an_altered_row_is_never_returned_and_hides_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    save(&*store, (1..=3).map(|id| person(id, "x", &format!("{id}@x"), 1))).await;
    drop(store);
    tamper(&path, ROWS, |key, value| {
        let hit = key.ends_with(&[2]);
        if hit {
            let last = value.len() - 1;
            value[last] ^= 0x10;
        }
        hit
    });
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    assert_eq!(kind(find(&*store, &PERSON, 2).await), ErrorKind::Corrupt);
    assert_eq!(kind(lent(&*store, &PERSON, &Query::key(2.into()))), ErrorKind::Corrupt);
    assert_eq!(kind(store.load(&cx(), &PERSON, &2.into()).await), ErrorKind::Corrupt);
    assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Corrupt);
    let rows = [1, 3].map(Key::from);
    assert_eq!(keys(&*store, &PERSON, &where_(Predicate::Keys(rows.to_vec()))).await, rows);
    // It can be written again, and what it had in the indexes goes with it.
    save(&*store, [person(2, "x", "new@x", 7)]).await;
    assert_eq!(all(&*store).await, [1, 2, 3].map(Key::from));
    let by_email = |email| where_(Predicate::Compare { field: 2, op: CompareOp::Eq, value: text(email) });
    assert!(keys(&*store, &PERSON, &by_email("2@x")).await.is_empty());
    save(&*store, [person(4, "x", "2@x", 7)]).await;
    drop(store);
    assert_eq!(pairs(&path, ENTRIES).len(), 4 * PERSON.indexes.len());
}

#[tokio::test]
async fn an_entry_that_was_left_behind_is_in_nobody_s_way() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    save(&*store, [person(1, "x", "old@x", 1)]).await;
    drop(store);
    let old = pairs(&path, ENTRIES);
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    save(&*store, [person(1, "x", "new@x", 5)]).await;
    drop(store);
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(TABLE).unwrap();
    for (key, value) in &old {
        table.insert(key.as_slice(), value.as_slice()).unwrap();
    }
    drop(table);
    transaction.commit().unwrap();
    drop(database);
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    // The value is free, the row comes once, and where it belongs.
    save(&*store, [person(2, "x", "old@x", 3)]).await;
    let by_age = Query {
        order: vec![Order::asc(3)],
        ..where_(Predicate::Compare { field: 4, op: CompareOp::Eq, value: text("Oslo") })
    };
    assert_eq!(keys(&*store, &PERSON, &by_age).await, [2, 1].map(Key::from));
    let both = where_(Predicate::In { field: 2, values: vec![text("old@x"), text("new@x")] });
    assert_eq!(keys(&*store, &PERSON, &both).await, [1, 2].map(Key::from));
}

#[tokio::test]
async fn indexes_hold_what_the_rows_say_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    let mut seed = 7_u32;
    let mut random = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    let meta = Meta::synced(Timestamp::UNIX_EPOCH);
    let context = cx();
    for _ in 0..60 {
        let mut op = || {
            let (id, kind) = (random(20), random(6));
            match kind {
                0 => Op::Remove { schema: &PERSON, key: id.into() },
                1 => Op::Tombstone { schema: &PERSON, key: id.into(), meta: meta.clone(), tail: Tail::At(0) },
                _ => put(
                    &PERSON,
                    person(id, "x", ["", "a@x", "b@x", "c@x"][random(4) as usize], random(5).into()),
                ),
            }
        };
        // Many of these break the unique index and are taken back.
        let batches = (0..4).map(|_| batch([op(), op(), op()])).collect::<Vec<_>>();
        let _ =
            futures_util::future::join_all(batches.into_iter().map(|batch| store.commit(&context, batch)))
                .await;
    }
    let rows = all(&*store).await.len();
    drop(store);
    let entries = pairs(&path, ENTRIES);
    assert_eq!(entries.len(), rows * PERSON.indexes.len());
    // Building them anew comes to the same.
    static PLAIN: Schema = Schema::new("Person", PERSON.fields, KeyDef::natural(&[0]));
    drop(open(&at(&path), &[&PLAIN]).await.unwrap());
    assert!(pairs(&path, ENTRIES).is_empty());
    drop(open(&at(&path), &[&PERSON]).await.unwrap());
    let mut built = pairs(&path, ENTRIES);
    let without_id =
        |pairs: &mut Vec<(Vec<u8>, Vec<u8>)>| pairs.iter_mut().for_each(|(key, _)| drop(key.drain(1..3)));
    let mut kept = entries;
    without_id(&mut built);
    without_id(&mut kept);
    assert_eq!(built, kept);
}

#[tokio::test]
async fn a_row_in_another_s_place_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    save(&*store, [person(1, "x", "", 1), person(2, "y", "", 1)]).await;
    drop(store);
    let first = Mutex::new(Vec::new());
    tamper(&path, ROWS, |_, value| {
        let mut first = first.lock().unwrap();
        if first.is_empty() {
            first.clone_from(value);
        } else {
            value.clone_from(&first);
        }
        true
    });
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    assert_eq!(kind(lent(&*store, &PERSON, &Query::key(2.into()))), ErrorKind::Corrupt);
    assert_eq!(kind(store.load(&cx(), &PERSON, &2.into()).await), ErrorKind::Corrupt);
    assert!(find(&*store, &PERSON, 1).await.unwrap().is_some());
}

// Rules: d-checksum
#[tokio::test]
async fn an_altered_entry_hides_no_other_and_the_counts_stay_right() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    crate::outbox::enqueue(&*store, 3).await;
    let mut parked = store.entry(&cx(), 2).await.unwrap().unwrap();
    parked.state = EntryState::Parked(ParkReason::Rejected);
    commit(&*store, [Op::Revise(Box::new(parked))]).await.unwrap();
    drop(store);
    tamper(&path, OUTBOX, |key, value| {
        let hit = key.ends_with(&[2]);
        if hit {
            value[9] ^= 1;
        }
        hit
    });
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    let loaded = store.outbox(&cx(), 0, 10).await.unwrap();
    assert_eq!((loaded.entries.len(), loaded.last), (2, 3));
    assert_eq!((loaded.unreadable[0].seq, loaded.unreadable[0].error.kind()), (2, ErrorKind::Corrupt));
    commit(&*store, [Op::Dequeue(2)]).await.unwrap();
    assert_eq!(store.outbox_counts(&cx()).await.unwrap(), OutboxCounts { entries: 2, parked: 0 });
}

/// The newest entry or the oldest has the counters with it: if it is damaged, they are made out anew, and no number is
/// handed out twice.
// Rules: d-checksum, p-durable
#[tokio::test]
async fn a_damaged_entry_takes_no_number_with_it() {
    for (removed, damaged) in [(None, 4), (Some(1), 2)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.redb");
        let store = open(&at(&path), &[&PERSON]).await.unwrap();
        crate::outbox::enqueue(&*store, 3).await;
        enqueue_one(&*store).await;
        if let Some(seq) = removed {
            commit(&*store, [Op::Dequeue(seq)]).await.unwrap();
        }
        let (revision, entries) = (store.revision(), 4 - u64::from(removed.is_some()));
        drop(store);
        tamper(&path, OUTBOX, |key, value| {
            let hit = key.ends_with(&[damaged]);
            if hit {
                value[9] ^= 1;
            }
            hit
        });
        for _ in 0..2 {
            let store = open(&at(&path), &[&PERSON]).await.unwrap();
            assert_eq!(store.outbox_counts(&cx()).await.unwrap(), OutboxCounts { entries, parked: 0 });
        }
        let store = open(&at(&path), &[&PERSON]).await.unwrap();
        let next = enqueue_one(&*store).await;
        assert!(next.seqs == [5] && next.revision > revision, "{next:?}");
        commit(&*store, [Op::Dequeue(u64::from(damaged))]).await.unwrap();
        drop(store);
        let store = open(&at(&path), &[&PERSON]).await.unwrap();
        assert_eq!(store.outbox_counts(&cx()).await.unwrap(), OutboxCounts { entries, parked: 0 });
        assert_eq!(enqueue_one(&*store).await.seqs, [6]);
    }
}

async fn enqueue_one(store: &dyn Store) -> larder_core::Committed {
    commit(store, [Op::Enqueue(crate::outbox::entry(&PERSON, person(1, "x", "", 1)))]).await.unwrap()
}

// Rules: d-checksum
#[tokio::test]
async fn what_is_noted_down_is_verified() {
    for space in [0x01, 0x02, 0x03, 0x04, COUNTERS] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.redb");
        drop(open(&at(&path), &[&PERSON]).await.unwrap());
        tamper(&path, space, |_, value| {
            value[5] ^= 1;
            true
        });
        assert_eq!(kind(open(&at(&path), &[&PERSON]).await), ErrorKind::Corrupt, "space {space}");
    }
}

/// Makes a file one of a newer format.
pub(crate) fn make_newer(path: &Path) {
    tamper(path, 0x01, |_, value| {
        *value = sealed(&[&value[4..value.len() - 2], &[3, 0]].concat());
        true
    });
}

// Rules: m-evolve-newer, d-format
#[tokio::test]
async fn a_newer_format_is_refused_clearly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    drop(open(&at(&path), &[&PERSON]).await.unwrap());
    make_newer(&path);
    let error = open(&at(&path), &[&PERSON]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "nothing is damaged, so nothing may be salvaged");
    assert!(message(&error).contains("format 3, newer than 2"), "{error}");
}

// Rules: d-format
#[tokio::test]
async fn files_that_are_not_ours_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    std::fs::write(&path, "a text file that is certainly no database".repeat(1000)).unwrap();
    let error = open(&at(&path), &[&PERSON]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(message(&error).contains("no database of this application"), "{error}");
    // Another application's redb file, with and without a table of our table's name.
    for name in ["other", "larder"] {
        let path = directory.path().join(name);
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TableDefinition::<u64, u64>::new(name)).unwrap().insert(1, 1).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = open(&at(&path), &[&PERSON]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(message(&error).contains("another application"), "{error}");
        // And left as they were.
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        assert_eq!(
            transaction
                .open_table(TableDefinition::<u64, u64>::new(name))
                .unwrap()
                .get(1)
                .unwrap()
                .unwrap()
                .value(),
            1
        );
    }
}

// Rules: d-second
#[tokio::test]
async fn a_second_opener_and_a_missing_directory_are_told_clearly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    let error = open(&at(&path), &[&PERSON]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(message(&error).contains("is open in another process or repository"), "{error}");
    drop(store);
    open(&at(&path), &[&PERSON]).await.unwrap();
    let missing = directory.path().join("no/such/a.redb");
    let error = open(&at(&missing), &[&PERSON]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(message(&error).contains("no/such/a.redb"), "{error}");
}

/// What the faulty medium does wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// 1: writes find no space; 2: syncs work and report that they did not; 3: as 2, once `left` syncs are used up.
    pub(crate) mode: AtomicU8,
    opened: AtomicU64,
    left: AtomicU64,
}

#[derive(Debug)]
struct Faulty(Box<dyn StorageBackend>, Arc<Faults>);

impl StorageBackend for Faulty {
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
        self.0.sync_data()?;
        match self.1.mode.load(Ordering::SeqCst) {
            2 => Err(io::Error::other("a sync that lies")),
            3 => {
                match self.1.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                {
                    Ok(_) => Ok(()),
                    Err(_) => Err(io::Error::other("a sync that lies")),
                }
            }
            _ => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self.1.mode.load(Ordering::SeqCst) {
            1 => Err(io::ErrorKind::StorageFull.into()),
            _ => self.0.write(offset, data),
        }
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

pub(crate) async fn faulty(path: &Path) -> (Arc<dyn Store>, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let (shared, path) = (faults.clone(), path.to_owned());
    let config = at(&path).backend(move || {
        shared.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Faulty(backend::file(&path)?, shared.clone())))
    });
    (open(&config, &[&PERSON]).await.unwrap(), faults)
}

// Rules: d-full
#[tokio::test]
async fn a_full_disk_stops_writes_alone_and_the_store_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = faulty(&directory.path().join("a.redb")).await;
    save(&*store, (0..50).map(|id| person(id, "x", "", 1))).await;
    let revision = store.revision();
    let recorder = Arc::new(Recorder::default());
    let observer: Arc<dyn CommitObserver> = recorder.clone();
    store.observe(Arc::downgrade(&observer));
    faults.mode.store(1, Ordering::SeqCst);
    let write = async |id| commit(&*store, [put(&PERSON, person(id, "y", "", 1))]).await;
    assert_eq!(kind(write(100).await), ErrorKind::Full);
    // Nothing was published, and reads go on.
    assert_eq!(store.revision(), revision);
    assert!(lent(&*store, &PERSON, &Query::key(1.into())).unwrap().is_some(), "at once");
    assert_eq!(all(&*store).await.len(), 50);
    for id in 101..105 {
        assert!(matches!(kind(write(id).await), ErrorKind::Full | ErrorKind::Storage));
    }
    faults.mode.store(0, Ordering::SeqCst);
    // The reopening may have failed for want of space: then a read brings the store back as well.
    assert_eq!(get(&*store, &PERSON, &Query::all()).await.unwrap().len(), 50);
    let committed = write(100).await.unwrap();
    assert!(committed.revision > revision);
    assert_eq!(*recorder.0.lock().unwrap(), [committed.revision]);
    assert_eq!(all(&*store).await.len(), 51);
    assert!(faults.opened.load(Ordering::SeqCst) > 1);
}

// Rules: m-index
#[tokio::test]
async fn the_building_of_an_index_goes_on_where_it_was_interrupted() {
    static PLAIN: Schema = Schema::new("Person", PERSON.fields, KeyDef::natural(&[0]));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&PLAIN]).await.unwrap();
    commit(&*store, (0..20_000).map(|id| put(&PLAIN, person(id, "x", "", i64::from(id % 10)))))
        .await
        .unwrap();
    drop(store);
    let faults = Arc::new(Faults::default());
    let (shared, file) = (faults.clone(), path.clone());
    let config = at(&path).backend(move || Ok(Box::new(Faulty(backend::file(&file)?, shared.clone()))));
    faults.mode.store(3, Ordering::SeqCst);
    let mut interrupted = 0;
    let store = loop {
        // Each attempt gets a little further, and none of them starts over.
        faults.left.store(6, Ordering::SeqCst);
        match open(&config, &[&PERSON]).await {
            Ok(store) => break store,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Storage),
        }
        interrupted += 1;
        assert!(interrupted < 20, "it starts over each time");
    };
    assert!(interrupted > 1);
    faults.mode.store(0, Ordering::SeqCst);
    let by_age = where_(Predicate::And(vec![
        Predicate::Compare { field: 4, op: CompareOp::Eq, value: text("Oslo") },
        Predicate::Compare { field: 3, op: CompareOp::Eq, value: Value::Int(4) },
    ]));
    assert_eq!(get(&*store, &PERSON, &by_age).await.unwrap().len(), 2000);
    drop(store);
    assert_eq!(pairs(&path, ENTRIES).len(), 20_000 * PERSON.indexes.len());
}

#[derive(Default)]
struct Recorder(Mutex<Vec<u64>>);

impl CommitObserver for Recorder {
    fn durable(&self, _: &Touched) {}

    fn published(&self, touched: &Touched) {
        self.0.lock().unwrap().push(touched.revision);
    }
}

#[tokio::test]
async fn a_commit_that_failed_and_was_durable_after_all_is_told_when_it_shows() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = faulty(&directory.path().join("a.redb")).await;
    let recorder = Arc::new(Recorder::default());
    let observer: Arc<dyn CommitObserver> = recorder.clone();
    store.observe(Arc::downgrade(&observer));
    save(&*store, [person(1, "x", "", 1)]).await;
    faults.mode.store(2, Ordering::SeqCst);
    assert_eq!(kind(commit(&*store, [put(&PERSON, person(2, "x", "", 1))]).await), ErrorKind::Storage);
    assert_eq!(all(&*store).await.len() as u64, store.revision(), "it has reopened itself");
    faults.mode.store(0, Ordering::SeqCst);
    save(&*store, [person(3, "x", "", 1)]).await;
    let count = all(&*store).await.len() as u64;
    // Whether the second one survived is redb's affair; that readers, revisions and observers agree is ours.
    assert_eq!(store.revision(), count);
    assert_eq!(*recorder.0.lock().unwrap(), (1..=count).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_medium_that_is_gone_fails_reads_until_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let gone = Arc::new(AtomicU8::new(0));
    let (shared, file) = (gone.clone(), path.clone());
    let faults = Arc::new(Faults::default());
    let inner = faults.clone();
    let config = at(&path).backend(move || match shared.load(Ordering::SeqCst) {
        0 => Ok(Box::new(Faulty(backend::file(&file)?, inner.clone()))),
        _ => Err(io::Error::other("unplugged")),
    });
    let store = open(&config, &[&PERSON]).await.unwrap();
    save(&*store, [person(1, "x", "", 1)]).await;
    faults.mode.store(1, Ordering::SeqCst);
    gone.store(1, Ordering::SeqCst);
    assert_eq!(kind(commit(&*store, [put(&PERSON, person(2, "x", "", 1))]).await), ErrorKind::Full);
    assert_eq!(kind(commit(&*store, [put(&PERSON, person(2, "x", "", 1))]).await), ErrorKind::Storage);
    assert!(lent(&*store, &PERSON, &Query::all()).unwrap().is_none(), "not without waiting");
    assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Storage);
    gone.store(0, Ordering::SeqCst);
    faults.mode.store(0, Ordering::SeqCst);
    assert_eq!(get(&*store, &PERSON, &Query::all()).await.unwrap().len(), 1);
    save(&*store, [person(2, "x", "", 1)]).await;
}

// Rules: d-panic
#[tokio::test]
async fn damaged_pages_are_errors_and_never_panics_or_wrong_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let row = |id: u32| person(id, &format!("name {id}"), &format!("{id}@x"), i64::from(id));
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    save(&*store, (0..2000).map(row)).await;
    drop(store);
    let sound = std::fs::read(&path).unwrap();
    let (mut seed, mut errors) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for round in 0..60 {
        let mut bytes = sound.clone();
        let page = 4096 * (1 + random(bytes.len() / 4096 - 1));
        match round % 3 {
            0 => bytes[page..page + 4096].fill(0),
            1 => bytes[page..page + 4096].iter_mut().for_each(|byte| *byte = random(256) as u8),
            _ => bytes[page + random(4096)] ^= 1 << random(8),
        }
        let damaged = directory.path().join("damaged.redb");
        std::fs::write(&damaged, bytes).unwrap();
        // Inline, so that what redb says when it panics stays in this test's output.
        let Ok(store) = open_on(TestRuntime::inline(), &at(&damaged), &[&PERSON]).await else {
            errors += 1;
            continue;
        };
        let mut failed = false;
        for id in (0..2000).step_by(7) {
            match lent(&*store, &PERSON, &Query::key(id.into())) {
                Ok(rows) => assert!(rows.unwrap().iter().all(|found| *found == row(id)), "a wrong row {id}"),
                Err(error) => failed |= matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Storage),
            }
        }
        match get(&*store, &PERSON, &Query::all()).await {
            Ok(rows) => assert!(rows.iter().all(|found| {
                let copy = Record::copy(&PERSON, &*found.row).unwrap();
                matches!(copy.get(0), Some(Value::Int(id)) if row(*id as u32) == copy)
            })),
            Err(error) => failed |= error.kind() == ErrorKind::Corrupt,
        }
        // A write may or may not work; it must not bring anything down.
        failed |= commit(&*store, [put(&PERSON, row(9999))]).await.is_err();
        drop(store);
        errors += u32::from(failed);
    }
    assert!(errors > 10, "only {errors} of 60 were noticed: does the damage reach the rows?");
}
