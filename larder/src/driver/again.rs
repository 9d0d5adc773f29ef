//! What later entries of a row write again: there the answer to an earlier one must not show through.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use larder_core::{Entry, FieldSet, Key, PageRow, Result, StoredRow, ValueRef};

use super::act::Acts;
use crate::engine::enqueue::differences;

/// Of how many rows it is kept which entries write what.
const ROWS: usize = 64;

/// Which entry of a row is the last to write each field, for as long as nothing else happens to the row: so a long list of
/// entries is read once, and not again for each of them.
#[derive(Debug, Default)]
pub(crate) struct Written(Mutex<BTreeMap<(&'static str, Key), Last>>);

#[derive(Debug)]
struct Last {
    /// Of the row. Whatever changes what one of its entries writes, or adds one, touches the row.
    revision: u64,
    /// By the position of the field.
    entries: BTreeMap<usize, u64>,
}

impl Written {
    /// The fields among `fields` that an entry behind `seq` writes; `None`: that is not known.
    fn behind(&self, entry: &Entry, revision: u64, fields: &FieldSet) -> Option<FieldSet> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = rows.get(&(entry.schema.model, entry.key.clone()))?;
        let writes = |at: &usize| last.entries.get(at).is_some_and(|seq| *seq > entry.seq);
        (last.revision == revision).then(|| fields.iter().filter(writes).collect())
    }

    /// Keeps what the entries of a row write.
    fn keep(&self, entry: &Entry, revision: u64, chain: &[Entry]) {
        let mut entries = BTreeMap::new();
        for other in chain {
            entries.extend(other.changed.iter().map(|at| (at, other.seq)));
        }
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() >= ROWS {
            rows.pop_first();
        }
        rows.insert((entry.schema.model, entry.key.clone()), Last { revision, entries });
    }

    /// The removal of `entry` has brought its row from one revision to another, and nothing else of its list has changed.
    pub(super) fn goes_on(&self, entry: &Entry, stored: &StoredRow, revision: u64) {
        let place = (entry.schema.model, entry.key.clone());
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.meta.tail <= entry.seq {
            rows.remove(&place);
        } else if let Some(last) = rows.get_mut(&place).filter(|last| last.revision == stored.meta.revision) {
            last.revision = revision;
        }
    }
}

impl Acts {
    /// Fields that the row shows as `entry` sent them, that the remote answered otherwise, and that an entry behind it
    /// writes all the same: the row goes on to show them as they are. The entries are read only where there is such a
    /// field.
    pub(super) async fn written_again(
        &self,
        entry: &Entry,
        stored: Option<&StoredRow>,
        answer: Option<&PageRow>,
    ) -> Result<FieldSet> {
        let (Some(stored), Some(answer), Some(sent)) = (stored, answer, entry.row.as_deref()) else {
            return Ok(FieldSet::default());
        };
        let Some(top) = stored.row.as_deref().filter(|_| stored.meta.tail > entry.seq) else {
            return Ok(FieldSet::default());
        };
        let schema = entry.schema;
        let (ours, theirs) = (differences(schema, sent, top)?, differences(schema, sent, &*answer.row)?);
        let says = |at: &usize| !matches!(answer.row.field(*at), Ok(ValueRef::Absent));
        let in_doubt: FieldSet = theirs.iter().filter(says).filter(|at| !ours.contains(*at)).collect();
        let revision = stored.meta.revision;
        if in_doubt.is_empty() {
            return Ok(in_doubt);
        }
        if let Some(known) = self.written.behind(entry, revision, &in_doubt) {
            return Ok(known);
        }
        let chain = self.chain(schema, &entry.key, stored.meta.tail).await?;
        self.written.keep(entry, revision, &chain);
        let later =
            |at: &usize| chain.iter().any(|other| other.seq > entry.seq && other.changed.contains(*at));
        Ok(in_doubt.iter().filter(later).collect())
    }
}
