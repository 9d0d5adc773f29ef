//! redb's errors as ours, and the wall that its panics do not get through.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use larder_core::{Error, ErrorKind, Result};
use redb::{CommitError, DatabaseError, SetDurabilityError, StorageError, TableError, TransactionError};

/// Any error of redb, before it is known what it means for the caller.
#[derive(Debug)]
pub(crate) enum Raw {
    /// The medium, or what lies on it.
    Storage(StorageError),
    /// The table is not there, or of another type.
    Table(TableError),
    /// Something that the way we call redb rules out.
    Misuse(String),
}

impl Raw {
    /// True if the handle was closed under the reader, because the store reopened itself or is about to.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Storage(StorageError::DatabaseClosed | StorageError::PreviousIo))
    }

    /// True if the value was refused and the transaction is as it was.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Self::Storage(StorageError::ValueTooLarge(_)))
    }
}

impl From<StorageError> for Raw {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<TableError> for Raw {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => Self::Storage(error),
            other => Self::Table(other),
        }
    }
}

impl From<TransactionError> for Raw {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => Self::Storage(error),
            other => Self::Misuse(other.to_string()),
        }
    }
}

impl From<CommitError> for Raw {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            other => Self::Misuse(other.to_string()),
        }
    }
}

impl From<SetDurabilityError> for Raw {
    fn from(error: SetDurabilityError) -> Self {
        Self::Misuse(error.to_string())
    }
}

impl From<Raw> for Error {
    #[cold]
    fn from(raw: Raw) -> Self {
        match raw {
            Raw::Storage(error) => storage(error),
            Raw::Table(error) => foreign("the file is a redb database of another application").because(error),
            Raw::Misuse(message) => Self::new(ErrorKind::Storage, message),
        }
    }
}

fn storage(error: StorageError) -> Error {
    let (kind, message) = match &error {
        StorageError::Corrupted(_) => (ErrorKind::Corrupt, "the database file is damaged"),
        StorageError::ValueTooLarge(_) => {
            (ErrorKind::Serialization, "a record of more than 3 GiB can't be stored")
        }
        StorageError::LockPoisoned(_) => (ErrorKind::Corrupt, "the store panicked before; open it again"),
        StorageError::PreviousIo => {
            (ErrorKind::Storage, "a write failed before, and the store could not be reopened yet")
        }
        StorageError::DatabaseClosed => (ErrorKind::Storage, "the store is closed"),
        StorageError::Io(error) => (of_io(error), "the medium failed"),
        _ => (ErrorKind::Storage, "the store failed"),
    };
    match error {
        StorageError::Io(error) => Error::new(kind, format!("{message}: {error}")).because(error),
        other => Error::new(kind, message).because(other),
    }
}

fn of_io(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ErrorKind::Full
        }
        // redb asks for bytes that are not there only if the file is shorter than it says of itself.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => ErrorKind::Corrupt,
        _ => ErrorKind::Storage,
    }
}

/// What went wrong when the medium `name` was opened.
#[cold]
pub(crate) fn opening(name: &str, error: DatabaseError) -> Error {
    let error = match error {
        DatabaseError::DatabaseAlreadyOpen => in_use(name),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            foreign(&format!("{name} is no database of this application")).because(error)
        }
        DatabaseError::Storage(StorageError::Io(error)) => unreachable_medium(name, error),
        DatabaseError::Storage(error) => storage(error),
        other => foreign(&format!("{name} can't be read by this version of redb")).because(other),
    };
    error.during("open")
}

/// What went wrong when a database was closed.
#[cold]
pub(crate) fn closing(error: DatabaseError) -> Error {
    match error {
        DatabaseError::Storage(error) => storage(error),
        other => Error::new(ErrorKind::Storage, other.to_string()),
    }
}

/// The medium `name` belongs to somebody else at the moment.
#[cold]
pub(crate) fn in_use(name: &str) -> Error {
    Error::new(ErrorKind::Storage, format!("{name} is open in another process or repository")).during("open")
}

/// The medium `name` could not be opened at all.
#[cold]
pub(crate) fn unreachable_medium(name: &str, error: io::Error) -> Error {
    Error::new(of_io(&error), format!("{name} can't be opened: {error}")).during("open").because(error)
}

/// True if the medium is there and does not give what lies on it.
pub(crate) fn is_unread(error: &Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem, WouldBlock};
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    let elsewhere = |cause: &io::Error| {
        matches!(cause.kind(), IsADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem | WouldBlock)
    };
    error.kind() == ErrorKind::Storage && cause.is_some_and(|cause| !elsewhere(cause))
}

/// Some of the file `name` can't be read, which may get better and may be given up.
#[cold]
pub(crate) fn unread(name: &str, error: Error) -> Error {
    let what = format!(
        "some of {name} can't be read: {}; try again, and if it stays so, go on with what can be (`Redb::give_up_unreadable`)",
        error.message()
    );
    Error::new(ErrorKind::Storage, what).during("open").because(error)
}

/// What the medium does not give of `file` is given up, and nothing can be made out without `part`.
#[cold]
pub(crate) fn illegible(file: &str, part: &str, error: io::Error) -> Error {
    let what = format!(
        "nothing of {file} can be made out without {part}, which can't be read: {error}; move the file away, and restore a copy or begin anew"
    );
    Error::new(ErrorKind::Storage, what).because(error)
}

/// Something that is not ours, or of a version that we don't know.
#[cold]
pub(crate) fn foreign(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

/// Runs `work`; a panic in it is an error of the kind `Corrupt`: redb panics over damaged pages.
pub(crate) fn contain<T, E: From<Panicked>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(Panicked::of(&*payload).into()))
}

/// What a panic said.
#[derive(Debug)]
pub(crate) struct Panicked(String);

impl Panicked {
    #[cold]
    pub(crate) fn of(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self(text.unwrap_or("no message").to_owned())
    }
}

impl From<Panicked> for Error {
    fn from(Panicked(text): Panicked) -> Self {
        Self::new(
            ErrorKind::Corrupt,
            format!(
                "the store panicked ({text}): the database file is probably damaged, check its integrity"
            ),
        )
    }
}
