//! The types that a field can have.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;

use jiff::Timestamp;
use uuid::Uuid;

use crate::error::Fault;
use crate::kind::{IntKind, Kind};
use crate::value::{Each, Item, Nested, ValueRef, View};

/// A type that a field can have: it shows itself without allocating and can be taken from what is shown.
///
/// Structs and enums of an application get it by `#[derive(Datum)]`. What `show` gives, `take` accepts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a model's field",
    note = "derive `Datum` for a struct or enum of your own, or name a converter: `#[model(with = \"Converter\")]`"
)]
pub trait Datum: Sized + Send + Sync + 'static {
    /// The type as data.
    const KIND: Kind;

    /// The type of a list of these.
    #[doc(hidden)]
    const LIST: Kind = Kind::List(&Self::KIND);

    /// Shows the value.
    fn show(&self) -> ValueRef<'_>;

    /// Takes the value from what is shown.
    ///
    /// # Errors
    /// A [`Fault`] if what is shown is of another type, out of range or damaged.
    fn take(value: ValueRef<'_>) -> Result<Self, Fault>;

    /// Shows a list of these: bytes are not a list of integers.
    #[doc(hidden)]
    #[must_use]
    fn show_list(list: &Vec<Self>) -> ValueRef<'_> {
        ValueRef::List(Nested::Live(list))
    }

    /// Takes a list of these.
    #[doc(hidden)]
    fn take_list(value: ValueRef<'_>) -> Result<Vec<Self>, Fault> {
        let ValueRef::List(nested) = value else {
            return Err(value.mismatch("a list"));
        };
        let mut list = Vec::with_capacity(nested.len()?.min(1 << 16));
        nested.each(&mut |item| push(&mut list, item))?;
        Ok(list)
    }
}

fn push<T: Datum>(list: &mut Vec<T>, item: Item<'_>) -> Result<(), Fault> {
    match item {
        Item::Value(value) => list.push(T::take(value)?),
        Item::Entry(..) => return Err(Fault::Malformed),
    }
    Ok(())
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

macro_rules! integers {
    ($($int:ident $kind:ident),* $(,)?) => {$(
        impl Datum for $int {
            const KIND: Kind = Kind::Int(IntKind::$kind);

            fn show(&self) -> ValueRef<'_> {
                ValueRef::Int(i128::from(*self))
            }

            fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
                match value {
                    ValueRef::Int(v) => Self::try_from(v).map_err(|_| Fault::Range { expected: stringify!($int) }),
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

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Int(v) => Self::try_from(v).map_err(|_| Fault::Range { expected: "u8" }),
            other => Err(other.mismatch("an integer")),
        }
    }

    fn show_list(list: &Vec<Self>) -> ValueRef<'_> {
        ValueRef::Bytes(list)
    }

    fn take_list(value: ValueRef<'_>) -> Result<Vec<Self>, Fault> {
        match value {
            ValueRef::Bytes(bytes) => Ok(bytes.to_vec()),
            other => Err(other.mismatch("bytes")),
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

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Char(v) => Ok(v),
            other => Err(other.mismatch("a char")),
        }
    }
}

impl Datum for String {
    const KIND: Kind = Kind::Str;

    fn show(&self) -> ValueRef<'_> {
        ValueRef::Str(self)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Str(v) => Ok(v.to_owned()),
            other => Err(other.mismatch("a string")),
        }
    }
}

impl Datum for Uuid {
    const KIND: Kind = Kind::Uuid;

    fn show(&self) -> ValueRef<'_> {
        ValueRef::Uuid(*self)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Uuid(v) => Ok(v),
            other => Err(other.mismatch("a uuid")),
        }
    }
}

impl Datum for Timestamp {
    const KIND: Kind = Kind::Time;

    fn show(&self) -> ValueRef<'_> {
        ValueRef::Time(*self)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Time(v) => Ok(v),
            other => Err(other.mismatch("a timestamp")),
        }
    }
}

impl<T: Datum> Datum for Option<T> {
    const KIND: Kind = {
        assert!(
            !T::KIND.is_nullable(),
            "an Option of an Option cannot be stored: both nulls would look the same"
        );
        Kind::Option(&T::KIND)
    };

    fn show(&self) -> ValueRef<'_> {
        self.as_ref().map_or(ValueRef::Null, T::show)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        if value.is_null() { Ok(None) } else { T::take(value).map(Some) }
    }
}

impl<T: Datum> Datum for Vec<T> {
    const KIND: Kind = T::LIST;

    fn show(&self) -> ValueRef<'_> {
        T::show_list(self)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        T::take_list(value)
    }
}

