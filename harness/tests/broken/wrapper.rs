//! A store in memory with a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use larder_core::{
    Applied, Batch, Borrower, Capabilities, CommitObserver, CommitOutcome, CompareOp, Context, Damage, Delta,
    Direction, Done, Entry, Idempotency, Integrity, Key, Loaded, Migrated, Mutation, Op, Operation,
    OutboxCounts, Outcome, Page, PageRow, Predicate, Presence, Provider, Query, Realtime, Record, Requests,
    Response, Result, Row, Schema, Sink, Store, StoreSize, StoredRow, Tail, Touched, Value,
};
use larder_harness::models::SPECIMEN;

use crate::faults::Fault::{
    self, AppliesTwice, ClaimsFilter, CutsText, DeleteForgets, Expectations, HalfBatches, IgnoresCase,
    InNothing, IndexOrder, InsertReplaces, LacksNull, LateObservers, LendsLess, LendsTwice, LosesTail,
    LostOffset, Mixup, Names, NotNull, NullRule, OffByOne, OpenEnd, SeqsAgain, ShowsTombstones, Slash,
    TieBreak, UpdateCreates, UpsertsSecretly, Versions, Wildcard, WrongOrder, Zeros,
};

/// A store in memory with a fault.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) fault: Fault,
    pub(crate) told: Mutex<Told>,
}

/// What was told of changes.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The last cursor.
    pub(crate) place: Option<String>,
    /// Rows as they were told first.
    pub(crate) first: BTreeMap<(&'static str, Key), PageRow>,
    pub(crate) gone: BTreeSet<Key>,
    /// The last answer to a request.
    pub(crate) answer: Option<Response>,
}

impl Broken {
    /// What is judged instead.
    fn filter(&self, filter: &Predicate) -> Predicate {
        // What is too deep is refused further in, and must not be followed here.
        if filter.depth() > larder_core::query::MAX_DEPTH {
            return filter.clone();
        }
        let null = |field: u16| Predicate::Compare { field, op: CompareOp::Eq, value: Value::Null };
        let each =
            |children: &[Predicate]| children.iter().map(|child| self.filter(child)).collect::<Vec<_>>();
        match (self.fault, filter.clone()) {
            (NullRule, one @ Predicate::Compare { field, op: CompareOp::Ne, .. }) => {
                Predicate::Or(vec![one, null(field)])
            }
            (InNothing, Predicate::In { values, .. }) if values.is_empty() => Predicate::All,
            (Wildcard, Predicate::Text { field, op, needle, ignore_case, negated }) => {
                let needle = needle.replace('%', "").into();
                Predicate::Text { field, op, needle, ignore_case, negated }
            }
            (IgnoresCase, Predicate::Text { field, op, needle, negated, .. }) => {
                Predicate::Text { field, op, needle, ignore_case: true, negated }
            }
            (OpenEnd, Predicate::Between { field, low, high }) => Predicate::And(vec![
                Predicate::Compare { field, op: CompareOp::Ge, value: low },
                Predicate::Compare { field, op: CompareOp::Lt, value: high },
            ]),
            (Zeros, Predicate::Compare { field, op: CompareOp::Eq, value: value @ Value::Float(_) }) => {
                Predicate::Between { field, low: value.clone(), high: value }
            }
            (NotNull, Predicate::Not(child)) => match *child {
                Predicate::Compare { field, .. } => {
                    Predicate::And(vec![filter.clone(), Predicate::Not(Box::new(null(field)))])
                }
                other => Predicate::Not(Box::new(self.filter(&other))),
            },
            (
                LacksNull,
                one @ (Predicate::Text { field, negated: true, .. }
                | Predicate::Member { field, negated: true, .. }),
            ) => Predicate::Or(vec![one, null(field)]),
            (Names, Predicate::Compare { field: 4, op, value }) => Predicate::Compare { field: 5, op, value },
            (Mixup, Predicate::Among { field: 2, keys })
                if keys.iter().all(|key| matches!(key, Key::Int(_))) =>
            {
                Predicate::Among { field: 3, keys }
            }
            (
                IndexOrder,
                one @ Predicate::Compare { field, op: CompareOp::Lt | CompareOp::Le, value: Value::Int(0..) },
            ) => {
                let not_below = Predicate::Compare { field, op: CompareOp::Ge, value: Value::Int(0) };
                Predicate::And(vec![one, not_below])
            }
            (Slash, Predicate::Key(Key::Str(key))) if key.contains('/') => Predicate::none(),
            (_, Predicate::And(children)) => Predicate::And(each(&children)),
            (_, Predicate::Or(children)) => Predicate::Or(each(&children)),
            (_, Predicate::Not(child)) => Predicate::Not(Box::new(self.filter(&child))),
            (_, other) => other,
        }
    }

