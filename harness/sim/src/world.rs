//! The world of one run: devices with their lives, the server, the network's whims.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use larder::Repository;
use larder_core::{Opening, Result, Store};
use larder_harness::Random;

use crate::device::Device;
use crate::disk::Medium;
use crate::kernel::{Kernel, Owner, lock};
use crate::link::Uplink;
use crate::overseer::Overseer;
use crate::report::{Failure, Tally};
use crate::runtime::{Offset, WorldRuntime};
use crate::schedule::{Event, Fate, Schedule, What, When};
use crate::server::Running;
use crate::simulation::Plan;
use crate::steps::OpenSteps;
use crate::trace::Scribe;

/// What everything in a run shares.
pub(crate) struct Shared {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) seed: u64,
    pub(crate) slots: Vec<Slot>,
    pub(crate) scribe: Scribe,
    pub(crate) overseer: Mutex<Overseer>,
    server: Mutex<Option<Arc<Running>>>,
    weather: Mutex<Weather>,
    /// What is to be done between two steps.
    wishes: Mutex<VecDeque<(usize, What)>>,
    failure: Mutex<Option<Failure>>,
    pub(crate) tally: Mutex<Tally>,
    /// Ends of answers that never come.
    unheard: Mutex<Vec<Box<dyn Any + Send>>>,
    /// For scripts.
    pub(crate) random: Mutex<Random>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// A device: what of it outlives its process, and its life if it has one.
pub(crate) struct Slot {
    pub(crate) medium: Medium,
    pub(crate) offset: Offset,
    /// Its lives so far.
    lives: AtomicU64,
    steps: AtomicU64,
    requests: AtomicU64,
    life: Mutex<Option<Life>>,
    away: Mutex<Away>,
}

/// Until when a device is cut off, and until when it sees a portal.
#[derive(Clone, Copy, Default)]
struct Away {
    cut: Duration,
    portal: Duration,
}

struct Life {
    number: u64,
    store: Option<Arc<dyn Store>>,
    repo: Option<Repository>,
}

/// What goes wrong.
#[derive(Default)]
struct Weather {
    /// Nothing goes wrong any more.
    fair: bool,
    /// What befalls which requests, where that is not drawn.
    fates: Option<BTreeMap<(usize, u64), Fate>>,
    /// Lives that end at a step of their store.
    ends: BTreeMap<(usize, u64), What>,
    /// What befell requests.
    befell: Vec<Event>,
}

/// The way to the server at this moment.
pub(crate) enum Way {
    Open,
    Cut,
    Portal,
}

impl Shared {
    /// A world for `schedule`. What befalls requests is drawn unless it is `told`.
    pub(crate) fn new(plan: &Arc<Plan>, schedule: &Schedule, told: bool) -> Arc<Self> {
        let slot = |_| Slot {
            medium: Medium::new(plan.disk),
            offset: Offset::default(),
            lives: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            life: Mutex::default(),
            away: Mutex::default(),
        };
        let mut weather = Weather { fates: told.then(BTreeMap::new), ..Weather::default() };
        for event in &schedule.events {
            match (event.when, event.what) {
                (When::Step(step), what) => drop(weather.ends.insert((event.device, step), what)),
                (When::Request(nth), What::Fate(fate)) => {
                    weather.fates.get_or_insert_default().insert((event.device, nth), fate);
                }
                _ => {}
            }
        }
        Arc::new(Self {
            kernel: Kernel::new(schedule.seed.wrapping_add(1)),
            plan: Arc::clone(plan),
            seed: schedule.seed,
            slots: (0..schedule.devices).map(slot).collect(),
            scribe: Scribe::default(),
            overseer: Mutex::new(Overseer::new(schedule.devices)),
            server: Mutex::default(),
            weather: Mutex::new(weather),
            wishes: Mutex::default(),
            failure: Mutex::default(),
            tally: Mutex::default(),
            unheard: Mutex::default(),
            random: Mutex::new(Random::new(schedule.seed.rotate_left(32))),
        })
    }

    pub(crate) fn note(&self, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        if self.plan.traced {
            self.scribe.note(self.kernel.now(), who, what);
        }
    }

    // ---- failing ----

