//! Which entries go in the request of which, once some of them say something else than they did.

use std::collections::BTreeMap;

use larder_core::{Entry, EntryState, MutationId, Within};

/// An entry of a request, and what has become of it; `None`: it is gone.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) old: Entry,
    pub(crate) now: Option<Entry>,
}

impl Part {
    /// True if others can stand in its row.
    fn holds(&self) -> bool {
        self.now.as_ref().is_some_and(|entry| entry.row.is_some())
    }

    /// True if it can stand in the row of another.
    fn goes(&self) -> bool {
        self.now.as_ref().is_some_and(|entry| entry.row.is_some() && entry.state == EntryState::Ready)
    }
}

/// Says anew which entries go in the request of which: `parts` are those of one request, its carrier first and each after
/// the one in whose row it stands.
///
/// What waits for the application, deletes its row, or stood in a row that is gone, has a request of its own from then on;
/// what stands in its row goes with it.
pub(crate) fn regroup(parts: &mut [Part]) {
    let places: BTreeMap<MutationId, usize> =
        parts.iter().enumerate().map(|(at, part)| (part.old.id, at)).collect();
    let parent_of =
        |part: &Part| part.old.within.as_ref().and_then(|within| places.get(&within.parent).copied());
    let (mut roots, mut parents) = (Vec::with_capacity(parts.len()), Vec::with_capacity(parts.len()));
    for (at, part) in parts.iter().enumerate() {
        let parent = parent_of(part).filter(|parent| *parent < at && part.goes() && parts[*parent].holds());
        parents.push(parent);
        roots.push(parent.map_or(at, |parent| roots[parent]));
    }
    let ids: Vec<Option<MutationId>> = parts.iter().map(|part| Some(part.now.as_ref()?.id)).collect();
    for at in 0..parts.len() {
        let carries: Vec<MutationId> = (0..parts.len())
            .filter(|other| *other != at && roots[*other] == at)
            .filter_map(|other| ids[other])
            .collect();
        let part = &mut parts[at];
        let Some(now) = &mut part.now else { continue };
        let association = part.old.within.as_ref().map(|within| &within.association);
        now.within = match (parents[at].and_then(|parent| ids[parent]), ids[roots[at]], association) {
            (Some(parent), Some(carrier), Some(association)) => {
                Some(Within { carrier, parent, association: association.clone() })
            }
            _ => None,
        };
        // The order in which they were named says nothing; who has them as they were has nothing to write.
        let as_before =
            carries.len() == now.carries.len() && carries.iter().all(|id| now.carries.contains(id));
        if !as_before {
            now.carries = carries;
        }
    }
}

#[cfg(test)]
mod tests;
