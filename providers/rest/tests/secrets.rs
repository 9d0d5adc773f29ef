//! Credentials: asked at each send, to one origin, and in nothing that is kept or shown.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder_core::{Context, Error, ErrorKind, Operation, Query, Sent};
use larder_rest::{ApiKey, BearerToken, Body, Credential, Endpoint, Rest, http};
use rstest::rstest;
use serde_json::json;
use support::*;

/// With characters that are encoded in a query.
const SECRET: &str = "s3cret/+key";
const ENCODED: &str = "s3cret%2F%2Bkey";

fn rest(server: &Server) -> Rest {
    Rest::at("https://api.example.com").transport(server.clone())
}

#[track_caller]
fn clean(text: &str) {
    assert!(!text.contains(SECRET) && !text.contains(ENCODED) && !text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn credentials_go_out_as_they_are_asked_for() {
    let server = Server::always(ok(json!([])));
    let remote = open(rest(&server).credentials(BearerToken::new(SECRET))).await;
    remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
    let remote = open(rest(&server).credentials(ApiKey::header("X-Api-Key", SECRET))).await;
    remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
    let remote = open(rest(&server).credentials(ApiKey::query("key", SECRET))).await;
    remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
    let log = server.log();
    assert_eq!(log[0].header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    assert_eq!(log[1].header("x-api-key"), Some(SECRET));
    assert!(log[0].headers["authorization"].is_sensitive() && log[1].headers["x-api-key"].is_sensitive());
    assert_eq!(log[2].target, format!("/users?key={ENCODED}"));
}

#[tokio::test]
async fn the_source_is_asked_at_each_send_for_the_account_of_the_call() {
    let server = Server::new(|seen| match seen.target.as_str() {
        "/users" => reply(302).header("location", "/people"),
        _ => ok(json!([])),
    });
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let source = move |account: Option<Arc<str>>| {
        let turn = count.fetch_add(1, Ordering::SeqCst);
        async move { Ok(Credential::bearer(format!("{}-{turn}", account.as_deref().unwrap_or("nobody")))) }
    };
    // A configured header gives way.
    let remote = open(rest(&server).header("Authorization", "Basic old").credentials(source)).await;
    let cx = Context { account: Some("ada".into()), ..Context::new() };
    remote.get(&cx, &USER, &Query::all()).await.unwrap();
    remote.apply(&Context::new(), &mutation(Operation::Delete, None, "7")).await.unwrap();
    let tokens: Vec<_> =
        server.log().iter().map(|seen| seen.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(tokens, ["Bearer ada-0", "Bearer ada-1", "Bearer nobody-2"]);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn without_a_credential_nothing_is_sent() {
    let server = Server::always(ok(json!([])));
    let source = |_: Option<Arc<str>>| async { Err(Error::new(ErrorKind::Unauthorized, "log in first")) };
    let remote = open(rest(&server).credentials(source)).await;
    let error = remote.apply(&Context::new(), &mutation(Operation::Delete, None, "7")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.sent(), error.message()),
        (ErrorKind::Unauthorized, Sent::Never, "log in first")
    );
    for odd in
        [Credential::bearer("a\r\nX: 1"), Credential::header("X y", SECRET), Credential::header("X", "a\0")]
    {
        let remote = open(rest(&server).credentials(move |_: Option<Arc<str>>| {
            let odd = odd.clone();
            async move { Ok(odd) }
        }));
        let error = remote.await.get(&Context::new(), &USER, &Query::all()).await.unwrap_err();
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Invalid, Sent::Never));
        clean(&format!("{error} {error:?}"));
    }
    assert!(server.log().is_empty());
}

// Rules: e-secret
#[tokio::test]
async fn a_server_that_echoes_the_secret_does_not_get_it_into_an_error() {
    for (status, kind) in
        [(400, "application/json"), (500, "text/plain"), (200, "text/html"), (401, "text/plain")]
    {
        let echo = move |seen: &Seen| {
            let told = format!("you said {:?} and {}", seen.headers, seen.target);
            let told = format!("{told} {}", seen.header("x-api-key").unwrap_or_default());
            reply(status).header("content-type", kind).header("retry-after", "9").text(told)
        };
        let server = Server::new(echo);
        for source in [ApiKey::query("key", SECRET), ApiKey::header("X-Api-Key", SECRET)] {
            let remote = open(rest(&server).credentials(source)).await;
            let error = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap_err();
            clean(&format!("{error} {error:?} {:?}", error.body()));
            assert_eq!(error.status(), Some(status));
            if status != 200 {
                assert!(error.body().unwrap().contains("<redacted>"));
                assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(9)));
            }
        }
    }
}

