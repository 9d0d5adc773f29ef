//! The application's face: what is simulated, and how it is run.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use larder::Builder;
use larder_core::runtime::BoxFuture;
use larder_core::{Provider, Runtime, Store};
use larder_harness::Random;

use crate::device::{Device, World};
use crate::disk::Disk;
use crate::errand::Errand;
use crate::network::{Network, between, moment};
use crate::rules::Server;
use crate::schedule::{Event, Schedule, What, When};

type Told = Result<(), String>;
type Act = Arc<dyn Fn(Device, Random) -> BoxFuture<'static, larder::Result<()>> + Send + Sync>;
type Always = Arc<dyn Fn(&Device) -> Told + Send + Sync>;
type AtRest = Arc<dyn Fn(World) -> BoxFuture<'static, Told> + Send + Sync>;
type OverStore = Arc<dyn Fn(Arc<dyn Store>) -> Arc<dyn Store> + Send + Sync>;
type OverRemote = Arc<dyn Fn(Arc<dyn Provider>, &Arc<dyn Runtime>) -> Arc<dyn Provider> + Send + Sync>;
type OverRuntime = Arc<dyn Fn(Arc<dyn Runtime>) -> Arc<dyn Runtime> + Send + Sync>;

/// What is simulated.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) build: Arc<dyn Fn(usize) -> Builder + Send + Sync>,
    pub(crate) act: Act,
    pub(crate) over_store: OverStore,
    pub(crate) over_remote: OverRemote,
    pub(crate) over_runtime: OverRuntime,
    pub(crate) always: Vec<(String, Always)>,
    pub(crate) at_rest: Vec<(String, AtRest)>,
    pub(crate) server: Server,
    pub(crate) network: Network,
    pub(crate) disk: Disk,
    pub(crate) rest_within: Duration,
    pub(crate) traced: bool,
    pub(crate) concluded: bool,
    devices: RangeInclusive<u64>,
    acts: usize,
    lasting: Duration,
    kills: usize,
    power_cuts: usize,
    jumps: usize,
    expiries: usize,
    store_failures: usize,
    full_disks: usize,
    errands: usize,
}

/// An application's data layer on several devices, a server and a network, in virtual time.
///
/// A *seed* decides everything: what the users do and when, what goes wrong, in which order tasks run, which ids are
/// made. After a while the faults end, every device comes to rest and pulls, and both sides are compared. What must hold
/// whatever the application is, is looked at after each commit:
///
/// - what was written here is shown here for as long as it is queued;
/// - nothing that may have been sent leaves the outbox before the server has it;
/// - nothing has its effect twice, where the server honours keys or refuses repeats;
/// - the mutations of a row have their effects in the order in which they were made, and what a row refers to comes
///   before it;
/// - the server's version of a row never goes back;
/// - a page is visible as a whole or not at all;
/// - a request that is no model and was kept reaches the server or waits for a decision, has its effect after those that
///   were made before it in its lane, and is not repeated unless it may be;
/// - a row that the server has as it is here is not removed here;
/// - a host that can't be reached holds up nothing that goes to another ([`Network::partitions`]);
/// - refused credentials count as no failure of what waits for new ones;
/// - at rest nothing is left to send, and both sides have the same rows.
///
/// ```
/// use std::time::Duration;
/// use larder::{Model, Repository};
/// use larder_sim::{Network, Server, Simulation};
///
/// #[derive(Model, Clone, Debug)]
/// struct Item {
///     #[model(key)]
///     name: String,
///     amount: i64,
/// }
///
/// fn simulation() -> Simulation {
///     Simulation::new(|_device| Repository::builder().model::<Item>())
///         .devices(2)
///         .server(Server::honouring_keys())
///         .network(Network::flaky())
///         .kills(1)
///         .acting(10, Duration::from_secs(60), |device, mut chance| async move {
///             let name = (*chance.pick(&["milk", "eggs", "tea"])).to_owned();
///             let amount = i64::try_from(chance.below(100)).unwrap_or(0);
///             match chance.below(4) {
///                 0 => drop(device.repo().delete::<Item>(name.as_str()).await?),
///                 1 => drop(device.repo().sync().await?),
///                 _ => drop(device.repo().upsert(&Item { name, amount }).await?),
///             }
///             Ok(())
///         })
/// }
///
/// simulation().check(0..5);
/// assert_eq!(simulation().run(7).trace, simulation().run(7).trace);
/// ```
#[derive(Clone)]
pub struct Simulation {
    pub(crate) plan: Plan,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("devices", &self.plan.devices).finish_non_exhaustive()
    }
}

