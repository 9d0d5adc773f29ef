//! Batches that write the same rows again and again: a store whose batches are gathered before they are written answers
//! as one that keeps its rows in a map.

#![allow(clippy::duplicated_attributes, reason = "two indexes of a model share a field")]
#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::fmt::Debug;
use std::sync::Arc;

use larder::core::store::{Batch, Op};
use larder::core::{
    CompareOp, Context, Meta, OpenStore, Opening, Order, Predicate, Query, Row, Store, Tail, Value,
};
use larder::{Datum, Decimal, Key, Memory, Model, Redb, Timestamp, TokioRuntime};
use support::chaos::Chance;

#[derive(Model, Clone, Debug, PartialEq)]
#[model(unique(place, part), index(score, name))]
struct Thing {
    #[model(key)]
    id: u8,
    #[model(unique)]
    name: Option<String>,
    #[model(index)]
    score: f64,
    place: Option<i128>,
    part: String,
}

const NAMES: [&str; 5] = ["", "a", "a\0", "a\0b", "b"];
const SCORES: [f64; 6] = [0.0, -0.0, f64::NAN, -1.5, f64::INFINITY, f64::MIN];

fn thing(chance: &Chance) -> Thing {
    let below = |most| usize::try_from(chance.below(most)).unwrap();
    Thing {
        id: u8::try_from(below(8)).unwrap(),
        name: (below(3) > 0).then(|| NAMES[below(5)].to_owned()),
        score: SCORES[below(6)],
        place: (below(3) > 0).then(|| [i128::MIN, -1, 0, i128::MAX][below(4)]),
        part: NAMES[below(5)].to_owned(),
    }
}

fn op(chance: &Chance) -> Op {
    let (thing, schema) = (thing(chance), Thing::schema());
    let (key, meta, tail) = (Key::from(thing.id), Meta::synced(Timestamp::UNIX_EPOCH), Tail::At(0));
    match chance.below(8) {
        0 => Op::Tombstone { schema, key, meta, tail },
        1 | 2 => Op::Remove { schema, key },
        _ => Op::Put { schema, key, row: Arc::new(thing), meta, tail },
    }
}

fn query(chance: &Chance) -> Query {
    let thing = thing(chance);
    let text = |text: &str| Value::Str(text.into());
    let name = thing.name.as_deref().map_or(Value::Null, text);
    let op = [CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Ge]
        [usize::try_from(chance.below(4)).unwrap()];
    let leaf = match chance.below(4) {
        0 => Predicate::Compare { field: 1, op, value: name },
        1 => Predicate::Compare { field: 2, op, value: Value::Float(thing.score) },
        2 => Predicate::In { field: 2, values: vec![Value::Float(0.0), Value::Float(f64::NAN)] },
        _ => Predicate::Compare { field: 3, op, value: Value::Int(thing.place.unwrap_or(5)) },
    };
    let part = Predicate::Compare { field: 4, op: CompareOp::Eq, value: text(&thing.part) };
    let filter = match chance.below(4) {
        0 => leaf,
        1 => leaf.negate(),
        2 => leaf.and(part),
        _ => leaf.or(part.negate()),
    };
    let order = match chance.below(4) {
        0 => vec![],
        1 => vec![Order::desc(2), Order::asc(1)],
        2 => vec![Order::asc(2), Order::asc(1)],
        _ => vec![Order::desc(3), Order::asc(4)],
    };
    let limit = (chance.below(2) == 0).then(|| chance.below(4));
    Query { order, limit, offset: chance.below(2), ..Query::filter(filter) }
}

async fn opened(store: impl OpenStore) -> Arc<dyn Store> {
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    let opening = Opening { runtime, schemas: Arc::new([Thing::schema(), Odd::schema()]) };
    OpenStore::open(Box::new(store), &opening).await.unwrap()
}

async fn rows<M: Model + Debug>(store: &Arc<dyn Store>, query: &Query) -> Vec<String> {
    let page = store.get(&Context::new(), M::schema(), query).await.unwrap();
    let rows = query.finish(M::schema(), page.done, page.rows).unwrap();
    rows.iter().map(|row| format!("{:?}", M::from_row(&*row.row).unwrap())).collect()
}

// Rules: m-unique, m-unique-null
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gathered_batches_answer_as_a_map_does() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..6 {
        let chance = Chance::new(seed);
        let file = folder.path().join(format!("{seed}.redb"));
        let (memory, redb) = (opened(Memory::new()).await, opened(Redb::at(&file)).await);
        let (mut kept, mut refused) = (0, 0);
        for step in 0..150 {
            let ops: Vec<Op> = (0..=chance.below(12)).map(|_| op(&chance)).collect();
            let batch = Batch { expect: Vec::new(), ops };
            let shown = format!("seed {seed}, step {step}: {batch:?}");
            let one = memory.commit(&Context::new(), batch.clone()).await;
            let other = redb.commit(&Context::new(), batch).await;
            let kind = |outcome: larder::Result<_>| outcome.map(drop).map_err(|error| error.kind());
            let (one, other) = (kind(one), kind(other));
            assert_eq!(one, other, "{shown}");
            *(if one.is_ok() { &mut kept } else { &mut refused }) += 1;
            for _ in 0..6 {
                let query = query(&chance);
                assert_eq!(
                    rows::<Thing>(&memory, &query).await,
                    rows::<Thing>(&redb, &query).await,
                    "{query:?} after {shown}"
                );
                let counts = [&memory, &redb].map(|store| async {
                    store.count(&Context::new(), Thing::schema(), &query).await.unwrap()
                });
                let [one, other] = counts;
                assert_eq!(one.await, other.await, "{query:?} after {shown}");
            }
        }
        assert!(kept > 20 && refused > 20, "both happen: {kept} and {refused}");
    }
}

