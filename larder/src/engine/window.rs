//! The entries that the engine looks at, by where they stand: no question costs a walk over all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use larder_core::{Key, ParkReason};

use super::machine::{Counts, Head};

/// Where an entry of the window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It may go as soon as its lane is free.
    Ready,
    /// Not before this moment.
    Waiting {
        until: Duration,
    },
    Marking,
    Sending,
    Probing,
    /// The answer is known; the bookkeeping is not durable yet.
    Settling,
    /// Waits for credentials.
    Held,
    Parked,
    /// Belongs to another account.
    Foreign,
}

impl Stage {
    fn is_busy(self) -> bool {
        matches!(self, Self::Marking | Self::Sending | Self::Probing | Self::Settling)
    }
}

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) head: Head,
    /// Changed by [`Window::set`] alone.
    pub(super) stage: Stage,
    pub(super) failures: u32,
    /// An attempt may have arrived.
    pub(super) maybe_sent: bool,
    /// The remote was asked about that, and does not have it.
    pub(super) reconciled: bool,
    /// The probe that is under way was caused by a conflict.
    pub(super) disputed: bool,
}

/// The entries in order, and the sets of those that have something in common.
#[derive(Debug, Default)]
pub(super) struct Window {
    entries: BTreeMap<u64, Tracked>,
    lanes: BTreeMap<(&'static str, Key), BTreeSet<u64>>,
    /// First of their lane, ready, and not marked.
    unmarked: BTreeSet<u64>,
    /// First of their lane, ready, and marked.
    sendable: BTreeSet<u64>,
    waiting: BTreeSet<(Duration, u64)>,
    held: BTreeSet<u64>,
    busy: BTreeSet<u64>,
    parked: BTreeSet<u64>,
    conflicts: usize,
    foreign: usize,
}

impl Window {
    pub(super) fn get(&self, seq: u64) -> Option<&Tracked> {
        self.entries.get(&seq)
    }

    pub(super) fn get_mut(&mut self, seq: u64) -> Option<&mut Tracked> {
        self.entries.get_mut(&seq)
    }

    /// Entries that may be sent at some time without a decision of anybody.
    pub(super) fn live(&self) -> usize {
        self.entries.len() - self.parked.len() - self.foreign
    }

    pub(super) fn busy(&self) -> &BTreeSet<u64> {
        &self.busy
    }

    pub(super) fn unmarked(&self) -> &BTreeSet<u64> {
        &self.unmarked
    }

    pub(super) fn sendable(&self) -> &BTreeSet<u64> {
        &self.sendable
    }

    /// True if an entry waits for nothing but its turn.
    pub(super) fn has_ready(&self) -> bool {
        !self.unmarked.is_empty() || !self.sendable.is_empty()
    }

    /// The first moment at which a waiting entry is ready again.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.waiting.first().map(|(until, _)| *until)
    }

    pub(super) fn counts(&self) -> Counts {
        let (in_flight, parked) = (self.busy.len(), self.parked.len());
        Counts { waiting: self.entries.len() - in_flight - parked, in_flight, parked, conflicts: self.conflicts }
    }

    pub(super) fn add(&mut self, head: Head) {
        let seq = head.seq;
        if self.entries.contains_key(&seq) {
            return;
        }
        let stage = match head.parked {
            _ if head.foreign => Stage::Foreign,
            Some(_) => Stage::Parked,
            None => Stage::Ready,
        };
        let lane = (head.model, head.key.clone());
        let first = self.lanes.get(&lane).and_then(|lane| lane.first().copied());
        let maybe_sent = head.marked.is_some();
        let tracked = Tracked { head, stage, failures: 0, maybe_sent, reconciled: false, disputed: false };
        self.entries.insert(seq, tracked);
        self.lanes.entry(lane).or_default().insert(seq);
        self.enter(seq);
        // Entries come in order; should one not, it takes its place at the head of the lane.
        if let Some(first) = first.filter(|first| *first > seq) {
            self.leave(first);
            self.enter(first);
        }
    }

    pub(super) fn forget(&mut self, seq: u64) {
        self.leave(seq);
        let Some(tracked) = self.entries.remove(&seq) else { return };
        let lane = (tracked.head.model, tracked.head.key);
        let Some(seqs) = self.lanes.get_mut(&lane) else { return };
        seqs.remove(&seq);
        match seqs.first().copied() {
            Some(next) => self.enter(next),
            None => drop(self.lanes.remove(&lane)),
        }
    }

    pub(super) fn set(&mut self, seq: u64, stage: Stage) {
        self.update(seq, |tracked| tracked.stage = stage);
    }

    /// Changes an entry in a way that may change where it stands.
    pub(super) fn update(&mut self, seq: u64, change: impl FnOnce(&mut Tracked)) {
        self.leave(seq);
        if let Some(tracked) = self.entries.get_mut(&seq) {
            change(tracked);
        }
        self.enter(seq);
    }

    /// Makes every entry ready whose moment has come.
    pub(super) fn wake(&mut self, mono: Duration) {
        while let Some((until, seq)) = self.waiting.first().copied().filter(|(until, _)| *until <= mono) {
            self.waiting.remove(&(until, seq));
            self.set(seq, Stage::Ready);
        }
    }

    /// Makes every waiting entry ready.
    pub(super) fn wake_all(&mut self) {
        self.wake(Duration::MAX);
    }

    /// Makes every entry ready that waits for credentials.
    pub(super) fn release_held(&mut self) {
        for seq in std::mem::take(&mut self.held) {
            self.set(seq, Stage::Ready);
        }
    }

    fn is_first(&self, tracked: &Tracked) -> bool {
        let lane = self.lanes.get(&(tracked.head.model, tracked.head.key.clone()));
        lane.and_then(BTreeSet::first) == Some(&tracked.head.seq)
    }

    fn enter(&mut self, seq: u64) {
        let Some(tracked) = self.entries.get(&seq) else { return };
        match tracked.stage {
            Stage::Ready if !self.is_first(tracked) => {}
            Stage::Ready if tracked.head.marked.is_some() => drop(self.sendable.insert(seq)),
            Stage::Ready => drop(self.unmarked.insert(seq)),
            Stage::Waiting { until } => drop(self.waiting.insert((until, seq))),
            Stage::Held => drop(self.held.insert(seq)),
            Stage::Parked => {
                self.conflicts += usize::from(tracked.head.parked == Some(ParkReason::Conflict));
                self.parked.insert(seq);
            }
            Stage::Foreign => self.foreign += 1,
            stage if stage.is_busy() => drop(self.busy.insert(seq)),
            _ => {}
        }
    }

    fn leave(&mut self, seq: u64) {
        let Some(tracked) = self.entries.get(&seq) else { return };
        self.unmarked.remove(&seq);
        self.sendable.remove(&seq);
        match tracked.stage {
            Stage::Waiting { until } => drop(self.waiting.remove(&(until, seq))),
            Stage::Held => drop(self.held.remove(&seq)),
            Stage::Parked => {
                if self.parked.remove(&seq) {
                    self.conflicts -= usize::from(tracked.head.parked == Some(ParkReason::Conflict));
                }
            }
            Stage::Foreign => self.foreign -= 1,
            stage if stage.is_busy() => drop(self.busy.remove(&seq)),
            _ => {}
        }
    }
}
