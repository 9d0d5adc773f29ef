//! Which entry may go next, and when to look again.

use std::collections::BTreeSet;
use std::time::Duration;

use larder_core::{Idempotency, ParkReason};

use super::hosts::{Host, Queue, Standing};
use super::machine::Engine;
use super::terms::{Effect, Instants, Verdict};
use super::tracked::{Stage, Tracked};

/// What an entry that was marked as sent needs.
enum Step {
    Send { repeated: bool },
    Probe,
    Park,
}

impl Engine {
    /// Pushes everything that may go now.
    pub(super) fn schedule(&mut self, now: Instants, out: &mut Vec<Effect>) {
        self.seen = now.mono;
        self.window.wake(now.mono);
        self.load_more(now.mono, out);
        if self.paused {
            self.unmark(out);
        }
        self.apart = self.apart.filter(|until| *until > now.mono);
        if self.stopped() || self.apart.is_some() {
            return;
        }
        let parallel = if self.settings.serial { 1 } else { self.settings.parallel };
        let (sent, acknowledged) = (self.window.on_its_way(), self.window.acknowledged());
        let ahead = self.settings.ahead.max(parallel).saturating_sub(acknowledged + sent);
        let mut free = parallel.saturating_sub(sent).min(ahead);
        while let Some(seq) = self.next_sendable(now.mono).filter(|_| free > 0) {
            // One that is marked at the last moment has its turn as well.
            let once = self.open(now.mono).filter_map(|(queue, _)| queue.unmarked_once.first()).min();
            if self.window.marking().is_empty() && once.is_some_and(|once| *once < seq) {
                break;
            }
            self.start(seq, now, out);
            free -= 1;
        }
        self.mark(free, now.mono, out);
    }

    /// Takes marks back of which nothing has come, where they have a price: what follows a pause may be the end.
    fn unmark(&mut self, out: &mut Vec<Effect>) {
        let sendable = self.window.queues().flat_map(|(_, queue)| &queue.sendable).copied();
        let in_vain = |seq: &u64| {
            let tracked = self.window.get(*seq);
            tracked.is_some_and(|tracked| tracked.marks_alone() && !tracked.maybe_sent)
        };
        for seq in sendable.filter(in_vain).collect::<Vec<_>>() {
            self.window.set(seq, Stage::Settling);
            out.push(Effect::Settle(seq, Verdict::Unmark));
        }
    }

    /// The queues of the hosts to which something may go now, and how much.
    fn open(&self, mono: Duration) -> impl Iterator<Item = (&Queue, usize)> {
        let ready = self.window.queues().filter(|(_, queue)| queue.has_ready());
        let room = move |host: &Host| {
            let there = || {
                let sent = self.window.busy().iter().filter_map(|seq| self.window.get(*seq));
                let sent = sent.filter(|sent| !matches!(sent.stage, Stage::Marking | Stage::Acknowledged));
                sent.filter(|sent| sent.head.host == *host).count()
            };
            self.standing(host).room(mono, there)
        };
        ready.map(move |(host, queue)| (queue, room(host))).filter(|(_, room)| *room > 0)
    }

    /// The first entry that is marked and may go now.
    fn next_sendable(&self, mono: Duration) -> Option<u64> {
        let first = |(queue, _): (&Queue, usize)| queue.sendable.first().copied();
        self.open(mono).filter_map(first).filter(|seq| self.is_its_turn(*seq)).min()
    }

    /// True if nothing is sent, whatever there is.
    pub(crate) fn stopped(&self) -> bool {
        self.paused || !self.connected || self.window.halted()
    }

    /// True if an entry of the queue waits for nothing but its turn, and its turn has come or comes without a further
    /// event.
    pub(super) fn has_ready(&self, queue: &Queue) -> bool {
        if self.settings.serial {
            return self.window.first_live().is_some_and(|first| queue.is_ready(first));
        }
        queue.has_ready()
    }

    /// True unless all entries go in one order, and others come before this one.
    fn is_its_turn(&self, seq: u64) -> bool {
        !self.settings.serial || self.window.first_live() == Some(seq)
    }

    /// Starts an entry that is marked.
    fn start(&mut self, seq: u64, now: Instants, out: &mut Vec<Effect>) {
        let Some(tracked) = self.window.get(seq) else {
            return;
        };
        let (stage, effect) = match step(tracked, now) {
            Step::Send { repeated } => (Stage::Sending, Effect::Send { seq, repeated }),
            Step::Probe => (Stage::Probing, Effect::Probe(seq)),
            Step::Park => (Stage::Settling, Effect::Settle(seq, Verdict::Park(ParkReason::Uncertain))),
        };
        let credentials = self.credentials;
        self.window.update(seq, |tracked| {
            tracked.stage = stage;
            // What is sent is looked at as it is stored by then.
            tracked.revived &= stage != Stage::Sending;
            tracked.head.tried |= stage != Stage::Settling;
            tracked.credentials = credentials;
        });
        out.push(effect);
    }

