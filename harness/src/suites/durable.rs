//! What was committed is there after the store has been opened again.

use larder_core::{Op, Tail};

use super::outbox::{entry, shown};
use crate::models::{ACCOUNT, ALL, SPECIMEN, account, specimen, text, with};
use crate::trial::{Trial, Verdict};

pub(super) async fn rows_stay(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, (1..=9).map(specimen)).await;
    let stone = Op::Tombstone { schema: &SPECIMEN, key: 9.into(), meta: trial.meta(), tail: Tail::At(0) };
    trial.commit(vec![stone]).await;
    let before = trial.all(&SPECIMEN).await;
    let trial = trial.reopen(&*ALL).await.expect("the store");
    assert_eq!(trial.all(&SPECIMEN).await, before);
    assert!(trial.store().load(&trial.cx, &SPECIMEN, &9.into()).await.expect("an answer").is_some());
    Verdict::Passed
}

pub(super) async fn entries_and_cursors_stay(trial: Trial) -> Verdict {
    let mut stored = entry(&trial, 1);
    let cursor = Op::Cursor { scope: "a".into(), value: Some("1".into()) };
    stored.seq = trial.commit(vec![Op::Enqueue(Box::new(stored.clone())), cursor]).await.seqs[0];
    let trial = trial.reopen(&*ALL).await.expect("the store");
    let found = trial.store().outbox(&trial.cx, 0, 9).await.expect("the outbox").entries;
    assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), [shown(&stored)]);
    assert_eq!(trial.store().outbox_counts(&trial.cx).await.expect("counts").entries, 1);
    assert_eq!(trial.store().cursor(&trial.cx, "a").await.expect("an answer").as_deref(), Some("1"));
    Verdict::Passed
}

pub(super) async fn counters_go_on(trial: Trial) -> Verdict {
    let committed = trial.commit(vec![Op::Enqueue(Box::new(entry(&trial, 1)))]).await;
    trial.commit(vec![Op::Dequeue(committed.seqs[0])]).await;
    let revision = trial.store().revision();
    let trial = trial.reopen(&*ALL).await.expect("the store");
    assert_eq!(trial.store().revision(), revision);
    let again = trial.commit(vec![Op::Enqueue(Box::new(entry(&trial, 1)))]).await;
    assert!(again.revision > revision && again.seqs[0] > committed.seqs[0], "{again:?} after {committed:?}");
    Verdict::Passed
}

pub(super) async fn constraints_stay(trial: Trial) -> Verdict {
    trial.put(&ACCOUNT, [account(1)]).await;
    let trial = trial.reopen(&*ALL).await.expect("the store");
    let taken = trial.op(&ACCOUNT, with(&ACCOUNT, account(2), "email", text("1@example.com")));
    let refused = trial.try_commit(larder_core::Batch { expect: Vec::new(), ops: vec![taken] }).await;
    crate::trial::fails(refused, larder_core::ErrorKind::Conflict);
    Verdict::Passed
}
