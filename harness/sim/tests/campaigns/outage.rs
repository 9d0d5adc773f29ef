//! Very many clients after an outage: the backoff alone spreads them.

use std::time::Duration;

use larder::Repository;
use larder_sim::{Network, Server, Simulation};

use crate::notes::{Note, note as a_note};
use crate::record::{note, size};

/// The server is away for so long; each client writes within the first half of it.
const OUTAGE: Duration = Duration::from_secs(40 * 60);
/// Over this time before its end the load of the outage is measured.
const STEADY: u64 = 10 * 60;
/// The longest wait of the outbox, and some time.
const AFTER: Duration = Duration::from_secs(5 * 60 + 10);

// Rules: o-backoff
#[test]
fn clients_after_an_outage() {
    let clients = size(10_000);
    let simulation = Simulation::new(|_| Repository::builder().model::<Note>().cache(0))
        .devices(clients)
        .server(Server::honouring_keys().away_until(OUTAGE))
        .network(Network::calm())
        .untraced()
        .without_conclusion();
    let run = simulation.script(1, move |world| async move {
        let spread = OUTAGE / 2 / u32::try_from(clients).unwrap();
        for client in 0..usize::try_from(clients).unwrap() {
            let at = world.device(client).await;
            drop(at.repo().upsert(&a_note(&client.to_string(), "during the outage", 1)).await.unwrap());
            world.sleep(spread).await;
        }
        world.sleep(OUTAGE + AFTER - world.elapsed()).await;
    });
    run.expect_success();
    let end = OUTAGE.as_secs();
    let mut load = vec![0_u64; usize::try_from(AFTER.as_secs() + STEADY).unwrap() + 1];
    for (at, _) in &run.tally.arrivals {
        if let Some(second) = at.as_secs().checked_sub(end - STEADY) {
            load[usize::try_from(second).unwrap()] += 1;
        }
    }
    let (during, after) = load.split_at(usize::try_from(STEADY).unwrap());
    let busiest = after.iter().copied().max().unwrap_or(0);
    let steady = during.iter().sum::<u64>() as f64 / during.len() as f64;
    let arrived: u64 = after.iter().sum();
    assert_eq!(run.tally.effects, clients, "each client has been heard");
    let extra = (arrived - clients) as f64 / clients as f64;
    let recovered = after.iter().rposition(|load| *load > 0).map_or(0, |last| last + 1);
    let mean = arrived as f64 / recovered.max(1) as f64;
    // Of few clients the busiest second is chance.
    if clients >= 10_000 {
        assert!(
            busiest as f64 <= 1.5 * steady,
            "busiest second {busiest}, {steady:.1} a second during the outage"
        );
    }
    assert!(extra <= 0.2, "{extra}");
    note(
        "clients after an outage",
        &format!("{clients} clients with a mutation each, seed 1, the server answers 503 for 40 min"),
        &[
            ("busiest second after it", busiest.to_string()),
            ("mean a second in the 10 min before its end", format!("{steady:.1}")),
            ("ratio", format!("{:.2}", busiest as f64 / steady)),
            ("mean a second until the last was heard", format!("{mean:.1}, over {recovered} s")),
            ("ratio", format!("{:.2}", busiest as f64 / mean)),
            ("extra requests", format!("{:.1} %", 100.0 * extra)),
        ],
    );
}
