//! What the application decides about entries that wait for that.

use larder_core::{Idempotency, MutationId};

use super::machine::Engine;
use super::tracked::{Stage, Tracked};
use super::window::is_aside;

impl Engine {
    /// Somebody has decided about an entry that waits for that. The application may see that it does before the engine
    /// hears of it, which will then be of before.
    pub(super) fn decided(&mut self, seq: u64) {
        self.window.decide(seq, self.loading);
        if let Some(tracked) = self.window.get_mut(seq) {
            tracked.revived |= !matches!(tracked.stage, Stage::Parked | Stage::Withdrawn);
        }
    }

    /// A parked entry goes again.
    pub(super) fn retried(&mut self, seq: u64) {
        self.decided(seq);
        let waits = |tracked: &Tracked| tracked.stage == Stage::Parked && !is_aside(tracked.head.parked);
        if self.window.get(seq).is_some_and(waits) {
            self.window.update(seq, |tracked| {
                tracked.stage = Stage::Ready;
                tracked.revived = false;
                tracked.failures = 0;
                (tracked.reconciled, tracked.disputed) = (false, false);
                tracked.conflicts = 0;
                tracked.head.parked = None;
                if tracked.head.idempotency == Idempotency::AtMostOnce {
                    tracked.maybe_sent = false;
                    tracked.head.marked = None;
                }
                tracked.head.strikes = 0;
                tracked.head.first_strike = None;
                tracked.struck = None;
            });
        }
    }

    /// A parked entry goes as another one: nothing of that was ever sent.
    pub(super) fn edited(&mut self, seq: u64, id: MutationId) {
        self.retried(seq);
        self.window.update(seq, |tracked| {
            if tracked.head.marked.take().is_some() || tracked.maybe_sent {
                tracked.head.id = id;
            }
            tracked.maybe_sent = false;
        });
    }
}
