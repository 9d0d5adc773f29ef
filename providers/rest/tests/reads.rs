//! Queries as requests, pages, and what is claimed to have been done.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use larder_core::{CompareOp, Context, Done, ErrorKind, Key, Page, Predicate, Presence, Query, Sent, Value};
use larder_rest::{Endpoint, Paging, Rest};
use rstest::rstest;
use serde_json::json;
use support::*;

const ID: u16 = 0;
const STATE: u16 = 3;

fn users() -> Endpoint {
    Endpoint::new("/users")
}

fn is(field: u16, value: Value) -> Predicate {
    compare(field, CompareOp::Eq, value)
}

fn compare(field: u16, op: CompareOp, value: Value) -> Predicate {
    Predicate::Compare { field, op, value }
}

fn text(value: &str) -> Value {
    Value::Str(value.into())
}

async fn get(server: &Server, endpoint: Endpoint, query: &Query) -> Page {
    remote(server, endpoint).await.get(&Context::new(), &USER, query).await.unwrap()
}

#[tokio::test]
async fn one_by_key() {
    let mut body = user_json("7", "Ada", Some(36), "open");
    body["avatar"] = "x.png".into();
    let server = Server::always(ok(json!({ "data": { "user": body } })).header("etag", "\"v1\""));
    let page = get(&server, users().row_key("data.user"), &Query::key("7".into())).await;
    assert_eq!((ids(&page), page.done, page.next), (vec!["7".to_owned()], Done::ALL, None));
    assert_eq!(page.rows[0].meta.version.as_deref(), Some("\"v1\""));
    assert_eq!(page.rows[0].meta.extra.as_deref(), Some(r#"{"avatar":"x.png"}"#));
    let seen = server.only();
    assert_eq!(seen.line(), "GET /v1/users/7");
    assert_eq!((seen.header("accept"), seen.header("content-type")), (Some("application/json"), None));
}

#[rstest]
#[case(404)]
#[case(410)]
#[tokio::test]
async fn one_that_is_not_there(#[case] status: u16) {
    let server = Server::always(reply(status));
    let page = get(&server, users(), &Query::key("7".into())).await;
    assert_eq!((page.rows.len(), page.done), (0, Done::ALL));
    let remote = remote(&server, users()).await;
    let presence = remote.exists(&Context::new(), &USER, &Query::key("7".into())).await.unwrap();
    assert_eq!(presence, Presence::Absent);
}

#[tokio::test]
async fn a_key_among_other_conditions_is_one_request() {
    let server = Server::always(ok(user_json("7", "Ada", Some(36), "open")));
    let key = Predicate::Key("7".into());
    let closed = Query::filter(key.clone().and(is(STATE, text("Closed"))));
    let open = Query::filter(is(STATE, text("Open")).and(key));
    assert_eq!(ids(&get(&server, users(), &closed).await), Vec::<String>::new());
    let page = get(&server, users(), &open).await;
    assert_eq!((ids(&page), page.done), (vec!["7".to_owned()], Done::ALL));
    assert_eq!(server.lines(), ["GET /v1/users/7", "GET /v1/users/7"]);
}

#[tokio::test]
async fn a_row_of_another_key_is_not_believed() {
    let server = Server::always(ok(user_json("8", "Eve", None, "open")));
    let remote = remote(&server, users()).await;
    let error = remote.get(&Context::new(), &USER, &Query::key("7".into())).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Serialization, Sent::Answered));
}

#[tokio::test]
async fn a_list_says_that_nothing_was_done() {
    let server = Server::always(ok(json!({ "data": { "items": three() } })));
    let query = Query { limit: Some(1), ..Query::filter(is(STATE, text("Open"))) };
    let page = get(&server, users().list_key("data.items").list_param("per_page", "50"), &query).await;
    assert_eq!((ids(&page).len(), page.done, page.next), (3, Done::default(), None));
    assert_eq!(server.only().line(), "GET /v1/users?per_page=50");
}

