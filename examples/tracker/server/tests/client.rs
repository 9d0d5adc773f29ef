//! A client without any cleverness: one connection a request, no retry, no redirect.

use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::server::{Progress, Seeds, Server};

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// After this a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Reply {
    #[track_caller]
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {self:?}"));
        value.to_str().unwrap()
    }

    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// A request that is not sent yet.
#[derive(Debug, Clone)]
pub(super) struct Call {
    addr: String,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Call {
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", format!("\"{key}\""))
    }

    pub(super) fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string();
        self
    }

    pub(super) fn text(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    /// Sends it; an error is a connection that ended without an answer, or a test that waits in vain.
    pub(super) async fn try_send(self) -> Result<Reply, Problem> {
        tokio::time::timeout(PATIENCE, self.exchange()).await?
    }

    async fn exchange(self) -> Result<Reply, Problem> {
        let stream = TcpStream::connect(&self.addr).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder().method(self.method).uri(&self.path).header("host", &self.addr);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        if !self.body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::from(self.body)))?;
        let exchange = async move {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let bytes = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>((head, bytes))
        };
        // The connection must be driven for the exchange to move; it may end first when the server closes it.
        let (answer, _) = tokio::join!(exchange, async {
            let mut connection = connection;
            std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await
        });
        let (head, bytes) = answer?;
        let body = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(_) if bytes.is_empty() => Value::Null,
            Err(_) => String::from_utf8_lossy(&bytes).into_owned().into(),
        };
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    }

    pub(super) async fn send(self) -> Reply {
        self.try_send().await.expect("an answer")
    }
}

impl Server {
    /// A server with the shipped seeds.
    pub(super) async fn shipped() -> Self {
        Self::start(&Seeds::shipped().unwrap(), 0).await.unwrap()
    }

    pub(super) fn call(&self, method: &'static str, path: &str) -> Call {
        let addr = self.url().replace("http://", "");
        Call { addr, method, path: path.to_owned(), headers: Vec::new(), body: String::new() }
    }

    /// A request below the repository's path.
    pub(super) fn repo_call(&self, method: &'static str, rest: &str) -> Call {
        self.call(method, &format!("{}/{rest}", self.repo().path()))
    }

    /// [`Server::wait_for`] that fails rather than waits for ever.
    pub(super) async fn soon(&self, reached: impl FnMut(&Progress) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, self.wait_for(reached)).await;
        assert!(waited.is_ok(), "in vain: {:?}", self.progress());
    }
}
