//! Where credentials come from, and how they stay out of everything that is kept or shown.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use larder_core::{Error, Result};

use crate::error::{chain, invalid};
use crate::query::Params;

/// A source of credentials, asked each time that a request is sent. Nothing of what it gives is stored with a mutation.
///
/// A closure is one:
///
/// ```
/// use std::sync::Arc;
///
/// use larder_rest::{Credential, Rest};
///
/// let rest = Rest::at("https://api.example.com").credentials(|account: Option<Arc<str>>| async move {
///     // … ask the key ring for the token of `account`, refresh it if it is about to expire …
///     Ok(Credential::bearer(format!("token of {}", account.as_deref().unwrap_or("nobody"))))
/// });
/// # drop(rest);
/// ```
#[async_trait]
pub trait Credentials: Send + Sync + 'static {
    /// The credential for a request of `account`.
    ///
    /// # Errors
    /// Whatever keeps it from being got; the request is then not sent. `Unauthorized` stops a lane of the outbox until
    /// there are new credentials, without counting as an attempt.
    async fn credential(&self, account: Option<Arc<str>>) -> Result<Credential>;

    /// Is told that the server has refused this credential of `account`. True if [`credential`](Self::credential) gives
    /// another one now: the request then goes out again, once. [`Refreshing`](crate::Refreshing) does it for many at a
    /// time.
    ///
    /// # Errors
    /// Whatever keeps another one from being got.
    async fn renew(&self, account: Option<Arc<str>>, refused: &Credential) -> Result<bool>;
}

#[async_trait]
impl<F, Fut> Credentials for F
where
    F: Fn(Option<Arc<str>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Credential>> + Send,
{
    async fn credential(&self, account: Option<Arc<str>>) -> Result<Credential> {
        self(account).await
    }

    async fn renew(&self, _: Option<Arc<str>>, _: &Credential) -> Result<bool> {
        Ok(false)
    }
}

/// What is added to a request, after everything else and to requests to the configured origin only.
///
/// ```
/// use larder_rest::Credential;
///
/// let credential = Credential::bearer("s3cret").and(Credential::header("X-Api-Key", "k3y"));
/// assert!(!format!("{credential:?}").contains("s3cret"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credential(Vec<Part>);

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Bearer(String),
    Header(String, String),
    Query(String, String),
}

impl Credential {
    /// Nothing: the request goes out as it is.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// `Authorization: Bearer …` (RFC 6750).
    pub fn bearer(token: impl Into<String>) -> Self {
        Self(vec![Part::Bearer(token.into())])
    }

    /// A header of any name.
    pub fn header(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self(vec![Part::Header(name.into(), value.into())])
    }

    /// A parameter of the query. Servers log it, so prefer a header where there is a choice.
    pub fn query(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self(vec![Part::Query(name.into(), value.into())])
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Puts the credential into a request that is otherwise complete.
    pub(crate) fn apply(self, headers: &mut HeaderMap, params: &mut Params) -> Result<Secrets> {
        let mut secrets = Secrets::default();
        for part in self.0 {
            match part {
                Part::Bearer(token) => {
                    headers.insert(AUTHORIZATION, sensitive("Authorization", &format!("Bearer {token}"))?);
                    secrets.keep(token);
                }
                Part::Header(name, value) => {
                    let header = HeaderName::from_bytes(name.as_bytes())
                        .map_err(|_| invalid("the credential's header has a name that can't be sent"))?;
                    headers.insert(header, sensitive(&name, &value)?);
                    secrets.keep(value);
                }
                Part::Query(name, value) => {
                    params.replace(&name, &value);
                    secrets.params.push(name);
                    secrets.keep(value);
                }
            }
        }
        Ok(secrets)
    }
}

fn sensitive(name: &str, value: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        invalid(format!("the credential for {name} holds characters that a header can't have"))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|part| match part {
            Part::Bearer(_) => "bearer <redacted>".to_owned(),
            Part::Header(name, _) => format!("header {name} <redacted>"),
            Part::Query(name, _) => format!("query {name} <redacted>"),
        });
        f.debug_list().entries(shown).finish()
    }
}

/// A bearer token that does not change.
#[derive(Clone)]
pub struct BearerToken(String);

impl BearerToken {
    /// Keeps the token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(<redacted>)")
    }
}

#[async_trait]
impl Credentials for BearerToken {
    async fn credential(&self, _: Option<Arc<str>>) -> Result<Credential> {
        Ok(Credential::bearer(&self.0))
    }

    async fn renew(&self, _: Option<Arc<str>>, _: &Credential) -> Result<bool> {
        Ok(false)
    }
}

/// An API key that does not change, in a header or in the query.
#[derive(Clone, Debug)]
pub struct ApiKey(Credential);

impl ApiKey {
    /// A key that goes out in the header `name`.
    pub fn header(name: impl Into<String>, key: impl Into<String>) -> Self {
        Self(Credential::header(name, key))
    }

    /// A key that goes out in the query parameter `name`.
    pub fn query(name: impl Into<String>, key: impl Into<String>) -> Self {
        Self(Credential::query(name, key))
    }
}

#[async_trait]
impl Credentials for ApiKey {
    async fn credential(&self, _: Option<Arc<str>>) -> Result<Credential> {
        Ok(self.0.clone())
    }

    async fn renew(&self, _: Option<Arc<str>>, _: &Credential) -> Result<bool> {
        Ok(false)
    }
}

/// The secrets of one request, so that they can be taken out of what is kept of its answer.
#[derive(Default)]
pub(crate) struct Secrets {
    values: Vec<String>,
    params: Vec<String>,
}

impl Secrets {
    const REDACTED: &'static str = "<redacted>";

    fn keep(&mut self, value: String) {
        let encoded = crate::query::encode(&value);
        if encoded != value {
            self.values.push(encoded);
        }
        // An empty one is in every text.
        if !value.is_empty() {
            self.values.push(value);
        }
    }

    /// The query parameters that hold a secret.
    pub(crate) fn params(&self) -> &[String] {
        &self.params
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.values.iter().any(|value| text.contains(value.as_str()))
    }

    pub(crate) fn redact(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), Self::REDACTED))
    }

    /// Takes the secrets out of an error that somebody else has made, or that quotes a server.
    pub(crate) fn cleanse(&self, error: Error) -> Error {
        let quoted = error.body().is_some_and(|body| self.is_in(body));
        if !quoted && !self.is_in_chain(&error) {
            return error;
        }
        let mut clean = Error::new(error.kind(), self.redact(error.message()))
            .with_sent(error.sent())
            .with_transient(error.is_transient());
        if let Some(status) = error.status() {
            clean = clean.with_status(status);
        }
        if let Some(body) = error.body() {
            clean = clean.with_body(self.redact(body));
        }
        if let Some(wait) = error.retry_after() {
            clean = clean.with_retry_after(wait);
        }
        match std::error::Error::source(&error) {
            Some(source) => clean.because(self.tell(source)),
            None => clean,
        }
    }

    /// Whether an error or one of its causes shows a secret.
    pub(crate) fn is_in_chain(&self, error: &(dyn StdError + 'static)) -> bool {
        !self.values.is_empty()
            && chain(error).any(|cause| self.is_in(&cause.to_string()) || self.is_in(&format!("{cause:?}")))
    }

    /// An error and its causes as text.
    pub(crate) fn tell(&self, error: &(dyn StdError + 'static)) -> String {
        let told: Vec<_> = chain(error).map(|cause| self.redact(&cause.to_string())).collect();
        told.join(": ")
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(<redacted>)")
    }
}
