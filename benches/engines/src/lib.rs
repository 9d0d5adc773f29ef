//! Workloads of Larder with raw redb and SQLite beside them.
//!
//! The same rows lie in three files: Larder's, redb's as one would write it by hand, and SQLite's. Each workload asks
//! all three the same thing, in turn, in one process, and checks first that they answer alike: the same rows, as the
//! same struct, in the same order. What is compared are the ratios within each round, see
//! [`larder_benches::paired`].
//!
//! - *Larder* is a repository without a remote and without a memory cache, so that what is measured is reading from
//!   the file.
//! - *redb* has a table for the rows and one for each index, opened anew with each read transaction; its records are
//!   the very bytes that Larder stores, checksum included.
//! - *SQLite* is in WAL mode with full synchronisation, its statements are prepared once, its indexes cover what a
//!   query orders by.
//!
//! Each has as much memory for its pages as Larder takes unless told otherwise. A package of its own, because SQLite is compiled from C.

pub mod engine;
pub mod larder;
pub mod model;
pub mod raw;
pub mod report;
pub mod shop;
pub mod sqlite;
pub mod stock;
pub mod workload;

pub use engine::Engine;
pub use larder_benches::Result;
