//! Where the bytes lie: files, memory, and a wrapper that counts.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{BackendError, DatabaseError, StorageBackend, StorageError};

/// Opens the medium; called again whenever the store reopens itself after a write error.
pub type Factory = Arc<dyn Fn() -> io::Result<Box<dyn StorageBackend>> + Send + Sync>;

/// The file at `path`, made with mode 0600 if it is not there.
///
/// # Errors
/// Those of the file system.
pub fn file(path: &Path) -> io::Result<Box<dyn StorageBackend>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match FileBackend::new(options.open(path)?) {
        Ok(backend) => Ok(Box::new(backend)),
        Err(DatabaseError::Storage(StorageError::Io(error))) => Err(error),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// A factory whose every backend shows the same memory, so that a reopening finds what was written.
pub(crate) fn memory() -> Factory {
    let memory = Arc::new(InMemoryBackend::new());
    Arc::new(move || Ok(Box::new(Shared(memory.clone()))))
}

#[derive(Debug)]
struct Shared(Arc<InMemoryBackend>);

impl StorageBackend for Shared {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// What a [`CountingBackend`] has counted. Shared between the backends that a reopening makes.
#[derive(Debug, Default)]
pub struct Counts {
    syncs: AtomicU64,
    writes: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    /// How often data was synced to the medium.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// How many writes there were; redb writes whole pages.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// How many bytes were written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Counts what goes through it, and lets a bench or a test make each sync take longer.
///
/// ```
/// use std::sync::Arc;
/// use larder_redb::{Redb, backend::{self, CountingBackend, Counts}};
///
/// let (path, counts) = (std::path::PathBuf::from("app.redb"), Arc::new(Counts::default()));
/// let counted = counts.clone();
/// let store = Redb::at(&path)
///     .backend(move || Ok(Box::new(CountingBackend::new(backend::file(&path)?, counted.clone()))));
/// assert_eq!(counts.syncs(), 0);
/// ```
pub struct CountingBackend {
    inner: Box<dyn StorageBackend>,
    counts: Arc<Counts>,
    before_sync: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl CountingBackend {
    /// Counts what goes to `inner`.
    #[must_use]
    pub fn new(inner: Box<dyn StorageBackend>, counts: Arc<Counts>) -> Self {
        Self { inner, counts, before_sync: None }
    }

    /// Calls `hook` before each sync: to sleep for as long as a slower disk would take.
    #[must_use]
    pub fn before_sync(mut self, hook: Arc<dyn Fn() + Send + Sync>) -> Self {
        self.before_sync = Some(hook);
        self
    }
}

impl std::fmt::Debug for CountingBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CountingBackend").field("inner", &self.inner).field("counts", &self.counts).finish()
    }
}

/// Hands everything on that a wrapper does not look at.
macro_rules! forward {
    ($inner:tt: $($method:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {$(
        fn $method(&self, $($arg: $type),*) -> $out {
            self.$inner.$method($($arg),*)
        }
    )*};
}
pub(crate) use forward;

/// Where a range that is locked begins or ends, and what comes of locking it.
pub(crate) type Edge = Bound<u64>;
pub(crate) type Locked<T> = Result<T, BackendError>;

/// Hands on what no wrapper of ours looks at: the length, the closing and the locks.
macro_rules! forward_locks {
    ($inner:tt) => {
        crate::backend::forward! { $inner:
            len() -> std::io::Result<u64>;
            close() -> std::io::Result<()>;
            try_lock_range(start: $crate::backend::Edge, end: $crate::backend::Edge) -> $crate::backend::Locked<bool>;
            try_lock_shared_range(start: $crate::backend::Edge, end: $crate::backend::Edge) -> $crate::backend::Locked<bool>;
            lock_range(start: $crate::backend::Edge, end: $crate::backend::Edge) -> $crate::backend::Locked<()>;
            lock_shared_range(start: $crate::backend::Edge, end: $crate::backend::Edge) -> $crate::backend::Locked<()>;
            unlock_range(start: $crate::backend::Edge, end: $crate::backend::Edge) -> $crate::backend::Locked<()>;
            query_lock_range(start: $crate::backend::Edge, end: $crate::backend::Edge) -> $crate::backend::Locked<bool>;
        }
    };
}
pub(crate) use forward_locks;

impl StorageBackend for CountingBackend {
    fn sync_data(&self) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        if let Some(hook) = &self.before_sync {
            hook();
        }
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.counts.writes.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.inner.write(offset, data)
    }

    forward! { inner:
        read(offset: u64, out: &mut [u8]) -> io::Result<()>;
        set_len(len: u64) -> io::Result<()>;
    }

    forward_locks!(inner);
}

/// A backend of redb's that others read beside it.
#[derive(Debug)]
pub(crate) struct Lent(pub(crate) Arc<dyn StorageBackend>);

impl StorageBackend for Lent {
    forward! { 0:
        read(offset: u64, out: &mut [u8]) -> io::Result<()>;
        set_len(len: u64) -> io::Result<()>;
        sync_data() -> io::Result<()>;
        write(offset: u64, data: &[u8]) -> io::Result<()>;
    }

    forward_locks!(0);
}
