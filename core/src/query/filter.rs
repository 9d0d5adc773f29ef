//! A condition that is about to judge many rows: long lists of operands are sorted once, so that each row costs
//! O(log n) of them.

use std::cmp::Ordering;

use super::{Places, Predicate, eval};
use crate::error::{Fault, Result};
use crate::key::Key;
use crate::row::Row;
use crate::schema::Schema;
use crate::value::{Value, ValueRef};

/// Lists up to this length are gone through.
const SHORT: usize = 16;

/// A condition that is about to judge many rows. It answers as [`Predicate::matches`] does.
#[derive(Debug)]
pub struct Filter<'q>(Node<'q>);

#[derive(Debug)]
enum Node<'q> {
    /// Without long lists.
    Plain(&'q Predicate),
    Keys(Vec<&'q Key>),
    In(u16, Operands<'q>),
    Among(u16, Places),
    And(Vec<Node<'q>>),
    Or(Vec<Node<'q>>),
    Not(Box<Node<'q>>),
}

impl<'q> Filter<'q> {
    /// Gets `condition` ready.
    #[must_use]
    pub fn of(condition: &'q Predicate) -> Self {
        Self(Node::of(condition, 0))
    }

    /// Whether `row` meets the condition.
    ///
    /// # Errors
    /// As [`Predicate::matches`].
    pub fn matches(&self, schema: &Schema, row: &dyn Row) -> Result<bool> {
        self.0.matches(schema, row)
    }
}

fn has_long(condition: &Predicate, depth: usize) -> bool {
    match condition {
        Predicate::Keys(keys) => keys.len() > SHORT,
        Predicate::In { values, .. } => values.len() > SHORT,
        Predicate::Among { keys, .. } => keys.len() > SHORT,
        // What nests deeper is refused when it is asked.
        _ if depth > super::MAX_DEPTH => false,
        Predicate::And(all) | Predicate::Or(all) => all.iter().any(|one| has_long(one, depth + 1)),
        Predicate::Not(one) => has_long(one, depth + 1),
        _ => false,
    }
}

impl<'q> Node<'q> {
    fn of(condition: &'q Predicate, depth: usize) -> Self {
        let each = |all: &'q [Predicate]| all.iter().map(|one| Self::of(one, depth + 1)).collect();
        match condition {
            plain if !has_long(plain, depth) => Self::Plain(plain),
            Predicate::Keys(keys) => {
                let mut keys: Vec<&Key> = keys.iter().collect();
                keys.sort_unstable();
                Self::Keys(keys)
            }
            Predicate::In { field, values } => Self::In(*field, Operands::of(values)),
            Predicate::Among { field, keys } => Self::Among(*field, Places::of(keys)),
            Predicate::And(all) => Self::And(each(all)),
            Predicate::Or(any) => Self::Or(each(any)),
            Predicate::Not(one) => Self::Not(Box::new(Self::of(one, depth + 1))),
            plain => Self::Plain(plain),
        }
    }

    fn matches(&self, schema: &Schema, row: &dyn Row) -> Result<bool> {
        match self {
            Self::Plain(condition) => condition.matches(schema, row),
            Self::Keys(keys) => Ok(keys.binary_search(&&schema.key_of(row)?).is_ok()),
            Self::In(field, operands) => {
                let at = usize::from(*field);
                let held = row.field(at).and_then(|value| operands.hold(value));
                held.map_err(|fault| schema.fault(at, fault))
            }
            Self::Among(field, places) => {
                let at = usize::from(*field);
                let held = row.field(at).and_then(|value| places.hold(value));
                held.map_err(|fault| schema.fault(at, fault))
            }
            Self::And(all) => {
                for one in all {
                    if !one.matches(schema, row)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(any) => {
                for one in any {
                    if one.matches(schema, row)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(one) => Ok(!one.matches(schema, row)?),
        }
    }
}

/// The values of an `is_in`.
#[derive(Debug)]
struct Operands<'q> {
    /// Those of which equality is the equality of the order, sorted.
    sorted: Vec<ValueRef<'q>>,
    /// Composites with floats in them, where `-0.0` equals `0.0` at any depth.
    others: Vec<ValueRef<'q>>,
}

impl<'q> Operands<'q> {
    fn of(values: &'q [Value]) -> Self {
        let shown = values.iter().map(Value::show);
        let (others, mut sorted): (Vec<_>, Vec<_>) = shown.partition(|value| is_composite(*value));
        // Scalars are ordered without a fault.
        sorted.sort_unstable_by(|a, b| eval::order(*a, *b).unwrap_or(Ordering::Equal));
        Self { sorted, others }
    }

    fn hold(&self, value: ValueRef<'_>) -> Result<bool, Fault> {
        match value {
            // A NaN equals nothing.
            ValueRef::Float(v) if v.is_nan() => Ok(false),
            ValueRef::Float(0.0) => Ok(self.find(ValueRef::Float(0.0)) || self.find(ValueRef::Float(-0.0))),
            value if is_composite(value) => {
                for other in &self.others {
                    if eval::equal(value, *other)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            value => Ok(self.find(value)),
        }
    }

    fn find(&self, value: ValueRef<'_>) -> bool {
        let compare = |one: &ValueRef<'q>| eval::order(*one, value).unwrap_or(Ordering::Less);
        self.sorted.binary_search_by(compare).is_ok()
    }
}

fn is_composite(value: ValueRef<'_>) -> bool {
    matches!(value, ValueRef::List(_) | ValueRef::Map(_) | ValueRef::Struct(_) | ValueRef::Variant(_))
}
