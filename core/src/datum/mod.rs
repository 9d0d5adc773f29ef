//! The types that a field can have.

#[cfg(feature = "chrono")]
mod chrono;
mod collections;
mod contract;
#[cfg(feature = "decimal")]
mod decimal;
mod moments;
mod scalars;
#[cfg(feature = "time")]
mod time;

pub use contract::{Convert, Converted, Datum, take_by};
