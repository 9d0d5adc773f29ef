//! Queries from data, and what is refused of those that come from elsewhere.

use larder_core::query::{CompareOp, MAX_DEPTH, TextOp};
use larder_core::{
    ErrorKind, Key, Model, One, Operator, Order, Position, Predicate, Query, Select, Timestamp, Uuid, Value,
    Where,
};
use larder_derive::{Datum, Model};
use rstest::rstest;
use serde_json::{Value as Json, json};

#[derive(Debug, Model)]
#[model(crate = "larder_core", rename_all = "camelCase")]
struct Person {
    #[model(key)]
    id: u32,
    home_city: String,
    age: Option<u8>,
    score: f64,
    tags: Vec<String>,
    since: Option<Timestamp>,
    badge: Option<Uuid>,
    color: Color,
    photo: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", rename_all = "lowercase")]
enum Color {
    Red,
    Green,
}

#[derive(Debug, Model)]
#[model(crate = "larder_core")]
struct Visit {
    #[model(key)]
    id: u32,
    host: One<Person>,
}

#[derive(Debug, Model)]
#[model(crate = "larder_core")]
struct Seat {
    #[model(key)]
    row: u8,
    #[model(key)]
    letter: String,
}

fn ask(json: &Json) -> Predicate {
    Select::<Person>::from_json(json).expect("a query").into_query().filter
}

#[rstest]
#[case(json!({"field": "home_city", "op": "eq", "value": "Oslo"}), Person::HOME_CITY.eq("Oslo").into_predicate())]
#[case(json!({"field": "age", "op": "ne", "value": null}), Person::AGE.is_not_null().into_predicate())]
#[case(json!({"field": "age", "op": "is_null"}), Person::AGE.is_null().into_predicate())]
#[case(json!({"field": "age", "op": "is_not_null", "value": null}), Person::AGE.is_not_null().into_predicate())]
#[case(json!({"field": "age", "op": "lt", "value": 255}), Person::AGE.lt(255).into_predicate())]
#[case(json!({"field": "age", "op": "le", "value": 1}), Person::AGE.le(1).into_predicate())]
#[case(json!({"field": "age", "op": "gt", "value": 1}), Person::AGE.gt(1).into_predicate())]
#[case(json!({"field": "score", "op": "ge", "value": 1}), Person::SCORE.ge(1.0).into_predicate())]
#[case(json!({"field": "id", "op": "between", "value": [2, 5]}), Person::ID.between(2, 5).into_predicate())]
#[case(json!({"field": "id", "op": "in", "value": [2, 5]}), Person::ID.is_in([2, 5]).into_predicate())]
#[case(json!({"field": "id", "op": "in", "value": []}), Person::ID.is_in([0_u32; 0]).into_predicate())]
#[case(json!({"field": "home_city", "op": "contains", "value": "s"}), Person::HOME_CITY.contains("s").into_predicate())]
#[case(
    json!({"field": "home_city", "op": "starts_with", "value": "S", "ignore_case": true}),
    Person::HOME_CITY.starts_with("S").ignore_case().into_predicate()
)]
#[case(json!({"field": "home_city", "op": "ends_with", "value": "s"}), Person::HOME_CITY.ends_with("s").into_predicate())]
#[case(json!({"field": "tags", "op": "does_not_contain", "value": "s"}), Person::TAGS.does_not_contain("s").into_predicate())]
#[case(json!({"field": "color", "op": "eq", "value": "red"}), Person::COLOR.eq(Color::Red).into_predicate())]
#[case(
    json!({"field": "since", "op": "eq", "value": "1970-01-01T00:00:00Z"}),
    Person::SINCE.eq(Timestamp::UNIX_EPOCH).into_predicate()
)]
#[case(
    json!({"field": "badge", "op": "eq", "value": "00000000-0000-0000-0000-000000000001"}),
    Person::BADGE.eq(Uuid::from_u128(1)).into_predicate()
)]
#[case(json!({"key": 7}), Predicate::Key(Key::Int(7)))]
#[case(json!({"keys": [7, 8]}), Predicate::Keys(vec![Key::Int(7), Key::Int(8)]))]
#[case(json!({}), Predicate::All)]
#[case(json!({"limit": 3}), Predicate::All)]
#[case(
    json!({"and": [{"key": 7}, {"or": [{"key": 8}, {"not": {"not": {"key": 9}}}]}]}),
    Predicate::And(vec![
        Predicate::Key(7.into()),
        Predicate::Or(vec![Predicate::Key(8.into()), Predicate::Key(9.into())]),
    ])
)]
fn data_says_what_the_typed_face_says(#[case] json: Json, #[case] expected: Predicate) {
    assert_eq!(ask(&json), expected);
}