/// Stored by number, and the numbers have gaps.
#[derive(Clone, Copy, Debug, PartialEq, Datum)]
#[model(by = "index")]
enum Level {
    High = 9,
    Low = -3,
    Off = 100,
}

/// What numbers can be at their ends, in indexes.
#[derive(Model, Clone, Debug, PartialEq)]
#[model(index(level, price), index(price, huge))]
struct Odd {
    #[model(key)]
    id: u128,
    #[model(unique)]
    price: Decimal,
    #[model(index)]
    huge: Option<u128>,
    level: Option<Level>,
}

const PRICES: [&str; 8] = ["1.0", "1.00", "1", "-0.5", "-0.50", "0.00", "0", "99999999999.999"];
const HUGE: [u128; 6] = [0, 1, i128::MAX as u128, (i128::MAX as u128) + 1, u128::MAX - 1, u128::MAX];

fn odd(chance: &Chance) -> Odd {
    let below = |most| usize::try_from(chance.below(most)).unwrap();
    Odd {
        id: HUGE[below(6)],
        price: PRICES[below(8)].parse().unwrap(),
        huge: (below(4) > 0).then(|| HUGE[below(6)]),
        level: [None, Some(Level::High), Some(Level::Low), Some(Level::Off)][below(4)],
    }
}

fn odd_query(chance: &Chance) -> Query {
    let odd = odd(chance);
    let ops = [CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];
    let op = ops[usize::try_from(chance.below(6)).unwrap()];
    let field = u16::try_from(chance.below(4)).unwrap();
    let shown = Row::field(&odd, usize::from(field)).unwrap().to_value().unwrap();
    let leaf = Predicate::Compare { field, op, value: shown };
    let price = Row::field(&odd, 1).unwrap().to_value().unwrap();
    let filter = match chance.below(4) {
        0 => leaf,
        1 => leaf.negate(),
        2 => leaf.or(Predicate::Compare { field: 1, op: CompareOp::Eq, value: price }),
        _ => leaf.and(Predicate::Compare { field: 1, op: CompareOp::Ge, value: price }),
    };
    let by = u16::try_from(chance.below(4)).unwrap();
    let order = if chance.below(2) == 0 { Order::asc(by) } else { Order::desc(by) };
    let limit = (chance.below(2) == 0).then(|| 1 + chance.below(3));
    Query { order: vec![order], limit, ..Query::filter(filter) }
}

// Rules: m-unique, m-decimals, q-order
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_at_their_ends_are_found_by_indexes() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..4 {
        let chance = Chance::new(1_000 + seed);
        let file = folder.path().join(format!("{seed}.redb"));
        let (memory, redb) = (opened(Memory::new()).await, opened(Redb::at(&file)).await);
        let mut found = 0;
        for step in 0..100 {
            let put = |odd: Odd| {
                let (meta, tail) = (Meta::synced(Timestamp::UNIX_EPOCH), Tail::At(0));
                Op::Put { schema: Odd::schema(), key: odd.key().unwrap(), row: Arc::new(odd), meta, tail }
            };
            let ops: Vec<Op> = (0..=chance.below(2)).map(|_| put(odd(&chance))).collect();
            let batch = Batch { expect: Vec::new(), ops };
            let shown = format!("seed {seed}, step {step}: {batch:?}");
            let one = memory.commit(&Context::new(), batch.clone()).await.map(drop);
            let other = redb.commit(&Context::new(), batch).await.map(drop);
            assert_eq!(one.map_err(|error| error.kind()), other.map_err(|error| error.kind()), "{shown}");
            for _ in 0..8 {
                let query = odd_query(&chance);
                let expected = rows::<Odd>(&memory, &query).await;
                assert_eq!(expected, rows::<Odd>(&redb, &query).await, "{query:?} after {shown}");
                let (mut paged, mut next) = (Vec::new(), Query { limit: Some(1), ..query.clone() });
                loop {
                    let page = redb.get(&Context::new(), Odd::schema(), &next).await.unwrap();
                    let page = next.finish(Odd::schema(), page.done, page.rows).unwrap();
                    let Some(last) = page.first() else { break };
                    let last = Odd::from_row(&*last.row).unwrap();
                    paged.push(format!("{last:?}"));
                    let cursor = next.cursor(Odd::schema(), &last).unwrap().to_string().parse().unwrap();
                    next = next.continued(Odd::schema(), &cursor).unwrap();
                }
                let all = Query { limit: None, ..query.clone() };
                assert_eq!(paged, rows::<Odd>(&memory, &all).await, "{query:?} by pages after {shown}");
                found += paged.len();
            }
        }
        assert!(found > 500, "there was something to find: {found}");
    }
}
