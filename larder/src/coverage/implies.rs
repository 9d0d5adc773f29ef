//! Whether one condition implies another. The rules, each of them sound for every row:
//!
//! | `a` | implies `b` if |
//! |---|---|
//! | anything | `b` is `a`, or every row meets `b`; or no row can meet `a` |
//! | `x or y` | both `x` and `y` imply it |
//! | anything | `b` is `x and y` and it implies both |
//! | `x and y` | one of the two implies it |
//! | anything | `b` is `x or y` and it implies one of the two |
//! | `not x` | `b` is `not y` and `y` implies `x` |
//! | `field = v`, `field in (v, …)`, a key | each of the values, put into a row, meets `b`, which is about that field alone |
//! | a range of a field | `b` is a wider range of it, or "is not null" |
//! | `starts_with p` and its like | `b` looks for a part of `p` in the same place or anywhere, no stricter about case |
//! | any text or list condition | `b` is "is not null" |
//!
//! What no rule decides is answered by "no".

use std::cmp::Ordering;

use larder_core::query::eval;
use larder_core::{CompareOp, Key, Kind, Predicate, Record, Schema, TextOp, Value};

/// How deep conditions are followed: what is nested deeper is not decided.
const DEPTH: usize = 64;

/// True if every row that meets `a` meets `b`; `false` if that is not so, or can't be told.
pub(crate) fn implies(schema: &Schema, a: &Predicate, b: &Predicate) -> bool {
    within(schema, a, b, DEPTH)
}

