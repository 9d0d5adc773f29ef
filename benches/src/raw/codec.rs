//! Users and outbox entries as bytes: the very bytes that Larder stores.

use std::sync::Arc;

use larder::{Model, MutationId, Operation, Timestamp, Uuid};
use larder_core::packed::{
    Bound, PackedBuf, PackedRow, Shape, Stored, decode_entry, encode_entry, parse_body, write_record,
};
use larder_core::{Entry, Key, MetaRef, Row, RowState, SyncState};

use crate::Result;
use crate::model::{User, mix};

/// The id of the one shape.
const SHAPE: u16 = 0;

/// Encodes and decodes.
#[derive(Debug)]
pub struct Codec {
    bound: Arc<Bound>,
    since: Timestamp,
}

/// A row that is stored already.
#[derive(Debug)]
pub struct Before {
    /// The row as it was.
    pub user: User,
    row: PackedBuf,
}

impl Codec {
    /// For today's [`User`].
    ///
    /// # Errors
    /// None that can come of this model.
    pub fn new() -> Result<Self> {
        let bound = Arc::new(Bound::new(&Shape::of(User::schema())?, User::schema()));
        let since = User::nth(0).seen;
        Ok(Self { bound, since })
    }

    /// The record of `user`, whose newest outbox entry is `tail`; 0: none.
    ///
    /// # Errors
    /// Those of the encoding.
    pub fn record(&self, user: &User, tail: u64) -> Result<Vec<u8>> {
        let state = if tail == 0 { RowState::Local } else { RowState::Pending };
        let sync = SyncState { state, since: self.since };
        let meta = MetaRef { revision: 1, tail, sync, version: None, extra: None };
        let mut record = Vec::with_capacity(256);
        write_record(&mut record, User::schema(), SHAPE, user, meta)?;
        Ok(record)
    }

    /// The user in a record, whose checksum is verified.
    ///
    /// # Errors
    /// Those of the decoding.
    pub fn user(&self, record: &[u8]) -> Result<User> {
        let body = Stored::parse(record)?.body.ok_or("a tombstone")?;
        let (_, layout) = parse_body(body)?;
        Ok(User::from_row(&PackedRow::new(body, layout, &self.bound)?)?)
    }

    /// The user in a record, and the row to be the base of an outbox entry.
    ///
    /// # Errors
    /// Those of the decoding.
    pub fn before(&self, record: &[u8]) -> Result<Before> {
        let body = Stored::parse(record)?.body.ok_or("a tombstone")?;
        let (_, layout) = parse_body(body)?;
        let row = PackedBuf::new(body, layout, Arc::clone(&self.bound))?;
        Ok(Before { user: User::from_row(&row)?, row })
    }

    /// What the outbox entry in these bytes wants the row to be.
    ///
    /// # Errors
    /// Those of the decoding.
    pub fn wanted(&self, entry: &[u8]) -> Result<User> {
        let entry = decode_entry(entry)?;
        let body = entry.row.ok_or("a deletion")?;
        let (_, layout) = parse_body(body)?;
        Ok(User::from_row(&PackedRow::new(body, layout, &self.bound)?)?)
    }

    /// The outbox entry that makes `user` of what was stored `before`.
    ///
    /// # Errors
    /// Those of the encoding.
    pub fn entry(&self, seq: u64, user: &User, before: Option<Before>) -> Result<Vec<u8>> {
        let schema = User::schema();
        let changed = match &before {
            None => (0..schema.fields.len()).collect(),
            Some(before) => [3, 4, 9].into_iter().filter(|at| differ(*at, &before.user, user)).collect(),
        };
        let operation = if before.is_some() { Operation::Update } else { Operation::Insert };
        let mutation = MutationId(Uuid::from_u64_pair(mix(seq), mix(!seq)));
        let entry = Entry {
            seq,
            row: Some(Arc::new(user.clone())),
            changed,
            base: before.map(|before| Arc::new(before.row) as Arc<dyn Row>),
            ..Entry::new(schema, Key::Uuid(user.id), operation, mutation, self.since)
        };
        Ok(encode_entry(&entry, SHAPE)?)
    }
}

/// Whether the users differ in one of the fields that [`User::edited`] changes.
fn differ(field: usize, a: &User, b: &User) -> bool {
    match field {
        3 => a.city != b.city,
        4 => a.age != b.age,
        _ => a.score.total_cmp(&b.score).is_ne(),
    }
}
