//! Lists that are paged by number, while others add and remove rows before the page that is read.

use std::time::Duration;

use larder_sim::{Network, Server};

use crate::notes::crowded;
use crate::record::{note, size};
use crate::weather::run;

// Rules: s-paged, s-delete, s-delete-moved, s-pending
#[test]
fn lists_paged_by_number() {
    let seeds = size(5_000);
    let slow = Network::calm().latency(Duration::from_millis(50), Duration::from_millis(500));
    let network = slow.refusing(3).losing_replies(3).resetting(3).cuts(1);
    let worlds = crowded().server(Server::honouring_keys().numbered_pages_of(2)).network(network).kills(1);
    let (mut moved, mut effects) = (0, 0);
    run(&worlds, seeds, |run| {
        moved += run.tally.moved;
        effects += run.tally.effects;
    });
    assert!(moved > seeds / 2, "{moved} pages have moved");
    note(
        "lists paged by number",
        &format!(
            "{seeds} worlds of 2 to 4 devices, seeds 0 to {}, which add, remove and list rows, 2 on a page",
            seeds - 1
        ),
        &[
            ("rules broken", "0".to_owned()),
            ("pages whose rows had moved since the page before", moved.to_string()),
            ("mutations with an effect", effects.to_string()),
        ],
    );
}