// Rules: q-data
#[test]
fn data_says_order_and_window_too() {
    let typed =
        Person::AGE.gt(3).order_by(Person::SCORE.desc()).order_by(Person::ID.asc()).limit(2).offset(1);
    let json = json!({
        "field": "age", "op": "gt", "value": 3, "order": ["-score", "id"], "limit": 2, "offset": 1
    });
    assert_eq!(Select::<Person>::from_json(&json).expect("a query"), typed);
    let one =
        Query::from_json(Person::schema(), &json!({"order": "-age", "deny_scan": true})).expect("a query");
    assert_eq!((one.order, one.deny_scan), (vec![Order::desc(2)], true));
}

#[test]
fn data_carries_a_cursor() {
    let person = Person {
        id: 4,
        home_city: "Oslo".into(),
        age: None,
        score: 1.5,
        tags: vec![],
        since: None,
        badge: None,
        color: Color::Green,
        photo: vec![],
    };
    let first = Person::AGE.is_null().order_by(Person::SCORE.asc()).into_query();
    let text = first.cursor(Person::schema(), &person).expect("a cursor").to_string();
    let mut json = json!({"field": "age", "op": "is_null", "order": ["score"], "after": text});
    let next = Query::from_json(Person::schema(), &json).expect("a query");
    assert_eq!(next.after.expect("a place").values, [Value::Float(1.5)]);
    json["order"] = json!(["id"]);
    refused(&json, "another query");
}

#[track_caller]
fn refused(json: &Json, why: &str) {
    let error = Select::<Person>::from_json(json).expect_err("no query");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(error.model_name(), Some("Person"), "{error}");
}

// Rules: q-data
#[rstest]
#[case(json!({"field": "homecity", "op": "eq", "value": 1}), "did you mean `home_city`?")]
// A query names model fields, not those of its JSON.
#[case(json!({"field": "homeCity", "op": "eq", "value": 1}), "did you mean `home_city`?")]
#[case(json!({"field": "x".repeat(99), "op": "eq", "value": 1}), "known are id, home_city")]
#[case(json!({"order": ["-agee"]}), "did you mean `age`?")]
#[case(json!({"order": [1]}), "names of fields")]
#[case(json!({"field": "age", "op": "equals", "value": 1}), "no operator `equals`")]
#[case(json!({"field": "age", "op": "lte", "value": 1}), "did you mean `l")]
#[case(json!({"field": "age", "op": "eq", "value": "1"}), "age")]
#[case(json!({"field": "age", "op": "eq", "value": 256}), "256 is not between 0 and 255")]
#[case(json!({"field": "age", "op": "eq", "value": -1}), "-1 is not between")]
#[case(json!({"field": "age", "op": "eq", "value": 1.5}), "an integer")]
#[case(json!({"field": "home_city", "op": "eq", "value": 1}), "a string")]
#[case(json!({"field": "home_city", "op": "contains", "value": 1}), "a text contains texts")]
#[case(json!({"field": "age", "op": "contains", "value": 1}), "contains nothing")]
#[case(json!({"field": "tags", "op": "starts_with", "value": "a"}), "contains nothing")]
#[case(json!({"field": "tags", "op": "contains", "value": 1}), "a string")]
#[case(json!({"field": "color", "op": "eq", "value": "blue"}), "blue")]
#[case(json!({"field": "since", "op": "eq", "value": "yesterday"}), "RFC 3339")]
#[case(json!({"field": "id", "op": "between", "value": [1]}), "two values")]
#[case(json!({"field": "id", "op": "in", "value": 1}), "a list")]
#[case(json!({"field": "age", "op": "is_null", "value": 1}), "takes no value")]
#[case(json!({"field": "age", "op": "eq", "value": 1, "ignore_case": true}), "operators of text")]
#[case(json!({"field": "age", "op": "eq", "value": 1, "valeu": 2}), "did you mean `value`?")]
#[case(json!({"field": "age", "value": 1}), "needs the text `op`")]
#[case(json!({"filed": "age", "op": "eq", "value": 1}), "did you mean `field`?")]
#[case(json!({"and": [], "or": []}), "one of the members")]
#[case(json!({"and": {}}), "takes a list")]
#[case(json!({"and": [{"limit": 3}]}), "no member `limit`")]
#[case(json!({"limit": -1}), "`limit` takes a number")]
#[case(json!({"after": "x"}), "no cursor")]
#[case(json!({"key": "x"}), "an integer")]
#[case(json!([]), "are objects")]
fn data_that_makes_no_query_is_refused(#[case] json: Json, #[case] why: &str) {
    refused(&json, why);
}

