//! What is done when a database is opened: recognised or made, models registered, indexes brought up to date.
//!
//! Indexes are built and removed in transactions of [`CHUNK`] rows, each of which notes down how far it has come: an
//! application that is killed meanwhile goes on there.

use std::sync::atomic::Ordering;

use larder_core::{Error, ErrorKind, Result, Schema};
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table};

use crate::catalog::{Catalog, Index, Slot};
use crate::codec::{
    self, Bytes, COUNTERS, CURSORS, ENTRIES, FORMAT, INDEXES, IndexEntry, KEYS, MIRROR, MODELS, OUTBOX_END,
    PREFIX, ROWS, SHAPES, TABLE, UNREADABLE, VERSION,
};
use crate::counters::{self, Counters};
use crate::error::{Raw, foreign};
use crate::notes::{IndexRecord, IndexState, Notes};
use crate::rekey;
use crate::reports::{self, Report};
use crate::salvage::NoteRecords;

/// How many rows or entries one transaction of upkeep goes through.
const CHUNK: usize = 8192;

/// A database that is ready for today's models.
pub(crate) struct Prepared {
    pub(crate) catalog: Catalog,
    pub(crate) counters: Counters,
    /// What is noted down about models, shapes and indexes.
    pub(crate) notes: NoteRecords,
    /// The reports of salvages that nobody has acknowledged.
    pub(crate) reports: Vec<Report>,
}

/// What may be written when a database is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Nothing: it is prepared by a few reads, or not at all.
    Nothing,
    /// Whatever is due.
    WhatIsDue,
}

impl Writes {
    fn check(self) -> Result<()> {
        match self {
            Self::WhatIsDue => Ok(()),
            Self::Nothing => Err(Error::new(ErrorKind::Storage, "something has to be written first")),
        }
    }
}

