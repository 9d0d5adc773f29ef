//! The entries that the engine looks at, by where they stand: no question costs a walk over all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use larder_core::{Key, ParkReason};

use super::machine::{Counts, Head};
use super::ties::{Place, Ties};

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
    /// Which credentials the request on its way was begun with: see [`Engine::credentials`](super::Engine).
    pub(super) credentials: u64,
    /// The application lets it go again, and did so before the engine knew that it was parked.
    pub(super) revived: bool,
}

/// The entries in order, and the sets of those that have something in common.
#[derive(Debug, Default)]
pub(super) struct Window {
    entries: BTreeMap<u64, Tracked>,
    /// The entries of each row, in order.
    lanes: BTreeMap<Place, BTreeSet<u64>>,
    ties: Ties,
    /// Entries that wait for a decision, or behind one that does: they can't go, so they take no room.
    stuck: BTreeSet<u64>,
    /// Free, ready, and not marked; their repeat does no harm.
    unmarked: BTreeSet<u64>,
    /// Free, ready, and not marked; to be marked one by one.
    unmarked_once: BTreeSet<u64>,
    /// Free, ready, and marked.
    sendable: BTreeSet<u64>,
    waiting: BTreeSet<(Duration, u64)>,
    held: BTreeSet<u64>,
    busy: BTreeSet<u64>,
    parked: BTreeSet<u64>,
    conflicts: usize,
    /// The keys that the remote gave in place of temporary ones: what was read before, has the former.
    given: BTreeMap<Place, Key>,
}

fn place(head: &Head) -> Place {
    (head.model, head.key.clone())
}

