//! What the outcomes of requests tell about the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_core::runtime::BoxFuture;
use larder_core::{
    Applied, Capabilities, Connectivity, Context, Delta, DeltaAnswer, DeltaScope, Error, ErrorKind,
    Idempotency, Mutation, Operation, Page, Plan, Presence, Provider, Query, Realtime, Requests, Result,
    Schema, async_trait,
};
use tokio::sync::watch;

/// The connectivity of a repository that was given none: it knows by the outcome of requests.
///
/// It never says that a request is hopeless, because only a request proves that. What it tells is the moment at which the
/// remote can be reached again: when it answers a read after it could not be reached. Then what waits for a backoff to
/// end is tried at once.
#[derive(Debug)]
pub struct PassiveConnectivity {
    heard: Heard,
    /// How often it had been regained when that was told last.
    told: Arc<AtomicU64>,
}

/// What was heard of the remote; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Whether the last request came to nothing, and how often that has ended.
    state: Arc<watch::Sender<(bool, u64)>>,
}

impl Default for Heard {
    fn default() -> Self {
        Self { state: Arc::new(watch::Sender::new((false, 0))) }
    }
}

impl Heard {
    /// A monitor that tells what is heard from now on.
    pub(crate) fn monitor(&self) -> PassiveConnectivity {
        let told = Arc::new(AtomicU64::new(self.state.borrow().1));
        PassiveConnectivity { heard: self.clone(), told }
    }

    /// The outcome of a read.
    fn of<T>(&self, outcome: &Result<T>) {
        let down = outcome.as_ref().err().is_some_and(|error| error.kind() == ErrorKind::Offline);
        // Other errors say neither that the remote can be reached nor that it can't.
        if !down && outcome.is_err() {
            return;
        }
        self.state.send_if_modified(|(was_down, regained)| {
            let back = *was_down && !down;
            *was_down = down;
            *regained += u64::from(back);
            back
        });
    }
}

impl Connectivity for PassiveConnectivity {
    fn is_online(&self) -> bool {
        true
    }

    fn is_metered(&self) -> bool {
        false
    }

    fn changed(&self, seen: bool) -> BoxFuture<'static, ()> {
        let (mut state, told) = (self.heard.state.subscribe(), Arc::clone(&self.told));
        Box::pin(async move {
            if !seen {
                return;
            }
            let news = state.wait_for(|(_, regained)| *regained > told.load(Ordering::SeqCst)).await;
            match news.map(|state| state.1) {
                Ok(regained) => told.store(regained, Ordering::SeqCst),
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// A remote whose reads are listened to.
#[derive(Debug)]
pub(crate) struct Listened {
    pub(crate) inner: Arc<dyn Provider>,
    pub(crate) heard: Heard,
}

#[async_trait]
impl Provider for Listened {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.inner.idempotency(schema, operation)
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        let page = self.inner.get(cx, schema, query).await;
        self.heard.of(&page);
        page
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        let presence = self.inner.exists(cx, schema, query).await;
        self.heard.of(&presence);
        presence
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        self.inner.explain(schema, query)
    }

    /// What becomes of a write, the engine hears by itself.
    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        self.inner.apply(cx, mutation).await
    }

    fn delta(&self) -> Option<&dyn Delta> {
        self.inner.delta().map(|_| self as &dyn Delta)
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        self.inner.realtime()
    }

    fn requests(&self) -> Option<&dyn Requests> {
        self.inner.requests()
    }
}

#[async_trait]
impl Delta for Listened {
    fn scope(&self, schema: &'static Schema) -> DeltaScope {
        self.inner.delta().map_or(DeltaScope::Nothing, |delta| delta.scope(schema))
    }

    async fn changes(
        &self,
        cx: &Context,
        schema: &'static Schema,
        since: Option<&str>,
    ) -> Result<DeltaAnswer> {
        let delta = self.inner.delta().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the remote does not tell what has changed")
                .model(schema.model)
        })?;
        let answer = delta.changes(cx, schema, since).await;
        self.heard.of(&answer);
        answer
    }
}
