//! A runtime whose day passes as fast as it is filled: virtual clocks, and tasks and blocking work as in production.

use std::time::Duration;

use larder::core::Runtime;
use larder::core::runtime::BoxFuture;
use larder::{Timestamp, TokioRuntime};
use larder_harness::TestRuntime;
use tokio::runtime::Handle;

#[derive(Debug)]
pub(crate) struct Day {
    clock: TestRuntime,
    work: TokioRuntime,
}

impl Day {
    pub(crate) fn on(tokio: &Handle) -> Self {
        Self { clock: TestRuntime::manual(1), work: TokioRuntime::new(tokio.clone()) }
    }

    /// Time passes.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Waits in real time until something is so, for a minute at most.
    pub(crate) async fn until(&self, is_so: impl Fn() -> bool) {
        for _ in 0..600 {
            if is_so() {
                return;
            }
            self.work.sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Runtime for Day {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn random(&self) -> u64 {
        self.clock.random()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.work.spawn(name, task);
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.work.blocking(name, work);
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.work.in_place(name, work);
    }
}
