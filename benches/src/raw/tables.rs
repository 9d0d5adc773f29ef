//! A table for each thing.

use std::sync::Arc;

use larder::Uuid;
use larder_redb::backend::Counts;
use redb::{Database, ReadableDatabase, ReadableTable as _, Table, TableDefinition, WriteTransaction};

use super::{Before, Codec, open};
use crate::Result;
use crate::medium::Medium;
use crate::model::{PAGE, User};
use crate::remote::Client;

const USERS: TableDefinition<'static, u128, &[u8]> = TableDefinition::new("users");
const BY_EMAIL: TableDefinition<'static, &str, u128> = TableDefinition::new("users by email");
const BY_CITY: TableDefinition<'static, (&str, u128), ()> = TableDefinition::new("users by city");
const BY_SEEN: TableDefinition<'static, (i64, u128), ()> = TableDefinition::new("users by seen");
const OUTBOX: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("outbox");

/// An open database.
#[derive(Debug)]
pub struct Tables {
    database: Database,
    codec: Codec,
    seq: u64,
    /// What went to the file.
    pub counts: Arc<Counts>,
}

impl Tables {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of redb.
    pub fn open(medium: &Medium) -> Result<Self> {
        let counts = Arc::<Counts>::default();
        let database = open(medium, Arc::clone(&counts))?;
        let transaction = database.begin_write()?;
        drop(transaction.open_table(OUTBOX)?);
        drop(Rows::open(&transaction)?);
        transaction.commit()?;
        Ok(Self { database, codec: Codec::new()?, seq: 0, counts })
    }

    /// Opens a file and stores `users` in it, a page at a time.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub fn filled(medium: &Medium, users: &[User]) -> Result<Self> {
        let database = Self::open(medium)?;
        users.chunks(PAGE).try_for_each(|users| database.fill(users))?;
        Ok(database)
    }

    /// Stores `users` in one transaction, without entries in the outbox.
    ///
    /// # Errors
    /// Those of redb; a unique constraint that is broken.
    pub fn fill(&self, users: &[User]) -> Result<()> {
        let transaction = self.database.begin_write()?;
        let mut rows = Rows::open(&transaction)?;
        for user in users {
            rows.put(&self.codec, user, &self.codec.record(user, 0)?)?;
        }
        drop(rows);
        transaction.commit()?;
        Ok(())
    }

    /// Stores each of `users` with its index entries and an outbox entry, in a transaction of its own.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub fn write(&mut self, users: &[User]) -> Result<()> {
        for user in users {
            self.seq += 1;
            let transaction = self.database.begin_write()?;
            let before =
                Rows::open(&transaction)?.put(&self.codec, user, &self.codec.record(user, self.seq)?)?;
            let entry = self.codec.entry(self.seq, user, before)?;
            transaction.open_table(OUTBOX)?.insert(self.seq, entry.as_slice())?;
            transaction.commit()?;
        }
        Ok(())
    }

    /// Stores `users` with an outbox entry each, in one transaction.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub fn queue(&mut self, users: &[User]) -> Result<()> {
        let transaction = self.database.begin_write()?;
        let (mut rows, mut outbox) = (Rows::open(&transaction)?, transaction.open_table(OUTBOX)?);
        for user in users {
            self.seq += 1;
            let before = rows.put(&self.codec, user, &self.codec.record(user, self.seq)?)?;
            outbox.insert(self.seq, self.codec.entry(self.seq, user, before)?.as_slice())?;
        }
        drop((rows, outbox));
        transaction.commit()?;
        Ok(())
    }

    /// Posts what is queued in its order. After each answer the entry is removed and its row is noted as synced, in a
    /// transaction of its own.
    ///
    /// # Errors
    /// Those of redb, of the decoding and of the network.
    pub async fn drain(&self, client: &Client) -> Result<()> {
        while let Some((seq, user)) = self.first()? {
            let record = self.codec.record(&user, 0)?;
            client.post(&seq.to_string(), &record).await?;
            let transaction = self.database.begin_write()?;
            transaction.open_table(USERS)?.insert(user.id.as_u128(), record.as_slice())?;
            transaction.open_table(OUTBOX)?.remove(seq)?;
            transaction.commit()?;
        }
        Ok(())
    }

    /// The entry that was queued first, and what it wants.
    fn first(&self) -> Result<Option<(u64, User)>> {
        let outbox = self.database.begin_read()?.open_table(OUTBOX)?;
        let Some((seq, entry)) = outbox.first()? else { return Ok(None) };
        Ok(Some((seq.value(), self.codec.wanted(entry.value())?)))
    }

    /// The user with this key.
    ///
    /// # Errors
    /// Those of redb and of the decoding.
    pub fn find(&self, id: Uuid) -> Result<Option<User>> {
        let users = self.database.begin_read()?.open_table(USERS)?;
        let record = users.get(id.as_u128())?;
        record.map(|record| self.codec.user(record.value())).transpose()
    }

    /// The users of a city.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn in_city(&self, city: &str) -> Result<Vec<User>> {
        let transaction = self.database.begin_read()?;
        let (users, by_city) = (transaction.open_table(USERS)?, transaction.open_table(BY_CITY)?);
        let mut found = Vec::new();
        for pair in by_city.range((city, 0)..=(city, u128::MAX))? {
            let (_, id) = pair?.0.value();
            if let Some(record) = users.get(id)? {
                found.push(self.codec.user(record.value())?);
            }
        }
        Ok(found)
    }

    /// The users that `filter` lets through: each row is decoded and looked at.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn scan(&self, filter: impl Fn(&User) -> bool) -> Result<Vec<User>> {
        let users = self.database.begin_read()?.open_table(USERS)?;
        let mut found = Vec::new();
        for pair in users.range::<u128>(..)? {
            let user = self.codec.user(pair?.1.value())?;
            if filter(&user) {
                found.push(user);
            }
        }
        Ok(found)
    }
}

