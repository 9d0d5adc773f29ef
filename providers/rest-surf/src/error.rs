//! Errors there and back: what larder-rest asks an error for is still in it after surf.

use std::error::Error as StdError;
use std::fmt;

use http_types::StatusCode;
use larder_core::{Error, ErrorKind, Sent};
use larder_rest::TransportError;

/// An error of surf, as one that has a source.
pub(crate) struct SurfError(surf::Error);

impl From<surf::Error> for SurfError {
    fn from(error: surf::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for SurfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("surf did not get an answer")
    }
}

impl fmt::Debug for SurfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // surf's own shows a backtrace where there is one.
        f.debug_tuple("SurfError").field(&self.0.to_string()).finish()
    }
}

impl StdError for SurfError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.0.as_ref())
    }
}

/// A request that can't be expressed on the other side.
pub(crate) fn inexpressible(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message).with_sent(Sent::Never)
}

/// An answer that can't be expressed on the other side.
pub(crate) fn unintelligible(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Transport, message).with_sent(Sent::Answered)
}

/// For surf: a request that it can't be sent as it is.
pub(crate) fn bad_request(error: Error) -> http_types::Error {
    http_types::Error::new(StatusCode::BadRequest, error)
}

/// For surf: no answer.
pub(crate) fn no_answer(error: TransportError) -> http_types::Error {
    http_types::Error::new(StatusCode::BadGateway, error)
}

/// For surf: no answer in time.
pub(crate) fn late() -> http_types::Error {
    let error =
        Error::new(ErrorKind::Timeout, "no answer within the time that is allowed").with_sent(Sent::Maybe);
    http_types::Error::new(StatusCode::GatewayTimeout, error)
}
