//! The runtime of production: tokio's timers and threads, the system's clocks and randomness.

use std::time::{Duration, Instant};

use larder_core::runtime::BoxFuture;
use larder_core::{Error, ErrorKind, Result, Runtime, Timestamp};
use tokio::runtime::{Handle, RuntimeFlavor};

mod linger;

use linger::{Lingering, Stopping};

/// Runs on a tokio runtime, of either flavour, with its timers on.
///
/// An application that has one thread alone (`current_thread`) works as any other: what blocks goes to tokio's blocking threads
/// there. On a runtime with several, a commit of the task that sends is made where that task is
/// ([`in_place`](Runtime::in_place)); that is what this crate needs tokio's feature `rt-multi-thread` for, which starts nothing by
/// itself. Meanwhile, and for up to a millisecond after it (50 in a row), the task keeps one of tokio's blocking threads, because
/// the next answer often comes by then; where it comes later, it does not.
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
    /// Of a runtime with several threads: on one alone nothing blocks.
    stopping: Option<Stopping>,
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
        let several = handle.runtime_flavor() == RuntimeFlavor::MultiThread;
        Self { stopping: several.then(|| Stopping::of(&handle)), handle, start: Instant::now() }
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
        match &self.stopping {
            Some(stopping) => drop(self.handle.spawn(Lingering::new(task, stopping.clone()))),
            None => drop(self.handle.spawn(task)),
        }
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        tracing::trace!(name, "blocking");
        self.handle.spawn_blocking(work);
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        match Handle::try_current().map(|here| here.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => {
                tracing::trace!(name, "in place");
                linger::blocks();
                tokio::task::block_in_place(work);
            }
            // There the other tasks have no other thread.
            _ => self.blocking(name, work),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Does work in place that ends when another task lets it, and gives the threads of the caller and of the work.
    async fn in_place() -> [std::thread::ThreadId; 2] {
        let runtime = TokioRuntime::current().unwrap();
        let (done, here) = tokio::sync::oneshot::channel();
        let inner = runtime.clone();
        let task = Box::pin(async move {
            let (go, wait) = mpsc::channel();
            inner.spawn("other", Box::pin(async move { go.send(()).unwrap() }));
            let (worked, work) = tokio::sync::oneshot::channel();
            let caller = std::thread::current().id();
            let waits = move || {
                wait.recv().unwrap();
                worked.send(std::thread::current().id()).unwrap();
            };
            inner.in_place("work", Box::new(waits));
            done.send([caller, work.await.unwrap()]).unwrap();
        });
        runtime.spawn("task", task);
        here.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn in_place_is_the_same_thread_and_others_go_on() {
        let [caller, worked] = in_place().await;
        assert_eq!(caller, worked);
    }

    #[tokio::test]
    async fn where_others_have_no_other_thread_work_is_done_elsewhere() {
        let [caller, worked] = in_place().await;
        assert_ne!(caller, worked);
    }
}
