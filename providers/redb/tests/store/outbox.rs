//! Outbox entries: numbered, revised, counted, and never hidden by one that can't be read.

use std::sync::Arc;

use larder_core::{
    Batch, CommitOutcome, Entry, EntryState, ErrorKind, FieldDef, FieldSet, FindingKind, Key, KeyDef, Kind,
    Meta, MutationId, Op, Operation, OutboxCounts, ParkReason, Record, Row, Schema, SendMark, Store, Tail,
    Timestamp, Uuid,
};
use larder_redb::Redb;
use larder_redb::backend::{self, CountingBackend, Counts};
use proptest::prelude::*;

use crate::support::*;

pub(crate) fn entry(schema: &'static Schema, row: Record) -> Box<Entry> {
    let key = schema.key_of(&row).unwrap();
    Box::new(Entry {
        row: Some(Arc::new(row) as Arc<dyn Row>),
        changed: FieldSet::from_iter([1]),
        account: Some("ada".into()),
        ..Entry::new(
            schema,
            key,
            Operation::Upsert,
            MutationId(Uuid::nil()),
            Timestamp::from_second(5).unwrap(),
        )
    })
}

/// Enqueues so many entries in one batch and gives their numbers.
pub(crate) async fn enqueue(store: &dyn Store, count: u32) -> Vec<u64> {
    let ops = (0..count).map(|id| Op::Enqueue(entry(&PERSON, person(id, "x", "", 1))));
    commit(store, ops).await.unwrap().seqs
}

async fn counts(store: &dyn Store) -> (u64, u64) {
    let OutboxCounts { entries, parked } = store.outbox_counts(&cx()).await.unwrap();
    (entries, parked)
}

#[tokio::test]
async fn entries_come_back_in_order_and_in_windows() {
    let store = persons().await;
    assert_eq!(enqueue(&*store, 100).await, (1..=100).collect::<Vec<_>>());
    let loaded = store.outbox(&cx(), 0, 40).await.unwrap();
    assert_eq!((loaded.entries.len(), loaded.last), (40, 40));
    let loaded = store.outbox(&cx(), loaded.last, 20).await.unwrap();
    assert_eq!((loaded.entries[0].seq, loaded.last), (41, 60));
    assert_eq!(loaded.entries[0].account.as_deref(), Some("ada"));
    assert!(loaded.entries[0].changed.contains(1));
    let loaded = store.outbox(&cx(), u64::MAX, 20).await.unwrap();
    assert_eq!((loaded.entries.len(), loaded.last), (0, 0));
    assert!(store.entry(&cx(), 101).await.unwrap().is_none());
}

