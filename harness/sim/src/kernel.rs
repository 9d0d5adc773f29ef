//! The executor: tasks on one thread, picked in seeded order, and a clock that moves when nothing else can.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use larder_core::runtime::BoxFuture;
use larder_harness::Random;

/// Steps without any time passing after which something is taken to go in circles.
const CIRCLES: u64 = 2_000_000;

/// Whose task it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The world's own: the network, the script. It outlives every device.
    World,
    /// A life of a device; the task dies with it.
    Device {
        /// Which device.
        device: usize,
        /// Which of its lives.
        life: u64,
    },
}

/// Tasks, timers and time. One for each world.
pub(crate) struct Kernel {
    inner: Mutex<Inner>,
    ready: Arc<Ready>,
    /// Blocking work runs: nothing may wait for another task.
    blocking: AtomicBool,
}

struct Inner {
    now: Duration,
    timers: BTreeMap<(Duration, u64), Option<Waker>>,
    tasks: BTreeMap<u64, Task>,
    /// Lives that are over: what they still start is dropped.
    over: BTreeSet<Owner>,
    numbers: u64,
    /// `None`: in the order of their waking.
    order: Option<Random>,
    idle_steps: u64,
    steps: u64,
}

struct Task {
    owner: Owner,
    name: &'static str,
    wakes: Arc<Wakes>,
    /// `None` while it is polled.
    future: Option<BoxFuture<'static, ()>>,
}

/// What made the executor stop before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// A task panicked.
    Panicked { owner: Owner, name: &'static str, message: String },
    /// There is nothing left to do, and the end has not come.
    Idle,
    /// It goes on without time passing.
    Circles,
}

/// Tasks that were woken, each once, in the order of their waking.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

struct Wakes {
    task: u64,
    /// It waits for its turn already.
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            lock(&self.ready.0).push(self.task);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("now", &self.now()).finish_non_exhaustive()
    }
}

