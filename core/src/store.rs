//! A provider that can be the local side: it commits batches atomically and keeps the outbox.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::context::Context;
use crate::damage::{Damage, Integrity, StoreSize};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::meta::{Meta, MetaRef};
use crate::outbox::Entry;
use crate::provider::{OpenProvider, Opening, Provider};
use crate::query::Query;
use crate::row::Row;
use crate::schema::Schema;

/// Takes rows where they lie, on whatever thread that is: see [`Store::lend`].
pub trait Borrower: Send {
    /// Takes one row.
    ///
    /// # Errors
    /// Whatever ends the lending.
    fn take(&mut self, meta: MetaRef<'_>, row: &dyn Row) -> Result<()>;

    /// The rows come from the first on: whatever was taken is to be forgotten. It may be called before the first row.
    fn anew(&mut self);
}

/// Takes rows as they are lent, one call a row.
pub type Sink<'f> = &'f mut (dyn FnMut(MetaRef<'_>, &dyn Row) -> Result<()> + Send);

/// A provider that keeps rows, outbox and cursors together.
///
/// What an implementor promises beyond [`Provider`]:
///
/// - A batch is applied as a whole, durably, before [`commit`](Self::commit) returns, or not at all.
/// - Each batch gets a revision, rising by at least one; the rows that it writes carry it.
/// - Sequence numbers of outbox entries rise and are never used twice, not even after a reopening.
/// - Reads see committed batches only, and never wait for a writer.
/// - Observers are told in the order of the revisions: see [`CommitObserver`].
/// - Everything that is asked of `get` it does itself: its pages are [`Done::ALL`](crate::Done::ALL).
#[async_trait]
pub trait Store: Provider {
    /// Applies `batch`, unless one of its expectations does not hold.
    ///
    /// A caller that stops waiting does not undo a batch that is already on its way.
    ///
    /// # Errors
    /// `Conflict` naming both rows if a unique index would be broken; `Full` or `Storage` if the medium fails;
    /// `Serialization` if a row can't be encoded. Nothing is changed then.
    async fn commit(&self, cx: &Context, batch: Batch) -> Result<CommitOutcome>;

    /// Lends the rows that answer `query` on the calling thread, from the newest committed state. `false`: not
    /// without waiting, use [`Provider::get`]; rows that were lent before that count for nothing.
    ///
    /// # Errors
    /// As [`Provider::get`], and whatever `sink` returns.
    fn read_now(&self, schema: &'static Schema, query: &Query, sink: Sink<'_>) -> Result<bool>;

    /// Lends the rows that answer `query` from one committed state, in order and however many they are, off the calling
    /// thread where that may take long. A store that has its rows outside of memory does without copying them.
    ///
    /// # Errors
    /// As [`Provider::get`], and whatever `to` returns.
    async fn lend(
        &self,
        cx: &Context,
        schema: &'static Schema,
        query: &Query,
        to: Box<dyn Borrower>,
    ) -> Result<()>;

    /// How many rows answer `query`, inside its window. Decodes no more than the fields that the filter looks at, and
    /// keeps no row.
    ///
    /// # Errors
    /// As [`Provider::get`].
    async fn count(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<u64>;

    /// What is stored under `key`, a tombstone included.
    ///
    /// # Errors
    /// `Storage` or `Corrupt`.
    async fn load(&self, cx: &Context, schema: &'static Schema, key: &Key) -> Result<Option<StoredRow>>;

    /// The revision of the newest batch that readers see. Each batch that is applied has one of its own, whatever it changes,
    /// and so has each wipe and each salvage: what was read at a revision is as it was for as long as this is the same.
    fn revision(&self) -> u64;

    /// Outbox entries after the sequence number `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// `Storage`; an entry that can't be read is in [`Loaded::unreadable`] and hides no other. An entry that this panics over each
    /// time is found by [`entry`](Self::entry), which has to panic over it as well.
    async fn outbox(&self, cx: &Context, after: u64, limit: usize) -> Result<Loaded>;

    /// One outbox entry.
    ///
    /// # Errors
    /// `Storage`, `Corrupt`, or `Serialization` if today's model can't read it.
    async fn entry(&self, cx: &Context, seq: u64) -> Result<Option<Entry>>;

    /// How much is in the outbox.
    ///
    /// # Errors
    /// `Storage`.
    async fn outbox_counts(&self, cx: &Context) -> Result<OutboxCounts>;

    /// The value that was stored under `scope` by [`Op::Cursor`].
    ///
    /// # Errors
    /// `Storage` or `Corrupt`.
    async fn cursor(&self, cx: &Context, scope: &str) -> Result<Option<String>>;

    /// Rewrites up to `limit` rows and outbox entries that older versions of the models have stored, as today's versions
    /// store them. To be called until it is [`done`](Migrated::done).
    ///
    /// - What is rewritten and how far that has come are one transaction: whoever is killed meanwhile goes on there.
    /// - Rows, their revisions and every answer stay the same.
    /// - What can't be migrated stays as it is and is tried again by the next round.
    ///
    /// # Errors
    /// `Storage` or `Full`; nothing is rewritten then.
    async fn migrate(&self, cx: &Context, limit: usize) -> Result<Migrated>;

    /// Removes all rows, entries and cursors, in place. Revisions and sequence numbers go on rising.
    ///
    /// # Errors
    /// `Storage` or `Full`; nothing is removed then.
    async fn wipe(&self, cx: &Context) -> Result<()>;

    /// Looks at everything that is stored: checksums, and whether rows, index entries, outbox entries and counts agree.
    /// Nothing is changed, and memory is bounded.
    ///
    /// # Errors
    /// `Storage` if the medium can't be read; `Cancelled` or `Timeout`. Damage is no error here but a finding.
    async fn check(&self, cx: &Context) -> Result<Integrity>;

    /// Checks, and where it finds damage begins anew with what verifies: outbox entries first, then rows. What was
    /// damaged is moved aside. Cursors are not kept, so that whatever was known of the remote is asked for again.
    /// `None` if nothing is damaged.
    ///
    /// - Observers are told as of a wipe. Revisions and sequence numbers go on rising.
    /// - A row whose outbox entry is lost counts as synced; a lost row of an outbox entry is made from it again.
    ///
    /// # Errors
    /// `Unsupported` if there is no place to move anything to; `Storage` or `Full`. Nothing is changed then.
    async fn salvage(&self, cx: &Context) -> Result<Option<Damage>>;

    /// The newest report of a salvage that nobody has [acknowledged](Self::acknowledge). It lies in the store: neither the
    /// end of the process nor a wipe forgets it.
    fn damage(&self) -> Option<Damage>;

    /// Forgets a report; the one before it shows again, if that was not acknowledged either. Nothing happens if it is not
    /// there.
    ///
    /// # Errors
    /// `Storage` or `Full`; it is told again then.
    async fn acknowledge(&self, cx: &Context, damage: &Damage) -> Result<()>;

    /// Gives space back to the medium. Reads and writes wait meanwhile.
    ///
    /// # Errors
    /// `Storage` or `Full`; nothing that is stored is lost then.
    async fn compact(&self, cx: &Context) -> Result<StoreSize>;

    /// How large the store is.
    ///
    /// # Errors
    /// `Storage`.
    async fn size(&self, cx: &Context) -> Result<StoreSize>;

    /// Tells `observer` of every batch from now on, for as long as it lives elsewhere.
    fn observe(&self, observer: std::sync::Weak<dyn CommitObserver>);
}

/// Changes that are applied together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// What must still hold for the batch to be applied.
    pub expect: Vec<Expect>,
    /// The changes, in order.
    pub ops: Vec<Op>,
}

/// What a batch relies on.
#[derive(Clone, Debug)]
pub enum Expect {
    /// The row has this revision, tombstones included; 0: nothing is stored under the key.
    Row {
        /// The model.
        schema: &'static Schema,
        /// The row.
        key: Key,
        /// Its revision.
        revision: u64,
    },
    /// No row of the model was written after this revision.
    Model {
        /// The model.
        schema: &'static Schema,
        /// The revision.
        revision: u64,
    },
    /// The outbox entry is there, and was sent as often and is marked as little or much as it was when it was read. What
    /// it *says* changes with its row alone, so that it is the row's revision that tells of that.
    Entry {
        /// Its sequence number.
        seq: u64,
        /// Whether it has a [`SendMark`](crate::SendMark).
        marked: bool,
        /// Its attempts.
        attempts: u32,
    },
}

impl Expect {
    /// That `entry` is there, and has not been sent since it was read.
    #[must_use]
    pub fn entry(entry: &Entry) -> Self {
        Self::Entry { seq: entry.seq, marked: entry.mark.is_some(), attempts: entry.attempts }
    }
}

/// A change within a batch.
#[derive(Clone, Debug)]
pub enum Op {
    /// Writes a row, index entries included. The store sets `meta.revision`.
    Put {
        /// The model.
        schema: &'static Schema,
        /// The row's key.
        key: Key,
        /// Its fields.
        row: Arc<dyn Row>,
        /// What stands beside them; `tail` below replaces its own.
        meta: Meta,
        /// The row's newest outbox entry.
        tail: Tail,
    },
    /// Hides a row and leaves a trace of it, until the remote has confirmed its deletion.
    Tombstone {
        /// The model.
        schema: &'static Schema,
        /// The row's key.
        key: Key,
        /// What stands beside the trace; `tail` below replaces its own.
        meta: Meta,
        /// The row's newest outbox entry.
        tail: Tail,
    },
    /// Removes a row or a tombstone.
    Remove {
        /// The model.
        schema: &'static Schema,
        /// The row's key.
        key: Key,
    },
    /// Adds an outbox entry; the store sets its `seq`.
    Enqueue(Box<Entry>),
    /// Replaces the outbox entry of the same `seq`; nothing happens if it is gone.
    Revise(Box<Entry>),
    /// Removes an outbox entry.
    Dequeue(u64),
    /// Stores a value under a name, or removes it.
    Cursor {
        /// The name.
        scope: String,
        /// The value.
        value: Option<String>,
    },
}

/// The newest outbox entry of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// The entry with this sequence number; 0: none.
    At(u64),
    /// The n-th entry that the same batch enqueues, counted from 0.
    New(usize),
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is durable and readers see it.
    Committed(Committed),
    /// An expectation did not hold; nothing was changed. Read again.
    Stale,
}

/// What the store handed out to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The revision of the rows that it wrote.
    pub revision: u64,
    /// The sequence numbers of the entries that it enqueued, in order.
    pub seqs: Vec<u64>,
}

/// What is stored under a key.
#[derive(Clone, Debug)]
pub struct StoredRow {
    /// What stands beside the fields.
    pub meta: Meta,
    /// The fields; `None` for a tombstone.
    pub row: Option<Arc<dyn Row>>,
}

impl StoredRow {
    /// The row, unless it is a tombstone.
    #[must_use]
    pub fn shown(&self) -> Option<(&Meta, &Arc<dyn Row>)> {
        Some((&self.meta, self.row.as_ref()?))
    }
}

/// Entries read from the outbox.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// Entries that can't be read by today's application. They stay stored.
    pub unreadable: Vec<Unreadable>,
    /// The last sequence number that was looked at; 0 if there was none.
    pub last: u64,
}

/// An outbox entry that can't be read by today's application: it is damaged, or can't be migrated.
#[derive(Debug)]
pub struct Unreadable {
    /// Its sequence number.
    pub seq: u64,
    /// The row that it belongs to, unless that can't be read either: later entries of the row have to wait for it.
    pub row: Option<(&'static Schema, Key)>,
    /// Why.
    pub error: Error,
    /// What is stored, so that it can be taken elsewhere before it is given up.
    pub raw: Vec<u8>,
}

/// What a call of [`Store::migrate`] came to.
#[derive(Debug, Default)]
pub struct Migrated {
    /// Rows that were rewritten.
    pub rows: u64,
    /// Outbox entries that were rewritten.
    pub entries: u64,
    /// What can't be migrated, each with model and row. It stays as it is.
    pub failed: Vec<Error>,
    /// True if there is nothing left.
    pub done: bool,
}

/// How much is in the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// All entries, parked ones included.
    pub entries: u64,
    /// Parked entries.
    pub parked: u64,
}

/// What a batch touched.
#[derive(Clone, Debug)]
pub struct Touched {
    /// Its revision.
    pub revision: u64,
    /// The rows that it wrote or removed.
    pub rows: Vec<(&'static Schema, Key)>,
    /// True if it changed the outbox.
    pub outbox: bool,
    /// True if it added entries to the outbox: there is more to be sent.
    pub queued: bool,
    /// True if everything was removed.
    pub wiped: bool,
}

impl Touched {
    /// Of a batch of this revision that has touched nothing yet.
    #[must_use]
    pub fn nothing(revision: u64) -> Self {
        Self { revision, rows: Vec::new(), outbox: false, queued: false, wiped: false }
    }

