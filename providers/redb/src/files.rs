//! The file system, as far as a salvage needs it: files beside each other, what is done to their names, and what makes
//! that last.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use redb::StorageBackend;

use crate::backend;

/// A file system. [`Redb::files`](crate::Redb::files) replaces it: to inject faults, and to lose what was not synced.
///
/// What is done to names is there at once, and lasts through a power cut once the directory is synced.
pub trait Files: Debug + Send + Sync {
    /// Opens a file to be read and written, and makes it with mode 0600 if it is not there.
    ///
    /// # Errors
    /// Those of the file system, as of each of these.
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>>;

    /// True if there is something of this name.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Gives a file a second name, which is not there yet.
    ///
    /// # Errors
    /// See [`open`](Self::open); any, where a file has one name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name, in one step: of the file that had that name before, the name is gone.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name, if it is there.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes whatever was done to names in the directory of this file last.
    ///
    /// # Errors
    /// See [`open`](Self::open). None where a directory can't be synced.
    fn sync_directory(&self, of: &Path) -> io::Result<()>;
}

/// That of the operating system.
#[derive(Debug)]
pub(crate) struct System;

impl Files for System {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        backend::file(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_directory(&self, of: &Path) -> io::Result<()> {
        // Elsewhere a directory is no file that could be opened.
        if cfg!(not(unix)) {
            return Ok(());
        }
        let directory = of.parent().filter(|parent| !parent.as_os_str().is_empty());
        match File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all()) {
            // A file system that does not sync directories, or a directory that may be searched and not read.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput
                        | io::ErrorKind::Unsupported
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                tracing::debug!(%error, "the directory can't be synced");
                Ok(())
            }
            synced => synced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_taken_and_found() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two, three] = ["one", "two", "three"].map(|name| directory.path().join(name));
        assert!(!System.exists(&one).unwrap());
        System.open(&one).unwrap().set_len(7).unwrap();
        System.link(&one, &two).unwrap();
        assert_eq!(System.link(&one, &two).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        System.open(&three).unwrap();
        System.rename(&three, &one).unwrap();
        assert!(!System.exists(&three).unwrap());
        let length = |path: &Path| System.open(path).unwrap().len().unwrap();
        assert_eq!((length(&one), length(&two)), (0, 7));
        System.sync_directory(&one).unwrap();
        System.remove(&one).unwrap();
        System.remove(&one).unwrap();
        assert!(!System.exists(&one).unwrap());
        let nowhere = directory.path().join("nowhere").join("one");
        assert_eq!(System.sync_directory(&nowhere).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
