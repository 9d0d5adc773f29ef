//! Writes of one row that have not been sent become one.
//!
//! Two entries are merged only where that changes nothing of what the remote comes to have: the kept one goes at its own
//! place in the order, so whatever the merged one refers to must have been created before that place, and nothing that
//! names a row which is deleted may come between.

use std::collections::{BTreeMap, BTreeSet};

use larder_core::association::references;
use larder_core::{
    Batch, Entry, Error, ErrorKind, Expect, Key, KeyKind, MutationId, Op, Operation, Result, Row, Schema,
    StoredRow, Tail,
};

use super::write::Change;
use super::{Remote, Repository};
use crate::driver::left;
use crate::engine::Event;
use crate::engine::coalesce::{Merged, is_open, merged};
use crate::engine::enqueue::Write;
use crate::engine::settle::rewritten;
use crate::fates::Fate;

/// Up to how many entries are looked through for one that names a row; of more it is taken for granted.
const LOOK: usize = 256;

/// How many entries are read at a time.
const READ: usize = 64;

/// What a batch does to entries that were there before.
#[derive(Debug, Default)]
pub(super) struct Coalesced {
    /// Entries that have taken a write in.
    kept: Vec<Entry>,
    /// Entries of rows that were created and deleted.
    cancelled: Vec<Cancelled>,
}

#[derive(Debug)]
struct Cancelled {
    seq: u64,
    id: MutationId,
    row: (&'static Schema, Key),
}

impl Coalesced {
    /// The rows that were created and deleted.
    pub(super) fn undone(&self) -> Vec<(&'static Schema, Key)> {
        self.cancelled.iter().map(|cancelled| cancelled.row.clone()).collect()
    }
}

impl Repository {
    /// Lets the unsent entry of a row take `change` in; gives the identity under which the remote will hear of it, and
    /// none if it will not. `None` if the change needs an entry of its own.
    pub(super) async fn coalesce(
        &self,
        batch: &mut Batch,
        coalesced: &mut Coalesced,
        change: &Change,
        stored: Option<&StoredRow>,
    ) -> Result<Option<Option<(MutationId, Operation)>>> {
        let Some((stored, before)) = stored.and_then(|stored| Some((stored, stored.row.as_ref()?))) else {
            return Ok(None);
        };
        if stored.meta.tail == 0 || !self.shared.coalesce {
            return Ok(None);
        }
        // One that can't be read is nobody's to change.
        let Ok(Some(entry)) = self.shared.store.entry(&self.cx(), stored.meta.tail).await else {
            return Ok(None);
        };
        let own = entry.schema == change.schema && entry.key == change.key;
        if !own || !is_open(&entry, self.shared.account.get().as_deref()) {
            return Ok(None);
        }
        if !self.stands_last(batch, &entry).await? {
            return Ok(None);
        }
        let Some(merged) = merged(&entry, &**before, &change.write)? else { return Ok(None) };
        let mut expect = vec![
            Expect::Row { schema: change.schema, key: change.key.clone(), revision: stored.meta.revision },
            Expect::entry(&entry),
        ];
        let fits = match &change.write {
            Write::Put(row) => self.is_of_before(batch, &mut expect, &entry, &**row).await?,
            Write::Delete => self.is_unnamed(batch, &mut expect, &entry).await?,
        };
        if !fits {
            return Ok(None);
        }
        batch.expect.append(&mut expect);
        Ok(Some(self.take_in(batch, coalesced, change, stored, (entry, merged))))
    }

