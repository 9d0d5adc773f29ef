//! Requests that are no models: given to whoever answers them, and their answers read as those of a server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use larder_core::{Context, Error, ErrorKind, Failure, Request, Requests, Response, Result, Sent};

/// Answers requests.
pub(crate) type Handler = Arc<dyn Fn(&Request) -> Result<Response> + Send + Sync>;

/// Whoever answers, by host; the host of the rows has no name.
pub(crate) struct Hosts(BTreeMap<String, Handler>);

/// Where a request goes.
struct Way<'h> {
    host: &'h str,
    handler: &'h Handler,
    /// The path with its query.
    path: &'h str,
}

impl Hosts {
    /// `None` if nobody answers.
    pub(crate) fn of(handlers: BTreeMap<String, Handler>) -> Option<Self> {
        (!handlers.is_empty()).then_some(Self(handlers))
    }

    fn way<'h>(&'h self, request: &'h Request) -> Result<Way<'h>> {
        check(request)?;
        let (host, path) = split(&request.target)?;
        let known = self.0.get_key_value(host.to_ascii_lowercase().as_str());
        let (host, handler) = known.ok_or_else(|| {
            let what = format!("requests don't go to `{host}`: name it by `Memory::answering_at`");
            Error::new(ErrorKind::Unsupported, what)
        })?;
        Ok(Way { host, handler, path })
    }
}

#[async_trait]
impl Requests for Hosts {
    fn admit(&self, request: &Request) -> Result<Option<Arc<str>>> {
        let Way { host, .. } = self.way(request)?;
        Ok((!host.is_empty()).then(|| host.into()))
    }

    async fn forward(&self, cx: &Context, request: &Request) -> Result<Response> {
        let Way { handler, path, .. } = self.way(request)?;
        if cx.cancellation.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "withdrawn by the caller"));
        }
        let response = handler(&Request { target: path.to_owned(), ..request.clone() })?;
        let gone = request.repeated && request.method == "DELETE" && matches!(response.status, 404 | 410);
        match response.status {
            200..=299 => Ok(response),
            _ if gone => Ok(response),
            status => Err(refusal(status, &response)),
        }
    }
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::Invalid, what)
}

/// Refuses what no server could be told.
fn check(request: &Request) -> Result<()> {
    if !is_token(&request.method) {
        return Err(invalid(format!("the method `{}` is none", request.method.escape_debug())));
    }
    for (name, value) in &request.headers {
        if !is_token(name) || value.chars().any(|c| c.is_ascii_control() && c != '\t') {
            return Err(invalid(format!("the header `{}` can't be sent", name.escape_debug())));
        }
    }
    Ok(())
}

/// Whether a name can stand for a method or a header (RFC 9110, 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The host, empty for that of the rows, and the path.
fn split(target: &str) -> Result<(&str, &str)> {
    let wrong = |what: &str| {
        invalid(format!("the target of the request {what}; write it as `/path?query` or `https://host/path`"))
    };
    if target.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return Err(wrong("holds a space"));
    }
    if target.starts_with('/') {
        return Ok(("", target));
    }
    let at = target.find("://").ok_or_else(|| wrong("has no slash at its beginning"))? + 3;
    let end = target[at..].find(['/', '?', '#']).map_or(target.len(), |end| at + end);
    if target[at..end].contains('@') {
        return Err(wrong("holds a user name or a password"));
    }
    let path = if target[end..].starts_with('/') { &target[end..] } else { "/" };
    Ok((&target[..end], path))
}

/// The error that an answer without success is.
fn refusal(status: u16, response: &Response) -> Error {
    let what = format!("the remote answered {status}");
    let transient = matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504);
    let mut error = Error::new(ErrorKind::of_status(status), what)
        .with_status(status)
        .with_sent(Sent::Answered)
        .with_transient(transient);
    if let Some(body) = response.body.as_deref().filter(|body| !body.is_empty()) {
        let mut text = String::from_utf8_lossy(body).into_owned();
        let mut end = text.len().min(Failure::BODY_LIMIT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        error = error.with_body(text);
    }
    match response.header("retry-after").and_then(|wait| wait.parse().ok()) {
        Some(seconds) => error.with_retry_after(Duration::from_secs(seconds)),
        None => error,
    }
}
