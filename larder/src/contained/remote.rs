//! A remote whose panics are errors: a defect of a provider ends one request, and not what has made it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt};
use larder_core::{
    Applied, Capabilities, Change, Context, Delta, DeltaAnswer, DeltaScope, Error, ErrorKind, Idempotency,
    Mutation, Operation, Page, Plan, Presence, Provider, Query, Realtime, Request, Requests, Response,
    Result, Schema, Sent, async_trait,
};

use super::panicked::{Panicked, later, now};

/// A remote that does not panic, whatever the one within does.
///
/// What it was asked for when it panicked is an error of the kind `Transport` whose source is a [`Panicked`]: how far it had
/// got, nobody knows.
#[derive(Debug)]
pub(crate) struct Contained(pub(crate) Arc<dyn Provider>);

#[cold]
fn failed(provider: &str, panicked: Panicked) -> Error {
    let what = format!(
        "the provider {provider} panicked ({panicked}): tell whoever maintains it what it was asked for"
    );
    tracing::error!(provider, %panicked, "a provider panicked");
    Error::new(ErrorKind::Transport, what).with_sent(Sent::Maybe).because(panicked)
}

impl Contained {
    fn name_of(&self) -> &str {
        now(|| self.0.name()).unwrap_or("without a name")
    }

    /// What `ask` comes to; a panic is an error.
    fn now<T>(&self, ask: impl FnOnce(&dyn Provider) -> Result<T>) -> Result<T> {
        now(|| ask(&*self.0)).unwrap_or_else(|panicked| Err(failed(self.name_of(), panicked)))
    }

    /// A fact about the provider; `otherwise` if it panics over it.
    fn fact<T>(&self, otherwise: T, ask: impl FnOnce(&dyn Provider) -> T) -> T {
        self.now(|inner| Ok(ask(inner))).unwrap_or(otherwise)
    }

    /// What `request` comes to; a panic is an error, of which `placed` says where it was.
    async fn later<T, F: Future<Output = Result<T>> + Send>(
        &self,
        request: impl FnOnce() -> F + Send,
        placed: impl FnOnce(Error) -> Error + Send,
    ) -> Result<T> {
        let asked = later(request).await;
        asked.unwrap_or_else(|panicked| Err(placed(failed(self.name_of(), panicked))))
    }
}

#[async_trait]
impl Provider for Contained {
    fn name(&self) -> &str {
        self.name_of()
    }

    fn capabilities(&self) -> Capabilities {
        self.fact(Capabilities::NONE, Provider::capabilities)
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.fact(Idempotency::AtMostOnce, |inner| inner.idempotency(schema, operation))
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        let placed = |error: Error| error.during("get").model(schema.model);
        self.later(|| self.0.get(cx, schema, query), placed).await
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        let placed = |error: Error| error.during("look for").model(schema.model);
        self.later(|| self.0.exists(cx, schema, query), placed).await
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        self.now(|inner| inner.explain(schema, query))
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        let Mutation { schema, key, operation, .. } = mutation;
        let placed = |error: Error| error.during(operation.verb()).model(schema.model).key(key);
        self.later(|| self.0.apply(cx, mutation), placed).await
    }

    fn delta(&self) -> Option<&dyn Delta> {
        self.fact(None, |inner| inner.delta().map(|_| ()))?;
        Some(self)
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        self.fact(None, |inner| inner.realtime().map(|_| ()))?;
        Some(self)
    }

    fn requests(&self) -> Option<&dyn Requests> {
        self.fact(None, |inner| inner.requests().map(|_| ()))?;
        Some(self)
    }
}

#[async_trait]
impl Delta for Contained {
    fn scope(&self, schema: &'static Schema) -> DeltaScope {
        let scope = |inner: &dyn Provider| inner.delta().map(|delta| delta.scope(schema));
        self.fact(None, scope).unwrap_or(DeltaScope::Nothing)
    }

    async fn changes(
        &self,
        cx: &Context,
        schema: &'static Schema,
        since: Option<&str>,
    ) -> Result<DeltaAnswer> {
        let changes = || async { self.0.delta().ok_or_else(gone)?.changes(cx, schema, since).await };
        self.later(changes, |error| error.during("pull").model(schema.model)).await
    }
}

#[async_trait]
impl Realtime for Contained {
    fn carries(&self, schema: &'static Schema) -> bool {
        self.fact(false, |inner| inner.realtime().is_some_and(|realtime| realtime.carries(schema)))
    }

    async fn subscribe(
        &self,
        cx: &Context,
        schema: &'static Schema,
        from: Option<&str>,
    ) -> Result<BoxStream<'static, Result<Change>>> {
        let subscribe = || async { self.0.realtime().ok_or_else(gone)?.subscribe(cx, schema, from).await };
        let placed = move |error: Error| error.during("listen").model(schema.model);
        let changes = AssertUnwindSafe(self.later(subscribe, placed).await?).catch_unwind();
        let name = self.name_of().to_owned();
        let contained = move |change: std::thread::Result<_>| {
            change.unwrap_or_else(|payload| Err(placed(failed(&name, Panicked::of(&*payload)))))
        };
        Ok(changes.map(contained).boxed())
    }
}

#[async_trait]
impl Requests for Contained {
    fn admit(&self, request: &Request) -> Result<Option<Arc<str>>> {
        let admitted = self.now(|inner| inner.requests().ok_or_else(gone)?.admit(request));
        // It is only looked at.
        admitted.map_err(|error| error.with_sent(Sent::Never))
    }

    async fn forward(&self, cx: &Context, request: &Request) -> Result<Response> {
        let forward = || async { self.0.requests().ok_or_else(gone)?.forward(cx, request).await };
        self.later(forward, |error| error.during("send a request")).await
    }
}

/// A face that was there before is not there now.
fn gone() -> Error {
    Error::new(ErrorKind::Unsupported, "the provider does not have this face any more")
}
