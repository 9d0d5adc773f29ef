//! The ordered encoding: comparing bytes is comparing values.

use std::cmp::Ordering;

use jiff::civil;
use larder_core::query::eval;
use larder_core::value::VariantValue;
use larder_core::{Decimal, Key, Timestamp, Uuid, Value, ValueRef, ordered};
use proptest::collection::vec;
use proptest::prelude::*;
use rstest::rstest;

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ordered::encode(value.show(), &mut bytes).expect("a value shows itself");
    bytes
}

fn text() -> impl Strategy<Value = String> {
    "[\0\u{1}ab\u{7f}é𝄞]{0,4}"
}

fn int() -> impl Strategy<Value = i128> {
    prop_oneof![
        -300..300_i128,
        any::<i64>().prop_map(i128::from),
        any::<i128>(),
        Just(i128::MIN),
        Just(i128::MAX)
    ]
}

/// Around the border of `i128` as often as beyond it.
fn uint() -> impl Strategy<Value = u128> {
    prop_oneof![any::<u128>(), (0..9_u128).prop_map(|near| (1 << 127) - 4 + near), Just(u128::MAX)]
}

pub(crate) fn date() -> impl Strategy<Value = civil::Date> {
    prop_oneof![
        (-9999..=9999_i16, 1..=12_i8, 1..=28_i8),
        (-1..=1_i16, 1..=2_i8, 1..=2_i8),
        Just((9999, 12, 31)),
        Just((-9999, 1, 1)),
    ]
    .prop_map(|(year, month, day)| civil::date(year, month, day))
}

pub(crate) fn clock() -> impl Strategy<Value = civil::Time> {
    (0..24_i8, 0..60_i8, 0..60_i8, prop_oneof![Just(0), 0..1_000_000_000_i32])
        .prop_map(|(hour, minute, second, nanosecond)| civil::time(hour, minute, second, nanosecond))
}

/// Few digits, so that some are worth the same, and many.
pub(crate) fn decimal() -> impl Strategy<Value = Decimal> {
    let whole = (1_i128 << 96) - 1;
    let few = (-120..120_i128, 0..4_u8);
    let many = (-whole..=whole, 0..=28_u8);
    prop_oneof![few, many]
        .prop_map(|(coefficient, scale)| Decimal::new(coefficient, scale).expect("in range"))
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(0.0),
        Just(-0.0),
        Just(f64::NAN),
        Just(-f64::NAN),
        Just(f64::INFINITY),
        -2.0..2.0
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    let moment = (-5_i64..5).prop_map(|second| Timestamp::from_second(second).expect("a moment"));
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        int().prop_map(Value::Int),
        float().prop_map(Value::Float),
        any::<char>().prop_map(Value::Char),
        text().prop_map(|text| Value::Str(text.into())),
        vec(0..3_u8, 0..4).prop_map(|bytes| Value::Bytes(bytes.into())),
        (0..4_u128).prop_map(|id| Value::Uuid(Uuid::from_u128(id))),
        moment.prop_map(Value::Time),
        uint().prop_map(|uint| ValueRef::uint(uint).to_value().expect("a number")),
        date().prop_map(Value::Date),
        clock().prop_map(Value::Clock),
        (date(), clock()).prop_map(|(date, clock)| Value::DateTime(date.to_datetime(clock))),
        decimal().prop_map(Value::Decimal),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::List),
            vec(inner.clone(), 0..3).prop_map(Value::Struct),
            vec((inner.clone(), inner.clone()), 0..3).prop_map(Value::Map),
            (text(), vec(inner, 0..3)).prop_map(|(name, fields)| Value::Variant(Box::new(VariantValue {
                name: name.into(),
                fields
            }))),
        ]
    })
}

fn key() -> impl Strategy<Value = Key> {
    let part = prop_oneof![
        any::<bool>().prop_map(Key::Bool),
        int().prop_map(Key::Int),
        text().prop_map(Key::from),
        vec(any::<u8>(), 0..5).prop_map(|bytes| Key::Bytes(bytes.into())),
        any::<u128>().prop_map(|id| Key::Uuid(Uuid::from_u128(id))),
        uint().prop_map(Key::from),
        date().prop_map(Key::from),
    ];
    prop_oneof![
        4 => part.clone(),
        1 => Just(Key::Singleton),
        2 => vec(part, 2..4).prop_map(|parts| Key::Composite(parts.into())),
    ]
}

