//! Very many clients after an outage: the backoff alone spreads them.

use std::time::Duration;

use larder::Repository;
use larder_sim::{Network, Random, Server, Simulation};

use crate::notes::{Note, note as a_note};
use crate::record::{is_full, note, size};

/// The server is away for so long.
const OUTAGE: Duration = Duration::from_secs(40 * 60);
/// Between two turns of a client, and some time.
const AFTER: Duration = Duration::from_secs(150 + 10);

/// Mutations that arrived in each second since the end of an outage, until the last client was heard. With an even seed the
/// clients write one after the other within the first half of the outage, with an odd one all at its beginning.
fn recovery(seed: u64, clients: u64) -> Vec<u64> {
    let simulation = Simulation::new(|_| Repository::builder().model::<Note>().cache_size(0))
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

/// When clients that all write at the beginning are heard by a server that asks each of them, once, to come back after `wait`.
fn come_back(seed: u64, clients: u64, wait: Duration) -> Vec<Duration> {
    let simulation = Simulation::new(|_| Repository::builder().model::<Note>().cache_size(0))
        .devices(clients)
        .server(Server::honouring_keys().away_until(wait / 2).asking_for(wait))
        .network(Network::calm())
        .untraced()
        .without_conclusion();
    let run = simulation.script(seed, move |world| async move {
        for client in 0..usize::try_from(clients).unwrap() {
            let at = world.device(client).await;
            drop(at.repo().upsert(&a_note(&client.to_string(), "all at once", 1)).await.unwrap());
        }
        world.sleep(2 * wait).await;
    });
    run.expect_success();
    assert_eq!(run.tally.effects, clients, "each client has been heard");
    let arrivals: Vec<_> = run.tally.arrivals.iter().map(|(at, _)| *at).collect();
    let (told, heard) = arrivals.split_at(usize::try_from(clients).unwrap());
    assert!(told.iter().all(|at| *at < wait / 2) && heard.len() == told.len(), "each was told once");
    heard.to_vec()
}

// Rules: o-retry-after
#[test]
fn clients_who_are_asked_to_come_back_at_one_moment_do_not_come_at_one_moment() {
    let (clients, worlds) = if is_full() { (10_000, 10) } else { (1_000, 2) };
    // The first and the last are a tenth of the wait apart.
    let (wait, seconds) = (Duration::from_secs(100), 10);
    let (mut peaks, mut latest) = (Vec::new(), Duration::ZERO);
    for seed in 0..worlds {
        let mut load = vec![0; seconds + 1];
        for at in come_back(seed, clients, wait) {
            let late = at.checked_sub(wait).expect("none comes before it was asked to");
            load[usize::try_from(late.as_secs()).unwrap()] += 1;
            latest = latest.max(late);
        }
        let peak = load.iter().copied().max().unwrap_or(0) as f64 * seconds as f64 / clients as f64;
        assert!(peak <= 1.5, "world {seed}: {peak}: {load:?}");
        peaks.push(peak);
    }
    note(
        "clients who are asked to come back",
        &format!(
            "{worlds} worlds of {clients} clients with a mutation each, seeds 0 to {}, the server answers all of them 503 with \
             Retry-After: {} within a moment",
            worlds - 1,
            wait.as_secs()
        ),
        &[
            ("the first comes back after", format!("{} s", wait.as_secs())),
            ("the last", format!("{:.1} s later", latest.as_secs_f64())),
            ("mean a second", format!("{:.1}", clients as f64 / seconds as f64)),
            ("busiest second, by the mean", format!("{:.2}", peaks.iter().copied().fold(0.0, f64::max))),
        ],
    );
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

// Rules: o-turns
#[test]
fn clients_after_an_outage() {
    let (clients, worlds) = (size(10_000), if is_full() { 10 } else { 2 });
    let (mut recoveries, mut extra) = (Vec::new(), 0);
    for seed in 0..worlds {
        let load = recovery(seed, clients);
        extra += load.iter().sum::<u64>() - clients;
        // Of few clients the busiest second is chance: what the engine makes of ten thousand is tested there.
        assert!(!is_full() || peak(&load) <= 1.5, "world {seed}: {}: {load:?}", peak(&load));
        recoveries.push(load);
    }
    let seconds = recoveries.iter().map(Vec::len).max().unwrap_or(0);
    assert!(seconds <= 151, "a client is heard after {seconds} s");
    let extra = extra as f64 / (clients * worlds) as f64;
    assert!(extra <= 0.2, "{extra}");
    let peaks: Vec<f64> = recoveries.iter().map(|load| peak(load)).collect();
    let (mean, most) = (peaks.iter().sum::<f64>() / worlds as f64, peaks.iter().copied().fold(0.0, f64::max));
    note(
        "clients after an outage",
        &format!(
            "{worlds} worlds of {clients} clients with a mutation each, seeds 0 to {}, the server answers 503 for 40 min",
            worlds - 1
        ),
        &[
            ("recovery", format!("{seconds} s")),
            ("mean a second", format!("{:.1}", clients as f64 / seconds as f64)),
            ("busiest second, by the mean", format!("{mean:.2}, in the worst world {most:.2}")),
            ("if clients were spread evenly by chance", format!("{:.2}", peak_of_chance(clients, seconds))),
            ("extra requests", format!("{:.1} %", 100.0 * extra)),
        ],
    );
}
