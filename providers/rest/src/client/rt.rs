//! What hyper and rustls ask of their surroundings, given by the injected runtime.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use larder_core::Runtime;
use larder_core::runtime::BoxFuture;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// Tasks of connections.
#[derive(Clone, Debug)]
pub(super) struct Exec(pub(super) Arc<dyn Runtime>);

impl<F> hyper::rt::Executor<F> for Exec
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn("http connection", Box::pin(task));
    }
}

/// Timers. hyper counts in `Instant`s, so the runtime's clock is laid over one of them.
#[derive(Clone, Debug)]
pub(super) struct Timer {
    runtime: Arc<dyn Runtime>,
    origin: Instant,
    start: Duration,
}

impl Timer {
    #[allow(
        clippy::disallowed_methods,
        reason = "an origin only: what passes after it is the runtime's time"
    )]
    pub(super) fn new(runtime: Arc<dyn Runtime>) -> Self {
        let start = runtime.monotonic();
        Self { runtime, origin: Instant::now(), start }
    }
}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(Mutex::new(self.runtime.sleep(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }

    fn now(&self) -> Instant {
        self.origin + self.runtime.monotonic().saturating_sub(self.start)
    }
}

/// A timer's future; the lock makes it `Sync`, and is never waited for.
struct Sleep(Mutex<BoxFuture<'static, ()>>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
    }
}

impl hyper::rt::Sleep for Sleep {}

/// The wall clock by which certificates are valid or not.
pub(super) struct Clock(pub(super) Arc<dyn Runtime>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
