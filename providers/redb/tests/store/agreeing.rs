//! What a salvage makes of rows, entries, notes and counters that do not agree any more.

use std::path::Path;
use std::sync::Arc;

use larder_core::packed::{Stored, write_meta};
use larder_core::{
    Committed, Damage, EntryState, Key, KeyDef, MetaRef, Op, Operation, ParkReason, Query, RowState, Schema,
    Store, Tail, Timestamp,
};
use larder_redb::Redb;
use redb::{Database, TableDefinition};

use crate::damage::{COUNTERS, OUTBOX, ROWS, at, pairs, tamper};
use crate::outbox::entry;
use crate::salvage::{filled, remove, row};
use crate::support::*;

const MODELS: u8 = 0x02;
const SHAPES: u8 = 0x03;
const PAGE: usize = 4096;

fn flip(path: &Path, space: u8, ending: &[u8]) {
    tamper(path, space, |key, value| {
        let hit = key.ends_with(ending);
        if hit {
            let last = value.len() - 1;
            value[last] ^= 1;
        }
        hit
    });
}

/// Opens what is damaged, and has it mended if it can be opened as it is.
async fn salvaged(path: &Path, schemas: &[&'static Schema]) -> (Arc<dyn Store>, Damage) {
    let store = open_on(TestRuntime::inline(), &Redb::at(path), schemas).await.unwrap();
    drop(store.salvage(&cx()).await.unwrap());
    let damage = store.damage().expect("there is damage");
    let found = store.check(&cx()).await.unwrap();
    assert!(found.is_sound(), "{found:?}");
    (store, damage)
}

/// What the next entry gets after the salvage of a file that can't be opened any more.
async fn next(path: &Path) -> Committed {
    let store = open(&Redb::at(path), &[&PERSON]).await.unwrap();
    assert!(store.damage().is_some());
    // What was noted behind an entry before is not believed.
    let counts = store.outbox_counts(&cx()).await.unwrap().entries;
    assert_eq!(counts, store.outbox(&cx(), 0, 1_000).await.unwrap().entries.len() as u64);
    commit(&*store, [Op::Enqueue(entry(&PERSON, row(1)))]).await.unwrap()
}

/// A store that has been written to for years: it is beyond what a salvage moves on where it does not know.
async fn of_long_use(path: &Path) -> Arc<dyn Store> {
    drop(open(&at(path), &[&PERSON]).await.unwrap());
    tamper(path, COUNTERS, |_, value| {
        *value = sealed(&[5_000_000_u64, 6_000_000, 0, 0].map(u64::to_le_bytes).concat());
        true
    });
    open(&at(path), &[&PERSON]).await.unwrap()
}

async fn enqueue(store: &dyn Store, count: u32) -> Committed {
    commit(store, (0..count).map(|id| Op::Enqueue(entry(&PERSON, row(id))))).await.unwrap()
}

/// A change of a row, and its entry.
fn change(id: u32, change: impl FnOnce(&mut larder_core::Entry)) -> [Op; 2] {
    let mut entry = entry(&PERSON, row(id));
    change(&mut entry);
    let sync = larder_core::SyncState { state: RowState::Pending, since: Timestamp::UNIX_EPOCH };
    let meta = larder_core::Meta { sync, ..larder_core::Meta::synced(Timestamp::UNIX_EPOCH) };
    let put = match entry.operation {
        Operation::Delete => Op::Tombstone { schema: &PERSON, key: id.into(), meta, tail: Tail::New(0) },
        _ => put_with(&PERSON, row(id), meta, Tail::New(0)),
    };
    [put, Op::Enqueue(entry)]
}

// Rules: d-salvage
#[tokio::test]
async fn numbers_go_on_behind_the_highest_that_anything_has() {
    let directory = tempfile::tempdir().unwrap();
    let path = |what: &str| directory.path().join(what);
    // The counters are lost in each case but the last.
    let a_row = path("a row");
    let revision = save(&*of_long_use(&a_row).await, [row(1)]).await.revision;
    flip(&a_row, COUNTERS, &[]);
    assert!(next(&a_row).await.revision > revision);
    let an_entry = path("an entry");
    let last = enqueue(&*of_long_use(&an_entry).await, 2).await;
    flip(&an_entry, COUNTERS, &[]);
    flip(&an_entry, OUTBOX, &last.seqs[0].to_be_bytes());
    let after = next(&an_entry).await;
    assert!(after.revision > last.revision && after.seqs[0] > last.seqs[1], "{after:?}");
    let lost = path("a row whose entry is lost");
    let last = commit(&*of_long_use(&lost).await, change(1, |_| {})).await.unwrap();
    flip(&lost, COUNTERS, &[]);
    flip(&lost, OUTBOX, &[]);
    assert!(next(&lost).await.seqs[0] > last.seqs[0]);
    let nothing = path("nothing but the counters");
    drop(of_long_use(&nothing).await);
    flip(&nothing, MODELS, &[]);
    let after = next(&nothing).await;
    assert!(after.revision > 5_000_000 && after.seqs == [6_000_000], "{after:?}");
}

// Rules: d-salvage
#[tokio::test]
async fn numbers_move_on_where_it_is_not_known_which_was_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let path = |what: &str| directory.path().join(what);
    let sent = path("all were sent and the counters are lost");
    let store = open(&at(&sent), &[&PERSON]).await.unwrap();
    let seqs = enqueue(&*store, 5).await.seqs;
    commit(&*store, seqs.into_iter().map(Op::Dequeue)).await.unwrap();
    drop(store);
    flip(&sent, COUNTERS, &[]);
    assert!(next(&sent).await.seqs[0] > 5);
    // The counters were noted behind the newest entry, and what the record says of them is of before.
    let newest = path("the newest entry is lost");
    drop(enqueue(&*open(&at(&newest), &[&PERSON]).await.unwrap(), 3).await);
    flip(&newest, OUTBOX, &[3]);
    flip(&newest, MODELS, &[]);
    assert!(next(&newest).await.seqs[0] > 3);
    let page = path("the page of the newest is lost");
    drop(enqueue(&*open(&at(&page), &[&PERSON]).await.unwrap(), 200).await);
    let (_, last) = pairs(&page, OUTBOX).pop().unwrap();
    flip(&page, MODELS, &[]);
    let mut bytes = std::fs::read(&page).unwrap();
    while let Some(at) = bytes.windows(last.len()).position(|bytes| bytes == last) {
        bytes[at / PAGE * PAGE..][..PAGE].fill(0);
    }
    std::fs::write(&page, bytes).unwrap();
    assert!(next(&page).await.seqs[0] > 200);
}

