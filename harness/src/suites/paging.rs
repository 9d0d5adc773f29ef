//! Going on after a place in the order.

use larder_core::{Cursor, ErrorKind, Key, Position, Predicate, Query, Value};

use super::ask::{check_query, compare, int, ordered, put};
use crate::models::{SPECIMEN, specimen, text, with};
use crate::trial::{Trial, Verdict, fails, numbers};

/// Titles that tie, numbers that are missing, floats of both signs.
async fn ten(trial: &Trial) {
    let rows = (1..=10).map(|id| {
        let row = with(&SPECIMEN, specimen(id), "title", text(["b", "a", "c"][id as usize % 3]));
        let row = with(&SPECIMEN, row, "double", Value::Float([0.0, -0.0, -1.5, 2.0][id as usize % 4]));
        let number = if id % 4 == 0 { Value::Null } else { int((id % 3).into()) };
        with(&SPECIMEN, row, "opt_int", number)
    });
    trial.put(&SPECIMEN, rows.collect::<Vec<_>>()).await;
}

/// The query that goes on behind the last of these rows, by way of the cursor's text.
async fn behind(trial: &Trial, query: &Query) -> (Vec<i128>, Option<Query>) {
    let rows = trial.select(&SPECIMEN, query).await.expect("a page");
    let keys: Vec<Key> = rows.iter().map(|row| SPECIMEN.key_of(&*row.row).expect("a key")).collect();
    let next = rows.last().map(|row| {
        let cursor = query.cursor(&SPECIMEN, &*row.row).expect("a cursor").to_string();
        let cursor: Cursor = cursor.parse().expect("the same cursor");
        query.clone().continued(&SPECIMEN, &cursor).expect("the query that it was made from")
    });
    (numbers(&keys), next)
}

/// All pages of three rows.
async fn pages(trial: &Trial, query: Query) -> Vec<i128> {
    let (mut found, mut next) = (Vec::new(), Some(Query { limit: Some(3), ..query }));
    while let Some(query) = next.take() {
        let (keys, behind) = behind(trial, &query).await;
        found.extend(keys);
        next = behind;
    }
    found
}

pub(super) async fn it_goes_on_behind_the_last_row(trial: Trial) -> Verdict {
    put(&trial, "low", [5, 4, 3, 2, 1].map(int)).await;
    let place = |low, id: i64| Some(Box::new(Position { values: vec![int(low)], key: id.into() }));
    check_query(&trial, &Query { after: place(2, 4), ..ordered(&["low"]) }, &[3, 2, 1]).await;
    check_query(&trial, &Query { after: place(2, 4), limit: Some(1), ..ordered(&["low"]) }, &[3]).await;
    check_query(&trial, &Query { after: place(2, 4), offset: 1, ..ordered(&["low"]) }, &[2, 1]).await;
    check_query(&trial, &Query { after: place(4, 2), ..ordered(&["-low"]) }, &[3, 4, 5]).await;
    check_query(&trial, &Query { after: place(1, 5), ..ordered(&["-low"]) }, &[]).await;
    let filter = compare("low", larder_core::CompareOp::Gt, int(3));
    check_query(&trial, &Query { filter, after: place(2, 4), ..ordered(&["low"]) }, &[2, 1]).await;
    Verdict::Passed
}

pub(super) async fn pages_cover_all_once(trial: Trial) -> Verdict {
    ten(&trial).await;
    for order in
        [&[][..], &["title"], &["-title"], &["opt_int"], &["-opt_int"], &["double"], &["title", "-opt_int"]]
    {
        let whole = numbers(&trial.keys(&SPECIMEN, &ordered(order)).await);
        assert_eq!(pages(&trial, ordered(order)).await, whole, "{order:?}");
        assert_eq!(whole.len(), 10);
    }
    Verdict::Passed
}

