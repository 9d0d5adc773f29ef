//! The reference evaluator: what a query means, written from the reference's rules over plain data.
//!
//! It borrows nothing from core but the types of the question. It is meant to be read beside the rules, not to be fast.
//! `related` is the part about associations.

mod related;

pub use related::{field as field_through, references as keys_in};

use std::cmp::Ordering;

use jiff::civil;
use larder_core::{
    CompareOp, Decimal, Direction, Key, Kind, Order, Position, Predicate, Query, Schema, TextOp, Value,
};

use crate::plain::Plain;

/// The rows of one model.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// The model.
    pub schema: &'static Schema,
    /// Its rows.
    pub rows: &'a [Plain],
}

/// What is known: of each model that matters the rows.
pub type World<'a> = &'a [Table<'a>];

/// The positions of the rows that answer `query`, in the order of the answer.
#[must_use]
pub fn answer(schema: &'static Schema, rows: &[Plain], query: &Query) -> Vec<usize> {
    answer_within(&[Table { schema, rows }], query)
}

/// The same for a query that asks something of related rows. It is asked of the first table.
///
/// # Panics
/// If the world is empty, or lacks a model that the query asks.
#[must_use]
pub fn answer_within(world: World<'_>, query: &Query) -> Vec<usize> {
    let Table { schema, rows } = world[0];
    let mut found: Vec<usize> =
        (0..rows.len()).filter(|at| holds_for(world, schema, &rows[*at], &query.filter)).collect();
    found.sort_by(|a, b| sequence(world, schema, &query.order, &rows[*a], &rows[*b]));
    // First the place to go on after, then the offset, then the limit.
    if let Some(place) = &query.after {
        found.retain(|at| comes_after(world, schema, &query.order, &rows[*at], place));
    }
    let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
    let limit = query.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    found.into_iter().skip(offset).take(limit).collect()
}

/// Whether a row meets a condition that asks nothing of related rows.
///
/// # Panics
/// If it does not know the condition.
#[must_use]
pub fn meets(schema: &'static Schema, row: &Plain, condition: &Predicate) -> bool {
    holds_for(&[], schema, row, condition)
}

fn holds_for(world: World<'_>, schema: &'static Schema, row: &Plain, condition: &Predicate) -> bool {
    let field = |position: &u16| &row[usize::from(*position)];
    let meets = |one: &Predicate| holds_for(world, schema, row, one);
    match condition {
        Predicate::All => true,
        Predicate::Key(key) => key_of(schema, row) == *key,
        Predicate::Keys(keys) => keys.contains(&key_of(schema, row)),
        Predicate::Compare { field: position, op, value } => holds(field(position), *op, value),
        // Inclusive at both ends; nothing lies between ends that are the wrong way round.
        Predicate::Between { field: position, low, high } => {
            holds(field(position), CompareOp::Ge, low) && holds(field(position), CompareOp::Le, high)
        }
        // An empty list matches nothing.
        Predicate::In { field: position, values } => values.iter().any(|value| same(field(position), value)),
        Predicate::Text { field: position, op, needle, ignore_case, negated } => match field(position) {
            Value::Str(text) => has_text(text, *op, needle, *ignore_case) != *negated,
            // The complement is one among non-null rows.
            _ => false,
        },
        Predicate::Member { field: position, value, negated } => match field(position) {
            Value::List(elements) => elements.iter().any(|element| same(element, value)) != *negated,
            Value::Bytes(bytes) => {
                bytes.iter().any(|byte| same(&Value::Int((*byte).into()), value)) != *negated
            }
            _ => false,
        },
        // A reference or a list of references to one of these rows; null refers to none.
        Predicate::Among { field: position, keys } => {
            related::references(field(position)).iter().any(|key| keys.iter().any(|one| one == key))
        }
        Predicate::Related { assoc, all, filter } => {
            let (target, rows) = related::rows(world, schema, row, *assoc);
            let meets = |row: &&Plain| holds_for(world, target, row, filter);
            if *all { rows.iter().all(meets) } else { rows.iter().any(meets) }
        }
        Predicate::And(all) => all.iter().all(meets),
        Predicate::Or(any) => any.iter().any(meets),
        // Negates the answer, so that rows whose field is null are included.
        Predicate::Not(one) => !meets(one),
        other => panic!("the oracle does not know the condition {other:?}: write it from the rules"),
    }
}

/// `field op operand`.
fn holds(field: &Value, op: CompareOp, operand: &Value) -> bool {
    let some = !field.is_null();
    let both = some && !operand.is_null();
    match op {
        // `eq(None)` is "is null".
        CompareOp::Eq => same(field, operand),
        // Excludes null, unless null is what is excluded.
        CompareOp::Ne => some && (operand.is_null() || !same(field, operand)),
        // Null matches none of the four.
        CompareOp::Lt => both && total(field, operand).is_lt(),
        CompareOp::Le => both && total(field, operand).is_le(),
        CompareOp::Gt => both && total(field, operand).is_gt(),
        CompareOp::Ge => both && total(field, operand).is_ge(),
    }
}

/// Equality of a query: the two zeros are equal, what is no number equals nothing, null equals null.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::List(a), Value::List(b)) | (Value::Struct(a), Value::Struct(b)) => all_same(a, b),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.0, &b.0) && same(&a.1, &b.1))
        }
        (Value::Variant(a), Value::Variant(b)) => a.name == b.name && all_same(&a.fields, &b.fields),
        (a, b) => total(a, b).is_eq(),
    }
}

