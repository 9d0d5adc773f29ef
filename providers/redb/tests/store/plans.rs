//! Which way the store goes, and that it says so.

use larder_core::query::plan::{Access, Ordering, Served};
use larder_core::{
    CompareOp, ErrorKind, FieldDef, IndexDef, IntKind, Key, KeyDef, Kind, Op, Order, Plan, Predicate, Query,
    Record, Schema, Store, TextOp, Value,
};
use larder_redb::Redb;

use crate::support::*;

/// `id`, `small` of 1,000 values, `large` of 4, `word` of 100, `free` without an index.
static THING: Schema = Schema::new(
    "Thing",
    &[
        FieldDef::new("id", Kind::Int(IntKind::U32)),
        FieldDef::new("small", Kind::Int(IntKind::U32)),
        FieldDef::new("large", Kind::Int(IntKind::U32)),
        FieldDef::new("word", Kind::Option(&Kind::Str)),
        FieldDef::new("free", Kind::Int(IntKind::U32)),
    ],
    KeyDef::natural(&[0]),
)
.indexes(&[
    IndexDef { name: "small", fields: &[1], unique: false },
    IndexDef { name: "large_small", fields: &[2, 1], unique: false },
    IndexDef { name: "word", fields: &[3], unique: false },
]);

const THINGS: u32 = 4000;

fn thing(id: u32) -> Op {
    let word = text(&format!("w{:02}", id / 40));
    let values = [id, id % 1000, id % 4, 0, id % 10].map(|v| Value::Int(v.into()));
    let [a, b, c, _, e] = values;
    put(&THING, Record::new([a, b, c, word, e].map(Some)))
}

async fn things() -> std::sync::Arc<dyn Store> {
    let store = open_on(TestRuntime::inline(), &Redb::in_memory(), &[&THING]).await.unwrap();
    commit(&*store, (0..THINGS).map(thing)).await.unwrap();
    store
}

fn is(field: u16, value: u32) -> Predicate {
    Predicate::Compare { field, op: CompareOp::Eq, value: Value::Int(value.into()) }
}

fn word(start: &str) -> Predicate {
    Predicate::Text {
        field: 3,
        op: TextOp::StartsWith,
        needle: start.into(),
        ignore_case: false,
        negated: false,
    }
}

fn all(conditions: impl IntoIterator<Item = Predicate>) -> Query {
    Query::filter(Predicate::And(conditions.into_iter().collect()))
}

fn any(conditions: impl IntoIterator<Item = Predicate>) -> Predicate {
    Predicate::Or(conditions.into_iter().collect())
}

fn by(field: u16, limit: u64) -> Query {
    Query { order: vec![Order::asc(field)], limit: Some(limit), ..Query::all() }
}

fn first(plan: &Plan) -> String {
    plan.to_string().lines().next().unwrap_or_default().to_owned()
}

fn ways() -> Vec<(Query, &'static str)> {
    vec![
        // nothing
        (Query { limit: Some(0), ..Query::all() }, "nothing, at most 0"),
        // none of none
        (Query::filter(Predicate::In { field: 4, values: vec![] }), "nothing, at most 0"),
        // a key
        (Query::key(Key::from(3)), "one key, at most 1"),
        // the key
        (Query::filter(is(0, 3)), "one key, at most 1"),
        // keys
        (Query::filter(Predicate::Keys((0..9).map(Key::from).collect())), "9 keys, at most 9"),
        // a range of keys
        (
            Query::filter(Predicate::Between { field: 0, low: Value::Int(3), high: Value::Int(5) }),
            "range of keys, at most 4000",
        ),
        // an index
        (Query::filter(is(1, 3)), "index small (small), at most 4"),
        // a prefix
        (Query::filter(word("w07")), "index word (word), at most 40"),
        // the longer index
        (all([is(2, 3), is(1, 3)]), "index large_small (large, small), at most 4"),
        // both
        (
            all([Predicate::Between { field: 1, low: Value::Int(0), high: Value::Int(19) }, word("w00")]),
            "index small (small) and index word (word), at most 20",
        ),
        // reading the other index would cost more than the lookups
        (all([is(1, 20), word("w0")]), "index small (small), at most 4"),
        // the selective one
        (all([is(1, 20), is(4, 0)]), "index small (small), at most 4"),
        // either
        (
            Query::filter(any([is(1, 20), word("w07"), is(0, 7)])),
            "index small (small) or index word (word) or one key, at most 45",
        ),
        // either within
        (all([is(4, 0), any([is(1, 20), is(1, 21)])]), "index small (small), at most 8"),
        // either without
        (Query::filter(any([is(1, 20), is(4, 0)])), "scan, at most 4000"),
        // too many
        (Query::filter(is(2, 3)), "scan, at most 4000"),
        // no index
        (Query::filter(is(4, 3)), "scan, at most 4000"),
        // everything
        (Query::all(), "scan, at most 4000"),
        // in order
        (by(3, 10), "index word (word), at most 4000"),
        // few and sorted
        (Query { filter: is(1, 20), ..by(3, 10) }, "index small (small), at most 4"),
        // many and walked
        (Query { filter: is(2, 3), ..by(3, 10) }, "index word (word), at most 4000"),
        // no walk without limit
        (Query { limit: None, ..by(3, 10) }, "scan, at most 4000"),
    ]
}

