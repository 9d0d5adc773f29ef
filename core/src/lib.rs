//! The contracts of Larder.
//!
//! Everything that the other crates agree on stands here, and nothing that does I/O: no task is started, no clock is
//! read, no database and no HTTP crate is named.
//!
//! - What an application stores: [`Model`], described by its [`Schema`], shown field by field as a [`Row`].
//! - What it asks: [`Query`] (object-safe) and its typed face, [`Field`], [`Where`] and [`Select`].
//! - Who answers: [`Provider`], and [`Store`] for a local side that commits [`Batch`]es atomically.
//! - How a row meets bytes: [`Serdes`], with the dialects [`json`](dialect::json) and [`packed`].
//! - What the outside world supplies: [`Runtime`] (time, randomness, tasks) and [`Connectivity`].
//!
//! Implementors of providers start at [`Provider`] and [`Store`]; users of Larder depend on the crate `larder`
//! instead, which re-exports what they need.

pub mod association;
pub mod connectivity;
pub mod context;
pub mod datum;
pub mod decimal;
mod depth;
pub mod dialect;
pub mod error;
pub mod key;
pub mod kind;
pub mod meta;
pub mod migration;
pub mod mutation;
pub mod ordered;
pub mod outbox;
pub mod packed;
pub mod provider;
pub mod query;
pub mod row;
pub mod runtime;
pub mod schema;
pub mod serdes;
pub mod store;
pub mod validate;
pub mod value;

pub use association::{
    Assoc, AssocDef, AssocDialect, Brought, Embedded, Include, Includes, Including, Keyed, Link, LookupBy,
    Many, OnDelete, One, Orphans, Related, ToOne, Wanted,
};
pub use connectivity::{AlwaysOnline, Connectivity};
pub use context::{Cancellation, Context, ReadPolicy, WritePolicy};
pub use datum::{Convert, Converted, Datum};
pub use decimal::Decimal;
pub use error::{Error, ErrorKind, Fault, Result, Sent};
pub use key::Key;
pub use kind::{AsDef, EnumDef, IntKind, Kind, StructDef, Tagging, VariantDef};
pub use meta::{Meta, MetaRef, RemoteVersion, RowState, SyncState};
pub use migration::{Migration, OldRow};
pub use mutation::{FieldSet, Mutation, MutationId, Operation};
pub use outbox::{Entry, EntryState, Failure, ParkReason, SendMark};
pub use provider::{
    Applied, Capabilities, Change, Changed, Delta, DeltaPage, Done, Idempotency, OpenProvider, Opening,
    Outcome, Page, PageRow, PageToken, Presence, Provider, Pushdown, Realtime,
};
pub use query::{
    Assigned, CompareOp, Cursor, Direction, Field, Holds, KeySet, Needle, Operand, Operator, Order, OrderBy,
    Plan, Position, Predicate, Query, Select, TextOp, Where,
};
pub use row::{AsModel, Model, Record, Row};
pub use runtime::{Runtime, RuntimeExt};
pub use schema::{ANY, Converter, FieldDef, FieldDialect, IndexDef, KeyDef, KeyKind, Schema};
pub use serdes::{Decoded, Serdes};
pub use store::{
    Batch, CommitObserver, CommitOutcome, Committed, Expect, Loaded, Migrated, Op, OpenStore, OutboxCounts,
    Sink, Store, StoredRow, Tail, Touched, Unreadable,
};
pub use validate::Invalid;
pub use value::{Item, Nested, Value, ValueRef, View};

pub use async_trait::async_trait;
pub use jiff::Timestamp;
pub use uuid::Uuid;

/// What the code that the derives write names. Not for people.
#[doc(hidden)]
pub mod __private {
    pub use crate::association::{Glue, attach, build, carried, lookup_by, refers};
    pub use crate::datum::take_by;
    pub use crate::*;
    pub use core::any::Any;
    pub use core::option::Option::{self, None, Some};
    pub use core::result::Result::{self, Err, Ok};
    pub use serde_json;

    /// A refusal as its text.
    pub fn told(refusal: impl std::fmt::Display) -> String {
        refusal.to_string()
    }

    /// Writes `value` as the type that stands for it on the wire.
    ///
    /// # Errors
    /// The text of what the conversion or serde says.
    pub fn via_write<'a, T, Dto>(value: &'a T) -> Result<serde_json::Value, String>
    where
        Dto: TryFrom<&'a T, Error: std::fmt::Display> + serde::Serialize,
    {
        serde_json::to_value(Dto::try_from(value).map_err(told)?).map_err(told)
    }

    /// Reads a value from the type that stands for it on the wire.
    ///
    /// # Errors
    /// The text of what serde or the conversion says.
    pub fn via_read<T, Dto>(json: &serde_json::Value) -> Result<T, String>
    where
        T: TryFrom<Dto, Error: std::fmt::Display>,
        Dto: serde::de::DeserializeOwned,
    {
        let dto: Dto = serde::Deserialize::deserialize(json).map_err(told)?;
        T::try_from(dto).map_err(told)
    }

    /// What a default is shown as: a constant shows itself without a fault.
    #[must_use]
    pub fn constant(shown: ValueRef<'_>) -> Value {
        shown.to_value().unwrap_or(Value::Null)
    }
}