fn all_same(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

/// The total order of a type: null first, floats as IEEE 754 orders them in total, text by code point, enums by the
/// variant's name, composites element by element and the shorter first.
pub(crate) fn total(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Uint(a), Value::Uint(b)) => a.cmp(b),
        // What an `Int` has no room for is greater than all that it has.
        (Value::Int(_), Value::Uint(_)) => Ordering::Less,
        (Value::Uint(_), Value::Int(_)) => Ordering::Greater,
        (Value::Decimal(a), Value::Decimal(b)) => worth(*a).cmp(&worth(*b)),
        (Value::Date(a), Value::Date(b)) => day(*a).cmp(&day(*b)),
        (Value::Clock(a), Value::Clock(b)) => of_day(*a).cmp(&of_day(*b)),
        (Value::DateTime(a), Value::DateTime(b)) => {
            (day(a.date()), of_day(a.time())).cmp(&(day(b.date()), of_day(b.time())))
        }
        (Value::Float(a), Value::Float(b)) => in_total(*a).cmp(&in_total(*b)),
        (Value::Char(a), Value::Char(b)) => a.cmp(b),
        (Value::Str(a), Value::Str(b)) => a.chars().cmp(b.chars()),
        (Value::Bytes(a), Value::Bytes(b)) => a.iter().cmp(b.iter()),
        (Value::Uuid(a), Value::Uuid(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Time(a), Value::Time(b)) => a.as_nanosecond().cmp(&b.as_nanosecond()),
        (Value::List(a), Value::List(b)) | (Value::Struct(a), Value::Struct(b)) => one_by_one(a, b),
        (Value::Map(a), Value::Map(b)) => {
            let pairs = a.iter().zip(b).map(|(a, b)| total(&a.0, &b.0).then_with(|| total(&a.1, &b.1)));
            pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        }
        (Value::Variant(a), Value::Variant(b)) => {
            a.name.chars().cmp(b.name.chars()).then_with(|| one_by_one(&a.fields, &b.fields))
        }
        (a, b) => panic!("values of one field have one type, but {a:?} and {b:?} were compared"),
    }
}

fn one_by_one(a: &[Value], b: &[Value]) -> Ordering {
    a.iter()
        .zip(b)
        .fold(Ordering::Equal, |so_far, (a, b)| so_far.then_with(|| total(a, b)))
        .then(a.len().cmp(&b.len()))
}

/// What a decimal is worth, whatever digits it is written with: what stands before the point, and 28 digits behind it.
fn worth(value: Decimal) -> (i128, i128) {
    let unit = 10_i128.pow(value.scale().into());
    let behind = 10_i128.pow(28 - u32::from(value.scale()));
    (value.coefficient() / unit, value.coefficient() % unit * behind)
}

fn day(value: civil::Date) -> (i16, i8, i8) {
    (value.year(), value.month(), value.day())
}

fn of_day(value: civil::Time) -> (i8, i8, i8, i32) {
    (value.hour(), value.minute(), value.second(), value.subsec_nanosecond())
}

/// The place of a float in the total order of IEEE 754: sign and magnitude, as a number.
fn in_total(value: f64) -> i128 {
    let magnitude = i128::from(value.to_bits() & !(1 << 63));
    // Below zero there is one more step: minus zero is less than zero.
    if value.is_sign_negative() { -magnitude - 1 } else { magnitude }
}

/// The order of an answer: the fields as they are asked for, then the key, rising. Total, because keys differ.
fn sequence(world: World<'_>, schema: &'static Schema, order: &[Order], a: &Plain, b: &Plain) -> Ordering {
    let shown = |order: &Order, row: &Plain| match order.through {
        Some(assoc) => related::field(world, schema, row, assoc, order.field),
        None => row[usize::from(order.field)].clone(),
    };
    let asked = order.iter().map(|order| directed(order, &shown(order, a), &shown(order, b)));
    let by_key = schema.key.fields.iter().map(|position| total(&a[*position], &b[*position]));
    asked.chain(by_key).fold(Ordering::Equal, Ordering::then)
}

