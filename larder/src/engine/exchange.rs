//! Keys that the server gives: in the transaction that records the server's answer the row leaves its temporary key, and
//! so does everything that names it: what is queued for the row, rows that refer to it or have it in their own keys, and
//! what is queued for those.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::{
    Batch, Entry, Expect, FieldSet, Key, KeyKind, Meta, MutationId, Op, Operation, PageRow, Record, Result,
    Row, RowState, Schema, StoredRow, SyncState, Timestamp,
};

use super::enqueue::differences;
use super::renames::{Rename, Renamed, among, rekeyed, rename_in, renamed};
use super::settle::{Ground, on_top, overlaid, restack, rewritten};
use super::ties::Place;

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

/// What an answer says of the key alone.
pub(crate) fn key_alone(schema: &'static Schema, answer: &PageRow) -> Result<PageRow> {
    let nothing = Record::new(vec![None; schema.fields.len()]);
    let meta = Meta { version: answer.meta.version.clone(), ..Meta::synced(answer.meta.sync.since) };
    Ok(PageRow::new(meta, rekeyed(schema, &nothing, &*answer.row)?))
}

/// A row, and what is queued for it, oldest first.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) schema: &'static Schema,
    pub(crate) key: Key,
    pub(crate) stored: StoredRow,
    pub(crate) entries: Vec<Entry>,
}

/// Everything that names a row which gets another key.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// The row, and those whose own keys contain its key.
    pub(crate) renames: Vec<Rename>,
    /// The rows that name one of them, now or in what is queued for them; the first one itself is not among them.
    pub(crate) others: Vec<Queued>,
    /// What is stored under the new keys already, by the former ones: a pull may have been faster than the answer.
    pub(crate) there: BTreeMap<Place, Queued>,
    /// The row was deleted under its new key, and is gone over there, or was made anew.
    pub(crate) deleted: bool,
    /// Which of the mutations that the remote has accepted under its new key was the last to write each field.
    pub(crate) written: BTreeMap<usize, u64>,
    /// What all of that relies on.
    pub(crate) expect: Vec<Expect>,
    /// Notes that have served.
    pub(crate) notes: Vec<String>,
}

/// Entries that have nothing left to say, with the identity of the one that says it in their place, if the fate of that is still
/// to come.
pub(crate) type Spent = Vec<(Entry, Option<MutationId>)>;

/// The remote has accepted `entry` and given the row another key: it moves there, with what was changed since, and
/// everything that names it learns the new key. `row` has the other entries.
///
/// # Errors
/// `Serialization` or `Corrupt` if a row can't be shown.
pub(crate) fn exchanged(
    entry: &Entry,
    row: Queued,
    answer: &PageRow,
    mut named: Named,
    now: Timestamp,
) -> Result<(Batch, Spent)> {
    let mut batch = Batch { expect: Vec::new(), ops: vec![Op::Dequeue(entry.seq)] };
    let (schema, new) = (entry.schema, among(&named.renames));
    let Queued { key: former, stored, entries, .. } = row;
    let Some(sent) = &entry.row else { return Ok((batch, Vec::new())) };
    let merged = overlaid(schema, &**sent, answer)?;
    let merged = renamed(schema, &*merged, &new)?.unwrap_or(merged);
    let key = schema.key_of(&*merged)?;
    let there = named.there.remove(&(schema.model, former.clone()));
    let extra = answer.meta.extra.clone().or_else(|| stored.meta.extra.clone());
    let mut meta = Meta { version: answer.meta.version.clone(), extra, ..stored.meta.clone() };
    if let (true, Some(there)) = (entries.is_empty(), &there) {
        meta.sync = there.stored.meta.sync;
    }
    let mut later = Vec::with_capacity(entries.len());
    for mut entry in entries {
        entry.row = entry.row.map(|row| rekeyed(schema, &*row, &*merged)).transpose()?;
        entry.base = entry.base.map(|row| rekeyed(schema, &*row, &*merged)).transpose()?;
        later.push(moved(&mut batch, entry, &key, &new)?);
    }
    let mut ground = Ground { row: Some(merged), version: meta.version.clone(), remote: true };
    if named.deleted {
        (ground.row, ground.version) = (None, None);
    }
    if let Some(pulled) = there.as_ref().and_then(pulled) {
        ground = pulled;
    }
    meta.version.clone_from(&ground.version);
    batch.ops.push(Op::Remove { schema, key: former });
    // What was written here alone stands on what is queued.
    let intent = later.last().map_or(Some(sent), |last| last.row.as_ref());
    let alone = match (&stored.row, intent) {
        (Some(top), Some(intent)) if !later.is_empty() => {
            Some((top, differences(schema, &**intent, &**top)?))
        }
        _ => None,
    };
    let mut queued = joined(&mut batch, later, there);
    let spent = spent(&mut queued, entry, &named.written);
    let mut row = stack(&mut batch, schema, ground, &mut meta, &queued, now)?;
    if let (Some(under), Some((top, alone))) = (&row, alone) {
        let top = renamed(schema, &**top, &new)?.unwrap_or_else(|| Arc::clone(top));
        let alone = alone.iter().filter(|at| !schema.key.fields.contains(at)).collect();
        row = Some(on_top(schema, &**under, &*top, &alone)?);
    }
    batch.ops.push(placed(schema, key, row, meta));
    followed(&mut batch, named, now)?;
    Ok((batch, spent))
}

