//! Rows that get other keys by a migration: moved when the store is opened, all in one transaction with what notes it.
//!
//! Nothing can be read by key meanwhile, and a row that has to have another one's key must not be overwritten: so it is
//! all or nothing. Rows are first moved to a space of their own, under their new keys, for a row's new key may be the
//! old one of a row that has not moved yet.

use std::collections::BTreeMap;

use larder_core::packed::{EntryRows, Stored, decode_entry, encode_entry};
use larder_core::{Error, ErrorKind, Key, Result, ordered};
use redb::Table;

use crate::catalog::{Catalog, Slot};
use crate::codec::{self, Bytes, MOVING, OUTBOX, PREFIX, ROWS};
use crate::error::Raw;
use crate::migrate::todays_row;
use crate::outbox;
use crate::upkeep::chunk;

type Writable<'t> = Table<'t, Bytes, Bytes>;

/// Moves the rows of `slot` to their new keys, tombstones and outbox entries included.
///
/// # Errors
/// `Conflict` naming both rows if two of them get one key; what a step of the migration says.
pub(crate) fn run(table: &mut Writable<'_>, catalog: &Catalog, slot: &Slot) -> Result<()> {
    let moved = entries(table, catalog, slot)?;
    let rows = codec::prefix(ROWS, slot.model);
    let mut start = rows.to_vec();
    let mut count = 0;
    loop {
        let found =
            chunk(table, &start, &codec::after(&rows), |key, record| (key.to_vec(), record.to_vec()))?;
        let Some((last, _)) = found.last() else { break };
        start = [last.as_slice(), &[0]].concat();
        for (key, record) in found {
            if let Some((new, record)) = target(catalog, slot, &moved, &key, &record)? {
                table.remove(key.as_slice()).map_err(Raw::from)?;
                set_aside(table, slot, &key, &new, &record)?;
                count += 1;
            }
        }
    }
    settle(table, slot)?;
    tracing::info!(model = slot.schema.model, rows = count, "moved rows to new keys");
    Ok(())
}

/// The new key of a row and its record; `None` if it stays where it is.
fn target(
    catalog: &Catalog,
    slot: &Slot,
    moved: &BTreeMap<Key, Key>,
    at: &[u8],
    record: &[u8],
) -> Result<Option<(Key, Vec<u8>)>> {
    let named = |error: Error| codec::keyed(error.model(slot.schema.model), &at[PREFIX..]).during("migrate");
    let stored = Stored::parse(record).map_err(named)?;
    let Some(body) = stored.body else {
        // A tombstone has nothing but its key: what was deleted is the base of its entry.
        let old = ordered::decode_key(&at[PREFIX..]).map(|(key, _)| key).ok();
        return Ok(old.and_then(|old| moved.get(&old)).map(|new| (new.clone(), record.to_vec())));
    };
    if !slot.rekeys(body)? {
        return Ok(None);
    }
    let row = slot.row(body).map_err(named)?;
    let key = slot.schema.key_of(&row).map_err(named)?;
    Ok(Some((key, todays_row(catalog, at, record).map_err(named)?)))
}

/// Puts a row under its new key where nothing else is, and its old key with it.
fn set_aside(table: &mut Writable<'_>, slot: &Slot, old: &[u8], new: &Key, record: &[u8]) -> Result<()> {
    let mut at = codec::row_key(slot.model, new);
    at[0] = MOVING;
    let own = &old[PREFIX..];
    let len = u32::try_from(own.len()).map_err(|_| codec::damaged("the key of a row"))?;
    let value = [&len.to_le_bytes()[..], own, record].concat();
    let rival = table.insert(at.as_slice(), value.as_slice()).map_err(Raw::from)?;
    match rival {
        Some(rival) => Err(collision(slot, apart(rival.value())?.0, own, new)),
        None => Ok(()),
    }
}

fn apart(value: &[u8]) -> Result<(&[u8], &[u8])> {
    let apart = value
        .split_first_chunk::<4>()
        .and_then(|(len, rest)| rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?));
    apart.ok_or_else(|| codec::damaged("a row that is being moved"))
}

