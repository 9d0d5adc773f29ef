//! Capped exponential backoff: full jitter while it grows, the upper third of the cap once it has grown.

use std::time::Duration;

/// How long to wait after failures.
///
/// On the way up a wait is anywhere below its ceiling, so that clients whose attempts failed at one moment don't stay
/// together. At the cap they have spread, and what matters is how many of them find the remote when it is back: with waits
/// between `a` and 1 times the cap that is up to `2 / (1 + a)` times the mean of the recovery. `a = 0` makes it twice the
/// mean, two thirds make it 1.2 times; closer to 1, clients that are together don't spread any more.
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
    /// The wait after the `failures`-th failure in a row, counted from 1: as `jitter` says, anywhere below the ceiling, and
    /// at the cap anywhere in its upper third.
    pub(crate) fn wait(&self, failures: u32, jitter: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let ceiling = self.base.saturating_mul(1 << doublings);
        let (least, most) =
            if ceiling < self.cap { (Duration::ZERO, ceiling) } else { (self.cap / 3 * 2, self.cap) };
        least + part(most - least, jitter)
    }
}

/// How far apart those who regain their connection at one moment begin, unless told otherwise.
pub(crate) const SPREAD: Duration = Duration::from_secs(2);

/// As much of `room` as `jitter` says: anywhere between nothing and all of it.
pub(crate) fn part(room: Duration, jitter: u64) -> Duration {
    let room = u64::try_from(room.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos((u128::from(jitter) * u128::from(room) / u128::from(u64::MAX)) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Rules: o-backoff
        #[test]
        fn a_wait_stays_below_its_ceiling_and_at_the_cap_in_its_upper_third(
            base in 1..2_000_u64, cap in 1..600_000_u64, failures in 1..u32::MAX, jitter: u64
        ) {
            let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            let wait = backoff.wait(failures, jitter);
            prop_assert!(wait <= backoff.cap);
            match 1_u64.checked_shl(failures - 1).map(|times| base.saturating_mul(times)) {
                Some(ceiling) if ceiling < cap => prop_assert!(wait <= Duration::from_millis(ceiling)),
                _ => prop_assert!(wait >= backoff.cap / 3 * 2),
            }
        }
    }

    // Rules: o-backoff
    #[test]
    fn all_of_the_room_is_used() {
        let backoff = Backoff::default();
        let ends = |failures| [0, u64::MAX].map(|jitter| backoff.wait(failures, jitter).as_millis());
        assert_eq!(ends(1), [0, 500]);
        assert_eq!(ends(10), [0, 256_000]);
        assert_eq!(ends(11), [200_000, 300_000]);
        assert_eq!(ends(u32::MAX), [200_000, 300_000]);
    }
}
