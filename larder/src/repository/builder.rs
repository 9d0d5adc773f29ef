//! Configuration of a repository; `build` opens.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};

use larder_core::conflict::custom;
use larder_core::{
    Conflict, ConflictDef, Connectivity, Error, ErrorKind, Mains, Model, OpenProvider, OpenStore, Opening,
    Power, Provider, Resolution, Result, Runtime, Schema, Store, Strategy,
};

use super::auto::Syncing;
use super::background::Lease;
use super::live::Listening;
use super::{
    AutoSync, Options, OutboxSettings, Remote, Repository, RequestSettings, Shared, associations, fetch,
};
use crate::account::Account;
use crate::cache::Caches;
use crate::changes::Changes;
use crate::contained::{Contained, ContainedConnectivity, ContainedPower, ContainedStore};
use crate::driver::{self, Acts, Fresh, Resolvers};
use crate::engine::{PermanentFailure, Settings};
use crate::events::Teller;
use crate::fates::Fates;
use crate::given::Given;
use crate::parcel;
use crate::passive::{Heard, Listened};
use crate::runtime::TokioRuntime;

/// Configures a [`Repository`].
#[derive(Default)]
#[must_use = "nothing is opened before `build`"]
pub struct Builder {
    store: Option<Box<dyn OpenStore>>,
    remote: Option<Box<dyn OpenProvider>>,
    models: Vec<Registration>,
    runtime: Option<Arc<dyn Runtime>>,
    connectivity: Option<Arc<dyn Connectivity>>,
    cache: Option<usize>,
    outbox: OutboxSettings,
    account: Option<Arc<str>>,
    resolvers: Resolvers,
    paused: bool,
    power: Option<Arc<dyn Power>>,
    auto: AutoSync,
    live: bool,
    requests: Option<RequestSettings>,
}

struct Registration {
    of: TypeId,
    schema: &'static Schema,
    cache: fn(&mut Caches, usize),
}

impl Builder {
    /// The local side: `Memory::new()`, `Redb::at("app.redb")`, or an open `Arc<dyn Store>`.
    pub fn store(mut self, store: impl OpenStore) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// The remote: `Rest::at("https://…")`, any other provider's configuration, or an open `Arc<dyn Provider>`.
    /// Without one, everything is local and nothing is queued.
    pub fn remote(mut self, remote: impl OpenProvider) -> Self {
        self.remote = Some(Box::new(remote));
        self
    }

    /// Registers a model.
    pub fn model<M: Model>(mut self) -> Self {
        let registration = Registration {
            of: TypeId::of::<M>(),
            schema: M::schema(),
            cache: |caches, bytes| caches.add::<M>(bytes),
        };
        self.models.push(registration);
        self
    }

    /// Where time, tasks and randomness come from; the running tokio runtime unless told otherwise.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// What tells whether the device is connected; unless told otherwise, the outcome of requests does: see
    /// [`PassiveConnectivity`](crate::PassiveConnectivity).
    pub fn connectivity(mut self, connectivity: Arc<dyn Connectivity>) -> Self {
        self.connectivity = Some(connectivity);
        self
    }

    /// What tells how full the battery is; unless told otherwise, the device runs on mains.
    pub fn power(mut self, power: Arc<dyn Power>) -> Self {
        self.power = Some(power);
        self
    }

    /// When it syncs by itself; never, unless told so.
    pub fn auto_sync(mut self, auto: AutoSync) -> Self {
        self.auto = auto;
        self
    }

    /// Listens to a remote that pushes its changes, from where it has listened last, and pulls what it may have missed.
    /// Of a remote that does not push, nothing comes of it.
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// How many bytes of rows the memory cache keeps, unless told otherwise: 12 MiB.
    pub const CACHE_SIZE: usize = 12 << 20;

    /// How many bytes of rows the memory cache keeps, in all ([`CACHE_SIZE`](Self::CACHE_SIZE) unless told otherwise); 0 switches
    /// it off. Each model has an equal part. Rows are weighed by what they consist of; one that takes a quarter of a megabyte, or
    /// more than the part of its model, is read from the store each time.
    pub fn cache_size(mut self, bytes: usize) -> Self {
        self.cache = Some(bytes);
        self
    }

