//! A database that is open, and how it is let go of: the one place where a database is closed.
//!
//! redb ends a database with a commit of its own, which notes which pages are free. Over a damaged file that commit may
//! panic, and a panic while redb holds pages that it has handed out twice ends the process: it is unwound through locks
//! that it has poisoned itself. So nothing is written to a file that is doubted: it is left as a kill would leave it, and
//! whoever opens it next has all of it verified first.

use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_core::{Error, ErrorKind, Result};
use redb::{Database, ReadableDatabase as _, StorageBackend, StorageError};

use crate::backend::Lent;
use crate::codec;
use crate::counters::Counters;
use crate::error::{self, Raw, contain};
use crate::pages::{Pages, Walked};
use crate::salvage;
use crate::untouched::Untouched;

/// A database, or none: closed by dropping it.
#[derive(Default)]
pub(crate) struct Held(Option<Open>);

struct Open {
    database: Database,
    /// What it lies on.
    medium: Arc<dyn StorageBackend>,
    /// True until all that is looked at when it is opened was found sound, and once anything of it was found damaged, or redb
    /// has panicked over it.
    doubted: AtomicBool,
    /// What knows whether anything was written.
    mark: Option<Arc<Untouched>>,
}

impl Held {
    /// Takes over a database that has just been opened over `medium`. Until it is [trusted](Self::trust) it is closed as it
    /// is: whoever gives an opening up has nothing written.
    ///
    /// # Errors
    /// `Corrupt` if redb's own pages are not as they were written: which pages are free is read there, so that what is
    /// written next could be written over anything. `Storage` if the medium fails.
    pub(crate) fn new(database: Database, medium: Arc<dyn StorageBackend>) -> Result<Self> {
        let verified = own_pages_verify(&medium);
        let held = Self(Some(Open { database, medium, doubted: AtomicBool::new(true), mark: None }));
        match verified.map_err(StorageError::Io).map_err(Raw::from)? {
            true => Ok(held),
            false => Err(codec::damaged("what the file says of its own pages")),
        }
    }

    /// Whatever is looked at when it is opened is as it should be: from now on it is closed in order.
    pub(crate) fn trust(&self) {
        self.doubts(false);
    }

    /// The same, of which `mark` says whether anything was written.
    pub(crate) fn marked_by(mut self, mark: Arc<Untouched>) -> Self {
        if let Some(open) = &mut self.0 {
            open.mark = Some(mark);
        }
        self
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// # Errors
    /// `Storage` if it is closed.
    pub(crate) fn get(&self) -> Result<&Database> {
        self.0.as_ref().map(|open| &open.database).ok_or_else(closed)
    }

    /// # Errors
    /// `Storage` if it is closed.
    pub(crate) fn get_mut(&mut self) -> Result<&mut Database> {
        self.0.as_mut().map(|open| &mut open.database).ok_or_else(closed)
    }

    /// True if redb does nothing more, because the medium has failed it.
    pub(crate) fn has_failed(&self) -> bool {
        let begins = |open: &Open| {
            contain(|| open.database.begin_write().map(drop).map_err(Raw::from).map_err(Error::from))
        };
        self.0.as_ref().is_some_and(|open| begins(open).is_err())
    }

    /// From now on nothing more is written to it when it is closed; see [`Self::keep`].
    pub(crate) fn doubt(&self) {
        self.doubts(true);
    }

    fn doubts(&self, doubted: bool) {
        if let Some(open) = &self.0 {
            open.doubted.store(doubted, Ordering::SeqCst);
        }
    }

    /// Takes away the state before the last one, if this is doubted and the last one is what was told to be durable: a
    /// file that was not closed may be one that the power was cut under, and redb goes back by a commit if the last one
    /// does not verify.
    pub(crate) fn keep(&self, counters: Counters) {
        let Some(open) = self.0.as_ref().filter(|open| open.doubted.load(Ordering::SeqCst)) else { return };
        let kept = Pages::open(Box::new(Lent(open.medium.clone()))).and_then(|pages| match pages {
            Some(pages) => pages.keep_newest(|slot| salvage::is_of(&pages, slot, counters)),
            None => Ok(()),
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "the last commit may be lost when the store is opened again");
        }
    }

    /// Closes it in order, so that whoever opens it next has nothing to write.
    ///
    /// # Errors
    /// `Storage`, `Full` or `Corrupt` if it is closed as it is instead.
    pub(crate) fn close(mut self) -> Result<()> {
        self.0.take().map_or(Ok(()), Open::close)
    }

    /// Closes it without writing anything: nothing was written through it, so the file is as it was.
    pub(crate) fn let_go(mut self) {
        if let Some(Open { database, medium, .. }) = self.0.take() {
            leave(database, &*medium, cfg!(panic = "unwind"));
        }
    }

    /// Takes note of what a use of it came to.
    pub(crate) fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt) {
            self.doubt();
        }
        result
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(open) = self.0.take()
            && let Err(error) = open.close()
        {
            tracing::warn!(%error, "the store is closed as it is: all of it is verified when it is opened again");
        }
    }
}

