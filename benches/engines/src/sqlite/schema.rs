//! How a file is opened, and its tables.

use std::path::Path;

use rusqlite::Connection;

use crate::Result;

/// As many bytes for pages as Larder has, in KiB.
const CACHE: i64 = (larder_redb::Redb::CACHE_SIZE >> 10) as i64;

/// The table of users. The address is part of the row; tags are separated by a character that none contains.
const USERS: &str = "CREATE TABLE IF NOT EXISTS user (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    city TEXT NOT NULL,
    age INTEGER NOT NULL,
    active INTEGER NOT NULL,
    nickname TEXT,
    street TEXT NOT NULL,
    zip INTEGER NOT NULL,
    country TEXT NOT NULL,
    tags TEXT NOT NULL,
    score REAL NOT NULL,
    created INTEGER NOT NULL,
    seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID";

/// The columns with an index, in the order in which the models name them. Each index ends with the primary key, so it
/// gives the order of the queries as well.
const INDEXED: [&str; 8] = ["city", "score", "email", "name", "age", "created", "seen", "nickname"];

/// Opens the file at `path`, in WAL mode and with full synchronisation.
///
/// # Errors
/// Those of SQLite.
pub fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    Ok(connection)
}

/// Makes the table of users and the first `indexes` indexes.
pub(super) fn create(connection: &Connection, indexes: usize) -> Result<()> {
    connection.execute(USERS, [])?;
    for column in &INDEXED[..indexes] {
        let index = format!("CREATE INDEX IF NOT EXISTS user_{column} ON user ({column}, id)");
        connection.execute(&index, [])?;
    }
    Ok(())
}
