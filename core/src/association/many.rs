//! The rows that are related to one row.

use std::fmt;
use std::sync::Arc;

use super::erased::Carried;
use super::keyed::{Keyed, Related};
use super::one::{One, same};
use crate::datum::Datum;
use crate::error::Fault;
use crate::key::Key;
use crate::kind::Kind;
use crate::query::{Holds, Needle, Operand};
use crate::value::{Each, Item, Nested, ValueRef, View};

/// The rows of `T` that are related to one row. Which they are, says the attribute of the field:
///
/// | attribute | the rows | where it is stored |
/// |---|---|---|
/// | `children = "order"` | those whose field `order`, a `One<Order>` or an `Option` of one, refers to this row | with the children |
/// | `through = "OrderTag", from = "order", to = "tag"` | those that rows of the link model `OrderTag` join to this row | as link rows |
/// | `keys` | those whose keys stand in the field | with this row, as a list of keys |
///
/// - Rows are here if they were asked for with the query (`select.with(Order::ITEMS)`); a row that is missing is absent.
///   They come by their keys, those of a list of keys in the order of the list.
/// - What is pushed, linked, edited or removed is saved together with the row that holds the list. A row that was merely
///   loaded is not written, and one that others have added meanwhile is not touched.
/// - Two lists are equal if they hold the same keys in the same order; one that knows its rows differs from one that
///   does not.
pub struct Many<T: Keyed> {
    members: Vec<Entry<T>>,
    removed: Vec<Key>,
    loaded: bool,
}

struct Entry<T: Keyed> {
    one: One<T>,
    /// By the application, after it was loaded.
    added: bool,
}

impl<T: Keyed> Many<T> {
    /// A list that has not been loaded.
    #[must_use]
    pub const fn new() -> Self {
        Self { members: Vec::new(), removed: Vec::new(), loaded: false }
    }

    /// A list with these rows added: each is saved, and belongs to the row that holds the list from then on. Rows that
    /// belong to it already stay.
    pub fn of<R: Into<Arc<T>>>(rows: impl IntoIterator<Item = R>) -> Self {
        Self::added(rows.into_iter().map(One::of))
    }

    /// A list with the rows of these keys added.
    pub fn to(ids: impl IntoIterator<Item = T::Id>) -> Self {
        Self::added(ids.into_iter().map(One::to))
    }

    fn added(ones: impl Iterator<Item = One<T>>) -> Self {
        Self { members: ones.map(|one| Entry { one, added: true }).collect(), ..Self::new() }
    }

    /// The rows that are here.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<T>> {
        self.members.iter().filter_map(|entry| entry.one.get())
    }

    /// The keys that are known, those of missing rows included.
    #[must_use]
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = &T::Id> {
        self.members.iter().map(|entry| entry.one.id())
    }

    /// The row with this key, if it is here.
    #[must_use]
    pub fn get(&self, id: &T::Id) -> Option<&Arc<T>> {
        self.members.iter().find(|entry| same::<T>(entry.one.id(), id)).and_then(|entry| entry.one.get())
    }

    /// How many rows are here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// True if no row is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// True if the rows were loaded.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Adds `row`, which is saved together with the row that holds the list. It takes the place of a row of the same
    /// key.
    pub fn push(&mut self, row: impl Into<Arc<T>>) {
        self.add(One::of(row));
    }

    /// Adds the row with this key.
    pub fn link(&mut self, id: T::Id) {
        if !self.members.iter().any(|entry| same::<T>(entry.one.id(), &id)) {
            self.add(One::to(id));
        }
    }

    fn add(&mut self, one: One<T>) {
        if let Ok(key) = Key::take(one.id().show()) {
            self.removed.retain(|removed| *removed != key);
        }
        match self.members.iter_mut().find(|entry| same::<T>(entry.one.id(), one.id())) {
            Some(entry) => *entry = Entry { one, added: true },
            None => self.members.push(Entry { one, added: true }),
        }
    }

    /// Takes the row with this key out of the list; it need not be loaded.
    ///
    /// Saving the row that holds the list then makes the other one independent: its reference is set to null; where it
    /// can't be null, that is an error, or the row is deleted (`orphans = "delete"`). In the other forms the link row
    /// is deleted, or the key leaves the list.
    pub fn remove(&mut self, id: &T::Id) {
        self.members.retain(|entry| !same::<T>(entry.one.id(), id));
        if let Ok(key) = Key::take(id.show()) {
            self.removed.retain(|removed| *removed != key);
            self.removed.push(key);
        }
    }

    /// Takes those rows out that `keep` says no to; a row that is not here stays.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let removed = &mut self.removed;
        self.members.retain(|entry| {
            let stays = entry.one.get().is_none_or(|row| keep(row));
            if let (false, Ok(key)) = (stays, Key::take(entry.one.id().show())) {
                removed.push(key);
            }
            stays
        });
    }

    /// Edits the row with this key in place; `false` if it is not here. What `f` changes is saved with the row that
    /// holds the list, on top of whatever others have changed meanwhile.
    pub fn edit(&mut self, id: &T::Id, f: impl FnOnce(&mut T)) -> bool
    where
        T: Clone,
    {
        let found = self.members.iter_mut().find(|entry| same::<T>(entry.one.id(), id));
        found.is_some_and(|entry| entry.one.edit(f))
    }
}

