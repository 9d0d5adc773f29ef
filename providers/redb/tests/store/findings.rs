//! What a check finds: each kind of finding, the row that it names, and nothing beside it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder_core::packed::{Stored, write_meta};
use larder_core::query::plan::Access;
use larder_core::{
    EntryState, ErrorKind, FieldDef, FindingKind, IndexDef, Integrity, Key, KeyDef, Kind, MetaRef, Migration,
    OldRow, Op, Order, ParkReason, Query, Schema, Store, Tail, Timestamp,
};
use larder_redb::{Redb, StorageBackend as _};
use redb::{Database, TableDefinition};

use crate::damage::{ENTRIES, OUTBOX, ROWS, at, kind, pairs, tamper};
use crate::disk::Disk;
use crate::salvage::{filled, remove, row};
use crate::support::*;

use FindingKind::{Altered, Miscounted, MissingEntry, MissingIndexEntry, MissingRow, Page, StrayIndexEntry};

/// The note of how far a migration has come: nothing else of what is noted down is left unread when a store is opened.
const PROGRESS: u8 = 0x05;
const CURSORS: u8 = 0x10;

type Found = (FindingKind, Option<&'static str>, Option<&'static str>);

/// A finding about a row of the persons.
fn of(kind: FindingKind, key: &'static str) -> Found {
    (kind, Some("Person"), Some(key))
}

fn shown(found: &Integrity) -> Vec<(FindingKind, Option<&str>, Option<&str>)> {
    found.findings.iter().map(|it| (it.kind, it.model.as_deref(), it.key.as_deref())).collect()
}

/// Changes a copy of `path`, and compares all that a check finds then.
async fn case(path: &Path, what: &str, change: impl AsyncFn(&Path), expected: &[Found]) {
    let copy = path.with_file_name(what);
    std::fs::copy(path, &copy).unwrap();
    change(&copy).await;
    let store = open(&at(&copy), &[&PERSON]).await.unwrap();
    let found = store.check(&cx()).await.unwrap();
    assert_eq!(shown(&found), expected, "{what}: {found:?}");
    assert_eq!(found.found, expected.len() as u64, "{what}");
}

/// Changes what has a key that ends so.
fn change(path: &Path, space: u8, ending: &[u8], change: impl Fn(&mut Vec<u8>)) {
    tamper(path, space, |key, value| {
        let hit = key.ends_with(ending);
        if hit {
            change(value);
        }
        hit
    });
}

fn flip(value: &mut [u8]) {
    let last = value.len() - 1;
    value[last] ^= 1;
}

pub(crate) fn insert(path: &Path, key: &[u8], value: &[u8]) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let definition = TableDefinition::<&[u8], &[u8]>::new("larder");
    transaction.open_table(definition).unwrap().insert(key, value).unwrap();
    transaction.commit().unwrap();
}