/// Moves what was set aside to its place.
fn settle(table: &mut Writable<'_>, slot: &Slot) -> Result<()> {
    let start = codec::prefix(MOVING, slot.model);
    loop {
        let found = chunk(table, &start, &codec::after(&start), |key, value| (key.to_vec(), value.to_vec()))?;
        if found.is_empty() {
            return Ok(());
        }
        for (mut key, value) in found {
            table.remove(key.as_slice()).map_err(Raw::from)?;
            key[0] = ROWS;
            let (old, record) = apart(&value)?;
            let is_taken = table.insert(key.as_slice(), record).map_err(Raw::from)?.is_some();
            if is_taken {
                let (new, _) = ordered::decode_key(&key[PREFIX..]).map_err(|_| codec::damaged("a key"))?;
                return Err(collision(slot, &key[PREFIX..], old, &new));
            }
        }
    }
}

#[cold]
fn collision(slot: &Slot, one: &[u8], other: &[u8], new: &Key) -> Error {
    let name =
        |bytes: &[u8]| ordered::decode_key(bytes).map_or_else(|_| "?".to_owned(), |(key, _)| key.to_string());
    let message = format!(
        "the migration gives the rows {} and {} the same key, {new}; nothing was changed",
        name(one),
        name(other),
    );
    Error::new(ErrorKind::Conflict, message).during("migrate").model(slot.schema.model).key(name(other))
}

/// Rewrites the outbox entries of the model with their new keys; gives each old key with its new one. An entry that
/// can't be migrated stays as it is: reading it says so.
fn entries(table: &mut Writable<'_>, catalog: &Catalog, slot: &Slot) -> Result<BTreeMap<Key, Key>> {
    let mut moved = BTreeMap::new();
    // First those that know their row, then those that know its key alone.
    for with_row in [true, false] {
        let mut start = vec![OUTBOX];
        loop {
            let found = chunk(table, &start, &[OUTBOX + 1], |key, entry| (key.to_vec(), entry.to_vec()))?;
            let Some((last, _)) = found.last() else { break };
            start = [last.as_slice(), &[0]].concat();
            for (key, bytes) in found {
                if let Some(entry) = entry(catalog, slot, with_row, &mut moved, &key, &bytes)? {
                    table.insert(key.as_slice(), entry.as_slice()).map_err(Raw::from)?;
                }
            }
        }
    }
    Ok(moved)
}

/// The entry with its new key; `None` if it is none of the model's, is done already, or can't be migrated.
fn entry(
    catalog: &Catalog,
    slot: &Slot,
    with_row: bool,
    moved: &mut BTreeMap<Key, Key>,
    at: &[u8],
    bytes: &[u8],
) -> Result<Option<Vec<u8>>> {
    let Ok(encoded) = decode_entry(bytes) else { return Ok(None) };
    let has_row = encoded.row.or(encoded.base).is_some();
    let needs = slot.schema.steps(encoded.model_version()).any(|step| step.rekeys);
    if encoded.model() != slot.schema.model || has_row != with_row || !needs {
        return Ok(None);
    }
    let seq = codec::outbox_seq(at).ok_or_else(|| codec::damaged("the key of an outbox entry"))?;
    let (mut entry, new) = if with_row {
        match outbox::open(catalog, seq, encoded) {
            Ok(entry) => {
                let row = entry.row.as_ref().or(entry.base.as_ref());
                let Some(new) = row.map(|row| slot.schema.key_of(&**row)).transpose()? else {
                    return Ok(None);
                };
                (entry, new)
            }
            Err(unreadable) => {
                tracing::error!(seq, error = %unreadable.error, "an outbox entry keeps its old key");
                return Ok(None);
            }
        }
    } else {
        let Some(new) = moved.get(encoded.key()).cloned() else { return Ok(None) };
        (encoded.into_entry(seq, slot.schema, EntryRows::default()), new)
    };
    moved.insert(std::mem::replace(&mut entry.key, new.clone()), new);
    entry.model_version = slot.schema.version;
    encode_entry(&entry, slot.shape).map(Some)
}
