//! Seeds: what happens is drawn.

use larder::Idempotency;
use larder_sim::{Disk, Network, Server};
use rstest::rstest;

use crate::notes::busy;

#[rstest]
#[case::memory(Disk::Memory)]
#[case::redb(Disk::Redb)]
fn the_same_seed_gives_the_same_trace(#[case] disk: Disk) {
    let simulation = busy().disk(disk).network(Network::flaky()).kills(1).power_cuts(1).clock_jumps(1);
    for seed in 0..4 {
        let (one, other) = (simulation.run(seed), simulation.run(seed));
        assert_eq!(one.trace.as_str(), other.trace.as_str());
        assert_eq!(one.schedule, other.schedule);
    }
    assert_ne!(simulation.run(1).trace, simulation.run(2).trace);
}

#[test]
fn a_calm_world_converges() {
    busy().check(0..30);
}

#[test]
fn a_flaky_world_converges() {
    busy().network(Network::flaky()).server(Server::honouring_keys().pages_of(2)).kills(1).check(0..30);
}

// Rules: o-crash, o-order, o-lanes, o-idempotency
#[rstest]
#[case::honouring(Server::honouring_keys().pages_of(2))]
#[case::ignoring(Server::ignoring_keys())]
#[case::rejecting(Server::rejecting_repeats().pages_of(3))]
#[case::versions(Server::honouring_keys().checking_versions().pages_of(2))]
#[case::versions_without_keys(Server::ignoring_keys().checking_versions())]
#[case::once(Server::ignoring_keys().declaring(Idempotency::AtMostOnce))]
fn every_server(#[case] server: Server) {
    let seeds = std::env::var("LARDER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(20);
    let first = std::env::var("LARDER_FIRST").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(0);
    let flaky = busy().server(server).network(Network::flaky()).kills(1).clock_jumps(1);
    flaky.clone().check(first..first + seeds);
    flaky.clone().network(Network::storms()).check(first..first + seeds);
    flaky.disk(Disk::Redb).power_cuts(1).check(first..first + seeds / 5);
}
