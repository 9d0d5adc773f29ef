//! Limit and offset.

use larder_core::{CompareOp, Query};

use super::ask::{check_query, compare, int, ordered, put};
use crate::models::{SPECIMEN, specimen, text};
use crate::trial::{Trial, Verdict, numbers};

async fn five(trial: &Trial) {
    put(trial, "low", [5, 4, 3, 2, 1].map(int)).await;
}

fn window(query: Query, offset: u64, limit: Option<u64>) -> Query {
    Query { offset, limit, ..query }
}

pub(super) async fn limit(trial: Trial) -> Verdict {
    five(&trial).await;
    check_query(&trial, &window(Query::all(), 0, Some(2)), &[1, 2]).await;
    check_query(&trial, &window(Query::all(), 0, Some(9)), &[1, 2, 3, 4, 5]).await;
    check_query(&trial, &window(Query::all(), 0, Some(u64::MAX)), &[1, 2, 3, 4, 5]).await;
    Verdict::Passed
}

pub(super) async fn limit_zero_gives_nothing(trial: Trial) -> Verdict {
    five(&trial).await;
    check_query(&trial, &window(Query::all(), 0, Some(0)), &[]).await;
    check_query(&trial, &window(Query::key(1.into()), 0, Some(0)), &[]).await;
    Verdict::Passed
}

pub(super) async fn offset_without_limit(trial: Trial) -> Verdict {
    five(&trial).await;
    check_query(&trial, &window(Query::all(), 3, None), &[4, 5]).await;
    check_query(&trial, &window(Query::all(), 5, None), &[]).await;
    check_query(&trial, &window(Query::all(), u64::MAX, None), &[]).await;
    check_query(&trial, &window(Query::key(1.into()), 1, None), &[]).await;
    Verdict::Passed
}

pub(super) async fn offset_and_limit(trial: Trial) -> Verdict {
    five(&trial).await;
    check_query(&trial, &window(Query::all(), 1, Some(2)), &[2, 3]).await;
    check_query(&trial, &window(Query::all(), 4, Some(2)), &[5]).await;
    Verdict::Passed
}

pub(super) async fn after_filter_and_order(trial: Trial) -> Verdict {
    five(&trial).await;
    let filter = compare("low", CompareOp::Lt, int(5));
    let query = Query { filter, ..ordered(&["low"]) };
    check_query(&trial, &window(query.clone(), 0, Some(2)), &[5, 4]).await;
    check_query(&trial, &window(query, 1, Some(2)), &[4, 3]).await;
    check_query(&trial, &window(ordered(&["-low"]), 1, Some(2)), &[2, 3]).await;
    Verdict::Passed
}

pub(super) async fn windows_of_equal_rows_cover_all_once(trial: Trial) -> Verdict {
    put(&trial, "title", vec![text("same"); 25]).await;
    let mut found = Vec::new();
    for offset in (0..25).step_by(4) {
        found.extend(numbers(&trial.keys(&SPECIMEN, &window(ordered(&["-title"]), offset, Some(4))).await));
    }
    assert_eq!(found, (1..=25).collect::<Vec<_>>());
    Verdict::Passed
}

pub(super) async fn more_rows_than_a_page(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, (1..=130).map(specimen)).await;
    check_query(&trial, &Query::all(), &(1..=130).collect::<Vec<_>>()).await;
    check_query(&trial, &window(Query::all(), 95, Some(10)), &(96..=105).collect::<Vec<_>>()).await;
    let even = super::ask::eq("flag", larder_core::Value::Bool(true));
    check_query(&trial, &window(Query::filter(even), 60, None), &[122, 124, 126, 128, 130]).await;
    Verdict::Passed
}