    /// True unless its row may have been written under another key since: what goes in the place of `entry` would count as
    /// written before that.
    async fn stands_last(&self, batch: &Batch, entry: &Entry) -> Result<bool> {
        let Some(remote) = self.shared.remote.as_ref().filter(|_| entry.schema.key.kind == KeyKind::Server)
        else {
            return Ok(true);
        };
        if remote.acts.creations.are_none() {
            return Ok(true);
        }
        let is_of_model = |other: &&Entry| other.schema == entry.schema;
        let mut keys: BTreeSet<Key> =
            enqueued(batch).filter(is_of_model).map(|new| new.key.clone()).collect();
        let (mut after, mut looked) = (entry.seq, 0);
        loop {
            let loaded = self.shared.store.outbox(&self.cx(), after, READ).await?;
            looked += loaded.entries.len();
            if looked > LOOK || !loaded.unreadable.is_empty() {
                return Ok(false);
            }
            keys.extend(loaded.entries.iter().filter(is_of_model).map(|later| later.key.clone()));
            if loaded.entries.len() < READ {
                // What was accepted is gone from the outbox.
                keys.extend(remote.acts.accepted.after(entry.schema, entry.seq));
                return Ok(!remote.acts.may_be_among(entry.schema, &entry.key, &keys).await);
            }
            after = loaded.last;
        }
    }

    /// Adds to the batch what the entry and its row come to.
    fn take_in(
        &self,
        batch: &mut Batch,
        coalesced: &mut Coalesced,
        change: &Change,
        stored: &StoredRow,
        (entry, merged): (Entry, Merged),
    ) -> Option<(MutationId, Operation)> {
        let (schema, key) = (change.schema, change.key.clone());
        let Merged::Into(kept) = merged else {
            batch.ops.push(Op::Dequeue(entry.seq));
            batch.ops.push(Op::Cursor { scope: left(schema, &key), value: None });
            batch.ops.push(Op::Remove { schema, key: key.clone() });
            coalesced.cancelled.push(Cancelled { seq: entry.seq, id: entry.id, row: (schema, key) });
            return None;
        };
        batch.ops.push(Op::Revise(kept.clone()));
        batch.ops.push(rewritten(schema, key, kept.row.clone(), stored.meta.clone()));
        let told = (kept.id, kept.operation);
        coalesced.kept.push(*kept);
        Some(told)
    }

    /// True if all that `row` refers to was created before `entry`.
    async fn is_of_before(
        &self,
        batch: &Batch,
        expect: &mut Vec<Expect>,
        entry: &Entry,
        row: &dyn Row,
    ) -> Result<bool> {
        let known = match &entry.row {
            Some(row) => references(entry.schema, &**row)?,
            None => Vec::new(),
        };
        for (schema, key) in references(entry.schema, row)? {
            if known.contains(&(schema, key.clone())) {
                continue;
            }
            let itself = schema == entry.schema && key == entry.key;
            let created_here = batch.ops.iter().any(|op| {
                matches!(op, Op::Put { schema: of, key: other, tail: Tail::New(_), .. }
                    if *of == schema && *other == key)
            });
            let target = self.shared.store.load(&self.cx(), schema, &key).await?;
            let (tail, revision) = target.map_or((0, 0), |target| (target.meta.tail, target.meta.revision));
            if itself || created_here || tail > entry.seq {
                return Ok(false);
            }
            expect.push(Expect::Row { schema, key, revision });
        }
        Ok(true)
    }

    /// True if no queued mutation of another row that matters names the row of `entry`, which is to be deleted: of one that
    /// is created by it, any; else one that comes after it, for a deletion waits for those before it alone.
    async fn is_unnamed(&self, batch: &Batch, expect: &mut Vec<Expect>, entry: &Entry) -> Result<bool> {
        if entry.prev != 0 && self.shared.store.entry(&self.cx(), entry.prev).await?.is_some() {
            // What came before is on its way, or waits.
            return Ok(entry.operation != Operation::Insert && self.is_last(batch, entry).await?);
        }
        let Some(remote) = &self.shared.remote else { return Ok(false) };
        let names = |schema: &&&'static Schema| {
            schema.associations.iter().any(|def| def.is_stored() && (def.target)() == entry.schema)
        };
        let naming: Vec<&'static Schema> = remote.acts.schemas.iter().filter(names).copied().collect();
        if naming.is_empty() {
            return Ok(true);
        }
        let revision = self.shared.store.revision();
        expect.extend(naming.iter().map(|schema| Expect::Model { schema, revision }));
        let created = entry.operation == Operation::Insert;
        let after = if created { 0 } else { entry.seq };
        let new = changed_by(batch);
        for other in enqueued(batch) {
            if named_in(other, entry)? {
                return Ok(false);
            }
        }
        if self.shared.store.outbox_counts(&self.cx()).await?.entries > LOOK as u64 {
            return Ok(false);
        }
        self.none_names(entry, after, &new).await
    }

