//! Which entries wait for entries of other rows: what refers to a row that is to be created waits for its creation, and
//! what deletes a row waits for what still refers to it.
//!
//! An entry waits for earlier ones alone, so none waits for itself by way of others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use larder_core::association::references;
use larder_core::{Entry, Key, MutationId, Operation, Result, Row};

/// A row: its model and its key.
pub(crate) type Place = (&'static str, Key);

/// What an entry has to do with other rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tied {
    /// It creates its row.
    pub(crate) creates: bool,
    /// It deletes its row.
    pub(crate) deletes: bool,
    /// The rows that its row refers to.
    pub(crate) refers: Vec<Place>,
    /// The rows that its row referred to before, and does not any more.
    pub(crate) referred: Vec<Place>,
    /// Its identity, if others go in its request.
    pub(crate) carries: Option<MutationId>,
    /// The mutation whose request it goes in.
    pub(crate) carrier: Option<MutationId>,
}

impl Tied {
    /// Reads it off an entry. One that can't be read waits for nothing: it can't be sent either.
    pub(crate) fn of(entry: &Entry) -> Self {
        let places = |row: &dyn Row| -> Result<Vec<Place>> {
            let found = references(entry.schema, row)?;
            Ok(found.into_iter().map(|(schema, key)| (schema.model, key)).collect())
        };
        let read = |row: Option<&dyn Row>| match row.map(places) {
            None => Vec::new(),
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                tracing::warn!(seq = entry.seq, %error, "what an outbox entry refers to can't be read");
                Vec::new()
            }
        };
        let refers = read(entry.row.as_deref());
        let mut referred = read(entry.base.as_deref());
        referred.retain(|place| !refers.contains(place));
        Self {
            creates: matches!(entry.operation, Operation::Insert | Operation::Upsert),
            deletes: entry.operation == Operation::Delete,
            refers,
            referred,
            carries: (!entry.carries.is_empty()).then_some(entry.id),
            carrier: entry.within.as_ref().map(|within| within.carrier),
        }
    }

    /// A row has got another key.
    pub(super) fn rename(&mut self, from: &Place, to: &Place) {
        for place in self.refers.iter_mut().chain(&mut self.referred) {
            if place == from {
                place.clone_from(to);
            }
        }
    }

    fn names(&self) -> impl Iterator<Item = &Place> {
        self.refers.iter().chain(&self.referred)
    }
}

/// The entries of the window that have to do with each other.
#[derive(Debug, Default)]
pub(super) struct Ties {
    /// The entries that create a row.
    creators: HashMap<Place, BTreeSet<u64>>,
    /// The entries that refer to a row, or stop doing so.
    namers: HashMap<Place, BTreeSet<u64>>,
    /// The entries in whose requests others go, and those others. An entry of which the carrier is gone goes by itself.
    carriers: BTreeMap<MutationId, u64>,
    carried: BTreeMap<u64, BTreeSet<u64>>,
    waits: BTreeMap<u64, BTreeSet<u64>>,
    holds: BTreeMap<u64, BTreeSet<u64>>,
}

impl Ties {
    /// Adds an entry: those before it are here already.
    pub(super) fn add(&mut self, seq: u64, place: &Place, tied: &Tied) {
        let before = |index: &HashMap<Place, BTreeSet<u64>>, place: &Place| -> Vec<u64> {
            index.get(place).into_iter().flat_map(|seqs| seqs.range(..seq)).copied().collect()
        };
        let mut waits = BTreeSet::new();
        for other in tied.refers.iter().filter(|other| *other != place) {
            waits.extend(before(&self.creators, other));
        }
        if tied.deletes {
            waits.extend(before(&self.namers, place));
        }
        if let Some(carrier) = tied.carrier.and_then(|carrier| self.carriers.get(&carrier).copied()) {
            waits.insert(carrier);
            self.carried.entry(carrier).or_default().insert(seq);
        }
        if let Some(id) = tied.carries {
            self.carriers.insert(id, seq);
        }
        for earlier in &waits {
            self.holds.entry(*earlier).or_default().insert(seq);
        }
        if !waits.is_empty() {
            self.waits.insert(seq, waits);
        }
        if tied.creates {
            self.creators.entry(place.clone()).or_default().insert(seq);
        }
        for other in tied.names() {
            self.namers.entry(other.clone()).or_default().insert(seq);
        }
    }

