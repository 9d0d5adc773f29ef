//! The strategies that a model can declare.

use std::cmp::Ordering;

use super::differences::order;
use super::{Outcome, Resolve, Sides};
use crate::error::Result;
use crate::row::{Record, Row};
use crate::schema::Schema;
use crate::value::ValueRef;

/// What becomes of a row, or of one field of it, that was changed here and at the remote.
///
/// | strategy | of a row | of a field, below `MergeFields` |
/// |---|---|---|
/// | `MergeFields` | each field from the side that changed it; one that both changed, by its own strategy, and from here if it has none; an edit outlives a deletion | – |
/// | `ServerWins` | as the remote has it | from there |
/// | `ClientWins` | as it is wanted here | from here |
/// | `LastWriteWins` | the side with the greater field `by`; of two that are equal the greater row; an edit outlives a deletion | from that side |
/// | `Ask` | the application is asked | so is it for the row |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Three-way by field.
    #[default]
    MergeFields,
    /// The remote's side.
    ServerWins,
    /// This side.
    ClientWins,
    /// The side that was written later.
    LastWriteWins {
        /// The position of the field that says when.
        by: usize,
    },
    /// The application decides, later.
    Ask,
}

/// The strategy of a model, and those of its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConflictDef {
    /// That of the row.
    pub strategy: Strategy,
    /// Those of fields that both sides changed, by position; below [`Strategy::MergeFields`] alone.
    pub fields: &'static [(usize, Strategy)],
}

impl ConflictDef {
    /// What holds where a model says nothing.
    pub const DEFAULT: Self = Self { strategy: Strategy::MergeFields, fields: &[] };

    fn of_field(&self, at: usize) -> Strategy {
        let declared = self.fields.iter().find(|(field, _)| *field == at);
        declared.map_or(Strategy::ClientWins, |(_, strategy)| *strategy)
    }

    /// Each field from the side that changed it.
    fn merged(
        &self,
        schema: &'static Schema,
        base: Option<&dyn Row>,
        mine: &dyn Row,
        theirs: &dyn Row,
    ) -> Result<Outcome> {
        let mut row = Record::copy(schema, theirs)?;
        for at in 0..schema.fields.len() {
            let same = |a: &dyn Row, b: &dyn Row| order(schema, at, a, b).map(Ordering::is_eq);
            if same(mine, theirs)? {
                continue;
            }
            let from_here = match base {
                Some(base) if same(base, mine)? => false,
                Some(base) if same(base, theirs)? => true,
                _ => match self.of_field(at) {
                    Strategy::ServerWins => false,
                    Strategy::ClientWins | Strategy::MergeFields => true,
                    Strategy::LastWriteWins { by } => is_later(schema, by, mine, theirs)?,
                    Strategy::Ask => return Ok(Outcome::Ask),
                },
            };
            if from_here {
                let value = mine.field(at).and_then(ValueRef::to_value);
                row.set(at, value.map_err(|fault| schema.fault(at, fault))?);
            }
        }
        Ok(Outcome::Row(row))
    }
}

impl Resolve for ConflictDef {
    fn resolve(&self, sides: Sides<'_>) -> Result<Outcome> {
        if let Some(outcome) = sides.undisputed()? {
            return Ok(outcome);
        }
        Ok(match (self.strategy, sides.mine, sides.theirs) {
            (Strategy::ServerWins, ..) => Outcome::Theirs,
            (Strategy::ClientWins, ..) => Outcome::Mine,
            (Strategy::Ask, ..) => Outcome::Ask,
            // Nothing of an edit is lost to a deletion, whichever side it is on.
            (_, Some(_), None) => Outcome::Mine,
            (_, None, _) => Outcome::Theirs,
            (Strategy::LastWriteWins { by }, Some(mine), Some(theirs)) => {
                if is_later(sides.schema, by, mine, theirs)? { Outcome::Mine } else { Outcome::Theirs }
            }
            (Strategy::MergeFields, Some(mine), Some(theirs)) => {
                self.merged(sides.schema, sides.base, mine, theirs)?
            }
        })
    }
}

/// True if `mine` was written after `theirs`. Of two that were written at the same time the greater row is taken for the
/// later one, so that it does not matter on which side it is.
fn is_later(schema: &'static Schema, by: usize, mine: &dyn Row, theirs: &dyn Row) -> Result<bool> {
    for at in std::iter::once(by).chain(0..schema.fields.len()) {
        match order(schema, at, mine, theirs)? {
            Ordering::Equal => {}
            other => return Ok(other == Ordering::Greater),
        }
    }
    Ok(false)
}
