//! Campaigns: very many worlds, and what they must show. Here each is run at a hundredth of its length;
//! `cargo xtask sim` runs them at full length and writes what they showed into the book.

#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod errands;
mod lists;
#[path = "../support/notes.rs"]
mod notes;
mod outage;
mod poison;
#[path = "../support/record.rs"]
mod record;
mod single;
mod weather;
