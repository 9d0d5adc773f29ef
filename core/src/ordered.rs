//! Bytes that sort as the values do: keys and index entries.
//!
//! Each value is a tag and a payload that no other payload is a prefix of, so values can be strung together:
//! integers by length and then big-endian, text and bytes with zeros escaped and a terminator, floats by their total
//! order, decimal numbers by what they are worth. Comparing two encodings with `memcmp` equals comparing the values with [`eval::order`].

use jiff::civil;

use crate::decimal::Decimal;
use crate::error::Fault;
use crate::key::Key;
use crate::query::eval;
use crate::value::{Item, Nested, ValueRef};

/// The most bytes of an encoded key, and of an index entry: what is longer is refused before anything is written.
pub const LONGEST: usize = 1 << 20;

const NULL: u8 = 0x05;
const FALSE: u8 = 0x10;
const TRUE: u8 = 0x11;
/// Tag of the integer zero; up to sixteen bytes of magnitude on either side.
const ZERO: u8 = 0x40;
const FLOAT: u8 = 0x60;
const DECIMAL: u8 = 0x62;
const CHAR: u8 = 0x64;
const STR: u8 = 0x68;
const BYTES: u8 = 0x6c;
const UUID: u8 = 0x70;
const TIME: u8 = 0x74;
const DATE: u8 = 0x75;
const CLOCK: u8 = 0x76;
const DATE_TIME: u8 = 0x77;
const LIST: u8 = 0x78;
const MAP: u8 = 0x7c;
const STRUCT: u8 = 0x80;
const VARIANT: u8 = 0x84;
const COMPOSITE: u8 = 0x88;
/// Ends a composite; lower than every tag.
const END: u8 = 0x01;

/// Appends the encoding of `value`.
///
/// # Errors
/// The fault of an element that can't be shown.
pub fn encode(value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    match value {
        ValueRef::Absent | ValueRef::Null => out.push(NULL),
        ValueRef::Bool(v) => out.push(if v { TRUE } else { FALSE }),
        ValueRef::Int(v) => encode_int(v, out),
        ValueRef::Uint(v) => encode_magnitude(v, out),
        ValueRef::Float(v) => {
            out.push(FLOAT);
            out.extend_from_slice(&eval::float_rank(v).to_be_bytes());
        }
        ValueRef::Char(v) => {
            out.push(CHAR);
            out.extend_from_slice(&u32::from(v).to_be_bytes());
        }
        ValueRef::Str(v) => encode_bytes(STR, v.as_bytes(), out),
        ValueRef::Bytes(v) => encode_bytes(BYTES, v, out),
        ValueRef::Uuid(v) => {
            out.push(UUID);
            out.extend_from_slice(v.as_bytes());
        }
        ValueRef::Time(v) => {
            out.push(TIME);
            encode_int(v.as_nanosecond(), out);
        }
        ValueRef::Date(v) => encode_date(v, out),
        ValueRef::Clock(v) => {
            out.push(CLOCK);
            clock_bytes(v, out);
        }
        ValueRef::DateTime(v) => {
            out.push(DATE_TIME);
            date_bytes(v.date(), out);
            clock_bytes(v.time(), out);
        }
        ValueRef::Decimal(v) => encode_decimal(v, out),
        ValueRef::Unfit(expected) => return Err(Fault::Range { expected }),
        ValueRef::List(nested) => encode_nested(LIST, nested, out)?,
        ValueRef::Map(nested) => encode_nested(MAP, nested, out)?,
        ValueRef::Struct(nested) => encode_nested(STRUCT, nested, out)?,
        ValueRef::Variant(nested) => {
            out.push(VARIANT);
            encode_bytes(STR, nested.variant()?.unwrap_or_default().as_bytes(), out);
            encode_nested(STRUCT, nested, out)?;
        }
    }
    Ok(())
}

/// Appends the encoding of `key`.
pub fn encode_key(key: &Key, out: &mut Vec<u8>) {
    match key {
        Key::Singleton => out.push(NULL),
        Key::Bool(v) => out.push(if *v { TRUE } else { FALSE }),
        Key::Int(v) => encode_int(*v, out),
        Key::Uint(v) => encode_magnitude(*v, out),
        Key::Date(v) => encode_date(*v, out),
        Key::Str(v) => encode_bytes(STR, v.as_bytes(), out),
        Key::Bytes(v) => encode_bytes(BYTES, v, out),
        Key::Uuid(v) => {
            out.push(UUID);
            out.extend_from_slice(v.as_bytes());
        }
        Key::Composite(parts) => {
            out.push(COMPOSITE);
            parts.iter().for_each(|part| encode_key(part, out));
            out.push(END);
        }
    }
}

/// How deep composite keys may nest: stored bytes are not trusted to end.
const DEPTH: usize = 16;

/// Reads a key back from the front of `bytes`; gives the rest as well.
///
/// # Errors
/// [`Fault::Malformed`] if the bytes are no key.
pub fn decode_key(bytes: &[u8]) -> Result<(Key, &[u8]), Fault> {
    decode_part(bytes, DEPTH)
}

