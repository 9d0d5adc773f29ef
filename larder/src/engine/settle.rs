//! From an answer, or a decision of the application, to the batch that makes it durable.

use std::sync::Arc;

use larder_core::{
    Batch, Entry, EntryState, Expect, Failure, Key, Meta, Op, Operation, PageRow, ParkReason, Record, RemoteVersion, Result, Row,
    RowState, Schema, StoredRow, SyncState, Tail, Timestamp, ValueRef,
};

/// A row as it is stored, and the entries of it that come after the one that is settled, oldest first.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) stored: Option<StoredRow>,
    pub(crate) later: Vec<Entry>,
}

impl View {
    fn expect(&self, entry: &Entry) -> Expect {
        let revision = self.stored.as_ref().map_or(0, |stored| stored.meta.revision);
        Expect::Row { schema: entry.schema, key: entry.key.clone(), revision }
    }
}

/// The remote has the mutation: the entry goes, and what the remote answered is merged into the row, under whatever
/// the application has changed since.
///
/// # Errors
/// `Serialization` or `Corrupt` if a row can't be shown.
pub(crate) fn accepted(entry: &Entry, view: &View, answer: Option<&PageRow>, now: Timestamp) -> Result<Batch> {
    let mut batch = Batch { expect: vec![view.expect(entry)], ops: vec![Op::Dequeue(entry.seq)] };
    let Some(stored) = &view.stored else { return Ok(batch) };
    let (schema, key) = (entry.schema, entry.key.clone());
    let Some(sent) = &entry.row else {
        // The row is gone over there. Whatever was written here since, is new.
        match view.later.split_first() {
            None => batch.ops.push(Op::Remove { schema, key }),
            Some((next, _)) => {
                let mut next = next.clone();
                next.base = None;
                next.base_version = None;
                next.operation = if next.row.is_some() { Operation::Insert } else { next.operation };
                batch.ops.push(Op::Revise(Box::new(next)));
                let meta = Meta { version: None, ..stored.meta.clone() };
                batch.ops.push(rewritten(schema, key, stored.row.clone(), meta));
            }
        }
        return Ok(batch);
    };
    let merged: Arc<dyn Row> = match answer {
        Some(answer) => Arc::new(Record::overlay(schema, &**sent, &*answer.row)?),
        None => Arc::clone(sent),
    };
    let version = answer.and_then(|answer| answer.meta.version.clone());
    let extra = answer.and_then(|answer| answer.meta.extra.clone()).or_else(|| stored.meta.extra.clone());
    let mut meta = Meta { version: version.clone(), extra, ..stored.meta.clone() };
    if view.later.is_empty() {
        meta.tail = 0;
        meta.sync = SyncState { state: RowState::Synced, since: now };
        batch.ops.push(Op::Put { schema, key, row: merged, meta, tail: Tail::At(0) });
    } else {
        let row = restack(&mut batch, schema, &merged, version, &view.later)?;
        batch.ops.push(rewritten(schema, key, row, meta));
    }
    Ok(batch)
}

/// The entry waits for a decision; so does its row.
pub(crate) fn parked(entry: &Entry, view: &View, reason: ParkReason, failure: Option<Failure>, now: Timestamp) -> Batch {
    let mut entry = entry.clone();
    entry.state = EntryState::Parked(reason);
    entry.failure = failure.or(entry.failure);
    entry.attempts += 1;
    let state = if reason == ParkReason::Conflict { RowState::Conflicted } else { RowState::Parked };
    restated(entry, view, state, now)
}

/// A failure that counts, and will be tried again.
pub(crate) fn noted(entry: &Entry, failure: Option<Failure>, now: Timestamp) -> Batch {
    let mut entry = entry.clone();
    entry.failure = failure.or(entry.failure);
    entry.attempts += 1;
    entry.strikes += 1;
    entry.first_strike.get_or_insert(now);
    Batch { expect: Vec::new(), ops: vec![Op::Revise(Box::new(entry))] }
}

