//! What lies in the table: the spaces of the keys, index entries, and sealed records.
//!
//! | space | rest of the key | value |
//! |---|---|---|
//! | [`FORMAT`] | | magic and version, sealed |
//! | [`MODELS`] | name | id, sealed |
//! | [`SHAPES`] | id | a [`Shape`](larder_core::packed::Shape) in `MessagePack`, sealed |
//! | [`INDEXES`] | id | its definition and state in `MessagePack`, sealed |
//! | [`PROGRESS`] | | how far older versions' records have been rewritten, in `MessagePack`, sealed |
//! | [`KEYS`] | model id | what the keys of a model are made of, in `MessagePack`, sealed |
//! | [`DAMAGE`] | number | the report of a salvage that nobody has acknowledged, in `MessagePack`, sealed |
//! | [`CURSORS`] | scope | the value, sealed |
//! | [`ROWS`] | model id, key | a record of `larder_core::packed` |
//! | [`ENTRIES`] | index id, values, key | where the key begins, four bytes |
//! | [`MOVING`] | model id, new key | a row on its way to another key, within one transaction |
//! | [`COUNTERS`] | | see [`counters`](crate::counters); in front of the outbox |
//! | [`OUTBOX`] | sequence number | an entry of `larder_core::packed`; nothing lies behind the newest |
//!
//! Ids and sequence numbers are big-endian in keys, so that they sort. *Sealed* is a CRC-32, little-endian, and what
//! it is of: redb does not verify pages when it reads them.

use larder_core::packed::Stored;
use larder_core::{Error, ErrorKind, Finding, IndexDef, Key, Result, Row, ValueRef, ordered};
use redb::{AccessGuard, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A key or a value.
pub(crate) type Bytes = &'static [u8];

/// A value that stays readable for as long as it is held.
pub(crate) type Guard = AccessGuard<'static, Bytes>;

/// The name of the one table.
pub(crate) const NAME: &str = "larder";

/// The one table.
pub(crate) const TABLE: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new(NAME);

/// The name of the table with the second copy of what is noted down about models, shapes and keys: without it no row can
/// be read, and it is written so seldom that another page for it costs nothing.
pub(crate) const MIRROR_NAME: &str = "larder notes";

/// That table.
pub(crate) const MIRROR: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new(MIRROR_NAME);

/// The magic and the version of the format.
pub(crate) const FORMAT: u8 = 0x01;
/// Models by name.
pub(crate) const MODELS: u8 = 0x02;
/// Shapes by id.
pub(crate) const SHAPES: u8 = 0x03;
/// Indexes by id.
pub(crate) const INDEXES: u8 = 0x04;
/// The progress of a migration.
pub(crate) const PROGRESS: u8 = 0x05;
/// Key definitions by model.
pub(crate) const KEYS: u8 = 0x06;
/// Reports of salvages by number.
pub(crate) const DAMAGE: u8 = 0x07;
/// Cursors by scope.
pub(crate) const CURSORS: u8 = 0x10;
/// Rows by model and key.
pub(crate) const ROWS: u8 = 0x20;
/// Index entries.
pub(crate) const ENTRIES: u8 = 0x30;
/// Rows that are being moved.
pub(crate) const MOVING: u8 = 0x40;
/// The counters.
pub(crate) const COUNTERS: u8 = 0x4f;
/// Outbox entries by sequence number.
pub(crate) const OUTBOX: u8 = 0x50;
/// Where the outbox ends; format 1 has the counters here.
pub(crate) const OUTBOX_END: u8 = 0x51;

/// The version of the format that is written.
pub(crate) const VERSION: u16 = 2;
const MAGIC: &[u8] = b"larder";

/// The length of a space byte and an id.
pub(crate) const PREFIX: usize = 3;

/// The beginning of the keys of a model's rows, or of an index's entries.
pub(crate) fn prefix(space: u8, id: u16) -> [u8; PREFIX] {
    let [high, low] = id.to_be_bytes();
    [space, high, low]
}

/// The least key after all that begin with `prefix`. Spaces are below 0xff, so there always is one.
pub(crate) fn after(prefix: &[u8]) -> Vec<u8> {
    ordered::after_prefix(prefix).unwrap_or_else(|| vec![0xff])
}

/// The key of a row.
pub(crate) fn row_key(model: u16, key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(48);
    write_row_key(&mut bytes, model, key);
    bytes
}

/// Appends the key of a row.
pub(crate) fn write_row_key(out: &mut Vec<u8>, model: u16, key: &Key) {
    out.extend_from_slice(&prefix(ROWS, model));
    ordered::encode_key(key, out);
}

/// The key of an outbox entry.
pub(crate) fn outbox_key(seq: u64) -> [u8; 9] {
    let mut bytes = [OUTBOX; 9];
    bytes[1..].copy_from_slice(&seq.to_be_bytes());
    bytes
}

/// The sequence number that the key of an outbox entry holds.
pub(crate) fn outbox_seq(key: &[u8]) -> Option<u64> {
    key.get(1..)?.try_into().map(u64::from_be_bytes).ok()
}

/// The key of a cursor.
pub(crate) fn cursor_key(scope: &str) -> Vec<u8> {
    [&[CURSORS], scope.as_bytes()].concat()
}

/// Puts a checksum in front of `payload`.
pub(crate) fn seal(payload: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(4 + payload.len());
    sealed.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    sealed.extend_from_slice(payload);
    sealed
}

/// Verifies the checksum in front of a payload; `what` is for the message.
pub(crate) fn unseal<'a>(sealed: &'a [u8], what: &str) -> Result<&'a [u8]> {
    match sealed.split_first_chunk::<4>() {
        Some((sum, payload)) if crc32fast::hash(payload) == u32::from_le_bytes(*sum) => Ok(payload),
        _ => Err(damaged(what)),
    }
}

