//! The shipped transport: hyper's client over rustls, HTTP/1.1 and 2, with a pool of connections.
//!
//! Tasks, timers, name lookups and the clock that certificates are checked by come from the injected runtime.

mod connect;
mod rt;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use larder_core::runtime::BoxFuture;
use larder_core::{Result, Runtime};
use rustls::ClientConfig;
use tower::Service;

use crate::error::invalid;
use crate::transport::{Body, BoxError, Transport};
use connect::{Resolver, Timed};
use rt::{Clock, Exec, Timer};

/// The shipped transport.
///
/// - HTTP/1.1, or 2 where the server offers it; connections are kept for 90 seconds.
/// - TLS 1.2 and 1.3 by rustls and ring, trusting Mozilla's roots.
/// - It never repeats a request and follows no redirect. An error to connect says that nothing was sent, and so does a
///   request that was still waiting for a connection when it broke.
/// - It has no proxy and does not decode content encodings, which it does not ask for either.
#[derive(Clone, Copy, Debug)]
pub struct HyperTransport;

impl HyperTransport {
    /// The shipped transport, to be configured.
    pub fn builder() -> HyperBuilder {
        HyperBuilder {
            connect_timeout: Self::CONNECT_TIMEOUT,
            idle_timeout: Self::IDLE_TIMEOUT,
            max_idle_per_host: usize::MAX,
            http2: true,
            tls: None,
            connector: None,
        }
    }

    /// How long connecting may take, with name lookup and TLS.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// How long a connection is kept that nobody uses.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
}

/// Configures a [`HyperTransport`].
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/runtime.rs")); }
/// # use support::opening;
/// use std::time::Duration;
///
/// use larder_rest::{HyperTransport, Rest};
///
/// # let runtime = opening(&[]).runtime;
/// let transport = HyperTransport::builder()
///     .connect_timeout(Duration::from_secs(3))
///     .max_idle_per_host(4)
///     .build(&runtime)?;
/// let rest = Rest::at("https://api.example.com").transport(transport);
/// # drop(rest);
/// # Ok::<(), larder_core::Error>(())
/// ```
#[must_use]
pub struct HyperBuilder {
    connect_timeout: Duration,
    idle_timeout: Duration,
    max_idle_per_host: usize,
    http2: bool,
    tls: Option<ClientConfig>,
    connector: Option<Box<dyn Install>>,
}

impl HyperBuilder {
    /// Sets how long connecting may take, with name lookup and TLS; 10 seconds by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a connection is kept that nobody uses; 90 seconds by default.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets how many connections that nobody uses are kept for each host.
    pub fn max_idle_per_host(mut self, connections: usize) -> Self {
        self.max_idle_per_host = connections;
        self
    }

    /// Speaks HTTP/1.1 alone.
    pub fn http1_only(mut self) -> Self {
        self.http2 = false;
        self
    }

    /// Uses this configuration of TLS: own roots, a client certificate, a verifier that pins the server's. Its ALPN list is
    /// set here.
    pub fn tls(mut self, config: ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Connects by this service, which gives a stream to the URL's host; TLS goes over it. A simulated network plugs in
    /// here.
    pub fn connector<C>(mut self, connector: C) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: Connection + hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
        C::Future: Send + 'static,
        C::Error: Into<BoxError>,
    {
        self.connector = Some(Box::new(connector));
        self
    }

    /// Makes the transport. No connection is opened before the first request.
    ///
    /// # Errors
    /// `Invalid` if the cryptography of the build has none of the protocol versions.
    pub fn build(mut self, runtime: &Arc<dyn Runtime>) -> Result<Transport> {
        let tls = match self.tls.take() {
            Some(config) => config,
            None => default_tls(runtime)?,
        };
        if let Some(connector) = self.connector.take() {
            return Ok(connector.install(self, tls, runtime));
        }
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(runtime.clone()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Ok(self.finish(tcp, tls, runtime))
    }

    fn finish<C>(self, connector: C, mut tls: ClientConfig, runtime: &Arc<dyn Runtime>) -> Transport
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: Connection + hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
        C::Future: Send + 'static,
        C::Error: Into<BoxError>,
    {
        tls.alpn_protocols.clear();
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let https = if self.http2 {
            https.enable_all_versions().wrap_connector(connector)
        } else {
            https.enable_http1().wrap_connector(connector)
        };
        let timed = Timed::new(https, runtime.clone(), self.connect_timeout);
        let timer = Timer::new(runtime.clone());
        let client: Client<_, Body> = Client::builder(Exec(runtime.clone()))
            .timer(timer.clone())
            .pool_timer(timer)
            .pool_idle_timeout(self.idle_timeout)
            .pool_max_idle_per_host(self.max_idle_per_host)
            .retry_canceled_requests(false)
            .build(timed);
        Transport::new(client)
    }
}

impl fmt::Debug for HyperBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperBuilder")
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_idle_per_host", &self.max_idle_per_host)
            .field("http2", &self.http2)
            .finish_non_exhaustive()
    }
}

/// A connector of a type that the builder does not know.
trait Install: Send {
    fn install(
        self: Box<Self>,
        builder: HyperBuilder,
        tls: ClientConfig,
        runtime: &Arc<dyn Runtime>,
    ) -> Transport;
}

impl<C> Install for C
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    fn install(
        self: Box<Self>,
        builder: HyperBuilder,
        tls: ClientConfig,
        runtime: &Arc<dyn Runtime>,
    ) -> Transport {
        builder.finish(*self, tls, runtime)
    }
}

/// TLS with ring by name: a process may hold a second provider of cryptography, and then there is no default.
fn default_tls(runtime: &Arc<dyn Runtime>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(Clock(runtime.clone())))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("TLS can't be set up").because(error))?;
    Ok(config.with_webpki_roots().with_no_client_auth())
}

/// A boxed future of a connection attempt.
type Connecting<T> = BoxFuture<'static, Result<T, BoxError>>;