    /// True if no entry after `after` names the row of `entry`, seen as `new` has changed them.
    async fn none_names(
        &self,
        entry: &Entry,
        mut after: u64,
        new: &BTreeMap<u64, Option<&Entry>>,
    ) -> Result<bool> {
        loop {
            let loaded = self.shared.store.outbox(&self.cx(), after, READ).await?;
            if !loaded.unreadable.is_empty() {
                return Ok(false);
            }
            if loaded.entries.is_empty() {
                return Ok(true);
            }
            after = loaded.last;
            for other in &loaded.entries {
                let other = match new.get(&other.seq) {
                    None => other,
                    Some(Some(revised)) => *revised,
                    Some(None) => continue,
                };
                if other.seq != entry.seq && named_in(other, entry)? {
                    return Ok(false);
                }
            }
        }
    }

    /// True if nothing was queued after `entry`.
    async fn is_last(&self, batch: &Batch, entry: &Entry) -> Result<bool> {
        let enqueues = enqueued(batch).next().is_some();
        let loaded = self.shared.store.outbox(&self.cx(), entry.seq, 1).await?;
        Ok(!enqueues && loaded.entries.is_empty() && loaded.unreadable.is_empty())
    }

    /// Tells the schedule what has become of entries, and whoever waits for them.
    pub(super) fn tell_coalesced(&self, remote: &Remote, coalesced: &Coalesced) {
        let Coalesced { kept, cancelled } = coalesced;
        if kept.is_empty() && cancelled.is_empty() {
            return;
        }
        for Cancelled { seq, id, .. } in cancelled {
            remote.acts.fresh.lock().remove(*seq);
            let what = "the row was deleted before it was sent: the remote has never had it";
            self.shared.fates.settle(*id, &Fate::Failed(Error::new(ErrorKind::NotFound, what)));
        }
        let revised = kept.iter().map(|entry| remote.acts.head(entry)).collect();
        let gone = cancelled.iter().map(|cancelled| cancelled.seq).collect();
        remote.driver.tell(Event::Revised { revised, gone });
    }
}

/// The entries that a batch enqueues.
fn enqueued(batch: &Batch) -> impl Iterator<Item = &Entry> {
    batch.ops.iter().filter_map(|op| if let Op::Enqueue(new) = op { Some(&**new) } else { None })
}

/// What a batch makes of entries that are there: `None` of those that go.
fn changed_by(batch: &Batch) -> BTreeMap<u64, Option<&Entry>> {
    fn change(op: &Op) -> Option<(u64, Option<&Entry>)> {
        match op {
            Op::Revise(entry) => Some((entry.seq, Some(entry))),
            Op::Dequeue(seq) => Some((*seq, None)),
            _ => None,
        }
    }
    batch.ops.iter().filter_map(change).collect()
}

/// Whether `other` names the row of `entry`, now or before.
fn named_in(other: &Entry, entry: &Entry) -> Result<bool> {
    for row in [&other.row, &other.base].into_iter().flatten() {
        let named = references(other.schema, &**row)?;
        if named.iter().any(|(schema, key)| *schema == entry.schema && *key == entry.key) {
            return Ok(true);
        }
    }
    Ok(false)
}
