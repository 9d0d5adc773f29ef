//! What can go wrong with stubs.

use std::io;
use std::path::PathBuf;

use larder_core::{Error, ErrorKind, Sent};

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The switch "offline" is on, or a flaky stub refused: not one byte was sent.
pub(crate) fn refused() -> Error {
    let cause = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
    Error::new(ErrorKind::Offline, "the stub refused the connection").with_sent(Sent::Never).because(cause)
}

/// A flaky stub acted on the request and lost the answer.
pub(crate) fn lost_reply() -> Error {
    let cause = io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer");
    Error::new(ErrorKind::Transport, "the stub's answer was lost").with_sent(Sent::Maybe).because(cause)
}

/// The body of the request broke off.
pub(crate) fn broken_body(cause: BoxError) -> Error {
    Error::new(ErrorKind::Transport, "the body of the request could not be read")
        .with_sent(Sent::Maybe)
        .because(cause)
}

/// An answer was to be delayed, and nothing can tell the time.
pub(crate) fn no_runtime() -> Error {
    Error::new(ErrorKind::Invalid, "a delay needs a clock: give the stubs one by `Stubs::runtime`")
        .with_sent(Sent::Maybe)
}

/// A fixture that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {message}", file.display())]
#[non_exhaustive]
pub struct FixtureError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl From<FixtureError> for Error {
    fn from(error: FixtureError) -> Self {
        Self::new(ErrorKind::Invalid, error.to_string()).during("load fixtures").because(error)
    }
}

/// What a request asked for that no variant declares: an extension of the answer with the status 501.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no stub for `{asked}`; {}", advice(nearest))]
#[non_exhaustive]
pub struct Undeclared {
    /// The request, as a variant is written.
    pub asked: String,
    /// The nearest declared variants, the nearest first.
    pub nearest: Vec<String>,
}

fn advice(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return "nothing is declared at all".to_owned();
    }
    let quoted: Vec<_> = nearest.iter().map(|text| format!("`{text}`")).collect();
    format!("the nearest that are declared: {}", quoted.join(", "))
}
