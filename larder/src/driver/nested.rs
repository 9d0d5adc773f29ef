//! Mutations that go in the request of another one: they are sent, settled and given up with it.

use std::collections::BTreeMap;

use larder_core::{
    Batch, Embedded, Enclosed, Entry, EntryState, Error, ErrorKind, Meta, MutationId, Op, Operation, PageRow,
    Record, Result, StoredRow, Timestamp,
};

use super::act::{Acts, Heard};
use super::resolve::theirs;
use crate::engine::rebase::{self, Rebase, Rebased, Start};
use crate::engine::regroup::{Part, regroup};
use crate::engine::settle;

/// How many entries are read at a time, to find those that go with another.
const READ: usize = 64;

impl Acts {
    /// The entries that go in the request of `entry`, in order.
    pub(super) async fn carried(&self, entry: &Entry) -> Result<Vec<Entry>> {
        let (mut found, mut after) = (Vec::new(), entry.seq);
        while found.len() < entry.carries.len() {
            let loaded = self.store.outbox(&self.cx(), after, entry.carries.len().max(READ)).await?;
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                break;
            }
            after = loaded.last;
            let goes = |other: &Entry| other.within.as_ref().is_some_and(|within| within.carrier == entry.id);
            found.extend(loaded.entries.into_iter().filter(goes));
        }
        Ok(found)
    }

    /// What stands in the request of `entry`: the same whenever it is sent.
    ///
    /// # Errors
    /// `Unsupported` if a part of it can't be read, or belongs to an association that the model does not have any more.
    pub(super) async fn nested(&self, entry: &Entry) -> Result<Vec<Enclosed>> {
        if entry.carries.is_empty() {
            return Ok(Vec::new());
        }
        let carried = self.carried(entry).await?;
        if carried.len() != entry.carries.len() {
            return Err(unsendable(entry, "a row that goes in the request can't be read"));
        }
        let mut by_parent: BTreeMap<MutationId, Vec<&Entry>> = BTreeMap::new();
        for within in &carried {
            let parent = within.within.as_ref().map_or(entry.id, |within| within.parent);
            by_parent.entry(parent).or_default().push(within);
        }
        tree(entry, &by_parent)
    }

    /// What the remote has of what goes in the request of `entry`; `there` is the row of that, which may show it.
    pub(super) async fn nested_there(&self, entry: &Entry, there: Option<&PageRow>) -> Result<NestedThere> {
        let mut found = NestedThere { rows: BTreeMap::new(), has_all: true };
        if entry.carries.is_empty() {
            return Ok(found);
        }
        for within in self.carried(entry).await? {
            let row = match embedded(&within, there) {
                Some(embedded) => Some(shown(embedded, self.runtime.now())),
                None => match self.there(&within).await {
                    Ok(row) => row,
                    Err(error) if error.kind() == ErrorKind::Unsupported => {
                        // It can't be asked: a request that made the row made what was in it.
                        found.has_all &= entry.operation == Operation::Insert;
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            if let Some(wanted) = &within.row {
                found.has_all &= match &row {
                    Some(row) => {
                        agrees(&within, &**wanted, &Record::overlay(within.schema, &**wanted, &*row.row)?)?
                    }
                    None => false,
                };
            }
            found.rows.insert(within.seq, row);
        }
        Ok(found)
    }

    /// Puts what goes in the request of `entry`, which `rebased` has made to go on, on what the remote has of it as far as
    /// that was heard. Of one that waits for the application, that is kept beside what goes with it.
    pub(super) async fn rebase_carried(
        &self,
        rebased: &mut Rebased,
        entry: &Entry,
        heard: Option<&Heard>,
    ) -> Result<()> {
        if entry.carries.is_empty() {
            return Ok(());
        }
        let asks = |moved: &Entry| moved.seq == entry.seq && moved.state != EntryState::Ready;
        let held = rebased.moved.iter().any(asks);
        for within in self.carried(entry).await? {
            let Some((mut within, Some(stored))) = self.look(within.seq).await? else { continue };
            let now = self.runtime.now();
            let theirs = match heard.and_then(|heard| heard.nested.get(&within.seq)) {
                Some(there) => theirs(&within, there.as_ref(), now)?,
                None => match within.theirs.take() {
                    Some(beside) if !held => *beside,
                    _ => continue,
                },
            };
            let mut queue = self.later(&within, &stored).await?;
            let (schema, key, start) = (within.schema, within.key.clone(), Start::Heard);
            queue.insert(0, within);
            let rebase = Rebase { schema, key: &key, stored: &stored, queue, theirs, start, held, now };
            if let Some(of_it) = rebase::rebased(rebase, self.resolvers.of(schema))? {
                rebased.batch.expect.extend(of_it.batch.expect);
                rebased.batch.ops.extend(of_it.batch.ops);
                rebased.ended.extend(of_it.ended);
                rebased.moved.extend(of_it.moved);
            }
        }
        Ok(())
    }

    /// Lets each entry that `rebased` has changed go in the request that it belongs in now.
    pub(super) async fn regroup(&self, rebased: &mut Rebased) -> Result<()> {
        let mut carriers = BTreeMap::new();
        let changed = rebased.ended.iter().map(|(entry, _)| entry).chain(&rebased.moved);
        for entry in changed.filter(|entry| !entry.carries.is_empty() || entry.within.is_some()) {
            let carrier = if entry.carries.is_empty() {
                self.carrier(entry).await?
            } else {
                self.store.entry(&self.cx(), entry.seq).await?
            };
            carriers.extend(carrier.map(|carrier| (carrier.seq, carrier)));
        }
        for carrier in carriers.into_values() {
            let carried = self.carried(&carrier).await?;
            let mut parts = Vec::with_capacity(carried.len() + 1);
            for old in std::iter::once(carrier).chain(carried) {
                let gone = rebased.ended.iter().any(|(ended, _)| ended.seq == old.seq);
                let moved = rebased.moved.iter().find(|moved| moved.seq == old.seq);
                let now = if gone { None } else { Some(moved.unwrap_or(&old).clone()) };
                parts.push(Part { old, now });
            }
            regroup(&mut parts);
            for now in
                parts.into_iter().filter_map(|part| part.now.filter(|now| is_elsewhere(now, &part.old)))
            {
                self.rewrite(rebased, now).await?;
            }
        }
        rebased.moved.sort_by_key(|entry| entry.seq);
        Ok(())
    }

    /// Lets the batch write `entry` as it is now.
    async fn rewrite(&self, rebased: &mut Rebased, entry: Entry) -> Result<()> {
        let ops = &mut rebased.batch.ops;
        let written = ops.iter_mut().find(|op| matches!(op, Op::Revise(written) if written.seq == entry.seq));
        if let Some(op) = written {
            *op = Op::Revise(Box::new(entry.clone()));
        } else {
            let Some((_, stored)) = self.look(entry.seq).await? else { return Ok(()) };
            rebased.batch.expect.push(settle::expect(&entry, stored.as_ref()));
            ops.push(Op::Revise(Box::new(entry.clone())));
            // Whatever is decided about the entry relies on its row.
            ops.extend(stored.map(|StoredRow { meta, row }| {
                settle::rewritten(entry.schema, entry.key.clone(), row, meta)
            }));
        }
        match rebased.moved.iter_mut().find(|moved| moved.seq == entry.seq) {
            Some(moved) => *moved = entry,
            None => rebased.moved.push(entry),
        }
        Ok(())
    }

    /// True if an entry goes in a request that may be on its way, or waits for a decision.
    pub(super) async fn is_held(&self, entry: &Entry) -> Result<bool> {
        let carrier = self.carrier(entry).await?;
        Ok(carrier.is_some_and(|carrier| carrier.mark.is_some() || carrier.state != EntryState::Ready))
    }

    /// The entry in whose request an entry goes; `None` if it has one of its own, or if that one is gone. They were stored
    /// together, so it is not far.
    async fn carrier(&self, entry: &Entry) -> Result<Option<Entry>> {
        let Some(within) = &entry.within else { return Ok(None) };
        let mut before = entry.seq;
        while before > 1 {
            let after = before.saturating_sub(READ as u64 + 1);
            let limit = usize::try_from(before - 1 - after).unwrap_or(READ);
            let loaded = self.store.outbox(&self.cx(), after, limit).await?;
            if let Some(carrier) = loaded.entries.into_iter().find(|other| other.id == within.carrier) {
                return Ok(Some(carrier));
            }
            before = after + 1;
        }
        Ok(None)
    }

    /// Settles what went with `entry`; what the answer shows of it is merged into it. Gives the queues of rows of which
    /// something else was heard meanwhile.
    pub(super) async fn accept_nested(
        &self,
        batch: &mut Batch,
        entry: &Entry,
        answer: Option<&PageRow>,
        now: Timestamp,
    ) -> Result<Vec<Rebased>> {
        let mut overtaken = Vec::new();
        for within in self.carried(entry).await? {
            let Some((within, stored)) = self.look(within.seq).await? else { continue };
            self.note_accepted(batch, &within, None);
            let stored = stored.as_ref();
            let shown = embedded(&within, answer).map(|embedded| shown(embedded, now));
            if let Some(mut rebased) = self.overtaken(&within, stored, shown.as_ref()).await? {
                let of_it = std::mem::take(&mut rebased.batch);
                batch.expect.extend(of_it.expect);
                batch.ops.extend(of_it.ops);
                overtaken.push(rebased);
                continue;
            }
            let next = self.next(&within, stored, None).await?;
            let again = self.written_again(&within, stored, shown.as_ref()).await?;
            let settled = settle::accepted(&within, stored, next.as_ref(), shown.as_ref(), &again, now)?;
            batch.expect.extend(settled.expect);
            batch.ops.extend(settled.ops);
        }
        Ok(overtaken)
    }

    /// Gives an entry up, with what goes in its request and in those of the entries that are given up with it. Gives
    /// the entries that are gone then.
    pub(super) async fn give_up(
        &self,
        entry: Entry,
        stored: Option<StoredRow>,
    ) -> Result<(Batch, Vec<Entry>)> {
        let (mut batch, mut gone) = (Batch::default(), Vec::new());
        let mut open = vec![(entry, stored)];
        while let Some((entry, stored)) = open.pop() {
            let view = self.view(&entry, stored).await?;
            let given_up = settle::discarded(&entry, &view, self.runtime.now())?;
            let dequeues = |seq: u64| {
                given_up.ops.iter().any(|op| matches!(op, Op::Dequeue(dequeued) if *dequeued == seq))
            };
            let with_it: Vec<Entry> = view.later.into_iter().filter(|later| dequeues(later.seq)).collect();
            batch.expect.extend(given_up.expect);
            batch.ops.extend(given_up.ops);
            for entry in std::iter::once(entry).chain(with_it) {
                for within in self.carried(&entry).await? {
                    open.extend(self.look(within.seq).await?);
                }
                gone.push(entry);
            }
        }
        Ok((batch, gone))
    }

    /// # Errors
    /// `Conflict` if the entry goes in the request of one that is still there.
    pub(super) async fn refuse_carried(&self, entry: &Entry) -> Result<()> {
        let Some(carrier) = self.carrier(entry).await? else { return Ok(()) };
        let what = format!(
            "the mutation goes in the request of that of the {} with the key {}: decide about that one",
            carrier.schema.model, carrier.key
        );
        let error = Error::new(ErrorKind::Conflict, what).during("discard");
        Err(error.model(entry.schema.model).key(&entry.key))
    }
}

/// What the remote has of what goes in a request.
pub(super) struct NestedThere {
    /// By the sequence numbers of the entries; what it can't be asked about is not among them.
    pub(super) rows: BTreeMap<u64, Option<PageRow>>,
    /// It has all of it as it is wanted.
    pub(super) has_all: bool,
}

/// True if an entry does not go where it did.
fn is_elsewhere(now: &Entry, old: &Entry) -> bool {
    now.within != old.within || now.carries != old.carries
}

/// What stands in the row of `parent`.
fn tree(parent: &Entry, by_parent: &BTreeMap<MutationId, Vec<&Entry>>) -> Result<Vec<Enclosed>> {
    let nested = |entry: &&Entry| {
        let name = entry.within.as_ref().map_or("", |within| &*within.association);
        let association =
            parent.schema.associations.iter().find(|def| def.name == name).ok_or_else(|| {
                unsendable(parent, "it carries rows of an association that the model does not have any more")
            })?;
        let row = entry.row.clone().ok_or_else(|| unsendable(entry, "a nested mutation has no row"))?;
        let (schema, key, operation) = (entry.schema, entry.key.clone(), entry.operation);
        Ok(Enclosed { association, schema, key, operation, row, nested: tree(entry, by_parent)? })
    };
    by_parent.get(&parent.id).into_iter().flatten().map(nested).collect()
}

/// The row of `entry` as it stands in an answer.
fn embedded<'a>(entry: &Entry, answer: Option<&'a PageRow>) -> Option<&'a Embedded> {
    let rows = &answer?.brought.as_ref()?.rows;
    rows.iter().find(|row| {
        row.schema == entry.schema && entry.schema.key_of(&row.row).is_ok_and(|key| key == entry.key)
    })
}

/// A row as another one shows it.
fn shown(embedded: &Embedded, now: Timestamp) -> PageRow {
    let meta = Meta { extra: embedded.extra.clone(), ..Meta::synced(now) };
    PageRow::new(meta, std::sync::Arc::new(embedded.row.clone()))
}

/// Whether a row has what `entry` changes.
fn agrees(entry: &Entry, wanted: &dyn larder_core::Row, row: &dyn larder_core::Row) -> Result<bool> {
    let different = crate::engine::enqueue::differences(entry.schema, wanted, row)?;
    Ok(!entry.changed.iter().any(|at| different.contains(at)))
}

fn unsendable(entry: &Entry, what: &str) -> Error {
    let error = Error::new(ErrorKind::Unsupported, what).with_sent(larder_core::Sent::Never);
    error.model(entry.schema.model).key(&entry.key)
}