impl Open {
    fn close(self) -> Result<()> {
        let Self { database, medium, doubted, mark } = self;
        // The file is closed as it is, and redb's last commit would say what it says. Without unwinding there is no other way
        // to let go of a database.
        if cfg!(panic = "unwind") && mark.is_some_and(|mark| mark.is_as_it_was()) {
            leave(database, &*medium, true);
            return Ok(());
        }
        // A thread that panics, and a medium that can't be read: redb writes nothing in the one case, and should not in
        // the other.
        let is_sound = !doubted.into_inner() && own_pages_verify(&medium).unwrap_or(false);
        if !is_sound {
            leave(database, &*medium, cfg!(panic = "unwind"));
            return Err(Error::new(ErrorKind::Corrupt, "it was not found to be sound"));
        }
        contain(|| database.close().map_err(error::closing))
    }
}

/// Whether what the closing commit changes is as it was written: redb's own tables, of which there are few pages.
fn own_pages_verify(medium: &Arc<dyn StorageBackend>) -> io::Result<bool> {
    let pages = Pages::open(Box::new(Lent(medium.clone())))?;
    let walked = pages.as_ref().and_then(|pages| Some(pages.verify_own(&pages.current?)));
    let walked = walked.map(Walked::whole).transpose()?;
    Ok(walked.is_some_and(|walked| walked.damaged == 0))
}

/// Closes a database as a kill would: nothing more is written, and the file is free.
fn leave(database: Database, medium: &dyn StorageBackend, unwinds: bool) {
    // redb writes nothing while a panic is under way. One that begins in its closing then would end the process: that is
    // only possible if an earlier one has poisoned what a reader needs as well.
    let usable = catch_unwind(AssertUnwindSafe(|| drop(database.begin_read()))).is_ok();
    if unwinds && usable {
        // No panic hook is called for it: nothing is wrong here.
        let closing = AssertUnwindSafe(|| {
            let _database = database;
            resume_unwind(Box::new("closing"))
        });
        drop(catch_unwind(closing));
    } else {
        // Nothing can be unwound. What is lost is memory, once.
        drop(medium.close());
        mem::forget(database);
    }
}

#[cold]
fn closed() -> Error {
    Error::new(ErrorKind::Storage, "the store is closed")
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Held").field(&self.is_open()).finish()
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use redb::{Database, TableDefinition};

    use super::*;
    use crate::backend;

    const TABLE: TableDefinition<'static, u64, u64> = TableDefinition::new("t");

    fn opened(path: &std::path::Path) -> (Database, Arc<dyn StorageBackend>) {
        let medium: Arc<dyn StorageBackend> = backend::file(path).unwrap().into();
        let database = Database::builder().create_with_backend(Lent(medium.clone())).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TABLE).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
        (database, medium)
    }

    // Rules: d-closing
    #[test]
    fn what_is_left_is_as_it_was_and_free_whether_or_not_panics_unwind() {
        let directory = tempfile::tempdir().unwrap();
        for unwinds in [true, false] {
            let path = directory.path().join(format!("{unwinds}.redb"));
            let (database, medium) = opened(&path);
            let before = std::fs::read(&path).unwrap();
            leave(database, &*medium, unwinds);
            assert!(std::fs::read(&path).unwrap() == before, "something was written");
            assert!(before[9] & 2 != 0, "it counts as not closed");
            let (database, medium) = opened(&path);
            Held::new(database, medium).unwrap().trust();
            assert!(std::fs::read(&path).unwrap()[9] & 2 == 0, "it was closed");
        }
    }

    // Rules: d-closing
    #[test]
    fn a_database_is_left_while_its_thread_panics() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.redb");
        for doubted in [false, true] {
            let (database, medium) = opened(&path);
            let held = Held::new(database, medium).unwrap();
            if !doubted {
                held.trust();
            }
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _held = held;
                resume_unwind(Box::new(7))
            }));
            assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&7), "its own panic goes on");
            assert!(std::fs::read(&path).unwrap()[9] & 2 != 0, "nothing was written");
        }
    }

    #[test]
    fn what_can_t_be_verified_is_not_written_to() {
        let medium: Arc<dyn StorageBackend> = Arc::new(InMemoryBackend::new());
        medium.set_len(8192).unwrap();
        assert!(!own_pages_verify(&medium).unwrap());
    }
}
