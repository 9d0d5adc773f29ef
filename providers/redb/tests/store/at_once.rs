//! Rows and entries of older versions, rewritten at once: in pieces, and after a kill at any point.

use larder_core::{
    Entry, ErrorKind, Key, Migrated, MutationId, Op, Operation, Query, Record, Schema, Store, Timestamp, Uuid,
};
use larder_redb::Redb;

use crate::disk::Disk;
use crate::migration::*;
use crate::support::*;

const ROWS: u32 = 20;

/// An update of row `id` from `base` to `row`, as `schema` has them.
fn update(
    schema: &'static Schema,
    id: u32,
    base: Option<Record>,
    row: Option<Record>,
    changed: &[usize],
) -> Op {
    let operation = if row.is_some() { Operation::Update } else { Operation::Delete };
    let mutation = MutationId(Uuid::from_u128(u128::from(id)));
    Op::Enqueue(Box::new(Entry {
        row: row.map(|row| std::sync::Arc::new(row) as _),
        changed: changed.iter().copied().collect(),
        base: base.map(|row| std::sync::Arc::new(row) as _),
        ..Entry::new(schema, id.into(), operation, mutation, Timestamp::UNIX_EPOCH)
    }))
}

fn named(id: u32, name: &str) -> Record {
    let mut row = first_version(id);
    row.set(1, text(name));
    row
}

/// Rows of all three versions, and entries of the first.
async fn written(config: &Redb) {
    let store = open(config, &[&V1]).await.unwrap();
    commit(&*store, (0..ROWS).map(|id| put(&V1, first_version(id)))).await.unwrap();
    let base = || Some(first_version(1));
    commit(
        &*store,
        [
            update(&V1, 1, base(), Some(named(1, "Bob X")), &[1]),
            update(&V1, 2, None, Some(first_version(2)), &[1, 2]),
            update(&V1, 3, Some(first_version(3)), None, &[]),
        ],
    )
    .await
    .unwrap();
    drop(store);
    let store = open(config, &[&V2]).await.unwrap();
    commit(&*store, (0..5).map(|id| put(&V2, second_version(id)))).await.unwrap();
}

async fn whole(store: &dyn Store, limit: usize) -> Migrated {
    let mut sum = Migrated::default();
    loop {
        let piece = store.migrate(&cx(), limit).await.unwrap();
        assert!(piece.rows + piece.entries + piece.failed.len() as u64 <= limit as u64, "{piece:?}");
        sum.rows += piece.rows;
        sum.entries += piece.entries;
        sum.failed.extend(piece.failed);
        if piece.done {
            return sum;
        }
    }
}

async fn revisions(store: &dyn Store) -> Vec<u64> {
    get(store, &V3, &Query::all()).await.unwrap().iter().map(|row| row.meta.revision).collect()
}

/// What the entries of [`written`] are as the third version has them.
async fn check_entries(store: &dyn Store) {
    let loaded = store.outbox(&cx(), 0, 10).await.unwrap();
    assert!(loaded.unreadable.is_empty(), "{loaded:?}");
    let rows: Vec<_> = loaded
        .entries
        .iter()
        .map(|entry| {
            let copy = |row: &std::sync::Arc<dyn larder_core::Row>| Record::copy(&V3, &**row).unwrap();
            (entry.base.as_ref().map(copy), entry.row.as_ref().map(copy))
        })
        .collect();
    let mut changed = third_version(1);
    changed.set(0, text("X"));
    let expected = [
        (Some(third_version(1)), Some(changed)),
        (None, Some(third_version(2))),
        (Some(third_version(3)), None),
    ];
    assert_eq!(rows, expected);
    let changed: Vec<Vec<&str>> = loaded
        .entries
        .iter()
        .map(|entry| entry.changed.iter().map(|at| V3.fields[at].name).collect())
        .collect();
    assert_eq!(changed[0], ["last"], "the first name is as it was");
    assert_eq!(changed[1].len(), V3.fields.len(), "without a base, all of it");
    assert!(changed[2].is_empty());
}

// Rules: m-evolve-queued
#[tokio::test]
async fn queued_entries_go_through_the_same_steps() {
    let config = Redb::in_memory();
    written(&config).await;
    check_entries(&*open(&config, &[&V3]).await.unwrap()).await;
}

// Rules: m-evolve-queued
#[tokio::test]
async fn an_entry_that_cannot_be_migrated_stays_and_says_whose_it_is() {
    let config = Redb::in_memory();
    let store = open(&config, &[&V1]).await.unwrap();
    let mut odd = first_version(7);
    odd.set(2, text("old"));
    commit(
        &*store,
        [
            update(&V1, 7, Some(first_version(7)), Some(odd), &[2]),
            update(&V1, 8, Some(first_version(8)), Some(first_version(8)), &[1]),
        ],
    )
    .await
    .unwrap();
    drop(store);
    let store = open(&config, &[&V3]).await.unwrap();
    for _ in 0..2 {
        let loaded = store.outbox(&cx(), 0, 10).await.unwrap();
        assert_eq!((loaded.entries.len(), loaded.unreadable.len(), loaded.last), (1, 1, 2));
        let unreadable = &loaded.unreadable[0];
        assert_eq!((unreadable.seq, &unreadable.row), (1, &Some((&V3, Key::from(7)))));
        assert_eq!(
            (unreadable.error.kind(), unreadable.error.row_key()),
            (ErrorKind::Serialization, Some("#1"))
        );
        assert!(message(&unreadable.error).contains("`age` is no number"));
        assert_eq!(store.entry(&cx(), 1).await.unwrap_err().kind(), ErrorKind::Serialization);
        let report = whole(&*store, 10).await;
        assert_eq!(report.failed.len(), 1, "{report:?}");
    }
    drop(store);
    // The application that can read it finds it as it was.
    let store = open(&config, &[&V3]).await.unwrap();
    assert_eq!(store.outbox_counts(&cx()).await.unwrap().entries, 2);
}

