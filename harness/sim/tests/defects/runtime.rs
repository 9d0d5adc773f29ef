//! A layer over a runtime that forgets timers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder::Timestamp;
use larder::core::Runtime;
use larder::core::runtime::BoxFuture;

#[derive(Debug)]
struct Forgetful {
    inner: Arc<dyn Runtime>,
    sleeps: AtomicU64,
}

/// Every third wait that is about as long as one before a retry never ends.
pub(crate) fn forgets_timers(inner: Arc<dyn Runtime>) -> Arc<dyn Runtime> {
    Arc::new(Forgetful { inner, sleeps: AtomicU64::new(0) })
}

impl Runtime for Forgetful {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let before_a_retry = (Duration::from_millis(100)..Duration::from_secs(20)).contains(&duration);
        if before_a_retry && self.sleeps.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            return Box::pin(std::future::pending());
        }
        self.inner.sleep(duration)
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.inner.spawn(name, task);
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.inner.blocking(name, work);
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.inner.in_place(name, work);
    }
}
