//! The repository: what applications talk to.

mod arrive;
mod ask;
mod askable;
mod associations;
mod auto;
mod background;
mod builder;
mod capacity;
mod clear;
mod coalesce;
mod conflicts;
mod edit_request;
mod export;
mod fetch;
mod http;
mod iterate;
mod keys;
mod known;
mod lend;
mod live;
mod lookup;
mod migrate;
mod nesting;
mod outbox;
mod pull;
mod pushed;
mod read;
mod renewal;
mod request_settings;
mod rows;
mod settings;
mod soundness;
mod standing;
mod stored;
mod stream;
mod sync;
mod target;
#[cfg(test)]
mod tests;
mod together;
mod transaction;
mod undone;
mod watch;
mod wipe;
mod write;

pub(crate) use arrive::{Since, take_brought};
pub use auto::AutoSync;
pub use builder::Builder;
pub use conflicts::{Conflicted, Conflicts, WatchConflicts};
pub use edit_request::RequestContent;
pub use export::{Exported, ExportedMutation, Raw};
pub use http::{Http, HttpRequest, SentRequest};
pub use iterate::Iterate;
pub(crate) use keys::looks_temporary;
pub use migrate::MigrationReport;
pub use outbox::{Cleared, Outbox, QueuedMutation, QueuedRequest, UnreadableMutation};
pub use pull::{Budget, Progress, Remark};
pub use pushed::Pushed;
pub use request_settings::RequestSettings;
pub use rows::{Origin, Rows};
pub use settings::OutboxSettings;
pub use standing::InState;
pub use stored::{Deleted, Stored};
pub use stream::Answers;
pub use sync::{Sync, SyncEvent, SyncEvents, SyncReport};
pub use target::Target;
pub use together::{Question, Questions};
pub use transaction::Transaction;
pub(crate) use undone::note_undone;
pub use watch::Watch;
pub use wipe::WouldLose;

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder_core::{
    Context, Error, ErrorKind, Key, Model, MutationId, Provider, ReadPolicy, Result, RowState, Runtime,
    RuntimeExt, Schema, Store, SyncState, Timestamp, WritePolicy,
};

use crate::account::Account;
use crate::cache::Caches;
use crate::changes::Changes;
use crate::driver::{Acts, Handle};
use crate::fates::Fates;
use crate::given::Given;
use crate::status::{Status, StatusWatch};
use capacity::Capacity;

/// Reads and writes models: locally, durably, and in step with the remote.
///
/// A repository is a handle: it has no type parameter and is cheap to clone. Policies are arguments and not settings:
/// [`reading`](Self::reading) and [`writing`](Self::writing) give another handle on the same data.
///
/// ```
/// use larder::{Memory, Model, Repository, Select};
///
/// #[derive(Model, Debug, PartialEq)]
/// struct Label {
///     #[model(key)]
///     name: String,
///     color: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> larder::Result<()> {
/// let repo = Repository::builder().store(Memory::new()).model::<Label>().build().await?;
/// repo.upsert(&Label { name: "bug".into(), color: "d73a4a".into() }).await?;
///
/// let bug = repo.find::<Label>("bug").await?.expect("it was stored");
/// assert_eq!(bug.color, "d73a4a");
/// assert_eq!(repo.get(Label::COLOR.starts_with("d7")).await?.len(), 1);
/// assert_eq!(repo.get(Select::<Label>::all().limit(0)).await?.len(), 0);
/// # Ok(())
/// # }
/// ```
///
/// A model that was not registered is an error that says so:
///
/// ```
/// # use larder::{ErrorKind, Memory, Model, Repository};
/// # #[derive(Model, Debug)]
/// # struct Label { #[model(key)] name: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> larder::Result<()> {
/// let repo = Repository::builder().store(Memory::new()).build().await?;
/// let error = repo.find::<Label>("bug").await.expect_err("nobody registered Label");
/// assert_eq!(error.kind(), ErrorKind::Invalid);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Repository {
    shared: Arc<Shared>,
    options: Options,
    /// `None` in a handle that the application does not have.
    lease: Option<Arc<background::Lease>>,
}

