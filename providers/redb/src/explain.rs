//! What the store does with a query, told without answering it.

use larder_core::query::plan::{Access as Told, Ordering, Served};
use larder_core::{Capabilities, Plan as Report, Query, Result, Schema};

use crate::catalog::Slot;
use crate::gather::Gathered;
use crate::paths::Planner;
use crate::plan::{Access, Candidate, Delivery, Gather, Plan};
use crate::reads::{Generation, Halt};
use crate::scan;

/// Tells what is done with `query`. Gathers as the query would, so that it tells whether gathering is given up.
pub(crate) fn explain(generation: &Generation, slot: &Slot, query: &Query) -> Result<Report, Halt> {
    let plan = Plan::of(slot, query);
    let mut report = query.plan(slot.schema, &Capabilities::ALL);
    let gathered = scan::gather(generation, slot, query, &plan)?;
    let (access, limited, delivery, estimate) = match (&plan.gather, &gathered) {
        (Some(gather), Some(Gathered { keys, used })) => {
            let parts: Vec<Told> = used.iter().map(|at| told(slot, &gather.candidates[*at])).collect();
            (intersection(parts), used_of(slot, gather, used), gather.delivery, Some(keys.len() as u64))
        }
        _ => direct(generation, slot, query, &plan)?,
    };
    report.access = access;
    report.estimate = estimate;
    report.order = ordering(query, delivery);
    for (at, condition) in report.conditions.iter_mut().enumerate() {
        if condition.served != Served::Unindexed {
            condition.served = served(&limited, at, &condition.fields);
        }
    }
    Ok(report)
}

fn intersection(mut parts: Vec<Told>) -> Told {
    if parts.len() == 1 { parts.swap_remove(0) } else { Told::Intersection(parts) }
}

/// Fields that are limited, or the one condition that is served as a whole; and by which indexes, `key` being the key.
struct Limited {
    fields: Vec<String>,
    of: Option<usize>,
    by: Vec<String>,
}

fn served(limited: &[Limited], at: usize, fields: &[String]) -> Served {
    let serves = |one: &&Limited| {
        one.of == Some(at) || (one.of.is_none() && fields.iter().all(|field| one.fields.contains(field)))
    };
    let mut by: Vec<String> = limited.iter().filter(serves).flat_map(|one| one.by.clone()).collect();
    by.sort_unstable();
    by.dedup();
    match by.as_slice() {
        [] => Served::Residual,
        [key] if key == "key" => Served::Key,
        _ => Served::Index(by),
    }
}

fn names(schema: &Schema, fields: &[usize]) -> Vec<String> {
    fields.iter().map(|at| schema.fields[*at].name.to_owned()).collect()
}

fn by(slot: &Slot, index: Option<usize>) -> String {
    index.map_or("key", |at| slot.indexes[at].def.name).to_owned()
}

fn told(slot: &Slot, candidate: &Candidate) -> Told {
    let mut by: Vec<String> = candidate.sources.iter().map(|(index, _)| by(slot, *index)).collect();
    by.sort_unstable();
    by.dedup();
    let mut parts: Vec<Told> = by.iter().map(|name| Told::of(slot.schema, name)).collect();
    if !candidate.keys.is_empty() {
        parts.push(Told::Keys(candidate.keys.len() as u64));
    }
    if parts.len() == 1 { parts.swap_remove(0) } else { Told::Union(parts) }
}

fn used_of(slot: &Slot, gather: &Gather, used: &[usize]) -> Vec<Limited> {
    let limited = |at: &usize| {
        let candidate = &gather.candidates[*at];
        let mut by: Vec<String> = candidate.sources.iter().map(|(index, _)| by(slot, *index)).collect();
        if !candidate.keys.is_empty() {
            by.push("key".to_owned());
        }
        Limited { fields: names(slot.schema, &candidate.fields), of: candidate.of, by }
    };
    used.iter().map(limited).collect()
}

type Direct = (Told, Vec<Limited>, Option<Delivery>, Option<u64>);

/// What is done at once, or after the gathering was given up.
fn direct(generation: &Generation, slot: &Slot, query: &Query, plan: &Plan) -> Result<Direct, Halt> {
    let rows = scan::rows_at_most(generation, slot, query)? as u64;
    let planner = Planner::new(slot, query, query.filter.conditions());
    let path = match &plan.access {
        Access::Keys(keys) => {
            let all = names(slot.schema, slot.schema.key.fields);
            let limited = Limited { fields: all, of: None, by: vec!["key".to_owned()] };
            let told = if keys.is_empty() { Told::Nothing } else { Told::Keys(keys.len() as u64) };
            return Ok((told, vec![limited], plan.delivery, Some(keys.len() as u64)));
        }
        Access::Rows(_) => planner.by_key(),
        Access::Index { index, .. } => planner.by_index(*index),
    };
    let told = match path.index {
        Some(index) => Told::of(slot.schema, slot.indexes[index].def.name),
        None if path.is_limited() => Told::KeyRange,
        None => Told::Scan,
    };
    let limited =
        Limited { fields: names(slot.schema, path.limited()), of: None, by: vec![by(slot, path.index)] };
    Ok((told, vec![limited], plan.delivery, Some(rows)))
}

fn ordering(query: &Query, delivery: Option<Delivery>) -> Ordering {
    if delivery.is_some() || query.order.is_empty() { Ordering::Delivered } else { Ordering::Sorted }
}
