//! An offline-first data layer: read and write models locally, stay in step with a server, lose nothing.
//!
//! An application talks to one [`Repository`]. Reads come from a memory cache, then an embedded store, then the remote;
//! writes are durable locally together with an outbox entry, in one transaction, and reach the server when it can be
//! reached. Start with [`Repository::builder`] and [`derive@Model`].
//!
//! | feature | what it adds |
//! |---|---|
//! | `memory` (default) | [`Memory`], a store in memory |
//! | `redb` (default) | [`Redb`], an embedded store in a file |
//! | `rest` | [`Rest`](https://docs.rs/larder-rest), a remote over HTTP |
//! | `netwatch` | [`NetwatchConnectivity`](https://docs.rs/larder-netwatch): whether the device is connected, by its network interfaces (Rust 1.91) |
//! | `battery` | [`BatteryPower`](https://docs.rs/larder-battery): how full the battery is, on desktops |
//! | `chrono` | fields of the types `DateTime<Utc>`, `NaiveDate`, `NaiveTime` and `NaiveDateTime` of chrono |
//! | `time` | fields of the types `OffsetDateTime`, `UtcDateTime`, `Date`, `Time` and `PrimitiveDateTime` of time |
//! | `decimal` | fields of the type `rust_decimal::Decimal` |
//!
//! Who writes a provider starts at [`core`].

mod account;
mod cache;
mod changes;
mod contained;
mod coverage;
mod driver;
mod engine;
mod events;
mod fates;
mod given;
mod parcel;
mod passive;
mod repository;
mod runtime;
mod status;

pub use engine::PermanentFailure;
pub use events::{Happened, OutboxEvent, OutboxEvents, Part};
pub use passive::PassiveConnectivity;
pub use repository::{
    Answers, AutoSync, Budget, Builder, Cleared, Conflicted, Conflicts, Deleted, Exported, ExportedMutation,
    Http, HttpRequest, InState, Iterate, MigrationReport, Origin, Outbox, OutboxSettings, Progress, Pushed,
    Question, Questions, QueuedMutation, QueuedRequest, Raw, Remark, Repository, RequestContent,
    RequestSettings, Rows, SentRequest, Stored, Sync, SyncEvent, SyncEvents, SyncReport, Target, Transaction,
    UnreadableMutation, Watch, WatchConflicts, WouldLose,
};
pub use runtime::TokioRuntime;
pub use status::{RestingHost, Status, StatusWatch};

pub use larder_core::{
    AlwaysOnline, Assoc, Conflict, Connectivity, Convert, Cursor, Damage, Datum, Decimal, Error, ErrorKind,
    Failure, Field, Finding, FindingKind, Idempotency, Integrity, Invalid, Key, Keyed, Mains, Many, Model,
    MutationId, OldRow, One, Operation, ParkReason, Power, ReadPolicy, Resolution, Response, Result,
    RowState, Runtime, Select, StoreSize, Strategy, SyncState, Timestamp, Uuid, Value, Where, WritePolicy,
};
pub use larder_derive::{Datum, Model};

/// The contracts, for those who write providers, layers and dialects.
pub use larder_core as core;

#[doc(hidden)]
pub use larder_core::__private;

#[cfg(feature = "battery")]
pub use larder_battery::BatteryPower;
#[cfg(feature = "memory")]
pub use larder_memory::Memory;
#[cfg(feature = "netwatch")]
pub use larder_netwatch::NetwatchConnectivity;
#[cfg(feature = "redb")]
pub use larder_redb::{OnCorrupt, Redb};
/// The REST provider and its configuration.
#[cfg(feature = "rest")]
pub use larder_rest as rest;
#[cfg(feature = "rest")]
pub use larder_rest::Rest;

/// The example of the README, compiled and run.
#[cfg(all(doctest, feature = "rest", feature = "redb"))]
#[doc = include_str!("../../README.md")]
#[derive(Debug)]
pub struct Readme;

/// The examples of the guide, compiled and run, chapter by chapter.
#[cfg(all(doctest, feature = "rest", feature = "redb", feature = "netwatch", feature = "battery"))]
mod guide {
    macro_rules! chapters {
        ($($name:ident),* $(,)?) => {$(
            #[doc = include_str!(concat!("../../docs/src/guide/", stringify!($name), ".md"))]
            mod $name {}
        )*};
    }

    #[doc = include_str!("../../docs/src/guide/custom-provider.md")]
    mod custom_provider {}

    chapters! {
        start, models, evolution, queries, reading, writing, associations, associations_remote, outbox, requests, conflicts, sync, rest,
        errors, testing, damage, tracing,
    }
}
