//! A model that has another shape on the wire.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use std::sync::Arc;

use larder_core::{
    Context, Error, ErrorKind, FieldDef, Key, KeyDef, Kind, Mutation, OpenProvider, Operation, Provider,
    Query, Record, Result, Row, Schema, Value, ValueRef, ViaDef,
};
use larder_rest::http::Method;
use larder_rest::{Endpoint, Rest};
use rstest::rstest;
use serde_json::{Value as Json, json};
use support::*;

/// `{"meta": {"id": …}, "title": …}`
fn write(row: &dyn Row) -> Result<Json> {
    let text = |at: usize| match row.field(at) {
        Ok(ValueRef::Str(text)) => text.to_owned(),
        other => panic!("{other:?}"),
    };
    Ok(json!({ "meta": { "id": text(0) }, "title": text(1) }))
}

fn read(json: &Json) -> Result<(Record, Json)> {
    let unfit = || Error::new(ErrorKind::Serialization, "expected a page");
    let id = json["meta"]["id"].as_str().ok_or_else(unfit)?;
    let title = json["title"].as_str().ok_or_else(unfit)?;
    let record = Record::new([id, title].map(|text| Some(Value::Str(text.into()))));
    Ok((record, json!({ "meta": { "id": id }, "title": title })))
}

static PAGE: Schema = Schema {
    via: &[("json", ViaDef { write, read })],
    ..Schema::new(
        "Page",
        &[FieldDef::new("id", Kind::Str), FieldDef::new("title", Kind::Str)],
        KeyDef::natural(&[0]),
    )
};

async fn pages(server: &Server, endpoint: Endpoint) -> Arc<dyn Provider> {
    let rest = Rest::at("https://api.example.com/v1").transport(server.clone()).endpoint("Page", endpoint);
    Box::new(rest).open(&opening(&[&PAGE])).await.unwrap()
}

fn page(operation: Operation) -> Mutation {
    let row = Record::new(["7", "Home"].map(|text| Some(Value::Str(text.into()))));
    Mutation {
        schema: &PAGE,
        extra: Some(r#"{"theme":"dark"}"#.into()),
        changed: changed(&[1]),
        ..mutation(operation, Some(row), Key::from("7"))
    }
}

// Rules: m-via, m-extra
#[rstest]
#[case::put(Method::PUT, json!({ "meta": { "id": "7" }, "title": "Home", "theme": "dark" }))]
#[case::patch(Method::PATCH, json!({ "meta": { "id": "7" }, "title": "Home" }))]
#[tokio::test]
async fn an_update_is_sent_whole_with_what_the_model_does_not_have(
    #[case] method: Method,
    #[case] body: Json,
) {
    let server = Server::always(reply(204));
    let remote = pages(&server, Endpoint::new("/pages").update_with(method)).await;
    remote.apply(&Context::new(), &page(Operation::Update)).await.unwrap();
    assert_eq!(server.only().json(), body);
}

// Rules: m-via, m-extra
#[tokio::test]
async fn a_list_is_read_through_the_shape() {
    let server = Server::always(ok(json!([{ "meta": { "id": "7" }, "title": "Home", "theme": "dark" }])));
    let remote = pages(&server, Endpoint::new("/pages")).await;
    let rows = remote.get(&Context::new(), &PAGE, &Query::all()).await.unwrap().rows;
    assert_eq!(PAGE.key_of(&*rows[0].row).unwrap(), Key::from("7"));
    assert_eq!(rows[0].meta.extra.as_deref(), Some(r#"{"theme":"dark"}"#));
}

// Rules: m-via
#[tokio::test]
async fn an_answer_that_shows_a_part_is_laid_over_what_was_sent() {
    let server = Server::always(ok(json!({ "title": "Home!", "likes": 3 })));
    let remote = pages(&server, Endpoint::new("/pages")).await;
    let answer = remote.apply(&Context::new(), &page(Operation::Update)).await.unwrap().row.unwrap();
    assert!(matches!(answer.row.field(1), Ok(ValueRef::Str("Home!"))));
    assert_eq!(answer.meta.extra.as_deref(), Some(r#"{"likes":3,"theme":"dark"}"#));
    let server = Server::always(ok(json!({ "ok": true })));
    let remote = pages(&server, Endpoint::new("/pages")).await;
    assert!(remote.apply(&Context::new(), &page(Operation::Update)).await.unwrap().row.is_none());
}
