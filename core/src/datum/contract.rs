//! What a type has to do to be a field's.

use std::marker::PhantomData;

use crate::error::Fault;
use crate::kind::Kind;
use crate::value::{Item, Value, ValueRef};

/// A type that a field can have: it shows itself without allocating and can be taken from what is shown.
///
/// Structs and enums of an application get it by `#[derive(Datum)]`. What `show` gives, `take` accepts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a model's field",
    note = "derive `Datum` for a struct or enum of your own, or name a converter: `#[model(with = \"Converter\")]`",
    note = "types of `chrono`, `time` and `rust_decimal` come with the features `chrono`, `time` and `decimal` of larder"
)]
pub trait Datum: Sized + Send + Sync + 'static {
    /// The type as data.
    const KIND: Kind;

    /// Shows the value.
    fn show(&self) -> ValueRef<'_>;

    /// Takes the value from what is shown.
    ///
    /// # Errors
    /// A [`Fault`] if what is shown is of another type, out of range or damaged.
    fn take(value: ValueRef<'_>) -> Result<Self, Fault>;

    /// The value as an operand of a query. One that can't be shown stands for the nearest that can.
    #[doc(hidden)]
    #[must_use]
    fn operand(&self) -> Value {
        // A live value shows itself without a fault.
        self.show().to_value().unwrap_or(Value::Null)
    }

    /// The type of a list of these: bytes are not a list of integers.
    #[doc(hidden)]
    const LIST: Kind = Kind::List(&Self::KIND);

    /// A list of these as bytes, if that is what they are.
    #[doc(hidden)]
    #[must_use]
    fn as_bytes(_: &[Self]) -> Option<&[u8]> {
        None
    }

    /// Calls `put` for each element of a list of these.
    #[doc(hidden)]
    fn take_each(value: ValueRef<'_>, put: &mut dyn FnMut(Self)) -> Result<(), Fault> {
        let ValueRef::List(nested) = value else {
            return Err(value.mismatch("a list"));
        };
        nested.each(&mut |item| match item {
            Item::Value(value) => {
                put(Self::take(value)?);
                Ok(())
            }
            Item::Entry(..) => Err(Fault::Malformed),
        })
    }

    /// Takes a list of these.
    #[doc(hidden)]
    fn take_list(value: ValueRef<'_>) -> Result<Vec<Self>, Fault> {
        let len = if let ValueRef::List(nested) = value { nested.len()? } else { 0 };
        let mut list = Vec::with_capacity(len.min(1 << 16));
        Self::take_each(value, &mut |element| list.push(element))?;
        Ok(list)
    }
}

/// Lets a type that is not a [`Datum`], or a second representation of one that is, stand in a field:
/// `#[model(with = "Converter")]`. What `show` gives must be borrowed from the value or `Copy`. A query compares and
/// orders the representations.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not convert `{T}`",
    note = "a converter implements `Convert` for the type of the field"
)]
pub trait Convert<T> {
    /// The representation as data.
    const KIND: Kind;

    /// Shows the representation.
    fn show(value: &T) -> ValueRef<'_>;

    /// Takes the value from its representation.
    ///
    /// # Errors
    /// A [`Fault`]; [`Fault::Refused`] where none fits better.
    fn take(value: ValueRef<'_>) -> Result<T, Fault>;
}

/// The type of a field that has a converter, as its token names it: it is compared and ordered by its representation,
/// and takes values of `T` as operands.
pub struct Converted<T, C> {
    value: T,
    by: PhantomData<fn() -> C>,
}

impl<T, C> Converted<T, C> {
    pub(crate) fn new(value: T) -> Self {
        Self { value, by: PhantomData }
    }
}

impl<T, C: Convert<T>> Converted<T, C> {
    /// Shows `value` as its representation.
    pub(crate) fn show_by(value: &T) -> ValueRef<'_> {
        C::show(value)
    }
}

/// Takes a value from its representation; an absent one is null if it may be.
#[doc(hidden)]
pub fn take_by<T, C: Convert<T>>(value: ValueRef<'_>) -> Result<T, Fault> {
    match value {
        ValueRef::Absent if C::KIND.is_nullable() => C::take(ValueRef::Null),
        ValueRef::Absent => Err(Fault::Missing),
        value => C::take(value),
    }
}

impl<T: std::fmt::Debug, C> std::fmt::Debug for Converted<T, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Send + Sync + 'static, C: Convert<T> + 'static> Datum for Converted<T, C> {
    const KIND: Kind = C::KIND;

    fn show(&self) -> ValueRef<'_> {
        C::show(&self.value)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        take_by::<T, C>(value).map(Self::new)
    }
}
