//! Where a task waits that has blocked its thread, and for how long.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail here, and uses threads")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use larder_core::Runtime as _;

use super::*;
use crate::TokioRuntime;

/// Longer than any test takes.
const EVER: Duration = Duration::from_secs(3600);

/// Counts how often tokio's task would be woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A task that does, at each poll, what comes next: whether it blocks, and is done.
struct Task {
    steps: Mutex<Vec<Step>>,
    waker: Mutex<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// It blocks, and waits for something that comes from another thread.
    Blocks,
    /// It blocks, and waits for what does not come.
    BlocksAlone,
    /// It waits for what does not come.
    Waits,
    /// It has come to its end.
    Ends,
}

/// The task, and what it still has before it.
fn task(steps: &[Step], moment: Duration, stay: Duration) -> (Lingering, Arc<Task>) {
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stopping = Stopping::of(tokio.handle());
    // The test goes on without it.
    std::mem::forget(tokio);
    let steps = Mutex::new(steps.iter().rev().copied().collect());
    let task = Arc::new(Task { steps, waker: Mutex::default() });
    let polled = Arc::clone(&task);
    let future = std::future::poll_fn(move |cx| {
        let step = polled.steps.lock().unwrap().pop().unwrap_or(Step::Waits);
        *polled.waker.lock().unwrap() = Some(cx.waker().clone());
        if matches!(step, Step::Blocks | Step::BlocksAlone) {
            blocks();
        }
        if step == Step::Blocks {
            let waker = cx.waker().clone();
            std::thread::spawn(move || waker.wake());
        }
        if step == Step::Ends { Poll::Ready(()) } else { Poll::Pending }
    });
    (Lingering { moment, stay, ..Lingering::new(Box::pin(future), stopping) }, task)
}

impl Task {
    fn left(&self) -> usize {
        self.steps.lock().unwrap().len()
    }

    fn wake(&self) {
        self.waker.lock().unwrap().take().unwrap().wake();
    }
}

fn poll(task: &mut Lingering) -> (Poll<()>, Arc<Woken>) {
    let woken = Arc::<Woken>::default();
    let polled = Pin::new(task).poll(&mut Context::from_waker(&Waker::from(Arc::clone(&woken))));
    (polled, woken)
}

#[test]
fn it_goes_on_where_it_has_blocked_for_as_long_as_it_is_woken_there() {
    let steps = [Step::BlocksAlone, Step::Blocks, Step::Blocks, Step::Ends];
    let (mut lingering, _) = task(&steps, EVER, EVER);
    let (polled, woken) = poll(&mut lingering);
    assert!(polled.is_ready());
    assert_eq!(woken.0.load(Ordering::SeqCst), 0, "tokio's task is not woken");
}

#[test]
fn it_does_not_stay_where_it_has_not_blocked() {
    let (mut lingering, task) = task(&[Step::Waits, Step::Ends], EVER, EVER);
    // Another task has, before it.
    blocks();
    assert!(poll(&mut lingering).0.is_pending());
    assert_eq!(task.left(), 1, "it was polled once");
}

#[test]
fn if_nothing_comes_in_a_moment_it_waits_as_any_other_task() {
    let (mut lingering, task) = task(&[Step::BlocksAlone], Duration::ZERO, EVER);
    let (polled, woken) = poll(&mut lingering);
    assert!(polled.is_pending() && lingering.away.is_some());
    task.wake();
    assert_eq!(woken.0.load(Ordering::SeqCst), 1, "what wakes it wakes tokio's task");
}

#[test]
fn what_it_had_to_wait_for_longer_is_not_waited_for_on_a_thread_the_next_time() {
    let steps = [Step::BlocksAlone, Step::Ends];
    let (mut lingering, task) = task(&steps, Duration::ZERO, EVER);
    lingering.away = Some(now());
    assert!(poll(&mut lingering).0.is_pending());
    assert_eq!(task.left(), 1, "it was polled once");
    assert!(lingering.away.is_some(), "and so it goes on");
}

#[test]
fn that_it_has_to_wait_for_longer_is_not_forgotten_if_it_is_polled_in_between() {
    let steps = [Step::Waits, Step::BlocksAlone, Step::Ends];
    let (mut lingering, task) = task(&steps, Duration::ZERO, EVER);
    lingering.away = Some(now());
    assert!(poll(&mut lingering).0.is_pending());
    assert!(poll(&mut lingering).0.is_pending());
    assert_eq!(task.left(), 1, "it was polled once each time");
}

#[test]
fn what_came_soon_after_is_waited_for_on_a_thread_again() {
    let (mut lingering, _) = task(&[Step::Blocks, Step::Ends], EVER, EVER);
    lingering.away = Some(now());
    assert!(poll(&mut lingering).0.is_ready());
}

#[test]
fn it_goes_back_in_the_end_however_often_it_blocks() {
    let mut steps = [Step::Blocks; 1_000];
    steps[999] = Step::Ends;
    let (mut lingering, task) = task(&steps, EVER, Duration::ZERO);
    assert!(poll(&mut lingering).0.is_pending());
    assert!(task.left() > 900, "{} of 1000 are left", task.left());
}

/// Tells whether its task has panicked.
struct Ends(mpsc::Sender<bool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.send(std::thread::panicking()).unwrap();
    }
}

#[test]
fn a_runtime_that_stops_does_not_wait_for_it_and_it_does_not_look_at_its_timers() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let runtime = TokioRuntime::new(tokio.handle().clone());
    let stopping = Stopping::of(tokio.handle());
    let ((there, is_there), (ends, end)) = (mpsc::channel(), mpsc::channel());
    let (ends, mut sleep, mut polls) = (Ends(ends), runtime.sleep(EVER), 0);
    let task = std::future::poll_fn(move |cx| {
        let _ = &ends;
        let polled = sleep.as_mut().poll(cx);
        polls += 1;
        match polls {
            1 => runtime.in_place("work", Box::new(|| ())),
            // It stays on its thread, and is not polled again before something wakes it.
            2 => there.send(()).unwrap(),
            _ => {}
        }
        polled
    });
    tokio.spawn(Lingering { moment: EVER, stay: EVER, ..Lingering::new(Box::pin(task), stopping) });
    is_there.recv().unwrap();
    drop(tokio);
    assert!(!end.recv().unwrap(), "it has panicked");
}

/// Whether work that is done in place blocks the thread of the task.
async fn blocked() -> bool {
    let runtime = TokioRuntime::current().unwrap();
    let task = async move {
        runtime.in_place("work", Box::new(|| ()));
        BLOCKED.take()
    };
    tokio::spawn(task).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn work_in_place_blocks_the_thread() {
    assert!(blocked().await);
}

#[tokio::test]
async fn work_that_is_done_elsewhere_does_not() {
    assert!(!blocked().await);
}
