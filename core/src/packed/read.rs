//! Reads values from MessagePack, borrowed: nothing is allocated, and no length is believed before it is checked.

use jiff::{Timestamp, civil};
use rmp::Marker;
use uuid::Uuid;

use super::bind::{Bind, BoundVariant, Slot};
use super::ext;
use crate::decimal::Decimal;
use crate::error::Fault;
use crate::value::{Each, Item, Nested, ValueRef};

/// A composite as it lies in a stored row.
#[derive(Clone, Copy)]
pub struct PackedView<'a> {
    bytes: &'a [u8],
    bind: &'a Bind,
}

impl std::fmt::Debug for PackedView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut list = f.debug_list();
        let shown = self.each(&mut |item| {
            list.entry(&item);
            Ok(())
        });
        if let Err(fault) = shown {
            list.entry(&fault);
        }
        list.finish()
    }
}

impl<'a> PackedView<'a> {
    pub(crate) fn len(self) -> Result<usize, Fault> {
        match self.bind {
            Bind::Struct(slots) => Ok(slots.len()),
            Bind::Enum(_) | Bind::Grown(..) => Ok(self.bound_variant()?.0.slots.len()),
            Bind::Map(..) => Ok(Cursor(self.bytes).map()?),
            _ => Ok(Cursor(self.bytes).array()?),
        }
    }

    pub(crate) fn variant(self) -> Result<Option<&'a str>, Fault> {
        match self.bind {
            Bind::Enum(_) | Bind::Grown(..) => Ok(Some(self.bound_variant()?.0.name)),
            _ => Ok(None),
        }
    }

    pub(crate) fn each(self, f: Each<'a, '_>) -> Result<(), Fault> {
        let mut cursor = Cursor(self.bytes);
        match self.bind {
            Bind::List(of) => {
                for _ in 0..cursor.array()? {
                    f(Item::Value(cursor.value(of)?))?;
                }
                Ok(())
            }
            Bind::Map(of_key, of_value) => {
                for _ in 0..cursor.map()? {
                    f(Item::Entry(cursor.value(of_key)?, cursor.value(of_value)?))?;
                }
                Ok(())
            }
            Bind::Struct(slots) => {
                let len = cursor.array()?;
                slots_in_order(slots, cursor, len, f)
            }
            Bind::Enum(_) | Bind::Grown(..) => {
                let (variant, fields, len) = self.bound_variant()?;
                slots_in_order(&variant.slots, fields, len, f)
            }
            Bind::Scalar | Bind::Names(..) | Bind::Numbers(..) | Bind::Shrunk(_) => Err(Fault::Malformed),
        }
    }

    /// The variant, the bytes of its fields and their number.
    fn bound_variant(self) -> Result<(&'a BoundVariant, Cursor<'a>, usize), Fault> {
        let mut cursor = Cursor(self.bytes);
        match self.bind {
            Bind::Enum(variants) => {
                let (at, len) = cursor.variant()?;
                let variant = variants.get(at).ok_or(Fault::Malformed)?.as_ref().map_err(|gone| *gone)?;
                Ok((variant, cursor, len))
            }
            Bind::Grown(def, variants, gone) => {
                let ValueRef::Str(name) = cursor.scalar()? else {
                    return Err(Fault::Malformed);
                };
                let today = def.variant_in(super::DIALECT, name).ok_or(*gone)?;
                let variant = variants.iter().find(|variant| variant.name == today.name).ok_or(*gone)?;
                Ok((variant, cursor, 0))
            }
            _ => Err(Fault::Malformed),
        }
    }
}

/// Shows today's fields out of the stored ones. Fields mostly stand in the order of their slots, so this is one walk;
/// a field that was moved costs a second one.
fn slots_in_order<'a>(
    slots: &'a [Slot],
    start: Cursor<'a>,
    len: usize,
    f: Each<'a, '_>,
) -> Result<(), Fault> {
    let (mut cursor, mut position) = (start, 0);
    for slot in slots {
        let value = match slot {
            Slot::At(at, bind) => {
                let at = usize::from(*at);
                if at >= len {
                    return Err(Fault::Malformed);
                }
                if at < position {
                    (cursor, position) = (start, 0);
                }
                while position < at {
                    cursor.skip()?;
                    position += 1;
                }
                position += 1;
                cursor.value(bind)?
            }
            Slot::Default(value) => value.show(),
            Slot::Missing => ValueRef::Absent,
            Slot::Broken(fault) => return Err(*fault),
        };
        f(Item::Value(value))?;
    }
    Ok(())
}