fn directed(order: &Order, a: &Value, b: &Value) -> Ordering {
    match order.direction {
        Direction::Ascending => total(a, b),
        Direction::Descending => total(a, b).reverse(),
    }
}

/// Whether a row comes after a place in the order, which is one between two rows: the row that it was made from does not.
fn comes_after(
    world: World<'_>,
    schema: &'static Schema,
    order: &[Order],
    row: &Plain,
    place: &Position,
) -> bool {
    let mut there: Plain = vec![Value::Null; schema.fields.len()];
    let parts = place.key.parts();
    for (position, part) in schema.key.fields.iter().zip(parts) {
        there[*position] = match (schema.fields[*position].kind, part) {
            (Kind::Time, Key::Int(nanoseconds)) => {
                Value::Time(jiff::Timestamp::from_nanosecond(*nanoseconds).expect("a moment"))
            }
            (_, part) => part.to_value(),
        };
    }
    let asked = order.iter().zip(&place.values).map(|(order, value)| {
        let shown = match order.through {
            Some(assoc) => related::field(world, schema, row, assoc, order.field),
            None => row[usize::from(order.field)].clone(),
        };
        directed(order, &shown, value)
    });
    let by_key = schema.key.fields.iter().map(|position| total(&row[*position], &there[*position]));
    asked.chain(by_key).fold(Ordering::Equal, Ordering::then).is_gt()
}

/// The key of a row.
///
/// # Panics
/// If a field of the key holds what is none.
#[must_use]
pub fn key_of(schema: &'static Schema, row: &Plain) -> Key {
    let part = |position: &usize| match (&schema.fields[*position].kind, &row[*position]) {
        (_, Value::Bool(value)) => Key::Bool(*value),
        (_, Value::Int(value)) => Key::Int(*value),
        (_, Value::Uint(value)) => Key::Uint(*value),
        (_, Value::Date(value)) => Key::Date(*value),
        (_, Value::Str(value)) => Key::Str((**value).into()),
        (_, Value::Bytes(value)) => Key::Bytes((**value).into()),
        (_, Value::Uuid(value)) => Key::Uuid(*value),
        (Kind::Time, Value::Time(value)) => Key::Int(value.as_nanosecond()),
        (kind, value) => panic!("{value:?} of the type {} is no key", kind.name()),
    };
    match schema.key.fields {
        [] => Key::Singleton,
        [one] => part(one),
        many => Key::Composite(many.iter().map(part).collect()),
    }
}

/// Substrings, character by character; `%` and `_` are ordinary characters.
fn has_text(text: &str, op: TextOp, needle: &str, ignore_case: bool) -> bool {
    let letters = |text: &str| -> Vec<char> {
        text.chars().map(|letter| if ignore_case { folded(letter) } else { letter }).collect()
    };
    let (text, needle) = (letters(text), letters(needle));
    match op {
        TextOp::StartsWith => text.starts_with(&needle),
        TextOp::EndsWith => text.ends_with(&needle),
        TextOp::Contains => needle.is_empty() || text.windows(needle.len()).any(|part| part == needle),
    }
}

/// Letters beyond ASCII that the suites use, with their simple case folding by `CaseFolding.txt` of Unicode (statuses C
/// and S). A letter that has none there stands for itself.
pub const FOLDINGS: [(char, char); 16] = [
    ('\u{c4}', '\u{e4}'),
    ('\u{c9}', '\u{e9}'),
    ('\u{b5}', '\u{3bc}'),
    ('\u{130}', '\u{130}'),
    ('\u{131}', '\u{131}'),
    ('\u{17f}', 's'),
    ('\u{1c5}', '\u{1c6}'),
    ('\u{3a3}', '\u{3c3}'),
    ('\u{3c2}', '\u{3c3}'),
    ('\u{416}', '\u{436}'),
    ('\u{1e9e}', '\u{df}'),
    ('\u{df}', '\u{df}'),
    ('\u{212a}', 'k'),
    ('\u{2167}', '\u{2177}'),
    ('\u{ff21}', '\u{ff41}'),
    ('\u{10400}', '\u{10428}'),
];

fn folded(letter: char) -> char {
    let listed = FOLDINGS.iter().find(|(from, _)| *from == letter).map(|(_, to)| *to);
    listed.unwrap_or_else(|| letter.to_ascii_lowercase())
}
