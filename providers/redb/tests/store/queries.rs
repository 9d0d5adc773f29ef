//! Whatever a plan does, the answer is that of the one evaluator over all rows.

use std::sync::Arc;

use larder_core::query::plan::Access;
use larder_core::{
    CompareOp, Direction, Done, FieldDef, IndexDef, IntKind, Key, KeyDef, Kind, Meta, Order, PageRow,
    Position, Predicate, Presence, Query, Record, Schema, Store, TextOp, Timestamp, Value,
};
use larder_redb::Redb;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::*;

pub(crate) const FIELDS: &[FieldDef] = &[
    FieldDef::new("id", Kind::Int(IntKind::I64)),
    FieldDef::new("at", Kind::Time),
    FieldDef::new("name", Kind::Str),
    FieldDef::new("nick", Kind::Option(&Kind::Str)),
    FieldDef::new("age", Kind::Option(&Kind::Int(IntKind::I64))),
    FieldDef::new("score", Kind::F64),
    FieldDef::new("tags", Kind::List(&Kind::F64)),
    FieldDef::new("on", Kind::Bool),
];

const INDEXES: &[IndexDef] = &[
    IndexDef { name: "name_age", fields: &[2, 4], unique: false },
    IndexDef { name: "nick", fields: &[3], unique: false },
    IndexDef { name: "age", fields: &[4], unique: false },
    IndexDef { name: "score_on", fields: &[5, 7], unique: false },
    IndexDef { name: "tags", fields: &[6], unique: false },
    IndexDef { name: "at", fields: &[1], unique: false },
];

/// The same rows under four kinds of keys.
pub(crate) static BY_NUMBER: Schema = Schema::new("ByNumber", FIELDS, KeyDef::natural(&[0])).indexes(INDEXES);
static BY_MOMENT: Schema = Schema::new("ByMoment", FIELDS, KeyDef::natural(&[1])).indexes(INDEXES);
static BY_BOTH: Schema = Schema::new("ByBoth", FIELDS, KeyDef::natural(&[2, 0])).indexes(INDEXES);
static BY_THREE: Schema = Schema::new("ByThree", FIELDS, KeyDef::natural(&[7, 1, 0])).indexes(INDEXES);
pub(crate) const SCHEMAS: [&Schema; 4] = [&BY_NUMBER, &BY_MOMENT, &BY_BOTH, &BY_THREE];

fn moment() -> impl Strategy<Value = Value> {
    (-3_i64..3).prop_map(|at| Value::Time(Timestamp::new(at, if at < 0 { -5 } else { 5 }).unwrap()))
}

fn word() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["", "a", "ab", "abc", "b", "a\0", "a\0b", "é", "A", "z"]).prop_map(text)
}

fn number() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![-300_i128, -1, 0, 1, 2, 255, 256, 70_000]).prop_map(Value::Int)
}

fn float() -> impl Strategy<Value = Value> {
    let floats = vec![0.0, -0.0, 1.5, -1.5, f64::NAN, -f64::NAN, f64::INFINITY, f64::MIN];
    prop::sample::select(floats).prop_map(Value::Float)
}

fn or_null(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 4 => value]
}

fn floats() -> impl Strategy<Value = Value> {
    prop::collection::vec(float(), 0..3).prop_map(Value::List)
}

pub(crate) fn row() -> impl Strategy<Value = Record> {
    let values = (
        (-4_i128..12).prop_map(Value::Int),
        moment(),
        word(),
        or_null(word()),
        or_null(number()),
        float(),
        floats(),
        any::<bool>().prop_map(Value::Bool),
    );
    values.prop_map(|(a, b, c, d, e, f, g, h)| Record::new([a, b, c, d, e, f, g, h].map(Some)))
}

/// Mostly a value of the field's type; sometimes of another.
fn operand(field: u16) -> BoxedStrategy<Value> {
    let own = match field {
        0 => (-5_i128..13).prop_map(Value::Int).boxed(),
        1 => moment().boxed(),
        2 | 3 => word().boxed(),
        4 => number().boxed(),
        5 => float().boxed(),
        6 => floats().boxed(),
        _ => any::<bool>().prop_map(Value::Bool).boxed(),
    };
    prop_oneof![60 => own, 1 => Just(Value::Null), 1 => number(), 1 => word(), 1 => moment(), 1 => float()]
        .boxed()
}

fn key(schema: &'static Schema) -> impl Strategy<Value = Key> {
    row().prop_map(|row| schema.key_of(&row).unwrap())
}

