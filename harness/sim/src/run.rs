//! Runs: one seed, one schedule, a script, or many seeds in search of a failure.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_core::runtime::BoxFuture;

use crate::device::World;
use crate::kernel::{Halt, Owner, lock};
use crate::report::{Run, Tally};
use crate::schedule::{Event, Schedule, When};
use crate::simulation::Simulation;
use crate::world::Shared;

type Director = Box<dyn FnOnce(Arc<Shared>) -> BoxFuture<'static, ()>>;

impl Simulation {
    /// Runs one seed.
    #[must_use]
    pub fn run(&self, seed: u64) -> Run {
        self.play(&self.schedule(seed), false)
    }

    /// Runs a schedule as it is written: nothing befalls a request of which it says nothing.
    ///
    /// # Panics
    /// If the schedule can't be read, or the run fails.
    #[track_caller]
    pub fn replay(&self, schedule: &str) {
        match schedule.parse() {
            Ok(schedule) => self.play_exactly(&schedule).expect_success(),
            Err(unreadable) => panic!("{unreadable}"),
        }
    }

    /// Runs a schedule as it is written, and says what it came to.
    #[must_use]
    pub fn play_exactly(&self, schedule: &Schedule) -> Run {
        self.play(schedule, true)
    }

    /// Runs a script: `script` decides what happens when. Nothing else does, but for what befalls requests. When it has
    /// ended, everything comes to rest and both sides are compared.
    #[must_use]
    pub fn script<F>(&self, seed: u64, script: impl FnOnce(World) -> F + Send + 'static) -> Run
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let schedule = Schedule::new(seed, self.schedule(seed).devices);
        let director: Director = Box::new(move |world| {
            Box::pin(async move {
                script(World(Arc::clone(&world))).await;
                crate::rest::conclude(&world).await;
            })
        });
        self.direct(&schedule, false, director)
    }

    /// Runs seed by seed. The first one that fails is made as small as it gets and printed as a test to paste.
    ///
    /// # Panics
    /// If a run fails.
    #[track_caller]
    pub fn check(&self, seeds: Range<u64>) {
        let Some(run) = self.search(seeds) else { return };
        let seed = run.schedule.seed;
        let small = self.shrink(&run);
        let failure =
            small.failure.as_ref().or(run.failure.as_ref()).map(ToString::to_string).unwrap_or_default();
        panic!(
            "seed {seed} fails: {failure}\n\nthe end of the trace:\n{}\na test to paste:\n\n{}",
            small.trace.tail(60),
            small.as_test()
        );
    }

    /// Runs seed by seed, and gives the first run that fails.
    #[must_use]
    pub fn search(&self, seeds: Range<u64>) -> Option<Run> {
        seeds.map(|seed| self.run(seed)).find(|run| run.failure.is_some())
    }

    pub(crate) fn play(&self, schedule: &Schedule, told: bool) -> Run {
        let lasting = self.lasting();
        let at = |event: &Event| match event.when {
            When::At(at) => Some((at, event.device, event.what)),
            _ => None,
        };
        let mut timed: Vec<_> = schedule.events.iter().filter_map(at).collect();
        timed.sort_by_key(|(at, ..)| *at);
        let director: Director = Box::new(move |world| {
            Box::pin(async move {
                for (at, device, what) in timed {
                    world.kernel.sleep(at.saturating_sub(world.kernel.now())).await;
                    world.wish(device, what);
                }
                world.kernel.sleep(lasting.saturating_sub(world.kernel.now())).await;
                crate::rest::conclude(&world).await;
            })
        });
        self.direct(schedule, told, director)
    }

    fn direct(&self, schedule: &Schedule, told: bool, director: Director) -> Run {
        let plan = Arc::new(self.plan.clone());
        let world = Shared::new(&plan, schedule, told);
        for device in 0..schedule.devices {
            world.boot(device);
        }
        let done = Arc::new(AtomicBool::new(false));
        let (directed, ended) = (director(Arc::clone(&world)), Arc::clone(&done));
        let direct = async move {
            directed.await;
            ended.store(true, Ordering::Relaxed);
        };
        world.kernel.spawn(Owner::World, "director", Box::pin(direct));
        let halted = world.kernel.run(|| {
            world.grant();
            world.look();
            world.has_failed() || done.load(Ordering::Relaxed)
        });
        match halted {
            Ok(()) => {}
            Err(Halt::Panicked { owner, name, message }) => {
                world.fail(format!("no panic: {name}"), format_args!("{owner:?}: {message}"));
            }
            Err(Halt::Idle) => world.fail("the world goes on", "everybody waits, and nothing will come"),
            Err(Halt::Circles) => world.fail("the world goes on", "tasks go in circles without time passing"),
        }
        let mut schedule = schedule.clone();
        if !told {
            schedule.events.extend(world.befell());
        }
        let tally = world.tally_up();
        world.end();
        let (trace, failure) = (world.scribe.take(), world.take_failure());
        Run { schedule, trace, failure, tally }
    }
}

impl Shared {
    /// Looks at what must hold, after a step.
    fn look(self: &Arc<Self>) {
        let (Some(server), stirred) = (self.server(), lock(&self.overseer).stirred()) else { return };
        for (device, touched) in &stirred {
            let Some(store) = self.store(*device) else { continue };
            let committed =
                self.kernel.block(|| lock(&self.overseer).committed(*device, touched, &*store, &server));
            if let Err((rule, what)) = committed {
                return self.fail(rule, what);
            }
            let Some(on) = self.device(*device) else { continue };
            for (name, check) in &self.plan.always {
                if let Err(what) = check(&on) {
                    return self.fail(name.as_str(), format_args!("device {device}: {what}"));
                }
            }
        }
        if let Err((rule, what)) = lock(&self.overseer).server_did(&server) {
            self.fail(rule, what);
        }
    }

    fn tally_up(&self) -> Tally {
        let mut tally = std::mem::take(&mut *lock(&self.tally));
        tally.steps = self.kernel.steps();
        tally.elapsed = self.kernel.now();
        tally.lives = self.lives();
        if let Some(server) = self.server() {
            let mut ledger = lock(&server.ledger);
            tally.effects = ledger.effects.values().sum();
            tally.refused = ledger.refused.len() as u64;
            tally.moved = ledger.moved;
            tally.arrivals = std::mem::take(&mut ledger.arrivals);
        }
        tally
    }
}