/// The record again, sound, with another meta or body.
fn made(record: &[u8], meta: impl Fn(MetaRef<'_>) -> MetaRef<'_>, body: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let stored = Stored::parse(record).unwrap();
    let mut bytes = stored.body.unwrap().to_vec();
    body(&mut bytes);
    let mut record = Vec::new();
    write_meta(&mut record, meta(stored.meta), Some(&bytes)).unwrap();
    record
}

/// The bytes of an outbox entry.
fn entry(path: &Path, seq: usize) -> Vec<u8> {
    pairs(path, OUTBOX)[seq - 1].1.clone()
}

// Rules: d-check
#[tokio::test]
async fn each_thing_that_is_wrong_is_found_and_named_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    // The rows 0 to 4 have the entries 1 to 5.
    filled(&path, 50, 5).await;
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    commit(&*store, [Op::Cursor { scope: "s".into(), value: Some("v".into()) }]).await.unwrap();
    drop(store);
    let case = async |what, change: &dyn Fn(&Path), expected: &[Found]| {
        case(&path, what, async |path| change(path), expected).await;
    };

    case("nothing", &|_| {}, &[]).await;
    // What a damaged row has in the indexes, and its entry, are not wrong.
    case("a row", &|path| change(path, ROWS, &[2], |value| flip(value)), &[of(Altered, "2")]).await;
    let unknown = |record: &mut Vec<u8>| *record = made(record, |meta| meta, |body| body[1] = 99);
    case("a row of no shape", &|path| change(path, ROWS, &[7], unknown), &[of(Altered, "7")]).await;
    let is_elsewhere = |path: &Path| {
        let rows = pairs(path, ROWS);
        insert(path, &rows[8].0, &rows[7].1);
    };
    let misplaced = [
        of(Altered, "8"),
        of(MissingIndexEntry, "8"),
        of(MissingIndexEntry, "8"),
        of(StrayIndexEntry, "8"),
        of(StrayIndexEntry, "8"),
    ];
    case("a row in another's place", &is_elsewhere, &misplaced).await;
    case("a cursor", &|path| change(path, CURSORS, b"s", |value| flip(value)), &[(Altered, None, Some("s"))])
        .await;
    let note = |path: &Path| insert(path, &[PROGRESS], b"no note");
    case("a note", &note, &[(Altered, None, Some("[05]"))]).await;
    case("an entry", &|path| change(path, OUTBOX, &[2], |value| flip(value)), &[(Altered, None, Some("#2"))])
        .await;

    let gone = |path: &Path| remove(path, ROWS, |key| key.ends_with(&[40]));
    case("a row is gone", &gone, &[of(StrayIndexEntry, "40"); 3]).await;
    let gone = |path: &Path| remove(path, ROWS, |key| key.ends_with(&[1]));
    let (stray, missing) = (of(StrayIndexEntry, "1"), of(MissingRow, "1"));
    case("a row with an entry is gone", &gone, &[stray, stray, stray, missing]).await;
    let earlier = |record: &mut Vec<u8>| *record = made(record, |meta| MetaRef { tail: 1, ..meta }, |_| {});
    let later = |record: &mut Vec<u8>| *record = made(record, |meta| MetaRef { tail: 99, ..meta }, |_| {});
    let expected = [of(MissingEntry, "9"), (Miscounted, None, None)];
    case("a row that knows a later one", &|path| change(path, ROWS, &[9], later), &expected).await;
    case("a row that knows an earlier one", &|path| change(path, ROWS, &[1], earlier), &[missing]).await;
    let gone = |path: &Path| remove(path, OUTBOX, |key| key.ends_with(&[3]));
    let expected = [of(MissingEntry, "2"), (Miscounted, None, None)];
    case("an outbox entry is gone", &gone, &expected).await;

    let email = |key: &[u8]| key[2] == 0 && key.ends_with(&[9]);
    let gone = |path: &Path| remove(path, ENTRIES, email);
    case("an index entry is gone", &gone, &[of(MissingIndexEntry, "9")]).await;
    let cut = |path: &Path| {
        tamper(path, ENTRIES, |key, value| {
            value.fill(0xff);
            email(key)
        });
    };
    let expected = [of(MissingIndexEntry, "9"), (Altered, Some("Person"), None)];
    case("an index entry that leads nowhere", &cut, &expected).await;
    let former = |path: &Path| insert_former(path, email);
    case("an index entry of a former value", &former, &[of(StrayIndexEntry, "9")]).await;
}

/// Inserts the entry of an email once more, as if its row had once had another one: the last of all.
fn insert_former(path: &Path, is: impl Fn(&[u8]) -> bool) {
    let (mut key, value) = pairs(path, ENTRIES).into_iter().find(|(key, _)| is(key)).unwrap();
    let at = key.windows(2).position(|bytes| bytes == b"@x").unwrap();
    key[at - 1] = b'z';
    insert(path, &key, &value);
}

// Rules: q-order, d-check
#[tokio::test]
async fn a_row_comes_once_and_in_its_place_though_an_index_has_an_entry_of_a_former_value() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 10, 0).await;
    insert_former(&path, |key| key[2] == 0 && key.ends_with(&[1]));
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    let up = Query { order: vec![Order::asc(2)], limit: Some(11), ..Query::all() };
    let down = Query { order: vec![Order::desc(2)], limit: Some(5), ..Query::all() };
    for (query, expected) in [(up, Vec::from_iter(0..10)), (down, vec![9, 8, 7, 6, 5])] {
        let plan = store.explain(&PERSON, &query).unwrap();
        assert!(matches!(plan.access, Access::Index { .. }), "{plan}");
        let expected: Vec<Key> = expected.into_iter().map(Key::Int).collect();
        assert_eq!(keys(&*store, &PERSON, &query).await, expected);
    }
}

