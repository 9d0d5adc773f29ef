//! What becomes of a row that was changed here and at the remote.
//!
//! A conflict has three [`Sides`]: the row that the change was made from, the row as it is wanted here, and the row as
//! the remote has it now. A [`Resolve`] says what is to become of it: a [`Strategy`] of a model, or a function of the
//! application ([`custom`]). [`resolve`] asks it, and answers for itself where there is no conflict.

mod differences;
mod strategy;
mod typed;

pub use differences::{differences, same};
pub use strategy::{ConflictDef, Strategy};
pub use typed::{Conflict, Resolution, custom};

use std::any::Any;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::row::{Record, Row};
use crate::schema::Schema;

/// The three sides of a row; `None` where there is no row.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// The model.
    pub schema: &'static Schema,
    /// What the change was made from.
    pub base: Option<&'a dyn Row>,
    /// What is wanted here; `None`: that it is gone.
    pub mine: Option<&'a dyn Row>,
    /// What the remote has now; `None`: it is gone there.
    pub theirs: Option<&'a dyn Row>,
}

/// What is to become of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It shall be as it is wanted here.
    Mine,
    /// It shall be as the remote has it.
    Theirs,
    /// It shall be like this.
    Row(Record),
    /// It shall be gone.
    Delete,
    /// The application is asked, later.
    Ask,
}

/// Says what becomes of rows that were changed on both sides.
///
/// The same sides always have the same outcome: no clock, no random number, nothing that other calls have left.
pub trait Resolve: Debug + Send + Sync {
    /// What is to become of the row.
    ///
    /// # Errors
    /// `Serialization` or `Corrupt` if a side can't be shown, and whatever the application finds.
    fn resolve(&self, sides: Sides<'_>) -> Result<Outcome>;
}

impl Sides<'_> {
    /// What becomes of the row if one side alone has changed it, or both have done the same; `None` for a conflict.
    ///
    /// # Errors
    /// `Serialization` or `Corrupt`, with model and field, if a side can't be shown.
    pub fn undisputed(&self) -> Result<Option<Outcome>> {
        let same = |a, b| same(self.schema, a, b);
        Ok(if same(self.mine, self.theirs)? || same(self.base, self.mine)? {
            Some(Outcome::Theirs)
        } else if same(self.base, self.theirs)? {
            Some(Outcome::Mine)
        } else {
            None
        })
    }

    /// The key of the row.
    ///
    /// # Errors
    /// `Serialization` if a side has none.
    fn key(&self) -> Result<Option<Key>> {
        let row = self.mine.or(self.theirs).or(self.base);
        row.map(|row| self.schema.key_of(row)).transpose()
    }
}

/// Asks `resolver`, unless there is no conflict, and looks at what it says: a row of another key, or one that the
/// model's own checks refuse, is not taken. A row that is one of the sides is given as that side.
///
/// # Errors
/// `Invalid` if the resolver panics or answers nonsense; whatever it finds itself; `Serialization` or `Corrupt` if a
/// side can't be shown.
pub fn resolve(resolver: &dyn Resolve, sides: Sides<'_>) -> Result<Outcome> {
    if let Some(outcome) = sides.undisputed()? {
        return Ok(outcome);
    }
    let placed = |error: Error| {
        let error = error.during("resolve a conflict").model(sides.schema.model);
        match sides.key() {
            Ok(Some(key)) => error.key(key),
            _ => error,
        }
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| resolver.resolve(sides)))
        .unwrap_or_else(|panic| Err(panicked(&*panic)))
        .and_then(|outcome| checked(&sides, outcome));
    outcome.map_err(placed)
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    Error::new(ErrorKind::Invalid, format!("the resolver panicked: {text}; settle the conflict by hand"))
}

/// The outcome as one of the sides, if it is one, and as a row that can be stored if it is not.
///
/// # Errors
/// `Invalid` for a row of another key, or one that the model's own checks refuse; `Serialization` for one that is none of
/// the model.
pub fn checked(sides: &Sides<'_>, outcome: Outcome) -> Result<Outcome> {
    let schema = sides.schema;
    Ok(match outcome {
        Outcome::Row(row) => {
            schema.fits(&row)?;
            if sides.key()?.is_some_and(|key| schema.key_of(&row).map_or(true, |own| own != key)) {
                let what = "the resolver answered with a row of another key: a resolution keeps the key";
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            schema.validate(&row)?;
            if same(schema, Some(&row), sides.theirs)? {
                Outcome::Theirs
            } else if same(schema, Some(&row), sides.mine)? {
                Outcome::Mine
            } else {
                Outcome::Row(row)
            }
        }
        Outcome::Delete if sides.theirs.is_none() => Outcome::Theirs,
        Outcome::Delete if sides.mine.is_none() => Outcome::Mine,
        outcome => outcome,
    })
}

#[cfg(test)]
mod tests;