impl<T: Keyed> Default for Many<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Keyed<Id: Clone>> Clone for Many<T> {
    fn clone(&self) -> Self {
        let copy = |entry: &Entry<T>| Entry { one: entry.one.clone(), added: entry.added };
        Self {
            members: self.members.iter().map(copy).collect(),
            removed: self.removed.clone(),
            loaded: self.loaded,
        }
    }
}

impl<T: Keyed> PartialEq for Many<T> {
    fn eq(&self, other: &Self) -> bool {
        let known = |list: &Self| list.loaded || !list.members.is_empty();
        known(self) == known(other)
            && self.members.len() == other.members.len()
            && self.members.iter().zip(&other.members).all(|(a, b)| a.one == b.one)
    }
}

impl<T: Keyed> Eq for Many<T> {}

impl<T: Keyed> fmt::Debug for Many<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the rows: related rows may refer to each other.
        f.write_str("Many")?;
        f.debug_list().entries(self.ids().map(Datum::show)).finish()
    }
}

impl<R: Into<Arc<T>>, T: Keyed> FromIterator<R> for Many<T> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        Self::of(rows)
    }
}

/// As a stored list of keys.
impl<T: Keyed> Datum for Many<T> {
    const KIND: Kind = Kind::List(&<T::Id as Datum>::KIND);

    fn show(&self) -> ValueRef<'_> {
        ValueRef::List(Nested::Live(self))
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        let ValueRef::List(nested) = value else {
            return Err(value.mismatch("a list of keys"));
        };
        let mut this = Self { members: Vec::with_capacity(nested.len()?.min(1 << 16)), ..Self::new() };
        nested.each(&mut |item| match item {
            Item::Value(value) => {
                this.members.push(Entry { one: One::take(value)?, added: false });
                Ok(())
            }
            Item::Entry(..) => Err(Fault::Malformed),
        })?;
        Ok(this)
    }
}

impl<T: Keyed> View for Many<T> {
    fn len(&self) -> usize {
        self.members.len()
    }

    fn each<'a>(&'a self, f: Each<'a, '_>) -> Result<(), Fault> {
        self.members.iter().try_for_each(|entry| f(Item::Value(entry.one.show())))
    }

    fn variant(&self) -> Option<&str> {
        None
    }
}

impl<T: Keyed, X: Operand<T::Id>> Holds<X> for Many<T> {
    fn needle(x: X) -> Needle {
        Needle::Member(x.value())
    }
}

impl<T: Keyed> Related for Many<T> {
    type Target = T;

    fn attach(&mut self, rows: impl Iterator<Item = Arc<T>>) {
        self.loaded = true;
        if self.members.is_empty() {
            self.members.reserve_exact(rows.size_hint().1.unwrap_or_default());
            self.members.extend(rows.map(|row| Entry { one: One::loaded(row), added: false }));
            return;
        }
        // The keys are known; the rows come in their order, those that are there.
        let mut rows = rows.peekable();
        for entry in &mut self.members {
            if entry.one.take_loaded(rows.peek()) {
                rows.next();
            }
        }
    }

    fn carried(&self) -> Carried {
        let members = self.members.iter().filter_map(|entry| entry.one.member(entry.added));
        Carried { members: members.collect(), removed: self.removed.clone() }
    }
}
