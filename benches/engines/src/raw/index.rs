//! Indexes by hand: a table each, whose keys are the value and the row's key.

use redb::{Table, TableDefinition, WriteTransaction};

use crate::Result;
use crate::model::User;

type Text = (&'static str, u128);
type Number = (u64, u128);
type Maybe = (Option<&'static str>, u128);

/// Users by city.
pub(super) const BY_CITY: TableDefinition<'static, Text, ()> = TableDefinition::new("city");
/// Users by score, in the encoding of [`rank`].
pub(super) const BY_SCORE: TableDefinition<'static, Number, ()> = TableDefinition::new("score");
const BY_EMAIL: TableDefinition<'static, Text, ()> = TableDefinition::new("email");
const BY_NAME: TableDefinition<'static, Text, ()> = TableDefinition::new("name");
const BY_AGE: TableDefinition<'static, Number, ()> = TableDefinition::new("age");
const BY_CREATED: TableDefinition<'static, Number, ()> = TableDefinition::new("created");
const BY_SEEN: TableDefinition<'static, Number, ()> = TableDefinition::new("seen");
const BY_NICKNAME: TableDefinition<'static, Maybe, ()> = TableDefinition::new("nickname");

/// A number that orders as the float does, zeros and NaNs aside.
pub(super) fn rank(score: f64) -> u64 {
    let bits = score.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

/// An index, open for writing.
pub(super) enum Index<'t> {
    Text(Table<'t, Text, ()>, fn(&User) -> &str),
    Number(Table<'t, Number, ()>, fn(&User) -> u64),
    Maybe(Table<'t, Maybe, ()>, fn(&User) -> Option<&str>),
}

impl<'t> Index<'t> {
    /// The first `count` of the indexes, in the order in which the models name them.
    pub(super) fn open(transaction: &'t WriteTransaction, count: usize) -> Result<Vec<Self>> {
        let text =
            |table, value| Ok::<_, redb::TableError>(Self::Text(transaction.open_table(table)?, value));
        let number =
            |table, value| Ok::<_, redb::TableError>(Self::Number(transaction.open_table(table)?, value));
        let mut open = Vec::new();
        for at in 0..count {
            open.push(match at {
                0 => text(BY_CITY, |user| &user.city)?,
                1 => number(BY_SCORE, |user| rank(user.score))?,
                2 => text(BY_EMAIL, |user| &user.email)?,
                3 => text(BY_NAME, |user| &user.name)?,
                4 => number(BY_AGE, |user| user.age.into())?,
                5 => number(BY_CREATED, |user| user.created.as_millisecond().cast_unsigned())?,
                6 => number(BY_SEEN, |user| user.seen.as_millisecond().cast_unsigned())?,
                _ => Self::Maybe(transaction.open_table(BY_NICKNAME)?, |user| user.nickname.as_deref()),
            });
        }
        Ok(open)
    }

    /// Adds the entry of a user.
    pub(super) fn add(&mut self, user: &User) -> Result<()> {
        let id = user.id.as_u128();
        match self {
            Self::Text(table, value) => drop(table.insert((value(user), id), ())?),
            Self::Number(table, value) => drop(table.insert((value(user), id), ())?),
            Self::Maybe(table, value) => drop(table.insert((value(user), id), ())?),
        }
        Ok(())
    }
}
