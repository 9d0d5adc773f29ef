//! The tracker's server and its judge, tested like a library. As tests of the example itself they would keep cargo from
//! building the program, which `tests/tracker.rs` runs.
#![allow(clippy::disallowed_methods, reason = "an application: the clock and the tasks are tokio's")]
#![allow(dead_code, unused_imports, reason = "the story uses the rest")]

#[path = "../tracker/server/mod.rs"]
mod server;
