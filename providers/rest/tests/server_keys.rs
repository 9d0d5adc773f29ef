//! Keys that the server gives: the client's is not sent, and the answer's counts.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use std::sync::Arc;

use larder_core::{
    Context, ErrorKind, FieldDef, FieldDialect, IntKind, Key, KeyDef, Kind, Mutation, OpenProvider,
    Operation, Provider, Record, Schema, Value,
};
use larder_rest::http::Method;
use larder_rest::{Endpoint, Rest};
use serde_json::json;
use support::*;

static TICKET: Schema = Schema::new(
    "Ticket",
    &[
        FieldDef::new("number", Kind::Int(IntKind::I64))
            .with_dialects(&[("json", FieldDialect { name: Some("id"), ..FieldDialect::PLAIN })]),
        FieldDef::new("title", Kind::Str),
    ],
    KeyDef::server(&[0]),
);

async fn tickets(server: &Server, endpoint: Endpoint) -> Arc<dyn Provider> {
    let rest = Rest::at("https://api.example.com/v1").transport(server.clone()).endpoint("Ticket", endpoint);
    Box::new(rest).open(&opening(&[&TICKET])).await.unwrap()
}

fn ticket(operation: Operation, number: i64) -> Mutation {
    let row = Record::new([Some(Value::Int(number.into())), Some(Value::Str("leaks".into()))]);
    Mutation { schema: &TICKET, ..mutation(operation, Some(row), Key::from(number)) }
}

// Rules: m-key-server
#[tokio::test]
async fn a_create_goes_out_without_a_key_and_comes_back_with_one() {
    let server = Server::always(reply(201).json(json!({ "id": 17, "title": "leaks" })));
    let remote = tickets(&server, Endpoint::new("/tickets")).await;
    let applied = remote.apply(&Context::new(), &ticket(Operation::Insert, -5)).await.unwrap();
    let seen = server.only();
    assert_eq!((seen.line().as_str(), seen.json()), ("POST /v1/tickets", json!({ "title": "leaks" })));
    let row = applied.row.unwrap().row;
    assert_eq!(TICKET.key_of(&*row).unwrap(), Key::from(17));
}

// Rules: m-key-server
#[tokio::test]
async fn an_update_goes_out_with_the_key_that_was_given() {
    let server = Server::always(ok(json!({ "id": 18, "title": "leaks" })));
    let remote = tickets(&server, Endpoint::new("/tickets")).await;
    let applied = remote.apply(&Context::new(), &ticket(Operation::Update, 17)).await.unwrap();
    let seen = server.only();
    assert_eq!(
        (seen.line().as_str(), seen.json()),
        ("PUT /v1/tickets/17", json!({ "id": 17, "title": "leaks" }))
    );
    assert!(applied.row.is_none(), "what it says of another row is not believed");
}

// Rules: m-key-server
#[tokio::test]
async fn a_create_can_not_be_at_a_path_with_the_key() {
    let rest = Rest::at("https://api.example.com")
        .endpoint("Ticket", Endpoint::new("/tickets").create_with(Method::PUT));
    let error = Box::new(rest).open(&opening(&[&TICKET])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("the server is to give it"), "{error}");
}

// Rules: m-key-server
#[rstest::rstest]
#[case::a_path("/v1/tickets/17", Some(17))]
#[case::a_url("https://api.example.com/v1/tickets/17/?fresh=1", Some(17))]
#[case::relative("17", Some(17))]
#[case::encoded("/v1/tickets/%31%37", Some(17))]
#[case::another_type("/v1/tickets/seventeen", None)]
#[case::beyond_the_type("/v1/tickets/99999999999999999999", None)]
#[case::no_segment("/", None)]
#[tokio::test]
async fn the_key_may_stand_in_where_the_created_row_is(#[case] location: &str, #[case] key: Option<i64>) {
    let server = Server::always(reply(201).header("location", location));
    let remote = tickets(&server, Endpoint::new("/tickets")).await;
    let applied = remote.apply(&Context::new(), &ticket(Operation::Insert, -5)).await.unwrap();
    let given = applied.row.and_then(|row| TICKET.key_of(&*row.row).ok());
    assert_eq!(given, key.map(Key::from));
    // It tells nothing new of a row that has its key already.
    let updated = remote.apply(&Context::new(), &ticket(Operation::Update, 17)).await.unwrap();
    assert!(updated.row.is_none());
}

// Rules: m-key-server
#[tokio::test]
async fn what_the_body_says_counts_for_more() {
    let body = json!({ "id": 18, "title": "leaks" });
    let server = Server::always(reply(201).header("location", "/v1/tickets/17").json(body));
    let remote = tickets(&server, Endpoint::new("/tickets")).await;
    let applied = remote.apply(&Context::new(), &ticket(Operation::Insert, -5)).await.unwrap();
    assert_eq!(TICKET.key_of(&*applied.row.unwrap().row).unwrap(), Key::from(18));
}
