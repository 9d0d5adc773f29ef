//! The campaigns, made short: a fraction of what `cargo xtask crash` runs.

use larder_crash::damaged::Left;
use larder_crash::report::Outcome;
use larder_crash::{damaged, faults, full, kill, power, salvage};

#[track_caller]
fn check(outcome: &Outcome, runs: u64) {
    assert!(outcome.is_clean(), "{outcome:#?}");
    assert!(outcome.runs >= runs, "{} runs", outcome.runs);
    assert!(outcome.acknowledged > 0);
}

// Rules: o-crash, d-full
#[test]
fn operations_that_fail_lose_nothing() {
    let outcome = faults::each(1, 1, 23);
    check(&outcome, 20);
    assert!(outcome.phases.len() > 3, "{:?}", outcome.phases);
}

// Rules: o-crash, d-full
#[test]
fn many_operations_that_fail_lose_nothing() {
    check(&faults::compound(2, 20), 20);
}

// Rules: o-crash
#[test]
fn a_power_cut_leaves_whole_transactions() {
    let outcome = power::cut(3, 3);
    check(&outcome, 60);
    assert!(outcome.phases.len() > 3, "{:?}", outcome.phases);
}

// Rules: d-checksum, d-panic, d-check, d-salvage
#[test]
fn damaged_files_give_nothing_that_was_never_written() {
    for left in [Left::Killed, Left::Closed] {
        check(&damaged::files(4, 30, left), 30);
    }
}

// Rules: d-salvage, d-salvage-status, d-salvage-faults
#[test]
fn a_salvage_that_goes_wrong_loses_nothing() {
    let outcome = salvage::each(7, 97, 5);
    check(&outcome, 100);
    assert!(outcome.points > 100, "{} points", outcome.points);
    assert!(
        outcome.phases.contains_key("salvage") && outcome.phases.contains_key("acknowledge"),
        "{:?}",
        outcome.phases
    );
}

// Rules: d-full
#[test]
fn a_full_disk_is_read_and_recovers() {
    let outcome = full::disk(5);
    for note in &outcome.notes {
        eprintln!("{note}");
    }
    check(&outcome, 1);
}

// Rules: o-crash
#[test]
fn kills_lose_nothing_and_double_nothing() {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_larder-crash"));
    check(&kill::processes(program, 6, 10), 10);
}
