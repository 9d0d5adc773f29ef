//! Paging through everything costs what one pass costs: steps are counted, not time.

use std::sync::Arc;

use larder_core::packed::Stored;
use larder_core::{
    Batch, CompareOp, Context, FieldDef, IndexDef, IntKind, Key, KeyDef, Kind, Meta, Op, Opening, Order,
    Predicate, Query, Record, Schema, Store, Tail, Timestamp, Value,
};
use larder_harness::runtime::TestRuntime;

use crate::Redb;
use crate::plan::Plan;
use crate::provider::RedbStore;
use crate::reads::Watch;
use crate::scan::{self, Found};

static PERSON: Schema = Schema::new(
    "Person",
    &[FieldDef::new("id", Kind::Int(IntKind::U32)), FieldDef::new("age", Kind::Int(IntKind::I64))],
    KeyDef::natural(&[0]),
)
.indexes(&[IndexDef { name: "age", fields: &[1], unique: false }]);

const ROWS: u32 = 3000;
const PAGE: u64 = 50;

async fn persons() -> RedbStore {
    let opening =
        Opening { runtime: Arc::new(TestRuntime::new(1)), schemas: [&PERSON as &'static Schema].into() };
    let store = Redb::in_memory().start(&opening).await.unwrap();
    let person = |id: u32| {
        // Every age is that of many: a page ends within a group.
        let row = Record::new([Value::Int(id.into()), Value::Int((id % 7).into())].map(Some));
        let meta = Meta::synced(Timestamp::UNIX_EPOCH);
        Op::Put { schema: &PERSON, key: Key::from(id), row: Arc::new(row), meta, tail: Tail::At(0) }
    };
    let batch = Batch { expect: Vec::new(), ops: (0..ROWS).map(person).collect() };
    store.commit(&Context::new(), batch).await.unwrap();
    store
}

/// The steps of all pages of `query`, and the number of their rows.
fn page_through(store: &RedbStore, query: &Query) -> (usize, usize) {
    let slot = store.shared.catalog.slot(&PERSON).unwrap();
    let generation = store.shared.reads.load_full().unwrap();
    let watch = Watch::new(&store.shared.runtime, &Context::new());
    let (mut page, mut steps, mut rows) = (query.clone(), 0, 0);
    loop {
        let plan = Plan::of(slot, &page);
        let answer = scan::run(&generation, slot, &page, &plan, &watch).unwrap();
        steps += answer.steps;
        rows += answer.rows.len();
        match answer.rows.last() {
            Some(Found::Copied(last)) => {
                page.after =
                    Some(Box::new(larder_core::Position::of(&PERSON, &query.order, &*last.row).unwrap()));
            }
            Some(Found::Lent(record)) => drop(Stored::parse(record.value())),
            None => return (steps, rows),
        }
    }
}

// Rules: q-after-cost
#[tokio::test]
async fn paging_costs_what_one_pass_costs() {
    let store = persons().await;
    for order in [
        vec![],
        vec![Order::desc(0)],
        vec![Order::asc(1)],
        vec![Order::desc(1)],
        vec![Order::desc(1), Order::desc(0)],
    ] {
        let query = Query { order, limit: Some(PAGE), ..Query::all() };
        let (steps, rows) = page_through(&store, &query);
        assert_eq!(rows, ROWS as usize, "{:?}", query.order);
        // A lookup counts for four; a page may pass a few entries twice.
        let (most, pages) = (5 * ROWS as usize, (ROWS as usize).div_ceil(PAGE as usize) + 1);
        assert!(steps <= most + 32 * pages, "{steps} steps by {:?}", query.order);
    }
}

/// The steps of `query`, and the number of its rows.
fn steps(store: &RedbStore, query: &Query) -> (usize, usize) {
    let slot = store.shared.catalog.slot(&PERSON).unwrap();
    let generation = store.shared.reads.load_full().unwrap();
    let watch = Watch::new(&store.shared.runtime, &Context::new());
    let plan = Plan::of(slot, query);
    let answer = scan::run(&generation, slot, query, &plan, &watch).unwrap();
    (answer.steps, answer.rows.len())
}

#[tokio::test]
async fn no_way_costs_much_more_than_a_scan() {
    let store = persons().await;
    let rows = ROWS as usize;
    let age = |op, value: i64| Predicate::Compare { field: 1, op, value: Value::Int(value.into()) };
    let few = Query::filter(age(CompareOp::Eq, 9));
    assert_eq!(steps(&store, &few).1, 0);
    assert!(steps(&store, &few).0 < 10);
    // Each of these leads to more rows than are worth looking up.
    let ids = |ids: std::ops::Range<i128>| ids.map(Value::Int).collect::<Vec<_>>();
    for filter in [
        age(CompareOp::Eq, 3),
        age(CompareOp::Ge, 0),
        Predicate::In { field: 1, values: ids(0..20_000) },
        Predicate::Or(vec![age(CompareOp::Eq, 1), age(CompareOp::Eq, 2), age(CompareOp::Eq, 3)]),
    ] {
        let (steps, found) = steps(&store, &Query::filter(filter.clone()));
        assert!(found > 400 && steps < rows * 3 / 2, "{steps} steps to {found} rows");
    }
    // With a limit, walking in order ends early, and gathering does where that is less.
    let walked = Query { order: vec![Order::desc(1)], limit: Some(5), ..Query::all() };
    assert!(steps(&store, &walked).0 < 50);
    let first = Predicate::Compare { field: 0, op: CompareOp::Lt, value: Value::Int(20) };
    let gathered = Query { filter: first, ..walked };
    assert!(steps(&store, &gathered).0 < 300, "{}", steps(&store, &gathered).0);
}
