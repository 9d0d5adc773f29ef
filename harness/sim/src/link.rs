//! A device's end of the network: a provider whose requests are tasks of the world, with a fate each.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use futures_util::future::{Either, select};
use larder_core::runtime::BoxFuture;
use larder_core::{
    Applied, Capabilities, Context, Delta, Error, ErrorKind, Idempotency, Mutation, OpenProvider, Opening,
    Operation, Page, Plan, Presence, Provider, Query, Realtime, Request, Requests, Response, Result, Runtime,
    Schema, Sent, async_trait,
};
use tokio::sync::oneshot;

use crate::errand::Host;
use crate::kernel::{Owner, lock};
use crate::overseer::Arrival;
use crate::schedule::Fate;
use crate::server::Running;
use crate::weather::Way;
use crate::world::{Of, Shared};

/// Opens the way to the server for one life of a device.
#[derive(Debug)]
pub(crate) struct Uplink {
    pub(crate) world: Arc<Shared>,
    pub(crate) device: usize,
    pub(crate) life: u64,
}

#[async_trait]
impl OpenProvider for Uplink {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Provider>> {
        let server = self.world.server_for(opening).await?;
        let plan = Arc::clone(&self.world.plan);
        let Self { world, device, life } = *self;
        let link = Link { world, device, life, server, runtime: Arc::clone(&opening.runtime) };
        Ok((plan.over_remote)(Arc::new(link), &opening.runtime))
    }
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) world: Arc<Shared>,
    pub(crate) device: usize,
    life: u64,
    pub(crate) server: Arc<Running>,
    runtime: Arc<dyn Runtime>,
}

/// What is done at the server, as often as the request arrives there.
pub(crate) type Effect<T> = Arc<dyn Fn() -> BoxFuture<'static, Result<T>> + Send + Sync>;

impl Link {
    /// The revision of the device's store.
    pub(crate) fn revision(&self) -> u64 {
        self.world.store(self.device).map_or(0, |store| store.revision())
    }

    /// Carries a request to the server and the answer back, as far as its fate lets it.
    pub(crate) async fn carry<T: Said>(
        &self,
        cx: &Context,
        host: Host,
        what: &str,
        effect: Effect<T>,
    ) -> Result<T> {
        if !self.world.is_alive(self.device, self.life) {
            return pending().await;
        }
        let (nth, fate) = self.world.request(self.device);
        let told = fate.map(|fate| format!(", {fate}")).unwrap_or_default();
        self.world.note(Of(self.device), format_args!("request {nth}: {what}{told}"));
        let patience = self.world.plan.network.patience;
        let left = cx.deadline.map(|deadline| deadline.saturating_sub(self.runtime.monotonic()));
        let patience = self.runtime.sleep(left.map_or(patience, |left| left.min(patience)));
        let given_up = select(patience, Box::pin(cx.cancellation.cancelled()));
        let answer = Box::pin(self.answer(host, nth, fate, effect));
        let answer = match select(answer, given_up).await {
            Either::Left((answer, _)) => answer,
            Either::Right((Either::Left(_), _)) => {
                Err(Error::new(ErrorKind::Timeout, "no answer in time").with_sent(Sent::Maybe))
            }
            Either::Right((Either::Right(_), _)) => {
                Err(Error::new(ErrorKind::Cancelled, "nobody waits for the answer").with_sent(Sent::Maybe))
            }
        };
        match &answer {
            Ok(answer) => {
                self.world.note(Of(self.device), format_args!("request {nth} -> {}", answer.said()));
            }
            Err(error) => {
                self.world.note(Of(self.device), format_args!("request {nth} -> {error}"));
                lock(&self.world.overseer).came_back(self.device, error);
            }
        }
        answer
    }