// Rules: q-plan-alike
#[tokio::test]
async fn the_way_that_is_taken() {
    let store = things().await;
    for (query, expected) in ways() {
        check(&*store, &query, expected).await;
    }
}

async fn check(store: &dyn Store, query: &Query, expected: &str) {
    let plan = store.explain(&THING, query).unwrap();
    // How many rows there are is known roughly: other records are counted as well.
    let whole = plan.estimate.filter(|most| (u64::from(THINGS)..u64::from(THINGS) + 10).contains(most));
    let told = whole.map_or(first(&plan), |most| first(&plan).replace(&most.to_string(), "4000"));
    assert_eq!(told, expected, "{plan}");
    // It is a way to the right rows.
    let found = keys(store, &THING, query).await;
    let whole = get(store, &THING, &Query::all()).await.unwrap();
    let expected = query.finish(&THING, larder_core::Done::default(), whole).unwrap();
    assert_eq!(found, expected.iter().map(|row| key_of(row, &THING)).collect::<Vec<_>>());
}

// Rules: q-plan
#[tokio::test]
async fn a_plan_says_what_serves_what() {
    let store = things().await;
    let query = Query { order: vec![Order::desc(3)], ..all([is(1, 20), is(4, 0), is(2, 0)]) };
    let plan = store.explain(&THING, &query).unwrap();
    let served: Vec<Served> = plan.conditions.iter().map(|one| one.served.clone()).collect();
    let index = || Served::Index(vec!["large_small".to_owned()]);
    assert_eq!(served, [index(), Served::Unindexed, index()], "{plan}");
    assert_eq!(plan.order, Ordering::Sorted);
    assert_eq!(
        plan.to_string(),
        "index large_small (large, small), at most 4\n  small eq 20: by index large_small\n  \
         free eq 0: row by row, no index\n  large eq 0: by index large_small\n  order: sorted"
    );
    // What an index could serve, but does not.
    let walked = Query { filter: is(2, 3), ..by(3, 10) };
    assert_eq!(store.explain(&THING, &walked).unwrap().conditions[0].served, Served::Residual);
}

// Rules: q-deny-scan
#[tokio::test]
async fn a_scan_that_is_denied_says_which_field_lacks_an_index() {
    let store = things().await;
    let deny = |query: Query| Query { deny_scan: true, ..query };
    for query in [Query::filter(is(4, 3)), Query::filter(any([is(1, 20), is(4, 0)]))] {
        let query = deny(query);
        for error in [
            get(&*store, &THING, &query).await.unwrap_err(),
            lent(&*store, &THING, &query).unwrap_err(),
            store.exists(&cx(), &THING, &query).await.unwrap_err(),
            store.count(&cx(), &THING, &query).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("no index serves free"), "{error}");
        }
    }
    assert_eq!(get(&*store, &THING, &deny(Query::all())).await.unwrap_err().kind(), ErrorKind::Unsupported);
    // An index that leads to many rows is still no scan.
    let many = deny(Query::filter(is(2, 3)));
    assert!(matches!(store.explain(&THING, &many).unwrap().access, Access::Index { .. }));
    assert_eq!(get(&*store, &THING, &many).await.unwrap().len(), 1000);
    assert_eq!(get(&*store, &THING, &deny(by(3, 10))).await.unwrap().len(), 10);
}

#[tokio::test]
async fn counting_agrees_with_getting() {
    let store = things().await;
    let queries = [
        Query::filter(is(1, 3)),
        all([is(1, 20), is(4, 0)]),
        Query::filter(any([is(1, 20), word("w07")])),
        Query { limit: Some(3), offset: 2, ..Query::filter(word("w07")) },
        Query::filter(is(2, 3)),
        Query::filter(is(4, 3)),
    ];
    for query in queries {
        let count = store.count(&cx(), &THING, &query).await.unwrap();
        assert_eq!(count, get(&*store, &THING, &query).await.unwrap().len() as u64, "{query:?}");
    }
}

// Rules: m-key-long
#[tokio::test]
async fn what_is_too_long_is_refused_and_nothing_is_written() {
    static LONG: Schema = Schema::new(
        "Long",
        &[FieldDef::new("id", Kind::Str), FieldDef::new("note", Kind::Str)],
        KeyDef::natural(&[0]),
    )
    .indexes(&[IndexDef { name: "note", fields: &[1], unique: false }]);
    let store = open_on(TestRuntime::inline(), &Redb::in_memory(), &[&LONG]).await.unwrap();
    let row = |id: usize, note: usize| {
        put(&LONG, Record::new([text(&"k".repeat(id)), text(&"n".repeat(note))].map(Some)))
    };
    let most = larder_core::ordered::LONGEST;
    for (long, why) in [(row(most, 1), "the key"), (row(1, most), "the index note")] {
        let error = commit(&*store, [row(2, 2), long]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(why) && error.to_string().len() < 300, "{error}");
        assert!(get(&*store, &LONG, &Query::all()).await.unwrap().is_empty());
    }
    commit(&*store, [row(1000, most / 2)]).await.unwrap();
}
