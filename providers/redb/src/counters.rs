//! What only ever rises, and how much is in the outbox: the counters, and where they lie.
//!
//! Each commit changes them, so where they lie costs each commit a page. A commit that writes the newest entry of the
//! outbox has its leaf at hand, and leaves them there, in a note behind the entry. Any other leaves them behind the oldest,
//! beside which entries are removed first; or in a record of their own, if there is no entry that can take them. What has
//! the highest revision counts: each commit leaves them in one of the three places.
//!
//! Nothing lies behind the outbox, so that its pages are filled one after the other: a key behind it, where format 1 had
//! the record, would make redb split the last of them in the middle again and again.

use larder_core::packed::{glance_at_entry, replace_note};
use larder_core::{Error, Result};
use redb::{ReadableTable, Table};

use crate::codec::{self, Bytes, COUNTERS, OUTBOX, OUTBOX_END};
use crate::error::Raw;

/// How far revisions are moved on where it is not known which was the last: more than one of them takes.
pub(crate) const MARGIN: u64 = 1 << 20;

/// Their note behind an entry.
pub(crate) type Note = [u8; 24];

/// A key of the table, and what is there.
type Record = (Vec<u8>, Vec<u8>);

/// What only ever rises, and how much is in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    /// The revision of the newest batch.
    pub(crate) revision: u64,
    /// The sequence number of the next outbox entry.
    pub(crate) next_seq: u64,
    /// Outbox entries.
    pub(crate) entries: u64,
    /// Parked ones among them.
    pub(crate) parked: u64,
}

impl Counters {
    /// Those of a new store. No entry has the sequence number 0.
    pub(crate) const NEW: Self = Self { revision: 0, next_seq: 1, entries: 0, parked: 0 };

    pub(crate) fn encode(self) -> Vec<u8> {
        let numbers = [self.revision, self.next_seq, self.entries, self.parked];
        codec::seal(&numbers.map(u64::to_le_bytes).concat())
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self> {
        let payload = codec::unseal(record, "the record of the counters")?;
        let mut numbers = payload.chunks_exact(8).map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || numbers.next().ok_or_else(lost);
        Ok(Self { revision: next()?, next_seq: next()?, entries: next()?, parked: next()? })
    }

    /// The note of them. The next number is that after the newest entry.
    pub(crate) fn note(self) -> Note {
        let mut note = Note::default();
        let numbers = [self.revision, self.entries, self.parked];
        note.chunks_exact_mut(8)
            .zip(numbers)
            .for_each(|(to, number)| to.copy_from_slice(&number.to_le_bytes()));
        note
    }

    /// What a note says, where `seq` is the newest entry.
    pub(crate) fn noted(seq: u64, note: &[u8]) -> Option<Self> {
        let note: &Note = note.try_into().ok()?;
        let mut numbers = note.chunks_exact(8).map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || numbers.next().unwrap_or_default();
        Some(Self { revision: next(), next_seq: seq.saturating_add(1), entries: next(), parked: next() })
    }
}

#[cold]
fn lost() -> Error {
    codec::damaged("the record of the counters")
}

/// The counters of a state of the table.
///
/// # Errors
/// `Corrupt` if their record is damaged.
pub(crate) fn read(table: &impl ReadableTable<Bytes, Bytes>) -> Result<Counters> {
    let get = |space: u8| table.get([space].as_slice()).map_err(Raw::from);
    let record = match get(COUNTERS)? {
        Some(record) => record,
        None => get(OUTBOX_END)?.ok_or_else(lost)?,
    };
    let mut counters = Counters::decode(record.value())?;
    let mut entries =
        table.range::<&[u8]>([OUTBOX].as_slice()..[OUTBOX_END].as_slice()).map_err(Raw::from)?;
    let Some(newest) = entries.next_back().transpose().map_err(Raw::from)? else { return Ok(counters) };
    let seq = codec::outbox_seq(newest.0.value()).unwrap_or_default();
    let oldest = entries.next().transpose().map_err(Raw::from)?;
    let mut lost = false;
    for (_, entry) in [Some(newest), oldest].into_iter().flatten() {
        match glance_at_entry(entry.value()) {
            Ok(entry) => {
                let noted = entry.note.and_then(|note| Counters::noted(seq, note));
                counters = noted.filter(|noted| noted.revision > counters.revision).unwrap_or(counters);
            }
            // It may have been the one that counted.
            Err(_) => lost = true,
        }
    }
    if lost {
        counters.revision = counters.revision.saturating_add(MARGIN);
        counters.next_seq = counters.next_seq.max(seq.saturating_add(1));
        return count(table, counters);
    }
    Ok(counters)
}

/// Counts the outbox. What can't be read is not parked.
fn count(table: &impl ReadableTable<Bytes, Bytes>, mut counters: Counters) -> Result<Counters> {
    (counters.entries, counters.parked) = (0, 0);
    for pair in table.range::<&[u8]>([OUTBOX].as_slice()..[OUTBOX_END].as_slice()).map_err(Raw::from)? {
        let (_, entry) = pair.map_err(Raw::from)?;
        counters.entries += 1;
        counters.parked += u64::from(glance_at_entry(entry.value()).is_ok_and(|entry| entry.parked));
    }
    Ok(counters)
}

/// Leaves the counters in the table, at the end of a transaction in which `noted` was the last note to be left behind an
/// entry that is there still: its number, and what the note says.
pub(crate) fn write(
    table: &mut Table<'_, Bytes, Bytes>,
    counters: Counters,
    noted: Option<(u64, Counters)>,
) -> Result<(), Raw> {
    // The next number is not in a note: it has to be that after the newest.
    let is_newest = |seq: u64| seq.checked_add(1) == Some(counters.next_seq);
    if let Some((seq, said)) = noted
        && is_newest(seq)
    {
        if said == counters {
            return Ok(());
        }
        let key = codec::outbox_key(seq);
        let entry = table.get(key.as_slice())?.map(|entry| entry.value().to_vec());
        return entry.map_or(Ok(()), |entry| note(table, &key, entry, counters));
    }
    match oldest(table, is_newest)? {
        Some((key, entry)) => note(table, &key, entry, counters),
        None => Ok(table.insert([COUNTERS].as_slice(), counters.encode().as_slice()).map(drop)?),
    }
}

/// The oldest entry, if it has a note and the newest is as it has to be.
fn oldest(table: &Table<'_, Bytes, Bytes>, is_newest: impl Fn(u64) -> bool) -> Result<Option<Record>, Raw> {
    let mut entries = table.range::<&[u8]>([OUTBOX].as_slice()..[OUTBOX_END].as_slice())?;
    let newest = entries.next_back().transpose()?;
    if !newest.as_ref().and_then(|(key, _)| codec::outbox_seq(key.value())).is_some_and(is_newest) {
        return Ok(None);
    }
    let oldest = entries.next().transpose()?.or(newest).filter(|(_, entry)| has_note(entry.value()));
    Ok(oldest.map(|(key, entry)| (key.value().to_vec(), entry.value().to_vec())))
}

fn has_note(entry: &[u8]) -> bool {
    glance_at_entry(entry).is_ok_and(|entry| entry.note.is_some_and(|note| note.len() == size_of::<Note>()))
}

/// Leaves the counters behind an entry that has a note.
fn note(
    table: &mut Table<'_, Bytes, Bytes>,
    key: &[u8],
    mut entry: Vec<u8>,
    counters: Counters,
) -> Result<(), Raw> {
    replace_note(&mut entry, &counters.note());
    table.insert(key, entry.as_slice())?;
    Ok(())
}
