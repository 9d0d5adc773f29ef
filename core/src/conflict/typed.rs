//! Conflicts as an application sees them: with models.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{Outcome, Resolve, Sides};
use crate::error::Result;
use crate::row::{Model, Record};

/// The three sides of a row; `None` where there is no row.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict<M> {
    /// What the change was made from.
    pub base: Option<M>,
    /// What is wanted here; `None`: that it is gone.
    pub mine: Option<M>,
    /// What the remote has now; `None`: it is gone there.
    pub theirs: Option<M>,
}

/// What is to become of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution<M> {
    /// It shall be as it is wanted here.
    Mine,
    /// It shall be as the remote has it.
    Theirs,
    /// It shall be like this. The key stays.
    Merged(M),
    /// It shall be gone.
    Delete,
    /// The application decides, later.
    Ask,
}

impl<M: Model> Conflict<M> {
    /// Reads the sides.
    ///
    /// # Errors
    /// As [`Model::from_row`].
    pub fn of(sides: Sides<'_>) -> Result<Self> {
        let read = |row: Option<&dyn crate::Row>| row.map(M::from_row).transpose();
        Ok(Self { base: read(sides.base)?, mine: read(sides.mine)?, theirs: read(sides.theirs)? })
    }
}

impl<M: Model> Resolution<M> {
    /// The same without its type.
    ///
    /// # Errors
    /// `Serialization` if the merged model can't be shown.
    pub fn outcome(self) -> Result<Outcome> {
        Ok(match self {
            Self::Mine => Outcome::Mine,
            Self::Theirs => Outcome::Theirs,
            Self::Merged(model) => Outcome::Row(Record::copy(M::schema(), &model)?),
            Self::Delete => Outcome::Delete,
            Self::Ask => Outcome::Ask,
        })
    }
}

/// A function of the application as a [`Resolve`].
///
/// It is asked if both sides have changed the row, and not in the same way; what it panics about or answers wrongly is
/// an error of [`resolve`](super::resolve()) and nothing worse.
pub fn custom<M: Model>(
    resolve: impl Fn(Conflict<M>) -> Resolution<M> + Send + Sync + 'static,
) -> Arc<dyn Resolve> {
    Arc::new(Custom { resolve, model: PhantomData })
}

struct Custom<M, F> {
    resolve: F,
    model: PhantomData<fn(M)>,
}

impl<M: Model, F> fmt::Debug for Custom<M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").field("model", &M::schema().model).finish_non_exhaustive()
    }
}

impl<M: Model, F: Fn(Conflict<M>) -> Resolution<M> + Send + Sync> Resolve for Custom<M, F> {
    fn resolve(&self, sides: Sides<'_>) -> Result<Outcome> {
        (self.resolve)(Conflict::of(sides)?).outcome()
    }
}
