//! Records and bodies: see the module's page for the layout.

use std::any::Any;
use std::sync::Arc;

use jiff::Timestamp;

use super::bind::{Bound, Slot};
use super::migrate::Migrated;
use super::{FORMAT, read, write};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::meta::{MetaRef, RowState, SyncState};
use crate::row::Row;
use crate::schema::Schema;
use crate::value::ValueRef;

const TOMBSTONE: u8 = 1;
const TAIL: u8 = 2;
const VERSION: u8 = 4;
const EXTRA: u8 = 8;
const WIDE: u8 = 1;

/// Appends the record of a row.
///
/// # Errors
/// `Serialization`, with model and field, if the row shows something that its schema does not allow, or is too long.
pub fn write_record(
    out: &mut Vec<u8>,
    schema: &Schema,
    shape: u16,
    row: &dyn Row,
    meta: MetaRef<'_>,
) -> Result<()> {
    let start = out.len();
    write_header(out, meta, 0).map_err(|error| error.model(schema.model))?;
    write_body(out, schema, shape, row)?;
    seal(&mut out[start..]);
    Ok(())
}

/// Appends a record with another meta; `body` is that of a stored row, or `None` for a tombstone.
///
/// # Errors
/// `Serialization` if the remote's version is longer than 65,535 bytes.
pub fn write_meta(out: &mut Vec<u8>, meta: MetaRef<'_>, body: Option<&[u8]>) -> Result<()> {
    let start = out.len();
    write_header(out, meta, if body.is_none() { TOMBSTONE } else { 0 })?;
    out.extend_from_slice(body.unwrap_or_default());
    seal(&mut out[start..]);
    Ok(())
}

/// Appends the record of a deleted row.
///
/// # Errors
/// `Serialization` if the remote's version is longer than 65,535 bytes.
pub fn write_tombstone(out: &mut Vec<u8>, meta: MetaRef<'_>) -> Result<()> {
    let start = out.len();
    write_header(out, meta, TOMBSTONE)?;
    seal(&mut out[start..]);
    Ok(())
}

pub(super) fn seal(record: &mut [u8]) {
    let checksum = crc32fast::hash(&record[4..]);
    record[..4].copy_from_slice(&checksum.to_le_bytes());
}

fn write_header(out: &mut Vec<u8>, meta: MetaRef<'_>, flags: u8) -> Result<()> {
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    let flags = flags | TAIL | flag(meta.version.is_some(), VERSION) | flag(meta.extra.is_some(), EXTRA);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[FORMAT, flags, state_code(meta.sync.state)]);
    out.extend_from_slice(&meta.revision.to_le_bytes());
    out.extend_from_slice(&meta.sync.since.as_microsecond().to_le_bytes());
    // Even if there is none: a row that grows when a mutation of it is queued would split the page that a bulk has filled.
    out.extend_from_slice(&meta.tail.to_le_bytes());
    let too_long =
        |what: &str| Error::new(ErrorKind::Serialization, format!("{what} is too long to be stored"));
    if let Some(version) = meta.version {
        let len = u16::try_from(version.len()).map_err(|_| too_long("the remote's version"))?;
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(version.as_bytes());
    }
    if let Some(extra) = meta.extra {
        let len = u32::try_from(extra.len()).map_err(|_| too_long("what the model does not have"))?;
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(extra.as_bytes());
    }
    Ok(())
}

/// Appends the body of a row. One that has left a store as the schema writes it is copied as it is.
///
/// # Errors
/// `Serialization`, with model and field, if the row shows something that its schema does not allow, or is too long.
pub fn write_body(out: &mut Vec<u8>, schema: &Schema, shape: u16, row: &dyn Row) -> Result<()> {
    let start = out.len();
    let packed = row.as_any().and_then(|row| row.downcast_ref::<PackedBuf>());
    if let Some([flags, _, _, rest @ ..]) = packed.and_then(|row| row.as_written(schema)) {
        out.push(*flags);
        out.extend_from_slice(&shape.to_le_bytes());
        out.extend_from_slice(rest);
        return Ok(());
    }
    if try_body::<2>(out, schema, shape, row)? {
        return Ok(());
    }
    out.truncate(start);
    if try_body::<4>(out, schema, shape, row)? {
        return Ok(());
    }
    out.truncate(start);
    Err(Error::new(ErrorKind::Serialization, "a row of more than 4 GiB can't be stored").model(schema.model))
}