/// The rows and their indexes within a transaction.
struct Rows<'t> {
    users: Table<'t, u128, &'static [u8]>,
    by_email: Table<'t, &'static str, u128>,
    by_city: Table<'t, (&'static str, u128), ()>,
    by_seen: Table<'t, (i64, u128), ()>,
}

impl<'t> Rows<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self> {
        Ok(Self {
            users: transaction.open_table(USERS)?,
            by_email: transaction.open_table(BY_EMAIL)?,
            by_city: transaction.open_table(BY_CITY)?,
            by_seen: transaction.open_table(BY_SEEN)?,
        })
    }

    /// Writes a record and keeps the indexes in step; gives what was there before.
    fn put(&mut self, codec: &Codec, user: &User, record: &[u8]) -> Result<Option<Before>> {
        let id = user.id.as_u128();
        let before = self.users.insert(id, record)?;
        let before = before.map(|before| codec.before(before.value())).transpose()?;
        if let Some(old) = before.as_ref().map(|before| &before.user) {
            if old.email != user.email {
                self.by_email.remove(old.email.as_str())?;
            }
            if old.city != user.city {
                self.by_city.remove((old.city.as_str(), id))?;
            }
            if old.seen != user.seen {
                self.by_seen.remove((old.seen.as_microsecond(), id))?;
            }
        }
        let is_new =
            |changed: fn(&User, &User) -> bool| before.as_ref().is_none_or(|old| changed(&old.user, user));
        if is_new(|old, new| old.email != new.email)
            && self.by_email.insert(user.email.as_str(), id)?.is_some_and(|other| other.value() != id)
        {
            return Err("somebody else has this address".into());
        }
        if is_new(|old, new| old.city != new.city) {
            self.by_city.insert((user.city.as_str(), id), ())?;
        }
        if is_new(|old, new| old.seen != new.seen) {
            self.by_seen.insert((user.seen.as_microsecond(), id), ())?;
        }
        Ok(before)
    }
}
