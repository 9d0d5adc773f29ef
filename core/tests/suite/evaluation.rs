//! What each operator answers, by type and by null: on a model, on a stored row and on what JSON gave.

#![expect(clippy::needless_borrows_for_generic_args, reason = "operands are tried by reference too")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use larder_core::dialect::json::Json;
use larder_core::{
    Done, Key, Meta, Model, OrderBy, PageRow, Predicate, Query, Record, Row, Select, Serdes, Timestamp, Uuid,
    Where,
};
use larder_derive::{Datum, Model};
use rstest::rstest;

use crate::models::{Cents, Price};
use crate::support::{bound, lend, pack, to_json};

#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core", rename_all = "camelCase")]
struct Probe {
    #[model(key)]
    name: String,
    flag: Option<bool>,
    int: Option<i64>,
    huge: Option<i128>,
    float: Option<f64>,
    single: Option<f32>,
    letter: Option<char>,
    text: Option<String>,
    bytes: Option<Vec<u8>>,
    id: Option<Uuid>,
    at: Option<Timestamp>,
    color: Option<Color>,
    list: Option<Vec<String>>,
    place: Option<Place>,
    shape: Option<Shape>,
    map: Option<BTreeMap<String, u8>>,
    // Without nulls.
    sure: i64,
    words: Vec<String>,
    numbers: BTreeSet<u8>,
    hashed: HashSet<u8>,
    #[model(with = "Cents")]
    price: Price,
}