    /// The run has failed, unless it has already.
    pub(crate) fn fail(&self, rule: impl Into<String>, detail: impl fmt::Display) {
        let failure = Failure { rule: rule.into(), detail: detail.to_string(), at: self.kernel.now() };
        self.note("FAILED", format_args!("{failure}"));
        lock(&self.failure).get_or_insert(failure);
    }

    pub(crate) fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    pub(crate) fn take_failure(&self) -> Option<Failure> {
        lock(&self.failure).take()
    }

    // ---- the server ----

    /// The server, opened with the models of the first device that asks for it.
    pub(crate) async fn server_for(&self, opening: &Opening) -> Result<Arc<Running>> {
        if let Some(server) = self.server() {
            return Ok(server);
        }
        let runtime = WorldRuntime::new(&self.kernel, Owner::World, Offset::default(), !self.seed);
        let opening = Opening { runtime, schemas: Arc::clone(&opening.schemas) };
        lock(&self.overseer).schemas = opening.schemas.to_vec();
        let server = Arc::new(Running::open(self.plan.server.clone(), &opening).await?);
        Ok(Arc::clone(lock(&self.server).get_or_insert(server)))
    }

    pub(crate) fn server(&self) -> Option<Arc<Running>> {
        lock(&self.server).clone()
    }

    // ---- lives ----

    /// Starts a device that is off.
    pub(crate) fn boot(self: &Arc<Self>, device: usize) {
        let slot = &self.slots[device];
        if lock(&slot.life).is_some() {
            return;
        }
        let number = slot.lives.fetch_add(1, Ordering::Relaxed) + 1;
        *lock(&slot.life) = Some(Life { number, store: None, repo: None });
        self.note(Of(device), format_args!("starts, life {number}"));
        let owner = Owner::Device { device, life: number };
        let world = Arc::clone(self);
        let seed = self.seed.wrapping_mul(31).wrapping_add(device as u64).rotate_left(17) ^ number;
        let runtime = WorldRuntime::new(&self.kernel, owner, Arc::clone(&slot.offset), seed);
        let build = async move {
            let store = OpenSteps { world: Arc::clone(&world), device, life: number };
            let remote = Uplink { world: Arc::clone(&world), device, life: number };
            let runtime = (world.plan.over_runtime)(runtime);
            let builder = (world.plan.build)(device).store(store).remote(remote).runtime(runtime);
            match builder.build().await {
                Ok(repo) => {
                    if let Some(life) = &mut *lock(&world.slots[device].life) {
                        life.repo = Some(repo);
                    }
                }
                Err(error) => world.fail("a device starts", format_args!("device {device}: {error}")),
            }
        };
        self.kernel.spawn(owner, "start", Box::pin(build));
    }

    /// The store of the life, as it was opened.
    pub(crate) fn opened(&self, device: usize, life: u64, store: Arc<dyn Store>) {
        let watcher = lock(&self.overseer).watcher(device);
        store.observe(watcher);
        if let Some(now) = &mut *lock(&self.slots[device].life)
            && now.number == life
        {
            now.store = Some(store);
        }
    }

    pub(crate) fn is_alive(&self, device: usize, life: u64) -> bool {
        lock(&self.slots[device].life).as_ref().is_some_and(|now| now.number == life)
    }

    /// The device with its repository, if it is on and has started.
    pub(crate) fn device(self: &Arc<Self>, device: usize) -> Option<Device> {
        let life = lock(&self.slots[device].life);
        let life = life.as_ref()?;
        let (repo, store) = (life.repo.clone()?, life.store.clone()?);
        Some(Device { world: Arc::clone(self), number: device, life: life.number, repo, store })
    }

    /// The store of a device that is on.
    pub(crate) fn store(&self, device: usize) -> Option<Arc<dyn Store>> {
        lock(&self.slots[device].life).as_ref()?.store.clone()
    }

    /// Counts a step of a device's store. False: the life is over.
    pub(crate) fn step(&self, device: usize, life: u64) -> bool {
        if !self.is_alive(device, life) {
            return false;
        }
        let step = self.slots[device].steps.fetch_add(1, Ordering::Relaxed) + 1;
        let weather = lock(&self.weather);
        if let Some(end) = weather.ends.get(&(device, step)).filter(|_| !weather.fair) {
            lock(&self.wishes).push_back((device, *end));
            return false;
        }
        true
    }

    /// Wants something to happen between this step and the next.
    pub(crate) fn wish(&self, device: usize, what: What) {
        lock(&self.wishes).push_back((device, what));
    }

