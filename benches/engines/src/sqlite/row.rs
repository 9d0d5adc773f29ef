//! Users as columns.

use larder::{Timestamp, Uuid};
use larder_benches::model::Address;
use rusqlite::{Row, Statement, params};

use crate::Result;
use crate::model::User;

/// Between two tags.
const SEPARATOR: char = '\u{1f}';

/// The columns, as [`read`] expects them.
pub(super) const COLUMNS: &str =
    "id, name, email, city, age, active, nickname, street, zip, country, tags, score, created, seen";

/// Stores a user by a statement with a parameter for each of [`COLUMNS`].
pub(super) fn write(statement: &mut Statement<'_>, user: &User) -> Result<()> {
    let tags = user.tags.join(SEPARATOR.encode_utf8(&mut [0; 4]));
    statement.execute(params![
        user.id.as_bytes(),
        user.name,
        user.email,
        user.city,
        user.age,
        user.active,
        user.nickname,
        user.address.street,
        user.address.zip,
        user.address.country,
        tags,
        user.score,
        user.created.as_microsecond(),
        user.seen.as_microsecond(),
    ])?;
    Ok(())
}

/// The user in a row.
pub(super) fn read(row: &Row<'_>) -> Result<User> {
    let text = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str()?.to_owned());
    let tags = row.get_ref(10)?.as_str()?;
    Ok(User {
        id: Uuid::from_slice(row.get_ref(0)?.as_blob()?)?,
        name: text(1)?,
        email: text(2)?,
        city: text(3)?,
        age: row.get(4)?,
        active: row.get(5)?,
        nickname: row.get(6)?,
        address: Address { street: text(7)?, zip: row.get(8)?, country: text(9)? },
        tags: if tags.is_empty() { Vec::new() } else { tags.split(SEPARATOR).map(str::to_owned).collect() },
        score: row.get(11)?,
        created: Timestamp::from_microsecond(row.get(12)?)?,
        seen: Timestamp::from_microsecond(row.get(13)?)?,
    })
}
