//! One condition within another: the rules one by one, and their soundness against the evaluator.

#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use larder_core::{
    CompareOp, FieldDef, IntKind, Key, KeyDef, Kind, Order, Predicate, Query, Record, Schema, TextOp, Value,
};
use proptest::prelude::*;
use rstest::rstest;

use super::{implies, includes, normal, remembered};

static STR: Kind = Kind::Str;
static F64: Kind = Kind::F64;
static INT: Kind = Kind::Int(IntKind::I64);

static THING: Schema = Schema::new(
    "Thing",
    &[
        FieldDef::new("id", Kind::Int(IntKind::I64)),
        FieldDef::new("text", Kind::Option(&STR)),
        FieldDef::new("float", Kind::Option(&F64)),
        FieldDef::new("number", Kind::Option(&INT)),
        FieldDef::new("list", Kind::List(&INT)),
    ],
    KeyDef::natural(&[0]),
);

const ID: u16 = 0;
const TEXT: u16 = 1;
const FLOAT: u16 = 2;
const NUMBER: u16 = 3;
const LIST: u16 = 4;

fn compare(field: u16, op: CompareOp, value: impl Into<Option<i64>>) -> Predicate {
    let value = value.into().map_or(Value::Null, |value| Value::Int(value.into()));
    Predicate::Compare { field, op, value }
}

fn number(op: CompareOp, value: impl Into<Option<i64>>) -> Predicate {
    compare(NUMBER, op, value)
}

fn one_of(values: &[i64]) -> Predicate {
    Predicate::In { field: NUMBER, values: values.iter().map(|value| Value::Int((*value).into())).collect() }
}

fn text(op: TextOp, needle: &str, ignore_case: bool) -> Predicate {
    Predicate::Text { field: TEXT, op, needle: needle.into(), ignore_case, negated: false }
}

fn float(op: CompareOp, value: f64) -> Predicate {
    Predicate::Compare { field: FLOAT, op, value: Value::Float(value) }
}

fn not_null(field: u16) -> Predicate {
    compare(field, CompareOp::Ne, None)
}

use CompareOp::{Eq, Ge, Gt, Le, Lt, Ne};
use TextOp::{Contains, EndsWith, StartsWith};

