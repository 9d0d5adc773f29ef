//! `rust_decimal::Decimal`.

use super::Datum;
use crate::decimal::Decimal;
use crate::error::Fault;
use crate::kind::Kind;
use crate::value::ValueRef;

/// Comes back with the digits after the point that it had; 1.5 and 1.50 are equal in queries and unique constraints.
impl Datum for rust_decimal::Decimal {
    const KIND: Kind = Kind::Decimal;

    fn show(&self) -> ValueRef<'_> {
        let scale = u8::try_from(self.scale()).ok();
        let shown = scale.and_then(|scale| Decimal::new(self.mantissa(), scale));
        shown.map_or(ValueRef::Unfit("96 bits and 28 digits after the point"), ValueRef::Decimal)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        let taken = Decimal::take(value)?;
        Self::try_from_i128_with_scale(taken.coefficient(), taken.scale().into())
            .map_err(|_| Fault::Range { expected: "rust_decimal::Decimal" })
    }
}