impl Simulation {
    /// Simulates the repository that `build` configures for each device. Its store, its remote and its runtime are
    /// replaced; models, account, limits and everything else stay.
    #[must_use]
    pub fn new(build: impl Fn(usize) -> Builder + Send + Sync + 'static) -> Self {
        let plan = Plan {
            build: Arc::new(build),
            act: Arc::new(|_, _| Box::pin(std::future::ready(Ok(())))),
            over_store: Arc::new(|store| store),
            over_remote: Arc::new(|remote, _| remote),
            over_runtime: Arc::new(|runtime| runtime),
            always: Vec::new(),
            at_rest: Vec::new(),
            server: Server::honouring_keys(),
            network: Network::calm(),
            disk: Disk::Memory,
            rest_within: Duration::from_secs(6 * 60),
            traced: true,
            concluded: true,
            devices: 2..=2,
            acts: 0,
            lasting: Duration::from_secs(60),
            kills: 0,
            power_cuts: 0,
            jumps: 0,
            expiries: 0,
            store_failures: 0,
            full_disks: 0,
            errands: 0,
        };
        Self { plan }
    }

    /// How many devices there are; 2 unless told otherwise.
    #[must_use]
    pub fn devices(self, devices: u64) -> Self {
        self.devices_between(devices, devices)
    }

    /// How many devices there are, as the seed says.
    #[must_use]
    pub fn devices_between(mut self, least: u64, most: u64) -> Self {
        self.plan.devices = least.min(most)..=most;
        self
    }

