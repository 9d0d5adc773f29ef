//! Creations that may have been sent, of rows to which the remote gives their keys. Until the answer is stored, such a row may
//! be written under two keys: by its temporary one, and by that which the remote has given, if it has come by a pull.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use larder_core::{Entry, Key, KeyKind, Operation, Schema};

use super::act::Acts;
use crate::repository::looks_temporary;

/// Up to how many are looked at; of more it is taken for granted that one of them is of the row.
const LOOK: usize = 256;

/// Where to look for them.
#[derive(Debug, Default)]
pub(crate) struct Creations(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Entries that were one when they were looked at last.
    seqs: BTreeSet<u64>,
    /// All that was queued before the start has been looked at.
    all: bool,
}

/// True if the remote may have given a key to the row of an entry, or to one that goes in its request.
fn is_one(entry: &Entry) -> bool {
    let creates = entry.schema.key.kind == KeyKind::Server && entry.operation == Operation::Insert;
    (creates || !entry.carries.is_empty()) && (entry.mark.is_some() || entry.attempts > 0)
}

impl Creations {
    /// An entry has been marked or read.
    pub(super) fn note(&self, entry: &Entry) {
        if is_one(entry) {
            self.lock().seqs.insert(entry.seq);
        }
    }

    /// All that was queued before the start has been noted.
    pub(super) fn noted_all(&self) {
        self.lock().all = true;
    }

    /// True if there are none.
    pub(crate) fn are_none(&self) -> bool {
        let known = self.lock();
        known.all && known.seqs.is_empty()
    }

    /// Where they are; `None` if there may be others, or they are too many to look at.
    fn known(&self) -> Option<Vec<u64>> {
        let known = self.lock();
        (known.all && known.seqs.len() <= LOOK).then(|| known.seqs.iter().copied().collect())
    }

    /// One is gone.
    pub(super) fn forget(&self, seq: u64) {
        self.lock().seqs.remove(&seq);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acts {
    /// Whether the row with `key` may be the one with one of the keys `others`.
    pub(crate) async fn may_be_among(
        &self,
        schema: &'static Schema,
        key: &Key,
        others: &BTreeSet<Key>,
    ) -> bool {
        // Of two keys of one row the remote has given one at least.
        let is_temporary = looks_temporary(schema, key);
        let may_be = |other: &&Key| *other != key && !(is_temporary && looks_temporary(schema, other));
        let others: Vec<&Key> = others.iter().filter(may_be).collect();
        if others.is_empty() {
            return false;
        }
        let Some(known) = self.creations.known() else { return true };
        for seq in known {
            match self.store.entry(&self.cx(), seq).await {
                Ok(None) => self.creations.forget(seq),
                // The keys of those that go in its request are not in it.
                Ok(Some(entry)) if !entry.carries.is_empty() => return true,
                Ok(Some(entry)) if entry.schema != schema => {}
                // The other key of the row is the one that the remote has given.
                Ok(Some(entry)) if entry.key == *key => return true,
                Ok(Some(entry)) if others.contains(&&entry.key) => return true,
                Ok(Some(_)) => {}
                // What it created can't be told.
                Err(_) => return true,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use larder_core::{FieldDef, IntKind, KeyDef, Kind, MutationId, SendMark, Timestamp, Uuid};

    use super::*;

    static TEAM: Schema =
        Schema::new("Team", &[FieldDef::new("number", Kind::Int(IntKind::I64))], KeyDef::server(&[0]));

    fn creation(seq: u64) -> Entry {
        let id = MutationId(Uuid::from_u128(seq.into()));
        let mark = Some(SendMark { first: Timestamp::UNIX_EPOCH });
        let key = Key::Int(-i128::from(seq));
        Entry { seq, mark, ..Entry::new(&TEAM, key, Operation::Insert, id, Timestamp::UNIX_EPOCH) }
    }

    // Rules: o-coalesce-apart
    #[test]
    fn they_are_looked_at_once_all_have_been_read_and_if_they_are_not_too_many() {
        let creations = Creations::default();
        assert!(!creations.are_none() && creations.known().is_none(), "there may be others");
        creations.noted_all();
        creations.note(&Entry { mark: None, ..creation(1) });
        creations.note(&Entry { operation: Operation::Update, ..creation(2) });
        assert!(creations.are_none(), "nothing that was sent creates anything");
        (1..=256).for_each(|seq| creations.note(&creation(seq)));
        assert_eq!(creations.known(), Some((1..=256).collect()));
        creations.note(&creation(257));
        assert_eq!(creations.known(), None);
        creations.forget(257);
        assert!(creations.known().is_some());
    }
}
