//! A model with a field of each kind, and how to make any value of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use larder_core::{Convert, Fault, Kind, Timestamp, Uuid, ValueRef};
use larder_derive::{Datum, Model};
use proptest::collection::{btree_map, btree_set, hash_map, hash_set, vec};
use proptest::prelude::*;
use proptest::{option, string};

/// A field of each kind.
#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core", json(rename_all = "camelCase"), row(rename_all = "SCREAMING_SNAKE_CASE"))]
pub(crate) struct Everything {
    #[model(key)]
    pub(crate) id: Uuid,
    pub(crate) scalars: Scalars,
    pub(crate) flag: bool,
    pub(crate) small: i8,
    pub(crate) big: i64,
    pub(crate) huge: i128,
    pub(crate) single: f32,
    pub(crate) double: f64,
    pub(crate) letter: char,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: Timestamp,
    pub(crate) maybe_flag: Option<bool>,
    pub(crate) maybe_text: Option<String>,
    pub(crate) maybe_bytes: Option<Vec<u8>>,
    pub(crate) maybe_id: Option<Uuid>,
    pub(crate) list: Vec<String>,
    pub(crate) options: Vec<Option<i32>>,
    pub(crate) table: Vec<Vec<i32>>,
    pub(crate) maybe_list: Option<Vec<u16>>,
    pub(crate) set: BTreeSet<i64>,
    pub(crate) hash_set: HashSet<String>,
    pub(crate) map: BTreeMap<String, i64>,
    pub(crate) hash_map: HashMap<i32, Vec<u8>>,
    pub(crate) by_id: BTreeMap<Uuid, Address>,
    pub(crate) by_color: BTreeMap<Color, bool>,
    pub(crate) by_letter: BTreeMap<char, u8>,
    pub(crate) by_moment: BTreeMap<Timestamp, u8>,
    pub(crate) address: Address,
    pub(crate) boxed: Box<Address>,
    pub(crate) maybe_address: Option<Address>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) color: Color,
    pub(crate) maybe_color: Option<Color>,
    pub(crate) shape: Shape,
    pub(crate) tagged: Tagged,
    pub(crate) adjacent: Vec<Adjacent>,
    pub(crate) email: Email,
    #[model(with = "Cents")]
    pub(crate) price: Price,
    #[model(with = "crate::models::MaybeCents")]
    pub(crate) discount: Option<Price>,
    #[model(json(with = "hex"))]
    pub(crate) tint: u32,
    pub(crate) r#type: String,
    #[model(skip)]
    pub(crate) seen: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Datum)]
#[model(crate = "larder_core")]
pub(crate) struct Scalars {
    pub(crate) i16: i16,
    pub(crate) i32: i32,
    pub(crate) isize: isize,
    pub(crate) u8: u8,
    pub(crate) u16: u16,
    pub(crate) u32: u32,
    pub(crate) u64: u64,
    pub(crate) usize: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Datum)]
#[model(crate = "larder_core", rename_all = "kebab-case")]
pub(crate) struct Address {
    pub(crate) street_name: String,
    #[model(json(rename = "ZIP"))]
    pub(crate) zip: Option<u32>,
    pub(crate) colors: Vec<Color>,
    #[model(skip, default = "true")]
    pub(crate) fresh: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Datum)]
#[model(crate = "larder_core", json(rename_all = "lowercase"))]
pub(crate) enum Color {
    Red,
    #[model(json(rename = "verde"))]
    Green,
    r#Blue,
}

/// Externally tagged.
#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", row(rename_all = "snake_case"), rename_all_fields = "camelCase")]
pub(crate) enum Shape {
    Circle { ray_length: f64, color: Option<Color> },
    Square(u32),
    Pair(i8, String),
    Within(Box<Address>),
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", tag = "type", rename_all = "snake_case")]
pub(crate) enum Tagged {
    OpenDoor { by: String },
    At(Address),
    Gone,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core", tag = "t", content = "c", json(rename_all_fields = "UPPERCASE"))]
pub(crate) enum Adjacent {
    One(Uuid),
    Two(String, Option<i64>),
    Named { left: u8, right: Vec<u8> },
    Unit,
}

#[derive(Clone, Debug, PartialEq, Datum)]
#[model(crate = "larder_core")]
pub(crate) struct Email(pub(crate) String);

/// A type that knows nothing of Larder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Price {
    pub(crate) cents: i64,
}

pub(crate) struct Cents;

impl Convert<Price> for Cents {
    const KIND: Kind = <i64 as larder_core::Datum>::KIND;

    fn show(value: &Price) -> ValueRef<'_> {
        ValueRef::Int(value.cents.into())
    }

    fn take(value: ValueRef<'_>) -> Result<Price, Fault> {
        let cents = <i64 as larder_core::Datum>::take(value)?;
        if cents == i64::MIN { Err(Fault::Refused) } else { Ok(Price { cents }) }
    }
}

pub(crate) struct MaybeCents;

impl Convert<Option<Price>> for MaybeCents {
    const KIND: Kind = <Option<i64> as larder_core::Datum>::KIND;

    fn show(value: &Option<Price>) -> ValueRef<'_> {
        value.as_ref().map_or(ValueRef::Null, Cents::show)
    }

    fn take(value: ValueRef<'_>) -> Result<Option<Price>, Fault> {
        if value.is_null() { Ok(None) } else { Cents::take(value).map(Some) }
    }
}

/// A number that is `#00ff00` on the wire.
pub(crate) mod hex {
    use larder_core::{Value, ValueRef};

    pub(crate) fn write(value: ValueRef<'_>) -> Result<serde_json::Value, String> {
        match value {
            ValueRef::Int(tint) => Ok(format!("#{tint:06x}").into()),
            other => Err(format!("expected a tint, found {}", other.describe())),
        }
    }

