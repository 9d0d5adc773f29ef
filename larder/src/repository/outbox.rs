//! The application's view of what is queued.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::runtime::BoxFuture;
use larder_core::{
    Context, EntryState, Error, ErrorKind, Failure, Key, Model, MutationId, Operation, ParkReason, Result,
    Row, Timestamp,
};

use tokio::sync::oneshot;

use super::{Remote, Repository};
use crate::driver::{Acts, Discard, Handle, Retry};
use crate::engine::Event;
#[cfg(doc)]
use crate::events::OutboxEvent;
use crate::events::OutboxEvents;
use crate::parcel::{Parcel, is_parcel};
use crate::status::Status;

/// What is queued for the remote, and what may be done about it.
#[derive(Clone, Copy, Debug)]
pub struct Outbox<'a> {
    pub(super) repo: &'a Repository,
}

/// A mutation that the remote has not confirmed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueuedMutation {
    /// Its place in the order; what the other calls name it by.
    pub seq: u64,
    /// Its identity, and the idempotency key that the remote sees.
    pub id: MutationId,
    /// The model.
    pub model: &'static str,
    /// The row.
    pub key: Key,
    /// What is done.
    pub operation: Operation,
    /// The names of the fields that are changed.
    pub changed: Vec<&'static str>,
    /// When it was written.
    pub created: Timestamp,
    /// Why it is parked; `None` if it is not.
    pub parked: Option<ParkReason>,
    /// True if it may have been sent.
    pub maybe_sent: bool,
    /// Attempts that were answered.
    pub attempts: u32,
    /// The account that wrote it.
    pub account: Option<Arc<str>>,
    /// What went wrong last, with the server's status and body.
    pub failure: Option<Failure>,
    /// What is sent, of a request that is no model.
    pub request: Option<QueuedRequest>,
}

/// A request that is no model, and that the remote has not answered: see [`Repository::http`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueuedRequest {
    /// The method.
    pub method: String,
    /// Where it goes.
    pub target: String,
    /// The other host that it goes to; `None` for the remote itself.
    pub host: Option<Arc<str>>,
    /// How long its body is, in bytes.
    pub length: u64,
}

impl Repository {
    /// What is queued for the remote.
    #[must_use]
    pub fn outbox(&self) -> Outbox<'_> {
        Outbox { repo: self }
    }
}

/// An entry of the outbox that today's application can't read: it is damaged, or can't be migrated. It stops its row.
#[derive(Debug)]
#[non_exhaustive]
pub struct UnreadableMutation {
    /// Its place in the order; what the other calls name it by.
    pub seq: u64,
    /// The model and the row, unless that can't be read either.
    pub row: Option<(&'static str, Key)>,
    /// Why it can't be read.
    pub error: Error,
}

/// What [`Outbox::clear`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cleared {
    /// Mutations that were given up.
    pub discarded: u64,
    /// Mutations that are still there: they are on their way, or can't be read.
    pub kept: u64,
}

/// How many entries are read at a time.
const READ: usize = 256;

