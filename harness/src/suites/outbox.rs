//! The outbox: entries come back as they were stored, in the order of numbers that are never used twice.

use std::sync::Arc;

use jiff::Timestamp;
use larder_core::{
    Batch, CommitOutcome, Entry, EntryState, ErrorKind, Expect, Failure, MutationId, Op, Operation,
    OutboxCounts, ParkReason, Record, Row, Runtime, RuntimeExt, SendMark, Tail, Theirs, Within,
};

use crate::models::{SPECIMEN, specimen, text, with};
use crate::plain::plain;
use crate::trial::{Trial, Verdict};

/// An entry that creates a specimen.
pub(super) fn entry(trial: &Trial, id: i64) -> Entry {
    Entry {
        row: Some(Arc::new(specimen(id))),
        changed: (0..SPECIMEN.fields.len()).collect(),
        ..Entry::new(
            &SPECIMEN,
            id.into(),
            Operation::Insert,
            MutationId(trial.runtime.uuid()),
            trial.runtime.now(),
        )
    }
}

/// An entry that uses everything that an entry has.
fn full(trial: &Trial) -> Entry {
    let at = |second| Timestamp::from_second(second).unwrap_or_default();
    Entry {
        prev: 3,
        operation: Operation::Update,
        row: Some(Arc::new(with(&SPECIMEN, specimen(5), "title", text("mine")))),
        changed: [15, 0, 36].into_iter().collect(),
        base: Some(Arc::new(specimen(5))),
        base_version: Some("W/\"a\u{e9}\"".into()),
        extra: Some(r#"{"more":[1]}"#.into()),
        account: Some("ada".into()),
        created: at(1_700_000_000),
        state: EntryState::Parked(ParkReason::Rejected),
        mark: Some(SendMark { first: at(1_700_000_001) }),
        attempts: 9,
        strikes: 4,
        first_strike: Some(at(1_700_000_002)),
        not_before: Some(at(1_700_000_003)),
        failure: Some(Failure {
            kind: ErrorKind::Http { status: 520 },
            message: "no".into(),
            status: Some(520),
            body: Some("<html>".into()),
            at: at(1_700_000_004),
        }),
        unexplained: true,
        carries: vec![MutationId(trial.runtime.uuid())],
        within: Some(Within {
            carrier: MutationId(trial.runtime.uuid()),
            parent: MutationId(trial.runtime.uuid()),
            association: "lines".into(),
        }),
        theirs: Some(Box::new(Theirs {
            row: Some(Arc::new(with(&SPECIMEN, specimen(5), "title", text("theirs")))),
            version: Some("W/\"b\"".into()),
            extra: Some(r#"{"more":[2]}"#.into()),
            at: at(1_700_000_005),
        })),
        ..entry(trial, 5)
    }
}

/// An entry as text, its rows as plain values.
pub(super) fn shown(entry: &Entry) -> String {
    let row = |row: &Option<Arc<dyn Row>>| row.as_ref().map(|row| plain(entry.schema, &**row));
    let theirs = entry.theirs.as_ref();
    let rows = (row(&entry.row), row(&entry.base), theirs.map(|theirs| row(&theirs.row)));
    let beside = theirs.map(|theirs| (&theirs.version, &theirs.extra, theirs.at));
    let changed: Vec<usize> = entry.changed.iter().collect();
    let changed_by_name = [].into_iter().collect();
    let bare = Entry { row: None, base: None, theirs: None, changed: changed_by_name, ..entry.clone() };
    format!("{bare:?} {changed:?} {rows:?} {beside:?}")
}

fn enqueue(entry: Entry) -> Op {
    Op::Enqueue(Box::new(entry))
}

/// The numbers of the entries after `after`.
async fn seqs(trial: &Trial, after: u64, limit: usize) -> Vec<u64> {
    let loaded = trial.store().outbox(&trial.cx, after, limit).await.expect("the outbox");
    assert!(loaded.unreadable.is_empty(), "{loaded:?}");
    let seqs: Vec<u64> = loaded.entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(loaded.last, seqs.last().copied().unwrap_or(0), "the last number that was looked at");
    seqs
}

pub(super) async fn entries_come_back_as_they_were_stored(trial: Trial) -> Verdict {
    let delete = Entry { operation: Operation::Delete, row: None, ..entry(&trial, 6) };
    let gone = Theirs { row: None, version: None, extra: None, at: trial.runtime.now() };
    let gone = Entry { theirs: Some(Box::new(gone)), ..entry(&trial, 7) };
    for mut stored in [entry(&trial, 4), full(&trial), delete, gone] {
        stored.seq = trial.commit(vec![enqueue(stored.clone())]).await.seqs[0];
        let found = trial.store().entry(&trial.cx, stored.seq).await.expect("an answer").expect("the entry");
        assert_eq!(shown(&found), shown(&stored));
    }
    let loaded = trial.store().outbox(&trial.cx, 0, 9).await.expect("the outbox");
    assert_eq!(loaded.entries.len(), 4);
    Verdict::Passed
}

pub(super) async fn numbers_rise_in_the_order_of_the_batch(trial: Trial) -> Verdict {
    let first = trial.commit(vec![enqueue(entry(&trial, 1)), enqueue(entry(&trial, 2))]).await.seqs;
    let second = trial.commit(vec![enqueue(entry(&trial, 3))]).await.seqs;
    assert_eq!((first.len(), second.len()), (2, 1));
    let all = [first, second].concat();
    assert!(all[0] > 0 && all.is_sorted_by(|a, b| a < b), "{all:?}");
    assert_eq!(seqs(&trial, 0, 9).await, all);
    let keys: Vec<_> = trial.store().outbox(&trial.cx, 0, 9).await.expect("the outbox").entries;
    assert_eq!(keys.iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>(), ["1", "2", "3"]);
    Verdict::Passed
}

pub(super) async fn numbers_are_never_used_again(trial: Trial) -> Verdict {
    let mut last = 0;
    for _ in 0..3 {
        let seq = trial.commit(vec![enqueue(entry(&trial, 1))]).await.seqs[0];
        assert!(seq > last, "{seq} after {last}");
        trial.commit(vec![Op::Dequeue(seq)]).await;
        last = seq;
    }
    trial.store().wipe(&trial.cx).await.expect("a wipe");
    let seq = trial.commit(vec![enqueue(entry(&trial, 1))]).await.seqs[0];
    assert!(seq > last, "{seq} after {last} and a wipe");
    Verdict::Passed
}

pub(super) async fn a_part_can_be_loaded(trial: Trial) -> Verdict {
    let all = trial.commit((0..5).map(|id| enqueue(entry(&trial, id))).collect()).await.seqs;
    assert_eq!(seqs(&trial, 0, 2).await, all[..2]);
    assert_eq!(seqs(&trial, all[1], 2).await, all[2..4]);
    assert_eq!(seqs(&trial, all[3], 9).await, all[4..]);
    assert_eq!(seqs(&trial, all[4], 9).await, [0; 0]);
    assert_eq!(seqs(&trial, u64::MAX, 9).await, [0; 0]);
    assert_eq!(seqs(&trial, 0, 0).await, [0; 0]);
    Verdict::Passed
}

pub(super) async fn an_entry_can_be_revised(trial: Trial) -> Verdict {
    let seq = trial.commit(vec![enqueue(entry(&trial, 5))]).await.seqs[0];
    let revised = Entry { seq, ..full(&trial) };
    trial.commit(vec![Op::Revise(Box::new(revised.clone()))]).await;
    let found = trial.store().entry(&trial.cx, seq).await.expect("an answer").expect("the entry");
    assert_eq!(shown(&found), shown(&revised));
    Verdict::Passed
}

pub(super) async fn revising_what_is_gone_does_nothing(trial: Trial) -> Verdict {
    let seq = trial.commit(vec![enqueue(entry(&trial, 5))]).await.seqs[0];
    trial.commit(vec![Op::Dequeue(seq)]).await;
    trial
        .commit(vec![Op::Revise(Box::new(Entry { seq, ..full(&trial) })), Op::Dequeue(seq), Op::Dequeue(999)])
        .await;
    assert!(trial.store().entry(&trial.cx, seq).await.expect("an answer").is_none());
    assert_eq!(trial.store().outbox_counts(&trial.cx).await.expect("counts"), OutboxCounts::default());
    Verdict::Passed
}

pub(super) async fn a_batch_can_rely_on_how_often_an_entry_was_sent(trial: Trial) -> Verdict {
    let seqs = trial.commit(vec![enqueue(entry(&trial, 5)), enqueue(full(&trial))]).await.seqs;
    let expect = |seq, marked, attempts| Expect::Entry { seq, marked, attempts };
    let stale = async |expect: Vec<Expect>| {
        let batch = Batch { expect, ops: vec![trial.op(&SPECIMEN, specimen(9))] };
        trial.store().commit(&trial.cx, batch).await.expect("an answer") == CommitOutcome::Stale
    };
    assert!(!stale(vec![expect(seqs[0], false, 0), expect(seqs[1], true, 9)]).await);
    assert!(stale(vec![expect(seqs[0], true, 0)]).await, "it is not marked");
    assert!(stale(vec![expect(seqs[0], false, 1)]).await, "it was not sent");
    assert!(stale(vec![expect(seqs[1], false, 9)]).await, "it is marked");
    assert!(stale(vec![expect(seqs[0], false, 0), expect(seqs[1], true, 8)]).await, "it was sent once more");
    assert!(stale(vec![expect(seqs[1] + 1, false, 0)]).await, "it is not there yet");
    let stored = trial.store().entry(&trial.cx, seqs[1]).await.expect("an answer").expect("the entry");
    assert!(!stale(vec![Expect::entry(&stored)]).await);
    let sent = Entry { seq: seqs[0], mark: stored.mark, attempts: 1, ..entry(&trial, 5) };
    trial.commit(vec![Op::Revise(Box::new(sent)), Op::Dequeue(seqs[1])]).await;
    assert!(stale(vec![expect(seqs[0], false, 0)]).await, "it was marked and sent meanwhile");
    assert!(!stale(vec![expect(seqs[0], true, 1)]).await);
    assert!(stale(vec![expect(seqs[1], true, 9)]).await, "it is gone");
    Verdict::Passed
}

pub(super) async fn entries_are_counted(trial: Trial) -> Verdict {
    let counts = async || trial.store().outbox_counts(&trial.cx).await.expect("counts");
    assert_eq!(counts().await, OutboxCounts { entries: 0, parked: 0 });
    let seqs = trial
        .commit(vec![enqueue(entry(&trial, 1)), enqueue(full(&trial)), enqueue(entry(&trial, 2))])
        .await
        .seqs;
    assert_eq!(counts().await, OutboxCounts { entries: 3, parked: 1 });
    trial.commit(vec![Op::Revise(Box::new(Entry { seq: seqs[0], ..full(&trial) }))]).await;
    assert_eq!(counts().await, OutboxCounts { entries: 3, parked: 2 });
    trial
        .commit(vec![Op::Revise(Box::new(Entry { seq: seqs[1], ..entry(&trial, 1) })), Op::Dequeue(seqs[0])])
        .await;
    assert_eq!(counts().await, OutboxCounts { entries: 2, parked: 0 });
    Verdict::Passed
}

pub(super) async fn rows_point_to_their_entries(trial: Trial) -> Verdict {
    let put = |id: i64, tail| match trial.op(&SPECIMEN, specimen(id)) {
        Op::Put { schema, key, row, meta, .. } => Op::Put { schema, key, row, meta, tail },
        other => other,
    };
    let tail = async |id: i64| trial.find(&SPECIMEN, &id.into()).await.expect("the row").meta.tail;
    let ops = vec![
        put(1, Tail::New(1)),
        enqueue(entry(&trial, 2)),
        enqueue(entry(&trial, 1)),
        put(2, Tail::New(0)),
    ];
    let seqs = trial.commit(ops).await.seqs;
    assert_eq!((tail(1).await, tail(2).await), (seqs[1], seqs[0]));
    trial.commit(vec![put(1, Tail::At(seqs[0])), put(2, Tail::At(0))]).await;
    assert_eq!((tail(1).await, tail(2).await), (seqs[0], 0));
    Verdict::Passed
}

pub(super) async fn what_stands_beside_a_row_comes_back(trial: Trial) -> Verdict {
    use larder_core::{Meta, RowState, SyncState};
    let states =
        [RowState::Synced, RowState::Pending, RowState::InFlight, RowState::Parked, RowState::Conflicted];
    for (id, state) in (1..).zip(states) {
        let since = Timestamp::from_microsecond(1_700_000_000_123_456).unwrap_or_default();
        let meta = Meta {
            revision: 999,
            tail: 999,
            sync: SyncState { state, since },
            version: (id % 2 == 0).then(|| "\"v\"".into()),
            extra: (id % 3 == 0).then(|| r#"{"a":"\u00e9"}"#.into()),
        };
        let row = Arc::new(specimen(id)) as Arc<Record>;
        let put = Op::Put { schema: &SPECIMEN, key: id.into(), row, meta: meta.clone(), tail: Tail::At(7) };
        let revision = trial.commit(vec![put]).await.revision;
        let found = trial.find(&SPECIMEN, &id.into()).await.expect("the row");
        assert_eq!(found.meta, Meta { revision, tail: 7, ..meta });
    }
    Verdict::Passed
}
