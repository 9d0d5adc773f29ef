//! The typed face of associations in queries.

use std::fmt;
use std::marker::PhantomData;

use super::include::{Include, Includes};
use super::keyed::{Related, ToOne};
use crate::datum::Datum;
use crate::query::{Direction, Field, Operand, Order, OrderBy, Predicate, Where};

/// An association of `M` with rows of `C` that is not stored with `M`: `Order::ITEMS`.
pub struct Assoc<M, C> {
    at: u16,
    of: PhantomData<fn() -> (M, C)>,
}

impl<M, C> Assoc<M, C> {
    /// The association with this number: see [`AssocDef::at`](super::AssocDef::at).
    #[must_use]
    pub const fn at(at: u16) -> Self {
        Self { at, of: PhantomData }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.at
    }

    /// At least one related row meets `filter`.
    #[must_use]
    pub fn any(self, filter: Where<C>) -> Where<M> {
        related(self.at, false, filter)
    }

    /// Every related row meets `filter`; so it is if there are none.
    #[must_use]
    pub fn all(self, filter: Where<C>) -> Where<M> {
        related(self.at, true, filter)
    }

    /// The association, to be loaded together with `nested` of its rows.
    #[must_use]
    pub fn with(self, nested: impl Including<C>) -> With<M, C> {
        With::of(self.at).with(nested)
    }
}

impl<M, C> Clone for Assoc<M, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, C> Copy for Assoc<M, C> {}

impl<M, C> fmt::Debug for Assoc<M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Assoc").field(&self.at).finish()
    }
}

fn related<M, C>(assoc: u16, all: bool, filter: Where<C>) -> Where<M> {
    Where::new(Predicate::Related { assoc, all, filter: Box::new(filter.into_predicate()) })
}

/// The operators of associations whose keys are stored: `Order::CUSTOMER`.
impl<M, R: Related> Field<M, R> {
    /// At least one related row meets `filter`. A row that is missing meets nothing.
    #[must_use]
    pub fn any(self, filter: Where<R::Target>) -> Where<M> {
        related(self.position(), false, filter)
    }

    /// Every related row meets `filter`; so it is if there are none, or none that is here.
    #[must_use]
    pub fn all(self, filter: Where<R::Target>) -> Where<M> {
        related(self.position(), true, filter)
    }

    /// The association, to be loaded together with `nested` of its rows.
    #[must_use]
    pub fn with(self, nested: impl Including<R::Target>) -> With<M, R::Target> {
        With::of(self.position()).with(nested)
    }
}

impl<M, R: ToOne> Field<M, R> {
    /// Refers to the row with this key.
    pub fn is(self, id: impl Operand<<R::Target as super::Keyed>::Id>) -> Where<M> {
        Where::new(Predicate::Compare {
            field: self.position(),
            op: crate::query::CompareOp::Eq,
            value: id.value(),
        })
    }

    /// A field of the related row, to order by. Where there is no related row, it counts as null.
    #[must_use]
    pub fn by<T: Datum>(self, field: Field<R::Target, T>) -> By<M> {
        By { through: self.position(), field: field.position(), of: PhantomData }
    }
}

/// A field of a related row, to order by: `Order::CUSTOMER.by(User::NAME)`.
pub struct By<M> {
    through: u16,
    field: u16,
    of: PhantomData<fn() -> M>,
}

impl<M> By<M> {
    /// Rising by this field.
    #[must_use]
    pub fn asc(self) -> OrderBy<M> {
        self.order(Direction::Ascending)
    }

    /// Falling by this field.
    #[must_use]
    pub fn desc(self) -> OrderBy<M> {
        self.order(Direction::Descending)
    }

    fn order(self, direction: Direction) -> OrderBy<M> {
        OrderBy::new(Order { field: self.field, direction, through: Some(self.through) })
    }
}

impl<M> fmt::Debug for By<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("By").field("through", &self.through).field("field", &self.field).finish()
    }
}

/// What can be loaded together with rows of `M`: the token of an association, or one with what comes with it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an association of `{M}`",
    note = "name one by its token, `Order::ITEMS`, or with what comes with it, `Order::ITEMS.with(Item::PRODUCT)`"
)]
pub trait Including<M> {
    /// As data.
    fn include(self) -> Include;
}

impl<M, C> Including<M> for Assoc<M, C> {
    fn include(self) -> Include {
        Include { assoc: self.at, nested: Includes::default() }
    }
}

impl<M, R: Related> Including<M> for Field<M, R> {
    fn include(self) -> Include {
        Include { assoc: self.position(), nested: Includes::default() }
    }
}

/// An association that is to be loaded, with what is to be loaded with its rows.
pub struct With<M, C> {
    include: Include,
    of: PhantomData<fn() -> (M, C)>,
}

impl<M, C> With<M, C> {
    fn of(assoc: u16) -> Self {
        Self { include: Include { assoc, nested: Includes::default() }, of: PhantomData }
    }

    /// The same, with `nested` as well.
    #[must_use]
    pub fn with(mut self, nested: impl Including<C>) -> Self {
        self.include.nested.add(nested.include());
        self
    }

    /// The same, with all associations of its rows, `depth` levels deep.
    #[must_use]
    pub fn with_all(mut self, depth: u16) -> Self {
        self.include.nested.merge(Includes { named: Vec::new(), depth });
        self
    }
}

impl<M, C> Including<M> for With<M, C> {
    fn include(self) -> Include {
        self.include
    }
}

impl<M, C> fmt::Debug for With<M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.include.fmt(f)
    }
}
