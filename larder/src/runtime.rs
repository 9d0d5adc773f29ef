//! The runtime of production: tokio's timers and threads, the system's clocks and randomness.

use std::time::{Duration, Instant};

use larder_core::runtime::BoxFuture;
use larder_core::{Error, ErrorKind, Result, Runtime, Timestamp};
use tokio::runtime::Handle;

/// Runs on a tokio runtime.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> larder::Result<()> {
/// let runtime = larder::TokioRuntime::current()?;
/// # let _ = runtime;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: Handle,
    start: Instant,
}

impl TokioRuntime {
    /// The runtime of the calling task.
    ///
    /// # Errors
    /// `Invalid` outside of a tokio runtime.
    pub fn current() -> Result<Self> {
        let handle = Handle::try_current().map_err(|error| {
            let what =
                "no tokio runtime is running here: build the repository inside one, or supply a runtime";
            Error::new(ErrorKind::Invalid, what).because(error)
        })?;
        Ok(Self::new(handle))
    }

    /// The runtime behind `handle`; it needs timers.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the clock comes from")]
    pub fn new(handle: Handle) -> Self {
        Self { handle, start: Instant::now() }
    }
}

impl Runtime for TokioRuntime {
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn random(&self) -> u64 {
        // The system's source fails at boot at most; a repository that can't draw ids must not go on.
        getrandom::u64().unwrap_or_else(|error| {
            tracing::error!(%error, "the system gives no randomness");
            u64::from_le_bytes(
                self.start.elapsed().as_nanos().to_le_bytes()[..8].try_into().unwrap_or_default(),
            )
        })
    }

    #[expect(clippy::disallowed_methods, reason = "this is where sleep comes from")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let _inside = self.handle.enter();
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        tracing::trace!(name, "spawn");
        self.handle.spawn(task);
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        tracing::trace!(name, "blocking");
        self.handle.spawn_blocking(work);
    }
}
