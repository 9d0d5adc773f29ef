//! Whole worlds: scripts, seeds, kills, and traces that repeat themselves.

#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod errands;
mod lists;
#[path = "../support/notes.rs"]
mod notes;
mod scripts;
mod seeds;
mod troubles;
