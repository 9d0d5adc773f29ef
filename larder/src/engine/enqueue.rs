//! From a write to the batch that makes it durable: row, outbox entry and base in one transaction.

use std::sync::Arc;

pub(crate) use larder_core::conflict::differences;
use larder_core::{
    Batch, Entry, Expect, FieldSet, Key, Meta, MutationId, Op, Operation, Result, Row, RowState, Schema,
    StoredRow, SyncState, Tail, Timestamp, Within,
};

/// What the application wants.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// The row shall be like this.
    Put(Arc<dyn Row>),
    /// The row shall be gone.
    Delete,
}

/// What a write is made from.
#[derive(Debug)]
pub(crate) struct Intent {
    pub(crate) schema: &'static Schema,
    pub(crate) key: Key,
    pub(crate) write: Write,
    /// `None` for a write that is never sent.
    pub(crate) id: Option<MutationId>,
    pub(crate) account: Option<Arc<str>>,
    pub(crate) now: Timestamp,
    /// Other mutations that go in its request: then there is one even if nothing of the row changes.
    pub(crate) carries: Vec<MutationId>,
    /// Whose request it goes in.
    pub(crate) within: Option<Within>,
}

/// Adds `intent` to `batch`, seen from what is stored; `false` if it changes nothing. At most one intent a row.
///
/// # Errors
/// `Serialization` or `Corrupt` if the stored row can't be compared with the new one.
pub(crate) fn enqueue(batch: &mut Batch, stored: Option<&StoredRow>, intent: Intent) -> Result<bool> {
    let Intent { schema, key, write, id, account, now, carries, within } = intent;
    let row = stored.and_then(|stored| stored.row.as_ref());
    let changed = match (&write, row) {
        (Write::Put(new), Some(old)) => differences(schema, &**old, &**new)?,
        (Write::Put(_), None) => (0..schema.fields.len()).collect(),
        (Write::Delete, _) => FieldSet::default(),
    };
    let before = stored.map(|stored| stored.meta.clone());
    let local = before.as_ref().is_some_and(|meta| meta.sync.state == RowState::Local && meta.tail == 0);
    // What was kept here alone is new to the remote, even if nothing of it changes.
    let published = local && id.is_some();
    let asked_for = published || !carries.is_empty() || within.is_some();
    let nothing_to_put = matches!(write, Write::Put(_)) && row.is_some() && changed.is_empty() && !asked_for;
    // A row that is unknown here may well be known to the remote; a tombstone is deleted already.
    let nothing_to_delete =
        matches!(write, Write::Delete) && row.is_none() && (stored.is_some() || id.is_none());
    let revision = stored.map_or(0, |stored| stored.meta.revision);
    batch.expect.push(Expect::Row { schema, key: key.clone(), revision });
    if nothing_to_put || nothing_to_delete {
        return Ok(false);
    }
    let tail_before = before.as_ref().map_or(0, |meta| meta.tail);
    // A row that the remote never had needs no word to the remote to be gone.
    let id = if local && matches!(write, Write::Delete) { None } else { id };
    let Some(id) = id else {
        batch.ops.push(unsent(schema, key, write, before, now));
        return Ok(true);
    };
    let operation = match (&write, row) {
        (Write::Delete, _) => Operation::Delete,
        (Write::Put(_), Some(_)) if !local => Operation::Update,
        (Write::Put(_), _) => Operation::Insert,
    };
    let mut meta = before.unwrap_or_else(|| Meta::synced(now));
    let base_version = meta.version.clone();
    if meta.tail == 0 {
        meta.sync = SyncState { state: RowState::Pending, since: now };
    }
    let changed = if operation == Operation::Insert { (0..schema.fields.len()).collect() } else { changed };
    let tail = Tail::New(queued(batch));
    batch.ops.push(Op::Enqueue(Box::new(Entry {
        prev: tail_before,
        row: match &write {
            Write::Put(row) => Some(Arc::clone(row)),
            Write::Delete => None,
        },
        changed,
        base: row.cloned(),
        base_version,
        extra: meta.extra.clone(),
        account,
        carries,
        within,
        ..Entry::new(schema, key.clone(), operation, id, now)
    })));
    batch.ops.push(match write {
        Write::Put(row) => Op::Put { schema, key, row, meta, tail },
        Write::Delete => Op::Tombstone { schema, key, meta, tail },
    });
    Ok(true)
}

/// How many entries the batch enqueues already; what it enqueued last is near its end.
fn queued(batch: &Batch) -> usize {
    let newest = batch.ops.iter().rev().find_map(|op| match op {
        Op::Put { tail: Tail::New(nth), .. } | Op::Tombstone { tail: Tail::New(nth), .. } => Some(nth + 1),
        _ => None,
    });
    newest.unwrap_or(0)
}

/// The change of a row that the remote is not told of.
fn unsent(schema: &'static Schema, key: Key, write: Write, before: Option<Meta>, now: Timestamp) -> Op {
    match write {
        Write::Put(row) => {
            // A row that the remote has as well stays one: what is written later is an update of it.
            let local = SyncState { state: RowState::Local, since: now };
            let meta = before.unwrap_or_else(|| Meta { sync: local, ..Meta::synced(now) });
            let tail = Tail::At(meta.tail);
            Op::Put { schema, key, row, meta, tail }
        }
        // What is pending for the row stays in the outbox; the trace keeps it together.
        Write::Delete => match before {
            Some(meta) if meta.tail != 0 => {
                let tail = Tail::At(meta.tail);
                Op::Tombstone { schema, key, meta, tail }
            }
            _ => Op::Remove { schema, key },
        },
    }
}
