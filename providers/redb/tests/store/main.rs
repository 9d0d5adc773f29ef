//! The store's own tests: what no suite of the harness knows of, because it is this store's business alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod again;
mod agreeing;
mod at_once;
mod bulk;
mod closing;
mod commits;
mod compaction;
mod copies;
mod counters;
mod crud;
mod damage;
mod disk;
mod doubts;
mod evolution;
mod failing;
mod findings;
mod golden;
mod hooked;
mod in_place;
mod lending;
mod mending;
mod migrating;
mod migration;
mod opening;
mod outbox;
mod paging;
mod pieces;
mod plans;
mod queries;
mod rekey;
mod salvage;
mod support;
mod taken;
mod unread;
