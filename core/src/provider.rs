//! One trait for memory, redb, REST and every later backend.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::association::Brought;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{Delta, Realtime};
use crate::key::Key;
use crate::meta::Meta;
use crate::mutation::{Mutation, Operation};
use crate::query::{Plan, Query};
use crate::request::Requests;
use crate::row::Row;
use crate::runtime::Runtime;
use crate::schema::Schema;

/// Holds rows somewhere: in memory, in a file, behind a network.
///
/// A provider is object-safe and has no default methods, so that a verb that a wrapper forgets is a compile error.
/// What an implementor promises:
///
/// - [`get`](Self::get) never returns a row that the query excludes *if* it claims to have filtered
///   ([`Page::done`]); whatever it does not claim, the caller finishes with [`Query::finish`].
/// - [`apply`](Self::apply) changes one row or nothing.
/// - Nothing about a call is kept in the provider; policy, deadline and cancellation come in the [`Context`].
/// - Time, tasks and randomness come from the [`Runtime`] that it was opened with.
///
/// Errors are [`Error`]s that name operation, model and, for writes, the key.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Provider: Debug + Send + Sync + 'static {
    /// A short name for traces and messages, such as `redb`.
    fn name(&self) -> &str;

    /// What the provider can do; the same value for as long as it is open.
    fn capabilities(&self) -> Capabilities;

    /// How a write to `schema` stands being sent twice.
    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency;

    /// The rows that answer `query`, or the first page of them; [`Page::next`] goes into
    /// [`Context::resume`] of the following call.
    ///
    /// # Errors
    /// `Unsupported` for a query that the provider can't answer even in part; `Offline`, `Timeout`, `Transport`,
    /// `Http`, `Unauthorized` from a remote; `Serialization` with the field path for data that does not fit;
    /// `Storage` or `Corrupt` from a store.
    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page>;

    /// Whether any row answers `query`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence>;

    /// What the provider does with `query`, without answering it. It asks no network.
    ///
    /// # Errors
    /// `Invalid` for a query that makes no sense for `schema`; and as [`get`](Self::get).
    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan>;

    /// Changes one row.
    ///
    /// # Errors
    /// `Conflict` if a unique constraint, an insert of a row that is there, or the remote's version forbids it;
    /// `NotFound` for an update of a row that is not there; `Rejected` if the remote's business says no; and as
    /// [`get`](Self::get). [`Error::sent`] tells how far the request had gone.
    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied>;

    /// The face that gives changes since a cursor, if the provider has it.
    #[allow(clippy::needless_lifetimes, reason = "mockall asks for the name")]
    fn delta<'a>(&'a self) -> Option<&'a dyn Delta>;

    /// The face that pushes changes, if the provider has it.
    #[allow(clippy::needless_lifetimes, reason = "mockall asks for the name")]
    fn realtime<'a>(&'a self) -> Option<&'a dyn Realtime>;

    /// The face that takes requests which are no mutations of rows, if the provider has it.
    #[allow(clippy::needless_lifetimes, reason = "mockall asks for the name")]
    fn requests<'a>(&'a self) -> Option<&'a dyn Requests>;
}

/// What a provider can do. Plain facts: the outermost handle refuses what they rule out before the backend sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// How much of a filter it evaluates itself.
    pub filter: Pushdown,
    /// It orders as the query asks, the key last.
    pub order: bool,
    /// It applies `limit` and `offset`.
    pub window: bool,
    /// It answers queries that return more than one row by key.
    pub list: bool,
    /// It accepts [`Operation::Insert`].
    pub insert: bool,
    /// It accepts [`Operation::Update`].
    pub update: bool,
    /// It accepts [`Operation::Upsert`].
    pub upsert: bool,
    /// It accepts [`Operation::Delete`].
    pub delete: bool,
    /// It refuses a write that breaks a unique index.
    pub unique: bool,
    /// It keeps a server's version and refuses a write that is based on another.
    pub versions: bool,
    /// It takes related rows in the request of a row: [`Mutation::nested`](crate::Mutation::nested).
    pub nests: bool,
}

impl Capabilities {
    /// Everything: what a local store has.
    pub const ALL: Self = Self {
        filter: Pushdown::All,
        order: true,
        window: true,
        list: true,
        insert: true,
        update: true,
        upsert: true,
        delete: true,
        unique: true,
        versions: false,
        nests: false,
    };

    /// Nothing but reading whole pages.
    pub const NONE: Self = Self {
        filter: Pushdown::None,
        order: false,
        window: false,
        list: false,
        insert: false,
        update: false,
        upsert: false,
        delete: false,
        unique: false,
        versions: false,
        nests: false,
    };

    /// Refuses an operation that the provider does not have.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn permit(&self, operation: Operation, provider: &str) -> Result<()> {
        let able = match operation {
            Operation::Insert => self.insert,
            Operation::Update => self.update,
            Operation::Upsert => self.upsert,
            Operation::Delete => self.delete,
        };
        if able {
            return Ok(());
        }
        let verb = operation.verb();
        Err(Error::new(ErrorKind::Unsupported, format!("{provider} does not {verb}")).during(verb))
    }
}

