//! Credentials that expire are refreshed once, however many requests need it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test ends with what it did not expect, and has tasks of its own"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use larder_core::{Context, Error, ErrorKind, Operation, Provider, Query, Sent};
use larder_rest::{Credential, Refreshing, Rest};
use serde_json::json;
use support::*;

/// A server that takes the token with this number alone.
fn server(valid: usize) -> Server {
    Server::new(move |seen| match seen.header("authorization") {
        Some(token) if token == format!("Bearer token-{valid}") => match seen.method.as_str() {
            "GET" => ok(json!([])),
            _ => reply(204),
        },
        _ => reply(401),
    })
}

/// Tokens that are counted; the server at the other end takes its time.
fn tokens() -> (Refreshing, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&count);
    let tokens = Refreshing::new(move |_| {
        let nth = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::task::yield_now().await;
            Ok(Credential::bearer(format!("token-{nth}")))
        }
    });
    (tokens, count)
}

async fn open_with(server: &Server, tokens: &Refreshing) -> Arc<dyn Provider> {
    open(Rest::at("https://api.example.com").transport(server.clone()).credentials(tokens.clone())).await
}

// Rules: o-refresh
#[tokio::test]
async fn a_hundred_refused_requests_refresh_once() {
    let (tokens, count) = tokens();
    let server = server(1);
    let remote = open_with(&server, &tokens).await;
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let remote = Arc::clone(&remote);
            tokio::spawn(async move { remote.get(&Context::new(), &USER, &Query::all()).await.map(drop) })
        })
        .collect();
    for request in requests {
        request.await.unwrap().unwrap();
    }
    assert_eq!(count.load(Ordering::SeqCst), 2, "the first token, and one after it was refused");
    assert!(server.log().len() <= 200);
    // A write that was refused for its credentials goes out again as well.
    let (tokens, _) = self::tokens();
    let remote = open_with(&server, &tokens).await;
    let row = user("7", "Ada", None, "Open");
    remote.apply(&Context::new(), &mutation(Operation::Insert, Some(row), "7")).await.unwrap();
}

// Rules: o-refresh, o-credentials
#[tokio::test]
async fn what_can_not_be_refreshed_is_not_asked_for_again_before_somebody_signs_in() {
    let (tokens, count) = tokens();
    let server = server(2);
    let remote = open_with(&server, &tokens).await;
    // It is refreshed once a request: a server that refuses every token is not asked again and again.
    let error = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Unauthorized, Some(401)));
    assert_eq!((error.sent(), count.load(Ordering::SeqCst)), (Sent::Answered, 2));
    remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();

    let revoked = Refreshing::new({
        let count = Arc::new(AtomicUsize::new(0));
        move |_| {
            let nth = count.fetch_add(1, Ordering::SeqCst);
            async move {
                if nth == 0 {
                    return Ok(Credential::bearer("old"));
                }
                if nth == 1 {
                    return Err(Error::new(ErrorKind::Unauthorized, "the refresh token is revoked"));
                }
                Ok(Credential::bearer("token-2"))
            }
        }
    });
    let remote = open_with(&server, &revoked).await;
    for _ in 0..5 {
        let error = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
    }
    revoked.renewed(None);
    remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
}

// Rules: o-refresh
#[tokio::test]
async fn a_refresh_that_everybody_has_stopped_waiting_for_goes_on_where_it_was() {
    let asked = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (count, open_gate) = (Arc::clone(&asked), Arc::clone(&gate));
    let tokens = Refreshing::new(move |_| {
        let (nth, gate) = (count.fetch_add(1, Ordering::SeqCst), Arc::clone(&gate));
        async move {
            if nth > 0 {
                gate.acquire().await.unwrap().forget();
            }
            Ok(Credential::bearer(format!("token-{nth}")))
        }
    });
    let remote = open_with(&server(1), &tokens).await;
    let short = Context::new().deadline(Duration::from_millis(50));
    let late = remote.get(&short, &USER, &Query::all()).await.unwrap_err();
    assert_eq!((late.kind(), late.sent()), (ErrorKind::Timeout, Sent::Never), "nothing of it was done");
    open_gate.add_permits(1);
    remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2, "a refresh token is used once");
}

// Rules: o-refresh
#[tokio::test]
async fn an_error_of_the_refresh_is_that_of_the_request_and_the_next_one_asks_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let tokens = Refreshing::new(move |_| {
        let nth = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match nth {
                0 => Err(Error::new(ErrorKind::Offline, "no network").with_sent(Sent::Maybe)),
                _ => Ok(Credential::bearer("token-1")),
            }
        }
    });
    let remote = open_with(&server(1), &tokens).await;
    let error = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Offline, Sent::Never));
    remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
    assert!(!format!("{tokens:?}").contains("token-1"));
}
