//! From an answer, or a decision of the application, to the batch that makes it durable.

use std::sync::Arc;

use larder_core::{
    Batch, Entry, EntryState, Error, ErrorKind, Expect, Failure, FieldSet, Idempotency, Key, Meta,
    MutationId, Op, Operation, PageRow, ParkReason, Record, RemoteVersion, Result, Row, RowState, Schema,
    StoredRow, SyncState, Tail, Timestamp, ValueRef,
};

use super::enqueue::differences;

/// What an entry is settled on: its row as it is stored, and the other entries of it, oldest first.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) stored: Option<StoredRow>,
    pub(crate) earlier: Vec<Entry>,
    pub(crate) later: Vec<Entry>,
}

/// That the row of `entry` is as it was read, and so is what the entry says.
pub(crate) fn expect(entry: &Entry, stored: Option<&StoredRow>) -> Expect {
    let revision = stored.map_or(0, |stored| stored.meta.revision);
    Expect::Row { schema: entry.schema, key: entry.key.clone(), revision }
}

/// The remote has the mutation: the entry goes, and what the remote answered is merged into the row, under whatever
/// the application has changed since.
///
/// `next` is the entry of the row that comes after this one. It is put on what the remote has now; those behind it are
/// left for their turn, so that a long queue of one row is not rewritten again and again. `again` are fields that entries
/// behind this one write, though with what was sent: what the remote answered is not shown there.
///
/// # Errors
/// `Serialization` or `Corrupt` if a row can't be shown, or the answer is another row's.
pub(crate) fn accepted(
    entry: &Entry,
    stored: Option<&StoredRow>,
    next: Option<&Entry>,
    answer: Option<&PageRow>,
    again: &FieldSet,
    now: Timestamp,
) -> Result<Batch> {
    let mut batch = Batch { expect: vec![expect(entry, stored)], ops: vec![Op::Dequeue(entry.seq)] };
    let Some(stored) = stored else { return Ok(batch) };
    let (schema, key) = (entry.schema, entry.key.clone());
    let Some(sent) = &entry.row else {
        batch.ops.extend(deleted(entry, stored, next, now));
        return Ok(batch);
    };
    let merged = answered(entry, sent, answer)?;
    let version = answer.and_then(|answer| answer.meta.version.clone());
    let extra = answer.and_then(|answer| answer.meta.extra.clone()).or_else(|| stored.meta.extra.clone());
    let mut meta = Meta { version: version.clone(), extra, ..stored.meta.clone() };
    if let Some(next) = next {
        let mut next = next.clone();
        next.prev = entry.prev;
        if let Some(theirs) = &mut next.theirs {
            // It waits for a decision about this: what the remote has now.
            (theirs.row, theirs.version) = (Some(Arc::clone(&merged)), version);
        } else {
            // Of what may have been sent nothing is altered that the remote was told.
            if next.mark.is_none() {
                next.base_version = version;
                if let Some(intent) = &next.row {
                    next.row = Some(on_top(schema, &*merged, &**intent, &next.changed)?);
                }
            }
            // What makes the row anew is made from nothing.
            if next.mark.is_none() || next.operation != Operation::Insert {
                next.base = Some(Arc::clone(&merged));
            }
        }
        batch.ops.push(Op::Revise(Box::new(next)));
    }
    if meta.tail > entry.seq {
        let row = match &stored.row {
            Some(top) => {
                let mut ours = differences(schema, &**sent, &**top)?;
                again.iter().for_each(|at| ours.insert(at));
                Some(on_top(schema, &*merged, &**top, &ours)?)
            }
            None => None,
        };
        batch.ops.push(rewritten(schema, key, row, meta));
    } else {
        meta.tail = 0;
        meta.sync = SyncState { state: RowState::Synced, since: now };
        batch.ops.push(Op::Put { schema, key, row: merged, meta, tail: Tail::At(0) });
    }
    Ok(batch)
}

/// What the remote has made of what was `sent`.
fn answered(entry: &Entry, sent: &Arc<dyn Row>, answer: Option<&PageRow>) -> Result<Arc<dyn Row>> {
    let schema = entry.schema;
    let Some(answer) = answer else { return Ok(Arc::clone(sent)) };
    let merged = overlaid(schema, &**sent, answer)?;
    if schema.key_of(&*merged)? != entry.key {
        let what = "the remote answered with a row of another key";
        return Err(Error::new(ErrorKind::Serialization, what).model(schema.model).key(&entry.key));
    }
    Ok(merged)
}

/// What was sent, with what the remote answered on top.
///
/// # Errors
/// `Serialization` if that is no row of the model.
pub(crate) fn overlaid(schema: &'static Schema, sent: &dyn Row, answer: &PageRow) -> Result<Arc<dyn Row>> {
    let row = Record::overlay(schema, sent, &*answer.row)?;
    schema.fits(&row)?;
    Ok(Arc::new(row))
}

