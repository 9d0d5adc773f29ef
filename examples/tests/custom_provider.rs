//! The provider from outside, before the suites that every provider passes.
#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

#[path = "../custom-provider/plain/mod.rs"]
mod plain;

use larder::core::{OpenProvider, Record, Serdes, Value};
use larder_harness::models::{SPECIMEN, specimen};
use larder_harness::{Setup, Subject};
use plain::{Plain, PlainFile};

async fn make(setup: Setup) -> larder::Result<Subject> {
    let folder = tempfile::tempdir().unwrap();
    let file = PlainFile::at(folder.path().join("rows.json"));
    Ok(Subject::provider(Box::new(file).open(&setup.opening()).await?).keeping(folder))
}

larder_harness::conformance! {
    provider = "custom-provider",
    faces = [],
    make = make,
    exempt = {},
}

#[test]
fn every_type_has_a_form_in_the_dialect() {
    let row = specimen(7);
    let encoded = Plain.encode(&SPECIMEN, &row).unwrap();
    let text = serde_json::to_string(&encoded).unwrap();
    let decoded = Plain.decode(&SPECIMEN, &serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(decoded.record, Record::copy(&SPECIMEN, &row).unwrap());
    assert_eq!(decoded.extra, None);
}

#[test]
fn what_does_not_fit_says_where() {
    let mut object = Plain.encode(&SPECIMEN, &specimen(7)).unwrap();
    object.insert("title".to_owned(), serde_json::json!({ "$map": 7 }));
    let error = Plain.decode(&SPECIMEN, &object).unwrap_err();
    assert!(error.to_string().contains("title"), "{error}");
    object.remove("title");
    let error = Plain.decode(&SPECIMEN, &object).unwrap_err();
    assert!(error.to_string().contains("title"), "{error}");
    let wrong = Record::new(vec![Some(Value::Bool(true)); SPECIMEN.fields.len()]);
    assert!(Plain.encode(&SPECIMEN, &wrong).is_err());
}
