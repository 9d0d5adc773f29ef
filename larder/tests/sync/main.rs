//! Sync: pulls that go on where they were broken off, deltas, what is said of them, and what sets them off.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

#[path = "../support/mod.rs"]
mod support;

mod anew;
mod auto;
mod delta;
mod ends;
mod here_alone;
mod interrupted;
mod limits;
mod live;
mod moving;
mod peer_bugs;
mod races;
mod resuming;
mod server;
mod strays;
