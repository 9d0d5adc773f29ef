//! redb by hand: what an application without Larder would write, with the same bytes.
//!
//! - [`Tables`] is the layout that one would choose: a table for the rows, one for each index, one for the outbox.
//! - [`OneTable`] is Larder's: everything in one table, told apart by the first byte of the key. A commit then touches
//!   fewer pages.

mod codec;
mod one_table;
mod tables;

pub use codec::{Before, Codec};
pub use one_table::OneTable;
pub use tables::Tables;

use std::sync::Arc;

use larder_redb::Redb;
use larder_redb::backend::Counts;
use redb::Database;

use crate::Result;
use crate::medium::Medium;

/// Opens a file with the cache that Larder has.
fn open(medium: &Medium, counts: Arc<Counts>) -> Result<Database> {
    Ok(Database::builder().set_cache_size(Redb::CACHE_SIZE).create_with_backend(medium.open(counts)?)?)
}