#[tokio::test]
async fn a_transport_that_tells_the_url_does_not_get_it_into_an_error() {
    let telling = tower::service_fn(|request: http::Request<Body>| async move {
        let inner = std::io::Error::other(format!("no route to {}", request.uri()));
        Err::<http::Response<Body>, _>(larder_rest::NotSent::new(inner))
    });
    let rest =
        Rest::at("https://api.example.com").transport(telling).credentials(ApiKey::query("key", SECRET));
    let error = open(rest).await.get(&Context::new(), &USER, &Query::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Offline, Sent::Never));
    clean(&error_text(&error));
}

fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        write!(text, "{error} {error:?} ").unwrap();
        next = error.source();
    }
    text
}

#[tokio::test]
async fn a_link_that_repeats_the_key_does_not_get_it_into_a_token() {
    let server = Server::new(|seen| {
        ok(json!([user_json(&seen.target, "Ada", None, "open")]))
            .header("link", format!("<{}&page={}>; rel=next", seen.target, seen.target.len()))
    });
    let remote = open(rest(&server).credentials(ApiKey::query("key", SECRET))).await;
    let page = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
    let token = page.next.unwrap();
    clean(&token.0);
    remote.get(&Context::new().resume(token), &USER, &Query::all()).await.unwrap();
    assert_eq!(
        server.log()[1].target,
        format!("/users?page=26&key={ENCODED}"),
        "it goes out with the next request"
    );
}

#[rstest]
#[case("https://api.example.com/elsewhere")]
#[case("/elsewhere?key=old")]
#[tokio::test]
async fn a_redirect_gets_the_key_anew(#[case] location: &'static str) {
    let server = Server::new(move |seen| match seen.target.contains("elsewhere") {
        false => reply(302).header("location", location),
        true => ok(json!([])),
    });
    let remote = open(rest(&server).credentials(ApiKey::query("key", SECRET))).await;
    remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
    assert_eq!(server.log()[1].target, format!("/elsewhere?key={ENCODED}"));
}

// Rules: e-secret
#[tokio::test]
async fn nothing_shows_a_secret() {
    let shown = format!("{:?} {:?}", BearerToken::new(SECRET), ApiKey::header("X-Api-Key", SECRET));
    clean(&shown);
    assert!(shown.contains("X-Api-Key"));
    let rest = Rest::at("https://ada:s3cret@api.example.com")
        .header("X-Api-Key", SECRET)
        .credentials(BearerToken::new(SECRET))
        .endpoint("User", Endpoint::new("/users").header("X-Other", SECRET));
    clean(&format!("{rest:?}"));
    let error = Box::new(rest);
    let error = larder_core::OpenProvider::open(error, &opening(&[&USER])).await.unwrap_err();
    clean(&error_text(&error));
    let server = Server::always(reply(500));
    let remote =
        open(Rest::at("http://localhost").transport(server).credentials(BearerToken::new(SECRET))).await;
    clean(&format!("{remote:?}"));
    let bad = Rest::at("https://api.example.com").header("X-Api-Key", format!("{SECRET}\n"));
    let error = larder_core::OpenProvider::open(Box::new(bad), &opening(&[&USER])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    clean(&error_text(&error));
}
