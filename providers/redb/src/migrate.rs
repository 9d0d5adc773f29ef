//! Rewriting what older versions of the models have stored, a bounded piece at a time.
//!
//! Rows come first and then the outbox, in the order of their keys. Each piece is one transaction that also notes how
//! far it has come, so an application that is killed goes on there. Nothing that can be seen changes: a row keeps its
//! revision, and its index entries are those that its migrated values had all along.

use larder_core::packed::{EncodedEntry, Stored, decode_entry, encode_entry, parse_body, write_record};
use larder_core::{Error, Migrated, Result};
use redb::{ReadableTable as _, Table};
use serde::{Deserialize, Serialize};

use crate::batch::{Applying, Ground, Refusal};
use crate::catalog::{Catalog, Slot};
use crate::codec::{self, Bytes, OUTBOX, PREFIX, PROGRESS, ROWS};
use crate::commit::{Next, Writer};
use crate::error::Raw;
use crate::outbox;
use crate::overlay::Change;
use crate::writer::Shared;

/// How many records one piece looks at, at most, of whatever version they are.
const LOOK: usize = 8192;

/// How far it has come.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// The models and the shapes that it leads to: where others are asked for, it begins anew.
    shapes: Vec<(u16, u16)>,
    /// The last key that was looked at.
    after: Vec<u8>,
    /// True if something could not be migrated, so that there is reason to look again.
    failed: bool,
    done: bool,
}

impl Shared {
    pub(crate) fn migrate(&self, writer: &mut Writer, limit: usize) -> Result<Migrated> {
        let _entered = tracing::debug_span!("larder_redb::migrate", limit).entered();
        if !self.catalog.has_older_shapes() {
            return Ok(Migrated { done: true, ..Migrated::default() });
        }
        self.ensure_open(writer)?;
        let mut next = Next::after(writer);
        let mut migrated = Migrated::default();
        self.transact(writer, &mut next, |table, next| {
            let mut progress = read(table, &self.catalog)?;
            migrated.done = progress.done;
            if progress.done {
                return Ok(());
            }
            let found = find(table, &self.catalog, &progress.after, limit.max(1))?;
            let mut ground = Ground {
                table,
                catalog: &self.catalog,
                counters: &mut next.counters,
                changed: &mut next.changed,
                freed: &mut next.freed,
                noted: &mut next.noted,
                shared: false,
            };
            rewrite(&mut ground, &found, &mut migrated)?;
            progress.advance(found, &mut migrated);
            let note = codec::seal_named(&progress)?;
            table.insert([PROGRESS].as_slice(), note.as_slice()).map_err(Raw::from)?;
            next.note();
            Ok(())
        })?;
        self.publish(writer, next);
        Ok(migrated)
    }
}

impl Progress {
    fn advance(&mut self, found: Found, migrated: &mut Migrated) {
        self.failed |= !migrated.failed.is_empty();
        migrated.done = found.ended;
        if found.ended && self.failed {
            // Whoever asks again may have mended the steps.
            *self = Self { shapes: std::mem::take(&mut self.shapes), ..Self::default() };
        } else {
            self.done = found.ended;
            self.after = found.last;
        }
    }
}

/// How far it has come, or the beginning.
fn read(table: &Table<'_, Bytes, Bytes>, catalog: &Catalog) -> Result<Progress> {
    let shapes: Vec<_> = catalog.slots().iter().map(|slot| (slot.model, slot.shape)).collect();
    let noted = table.get([PROGRESS].as_slice()).map_err(Raw::from)?;
    let noted: Option<Progress> =
        noted.map(|note| codec::unseal_named(note.value(), "the progress of a migration")).transpose()?;
    Ok(match noted {
        Some(progress) if progress.shapes == shapes => progress,
        _ => Progress { shapes, ..Progress::default() },
    })
}

/// Records that are not of today's shape.
struct Found {
    records: Vec<(Vec<u8>, Vec<u8>)>,
    /// The last key that was looked at.
    last: Vec<u8>,
    /// True if there are no further ones.
    ended: bool,
}

