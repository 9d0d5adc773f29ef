//! Values: borrowed as [`ValueRef`] while a row is looked at, owned as [`Value`] where they have to live.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use jiff::{Timestamp, civil};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::decimal::Decimal;
use crate::depth::nested;
use crate::error::Fault;
use crate::packed::PackedView;

/// A field's value as a row shows it: borrowed, `Copy`, and never allocated for.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// The row does not have the field. Not the same as [`Null`](Self::Null).
    Absent,
    /// The field is empty.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of any width.
    Int(i128),
    /// An integer that is greater than an `i128` can be; see [`uint`](Self::uint).
    Uint(u128),
    /// A floating-point number; an `f32` is widened.
    Float(f64),
    /// A single Unicode scalar value.
    Char(char),
    /// Text; also the name of a variant of an enum without data.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A UUID.
    Uuid(Uuid),
    /// A moment.
    Time(Timestamp),
    /// A day of the calendar.
    Date(civil::Date),
    /// A time of day.
    Clock(civil::Time),
    /// A day and a time of day, in no particular time zone.
    DateTime(civil::DateTime),
    /// A decimal number.
    Decimal(Decimal),
    /// A value of a Rust type that reaches further than what is stored. Storing, sending or comparing it is
    /// [`Fault::Range`]; the text says what there is room for.
    Unfit(&'static str),
    /// Values in order.
    List(Nested<'a>),
    /// Keys with values, sorted by key.
    Map(Nested<'a>),
    /// The fields of a nested struct, by position.
    Struct(Nested<'a>),
    /// A variant of an enum with data; [`Nested::variant`] names it.
    Variant(Nested<'a>),
}

/// One element of a composite.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// An element of a list, or a field of a struct or variant.
    Value(ValueRef<'a>),
    /// An entry of a map.
    Entry(ValueRef<'a>, ValueRef<'a>),
}

/// A visitor of the elements of a composite.
pub type Each<'a, 'f> = &'f mut dyn FnMut(Item<'a>) -> Result<(), Fault>;

/// A composite that lies in memory as a Rust value. Internal iteration, so that hash maps can be views too.
#[expect(clippy::len_without_is_empty, reason = "asked through `Nested`, which has it")]
pub trait View: Send + Sync {
    /// The number of elements.
    fn len(&self) -> usize;

    /// Calls `f` for each element, in the order in which it is stored.
    ///
    /// # Errors
    /// The first fault of `f`, or of an element that can't be shown.
    fn each<'a>(&'a self, f: Each<'a, '_>) -> Result<(), Fault>;

    /// The variant's name, for an enum with data.
    fn variant(&self) -> Option<&str>;
}

impl std::fmt::Debug for dyn View + '_ {
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

/// A composite in whatever form it lies in memory: no object is made for it.
#[derive(Clone, Copy, Debug)]
pub enum Nested<'a> {
    /// A Rust value.
    Live(&'a dyn View),
    /// A slice of a stored row, read through the shape that it was stored with.
    Packed(PackedView<'a>),
}

impl<'a> Nested<'a> {
    /// The number of elements.
    ///
    /// # Errors
    /// [`Fault::Malformed`] if the stored bytes are damaged.
    pub fn len(self) -> Result<usize, Fault> {
        match self {
            Self::Live(view) => Ok(view.len()),
            Self::Packed(view) => view.len(),
        }
    }

    /// True if there are no elements.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub fn is_empty(self) -> Result<bool, Fault> {
        self.len().map(|len| len == 0)
    }

    /// Calls `f` for each element in order.
    ///
    /// # Errors
    /// The first fault of `f`, or of an element that can't be shown.
    pub fn each(self, f: Each<'a, '_>) -> Result<(), Fault> {
        match self {
            Self::Live(view) => view.each(f),
            Self::Packed(view) => view.each(f),
        }
    }

    /// The variant's name, for an enum with data.
    ///
    /// # Errors
    /// [`Fault::Malformed`] if the stored bytes are damaged.
    pub fn variant(self) -> Result<Option<&'a str>, Fault> {
        match self {
            Self::Live(view) => Ok(view.variant()),
            Self::Packed(view) => view.variant(),
        }
    }

    /// The first `N` fields of a struct or variant, on the stack; what is not there is [`ValueRef::Absent`].
    ///
    /// # Errors
    /// The first fault of an element that can't be shown.
    pub fn fields<const N: usize>(self) -> Result<[ValueRef<'a>; N], Fault> {
        let mut fields = [ValueRef::Absent; N];
        let mut at = 0;
        self.each(&mut |item| {
            if let (Some(slot), Item::Value(value)) = (fields.get_mut(at), item) {
                *slot = value;
            }
            at += 1;
            Ok(())
        })?;
        Ok(fields)
    }
}

impl<'a> ValueRef<'a> {
    /// Shows an unsigned integer: as [`Int`](Self::Int) where that is wide enough, so that there is one way only.
    #[must_use]
    pub fn uint(value: u128) -> Self {
        i128::try_from(value).map_or(Self::Uint(value), Self::Int)
    }

    /// What the value is, for messages.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Int(_) | Self::Uint(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Char(_) => "a char",
            Self::Str(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Uuid(_) => "a uuid",
            Self::Time(_) => "a timestamp",
            Self::Date(_) => "a date",
            Self::Clock(_) => "a time of day",
            Self::DateTime(_) => "a date with a time",
            Self::Decimal(_) => "a decimal number",
            Self::Unfit(_) => "a value out of range",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Struct(_) => "a struct",
            Self::Variant(_) => "an enum variant",
        }
    }

    /// The fault of a value that is not what was expected.
    #[cold]
    #[must_use]
    pub fn mismatch(&self, expected: &'static str) -> Fault {
        match self {
            Self::Absent => Fault::Missing,
            Self::Unfit(expected) => Fault::Range { expected },
            other => Fault::Type { expected, found: other.describe() },
        }
    }

    /// True for [`Null`](Self::Null) and [`Absent`](Self::Absent): a query sees no difference.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::Absent)
    }

    /// An owned copy; absent becomes null.
    ///
    /// # Errors
    /// The first fault of an element that can't be shown.
    pub fn to_value(self) -> Result<Value, Fault> {
        Ok(match self {
            Self::Absent | Self::Null => Value::Null,
            Self::Bool(v) => Value::Bool(v),
            Self::Int(v) => Value::Int(v),
            Self::Uint(v) => Value::Uint(v),
            Self::Float(v) => Value::Float(v),
            Self::Char(v) => Value::Char(v),
            Self::Str(v) => Value::Str(v.into()),
            Self::Bytes(v) => Value::Bytes(v.into()),
            Self::Uuid(v) => Value::Uuid(v),
            Self::Time(v) => Value::Time(v),
            Self::Date(v) => Value::Date(v),
            Self::Clock(v) => Value::Clock(v),
            Self::DateTime(v) => Value::DateTime(v),
            Self::Decimal(v) => Value::Decimal(v),
            Self::Unfit(expected) => return Err(Fault::Range { expected }),
            Self::List(nested) => Value::List(collect(nested)?),
            Self::Struct(nested) => Value::Struct(collect(nested)?),
            Self::Variant(nested) => Value::Variant(Box::new(VariantValue {
                name: nested.variant()?.ok_or(Fault::Malformed)?.into(),
                fields: collect(nested)?,
            })),
            Self::Map(nested) => {
                let mut entries = Vec::with_capacity(nested.len()?);
                nested.each(&mut |item| {
                    if let Item::Entry(key, value) = item {
                        entries.push((key.to_value()?, value.to_value()?));
                    }
                    Ok(())
                })?;
                Value::Map(entries)
            }
        })
    }
}

