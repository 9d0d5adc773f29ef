//! Rewriting what an older version has stored, piece by piece.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_core::{
    Entry, ErrorKind, Key, KeyDef, Migrated, Migration, OldRow, Op, Operation, Query, Row, Schema, Store,
    Theirs, Timestamp,
};
use larder_redb::Redb;

use crate::damage::{OUTBOX, ROWS, at, pairs, tamper};
use crate::outbox::entry;
use crate::support::*;

static MENDED: AtomicBool = AtomicBool::new(false);

fn refuses(row: &mut OldRow) -> Result<(), String> {
    let refused = !MENDED.load(Ordering::SeqCst) && row.get("name") == Some(&text("odd"));
    if refused { Err("an odd name".into()) } else { Ok(()) }
}

fn changes(_: &mut OldRow) -> Result<(), String> {
    Ok(())
}

static V1: Schema = Schema::new("Note", PERSON.fields, KeyDef::natural(&[0]));
static V2: Schema = Schema::new("Note", PERSON.fields, KeyDef::natural(&[0]))
    .version(2)
    .migrations(&[Migration::step(1, refuses)]);
static V3: Schema = Schema::new("Note", PERSON.fields, KeyDef::natural(&[0]))
    .version(3)
    .migrations(&[Migration::step(1, refuses), Migration::step(2, changes)]);

/// Asks for one record after the other, until all is done.
async fn migrated(store: &dyn Store) -> Migrated {
    let mut all = Migrated::default();
    for _ in 0..20 {
        let (before, piece) = (store.revision(), store.migrate(&cx(), 1).await.unwrap());
        assert!(piece.rows + piece.entries + piece.failed.len() as u64 <= 1, "a piece has its bounds");
        assert!(piece.done || store.revision() == before + 1, "a piece is a commit");
        all.rows += piece.rows;
        all.entries += piece.entries;
        all.failed.extend(piece.failed);
        if piece.done {
            return Migrated { done: true, ..all };
        }
    }
    panic!("it comes to no end");
}

// Rules: m-evolve-migrate
#[tokio::test]
async fn a_migration_goes_on_piece_by_piece_and_again_for_what_was_refused_or_is_older_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&V1]).await.unwrap();
    let names = ["odd", "a", "b", "c", "damaged"];
    commit(&*store, names.iter().zip(1..).map(|(name, id)| put(&V1, person(id, name, "", 1)))).await.unwrap();
    commit(&*store, [Op::Enqueue(entry(&V1, person(2, "a", "", 1)))]).await.unwrap();
    drop(store);
    tamper(&path, ROWS, |key, value| {
        let last = value.len() - 1;
        value[last] ^= 1;
        key.ends_with(&[5])
    });
    let store = open(&at(&path), &[&V2]).await.unwrap();
    let first = store.migrate(&cx(), 1).await.unwrap();
    assert_eq!((first.rows, first.failed.len(), first.done), (0, 1, false), "the one that is refused");
    drop(store);
    // What was refused is passed over, also after a restart.
    let store = open(&at(&path), &[&V2]).await.unwrap();
    let rest = migrated(&*store).await;
    assert_eq!((rest.rows, rest.entries), (3, 1));
    let kinds: Vec<ErrorKind> = rest.failed.iter().map(larder_core::Error::kind).collect();
    assert_eq!(kinds, [ErrorKind::Corrupt], "what is damaged is told of");
    // Who asks again may have mended the step.
    MENDED.store(true, Ordering::SeqCst);
    let again = migrated(&*store).await;
    assert_eq!((again.rows, again.entries, again.failed.len()), (1, 0, 1));
    commit(&*store, [put(&V2, person(5, "whole", "", 1))]).await.unwrap();
    drop(migrated(&*store).await);
    let revision = store.revision();
    assert!(store.migrate(&cx(), 1).await.unwrap().done);
    assert_eq!(store.revision(), revision, "there is nothing left to do");
    drop(store);
    // To a later version all of it is older again.
    let store = open(&Redb::at(&path), &[&V3]).await.unwrap();
    let later = migrated(&*store).await;
    assert_eq!((later.rows, later.entries, later.failed.len()), (5, 1, 0));
    assert_eq!(keys(&*store, &V3, &Query::all()).await, [1, 2, 3, 4, 5].map(Key::from));
}

/// What an entry has may be its row, what that was made from, or what the remote has by now: each alone is looked at.
// Rules: m-evolve-migrate
#[tokio::test]
async fn all_that_an_entry_has_is_rewritten_and_one_that_is_damaged_is_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&at(&path), &[&V1]).await.unwrap();
    let row = || Arc::new(person(1, "a", "", 1)) as Arc<dyn Row>;
    let theirs = Theirs { row: Some(row()), version: None, extra: None, at: Timestamp::UNIX_EPOCH };
    let deletion = || Entry { operation: Operation::Delete, row: None, ..*entry(&V1, person(1, "a", "", 1)) };
    let queued = [
        *entry(&V1, person(1, "a", "", 1)),
        Entry { base: Some(row()), ..deletion() },
        Entry { theirs: Some(Box::new(theirs)), ..deletion() },
        deletion(),
        *entry(&V1, person(1, "a", "", 1)),
    ];
    commit(&*store, queued.map(|entry| Op::Enqueue(Box::new(entry)))).await.unwrap();
    drop(store);
    tamper(&path, OUTBOX, |key, value| {
        value[9] ^= 1;
        key.ends_with(&[5])
    });
    let before = pairs(&path, OUTBOX);
    let store = open(&at(&path), &[&V2]).await.unwrap();
    let all = migrated(&*store).await;
    assert_eq!((all.rows, all.entries, all.failed.len()), (0, 3, 1), "{all:?}");
    assert!(all.failed[0].kind() == ErrorKind::Corrupt && message(&all.failed[0]).contains("#5"), "{all:?}");
    assert!(store.outbox(&cx(), 0, 4).await.unwrap().entries.iter().all(|entry| entry.schema.version == 2));
    drop(store);
    let after = pairs(&path, OUTBOX);
    let same: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before == after).collect();
    assert_eq!(same[1..], [false, false, true, true], "what has nothing of the model, and what is damaged");
}
