//! A new file out of what verifies in a damaged one.
//!
//! What is written is the same as in any other file: the records themselves, checked one by one. Index entries are not
//! taken over but built anew when the file is opened, and cursors are left behind, so that whatever was known of the
//! remote is asked for again. Outbox entries come first, then rows, then the two are made to agree:
//!
//! - An entry that lies on a page which is not as it was written may be one that was done with long ago. It is kept as
//!   one that may have been sent.
//! - A row that waits for an entry which is lost counts as synced.
//! - A row that is lost is made again from its newest entry.
//!
//! Memory grows with the damage and not with the file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use larder_core::packed::{Stored, decode_entry, parse_body, write_meta};
use larder_core::{
    Damage, Error, ErrorKind, Integrity, Key, MetaRef, Operation, Result, RowState, Schema, SyncState,
    Timestamp, ordered,
};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table};

use crate::catalog::Catalog;
use crate::codec::{
    self, Bytes, COUNTERS, CURSORS, FORMAT, INDEXES, KEYS, MODELS, OUTBOX, OUTBOX_END, PREFIX, ROWS, SHAPES,
    TABLE,
};
use crate::counters::{Counters, MARGIN};
use crate::error::{Raw, foreign, illegible};
use crate::notes::{IndexRecord, IndexState, Notes};
use crate::pages::{Pages, Root, Slot, Walked};
use crate::reports::{self, Report};

/// How many records one transaction takes.
const CHUNK: u64 = 4096;

/// What is noted down about models, shapes and indexes: records by key.
pub(crate) type NoteRecords = Vec<(Vec<u8>, Vec<u8>)>;

/// What is known without the file.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The notes, if the store was open.
    pub(crate) notes: Option<NoteRecords>,
    /// The least that the counters may be.
    pub(crate) counters: Option<Counters>,
    /// What goes into rows that are made again.
    pub(crate) now: Timestamp,
    /// The models as they are today.
    pub(crate) schemas: Vec<&'static Schema>,
    /// The reports that nobody has acknowledged, if the store was open.
    pub(crate) reports: Option<Vec<Report>>,
    /// Where the damaged file goes, for the report.
    pub(crate) aside: String,
    /// What was found first, for the report.
    pub(crate) cause: String,
    /// True if somebody has decided to do without what the medium does not give.
    pub(crate) gives_up: bool,
}

/// Copies what verifies from `from` to the empty database `to`.
///
/// # Errors
/// `Corrupt` if nothing can be made out; `Unsupported` for a newer format; `Storage` or `Full`: `Storage` where the medium does
/// not give all of it, unless that is [given up](Known::gives_up).
pub(crate) fn run(from: &Pages, to: &Database, known: Known) -> Result<Damage> {
    let nothing = || codec::damaged("the file, so that nothing can be salvaged: it");
    let (slot, verified) = from.best().ok_or_else(nothing)?;
    if !known.gives_up {
        verified.whole().map_err(unread)?;
    }
    let root = from.table(&slot, codec::NAME);
    let root = root.ok_or_else(|| match verified.whole() {
        Err(error) if known.gives_up => {
            illegible("the file", "the page that says where its tables begin", error)
        }
        Err(error) => unread(error),
        Ok(_) => nothing(),
    })?;
    let mut salvage = Salvage {
        from,
        root,
        mirror: None,
        to,
        damage: empty(),
        seen: Walked::default(),
        known,
        reports: Vec::new(),
        top: Counters::NEW,
        models: BTreeSet::new(),
        shapes: BTreeSet::new(),
    };
    (salvage.damage.pages, salvage.damage.unread) = (verified.damaged, verified.unread);
    salvage.mirror = from.table(&slot, codec::MIRROR_NAME);
    let counters = salvage.notes()?;
    let catalog = salvage.catalog()?;
    salvage.entries()?;
    salvage.rows(&catalog)?;
    salvage.agree()?;
    salvage.count(counters)
}

/// Whether a state is the one in which the counters were these, as far as that can be read.
pub(crate) fn is_of(pages: &Pages, slot: &Slot, counters: Counters) -> bool {
    let Some(root) = pages.table(slot, codec::NAME) else { return false };
    let mut newest = None;
    // They are in their record, or behind the newest entry or the oldest: what has the highest revision counts.
    let looked = pages.pairs(&root, &[COUNTERS], &[OUTBOX_END], &mut |key, value, _| {
        let found = match codec::outbox_seq(key) {
            Some(seq) => decode_entry(value).ok().and_then(|entry| Counters::noted(seq, entry.note?)),
            None => Counters::decode(value).ok(),
        };
        newest = newest.max(found.map(|counters| counters.revision));
        Ok(())
    });
    looked.is_ok() && newest == Some(counters.revision)
}