// Rules: m-evolve-at-once
#[tokio::test]
async fn everything_is_rewritten_in_pieces_and_nothing_that_can_be_seen_changes() {
    let config = Redb::in_memory();
    written(&config).await;
    let store = open(&config, &[&V3]).await.unwrap();
    let (before, revisions_before) = (answers(&*store).await, revisions(&*store).await);
    commit(&*store, [put(&V3, third_version(19))]).await.unwrap();
    let report = whole(&*store, 3).await;
    assert_eq!((report.rows, report.entries, report.failed.len()), (u64::from(ROWS) - 1, 3, 0));
    assert_eq!(answers(&*store).await, before);
    let mut revisions_now = revisions(&*store).await;
    assert!(revisions_now[19] > revisions_before[19], "that one was written");
    revisions_now[19] = revisions_before[19];
    assert_eq!(revisions_now, revisions_before);
    check_entries(&*store).await;
    // There is nothing left, now or later, and the application of the third version alone could read it.
    assert_eq!(whole(&*store, 3).await.rows, 0);
    drop(store);
    static NO_STEPS: Schema =
        Schema::new("Member", V3.fields, larder_core::KeyDef::natural(&[2])).version(3).indexes(V3.indexes);
    let store = open(&config, &[&NO_STEPS]).await.unwrap();
    let rows = get(&*store, &NO_STEPS, &Query::all()).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| Record::copy(&NO_STEPS, &*row.row).unwrap()).collect();
    assert_eq!(rows, (0..ROWS).map(third_version).collect::<Vec<_>>());
}

// Rules: m-evolve-at-once
#[tokio::test]
async fn a_row_that_a_step_refuses_stays_and_the_next_round_tries_it_again() {
    let config = Redb::in_memory();
    let store = open(&config, &[&V1]).await.unwrap();
    let mut odd = first_version(3);
    odd.set(2, text("old"));
    let rows = [first_version(1), odd, first_version(5)];
    commit(&*store, rows.map(|row| put(&V1, row))).await.unwrap();
    drop(store);
    let store = open(&config, &[&V3]).await.unwrap();
    let report = whole(&*store, 1).await;
    assert_eq!((report.rows, report.failed.len()), (2, 1));
    let failed = &report.failed[0];
    assert_eq!(
        (failed.kind(), failed.model_name(), failed.row_key()),
        (ErrorKind::Serialization, Some("Member"), Some("3"))
    );
    let again = whole(&*store, 1).await;
    assert_eq!((again.rows, again.failed.len()), (0, 1), "the others are done");
    commit(&*store, [put(&V3, third_version(3))]).await.unwrap();
    let mended = whole(&*store, 1).await;
    assert_eq!((mended.rows, mended.failed.len()), (0, 0));
}

// Rules: m-evolve-at-once
#[tokio::test]
async fn a_kill_at_any_point_is_made_good_by_going_on_there() {
    let disk = Disk::default();
    written(&disk.config()).await;
    let expected = reference((0..ROWS).map(third_version)).await;
    // What lay on the disk at each sync, with the number of rows and entries that had been rewritten before.
    let mut moments: Vec<(u64, Vec<u8>)> = Vec::new();
    disk.take_syncs();
    let store = open_on(TestRuntime::inline(), &disk.config(), &[&V3]).await.unwrap();
    moments.extend(disk.take_syncs().into_iter().map(|bytes| (0, bytes)));
    let (mut rewritten, mut done) = (0, false);
    while !done {
        let piece = store.migrate(&cx(), 4).await.unwrap();
        moments.extend(disk.take_syncs().into_iter().map(|bytes| (rewritten, bytes)));
        rewritten += piece.rows + piece.entries;
        done = piece.done;
    }
    drop(store);
    assert_eq!(rewritten, u64::from(ROWS) + 3);
    assert!(moments.len() > 8, "{}", moments.len());
    for (before, bytes) in moments {
        let store = open_on(TestRuntime::inline(), &Disk::of(bytes).config(), &[&V3]).await.unwrap();
        let report = whole(&*store, 4).await;
        let left = rewritten - before;
        let after = report.rows + report.entries;
        assert!(after == left || after + 4 == left || after + 3 == left, "{before} before, {after} after");
        assert_eq!(answers(&*store).await, expected, "{before} before");
        check_entries(&*store).await;
    }
}

// Rules: m-evolve-newer
#[tokio::test]
async fn a_migration_that_was_begun_is_no_way_back() {
    let config = Redb::in_memory();
    written(&config).await;
    let store = open(&config, &[&V3]).await.unwrap();
    let piece = store.migrate(&cx(), 4).await.unwrap();
    assert_eq!((piece.rows, piece.done), (4, false));
    drop(store);
    for older in [&V1, &V2] {
        let error = open(&config, &[older]).await.unwrap_err();
        assert_eq!((error.kind(), error.model_name()), (ErrorKind::Unsupported, Some("Member")));
    }
    let store = open(&config, &[&V3]).await.unwrap();
    assert_eq!(whole(&*store, 4).await.rows, u64::from(ROWS) - 4);
    assert_eq!(answers(&*store).await, reference((0..ROWS).map(third_version)).await);
}
