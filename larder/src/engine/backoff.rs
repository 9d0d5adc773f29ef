//! Capped exponential backoff with full jitter, and turns: how the attempts of very many clients stay apart.

use std::time::Duration;

/// How long to wait after failures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// The ceiling after the first failure.
    pub(crate) base: Duration,
    /// The highest ceiling.
    pub(crate) cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(500), cap: Duration::from_secs(5 * 60) }
    }
}

impl Backoff {
    /// The wait after the `failures`-th failure in a row, counted from 1: as `jitter` says, anywhere below the ceiling.
    pub(crate) fn wait(&self, failures: u32, jitter: u64) -> Duration {
        part(self.ceiling(failures).min(self.cap), jitter)
    }

    /// How long those who were told to come back after `wait` go on coming back after it, each at its own place.
    fn after(&self, wait: Duration) -> Duration {
        (wait / 10).min(self.period())
    }

    /// How long the one whose place that is stays away if it is told to come back after `wait`: no shorter, and not much longer.
    pub(crate) fn away(&self, wait: Duration, place: u64) -> Duration {
        wait.saturating_add(part(self.after(wait), place))
    }

    fn ceiling(&self, failures: u32) -> Duration {
        self.base.saturating_mul(1 << failures.saturating_sub(1).min(31))
    }

    /// How far apart the turns of a client are: as far as waits below the highest ceiling are on average.
    fn period(&self) -> Duration {
        self.cap / 2
    }
}

/// The attempts at a remote that can't be reached, by a client that is one of many.
///
/// On the way up a wait is anywhere below its ceiling. Once the ceiling has come to half of the cap, the client has a turn: a
/// moment in a period of half of the cap, drawn once and kept. So turns are spread evenly over the period whatever
/// happened to all clients at one moment, before or since, and when the remote is back it hears of all of them within one period,
/// and in each second of it of as many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turns {
    failures: u32,
    /// The last turn, on the monotonic clock.
    last: Option<Duration>,
}

impl Turns {
    /// True if no attempt has failed.
    pub(crate) fn is_new(&self) -> bool {
        self.failures == 0
    }

    /// An attempt has failed: the moment of the next.
    pub(crate) fn next(&mut self, backoff: &Backoff, mono: Duration, jitter: u64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let period = backoff.period();
        let wait = match self.last {
            _ if backoff.ceiling(self.failures) < period => {
                return mono.saturating_add(backoff.wait(self.failures, jitter));
            }
            // However long the attempt took: those whose attempts failed at one moment don't come together again.
            Some(last) if !period.is_zero() => period - since(last, mono, period),
            _ => part(period, jitter),
        };
        let turn = mono.saturating_add(wait);
        self.last = Some(turn);
        turn
    }
}

/// How much of the period has passed since the last turn, or the one that has been left out since.
fn since(last: Duration, mono: Duration, period: Duration) -> Duration {
    let passed = mono.saturating_sub(last).as_nanos() % period.as_nanos();
    Duration::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX))
}

/// How far apart those who regain their connection at one moment begin, unless told otherwise.
pub(crate) const SPREAD: Duration = Duration::from_secs(2);

/// As much of `room` as `jitter` says: anywhere between nothing and all of it.
pub(crate) fn part(room: Duration, jitter: u64) -> Duration {
    let room = u64::try_from(room.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos((u128::from(jitter) * u128::from(room) / u128::from(u64::MAX)) as u64)
}

#[cfg(test)]
mod tests;
