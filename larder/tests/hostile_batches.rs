//! Batches that write the same rows again and again: a store whose batches are gathered before they are written answers
//! as one that keeps its rows in a map.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::sync::Arc;

use larder::core::store::{Batch, Op};
use larder::core::{
    CompareOp, Context, Meta, OpenStore, Opening, Order, Predicate, Query, Store, Tail, Value,
};
use larder::{Key, Memory, Model, Redb, Timestamp, TokioRuntime};
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
    let opening = Opening { runtime, schemas: Arc::new([Thing::schema()]) };
    OpenStore::open(Box::new(store), &opening).await.unwrap()
}

async fn rows(store: &Arc<dyn Store>, query: &Query) -> Vec<String> {
    let page = store.get(&Context::new(), Thing::schema(), query).await.unwrap();
    let rows = query.finish(Thing::schema(), page.done, page.rows).unwrap();
    rows.iter().map(|row| format!("{:?}", Thing::from_row(&*row.row).unwrap())).collect()
}

// Rules: m-unique, m-unique-conflict
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
                assert_eq!(rows(&memory, &query).await, rows(&redb, &query).await, "{query:?} after {shown}");
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
