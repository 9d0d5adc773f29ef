//! How a store is configured and opened.

use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use larder_core::{Error, ErrorKind, OpenProvider, OpenStore, Opening, Provider, Result, Store};
use redb::{Database, StorageBackend};
use tokio::sync::oneshot;

use crate::backend::{self, Factory, Lent};
use crate::codec;
use crate::error::{self, contain};
use crate::files::{Files, System};
use crate::guard::Guarded;
use crate::held::Held;
use crate::pages::{self, Pages};
use crate::provider::RedbStore;
use crate::quarantine;
use crate::reports::Report;
use crate::salvage::Known;
use crate::shadow::Shadow;
use crate::untouched::Untouched;
use crate::upkeep::{self, Prepared, Writes};
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
    /// How many bytes of pages are kept in memory unless said otherwise: 32 MiB. No more than the file has.
    pub const CACHE_SIZE: usize = 32 << 20;

    /// From how many bytes on space is given back by itself, unless said otherwise: 8 MiB.
    pub const COMPACT_ABOVE: u64 = 8 << 20;

    /// A store in the file at `path`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let (name, factory) = (path.display().to_string(), in_files(Arc::new(System), &path));
        Self { medium: Medium { path: Some(path), ..Medium::of(name, factory) } }
    }

    /// A store in memory, for tests and examples. Clones of it open the same memory, one at a time.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { medium: Medium::of("memory".to_owned(), backend::memory()) }
    }

    /// Sets how many bytes of pages are kept in memory.
    #[must_use]
    pub fn cache_size(mut self, bytes: usize) -> Self {
        self.medium.cache = bytes;
        self
    }

    /// Sets what becomes of a file that turns out to be damaged; [`OnCorrupt::Salvage`] unless told otherwise.
    #[must_use]
    pub fn on_corrupt(mut self, on_corrupt: OnCorrupt) -> Self {
        self.medium.on_corrupt = on_corrupt;
        self
    }

    /// Sets whether what the medium can't give any more is given up, such as a bad sector that each read of fails: when the
    /// store is opened and can't be without it, and when [`salvage`](Store::salvage) is asked for. The store goes on with
    /// what can be read, as after [damage](OnCorrupt::Salvage); [`Damage::unread`](larder_core::Damage::unread) says how
    /// much was not, and the file is kept beside. Each part is asked for twice, so a read that fails for once loses nothing.
    ///
    /// Off unless asked for: opening, reading and salvaging fail with `Storage` then, and the file stays as it is, for a
    /// cable that is loose says nothing of what is stored. So this is for an application that has been told by somebody
    /// that it will not get better, and not for every start.
    #[must_use]
    pub fn give_up_unreadable(mut self, give_up: bool) -> Self {
        self.medium.gives_up = give_up;
        self
    }

    /// Sets from how many bytes on space is given back by itself: when the outbox has become empty, nobody waits to
    /// write, and what it had when it was fullest since the last time takes at least `bytes` and a quarter of the file.
    /// [`COMPACT_ABOVE`](Self::COMPACT_ABOVE) unless told otherwise; `u64::MAX`: never.
    #[must_use]
    pub fn compact_above(mut self, bytes: u64) -> Self {
        self.medium.compact_above = bytes;
        self
    }

    /// Makes each commit note which pages are free, so that opening after a kill need not go through the file to find out.
    /// Off unless asked for: a commit writes more and syncs once more, and opening is paid for once (see
    /// `docs/decisions/quick-repair.md`).
    #[must_use]
    pub fn quick_repair(mut self, quick: bool) -> Self {
        self.medium.quick_repair = quick;
        self
    }

    /// Replaces the medium: to inject faults, to count, to slow down. It is opened again when the store reopens itself
    /// after a write error, and has to show what was written then. What lies on it is not moved aside if it is damaged.
    #[must_use]
    pub fn backend<F>(mut self, factory: F) -> Self
    where
        F: Fn() -> io::Result<Box<dyn StorageBackend>> + Send + Sync + 'static,
    {
        self.medium.factory = Arc::new(factory);
        self.medium.path = None;
        self
    }

    /// Replaces the file system that the file lies in: to inject faults, and to lose what was not synced. What lies in no
    /// file has none.
    #[must_use]
    pub fn files(mut self, files: Arc<dyn Files>) -> Self {
        if let Some(path) = &self.medium.path {
            self.medium.factory = in_files(files.clone(), path);
        }
        self.medium.files = files;
        self
    }

    pub(crate) async fn start(self, opening: &Opening) -> Result<RedbStore> {
        if let Some(shared) = at_once(&self.medium, opening) {
            return Ok(RedbStore::new(shared));
        }
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

/// Opens a file that was closed and is as it should be, on the calling thread: that is a few reads, and takes less time
/// than handing them to another. `None`: it takes longer, or fails. The file is as it was then, for whoever tries again
/// where it may take long.
fn at_once(medium: &Medium, opening: &Opening) -> Option<Shared> {
    let backend = medium.closed_file()?;
    let opened = contain(|| {
        let held = medium.open_over(backend)?;
        match upkeep::prepare(held.get()?, &opening.schemas, Writes::Nothing) {
            Ok(prepared) if medium.settles(&prepared.reports).is_none() => {
                Shared::new(opening.runtime.clone(), prepared, medium.clone(), held).map(Some)
            }
            _ => {
                held.let_go();
                Ok(None)
            }
        }
    });
    opened.ok().flatten()
}

fn open(medium: Medium, opening: &Opening) -> Result<Shared> {
    let _entered = tracing::info_span!("larder_redb::open", name = medium.name).entered();
    let mut opened = ready(&medium, opening);
    if medium.gives_up && opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Storage) {
        // It may be that it could not be read for once.
        opened = ready(&medium, opening);
    }
    let error = match opened {
        Ok((held, prepared)) => {
            return Shared::new(opening.runtime.clone(), prepared, medium, held);
        }
        Err(error) => error,
    };
    let Some(path) = medium.path.clone().filter(|_| medium.salvages(&error)) else {
        return Err(if error::is_unread(&error) { error::unread(&medium.name, error) } else { error });
    };
    let held = quarantine::hold(&*medium.files, &path)?;
    let known = Known {
        now: opening.runtime.now(),
        schemas: opening.schemas.to_vec(),
        gives_up: medium.gives_up,
        ..Known::default()
    };
    match contain(|| quarantine::salvage(&*medium.files, &path, known, &error, &|_| Ok(()))) {
        Ok(_) => {}
        // Nothing can be made out of it, or it is none of ours: the first word says more.
        Err(nothing) if nothing.kind() == ErrorKind::Corrupt => return Err(error),
        Err(error) => return Err(error),
    }
    drop(held);
    let (held, prepared) = ready(&medium, opening)?;
    Shared::new(opening.runtime.clone(), prepared, medium, held)
}

