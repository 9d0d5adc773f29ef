//! One case at work: an open provider, and what is done with it in every suite.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder_core::{
    Applied, Batch, Borrower, Capabilities, CommitOutcome, Committed, Context, Delta, Done, Error, ErrorKind,
    Key, Meta, MetaRef, Mutation, MutationId, Op, Operation, PageRow, Predicate, Provider, Query, Realtime,
    Record, Requests, Result, Row, Runtime, RuntimeExt, Schema, Store, Tail,
};

use crate::differential::Limits;
use crate::plain::{Plain, plain};
use crate::runtime::TestRuntime;
use crate::site::Site;
use crate::subject::{Setup, Subject};

/// How a case ended, unless it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The provider does what the case asks for.
    Passed,
    /// The provider's capabilities say that it does not, and the case has seen the refusal and unchanged state.
    Refused(String),
}

/// A case at work. Its methods panic where the provider does what no case allows.
#[derive(Debug)]
pub struct Trial {
    /// Time, tasks and randomness of the provider.
    pub runtime: TestRuntime,
    /// What travels with each call.
    pub cx: Context,
    subject: Subject,
}

/// Copies what it is lent.
struct Copying {
    schema: &'static Schema,
    rows: Arc<Mutex<Vec<(Meta, Record)>>>,
}

impl Borrower for Copying {
    fn take(&mut self, meta: MetaRef<'_>, row: &dyn Row) -> Result<()> {
        let copy = (meta.to_meta(), Record::copy(self.schema, row)?);
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
        Ok(())
    }

    fn anew(&mut self) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The most pages that an answer may have before it counts as endless.
const PAGES: usize = 10_000;

impl Trial {
    /// A trial of `subject`.
    #[must_use]
    pub fn new(runtime: TestRuntime, subject: Subject) -> Self {
        Self { runtime, cx: Context::new(), subject }
    }

    /// The provider.
    #[must_use]
    pub fn provider(&self) -> &Arc<dyn Provider> {
        &self.subject.provider
    }

    /// The store; a case that asks for it stands in a suite of the face `store`.
    ///
    /// # Panics
    /// If the provider is no store, and its tests say that it is.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        self.subject.store.as_ref().expect("the face `store` is claimed, but the subject is no store")
    }

    /// What tells of changes; a case that asks for it stands in a suite of the face `delta`.
    ///
    /// # Panics
    /// If the provider has no such face, and its tests say that it has.
    #[must_use]
    pub fn delta(&self) -> &dyn Delta {
        self.provider().delta().expect("the face `delta` is claimed, but the provider has none")
    }

    /// What pushes changes; a case that asks for it stands in a suite of the face `realtime`.
    ///
    /// # Panics
    /// If the provider has no such face, and its tests say that it has.
    #[must_use]
    pub fn realtime(&self) -> &dyn Realtime {
        self.provider().realtime().expect("the face `realtime` is claimed, but the provider has none")
    }

    /// What takes requests that are no models; a case that asks for it stands in a suite of the face `requests`.
    ///
    /// # Panics
    /// If the provider has no such face, and its tests say that it has.
    #[must_use]
    pub fn requests(&self) -> &dyn Requests {
        self.provider().requests().expect("the face `requests` is claimed, but the provider has none")
    }

    /// The server that they go to.
    ///
    /// # Panics
    /// If the subject has none.
    #[must_use]
    pub fn site(&self) -> &Site {
        self.subject.site.as_ref().expect("the face `requests` is claimed, but the subject has no `site`")
    }

    /// Closes the store and opens it again for these models.
    ///
    /// # Errors
    /// What the opening says.
    ///
    /// # Panics
    /// If the subject can't be opened again, and its tests say that it is durable.
    pub async fn reopen(mut self, schemas: &[&'static Schema]) -> Result<Self> {
        let reopen = self
            .subject
            .reopen
            .take()
            .expect("the face `durable` is claimed, but the subject has no `reopened_by`");
        let setup = Setup { runtime: self.runtime.clone(), schemas: schemas.into() };
        let Self { runtime, cx, subject } = self;
        drop(subject);
        Ok(Self { runtime, cx, subject: reopen(setup).await? })
    }

    /// How long something that has to come may take, in time that passes.
    pub(crate) fn patience(&self) -> Duration {
        self.subject.patience
    }

    /// What random rows must not have.
    pub(crate) fn limits(&self) -> Limits {
        self.subject.limits
    }

    /// What stands beside a row that nobody has changed.
    #[must_use]
    pub fn meta(&self) -> Meta {
        Meta::synced(self.runtime.now())
    }

    /// What the provider says that it can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.provider().capabilities()
    }

