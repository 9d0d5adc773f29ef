//! What an application asks for.
//!
//! A query names model fields, never columns or JSON names, and gives the same rows in the same order on every
//! provider. [`Query`] and [`Predicate`] are plain data below the typed face ([`Field`], [`Where`], [`Select`]); one
//! evaluator and one comparator ([`eval`]) decide what they mean.

mod check;
mod data;
pub mod eval;
mod filter;
mod keyset;
mod places;
pub mod plan;
mod position;
mod predicate;
mod show;
mod tree;
mod typed;

pub(crate) use show::describe;

pub use check::MAX_DEPTH;
pub use data::Operator;
pub use filter::Filter;
pub use keyset::KeySet;
pub use places::Places;
pub use plan::Plan;
pub use position::{Cursor, Position};
pub use predicate::{CompareOp, Predicate, TextOp};
pub use typed::{Assigned, Field, Holds, Needle, Operand, OrderBy, Select, Where};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::provider::{Done, PageRow};
use crate::row::Row;
use crate::schema::Schema;

/// A filter, an order and a window over one model, without its type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Query {
    /// Which rows.
    pub filter: Predicate,
    /// In which order; the key is always the last tie-break.
    pub order: Vec<Order>,
    /// At most this many.
    pub limit: Option<u64>,
    /// Without the first so many.
    pub offset: u64,
    /// After this place in the order; see [`Position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Box<Position>>,
    /// A scan of all rows is an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deny_scan: bool,
}

/// One field of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Order {
    /// The field's position, in the model or in the model that `through` leads to.
    pub field: u16,
    /// Rising or falling.
    pub direction: Direction,
    /// The position of the to-one association whose row has the field; `None` for a field of the model itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<u16>,
}

impl Order {
    /// Rising by a field of the model.
    #[must_use]
    pub const fn asc(field: u16) -> Self {
        Self { field, direction: Direction::Ascending, through: None }
    }

    /// Falling by a field of the model.
    #[must_use]
    pub const fn desc(field: u16) -> Self {
        Self { field, direction: Direction::Descending, through: None }
    }
}

/// Rising or falling. Nulls come first when rising and last when falling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// From the least to the greatest.
    Ascending,
    /// From the greatest to the least.
    Descending,
}

impl Query {
    /// All rows, in the order of their keys.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The row with this key.
    #[must_use]
    pub fn key(key: Key) -> Self {
        Self::filter(Predicate::Key(key))
    }

    /// The rows that `filter` lets through, in the order of their keys.
    #[must_use]
    pub fn filter(filter: Predicate) -> Self {
        Self { filter, ..Self::default() }
    }

    /// The key, if the query asks for nothing but the row with one key.
    #[must_use]
    pub fn as_key(&self) -> Option<&Key> {
        match &self.filter {
            Predicate::Key(key) if self.offset == 0 && self.limit != Some(0) && self.after.is_none() => {
                Some(key)
            }
            _ => None,
        }
    }

    /// True if it asks something of related rows, in its filter or its order.
    #[must_use]
    pub fn is_related(&self) -> bool {
        self.filter.is_related() || self.order.iter().any(|order| order.through.is_some())
    }

    /// Refuses a query that asks something of related rows: what every provider does, which sees one row at a time.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn of_one_model(&self, schema: &Schema) -> Result<()> {
        if !self.is_related() {
            return Ok(());
        }
        let what = "the query asks something of related rows, which takes several queries: the repository answers \
                    it, and a provider is asked by `association::answer` and `association::plan`";
        Err(Error::new(ErrorKind::Unsupported, what).during("get").model(schema.model))
    }

    /// The same query without its window: neither limit nor offset, and from the beginning.
    #[must_use]
    pub fn unlimited(&self) -> Self {
        Self { limit: None, offset: 0, after: None, ..self.clone() }
    }

    /// Whether `row` comes after the place where the query begins.
    ///
    /// # Errors
    /// `Serialization` or `Corrupt`, with model and field, if a field can't be shown.
    pub fn begins_before(&self, schema: &Schema, row: &dyn Row) -> Result<bool> {
        self.after.as_ref().map_or(Ok(true), |after| after.is_before(schema, &self.order, row))
    }

    /// Does to `rows` what a provider has not done yet, so that all providers answer alike.
    ///
    /// # Errors
    /// `Serialization` or `Corrupt`, with model and field, if a field can't be shown.
    pub fn finish(&self, schema: &Schema, done: Done, mut rows: Vec<PageRow>) -> Result<Vec<PageRow>> {
        if !done.filter || (!done.window && self.after.is_some()) {
            let filter = Filter::of(&self.filter);
            let mut kept = Vec::with_capacity(rows.len());
            for row in rows {
                let passes = done.filter || filter.matches(schema, &*row.row)?;
                // The place where the query begins comes before its offset and its limit.
                if passes && (done.window || self.begins_before(schema, &*row.row)?) {
                    kept.push(row);
                }
            }
            rows = kept;
        }
        if !done.order || !done.filter {
            self.sort(schema, &mut rows, |row| &*row.row)?;
        }
        if !done.window {
            let skip = usize::try_from(self.offset).unwrap_or(usize::MAX).min(rows.len());
            rows.drain(..skip);
            rows.truncate(
                self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            );
        }
        Ok(rows)
    }

    /// Sorts by the query's order, the key last.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn sort<T>(&self, schema: &Schema, rows: &mut [T], show: impl Fn(&T) -> &dyn Row) -> Result<()> {
        let mut fault = None;
        rows.sort_by(|a, b| {
            eval::compare(schema, &self.order, show(a), show(b)).unwrap_or_else(|error| {
                fault.get_or_insert(error);
                std::cmp::Ordering::Equal
            })
        });
        fault.map_or(Ok(()), Err)
    }
}
