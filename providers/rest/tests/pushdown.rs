//! What of a query the server is asked to do, and what is claimed to have been done.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use larder_core::{
    CompareOp, Context, Direction, Done, ErrorKind, Field, Order, Page, Predicate, Query, Sent, TextOp, Value,
};
use larder_rest::{Action, Endpoint, FilterOp, OrderStyle};
use rstest::rstest;
use serde_json::json;
use support::*;

const ID: u16 = 0;
const NAME: u16 = 1;
const AGE: u16 = 2;
const STATE: u16 = 3;
const TAGS: u16 = 4;

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

fn by(field: u16, direction: Direction) -> Order {
    Order { direction, ..Order::asc(field) }
}

async fn get(server: &Server, endpoint: Endpoint, query: &Query) -> Page {
    remote(server, endpoint).await.get(&Context::new(), &USER, query).await.unwrap()
}

fn able() -> Endpoint {
    users()
        .filter_param("state", "st")
        .filter_param(Field::<(), i64>::at(AGE), "age")
        .filter_op("age", FilterOp::Ge, "min")
        .filter_op("age", FilterOp::Le, "max")
        .filter_op("id", FilterOp::AnyOf, "id")
        .filter_op("name", FilterOp::AnyOfCommas, "names")
        .filter_op("name", FilterOp::StartsWith, "prefix")
        .filter_op("tags", FilterOp::Member, "label")
        .narrow_op("name", FilterOp::Contains, "q")
}

fn starts(needle: &str, ignore_case: bool) -> Predicate {
    Predicate::Text {
        field: NAME,
        op: TextOp::StartsWith,
        needle: needle.into(),
        ignore_case,
        negated: false,
    }
}

fn contains(needle: &str) -> Predicate {
    Predicate::Text {
        field: NAME,
        op: TextOp::Contains,
        needle: needle.into(),
        ignore_case: false,
        negated: false,
    }
}

fn in_names(names: &[&str]) -> Predicate {
    Predicate::In { field: NAME, values: names.iter().map(|name| text(name)).collect() }
}

#[rstest]
#[case::all(Predicate::All, "", true)]
#[case::the_name_in_the_dialect(is(STATE, text("Open")), "?st=open", true)]
#[case::a_number(is(AGE, Value::Int(7)), "?age=7", true)]
#[case::null(is(AGE, Value::Null), "", false)]
#[case::greater(compare(AGE, CompareOp::Ge, Value::Int(7)), "?min=7", true)]
#[case::no_such_parameter(compare(AGE, CompareOp::Gt, Value::Int(7)), "", false)]
#[case::between(Predicate::Between { field: AGE, low: Value::Int(1), high: Value::Int(9) }, "?min=1&max=9", true)]
#[case::both(is(STATE, text("Open")).and(is(AGE, Value::Int(7))), "?st=open&age=7", true)]
#[case::one_of_both(is(STATE, text("Open")).and(is(ID, text("7"))), "?st=open", false)]
#[case::twice(is(STATE, text("Open")).and(is(STATE, text("Closed"))), "?st=open", false)]
#[case::either(is(STATE, text("Open")).or(is(AGE, Value::Int(7))), "", false)]
#[case::not(Predicate::Not(Box::new(is(STATE, text("Open")))), "", false)]
#[case::keys(Predicate::Keys(vec!["1".into(), "a&b".into()]), "?id=1&id=a%26b", true)]
#[case::commas(in_names(&["Ada", "Bob"]), "?names=Ada%2CBob", true)]
#[case::commas_in_values(in_names(&["Ada, of", "Bob"]), "", false)]
#[case::one_value(Predicate::In { field: STATE, values: vec![text("Open")] }, "?st=open", true)]
#[case::prefix(starts("A%", false), "?prefix=A%25", true)]
#[case::prefix_of_any_case(starts("A", true), "", false)]
#[case::narrowed(contains("d"), "?q=d", false)]
#[case::member(Predicate::Member { field: TAGS, value: text("a"), negated: false }, "?label=a", true)]
#[case::no_member(Predicate::Member { field: TAGS, value: text("a"), negated: true }, "", false)]
#[case::too_long(is(STATE, text(&"x".repeat(5000))), "", false)]
#[tokio::test]
async fn conditions_become_parameters(#[case] filter: Predicate, #[case] target: &str, #[case] done: bool) {
    let server = Server::always(ok(json!([])));
    let page = get(&server, able(), &Query::filter(filter)).await;
    assert_eq!(server.only().target, format!("/v1/users{target}"));
    assert_eq!(page.done, Done { filter: done, order: false, window: false });
}

#[tokio::test]
async fn a_server_may_be_asked_for_everything() {
    let endpoint = users()
        .filter_everything(|_, filter| vec![("filter".to_owned(), serde_json::to_string(filter).unwrap())]);
    let server = Server::always(ok(json!([])));
    let either = is(STATE, text("Open")).or(contains("d"));
    let page = get(&server, endpoint.clone(), &Query::filter(either)).await;
    assert!(page.done.filter);
    assert!(server.only().target.starts_with("/v1/users?filter=%7B%22Or%22"));
    assert!(get(&server, endpoint, &Query::all()).await.done.filter);
    assert_eq!(server.log()[1].target, "/v1/users");
}

