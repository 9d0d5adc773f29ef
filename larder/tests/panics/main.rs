//! What is given to a repository panics, and a task is dropped: what was asked for comes to an end, and the outbox goes on.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that can't go on stops, and waits in real time"
)]

#[path = "../support/mod.rs"]
mod support;

mod device;
mod store;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder::core::{
    Applied, Capabilities, Context, Delta, Mutation, Page, Presence, Provider, Query, Realtime, Requests,
    Response, Schema, Store, async_trait,
};
use larder::{
    ErrorKind, Happened, Idempotency, Memory, Operation, OutboxEvent, OutboxSettings, ParkReason, ReadPolicy,
    Repository, RequestSettings, Result, Select, TokioRuntime,
};
use support::chaos::memory;
use support::{Note, User, local, note, parked, settled, soon};

/// A memory store that panics as often as it is told: over the rows with these keys when it has stored them, and when it
/// is read. Or one that never answers.
#[derive(Debug)]
struct Brittle {
    server: Arc<dyn Store>,
    idempotency: Idempotency,
    over: Mutex<BTreeMap<String, usize>>,
    reads: AtomicUsize,
    hangs: AtomicBool,
}

impl Brittle {
    async fn new(idempotency: Idempotency) -> Arc<Self> {
        let (over, reads, hangs) = Default::default();
        Arc::new(Self { server: memory().await, idempotency, over, reads, hangs })
    }

    fn panics_over(&self, key: &str, times: usize) {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), times);
    }
}

#[async_trait]
impl Provider for Brittle {
    fn name(&self) -> &str {
        "brittle"
    }

    fn capabilities(&self) -> Capabilities {
        self.server.capabilities()
    }

