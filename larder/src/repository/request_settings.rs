//! Which requests are stored, which of their headers, and how they stand being sent twice.

use std::collections::BTreeMap;

use larder_core::{Error, ErrorKind, Idempotency, Request, Result};

use crate::engine::PermanentFailure;

/// What becomes of requests that are no models: see [`Builder::requests`](crate::Builder::requests).
///
/// ```
/// use larder::{Idempotency, RequestSettings};
///
/// let settings = RequestSettings::new()
///     .exclude("/login")
///     .keep_header("X-Client-Version")
///     .declare("/payments", Idempotency::KEYED);
/// # drop(settings);
/// ```
///
/// # Headers
///
/// A stored request has only headers that are known to hold no credential: `Accept`, `Accept-Language`,
/// `Content-Encoding`, `Content-Language`, `Content-Type`, `If-Match`, `If-None-Match`, `If-Unmodified-Since`, `Prefer`, and
/// what is named by [`keep_header`](Self::keep_header). A request with another one is refused: it is not stored without
/// it. Headers that carry credentials can't be named. The target and the body are stored as they are: a secret belongs
/// into neither.
#[derive(Clone, Debug, Default)]
#[must_use = "give it to `Builder::requests`"]
pub struct RequestSettings {
    excluded: Vec<String>,
    kept: Vec<String>,
    declared: BTreeMap<String, Idempotency>,
    body_limit: Option<usize>,
    pub(super) policy: Option<PermanentFailure>,
}

/// Headers that say nothing of who sends them.
const KEPT: [&str; 9] = [
    "accept",
    "accept-language",
    "content-encoding",
    "content-language",
    "content-type",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "prefer",
];

/// Headers that are credentials, or set by whoever sends.
const NEVER: [&str; 8] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "host",
    "content-length",
];

impl RequestSettings {
    /// How long a body may be unless told otherwise, in bytes.
    pub const BODY_LIMIT: usize = 8 * 1024 * 1024;

    /// What holds unless told otherwise: everything is stored that changes something, and nothing is excluded.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests to this path and to those below it are not stored but sent at once, whatever comes of it. A path begins
    /// with a slash, or is a URL, as the target of the request is.
    pub fn exclude(mut self, path: impl Into<String>) -> Self {
        self.excluded.push(path.into());
        self
    }

    /// Keeps another header of stored requests. It must hold no credential, for it lies in the store.
    pub fn keep_header(mut self, name: impl Into<String>) -> Self {
        self.kept.push(name.into().to_ascii_lowercase());
        self
    }

    /// Declares how requests to this path and to those below it stand being sent twice; of several that fit, the longest
    /// path counts. Undeclared, PUT and DELETE are [`Idempotent`](Idempotency::Idempotent) and everything else is
    /// [`AtMostOnce`](Idempotency::AtMostOnce): of unknown outcome it is parked, and goes again by hand alone.
    pub fn declare(mut self, path: impl Into<String>, idempotency: Idempotency) -> Self {
        self.declared.insert(path.into(), idempotency);
        self
    }

    /// How long a body may be, in bytes; [`BODY_LIMIT`](Self::BODY_LIMIT) unless told otherwise.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// What becomes of the lane of a request that the remote has refused. Unless told otherwise, and with
    /// [`Revert`](PermanentFailure::Revert), the request is kept with the answer and the lane goes on; with
    /// [`Park`](PermanentFailure::Park) its lane stops, and with [`Halt`](PermanentFailure::Halt) everything does.
    pub fn on_refusal(mut self, policy: PermanentFailure) -> Self {
        self.policy = Some(policy);
        self
    }

    pub(super) fn excludes(&self, target: &str) -> bool {
        self.excluded.iter().any(|path| is_below(target, path))
    }

    pub(super) fn declared(&self, method: &str, target: &str) -> Idempotency {
        let fits = self.declared.iter().filter(|(path, _)| is_below(target, path));
        let longest = fits.max_by_key(|(path, _)| path.len()).map(|(_, declared)| *declared);
        longest.unwrap_or(match method {
            "PUT" | "DELETE" => Idempotency::Idempotent,
            _ => Idempotency::AtMostOnce,
        })
    }

    /// Looks at what was configured.
    ///
    /// # Errors
    /// `Invalid` for a header that can't be kept.
    pub(super) fn checked(self) -> Result<Self> {
        match self.kept.iter().find(|name| NEVER.contains(&name.as_str())) {
            None => Ok(self),
            Some(name) => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "the header {name} can't be kept: give credentials to the remote, which adds them when it sends"
                ),
            )),
        }
    }

    /// Looks at a request that is to be stored.
    ///
    /// # Errors
    /// `Invalid` for a header that is not kept; `Full` for a body that is too long.
    pub(super) fn check(&self, request: &Request) -> Result<()> {
        for (name, _) in &request.headers {
            let lower = name.to_ascii_lowercase();
            if !KEPT.contains(&lower.as_str()) && !self.kept.contains(&lower) {
                let what = format!(
                    "the header {name} is not stored: a credential belongs to the remote's credentials, which are asked \
                     when it is sent; anything else is named by `RequestSettings::keep_header`"
                );
                return Err(Error::new(ErrorKind::Invalid, what));
            }
        }
        let (length, limit) = (request.body.len(), self.body_limit.unwrap_or(Self::BODY_LIMIT));
        if length > limit {
            let what = format!(
                "the body has {length} bytes, and {limit} may be stored: raise `RequestSettings::body_limit`"
            );
            return Err(Error::new(ErrorKind::Full, what));
        }
        Ok(())
    }
}

/// Whether a target is a path or one below it.
fn is_below(target: &str, path: &str) -> bool {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    let path = path.trim_end_matches('/');
    target.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
