//! Outbox entries as they are stored: a checksum, a head as named MessagePack, and two bodies; a third one behind them
//! if the head says so, and at the end a note of the store, if it has one.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::read::Cursor;
use super::record::{corrupt, seal, verify};
use super::{FORMAT, write_body};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::mutation::{FieldSet, MutationId, Operation};
use crate::outbox::{Entry, EntryState, Failure, SendMark, Theirs, Within};
use crate::row::Row;
use crate::schema::Schema;
use crate::value::ValueRef;

/// The head of a stored entry. Named, so that later versions can add to it; a name has less than 32 bytes, or
/// [`glance_at_entry`] takes the head for a malformed one.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head<'a> {
    prev: u64,
    id: MutationId,
    model: Cow<'a, str>,
    model_version: u32,
    key: Key,
    operation: Operation,
    /// The names of the changed fields, as shapes have them: positions move when the model changes.
    changed: Vec<Cow<'a, str>>,
    base_version: Option<Arc<str>>,
    extra: Option<Arc<str>>,
    account: Option<Arc<str>>,
    created: i64,
    state: EntryState,
    /// [`UNMARKED`] where there is none: an entry that grew when it is marked would split the page that it lies in.
    mark: Option<i64>,
    attempts: u32,
    strikes: u32,
    first_strike: Option<i64>,
    not_before: Option<i64>,
    failure: Option<Cow<'a, Failure>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unexplained: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    carries: Vec<MutationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<Within>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    theirs: Option<Beside>,
}

/// As long as any moment.
const UNMARKED: i64 = i64::MIN;

impl Head<'_> {
    fn mark(&self) -> Option<i64> {
        self.mark.filter(|mark| *mark != UNMARKED)
    }
}

/// Room for most entries: what does not grow is not copied.
const ROOM: usize = 1024;

/// What stands beside the remote's row. A body of nothing is no row.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Beside {
    version: Option<Arc<str>>,
    extra: Option<Arc<str>>,
    at: i64,
}

/// Encodes `entry`; its rows have the shape `shape`. The sequence number is the store's key and not part of it.
///
/// # Errors
/// `Serialization`, with model and field, if a row shows something that its schema does not allow.
pub fn encode_entry(entry: &Entry, shape: u16) -> Result<Vec<u8>> {
    let micros = |at: Option<Timestamp>| at.map(Timestamp::as_microsecond);
    let head = Head {
        prev: entry.prev,
        id: entry.id,
        model: entry.schema.model.into(),
        model_version: entry.model_version,
        key: entry.key.clone(),
        operation: entry.operation,
        changed: entry
            .changed
            .iter()
            .filter_map(|at| entry.schema.fields.get(at))
            .map(|field| field.name_in(super::DIALECT).into())
            .collect(),
        base_version: entry.base_version.clone(),
        extra: entry.extra.clone(),
        account: entry.account.clone(),
        created: entry.created.as_microsecond(),
        state: entry.state,
        mark: Some(entry.mark.map_or(UNMARKED, |mark| mark.first.as_microsecond())),
        attempts: entry.attempts,
        strikes: entry.strikes,
        first_strike: micros(entry.first_strike),
        not_before: micros(entry.not_before),
        failure: entry.failure.as_ref().map(Cow::Borrowed),
        unexplained: entry.unexplained,
        carries: entry.carries.clone(),
        within: entry.within.clone(),
        theirs: entry.theirs.as_ref().map(|theirs| Beside {
            version: theirs.version.clone(),
            extra: theirs.extra.clone(),
            at: theirs.at.as_microsecond(),
        }),
    };
    encode_sections(&head, |out| {
        let theirs = entry.theirs.as_ref().map(|theirs| &theirs.row);
        for row in [&entry.row, &entry.base].into_iter().chain(theirs) {
            section(out, |out| {
                row.as_ref().map_or(Ok(()), |row| write_body(out, entry.schema, shape, &**row))
            })?;
        }
        Ok(())
    })
}

/// The head, and behind it what `bodies` appends, sealed.
fn encode_sections(head: &Head<'_>, bodies: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<Vec<u8>> {
    let unwritable = |error: rmp_serde::encode::Error| {
        Error::new(ErrorKind::Serialization, "the outbox entry can't be encoded").because(error)
    };
    let mut out = Vec::with_capacity(ROOM);
    out.extend_from_slice(&[0, 0, 0, 0, FORMAT]);
    section(&mut out, |out| rmp_serde::encode::write_named(out, head).map_err(unwritable))?;
    bodies(&mut out)?;
    seal(&mut out);
    Ok(out)
}

