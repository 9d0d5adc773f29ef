//! Model to bytes and back, model to JSON and back.

use larder_core::dialect::json::Json;
use larder_core::packed::{PackedBuf, Stored, parse_body, write_record};
use larder_core::query::eval;
use larder_core::{FieldSet, Meta, Model, Record, Row, RowState, Serdes, SyncState, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::cmp::Ordering;

use crate::models::{Everything, everything};
use crate::support::{SHAPE, bound, from_json, lend, pack, repack, to_json, unpack};

fn sample() -> Everything {
    everything().new_tree(&mut TestRunner::deterministic()).expect("a sample").current()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // Rules: m-scalars, m-option, m-containers, m-structs, m-enum-data, m-convert
    #[test]
    fn through_bytes(model in everything()) {
        let body = pack(&model);
        prop_assert_eq!(&unpack::<Everything, Everything>(&body).expect("what was packed"), &model);
        let bound = bound(Everything::schema(), Everything::schema());
        let different = lend(&body, &bound, |row| differences(&model, row)).expect("a row");
        prop_assert!(different.is_empty(), "{different:?}");
    }

    // Rules: m-scalars, m-option, m-containers, m-structs, m-enum-data, m-convert
    #[test]
    fn through_json(model in everything()) {
        let json = to_json(&model);
        let text = json.to_string();
        let read: serde_json::Value = serde_json::from_str(&text).expect("what was written");
        prop_assert_eq!(&from_json::<Everything>(&read).expect("what was encoded"), &model);
    }

    /// Where one that has left a store is stored again, in an outbox entry or in another store.
    #[test]
    fn through_two_stores(model in everything()) {
        let body = pack(&model);
        let again = repack::<Everything>(&body, bound(Everything::schema(), Everything::schema()), SHAPE + 1);
        prop_assert_eq!(&again[..3], &[body[0], SHAPE as u8 + 1, 0][..]);
        prop_assert_eq!(&again[3..], &body[3..]);
    }

    #[test]
    fn through_a_record(model in everything()) {
        let record = Record::copy(Everything::schema(), &model).expect("a record");
        prop_assert_eq!(differences(&model, &record), Vec::<&str>::new());
        prop_assert_eq!(Everything::from_row(&record).expect("what was copied"), model);
    }
}

/// The fields in which a filter could answer differently.
fn differences(a: &dyn Row, b: &dyn Row) -> Vec<&'static str> {
    let differs = |at: &usize| {
        let (a, b) = (a.field(*at).expect("a field"), b.field(*at).expect("a field"));
        eval::order(a, b).expect("an order") != Ordering::Equal
    };
    let fields = Everything::schema().fields;
    (0..fields.len()).filter(differs).map(|at| fields[at].name).collect()
}

// Rules: m-rename
#[test]
fn json_has_the_names_and_forms_of_the_dialect() {
    let mut model = sample();
    model.single = 0.1;
    model.tint = 0x00_ff00;
    model.color = crate::models::Color::Green;
    model.by_color = [(crate::models::Color::Green, true)].into();
    model.tagged = crate::models::Tagged::OpenDoor { by: "Ada".into() };
    model.shape = crate::models::Shape::Circle { ray_length: 1.5, color: None };
    model.adjacent = vec![crate::models::Adjacent::Named { left: 1, right: vec![1, 2, 3] }];
    model.huge = i128::MAX;
    model.at = Timestamp::UNIX_EPOCH;
    model.address.street_name = "Storgata".into();
    model.address.zip = Some(155);
    model.address.colors = vec![];
    let json = to_json(&model);
    assert_eq!(json["single"].to_string(), "0.1");
    assert_eq!(json["tint"], "#00ff00");
    assert_eq!(json["color"], "verde");
    assert_eq!(json["byColor"], serde_json::json!({ "verde": true }));
    assert_eq!(json["tagged"], serde_json::json!({ "type": "open_door", "by": "Ada" }));
    assert_eq!(json["shape"], serde_json::json!({ "Circle": { "rayLength": 1.5, "color": null } }));
    assert_eq!(json["adjacent"], serde_json::json!([{ "t": "Named", "c": { "LEFT": 1, "RIGHT": "AQID" } }]));
    assert_eq!(json["huge"], "170141183460469231731687303715884105727");
    assert_eq!(json["at"], "1970-01-01T00:00:00Z");
    assert_eq!(json["address"], serde_json::json!({ "street-name": "Storgata", "ZIP": 155, "colors": [] }));
    assert_eq!(json["type"], model.r#type.as_str());
    assert!(json.get("seen").is_none(), "a skipped field is not sent");
}

#[test]
fn a_float_is_read_from_json_as_the_model_has_it() {
    let mut model = sample();
    model.single = 0.1;
    let read = Json.decode(Everything::schema(), &to_json(&model)).expect("what was written").record;
    assert_eq!(differences(&model, &read), Vec::<&str>::new(), "0.1 as an f32 is not 0.1 as an f64");
}

#[test]
fn some_fields_of_a_row_can_be_sent() {
    let fields: FieldSet =
        [Everything::FLAG.position(), Everything::TEXT.position()].map(usize::from).into_iter().collect();
    let json = Json.encode_fields(Everything::schema(), &sample(), &fields).expect("two fields");
    assert_eq!(json.as_object().expect("an object").len(), 2);
}

#[test]
fn records_carry_what_stands_beside_the_fields() {
    let model = sample();
    let meta = Meta {
        revision: u64::MAX,
        tail: 9,
        sync: SyncState {
            state: RowState::Parked,
            since: Timestamp::from_microsecond(1_234_567).expect("a moment"),
        },
        version: Some("\"etag\"".into()),
        extra: Some("{\"node_id\":1}".into()),
    };
    let mut record = Vec::new();
    write_record(&mut record, Everything::schema(), SHAPE, &model, meta.show()).expect("a record");
    let stored = Stored::parse(&record).expect("a sound record");
    assert_eq!(stored.meta.to_meta(), meta);
    let body = stored.body.expect("a body");
    let (shape, layout) = parse_body(body).expect("a layout");
    assert_eq!(shape, SHAPE);
    let kept = PackedBuf::new(body, layout, bound(Everything::schema(), Everything::schema()).into())
        .expect("a row");
    assert_eq!(Everything::from_row(&kept).expect("a row"), model);
}

// Rules: m-long
#[test]
fn long_rows_take_wide_offsets() {
    let mut model = sample();
    model.text = "x".repeat(70_000);
    model.bytes = vec![7; 70_000];
    let body = pack(&model);
    assert_eq!(unpack::<Everything, Everything>(&body).expect("a long row"), model);
}

#[test]
fn an_absent_field_is_none_or_an_error_with_a_converter_too() {
    let mut fields = vec![None; Everything::schema().fields.len()];
    let copied = Record::copy(Everything::schema(), &sample()).expect("a record");
    for (at, field) in fields.iter_mut().enumerate() {
        *field = copied.get(at).cloned();
    }
    fields[usize::from(Everything::DISCOUNT.position())] = None;
    fields[usize::from(Everything::MAYBE_TEXT.position())] = None;
    let read = Everything::from_row(&Record::new(fields.clone())).expect("a row");
    assert_eq!((read.discount, read.maybe_text), (None, None));
    fields[usize::from(Everything::PRICE.position())] = None;
    let error = Everything::from_row(&Record::new(fields)).expect_err("a price is required");
    assert_eq!(
        error.to_string(),
        "Everything.price: data does not fit: required, but not there; give it a default"
    );
}