fn decode_part(bytes: &[u8], depth: usize) -> Result<(Key, &[u8]), Fault> {
    let (&tag, rest) = bytes.split_first().ok_or(Fault::Malformed)?;
    Ok(match tag {
        NULL => (Key::Singleton, rest),
        FALSE => (Key::Bool(false), rest),
        TRUE => (Key::Bool(true), rest),
        STR => {
            let (text, rest) = decode_bytes(rest)?;
            let text = String::from_utf8(text).map_err(|_| Fault::Malformed)?;
            (Key::Str(text.into()), rest)
        }
        BYTES => {
            let (bytes, rest) = decode_bytes(rest)?;
            (Key::Bytes(bytes.into()), rest)
        }
        UUID => {
            let (id, rest) = rest.split_first_chunk::<16>().ok_or(Fault::Malformed)?;
            (Key::Uuid(uuid::Uuid::from_bytes(*id)), rest)
        }
        DATE => {
            let ([y0, y1, month, day], rest) = rest.split_first_chunk::<4>().ok_or(Fault::Malformed)?;
            let year = (u16::from_be_bytes([*y0, *y1]) ^ YEAR_ZERO).cast_signed();
            let date = civil::Date::new(year, month.cast_signed(), day.cast_signed());
            (Key::Date(date.map_err(|_| Fault::Malformed)?), rest)
        }
        COMPOSITE => {
            let depth = depth.checked_sub(1).ok_or(Fault::Malformed)?;
            let (mut parts, mut rest) = (Vec::new(), rest);
            while rest.first() != Some(&END) {
                let (part, after) = decode_part(rest, depth)?;
                parts.push(part);
                rest = after;
            }
            (Key::Composite(parts.into()), &rest[1..])
        }
        _ => decode_int(tag, rest)?,
    })
}

/// The least byte string that sorts after everything that begins with `prefix`; `None` if there is none.
#[must_use]
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=keep].to_vec();
    end[keep] += 1;
    Some(end)
}

fn encode_int(value: i128, out: &mut Vec<u8>) {
    let start = out.len();
    encode_magnitude(value.unsigned_abs(), out);
    if value < 0 {
        out[start] = ZERO - (out[start] - ZERO);
        out[start + 1..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

fn encode_magnitude(magnitude: u128, out: &mut Vec<u8>) {
    let len = (16 - magnitude.leading_zeros() / 8) as u8;
    out.push(ZERO + len);
    out.extend_from_slice(&magnitude.to_be_bytes()[16 - usize::from(len)..]);
}

fn decode_int(tag: u8, rest: &[u8]) -> Result<(Key, &[u8]), Fault> {
    let len = usize::from(tag.abs_diff(ZERO));
    let negative = tag < ZERO;
    if len > 16 || rest.len() < len {
        return Err(Fault::Malformed);
    }
    let (bytes, rest) = rest.split_at(len);
    let magnitude =
        bytes.iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(if negative { !byte } else { *byte }));
    let key = if negative { Key::Int(0_i128.wrapping_sub_unsigned(magnitude)) } else { Key::from(magnitude) };
    Ok((key, rest))
}

/// Turns the sign bit of a year, so that years before 0 sort before those after.
const YEAR_ZERO: u16 = 0x8000;

fn encode_date(date: civil::Date, out: &mut Vec<u8>) {
    out.push(DATE);
    date_bytes(date, out);
}

fn date_bytes(date: civil::Date, out: &mut Vec<u8>) {
    out.extend_from_slice(&(date.year().cast_unsigned() ^ YEAR_ZERO).to_be_bytes());
    out.extend([date.month(), date.day()].map(i8::cast_unsigned));
}

fn clock_bytes(time: civil::Time, out: &mut Vec<u8>) {
    out.extend([time.hour(), time.minute(), time.second()].map(i8::cast_unsigned));
    out.extend_from_slice(&time.subsec_nanosecond().to_be_bytes());
}

/// The sign, the place of the first digit, and two digits a byte up to a terminator; all but the sign is turned over
/// below zero. Zeros at the end are not there: what is worth the same is encoded alike.
fn encode_decimal(value: Decimal, out: &mut Vec<u8>) {
    let normal = value.normal();
    out.extend([DECIMAL, normal.sign.cast_unsigned() ^ 0x80]);
    if normal.sign == 0 {
        return;
    }
    let start = out.len();
    out.push(normal.place.cast_unsigned() ^ 0x80);
    let pairs = normal.digits().chunks(2);
    out.extend(pairs.map(|pair| 1 + 10 * pair[0] + pair.get(1).copied().unwrap_or(0)));
    out.push(0);
    if normal.sign < 0 {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// Zeros are escaped as `00 ff`; `00 00` ends the text, so a text sorts before its continuations.
fn encode_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

fn decode_bytes(bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), Fault> {
    let mut text = Vec::new();
    let mut at = 0;
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(0), Some(0)) => return Ok((text, &bytes[at + 2..])),
            (Some(0), Some(0xff)) => {
                text.push(0);
                at += 2;
            }
            (Some(0) | None, _) => return Err(Fault::Malformed),
            (Some(byte), _) => {
                text.push(*byte);
                at += 1;
            }
        }
    }
}

/// The encoding of a text up to its terminator: what all texts that begin with `text` have in common.
pub fn encode_text_prefix(text: &str, out: &mut Vec<u8>) {
    encode_bytes(STR, text.as_bytes(), out);
    out.truncate(out.len() - 2);
}

fn encode_nested(tag: u8, nested: Nested<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.push(tag);
    nested.each(&mut |item| match item {
        Item::Value(value) => encode(value, out),
        Item::Entry(key, value) => {
            encode(key, out)?;
            encode(value, out)
        }
    })?;
    out.push(END);
    Ok(())
}