/// Appends what `write` writes, behind its length.
fn section(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let len = u32::try_from(out.len() - at - 4).map_err(|_| {
        Error::new(ErrorKind::Serialization, "an outbox entry of more than 4 GiB can't be stored")
    })?;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    Ok(())
}

/// A stored entry, taken apart and verified, before its rows are bound to today's model.
#[derive(Debug)]
pub struct EncodedEntry<'a> {
    head: Head<'static>,
    /// The body of the intent.
    pub row: Option<&'a [u8]>,
    /// The body of the base.
    pub base: Option<&'a [u8]>,
    /// The body of the remote's row that is kept beside them.
    pub theirs: Option<&'a [u8]>,
    /// What [`append_note`] has appended.
    pub note: Option<&'a [u8]>,
}

/// Appends a note to an encoded entry that has none: something of the store's own, that comes and goes with it.
pub fn append_note<const N: usize>(entry: &mut Vec<u8>, note: &[u8; N]) {
    const { assert!(N <= u8::MAX as usize) }
    entry.extend_from_slice(&(N as u32).to_le_bytes());
    entry.extend_from_slice(note);
    seal(entry);
}

/// Puts `note` in the place of another one of its length.
pub fn replace_note<const N: usize>(entry: &mut [u8], note: &[u8; N]) {
    if let Some(last) = entry.last_chunk_mut::<N>() {
        *last = *note;
        seal(entry);
    }
}

/// The rows of an entry, for today's model.
#[derive(Debug, Default)]
pub struct EntryRows {
    /// The intent.
    pub row: Option<Arc<dyn Row>>,
    /// The base.
    pub base: Option<Arc<dyn Row>>,
    /// The remote's row that is kept beside them.
    pub theirs: Option<Arc<dyn Row>>,
}

/// Takes a stored entry apart and verifies its checksum.
///
/// # Errors
/// `Corrupt` if the checksum does not fit, the entry ends too early, or its format is newer.
pub fn decode_entry(bytes: &[u8]) -> Result<EncodedEntry<'_>> {
    let head = |bytes: &[u8]| {
        let malformed = |error| malformed().because(error);
        rmp_serde::from_slice(bytes)
            .map(|head: Head<'static>| (head.theirs.is_some(), head))
            .map_err(malformed)
    };
    let (head, [row, base, theirs], note) = take_apart(bytes, head)?;
    fn body(bytes: &[u8]) -> Option<&[u8]> {
        (!bytes.is_empty()).then_some(bytes)
    }
    Ok(EncodedEntry { head, row: body(row), base: body(base), theirs: body(theirs), note })
}

/// The little of a stored entry that has to be known to remove it or to write over it.
#[derive(Debug)]
pub struct Glance<'a> {
    /// True if the entry is parked.
    pub parked: bool,
    /// What [`append_note`] has appended.
    pub note: Option<&'a [u8]>,
}

/// Looks at a stored entry and verifies its checksum, without taking its head apart.
///
/// # Errors
/// As [`decode_entry`].
pub fn glance_at_entry(bytes: &[u8]) -> Result<Glance<'_>> {
    let (parked, _, note) = take_apart(bytes, |head| standing(head).ok_or_else(malformed))?;
    Ok(Glance { parked, note })
}

/// Whether there is a body of the remote's row behind the two others, and whether the entry is parked. What else is in the
/// head is gone past: to deserialize it and ignore the rest takes several times as long.
fn standing(head: &[u8]) -> Option<(bool, bool)> {
    let mut cursor = Cursor(head);
    let (mut theirs, mut parked) = (false, None);
    for _ in 0..cursor.map().ok()? {
        match cursor.name().ok()? {
            b"state" => {
                let (mut ready, mut other) = (cursor, cursor);
                parked = match (ready.name(), other.map()) {
                    (Ok(b"Ready"), _) => Some(false),
                    // The reason is beside it.
                    (_, Ok(1)) if other.name() == Ok(b"Parked") => Some(true),
                    _ => None,
                };
            }
            b"theirs" => theirs = !cursor.is_null(),
            _ => {}
        }
        cursor.skip().ok()?;
    }
    Some((theirs, parked?))
}

