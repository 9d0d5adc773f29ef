//! How a memory store is configured and opened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use larder_core::{OpenProvider, OpenStore, Opening, Provider, Request, Response, Result, Store};

use crate::forward::Handler;
use crate::provider::MemoryStore;

/// How many changes of each model are remembered, unless told otherwise.
const CHANGES: usize = 4_096;
/// How many rows or changes a page of a delta has, unless told otherwise.
const PAGE: usize = 1_000;

/// A store in memory that is not open yet. Whatever is opened is empty.
///
/// It stands as the local side ([`OpenStore`]) or as a remote ([`OpenProvider`]).
#[derive(Clone)]
pub struct Memory {
    pub(crate) changes: usize,
    pub(crate) page: usize,
    /// Who answers requests, by host; the host of the rows has no name.
    pub(crate) handlers: BTreeMap<String, Handler>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("changes", &self.changes)
            .field("page", &self.page)
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// A store in memory.
    #[must_use]
    pub fn new() -> Self {
        Self { changes: CHANGES, page: PAGE, handlers: BTreeMap::new() }
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

    /// As a remote: takes requests that are no models, and answers them so. An answer without success becomes the error
    /// that it is over HTTP. Without it the remote takes none.
    ///
    /// ```
    /// use larder_core::Response;
    /// use larder_memory::Memory;
    ///
    /// let remote = Memory::new().answering(|request| match request.target.as_str() {
    ///     "/events" => Ok(Response { status: 201, headers: Vec::new(), body: Some(request.body.clone()) }),
    ///     _ => Ok(Response { status: 404, headers: Vec::new(), body: None }),
    /// });
    /// # drop(remote);
    /// ```
    #[must_use]
    pub fn answering(self, handler: impl Fn(&Request) -> Result<Response> + Send + Sync + 'static) -> Self {
        self.answering_at("", handler)
    }

    /// The same for requests to another host, `https://host`.
    #[must_use]
    pub fn answering_at(
        mut self,
        host: impl Into<String>,
        handler: impl Fn(&Request) -> Result<Response> + Send + Sync + 'static,
    ) -> Self {
        let host = host.into().trim_end_matches('/').to_ascii_lowercase();
        self.handlers.insert(host, Arc::new(handler));
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
