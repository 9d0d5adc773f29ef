//! One request and its answer: credentials, time, redirects, and how much of an answer is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::BodyExt;
use larder_core::{Context, Error, ErrorKind, Result, Runtime, Sent};
use tracing::Instrument;

use crate::credentials::{Credential, Credentials, Secrets};
use crate::error::{of_body, of_status, of_transport, unfit};
use crate::meaning::{Meaning, Statuses};
use crate::origin::{Base, Origin, resolve};
use crate::query::split;
use crate::transport::{Body, ResponseBody, Transport};

/// What every request of a remote has in common.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) transport: Transport,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) base: Base,
    pub(crate) credentials: Option<Arc<dyn Credentials>>,
    pub(crate) timeout: Duration,
    pub(crate) body_limit: usize,
    pub(crate) statuses: Statuses,
}

/// A request before credentials are added.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) model: &'static str,
    pub(crate) method: Method,
    /// A path of the server, with its query.
    pub(crate) target: String,
    /// The template that the target was made of, for traces: it holds no data.
    pub(crate) template: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<(HeaderValue, Bytes)>,
}

/// An answer. Its body may have broken off after the server had said what it did.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Bytes>,
    /// Where it came from, after redirects.
    pub(crate) uri: Uri,
    pub(crate) secrets: Secrets,
}

impl Answer {
    /// Whether it says that it is a web page.
    pub(crate) fn is_html(&self) -> bool {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
    }
}

/// A request that is complete.
struct Prepared {
    request: Request<Body>,
    secrets: Secrets,
    /// What of it is the credential, to be told if it is refused.
    credential: Option<Credential>,
}

/// Redirects of a read that are followed, within the origin.
const MOST_REDIRECTS: usize = 5;

/// How far a request has got, for those who stop waiting for it.
#[derive(Default)]
struct Progress(AtomicU8);

impl Progress {
    fn reach(&self, sent: Sent) {
        self.0.store(sent as u8, Ordering::Relaxed);
    }

    fn sent(&self) -> Sent {
        match self.0.load(Ordering::Relaxed) {
            0 => Sent::Never,
            1 => Sent::Maybe,
            _ => Sent::Answered,
        }
    }
}

impl Exchange {
    /// Sends a request and reads the answer, within the time that is allowed.
    ///
    /// # Errors
    /// `Timeout`, `Cancelled`, `Offline`, `Transport`, what the credentials' source reports, and `Http` for a redirect that
    /// is not followed. An answer without success is none: see [`refusal`](Self::refusal).
    pub(crate) async fn send(&self, cx: &Context, call: Call) -> Result<Answer> {
        let span = tracing::debug_span!(
            "rest",
            model = call.model,
            method = call.method.as_str(),
            template = call.template,
            status = tracing::field::Empty,
        );
        let own = self.runtime.monotonic().saturating_add(self.timeout);
        let until = cx.deadline.map_or(own, |deadline| deadline.min(own));
        self.converse(cx, call, until).instrument(span).await
    }

    async fn converse(&self, cx: &Context, call: Call, until: Duration) -> Result<Answer> {
        let progress = Progress::default();
        let (response, uri, secrets) =
            self.race(cx, until, &progress, self.follow(cx, call, &progress)).await??;
        progress.reach(Sent::Answered);
        let (parts, body) = response.into_parts();
        tracing::Span::current().record("status", parts.status.as_u16());
        let read = self.race(cx, until, &progress, self.read(&parts.headers, body)).await;
        let told = |error: Error| secrets.cleanse(error.with_status(parts.status.as_u16()));
        let body = read.and_then(|read| read).map_err(told);
        Ok(Answer { status: parts.status, headers: parts.headers, body, uri, secrets })
    }

    /// The error that an answer without success is; nothing of the request's secrets is in it.
    pub(crate) fn refusal(&self, answer: &Answer) -> Error {
        self.refusal_as(answer, self.statuses.of(answer.status.as_u16()))
    }

    /// The error that an answer without success is, if it means this.
    pub(crate) fn refusal_as(&self, answer: &Answer, meaning: Option<Meaning>) -> Error {
        let body = answer.body.as_deref().unwrap_or_default();
        of_status(answer.status, &answer.headers, body, &answer.secrets, meaning, self.runtime.now())
    }

