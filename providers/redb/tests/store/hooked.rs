//! A file system of which each operation is told before it is done, and can be made to fail, or to come too late.

use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use larder_redb::{Files, Redb, StorageBackend, backend};
use redb::BackendError;

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A file is opened.
    Open(&'a Path),
    /// So many bytes are read from there on; the flag says whether that is the one who has taken the file.
    Read(u64, usize, bool),
    /// Something is written.
    Write,
    /// Writing is waited for.
    Sync,
    /// A file is about to be taken.
    Lock(&'a Path),
    /// Something is done to a name.
    Name,
}

type Hook = Box<dyn FnMut(Step<'_>) -> io::Result<()> + Send>;

/// The file system of this machine, with a hook. Clones have the same one.
#[derive(Clone, Default)]
pub(crate) struct Hooked(Arc<Mutex<Option<Hook>>>);

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

impl Hooked {
    /// Calls `hook` before each operation from now on.
    pub(crate) fn set(&self, hook: impl FnMut(Step<'_>) -> io::Result<()> + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }

    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A store at `path`, of which nothing is kept in memory.
    pub(crate) fn config(&self, path: &Path) -> Redb {
        Redb::at(path).cache_size(0).files(Arc::new(self.clone()))
    }

    fn tell(&self, step: Step<'_>) -> io::Result<()> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(hook) => hook(step),
            None => Ok(()),
        }
    }
}

impl Files for Hooked {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        self.tell(Step::Open(path))?;
        let (inner, path) = (backend::file(path)?, path.to_owned());
        Ok(Box::new(Handle { hooked: self.clone(), inner, path, took: AtomicBool::new(false) }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tell(Step::Name)?;
        std::fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tell(Step::Name)?;
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.tell(Step::Name)?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.tell(Step::Name)
    }
}

#[derive(Debug)]
struct Handle {
    hooked: Hooked,
    inner: Box<dyn StorageBackend>,
    path: PathBuf,
    took: AtomicBool,
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.hooked.tell(Step::Read(offset, out.len(), self.took.load(Ordering::SeqCst)))?;
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.hooked.tell(Step::Write)?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        // No power is cut: there is nothing to wait for.
        self.hooked.tell(Step::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.hooked.tell(Step::Write)?;
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        // A database takes its file in several parts.
        if !self.took.load(Ordering::SeqCst) {
            self.hooked.tell(Step::Lock(&self.path)).map_err(BackendError::Io)?;
        }
        let taken = self.inner.try_lock_range(start, end);
        self.took.fetch_or(matches!(taken, Ok(true)), Ordering::SeqCst);
        taken
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }
}

/// Says yes to the step with the number `first` of those that it is asked about, and to so many more.
pub(crate) fn nth(first: usize, many: usize) -> impl Fn() -> bool {
    let asked = AtomicUsize::new(0);
    move || (first..first.saturating_add(many)).contains(&asked.fetch_add(1, Ordering::SeqCst))
}

/// Takes a file as another process would, until it is let go of.
pub(crate) fn take(path: &Path) -> Box<dyn StorageBackend> {
    let file = backend::file(path).unwrap();
    assert!(matches!(file.try_lock_range(Bound::Unbounded, Bound::Unbounded), Ok(true)), "it is free");
    file
}
