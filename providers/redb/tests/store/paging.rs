//! Pages by cursor: no row that stays is passed over or comes twice, whatever is written meanwhile.

use std::cmp::Ordering;

use larder_core::query::eval;
use larder_core::{Key, Op, Order, PageRow, Predicate, Query, Record, Schema, Store};
use larder_redb::Redb;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::queries::{SCHEMAS, brute_force, copies, row};
use crate::support::*;

/// All pages of `query`; `between` is called after each.
async fn pages(
    store: &dyn Store,
    schema: &'static Schema,
    query: &Query,
    mut between: impl AsyncFnMut(),
) -> Vec<PageRow> {
    let (mut all, mut page) = (Vec::new(), query.clone());
    loop {
        let rows = get(store, schema, &page).await.unwrap();
        let Some(last) = rows.last() else { return all };
        // A cursor travels as text.
        let cursor = query.cursor(schema, &*last.row).unwrap().to_string().parse().unwrap();
        page = query.clone().continued(schema, &cursor).unwrap();
        all.extend(rows);
        between().await;
    }
}

fn order() -> impl Strategy<Value = Vec<Order>> {
    let ways: [&[u16]; 9] = [&[], &[2, 4], &[4], &[3], &[5, 7], &[0], &[1], &[6], &[2, 0]];
    (prop::sample::select(ways.to_vec()), any::<bool>(), any::<bool>()).prop_map(|(fields, falls, mixed)| {
        let one = |(at, field): (usize, &u16)| {
            if falls != (mixed && at > 0) { Order::desc(*field) } else { Order::asc(*field) }
        };
        fields.iter().enumerate().map(one).collect()
    })
}

fn key(schema: &'static Schema, row: &Record) -> Key {
    schema.key_of(row).unwrap()
}

async fn check(
    schema: &'static Schema,
    rows: &[Record],
    writes: &[(bool, Record)],
    query: &Query,
) -> Result<(), TestCaseError> {
    let store = open_on(TestRuntime::inline(), &Redb::in_memory(), &[schema]).await.unwrap();
    let mut kept: Vec<Record> = Vec::new();
    for row in rows {
        kept.retain(|known| key(schema, known) != key(schema, row));
        kept.push(row.clone());
        commit(&*store, [put(schema, row.clone())]).await.unwrap();
    }
    kept.retain(|known| writes.iter().all(|(_, row)| key(schema, row) != key(schema, known)));
    let mut writes = writes.iter();
    let came = pages(&*store, schema, query, async || {
        if let Some((removed, row)) = writes.next() {
            let op = if *removed {
                Op::Remove { schema, key: key(schema, row) }
            } else {
                put(schema, row.clone())
            };
            commit(&*store, [op]).await.unwrap();
        }
    })
    .await;
    for pair in came.windows(2) {
        let ordering = eval::compare(schema, &query.order, &*pair[0].row, &*pair[1].row).unwrap();
        prop_assert_eq!(ordering, Ordering::Less, "{:?}", query);
    }
    let came = copies(schema, &came);
    for row in brute_force(schema, &query.unlimited(), &kept) {
        prop_assert_eq!(came.iter().filter(|one| **one == row).count(), 1, "{:?} of {:?}", row, query);
    }
    Ok(())
}

// Rules: q-after-stable
#[test]
fn a_row_that_stays_comes_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for schema in SCHEMAS {
        let mut runner =
            TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
        let cases = (
            prop::collection::vec(row(), 0..40),
            prop::collection::vec((any::<bool>(), row()), 0..12),
            order(),
            1..5_u64,
        );
        let checked = runner.run(&cases, |(rows, writes, order, limit)| {
            let query = Query { order, limit: Some(limit), ..Query::all() };
            runtime.block_on(check(schema, &rows, &writes, &query))
        });
        checked.unwrap();
    }
}

#[tokio::test]
async fn whether_there_is_more_is_asked_by_a_place_too() {
    let store = persons().await;
    save(&*store, (0..3).map(|id| person(id, "x", "", i64::from(id)))).await;
    let by_age = Query { order: vec![Order::desc(3)], ..where_(Predicate::All) };
    let rows = get(&*store, &PERSON, &by_age).await.unwrap();
    for (at, row) in rows.iter().enumerate() {
        let cursor = by_age.cursor(&PERSON, &*row.row).unwrap();
        let rest = by_age.clone().continued(&PERSON, &cursor).unwrap();
        let presence = store.exists(&cx(), &PERSON, &rest).await.unwrap();
        assert_eq!(presence == larder_core::Presence::Present, at < 2, "after {at}");
    }
}
