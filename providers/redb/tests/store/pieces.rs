//! Rows that are looked up on the calling thread, in pieces between which others have their turn.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use larder_core::{
    Borrower, CompareOp, ErrorKind, Key, MetaRef, Op, Order, Predicate, Query, Record, Result, Row, Value,
    ValueRef,
};
use larder_redb::Redb;

use crate::damage::kind;
use crate::support::*;

/// As many as are looked up at a time, and some more.
const WANTED: u32 = 1500;
/// Of so many each one is wanted: fewer would be worth a scan.
const EACH: u32 = 6;

/// What was taken: key and age; and how often it was begun.
type Taken = Arc<Mutex<(Vec<(Key, i128)>, usize)>>;

struct Taking(Taken);

impl Borrower for Taking {
    fn take(&mut self, _: MetaRef<'_>, row: &dyn Row) -> Result<()> {
        let ValueRef::Int(age) = row.field(3).unwrap() else { panic!("an age is a number") };
        self.0.lock().unwrap().0.push((PERSON.key_of(row)?, age));
        Ok(())
    }

    fn anew(&mut self) {
        let mut taken = self.0.lock().unwrap();
        taken.0.clear();
        taken.1 += 1;
    }
}

fn citizen(id: u32, age: i64) -> Record {
    let mut citizen = person(id, "x", "", age);
    citizen.set(4, text(if id.is_multiple_of(EACH) { "here" } else { "elsewhere" }));
    citizen
}

fn all() -> impl Iterator<Item = Op> {
    (0..WANTED * EACH).map(|id| put(&PERSON, citizen(id, 1)))
}

fn here() -> Query {
    Query::filter(Predicate::In { field: 4, values: vec![text("here"), Value::Str("nowhere".into())] })
}

fn expected(age: i128) -> Vec<(Key, i128)> {
    (0..WANTED).map(|nth| (Key::from(nth * EACH), age)).collect()
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

// Rules: p-lend
#[tokio::test]
async fn a_few_thousand_rows_are_lent_on_the_calling_thread_and_others_have_their_turn_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let config = Redb::at(directory.path().join("a.redb"));
    commit(&*open(&config, &[&PERSON]).await.unwrap(), all()).await.unwrap();
    let store = open_on(TestRuntime::without_threads(), &config, &[&PERSON]).await.unwrap();
    let taken = Taken::default();
    {
        let (cx, query) = (cx(), here());
        let mut lending = pin!(store.lend(&cx, &PERSON, &query, Box::new(Taking(taken.clone()))));
        assert!(poll(lending.as_mut()).is_pending(), "the keys are gathered");
        assert!(poll(lending.as_mut()).is_pending());
        assert_eq!(taken.lock().unwrap().0.len(), 1024, "a piece");
        assert!(matches!(poll(lending.as_mut()), Poll::Ready(Ok(()))));
    }
    assert_eq!(*taken.lock().unwrap(), (expected(1), 1));
    // All rows, and those that a condition lets through which no index knows.
    let younger = Query::filter(Predicate::Compare { field: 3, op: CompareOp::Lt, value: Value::Int(1) });
    for (query, count) in [(Query::all(), (WANTED * EACH) as usize), (younger, 0)] {
        let taken = Taken::default();
        store.lend(&cx(), &PERSON, &query, Box::new(Taking(taken.clone()))).await.unwrap();
        let (taken, begun) = std::mem::take(&mut *taken.lock().unwrap());
        assert!(taken.is_sorted_by_key(|(key, _)| key.clone()));
        assert_eq!((taken.len(), begun), (count, 1));
    }
    // What is sorted is another thread's.
    let sorted = Query { order: vec![Order::asc(1)], ..here() };
    let lent = store.lend(&cx(), &PERSON, &sorted, Box::new(Taking(Taken::default()))).await;
    assert_eq!(kind(lent), ErrorKind::Storage);
}

// Rules: p-lend
#[tokio::test]
async fn what_is_lent_in_pieces_is_of_one_state() {
    for (query, polls) in
        [here(), Query::all()].into_iter().flat_map(|query| (0..3).map(move |polls| (query.clone(), polls)))
    {
        let store = open_on(TestRuntime::inline(), &Redb::in_memory(), &[&PERSON]).await.unwrap();
        commit(&*store, all()).await.unwrap();
        let taken = Taken::default();
        let cx = cx();
        let mut lending = pin!(store.lend(&cx, &PERSON, &query, Box::new(Taking(taken.clone()))));
        for _ in 0..polls {
            assert!(poll(lending.as_mut()).is_pending());
        }
        // The last of them, which are not lent yet, and one that has been.
        let changed = (WANTED - 5..WANTED).chain([0]).map(|nth| put(&PERSON, citizen(nth * EACH, 2)));
        commit(&*store, changed).await.unwrap();
        lending.await.unwrap();
        let (taken, begun) = std::mem::take(&mut *taken.lock().unwrap());
        let aged = taken.iter().filter(|(_, age)| *age == 2).count();
        let count = if query == Query::all() { WANTED * EACH } else { WANTED };
        assert_eq!((taken.len(), aged), (count as usize, 6), "after {polls}");
        assert_eq!(begun, if polls == 0 { 1 } else { 2 }, "after {polls}");
    }
}