    async fn answer<T: Said>(
        &self,
        host: Host,
        nth: u64,
        fate: Option<Fate>,
        effect: Effect<T>,
    ) -> Result<T> {
        let (there, back) = self.world.plan.network.times(self.world.seed, self.device, nth);
        match self.world.way(self.device, host) {
            Way::Cut => return Err(refused()),
            Way::Portal => {
                self.runtime.sleep(there + back).await;
                return Err(T::portal());
            }
            Way::Refused => {
                self.runtime.sleep(there + back).await;
                return Err(unauthorized());
            }
            Way::Open => {}
        }
        let (heard, answered) = oneshot::channel();
        let mut delay = there;
        match fate {
            Some(Fate::Refused) => return Err(refused()),
            Some(Fate::Reset) => {
                self.runtime.sleep(there).await;
                return Err(broken());
            }
            Some(Fate::Lost) => return pending().await,
            Some(Fate::Status(status)) => {
                self.runtime.sleep(there + back).await;
                return Err(status_error(status));
            }
            Some(Fate::Delayed(by)) => delay += by,
            _ => {}
        }
        let (world, device) = (Arc::clone(&self.world), self.device);
        let kernel = Arc::clone(&world.kernel);
        let delivery = async move {
            world.kernel.sleep(delay).await;
            let answer = effect().await;
            world.note("server", format_args!("{}: {}", Of(device), Outline(&answer)));
            if fate == Some(Fate::Duplicated) {
                world.kernel.sleep(back + back).await;
                let again = effect().await;
                world.note("server", format_args!("{} once more: {}", Of(device), Outline(&again)));
            }
            world.kernel.sleep(back).await;
            // An answer does not reach a device that is cut off: nobody hears of it, not even that it is lost. And nobody may
            // wait for it any more.
            let _ = match (world.way(device, host), fate) {
                (Way::Cut, _) => return world.never_heard_of(heard),
                (_, Some(Fate::ReplyLost)) => heard.send(Err(broken())),
                (_, Some(Fate::LateStatus(status))) => heard.send(Err(status_error(status))),
                _ => heard.send(answer),
            };
        };
        kernel.spawn(Owner::World, "delivery", Box::pin(delivery));
        answered.await.unwrap_or_else(|_| Err(broken()))
    }
}

/// An answer, for the trace, and what a portal's page looks like in its place.
pub(crate) trait Said: Send + 'static {
    fn said(&self) -> String;
    fn portal() -> Error;
}

impl Said for Applied {
    fn said(&self) -> String {
        format!("{:?}", self.outcome)
    }

    fn portal() -> Error {
        Error::new(ErrorKind::Transport, "a page came instead of an answer").with_sent(Sent::Maybe)
    }
}

impl Said for Page {
    fn said(&self) -> String {
        let more = if self.next.is_some() { " and more" } else { "" };
        format!("{} rows{more}", self.rows.len())
    }

    fn portal() -> Error {
        let what = "expected JSON, found text/html that begins with `<html><title>Welcome</title>`";
        Error::new(ErrorKind::Serialization, what).with_status(200).with_sent(Sent::Answered)
    }
}

impl Said for Response {
    fn said(&self) -> String {
        self.status.to_string()
    }

    fn portal() -> Error {
        Applied::portal()
    }
}

impl Said for Presence {
    fn said(&self) -> String {
        format!("{self:?}")
    }

    fn portal() -> Error {
        Page::portal()
    }
}

struct Outline<'a, T>(&'a Result<T>);

impl<T: Said> fmt::Display for Outline<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(answer) => f.write_str(&answer.said()),
            Err(error) => write!(f, "{error}"),
        }
    }
}

fn refused() -> Error {
    Error::new(ErrorKind::Offline, "there is no connection").with_sent(Sent::Never)
}

pub(crate) fn broken() -> Error {
    Error::new(ErrorKind::Transport, "the connection broke").with_sent(Sent::Maybe)
}

fn unauthorized() -> Error {
    let error = Error::new(ErrorKind::Unauthorized, "the credentials have expired");
    error.with_status(401).with_sent(Sent::Answered)
}

fn status_error(status: u16) -> Error {
    let error = Error::new(ErrorKind::Http { status }, format!("the answer is {status}"));
    error.with_status(status).with_sent(Sent::Answered).with_transient(true)
}

#[async_trait]
impl Provider for Link {
    fn name(&self) -> &str {
        "network"
    }

    fn capabilities(&self) -> Capabilities {
        self.server.capabilities()
    }

