//! The transport: a request goes in, an answer comes out, and no socket is opened.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use larder_core::Error;
use serde_json::{Value, json};
use tower::Service;

use crate::calls::{Call, conceal};
use crate::collection::Asked;
use crate::error::{self, BoxError, Undeclared};
use crate::nearest::nearest;
use crate::pattern::{self, Target};
use crate::stubs::{Inner, Stubs};
use crate::switches::{Effect, Fault};
use crate::variant::Answer;

/// How many variants an unmatched request is told of.
const NEAREST: usize = 3;

type Answered = Result<Response<Full<Bytes>>, Error>;

impl<B> Service<Request<B>> for Stubs
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let stubs = self.clone();
        Box::pin(async move { stubs.handle(request).await })
    }
}

/// What a request comes to, before its delay.
struct Handled {
    answer: Response<Full<Bytes>>,
    delay: Duration,
    lost: bool,
}

impl Stubs {
    async fn handle<B>(self, request: Request<B>) -> Answered
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| error::broken_body(error.into()))?.to_bytes();
        let (handled, runtime) = {
            let mut inner = self.inner();
            (inner.handle(parts, body)?, inner.runtime.clone())
        };
        if !handled.delay.is_zero() {
            runtime.ok_or_else(error::no_runtime)?.sleep(handled.delay).await;
        }
        if handled.lost { Err(error::lost_reply()) } else { Ok(handled.answer) }
    }
}

/// Who answers a request.
enum Route {
    Variant(usize),
    Collection(usize),
    Nobody,
}

impl Inner {
    fn handle(&mut self, parts: Parts, body: Bytes) -> Result<Handled, Error> {
        let target = Target::new(&parts.method, &parts.uri, &self.base);
        let json: Option<Value> = serde_json::from_slice(&body).ok();
        let route = self.route(&target, json.as_ref());
        let effect = self.draw(&route);
        if effect.fault == Some(Fault::Refused) {
            self.refused += 1;
            tracing::debug!(request = %target, "stub refused");
            return Err(error::refused());
        }
        let url = url(&parts);
        let mut call = Call {
            number: self.calls.len(),
            method: target.method,
            segments: target.segments,
            query: target.query,
            headers: conceal(parts.headers),
            body,
            variant: None,
            status: 0,
            lost: effect.fault == Some(Fault::LostReply),
        };
        let (answer, delay) = match (effect.fault, route) {
            (Some(Fault::Status(status)), _) => {
                (Answer::new().status(status).build(&call, 1), Duration::ZERO)
            }
            (_, Route::Variant(at)) => {
                let declared = &mut self.variants[at];
                declared.asked += 1;
                call.variant = Some(declared.variant.name.clone());
                declared.variant.answer(&call, declared.asked)
            }
            (_, Route::Collection(at)) => (self.collect(at, &mut call, &url), Duration::ZERO),
            (_, Route::Nobody) => (self.undeclare(&call), Duration::ZERO),
        };
        call.status = answer.status().as_u16();
        tracing::debug!(request = %call, "stub answered");
        let handled = Handled { answer, delay: delay + effect.delay, lost: call.lost };
        self.calls.push(call);
        Ok(handled)
    }

    fn route(&self, target: &Target, body: Option<&Value>) -> Route {
        let fits = self
            .variants
            .iter()
            .enumerate()
            .filter_map(|(at, declared)| declared.variant.fit(target, body).map(|fit| (fit, at)));
        if let Some((_, at)) = fits.max() {
            return Route::Variant(at);
        }
        let holds = |rows: &crate::collection::Rows| {
            let path = pattern::segments(&rows.config.path);
            let behind = target.segments.strip_prefix(&path[..]).map(<[_]>::len);
            let item = rows.config.key.len();
            let tells = rows.config.changes.is_some() && behind == Some(1);
            (tells || behind.is_some_and(|behind| behind == 0 || behind == item)).then_some(path.len())
        };
        let held =
            self.collections.iter().enumerate().filter_map(|(at, rows)| holds(rows).map(|depth| (depth, at)));
        held.max().map_or(Route::Nobody, |(_, at)| Route::Collection(at))
    }

    /// What the switches do: those of the variant first.
    fn draw(&self, route: &Route) -> Effect {
        let all = self.switches.draw();
        let own = match route {
            Route::Variant(at) => self.variants[*at].variant.switches.draw(),
            _ => Effect::default(),
        };
        Effect { fault: own.fault.or(all.fault), delay: own.delay + all.delay }
    }

    fn collect(&mut self, at: usize, call: &mut Call, url: &str) -> Response<Full<Bytes>> {
        let rows = &mut self.collections[at];
        call.variant = Some(rows.config.path.clone());
        let depth = pattern::segments(&rows.config.path).len();
        let key = &call.segments[depth..];
        let asked = Asked {
            method: &call.method,
            key,
            query: &call.query,
            headers: &call.headers,
            body: &call.body,
            url: above(url, key.len()),
        };
        rows.answer(&asked).build(call, 1)
    }

    fn undeclare(&mut self, call: &Call) -> Response<Full<Bytes>> {
        let asked = call.target().to_string();
        let nearest = nearest(&asked, self.declared(), NEAREST);
        let undeclared = Undeclared { asked, nearest };
        tracing::warn!(%undeclared, "stub is missing");
        let body = json!({ "error": undeclared.to_string(), "nearest": undeclared.nearest });
        let mut answer = Answer::new().status(501).json(body).build(call, 1);
        answer.extensions_mut().insert(undeclared.clone());
        self.undeclared.push(undeclared);
        answer
    }
}

/// The URL that was asked for, without its query: absolute where the authority is known.
fn url(parts: &Parts) -> String {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let path = parts.uri.path().trim_end_matches('/');
    match (parts.uri.authority().map(http::uri::Authority::as_str).or(host), parts.uri.scheme_str()) {
        (Some(authority), scheme) => format!("{}://{authority}{path}", scheme.unwrap_or("http")),
        (None, _) => path.to_owned(),
    }
}

/// The URL without its last `count` segments.
fn above(url: &str, count: usize) -> &str {
    (0..count).fold(url, |url, _| url.rsplit_once('/').map_or(url, |(above, _)| above))
}
