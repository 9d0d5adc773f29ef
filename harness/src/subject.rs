//! What a provider's tests hand to the suites.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder_core::runtime::BoxFuture;
use larder_core::{Opening, Provider, Result, Schema, Store};

use crate::differential::Limits;
use crate::models;
use crate::runtime::TestRuntime;
use crate::site::Site;

/// How long something that has to come may take, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a subject is made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Time, tasks and randomness, determined by a seed.
    pub runtime: TestRuntime,
    /// The models that it will be asked for.
    pub schemas: Arc<[&'static Schema]>,
}

impl Setup {
    /// A setup for all models of the suites. Nobody moves its clock: no time-out ever ends a request.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { runtime: TestRuntime::manual(seed), schemas: Arc::new(*models::ALL) }
    }

    /// What a provider is opened with.
    #[must_use]
    pub fn opening(&self) -> Opening {
        Opening { runtime: Arc::new(self.runtime.clone()), schemas: self.schemas.clone() }
    }
}

/// Opens the store again, on the same data, for these models. What was open before has been dropped.
pub type Reopen = Box<dyn FnOnce(Setup) -> BoxFuture<'static, Result<Subject>> + Send + Sync>;

/// An open, empty provider.
///
/// ```
/// # use larder_harness::{Setup, Subject};
/// use larder_core::OpenStore;
/// use larder_memory::Memory;
///
/// async fn make(setup: Setup) -> larder_core::Result<Subject> {
///     Ok(Subject::store(OpenStore::open(Box::new(Memory::new()), &setup.opening()).await?))
/// }
/// ```
pub struct Subject {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) reopen: Option<Reopen>,
    pub(crate) limits: Limits,
    pub(crate) patience: Duration,
    pub(crate) site: Option<Site>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Subject {
    /// A provider that is no store.
    #[must_use]
    pub fn provider(provider: Arc<dyn Provider>) -> Self {
        let (limits, patience) = (Limits::default(), PATIENCE);
        Self { provider, store: None, reopen: None, limits, patience, site: None, kept: Vec::new() }
    }

    /// A store.
    #[must_use]
    pub fn store(store: Arc<dyn Store>) -> Self {
        Self { store: Some(store.clone()), ..Self::provider(store) }
    }

    /// Keeps something for as long as the subject: a directory, a server.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(kept));
        self
    }

    /// Says that its dialect holds finite floats only: random rows have no others.
    #[must_use]
    pub fn finite_floats(mut self) -> Self {
        self.limits.finite = true;
        self
    }

    /// Says that each of its requests is dear: the differential suite asks a third as much, unless it is told how much.
    #[must_use]
    pub fn dear(mut self) -> Self {
        self.limits.dear = true;
        self
    }

    /// Sets how long a change that is pushed may take to arrive, in time that passes; ten seconds unless told otherwise.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Tells which server the requests go to that are no models: for the face `requests`.
    #[must_use]
    pub fn site(mut self, site: Site) -> Self {
        self.site = Some(site);
        self
    }

    /// Tells how the store is opened again: for the face `durable`.
    #[must_use]
    pub fn reopened_by<F>(mut self, reopen: impl FnOnce(Setup) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Self>> + Send + 'static,
    {
        self.reopen = Some(Box::new(|setup| Box::pin(reopen(setup))));
        self
    }
}
