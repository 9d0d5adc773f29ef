//! Looking up keys that rise: where they lie close together, the rows between them are walked over instead.
//!
//! A lookup goes down the tree from its root and costs about as much as [`PACE`] steps to the next row. So a walk goes on
//! for as long as it takes no more steps than that for each key, and is tried again after a while.

use std::cmp::Ordering;

use crate::codec::{self, Guard};
use crate::error::Raw;
use crate::reads::{Generation, Halt};
use crate::scan::Pair;

/// So many steps are worth a lookup.
const PACE: usize = 5;
/// So many keys are looked up one by one when a walk has turned out to be too long.
const SINGLY: usize = 256;
/// Fewer keys are all looked up one by one.
const FEW: usize = 64;

/// Looks up keys, each greater than the one before.
pub(crate) struct Lookups<'g> {
    generation: &'g Generation,
    /// Where the rows of the model end.
    end: Vec<u8>,
    walk: Option<redb::Range<'static, codec::Bytes, codec::Bytes>>,
    /// The pair that the walk has come to, whose key is none of those that were asked for.
    ahead: Option<Pair>,
    /// How many steps the walk may still take.
    steps: usize,
    /// How many keys are still looked up one by one.
    singly: usize,
}

impl<'g> Lookups<'g> {
    /// For so many rows of a model; `prefix` is that of their keys.
    pub(crate) fn new(generation: &'g Generation, prefix: &[u8], keys: usize) -> Self {
        let singly = if keys < FEW { keys } else { 0 };
        Self { generation, end: codec::after(prefix), walk: None, ahead: None, steps: 0, singly }
    }

    /// The record at `key`, which has the model's prefix.
    pub(crate) fn get(&mut self, key: &[u8]) -> Result<Option<Guard>, Halt> {
        if self.singly > 0 {
            self.singly -= 1;
            return self.generation.get(key);
        }
        self.steps += PACE;
        let walk = match &mut self.walk {
            Some(walk) => walk,
            None => self.walk.insert(self.generation.range(&(key.to_vec(), self.end.clone()))?),
        };
        loop {
            let next = match self.ahead.take() {
                Some(ahead) => Some(ahead),
                None => walk.next().transpose().map_err(Raw::from)?,
            };
            let Some(pair) = next else { return Ok(None) };
            match pair.0.value().cmp(key) {
                Ordering::Equal => return Ok(Some(pair.1)),
                Ordering::Greater => {
                    self.ahead = Some(pair);
                    return Ok(None);
                }
                Ordering::Less if self.steps > 0 => self.steps -= 1,
                Ordering::Less => {
                    (self.walk, self.singly) = (None, SINGLY);
                    return self.generation.get(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::mpsc;

    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;
    use redb::{Database, Error};

    use super::*;
    use crate::codec::{ROWS, TABLE};

    const MODEL: u16 = 3;

    fn key(model: u16, n: u16) -> Vec<u8> {
        [&codec::prefix(ROWS, model)[..], &n.to_be_bytes()].concat()
    }

    /// The rows of a model, with those of another behind them.
    fn stored(rows: &BTreeSet<u16>) -> Result<Database, Error> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new())?;
        let transaction = database.begin_write()?;
        let mut table = transaction.open_table(TABLE)?;
        for (model, n) in rows.iter().map(|n| (MODEL, *n)).chain([(MODEL + 1, 0)]) {
            table.insert(key(model, n).as_slice(), [model as u8, n as u8].as_slice())?;
        }
        drop(table);
        transaction.commit()?;
        Ok(database)
    }

    fn set(most: usize) -> impl Strategy<Value = BTreeSet<u16>> {
        // Close together, far apart, and both.
        prop_oneof![
            prop::collection::btree_set(0..400_u16, 0..most),
            prop::collection::btree_set(0..20_000_u16, 0..most),
            prop::collection::btree_set(prop_oneof![0..300_u16, 0..20_000_u16], 0..most),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_walk_finds_what_a_lookup_finds(rows in set(1000), asked in set(600)) {
            let database = stored(&rows).unwrap();
            let generation = Generation::of(&database, 0, &mpsc::channel().0).unwrap();
            let mut lookups = Lookups::new(&generation, &codec::prefix(ROWS, MODEL), asked.len());
            for n in asked {
                let found = lookups.get(&key(MODEL, n)).unwrap().map(|record| record.value().to_vec());
                prop_assert_eq!(found, rows.contains(&n).then(|| vec![MODEL as u8, n as u8]), "row {}", n);
            }
        }
    }
}
