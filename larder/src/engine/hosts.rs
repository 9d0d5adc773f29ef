//! Hosts: one that can't be reached, or asks to be left alone, is left alone as a whole, and so is no other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::{Backoff, Turns};

/// Where an entry goes: `None` for the remote itself, where all rows go.
pub(crate) type Host = Option<Arc<str>>;

/// How a host stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// It refused the credentials: nothing goes there before there are new ones.
    pub(super) held: bool,
    /// It can't be reached: one entry at a time tries, not before this moment.
    pub(super) down: Option<Duration>,
    /// It asked to be left alone until then: what it answers to others meanwhile changes nothing about that.
    asked: Option<Duration>,
    turns: Turns,
}

impl Standing {
    /// How many entries more may go there now, if so many are on their way.
    pub(super) fn room(&self, mono: Duration, on_their_way: impl Fn() -> usize) -> usize {
        match () {
            () if self.held || self.down.is_some_and(|until| until > mono) => 0,
            // One that was unreachable is tried by one entry alone.
            () if !self.turns.is_new() => 1_usize.saturating_sub(on_their_way()),
            () => usize::MAX,
        }
    }

    /// It has answered.
    pub(super) fn heard(&mut self, mono: Duration) {
        self.down = self.asked(mono);
        self.turns = Turns::default();
    }

    /// It asked to be left alone until then.
    pub(super) fn leave_alone(&mut self, until: Duration) {
        self.asked = self.asked.max(Some(until));
        self.down = self.down.max(Some(until));
    }

    /// Until when it asked to be left alone, if that is still to come.
    pub(super) fn asked(&self, mono: Duration) -> Option<Duration> {
        self.asked.filter(|until| *until > mono)
    }

    /// It can't be reached, and is left alone until its next turn. Of what was on its way together, the first to come back
    /// says all that there is to say.
    pub(super) fn unreachable(&mut self, backoff: &Backoff, mono: Duration, jitter: u64) {
        if self.down.is_none_or(|until| until <= mono) {
            self.down = Some(self.turns.next(backoff, mono, jitter));
        }
    }

    /// Cuts every wait short; the one that it asked for if somebody insists.
    pub(super) fn hurry(&mut self, insists: bool) {
        if insists {
            self.asked = None;
        }
        self.down = self.asked;
        self.turns = Turns::default();
    }
}

/// The entries of a host that may go at some time without anything happening.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Free, ready, and not marked; their repeat does no harm.
    pub(super) unmarked: BTreeSet<u64>,
    /// Free, ready, and not marked; to be marked one by one.
    pub(super) unmarked_once: BTreeSet<u64>,
    /// Free, ready, and marked.
    pub(super) sendable: BTreeSet<u64>,
    pub(super) waiting: BTreeSet<(Duration, u64)>,
}

impl Queue {
    /// True if an entry waits for nothing but its turn.
    pub(super) fn has_ready(&self) -> bool {
        !self.unmarked.is_empty() || !self.unmarked_once.is_empty() || !self.sendable.is_empty()
    }

    /// True if this one waits for nothing but its turn.
    pub(super) fn is_ready(&self, seq: u64) -> bool {
        [&self.unmarked, &self.unmarked_once, &self.sendable].iter().any(|set| set.contains(&seq))
    }

    /// The first moment at which a waiting entry is ready again.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.waiting.first().map(|(until, _)| *until)
    }
}
