//! An embedded store on redb: durable, checksummed, with indexes and group commit.
//!
//! [`Redb`] configures; opening is done by the repository's `build`, or by [`OpenStore::open`](larder_core::OpenStore).
//!
//! How it is made:
//!
//! - One redb table holds everything; the first byte of a key is its space (see `codec`). One B-tree means that a
//!   commit touches few pages and that one cached table serves every read of a generation.
//! - All durable writes go through `writer`: whoever comes first starts it on [`Runtime::blocking`], it commits what
//!   waits in groups of up to 256 batches, and ends when nothing waits.
//! - What older versions of a model have stored is migrated when it is read, and rewritten by `migrate`; rows that get
//!   other keys are moved when the store is opened (`rekey`).
//! - Reads share one published generation (`reads`), which is replaced after each commit. What needs no long scan is
//!   answered on the calling thread.
//! - Models, shapes and indexes are registered when the store is opened (`notes`, `upkeep`), and do not change until it
//!   is closed (`catalog`): reads take no lock.
//! - A panic of redb over a damaged page becomes `Corrupt` for the caller (`error`). What a damaged file holds is read
//!   without redb (`pages`); what verifies goes into a new file (`salvage`), which takes its place (`quarantine`, by way of
//!   `files`) and says so until that is acknowledged (`reports`).
//! - What redb can't survive is kept from it: branches that are none (`guard`), and a last commit over a list of free pages
//!   that is damaged (`held`).
//! - A store that can't be written to is opened over a shadow, so that reads go on (`shadow`).
//! - A check goes through everything that is committed (`check`); the writer mends and compacts (`mend`).
//!
//! [`Runtime::blocking`]: larder_core::Runtime::blocking

mod again;
pub mod backend;
mod batch;
mod catalog;
mod check;
mod codec;
mod commit;
mod config;
mod count;
mod counters;
mod entries;
mod error;
mod explain;
mod files;
mod gather;
mod guard;
mod held;
mod keys;
mod limits;
mod lookups;
mod mend;
mod migrate;
mod nodes;
mod notes;
mod outbox;
mod overlay;
mod pages;
mod paths;
mod pieces;
mod plan;
mod provider;
mod quarantine;
mod rank;
mod reads;
mod rekey;
mod reports;
mod salvage;
mod scan;
mod seek;
mod shadow;
mod store;
mod untouched;
mod upkeep;
mod writer;

pub use config::{OnCorrupt, Redb};
pub use files::Files;
pub use redb::StorageBackend;
