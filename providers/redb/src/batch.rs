//! A batch within a transaction: applied as a whole, or taken back alone while its neighbours stay.

use larder_core::packed::{
    Stored, append_note, decode_entry, encode_entry, glance_at_entry, write_record, write_tombstone,
};
use larder_core::{
    Batch, Committed, Entry, EntryState, Error, ErrorKind, Expect, Key, Meta, MetaRef, Op, Result, Row,
    Schema, Tail, Touched, ordered,
};
use redb::Table;

use crate::catalog::{Catalog, Slot};
use crate::codec::{self, Bytes, IndexEntry, OUTBOX, OUTBOX_END, PREFIX};
use crate::counters::Counters;
use crate::entries::Check;
use crate::error::Raw;
use crate::overlay::{Change, Overlay};

/// How long a record is that needs no longer buffer.
const RECORD: usize = 256;

/// What a batch did.
pub(crate) struct Applied {
    pub(crate) committed: Committed,
    pub(crate) touched: Touched,
}

/// Why a batch was not applied. Except for `Broken`, the transaction is as it was before.
pub(crate) enum Refusal {
    /// An expectation did not hold.
    Stale,
    /// The batch can't be applied.
    Invalid(Error),
    /// The transaction can't go on.
    Broken(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Invalid(error)
    }
}

impl From<Raw> for Refusal {
    fn from(raw: Raw) -> Self {
        if raw.is_too_large() { Self::Invalid(raw.into()) } else { Self::Broken(raw.into()) }
    }
}

impl From<redb::StorageError> for Refusal {
    fn from(error: redb::StorageError) -> Self {
        Raw::from(error).into()
    }
}

pub(crate) type Outcome<T = ()> = Result<T, Refusal>;

/// What a batch is applied to.
pub(crate) struct Ground<'a, 't> {
    pub(crate) table: &'a mut Table<'t, Bytes, Bytes>,
    pub(crate) catalog: &'a Catalog,
    pub(crate) counters: &'a mut Counters,
    /// Slot by slot, the revision of the last change.
    pub(crate) changed: &'a mut [u64],
    /// How many more bytes of outbox entries were removed than added.
    pub(crate) freed: &'a mut i64,
    /// The newest entry that the counters were noted behind, and what was noted.
    pub(crate) noted: &'a mut Option<(u64, Counters)>,
    /// True if others share the transaction, so that the batch has to be taken back alone if it fails.
    pub(crate) shared: bool,
}

/// Applies `batch`.
pub(crate) fn apply(ground: &mut Ground<'_, '_>, batch: &Batch) -> Outcome<Applied> {
    let mut counters = *ground.counters;
    counters.revision += 1;
    let mut applying = Applying {
        catalog: ground.catalog,
        overlay: Overlay::new(ground.table, ground.shared),
        changed: ground.changed,
        first_seq: counters.next_seq,
        enqueues: batch.ops.iter().filter(|op| matches!(op, Op::Enqueue(_))).count() as u64,
        touched: Touched::nothing(counters.revision),
        counters,
        models: Vec::new(),
        seqs: Vec::new(),
        checks: Vec::new(),
        recount: false,
        freed: 0,
        noted: *ground.noted,
    };
    applying.run(batch)?;
    let Applying { counters, touched, seqs, models, freed, noted, .. } = applying;
    *ground.counters = counters;
    *ground.freed += freed;
    *ground.noted = noted;
    models.iter().for_each(|at| ground.changed[*at] = counters.revision);
    Ok(Applied { committed: Committed { revision: counters.revision, seqs }, touched })
}

/// A batch that is being applied.
pub(crate) struct Applying<'a, 't> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) overlay: Overlay<'a, 't>,
    changed: &'a [u64],
    counters: Counters,
    first_seq: u64,
    enqueues: u64,
    touched: Touched,
    /// The slots of the models whose rows it wrote.
    models: Vec<usize>,
    seqs: Vec<u64>,
    pub(crate) checks: Vec<Check>,
    /// True if the outbox has to be counted anew.
    recount: bool,
    /// How many more bytes of outbox entries it removes than it adds.
    freed: i64,
    noted: Option<(u64, Counters)>,
}

