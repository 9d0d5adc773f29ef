//! Sixteen defects of a data layer, each planted by a layer around the real one, and each found within so many seeds.

#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod remote;
mod runtime;
mod shop;
mod store;

use std::sync::Arc;
use std::time::Duration;

use larder_sim::{Disk, Network, Run, Simulation};
use rstest::rstest;

use shop::{busy, busy_step_by_step, busy_with_errands, crowded, edit, orders};

fn lost_entry() -> Simulation {
    busy().over_store(store::loses_entries)
}

fn doubled_send() -> Simulation {
    busy()
        .network(Network::flaky())
        .over_remote(|remote, runtime| remote::mints_a_new_key_for_repeats(remote, runtime))
}

fn dropped_rebase() -> Simulation {
    // What a device has pulled is known to its remote, and its store writes it over what is pending.
    let pulled = remote::Pulled::default();
    let kept = Arc::clone(&pulled);
    busy_step_by_step()
        .network(Network::flaky())
        .over_remote(move |remote, _| remote::remembers(remote, Arc::clone(&pulled)))
        .over_store(move |store| store::overwrites_what_is_pending(store, Arc::clone(&kept)))
}

fn overtaken_create() -> Simulation {
    busy().over_remote(remote::sends_creations_later)
}

fn forgotten_retry() -> Simulation {
    busy().network(Network::flaky()).over_runtime(runtime::forgets_timers)
}

fn half_a_page() -> Simulation {
    busy().over_store(store::stores_pages_by_halves)
}

fn overlooked_parent() -> Simulation {
    orders().over_store(store::overlooks_customers)
}

fn late_entry() -> Simulation {
    // There has to be a queue to be read again, and what comes late says something that the last one did not.
    let network = Network::calm().losing_replies(70);
    let queues = busy_step_by_step().devices_between(1, 3).acting(20, Duration::from_secs(20), edit);
    queues.network(network).kills(8).over_store(store::finds_entries_late)
}

fn old_copy() -> Simulation {
    busy().over_remote(remote::answers_from_a_copy)
}

fn misread_status() -> Simulation {
    busy().expiries(2).over_remote(remote::takes_401_for_a_no)
}

fn lost_request() -> Simulation {
    busy_with_errands().over_store(store::loses_requests)
}

fn late_request() -> Simulation {
    busy_with_errands().over_remote(remote::sends_requests_later)
}

fn request_under_two_keys() -> Simulation {
    busy_with_errands()
        .network(Network::flaky())
        .over_remote(|remote, runtime| remote::mints_a_new_key_for_repeats(remote, runtime))
}

/// A request that must not be repeated goes again after a restart.
fn request_sent_again() -> Simulation {
    busy_with_errands().network(Network::storms()).kills(3).over_store(store::forgets_that_requests_were_sent)
}

/// Pages that go on by number are said to leave out no row.
fn steady_numbers() -> Simulation {
    let network = Network::calm().latency(Duration::from_millis(50), Duration::from_millis(500));
    crowded().network(network).over_remote(remote::calls_its_pages_steady)
}

/// All hosts are taken for one.
fn one_host_for_all() -> Simulation {
    busy_with_errands().network(Network::calm().partitions(3)).over_remote(remote::knows_one_host)
}

/// The seeds within which each is found, over memory and over redb.
const SEEDS: u64 = 20;
/// How much may happen in a run that counts as a small one.
const SMALL: usize = 12;

// Rules: o-crash, o-order, o-dependencies, o-backoff, o-entry, o-credentials, o-requests, o-requests-once, o-hosts, s-delete-moved
#[rstest]
#[case::lost_entry(lost_entry(), "client = server at rest")]
#[case::doubled_send(doubled_send(), "nothing is applied twice")]
#[case::dropped_rebase(dropped_rebase(), "no pending value disappears")]
#[case::overtaken_create(overtaken_create(), "no acknowledged write is lost")]
#[case::forgotten_retry(forgotten_retry(), "the queue is empty at rest")]
#[case::half_a_page(half_a_page(), "no half page is visible")]
#[case::overlooked_parent(overlooked_parent(), "what is referred to comes first")]
#[case::late_entry(late_entry(), "order within a key")]
#[case::old_copy(old_copy(), "reads are monotonic")]
#[case::misread_status(misread_status(), "refused credentials burn no attempt")]
#[case::lost_request(lost_request(), "no acknowledged request is lost")]
#[case::late_request(late_request(), "no acknowledged write is lost")]
#[case::request_under_two_keys(request_under_two_keys(), "nothing is applied twice")]
#[case::request_sent_again(request_sent_again(), "no blind repeat")]
#[case::steady_numbers(steady_numbers(), "what the server has is not removed")]
#[case::one_host_for_all(one_host_for_all(), "a host that is away holds up no other")]
fn each_defect_is_found(#[case] broken: Simulation, #[case] rule: &str) {
    for disk in [Disk::Memory, Disk::Redb] {
        let broken = broken.clone().disk(disk);
        let small = first_that_breaks(&broken, rule);
        println!("{disk:?}, seed {}:\n{}", small.schedule.seed, small.as_test());
        // What is printed repeats the failure.
        let again = broken.play_exactly(&small.schedule.to_string().parse().unwrap());
        assert_eq!((again.failure, again.trace), (small.failure, small.trace));
    }
}

/// The first run that breaks this rule and can be made small: what breaks one may break another first, and in some runs each
/// thing that happens moves the moment of another.
fn first_that_breaks(broken: &Simulation, rule: &str) -> Run {
    let mut from = 0;
    loop {
        let found = broken.search(from..SEEDS).unwrap_or_else(|| panic!("no seed breaks \"{rule}\""));
        from = found.schedule.seed + 1;
        if found.failure.as_ref().is_some_and(|failure| failure.rule == rule) {
            let small = broken.shrink(&found);
            if small.schedule.events.len() <= SMALL {
                return small;
            }
        }
    }
}

/// The same devices without any defect: else the others would say nothing.
#[test]
fn without_a_defect_there_is_nothing_to_find() {
    busy().check(0..SEEDS);
    busy().network(Network::flaky()).check(0..SEEDS);
    orders().check(0..SEEDS);
    orders().network(Network::flaky()).kills(1).check(0..SEEDS);
    busy().network(Network::storms()).expiries(2).check(0..SEEDS);
    busy_step_by_step().network(Network::storms()).kills(3).check(0..SEEDS);
    busy_with_errands().network(Network::storms()).kills(3).check(0..SEEDS);
    busy_with_errands().network(Network::calm().partitions(3)).check(0..SEEDS);
    crowded().check(0..SEEDS);
}