/// What becomes of a row that is gone over there. Whatever was written here since, is new.
fn deleted(entry: &Entry, stored: &StoredRow, next: Option<&Entry>, now: Timestamp) -> Vec<Op> {
    let (schema, key) = (entry.schema, entry.key.clone());
    let mut ops = Vec::new();
    if let Some(next) = next {
        let mut next = next.clone();
        next.prev = entry.prev;
        next.base = None;
        next.base_version = None;
        next.operation = if next.row.is_some() { Operation::Insert } else { next.operation };
        ops.push(Op::Revise(Box::new(next)));
    }
    let meta = Meta { version: None, ..stored.meta.clone() };
    ops.push(match &stored.row {
        row if meta.tail > entry.seq => rewritten(schema, key, row.clone(), meta),
        // It was written here alone, and never to be sent.
        Some(row) => {
            let sync = SyncState { state: RowState::Local, since: now };
            let row = Arc::clone(row);
            Op::Put { schema, key, row, meta: Meta { tail: 0, sync, ..meta }, tail: Tail::At(0) }
        }
        None => Op::Remove { schema, key },
    });
    ops
}

/// `under` with the fields `changed` of `intent`.
pub(super) fn on_top(
    schema: &'static Schema,
    under: &dyn Row,
    intent: &dyn Row,
    changed: &FieldSet,
) -> Result<Arc<dyn Row>> {
    let mut row = Record::copy(schema, under)?;
    for at in changed.iter() {
        let value = intent.field(at).and_then(ValueRef::to_value);
        row.set(at, value.map_err(|fault| schema.fault(at, fault))?);
    }
    Ok(Arc::new(row))
}

/// The entry waits for a decision; so does its row.
pub(crate) fn parked(
    entry: &Entry,
    stored: Option<&StoredRow>,
    reason: ParkReason,
    failure: Option<Failure>,
    now: Timestamp,
) -> Batch {
    let mut entry = entry.clone();
    entry.state = EntryState::Parked(reason);
    entry.failure = failure.or(entry.failure);
    entry.attempts += 1;
    let state = if reason == ParkReason::Conflict { RowState::Conflicted } else { RowState::Parked };
    restated(entry, stored, state, now)
}

