//! Seeded schedules, disconnect storms, clocks that jump.

use std::time::Duration;

use larder_sim::{Disk, Network, Run, Server, Simulation};

use crate::notes::busy;
use crate::record::{note, size};

/// The longest wait of the outbox, and some time to send what waits.
const REST: Duration = Duration::from_secs(5 * 60 + 30);

/// Runs seeds, each tenth of them on redb, and gives all runs to `each`.
pub(crate) fn run(simulation: &Simulation, seeds: u64, mut each: impl FnMut(&Run)) {
    let on_redb = simulation.clone().disk(Disk::Redb).power_cuts(1);
    for seed in 0..seeds {
        let simulation = if seed % 10 == 9 { &on_redb } else { simulation };
        let run = simulation.run(seed);
        if run.failure.is_some() {
            // It says all that there is to say.
            simulation.check(seed..seed + 1);
        }
        each(&run);
    }
}

// Rules: o-crash
#[test]
fn seeded_schedules() {
    let seeds = size(10_000);
    let worlds = busy().devices_between(2, 5).network(Network::flaky()).kills(1);
    let worlds = worlds.server(Server::honouring_keys().pages_of(2));
    let (mut effects, mut lives, mut repeated) = (0, 0, 0);
    run(&worlds, seeds, |run| {
        effects += run.tally.effects;
        lives += run.tally.lives;
        if run.schedule.seed % 20 == 0 {
            assert_eq!(worlds.run(run.schedule.seed).trace, run.trace, "seed {}", run.schedule.seed);
            repeated += 1;
        }
    });
    note(
        "seeded schedules",
        &format!("{seeds} worlds of 2 to 5 devices, seeds 0 to {}, 120 s of faults each", seeds - 1),
        &[
            ("rules broken", "0".to_owned()),
            ("traces compared with a second run", format!("{repeated}, all equal")),
            ("mutations with an effect", effects.to_string()),
            ("lives", lives.to_string()),
        ],
    );
}

// Rules: o-backoff, o-crash
#[test]
fn disconnect_storms() {
    let seeds = size(10_000);
    let worlds = busy().network(Network::storms()).rest_within(REST);
    let mut longest = Duration::ZERO;
    run(&worlds, seeds, |run| longest = longest.max(run.tally.rested_after));
    note(
        "disconnect storms",
        &format!(
            "{seeds} worlds of 2 to 4 devices, seeds 0 to {}, 8 cuts of each device in 120 s",
            seeds - 1
        ),
        &[
            ("rules broken", "0".to_owned()),
            ("longest rest without a trigger", format!("{:.1} s", longest.as_secs_f64())),
        ],
    );
}

// Rules: o-order, o-backoff
#[test]
fn clock_jumps() {
    let seeds = size(1_000).max(30);
    let worlds = busy().network(Network::flaky()).clock_jumps(3).kills(1).rest_within(REST);
    let mut busiest = 0;
    run(&worlds, seeds, |run| {
        let devices = run.schedule.devices;
        busiest = busiest.max((0..devices).map(|device| busiest_second(run, device)).max().unwrap_or(0));
    });
    assert!(busiest <= 16, "a device has sent {busiest} mutations in one second");
    note(
        "clock jumps",
        &format!(
            "{seeds} worlds, seeds 0 to {}, 3 jumps of each clock by ±1 h, ±10 years or to 1965",
            seeds - 1
        ),
        &[
            ("rules broken", "0".to_owned()),
            ("most mutations of a device in one second", busiest.to_string()),
        ],
    );
}

/// How many mutations of the device arrived in its busiest second.
fn busiest_second(run: &Run, device: usize) -> usize {
    let arrivals = run.tally.arrivals.iter().filter(|(_, from)| *from == device).map(|(at, _)| at.as_secs());
    let mut seconds: Vec<u64> = arrivals.collect();
    seconds.sort_unstable();
    seconds.chunk_by(|one, other| one == other).map(<[u64]>::len).max().unwrap_or(0)
}