fn collect(nested: Nested<'_>) -> Result<Vec<Value>, Fault> {
    let mut values = Vec::with_capacity(nested.len()?.min(1 << 16));
    nested.each(&mut |item| {
        if let Item::Value(value) = item {
            values.push(value.to_value()?);
        }
        Ok(())
    })?;
    Ok(values)
}

/// An owned value: operands of queries, fields of a [`Record`](crate::Record), defaults.
///
/// Equality here is *structural* (a NaN equals itself, `-0.0` and `0.0` differ), so that equal queries are equal and
/// hash alike; what a query's `eq` means stands in [`query`](crate::query).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of any width.
    Int(i128),
    /// An integer that is greater than an `i128` can be.
    Uint(u128),
    /// A floating-point number.
    Float(#[serde(with = "float_bits")] f64),
    /// A single Unicode scalar value.
    Char(char),
    /// Text, or the name of a variant of an enum without data.
    Str(Box<str>),
    /// Bytes.
    Bytes(Box<[u8]>),
    /// A UUID.
    Uuid(Uuid),
    /// A moment.
    Time(#[serde(with = "nanoseconds")] Timestamp),
    /// A day of the calendar.
    Date(civil::Date),
    /// A time of day.
    Clock(civil::Time),
    /// A day and a time of day.
    DateTime(civil::DateTime),
    /// A decimal number.
    Decimal(Decimal),
    /// Values in order.
    List(#[serde(with = "nested")] Vec<Value>),
    /// Keys with values, sorted by key.
    Map(#[serde(with = "nested")] Vec<(Value, Value)>),
    /// The fields of a nested struct, by position.
    Struct(#[serde(with = "nested")] Vec<Value>),
    /// A variant of an enum with data.
    Variant(#[serde(with = "nested")] Box<VariantValue>),
}

/// A variant of an enum with data, owned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VariantValue {
    /// The variant's name in the model.
    pub name: Box<str>,
    /// Its fields, by position.
    pub fields: Vec<Value>,
}

impl Value {
    /// The value, borrowed.
    #[must_use]
    pub fn show(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(v) => ValueRef::Bool(*v),
            Self::Int(v) => ValueRef::Int(*v),
            Self::Uint(v) => ValueRef::uint(*v),
            Self::Float(v) => ValueRef::Float(*v),
            Self::Char(v) => ValueRef::Char(*v),
            Self::Str(v) => ValueRef::Str(v),
            Self::Bytes(v) => ValueRef::Bytes(v),
            Self::Uuid(v) => ValueRef::Uuid(*v),
            Self::Time(v) => ValueRef::Time(*v),
            Self::Date(v) => ValueRef::Date(*v),
            Self::Clock(v) => ValueRef::Clock(*v),
            Self::DateTime(v) => ValueRef::DateTime(*v),
            Self::Decimal(v) => ValueRef::Decimal(*v),
            Self::List(v) => ValueRef::List(Nested::Live(v)),
            Self::Map(v) => ValueRef::Map(Nested::Live(v)),
            Self::Struct(v) => ValueRef::Struct(Nested::Live(v)),
            Self::Variant(v) => ValueRef::Variant(Nested::Live(&**v)),
        }
    }

    /// True for [`Null`](Self::Null).
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) => 2,
            Self::Float(_) => 3,
            Self::Char(_) => 4,
            Self::Str(_) => 5,
            Self::Bytes(_) => 6,
            Self::Uuid(_) => 7,
            Self::Time(_) => 8,
            Self::List(_) => 9,
            Self::Map(_) => 10,
            Self::Struct(_) => 11,
            Self::Variant(_) => 12,
            Self::Uint(_) => 13,
            Self::Date(_) => 14,
            Self::Clock(_) => 15,
            Self::DateTime(_) => 16,
            Self::Decimal(_) => 17,
        }
    }
}