#[derive(Clone, Copy, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", rename_all = "lowercase")]
enum Color {
    Red,
    Green,
    Blue,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
struct Place {
    zip: u16,
    city: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
enum Shape {
    Circle { ray: f64 },
    Dot,
}

fn second(at: i64, nanosecond: i32) -> Timestamp {
    Timestamp::new(at, nanosecond).expect("a moment")
}

fn place(zip: u16, city: Option<&str>) -> Place {
    Place { zip, city: city.map(Into::into) }
}

/// Null everywhere.
fn null() -> Probe {
    Probe {
        name: "n".into(),
        flag: None,
        int: None,
        huge: None,
        float: None,
        single: None,
        letter: None,
        text: None,
        bytes: None,
        id: None,
        at: None,
        color: None,
        list: None,
        place: None,
        shape: None,
        map: None,
        sure: 0,
        words: vec![],
        numbers: BTreeSet::new(),
        hashed: HashSet::new(),
        price: Price { cents: 0 },
    }
}

/// The rows `n` (null), `a`, `b`, `c` and `d`.
fn rows() -> [Probe; 5] {
    let strings = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    [
        null(),
        Probe {
            name: "a".into(),
            flag: Some(false),
            int: Some(-5),
            huge: Some(i128::MIN),
            float: Some(-0.0),
            single: Some(-1.5),
            letter: Some('A'),
            text: Some("Alpha".into()),
            bytes: Some(vec![]),
            id: Some(Uuid::from_u128(1)),
            at: Some(second(-1, 0)),
            color: Some(Color::Red),
            list: Some(strings(&["x", "y"])),
            place: Some(place(1, None)),
            shape: Some(Shape::Dot),
            map: Some([("k".to_owned(), 1)].into()),
            sure: 1,
            words: strings(&["red", "green"]),
            numbers: [1, 2].into(),
            hashed: [9, 1, 5].into(),
            price: Price { cents: 250 },
        },
        Probe {
            name: "b".into(),
            flag: Some(true),
            int: Some(0),
            huge: Some(0),
            float: Some(0.0),
            single: Some(0.1),
            letter: Some('a'),
            text: Some("alphabet".into()),
            bytes: Some(vec![0]),
            id: Some(Uuid::from_u128(2)),
            at: Some(second(0, 0)),
            color: Some(Color::Green),
            list: Some(vec![]),
            place: Some(place(1, Some("Oslo"))),
            shape: Some(Shape::Circle { ray: 0.0 }),
            map: Some(BTreeMap::new()),
            sure: 2,
            price: Price { cents: 100 },
            ..null()
        },
        Probe {
            name: "c".into(),
            flag: Some(true),
            int: Some(7),
            huge: Some(1 << 100),
            float: Some(1.5),
            single: Some(0.25),
            letter: Some('ä'),
            text: Some("100%_ΣΑΣ".into()),
            bytes: Some(vec![0, 255]),
            id: Some(Uuid::from_u128(3)),
            at: Some(second(0, 500_000_000)),
            color: Some(Color::Blue),
            list: Some(strings(&["x"])),
            place: Some(place(2, None)),
            shape: Some(Shape::Circle { ray: 1.5 }),
            map: Some([("k".to_owned(), 2)].into()),
            sure: 3,
            ..null()
        },
        Probe {
            name: "d".into(),
            flag: Some(false),
            int: Some(i64::MAX),
            huge: Some(i128::MAX),
            float: Some(f64::NAN),
            single: Some(f32::MAX),
            letter: Some('𝄞'),
            text: Some("Straße".into()),
            bytes: Some(vec![1]),
            id: Some(Uuid::from_u128(u128::MAX)),
            at: Some(second(1, 0)),
            color: Some(Color::Red),
            list: Some(strings(&["y"])),
            place: Some(place(10, Some("Bergen"))),
            shape: Some(Shape::Dot),
            map: Some([("l".to_owned(), 0)].into()),
            sure: 4,
            ..null()
        },
    ]
}

/// Each row as a model, as stored bytes, as a record and, where JSON can say it, as what JSON gave.
fn forms(row: &Probe, mut f: impl FnMut(&str, &dyn Row)) {
    f("model", row);
    f("record", &Record::copy(Probe::schema(), row).expect("a record"));
    let bound = bound(Probe::schema(), Probe::schema());
    lend(&pack(row), &bound, |stored| f("stored", stored)).expect("a row");
    if row.float.is_none_or(f64::is_finite) {
        f("json", &Json.decode(Probe::schema(), &to_json(row)).expect("a row of JSON").record);
    }
}

/// `expected` has the names of the rows that match.
#[track_caller]
fn check(filter: Where<Probe>, expected: &str) {
    let predicate = filter.into_predicate();
    for row in rows() {
        forms(&row, |form, shown| {
            let found = predicate.matches(Probe::schema(), shown).expect("an answer");
            assert_eq!(found, expected.contains(&row.name), "row {} as {form}, {predicate:?}", row.name);
        });
    }
}

macro_rules! operators {
    ($($test:ident { $($case:ident: $filter:expr => $expected:literal,)* })*) => {$(
        #[rstest]
        $(#[case::$case($filter, $expected)])*
        fn $test(#[case] filter: Where<Probe>, #[case] expected: &str) {
            check(filter, expected);
        }
    )*};
}

operators! {
    bools {
        eq: Probe::FLAG.eq(true) => "bc",
        ne: Probe::FLAG.ne(true) => "ad",
        lt: Probe::FLAG.lt(true) => "ad",
        le: Probe::FLAG.le(true) => "abcd",
        gt: Probe::FLAG.gt(false) => "bc",
        ge: Probe::FLAG.ge(false) => "abcd",
        eq_none: Probe::FLAG.eq(None) => "n",
        ne_none: Probe::FLAG.ne(None) => "abcd",
        is_in: Probe::FLAG.is_in([false]) => "ad",
        not_eq: !Probe::FLAG.eq(true) => "nad",
    }
    integers {
        eq: Probe::INT.eq(0) => "b",
        eq_some: Probe::INT.eq(Some(7)) => "c",
        eq_ref: Probe::INT.eq(&7) => "c",
        ne: Probe::INT.ne(0) => "acd",
        lt: Probe::INT.lt(0) => "a",
        le: Probe::INT.le(0) => "ab",
        gt: Probe::INT.gt(0) => "cd",
        ge: Probe::INT.ge(i64::MAX) => "d",
        between: Probe::INT.between(-5, 7) => "abc",
        between_reversed: Probe::INT.between(7, -5) => "",
        is_in: Probe::INT.is_in([-5, 7, 99]) => "ac",
        is_in_nothing: Probe::INT.is_in::<i64>([]) => "",
        is_in_with_null: Probe::INT.is_in([Some(0), None]) => "nb",
        is_null: Probe::INT.is_null() => "n",
        is_not_null: Probe::INT.is_not_null() => "abcd",
        eq_none: Probe::INT.eq(None) => "n",
        ne_none: Probe::INT.ne(None) => "abcd",
        lt_none: Probe::INT.lt(None) => "",
        ge_none: Probe::INT.ge(None) => "",
        between_none: Probe::INT.between(None, 5) => "",
        not_eq: !Probe::INT.eq(0) => "nacd",
        not_ne: !Probe::INT.ne(0) => "nb",
        not_lt: !Probe::INT.lt(0) => "nbcd",
        not_null: !Probe::INT.is_null() => "abcd",
    }
    huge_integers {
        eq: Probe::HUGE.eq(i128::MAX) => "d",
        lt: Probe::HUGE.lt(0) => "a",
        gt: Probe::HUGE.gt(1_i128 << 99) => "cd",
        between: Probe::HUGE.between(i128::MIN, i128::MAX) => "abcd",
    }
    floats {
        eq: Probe::FLOAT.eq(0.0) => "ab",
        eq_minus_zero: Probe::FLOAT.eq(-0.0) => "ab",
        ne: Probe::FLOAT.ne(0.0) => "cd",
        eq_nan: Probe::FLOAT.eq(f64::NAN) => "",
        ne_nan: Probe::FLOAT.ne(f64::NAN) => "abcd",
        is_in_nan: Probe::FLOAT.is_in([f64::NAN, 1.5]) => "c",
        lt: Probe::FLOAT.lt(0.0) => "a",
        le: Probe::FLOAT.le(0.0) => "ab",
        gt: Probe::FLOAT.gt(0.0) => "cd",
        gt_infinity: Probe::FLOAT.gt(f64::INFINITY) => "d",
        ge: Probe::FLOAT.ge(-0.0) => "abcd",
        between: Probe::FLOAT.between(0.0, 1.5) => "bc",
        is_null: Probe::FLOAT.is_null() => "n",
    }
    singles {
        eq: Probe::SINGLE.eq(0.1) => "b",
        lt: Probe::SINGLE.lt(0.1) => "a",
        ge: Probe::SINGLE.ge(0.1) => "bcd",
        is_in: Probe::SINGLE.is_in([0.1, 0.25]) => "bc",
    }
    chars {
        eq: Probe::LETTER.eq('a') => "b",
        ne: Probe::LETTER.ne('a') => "acd",
        lt: Probe::LETTER.lt('a') => "a",
        ge: Probe::LETTER.ge('ä') => "cd",
        between: Probe::LETTER.between('B', 'ä') => "bc",
        is_null: Probe::LETTER.is_null() => "n",
    }
    texts {
        eq: Probe::TEXT.eq("Alpha") => "a",
        eq_owned: Probe::TEXT.eq(String::from("Alpha")) => "a",
        eq_borrowed: Probe::TEXT.eq(&String::from("Alpha")) => "a",
        ne: Probe::TEXT.ne("Alpha") => "bcd",
        lt: Probe::TEXT.lt("B") => "ac",
        le: Probe::TEXT.le("Alpha") => "ac",
        gt: Probe::TEXT.gt("Alpha") => "bd",
        ge: Probe::TEXT.ge("alphabet") => "b",
        between: Probe::TEXT.between("A", "Z") => "ad",
        is_in: Probe::TEXT.is_in(["Straße", "x"]) => "d",
        is_null: Probe::TEXT.is_null() => "n",
        contains: Probe::TEXT.contains("lpha") => "ab",
        contains_case: Probe::TEXT.contains("alpha") => "b",
        contains_nothing: Probe::TEXT.contains("") => "abcd",
        contains_percent: Probe::TEXT.contains("%") => "c",
        contains_underscore: Probe::TEXT.contains("_") => "c",
        does_not_contain: Probe::TEXT.does_not_contain("lpha") => "cd",
        not_contains: !Probe::TEXT.contains("lpha") => "ncd",
        starts_with: Probe::TEXT.starts_with("Alpha") => "a",
        starts_with_percent: Probe::TEXT.starts_with("%") => "",
        ends_with: Probe::TEXT.ends_with("a") => "a",
        ignoring_case: Probe::TEXT.contains("ALPHA").ignore_case() => "ab",
        ignoring_case_at_start: Probe::TEXT.starts_with("alPHA").ignore_case() => "ab",
        ignoring_case_at_end: Probe::TEXT.ends_with("BET").ignore_case() => "b",
        longer_than_the_text: Probe::TEXT.starts_with("Alpha and more").ignore_case() => "",
        final_sigma_folds: Probe::TEXT.ends_with("σας").ignore_case() => "c",
        sharp_s_does_not_become_two: Probe::TEXT.contains("strasse").ignore_case() => "",
        sharp_s_folds: Probe::TEXT.contains("STRAẞE").ignore_case() => "d",
        does_not_contain_ignoring_case: Probe::TEXT.does_not_contain("ALPHA").ignore_case() => "cd",
    }
    bytes {
        eq: Probe::BYTES.eq(vec![0_u8]) => "b",
        ne: Probe::BYTES.ne(vec![0_u8]) => "acd",
        lt: Probe::BYTES.lt(vec![0_u8, 255]) => "ab",
        ge: Probe::BYTES.ge(vec![0_u8, 255]) => "cd",
        contains: Probe::BYTES.contains(0_u8) => "bc",
        does_not_contain: Probe::BYTES.does_not_contain(0_u8) => "ad",
        is_null: Probe::BYTES.is_null() => "n",
    }
    uuids {
        eq: Probe::ID.eq(Uuid::from_u128(2)) => "b",
        ne: Probe::ID.ne(Uuid::from_u128(2)) => "acd",
        lt: Probe::ID.lt(Uuid::from_u128(3)) => "ab",
        between: Probe::ID.between(Uuid::from_u128(2), Uuid::from_u128(u128::MAX)) => "bcd",
        is_null: Probe::ID.is_null() => "n",
    }
    moments {
        eq: Probe::AT.eq(second(0, 500_000_000)) => "c",
        ne: Probe::AT.ne(second(0, 500_000_000)) => "abd",
        lt: Probe::AT.lt(second(0, 0)) => "a",
        le: Probe::AT.le(second(0, 0)) => "ab",
        gt: Probe::AT.gt(second(0, 499_999_999)) => "cd",
        between: Probe::AT.between(second(-1, 0), second(0, 0)) => "ab",
        is_null: Probe::AT.is_null() => "n",
    }
    unit_enums {
        eq: Probe::COLOR.eq(Color::Red) => "ad",
        ne: Probe::COLOR.ne(Color::Red) => "bc",
        lt: Probe::COLOR.lt(Color::Green) => "c",
        is_in: Probe::COLOR.is_in([Color::Blue, Color::Green]) => "bc",
        is_null: Probe::COLOR.is_null() => "n",
    }
    lists {
        eq: Probe::LIST.eq(vec!["x".to_owned(), "y".to_owned()]) => "a",
        ne: Probe::LIST.ne(vec!["x".to_owned()]) => "abd",
        eq_empty: Probe::LIST.eq(Vec::new()) => "b",
        lt: Probe::LIST.lt(vec!["x".to_owned(), "y".to_owned()]) => "bc",
        gt: Probe::LIST.gt(vec!["x".to_owned()]) => "ad",
        contains: Probe::LIST.contains("x") => "ac",
        does_not_contain: Probe::LIST.does_not_contain("x") => "bd",
        not_contains: !Probe::LIST.contains("x") => "nbd",
        is_null: Probe::LIST.is_null() => "n",
        sure_contains: Probe::WORDS.contains("red") => "a",
        sure_does_not_contain: Probe::WORDS.does_not_contain("red") => "nbcd",
        set_contains: Probe::NUMBERS.contains(2) => "a",
        hash_set_contains: Probe::HASHED.contains(9) => "a",
        hash_set_eq: Probe::HASHED.eq(HashSet::from([5, 9, 1])) => "a",
    }
    composites {
        struct_eq: Probe::PLACE.eq(place(1, None)) => "a",
        struct_ne: Probe::PLACE.ne(place(1, None)) => "bcd",
        struct_lt: Probe::PLACE.lt(place(2, None)) => "ab",
        struct_null: Probe::PLACE.is_null() => "n",
        variant_eq: Probe::SHAPE.eq(Shape::Dot) => "ad",
        variant_eq_field: Probe::SHAPE.eq(Shape::Circle { ray: -0.0 }) => "b",
        variant_ne: Probe::SHAPE.ne(Shape::Dot) => "bc",
        variant_lt: Probe::SHAPE.lt(Shape::Circle { ray: 1.5 }) => "b",
        variant_null: Probe::SHAPE.is_null() => "n",
        map_eq: Probe::MAP.eq(BTreeMap::from([("k".to_owned(), 2_u8)])) => "c",
        map_gt: Probe::MAP.gt(BTreeMap::from([("k".to_owned(), 1_u8)])) => "cd",
        map_null: Probe::MAP.is_null() => "n",
    }
    converted {
        eq: Probe::PRICE.eq(Price { cents: 250 }) => "a",
        eq_ref: Probe::PRICE.eq(&Price { cents: 250 }) => "a",
        gt: Probe::PRICE.gt(Price { cents: 99 }) => "ab",
        between: Probe::PRICE.between(Price { cents: 0 }, Price { cents: 100 }) => "nbcd",
        is_in: Probe::PRICE.is_in([Price { cents: 100 }]) => "b",
    }
    fields_without_nulls {
        eq: Probe::SURE.eq(2) => "b",
        ne: Probe::SURE.ne(2) => "nacd",
        is_null: Probe::SURE.is_null() => "",
        is_not_null: Probe::SURE.is_not_null() => "nabcd",
    }
    trees {
        and: Probe::INT.ge(0).and(Probe::FLAG.eq(true)) => "bc",
        or: Probe::INT.lt(0).or(Probe::FLAG.eq(None)) => "na",
        and_before_or_is_not_implied: Probe::INT.lt(0).or(Probe::INT.eq(0)).and(Probe::FLAG.eq(true)) => "b",
        not_and: !(Probe::INT.ge(0).and(Probe::FLAG.eq(true))) => "nad",
        not_not: !!Probe::INT.eq(0) => "b",
        everything: Where::new(Predicate::All) => "nabcd",
        nothing: Where::new(Predicate::none()) => "",
        not_nothing: !Where::new(Predicate::none()) => "nabcd",
        empty_and: Where::new(Predicate::And(vec![])) => "nabcd",
        key: Where::new(Predicate::Key("b".into())) => "b",
        key_of_another_type: Where::new(Predicate::Key(Key::Int(1))) => "",
        keys: Where::new(Predicate::Keys(vec!["d".into(), "a".into(), "z".into()])) => "ad",
        no_keys: Where::new(Predicate::Keys(vec![])) => "",
    }
}

fn page(forms_of: fn(&Probe) -> Arc<dyn Row>) -> Vec<PageRow> {
    let mut rows: Vec<_> =
        rows().iter().map(|row| PageRow::new(Meta::synced(Timestamp::UNIX_EPOCH), forms_of(row))).collect();
    rows.rotate_left(2);
    rows
}

#[track_caller]
fn check_query(query: &Query, expected: &str) {
    for (form, forms_of) in [
        ("model", (|row| Arc::new(row.clone()) as _) as fn(&Probe) -> Arc<dyn Row>),
        ("record", |row| Arc::new(Record::copy(Probe::schema(), row).expect("a record"))),
    ] {
        let found = query.finish(Probe::schema(), Done::default(), page(forms_of)).expect("an answer");
        let names: String = found.iter().map(|row| Probe::from_row(&*row.row).expect("a row").name).collect();
        assert_eq!(names, expected, "as {form}");
    }
}

#[rstest]
#[case::bool_rising(Probe::FLAG.asc(), "nadbc")]
#[case::bool_falling(Probe::FLAG.desc(), "bcadn")]
#[case::int_rising(Probe::INT.asc(), "nabcd")]
#[case::int_falling(Probe::INT.desc(), "dcban")]
#[case::float_rising(Probe::FLOAT.asc(), "nabcd")]
#[case::float_falling(Probe::FLOAT.desc(), "dcban")]
#[case::char_rising(Probe::LETTER.asc(), "nabcd")]
#[case::text_rising(Probe::TEXT.asc(), "ncadb")]
#[case::text_falling(Probe::TEXT.desc(), "bdacn")]
#[case::bytes_rising(Probe::BYTES.asc(), "nabcd")]
#[case::uuid_rising(Probe::ID.asc(), "nabcd")]
#[case::moment_falling(Probe::AT.desc(), "dcban")]
#[case::enum_rising(Probe::COLOR.asc(), "ncbad")]
#[case::list_rising(Probe::LIST.asc(), "nbcad")]
#[case::struct_rising(Probe::PLACE.asc(), "nabcd")]
#[case::variant_rising(Probe::SHAPE.asc(), "nbcad")]
#[case::map_rising(Probe::MAP.asc(), "nbacd")]
#[case::converted_falling(Probe::PRICE.desc(), "abcdn")]
fn orders(#[case] order: OrderBy<Probe>, #[case] expected: &str) {
    check_query(&Select::all().order_by(order).into_query(), expected);
}

#[rstest]
#[case::by_key(Select::all(), "abcdn")]
#[case::two_fields(Select::all().order_by(Probe::FLAG.desc()).order_by(Probe::INT.desc()), "cbdan")]
#[case::limit(Select::all().limit(2), "ab")]
#[case::limit_0(Select::all().limit(0), "")]
#[case::offset(Select::all().offset(3), "dn")]
#[case::window(Select::all().offset(1).limit(2), "bc")]
#[case::beyond(Select::all().offset(9), "")]
#[case::greatest(Select::all().offset(u64::MAX).limit(u64::MAX), "")]
#[case::all_of_it(Probe::INT.ge(0).order_by(Probe::INT.desc()).offset(1).limit(1), "c")]
#[case::one_key(Select::key("c"), "c")]
fn windows(#[case] select: Select<Probe>, #[case] expected: &str) {
    check_query(&select.into_query(), expected);
}

#[test]
fn what_is_done_already_is_not_done_again() {
    let query = Probe::INT.ge(0).order_by(Probe::INT.asc()).limit(1).into_query();
    let rows = || page(|row| Arc::new(row.clone()));
    let names = |done| -> String {
        let found = query.finish(Probe::schema(), done, rows()).expect("an answer");
        found.iter().map(|row| Probe::from_row(&*row.row).expect("a row").name).collect()
    };
    assert_eq!(names(Done::ALL), "bcdna", "as they came");
    assert_eq!(names(Done { filter: true, order: true, window: false }), "b");
    assert_eq!(names(Done { filter: false, order: true, window: false }), "b");
}

#[test]
fn a_part_that_is_absent_counts_as_null() {
    let partial =
        Json.decode_partial(Probe::schema(), &serde_json::json!({ "name": "p", "int": 3 })).expect("a part");
    let holds = |filter: Where<Probe>| {
        filter.into_predicate().matches(Probe::schema(), &partial.record).expect("an answer")
    };
    assert!(holds(Probe::INT.eq(3)) && holds(Probe::TEXT.is_null()) && holds(Probe::SURE.is_null()));
    assert!(!holds(Probe::TEXT.ne("x")) && !holds(Probe::SURE.lt(1)));
}

#[test]
fn long_composites_are_compared_to_their_ends() {
    let words = |last: &str| {
        let mut words = vec!["same".to_owned(); 40];
        words.push(last.to_owned());
        words
    };
    let row = |last| Probe { words: words(last), ..null() };
    let holds = |filter: Where<Probe>, row: &Probe| {
        filter.into_predicate().matches(Probe::schema(), row).expect("an answer")
    };
    assert!(holds(Probe::WORDS.eq(words("a")), &row("a")));
    assert!(!holds(Probe::WORDS.eq(words("a")), &row("b")));
    assert!(holds(Probe::WORDS.lt(words("b")), &row("a")));
    assert!(!holds(Probe::WORDS.lt(words("a")), &row("a")));
    assert!(holds(Probe::WORDS.gt(words("a")[..40].to_vec()), &row("a")));
}
