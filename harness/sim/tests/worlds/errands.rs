//! Requests that are no models, beside notes: kept, in order, and not repeated unless they may be.

use std::time::Duration;

use larder::{Error, ErrorKind, Repository, RequestSettings};
use larder_sim::{Disk, Errand, Host, Network, Repeat, Server, Simulation, What};
use rstest::rstest;

use crate::notes::{Note, busy_with_errands, note};
use crate::troubles::seeds;

const SECOND: Duration = Duration::from_secs(1);

/// Devices that do nothing by themselves.
fn quiet() -> Simulation {
    Simulation::new(|_| Repository::builder().model::<Note>().requests(RequestSettings::new()))
}

// Rules: o-requests, o-requests-order, o-hosts, o-crash
#[rstest]
#[case::memory(Disk::Memory)]
#[case::redb(Disk::Redb)]
fn what_is_requested_offline_survives_a_kill(#[case] disk: Disk) {
    let run = quiet().disk(disk).script(1, |world| async move {
        world.cut_off(0, 60 * SECOND).await;
        for (repeat, elsewhere) in [(Repeat::Keyed, false), (Repeat::Once, false), (Repeat::Idempotent, true)]
        {
            world.happens(0, What::Errand(Errand { repeat, lane: 0, elsewhere })).await;
            world.sleep(SECOND).await;
        }
        world.kill(0, SECOND).await;
        let ada = world.device(0).await;
        world.expect(ada.repo().outbox().list(0, 9).await.unwrap().len() == 3, "they are still here");
        world.expect(world.effects() == 0, "the server has not heard of them");
        world.comes_to_rest().await;
        world.expect(world.effects() == 3, "each has had its effect");
    });
    run.expect_success();
}

// Rules: o-requests, o-requests-order, o-requests-once, o-hosts, o-crash
#[rstest]
#[case::calm(Network::calm())]
#[case::flaky(Network::flaky())]
#[case::storms(Network::storms())]
#[case::busy_gateways(Network::calm().losing_replies(10).resetting(10).answering(20, &[429, 502, 503]))]
fn errands(#[case] network: Network) {
    let worlds = busy_with_errands().network(network).kills(2).expiries(1);
    worlds.clone().check(seeds());
    worlds.disk(Disk::Redb).power_cuts(1).check(seeds());
}

// Rules: o-requests-once
#[test]
fn some_that_must_not_be_repeated_are_uncertain_and_no_others() {
    let lossy = Network::calm().losing_replies(20).resetting(10);
    let (mut uncertain, mut effects) = (0, 0);
    for seed in seeds() {
        let run = busy_with_errands().network(lossy.clone()).kills(1).run(seed);
        run.expect_success();
        uncertain += run.tally.parked;
        effects += run.tally.effects;
    }
    assert!(uncertain > 0 && effects > uncertain, "{uncertain} uncertain, {effects} effects");
    let sure = busy_with_errands().network(lossy).kills(1).at_rest("none else waits", |world| async move {
        for device in 0..world.devices() {
            let parked = world.device(device).await.repo().outbox().parked().await;
            for entry in parked.map_err(|error| error.to_string())? {
                let request = entry.request.as_ref().map(|request| request.method.clone());
                if request.as_deref() != Some("POST") {
                    return Err(format!("{entry:?}"));
                }
            }
        }
        Ok(())
    });
    sure.check(seeds());
}

// Rules: o-hosts
#[rstest]
#[case::the_rows_host(Host::Server)]
#[case::the_other(Host::Elsewhere)]
fn a_host_that_is_away_holds_up_its_own_lanes_alone(#[case] away: Host) {
    let run = quiet().script(1, move |world| async move {
        let elsewhere = |elsewhere| Errand { repeat: Repeat::Keyed, lane: 0, elsewhere };
        world.happens(0, What::CutFrom(away, 60 * SECOND)).await;
        let ada = world.device(0).await;
        drop(ada.repo().upsert(&note("n1", "to the server", 1)).await.unwrap());
        world.happens(0, What::Errand(elsewhere(false))).await;
        world.happens(0, What::Errand(elsewhere(true))).await;
        world.sleep(2 * SECOND).await;
        let left = ada.repo().outbox().list(0, 9).await.unwrap();
        let of_rows = left.iter().filter(|entry| entry.model == "Note").count();
        let expected = if away == Host::Server { (2, 1) } else { (1, 0) };
        world.expect((left.len(), of_rows) == expected, format_args!("{left:?}"));
        world.expect(world.effects() == 3 - left.len() as u64, "the others have gone");
        world.sleep(58 * SECOND).await;
        world.comes_to_rest().await;
        world.expect(world.effects() == 3, "each has had its effect");
    });
    run.expect_success();
}

// Rules: o-hosts, o-turns, o-requests-order, o-crash
#[test]
fn what_goes_to_one_host_goes_on_while_another_is_away() {
    let worlds = busy_with_errands().network(Network::calm().partitions(3));
    let mut parted = 0;
    for seed in seeds() {
        let run = worlds.clone().kills(1).run(seed);
        run.expect_success();
        parted += run.tally.parted;
    }
    assert!(parted > seeds().count() as u64, "it was looked at {parted} times");
    worlds.disk(Disk::Redb).power_cuts(1).check(seeds());
    busy_with_errands().network(Network::flaky().partitions(2)).kills(1).expiries(1).check(seeds());
}

// Rules: o-requests-refused, o-requests-order
#[test]
fn what_the_server_refuses_keeps_nothing_else() {
    let server = Server::honouring_keys().refusing_requests(|request| {
        let number = request.target.rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
        let refused = number.is_some_and(|number| number % 5 == 0);
        refused.then(|| Error::new(ErrorKind::Rejected, "no").with_body("{\"error\":\"fifth\"}"))
    });
    let mut refused = 0;
    for seed in seeds() {
        let run = busy_with_errands().server(server.clone()).network(Network::flaky()).kills(1).run(seed);
        run.expect_success();
        refused += run.tally.refused;
    }
    assert!(refused > 0, "some are refused");
}

// Rules: o-requests
#[test]
fn the_same_seed_gives_the_same_trace() {
    let worlds = busy_with_errands().network(Network::flaky()).kills(1);
    for seed in 0..3 {
        let (one, other) = (worlds.run(seed), worlds.run(seed));
        assert_eq!(one.trace.as_str(), other.trace.as_str());
        // What is printed to be pasted is the same run.
        let again = worlds.play_exactly(&one.schedule.to_string().parse().unwrap());
        assert_eq!(again.trace.as_str(), one.trace.as_str());
        assert!(one.schedule.to_string().contains(" requests "), "{}", one.schedule);
    }
}
