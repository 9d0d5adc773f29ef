//! Rows of yesterday's model, read by today's.

use std::collections::BTreeMap;

use larder_core::query::eval;
use larder_core::{ErrorKind, Model, Order, Result, Uuid, Value};

use crate::support::{SHAPE, bound, lend, pack, refusal, repack, unpack};

pub(crate) mod then {
    use std::collections::BTreeMap;

    use larder_core::Uuid;
    use larder_derive::{Datum, Model};

    #[derive(Clone, Debug, Model)]
    #[model(crate = "larder_core", name = "User", version = 3)]
    pub(crate) struct User {
        #[model(key)]
        pub(crate) id: Uuid,
        pub(crate) town: String,
        #[model(row(rename = "n"))]
        pub(crate) number: i8,
        pub(crate) gone: Vec<String>,
        pub(crate) single: f32,
        pub(crate) plain: u16,
        pub(crate) maybe: Option<u16>,
        pub(crate) email: String,
        pub(crate) cents: i64,
        pub(crate) home: Place,
        pub(crate) places: Vec<Place>,
        pub(crate) by_name: BTreeMap<String, Option<Place>>,
        pub(crate) color: Color,
        pub(crate) colors: BTreeMap<Color, u8>,
        pub(crate) shapes: Vec<Shape>,
        pub(crate) growing: Vec<Color>,
        pub(crate) shrinking: Vec<Shape>,
    }

    #[derive(Clone, Debug, Datum)]
    #[model(crate = "larder_core")]
    pub(crate) struct Place {
        pub(crate) street: String,
        pub(crate) floor: i8,
        pub(crate) fax: String,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Datum)]
    #[model(crate = "larder_core")]
    pub(crate) enum Color {
        Red,
        Green,
        Mauve,
    }

    #[derive(Clone, Debug, Datum)]
    #[model(crate = "larder_core")]
    pub(crate) enum Shape {
        Round { radius: f32, color: Color },
        Square(u32),
        Nothing,
    }
}

pub(crate) mod now {
    use std::collections::BTreeMap;

    use larder_core::Uuid;
    use larder_derive::{Datum, Model};

    use crate::models::{Cents, Email, Price};

    #[derive(Clone, Debug, PartialEq, Model)]
    #[model(crate = "larder_core", name = "User", version = 5)]
    pub(crate) struct User {
        // Moved, renamed, added and removed fields.
        #[model(default = "String::from(\"NO\")")]
        pub(crate) country: String,
        #[model(row(rename = "n"))]
        pub(crate) number: i64,
        #[model(alias = "village", row(alias = "town"))]
        pub(crate) city: String,
        #[model(key)]
        pub(crate) id: Uuid,
        pub(crate) nick: Option<String>,
        #[model(default, row(default = "7"))]
        pub(crate) score: u8,
        // Fields of other types than then.
        pub(crate) single: f64,
        pub(crate) plain: Option<u16>,
        pub(crate) maybe: u16,
        pub(crate) email: Email,
        #[model(with = "Cents")]
        pub(crate) cents: Price,
        // Changes within.
        pub(crate) home: Place,
        pub(crate) places: Vec<Place>,
        pub(crate) by_name: BTreeMap<String, Option<Place>>,
        pub(crate) color: Color,
        pub(crate) colors: BTreeMap<Color, u8>,
        pub(crate) shapes: Vec<Shape>,
        pub(crate) growing: Vec<Grown>,
        pub(crate) shrinking: Vec<Shrunk>,
    }

    #[derive(Clone, Debug, PartialEq, Datum)]
    #[model(crate = "larder_core")]
    pub(crate) struct Place {
        #[model(default = "String::from(\"0000\")")]
        pub(crate) zip: String,
        #[model(alias = "street")]
        pub(crate) road: String,
        pub(crate) floor: i32,
        pub(crate) note: Option<String>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Datum)]
    #[model(crate = "larder_core")]
    pub(crate) enum Color {
        #[model(alias = "Green")]
        Verde,
        Red,
    }

    #[derive(Clone, Debug, PartialEq, Datum)]
    #[model(crate = "larder_core", row(rename_all = "snake_case"))]
    pub(crate) enum Shape {
        #[model(alias = "Nothing")]
        Empty,
        #[model(alias = "Round")]
        Circle {
            color: Color,
            #[model(alias = "radius")]
            ray: f64,
            #[model(default = "1.5")]
            width: f64,
        },
        #[model(alias = "Square")]
        Cube(u64, #[model(default = "9")] u8),
    }

    #[derive(Clone, Debug, PartialEq, Datum)]
    #[model(crate = "larder_core")]
    pub(crate) enum Grown {
        Red,
        #[model(alias = "Green")]
        Tinted {
            #[model(default = "3")]
            depth: u8,
        },
        Other(String),
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Datum)]
    #[model(crate = "larder_core")]
    pub(crate) enum Shrunk {
        Nothing,
        #[model(alias = "Square", row(rename = "round"), alias = "Round")]
        Something,
    }
}

