//! Queries as data: equal ones are equal and hash alike, and they survive being stored.

use std::hash::{BuildHasher, RandomState};

use larder_core::query::{CompareOp, TextOp};
use larder_core::value::VariantValue;
use larder_core::{Key, Order, Position, Predicate, Query, Select, Timestamp, Uuid, Value, Where};
use larder_derive::Model;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[derive(Debug, Model)]
#[model(crate = "larder_core")]
struct User {
    #[model(key)]
    id: u32,
    city: String,
    age: Option<u8>,
    score: f64,
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        any::<char>().prop_map(Value::Char),
        ".{0,5}".prop_map(|text| Value::Str(text.into())),
        vec(any::<u8>(), 0..4).prop_map(|bytes| Value::Bytes(bytes.into())),
        any::<u128>().prop_map(|id| Value::Uuid(Uuid::from_u128(id))),
        any::<i64>().prop_map(|at| Value::Time(Timestamp::from_nanosecond(at.into()).expect("a moment"))),
    ];
    scalar.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::List),
            vec((inner.clone(), inner.clone()), 0..3).prop_map(Value::Map),
            vec(inner.clone(), 0..3).prop_map(Value::Struct),
            (".{0,3}", vec(inner, 0..2)).prop_map(|(name, fields)| Value::Variant(Box::new(VariantValue {
                name: name.into(),
                fields
            }))),
        ]
    })
}

fn key() -> impl Strategy<Value = Key> {
    let part = prop_oneof![
        Just(Key::Singleton),
        any::<bool>().prop_map(Key::Bool),
        any::<i128>().prop_map(Key::Int),
        ".{0,5}".prop_map(Key::from),
        vec(any::<u8>(), 0..4).prop_map(|bytes| Key::Bytes(bytes.into())),
        any::<u128>().prop_map(|id| Key::Uuid(Uuid::from_u128(id))),
    ];
    prop_oneof![part.clone(), vec(part, 0..3).prop_map(|parts| Key::Composite(parts.into()))]
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let op = prop_oneof![
        Just(CompareOp::Eq),
        Just(CompareOp::Ne),
        Just(CompareOp::Lt),
        Just(CompareOp::Le),
        Just(CompareOp::Gt),
        Just(CompareOp::Ge)
    ];
    let text = prop_oneof![Just(TextOp::Contains), Just(TextOp::StartsWith), Just(TextOp::EndsWith)];
    let leaf = prop_oneof![
        Just(Predicate::All),
        key().prop_map(Predicate::Key),
        vec(key(), 0..3).prop_map(Predicate::Keys),
        (any::<u16>(), op, value()).prop_map(|(field, op, value)| Predicate::Compare { field, op, value }),
        (any::<u16>(), value(), value()).prop_map(|(field, low, high)| Predicate::Between {
            field,
            low,
            high
        }),
        (any::<u16>(), vec(value(), 0..3)).prop_map(|(field, values)| Predicate::In { field, values }),
        (any::<u16>(), text, ".{0,4}", any::<bool>(), any::<bool>()).prop_map(
            |(field, op, needle, ignore_case, negated)| {
                Predicate::Text { field, op, needle: needle.into(), ignore_case, negated }
            }
        ),
        (any::<u16>(), value(), any::<bool>()).prop_map(|(field, value, negated)| Predicate::Member {
            field,
            value,
            negated
        }),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Predicate::And),
            vec(inner.clone(), 0..3).prop_map(Predicate::Or),
            inner.prop_map(|one| Predicate::Not(Box::new(one))),
        ]
    })
}

fn query() -> impl Strategy<Value = Query> {
    let order = (any::<u16>(), any::<bool>())
        .prop_map(|(field, rising)| if rising { Order::asc(field) } else { Order::desc(field) });
    let after = (vec(value(), 0..3), key()).prop_map(|(values, key)| Box::new(Position { values, key }));
    (predicate(), vec(order, 0..3), option::of(any::<u64>()), any::<u64>(), option::of(after), any::<bool>())
        .prop_map(|(filter, order, limit, offset, after, deny_scan)| Query {
            filter,
            order,
            limit,
            offset,
            after,
            deny_scan,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // Rules: q-serde, q-identity
    #[test]
    fn queries_survive_being_stored(query in query()) {
        let hasher = RandomState::new();
        let text = serde_json::to_string(&query).expect("a query as JSON");
        let read: Query = serde_json::from_str(&text).expect("a query from JSON");
        prop_assert_eq!(hasher.hash_one(&read), hasher.hash_one(&query));
        prop_assert_eq!(&read, &query);
        let bytes = rmp_serde::to_vec_named(&query).expect("a query as MessagePack");
        let read: Query = rmp_serde::from_slice(&bytes).expect("a query from MessagePack");
        prop_assert_eq!(&read, &query);
    }
}

// Rules: q-identity
#[test]
fn equal_queries_are_equal_and_hash_alike() {
    let make = || User::CITY.eq("Oslo").and(User::SCORE.ne(f64::NAN)).order_by(User::AGE.desc()).limit(3);
    let hasher = RandomState::new();
    assert_eq!(make(), make());
    assert_eq!(hasher.hash_one(make()), hasher.hash_one(make()));
    assert_ne!(make(), make().limit(4));
    assert_ne!(User::SCORE.eq(0.0).into_predicate(), User::SCORE.eq(-0.0).into_predicate());
}

#[test]
fn trees_of_one_operator_are_flat() {
    let all = User::ID.eq(1).and(User::ID.eq(2)).and(User::ID.eq(3).and(User::ID.eq(4))).into_predicate();
    assert_eq!(all.conjuncts().len(), 4);
    assert!(matches!(all, Predicate::And(_)));
    let any = User::ID.eq(1).or(User::ID.eq(2)).or(User::ID.eq(3).or(User::ID.eq(4))).into_predicate();
    assert!(matches!(any, Predicate::Or(ref any) if any.len() == 4));
    let everything = Where::<User>::new(Predicate::All);
    assert_eq!(everything.clone().and(User::ID.eq(1)).into_predicate(), User::ID.eq(1).into_predicate());
    assert_eq!(User::ID.eq(1).and(everything).into_predicate(), User::ID.eq(1).into_predicate());
}

#[test]
fn a_query_for_one_key_is_known_as_one() {
    assert_eq!(Select::<User>::key(1_u32).into_query().as_key(), Some(&Key::Int(1)));
    assert_eq!(Select::<User>::key(1_u32).limit(1).into_query().as_key(), Some(&Key::Int(1)));
    assert_eq!(Select::<User>::key(1_u32).limit(0).into_query().as_key(), None);
    assert_eq!(Select::<User>::key(1_u32).offset(1).into_query().as_key(), None);
    assert_eq!(User::ID.eq(1).limit(1).into_query().as_key(), None);
    assert_eq!(
        User::ID.eq(1).limit(1).offset(2).into_query().unlimited(),
        User::ID.eq(1).offset(0).into_query()
    );
}

#[test]
fn assignments_carry_position_and_value() {
    let set = User::AGE.to(Some(9));
    assert_eq!((set.position, set.value), (2, Value::Int(9)));
    assert_eq!(User::AGE.to(None).value, Value::Null);
    assert_eq!(User::CITY.to("Bergen").value, Value::Str("Bergen".into()));
}