impl<'a, 't> Applying<'a, 't> {
    /// Something to apply single changes with, all of which stand or fall with the transaction.
    pub(crate) fn over(ground: &'a mut Ground<'_, 't>) -> Self {
        let counters = *ground.counters;
        Self {
            catalog: ground.catalog,
            overlay: Overlay::new(ground.table, ground.shared),
            changed: ground.changed,
            counters,
            first_seq: counters.next_seq,
            enqueues: 0,
            touched: Touched::nothing(counters.revision),
            models: Vec::new(),
            seqs: Vec::new(),
            checks: Vec::new(),
            recount: false,
            freed: 0,
            noted: None,
        }
    }
}

impl Applying<'_, '_> {
    /// Replaces the record of a row by another one of the same row.
    pub(crate) fn rewrite(&mut self, slot: &Slot, at: &[u8], record: Vec<u8>) -> Outcome {
        let (key, stored) = (&at[PREFIX..], Stored::parse_verified(&record)?);
        let mut same = false;
        let entries = |old: &[u8]| {
            let old = Stored::parse(old)?;
            same = old.body == stored.body;
            if same { Ok(Vec::new()) } else { slot.entries(old, key) }
        };
        let old = self.overlay.look(at, entries)?;
        // No index has anything of what stands beside the fields.
        if !same {
            let old = self.or_stray(slot, key, old)?.unwrap_or_default();
            let new = slot.entries(stored, key)?;
            fits(slot, at, &new)?;
            self.reindex(slot, &record, &old, new)?;
        }
        self.overlay.set(at.to_vec(), Change::Value(record))
    }

    fn run(&mut self, batch: &Batch) -> Outcome {
        batch.expect.iter().try_for_each(|expect| self.expect(expect))?;
        for op in &batch.ops {
            match op {
                Op::Put { schema, key, row, meta, tail } => self.put(schema, key, &**row, meta, *tail)?,
                Op::Tombstone { schema, key, meta, tail } => self.tombstone(schema, key, meta, *tail)?,
                Op::Remove { schema, key } => self.remove_row(schema, key)?,
                Op::Enqueue(entry) => self.enqueue(entry)?,
                Op::Revise(entry) => self.revise(entry)?,
                Op::Dequeue(seq) => self.dequeue(*seq)?,
                Op::Cursor { scope, value } => self.cursor(scope, value.as_deref())?,
            }
        }
        self.check_unique()?;
        if self.recount {
            self.recount()?;
        }
        self.overlay.write()
    }

    fn expect(&self, expect: &Expect) -> Outcome {
        let holds = match expect {
            Expect::Row { schema, key, revision } => {
                let slot = self.catalog.slot(schema)?;
                let at = codec::row_key(slot.model, key);
                let found = self.overlay.look(&at, codec::revision_of)?.unwrap_or(Ok(0));
                found.map_err(|error| error.model(schema.model).key(key))? == *revision
            }
            Expect::Model { schema, revision } => self.changed[self.catalog.slot(schema)?.at] <= *revision,
            Expect::Entry { seq, marked, attempts } => {
                let sent = |entry: &[u8]| decode_entry(entry).map(|entry| entry.sent());
                let found = self.overlay.look(&codec::outbox_key(*seq), sent)?.transpose();
                found.map_err(|error| error.during("commit"))? == Some((*marked, *attempts))
            }
        };
        if holds { Ok(()) } else { Err(Refusal::Stale) }
    }

