//! Makes cases: rows that were changed on one side, on both, or not at all; rows that are gone; histories.

use larder_core::{Schema, Value};

use super::law::{Law, same};
use super::{Case, Laws};
use crate::differential::{Limits, key_part, value};
use crate::oracle::total;
use crate::plain::{Plain, record};
use crate::random::Random;

/// How many values are made to find different ones.
const DRAWS: usize = 24;

/// How many rows are made to find one that the model's own checks take.
const TRIES: usize = 40;

/// A case for `law`; `None` if none was found that the model takes.
pub(super) fn case(laws: &Laws, law: Law, random: &mut Random) -> Option<Case> {
    (0..TRIES).map(|_| draft(laws, law, random)).find(|case| is_valid(laws, case))
}

/// True if every row is one that the model takes, and a history is one that could have been.
pub(super) fn is_valid(laws: &Laws, case: &Case) -> bool {
    let rows = [&case.base, &case.mine].into_iter().chain(&case.theirs).flatten();
    let takes = |row: &Plain| {
        let row = record(row);
        laws.schema.fits(&row).is_ok() && laws.schema.validate(&row).is_ok()
    };
    rows.into_iter().all(takes) && (case.law != Law::Converges || is_history(laws, case))
}

/// The remote's values rise and never come back, what is wanted here is none of them, and what changes together does.
fn is_history(laws: &Laws, case: &Case) -> bool {
    let (Some(base), Some(mine), [Some(first), Some(last)]) = (&case.base, &case.mine, &case.theirs[..])
    else {
        return false;
    };
    let rising = (0..base.len()).all(|at| {
        let (base, first, last, mine) = (&base[at], &first[at], &last[at], &mine[at]);
        let own = same(mine, base) || (!same(mine, first) && !same(mine, last));
        total(base, first).is_le() && total(first, last).is_le() && own
    });
    let steps = [(base, mine), (base, first), (first, last)];
    let together = laws.together.iter().all(|group| {
        steps.iter().all(|(before, after)| {
            let changed = group.iter().filter(|at| !same(&before[**at], &after[**at])).count();
            changed == 0 || changed == group.len()
        })
    });
    rising && together
}

fn draft(laws: &Laws, law: Law, random: &mut Random) -> Case {
    let base = row(laws, random);
    let (schema, case) =
        (laws.schema, |base, mine, theirs| Case { schema: laws.schema, law, base, mine, theirs });
    match law {
        Law::Converges => {
            let history = history(laws, &base, random);
            let [mine, first, last] = history;
            case(Some(base), Some(mine), vec![Some(first), Some(last)])
        }
        Law::OrderFree => {
            let [a, b, c] = [0; 3].map(|_| changed(laws, &base, random));
            case(Some(base), Some(a), vec![Some(b), Some(c)])
        }
        _ => {
            let mine = Some(changed(laws, &base, random)).filter(|_| !random.chance(8));
            let theirs = Some(changed(laws, &base, random)).filter(|_| !random.chance(8));
            // Two have made the same row: its key is all that they share.
            let base = Some(base).filter(|_| schema.key.fields.is_empty() || !random.chance(8));
            case(base, mine, vec![theirs])
        }
    }
}

/// A row out of nothing, or one of the samples.
fn row(laws: &Laws, random: &mut Random) -> Plain {
    if !laws.samples.is_empty() && random.chance(70) {
        return random.pick(&laws.samples).clone();
    }
    (0..laws.schema.fields.len()).map(|at| field(laws, at, random)).collect()
}

fn field(laws: &Laws, at: usize, random: &mut Random) -> Value {
    let kind = &laws.schema.fields[at].kind;
    if laws.schema.key.fields.contains(&at) {
        return key_part(kind, random);
    }
    if !laws.samples.is_empty() && random.chance(50) {
        return random.pick(&laws.samples)[at].clone();
    }
    value(kind, Limits { finite: true, dear: false }, random)
}

/// The fields that change in one step, a group for each that changes together.
fn groups(laws: &Laws) -> Vec<Vec<usize>> {
    let alone = |schema: &'static Schema| {
        let grouped = |at: &usize| laws.together.iter().flatten().any(|other| other == at);
        (0..schema.fields.len()).filter(move |at| !schema.key.fields.contains(at) && !grouped(at))
    };
    alone(laws.schema).map(|at| vec![at]).chain(laws.together.iter().cloned()).collect()
}

/// How many percent of the groups change in a step: few of many.
fn rate(groups: usize) -> u64 {
    if groups > 8 { 12 } else { 40 }
}

/// The row with some fields changed.
fn changed(laws: &Laws, row: &Plain, random: &mut Random) -> Plain {
    let (mut row, groups) = (row.clone(), groups(laws));
    for group in &groups {
        if random.chance(rate(groups.len())) {
            for at in group {
                row[*at] = field(laws, *at, random);
            }
        }
    }
    row
}

/// What is wanted here, and two rows of the remote that come one after the other.
fn history(laws: &Laws, base: &Plain, random: &mut Random) -> [Plain; 3] {
    let mut rows = [base.clone(), base.clone(), base.clone()];
    let groups = groups(laws);
    for group in &groups {
        let changes = [0; 3].map(|_| random.chance(rate(groups.len())));
        let pools: Vec<Vec<Value>> = group.iter().map(|at| greater(laws, *at, &base[*at], random)).collect();
        // Each change has a value of its own, and those of the remote rise.
        let wanted = changes.iter().filter(|changes| **changes).count();
        if pools.iter().any(|pool| pool.len() < wanted) {
            continue;
        }
        let own = random.below(wanted.max(1));
        for (at, pool) in group.iter().zip(&pools) {
            let mut pool = pool.clone();
            if changes[0] {
                rows[0][*at] = pool.remove(own.min(pool.len() - 1));
            }
            let mut rising = pool.into_iter();
            if changes[1] {
                let value = rising.next().unwrap_or_default();
                rows[1][*at] = value.clone();
                rows[2][*at] = value;
            }
            if changes[2] {
                rows[2][*at] = rising.next().unwrap_or_default();
            }
        }
    }
    rows
}

/// Different values that are greater than `least`, rising.
fn greater(laws: &Laws, at: usize, least: &Value, random: &mut Random) -> Vec<Value> {
    let mut found: Vec<Value> = (0..DRAWS).map(|_| field(laws, at, random)).collect();
    found.retain(|value| total(value, least).is_gt());
    found.sort_by(total);
    found.dedup_by(|a, b| same(a, b));
    found
}
