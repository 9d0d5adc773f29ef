//! surf both ways: as a transport of a remote, and over ours.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

#[path = "../../rest/tests/support/mod.rs"]
mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_types::Method;
use larder_core::{Context, Error, ErrorKind, Operation, Outcome, Provider, Query, Sent};
use larder_rest::{ApiKey, Body, Endpoint, NotSent, Rest, Transport, http};
use larder_rest_surf::{Original, SurfTransport, over_hyper, surf_client};
use rstest::rstest;
use serde_json::json;
use support::*;
use surf::middleware::{Middleware, Next};

/// Sees every request and answer.
#[derive(Clone, Default)]
struct Counter {
    requests: Arc<AtomicUsize>,
    odd: Arc<AtomicUsize>,
}

#[surf::utils::async_trait]
impl Middleware for Counter {
    async fn handle(
        &self,
        request: surf::Request,
        client: surf::Client,
        next: Next<'_>,
    ) -> surf::Result<surf::Response> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let response = next.run(request, client).await?;
        if let Some(original) = response.ext::<Original>() {
            self.odd.store(original.status().into(), Ordering::SeqCst);
        }
        Ok(response)
    }
}

/// A remote whose requests go through surf, with a counter, to a server without a socket.
async fn remote_over(server: &Server, configure: impl FnOnce(Rest) -> Rest) -> (Arc<dyn Provider>, Counter) {
    let counter = Counter::default();
    let client = surf_client(Transport::new(server.clone())).with(counter.clone());
    let rest = Rest::at("https://api.example.com/v1").transport(SurfTransport::new(client));
    (open(configure(rest)).await, counter)
}

async fn get(remote: &Arc<dyn Provider>) -> Result<usize, Error> {
    Ok(remote.get(&Context::new(), &USER, &Query::all()).await?.rows.len())
}

// ---- as a transport ----

#[tokio::test]
async fn a_middleware_sees_every_request() {
    let server = Server::new(|seen| match (seen.method.as_str(), seen.target.as_str()) {
        ("POST", _) => reply(201).json(seen.json()).header("etag", "\"1\""),
        ("GET", "/v1/users") => {
            ok(json!([user_json("1", "Ada", None, "open")])).header("link", "<?page=2>; rel=next")
        }
        ("GET", "/v1/users?page=2") => reply(302).header("location", "/v2/users?page=2"),
        ("GET", _) => ok(json!([user_json("2", "Zoë", None, "open")])),
        _ => reply(404),
    });
    let (remote, counter) = remote_over(&server, |rest| rest).await;
    let insert = mutation(Operation::Insert, Some(user("7", "Zoë", None, "Open")), "7");
    let applied = remote.apply(&Context::new(), &insert).await.unwrap();
    assert_eq!(applied.outcome, Outcome::Inserted);
    assert_eq!(applied.row.unwrap().meta.version.as_deref(), Some("\"1\""));
    assert_eq!(pages(&remote, &USER, &Query::all()).await.unwrap().len(), 2);
    let delete = mutation(Operation::Delete, None, "a/b");
    assert_eq!(remote.apply(&Context::new(), &delete).await.unwrap().outcome, Outcome::Missing);
    let lines = [
        "POST /v1/users",
        "GET /v1/users",
        "GET /v1/users?page=2",
        "GET /v2/users?page=2",
        "DELETE /v1/users/a%2Fb",
    ];
    assert_eq!(server.lines(), lines);
    assert_eq!(counter.requests.load(Ordering::SeqCst), lines.len());
    let log = server.log();
    let headers = ["content-type", "accept", "idempotency-key"].map(|name| log[0].header(name).unwrap());
    let key = format!("\"{ID}\"");
    assert_eq!(headers, ["application/json", "application/json", key.as_str()]);
    assert_eq!(log[0].json(), user_json("7", "Zoë", None, "open"));
    assert_eq!(log[1].header("content-type"), None, "a request without a body has no type of one");
}

