//! Files whose syncs, pages and bytes are counted, and whose syncs may be made slower.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use larder_redb::backend::{self, CountingBackend, Counts};

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
    /// What `counts` shows now.
    #[must_use]
    pub fn of(counts: &Counts) -> Self {
        Self {
            syncs: counts.syncs() as f64,
            pages: counts.writes() as f64,
            bytes: counts.bytes() as f64,
        }
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
        Self {
            syncs: self.syncs / ops,
            pages: self.pages / ops,
            bytes: self.bytes / ops,
        }
    }
}

/// The file at `path`, counted; each sync takes `pause` longer.
///
/// # Errors
/// Those of the file system.
pub fn counted(path: &Path, counts: Arc<Counts>, pause: Duration) -> io::Result<CountingBackend> {
    let backend = CountingBackend::new(backend::file(path)?, counts);
    Ok(if pause.is_zero() {
        backend
    } else {
        backend.before_sync(Arc::new(move || sleep(pause)))
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a slower disk takes its time whatever the runtime"
)]
fn sleep(pause: Duration) {
    std::thread::sleep(pause);
}
