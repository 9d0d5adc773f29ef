//! Whatever panics in a provider or a store is an error outside of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::stream::{self, BoxStream, StreamExt};
use larder_core::{
    Applied, Batch, Borrower, Capabilities, Change, Changed, Context, Delta, DeltaAnswer, DeltaScope, Error,
    ErrorKind, Idempotency, Key, Meta, MetaRef, Model as _, Mutation, MutationId, Op, OpenStore, Opening,
    Operation, Page, Plan, Presence, Provider, Query, Realtime, Request, Requests, Response, Result, Row,
    Schema, Sent, Store as _, Tail, Timestamp, Uuid, async_trait,
};
use larder_derive::Model;

use super::{Contained, ContainedStore, Panicked};
use crate::events::Teller;

#[derive(Model, Clone, Debug)]
#[model(crate = "crate")]
struct Tag {
    #[model(key)]
    name: String,
}

/// A provider that panics over everything: over facts and doors too, if it is thorough.
#[derive(Debug)]
struct Panicking {
    thorough: bool,
}

impl Panicking {
    fn over<T>(&self, fact: T) -> T {
        assert!(!self.thorough, "a fact is missing");
        fact
    }
}

#[async_trait]
impl Provider for Panicking {
    fn name(&self) -> &str {
        self.over("panicking")
    }

    fn capabilities(&self) -> Capabilities {
        self.over(Capabilities::ALL)
    }

    fn idempotency(&self, _: &'static Schema, _: Operation) -> Idempotency {
        self.over(Idempotency::KEYED)
    }

    async fn get(&self, _: &Context, _: &'static Schema, _: &Query) -> Result<Page> {
        panic!("no page")
    }

    // As it is without the macro: what makes the future panics.
    fn exists<'a: 'f, 'c: 'f, 'q: 'f, 'f>(
        &'a self,
        _: &'c Context,
        _: &'static Schema,
        _: &'q Query,
    ) -> larder_core::runtime::BoxFuture<'f, Result<Presence>> {
        panic!("no {}", "presence")
    }

    fn explain(&self, _: &'static Schema, _: &Query) -> Result<Plan> {
        panic!("no plan")
    }

    async fn apply(&self, _: &Context, _: &Mutation) -> Result<Applied> {
        std::panic::panic_any(7)
    }

    fn delta(&self) -> Option<&dyn Delta> {
        Some(self.over(self))
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        Some(self.over(self))
    }

    fn requests(&self) -> Option<&dyn Requests> {
        Some(self.over(self))
    }
}

#[async_trait]
impl Delta for Panicking {
    fn scope(&self, _: &'static Schema) -> DeltaScope {
        panic!("no scope")
    }

    async fn changes(&self, _: &Context, _: &'static Schema, _: Option<&str>) -> Result<DeltaAnswer> {
        panic!("no changes")
    }
}

#[async_trait]
impl Realtime for Panicking {
    fn carries(&self, _: &'static Schema) -> bool {
        panic!("no answer")
    }

    async fn subscribe(
        &self,
        _: &Context,
        _: &'static Schema,
        from: Option<&str>,
    ) -> Result<BoxStream<'static, Result<Change>>> {
        assert!(from.is_none(), "no position");
        let mut hints = 2;
        Ok(stream::poll_fn(move |_| {
            hints -= 1;
            assert!(hints > 0, "no change");
            Poll::Ready(Some(Ok(Change { position: None, what: Changed::Hint })))
        })
        .boxed())
    }
}

#[async_trait]
impl Requests for Panicking {
    fn admit(&self, _: &Request) -> Result<Option<Arc<str>>> {
        panic!("no host")
    }

    async fn forward(&self, _: &Context, _: &Request) -> Result<Response> {
        panic!("no response")
    }
}

#[track_caller]
fn check<T>(outcome: Result<T>, text: &str, sent: Sent) {
    let error: Error = outcome.err().expect("it panicked");
    assert!(Panicked::is_cause_of(&error), "{error}");
    assert_eq!((error.kind(), error.sent(), error.is_transient()), (ErrorKind::Transport, sent, true));
    assert!(error.to_string().contains(&format!("the provider panicking panicked ({text})")), "{error}");
}