/// `false` if the ends of the fields don't fit `W` bytes.
fn try_body<const W: usize>(out: &mut Vec<u8>, schema: &Schema, shape: u16, row: &dyn Row) -> Result<bool> {
    let count = schema.fields.len();
    out.push(if W == 4 { WIDE } else { 0 });
    out.extend_from_slice(&shape.to_le_bytes());
    out.extend_from_slice(&(count as u16).to_le_bytes());
    let ends = out.len();
    out.resize(ends + count * W, 0);
    let values = out.len();
    for (at, field) in schema.fields.iter().enumerate() {
        let written = match row.field(at) {
            Ok(ValueRef::Absent) => Ok(()),
            Ok(value) => write::value(out, value, &field.kind),
            Err(fault) => Err(fault),
        };
        written.map_err(|fault| schema.fault(at, fault).during("encode"))?;
        let end = (out.len() - values) as u64;
        if end >> (8 * W) != 0 {
            return Ok(false);
        }
        out[ends + at * W..ends + (at + 1) * W].copy_from_slice(&end.to_le_bytes()[..W]);
    }
    Ok(true)
}

/// A record, taken apart and verified.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// What stands beside the fields.
    pub meta: MetaRef<'a>,
    /// The body; `None` for a tombstone.
    pub body: Option<&'a [u8]>,
}

impl<'a> Stored<'a> {
    /// Takes a record apart and verifies its checksum.
    ///
    /// # Errors
    /// `Corrupt` if the checksum does not fit, the record ends too early, or its format is newer.
    #[inline]
    pub fn parse(record: &'a [u8]) -> Result<Self> {
        verify(record)?;
        Self::parse_verified(record)
    }

    /// Takes a record apart whose checksum has been verified, or that has just been written.
    ///
    /// # Errors
    /// `Corrupt` if the record ends too early.
    #[inline]
    pub fn parse_verified(record: &'a [u8]) -> Result<Self> {
        parse_header(record).ok_or_else(|| corrupt("a record ends too early"))
    }
}

#[inline]
pub(super) fn verify(record: &[u8]) -> Result<()> {
    let (sum, rest) =
        record.split_first_chunk::<4>().ok_or_else(|| corrupt("a record is shorter than its header"))?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*sum) {
        return Err(corrupt("the checksum of a record does not fit"));
    }
    match rest.first() {
        Some(&FORMAT) => Ok(()),
        Some(format) => Err(corrupt(&format!(
            "a record has format {format}, newer than {FORMAT}: update the application"
        ))),
        None => Err(corrupt("a record is shorter than its header")),
    }
}

#[cold]
pub(super) fn corrupt(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

#[inline]
fn parse_header(record: &[u8]) -> Option<Stored<'_>> {
    fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
        let (taken, left) = rest.split_at_checked(len)?;
        *rest = left;
        Some(taken)
    }
    let mut rest = record.get(5..)?;
    let [flags, state] = *take(&mut rest, 2)?.first_chunk()?;
    let revision = u64::from_le_bytes(*take(&mut rest, 8)?.first_chunk()?);
    let since = i64::from_le_bytes(*take(&mut rest, 8)?.first_chunk()?);
    let mut tail = 0;
    if flags & TAIL != 0 {
        tail = u64::from_le_bytes(*take(&mut rest, 8)?.first_chunk()?);
    }
    let (mut version, mut extra) = (None, None);
    if flags & VERSION != 0 {
        let len = u16::from_le_bytes(*take(&mut rest, 2)?.first_chunk()?);
        version = Some(std::str::from_utf8(take(&mut rest, len.into())?).ok()?);
    }
    if flags & EXTRA != 0 {
        let len = u32::from_le_bytes(*take(&mut rest, 4)?.first_chunk()?);
        extra = Some(std::str::from_utf8(take(&mut rest, len as usize)?).ok()?);
    }
    let sync = SyncState { state: state_of(state)?, since: Timestamp::from_microsecond(since).ok()? };
    let body = (flags & TOMBSTONE == 0).then_some(rest);
    Some(Stored { meta: MetaRef { revision, tail, sync, version, extra }, body })
}

