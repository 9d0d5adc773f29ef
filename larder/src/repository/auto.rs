//! Syncs that nobody asks for: what sets them off, and under which conditions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use larder_core::{Connectivity, Power, Result};

use super::pull::Budget;
use super::read::unreachable;
use super::{Repository, SyncReport};
use crate::contained::{self, ContainedPower};
use crate::engine::backoff::{Backoff, SPREAD, Turns, part};
use crate::events::{Part, Teller};

/// How often conditions that don't tell of their changes are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// Who is told what each sync came to.
type Told = Arc<dyn Fn(&Result<SyncReport>) + Send + Sync>;

/// When a repository syncs by itself, and under which conditions: for [`Builder::auto_sync`](super::Builder::auto_sync).
///
/// - Any of the triggers sets a sync off; what is set off while one runs is one more, not several.
/// - A sync that is due waits until all conditions hold.
/// - One that can't reach the remote is due again after a backoff, and at once when the remote is reachable again.
/// - It ends with the repository: when [`close`](super::Repository::close) is called, or the last handle is dropped.
///
/// ```
/// use std::time::Duration;
/// use larder::{AutoSync, Budget, Memory, Model, Repository};
/// # #[derive(Model, Debug)]
/// # struct Label { #[model(key)] name: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> larder::Result<()> {
/// let auto = AutoSync::new()
///     .at_start()
///     .every(Duration::from_secs(15 * 60))
///     .when_regained()
///     .only_unmetered()
///     .only_above(20)
///     .within(Duration::from_secs(25), Budget::unlimited().pages(100));
/// let repo = Repository::builder()
///     .store(Memory::new())
///     .remote(Memory::new())
///     .model::<Label>()
///     .auto_sync(auto)
///     .build()
///     .await?;
/// # repo.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use = "it syncs nothing by itself"]
pub struct AutoSync {
    start: bool,
    every: Option<Duration>,
    regained: bool,
    connected: bool,
    unmetered: bool,
    above: Option<u8>,
    within: Option<(Duration, Budget)>,
    /// `None`: [`SPREAD`].
    spread: Option<Duration>,
    told: Option<Told>,
}

impl AutoSync {
    /// Without any trigger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Syncs when the repository is built.
    pub fn at_start(mut self) -> Self {
        self.start = true;
        self
    }

    /// Syncs at this interval, counted from when the repository was built. What can't be kept to is left out.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = Some(interval.max(Duration::from_millis(1)));
        self
    }

    /// Syncs when the connection is there again.
    pub fn when_regained(mut self) -> Self {
        self.regained = true;
        self
    }

    /// Waits until the device is connected, as far as [`Connectivity`] knows.
    pub fn only_connected(mut self) -> Self {
        self.connected = true;
        self
    }

    /// Waits for a connection that is not paid for by volume; it implies [`only_connected`](Self::only_connected).
    pub fn only_unmetered(mut self) -> Self {
        (self.connected, self.unmetered) = (true, true);
        self
    }

    /// Waits until the battery is fuller than so many percent, or charged, as far as [`Power`] knows.
    pub fn only_above(mut self, percent: u8) -> Self {
        self.above = Some(percent);
        self
    }

    /// Each sync is a [`sync_until`](super::Repository::sync_until).
    pub fn within(mut self, patience: Duration, budget: Budget) -> Self {
        self.within = Some((patience, budget));
        self
    }

    /// How far apart devices that regain their connection at one moment begin: each waits for anything up to this, 2 seconds
    /// unless told otherwise, before the sync that this sets off, or that has waited for it.
    pub fn spread(mut self, spread: Duration) -> Self {
        self.spread = Some(spread);
        self
    }

    /// Tells `told` what each sync came to.
    pub fn on_report(mut self, told: impl Fn(&Result<SyncReport>) + Send + Sync + 'static) -> Self {
        self.told = Some(Arc::new(told));
        self
    }

    /// Whether anything ever sets a sync off.
    pub(super) fn is_set(&self) -> bool {
        self.start || self.regained || self.every.is_some()
    }
}

