//! What opening checks, and what happens before it: nothing.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use larder_core::{ErrorKind, FieldDef, KeyDef, Kind, Model, OpenProvider, Row, Schema, ValueRef};
use larder_rest::http::Method;
use larder_rest::{Endpoint, Paging, Rest};
use rstest::rstest;
use support::*;

fn at() -> Rest {
    Rest::at("https://api.example.com")
}

fn with(endpoint: Endpoint) -> Rest {
    at().endpoint("User", endpoint)
}

#[rstest]
#[case(Rest::at("nonsense"), "is not absolute")]
#[case(Rest::at("http://api.example.com"), "is not encrypted")]
#[case(Rest::at("https://api.example.com/?x=1"), "has a query")]
#[case(Rest::at("https://ada:pw@api.example.com"), "user name or a password")]
#[case(
    with(Endpoint::new("/users/{nobody}")),
    "`{nobody}`, which is neither `key` nor a field; the fields are id, name"
)]
#[case(with(Endpoint::new("/users").one("/users/{name}")), "know nothing but the key")]
#[case(with(Endpoint::new("/users").update_with(Method::DELETE)), "Update goes by PUT or PATCH or POST, not by DELETE")]
#[case(with(Endpoint::new("/users").create_with(Method::PATCH)), "Create goes by POST or PUT")]
#[case(with(Endpoint::new("/users").filter_param("nobody", "x")), "there is no field `nobody`")]
#[case(with(Endpoint::new("/users").paging(Paging::pages("page", "size", 0))), "a page has at least one row")]
#[case(with(Endpoint::new("/users").header("X y", "1")), "`X y` is no name of a header")]
#[case(with(Endpoint::new("/users").header("X", "a\r\nb")), "the value of the header `X`")]
#[case(with(Endpoint::new("/users").idempotency_header("a b")), "`a b` is no name of a header")]
#[case(at().header("", "1"), "`` is no name of a header")]
#[case(at().endpoint("Usr", Endpoint::new("/users")), "there is an endpoint of `Usr`, but no such model; there are User, Seat, Profile")]
#[case(at().endpoint("Seat", Endpoint::new("/seats").one("/seats/{key}")), "the key has 2 parts")]
#[tokio::test]
async fn what_makes_no_sense_is_refused(#[case] rest: Rest, #[case] message: &str) {
    let error = Box::new(rest).open(&opening(&[&USER, &SEAT, &PROFILE])).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Invalid, Some("open")));
    assert!(error.to_string().contains(message), "{error}");
    assert!(!error.to_string().contains("pw"), "{error}");
}

#[rstest]
#[case("http://localhost:9")]
#[case("http://127.0.0.1:9")]
#[case("http://[::1]:9/v1")]
#[case("https://api.example.com")]
#[tokio::test]
async fn what_makes_sense_is_opened(#[case] base: &str) {
    let remote = Box::new(Rest::at(base).transport(Server::always(reply(500))))
        .open(&opening(&[&USER]))
        .await
        .unwrap();
    assert_eq!(remote.name(), "rest");
    assert!(remote.delta().is_none() && remote.realtime().is_none());
    let opted = Rest::at("http://intranet").allow_http().transport(Server::always(reply(500)));
    assert!(Box::new(opted).open(&opening(&[])).await.is_ok());
}

#[cfg(not(feature = "hyper"))]
#[tokio::test]
async fn without_a_transport_there_is_none() {
    let error = Box::new(at()).open(&opening(&[])).await.unwrap_err();
    assert!(error.message().contains("feature `hyper`"), "{error}");
}

#[tokio::test]
async fn a_transport_is_made_when_the_remote_is_opened() {
    let made = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = made.clone();
    let rest = at().transport_with(move |runtime| {
        assert_eq!(runtime.random(), 4);
        flag.store(true, std::sync::atomic::Ordering::SeqCst);
        Ok(larder_rest::Transport::new(Server::always(reply(500))))
    });
    assert!(!made.load(std::sync::atomic::Ordering::SeqCst));
    Box::new(rest).open(&opening(&[])).await.unwrap();
    assert!(made.load(std::sync::atomic::Ordering::SeqCst));
}

struct Tag(String);

static TAG: Schema = Schema::new("Tag", &[FieldDef::new("name", Kind::Str)], KeyDef::natural(&[0]));

impl Row for Tag {
    fn field(&self, _: usize) -> Result<ValueRef<'_>, larder_core::Fault> {
        Ok(ValueRef::Str(&self.0))
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl Model for Tag {
    fn schema() -> &'static Schema {
        &TAG
    }

    fn from_row(_: &dyn Row) -> larder_core::Result<Self> {
        Ok(Self(String::new()))
    }
}

#[tokio::test]
async fn an_endpoint_is_configured_by_type_too() {
    let server = Server::always(reply(404));
    let rest = at().model::<Tag>(Endpoint::new("/labels")).transport(server.clone());
    let remote = Box::new(rest).open(&opening(&[&TAG])).await.unwrap();
    let page =
        remote.get(&larder_core::Context::new(), &TAG, &larder_core::Query::key("bug".into())).await.unwrap();
    assert!(page.rows.is_empty());
    assert_eq!(server.lines(), ["GET /labels/bug"]);
}
