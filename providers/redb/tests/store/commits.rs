//! Expectations, unique indexes, groups, observers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use larder_core::{
    Batch, CommitObserver, CommitOutcome, ErrorKind, Expect, Key, Meta, Op, Query, Store, Tail, Timestamp,
    Touched,
};
use larder_redb::Redb;
use larder_redb::backend::{self, CountingBackend, Counts};

use crate::support::*;

async fn expecting(store: &dyn Store, expect: Expect) -> CommitOutcome {
    let ops = vec![put(&PERSON, person(9, "Zoe", "", 1))];
    store.commit(&cx(), Batch { expect: vec![expect], ops }).await.unwrap()
}

#[tokio::test]
async fn a_batch_is_stale_if_a_row_has_moved() {
    let store = persons().await;
    let first = save(&*store, [person(1, "Ada", "", 1)]).await.revision;
    let row = |key: u32, revision| Expect::Row { schema: &PERSON, key: key.into(), revision };
    assert!(matches!(expecting(&*store, row(1, first)).await, CommitOutcome::Committed(_)));
    assert!(matches!(expecting(&*store, row(7, 0)).await, CommitOutcome::Committed(_)));
    assert_eq!(expecting(&*store, row(1, 0)).await, CommitOutcome::Stale);
    assert_eq!(expecting(&*store, row(7, first)).await, CommitOutcome::Stale);
    let revision = store.revision();
    let bury = Op::Tombstone {
        schema: &PERSON,
        key: 1.into(),
        meta: Meta::synced(Timestamp::UNIX_EPOCH),
        tail: Tail::At(0),
    };
    let buried = commit(&*store, [bury]).await.unwrap().revision;
    assert!(buried > revision);
    assert_eq!(expecting(&*store, row(1, first)).await, CommitOutcome::Stale);
    assert!(matches!(expecting(&*store, row(1, buried)).await, CommitOutcome::Committed(_)));
}

#[tokio::test]
async fn a_batch_is_stale_if_its_model_has_moved() {
    let config = Redb::in_memory();
    let store = open(&config, &[&PERSON]).await.unwrap();
    let revision = save(&*store, [person(1, "Ada", "", 1)]).await.revision;
    let model = |revision| Expect::Model { schema: &PERSON, revision };
    assert_eq!(expecting(&*store, model(revision - 1)).await, CommitOutcome::Stale);
    assert!(matches!(expecting(&*store, model(revision)).await, CommitOutcome::Committed(_)));
    commit(&*store, [Op::Cursor { scope: "s".into(), value: None }]).await.unwrap();
    let revision = store.revision();
    assert!(
        matches!(expecting(&*store, model(revision - 1)).await, CommitOutcome::Committed(_)),
        "no row was written"
    );
    drop(store);
    let store = open(&config, &[&PERSON]).await.unwrap();
    let revision = store.revision();
    assert_eq!(
        expecting(&*store, model(revision - 1)).await,
        CommitOutcome::Stale,
        "what was before is not known"
    );
    assert!(matches!(expecting(&*store, model(revision)).await, CommitOutcome::Committed(_)));
    store.wipe(&cx()).await.unwrap();
    assert_eq!(expecting(&*store, model(store.revision() - 1)).await, CommitOutcome::Stale);
}

