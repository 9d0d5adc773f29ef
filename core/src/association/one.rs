//! The key of one related row, and the row once it is loaded.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::erased::{Carried, Member};
use super::keyed::{Keyed, Related, ToOne};
use crate::datum::Datum;
use crate::error::Fault;
use crate::key::Key;
use crate::kind::Kind;
use crate::query::eval;
use crate::value::ValueRef;

/// Refers to one row of `T`: holds its key, and the row once it is loaded. `Option<One<T>>` is a reference that may be
/// empty.
///
/// - It is stored, sent and compared as the key.
/// - [`get`](Self::get) gives the row if it was asked for with the query (`select.with(Order::CUSTOMER)`) and is there.
/// - A row that is put in, or edited in place, is saved in one transaction with the row that holds it; a row that was
///   merely loaded is not.
/// - Two references are equal if their keys are.
///
/// ```
/// use larder::{Model, One};
/// # extern crate larder_core as larder;
/// # use larder_derive::Model;
///
/// #[derive(Model, Clone, Debug)]
/// struct User {
///     #[model(key)]
///     name: String,
///     age: u8,
/// }
///
/// let by_key: One<User> = One::to("ada".to_owned());
/// let by_row = One::of(User { name: "ada".into(), age: 36 });
/// assert_eq!(by_key, by_row);
/// assert!(by_key.get().is_none());
/// assert_eq!(by_row.get().map(|user| user.age), Some(36));
/// ```
pub struct One<T: Keyed>(State<T>);

enum State<T: Keyed> {
    /// The key alone; `missing` if there was no such row when it was looked for.
    Key { id: T::Id, missing: bool },
    /// As it was loaded.
    Loaded(Arc<T>),
    /// Edited: what differs from what was loaded is to be saved.
    Edited { row: Arc<T>, base: Arc<T> },
    /// Put in: to be saved as it is.
    Given(Arc<T>),
}

impl<T: Keyed> One<T> {
    /// Refers to the row with this key.
    #[must_use]
    pub fn to(id: T::Id) -> Self {
        Self(State::Key { id, missing: false })
    }

    /// Refers to `row` and carries it: it is saved together with the row that holds the reference, if it is new or
    /// differs from what is stored.
    #[must_use]
    pub fn of(row: impl Into<Arc<T>>) -> Self {
        Self(State::Given(row.into()))
    }

    pub(super) fn loaded(row: Arc<T>) -> Self {
        Self(State::Loaded(row))
    }

    /// The key.
    #[must_use]
    pub fn id(&self) -> &T::Id {
        match &self.0 {
            State::Key { id, .. } => id,
            State::Loaded(row) | State::Edited { row, .. } | State::Given(row) => row.id(),
        }
    }

    /// The row; `None` if it was not loaded, or is not there.
    #[must_use]
    pub fn get(&self) -> Option<&Arc<T>> {
        match &self.0 {
            State::Key { .. } => None,
            State::Loaded(row) | State::Edited { row, .. } | State::Given(row) => Some(row),
        }
    }

    /// True if the row was looked for, whether it was there or not, or put in.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        !matches!(self.0, State::Key { missing: false, .. })
    }

    /// Edits the row in place; `false` if there is none here. What `f` changes is saved with the row that holds the
    /// reference, on top of whatever others have changed meanwhile.
    pub fn edit(&mut self, f: impl FnOnce(&mut T)) -> bool
    where
        T: Clone,
    {
        let (mut row, base) = match &self.0 {
            State::Key { .. } => return false,
            State::Loaded(row) => (T::clone(row), Some(Arc::clone(row))),
            State::Edited { row, base } => (T::clone(row), Some(Arc::clone(base))),
            State::Given(row) => (T::clone(row), None),
        };
        f(&mut row);
        let row = Arc::new(row);
        self.0 = match base {
            Some(base) => State::Edited { row, base },
            None => State::Given(row),
        };
        true
    }

    /// Takes `row` if it is the one that is referred to, and tells whether it was.
    pub(super) fn take_loaded(&mut self, row: Option<&Arc<T>>) -> bool {
        let found = row.filter(|row| same::<T>(row.id(), self.id()));
        if let Some(row) = found {
            self.0 = State::Loaded(Arc::clone(row));
        } else if let State::Key { missing, .. } = &mut self.0 {
            *missing = true;
        }
        found.is_some()
    }

    pub(super) fn member(&self, added: bool) -> Option<Member> {
        let key = Key::take(self.id().show()).ok()?;
        let (row, base) = match &self.0 {
            State::Edited { row, base } => (Some(Arc::clone(row)), Some(Arc::clone(base))),
            State::Given(row) => (Some(Arc::clone(row)), None),
            State::Key { .. } | State::Loaded(_) => (None, None),
        };
        let erase = |row: Arc<T>| -> Arc<dyn super::AnyModel> { row };
        Some(Member { key, added, row: row.map(erase), base: base.map(erase) })
    }
}

/// Whether two keys are the same.
pub(super) fn same<T: Keyed>(a: &T::Id, b: &T::Id) -> bool {
    eval::order(a.show(), b.show()).is_ok_and(std::cmp::Ordering::is_eq)
}

impl<T: Keyed<Id: Clone>> Clone for One<T> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            State::Key { id, missing } => State::Key { id: id.clone(), missing: *missing },
            State::Loaded(row) => State::Loaded(Arc::clone(row)),
            State::Edited { row, base } => State::Edited { row: Arc::clone(row), base: Arc::clone(base) },
            State::Given(row) => State::Given(Arc::clone(row)),
        })
    }
}

impl<T: Keyed> PartialEq for One<T> {
    fn eq(&self, other: &Self) -> bool {
        same::<T>(self.id(), other.id())
    }
}

impl<T: Keyed> Eq for One<T> {}

impl<T: Keyed> Hash for One<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Key::take(self.id().show()).ok().hash(state);
    }
}

impl<T: Keyed> fmt::Debug for One<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the row: related rows may refer to each other.
        f.debug_tuple("One").field(&self.id().show()).finish()
    }
}

impl<T: Keyed> Datum for One<T> {
    const KIND: Kind = <T::Id as Datum>::KIND;

    fn show(&self) -> ValueRef<'_> {
        self.id().show()
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        T::Id::take(value).map(Self::to)
    }
}

impl<T: Keyed> Related for One<T> {
    type Target = T;

    fn attach(&mut self, mut rows: impl Iterator<Item = Arc<T>>) {
        self.take_loaded(rows.next().as_ref());
    }

    fn carried(&self) -> Carried {
        Carried { members: self.member(false).into_iter().collect(), removed: Vec::new() }
    }
}

impl<T: Keyed> Related for Option<One<T>> {
    type Target = T;

    fn attach(&mut self, rows: impl Iterator<Item = Arc<T>>) {
        if let Some(one) = self {
            one.attach(rows);
        }
    }

    fn carried(&self) -> Carried {
        self.as_ref().map(Related::carried).unwrap_or_default()
    }
}

impl<T: Keyed> ToOne for One<T> {}

impl<T: Keyed> ToOne for Option<One<T>> {}
