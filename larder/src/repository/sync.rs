//! Sync on demand: push what is queued, pull what there is.

use std::collections::VecDeque;
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::{Stream, StreamExt};
use larder_core::runtime::BoxFuture;
use larder_core::{Error, ErrorKind, Model, Result, Schema};

use super::Repository;
use super::pull::{Budget, Limits, Progress, Pulling, Remark, Steps};
use super::read::unreachable;

/// A sync that is about to begin: `repo.sync().await`, or first say what of and who is told.
#[must_use = "nothing happens before it is awaited"]
pub struct Sync {
    repo: Repository,
    schemas: Vec<&'static Schema>,
    steps: Steps,
    full: bool,
    /// Drop what is here before.
    anew: bool,
    limits: Option<(Duration, Budget)>,
}

impl fmt::Debug for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models: Vec<_> = self.schemas.iter().map(|schema| schema.model).collect();
        f.debug_struct("Sync").field("models", &models).field("full", &self.full).finish_non_exhaustive()
    }
}

/// What a sync came to.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct SyncReport {
    /// Mutations that the remote accepted meanwhile.
    pub pushed: u64,
    /// Rows that came, or were said to be gone.
    pub pulled: u64,
    /// Rows that were new, different or gone.
    pub changed: u64,
    /// Entries that are still in the outbox, parked ones included.
    pub left: u64,
    /// Entries that wait for a decision.
    pub parked: u64,
    /// Models that are not pulled to the end: the next sync goes on with them.
    pub models_left: Vec<&'static str>,
    /// What there is to say beside.
    pub remarks: Vec<Remark>,
}

impl SyncReport {
    /// True if nothing is left: the remote has everything that was written here, and what it has is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let lacks = |remark: &Remark| {
            matches!(remark, Remark::Row { .. } | Remark::MoreRows { .. } | Remark::Model { .. })
        };
        self.left == 0 && self.models_left.is_empty() && !self.remarks.iter().any(lacks)
    }
}

impl Sync {
    /// Pulls `M`; without any call of it, all registered models are pulled.
    ///
    /// # Errors
    /// `Invalid` if the model is not registered.
    pub fn model<M: Model>(mut self) -> Result<Self> {
        let schema = self.repo.schema::<M>()?;
        self.schemas.push(schema);
        Ok(self)
    }

    /// Pulls everything, also from a remote that tells what has changed: for one that does not tell what is gone.
    pub fn full(mut self) -> Self {
        self.full = true;
        self
    }

    /// Tells `told` after each page, and when a model is complete.
    pub fn on_progress(mut self, told: impl Fn(Progress) + Send + std::marker::Sync + 'static) -> Self {
        self.steps.told = Some(Arc::new(told));
        self
    }

    /// The sync as a stream: it goes on as the stream is read, and the report comes last.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository, SyncEvent};
    /// # #[derive(Model, Debug)]
    /// # struct Label { #[model(key)] name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Label>().build().await?;
    /// let mut sync = repo.sync().events();
    /// while let Some(event) = sync.next().await {
    ///     match event? {
    ///         SyncEvent::Progress(at) => println!("{}: page {}, {} rows", at.model, at.pages, at.rows),
    ///         SyncEvent::Done(report) => println!("{} entries left", report.left),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn events(mut self) -> SyncEvents {
        let queue = Arc::<Mutex<VecDeque<Progress>>>::default();
        self.steps.queue = Some(Arc::clone(&queue));
        SyncEvents { sync: Some(Box::pin(self.run())), report: None, queue }
    }

    async fn run(self) -> Result<SyncReport> {
        let Self { repo, mut schemas, steps, full, anew, limits } = self;
        let (remote, ticket) = (repo.remote()?, repo.shared.pulls.ticket());
        let now = repo.shared.runtime.monotonic();
        let limits = limits.map(|(patience, budget)| Limits::new(now.saturating_add(patience), budget));
        let mut limits = limits.unwrap_or_default();
        let accepted = remote.driver.accepted();
        repo.in_time(&limits, remote.driver.drain()).await;
        let mut report = SyncReport::default();
        if schemas.is_empty() {
            schemas = repo.shared.models.values().copied().collect();
            schemas.sort_by_key(|schema| schema.model);
        }
        if anew {
            repo.drop_synced(&schemas).await?;
        }
        let mut failed = Vec::new();
        let models = (0, schemas.len());
        let full = full || anew;
        let mut pulling = Pulling { full, ticket, limits: &mut limits, steps: &steps, models };
        for schema in &schemas {
            if pulling.limits.are_spent(repo.shared.runtime.monotonic()) {
                report.models_left.push(schema.model);
                continue;
            }
            match repo.pull(schema, &mut pulling).await {
                Ok(pulled) => {
                    report.pulled += pulled.rows;
                    report.changed += pulled.changed;
                    report.remarks.extend(pulled.remarks);
                    if !pulled.complete {
                        report.models_left.push(schema.model);
                    }
                }
                Err(error) if is_of_one_model(&error) => failed.push((schema.model, error)),
                Err(error) => return Err(error),
            }
        }
        if failed.len() == schemas.len()
            && let Some((_, error)) = failed.pop()
        {
            return Err(error);
        }
        report.models_left.extend(failed.iter().map(|(model, _)| *model));
        let remark = |(model, error)| Remark::Model { model, error: Arc::new(error) };
        report.remarks.extend(failed.into_iter().map(remark));
        let counts = repo.shared.store.outbox_counts(&repo.cx()).await?;
        (report.left, report.parked) = (counts.entries, counts.parked);
        report.pushed = remote.driver.accepted().saturating_sub(accepted);
        Ok(report)
    }
}

