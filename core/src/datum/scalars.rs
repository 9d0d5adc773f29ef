//! The types of the standard library that hold one value, and UUIDs.

use std::borrow::Cow;
use std::sync::Arc;

use uuid::Uuid;

use super::Datum;
use crate::error::Fault;
use crate::kind::{IntKind, Kind};
use crate::value::ValueRef;

macro_rules! integers {
    ($($int:ident $kind:ident),* $(,)?) => {$(
        impl Datum for $int {
            const KIND: Kind = Kind::Int(IntKind::$kind);

            fn show(&self) -> ValueRef<'_> {
                ValueRef::Int(i128::from(*self))
            }

            #[inline]
            fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
                match value {
                    ValueRef::Int(v) => Self::try_from(v).map_err(|_| Fault::Range { expected: stringify!($int) }),
                    ValueRef::Uint(_) => Err(Fault::Range { expected: stringify!($int) }),
                    other => Err(other.mismatch("an integer")),
                }
            }
        }
    )*};
}

integers!(i8 I8, i16 I16, i32 I32, i64 I64, i128 I128, u16 U16, u32 U32, u64 U64);

impl Datum for u8 {
    const KIND: Kind = Kind::Int(IntKind::U8);
    const LIST: Kind = Kind::Bytes;

    fn show(&self) -> ValueRef<'_> {
        ValueRef::Int(i128::from(*self))
    }

    #[inline]
    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Int(v) => Self::try_from(v).map_err(|_| Fault::Range { expected: "u8" }),
            ValueRef::Uint(_) => Err(Fault::Range { expected: "u8" }),
            other => Err(other.mismatch("an integer")),
        }
    }

    fn as_bytes(list: &[Self]) -> Option<&[u8]> {
        Some(list)
    }

    fn take_each(value: ValueRef<'_>, put: &mut dyn FnMut(Self)) -> Result<(), Fault> {
        match value {
            ValueRef::Bytes(bytes) => {
                bytes.iter().copied().for_each(put);
                Ok(())
            }
            other => Err(other.mismatch("bytes")),
        }
    }

    fn take_list(value: ValueRef<'_>) -> Result<Vec<Self>, Fault> {
        match value {
            ValueRef::Bytes(bytes) => Ok(bytes.to_vec()),
            other => Err(other.mismatch("bytes")),
        }
    }
}

impl Datum for u128 {
    const KIND: Kind = Kind::Int(IntKind::U128);

    fn show(&self) -> ValueRef<'_> {
        ValueRef::uint(*self)
    }

    #[inline]
    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Uint(v) => Ok(v),
            ValueRef::Int(v) => Self::try_from(v).map_err(|_| Fault::Range { expected: "u128" }),
            other => Err(other.mismatch("an integer")),
        }
    }
}

macro_rules! sizes {
    ($($int:ident $kind:ident $wide:ident),* $(,)?) => {$(
        impl Datum for $int {
            const KIND: Kind = Kind::Int(IntKind::$kind);

            fn show(&self) -> ValueRef<'_> {
                ValueRef::Int(*self as i128)
            }

            #[inline]
            fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
                Self::try_from($wide::take(value)?).map_err(|_| Fault::Range { expected: stringify!($int) })
            }
        }
    )*};
}

sizes!(isize I64 i64, usize U64 u64);

impl Datum for bool {
    const KIND: Kind = Kind::Bool;

    fn show(&self) -> ValueRef<'_> {
        ValueRef::Bool(*self)
    }

    #[inline]
    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Bool(v) => Ok(v),
            other => Err(other.mismatch("a bool")),
        }
    }
}

impl Datum for f64 {
    const KIND: Kind = Kind::F64;

    fn show(&self) -> ValueRef<'_> {
        ValueRef::Float(*self)
    }

    #[inline]
    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Float(v) => Ok(v),
            other => Err(other.mismatch("a float")),
        }
    }
}

impl Datum for f32 {
    const KIND: Kind = Kind::F32;

    fn show(&self) -> ValueRef<'_> {
        ValueRef::Float(f64::from(*self))
    }

    #[inline]
    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        let wide = f64::take(value)?;
        #[allow(clippy::cast_possible_truncation, reason = "checked below: only the range can be lost")]
        let narrow = wide as Self;
        if narrow.is_infinite() && wide.is_finite() {
            return Err(Fault::Range { expected: "f32" });
        }
        Ok(narrow)
    }
}

impl Datum for char {
    const KIND: Kind = Kind::Char;

    fn show(&self) -> ValueRef<'_> {
        ValueRef::Char(*self)
    }

    #[inline]
    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Char(v) => Ok(v),
            other => Err(other.mismatch("a char")),
        }
    }
}

macro_rules! texts {
    ($($text:ty),* $(,)?) => {$(
        impl Datum for $text {
            const KIND: Kind = Kind::Str;

            fn show(&self) -> ValueRef<'_> {
                ValueRef::Str(self)
            }

            #[inline]
            fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
                match value {
                    ValueRef::Str(v) => Ok(v.to_owned().into()),
                    other => Err(other.mismatch("a string")),
                }
            }
        }
    )*};
}

texts!(String, Box<str>, Cow<'static, str>);

impl Datum for Arc<str> {
    const KIND: Kind = Kind::Str;

    fn show(&self) -> ValueRef<'_> {
        ValueRef::Str(self)
    }

    #[inline]
    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Str(v) => Ok(v.into()),
            other => Err(other.mismatch("a string")),
        }
    }
}

impl Datum for Uuid {
    const KIND: Kind = Kind::Uuid;

    fn show(&self) -> ValueRef<'_> {
        ValueRef::Uuid(*self)
    }

    #[inline]
    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Uuid(v) => Ok(v),
            other => Err(other.mismatch("a uuid")),
        }
    }
}
