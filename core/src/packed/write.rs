//! Writes values as MessagePack.

use jiff::civil;
use rmp::encode as mp;

use super::ext;
use crate::decimal::Decimal;
use crate::error::Fault;
use crate::kind::Kind;
use crate::schema::FieldDef;
use crate::value::{Item, Nested, ValueRef};

/// Appends `value`, which is of type `kind`.
pub(super) fn value(out: &mut Vec<u8>, value: ValueRef<'_>, kind: &Kind) -> Result<(), Fault> {
    let kind = kind.inner();
    match value {
        ValueRef::Absent | ValueRef::Null => sized(mp::write_nil(out)),
        ValueRef::Bool(v) => sized(mp::write_bool(out, v)),
        ValueRef::Int(v) => int(out, v),
        ValueRef::Uint(v) => extension(out, ext::UINT, &v.to_be_bytes()),
        ValueRef::Float(v) => sized(mp::write_f64(out, v)),
        ValueRef::Char(v) => extension(out, ext::CHAR, &u32::from(v).to_be_bytes()),
        ValueRef::Str(v) => sized(mp::write_str(out, stored_name(v, kind))),
        ValueRef::Bytes(v) => sized(mp::write_bin(out, v)),
        ValueRef::Uuid(v) => extension(out, ext::UUID, v.as_bytes()),
        ValueRef::Time(v) => {
            let mut bytes = [0; 12];
            bytes[..8].copy_from_slice(&v.as_second().to_be_bytes());
            bytes[8..].copy_from_slice(&v.subsec_nanosecond().to_be_bytes());
            extension(out, ext::TIME, &bytes)
        }
        ValueRef::Date(v) => extension(out, ext::DATE, &date(v)),
        ValueRef::Clock(v) => extension(out, ext::CLOCK, &clock(v)),
        ValueRef::DateTime(v) => {
            let mut bytes = [0; 11];
            bytes[..4].copy_from_slice(&date(v.date()));
            bytes[4..].copy_from_slice(&clock(v.time()));
            extension(out, ext::DATE_TIME, &bytes)
        }
        ValueRef::Decimal(v) => decimal(out, v),
        ValueRef::Unfit(_) => Err(mismatch(value, kind)),
        ValueRef::List(nested) => {
            let Kind::List(of) = kind else {
                return Err(mismatch(value, kind));
            };
            array(out, nested.len()?)?;
            nested.each(&mut |item| match item {
                Item::Value(element) => self::value(out, element, of),
                Item::Entry(..) => Err(Fault::Malformed),
            })
        }
        ValueRef::Map(nested) => {
            let Kind::Map(of_key, of_value) = kind else {
                return Err(mismatch(value, kind));
            };
            mp::write_map_len(out, length(nested.len()?)?).map_err(|_| Fault::Malformed)?;
            nested.each(&mut |item| match item {
                Item::Entry(key, element) => {
                    self::value(out, key, of_key)?;
                    self::value(out, element, of_value)
                }
                Item::Value(_) => Err(Fault::Malformed),
            })
        }
        ValueRef::Struct(nested) => {
            let Kind::Struct(def) = kind else {
                return Err(mismatch(value, kind));
            };
            array(out, def.fields.len())?;
            fields(out, nested, def.fields)
        }
        ValueRef::Variant(nested) => {
            let Kind::Enum(def) = kind else {
                return Err(mismatch(value, kind));
            };
            let name = nested.variant()?.ok_or(Fault::Variant)?;
            let at = def.variants.iter().position(|variant| variant.name == name).ok_or(Fault::Variant)?;
            let variant = &def.variants[at];
            array(out, variant.fields.len() + 1)?;
            int(out, at as i128)?;
            fields(out, nested, variant.fields)
        }
    }
}

/// A text, or the name that the variant of an enum without data has in the store.
fn stored_name<'v>(text: &'v str, kind: &Kind) -> &'v str {
    match kind {
        Kind::Enum(def) => def.variant(text).map_or(text, |variant| variant.name_in(super::DIALECT)),
        _ => text,
    }
}

fn fields(out: &mut Vec<u8>, nested: Nested<'_>, defs: &'static [FieldDef]) -> Result<(), Fault> {
    let mut defs = defs.iter();
    nested.each(&mut |item| match (item, defs.next()) {
        (Item::Value(element), Some(def)) => value(out, element, &def.kind),
        _ => Err(Fault::Malformed),
    })?;
    if defs.next().is_some() { Err(Fault::Missing) } else { Ok(()) }
}

fn int(out: &mut Vec<u8>, value: i128) -> Result<(), Fault> {
    if let Ok(value) = i64::try_from(value) {
        sized(mp::write_sint(out, value))
    } else if let Ok(value) = u64::try_from(value) {
        sized(mp::write_uint(out, value))
    } else {
        extension(out, ext::INT, &value.to_be_bytes())
    }
}

fn date(of: civil::Date) -> [u8; 4] {
    let [y0, y1] = of.year().to_be_bytes();
    [y0, y1, of.month().cast_unsigned(), of.day().cast_unsigned()]
}

fn clock(of: civil::Time) -> [u8; 7] {
    let [hour, minute, second] = [of.hour(), of.minute(), of.second()].map(i8::cast_unsigned);
    let [n0, n1, n2, n3] = of.subsec_nanosecond().to_be_bytes();
    [hour, minute, second, n0, n1, n2, n3]
}

fn decimal(out: &mut Vec<u8>, value: Decimal) -> Result<(), Fault> {
    let coefficient = value.coefficient();
    let digits = coefficient.unsigned_abs().to_be_bytes();
    let zeros = digits.iter().take_while(|byte| **byte == 0).count();
    // One place of them is the head's.
    let mut bytes = [0; 17];
    bytes[1..].copy_from_slice(&digits);
    bytes[zeros] = value.scale() | if coefficient < 0 { 0x80 } else { 0 };
    extension(out, ext::DECIMAL, &bytes[zeros..])
}

fn extension(out: &mut Vec<u8>, tag: i8, bytes: &[u8]) -> Result<(), Fault> {
    mp::write_ext_meta(out, length(bytes.len())?, tag).map_err(|_| Fault::Malformed)?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn array(out: &mut Vec<u8>, len: usize) -> Result<(), Fault> {
    mp::write_array_len(out, length(len)?).map(drop).map_err(|_| Fault::Malformed)
}

fn length(len: usize) -> Result<u32, Fault> {
    u32::try_from(len).map_err(|_| Fault::Range { expected: "2^32 elements" })
}

/// A `Vec` does not refuse bytes.
fn sized<T, E>(written: Result<T, E>) -> Result<(), Fault> {
    written.map(drop).map_err(|_| Fault::Malformed)
}

fn mismatch(value: ValueRef<'_>, kind: &Kind) -> Fault {
    value.mismatch(kind.name())
}
