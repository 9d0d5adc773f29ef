//! Makes a counterexample as small as it gets.

use larder_core::Resolve;

use super::generate::is_valid;
use super::law::same;
use super::{Case, Laws};
use crate::plain::Plain;

/// How many smaller cases are tried.
const TRIES: usize = 4_000;

/// The smallest case that still fails, and why.
pub(super) fn shrink(laws: &Laws, resolver: &dyn Resolve, case: Case, why: String) -> (Case, String) {
    let (mut smallest, mut why, mut tries) = (case, why, 0);
    'anew: loop {
        for smaller in smaller(&smallest) {
            tries += 1;
            if tries > TRIES {
                return (smallest, why);
            }
            if !is_valid(laws, &smaller) {
                continue;
            }
            if let Err(new) = smaller.holds(resolver, laws.conflicts_alone) {
                (smallest, why) = (smaller, new);
                continue 'anew;
            }
        }
        return (smallest, why);
    }
}

/// Cases in which a row is as the one before it was, as a whole or in a field.
fn smaller(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    let Some(base) = &case.base else { return found };
    let places = 1 + case.theirs.len();
    for place in 0..places {
        let row = side(case, place);
        let Some(row) = row else {
            found.push(with(case, place, base.clone()));
            continue;
        };
        // A later row goes back to the one before it: what was changed first stays changed.
        let before = match place.checked_sub(1).filter(|_| place > 1) {
            Some(before) => side(case, before).unwrap_or(base),
            None => base,
        };
        let different: Vec<usize> = (0..row.len()).filter(|at| !same(&row[*at], &before[*at])).collect();
        if different.len() > 1 {
            found.push(with(case, place, before.clone()));
        }
        for at in different {
            let mut smaller = row.clone();
            smaller[at] = before[at].clone();
            found.push(with(case, place, smaller));
        }
    }
    // A field that all of the remote's rows have changed goes back in all of them.
    for at in 0..base.len() {
        let rows = case.theirs.iter().flatten();
        if case.theirs.len() > 1 && rows.into_iter().any(|row| !same(&row[at], &base[at])) {
            let mut smaller = case.clone();
            smaller.theirs.iter_mut().flatten().for_each(|row| row[at] = base[at].clone());
            found.push(smaller);
        }
    }
    found
}

fn side(case: &Case, place: usize) -> Option<&Plain> {
    match place {
        0 => case.mine.as_ref(),
        later => case.theirs[later - 1].as_ref(),
    }
}

fn with(case: &Case, place: usize, row: Plain) -> Case {
    let mut smaller = case.clone();
    match place {
        0 => smaller.mine = Some(row),
        later => smaller.theirs[later - 1] = Some(row),
    }
    smaller
}