#[tokio::test]
async fn a_row_points_at_the_entry_of_its_own_batch() {
    let store = persons().await;
    enqueue(&*store, 3).await;
    let row = put_with(&PERSON, person(1, "Ada", "", 36), Meta::synced(Timestamp::UNIX_EPOCH), Tail::New(1));
    let first = Op::Enqueue(entry(&PERSON, person(0, "x", "", 1)));
    let second = Op::Enqueue(entry(&PERSON, person(1, "Ada", "", 36)));
    let committed = commit(&*store, [row, first, second]).await.unwrap();
    assert_eq!(committed.seqs, [4, 5]);
    assert_eq!(find(&*store, &PERSON, 1).await.unwrap().unwrap().meta.tail, 5);
    let dangling =
        put_with(&PERSON, person(1, "Ada", "", 36), Meta::synced(Timestamp::UNIX_EPOCH), Tail::New(0));
    assert_eq!(commit(&*store, [dangling]).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn revising_and_removing_are_counted() {
    let store = persons().await;
    let seqs = enqueue(&*store, 4).await;
    assert_eq!(counts(&*store).await, (4, 0));
    let mut revised = store.entry(&cx(), seqs[1]).await.unwrap().unwrap();
    revised.state = EntryState::Parked(ParkReason::Rejected);
    revised.mark = Some(SendMark { first: Timestamp::from_second(9).unwrap() });
    revised.attempts = 3;
    commit(&*store, [Op::Revise(Box::new(revised.clone()))]).await.unwrap();
    let read = store.entry(&cx(), seqs[1]).await.unwrap().unwrap();
    assert_eq!((read.state, read.mark, read.attempts, read.seq), (revised.state, revised.mark, 3, seqs[1]));
    assert_eq!(counts(&*store).await, (4, 1));
    commit(&*store, [Op::Dequeue(seqs[0]), Op::Dequeue(seqs[1]), Op::Dequeue(77)]).await.unwrap();
    assert_eq!(counts(&*store).await, (2, 0));
    // What is gone stays gone.
    commit(&*store, [Op::Revise(Box::new(revised))]).await.unwrap();
    assert_eq!(counts(&*store).await, (2, 0));
}

#[tokio::test]
async fn numbers_are_never_used_twice() {
    let directory = tempfile::tempdir().unwrap();
    let config = Redb::at(directory.path().join("a.redb"));
    let mut last = 0;
    for _ in 0..3 {
        let store = open(&config, &[&PERSON]).await.unwrap();
        let seqs = enqueue(&*store, 3).await;
        assert!(seqs[0] > last);
        last = seqs[2];
        commit(&*store, seqs.into_iter().map(Op::Dequeue)).await.unwrap();
    }
}

#[tokio::test]
async fn an_entry_of_a_model_that_is_gone_hides_no_other() {
    static NOTE: Schema = Schema::new(
        "Note",
        &[FieldDef::new("id", Kind::Str), FieldDef::new("text", Kind::Str)],
        KeyDef::natural(&[0]),
    );
    let directory = tempfile::tempdir().unwrap();
    let config = Redb::at(directory.path().join("a.redb"));
    let store = open(&config, &[&PERSON, &NOTE]).await.unwrap();
    let note = || Op::Enqueue(entry(&NOTE, Record::new([Some(text("n")), Some(text("t"))])));
    let ada = || Op::Enqueue(entry(&PERSON, person(1, "Ada", "", 1)));
    commit(&*store, [note(), ada(), note(), ada(), note()]).await.unwrap();
    drop(store);
    let store = open(&config, &[&PERSON]).await.unwrap();
    let loaded = store.outbox(&cx(), 0, 10).await.unwrap();
    assert_eq!(loaded.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(loaded.unreadable.iter().map(|unreadable| unreadable.seq).collect::<Vec<_>>(), [1, 3, 5]);
    assert_eq!(loaded.last, 5);
    let error = &loaded.unreadable[0].error;
    assert!(
        loaded.unreadable.iter().all(|unreadable| !unreadable.raw.is_empty()),
        "it can be taken elsewhere"
    );
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Serialization, Some("Note")));
    assert_eq!(store.entry(&cx(), 1).await.unwrap_err().kind(), ErrorKind::Serialization);
    assert_eq!(counts(&*store).await, (5, 0));
    // They stay until they are removed by number.
    commit(&*store, [Op::Dequeue(1)]).await.unwrap();
    assert_eq!(counts(&*store).await, (4, 0));
}

#[tokio::test]
async fn an_entry_that_today_s_model_cannot_read_is_unreadable() {
    static RETYPED: Schema = Schema::new(
        "Person",
        &[FieldDef::new("id", Kind::Int(larder_core::IntKind::U32)), FieldDef::new("name", Kind::Bool)],
        KeyDef::natural(&[0]),
    )
    .version(2);
    let config = Redb::in_memory();
    let store = open(&config, &[&PERSON]).await.unwrap();
    enqueue(&*store, 1).await;
    drop(store);
    let store = open(&config, &[&RETYPED]).await.unwrap();
    let loaded = store.outbox(&cx(), 0, 10).await.unwrap();
    let error = message(&loaded.unreadable[0].error);
    assert!(error.contains("name") && error.contains("version 1") && error.contains("version 2"), "{error}");
}

#[tokio::test]
async fn rows_entries_and_cursors_are_one_transaction() {
    let store = persons().await;
    save(&*store, [person(1, "Ada", "ada@x", 36)]).await;
    let ops = [
        Op::Enqueue(entry(&PERSON, person(2, "Eve", "", 1))),
        Op::Cursor { scope: "s".into(), value: Some("v".into()) },
        put(&PERSON, person(2, "Eve", "ada@x", 1)),
    ];
    assert_eq!(commit(&*store, ops).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(store.cursor(&cx(), "s").await.unwrap(), None);
    assert_eq!(counts(&*store).await, (0, 0));
    assert_eq!(all(&*store).await, [Key::from(1)]);
    // And the number was not handed out.
    assert_eq!(enqueue(&*store, 1).await, [1]);
}

#[tokio::test]
async fn a_base_and_an_intent_are_kept_apart() {
    let store = persons().await;
    let mut one = entry(&PERSON, person(1, "new", "", 2));
    one.base = Some(Arc::new(person(1, "old", "", 1)));
    one.base_version = Some("v1".into());
    let outcome =
        store.commit(&cx(), Batch { expect: Vec::new(), ops: vec![Op::Enqueue(one)] }).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)));
    let read = store.entry(&cx(), 1).await.unwrap().unwrap();
    let name = |row: &Option<Arc<dyn Row>>| string(&**row.as_ref().unwrap(), 1);
    assert_eq!((name(&read.row).as_str(), name(&read.base).as_str()), ("new", "old"));
    assert_eq!(read.base_version.as_deref(), Some("v1"));
}

