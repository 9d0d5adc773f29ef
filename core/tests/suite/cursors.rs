//! Where a page ends and the next one begins, and which cursors are refused.

use std::sync::Arc;

use larder_core::{
    Cursor, Done, ErrorKind, FieldDef, IntKind, KeyDef, Kind, Meta, Order, PageRow, Query, Record, Schema,
    Select, Timestamp, Value,
};
use larder_derive::Model;
use proptest::prelude::*;

use crate::support::refusal;

static ENTRY: Schema = Schema::new(
    "Entry",
    &[
        FieldDef::new("at", Kind::Time),
        FieldDef::new("no", Kind::Int(IntKind::I8)),
        FieldDef::new("score", Kind::Option(&Kind::F64)),
        FieldDef::new("name", Kind::Option(&Kind::Str)),
    ],
    KeyDef::natural(&[0, 1]),
);

fn entry() -> impl Strategy<Value = Record> {
    let floats = vec![0.0, -0.0, 1.5, -1.5, f64::NAN, -f64::NAN, f64::INFINITY];
    let score = prop_oneof![1 => Just(Value::Null), 4 => prop::sample::select(floats).prop_map(Value::Float)];
    let names = vec!["", "a", "a\0", "ab", "é"];
    let name = prop_oneof![
        1 => Just(Value::Null),
        4 => prop::sample::select(names).prop_map(|name| Value::Str(name.into()))
    ];
    let moment = (-2..3_i64).prop_map(|at| Value::Time(Timestamp::new(at, 0).expect("a moment")));
    (moment, (-2..3_i128).prop_map(Value::Int), score, name)
        .prop_map(|(a, b, c, d)| Record::new([a, b, c, d].map(Some)))
}

fn order() -> impl Strategy<Value = Vec<Order>> {
    let one = (0..4_u16, any::<bool>()).prop_map(
        |(field, rises)| {
            if rises { Order::asc(field) } else { Order::desc(field) }
        },
    );
    proptest::collection::vec(one, 0..4)
}

fn finish(query: &Query, rows: &[Record], done: Done) -> Vec<Record> {
    let rows =
        rows.iter().map(|row| PageRow::new(Meta::synced(Timestamp::UNIX_EPOCH), Arc::new(row.clone())));
    let rows = query.finish(&ENTRY, done, rows.collect()).expect("records show their fields");
    rows.iter().map(|row| Record::copy(&ENTRY, &*row.row).expect("a record")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_put_together_are_the_whole(rows in proptest::collection::vec(entry(), 0..20), order in order(), size in 1..4_u64) {
        let mut rows = rows;
        rows.sort_by_key(|row| ENTRY.key_of(row).expect("a key"));
        rows.dedup_by_key(|row| ENTRY.key_of(row).expect("a key"));
        let query = Query { order, limit: Some(size), ..Query::all() };
        let whole = finish(&query.unlimited(), &rows, Done::default());
        let (mut came, mut page) = (Vec::new(), query.clone());
        loop {
            let rows = finish(&page, &rows, Done::default());
            let Some(last) = rows.last() else { break };
            let text = query.cursor(&ENTRY, last).expect("a cursor").to_string();
            page = query.clone().continued(&ENTRY, &text.parse().expect("a cursor")).expect("its own cursor");
            came.extend(rows);
        }
        // A NaN is not equal to itself.
        prop_assert_eq!(format!("{came:?}"), format!("{whole:?}"));
    }
}

// Rules: q-after
#[test]
fn the_place_comes_before_offset_and_limit() {
    let row = |no: i128| {
        let at = Value::Time(Timestamp::UNIX_EPOCH);
        Record::new([at, Value::Int(no), Value::Null, Value::Null].map(Some))
    };
    let rows: Vec<Record> = (0..6).map(row).collect();
    let query = Query { limit: Some(2), offset: 1, ..Query::all() };
    let cursor = query.cursor(&ENTRY, &rows[1]).expect("a cursor");
    let next = query.continued(&ENTRY, &cursor).expect("its own cursor");
    assert_eq!(finish(&next, &rows, Done::default()), rows[3..5]);
    // A provider that filtered and ordered has not begun at the place yet.
    let done = Done { window: false, ..Done::ALL };
    assert_eq!(finish(&next, &rows, done), rows[3..5]);
    assert_eq!(finish(&next, &rows[3..5], Done::ALL), rows[3..5]);
}

#[derive(Model)]
#[model(crate = "larder_core")]
struct Note {
    #[model(key)]
    id: u32,
    text: String,
}

mod later {
    #[derive(larder_derive::Model)]
    #[model(crate = "larder_core", version = 2)]
    pub(super) struct Note {
        #[model(key)]
        pub(super) id: u32,
        pub(super) text: String,
    }
}

fn notes() -> Select<Note> {
    Note::TEXT.ge("a").order_by(Note::TEXT.desc()).limit(2)
}

fn cursor() -> Cursor {
    let last = Note { id: 7, text: "m".into() };
    notes().as_query().cursor(<Note as larder_core::Model>::schema(), &last).expect("a cursor")
}

// Rules: q-after
#[test]
fn a_cursor_goes_on_where_it_was_made() {
    let next = notes().after(&cursor()).expect("its own cursor").into_query();
    let after = next.after.expect("a place");
    assert_eq!((after.values, after.key), (vec![Value::Str("m".into())], 7.into()));
    // The page may be of another size.
    assert!(notes().limit(50).after(&cursor()).is_ok());
    assert!(notes().offset(1).after(&cursor()).is_ok());
}

#[test]
fn a_cursor_survives_being_written_down() {
    let text = cursor().to_string();
    assert!(text.chars().all(|char| char.is_ascii_alphanumeric() || "-_".contains(char)), "{text}");
    assert_eq!(text.parse::<Cursor>().expect("its text"), cursor());
    let json = serde_json::to_string(&cursor()).expect("JSON");
    assert_eq!(json, format!("{text:?}"));
    assert_eq!(serde_json::from_str::<Cursor>(&json).expect("from JSON"), cursor());
}

// Rules: q-after-foreign
#[test]
fn foreign_cursors_are_refused_and_say_why() {
    let check = |refused: larder_core::Error, why: &str| {
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains(why), "{refused}");
    };
    check(refusal(notes().order_by(Note::ID.asc()).after(&cursor())), "another query");
    check(refusal(Note::TEXT.ge("b").order_by(Note::TEXT.desc()).after(&cursor())), "another query");
    check(refusal(Note::TEXT.ge("a").order_by(Note::TEXT.asc()).after(&cursor())), "another query");
    check(
        refusal(Select::<later::Note>::new(notes().into_query()).after(&cursor())),
        "version 1 of the model",
    );
    check(refusal(notes().into_query().continued(&ENTRY, &cursor())), "model Note");
    let note = later::Note { id: 1, text: String::new() };
    assert!(note.id == 1 && note.text.is_empty());
}

#[test]
fn what_is_no_cursor_is_refused() {
    let text = cursor().to_string();
    let changed: String = text.chars().rev().collect();
    for broken in ["", "x", "äöü", &text[1..], &text[..text.len() - 1], &changed, &format!("{text}A")] {
        assert_eq!(refusal(broken.parse::<Cursor>()).kind(), ErrorKind::Invalid, "{broken}");
        assert!(serde_json::from_str::<Cursor>(&format!("{broken:?}")).is_err(), "{broken}");
    }
}
