//! Credentials that expire, stores that fail, and what servers tell of changes.

use std::time::Duration;

use larder::{Idempotency, Model, ReadPolicy, Repository, Select};
use larder_sim::{Disk, Network, Server, Simulation, What};
use rstest::rstest;

use crate::notes::{Note, busy, listening, note, quiet};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn seeds() -> std::ops::Range<u64> {
    let told = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let first = told("LARDER_FIRST").unwrap_or(0);
    first..first + told("LARDER_SEEDS").unwrap_or(20)
}

// Rules: o-credentials
#[test]
fn what_waits_for_credentials_goes_when_they_are_renewed() {
    let run = quiet().script(1, |world| async move {
        world.happens(0, What::Expiry(60 * SECOND)).await;
        let ada = world.device(0).await;
        drop(ada.repo().upsert(&note("n1", "written unauthorised", 1)).await.unwrap());
        world.sleep(59 * SECOND).await;
        world.expect(ada.repo().status().unauthorized, "it is known why nothing goes");
        let left = ada.repo().outbox().list(0, 9).await.unwrap();
        world.expect(left.len() == 1 && left[0].parked.is_none(), format_args!("{left:?}"));
        world.expect(world.at_server::<Note>().await.unwrap().is_empty(), "nothing has arrived");
        world.sleep(2 * SECOND).await;
        world.expect(world.effects() == 1, "it goes at once when there are new ones");
    });
    run.expect_success();
}

// Rules: o-credentials, o-crash
#[rstest]
#[case::memory(Disk::Memory)]
#[case::redb(Disk::Redb)]
fn expired_credentials(#[case] disk: Disk) {
    let flaky = busy().disk(disk).expiries(2).network(Network::flaky()).kills(1);
    flaky.server(Server::honouring_keys().pages_of(2)).check(seeds());
}

// Rules: o-crash, d-full
#[rstest]
#[case::memory(Disk::Memory)]
#[case::redb(Disk::Redb)]
fn failing_stores(#[case] disk: Disk) {
    let failing = busy().disk(disk).store_failures(4).full_disks(1).kills(1);
    failing.clone().check(seeds());
    failing.network(Network::flaky()).server(Server::honouring_keys().pages_of(2)).check(seeds());
}

// Rules: s-delta, s-expired
#[rstest]
#[case::much_is_remembered(1_000)]
#[case::little_is_remembered(3)]
fn what_has_changed(#[case] remembered: usize) {
    let telling = busy().server(Server::honouring_keys().pages_of(2).telling_changes(remembered));
    telling.clone().check(seeds());
    telling.clone().network(Network::flaky()).kills(1).check(seeds());
    telling.network(Network::flaky()).disk(Disk::Redb).power_cuts(1).check(seeds());
}

// Rules: s-live
#[test]
fn what_is_pushed() {
    let pushing = listening().server(Server::honouring_keys().pushing().pages_of(2));
    pushing.clone().check(seeds());
    pushing.network(Network::flaky()).kills(1).check(seeds());
}

#[test]
fn what_is_pushed_comes_by_itself() {
    let run = listening().server(Server::honouring_keys().pushing()).script(1, |world| async move {
        let (ada, bob) = (world.device(0).await, world.device(1).await);
        world.sleep(SECOND).await;
        drop(ada.repo().upsert(&note("n1", "told", 1)).await.unwrap());
        world.sleep(SECOND).await;
        world.expect(bob.rows::<Note>().unwrap() == [note("n1", "told", 1)], "nobody had to ask");
    });
    run.expect_success();
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Payment {
    #[model(key)]
    id: String,
    cents: i64,
}

/// Notes may be sent again, payments never.
fn notes_and_payments() -> Simulation {
    let once = Server::ignoring_keys().declaring(Idempotency::AtMostOnce);
    Simulation::new(|_| Repository::builder().model::<Note>().model::<Payment>())
        .server(Server::honouring_keys().but_for::<Payment>(&once))
        .devices_between(2, 3)
        .acting(16, 60 * SECOND, |device, mut chance| async move {
            let (repo, id) = (device.repo(), format!("{:x}", chance.draw()));
            match chance.below(5) {
                0 | 1 => drop(repo.upsert(&Payment { id, cents: 100 }).await?),
                2 => drop(repo.reading(ReadPolicy::RemoteFirst).get(Select::<Note>::all()).await?),
                _ => drop(repo.upsert(&note(&id, "new", 1)).await?),
            }
            Ok(())
        })
}

// Rules: o-idempotency
#[test]
fn each_model_has_its_own_idempotency() {
    let network = Network::calm().losing_replies(20).resetting(10);
    let worlds = notes_and_payments().network(network).kills(1);
    let mut parked = 0;
    for seed in seeds() {
        let run = worlds.run(seed);
        run.expect_success();
        parked += run.tally.parked;
    }
    assert!(parked > 0, "some payments are uncertain");
    worlds
        .at_rest("no note is uncertain", |world| async move {
            for device in 0..world.devices() {
                let on = world.device(device).await;
                let left = on.repo().outbox().list(0, 1_000).await.map_err(|error| error.to_string())?;
                if let Some(entry) = left.iter().find(|entry| entry.model != "Payment") {
                    return Err(format!("{entry:?}"));
                }
            }
            Ok(())
        })
        .check(seeds());
}

/// A deletion is on its way for longer than it is waited for, and the clock is put back, so that its key no longer counts: the
/// server is asked, the row is not there, and the row is written anew. Then the deletion arrives, and nobody could call it back.
// Rules: o-key-life
#[test]
fn a_request_that_arrives_after_its_row_was_asked_about_breaks_no_order() {
    busy().network(Network::flaky()).clock_jumps(3).kills(1).replay(
        "seed 471, 3 devices\n\
         38.634s device 2 acts 3d9def\n\
         20.896s device 2 acts 891536\n\
         97.515s device 2 acts 837e88\n\
         37.438s device 2 acts a638a2\n\
         42.971s device 2 acts 4ce27e\n\
         89.845s device 2 acts 6eca67\n\
         47.784s device 2 acts f23298\n\
         43.658s device 2 acts a17c1e\n\
         51.189s device 2 acts d36463\n\
         101.145s device 2 clock jumps by -1900000000s\n\
         device 2 is killed at step 92 for 2.047s\n\
         54.646s device 2 is cut off for 30s\n\
         46.513s device 2 sees a portal for 9s\n\
         device 2 request 2 is refused\n\
         device 2 request 18 is delayed by 39.247s",
    );
}
