//! What a model needs to be associated with, and what an association is.

use std::sync::Arc;

use super::erased::Carried;
use crate::datum::Datum;
use crate::row::Model;

/// A model with one key field: one that others can refer to. The derive writes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be referred to: an association needs a model with one key field",
    note = "give the model one field with `#[model(key)]`, without a converter; rows with several key fields are \
            found by a query: `repo.get(Line::ORDER.eq(id))`"
)]
pub trait Keyed: Model {
    /// The type of the key field.
    type Id: Datum;

    /// The value of the key field.
    fn id(&self) -> &Self::Id;
}

/// A field that relates a model to others: [`One`](super::One), an `Option` of one, or [`Many`](super::Many).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an association",
    note = "an association is `One<T>`, `Option<One<T>>` or `Many<T>`, where `T` is a model with one key field"
)]
pub trait Related: Sized + Send + Sync + 'static {
    /// The model at the other end.
    type Target: Keyed;

    /// Takes the related rows, as they have been loaded: in the order in which they are to be listed. What is not
    /// among them is missing.
    fn attach(&mut self, rows: impl Iterator<Item = Arc<Self::Target>>);

    /// What the application has put in, to be saved with the row that holds it.
    fn carried(&self) -> Carried;
}

/// A field that relates a model to at most one row of another, and stores its key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not refer to one row",
    note = "expected a field of the type `One<T>` or `Option<One<T>>`"
)]
pub trait ToOne: Related + Datum {}

/// The position of the field of `C` that refers to `M`: what `children`, `from` and `to` name.
#[must_use]
pub const fn refers<M, C, R: ToOne<Target = M>>(field: crate::query::Field<C, R>) -> u16 {
    field.position()
}
