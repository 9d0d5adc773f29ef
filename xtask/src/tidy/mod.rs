//! `cargo xtask tidy`: what the compiler does not check, with nothing but the toolchain.
//!
//! A rule is a function from the workspace to [`Finding`](finding::Finding)s; all of them run, and all findings are
//! reported at once with their place and what to do. The same check is a `#[test]`.
//!
//! | module | asks |
//! |---|---|
//! | [`arrows`] | does each crate use only what it may know? |
//! | [`graph`] | which foreign crates does a crate pull in? |
//! | [`licences`] | may all of them be used? |
//! | [`layout`] | has each provider the same files? |
//! | [`manifests`] | does each manifest take lints, edition and versions from the workspace? |
//! | [`sources`] | words, lengths, headings of files |
//! | [`seclusion`] | does core no I/O, and is the oracle its own? |
//! | [`pages`] | do README, CHANGELOG and the list of dependencies tell the truth? |

mod arrows;
mod check;
mod finding;
mod graph;
mod layout;
mod licences;
mod manifests;
mod pages;
mod rust;
mod seclusion;
mod sources;

pub(crate) use check::{check, run};
