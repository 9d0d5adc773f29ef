//! How a query that begins at a place goes there without passing what comes before.
//!
//! Where rows come in the query's order, the place is a key of the table, and the ranges begin at it. That only
//! narrows down: each row is still asked whether it comes after the place, so a place that does not fit its query
//! costs time and never changes an answer.

use larder_core::{Key, Position, ValueRef, ordered};

use crate::codec::{self, PREFIX};
use crate::keys::Keys;
use crate::paths::{Path, Planner};
use crate::plan::{Delivery, Span};

impl Planner<'_> {
    /// Narrows a path that delivers to what comes after the place where the query begins.
    pub(crate) fn seek(&self, mut path: Path) -> Path {
        let (Some(after), Some(delivery)) = (self.query.after.as_deref(), path.delivery) else {
            return path;
        };
        if path.spans.is_empty() || !self.fits(after) {
            return path;
        }
        let key = codec::row_key(self.slot.model, &after.key);
        let Some(index) = path.index else {
            narrow(&mut path.spans, &key, delivery);
            return path;
        };
        let rest = &self.slot.indexes[index].def.fields[path.fixed..];
        let Some(values) = self.values(&path.start, rest, after) else {
            return path;
        };
        let entry = [values.as_slice(), &key[PREFIX..]].concat();
        if delivery == Delivery::Grouped {
            path.head = Some((next(&entry), codec::after(&values)));
            narrow(&mut path.spans, &values, Delivery::Backward);
        } else {
            narrow(&mut path.spans, &entry, delivery);
        }
        path
    }

    /// The key of the place where the query begins, if that fits the query.
    pub(crate) fn place(&self) -> Option<Vec<u8>> {
        let after = self.query.after.as_deref()?;
        self.fits(after).then(|| codec::row_key(self.slot.model, &after.key))
    }

    /// Leaves out the keys that come before the place where the query begins; they are sorted.
    pub(crate) fn seek_keys(&self, keys: &mut Keys, delivery: Option<Delivery>) {
        let (Some(after), Some(delivery)) = (self.query.after.as_deref(), delivery) else {
            return;
        };
        if self.fits(after) {
            let key = codec::row_key(self.slot.model, &after.key);
            match delivery {
                Delivery::Backward => keys.end_before(&key),
                _ => keys.begin_after(&key),
            }
        }
    }

    /// What the entries begin with that have the values of the place in `rest`, the fields after the fixed ones.
    fn values(&self, start: &[u8], rest: &[usize], after: &Position) -> Option<Vec<u8>> {
        let mut bytes = start.to_vec();
        for field in rest {
            let at = self.query.order.iter().position(|one| usize::from(one.field) == *field)?;
            ordered::encode(after.values.get(at)?.show(), &mut bytes).ok()?;
        }
        Some(bytes)
    }

    /// True if the place can be one of a row that answers the query: fixed fields have their values, a field has one
    /// value, and the fields of the key are those of its key. Only then is the order of keys and entries the query's.
    fn fits(&self, after: &Position) -> bool {
        let order = &self.query.order;
        let parts = after.key.parts();
        if after.values.len() != order.len() || parts.len() != self.slot.schema.key.fields.len() {
            return false;
        }
        let keys = self.slot.schema.key.fields;
        let named = |field: &usize, at: usize| order[..at].iter().any(|one| usize::from(one.field) == *field);
        let fits = |(at, one): (usize, &larder_core::Order)| {
            let (field, value) = (usize::from(one.field), after.values[at].show());
            // What comes after the whole key does not order rows, but may tell a row from what it was.
            let matters = keys.is_empty() || !keys.iter().all(|key| named(key, at));
            let first = order.iter().position(|other| other.field == one.field);
            let same = first.is_none_or(|first| encoded(after.values[first].show()) == encoded(value));
            let part = keys.iter().position(|key| *key == field);
            matters
                && same
                && part.is_none_or(|part| is_part(value, &after.key.parts()[part]))
                && self.is_fixed_to(field, false, value)
        };
        let mut keys = self.slot.schema.key.fields.iter().zip(parts);
        order.iter().enumerate().all(fits)
            && keys.all(|(field, part)| self.is_fixed_to(*field, true, part.show()))
    }

    /// False if the filter fixes the field to another value.
    fn is_fixed_to(&self, field: usize, key: bool, value: ValueRef<'_>) -> bool {
        let limits = self.limits(field, key);
        !limits.is_fixed()
            || limits.among.as_ref().and_then(|values| values.first()) == encoded(value).as_ref()
    }
}

fn encoded(value: ValueRef<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ordered::encode(value, &mut bytes).ok().map(|()| bytes)
}

fn is_part(value: ValueRef<'_>, part: &Key) -> bool {
    match (value, part) {
        (ValueRef::Time(at), Key::Int(nanosecond)) => at.as_nanosecond() == *nanosecond,
        (value, part) => encoded(value) == encoded(part.show()),
    }
}

/// The least key after this one.
fn next(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// Leaves out of `spans`, which are sorted and apart, what comes up to `place` when they are gone through.
fn narrow(spans: &mut Vec<Span>, place: &[u8], delivery: Delivery) {
    for (low, high) in spans.iter_mut() {
        if delivery == Delivery::Forward {
            *low = std::mem::take(low).max(next(place));
        } else {
            *high = std::mem::take(high).min(place.to_vec());
        }
    }
    spans.retain(|(low, high)| low < high);
}

#[cfg(test)]
mod tests;
