//! What an application finds wrong with a model of its own.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};
use crate::row::Row;
use crate::schema::Schema;

/// Says that a model is not as the application wants it, and which field is to blame.
///
/// A check is `fn(&Model) -> Result<(), E>` or `fn(&Field) -> Result<(), E>`, where `E` is an `Invalid`, a `String` or a
/// `&'static str`. It is declared with `#[model(validate = "path")]`, on the model or on the field.
///
/// ```
/// use larder_core::Invalid;
///
/// struct Stay { from: u32, to: u32 }
///
/// fn in_order(stay: &Stay) -> Result<(), Invalid> {
///     if stay.to < stay.from {
///         return Err(Invalid::new("the stay ends before it begins").at("to"));
///     }
///     Ok(())
/// }
///
/// let invalid = in_order(&Stay { from: 3, to: 1 }).expect_err("it ends too early");
/// assert_eq!(invalid.path(), Some("to"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    path: Option<String>,
    message: Cow<'static, str>,
}

impl Invalid {
    /// Something is wrong; `message` is a lower-case fragment that says what.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { path: None, message: message.into() }
    }

    /// Puts `segment` in front of the path to the field, such as `address.zip`.
    #[must_use]
    pub fn at(mut self, segment: impl AsRef<str>) -> Self {
        let segment = segment.as_ref();
        self.path = Some(match self.path.take() {
            None => segment.to_owned(),
            Some(inner) if inner.starts_with('[') => format!("{segment}{inner}"),
            Some(inner) => format!("{segment}.{inner}"),
        });
        self
    }

    /// The path to the field, if one is to blame.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Invalid {}

impl From<&'static str> for Invalid {
    fn from(message: &'static str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Invalid {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        let error = Self::new(ErrorKind::Invalid, invalid.message);
        match invalid.path {
            Some(path) => error.at(path),
            None => error,
        }
    }
}

impl Schema {
    /// Asks whether the model can be made of `row`: kinds do not say how long an array is, or what a converter takes. A
    /// row that comes from elsewhere is asked before it is stored, as nobody could read it afterwards.
    ///
    /// # Errors
    /// As [`Model::from_row`](crate::Model::from_row).
    pub fn fits(&self, row: &dyn Row) -> Result<()> {
        self.fits.map_or(Ok(()), |fits| fits(row))
    }

    /// Asks the application's checks of `row`, of those that the model declares.
    ///
    /// They are for what the application writes; what comes from a remote has been accepted there.
    ///
    /// # Errors
    /// `Invalid` with model, key and field if a check refuses the row; as [`Model::from_row`](crate::Model::from_row)
    /// if it is no row of the model.
    pub fn validate(&self, row: &dyn Row) -> Result<()> {
        let Some(validate) = self.validate else {
            return Ok(());
        };
        validate(row).map_err(|error| {
            let error = error.during("validate").model(self.model);
            match self.key_of(row) {
                Ok(key) => error.key(key),
                Err(_) => error,
            }
        })
    }
}
