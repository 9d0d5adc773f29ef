//! The entries that the engine looks at, by where they stand: no question costs a walk over all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use larder_core::{Key, ParkReason, Timestamp};

use super::hosts::{Host, Queue};
use super::lanes::{Lanes, Stand};
use super::terms::{Counts, Head, PermanentFailure, Settings};
use super::ties::{Place, Tied, Ties};
use super::tracked::{Stage, Tracked};

/// The entries in order, and the sets of those that have something in common.
#[derive(Debug, Default)]
pub(super) struct Window {
    entries: BTreeMap<u64, Tracked>,
    /// The entries of each row, in order.
    lanes: Lanes,
    ties: Ties,
    /// Those that may have created rows to which the remote gives their keys, by model.
    created: BTreeMap<&'static str, BTreeSet<u64>>,
    /// The account in whose name entries are sent.
    account: Option<Arc<str>>,
    /// All entries go in one order.
    serial: bool,
    /// All but those that wait for a decision, or behind one that does: these can't go, and take no room.
    live: BTreeSet<u64>,
    queues: BTreeMap<Host, Queue>,
    held: BTreeSet<u64>,
    busy: BTreeSet<u64>,
    /// Those of the busy that have others before them in their rows, because two queues have become one: none of their rows
    /// goes meanwhile.
    beside: BTreeSet<u64>,
    /// Those of the busy that are being marked.
    marking: BTreeSet<u64>,
    /// Those of the busy that the remote has, and that keep none of other rows.
    acknowledged: BTreeSet<u64>,
    parked: BTreeSet<u64>,
    /// Those of the parked for whose sake nothing is sent.
    halting: BTreeSet<u64>,
    conflicts: usize,
    /// Entries that are about to be given up, loaded or not.
    withdrawn: BTreeSet<u64>,
    meanwhile: Meanwhile,
}

/// What happened while a load was under way, which may have read what was before.
#[derive(Debug, Default)]
struct Meanwhile {
    /// The keys that the remote gave in place of temporary ones.
    given: BTreeMap<Place, Key>,
    gone: BTreeSet<u64>,
    /// Entries that somebody has decided about: one that is read as parked may be so no more.
    decided: BTreeSet<u64>,
}

fn place(head: &Head) -> Place {
    (head.model, head.lane.as_ref().unwrap_or(&head.key).clone())
}

/// True if it is a dead letter that stops nothing: it is in no lane.
pub(super) fn is_aside(parked: Option<ParkReason>) -> bool {
    matches!(parked, Some(ParkReason::Reverted | ParkReason::Refused))
}