#[test]
fn a_key_of_several_fields_is_a_list() {
    let key = Query::from_json(Seat::schema(), &json!({"key": [3, "B"]})).expect("a query").filter;
    assert_eq!(key, Predicate::Key(Key::Composite([Key::Int(3), Key::from("B")].into())));
    assert!(Query::from_json(Seat::schema(), &json!({"key": 3})).is_err());
}

#[test]
fn conditions_by_name() {
    let on =
        Predicate::on(Person::schema(), "age", "ge".parse().expect("an operator"), &json!(9)).expect("one");
    assert_eq!(on, Person::AGE.ge(9).into_predicate());
    assert_eq!(Operator::DoesNotContain.to_string(), "does_not_contain");
    assert_eq!("does_not_contain".parse::<Operator>().expect("its name"), Operator::DoesNotContain);
}

fn compare(field: u16, value: Value) -> Predicate {
    Predicate::Compare { field, op: CompareOp::Lt, value }
}

#[rstest]
#[case::no_such_field(Query::filter(compare(99, Value::Int(1))))]
#[case::no_such_order(Query { order: vec![Order::asc(99)], ..Query::all() })]
#[case::another_type(Query::filter(compare(1, Value::Int(1))))]
#[case::within(Query::filter(Predicate::Not(Box::new(Predicate::Or(vec![compare(2, Value::Str("1".into()))])))))]
#[case::an_element(Query::filter(compare(4, Value::List(vec![Value::Int(1)]))))]
#[case::one_of_several(Query::filter(Predicate::In { field: 0, values: vec![Value::Int(1), Value::Bool(true)] }))]
#[case::an_end(Query::filter(Predicate::Between { field: 0, low: Value::Int(1), high: Value::Float(2.0) }))]
#[case::no_text(Query::filter(text(0)))]
#[case::no_list(Query::filter(Predicate::Member { field: 1, value: Value::Int(1), negated: false }))]
#[case::nested_key(Query::key(Key::Composite([Key::Composite([].into())].into())))]
#[case::short_place(Query { order: vec![Order::asc(0)], ..after(vec![]) })]
#[case::long_place(after(vec![Value::Int(1)]))]
#[case::odd_place(Query { order: vec![Order::asc(0)], ..after(vec![Value::Bool(true)]) })]
fn queries_that_make_no_sense_are_refused(#[case] query: Query) {
    let error = query.check(Person::schema()).expect_err("it makes no sense");
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Invalid, Some("Person")));
}

fn text(field: u16) -> Predicate {
    Predicate::Text { field, op: TextOp::Contains, needle: "x".into(), ignore_case: false, negated: false }
}

fn after(values: Vec<Value>) -> Query {
    Query { after: Some(Box::new(Position { values, key: Key::Int(1) })), ..Query::all() }
}

#[test]
fn an_order_through_an_association_is_not_for_one_provider() {
    let query = Select::<Visit>::all().order_by(Visit::HOST.by(Person::AGE).asc()).into_query();
    assert!(query.check(Visit::schema()).is_ok());
    assert_eq!(query.check_alone(Visit::schema()).expect_err("a provider").kind(), ErrorKind::Unsupported);
    // Person has no such association.
    assert_eq!(query.check(Person::schema()).expect_err("no association").kind(), ErrorKind::Invalid);
}

#[test]
fn what_the_typed_face_makes_makes_sense() {
    let related = Visit::HOST.any(Person::AGE.gt(3).and(!Person::TAGS.contains("x"))).into_predicate();
    Query::filter(related).check(Visit::schema()).expect("it makes sense");
    let astray = Visit::HOST.any(Where::new(compare(99, Value::Null))).into_predicate();
    assert!(Query::filter(astray).check(Visit::schema()).is_err());
    let query = Person::AGE.is_null().and(!Person::TAGS.contains("x")).or(Person::PHOTO.eq(vec![1_u8]));
    let query = query.or(Person::COLOR.is_in([Color::Red])).order_by(Person::SINCE.desc()).into_query();
    query.check(Person::schema()).expect("it makes sense");
    Query::filter(text(7)).check(Person::schema()).expect("an enum without data is shown as a text");
}

#[test]
fn data_nests_no_deeper_than_queries_may() {
    let nested = |depth: usize| (0..depth).fold(json!({"key": 1}), |one, _| json!({"and": [one]}));
    let deepest = Select::<Person>::from_json(&nested(MAX_DEPTH - 1)).expect("a query").into_query();
    deepest.check(Person::schema()).expect("not too deep");
    refused(&nested(MAX_DEPTH), "deep");
}