#[rstest]
#[case::all(number(Gt, 3), Predicate::All, true)]
#[case::not_all(Predicate::All, number(Gt, 3), false)]
#[case::none(Predicate::none(), number(Gt, 3), true)]
#[case::a_part(number(Gt, 3).and(not_null(TEXT)), number(Gt, 3), true)]
#[case::less_than_both(number(Gt, 3), number(Gt, 3).and(not_null(TEXT)), false)]
#[case::one_of_two(number(Eq, 3), number(Eq, 3).or(number(Eq, 4)), true)]
#[case::both_of_two(number(Eq, 3).or(number(Eq, 4)), number(Eq, 3), false)]
#[case::both_are_in(number(Eq, 3).or(number(Eq, 4)), number(Gt, 2), true)]
#[case::within_a_range(number(Gt, 3), number(Ge, 3), true)]
#[case::at_the_edge(number(Ge, 3), number(Gt, 3), false)]
#[case::beyond_the_edge(number(Ge, 4), number(Gt, 3), true)]
#[case::the_other_way(number(Gt, 3), number(Lt, 9), false)]
#[case::a_range_has_no_null(number(Lt, 3), not_null(NUMBER), true)]
#[case::other_than_has_no_null(number(Ne, 3), not_null(NUMBER), true)]
#[case::null_is_null(number(Eq, None), not_null(NUMBER), false)]
#[case::a_range_of_null_is_empty(number(Ge, None), number(Eq, 7), true)]
#[case::another_field(number(Gt, 3), compare(ID, Gt, 3), false)]
#[case::a_subset(one_of(&[3, 1]), one_of(&[1, 2, 3]), true)]
#[case::no_subset(one_of(&[3, 4]), one_of(&[1, 2, 3]), false)]
#[case::values_in_a_range(one_of(&[3, 4]), number(Gt, 2), true)]
#[case::values_and_no_null(one_of(&[3, 4]), Predicate::Not(Box::new(number(Eq, None))), true)]
#[case::between(Predicate::Between { field: NUMBER, low: Value::Int(4), high: Value::Int(6) }, number(Gt, 3), true)]
#[case::into_between(one_of(&[4, 6]), Predicate::Between { field: NUMBER, low: Value::Int(4), high: Value::Int(6) }, true)]
#[case::a_longer_prefix(text(StartsWith, "abc", false), text(StartsWith, "ab", false), true)]
#[case::a_shorter_prefix(text(StartsWith, "ab", false), text(StartsWith, "abc", false), false)]
#[case::a_prefix_is_contained(text(StartsWith, "abc", false), text(Contains, "bc", false), true)]
#[case::a_suffix_is_no_prefix(text(EndsWith, "abc", false), text(StartsWith, "abc", false), false)]
#[case::case_may_be_ignored(text(StartsWith, "ABc", false), text(StartsWith, "ab", true), true)]
#[case::case_may_not_be_invented(text(StartsWith, "ab", true), text(StartsWith, "ab", false), false)]
#[case::text_is_not_null(text(Contains, "", false), not_null(TEXT), true)]
#[case::a_key_is_its_field(Predicate::Key(7.into()), compare(ID, Gt, 3), true)]
#[case::a_field_is_the_key(compare(ID, Eq, 7), Predicate::Key(7.into()), true)]
#[case::a_key_of_several(Predicate::Key(7.into()), Predicate::Keys(vec![7.into(), 8.into()]), true)]
#[case::a_key_of_others(Predicate::Key(9.into()), Predicate::Keys(vec![7.into(), 8.into()]), false)]
#[case::negation_turns_round(
    Predicate::Not(Box::new(number(Gt, 3))),
    Predicate::Not(Box::new(number(Gt, 4))),
    true
)]
#[case::zero_is_two_values(float(Eq, 0.0), float(Ge, 0.0), false)]
#[case::no_number_equals_nothing(float(Eq, f64::NAN), float(Lt, 1.0), true)]
fn what_implies_what(#[case] a: Predicate, #[case] b: Predicate, #[case] expected: bool) {
    assert_eq!(implies(&THING, &a, &b), expected, "{a:?} => {b:?}");
}

#[rstest]
#[case(number(Eq, 1).and(number(Eq, 2)), number(Eq, 2).and(number(Eq, 1)))]
#[case(number(Eq, 1).or(number(Eq, 2)), number(Eq, 2).or(number(Eq, 1)).or(number(Eq, 2)))]
#[case(Predicate::Not(Box::new(Predicate::Not(Box::new(number(Eq, 1))))), number(Eq, 1))]
#[case(one_of(&[2, 1, 2]), one_of(&[1, 2]))]
#[case(one_of(&[2]), number(Eq, 2))]
#[case(one_of(&[]), Predicate::none())]
#[case(Predicate::Keys(vec![2.into(), 1.into()]), Predicate::Keys(vec![1.into(), 2.into()]))]
#[case(
    Predicate::And(vec![number(Eq, 1), Predicate::And(vec![number(Eq, 2), Predicate::All])]),
    number(Eq, 1).and(number(Eq, 2))
)]
fn what_is_one_condition_in_two_forms(#[case] a: Predicate, #[case] b: Predicate) {
    assert_eq!(normal(&a), normal(&b));
}

#[test]
fn a_limited_answer_includes_its_own_beginnings_alone() {
    let limited =
        |limit, offset| Query { limit, offset, order: vec![Order::desc(3)], ..Query::filter(number(Gt, 3)) };
    let known = remembered(&limited(Some(5), 0));
    for (query, expected) in [
        (limited(Some(5), 0), true),
        (limited(Some(2), 3), true),
        (limited(Some(3), 3), false),
        (limited(None, 0), false),
        (Query { order: vec![Order::asc(3)], ..limited(Some(2), 0) }, false),
        (Query { filter: number(Gt, 4), ..limited(Some(2), 0) }, false),
    ] {
        assert_eq!(includes(&THING, &known, &remembered(&query)), expected, "{query:?}");
    }
}