#[tokio::test]
async fn a_server_that_ignores_a_filter_is_found_out() {
    let server = Server::always(ok(three()));
    let endpoint = able().order_param("sort", OrderStyle::Signed).limit_param("limit");
    let open = Query::filter(is(STATE, text("Open")));
    let page = get(&server, endpoint.clone(), &open).await;
    assert_eq!((ids(&page), page.done), (vec!["1".to_owned(), "3".to_owned()], Done::ALL));
    let remote = remote(&server, endpoint).await;
    let limited = Query { limit: Some(2), ..open };
    let error = remote.get(&Context::new(), &USER, &limited).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Transport, false));
}

// Rules: q-fields, q-order-key
#[rstest]
#[case(OrderStyle::Signed, "sort=-years%2CuserName%2Cid")]
#[case(OrderStyle::Suffixed, "sort=years%3Adesc%2CuserName%3Aasc%2Cid%3Aasc")]
#[case(OrderStyle::Split { directions: "dir".to_owned() }, "sort=years%2CuserName%2Cid&dir=desc%2Casc%2Casc")]
#[tokio::test]
async fn an_order_names_the_fields_of_the_dialect_and_the_key_last(
    #[case] style: OrderStyle,
    #[case] query: &str,
) {
    let server = Server::always(ok(json!([])));
    let ordered =
        Query { order: vec![by(AGE, Direction::Descending), by(NAME, Direction::Ascending)], ..Query::all() };
    let page = get(&server, users().order_param("sort", style), &ordered).await;
    assert_eq!(server.only().target, format!("/v1/users?{query}"));
    assert_eq!(page.done, Done::ALL);
}

#[tokio::test]
async fn the_order_of_the_keys_may_be_the_server_s_own() {
    let server = Server::always(ok(json!([])));
    assert!(get(&server, users().lists_by_key(), &Query::all()).await.done.order);
    let ordered = Query { order: vec![by(ID, Direction::Descending)], ..Query::all() };
    assert!(!get(&server, users().lists_by_key(), &ordered).await.done.order);
    assert_eq!(server.lines(), ["GET /v1/users", "GET /v1/users"]);
}

#[tokio::test]
async fn a_window_is_counted_off_once_the_server_filters_and_orders() {
    let server = Server::always(ok(three()));
    let window = Query { limit: Some(1), offset: 1, ..Query::all() };
    let page = get(&server, users().lists_by_key(), &window).await;
    assert_eq!((ids(&page), page.done, page.next), (vec!["2".to_owned()], Done::ALL, None));
    let helped = users().lists_by_key().limit_param("limit");
    assert_eq!(ids(&get(&server, helped.clone(), &window).await), ["2"]);
    let page = get(&server, helped.offset_param("offset"), &window).await;
    assert_eq!(ids(&page), ["1"], "the server has left out what was asked for");
    let lines = ["GET /v1/users", "GET /v1/users?limit=2", "GET /v1/users?offset=1&limit=1"];
    assert_eq!(server.lines(), lines);
}

#[tokio::test]
async fn a_window_is_left_alone_if_the_server_does_not_filter() {
    let server = Server::always(ok(three()));
    let endpoint = users().lists_by_key().limit_param("limit");
    let window = Query { limit: Some(1), ..Query::filter(is(STATE, text("Open"))) };
    let page = get(&server, endpoint, &window).await;
    assert_eq!((page.rows.len(), page.done), (3, Done { filter: false, order: true, window: false }));
    assert_eq!(server.only().line(), "GET /v1/users");
}

#[tokio::test]
async fn the_path_of_a_list_takes_fields_from_the_query() {
    let server = Server::always(ok(json!([])));
    let endpoint = Endpoint::new("/states/{state}/users").one("/users/{key}");
    let page = get(&server, endpoint.clone(), &Query::filter(is(STATE, text("Open")))).await;
    assert_eq!((server.only().target.as_str(), page.done.filter), ("/v1/states/open/users", true));
    let remote = remote(&server, endpoint).await;
    let error = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Unsupported, Sent::Never));
    assert!(error.message().contains("`state = …`"), "{error}");
}

#[tokio::test]
async fn without_a_place_for_one_row_the_list_is_searched() {
    let server = Server::always(ok(three()));
    let endpoint = users().without(Action::One);
    let page = get(&server, endpoint.clone(), &Query::key("2".into())).await;
    assert_eq!((page.rows.len(), page.done.filter), (3, false));
    let page = get(&server, endpoint.filter_param("id", "id"), &Query::key("2".into())).await;
    assert_eq!((ids(&page), page.done.filter), (vec!["2".to_owned()], true));
    assert_eq!(server.lines(), ["GET /v1/users", "GET /v1/users?id=2"]);
}

// Rules: q-plan
#[tokio::test]
async fn a_plan_tells_what_the_server_does() {
    let server = Server::always(ok(json!([])));
    let remote = remote(&server, able().order_param("sort", OrderStyle::Signed)).await;
    let filter = is(STATE, text("Open")).and(contains("d")).and(is(AGE, Value::Null));
    let query = Query { order: vec![by(AGE, Direction::Descending)], ..Query::filter(filter) };
    let plan = remote.explain(&USER, &query).unwrap();
    let told = plan.to_string();
    let expected = [
        "GET /users with st, q, sort",
        "  state eq \"Open\": pushed down",
        "  name contains \"d\": row by row",
        "  age eq null: row by row",
        "  order: as it comes",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected, "{told}");
    let one = remote.explain(&USER, &Query::key("7".into())).unwrap().to_string();
    assert!(!one.contains("7\n") && one.contains("pushed down"), "{one}");
    // Nobody was asked.
    assert!(server.log().is_empty());
}