    /// Waits for `work`, until the time is up or the caller withdraws.
    async fn race<T>(
        &self,
        cx: &Context,
        until: Duration,
        progress: &Progress,
        work: impl Future<Output = T>,
    ) -> Result<T> {
        let late = || {
            Error::new(ErrorKind::Timeout, "no answer within the time that is allowed")
                .with_sent(progress.sent())
        };
        let withdrawn =
            || Error::new(ErrorKind::Cancelled, "withdrawn by the caller").with_sent(progress.sent());
        if cx.cancellation.is_cancelled() {
            return Err(withdrawn());
        }
        let left = until.saturating_sub(self.runtime.monotonic());
        if left.is_zero() {
            return Err(late());
        }
        let (work, cancelled) = (std::pin::pin!(work), std::pin::pin!(cx.cancellation.cancelled()));
        match select(work, select(self.runtime.sleep(left), cancelled)).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right((Either::Left(_), _)) => Err(late()),
            Either::Right((Either::Right(_), _)) => Err(withdrawn()),
        }
    }

    async fn follow(
        &self,
        cx: &Context,
        mut call: Call,
        progress: &Progress,
    ) -> Result<(Response<ResponseBody>, Uri, Secrets)> {
        let mut renewed = false;
        let mut redirects = 0;
        while redirects <= MOST_REDIRECTS {
            let Prepared { request, secrets, credential } = self.request(cx, &call).await?;
            let uri = request.uri().clone();
            progress.reach(Sent::Maybe);
            let response =
                self.transport.send(request).await.map_err(|error| of_transport(error, &secrets))?;
            let status = response.status();
            if let Some(refused) = credential.filter(|_| !renewed && self.is_refused(status)) {
                // Whoever refuses the credentials has done nothing of what was asked.
                progress.reach(Sent::Never);
                renewed = true;
                if self.renew(cx, &refused).await? {
                    continue;
                }
                progress.reach(Sent::Answered);
            }
            redirects += 1;
            let Some(place) = response.headers().get(LOCATION).filter(|_| is_redirect(status)) else {
                return Ok((response, uri, secrets));
            };
            let place = place.to_str().ok().and_then(|place| resolve(&uri, place));
            call.target = self.redirected(&call.method, status, place.as_ref(), &secrets)?;
        }
        Err(redirect_error(StatusCode::FOUND, format!("more than {MOST_REDIRECTS} redirects")))
    }

    fn is_refused(&self, status: StatusCode) -> bool {
        self.statuses.of(status.as_u16()) == Some(Meaning::Unauthorized)
    }

    /// True if there are other credentials now than those that were refused.
    async fn renew(&self, cx: &Context, refused: &Credential) -> Result<bool> {
        let Some(source) = &self.credentials else { return Ok(false) };
        match source.renew(cx.account.clone(), refused).await {
            // The server's own words say more.
            Err(error) if error.kind() == ErrorKind::Unauthorized => Ok(false),
            renewed => renewed,
        }
    }

    /// Where a read goes on; a write never does.
    fn redirected(
        &self,
        method: &Method,
        status: StatusCode,
        to: Option<&Uri>,
        secrets: &Secrets,
    ) -> Result<String> {
        let Some(uri) = to else {
            return Err(redirect_error(status, "the server redirects to what is no URL"));
        };
        // Without its query, in which there may be a secret.
        let shown = match Origin::of(uri) {
            Some(origin) => secrets.redact(&format!("{origin}{}", uri.path())),
            None => "something that is not http".to_owned(),
        };
        if *method != Method::GET && *method != Method::HEAD {
            return Err(redirect_error(
                status,
                format!(
                    "the server redirects the {method} to {shown}; a write is not redirected, so configure where it goes"
                ),
            ));
        }
        if Origin::of(uri).as_ref() != Some(self.base.origin()) {
            return Err(redirect_error(
                status,
                format!("the server redirects to {shown}, which is another origin"),
            ));
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let (path, mut params) = split(target);
        secrets.params().iter().for_each(|name| params.remove(name));
        Ok(params.target(path))
    }

    /// The request with its credentials, which are asked for each time.
    async fn request(&self, cx: &Context, call: &Call) -> Result<Prepared> {
        let (path, mut params) = split(&call.target);
        let mut headers = call.headers.clone();
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        if let Some((kind, _)) = &call.body {
            headers.insert(CONTENT_TYPE, kind.clone());
        }
        let credential = match &self.credentials {
            Some(source) => Some(source.credential(cx.account.clone()).await?),
            None => None,
        };
        let secrets = match credential.clone() {
            Some(credential) => credential.apply(&mut headers, &mut params)?,
            None => Secrets::default(),
        };
        let body = call.body.as_ref().map_or_else(Body::empty, |(_, bytes)| bytes.clone().into());
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = self.base.uri(&params.target(path)).map_err(|error| secrets.cleanse(error))?;
        *request.headers_mut() = headers;
        Ok(Prepared { request, secrets, credential })
    }

    /// Reads a body, and no more of it than is allowed.
    async fn read(&self, headers: &HeaderMap, body: ResponseBody) -> Result<Bytes> {
        if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
            return Err(unfit(format!(
                "the answer is in the content encoding `{encoding}`, which nobody asked for; \
                 a transport that does has to decode it"
            )));
        }
        let mut body = std::pin::pin!(body);
        if body.size_hint().lower() > self.body_limit as u64 {
            return Err(self.too_long());
        }
        let mut read = BytesMut::new();
        while let Some(frame) = body.as_mut().frame().await {
            let frame = frame.map_err(of_body)?;
            if let Ok(data) = frame.into_data() {
                if data.len() > self.body_limit - read.len() {
                    return Err(self.too_long());
                }
                if read.is_empty() && body.is_end_stream() {
                    return Ok(data);
                }
                read.extend_from_slice(&data);
            }
        }
        Ok(read.freeze())
    }

    fn too_long(&self) -> Error {
        let limit = self.body_limit;
        let message =
            format!("the answer is longer than the limit of {limit} bytes; raise it with `Rest::body_limit`");
        Error::new(ErrorKind::Full, message).with_sent(Sent::Answered)
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("origin", &self.base.origin().to_string())
            .field("timeout", &self.timeout)
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn redirect_error(status: StatusCode, message: impl Into<String>) -> Error {
    let status = status.as_u16();
    Error::new(ErrorKind::Http { status }, message).with_sent(Sent::Answered).with_transient(false)
}
