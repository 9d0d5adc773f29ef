//! Encoded keys in one buffer: thousands of them cost a few allocations.

/// Keys that come in any order and are sorted then.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    /// Where each begins and ends.
    spans: Vec<(usize, usize)>,
    /// True once a key has come that is not greater than the one before it.
    falls: bool,
}

impl Keys {
    /// Adds the key that these parts make.
    pub(crate) fn push(&mut self, parts: [&[u8]; 2]) {
        self.push_with(|bytes| parts.iter().for_each(|part| bytes.extend_from_slice(part)));
    }

    /// Adds the key that `write` appends.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let span = (start, self.bytes.len());
        self.falls |= self.spans.last().is_some_and(|last| self.at(*last) >= self.at(span));
        self.spans.push(span);
    }

    fn at(&self, (start, end): (usize, usize)) -> &[u8] {
        &self.bytes[start..end]
    }

    /// Sorts them, and leaves out what is there twice.
    pub(crate) fn sort(&mut self) {
        if std::mem::take(&mut self.falls) {
            let key = |(start, end): (usize, usize)| &self.bytes[start..end];
            self.spans.sort_unstable_by(|a, b| key(*a).cmp(key(*b)));
            self.spans.dedup_by(|a, b| key(*a) == key(*b));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.spans.iter().map(|span| self.at(*span))
    }

    /// Keeps those that are in `other` as well. Both are sorted.
    pub(crate) fn retain_in(&mut self, other: &Self) {
        let key = |(start, end): (usize, usize)| &self.bytes[start..end];
        let is_there = |span| other.spans.binary_search_by(|one| other.at(*one).cmp(key(span))).is_ok();
        self.spans.retain(|span| is_there(*span));
    }

    /// Keeps those below `place`. They are sorted.
    pub(crate) fn end_before(&mut self, place: &[u8]) {
        self.spans.truncate(self.spans.partition_point(|span| self.at(*span) < place));
    }

    /// Keeps those above `place`. They are sorted.
    pub(crate) fn begin_after(&mut self, place: &[u8]) {
        self.spans.drain(..self.spans.partition_point(|span| self.at(*span) <= place));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Keys;

    fn some() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let any = prop::collection::vec(prop::collection::vec(0..3_u8, 0..3), 0..12);
        // Those that rise are not sorted again.
        prop_oneof![
            any.clone(),
            any.prop_map(|keys| keys.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
        ]
    }

    fn gathered(keys: &[Vec<u8>]) -> Keys {
        let mut gathered = Keys::default();
        for key in keys {
            let (head, tail) = key.split_at(key.len() / 2);
            gathered.push([head, tail]);
        }
        gathered.sort();
        gathered
    }

    proptest! {
        #[test]
        fn they_are_a_sorted_set(keys in some(), others in some(), place in prop::collection::vec(0..3_u8, 0..3)) {
            let set: BTreeSet<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            prop_assert!(gathered(&keys).iter().eq(set.iter().copied()));
            let (mut both, mut below, mut above) = (gathered(&keys), gathered(&keys), gathered(&keys));
            both.retain_in(&gathered(&others));
            below.end_before(&place);
            above.begin_after(&place);
            prop_assert!(both.iter().eq(set.iter().copied().filter(|key| others.iter().any(|other| other == key))));
            prop_assert!(below.iter().eq(set.iter().copied().filter(|key| *key < place.as_slice())));
            prop_assert!(above.iter().eq(set.iter().copied().filter(|key| *key > place.as_slice())));
        }
    }
}
