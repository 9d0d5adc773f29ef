//! The application's view of what is queued.

use std::sync::Arc;

use larder_core::runtime::BoxFuture;
use larder_core::{
    Context, EntryState, Error, ErrorKind, Failure, Key, MutationId, Operation, ParkReason, Result, Timestamp,
};

use tokio::sync::oneshot;

use super::{Remote, Repository};
use crate::engine::Event;

/// What is queued for the remote, and what may be done about it.
#[derive(Clone, Copy, Debug)]
pub struct Outbox<'a> {
    repo: &'a Repository,
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
    /// What went wrong last, with the server's status and body.
    pub failure: Option<Failure>,
}

impl Repository {
    /// What is queued for the remote.
    #[must_use]
    pub fn outbox(&self) -> Outbox<'_> {
        Outbox { repo: self }
    }
}

impl Outbox<'_> {
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
            let loaded = self.repo.shared.store.outbox(&Context::new(), after, 256).await?;
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                return Ok(parked);
            }
            after = loaded.last;
            let entries = loaded.entries.into_iter().map(QueuedMutation::of);
            parked.extend(entries.filter(|entry| entry.parked.is_some()));
        }
    }

    /// Lets a parked mutation go again, with the same identity. The wait of one that is not parked is cut short.
    ///
    /// # Errors
    /// `NotFound` if there is no such mutation; `Offline` without a remote; `Storage`.
    pub async fn retry(&self, seq: u64) -> Result<()> {
        let remote = self.remote()?;
        let (acts, driver) = (Arc::clone(&remote.acts), remote.driver.clone());
        let retry = async move {
            match acts.retry(seq).await? {
                None => return Err(gone(seq)),
                Some(true) => driver.tell(Event::Retried(seq)),
                // It goes by itself; its wait is cut short.
                Some(false) => driver.tell(Event::Nudge),
            }
            Ok(())
        };
        self.decide("larder retry", Box::pin(retry)).await
    }

    /// Gives a mutation up. Its row goes back to what it was changed from, under later changes; later changes of a row
    /// whose creation is given up are given up with it.
    ///
    /// # Errors
    /// `NotFound` if there is no such mutation; `Conflict` if it is on its way; `Offline` without a remote; `Storage`.
    pub async fn discard(&self, seq: u64) -> Result<()> {
        let remote = self.remote()?;
        let (acts, driver) = (Arc::clone(&remote.acts), remote.driver.clone());
        let discard = async move {
            let discarded = acts.discard(seq).await?;
            if discarded.is_empty() {
                return Err(gone(seq));
            }
            discarded.into_iter().for_each(|seq| driver.tell(Event::Discarded(seq)));
            Ok(())
        };
        self.decide("larder discard", Box::pin(discard)).await
    }

    /// Sends nothing from now on; what is on its way comes to its end.
    pub fn pause(&self) {
        self.tell(Event::Pause);
    }

    /// Sends again.
    pub fn resume(&self) {
        self.tell(Event::Resume);
    }

    /// Tries everything now, and waits until the outbox is empty or nothing more can be done at the moment.
    pub async fn drain(&self) {
        if let Some(remote) = &self.repo.shared.remote {
            remote.driver.drain().await;
        }
    }

    /// Carries a decision out even if the caller stops waiting: what is durable, the driver has to learn.
    async fn decide(&self, name: &'static str, decision: BoxFuture<'static, Result<()>>) -> Result<()> {
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

    fn tell(&self, event: Event) {
        if let Some(remote) = &self.repo.shared.remote {
            remote.driver.tell(event);
        }
    }

    fn remote(&self) -> Result<&Remote> {
        self.repo.remote()
    }
}

fn gone(seq: u64) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no mutation {seq} in the outbox"))
}

impl QueuedMutation {
    fn of(entry: larder_core::Entry) -> Self {
        Self {
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
            failure: entry.failure,
        }
    }
}
