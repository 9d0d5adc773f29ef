//! The world of one run: devices with their lives, the server, the network's whims.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use larder::Repository;
use larder_core::{ErrorKind, Opening, Result, Store};
use larder_harness::Random;

use crate::device::Device;
use crate::disk::{Disk, Medium};
use crate::errand::{Errand, Host};
use crate::kernel::{Kernel, Owner, lock};
use crate::link::Uplink;
use crate::overseer::Overseer;
use crate::parted::Troubles;
use crate::report::{Failure, Tally};
use crate::runtime::{Offset, WorldRuntime};
use crate::schedule::{Event, Fate, Schedule, What};
use crate::server::Running;
use crate::simulation::Plan;
use crate::steps::OpenSteps;
use crate::trace::Scribe;
use crate::weather::{Lacks, Way, Weather};

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
    /// How many errands there were.
    errands: AtomicU64,
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
    pub(crate) troubles: Troubles,
    pub(crate) lacks: Mutex<Lacks>,
    /// There are new credentials, and nobody was there to hear of them.
    renewed: AtomicBool,
    /// The next operation of its store fails.
    faulty: AtomicBool,
    /// An operation of its store has failed in this life because that was to be.
    failed: AtomicBool,
}

struct Life {
    number: u64,
    store: Option<Arc<dyn Store>>,
    repo: Option<Repository>,
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
            troubles: Troubles::default(),
            lacks: Mutex::default(),
            renewed: AtomicBool::default(),
            faulty: AtomicBool::default(),
            failed: AtomicBool::default(),
        };
        Arc::new(Self {
            kernel: Kernel::new(schedule.seed.wrapping_add(1)),
            plan: Arc::clone(plan),
            seed: schedule.seed,
            slots: (0..schedule.devices).map(slot).collect(),
            scribe: Scribe::default(),
            overseer: Mutex::new(Overseer::new(schedule.devices)),
            server: Mutex::default(),
            weather: Mutex::new(Weather::of(schedule, told)),
            wishes: Mutex::default(),
            failure: Mutex::default(),
            tally: Mutex::default(),
            unheard: Mutex::default(),
            errands: AtomicU64::new(0),
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
        slot.troubles.begin_anew();
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
                    if world.slots[device].renewed.swap(false, Ordering::Relaxed) {
                        repo.credentials_renewed();
                    }
                    if let Some(life) = &mut *lock(&world.slots[device].life) {
                        life.repo = Some(repo);
                    }
                }
                // Its user tries once more.
                Err(error) if world.hinders(device) => {
                    world.note(Of(device), format_args!("does not start: {error}"));
                    world.wish(device, What::Kill(Duration::from_secs(1)));
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
        let slot = &self.slots[device];
        let step = slot.steps.fetch_add(1, Ordering::Relaxed) + 1;
        match lock(&self.weather).at(device, step) {
            None => true,
            Some(What::StoreFails) => {
                slot.faulty.store(true, Ordering::Relaxed);
                true
            }
            Some(end) => {
                self.wish(device, end);
                false
            }
        }
    }

    /// Whether the operation of a device's store that begins has to fail.
    pub(crate) fn fails(&self, device: usize) -> bool {
        let slot = &self.slots[device];
        let fails = slot.faulty.swap(false, Ordering::Relaxed);
        slot.failed.fetch_or(fails, Ordering::Relaxed);
        fails
    }

    /// Whether there is no room on a device's disk, and its store does not know it by itself.
    pub(crate) fn is_full(&self, device: usize) -> bool {
        self.plan.disk == Disk::Memory && self.lacks_room(device)
    }

    /// Whether a device can't be expected to start in this life.
    pub(crate) fn hinders(&self, device: usize) -> bool {
        self.lacks_room(device) || self.slots[device].failed.load(Ordering::Relaxed)
    }

    fn lacks_room(&self, device: usize) -> bool {
        lock(&self.slots[device].lacks).room > self.kernel.now()
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
                What::Cut(lasts) => {
                    slot.troubles.with_all();
                    lock(&slot.lacks).network = now + lasts;
                }
                What::CutFrom(host, lasts) => self.part(device, host, lasts),
                What::Portal(lasts) => lock(&slot.lacks).passage = now + lasts,
                What::Full(lasts) => self.fill(device, lasts),
                What::Expiry(lasts) => self.expire(device, lasts),
                What::StoreFails => slot.faulty.store(true, Ordering::Relaxed),
                What::Jump(seconds) => {
                    let mut offset = lock(&slot.offset);
                    *offset = offset.saturating_add(SignedDuration::from_secs(seconds));
                }
                What::Act(number) => self.act(device, number),
                What::Errand(errand) => self.request_made(device, errand),
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
        slot.failed.store(false, Ordering::Relaxed);
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

    /// Nothing can be written to the disk of a device for a while.
    fn fill(self: &Arc<Self>, device: usize, lasts: Duration) {
        self.note(Of(device), format_args!("has a full disk"));
        let slot = &self.slots[device];
        lock(&slot.lacks).room = self.kernel.now() + lasts;
        slot.medium.fill(true);
        let (world, again) = (Arc::clone(self), self.kernel.sleep(lasts));
        let room = async move {
            again.await;
            let slot = &world.slots[device];
            let full = lock(&slot.lacks).room > world.kernel.now();
            slot.medium.fill(full);
        };
        self.kernel.spawn(Owner::World, "room", Box::pin(room));
    }

    /// The credentials of a device are refused for a while; then its user signs in again.
    fn expire(self: &Arc<Self>, device: usize, lasts: Duration) {
        self.note(Of(device), format_args!("has credentials that have expired"));
        lock(&self.slots[device].lacks).credentials = self.kernel.now() + lasts;
        let (world, again) = (Arc::clone(self), self.kernel.sleep(lasts));
        let renewal = async move {
            again.await;
            world.renew(device);
        };
        self.kernel.spawn(Owner::World, "renewal", Box::pin(renewal));
    }

    /// A device has new credentials, unless they are not due yet.
    fn renew(&self, device: usize) {
        let slot = &self.slots[device];
        if lock(&slot.lacks).credentials > self.kernel.now() {
            return;
        }
        self.note(Of(device), format_args!("has new credentials"));
        match lock(&slot.life).as_ref().and_then(|life| life.repo.as_ref()) {
            Some(repo) => repo.credentials_renewed(),
            None => slot.renewed.store(true, Ordering::Relaxed),
        }
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

    /// The user of a device makes a request that is no model.
    fn request_made(self: &Arc<Self>, device: usize, errand: Errand) {
        let Some(at) = self.device(device) else {
            return self.note(Of(device), format_args!("is off and makes no request"));
        };
        let nth = self.errands.fetch_add(1, Ordering::Relaxed) + 1;
        self.note(Of(device), format_args!("requests {errand}, errand {nth}"));
        let (world, owner) = (Arc::clone(self), Owner::Device { device, life: at.life });
        let asking = async move {
            if let Err(error) = Errand::decide(&at).await {
                world.note(Of(device), format_args!("decides nothing: {error}"));
            }
            match errand.run(&at, nth).await {
                Ok(id) => lock(&world.overseer).keeps(device, id),
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    world.fail("a request is kept", format_args!("device {device}: {error}"));
                }
                Err(error) => world.note(Of(device), format_args!("errand {nth} is not kept: {error}")),
            }
        };
        self.kernel.spawn(owner, "act", Box::pin(asking));
    }

    /// How many lives there were.
    pub(crate) fn lives(&self) -> u64 {
        self.slots.iter().map(|slot| slot.lives.load(Ordering::Relaxed)).sum()
    }

    // ---- weather ----

    pub(crate) fn clear_up(&self) {
        lock(&self.weather).clear_up();
        for (device, slot) in self.slots.iter().enumerate() {
            slot.faulty.store(false, Ordering::Relaxed);
            slot.medium.fill(false);
            let lacked = std::mem::take(&mut *lock(&slot.lacks));
            if lacked.credentials > self.kernel.now() {
                self.renew(device);
            }
        }
        self.note("world", format_args!("the weather is fair"));
    }

    pub(crate) fn way(&self, device: usize, host: Host) -> Way {
        lock(&self.slots[device].lacks).way(host, self.kernel.now())
    }

    /// The number of a new request, and what befalls it.
    pub(crate) fn request(&self, device: usize) -> (u64, Option<Fate>) {
        let nth = self.slots[device].requests.fetch_add(1, Ordering::Relaxed) + 1;
        (nth, lock(&self.weather).fate(&self.plan.network, self.seed, device, nth))
    }

    /// Keeps the end of an answer, so that whoever waits for it goes on waiting.
    pub(crate) fn never_heard_of(&self, answer: impl Any + Send) {
        lock(&self.unheard).push(Box::new(answer));
    }

    /// What befell requests so far.
    pub(crate) fn befell(&self) -> Vec<Event> {
        lock(&self.weather).befell()
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