#[rstest]
#[case(Query { limit: Some(0), ..Query::all() })]
#[case(Query::filter(Predicate::In { field: ID, values: Vec::new() }))]
#[case(Query::filter(Predicate::none()))]
#[case(Query::filter(Predicate::Keys(Vec::new()).and(is(STATE, Value::Null))))]
#[tokio::test]
async fn what_matches_nothing_is_not_asked(#[case] query: Query) {
    let server = Server::always(reply(500));
    let page = get(&server, users(), &query).await;
    assert_eq!((page.rows.len(), page.done, server.log().len()), (0, Done::ALL, 0));
}

#[tokio::test]
async fn an_empty_list_may_have_no_body() {
    assert_eq!(get(&Server::always(reply(204)), users(), &Query::all()).await.rows.len(), 0);
}

#[tokio::test]
async fn a_model_of_one_row_is_read_where_it_is() {
    let server = Server::always(ok(json!({ "nick": "ada" })));
    let remote = open(Rest::at("http://localhost:1").transport(server.clone())).await;
    let page = remote.get(&Context::new(), &PROFILE, &Query::all()).await.unwrap();
    assert_eq!((page.rows.len(), page.done), (1, Done::ALL));
    let other = Query::filter(is(0, text("bob")));
    assert_eq!(remote.get(&Context::new(), &PROFILE, &other).await.unwrap().rows.len(), 0);
    assert_eq!(server.lines(), ["GET /profile", "GET /profile"]);
}

#[tokio::test]
async fn an_unknown_model_is_refused() {
    use larder_core::{FieldDef, KeyDef, Kind, Schema};
    static OTHER: Schema = Schema::new("Other", &[FieldDef::new("id", Kind::Str)], KeyDef::natural(&[0]));
    let remote = remote(&Server::always(reply(500)), users()).await;
    let error = remote.get(&Context::new(), &OTHER, &Query::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Invalid, Some("Other")));
}

// ---- versions ----

#[tokio::test]
async fn versions_of_rows() {
    let mut row = user_json("7", "Ada", None, "open");
    row["rev"] = 5.into();
    let list = ok(json!([row])).header("etag", "\"of the list\"");
    let one = ok(row).header("etag", "\"5\"");
    let server = Server::new(move |seen| if seen.target.ends_with('7') { one.clone() } else { list.clone() });
    let cases = [
        (users(), None, Some("\"5\"")),
        (users().version_field("rev"), Some("5"), Some("5")),
        (users().version_field_as_etag("rev"), Some("\"5\""), Some("\"5\"")),
        (users().version_field("missing"), None, None),
    ];
    for (endpoint, listed, alone) in cases {
        let page = get(&server, endpoint.clone(), &Query::all()).await;
        assert_eq!(page.rows[0].meta.version.as_deref(), listed);
        let page = get(&server, endpoint, &Query::key("7".into())).await;
        assert_eq!(page.rows[0].meta.version.as_deref(), alone);
    }
}

// ---- presence ----

#[tokio::test]
async fn exists_looks_no_further_than_it_has_to() {
    let server = numbered(5);
    let remote = remote(&server, users().paging(Paging::pages("page", "per_page", 2))).await;
    let exists = async |query: &Query| {
        let before = server.log().len();
        let presence = remote.exists(&Context::new(), &USER, query).await.unwrap();
        (presence, server.log().len() - before)
    };
    assert_eq!(exists(&Query::all()).await, (Presence::Present, 1));
    assert_eq!(exists(&Query::filter(is(ID, text("002")))).await, (Presence::Present, 2));
    assert_eq!(exists(&Query::filter(is(ID, text("nobody")))).await, (Presence::Absent, 3));
    assert_eq!(exists(&Query { offset: 4, ..Query::all() }).await, (Presence::Present, 3));
    assert_eq!(exists(&Query { offset: 5, ..Query::all() }).await, (Presence::Absent, 3));
    assert_eq!(exists(&Query { limit: Some(0), ..Query::all() }).await, (Presence::Absent, 0));
}

#[tokio::test]
async fn exists_by_key_asks_for_the_row() {
    let server = Server::always(ok(user_json("7", "Ada", None, "open")));
    let remote = remote(&server, users()).await;
    let query = Query::key(Key::from("7"));
    assert_eq!(remote.exists(&Context::new(), &USER, &query).await.unwrap(), Presence::Present);
    assert_eq!(server.lines(), ["GET /v1/users/7"]);
}
