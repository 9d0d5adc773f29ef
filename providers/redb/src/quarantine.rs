//! Moving a damaged file aside, and putting what was salvaged in its place.
//!
//! The new file is made beside the old one and takes its name at the very end: an application that is killed meanwhile
//! finds the damaged file where it was, and begins anew.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_core::{Damage, Error, Result};
use redb::{Database, StorageBackend};

use crate::backend::{self, Lent};
use crate::codec;
use crate::error;
use crate::held::Held;
use crate::pages::Pages;
use crate::salvage::{self, Known};

/// Salvages the file at `path`: it is moved to `<name>.damaged-<n>`, and what verifies takes its place.
///
/// # Errors
/// `Corrupt` if nothing can be made out; `Unsupported` for a newer format; `Storage` or `Full`. Nothing is changed then.
pub(crate) fn salvage(path: &Path, known: Known, cause: &Error) -> Result<Damage> {
    let _entered = tracing::info_span!("larder_redb::salvage", path = %path.display()).entered();
    let failed = |error: io::Error| error::unreachable_medium(&path.display().to_string(), error);
    let pages = Pages::open(backend::file(path).map_err(failed)?).map_err(failed)?;
    let pages =
        pages.ok_or_else(|| codec::damaged("the header of the file, so that nothing can be salvaged: it"))?;
    let fresh = beside(path, "salvage");
    let made = make(&pages, &fresh, known);
    let mut damage = made.inspect_err(|_| drop(fs::remove_file(&fresh)))?;
    drop(pages);
    let aside = set_aside(path).map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)?;
    sync_directory(path);
    damage.aside = aside.display().to_string();
    damage.cause = cause.to_string();
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

fn make(pages: &Pages, fresh: &Path, known: Known) -> Result<Damage> {
    let failed = |error: io::Error| error::unreachable_medium(&fresh.display().to_string(), error);
    match fs::remove_file(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let backend: Arc<dyn StorageBackend> = backend::file(fresh).map_err(failed)?.into();
    let database = Database::builder()
        .create_with_backend(Lent(backend.clone()))
        .map_err(|error| error::opening(&fresh.display().to_string(), error))?;
    let held = Held::new(database, backend)?;
    salvage::run(pages, held.get()?, known)
}

/// Keeps the file under a name that is free; it is still there under its own.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for nth in 1.. {
        let aside = beside(path, &format!("damaged-{nth}"));
        match fs::hard_link(path, &aside) {
            Ok(()) => return Ok(aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // A file system without links.
            Err(_) if !aside.exists() => return fs::copy(path, &aside).map(|_| aside),
            Err(_) => {}
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Makes the renaming last through a power cut, where that can be asked for.
fn sync_directory(path: &Path) {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(directory) = File::open(directory) {
        drop(directory.sync_all());
    }
}

/// Holds the file against others while it is salvaged.
///
/// # Errors
/// `Storage` if another process or repository has it.
pub(crate) fn hold(path: &Path) -> Result<File> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| error::unreachable_medium(&name, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(error::in_use(&name)),
        Err(TryLockError::Error(error)) => Err(error::unreachable_medium(&name, error)),
    }
}
