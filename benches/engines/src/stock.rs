//! The same users in three files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Result;
use crate::larder::{Larder, runtime};
use crate::model::User;
use crate::raw::Raw;
use crate::sqlite::Sqlite;

/// Where the files of the three engines are.
#[derive(Clone, Debug)]
pub struct Files {
    /// Larder's.
    pub larder: PathBuf,
    /// redb's.
    pub raw: PathBuf,
    /// SQLite's.
    pub sqlite: PathBuf,
}

impl Files {
    /// Three files that are not there yet.
    #[must_use]
    pub fn below(directory: &Path) -> Self {
        let file = |name| directory.join(name);
        Self { larder: file("larder.redb"), raw: file("raw.redb"), sqlite: file("a.sqlite") }
    }

    /// Removes what is there.
    ///
    /// # Errors
    /// Those of the file system, unless there is nothing to be removed.
    pub fn remove(&self) -> Result<()> {
        for file in [&self.larder, &self.raw, &self.sqlite] {
            for end in ["", "-wal", "-shm"] {
                let mut name = file.clone().into_os_string();
                name.push(end);
                match std::fs::remove_file(name) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Three open files with the same users in them.
#[derive(Debug)]
pub struct Stock {
    /// Larder's.
    pub larder: Larder,
    /// redb's.
    pub raw: Raw,
    /// SQLite's.
    pub sqlite: Sqlite,
    /// How many users there are.
    pub rows: u64,
    /// Removes the files, if they were made for this stock.
    _scratch: Option<TempDir>,
}

impl Stock {
    /// Fills files below `directory` with so many users, closes them and opens them again.
    ///
    /// # Errors
    /// Whatever an engine reports.
    pub fn filled(directory: &Path, rows: u64) -> Result<Self> {
        let scratch = tempfile::tempdir_in(directory)?;
        let (files, runtime) = (Files::below(scratch.path()), runtime()?);
        fill(&files, rows, &runtime)?;
        Ok(Self { _scratch: Some(scratch), ..Self::open(&files, rows, &runtime)? })
    }

    /// Opens files that are there.
    ///
    /// # Errors
    /// Whatever an engine reports.
    pub fn open(files: &Files, rows: u64, runtime: &Arc<Runtime>) -> Result<Self> {
        Ok(Self {
            larder: Larder::open::<User>(&files.larder, runtime)?,
            raw: Raw::open(&files.raw)?,
            sqlite: Sqlite::open(&files.sqlite)?,
            rows,
            _scratch: None,
        })
    }
}

/// Stores so many users in each file, and closes it.
///
/// # Errors
/// Whatever an engine reports.
pub fn fill(files: &Files, rows: u64, runtime: &Arc<Runtime>) -> Result<()> {
    let users: Vec<User> = (0..rows).map(User::nth).collect();
    Larder::open::<User>(&files.larder, runtime)?.fill(&users)?;
    Raw::open(&files.raw)?.fill(&users, 2)?;
    let sqlite = Sqlite::open(&files.sqlite)?;
    sqlite.create(2)?;
    sqlite.fill(&users)
}