// Rules: o-panic, r-panic
#[tokio::test]
async fn every_request_that_panics_is_an_error_that_names_the_provider() {
    let contained = Contained(Arc::new(Panicking { thorough: false }));
    let (cx, schema, query) = (Context::new(), Tag::schema(), Query::all());
    check(contained.get(&cx, schema, &query).await, "no page", Sent::Maybe);
    check(contained.exists(&cx, schema, &query).await, "no presence", Sent::Maybe);
    check(contained.explain(schema, &query), "no plan", Sent::Maybe);
    let mutation = Mutation {
        id: MutationId(Uuid::nil()),
        schema,
        key: Key::from("a"),
        operation: Operation::Delete,
        row: None,
        changed: None,
        base_version: None,
        extra: None,
        repeated: false,
        nested: Vec::new(),
    };
    check(contained.apply(&cx, &mutation).await, "it did not say why", Sent::Maybe);
    let delta = contained.delta().expect("it has a delta");
    check(delta.changes(&cx, schema, None).await, "no changes", Sent::Maybe);
    let request = Request {
        id: MutationId(Uuid::nil()),
        method: "POST".into(),
        target: "/".into(),
        headers: Vec::new(),
        body: Arc::new([]),
        idempotency: Idempotency::KEYED,
        repeated: false,
    };
    let requests = contained.requests().expect("it takes requests");
    check(requests.admit(&request), "no host", Sent::Never);
    check(requests.forward(&cx, &request).await, "no response", Sent::Maybe);
}

// Rules: r-panic
#[tokio::test]
async fn a_stream_that_panics_ends_with_an_error() {
    let contained = Contained(Arc::new(Panicking { thorough: false }));
    let realtime = contained.realtime().expect("it pushes");
    check(realtime.subscribe(&Context::new(), Tag::schema(), Some("1")).await, "no position", Sent::Maybe);
    let mut changes = realtime.subscribe(&Context::new(), Tag::schema(), None).await.expect("a stream");
    assert!(matches!(changes.next().await, Some(Ok(_))));
    check(changes.next().await.expect("an error"), "no change", Sent::Maybe);
    assert!(changes.next().await.is_none(), "and that was its last item");
}

// Rules: r-panic
#[test]
fn a_fact_that_panics_is_the_one_that_does_least_harm() {
    let contained = Contained(Arc::new(Panicking { thorough: true }));
    assert_eq!(contained.capabilities(), Capabilities::NONE);
    assert_eq!(contained.idempotency(Tag::schema(), Operation::Insert), Idempotency::AtMostOnce);
    assert_eq!(contained.name(), "without a name");
    assert!(contained.delta().is_none() && contained.realtime().is_none() && contained.requests().is_none());
    let contained = Contained(Arc::new(Panicking { thorough: false }));
    assert_eq!(contained.delta().map(|delta| delta.scope(Tag::schema())), Some(DeltaScope::Nothing));
    assert!(!contained.realtime().expect("it pushes").carries(Tag::schema()));
}

/// Panics over the first row that it is lent.
struct Clumsy;

impl Borrower for Clumsy {
    fn take(&mut self, _: MetaRef<'_>, _: &dyn Row) -> Result<()> {
        panic!("it was dropped")
    }

    fn anew(&mut self) {}
}

// Rules: r-panic
#[cfg(feature = "memory")]
#[tokio::test]
async fn a_panic_of_the_one_who_is_lent_a_row_is_his_own() {
    let (runtime, schemas) = (Arc::new(crate::TokioRuntime::current().expect("it runs")), [Tag::schema()]);
    let opening = Opening { runtime, schemas: Arc::new(schemas) };
    let inner = OpenStore::open(Box::new(crate::Memory::new()), &opening).await.expect("it opens");
    let (schema, cx, teller) = (Tag::schema(), Context::new(), Teller::default());
    let put = Op::Put {
        schema,
        key: Key::from("a"),
        row: Arc::new(Tag { name: "a".into() }),
        meta: Meta::synced(Timestamp::UNIX_EPOCH),
        tail: Tail::At(0),
    };
    inner.commit(&cx, Batch { expect: Vec::new(), ops: vec![put] }).await.expect("it is stored");
    let (mut events, store, all) = (teller.listen(), ContainedStore { inner, teller }, Query::all());
    let read = AssertUnwindSafe(|| store.read_now(schema, &all, &mut |_, _| panic!("it was dropped")));
    let lent = AssertUnwindSafe(store.lend(&cx, schema, &all, Box::new(Clumsy))).catch_unwind();
    for payload in [catch_unwind(read).map(drop).unwrap_err(), lent.await.map(drop).unwrap_err()] {
        assert_eq!(Panicked::of(&*payload).to_string(), "it was dropped");
    }
    assert!(events.next().now_or_never().is_none(), "the store has not panicked");
}