/// Whether the other models are worth trying.
fn is_of_one_model(error: &Error) -> bool {
    let here = matches!(
        error.kind(),
        ErrorKind::Storage
            | ErrorKind::Corrupt
            | ErrorKind::Full
            | ErrorKind::Cancelled
            | ErrorKind::Unauthorized
    );
    let answered = matches!(error.kind(), ErrorKind::Http { .. });
    !here && (answered || !unreachable(error))
}

impl IntoFuture for Sync {
    type Output = Result<SyncReport>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// What a sync tells.
#[derive(Debug)]
pub enum SyncEvent {
    /// How far it is.
    Progress(Progress),
    /// What it came to: the last event.
    Done(SyncReport),
}

/// A sync as a stream of what it does; dropping it breaks the sync off where it is.
pub struct SyncEvents {
    sync: Option<BoxFuture<'static, Result<SyncReport>>>,
    report: Option<Result<SyncReport>>,
    queue: Arc<Mutex<VecDeque<Progress>>>,
}

impl SyncEvents {
    /// The next event; `None` after the report or an error.
    pub async fn next(&mut self) -> Option<Result<SyncEvent>> {
        StreamExt::next(self).await
    }
}

impl Stream for SyncEvents {
    type Item = Result<SyncEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = |queue: &Mutex<VecDeque<Progress>>| {
            queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
        };
        if let Some(progress) = next(&self.queue) {
            return Poll::Ready(Some(Ok(SyncEvent::Progress(progress))));
        }
        if let Some(sync) = &mut self.sync
            && let Poll::Ready(report) = sync.poll_unpin(cx)
        {
            (self.sync, self.report) = (None, Some(report));
        }
        if let Some(progress) = next(&self.queue) {
            return Poll::Ready(Some(Ok(SyncEvent::Progress(progress))));
        }
        match self.report.take() {
            Some(report) => Poll::Ready(Some(report.map(SyncEvent::Done))),
            None if self.sync.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for SyncEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncEvents").field("done", &self.sync.is_none()).finish_non_exhaustive()
    }
}

impl Repository {
    /// Pushes what is queued, as far as the remote takes it, then pulls every registered model: what has changed, where
    /// the remote tells, else everything, page by page.
    ///
    /// - A page and how far the pull has come by it are one transaction: a sync that is broken off, by an outage or by
    ///   the end of the process, goes on where it was.
    /// - A row that can't be read or stored, or a model that can't be pulled, spoils no other: it is in the
    ///   [remarks](SyncReport::remarks).
    ///
    /// ```no_run
    /// # async fn run(repo: larder::Repository) -> larder::Result<()> {
    /// let report = repo.sync().on_progress(|at| println!("{}: {} rows", at.model, at.rows)).await?;
    /// println!("{} rows, {} of them new; {} mutations left", report.pulled, report.changed, report.left);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Awaiting it gives `Offline`, `Timeout` and their like if the remote can't be reached, upon which what has been
    /// stored stays stored, and what the remote and the store report else.
    pub fn sync(&self) -> Sync {
        let (schemas, steps) = (Vec::new(), Steps::default());
        Sync { repo: self.clone(), schemas, steps, full: false, anew: false, limits: None }
    }

    /// A [`sync`](Self::sync) that takes no longer than `patience` and no more than `budget`: it stops between two
    /// transactions, and its report says what is left. The next sync goes on there. What is on its way to the remote by
    /// then comes to its end behind it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{Budget, Memory, Model, Repository};
    /// # #[derive(Model, Debug)]
    /// # struct Label { #[model(key)] name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Label>().build().await?;
    /// // The system gives an application in the background half a minute.
    /// let report = repo.sync_until(Duration::from_secs(25), Budget::unlimited().pages(50)).await?;
    /// if !report.is_complete() {
    ///     println!("{} mutations and {:?} are left", report.left, report.models_left);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn sync_until(&self, patience: Duration, budget: Budget) -> Sync {
        Sync { limits: Some((patience, budget)), ..self.sync() }
    }

    /// A [`sync`](Self::sync) that first drops what is here as the remote has it, and all that is known of the remote,
    /// and pulls everything anew. Rows with something in the outbox stay, with their entries, and so do rows that are
    /// kept here by choice. If the remote can't be reached, nothing is dropped.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository, Select};
    /// # #[derive(Model, Debug)]
    /// # struct Label { #[model(key)] name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Label>().build().await?;
    /// repo.upsert(&Label { name: "bug".into() }).await?;
    /// repo.resync().model::<Label>()?.await?;
    /// assert_eq!(repo.get(Select::<Label>::all()).await?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn resync(&self) -> Sync {
        Sync { anew: true, ..self.sync() }
    }
}