/// What a batch does with entries that are there, picked by number.
#[derive(Clone, Debug)]
enum Step {
    Enqueue,
    Revise(u64, bool),
    Dequeue(u64),
    Save,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Enqueue),
        2 => (any::<u64>(), any::<bool>()).prop_map(|(nth, parked)| Step::Revise(nth, parked)),
        3 => any::<u64>().prop_map(Step::Dequeue),
        1 => Just(Step::Save),
        1 => Just(Step::Reopen),
    ]
}

/// The change that a step stands for, where `there` are the entries.
fn op(step: &Step, there: &[Entry]) -> Option<Op> {
    // The newest and the oldest often, for the counters lie behind them.
    let pick = |nth: u64| match nth % 9 {
        at @ 0..5 => there.iter().rev().nth(at as usize).or(there.last()),
        at => there.get(at as usize - 5).or(there.first()),
    };
    match step {
        Step::Enqueue => Some(Op::Enqueue(entry(&PERSON, person(1, "x", "", 1)))),
        Step::Revise(nth, parked) => pick(*nth).map(|entry| {
            let state = if *parked { EntryState::Parked(ParkReason::Rejected) } else { EntryState::Ready };
            Op::Revise(Box::new(Entry { state, ..entry.clone() }))
        }),
        Step::Dequeue(nth) => pick(*nth).map(|entry| Op::Dequeue(entry.seq)),
        Step::Save => Some(put(&PERSON, person(2, "x", "", 1))),
        Step::Reopen => None,
    }
}

/// However the newest entry comes and goes, what is counted is what is there, and no number is handed out twice.
async fn counters_hold(batches: Vec<Vec<Step>>) {
    let config = Redb::in_memory();
    let mut store = open_on(TestRuntime::inline(), &config, &[&PERSON]).await.unwrap();
    let (mut newest, mut revision) = (0, 0);
    for steps in batches {
        let there = store.outbox(&cx(), 0, 1000).await.unwrap().entries;
        if steps.iter().any(|step| matches!(step, Step::Reopen)) {
            drop(store);
            store = open_on(TestRuntime::inline(), &config, &[&PERSON]).await.unwrap();
            assert_eq!(store.revision(), revision);
        }
        let committed = commit(&*store, steps.iter().filter_map(|step| op(step, &there))).await.unwrap();
        assert_eq!(committed.revision, revision + 1);
        revision = committed.revision;
        for seq in committed.seqs {
            assert_eq!(seq, newest + 1);
            newest = seq;
        }
        let loaded = store.outbox(&cx(), 0, 1000).await.unwrap().entries;
        let parked = loaded.iter().filter(|entry| entry.state != EntryState::Ready).count();
        assert_eq!(counts(&*store).await, (loaded.len() as u64, parked as u64));
    }
    assert!(
        store.check(&cx()).await.unwrap().findings.iter().all(|found| found.kind != FindingKind::Miscounted)
    );
}

// Rules: p-durable
proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn the_counters_are_what_is_there(batches in prop::collection::vec(prop::collection::vec(step(), 1..4), 1..30)) {
        futures_util::FutureExt::now_or_never(counters_hold(batches)).expect("the runtime is inline");
    }
}

/// Pages of the queue are filled one after the other: a mutation writes the last of them, and no other is split for it. What
/// is sent is removed from the first of them, and nothing else is written for it.
#[tokio::test]
async fn a_queue_is_appended_to_and_taken_from() {
    const COMMITS: u64 = 600;
    let directory = tempfile::tempdir().unwrap();
    let (path, counts) = (directory.path().join("a.redb"), Arc::<Counts>::default());
    let counted = counts.clone();
    let config = Redb::at(&path)
        .backend(move || Ok(Box::new(CountingBackend::new(backend::file(&path)?, counted.clone()))));
    let store = open(&config, &[&PERSON]).await.unwrap();
    enqueue(&*store, 200).await;
    let before = counts.writes();
    for _ in 0..COMMITS {
        enqueue(&*store, 1).await;
    }
    let each = (counts.writes() - before) as f64 / COMMITS as f64;
    // The header, both tables of tables, the pages that became free, a branch and a leaf.
    assert!(each < 6.05, "{each} pages a mutation");
    let before = counts.writes();
    for seq in 1..=COMMITS {
        commit(&*store, [Op::Dequeue(seq)]).await.unwrap();
    }
    let each = (counts.writes() - before) as f64 / COMMITS as f64;
    // Now and then one that has become empty is joined with the next.
    assert!(each < 6.2, "{each} pages a removal");
}
