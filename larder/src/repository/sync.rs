//! Sync on demand: push what is queued, pull what there is. And the way out: `wipe`.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use larder_core::runtime::BoxFuture;
use larder_core::{Context, Error, ErrorKind, Model, Query, Result, Schema};

use super::Repository;

/// A sync that is about to begin: `repo.sync().await`, or first say what of and who is told.
#[must_use = "nothing happens before it is awaited"]
pub struct Sync {
    repo: Repository,
    schemas: Vec<&'static Schema>,
    progress: Option<Arc<dyn Fn(Progress) + Send + std::marker::Sync>>,
}

impl fmt::Debug for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models: Vec<_> = self.schemas.iter().map(|schema| schema.model).collect();
        f.debug_struct("Sync").field("models", &models).finish_non_exhaustive()
    }
}

/// How far a sync is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The model that is pulled.
    pub model: &'static str,
    /// Rows of it that have come so far.
    pub rows: u64,
    /// True once the model is complete.
    pub done: bool,
}

/// What a sync came to.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct SyncReport {
    /// Rows that came.
    pub pulled: u64,
    /// Rows that were new or different.
    pub changed: u64,
    /// Entries that are still in the outbox, parked ones included.
    pub left: u64,
    /// Entries that wait for a decision.
    pub parked: u64,
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

    /// Tells `told` after each page.
    pub fn on_progress(mut self, told: impl Fn(Progress) + Send + std::marker::Sync + 'static) -> Self {
        self.progress = Some(Arc::new(told));
        self
    }

    async fn run(self) -> Result<SyncReport> {
        let remote = self.repo.remote()?;
        remote.driver.drain().await;
        let mut report = SyncReport::default();
        let mut schemas = self.schemas;
        if schemas.is_empty() {
            schemas = self.repo.shared.models.values().copied().collect();
            schemas.sort_by_key(|schema| schema.model);
        }
        for schema in schemas {
            let tell = |rows, done| {
                if let Some(told) = &self.progress {
                    told(Progress { model: schema.model, rows, done });
                }
            };
            let pulled = self.repo.fetch_pages(schema, &Query::all(), &mut |rows| tell(rows, false)).await?;
            tell(pulled.rows, true);
            report.pulled += pulled.rows;
            report.changed += pulled.changed;
        }
        let counts = self.repo.shared.store.outbox_counts(&Context::new()).await?;
        (report.left, report.parked) = (counts.entries, counts.parked);
        Ok(report)
    }
}

impl IntoFuture for Sync {
    type Output = Result<SyncReport>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// What a wipe would lose: entries that the remote does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WouldLose {
    /// Entries in the outbox, parked ones included.
    pub entries: u64,
    /// Entries that wait for a decision.
    pub parked: u64,
}

impl WouldLose {
    /// True if nothing would be lost.
    #[must_use]
    pub fn nothing(&self) -> bool {
        self.entries == 0
    }
}

impl Repository {
    /// Pushes what is queued, as far as the remote takes it, then pulls every registered model page by page.
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
        Sync { repo: self.clone(), schemas: Vec::new(), progress: None }
    }

    /// What [`wipe`](Self::wipe) would lose.
    ///
    /// # Errors
    /// `Storage` or `Corrupt`.
    pub async fn safe_to_wipe(&self) -> Result<WouldLose> {
        let counts = self.shared.store.outbox_counts(&self.cx()).await?;
        Ok(WouldLose { entries: counts.entries, parked: counts.parked })
    }

    /// Removes everything from the local side, in place: rows, outbox, what is known. The repository stays usable.
    /// What [`safe_to_wipe`](Self::safe_to_wipe) names is lost.
    ///
    /// # Errors
    /// `Storage` or `Full`; nothing is removed then.
    pub async fn wipe(&self) -> Result<()> {
        let _alone = self.shared.wiping.write().await;
        // The observers of the store's commits tell the driver.
        self.shared.store.wipe(&self.cx()).await?;
        if self.shared.remote.is_some() {
            let given_up = || Error::new(ErrorKind::Cancelled, "the repository was wiped");
            self.shared.fates.give_up(given_up);
        }
        Ok(())
    }
}
