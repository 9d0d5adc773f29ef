//! Reading: the published generation, the rows in it, and what ends a read.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use larder_core::packed::{PackedRow, Stored};
use larder_core::query::Filter;
use larder_core::{Context, Error, ErrorKind, PageRow, Query, Result, Runtime};
use redb::{Database, ReadOnlyTable, ReadableDatabase, StorageError};

use crate::catalog::Slot;
use crate::codec::{Bytes, Guard, TABLE};
use crate::error::{Panicked, Raw};
use crate::plan::Span;

/// A committed state. It pins the pages of that state, so it is held no longer than until the next one is there.
pub(crate) struct Generation {
    /// The one table; keeps the transaction alive.
    pub(crate) table: ReadOnlyTable<Bytes, Bytes>,
    /// The revision of the state.
    pub(crate) revision: u64,
    /// Goes with it, so that the writer knows when nobody reads any more.
    _reader: Sender<Infallible>,
}

impl Generation {
    /// The newest committed state.
    pub(crate) fn of(database: &Database, revision: u64, reader: &Sender<Infallible>) -> Result<Self, Raw> {
        let table = database.begin_read()?.open_table(TABLE)?;
        Ok(Self { table, revision, _reader: reader.clone() })
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Guard>, Halt> {
        Ok(self.table.get(key).map_err(Raw::from)?)
    }

    pub(crate) fn range(&self, (low, high): &Span) -> Result<redb::Range<'static, Bytes, Bytes>, Halt> {
        Ok(self.table.range::<&[u8]>(low.as_slice()..high.as_slice()).map_err(Raw::from)?)
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").finish_non_exhaustive()
    }
}

/// Why reading ended.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The store reopened itself: read again from the new generation.
    Closed,
    /// It failed.
    Failed(Error),
}

impl From<Raw> for Halt {
    fn from(raw: Raw) -> Self {
        if raw.is_closed() { Self::Closed } else { Self::Failed(raw.into()) }
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Panicked> for Halt {
    fn from(panicked: Panicked) -> Self {
        Self::Failed(panicked.into())
    }
}

impl From<StorageError> for Halt {
    fn from(error: StorageError) -> Self {
        Raw::from(error).into()
    }
}

/// Ends a read that nobody waits for any more.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    runtime: Arc<dyn Runtime>,
    cancellation: larder_core::Cancellation,
    deadline: Option<Duration>,
}

impl Watch {
    pub(crate) fn new(runtime: &Arc<dyn Runtime>, cx: &Context) -> Self {
        Self { runtime: runtime.clone(), cancellation: cx.cancellation.clone(), deadline: cx.deadline }
    }

    /// Nothing ends it.
    pub(crate) fn none(runtime: &Arc<dyn Runtime>) -> Self {
        Self::new(runtime, &Context::new())
    }

    /// # Errors
    /// `Cancelled` or `Timeout`.
    pub(crate) fn check(&self) -> Result<()> {
        if self.cancellation.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the caller withdrew the request"));
        }
        if self.deadline.is_some_and(|deadline| self.runtime.monotonic() > deadline) {
            return Err(Error::new(ErrorKind::Timeout, "the deadline of the request has passed"));
        }
        Ok(())
    }
}

/// True if a row answers `query` but for its window.
pub(crate) fn answers(slot: &Slot, query: &Query, filter: &Filter<'_>, row: &PackedRow<'_>) -> Result<bool> {
    Ok(filter.matches(slot.schema, row)? && query.begins_before(slot.schema, row)?)
}

/// Copies a row out of its page.
pub(crate) fn page_row(slot: &Slot, stored: &Stored<'_>) -> Result<PageRow> {
    let body = stored.body.unwrap_or_default();
    Ok(PageRow::new(stored.meta.to_meta(), Arc::new(slot.copy(body)?)))
}
