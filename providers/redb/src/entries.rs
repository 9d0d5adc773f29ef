//! Index entries within a batch: kept in step with the rows, and checked when the batch is done.

use larder_core::packed::Stored;
use larder_core::{Error, ErrorKind, ordered};
use redb::ReadableTable;

use crate::batch::{Applying, Outcome};
use crate::catalog::Slot;
use crate::codec::{self, IndexEntry};

/// An entry of a unique index that was added: no other may begin like it when the batch is done.
pub(crate) struct Check {
    slot: usize,
    index: usize,
    entry: IndexEntry,
    prefixes: Vec<Vec<u8>>,
}

impl Applying<'_, '_> {
    pub(crate) fn reindex(
        &mut self,
        slot: &Slot,
        record: &[u8],
        old: &[IndexEntry],
        new: Vec<IndexEntry>,
    ) -> Outcome {
        let stale = old.iter().filter(|entry| !new.contains(entry));
        stale.into_iter().try_for_each(|entry| self.unindex(entry))?;
        let fresh: Vec<_> = new.into_iter().enumerate().filter(|(_, entry)| !old.contains(entry)).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let body = Stored::parse(record)?.body.unwrap_or_default();
        let row = slot.row(body)?;
        for (at, entry) in fresh {
            let index = &slot.indexes[at];
            self.exchange(&entry.bytes, Some(&entry.value()), |_| ())?;
            if index.def.unique {
                let prefixes = codec::collisions(index.id, index.def, &row);
                self.checks.push(Check { slot: slot.at, index: at, entry, prefixes });
            }
        }
        Ok(())
    }

    pub(crate) fn unindex(&mut self, entry: &IndexEntry) -> Outcome {
        self.exchange(&entry.bytes, None, |_| ()).map(drop)
    }

    /// All index entries that lead to `key`.
    pub(crate) fn stray_entries(&self, slot: &Slot, key: &[u8]) -> Outcome<Vec<IndexEntry>> {
        let mut found = Vec::new();
        for index in &slot.indexes {
            let start = codec::prefix(codec::ENTRIES, index.id);
            for pair in self.table.range::<&[u8]>(start.as_slice()..codec::after(&start).as_slice())? {
                let (entry, value) = pair?;
                let Ok((values, of)) = codec::split_entry(entry.value(), value.value()) else {
                    continue;
                };
                if of == key {
                    found.push(IndexEntry { key_at: values.len() as u32, bytes: entry.value().to_vec() });
                }
            }
        }
        Ok(found)
    }

    pub(crate) fn check(&self, check: &Check) -> Outcome {
        let slot = &self.catalog.slots()[check.slot];
        let (mut own, mut rival) = (false, None);
        for prefix in &check.prefixes {
            for pair in self.table.range::<&[u8]>(prefix.as_slice()..codec::after(prefix).as_slice())? {
                let (entry, value) = pair?;
                if entry.value() == check.entry.bytes {
                    own = true;
                    continue;
                }
                let (_, other) = codec::split_entry(entry.value(), value.value())?;
                if rival.is_none() && self.is_current(slot, check.index, entry.value(), other)? {
                    rival = Some(other.to_vec());
                }
            }
        }
        match rival {
            // Without the entry itself, a later change of the batch has taken it away again.
            Some(other) if own => Err(self.collision(slot, check, &other).into()),
            _ => Ok(()),
        }
    }

    /// False if the entry is one that damage has left behind.
    fn is_current(&self, slot: &Slot, index: usize, entry: &[u8], key: &[u8]) -> Outcome<bool> {
        let at = [&codec::prefix(codec::ROWS, slot.model), key].concat();
        let Some(record) = self.table.get(at.as_slice())? else {
            return Ok(false);
        };
        let entries = slot.entries(record.value(), key).map_err(|error| error.model(slot.schema.model))?;
        Ok(entries.get(index).is_some_and(|current| current.bytes == entry))
    }

    #[cold]
    fn collision(&self, slot: &Slot, check: &Check, other: &[u8]) -> Error {
        let index = slot.indexes[check.index].def;
        let name = |bytes: &[u8]| {
            ordered::decode_key(bytes).map_or_else(|_| "?".to_owned(), |(key, _)| key.to_string())
        };
        let own = name(&check.entry.bytes[check.entry.key_at as usize..]);
        let fields: Vec<&str> = index.fields.iter().map(|at| slot.schema.fields[*at].name).collect();
        let message = format!(
            "the unique index {} over {} already has the row {} with the same values as {own}",
            index.name,
            fields.join(", "),
            name(other),
        );
        Error::new(ErrorKind::Conflict, message).during("commit").model(slot.schema.model).key(own)
    }
}