impl Outbox<'_> {
    /// How many mutations there are, parked ones and those of other accounts included.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn len(&self) -> Result<u64> {
        Ok(self.repo.shared.store.outbox_counts(&Context::new()).await?.entries)
    }

    /// True if the remote has everything that was ever written here.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// How many mutations each account has written, unreadable ones aside; `None` is whoever was signed in as nobody. It
    /// reads the whole outbox.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn by_account(&self) -> Result<BTreeMap<Option<Arc<str>>, u64>> {
        let (mut counts, mut after) = (BTreeMap::new(), 0);
        loop {
            let loaded = self.repo.shared.store.outbox(&Context::new(), after, READ).await?;
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                return Ok(counts);
            }
            after = loaded.last;
            for entry in loaded.entries {
                *counts.entry(entry.account).or_default() += 1;
            }
        }
    }

    /// At most `limit` mutations after the place `after` (0 for the first ones), in order.
    ///
    /// # Errors
    /// `Storage` or `Corrupt`.
    pub async fn list(&self, after: u64, limit: usize) -> Result<Vec<QueuedMutation>> {
        let loaded = self.repo.shared.store.outbox(&Context::new(), after, limit).await?;
        Ok(loaded.entries.into_iter().map(QueuedMutation::of).collect())
    }

    /// The mutations that wait for a decision, in order.
    ///
    /// # Errors
    /// `Storage` or `Corrupt`.
    pub async fn parked(&self) -> Result<Vec<QueuedMutation>> {
        let (mut parked, mut after) = (Vec::new(), 0);
        loop {
            let loaded = self.repo.shared.store.outbox(&Context::new(), after, READ).await?;
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                return Ok(parked);
            }
            after = loaded.last;
            let entries = loaded.entries.into_iter().map(QueuedMutation::of);
            parked.extend(entries.filter(|entry| entry.parked.is_some()));
        }
    }

    /// The entries that today's application can't read, in order. [`export`](Self::export) gives them as they are stored,
    /// and [`discard`](Self::discard) lets their rows go on.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn unreadable(&self) -> Result<Vec<UnreadableMutation>> {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let loaded = self.repo.shared.store.outbox(&Context::new(), after, READ).await?;
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                return Ok(found);
            }
            after = loaded.last;
            found.extend(loaded.unreadable.into_iter().map(|entry| UnreadableMutation {
                seq: entry.seq,
                row: entry.row.map(|(schema, key)| (schema.model, key)),
                error: entry.error,
            }));
        }
    }

    /// Lets a parked mutation go again, with the same identity. One in a conflict goes as if that had been settled with
    /// [`Resolution::Mine`](crate::Resolution::Mine). A request that was refused goes again as another one, with a place and
    /// an identity of its own: a server may have kept its refusal under the former. The wait of one that is not parked is
    /// cut short.
    ///
    /// # Errors
    /// `NotFound` if there is no such mutation; `Conflict` if its row has gone back; `Offline` without a remote;
    /// `Storage`.
    pub async fn retry(&self, seq: u64) -> Result<()> {
        let remote = self.remote()?;
        let (acts, driver) = (Arc::clone(&remote.acts), remote.driver.clone());
        let retry = async move {
            match acts.retry(seq).await? {
                None => return Err(gone(seq)),
                Some(Retry::Again) => driver.tell(Event::Retried(seq)),
                Some(Retry::Anew) => {
                    driver.tell(Event::Requeued(seq));
                    driver.tell(Event::Nudge);
                }
                Some(Retry::Moved(moved)) => {
                    driver.tell(Event::Decided(seq));
                    driver.tell(Event::Rebased(moved));
                    driver.tell(Event::Nudge);
                }
                // It goes by itself; its wait is cut short.
                Some(Retry::Waiting) => driver.tell(Event::Nudge),
            }
            Ok(())
        };
        self.decide("larder retry", Box::pin(retry)).await
    }

    /// Lets a parked mutation go again with another intent: `edit` gets the row as the mutation wants it, and what it
    /// makes of it is what the mutation wants from then on, here too, under later changes. One that may have been sent
    /// goes as a new mutation with a new idempotency key, so whatever came of the former stays as it is. One in a conflict
    /// goes as if that had been settled with [`Resolution::Merged`](crate::Resolution::Merged).
    ///
    /// # Errors
    /// `NotFound` if there is no such mutation; `Conflict` if it is not parked, or its row has gone back; `Invalid` if it
    /// is of another model, the key is changed, or one of the model's own checks refuses the row; `Unsupported` for a
    /// deletion, and for one that goes in one request with others and is in no conflict; `Offline` without a remote;
    /// `Storage`.
    pub async fn edit<M: Model>(
        &self,
        seq: u64,
        mut edit: impl FnMut(&mut M) + Send + 'static,
    ) -> Result<()> {
        let schema = self.repo.schema::<M>()?;
        let remote = self.remote()?;
        let (acts, driver, id) = (Arc::clone(&remote.acts), remote.driver.clone(), self.repo.mint());
        let decision = async move {
            let mut edit = |row: &dyn Row| -> Result<Arc<dyn Row>> {
                let mut model = M::from_row(row)?;
                edit(&mut model);
                Ok(Arc::new(model))
            };
            match acts.edit(seq, schema, id, &mut edit).await? {
                None => return Err(gone(seq)),
                Some(Retry::Moved(moved)) => {
                    driver.tell(Event::Decided(seq));
                    driver.tell(Event::Rebased(moved));
                    driver.tell(Event::Nudge);
                }
                Some(Retry::Again | Retry::Anew | Retry::Waiting) => driver.tell(Event::Edited { seq, id }),
            }
            Ok(())
        };
        self.decide("larder edit", Box::pin(decision)).await
    }

    /// Gives a mutation up. Its row goes back to what it was changed from, under later changes; later changes of a row
    /// whose creation is given up are given up with it. If it may have been sent, the remote may have it all the same,
    /// and the next pull brings it. Of one whose row has gone back already, what is left is removed; one that can't be
    /// read is removed, and its row stays as it is.
    ///
    /// The creation of a row whose key the server is still to give is not given up while queued mutations of other rows
    /// refer to that row: see [`discard_with_dependants`](Self::discard_with_dependants).
    ///
    /// # Errors
    /// `NotFound` if there is no such mutation; `Conflict` if it is on its way, goes in the request of another, or others
    /// can't be sent without it, which are named; `Offline` without a remote; `Storage`.
    pub async fn discard(&self, seq: u64) -> Result<()> {
        let remote = self.remote()?;
        let (acts, driver) = (Arc::clone(&remote.acts), remote.driver.clone());
        let discard = async move {
            withdraw(&driver, seq).await?;
            match give_up(&acts, &driver, seq).await? {
                Discard::Nothing => Err(gone(seq)),
                Discard::Removed | Discard::Gone(_) => Ok(()),
                Discard::DependedOn(_, error) => {
                    driver.tell(Event::Kept(seq));
                    Err(error)
                }
            }
        };
        self.decide("larder discard", Box::pin(discard)).await
    }

    /// Gives a mutation up as [`discard`](Self::discard) does; before it those that can't be sent without it, the newest
    /// first: what makes other rows refer to a row that it creates and whose key the server is still to give, and what
    /// depends on that in turn. Gives what was given up, in that order.
    ///
    /// # Errors
    /// As [`discard`](Self::discard). What was given up before an error stays given up, and all that is left can be sent.
    pub async fn discard_with_dependants(&self, seq: u64) -> Result<Vec<QueuedMutation>> {
        let remote = self.remote()?;
        let (acts, driver) = (Arc::clone(&remote.acts), remote.driver.clone());
        let discard = async move {
            let (mut all, mut open) = (Vec::new(), vec![seq]);
            while let Some(next) = open.pop() {
                let given_up = match withdraw(&driver, next).await {
                    Ok(()) => give_up(&acts, &driver, next).await,
                    Err(error) => Err(error),
                };
                match given_up {
                    Ok(Discard::Nothing) if next == seq => return Err(gone(seq)),
                    Ok(Discard::Nothing | Discard::Removed) => {}
                    Ok(Discard::Gone(entries)) => all.extend(entries.into_iter().map(QueuedMutation::of)),
                    Ok(Discard::DependedOn(dependants, _)) => {
                        // It stays out of the schedule meanwhile, and so does what waits for it.
                        open.push(next);
                        // The newest is on top.
                        open.extend(dependants.into_iter().rev());
                    }
                    Err(error) => {
                        open.into_iter().for_each(|seq| driver.tell(Event::Kept(seq)));
                        return Err(error);
                    }
                }
            }
            Ok(all)
        };
        self.decide("larder discard", Box::pin(discard)).await
    }

    /// Gives everything up that is not on its way, the newest first, and tells `lost` of each. What can't be read stays:
    /// [`unreadable`](Self::unreadable) names it.
    ///
    /// # Errors
    /// `Offline` without a remote; `Storage`, upon which what was told is given up and the rest is there.
    pub async fn clear(&self, mut lost: impl FnMut(QueuedMutation)) -> Result<Cleared> {
        let (mut seqs, mut after, mut cleared) = (Vec::new(), 0, Cleared::default());
        loop {
            let loaded = self.repo.shared.store.outbox(&Context::new(), after, READ).await?;
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                break;
            }
            after = loaded.last;
            cleared.kept += loaded.unreadable.len() as u64;
            seqs.extend(loaded.entries.iter().map(|entry| entry.seq));
        }
        // Those that go with another one are gone when that is.
        let mut carried = Vec::new();
        for seq in seqs.into_iter().rev() {
            let Some(entry) = self.repo.shared.store.entry(&Context::new(), seq).await? else { continue };
            let mutation = QueuedMutation::of(entry);
            match self.discard(seq).await {
                Ok(()) => {
                    cleared.discarded += 1;
                    lost(mutation);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.kind() == ErrorKind::Conflict => carried.push(mutation),
                Err(error) => return Err(error),
            }
        }
        for mutation in carried {
            if self.repo.shared.store.entry(&Context::new(), mutation.seq).await?.is_some() {
                cleared.kept += 1;
            } else {
                cleared.discarded += 1;
                lost(mutation);
            }
        }
        Ok(cleared)
    }

    /// What happens to mutations from now on. Who reads slowly is told how much was [missed](OutboxEvent::Missed), and
    /// no more than 1024 events are kept for anybody.
    ///
    /// ```
    /// # use larder::{Happened, Memory, Model, OutboxEvent, Repository};
    /// # #[derive(Model, Debug)]
    /// # struct Label { #[model(key)] name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Label>().build().await?;
    /// let mut events = repo.outbox().events();
    /// let _ = repo.upsert(&Label { name: "bug".into() }).await?;
    /// let mut seen = Vec::new();
    /// while let Some(OutboxEvent::Mutation { what, .. }) = events.next().await {
    ///     seen.push(what);
    ///     if what == Happened::Accepted {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(seen, [Happened::Queued, Happened::Sent { repeated: false }, Happened::Accepted]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn events(&self) -> OutboxEvents {
        match &self.repo.shared.remote {
            Some(remote) => remote.driver.teller.listen(),
            None => OutboxEvents::none(),
        }
    }

    /// Waits until nothing waits or is on its way that would go by itself, and gives the status: what is left is parked,
    /// comes after what is parked, or belongs to another account. It waits for as long as the remote can't be reached,
    /// sending is paused, or the credentials are refused.
    pub async fn settled(&self) -> Status {
        if let Some(remote) = &self.repo.shared.remote {
            remote.driver.settled().await;
        }
        self.repo.status()
    }

    /// Sends nothing from now on, whatever is being loaded; what is on its way comes to its end.
    pub fn pause(&self) {
        if let Some(remote) = &self.repo.shared.remote {
            remote.driver.pause();
        }
    }

    /// Sends again.
    pub fn resume(&self) {
        if let Some(remote) = &self.repo.shared.remote {
            remote.driver.resume();
        }
    }

    /// Tries everything now, and waits until the outbox is empty or nothing more can be done at the moment.
    pub async fn drain(&self) {
        if let Some(remote) = &self.repo.shared.remote {
            remote.driver.drain().await;
        }
    }

    /// Carries a decision out even if the caller stops waiting: what is durable, the driver has to learn.
    pub(super) async fn decide<T: Send + 'static>(
        &self,
        name: &'static str,
        decision: BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        let (done, decided) = oneshot::channel();
        let task = async move {
            // The caller may have stopped waiting.
            let _ = done.send(decision.await);
        };
        self.repo.shared.runtime.spawn(name, Box::pin(task));
        decided
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Cancelled, "the runtime dropped the decision")))
    }

    pub(super) fn remote(&self) -> Result<&Remote> {
        self.repo.remote()
    }
}

