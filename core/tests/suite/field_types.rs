//! The types that a field can have, one by one: what they are in JSON and in a store, and what comes back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::{self, date, datetime, time};
use larder_core::{Datum, Decimal, Fault, Key, Model, Row, Value, ValueRef};
use larder_derive::{Datum, Model};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rstest::rstest;

use crate::datum::comes_back;
use crate::ordered::{clock, date as any_date, decimal};
use crate::support::{from_json, pack, refusal, to_json, unpack};

/// Stored by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Datum)]
#[model(crate = "larder_core", by = "index")]
enum Level {
    Low = 1,
    High = 5,
    Off = -2,
}

#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core", json(rename_all = "camelCase"))]
struct Kinds {
    #[model(key)]
    day: civil::Date,
    at: civil::Time,
    both: civil::DateTime,
    maybe_day: Option<civil::Date>,
    huge: u128,
    maybe_huge: Option<u128>,
    price: Decimal,
    prices: Vec<Decimal>,
    level: Level,
    maybe_level: Option<Level>,
    levels: Vec<Level>,
    by_level: BTreeMap<Level, Decimal>,
    by_huge: BTreeMap<u128, u8>,
    by_day: BTreeMap<civil::Date, civil::Time>,
    hash: [u8; 4],
    corners: [i32; 2],
    names: [Option<String>; 2],
    shared: Arc<str>,
    boxed: Box<str>,
    cow: Cow<'static, str>,
    maybe_shared: Option<Arc<str>>,
    arc: Arc<Vec<u16>>,
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![Just(Level::Low), Just(Level::High), Just(Level::Off)]
}

fn huge() -> impl Strategy<Value = u128> {
    prop_oneof![any::<u128>(), 0..9_u128, (0..9_u128).prop_map(|near| (1 << 127) - 4 + near)]
}

