//! Batches: applied in order, as a whole or not at all.

use std::sync::Arc;

use larder_core::{Batch, CommitOutcome, ErrorKind, Expect, Op, Query, Row, Tail, Value};

use super::outbox::entry;
use crate::models::{ACCOUNT, NAMED, SPECIMEN, account, at, keyed, specimen, text, with};
use crate::plain::plain;
use crate::trial::{Trial, Verdict, fails};

pub(super) async fn changes_are_applied_in_order(trial: Trial) -> Verdict {
    let changed = with(&SPECIMEN, specimen(1), "title", text("changed"));
    let remove = |id: i64| Op::Remove { schema: &SPECIMEN, key: id.into() };
    trial
        .commit(vec![
            trial.op(&SPECIMEN, specimen(1)),
            trial.op(&SPECIMEN, specimen(2)),
            remove(2),
            remove(3),
            trial.op(&SPECIMEN, specimen(3)),
            trial.op(&SPECIMEN, changed.clone()),
        ])
        .await;
    assert_eq!(trial.all(&SPECIMEN).await, [plain(&SPECIMEN, &changed), plain(&SPECIMEN, &specimen(3))]);
    Verdict::Passed
}

pub(super) async fn several_models_in_one(trial: Trial) -> Verdict {
    let named = keyed(&NAMED, &"a".into(), "x");
    let committed = trial.commit(vec![trial.op(&SPECIMEN, specimen(1)), trial.op(&NAMED, named)]).await;
    for (schema, key) in [(&SPECIMEN, 1.into()), (&NAMED, "a".into())] {
        let found = trial.find(schema, &key).await.expect("the row");
        assert_eq!(found.meta.revision, committed.revision);
    }
    Verdict::Passed
}

pub(super) async fn an_empty_batch_is_committed(trial: Trial) -> Verdict {
    let before = trial.store().revision();
    let committed = trial.commit(Vec::new()).await;
    assert!(committed.revision > before && committed.seqs.is_empty(), "{committed:?}");
    assert_eq!(trial.store().revision(), committed.revision);
    Verdict::Passed
}

/// Everything that a batch can hold, and one row that breaks it: at the beginning, in the middle, at the end.
pub(super) async fn all_or_nothing(trial: Trial) -> Verdict {
    trial.put(&ACCOUNT, [account(1)]).await;
    let kept = trial.commit(vec![Op::Enqueue(Box::new(entry(&trial, 7)))]).await.seqs[0];
    let mut unfit = specimen(9);
    unfit.set(at(&SPECIMEN, "place"), Value::List(Vec::new()));
    let taken = with(&ACCOUNT, account(2), "email", text("1@example.com"));
    let breakers = [
        (trial.op(&SPECIMEN, unfit), ErrorKind::Serialization),
        (trial.op(&ACCOUNT, taken), ErrorKind::Conflict),
    ];
    for (breaker, kind) in breakers {
        for at in [0, 3, 7] {
            let mut ops = vec![
                trial.op(&SPECIMEN, specimen(1)),
                Op::Remove { schema: &ACCOUNT, key: 9.into() },
                Op::Tombstone { schema: &SPECIMEN, key: 3.into(), meta: trial.meta(), tail: Tail::At(0) },
                Op::Enqueue(Box::new(entry(&trial, 8))),
                Op::Dequeue(kept),
                Op::Cursor { scope: "s".into(), value: Some("v".into()) },
                trial.op(&ACCOUNT, account(5)),
            ];
            ops.insert(at, breaker.clone());
            refused(&trial, ops, kind).await;
        }
    }
    Verdict::Passed
}

async fn refused(trial: &Trial, ops: Vec<Op>, kind: ErrorKind) {
    let before = everything(trial).await;
    let error = fails(trial.try_commit(Batch { expect: Vec::new(), ops }).await, kind);
    assert!(error.model_name().is_some(), "{error:?}");
    assert_eq!(everything(trial).await, before, "a refused batch has left something");
}

/// What a batch of this suite can change.
async fn everything(trial: &Trial) -> String {
    let store = trial.store();
    let outbox = store.outbox(&trial.cx, 0, usize::MAX).await.expect("the outbox");
    let seqs: Vec<u64> = outbox.entries.iter().map(|entry| entry.seq).collect();
    let cursor = store.cursor(&trial.cx, "s").await.expect("a cursor");
    let stone = store.load(&trial.cx, &SPECIMEN, &3.into()).await.expect("a tombstone");
    let rows = (trial.all(&SPECIMEN).await, trial.all(&ACCOUNT).await);
    format!("{rows:?} {seqs:?} {cursor:?} {stone:?} {}", store.revision())
}

