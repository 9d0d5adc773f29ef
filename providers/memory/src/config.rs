//! How a memory store is configured and opened.

use std::sync::Arc;

use async_trait::async_trait;
use larder_core::{OpenProvider, OpenStore, Opening, Provider, Result, Store};

use crate::provider::MemoryStore;

/// A store in memory that is not open yet. There is nothing to configure: whatever is opened is empty.
///
/// It stands as the local side ([`OpenStore`]) or as a remote ([`OpenProvider`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Memory {
    /// A store in memory.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl OpenStore for Memory {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(MemoryStore::new(opening)))
    }
}

#[async_trait]
impl OpenProvider for Memory {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(MemoryStore::new(opening)))
    }
}