/// Adds to `batch` what the rows that are named come to.
///
/// # Errors
/// As [`exchanged`].
pub(crate) fn followed(batch: &mut Batch, mut named: Named, now: Timestamp) -> Result<()> {
    let new = among(&named.renames);
    batch.expect.append(&mut named.expect);
    for other in named.others {
        let to = named.renames.iter().find(|rename| rename.is_of(other.schema, &other.key));
        match to {
            None => learns(batch, other, &new)?,
            Some(rename) => {
                let there = named.there.remove(&rename.place());
                moves(batch, other, rename.to.clone(), there, &new, now)?;
            }
        }
    }
    batch.ops.extend(named.notes.into_iter().map(|scope| Op::Cursor { scope, value: None }));
    Ok(())
}

/// What a pull has brought of a row before the answer that gave its key: it is no older than that.
fn pulled(there: &Queued) -> Option<Ground> {
    let Meta { sync, version, .. } = &there.stored.meta;
    match there.entries.first() {
        Some(oldest) => Some(Ground::of(oldest)).filter(|ground| ground.remote && ground.row.is_some()),
        None if sync.state == RowState::Synced => {
            let row = Some(Arc::clone(there.stored.row.as_ref()?));
            Some(Ground { row, version: version.clone(), remote: true })
        }
        None => None,
    }
}

/// `entry` under the key `to`, with the new keys in what it refers to.
fn moved(batch: &mut Batch, mut entry: Entry, to: &Key, new: Renamed<'_>) -> Result<Entry> {
    batch.expect.push(Expect::entry(&entry));
    rename_in(&mut entry, new)?;
    entry.key = to.clone();
    Ok(entry)
}

/// A row that names others, and keeps its own key.
fn learns(batch: &mut Batch, other: Queued, new: Renamed<'_>) -> Result<()> {
    let Queued { schema, key, stored, entries } = other;
    let mut told = false;
    for mut entry in entries {
        let expect = Expect::entry(&entry);
        if rename_in(&mut entry, new)? {
            batch.expect.push(expect);
            batch.ops.push(Op::Revise(Box::new(entry)));
            told = true;
        }
    }
    let row = stored.row.as_ref().map(|row| renamed(schema, &**row, new)).transpose()?.flatten();
    if told || row.is_some() {
        batch.ops.push(rewritten(schema, key, row.or(stored.row), stored.meta));
    }
    Ok(())
}

/// A row whose own key contains that of another.
fn moves(
    batch: &mut Batch,
    other: Queued,
    to: Key,
    there: Option<Queued>,
    new: Renamed<'_>,
    now: Timestamp,
) -> Result<()> {
    let Queued { schema, key, stored, entries } = other;
    batch.ops.push(Op::Remove { schema, key });
    let entries =
        entries.into_iter().map(|entry| moved(batch, entry, &to, new)).collect::<Result<Vec<_>>>()?;
    let Some(there) = there else {
        let row = stored.row.as_ref().map(|row| renamed(schema, &**row, new)).transpose()?.flatten();
        batch.ops.push(rewritten(schema, to, row.or(stored.row), stored.meta));
        batch.ops.extend(entries.into_iter().map(|entry| Op::Revise(Box::new(entry))));
        return Ok(());
    };
    if entries.is_empty() {
        // What the remote has stands.
        return Ok(());
    }
    let oldest = entries.iter().chain(&there.entries).min_by_key(|entry| entry.seq);
    let ground = match (&there.stored.row, oldest) {
        (Some(_), Some(oldest)) if there.stored.meta.tail != 0 => Ground::of(oldest),
        (row, _) => {
            let remote = row.is_some() && there.stored.meta.sync.state != RowState::Local;
            Ground { row: row.clone(), version: there.stored.meta.version.clone(), remote }
        }
    };
    let mut meta = Meta { sync: stored.meta.sync, ..there.stored.meta.clone() };
    let queued = joined(batch, entries, Some(there));
    let row = stack(batch, schema, ground, &mut meta, &queued, now)?;
    batch.ops.push(placed(schema, to, row, meta));
    Ok(())
}