/// Reads one value that fills `bytes`.
#[inline(always)]
pub(super) fn value<'a>(bytes: &'a [u8], bind: &'a Bind) -> Result<ValueRef<'a>, Fault> {
    match bind {
        Bind::Scalar => Cursor(bytes).scalar(),
        other => composite(bytes, other),
    }
}

#[inline(never)]
fn composite<'a>(bytes: &'a [u8], bind: &'a Bind) -> Result<ValueRef<'a>, Fault> {
    match bind {
        // Its end is known: it need not be gone through.
        Bind::List(_) | Bind::Map(..) | Bind::Struct(_) if !Cursor(bytes).is_null() => {
            Ok(nested(bytes, bind))
        }
        other => Cursor(bytes).value(other),
    }
}

/// The composite that fills `bytes`.
fn nested<'a>(bytes: &'a [u8], bind: &'a Bind) -> ValueRef<'a> {
    let nested = Nested::Packed(PackedView { bytes, bind });
    match bind {
        Bind::List(_) => ValueRef::List(nested),
        Bind::Map(..) => ValueRef::Map(nested),
        Bind::Struct(_) => ValueRef::Struct(nested),
        _ => ValueRef::Variant(nested),
    }
}

/// The markers of what keys, measurements and moments are, and of what is empty.
const UUID: u8 = 0xd8;
const FLOAT: u8 = 0xcb;
const LONG: u8 = 0xc7;
const NULL: u8 = 0xc0;

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    /// True if a nil comes next.
    pub(super) fn is_null(&self) -> bool {
        self.0.first() == Some(&Marker::Null.to_u8())
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Fault::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Fault::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    #[inline]
    fn marker(&mut self) -> Result<Marker, Fault> {
        self.chunk::<1>().map(|[byte]| Marker::from_u8(byte))
    }

    fn size(&mut self, width: u8) -> Result<usize, Fault> {
        Ok(match width {
            1 => usize::from(self.chunk::<1>()?[0]),
            2 => usize::from(u16::from_be_bytes(self.chunk()?)),
            _ => u32::from_be_bytes(self.chunk()?) as usize,
        })
    }

    /// A short text, which is not looked through.
    #[inline]
    pub(super) fn name(&mut self) -> Result<&'a [u8], Fault> {
        match self.marker()? {
            Marker::FixStr(len) => self.take(usize::from(len)),
            _ => Err(Fault::Malformed),
        }
    }

    /// The length of an array; never more than there are bytes left.
    pub(super) fn array(&mut self) -> Result<usize, Fault> {
        let len = match self.marker()? {
            Marker::FixArray(len) => usize::from(len),
            Marker::Array16 => self.size(2)?,
            Marker::Array32 => self.size(4)?,
            _ => return Err(Fault::Malformed),
        };
        if len > self.0.len() { Err(Fault::Malformed) } else { Ok(len) }
    }

    pub(super) fn map(&mut self) -> Result<usize, Fault> {
        let len = match self.marker()? {
            Marker::FixMap(len) => usize::from(len),
            Marker::Map16 => self.size(2)?,
            Marker::Map32 => self.size(4)?,
            _ => return Err(Fault::Malformed),
        };
        if len > self.0.len() { Err(Fault::Malformed) } else { Ok(len) }
    }

    /// The position of a variant, and the number of the fields that follow.
    pub(super) fn variant(&mut self) -> Result<(usize, usize), Fault> {
        let len = self.array()?.checked_sub(1).ok_or(Fault::Malformed)?;
        let ValueRef::Int(at) = self.scalar()? else {
            return Err(Fault::Malformed);
        };
        Ok((usize::try_from(at).map_err(|_| Fault::Malformed)?, len))
    }

    fn value(&mut self, bind: &'a Bind) -> Result<ValueRef<'a>, Fault> {
        match bind {
            Bind::Scalar => self.scalar(),
            Bind::Names(def, gone) => match self.scalar()? {
                ValueRef::Str(name) => def
                    .variant_in(super::DIALECT, name)
                    .map(|variant| ValueRef::Str(variant.name))
                    .ok_or(*gone),
                other => Ok(other),
            },
            Bind::Numbers(def, gone) => {
                let number = match self.scalar()? {
                    ValueRef::Int(number) => def.numbered(number).map(|_| number),
                    ValueRef::Str(name) => {
                        def.variant_in(super::DIALECT, name).and_then(|variant| def.number_of(variant.name))
                    }
                    other => return Ok(other),
                };
                number.map(ValueRef::Int).ok_or(*gone)
            }
            Bind::Shrunk(_) if self.is_null() => self.scalar(),
            Bind::Shrunk(names) => {
                let mut within = *self;
                self.skip()?;
                let (at, _) = within.variant()?;
                names.get(at).ok_or(Fault::Malformed)?.map(ValueRef::Str)
            }
            composite => {
                if self.is_null() {
                    self.take(1)?;
                    return Ok(ValueRef::Null);
                }
                let start = self.0;
                self.skip()?;
                Ok(nested(&start[..start.len() - self.0.len()], composite))
            }
        }
    }

    #[inline]
    pub(super) fn scalar(&mut self) -> Result<ValueRef<'a>, Fault> {
        // Most values are of these kinds, and there are many of them.
        match self.0 {
            [number @ 0..=0x7f, rest @ ..] => {
                self.0 = rest;
                Ok(ValueRef::Int((*number).into()))
            }
            [len @ 0xa0..=0xbf, rest @ ..] => {
                self.0 = rest;
                self.text(usize::from(*len & 0x1f))
            }
            [UUID, tag, rest @ ..] if tag.cast_signed() == ext::UUID => {
                let (id, rest) = rest.split_first_chunk::<16>().ok_or(Fault::Malformed)?;
                self.0 = rest;
                Ok(ValueRef::Uuid(Uuid::from_bytes(*id)))
            }
            [FLOAT, rest @ ..] => {
                let (bits, rest) = rest.split_first_chunk::<8>().ok_or(Fault::Malformed)?;
                self.0 = rest;
                Ok(ValueRef::Float(f64::from_be_bytes(*bits)))
            }
            [LONG, 12, tag, rest @ ..] if tag.cast_signed() == ext::TIME => {
                self.0 = rest;
                self.time()
            }
            [NULL, rest @ ..] => {
                self.0 = rest;
                Ok(ValueRef::Null)
            }
            _ => self.other_scalar(),
        }
    }

    fn other_scalar(&mut self) -> Result<ValueRef<'a>, Fault> {
        Ok(match self.marker()? {
            Marker::Null => ValueRef::Null,
            Marker::True => ValueRef::Bool(true),
            Marker::False => ValueRef::Bool(false),
            Marker::FixPos(v) => ValueRef::Int(v.into()),
            Marker::FixNeg(v) => ValueRef::Int(v.into()),
            Marker::U8 => ValueRef::Int(u8::from_be_bytes(self.chunk()?).into()),
            Marker::U16 => ValueRef::Int(u16::from_be_bytes(self.chunk()?).into()),
            Marker::U32 => ValueRef::Int(u32::from_be_bytes(self.chunk()?).into()),
            Marker::U64 => ValueRef::Int(u64::from_be_bytes(self.chunk()?).into()),
            Marker::I8 => ValueRef::Int(i8::from_be_bytes(self.chunk()?).into()),
            Marker::I16 => ValueRef::Int(i16::from_be_bytes(self.chunk()?).into()),
            Marker::I32 => ValueRef::Int(i32::from_be_bytes(self.chunk()?).into()),
            Marker::I64 => ValueRef::Int(i64::from_be_bytes(self.chunk()?).into()),
            Marker::F32 => ValueRef::Float(f32::from_be_bytes(self.chunk()?).into()),
            Marker::F64 => ValueRef::Float(f64::from_be_bytes(self.chunk()?)),
            Marker::FixStr(len) => self.text(usize::from(len))?,
            Marker::Str8 => self.size(1).and_then(|len| self.text(len))?,
            Marker::Str16 => self.size(2).and_then(|len| self.text(len))?,
            Marker::Str32 => self.size(4).and_then(|len| self.text(len))?,
            Marker::Bin8 => self.size(1).and_then(|len| self.take(len)).map(ValueRef::Bytes)?,
            Marker::Bin16 => self.size(2).and_then(|len| self.take(len)).map(ValueRef::Bytes)?,
            Marker::Bin32 => self.size(4).and_then(|len| self.take(len)).map(ValueRef::Bytes)?,
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.size(1).and_then(|len| self.extension(len))?,
            _ => return Err(Fault::Malformed),
        })
    }

    fn text(&mut self, len: usize) -> Result<ValueRef<'a>, Fault> {
        std::str::from_utf8(self.take(len)?).map(ValueRef::Str).map_err(|_| Fault::Malformed)
    }

    fn extension(&mut self, len: usize) -> Result<ValueRef<'a>, Fault> {
        let tag = i8::from_be_bytes(self.chunk()?);
        let mut body = Cursor(self.take(len)?);
        Ok(match tag {
            ext::CHAR => {
                ValueRef::Char(char::from_u32(u32::from_be_bytes(body.chunk()?)).ok_or(Fault::Malformed)?)
            }
            ext::UUID => ValueRef::Uuid(Uuid::from_bytes(body.chunk()?)),
            ext::INT => ValueRef::Int(i128::from_be_bytes(body.chunk()?)),
            ext::UINT => ValueRef::uint(u128::from_be_bytes(body.chunk()?)),
            ext::DATE => ValueRef::Date(body.date()?),
            ext::CLOCK => ValueRef::Clock(body.clock()?),
            ext::DATE_TIME => ValueRef::DateTime(civil::DateTime::from_parts(body.date()?, body.clock()?)),
            ext::DECIMAL => ValueRef::Decimal(body.decimal()?),
            ext::TIME => body.time()?,
            _ => return Err(Fault::Malformed),
        })
    }

    #[inline]
    fn time(&mut self) -> Result<ValueRef<'a>, Fault> {
        let (second, nanosecond) = (i64::from_be_bytes(self.chunk()?), i32::from_be_bytes(self.chunk()?));
        Timestamp::new(second, nanosecond).map(ValueRef::Time).map_err(|_| Fault::Malformed)
    }

    fn date(&mut self) -> Result<civil::Date, Fault> {
        let year = i16::from_be_bytes(self.chunk()?);
        let [month, day] = self.chunk()?.map(u8::cast_signed);
        civil::Date::new(year, month, day).map_err(|_| Fault::Malformed)
    }

    fn clock(&mut self) -> Result<civil::Time, Fault> {
        let [hour, minute, second] = self.chunk()?.map(u8::cast_signed);
        let nanosecond = i32::from_be_bytes(self.chunk()?);
        civil::Time::new(hour, minute, second, nanosecond).map_err(|_| Fault::Malformed)
    }

    fn decimal(&mut self) -> Result<Decimal, Fault> {
        let [head] = self.chunk()?;
        let digits = self.take(self.0.len())?;
        if digits.len() > 12 {
            return Err(Fault::Malformed);
        }
        let magnitude = digits.iter().fold(0_i128, |sum, byte| (sum << 8) | i128::from(*byte));
        let coefficient = if head & 0x80 == 0 { magnitude } else { -magnitude };
        Decimal::new(coefficient, head & 0x7f).ok_or(Fault::Malformed)
    }

    /// Goes past one value, however deep it is, without recursion.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            let (bytes, children) = match self.marker()? {
                Marker::Null | Marker::True | Marker::False | Marker::FixPos(_) | Marker::FixNeg(_) => (0, 0),
                Marker::U8 | Marker::I8 => (1, 0),
                Marker::U16 | Marker::I16 => (2, 0),
                Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
                Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
                Marker::FixStr(len) => (usize::from(len), 0),
                Marker::Str8 | Marker::Bin8 => (self.size(1)?, 0),
                Marker::Str16 | Marker::Bin16 => (self.size(2)?, 0),
                Marker::Str32 | Marker::Bin32 => (self.size(4)?, 0),
                Marker::FixExt1 => (2, 0),
                Marker::FixExt2 => (3, 0),
                Marker::FixExt4 => (5, 0),
                Marker::FixExt8 => (9, 0),
                Marker::FixExt16 => (17, 0),
                Marker::Ext8 => (self.size(1)? + 1, 0),
                Marker::FixArray(len) => (0, usize::from(len)),
                Marker::Array16 => (0, self.size(2)?),
                Marker::Array32 => (0, self.size(4)?),
                Marker::FixMap(len) => (0, 2 * usize::from(len)),
                Marker::Map16 => (0, 2 * self.size(2)?),
                Marker::Map32 => (0, self.size(4)?.checked_mul(2).ok_or(Fault::Malformed)?),
                Marker::Ext16 | Marker::Ext32 | Marker::Reserved => return Err(Fault::Malformed),
            };
            self.take(bytes)?;
            left = left.checked_add(children).ok_or(Fault::Malformed)?;
            if left > self.0.len() {
                return Err(Fault::Malformed);
            }
        }
        Ok(())
    }
}