    pub(crate) fn read(json: &serde_json::Value) -> Result<Value, String> {
        let digits = json.as_str().and_then(|text| text.strip_prefix('#'));
        let tint = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        tint.map(|tint| Value::Int(tint.into())).ok_or_else(|| "expected a tint such as #00ff00".to_owned())
    }
}

fn text() -> impl Strategy<Value = String> {
    string::string_regex("[a-zßÄ𝄞\0 ]{0,12}").expect("a pattern")
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn moment() -> impl Strategy<Value = Timestamp> {
    let range = Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond();
    range.prop_map(|at| Timestamp::from_nanosecond(at).expect("a moment in range"))
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_filter("no NaN", |v| v.is_finite()), Just(-0.0), Just(0.1)]
}

fn color() -> impl Strategy<Value = Color> {
    prop_oneof![Just(Color::Red), Just(Color::Green), Just(Color::Blue)]
}

fn address() -> impl Strategy<Value = Address> {
    (text(), option::of(any::<u32>()), vec(color(), 0..3)).prop_map(|(street_name, zip, colors)| Address {
        street_name,
        zip,
        colors,
        fresh: true,
    })
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        (finite(), option::of(color())).prop_map(|(ray_length, color)| Shape::Circle { ray_length, color }),
        any::<u32>().prop_map(Shape::Square),
        (any::<i8>(), text()).prop_map(|(number, text)| Shape::Pair(number, text)),
        address().prop_map(|address| Shape::Within(Box::new(address))),
        Just(Shape::Nothing),
    ]
}

fn tagged() -> impl Strategy<Value = Tagged> {
    prop_oneof![
        text().prop_map(|by| Tagged::OpenDoor { by }),
        address().prop_map(Tagged::At),
        Just(Tagged::Gone),
    ]
}

fn adjacent() -> impl Strategy<Value = Adjacent> {
    prop_oneof![
        uuid().prop_map(Adjacent::One),
        (text(), option::of(any::<i64>())).prop_map(|(text, number)| Adjacent::Two(text, number)),
        (any::<u8>(), vec(any::<u8>(), 0..5)).prop_map(|(left, right)| Adjacent::Named { left, right }),
        Just(Adjacent::Unit),
    ]
}

fn scalars() -> impl Strategy<Value = Scalars> {
    let signed = (any::<i16>(), any::<i32>(), any::<isize>());
    let unsigned = (any::<u8>(), any::<u16>(), any::<u32>(), any::<u64>(), any::<usize>());
    (signed, unsigned).prop_map(|((i16, i32, isize), (u8, u16, u32, u64, usize))| Scalars {
        i16,
        i32,
        isize,
        u8,
        u16,
        u32,
        u64,
        usize,
    })
}

/// Any value of the model.
pub(crate) fn everything() -> impl Strategy<Value = Everything> {
    let numbers =
        (any::<bool>(), any::<i8>(), any::<i64>(), any::<i128>(), any::<f32>(), finite(), scalars());
    let simple = (any::<char>(), text(), vec(any::<u8>(), 0..20), moment(), uuid());
    let maybe = (
        option::of(any::<bool>()),
        option::of(text()),
        option::of(vec(any::<u8>(), 0..4)),
        option::of(uuid()),
        option::of(vec(any::<u16>(), 0..4)),
    );
    let lists = (
        vec(text(), 0..4),
        vec(option::of(any::<i32>()), 0..4),
        vec(vec(any::<i32>(), 0..3), 0..3),
        btree_set(any::<i64>(), 0..5),
        hash_set(text(), 0..5),
    );
    let maps = (
        btree_map(text(), any::<i64>(), 0..5),
        hash_map(any::<i32>(), vec(any::<u8>(), 0..3), 0..5),
        btree_map(uuid(), address(), 0..3),
        btree_map(color(), any::<bool>(), 0..3),
        btree_map(any::<char>(), any::<u8>(), 0..3),
        btree_map(moment(), any::<u8>(), 0..3),
    );
    let nested =
        (address(), address(), option::of(address()), vec(address(), 0..3), color(), option::of(color()));
    let enums = (shape(), tagged(), vec(adjacent(), 0..4));
    let converted = (text(), any::<i64>(), option::of(any::<i64>()), any::<u32>(), text());
    (numbers, simple, maybe, lists, maps, nested, enums, converted).prop_map(
        |(
            (flag, small, big, huge, single, double, scalars),
            (letter, text, bytes, at, id),
            (maybe_flag, maybe_text, maybe_bytes, maybe_id, maybe_list),
            (list, options, table, set, hash_set),
            (map, hash_map, by_id, by_color, by_letter, by_moment),
            (address, boxed, maybe_address, addresses, color, maybe_color),
            (shape, tagged, adjacent),
            (email, cents, discount, tint, kind),
        )| Everything {
            id,
            scalars,
            flag,
            small,
            big,
            huge,
            single: if single.is_finite() { single } else { 0.5 },
            double,
            letter,
            text,
            bytes,
            at,
            maybe_flag,
            maybe_text,
            maybe_bytes,
            maybe_id,
            list,
            options,
            table,
            maybe_list,
            set,
            hash_set,
            map,
            hash_map,
            by_id,
            by_color,
            by_letter,
            by_moment,
            address,
            boxed: Box::new(boxed),
            maybe_address,
            addresses,
            color,
            maybe_color,
            shape,
            tagged,
            adjacent,
            email: Email(email),
            price: Price { cents: cents.max(-i64::MAX) },
            discount: discount.map(|cents| Price { cents: cents.max(-i64::MAX) }),
            tint,
            r#type: kind,
            seen: false,
        },
    )
}