    fn put(&mut self, schema: &'static Schema, key: &Key, row: &dyn Row, meta: &Meta, tail: Tail) -> Outcome {
        let slot = self.catalog.slot(schema)?;
        let own = schema.key_of(row)?;
        if own != *key {
            let message = format!("the row's key is {own}");
            return Err(Error::new(ErrorKind::Invalid, message)
                .during("commit")
                .model(schema.model)
                .key(key)
                .into());
        }
        let meta = self.meta(meta, tail)?;
        let mut record = Vec::with_capacity(RECORD);
        write_record(&mut record, schema, slot.shape, row, meta)?;
        let at = codec::row_key(slot.model, key);
        self.rewrite(slot, &at, record)?;
        self.touch(slot, key);
        Ok(())
    }

    fn tombstone(&mut self, schema: &'static Schema, key: &Key, meta: &Meta, tail: Tail) -> Outcome {
        let slot = self.catalog.slot(schema)?;
        let mut record = Vec::new();
        write_tombstone(&mut record, self.meta(meta, tail)?)
            .map_err(|error| error.model(schema.model).key(key))?;
        let at = codec::row_key(slot.model, key);
        let old = self.entries_at(slot, &at)?;
        old.unwrap_or_default().iter().try_for_each(|entry| self.unindex(entry))?;
        self.overlay.set(at, Change::Value(record))?;
        self.touch(slot, key);
        Ok(())
    }

    fn remove_row(&mut self, schema: &'static Schema, key: &Key) -> Outcome {
        let slot = self.catalog.slot(schema)?;
        let at = codec::row_key(slot.model, key);
        if let Some(old) = self.entries_at(slot, &at)? {
            old.iter().try_for_each(|entry| self.unindex(entry))?;
            self.overlay.set(at, Change::Gone)?;
            self.touch(slot, key);
        }
        Ok(())
    }

