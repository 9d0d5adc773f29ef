//! The JSON dialect: what is read, what is refused and where.

use larder_core::dialect::json::Json;
use larder_core::{ErrorKind, Model, Record, Serdes, Value};
use larder_derive::{Datum, Model};
use rstest::rstest;
use serde_json::json;

use crate::support::{from_json, refusal, to_json};

#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core", json(rename_all = "camelCase"))]
struct Doc {
    #[model(key)]
    id: u32,
    #[model(rename = "head_line", json(alias = "title"), alias = "heading")]
    headline: String,
    #[model(default = "7")]
    stars: i8,
    #[model(json(default = "String::from(\"json\")"))]
    origin: String,
    #[model(json(skip), default)]
    local: bool,
    #[model(json(skip_read), default = "9")]
    sent_only: u8,
    #[model(json(skip_write))]
    read_only: Option<u8>,
    parts: Vec<Part>,
    by_name: std::collections::BTreeMap<String, Part>,
    counts: std::collections::BTreeMap<i8, u8>,
    event: Option<Event>,
    step: Option<Step>,
    mark: Option<Mark>,
    huge: i128,
    wide: u64,
    single: f32,
    letter: char,
    bytes: Vec<u8>,
    uid: Option<larder_core::Uuid>,
    at: Option<larder_core::Timestamp>,
    #[model(json(with = "crate::models::hex"))]
    tint: u32,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
struct Part {
    name: String,
    #[model(json(rename = "n", alias = "num"))]
    number: u8,
    #[model(default = "2.5")]
    weight: f64,
    #[model(json(skip, default = "4"))]
    hidden: u8,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", rename_all = "snake_case")]
enum Event {
    Open {
        by: String,
    },
    Pair(u8, u8),
    #[model(alias = "done")]
    Closed,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", tag = "kind")]
enum Step {
    Walk { far: u8 },
    Stay,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", tag = "t", content = "c")]
enum Mark {
    Dot(u8),
    Line { to: u8 },
    Blank,
}

fn doc() -> serde_json::Value {
    json!({
        "id": 1, "head_line": "News", "stars": 1, "origin": "here", "readOnly": 3,
        "parts": [{ "name": "a", "n": 1, "weight": 1.0 }, { "name": "b", "n": 2 }],
        "byName": { "x": { "name": "c", "num": 3 } },
        "counts": { "10": 1, "9": 2, "-3": 3 },
        "event": { "open": { "by": "Ada" } }, "step": { "kind": "Walk", "far": 2 }, "mark": { "t": "Dot", "c": 5 },
        "huge": 5, "wide": 18_446_744_073_709_551_615_u64, "single": 0.1, "letter": "ä", "bytes": "AP8=",
        "uid": null, "at": null, "tint": "#0000ff",
    })
}

fn part(name: &str, number: u8, weight: f64) -> Part {
    Part { name: name.into(), number, weight, hidden: 4 }
}

// Rules: m-rename, m-skip, m-default, m-alias
#[test]
fn names_defaults_and_aliases_are_those_of_the_dialect() {
    let read: Doc = from_json(&doc()).expect("a document");
    let expected = Doc {
        id: 1,
        headline: "News".into(),
        stars: 1,
        origin: "here".into(),
        local: false,
        sent_only: 9,
        read_only: Some(3),
        parts: vec![part("a", 1, 1.0), part("b", 2, 2.5)],
        by_name: [("x".to_owned(), part("c", 3, 2.5))].into(),
        counts: [(-3, 3), (9, 2), (10, 1)].into(),
        event: Some(Event::Open { by: "Ada".into() }),
        step: Some(Step::Walk { far: 2 }),
        mark: Some(Mark::Dot(5)),
        huge: 5,
        wide: u64::MAX,
        single: 0.1,
        letter: 'ä',
        bytes: vec![0, 255],
        uid: None,
        at: None,
        tint: 255,
    };
    assert_eq!(read, expected);
    let written = to_json(&Doc { local: true, sent_only: 1, ..expected });
    assert_eq!(written["sentOnly"], 1);
    assert_eq!(written["parts"][0], json!({ "name": "a", "n": 1, "weight": 1.0 }));
    for absent in ["local", "readOnly", "read_only", "headline"] {
        assert!(written.get(absent).is_none(), "{absent}");
    }
}

// Rules: m-alias
#[rstest]
#[case::former_name_in_json("title")]
#[case::former_name_everywhere("heading")]
fn former_names_are_read(#[case] alias: &str) {
    let mut json = doc();
    let members = json.as_object_mut().expect("an object");
    let headline = members.remove("head_line").expect("the headline");
    members.insert(alias.to_owned(), headline);
    assert_eq!(from_json::<Doc>(&json).expect("a document").headline, "News");
}

// Rules: m-default
#[test]
fn what_is_not_there_takes_its_default() {
    let mut json = doc();
    for name in ["stars", "origin", "readOnly", "event", "step", "mark", "uid", "at"] {
        json.as_object_mut().expect("an object").remove(name);
    }
    let read: Doc = from_json(&json).expect("a document");
    assert_eq!((read.stars, read.origin.as_str(), read.read_only), (7, "json", None));
    assert_eq!((read.event, read.step, read.mark), (None, None, None));
}

// Rules: m-extra
#[test]
fn what_the_model_does_not_have_is_kept() {
    let mut json = doc();
    json["node_id"] = json!([1, { "deep": true }]);
    json["local"] = json!(true);
    let decoded = Json.decode(Doc::schema(), &json).expect("a document");
    assert_eq!(decoded.extra.as_deref(), Some(r#"{"node_id":[1,{"deep":true}]}"#));
    assert_eq!(Json.decode(Doc::schema(), &doc()).expect("a document").extra, None);
}

#[test]
fn a_part_of_a_row_may_lack_fields_but_not_have_wrong_ones() {
    let decoded = Json.decode_partial(Doc::schema(), &json!({ "stars": 3 })).expect("a part");
    assert_eq!(decoded.record.get(usize::from(Doc::STARS.position())), Some(&Value::Int(3)));
    assert_eq!(decoded.record.get(usize::from(Doc::ORIGIN.position())), None, "no default: it may be there");
    assert!(Json.decode_partial(Doc::schema(), &json!({ "stars": "3" })).is_err());
    let error = refusal(Doc::from_row(&decoded.record));
    assert_eq!(error.to_string(), "Doc.id: data does not fit: required, but not there; give it a default");
}

// Rules: m-enum-data
#[rstest]
#[case::external(json!({ "event": "closed" }), "Closed")]
#[case::external_alias(json!({ "event": "done" }), "Closed")]
#[case::external_tuple(json!({ "event": { "pair": [1, 2] } }), "Pair(1, 2)")]
#[case::internal_unit(json!({ "step": { "kind": "Stay" } }), "Stay")]
#[case::adjacent_struct(json!({ "mark": { "t": "Line", "c": { "to": 4 } } }), "Line { to: 4 }")]
#[case::adjacent_unit(json!({ "mark": { "t": "Blank" } }), "Blank")]
fn enums_are_written_as_serde_does(#[case] patch: serde_json::Value, #[case] expected: &str) {
    let read: Doc = from_json(&patched(&patch)).expect("a document");
    let shown = [
        read.event.as_ref().map(|v| format!("{v:?}")),
        read.step.as_ref().map(|v| format!("{v:?}")),
        read.mark.as_ref().map(|v| format!("{v:?}")),
    ];
    assert!(shown.iter().flatten().any(|shown| shown == expected), "{shown:?}");
    let written = to_json(&read);
    for (name, value) in patch.as_object().expect("an object") {
        let canonical = if value == "done" { &json!("closed") } else { value };
        assert_eq!(&written[name], canonical);
    }
}

fn patched(patch: &serde_json::Value) -> serde_json::Value {
    let mut json = doc();
    for (name, value) in patch.as_object().expect("an object") {
        json[name] = value.clone();
    }
    json
}

#[rstest]
#[case::scalar(json!({ "stars": "1" }), "stars", "expected an integer, found a string")]
#[case::float_for_int(json!({ "stars": 1.0 }), "stars", "expected an integer, found a float")]
#[case::null(json!({ "stars": null }), "stars", "expected an integer, found null")]
#[case::out_of_range(json!({ "stars": 128 }), "stars", "128 is not between -128 and 127")]
#[case::below_range(json!({ "wide": -1 }), "wide", "-1 is not between 0 and 18446744073709551615")]
#[case::single_out_of_range(json!({ "single": 1e300 }), "single", "1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000 is out of range for f32")]
#[case::text(json!({ "head_line": 5 }), "headline", "expected a string, found an integer")]
#[case::two_letters(json!({ "letter": "ab" }), "letter", "expected one character, found a string")]
#[case::not_base64(json!({ "bytes": "?" }), "bytes", "expected bytes in base64")]
#[case::not_a_uuid(json!({ "uid": "x" }), "uid", "expected a uuid, found another string")]
#[case::not_a_moment(json!({ "at": "yesterday" }), "at", "expected a moment (RFC 3339), found another string")]
#[case::not_a_list(json!({ "parts": {} }), "parts", "expected an array, found an object")]
#[case::nested_type(json!({ "parts": [{ "name": "a", "n": 1 }, { "name": true, "n": 1 }] }), "parts[1].name", "expected a string, found a bool")]
#[case::nested_missing(json!({ "parts": [{ "name": "a" }] }), "parts[0].number", "required, but not there; give the field a default if it may be")]
#[case::nested_range(json!({ "byName": { "x": { "name": "a", "n": 256 } } }), "by_name.x.number", "256 is not between 0 and 255")]
#[case::map_key(json!({ "counts": { "ten": 1 } }), "counts.ten", "expected an integer as a key, found another string")]
#[case::map_key_range(json!({ "counts": { "1000": 1 } }), "counts.1000", "1000 is not between -128 and 127")]
#[case::map_value(json!({ "counts": { "1": true } }), "counts.1", "expected an integer, found a bool")]
#[case::unknown_variant(json!({ "event": "burnt" }), "event", "unknown variant `burnt` of Event, expected one of open, pair, closed")]
#[case::rust_name_of_a_variant(json!({ "event": "Closed" }), "event", "unknown variant `Closed` of Event, expected one of open, pair, closed")]
#[case::content_missing(json!({ "event": "open" }), "event", "the content of the variant is missing")]
#[case::content_type(json!({ "event": { "open": { "by": 1 } } }), "event.open.by", "expected a string, found an integer")]
#[case::tuple_too_short(json!({ "event": { "pair": [1] } }), "event.pair", "expected the content of the variant, found an array")]
#[case::two_variants(json!({ "event": { "open": {}, "closed": null } }), "event", "expected a variant, found an object")]
#[case::tag_missing(json!({ "step": { "far": 1 } }), "step.kind", "the tag of the variant is missing")]
#[case::tag_type(json!({ "step": { "kind": 1 } }), "step.kind", "expected the name of a variant, found an integer")]
#[case::tagged_field(json!({ "step": { "kind": "Walk", "far": -1 } }), "step.far", "-1 is not between 0 and 255")]
#[case::adjacent_field(json!({ "mark": { "t": "Line", "c": {} } }), "mark.c.to", "required, but not there; give the field a default if it may be")]
#[case::converter(json!({ "tint": "blue" }), "tint", "expected a tint such as #00ff00")]
fn what_does_not_fit_is_refused_with_its_path(
    #[case] patch: serde_json::Value,
    #[case] path: &str,
    #[case] message: &str,
) {
    let error = refusal(from_json::<Doc>(&patched(&patch)));
    assert_eq!(
        (error.kind(), error.path(), error.message()),
        (ErrorKind::Serialization, Some(path), message)
    );
    assert_eq!(error.to_string(), format!("failed to decode Doc at {path}: data does not fit: {message}"));
}

#[test]
fn a_missing_field_and_another_document_are_refused() {
    let mut json = doc();
    json.as_object_mut().expect("an object").remove("id");
    assert_eq!(
        refusal(from_json::<Doc>(&json)).to_string(),
        "failed to decode Doc at id: data does not fit: required, but not there; give the field a default if it may be"
    );
    assert_eq!(
        refusal(from_json::<Doc>(&json!([1]))).to_string(),
        "failed to decode Doc: data does not fit: expected an object, found an array"
    );
}

#[test]
fn what_json_can_not_say_is_refused_with_its_path() {
    let mut model: Doc = from_json(&doc()).expect("a document");
    model.parts[1].weight = f64::NAN;
    let error = refusal(Json.encode(Doc::schema(), &model));
    assert_eq!(
        error.to_string(),
        "failed to encode Doc at parts[1].weight: data does not fit: a float that is no finite number can't be written \
         as JSON"
    );
}

#[test]
fn absent_fields_are_not_written() {
    let fields = Doc::schema().fields.len();
    let mut record = Record::new(vec![None; fields]);
    record.set(usize::from(Doc::STARS.position()), Value::Int(4));
    assert_eq!(Json.encode(Doc::schema(), &record).expect("one field"), json!({ "stars": 4 }));
}

#[test]
fn integers_beyond_64_bits_are_strings() {
    let mut model: Doc = from_json(&doc()).expect("a document");
    model.huge = -(1 << 100);
    let json = to_json(&model);
    assert_eq!(json["huge"], "-1267650600228229401496703205376");
    assert_eq!(from_json::<Doc>(&json).expect("a document").huge, -(1 << 100));
}