impl<T: Datum> Datum for Box<T> {
    const KIND: Kind = T::KIND;

    fn show(&self) -> ValueRef<'_> {
        (**self).show()
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        T::take(value).map(Self::new)
    }
}

impl<T: Datum> View for Vec<T> {
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

macro_rules! set {
    ($set:ident, [$($bound:tt)*], [$($hasher:ident)?], $reserve:expr, $sorted:expr) => {
        impl<T: Datum + Ord $($bound)*, $($hasher: BuildHasher + Default + Send + Sync + 'static)?> Datum
            for $set<T, $($hasher)?>
        {
            const KIND: Kind = Kind::List(&T::KIND);

            fn show(&self) -> ValueRef<'_> {
                ValueRef::List(Nested::Live(self))
            }

            fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
                let ValueRef::List(nested) = value else { return Err(value.mismatch("a list")) };
                let mut set = Self::default();
                #[allow(clippy::redundant_closure_call, reason = "the macro's way to reserve or not")]
                ($reserve)(&mut set, nested.len()?.min(1 << 16));
                nested.each(&mut |item| match item {
                    Item::Value(value) => {
                        set.insert(T::take(value)?);
                        Ok(())
                    }
                    Item::Entry(..) => Err(Fault::Malformed),
                })?;
                Ok(set)
            }
        }

        impl<T: Datum + Ord $($bound)*, $($hasher: BuildHasher + Send + Sync)?> View for $set<T, $($hasher)?> {
            fn len(&self) -> usize {
                self.len()
            }

            fn each<'a>(&'a self, f: Each<'a, '_>) -> Result<(), Fault> {
                #[allow(clippy::redundant_closure_call, reason = "the macro's way to sort or not")]
                ($sorted)(self).into_iter().try_for_each(|value: &'a T| f(Item::Value(value.show())))
            }

            fn variant(&self) -> Option<&str> {
                None
            }
        }
    };
}

set!(BTreeSet, [], [], |_: &mut Self, _: usize| {}, |set: &'a BTreeSet<T>| set.iter());
set!(HashSet, [+ Eq + Hash], [S], |set: &mut Self, len: usize| set.reserve(len), |set: &'a HashSet<T, S>| {
    let mut sorted: Vec<&'a T> = set.iter().collect();
    sorted.sort_unstable();
    sorted
});

macro_rules! map {
    ($map:ident, [$($bound:tt)*], [$($hasher:ident)?], $reserve:expr, $sorted:expr) => {
        impl<K: Datum + Ord $($bound)*, V: Datum, $($hasher: BuildHasher + Default + Send + Sync + 'static)?> Datum
            for $map<K, V, $($hasher)?>
        {
            const KIND: Kind = Kind::Map(&K::KIND, &V::KIND);

            fn show(&self) -> ValueRef<'_> {
                ValueRef::Map(Nested::Live(self))
            }

            fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
                let ValueRef::Map(nested) = value else { return Err(value.mismatch("a map")) };
                let mut map = Self::default();
                #[allow(clippy::redundant_closure_call, reason = "the macro's way to reserve or not")]
                ($reserve)(&mut map, nested.len()?.min(1 << 16));
                nested.each(&mut |item| match item {
                    Item::Entry(key, value) => {
                        map.insert(K::take(key)?, V::take(value)?);
                        Ok(())
                    }
                    Item::Value(_) => Err(Fault::Malformed),
                })?;
                Ok(map)
            }
        }

        impl<K: Datum + Ord $($bound)*, V: Datum, $($hasher: BuildHasher + Send + Sync)?> View
            for $map<K, V, $($hasher)?>
        {
            fn len(&self) -> usize {
                self.len()
            }

            fn each<'a>(&'a self, f: Each<'a, '_>) -> Result<(), Fault> {
                #[allow(clippy::redundant_closure_call, reason = "the macro's way to sort or not")]
                ($sorted)(self)
                    .into_iter()
                    .try_for_each(|(key, value): (&'a K, &'a V)| f(Item::Entry(key.show(), value.show())))
            }

            fn variant(&self) -> Option<&str> {
                None
            }
        }
    };
}

map!(BTreeMap, [], [], |_: &mut Self, _: usize| {}, |map: &'a BTreeMap<K, V>| map.iter());
map!(HashMap, [+ Eq + Hash], [S], |map: &mut Self, len: usize| map.reserve(len), |map: &'a HashMap<K, V, S>| {
    let mut sorted: Vec<(&'a K, &'a V)> = map.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    sorted
});
