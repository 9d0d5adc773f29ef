//! Revisions, and batches that rely on them.

use larder_core::{Batch, CommitOutcome, Entry, Expect, Key, Op, Schema, Tail};

use super::outbox::entry;
use crate::models::{NAMED, SPECIMEN, keyed, specimen, text, with};
use crate::trial::{Trial, Verdict};

/// True if a batch with this expectation is applied.
async fn holds(trial: &Trial, expect: Expect) -> bool {
    let cursor = Op::Cursor { scope: "probe".into(), value: Some("set".into()) };
    let outcome =
        trial.try_commit(Batch { expect: vec![expect], ops: vec![cursor] }).await.expect("an answer");
    let set = trial.store().cursor(&trial.cx, "probe").await.expect("a cursor").is_some();
    let committed = matches!(outcome, CommitOutcome::Committed(_));
    assert_eq!(committed, set, "the outcome and what happened differ");
    trial.commit(vec![Op::Cursor { scope: "probe".into(), value: None }]).await;
    committed
}

fn row(schema: &'static Schema, key: impl Into<Key>, revision: u64) -> Expect {
    Expect::Row { schema, key: key.into(), revision }
}

pub(super) async fn they_rise_and_rows_carry_them(trial: Trial) -> Verdict {
    let mut last = trial.store().revision();
    for id in [1, 2, 1] {
        let committed = trial.commit(vec![trial.op(&SPECIMEN, specimen(id))]).await;
        assert!(committed.revision > last, "{committed:?} after {last}");
        assert_eq!(trial.store().revision(), committed.revision);
        let found = trial.find(&SPECIMEN, &id.into()).await.expect("the row");
        assert_eq!(found.meta.revision, committed.revision);
        last = committed.revision;
    }
    let queued = entry(&trial, 3);
    let others = [
        Op::Cursor { scope: "a".into(), value: Some("1".into()) },
        Op::Enqueue(Box::new(queued.clone())),
        Op::Revise(Box::new(Entry { seq: 1, ..queued })),
        Op::Dequeue(1),
        Op::Remove { schema: &SPECIMEN, key: 1.into() },
    ];
    for op in others {
        let committed = trial.commit(vec![op]).await;
        assert!(committed.revision > last, "{committed:?} after {last}");
        assert_eq!(trial.store().revision(), committed.revision, "a batch without a row has one as well");
        last = committed.revision;
    }
    Verdict::Passed
}

pub(super) async fn a_row_that_has_not_moved(trial: Trial) -> Verdict {
    let first = trial.commit(vec![trial.op(&SPECIMEN, specimen(1))]).await.revision;
    trial.put(&SPECIMEN, [specimen(2)]).await;
    assert!(holds(&trial, row(&SPECIMEN, 1, first)).await);
    let second = trial.commit(vec![trial.op(&SPECIMEN, specimen(1))]).await.revision;
    assert!(!holds(&trial, row(&SPECIMEN, 1, first)).await);
    assert!(holds(&trial, row(&SPECIMEN, 1, second)).await);
    assert!(!holds(&trial, row(&SPECIMEN, 1, second + 1_000)).await);
    Verdict::Passed
}

pub(super) async fn zero_is_nothing_stored(trial: Trial) -> Verdict {
    assert!(holds(&trial, row(&SPECIMEN, 1, 0)).await);
    trial.put(&SPECIMEN, [specimen(1)]).await;
    assert!(!holds(&trial, row(&SPECIMEN, 1, 0)).await);
    trial.commit(vec![Op::Remove { schema: &SPECIMEN, key: 1.into() }]).await;
    assert!(holds(&trial, row(&SPECIMEN, 1, 0)).await);
    Verdict::Passed
}

pub(super) async fn a_tombstone_counts_as_stored(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1)]).await;
    let stone = Op::Tombstone { schema: &SPECIMEN, key: 1.into(), meta: trial.meta(), tail: Tail::At(0) };
    let revision = trial.commit(vec![stone]).await.revision;
    assert!(!holds(&trial, row(&SPECIMEN, 1, 0)).await);
    assert!(holds(&trial, row(&SPECIMEN, 1, revision)).await);
    Verdict::Passed
}

pub(super) async fn a_model_that_was_not_written(trial: Trial) -> Verdict {
    let model = |revision| Expect::Model { schema: &SPECIMEN, revision };
    let start = trial.store().revision();
    trial.put(&NAMED, [keyed(&NAMED, &"a".into(), "x")]).await;
    assert!(holds(&trial, model(start)).await, "another model was written");
    let first = trial.commit(vec![trial.op(&SPECIMEN, specimen(1))]).await.revision;
    assert!(!holds(&trial, model(first - 1)).await);
    assert!(holds(&trial, model(first)).await);
    let removed = trial.commit(vec![Op::Remove { schema: &SPECIMEN, key: 1.into() }]).await.revision;
    assert!(!holds(&trial, model(first)).await, "a removal is a write");
    assert!(holds(&trial, model(removed)).await);
    Verdict::Passed
}

pub(super) async fn each_expectation_must_hold(trial: Trial) -> Verdict {
    let first = trial.commit(vec![trial.op(&SPECIMEN, specimen(1))]).await.revision;
    let changed = || trial.op(&SPECIMEN, with(&SPECIMEN, specimen(1), "title", text("changed")));
    let batch = |expect| Batch { expect, ops: vec![changed()] };
    let one_fails = batch(vec![row(&SPECIMEN, 1, first), row(&SPECIMEN, 2, 7)]);
    assert_eq!(trial.try_commit(one_fails).await.expect("an answer"), CommitOutcome::Stale);
    let both_hold = batch(vec![row(&SPECIMEN, 1, first), row(&SPECIMEN, 2, 0)]);
    assert!(matches!(trial.try_commit(both_hold).await.expect("an answer"), CommitOutcome::Committed(_)));
    Verdict::Passed
}