    /// In whose name this repository writes. Entries of another account stay in the outbox and are not sent before it
    /// signs in: see [`Repository::sign_in`].
    pub fn account(mut self, account: impl Into<Arc<str>>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// How the outbox goes about its work.
    pub fn outbox(mut self, settings: OutboxSettings) -> Self {
        self.outbox = settings;
        self
    }

    /// What becomes of rows of `M` that were changed here and at the remote, in place of what the model declares. Of the
    /// fields, what is declared holds on.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository, Strategy};
    /// # #[derive(Model, Debug)]
    /// # struct Label { #[model(key)] name: String, color: String }
    /// let builder = Repository::builder().store(Memory::new()).model::<Label>();
    /// let builder = builder.conflict_strategy::<Label>(Strategy::ServerWins);
    /// ```
    pub fn conflict_strategy<M: Model>(mut self, strategy: Strategy) -> Self {
        let fields = M::schema().conflict.fields;
        self.resolvers.set(M::schema(), Arc::new(ConflictDef { strategy, fields }));
        self
    }

    /// Asks `resolve` what becomes of rows of `M` that were changed here and at the remote. The same sides have to have
    /// the same outcome, whenever they are asked about. A function that panics, or answers with another key or with a row
    /// that the model's own checks refuse, leaves the conflict to [`Repository::conflicts`].
    ///
    /// ```
    /// # use larder::{Conflict, Memory, Model, Repository, Resolution};
    /// # #[derive(Model, Clone, Debug)]
    /// # struct Record { #[model(key)] player: String, best: i64 }
    /// let builder = Repository::builder().store(Memory::new()).model::<Record>();
    /// let builder = builder.on_conflict(|sides: Conflict<Record>| match (sides.mine, sides.theirs) {
    ///     (Some(mine), Some(theirs)) => {
    ///         Resolution::Merged(Record { best: mine.best.max(theirs.best), ..theirs })
    ///     }
    ///     _ => Resolution::Ask,
    /// });
    /// ```
    pub fn on_conflict<M: Model>(
        mut self,
        resolve: impl Fn(Conflict<M>) -> Resolution<M> + Send + Sync + 'static,
    ) -> Self {
        self.resolvers.set(M::schema(), custom(resolve));
        self
    }

    /// Takes requests that are no models: see [`Repository::http`].
    pub fn requests(mut self, settings: RequestSettings) -> Self {
        self.requests = Some(settings);
        self
    }

    /// Sends nothing before [`Outbox::resume`](super::Outbox::resume).
    pub fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    /// Opens store and remote, and starts sending what is queued.
    ///
    /// # Errors
    /// `Invalid` without a store, with two models of one name, with an association that leads to a
    /// model that is not registered, or outside of tokio without a runtime; what opening the
    /// store and the remote reports.
    pub async fn build(self) -> Result<Repository> {
        let invalid = |what: String| Error::new(ErrorKind::Invalid, what).during("build the repository");
        let store = self.store.ok_or_else(|| invalid("name a store: `.store(Memory::new())`".to_owned()))?;
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None => Arc::new(TokioRuntime::current()?),
        };
        let (mut models, mut caches) = (HashMap::new(), Caches::default());
        let (mut schemas, mut distinct) = (Vec::<&'static Schema>::new(), Vec::new());
        for registration in &self.models {
            if models.insert(registration.of, registration.schema).is_some() {
                continue;
            }
            if schemas.iter().any(|schema| schema.model == registration.schema.model) {
                return Err(invalid(format!("two models are called {}", registration.schema.model)));
            }
            schemas.push(registration.schema);
            distinct.push(registration);
        }
        let room = self.cache.unwrap_or(Self::CACHE_SIZE);
        for registration in distinct.iter().filter(|_| room > 0) {
            (registration.cache)(&mut caches, room / distinct.len());
        }
        let referrers = associations::Referrers::of(&schemas)?;
        let requests = self.requests.map(RequestSettings::checked).transpose()?;
        let opening = Opening { runtime: Arc::clone(&runtime), schemas: schemas.clone().into() };
        let mut stored = schemas.clone();
        // The remote has no rows of these.
        stored.extend(requests.is_some().then(parcel::schema));
        let store = store.open(&Opening { schemas: stored.into(), ..opening.clone() }).await?;
        let (caches, changes, fates) =
            (Arc::new(caches), Arc::new(Changes::new(&schemas)), Arc::<Fates>::default());
        let observer: Arc<dyn larder_core::CommitObserver> = Arc::<Caches>::clone(&caches);
        store.observe(Arc::downgrade(&observer));
        let observer: Arc<dyn larder_core::CommitObserver> = Arc::<Changes>::clone(&changes);
        store.observe(Arc::downgrade(&observer));
        let teller = Teller::default();
        let store: Arc<dyn Store> = Arc::new(ContainedStore { inner: store, teller: teller.clone() });
        let OutboxSettings { engine, capacity, mut policies, coalesce } = self.outbox;
        if let Some(model) =
            policies.keys().find(|model| schemas.iter().all(|schema| schema.model != **model))
        {
            return Err(invalid(format!("a policy names {model}, which is not registered")));
        }
        if let Some(requests) = &requests {
            policies.insert(parcel::schema().model, requests.policy.unwrap_or(PermanentFailure::Revert));
        }
        let settings = Settings { account: self.account.clone(), ..engine };
        let account = Arc::new(Account::new(self.account));
        let (given, turn) = (Arc::<Given>::default(), Arc::<tokio::sync::RwLock<()>>::default());
        let (heard, backoff) = (Heard::default(), settings.backoff);
        let given_connectivity = self
            .connectivity
            .map(|given| ContainedConnectivity::new(given, Arc::clone(&runtime), backoff, teller.clone()));
        let connectivity = || -> Arc<dyn Connectivity> {
            match &given_connectivity {
                Some(given) => Arc::new(given.clone()),
                None => Arc::new(heard.monitor()),
            }
        };
        let remote = match self.remote {
            None => None,
            Some(remote) => {
                let provider: Arc<dyn Provider> = Arc::new(Contained(remote.open(&opening).await?));
                let acts = Arc::new(Acts {
                    store: Arc::clone(&store),
                    remote: Arc::clone(&provider),
                    runtime: Arc::clone(&runtime),
                    fates: Arc::clone(&fates),
                    changes: Arc::clone(&changes),
                    schemas: schemas.clone(),
                    given: Arc::clone(&given),
                    turn: Arc::clone(&turn),
                    stopping: larder_core::Cancellation::default(),
                    account: Arc::clone(&account),
                    policies,
                    settings: settings.clone(),
                    marking: tokio::sync::Mutex::default(),
                    resolvers: self.resolvers,
                    answers: Mutex::default(),
                    heard: Mutex::default(),
                    written: driver::again::Written::default(),
                    accepted: driver::accepted::Accepted::load(&*store, &schemas).await?,
                    creations: driver::creations::Creations::default(),
                    recent: driver::Recent::default(),
                    beside: Mutex::default(),
                    fresh: Fresh::default(),
                    loading: AtomicU64::new(0),
                    under_way: AtomicUsize::new(0),
                });
                let (connectivity, teller) = (connectivity(), teller.clone());
                let driver = driver::start(Arc::clone(&acts), connectivity, settings, teller, self.paused);
                let provider: Arc<dyn Provider> =
                    Arc::new(Listened { inner: provider, heard: heard.clone() });
                Some(Remote { provider, acts, driver })
            }
        };
        let shared = Shared {
            store,
            remote,
            runtime,
            models,
            referrers,
            caches,
            changes,
            fates,
            given,
            coalesce,
            turn,
            flights: fetch::Flights::default(),
            known: super::known::Known::default(),
            pulls: super::pull::Pulls::new(&schemas),
            tasks: super::background::Tasks::default(),
            wiping: tokio::sync::RwLock::default(),
            account,
            requests,
            capacity: super::capacity::Capacity::new(capacity),
            last_pulled: Mutex::new(None),
        };
        let lease = Lease::new();
        let repo = Repository { shared: Arc::new(shared), options: Options::default(), lease };
        if self.auto.is_set() && repo.shared.remote.is_some() {
            let inner = self.power.unwrap_or_else(|| Arc::new(Mains));
            let power = ContainedPower { inner, teller: teller.clone() };
            let syncing = Syncing { auto: self.auto, connectivity: connectivity(), power, teller, backoff };
            repo.behind("larder sync", |repo| syncing.run(repo));
        }
        for schema in schemas.into_iter().filter(|schema| self.live && repo.is_pushed(schema)) {
            let listening = Listening { schema, backoff };
            repo.behind("larder live", |repo| listening.run(repo));
        }
        Ok(repo)
    }
}

impl Repository {
    /// Whether the remote pushes changes of the model.
    fn is_pushed(&self, schema: &'static Schema) -> bool {
        let remote = self.shared.remote.as_ref().and_then(|remote| remote.provider.realtime());
        remote.is_some_and(|remote| remote.carries(schema))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models: Vec<_> = self.models.iter().map(|registration| registration.schema.model).collect();
        f.debug_struct("Builder")
            .field("store", &self.store)
            .field("remote", &self.remote)
            .field("models", &models)
            .finish_non_exhaustive()
    }
}