impl Tracked {
    /// True if a repeat may do harm: it is marked only when it goes at once.
    fn marks_alone(&self) -> bool {
        self.head.idempotency.is_marked_alone()
    }
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
        self.entries.len() - self.stuck.len()
    }

    /// The entry that comes after `seq` in its lane, as far as it is loaded.
    pub(super) fn follower(&self, seq: u64) -> Option<u64> {
        let lane = self.lanes.get(&place(&self.entries.get(&seq)?.head))?;
        lane.range(seq.saturating_add(1)..).next().copied()
    }

    /// The entries that go in the request of an entry, as far as they are loaded.
    pub(super) fn carried(&self, seq: u64) -> Vec<u64> {
        self.ties.carried(seq)
    }

    pub(super) fn busy(&self) -> &BTreeSet<u64> {
        &self.busy
    }

    pub(super) fn unmarked(&self) -> &BTreeSet<u64> {
        &self.unmarked
    }

    pub(super) fn unmarked_once(&self) -> &BTreeSet<u64> {
        &self.unmarked_once
    }

    pub(super) fn sendable(&self) -> &BTreeSet<u64> {
        &self.sendable
    }

    /// True if an entry waits for nothing but its turn.
    pub(super) fn has_ready(&self) -> bool {
        !self.unmarked.is_empty() || !self.unmarked_once.is_empty() || !self.sendable.is_empty()
    }

    /// The first moment at which a waiting entry is ready again.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.waiting.first().map(|(until, _)| *until)
    }

    pub(super) fn counts(&self) -> Counts {
        let (in_flight, parked) = (self.busy.len(), self.parked.len());
        Counts {
            waiting: self.entries.len() - in_flight - parked,
            in_flight,
            parked,
            conflicts: self.conflicts,
        }
    }

    pub(super) fn add(&mut self, mut head: Head) {
        let seq = head.seq;
        if let Some(given) = self.given.get(&place(&head)) {
            head.key = given.clone();
        }
        if self.entries.contains_key(&seq) {
            return;
        }
        let stage = match head.parked {
            _ if head.foreign => Stage::Foreign,
            Some(_) => Stage::Parked,
            None => Stage::Ready,
        };
        let place = place(&head);
        let first = self.lanes.get(&place).and_then(|lane| lane.first().copied());
        self.ties.add(seq, &place, &head.tied);
        let maybe_sent = head.marked.is_some();
        let tracked = Tracked {
            head,
            stage,
            failures: 0,
            maybe_sent,
            reconciled: false,
            disputed: false,
            credentials: 0,
            revived: false,
        };
        self.entries.insert(seq, tracked);
        self.lanes.entry(place).or_default().insert(seq);
        self.enter(seq);
        // Entries come in order; should one not, it takes its place at the head of the lane.
        if let Some(first) = first.filter(|first| *first > seq) {
            self.reenter(first);
        }
        self.weigh(seq);
    }

    /// Lets an entry go whose row the remote has, and puts the entries behind it under the key that it has given.
    pub(super) fn exchange(&mut self, seq: u64, key: Key) {
        let Some(tracked) = self.entries.get(&seq) else {
            return;
        };
        let from = place(&tracked.head);
        let to = (from.0, key);
        self.forget(seq);
        let moved = self.lanes.remove(&from).unwrap_or_default();
        let first = self.lanes.get(&to).and_then(|lane| lane.first().copied());
        for seq in &moved {
            self.leave(*seq);
            if let Some(tracked) = self.entries.get_mut(seq) {
                tracked.head.key = to.1.clone();
                self.ties.rename(*seq, &from, &to);
            }
        }
        self.lanes.entry(to.clone()).or_default().extend(&moved);
        for seq in moved.into_iter().chain(first) {
            self.reenter(seq);
            self.weigh(seq);
        }
        if self.lanes.get(&to).is_some_and(BTreeSet::is_empty) {
            self.lanes.remove(&to);
        }
        self.given.insert(from, to.1);
    }

    pub(super) fn forget(&mut self, seq: u64) {
        self.leave(seq);
        let Some(tracked) = self.entries.remove(&seq) else {
            return;
        };
        self.stuck.remove(&seq);
        let place = place(&tracked.head);
        let mut freed = self.ties.remove(seq, &place, &tracked.head.tied);
        if let Some(lane) = self.lanes.get_mut(&place) {
            lane.remove(&seq);
            freed.extend(lane.range(seq..).next());
            if lane.is_empty() {
                self.lanes.remove(&place);
            }
        }
        for next in freed {
            self.reenter(next);
            self.weigh(next);
        }
    }

    /// Lets an entry take its place again because what it waits for has changed; whatever it was counted as, it counts
    /// once.
    fn reenter(&mut self, seq: u64) {
        self.leave(seq);
        self.enter(seq);
    }

    /// Finds out whether an entry waits for a decision, or behind an entry that does; and if that has changed, those
    /// that wait for it.
    fn weigh(&mut self, seq: u64) {
        let mut open = vec![seq];
        while let Some(seq) = open.pop() {
            let Some(tracked) = self.entries.get(&seq) else { continue };
            let lane = self.lanes.get(&place(&tracked.head));
            let before = lane.and_then(|lane| lane.range(..seq).next_back().copied());
            let stuck = matches!(tracked.stage, Stage::Parked | Stage::Foreign)
                || before.into_iter().chain(self.ties.waits(seq)).any(|other| self.stuck.contains(&other));
            let changed = if stuck { self.stuck.insert(seq) } else { self.stuck.remove(&seq) };
            if changed {
                open.extend(self.follower(seq));
                open.extend(self.ties.held(seq));
            }
        }
    }

    pub(super) fn set(&mut self, seq: u64, stage: Stage) {
        self.update(seq, |tracked| tracked.stage = stage);
    }

    /// Changes an entry in a way that may change where it stands.
    pub(super) fn update(&mut self, seq: u64, change: impl FnOnce(&mut Tracked)) {
        self.leave(seq);
        let Some(tracked) = self.entries.get_mut(&seq) else {
            return;
        };
        let stood = matches!(tracked.stage, Stage::Parked | Stage::Foreign);
        change(tracked);
        let stands = matches!(tracked.stage, Stage::Parked | Stage::Foreign);
        self.enter(seq);
        if stood != stands {
            self.weigh(seq);
        }
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

    /// True for the first entry of its row, if it waits for none of another.
    fn is_free(&self, tracked: &Tracked) -> bool {
        let lane = self.lanes.get(&place(&tracked.head));
        lane.and_then(BTreeSet::first) == Some(&tracked.head.seq) && self.ties.is_free(tracked.head.seq)
    }

    fn enter(&mut self, seq: u64) {
        let Some(tracked) = self.entries.get(&seq) else {
            return;
        };
        match tracked.stage {
            Stage::Ready if !self.is_free(tracked) => {}
            Stage::Ready if tracked.head.marked.is_some() => drop(self.sendable.insert(seq)),
            Stage::Ready if tracked.marks_alone() => drop(self.unmarked_once.insert(seq)),
            Stage::Ready => drop(self.unmarked.insert(seq)),
            Stage::Waiting { until } => drop(self.waiting.insert((until, seq))),
            Stage::Held => drop(self.held.insert(seq)),
            Stage::Parked => {
                self.conflicts += usize::from(tracked.head.parked == Some(ParkReason::Conflict));
                self.parked.insert(seq);
            }
            stage if stage.is_busy() => drop(self.busy.insert(seq)),
            _ => {}
        }
    }

    fn leave(&mut self, seq: u64) {
        let Some(tracked) = self.entries.get(&seq) else {
            return;
        };
        self.unmarked.remove(&seq);
        self.unmarked_once.remove(&seq);
        self.sendable.remove(&seq);
        match tracked.stage {
            Stage::Waiting { until } => drop(self.waiting.remove(&(until, seq))),
            Stage::Held => drop(self.held.remove(&seq)),
            Stage::Parked if self.parked.remove(&seq) => {
                self.conflicts -= usize::from(tracked.head.parked == Some(ParkReason::Conflict));
            }
            stage if stage.is_busy() => drop(self.busy.remove(&seq)),
            _ => {}
        }
    }
}