fn empty() -> Damage {
    let (aside, cause) = (String::new(), String::new());
    Damage { aside, cause, rows: 0, entries: 0, pages: 0, unread: 0, lost: 0, unsent: Vec::new() }
}

/// What is said where the medium does not give all of a file.
#[cold]
fn unread(error: io::Error) -> Error {
    let what = "some of the file can't be read, and may be sound: nothing is salvaged before that is given up (`Redb::give_up_unreadable`)";
    Error::new(ErrorKind::Storage, what).because(error)
}

struct Salvage<'a> {
    from: &'a Pages,
    root: Root,
    /// The second copy of the notes.
    mirror: Option<Root>,
    to: &'a Database,
    damage: Damage,
    seen: Walked,
    known: Known,
    /// The reports of those before it.
    reports: Vec<Report>,
    /// The highest revision and sequence number that were seen.
    top: Counters,
    /// The models and the shapes that are known: a record of another one could be taken for something else.
    models: BTreeSet<u16>,
    shapes: BTreeSet<u16>,
}

type Writable<'t> = Table<'t, Bytes, Bytes>;

/// A record on its way: where it comes from says whether its page is sound.
type Found = (Vec<u8>, Vec<u8>, bool);

impl Salvage<'_> {
    /// Hands the pairs of some spaces to `write`, a transaction for every [`CHUNK`] of them.
    fn copy(
        &mut self,
        low: &[u8],
        high: &[u8],
        mut write: impl FnMut(&mut Self, &mut Writable<'_>, Found) -> Result<()>,
    ) -> Result<()> {
        let (mut waiting, from, root) = (Vec::new(), self.from, self.root);
        let seen = from.pairs(&root, low, high, &mut |key, value, sound| {
            waiting.push((key.to_vec(), value.to_vec(), sound));
            if waiting.len() as u64 == CHUNK {
                self.flush(&mut waiting, &mut write)?;
            }
            Ok(())
        })?;
        self.flush(&mut waiting, &mut write)?;
        self.saw(seen)
    }

    /// Takes note of what a walk has come across.
    ///
    /// # Errors
    /// `Storage` if the medium did not give all of it, and that is not given up.
    fn saw(&mut self, seen: Walked) -> Result<()> {
        self.seen.pairs += seen.pairs;
        if !self.known.gives_up {
            seen.whole().map_err(unread)?;
        }
        Ok(())
    }

    fn flush(
        &mut self,
        waiting: &mut Vec<Found>,
        write: &mut impl FnMut(&mut Self, &mut Writable<'_>, Found) -> Result<()>,
    ) -> Result<()> {
        let to = self.to;
        transact(to, Durability::None, |table| {
            waiting.drain(..).try_for_each(|found| write(self, table, found))
        })
    }

    /// The notes and the counters; gives what the counters were, if that is known.
    fn notes(&mut self) -> Result<Option<Counters>> {
        let (mut notes, mut format, mut reports) = (BTreeMap::new(), None, Vec::new());
        let seen = self.from.pairs(&self.root, &[FORMAT], &[CURSORS], &mut |key, value, _| {
            if key == [FORMAT] {
                format = Some(value.to_vec());
            } else if let Ok(Some(report)) = Report::read(key, value) {
                reports.push(report);
            } else if let Some(value) = kept_note(key, value) {
                notes.insert(key.to_vec(), value);
            }
            Ok(())
        })?;
        self.saw(seen)?;
        self.reports = self.known.reports.take().unwrap_or(reports);
        match &format {
            Some(record) if codec::unseal(record, "").is_ok() => {
                codec::check_format(record)?;
            }
            // Nothing of the file is damaged, and it does not say that it is ours.
            None if self.damage.pages == 0 => {
                return Err(foreign("the file is a redb database of another application"));
            }
            _ => {}
        }
        if let Some(mirror) = self.mirror {
            self.from.pairs(&mirror, &[MODELS], &[CURSORS], &mut |key, value, _| {
                if let (false, Some(value)) = (notes.contains_key(key), kept_note(key, value)) {
                    notes.insert(key.to_vec(), value);
                }
                Ok(())
            })?;
        }
        let known = self.known.notes.take().unwrap_or_default();
        notes.extend(
            known.into_iter().filter_map(|(key, value)| Some((key.clone(), kept_note(&key, &value)?))),
        );
        for (key, value) in &notes {
            match key.first() {
                Some(&MODELS) => self.models.extend(codec::unseal(value, "").ok().and_then(id)),
                Some(&SHAPES) => self.shapes.extend(id(&key[1..])),
                _ => {}
            }
        }
        let to = self.to;
        transact(to, Durability::None, |table| {
            notes.iter().try_for_each(|(key, value)| put(table, key, value))?;
            put(table, &[FORMAT], &codec::format_record())
        })?;
        self.counters()
    }

    fn counters(&mut self) -> Result<Option<Counters>> {
        let mut counters = None;
        // Format 1 has them behind the outbox.
        for space in [COUNTERS, OUTBOX_END] {
            let seen = self.from.pairs(&self.root, &[space], &[space + 1], &mut |key, value, sound| {
                if key == [space] {
                    counters = Counters::decode(value).ok().filter(|_| sound);
                }
                Ok(())
            })?;
            self.saw(seen)?;
        }
        // Nothing is kept of cursors and index entries, and nothing is lost by that.
        for (low, high) in [([CURSORS], [ROWS]), ([codec::ENTRIES], [codec::MOVING])] {
            let seen = self.from.pairs(&self.root, &low, &high, &mut |_, _, _| Ok(()))?;
            self.saw(seen)?;
        }
        Ok(counters)
    }

    /// What is known of the models now; nothing of it is written.
    ///
    /// # Errors
    /// `Unsupported` if a newer version of the application has written the file.
    fn catalog(&self) -> Result<Catalog> {
        let table = self.to.begin_read().map_err(Raw::from)?.open_table(TABLE).map_err(Raw::from)?;
        Notes::read(&table)?.register(&self.known.schemas)
    }

    /// Whether it is known how a body is read.
    fn reads(&self, body: &[u8]) -> bool {
        parse_body(body).is_ok_and(|(shape, _)| self.shapes.contains(&shape))
    }

    fn entries(&mut self) -> Result<()> {
        self.copy(&[OUTBOX], &[OUTBOX_END], |salvage, table, (key, value, sound)| {
            let entry = decode_entry(&value).ok();
            let entry = entry.filter(|entry| {
                [entry.row, entry.base].into_iter().flatten().all(|body| salvage.reads(body))
            });
            let (Some(seq), Some(entry)) = (codec::outbox_seq(&key), entry) else {
                salvage.damage.lost += 1;
                return Ok(());
            };
            salvage.top.next_seq = salvage.top.next_seq.max(seq.saturating_add(1));
            let noted =
                entry.note.and_then(|note| Counters::noted(seq, note)).map_or(0, |noted| noted.revision);
            salvage.top.revision = salvage.top.revision.max(noted);
            if sound {
                put(table, &key, &value)?;
            } else if table.get(key.as_slice()).map_err(Raw::from)?.is_none() {
                put(table, &key, &entry.encode_marked()?)?;
            }
            Ok(())
        })
    }

    fn rows(&mut self, catalog: &Catalog) -> Result<()> {
        self.copy(&[ROWS], &[codec::ENTRIES], |salvage, table, (key, value, sound)| {
            let known = key.get(1..PREFIX).and_then(id).is_some_and(|id| salvage.models.contains(&id));
            let place = key.get(PREFIX..).and_then(|key| ordered::decode_key(key).ok()).filter(|_| known);
            let stored = Stored::parse(&value).ok();
            let stored = stored.filter(|stored| stored.body.is_none_or(|body| salvage.reads(body)));
            // The checksum is of the row and not of its key.
            let stored = stored.filter(|stored| sound || in_place(catalog, &key, *stored));
            let (Some(stored), Some(_)) = (stored, place) else {
                salvage.damage.lost += 1;
                return Ok(());
            };
            let revision = stored.meta.revision;
            salvage.top.revision = salvage.top.revision.max(revision);
            salvage.top.next_seq = salvage.top.next_seq.max(stored.meta.tail.saturating_add(1));
            let there = table.get(key.as_slice()).map_err(Raw::from)?;
            let newer =
                there.is_some_and(|there| codec::revision_of(there.value()).is_ok_and(|r| r > revision));
            if newer { Ok(()) } else { put(table, &key, &value) }
        })
    }

    /// Brings rows and entries together.
    fn agree(&mut self) -> Result<()> {
        let mut orphans = self.orphans()?;
        self.made_again(&mut orphans)?;
        let (to, now) = (self.to, self.known.now);
        let mut unsent = Vec::new();
        transact(to, Durability::None, |table| {
            for (at, tail) in orphans {
                let record =
                    table.get(at.as_slice()).map_err(Raw::from)?.map(|record| record.value().to_vec());
                let Some(record) = record else { continue };
                let stored = Stored::parse_verified(&record)?;
                if stored.meta.tail == tail {
                    continue;
                }
                unsent.push(at.clone());
                if tail == 0 && stored.body.is_none() {
                    table.remove(at.as_slice()).map_err(Raw::from)?;
                    continue;
                }
                // Whoever has read it as it was is to read it again.
                let mut meta = MetaRef { tail, revision: stored.meta.revision + 1, ..stored.meta };
                if tail == 0 {
                    meta.sync = SyncState { state: RowState::Synced, since: now };
                }
                let mut record = Vec::new();
                write_meta(&mut record, meta, stored.body)?;
                put(table, &at, &record)?;
            }
            for at in unsent.iter().take(Integrity::MOST) {
                if let Some(named) = named(table, at)? {
                    self.damage.unsent.push(named);
                }
            }
            Ok(())
        })
    }

    /// The rows whose newest entry is lost, each with 0 for now.
    fn orphans(&self) -> Result<HashMap<Vec<u8>, u64>> {
        let mut orphans = HashMap::new();
        transact(self.to, Durability::None, |table| {
            for pair in
                table.range::<&[u8]>([ROWS].as_slice()..[codec::ENTRIES].as_slice()).map_err(Raw::from)?
            {
                let (key, value) = pair.map_err(Raw::from)?;
                let tail = Stored::parse_verified(value.value())?.meta.tail;
                let lost = |table: &Writable<'_>| -> Result<bool> {
                    Ok(table.get(codec::outbox_key(tail).as_slice()).map_err(Raw::from)?.is_none())
                };
                if tail != 0 && lost(table)? {
                    orphans.insert(key.value().to_vec(), 0);
                }
            }
            Ok(())
        })?;
        Ok(orphans)
    }

    /// Makes lost rows again from their entries, and finds the newest entry of each orphan.
    fn made_again(&mut self, orphans: &mut HashMap<Vec<u8>, u64>) -> Result<()> {
        let (mut after, to) = (vec![OUTBOX], self.to);
        loop {
            let mut count = 0;
            transact(to, Durability::None, |table| {
                let mut found = Vec::new();
                for pair in table
                    .range::<&[u8]>(after.as_slice()..[OUTBOX_END].as_slice())
                    .map_err(Raw::from)?
                    .take(CHUNK as usize)
                {
                    let (key, value) = pair.map_err(Raw::from)?;
                    found.push((key.value().to_vec(), value.value().to_vec()));
                }
                count = found.len() as u64;
                for (key, value) in &found {
                    self.made_again_from(table, orphans, key, value)?;
                }
                if let Some((last, _)) = found.last() {
                    after = [last.as_slice(), &[0]].concat();
                }
                Ok(())
            })?;
            if count < CHUNK {
                return Ok(());
            }
        }
    }

    fn made_again_from(
        &mut self,
        table: &mut Writable<'_>,
        orphans: &mut HashMap<Vec<u8>, u64>,
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        let Some(seq) = codec::outbox_seq(key) else { return Ok(()) };
        let entry = decode_entry(value)?;
        // Without the model's number there is no place for a row; the entry stays and says so when it is read.
        let Some(at) = row_of(table, entry.model(), entry.key())? else { return Ok(()) };
        if let Some(newest) = orphans.get_mut(&at) {
            *newest = seq;
            return Ok(());
        }
        let tail = table.get(at.as_slice()).map_err(Raw::from)?;
        let tail = tail.map(|record| Stored::parse_verified(record.value()).map(|stored| stored.meta.tail));
        if tail.transpose()?.is_some_and(|tail| tail >= seq) {
            return Ok(());
        }
        let state = if entry.is_parked() { RowState::Parked } else { RowState::Pending };
        let sync = SyncState { state, since: self.known.now };
        let revision = self.top.revision.max(1);
        let meta = MetaRef { revision, tail: seq, sync, version: None, extra: None };
        let body = entry.row.filter(|_| entry.operation() != Operation::Delete);
        let mut record = Vec::new();
        write_meta(&mut record, meta, body)?;
        put(table, &at, &record)
    }

    /// Counts what is there now, and writes the counters and the report; this makes all of it durable.
    fn count(mut self, counters: Option<Counters>) -> Result<Damage> {
        self.damage.lost += self.root.length.saturating_sub(self.seen.pairs);
        (self.damage.aside, self.damage.cause) = (self.known.aside, self.known.cause);
        // Where an entry is lost, the counters may have lain behind it.
        let whole = counters.is_some() && self.damage.pages == 0 && self.damage.lost == 0;
        let margin = if whole || self.known.counters.is_some() { 0 } else { MARGIN };
        let mut next = self.top;
        next.next_seq = next.next_seq.saturating_add(margin);
        next.revision = next.revision.saturating_add(margin);
        for known in [counters, self.known.counters].into_iter().flatten() {
            next.next_seq = next.next_seq.max(known.next_seq);
            next.revision = next.revision.max(known.revision);
        }
        next.revision += 1;
        (next.entries, next.parked) = (0, 0);
        let (mut damage, reports) = (self.damage, self.reports);
        transact(self.to, Durability::Immediate, |table| {
            for pair in
                table.range::<&[u8]>([OUTBOX].as_slice()..[OUTBOX_END].as_slice()).map_err(Raw::from)?
            {
                let (_, value) = pair.map_err(Raw::from)?;
                next.entries += 1;
                next.parked += u64::from(decode_entry(value.value())?.is_parked());
            }
            for pair in
                table.range::<&[u8]>([ROWS].as_slice()..[codec::ENTRIES].as_slice()).map_err(Raw::from)?
            {
                pair.map_err(Raw::from)?;
                damage.rows += 1;
            }
            damage.entries = next.entries;
            for report in reports::add(reports, damage.clone()) {
                put(table, &report.place(), &report.note()?)?;
            }
            put(table, &[COUNTERS], &next.encode())
        })?;
        Ok(damage)
    }
}