fn state_code(state: RowState) -> u8 {
    match state {
        RowState::Synced => 0,
        RowState::Pending => 1,
        RowState::InFlight => 2,
        RowState::Parked => 3,
        RowState::Conflicted => 4,
        RowState::Local => 5,
    }
}

fn state_of(code: u8) -> Option<RowState> {
    Some(match code {
        0 => RowState::Synced,
        1 => RowState::Pending,
        2 => RowState::InFlight,
        3 => RowState::Parked,
        4 => RowState::Conflicted,
        5 => RowState::Local,
        _ => return None,
    })
}

/// Where things are in a body.
#[derive(Clone, Copy, Debug)]
struct Layout {
    shape: u16,
    count: usize,
    wide: bool,
}

const BODY_HEAD: usize = 5;

impl Layout {
    fn of(body: &[u8]) -> Option<Self> {
        let [flags, s0, s1, n0, n1] = *body.first_chunk::<BODY_HEAD>()?;
        let layout = Self {
            shape: u16::from_le_bytes([s0, s1]),
            count: usize::from(u16::from_le_bytes([n0, n1])),
            wide: flags & WIDE != 0,
        };
        (body.len() >= layout.values_at()).then_some(layout)
    }

    fn width(self) -> usize {
        if self.wide { 4 } else { 2 }
    }

    fn values_at(self) -> usize {
        BODY_HEAD + self.count * self.width()
    }

    /// The bytes of the stored field `at`: each begins where the one before it ends.
    #[inline]
    fn bytes(self, body: &[u8], at: usize) -> Option<&[u8]> {
        if at >= self.count {
            return None;
        }
        // The end of the one before and its own stand together; before the first there is the head.
        let (start, end) = if self.wide {
            let ends: &[u8; 8] = body.get(BODY_HEAD + 4 * at - 4..)?.first_chunk()?;
            let [s0, s1, s2, s3, end @ ..] = *ends;
            (u32::from_le_bytes([s0, s1, s2, s3]) as usize, u32::from_le_bytes(end) as usize)
        } else {
            let ends: &[u8; 4] = body.get(BODY_HEAD + 2 * at - 2..)?.first_chunk()?;
            let [s0, s1, end @ ..] = *ends;
            (usize::from(u16::from_le_bytes([s0, s1])), usize::from(u16::from_le_bytes(end)))
        };
        body.get(self.values_at()..)?.get(if at == 0 { 0 } else { start }..end)
    }

    #[inline(always)]
    fn field<'a>(self, body: &'a [u8], bound: &'a Bound, i: usize) -> Result<ValueRef<'a>, Fault> {
        match bound.slots.get(i) {
            Some(Slot::At(at, bind)) => match self.bytes(body, usize::from(*at)) {
                Some([]) => Ok(ValueRef::Absent),
                Some(bytes) => read::value(bytes, bind),
                None => Err(Fault::Malformed),
            },
            Some(Slot::Default(value)) => Ok(value.show()),
            Some(Slot::Missing) => Ok(ValueRef::Absent),
            Some(Slot::Broken(fault)) => Err(*fault),
            None => Err(Fault::NoSuchField),
        }
    }
}

