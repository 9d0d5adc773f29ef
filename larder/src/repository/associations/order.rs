//! The order in which writes that were made one by one reach the outbox: there, an entry waits for earlier ones alone.

use std::collections::HashMap;

use larder_core::association::references;
use larder_core::{Result, StoredRow};

use super::super::write::Change;
use super::graph::Edges;
use crate::engine::enqueue::Write;

/// The places of `changes` in an order in which a row is created before those that refer to it, and deleted after those
/// that referred to it. Where that says nothing they stay as they are. `stored` is what they change; `above` gives the
/// change in whose request one goes: it comes after that one, also if that one refers to it.
///
/// # Errors
/// `Serialization` or `Corrupt` if a reference can't be read.
pub(crate) fn order(
    changes: &[Change],
    stored: &[Option<StoredRow>],
    above: impl Fn(usize) -> Option<usize>,
) -> Result<Vec<usize>> {
    if changes.len() < 2 || changes.iter().all(|change| change.schema.associations.is_empty()) {
        return Ok((0..changes.len()).collect());
    }
    let place = |(at, change): (usize, &Change)| ((change.schema.model, change.key.clone()), at);
    let places: HashMap<_, _> = changes.iter().enumerate().map(place).collect();
    let before = |at: usize| stored.get(at).and_then(Option::as_ref).and_then(|stored| stored.row.as_deref());
    let mut edges = Edges::default();
    for (at, change) in changes.iter().enumerate() {
        above(at).into_iter().for_each(|above| edges.add(above, at, false));
        if let Write::Put(row) = &change.write {
            for (schema, key) in references(change.schema, &**row)? {
                let other = places.get(&(schema.model, key)).copied();
                let creates = |other: &usize| {
                    before(*other).is_none() && matches!(changes[*other].write, Write::Put(_))
                };
                let other = other.filter(creates).filter(|other| above(*other) != Some(at));
                other.into_iter().for_each(|other| edges.add(other, at, false));
            }
        }
        if let Some(row) = before(at) {
            for (schema, key) in references(change.schema, row)? {
                let other = places.get(&(schema.model, key)).copied();
                let deletes = |other: &usize| matches!(changes[*other].write, Write::Delete);
                other.filter(deletes).into_iter().for_each(|other| edges.add(at, other, false));
            }
        }
    }
    // No edge is hard, so there is always an order.
    Ok(edges.sort(changes.len()).unwrap_or_else(|_| (0..changes.len()).collect()))
}
