//! What can be seen from within alone: what streams and watches leave behind, and what the driver does if its schedule is behind.

#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use std::sync::Arc;
use std::task::{Context as Poller, Waker};

use larder_core::{
    Applied, Batch, Capabilities, Context, Delta, Entry, EntryState, Idempotency, Model as _, Mutation, Op,
    Operation, Page, ParkReason, Presence, Provider, Query, ReadPolicy, Realtime, Requests, Result, Schema,
    Select, async_trait,
};
use larder_derive::Model;

use super::Repository;
use crate::Memory;
use crate::engine::{Answer, Event};

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
