//! Observers: told of each batch before and after readers see it, in order.

use std::sync::{Arc, Mutex, Weak};

use larder_core::{Batch, CommitObserver, Expect, Op, Query, Store, Touched};

use super::outbox::entry;
use crate::models::{NAMED, SPECIMEN, keyed, specimen};
use crate::trial::{Trial, Verdict};

/// What an observer was told, and what a reader saw at that moment.
#[derive(Debug)]
struct Told {
    published: bool,
    touched: Touched,
    revision: u64,
    rows: usize,
}

struct Witness {
    store: Weak<dyn Store>,
    told: Mutex<Vec<Told>>,
}

impl Witness {
    fn note(&self, published: bool, touched: &Touched) {
        let store = self.store.upgrade().expect("the store");
        let mut rows = 0;
        let counted = store.read_now(&SPECIMEN, &Query::all(), &mut |_, _| {
            rows += 1;
            Ok(())
        });
        counted.expect("rows");
        let told = Told { published, touched: touched.clone(), revision: store.revision(), rows };
        self.told.lock().expect("no panic").push(told);
    }

    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.told.lock().expect("no panic"))
    }
}

impl CommitObserver for Witness {
    fn durable(&self, touched: &Touched) {
        self.note(false, touched);
    }

    fn published(&self, touched: &Touched) {
        self.note(true, touched);
    }
}

fn witness(trial: &Trial) -> Arc<Witness> {
    let witness = Arc::new(Witness { store: Arc::downgrade(trial.store()), told: Mutex::default() });
    let weak: Weak<Witness> = Arc::downgrade(&witness);
    trial.store().observe(weak);
    witness
}

fn keys(touched: &Touched) -> Vec<String> {
    let mut keys: Vec<_> =
        touched.rows.iter().map(|(schema, key)| format!("{} {key}", schema.model)).collect();
    keys.sort();
    keys
}

pub(super) async fn told_before_and_after_readers_see_it(trial: Trial) -> Verdict {
    let witness = witness(&trial);
    let before = trial.store().revision();
    let revision = trial.commit(vec![trial.op(&SPECIMEN, specimen(1))]).await.revision;
    let told = witness.take();
    assert_eq!(told.iter().map(|told| told.published).collect::<Vec<_>>(), [false, true], "{told:?}");
    assert_eq!((told[0].rows, told[0].revision), (0, before), "durable, and seen by no reader");
    assert_eq!((told[1].rows, told[1].revision), (1, revision), "seen by readers");
    assert!(told.iter().all(|told| told.touched.revision == revision));
    Verdict::Passed
}

pub(super) async fn told_what_was_touched(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(2)]).await;
    let witness = witness(&trial);
    let remove = Op::Remove { schema: &SPECIMEN, key: 2.into() };
    let named = trial.op(&NAMED, keyed(&NAMED, &"a".into(), "x"));
    trial.commit(vec![trial.op(&SPECIMEN, specimen(1)), remove, named]).await;
    for told in witness.take() {
        assert_eq!(keys(&told.touched), ["Named a", "Specimen 1", "Specimen 2"]);
        assert!(!told.touched.outbox && !told.touched.queued && !told.touched.wiped);
    }
    let seq = trial.commit(vec![Op::Enqueue(Box::new(entry(&trial, 1)))]).await.seqs[0];
    trial.commit(vec![Op::Dequeue(seq)]).await;
    trial.commit(vec![Op::Cursor { scope: "a".into(), value: None }]).await;
    let told: Vec<_> = witness.take().iter().map(|told| (told.touched.outbox, told.touched.queued)).collect();
    let (added, removed, neither) = ((true, true), (true, false), (false, false));
    assert_eq!(told, [added, added, removed, removed, neither, neither]);
    Verdict::Passed
}

pub(super) async fn not_told_of_what_did_not_happen(trial: Trial) -> Verdict {
    let witness = witness(&trial);
    let expect = vec![Expect::Row { schema: &SPECIMEN, key: 1.into(), revision: 9 }];
    let stale = Batch { expect, ops: vec![trial.op(&SPECIMEN, specimen(1))] };
    trial.try_commit(stale).await.expect("an answer");
    let mut unfit = specimen(1);
    unfit.set(crate::models::at(&SPECIMEN, "place"), larder_core::Value::List(Vec::new()));
    let refused = Batch { expect: Vec::new(), ops: vec![trial.op(&SPECIMEN, unfit)] };
    trial.try_commit(refused).await.expect_err("a refusal");
    assert!(witness.take().is_empty());
    Verdict::Passed
}

pub(super) async fn told_in_the_order_of_the_revisions(trial: Trial) -> Verdict {
    let witness = witness(&trial);
    let trial = Arc::new(trial);
    let writers: Vec<_> = (0..8)
        .map(|id| {
            let trial = trial.clone();
            #[allow(
                clippy::disallowed_methods,
                reason = "tasks that run at the same time are what the case is about"
            )]
            tokio::spawn(async move {
                for _ in 0..10 {
                    trial.commit(vec![trial.op(&SPECIMEN, specimen(id))]).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    let told = witness.take();
    for published in [false, true] {
        let revisions: Vec<u64> = told
            .iter()
            .filter(|told| told.published == published)
            .map(|told| told.touched.revision)
            .collect();
        assert_eq!(revisions.len(), 80);
        assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    }
    Verdict::Passed
}

pub(super) async fn forgotten_when_they_are_gone(trial: Trial) -> Verdict {
    let (first, second) = (witness(&trial), witness(&trial));
    let weak = Arc::downgrade(&first);
    drop(first);
    assert!(weak.upgrade().is_none(), "the store keeps an observer alive");
    trial.put(&SPECIMEN, [specimen(1)]).await;
    assert_eq!(second.take().len(), 2);
    Verdict::Passed
}

pub(super) async fn told_of_a_wipe(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1)]).await;
    let witness = witness(&trial);
    trial.store().wipe(&trial.cx).await.expect("a wipe");
    let told = witness.take();
    assert_eq!(
        told.iter().map(|told| (told.published, told.rows)).collect::<Vec<_>>(),
        [(false, 1), (true, 0)]
    );
    assert!(told.iter().all(|told| told.touched.wiped));
    Verdict::Passed
}
