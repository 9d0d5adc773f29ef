//! Mocks of the contracts: `MockProvider` comes with the feature `mock`, a mock of a `Store` is written by hand, as
//! mockall does not see the methods of a supertrait.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use larder_core::provider::MockProvider;
use larder_core::{
    Applied, Batch, Borrower, Capabilities, CommitObserver, CommitOutcome, Committed, Context, Damage, Delta,
    Done, Entry, Error, ErrorKind, Idempotency, Integrity, Key, Loaded, Meta, Migrated, Model, Mutation,
    MutationId, Op, Operation, OutboxCounts, Outcome, Page, PageRow, Presence, Provider, Query, Realtime,
    Requests, Result, Schema, Sink, Store, StoreSize, StoredRow, Tail, Timestamp, Uuid,
};
use larder_derive::Model;
use mockall::predicate::{always, eq};

#[derive(Clone, Debug, PartialEq, Model)]
#[model(crate = "larder_core")]
struct Tag {
    #[model(key)]
    name: String,
    uses: u32,
}

fn tag() -> Arc<Tag> {
    Arc::new(Tag { name: "bug".into(), uses: 3 })
}

/// What a future that is ready at once comes to.
#[track_caller]
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a mock answers at once"),
    }
}

fn page(tag: Arc<Tag>) -> Page {
    Page {
        rows: vec![PageRow::new(Meta::synced(Timestamp::UNIX_EPOCH), tag)],
        done: Done::ALL,
        ..Page::default()
    }
}

#[test]
fn a_mock_provider_answers_as_it_is_told() {
    let mut mock = MockProvider::new();
    mock.expect_name().return_const("mock".to_owned());
    mock.expect_capabilities().return_const(Capabilities::NONE);
    mock.expect_delta().returning(|| None);
    mock.expect_get()
        .with(always(), eq(Tag::schema()), eq(Query::key(Key::from("bug"))))
        .times(1)
        .returning(|_, _, _| Ok(page(tag())));
    mock.expect_apply()
        .withf(|_, mutation| mutation.operation == Operation::Delete && mutation.key == Key::from("bug"))
        .returning(|_, _| Err(Error::new(ErrorKind::Offline, "no network").during("delete")));

    let provider: Arc<dyn Provider> = Arc::new(mock);
    assert_eq!((provider.name(), provider.capabilities()), ("mock", Capabilities::NONE));
    assert!(provider.delta().is_none());
    let cx = Context::new();
    let page = now(provider.get(&cx, Tag::schema(), &Query::key("bug".into()))).expect("a page");
    assert_eq!(Tag::from_row(&*page.rows[0].row).expect("a tag"), *tag());
    let mutation = Mutation {
        id: MutationId(Uuid::nil()),
        schema: Tag::schema(),
        key: "bug".into(),
        operation: Operation::Delete,
        row: None,
        changed: None,
        base_version: None,
        extra: None,
        repeated: false,
        nested: Vec::new(),
    };
    let error = now(provider.apply(&cx, &mutation)).expect_err("an error");
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Offline, true));
    assert!(format!("{provider:?}").contains("MockProvider"));
}

mockall::mock! {
    pub(crate) Store {}

    impl std::fmt::Debug for Store {
        fn fmt<'f>(&self, f: &mut std::fmt::Formatter<'f>) -> std::fmt::Result;
    }

    #[async_trait]
    impl Provider for Store {
        fn name(&self) -> &str;
        fn capabilities(&self) -> Capabilities;
        fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency;
        async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page>;
        async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence>;
        fn explain(&self, schema: &'static Schema, query: &Query) -> Result<larder_core::Plan>;
        async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied>;
        fn delta<'a>(&'a self) -> Option<&'a dyn Delta>;
        fn realtime<'a>(&'a self) -> Option<&'a dyn Realtime>;
        fn requests<'a>(&'a self) -> Option<&'a dyn Requests>;
    }

    #[async_trait]
    impl Store for Store {
        async fn commit(&self, cx: &Context, batch: Batch) -> Result<CommitOutcome>;
        fn read_now<'f>(&self, schema: &'static Schema, query: &Query, sink: Sink<'f>) -> Result<bool>;
        async fn lend(
            &self,
            cx: &Context,
            schema: &'static Schema,
            query: &Query,
            to: Box<dyn Borrower>,
        ) -> Result<()>;
        async fn count(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<u64>;
        async fn load(&self, cx: &Context, schema: &'static Schema, key: &Key) -> Result<Option<StoredRow>>;
        fn revision(&self) -> u64;
        async fn outbox(&self, cx: &Context, after: u64, limit: usize) -> Result<Loaded>;
        async fn entry(&self, cx: &Context, seq: u64) -> Result<Option<Entry>>;
        async fn outbox_counts(&self, cx: &Context) -> Result<OutboxCounts>;
        async fn cursor(&self, cx: &Context, scope: &str) -> Result<Option<String>>;
        async fn migrate(&self, cx: &Context, limit: usize) -> Result<Migrated>;
        async fn wipe(&self, cx: &Context) -> Result<()>;
        async fn check(&self, cx: &Context) -> Result<Integrity>;
        async fn salvage(&self, cx: &Context) -> Result<Option<Damage>>;
        fn damage(&self) -> Option<Damage>;
        async fn acknowledge(&self, cx: &Context, damage: &Damage) -> Result<()>;
        async fn compact(&self, cx: &Context) -> Result<StoreSize>;
        async fn size(&self, cx: &Context) -> Result<StoreSize>;
        fn observe(&self, observer: Weak<dyn CommitObserver>);
    }
}

#[test]
fn a_mock_store_lends_rows_and_commits() {
    let mut mock = MockStore::new();
    mock.expect_read_now().with(eq(Tag::schema()), eq(Query::all()), always()).returning(|_, _, sink| {
        let meta = Meta::synced(Timestamp::UNIX_EPOCH);
        sink(meta.show(), &*tag())?;
        Ok(true)
    });
    let mut revision = 0;
    mock.expect_commit().withf(|_, batch| batch.ops.len() == 1).times(2).returning(move |_, _| {
        revision += 1;
        Ok(if revision == 1 {
            CommitOutcome::Stale
        } else {
            CommitOutcome::Committed(Committed { revision, seqs: vec![] })
        })
    });
    mock.expect_exists().returning(|_, _, _| Ok(Presence::Present));
    mock.expect_apply().returning(|_, _| Ok(Applied { outcome: Outcome::Accepted, row: None }));

    let store: Arc<dyn Store> = Arc::new(mock);
    let mut lent = Vec::new();
    let answered = store.read_now(Tag::schema(), &Query::all(), &mut |_, row| {
        lent.push(Tag::from_row(row)?);
        Ok(())
    });
    assert!(answered.expect("an answer"));
    assert_eq!(lent, [(*tag()).clone()]);

    let cx = Context::new();
    let put = || Op::Put {
        schema: Tag::schema(),
        key: "bug".into(),
        row: tag(),
        meta: Meta::synced(Timestamp::UNIX_EPOCH),
        tail: Tail::At(0),
    };
    let commit = || now(store.commit(&cx, Batch { expect: vec![], ops: vec![put()] })).expect("an outcome");
    assert_eq!(commit(), CommitOutcome::Stale);
    assert_eq!(commit(), CommitOutcome::Committed(Committed { revision: 2, seqs: vec![] }));
    assert_eq!(now(store.exists(&cx, Tag::schema(), &Query::all())).expect("an answer"), Presence::Present);
}