async fn park(store: &dyn Store, seq: u64) {
    let mut parked = store.entry(&cx(), seq).await.unwrap().unwrap();
    parked.state = EntryState::Parked(ParkReason::Rejected);
    commit(store, [Op::Revise(Box::new(parked))]).await.unwrap();
}

/// The counters lie behind the newest entry or the oldest. Of another time than what is there, they are wrong.
// Rules: d-check
#[tokio::test]
async fn counters_that_are_older_than_what_is_there_are_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 50, 5).await;
    let oldest = entry(&path, 1);
    // Puts back what lay behind the oldest entry.
    let put_back = |path: &Path| change(path, OUTBOX, &[1], |value| value.clone_from(&oldest));
    let wrong = [(Miscounted, None, None)];
    let parked = async |path: &Path| {
        let store = open(&at(path), &[&PERSON]).await.unwrap();
        park(&*store, 3).await;
    };
    case(&path, "the newest", parked, &[]).await;
    let parked = async |path: &Path| {
        parked(path).await;
        put_back(path);
    };
    case(&path, "one parked", parked, &wrong).await;
    // What is counted is right, and the next commit would have the revision of a row that is there.
    let saved = async |path: &Path| {
        let store = open(&at(path), &[&PERSON]).await.unwrap();
        save(&*store, [row(30)]).await;
    };
    case(&path, "all of it", saved, &[]).await;
    let saved = async |path: &Path| {
        saved(path).await;
        put_back(path);
    };
    case(&path, "a revision", saved, &wrong).await;
}

// Rules: d-check
#[tokio::test]
async fn all_that_was_looked_at_is_counted_what_is_damaged_included() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 50, 5).await;
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    let meta = larder_core::Meta::synced(Timestamp::UNIX_EPOCH);
    let gone = Op::Tombstone { schema: &PERSON, key: 40.into(), meta, tail: Tail::At(0) };
    let cursor = |scope: &str| Op::Cursor { scope: scope.into(), value: Some("v".into()) };
    commit(&*store, [gone, cursor("s"), cursor("t")]).await.unwrap();
    drop(store);
    change(&path, ROWS, &[7], |value| flip(value));
    let found = open(&at(&path), &[&PERSON]).await.unwrap().check(&cx()).await.unwrap();
    assert_eq!((found.rows, found.tombstones, found.index_entries), (49, 1, 49 * 3));
    assert_eq!((found.entries, found.cursors, found.found), (5, 2, 1));
    assert!(found.pages > 0 && !found.is_sound());
}

// Rules: d-check
#[tokio::test]
async fn what_today_s_application_does_not_name_or_can_t_bring_up_to_date_is_not_damaged() {
    static MENDED: AtomicBool = AtomicBool::new(false);
    fn refuses(row: &mut OldRow) -> Result<(), String> {
        let refused = !MENDED.load(Ordering::SeqCst) && row.get("name") == Some(&text("odd"));
        if refused { Err("an odd name".into()) } else { Ok(()) }
    }
    static OLD: Schema = Schema::new("Note", PERSON.fields, KeyDef::natural(&[0]));
    static NEW: Schema = Schema::new("Note", PERSON.fields, KeyDef::natural(&[0]))
        .version(2)
        .migrations(&[Migration::step(1, refuses)])
        .indexes(&[IndexDef { name: "name", fields: &[1], unique: false }]);
    let config = Redb::in_memory();
    let store = open(&config, &[&OLD, &PERSON]).await.unwrap();
    commit(&*store, ["plain", "odd"].iter().zip(1..).map(|(name, id)| put(&OLD, person(id, name, "", 1))))
        .await
        .unwrap();
    save(&*store, [row(1)]).await;
    drop(store);
    // The other model has index entries, which nobody knows.
    let store = open(&config, &[&NEW]).await.unwrap();
    let found = store.check(&cx()).await.unwrap();
    assert!(found.is_sound(), "{found:?}");
    assert_eq!((found.rows, found.index_entries), (3, 2 + 3));
    // The index was built when one of the rows could not be read; it is not used, and is not wrong.
    MENDED.store(true, Ordering::SeqCst);
    assert_eq!(keys(&*store, &NEW, &Query::all()).await, [1, 2].map(Key::from));
    let found = store.check(&cx()).await.unwrap();
    assert!(found.is_sound(), "{found:?}");
}

