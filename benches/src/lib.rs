//! Workloads of Larder with raw redb beside them.
//!
//! Each [`Workload`] has several [`Side`]s that do the same work on the same rows: Larder through its repository, redb
//! by hand, and for some a third. [`paired`] runs them in turn, a slice each, round by round, in an order that changes
//! with every round, and takes the median of the rounds' ratios: whatever else the machine does then hits all sides
//! alike. [`report`] leaves the results where `cargo xtask bench` finds them. `benches/workloads.rs` runs it all, and
//! criterion beside it; the tests run each workload with a few rows.

pub mod medium;
pub mod model;
pub mod pages;
pub mod paired;
pub mod raw;
pub mod remote;
pub mod report;
pub mod subject;
pub mod workload;

pub use workload::{Setup, Side, Workload};

/// Whatever fails ends the run.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
