//! Rows come, change, go and stay over a reopening.

use std::sync::Arc;

use larder_core::{
    CompareOp, ErrorKind, Key, Meta, Mutation, MutationId, Op, Operation, Outcome, Predicate, Presence,
    Query, Row, RowState, Schema, Store, SyncState, Tail, Timestamp, Uuid, Value,
};
use larder_redb::Redb;

use crate::support::*;

#[tokio::test]
async fn a_row_is_read_back_with_its_meta() {
    let store = persons().await;
    let since = Timestamp::from_second(7).unwrap();
    let meta = Meta {
        sync: SyncState { state: RowState::Pending, since },
        version: Some("\"etag\"".into()),
        extra: Some("{\"a\":1}".into()),
        ..Meta::synced(since)
    };
    let committed = commit(&*store, [put_with(&PERSON, person(1, "Ada", "", 36), meta.clone(), Tail::At(5))])
        .await
        .unwrap();
    let found = find(&*store, &PERSON, 1).await.unwrap().unwrap();
    assert_eq!(found.meta, Meta { revision: committed.revision, tail: 5, ..meta });
    assert_eq!(string(&*found.row, 1), "Ada");
    let loaded = store.load(&cx(), &PERSON, &1.into()).await.unwrap().unwrap();
    assert_eq!(loaded.meta, found.meta);
    assert!(find(&*store, &PERSON, 2).await.unwrap().is_none());
    assert!(store.load(&cx(), &PERSON, &2.into()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_tombstone_is_hidden_from_queries_and_given_by_load() {
    let store = persons().await;
    save(&*store, [person(1, "Ada", "ada@x", 36), person(2, "Bob", "bob@x", 20)]).await;
    let meta = Meta::synced(Timestamp::UNIX_EPOCH);
    let bury = Op::Tombstone { schema: &PERSON, key: 1.into(), meta, tail: Tail::At(9) };
    let committed = commit(&*store, [bury]).await.unwrap();
    assert_eq!(all(&*store).await, [Key::from(2)]);
    assert!(find(&*store, &PERSON, 1).await.unwrap().is_none());
    let loaded = store.load(&cx(), &PERSON, &1.into()).await.unwrap().unwrap();
    assert!(loaded.row.is_none());
    assert_eq!((loaded.meta.tail, loaded.meta.revision), (9, committed.revision));
    // Its unique value is free, and it is not in the way of an index.
    save(&*store, [person(3, "Ann", "ada@x", 1)]).await;
    let by_city = where_(Predicate::Compare { field: 4, op: CompareOp::Eq, value: text("Oslo") });
    assert_eq!(keys(&*store, &PERSON, &by_city).await, [Key::from(2), Key::from(3)]);
    commit(&*store, [Op::Remove { schema: &PERSON, key: 1.into() }]).await.unwrap();
    assert!(store.load(&cx(), &PERSON, &1.into()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_changed_row_moves_in_its_indexes() {
    let store = persons().await;
    save(&*store, [person(1, "Ada", "ada@x", 36)]).await;
    save(&*store, [person(1, "Ada", "ada@y", 37)]).await;
    let by_email = |email| where_(Predicate::Compare { field: 2, op: CompareOp::Eq, value: text(email) });
    assert!(keys(&*store, &PERSON, &by_email("ada@x")).await.is_empty());
    assert_eq!(keys(&*store, &PERSON, &by_email("ada@y")).await, [Key::from(1)]);
}

#[tokio::test]
async fn a_file_keeps_everything_over_a_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let config = Redb::at(directory.path().join("a.redb"));
    for round in 1..=5_u32 {
        let store = open(&config, &[&PERSON]).await.unwrap();
        assert_eq!(store.revision(), u64::from(round - 1) * 2);
        save(&*store, [person(round, "x", "", 1)]).await;
        let cursor = Op::Cursor { scope: format!("scope {round}"), value: Some(round.to_string()) };
        commit(&*store, [cursor]).await.unwrap();
        // Closed with the last handle: the next round opens it at once.
    }
    let store = open(&config, &[&PERSON]).await.unwrap();
    assert_eq!(all(&*store).await, (1..=5).map(Key::from).collect::<Vec<_>>());
    assert_eq!(store.cursor(&cx(), "scope 3").await.unwrap().as_deref(), Some("3"));
    assert_eq!(store.cursor(&cx(), "scope 6").await.unwrap(), None);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let _store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn wiping_leaves_nothing_but_the_counters() {
    let directory = tempfile::tempdir().unwrap();
    let config = Redb::at(directory.path().join("a.redb"));
    let store = open(&config, &[&PERSON]).await.unwrap();
    save(&*store, [person(1, "Ada", "ada@x", 36)]).await;
    commit(&*store, [Op::Cursor { scope: "s".into(), value: Some("v".into()) }]).await.unwrap();
    let seqs = crate::outbox::enqueue(&*store, 3).await;
    store.wipe(&cx()).await.unwrap();
    let check = async |store: Arc<dyn Store>| {
        assert!(all(&*store).await.is_empty());
        assert_eq!(store.cursor(&cx(), "s").await.unwrap(), None);
        assert_eq!(store.outbox(&cx(), 0, 10).await.unwrap().last, 0);
        assert_eq!(store.outbox_counts(&cx()).await.unwrap().entries, 0);
        assert!(store.revision() >= 4);
    };
    check(store.clone()).await;
    drop(store);
    let store = open(&config, &[&PERSON]).await.unwrap();
    check(store.clone()).await;
    let revision = store.revision();
    assert!(crate::outbox::enqueue(&*store, 1).await[0] > seqs[2]);
    assert!(store.revision() > revision);
    // The indexes are as good as new.
    save(&*store, [person(1, "Ada", "ada@x", 36)]).await;
    let twice = commit(&*store, [put(&PERSON, person(2, "Eve", "ada@x", 1))]).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Conflict);
}

fn mutation(operation: Operation, row: Option<larder_core::Record>, key: u32) -> Mutation {
    Mutation {
        id: MutationId(Uuid::nil()),
        schema: &PERSON,
        key: key.into(),
        operation,
        row: row.map(|row| Arc::new(row) as Arc<dyn Row>),
        changed: None,
        base_version: None,
        extra: None,
        repeated: false,
        nested: Vec::new(),
    }
}

#[tokio::test]
async fn it_stands_as_a_remote_too() {
    let store = persons().await;
    let apply = async |operation, row, key| store.apply(&cx(), &mutation(operation, row, key)).await;
    let kind = |result: larder_core::Result<larder_core::Applied>| result.unwrap_err().kind();
    let ada = || Some(person(1, "Ada", "", 36));
    assert_eq!(kind(apply(Operation::Update, ada(), 1).await), ErrorKind::NotFound);
    let inserted = apply(Operation::Insert, ada(), 1).await.unwrap();
    assert_eq!(inserted.outcome, Outcome::Inserted);
    assert_eq!(inserted.row.unwrap().meta.revision, store.revision());
    assert_eq!(kind(apply(Operation::Insert, ada(), 1).await), ErrorKind::Conflict);
    assert_eq!(kind(apply(Operation::Upsert, None, 1).await), ErrorKind::Invalid);
    assert_eq!(apply(Operation::Upsert, ada(), 1).await.unwrap().outcome, Outcome::Updated);
    // A partial row keeps what it does not have.
    let mut partial = vec![None; 6];
    partial[0] = Some(Value::Int(1));
    partial[3] = Some(Value::Int(99));
    apply(Operation::Update, Some(larder_core::Record::new(partial)), 1).await.unwrap();
    assert_eq!(string(&*find(&*store, &PERSON, 1).await.unwrap().unwrap().row, 1), "Ada");
    assert_eq!(apply(Operation::Delete, None, 1).await.unwrap().outcome, Outcome::Deleted);
    assert_eq!(apply(Operation::Delete, None, 1).await.unwrap().outcome, Outcome::Missing);
}

#[tokio::test]
async fn a_model_that_is_not_registered_is_refused_with_a_hint() {
    static OTHER: Schema = Schema::new("Other", PERSON.fields, larder_core::KeyDef::natural(&[0]));
    let store = persons().await;
    let error = get(&*store, &OTHER, &Query::all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(message(&error).contains("not registered"), "{error}");
    assert_eq!(
        commit(&*store, [put(&OTHER, person(1, "x", "", 1))]).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    static TWIN: Schema = Schema::new("Person", PERSON.fields, larder_core::KeyDef::natural(&[0]));
    let error = open(&Redb::in_memory(), &[&PERSON, &TWIN, &PERSON]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_row_under_another_key_is_refused() {
    let store = persons().await;
    let op = Op::Put {
        schema: &PERSON,
        key: 2.into(),
        row: Arc::new(person(1, "Ada", "", 1)),
        meta: Meta::synced(Timestamp::UNIX_EPOCH),
        tail: Tail::At(0),
    };
    assert_eq!(commit(&*store, [op]).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(all(&*store).await.is_empty());
}

#[tokio::test]
async fn a_withdrawn_or_late_read_ends() {
    let store = persons().await;
    save(&*store, (0..2000).map(|id| person(id, "x", "", 1))).await;
    let cx = cx();
    cx.cancellation.cancel();
    assert_eq!(store.get(&cx, &PERSON, &Query::all()).await.unwrap_err().kind(), ErrorKind::Cancelled);
    let late = larder_core::Context::new().deadline(std::time::Duration::ZERO);
    assert_eq!(store.get(&late, &PERSON, &Query::all()).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn existence_needs_one_row() {
    let store = persons().await;
    save(&*store, (0..10).map(|id| person(id, "x", "", id.into()))).await;
    let exists = async |query: Query| store.exists(&crate::support::cx(), &PERSON, &query).await.unwrap();
    assert_eq!(exists(Query::key(3.into())).await, Presence::Present);
    assert_eq!(exists(Query::key(30.into())).await, Presence::Absent);
    assert_eq!(exists(Query { limit: Some(0), ..Query::all() }).await, Presence::Absent);
    assert_eq!(exists(Query { offset: 9, ..Query::all() }).await, Presence::Present);
    assert_eq!(exists(Query { offset: 10, ..Query::all() }).await, Presence::Absent);
}

#[tokio::test]
async fn everything_runs_inline_under_a_runtime_that_does() {
    let store = open_on(TestRuntime::inline(), &Redb::in_memory(), &[&PERSON]).await.unwrap();
    save(&*store, (0..1000).map(|id| person(id, "x", "", id.into()))).await;
    assert_eq!(all(&*store).await.len(), 1000);
    store.wipe(&cx()).await.unwrap();
    assert!(all(&*store).await.is_empty());
}

#[tokio::test]
async fn a_long_scan_is_not_done_on_the_calling_thread() {
    let store = persons().await;
    save(&*store, (0..100).map(|id| person(id, "x", "", 1))).await;
    assert_eq!(lent(&*store, &PERSON, &Query::all()).unwrap().unwrap().len(), 100);
    save(&*store, (0..5000).map(|id| person(id, "x", "", 1))).await;
    assert!(lent(&*store, &PERSON, &Query::all()).unwrap().is_none());
    assert_eq!(
        lent(&*store, &PERSON, &Query { limit: Some(50), ..Query::all() }).unwrap().unwrap().len(),
        50
    );
    assert_eq!(lent(&*store, &PERSON, &Query::key(77.into())).unwrap().unwrap().len(), 1);
    let some = where_(Predicate::Keys((10..20).map(Key::from).collect()));
    assert_eq!(lent(&*store, &PERSON, &some).unwrap().unwrap().len(), 10);
}
