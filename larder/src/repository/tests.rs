//! What streams and watches leave behind: nothing.

#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use std::sync::Arc;
use std::task::{Context as Poller, Waker};

use larder_core::{
    Applied, Capabilities, Context, Delta, Idempotency, Model as _, Mutation, Operation, Page, Presence,
    Provider, Query, ReadPolicy, Realtime, Requests, Result, Schema, Select, async_trait,
};
use larder_derive::Model;

use super::Repository;
use crate::Memory;

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
