//! A server without a socket that notes what it hears, and misbehaves as it is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use larder::core::runtime::BoxFuture;
use larder::rest::http::{HeaderMap, Request, Response};
use larder::rest::{Body, NotSent};
use tokio::sync::Notify;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the server does with the next request to a path.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// It is not reached.
    Unreachable,
    /// It does what it is told, and the answer is lost.
    LoseReply,
    /// It does nothing, and answers this.
    Say(u16, &'static str),
    /// It does nothing, and asks to be left alone for so many seconds.
    Later(u16, u64),
    /// It does nothing, and answers with a web page, as a portal does.
    Page,
    /// It does nothing before it is told to go on.
    Hang,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Host, method, path and query.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Server {
    heard: Mutex<Vec<Heard>>,
    turns: Mutex<BTreeMap<String, VecDeque<Turn>>>,
    /// The hosts that can't be reached.
    down: Mutex<BTreeSet<String>>,
    /// What had its effect, as "method path body"; a key that was heard before has none again.
    done: Mutex<Vec<String>>,
    keys: Mutex<BTreeSet<String>>,
    /// It knows no keys.
    pub(crate) forgetful: Mutex<bool>,
    pub(crate) go_on: Notify,
}

impl Server {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn service(
        self: Arc<Self>,
    ) -> impl tower::Service<
        Request<Body>,
        Response = Response<Body>,
        Error = BoxError,
        Future = BoxFuture<'static, Result<Response<Body>, BoxError>>,
    > + Clone
    + Send
    + 'static {
        tower::service_fn(
            move |request: Request<Body>| -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
                let server = Arc::clone(&self);
                Box::pin(async move { server.serve(request).await })
            },
        )
    }

    /// Does this with the next request to the path that was not told otherwise.
    pub(crate) fn next(&self, path: &str, turn: Turn) {
        self.turns.lock().unwrap().entry(path.to_owned()).or_default().push_back(turn);
    }

    pub(crate) fn down(&self, host: &str, down: bool) {
        let mut hosts = self.down.lock().unwrap();
        if down {
            hosts.insert(host.to_owned());
        } else {
            hosts.remove(host);
        }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.line).collect()
    }

    /// What had its effect, in order.
    pub(crate) fn done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }

    async fn serve(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let host = parts.uri.host().unwrap_or_default().to_owned();
        if self.down.lock().unwrap().contains(&host) {
            return Err(NotSent::new(io::Error::from(io::ErrorKind::ConnectionRefused)).into());
        }
        let path = parts.uri.path().trim_start_matches("/v1").to_owned();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let target = target.trim_start_matches("/v1");
        let turn = self.turns.lock().unwrap().get_mut(&path).and_then(VecDeque::pop_front);
        if matches!(turn, Some(Turn::Unreachable)) {
            return Err(NotSent::new(io::Error::from(io::ErrorKind::ConnectionRefused)).into());
        }
        let other = if host == "api.example.com" { String::new() } else { format!("{host} ") };
        let heard = Heard {
            line: format!("{other}{} {target}", parts.method),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body.bytes()).into_owned(),
        };
        self.heard.lock().unwrap().push(heard.clone());
        let answer = Response::builder();
        match turn {
            Some(Turn::Say(status, text)) => return Ok(answer.status(status).body(text.into())?),
            Some(Turn::Later(status, wait)) => {
                return Ok(answer.status(status).header("Retry-After", wait).body(Body::empty())?);
            }
            Some(Turn::Page) => {
                return Ok(answer
                    .header("Content-Type", "text/html; charset=utf-8")
                    .body("<html>".into())?);
            }
            Some(Turn::Hang) => self.go_on.notified().await,
            _ => {}
        }
        let key = heard.header("idempotency-key").unwrap_or_default().to_owned();
        let known = !*self.forgetful.lock().unwrap() && !self.keys.lock().unwrap().insert(key);
        if !known {
            self.done.lock().unwrap().push(format!("{} {}", heard.line, heard.body).trim_end().to_owned());
        }
        if matches!(turn, Some(Turn::LoseReply)) {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
        }
        Ok(answer
            .status(201)
            .header("X-Number", self.done().len())
            .body(format!("did {}", heard.line).into())?)
    }
}
