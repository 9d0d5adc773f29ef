//! The keys that rows have got in place of temporary ones: whoever still holds a temporary key finds its row by it.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use larder_core::association::{AssocDef, Link};
use larder_core::{CompareOp, Key, Predicate, Query, Schema, Value};

use crate::engine::renames::{Rename, shown};

/// How many are remembered; of more, those that came first are forgotten.
const MOST: usize = 10_000;

/// How often a row can have got another key: it was deleted and created again.
pub(crate) const KEYS: usize = 16;

/// What is remembered, from the moment at which the remote has given a key for as long as the repository is open.
///
/// A row stands under its former key or under the given one, never under both: so whoever asks for either finds it, at
/// whatever moment he asks.
#[derive(Debug, Default)]
pub(crate) struct Given {
    any: AtomicBool,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    of: HashMap<(&'static str, Key), Key>,
    /// In the order in which they came.
    order: VecDeque<(&'static str, Key)>,
}

impl Given {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers `renames`.
    pub(crate) fn note(&self, renames: &[Rename]) {
        let mut keys = self.keys();
        for rename in renames {
            if keys.of.insert(rename.place(), rename.to.clone()).is_none() {
                keys.order.push_back(rename.place());
            }
        }
        while keys.order.len() > MOST {
            if let Some(oldest) = keys.order.pop_front() {
                keys.of.remove(&oldest);
            }
        }
        self.any.store(true, Ordering::Release);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        *self.keys() = Keys::default();
        self.any.store(false, Ordering::Release);
    }

    /// True if no key has been given yet.
    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// The key that was given in place of this one.
    pub(crate) fn get(&self, schema: &Schema, key: &Key) -> Option<Key> {
        if self.is_empty() {
            return None;
        }
        self.keys().of.get(&(schema.model, key.clone())).cloned()
    }

    /// `query` for the local side: where it names a former key, the given one does as well.
    pub(crate) fn widened<'q>(&self, schema: &'static Schema, query: &'q Query) -> Cow<'q, Query> {
        self.asked(schema, query, true)
    }

    /// `query` for the remote, which has never known the former keys.
    pub(crate) fn renewed<'q>(&self, schema: &'static Schema, query: &'q Query) -> Cow<'q, Query> {
        self.asked(schema, query, false)
    }

    fn asked<'q>(&self, schema: &'static Schema, query: &'q Query, both: bool) -> Cow<'q, Query> {
        if self.is_empty() {
            return Cow::Borrowed(query);
        }
        match (Asking { given: self, both }).filter(schema, &query.filter) {
            Some(filter) => Cow::Owned(Query { filter, ..query.clone() }),
            None => Cow::Borrowed(query),
        }
    }
}

/// The model whose rows a field names, by itself or in a list.
pub(crate) fn target(schema: &'static Schema, field: u16) -> Option<&'static Schema> {
    if schema.key.fields == [usize::from(field)] {
        let refers = |def: &&AssocDef| matches!(def.link, Link::One { field: at } if at == field);
        return Some(schema.associations.iter().find(refers).map_or(schema, |def| (def.target)()));
    }
    let stored = |def: &&AssocDef| def.is_stored() && def.at == field;
    schema.associations.iter().find(stored).map(|def| (def.target)())
}

/// Puts given keys into a query.
struct Asking<'a> {
    given: &'a Given,
    /// Beside the former ones, and not in their place.
    both: bool,
}

impl Asking<'_> {
    /// The given key that a value stands for, as the field holds it.
    fn given_for(&self, schema: &'static Schema, field: u16, value: &Value) -> Option<Value> {
        let key = Key::take(value.show()).ok()?;
        let given = self.given.get(target(schema, field)?, &key)?;
        let kind = match schema.field(usize::from(field)).ok()?.kind.inner() {
            larder_core::Kind::List(of) => of.inner(),
            kind => kind,
        };
        Some(shown(&given, kind))
    }

    /// `None` if nothing changes.
    fn filter(&self, schema: &'static Schema, filter: &Predicate) -> Option<Predicate> {
        match filter {
            Predicate::Key(key) => {
                let given = self.given.get(schema, key)?;
                let both = || Predicate::Keys(vec![key.clone(), given.clone()]);
                Some(if self.both { both() } else { Predicate::Key(given) })
            }
            Predicate::Keys(keys) => {
                let keys = self.list(keys, |key| self.given.get(schema, key))?;
                Some(Predicate::Keys(keys))
            }
            Predicate::Compare { field, op, value } => {
                let given = self.given_for(schema, *field, value)?;
                match op {
                    CompareOp::Eq if self.both => {
                        Some(Predicate::In { field: *field, values: vec![value.clone(), given] })
                    }
                    CompareOp::Ne if self.both => Some(Predicate::And(vec![
                        Predicate::Compare { field: *field, op: *op, value: value.clone() },
                        Predicate::Compare { field: *field, op: *op, value: given },
                    ])),
                    CompareOp::Eq | CompareOp::Ne => {
                        Some(Predicate::Compare { field: *field, op: *op, value: given })
                    }
                    // A temporary key has no place in an order.
                    _ => None,
                }
            }
            Predicate::In { field, values } => {
                let values = self.list(values, |value| self.given_for(schema, *field, value))?;
                Some(Predicate::In { field: *field, values })
            }
            Predicate::Member { field, value, negated } => {
                let given = self.given_for(schema, *field, value)?;
                let member = |value| Predicate::Member { field: *field, value, negated: *negated };
                Some(match (self.both, negated) {
                    (false, _) => member(given),
                    (true, false) => Predicate::Or(vec![member(value.clone()), member(given)]),
                    (true, true) => Predicate::And(vec![member(value.clone()), member(given)]),
                })
            }
            Predicate::Related { assoc, all, filter } => {
                let def = schema.associations.iter().find(|def| def.at == *assoc)?;
                let filter = Box::new(self.filter((def.target)(), filter)?);
                Some(Predicate::Related { assoc: *assoc, all: *all, filter })
            }
            Predicate::And(all) => self.each(schema, all).map(Predicate::And),
            Predicate::Or(any) => self.each(schema, any).map(Predicate::Or),
            Predicate::Not(not) => self.filter(schema, not).map(|not| Predicate::Not(Box::new(not))),
            _ => None,
        }
    }

    fn each(&self, schema: &'static Schema, all: &[Predicate]) -> Option<Vec<Predicate>> {
        let changed: Vec<_> = all.iter().map(|one| self.filter(schema, one)).collect();
        if changed.iter().all(Option::is_none) {
            return None;
        }
        Some(all.iter().zip(changed).map(|(one, new)| new.unwrap_or_else(|| one.clone())).collect())
    }

    /// The list with the given ones; `None` if there are none.
    fn list<T: Clone>(&self, all: &[T], new: impl Fn(&T) -> Option<T>) -> Option<Vec<T>> {
        let given: Vec<Option<T>> = all.iter().map(new).collect();
        if given.iter().all(Option::is_none) {
            return None;
        }
        let mut list = Vec::with_capacity(all.len());
        for (one, given) in all.iter().zip(given) {
            if self.both || given.is_none() {
                list.push(one.clone());
            }
            list.extend(given);
        }
        Some(list)
    }
}
