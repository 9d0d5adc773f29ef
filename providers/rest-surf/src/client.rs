//! A transport as the client below surf.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use http_client::{Config, HttpClient};
use larder_core::Runtime;
use larder_rest::{Rest, Transport};

use crate::codec::{request_from_surf, response_to_surf};
use crate::error::{bad_request, late, no_answer};

/// A [`Transport`] as surf's HTTP client: hyper and rustls below surf, instead of one of surf's own.
///
/// - A status that http-types does not know does not panic: see [`Original`](crate::Original).
/// - A header with CR or LF in it is refused, as is a URL with a password.
/// - The body of a request is read before it is sent, up to [`body_limit`](Self::body_limit); that of an answer comes
///   as it is read.
///
/// # Errors
/// What [`HttpClient::send`] gives holds a [`larder_core::Error`] or a [`TransportError`](larder_rest::TransportError),
/// to be had by `downcast_ref`.
pub struct LarderHttpClient {
    transport: Transport,
    body_limit: usize,
    runtime: Option<Arc<dyn Runtime>>,
    config: Config,
}

impl LarderHttpClient {
    /// Sends through `transport`. There is no limit of time but the transport's own for connecting.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        let config = Config::new().set_timeout(None);
        Self { transport, body_limit: Rest::BODY_LIMIT, runtime: None, config }
    }

    /// Sets how long the body of a request may be, in bytes; [`Rest::BODY_LIMIT`] by default.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Sets how long a request may take until its answer begins, by the clock of `runtime`. A remote has a limit of its own:
    /// this one is for those who use surf beside it.
    #[must_use]
    pub fn timeout(mut self, runtime: Arc<dyn Runtime>, timeout: Duration) -> Self {
        self.runtime = Some(runtime);
        self.config = self.config.set_timeout(Some(timeout));
        self
    }
}

impl fmt::Debug for LarderHttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LarderHttpClient")
            .field("body_limit", &self.body_limit)
            .field("timeout", &self.config.timeout)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for LarderHttpClient {
    async fn send(&self, request: http_types::Request) -> http_types::Result<http_types::Response> {
        let request = request_from_surf(request, self.body_limit).await.map_err(bad_request)?;
        let answer = std::pin::pin!(self.transport.send(request));
        let answered = match (&self.runtime, self.config.timeout) {
            (Some(runtime), Some(timeout)) => match select(answer, runtime.sleep(timeout)).await {
                Either::Left((answered, _)) => answered,
                Either::Right(_) => return Err(late()),
            },
            _ => answer.await,
        };
        answered.map(response_to_surf).map_err(no_answer)
    }

    /// Of the configuration the time-out counts, where a runtime was given to measure it.
    fn set_config(&mut self, config: Config) -> http_types::Result<()> {
        self.config = config;
        Ok(())
    }

    fn config(&self) -> &Config {
        &self.config
    }
}
