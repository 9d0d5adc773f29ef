//! Conditions that nest deep: a typed error, and never the end of the stack.

use std::hash::{BuildHasher, RandomState};

use larder_core::query::{Filter, MAX_DEPTH};
use larder_core::{Capabilities, ErrorKind, Model, Predicate, Query, Where};
use larder_derive::Model;
use rstest::rstest;

use crate::support::refusal;

#[derive(Debug, Model)]
#[model(crate = "larder_core")]
struct Leaf {
    #[model(key)]
    id: u32,
}

const DEEP: usize = 10_000;

fn nots(depth: usize) -> Predicate {
    (0..depth).fold(Predicate::Key(1.into()), |one, _| Predicate::Not(Box::new(one)))
}

fn both(depth: usize) -> Predicate {
    (0..depth).fold(Predicate::Key(1.into()), |one, at| match at % 2 {
        0 => Predicate::And(vec![one, Predicate::Key(2.into())]),
        _ => Predicate::Or(vec![Predicate::Key(3.into()), one]),
    })
}

// Rules: q-deep
#[rstest]
#[case::nots(nots(DEEP))]
#[case::both(both(DEEP))]
fn a_deep_condition_is_a_typed_error(#[case] deep: Predicate) {
    let query = Query::filter(deep.clone());
    assert_eq!(deep.depth(), DEEP);
    assert_eq!(query.filter, deep);
    let hasher = RandomState::new();
    assert_eq!(hasher.hash_one(&query), hasher.hash_one(Query::filter(deep)));
    assert!(format!("{query:?}").contains('…'));
    let schema = Leaf::schema();
    let row = Leaf { id: 1 };
    let refused = [
        refusal(query.check(schema)),
        refusal(query.filter.matches(schema, &row)),
        refusal(Filter::of(&query.filter).matches(schema, &row)),
        refusal(query.cursor(schema, &row)),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("deep"), "{error}");
    }
    assert!(serde_json::to_string(&query).is_err());
    assert!(rmp_serde::to_vec(&query).is_err());
    assert!(!query.plan(schema, &Capabilities::ALL).to_string().is_empty());
    let where_ = Where::<Leaf>::new(query.filter);
    assert_eq!(where_.into_predicate(), Predicate::TooDeep);
}

// Rules: q-deep
#[test]
fn a_deep_text_is_refused() {
    let json = format!("{}\"All\"{}", "{\"Not\":".repeat(DEEP), "}".repeat(DEEP));
    assert!(serde_json::from_str::<Predicate>(&json).is_err());
    let mut packed: Vec<u8> = [&[0x81, 0xa3][..], b"Not"].concat().repeat(DEEP);
    packed.extend([&[0xa3][..], b"All"].concat());
    assert!(rmp_serde::from_slice::<Predicate>(&packed).is_err());
    let list = [&[0x81, 0xa4][..], b"List", &[0x91]].concat().repeat(DEEP);
    assert!(rmp_serde::from_slice::<larder_core::Value>(&list).is_err());
    // What was refused leaves nothing behind.
    let fine = serde_json::to_string(&nots(MAX_DEPTH)).expect("JSON");
    assert_eq!(serde_json::from_str::<Predicate>(&fine).expect("JSON"), nots(MAX_DEPTH));
}

// Rules: q-deep, q-serde
#[rstest]
#[case(nots(MAX_DEPTH))]
#[case(both(MAX_DEPTH))]
fn the_deepest_that_may_be_is_answered_and_survives(#[case] deepest: Predicate) {
    let query = Query::filter(deepest);
    query.check(Leaf::schema()).expect("not too deep");
    query.filter.matches(Leaf::schema(), &Leaf { id: 1 }).expect("an answer");
    let json = serde_json::to_string(&query).expect("JSON");
    assert_eq!(serde_json::from_str::<Query>(&json).expect("JSON"), query);
    let packed = rmp_serde::to_vec(&query.filter).expect("MessagePack");
    assert_eq!(rmp_serde::from_slice::<Predicate>(&packed).expect("MessagePack"), query.filter);
}

// Rules: q-deep
#[test]
fn the_typed_face_stays_flat_or_says_so() {
    let one = || Leaf::ID.eq(1);
    let all = (0..DEEP).fold(one(), |all, _| all.and(one()));
    assert_eq!((all.clone().into_predicate().depth(), all.into_predicate().conjuncts().len()), (1, DEEP + 1));
    let any = (0..DEEP).fold(one(), |any, _| any.or(one())).into_predicate();
    assert_eq!(any.depth(), 1);
    let negated = (0..DEEP).fold(one(), |one, _| !one).into_predicate();
    assert_eq!(negated, one().into_predicate());
    let mixed = (0..DEEP).fold(one(), |mixed, _| mixed.or(one()).and(one()));
    let error = refusal(Query::filter(mixed.into_predicate()).check(Leaf::schema()));
    assert_eq!(error.kind(), ErrorKind::Invalid);
    // Up to the limit nothing is lost.
    let fine = (0..MAX_DEPTH / 2).fold(one(), |mixed, _| mixed.or(one()).and(one())).into_predicate();
    assert_eq!(fine.depth(), MAX_DEPTH);
    Query::filter(fine).check(Leaf::schema()).expect("not too deep");
}