    /// Takes over what has become of an entry. What waits for it goes on doing so, and so does it; but it does not wait for
    /// the one in whose request it went, if it goes in that no more.
    pub(super) fn revise(&mut self, seq: u64, place: &Place, tied: &mut Tied, now: &Tied) {
        if now.creates && !tied.creates {
            tied.creates = true;
            self.creators.entry(place.clone()).or_default().insert(seq);
        }
        if now.carries != tied.carries {
            tied.carries.and_then(|former| self.carriers.remove(&former));
            self.carriers.extend(now.carries.map(|id| (id, seq)));
            tied.carries = now.carries;
        }
        let holds = |carried: &BTreeMap<u64, BTreeSet<u64>>, other: u64| {
            carried.get(&other).is_some_and(|seqs| seqs.contains(&seq))
        };
        let former = self.waits(seq).find(|other| holds(&self.carried, *other));
        let carrier = now.carrier.and_then(|id| self.carriers.get(&id).copied()).filter(|other| *other < seq);
        tied.carrier = now.carrier;
        if former == carrier {
            return;
        }
        if let Some(former) = former {
            self.carried.entry(former).or_default().remove(&seq);
            let creates = |place: &Place| self.creators.get(place).is_some_and(|seqs| seqs.contains(&former));
            if !tied.refers.iter().any(creates) {
                self.let_go(seq, former);
            }
        }
        if let Some(carrier) = carrier {
            self.carried.entry(carrier).or_default().insert(seq);
            self.rejoin(carrier, [seq]);
        }
    }

    /// Lets these wait for an entry, as they did before it was taken out to be put in again.
    pub(super) fn rejoin(&mut self, seq: u64, later: impl IntoIterator<Item = u64>) {
        for later in later.into_iter().filter(|later| *later > seq) {
            self.waits.entry(later).or_default().insert(seq);
            self.holds.entry(seq).or_default().insert(later);
        }
    }

    /// Lets these go in the request of an entry, as they did before it was taken out to be put in again.
    pub(super) fn carry(&mut self, seq: u64, carried: Vec<u64>) {
        if !carried.is_empty() {
            self.carried.entry(seq).or_default().extend(carried);
        }
    }

    /// The entry does not wait for that earlier one any more.
    fn let_go(&mut self, seq: u64, earlier: u64) {
        if let Some(held) = self.holds.get_mut(&earlier) {
            held.remove(&seq);
        }
        if let Some(waits) = self.waits.get_mut(&seq) {
            waits.remove(&earlier);
            if waits.is_empty() {
                self.waits.remove(&seq);
            }
        }
    }

    /// Removes an entry, and gives those that waited for it.
    pub(super) fn remove(&mut self, seq: u64, place: &Place, tied: &Tied) -> BTreeSet<u64> {
        fn take(index: &mut HashMap<Place, BTreeSet<u64>>, place: &Place, seq: u64) {
            if let Some(seqs) = index.get_mut(place) {
                seqs.remove(&seq);
                if seqs.is_empty() {
                    index.remove(place);
                }
            }
        }
        if let Some(id) = tied.carries {
            self.carriers.remove(&id);
        }
        self.carried.remove(&seq);
        take(&mut self.creators, place, seq);
        tied.names().for_each(|other| take(&mut self.namers, other, seq));
        for earlier in self.waits.remove(&seq).unwrap_or_default() {
            if let Some(held) = self.holds.get_mut(&earlier) {
                held.remove(&seq);
            }
        }
        let held = self.holds.remove(&seq).unwrap_or_default();
        for later in &held {
            self.let_go(*later, seq);
        }
        held
    }

    /// A row has got another key; gives the entries that name it.
    pub(super) fn rename(&mut self, from: &Place, to: &Place) -> BTreeSet<u64> {
        if let Some(creators) = self.creators.remove(from) {
            self.creators.entry(to.clone()).or_default().extend(creators);
        }
        let Some(namers) = self.namers.remove(from) else { return BTreeSet::new() };
        self.namers.entry(to.clone()).or_default().extend(&namers);
        namers
    }

    /// The entries that an entry waits for.
    pub(super) fn waits(&self, seq: u64) -> impl Iterator<Item = u64> + '_ {
        self.waits.get(&seq).into_iter().flatten().copied()
    }

    /// The entries that go in the request of an entry.
    pub(super) fn carried(&self, seq: u64) -> Vec<u64> {
        self.carried.get(&seq).into_iter().flatten().copied().collect()
    }

    /// The entries that wait for an entry.
    pub(super) fn held(&self, seq: u64) -> impl Iterator<Item = u64> + '_ {
        self.holds.get(&seq).into_iter().flatten().copied()
    }

    /// True if an entry waits for none.
    pub(super) fn is_free(&self, seq: u64) -> bool {
        !self.waits.contains_key(&seq)
    }
}

#[cfg(test)]
mod tests;
