//! Moving a damaged file aside, and putting what was salvaged in its place.
//!
//! The new file is made beside the old one, with everything that opening it would do to it, and takes its name at the very
//! end. In order, each step durable before the next:
//!
//! 1. what verifies, and the report of it, in `<name>.salvage`;
//! 2. the damaged file under the name `<name>.damaged-<n>` as well;
//! 3. the new file under the name of the old one.
//!
//! Whoever is killed in between leaves the damaged file where it was, and the next salvage begins anew: it removes what was
//! not finished, and finds again what was set aside already. The last step may be done and not be durable; the report in
//! the file says so to whoever opens it.

use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_core::{Damage, Error, Result};
use redb::{Database, StorageBackend};

use crate::backend::Lent;
use crate::catalog::Catalog;
use crate::codec;
use crate::error;
use crate::files::Files;
use crate::held::Held;
use crate::pages::Pages;
use crate::salvage::{self, Known};
use crate::upkeep::{self, Writes};

/// How many bytes are copied or compared at a time.
const CHUNK: usize = 1 << 20;

/// Salvages the file at `path`: it is moved to `<name>.damaged-<n>`, and what verifies takes its place. `fits` looks at how
/// the models are registered in the new file, before anything is moved. The file is [held](hold) meanwhile.
///
/// # Errors
/// `Corrupt` if nothing can be made out; `Unsupported` for a newer format; `Storage` or `Full`. The file is where it was
/// then, unless the very last step could not be made durable.
pub(crate) fn salvage(
    files: &dyn Files,
    path: &Path,
    mut known: Known,
    cause: &Error,
    fits: &dyn Fn(&Catalog) -> Result<()>,
) -> Result<Damage> {
    let _entered = tracing::info_span!("larder_redb::salvage", path = %path.display()).entered();
    let failed = |error: io::Error| error::unreachable_medium(&path.display().to_string(), error);
    let pages = Pages::open(files.open(path).map_err(failed)?).map_err(failed)?;
    let pages =
        pages.ok_or_else(|| codec::damaged("the header of the file, so that nothing can be salvaged: it"))?;
    let (fresh, aside) = (beside(path, "salvage"), Aside::find(files, path).map_err(failed)?);
    (known.aside, known.cause) = (aside.name.display().to_string(), cause.to_string());
    let made = make(files, &pages, &fresh, known, fits).and_then(|damage| {
        drop(pages);
        aside.take(files, path).map_err(failed)?;
        files.rename(&fresh, path).map_err(failed)?;
        Ok(damage)
    });
    // It is not there any more, or nobody needs it.
    let damage = made.inspect_err(|_| drop(files.remove(&fresh)))?;
    files.sync_directory(path).map_err(failed)?;
    tracing::error!(
        aside = damage.aside,
        cause = damage.cause,
        rows = damage.rows,
        entries = damage.entries,
        lost = damage.lost,
        "the store was damaged; what verifies was salvaged"
    );
    Ok(damage)
}

/// Makes the new file: whoever opens it next has nothing to write.
fn make(
    files: &dyn Files,
    pages: &Pages,
    fresh: &Path,
    known: Known,
    fits: &dyn Fn(&Catalog) -> Result<()>,
) -> Result<Damage> {
    let failed = |error: io::Error| error::unreachable_medium(&fresh.display().to_string(), error);
    files.remove(fresh).map_err(failed)?;
    let backend: Arc<dyn StorageBackend> = files.open(fresh).map_err(failed)?.into();
    let database = Database::builder()
        .create_with_backend(Lent(backend.clone()))
        .map_err(|error| error::opening(&fresh.display().to_string(), error))?;
    let held = Held::new(database, backend)?;
    let schemas = known.schemas.clone();
    let damage = salvage::run(pages, held.get()?, known)?;
    fits(&upkeep::prepare(held.get()?, &schemas, Writes::WhatIsDue)?.catalog)?;
    held.trust();
    Ok(damage)
}

/// Where the damaged file goes.
struct Aside {
    name: PathBuf,
    /// True if it is there already: a salvage before this one was not finished.
    is_there: bool,
}

impl Aside {
    /// The last name that is taken, if what lies there is this very file; else the first that is free.
    fn find(files: &dyn Files, path: &Path) -> io::Result<Self> {
        let mut last = None;
        for nth in 1_u64.. {
            let name = beside(path, &format!("damaged-{nth}"));
            if files.exists(&name)? {
                last = Some(name);
                continue;
            }
            return Ok(match last {
                Some(last) if is_same(files, path, &last)? => Self { name: last, is_there: true },
                _ => Self { name, is_there: false },
            });
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Keeps the file under this name, durably; it is still there under its own.
    fn take(&self, files: &dyn Files, path: &Path) -> io::Result<()> {
        if !self.is_there {
            match files.link(path, &self.name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                // Where a file has one name only.
                Err(_) => self.copy(files, path)?,
                Ok(()) => {}
            }
        }
        files.sync_directory(path)
    }

    /// Copies it to another name first: under this one there is the whole file or nothing.
    fn copy(&self, files: &dyn Files, path: &Path) -> io::Result<()> {
        let unfinished = beside(path, "copy");
        files.remove(&unfinished)?;
        let copied = || -> io::Result<()> {
            let (from, to) = (files.open(path)?, files.open(&unfinished)?);
            to.set_len(from.len()?)?;
            each(&*from, &mut |offset, chunk| to.write(offset, chunk).map(|()| true))?;
            to.sync_data()?;
            drop(to);
            files.rename(&unfinished, &self.name)
        };
        copied().inspect_err(|_| drop(files.remove(&unfinished)))
    }
}

/// True if two files have the same bytes, be they one file or two.
fn is_same(files: &dyn Files, one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (files.open(one)?, files.open(other)?);
    if one.len()? != other.len()? {
        return Ok(false);
    }
    let mut there = vec![0; CHUNK];
    each(&*one, &mut |offset, chunk| {
        let there = &mut there[..chunk.len()];
        other.read(offset, there)?;
        Ok(there == chunk)
    })
}

/// Shows a file piece by piece, for as long as the answer is yes: what the last answer was.
fn each(file: &dyn StorageBackend, see: &mut dyn FnMut(u64, &[u8]) -> io::Result<bool>) -> io::Result<bool> {
    let (len, mut offset, mut chunk) = (file.len()?, 0, vec![0; CHUNK]);
    while offset < len {
        let some = (len - offset).min(CHUNK as u64);
        let chunk = &mut chunk[..some as usize];
        file.read(offset, chunk)?;
        if !see(offset, chunk)? {
            return Ok(false);
        }
        offset += some;
    }
    Ok(true)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Holds the file against others while it is salvaged; dropping it lets go.
///
/// # Errors
/// `Storage` if another process or repository has it.
pub(crate) fn hold(files: &dyn Files, path: &Path) -> Result<Box<dyn StorageBackend>> {
    let name = path.display().to_string();
    let file = files.open(path).map_err(|error| error::unreachable_medium(&name, error))?;
    match file.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
        Ok(false) => Err(error::in_use(&name)),
        Err(redb::BackendError::Io(error)) => Err(error::unreachable_medium(&name, error)),
        // A file system without locks: redb opens a file there all the same.
        _ => Ok(file),
    }
}