#[rstest]
#[case(200..=200)]
#[case(299..=299)]
#[case(399..=399)]
#[case(400..=599)]
#[case(999..=999)]
#[tokio::test]
async fn every_status_survives(#[case] statuses: std::ops::RangeInclusive<u16>) {
    for status in statuses {
        let server = Server::always(reply(status).text("<html>"));
        let (remote, counter) = remote_over(&server, |rest| rest).await;
        let error = get(&remote).await.unwrap_err();
        assert_eq!((error.status(), error.sent()), (Some(status), Sent::Answered));
        if status == 520 {
            assert_eq!(counter.odd.load(Ordering::SeqCst), 520, "a middleware can know");
        }
    }
}

#[tokio::test]
async fn a_middleware_may_change_a_status() {
    struct Calm;
    #[surf::utils::async_trait]
    impl Middleware for Calm {
        async fn handle(
            &self,
            request: surf::Request,
            client: surf::Client,
            next: Next<'_>,
        ) -> surf::Result<surf::Response> {
            let mut response: http_types::Response = next.run(request, client).await?.into();
            response.set_status(http_types::StatusCode::ServiceUnavailable);
            Ok(response.into())
        }
    }
    let client = surf_client(Transport::new(Server::always(reply(520)))).with(Calm);
    let remote = open(Rest::at("https://api.example.com").transport(SurfTransport::new(client))).await;
    assert_eq!(get(&remote).await.unwrap_err().kind(), ErrorKind::Http { status: 503 });
}

#[tokio::test]
async fn headers_that_surf_can_t_express() {
    // Of an answer they survive; of a request they are refused before anything is sent.
    let next = "</v1/users?q=Zoë>; rel=next";
    let server = Server::always(ok(json!([])).header("link", next).header("x-plain", "1"));
    let (remote, _) = remote_over(&server, |rest| rest).await;
    let page = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
    assert!(page.next.unwrap().0.contains("/v1/users?q=Zo%C3%AB"));

    let named = |rest: Rest| rest.endpoint("User", Endpoint::new("/users").header("X-Name", "Zoë"));
    let (remote, counter) = remote_over(&server, named).await;
    let error = get(&remote).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Invalid, Sent::Never));
    assert!(error.message().contains("`x-name` is not ASCII"), "{error}");
    assert_eq!((counter.requests.load(Ordering::SeqCst), server.log().len()), (0, 1));
}

#[rstest]
#[case("https://api.example.com/a/../b", "would change the path")]
#[case("https://api.example.com/a/%2e%2e/b", "would change the path")]
#[case("https://api.example.com/a\\b", "would change the path")]
#[case("https://[::zz]/", "can't read the URL")]
#[case("/relative", "can't read the URL")]
#[tokio::test]
async fn a_url_that_surf_would_change_or_panic_on_is_refused(#[case] url: &str, #[case] message: &str) {
    let Ok(uri) = url.parse::<http::Uri>() else { return };
    let server = Server::always(reply(200));
    let transport = Transport::new(SurfTransport::new(surf_client(Transport::new(server.clone()))));
    let mut request = http::Request::new(Body::empty());
    *request.uri_mut() = uri;
    let error = transport.send(request).await.unwrap_err();
    assert_eq!(error.sent(), Sent::Never);
    let told = std::error::Error::source(&error).and_then(std::error::Error::source).unwrap().to_string();
    assert!(told.contains(message), "{told}");
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn an_unknown_method_is_refused() {
    let transport =
        Transport::new(SurfTransport::new(surf_client(Transport::new(Server::always(reply(200))))));
    let request = http::Request::builder().method("BREW").uri("https://a/").body(Body::empty()).unwrap();
    assert_eq!(transport.send(request).await.unwrap_err().sent(), Sent::Never);
}

#[tokio::test]
async fn how_far_a_request_had_gone_survives() {
    type Failing = fn() -> larder_rest::BoxError;
    let cases: [(Failing, ErrorKind, Sent); 4] = [
        (|| NotSent::new("no route").into(), ErrorKind::Offline, Sent::Never),
        (|| "broken pipe".into(), ErrorKind::Transport, Sent::Maybe),
        (|| std::io::Error::from(std::io::ErrorKind::TimedOut).into(), ErrorKind::Timeout, Sent::Maybe),
        (|| Error::new(ErrorKind::Offline, "flight mode").into(), ErrorKind::Offline, Sent::Never),
    ];
    for (fail, kind, sent) in cases {
        let failing =
            tower::service_fn(
                move |_: http::Request<Body>| async move { Err::<http::Response<Body>, _>(fail()) },
            );
        let client = surf_client(Transport::new(failing)).with(Counter::default());
        let remote = open(Rest::at("https://a").transport(SurfTransport::new(client))).await;
        let error = get(&remote).await.unwrap_err();
        assert_eq!((error.kind(), error.sent()), (kind, sent), "{error:?}");
    }
}

#[tokio::test]
async fn a_panic_of_a_middleware_is_an_error() {
    struct Bad;
    #[surf::utils::async_trait]
    impl Middleware for Bad {
        async fn handle(
            &self,
            _: surf::Request,
            _: surf::Client,
            _: Next<'_>,
        ) -> surf::Result<surf::Response> {
            // What `client.get` does.
            let url: surf::Url = "no url".parse().unwrap();
            surf_client(Transport::new(Server::always(reply(200))))
                .send(surf::Request::new(Method::Get, url))
                .await
        }
    }
    let client = surf_client(Transport::new(Server::always(reply(200)))).with(Bad);
    let remote = open(Rest::at("https://a").transport(SurfTransport::new(client))).await;
    let error = get(&remote).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Transport, Sent::Maybe));
}

