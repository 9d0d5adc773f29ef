//! SQLite by hand: a join for what is one, and two queries for what are many.

use std::path::Path;

use larder::{Many, One, Timestamp, Uuid};
use rusqlite::{Connection, Row, params};

use super::{Customer, Order, Shop};
use crate::Result;
use crate::sqlite::open;

const TABLES: &str = "
    CREATE TABLE customer (
        id BLOB NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        city TEXT NOT NULL,
        since INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sale (
        id BLOB NOT NULL PRIMARY KEY,
        customer BLOB NOT NULL,
        item TEXT NOT NULL,
        count INTEGER NOT NULL,
        price REAL NOT NULL,
        remark TEXT,
        placed INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sale_customer ON sale (customer, id);";

/// An open database.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { connection: open(path)? })
    }

    /// Stores customers and orders.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn fill(&self, customers: &[Customer], orders: &[Order]) -> Result<()> {
        self.connection.execute_batch(TABLES)?;
        let transaction = self.connection.unchecked_transaction()?;
        let mut insert = transaction.prepare("INSERT INTO customer VALUES (?, ?, ?, ?)")?;
        for customer in customers {
            let Customer { id, name, city, since, .. } = customer;
            insert.execute(params![id.as_bytes(), name, city, since.as_microsecond()])?;
        }
        drop(insert);
        let mut insert = transaction.prepare("INSERT INTO sale VALUES (?, ?, ?, ?, ?, ?, ?)")?;
        for order in orders {
            let Order { id, customer, item, count, price, remark, placed } = order;
            let (id, customer, placed) = (id.as_bytes(), customer.id().as_bytes(), placed.as_microsecond());
            insert.execute(params![id, customer, item, count, price, remark, placed])?;
        }
        drop(insert);
        transaction.commit()?;
        Ok(())
    }
}

/// The order in the columns from the first on.
fn order(row: &Row<'_>) -> Result<Order> {
    Ok(Order {
        id: Uuid::from_slice(row.get_ref(0)?.as_blob()?)?,
        customer: One::to(Uuid::from_slice(row.get_ref(1)?.as_blob()?)?),
        item: row.get_ref(2)?.as_str()?.to_owned(),
        count: row.get(3)?,
        price: row.get(4)?,
        remark: row.get(5)?,
        placed: Timestamp::from_microsecond(row.get(6)?)?,
    })
}

/// The customer in the columns from `at` on.
fn customer(row: &Row<'_>, at: usize) -> Result<Customer> {
    Ok(Customer {
        id: Uuid::from_slice(row.get_ref(at)?.as_blob()?)?,
        name: row.get_ref(at + 1)?.as_str()?.to_owned(),
        city: row.get_ref(at + 2)?.as_str()?.to_owned(),
        since: Timestamp::from_microsecond(row.get(at + 3)?)?,
        orders: Many::new(),
    })
}

impl Shop for Sqlite {
    fn sales(&self, from: Uuid, limit: u64, show: &mut dyn FnMut(&Order, &Customer)) -> Result<()> {
        let sql = "SELECT s.id, s.customer, s.item, s.count, s.price, s.remark, s.placed,
                       c.id, c.name, c.city, c.since
                   FROM sale s CROSS JOIN customer c ON c.id = s.customer
                   WHERE s.id >= ? ORDER BY s.id LIMIT ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![from.as_bytes(), limit as i64])?;
        let mut found = Vec::with_capacity(limit as usize);
        while let Some(row) = rows.next()? {
            found.push((order(row)?, customer(row, 7)?));
        }
        found.iter().for_each(|(order, customer)| show(order, customer));
        Ok(())
    }

    fn accounts(&self, from: Uuid, limit: u64, show: &mut dyn FnMut(&Customer, &Order)) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        let sql = "SELECT id, name, city, since FROM customer WHERE id >= ? ORDER BY id LIMIT ?";
        let mut statement = transaction.prepare_cached(sql)?;
        let mut rows = statement.query(params![from.as_bytes(), limit as i64])?;
        let mut found = Vec::with_capacity(limit as usize);
        while let Some(row) = rows.next()? {
            found.push((customer(row, 0)?, Vec::new()));
        }
        let Some((last, _)) = found.last() else { return Ok(()) };
        let sql = "SELECT id, customer, item, count, price, remark, placed FROM sale
                   WHERE customer BETWEEN ? AND ? ORDER BY customer, id";
        let mut statement = transaction.prepare_cached(sql)?;
        let mut rows = statement.query(params![from.as_bytes(), last.id.as_bytes()])?;
        let mut at = 0;
        while let Some(row) = rows.next()? {
            let order = order(row)?;
            while found[at].0.id != *order.customer.id() {
                at += 1;
            }
            found[at].1.push(order);
        }
        for (customer, orders) in &found {
            orders.iter().for_each(|order| show(customer, order));
        }
        Ok(())
    }
}
