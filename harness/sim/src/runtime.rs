//! What a device has for a runtime: the world's clock with an offset of its own, tasks that die with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use larder_core::Runtime;
use larder_core::runtime::BoxFuture;
use larder_harness::Random;

use crate::kernel::{Kernel, Owner, lock};

/// Where the wall clock of a device begins: 2026-01-01T00:00:00Z, in seconds since 1970.
const START: i64 = 1_767_225_600;

/// How far the wall clock of a device is from the world's.
pub(crate) type Offset = Arc<Mutex<SignedDuration>>;

/// The runtime of one life of a device, or of the server.
#[derive(Debug)]
pub(crate) struct WorldRuntime {
    kernel: Arc<Kernel>,
    owner: Owner,
    /// A monotonic clock begins anew with each life.
    born: Duration,
    offset: Offset,
    random: Mutex<Random>,
}

impl WorldRuntime {
    pub(crate) fn new(kernel: &Arc<Kernel>, owner: Owner, offset: Offset, seed: u64) -> Arc<Self> {
        let random = Mutex::new(Random::new(seed));
        Arc::new(Self { kernel: Arc::clone(kernel), owner, born: kernel.now(), offset, random })
    }
}

impl Runtime for WorldRuntime {
    fn now(&self) -> Timestamp {
        let start = Timestamp::from_second(START).unwrap_or(Timestamp::UNIX_EPOCH);
        let since = SignedDuration::try_from(self.kernel.now()).unwrap_or(SignedDuration::MAX);
        start.checked_add(since.saturating_add(*lock(&self.offset))).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn monotonic(&self) -> Duration {
        self.kernel.now().saturating_sub(self.born)
    }

    fn random(&self) -> u64 {
        lock(&self.random).draw()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.kernel.sleep(duration))
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.kernel.spawn(self.owner, name, task);
    }

    /// As a task of its own, so that others may come before it; inline where nothing may wait.
    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        if self.kernel.is_blocking() {
            return work();
        }
        let kernel = Arc::clone(&self.kernel);
        self.kernel.spawn(self.owner, name, Box::pin(async move { kernel.block(work) }));
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.blocking(name, work);
    }
}
