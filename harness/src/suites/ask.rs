//! Conditions on specimens, by the names of the fields.

use larder_core::{CompareOp, Order, Predicate, Query, Schema, TextOp, Value};

use crate::models::{self, SPECIMEN, specimen};
use crate::trial::{Trial, numbers};

/// The position of a specimen's field.
pub(super) fn field(name: &str) -> u16 {
    position(&SPECIMEN, name)
}

/// The position of a field.
pub(super) fn position(schema: &'static Schema, name: &str) -> u16 {
    u16::try_from(models::at(schema, name)).expect("a position")
}

pub(super) fn compare(name: &str, op: CompareOp, value: Value) -> Predicate {
    Predicate::Compare { field: field(name), op, value }
}

pub(super) fn eq(name: &str, value: Value) -> Predicate {
    compare(name, CompareOp::Eq, value)
}

pub(super) fn ne(name: &str, value: Value) -> Predicate {
    compare(name, CompareOp::Ne, value)
}

pub(super) fn between(name: &str, low: Value, high: Value) -> Predicate {
    Predicate::Between { field: field(name), low, high }
}

pub(super) fn is_in(name: &str, values: impl IntoIterator<Item = Value>) -> Predicate {
    Predicate::In { field: field(name), values: values.into_iter().collect() }
}

pub(super) fn holds(name: &str, op: TextOp, needle: &str) -> Predicate {
    Predicate::Text { field: field(name), op, needle: needle.into(), ignore_case: false, negated: false }
}

pub(super) fn member(name: &str, value: Value) -> Predicate {
    Predicate::Member { field: field(name), value, negated: false }
}

/// The complement of a text or member condition among rows whose field is not null.
pub(super) fn lacks(condition: Predicate) -> Predicate {
    match condition {
        Predicate::Text { field, op, needle, ignore_case, .. } => {
            Predicate::Text { field, op, needle, ignore_case, negated: true }
        }
        Predicate::Member { field, value, .. } => Predicate::Member { field, value, negated: true },
        other => other,
    }
}

pub(super) fn not(condition: Predicate) -> Predicate {
    Predicate::Not(Box::new(condition))
}

pub(super) fn int(n: i128) -> Value {
    Value::Int(n)
}

/// Rising by each name, falling by each that begins with `-`.
pub(super) fn by(names: &[&str]) -> Vec<Order> {
    let order = |name: &&str| match name.strip_prefix('-') {
        Some(name) => Order::desc(field(name)),
        None => Order::asc(field(name)),
    };
    names.iter().map(order).collect()
}

pub(super) fn ordered(names: &[&str]) -> Query {
    Query { order: by(names), ..Query::all() }
}

/// Puts specimens 1, 2, 3 … whose field `name` has these values.
pub(super) async fn put(trial: &Trial, name: &str, values: impl IntoIterator<Item = Value>) {
    let rows = values.into_iter().enumerate();
    let rows = rows.map(|(at, value)| models::with(&SPECIMEN, specimen(at as i64 + 1), name, value));
    trial.put(&SPECIMEN, rows.collect::<Vec<_>>()).await;
}

/// Asserts which specimens a condition lets through.
pub(super) async fn check(trial: &Trial, filter: Predicate, expected: &[i128]) {
    let found = trial.ids(&SPECIMEN, filter.clone()).await;
    assert_eq!(found, expected, "{filter:?}");
}

/// Asserts which specimens answer a query, in order.
pub(super) async fn check_query(trial: &Trial, query: &Query, expected: &[i128]) {
    let found = numbers(&trial.keys(&SPECIMEN, query).await);
    assert_eq!(found, expected, "{query:?}");
}
