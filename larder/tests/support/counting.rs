//! A store that counts how it is read.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use larder::core::runtime::BoxFuture;
use larder::core::{
    Applied, Batch, Borrower, Capabilities, CommitObserver, CommitOutcome, Context, Damage, Delta, Entry,
    Integrity, Loaded, MetaRef, Migrated, Mutation, OpenStore, Opening, OutboxCounts, Page, Presence,
    Provider, Query, Realtime, Requests, Row, Schema, Sink, Store, StoreSize, StoredRow, async_trait,
};
use larder::{Idempotency, Key, Operation, Result};

/// How a store was read.
#[derive(Default)]
pub(crate) struct Reads {
    /// Queries, lent or copied.
    pub(crate) queries: AtomicUsize,
    /// The most rows that one query gave.
    pub(crate) most: AtomicUsize,
    /// Rows that were counted and not read.
    pub(crate) counts: AtomicUsize,
    /// Outbox entries that were read one by one.
    pub(crate) entries: AtomicUsize,
    /// What happens before the next rows are lent.
    pub(crate) before: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads").field("queries", &self.queries()).finish_non_exhaustive()
    }
}

impl Reads {
    pub(crate) fn queries(&self) -> usize {
        self.queries.load(Ordering::SeqCst)
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn counts(&self) -> usize {
        self.counts.load(Ordering::SeqCst)
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries.load(Ordering::SeqCst)
    }

    fn note(&self, rows: usize) {
        self.queries.fetch_add(1, Ordering::SeqCst);
        self.most.fetch_max(rows, Ordering::SeqCst);
    }
}

/// A store that is not open yet.
#[derive(Debug)]
pub(crate) struct Counting<S> {
    pub(crate) store: S,
    pub(crate) reads: Arc<Reads>,
}

#[async_trait]
impl<S: OpenStore> OpenStore for Counting<S> {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Store>> {
        let inner = Box::new(self.store).open(opening).await?;
        Ok(Arc::new(Open { inner, reads: self.reads }))
    }
}

/// Counts what it passes on.
struct Counted {
    to: Box<dyn Borrower>,
    rows: Arc<AtomicUsize>,
}

impl Borrower for Counted {
    fn take(&mut self, meta: MetaRef<'_>, row: &dyn Row) -> Result<()> {
        self.rows.fetch_add(1, Ordering::SeqCst);
        self.to.take(meta, row)
    }

    fn anew(&mut self) {
        self.rows.store(0, Ordering::SeqCst);
        self.to.anew();
    }
}

#[derive(Debug)]
struct Open {
    inner: Arc<dyn Store>,
    reads: Arc<Reads>,
}

#[async_trait]
impl Provider for Open {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.inner.idempotency(schema, operation)
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        let page = self.inner.get(cx, schema, query).await?;
        self.reads.note(page.rows.len());
        Ok(page)
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<larder::core::Plan> {
        self.inner.explain(schema, query)
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.inner.exists(cx, schema, query).await
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        self.inner.apply(cx, mutation).await
    }

    fn delta(&self) -> Option<&dyn Delta> {
        self.inner.delta()
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        self.inner.realtime()
    }

    fn requests(&self) -> Option<&dyn Requests> {
        self.inner.requests()
    }
}

#[async_trait]
impl Store for Open {
    async fn commit(&self, cx: &Context, batch: Batch) -> Result<CommitOutcome> {
        self.inner.commit(cx, batch).await
    }

    fn read_now(&self, schema: &'static Schema, query: &Query, sink: Sink<'_>) -> Result<bool> {
        let mut rows = 0;
        let lent = self.inner.read_now(schema, query, &mut |meta, row| {
            rows += 1;
            sink(meta, row)
        })?;
        if lent {
            self.reads.note(rows);
        }
        Ok(lent)
    }

    async fn lend(
        &self,
        cx: &Context,
        schema: &'static Schema,
        query: &Query,
        to: Box<dyn Borrower>,
    ) -> Result<()> {
        let before = self.reads.before.lock().unwrap().take();
        if let Some(before) = before {
            before.await;
        }
        let rows = Arc::new(AtomicUsize::new(0));
        let to = Counted { to, rows: Arc::clone(&rows) };
        self.inner.lend(cx, schema, query, Box::new(to)).await?;
        self.reads.note(rows.load(Ordering::SeqCst));
        Ok(())
    }

    async fn count(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<u64> {
        self.reads.counts.fetch_add(1, Ordering::SeqCst);
        self.inner.count(cx, schema, query).await
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
        self.reads.entries.fetch_add(1, Ordering::SeqCst);
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
        self.inner.observe(observer);
    }
}
