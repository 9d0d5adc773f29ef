//! A runtime whose clock is moved by hand.

use std::time::Duration;

use larder::core::runtime::BoxFuture;
use larder::{Runtime, Timestamp};
use tokio::sync::watch;

#[derive(Clone, Debug)]
pub(crate) struct Clock(watch::Sender<Duration>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Duration::ZERO))
    }

    /// Moves the clock, and lets those who have waited for it come to rest.
    pub(crate) async fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now += by);
        rest().await;
    }
}

/// Lets all that can go on go on.
pub(crate) async fn rest() {
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}

impl Runtime for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *self.0.borrow()
    }

    fn random(&self) -> u64 {
        u64::MAX / 2
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (end, mut clock) = (self.monotonic() + duration, self.0.subscribe());
        Box::pin(async move { drop(clock.wait_for(|now| *now >= end).await) })
    }

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
