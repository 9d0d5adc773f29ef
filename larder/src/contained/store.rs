//! A store whose panics are errors: a defect of it ends one call, and neither the outbox nor a sync in the background.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use larder_core::{
    Applied, Batch, Borrower, Capabilities, CommitObserver, CommitOutcome, Context, Damage, Delta, Entry,
    Error, ErrorKind, Idempotency, Integrity, Key, Loaded, MetaRef, Migrated, Mutation, Operation,
    OutboxCounts, Page, Plan, Presence, Provider, Query, Realtime, Requests, Result, Row, Schema, Sink,
    Store, StoreSize, StoredRow, async_trait,
};

use super::panicked::{Panicked, later, now};
use crate::events::{Part, Teller};

/// A store that does not panic, whatever the one within does.
///
/// What it was asked for when it panicked is an error of the kind `Corrupt` whose source is a [`Panicked`]: whether it has done
/// it, nobody knows. A panic of the one to whom it lends its rows is his own.
#[derive(Debug)]
pub(crate) struct ContainedStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) teller: Teller,
}

impl ContainedStore {
    fn name_of(&self) -> &str {
        now(|| self.inner.name()).unwrap_or("without a name")
    }

    #[cold]
    fn failed(&self, panicked: Panicked) -> Error {
        let store = self.name_of();
        let what = format!(
            "the store {store} panicked ({panicked}): check it, and tell whoever maintains it what it was asked for"
        );
        self.teller.panicked(Part::Store, &panicked);
        Error::new(ErrorKind::Corrupt, what).because(panicked)
    }

    /// What `ask` comes to; a panic is an error.
    fn now<T>(&self, ask: impl FnOnce(&dyn Store) -> Result<T>) -> Result<T> {
        now(|| ask(&*self.inner)).unwrap_or_else(|panicked| Err(self.failed(panicked)))
    }

    /// A fact about the store; `otherwise` if it panics over it.
    fn fact<T>(&self, otherwise: T, ask: impl FnOnce(&dyn Store) -> T) -> T {
        self.now(|inner| Ok(ask(inner))).unwrap_or(otherwise)
    }

    /// What `request` comes to; a panic is an error.
    pub(super) async fn later<T, F: Future<Output = Result<T>> + Send>(
        &self,
        during: &'static str,
        request: impl FnOnce() -> F + Send,
    ) -> Result<T> {
        later(request).await.unwrap_or_else(|panicked| Err(self.failed(panicked).during(during)))
    }
}

#[async_trait]
impl Provider for ContainedStore {
    fn name(&self) -> &str {
        self.name_of()
    }

    fn capabilities(&self) -> Capabilities {
        self.fact(Capabilities::NONE, Provider::capabilities)
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.fact(Idempotency::AtMostOnce, |inner| inner.idempotency(schema, operation))
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        self.later("get", || self.inner.get(cx, schema, query)).await
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.later("look for", || self.inner.exists(cx, schema, query)).await
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        self.now(|inner| inner.explain(schema, query))
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        self.later(mutation.operation.verb(), || self.inner.apply(cx, mutation)).await
    }

    // The local side is asked for no face of a remote.
    fn delta(&self) -> Option<&dyn Delta> {
        None
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        None
    }

    fn requests(&self) -> Option<&dyn Requests> {
        None
    }
}

#[async_trait]
impl Store for ContainedStore {
    async fn commit(&self, cx: &Context, batch: Batch) -> Result<CommitOutcome> {
        self.later("commit", || self.inner.commit(cx, batch)).await
    }

    fn read_now(&self, schema: &'static Schema, query: &Query, sink: Sink<'_>) -> Result<bool> {
        let mut lending = false;
        let lent = catch_unwind(AssertUnwindSafe(|| {
            self.inner.read_now(schema, query, &mut |meta, row| {
                lending = true;
                let taken = sink(meta, row);
                lending = false;
                taken
            })
        }));
        match lent {
            Ok(lent) => lent,
            Err(payload) if lending => resume_unwind(payload),
            Err(payload) => Err(self.failed(Panicked::of(&*payload)).during("read")),
        }
    }

