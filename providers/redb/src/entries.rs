//! Index entries within a batch: kept in step with the rows, and checked when the batch is done.

use larder_core::packed::Stored;
use larder_core::{Error, ErrorKind, ordered};

use crate::batch::{Applying, Outcome};
use crate::catalog::Slot;
use crate::codec::{self, IndexEntry};
use crate::overlay::Change;

/// An entry of a unique index that was added: no other may begin like it when the batch is done.
pub(crate) struct Check {
    slot: usize,
    index: usize,
    entry: IndexEntry,
    prefixes: Vec<Vec<u8>>,
}

impl Applying<'_, '_> {
    /// Brings the indexes from a row's `old` entries to its `new` ones; `record` is the new row, just written.
    pub(crate) fn reindex(
        &mut self,
        slot: &Slot,
        record: &[u8],
        old: &[IndexEntry],
        new: Vec<IndexEntry>,
    ) -> Outcome {
        let stale = old.iter().filter(|entry| !new.contains(entry));
        stale.into_iter().try_for_each(|entry| self.unindex(entry))?;
        for (at, entry) in new.into_iter().enumerate().filter(|(_, entry)| !old.contains(entry)) {
            let (index, value) = (&slot.indexes[at], entry.value());
            if index.def.unique {
                let body = Stored::parse_verified(record)?.body.unwrap_or_default();
                let prefixes = codec::collisions(index.id, index.def, &slot.row(body)?);
                self.checks.push(Check { slot: slot.at, index: at, entry: entry.clone(), prefixes });
            }
            self.overlay.set(entry.bytes, Change::Entry(value))?;
        }
        Ok(())
    }

    pub(crate) fn unindex(&mut self, entry: &IndexEntry) -> Outcome {
        self.overlay.set(entry.bytes.clone(), Change::Gone)
    }

    /// All index entries that lead to `key`.
    pub(crate) fn stray_entries(&self, slot: &Slot, key: &[u8]) -> Outcome<Vec<IndexEntry>> {
        let mut found = Vec::new();
        for index in &slot.indexes {
            let start = codec::prefix(codec::ENTRIES, index.id);
            self.overlay.each(&start, &codec::after(&start), |entry, value| {
                if let Ok((values, of)) = codec::split_entry(entry, value)
                    && of == key
                {
                    found.push(IndexEntry { key_at: values.len() as u32, bytes: entry.to_vec() });
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Judges the entries of unique indexes that were added.
    pub(crate) fn check_unique(&self) -> Outcome {
        let mut broken: Vec<(String, String)> = Vec::new();
        let mut model = "";
        for check in &self.checks {
            if let Some(rival) = self.rival(check)? {
                let slot = &self.catalog.slots()[check.slot];
                let (own, what) = collision(slot, check, &rival);
                // All that stands in the way of one row is told at once.
                if broken.first().is_none_or(|(first, _)| *first == own && model == slot.schema.model) {
                    model = slot.schema.model;
                    broken.push((own, what));
                }
            }
        }
        let Some((key, _)) = broken.first() else { return Ok(()) };
        let what: Vec<&str> = broken.iter().map(|(_, what)| what.as_str()).collect();
        let error = Error::new(ErrorKind::Conflict, what.join("; ")).during("commit").model(model).key(key);
        Err(error.into())
    }

    /// The key of a row that has the same values in a unique index.
    fn rival(&self, check: &Check) -> Outcome<Option<Vec<u8>>> {
        let slot = &self.catalog.slots()[check.slot];
        let (mut own, mut rival) = (false, None);
        for prefix in &check.prefixes {
            self.overlay.each(prefix, &codec::after(prefix), |entry, value| {
                if entry == check.entry.bytes {
                    own = true;
                    return Ok(());
                }
                let (_, other) = codec::split_entry(entry, value)?;
                if rival.is_none() && self.is_current(slot, check.index, entry, other)? {
                    rival = Some(other.to_vec());
                }
                Ok(())
            })?;
        }
        // Without the entry itself, a later change of the batch has taken it away again.
        Ok(rival.filter(|_| own))
    }

    /// False if the entry is one that damage has left behind.
    fn is_current(&self, slot: &Slot, index: usize, entry: &[u8], key: &[u8]) -> Outcome<bool> {
        let at = [&codec::prefix(codec::ROWS, slot.model), key].concat();
        let entries = self
            .overlay
            .look(&at, |record| Stored::parse(record).and_then(|stored| slot.entries(stored, key)))?;
        let entries = entries.transpose().map_err(|error| error.model(slot.schema.model))?;
        Ok(entries.is_some_and(|entries| entries.get(index).is_some_and(|current| current.bytes == entry)))
    }
}

/// The row that can't be written, and what stands in its way.
#[cold]
fn collision(slot: &Slot, check: &Check, other: &[u8]) -> (String, String) {
    let index = slot.indexes[check.index].def;
    let name =
        |bytes: &[u8]| ordered::decode_key(bytes).map_or_else(|_| "?".to_owned(), |(key, _)| key.to_string());
    let own = name(&check.entry.bytes[check.entry.key_at as usize..]);
    let fields: Vec<&str> = index.fields.iter().map(|at| slot.schema.fields[*at].name).collect();
    let message = format!(
        "the unique index {} over {} already has the row {} with the same values as {own}",
        index.name,
        fields.join(", "),
        name(other),
    );
    (own, message)
}
