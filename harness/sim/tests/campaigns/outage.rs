//! Very many clients after an outage: the backoff alone spreads them.

use std::time::Duration;

use larder::Repository;
use larder_sim::{Network, Random, Server, Simulation};

use crate::notes::{Note, note as a_note};
use crate::record::{is_full, note, size};

/// The server is away for so long.
const OUTAGE: Duration = Duration::from_secs(40 * 60);
/// The longest wait of the outbox, and some time.
const AFTER: Duration = Duration::from_secs(5 * 60 + 10);

/// Mutations that arrived in each second since the end of an outage, until the last client was heard. With an even seed the
/// clients write one after the other within the first half of the outage, with an odd one all at its beginning.
fn recovery(seed: u64, clients: u64) -> Vec<u64> {
    let simulation = Simulation::new(|_| Repository::builder().model::<Note>().cache(0))
        .devices(clients)
        .server(Server::honouring_keys().away_until(OUTAGE))
        .network(Network::calm())
        .untraced()
        .without_conclusion();
    let spread =
        if seed.is_multiple_of(2) { OUTAGE / 2 / u32::try_from(clients).unwrap() } else { Duration::ZERO };
    let run = simulation.script(seed, move |world| async move {
        for client in 0..usize::try_from(clients).unwrap() {
            let at = world.device(client).await;
            drop(at.repo().upsert(&a_note(&client.to_string(), "during the outage", 1)).await.unwrap());
            if !spread.is_zero() {
                world.sleep(spread).await;
            }
        }
        world.sleep(OUTAGE + AFTER - world.elapsed()).await;
    });
    run.expect_success();
    assert_eq!(run.tally.effects, clients, "each client has been heard");
    let mut load = Vec::new();
    for second in
        run.tally.arrivals.iter().filter_map(|(at, _)| at.checked_sub(OUTAGE)).map(|after| after.as_secs())
    {
        let second = usize::try_from(second).unwrap();
        load.resize(load.len().max(second + 1), 0);
        load[second] += 1;
    }
    load
}

/// How much more than the mean the busiest second has.
fn peak(load: &[u64]) -> f64 {
    let busiest = load.iter().copied().max().unwrap_or(0);
    busiest as f64 * load.len() as f64 / load.iter().sum::<u64>() as f64
}

/// The same for as many clients that are spread as evenly as chance can.
fn peak_of_chance(clients: u64, seconds: usize) -> f64 {
    let draws = 20;
    let peaks = (1..=draws).map(|seed| {
        let (mut random, mut load) = (Random::new(seed), vec![0; seconds]);
        (0..clients).for_each(|_| load[random.below(seconds)] += 1);
        peak(&load)
    });
    peaks.sum::<f64>() / draws as f64
}

// Rules: o-backoff
#[test]
fn clients_after_an_outage() {
    let (clients, worlds) = (size(10_000), if is_full() { 10 } else { 2 });
    let (mut together, mut peaks, mut extra) = (Vec::new(), 0.0, 0);
    for seed in 0..worlds {
        let load = recovery(seed, clients);
        peaks += peak(&load) / worlds as f64;
        extra += load.iter().sum::<u64>() - clients;
        together.resize(together.len().max(load.len()), 0);
        load.iter().zip(&mut together).for_each(|(load, sum)| *sum += load);
    }
    let (seconds, all) = (together.len(), clients * worlds);
    // Of few clients the busiest second is chance.
    if is_full() {
        assert!(peak(&together) <= 1.5, "{}: {together:?}", peak(&together));
    }
    let extra = extra as f64 / all as f64;
    assert!(extra <= 0.2, "{extra}");
    note(
        "clients after an outage",
        &format!(
            "{worlds} worlds of {clients} clients with a mutation each, seeds 0 to {}, the server answers 503 for 40 min",
            worlds - 1
        ),
        &[
            ("recovery", format!("{seconds} s")),
            ("mean a second and world", format!("{:.1}", all as f64 / seconds as f64 / worlds as f64)),
            ("busiest second of all worlds together, by the mean", format!("{:.2}", peak(&together))),
            ("if clients were spread evenly by chance", format!("{:.2}", peak_of_chance(all, seconds))),
            ("busiest second of one world, by the mean", format!("{peaks:.2}")),
            ("if clients were spread evenly by chance", format!("{:.2}", peak_of_chance(clients, seconds))),
            ("extra requests", format!("{:.1} %", 100.0 * extra)),
        ],
    );
}
