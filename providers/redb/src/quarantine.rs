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
use std::ops::{Bound, Range};
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
use crate::pages::{Pages, twice};
use crate::salvage::{self, Known};
use crate::upkeep::{self, Writes};

/// How many bytes are copied or compared at a time.
const CHUNK: usize = 1 << 20;

/// How many bytes are given up at a time where a medium does not give them.
const PAGE: usize = 4096;

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
    let pages = Pages::open(files.open(path).map_err(failed)?).map_err(|error| match known.gives_up {
        true => error::illegible(&path.display().to_string(), "its first page", error),
        false => failed(error),
    })?;
    let pages =
        pages.ok_or_else(|| codec::damaged("the header of the file, so that nothing can be salvaged: it"))?;
    let aside = Aside::find(files, path, known.gives_up).map_err(failed)?;
    let fresh = beside(path, "salvage");
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
    held.close()?;
    Ok(damage)
}

/// Where the damaged file goes.
struct Aside {
    name: PathBuf,
    /// True if it is there already: a salvage before this one was not finished.
    is_there: bool,
    /// True if it is kept without what the medium does not give, where it has to be copied.
    gives_up: bool,
}

impl Aside {
    /// The last name that is taken, if what lies there is this very file; else the first that is free.
    fn find(files: &dyn Files, path: &Path, gives_up: bool) -> io::Result<Self> {
        let mut last = None;
        for nth in 1_u64.. {
            let name = beside(path, &format!("damaged-{nth}"));
            if files.exists(&name)? {
                last = Some(name);
                continue;
            }
            return Ok(match last {
                Some(last) if is_same(files, path, &last, gives_up)? => {
                    Self { name: last, is_there: true, gives_up }
                }
                _ => Self { name, is_there: false, gives_up },
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
            pieces(from.len()?, |offset, chunk| {
                read(&*from, offset, chunk, self.gives_up)?;
                to.write(offset, chunk).map(|()| true)
            })?;
            to.sync_data()?;
            drop(to);
            files.rename(&unfinished, &self.name)
        };
        copied().inspect_err(|_| drop(files.remove(&unfinished)))
    }
}

/// True if two files have the same bytes, be they one file or two, as far as they can be read.
fn is_same(files: &dyn Files, one: &Path, other: &Path, gives_up: bool) -> io::Result<bool> {
    let (one, other) = (files.open(one)?, files.open(other)?);
    let len = one.len()?;
    if len != other.len()? {
        return Ok(false);
    }
    let mut there = vec![0; CHUNK];
    pieces(len, |offset, chunk| {
        let there = &mut there[..chunk.len()];
        let mut holes = read(&*one, offset, chunk, gives_up)?;
        holes.extend(read(&*other, offset, there, gives_up)?);
        for hole in holes {
            chunk[hole.clone()].fill(0);
            there[hole].fill(0);
        }
        Ok(there == chunk)
    })
}

/// Goes through a file piece by piece, for as long as the answer is yes: what the last answer was.
fn pieces(len: u64, mut see: impl FnMut(u64, &mut [u8]) -> io::Result<bool>) -> io::Result<bool> {
    let (mut offset, mut chunk) = (0, vec![0; CHUNK]);
    while offset < len {
        let some = (len - offset).min(CHUNK as u64);
        if !see(offset, &mut chunk[..some as usize])? {
            return Ok(false);
        }
        offset += some;
    }
    Ok(true)
}

/// Reads a piece of a file. What the medium does not give is nothing but zeros where that is given up; tells where.
fn read(
    file: &dyn StorageBackend,
    offset: u64,
    piece: &mut [u8],
    gives_up: bool,
) -> io::Result<Vec<Range<usize>>> {
    match file.read(offset, piece) {
        Err(_) if gives_up => {}
        read => return read.map(|()| Vec::new()),
    }
    let mut holes = Vec::new();
    for (at, page) in (0..).step_by(PAGE).zip(piece.chunks_mut(PAGE)) {
        if twice(|| file.read(offset + at as u64, page)).is_err() {
            page.fill(0);
            holes.push(at..at + page.len());
        }
    }
    Ok(holes)
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