#[tokio::test]
async fn the_limit_of_a_body_holds() {
    let long = Server::always(ok(json!(["x".repeat(1000)])));
    let (remote, _) = remote_over(&long, |rest| rest.body_limit(100)).await;
    let error = get(&remote).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Full, Sent::Answered));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_not_the_end() {
    type Frame = http_body::Frame<Bytes>;
    fn broken(error: larder_rest::BoxError) -> Rest {
        let error = std::sync::Mutex::new(Some(error));
        let service = tower::service_fn(move |_: http::Request<Body>| {
            let error = error.lock().unwrap().take().unwrap_or_else(|| "again".into());
            let frames = [Ok(Frame::data(Bytes::from_static(b"["))), Err(error)];
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
            std::future::ready(Ok::<_, Infallible>(http::Response::new(body)))
        });
        let service = tower::util::BoxCloneService::new(Shared(Arc::new(std::sync::Mutex::new(service))));
        Rest::at("https://a").transport(SurfTransport::new(surf_client(Transport::new(service))))
    }
    let error = get(&open(broken("reset".into())).await).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Transport, Sent::Answered));
    let own = Error::new(ErrorKind::Full, "somebody's own limit");
    let error = get(&open(broken(own.into())).await).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Full, "somebody's own limit"));
}

/// Makes a service that can't be cloned one that can.
struct Shared<S>(Arc<std::sync::Mutex<S>>);

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: tower::Service<R>, R> tower::Service<R> for Shared<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.0.lock().unwrap().poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.lock().unwrap().call(request)
    }
}

#[tokio::test]
async fn a_secret_in_the_query_is_in_no_error() {
    let server = Server::new(|seen| reply(500).text(seen.target.clone()));
    let (remote, _) = remote_over(&server, |rest| rest.credentials(ApiKey::query("key", "s3cret"))).await;
    let error = get(&remote).await.unwrap_err();
    assert_eq!(error.body(), Some("/v1/users?key=<redacted>"));
}

#[tokio::test]
async fn over_a_socket() {
    use axum::response::IntoResponse;
    async fn serve() -> axum::response::Response {
        axum::Json(json!([user_json("1", "Ada", None, "open")])).into_response()
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[allow(clippy::disallowed_methods, reason = "a server has tasks of its own")]
    tokio::spawn(async move {
        axum::serve(listener, axum::Router::new().fallback(serve)).await.unwrap();
    });
    let counter = Counter::default();
    let seen = counter.clone();
    let rest = Rest::at(format!("http://{address}")).transport_with(over_hyper(|client| client.with(seen)));
    assert_eq!(get(&open(rest).await).await.unwrap(), 1);
    assert_eq!(counter.requests.load(Ordering::SeqCst), 1);

    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let rest = Rest::at(format!("http://{closed}")).transport_with(over_hyper(|client| client));
    let error = get(&open(rest).await).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Offline, Sent::Never));
}