/// A head, the three bodies, of which the last is there if the head says so, and the note.
type Parts<'a, H> = (H, [&'a [u8]; 3], Option<&'a [u8]>);

fn malformed() -> Error {
    corrupt("the head of an outbox entry is malformed")
}

fn take_apart<H>(bytes: &[u8], read: impl FnOnce(&[u8]) -> Result<(bool, H)>) -> Result<Parts<'_, H>> {
    verify(bytes)?;
    let mut rest = &bytes[5..];
    let mut take = || {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let (taken, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        rest = after;
        Some(taken)
    };
    let mut next = || take().ok_or_else(|| corrupt("an outbox entry ends too early"));
    let (head, row, base) = (next()?, next()?, next()?);
    let (has_theirs, head) = read(head)?;
    let theirs: &[u8] = if has_theirs { next()? } else { &[] };
    Ok((head, [row, base, theirs], take()))
}

impl EncodedEntry<'_> {
    /// The model that the entry belongs to.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.head.model
    }

    /// The version of the model that wrote the entry.
    #[must_use]
    pub fn model_version(&self) -> u32 {
        self.head.model_version
    }

    /// The row's key, as the model had it then.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.head.key
    }

    /// What is done.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.head.operation
    }

    /// True if the entry is parked.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        matches!(self.head.state, EntryState::Parked(_))
    }

    /// The entry again, as one that may have been sent: noted as first sent when it was written.
    ///
    /// # Errors
    /// `Serialization` if it can't be encoded.
    pub fn encode_marked(&self) -> Result<Vec<u8>> {
        let mut head = self.head.clone();
        head.mark = head.mark().or(Some(head.created));
        encode_sections(&head, |out| {
            let theirs = self.head.theirs.is_some().then_some(self.theirs);
            for body in [self.row, self.base].into_iter().chain(theirs) {
                section(out, |out| {
                    out.extend_from_slice(body.unwrap_or_default());
                    Ok(())
                })?;
            }
            Ok(())
        })
    }

    /// Whether the entry is marked as sent, and its attempts.
    #[must_use]
    pub fn sent(&self) -> (bool, u32) {
        (self.head.mark().is_some(), self.head.attempts)
    }

    /// The entry for today's model.
    #[must_use]
    pub fn into_entry(
        self,
        seq: u64,
        schema: &'static Schema,
        EntryRows { row, base, theirs }: EntryRows,
    ) -> Entry {
        let moment = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
        let (mark, head) = (self.head.mark(), self.head);
        // As rows are bound to today's model: by the name in the store, or by a former one.
        let position = |name: &Cow<'_, str>| schema.position_in(super::DIALECT, name);
        let mut changed: FieldSet = head.changed.iter().filter_map(position).collect();
        if schema.steps(head.model_version).next().is_some() {
            changed_by_steps(&mut changed, schema, row.as_deref(), base.as_deref());
        }
        Entry {
            seq,
            prev: head.prev,
            id: head.id,
            schema,
            model_version: head.model_version,
            key: head.key,
            operation: head.operation,
            row,
            changed,
            base,
            base_version: head.base_version,
            extra: head.extra,
            account: head.account,
            created: moment(head.created),
            state: head.state,
            mark: mark.map(|first| SendMark { first: moment(first) }),
            attempts: head.attempts,
            strikes: head.strikes,
            first_strike: head.first_strike.map(moment),
            not_before: head.not_before.map(moment),
            failure: head.failure.map(Cow::into_owned),
            unexplained: head.unexplained,
            carries: head.carries,
            within: head.within,
            theirs: head.theirs.map(|beside| {
                let Beside { version, extra, at } = beside;
                Box::new(Theirs { row: theirs, version, extra, at: moment(at) })
            }),
        }
    }
}

/// Adds the fields that the steps of a migration have made of changed ones: those in which the migrated intent differs
/// from the migrated base; all of them if there is no base.
fn changed_by_steps(changed: &mut FieldSet, schema: &Schema, row: Option<&dyn Row>, base: Option<&dyn Row>) {
    let Some(row) = row else { return };
    let shown = |row: &dyn Row, at: usize| row.field(at).and_then(ValueRef::to_value).ok();
    for at in 0..schema.fields.len() {
        if base.is_none_or(|base| shown(base, at) != shown(row, at)) {
            changed.insert(at);
        }
    }
}
