//! The integrity check: every page, every record, and whether rows, index entries, outbox entries and counts agree.
//!
//! It goes through one published generation, so that reads and writes go on; memory does not grow with the file.

use larder_core::packed::{Stored, decode_entry};
use larder_core::{Error, ErrorKind, Finding, FindingKind, Integrity, Key, Result, ordered};

use crate::catalog::{Catalog, Slot};
use crate::codec::{self, CURSORS, ENTRIES, FORMAT, OUTBOX, OUTBOX_END, PREFIX, ROWS};
use crate::counters;
use crate::error::{Raw, contain};
use crate::reads::{Generation, Halt, Watch};

/// How often the watch is asked.
const WATCH_EVERY: u64 = 1024;

/// Looks at everything that is stored.
pub(crate) fn records(
    generation: &Generation,
    catalog: &Catalog,
    watch: &Watch,
    found: &mut Integrity,
) -> Result<(), Halt> {
    let mut check =
        Check { generation, catalog, watch, found, looked: 0, entries: 0, parked: 0, newest: (0, 0) };
    let spaces: [(u8, u8, Look<'_>); 5] = [
        (FORMAT, CURSORS, Check::note),
        (CURSORS, ROWS, Check::cursor),
        (ROWS, ENTRIES, Check::row),
        (ENTRIES, codec::MOVING, Check::index_entry),
        (OUTBOX, OUTBOX_END, Check::entry),
    ];
    let mut whole = true;
    for (low, high, look) in spaces {
        match contain(|| check.space(low, high, look)) {
            Ok(()) => {}
            // A page in the way: what lies behind it can't be reached by this way.
            Err(Halt::Failed(error)) if error.kind() == ErrorKind::Corrupt => {
                whole = false;
                check.add(FindingKind::Page, None, None, error.to_string());
            }
            // The database closes itself after a read that failed: what is left can't be looked at before it is mended.
            Err(Halt::Closed) if !whole => break,
            Err(halt) => return Err(halt),
        }
    }
    if whole { check.counts() } else { Ok(()) }
}

/// Looks at one record.
type Look<'a> = fn(&mut Check<'a>, &[u8], &[u8]) -> Result<(), Halt>;

struct Check<'a> {
    generation: &'a Generation,
    catalog: &'a Catalog,
    watch: &'a Watch,
    found: &'a mut Integrity,
    looked: u64,
    entries: u64,
    parked: u64,
    /// The highest revision of a row, and the highest number of an entry that a row knows of.
    newest: (u64, u64),
}