fn leaf(schema: &'static Schema) -> impl Strategy<Value = Predicate> {
    let ops = vec![CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];
    let texts = vec![TextOp::Contains, TextOp::StartsWith, TextOp::EndsWith];
    let field = 0..FIELDS.len() as u16;
    let compare = (field.clone(), prop::sample::select(ops)).prop_flat_map(|(field, op)| {
        operand(field).prop_map(move |value| Predicate::Compare { field, op, value })
    });
    let equal = field.clone().prop_flat_map(|field| {
        operand(field).prop_map(move |value| Predicate::Compare { field, op: CompareOp::Eq, value })
    });
    let between = field.clone().prop_flat_map(|field| {
        (operand(field), operand(field)).prop_map(move |(low, high)| Predicate::Between { field, low, high })
    });
    let among = field.clone().prop_flat_map(|field| {
        prop::collection::vec(operand(field), 0..4).prop_map(move |values| Predicate::In { field, values })
    });
    let like = (2..4_u16, prop::sample::select(texts), word(), any::<bool>(), any::<bool>()).prop_map(
        |(field, op, needle, ignore_case, negated)| {
            let Value::Str(needle) = needle else { unreachable!() };
            Predicate::Text { field, op, needle, ignore_case, negated }
        },
    );
    let member =
        (float(), any::<bool>()).prop_map(|(value, negated)| Predicate::Member { field: 6, value, negated });
    prop_oneof![
        4 => compare,
        4 => equal,
        2 => between,
        2 => among,
        2 => like,
        1 => member,
        1 => Just(Predicate::All),
        1 => key(schema).prop_map(Predicate::Key),
        1 => prop::collection::vec(key(schema), 0..5).prop_map(Predicate::Keys),
    ]
}

fn filter(schema: &'static Schema) -> impl Strategy<Value = Predicate> {
    let tree = leaf(schema).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::Or),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::And),
            inner.prop_map(|one| Predicate::Not(Box::new(one))),
        ]
    });
    prop_oneof![
        3 => prop::collection::vec(leaf(schema), 1..4).prop_map(Predicate::And),
        2 => leaf(schema),
        1 => tree,
    ]
}

pub(crate) fn query(schema: &'static Schema) -> impl Strategy<Value = Query> {
    let direction = prop::sample::select(vec![Direction::Ascending, Direction::Descending]);
    let any_order = (0..FIELDS.len() as u16, direction.clone())
        .prop_map(|(field, direction)| Order { direction, ..Order::asc(field) });
    // The orders that indexes and keys give, in one direction.
    let ways = vec![
        vec![2, 4],
        vec![4],
        vec![2],
        vec![3],
        vec![5, 7],
        vec![0],
        vec![1],
        vec![2, 0],
        vec![7, 1, 0],
        vec![4, 0],
    ];
    let given = (prop::sample::select(ways), direction).prop_map(|(fields, direction)| {
        fields.into_iter().map(|field| Order { direction, ..Order::asc(field) }).collect::<Vec<_>>()
    });
    let order = prop_oneof![2 => Just(Vec::new()), 2 => prop::collection::vec(any_order, 1..4), 3 => given];
    let limit = prop_oneof![2 => Just(None), 3 => (0..6_u64).prop_map(Some)];
    let offset = prop_oneof![2 => Just(0), 1 => 0..5_u64];
    (filter(schema), order, limit, offset, place()).prop_map(move |(filter, order, limit, offset, place)| {
        let after = place.map(|(row, odd)| {
            let mut after = Position::of(schema, &order, &row).unwrap();
            // Mostly the place of a row; sometimes one that no row could have.
            if let Some((at, value)) = odd
                && !order.is_empty()
            {
                after.values[at % order.len()] = value;
            }
            Box::new(after)
        });
        Query { filter, order, limit, offset, after, ..Query::all() }
    })
}

type Odd = Option<(usize, Value)>;

fn place() -> impl Strategy<Value = Option<(Record, Odd)>> {
    let odd = prop_oneof![4 => Just(None), 1 => (0..4_usize, operand(4)).prop_map(Some)];
    prop_oneof![1 => Just(None), 1 => (row(), odd).prop_map(Some)]
}

pub(crate) fn brute_force(schema: &'static Schema, query: &Query, rows: &[Record]) -> Vec<Record> {
    let rows =
        rows.iter().map(|row| PageRow::new(Meta::synced(Timestamp::UNIX_EPOCH), Arc::new(row.clone())));
    copies(schema, &query.finish(schema, Done::default(), rows.collect()).unwrap())
}

pub(crate) fn copies(schema: &'static Schema, rows: &[PageRow]) -> Vec<Record> {
    rows.iter().map(|row| Record::copy(schema, &*row.row).unwrap()).collect()
}