/// A note as it goes into the new file, if it is as it was written: an index is to be built anew.
fn kept_note(key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    match *key.first()? {
        MODELS | SHAPES | KEYS => codec::unseal(value, "").ok().map(|_| value.to_vec()),
        INDEXES => {
            let record: IndexRecord = codec::unseal_named(value, "").ok()?;
            codec::seal_named(&IndexRecord { state: IndexState::Building(Vec::new()), ..record }).ok()
        }
        _ => None,
    }
}

/// False if the row has another key than its place says, as far as that can be told.
fn in_place(catalog: &Catalog, at: &[u8], stored: Stored<'_>) -> bool {
    let slot =
        at.get(1..PREFIX).and_then(id).and_then(|id| catalog.slots().iter().find(|slot| slot.model == id));
    let (Some(slot), Some(body)) = (slot, stored.body) else { return true };
    let own = slot.row(body).and_then(|row| slot.schema.key_of(&row));
    own.is_ok_and(|own| codec::row_key(slot.model, &own) == at)
}

fn id(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().map(u16::from_be_bytes).ok()
}

fn transact<T>(
    database: &Database,
    durability: Durability,
    change: impl FnOnce(&mut Writable<'_>) -> Result<T>,
) -> Result<T> {
    let mut transaction = database.begin_write().map_err(Raw::from)?;
    transaction.set_durability(durability).map_err(Raw::from)?;
    let mut table = transaction.open_table(TABLE).map_err(Raw::from)?;
    let done = change(&mut table)?;
    drop(table);
    transaction.commit().map_err(Raw::from)?;
    Ok(done)
}

fn put(table: &mut Writable<'_>, key: &[u8], value: &[u8]) -> Result<()> {
    Ok(table.insert(key, value).map(drop).map_err(Raw::from)?)
}

/// The place of a row; `None` if the model has no number here.
fn row_of(table: &Writable<'_>, model: &str, key: &Key) -> Result<Option<Vec<u8>>> {
    let id = table.get([&[MODELS], model.as_bytes()].concat().as_slice()).map_err(Raw::from)?;
    let Some(id) = id else { return Ok(None) };
    let id = codec::unseal(id.value(), "the id of a model")?;
    let id = id.try_into().map(u16::from_be_bytes).map_err(|_| codec::damaged("the id of a model"))?;
    Ok(Some(codec::row_key(id, key)))
}

/// The model and the key of the row at a place.
fn named(table: &Writable<'_>, at: &[u8]) -> Result<Option<(String, Key)>> {
    let Some((prefix, key)) = at.split_at_checked(PREFIX) else { return Ok(None) };
    let Ok((key, _)) = ordered::decode_key(key) else { return Ok(None) };
    for pair in table.range::<&[u8]>([MODELS].as_slice()..[SHAPES].as_slice()).map_err(Raw::from)? {
        let (name, id) = pair.map_err(Raw::from)?;
        if codec::unseal(id.value(), "the id of a model").is_ok_and(|id| id == &prefix[1..]) {
            let name = String::from_utf8_lossy(&name.value()[1..]).into_owned();
            return Ok(Some((name, key)));
        }
    }
    Ok(None)
}

/// Why a store can't be salvaged.
#[cold]
pub(crate) fn no_place() -> Error {
    let message = "the store lies in no file of its own: there is no place to move what is damaged to";
    Error::new(ErrorKind::Unsupported, message).during("salvage")
}
