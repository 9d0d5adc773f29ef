//! How a memory store is configured and opened.

use std::sync::Arc;

use async_trait::async_trait;
use larder_core::{OpenProvider, OpenStore, Opening, Provider, Result, Store};

use crate::provider::MemoryStore;

/// How many changes of each model are remembered, unless told otherwise.
const CHANGES: usize = 4_096;
/// How many rows or changes a page of a delta has, unless told otherwise.
const PAGE: usize = 1_000;

/// A store in memory that is not open yet. Whatever is opened is empty.
///
/// It stands as the local side ([`OpenStore`]) or as a remote ([`OpenProvider`]).
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub(crate) changes: usize,
    pub(crate) page: usize,
}

impl Memory {
    /// A store in memory.
    #[must_use]
    pub fn new() -> Self {
        Self { changes: CHANGES, page: PAGE }
    }

    /// How many changes of each model it remembers as a remote, 4,096 unless told otherwise. Who asks what has changed
    /// since before them is told to pull everything.
    #[must_use]
    pub fn changes(mut self, changes: usize) -> Self {
        self.changes = changes;
        self
    }

    /// How many rows or changes it tells at a time when it is asked what has changed; 1,000 unless told otherwise.
    #[must_use]
    pub fn delta_page(mut self, rows: usize) -> Self {
        self.page = rows.max(1);
        self
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl OpenStore for Memory {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(MemoryStore::configured(*self, opening)))
    }
}

#[async_trait]
impl OpenProvider for Memory {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(MemoryStore::configured(*self, opening)))
    }
}