pub(super) async fn ties_are_gone_on_from_by_key(trial: Trial) -> Verdict {
    put(&trial, "title", vec![text("same"); 8]).await;
    assert_eq!(pages(&trial, ordered(&["-title"])).await, [1, 2, 3, 4, 5, 6, 7, 8]);
    let place = Position { values: vec![text("same")], key: 5.into() };
    let query = Query { after: Some(Box::new(place)), ..ordered(&["title"]) };
    check_query(&trial, &query, &[6, 7, 8]).await;
    Verdict::Passed
}

pub(super) async fn nulls_have_a_place(trial: Trial) -> Verdict {
    put(&trial, "opt_int", [int(1), Value::Null, int(0), Value::Null]).await;
    let place = |value, id: i64| Some(Box::new(Position { values: vec![value], key: id.into() }));
    check_query(&trial, &Query { after: place(Value::Null, 2), ..ordered(&["opt_int"]) }, &[4, 3, 1]).await;
    check_query(&trial, &Query { after: place(Value::Null, 2), ..ordered(&["-opt_int"]) }, &[4]).await;
    check_query(&trial, &Query { after: place(int(0), 3), ..ordered(&["-opt_int"]) }, &[2, 4]).await;
    Verdict::Passed
}

pub(super) async fn what_is_written_meanwhile_moves_no_other_row(trial: Trial) -> Verdict {
    put(&trial, "low", [10, 20, 30, 40, 50, 60].map(int)).await;
    let query = Query { limit: Some(2), ..ordered(&["low"]) };
    let (first, next) = behind(&trial, &query).await;
    assert_eq!(first, [1, 2]);
    // One comes in before the place, and one behind it; the row that the place was made from may go.
    for (id, low) in [(7, 5), (8, 35)] {
        trial.put(&SPECIMEN, [with(&SPECIMEN, specimen(id), "low", int(low))]).await;
    }
    if trial.capabilities().delete {
        trial.apply(larder_core::Operation::Delete, &SPECIMEN, &specimen(2)).await.expect("a delete");
    }
    let (second, next) = behind(&trial, &next.expect("more")).await;
    assert_eq!(second, [3, 8]);
    let (third, next) = behind(&trial, &next.expect("more")).await;
    assert_eq!(third, [4, 5]);
    assert_eq!(behind(&trial, &next.expect("more")).await.0, [6]);
    Verdict::Passed
}

pub(super) async fn a_place_in_another_order_is_invalid(trial: Trial) -> Verdict {
    put(&trial, "low", [1, 2].map(int)).await;
    let values = [vec![], vec![int(1), int(2)], vec![text("1")]];
    for values in values {
        let place = Position { values, key: 1.into() };
        let query = Query { after: Some(Box::new(place)), ..ordered(&["low"]) };
        fails(trial.provider().get(&trial.cx, &SPECIMEN, &query).await, ErrorKind::Invalid);
    }
    let place = Position { values: vec![int(1)], key: Key::Composite([1.into(), 2.into()].into()) };
    let query = Query { after: Some(Box::new(place)), ..ordered(&["low"]) };
    fails(trial.provider().get(&trial.cx, &SPECIMEN, &query).await, ErrorKind::Invalid);
    Verdict::Passed
}

pub(super) async fn a_cursor_of_another_query_or_version_is_invalid(trial: Trial) -> Verdict {
    put(&trial, "low", [1, 2].map(int)).await;
    let query = ordered(&["low"]);
    let rows = trial.select(&SPECIMEN, &query).await.expect("rows");
    let cursor = query.cursor(&SPECIMEN, &*rows[0].row).expect("a cursor");
    let filtered = Query { filter: compare("low", larder_core::CompareOp::Gt, int(0)), ..query.clone() };
    for other in [filtered, ordered(&["-low"]), ordered(&["high"]), Query::filter(Predicate::none())] {
        fails(other.continued(&SPECIMEN, &cursor), ErrorKind::Invalid);
    }
    static LATER: larder_core::Schema =
        larder_core::Schema::new("Specimen", SPECIMEN.fields, larder_core::KeyDef::natural(&[0])).version(2);
    fails(query.clone().continued(&LATER, &cursor), ErrorKind::Invalid);
    assert!(query.continued(&SPECIMEN, &cursor).is_ok());
    Verdict::Passed
}
