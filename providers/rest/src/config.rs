//! What is configured before the remote is opened, and the checks that opening makes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use larder_core::{
    Capabilities, Model, OpenProvider, Opening, Operation, Provider, Pushdown, Result, Runtime,
};
use tower::Service;

use crate::credentials::Credentials;
use crate::endpoint::{Action, Endpoint};
use crate::error::invalid;
use crate::exchange::Exchange;
use crate::filters::{Filters, Ordered};
use crate::forward::Host;
use crate::meaning::{Meaning, Statuses};
use crate::origin::Base;
use crate::provider::RestProvider;
use crate::route::{Defaults, Route, action_of, default_endpoint, header_map, header_name};
use crate::transport::{Body, BoxError, Transport};

type MakeTransport = Box<dyn FnOnce(&Arc<dyn Runtime>) -> Result<Transport> + Send>;

/// A remote over REST, configured and not yet open.
///
/// Nothing is checked and nothing is done before it is opened, which the repository's `build` does.
///
/// ```
/// use std::time::Duration;
///
/// use larder_rest::http::Method;
/// use larder_rest::{BearerToken, Endpoint, Rest};
///
/// let rest = Rest::at("https://api.example.com/v1")
///     .credentials(BearerToken::new("…"))
///     .header("X-Client", "larder")
///     .timeout(Duration::from_secs(10))
///     .endpoint("User", Endpoint::new("/people").update_with(Method::PATCH));
/// # drop(rest);
/// ```
///
/// # Errors
/// Opening fails with `Invalid` for a base URL that is none, has a query or a password in it, or is of plain http to
/// another machine without [`allow_http`](Self::allow_http); for an endpoint of a model that is not there; for a template
/// that names what the model has not; and for names and values that a header can't have.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/runtime.rs")); }
/// # use support::opening;
/// use larder_core::{ErrorKind, OpenProvider};
/// use larder_rest::Rest;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let refused = Box::new(Rest::at("http://api.example.com")).open(&opening(&[])).await.unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::Invalid);
/// # });
/// ```
pub struct Rest {
    base: String,
    allow_http: bool,
    headers: Vec<(String, String)>,
    endpoints: BTreeMap<String, Endpoint>,
    credentials: Option<Arc<dyn Credentials>>,
    transport: Option<MakeTransport>,
    timeout: Duration,
    body_limit: usize,
    statuses: Statuses,
    hosts: Vec<Host>,
    idempotency_header: Option<String>,
    unique: bool,
    versions: bool,
}

impl Rest {
    /// How long a request with its answer may take.
    pub const TIMEOUT: Duration = Duration::from_secs(30);

    /// How long an answer may be, in bytes.
    pub const BODY_LIMIT: usize = 32 * 1024 * 1024;

    /// The header in which the idempotency key goes out.
    pub const IDEMPOTENCY_HEADER: &'static str = "Idempotency-Key";

    /// A remote at this URL: `https://host`, perhaps with a port and a path.
    pub fn at(base: impl Into<String>) -> Self {
        Self {
            base: base.into(),
            allow_http: false,
            headers: Vec::new(),
            endpoints: BTreeMap::new(),
            credentials: None,
            transport: None,
            timeout: Self::TIMEOUT,
            body_limit: Self::BODY_LIMIT,
            statuses: Statuses::default(),
            hosts: Vec::new(),
            idempotency_header: Some(Self::IDEMPOTENCY_HEADER.to_owned()),
            unique: false,
            versions: false,
        }
    }

    /// Allows plain http to another machine. To this one (`localhost`, `127.0.0.0/8`, `::1`) it is allowed anyhow.
    #[must_use]
    pub fn allow_http(mut self) -> Self {
        self.allow_http = true;
        self
    }

    /// Configures the endpoint of `M`.
    #[must_use]
    pub fn model<M: Model>(self, endpoint: Endpoint) -> Self {
        self.endpoint(M::schema().model, endpoint)
    }

    /// Configures the endpoint of the model with this name.
    #[must_use]
    pub fn endpoint(mut self, model: impl Into<String>, endpoint: Endpoint) -> Self {
        self.endpoints.insert(model.into(), endpoint);
        self
    }

