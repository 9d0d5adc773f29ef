//! Entries that are stored and that the schedule has not read yet: they are pending all the same, so whoever has written
//! finds his write counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use larder_core::Committed;

/// How many are counted; of a longer outbox, the status tells only of what is looked at.
const MOST: usize = 1_024;

/// Entries that the schedule has not read yet. Locked while a status is told or asked for: an entry is counted here or
/// there, and not twice.
#[derive(Debug, Default)]
pub(crate) struct Fresh(Mutex<Unread>);

#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// The revisions that have stored them, by sequence number.
    entries: BTreeMap<u64, u64>,
    /// The state of the store from which the whole outbox was read last.
    read: u64,
    /// Up to which entry it was read, where there was no end.
    upto: u64,
}

impl Fresh {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Unread> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unread {
    /// A write has stored entries. The schedule may have been faster.
    pub(crate) fn add(&mut self, committed: &Committed) {
        if committed.revision <= self.read {
            return;
        }
        let unread = committed.seqs.iter().filter(|seq| **seq > self.upto);
        self.entries.extend(unread.map(|seq| (*seq, committed.revision)));
        while self.entries.len() > MOST {
            self.entries.pop_first();
        }
    }

    /// An entry is gone before it was read.
    pub(crate) fn remove(&mut self, seq: u64) {
        self.entries.remove(&seq);
    }

    /// The outbox was read up to its end, as it was at that revision.
    pub(crate) fn is_read(&mut self, revision: u64) {
        self.read = revision;
        // What is removed with everything else may give its numbers to others.
        self.upto = 0;
        self.entries.retain(|_, stored| *stored > revision);
    }

    /// It was read up to this entry, and goes on.
    pub(crate) fn is_read_upto(&mut self, seq: u64) {
        self.upto = seq;
        self.entries = self.entries.split_off(&seq.saturating_add(1));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(revision: u64, seqs: &[u64]) -> Committed {
        Committed { revision, seqs: seqs.to_vec() }
    }

    // Rules: o-status
    #[test]
    fn an_entry_counts_until_it_is_read_whoever_is_faster() {
        let mut unread = Unread::default();
        unread.add(&stored(3, &[1, 2]));
        unread.add(&stored(4, &[3]));
        assert_eq!(unread.len(), 3);
        unread.remove(2);
        assert_eq!(unread.len(), 2, "it is gone");
        unread.is_read(3);
        assert_eq!(unread.len(), 1, "what was stored since is not read");
        unread.is_read(5);
        unread.add(&stored(5, &[4]));
        assert_eq!(unread.len(), 0, "it was read before the writer said so");
    }

    // Rules: o-status
    #[test]
    fn of_an_outbox_without_end_so_many_are_counted() {
        let mut unread = Unread::default();
        unread.add(&stored(1, &(1..=5_000).collect::<Vec<_>>()));
        assert_eq!(unread.len(), MOST);
        unread.is_read_upto(4_990);
        unread.add(&stored(2, &[4_980, 5_001]));
        assert_eq!(unread.len(), 11);
        // The numbers begin anew when everything is removed.
        unread.is_read(9);
        unread.add(&stored(10, &[1]));
        assert_eq!(unread.len(), 1);
    }
}