/// Opens the database and prepares it for today's models.
fn ready(medium: &Medium, opening: &Opening) -> Result<(Held, Prepared)> {
    let held = contain(|| medium.open())?;
    let prepared = contain(|| upkeep::prepare(held.get()?, &opening.schemas, Writes::WhatIsDue));
    let prepared = prepared.map_err(|error| error.during("open"))?;
    medium.settle(&prepared.reports)?;
    Ok((held, prepared))
}

/// Opens the file at `path` there.
fn in_files(files: Arc<dyn Files>, path: &Path) -> Factory {
    let path = path.to_owned();
    Arc::new(move || files.open(&path))
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

/// What becomes of a file that turns out to be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnCorrupt {
    /// It is moved aside, to `<name>.damaged-<n>`, and the store goes on with what verifies: outbox entries first, then
    /// rows. What was known of the remote is forgotten, so that it is asked again. A file that is no database of this
    /// application, or of a newer format, is left alone.
    #[default]
    Salvage,
    /// Nothing: opening fails, and reads of what is damaged fail, with `Corrupt`.
    Fail,
}

/// Where the database lies, and how to get at it again.
#[derive(Clone)]
pub(crate) struct Medium {
    name: String,
    factory: Factory,
    cache: usize,
    /// The file, if it is one.
    pub(crate) path: Option<PathBuf>,
    /// Where it lies.
    pub(crate) files: Arc<dyn Files>,
    pub(crate) on_corrupt: OnCorrupt,
    /// What can't be read counts as lost where a salvage is asked for.
    pub(crate) gives_up: bool,
    pub(crate) compact_above: u64,
    pub(crate) quick_repair: bool,
}

impl Medium {
    fn of(name: String, factory: Factory) -> Self {
        Self {
            name,
            factory,
            cache: Redb::CACHE_SIZE,
            path: None,
            files: Arc::new(System),
            on_corrupt: OnCorrupt::default(),
            gives_up: false,
            compact_above: Redb::COMPACT_ABOVE,
            quick_repair: false,
        }
    }