    /// Adds a header to every request. Secrets belong into [`credentials`](Self::credentials).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets where credentials come from; it is asked each time that a request is sent.
    #[must_use]
    pub fn credentials(mut self, source: impl Credentials) -> Self {
        self.credentials = Some(Arc::new(source));
        self
    }

    /// Sends through this service instead of the shipped transport.
    #[must_use]
    pub fn transport<S, B>(self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let transport = Transport::new(service);
        self.transport_with(move |_| Ok(transport))
    }

    /// Sends through a transport that is made when the remote is opened, of the runtime that it is opened with.
    ///
    /// ```
    /// # #[cfg(feature = "hyper")] {
    /// use std::time::Duration;
    ///
    /// use larder_rest::{HyperTransport, Rest};
    ///
    /// let rest = Rest::at("https://api.example.com").transport_with(|runtime| {
    ///     HyperTransport::builder().connect_timeout(Duration::from_secs(3)).build(runtime)
    /// });
    /// # drop(rest);
    /// # }
    /// ```
    #[must_use]
    pub fn transport_with<F>(mut self, make: F) -> Self
    where
        F: FnOnce(&Arc<dyn Runtime>) -> Result<Transport> + Send + 'static,
    {
        self.transport = Some(Box::new(make));
        self
    }

    /// Sets how long a request with its answer may take; [`TIMEOUT`](Self::TIMEOUT) by default. The deadline of a call
    /// counts if it is earlier.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long an answer may be, in bytes; [`BODY_LIMIT`](Self::BODY_LIMIT) by default. A longer one is an error of
    /// kind `Full`, as soon as that is known.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Says what a status means, where it is not what it usually means.
    ///
    /// ```
    /// use larder_rest::{Meaning, Rest};
    ///
    /// // A gateway that answers 403 to an expired token, and a server that locks rows for a while.
    /// let rest = Rest::at("https://api.example.com")
    ///     .status(403, Meaning::Unauthorized)
    ///     .status(423, Meaning::Transient);
    /// # drop(rest);
    /// ```
    #[must_use]
    pub fn status(mut self, status: u16, meaning: Meaning) -> Self {
        self.statuses.set(status, meaning);
        self
    }

    /// Sets the header in which the idempotency key goes out, [`IDEMPOTENCY_HEADER`](Self::IDEMPOTENCY_HEADER) by default.
    #[must_use]
    pub fn idempotency_header(mut self, name: impl Into<String>) -> Self {
        self.idempotency_header = Some(name.into());
        self
    }

    /// Sends no idempotency key, except where an endpoint says otherwise.
    #[must_use]
    pub fn without_idempotency_header(mut self) -> Self {
        self.idempotency_header = None;
        self
    }

    /// Declares that the server refuses a write that breaks a unique index.
    #[must_use]
    pub fn checks_unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Declares that the server refuses a write that is based on an old version. Many ignore `If-Match`.
    #[must_use]
    pub fn checks_versions(mut self) -> Self {
        self.versions = true;
        self
    }

    /// Lets requests that are no models go to another server as well; each server's [`Host`] is named once.
    #[must_use]
    pub fn host(mut self, host: Host) -> Self {
        self.hosts.push(host);
        self
    }

    fn opened(mut self, opening: &Opening) -> Result<RestProvider> {
        let base = Base::parse(&self.base, self.allow_http)?;
        let routes = self.routes(&opening.schemas)?;
        let capabilities = self.capabilities(&routes);
        let transport = match self.transport.take() {
            Some(make) => make(&opening.runtime)?,
            None => shipped(&opening.runtime)?,
        };
        let headers = header_map(&self.every())?;
        let key_header = self.idempotency_header.as_deref().map(header_name).transpose()?;
        let exchange = Exchange {
            transport,
            runtime: opening.runtime.clone(),
            base,
            credentials: self.credentials,
            timeout: self.timeout,
            body_limit: self.body_limit,
            statuses: self.statuses,
        };
        let mut hosts: Vec<Exchange> = Vec::new();
        for Host { base, credentials } in self.hosts {
            let base = Base::parse(&base, self.allow_http)?;
            let known = std::iter::once(&exchange).chain(&hosts);
            if known.into_iter().any(|known| known.base.origin() == base.origin()) {
                return Err(invalid(format!("the host {} is named twice", base.origin())));
            }
            hosts.push(Exchange { base, credentials, ..exchange.clone() });
        }
        Ok(RestProvider { exchange, routes, capabilities, hosts, headers, key_header })
    }

