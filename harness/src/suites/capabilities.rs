//! What a provider says of itself, and of its pages, is so.

use larder_core::{CompareOp, Done, Operation, Page, Predicate, Pushdown, Query, TextOp, Value};

use super::ask::{by, compare, eq, holds, int, is_in, put};
use crate::models::{SPECIMEN, specimen, text, with};
use crate::oracle;
use crate::plain::{Plain, plain};
use crate::trial::{Trial, Verdict};

/// Queries of every kind, over specimens 1 to 12.
pub(super) fn queries() -> Vec<Query> {
    let filters = [
        Predicate::All,
        eq("title", text("even")),
        compare("low", CompareOp::Gt, int(4)),
        is_in("low", [int(2), int(3)]),
        holds("title", TextOp::StartsWith, "e"),
        Predicate::Not(Box::new(eq("opt_int", Value::Null))),
        Predicate::Or(vec![eq("low", int(1)), eq("flag", Value::Bool(true))]),
    ];
    let orders = [Vec::new(), by(&["title"]), by(&["-low"])];
    let windows = [(0, None), (0, Some(2)), (3, Some(4))];
    let mut queries = Vec::new();
    for filter in filters {
        for order in &orders {
            for (offset, limit) in windows {
                queries.push(Query { order: order.clone(), offset, limit, ..Query::filter(filter.clone()) });
            }
        }
    }
    queries
}

pub(super) async fn twelve(trial: &Trial) -> Vec<Plain> {
    let rows: Vec<_> = (1..=12)
        .map(|id| with(&SPECIMEN, specimen(id), "title", text(if id % 2 == 0 { "even" } else { "odd" })))
        .collect();
    let plains = rows.iter().map(|row| plain(&SPECIMEN, row)).collect();
    trial.put(&SPECIMEN, rows).await;
    plains
}

/// All pages of an answer as they come, and what they claim.
async fn raw(trial: &Trial, query: &Query) -> (Vec<Plain>, Done) {
    let (mut rows, mut cx) = (Vec::new(), trial.cx.clone());
    loop {
        let page: Page = trial.provider().get(&cx, &SPECIMEN, query).await.expect("a page");
        rows.extend(page.rows.iter().map(|row| plain(&SPECIMEN, &*row.row)));
        match page.next {
            Some(next) => cx = trial.cx.clone().resume(next),
            None => return (rows, page.done),
        }
    }
}

pub(super) async fn what_a_page_claims_is_done(trial: Trial) -> Verdict {
    let stored = twelve(&trial).await;
    for query in queries() {
        let (found, done) = raw(&trial, &query).await;
        let all = Query { order: query.order.clone(), ..Query::all() };
        let whole: Vec<&Plain> =
            oracle::answer(&SPECIMEN, &stored, &all).iter().map(|at| &stored[*at]).collect();
        if done.filter {
            assert!(
                found.iter().all(|row| oracle::meets(&SPECIMEN, row, &query.filter)),
                "not filtered: {query:?}"
            );
        }
        if done.order {
            let places: Vec<_> =
                found.iter().map(|row| whole.iter().position(|other| *other == row)).collect();
            assert!(places.is_sorted_by(|a, b| a < b), "not ordered: {query:?}");
        }
        if done.window {
            let count = oracle::answer(&SPECIMEN, &stored, &query).len();
            assert_eq!(found.len(), count, "not cut to the window: {query:?}");
        }
        // What is left to be done can be done only with all the rows that it takes.
        let needed =
            oracle::answer(&SPECIMEN, &stored, &if done.window { query.clone() } else { query.unlimited() });
        assert!(needed.iter().all(|at| found.contains(&stored[*at])), "rows are missing: {query:?}");
    }
    Verdict::Passed
}

pub(super) async fn what_it_pushes_down_it_claims(trial: Trial) -> Verdict {
    twelve(&trial).await;
    let capabilities = trial.capabilities();
    for query in queries() {
        let (_, done) = raw(&trial, &query).await;
        assert!(done.filter || capabilities.filter != Pushdown::All, "filters everything, but not {query:?}");
        assert!(done.order || !capabilities.order, "orders everything, but not {query:?}");
        let whole = done.filter && done.order;
        assert!(done.window || !(capabilities.window && whole), "has windows, but not {query:?}");
    }
    Verdict::Passed
}

pub(super) async fn a_total_is_what_comes(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, (1..=30).map(specimen)).await;
    let narrow = Query::filter(compare("low", CompareOp::Gt, int(4)));
    for query in queries().into_iter().chain([Query::all(), narrow]) {
        let (mut count, mut totals, mut cx) = (0, Vec::new(), trial.cx.clone());
        loop {
            let page = trial.provider().get(&cx, &SPECIMEN, &query).await.expect("a page");
            count += (page.rows.len() + page.misfits.len()) as u64;
            totals.extend(page.total);
            let Some(next) = page.next else { break };
            cx = trial.cx.clone().resume(next);
        }
        let right = totals.iter().all(|total| *total == count);
        assert!(right, "{count} rows come, but {totals:?} are told: {query:?}");
    }
    Verdict::Passed
}

pub(super) async fn what_it_can_not_do_it_refuses(trial: Trial) -> Verdict {
    put(&trial, "low", [int(1), int(2)]).await;
    let mut refusals = Vec::new();
    for operation in [Operation::Insert, Operation::Update, Operation::Upsert, Operation::Delete] {
        if let Some(Verdict::Refused(why)) = trial.refuses(operation, &SPECIMEN, &specimen(1)).await {
            refusals.push(why);
        }
    }
    if refusals.is_empty() { Verdict::Passed } else { Verdict::Refused(refusals.join(", ")) }
}
