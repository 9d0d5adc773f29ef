//! What a write gives: that it is durable here, and the remote's word on it.

use std::sync::Arc;

use larder_core::{AsModel, Error, ErrorKind, Key, Model, Result};

use super::Repository;
use super::write::Written;
use crate::fates::{Awaited, Fate};

/// A write that is durable here.
///
/// That the *remote* has it as well is another word: [`accepted`](Self::accepted).
#[derive(Debug)]
#[must_use = "a stored write may still be refused by the remote; ask `accepted` or watch the status"]
pub struct Stored<M> {
    row: Arc<M>,
    repo: Repository,
    awaited: Option<Awaited>,
    /// Of the related rows that were stored with it.
    others: Vec<Awaited>,
}

impl<M: Model> Stored<M> {
    pub(super) fn new(row: Arc<M>, repo: &Repository, awaited: Option<Awaited>) -> Self {
        Self { row, repo: repo.clone(), awaited, others: Vec::new() }
    }

    pub(super) fn wait_for(&mut self, others: impl Iterator<Item = Awaited>) {
        self.others.extend(others);
    }

    /// The row as it is stored.
    #[must_use]
    pub fn row(&self) -> &Arc<M> {
        &self.row
    }

    /// The row as it is stored.
    #[must_use]
    pub fn into_row(self) -> Arc<M> {
        self.row
    }

    /// True if the remote is still to be told.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.awaited.is_some() || !self.others.is_empty()
    }

    /// Waits for the remote's word, on the row and on the related rows that were stored with it, and gives the row
    /// with what the remote made of it. Waits for as long as the remote can't be reached.
    ///
    /// # Errors
    /// The remote's refusal, if the mutation is parked; `Cancelled` if it is discarded, or the repository is closed;
    /// `Corrupt` if its place in the outbox is lost by damage of the store.
    pub async fn accepted(self) -> Result<Arc<M>> {
        if !self.is_queued() {
            return Ok(self.row);
        }
        let mut key = self.row.key()?;
        if let Some(awaited) = self.awaited
            && let Some(given) = wait(awaited).await?
        {
            key = given;
        }
        for awaited in self.others {
            wait(awaited).await?;
        }
        // Its key may have changed with that of a row that it names.
        let key = self.repo.current(M::schema(), key).await?;
        Ok(self.repo.find_stored(M::schema(), &key).await?.unwrap_or(self.row))
    }
}

impl<M> std::ops::Deref for Stored<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.row
    }
}

/// What was stored can be edited, stored again and deleted like the row that it is.
impl<M: Model> AsModel for Stored<M> {
    type Model = M;

    fn as_model(&self) -> &M {
        &self.row
    }
}

/// Deletions that are durable here.
#[derive(Debug)]
#[must_use = "a stored delete may still be refused by the remote; ask `accepted` or watch the status"]
pub struct Deleted {
    count: usize,
    awaited: Vec<Awaited>,
}

impl Deleted {
    pub(super) fn of(written: Written) -> Self {
        Self {
            count: written.changes.iter().filter(|(changed, _)| *changed).count(),
            awaited: written.changes.into_iter().filter_map(|(_, awaited)| awaited).collect(),
        }
    }

    pub(super) fn new(count: usize, awaited: Vec<Awaited>) -> Self {
        Self { count, awaited }
    }

    /// How many rows are gone here, those included that were deleted because they referred to others.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Waits for the remote's word on all of them.
    ///
    /// # Errors
    /// As [`Stored::accepted`], the first of them.
    pub async fn accepted(self) -> Result<()> {
        for awaited in self.awaited {
            wait(awaited).await?;
        }
        Ok(())
    }
}

/// The remote's word; with the key that it has given in place of a temporary one.
async fn wait(awaited: Awaited) -> Result<Option<Key>> {
    match awaited.fate().await {
        Some(Fate::Accepted(given)) => Ok(given),
        Some(Fate::Answered(_)) => Ok(None),
        Some(Fate::Failed(error)) => Err(error),
        None => Err(Error::new(
            ErrorKind::Cancelled,
            "the repository was closed; the mutation stays in the outbox",
        )),
    }
}