#[tokio::test]
async fn a_unique_index_names_both_rows() {
    let store = persons().await;
    save(&*store, [person(1, "Ada", "ada@x", 1), person(2, "Bob", "", 1), person(3, "Cid", "", 1)]).await;
    let error = commit(&*store, [put(&PERSON, person(4, "Eve", "ada@x", 1))]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!((error.model_name(), error.row_key()), (Some("Person"), Some("4")));
    let text = message(&error);
    assert!(text.contains("index email") && text.contains("row 1 ") && text.contains('4'), "{text}");
    assert_eq!(all(&*store).await, [1, 2, 3].map(Key::from));
    // Within one batch as well.
    let twins = [put(&PERSON, person(5, "Fay", "f@x", 1)), put(&PERSON, person(6, "Gil", "f@x", 1))];
    assert_eq!(commit(&*store, twins).await.unwrap_err().kind(), ErrorKind::Conflict);
    // Writing a row again collides with nothing.
    save(&*store, [person(1, "Ada", "ada@x", 2)]).await;
}

#[tokio::test]
async fn rows_may_swap_unique_values_in_a_batch() {
    let store = persons().await;
    save(&*store, [person(1, "Ada", "a@x", 1), person(2, "Bob", "b@x", 1)]).await;
    save(&*store, [person(1, "Ada", "b@x", 1), person(2, "Bob", "a@x", 1)]).await;
    // Passed on, with the one before removed or changed later in the batch.
    let pass = [put(&PERSON, person(3, "Cid", "a@x", 1)), Op::Remove { schema: &PERSON, key: 2.into() }];
    commit(&*store, pass).await.unwrap();
    let error = commit(&*store, [put(&PERSON, person(4, "Dan", "a@x", 1))]).await.unwrap_err();
    assert!(message(&error).contains("row 3 "), "{error}");
    let twice = [put(&PERSON, person(4, "Dan", "a@x", 1)), put(&PERSON, person(4, "Dan", "d@x", 1))];
    commit(&*store, twice).await.unwrap();
}

#[derive(Default)]
struct Recorder(Mutex<Vec<(u64, bool, usize)>>);

impl CommitObserver for Recorder {
    fn durable(&self, touched: &Touched) {
        self.0.lock().unwrap().push((touched.revision, false, touched.rows.len()));
    }

    fn published(&self, touched: &Touched) {
        self.0.lock().unwrap().push((touched.revision, true, touched.rows.len()));
    }
}

#[tokio::test]
async fn observers_are_told_in_order_and_twice() {
    let store = persons().await;
    let recorder = Arc::new(Recorder::default());
    let weak: std::sync::Weak<dyn CommitObserver> =
        Arc::downgrade(&(recorder.clone() as Arc<dyn CommitObserver>));
    store.observe(weak);
    let writes = (0..50_u32).map(|id| {
        let store = store.clone();
        async move { save(&*store, [person(id, "x", "", 1)]).await.revision }
    });
    let mut revisions = join_all(writes).await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=50).collect::<Vec<_>>());
    let told = recorder.0.lock().unwrap().clone();
    let of =
        |published| told.iter().filter(|(_, p, _)| *p == published).map(|(r, ..)| *r).collect::<Vec<_>>();
    assert_eq!(of(false), revisions);
    assert_eq!(of(true), revisions);
    let at = |wanted: (u64, bool)| told.iter().position(|(r, p, _)| (*r, *p) == wanted).unwrap();
    assert!(revisions.iter().all(|revision| at((*revision, false)) < at((*revision, true))));
    drop(recorder);
    save(&*store, [person(1, "x", "", 1)]).await;
}

/// Sees at `durable` what readers see.
struct Reader(std::sync::Weak<dyn Store>, Mutex<Vec<usize>>);

impl CommitObserver for Reader {
    fn durable(&self, touched: &Touched) {
        self.published(touched);
    }

    fn published(&self, _: &Touched) {
        let store = self.0.upgrade().unwrap();
        self.1.lock().unwrap().push(lent(&*store, &PERSON, &Query::all()).unwrap().unwrap().len());
    }
}

#[tokio::test]
async fn readers_see_a_batch_between_the_two_calls() {
    let store = persons().await;
    let reader = Arc::new(Reader(Arc::downgrade(&store), Mutex::default()));
    let weak: std::sync::Weak<dyn CommitObserver> =
        Arc::downgrade(&(reader.clone() as Arc<dyn CommitObserver>));
    store.observe(weak);
    save(&*store, [person(1, "x", "", 1), person(2, "y", "", 1)]).await;
    assert_eq!(*reader.1.lock().unwrap(), [0, 2]);
}

#[tokio::test]
async fn a_panicking_observer_hurts_nobody() {
    struct Panics;
    impl CommitObserver for Panics {
        fn durable(&self, _: &Touched) {
            panic!("an observer of a test");
        }

        fn published(&self, _: &Touched) {}
    }
    let store = persons().await;
    let observer: Arc<dyn CommitObserver> = Arc::new(Panics);
    store.observe(Arc::downgrade(&observer));
    save(&*store, [person(1, "x", "", 1)]).await;
    save(&*store, [person(2, "x", "", 1)]).await;
    assert_eq!(all(&*store).await.len(), 2);
}

