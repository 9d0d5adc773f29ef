//! Requests end: by time, by the caller, and each says how far it had got.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use larder_core::{Cancellation, Context, Error, ErrorKind, Operation, Outcome, Query, Sent};
use larder_rest::{Body, Credential, NotSent, Rest, Transport, TransportError, http};
use support::*;

type Frame = http_body::Frame<Bytes>;

fn at() -> Rest {
    Rest::at("https://api.example.com")
}

fn silent() -> Rest {
    at().transport(tower::service_fn(|_: http::Request<Body>| {
        std::future::pending::<Result<http::Response<Body>, Infallible>>()
    }))
}

/// Says 201, then half a body, then nothing more.
fn stuck() -> Rest {
    at().transport(tower::service_fn(|_: http::Request<Body>| async {
        let half = stream::once(async { Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"[{"))) });
        let body = StreamBody::new(futures_util::StreamExt::chain(half, stream::pending()));
        let body = larder_rest::ResponseBody::new(body);
        Ok::<_, Infallible>(http::Response::builder().status(201).header("etag", "\"v\"").body(body).unwrap())
    }))
}

const SHORT: Duration = Duration::from_millis(30);

async fn get(rest: Rest, cx: &Context) -> Error {
    open(rest).await.get(cx, &USER, &Query::all()).await.unwrap_err()
}

#[track_caller]
fn check(error: &Error, kind: ErrorKind, sent: Sent) {
    assert_eq!((error.kind(), error.sent()), (kind, sent), "{error}");
    assert_eq!(error.is_transient(), kind != ErrorKind::Cancelled);
}

#[tokio::test]
async fn a_request_ends_when_its_time_is_up() {
    check(&get(silent().timeout(SHORT), &Context::new()).await, ErrorKind::Timeout, Sent::Maybe);
    let error = get(stuck().timeout(SHORT), &Context::new()).await;
    check(&error, ErrorKind::Timeout, Sent::Answered);
    assert_eq!(error.status(), Some(201));
}

#[tokio::test]
async fn a_deadline_counts_if_it_is_earlier() {
    // The runtime of `open` counts from its making.
    check(&get(silent(), &Context::new().deadline(SHORT)).await, ErrorKind::Timeout, Sent::Maybe);
    let late =
        get(at().transport(Server::always(reply(200))), &Context::new().deadline(Duration::ZERO)).await;
    check(&late, ErrorKind::Timeout, Sent::Never);
    let far = Context::new().deadline(Duration::MAX);
    check(&get(silent().timeout(SHORT), &far).await, ErrorKind::Timeout, Sent::Maybe);
}

#[tokio::test]
async fn a_source_of_credentials_that_hangs_has_sent_nothing() {
    let source = |_: Option<Arc<str>>| std::future::pending::<larder_core::Result<Credential>>();
    let rest = silent().timeout(SHORT).credentials(source);
    check(&get(rest, &Context::new()).await, ErrorKind::Timeout, Sent::Never);
}

#[tokio::test]
async fn a_caller_can_withdraw() {
    let cancellation = Cancellation::default();
    let cx = Context::new().cancellation(cancellation.clone());
    let remote = open(silent()).await;
    let query = Query::all();
    let request = remote.get(&cx, &USER, &query);
    let cancel = async {
        tokio::task::yield_now().await;
        cancellation.cancel();
    };
    let (answer, ()) = futures_util::join!(request, cancel);
    check(&answer.unwrap_err(), ErrorKind::Cancelled, Sent::Maybe);
    check(&get(silent(), &cx).await, ErrorKind::Cancelled, Sent::Never);
}

#[tokio::test]
async fn a_write_that_was_accepted_stays_accepted_if_its_answer_breaks_off() {
    let remote = open(stuck().timeout(SHORT)).await;
    let insert = mutation(Operation::Insert, Some(user("7", "Ada", None, "Open")), "7");
    let applied = remote.apply(&Context::new(), &insert).await.unwrap();
    assert_eq!(applied.outcome, Outcome::Inserted);
    assert_eq!(
        applied.row.unwrap().meta.version.as_deref(),
        Some("\"v\""),
        "what the head of the answer said counts"
    );
}

#[derive(Debug)]
struct Layered(Box<dyn std::error::Error + Send + Sync>);

impl std::fmt::Display for Layered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a layer failed")
    }
}

impl std::error::Error for Layered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

type Failing = fn() -> Layered;

fn failing(fail: Failing) -> Rest {
    at().transport(tower::service_fn(move |_: http::Request<Body>| async move {
        Err::<http::Response<Body>, _>(fail())
    }))
}

// Rules: e-sent
#[tokio::test]
async fn errors_say_how_far_the_request_had_gone() {
    let cases: [(Failing, ErrorKind, Sent); 6] = [
        (|| Layered("broken pipe".into()), ErrorKind::Transport, Sent::Maybe),
        (|| Layered(NotSent::new("no route").into()), ErrorKind::Offline, Sent::Never),
        (|| Layered(std::io::Error::other(NotSent::new("no route")).into()), ErrorKind::Offline, Sent::Never),
        (|| Layered(TransportError::new(NotSent::new("no route")).into()), ErrorKind::Offline, Sent::Never),
        (
            || Layered(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
            ErrorKind::Timeout,
            Sent::Maybe,
        ),
        (
            || Layered(Error::new(ErrorKind::Offline, "flight mode").with_sent(Sent::Never).into()),
            ErrorKind::Offline,
            Sent::Never,
        ),
    ];
    for (fail, kind, sent) in cases {
        check(&get(failing(fail), &Context::new()).await, kind, sent);
        let delete = mutation(Operation::Delete, None, "7");
        let error = open(failing(fail)).await.apply(&Context::new(), &delete).await.unwrap_err();
        check(&error, kind, sent);
        assert_eq!(error.row_key(), Some("7"));
    }
}

#[tokio::test]
async fn an_error_of_ours_comes_through_a_layer_as_it_is() {
    let fail: Failing = || {
        let own = Error::new(ErrorKind::Http { status: 503 }, "stubbed").with_retry_after(SHORT);
        Layered(own.with_sent(Sent::Answered).into())
    };
    let error = get(failing(fail), &Context::new()).await;
    assert_eq!((error.message(), error.status(), error.retry_after()), ("stubbed", Some(503), Some(SHORT)));
    assert_eq!((error.operation(), error.model_name()), (Some("get"), Some("User")));
}

#[tokio::test]
async fn an_answer_that_breaks_off_was_answered() {
    let broken = tower::service_fn(|_: http::Request<Body>| async {
        let frames = [Ok(Frame::data(Bytes::from_static(b"[{"))), Err(std::io::Error::other("reset"))];
        Ok::<_, Infallible>(http::Response::new(StreamBody::new(stream::iter(frames))))
    });
    // A transport is a service, so it can be boxed twice.
    let error = get(at().transport(Transport::new(Transport::new(broken))), &Context::new()).await;
    check(&error, ErrorKind::Transport, Sent::Answered);
}
