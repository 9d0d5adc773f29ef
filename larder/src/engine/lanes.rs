//! The entries of each row, in order.

use std::collections::{BTreeSet, HashMap};

use super::ties::Place;

/// Nothing walks over the rows: it is the same in each run.
#[derive(Debug, Default)]
pub(super) struct Lanes(HashMap<Place, Lane>);

#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    entries: BTreeSet<u64>,
    /// Those of them that may have been sent, and wait for nothing but their turn. Where the queues of two keys have become
    /// one, others may come before them, which were put on what these say.
    sent: BTreeSet<u64>,
}

impl Lane {
    /// The one that goes next.
    pub(super) fn head(&self) -> Option<u64> {
        self.sent.first().or(self.entries.first()).copied()
    }

    pub(super) fn entries(&self) -> &BTreeSet<u64> {
        &self.entries
    }
}

impl Lanes {
    pub(super) fn get(&self, place: &Place) -> Option<&Lane> {
        self.0.get(place)
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (&Place, &Lane)> {
        self.0.iter()
    }

    pub(super) fn head(&self, place: &Place) -> Option<u64> {
        self.get(place)?.head()
    }

    pub(super) fn first(&self, place: &Place) -> Option<u64> {
        self.get(place)?.entries.first().copied()
    }

    /// The one that comes after `seq`.
    pub(super) fn after(&self, place: &Place, seq: u64) -> Option<u64> {
        self.get(place)?.entries.range(seq.saturating_add(1)..).next().copied()
    }

    /// The one that comes before `seq`.
    pub(super) fn before(&self, place: &Place, seq: u64) -> Option<u64> {
        self.get(place)?.entries.range(..seq).next_back().copied()
    }

    pub(super) fn add(&mut self, place: Place, seqs: impl IntoIterator<Item = u64>) {
        self.0.entry(place).or_default().entries.extend(seqs);
    }

    pub(super) fn remove(&mut self, place: &Place, seq: u64) {
        if let Some(lane) = self.0.get_mut(place) {
            lane.entries.remove(&seq);
            lane.sent.remove(&seq);
            if lane.entries.is_empty() {
                self.0.remove(place);
            }
        }
    }

    /// Takes all entries of a row out.
    pub(super) fn take(&mut self, place: &Place) -> BTreeSet<u64> {
        self.0.remove(place).unwrap_or_default().entries
    }

    /// Says of an entry of the row whether it may have been sent, and waits for nothing but its turn.
    pub(super) fn set_sent(&mut self, place: &Place, seq: u64, sent: bool) {
        let Some(lane) = self.0.get_mut(place) else { return };
        if !sent {
            lane.sent.remove(&seq);
        } else if lane.entries.contains(&seq) {
            lane.sent.insert(seq);
        }
    }
}
