//! What a write of related rows is planned on: the committed state, or that of a transaction.

use std::sync::Arc;

use larder_core::association::Lookup;
use larder_core::{Expect, Key, PageRow, Query, Result, Row, Schema, async_trait};

use super::super::Repository;

/// Finds rows, and remembers what the plan relies on.
#[async_trait]
pub(crate) trait Ground: Lookup {
    /// The row with this key.
    async fn row(&mut self, schema: &'static Schema, key: &Key) -> Result<Option<Arc<dyn Row>>>;
}

/// The committed state, and what was read of it.
pub(crate) struct Committed<'a> {
    repo: &'a Repository,
    /// What must still hold when the plan is carried out.
    pub(crate) expect: Vec<Expect>,
}

impl<'a> Committed<'a> {
    pub(crate) fn new(repo: &'a Repository, expect: Vec<Expect>) -> Self {
        Self { repo, expect }
    }
}

#[async_trait]
impl Lookup for Committed<'_> {
    async fn rows(&mut self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        let store = &self.repo.shared.store;
        // Taken before the read: a write in between makes the plan be made again.
        self.expect.push(Expect::Model { schema, revision: store.revision() });
        Ok(store.get(&self.repo.cx(), schema, &self.repo.shared.given.widened(schema, query)).await?.rows)
    }
}

#[async_trait]
impl Ground for Committed<'_> {
    async fn row(&mut self, schema: &'static Schema, key: &Key) -> Result<Option<Arc<dyn Row>>> {
        let key = self.repo.current(schema, key.clone()).await?;
        let stored = self.repo.shared.store.load(&self.repo.cx(), schema, &key).await?;
        let revision = stored.as_ref().map_or(0, |stored| stored.meta.revision);
        self.expect.push(Expect::Row { schema, key, revision });
        Ok(stored.and_then(|stored| stored.row))
    }
}
