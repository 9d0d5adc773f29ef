//! Which of the rows that are saved together go in the request of another one.

use std::collections::HashMap;

use larder_core::association::{AssocDef, references};
use larder_core::{Expect, Key, KeyKind, MutationId, Result, RowState, Schema, StoredRow, Within as Carried};

use super::write::Change;
use super::{Repository, associations};
use crate::engine::enqueue::{Write, differences};

/// The row in whose request another one goes.
#[derive(Clone, Debug)]
pub(super) struct Within {
    pub(super) schema: &'static Schema,
    pub(super) key: Key,
    /// Its association in which the other row stands.
    pub(super) def: &'static AssocDef,
    /// It stands there only if that row goes in the request of a third one: in the place of a link row.
    pub(super) guest: bool,
}

/// What is decided about the changes of one transaction; nothing if none of them goes with another.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    seats: Vec<Seat>,
    /// What was looked at.
    pub(super) expect: Vec<Expect>,
}

#[derive(Debug)]
struct Seat {
    id: MutationId,
    carries: Vec<MutationId>,
    within: Option<Carried>,
}

impl Nesting {
    /// The identity of the mutation that the change at `at` becomes.
    pub(super) fn id(&self, at: usize) -> Option<MutationId> {
        self.seats.get(at).map(|seat| seat.id)
    }

    pub(super) fn carries(&self, at: usize) -> Vec<MutationId> {
        self.seats.get(at).map(|seat| seat.carries.clone()).unwrap_or_default()
    }

    pub(super) fn within(&self, at: usize) -> Option<Carried> {
        self.seats.get(at).and_then(|seat| seat.within.clone())
    }
}

/// What is known of one change.
struct Look {
    /// Something of its row waits in the outbox already.
    waits: bool,
    /// There is something to tell the remote.
    news: bool,
    /// Its key is the one that the remote knows, or will know.
    keyed: bool,
    /// Its place in the outbox.
    rank: usize,
    /// The change in whose request it goes.
    parent: Option<usize>,
    /// The one at the top, whose request it is: itself, if it goes with none.
    carrier: usize,
}

/// What is looked at together: the changes, what they change, and where each row's change is.
struct Sight<'a> {
    changes: &'a [Change],
    /// Which of them may go with another one.
    may: Vec<bool>,
    places: HashMap<(&'static str, Key), usize>,
}

impl Sight<'_> {
    /// The change in whose request the one at `at` may go.
    fn above(&self, at: usize) -> Option<usize> {
        let within = self.changes[at].within.as_ref().filter(|_| self.may[at])?;
        self.places.get(&(within.schema.model, within.key.clone())).copied()
    }

    /// True if the change at `at` would come first, if it did not go in the request of one that refers to it.
    fn is_turned(&self, at: usize) -> bool {
        self.may[at] && self.changes[at].within.as_ref().is_some_and(|within| within.def.is_stored())
    }
}

impl Repository {
    /// The order in which changes reach the outbox, and which of them go in the requests of others, if the remote takes
    /// such requests.
    ///
    /// A row that others refer to comes before them, unless it goes in the request of one of them: then it comes after
    /// that one. What may go so is supposed to go so, until it turns out that it can't.
    pub(super) async fn arranged(
        &self,
        changes: &[Change],
        stored: &[Option<StoredRow>],
        nests: bool,
    ) -> Result<(Vec<usize>, Nesting)> {
        let place = |(at, change): (usize, &Change)| ((change.schema.model, change.key.clone()), at);
        let mut sight = Sight {
            changes,
            may: changes.iter().map(|change| nests && change.within.is_some()).collect(),
            places: changes.iter().enumerate().map(place).collect(),
        };
        loop {
            let order = associations::order(changes, stored, |at| sight.above(at))?;
            if !sight.may.contains(&true) {
                return Ok((order, Nesting::default()));
            }
            let mut expect = Vec::new();
            let looks = self.looks(&sight, stored, &order, &mut expect).await?;
            let mut refused: Vec<usize> = (0..changes.len())
                .filter(|at| sight.is_turned(*at) && looks[*at].news && looks[*at].parent.is_none())
                .collect();
            if refused.is_empty() && precedes(&sight, stored, &looks)? {
                return Ok((order, Nesting { seats: self.seats(changes, &looks), expect }));
            }
            if refused.is_empty() {
                refused = (0..changes.len()).filter(|at| sight.is_turned(*at)).collect();
            }
            if refused.is_empty() {
                // A circle of references, which none of these turns has made.
                return Ok((order, Nesting { seats: self.seats(changes, &looks), expect }));
            }
            refused.into_iter().for_each(|at| sight.may[at] = false);
        }
    }