/// How this handle reads and writes.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    read: ReadPolicy,
    write: WritePolicy,
    max_age: Option<Duration>,
    deadline: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    remote: Option<Remote>,
    runtime: Arc<dyn Runtime>,
    models: HashMap<TypeId, &'static Schema>,
    referrers: associations::Referrers,
    caches: Arc<Caches>,
    changes: Arc<Changes>,
    fates: Arc<Fates>,
    given: Arc<Given>,
    /// Whether writes that have not been sent become one.
    coalesce: bool,
    /// Shared by whoever writes; held alone by a decision that has been overtaken too often.
    turn: Arc<tokio::sync::RwLock<()>>,
    flights: fetch::Flights,
    known: known::Known,
    pulls: pull::Pulls,
    tasks: background::Tasks,
    /// Held by a wipe, and shared by whatever stores what the remote said: nothing of before comes in after.
    wiping: tokio::sync::RwLock<()>,
    account: Arc<Account>,
    /// What is done with requests that are no models; `None` if there are none.
    requests: Option<RequestSettings>,
    /// The most entries that the outbox may have.
    capacity: Capacity,
    last_pulled: Mutex<Option<Timestamp>>,
}

/// The remote and the driver of the outbox.
#[derive(Debug)]
struct Remote {
    provider: Arc<dyn Provider>,
    acts: Arc<Acts>,
    driver: Handle,
}

impl Repository {
    /// Starts the configuration of a repository.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The same data, read by `policy`.
    #[must_use]
    pub fn reading(&self, policy: ReadPolicy) -> Self {
        let mut other = self.clone();
        other.options.read = policy;
        other
    }

    /// The same data, written by `policy`.
    #[must_use]
    pub fn writing(&self, policy: WritePolicy) -> Self {
        let mut other = self.clone();
        other.options.write = policy;
        other
    }

    /// The same data; an answer of the remote that is older than `age` does not count as known locally.
    #[must_use]
    pub fn max_age(&self, age: Duration) -> Self {
        let mut other = self.clone();
        other.options.max_age = Some(age);
        other
    }

