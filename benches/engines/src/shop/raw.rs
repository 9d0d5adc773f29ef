//! redb by hand: an index of the orders by customer.

use std::path::Path;

use larder::Uuid;
use larder_redb::Redb;
use redb::{Database, ReadableDatabase, TableDefinition};

use super::{Customer, Order, Shop};
use crate::Result;
use crate::raw::Codec;

const CUSTOMERS: TableDefinition<'static, u128, &[u8]> = TableDefinition::new("customers");
const ORDERS: TableDefinition<'static, u128, &[u8]> = TableDefinition::new("orders");
const BY_CUSTOMER: TableDefinition<'static, (u128, u128), ()> = TableDefinition::new("orders by customer");

/// An open database.
#[derive(Debug)]
pub struct Raw {
    database: Database,
    customers: Codec<Customer>,
    orders: Codec<Order>,
}

impl Raw {
    /// Opens the file at `path`, with the cache that Larder has.
    ///
    /// # Errors
    /// Those of redb.
    pub fn open(path: &Path) -> Result<Self> {
        let database = Database::builder().set_cache_size(Redb::CACHE_SIZE).create(path)?;
        Ok(Self { database, customers: Codec::new()?, orders: Codec::new()? })
    }

    /// Stores customers and orders.
    ///
    /// # Errors
    /// Those of redb.
    pub fn fill(&self, customers: &[Customer], orders: &[Order]) -> Result<()> {
        let transaction = self.database.begin_write()?;
        let mut table = transaction.open_table(CUSTOMERS)?;
        let mut record = Vec::new();
        for customer in customers {
            record.clear();
            self.customers.record(&mut record, customer)?;
            table.insert(customer.id.as_u128(), record.as_slice())?;
        }
        let mut orders_table = transaction.open_table(ORDERS)?;
        let mut index = transaction.open_table(BY_CUSTOMER)?;
        for order in orders {
            record.clear();
            self.orders.record(&mut record, order)?;
            orders_table.insert(order.id.as_u128(), record.as_slice())?;
            index.insert((order.customer.id().as_u128(), order.id.as_u128()), ())?;
        }
        drop((table, orders_table, index));
        transaction.commit()?;
        Ok(())
    }
}

impl Shop for Raw {
    fn sales(&self, from: Uuid, limit: u64, show: &mut dyn FnMut(&Order, &Customer)) -> Result<()> {
        let transaction = self.database.begin_read()?;
        let (orders, customers) = (transaction.open_table(ORDERS)?, transaction.open_table(CUSTOMERS)?);
        let mut found = Vec::with_capacity(limit as usize);
        for pair in orders.range(from.as_u128()..)?.take(limit as usize) {
            let order = self.orders.row(pair?.1.value())?;
            let customer = customers.get(order.customer.id().as_u128())?.ok_or("a customer is missing")?;
            found.push((order, self.customers.row(customer.value())?));
        }
        found.iter().for_each(|(order, customer)| show(order, customer));
        Ok(())
    }

    fn accounts(&self, from: Uuid, limit: u64, show: &mut dyn FnMut(&Customer, &Order)) -> Result<()> {
        let transaction = self.database.begin_read()?;
        let (orders, customers) = (transaction.open_table(ORDERS)?, transaction.open_table(CUSTOMERS)?);
        let by_customer = transaction.open_table(BY_CUSTOMER)?;
        let mut found = Vec::with_capacity(limit as usize);
        for pair in customers.range(from.as_u128()..)?.take(limit as usize) {
            let (key, customer) = pair?;
            let (id, mut own) = (key.value(), Vec::new());
            for entry in by_customer.range((id, 0)..=(id, u128::MAX))? {
                let order = orders.get(entry?.0.value().1)?.ok_or("an index leads nowhere")?;
                own.push(self.orders.row(order.value())?);
            }
            found.push((self.customers.row(customer.value())?, own));
        }
        for (customer, orders) in &found {
            orders.iter().for_each(|order| show(customer, order));
        }
        Ok(())
    }
}
