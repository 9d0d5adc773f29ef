//! What becomes of an entry that has never been sent, and of a write of its row that comes after it.

use std::sync::Arc;

use larder_core::{Entry, EntryState, FieldSet, Operation, Result, Row, Schema};

use super::enqueue::{Write, differences};

/// An entry with a later write in it.
#[derive(Debug)]
pub(crate) enum Merged {
    /// The entry says what both said.
    Into(Box<Entry>),
    /// The row was created and is deleted: there is nothing to tell.
    Nothing,
}

/// True if nothing of the entry has left, and it stands for itself: another write may go into it.
pub(crate) fn is_open(entry: &Entry, account: Option<&str>) -> bool {
    let unsent = entry.mark.is_none() && entry.attempts == 0 && entry.state == EntryState::Ready;
    unsent && entry.carries.is_empty() && entry.within.is_none() && entry.account.as_deref() == account
}

/// `entry` with `write` in it; `stored` is the row that the write changes. `None` if they stay apart.
///
/// # Errors
/// `Serialization` or `Corrupt` if the rows can't be compared.
pub(crate) fn merged(entry: &Entry, stored: &dyn Row, write: &Write) -> Result<Option<Merged>> {
    let mut kept = entry.clone();
    kept.model_version = entry.schema.version;
    match (entry.operation, write) {
        (Operation::Delete, _) => return Ok(None),
        (Operation::Insert, Write::Delete) => return Ok(Some(Merged::Nothing)),
        (Operation::Update | Operation::Upsert, Write::Delete) => {
            kept.operation = Operation::Delete;
            kept.row = None;
            kept.changed = FieldSet::default();
        }
        (_, Write::Put(row)) => {
            let changed = differences(entry.schema, stored, &**row)?;
            // Another row may have had, or have got, the value in between.
            if changed.is_empty() || changed.iter().any(|at| is_unique(entry.schema, at)) {
                return Ok(None);
            }
            changed.iter().for_each(|at| kept.changed.insert(at));
            kept.row = Some(Arc::clone(row));
        }
    }
    Ok(Some(Merged::Into(Box::new(kept))))
}

fn is_unique(schema: &Schema, at: usize) -> bool {
    schema.indexes.iter().any(|index| index.unique && index.fields.contains(&at))
}

#[cfg(test)]
mod tests;
