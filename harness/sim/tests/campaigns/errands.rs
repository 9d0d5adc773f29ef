//! Requests that are no models, beside what the users do with their notes.

use larder_sim::Network;

use crate::notes::busy_with_errands;
use crate::record::{note, size};
use crate::weather::run;

// Rules: o-requests, o-requests-order, o-requests-once, o-hosts, o-crash
#[test]
fn requests() {
    let seeds = size(10_000);
    let network = Network::flaky().losing_replies(5).answering(10, &[429, 503]);
    let worlds = busy_with_errands().network(network).kills(2).expiries(1);
    let (mut made, mut uncertain, mut lives) = (0, 0, 0);
    run(&worlds, seeds, |run| {
        made += run.schedule.to_string().matches(" requests ").count();
        uncertain += run.tally.parked;
        lives += run.tally.lives;
    });
    assert!(uncertain > 0, "some are uncertain");
    note(
        "requests that are no models",
        &format!(
            "{seeds} worlds of 2 to 4 devices, seeds 0 to {}, 6 of each device beside its notes, in 2 lanes to 2 hosts",
            seeds - 1
        ),
        &[
            ("rules broken", "0".to_owned()),
            ("made", made.to_string()),
            ("left, and uncertain", uncertain.to_string()),
            ("lives", lives.to_string()),
        ],
    );
}

// Rules: o-hosts, o-turns, o-requests-order, o-crash
#[test]
fn parted_hosts() {
    let seeds = size(5_000);
    let worlds = busy_with_errands().network(Network::calm().partitions(3)).kills(1);
    let (mut looked, mut effects) = (0, 0);
    run(&worlds, seeds, |run| {
        looked += run.tally.parted;
        effects += run.tally.effects;
    });
    assert!(looked > seeds, "it was looked at {looked} times");
    note(
        "one host of two is away",
        &format!(
            "{seeds} worlds of 2 to 4 devices, seeds 0 to {}, each of which does not reach one of two hosts 3 times",
            seeds - 1
        ),
        &[
            ("rules broken", "0".to_owned()),
            ("times that what goes to the other host was looked at", looked.to_string()),
            ("mutations and requests with an effect", effects.to_string()),
        ],
    );
}
