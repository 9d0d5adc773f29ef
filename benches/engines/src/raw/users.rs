//! Users in redb.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use larder_benches::medium::{Medium, Written};
use larder_redb::Redb;
use larder_redb::backend::Counts;
use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition};

use super::Codec;
use super::index::{BY_CITY, BY_SCORE, Index, rank};
use crate::Result;
use crate::engine::Engine;
use crate::model::User;

const USERS: TableDefinition<'static, u128, &[u8]> = TableDefinition::new("users");

/// An open database.
#[derive(Debug)]
pub struct Raw {
    database: Database,
    codec: Codec<User>,
    counts: Arc<Counts>,
}

impl Raw {
    /// Opens the file at `path`, with the cache that Larder has.
    ///
    /// # Errors
    /// Those of redb.
    pub fn open(path: &Path) -> Result<Self> {
        let counts = Arc::<Counts>::default();
        let backend = Medium::plain(path.to_owned()).open(Arc::clone(&counts))?;
        let database = Database::builder().set_cache_size(Redb::CACHE_SIZE).create_with_backend(backend)?;
        Ok(Self { database, codec: Codec::new()?, counts })
    }

    /// Stores `users` in one transaction, with the first `indexes` indexes.
    ///
    /// # Errors
    /// Those of redb; a key that is there already.
    pub fn fill(&self, users: &[User], indexes: usize) -> Result<()> {
        let transaction = self.database.begin_write()?;
        let mut table = transaction.open_table(USERS)?;
        let mut indexes = Index::open(&transaction, indexes)?;
        let mut record = Vec::new();
        for user in users {
            record.clear();
            self.codec.record(&mut record, user)?;
            if table.insert(user.id.as_u128(), record.as_slice())?.is_some() {
                return Err("there is a user with this key".into());
            }
            indexes.iter_mut().try_for_each(|index| index.add(user))?;
        }
        drop((table, indexes));
        transaction.commit()?;
        Ok(())
    }

    /// What went to the file so far.
    #[must_use]
    pub fn written(&self) -> Written {
        Written::of(&self.counts)
    }

    fn user(&self, users: &ReadOnlyTable<u128, &[u8]>, id: u128) -> Result<User> {
        let record = users.get(id)?.ok_or("an index leads nowhere")?;
        self.codec.row(record.value())
    }
}

impl Engine for Raw {
    type Row = User;

    fn in_city(&self, city: &str) -> Result<Vec<User>> {
        let transaction = self.database.begin_read()?;
        let (users, by_city) = (transaction.open_table(USERS)?, transaction.open_table(BY_CITY)?);
        let entries = by_city.range((city, 0)..=(city, u128::MAX))?;
        entries.map(|entry| self.user(&users, entry?.0.value().1)).collect()
    }

    fn by_score(&self, low: f64, high: f64, limit: u64) -> Result<Vec<User>> {
        let transaction = self.database.begin_read()?;
        let (users, by_score) = (transaction.open_table(USERS)?, transaction.open_table(BY_SCORE)?);
        let entries = by_score.range((rank(low), 0)..=(rank(high), u128::MAX))?;
        entries.take(limit as usize).map(|entry| self.user(&users, entry?.0.value().1)).collect()
    }

    fn by_score_down(&self, low: f64, high: f64, limit: u64) -> Result<Vec<User>> {
        let transaction = self.database.begin_read()?;
        let (users, by_score) = (transaction.open_table(USERS)?, transaction.open_table(BY_SCORE)?);
        let entries = by_score.range((rank(low), 0)..=(rank(high), u128::MAX))?;
        // Those with one score would have to be turned round; no two users of the bench have one.
        entries.rev().take(limit as usize).map(|entry| self.user(&users, entry?.0.value().1)).collect()
    }

    fn younger(&self, age: u32) -> Result<Vec<User>> {
        let users = self.database.begin_read()?.open_table(USERS)?;
        let mut found = Vec::new();
        for pair in users.range::<u128>(..)? {
            let user = self.codec.row(pair?.1.value())?;
            if user.age < age {
                found.push(user);
            }
        }
        Ok(found)
    }

    fn walk(&self, size: u64, page: &mut dyn FnMut(&[User])) -> Result<()> {
        let mut after = Bound::Unbounded;
        loop {
            let transaction = self.database.begin_read()?;
            let (users, by_score) = (transaction.open_table(USERS)?, transaction.open_table(BY_SCORE)?);
            let entries = by_score.range::<(u64, u128)>((after, Bound::Unbounded))?;
            let mut found = Vec::with_capacity(size as usize);
            for entry in entries.take(size as usize) {
                let at = entry?.0.value();
                found.push(self.user(&users, at.1)?);
                after = Bound::Excluded(at);
            }
            page(&found);
            if (found.len() as u64) < size {
                return Ok(());
            }
        }
    }
}
