//! What is stored beside the fields of a row.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The server's version of a row: an ETag as it was sent, or the value of a version field.
pub type RemoteVersion = Arc<str>;

/// How a row stands towards the remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RowState {
    /// As the remote has it.
    #[default]
    Synced,
    /// Kept here by choice and never sent; a remote that does not have it does not delete it.
    Local,
    /// Changed here; the change waits in the outbox.
    Pending,
    /// The change is on its way.
    InFlight,
    /// The remote refused the change; it waits for a decision.
    Parked,
    /// The remote's row has changed as well; it waits for a decision.
    Conflicted,
}

/// The state of a row, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// The state.
    pub state: RowState,
    /// Since when, by the wall clock.
    pub since: Timestamp,
}

/// What is stored beside the fields of a row, owned.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// Rises with every write to the row; handed out by the store, unique within it.
    pub revision: u64,
    /// The sequence number of the row's newest outbox entry; 0 if nothing is pending.
    pub tail: u64,
    /// The state towards the remote.
    pub sync: SyncState,
    /// The server's version of the row.
    pub version: Option<RemoteVersion>,
    /// A JSON object of what the remote has and the model has not; sent back with a full update.
    pub extra: Option<Arc<str>>,
}

impl Meta {
    /// The meta of a row that is as the remote has it.
    #[must_use]
    pub fn synced(since: Timestamp) -> Self {
        Self {
            revision: 0,
            tail: 0,
            sync: SyncState { state: RowState::Synced, since },
            version: None,
            extra: None,
        }
    }

    /// The meta, borrowed.
    #[must_use]
    pub fn show(&self) -> MetaRef<'_> {
        MetaRef {
            revision: self.revision,
            tail: self.tail,
            sync: self.sync,
            version: self.version.as_deref(),
            extra: self.extra.as_deref(),
        }
    }
}

/// What is stored beside the fields of a row, borrowed from the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetaRef<'a> {
    /// See [`Meta::revision`].
    pub revision: u64,
    /// See [`Meta::tail`].
    pub tail: u64,
    /// See [`Meta::sync`].
    pub sync: SyncState,
    /// See [`Meta::version`].
    pub version: Option<&'a str>,
    /// See [`Meta::extra`].
    pub extra: Option<&'a str>,
}

impl MetaRef<'_> {
    /// An owned copy.
    #[must_use]
    pub fn to_meta(self) -> Meta {
        Meta {
            revision: self.revision,
            tail: self.tail,
            sync: self.sync,
            version: self.version.map(Into::into),
            extra: self.extra.map(Into::into),
        }
    }
}
