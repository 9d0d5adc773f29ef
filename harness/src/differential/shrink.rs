//! Makes a counterexample as small as it gets.

use larder_core::{Predicate, Query};

use super::triple::Triple;
use crate::run::Candidate;

/// How many smaller triples are tried.
const TRIES: usize = 400;

/// The smallest triple that still fails, and why.
pub(super) async fn shrink(candidate: &Candidate<'_>, triple: Triple, why: String) -> (Triple, String) {
    let (mut smallest, mut why, mut tries) = (triple, why, 0);
    'anew: loop {
        for smaller in smaller(&smallest) {
            tries += 1;
            if tries > TRIES {
                return (smallest, why);
            }
            if let Err(new) = smaller.holds(candidate).await {
                (smallest, why) = (smaller, new);
                continue 'anew;
            }
        }
        return (smallest, why);
    }
}

/// Triples that are smaller by one step, the greatest steps first.
fn smaller(triple: &Triple) -> Vec<Triple> {
    let with_query = |query| Triple { query, ..triple.clone() };
    let mut found = Vec::new();
    for (at, (_, rows)) in triple.world.iter().enumerate() {
        found.extend(fewer(rows).into_iter().map(|rows| {
            let mut smaller = triple.clone();
            smaller.world[at].1 = rows;
            smaller
        }));
    }
    found.extend(simpler_queries(&triple.query).into_iter().map(with_query));
    found.extend(triple.plainer());
    found
}

/// The list without a half of it, a quarter, and so on.
fn fewer<T: Clone>(list: &[T]) -> Vec<Vec<T>> {
    let mut found = Vec::new();
    let mut size = list.len();
    while size > 0 {
        for start in (0..list.len()).step_by(size) {
            let end = (start + size).min(list.len());
            found.push([&list[..start], &list[end..]].concat());
        }
        size /= 2;
    }
    found
}

fn simpler_queries(query: &Query) -> Vec<Query> {
    let mut found = Vec::new();
    if query.after.is_some() {
        found.push(Query { after: None, ..query.clone() });
    }
    if query.offset > 0 {
        found.push(Query { offset: 0, ..query.clone() });
        found.push(Query { offset: query.offset / 2, ..query.clone() });
    }
    if let Some(limit) = query.limit {
        found.push(Query { limit: None, ..query.clone() });
        found.extend((limit > 0).then(|| Query { limit: Some(limit / 2), ..query.clone() }));
    }
    // A place has a value for each field of the order.
    let orders = if query.after.is_none() { fewer(&query.order) } else { Vec::new() };
    found.extend(orders.into_iter().map(|order| Query { order, ..query.clone() }));
    found.extend(simpler(&query.filter).into_iter().map(|filter| Query { filter, ..query.clone() }));
    found
}

fn simpler(filter: &Predicate) -> Vec<Predicate> {
    let mut found = Vec::new();
    let mut parts = |children: &[Predicate], whole: fn(Vec<Predicate>) -> Predicate| {
        found.extend(children.iter().cloned());
        found.extend(fewer(children).into_iter().map(whole));
        for (at, child) in children.iter().enumerate() {
            for simpler in simpler(child) {
                let mut children = children.to_vec();
                children[at] = simpler;
                found.push(whole(children));
            }
        }
    };
    match filter {
        Predicate::All => return Vec::new(),
        Predicate::And(children) => parts(children, Predicate::And),
        Predicate::Or(children) => parts(children, Predicate::Or),
        Predicate::Not(child) => {
            found.push((**child).clone());
            found.extend(simpler(child).into_iter().map(|child| Predicate::Not(Box::new(child))));
        }
        Predicate::In { field, values } => {
            found.extend(fewer(values).into_iter().map(|values| Predicate::In { field: *field, values }));
        }
        Predicate::Related { assoc, all, filter } => {
            let with = |filter| Predicate::Related { assoc: *assoc, all: *all, filter: Box::new(filter) };
            found.extend(simpler(filter).into_iter().map(with));
        }
        Predicate::Among { field, keys } => {
            let keys: Vec<_> = keys.iter().cloned().collect();
            let with = |keys: Vec<_>| Predicate::Among { field: *field, keys: keys.into() };
            found.extend(fewer(&keys).into_iter().map(with));
        }
        Predicate::Keys(keys) => found.extend(fewer(keys).into_iter().map(Predicate::Keys)),
        _ => {}
    }
    found.push(Predicate::All);
    found
}