fn kinds() -> impl Strategy<Value = Kinds> {
    let moments = (any_date(), clock(), (any_date(), clock()), option::of(any_date()));
    let numbers = (huge(), option::of(huge()), decimal(), vec(decimal(), 0..3));
    let levels = (level(), option::of(level()), vec(level(), 0..3), vec((level(), decimal()), 0..3));
    let maps = (vec((huge(), any::<u8>()), 0..3), vec((any_date(), clock()), 0..3));
    let arrays = (any::<[u8; 4]>(), any::<[i32; 2]>(), any::<[Option<u8>; 2]>());
    let texts = ("[a-z]{0,3}", vec(any::<u16>(), 0..3));
    (moments, numbers, levels, maps, arrays, texts).prop_map(
        |(
            (day, at, (date, clock), maybe_day),
            (huge, maybe_huge, price, prices),
            (level, maybe_level, levels, by_level),
            (by_huge, by_day),
            (hash, corners, names),
            (text, arc),
        )| Kinds {
            day,
            at,
            both: date.to_datetime(clock),
            maybe_day,
            huge,
            maybe_huge,
            price,
            prices,
            level,
            maybe_level,
            levels,
            by_level: by_level.into_iter().collect(),
            by_huge: by_huge.into_iter().collect(),
            by_day: by_day.into_iter().collect(),
            hash,
            corners,
            names: names.map(|name| name.map(|name| name.to_string())),
            shared: text.as_str().into(),
            boxed: text.as_str().into(),
            cow: text.clone().into(),
            maybe_shared: (!text.is_empty()).then(|| text.as_str().into()),
            arc: arc.into(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // Rules: m-scalars, m-decimals, m-arrays, m-enums
    #[test]
    fn through_bytes_and_json(model in kinds()) {
        let bytes = unpack::<Kinds, Kinds>(&pack(&model)).expect("what was packed");
        prop_assert_eq!(&bytes, &model);
        let json = to_json(&model);
        prop_assert_eq!(&from_json::<Kinds>(&json).expect("what was written"), &model);
        let text = json.to_string();
        let parsed = serde_json::from_str(&text).expect("the JSON as text");
        prop_assert_eq!(from_json::<Kinds>(&parsed).expect("what was written"), model);
    }

    #[test]
    fn a_value_survives_serde(model in kinds()) {
        for at in 0..Kinds::schema().fields.len() {
            let value = model.field(at).and_then(ValueRef::to_value).expect("a value");
            let text = serde_json::to_string(&value).expect("a value as text");
            prop_assert_eq!(serde_json::from_str::<Value>(&text).expect("a value"), value);
        }
    }

    #[test]
    fn a_decimal_is_its_text(price in decimal()) {
        let text = price.to_string();
        let read: Decimal = text.parse().expect("its own text");
        prop_assert_eq!((read.coefficient(), read.scale()), (price.coefficient(), price.scale()));
    }
}

#[test]
fn what_is_shown_is_taken() {
    comes_back(u128::MAX);
    comes_back(u128::MAX >> 1);
    comes_back((u128::MAX >> 1) + 1);
    comes_back(civil::Date::MIN);
    comes_back(civil::Time::MAX);
    comes_back(civil::DateTime::MAX);
    comes_back([1_u8, 2, 3]);
    comes_back([0_u8; 0]);
    comes_back([String::from("a"), String::from("b")]);
    comes_back([[1_i8, 2], [3, 4]]);
    comes_back(Arc::<str>::from("text"));
    comes_back(Box::<str>::from("text"));
    comes_back(Cow::Borrowed("text"));
    comes_back(Arc::new(5_u16));
    comes_back(Level::Off);
    comes_back("-0.10".parse::<Decimal>().expect("a number"));
}

// Rules: m-arrays
#[rstest]
#[case::short(<[u8; 3]>::take(Value::Bytes([1, 2].into()).show()), Fault::Length { expected: 3, found: 2 })]
#[case::long(<[u8; 1]>::take(Value::Bytes([1, 2].into()).show()), Fault::Length { expected: 1, found: 2 })]
#[case::type_of_all(<[u8; 1]>::take(Value::Null.show()), Fault::Type { expected: "bytes", found: "null" })]
fn an_array_has_its_length<T: std::fmt::Debug + PartialEq>(
    #[case] taken: Result<T, Fault>,
    #[case] fault: Fault,
) {
    assert_eq!(taken, Err(fault));
}

// Rules: m-scalars
#[test]
fn integers_stay_in_their_range() {
    let beyond = (1_u128 << 127).show().to_value().expect("a number");
    assert_eq!(beyond, Value::Uint(1 << 127));
    assert_eq!(i128::take(beyond.show()), Err(Fault::Range { expected: "i128" }));
    assert_eq!(u8::take(beyond.show()), Err(Fault::Range { expected: "u8" }));
    assert_eq!(u128::take(Value::Int(-1).show()), Err(Fault::Range { expected: "u128" }));
    assert!(
        matches!(u128::from(u64::MAX).show(), ValueRef::Int(_)),
        "there is one way only to show a number"
    );
    assert_eq!(Key::from(1_u128 << 127), Key::take(beyond.show()).expect("a key"));
    assert!(Key::from(u128::MAX) > Key::from(i128::MAX));
}

fn sample() -> Kinds {
    Kinds {
        day: date(2024, 6, 30),
        at: time(8, 30, 0, 0),
        both: datetime(2024, 6, 30, 8, 30, 0, 500_000_000),
        maybe_day: None,
        huge: u128::MAX,
        maybe_huge: Some(7),
        price: "1.50".parse().expect("a price"),
        prices: Vec::new(),
        level: Level::High,
        maybe_level: None,
        levels: vec![Level::Off],
        by_level: BTreeMap::from([(Level::Low, "2".parse().expect("a price"))]),
        by_huge: BTreeMap::from([(u128::MAX, 1)]),
        by_day: BTreeMap::from([(date(2024, 1, 1), time(0, 0, 1, 0))]),
        hash: [1, 2, 3, 4],
        corners: [-1, 1],
        names: [Some("a".into()), None],
        shared: "s".into(),
        boxed: "b".into(),
        cow: "c".into(),
        maybe_shared: None,
        arc: Arc::new(vec![9]),
    }
}

#[test]
fn json_has_the_forms_that_the_page_tells() {
    let expected = serde_json::json!({
        "day": "2024-06-30",
        "at": "08:30:00",
        "both": "2024-06-30T08:30:00.5",
        "maybeDay": null,
        "huge": "340282366920938463463374607431768211455",
        "maybeHuge": 7,
        "price": "1.50",
        "prices": [],
        "level": 5,
        "maybeLevel": null,
        "levels": [-2],
        "byLevel": { "1": "2" },
        "byHuge": { "340282366920938463463374607431768211455": 1 },
        "byDay": { "2024-01-01": "00:00:01" },
        "hash": "AQIDBA==",
        "corners": [-1, 1],
        "names": ["a", null],
        "shared": "s",
        "boxed": "b",
        "cow": "c",
        "maybeShared": null,
        "arc": [9],
    });
    assert_eq!(to_json(&sample()), expected);
    assert_eq!(sample().key().expect("a key"), Key::Date(date(2024, 6, 30)));
}

#[rstest]
#[case::day("day", serde_json::json!("30.6.2024"), "expected a date such as 2024-06-30, found another string")]
#[case::day_type("day", serde_json::json!(20_240_630), "expected a date such as 2024-06-30, found an integer")]
#[case::clock("at", serde_json::json!("25:00"), "expected a time of day such as 08:30:00, found another string")]
#[case::zone("both", serde_json::json!("2024-06-30T08:30:00Z"), "expected a date with a time such as 2024-06-30T08:30:00, found another string")]
#[case::price("price", serde_json::json!("1,50"), "expected a decimal number, found another string")]
#[case::digits("price", serde_json::json!("0.12345678901234567890123456789"), "expected a decimal number, found another string")]
#[case::huge("huge", serde_json::json!("340282366920938463463374607431768211456"), "expected an integer, found a string")]
#[case::negative("huge", serde_json::json!(-1), "-1 is not between 0 and 170141183460469231731687303715884105727")]
#[case::level("level", serde_json::json!(2), "unknown variant 2 of Level, expected one of 1 (Low), 5 (High), -2 (Off)")]
#[case::level_name("level", serde_json::json!("Low"), "expected the number of a variant, found a string")]
#[case::level_key("byLevel", serde_json::json!({ "7": "1" }), "unknown variant 7 of Level, expected one of 1 (Low), 5 (High), -2 (Off)")]
fn what_does_not_fit_is_refused(
    #[case] member: &str,
    #[case] json: serde_json::Value,
    #[case] message: &str,
) {
    let mut all = to_json(&sample());
    all[member] = json;
    let error = refusal(from_json::<Kinds>(&all));
    assert_eq!(error.message(), message);
}

#[test]
fn numbers_are_read_as_decimals_and_offsets_as_moments() {
    let mut json = to_json(&sample());
    json["price"] = serde_json::json!(0.1);
    assert_eq!(from_json::<Kinds>(&json).expect("a model").price, "0.1".parse().expect("a price"));
    json["price"] = serde_json::json!(-3);
    assert_eq!(from_json::<Kinds>(&json).expect("a model").price, "-3".parse().expect("a price"));
}

// Rules: m-decimals
#[rstest]
#[case("1.50", "1.5", 0)]
#[case("100", "1e2", 0)]
#[case("-0.0", "0", 0)]
#[case("-1", "-1.1", 1)]
#[case("9.99", "10", -1)]
#[case("0.01", "0.1", -1)]
#[case("-10", "-9", -1)]
#[case("79228162514264337593543950335", "79228162514264337593543950334", 1)]
fn decimals_are_compared_by_what_they_are_worth(#[case] a: &str, #[case] b: &str, #[case] order: i8) {
    let (a, b): (Decimal, Decimal) = (a.parse().expect("a number"), b.parse().expect("a number"));
    assert_eq!(a.cmp(&b) as i8, order);
}

#[rstest]
#[case("")]
#[case("-")]
#[case(".")]
#[case("1.2.3")]
#[case("1e")]
#[case("0x1")]
#[case("79228162514264337593543950336")]
#[case("1e40")]
#[case("1e-40")]
#[case("1e2000000000")]
#[case("1e-2000000000")]
fn what_is_no_decimal_is_refused(#[case] text: &str) {
    assert!(text.parse::<Decimal>().is_err(), "{text}");
}

/// The same table before its enum had numbers, and with a variant that is gone.
#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core", name = "Task")]
struct ByName {
    #[model(key)]
    id: u32,
    level: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
enum Named {
    Low,
    Middle,
    #[model(row(rename = "top"))]
    High,
}

#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core", name = "Task", version = 2)]
struct ByNumber {
    #[model(key)]
    id: u32,
    level: Numbered,
}

#[derive(Clone, Copy, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", by = "index")]
enum Numbered {
    #[model(alias = "top")]
    High = 3,
    Low = 1,
}

#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core", name = "Task", version = 3)]
struct ByOtherNumber {
    #[model(key)]
    id: u32,
    level: Level,
}

// Rules: m-enums, m-evolve-fault
#[test]
fn an_enum_can_get_numbers_and_a_number_that_is_gone_is_told() {
    let read = |level| unpack::<ByName, ByNumber>(&pack(&ByName { id: 1, level }));
    assert_eq!(read(Named::Low).expect("a row").level, Numbered::Low);
    assert_eq!(read(Named::High).expect("a row").level, Numbered::High);
    let gone = refusal(read(Named::Middle));
    assert_eq!((gone.model_name(), gone.path()), (Some("Task"), Some("level")));
    assert!(
        gone.message().starts_with("stored by version 1 of the model as an enum variant that version 2"),
        "{gone}"
    );
    let stored = |level| unpack::<ByNumber, ByOtherNumber>(&pack(&ByNumber { id: 1, level }));
    assert_eq!(stored(Numbered::Low).expect("a row").level, Level::Low);
    assert!(refusal(stored(Numbered::High)).message().contains("version 3 does not have"));
}

#[test]
fn queries_take_operands_of_the_new_types() {
    let model = sample();
    let holds = [
        Kinds::DAY.lt(date(2024, 7, 1)),
        Kinds::AT.between(time(8, 0, 0, 0), time(9, 0, 0, 0)),
        Kinds::MAYBE_DAY.is_null(),
        Kinds::HUGE.gt(u128::MAX - 1),
        Kinds::PRICE.eq("1.5".parse::<Decimal>().expect("a price")),
        Kinds::LEVEL.eq(Level::High),
        Kinds::LEVELS.contains(Level::Off),
        Kinds::HASH.eq([1, 2, 3, 4]),
        Kinds::CORNERS.contains(-1),
        Kinds::SHARED.eq("s"),
        Kinds::SHARED.starts_with("s"),
        Kinds::MAYBE_SHARED.ne("x").not_matching(),
        Kinds::BOXED.contains("b"),
        Kinds::COW.is_in(["b", "c"]),
    ];
    for condition in holds {
        let predicate = condition.into_predicate();
        assert!(predicate.matches(Kinds::schema(), &model).expect("an answer"), "{predicate:?}");
    }
}

trait NotMatching {
    fn not_matching(self) -> Self;
}

impl<M> NotMatching for larder_core::Where<M> {
    fn not_matching(self) -> Self {
        !self
    }
}

#[cfg(all(feature = "chrono", feature = "time", feature = "decimal"))]
mod foreign {
    use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
    use larder_core::ErrorKind;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Model)]
    #[model(crate = "larder_core")]
    struct Foreign {
        #[model(key)]
        day: NaiveDate,
        moment: DateTime<Utc>,
        clock: NaiveTime,
        both: NaiveDateTime,
        offset: time::OffsetDateTime,
        utc: time::UtcDateTime,
        date: time::Date,
        time: time::Time,
        primitive: time::PrimitiveDateTime,
        price: rust_decimal::Decimal,
        maybe: Option<DateTime<Utc>>,
    }

    fn foreign() -> impl Strategy<Value = Foreign> {
        let nanoseconds = -62_000_000_000_000_000_000..250_000_000_000_000_000_000_i128;
        (any_date(), clock(), nanoseconds, decimal()).prop_map(|(day, at, nanoseconds, price)| {
            let both = day.to_datetime(at);
            let moment = larder_core::Timestamp::from_nanosecond(nanoseconds).expect("a moment");
            let shown = |value: Value| value;
            let take = |value: &Value| DateTime::<Utc>::take(value.show()).expect("a moment");
            let moment = shown(Value::Time(moment));
            Foreign {
                day: NaiveDate::take(Value::Date(day).show()).expect("a date"),
                moment: take(&moment),
                clock: NaiveTime::take(Value::Clock(at).show()).expect("a time"),
                both: NaiveDateTime::take(Value::DateTime(both).show()).expect("both"),
                offset: Datum::take(moment.show()).expect("a moment"),
                utc: Datum::take(moment.show()).expect("a moment"),
                date: Datum::take(Value::Date(day).show()).expect("a date"),
                time: Datum::take(Value::Clock(at).show()).expect("a time"),
                primitive: Datum::take(Value::DateTime(both).show()).expect("both"),
                price: Datum::take(Value::Decimal(price).show()).expect("a number"),
                maybe: Some(take(&moment)),
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn through_bytes_and_json(model in foreign()) {
            prop_assert_eq!(&unpack::<Foreign, Foreign>(&pack(&model)).expect("what was packed"), &model);
            prop_assert_eq!(&from_json::<Foreign>(&to_json(&model)).expect("what was written"), &model);
        }

        // Rules: m-decimals
        #[test]
        fn they_order_as_they_are_shown(a in foreign(), b in foreign()) {
            let order = |at: usize| {
                let (a, b) = (a.field(at).expect("a field"), b.field(at).expect("a field"));
                larder_core::query::eval::order(a, b).expect("an order")
            };
            let own = [
                a.day.cmp(&b.day), a.moment.cmp(&b.moment), a.clock.cmp(&b.clock), a.both.cmp(&b.both),
                a.offset.cmp(&b.offset), a.utc.cmp(&b.utc), a.date.cmp(&b.date), a.time.cmp(&b.time),
                a.primitive.cmp(&b.primitive), a.price.cmp(&b.price), a.maybe.cmp(&b.maybe),
            ];
            prop_assert_eq!(own, std::array::from_fn(order));
        }
    }

    #[test]
    fn they_are_what_they_look_like() {
        let moment: DateTime<Utc> = "2024-06-30T08:30:00.25Z".parse().expect("a moment");
        assert_eq!(
            moment.show().to_value(),
            Ok(Value::Time("2024-06-30T08:30:00.25Z".parse().expect("a moment")))
        );
        let before: DateTime<Utc> = "1969-12-31T23:59:59.75Z".parse().expect("a moment");
        assert_eq!(
            before.show().to_value(),
            Ok(Value::Time("1969-12-31T23:59:59.75Z".parse().expect("a moment")))
        );
        comes_back(before);
        let day = NaiveDate::from_ymd_opt(2024, 2, 29).expect("a day");
        assert_eq!(day.show().to_value(), Ok(Value::Date(date(2024, 2, 29))));
        let price: rust_decimal::Decimal = "-1.50".parse().expect("a price");
        let shown = price.show().to_value().expect("a price");
        assert_eq!(shown, Value::Decimal("-1.50".parse().expect("a price")));
        assert_eq!(rust_decimal::Decimal::take(shown.show()).expect("a price").to_string(), "-1.50");
    }

    // Rules: m-range
    #[test]
    fn what_is_out_of_range_is_not_stored_and_a_query_may_ask_up_to_there() {
        let mut model =
            Foreign::from_row(&larder_core::Record::copy(Foreign::schema(), &ordinary()).expect("a row"))
                .expect("a row");
        model.moment = DateTime::<Utc>::MAX_UTC;
        let mut body = Vec::new();
        let error =
            larder_core::packed::write_body(&mut body, Foreign::schema(), 1, &model).expect_err("too late");
        assert_eq!((error.kind(), error.path()), (ErrorKind::Serialization, Some("moment")));
        assert!(error.message().contains("the years -9999 to 9999"), "{error}");
        let until =
            Foreign::MOMENT.le(DateTime::<Utc>::MAX_UTC).and(Foreign::MOMENT.gt(DateTime::<Utc>::MIN_UTC));
        let and_days = Foreign::DAY.lt(NaiveDate::MAX).and(Foreign::BOTH.gt(NaiveDateTime::MIN));
        let all = until.and(and_days).into_predicate();
        assert!(all.matches(Foreign::schema(), &ordinary()).expect("an answer"));
    }

    #[test]
    fn a_leap_second_is_refused_and_stands_for_the_end_of_its_minute() {
        let leap: DateTime<Utc> = "2016-12-31T23:59:60.5Z".parse().expect("a leap second");
        assert!(matches!(leap.show(), ValueRef::Unfit(_)));
        assert_eq!(leap.operand(), Value::Time("2016-12-31T23:59:59.999999999Z".parse().expect("a moment")));
        let clock = NaiveTime::from_hms_nano_opt(23, 59, 59, 1_500_000_000).expect("a leap second");
        assert_eq!(clock.operand(), Value::Clock(time(23, 59, 59, 999_999_999)));
    }

    fn ordinary() -> Foreign {
        use proptest::strategy::ValueTree;
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        foreign().new_tree(&mut runner).expect("a sample").current()
    }
}
