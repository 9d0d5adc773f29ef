//! Users in SQLite.

use std::path::Path;

use rusqlite::{Connection, Params};

use super::row::{self, COLUMNS};
use super::schema;
use crate::Result;
use crate::engine::Engine;
use crate::model::User;

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
        Ok(Self { connection: schema::open(path)? })
    }

    /// Makes the table and the first `indexes` indexes.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn create(&self, indexes: usize) -> Result<()> {
        schema::create(&self.connection, indexes)
    }

    /// Stores `users` in one transaction.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn fill(&self, users: &[User]) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        let insert = format!("INSERT INTO user ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
        let mut statement = transaction.prepare_cached(&insert)?;
        users.iter().try_for_each(|user| row::write(&mut statement, user))?;
        drop(statement);
        transaction.commit()?;
        Ok(())
    }

    /// Asks for users.
    fn select(&self, sql: &str, params: impl Params) -> Result<Vec<User>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row::read(row)?);
        }
        Ok(found)
    }
}

/// The text of a statement that selects users.
macro_rules! users {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, email, city, age, active, nickname, street, zip, country, tags, score, created, seen \
             FROM user ",
            $rest
        )
    };
}

impl Engine for Sqlite {
    type Row = User;

    fn in_city(&self, city: &str) -> Result<Vec<User>> {
        self.select(users!("WHERE city = ? ORDER BY id"), [city])
    }

    fn by_score(&self, low: f64, high: f64, limit: u64) -> Result<Vec<User>> {
        self.select(
            users!("WHERE score BETWEEN ? AND ? ORDER BY score, id LIMIT ?"),
            (low, high, limit as i64),
        )
    }

    fn by_score_down(&self, low: f64, high: f64, limit: u64) -> Result<Vec<User>> {
        let sql = users!("WHERE score BETWEEN ? AND ? ORDER BY score DESC, id LIMIT ?");
        self.select(sql, (low, high, limit as i64))
    }

    fn younger(&self, age: u32) -> Result<Vec<User>> {
        self.select(users!("WHERE age < ? ORDER BY id"), [age])
    }

    fn walk(&self, size: u64, page: &mut dyn FnMut(&[User])) -> Result<()> {
        let limit = size as i64;
        let mut found = self.select(users!("ORDER BY score, id LIMIT ?"), [limit])?;
        loop {
            page(&found);
            let Some(last) = found.last().filter(|_| found.len() as u64 == size) else {
                return Ok(());
            };
            let sql = users!("WHERE (score, id) > (?, ?) ORDER BY score, id LIMIT ?");
            found = self.select(sql, (last.score, last.id.as_bytes(), limit))?;
        }
    }
}