macro_rules! from {
    ($($from:ty => |$value:ident| $to:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        }
    )*};
}

from! {
    bool => |v| Self::Bool(v);
    i8 => |v| Self::Int(v.into());
    i16 => |v| Self::Int(v.into());
    i32 => |v| Self::Int(v.into());
    i64 => |v| Self::Int(v.into());
    i128 => |v| Self::Int(v);
    u8 => |v| Self::Int(v.into());
    u16 => |v| Self::Int(v.into());
    u32 => |v| Self::Int(v.into());
    u64 => |v| Self::Int(v.into());
    f32 => |v| Self::Float(v.into());
    f64 => |v| Self::Float(v);
    char => |v| Self::Char(v);
    &str => |v| Self::Str(v.into());
    String => |v| Self::Str(v.into());
    Vec<u8> => |v| Self::Bytes(v.into());
    Uuid => |v| Self::Uuid(v);
    Timestamp => |v| Self::Time(v);
    Vec<Value> => |v| Self::List(v);
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b) == Ordering::Equal,
            (Self::Char(a), Self::Char(b)) => a == b,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Uuid(a), Self::Uuid(b)) => a == b,
            (Self::Time(a), Self::Time(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Clock(a), Self::Clock(b)) => a == b,
            (Self::DateTime(a), Self::DateTime(b)) => a == b,
            (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (Self::List(a), Self::List(b)) | (Self::Struct(a), Self::Struct(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Variant(a), Self::Variant(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Self::Null => {}
            Self::Bool(v) => v.hash(state),
            Self::Int(v) => v.hash(state),
            Self::Float(v) => v.to_bits().hash(state),
            Self::Char(v) => v.hash(state),
            Self::Str(v) => v.hash(state),
            Self::Bytes(v) => v.hash(state),
            Self::Uuid(v) => v.hash(state),
            Self::Time(v) => v.hash(state),
            Self::Uint(v) => v.hash(state),
            Self::Date(v) => v.hash(state),
            Self::Clock(v) => v.hash(state),
            Self::DateTime(v) => v.hash(state),
            Self::Decimal(v) => v.hash(state),
            Self::List(v) | Self::Struct(v) => v.hash(state),
            Self::Map(v) => v.hash(state),
            Self::Variant(v) => v.hash(state),
        }
    }
}

impl View for Vec<Value> {
    fn len(&self) -> usize {
        self.len()
    }

    fn each<'a>(&'a self, f: Each<'a, '_>) -> Result<(), Fault> {
        self.iter().try_for_each(|value| f(Item::Value(value.show())))
    }

    fn variant(&self) -> Option<&str> {
        None
    }
}

impl View for Vec<(Value, Value)> {
    fn len(&self) -> usize {
        self.len()
    }

    fn each<'a>(&'a self, f: Each<'a, '_>) -> Result<(), Fault> {
        self.iter().try_for_each(|(key, value)| f(Item::Entry(key.show(), value.show())))
    }

    fn variant(&self) -> Option<&str> {
        None
    }
}

impl View for VariantValue {
    fn len(&self) -> usize {
        self.fields.len()
    }

    fn each<'a>(&'a self, f: Each<'a, '_>) -> Result<(), Fault> {
        self.fields.each(f)
    }

    fn variant(&self) -> Option<&str> {
        Some(&self.name)
    }
}

/// Floats as their bits: a query with a NaN in it round-trips through JSON too.
mod float_bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}

mod nanoseconds {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_i128(value.as_nanosecond())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::from_nanosecond(i128::deserialize(from)?).map_err(de::Error::custom)
    }
}
