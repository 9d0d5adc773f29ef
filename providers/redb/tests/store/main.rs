//! The store's own tests: what no suite of the harness knows of, because it is this store's business alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod commits;
mod crud;
mod damage;
mod evolution;
mod migration;
mod outbox;
mod paging;
mod queries;
mod support;
