//! Lost replies, resets and busy gateways: each mutation has one effect where keys are honoured, and none is repeated
//! blindly where it must not be.

use std::time::Duration;

use larder::{Idempotency, Repository};
use larder_sim::{Network, Server, Simulation, World};

use crate::notes::{Note, note as a_note};
use crate::record::{note, size};

/// Two devices, each of which writes fifty new notes.
fn writers(server: Server) -> Simulation {
    let network = Network::calm().losing_replies(10).resetting(10).answering(10, &[429, 503]);
    Simulation::new(|_| Repository::builder().model::<Note>())
        .network(network)
        .server(server)
        .kills(1)
        .acting(50, Duration::from_secs(120), |device, mut chance| async move {
            let id = format!("{}-{:x}", device.number(), chance.draw());
            drop(device.repo().upsert(&a_note(&id, "new", 1)).await?);
            Ok(())
        })
}

// Rules: o-idempotency, o-crash
#[test]
fn keys_make_it_once() {
    let wanted = size(10_000);
    let simulation =
        writers(Server::honouring_keys()).at_rest("as many effects as notes", |world: World| async move {
            let notes = world.at_server::<Note>().await.map_err(|error| error.to_string())?.len() as u64;
            let effects = world.effects();
            if effects == notes { Ok(()) } else { Err(format!("{effects} effects for {notes} notes")) }
        });
    let (mut worlds, mut effects, mut arrivals) = (0, 0, 0);
    while effects < wanted {
        let run = simulation.run(worlds);
        worlds += 1;
        run.expect_success();
        effects += run.tally.effects;
        arrivals += run.tally.arrivals.len();
    }
    note(
        "lost replies with keys",
        &format!(
            "{worlds} worlds, seeds 0 to {}: replies lost 10 %, resets 10 %, 429 and 503 10 %",
            worlds - 1
        ),
        &[
            ("mutations with an effect", effects.to_string()),
            ("arrived", arrivals.to_string()),
            ("with two effects", "0".to_owned()),
            ("lost", "0".to_owned()),
        ],
    );
}

// Rules: o-idempotency
#[test]
fn at_most_once_is_never_repeated_blindly() {
    let wanted = size(10_000);
    let simulation = writers(Server::ignoring_keys().declaring(Idempotency::AtMostOnce));
    let (mut worlds, mut effects, mut parked) = (0, 0, 0);
    while effects + parked < wanted {
        let run = simulation.run(worlds);
        worlds += 1;
        run.expect_success();
        effects += run.tally.effects;
        parked += run.tally.parked;
    }
    assert!(parked > 0, "some of them are uncertain");
    note(
        "lost replies at most once",
        &format!(
            "{worlds} worlds, seeds 0 to {}: the same on endpoints that must not be asked twice",
            worlds - 1
        ),
        &[
            ("mutations with an effect", effects.to_string()),
            ("parked as uncertain", parked.to_string()),
            ("repeated blindly", "0".to_owned()),
        ],
    );
}