    /// Does what was wished for.
    pub(crate) fn grant(self: &Arc<Self>) {
        loop {
            let Some((device, what)) = lock(&self.wishes).pop_front() else { return };
            let now = self.kernel.now();
            let slot = &self.slots[device];
            match what {
                What::Kill(down) => self.kill(device, false, down),
                What::PowerCut(down) => self.kill(device, true, down),
                What::Cut(lasts) => lock(&slot.away).cut = now + lasts,
                What::Portal(lasts) => lock(&slot.away).portal = now + lasts,
                What::Jump(seconds) => {
                    let mut offset = lock(&slot.offset);
                    *offset = offset.saturating_add(SignedDuration::from_secs(seconds));
                }
                What::Act(number) => self.act(device, number),
                What::Fate(_) => {}
            }
        }
    }

    fn kill(self: &Arc<Self>, device: usize, power: bool, down: Duration) {
        let slot = &self.slots[device];
        let Some(life) = lock(&slot.life).take() else { return };
        self.note(Of(device), format_args!("{}", if power { "loses power" } else { "is killed" }));
        // What is on its way to the disk is cut off before anything is dropped: dropping must not write.
        slot.medium.cut_off(power);
        self.kernel.end(Owner::Device { device, life: life.number });
        drop(life);
        lock(&self.overseer).died(device);
        let world = Arc::clone(self);
        let again = self.kernel.sleep(down);
        self.kernel.spawn(
            Owner::World,
            "start again",
            Box::pin(async move {
                again.await;
                world.boot(device);
            }),
        );
    }

    /// The user of a device does something.
    fn act(self: &Arc<Self>, device: usize, number: u64) {
        let Some(at) = self.device(device) else {
            return self.note(Of(device), format_args!("is off and does not act"));
        };
        self.note(Of(device), format_args!("acts {number:x}"));
        let (world, owner) = (Arc::clone(self), Owner::Device { device, life: at.life });
        let acting = (self.plan.act)(at, Random::new(number));
        self.kernel.spawn(
            owner,
            "act",
            Box::pin(async move {
                if let Err(error) = acting.await {
                    world.note(Of(device), format_args!("act {number:x} ends: {error}"));
                }
            }),
        );
    }

    /// How many lives there were.
    pub(crate) fn lives(&self) -> u64 {
        self.slots.iter().map(|slot| slot.lives.load(Ordering::Relaxed)).sum()
    }

    // ---- weather ----

    pub(crate) fn clear_up(&self) {
        lock(&self.weather).fair = true;
        for slot in &self.slots {
            *lock(&slot.away) = Away::default();
        }
        self.note("world", format_args!("the weather is fair"));
    }

    pub(crate) fn way(&self, device: usize) -> Way {
        let (now, away) = (self.kernel.now(), *lock(&self.slots[device].away));
        match () {
            () if away.cut > now => Way::Cut,
            () if away.portal > now => Way::Portal,
            () => Way::Open,
        }
    }

    /// The number of a new request, and what befalls it.
    pub(crate) fn request(&self, device: usize) -> (u64, Option<Fate>) {
        let nth = self.slots[device].requests.fetch_add(1, Ordering::Relaxed) + 1;
        let mut weather = lock(&self.weather);
        if weather.fair {
            return (nth, None);
        }
        let fate = match &weather.fates {
            Some(told) => told.get(&(device, nth)).copied(),
            None => self.plan.network.fate(self.seed, device, nth),
        };
        if let Some(fate) = fate {
            weather.befell.push(Event { device, when: When::Request(nth), what: What::Fate(fate) });
        }
        (nth, fate)
    }

    /// Keeps the end of an answer, so that whoever waits for it goes on waiting.
    pub(crate) fn never_heard_of(&self, answer: impl Any + Send) {
        lock(&self.unheard).push(Box::new(answer));
    }

    /// What befell requests so far.
    pub(crate) fn befell(&self) -> Vec<Event> {
        lock(&self.weather).befell.clone()
    }

    /// Lets go of everything: devices and tasks hold the world, and the world them.
    pub(crate) fn end(&self) {
        for slot in &self.slots {
            drop(lock(&slot.life).take());
        }
        self.kernel.clear();
    }
}

/// A device in a trace.
pub(crate) struct Of(pub(crate) usize);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {}", self.0)
    }
}