    fn query(&self, query: &Query) -> Query {
        let mut query = Query { filter: self.filter(&query.filter), ..query.clone() };
        match self.fault {
            OffByOne => {
                query.limit = query.limit.map(|limit| limit.saturating_add(u64::from(limit > 0)));
            }
            WrongOrder => query.order.iter_mut().for_each(|order| order.direction = Direction::Ascending),
            LostOffset if query.limit.is_none() => query.offset = 0,
            ClaimsFilter => query.filter = Predicate::All,
            _ => {}
        }
        query
    }

    async fn answer(&self, cx: &Context, schema: &'static Schema, asked: &Query) -> Result<Page> {
        let mut page = self.inner.get(cx, schema, &self.query(asked)).await?;
        if self.fault == TieBreak && !asked.order.is_empty() {
            page.rows = self.inner.get(cx, schema, &asked.unlimited()).await?.rows;
            page.rows.reverse();
            // A stable sort by the fields alone, over rows in the falling order of their keys.
            let query = Query { filter: Predicate::All, ..asked.clone() };
            static KEYLESS: std::sync::LazyLock<Schema> = std::sync::LazyLock::new(|| {
                Schema::new("Keyless", SPECIMEN.fields, larder_core::KeyDef::natural(&[]))
            });
            query
                .sort(if *schema == SPECIMEN { &KEYLESS } else { schema }, &mut page.rows, |row| &*row.row)?;
            let done = Done { window: false, ..Done::ALL };
            page.rows = asked.finish(schema, done, page.rows)?;
        }
        if let (IndexOrder, Some(first)) = (self.fault, asked.order.first())
            && first.direction == Direction::Ascending
        {
            let below = |row: &larder_core::PageRow| {
                row.row
                    .field(first.field.into())
                    .is_ok_and(|shown| matches!(shown, larder_core::ValueRef::Int(..0)))
            };
            let (mut negative, mut others): (Vec<_>, Vec<_>) = page.rows.into_iter().partition(below);
            others.append(&mut negative);
            page.rows = others;
        }
        if self.fault == ShowsTombstones && asked.as_key().is_some() && page.rows.is_empty() {
            let stored = self.inner.load(cx, schema, asked.as_key().expect("a key")).await?;
            if let Some(stored) = stored {
                let row = Arc::new(larder_harness::models::specimen(1));
                page.rows.push(larder_core::PageRow::new(stored.meta, row));
            }
        }
        Ok(page)
    }

    fn mutation(&self, mutation: &Mutation) -> Mutation {
        let mut mutation = mutation.clone();
        match (self.fault, mutation.operation) {
            (InsertReplaces, Operation::Insert) | (UpdateCreates, Operation::Update) => {
                mutation.operation = Operation::Upsert;
            }
            (Versions, _) => mutation.base_version = None,
            (AppliesTwice, _) if mutation.repeated => {
                mutation.id.0 = uuid::Uuid::from_u128(mutation.id.0.as_u128() + 1);
            }
            _ => {}
        }
        if let (Names, Some(row)) = (self.fault, &mutation.row)
            && *mutation.schema == SPECIMEN
        {
            let mut swapped = Record::copy(&SPECIMEN, &**row).expect("a row");
            let (low, high) =
                (swapped.get(4).cloned().unwrap_or_default(), swapped.get(5).cloned().unwrap_or_default());
            swapped.set(4, high);
            swapped.set(5, low);
            mutation.row = Some(Arc::new(swapped));
        }
        if let (CutsText, Some(row)) = (self.fault, &mutation.row)
            && *mutation.schema == SPECIMEN
            && let Some(Value::Str(title)) = Record::copy(&SPECIMEN, &**row).expect("a row").get(15)
            && title.len() > 65_535
        {
            let mut cut = Record::copy(&SPECIMEN, &**row).expect("a row");
            cut.set(15, Value::Str(title[..65_535].into()));
            mutation.row = Some(Arc::new(cut) as Arc<dyn Row>);
        }
        mutation
    }
}

#[async_trait]
impl Provider for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.upsert &= self.fault != UpsertsSecretly;
        capabilities
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.inner.idempotency(schema, operation)
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        self.answer(cx, schema, query).await
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<larder_core::Plan> {
        self.inner.explain(schema, query)
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        let page = self.answer(cx, schema, query).await?;
        Ok(if page.rows.is_empty() { Presence::Absent } else { Presence::Present })
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        if self.fault == DeleteForgets && mutation.operation == Operation::Delete {
            return Ok(Applied { outcome: Outcome::Deleted, row: None });
        }
        self.inner.apply(cx, &self.mutation(mutation)).await
    }

    fn delta(&self) -> Option<&dyn Delta> {
        self.inner.delta().map(|_| self as &dyn Delta)
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        self.inner.realtime().map(|_| self as &dyn Realtime)
    }

    fn requests(&self) -> Option<&dyn Requests> {
        self.inner.requests().map(|_| self as &dyn Requests)
    }
}

/// Tells an observer of both moments at the later one.
struct Late(Weak<dyn CommitObserver>);