/// Encodes and seals a description.
pub(crate) fn seal_named<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let packed = rmp_serde::to_vec_named(value)
        .map_err(|error| Error::new(ErrorKind::Storage, "a description can't be encoded").because(error))?;
    Ok(seal(&packed))
}

/// Verifies and decodes a description; `what` is for the message.
pub(crate) fn unseal_named<T: DeserializeOwned>(sealed: &[u8], what: &str) -> Result<T> {
    rmp_serde::from_slice(unseal(sealed, what)?).map_err(|error| damaged(what).because(error))
}

/// `what` is not what was written.
#[cold]
pub(crate) fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{what} is damaged"))
}

/// The first finding of a check, as an error.
#[cold]
pub(crate) fn damaged_by(finding: &Finding) -> Error {
    let mut error = Error::new(ErrorKind::Corrupt, finding.message.clone());
    if let Some(model) = &finding.model {
        error = error.model(model.as_str());
    }
    match &finding.key {
        Some(key) => error.key(key),
        None => error,
    }
}

/// The record that says whose file it is.
pub(crate) fn format_record() -> Vec<u8> {
    seal(&[MAGIC, &VERSION.to_le_bytes()].concat())
}

/// The version of a file's format; refuses one that is not ours or newer than we are.
pub(crate) fn check_format(record: &[u8]) -> Result<u16> {
    let payload = unseal(record, "the format record")?;
    let version =
        payload.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk::<2>()).map(|v| u16::from_le_bytes(*v));
    match version {
        Some(version @ 1..=VERSION) => Ok(version),
        Some(version) => {
            let message =
                format!("the file has format {version}, newer than {VERSION}: update the application");
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        None => Err(damaged("the format record")),
    }
}

/// An entry of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Its key.
    pub(crate) bytes: Vec<u8>,
    /// Where in it the row's key begins.
    pub(crate) key_at: u32,
}

/// Stands for the values of a row that could not be read when the index was built; sorts before all of them. An index
/// with such an entry answers no queries: the scan gives the error instead.
pub(crate) const UNREADABLE: u8 = 0x00;

impl IndexEntry {
    /// The entry of a row: `key` is its key without the prefix of its model.
    pub(crate) fn of(id: u16, def: &IndexDef, row: &dyn Row, key: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(PREFIX + 32 + key.len());
        let key_at = write_entry(&mut bytes, id, def, row, key);
        Self { bytes, key_at }
    }

