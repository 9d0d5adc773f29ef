//! A mutation that is sent twice.

use larder_core::{Idempotency, Mutation, Operation, Outcome};

use crate::models::{SPECIMEN, specimen, text, with};
use crate::trial::{Trial, Verdict};

/// Sends a mutation twice and asserts that the second time changed nothing.
async fn twice(trial: &Trial, operation: Operation, title: &str) {
    let declared = trial.provider().idempotency(&SPECIMEN, operation);
    let record = with(&SPECIMEN, specimen(1), "title", text(title));
    let mutation = trial.mutation(operation, &SPECIMEN, &record);
    let first = trial.provider().apply(&trial.cx, &mutation).await.expect("the first time");
    let before = trial.all(&SPECIMEN).await;
    let repeated = Mutation { repeated: true, ..mutation };
    let second = trial.provider().apply(&trial.cx, &repeated).await;
    assert_eq!(trial.all(&SPECIMEN).await, before, "a repeated {} has changed something", operation.verb());
    if matches!(declared, Idempotency::Keyed { .. } | Idempotency::Idempotent) {
        let second = second.unwrap_or_else(|error| panic!("{declared:?}, but: {error:?}"));
        let missing = operation == Operation::Delete && second.outcome == Outcome::Missing;
        assert!(
            missing || second.outcome == first.outcome || declared == Idempotency::Idempotent,
            "{second:?}"
        );
    }
}

pub(super) async fn insert(trial: Trial) -> Verdict {
    if let Some(refused) = trial.refuses(Operation::Insert, &SPECIMEN, &specimen(1)).await {
        return refused;
    }
    twice(&trial, Operation::Insert, "new").await;
    Verdict::Passed
}

pub(super) async fn update(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, [specimen(1)]).await;
    if let Some(refused) = trial.refuses(Operation::Update, &SPECIMEN, &specimen(1)).await {
        return refused;
    }
    twice(&trial, Operation::Update, "changed").await;
    Verdict::Passed
}

pub(super) async fn upsert(trial: Trial) -> Verdict {
    if let Some(refused) = trial.refuses(Operation::Upsert, &SPECIMEN, &specimen(1)).await {
        return refused;
    }
    twice(&trial, Operation::Upsert, "new").await;
    Verdict::Passed
}

pub(super) async fn delete(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, [specimen(1)]).await;
    if let Some(refused) = trial.refuses(Operation::Delete, &SPECIMEN, &specimen(1)).await {
        return refused;
    }
    twice(&trial, Operation::Delete, "").await;
    Verdict::Passed
}

pub(super) async fn what_the_model_has_not_survives(trial: Trial) -> Verdict {
    let extra = r#"{"unknown":{"a":[1,null]}}"#;
    let mut insert = trial.mutation(Operation::Insert, &SPECIMEN, &specimen(1));
    if !trial.capabilities().insert {
        insert.operation = Operation::Upsert;
    }
    insert.extra = Some(extra.into());
    trial.provider().apply(&trial.cx, &insert).await.expect("a write");
    let found = trial.find(&SPECIMEN, &1.into()).await.expect("the row");
    assert_eq!(found.meta.extra.as_deref(), Some(extra));
    let mut update =
        trial.mutation(Operation::Update, &SPECIMEN, &with(&SPECIMEN, specimen(1), "title", text("b")));
    update.extra = found.meta.extra;
    if trial.capabilities().update {
        trial.provider().apply(&trial.cx, &update).await.expect("an update");
    }
    let found = trial.find(&SPECIMEN, &1.into()).await.expect("the row");
    assert_eq!(found.meta.extra.as_deref(), Some(extra));
    Verdict::Passed
}
