//! Golden files: what each version of a model has written in each format is still read, and what is written today is
//! still what lies in the files of today's format.
//!
//! `tests/golden/format-N/vM.redb` was written by version M of the model below, in the format N of the store, with
//! mutations still queued. `cargo xtask fixtures` writes those of today's format; those of former formats are never
//! written again. Two files are the same if they hold the same keys with the same values, byte by byte; how the engine
//! lays them out in pages is its own affair.

mod account;

use std::fs;
use std::path::{Path, PathBuf};

use larder_core::{
    CompareOp, Entry, EntryState, ErrorKind, Failure, Key, Meta, MutationId, Op, Operation, ParkReason,
    Predicate, Query, Record, RowState, Schema, SendMark, Store, SyncState, Tail, Timestamp, Uuid, Value,
};
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};

use self::account::{ACCOUNT, CHANGED, CHANGED_TODAY, TODAY, VERSIONS};
use crate::disk::Disk;
use crate::support::*;

/// The format that is written today: a new one gets a directory of its own, and the files of the former stay.
const FORMAT: &str = "format-2";

/// Set by `cargo xtask fixtures`.
const WRITE: &str = "LARDER_FIXTURES";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn meta(state: RowState, id: u32) -> Meta {
    let version = (id.is_multiple_of(2)).then(|| format!("\"etag-{id}\"").into());
    let extra = (id.is_multiple_of(3)).then(|| r#"{"remote":"only"}"#.into());
    Meta { version, extra, sync: SyncState { state, since: moment(id.into()) }, ..Meta::synced(moment(0)) }
}

fn key(id: u32) -> Key {
    Uuid::from_u128(id.into()).into()
}

/// A queued mutation of row `id`, its `nth`.
fn entry(schema: &'static Schema, id: u32, nth: u128, operation: Operation) -> Entry {
    Entry {
        base_version: Some("\"etag\"".into()),
        account: Some("ada".into()),
        ..Entry::new(schema, key(id), operation, MutationId(Uuid::from_u128(nth)), moment(nth as i64))
    }
}

/// What `version` (an index into [`VERSIONS`]) writes: four rows as the remote has them, one that was made here, one
/// that was changed twice and is parked, one that was deleted.
async fn write(disk: &Disk, version: usize) {
    let (schema, row) = VERSIONS[version];
    let store = open_on(TestRuntime::inline(), &disk.config(), &[schema]).await.unwrap();
    let row = |id| std::sync::Arc::new(row(id, false));
    let changed = |id| std::sync::Arc::new(VERSIONS[version].1(id, true));
    let put = |id, row, meta, tail| Op::Put { schema, key: key(id), row, meta, tail };
    commit(&*store, (1..=4).map(|id| put(id, row(id), meta(RowState::Synced, id), Tail::At(0))))
        .await
        .unwrap();
    let made = Entry {
        row: Some(row(5)),
        changed: (0..schema.fields.len()).collect(),
        base_version: None,
        ..entry(schema, 5, 1, Operation::Insert)
    };
    let first = Entry {
        row: Some(changed(6)),
        base: Some(row(6)),
        changed: CHANGED[version].iter().copied().collect(),
        state: EntryState::Parked(ParkReason::Rejected),
        mark: Some(SendMark { first: moment(60) }),
        attempts: 2,
        strikes: 1,
        first_strike: Some(moment(61)),
        failure: Some(Failure {
            kind: ErrorKind::Http { status: 422 },
            message: "no".to_owned(),
            status: Some(422),
            body: Some("{}".to_owned()),
            at: moment(62),
        }),
        ..entry(schema, 6, 2, Operation::Update)
    };
    let second = Entry {
        prev: 2,
        row: Some(changed(6)),
        base: Some(changed(6)),
        not_before: Some(moment(63)),
        ..entry(schema, 6, 3, Operation::Update)
    };
    let deleted = Entry { base: Some(row(7)), ..entry(schema, 7, 4, Operation::Delete) };
    let ops = [
        put(5, row(5), meta(RowState::Pending, 5), Tail::New(0)),
        put(6, changed(6), meta(RowState::Parked, 6), Tail::New(2)),
        Op::Tombstone { schema, key: key(7), meta: meta(RowState::Pending, 7), tail: Tail::New(3) },
        Op::Cursor { scope: "pull/Account".to_owned(), value: Some("page 7".to_owned()) },
    ];
    let entries = [made, first, second, deleted].map(|entry| Op::Enqueue(Box::new(entry)));
    commit(&*store, entries.into_iter().chain(ops)).await.unwrap();
}

/// Every key with its value, in order.
fn dump(disk: &Disk) -> Vec<(Vec<u8>, Vec<u8>)> {
    const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("larder");
    let database = redb::Database::builder().create_with_backend(disk.clone()).unwrap();
    let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
    table
        .iter()
        .unwrap()
        .map(|pair| pair.unwrap())
        .map(|(key, value)| (key.value().to_vec(), value.value().to_vec()))
        .collect()
}

/// Asserts that `disk` holds what version `version` has written, as today's version reads it.
async fn check(disk: &Disk, version: usize, what: &str) {
    let store = open(&disk.config(), &[&ACCOUNT]).await.unwrap();
    for round in ["read", "rewritten"] {
        let what = format!("{what}, {round}");
        check_rows(&*store, &what).await;
        check_outbox(&*store, version, &what).await;
        while !store.migrate(&cx(), 2).await.unwrap().done {}
    }
}

async fn check_rows(store: &dyn Store, what: &str) {
    let rows = get(store, &ACCOUNT, &Query::all()).await.unwrap();
    let expected: Vec<Record> = (1..=6).map(|id| TODAY(id, id == 6)).collect();
    let shown: Vec<_> = rows.iter().map(|row| Record::copy(&ACCOUNT, &*row.row).unwrap()).collect();
    assert_eq!(shown, expected, "{what}");
    for (row, id) in rows.iter().zip(1..) {
        let state = match id {
            5 => RowState::Pending,
            6 => RowState::Parked,
            _ => RowState::Synced,
        };
        let tail = [0, 0, 0, 0, 1, 3][id as usize - 1];
        let revision = if id > 4 { 2 } else { 1 };
        assert_eq!(row.meta, Meta { revision, tail, ..meta(state, id) }, "{what}");
    }
    let by = |field: &str, value: Value| {
        let field = ACCOUNT.position(field).unwrap() as u16;
        where_(Predicate::Compare { field, op: CompareOp::Eq, value })
    };
    assert_eq!(keys(store, &ACCOUNT, &by("last", text("L3"))).await, [key(3)], "{what}");
    assert_eq!(keys(store, &ACCOUNT, &by("cents", 450.into())).await, [key(4)], "{what}");
    let frozen = keys(store, &ACCOUNT, &by("state", text("Frozen"))).await;
    assert_eq!(frozen, [1, 2, 4, 5].map(key), "{what}");
    let deleted = store.load(&cx(), &ACCOUNT, &key(7)).await.unwrap().unwrap();
    assert!(deleted.row.is_none(), "{what}");
    assert_eq!(deleted.meta, Meta { revision: 2, tail: 4, ..meta(RowState::Pending, 7) }, "{what}");
    assert_eq!(store.cursor(&cx(), "pull/Account").await.unwrap().as_deref(), Some("page 7"), "{what}");
}

async fn check_outbox(store: &dyn Store, version: usize, what: &str) {
    let loaded = store.outbox(&cx(), 0, 10).await.unwrap();
    assert!(loaded.unreadable.is_empty(), "{what}: {loaded:?}");
    let shown = |row: &Option<std::sync::Arc<dyn larder_core::Row>>| {
        row.as_ref().map(|row| Record::copy(&ACCOUNT, &**row).unwrap())
    };
    let rows: Vec<_> = loaded.entries.iter().map(|entry| (shown(&entry.base), shown(&entry.row))).collect();
    let expected = [
        (None, Some(TODAY(5, false))),
        (Some(TODAY(6, false)), Some(TODAY(6, true))),
        (Some(TODAY(6, true)), Some(TODAY(6, true))),
        (Some(TODAY(7, false)), None),
    ];
    assert_eq!(rows, expected, "{what}");
    let changed =
        |entry: &Entry| -> Vec<&str> { entry.changed.iter().map(|at| ACCOUNT.fields[at].name).collect() };
    assert_eq!(changed(&loaded.entries[0]).len(), ACCOUNT.fields.len(), "{what}");
    assert_eq!(changed(&loaded.entries[1]), CHANGED_TODAY[version], "{what}");
    let heads: Vec<_> =
        loaded.entries.iter().map(|entry| (entry.seq, entry.prev, entry.id.0.as_u128())).collect();
    assert_eq!(heads, [(1, 0, 1), (2, 0, 2), (3, 2, 3), (4, 0, 4)], "{what}");
    let parked = &loaded.entries[1];
    assert_eq!(parked.state, EntryState::Parked(ParkReason::Rejected), "{what}");
    assert_eq!((parked.attempts, parked.strikes, parked.mark.is_some()), (2, 1, true), "{what}");
    assert_eq!(parked.failure.as_ref().and_then(|failure| failure.status), Some(422), "{what}");
    assert!(loaded.entries.iter().all(|entry| entry.account.as_deref() == Some("ada")), "{what}");
    let counts = store.outbox_counts(&cx()).await.unwrap();
    assert_eq!((counts.entries, counts.parked), (4, 1), "{what}");
}

fn read(file: &Path) -> Option<Disk> {
    fs::read(file).ok().map(Disk::of)
}

/// Writes the file again if what lies in it is not what is written today.
fn fixture(file: &Path, today: &Disk) {
    if read(file).is_none_or(|there| dump(&there) != dump(today)) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        while redb::Database::builder().create_with_backend(today.clone()).unwrap().compact().unwrap() {}
        fs::write(file, today.bytes()).unwrap();
        println!("wrote {}", file.display());
    }
}