fn value(field: u16) -> BoxedStrategy<Value> {
    match field {
        TEXT => {
            prop_oneof![1 => Just(Value::Null), 5 => "[aAbB]{0,3}".prop_map(|text| Value::Str(text.into()))]
                .boxed()
        }
        FLOAT => prop_oneof![
            Just(Value::Null),
            prop::sample::select(vec![-1.0, -0.0, 0.0, 1.0, f64::NAN, f64::INFINITY]).prop_map(Value::Float),
        ]
        .boxed(),
        LIST => prop::collection::vec((0..3_i128).prop_map(Value::Int), 0..3).prop_map(Value::List).boxed(),
        ID => (0..6_i128).prop_map(Value::Int).boxed(),
        _ => prop_oneof![1 => Just(Value::Null), 5 => (0..6_i128).prop_map(Value::Int)].boxed(),
    }
}

fn operator() -> impl Strategy<Value = CompareOp> {
    prop::sample::select(vec![Eq, Ne, Lt, Le, Gt, Ge])
}

fn condition() -> BoxedStrategy<Predicate> {
    let field = prop::sample::select(vec![ID, TEXT, FLOAT, NUMBER, LIST]);
    let key = (0..6_i64).prop_map(Key::from);
    let comparison = (field.clone(), operator()).prop_flat_map(|(field, op)| {
        value(field).prop_map(move |value| Predicate::Compare { field, op, value })
    });
    let between = field.clone().prop_flat_map(|field| {
        (value(field), value(field)).prop_map(move |(low, high)| Predicate::Between { field, low, high })
    });
    let among = field.prop_flat_map(|field| {
        prop::collection::vec(value(field), 0..4).prop_map(move |values| Predicate::In { field, values })
    });
    let place = prop::sample::select(vec![Contains, StartsWith, EndsWith]);
    let text = (place, "[aAbB]{0,2}", any::<bool>(), any::<bool>()).prop_map(
        |(op, needle, ignore_case, negated)| Predicate::Text {
            field: TEXT,
            op,
            needle: needle.into(),
            ignore_case,
            negated,
        },
    );
    let member = (0..3_i128, any::<bool>()).prop_map(|(member, negated)| Predicate::Member {
        field: LIST,
        value: Value::Int(member),
        negated,
    });
    let leaf = prop_oneof![
        1 => Just(Predicate::All),
        2 => key.clone().prop_map(Predicate::Key),
        2 => prop::collection::vec(key, 0..3).prop_map(Predicate::Keys),
        8 => comparison,
        3 => between,
        3 => among,
        4 => text,
        2 => member,
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::Or),
            inner.prop_map(|one| Predicate::Not(Box::new(one))),
        ]
    })
    .boxed()
}

fn row() -> impl Strategy<Value = Record> {
    (value(ID), value(TEXT), value(FLOAT), value(NUMBER), value(LIST)).prop_map(
        |(id, text, float, number, list)| {
            Record::new([Some(id), Some(text), Some(float), Some(number), Some(list)])
        },
    )
}

/// A condition that is likely to imply another: a part of it is changed a little.
fn related() -> impl Strategy<Value = (Predicate, Predicate)> {
    prop_oneof![
        (condition(), condition()),
        (condition(), condition()).prop_map(|(a, b)| (a.clone().and(b), a)),
        (condition(), condition()).prop_map(|(a, b)| (a.clone(), a.or(b))),
        (condition(), condition(), condition())
            .prop_map(|(a, b, c)| (a.clone().or(b.clone()), c.or(b).or(a))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    // Rules: r-included
    /// If one is said to imply the other, every row says so too.
    #[test]
    fn every_row_bears_it_out((a, b) in related(), rows in prop::collection::vec(row(), 24)) {
        let (a, b) = (normal(&a), normal(&b));
        if implies(&THING, &a, &b) {
            for row in rows {
                if a.matches(&THING, &row).unwrap() {
                    prop_assert!(b.matches(&THING, &row).unwrap(), "{a:?} => {b:?}, but not for {row:?}");
                }
            }
        }
    }

    /// The other form means the same.
    #[test]
    fn one_form_means_the_same(a in condition(), rows in prop::collection::vec(row(), 24)) {
        let normal = normal(&a);
        for row in rows {
            prop_assert_eq!(a.matches(&THING, &row).unwrap(), normal.matches(&THING, &row).unwrap());
        }
    }
}
