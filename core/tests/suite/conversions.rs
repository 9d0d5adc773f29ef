//! Types that are one thing in the store and another on the wire.

use std::collections::BTreeMap;

use larder_core::dialect::json;
use larder_core::{Convert, Datum, Fault, Kind, Model, ValueRef};
use larder_derive::{Datum, Model};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::datum::comes_back;
use crate::support::{from_json, pack, refusal, to_json, unpack};

/// A map on the wire and a text in the store.
#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", with = "WeightText", json(with = "wire"))]
struct Weight {
    text: String,
}

impl Weight {
    fn new(amount: u32, unit: &str) -> Self {
        Self { text: format!("{amount} {unit}") }
    }
}

struct WeightText;

impl Convert<Weight> for WeightText {
    const KIND: Kind = <String as Datum>::KIND;

    fn show(value: &Weight) -> ValueRef<'_> {
        ValueRef::Str(&value.text)
    }

    fn take(value: ValueRef<'_>) -> Result<Weight, Fault> {
        let text = String::take(value)?;
        if text.contains(' ') { Ok(Weight { text }) } else { Err(Fault::Refused) }
    }
}

mod wire {
    use super::{Weight, json};

    pub(super) fn write(weight: &Weight) -> Result<serde_json::Value, String> {
        let (amount, unit) = weight.text.split_once(' ').ok_or("no unit")?;
        Ok(json!({ "amount": amount.parse::<u32>().map_err(|error| error.to_string())?, "unit": unit }))
    }

    pub(super) fn read(json: &serde_json::Value) -> Result<Weight, String> {
        let amount = json["amount"].as_u64().ok_or("expected a weight with an amount")?;
        Ok(Weight { text: format!("{amount} {}", json["unit"].as_str().unwrap_or("kg")) })
    }
}

/// Fields of its own in the store, and what serde makes of another type on the wire.
#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", json(via = "PointDto"))]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Serialize, Deserialize)]
struct PointDto([i32; 2]);

impl From<&Point> for PointDto {
    fn from(point: &Point) -> Self {
        Self([point.x, point.y])
    }
}

impl TryFrom<PointDto> for Point {
    type Error = &'static str;

    fn try_from(dto: PointDto) -> Result<Self, Self::Error> {
        let [x, y] = dto.0;
        if x < 0 { Err("x is negative") } else { Ok(Self { x, y }) }
    }
}

/// A newtype and an enum with ways of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Datum)]
#[model(crate = "larder_core", json(with = "shout"))]
struct Code(String);

mod shout {
    use super::Code;

    pub(super) fn write(code: &Code) -> Result<serde_json::Value, String> {
        Ok(code.0.to_uppercase().into())
    }

    pub(super) fn read(json: &serde_json::Value) -> Result<Code, String> {
        Ok(Code(json.as_str().ok_or("expected a code")?.to_lowercase()))
    }
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", json(via = "bool"))]
enum Switch {
    On,
    Off,
}

impl From<&Switch> for bool {
    fn from(switch: &Switch) -> Self {
        *switch == Switch::On
    }
}

impl From<bool> for Switch {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core")]
struct Parcel {
    #[model(key)]
    code: Code,
    weight: Weight,
    maybe: Option<Weight>,
    parts: Vec<Weight>,
    place: Point,
    by_code: BTreeMap<Code, Switch>,
    switch: Switch,
}

fn parcel() -> Parcel {
    Parcel {
        code: Code("ab".into()),
        weight: Weight::new(3, "kg"),
        maybe: None,
        parts: vec![Weight::new(1, "kg"), Weight::new(2, "g")],
        place: Point { x: 1, y: -2 },
        by_code: BTreeMap::from([(Code("k".into()), Switch::On)]),
        switch: Switch::Off,
    }
}

// Rules: m-convert, m-convert-dialect
#[test]
fn a_type_has_its_own_way_in_json_wherever_it_stands() {
    let expected = json!({
        "code": "AB",
        "weight": { "amount": 3, "unit": "kg" },
        "maybe": null,
        "parts": [{ "amount": 1, "unit": "kg" }, { "amount": 2, "unit": "g" }],
        "place": [1, -2],
        "by_code": { "K": true },
        "switch": false,
    });
    assert_eq!(to_json(&parcel()), expected);
    assert_eq!(from_json::<Parcel>(&expected).expect("what was written"), parcel());
    let mut some = parcel();
    some.maybe = Some(Weight::new(7, "t"));
    assert_eq!(from_json::<Parcel>(&to_json(&some)).expect("what was written"), some);
}

// Rules: m-convert, m-convert-dialect
#[test]
fn the_store_and_queries_know_the_representation() {
    assert_eq!(unpack::<Parcel, Parcel>(&pack(&parcel())).expect("what was packed"), parcel());
    assert!(matches!(Weight::new(3, "kg").show(), ValueRef::Str("3 kg")));
    let heavy = Parcel::WEIGHT.eq(Weight::new(3, "kg")).and(Parcel::PLACE.eq(Point { x: 1, y: -2 }));
    let heavy = heavy.and(Parcel::PARTS.contains(Weight::new(2, "g"))).into_predicate();
    assert!(heavy.matches(Parcel::schema(), &parcel()).expect("an answer"));
    comes_back(Weight::new(1, "g"));
    comes_back(Code("x".into()));
    comes_back(Switch::On);
    assert!(Code::KIND.is_key() && !Weight::KIND.is_nullable());
}

#[test]
fn what_a_conversion_refuses_is_an_error_with_its_place() {
    let mut json = to_json(&parcel());
    json["parts"][1] = json!({ "unit": "kg" });
    let error = refusal(from_json::<Parcel>(&json));
    assert_eq!((error.path(), error.message()), (Some("parts[1]"), "expected a weight with an amount"));
    let mut json = to_json(&parcel());
    json["place"] = json!([-1, 0]);
    assert_eq!(refusal(from_json::<Parcel>(&json)).message(), "x is negative");
    json["place"] = json!("nowhere");
    assert!(refusal(from_json::<Parcel>(&json)).message().contains("invalid type"));
    let mut weightless = parcel();
    weightless.weight.text = "much".into();
    let refused = json::write(weightless.weight.show(), &Weight::KIND).expect_err("it has no unit");
    assert_eq!(refused.message(), "refused by its converter");
}