/// Recognises or makes the database, registers `schemas`, and brings the indexes up to date. Of a database that is as it
/// should be, one state is read and nothing is written.
///
/// # Errors
/// `Storage` if something is due that may not be written; else those of reading and writing.
pub(crate) fn prepare(database: &Database, schemas: &[&'static Schema], may: Writes) -> Result<Prepared> {
    let mut state = State::of(database)?;
    if state.is_new()? {
        may.check()?;
        write(database, |table| {
            put(table, &[FORMAT], &codec::format_record())?;
            put(table, &[COUNTERS], &Counters::NEW.encode())
        })?;
        state = State::of(database)?;
    }
    let mut table = state.table()?;
    let (version, counters) = recognised(&table)?;
    let mut notes = Notes::read(&table)?;
    let catalog = notes.register(schemas)?;
    if version < VERSION || is_due(&notes) {
        may.check()?;
        // A state that is held keeps the pages that are replaced.
        drop((table, state));
        bring_up(database, &catalog, &notes, (version, counters))?;
        state = State::of(database)?;
        table = state.table()?;
    }
    for index in catalog.slots().iter().flat_map(|slot| &slot.indexes) {
        let incomplete = [&codec::prefix(ENTRIES, index.id)[..], &[UNREADABLE]].concat();
        index.incomplete.store(begins(&table, &incomplete)?, Ordering::Relaxed);
    }
    let (notes, reports) = (records(&table)?, reports::read(&table)?);
    if !is_mirrored(&state, &notes)? {
        may.check()?;
        drop((table, state));
        mirror(database, &notes)?;
    }
    Ok(Prepared { catalog, counters, notes, reports })
}

/// True if something has to be noted down, or an index to be built or removed.
fn is_due(notes: &Notes) -> bool {
    !notes.news.is_empty() || notes.indexes.iter().any(|(_, index)| index.state != IndexState::Ready)
}

/// Writes what is noted down now, and brings the indexes up to date.
fn bring_up(
    database: &Database,
    catalog: &Catalog,
    notes: &Notes,
    (version, counters): (u16, Counters),
) -> Result<()> {
    if !notes.news.is_empty() || version < VERSION {
        // Rows that get other keys are moved in the transaction that notes it: all of it or nothing.
        write(database, |table| {
            notes.moves.iter().try_for_each(|at| rekey::run(table, catalog, &catalog.slots()[*at]))?;
            notes.news.iter().try_for_each(|(key, value)| put(table, key, value))?;
            upgrade(table, counters)
        })?;
    }
    for (id, record) in &notes.indexes {
        if record.state == IndexState::Dropping {
            remove(database, *id)?;
        }
    }
    for slot in catalog.slots() {
        for index in &slot.indexes {
            let noted = notes.indexes.iter().find(|(id, _)| *id == index.id);
            if let Some((_, IndexRecord { state: IndexState::Building(after), .. })) = noted {
                build(database, slot, index, after.clone(), notes)?;
            }
        }
    }
    Ok(())
}

/// A committed state that is read.
struct State(ReadTransaction);

type Readable = ReadOnlyTable<Bytes, Bytes>;

impl State {
    fn of(database: &Database) -> Result<Self> {
        Ok(Self(database.begin_read().map_err(Raw::from)?))
    }

    fn table(&self) -> Result<Readable> {
        Ok(self.0.open_table(TABLE).map_err(Raw::from)?)
    }

    /// True without any table.
    fn is_new(&self) -> Result<bool> {
        let tables = self.0.list_tables().map_err(Raw::from)?.count();
        Ok(tables == 0 && self.0.list_multimap_tables().map_err(Raw::from)?.count() == 0)
    }
}

/// What is noted down about models, shapes and indexes.
fn records(table: &Readable) -> Result<NoteRecords> {
    let mut records = NoteRecords::new();
    for pair in table.range::<&[u8]>([MODELS].as_slice()..[CURSORS].as_slice()).map_err(Raw::from)? {
        let (key, value) = pair.map_err(Raw::from)?;
        records.push((key.value().to_vec(), value.value().to_vec()));
    }
    Ok(records)
}

/// What the second copy has of the notes: what is known of indexes is left out, for they can be built anew.
fn mirrored(notes: &NoteRecords) -> impl Iterator<Item = &(Vec<u8>, Vec<u8>)> {
    notes.iter().filter(|(key, _)| matches!(key.first(), Some(&(MODELS | SHAPES | KEYS))))
}

/// True if the second copy of the notes is up to date.
fn is_mirrored(state: &State, notes: &NoteRecords) -> Result<bool> {
    let Ok(table) = state.0.open_table(MIRROR) else { return Ok(mirrored(notes).next().is_none()) };
    mirrored(notes).try_fold(true, |there, (key, value)| {
        let found = table.get(key.as_slice()).map_err(Raw::from)?;
        Ok(there && found.is_some_and(|found| found.value() == value.as_slice()))
    })
}

/// Brings the second copy of the notes up to date.
fn mirror(database: &Database, notes: &NoteRecords) -> Result<()> {
    let transaction = database.begin_write().map_err(Raw::from)?;
    let mut table = transaction.open_table(MIRROR).map_err(Raw::from)?;
    mirrored(notes).try_for_each(|(key, value)| put(&mut table, key, value))?;
    drop(table);
    Ok(transaction.commit().map_err(Raw::from)?)
}

/// The counters of a database that was recognised as ours, and the reports in it.
pub(crate) fn counters(database: &Database) -> Result<(Counters, Vec<Report>)> {
    let table = State::of(database)?.table()?;
    Ok((recognised(&table)?.1, reports::read(&table)?))
}

/// The version of a database's format, and its counters.
fn recognised(table: &Readable) -> Result<(u16, Counters)> {
    let format = table.get([FORMAT].as_slice()).map_err(Raw::from)?;
    let format = format.ok_or_else(|| foreign("the file is a redb database of another application"))?;
    Ok((codec::check_format(format.value())?, counters::read(table)?))
}

/// Makes it a database of today's format: format 1 has the counters behind the outbox. They are written again in any case,
/// for a moved row's entries are, and what was noted behind the newest of them with it.
fn upgrade(table: &mut Writable<'_>, counters: Counters) -> Result<()> {
    put(table, &[FORMAT], &codec::format_record())?;
    table.remove([OUTBOX_END].as_slice()).map_err(Raw::from)?;
    put(table, &[COUNTERS], &counters.encode())
}

type Writable<'t> = Table<'t, Bytes, Bytes>;

fn write<T>(database: &Database, change: impl FnOnce(&mut Writable<'_>) -> Result<T>) -> Result<T> {
    let transaction = database.begin_write().map_err(Raw::from)?;
    let mut table = transaction.open_table(TABLE).map_err(Raw::from)?;
    let done = change(&mut table)?;
    drop(table);
    transaction.commit().map_err(Raw::from)?;
    Ok(done)
}

fn put(table: &mut Writable<'_>, key: &[u8], value: &[u8]) -> Result<()> {
    Ok(table.insert(key, value).map(drop).map_err(Raw::from)?)
}

/// True if a key begins with `prefix`.
fn begins(table: &Readable, prefix: &[u8]) -> Result<bool> {
    let mut range = table.range::<&[u8]>(prefix..codec::after(prefix).as_slice()).map_err(Raw::from)?;
    Ok(range.next().transpose().map_err(Raw::from)?.is_some())
}

/// Removes the entries of an index, and then the note of it.
fn remove(database: &Database, id: u16) -> Result<()> {
    let start = codec::prefix(ENTRIES, id);
    loop {
        let is_done = write(database, |table| {
            let entries = chunk(table, &start, &codec::after(&start), |entry, _| entry.to_vec())?;
            for entry in &entries {
                table.remove(entry.as_slice()).map_err(Raw::from)?;
            }
            if entries.len() < CHUNK {
                table.remove(codec::prefix(INDEXES, id).as_slice()).map_err(Raw::from)?;
            }
            Ok(entries.len() < CHUNK)
        })?;
        if is_done {
            return Ok(());
        }
    }
}

/// Adds the entries of the rows after the key `after`.
fn build(database: &Database, slot: &Slot, index: &Index, mut after: Vec<u8>, notes: &Notes) -> Result<()> {
    let Some((_, record)) = notes.indexes.iter().find(|(id, _)| *id == index.id) else {
        return Ok(());
    };
    let rows = codec::prefix(ROWS, slot.model);
    let mut built = 0;
    loop {
        let start = if after.is_empty() { rows.to_vec() } else { [after.as_slice(), &[0]].concat() };
        let (last, count) = write(database, |table| {
            let entries = chunk(table, &start, &codec::after(&rows), |key, record| {
                (key.to_vec(), entry(slot, index, key, record))
            })?;
            for added in entries.iter().filter_map(|(_, entry)| entry.as_ref()) {
                put(table, &added.bytes, &added.value())?;
            }
            let last = entries.last().map(|(key, _)| key.clone()).unwrap_or_default();
            let state =
                if entries.len() < CHUNK { IndexState::Ready } else { IndexState::Building(last.clone()) };
            put(
                table,
                &codec::prefix(INDEXES, index.id),
                &codec::seal_named(&IndexRecord { state, ..record.clone() })?,
            )?;
            Ok((last, entries.len()))
        })?;
        built += count;
        if count < CHUNK {
            break;
        }
        after = last;
    }
    tracing::info!(model = slot.schema.model, index = index.def.name, rows = built, "built an index");
    if index.def.unique {
        warn_of_collisions(database, slot, index)?;
    }
    Ok(())
}

/// The entry of a stored record; none for a tombstone.
fn entry(slot: &Slot, index: &Index, key: &[u8], record: &[u8]) -> Option<IndexEntry> {
    let key = key.get(PREFIX..).unwrap_or_default();
    let Ok(stored) = larder_core::packed::Stored::parse(record) else {
        return Some(IndexEntry::unreadable(index.id, key));
    };
    Some(match slot.row(stored.body?) {
        Ok(row) => IndexEntry::of(index.id, index.def, &row, key),
        Err(_) => IndexEntry::unreadable(index.id, key),
    })
}

/// What `f` makes of the first pairs from `start` to `end`, at most [`CHUNK`].
pub(crate) fn chunk<T>(
    table: &Writable<'_>,
    start: &[u8],
    end: &[u8],
    f: impl Fn(&[u8], &[u8]) -> T,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for pair in table.range::<&[u8]>(start..end).map_err(Raw::from)?.take(CHUNK) {
        let (key, value) = pair.map_err(Raw::from)?;
        found.push(f(key.value(), value.value()));
    }
    Ok(found)
}

/// A unique index that is added to rows which break it already binds only what is written from now on.
fn warn_of_collisions(database: &Database, slot: &Slot, index: &Index) -> Result<()> {
    let table = database.begin_read().map_err(Raw::from)?.open_table(TABLE).map_err(Raw::from)?;
    let start = codec::prefix(ENTRIES, index.id);
    let (mut before, mut collisions) = (Vec::new(), 0_u64);
    for pair in table.range::<&[u8]>(start.as_slice()..codec::after(&start).as_slice()).map_err(Raw::from)? {
        let (entry, value) = pair.map_err(Raw::from)?;
        let (values, _) = codec::split_entry(entry.value(), value.value())?;
        collisions += u64::from(values == before.as_slice());
        before = values.to_vec();
    }
    if collisions > 0 {
        let (model, index) = (slot.schema.model, index.def.name);
        tracing::warn!(
            model,
            index,
            collisions,
            "rows that were there before agree in a unique index (or are null in it)"
        );
    }
    Ok(())
}