fn place(street: &str) -> then::Place {
    then::Place { street: street.into(), floor: -1, fax: "555".into() }
}

fn today(road: &str) -> now::Place {
    now::Place { zip: "0000".into(), road: road.into(), floor: -1, note: None }
}

pub(crate) fn user() -> then::User {
    then::User {
        id: Uuid::from_u128(1),
        town: "Oslo".into(),
        number: -7,
        gone: vec!["gone".into()],
        single: 0.1,
        plain: 1,
        maybe: Some(2),
        email: "ada@example.com".into(),
        cents: 199,
        home: place("Storgata"),
        places: vec![place("a"), place("b")],
        by_name: [("none".to_owned(), None), ("some".to_owned(), Some(place("c")))].into(),
        color: then::Color::Green,
        colors: [(then::Color::Red, 1), (then::Color::Green, 2)].into(),
        shapes: vec![
            then::Shape::Round { radius: 0.5, color: then::Color::Red },
            then::Shape::Square(4),
            then::Shape::Nothing,
        ],
        growing: vec![then::Color::Red, then::Color::Green],
        shrinking: vec![then::Shape::Nothing, then::Shape::Square(1)],
    }
}

// Rules: m-evolve
#[test]
fn every_change_that_can_be_bridged_is_bridged() {
    let read: now::User = unpack::<then::User, _>(&pack(&user())).expect("a row of yesterday");
    let expected = now::User {
        country: "NO".into(),
        number: -7,
        city: "Oslo".into(),
        id: Uuid::from_u128(1),
        nick: None,
        score: 7,
        single: f64::from(0.1_f32),
        plain: Some(1),
        maybe: 2,
        email: crate::models::Email("ada@example.com".into()),
        cents: crate::models::Price { cents: 199 },
        home: today("Storgata"),
        places: vec![today("a"), today("b")],
        by_name: [("none".to_owned(), None), ("some".to_owned(), Some(today("c")))].into(),
        color: now::Color::Verde,
        colors: BTreeMap::from([(now::Color::Red, 1), (now::Color::Verde, 2)]),
        shapes: vec![
            now::Shape::Circle { color: now::Color::Red, ray: 0.5, width: 1.5 },
            now::Shape::Cube(4, 9),
            now::Shape::Empty,
        ],
        growing: vec![now::Grown::Red, now::Grown::Tinted { depth: 3 }],
        shrinking: vec![now::Shrunk::Nothing, now::Shrunk::Something],
    };
    assert_eq!(read, expected);
}

// Rules: m-evolve-query, m-default
#[test]
fn a_filter_and_a_decode_agree_on_what_was_bridged() {
    let body = pack(&user());
    let bound = bound(then::User::schema(), now::User::schema());
    let decoded: now::User = unpack::<then::User, _>(&body).expect("a row of yesterday");
    for filter in [
        now::User::COUNTRY.eq("NO"),
        now::User::SCORE.eq(7),
        now::User::NICK.is_null(),
        now::User::CITY.eq("Oslo"),
        now::User::NUMBER.lt(0),
        now::User::COLOR.eq(now::Color::Verde),
        now::User::HOME.eq(today("Storgata")),
        now::User::PLACES.contains(today("b")),
        now::User::SHAPES.contains(now::Shape::Cube(4, 9)),
        now::User::GROWING.contains(now::Grown::Tinted { depth: 3 }),
        now::User::SHRINKING.contains(now::Shrunk::Something),
        now::User::CENTS.eq(crate::models::Price { cents: 199 }),
    ] {
        let predicate = filter.into_predicate();
        let stored = lend(&body, &bound, |row| predicate.matches(now::User::schema(), row)).expect("a row");
        assert!(stored.expect("an answer"), "{predicate:?} on the stored row");
        assert!(
            predicate.matches(now::User::schema(), &decoded).expect("an answer"),
            "{predicate:?} on the model"
        );
    }
}

mod broken {
    use larder_derive::{Datum, Model};

    #[derive(Debug, Model)]
    #[model(crate = "larder_core", name = "User", version = 6)]
    pub(crate) struct Required {
        #[model(key)]
        pub(crate) plain: u16,
        pub(crate) needed: String,
    }

    #[derive(Debug, Model)]
    #[model(crate = "larder_core", name = "User", version = 6)]
    pub(crate) struct Retyped {
        #[model(key)]
        pub(crate) plain: u16,
        pub(crate) email: u64,
        pub(crate) town: String,
    }

