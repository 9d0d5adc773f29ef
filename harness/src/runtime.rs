//! A runtime that repeats itself: a clock that is moved by hand, seeded randomness, blocking work done inline.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;
use larder_core::Runtime;
use larder_core::runtime::BoxFuture;

/// A [`Runtime`] for tests.
///
/// - The clocks stand still until [`advance`](Self::advance) moves them, or a sleep does: see
///   [`Clock`]. The wall clock begins at 2026-01-01T00:00:00Z.
/// - Random numbers come from the seed.
/// - Blocking work is done on the calling thread; tasks are spawned on the current tokio runtime.
///
/// Clones share the clock and the randomness.
///
/// ```
/// use std::time::Duration;
/// use larder_core::Runtime;
/// use larder_harness::TestRuntime;
///
/// let (a, b) = (TestRuntime::new(7), TestRuntime::new(7));
/// assert_eq!((a.random(), a.now()), (b.random(), b.now()));
/// a.advance(Duration::from_secs(60));
/// assert_eq!(a.now().duration_since(b.now()), jiff::SignedDuration::from_mins(1));
/// ```
#[derive(Clone, Debug)]
pub struct TestRuntime {
    inner: Arc<Mutex<Inner>>,
    clock: Clock,
}

/// What moves the clock of a [`TestRuntime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// A sleep jumps to its end at once. Nothing waits, and nothing can be seen to wait.
    Jumping,
    /// Only [`TestRuntime::advance`] moves it; a sleep ends when it is moved past its end.
    Manual,
}

#[derive(Debug)]
struct Inner {
    monotonic: Duration,
    random: u64,
    sleeping: BTreeMap<(Duration, u64), Option<Waker>>,
    sleeps: u64,
}

/// Where the wall clock begins, in seconds since 1970.
const START: i64 = 1_767_225_600;

impl TestRuntime {
    /// A runtime with this seed, whose sleeps jump.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_clock(seed, Clock::Jumping)
    }

    /// A runtime with this seed, whose sleeps wait for [`advance`](Self::advance).
    #[must_use]
    pub fn manual(seed: u64) -> Self {
        Self::with_clock(seed, Clock::Manual)
    }

    fn with_clock(seed: u64, clock: Clock) -> Self {
        let inner = Inner { monotonic: Duration::ZERO, random: seed, sleeping: BTreeMap::new(), sleeps: 0 };
        Self { inner: Arc::new(Mutex::new(inner)), clock }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves both clocks, and wakes the sleeps that have ended, in the order of their ends.
    pub fn advance(&self, by: Duration) {
        let mut woken = Vec::new();
        {
            let mut inner = self.inner();
            inner.monotonic += by;
            let after = (inner.monotonic, u64::MAX);
            let later = inner.sleeping.split_off(&after);
            woken.extend(std::mem::replace(&mut inner.sleeping, later).into_values().flatten());
        }
        woken.into_iter().for_each(Waker::wake);
    }

    /// How many sleeps wait for the clock.
    #[must_use]
    pub fn sleeping(&self) -> usize {
        self.inner().sleeping.len()
    }

    /// When the next sleep ends, on the monotonic clock.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        self.inner().sleeping.first_key_value().map(|((end, _), _)| *end)
    }
}

impl Runtime for TestRuntime {
    fn now(&self) -> Timestamp {
        let since = jiff::SignedDuration::try_from(self.monotonic()).unwrap_or(jiff::SignedDuration::MAX);
        let start = Timestamp::from_second(START).unwrap_or(Timestamp::UNIX_EPOCH);
        start.checked_add(since).unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.inner().monotonic
    }

    fn random(&self) -> u64 {
        let mut inner = self.inner();
        inner.random = inner.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        crate::random::mix(inner.random)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if self.clock == Clock::Jumping {
            self.advance(duration);
            return Box::pin(std::future::ready(()));
        }
        let runtime = self.clone();
        let sleep = {
            let mut inner = self.inner();
            inner.sleeps += 1;
            let sleep = (inner.monotonic + duration, inner.sleeps);
            inner.sleeping.insert(sleep, None);
            Sleep { sleep, runtime }
        };
        Box::pin(async move { sleep.wait().await })
    }

    #[allow(clippy::disallowed_methods, reason = "this is a runtime: tasks come from here")]
    fn spawn(&self, _: &'static str, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.blocking(name, work);
    }
}

/// A sleep that has not ended; forgotten when it is dropped.
struct Sleep {
    sleep: (Duration, u64),
    runtime: TestRuntime,
}

impl Sleep {
    async fn wait(&self) {
        std::future::poll_fn(|cx| {
            let mut inner = self.runtime.inner();
            if inner.monotonic >= self.sleep.0 {
                return Poll::Ready(());
            }
            inner.sleeping.insert(self.sleep, Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.runtime.inner().sleeping.remove(&self.sleep);
    }
}