pub(super) async fn a_stale_batch_changes_nothing(trial: Trial) -> Verdict {
    trial.put(&ACCOUNT, [account(1)]).await;
    let before = everything(&trial).await;
    let batch = Batch {
        expect: vec![Expect::Row { schema: &SPECIMEN, key: 1.into(), revision: 99 }],
        ops: vec![trial.op(&SPECIMEN, specimen(1)), Op::Enqueue(Box::new(entry(&trial, 8)))],
    };
    assert_eq!(trial.try_commit(batch).await.expect("an answer"), CommitOutcome::Stale);
    assert_eq!(everything(&trial).await, before);
    Verdict::Passed
}

pub(super) async fn an_unknown_entry_of_the_batch_is_invalid(trial: Trial) -> Verdict {
    let Op::Put { schema, key, row, meta, .. } = trial.op(&SPECIMEN, specimen(1)) else {
        unreachable!("a put")
    };
    let ops =
        vec![Op::Put { schema, key, row, meta, tail: Tail::New(1) }, Op::Enqueue(Box::new(entry(&trial, 1)))];
    fails(trial.try_commit(Batch { expect: Vec::new(), ops }).await, ErrorKind::Invalid);
    assert!(trial.all(&SPECIMEN).await.is_empty());
    Verdict::Passed
}

/// Writers that run at the same time lose nothing: each reads, adds one, and commits what it expects to be unchanged.
pub(super) async fn writers_at_the_same_time_lose_nothing(trial: Trial) -> Verdict {
    const WRITERS: i64 = 8;
    const ROUNDS: i64 = 12;
    trial.put(&SPECIMEN, [with(&SPECIMEN, specimen(1), "long", Value::Int(0))]).await;
    let trial = Arc::new(trial);
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let trial = trial.clone();
            #[allow(
                clippy::disallowed_methods,
                reason = "tasks that run at the same time are what the case is about"
            )]
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    while !add_one(&trial).await {}
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    let found = trial.find(&SPECIMEN, &1.into()).await.expect("the row");
    assert_eq!(
        plain(&SPECIMEN, &*found.row)[at(&SPECIMEN, "long")],
        Value::Int(i128::from(WRITERS * ROUNDS))
    );
    Verdict::Passed
}

async fn add_one(trial: &Trial) -> bool {
    let found =
        trial.gather(&SPECIMEN, &Query::key(1.into())).await.expect("an answer").pop().expect("the row");
    let Value::Int(n) = plain(&SPECIMEN, &*found.row)[at(&SPECIMEN, "long")] else { panic!("no number") };
    let more = with(&SPECIMEN, specimen(1), "long", Value::Int(n + 1));
    let expect = vec![Expect::Row { schema: &SPECIMEN, key: 1.into(), revision: found.meta.revision }];
    let batch = Batch { expect, ops: vec![trial.op(&SPECIMEN, more)] };
    matches!(trial.try_commit(batch).await.expect("an answer"), CommitOutcome::Committed(_))
}

/// A reader sees a batch as a whole or not at all.
pub(super) async fn readers_see_whole_batches(trial: Trial) -> Verdict {
    let trial = Arc::new(trial);
    let pair = |title: &str| [1, 2].map(|id| with(&SPECIMEN, specimen(id), "title", text(title)));
    trial.put(&SPECIMEN, pair("0")).await;
    let reader = trial.clone();
    #[allow(
        clippy::disallowed_methods,
        reason = "tasks that run at the same time are what the case is about"
    )]
    let reading = tokio::spawn(async move {
        let title = |row: &dyn Row| plain(&SPECIMEN, row)[at(&SPECIMEN, "title")].clone();
        for _ in 0..200 {
            let given = reader.gather(&SPECIMEN, &Query::all()).await.expect("rows");
            assert_eq!(title(&*given[0].row), title(&*given[1].row), "half a batch is given");
            let mut lent = Vec::new();
            let read = reader.store().read_now(&SPECIMEN, &Query::all(), &mut |_, row| {
                lent.push(title(row));
                Ok(())
            });
            assert!(!read.expect("rows") || lent[0] == lent[1], "half a batch is lent");
            tokio::task::yield_now().await;
        }
    });
    for n in 1..60 {
        trial.put(&SPECIMEN, pair(&n.to_string())).await;
    }
    reading.await.expect("a reader");
    Verdict::Passed
}