/// A parked entry goes again.
pub(crate) fn retried(entry: &Entry, view: &View, now: Timestamp) -> Batch {
    let mut entry = entry.clone();
    entry.state = EntryState::Ready;
    entry.mark = None;
    entry.strikes = 0;
    entry.first_strike = None;
    restated(entry, view, RowState::Pending, now)
}

fn restated(entry: Entry, view: &View, state: RowState, now: Timestamp) -> Batch {
    let mut batch = Batch { expect: vec![view.expect(&entry)], ops: Vec::new() };
    if let Some(stored) = &view.stored {
        let mut meta = stored.meta.clone();
        meta.sync = SyncState { state, since: now };
        batch.ops.push(rewritten(entry.schema, entry.key.clone(), stored.row.clone(), meta));
    }
    batch.ops.push(Op::Revise(Box::new(entry)));
    batch
}

/// The application gives an entry up: the row goes back to the base, under what was changed since. Later changes of a
/// row whose creation is given up go with it: there is nothing to change.
///
/// # Errors
/// `Serialization` or `Corrupt` if a row can't be shown.
pub(crate) fn discarded(entry: &Entry, view: &View, now: Timestamp) -> Result<Batch> {
    let mut batch = Batch { expect: vec![view.expect(entry)], ops: vec![Op::Dequeue(entry.seq)] };
    let (schema, key) = (entry.schema, entry.key.clone());
    let Some(stored) = &view.stored else { return Ok(batch) };
    match &entry.base {
        None => {
            batch.ops.extend(view.later.iter().map(|later| Op::Dequeue(later.seq)));
            batch.ops.push(Op::Remove { schema, key });
        }
        Some(base) if view.later.is_empty() => {
            let sync = SyncState { state: RowState::Synced, since: now };
            let meta = Meta { tail: 0, sync, version: entry.base_version.clone(), ..stored.meta.clone() };
            batch.ops.push(Op::Put { schema, key, row: Arc::clone(base), meta, tail: Tail::At(0) });
        }
        Some(base) => {
            let row = restack(&mut batch, schema, base, entry.base_version.clone(), &view.later)?;
            let sync = SyncState { state: RowState::Pending, since: now };
            batch.ops.push(rewritten(schema, key, row, Meta { sync, ..stored.meta.clone() }));
        }
    }
    Ok(batch)
}

/// Puts `later`, none of which has been sent, on another base: each keeps what it changes and takes the rest from what
/// is under it. Gives the row on top; `None` if it is deleted.
fn restack(
    batch: &mut Batch,
    schema: &'static Schema,
    base: &Arc<dyn Row>,
    version: Option<RemoteVersion>,
    later: &[Entry],
) -> Result<Option<Arc<dyn Row>>> {
    let mut under = Some(Arc::clone(base));
    for (at, entry) in later.iter().enumerate() {
        let mut entry = entry.clone();
        if at == 0 {
            entry.base_version.clone_from(&version);
        }
        entry.row = match (&entry.row, &under) {
            (Some(intent), Some(under)) => {
                let mut row = Record::copy(schema, &**under)?;
                for at in entry.changed.iter() {
                    let value = intent.field(at).and_then(ValueRef::to_value);
                    row.set(at, value.map_err(|fault| schema.fault(at, fault))?);
                }
                Some(Arc::new(row))
            }
            (intent, _) => intent.clone(),
        };
        let top = entry.row.clone();
        entry.base = std::mem::replace(&mut under, top);
        batch.ops.push(Op::Revise(Box::new(entry)));
    }
    Ok(under)
}

/// What is stored under a key, with another meta.
fn rewritten(schema: &'static Schema, key: Key, row: Option<Arc<dyn Row>>, meta: Meta) -> Op {
    let tail = Tail::At(meta.tail);
    match row {
        Some(row) => Op::Put { schema, key, row, meta, tail },
        None => Op::Tombstone { schema, key, meta, tail },
    }
}
