//! The face of remotes that take requests which are no models.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::context::Context;
use crate::error::Result;
use crate::mutation::MutationId;
use crate::provider::Idempotency;

/// Sends requests that the application has made itself.
///
/// What an implementor promises:
///
/// - Credentials come from the provider, at the moment of sending: a request holds none.
/// - A request is sent once. Only whoever keeps it decides about a repeat.
/// - What goes to one [`host`](Self::admit) has no effect on what goes to another.
#[async_trait]
pub trait Requests: Send + Sync {
    /// Looks at a request before it is kept, and names the host that it goes to: `None` for the one that the provider's
    /// rows come from. A host that can't be reached, or asks to be left alone, is left alone as a whole.
    ///
    /// # Errors
    /// `Invalid` for what can't be sent: a method, a target or a header that is none, or a key that the remote would not
    /// be told. `Unsupported` for a host that the provider does not send to.
    fn admit(&self, request: &Request) -> Result<Option<Arc<str>>>;

    /// Sends a request and gives the answer, if it tells of success.
    ///
    /// # Errors
    /// As [`Provider::apply`](crate::Provider::apply); an answer without success is an error with its status and body.
    async fn forward(&self, cx: &Context, request: &Request) -> Result<Response>;
}

/// A request that is no mutation of a row.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Its identity, and the idempotency key.
    pub id: MutationId,
    /// The method, in capital letters.
    pub method: String,
    /// A path below the remote's base that begins with a slash, perhaps with a query; or a URL.
    pub target: String,
    /// The headers that the application has set.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Arc<[u8]>,
    /// How it stands being sent twice.
    pub idempotency: Idempotency,
    /// True if it may have been sent before.
    pub repeated: bool,
}

impl Request {
    /// True if it asks for something and changes nothing (RFC 9110, 9.2.1).
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

/// Neither the query nor the values of headers are shown: who knows what is in them.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("method", &self.method)
            .field("path", &self.target.split(['?', '#']).next().unwrap_or_default())
            .field("headers", &headers)
            .field("body", &self.body.len())
            .field("idempotency", &self.idempotency)
            .field("repeated", &self.repeated)
            .finish()
    }
}

/// The answer to a [`Request`].
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, by names in small letters; what is no text is left out.
    pub headers: Vec<(String, String)>,
    /// The body; `None` if it broke off, or was longer than the remote allows: what it answered to is done all the same.
    pub body: Option<Arc<[u8]>>,
}

impl Response {
    /// The first header of this name, however it is written.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &headers)
            .field("body", &self.body.as_ref().map(|body| body.len()))
            .finish()
    }
}
