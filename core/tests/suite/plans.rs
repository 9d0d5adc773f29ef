//! Plans as data, what is a scan, and what judging and ordering look at.

use std::any::Any;
use std::sync::Mutex;

use larder_core::query::plan::{Access, Ordering, Served};
use larder_core::query::{Filter, eval};
use larder_core::{
    Capabilities, ErrorKind, Fault, Key, Model, Plan, Position, Predicate, Query, Record, Row, Schema,
    Select, Value, ValueRef,
};
use larder_derive::Model;
use proptest::prelude::*;
use rstest::rstest;

use crate::support::refusal;

#[derive(Debug, Model)]
#[model(crate = "larder_core", index(age, city))]
struct Person {
    #[model(key)]
    id: u32,
    #[model(index)]
    city: Option<String>,
    age: u8,
    nick: String,
    score: f64,
}

fn deny(select: impl Into<Select<Person>>) -> larder_core::Result<()> {
    select.into().deny_scan().into_query().permit_scan(Person::schema())
}

// Rules: q-deny-scan
#[test]
fn what_an_index_serves_is_no_scan() {
    for served in [
        Person::ID.eq(1),
        Person::ID.gt(1),
        Person::CITY.eq("Oslo"),
        Person::CITY.is_null(),
        Person::CITY.is_in(["a", "b"]),
        Person::CITY.is_in(Vec::<String>::new()),
        Person::NICK.is_in(Vec::<String>::new()),
        Person::CITY.starts_with("O"),
        Person::CITY.between("a", "b"),
        Person::AGE.le(3),
        Person::NICK.eq("x").and(Person::AGE.eq(3)),
        Person::CITY.eq("x").or(Person::AGE.eq(3).and(Person::NICK.eq("y"))),
        Person::NICK.eq("x").and(Person::CITY.eq("x").or(Person::ID.lt(3))),
    ] {
        let plan = Select::from(served.clone()).plan(&Capabilities::ALL);
        deny(served).unwrap_or_else(|error| panic!("{error}: {plan}"));
    }
    for select in [
        Select::<Person>::all().limit(3),
        Select::all().order_by(Person::ID.desc()).limit(3),
        Select::all().order_by(Person::CITY.desc()).limit(3),
        Select::all().order_by(Person::AGE.asc()).order_by(Person::CITY.asc()).limit(3),
        Person::NICK.eq("x").limit(0),
        Select::key(3_u32),
    ] {
        deny(select.clone()).unwrap_or_else(|error| panic!("{error}: {select:?}"));
    }
}

// Rules: q-deny-scan
#[rstest]
#[case(Person::NICK.eq("x").into(), "no index serves nick")]
#[case(Person::CITY.ne("x").into(), "no index serves city")]
#[case((!Person::CITY.eq("x")).into(), "no index serves city")]
#[case(Person::CITY.contains("x").into(), "no index serves city")]
#[case(Person::CITY.starts_with("x").ignore_case().into(), "no index serves city")]
#[case(Person::CITY.eq("x").or(Person::NICK.eq("x")).into(), "no index serves city, nick")]
#[case(Person::NICK.eq("x").limit(3), "no index serves nick")]
#[case(Select::all().order_by(Person::NICK.asc()).limit(3), "no index serves nick")]
#[case(Select::all().order_by(Person::AGE.asc()).limit(3), "no index serves age")]
#[case(Select::all(), "reads all rows")]
fn a_denied_scan_says_what_lacks_an_index(#[case] select: Select<Person>, #[case] why: &str) {
    assert!(select.as_query().permit_scan(Person::schema()).is_ok(), "only if it is denied");
    let error = refusal(deny(select));
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Unsupported, Some("Person")));
    assert!(error.to_string().contains(why), "{error}");
}

// Rules: q-plan
#[test]
fn a_plan_tells_of_each_condition() {
    let select = Person::CITY.eq("Oslo").and(Person::NICK.contains("x")).order_by(Person::AGE.desc());
    let plan = select.plan(&Capabilities::ALL);
    let served: Vec<&Served> = plan.conditions.iter().map(|one| &one.served).collect();
    assert_eq!(served, [&Served::Index(vec!["city".into()]), &Served::Unindexed]);
    assert_eq!(plan.access, Access::Index { name: "city".into(), fields: vec!["city".into()] });
    assert_eq!(plan.order, Ordering::Sorted);
    assert_eq!(
        plan.to_string(),
        "index city (city)\n  city eq \"Oslo\": by index city\n  nick contains \"x\": row by row, no index\n  order: \
         sorted"
    );
    let json = serde_json::to_string(&plan).expect("JSON");
    assert_eq!(serde_json::from_str::<Plan>(&json).expect("JSON"), plan);
    let deaf = select.plan(&Capabilities::NONE);
    assert!(deaf.conditions.iter().all(|one| one.served == Served::Residual), "{deaf}");
    assert_eq!((deaf.access, deaf.order), (Access::Scan, Ordering::Caller));
}

