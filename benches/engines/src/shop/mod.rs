//! Customers and their orders, in all three engines: rows that belong to others.

mod larder;
mod model;
mod raw;
mod sqlite;

pub use larder::Larder;
pub use model::{CUSTOMERS, Customer, Order, customer_id, order_id};
pub use raw::Raw;
pub use sqlite::Sqlite;

use ::larder::Uuid;

use crate::Result;

/// What is asked of each engine.
pub trait Shop {
    /// Shows so many orders from a key on, each with its customer.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn sales(&self, from: Uuid, limit: u64, show: &mut dyn FnMut(&Order, &Customer)) -> Result<()>;

    /// Shows so many customers from a key on, each with its orders, one after the other.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn accounts(&self, from: Uuid, limit: u64, show: &mut dyn FnMut(&Customer, &Order)) -> Result<()>;
}