    fn idempotency(&self, _: &'static Schema, _: Operation) -> Idempotency {
        self.idempotency
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        let left = self.reads.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(left.is_err(), "the page has no rows");
        self.server.get(cx, schema, query).await
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<larder::core::Plan> {
        self.server.explain(schema, query)
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.server.exists(cx, schema, query).await
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let upsert = Mutation { operation: Operation::Upsert, ..mutation.clone() };
        let applied = self.server.apply(cx, &upsert).await?;
        // While it holds a lock: whatever the provider has of its own is poisoned from now on.
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = over.get_mut(&mutation.key.to_string()).filter(|left| **left > 0) {
            *left -= 1;
            panic!("index out of bounds");
        }
        Ok(applied)
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

fn over(store: Arc<dyn Store>, remote: &Arc<Brittle>) -> larder::Builder {
    let remote: Arc<dyn Provider> = Arc::<Brittle>::clone(remote);
    let settings = OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(5));
    let settings = settings.strikes(3, Duration::ZERO);
    Repository::builder().store(store).remote(remote).model::<Note>().model::<User>().outbox(settings)
}

// Rules: o-panic
#[tokio::test]
async fn a_mutation_over_which_the_remote_has_panicked_goes_again() {
    let remote = Brittle::new(Idempotency::Idempotent).await;
    let repo = over(memory().await, &remote).build().await.unwrap();
    let mut events = repo.outbox().events();
    remote.panics_over("1", 2);
    let stored = repo.upsert(&note("1", "mine", 0)).await.unwrap();
    assert_eq!(soon(stored.accepted()).await.unwrap().text, "mine");
    let mut happened = Vec::new();
    while happened.last() != Some(&Happened::Accepted) {
        if let Some(OutboxEvent::Mutation { what, .. }) = soon(events.next()).await {
            happened.push(what);
        }
    }
    let (first, again) = (Happened::Sent { repeated: false }, Happened::Sent { repeated: true });
    let postponed = Happened::Postponed;
    assert_eq!(happened[1..], [first, postponed, again, postponed, again, Happened::Accepted]);
    let status = soon(repo.outbox().settled()).await;
    assert_eq!((status.in_flight, status.pending, status.online), (0, 0, true));
}

// Rules: o-panic, o-idempotency
#[tokio::test]
async fn what_must_not_be_repeated_is_parked_when_the_remote_panics() {
    let remote = Brittle::new(Idempotency::AtMostOnce).await;
    let repo = over(memory().await, &remote).build().await.unwrap();
    remote.panics_over("1", 1);
    let stored = repo.upsert(&note("1", "mine", 0)).await.unwrap();
    let error = soon(stored.accepted()).await.unwrap_err();
    assert!(error.to_string().contains("the provider brittle panicked (index out of bounds)"), "{error}");
    let parked = parked(&repo, 1).await;
    assert_eq!((parked[0].parked, parked[0].maybe_sent), (Some(ParkReason::Uncertain), true));
    assert!(parked[0].failure.as_ref().unwrap().message.contains("brittle panicked"));
    repo.outbox().retry(parked[0].seq).await.unwrap();
    settled(&repo).await;
}

// Rules: o-panic, o-parked
#[tokio::test]
async fn a_row_over_which_the_remote_always_panics_stops_itself_alone() {
    let remote = Brittle::new(Idempotency::KEYED).await;
    let repo = over(memory().await, &remote).build().await.unwrap();
    remote.panics_over("poison", usize::MAX);
    for id in ["poison", "1", "2", "3"] {
        let _ = repo.upsert(&note(id, "mine", 0)).await.unwrap();
    }
    let parked = parked(&repo, 1).await;
    assert_eq!((parked[0].parked, parked[0].key.to_string()), (Some(ParkReason::Exhausted), "poison".into()));
    let status = soon(repo.outbox().settled()).await;
    assert_eq!((status.pending, status.in_flight, status.parked), (0, 0, 1));
    repo.outbox().discard(parked[0].seq).await.unwrap();
    assert_eq!(local(&repo).await, ["1", "2", "3"]);
}

// Rules: r-panic
#[tokio::test]
async fn a_read_over_which_the_remote_panics_is_a_read_that_has_failed() {
    let remote = Brittle::new(Idempotency::KEYED).await;
    let repo = over(memory().await, &remote).build().await.unwrap();
    let _ = repo.upsert(&note("1", "mine", 0)).await.unwrap();
    settled(&repo).await;
    remote.reads.store(2, Ordering::SeqCst);
    let error = repo.reading(ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(error.to_string().contains("the provider brittle panicked (the page has no rows)"), "{error}");
    let error = repo.sync().await.unwrap_err();
    assert!(error.to_string().contains("the provider brittle panicked"), "{error}");
    repo.sync().await.unwrap();
    assert_eq!(local(&repo).await, ["1"]);
}

// Rules: o-panic, o-requests
#[tokio::test]
async fn a_request_over_which_the_remote_has_panicked_goes_again() {
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let remote = Memory::new().answering(move |_| {
        assert!(count.fetch_add(1, Ordering::SeqCst) > 0, "the first is too much");
        Ok(Response { status: 204, headers: Vec::new(), body: None })
    });
    let settings = OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(5));
    let builder = Repository::builder().store(Memory::new()).remote(remote).outbox(settings);
    let repo = builder.requests(RequestSettings::new()).build().await.unwrap();
    let sent = repo.http().post("/events").idempotency(Idempotency::KEYED).send().await.unwrap();
    assert_eq!(soon(sent.accepted()).await.unwrap().status, 204);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

// Rules: o-panic, o-status
#[test]
fn nothing_counts_as_on_its_way_once_the_task_that_sends_is_gone() {
    let (ours, theirs) = (runtime(), runtime());
    let (store, remote) = ours.block_on(async { (memory().await, Brittle::new(Idempotency::KEYED).await) });
    let repo = ours.block_on(async {
        remote.hangs.store(true, Ordering::SeqCst);
        let theirs = Arc::new(TokioRuntime::new(theirs.handle().clone()));
        let repo = over(Arc::clone(&store), &remote).runtime(theirs).build().await.unwrap();
        drop(repo.upsert(&note("1", "mine", 0)).await.unwrap());
        let mut statuses = repo.watch_status();
        while repo.status().in_flight == 0 {
            let _ = soon(statuses.next()).await;
        }
        repo
    });
    theirs.shutdown_background();
    ours.block_on(async {
        let mut statuses = repo.watch_status();
        while repo.status().in_flight > 0 {
            let _ = soon(statuses.next()).await;
        }
        let status = repo.status();
        assert_eq!((status.in_flight, status.pending, status.is_settled()), (0, 1, false));
        drop(repo);
        // It was marked as sent, and goes again.
        remote.hangs.store(false, Ordering::SeqCst);
        let again = over(store, &remote).build().await.unwrap();
        settled(&again).await;
        assert_eq!(local(&again).await, ["1"]);
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}
