//! Which queries are included in which: what lets the answer to one be found in the answer to another.

mod implies;
mod normal;
#[cfg(test)]
mod tests;

pub(crate) use implies::implies;
pub(crate) use normal::normal;

use larder_core::{Query, Schema};

/// The query as it is remembered: conditions in one form, and without what changes nothing about its rows.
pub(crate) fn remembered(query: &Query) -> Query {
    Query { filter: normal(&query.filter), deny_scan: false, ..query.clone() }
}

/// Whether the complete answer to `known` holds every row that `query` asks for. Both are [`remembered`].
///
/// - A known query without limit and from the beginning includes every query whose condition implies its own,
///   whatever that one's order and window.
/// - A known query with a limit, or from a place on, includes those of the same condition, order and place whose window
///   ends no later.
///
/// Sound and not complete: `false` may mean "can't tell", and costs a fetch.
pub(crate) fn includes(schema: &Schema, known: &Query, query: &Query) -> bool {
    let whole = known.limit.is_none() && known.offset == 0;
    if whole && known.after.is_none() {
        return implies(schema, &query.filter, &known.filter);
    }
    let same = known.filter == query.filter && known.order == query.order && known.after == query.after;
    let end = |query: &Query| query.limit.map(|limit| limit.saturating_add(query.offset));
    same && known.offset <= query.offset
        && match (end(known), end(query)) {
            (None, _) => true,
            (Some(known), Some(query)) => query <= known,
            (Some(_), None) => false,
        }
}
