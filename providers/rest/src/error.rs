//! The errors that answers and failures are.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;
use larder_core::{Error, ErrorKind, Failure, Sent, Timestamp};

use crate::credentials::Secrets;
use crate::meaning::{Meaning, kind_of};
use crate::transport::{BoxError, NotSent, TransportError};

/// The error that an answer without success is.
pub(crate) fn of_status(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &Secrets,
    meaning: Option<Meaning>,
    now: Timestamp,
) -> Error {
    let code = status.as_u16();
    let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let mut error = Error::new(kind_of(code, meaning), format!("the server answered {code}{reason}"))
        .with_status(code)
        .with_sent(Sent::Answered)
        .with_transient(meaning == Some(Meaning::Transient));
    if !body.is_empty() {
        error = error.with_body(excerpt(body, Failure::BODY_LIMIT, secrets));
    }
    match retry_after(headers, now) {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}

/// The beginning of a body as text, of at most `limit` bytes. Secrets go before it is cut: half of one is one too.
pub(crate) fn excerpt(body: &[u8], limit: usize, secrets: &Secrets) -> String {
    let mut text = secrets.redact(&String::from_utf8_lossy(body));
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// How long the server asks to wait: seconds, or a date in one of the three forms of RFC 9110, 5.6.7. A date is compared
/// with the server's own clock if it tells it, for that of this machine may be wrong.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(value)?;
    let now = headers.get(DATE).and_then(|date| http_date(date.to_str().ok()?.trim())).unwrap_or(now);
    Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn http_date(text: &str) -> Option<Timestamp> {
    static IMF: DateTimeParser = DateTimeParser::new();
    if let Ok(at) = IMF.parse_timestamp(text) {
        return Some(at);
    }
    let obsolete = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let civil = obsolete.iter().find_map(|format| DateTime::strptime(format, text).ok())?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The error that a request without an answer is. No text of the transport is passed on that holds a secret.
pub(crate) fn of_transport(error: TransportError, secrets: &Secrets) -> Error {
    let sent = error.sent();
    if let Some(own) = chain(&error).find_map(|cause| cause.downcast_ref::<Error>()) {
        return secrets.cleanse(own.duplicate());
    }
    let (kind, message) = describe(&error, sent);
    let ours = Error::new(kind, secrets.redact(&message)).with_sent(sent);
    if secrets.is_in_chain(&error) {
        return ours.because(secrets.tell(&error));
    }
    ours.because(error)
}

/// The error that an answer is whose body breaks off.
pub(crate) fn of_body(error: BoxError) -> Error {
    let own = chain(&*error).find_map(|cause| cause.downcast_ref::<Error>()).map(Error::duplicate);
    let error =
        own.unwrap_or_else(|| Error::new(ErrorKind::Transport, "the answer broke off").because(error));
    error.with_sent(Sent::Answered)
}

fn describe(error: &TransportError, sent: Sent) -> (ErrorKind, String) {
    let innermost = chain(error).last().map(ToString::to_string).unwrap_or_default();
    if chain(error).any(timed_out) {
        return (
            ErrorKind::Timeout,
            "no connection within the time that is allowed for connecting".to_owned(),
        );
    }
    if chain(error).any(broken_before_use) {
        return (ErrorKind::Transport, format!("the connection can't be used: {innermost}"));
    }
    match sent {
        Sent::Never => (ErrorKind::Offline, format!("the server can't be reached: {innermost}")),
        Sent::Maybe => {
            (ErrorKind::Transport, format!("the connection broke before an answer came: {innermost}"))
        }
        Sent::Answered => (ErrorKind::Transport, format!("the answer broke off: {innermost}")),
    }
}

fn timed_out(cause: &(dyn StdError + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// A failure to connect that is not one of being offline: TLS, or a connection of the pool that the peer has closed.
#[cfg(feature = "hyper")]
fn broken_before_use(cause: &(dyn StdError + 'static)) -> bool {
    cause.is::<rustls::Error>() || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
}

#[cfg(not(feature = "hyper"))]
fn broken_before_use(_: &(dyn StdError + 'static)) -> bool {
    false
}

/// How far a request had gone, if the chain of sources says so.
pub(crate) fn sent_of(error: &(dyn StdError + 'static)) -> Option<Sent> {
    chain(error).find_map(|cause| {
        if cause.is::<NotSent>() {
            return Some(Sent::Never);
        }
        let transport = cause.downcast_ref::<TransportError>().map(TransportError::sent);
        transport.or_else(|| cause.downcast_ref::<Error>().map(Error::sent)).or_else(|| sent_of_hyper(cause))
    })
}

/// hyper's client: it names connecting; a failed handshake has no connection to tell of; and a request that it calls
/// cancelled was still in its queue.
#[cfg(feature = "hyper")]
fn sent_of_hyper(cause: &(dyn StdError + 'static)) -> Option<Sent> {
    if let Some(error) = cause.downcast_ref::<hyper_util::client::legacy::Error>()
        && (error.is_connect() || error.connect_info().is_none())
    {
        return Some(Sent::Never);
    }
    let error = cause.downcast_ref::<hyper::Error>()?;
    error.is_canceled().then_some(Sent::Never)
}

#[cfg(not(feature = "hyper"))]
fn sent_of_hyper(_: &(dyn StdError + 'static)) -> Option<Sent> {
    None
}

/// An error and its causes. `io::Error` hides the error that it was made of from `source`.
pub(crate) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inside {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// A configuration that makes no sense.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// A peer that does not keep to the protocol, so that asking again is of no use.
pub(crate) fn misbehaved(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Transport, message).with_sent(Sent::Answered).with_transient(false)
}

/// Data that does not fit.
pub(crate) fn unfit(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Serialization, message).with_sent(Sent::Answered)
}
