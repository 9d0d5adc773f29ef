//! Rows that go through the steps of a migration, with the derive's attributes.

use std::collections::BTreeMap;

use larder_core::{ErrorKind, Model, OldRow, Result, Value};

use crate::support::{pack, refusal, unpack};

mod then {
    use std::collections::BTreeMap;

    use larder_derive::{Datum, Model};

    #[derive(Clone, Debug, Model)]
    #[model(crate = "larder_core", name = "Parcel")]
    pub(super) struct Parcel {
        #[model(key)]
        pub(super) id: String,
        #[model(row(rename = "kg"))]
        pub(super) weight: String,
        pub(super) size: Size,
        pub(super) stops: Vec<Stop>,
        pub(super) levels: BTreeMap<String, u8>,
        pub(super) hint: Option<i32>,
        pub(super) same: Size,
    }

    #[derive(Clone, Debug, PartialEq, Datum)]
    #[model(crate = "larder_core")]
    pub(super) enum Size {
        Box { side: u32 },
        Tube(u32, f32),
        Odd,
    }

    #[derive(Clone, Debug, Datum)]
    #[model(crate = "larder_core")]
    pub(super) struct Stop {
        #[model(row(rename = "t"))]
        pub(super) town: String,
        pub(super) day: u8,
    }
}

mod now {
    use std::collections::BTreeMap;

    use larder_derive::{Datum, Model};

    #[derive(Clone, Debug, PartialEq, Model)]
    #[model(
        crate = "larder_core",
        name = "Parcel",
        version = 4,
        rekey(3 => "super::number_key"),
        migrate(1 => "super::weigh", 2 => "super::size_up")
    )]
    pub(super) struct Parcel {
        #[model(key)]
        pub(super) id: u64,
        #[model(alias = "kg")]
        pub(super) grams: u32,
        pub(super) size: Option<Size>,
        pub(super) stops: Vec<Stop>,
        pub(super) levels: BTreeMap<u8, u8>,
        pub(super) hint: Option<i32>,
        #[model(default = "7")]
        pub(super) added: i8,
        pub(super) same: Size,
    }

    #[derive(Clone, Debug, PartialEq, Datum)]
    #[model(crate = "larder_core")]
    pub(super) enum Size {
        #[model(alias = "Box")]
        Cube {
            #[model(alias = "side")]
            edge: u64,
            #[model(default = "1")]
            layers: u8,
        },
        Tube(u64, f32),
    }

    #[derive(Clone, Debug, PartialEq, Datum)]
    #[model(crate = "larder_core")]
    pub(super) struct Stop {
        pub(super) day: u16,
        #[model(row(alias = "t"))]
        pub(super) place: String,
    }
}

fn weigh(row: &mut OldRow) -> Result<(), String> {
    assert_eq!(row.version(), 1);
    let grams = row.text("kg")?.parse::<f64>().map_err(|error| error.to_string())? * 1000.0;
    row.set("kg", grams as i64);
    Ok(())
}

fn size_up(row: &mut OldRow) -> Result<(), String> {
    assert_eq!(row.version(), 2);
    if row.get("size") == Some(&Value::Map(vec![("Odd".into(), Value::Map(vec![]))])) {
        row.set("size", None::<i64>);
    }
    if let Some(Value::Map(levels)) = row.remove("levels") {
        let number = |key: &Value| match key {
            Value::Str(text) => text.parse::<u8>().map_err(|error| error.to_string()),
            _ => Err("a level is no text".to_owned()),
        };
        let levels = levels.iter().map(|(key, value)| Ok((number(key)?.into(), value.clone())));
        row.set("levels", Value::Map(levels.collect::<Result<_, String>>()?));
    }
    Ok(())
}

fn number_key(row: &mut OldRow) -> Result<(), String> {
    assert_eq!(row.version(), 3);
    let id = row.text("id")?.trim_start_matches('P').parse::<u64>().map_err(|error| error.to_string())?;
    row.set("id", id);
    Ok(())
}

fn parcel(size: then::Size) -> then::Parcel {
    let stop = |town: &str, day| then::Stop { town: town.into(), day };
    then::Parcel {
        id: "P17".into(),
        weight: "2.5".into(),
        size,
        stops: vec![stop("Oslo", 1), stop("Bergen", 255)],
        // As texts, 10 comes before 9.
        levels: BTreeMap::from([("9".into(), 1), ("10".into(), 2)]),
        hint: None,
        same: then::Size::Tube(3, 0.5),
    }
}

fn today(size: Option<now::Size>) -> now::Parcel {
    let stop = |place: &str, day| now::Stop { day, place: place.into() };
    now::Parcel {
        id: 17,
        grams: 2500,
        size,
        stops: vec![stop("Oslo", 1), stop("Bergen", 255)],
        levels: BTreeMap::from([(9, 1), (10, 2)]),
        hint: None,
        added: 7,
        same: now::Size::Tube(3, 0.5),
    }
}

// Rules: m-evolve-migrate
#[test]
fn steps_run_in_their_order_and_names_aliases_and_defaults_hold_for_what_they_leave() {
    for (stored, expected) in [
        (then::Size::Box { side: 4 }, Some(now::Size::Cube { edge: 4, layers: 1 })),
        (then::Size::Tube(1, 1.5), Some(now::Size::Tube(1, 1.5))),
        (then::Size::Odd, None),
    ] {
        let read: now::Parcel = unpack::<then::Parcel, _>(&pack(&parcel(stored))).expect("a migrated row");
        assert_eq!(read, today(expected));
    }
    let froms: Vec<_> = now::Parcel::schema().steps(0).map(|step| (step.from, step.rekeys)).collect();
    assert_eq!(froms, [(1, false), (2, false), (3, true)]);
}

#[test]
fn a_variant_that_is_gone_and_not_mapped_is_named_with_its_field() {
    let mut row = parcel(then::Size::Odd);
    row.same = then::Size::Odd;
    let error = refusal(unpack::<then::Parcel, now::Parcel>(&pack(&row)));
    assert_eq!(
        (error.kind(), error.model_name(), error.path()),
        (ErrorKind::Serialization, Some("Parcel"), Some("same"))
    );
    let said = error.to_string();
    assert!(said.contains("version 1") && said.contains("version 4"), "{said}");
}

#[test]
fn a_step_that_refuses_says_why_and_which_versions() {
    let row = then::Parcel { weight: "heavy".into(), ..parcel(then::Size::Odd) };
    let error = refusal(unpack::<then::Parcel, now::Parcel>(&pack(&row)));
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Serialization, Some("Parcel")));
    let said = error.to_string();
    for part in ["from version 1 of the model to 2 failed", "invalid float", "application has version 4"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn an_old_row_is_changed_by_stored_names() {
    let mut row = OldRow::new(1, [("a", Value::from("x")), ("b", Value::from(2))]);
    assert!(row.rename("a", "c") && !row.rename("a", "d"));
    row.set("b", 3);
    row.set("e", true);
    assert_eq!(row.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["b", "c", "e"]);
    assert_eq!((row.text("c"), row.int("b")), (Ok("x"), Ok(3)));
    assert_eq!(row.int("c"), Err("`c` is a string and not an integer".to_owned()));
    assert_eq!(row.text("a"), Err("`a` is not there and not a string".to_owned()));
    assert_eq!((row.remove("e"), row.remove("e")), (Some(Value::Bool(true)), None));
}
