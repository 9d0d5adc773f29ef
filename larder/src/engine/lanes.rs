//! The entries of each row, in order.

use std::collections::{BTreeSet, HashMap};

use super::ties::Place;

/// Nothing walks over the rows: it is the same in each run.
#[derive(Debug, Default)]
pub(super) struct Lanes(HashMap<Place, Lane>);

#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    entries: BTreeSet<u64>,
    sent: BTreeSet<u64>,
    stops: BTreeSet<u64>,
}

/// How an entry stands to the others of its row, of which there may be earlier ones that were never sent where the queues of
/// two keys have become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It was never sent. What may have been sent goes before it.
    Unsent,
    /// It may have been sent: what comes before it and was never sent is put on what comes of it.
    Sent,
    /// It has its turn where it stands, and so has what comes after it.
    Stops,
}

impl Lane {
    /// The one that goes next.
    pub(super) fn head(&self) -> Option<u64> {
        let stop = self.stops.first();
        let sent = self.sent.first().filter(|sent| stop.is_none_or(|stop| *sent < stop));
        sent.or(self.entries.first()).copied()
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
            lane.stops.remove(&seq);
            if lane.entries.is_empty() {
                self.0.remove(place);
            }
        }
    }

    /// Takes all entries of a row out.
    pub(super) fn take(&mut self, place: &Place) -> BTreeSet<u64> {
        self.0.remove(place).unwrap_or_default().entries
    }

    /// Says how an entry of the row stands.
    pub(super) fn set(&mut self, place: &Place, seq: u64, stand: Stand) {
        let Some(lane) = self.0.get_mut(place).filter(|lane| lane.entries.contains(&seq)) else { return };
        lane.sent.remove(&seq);
        lane.stops.remove(&seq);
        match stand {
            Stand::Unsent => {}
            Stand::Sent => drop(lane.sent.insert(seq)),
            Stand::Stops => drop(lane.stops.insert(seq)),
        }
    }
}

#[cfg(test)]
mod tests {
    use larder_core::Key;
    use rstest::rstest;

    use super::*;

    // Rules: o-lanes, m-key-server-refs
    #[rstest]
    #[case::in_order([Stand::Unsent, Stand::Unsent, Stand::Unsent], 1)]
    #[case::the_first_that_was_sent([Stand::Unsent, Stand::Sent, Stand::Sent], 2)]
    #[case::but_not_past_one_that_stops([Stand::Unsent, Stand::Stops, Stand::Sent], 1)]
    #[case::which_stops_what_comes_after_it_alone([Stand::Unsent, Stand::Sent, Stand::Stops], 2)]
    #[case::and_has_its_turn([Stand::Stops, Stand::Unsent, Stand::Sent], 1)]
    fn what_was_sent_goes_before_what_never_was(#[case] stands: [Stand; 3], #[case] head: u64) {
        let (mut lanes, place) = (Lanes::default(), ("Team", Key::from(17)));
        lanes.add(place.clone(), 1..=3);
        for (seq, stand) in (1..).zip(stands) {
            lanes.set(&place, seq, stand);
        }
        assert_eq!(lanes.head(&place), Some(head));
    }
}