    /// What the server is like; it honours keys unless told otherwise.
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        self.plan.server = server;
        self
    }

    /// What the network is like; calm unless told otherwise.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.plan.network = network;
        self
    }

    /// What the devices store into; memory unless told otherwise.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.plan.disk = disk;
        self
    }

    /// Lets the user of each device act so many times within `lasting`, at moments of chance. `act` draws from its
    /// chance what to do; an error that it returns is noted in the trace, and a panic fails the run.
    #[must_use]
    pub fn acting<F>(
        mut self,
        times: usize,
        lasting: Duration,
        act: impl Fn(Device, Random) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = larder::Result<()>> + Send + 'static,
    {
        self.plan.acts = times;
        self.plan.lasting = lasting;
        self.plan.act = Arc::new(move |device, chance| Box::pin(act(device, chance)));
        self
    }

    /// How many requests that are no models the user of each device makes; none unless told otherwise. They go to the
    /// server or to another host, in lanes, and say how they stand being sent twice ([`Errand`]); before each, those of unknown
    /// outcome are discarded; the repository is built with
    /// [`requests`](larder::Builder::requests) and writes by `OptimisticLocal`.
    #[must_use]
    pub fn errands(mut self, times: usize) -> Self {
        self.plan.errands = times;
        self
    }

    /// How often the process of each device is killed: at a moment, or at a step of its store.
    #[must_use]
    pub fn kills(mut self, times: usize) -> Self {
        self.plan.kills = times;
        self
    }

    /// How often each device loses its power, and with it what was not synced to the disk.
    #[must_use]
    pub fn power_cuts(mut self, times: usize) -> Self {
        self.plan.power_cuts = times;
        self
    }

    /// How often the wall clock of each device jumps: by an hour, by ten years, or back before 1970.
    #[must_use]
    pub fn clock_jumps(mut self, times: usize) -> Self {
        self.plan.jumps = times;
        self
    }

    /// How often the credentials of each device expire; none unless told otherwise. For 1 to 60 s every request is answered
    /// 401; then the application says that there are new ones
    /// ([`credentials_renewed`](larder::Repository::credentials_renewed)).
    #[must_use]
    pub fn expiries(mut self, times: usize) -> Self {
        self.plan.expiries = times;
        self
    }

    /// How often an operation of each device's store fails; none unless told otherwise. What fails has done nothing. A
    /// device that can't start for it starts again after a second.
    #[must_use]
    pub fn store_failures(mut self, times: usize) -> Self {
        self.plan.store_failures = times;
        self
    }

    /// How often nothing can be written to each device's disk, for 1 to 60 s; never unless told otherwise. It can be read
    /// meanwhile.
    #[must_use]
    pub fn full_disks(mut self, times: usize) -> Self {
        self.plan.full_disks = times;
        self
    }

    /// Looks at each device after each of its commits.
    #[must_use]
    pub fn always(
        mut self,
        name: impl Into<String>,
        check: impl Fn(&Device) -> Told + Send + Sync + 'static,
    ) -> Self {
        self.plan.always.push((name.into(), Arc::new(check)));
        self
    }

    /// Looks at the world when everything has come to rest.
    #[must_use]
    pub fn at_rest<F>(
        mut self,
        name: impl Into<String>,
        check: impl Fn(World) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Told> + Send + 'static,
    {
        self.plan.at_rest.push((name.into(), Arc::new(move |world| Box::pin(check(world)))));
        self
    }

    /// How long it may take from the end of all faults until nothing is left to send; 6 minutes unless told otherwise,
    /// which is one longest wait of the outbox and some time to send.
    #[must_use]
    pub fn rest_within(mut self, wait: Duration) -> Self {
        self.plan.rest_within = wait;
        self
    }

    /// Writes no trace: for very many devices.
    #[must_use]
    pub fn untraced(mut self) -> Self {
        self.plan.traced = false;
        self
    }

    /// Ends each run where its script or its schedule ends: without fair weather, rest and comparison.
    #[must_use]
    pub fn without_conclusion(mut self) -> Self {
        self.plan.concluded = false;
        self
    }

    /// Puts a layer between each repository and its store.
    #[must_use]
    pub fn over_store(
        mut self,
        layer: impl Fn(Arc<dyn Store>) -> Arc<dyn Store> + Send + Sync + 'static,
    ) -> Self {
        self.plan.over_store = Arc::new(layer);
        self
    }

    /// Puts a layer between each repository and its end of the network.
    #[must_use]
    pub fn over_remote(
        mut self,
        layer: impl Fn(Arc<dyn Provider>, &Arc<dyn Runtime>) -> Arc<dyn Provider> + Send + Sync + 'static,
    ) -> Self {
        self.plan.over_remote = Arc::new(layer);
        self
    }

    /// Puts a layer over the runtime of each device.
    #[must_use]
    pub fn over_runtime(
        mut self,
        layer: impl Fn(Arc<dyn Runtime>) -> Arc<dyn Runtime> + Send + Sync + 'static,
    ) -> Self {
        self.plan.over_runtime = Arc::new(layer);
        self
    }

    /// What happens by `seed`, without what befalls requests: that is drawn as they are made.
    #[must_use]
    pub fn schedule(&self, seed: u64) -> Schedule {
        let plan = &self.plan;
        let mut random = Random::new(seed ^ 0x5eed_0000_0000_0000);
        let devices = usize::try_from(between(&mut random, &plan.devices)).unwrap_or(1);
        let mut schedule = Schedule::new(seed, devices);
        for device in 0..devices {
            let events = &mut schedule.events;
            let at = |random: &mut Random, what| {
                let when = When::At(moment(random, plan.lasting));
                Event { device, when, what }
            };
            for _ in 0..plan.acts {
                let number = random.draw() >> 40;
                events.push(at(&mut random, What::Act(number)));
            }
            for _ in 0..plan.jumps {
                let by = *random.pick(&JUMPS);
                events.push(at(&mut random, What::Jump(by)));
            }
            for nth in 0..plan.expiries + plan.full_disks {
                let lasts = Duration::from_secs(1 + random.draw() % 60);
                let what = if nth < plan.expiries { What::Expiry(lasts) } else { What::Full(lasts) };
                events.push(at(&mut random, what));
            }
            // An act takes some ten steps.
            let steps = 10 * plan.acts.max(1);
            for _ in 0..plan.store_failures {
                let when = When::Step(1 + random.below(steps) as u64);
                events.push(Event { device, when, what: What::StoreFails });
            }
            for nth in 0..plan.kills + plan.power_cuts {
                let down = Duration::from_millis(100 + random.draw() % 5_000);
                let what = if nth < plan.kills { What::Kill(down) } else { What::PowerCut(down) };
                if random.chance(30) {
                    events.push(at(&mut random, what));
                } else {
                    let when = When::Step(1 + random.below(steps) as u64);
                    events.push(Event { device, when, what });
                }
            }
            // Drawn apart: a seed means the same with them and without.
            let mut apart = Random::new(seed ^ 0xe44a_0000_0000_0000 ^ device as u64);
            for _ in 0..plan.errands {
                let errand = Errand::draw(&mut apart);
                events.push(at(&mut apart, What::Errand(errand)));
            }
            plan.network.windows(&mut random, device, plan.lasting, events);
        }
        schedule
    }

    pub(crate) fn lasting(&self) -> Duration {
        self.plan.lasting
    }
}

/// By how many seconds a wall clock jumps: an hour, ten years, and back before 1970.
const JUMPS: [i64; 5] = [3_600, -3_600, 315_576_000, -315_576_000, -1_900_000_000];
