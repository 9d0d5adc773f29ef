//! Files whose syncs, pages and bytes are counted, and whose syncs may be made slower.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use larder_redb::StorageBackend;
use larder_redb::backend::{self, CountingBackend, Counts};

use crate::pages::{Log, Logged};

/// What was written, so far or per operation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Written {
    /// How often data was synced.
    pub syncs: f64,
    /// How many writes there were; redb writes whole pages.
    pub pages: f64,
    /// How many bytes were written.
    pub bytes: f64,
}

impl Written {
    /// As much as it wants.
    pub const ANY: Self = Self { syncs: f64::INFINITY, pages: f64::INFINITY, bytes: f64::INFINITY };

    /// What `counts` shows now.
    #[must_use]
    pub fn of(counts: &Counts) -> Self {
        Self { syncs: counts.syncs() as f64, pages: counts.writes() as f64, bytes: counts.bytes() as f64 }
    }

    /// Adds what was written from `before` to `after`.
    pub fn add(&mut self, before: Self, after: Self) {
        self.syncs += after.syncs - before.syncs;
        self.pages += after.pages - before.pages;
        self.bytes += after.bytes - before.bytes;
    }

    /// The same for each of `ops` operations.
    #[must_use]
    pub fn per(self, ops: f64) -> Self {
        Self { syncs: self.syncs / ops, pages: self.pages / ops, bytes: self.bytes / ops }
    }
}

/// A file to be opened, and what happens on the way to it.
#[derive(Clone, Debug)]
pub struct Medium {
    /// Where it is.
    pub path: PathBuf,
    /// What is added to each sync.
    pub pause: Duration,
    /// Whether its blocks are written before they are used. With the first sync of a block that was never written
    /// before, ext4 commits its journal as well: half as much again, and more while others write to the same disk.
    pub settled: bool,
    /// Where what is written is kept, to be looked at.
    pub log: Option<Arc<Log>>,
}

impl Medium {
    /// The file at `path`, with settled blocks.
    #[must_use]
    pub fn settled(path: PathBuf) -> Self {
        Self { path, pause: Duration::ZERO, settled: true, log: None }
    }

    /// The file at `path`, as it is.
    #[must_use]
    pub fn plain(path: PathBuf) -> Self {
        Self { settled: false, ..Self::settled(path) }
    }

    /// Adds `pause` to each sync.
    #[must_use]
    pub fn pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// Opens the file and counts what is written.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(&self, counts: Arc<Counts>) -> io::Result<CountingBackend> {
        let (file, pause) = (backend::file(&self.path)?, self.pause);
        let file = if self.settled { Box::new(Settled(file)) } else { file };
        let file = match &self.log {
            Some(log) => Box::new(Logged(file, Arc::clone(log))),
            None => file,
        };
        let backend = CountingBackend::new(file, counts);
        Ok(if pause.is_zero() { backend } else { backend.before_sync(Arc::new(move || sleep(pause))) })
    }
}

/// How many bytes a page of redb has.
const PAGE: usize = 4096;

/// A file that is written as far as it reaches.
#[derive(Debug)]
struct Settled(Box<dyn StorageBackend>);

impl StorageBackend for Settled {
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut at = self.0.len()?;
        self.0.set_len(len)?;
        // A page at a time, as redb writes: what is written in large pieces lies in large pieces of the system's cache, and
        // each page that is written there later costs a look at all of the piece.
        let zeros = vec![0; PAGE];
        while at < len {
            let size = (len - at).min(zeros.len() as u64);
            self.0.write(at, &zeros[..size as usize])?;
            at += size;
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

#[expect(clippy::disallowed_methods, reason = "a slower disk takes its time whatever the runtime")]
fn sleep(pause: Duration) {
    std::thread::sleep(pause);
}