/// A store whose syncs take `pause`.
async fn slow(pause: Duration) -> (Arc<dyn Store>, Arc<Counts>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let (path, counts) = (directory.path().join("a.redb"), Arc::new(Counts::default()));
    let counted = counts.clone();
    let config = Redb::at(&path).backend(move || {
        let backend = CountingBackend::new(backend::file(&path)?, counted.clone());
        #[allow(clippy::disallowed_methods, reason = "a slow disk")]
        let pause = Arc::new(move || std::thread::sleep(pause));
        Ok(Box::new(backend.before_sync(pause)))
    });
    (open(&config, &[&PERSON]).await.unwrap(), counts, directory)
}

#[tokio::test]
async fn one_bad_batch_among_many_is_taken_back_alone() {
    let (store, counts, _directory) = slow(Duration::from_millis(20)).await;
    save(&*store, [person(1000, "Ada", "ada@x", 1)]).await;
    let before = counts.syncs();
    let write = |id: u32| {
        let store = store.clone();
        async move {
            // Every fifth breaks the unique index after two rows that would be fine.
            let email = if id.is_multiple_of(5) { "ada@x" } else { "" };
            let rows = [
                person(id, "a", "", 1),
                person(id + 100, "b", &format!("{id}@x"), 1),
                person(id + 200, "c", email, 1),
            ];
            let entry = crate::outbox::entry(&PERSON, person(id, "a", "", 1));
            let ops = rows.into_iter().map(|row| put(&PERSON, row)).chain([Op::Enqueue(entry)]);
            commit(&*store, ops).await
        }
    };
    let results = join_all((0..50).map(write)).await;
    assert!(counts.syncs() - before < 20, "they shared commits: {}", counts.syncs() - before);
    let mut seqs = Vec::new();
    for (id, result) in results.into_iter().enumerate() {
        match result {
            Ok(committed) => seqs.extend(committed.seqs),
            Err(error) => assert_eq!((id % 5, error.kind()), (0, ErrorKind::Conflict)),
        }
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=40).collect::<Vec<_>>());
    let expected: Vec<Key> = [0, 100, 200]
        .iter()
        .flat_map(|block| (0..50).filter(|id| id % 5 != 0).map(move |id| Key::from(id + block)))
        .chain([Key::from(1000)])
        .collect();
    assert_eq!(all(&*store).await, expected);
    assert_eq!(store.outbox(&cx(), 0, 100).await.unwrap().entries.len(), 40);
    // What a refused batch had put into the index is gone again.
    save(&*store, [person(5, "free", "5@x", 1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_writers_share_commits() {
    let (store, counts, _directory) = slow(Duration::from_millis(3)).await;
    let before = counts.syncs();
    let writers = (0..16_u32).map(|writer| {
        let store = store.clone();
        #[allow(clippy::disallowed_methods, reason = "sixteen tasks")]
        tokio::spawn(async move {
            for round in 0..20 {
                save(&*store, [person(writer * 100 + round, "x", "", 1)]).await;
            }
        })
    });
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    let per_commit = 320.0 / (counts.syncs() - before) as f64;
    assert!(per_commit >= 5.0, "{per_commit} mutations a commit");
    assert_eq!(all(&*store).await.len(), 320);
}

#[tokio::test]
async fn generations_do_not_pile_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    save(&*store, (0..100).map(|id| person(id, "x", "", 1))).await;
    let size = || std::fs::metadata(&path).unwrap().len();
    let settled = {
        for round in 0..100 {
            save(&*store, [person(round % 100, "y", "", i64::from(round))]).await;
        }
        size()
    };
    for round in 0..1000 {
        save(&*store, [person(round % 100, "z", "", i64::from(round))]).await;
        assert_eq!(lent(&*store, &PERSON, &Query::key((round % 100).into())).unwrap().unwrap().len(), 1);
    }
    assert!(size() <= settled * 2, "{settled} bytes became {}", size());
}

#[tokio::test]
async fn a_batch_whose_caller_left_is_committed() {
    let (store, _counts, _directory) = slow(Duration::from_millis(5)).await;
    let context = cx();
    {
        let mut commit = Box::pin(store.commit(&context, batch([put(&PERSON, person(1, "x", "", 1))])));
        assert!(futures_util::poll!(&mut commit).is_pending());
    }
    // The next one waits behind it.
    save(&*store, [person(2, "y", "", 1)]).await;
    assert_eq!(all(&*store).await.len(), 2);
}