    /// Whether a file that can't be opened for this is salvaged.
    fn salvages(&self, error: &Error) -> bool {
        match error.kind() {
            ErrorKind::Corrupt => self.on_corrupt == OnCorrupt::Salvage,
            ErrorKind::Storage => self.gives_up,
            _ => false,
        }
    }

    /// Opens the database, or makes it where there is nothing.
    pub(crate) fn open(&self) -> Result<Held> {
        match self.open_over(self.named()?) {
            Err(error) if error.kind() == ErrorKind::Corrupt && self.clear_unfinished() => {
                tracing::warn!(%error, "the file was never finished, and is made anew");
                self.open_over(self.backend()?)
            }
            opened => opened,
        }
    }

    /// Makes the name of a file that is new last, before anything is in it.
    fn named(&self) -> Result<Box<dyn StorageBackend>> {
        let backend = self.backend()?;
        let len = backend.len().map_err(|error| error::unreachable_medium(&self.name, error))?;
        if let Some(path) = self.path.as_ref().filter(|_| len == 0) {
            self.sync_directory(path)?;
        }
        Ok(backend)
    }

    /// Empties a file whose making was cut short by a loss of power: what marks it as a database is written last, and of
    /// a store that ever was one, the name of its table is there. False if it is not such a file.
    fn clear_unfinished(&self) -> bool {
        let clear = || -> Result<bool> {
            let backend = self.backend()?;
            let failed = |error| error::unreachable_medium(&self.name, error);
            let is_free = !matches!(backend.try_lock_range(Bound::Unbounded, Bound::Unbounded), Ok(false));
            let is_unfinished = is_free && pages::is_unfinished(&*backend, codec::NAME).map_err(failed)?;
            if is_unfinished {
                backend.set_len(0).and_then(|()| backend.sync_data()).map_err(failed)?;
            }
            Ok(is_unfinished)
        };
        clear().unwrap_or(false)
    }

    /// Opens the database for reading alone: whatever is written to it is forgotten with it.
    pub(crate) fn open_shadow(&self) -> Result<Held> {
        let shadow = Shadow::of(self.backend()?);
        self.open_over(Box::new(shadow.map_err(|error| error::unreachable_medium(&self.name, error))?))
    }

    /// The file, if it is one that was closed.
    fn closed_file(&self) -> Option<Box<dyn StorageBackend>> {
        self.path.as_ref().filter(|path| self.files.exists(path).unwrap_or(false))?;
        let backend: Arc<dyn StorageBackend> = self.backend().ok()?.into();
        let pages = Pages::open(Box::new(Lent(backend.clone()))).ok()??;
        pages.is_closed.then(|| Box::new(Lent(backend)) as Box<dyn StorageBackend>)
    }

    fn open_over(&self, backend: Box<dyn StorageBackend>) -> Result<Held> {
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache);
        let mark = Arc::new(Untouched::new(backend));
        let medium: Arc<dyn StorageBackend> = mark.clone();
        let guarded = Arc::new(Guarded::new(medium.clone()));
        let database = builder.create_with_backend(Lent(guarded.clone()));
        let held = Held::new(database.map_err(|error| error::opening(&self.name, error))?, medium)?;
        let held = held.marked_by(mark);
        guarded.begin();
        Ok(held)
    }

    pub(crate) fn backend(&self) -> Result<Box<dyn StorageBackend>> {
        (self.factory)().map_err(|error| error::unreachable_medium(&self.name, error))
    }

    /// How many bytes it takes.
    pub(crate) fn size(&self) -> Result<u64> {
        self.backend()?.len().map_err(|error| error::unreachable_medium(&self.name, error))
    }

    /// Makes the name of the file last, where it may not: a file with reports in it was salvaged, and has taken the name
    /// of the damaged one. Nothing is written to it before.
    ///
    /// # Errors
    /// `Storage`.
    pub(crate) fn settle(&self, reports: &[Report]) -> Result<()> {
        self.settles(reports).map_or(Ok(()), |path| self.sync_directory(path))
    }

    fn settles(&self, reports: &[Report]) -> Option<&Path> {
        self.path.as_deref().filter(|_| !reports.is_empty())
    }

    fn sync_directory(&self, path: &Path) -> Result<()> {
        self.files.sync_directory(path).map_err(|error| error::unreachable_medium(&self.name, error))
    }
}

impl std::fmt::Debug for Medium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Medium").field("name", &self.name).finish_non_exhaustive()
    }
}