async fn compare(
    schema: &'static Schema,
    store: &dyn Store,
    query: &Query,
    rows: &[Record],
) -> Result<(), TestCaseError> {
    if query.check_alone(schema).is_err() {
        let refused = get(store, schema, query).await.unwrap_err();
        prop_assert_eq!(refused.kind(), larder_core::ErrorKind::Invalid, "{:?}", query);
        return Ok(());
    }
    let expected = brute_force(schema, query, rows);
    let got = copies(schema, &get(store, schema, query).await.unwrap());
    prop_assert_eq!(&got, &expected, "{}: get {:?}", schema.model, query);
    // A scan may be denied where no index helps, and nowhere else.
    let denied = Query { deny_scan: true, ..query.clone() };
    let (permitted, got) = (denied.permit_scan(schema), get(store, schema, &denied).await);
    prop_assert_eq!(permitted.is_ok(), got.is_ok(), "{}: deny {:?}", schema.model, query);
    if let Ok(got) = got {
        prop_assert_eq!(&copies(schema, &got), &expected, "{}: deny {:?}", schema.model, query);
        let plan = store.explain(schema, &denied).unwrap();
        prop_assert!(query.limit.is_some() || plan.access != Access::Scan, "{}: {}", schema.model, plan);
    }
    let now = lent(store, schema, query).unwrap().expect("few rows are lent");
    prop_assert_eq!(&now, &expected, "{}: read_now {:?}", schema.model, query);
    let lent = lent_on(store, schema, query).await.unwrap();
    prop_assert_eq!(&lent, &expected, "{}: lend {:?}", schema.model, query);
    let present = store.exists(&cx(), schema, query).await.unwrap();
    prop_assert_eq!(
        present == Presence::Present,
        !expected.is_empty(),
        "{}: exists {:?}",
        schema.model,
        query
    );
    Ok(())
}

// Rules: q-plan-alike
#[test]
fn a_plan_answers_as_the_evaluator_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for schema in SCHEMAS {
        // A runner counts the cases of all its runs.
        let mut runner =
            TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
        let cases = (
            prop::collection::vec(row(), 0..40),
            prop::collection::vec(row(), 0..10),
            prop::collection::vec(query(schema), 40),
        );
        let checked = runner.run(&cases, |(first, second, queries)| {
            runtime.block_on(async {
                let store = open_on(TestRuntime::inline(), &Redb::in_memory(), &SCHEMAS).await.unwrap();
                let mut rows: Vec<Record> = Vec::new();
                for row in first.into_iter().chain(second) {
                    // Later ones overwrite, so that the indexes are kept up as well.
                    let key = schema.key_of(&row).unwrap();
                    rows.retain(|known| schema.key_of(known).unwrap() != key);
                    commit(&*store, [put(schema, row.clone())]).await.unwrap();
                    rows.push(row);
                }
                for query in &queries {
                    compare(schema, &*store, query, &rows).await?;
                }
                Ok(())
            })
        });
        checked.unwrap();
    }
}

// Rules: q-order-key
#[tokio::test]
async fn rows_with_equal_values_keep_the_order_of_their_keys() {
    let store = persons().await;
    save(&*store, (0..60).map(|id| person(id, "x", "", i64::from(id % 3)))).await;
    let order = vec![Order::desc(4), Order::desc(3)];
    let query = Query { order, limit: Some(25), offset: 2, ..Query::all() };
    let expected: Vec<Key> =
        [2, 1].iter().flat_map(|rest| (0..60).filter(move |id| id % 3 == *rest)).map(Key::from).collect();
    assert_eq!(keys(&*store, &PERSON, &query).await, expected[2..27]);
}

#[tokio::test]
async fn a_large_answer_is_the_same_off_the_calling_thread() {
    let store = persons().await;
    save(&*store, (0..7000).map(|id| person(id, "x", "", i64::from(id % 7)))).await;
    let seven = where_(Predicate::And(vec![
        Predicate::Compare { field: 4, op: CompareOp::Eq, value: text("Oslo") },
        Predicate::Compare { field: 3, op: CompareOp::Eq, value: Value::Int(6) },
    ]));
    let found = get(&*store, &PERSON, &seven).await.unwrap();
    assert_eq!(found.len(), 1000);
    assert!(lent(&*store, &PERSON, &seven).unwrap().is_none());
    let order = vec![Order::desc(3)];
    let sorted = get(&*store, &PERSON, &Query { order, limit: Some(5), ..Query::all() }).await.unwrap();
    let ids: Vec<Key> = sorted.iter().map(|row| key_of(row, &PERSON)).collect();
    assert_eq!(ids, [6, 13, 20, 27, 34].map(Key::from));
}