#[track_caller]
fn check(a: &Value, b: &Value) -> Result<(), TestCaseError> {
    let order = eval::order(a.show(), b.show()).expect("values show themselves");
    prop_assert_eq!(encoded(a).cmp(&encoded(b)), order, "{:?} and {:?}", a, b);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    // Rules: q-type-scalar, q-type-float, q-type-composite
    #[test]
    fn bytes_order_as_values_do(a in value(), b in value()) {
        check(&a, &b)?;
        check(&a, &a)?;
    }

    #[test]
    fn bytes_order_as_values_of_one_type_do(a in vec(text(), 1..3), b in vec(text(), 1..3), i in int(), j in int(), x in float(), y in float()) {
        let list = |texts: &[String]| Value::List(texts.iter().map(|text| Value::Str(text.as_str().into())).collect());
        check(&list(&a), &list(&b))?;
        check(&Value::Str(a[0].as_str().into()), &Value::Str(b[0].as_str().into()))?;
        check(&Value::Int(i), &Value::Int(j))?;
        check(&Value::Float(x), &Value::Float(y))?;
        check(&Value::Bytes(a[0].as_bytes().into()), &Value::Bytes(b[0].as_bytes().into()))?;
    }

    #[test]
    fn bytes_order_as_dates_numbers_and_decimals_do(
        d in (date(), date()), c in (clock(), clock()), u in (uint(), uint()), i in int(), n in (decimal(), decimal()),
    ) {
        let uint = |uint| ValueRef::uint(uint).to_value().expect("a number");
        check(&Value::Date(d.0), &Value::Date(d.1))?;
        check(&Value::Clock(c.0), &Value::Clock(c.1))?;
        check(&Value::DateTime(d.0.to_datetime(c.0)), &Value::DateTime(d.1.to_datetime(c.1)))?;
        check(&Value::DateTime(d.0.to_datetime(c.0)), &Value::DateTime(d.0.to_datetime(c.1)))?;
        check(&uint(u.0), &uint(u.1))?;
        check(&uint(u.0), &Value::Int(i))?;
        check(&Value::Decimal(n.0), &Value::Decimal(n.1))?;
    }

    #[test]
    fn strung_values_order_as_their_tuples_do(a in (text(), int()), b in (text(), int())) {
        let strung = |(text, int): &(String, i128)| {
            let mut bytes = encoded(&Value::Str(text.as_str().into()));
            bytes.extend(encoded(&Value::Int(*int)));
            bytes
        };
        prop_assert_eq!(strung(&a).cmp(&strung(&b)), a.cmp(&b));
    }

    #[test]
    fn keys_come_back_and_order_as_keys_do(a in key(), b in key(), rest in vec(any::<u8>(), 0..4)) {
        let bytes = |key: &Key| {
            let mut bytes = Vec::new();
            ordered::encode_key(key, &mut bytes);
            bytes
        };
        let mut with_rest = bytes(&a);
        with_rest.extend_from_slice(&rest);
        prop_assert_eq!(ordered::decode_key(&with_rest).expect("a key"), (a.clone(), &rest[..]));
        prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
    }

    #[test]
    fn a_prefix_of_a_text_is_a_range_of_bytes(text in text(), prefix in text()) {
        let mut low = Vec::new();
        ordered::encode_text_prefix(&prefix, &mut low);
        let high = ordered::after_prefix(&low).expect("a text's tag is not the last byte");
        let bytes = encoded(&Value::Str(text.as_str().into()));
        prop_assert_eq!(bytes >= low && bytes < high, text.starts_with(&prefix));
    }
}

#[rstest]
#[case::within(&[1, 2], Some(vec![1, 3]))]
#[case::carried(&[1, 0xff, 0xff], Some(vec![2]))]
#[case::nothing_after(&[0xff, 0xff], None)]
#[case::everything(&[], None)]
fn what_sorts_after_a_prefix(#[case] prefix: &[u8], #[case] expected: Option<Vec<u8>>) {
    assert_eq!(ordered::after_prefix(prefix), expected);
}

#[test]
fn minus_zero_sorts_before_zero() {
    assert_eq!(encoded(&Value::Float(-0.0)).cmp(&encoded(&Value::Float(0.0))), Ordering::Less);
}