    /// The headers that every request has.
    fn every(&self) -> Vec<(String, String)> {
        let agent = concat!("larder-rest/", env!("CARGO_PKG_VERSION"));
        let mut headers = vec![("User-Agent".to_owned(), agent.to_owned())];
        headers.extend(self.headers.iter().cloned());
        headers
    }

    fn routes(&self, schemas: &[&'static larder_core::Schema]) -> Result<BTreeMap<&'static str, Route>> {
        if let Some(model) =
            self.endpoints.keys().find(|model| schemas.iter().all(|schema| schema.model != *model))
        {
            let known: Vec<_> = schemas.iter().map(|schema| schema.model).collect();
            let message = format!(
                "there is an endpoint of `{model}`, but no such model; there are {}",
                known.join(", ")
            );
            return Err(invalid(message));
        }
        let headers = self.every();
        let defaults = Defaults { headers: &headers, idempotency_header: self.idempotency_header.as_deref() };
        let route = |schema: &&'static larder_core::Schema| {
            let own = self.endpoints.get(schema.model).cloned();
            let endpoint = own.unwrap_or_else(|| default_endpoint(schema));
            Ok((schema.model, Route::compile(&endpoint, schema, &defaults)?))
        };
        schemas.iter().map(route).collect()
    }

    /// What all endpoints do is what the remote does of a query; what any of them accepts is what it accepts.
    fn capabilities(&self, routes: &BTreeMap<&'static str, Route>) -> Capabilities {
        let all = |able: &dyn Fn(&Route) -> bool| !routes.is_empty() && routes.values().all(able);
        let any = |able: &dyn Fn(&Route) -> bool| routes.values().any(able);
        let accepts = |operation: Operation| any(&|route| route.template(action_of(operation)).is_some());
        let everything = all(&|route| matches!(route.filters, Filters::Everything(_)));
        let mut capabilities = Capabilities::NONE;
        capabilities.filter = if everything {
            Pushdown::All
        } else if any(&|route| !route.filters.is_none()) {
            Pushdown::Some
        } else {
            Pushdown::None
        };
        capabilities.order = all(&|route| matches!(route.ordered, Ordered::Param(..)));
        capabilities.window = capabilities.order && everything;
        capabilities.list = any(&|route| route.template(Action::List).is_some());
        capabilities.insert = accepts(Operation::Insert);
        capabilities.update = accepts(Operation::Update);
        capabilities.upsert = accepts(Operation::Upsert);
        capabilities.delete = accepts(Operation::Delete);
        capabilities.unique = self.unique;
        capabilities.versions = self.versions;
        capabilities.nests = true;
        capabilities
    }
}

#[cfg(feature = "hyper")]
fn shipped(runtime: &Arc<dyn Runtime>) -> Result<Transport> {
    crate::client::HyperTransport::builder().build(runtime)
}

#[cfg(not(feature = "hyper"))]
fn shipped(_: &Arc<dyn Runtime>) -> Result<Transport> {
    Err(invalid("there is no transport: give one to `Rest::transport`, or build with the feature `hyper`"))
}

#[async_trait]
impl OpenProvider for Rest {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Provider>> {
        let opened = (*self).opened(opening).map_err(|error| error.during("open"))?;
        Ok(Arc::new(opened))
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        // What stands before an `@` is refused on opening, and a secret until then.
        let base = if self.base.contains('@') { "<redacted>" } else { &self.base };
        f.debug_struct("Rest")
            .field("base", &base)
            .field("headers", &headers)
            .field("endpoints", &self.endpoints)
            .field("timeout", &self.timeout)
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}
