//! What a batch changes, gathered before it is written.
//!
//! - A batch that fails has written nothing: it is left out by being forgotten, and those that share its transaction
//!   stay.
//! - What is written goes in by the order of keys. Entries of many rows that lie beside each other go into a page while
//!   it is at hand, and a run of new keys between two that are there fills whole pages.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{CursorError, ReadableTable, StorageError, Table};

use crate::batch::{Outcome, Refusal};
use crate::codec::Bytes;
use crate::error::Raw;

/// The most bytes of a key and its value that redb takes.
const MOST: usize = 3 << 30;
/// What a change takes beside its key and its value, about.
const OVERHEAD: usize = 64;
/// How many bytes are gathered by a batch that has its transaction for itself.
const GATHERED: usize = 32 << 20;
/// Fewer changes than this go in one by one.
const MANY: usize = 64;
/// A run of fewer new keys is not worth a cursor …
const SHORT: usize = 4;
/// … and after one, so many changes go in one by one before another is tried.
const SINGLY: usize = 32;

/// What is to be at a key.
#[derive(Debug)]
pub(crate) enum Change {
    /// Nothing.
    Gone,
    /// An index entry.
    Entry([u8; 4]),
    /// Anything else.
    Value(Vec<u8>),
}

impl Change {
    fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Gone => None,
            Self::Entry(bytes) => Some(bytes),
            Self::Value(bytes) => Some(bytes),
        }
    }
}

/// The table as a batch has changed it.
pub(crate) struct Overlay<'a, 't> {
    table: &'a mut Table<'t, Bytes, Bytes>,
    changes: BTreeMap<Vec<u8>, Change>,
    bytes: usize,
    /// Whether other batches share the transaction: nothing is written then before the batch is known to succeed.
    shared: bool,
}

impl<'a, 't> Overlay<'a, 't> {
    pub(crate) fn new(table: &'a mut Table<'t, Bytes, Bytes>, shared: bool) -> Self {
        Self { table, changes: BTreeMap::new(), bytes: 0, shared }
    }

    /// Shows what is at `key`, if anything is.
    pub(crate) fn look<T>(&self, key: &[u8], see: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        if let Some(change) = self.changes.get(key) {
            return Ok(change.value().map(see));
        }
        Ok(self.table.get(key)?.map(|found| see(found.value())))
    }

    /// Shows what is there from `low` up to `high` and without it, in no particular order.
    pub(crate) fn each(
        &self,
        low: &[u8],
        high: &[u8],
        mut see: impl FnMut(&[u8], &[u8]) -> Outcome,
    ) -> Outcome {
        for pair in self.table.range::<&[u8]>(low..high)? {
            let (key, value) = pair?;
            if !self.changes.contains_key(key.value()) {
                see(key.value(), value.value())?;
            }
        }
        let changes = self.changes.range::<[u8], _>((Bound::Included(low), Bound::Excluded(high)));
        changes
            .filter_map(|(key, change)| Some((key, change.value()?)))
            .try_for_each(|(key, value)| see(key, value))
    }

    /// Changes what is at `key`.
    pub(crate) fn set(&mut self, key: Vec<u8>, change: Change) -> Outcome {
        let size = key.len() + change.value().map_or(0, <[u8]>::len);
        if size > MOST {
            return Err(Raw::from(StorageError::ValueTooLarge(size)).into());
        }
        self.bytes += size + OVERHEAD;
        self.changes.insert(key, change);
        if self.bytes > GATHERED && !self.shared { self.write() } else { Ok(()) }
    }

    /// Writes what was gathered.
    pub(crate) fn write(&mut self) -> Outcome {
        let changes = std::mem::take(&mut self.changes);
        self.bytes = 0;
        let written = if changes.len() < MANY {
            changes.iter().try_for_each(|(key, change)| write_one(self.table, key, change))
        } else {
            write_in_runs(self.table, &changes)
        };
        // Part of the batch may be in the table now.
        written.map_err(|error| Refusal::Broken(Raw::from(error).into()))
    }
}

fn write_one(table: &mut Table<'_, Bytes, Bytes>, key: &[u8], change: &Change) -> Result<(), StorageError> {
    match change.value() {
        Some(value) => table.insert(key, value).map(drop),
        None => table.remove(key).map(drop),
    }
}

fn write_in_runs(
    table: &mut Table<'_, Bytes, Bytes>,
    changes: &BTreeMap<Vec<u8>, Change>,
) -> Result<(), StorageError> {
    let mut changes = changes.iter().peekable();
    let mut singly = 0;
    while let Some((key, change)) = changes.peek() {
        if singly > 0 {
            singly -= 1;
            write_one(table, key, change)?;
            changes.next();
            continue;
        }
        let mut cursor = table.lower_bound_mut(Bound::Included(key.as_slice()))?;
        let mut run = 0;
        while let Some((key, Some(value))) = changes.peek().map(|(key, change)| (key, change.value())) {
            match cursor.insert_before(key.as_slice(), value) {
                Ok(()) => run += 1,
                Err(CursorError::Storage(error)) => return Err(error),
                // The key is there already, or others come before it.
                Err(_) => break,
            }
            changes.next();
        }
        cursor.close()?;
        if run < SHORT {
            singly = SINGLY;
        }
    }
    Ok(())
}