fn within(schema: &Schema, a: &Predicate, b: &Predicate, depth: usize) -> bool {
    if *b == Predicate::All || a == b {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    match (a, b) {
        // Of none of them: no row meets `a`.
        (Predicate::Or(any), _) => any.iter().all(|one| within(schema, one, b, depth)),
        (_, Predicate::And(all)) => all.iter().all(|one| within(schema, a, one, depth)),
        (Predicate::And(all), _) if all.iter().any(|one| within(schema, one, b, depth)) => true,
        (_, Predicate::Or(any)) if any.iter().any(|one| within(schema, a, one, depth)) => true,
        (Predicate::Not(a), Predicate::Not(b)) => within(schema, b, a, depth),
        // First the one that is to be met, which may be by another range.
        (_, Predicate::Between { field, low, high }) => {
            let end = |op, value: &Value| Predicate::Compare { field: *field, op, value: value.clone() };
            within(schema, a, &end(CompareOp::Ge, low), depth)
                && within(schema, a, &end(CompareOp::Le, high), depth)
        }
        (Predicate::Between { field, low, high }, _) => {
            let end = |op, value: &Value| Predicate::Compare { field: *field, op, value: value.clone() };
            within(schema, &end(CompareOp::Ge, low), b, depth)
                || within(schema, &end(CompareOp::Le, high), b, depth)
                || values(schema, a, b)
        }
        _ => leaf(schema, a, b),
    }
}

/// Two conditions that are not made of others.
fn leaf(schema: &Schema, a: &Predicate, b: &Predicate) -> bool {
    if let (Some(a), Predicate::Key(b)) = (keys(schema, a), b) {
        return a.iter().all(|key| key == b);
    }
    if let (Some(a), Predicate::Keys(b)) = (keys(schema, a), b) {
        return a.iter().all(|key| b.contains(key));
    }
    if values(schema, a, b) {
        return true;
    }
    match (a, b) {
        (
            Predicate::Compare { field: a_field, op: a_op, value: low },
            Predicate::Compare { field: b_field, op: b_op, value: wide },
        ) if a_field == b_field => range(*a_op, low, *b_op, wide),
        (
            Predicate::Text { field: a_field, op: a_op, needle: a, ignore_case: a_folds, negated: false },
            Predicate::Text { field: b_field, op: b_op, needle: b, ignore_case: b_folds, negated: false },
        ) if a_field == b_field => (*b_folds || !a_folds) && text(*a_op, a, *b_op, b, *b_folds),
        (
            Predicate::Text { field: a_field, .. } | Predicate::Member { field: a_field, .. },
            Predicate::Compare { field: b_field, op: CompareOp::Ne, value: Value::Null },
        ) => a_field == b_field,
        _ => false,
    }
}

/// Ranges, and what they say about null.
fn range(a_op: CompareOp, a: &Value, b_op: CompareOp, b: &Value) -> bool {
    use CompareOp::{Eq, Ge, Gt, Le, Lt, Ne};
    // Each of these excludes null; with a null operand it excludes everything.
    let excludes_null = match a_op {
        Eq | Ne => *a != Value::Null,
        Lt | Le | Gt | Ge => true,
    };
    if b_op == Ne && *b == Value::Null {
        return excludes_null;
    }
    if matches!(a_op, Lt | Le | Gt | Ge) && *a == Value::Null {
        return true;
    }
    if *b == Value::Null {
        return false;
    }
    let Ok(ordering) = eval::order(a.show(), b.show()) else {
        return false;
    };
    match (a_op, b_op) {
        (Lt, Lt | Le) | (Le, Le) => ordering != Ordering::Greater,
        (Le, Lt) => ordering == Ordering::Less,
        (Gt, Gt | Ge) | (Ge, Ge) => ordering != Ordering::Less,
        (Ge, Gt) => ordering == Ordering::Greater,
        _ => false,
    }
}

/// A text that holds `a` there holds `b` here.
fn text(a_op: TextOp, a: &str, b_op: TextOp, b: &str, folds: bool) -> bool {
    let same_place = a_op == b_op || b_op == TextOp::Contains;
    same_place && {
        let held = Value::Str(a.into());
        let looks =
            Predicate::Text { field: 0, op: b_op, needle: b.into(), ignore_case: folds, negated: false };
        meets(&TEXT, 0, &held, &looks)
    }
}

static TEXT: Schema =
    Schema::new("Text", &[larder_core::FieldDef::new("text", Kind::Str)], larder_core::KeyDef::natural(&[0]));

/// Each value that `a` allows for its field meets `b`, which is about that field alone.
fn values(schema: &Schema, a: &Predicate, b: &Predicate) -> bool {
    let by_key;
    let (field, values) = match a {
        Predicate::Compare { field, op: CompareOp::Eq, value } => (*field, std::slice::from_ref(value)),
        Predicate::In { field, values } => (*field, values.as_slice()),
        Predicate::Key(_) | Predicate::Keys(_) => {
            let (Some(field), Some(keys)) = (key_field(schema), keys(schema, a)) else {
                return false;
            };
            by_key = keys.iter().map(Key::to_value).collect::<Vec<_>>();
            (field, by_key.as_slice())
        }
        _ => return false,
    };
    field_of(b) == Some(field)
        && values
            .iter()
            .all(|value| is_nothing(value) || (is_itself(value) && meets(schema, field, value, b)))
}

/// The one field that a condition looks at.
fn field_of(condition: &Predicate) -> Option<u16> {
    match condition {
        Predicate::Compare { field, .. }
        | Predicate::Between { field, .. }
        | Predicate::In { field, .. }
        | Predicate::Text { field, .. }
        | Predicate::Member { field, .. } => Some(*field),
        Predicate::Not(one) => field_of(one),
        _ => None,
    }
}

/// True if whatever equals the value is the value, for every operator. Not so for the two zeros, which are equal and
/// still ordered, nor for what may hold them.
fn is_itself(value: &Value) -> bool {
    match value {
        Value::Float(float) => *float != 0.0,
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Char(_)
        | Value::Str(_)
        | Value::Bytes(_)
        | Value::Uuid(_)
        | Value::Time(_) => true,
        _ => false,
    }
}

/// What is no number equals nothing.
fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Float(float) if float.is_nan())
}

/// Whether a row with this value in this field meets a condition on that field.
fn meets(schema: &Schema, field: u16, value: &Value, condition: &Predicate) -> bool {
    let mut row = Record::new(vec![None; schema.fields.len()]);
    row.set(usize::from(field), value.clone());
    condition.matches(schema, &row).unwrap_or(false)
}

/// The keys that a condition leaves; `None` if it is no condition on keys.
fn keys(schema: &Schema, condition: &Predicate) -> Option<Vec<Key>> {
    let key = |value: &Value| Key::take(value.show()).ok();
    match condition {
        Predicate::Key(key) => Some(vec![key.clone()]),
        Predicate::Keys(keys) => Some(keys.clone()),
        Predicate::Compare { field, op: CompareOp::Eq, value } if key_field(schema) == Some(*field) => {
            Some(vec![key(value)?])
        }
        Predicate::In { field, values } if key_field(schema) == Some(*field) => {
            values.iter().map(key).collect()
        }
        _ => None,
    }
}

/// The field that is the key, if it is one field and the key looks like its value: a moment in a key is a number.
fn key_field(schema: &Schema) -> Option<u16> {
    let [position] = schema.key.fields else {
        return None;
    };
    let kind = &schema.fields.get(*position)?.kind;
    if matches!(kind.inner(), Kind::Time) { None } else { u16::try_from(*position).ok() }
}
