//! How a store is configured and opened.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use larder_core::{Error, ErrorKind, OpenProvider, OpenStore, Opening, Provider, Result, Store};
use redb::{Database, StorageBackend};
use tokio::sync::oneshot;

use crate::backend::{self, Boxed, Factory};
use crate::error::{self, contain};
use crate::provider::RedbStore;
use crate::upkeep;
use crate::writer::Shared;

/// A store in a file, not open yet.
///
/// - The file is made if it is not there, with mode 0600; its directory has to exist.
/// - A second opening, in this process or another, is refused while the first lives.
/// - Models, shapes and indexes are registered, and indexes that were added or changed are built, when it is opened.
///
/// ```
/// use larder_redb::Redb;
///
/// let store = Redb::at("app.redb").cache_size(8 << 20);
/// let scratch = Redb::in_memory();
/// ```
#[derive(Clone)]
pub struct Redb {
    medium: Medium,
}

impl Redb {
    /// How many bytes of pages are kept in memory unless said otherwise: 16 MiB.
    pub const CACHE_SIZE: usize = 16 << 20;

    /// A store in the file at `path`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.display().to_string();
        let factory: Factory = Arc::new(move || backend::file(&path));
        Self { medium: Medium { name, factory, cache: Self::CACHE_SIZE } }
    }

    /// A store in memory, for tests and examples. Clones of it open the same memory, one at a time.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            medium: Medium { name: "memory".to_owned(), factory: backend::memory(), cache: Self::CACHE_SIZE },
        }
    }

    /// Sets how many bytes of pages are kept in memory.
    #[must_use]
    pub fn cache_size(mut self, bytes: usize) -> Self {
        self.medium.cache = bytes;
        self
    }

    /// Replaces the medium: to inject faults, to count, to slow down. It is opened again when the store reopens itself
    /// after a write error, and has to show what was written then.
    #[must_use]
    pub fn backend<F>(mut self, factory: F) -> Self
    where
        F: Fn() -> io::Result<Box<dyn StorageBackend>> + Send + Sync + 'static,
    {
        self.medium.factory = Arc::new(factory);
        self
    }

    pub(crate) async fn start(self, opening: &Opening) -> Result<RedbStore> {
        let (opening, runtime) = (opening.clone(), opening.runtime.clone());
        let (answer, answered) = oneshot::channel();
        let medium = self.medium;
        runtime.blocking(
            "larder-redb open",
            Box::new(move || {
                // Nobody may be waiting any more.
                drop(answer.send(contain(|| open(medium, &opening))));
            }),
        );
        let stopped = |_| {
            Error::new(ErrorKind::Storage, "the runtime stopped before the store was open").during("open")
        };
        Ok(RedbStore::new(answered.await.map_err(stopped)??))
    }
}

fn open(medium: Medium, opening: &Opening) -> Result<Shared> {
    let _entered = tracing::info_span!("larder_redb::open", name = medium.name).entered();
    let database = medium.open()?;
    let (catalog, counters) =
        upkeep::prepare(&database, &opening.schemas).map_err(|error| error.during("open"))?;
    Shared::new(opening.runtime.clone(), catalog, medium, database, counters)
}

impl std::fmt::Debug for Redb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redb")
            .field("name", &self.medium.name)
            .field("cache_size", &self.medium.cache)
            .finish()
    }
}

#[async_trait]
impl OpenStore for Redb {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(self.start(opening).await?))
    }
}

#[async_trait]
impl OpenProvider for Redb {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(self.start(opening).await?))
    }
}

/// Where the database lies, and how to get at it again.
#[derive(Clone)]
pub(crate) struct Medium {
    name: String,
    factory: Factory,
    cache: usize,
}

impl Medium {
    /// Opens the database, or makes it where there is nothing.
    pub(crate) fn open(&self) -> Result<Database> {
        let backend = (self.factory)().map_err(|error| error::unreachable_medium(&self.name, error))?;
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache);
        builder.create_with_backend(Boxed(backend)).map_err(|error| error::opening(&self.name, error))
    }
}

impl std::fmt::Debug for Medium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Medium").field("name", &self.name).finish_non_exhaustive()
    }
}
