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