    /// The entry of a row that can't be read.
    pub(crate) fn unreadable(id: u16, key: &[u8]) -> Self {
        let mut bytes = prefix(ENTRIES, id).to_vec();
        bytes.push(UNREADABLE);
        let key_at = bytes.len() as u32;
        bytes.extend_from_slice(key);
        Self { bytes, key_at }
    }

    /// Its value.
    pub(crate) fn value(&self) -> [u8; 4] {
        self.key_at.to_le_bytes()
    }
}

/// Appends the key of a row's index entry to `out`, which is empty, and gives where in it the row's key begins.
pub(crate) fn write_entry(out: &mut Vec<u8>, id: u16, def: &IndexDef, row: &dyn Row, key: &[u8]) -> u32 {
    out.extend_from_slice(&prefix(ENTRIES, id));
    let encoded = def.fields.iter().try_for_each(|at| ordered::encode(row.field(*at)?, out));
    if encoded.is_err() {
        out.truncate(PREFIX);
        out.push(UNREADABLE);
    }
    let key_at = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(key);
    key_at
}

/// Splits the key of an index entry into prefix with values, and the row's key; `value` is the entry's value.
pub(crate) fn split_entry<'a>(entry: &'a [u8], value: &[u8]) -> Result<(&'a [u8], &'a [u8])> {
    let at = value.try_into().map(u32::from_le_bytes).ok().and_then(|at| usize::try_from(at).ok());
    at.and_then(|at| entry.split_at_checked(at)).ok_or_else(|| damaged("an index entry"))
}

/// The encodings of all values that equal `value` in a query: none for a NaN, two for a zero. `None` if there are more
/// than can be told, as for composites with floats in them.
pub(crate) fn equals(value: ValueRef<'_>) -> Option<Vec<Vec<u8>>> {
    let encode = |value: ValueRef<'_>| {
        let mut bytes = Vec::new();
        ordered::encode(value, &mut bytes).ok().map(|()| bytes)
    };
    match value {
        ValueRef::Float(v) if v.is_nan() => Some(Vec::new()),
        ValueRef::Float(0.0) => Some(vec![encode(ValueRef::Float(-0.0))?, encode(ValueRef::Float(0.0))?]),
        ValueRef::List(_) | ValueRef::Map(_) | ValueRef::Struct(_) | ValueRef::Variant(_)
            if has_float(value) =>
        {
            None
        }
        other => Some(vec![encode(other)?]),
    }
}

fn has_float(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::Float(_) => true,
        ValueRef::List(nested)
        | ValueRef::Map(nested)
        | ValueRef::Struct(nested)
        | ValueRef::Variant(nested) => {
            let mut found = false;
            let shown = nested.each(&mut |item| {
                found |= match item {
                    larder_core::Item::Value(value) => has_float(value),
                    larder_core::Item::Entry(key, value) => has_float(key) || has_float(value),
                };
                Ok(())
            });
            found || shown.is_err()
        }
        _ => false,
    }
}

/// The beginnings of all entries of a unique index that would collide with that of `row`; none if the row has a null
/// in one of the fields, or a NaN, which equals nothing.
pub(crate) fn collisions(id: u16, def: &IndexDef, row: &dyn Row) -> Vec<Vec<u8>> {
    let mut prefixes = vec![prefix(ENTRIES, id).to_vec()];
    for at in def.fields {
        let Ok(value) = row.field(*at) else {
            return Vec::new();
        };
        if value.is_null() {
            return Vec::new();
        }
        // A composite with floats collides with its exact like only.
        let endings = equals(value).unwrap_or_else(|| {
            let mut bytes = Vec::new();
            ordered::encode(value, &mut bytes).map(|()| vec![bytes]).unwrap_or_default()
        });
        prefixes = prefixes
            .iter()
            .flat_map(|one| endings.iter().map(move |end| [one.as_slice(), end].concat()))
            .collect();
    }
    prefixes
}

/// Names the row whose encoded key is `key`, if the error names none.
#[cold]
pub(crate) fn keyed(error: Error, key: &[u8]) -> Error {
    match ordered::decode_key(key) {
        Ok((key, _)) => error.key(key),
        Err(_) => error,
    }
}

/// The revision of a record.
pub(crate) fn revision_of(record: &[u8]) -> Result<u64> {
    Ok(Stored::parse(record)?.meta.revision)
}
