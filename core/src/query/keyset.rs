//! A set of keys that is asked for each row: sorted once, searched in O(log n).

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::eval;
use crate::error::Fault;
use crate::key::Key;
use crate::value::{Item, ValueRef};

/// Keys of one field, sorted and without duplicates. Clones share them.
///
/// ```
/// use larder_core::{Key, KeySet, ValueRef};
///
/// let keys: KeySet = [3, 1, 3].into_iter().map(Key::from).collect();
/// assert_eq!(keys.len(), 2);
/// assert!(keys.holds(ValueRef::Int(3)).unwrap());
/// assert!(!keys.holds(ValueRef::Null).unwrap());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Key>", into = "Vec<Key>")]
pub struct KeySet(Arc<[Key]>);

/// The numbers that keys are, each with where it stands; `None` if one of them is none.
fn numbered<T>(keys: &[Key], number: impl Fn(&Key) -> Option<T>) -> Option<Vec<(T, usize)>> {
    let mut numbers = Vec::with_capacity(keys.len());
    for (at, key) in keys.iter().enumerate() {
        numbers.push((number(key)?, at));
    }
    Some(numbers)
}

impl KeySet {
    /// The set of `keys`, and where in it each of them stands.
    #[must_use]
    pub fn placing(keys: Vec<Key>) -> (Self, Vec<usize>) {
        // The kinds that most keys are of are sorted as numbers.
        if let Some(uuids) =
            numbered(&keys, |key| if let Key::Uuid(v) = key { Some(v.as_u128()) } else { None })
        {
            return Self::placed(uuids, |number| Key::Uuid(Uuid::from_u128(number)));
        }
        if let Some(ints) = numbered(&keys, |key| if let Key::Int(v) = key { Some(*v) } else { None }) {
            return Self::placed(ints, Key::Int);
        }
        Self::placed(keys.into_iter().zip(0..).collect(), |key| key)
    }

    /// Sorts what stands for keys, with where each came from.
    fn placed<T: Ord>(mut all: Vec<(T, usize)>, key: impl Fn(T) -> Key) -> (Self, Vec<usize>) {
        let (mut set, mut places) = (Vec::with_capacity(all.len()), vec![0; all.len()]);
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (one, at) in all {
            if set.last() != Some(&one) {
                set.push(one);
            }
            places[at] = set.len() - 1;
        }
        (Self(set.into_iter().map(key).collect()), places)
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Key> {
        self.0.iter()
    }

    /// Whether `value` is one of the keys; of a list, whether one of its members is. Null never is.
    ///
    /// # Errors
    /// The fault of a member that can't be shown.
    pub fn holds(&self, value: ValueRef<'_>) -> Result<bool, Fault> {
        match value {
            ValueRef::List(list) => {
                let mut found = false;
                list.each(&mut |item| {
                    if let Item::Value(member) = item {
                        found = found || self.find(member)?;
                    }
                    Ok(())
                })?;
                Ok(found)
            }
            ValueRef::Bytes(bytes) if matches!(self.0.first(), Some(Key::Int(_))) => {
                // Bytes are how a list of `u8` is shown.
                bytes
                    .iter()
                    .try_fold(false, |found, byte| Ok(found || self.find(ValueRef::Int(i128::from(*byte)))?))
            }
            one => self.find(one),
        }
    }

    fn find(&self, value: ValueRef<'_>) -> Result<bool, Fault> {
        self.place(value).map(|place| place.is_some())
    }

    /// True if the key at this place is `value`; false, too, for kinds that have to be searched for.
    pub(crate) fn is_at(&self, place: usize, value: ValueRef<'_>) -> bool {
        match (value, &self.0[place]) {
            (ValueRef::Uuid(value), Key::Uuid(key)) => value == *key,
            (ValueRef::Int(value), Key::Int(key)) => value == *key,
            (ValueRef::Str(value), Key::Str(key)) => *value == **key,
            _ => false,
        }
    }

    /// Where the key that `value` is stands among the keys. Null is none.
    ///
    /// # Errors
    /// None that a value which can be a key has.
    pub fn place(&self, value: ValueRef<'_>) -> Result<Option<usize>, Fault> {
        // The kinds that most keys are of are compared without being shown. As a key, a moment is a number.
        match value {
            ValueRef::Null | ValueRef::Absent => Ok(None),
            ValueRef::Uuid(value) => {
                let wanted = value.as_u128();
                self.search(ValueRef::Uuid(value), |key| match key {
                    Key::Uuid(key) => Some(key.as_u128().cmp(&wanted)),
                    _ => None,
                })
            }
            ValueRef::Int(value) => self.search_int(value),
            ValueRef::Time(at) => self.search_int(at.as_nanosecond()),
            ValueRef::Str(value) => self.search(ValueRef::Str(value), |key| match key {
                Key::Str(key) => Some((**key).cmp(value)),
                _ => None,
            }),
            other => self.search(other, |_| None),
        }
    }

    fn search_int(&self, value: i128) -> Result<Option<usize>, Fault> {
        self.search(ValueRef::Int(value), |key| match key {
            Key::Int(key) => Some(key.cmp(&value)),
            _ => None,
        })
    }

    /// Searches for `value`, which `compare` compares with a key of its own kind.
    fn search(
        &self,
        value: ValueRef<'_>,
        compare: impl Fn(&Key) -> Option<Ordering>,
    ) -> Result<Option<usize>, Fault> {
        let mut fault = None;
        let found = self.0.binary_search_by(|key| {
            let shown = || eval::order(key.show(), value);
            compare(key).map_or_else(shown, Ok).unwrap_or_else(|found| {
                fault = Some(found);
                Ordering::Equal
            })
        });
        fault.map_or(Ok(found.ok()), Err)
    }
}

impl FromIterator<Key> for KeySet {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        Self::from(keys.into_iter().collect::<Vec<_>>())
    }
}

impl From<Vec<Key>> for KeySet {
    fn from(mut keys: Vec<Key>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self(keys.into())
    }
}

impl From<KeySet> for Vec<Key> {
    fn from(set: KeySet) -> Self {
        set.0.to_vec()
    }
}

impl<'a> IntoIterator for &'a KeySet {
    type Item = &'a Key;
    type IntoIter = std::slice::Iter<'a, Key>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> impl Strategy<Value = Vec<Key>> {
        let int = (-9..9_i64).prop_map(Key::from).boxed();
        let uuid = (0..9_u128).prop_map(|n| Key::Uuid(Uuid::from_u128(n << 124 | n >> 1))).boxed();
        let any = prop_oneof![int.clone(), "[a-c]{0,2}".prop_map(Key::from), uuid.clone()].boxed();
        let some = |key| prop::collection::vec(key, 0..20);
        // Those of one kind are sorted as what they are.
        prop_oneof![some(any), some(int), some(uuid)]
    }

    proptest! {
        #[test]
        fn each_key_has_its_place(keys in keys()) {
            let (set, places) = KeySet::placing(keys.clone());
            prop_assert_eq!(&set, &keys.iter().cloned().collect::<KeySet>());
            for (key, place) in keys.iter().zip(places) {
                prop_assert_eq!(set.iter().nth(place), Some(key));
            }
        }
    }
}