#[test]
fn a_plan_of_much_is_short() {
    let many = Person::ID.is_in(0..10_000).or(Person::NICK.eq("x".repeat(10_000)));
    let plan = Select::from(many).plan(&Capabilities::ALL).to_string();
    assert!(plan.len() < 1000 && plan.contains("id in (10000 values)"), "{plan}");
}

/// A row that notes which fields are looked at.
struct Watched<'a>(&'a Record, Mutex<Vec<usize>>);

impl Row for Watched<'_> {
    fn field(&self, i: usize) -> Result<ValueRef<'_>, Fault> {
        self.1.lock().expect("no panic").push(i);
        self.0.field(i)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

fn looked_at(f: impl FnOnce(&dyn Row)) -> Vec<usize> {
    let values =
        [Value::Int(1), Value::Str("Oslo".into()), Value::Int(7), Value::Str("x".into()), Value::Float(0.5)];
    let record = Record::new(values.map(Some));
    let row = Watched(&record, Mutex::default());
    f(&row);
    let mut seen = row.1.into_inner().expect("no panic");
    seen.sort_unstable();
    seen.dedup();
    seen
}

#[test]
fn only_the_fields_that_are_asked_for_are_looked_at() {
    let schema: &'static Schema = Person::schema();
    let filter = Person::AGE.gt(3).and(Person::NICK.eq("y").or(Person::AGE.lt(9))).into_predicate();
    assert_eq!(looked_at(|row| assert!(filter.matches(schema, row).expect("an answer"))), [2, 3]);
    // The first condition that fails is the last.
    let filter = Person::AGE.gt(30).and(Person::NICK.eq("y")).into_predicate();
    assert_eq!(looked_at(|row| assert!(!filter.matches(schema, row).expect("an answer"))), [2]);
    let long = Person::AGE.is_in(0..100).into_predicate();
    assert_eq!(looked_at(|row| assert!(Filter::of(&long).matches(schema, row).expect("an answer"))), [2]);
    let order = Select::<Person>::all().order_by(Person::SCORE.desc()).into_query().order;
    assert_eq!(
        looked_at(|row| assert!(eval::compare(schema, &order, row, row).expect("an order").is_eq())),
        [0, 4]
    );
    let place = Position { values: vec![Value::Float(0.25)], key: Key::Int(1) };
    assert_eq!(looked_at(|row| assert!(!place.is_before(schema, &order, row).expect("an answer"))), [4]);
}

fn operand() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        4 => (-9..9_i128).prop_map(Value::Int),
        4 => prop::sample::select(vec![0.0, -0.0, 1.5, f64::NAN, -f64::NAN, f64::INFINITY]).prop_map(Value::Float),
        2 => "[ab]{0,2}".prop_map(|text| Value::Str(text.into())),
        1 => prop::sample::select(vec![0.0, -0.0, f64::NAN]).prop_map(|one| Value::List(vec![Value::Float(one)])),
    ]
}

fn long() -> impl Strategy<Value = Predicate> {
    let among = prop::collection::vec(operand(), 0..40).prop_map(|values| Predicate::In { field: 4, values });
    let keys = prop::collection::vec((0..40_i128).prop_map(Key::Int), 0..40).prop_map(Predicate::Keys);
    prop_oneof![among, keys].prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::Or),
            inner.prop_map(|one| Predicate::Not(Box::new(one))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_that_is_ready_answers_as_its_condition(condition in long(), id in 0..40_i128, value in operand()) {
        let row = Record::new([Some(Value::Int(id)), None, None, None, Some(value)]);
        let schema = Person::schema();
        let expected = condition.matches(schema, &row).expect("an answer");
        prop_assert_eq!(Filter::of(&condition).matches(schema, &row).expect("an answer"), expected);
    }
}

#[test]
fn a_query_with_many_operands_is_ready_once() {
    let schema = Person::schema();
    let many = Query::filter(Person::ID.is_in(0..20_000).into_predicate());
    let filter = Filter::of(&many.filter);
    for id in (0..40_000).step_by(7) {
        let row = Record::new([Some(Value::Int(id)), None, None, None, None]);
        assert_eq!(filter.matches(schema, &row).expect("an answer"), id < 20_000);
    }
}
