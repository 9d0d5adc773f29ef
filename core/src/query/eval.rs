//! The one evaluator and the one comparator: what a query means, for every provider.
//!
//! A condition on one field reads that field and does not decode the others.

use std::cmp::Ordering;

use super::check::too_deep;
use super::{CompareOp, Direction, MAX_DEPTH, Order, Predicate, TextOp};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::key::Key;
use crate::row::Row;
use crate::schema::Schema;
use crate::value::{Item, Nested, Value, ValueRef};

impl Predicate {
    /// Whether `row` meets the condition.
    ///
    /// # Errors
    /// `Serialization` or `Corrupt`, with model and field, if a field that the condition needs can't be shown.
    pub fn matches(&self, schema: &Schema, row: &dyn Row) -> Result<bool> {
        self.holds(schema, row, 0)
    }

    fn holds(&self, schema: &Schema, row: &dyn Row, depth: usize) -> Result<bool> {
        if depth > MAX_DEPTH {
            return Err(too_deep().model(schema.model));
        }
        let at = |field: u16| {
            let position = usize::from(field);
            row.field(position).map_err(|fault| schema.fault(position, fault))
        };
        let place = |field: u16, found: Result<bool, Fault>| {
            found.map_err(|fault| schema.fault(usize::from(field), fault))
        };
        match self {
            Self::All => Ok(true),
            Self::Key(key) => has_key(schema, row, key),
            Self::Keys(keys) => Ok(keys.contains(&schema.key_of(row)?)),
            Self::Compare { field, op, value } => place(*field, compares(at(*field)?, *op, value.show())),
            Self::Between { field, low, high } => {
                let shown = at(*field)?;
                let low = compares(shown, CompareOp::Ge, low.show());
                place(*field, low.and_then(|low| Ok(low && compares(shown, CompareOp::Le, high.show())?)))
            }
            Self::In { field, values } => {
                let shown = at(*field)?;
                place(*field, any(values.iter(), |value| compares(shown, CompareOp::Eq, value.show())))
            }
            Self::Text { field, op, needle, ignore_case, negated } => Ok(match at(*field)? {
                ValueRef::Str(text) => holds(text, *op, needle, *ignore_case) != *negated,
                _ => false,
            }),
            Self::Member { field, value, negated } => match at(*field)? {
                ValueRef::List(list) => place(*field, member(list, value).map(|found| found != *negated)),
                ValueRef::Bytes(bytes) => {
                    let found =
                        matches!(value, Value::Int(v) if bytes.iter().any(|byte| i128::from(*byte) == *v));
                    Ok(found != *negated)
                }
                _ => Ok(false),
            },
            Self::Among { field, keys } => place(*field, keys.holds(at(*field)?)),
            Self::Related { .. } => Err(unresolved(schema)),
            Self::And(all) => {
                for one in all {
                    if !one.holds(schema, row, depth + 1)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(any) => {
                for one in any {
                    if one.holds(schema, row, depth + 1)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(one) => Ok(!one.holds(schema, row, depth + 1)?),
            Self::TooDeep => Err(too_deep().model(schema.model)),
        }
    }
}

/// A row alone can't tell what is asked of related ones.
#[cold]
fn unresolved(schema: &Schema) -> Error {
    let what = "a condition on related rows has to be resolved first: see `association::answer`";
    Error::new(ErrorKind::Unsupported, what).model(schema.model)
}

/// Orders two rows by `order`, then by their keys.
///
/// # Errors
/// `Serialization` or `Corrupt`, with model and field, if a field can't be shown; `Unsupported` for an order by a field
/// of a related row.
pub fn compare(schema: &Schema, order: &[Order], a: &dyn Row, b: &dyn Row) -> Result<Ordering> {
    for one in order {
        let ordering = compare_by(schema, *one, a, b)?;
        if ordering != Ordering::Equal {
            return Ok(ordering);
        }
    }
    for position in schema.key.fields {
        let ordering = by_field(schema, *position, a, b)?;
        if ordering != Ordering::Equal {
            return Ok(ordering);
        }
    }
    Ok(Ordering::Equal)
}

/// Orders two rows by one field of an order.
///
/// # Errors
/// As [`compare`].
pub fn compare_by(schema: &Schema, order: Order, a: &dyn Row, b: &dyn Row) -> Result<Ordering> {
    if order.through.is_some() {
        return Err(unresolved(schema));
    }
    let ordering = by_field(schema, usize::from(order.field), a, b)?;
    Ok(match order.direction {
        Direction::Ascending => ordering,
        Direction::Descending => ordering.reverse(),
    })
}

fn by_field(schema: &Schema, position: usize, a: &dyn Row, b: &dyn Row) -> Result<Ordering> {
    let show = |row| Row::field(row, position).map_err(|fault| schema.fault(position, fault));
    order(show(a)?, show(b)?).map_err(|fault| schema.fault(position, fault))
}

/// The total order of values: null first, floats by `total_cmp`, text by code point, composites element by element.
/// Values of different types order by type; within a field that does not happen.
///
/// # Errors
/// The fault of an element that can't be shown.
pub fn order(a: ValueRef<'_>, b: ValueRef<'_>) -> Result<Ordering, Fault> {
    Ok(match (a, b) {
        (ValueRef::Bool(a), ValueRef::Bool(b)) => a.cmp(&b),
        (ValueRef::Int(a), ValueRef::Int(b)) => a.cmp(&b),
        (ValueRef::Uint(a), ValueRef::Uint(b)) => a.cmp(&b),
        (ValueRef::Float(a), ValueRef::Float(b)) => a.total_cmp(&b),
        (ValueRef::Char(a), ValueRef::Char(b)) => a.cmp(&b),
        (ValueRef::Str(a), ValueRef::Str(b)) => a.cmp(b),
        (ValueRef::Bytes(a), ValueRef::Bytes(b)) => a.cmp(b),
        (ValueRef::Uuid(a), ValueRef::Uuid(b)) => a.cmp(&b),
        (ValueRef::Time(a), ValueRef::Time(b)) => a.cmp(&b),
        (ValueRef::Date(a), ValueRef::Date(b)) => a.cmp(&b),
        (ValueRef::Clock(a), ValueRef::Clock(b)) => a.cmp(&b),
        (ValueRef::DateTime(a), ValueRef::DateTime(b)) => a.cmp(&b),
        (ValueRef::Decimal(a), ValueRef::Decimal(b)) => a.cmp(&b),
        (ValueRef::Unfit(expected), _) | (_, ValueRef::Unfit(expected)) => {
            return Err(Fault::Range { expected });
        }
        (ValueRef::List(a), ValueRef::List(b)) | (ValueRef::Struct(a), ValueRef::Struct(b)) => {
            elements(a, b)?
        }
        (ValueRef::Map(a), ValueRef::Map(b)) => elements(a, b)?,
        (ValueRef::Variant(a), ValueRef::Variant(b)) => match a.variant()?.cmp(&b.variant()?) {
            Ordering::Equal => elements(a, b)?,
            unequal => unequal,
        },
        (a, b) => rank(a).cmp(&rank(b)),
    })
}

/// The bits of a float such that unsigned comparison equals `total_cmp`.
#[must_use]
pub fn float_rank(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

fn rank(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Absent | ValueRef::Null => 0,
        ValueRef::Bool(_) => 1,
        ValueRef::Int(_) => 2,
        // Greater than every `Int`.
        ValueRef::Uint(_) => 3,
        ValueRef::Float(_) => 4,
        ValueRef::Decimal(_) => 5,
        ValueRef::Char(_) => 6,
        ValueRef::Str(_) => 7,
        ValueRef::Bytes(_) => 8,
        ValueRef::Uuid(_) => 9,
        ValueRef::Time(_) => 10,
        ValueRef::Date(_) => 11,
        ValueRef::Clock(_) => 12,
        ValueRef::DateTime(_) => 13,
        ValueRef::List(_) => 14,
        ValueRef::Map(_) => 15,
        ValueRef::Struct(_) => 16,
        ValueRef::Variant(_) => 17,
        ValueRef::Unfit(_) => 18,
    }
}

/// `field op operand`. Null equals null alone and is neither less nor greater than anything.
fn compares(field: ValueRef<'_>, op: CompareOp, operand: ValueRef<'_>) -> Result<bool, Fault> {
    match op {
        CompareOp::Eq => equal(field, operand),
        CompareOp::Ne if operand.is_null() => Ok(!field.is_null()),
        CompareOp::Ne => Ok(!field.is_null() && !equal(field, operand)?),
        _ if field.is_null() || operand.is_null() => Ok(false),
        CompareOp::Lt => order(field, operand).map(Ordering::is_lt),
        CompareOp::Le => order(field, operand).map(Ordering::is_le),
        CompareOp::Gt => order(field, operand).map(Ordering::is_gt),
        CompareOp::Ge => order(field, operand).map(Ordering::is_ge),
    }
}

/// Equality of a query: `-0.0` equals `0.0`, a NaN equals nothing, composites are compared element by element.
pub(super) fn equal(a: ValueRef<'_>, b: ValueRef<'_>) -> Result<bool, Fault> {
    Ok(match (a, b) {
        (ValueRef::Float(a), ValueRef::Float(b)) => a == b,
        (ValueRef::List(a), ValueRef::List(b))
        | (ValueRef::Struct(a), ValueRef::Struct(b))
        | (ValueRef::Map(a), ValueRef::Map(b)) => equal_elements(a, b)?,
        (ValueRef::Variant(a), ValueRef::Variant(b)) => a.variant()? == b.variant()? && equal_elements(a, b)?,
        (a, b) => order(a, b)? == Ordering::Equal,
    })
}

fn has_key(schema: &Schema, row: &dyn Row, key: &Key) -> Result<bool> {
    match (schema.key.fields, key) {
        ([position], key) if !matches!(key, Key::Composite(_) | Key::Singleton) => {
            let shown = row.field(*position).map_err(|fault| schema.fault(*position, fault))?;
            match (shown, key) {
                (ValueRef::Time(at), Key::Int(nanoseconds)) => Ok(at.as_nanosecond() == *nanoseconds),
                (shown, key) => equal(shown, key.show()).map_err(|fault| schema.fault(*position, fault)),
            }
        }
        _ => Ok(schema.key_of(row)? == *key),
    }
}

fn any<T>(
    mut values: impl Iterator<Item = T>,
    test: impl Fn(T) -> Result<bool, Fault>,
) -> Result<bool, Fault> {
    values.try_fold(false, |found, value| Ok(found || test(value)?))
}

fn member(list: Nested<'_>, value: &Value) -> Result<bool, Fault> {
    let mut found = false;
    list.each(&mut |item| {
        if let Item::Value(element) = item {
            found = found || equal(element, value.show())?;
        }
        Ok(())
    })?;
    Ok(found)
}

/// The elements of a composite, keys and values of a map one after the other; few of them allocate nothing.
struct Flat<'a> {
    few: [ValueRef<'a>; FEW],
    many: Vec<ValueRef<'a>>,
    len: usize,
}

const FEW: usize = 16;

impl<'a> Flat<'a> {
    fn of(nested: Nested<'a>) -> Result<Self, Fault> {
        let mut flat = Self { few: [ValueRef::Absent; FEW], many: Vec::new(), len: 0 };
        nested.each(&mut |item| {
            match item {
                Item::Value(value) => flat.push(value),
                Item::Entry(key, value) => {
                    flat.push(key);
                    flat.push(value);
                }
            }
            Ok(())
        })?;
        Ok(flat)
    }

    fn push(&mut self, value: ValueRef<'a>) {
        match self.few.get_mut(self.len) {
            Some(slot) => *slot = value,
            None => self.many.push(value),
        }
        self.len += 1;
    }

    fn iter(&self) -> impl Iterator<Item = ValueRef<'a>> {
        self.few.iter().take(self.len).chain(&self.many).copied()
    }
}

fn elements(a: Nested<'_>, b: Nested<'_>) -> Result<Ordering, Fault> {
    let (a, b) = (Flat::of(a)?, Flat::of(b)?);
    for (a, b) in a.iter().zip(b.iter()) {
        let ordering = order(a, b)?;
        if ordering != Ordering::Equal {
            return Ok(ordering);
        }
    }
    Ok(a.len.cmp(&b.len))
}

fn equal_elements(a: Nested<'_>, b: Nested<'_>) -> Result<bool, Fault> {
    if a.len()? != b.len()? {
        return Ok(false);
    }
    let (a, b) = (Flat::of(a)?, Flat::of(b)?);
    a.iter().zip(b.iter()).try_fold(true, |same, (a, b)| Ok(same && equal(a, b)?))
}

fn holds(text: &str, op: TextOp, needle: &str, ignore_case: bool) -> bool {
    if ignore_case {
        return match op {
            TextOp::Contains => folds_into(text, needle),
            TextOp::StartsWith => folded(text).take(needle.chars().count()).eq(folded(needle)),
            TextOp::EndsWith => folded_back(text).take(needle.chars().count()).eq(folded_back(needle)),
        };
    }
    match op {
        TextOp::Contains => text.contains(needle),
        TextOp::StartsWith => text.starts_with(needle),
        TextOp::EndsWith => text.ends_with(needle),
    }
}

fn folds_into(text: &str, needle: &str) -> bool {
    if needle.is_empty() {
        return true;
    }
    text.char_indices().any(|(at, _)| {
        let mut rest = folded(&text[at..]);
        folded(needle).all(|char| rest.next() == Some(char))
    })
}

fn folded(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().map(fold)
}

fn folded_back(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().rev().map(fold)
}

/// Unicode simple case folding: one character to one character.
fn fold(char: char) -> char {
    if char.is_ascii() {
        return char.to_ascii_lowercase();
    }
    unicode_case_mapping::case_folded(char).and_then(|folded| char::from_u32(folded.get())).unwrap_or(char)
}
