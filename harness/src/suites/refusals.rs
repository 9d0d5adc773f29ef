//! Queries that make no sense for a model: an error with a place, whoever is asked.

use larder_core::{CompareOp, ErrorKind, Key, Order, Predicate, Query, TextOp, Value};

use super::ask::{compare, eq, field, holds, int, is_in, member, put};
use crate::models::{SPECIMEN, text};
use crate::trial::{Trial, Verdict, fails};

/// Asserts that a query is `Invalid`, in every way in which it can be asked.
async fn refused(trial: &Trial, query: &Query, path: Option<&str>) {
    let error = fails(trial.provider().get(&trial.cx, &SPECIMEN, query).await, ErrorKind::Invalid);
    assert_eq!(error.model_name(), Some("Specimen"), "{error:?}");
    if path.is_some() {
        assert_eq!(error.path(), path, "{error:?}");
    }
    fails(trial.provider().exists(&trial.cx, &SPECIMEN, query).await, ErrorKind::Invalid);
}

pub(super) async fn an_unknown_field(trial: Trial) -> Verdict {
    put(&trial, "low", [int(1)]).await;
    let unknown = |field| Predicate::Compare { field, op: CompareOp::Eq, value: Value::Null };
    for at in [SPECIMEN.fields.len() as u16, u16::MAX] {
        refused(&trial, &Query::filter(unknown(at)), None).await;
        refused(&trial, &Query::filter(Predicate::Not(Box::new(unknown(at)))), None).await;
        refused(&trial, &Query { order: vec![Order::asc(at)], ..Query::all() }, None).await;
        refused(&trial, &Query::filter(Predicate::Between { field: at, low: int(1), high: int(2) }), None)
            .await;
    }
    Verdict::Passed
}

pub(super) async fn a_value_of_another_type(trial: Trial) -> Verdict {
    put(&trial, "low", [int(1)]).await;
    for (filter, path) in [
        (eq("low", text("1")), "low"),
        (eq("title", int(1)), "title"),
        (compare("double", CompareOp::Lt, int(1)), "double"),
        (compare("flag", CompareOp::Ge, text("true")), "flag"),
        (is_in("opt_int", [int(1), Value::Bool(true)]), "opt_int"),
        (Predicate::Between { field: field("made"), low: int(0), high: int(1) }, "made"),
        (eq("ints", Value::List(vec![text("1")])), "ints"),
        (eq("place", text("Main Street")), "place"),
    ] {
        refused(&trial, &Query::filter(filter), Some(path)).await;
    }
    Verdict::Passed
}

pub(super) async fn an_operator_that_the_type_has_not(trial: Trial) -> Verdict {
    put(&trial, "low", [int(1)]).await;
    refused(&trial, &Query::filter(holds("low", TextOp::Contains, "1")), Some("low")).await;
    refused(&trial, &Query::filter(member("title", text("a"))), Some("title")).await;
    refused(&trial, &Query::filter(member("ints", text("a"))), Some("ints")).await;
    Verdict::Passed
}

pub(super) async fn a_key_of_another_form(trial: Trial) -> Verdict {
    put(&trial, "low", [int(1)]).await;
    // Keys of another type are the keys of no row.
    for key in [Key::from("1"), Key::Bool(true), Key::Bytes([1].into()), Key::Singleton] {
        let found = trial.select(&SPECIMEN, &Query::filter(Predicate::Keys(vec![key.clone()]))).await;
        match found {
            Ok(rows) => assert!(rows.is_empty(), "{key:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}"),
        }
    }
    Verdict::Passed
}

/// A condition that nests so deep.
fn deep(depth: usize) -> Predicate {
    (0..depth).fold(eq("low", int(1)), |inner, level| match level % 3 {
        0 => Predicate::Not(Box::new(inner)),
        1 => Predicate::And(vec![inner, Predicate::All]),
        _ => Predicate::Or(vec![inner, Predicate::none()]),
    })
}

pub(super) async fn a_condition_that_nests_too_deep(trial: Trial) -> Verdict {
    put(&trial, "low", [int(1), int(2)]).await;
    // What is reasonable is answered.
    let found = trial.ids(&SPECIMEN, deep(30)).await;
    assert_eq!(found, [1], "ten negations leave it as it is");
    // Of a depth beyond every stack it is refused, without a look at what is deep down.
    let query = Query::filter(deep(10_000));
    refused(&trial, &query, None).await;
    // Neither does anything else that is done with it.
    assert_eq!(query, query.clone());
    assert!(!format!("{query:?}").is_empty());
    drop(query);
    Verdict::Passed
}
