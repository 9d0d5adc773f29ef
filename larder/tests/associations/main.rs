//! Related rows: found, loaded, watched, saved and deleted.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

#[path = "../support/mod.rs"]
mod support;

mod asking;
mod deleting;
mod hostile;
mod kept;
mod loading;
mod paging;
mod plans;
mod policies;
mod saving;
mod shop;
mod transactions;
mod watching;
