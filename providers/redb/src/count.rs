//! Counting: from index entries alone where the filter is one that an index answers by itself, else row by row without
//! keeping any.

use larder_core::{CompareOp, IndexDef, Predicate, Query, TextOp, Value};

use crate::catalog::Slot;
use crate::error::Raw;
use crate::plan::{Candidate, Plan};
use crate::reads::{Generation, Halt, Watch};
use crate::scan;

/// How often the watch is asked.
const WATCH_EVERY: u64 = 256;

/// How many rows answer `query`, its window included.
pub(crate) fn count(generation: &Generation, slot: &Slot, query: &Query, watch: &Watch) -> Result<u64, Halt> {
    if query.after.is_some() {
        let plan = Plan::of(slot, query);
        let answer = scan::run(generation, slot, query, &plan, watch)?;
        return Ok(answer.rows.len() as u64);
    }
    // How many there are has nothing to do with their order.
    let all = Query { deny_scan: query.deny_scan, ..Query::filter(query.filter.clone()) };
    let plan = Plan::of(slot, &all);
    all.permit_scan(slot.schema)?;
    plan.permit(slot, &all)?;
    let count = match entries(slot, &all, &plan) {
        Some(candidate) => count_entries(generation, candidate, watch)?,
        None => scan::count(generation, slot, &all, &plan, watch)?,
    };
    Ok(count.saturating_sub(query.offset).min(query.limit.unwrap_or(u64::MAX)))
}

/// The ranges of an index whose entries are those of the rows that answer, if there are any.
fn entries<'p>(slot: &Slot, query: &Query, plan: &'p Plan) -> Option<&'p Candidate> {
    let [candidate] = plan.gather.as_ref()?.candidates.as_slice() else {
        return None;
    };
    let (Some(index), _) = candidate.sources.first()? else {
        return None;
    };
    let by_index = candidate.of.is_none() && says_all(&query.filter, slot.indexes[*index].def);
    by_index.then_some(candidate)
}

fn count_entries(generation: &Generation, candidate: &Candidate, watch: &Watch) -> Result<u64, Halt> {
    let mut count = 0_u64;
    for (_, span) in &candidate.sources {
        for pair in generation.range(span)? {
            pair.map_err(Raw::from)?;
            count += 1;
            if count.is_multiple_of(WATCH_EVERY) {
                watch.check()?;
            }
        }
    }
    Ok(count)
}

/// True if the ranges that the planner makes of `filter` over the index hold the entries of the rows that answer, and
/// no others: one condition, on the first field, whose encoding loses nothing.
fn says_all(filter: &Predicate, index: &IndexDef) -> bool {
    let [condition] = filter.conjuncts() else {
        return false;
    };
    let first = |field: &u16| index.fields.first() == Some(&usize::from(*field));
    match condition {
        Predicate::Compare { field, op: CompareOp::Eq, value } => first(field) && is_scalar(value),
        Predicate::Compare { field, op, value } => {
            first(field) && *op != CompareOp::Ne && is_scalar(value) && *value != Value::Null
        }
        Predicate::Between { field, low, high } => {
            first(field) && [low, high].into_iter().all(|end| is_scalar(end) && *end != Value::Null)
        }
        Predicate::In { field, values } => first(field) && values.iter().all(is_scalar),
        Predicate::Text { field, op: TextOp::StartsWith, ignore_case: false, negated: false, .. } => {
            first(field)
        }
        _ => false,
    }
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::List(_) | Value::Map(_) | Value::Struct(_) | Value::Variant(_))
}