impl<'a> Check<'a> {
    fn space(&mut self, low: u8, high: u8, look: Look<'a>) -> Result<(), Halt> {
        for pair in self.generation.range(&(vec![low], vec![high]))? {
            let (key, value) = pair.map_err(Raw::from)?;
            self.looked += 1;
            if self.looked.is_multiple_of(WATCH_EVERY) {
                self.watch.check()?;
            }
            look(self, key.value(), value.value())?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        kind: FindingKind,
        model: Option<&str>,
        key: Option<String>,
        message: impl Into<String>,
    ) {
        self.found.note(Finding { kind, model: model.map(Into::into), key, message: message.into() });
    }

    fn altered(&mut self, model: Option<&str>, key: Option<String>, error: &Error) {
        self.add(FindingKind::Altered, model, key, error.message());
    }

    fn note(&mut self, key: &[u8], value: &[u8]) -> Result<(), Halt> {
        if let Err(error) = codec::unseal(value, "a note about models, shapes or indexes") {
            self.altered(None, Some(format!("{key:02x?}")), &error);
        }
        Ok(())
    }

    fn cursor(&mut self, key: &[u8], value: &[u8]) -> Result<(), Halt> {
        self.found.cursors += 1;
        if let Err(error) = codec::unseal(value, "a cursor") {
            self.altered(None, Some(String::from_utf8_lossy(&key[1..]).into_owned()), &error);
        }
        Ok(())
    }

    fn row(&mut self, at: &[u8], record: &[u8]) -> Result<(), Halt> {
        let stored = match Stored::parse(record) {
            Ok(stored) => stored,
            Err(error) => {
                self.found.rows += 1;
                let model = self.slot(at).map(|slot| slot.schema.model);
                self.altered(model, shown(at.get(PREFIX..)), &error);
                return Ok(());
            }
        };
        match stored.body {
            Some(_) => self.found.rows += 1,
            None => self.found.tombstones += 1,
        }
        let (revision, seq) = self.newest;
        self.newest = (revision.max(stored.meta.revision), seq.max(stored.meta.tail));
        let slot = self.slot(at);
        let model = slot.map(|slot| slot.schema.model);
        if stored.meta.tail != 0 && self.generation.get(&codec::outbox_key(stored.meta.tail))?.is_none() {
            let message = format!("its outbox entry #{} is not there", stored.meta.tail);
            self.add(FindingKind::MissingEntry, model, shown(at.get(PREFIX..)), message);
        }
        let (Some(slot), Some(body), Some(key)) = (slot, stored.body, at.get(PREFIX..)) else {
            return Ok(());
        };
        let of_row = || -> Result<_> {
            let row = slot.row(body)?;
            Ok((slot.schema.key_of(&row)?, slot.entries(stored, key)?))
        };
        let (own, entries) = match of_row() {
            Ok(of_row) => of_row,
            // What today's application can't bring up to date is not damaged.
            Err(error) if error.kind() == ErrorKind::Serialization => return Ok(()),
            Err(error) => {
                self.altered(model, shown(Some(key)), &error);
                return Ok(());
            }
        };
        if codec::row_key(slot.model, &own) != at {
            self.add(
                FindingKind::Altered,
                model,
                shown(Some(key)),
                format!("the row {own} is stored under this key"),
            );
        }
        for (index, entry) in slot.indexes.iter().zip(&entries) {
            let there = self.generation.get(&entry.bytes)?;
            if index.is_complete() && there.is_none_or(|there| there.value() != entry.value()) {
                let message = format!("the index {} does not lead to the row", index.def.name);
                self.add(FindingKind::MissingIndexEntry, model, shown(Some(key)), message);
            }
        }
        Ok(())
    }

    fn index_entry(&mut self, entry: &[u8], value: &[u8]) -> Result<(), Halt> {
        self.found.index_entries += 1;
        let id = entry.get(1..PREFIX).and_then(|id| id.try_into().map(u16::from_be_bytes).ok());
        let found = self.catalog.slots().iter().find_map(|slot| {
            let at = slot.indexes.iter().position(|index| Some(index.id) == id)?;
            Some((slot, at))
        });
        // Those of a model that the application does not name are left alone.
        let Some((slot, at)) = found else { return Ok(()) };
        if !slot.indexes[at].is_complete() {
            return Ok(());
        }
        let model = Some(slot.schema.model);
        let key = match codec::split_entry(entry, value) {
            Ok((_, key)) => key,
            Err(error) => {
                self.altered(model, None, &error);
                return Ok(());
            }
        };
        let row = self.generation.get(&[&codec::prefix(ROWS, slot.model), key].concat())?;
        let entries = row.map(|row| Stored::parse(row.value()).and_then(|stored| slot.entries(stored, key)));
        // A damaged row has been found by itself.
        let leads = match entries {
            Some(Ok(entries)) => entries.get(at).is_some_and(|own| own.bytes == entry),
            Some(Err(_)) => true,
            None => false,
        };
        if !leads {
            let message = format!("an entry of the index {} leads to no such row", slot.indexes[at].def.name);
            self.add(FindingKind::StrayIndexEntry, model, shown(Some(key)), message);
        }
        Ok(())
    }

    fn entry(&mut self, at: &[u8], record: &[u8]) -> Result<(), Halt> {
        self.entries += 1;
        self.found.entries += 1;
        let seq = codec::outbox_seq(at).unwrap_or_default();
        let entry = match decode_entry(record) {
            Ok(entry) => entry,
            Err(error) => {
                self.altered(None, Some(format!("#{seq}")), &error);
                return Ok(());
            }
        };
        self.parked += u64::from(entry.is_parked());
        let Some(slot) = self.catalog.named(entry.model()) else { return Ok(()) };
        if slot.schema.steps(entry.model_version()).any(|step| step.rekeys) {
            return Ok(());
        }
        let row = self.generation.get(&codec::row_key(slot.model, entry.key()))?;
        let tail = row.map(|row| Stored::parse(row.value()).map(|stored| stored.meta.tail));
        match tail {
            Some(Ok(tail)) if tail >= seq => {}
            Some(Err(_)) => {}
            _ => {
                let message = format!("the outbox entry #{seq} has no row that knows of it");
                self.add(
                    FindingKind::MissingRow,
                    Some(slot.schema.model),
                    Some(entry.key().to_string()),
                    message,
                );
            }
        }
        Ok(())
    }

    fn counts(&mut self) -> Result<(), Halt> {
        let counters = match counters::read(&self.generation.table) {
            Ok(counters) => counters,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.altered(None, None, &error);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if (counters.entries, counters.parked) != (self.entries, self.parked) {
            let message = format!(
                "{} outbox entries were counted, {} of them parked; there are {}, and {}",
                counters.entries, counters.parked, self.entries, self.parked
            );
            self.add(FindingKind::Miscounted, None, None, message);
        }
        // What is written next would have the revision, or the number, of something that is there.
        let (revision, seq) = self.newest;
        if revision > counters.revision || seq >= counters.next_seq {
            let message = format!(
                "a row has revision {revision} and one the outbox entry #{seq}; the counters are at {} and #{}",
                counters.revision,
                counters.next_seq.saturating_sub(1)
            );
            self.add(FindingKind::Miscounted, None, None, message);
        }
        Ok(())
    }

    fn slot(&self, at: &[u8]) -> Option<&'a Slot> {
        let id = at.get(1..PREFIX)?.try_into().map(u16::from_be_bytes).ok()?;
        self.catalog.slots().iter().find(|slot| slot.model == id)
    }
}

/// An encoded key as people know it.
fn shown(key: Option<&[u8]>) -> Option<String> {
    ordered::decode_key(key?).ok().map(|(key, _): (Key, _)| key.to_string())
}
