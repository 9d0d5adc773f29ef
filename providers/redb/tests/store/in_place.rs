//! Where a commit is made: on the thread of the one who does nothing else meanwhile, or elsewhere.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use larder_core::runtime::BoxFuture;
use larder_core::{CommitObserver, CommitOutcome, Context, Query, Runtime, Store, Timestamp, Touched};
use larder_redb::Redb;

use crate::support::{PERSON, TestRuntime, batch, commit, cx, lent, open_on, person, put};

type Work = Box<dyn FnOnce() + Send>;

/// Runs work inline; once it is told to, what may block elsewhere waits for the test.
#[derive(Default)]
struct ByHand {
    inner: TestRuntime,
    holds: AtomicBool,
    aside: Mutex<Vec<Work>>,
    here: AtomicUsize,
}

impl ByHand {
    /// How many pieces of work were run on the calling thread, and how many wait.
    fn seen(&self) -> (usize, usize) {
        (self.here.load(Ordering::SeqCst), self.aside.lock().unwrap().len())
    }

    fn run_aside(&self) {
        let work = std::mem::take(&mut *self.aside.lock().unwrap());
        work.into_iter().for_each(|work| work());
    }
}

impl std::fmt::Debug for ByHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByHand")
    }
}

impl Runtime for ByHand {
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
        self.inner.sleep(duration)
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.inner.spawn(name, task);
    }

    fn blocking(&self, _: &'static str, work: Work) {
        if self.holds.load(Ordering::SeqCst) {
            self.aside.lock().unwrap().push(work);
        } else {
            work();
        }
    }

    fn in_place(&self, _: &'static str, work: Work) {
        self.here.fetch_add(1, Ordering::SeqCst);
        work();
    }
}

async fn store() -> (Arc<dyn Store>, Arc<ByHand>) {
    let runtime = Arc::new(ByHand::default());
    let store = open_on(runtime.clone(), &Redb::in_memory(), &[&PERSON]).await.unwrap();
    runtime.holds.store(true, Ordering::SeqCst);
    (store, runtime)
}

fn alone() -> Context {
    Context { alone: true, ..cx() }
}

fn is_committed(outcome: Option<&larder_core::Result<CommitOutcome>>) -> bool {
    matches!(outcome, Some(Ok(CommitOutcome::Committed(_))))
}

#[tokio::test]
async fn whoever_does_nothing_else_commits_on_his_own_thread() {
    let (store, runtime) = store().await;
    let outcome = store.commit(&alone(), batch([put(&PERSON, person(1, "Ada", "", 1))])).now_or_never();
    assert!(is_committed(outcome.as_ref()), "it is durable without anybody being woken");
    assert_eq!(runtime.seen(), (1, 0));
    let mut other = Box::pin(commit(&*store, [put(&PERSON, person(2, "Bob", "", 1))]));
    assert!((&mut other).now_or_never().is_none());
    assert_eq!(runtime.seen(), (1, 1), "the thread of anyone else is left alone");
    runtime.run_aside();
    other.await.unwrap();
}

#[tokio::test]
async fn behind_others_he_waits_as_they_do() {
    let (store, runtime) = store().await;
    let mut other = Box::pin(commit(&*store, [put(&PERSON, person(1, "Ada", "", 1))]));
    assert!((&mut other).now_or_never().is_none());
    let cx = alone();
    let mut own = store.commit(&cx, batch([put(&PERSON, person(2, "Bob", "", 1))]));
    assert!((&mut own).now_or_never().is_none());
    assert_eq!(runtime.seen(), (0, 1), "one writes at a time");
    runtime.run_aside();
    assert_eq!(other.await.unwrap().revision, 1);
    assert!(is_committed(Some(&own.await)));
}

/// How many rows readers see.
fn count(store: &dyn Store) -> usize {
    lent(store, &PERSON, &Query::all()).unwrap().unwrap().len()
}

/// Commits once more as soon as something is durable.
struct Follows(Weak<dyn Store>, AtomicUsize);

impl CommitObserver for Follows {
    fn durable(&self, _: &Touched) {}

    fn published(&self, _: &Touched) {
        let nth = self.1.fetch_add(1, Ordering::SeqCst) as u32;
        if nth < 2 {
            let store = self.0.upgrade().unwrap();
            let more = batch([put(&PERSON, person(10 + nth, "Eve", "", 1))]);
            assert!(store.commit(&cx(), more).now_or_never().is_none());
        }
    }
}

#[tokio::test]
async fn what_others_commit_meanwhile_does_not_hold_him_up() {
    let (store, runtime) = store().await;
    let follows = Arc::new(Follows(Arc::downgrade(&store), AtomicUsize::new(0)));
    let observer: Arc<dyn CommitObserver> = follows.clone();
    store.observe(Arc::downgrade(&observer));
    let outcome = store.commit(&alone(), batch([put(&PERSON, person(1, "Ada", "", 1))])).now_or_never();
    assert!(is_committed(outcome.as_ref()));
    assert_eq!(count(&*store), 1, "his own transaction and no other");
    assert_eq!(runtime.seen(), (1, 1));
    runtime.run_aside();
    assert_eq!(count(&*store), 3);
    assert_eq!(runtime.seen(), (1, 0), "a turn that goes on elsewhere goes on to the end");
    let outcome = store.commit(&alone(), batch([put(&PERSON, person(2, "Bob", "", 1))])).now_or_never();
    assert!(is_committed(outcome.as_ref()), "it has ended, so the next one begins here again");
}

#[tokio::test]
async fn a_turn_that_can_not_go_on_elsewhere_is_over() {
    let (store, runtime) = store().await;
    let follows = Arc::new(Follows(Arc::downgrade(&store), AtomicUsize::new(1)));
    let observer: Arc<dyn CommitObserver> = follows.clone();
    store.observe(Arc::downgrade(&observer));
    let outcome = store.commit(&alone(), batch([put(&PERSON, person(1, "Ada", "", 1))])).now_or_never();
    assert!(is_committed(outcome.as_ref()));
    let mut waiting = Box::pin(commit(&*store, [put(&PERSON, person(2, "Bob", "", 1))]));
    assert!((&mut waiting).now_or_never().is_none());
    drop(std::mem::take(&mut *runtime.aside.lock().unwrap()));
    waiting.await.unwrap_err();
    let outcome = store.commit(&alone(), batch([put(&PERSON, person(3, "Cid", "", 1))])).now_or_never();
    assert!(is_committed(outcome.as_ref()), "whoever comes next begins anew");
}
