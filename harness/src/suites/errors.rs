//! What is wrong is an error with a place, and changes nothing.

use larder_core::{ErrorKind, FieldDef, IntKind, KeyDef, Kind, Operation, Query, Record, Schema, Value};

use crate::models::{SPECIMEN, at, specimen};
use crate::trial::{Trial, Verdict, fails};

/// A model that nobody has registered.
static STRANGER: Schema =
    Schema::new("Stranger", &[FieldDef::new("id", Kind::Int(IntKind::I64))], KeyDef::natural(&[0]));

pub(super) async fn an_unknown_model_is_invalid(trial: Trial) -> Verdict {
    let error = fails(trial.provider().get(&trial.cx, &STRANGER, &Query::all()).await, ErrorKind::Invalid);
    assert_eq!(error.model_name(), Some("Stranger"), "{error:?}");
    let stranger = Record::new([Some(Value::Int(1))]);
    let operation = if trial.capabilities().insert { Operation::Insert } else { Operation::Upsert };
    fails(trial.apply(operation, &STRANGER, &stranger).await, ErrorKind::Invalid);
    Verdict::Passed
}

pub(super) async fn a_row_that_does_not_fit_is_refused(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1)]).await;
    let before = trial.all(&SPECIMEN).await;
    let mut wrong = specimen(2);
    wrong.set(at(&SPECIMEN, "place"), Value::List(Vec::new()));
    let operation = if trial.capabilities().insert { Operation::Insert } else { Operation::Upsert };
    let error = fails(trial.apply(operation, &SPECIMEN, &wrong).await, ErrorKind::Serialization);
    assert_eq!(error.model_name(), Some("Specimen"), "{error:?}");
    assert!(error.path().is_some_and(|path| path.starts_with("place")), "{error:?}");
    assert_eq!(trial.all(&SPECIMEN).await, before);
    Verdict::Passed
}
