//! Rows as bytes: the very bytes that Larder stores.

use std::marker::PhantomData;

use larder::{Model, Timestamp};
use larder_core::packed::{Bound, PackedRow, Shape, Stored, parse_body, write_record};
use larder_core::{MetaRef, RowState, SyncState};

use crate::Result;

/// The id of the one shape.
const SHAPE: u16 = 0;

/// Encodes and decodes the rows of one model.
#[derive(Debug)]
pub struct Codec<M> {
    bound: Bound,
    of: PhantomData<fn(M) -> M>,
}

impl<M: Model> Codec<M> {
    /// For the model as it is.
    ///
    /// # Errors
    /// None that can come of the models here.
    pub fn new() -> Result<Self> {
        Ok(Self { bound: Bound::new(&Shape::of(M::schema())?, M::schema()), of: PhantomData })
    }

    /// Appends the record of `row`.
    ///
    /// # Errors
    /// Those of the encoding.
    pub fn record(&self, out: &mut Vec<u8>, row: &M) -> Result<()> {
        let sync = SyncState { state: RowState::Local, since: Timestamp::UNIX_EPOCH };
        let meta = MetaRef { revision: 1, tail: 0, sync, version: None, extra: None };
        Ok(write_record(out, M::schema(), SHAPE, row, meta)?)
    }

    /// The row in a record, whose checksum is verified.
    ///
    /// # Errors
    /// Those of the decoding.
    pub fn row(&self, record: &[u8]) -> Result<M> {
        let body = Stored::parse(record)?.body.ok_or("a tombstone")?;
        let (_, layout) = parse_body(body)?;
        Ok(M::from_row(&PackedRow::new(body, layout, &self.bound)?)?)
    }
}
