//! A provider from outside: rows in one JSON file, in a dialect of their own.
//!
//! It uses nothing but `larder::core`, the face for those who write providers.
//!
//! - `config`: what a constructor configures; opening is the repository's, with its runtime.
//! - `codec`: the dialect `plain`, rows to JSON and back.
//! - `provider`: the verbs.

mod codec;
mod config;
mod provider;

pub(crate) use codec::Plain;
pub(crate) use config::PlainFile;
