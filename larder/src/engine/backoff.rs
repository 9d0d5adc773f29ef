//! Capped exponential backoff with full jitter.

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
    /// The wait after the `failures`-th failure in a row, counted from 1: anywhere between nothing and the ceiling,
    /// as `jitter` says.
    pub(crate) fn wait(&self, failures: u32, jitter: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(32);
        let ceiling = self.base.saturating_mul(2_u32.saturating_pow(doublings)).min(self.cap);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos((u128::from(jitter) * u128::from(nanos) / u128::from(u64::MAX)) as u64)
    }
}
