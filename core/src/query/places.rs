//! Where keys stand in a set, found by what they hash to: for those who ask it of thousands of rows.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use super::KeySet;
use crate::error::Fault;
use crate::value::{Item, ValueRef};

/// A set of keys with a table of their places. It answers as the set does.
///
/// The hash is a fixed one, and whoever makes up keys that collide gains nothing: after a few steps the set is searched.
#[derive(Clone, Debug)]
pub struct Places {
    keys: KeySet,
    /// The places by hash, twice as many as there are keys; a key stands in the first that was free.
    table: Arc<[usize]>,
}

/// No key is there.
const FREE: usize = usize::MAX;
/// So many entries of the table are looked at.
const STEPS: usize = 8;

impl Places {
    /// For a set of keys.
    #[must_use]
    pub fn of(keys: &KeySet) -> Self {
        let mut table = vec![FREE; (2 * keys.len()).next_power_of_two()];
        for (place, key) in keys.iter().enumerate() {
            let Some(hash) = hash(key.show()) else { continue };
            let mask = table.len() - 1;
            if let Some(at) = steps(hash, mask).find(|at| table[*at] == FREE) {
                table[at] = place;
            }
        }
        Self { keys: keys.clone(), table: table.into() }
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// As [`KeySet::holds`].
    ///
    /// # Errors
    /// As [`KeySet::holds`].
    #[inline]
    pub fn hold(&self, value: ValueRef<'_>) -> Result<bool, Fault> {
        match value {
            ValueRef::List(list) => {
                let mut found = false;
                list.each(&mut |item| {
                    if let Item::Value(member) = item {
                        found = found || self.place(member)?.is_some();
                    }
                    Ok(())
                })?;
                Ok(found)
            }
            ValueRef::Bytes(_) => self.keys.holds(value),
            one => Ok(self.place(one)?.is_some()),
        }
    }

    /// As [`KeySet::place`].
    ///
    /// # Errors
    /// As [`KeySet::place`].
    #[inline]
    pub fn place(&self, value: ValueRef<'_>) -> Result<Option<usize>, Fault> {
        // As a key, a moment is a number.
        let value = if let ValueRef::Time(at) = value { ValueRef::Int(at.as_nanosecond()) } else { value };
        let Some(hash) = hash(value) else { return self.keys.place(value) };
        for at in steps(hash, self.table.len() - 1) {
            match self.table[at] {
                // A key of this hash would stand here.
                FREE => return Ok(None),
                place if self.keys.is_at(place, value) => return Ok(Some(place)),
                _ => {}
            }
        }
        self.keys.place(value)
    }
}

fn steps(hash: u64, mask: usize) -> impl Iterator<Item = usize> {
    (0..STEPS).map(move |step| (hash as usize).wrapping_add(step) & mask)
}

/// The hash of what most keys are: equal values have equal ones. `None` for others, which are searched for.
fn hash(value: ValueRef<'_>) -> Option<u64> {
    match value {
        ValueRef::Uuid(value) => Some(mix(value.as_u128())),
        ValueRef::Int(value) => Some(mix(value.cast_unsigned())),
        ValueRef::Str(value) => Some(BuildHasherDefault::<DefaultHasher>::default().hash_one(value)),
        _ => None,
    }
}

/// Multiplies the halves, each with bits of its own turned, and adds up what comes out.
fn mix(value: u128) -> u64 {
    let halves = (value as u64 ^ 0x9e37_79b9_7f4a_7c15, (value >> 64) as u64 ^ 0xd1b5_4a32_d192_ed03);
    let product = u128::from(halves.0) * u128::from(halves.1);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::key::Key;
    use crate::value::Value;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-20..20_i128).prop_map(Value::Int),
            "[a-c]{0,2}".prop_map(|text| Value::Str(text.into())),
            (0..40_u128).prop_map(|n| Value::Uuid(uuid::Uuid::from_u128(n))),
            (-20..20_i128).prop_map(|n| Value::Time(Timestamp::from_nanosecond(n).unwrap())),
            prop::collection::vec(0..20_u8, 0..3).prop_map(|bytes| Value::Bytes(bytes.into())),
            prop::collection::vec((-20..20_i128).prop_map(Value::Int), 0..3).prop_map(Value::List),
        ]
    }

    proptest! {
        #[test]
        fn it_answers_as_the_set_does(keys in prop::collection::vec(value(), 0..60), asked in prop::collection::vec(value(), 60)) {
            let set: KeySet = keys.iter().filter_map(|key| Key::take(key.show()).ok()).collect();
            let places = Places::of(&set);
            for value in &asked {
                prop_assert_eq!(places.hold(value.show()), set.holds(value.show()));
                prop_assert_eq!(places.place(value.show()), set.place(value.show()));
            }
        }
    }

    #[test]
    fn keys_that_collide_are_found() {
        // Zero in one half after turning: the product, and so the hash, is zero for all of them.
        let colliding =
            |n: u64| Key::Uuid(uuid::Uuid::from_u128(u128::from(n) << 64 | 0x9e37_79b9_7f4a_7c15));
        let set: KeySet = (0..100).map(colliding).collect();
        let places = Places::of(&set);
        for (place, key) in set.iter().enumerate() {
            assert_eq!(places.place(key.show()), Ok(Some(place)));
        }
        assert_eq!(places.place(colliding(100).show()), Ok(None));
    }
}
