//! Which entry may go next, and when to look again.

use std::time::Duration;

use larder_core::Idempotency;

use super::machine::{Effect, Engine, Instants, Stage, Verdict};

/// What an entry that may go needs first.
enum Step {
    Mark { alone: bool },
    Send,
    Probe,
    Park,
}

impl Engine {
    /// Pushes everything that may go now.
    pub(super) fn schedule(&mut self, now: Instants, out: &mut Vec<Effect>) {
        self.wake(now.mono);
        self.load_more(now.mono, out);
        if self.paused || self.held || !self.connected || self.down.is_some_and(|until| until > now.mono) {
            return;
        }
        // A remote that was unreachable is tried by one entry alone.
        let parallel = if self.down_failures > 0 { 1 } else { self.settings.parallel };
        let busy = self.entries.values().filter(|tracked| is_busy(tracked.stage)).count();
        let mut free = parallel.saturating_sub(busy);
        let mut marks = Vec::new();
        let mut firsts: Vec<u64> = self.lanes.values().filter_map(|lane| lane.first().copied()).collect();
        firsts.sort_unstable();
        for seq in firsts {
            if free == 0 {
                break;
            }
            let Some(step) = self.step(seq, now) else { continue };
            free -= 1;
            match step {
                Step::Mark { alone: false } if marks.len() < self.settings.marks => marks.push(seq),
                Step::Mark { .. } => out.push(Effect::Mark(vec![seq])),
                Step::Send => out.push(Effect::Send { seq, repeated: self.maybe_sent(seq) }),
                Step::Probe => out.push(Effect::Probe(seq)),
                Step::Park => out.push(Effect::Settle(seq, Verdict::Park(larder_core::ParkReason::Uncertain))),
            }
        }
        if !marks.is_empty() {
            out.push(Effect::Mark(marks));
        }
    }

    /// What the first entry of a lane needs, if it is ready; its stage changes accordingly.
    fn step(&mut self, seq: u64, now: Instants) -> Option<Step> {
        let tracked = self.entries.get_mut(&seq)?;
        if tracked.stage != Stage::Ready {
            return None;
        }
        let idempotency = tracked.head.idempotency;
        let step = match tracked.head.marked {
            None => Step::Mark { alone: matches!(idempotency, Idempotency::AtMostOnce | Idempotency::Probe) },
            Some(_) if !tracked.maybe_sent || tracked.reconciled => Step::Send,
            Some(first) => match idempotency {
                Idempotency::Idempotent | Idempotency::Conditional => Step::Send,
                Idempotency::Keyed { life } => {
                    let age = Duration::try_from(now.wall.duration_since(first));
                    // A clock that is found behind the mark makes the key count as expired.
                    if age.is_ok_and(|age| age < life) { Step::Send } else { Step::Probe }
                }
                Idempotency::AtMostOnce => Step::Park,
                _ => Step::Probe,
            },
        };
        tracked.stage = match step {
            Step::Mark { .. } => Stage::Marking,
            Step::Send => Stage::Sending,
            Step::Probe => Stage::Probing,
            Step::Park => Stage::Settling,
        };
        Some(step)
    }

    fn maybe_sent(&self, seq: u64) -> bool {
        self.entries.get(&seq).is_some_and(|tracked| tracked.maybe_sent)
    }

    fn wake(&mut self, mono: Duration) {
        for tracked in self.entries.values_mut() {
            if matches!(tracked.stage, Stage::Waiting { until } if until <= mono) {
                tracked.stage = Stage::Ready;
            }
        }
        if self.load_at.is_some_and(|at| at <= mono) {
            self.load_at = None;
        }
    }

    fn load_more(&mut self, mono: Duration, out: &mut Vec<Effect>) {
        let live = self.entries.values().filter(|tracked| !matches!(tracked.stage, Stage::Parked | Stage::Foreign));
        let room = self.settings.window.saturating_sub(live.count());
        let due = self.load_at.is_none_or(|at| at <= mono);
        if self.more && !self.loading && due && room > self.settings.window / 2 {
            self.loading = true;
            self.more = false;
            out.push(Effect::Load { after: self.loaded, limit: room });
        }
    }

    /// The moment, on the monotonic clock, at which there is something to do again without anything happening.
    pub(crate) fn wait_until(&self) -> Option<Duration> {
        if self.paused || self.held || !self.connected {
            return self.load_at;
        }
        let waiting = self.entries.values().filter_map(|tracked| match tracked.stage {
            Stage::Waiting { until } => Some(self.down.map_or(until, |down| down.max(until))),
            Stage::Ready => self.down,
            _ => None,
        });
        waiting.chain(self.load_at).min()
    }
}

fn is_busy(stage: Stage) -> bool {
    matches!(stage, Stage::Sending | Stage::Probing | Stage::Marking | Stage::Settling)
}

