//! What tells of the device, with its panics contained.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder_core::runtime::BoxFuture;
use larder_core::{Connectivity, Power, Runtime};

use super::panicked::{Panicked, later, now};
use crate::engine::backoff::Backoff;
use crate::events::{Part, Teller};

/// What is waited for at least before a monitor that has panicked is asked again.
const LEAST: Duration = Duration::from_millis(10);

/// A monitor of the connection that does not panic, whatever the one within does.
///
/// Over what it panics, nothing is known: the device counts as connected, because only a request proves anything, and the
/// connection as not paid for by volume. What panics while it waits for a change waits again after a backoff, and meanwhile
/// it is looked at whether there was one.
#[derive(Clone, Debug)]
pub(crate) struct ContainedConnectivity(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    inner: Arc<dyn Connectivity>,
    runtime: Arc<dyn Runtime>,
    backoff: Backoff,
    teller: Teller,
    resting: Mutex<Resting>,
}

/// How often it has panicked, one time soon after the other, and until when it is left alone.
#[derive(Debug, Default)]
struct Resting {
    failures: u32,
    until: Duration,
}

impl ContainedConnectivity {
    pub(crate) fn new(
        inner: Arc<dyn Connectivity>,
        runtime: Arc<dyn Runtime>,
        backoff: Backoff,
        teller: Teller,
    ) -> Self {
        Self(Arc::new(Watched { inner, runtime, backoff, teller, resting: Mutex::default() }))
    }
}

impl Watched {
    /// What is known; `otherwise` if it panics over it.
    fn fact(&self, otherwise: bool, ask: impl FnOnce(&dyn Connectivity) -> bool) -> bool {
        now(|| ask(&*self.inner)).unwrap_or_else(|panicked| {
            self.failed(&panicked);
            otherwise
        })
    }

    fn is_online(&self) -> bool {
        self.fact(true, Connectivity::is_online)
    }

    #[cold]
    fn failed(&self, panicked: &Panicked) {
        self.teller.panicked(Part::Connectivity, panicked);
        let (now, jitter) = (self.runtime.monotonic(), self.runtime.random());
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = now <= resting.until.saturating_add(self.backoff.cap);
        resting.failures = if goes_on { resting.failures.saturating_add(1) } else { 1 };
        resting.until = now.saturating_add(self.backoff.wait(resting.failures, jitter).max(LEAST));
    }

    /// For how long it is left alone.
    fn rests(&self) -> Duration {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.until.saturating_sub(self.runtime.monotonic())
    }
}

impl Connectivity for ContainedConnectivity {
    fn is_online(&self) -> bool {
        self.0.is_online()
    }

    fn is_metered(&self) -> bool {
        self.0.fact(false, Connectivity::is_metered)
    }

    fn changed(&self, seen: bool) -> BoxFuture<'static, ()> {
        let watched = Arc::clone(&self.0);
        Box::pin(async move {
            loop {
                let rests = watched.rests();
                if !rests.is_zero() {
                    watched.runtime.sleep(rests).await;
                    // What was missed meanwhile is seen by looking.
                    if watched.is_online() != seen {
                        return;
                    }
                }
                match later(|| watched.inner.changed(seen)).await {
                    Ok(()) => return,
                    Err(panicked) => watched.failed(&panicked),
                }
            }
        })
    }
}

/// What tells of the battery and does not panic: where the one within does, nothing is known of it.
#[derive(Debug)]
pub(crate) struct ContainedPower {
    pub(crate) inner: Arc<dyn Power>,
    pub(crate) teller: Teller,
}

impl Power for ContainedPower {
    fn battery(&self) -> Option<u8> {
        now(|| self.inner.battery()).unwrap_or_else(|panicked| {
            self.teller.panicked(Part::Power, &panicked);
            None
        })
    }
}