impl fmt::Debug for AutoSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AutoSync")
            .field("start", &self.start)
            .field("every", &self.every)
            .field("regained", &self.regained)
            .field("connected", &self.connected)
            .field("unmetered", &self.unmetered)
            .field("above", &self.above)
            .field("within", &self.within)
            .field("spread", &self.spread)
            .finish_non_exhaustive()
    }
}

/// The task that waits for triggers.
pub(super) struct Syncing {
    pub(super) auto: AutoSync,
    pub(super) connectivity: Arc<dyn Connectivity>,
    pub(super) power: ContainedPower,
    pub(super) teller: Teller,
    pub(super) backoff: Backoff,
}

impl Syncing {
    pub(super) async fn run(self, repo: Repository) {
        let runtime = Arc::clone(&repo.shared.runtime);
        let began = runtime.monotonic();
        let (mut due, mut again, mut turns) = (self.auto.start, None, Turns::default());
        loop {
            let mut crowd = !due && self.wait(&repo, began, again).await;
            // The connection may be lost again in the meantime.
            while self.conditions(&repo).await | std::mem::take(&mut crowd) {
                let spread = self.auto.spread.unwrap_or(SPREAD);
                runtime.sleep(part(spread, runtime.random())).await;
            }
            let sync = match self.auto.within {
                Some((patience, budget)) => repo.sync_until(patience, budget),
                None => repo.sync(),
            };
            let report = sync.await;
            again = match &report {
                Err(error) if unreachable(error) => {
                    Some(turns.next(&self.backoff, runtime.monotonic(), runtime.random()))
                }
                _ => {
                    turns = Turns::default();
                    None
                }
            };
            if let Err(error) = &report {
                tracing::debug!(%error, "a sync in the background failed");
            }
            if let Some(told) = &self.auto.told
                && let Err(panicked) = contained::now(|| told(&report))
            {
                self.teller.panicked(Part::Report, &panicked);
            }
            due = false;
        }
    }

    /// Waits for a trigger, or until a sync that failed is tried again. True if that is a connection which others may have
    /// regained at the same moment: what an answer of the remote tells is known here alone.
    async fn wait(&self, repo: &Repository, began: Duration, again: Option<Duration>) -> bool {
        let runtime = &repo.shared.runtime;
        loop {
            let now = runtime.monotonic();
            let tick = self.auto.every.map(|every| began.saturating_add(next(now - began, every)));
            let until = tick.into_iter().chain(again).min();
            let online = self.connectivity.is_online();
            let heard = self.connectivity.changed(online);
            let timer = match until {
                Some(until) => runtime.sleep(until.saturating_sub(now)),
                None => Box::pin(std::future::pending()),
            };
            match select(timer, heard).await {
                Either::Left(_) => return false,
                // Lost, and not regained; or not asked for, unless a sync is due.
                Either::Right(_) => {
                    if self.connectivity.is_online() && (self.auto.regained || again.is_some()) {
                        return !online;
                    }
                }
            }
        }
    }

    /// Waits until all conditions hold. True if the connection was what was waited for last.
    async fn conditions(&self, repo: &Repository) -> bool {
        let mut offline = false;
        while !self.permits() {
            let online = self.connectivity.is_online();
            offline = self.auto.connected && !online;
            select(repo.shared.runtime.sleep(LOOK), self.connectivity.changed(online)).await;
        }
        offline
    }

    fn permits(&self) -> bool {
        let AutoSync { connected, unmetered, above, .. } = self.auto;
        (!connected || self.connectivity.is_online())
            && (!unmetered || !self.connectivity.is_metered())
            && above.is_none_or(|above| self.power.battery().is_none_or(|level| level > above))
    }
}

/// The next multiple of the interval after this time.
fn next(since: Duration, every: Duration) -> Duration {
    let passed = since.as_nanos() / every.as_nanos().max(1);
    let next = (passed + 1).saturating_mul(every.as_nanos());
    Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX))
}
