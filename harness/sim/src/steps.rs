//! The store of one life of a device: each call is a step at which the life may end, and at which others may come first.

use std::future::pending;
use std::sync::{Arc, Weak};

use larder_core::{
    Applied, Batch, Borrower, Capabilities, CommitObserver, CommitOutcome, Context, Damage, Delta, Entry,
    Error, ErrorKind, Idempotency, Integrity, Key, Loaded, Migrated, Mutation, OpenStore, Opening, Operation,
    OutboxCounts, Page, Plan, Presence, Provider, Query, Realtime, Requests, Result, Schema, Sink, Store,
    StoreSize, StoredRow, async_trait,
};

use crate::kernel::step_aside;
use crate::world::{Of, Shared};

/// Opens the store of one life of a device.
#[derive(Debug)]
pub(crate) struct OpenSteps {
    pub(crate) world: Arc<Shared>,
    pub(crate) device: usize,
    pub(crate) life: u64,
}

#[async_trait]
impl OpenStore for OpenSteps {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Store>> {
        let Self { world, device, life } = *self;
        let inner = world.slots[device].medium.open(opening).await?;
        world.opened(device, life, Arc::clone(&inner));
        let layer = Arc::clone(&world.plan);
        Ok((layer.over_store)(Arc::new(Steps { inner, world, device, life })))
    }
}

/// The store of one life of a device.
#[derive(Debug)]
struct Steps {
    inner: Arc<dyn Store>,
    world: Arc<Shared>,
    device: usize,
    life: u64,
}

impl Steps {
    /// A step: it may be the last one.
    async fn step(&self) -> Result<()> {
        let blocking = self.world.kernel.is_blocking();
        if self.world.step(self.device, self.life) {
            if !blocking && self.world.kernel.one_in(4) {
                step_aside().await;
            }
            if self.world.is_alive(self.device, self.life) {
                return Ok(());
            }
        }
        if blocking {
            return Err(Error::new(ErrorKind::Storage, "the process was killed"));
        }
        pending().await
    }

    /// An operation begins: it may be the one that fails.
    async fn begin(&self) -> Result<()> {
        self.step().await?;
        if self.world.fails(self.device) {
            self.world.note(Of(self.device), format_args!("an operation of its store fails"));
            return Err(Error::new(ErrorKind::Storage, "the medium does not answer"));
        }
        Ok(())
    }

    /// An operation that writes begins.
    async fn begin_writing(&self) -> Result<()> {
        self.begin().await?;
        if self.world.is_full(self.device) {
            return Err(Error::new(ErrorKind::Full, "there is no room on the disk"));
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for Steps {
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
        self.begin().await?;
        self.inner.get(cx, schema, query).await
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.begin().await?;
        self.inner.exists(cx, schema, query).await
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        self.inner.explain(schema, query)
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        self.begin_writing().await?;
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
impl Store for Steps {
    async fn commit(&self, cx: &Context, batch: Batch) -> Result<CommitOutcome> {
        self.begin_writing().await?;
        let outcome = self.inner.commit(cx, batch).await?;
        // What is durable may never be heard of.
        self.step().await?;
        Ok(outcome)
    }

    fn read_now(&self, schema: &'static Schema, query: &Query, sink: Sink<'_>) -> Result<bool> {
        self.inner.read_now(schema, query, sink)
    }

    async fn lend(
        &self,
        cx: &Context,
        schema: &'static Schema,
        query: &Query,
        to: Box<dyn Borrower>,
    ) -> Result<()> {
        self.begin().await?;
        self.inner.lend(cx, schema, query, to).await
    }

    async fn count(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<u64> {
        self.begin().await?;
        self.inner.count(cx, schema, query).await
    }

    async fn load(&self, cx: &Context, schema: &'static Schema, key: &Key) -> Result<Option<StoredRow>> {
        self.begin().await?;
        self.inner.load(cx, schema, key).await
    }

    fn revision(&self) -> u64 {
        self.inner.revision()
    }

    async fn outbox(&self, cx: &Context, after: u64, limit: usize) -> Result<Loaded> {
        self.begin().await?;
        self.inner.outbox(cx, after, limit).await
    }

    async fn entry(&self, cx: &Context, seq: u64) -> Result<Option<Entry>> {
        self.begin().await?;
        self.inner.entry(cx, seq).await
    }

    async fn outbox_counts(&self, cx: &Context) -> Result<OutboxCounts> {
        self.begin().await?;
        self.inner.outbox_counts(cx).await
    }

    async fn cursor(&self, cx: &Context, scope: &str) -> Result<Option<String>> {
        self.begin().await?;
        self.inner.cursor(cx, scope).await
    }

    async fn migrate(&self, cx: &Context, limit: usize) -> Result<Migrated> {
        self.begin_writing().await?;
        self.inner.migrate(cx, limit).await
    }

    async fn wipe(&self, cx: &Context) -> Result<()> {
        self.begin_writing().await?;
        self.inner.wipe(cx).await?;
        self.step().await
    }

    async fn check(&self, cx: &Context) -> Result<Integrity> {
        self.begin().await?;
        self.inner.check(cx).await
    }

    async fn salvage(&self, cx: &Context) -> Result<Option<Damage>> {
        self.begin_writing().await?;
        let salvaged = self.inner.salvage(cx).await?;
        self.step().await?;
        Ok(salvaged)
    }

    fn damage(&self) -> Option<Damage> {
        self.inner.damage()
    }

    async fn acknowledge(&self, cx: &Context, damage: &Damage) -> Result<()> {
        self.begin_writing().await?;
        self.inner.acknowledge(cx, damage).await?;
        self.step().await
    }

    async fn compact(&self, cx: &Context) -> Result<StoreSize> {
        self.begin_writing().await?;
        let size = self.inner.compact(cx).await?;
        self.step().await?;
        Ok(size)
    }

    async fn size(&self, cx: &Context) -> Result<StoreSize> {
        self.begin().await?;
        self.inner.size(cx).await
    }

    fn observe(&self, observer: Weak<dyn CommitObserver>) {
        self.inner.observe(observer);
    }
}