// Rules: d-salvage
#[tokio::test]
async fn rows_are_what_is_left_of_their_entries_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 10, 0).await;
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    let delete = |entry: &mut larder_core::Entry| entry.operation = Operation::Delete;
    let park = |entry: &mut larder_core::Entry| entry.state = EntryState::Parked(ParkReason::Rejected);
    let renamed = |entry: &mut larder_core::Entry| entry.row = Some(Arc::new(person(4, "newest", "4@x", 4)));
    // Their numbers are 1 to 7.
    for ops in [
        change(0, |_| {}),
        change(0, |_| {}),
        change(1, delete),
        change(2, delete),
        change(3, park),
        change(4, |_| {}),
        change(4, renamed),
    ] {
        commit(&*store, ops).await.unwrap();
    }
    drop(store);
    remove(&path, OUTBOX, |key| key.ends_with(&[2]) || key.ends_with(&[3]));
    remove(&path, ROWS, |key| key.ends_with(&[2]) || key.ends_with(&[3]));
    tamper(&path, ROWS, |key, record| {
        let hit = key.ends_with(&[4]);
        if hit {
            let (mut earlier, stored) = (Vec::new(), Stored::parse(record).unwrap());
            write_meta(&mut earlier, MetaRef { tail: 6, ..stored.meta }, stored.body).unwrap();
            *record = earlier;
        }
        hit
    });
    let (store, damage) = salvaged(&path, &[&PERSON]).await;
    let loaded = async |id: u32| store.load(&cx(), &PERSON, &id.into()).await.unwrap();
    let state =
        async |id: u32| loaded(id).await.map(|row| (row.meta.tail, row.meta.sync.state, row.row.is_some()));
    assert_eq!(state(0).await, Some((1, RowState::Pending, true)), "the one before waits still");
    assert_eq!(state(1).await, None, "nobody knows any more that it was deleted");
    assert_eq!(state(2).await, Some((4, RowState::Pending, false)), "it is deleted");
    assert_eq!(state(3).await, Some((5, RowState::Parked, true)));
    assert_eq!(state(4).await, Some((7, RowState::Pending, true)));
    assert_eq!(string(&*loaded(4).await.unwrap().row.unwrap(), 1), "newest");
    assert!(loaded(3).await.unwrap().meta.revision > 0, "a row that is there has a revision");
    let counts = store.outbox_counts(&cx()).await.unwrap();
    assert_eq!((counts.entries, counts.parked, damage.entries), (5, 1, 5));
    assert!(damage.unsent.contains(&("Person".to_owned(), Key::from(0))), "{damage:?}");
}

