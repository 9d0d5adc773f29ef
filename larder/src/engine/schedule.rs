//! Which entry may go next, and when to look again.

use std::time::Duration;

use larder_core::{Idempotency, ParkReason};

use super::machine::Engine;
use super::terms::{Effect, Instants, Verdict};
use super::window::{Stage, Tracked};

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
        if self.stopped() || self.down.is_some_and(|until| until > now.mono) {
            return;
        }
        // A remote that was unreachable is tried by one entry alone.
        let alone = self.settings.serial || self.down_failures > 0;
        let parallel = if alone { 1 } else { self.settings.parallel };
        let (sent, acknowledged) = (self.window.on_its_way(), self.window.acknowledged());
        let ahead = self.settings.ahead.max(parallel).saturating_sub(acknowledged + sent);
        let mut free = parallel.saturating_sub(sent).min(ahead);
        while free > 0 {
            let Some(seq) = self.window.sendable().first().copied().filter(|seq| self.is_its_turn(*seq))
            else {
                break;
            };
            // One that is marked at the last moment has its turn as well.
            let before = self.window.unmarked_once().first().is_some_and(|once| *once < seq);
            if before && self.window.marking().is_empty() {
                break;
            }
            self.start(seq, now, out);
            free -= 1;
        }
        self.mark(free, out);
    }

    /// True if nothing is sent, whatever there is.
    pub(super) fn stopped(&self) -> bool {
        self.paused || self.held || !self.connected || self.window.halted()
    }

    /// True if an entry waits for nothing but its turn, and its turn has come or comes without a further event.
    pub(super) fn has_ready(&self) -> bool {
        if self.settings.serial {
            return self.window.first_live().is_some_and(|first| self.window.is_ready(first));
        }
        self.window.has_ready()
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
            tracked.credentials = credentials;
        });
        out.push(effect);
    }

    /// Marks what may go next: many at a time where a repeat does no harm, else one by one and only if it goes at once.
    fn mark(&mut self, free: usize, out: &mut Vec<Effect>) {
        if !self.window.marking().is_empty() {
            return;
        }
        let most = if self.down_failures > 0 { 1 } else { self.settings.marks };
        let turn = |seq: &u64| self.is_its_turn(*seq);
        // Where all go in one order, those behind are marked with the first. What is marked and waits is enough for a
        // while; but what is marked may wait for one that is not.
        let waiting = self.window.sendable().len();
        let first = self.window.unmarked().first().is_some_and(|first| free > 0 && turn(first));
        let room = if waiting > most / 2 { usize::from(first) } else { (most - waiting).max(first.into()) };
        let together: Vec<u64> = self.window.unmarked().iter().copied().take(room).collect();
        // How many go before this one, of those that are not marked one by one.
        let before = |seq: &u64| {
            together.partition_point(|other| other < seq) + self.window.sendable().range(..seq).count()
        };
        let once = self.window.unmarked_once().iter().copied().take_while(turn).enumerate();
        let once = once.take_while(|(nth, seq)| nth + before(seq) < free);
        let alone: Vec<u64> = once.map(|(_, seq)| seq).collect();
        for seq in together.iter().chain(&alone) {
            self.window.set(*seq, Stage::Marking);
        }
        if !together.is_empty() {
            out.push(Effect::Mark(together));
        }
        out.extend(alone.into_iter().map(|seq| Effect::Mark(vec![seq])));
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
        // A moment that has come already was acted upon: an entry is trying the remote.
        let down = self.down.filter(|until| self.has_ready() && *until > self.seen);
        let wake = self.window.next_wake().map(|at| self.down.map_or(at, |down| down.max(at)));
        [down, wake, self.load_at].into_iter().flatten().min()
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
