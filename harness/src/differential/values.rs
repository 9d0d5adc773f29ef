//! Makes values of every type: out of few, so that they meet again and again.

use std::collections::BTreeSet;

use jiff::{Timestamp, civil};
use larder_core::value::VariantValue;
use larder_core::{EnumDef, IntKind, Key, Kind, Value};
use uuid::Uuid;

use super::generate::Limits;
use crate::oracle::FOLDINGS;
use crate::random::Random;

/// A value of a type, out of few.
pub(crate) fn value(kind: &Kind, limits: Limits, random: &mut Random) -> Value {
    match kind {
        Kind::Option(_) if random.chance(30) => Value::Null,
        Kind::Option(inner) => value(inner, limits, random),
        Kind::Bool => Value::Bool(random.chance(50)),
        Kind::Int(IntKind::U128) if random.chance(20) => {
            Value::Uint(*random.pick(&[u128::MAX, 1 << 127, (1 << 127) + 1]))
        }
        Kind::Int(int) => Value::Int(integer(*int, random)),
        Kind::As(def) => value(&def.kind, limits, random),
        Kind::Date => Value::Date(day(random)),
        Kind::Clock => Value::Clock(clock(random)),
        Kind::DateTime => Value::DateTime(day(random).to_datetime(clock(random))),
        Kind::Decimal => {
            let digits =
                random.pick(&["0", "0.00", "-1", "1.5", "1.50", "1.05", "-0.05", "10", "1e-9", "7e20"]);
            Value::Decimal(digits.parse().unwrap_or_else(|_| panic!("{digits} is no decimal")))
        }
        Kind::F32 => Value::Float(f64::from(float(limits, random) as f32)),
        Kind::F64 => Value::Float(float(limits, random)),
        Kind::Char => Value::Char(letter(random)),
        Kind::Str => Value::Str((0..random.below(5)).map(|_| letter(random)).collect::<String>().into()),
        Kind::Bytes => Value::Bytes((0..random.below(4)).map(|_| *random.pick(&[0, 1, 127, 255])).collect()),
        Kind::Uuid => Value::Uuid(Uuid::from_u128(u128::from(random.draw() % 4) << 96)),
        Kind::Time => Value::Time(moment(random)),
        Kind::List(of) => Value::List((0..random.below(4)).map(|_| value(of, limits, random)).collect()),
        Kind::Map(of_key, of) => {
            let key = |random: &mut Random| match of_key {
                Kind::Str => Key::from(letter(random).to_string()),
                Kind::Int(int) => Key::Int(integer(*int, random)),
                other => panic!("the generator does not know maps of the type {}", other.name()),
            };
            let keys: BTreeSet<Key> = (0..random.below(4)).map(|_| key(random)).collect();
            let entry = |key: Key| (key.to_value(), value(of, limits, random));
            Value::Map(keys.into_iter().map(entry).collect())
        }
        Kind::Struct(def) => {
            Value::Struct(def.fields.iter().map(|field| value(&field.kind, limits, random)).collect())
        }
        Kind::Enum(def) => variant(def, limits, random),
        other => panic!("the generator does not know the type {}", other.name()),
    }
}

fn variant(def: &'static EnumDef, limits: Limits, random: &mut Random) -> Value {
    if let Some(numbers) = def.numbers() {
        return Value::Int(*random.pick(numbers));
    }
    let chosen = random.pick(def.variants);
    if def.is_unit() {
        return Value::Str(chosen.name.into());
    }
    let fields = chosen.fields.iter().map(|field| value(&field.kind, limits, random)).collect();
    Value::Variant(Box::new(VariantValue { name: chosen.name.into(), fields }))
}

fn integer(kind: IntKind, random: &mut Random) -> i128 {
    let (least, greatest) = kind.range();
    let near = [0, 1, -1, 2, 9, 10, least, greatest, least.saturating_add(1), 255, 256, 65_536];
    (*random.pick(&near)).clamp(least, greatest)
}

fn float(limits: Limits, random: &mut Random) -> f64 {
    let finite = [0.0, -0.0, 1.0, -1.0, 0.1, 1e30, -1e-30, 2.5];
    let others = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    if !limits.finite && random.chance(25) { *random.pick(&others) } else { *random.pick(&finite) }
}

fn letter(random: &mut Random) -> char {
    if random.chance(25) {
        let (from, to) = *random.pick(&FOLDINGS);
        return if random.chance(50) { from } else { to };
    }
    *random.pick(&['a', 'b', 'A', 'B', 'k', 's', '%', '_', ' ', 'z', '\0', '\u{ffff}', '\u{1f600}'])
}

fn day(random: &mut Random) -> civil::Date {
    *random.pick(&[
        civil::date(-1, 12, 31),
        civil::date(1969, 1, 2),
        civil::date(1970, 1, 1),
        civil::Date::MAX,
    ])
}

fn clock(random: &mut Random) -> civil::Time {
    *random.pick(&[
        civil::time(0, 0, 0, 0),
        civil::time(0, 0, 0, 1),
        civil::time(9, 30, 0, 0),
        civil::Time::MAX,
    ])
}

fn moment(random: &mut Random) -> Timestamp {
    let nanoseconds = *random.pick(&[0, 1, -1, 1_700_000_000_000_000_000, 1_700_000_000_000_000_001]);
    Timestamp::from_nanosecond(nanoseconds).unwrap_or_default()
}

/// A value for a field of the key: out of more, so that there are enough, and nothing that a path can't hold.
pub(crate) fn key_part(kind: &Kind, random: &mut Random) -> Value {
    match kind {
        Kind::Int(IntKind::I32) => Value::Int((random.draw() % 7) as i128 - 3),
        Kind::Int(int) => Value::Int(if random.chance(20) {
            integer(*int, random)
        } else {
            (random.draw() % 90) as i128 - 30
        }),
        Kind::Str => {
            let more = 1 + random.below(3);
            Value::Str((0..more).map(|_| letter(random)).collect::<String>().into())
        }
        Kind::Bytes => Value::Bytes((0..=random.below(3)).map(|_| (random.draw() % 5) as u8).collect()),
        Kind::Uuid => Value::Uuid(Uuid::from_u128(u128::from(random.draw() % 64) << 90)),
        Kind::Time => {
            Value::Time(Timestamp::from_nanosecond((random.draw() % 100) as i128 - 50).unwrap_or_default())
        }
        other => panic!("the generator does not know keys of the type {}", other.name()),
    }
}