/// What is queued for a row, and what is queued under its new key already.
fn joined(batch: &mut Batch, mut queued: Vec<Entry>, there: Option<Queued>) -> Vec<Entry> {
    if let Some(there) = there {
        batch.expect.extend(there.entries.iter().map(Expect::entry));
        queued.extend(there.entries);
        queued.sort_by_key(|entry| entry.seq);
    }
    queued
}

/// Takes those out of `queued` that have nothing left to say, because what the remote was told already was written later:
///
/// - what changes only fields that were `written` since;
/// - what comes before a creation that may have been sent, for that says everything, and a row is created once;
/// - a deletion, and what comes before it, if the remote was told of something later: what comes behind it would make the row
///   anew before that.
///
/// What was written since of some of its fields, an entry says no more.
fn spent(queued: &mut Vec<Entry>, creation: &Entry, written: &BTreeMap<usize, u64>) -> Spent {
    let told_last = queued.iter().rfind(|entry| entry.mark.is_some()).map(|entry| (entry.seq, entry.id));
    let written_last = written.values().max().copied().unwrap_or_default();
    let told_upto = told_last.map_or(written_last, |(seq, _)| seq.max(written_last));
    let replaced = queued.iter().rposition(|entry| match entry.row {
        Some(_) => entry.mark.is_some() && entry.operation == Operation::Insert,
        None => entry.mark.is_none() && entry.seq < told_upto,
    });
    let replaced_upto = replaced.map_or(0, |at| queued[at].seq);
    let mut spent = Vec::new();
    for mut entry in std::mem::take(queued) {
        if entry.mark.is_some() {
            queued.push(entry);
            continue;
        }
        let says = |at: &usize| written.get(at).is_none_or(|last| *last < entry.seq);
        let changed = entry.changed.iter().filter(says).collect();
        let is_replaced = entry.seq <= replaced_upto || entry.row.is_some() && changed == FieldSet::default();
        if is_replaced && is_covered(&entry, creation) {
            let within = told_last.filter(|(seq, _)| entry.seq < *seq && written_last < *seq);
            spent.push((entry, within.map(|(_, id)| id)));
        } else {
            entry.changed = changed;
            queued.push(entry);
        }
    }
    spent
}

/// True if nothing is lost by the end of an entry where a later mutation of its row says all that it does, or deletes the row,
/// in the name of the account of `decided`. Of one that may have been sent the fate is not known; others may go with one in a
/// request; and about what another account has written somebody else has decided.
pub(crate) fn is_covered(entry: &Entry, decided: &Entry) -> bool {
    let alone = entry.within.is_none() && entry.carries.is_empty();
    entry.mark.is_none() && alone && entry.account == decided.account
}

/// Puts what is queued for a row on `ground`; gives the row on top.
fn stack(
    batch: &mut Batch,
    schema: &'static Schema,
    ground: Ground,
    meta: &mut Meta,
    queued: &[Entry],
    now: Timestamp,
) -> Result<Option<Arc<dyn Row>>> {
    meta.tail = queued.last().map_or(0, |last| last.seq);
    if meta.tail == 0 {
        meta.sync = SyncState { state: RowState::Synced, since: now };
    }
    restack(batch, schema, ground, queued.iter())
}

/// A row under its new key; a trace of it, if it is deleted and the remote has not confirmed that.
fn placed(schema: &'static Schema, key: Key, row: Option<Arc<dyn Row>>, meta: Meta) -> Op {
    match row {
        None if meta.tail == 0 => Op::Remove { schema, key },
        row => rewritten(schema, key, row, meta),
    }
}

#[cfg(test)]
mod tests;