impl Kernel {
    /// An executor that picks by `seed`; with 0 it takes tasks in the order of their waking.
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let inner = Inner {
            now: Duration::ZERO,
            timers: BTreeMap::new(),
            tasks: BTreeMap::new(),
            over: BTreeSet::new(),
            numbers: 0,
            order: (seed != 0).then(|| Random::new(seed)),
            idle_steps: 0,
            steps: 0,
        };
        Arc::new(Self { inner: Mutex::new(inner), ready: Arc::default(), blocking: AtomicBool::new(false) })
    }

    pub(crate) fn now(&self) -> Duration {
        lock(&self.inner).now
    }

    /// How often a task was polled.
    pub(crate) fn steps(&self) -> u64 {
        lock(&self.inner).steps
    }

    /// True with one in `n`, by the seed of the order.
    pub(crate) fn one_in(&self, n: usize) -> bool {
        lock(&self.inner).order.as_mut().is_some_and(|order| order.below(n) == 0)
    }

    pub(crate) fn spawn(&self, owner: Owner, name: &'static str, future: BoxFuture<'static, ()>) {
        let mut inner = lock(&self.inner);
        if inner.over.contains(&owner) {
            drop(inner);
            return drop(future);
        }
        inner.numbers += 1;
        let number = inner.numbers;
        let ready = Arc::clone(&self.ready);
        let wakes = Arc::new(Wakes { task: number, queued: AtomicBool::new(false), ready });
        let task = Task { owner, name, wakes: Arc::clone(&wakes), future: Some(future) };
        inner.tasks.insert(number, task);
        drop(inner);
        wakes.wake();
    }

    /// Ends after `wait`.
    pub(crate) fn sleep(self: &Arc<Self>, wait: Duration) -> Sleep {
        let mut inner = lock(&self.inner);
        inner.numbers += 1;
        let at = (inner.now.saturating_add(wait), inner.numbers);
        inner.timers.insert(at, None);
        drop(inner);
        Sleep { at, kernel: Arc::clone(self) }
    }

    /// Ends a life: its tasks are dropped, and what they start meanwhile as well.
    pub(crate) fn end(&self, owner: Owner) {
        let mut inner = lock(&self.inner);
        inner.over.insert(owner);
        let (theirs, others) =
            std::mem::take(&mut inner.tasks).into_iter().partition(|(_, task)| task.owner == owner);
        inner.tasks = others;
        drop(inner);
        // Where nothing is locked: what is dropped may wake others.
        drop::<BTreeMap<u64, Task>>(theirs);
    }

    /// Whether there is a task of this name.
    pub(crate) fn has_task(&self, name: &str) -> bool {
        lock(&self.inner).tasks.values().any(|task| task.name == name)
    }

    /// Whether blocking work is under way on this thread: whoever is asked there must not wait.
    pub(crate) fn is_blocking(&self) -> bool {
        self.blocking.load(Ordering::Relaxed)
    }

    /// Runs `work` as work that may block.
    pub(crate) fn block<T>(&self, work: impl FnOnce() -> T) -> T {
        let outer = self.blocking.swap(true, Ordering::Relaxed);
        let done = work();
        self.blocking.store(outer, Ordering::Relaxed);
        done
    }

    /// Runs tasks until `done` says so; it is asked after every step.
    pub(crate) fn run(&self, mut done: impl FnMut() -> bool) -> Result<(), Halt> {
        loop {
            match self.pick() {
                Some(number) => self.poll(number)?,
                None if self.pass_time() => {}
                None => return Err(Halt::Idle),
            }
            if done() {
                return Ok(());
            }
        }
    }

    fn pick(&self) -> Option<u64> {
        let mut ready = lock(&self.ready.0);
        if ready.is_empty() {
            return None;
        }
        match &mut lock(&self.inner).order {
            Some(order) => {
                let at = order.below(ready.len());
                Some(ready.swap_remove(at))
            }
            None => Some(ready.remove(0)),
        }
    }

    fn poll(&self, number: u64) -> Result<(), Halt> {
        let mut inner = lock(&self.inner);
        inner.idle_steps += 1;
        inner.steps += 1;
        if inner.idle_steps > CIRCLES {
            return Err(Halt::Circles);
        }
        let Some(task) = inner.tasks.get_mut(&number) else { return Ok(()) };
        let (owner, name) = (task.owner, task.name);
        task.wakes.queued.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.wakes));
        let Some(mut future) = task.future.take() else { return Ok(()) };
        drop(inner);
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        let mut inner = lock(&self.inner);
        match polled {
            Ok(Poll::Pending) => {
                if let Some(task) = inner.tasks.get_mut(&number) {
                    task.future = Some(future);
                    return Ok(());
                }
            }
            Ok(Poll::Ready(())) => drop(inner.tasks.remove(&number)),
            Err(panic) => {
                self.blocking.store(false, Ordering::Relaxed);
                return Err(Halt::Panicked { owner, name, message: message_of(&*panic) });
            }
        }
        drop(inner);
        drop(future);
        Ok(())
    }

    /// Moves the clock to the next timer.
    fn pass_time(&self) -> bool {
        let mut inner = lock(&self.inner);
        let Some((at, waker)) = inner.timers.pop_first() else { return false };
        if at.0 > inner.now {
            inner.idle_steps = 0;
        }
        inner.now = inner.now.max(at.0);
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Drops all tasks: nothing of the world is left behind in a cycle.
    pub(crate) fn clear(&self) {
        let tasks = std::mem::take(&mut lock(&self.inner).tasks);
        drop(tasks);
        lock(&self.inner).timers.clear();
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// A sleep that has not ended; forgotten when it is dropped.
#[must_use = "it ends when it is awaited"]
pub(crate) struct Sleep {
    at: (Duration, u64),
    kernel: Arc<Kernel>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = lock(&self.kernel.inner);
        match inner.timers.get_mut(&self.at) {
            Some(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        lock(&self.kernel.inner).timers.remove(&self.at);
    }
}

/// Lets other tasks go first, once.
pub(crate) async fn step_aside() {
    let mut aside = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut aside, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