    fn meta<'m>(&self, meta: &'m Meta, tail: Tail) -> Outcome<MetaRef<'m>> {
        let tail = match tail {
            Tail::At(seq) => seq,
            Tail::New(nth) if (nth as u64) < self.enqueues => self.first_seq + nth as u64,
            Tail::New(nth) => {
                let message =
                    format!("a row names entry {nth} of its batch, which enqueues {}", self.enqueues);
                return Err(Error::new(ErrorKind::Invalid, message).during("commit").into());
            }
        };
        Ok(MetaRef { revision: self.counters.revision, tail, ..meta.show() })
    }

    fn touch(&mut self, slot: &Slot, key: &Key) {
        self.touched.rows.push((slot.schema, key.clone()));
        if self.models.last() != Some(&slot.at) {
            self.models.push(slot.at);
        }
    }

    /// The index entries of the row that is stored at `at`; `None` if none is.
    fn entries_at(&self, slot: &Slot, at: &[u8]) -> Outcome<Option<Vec<IndexEntry>>> {
        let key = &at[PREFIX..];
        let entries = |record: &[u8]| Stored::parse(record).and_then(|stored| slot.entries(stored, key));
        self.or_stray(slot, key, self.overlay.look(at, entries)?)
    }

    /// The index entries that a record has, or, if it is damaged, all that lead to its key.
    fn or_stray(
        &self,
        slot: &Slot,
        key: &[u8],
        found: Option<Result<Vec<IndexEntry>>>,
    ) -> Outcome<Option<Vec<IndexEntry>>> {
        match found {
            Some(Ok(entries)) => Ok(Some(entries)),
            Some(Err(_)) => self.stray_entries(slot, key).map(Some),
            None => Ok(None),
        }
    }

    fn enqueue(&mut self, entry: &Entry) -> Outcome {
        let seq = self.counters.next_seq;
        self.counters.next_seq += 1;
        self.counters.entries += 1;
        self.counters.parked += u64::from(is_parked(entry));
        self.freed -= self.write_entry(seq, entry, true)?;
        self.touched.queued = true;
        self.seqs.push(seq);
        Ok(())
    }

    fn revise(&mut self, entry: &Entry) -> Outcome {
        let look = |bytes: &[u8]| glance_at_entry(bytes).ok().map(|was| (was.parked, was.note.is_some()));
        let Some(was) = self.overlay.look(&codec::outbox_key(entry.seq), look)? else {
            return Ok(());
        };
        self.count_out(was.map(|(parked, _)| parked));
        let noted = was.is_some_and(|(_, noted)| noted);
        self.counters.entries += 1;
        self.counters.parked += u64::from(is_parked(entry));
        self.write_entry(entry.seq, entry, noted).map(drop)
    }

    /// Writes an entry, and the counters as they are now behind it: at the end of the transaction they are left there if
    /// it is the newest.
    /// Gives how many bytes it takes.
    fn write_entry(&mut self, seq: u64, entry: &Entry, noted: bool) -> Outcome<i64> {
        let shape = self.catalog.slot(entry.schema)?.shape;
        let mut encoded = encode_entry(entry, shape).map_err(|error| error.during("commit"))?;
        if noted {
            append_note(&mut encoded, &self.counters.note());
            if self.noted.is_none_or(|(newest, _)| newest <= seq) {
                self.noted = Some((seq, self.counters));
            }
        }
        let len = encoded.len() as i64;
        self.overlay.set(codec::outbox_key(seq).to_vec(), Change::Value(encoded))?;
        self.touched.outbox = true;
        Ok(len)
    }

    fn dequeue(&mut self, seq: u64) -> Outcome {
        let key = codec::outbox_key(seq);
        let look = |bytes: &[u8]| (was_parked(bytes), bytes.len() as i64);
        if let Some((parked, len)) = self.overlay.look(&key, look)? {
            self.overlay.set(key.to_vec(), Change::Gone)?;
            self.noted = self.noted.filter(|(noted, _)| *noted != seq);
            self.freed += len;
            self.count_out(parked);
            self.touched.outbox = true;
        }
        Ok(())
    }

    fn count_out(&mut self, parked: Option<bool>) {
        self.recount |= parked.is_none();
        self.counters.entries = self.counters.entries.saturating_sub(1);
        self.counters.parked = self.counters.parked.saturating_sub(u64::from(parked == Some(true)));
    }

    /// Counts the outbox: an entry that went was damaged, so it is not known as what it was counted.
    fn recount(&mut self) -> Outcome {
        let (mut entries, mut parked) = (0, 0);
        self.overlay.each(&[OUTBOX], &[OUTBOX_END], |_, entry| {
            entries += 1;
            parked += u64::from(was_parked(entry) == Some(true));
            Ok(())
        })?;
        (self.counters.entries, self.counters.parked) = (entries, parked);
        Ok(())
    }

    fn cursor(&mut self, scope: &str, value: Option<&str>) -> Outcome {
        let sealed = value.map(|value| codec::seal(value.as_bytes()));
        self.overlay.set(codec::cursor_key(scope), sealed.map_or(Change::Gone, Change::Value))
    }
}

fn is_parked(entry: &Entry) -> bool {
    matches!(entry.state, EntryState::Parked(_))
}

/// Whether a stored entry is parked; `None` if it can't be read.
fn was_parked(bytes: &[u8]) -> Option<bool> {
    glance_at_entry(bytes).ok().map(|entry| entry.parked)
}

/// Refuses a key or an index entry that is too long, before anything is written.
fn fits(slot: &Slot, at: &[u8], entries: &[IndexEntry]) -> Outcome {
    let too_long = |what: String| {
        let message = format!("{what} takes more than {} bytes", ordered::LONGEST);
        let error = Error::new(ErrorKind::Invalid, message).during("commit").model(slot.schema.model);
        Err(codec::keyed(error, &at[PREFIX..]).into())
    };
    if at.len() > ordered::LONGEST {
        return too_long("the key".to_owned());
    }
    match entries.iter().position(|entry| entry.bytes.len() > ordered::LONGEST) {
        Some(index) => too_long(format!("the entry of the index {}", slot.indexes[index].def.name)),
        None => Ok(()),
    }
}