impl Window {
    pub(super) fn of(settings: &Settings) -> Self {
        Self { account: settings.account.clone(), serial: settings.serial, ..Self::default() }
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Tracked> {
        self.entries.get(&seq)
    }

    pub(super) fn get_mut(&mut self, seq: u64) -> Option<&mut Tracked> {
        self.entries.get_mut(&seq)
    }

    /// Entries that may be sent at some time without a decision of anybody.
    pub(super) fn live(&self) -> usize {
        self.live.len()
    }

    /// The first of them that the remote is not known to have.
    pub(super) fn first_live(&self) -> Option<u64> {
        self.live.difference(&self.acknowledged).next().copied()
    }

    /// True if a parked entry stops everything.
    pub(super) fn halted(&self) -> bool {
        !self.halting.is_empty()
    }

    /// The entry that comes after `seq` in its lane, as far as it is loaded.
    pub(super) fn follower(&self, seq: u64) -> Option<u64> {
        self.lanes.after(&place(&self.entries.get(&seq)?.head), seq)
    }

    /// The entries that go in the request of an entry, as far as they are loaded.
    pub(super) fn carried(&self, seq: u64) -> Vec<u64> {
        self.ties.carried(seq)
    }

    pub(super) fn busy(&self) -> &BTreeSet<u64> {
        &self.busy
    }

    pub(super) fn marking(&self) -> &BTreeSet<u64> {
        &self.marking
    }

    /// How many entries the remote has whose removal is not durable, and that keep none of other rows.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// How many requests are under way, or answered in a way that has to be durable before the next one.
    pub(super) fn on_its_way(&self) -> usize {
        self.busy.len() - self.marking.len() - self.acknowledged.len()
    }

    /// What may go, by host; a host of which there is nothing any more may be among them.
    pub(super) fn queues(&self) -> impl Iterator<Item = (&Host, &Queue)> {
        self.queues.iter()
    }

    pub(super) fn counts(&self) -> Counts {
        let (in_flight, parked) = (self.busy.len(), self.parked.len());
        Counts {
            waiting: self.entries.len() - in_flight - parked,
            in_flight,
            parked,
            blocked: self.entries.len() - self.live.len() - parked,
            conflicts: self.conflicts,
        }
    }

    pub(super) fn add(&mut self, mut head: Head) {
        let seq = head.seq;
        if self.entries.contains_key(&seq) || self.meanwhile.gone.contains(&seq) {
            return;
        }
        for (from, given) in &self.meanwhile.given {
            let to = (from.0, given.clone());
            head.tied.rename(from, &to);
            if place(&head) == *from {
                head.key = to.1;
            }
        }
        let stage = match head.parked {
            _ if self.withdrawn.contains(&seq) => Stage::Withdrawn,
            Some(_) => Stage::Parked,
            None => Stage::Ready,
        };
        let aside = is_aside(head.parked);
        if aside {
            // What came of it is all that is left, and nothing waits for that.
            head.tied = Tied::default();
        }
        let place = place(&head);
        let former = self.lanes.head(&place);
        self.ties.add(seq, &place, &head.tied);
        let maybe_sent = head.marked.is_some();
        let tracked = Tracked {
            foreign: head.account != self.account,
            head,
            stage,
            failures: 0,
            struck: None,
            maybe_sent,
            reconciled: false,
            disputed: false,
            conflicts: 0,
            credentials: 0,
            revived: false,
            overtaken: false,
        };
        self.entries.insert(seq, tracked);
        if !aside {
            self.lanes.add(place.clone(), [seq]);
        }
        self.enter(seq);
        self.refresh(&place, former);
        self.weigh(seq);
    }

    /// Lets an entry go whose row the remote has, and puts the entries of the rows that got other keys by it under those;
    /// what names those rows, learns them. What a load brings that is under way may be of before.
    pub(super) fn exchange(&mut self, seq: u64, renames: Vec<(Place, Key)>, loading: bool) {
        self.forget(seq);
        for (from, to) in renames {
            let to = (from.0, to);
            for seq in self.ties.rename(&from, &to) {
                if let Some(tracked) = self.entries.get_mut(&seq) {
                    tracked.head.tied.rename(&from, &to);
                }
            }
            self.move_lane(&from, &to);
            if loading {
                self.meanwhile.given.insert(from, to.1);
            }
        }
    }

    fn move_lane(&mut self, from: &Place, to: &Place) {
        let moved = self.lanes.take(from);
        let former = self.lanes.head(to);
        for seq in &moved {
            if let Some(tracked) = self.entries.get_mut(seq) {
                tracked.head.key = to.1.clone();
            }
        }
        if !moved.is_empty() {
            self.lanes.add(to.clone(), moved.iter().copied());
        }
        for seq in moved.into_iter().chain(former) {
            self.reenter(seq);
            self.weigh(seq);
        }
        self.refresh(to, former);
    }

    /// Takes in entries that are other than they were known, and forgets those that are gone. What a load brings that is
    /// under way may be of before.
    pub(super) fn revise(&mut self, revised: Vec<Head>, gone: Vec<u64>, loading: bool) {
        gone.into_iter().for_each(|seq| self.end(seq, loading));
        for mut head in revised {
            // One that is marked is what it was then, and may have arrived: what is heard now is of before.
            let seq = head.seq;
            let open = |tracked: &&Tracked| {
                tracked.head.marked.is_none() && (!tracked.stage.is_busy() || tracked.stage == Stage::Marking)
            };
            let known = self.entries.get(&seq).filter(open).map(|tracked| (tracked.stage, tracked.revived));
            let Some((stage, revived)) = known else { continue };
            // What was decided since is still to be heard of, or this is of before.
            let unheard = revived && head.parked.take().is_none();
            // Whatever waits for it goes on doing so.
            let held: Vec<u64> = self.ties.held(seq).collect();
            let carried = self.ties.carried(seq);
            self.forget(seq);
            if stage == Stage::Withdrawn {
                self.withdrawn.insert(seq);
            }
            self.add(head);
            if stage == Stage::Marking {
                self.update(seq, |tracked| (tracked.stage, tracked.overtaken) = (stage, true));
            }
            if let Some(tracked) = self.entries.get_mut(&seq) {
                tracked.revived = unheard;
            }
            self.ties.rejoin(seq, held.iter().copied());
            self.ties.carry(seq, carried);
            for later in held {
                self.reenter(later);
                self.weigh(later);
            }
        }
    }

    /// An entry's mark has come to its end: it is durable since that moment, or not. Of one that was revised meanwhile
    /// nothing is known: it is marked once more, as what it is now. `false` if it is not being marked: what was begun before
    /// a wipe says nothing of what was loaded since.
    pub(super) fn marked(&mut self, seq: u64, at: Option<Timestamp>) -> bool {
        if !self.marking.contains(&seq) {
            return false;
        }
        self.update(seq, |tracked| {
            tracked.stage = Stage::Ready;
            if !std::mem::take(&mut tracked.overtaken) {
                tracked.head.marked = at;
            }
        });
        true
    }

    /// Forgets an entry for good.
    pub(super) fn end(&mut self, seq: u64, loading: bool) {
        self.forget(seq);
        if loading {
            self.meanwhile.gone.insert(seq);
        }
    }

    /// Somebody has decided about an entry, which may not be known here yet.
    pub(super) fn decide(&mut self, seq: u64, loading: bool) {
        if loading {
            self.meanwhile.decided.insert(seq);
        }
    }

    /// True if what was loaded stands against what was decided while it was read: a parked entry would wait for ever. (One
    /// that has been parked since is looked at again before it goes.)
    pub(super) fn is_overtaken(&self, heads: &[Head]) -> bool {
        let decided = |head: &Head| head.parked.is_some() && self.meanwhile.decided.contains(&head.seq);
        heads.iter().any(|head| decided(head) && !self.entries.contains_key(&head.seq))
    }

    /// What was loaded has been taken in.
    pub(super) fn loaded(&mut self) {
        self.meanwhile = Meanwhile::default();
    }

    /// Takes over what has become of an entry that was put on what the remote has now. One on its way was marked after
    /// that, and goes on.
    pub(super) fn replace(&mut self, head: &Head) {
        let seq = head.seq;
        let Some(tracked) = self.entries.get_mut(&seq) else {
            return;
        };
        let place = place(&tracked.head);
        self.ties.revise(seq, &place, &mut tracked.head.tied, &head.tied);
        self.weigh(seq);
        self.update(seq, |tracked| {
            let revived = tracked.revived;
            // What comes of its answer is of before as well, and is still to be heard of.
            tracked.revived &= tracked.stage == Stage::Settling || head.parked.is_none();
            let parked = head.parked.filter(|_| !revived);
            tracked.head.idempotency = head.idempotency;
            tracked.head.gets_key = head.gets_key;
            tracked.head.parked = parked;
            if !tracked.stage.is_busy() {
                tracked.head.marked = head.marked;
                tracked.maybe_sent = head.marked.is_some();
                tracked.head.id = head.id;
                tracked.stage = match (tracked.stage, parked) {
                    (Stage::Withdrawn, _) => Stage::Withdrawn,
                    (_, Some(_)) => Stage::Parked,
                    (Stage::Parked, None) => Stage::Ready,
                    (stage, None) => stage,
                };
            }
        });
    }

    pub(super) fn forget(&mut self, seq: u64) {
        self.leave(seq);
        self.withdrawn.remove(&seq);
        let Some(tracked) = self.entries.remove(&seq) else {
            return;
        };
        self.live.remove(&seq);
        let place = place(&tracked.head);
        let mut freed = self.ties.remove(seq, &place, &tracked.head.tied);
        self.lanes.remove(&place, seq);
        freed.extend(self.lanes.after(&place, seq));
        freed.extend(self.lanes.first(&place).into_iter().chain(self.lanes.head(&place)));
        for next in freed {
            self.reenter(next);
            self.weigh(next);
        }
    }

    /// Lets an entry take its place again because what it waits for has changed; whatever it was counted as, it counts
    /// once.
    fn reenter(&mut self, seq: u64) {
        let Some(place) = self.entries.get(&seq).map(|tracked| place(&tracked.head)) else { return };
        let former = self.lanes.head(&place);
        self.leave(seq);
        self.enter(seq);
        if former != self.lanes.head(&place) {
            self.refresh(&place, former);
        }
    }

    /// Lets those of a row take their places again whose turn may have come or gone: the `former` one that went next, and, last
    /// of all, the one that goes next now.
    fn refresh(&mut self, place: &Place, former: Option<u64>) {
        let (first, head) = (self.lanes.first(place), self.lanes.head(place));
        let others = [former, first].into_iter().filter(|seq| *seq != head);
        let all = others.chain([head]).flatten();
        for seq in all.clone() {
            self.leave(seq);
            self.enter(seq);
        }
        all.for_each(|seq| self.weigh(seq));
    }

    /// Finds out whether an entry waits for a decision, or behind an entry that does; and if that has changed, those
    /// that wait for it.
    fn weigh(&mut self, of: u64) {
        let mut open = vec![of];
        while let Some(seq) = open.pop() {
            let Some(tracked) = self.entries.get(&seq) else { continue };
            let place = place(&tracked.head);
            let before = self.lanes.before(&place, seq).filter(|_| self.lanes.head(&place) != Some(seq));
            let stuck = tracked.is_stopped()
                || before.into_iter().chain(self.ties.waits(seq)).any(|other| !self.live.contains(&other));
            let changed = if stuck { self.live.remove(&seq) } else { self.live.insert(seq) };
            if changed || seq == of {
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
        let beside = self.beside.contains(&seq);
        let Some(place) = self.entries.get(&seq).map(|tracked| place(&tracked.head)) else { return };
        let former = self.lanes.head(&place);
        self.leave(seq);
        let Some(tracked) = self.entries.get_mut(&seq) else {
            return;
        };
        let stood = (tracked.is_stopped(), tracked.head.marked.is_some());
        change(tracked);
        let stands = (tracked.is_stopped(), tracked.head.marked.is_some());
        self.enter(seq);
        if former != self.lanes.head(&place) || beside != self.beside.contains(&seq) {
            self.refresh(&place, former);
        }
        if stood != stands {
            self.weigh(seq);
        }
    }

    /// Makes every entry ready whose moment has come.
    pub(super) fn wake(&mut self, mono: Duration) {
        let awake = |queue: &Queue| {
            queue
                .waiting
                .iter()
                .take_while(|(until, _)| *until <= mono)
                .map(|(_, seq)| *seq)
                .collect::<Vec<_>>()
        };
        for seq in self.queues.values().flat_map(awake).collect::<Vec<_>>() {
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

    /// Takes an entry out of the schedule until it is given up or [restored](Self::restore); `false` if it is on its way.
    pub(super) fn withdraw(&mut self, seq: u64) -> bool {
        if self.entries.get(&seq).is_some_and(|tracked| tracked.stage.is_busy()) {
            return false;
        }
        self.withdrawn.insert(seq);
        self.set(seq, Stage::Withdrawn);
        true
    }

    /// An entry was not given up after all.
    pub(super) fn restore(&mut self, seq: u64) {
        if self.withdrawn.remove(&seq) {
            self.update(seq, |tracked| {
                let parked = tracked.head.parked.is_some();
                tracked.stage = if parked { Stage::Parked } else { Stage::Ready };
            });
        }
    }

    /// Entries of this account go from now on, and no others. What is on its way comes to its end.
    pub(super) fn sign_in(&mut self, account: Option<Arc<str>>) {
        self.account = account;
        let seqs: Vec<u64> = self.entries.keys().copied().collect();
        for seq in seqs {
            let account = self.account.clone();
            self.update(seq, |tracked| tracked.foreign = tracked.head.account != account);
        }
    }

    /// Of an entry what came of it is left: its row has gone back, or it was a request.
    pub(super) fn set_aside(&mut self, seq: u64, reason: ParkReason) {
        let Some(head) = self.entries.get(&seq).map(|tracked| tracked.head.clone()) else {
            return;
        };
        self.forget(seq);
        self.add(Head { parked: Some(reason), ..head });
    }

    /// How an entry stands to the others of its row. What was deleted is not to come back, and what waits for a decision, or
    /// for another account, is not to be overtaken.
    fn stand(&self, seq: u64, tracked: &Tracked) -> Stand {
        let sent = tracked.head.marked.is_some();
        if tracked.is_stopped() || tracked.head.tied.deletes {
            Stand::Stops
        } else if sent && !self.serial && self.ties.is_free(seq) {
            Stand::Sent
        } else if sent {
            Stand::Stops
        } else {
            Stand::Unsent
        }
    }

    /// True if an entry may be of a row that an earlier one has created, and to which the remote has given its key.
    pub(super) fn may_be_created_before(&self, head: &Head) -> bool {
        let first = self.created.get(head.model).and_then(BTreeSet::first);
        !head.gets_key && first.is_some_and(|first| *first < head.seq)
    }

    /// True for the one of its row that goes next, if it waits for none of another, and none of its row is on its way.
    fn is_free(&self, seq: u64, place: &Place) -> bool {
        let lane = self.lanes.get(place).filter(|lane| lane.head() == Some(seq));
        self.ties.is_free(seq) && lane.is_some_and(|lane| self.beside.is_disjoint(lane.entries()))
    }

    fn enter(&mut self, seq: u64) {
        let Some(tracked) = self.entries.get(&seq) else {
            return;
        };
        let place = place(&tracked.head);
        let stand = self.stand(seq, tracked);
        self.lanes.set(&place, seq, stand);
        if tracked.head.gets_key && tracked.head.may_have_been_sent() {
            self.created.entry(tracked.head.model).or_default().insert(seq);
        }
        let halts = tracked.head.on_failure == PermanentFailure::Halt;
        let free = self.is_free(seq, &place);
        let queue = self.queues.entry(tracked.head.host.clone()).or_default();
        match tracked.stage {
            stage if tracked.foreign && !stage.is_busy() => {}
            Stage::Ready if !free => {}
            Stage::Ready if tracked.head.marked.is_some() => drop(queue.sendable.insert(seq)),
            Stage::Ready if tracked.marks_alone() => drop(queue.unmarked_once.insert(seq)),
            Stage::Ready => drop(queue.unmarked.insert(seq)),
            Stage::Waiting { until } => drop(queue.waiting.insert((until, seq))),
            Stage::Held => drop(self.held.insert(seq)),
            Stage::Parked => {
                let conflict = tracked.head.parked == Some(ParkReason::Conflict);
                self.conflicts += usize::from(conflict);
                self.parked.insert(seq);
                if halts && !conflict && !is_aside(tracked.head.parked) {
                    self.halting.insert(seq);
                }
            }
            stage if stage.is_busy() => {
                self.busy.insert(seq);
                if !free {
                    self.beside.insert(seq);
                }
                match stage {
                    Stage::Marking => drop(self.marking.insert(seq)),
                    Stage::Acknowledged => drop(self.acknowledged.insert(seq)),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn leave(&mut self, seq: u64) {
        let Some(tracked) = self.entries.get(&seq) else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(&tracked.head.host) {
            queue.unmarked.remove(&seq);
            queue.unmarked_once.remove(&seq);
            queue.sendable.remove(&seq);
            if let Stage::Waiting { until } = tracked.stage {
                queue.waiting.remove(&(until, seq));
            }
        }
        self.halting.remove(&seq);
        if tracked.head.gets_key
            && let Some(created) = self.created.get_mut(tracked.head.model)
        {
            created.remove(&seq);
        }
        match tracked.stage {
            Stage::Held => drop(self.held.remove(&seq)),
            Stage::Parked if self.parked.remove(&seq) => {
                self.conflicts -= usize::from(tracked.head.parked == Some(ParkReason::Conflict));
            }
            stage if stage.is_busy() => {
                self.busy.remove(&seq);
                self.beside.remove(&seq);
                self.marking.remove(&seq);
                self.acknowledged.remove(&seq);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
