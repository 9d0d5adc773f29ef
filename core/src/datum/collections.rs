//! Options, lists, arrays, sets, maps and shared values.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::Datum;
use crate::error::Fault;
use crate::kind::Kind;
use crate::value::{Each, Item, Nested, ValueRef, View};

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

macro_rules! shared {
    ($($pointer:ident),*) => {$(
        impl<T: Datum> Datum for $pointer<T> {
            const KIND: Kind = T::KIND;

            fn show(&self) -> ValueRef<'_> {
                (**self).show()
            }

            fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
                T::take(value).map(Self::new)
            }
        }
    )*};
}

shared!(Box, Arc);

impl<T: Datum> Datum for Vec<T> {
    const KIND: Kind = T::LIST;

    fn show(&self) -> ValueRef<'_> {
        T::as_bytes(self).map_or(ValueRef::List(Nested::Live(self)), ValueRef::Bytes)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        T::take_list(value)
    }
}

/// Shown as a list, or as bytes; what is taken has to be of the same length.
impl<T: Datum, const N: usize> Datum for [T; N] {
    const KIND: Kind = T::LIST;

    fn show(&self) -> ValueRef<'_> {
        T::as_bytes(self).map_or(ValueRef::List(Nested::Live(self)), ValueRef::Bytes)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        let mut slots: [Option<T>; N] = [const { None }; N];
        let mut found = 0;
        T::take_each(value, &mut |element| {
            if let Some(slot) = slots.get_mut(found) {
                *slot = Some(element);
            }
            found += 1;
        })?;
        if found != N {
            return Err(Fault::Length { expected: N, found });
        }
        Ok(slots.map(|slot| slot.expect("each slot has been counted")))
    }
}

impl<T: Datum, const N: usize> View for [T; N] {
    fn len(&self) -> usize {
        N
    }

    fn each<'a>(&'a self, f: Each<'a, '_>) -> Result<(), Fault> {
        self.iter().try_for_each(|value| f(Item::Value(value.show())))
    }

    fn variant(&self) -> Option<&str> {
        None
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
            const KIND: Kind = {
                assert!(
                    K::KIND.is_map_key(),
                    "the keys of a map have to be written as text: a bool, integer, char, string, bytes, uuid, date, \
                     time or enum without data; store anything else as a list of entries"
                );
                Kind::Map(&K::KIND, &V::KIND)
            };

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
