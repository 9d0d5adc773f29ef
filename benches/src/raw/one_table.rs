//! Everything in one table, as Larder has it: the same keys, without the record of the counters.

use std::sync::Arc;

use larder_core::{Key, ValueRef, ordered};
use larder_redb::backend::Counts;
use redb::{Database, ReadableTable as _, Table, TableDefinition};

use super::{Before, Codec, open};
use crate::Result;
use crate::medium::Medium;
use crate::model::{PAGE, User};

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("all");
const ROWS: [u8; 3] = [0x20, 0, 0];
const BY_EMAIL: [u8; 3] = [0x30, 0, 0];
const BY_CITY: [u8; 3] = [0x30, 0, 1];
const BY_SEEN: [u8; 3] = [0x30, 0, 2];
const OUTBOX: u8 = 0x50;

/// An open database.
#[derive(Debug)]
pub struct OneTable {
    database: Database,
    codec: Codec,
    seq: u64,
    /// What went to the file.
    pub counts: Arc<Counts>,
}

impl OneTable {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of redb.
    pub fn open(medium: &Medium) -> Result<Self> {
        let counts = Arc::<Counts>::default();
        let database = open(medium, Arc::clone(&counts))?;
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
        let mut table = transaction.open_table(TABLE)?;
        for user in users {
            put(&mut table, &self.codec, user, &self.codec.record(user, 0)?)?;
        }
        drop(table);
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
            let mut table = transaction.open_table(TABLE)?;
            let before = put(&mut table, &self.codec, user, &self.codec.record(user, self.seq)?)?;
            let entry = self.codec.entry(self.seq, user, before)?;
            let key = [&[OUTBOX], self.seq.to_be_bytes().as_slice()].concat();
            table.insert(key.as_slice(), entry.as_slice())?;
            drop(table);
            transaction.commit()?;
        }
        Ok(())
    }
}

type Bytes = &'static [u8];

/// Writes a record and keeps the indexes in step; gives what was there before.
fn put(
    table: &mut Table<'_, Bytes, Bytes>,
    codec: &Codec,
    user: &User,
    record: &[u8],
) -> Result<Option<Before>> {
    let mut key = ROWS.to_vec();
    ordered::encode_key(&Key::Uuid(user.id), &mut key);
    let before = table.insert(key.as_slice(), record)?;
    let before = before.map(|before| codec.before(before.value())).transpose()?;
    for (index, field) in INDEXES {
        let new = entry(index, field(user), user)?;
        if let Some(before) = &before {
            let old = entry(index, field(&before.user), user)?;
            if old == new {
                continue;
            }
            table.remove(old.0.as_slice())?;
        }
        table.insert(new.0.as_slice(), new.1.to_le_bytes().as_slice())?;
        if index == BY_EMAIL {
            let prefix = &new.0[..new.1 as usize];
            let end = ordered::after_prefix(prefix).unwrap_or_default();
            if table.range::<&[u8]>(prefix..end.as_slice())?.count() != 1 {
                return Err("somebody else has this address".into());
            }
        }
    }
    Ok(before)
}

/// An index: where its entries begin, and what it is over.
type Index = ([u8; 3], fn(&User) -> ValueRef<'_>);

const INDEXES: [Index; 3] = [
    (BY_EMAIL, |user| ValueRef::Str(&user.email)),
    (BY_CITY, |user| ValueRef::Str(&user.city)),
    (BY_SEEN, |user| ValueRef::Time(user.seen)),
];

/// An index entry, and where in it the row's key begins.
fn entry(index: [u8; 3], value: ValueRef<'_>, user: &User) -> Result<(Vec<u8>, u32)> {
    let mut bytes = index.to_vec();
    ordered::encode(value, &mut bytes).map_err(|fault| format!("{fault:?}"))?;
    let at = bytes.len() as u32;
    ordered::encode_key(&Key::Uuid(user.id), &mut bytes);
    Ok((bytes, at))
}
