//! The types of jiff.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};

use super::Datum;
use crate::error::Fault;
use crate::kind::Kind;
use crate::value::ValueRef;

macro_rules! moments {
    ($($of:ident $kind:ident $expected:literal),* $(,)?) => {$(
        impl Datum for $of {
            const KIND: Kind = Kind::$kind;

            fn show(&self) -> ValueRef<'_> {
                ValueRef::$kind(*self)
            }

            fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
                match value {
                    ValueRef::$kind(v) => Ok(v),
                    other => Err(other.mismatch($expected)),
                }
            }
        }
    )*};
}

moments!(Timestamp Time "a timestamp", Date Date "a date", Time Clock "a time of day", DateTime DateTime "a date with a time");
