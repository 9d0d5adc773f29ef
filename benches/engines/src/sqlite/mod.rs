//! SQLite by hand: in WAL mode, fully synchronised, with prepared statements.

mod row;
mod schema;
mod users;

pub use users::Sqlite;
