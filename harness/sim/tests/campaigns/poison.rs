//! Queues with mutations that the server never takes: they keep nothing but their own key from going on.

use std::time::Duration;

use larder::{ErrorKind, OutboxSettings, ParkReason, Repository};
use larder_sim::{Network, Server, Simulation, What, World};

use crate::notes::{Note, note as a_note};
use crate::record::{note, size};

const POISON: &str = "poison";

/// Notes per world, over two devices.
const EACH: u64 = 100;

fn queues() -> Simulation {
    let server = Server::honouring_keys().refusing(|mutation| {
        let text = mutation.row.as_ref().and_then(|row| Some(format!("{:?}", row.field(1).ok()?)))?;
        text.contains(POISON)
            .then(|| larder::Error::new(ErrorKind::Rejected, "no").with_body("{\"error\":\"poison\"}"))
    });
    let network = Network::calm().resetting(5).losing_replies(5);
    let apart = OutboxSettings::new().without_coalescing();
    let builder = move |_| Repository::builder().model::<Note>().outbox(apart.clone());
    Simulation::new(builder).server(server).network(network)
}

/// Writes fifty mutations of thirty notes while the device is cut off; one in twenty is poison.
async fn write(world: World, device: usize) -> u64 {
    world.happens(device, What::Cut(Duration::from_secs(600))).await;
    let at = world.device(device).await;
    let mut poison = 0;
    for nth in 0..EACH / 2 {
        let bad = world.random().is_multiple_of(20);
        poison += u64::from(bad);
        let id = format!("{device}-{}", world.random() % 30);
        let text = if bad { POISON } else { "good" };
        drop(at.repo().upsert(&a_note(&id, text, i64::try_from(nth).unwrap())).await.unwrap());
        world.sleep(Duration::from_secs(5)).await;
    }
    poison
}

/// Every failure is kept with its answer, and whatever else is left waits behind one of its own key.
async fn what_is_left(world: &World, device: usize) -> u64 {
    let at = world.device(device).await;
    let all = at.repo().outbox().list(0, 1_000).await.unwrap();
    let parked: Vec<_> = all.iter().filter(|entry| entry.parked.is_some()).collect();
    for entry in &parked {
        let failure = entry.failure.as_ref().expect("the answer is kept");
        let kept = (entry.parked, failure.status, failure.body.as_deref());
        world.expect(
            kept == (Some(ParkReason::Rejected), Some(422), Some("{\"error\":\"poison\"}")),
            format_args!("mutation {} is kept with its answer, not with {kept:?}", entry.seq),
        );
    }
    for entry in all.iter().filter(|entry| entry.parked.is_none()) {
        let behind = parked.iter().any(|parked| parked.key == entry.key && parked.seq < entry.seq);
        world.expect(behind, format_args!("mutation {} waits for nothing", entry.seq));
    }
    parked.len() as u64
}

// Rules: o-parked, o-lanes
#[test]
fn poisoned_queues() {
    let worlds = size(10_000) / EACH;
    let (mut effects, mut refused) = (0, 0);
    for seed in 0..worlds {
        let run = queues().script(seed, |world| async move {
            for device in 0..2 {
                write(world.clone(), device).await;
            }
            world.comes_to_rest().await;
            for device in 0..2 {
                what_is_left(&world, device).await;
            }
        });
        run.expect_success();
        effects += run.tally.effects;
        refused += run.tally.refused;
    }
    assert!(refused > 0, "some of them are poison");
    note(
        "queues with poison",
        &format!(
            "{worlds} worlds of {EACH} mutations, seeds 0 to {}, 5 % of them refused for good",
            worlds - 1
        ),
        &[
            ("mutations with an effect", effects.to_string()),
            ("refused and kept with their answer", refused.to_string()),
            ("order broken within a key", "0".to_owned()),
            ("other keys not done", "0".to_owned()),
        ],
    );
}