/// The id of the shape of `body`, and what is needed to show its fields.
///
/// # Errors
/// `Corrupt` if the body ends too early.
#[inline]
pub fn parse_body(body: &[u8]) -> Result<(u16, BodyLayout)> {
    let layout = Layout::of(body).ok_or_else(|| corrupt("a row ends too early"))?;
    Ok((layout.shape, BodyLayout(layout)))
}

/// Where the fields of a body are.
#[derive(Clone, Copy, Debug)]
pub struct BodyLayout(Layout);

/// A stored row, borrowed from the store's pages.
#[derive(Debug)]
pub struct PackedRow<'a>(Shown<'a>);

#[derive(Debug)]
enum Shown<'a> {
    /// Out of its bytes.
    Bytes { body: &'a [u8], layout: Layout, bound: &'a Bound },
    /// Stored by a version from which there are steps to today's.
    Migrated(Migrated),
}

impl<'a> PackedRow<'a> {
    /// Shows `body` through the binding of its shape.
    ///
    /// # Errors
    /// `Serialization`, with model and both versions, if a step of a migration refuses the row; `Corrupt` if what the
    /// steps are to see is damaged. Without a migration, damage shows when a field is read, or what is in it.
    #[inline]
    pub fn new(body: &'a [u8], layout: BodyLayout, bound: &'a Bound) -> Result<Self> {
        let layout = layout.0;
        Ok(Self(match &bound.steps {
            None => Shown::Bytes { body, layout, bound },
            Some(steps) => Shown::Migrated(steps.run(|at| layout.bytes(body, at))?),
        }))
    }
}

impl Row for PackedRow<'_> {
    fn field(&self, i: usize) -> Result<ValueRef<'_>, Fault> {
        match &self.0 {
            Shown::Bytes { body, layout, bound } => layout.field(body, bound, i),
            Shown::Migrated(row) => row.field(i),
        }
    }

    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

/// A stored row that has left the store's pages.
#[derive(Clone, Debug)]
pub struct PackedBuf(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Bytes { body: Arc<[u8]>, layout: Layout, bound: Arc<Bound> },
    Migrated(Arc<Migrated>),
}

impl PackedBuf {
    /// Copies `body`.
    ///
    /// # Errors
    /// As [`PackedRow::new`].
    pub fn new(body: &[u8], layout: BodyLayout, bound: Arc<Bound>) -> Result<Self> {
        let layout = layout.0;
        Ok(Self(match &bound.steps {
            None => Kept::Bytes { body: body.into(), layout, bound },
            Some(steps) => Kept::Migrated(Arc::new(steps.run(|at| layout.bytes(body, at))?)),
        }))
    }

    /// True if the row was stored in the shape that its schema has today: nothing in it has to be bridged.
    #[must_use]
    pub fn is_of_todays_shape(&self) -> bool {
        matches!(&self.0, Kept::Bytes { bound, .. } if bound.writes.is_some())
    }

    /// How many bytes the body takes; `None` if what is kept is not the body, but what migrations have made of it.
    #[must_use]
    pub fn body_len(&self) -> Option<usize> {
        match &self.0 {
            Kept::Bytes { body, .. } => Some(body.len()),
            Kept::Migrated(_) => None,
        }
    }

    /// The body, if `schema` would write the row like this, but for the id of the shape.
    fn as_written(&self, schema: &Schema) -> Option<&[u8]> {
        match &self.0 {
            Kept::Bytes { body, bound, .. } if bound.writes.is_some_and(|own| std::ptr::eq(own, schema)) => {
                Some(body)
            }
            _ => None,
        }
    }
}

impl Row for PackedBuf {
    fn field(&self, i: usize) -> Result<ValueRef<'_>, Fault> {
        match &self.0 {
            Kept::Bytes { body, layout, bound } => layout.field(body, bound, i),
            Kept::Migrated(row) => row.field(i),
        }
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
