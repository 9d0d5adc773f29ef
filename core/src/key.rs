//! The key of a row.

use std::fmt;
use std::sync::Arc;

use jiff::civil;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Fault;
use crate::value::{Value, ValueRef};

/// Identifies a row within its model. Keys order as the key fields do.
///
/// ```
/// use larder_core::Key;
///
/// assert_eq!(Key::from("bug").to_string(), "bug");
/// assert!(Key::from(9) < Key::from(10));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// The only row of its model.
    Singleton,
    /// A truth value; of use inside composite keys.
    Bool(bool),
    /// A number.
    Int(i128),
    /// A number that is greater than an `i128` can be.
    Uint(u128),
    /// Text.
    Str(Arc<str>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A UUID.
    Uuid(Uuid),
    /// A day of the calendar.
    Date(civil::Date),
    /// Several fields, in the order of the key.
    Composite(Arc<[Key]>),
}

impl Key {
    /// The key that a field's value is.
    ///
    /// # Errors
    /// [`Fault::Type`] for values that can't be keys: null, floats, composites.
    pub fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        Ok(match value {
            ValueRef::Bool(v) => Self::Bool(v),
            ValueRef::Int(v) => Self::Int(v),
            ValueRef::Uint(v) => Self::Uint(v),
            ValueRef::Str(v) => Self::Str(v.into()),
            ValueRef::Bytes(v) => Self::Bytes(v.into()),
            ValueRef::Uuid(v) => Self::Uuid(v),
            ValueRef::Time(v) => Self::Int(v.as_nanosecond()),
            ValueRef::Date(v) => Self::Date(v),
            other => return Err(other.mismatch("a key: bool, integer, string, bytes, uuid, moment or date")),
        })
    }

    /// The parts of the key, in order: none for a singleton, several for a composite.
    #[must_use]
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::Singleton => &[],
            Self::Composite(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }

    /// The value that a single-field key is.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Singleton => Value::Null,
            Self::Bool(v) => Value::Bool(*v),
            Self::Int(v) => Value::Int(*v),
            Self::Uint(v) => Value::Uint(*v),
            Self::Date(v) => Value::Date(*v),
            Self::Str(v) => Value::Str((**v).into()),
            Self::Bytes(v) => Value::Bytes((**v).into()),
            Self::Uuid(v) => Value::Uuid(*v),
            Self::Composite(parts) => Value::List(parts.iter().map(Self::to_value).collect()),
        }
    }

    /// The key, shown as a value.
    #[must_use]
    pub fn show(&self) -> ValueRef<'_> {
        match self {
            Self::Singleton | Self::Composite(_) => ValueRef::Null,
            Self::Bool(v) => ValueRef::Bool(*v),
            Self::Int(v) => ValueRef::Int(*v),
            Self::Uint(v) => ValueRef::uint(*v),
            Self::Date(v) => ValueRef::Date(*v),
            Self::Str(v) => ValueRef::Str(v),
            Self::Bytes(v) => ValueRef::Bytes(v),
            Self::Uuid(v) => ValueRef::Uuid(*v),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Singleton => f.write_str("(singleton)"),
            Self::Bool(v) => write!(f, "{v}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Uint(v) => write!(f, "{v}"),
            Self::Date(v) => write!(f, "{v}"),
            Self::Str(v) => f.write_str(v),
            Self::Bytes(v) => v.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Uuid(v) => write!(f, "{v}"),
            Self::Composite(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    if i > 0 {
                        f.write_str("/")?;
                    }
                    write!(f, "{part}")?;
                }
                Ok(())
            }
        }
    }
}

macro_rules! from_integer {
    ($($int:ty),*) => {$(
        impl From<$int> for Key {
            fn from(value: $int) -> Self {
                Self::Int(i128::from(value))
            }
        }
    )*};
}

from_integer!(i8, i16, i32, i64, i128, u8, u16, u32, u64);

impl From<u128> for Key {
    fn from(value: u128) -> Self {
        i128::try_from(value).map_or(Self::Uint(value), Self::Int)
    }
}

impl From<usize> for Key {
    fn from(value: usize) -> Self {
        Self::from(value as u128)
    }
}

impl From<isize> for Key {
    fn from(value: isize) -> Self {
        Self::Int(value as i128)
    }
}

impl From<civil::Date> for Key {
    fn from(value: civil::Date) -> Self {
        Self::Date(value)
    }
}

impl From<Uuid> for Key {
    fn from(value: Uuid) -> Self {
        Self::Uuid(value)
    }
}

impl From<&str> for Key {
    fn from(value: &str) -> Self {
        Self::Str(value.into())
    }
}

impl From<String> for Key {
    fn from(value: String) -> Self {
        Self::Str(value.into())
    }
}

impl From<&String> for Key {
    fn from(value: &String) -> Self {
        Self::Str(value.as_str().into())
    }
}

impl From<&Key> for Key {
    fn from(value: &Key) -> Self {
        value.clone()
    }
}
