//! Typed rows below the typed face: how the repository loads and saves related rows of models that it knows by their
//! schemas alone.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::keyed::Related;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::row::{Model, Row};
use crate::schema::Schema;

/// A model whose type is known to itself alone. Every [`Model`] is one.
pub trait AnyModel: Row {
    /// The model's description.
    fn described(&self) -> &'static Schema;

    /// The model, to be told by its type and changed.
    fn any_mut(&mut self) -> &mut dyn Any;

    /// The model, to be told by its type and shared.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<M: Model> AnyModel for M {
    fn described(&self) -> &'static Schema {
        M::schema()
    }

    fn any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl fmt::Debug for dyn AnyModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.described().model).finish_non_exhaustive()
    }
}

/// What the application has put into an association.
#[derive(Debug, Default)]
pub struct Carried {
    /// The rows that belong to it.
    pub members: Vec<Member>,
    /// The keys of those that were taken out.
    pub removed: Vec<Key>,
}

/// A row that belongs to an association.
#[derive(Debug)]
pub struct Member {
    /// Its key.
    pub key: Key,
    /// True if the application has added it; false if it was loaded.
    pub added: bool,
    /// The row, if it is to be saved.
    pub row: Option<Arc<dyn AnyModel>>,
    /// What the row was when it was loaded: only what differs from it is to be saved.
    pub base: Option<Arc<dyn AnyModel>>,
}

/// Rows to be put into an association, one after the other.
pub type Loaded<'a> = &'a mut dyn Iterator<Item = Arc<dyn AnyModel>>;

/// Puts rows into an association of a row.
pub type Attach = fn(&mut dyn AnyModel, Loaded<'_>) -> Result<()>;

/// How typed rows are put into an association and taken out, as functions that the derive writes.
#[derive(Clone, Copy, Debug)]
pub struct Glue {
    /// Makes a row of the model at the other end; nobody else has it yet.
    pub build: fn(&dyn Row) -> Result<Arc<dyn AnyModel>>,
    /// Puts loaded rows in, in the order in which they are to be listed; see [`Related::attach`].
    pub attach: Attach,
    /// What the application has put in; nothing if the row is not the model itself.
    pub carried: fn(&dyn Row) -> Carried,
}

/// [`Glue::build`] for `M`.
///
/// # Errors
/// As [`Model::from_row`].
pub fn build<M: Model>(row: &dyn Row) -> Result<Arc<dyn AnyModel>> {
    Ok(Arc::new(M::from_row(row)?))
}

/// [`Glue::attach`] for the field of `M` that `field` gives.
///
/// # Errors
/// `Invalid` if one of the rows is of another type.
pub fn attach<M: Model, R: Related>(
    owner: &mut dyn AnyModel,
    rows: Loaded<'_>,
    field: fn(&mut M) -> &mut R,
) -> Result<()> {
    let stranger =
        || Error::new(ErrorKind::Invalid, "a related row is not of the type that the association names");
    let owner = owner.any_mut().downcast_mut::<M>().ok_or_else(stranger)?;
    let mut strange = false;
    let typed = rows.map_while(|row| {
        let row = row.into_any().downcast::<R::Target>();
        strange |= row.is_err();
        row.ok()
    });
    field(owner).attach(typed);
    if strange { Err(stranger()) } else { Ok(()) }
}

/// [`Glue::carried`] for the field of `M` that `field` gives.
pub fn carried<M: Model, R: Related>(owner: &dyn Row, field: fn(&M) -> &R) -> Carried {
    let owner = owner.as_any().and_then(|any| any.downcast_ref::<M>());
    owner.map(|owner| field(owner).carried()).unwrap_or_default()
}
