//! A task that has blocked its thread stays there for a while.
//!
//! Where a task blocks in place, tokio gives its worker to another thread, which is woken for that. What the task waits for
//! next often comes in a moment: the answer of a server nearby, after which it blocks again. Should it go back to tokio
//! meanwhile, one thread is woken to go on with it, and another to take the worker, each time.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use larder_core::runtime::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

#[cfg(test)]
mod tests;

/// For how long a task waits on a thread that it has blocked.
const MOMENT: Duration = Duration::from_millis(1);

/// For how long it goes on like this, however often it blocks again: tokio can stop it only when it is back.
const STAY: Duration = Duration::from_millis(50);

thread_local! {
    /// Whether the task that is being polled on this thread has blocked it.
    static BLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// The task that is being polled blocks its thread.
pub(super) fn blocks() {
    BLOCKED.set(true);
}

/// Whether a runtime of tokio stops. It drops its tasks first and its timers then, after which these panic if they are
/// polled; but a task that is being polled goes on.
#[derive(Clone, Debug)]
pub(super) struct Stopping {
    stops: Arc<AtomicBool>,
    _watch: Arc<Watch>,
}

/// A task that does nothing but to be dropped with the others.
#[derive(Debug)]
struct Watch(AbortHandle);

struct Raised(Arc<AtomicBool>);

impl Stopping {
    pub(super) fn of(handle: &Handle) -> Self {
        let stops = Arc::<AtomicBool>::default();
        let raised = Raised(Arc::clone(&stops));
        let watch = async move {
            let _raised = raised;
            std::future::pending::<()>().await;
        };
        Self { stops, _watch: Arc::new(Watch(handle.spawn(watch).abort_handle())) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A task of tokio that may block in place.
pub(super) struct Lingering {
    task: BoxFuture<'static, ()>,
    stopping: Stopping,
    moment: Duration,
    stay: Duration,
    /// Since when it waits as any other task, because nothing came in a moment.
    away: Option<Instant>,
    /// Whether what it waited for like that came soon after.
    quick: bool,
}

impl Lingering {
    pub(super) fn new(task: BoxFuture<'static, ()>, stopping: Stopping) -> Self {
        Self { task, stopping, moment: MOMENT, stay: STAY, away: None, quick: true }
    }

    fn stops(&self) -> bool {
        self.stopping.stops.load(Ordering::Acquire)
    }

    fn poll_task(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.task.as_mut().poll(cx)
    }

    /// Waits on this thread; ends when nothing comes in a moment.
    fn linger(&mut self) -> Poll<()> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut cx = Context::from_waker(&waker);
        let begun = now();
        let end = begun + self.stay;
        let mut until = begun + self.moment;
        while !self.stops() {
            if self.poll_task(&mut cx).is_ready() {
                return Poll::Ready(());
            }
            let now = now();
            if BLOCKED.take() {
                until = end.min(now + self.moment);
            }
            if now >= until {
                break;
            }
            // What else has parked this thread within a poll may have taken the wake-up: then it is polled a moment later.
            std::thread::park_timeout(until - now);
        }
        Poll::Pending
    }
}

impl Future for Lingering {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Where it has to wait for longer each time, it would only block a thread more.
        if let Some(since) = self.away.take() {
            self.quick = since.elapsed() < self.moment;
        }
        BLOCKED.set(false);
        if self.poll_task(cx).is_ready() {
            return Poll::Ready(());
        }
        if !BLOCKED.take() {
            return Poll::Pending;
        }
        if self.quick && tokio::task::block_in_place(|| self.linger()).is_ready() {
            return Poll::Ready(());
        }
        self.away = Some(now());
        // Whoever wakes it from now on is to wake tokio's task.
        if self.quick && !self.stops() { self.poll_task(cx) } else { Poll::Pending }
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread waits in real time")]
fn now() -> Instant {
    Instant::now()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