    /// Marks what may go next: many at a time where a repeat does no harm, else one by one and only if it goes at once.
    fn mark(&mut self, free: usize, mono: Duration, out: &mut Vec<Effect>) {
        if !self.window.marking().is_empty() {
            return;
        }
        let most = self.settings.marks;
        let turn = |seq: &u64| self.is_its_turn(*seq);
        // Mostly there is nothing to do, and that is seen without gathering anything.
        let enough = || self.open(mono).map(|(queue, _)| queue.sendable.len()).sum::<usize>() > most / 2;
        if free == 0 && enough() {
            return;
        }
        let (mut together, mut once, mut marked) = (Vec::new(), Vec::new(), Vec::new());
        for (queue, room) in self.open(mono) {
            // A host that is tried is tried by the first of its entries.
            let first = queue.unmarked.first().into_iter().chain(queue.unmarked_once.first()).min();
            let takes = |seq: &&u64| room > 1 || first.is_none_or(|first| *seq <= first);
            together.extend(queue.unmarked.iter().take_while(takes).take(most));
            once.extend(queue.unmarked_once.iter().take_while(takes).take(free));
            marked.extend(queue.sendable.iter().take(most.max(free)));
        }
        [&mut together, &mut once, &mut marked].into_iter().for_each(|seqs| seqs.sort_unstable());
        // Where all go in one order, those behind are marked with the first. What is marked and waits is enough for a
        // while; but what is marked may wait for one that is not.
        let waiting = marked.len();
        let first = together.first().is_some_and(|first| free > 0 && turn(first));
        let room = if waiting > most / 2 { usize::from(first) } else { most - waiting };
        together.truncate(room);
        if self.settings.serial {
            self.before_given_keys(&mut together);
        }
        // How many go before this one, of those that are not marked one by one.
        let before = |seq: u64| [&together, &marked].map(|seqs| seqs.partition_point(|other| *other < seq));
        let once = once.into_iter().take_while(turn).enumerate();
        let once = once.take_while(|(nth, seq)| nth + before(*seq).iter().sum::<usize>() < free);
        let alone: Vec<u64> = once.map(|(_, seq)| seq).collect();
        for seq in together.iter().chain(&alone) {
            self.window.set(*seq, Stage::Marking);
        }
        if !together.is_empty() {
            out.push(Effect::Mark(together));
        }
        out.extend(alone.into_iter().map(|seq| Effect::Mark(vec![seq])));
    }

    /// Takes those out of `seqs` that come after the first one whose row may be the one that an earlier entry creates. Such a row
    /// may have been written under the temporary key before, and in one order that goes first: so this one is not to count as
    /// sent before its turn.
    fn before_given_keys(&self, seqs: &mut Vec<u64>) {
        let mut made = BTreeSet::new();
        let waits = |seq: &u64| {
            let Some(Tracked { head, .. }) = self.window.get(*seq) else { return false };
            if head.gets_key {
                made.insert(head.model);
                return false;
            }
            made.contains(head.model) || (self.window.may_be_created_before(head) && !self.is_its_turn(*seq))
        };
        let upto = seqs.iter().position(waits).unwrap_or(seqs.len());
        seqs.truncate(upto);
    }

    fn load_more(&mut self, mono: Duration, out: &mut Vec<Effect>) {
        if self.load_at.is_some_and(|at| at <= mono) {
            self.load_at = None;
        }
        let room = self.settings.window.saturating_sub(self.window.live());
        if self.more && !self.loading && self.load_at.is_none() && room > self.settings.window / 2 {
            self.loading = true;
            self.more = false;
            out.push(Effect::Load { after: self.loaded, limit: room });
        }
    }

    /// The moment, on the monotonic clock, at which there is something to do again without anything happening.
    pub(crate) fn wait_until(&self) -> Option<Duration> {
        if self.stopped() {
            return self.load_at;
        }
        let next = |(host, queue): (&Host, &Queue)| {
            let Standing { held, down, .. } = self.standing(host);
            // A moment that has come already was acted upon: an entry is trying the host.
            let gate = down.max(self.apart);
            let tried = gate.filter(|until| self.has_ready(queue) && *until > self.seen);
            let wake = queue.next_wake().map(|at| gate.map_or(at, |gate| gate.max(at)));
            tried.into_iter().chain(wake).min().filter(|_| !held)
        };
        self.window.queues().filter_map(next).chain(self.load_at).min()
    }
}

/// What an entry that is marked as sent needs, by what its endpoint makes of a repeat.
fn step(tracked: &Tracked, now: Instants) -> Step {
    if !tracked.maybe_sent {
        return Step::Send { repeated: false };
    }
    if tracked.disputed {
        return Step::Probe;
    }
    if tracked.reconciled {
        return Step::Send { repeated: true };
    }
    match (tracked.head.idempotency, tracked.head.marked) {
        (Idempotency::Idempotent | Idempotency::Conditional, _) => Step::Send { repeated: true },
        (Idempotency::Keyed { life }, Some(first)) => {
            // A clock that is found behind the mark makes the key count as expired.
            match Duration::try_from(now.wall.duration_since(first)) {
                Ok(age) if age < life => Step::Send { repeated: true },
                _ => Step::Probe,
            }
        }
        (Idempotency::AtMostOnce, _) => Step::Park,
        _ => Step::Probe,
    }
}

#[cfg(test)]
mod tests;
