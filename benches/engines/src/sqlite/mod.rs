//! SQLite by hand: in WAL mode, fully synchronised, with prepared statements.

mod row;
mod schema;
mod users;

pub use schema::open;
pub use users::Sqlite;
