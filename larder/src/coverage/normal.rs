//! One form for conditions that are written in several ways.

use larder_core::{CompareOp, Predicate};

/// The same condition in one form: `and` and `or` flat, sorted and without repetitions, double negations gone, lists
/// of values sorted. What it means stays the same for every row.
pub(crate) fn normal(filter: &Predicate) -> Predicate {
    match filter {
        Predicate::And(all) => gather(all, true),
        Predicate::Or(any) => gather(any, false),
        Predicate::Not(one) => match normal(one) {
            Predicate::Not(inner) => *inner,
            inner => Predicate::Not(Box::new(inner)),
        },
        Predicate::Keys(keys) => {
            let mut keys = keys.clone();
            keys.sort();
            keys.dedup();
            match keys.as_slice() {
                [] => Predicate::none(),
                [one] => Predicate::Key(one.clone()),
                _ => Predicate::Keys(keys),
            }
        }
        Predicate::In { field, values } => {
            let mut values = values.clone();
            sort(&mut values);
            match values.as_slice() {
                [] => Predicate::none(),
                [one] => Predicate::Compare { field: *field, op: CompareOp::Eq, value: one.clone() },
                _ => Predicate::In { field: *field, values },
            }
        }
        other => other.clone(),
    }
}

/// A conjunction, or a disjunction, of these.
fn gather(parts: &[Predicate], conjunction: bool) -> Predicate {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match (normal(part), conjunction) {
            (Predicate::All, true) => {}
            (Predicate::All, false) => return Predicate::All,
            (Predicate::And(inner), true) | (Predicate::Or(inner), false) => flat.extend(inner),
            // An empty `or` lets nothing through, and so does everything that needs it.
            (Predicate::Or(inner), true) if inner.is_empty() => return Predicate::none(),
            (other, _) => flat.push(other),
        }
    }
    sort(&mut flat);
    match (flat.len(), conjunction) {
        (1, _) => flat.remove(0),
        (0, true) => Predicate::All,
        (_, true) => Predicate::And(flat),
        (_, false) => Predicate::Or(flat),
    }
}

/// Sorts by how they are written down: any order will do that is the same on every run.
fn sort<T: serde::Serialize>(parts: &mut Vec<T>) {
    let mut written: Vec<(String, T)> =
        parts.drain(..).map(|part| (serde_json::to_string(&part).unwrap_or_default(), part)).collect();
    written.sort_by(|(a, _), (b, _)| a.cmp(b));
    // What can't be written down is kept, each by itself.
    written.dedup_by(|(a, _), (b, _)| a == b && !a.is_empty());
    parts.extend(written.into_iter().map(|(_, part)| part));
}
