//! What an application's actions and checks get hold of: a device, and the world that it is in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder::{Model, Repository};
use larder_core::{Context, Query, Result, Row, Store};

use crate::kernel::{lock, step_aside};
use crate::schedule::What;
use crate::world::{Of, Shared};

/// A device that is on, with the repository that runs there.
#[derive(Clone)]
pub struct Device {
    pub(crate) world: Arc<Shared>,
    pub(crate) number: usize,
    pub(crate) life: u64,
    pub(crate) repo: Repository,
    pub(crate) store: Arc<dyn Store>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("number", &self.number)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

impl Device {
    /// Which device it is, counted from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Which of its lives it is, counted from 1.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life
    }

    /// The repository.
    #[must_use]
    pub fn repo(&self) -> &Repository {
        &self.repo
    }

    /// How long the world has been running.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.world.kernel.now()
    }

    /// Waits in virtual time.
    pub async fn sleep(&self, wait: Duration) {
        self.world.kernel.sleep(wait).await;
    }

    /// Notes something in the trace.
    pub fn note(&self, what: impl fmt::Display) {
        self.world.note(Of(self.number), format_args!("{what}"));
    }

    /// All rows of a model that are here, by key, without waiting and without asking the remote: for checks.
    ///
    /// # Errors
    /// As [`larder::Repository::get`], without the remote's.
    pub fn rows<M: Model>(&self) -> Result<Vec<M>> {
        let mut rows = Vec::new();
        let mut take = |_: larder_core::MetaRef<'_>, row: &dyn Row| {
            rows.push(M::from_row(row)?);
            Ok(())
        };
        let whole = self.world.kernel.block(|| self.store.read_now(M::schema(), &Query::all(), &mut take))?;
        if !whole {
            let (cx, all) = (Context::new(), Query::all());
            let all = self.store.get(&cx, M::schema(), &all);
            let page = self.world.kernel.block(|| pollster::block_on(all))?;
            rows = page.rows.iter().map(|row| M::from_row(&*row.row)).collect::<Result<_>>()?;
        }
        Ok(rows)
    }
}

/// The world of a run, as a script or a check sees it.
#[derive(Clone, Debug)]
pub struct World(pub(crate) Arc<Shared>);

impl World {
    /// How many devices there are.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.0.slots.len()
    }

    /// A device; waits until it is on.
    ///
    /// # Panics
    /// If there is no such device.
    pub async fn device(&self, device: usize) -> Device {
        assert!(device < self.devices(), "there are {} devices, counted from 0", self.devices());
        loop {
            if let Some(on) = self.0.device(device) {
                return on;
            }
            self.sleep(Duration::from_millis(10)).await;
        }
    }

    /// How long the world has been running.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.kernel.now()
    }

    /// Waits in virtual time.
    pub async fn sleep(&self, wait: Duration) {
        self.0.kernel.sleep(wait).await;
    }

    /// Makes something happen to a device, at once.
    pub async fn happens(&self, device: usize, what: What) {
        self.0.wish(device, what);
        step_aside().await;
    }

    /// Kills the process of a device; it starts again after `down`.
    pub async fn kill(&self, device: usize, down: Duration) {
        self.happens(device, What::Kill(down)).await;
    }

    /// Takes the network from a device.
    pub async fn cut_off(&self, device: usize, lasts: Duration) {
        self.happens(device, What::Cut(lasts)).await;
    }

    /// All rows of a model at the server, by key.
    ///
    /// # Errors
    /// `Serialization` if a row does not fit.
    pub async fn at_server<M: Model>(&self) -> Result<Vec<M>> {
        let Some(server) = self.0.server() else { return Ok(Vec::new()) };
        let page = server.all(M::schema()).await?;
        page.rows.iter().map(|row| M::from_row(&*row.row)).collect()
    }

    /// How many effects mutations have had at the server.
    #[must_use]
    pub fn effects(&self) -> u64 {
        self.0.server().map_or(0, |server| lock(&server.ledger).effects.values().sum())
    }

    /// A random number, by the seed.
    #[must_use]
    pub fn random(&self) -> u64 {
        lock(&self.0.random).draw()
    }

    /// Fails the run if `holds` is false.
    pub fn expect(&self, holds: bool, what: impl fmt::Display) {
        if !holds {
            self.0.fail("what the test expects", what);
        }
    }

    /// Ends all faults, and waits until every device is on and has nothing more to send.
    pub async fn comes_to_rest(&self) {
        crate::rest::come_to_rest(&self.0).await;
    }
}