/// How much of a filter a provider evaluates itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushdown {
    /// Nothing.
    None,
    /// What its configuration can express.
    Some,
    /// Everything.
    All,
}

/// How an endpoint stands being asked twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Idempotency {
    /// A repeat has no further effect.
    Idempotent,
    /// The server remembers the idempotency key for this long, and a repeat has no further effect.
    Keyed {
        /// How long the server remembers a key.
        life: Duration,
    },
    /// The write carries the version that it is based on; a repeat of one that was applied is refused.
    Conditional,
    /// Before a repeat, the row is read and compared.
    Probe,
    /// It is never repeated by itself.
    AtMostOnce,
}

impl Idempotency {
    /// How long a key lives unless the endpoint says otherwise.
    pub const KEY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

    /// True if each entry has to be noted as sent by itself and at the last moment: a note in vain has a price.
    #[must_use]
    pub fn is_marked_alone(self) -> bool {
        matches!(self, Self::AtMostOnce | Self::Probe)
    }

    /// [`Keyed`](Self::Keyed) with the usual life.
    pub const KEYED: Self = Self::Keyed { life: Self::KEY_LIFE };
}

/// A part of a query's answer. More may be said later: end a literal with `..Page::default()`.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The rows.
    pub rows: Vec<PageRow>,
    /// What has been done to them already.
    pub done: Done,
    /// Where the answer goes on; `None` if this was the last page.
    pub next: Option<PageToken>,
    /// Rows that stood on the page and can't be read. They hide none of the others.
    pub misfits: Vec<Misfit>,
    /// How many rows all pages of the answer have, before [`Query::finish`] is done with them; if the provider says so.
    pub total: Option<u64>,
    /// What this answer is called, if the provider can tell later that it is still the same: the whole of an answer of
    /// one page. It goes into [`Context::unless`].
    pub tag: Option<String>,
    /// True if the answer is still the one that [`Context::unless`] names; then no row is told.
    pub unchanged: bool,
    /// True if no row that is there throughout is left out between this page and the next, whatever is written meanwhile:
    /// if it goes on after a row, or after a mark that the provider keeps, and not after a number of rows or pages. Where it
    /// is false, a row that did not come is asked for by itself before it counts as gone.
    pub steady: bool,
}

/// A row that a remote gave and that can't be read.
#[derive(Clone, Debug)]
pub struct Misfit {
    /// Which row it is, if that much can be read.
    pub key: Option<Key>,
    /// What is wrong with it.
    pub error: Arc<Error>,
}

/// A row with what is known about it.
#[derive(Clone, Debug)]
pub struct PageRow {
    /// What stands beside the fields.
    pub meta: Meta,
    /// The fields.
    pub row: Arc<dyn Row>,
    /// Related rows that stood within it, and references that are to be looked up; none from a store.
    pub brought: Option<Box<Brought>>,
}

impl PageRow {
    /// A row that brought nothing with it.
    #[must_use]
    pub fn new(meta: Meta, row: Arc<dyn Row>) -> Self {
        Self { meta, row, brought: None }
    }
}

/// Where a paged answer goes on: opaque to everybody but the provider that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken(pub String);

/// What a provider has done of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Done {
    /// Rows that the filter excludes are left out.
    pub filter: bool,
    /// The rows are in order; over all pages.
    pub order: bool,
    /// `limit` and `offset` are applied.
    pub window: bool,
}

impl Done {
    /// Everything.
    pub const ALL: Self = Self { filter: true, order: true, window: true };
}

/// Whether there is a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There is one.
    Present,
    /// There is none.
    Absent,
    /// The provider can't tell.
    Unknown,
}

/// What a write came to.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What happened to the row.
    pub outcome: Outcome,
    /// The row as the provider has it now, if it said so; may lack fields.
    pub row: Option<PageRow>,
}

/// What happened to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was new.
    Inserted,
    /// It was there.
    Updated,
    /// It is gone.
    Deleted,
    /// A delete found nothing.
    Missing,
    /// The provider accepted and does not say.
    Accepted,
}

/// What a provider is opened with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Time, tasks, randomness.
    pub runtime: Arc<dyn Runtime>,
    /// The models that it will be asked for.
    pub schemas: Arc<[&'static Schema]>,
}

/// A configured provider that is not open yet. Constructors configure; opening is done by the repository's `build`.
#[async_trait]
pub trait OpenProvider: Debug + Send + 'static {
    /// Opens it.
    ///
    /// # Errors
    /// `Invalid` for a configuration that makes no sense, and what the backend reports.
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Provider>>;
}

#[async_trait]
impl OpenProvider for Arc<dyn Provider> {
    async fn open(self: Box<Self>, _: &Opening) -> Result<Arc<dyn Provider>> {
        Ok(*self)
    }
}