    /// Of a batch of this revision that has removed everything.
    #[must_use]
    pub fn everything(revision: u64) -> Self {
        Self { outbox: true, wiped: true, ..Self::nothing(revision) }
    }
}

/// Is told of committed batches, on the thread that commits, in the order of the revisions. Must not block.
pub trait CommitObserver: Send + Sync {
    /// The batch is durable, and no reader has seen it yet: the moment to drop cached rows.
    fn durable(&self, touched: &Touched);

    /// Readers see the batch: the moment to wake whoever watches.
    fn published(&self, touched: &Touched);
}

/// A configured store that is not open yet.
#[async_trait]
pub trait OpenStore: Debug + Send + 'static {
    /// Opens it.
    ///
    /// # Errors
    /// `Storage` if the medium can't be reached or is in use by another process; `Corrupt` if it is damaged or foreign;
    /// `Unsupported`, with nothing changed, if it is of a newer format or was written by a newer version of a model;
    /// `Invalid` for a configuration that makes no sense.
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Store>>;
}

#[async_trait]
impl OpenStore for Arc<dyn Store> {
    async fn open(self: Box<Self>, _: &Opening) -> Result<Arc<dyn Store>> {
        Ok(*self)
    }
}

#[async_trait]
impl OpenProvider for Arc<dyn Store> {
    async fn open(self: Box<Self>, _: &Opening) -> Result<Arc<dyn Provider>> {
        Ok(*self)
    }
}