// Rules: d-salvage
#[tokio::test]
async fn what_the_notes_do_not_explain_any_more_is_lost() {
    static OTHER: Schema = Schema::new("Other", PERSON.fields, KeyDef::natural(&[0]));
    let directory = tempfile::tempdir().unwrap();
    for (space, key, lost) in [(MODELS, &b"Other"[..], 10), (SHAPES, &[1], 11)] {
        let path = directory.path().join(format!("{space}.redb"));
        let store = open(&at(&path), &[&PERSON, &OTHER]).await.unwrap();
        save(&*store, (0..10).map(row)).await;
        commit(&*store, (0..10).map(|id| put(&OTHER, row(id)))).await.unwrap();
        commit(&*store, [Op::Enqueue(entry(&OTHER, row(1)))]).await.unwrap();
        drop(store);
        // It is gone from both copies.
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        for table in ["larder", "larder notes"] {
            let mut table = transaction.open_table(TableDefinition::<&[u8], &[u8]>::new(table)).unwrap();
            table.retain(|at, _| at[0] != space || !at.ends_with(key)).unwrap();
        }
        transaction.commit().unwrap();
        drop(database);
        flip(&path, COUNTERS, &[]);
        let store = open(&Redb::at(&path), &[&PERSON, &OTHER]).await.unwrap();
        let damage = store.damage().unwrap();
        // What is registered now has numbers of its own, which none of them may seem to have.
        assert_eq!((damage.rows, damage.lost), (10, lost), "{damage:?}");
        assert!(keys(&*store, &OTHER, &Query::all()).await.is_empty());
        assert_eq!(all(&*store).await.len(), 10);
    }
}

/// The checksum of a record is not of its key.
// Rules: d-salvage, d-checksum
#[tokio::test]
async fn a_row_whose_key_was_altered_does_not_become_another_one() {
    let directory = tempfile::tempdir().unwrap();
    for opens in [true, false] {
        let path = directory.path().join(format!("{opens}.redb"));
        filled(&path, 200, 0).await;
        if !opens {
            flip(&path, COUNTERS, &[]);
        }
        let key = pairs(&path, ROWS)[100].0.clone();
        let mut bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() - key.len() {
            if bytes[at..].starts_with(&key) {
                bytes[at + key.len() - 1] = 250;
            }
        }
        std::fs::write(&path, bytes).unwrap();
        let (store, damage) = salvaged(&path, &[&PERSON]).await;
        let expected: Vec<Key> = (0..200_u32).filter(|id| *id != 100).map(Key::from).collect();
        assert_eq!(all(&*store).await, expected, "{damage:?}");
        assert_eq!(damage.lost, 1);
    }
}

// Rules: d-salvage
#[tokio::test]
async fn a_row_under_what_is_no_key_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 10, 0).await;
    let (first, record) = pairs(&path, ROWS).swap_remove(0);
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let no_key = [&first[..3], &[0xff]].concat();
    let definition = TableDefinition::<&[u8], &[u8]>::new("larder");
    transaction.open_table(definition).unwrap().insert(no_key.as_slice(), record.as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let (store, damage) = salvaged(&path, &[&PERSON]).await;
    assert_eq!((damage.rows, damage.lost), (10, 1));
    assert_eq!(all(&*store).await.len(), 10);
}
