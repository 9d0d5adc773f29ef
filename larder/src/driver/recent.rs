//! Entries that are about to be sent or settled, with their rows, for as long as nobody but the driver writes: what was read
//! to be marked is read neither to be sent nor to be settled.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use larder_core::packed::PackedBuf;
use larder_core::{Batch, Entry, Fault, Key, Op, Row, Schema};

use super::entries::Found;
use crate::cache;

#[cfg(test)]
mod tests;

/// About how many bytes are kept; what is above is read again.
const ROOM: u64 = 1 << 20;

/// What the store has, as of one revision of it.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The revision of the store of which all of this is.
    revision: u64,
    entries: BTreeMap<u64, Kept>,
    /// Of all of them.
    bytes: u64,
}

#[derive(Debug)]
struct Kept {
    found: Found,
    bytes: u64,
}

/// What a batch of the driver changes, other than names and their values.
#[derive(Debug, Default)]
pub(super) struct Changed {
    seqs: Vec<u64>,
    rows: Vec<(&'static Schema, Key)>,
}

impl Changed {
    pub(super) fn by(batch: &Batch) -> Self {
        let mut changed = Self::default();
        for op in &batch.ops {
            match op {
                Op::Put { schema, key, .. }
                | Op::Tombstone { schema, key, .. }
                | Op::Remove { schema, key } => {
                    changed.rows.push((*schema, key.clone()));
                }
                Op::Revise(entry) => changed.seqs.push(entry.seq),
                Op::Dequeue(seq) => changed.seqs.push(*seq),
                // It comes with its row, and has not been read.
                Op::Enqueue(_) | Op::Cursor { .. } => {}
            }
        }
        changed
    }

    fn touches(&self, entry: &Entry) -> bool {
        self.seqs.contains(&entry.seq)
            || self.rows.iter().any(|(schema, key)| *schema == entry.schema && *key == entry.key)
    }
}

impl Recent {
    /// An entry and its row, if they are known as they are at this revision of the store.
    pub(super) fn get(&self, revision: u64, seq: u64) -> Option<Found> {
        let known = self.lock();
        known.entries.get(&seq).filter(|_| known.revision == revision).map(|kept| kept.found.clone())
    }

    /// As [`get`](Self::get), of which it is not kept any more.
    pub(super) fn take(&self, revision: u64, seq: u64) -> Option<Found> {
        let mut known = self.lock();
        if known.revision == revision { known.remove(seq) } else { None }
    }

    /// Keeps entries and their rows, which were read at this revision of the store, or written by it.
    pub(super) fn keep(&self, revision: u64, found: impl IntoIterator<Item = Found>) {
        let mut known = self.lock();
        if revision > known.revision {
            *known = Known { revision, ..Known::default() };
        }
        if revision == known.revision {
            found.into_iter().for_each(|found| known.add(found));
        }
    }

    /// The store has begun anew.
    pub(super) fn clear(&self) {
        *self.lock() = Known::default();
    }

    /// A batch of the driver was committed, as this revision of the store. If it is the next one, nobody has written in
    /// between, and what it has not changed is as it was.
    pub(super) fn goes_on(&self, revision: u64, changed: &Changed) {
        let mut known = self.lock();
        if revision == known.revision + 1 {
            known.revision = revision;
            known.forget(changed);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, found: Found) {
        self.remove(found.0.seq);
        // What can't be shown is not kept.
        let Ok(bytes) = weight(&found) else { return };
        if self.bytes + bytes <= ROOM {
            self.bytes += bytes;
            self.entries.insert(found.0.seq, Kept { found, bytes });
        }
    }

    fn remove(&mut self, seq: u64) -> Option<Found> {
        let kept = self.entries.remove(&seq)?;
        self.bytes -= kept.bytes;
        Some(kept.found)
    }

    fn forget(&mut self, changed: &Changed) {
        let touched: Vec<u64> = self
            .entries
            .values()
            .map(|kept| &kept.found.0)
            .filter(|entry| changed.touches(entry))
            .map(|entry| entry.seq)
            .collect();
        touched.into_iter().for_each(|seq| drop(self.remove(seq)));
    }
}

/// About how many bytes of memory an entry and its row take.
fn weight((entry, stored): &Found) -> Result<u64, Fault> {
    let theirs = entry.theirs.as_ref().and_then(|theirs| theirs.row.as_ref());
    let row = stored.as_ref().and_then(|stored| stored.row.as_ref());
    let rows = [&entry.row, &entry.base].into_iter().flatten().chain(theirs).chain(row);
    let fields = rows.map(|row| fields(entry.schema, &**row)).sum::<Result<u64, Fault>>()?;
    let extra = entry.extra.as_ref().map_or(0, |extra| extra.len()) as u64;
    Ok(size_of::<Kept>() as u64 + fields + extra)
}

fn fields(schema: &Schema, row: &dyn Row) -> Result<u64, Fault> {
    let packed = row.as_any().and_then(|row| row.downcast_ref::<PackedBuf>());
    match packed.and_then(PackedBuf::body_len) {
        Some(bytes) => Ok(bytes as u64),
        None => cache::weight_beside(schema, row),
    }
}
