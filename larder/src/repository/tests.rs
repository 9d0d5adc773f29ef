//! What can be seen from within alone: what streams and watches leave behind, and what the driver does if its schedule is behind.

#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as Poller, Waker};
use std::time::Duration;

use larder_core::{
    Applied, Batch, Capabilities, Context, Delta, Entry, EntryState, Idempotency, Model as _, Mutation, Op,
    Operation, Page, ParkReason, Presence, Provider, Query, ReadPolicy, Realtime, Requests, Result, Schema,
    Select, async_trait,
};
use larder_derive::Model;

use larder_core::runtime::{BoxFuture, yield_now};
use larder_core::{Runtime, Timestamp};
use tokio::sync::Notify;

use super::Repository;
use crate::engine::{Answer, Event};
use crate::{Memory, TokioRuntime};

#[derive(Model, Clone, Debug)]
#[model(crate = "crate")]
struct Tag {
    #[model(key)]
    name: String,
}

/// A remote that never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Provider for Silent {
    fn name(&self) -> &str {
        "silent"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn idempotency(&self, _: &'static Schema, _: Operation) -> Idempotency {
        Idempotency::Idempotent
    }

    async fn get(&self, _: &Context, _: &'static Schema, _: &Query) -> Result<Page> {
        std::future::pending().await
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<larder_core::Plan> {
        Ok(query.plan(schema, &self.capabilities()))
    }

    async fn exists(&self, _: &Context, _: &'static Schema, _: &Query) -> Result<Presence> {
        std::future::pending().await
    }

    async fn apply(&self, _: &Context, _: &Mutation) -> Result<Applied> {
        std::future::pending().await
    }

    fn delta(&self) -> Option<&dyn Delta> {
        None
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        None
    }

    fn requests(&self) -> Option<&dyn Requests> {
        None
    }
}

async fn repo() -> Repository {
    let remote: Arc<dyn Provider> = Arc::new(Silent);
    Repository::builder().store(Memory::new()).remote(remote).model::<Tag>().build().await.unwrap()
}

/// Polls once.
#[track_caller]
fn waits<T>(future: impl Future<Output = T>) {
    let mut future = std::pin::pin!(future);
    assert!(future.as_mut().poll(&mut Poller::from_waker(Waker::noop())).is_pending());
}

// Rules: r-stream
#[tokio::test]
async fn a_stream_that_is_dropped_gives_its_fetch_up() {
    let repo = repo().await;
    let mut answers = repo.stream(Select::<Tag>::all()).unwrap();
    assert!(answers.next().await.unwrap().unwrap().is_empty());
    waits(answers.next());
    assert_eq!(repo.shared.flights.len(), 1);
    let mut other = repo.stream(Select::<Tag>::all()).unwrap();
    other.next().await.unwrap().unwrap();
    waits(other.next());
    drop(answers);
    assert_eq!(repo.shared.flights.len(), 1, "the other one still waits");
    drop(other);
    assert_eq!(repo.shared.flights.len(), 0);
}

// Rules: r-watch
#[tokio::test]
async fn a_watch_that_is_dropped_is_forgotten() {
    let repo = repo().await;
    let watching = || repo.shared.changes.watching(Tag::schema());
    let mut live = repo.watch(Select::<Tag>::all()).unwrap();
    let local = repo.reading(ReadPolicy::LocalOnly).watch(Select::<Tag>::all()).unwrap();
    live.next().await.unwrap().unwrap();
    waits(live.next());
    assert_eq!((watching(), repo.shared.flights.len()), (2, 1));
    drop((live, local));
    assert_eq!((watching(), repo.shared.flights.len()), (0, 0));
}

// Rules: r-stream
#[tokio::test]
async fn a_read_that_is_given_up_leaves_no_fetch() {
    let repo = repo().await;
    waits(repo.get(Select::<Tag>::all()));
    assert_eq!(repo.shared.flights.len(), 0);
}

// Rules: p-wipe
#[tokio::test]
async fn of_what_was_wiped_nothing_is_kept() {
    let repo = repo().await;
    drop(repo.upsert(&Tag { name: "a".into() }).await.unwrap());
    let acts = Arc::clone(&repo.remote().unwrap().acts);
    let others = async || {
        for _ in 0..50 {
            yield_now().await;
        }
    };
    others().await;
    assert!(!acts.recent.is_empty(), "it is on its way");
    repo.wipe().await.unwrap();
    others().await;
    assert!(acts.recent.is_empty());
}

// Rules: o-parked
#[tokio::test]
async fn what_waits_for_a_decision_is_not_sent_if_the_schedule_does_not_know_it_yet() {
    let builder = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Tag>();
    let repo = builder.paused().build().await.unwrap();
    drop(repo.upsert(&Tag { name: "red".into() }).await.unwrap());
    let (cx, acts) = (Context::new(), &repo.remote().unwrap().acts);
    let entry = acts.store.outbox(&cx, 0, 1).await.unwrap().entries.remove(0);
    let (seq, state) = (entry.seq, EntryState::Parked(ParkReason::Rejected));
    let park = Op::Revise(Box::new(Entry { state, ..entry }));
    acts.store.commit(&cx, Batch { expect: Vec::new(), ops: vec![park] }).await.unwrap();
    let Event::Answered { answer, .. } = acts.send(seq, false).await else { panic!("it is answered") };
    assert_eq!(answer, Answer::Waits(ParkReason::Rejected));
}

/// Time passes when it is told to.
#[derive(Debug)]
struct Still {
    inner: TokioRuntime,
    passes: Arc<Notify>,
}

impl Runtime for Still {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        let passes = Arc::clone(&self.passes);
        Box::pin(async move { passes.notified().await })
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.inner.spawn(name, task);
    }

    fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn in_place(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

// Rules: o-news
#[tokio::test]
async fn news_waits_for_a_moment_where_nothing_can_go_and_nobody_looks_on() {
    let passes = Arc::<Notify>::default();
    let runtime = Still { inner: TokioRuntime::current().unwrap(), passes: Arc::clone(&passes) };
    let builder = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Tag>();
    let repo = builder.runtime(Arc::new(runtime)).paused().build().await.unwrap();
    let acts = Arc::clone(&repo.remote().unwrap().acts);
    // Lets everybody go on, and tells whether the schedule has read what is stored.
    let has_read = async || {
        for _ in 0..50 {
            yield_now().await;
        }
        acts.loading.load(Ordering::SeqCst) == acts.store.revision()
    };
    let reads = async |name: &str| {
        drop(repo.upsert(&Tag { name: name.into() }).await.unwrap());
        has_read().await
    };
    assert!(reads("a").await, "the first is read at once");
    assert!(!reads("b").await && !reads("c").await, "those that follow wait");
    assert_eq!(repo.status().pending, 3, "and are counted all the same");
    passes.notify_waiters();
    assert!(has_read().await, "together they are read");
    assert!(!reads("d").await);
    let events = repo.outbox().events();
    passes.notify_waiters();
    assert!(has_read().await);
    assert!(reads("e").await && reads("f").await, "whoever looks on hears of each at once");
    drop(events);
    let status = repo.watch_status();
    assert!(reads("g").await && reads("h").await);
    drop(status);
    assert!(reads("i").await && !reads("j").await);
    let written = acts.store.revision();
    repo.outbox().resume();
    has_read().await;
    assert!(acts.loading.load(Ordering::SeqCst) >= written, "what can be sent does not wait");
    assert_eq!(repo.outbox().settled().await.pending, 0);
}
