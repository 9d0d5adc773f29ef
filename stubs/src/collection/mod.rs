//! Stateful collections: what is created can be read back, listed, updated and deleted.

mod changes;
mod config;
mod list;
mod rows;

pub use config::{Collection, Filters};
pub(crate) use rows::{Asked, Rows};
