//! Layers over a remote that send what they should not, or not when they should.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::core::{
    Applied, Capabilities, Context, Delta, Idempotency, Key, Mutation, Operation, Outcome, Page, Plan,
    Presence, Provider, Query, Realtime, Request, Requests, Response, Result, Row, Runtime, RuntimeExt,
    Schema, async_trait,
};
use larder::{Error, ErrorKind, MutationId};

/// What a device has pulled.
pub(crate) type Pulled = Arc<Mutex<Vec<(&'static Schema, Key, Arc<dyn Row>)>>>;

enum Fault {
    NewKeys,
    LateCreations,
    Remembers(Pulled),
    /// Answers that were given, by what was asked; every other one is given once more.
    Copies(Mutex<BTreeMap<String, Page>>),
    NoSuchStatus,
    LateRequests,
    Steady,
    OneHost,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a fault")
    }
}

#[derive(Debug)]
struct Meddling {
    inner: Arc<dyn Provider>,
    runtime: Option<Arc<dyn Runtime>>,
    fault: Fault,
}

/// A repeat goes out under a key of its own, so no server can know it for one.
pub(crate) fn mints_a_new_key_for_repeats(
    inner: Arc<dyn Provider>,
    runtime: &Arc<dyn Runtime>,
) -> Arc<dyn Provider> {
    Arc::new(Meddling { inner, runtime: Some(Arc::clone(runtime)), fault: Fault::NewKeys })
}

/// A new row is said to be accepted, and goes out two seconds later: whatever comes after it overtakes it.
pub(crate) fn sends_creations_later(
    inner: Arc<dyn Provider>,
    runtime: &Arc<dyn Runtime>,
) -> Arc<dyn Provider> {
    Arc::new(Meddling { inner, runtime: Some(Arc::clone(runtime)), fault: Fault::LateCreations })
}

/// A copy of an answer stands for the answer, every other time that the same is asked.
pub(crate) fn answers_from_a_copy(inner: Arc<dyn Provider>, _: &Arc<dyn Runtime>) -> Arc<dyn Provider> {
    Arc::new(Meddling { inner, runtime: None, fault: Fault::Copies(Mutex::default()) })
}

/// Refused credentials are taken for a refusal.
pub(crate) fn takes_401_for_a_no(inner: Arc<dyn Provider>, _: &Arc<dyn Runtime>) -> Arc<dyn Provider> {
    Arc::new(Meddling { inner, runtime: None, fault: Fault::NoSuchStatus })
}

/// A request that is no model is said to be accepted, and goes out two seconds later.
pub(crate) fn sends_requests_later(
    inner: Arc<dyn Provider>,
    runtime: &Arc<dyn Runtime>,
) -> Arc<dyn Provider> {
    Arc::new(Meddling { inner, runtime: Some(Arc::clone(runtime)), fault: Fault::LateRequests })
}

/// Pages that go on by number are said to leave out no row.
pub(crate) fn calls_its_pages_steady(inner: Arc<dyn Provider>, _: &Arc<dyn Runtime>) -> Arc<dyn Provider> {
    Arc::new(Meddling { inner, runtime: None, fault: Fault::Steady })
}

/// Requests to other hosts are said to go to the one that has the rows.
pub(crate) fn knows_one_host(inner: Arc<dyn Provider>, _: &Arc<dyn Runtime>) -> Arc<dyn Provider> {
    Arc::new(Meddling { inner, runtime: None, fault: Fault::OneHost })
}

/// What is pulled is remembered.
pub(crate) fn remembers(inner: Arc<dyn Provider>, pulled: Pulled) -> Arc<dyn Provider> {
    Arc::new(Meddling { inner, runtime: None, fault: Fault::Remembers(pulled) })
}

#[async_trait]
impl Provider for Meddling {
    fn name(&self) -> &str {
        "meddling"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.inner.idempotency(schema, operation)
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        if let Fault::Copies(copies) = &self.fault {
            let asked = format!("{} {query:?} {:?}", schema.model, cx.resume);
            let copy = copies.lock().unwrap().remove(&asked);
            if let Some(copy) = copy {
                return Ok(copy);
            }
            let page = self.inner.get(cx, schema, query).await?;
            copies.lock().unwrap().insert(asked, page.clone());
            return Ok(page);
        }
        let mut page = self.inner.get(cx, schema, query).await?;
        page.steady |= matches!(self.fault, Fault::Steady);
        if let (Fault::Remembers(pulled), None) = (&self.fault, query.as_key()) {
            let rows = page
                .rows
                .iter()
                .filter_map(|row| Some((schema, schema.key_of(&*row.row).ok()?, Arc::clone(&row.row))));
            pulled.lock().unwrap().extend(rows);
        }
        Ok(page)
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.inner.exists(cx, schema, query).await
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        self.inner.explain(schema, query)
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        match (&self.fault, &self.runtime) {
            (Fault::NewKeys, Some(runtime)) if mutation.repeated => {
                let mutation = Mutation { id: MutationId(runtime.uuid()), ..mutation.clone() };
                self.inner.apply(cx, &mutation).await
            }
            (Fault::LateCreations, Some(runtime)) if mutation.operation == Operation::Insert => {
                let (inner, cx, mutation) = (Arc::clone(&self.inner), cx.clone(), mutation.clone());
                let later = runtime.sleep(Duration::from_secs(2));
                let send = async move {
                    later.await;
                    // Nobody waits for what comes of it.
                    drop(inner.apply(&cx, &mutation).await);
                };
                runtime.spawn("later", Box::pin(send));
                Ok(Applied { outcome: Outcome::Accepted, row: None })
            }
            (Fault::NoSuchStatus, _) => {
                self.inner.apply(cx, mutation).await.map_err(|error| match error.kind() {
                    ErrorKind::Unauthorized => Error::new(ErrorKind::Rejected, "no").with_status(401),
                    _ => error,
                })
            }
            _ => self.inner.apply(cx, mutation).await,
        }
    }

    fn delta(&self) -> Option<&dyn Delta> {
        self.inner.delta()
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        self.inner.realtime()
    }

    fn requests(&self) -> Option<&dyn Requests> {
        self.inner.requests().map(|_| self as &dyn Requests)
    }
}

#[async_trait]
impl Requests for Meddling {
    fn admit(&self, request: &Request) -> Result<Option<Arc<str>>> {
        let host = self.inner.requests().expect("it takes requests").admit(request)?;
        Ok(host.filter(|_| !matches!(self.fault, Fault::OneHost)))
    }

    async fn forward(&self, cx: &Context, request: &Request) -> Result<Response> {
        match (&self.fault, &self.runtime) {
            (Fault::LateRequests, Some(runtime)) => {
                let (inner, cx, request) = (Arc::clone(&self.inner), cx.clone(), request.clone());
                let later = runtime.sleep(Duration::from_secs(2));
                let send = async move {
                    later.await;
                    if let Some(requests) = inner.requests() {
                        // Nobody waits for what comes of it.
                        drop(requests.forward(&cx, &request).await);
                    }
                };
                runtime.spawn("later", Box::pin(send));
                Ok(Response { status: 200, headers: Vec::new(), body: None })
            }
            (Fault::NewKeys, Some(runtime)) if request.repeated => {
                let request = Request { id: MutationId(runtime.uuid()), ..request.clone() };
                self.inner.requests().expect("it takes requests").forward(cx, &request).await
            }
            _ => self.inner.requests().expect("it takes requests").forward(cx, request).await,
        }
    }
}