    /// The rows that answer `query`, as the caller of a provider gets them: page by page, finished. A store must lend
    /// the same.
    ///
    /// # Errors
    /// What the provider says.
    ///
    /// # Panics
    /// If pages contradict each other or never end, or a store lends other rows than it gives.
    pub async fn select(&self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        let rows = self.gather(schema, query).await?;
        self.lends_alike(schema, query, &rows).await;
        Ok(rows)
    }

    /// The same without a look at what a store lends: for cases in which somebody writes at the same time.
    ///
    /// # Errors
    /// What the provider says.
    ///
    /// # Panics
    /// If pages contradict each other or never end.
    pub async fn gather(&self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        let (mut rows, mut done, mut cx) = (Vec::new(), None::<Done>, self.cx.clone());
        for _ in 0..PAGES {
            let page = self.provider().get(&cx, schema, query).await?;
            assert_eq!(
                *done.get_or_insert(page.done),
                page.done,
                "pages of one answer claim different things"
            );
            rows.extend(page.rows);
            let Some(next) = page.next else {
                return query.finish(schema, done.unwrap_or_default(), rows);
            };
            cx = self.cx.clone().resume(next);
        }
        panic!("the answer has more than {PAGES} pages")
    }

    /// A store lends what it gives; on the calling thread it may say that it would have to wait.
    async fn lends_alike(&self, schema: &'static Schema, query: &Query, given: &[PageRow]) {
        let Some(store) = &self.subject.store else { return };
        let copy = |row: &PageRow| {
            (row.meta.clone(), Record::copy(schema, &*row.row).expect("a row that can be read"))
        };
        let given: Vec<(Meta, Record)> = given.iter().map(copy).collect();
        let mut lent = Vec::new();
        let answered = store.read_now(schema, query, &mut |meta, row| {
            lent.push((meta.to_meta(), Record::copy(schema, row)?));
            Ok(())
        });
        if answered.expect("what `get` answers, `read_now` answers too") {
            assert_eq!(lent, given, "`read_now` lends other rows than `get` gives");
        }
        let copied = Arc::default();
        let to = Copying { schema, rows: Arc::clone(&copied) };
        store.lend(&self.cx, schema, query, Box::new(to)).await.expect("what `get` answers is lent too");
        let lent = copied.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*lent, given, "`lend` lends other rows than `get` gives");
    }

    /// The keys of the rows that answer `query`, in order.
    ///
    /// # Panics
    /// If the provider fails.
    pub async fn keys(&self, schema: &'static Schema, query: &Query) -> Vec<Key> {
        let rows = self.select(schema, query).await.unwrap_or_else(|error| panic!("{query:?}: {error}"));
        rows.iter().map(|row| schema.key_of(&*row.row).expect("a key")).collect()
    }

    /// The numbers that are the keys of the rows that `filter` lets through, in order.
    ///
    /// # Panics
    /// If the provider fails, or a key is no number.
    pub async fn ids(&self, schema: &'static Schema, filter: Predicate) -> Vec<i128> {
        numbers(&self.keys(schema, &Query::filter(filter)).await)
    }

    /// The row under `key`, if there is one.
    ///
    /// # Panics
    /// If the provider fails, or finds several.
    pub async fn find(&self, schema: &'static Schema, key: &Key) -> Option<PageRow> {
        let rows = self.select(schema, &Query::key(key.clone())).await;
        let mut rows = rows.unwrap_or_else(|error| panic!("{key}: {error}"));
        assert!(rows.len() < 2, "{} rows have the key {key}", rows.len());
        rows.pop()
    }

    /// Everything that is stored of a model, as plain values, in the order of the keys.
    ///
    /// # Panics
    /// If the provider fails.
    pub async fn all(&self, schema: &'static Schema) -> Vec<Plain> {
        let rows = self.select(schema, &Query::all()).await.expect("all rows");
        rows.iter().map(|row| plain(schema, &*row.row)).collect()
    }

    /// A mutation with an id of its own.
    ///
    /// # Panics
    /// If the record has no key.
    #[must_use]
    pub fn mutation(&self, operation: Operation, schema: &'static Schema, record: &Record) -> Mutation {
        Mutation {
            id: MutationId(self.runtime.uuid()),
            schema,
            key: schema.key_of(record).expect("a key"),
            operation,
            row: (operation != Operation::Delete).then(|| Arc::new(record.clone()) as Arc<_>),
            changed: None,
            base_version: None,
            extra: None,
            repeated: false,
            nested: Vec::new(),
        }
    }

    /// Does `operation` with `record`.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn apply(
        &self,
        operation: Operation,
        schema: &'static Schema,
        record: &Record,
    ) -> Result<Applied> {
        self.provider().apply(&self.cx, &self.mutation(operation, schema, record)).await
    }

    /// Puts rows into the provider before the case begins.
    ///
    /// # Panics
    /// If that fails.
    pub async fn put(&self, schema: &'static Schema, rows: impl IntoIterator<Item = Record>) {
        let rows: Vec<Record> = rows.into_iter().collect();
        if self.subject.store.is_some() {
            self.commit(rows.into_iter().map(|row| self.op(schema, row)).collect()).await;
            return;
        }
        self.put_by_apply(schema, rows).await;
    }

    /// The same as a remote gets them, store or not.
    ///
    /// # Panics
    /// If that fails.
    pub async fn put_by_apply(&self, schema: &'static Schema, rows: impl IntoIterator<Item = Record>) {
        let insert = self.capabilities().insert;
        let operation = if insert { Operation::Insert } else { Operation::Upsert };
        for row in rows {
            let applied = self.apply(operation, schema, &row).await;
            applied.unwrap_or_else(|error| panic!("can't put {row:?}: {error:?}"));
        }
    }

    /// Changes a row that is there.
    ///
    /// # Panics
    /// If that fails.
    pub async fn rewrite(&self, schema: &'static Schema, record: Record) {
        let operation = if self.capabilities().update { Operation::Update } else { Operation::Upsert };
        let applied = self.apply(operation, schema, &record).await;
        applied.unwrap_or_else(|error| panic!("can't change {record:?}: {error:?}"));
    }

    /// Removes a row; the verdict on a provider that can't.
    ///
    /// # Panics
    /// If it can, and fails.
    pub async fn delete(&self, schema: &'static Schema, record: &Record) -> Option<Verdict> {
        let refused = self.refuses(Operation::Delete, schema, record).await;
        if refused.is_none() {
            let applied = self.apply(Operation::Delete, schema, record).await;
            applied.unwrap_or_else(|error| panic!("can't remove {record:?}: {error:?}"));
        }
        refused
    }

    /// The write of a row within a batch.
    ///
    /// # Panics
    /// If the record has no key.
    #[must_use]
    pub fn op(&self, schema: &'static Schema, record: Record) -> Op {
        let key = schema.key_of(&record).expect("a key");
        Op::Put { schema, key, row: Arc::new(record), meta: self.meta(), tail: Tail::At(0) }
    }

    /// Commits these changes.
    ///
    /// # Panics
    /// If that fails.
    pub async fn commit(&self, ops: Vec<Op>) -> Committed {
        match self.try_commit(Batch { expect: Vec::new(), ops }).await {
            Ok(CommitOutcome::Committed(committed)) => committed,
            Ok(CommitOutcome::Stale) => panic!("a batch that expects nothing can't be stale"),
            Err(error) => panic!("the batch was refused: {error:?}"),
        }
    }

    /// Commits `batch`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn try_commit(&self, batch: Batch) -> Result<CommitOutcome> {
        self.store().commit(&self.cx, batch).await
    }

    /// The verdict on an operation that the provider does not have: it says `Unsupported`, and nothing changes. `None`
    /// if it has it.
    ///
    /// # Panics
    /// If it does not refuse.
    pub async fn refuses(
        &self,
        operation: Operation,
        schema: &'static Schema,
        record: &Record,
    ) -> Option<Verdict> {
        if self.capabilities().permit(operation, "").is_ok() {
            return None;
        }
        let before = self.all(schema).await;
        let verb = operation.verb();
        let error = self.apply(operation, schema, record).await.expect_err("what it says that it can't do");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        assert_eq!(self.all(schema).await, before, "a refused {verb} has changed something");
        Some(Verdict::Refused(format!("does not {verb}")))
    }
}

/// The numbers that keys are.
///
/// # Panics
/// If one is none.
#[must_use]
pub fn numbers(keys: &[Key]) -> Vec<i128> {
    let number = |key: &Key| match key {
        Key::Int(number) => *number,
        other => panic!("{other:?} is no number"),
    };
    keys.iter().map(number).collect()
}

/// Asserts that `result` is an error of this kind, and gives it.
///
/// # Panics
/// If it is none.
#[track_caller]
pub fn fails<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) -> Error {
    match result {
        Ok(value) => panic!("expected an error of the kind `{kind}`, found {value:?}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{error:?}");
            error
        }
    }
}