    fn idempotency(&self, schema: &'static Schema, _: Operation) -> Idempotency {
        self.server.rules.declared(schema)
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        let what = match query.as_key() {
            Some(key) => format!("get {} {key}", schema.model),
            None => format!("get {}", schema.model),
        };
        let (server, asked) = (Arc::clone(&self.server), (cx.clone(), query.clone()));
        let effect: Effect<Page> = Arc::new(move || {
            let (server, (cx, query)) = (Arc::clone(&server), asked.clone());
            Box::pin(async move { server.get(&cx, schema, &query).await })
        });
        let revision = self.revision();
        let page = self.carry(cx, Host::Server, &what, effect).await?;
        let resumed = cx.resume.as_ref().map(|token| token.0.as_str());
        let next = page.next.as_ref().map(|token| token.0.as_str());
        let arrival = Arrival { rows: &page.rows, key: query.as_key(), resumed, next };
        lock(&self.world.overseer).came(self.device, schema, &arrival, revision);
        Ok(page)
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        let (server, query) = (Arc::clone(&self.server), query.clone());
        let effect: Effect<Presence> = Arc::new(move || {
            let (server, query) = (Arc::clone(&server), query.clone());
            Box::pin(async move { server.exists(schema, &query).await })
        });
        self.carry(cx, Host::Server, &format!("exists {}", schema.model), effect).await
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        self.server.rows().explain(schema, query)
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        let verb = mutation.operation.verb();
        let mut what = format!("{verb} {} {}", mutation.schema.model, mutation.key);
        if let Some(row) = &mutation.row {
            what += &format!(" {row:?}");
        }
        let declared = self.server.rules.declared(mutation.schema);
        let blind = lock(&self.world.overseer).sends(self.device, mutation, declared);
        if let Some(blind) = blind {
            self.world.fail("no blind repeat", blind);
        }
        let (server, world, device) = (Arc::clone(&self.server), Arc::clone(&self.world), self.device);
        let mutation = mutation.clone();
        let id = mutation.id;
        let effect: Effect<Applied> = Arc::new(move || {
            let (server, world, mutation) = (Arc::clone(&server), Arc::clone(&world), mutation.clone());
            Box::pin(async move { server.apply(world.kernel.now(), device, &mutation).await })
        });
        let answer = self.carry(cx, Host::Server, &what, effect).await;
        self.world.heard(self.device, Host::Server, answer.as_ref().err());
        if answer.as_ref().is_err_and(in_vain) {
            lock(&self.world.overseer).came_to_nothing(self.device, id);
        }
        answer
    }

    fn delta(&self) -> Option<&dyn Delta> {
        self.server.delta().map(|_| self as &dyn Delta)
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        self.server.realtime().map(|_| self as &dyn Realtime)
    }

    fn requests(&self) -> Option<&dyn Requests> {
        Some(self)
    }
}

#[async_trait]
impl Requests for Link {
    fn admit(&self, request: &Request) -> Result<Option<Arc<str>>> {
        if request.target.starts_with('/') {
            return Ok(None);
        }
        let (scheme, rest) = request.target.split_once("://").ok_or_else(|| {
            let what =
                "the target of the request is neither a path nor a URL: write `/path` or `https://host/path`";
            Error::new(ErrorKind::Invalid, what)
        })?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        Ok(Some(format!("{scheme}://{host}").into()))
    }

    async fn forward(&self, cx: &Context, request: &Request) -> Result<Response> {
        let host = Host::of(&request.target);
        let what =
            format!("{} {} {}", request.method, request.target, String::from_utf8_lossy(&request.body));
        let blind = lock(&self.world.overseer).requests(self.device, request);
        if let Some(blind) = blind {
            self.world.fail("no blind repeat", blind);
        }
        let (server, world, device) = (Arc::clone(&self.server), Arc::clone(&self.world), self.device);
        let asked = request.clone();
        let effect: Effect<Response> = Arc::new(move || {
            let answer = server.take(world.kernel.now(), device, &asked);
            Box::pin(std::future::ready(answer))
        });
        let answer = self.carry(cx, host, &what, effect).await;
        self.world.heard(self.device, host, answer.as_ref().err());
        if answer.as_ref().is_err_and(in_vain) {
            lock(&self.world.overseer).came_to_nothing(self.device, request.id);
        }
        answer
    }
}

/// Whether a request never left, or the answer says that nothing was done.
fn in_vain(error: &Error) -> bool {
    error.sent() == Sent::Never || matches!(error.status(), Some(401 | 425 | 429 | 503))
}
