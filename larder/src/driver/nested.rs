//! Mutations that go in the request of another one: they are sent, settled and given up with it.

use std::collections::BTreeMap;

use larder_core::{
    Batch, Embedded, Enclosed, Entry, Error, ErrorKind, Meta, MutationId, Op, Operation, PageRow, Query,
    Result, StoredRow, Timestamp,
};

use super::act::Acts;
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

    /// Whether the remote has what goes in the request of `entry`, whose own row it has as it is wanted.
    pub(super) async fn has_nested(&self, entry: &Entry, there: &PageRow) -> Result<bool> {
        for within in self.carried(entry).await? {
            let Some(wanted) = &within.row else { continue };
            let has = match embedded(&within, Some(there)) {
                Some(embedded) => shows(&within, &embedded.row)?,
                None => {
                    match self
                        .remote
                        .get(&Self::cx_of(&within), within.schema, &Query::key(within.key.clone()))
                        .await
                    {
                        Ok(page) => {
                            let rows =
                                Query::key(within.key.clone()).finish(within.schema, page.done, page.rows)?;
                            let row = rows.into_iter().next();
                            row.map_or(Ok(false), |row| agrees(&within, &**wanted, &*row.row))?
                        }
                        Err(error) if error.kind() == ErrorKind::NotFound => false,
                        // It can't be asked: a request that made the row made what was in it.
                        Err(error) if error.kind() == ErrorKind::Unsupported => {
                            entry.operation == Operation::Insert
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
            if !has {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Settles what went with `entry`; what the answer shows of it is merged into it.
    pub(super) async fn accept_nested(
        &self,
        batch: &mut Batch,
        entry: &Entry,
        answer: Option<&PageRow>,
        now: Timestamp,
    ) -> Result<()> {
        for within in self.carried(entry).await? {
            let Some((within, stored)) = self.look(within.seq).await? else { continue };
            let stored = stored.as_ref();
            let next = self.next(&within, stored, None).await?;
            let shown = embedded(&within, answer).map(|embedded| {
                let meta = Meta { extra: embedded.extra.clone(), ..Meta::synced(now) };
                PageRow::new(meta, std::sync::Arc::new(embedded.row.clone()))
            });
            let again = self.written_again(&within, stored, shown.as_ref()).await?;
            let settled = settle::accepted(&within, stored, next.as_ref(), shown.as_ref(), &again, now)?;
            batch.expect.extend(settled.expect);
            batch.ops.extend(settled.ops);
        }
        Ok(())
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
        let Some(within) = &entry.within else { return Ok(()) };
        let mut after = 0;
        while after < entry.seq {
            let loaded = self.store.outbox(&self.cx(), after, READ).await?;
            if let Some(carrier) = loaded.entries.iter().find(|other| other.id == within.carrier) {
                let what = format!(
                    "the mutation goes in the request of that of the {} with the key {}: decide about that one",
                    carrier.schema.model, carrier.key
                );
                let error = Error::new(ErrorKind::Conflict, what).during("discard");
                return Err(error.model(entry.schema.model).key(&entry.key));
            }
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                break;
            }
            after = loaded.last;
        }
        Ok(())
    }
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

/// Whether what is said of a row is what `entry` wants of it.
fn shows(entry: &Entry, said: &larder_core::Record) -> Result<bool> {
    let Some(wanted) = &entry.row else { return Ok(true) };
    let whole = larder_core::Record::overlay(entry.schema, &**wanted, said)?;
    agrees(entry, &**wanted, &whole)
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
