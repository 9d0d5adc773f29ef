//! Batches of many rows: what is gathered and goes in by the order of keys is what would go in one by one.

use larder_core::query::CompareOp;
use larder_core::{ErrorKind, Key, Op, Predicate, Store};

use crate::support::*;

/// New rows between those that are there, changes of some and removals of others.
fn mixed() -> Vec<Op> {
    let new =
        (1..400).step_by(2).map(|id| put(&PERSON, person(id, "new", &format!("{id}@x"), (id % 7).into())));
    let changed = (0..400).step_by(10).map(|id| put(&PERSON, person(id, "changed", &format!("{id}@y"), 8)));
    let gone = (0..400).step_by(14).map(|id| Op::Remove { schema: &PERSON, key: id.into() });
    // The last word of a batch counts.
    let again = (1..400).step_by(50).map(|id| put(&PERSON, person(id, "again", &format!("{id}@z"), 9)));
    new.chain(changed).chain(gone).chain(again).collect()
}

async fn half_full() -> std::sync::Arc<dyn Store> {
    let store = persons().await;
    save(&*store, (0..400).step_by(2).map(|id| person(id, "old", &format!("{id}@x"), (id % 7).into()))).await;
    store
}

#[tokio::test]
async fn many_changes_at_once_are_what_they_are_one_by_one() {
    let (at_once, one_by_one) = (half_full().await, half_full().await);
    commit(&*at_once, mixed()).await.unwrap();
    for op in mixed() {
        commit(&*one_by_one, [op]).await.unwrap();
    }
    let expected: Vec<Key> = (0..400_u32).filter(|id| id % 14 != 0).map(Key::from).collect();
    assert_eq!(all(&*at_once).await, expected);
    for age in 0..10 {
        let filter = |field, value| Predicate::Compare { field, op: CompareOp::Eq, value };
        let query =
            where_(Predicate::And(vec![filter(4, text("Oslo")), filter(3, larder_core::Value::Int(age))]));
        let found = keys(&*at_once, &PERSON, &query).await;
        assert_eq!(found, keys(&*one_by_one, &PERSON, &query).await, "age {age}");
        assert_eq!(found.is_empty(), age == 7, "age {age}");
    }
    for id in [1_u32, 7, 10, 51] {
        let name =
            async |store: &dyn Store| string(&*find(store, &PERSON, id).await.unwrap().unwrap().row, 1);
        assert_eq!(name(&*at_once).await, name(&*one_by_one).await);
    }
}

#[tokio::test]
async fn a_batch_too_large_to_be_gathered_leaves_nothing_if_it_fails() {
    let store = persons().await;
    let long = "x".repeat(1 << 20);
    let rows = (0..40).map(|id| put(&PERSON, person(id, &long, &format!("{}@x", id % 39), 1)));
    let error = commit(&*store, rows).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(all(&*store).await.is_empty());
    let rows = (0..40).map(|id| put(&PERSON, person(id, &long, &format!("{id}@x"), 1)));
    commit(&*store, rows).await.unwrap();
    assert_eq!(all(&*store).await.len(), 40);
}