    #[derive(Debug, Model)]
    #[model(crate = "larder_core", name = "User", version = 6)]
    pub(crate) struct Within {
        #[model(key)]
        pub(crate) plain: u16,
        pub(crate) places: Vec<Place>,
    }

    #[derive(Debug, Datum)]
    #[model(crate = "larder_core")]
    pub(crate) struct Place {
        pub(crate) floor: String,
    }

    #[derive(Debug, Model)]
    #[model(crate = "larder_core", name = "User", version = 6)]
    pub(crate) struct Variants {
        #[model(key)]
        pub(crate) plain: u16,
        pub(crate) shapes: Vec<Shape>,
        pub(crate) color: Color,
    }

    #[derive(Debug, Datum)]
    #[model(crate = "larder_core")]
    pub(crate) enum Shape {
        Round { radius: f32 },
    }

    #[derive(Debug, Datum)]
    #[model(crate = "larder_core")]
    pub(crate) enum Color {
        Red,
    }

    #[derive(Debug, Model)]
    #[model(crate = "larder_core", name = "User", version = 6)]
    pub(crate) struct Narrow {
        #[model(key)]
        pub(crate) plain: u16,
        pub(crate) cents: i8,
        pub(crate) maybe: u16,
    }
}

/// What was kept of yesterday's row is stored as today's.
#[test]
fn a_row_that_is_stored_again_is_of_todays_shape() {
    let body = pack(&user());
    let again = repack::<now::User>(&body, bound(then::User::schema(), now::User::schema()), SHAPE);
    let read: now::User = unpack::<now::User, _>(&again).expect("a row of today");
    assert_eq!(read, unpack::<then::User, now::User>(&body).expect("a row of yesterday"));
}

#[track_caller]
fn check<Now: Model + std::fmt::Debug>(row: &then::User, expected: &str) {
    let error = refusal(unpack::<then::User, Now>(&pack(row)));
    assert_eq!(error.kind(), ErrorKind::Serialization);
    assert_eq!(error.to_string(), expected);
}

// Rules: m-evolve-fault
#[test]
fn what_can_not_be_bridged_names_model_field_and_both_versions() {
    check::<broken::Required>(
        &user(),
        "User.needed: data does not fit: required, but not there; give it a default",
    );
    check::<broken::Retyped>(
        &user(),
        "User.email: data does not fit: stored by version 3 of the model with a type that version 6 can't read; rename \
         the field or give it a migration",
    );
    check::<broken::Within>(
        &user(),
        "User.places: data does not fit: stored by version 3 of the model with a type that version 6 can't read; rename \
         the field or give it a migration",
    );
    let gone = "data does not fit: stored by version 3 of the model as an enum variant that version 6 does not have; keep \
                the variant, or give another one its name as an alias";
    check::<broken::Variants>(&user(), &format!("User.shapes: {gone}"));
    check::<broken::Variants>(
        &then::User { shapes: vec![], color: then::Color::Mauve, ..user() },
        &format!("User.color: {gone}"),
    );
    check::<broken::Narrow>(&user(), "User.cents: data does not fit: out of range for i8");
    check::<broken::Narrow>(
        &then::User { cents: 1, maybe: None, ..user() },
        "User.maybe: data does not fit: expected an integer, found null",
    );
}

#[test]
fn one_broken_field_leaves_the_others_readable() -> Result<()> {
    let body = pack(&user());
    let schema = broken::Retyped::schema();
    let bound = bound(then::User::schema(), schema);
    let good = broken::Retyped::TOWN.eq("Oslo").into_predicate();
    assert!(lend(&body, &bound, |row| good.matches(schema, row))??);
    let bad = broken::Retyped::EMAIL.eq(7_u64).into_predicate();
    let error = refusal(lend(&body, &bound, |row| bad.matches(schema, row))?);
    assert_eq!((error.model_name(), error.path()), (Some("User"), Some("email")));
    let order: [Order; 0] = [];
    lend(&body, &bound, |row| eval::compare(schema, &order, row, row))?.map(drop)
}

#[test]
fn a_default_is_a_constant_of_the_schema() {
    let default = |at: u16, dialect| now::User::schema().fields[usize::from(at)].default_in(dialect);
    assert_eq!(default(now::User::SCORE.position(), "row"), Some(Value::Int(7)));
    assert_eq!(default(now::User::SCORE.position(), "json"), Some(Value::Int(0)));
    assert_eq!(default(now::User::COUNTRY.position(), "row"), Some(Value::Str("NO".into())));
    assert_eq!(default(now::User::NICK.position(), "row"), Some(Value::Null));
    assert_eq!(default(now::User::CITY.position(), "row"), None);
}