/// An entry keeps its old key if what it says can't be brought up to date.
// Rules: d-check
#[tokio::test]
async fn an_entry_that_has_kept_its_old_key_misses_no_row() {
    const FIELDS: &[FieldDef] = &[FieldDef::new("id", Kind::Str), FieldDef::new("text", Kind::Str)];
    fn moves(row: &mut OldRow) -> Result<(), String> {
        let id = match row.get("id") {
            Some(larder_core::Value::Str(id)) => format!("new {id}"),
            other => return Err(format!("{other:?} is no id")),
        };
        if row.get("text") == Some(&text("odd")) {
            return Err("an odd text".into());
        }
        row.set("id", id.as_str());
        Ok(())
    }
    static OLD: Schema = Schema::new("Note", FIELDS, KeyDef::natural(&[0]));
    static NEW: Schema = Schema::new("Note", FIELDS, KeyDef::natural(&[0]))
        .version(2)
        .migrations(&[Migration::rekey(1, moves)]);
    let note = |words| larder_core::Record::new([Some(text("n")), Some(text(words))]);
    let config = Redb::in_memory();
    let store = open(&config, &[&OLD]).await.unwrap();
    let meta = larder_core::Meta::synced(Timestamp::UNIX_EPOCH);
    let queued = Op::Enqueue(crate::outbox::entry(&OLD, note("odd")));
    commit(&*store, [put_with(&OLD, note("plain"), meta, Tail::New(0)), queued]).await.unwrap();
    drop(store);
    let store = open(&config, &[&NEW]).await.unwrap();
    assert_eq!(keys(&*store, &NEW, &Query::all()).await, [Key::from("new n")]);
    assert_eq!(store.outbox(&cx(), 0, 10).await.unwrap().unreadable.len(), 1);
    let found = store.check(&cx()).await.unwrap();
    assert!(found.is_sound(), "{found:?}");
}

/// A store whose medium can be opened once: what is altered on it then is read, and nothing of it is verified.
pub(crate) async fn opened_once(disk: &Disk) -> std::sync::Arc<dyn Store> {
    let (medium, opened) = (disk.clone(), AtomicBool::new(false));
    let config = Redb::in_memory().cache_size(0).backend(move || match opened.swap(true, Ordering::SeqCst) {
        false => Ok(Box::new(medium.clone())),
        true => Err(io::Error::other("somebody else has it")),
    });
    open_on(TestRuntime::inline(), &config, &[&PERSON]).await.unwrap()
}

// Rules: d-check
#[tokio::test]
async fn a_medium_that_can_t_be_read_a_second_time_is_checked_by_its_records() {
    const PAGE: usize = 4096;
    let disk = Disk::default();
    let store = opened_once(&disk).await;
    for first in (0..3_000).step_by(500) {
        save(&*store, (first..first + 500).map(row)).await;
    }
    let found = store.check(&cx()).await.unwrap();
    assert_eq!((found.pages, found.rows, found.found), (0, 3_000, 0));
    let bytes = disk.bytes();
    for at in (PAGE..bytes.len()).step_by(PAGE) {
        if bytes[at..at + PAGE].windows(8).any(|bytes| bytes == b"name 777") {
            disk.write(at as u64, &[0; PAGE]).unwrap();
        }
    }
    let found = store.check(&cx()).await.unwrap();
    assert!(!found.is_sound() && shown(&found).iter().all(|found| *found == (Page, None, None)), "{found:?}");
}

// Rules: d-check
#[tokio::test]
async fn a_check_that_nobody_waits_for_any_more_ends() {
    let runtime = TestRuntime::inline();
    let store = open_on(runtime.clone(), &Redb::in_memory(), &[&PERSON]).await.unwrap();
    save(&*store, (0..3_000).map(row)).await;
    // The clock of this runtime moves on whenever it is asked: at the beginning, and every now and then.
    let soon = cx().deadline(runtime.monotonic() + Duration::from_micros(2));
    assert_eq!(kind(store.check(&soon).await), ErrorKind::Timeout);
    assert!(store.check(&cx()).await.unwrap().is_sound());
}
