//! Associations that are loaded with the query.

use std::path::Path;
use std::sync::Arc;

use larder::{Repository, Select, Uuid};
use larder_redb::Redb;
use tokio::runtime::Runtime;

use super::{Customer, Order, Shop};
use crate::Result;

/// An open repository, and the runtime that it lives on.
#[derive(Debug)]
pub struct Larder {
    repo: Repository,
    /// After the repository: it is dropped last.
    runtime: Arc<Runtime>,
}

impl Larder {
    /// Opens the file at `path`; rows are kept in memory as they are unless told otherwise, or not at all.
    ///
    /// # Errors
    /// Whatever opening reports.
    pub fn open(path: &Path, runtime: &Arc<Runtime>, kept: bool) -> Result<Self> {
        let builder = Repository::builder().store(Redb::at(path)).model::<Customer>().model::<Order>();
        let repo = runtime.block_on(if kept { builder } else { builder.cache_size(0) }.build())?;
        Ok(Self { repo, runtime: Arc::clone(runtime) })
    }

    /// Stores customers and orders.
    ///
    /// # Errors
    /// Whatever the repository reports.
    pub fn fill(&self, customers: &[Customer], orders: &[Order]) -> Result<()> {
        self.runtime.block_on(self.repo.upsert_many(customers))?;
        self.runtime.block_on(self.repo.upsert_many(orders))?;
        Ok(())
    }
}

impl Shop for Larder {
    fn sales(&self, from: Uuid, limit: u64, show: &mut dyn FnMut(&Order, &Customer)) -> Result<()> {
        let select = Select::from(Order::ID.ge(from)).order_by(Order::ID.asc()).limit(limit);
        let orders = self.runtime.block_on(self.repo.get(select.with(Order::CUSTOMER)))?;
        for order in &orders {
            show(order, order.customer.get().ok_or("a customer is missing")?);
        }
        Ok(())
    }

    fn accounts(&self, from: Uuid, limit: u64, show: &mut dyn FnMut(&Customer, &Order)) -> Result<()> {
        let select = Select::from(Customer::ID.ge(from)).order_by(Customer::ID.asc()).limit(limit);
        let customers = self.runtime.block_on(self.repo.get(select.with(Customer::ORDERS)))?;
        for customer in &customers {
            customer.orders.iter().for_each(|order| show(customer, order));
        }
        Ok(())
    }
}