impl CommitObserver for Late {
    fn durable(&self, _: &Touched) {}

    fn published(&self, touched: &Touched) {
        if let Some(observer) = self.0.upgrade() {
            observer.durable(touched);
            observer.published(touched);
        }
    }
}

#[async_trait]
impl Store for Broken {
    async fn commit(&self, cx: &Context, mut batch: Batch) -> Result<CommitOutcome> {
        match self.fault {
            Expectations => batch.expect.clear(),
            LosesTail => batch.ops.iter_mut().for_each(|op| {
                if let Op::Put { tail, .. } = op {
                    *tail = Tail::At(0);
                }
            }),
            HalfBatches if batch.expect.is_empty() && batch.ops.len() > 4 => {
                let mut outcome = CommitOutcome::Stale;
                for op in batch.ops {
                    outcome = self.inner.commit(cx, Batch { expect: Vec::new(), ops: vec![op] }).await?;
                }
                return Ok(outcome);
            }
            _ => {}
        }
        let outcome = self.inner.commit(cx, batch).await?;
        Ok(match outcome {
            CommitOutcome::Committed(mut committed) if self.fault == SeqsAgain => {
                committed.seqs.iter_mut().for_each(|seq| *seq = 1);
                CommitOutcome::Committed(committed)
            }
            other => other,
        })
    }

    fn read_now(&self, schema: &'static Schema, query: &Query, sink: Sink<'_>) -> Result<bool> {
        if self.fault != LendsLess {
            // What is lent is what `get` gives, faults included.
            let page = block_on_ready(self.answer(&Context::new(), schema, query))?;
            for row in &page.rows {
                sink(row.meta.show(), &*row.row)?;
            }
            return Ok(true);
        }
        let mut query = query.clone();
        let rows = block_on_ready(self.inner.get(&Context::new(), schema, &query))?.rows.len() as u64;
        query.limit = Some(rows.saturating_sub(1));
        self.inner.read_now(schema, &query, sink)
    }

    async fn lend(
        &self,
        cx: &Context,
        schema: &'static Schema,
        query: &Query,
        mut to: Box<dyn Borrower>,
    ) -> Result<()> {
        let page = self.answer(cx, schema, query).await?;
        to.anew();
        let twice = page.rows.first().filter(|_| self.fault == LendsTwice);
        twice.into_iter().chain(&page.rows).try_for_each(|row| to.take(row.meta.show(), &*row.row))
    }

    async fn count(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<u64> {
        if self.fault == Fault::CountsAll {
            return self.inner.count(cx, schema, &query.unlimited()).await;
        }
        Ok(self.answer(cx, schema, query).await?.rows.len() as u64)
    }

    async fn load(&self, cx: &Context, schema: &'static Schema, key: &Key) -> Result<Option<StoredRow>> {
        self.inner.load(cx, schema, key).await
    }

    fn revision(&self) -> u64 {
        self.inner.revision()
    }

    async fn outbox(&self, cx: &Context, after: u64, limit: usize) -> Result<Loaded> {
        self.inner.outbox(cx, after, limit).await
    }

    async fn entry(&self, cx: &Context, seq: u64) -> Result<Option<Entry>> {
        self.inner.entry(cx, seq).await
    }

    async fn outbox_counts(&self, cx: &Context) -> Result<OutboxCounts> {
        self.inner.outbox_counts(cx).await
    }

    async fn cursor(&self, cx: &Context, scope: &str) -> Result<Option<String>> {
        self.inner.cursor(cx, scope).await
    }

    async fn migrate(&self, cx: &Context, limit: usize) -> Result<Migrated> {
        self.inner.migrate(cx, limit).await
    }

    async fn wipe(&self, cx: &Context) -> Result<()> {
        self.inner.wipe(cx).await
    }

    async fn check(&self, cx: &Context) -> Result<Integrity> {
        self.inner.check(cx).await
    }

    async fn salvage(&self, cx: &Context) -> Result<Option<Damage>> {
        self.inner.salvage(cx).await
    }

    fn damage(&self) -> Option<Damage> {
        self.inner.damage()
    }

    async fn acknowledge(&self, cx: &Context, damage: &Damage) -> Result<()> {
        self.inner.acknowledge(cx, damage).await
    }

    async fn compact(&self, cx: &Context) -> Result<StoreSize> {
        self.inner.compact(cx).await
    }

    async fn size(&self, cx: &Context) -> Result<StoreSize> {
        self.inner.size(cx).await
    }

    fn observe(&self, observer: Weak<dyn CommitObserver>) {
        if self.fault != LateObservers {
            return self.inner.observe(observer);
        }
        let late: Arc<dyn CommitObserver> = Arc::new(Late(observer));
        self.inner.observe(Arc::downgrade(&late));
        // As long as the process: the store holds no observer alive.
        std::mem::forget(late);
    }
}

/// The store in memory never waits.
pub(crate) fn block_on_ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the store in memory waits"),
    }
}
