//! Keys that the server gives: the row leaves its temporary key in the transaction that records the server's answer, and
//! the entries that are queued behind it go along.

use std::sync::Arc;

use larder_core::{
    Batch, Entry, Expect, Key, KeyKind, Meta, Op, Operation, PageRow, Record, Result, Row, RowState, Schema,
    StoredRow, SyncState, Tail, Timestamp, ValueRef,
};

use super::enqueue::differences;
use super::settle::{on_top, overlaid, rewritten};

/// True if the remote does not know the key of the entry: it is temporary, and the remote will give another.
pub(crate) fn is_temporary(entry: &Entry) -> bool {
    entry.schema.key.kind == KeyKind::Server && entry.operation == Operation::Insert
}

/// The key that the remote has given, if it is another one than the temporary key of `entry`.
pub(crate) fn given(entry: &Entry, answer: Option<&PageRow>) -> Option<Key> {
    let answer = answer.filter(|_| is_temporary(entry))?;
    // An answer that says nothing of the key gives none.
    entry.schema.key_of(&*answer.row).ok().filter(|key| *key != entry.key)
}

/// What an exchange is made from.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) stored: &'a StoredRow,
    /// The entries of the row that come after, oldest first.
    pub(crate) later: Vec<Entry>,
    pub(crate) answer: &'a PageRow,
    pub(crate) key: Key,
    /// What is stored under that key already: a pull may have been faster than the answer.
    pub(crate) there: Option<StoredRow>,
}

/// The remote has the row under `key`: it moves there, with what was changed since and what is queued for it.
///
/// # Errors
/// `Serialization` or `Corrupt` if a row can't be shown.
pub(crate) fn exchanged(exchange: Exchange<'_>, now: Timestamp) -> Result<Batch> {
    let Exchange { entry, stored, later, answer, key, there } = exchange;
    let schema = entry.schema;
    let expect = |key: &Key, revision| Expect::Row { schema, key: key.clone(), revision };
    let there = there.map_or(0, |there| there.meta.revision);
    let mut batch = Batch {
        expect: vec![expect(&entry.key, stored.meta.revision), expect(&key, there)],
        ops: vec![Op::Dequeue(entry.seq)],
    };
    let Some(sent) = &entry.row else { return Ok(batch) };
    let merged = overlaid(schema, &**sent, answer)?;
    let version = answer.meta.version.clone();
    for (nth, mut later) in later.into_iter().enumerate() {
        later.key = key.clone();
        if nth == 0 {
            later.base_version = version.clone();
            later.row = match &later.row {
                Some(intent) => Some(on_top(schema, &*merged, &**intent, &later.changed)?),
                None => None,
            };
            later.base = Some(Arc::clone(&merged));
        }
        later.row = later.row.map(|row| rekeyed(schema, &*row, &*merged)).transpose()?;
        later.base = later.base.map(|row| rekeyed(schema, &*row, &*merged)).transpose()?;
        batch.ops.push(Op::Revise(Box::new(later)));
    }
    let extra = answer.meta.extra.clone().or_else(|| stored.meta.extra.clone());
    let mut meta = Meta { version, extra, ..stored.meta.clone() };
    batch.ops.push(Op::Remove { schema, key: entry.key.clone() });
    if meta.tail > entry.seq {
        let row = match &stored.row {
            Some(top) => {
                let row = on_top(schema, &*merged, &**top, &differences(schema, &**sent, &**top)?)?;
                Some(rekeyed(schema, &*row, &*merged)?)
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

/// `row` with the key of `keyed`.
fn rekeyed(schema: &'static Schema, row: &dyn Row, keyed: &dyn Row) -> Result<Arc<dyn Row>> {
    let mut record = Record::copy(schema, row)?;
    for at in schema.key.fields {
        let value = keyed.field(*at).and_then(ValueRef::to_value);
        record.set(*at, value.map_err(|fault| schema.fault(*at, fault))?);
    }
    Ok(Arc::new(record))
}