    async fn lend(
        &self,
        cx: &Context,
        schema: &'static Schema,
        query: &Query,
        to: Box<dyn Borrower>,
    ) -> Result<()> {
        let lending = Arc::<AtomicBool>::default();
        let to = Box::new(Lending { to, now: Arc::clone(&lending) });
        let lend = AssertUnwindSafe(async { self.inner.lend(cx, schema, query, to).await });
        match futures_util::FutureExt::catch_unwind(lend).await {
            Ok(lent) => lent,
            Err(payload) if lending.load(Ordering::Acquire) => resume_unwind(payload),
            Err(payload) => Err(self.failed(Panicked::of(&*payload)).during("read")),
        }
    }

    async fn count(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<u64> {
        self.later("count", || self.inner.count(cx, schema, query)).await
    }

    async fn load(&self, cx: &Context, schema: &'static Schema, key: &Key) -> Result<Option<StoredRow>> {
        self.later("load", || self.inner.load(cx, schema, key)).await
    }

    /// Where that is not known, every row counts as newer than whatever relies on it.
    fn revision(&self) -> u64 {
        self.fact(0, Store::revision)
    }

    async fn outbox(&self, cx: &Context, after: u64, limit: usize) -> Result<Loaded> {
        match self.later("read the outbox", || self.inner.outbox(cx, after, limit)).await {
            Err(error) if Panicked::is_cause_of(&error) => self.one_by_one(cx, after, limit, error).await,
            loaded => loaded,
        }
    }

    async fn entry(&self, cx: &Context, seq: u64) -> Result<Option<Entry>> {
        self.later("read the outbox", || self.inner.entry(cx, seq)).await
    }

    async fn outbox_counts(&self, cx: &Context) -> Result<OutboxCounts> {
        self.later("count the outbox", || self.inner.outbox_counts(cx)).await
    }

    async fn cursor(&self, cx: &Context, scope: &str) -> Result<Option<String>> {
        self.later("read a note", || self.inner.cursor(cx, scope)).await
    }

    async fn migrate(&self, cx: &Context, limit: usize) -> Result<Migrated> {
        self.later("migrate", || self.inner.migrate(cx, limit)).await
    }

    async fn wipe(&self, cx: &Context) -> Result<()> {
        self.later("wipe", || self.inner.wipe(cx)).await
    }

    async fn check(&self, cx: &Context) -> Result<Integrity> {
        self.later("check", || self.inner.check(cx)).await
    }

    async fn salvage(&self, cx: &Context) -> Result<Option<Damage>> {
        self.later("salvage", || self.inner.salvage(cx)).await
    }

    fn damage(&self) -> Option<Damage> {
        self.fact(None, Store::damage)
    }

    async fn acknowledge(&self, cx: &Context, damage: &Damage) -> Result<()> {
        self.later("acknowledge", || self.inner.acknowledge(cx, damage)).await
    }

    async fn compact(&self, cx: &Context) -> Result<StoreSize> {
        self.later("compact", || self.inner.compact(cx)).await
    }

    async fn size(&self, cx: &Context) -> Result<StoreSize> {
        self.later("measure", || self.inner.size(cx)).await
    }

    fn observe(&self, observer: Weak<dyn CommitObserver>) {
        self.fact((), |inner| inner.observe(observer));
    }
}

/// Takes what is lent, and knows while it does: a panic is the borrower's own then.
struct Lending {
    to: Box<dyn Borrower>,
    now: Arc<AtomicBool>,
}

impl Borrower for Lending {
    fn take(&mut self, meta: MetaRef<'_>, row: &dyn Row) -> Result<()> {
        self.now.store(true, Ordering::Release);
        let taken = self.to.take(meta, row);
        self.now.store(false, Ordering::Release);
        taken
    }

    fn anew(&mut self) {
        self.to.anew();
    }
}
