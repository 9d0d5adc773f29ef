//! Time, randomness, tasks and blocking work: everything that would make two runs differ comes through here.

use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use uuid::{Builder, Uuid};

/// A boxed future that can be sent to another thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the outside world supplies. Production has one on tokio; tests and the simulator have their own, with virtual
/// time and seeded randomness.
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// The wall clock. It may jump; nothing is ordered by it.
    fn now(&self) -> Timestamp;

    /// A clock that never goes back, from an arbitrary start.
    fn monotonic(&self) -> Duration;

    /// A random number.
    fn random(&self) -> u64;

    /// Ends after `duration` on the monotonic clock.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Runs `task` beside the caller until it ends; `name` is for traces.
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>);

    /// Runs `work`, which may block, off the asynchronous threads; `name` is for traces.
    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>);

    /// Runs `work`, which may block, on the calling thread, if that keeps no other task from going on; otherwise as
    /// [`blocking`](Self::blocking) does. Called by tasks that [`spawn`](Self::spawn) runs, and that do nothing else
    /// meanwhile.
    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>);
}

/// What can be made of a [`Runtime`].
pub trait RuntimeExt: Runtime {
    /// A UUIDv7 (RFC 9562, 5.7): 48 bits of wall-clock milliseconds, then random bits.
    fn uuid(&self) -> Uuid {
        let millis = u64::try_from(self.now().as_millisecond()).unwrap_or(0);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.random().to_le_bytes());
        random[8..].copy_from_slice(&self.random().to_le_bytes()[..2]);
        Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

impl<R: Runtime + ?Sized> RuntimeExt for R {}

/// Lets other tasks have their turn, on whatever runtime.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