    /// The same data; a request to the remote that takes longer than `patience` is given up with `Timeout`.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        let mut other = self.clone();
        other.options.deadline = Some(patience);
        other
    }

    /// How the repository stands towards its remote. What was written before is in it.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = match &self.shared.remote {
            Some(remote) => {
                let fresh = remote.acts.fresh.lock();
                let mut status = remote.driver.status.borrow().clone();
                status.pending += fresh.len();
                status
            }
            None => Status::default(),
        };
        status.damage = self.shared.store.damage();
        status.last_pulled = *self.shared.last_pulled.lock().unwrap_or_else(PoisonError::into_inner);
        status
    }

    /// Ends when the status is no longer `seen`, and gives it.
    pub async fn status_changed(&self, seen: &Status) -> Status {
        if let Some(remote) = &self.shared.remote {
            let mut status = remote.driver.status.clone();
            loop {
                status.mark_unchanged();
                let now = self.status();
                let (last_pulled, damage) = (seen.last_pulled, seen.damage.clone());
                if (Status { last_pulled, damage, ..now.clone() }) != *seen {
                    return now;
                }
                if status.changed().await.is_err() {
                    break;
                }
            }
        }
        std::future::pending().await
    }

    /// The status now, and whenever it changes: how much waits, is on its way or is parked. Who reads slowly gets the
    /// latest, never a backlog.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository};
    /// # #[derive(Model, Debug)]
    /// # struct Label { #[model(key)] name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Label>().build().await?;
    /// let mut status = repo.watch_status();
    /// repo.upsert(&Label { name: "bug".into() }).await?.accepted().await?;
    /// while let Some(now) = status.next().await {
    ///     if now.last_pushed.is_some() {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn watch_status(&self) -> StatusWatch {
        let status = self.shared.remote.as_ref().map(|remote| remote.driver.status.clone());
        let shared = Arc::downgrade(&self.shared);
        StatusWatch::of(status, move |mut status| {
            if let Some(shared) = shared.upgrade() {
                status.last_pulled = *shared.last_pulled.lock().unwrap_or_else(PoisonError::into_inner);
                status.damage = shared.store.damage();
            }
            status
        })
    }

    /// Signs an account in: from now on writes are made and sent in its name, and rows are asked for in its name. What
    /// another account has queued stays in the outbox and is not sent before that one signs in again; what is on its way
    /// comes to its end in the name of whoever wrote it. Rows that are here stay: [`wipe`](Self::wipe) removes them.
    pub fn sign_in(&self, account: impl Into<Arc<str>>) {
        self.sign(Some(account.into()));
    }

    /// Signs the account out: writes are in nobody's name, and what it has queued stays in the outbox.
    /// [`safe_to_wipe`](Self::safe_to_wipe) says whether anything is.
    pub fn sign_out(&self) {
        self.sign(None);
    }

    /// The account that is signed in.
    #[must_use]
    pub fn account(&self) -> Option<Arc<str>> {
        self.shared.account.get()
    }

    fn sign(&self, account: Option<Arc<str>>) {
        self.shared.account.set(account.clone());
        if let Some(remote) = &self.shared.remote {
            remote.driver.tell(crate::engine::Event::Account(account));
        }
    }

    /// How a row stands towards the remote, and since when; `None` if there is no such row.
    ///
    /// # Errors
    /// `Invalid` if the model is not registered; `Storage` or `Corrupt`.
    pub async fn sync_state<M: Model>(&self, key: impl Into<Key>) -> Result<Option<SyncState>> {
        let schema = self.schema::<M>()?;
        let key = self.current(schema, key.into()).await?;
        let Some(stored) = self.shared.store.load(&self.cx(), schema, &key).await? else {
            return Ok(None);
        };
        let mut sync = stored.meta.sync;
        if let (Some(remote), RowState::Pending) = (&self.shared.remote, sync.state) {
            let in_flight = remote.driver.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            if in_flight.contains(&(schema.model, key)) {
                sync.state = RowState::InFlight;
            }
        }
        Ok(Some(sync))
    }

    /// Says that there are new credentials: what waited for them goes on.
    pub fn credentials_renewed(&self) {
        if let Some(remote) = &self.shared.remote {
            remote.driver.tell(crate::engine::Event::Credentials);
        }
    }

    /// Stops syncing and listening at once, and sending once nothing is on its way, and lets go of the store as soon as
    /// every handle is dropped.
    pub async fn close(self) {
        self.end_tasks().await;
        if let Some(remote) = &self.shared.remote {
            remote.driver.close().await;
        }
    }

    fn cx(&self) -> Context {
        Context {
            deadline: self.options.deadline.map(|patience| self.shared.runtime.monotonic() + patience),
            read_policy: self.options.read,
            account: self.shared.account.get(),
            ..Context::new()
        }
    }

    fn now(&self) -> Timestamp {
        self.shared.runtime.now()
    }

    fn mint(&self) -> MutationId {
        MutationId(self.shared.runtime.uuid())
    }

    fn schema<M: Model>(&self) -> Result<&'static Schema> {
        self.shared.models.get(&TypeId::of::<M>()).copied().ok_or_else(|| {
            let model = M::schema().model;
            let what = format!("the repository does not know it: register it with `.model::<{model}>()`");
            Error::new(ErrorKind::Invalid, what).model(model)
        })
    }

    fn remote(&self) -> Result<&Remote> {
        self.shared
            .remote
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Offline, "the repository has no remote"))
    }
}
