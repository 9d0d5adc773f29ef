//! Requests that are no models: where they go, and what their answers mean.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use larder_core::{Context, Error, ErrorKind, Idempotency, Request, Requests, Response, Result};

use crate::credentials::Credentials;
use crate::error::invalid;
use crate::exchange::{Answer, Call, Exchange};
use crate::origin::Origin;
use crate::provider::RestProvider;
use crate::route::{header_name, header_value};
use crate::write::intercepted;

/// Another server that requests may go to which are no models, with credentials of its own: those of the remote never
/// leave its origin.
///
/// ```
/// use larder_rest::{BearerToken, Host, Rest};
///
/// let uploads = Host::at("https://uploads.example.com").credentials(BearerToken::new("…"));
/// let rest = Rest::at("https://api.example.com").host(uploads);
/// # drop(rest);
/// ```
#[must_use = "give it to `Rest::host`"]
pub struct Host {
    pub(crate) base: String,
    pub(crate) credentials: Option<Arc<dyn Credentials>>,
}

impl Host {
    /// The server at this URL: `https://host`, perhaps with a port.
    pub fn at(base: impl Into<String>) -> Self {
        Self { base: base.into(), credentials: None }
    }

    /// Sets where the credentials for this server come from; there are none unless told otherwise.
    pub fn credentials(mut self, source: impl Credentials) -> Self {
        self.credentials = Some(Arc::new(source));
        self
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What stands before an `@` is refused on opening, and a secret until then.
        let base = if self.base.contains('@') { "<redacted>" } else { &self.base };
        f.debug_struct("Host").field("base", &base).finish_non_exhaustive()
    }
}

/// Where a request goes.
struct Way<'p> {
    exchange: &'p Exchange,
    /// `None` for the remote itself.
    host: Option<Arc<str>>,
    /// A path of the server, with its query.
    target: String,
}

#[async_trait]
impl Requests for RestProvider {
    fn admit(&self, request: &Request) -> Result<Option<Arc<str>>> {
        let way = self.way(&request.target)?;
        self.raw(request, &way)?;
        if matches!(request.idempotency, Idempotency::Keyed { .. }) && self.key_header.is_none() {
            return Err(invalid(
                "the request counts on its idempotency key, and the remote is told none: name a header by \
                 `Rest::idempotency_header`",
            ));
        }
        Ok(way.host)
    }

    async fn forward(&self, cx: &Context, request: &Request) -> Result<Response> {
        let way = self.way(&request.target)?;
        let call = self.raw(request, &way)?;
        let tells_pages = tells_pages(&call.headers);
        let answer = way.exchange.send(cx, call).await?;
        let status = answer.status;
        // What shall be gone is gone; at a first attempt it is not known what that means.
        let gone = request.repeated && request.method == "DELETE" && matches!(status.as_u16(), 404 | 410);
        if !status.is_success() && !gone {
            return Err(way.exchange.refusal(&answer));
        }
        if !request.is_safe() && answer.is_html() && !tells_pages {
            return Err(intercepted(status, "give it an `Accept` that names `text/html`"));
        }
        Ok(response(answer))
    }
}

impl RestProvider {
    fn way(&self, target: &str) -> Result<Way<'_>> {
        let wrong = |what: &str| {
            invalid(format!(
                "the target of the request {what}; write it as `/path?query` or `https://host/path`"
            ))
        };
        if target.starts_with('/') {
            let (exchange, target) = (&self.exchange, self.exchange.base.below(target));
            target.parse::<Uri>().map_err(|error| wrong("can't be sent").because(error))?;
            return Ok(Way { exchange, host: None, target });
        }
        let uri: Uri = target.parse().map_err(|error| wrong("is no URL").because(error))?;
        let origin = Origin::of(&uri).ok_or_else(|| wrong("has no slash at its beginning"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("holds a user name or a password; give them to the host's credentials"));
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        if origin == *self.exchange.base.origin() {
            return Ok(Way { exchange: &self.exchange, host: None, target });
        }
        let found = self.hosts.iter().find(|exchange| origin == *exchange.base.origin());
        let exchange = found.ok_or_else(|| {
            let what = format!("requests don't go to {origin}: name it by `Rest::host`");
            Error::new(ErrorKind::Unsupported, what)
        })?;
        Ok(Way { exchange, host: Some(origin.to_string().into()), target })
    }

    fn raw(&self, request: &Request, way: &Way<'_>) -> Result<Call> {
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| invalid(format!("the method `{}` is none", request.method)))?;
        let mut headers = self.headers.clone();
        // Those of the application take the place of those of the remote, and may stand more than once.
        let mut own = HeaderMap::new();
        for (name, value) in &request.headers {
            own.append(header_name(name)?, header_value(name, value)?);
        }
        own.keys().for_each(|name| drop(headers.remove(name)));
        headers.extend(own);
        if let Some(name) = self.key_header.as_ref().filter(|_| !request.is_safe()) {
            headers.insert(name, key(request)?);
        }
        let kind = headers.remove(CONTENT_TYPE);
        let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
        let body = (!request.body.is_empty()).then(|| (kind, Bytes::copy_from_slice(&request.body)));
        Ok(Call { model: "", method, target: way.target.clone(), template: String::new(), headers, body })
    }
}

fn key(request: &Request) -> Result<HeaderValue> {
    let key = HeaderValue::from_str(&format!("\"{}\"", request.id));
    key.map_err(|_| invalid("the identity of the request can't be sent"))
}

/// Whether a request says that it takes a web page for an answer.
fn tells_pages(headers: &HeaderMap<HeaderValue>) -> bool {
    let accepts = headers.get_all(ACCEPT);
    accepts
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.to_ascii_lowercase().contains("html")))
}

fn response(answer: Answer) -> Response {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        value.to_str().ok().map(|value| (name.as_str().to_owned(), value.to_owned()))
    };
    let body = match answer.body {
        Ok(body) => Some(body.as_ref().into()),
        Err(error) => {
            let status = answer.status.as_u16();
            tracing::warn!(status, %error, "the server accepted the request, and its answer can't be read");
            None
        }
    };
    Response {
        status: answer.status.as_u16(),
        headers: answer.headers.iter().filter_map(text).collect(),
        body,
    }
}