    /// Finds out which changes go with which. A row goes with another only if neither it nor anything it refers to, the
    /// rows of that request aside, has to be sent before: the request would have to wait for what comes after it. Nor does it
    /// while its key, or that of the row in which it would stand, is a temporary one: nobody could tell which is meant.
    async fn looks(
        &self,
        sight: &Sight<'_>,
        stored: &[Option<StoredRow>],
        order: &[usize],
        expect: &mut Vec<Expect>,
    ) -> Result<Vec<Look>> {
        let changes = sight.changes;
        let mut looks: Vec<Look> = Vec::with_capacity(changes.len());
        for (at, (change, stored)) in changes.iter().zip(stored).enumerate() {
            let waits = stored.as_ref().is_some_and(|stored| stored.meta.tail != 0);
            let news = has_news(change, stored.as_ref())?;
            let keyed = has_key(change.schema, stored.as_ref());
            looks.push(Look { waits, news, keyed, rank: 0, parent: None, carrier: at });
        }
        for (rank, at) in order.iter().enumerate() {
            looks[*at].rank = rank;
        }
        for &at in order {
            if let Some(parent) = self.parent(sight, &looks, at, expect).await? {
                looks[at].carrier = looks[parent].carrier;
                looks[at].parent = Some(parent);
            }
        }
        // Parents come first, so from the end what a row carries is known before the row.
        for &at in order.iter().rev() {
            if let (Some(parent), true) = (looks[at].parent, looks[at].news) {
                looks[parent].news = true;
            }
        }
        Ok(looks)
    }

    fn seats(&self, changes: &[Change], looks: &[Look]) -> Vec<Seat> {
        let seat = |_: &Look| Seat { id: self.mint(), carries: Vec::new(), within: None };
        let mut seats: Vec<Seat> = looks.iter().map(seat).collect();
        for (at, look) in looks.iter().enumerate().filter(|(_, look)| look.news) {
            let (Some(parent), Some(within)) = (look.parent, &changes[at].within) else { continue };
            let id = seats[at].id;
            seats[at].within = Some(Carried {
                carrier: seats[look.carrier].id,
                parent: seats[parent].id,
                association: within.def.name.into(),
            });
            seats[look.carrier].carries.push(id);
        }
        seats
    }

    /// The change in whose request the one at `at` goes.
    async fn parent(
        &self,
        sight: &Sight<'_>,
        looks: &[Look],
        at: usize,
        expect: &mut Vec<Expect>,
    ) -> Result<Option<usize>> {
        let change = &sight.changes[at];
        let (Some(within), Write::Put(row)) = (&change.within, &change.write) else { return Ok(None) };
        let is_there = |parent: &usize| {
            let put = matches!(sight.changes[*parent].write, Write::Put(_));
            let goes = !within.guest || looks[*parent].parent.is_some();
            put && goes && looks[*parent].keyed && looks[*parent].rank < looks[at].rank
        };
        let Some(parent) = sight.above(at).filter(is_there) else { return Ok(None) };
        if looks[at].waits || !looks[at].keyed {
            return Ok(None);
        }
        let carrier = looks[parent].carrier;
        for (schema, key) in references(change.schema, &**row)? {
            let waits = match sight.places.get(&(schema.model, key.clone())) {
                Some(other) if *other == at || *other == parent || looks[*other].carrier == carrier => false,
                // It is to stand in this row.
                Some(other) if sight.above(*other) == Some(at) => false,
                Some(other) => looks[*other].waits || looks[*other].news,
                None => {
                    let stored = self.look_at(schema, &key, expect).await?;
                    stored.is_some_and(|stored| stored.meta.tail != 0)
                }
            };
            if waits {
                return Ok(None);
            }
        }
        Ok(Some(parent))
    }

    /// What is stored under a key; the commit relies on it.
    async fn look_at(
        &self,
        schema: &'static Schema,
        key: &Key,
        expect: &mut Vec<Expect>,
    ) -> Result<Option<StoredRow>> {
        let stored = self.shared.store.load(&self.cx(), schema, key).await?;
        let revision = stored.as_ref().map_or(0, |stored| stored.meta.revision);
        expect.push(Expect::Row { schema, key: key.clone(), revision });
        Ok(stored)
    }
}

/// Whether what is created comes before what refers to it, or in the same request.
fn precedes(sight: &Sight<'_>, stored: &[Option<StoredRow>], looks: &[Look]) -> Result<bool> {
    for (at, change) in sight.changes.iter().enumerate() {
        let Write::Put(row) = &change.write else { continue };
        for (schema, key) in references(change.schema, &**row)? {
            let Some(other) = sight.places.get(&(schema.model, key)).copied() else { continue };
            let creates = stored[other].as_ref().is_none_or(|stored| stored.row.is_none())
                && matches!(sight.changes[other].write, Write::Put(_));
            let together = looks[other].carrier == looks[at].carrier;
            if creates && !together && looks[other].rank > looks[at].rank {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether there is something to tell the remote.
fn has_news(change: &Change, stored: Option<&StoredRow>) -> Result<bool> {
    let row = stored.and_then(|stored| stored.row.as_ref());
    let (Write::Put(new), Some(old)) = (&change.write, row) else { return Ok(true) };
    let local = stored.is_some_and(|stored| stored.meta.sync.state == RowState::Local);
    Ok(local || !differences(change.schema, &**old, &**new)?.is_empty())
}

/// Whether the row's key is not a temporary one.
fn has_key(schema: &'static Schema, stored: Option<&StoredRow>) -> bool {
    let known = |stored: &StoredRow| stored.meta.tail == 0 && stored.meta.sync.state != RowState::Local;
    schema.key.kind != KeyKind::Server || stored.is_some_and(known)
}
