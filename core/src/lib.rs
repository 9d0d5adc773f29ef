//! The contracts of Larder.
//!
//! Everything that the other crates agree on stands here, and nothing that does I/O: no task is started, no clock is
//! read, no database and no HTTP crate is named.
//!
//! - What an application stores: [`Model`], described by its [`Schema`], shown field by field as a [`Row`].
//! - What it asks: [`Query`] (object-safe) and its typed face, [`Field`], [`Where`] and [`Select`].
//! - Who answers: [`Provider`], and [`Store`] for a local side that commits [`Batch`]es atomically.
//! - How a row meets bytes: [`Serdes`], with the dialects [`json`](dialect::json) and [`packed`].
//! - What the outside world supplies: [`Runtime`] (time, randomness, tasks), [`Connectivity`] and [`Power`].
//!
//! Implementors of providers start at [`Provider`] and [`Store`]; users of Larder depend on the crate `larder`
//! instead, which re-exports what they need.

pub mod association;
pub mod conflict;
pub mod connectivity;
pub mod context;
pub mod damage;
pub mod datum;
pub mod decimal;
mod depth;
pub mod dialect;
pub mod error;
pub mod feed;
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
pub mod request;
pub mod row;
pub mod runtime;
pub mod schema;
pub mod serdes;
pub mod store;
pub mod validate;
pub mod value;

pub use association::{
    Assoc, AssocDef, AssocDialect, Brought, Embedded, Include, Includes, Including, Keyed, Link, LookupBy,
    Many, OnDelete, One, Orphans, Related, SendAs, ToOne, Wanted,
};
pub use conflict::{Conflict, ConflictDef, Resolution, Resolve, Sides, Strategy};
pub use connectivity::{AlwaysOnline, Connectivity, Mains, Power};
pub use context::{Cancellation, Context, ReadPolicy, WritePolicy};
pub use damage::{Damage, Finding, FindingKind, Integrity, StoreSize};
pub use datum::{Convert, Converted, Datum};
pub use decimal::Decimal;
pub use error::{Error, ErrorKind, Fault, Result, Sent};
pub use feed::{Change, Changed, Delta, DeltaAnswer, DeltaPage, DeltaScope, Realtime};
pub use key::Key;
pub use kind::{AsDef, EnumDef, IntKind, Kind, StructDef, Tagging, VariantDef};
pub use meta::{Meta, MetaRef, RemoteVersion, RowState, SyncState};
pub use migration::{Migration, OldRow};
pub use mutation::{Enclosed, FieldSet, Mutation, MutationId, Operation};
pub use outbox::{Entry, EntryState, Failure, ParkReason, SendMark, Theirs, Within};
pub use provider::{
    Applied, Capabilities, Done, Idempotency, Misfit, OpenProvider, Opening, Outcome, Page, PageRow,
    PageToken, Presence, Provider, Pushdown,
};
pub use query::{
    Assigned, CompareOp, Cursor, Direction, Field, Holds, KeySet, Needle, Operand, Operator, Order, OrderBy,
    Places, Plan, Position, Predicate, Query, Select, TextOp, Where,
};
pub use request::{Request, Requests, Response};
pub use row::{AsModel, Model, Record, Row};
pub use runtime::{Runtime, RuntimeExt};
pub use schema::{
    ANY, ComputedDef, Converter, FieldDef, FieldDialect, IndexDef, KeyDef, KeyKind, Schema, ViaDef,
};
pub use serdes::{Decoded, Serdes};
pub use store::{
    Batch, Borrower, CommitObserver, CommitOutcome, Committed, Expect, Loaded, Migrated, Op, OpenStore,
    OutboxCounts, Sink, Store, StoredRow, Tail, Touched, Unreadable,
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

    pub use crate::schema::distinct_in;

    /// The model that a row is: itself, or what is made of what the row shows.
    ///
    /// # Errors
    /// As [`Model::from_row`]; whatever `f` says.
    pub fn with_model<M: Model, T>(
        row: &dyn Row,
        f: impl FnOnce(&M) -> crate::Result<T>,
    ) -> crate::Result<T> {
        match row.as_any().and_then(|any| any.downcast_ref::<M>()) {
            Some(model) => f(model),
            None => f(&M::from_row(row)?),
        }
    }

    /// What a check has said, of a field or of the whole.
    ///
    /// # Errors
    /// `Invalid`, with the field.
    pub fn checked(field: Option<&str>, said: Result<(), impl Into<Invalid>>) -> crate::Result<()> {
        said.map_err(|why| {
            let why = why.into();
            Error::from(match field {
                Some(field) => why.at(field),
                None => why,
            })
        })
    }

    /// Writes what a function has made of a model.
    ///
    /// # Errors
    /// `Serialization` with what serde says.
    pub fn write_computed(value: impl serde::Serialize) -> crate::Result<serde_json::Value> {
        serde_json::to_value(value).map_err(|error| misfit(error.to_string()))
    }

    /// Writes a model as the type that stands for it in a dialect.
    ///
    /// # Errors
    /// `Serialization` with what the conversion or serde says.
    pub fn via_write_row<M, Dto>(row: &dyn Row) -> crate::Result<serde_json::Value>
    where
        M: Model,
        for<'a> Dto: ViaOf<'a, M> + serde::Serialize,
    {
        with_model::<M, _>(row, |model| via_write::<M, Dto>(model).map_err(misfit))
    }

    /// `Dto: TryFrom<&'a M>`, with an error that can be told: `for<'a>` can't say so of an associated type.
    pub trait ViaOf<'a, M: 'a>: TryFrom<&'a M, Error: std::fmt::Display> {}

    impl<'a, M: 'a, Dto: TryFrom<&'a M, Error: std::fmt::Display>> ViaOf<'a, M> for Dto {}

    /// Reads a model from the type that stands for it in a dialect, and writes that type again.
    ///
    /// # Errors
    /// `Serialization` with what serde or the conversion says.
    pub fn via_read_row<M, Dto>(json: &serde_json::Value) -> crate::Result<(Record, serde_json::Value)>
    where
        M: Model + TryFrom<Dto, Error: std::fmt::Display>,
        Dto: serde::de::DeserializeOwned + serde::Serialize,
    {
        let dto: Dto = serde::Deserialize::deserialize(json)
            .map_err(|error: serde_json::Error| misfit(error.to_string()))?;
        let known = serde_json::to_value(&dto).map_err(|error| misfit(error.to_string()))?;
        let model = M::try_from(dto).map_err(|error| misfit(error.to_string()))?;
        Ok((Record::copy(M::schema(), &model)?, known))
    }

    fn misfit(told: String) -> Error {
        Error::new(ErrorKind::Serialization, told)
    }

    /// What a default is shown as: a constant shows itself without a fault.
    #[must_use]
    pub fn constant(shown: ValueRef<'_>) -> Value {
        shown.to_value().unwrap_or(Value::Null)
    }
}
