//! Rows of an older version of a model still read.

use std::sync::Arc;

use larder_core::{
    CompareOp, Entry, ErrorKind, MutationId, Op, Operation, Predicate, Query, Record, Runtime, RuntimeExt,
    Schema, Value,
};

use super::ask::position;
use super::outbox::entry;
use crate::models::{NOTE_BROKEN, NOTE_V1, NOTE_V2, SPECIMEN, text};
use crate::plain::plain;
use crate::trial::{Trial, Verdict, fails};

fn note(id: i128, state: &str) -> Record {
    Record::new([
        Some(Value::Int(id)),
        Some(text("hello")),
        Some(Value::Int(200)),
        Some(text(state)),
        Some(Value::Struct(vec![text("leg"), Value::Int(7)])),
        Some(text("gone")),
    ])
}

/// The same note as the second version has it.
fn later(id: i128, state: &str) -> Vec<Value> {
    vec![
        Value::Int(3),
        Value::Int(200),
        text("hello"),
        Value::Int(id),
        text(state),
        Value::Struct(vec![text("grey"), text("leg")]),
        Value::Null,
    ]
}

/// A store with notes of the first version, opened with another.
async fn evolve(trial: Trial, rows: impl IntoIterator<Item = Record>, to: &'static Schema) -> Trial {
    let trial = trial.reopen(&[&NOTE_V1, &SPECIMEN]).await.expect("the store, with the first version");
    trial.put(&NOTE_V1, rows).await;
    trial.reopen(&[to, &SPECIMEN]).await.expect("the store, with a later version")
}

pub(super) async fn added_removed_renamed_and_widened(trial: Trial) -> Verdict {
    let trial = evolve(trial, [note(1, "Open"), note(2, "Shut")], &NOTE_V2).await;
    assert_eq!(trial.all(&NOTE_V2).await, [later(1, "Open"), later(2, "Closed")]);
    Verdict::Passed
}

pub(super) async fn queries_see_todays_fields(trial: Trial) -> Verdict {
    let trial = evolve(trial, [note(1, "Open"), note(2, "Shut")], &NOTE_V2).await;
    let compare = |name, op, value| Predicate::Compare { field: position(&NOTE_V2, name), op, value };
    for (filter, expected) in [
        (compare("priority", CompareOp::Eq, Value::Int(3)), &[1_i128, 2][..]),
        (compare("priority", CompareOp::Gt, Value::Int(3)), &[]),
        (compare("text", CompareOp::Eq, text("hello")), &[1, 2]),
        (compare("due", CompareOp::Eq, Value::Null), &[1, 2]),
        (compare("state", CompareOp::Eq, text("Closed")), &[2]),
        (compare("stars", CompareOp::Ge, Value::Int(200)), &[1, 2]),
    ] {
        assert_eq!(trial.ids(&NOTE_V2, filter.clone()).await, expected, "{filter:?}");
    }
    Verdict::Passed
}

pub(super) async fn both_versions_stand_side_by_side(trial: Trial) -> Verdict {
    let trial = evolve(trial, [note(1, "Open")], &NOTE_V2).await;
    let new = Record::new(later(2, "Closed").into_iter().map(Some).collect::<Vec<_>>());
    trial.put(&NOTE_V2, [new]).await;
    assert_eq!(trial.all(&NOTE_V2).await, [later(1, "Open"), later(2, "Closed")]);
    let trial = trial.reopen(&[&NOTE_V2, &SPECIMEN]).await.expect("the store");
    assert_eq!(trial.all(&NOTE_V2).await, [later(1, "Open"), later(2, "Closed")]);
    Verdict::Passed
}

pub(super) async fn what_cannot_be_bridged_says_so(trial: Trial) -> Verdict {
    let trial = evolve(trial, [note(1, "Open")], &NOTE_BROKEN).await;
    // The key reads as before, so the row is found; its stars can't be read.
    let query = Query::filter(Predicate::Compare {
        field: position(&NOTE_BROKEN, "stars"),
        op: CompareOp::Eq,
        value: text("x"),
    });
    let error = fails(trial.provider().get(&trial.cx, &NOTE_BROKEN, &query).await, ErrorKind::Serialization);
    let said = error.to_string();
    assert_eq!((error.model_name(), error.path()), (Some("Note"), Some("stars")), "{error:?}");
    assert!(said.contains("version 1") && said.contains("version 3"), "{said}");
    Verdict::Passed
}

pub(super) async fn a_variant_that_is_gone_says_so(trial: Trial) -> Verdict {
    let trial = evolve(trial, [note(1, "Lost")], &NOTE_V2).await;
    let rows = trial.gather(&NOTE_V2, &Query::all()).await.expect("the row is there");
    let shown = Record::copy(&NOTE_V2, &*rows[0].row);
    let error = fails(shown, ErrorKind::Serialization);
    assert_eq!((error.model_name(), error.path()), (Some("Note"), Some("state")), "{error:?}");
    Verdict::Passed
}

pub(super) async fn queued_entries_read_too(trial: Trial) -> Verdict {
    let trial = trial.reopen(&[&NOTE_V1, &SPECIMEN]).await.expect("the store, with the first version");
    let queued = Entry {
        id: MutationId(trial.runtime.uuid()),
        schema: &NOTE_V1,
        model_version: 1,
        key: 1.into(),
        operation: Operation::Update,
        row: Some(Arc::new(note(1, "Shut"))),
        base: Some(Arc::new(note(1, "Open"))),
        changed: [1, 3, 5].into_iter().collect(),
        created: trial.runtime.now(),
        ..entry(&trial, 1)
    };
    let seq = trial.commit(vec![Op::Enqueue(Box::new(queued))]).await.seqs[0];
    let trial = trial.reopen(&[&NOTE_V2, &SPECIMEN]).await.expect("the store, with the second version");
    let found = trial.store().entry(&trial.cx, seq).await.expect("an answer").expect("the entry");
    assert_eq!((found.schema.version, found.model_version), (2, 1));
    let rows = [found.row, found.base].map(|row| plain(&NOTE_V2, &*row.expect("a row")));
    assert_eq!(rows, [later(1, "Closed"), later(1, "Open")]);
    let changed: Vec<&str> = found.changed.iter().map(|at| NOTE_V2.fields[at].name).collect();
    assert_eq!(changed, ["text", "state"], "by today's positions, without what is gone");
    Verdict::Passed
}
