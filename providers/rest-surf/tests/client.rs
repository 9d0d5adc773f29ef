//! Our client below surf.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

#[path = "../../rest/tests/support/mod.rs"]
mod support;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::io::AsyncReadExt as _;
use http_client::HttpClient;
use http_types::{Method, Url};
use larder_core::{Error, ErrorKind, Sent};
use larder_rest::{Body, NotSent, Transport, TransportError, http};
use larder_rest_surf::{LarderHttpClient, Original, surf_client};
use serde_json::json;
use support::*;

fn request(method: Method, url: &str) -> http_types::Request {
    http_types::Request::new(method, Url::parse(url).unwrap())
}

#[track_caller]
fn refused(error: &http_types::Error, message: &str) {
    let own: &Error = error.downcast_ref().unwrap();
    assert_eq!((own.kind(), own.sent(), error.status() as u16), (ErrorKind::Invalid, Sent::Never, 400));
    assert!(own.message().contains(message), "{own}");
}

#[tokio::test]
async fn surf_s_own_requests_are_sent_as_they_are() {
    let server =
        Server::always(ok(json!({ "id": 1 })).header("set-cookie", "a=1").header("set-cookie", "b=2"));
    let client = surf_client(Transport::new(server.clone()));
    let mut sent = surf::Request::new(Method::Post, "https://a/b?c=d#e".parse().unwrap());
    sent.set_header("x-one", "1");
    sent.set_header("content-length", "99");
    sent.body_json(&json!({ "name": "Zoë" })).unwrap();
    let mut response = client.send(sent).await.unwrap();
    assert_eq!(response.body_json::<serde_json::Value>().await.unwrap(), json!({ "id": 1 }));
    assert_eq!(response.header("set-cookie").unwrap().iter().count(), 2);
    let seen = server.only();
    assert_eq!((seen.line().as_str(), seen.json()), ("POST /b?c=d", json!({ "name": "Zoë" })));
    assert_eq!((seen.header("x-one"), seen.header("content-type")), (Some("1"), Some("application/json")));
    assert_eq!(seen.header("content-length"), None, "the transport says how long it is");
}

#[tokio::test]
async fn a_header_with_a_line_break_is_refused() {
    let server = Server::always(reply(200));
    let client = LarderHttpClient::new(Transport::new(server.clone()));
    for value in ["a\r\nx-evil: 1", "a\n", "a\0"] {
        let mut request = request(Method::Get, "https://a/");
        request.insert_header("x-name", value);
        refused(&client.send(request).await.unwrap_err(), "`x-name` holds characters that can't be sent");
    }
    refused(
        &client.send(request(Method::Get, "https://ada:pw@a/")).await.unwrap_err(),
        "user name or a password",
    );
    refused(&client.send(request(Method::Get, "mailto:ada@example.com")).await.unwrap_err(), "URL");
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn the_body_of_a_request_is_limited() {
    let client = LarderHttpClient::new(Transport::new(Server::always(reply(200)))).body_limit(8);
    let mut long = request(Method::Post, "https://a/");
    long.set_body("123456789");
    refused(&client.send(long).await.unwrap_err(), "the limit of 8 bytes");
    let mut endless = request(Method::Post, "https://a/");
    endless.set_body(http_types::Body::from_reader(
        futures_util::io::BufReader::new(futures_util::io::repeat(1)),
        None,
    ));
    refused(&client.send(endless).await.unwrap_err(), "the limit of 8 bytes");
    let mut fits = request(Method::Post, "https://a/");
    fits.set_body("12345678");
    assert_eq!(client.send(fits).await.unwrap().status() as u16, 200);
}

#[tokio::test]
async fn an_answer_comes_as_it_is_read() {
    type Frame = http_body::Frame<Bytes>;
    let service = tower::service_fn(|_: http::Request<Body>| async {
        let pieces = ["abc", "", "de"]
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece.as_bytes()))));
        Ok::<_, Infallible>(http::Response::new(http_body_util::StreamBody::new(futures_util::stream::iter(
            pieces,
        ))))
    });
    let client = LarderHttpClient::new(Transport::new(service));
    let mut response = client.send(request(Method::Get, "https://a/")).await.unwrap();
    assert!(response.len().is_none() && response.header("content-type").is_none(), "nothing is made up");
    let mut piece = [0; 2];
    assert_eq!(response.read(&mut piece).await.unwrap(), 2);
    let mut rest = String::new();
    response.read_to_string(&mut rest).await.unwrap();
    assert_eq!((&piece, rest.as_str()), (b"ab", "cde"));
}

#[tokio::test]
async fn without_an_answer_the_error_is_ours() {
    let failing = tower::service_fn(|_: http::Request<Body>| async {
        Err::<http::Response<Body>, _>(NotSent::new("no route"))
    });
    let error = LarderHttpClient::new(Transport::new(failing))
        .send(request(Method::Get, "https://a/"))
        .await
        .unwrap_err();
    assert_eq!(error.downcast_ref::<TransportError>().unwrap().sent(), Sent::Never);

    let silent = tower::service_fn(|_: http::Request<Body>| {
        std::future::pending::<Result<http::Response<Body>, Infallible>>()
    });
    let client = LarderHttpClient::new(Transport::new(silent))
        .timeout(opening(&[]).runtime, Duration::from_millis(10));
    assert_eq!(client.config().timeout, Some(Duration::from_millis(10)));
    let error = client.send(request(Method::Get, "https://a/")).await.unwrap_err();
    let own: &Error = error.downcast_ref().unwrap();
    assert_eq!((own.kind(), own.sent()), (ErrorKind::Timeout, Sent::Maybe));
}

#[tokio::test]
async fn a_configuration_of_surf_does_not_panic() {
    let mut client = LarderHttpClient::new(Transport::new(Server::always(reply(520))));
    assert_eq!(client.config().timeout, None);
    client.set_config(http_client::Config::new()).unwrap();
    assert!(client.config().timeout.is_some());
    let response = client.send(request(Method::Get, "https://a/")).await.unwrap();
    assert_eq!((response.status() as u16, response.ext().get::<Original>().unwrap().status()), (500, 520));
}
