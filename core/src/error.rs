//! One error type for every layer: a kind for code, an operation and a place for people, a source for the cause.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The result of everything in Larder that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How many characters of a key a message shows.
const SHOWN: usize = 200;

/// What went wrong, for code that has to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The remote can't be reached, or is not allowed to be asked.
    Offline,
    /// No answer within the time that was allowed.
    Timeout,
    /// The connection broke, or the peer did not speak the protocol.
    Transport,
    /// The remote answered with this status and none of the more precise kinds fits.
    Http {
        /// The status of the answer.
        status: u16,
    },
    /// The credentials are missing, wrong or have expired.
    Unauthorized,
    /// There is no such row or endpoint.
    NotFound,
    /// A unique constraint, or the server's version, contradicts the write. Nothing was changed.
    Conflict,
    /// The business said no; the server's answer is in [`Error::body`].
    Rejected,
    /// Data does not have the shape that the model asks for; the place is in [`Error::path`].
    Serialization,
    /// The store could not read or write.
    Storage,
    /// Stored data is damaged or foreign.
    Corrupt,
    /// The provider can't do that, and said so before trying: a verb that it does not have, or a file that a newer
    /// version of the application has written.
    Unsupported,
    /// The request makes no sense as it stands.
    Invalid,
    /// The caller withdrew the request.
    Cancelled,
    /// There is no room: the disk, the queue or a declared limit is full.
    Full,
}

impl ErrorKind {
    /// What an answer with this status is, if it is no success and the remote means nothing else by it.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            404 | 410 => Self::NotFound,
            // 428 asks for the version that a write is based on: what the server has is not known here.
            409 | 412 | 428 => Self::Conflict,
            408 | 425 | 429 => Self::Http { status },
            400..=499 => Self::Rejected,
            _ => Self::Http { status },
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Offline => "offline",
            Self::Timeout => "timed out",
            Self::Transport => "transport failed",
            Self::Http { status } => return write!(f, "http status {status}"),
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::Serialization => "data does not fit",
            Self::Storage => "storage failed",
            Self::Corrupt => "stored data is corrupt",
            Self::Unsupported => "unsupported",
            Self::Invalid => "invalid",
            Self::Cancelled => "cancelled",
            Self::Full => "full",
        };
        f.write_str(text)
    }
}

/// How far a request had gone when it failed. The outbox decides by it whether a repeat is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Sent {
    /// Not one byte of the request left this machine.
    #[default]
    Never,
    /// The peer may have received the request and acted on it.
    Maybe,
    /// The peer answered.
    Answered,
}