/// Takes a mutation out of the schedule.
async fn withdraw(driver: &Handle, seq: u64) -> Result<()> {
    if driver.withdraw(seq).await {
        return Ok(());
    }
    let what = format!("the mutation {seq} is on its way: wait for its fate");
    Err(Error::new(ErrorKind::Conflict, what).during("discard"))
}

/// Gives a mutation up that was taken out of the schedule, or puts it in again, unless others depend on it.
async fn give_up(acts: &Acts, driver: &Handle, seq: u64) -> Result<Discard> {
    let discarded = acts.discard(seq).await;
    match &discarded {
        Ok(Discard::Gone(gone)) => gone.iter().for_each(|gone| driver.tell(Event::Discarded(gone.seq))),
        Ok(Discard::Removed) => driver.tell(Event::Discarded(seq)),
        Ok(Discard::DependedOn(..)) => {}
        Ok(Discard::Nothing) | Err(_) => driver.tell(Event::Kept(seq)),
    }
    discarded
}

pub(super) fn gone(seq: u64) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no mutation {seq} in the outbox"))
}

impl QueuedMutation {
    pub(super) fn of(entry: larder_core::Entry) -> Self {
        let parcel = is_parcel(&entry).then(|| Parcel::read(&entry).ok()).flatten();
        Self {
            request: parcel.map(|parcel| QueuedRequest {
                host: parcel.host(),
                length: parcel.length(),
                method: parcel.method,
                target: parcel.target,
            }),
            seq: entry.seq,
            id: entry.id,
            model: entry.schema.model,
            changed: entry
                .changed
                .iter()
                .filter_map(|at| entry.schema.fields.get(at))
                .map(|field| field.name)
                .collect(),
            key: entry.key,
            operation: entry.operation,
            created: entry.created,
            parked: match entry.state {
                EntryState::Parked(reason) => Some(reason),
                _ => None,
            },
            maybe_sent: entry.mark.is_some(),
            attempts: entry.attempts,
            account: entry.account,
            failure: entry.failure,
        }
    }
}
