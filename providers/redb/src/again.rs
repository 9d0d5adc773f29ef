//! A salvage that could not be done now is tried again by itself: what it lacked was room, mostly, and nobody tells when there
//! is some.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::{Damage, Error, ErrorKind, Result};

use crate::config::OnCorrupt;
use crate::writer::{Cause, Job, Shared, lock};

/// The longest wait after the first attempt that failed; it doubles with each.
const FIRST: Duration = Duration::from_secs(2);
/// The longest of all: each attempt copies what verifies, and reads wait meanwhile.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// How a salvage stands that could not be done.
#[derive(Debug, Default)]
pub(crate) struct Again(Mutex<Standing>);

#[derive(Debug, Default)]
struct Standing {
    /// How many attempts in a row have failed.
    failures: u32,
    /// How many there were in all: whoever waits for the next one is not wanted any more once there was another.
    attempts: u64,
}

impl Again {
    /// How long to wait after an attempt, if there is to be another one, and how many there were.
    fn after(&self, failed: bool, jitter: u64) -> (Option<Duration>, u64) {
        let mut standing = lock(&self.0);
        standing.attempts += 1;
        standing.failures = if failed { standing.failures.saturating_add(1) } else { 0 };
        let wait = failed.then(|| wait(standing.failures, jitter));
        (wait, standing.attempts)
    }

    fn attempts(&self) -> u64 {
        lock(&self.0).attempts
    }
}

/// Anywhere in the upper half of a ceiling that doubles up to a cap.
fn wait(failures: u32, jitter: u64) -> Duration {
    let ceiling = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    let half = ceiling / 2;
    // No more than some minutes.
    let some = u128::from(jitter) * half.as_nanos() / u128::from(u64::MAX);
    half + Duration::from_nanos(u64::try_from(some).unwrap_or_default())
}

impl Shared {
    /// Sees to it that a salvage which came to nothing is tried again: one for which there was no room, or whose medium
    /// failed. It ends with the store.
    pub(crate) fn mend_again(self: &Arc<Self>, mended: &Result<Option<Damage>>, cause: Cause) {
        let may_pass = |error: &Error| matches!(error.kind(), ErrorKind::Full | ErrorKind::Storage);
        let failed = self.medium.on_corrupt == OnCorrupt::Salvage && mended.as_ref().is_err_and(may_pass);
        let jitter = if failed { self.runtime.random() } else { 0 };
        let (Some(wait), attempt) = self.again.after(failed, jitter) else { return };
        let (sleep, shared) = (self.runtime.sleep(wait), Arc::downgrade(self));
        let task = async move {
            sleep.await;
            if let Some(shared) = shared.upgrade().filter(|shared| shared.again.attempts() == attempt) {
                // A store that is being closed is looked at when it is opened again.
                drop(shared.submit(Job::Mend(cause, None)));
            }
        };
        self.runtime.spawn("larder-redb salvage", Box::pin(task));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Rules: d-salvage-again
        #[test]
        fn a_wait_is_in_the_upper_half_of_a_ceiling_that_doubles(failures in 1..u32::MAX, jitter: u64) {
            let ceiling = (2_u64 << (failures - 1).min(20)).min(300);
            let wait = wait(failures, jitter).as_secs_f64();
            prop_assert!(wait >= ceiling as f64 / 2.0 && wait <= ceiling as f64, "{wait} of {ceiling}");
        }
    }
}
