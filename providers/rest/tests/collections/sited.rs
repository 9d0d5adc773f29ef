//! The server for rows, and beside it one for requests that are no models.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use larder_core::Error;
use larder_harness::{Arrived, Site};
use larder_stubs::Stubs;
use tower::{Service, ServiceExt};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Requests below `/site`, and all to another host, go to the site; the rest to the stubs.
#[derive(Clone, Debug)]
pub struct Sited {
    stubs: Stubs,
    site: Site,
    /// Where it is another host, whatever a request says.
    elsewhere: bool,
    host: Option<&'static str>,
}

impl Sited {
    /// A server that has no other host.
    pub fn new(stubs: Stubs, site: Site) -> Self {
        Self { stubs, site, elsewhere: false, host: None }
    }

    /// Requests to `host` are for another.
    pub fn apart(mut self, host: &'static str) -> Self {
        self.host = Some(host);
        self
    }

    /// It is another host itself.
    pub fn elsewhere(site: Site) -> Self {
        Self { elsewhere: true, ..Self::new(Stubs::new(), site) }
    }
}

impl<B> Service<Request<B>> for Sited
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let elsewhere = self.elsewhere || (self.host.is_some() && request.uri().host() == self.host);
        if !elsewhere && !request.uri().path().starts_with("/site/") {
            let stubs = self.stubs.clone();
            return Box::pin(async move { Ok(stubs.oneshot(request).await?.map(Body::new)) });
        }
        let site = self.site.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(Body::new(body), usize::MAX).await.expect("a body");
            let key = parts.headers.get("idempotency-key").map(text);
            let reply = site.reply(Arrived {
                elsewhere,
                method: parts.method.to_string(),
                target: parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
                headers: headers(&parts.headers),
                key,
                body: body.to_vec(),
            });
            let answer = Response::builder().status(reply.status);
            let answer =
                reply.headers.iter().fold(answer, |answer, (name, value)| answer.header(name, value));
            Ok(answer.body(Body::from(reply.body)).expect("an answer"))
        })
    }
}

fn text(value: &HeaderValue) -> String {
    value.to_str().expect("text").to_owned()
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let told = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), text(value));
    headers.iter().map(told).collect()
}