/// What failed, where, and why.
///
/// ```
/// use larder_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Serialization, "expected an integer, found a string")
///     .during("decode").model("User").at("address.zip");
/// assert_eq!(error.kind(), ErrorKind::Serialization);
/// assert_eq!(
///     error.to_string(),
///     "failed to decode User at address.zip: data does not fit: expected an integer, found a string",
/// );
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    operation: Option<&'static str>,
    model: Option<String>,
    key: Option<String>,
    path: Option<String>,
    status: Option<u16>,
    body: Option<String>,
    retry_after: Option<Duration>,
    sent: Sent,
    transient: Option<bool>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error of `kind`; `message` is a lower-case fragment that says what to do where that is known.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            operation: None,
            model: None,
            key: None,
            path: None,
            status: match kind {
                ErrorKind::Http { status } => Some(status),
                _ => None,
            },
            body: None,
            retry_after: None,
            sent: Sent::Never,
            transient: None,
            source: None,
        }))
    }

    /// Names the operation that failed, as a verb: "decode", "commit".
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Names the model, if none is named yet.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.0.model.get_or_insert_with(|| model.into());
        self
    }

    /// Names the row, if none is named yet.
    #[must_use]
    pub fn key(mut self, key: impl fmt::Display) -> Self {
        self.0.key.get_or_insert_with(|| key.to_string());
        self
    }

    /// Puts `segment` in front of the field path: errors travel from the inside out.
    #[must_use]
    pub fn at(mut self, segment: impl AsRef<str>) -> Self {
        let segment = segment.as_ref();
        self.0.path = Some(match self.0.path.take() {
            None => segment.to_owned(),
            Some(inner) if inner.starts_with('[') => format!("{segment}{inner}"),
            Some(inner) => format!("{segment}.{inner}"),
        });
        self
    }

    /// Records the status of the answer.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Keeps the server's body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        self.0.body = Some(body.into());
        self
    }

    /// Records how long the server asked to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Records how far the request had gone.
    #[must_use]
    pub fn with_sent(mut self, sent: Sent) -> Self {
        self.0.sent = sent;
        self
    }

    /// Overrides what [`is_transient`](Self::is_transient) derives from the kind.
    #[must_use]
    pub fn with_transient(mut self, transient: bool) -> Self {
        self.0.transient = Some(transient);
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// True if the same request may succeed later without being changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.transient.unwrap_or(match self.0.kind {
            ErrorKind::Offline | ErrorKind::Timeout | ErrorKind::Transport => true,
            ErrorKind::Http { status } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        })
    }

    /// The operation that failed, if it is known.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The model concerned, if there is one.
    #[must_use]
    pub fn model_name(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// The row concerned, if there is one.
    #[must_use]
    pub fn row_key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The field path, such as `address.zip` or `tags[2]`.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// The message alone, without kind, place and cause.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The status of the server's answer, if it answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The body of the server's answer, if it answered.
    #[must_use]
    pub fn body(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// How long the server asked to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// How far the request had gone.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.0.sent
    }

    /// The same facts again, for the several callers who wait for one answer; the source becomes its text.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let inner = &self.0;
        Self(Box::new(Inner {
            kind: inner.kind,
            message: inner.message.clone(),
            operation: inner.operation,
            model: inner.model.clone(),
            key: inner.key.clone(),
            path: inner.path.clone(),
            status: inner.status,
            body: inner.body.clone(),
            retry_after: inner.retry_after,
            sent: inner.sent,
            transient: inner.transient,
            source: inner.source.as_ref().map(|source| source.to_string().into()),
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        if let Some(operation) = inner.operation {
            write!(f, "failed to {operation}")?;
            if let Some(model) = &inner.model {
                write!(f, " {model}")?;
            }
            if let Some(key) = &inner.key {
                write!(f, " {}", shown(key))?;
            }
            if let Some(path) = &inner.path {
                write!(f, " at {path}")?;
            }
            f.write_str(": ")?;
        } else if let Some(model) = &inner.model {
            write!(f, "{model}")?;
            if let Some(path) = &inner.path {
                write!(f, ".{path}")?;
            }
            f.write_str(": ")?;
        } else if let Some(path) = &inner.path {
            write!(f, "{path}: ")?;
        }
        write!(f, "{}", inner.kind)?;
        if !inner.message.is_empty() {
            write!(f, ": {}", inner.message)?;
        }
        Ok(())
    }
}

/// A key as a message shows it: of a long one its beginning.
fn shown(key: &str) -> Cow<'_, str> {
    match key.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &key[..end]).into(),
        None => key.into(),
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        let mut out = f.debug_struct("Error");
        out.field("kind", &inner.kind).field("message", &inner.message);
        if let Some(operation) = inner.operation {
            out.field("operation", &operation);
        }
        let key = inner.key.as_deref().map(shown);
        let (model, path) = (inner.model.as_deref(), inner.path.as_deref());
        for (name, value) in [("model", model), ("key", key.as_deref()), ("path", path)] {
            if let Some(value) = value {
                out.field(name, &value);
            }
        }
        if let Some(status) = inner.status {
            out.field("status", &status);
        }
        if let Some(body) = &inner.body {
            out.field("body", body);
        }
        if let Some(source) = &inner.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// Why a field could not be shown or taken: small, so that the hot path pays nothing for it. The place is added on
/// the way out, by [`Fault::error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The value is of another type.
    Type {
        /// What the field asks for.
        expected: &'static str,
        /// What was there.
        found: &'static str,
    },
    /// The field is not there and has no default.
    Missing,
    /// The number does not fit the type.
    Range {
        /// The type that it does not fit.
        expected: &'static str,
    },
    /// An array has as many elements as its type says, and there are fewer or more.
    Length {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The enum has no variant of that name (any more).
    Variant,
    /// The stored bytes end too early or are not what their shape says.
    Malformed,
    /// The stored field has a type that can't be read as today's.
    Retyped {
        /// The version of the model that wrote the row.
        stored: u32,
        /// Today's version of the model.
        current: u32,
    },
    /// The stored variant of an enum does not exist any more.
    Gone {
        /// The version of the model that wrote the row.
        stored: u32,
        /// Today's version of the model.
        current: u32,
    },
    /// The migration of a stored row has left a value that today's field can't take.
    Unfit {
        /// The version of the model that wrote the row.
        stored: u32,
        /// Today's version of the model.
        current: u32,
        /// What the field asks for.
        expected: &'static str,
    },
    /// The model has no field at that position.
    NoSuchField,
    /// A value was refused by its converter.
    Refused,
}

impl Fault {
    /// Turns the fault into an error that names `model` and `field`.
    #[cold]
    #[must_use]
    pub fn error(self, model: &str, field: &str) -> Error {
        let (kind, message) = match self {
            Self::Type { expected, found } => {
                (ErrorKind::Serialization, format!("expected {expected}, found {found}"))
            }
            Self::Missing => {
                (ErrorKind::Serialization, "required, but not there; give it a default".to_owned())
            }
            Self::Range { expected } => (ErrorKind::Serialization, format!("out of range for {expected}")),
            Self::Length { expected, found } => {
                (ErrorKind::Serialization, format!("expected {expected} elements, found {found}"))
            }
            Self::Variant => (ErrorKind::Serialization, "unknown enum variant".to_owned()),
            Self::Malformed => (ErrorKind::Corrupt, "stored value is malformed".to_owned()),
            Self::Retyped { stored, current } => (
                ErrorKind::Serialization,
                format!(
                    "stored by version {stored} of the model with a type that version {current} can't read; \
                     rename the field or give it a migration"
                ),
            ),
            Self::Gone { stored, current } => (
                ErrorKind::Serialization,
                format!(
                    "stored by version {stored} of the model as an enum variant that version {current} does not have; \
                     keep the variant, or give another one its name as an alias"
                ),
            ),
            Self::Unfit { stored, current, expected } => (
                ErrorKind::Serialization,
                format!(
                    "expected {expected}; what the migration from version {stored} of the model to version {current} \
                     has left does not fit"
                ),
            ),
            Self::NoSuchField => (ErrorKind::Invalid, "the model has no field at that position".to_owned()),
            Self::Refused => (ErrorKind::Serialization, "refused by its converter".to_owned()),
        };
        Error::new(kind, message).model(model).at(field)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::Missing => f.write_str("missing"),
            Self::Range { expected } => write!(f, "out of range for {expected}"),
            Self::Length { expected, found } => write!(f, "expected {expected} elements, found {found}"),
            Self::Variant => f.write_str("unknown enum variant"),
            Self::Malformed => f.write_str("malformed"),
            Self::Retyped { stored, current } => write!(f, "retyped between versions {stored} and {current}"),
            Self::Gone { stored, current } => {
                write!(f, "an enum variant that went between versions {stored} and {current}")
            }
            Self::Unfit { stored, current, expected } => {
                write!(f, "expected {expected} after the migration from version {stored} to {current}")
            }
            Self::NoSuchField => f.write_str("no such field"),
            Self::Refused => f.write_str("refused by its converter"),
        }
    }
}

impl StdError for Fault {}