// Rules: m-evolve-golden, d-format
#[tokio::test]
async fn golden_files_are_read_and_today_writes_the_same() {
    let writes = std::env::var_os(WRITE).is_some();
    for version in 0..VERSIONS.len() {
        let today = Disk::default();
        write(&today, version).await;
        let name = format!("v{}.redb", version + 1);
        let file = golden().join(FORMAT).join(&name);
        if writes {
            fixture(&file, &today);
        }
        let there = read(&file).unwrap_or_else(|| panic!("{name} is missing: run `cargo xtask fixtures`"));
        let (there, today) = (dump(&there), dump(&today));
        let keys = |dump: &[(Vec<u8>, Vec<u8>)]| dump.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&there), keys(&today), "{name}: other keys than are written today");
        for ((key, stored), (_, written)) in there.iter().zip(&today) {
            assert_eq!(stored, written, "{name}: another value under {key:02x?} than is written today");
        }
    }
    let mut formats: Vec<_> = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).collect();
    formats.sort();
    for format in formats {
        for version in 0..VERSIONS.len() {
            let file = format.join(format!("v{}.redb", version + 1));
            let Some(disk) = read(&file) else { panic!("{} is missing", file.display()) };
            check(&disk, version, &file.display().to_string()).await;
            let is_there = |space: u8| dump(&disk).iter().any(|(key, _)| *key == [space]);
            assert!(is_there(0x4f) && !is_there(0x51), "the counters lie where they do today");
        }
    }
}

// Rules: m-evolve-newer, m-evolve-golden
#[tokio::test]
async fn a_golden_file_of_a_newer_version_is_refused_and_stays_as_it_is() {
    for (version, older) in [(2, 0), (2, 1), (1, 0)] {
        let disk = read(&golden().join(FORMAT).join(format!("v{}.redb", version + 1))).unwrap();
        let before = dump(&disk);
        let error = open(&disk.config(), &[VERSIONS[older].0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(dump(&disk), before);
        check(&disk, version, "refused before").await;
    }
}

#[tokio::test]
async fn a_file_from_before_keys_were_noted_down_is_read_too() {
    const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("larder");
    const KEYS: u8 = 0x06;
    let disk = read(&golden().join(FORMAT).join("v1.redb")).unwrap();
    let database = redb::Database::builder().create_with_backend(disk.clone()).unwrap();
    let transaction = database.begin_write().unwrap();
    let removed = transaction.open_table(TABLE).unwrap().remove([KEYS, 0, 0].as_slice()).unwrap().is_some();
    assert!(removed);
    transaction.commit().unwrap();
    drop(database);
    check(&disk, 0, "without the note").await;
}
