//! What an endpoint declares that its server does of a query.

use std::fmt;
use std::sync::Arc;

use larder_core::{Field, Predicate, Result, Schema};

/// A field, by its name or by its token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldRef {
    /// Its name in the model.
    Name(String),
    /// Its position.
    Position(u16),
}

impl From<&str> for FieldRef {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl<M, T> From<Field<M, T>> for FieldRef {
    fn from(field: Field<M, T>) -> Self {
        Self::Position(field.position())
    }
}

/// How a parameter relates to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterOp {
    /// Equal.
    Eq,
    /// Not equal, and not null.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Equal to one of the values; the parameter is repeated.
    AnyOf,
    /// Equal to one of the values, which are joined by commas.
    AnyOfCommas,
    /// A text that contains another, case-sensitively.
    Contains,
    /// A text that starts with another.
    StartsWith,
    /// A text that ends with another.
    EndsWith,
    /// A list that has the value as a member.
    Member,
}

/// How an order is written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderStyle {
    /// `sort=-age,name`
    Signed,
    /// `sort=age:desc,name:asc`
    Suffixed,
    /// `sort=age,name&order=desc,asc`
    Split {
        /// The parameter of the directions.
        directions: String,
    },
}

type Translate = dyn Fn(&'static Schema, &Predicate) -> Vec<(String, String)> + Send + Sync;

/// Which conditions the server understands.
#[derive(Clone)]
pub(crate) enum Filters<F> {
    /// Those on these fields.
    Params(Vec<FilterParam<F>>),
    /// All of them.
    Everything(Arc<Translate>),
}

/// A condition that the server understands.
#[derive(Clone, Debug)]
pub(crate) struct FilterParam<F> {
    pub(crate) field: F,
    pub(crate) op: FilterOp,
    pub(crate) name: String,
    pub(crate) exact: bool,
}

/// Which orders the server understands.
#[derive(Clone, Debug, Default)]
pub(crate) enum Ordered {
    #[default]
    No,
    ByKey,
    Param(String, OrderStyle),
}

impl<F> Default for Filters<F> {
    fn default() -> Self {
        Self::Params(Vec::new())
    }
}

impl<F> Filters<F> {
    pub(crate) fn everything<T>(translate: T) -> Self
    where
        T: Fn(&'static Schema, &Predicate) -> Vec<(String, String)> + Send + Sync + 'static,
    {
        Self::Everything(Arc::new(translate))
    }

    pub(crate) fn add(&mut self, field: F, op: FilterOp, name: String, exact: bool) {
        if let Self::Params(params) = self {
            params.push(FilterParam { field, op, name, exact });
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::Params(params) if params.is_empty())
    }

    /// The same with the fields resolved.
    pub(crate) fn resolve<G>(&self, find: impl Fn(&F) -> Result<G>) -> Result<Filters<G>> {
        Ok(match self {
            Self::Everything(translate) => Filters::Everything(translate.clone()),
            Self::Params(params) => {
                let resolved = params.iter().map(|param| {
                    let FilterParam { field, op, name, exact } = param;
                    Ok(FilterParam { field: find(field)?, op: *op, name: name.clone(), exact: *exact })
                });
                Filters::Params(resolved.collect::<Result<_>>()?)
            }
        })
    }
}

impl<F: fmt::Debug> fmt::Debug for Filters<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Params(params) => params.fmt(f),
            Self::Everything(_) => f.write_str("Everything"),
        }
    }
}
