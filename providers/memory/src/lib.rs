//! A store in memory: the reference that every other provider is compared with.
//!
//! It is ordered, sequential and owns its rows: one lock over one state, one `BTreeMap` per model. What a query means
//! it leaves to the contracts ([`Query::finish`](larder_core::Query::finish)) entirely.
//!
//! - As a local side it keeps rows, outbox and cursors until it is dropped.
//! - As a remote it gives each row that [`apply`](larder_core::Provider::apply) writes a version, refuses a write that
//!   is based on another, and remembers the mutations that it has applied. It tells what has changed since a cursor
//!   ([`Delta`](larder_core::Delta)) and as it happens ([`Realtime`](larder_core::Realtime)), as far back as it is told to
//!   remember. It takes requests that are no models ([`Requests`](larder_core::Requests)) if it is told how to answer them.
//!
//! ```
//! use std::sync::Arc;
//! use larder_core::{FieldDef, KeyDef, Kind, Meta, Op, OpenStore, Opening, Record, Runtime, Schema, Tail, Value};
//! use larder_core::{Batch, Context, Query, Provider, Store};
//! use larder_harness::TestRuntime;
//! use larder_memory::Memory;
//!
//! static TAG: Schema = Schema::new("Tag", &[FieldDef::new("name", Kind::Str)], KeyDef::natural(&[0]));
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), larder_core::Error> {
//! let runtime = Arc::new(TestRuntime::new(7));
//! let opening = Opening { runtime: runtime.clone(), schemas: Arc::new([&TAG]) };
//! let store = OpenStore::open(Box::new(Memory::new()), &opening).await?;
//! let put = Op::Put {
//!     schema: &TAG,
//!     key: "bug".into(),
//!     row: Arc::new(Record::new([Some(Value::Str("bug".into()))])),
//!     meta: Meta::synced(runtime.now()),
//!     tail: Tail::At(0),
//! };
//! store.commit(&Context::new(), Batch { ops: vec![put], ..Batch::default() }).await?;
//! assert_eq!(store.get(&Context::new(), &TAG, &Query::all()).await?.rows.len(), 1);
//! # Ok(())
//! # }
//! ```

mod config;
mod feed;
mod forward;
mod provider;
mod state;

pub use config::Memory;
pub use provider::MemoryStore;
