//! How an association is written in a dialect, and what a row brings with it that stands in other rows.

use std::sync::Arc;

use super::def::AssocDef;
use crate::error::{Error, ErrorKind, Result};
use crate::kind::same;
use crate::query::Field;
use crate::row::{Record, Row};
use crate::schema::{ANY, Schema};
use crate::value::Value;

/// What is special about an association in one dialect.
///
/// The name, the aliases and the skips are those of an association that is not stored; a stored one has them in its
/// field.
#[derive(Clone, Copy, Debug)]
pub struct AssocDialect {
    /// Its name there.
    pub name: Option<&'static str>,
    /// Former names, accepted on reading.
    pub alias: &'static [&'static str],
    /// Not read.
    pub skip_read: bool,
    /// Where the key stands, or the keys: a JSON pointer (RFC 6901), in which `*` stands for every element of a list.
    pub path: Option<&'static str>,
    /// What tells which row is meant, if that is not its key: fields of the other model, all of which have to be equal.
    pub lookup: &'static [LookupBy],
    /// How it is sent.
    pub send: SendAs,
}

/// How an association goes to a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SendAs {
    /// As the key, or as the list of keys, that the row stores. A row that is new goes by a request of its own.
    #[default]
    Id,
    /// Rows that are saved together with this one go in its request: in the place of their keys where those are stored,
    /// else as a list. Where a link model joins them, the link rows go with them.
    Nested,
    /// As [`Id`](Self::Id), after the request that makes the row that is referred to. That order is kept in any case:
    /// the word says that it is relied on.
    First,
}

/// A field of the other model that tells which row is meant.
#[derive(Clone, Copy, Debug)]
pub struct LookupBy {
    /// The field of the other model.
    pub field: u16,
    /// Where its value stands: a JSON pointer; under the association's own name if there is none.
    pub path: Option<&'static str>,
}

impl AssocDialect {
    /// Nothing special.
    pub const PLAIN: Self =
        Self { name: None, alias: &[], skip_read: false, path: None, lookup: &[], send: SendAs::Id };
}

impl AssocDef {
    /// What is special in `dialect`: its own entry, or that of [`ANY`].
    #[must_use]
    pub fn dialect(&self, dialect: &str) -> Option<&'static AssocDialect> {
        let entry = |wanted: &str| self.dialects.iter().find(|(name, _)| same(name, wanted));
        entry(dialect).or_else(|| entry(ANY)).map(|(_, special)| special)
    }

    /// The name in `dialect` of an association that is not stored.
    #[must_use]
    pub fn name_in(&self, dialect: &str) -> &'static str {
        self.dialect(dialect).and_then(|special| special.name).unwrap_or(self.name)
    }

    /// True if rows that are saved together with the row go in its request.
    #[must_use]
    pub fn is_sent_nested(&self, dialect: &str) -> bool {
        self.dialect(dialect).is_some_and(|special| special.send == SendAs::Nested)
    }
}

/// What a row brought with it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Brought {
    /// Rows of other models, or of the same, that were embedded.
    pub rows: Vec<Embedded>,
    /// References that are to be looked up before the row is stored: their fields are absent in it.
    pub lookups: Vec<Wanted>,
}

impl Brought {
    /// True if there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.lookups.is_empty()
    }
}

/// A row that stood within another one. It may show a part of the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// Its model.
    pub schema: &'static Schema,
    /// What it said; absent what it did not say.
    pub row: Record,
    /// What the absent fields are in a row that is new; `None` if a required one is missing: then the row can't be
    /// made of what was said.
    pub rest: Option<Vec<(usize, Value)>>,
    /// What was there and the model does not have, as a JSON object.
    pub extra: Option<Arc<str>>,
    /// As in [`Brought::lookups`].
    pub lookups: Vec<Wanted>,
}

impl Embedded {
    /// The row as a new one; `None` if it can't be made of what was said.
    #[must_use]
    pub fn whole(&self) -> Option<Record> {
        let mut whole = self.row.clone();
        for (at, value) in self.rest.as_ref()? {
            whole.set(*at, value.clone());
        }
        Some(whole)
    }
}

/// A reference by other fields than the key.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The association.
    pub def: &'static AssocDef,
    /// Fields of the other model and their values, all of which have to be equal.
    pub by: Vec<(u16, Value)>,
}

impl Wanted {
    /// Whether `row`, of the other model, is the one that is meant.
    ///
    /// # Errors
    /// `Serialization` or `Corrupt` if a field of it can't be shown.
    pub fn is(&self, row: &dyn Row) -> Result<bool> {
        let target = (self.def.target)();
        for (field, value) in &self.by {
            let at = usize::from(*field);
            let shown = row.field(at).and_then(|shown| crate::query::eval::order(shown, value.show()));
            if !shown.map_err(|fault| target.fault(at, fault))?.is_eq() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// There is no such row, and the reference can't be empty.
    #[cold]
    #[must_use]
    pub fn missing(&self) -> Error {
        let what = format!("there is no {}, here or at the remote", self.described());
        Error::new(ErrorKind::Serialization, what).at(self.def.name)
    }

    /// More than one row is meant.
    #[cold]
    #[must_use]
    pub fn ambiguous(&self) -> Error {
        let what = format!("there is more than one {}: look it up by what is unique", self.described());
        Error::new(ErrorKind::Serialization, what).at(self.def.name)
    }

    /// `User with email = "ada@example.com"`
    fn described(&self) -> String {
        let target = (self.def.target)();
        let equal = |(field, value): &(u16, Value)| {
            let Ok(field) = target.field(usize::from(*field)) else { return String::new() };
            let shown = crate::dialect::json::write(value.show(), &field.kind);
            format!("{} = {}", field.name, shown.map_or_else(|_| "?".to_owned(), |json| json.to_string()))
        };
        let equal: Vec<_> = self.by.iter().map(equal).collect();
        format!("{} with {}", target.model, equal.join(" and "))
    }
}

/// A field of `M` that tells which row is meant: what `lookup` names.
#[must_use]
pub const fn lookup_by<M, T>(field: Field<M, T>, path: Option<&'static str>) -> LookupBy {
    LookupBy { field: field.position(), path }
}

/// Two associations are the same if they are the same part of the same `static`.
impl PartialEq for AssocDef {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