fn find(table: &Table<'_, Bytes, Bytes>, catalog: &Catalog, after: &[u8], limit: usize) -> Result<Found> {
    let mut found = Found { records: Vec::new(), last: after.to_vec(), ended: false };
    let mut looked = 0;
    for space in [ROWS, OUTBOX] {
        let start = match after.first() {
            Some(at) if *at > space => continue,
            Some(at) if *at == space => [after, &[0]].concat(),
            _ => vec![space],
        };
        for pair in table.range::<&[u8]>(start.as_slice()..[space + 1].as_slice()).map_err(Raw::from)? {
            let (key, record) = pair.map_err(Raw::from)?;
            if looked == LOOK || found.records.len() == limit {
                return Ok(found);
            }
            looked += 1;
            key.value().clone_into(&mut found.last);
            if is_old(catalog, key.value(), record.value()) {
                found.records.push((key.value().to_vec(), record.value().to_vec()));
            }
        }
    }
    found.ended = true;
    Ok(found)
}

/// True for what is not of today's shape, and for what is damaged, so that it is told of. What belongs to a model that
/// the application does not name is left alone.
fn is_old(catalog: &Catalog, key: &[u8], record: &[u8]) -> bool {
    let differs = |slot: &Slot, body: &[u8]| parse_body(body).map_or(true, |(shape, _)| shape != slot.shape);
    if key.first() == Some(&ROWS) {
        let Some(slot) = model_of(catalog, key) else { return false };
        return match Stored::parse(record) {
            Ok(stored) => stored.body.is_some_and(|body| differs(slot, body)),
            Err(_) => true,
        };
    }
    let Ok(entry) = decode_entry(record) else { return true };
    let EncodedEntry { row, base, theirs, .. } = &entry;
    let slot = catalog.named(entry.model());
    slot.is_some_and(|slot| [row, base, theirs].into_iter().flatten().any(|body| differs(slot, body)))
}

fn model_of<'c>(catalog: &'c Catalog, key: &[u8]) -> Option<&'c Slot> {
    let id = key.get(1..PREFIX)?.try_into().map(u16::from_be_bytes).ok()?;
    catalog.slots().iter().find(|slot| slot.model == id)
}

/// Rewrites what was found. What can't be migrated stays as it is.
fn rewrite(ground: &mut Ground<'_, '_>, found: &Found, migrated: &mut Migrated) -> Result<()> {
    let catalog = ground.catalog;
    let mut applying = Applying::over(ground);
    for (key, record) in &found.records {
        let is_row = key.first() == Some(&ROWS);
        let encoded =
            if is_row { todays_row(catalog, key, record) } else { todays_entry(catalog, key, record) };
        let record = match encoded {
            Ok(record) => record,
            Err(error) => {
                migrated.failed.push(error.during("migrate"));
                continue;
            }
        };
        let written = match model_of(catalog, key) {
            Some(slot) if is_row => applying.rewrite(slot, key, record),
            _ => applying.overlay.set(key.clone(), Change::Value(record)),
        };
        match written {
            Ok(()) if is_row => migrated.rows += 1,
            Ok(()) => migrated.entries += 1,
            Err(Refusal::Invalid(error) | Refusal::Broken(error)) => return Err(error),
            Err(Refusal::Stale) => {}
        }
    }
    match applying.overlay.write() {
        Err(Refusal::Invalid(error) | Refusal::Broken(error)) => Err(error),
        Ok(()) | Err(Refusal::Stale) => Ok(()),
    }
}

/// The record of a row as today's version writes it.
pub(crate) fn todays_row(catalog: &Catalog, key: &[u8], record: &[u8]) -> Result<Vec<u8>> {
    let slot = model_of(catalog, key).ok_or_else(|| codec::damaged("the key of a row"))?;
    let named =
        |error: Error| codec::keyed(error.model(slot.schema.model), key.get(PREFIX..).unwrap_or_default());
    let stored = Stored::parse(record).map_err(named)?;
    let row = slot.row(stored.body.unwrap_or_default()).map_err(named)?;
    let mut out = Vec::with_capacity(record.len() + 32);
    write_record(&mut out, slot.schema, slot.shape, &row, stored.meta).map_err(named)?;
    Ok(out)
}

/// An outbox entry as today's version writes it.
fn todays_entry(catalog: &Catalog, key: &[u8], record: &[u8]) -> Result<Vec<u8>> {
    let seq = codec::outbox_seq(key).ok_or_else(|| codec::damaged("the key of an outbox entry"))?;
    let mut entry = outbox::read(catalog, seq, record).map_err(|unreadable| unreadable.error)?;
    entry.model_version = entry.schema.version;
    encode_entry(&entry, catalog.slot(entry.schema)?.shape)
}