/// A failure that counts, and will be tried again, not before `until`.
pub(crate) fn noted(
    entry: &Entry,
    stored: Option<&StoredRow>,
    failure: Option<Failure>,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Batch {
    let mut entry = entry.clone();
    entry.strikes += 1;
    entry.first_strike.get_or_insert(now);
    deferred(&entry, stored, failure, until)
}

/// The remote asked to be left alone until then, and the entry will be tried again.
pub(crate) fn deferred(
    entry: &Entry,
    stored: Option<&StoredRow>,
    failure: Option<Failure>,
    until: Option<Timestamp>,
) -> Batch {
    let mut entry = entry.clone();
    entry.failure = failure.or(entry.failure);
    entry.attempts += 1;
    entry.not_before = until;
    // Whatever is decided about the entry meanwhile touches its row, and is not to be undone by a note.
    Batch { expect: vec![expect(&entry, stored)], ops: vec![Op::Revise(Box::new(entry))] }
}

/// Nothing of the entry has left: it counts as never sent.
pub(crate) fn unmarked(entry: &Entry, stored: Option<&StoredRow>, until: Option<Timestamp>) -> Batch {
    let mut entry = entry.clone();
    entry.mark = None;
    entry.not_before = until;
    Batch { expect: vec![expect(&entry, stored)], ops: vec![Op::Revise(Box::new(entry))] }
}

/// A parked entry goes again. That it may have been sent before is known as well as ever, unless its endpoint would
/// never repeat it by itself: then this is the word that it shall.
pub(crate) fn retried(
    entry: &Entry,
    stored: Option<&StoredRow>,
    idempotency: Idempotency,
    now: Timestamp,
) -> Batch {
    let mut entry = entry.clone();
    entry.mark = entry.mark.filter(|_| idempotency != Idempotency::AtMostOnce);
    ready_again(&mut entry);
    restated(entry, stored, RowState::Pending, now)
}

/// Nothing is held against a parked entry any more.
fn ready_again(entry: &mut Entry) {
    entry.state = EntryState::Ready;
    entry.strikes = 0;
    entry.first_strike = None;
    entry.not_before = None;
    entry.unexplained = false;
}

/// A parked entry goes with another content: under the identity `id` if it may have been sent, for a key is never used
/// again with another payload.
pub(crate) fn reworded(entry: &mut Entry, id: MutationId) {
    if entry.mark.take().is_some() {
        entry.id = id;
    }
    ready_again(entry);
}

/// True if the row of an entry has gone back, so that it is no part of the row's list any more.
pub(crate) fn is_reverted(entry: &Entry) -> bool {
    entry.state == EntryState::Parked(ParkReason::Reverted)
}

/// Of the entries that `batch` gives up, what came of them stays; `failure` is that of the first.
pub(crate) fn reverted(batch: &mut Batch, gone: &[Entry], failure: Option<Failure>, now: Timestamp) {
    let mut failure = failure;
    for entry in gone {
        let mut kept = entry.clone();
        kept.state = EntryState::Parked(ParkReason::Reverted);
        kept.attempts += u32::from(failure.is_some());
        kept.failure = failure.take().or_else(|| {
            let what = "the creation of its row, or of the row in whose request it goes, was refused";
            Some(Failure::of(&Error::new(ErrorKind::Cancelled, what), now))
        });
        let dequeue = |op: &&mut Op| matches!(op, Op::Dequeue(seq) if *seq == entry.seq);
        if let Some(op) = batch.ops.iter_mut().find(dequeue) {
            *op = Op::Revise(Box::new(kept));
        }
    }
}

/// A parked entry shall do something else: `row` in place of what it wanted, under the later changes of its row. What
/// may have been sent gets the identity `id`, for a key is never used again with another payload.
///
/// # Errors
/// `Serialization` or `Corrupt` if a row can't be shown.
pub(crate) fn edited(
    entry: &Entry,
    view: &View,
    row: Arc<dyn Row>,
    id: MutationId,
    now: Timestamp,
) -> Result<Batch> {
    let mut batch = Batch { expect: vec![expect(entry, view.stored.as_ref())], ops: Vec::new() };
    let (schema, key) = (entry.schema, entry.key.clone());
    let mut entry = entry.clone();
    entry.changed = match (&entry.base, entry.operation) {
        (Some(base), Operation::Update | Operation::Upsert) => differences(schema, &**base, &*row)?,
        _ => (0..schema.fields.len()).collect(),
    };
    entry.row = Some(row);
    reworded(&mut entry, id);
    let ground = Ground::of(view.earlier.first().unwrap_or(&entry));
    let entries = view.earlier.iter().chain([&entry]).chain(&view.later);
    let top = restack(&mut batch, schema, ground, entries)?;
    if let Some(stored) = &view.stored {
        let sync = SyncState { state: RowState::Pending, since: now };
        batch.ops.push(rewritten(schema, key, top, Meta { sync, ..stored.meta.clone() }));
    }
    Ok(batch)
}

fn restated(entry: Entry, stored: Option<&StoredRow>, state: RowState, now: Timestamp) -> Batch {
    let mut batch = Batch { expect: vec![expect(&entry, stored)], ops: Vec::new() };
    if let Some(stored) = stored {
        let mut meta = stored.meta.clone();
        meta.sync = SyncState { state, since: now };
        batch.ops.push(rewritten(entry.schema, entry.key.clone(), stored.row.clone(), meta));
    }
    batch.ops.push(Op::Revise(Box::new(entry)));
    batch
}

/// The application gives an entry up: the row goes back to the base, under what was changed since. Later changes of a
/// row whose creation is given up go with it, up to its deletion: there is nothing to change. What was created after
/// that stays.
///
/// # Errors
/// `Serialization` or `Corrupt` if a row can't be shown.
pub(crate) fn discarded(entry: &Entry, view: &View, now: Timestamp) -> Result<Batch> {
    let mut batch =
        Batch { expect: vec![expect(entry, view.stored.as_ref())], ops: vec![Op::Dequeue(entry.seq)] };
    let (schema, key) = (entry.schema, entry.key.clone());
    let Some(stored) = &view.stored else {
        return Ok(batch);
    };
    let mut ground = Ground::of(view.earlier.first().unwrap_or(entry));
    let mut later = &view.later[..];
    if entry.operation == Operation::Insert {
        // A row that was kept here before it was published is there without its creation.
        let gone = match (&entry.base, later.iter().position(|later| later.row.is_none())) {
            (None, Some(deleted)) => deleted + 1,
            (None, None) => later.len(),
            (Some(_), Some(0)) => 1,
            (Some(_), _) => 0,
        };
        batch.ops.extend(later[..gone].iter().map(|later| Op::Dequeue(later.seq)));
        later = &later[gone..];
        if gone > 0 && view.earlier.is_empty() {
            ground.row = None;
        }
    }
    let tail = later.last().or(view.earlier.last()).map_or(0, |last| last.seq);
    // What was heard since is kept beside the first one until it is known what becomes of what was sent.
    let mut later = later.to_vec();
    let sent = later.iter_mut().find(|later| later.mark.is_some()).filter(|sent| sent.theirs.is_none());
    if let (Some(sent), Some(theirs), true) = (sent, &entry.theirs, view.earlier.is_empty()) {
        sent.theirs = Some(theirs.clone());
        batch.expect.push(Expect::entry(sent));
        batch.ops.push(Op::Revise(Box::new(sent.clone())));
    }
    let version = if view.earlier.is_empty() { ground.version.clone() } else { stored.meta.version.clone() };
    let state = match () {
        () if !view.earlier.is_empty() => stored.meta.sync.state,
        () if tail != 0 => RowState::Pending,
        () if ground.remote => RowState::Synced,
        () => RowState::Local,
    };
    let since = if state == stored.meta.sync.state { stored.meta.sync.since } else { now };
    let meta = Meta { tail, version, sync: SyncState { state, since }, ..stored.meta.clone() };
    let row = restack(&mut batch, schema, ground, view.earlier.iter().chain(&later))?;
    batch.ops.push(match row {
        None if tail == 0 => Op::Remove { schema, key },
        row => rewritten(schema, key, row, meta),
    });
    Ok(batch)
}

/// What the oldest entry of a row stands on.
pub(super) struct Ground {
    pub(super) row: Option<Arc<dyn Row>>,
    pub(super) version: Option<RemoteVersion>,
    /// The remote has it as well.
    pub(super) remote: bool,
}

impl Ground {
    /// What was heard since the intent was made is newer than its base.
    pub(super) fn of(oldest: &Entry) -> Self {
        if let Some(theirs) = &oldest.theirs {
            let remote = theirs.row.is_some();
            return Self { row: theirs.row.clone(), version: theirs.version.clone(), remote };
        }
        let remote = oldest.operation != Operation::Insert;
        Self { row: oldest.base.clone(), version: oldest.base_version.clone(), remote }
    }
}

/// Puts `entries` on another ground: each keeps what it changes and takes the rest from what is under it; one that may
/// have been sent stays as it is. Gives the row on top; `None` if it is deleted.
///
/// Where the queues of two keys have become one, what was never sent may come before what may have been: that was written later
/// and stands, whichever of the two arrives last. So what comes before it says the same of the fields that it changes.
pub(super) fn restack<'e>(
    batch: &mut Batch,
    schema: &'static Schema,
    ground: Ground,
    entries: impl Iterator<Item = &'e Entry>,
) -> Result<Option<Arc<dyn Row>>> {
    let Ground { row: mut under, version, mut remote } = ground;
    let entries: Vec<&Entry> = entries.collect();
    let sent_last = entries.iter().rposition(|entry| entry.mark.is_some()).unwrap_or(0);
    let (mut prev, mut unsent) = (0, false);
    for (nth, entry) in entries.iter().enumerate() {
        let mut entry = (*entry).clone();
        let behind = entries.get(nth + 1..=sent_last).unwrap_or_default();
        let sent: Vec<&Entry> = behind.iter().filter(|later| later.mark.is_some()).copied().collect();
        if entry.mark.is_none() {
            if prev == 0 {
                entry.base_version.clone_from(&version);
            }
            entry.prev = prev;
            entry.operation = match (&entry.row, &under) {
                (None, _) => Operation::Delete,
                (Some(_), Some(_)) if remote => Operation::Update,
                (Some(_), _) => Operation::Insert,
            };
            for later in &sent {
                entry.changed = entry.changed.iter().filter(|at| !later.changed.contains(*at)).collect();
            }
            entry.row = match (&entry.row, &under) {
                (Some(intent), Some(under)) => Some(on_top(schema, &**under, &**intent, &entry.changed)?),
                (intent, _) => intent.clone(),
            };
            for later in &sent {
                if let (Some(row), Some(said)) = (&entry.row, &later.row) {
                    entry.row = Some(on_top(schema, &**row, &**said, &later.changed)?);
                }
            }
            unsent = true;
            if entry.operation == Operation::Insert {
                entry.changed = (0..schema.fields.len()).collect();
            }
            entry.theirs = None;
            entry.base.clone_from(&under);
            batch.ops.push(Op::Revise(Box::new(entry.clone())));
        } else if entry.prev != prev {
            entry.prev = prev;
            batch.expect.push(Expect::entry(&entry));
            batch.ops.push(Op::Revise(Box::new(entry.clone())));
        }
        prev = entry.seq;
        remote = true;
        under = match (entry.row, under) {
            (Some(row), Some(under)) if unsent && entry.mark.is_some() => {
                Some(on_top(schema, &*under, &*row, &entry.changed)?)
            }
            (row, _) => row,
        };
    }
    Ok(under)
}

/// What is stored under a key, with another meta.
pub(crate) fn rewritten(schema: &'static Schema, key: Key, row: Option<Arc<dyn Row>>, meta: Meta) -> Op {
    let tail = Tail::At(meta.tail);
    match row {
        Some(row) => Op::Put { schema, key, row, meta, tail },
        None => Op::Tombstone { schema, key, meta, tail },
    }
}

#[cfg(test)]
mod tests;
