//! The outbox: mutations that the remote has not confirmed yet.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::key::Key;
use crate::meta::RemoteVersion;
use crate::mutation::{FieldSet, MutationId, Operation};
use crate::row::Row;
use crate::schema::Schema;

/// One mutation in the outbox. Its sequence number alone decides order; no wall clock does.
///
/// Credentials and headers are never part of it: they are applied when it is sent.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Handed out by the store, within the transaction that stores the entry; never used again.
    pub seq: u64,
    /// The sequence number of the entry of the same row before this one; 0 if there was none.
    pub prev: u64,
    /// Its identity, and the idempotency key.
    pub id: MutationId,
    /// The model, as it is today.
    pub schema: &'static Schema,
    /// The version of the model that wrote the entry.
    pub model_version: u32,
    /// The row's key.
    pub key: Key,
    /// What is done.
    pub operation: Operation,
    /// The intent: the whole row as the application wanted it; `None` for a delete.
    pub row: Option<Arc<dyn Row>>,
    /// The intent: the fields that were changed.
    pub changed: FieldSet,
    /// The row that the intent was made from; `None` if there was none.
    pub base: Option<Arc<dyn Row>>,
    /// The server's version of the row that the intent was made from.
    pub base_version: Option<RemoteVersion>,
    /// What the remote had and the model has not, as a JSON object.
    pub extra: Option<Arc<str>>,
    /// The account that wrote it; it is never sent with another's credentials.
    pub account: Option<Arc<str>>,
    /// When it was written, for people.
    pub created: Timestamp,
    /// Where it stands.
    pub state: EntryState,
    /// Durable before the first byte goes out: an entry without it was never sent.
    pub mark: Option<SendMark>,
    /// How often it was sent.
    pub attempts: u32,
    /// How many of the attempts count against the limit, and since when.
    pub strikes: u32,
    /// The moment of the first attempt that counted.
    pub first_strike: Option<Timestamp>,
    /// Not before this moment, by the wall clock.
    pub not_before: Option<Timestamp>,
    /// What happened last.
    pub failure: Option<Failure>,
    /// It was refused as a conflict though nothing had changed at the remote: the next such refusal in a row waits for the
    /// application.
    pub unexplained: bool,
    /// Other mutations that go in its request. They come after it in the outbox.
    pub carries: Vec<MutationId>,
    /// Whose request it goes in; `None` if it has one of its own. Should the other be gone, it has one after all.
    pub within: Option<Within>,
    /// What the remote has now, where the entry can't be put on that yet: it may be on its way, or waits for a decision.
    pub theirs: Option<Box<Theirs>>,
}

impl Entry {
    /// A mutation of today's model that is ready to be sent, was made from nothing, changes nothing yet and has no number.
    #[must_use]
    pub fn new(
        schema: &'static Schema,
        key: Key,
        operation: Operation,
        id: MutationId,
        created: Timestamp,
    ) -> Self {
        Self {
            seq: 0,
            prev: 0,
            id,
            schema,
            model_version: schema.version,
            key,
            operation,
            row: None,
            changed: FieldSet::default(),
            base: None,
            base_version: None,
            extra: None,
            account: None,
            created,
            state: EntryState::Ready,
            mark: None,
            attempts: 0,
            strikes: 0,
            first_strike: None,
            not_before: None,
            failure: None,
            unexplained: false,
            carries: Vec::new(),
            within: None,
            theirs: None,
        }
    }
}

/// A row as the remote has it, kept beside an entry.
#[derive(Clone, Debug)]
pub struct Theirs {
    /// The row; `None`: it is gone there.
    pub row: Option<Arc<dyn Row>>,
    /// The server's version of it.
    pub version: Option<RemoteVersion>,
    /// What the remote has and the model has not, as a JSON object.
    pub extra: Option<Arc<str>>,
    /// When that was heard, for people.
    pub at: Timestamp,
}

/// Where a mutation goes that has no request of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// The mutation whose request carries it.
    pub carrier: MutationId,
    /// The mutation of the row in which its row stands: the carrier, or another one that goes with it.
    pub parent: MutationId,
    /// The association of that row, by its name in the model.
    pub association: Arc<str>,
}

/// Where an entry stands. "In flight" is known by the engine alone; on disk it is a [`SendMark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EntryState {
    /// It may be sent as soon as its lane is free.
    Ready,
    /// It waits for a decision: a dead letter.
    Parked(ParkReason),
}

/// Why an entry is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ParkReason {
    /// The remote refused it for good.
    Rejected,
    /// The remote's row has changed as well.
    Conflict,
    /// It may have been applied, and must not be repeated without being asked for.
    Uncertain,
    /// It failed too often.
    Exhausted,
    /// The remote refused it for good, and its row has gone back to what it was changed from. It stops nothing; it is
    /// kept for the remote's answer.
    Reverted,
    /// The remote refused a request that is no model. It stops nothing; it is kept for the remote's answer.
    Refused,
    /// It can't be read or sent as the application is today.
    Unsendable,
}

/// The note that an entry may have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendMark {
    /// When the first attempt was made, by the wall clock.
    pub first: Timestamp,
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// Its text.
    pub message: String,
    /// The status of the server's answer.
    pub status: Option<u16>,
    /// The body of the server's answer, cut at 64 KiB.
    pub body: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Failure {
    /// The most that is kept of a server's body, in bytes.
    pub const BODY_LIMIT: usize = 64 * 1024;

    /// Notes `error`.
    #[must_use]
    pub fn of(error: &Error, at: Timestamp) -> Self {
        let body = error.body().map(|body| {
            let mut end = body.len().min(Self::BODY_LIMIT);
            while !body.is_char_boundary(end) {
                end -= 1;
            }
            body[..end].to_owned()
        });
        Self { kind: error.kind(), message: error.to_string(), status: error.status(), body, at }
    }
}
