//! Asks stubs as a client would.
#![allow(dead_code, reason = "not every test uses everything")]

use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use larder_core::Error;
use larder_stubs::Stubs;
use serde_json::Value;
use tower::ServiceExt;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Answered {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a text"))
    }
}

/// Sends `METHOD path`, with headers and a JSON body.
pub(crate) async fn send(
    stubs: &Stubs,
    line: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Result<Answered, Error> {
    let (method, path) = line.split_once(' ').expect("METHOD path");
    let mut request = Request::builder().method(method).uri(format!("https://example.com/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = request.body(Full::<bytes::Bytes>::from(body)).expect("a request");
    let (parts, body) = stubs.clone().oneshot(request).await?.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    Ok(Answered {
        status: parts.status.as_u16(),
        headers: parts.headers,
        json: serde_json::from_slice(&bytes).unwrap_or_default(),
        text: String::from_utf8(bytes.to_vec()).expect("a text"),
    })
}

/// Sends `METHOD path` without a body.
pub(crate) async fn ask(stubs: &Stubs, line: &str) -> Answered {
    send(stubs, line, &[], None).await.expect("an answer")
}

/// Sends `METHOD path` with a JSON body.
pub(crate) async fn tell(stubs: &Stubs, line: &str, body: Value) -> Answered {
    send(stubs, line, &[], Some(body)).await.expect("an answer")
}
