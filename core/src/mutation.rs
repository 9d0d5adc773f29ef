//! What a provider is asked to change.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::association::AssocDef;
use crate::key::Key;
use crate::meta::RemoteVersion;
use crate::row::Row;
use crate::schema::Schema;

/// Identifies a mutation for ever; it is also the idempotency key that a remote sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MutationId(pub Uuid);

impl fmt::Display for MutationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// The row is new; one that is there already is a conflict.
    Insert,
    /// The row is there; one that is not is an error.
    Update,
    /// The row is written whether it is there or not.
    Upsert,
    /// The row is removed; one that is not there is no error.
    Delete,
}

impl Operation {
    /// The operation as a verb, for messages.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }
}

/// A set of field positions.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FieldSet(Vec<u64>);

impl FieldSet {
    /// Adds `position`.
    pub fn insert(&mut self, position: usize) {
        let word = position / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (position % 64);
    }

    /// True if `position` is in the set.
    #[must_use]
    pub fn contains(&self, position: usize) -> bool {
        self.0.get(position / 64).is_some_and(|word| word & (1 << (position % 64)) != 0)
    }

    /// True if the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The positions in rising order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len() * 64).filter(|position| self.contains(*position))
    }
}

impl FromIterator<usize> for FieldSet {
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> Self {
        let mut set = Self::default();
        positions.into_iter().for_each(|position| set.insert(position));
        set
    }
}

/// A change of one row, as a provider's [`apply`](crate::Provider::apply) gets it.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// Its identity, and the idempotency key.
    pub id: MutationId,
    /// The model.
    pub schema: &'static Schema,
    /// The row's key.
    pub key: Key,
    /// What is done.
    pub operation: Operation,
    /// The whole row as it shall be; `None` for a delete.
    pub row: Option<Arc<dyn Row>>,
    /// The fields that an update changes; `None` if that is not known.
    pub changed: Option<FieldSet>,
    /// The server's version that the change was made from.
    pub base_version: Option<RemoteVersion>,
    /// What the remote has and the model has not, as a JSON object: it survives a full update.
    pub extra: Option<Arc<str>>,
    /// True if the same mutation may have been sent before.
    pub repeated: bool,
    /// Changes of related rows that go in the same request. Only a provider that says that it
    /// [nests](crate::Capabilities::nests) gets any, and it has to apply them together with the row or not at all.
    pub nested: Vec<Enclosed>,
}

/// A change of a related row that goes in the request of another.
#[derive(Clone, Debug)]
pub struct Enclosed {
    /// The association of the row in which it stands.
    pub association: &'static AssocDef,
    /// Its model.
    pub schema: &'static Schema,
    /// Its key.
    pub key: Key,
    /// What is done; never a delete.
    pub operation: Operation,
    /// The whole row as it shall be.
    pub row: Arc<dyn Row>,
    /// What stands in it in turn.
    pub nested: Vec<Enclosed>,
}
