//! The provider as a store: batches, lent rows, the outbox.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use larder_core::packed::Stored;
use larder_core::{
    Batch, Borrower, CommitObserver, CommitOutcome, Context, Damage, Entry, Error, ErrorKind, Finding,
    FindingKind, Integrity, Key, Loaded, MetaRef, Migrated, OutboxCounts, Query, Result, Row, Schema, Sink,
    Store, StoreSize, StoredRow,
};
use tracing::Instrument as _;

use crate::catalog::Slot;
use crate::codec;
use crate::count::count;
use crate::counters;
use crate::error::Panicked;
use crate::outbox;
use crate::plan::Plan;
use crate::provider::{RedbStore, is_long};
use crate::reads::{Halt, Watch};
use crate::scan;
use crate::writer::{Cause, Job, lock};

/// The most outbox entries that are read on the calling thread.
const INLINE_ENTRIES: usize = 32;

/// How often a check begins anew because the store has reopened itself.
const LOOKS: usize = 8;

#[async_trait]
impl Store for RedbStore {
    async fn commit(&self, cx: &Context, batch: Batch) -> Result<CommitOutcome> {
        let span =
            tracing::debug_span!("larder_redb::write", ops = batch.ops.len(), expect = batch.expect.len());
        Watch::new(&self.shared.runtime, cx).check().map_err(|error| error.during("commit"))?;
        let committed = self.shared.write(batch, cx.alone).instrument(span).await;
        self.shared.noted(committed).map_err(|error| error.during("commit"))
    }

    fn read_now(&self, schema: &'static Schema, query: &Query, sink: Sink<'_>) -> Result<bool> {
        let _entered = tracing::trace_span!("larder_redb::read_now", model = schema.model).entered();
        let lent = match query.as_key() {
            Some(key) => self.lend_one(schema, query, key, sink),
            None => self.lend_now(schema, query, sink),
        };
        match lent {
            Ok(done) => Ok(done),
            // The store reopened itself meanwhile: what was lent is void.
            Err(Halt::Closed) => Ok(false),
            Err(Halt::Failed(error)) => {
                self.shared.noted(Err(error)).map_err(|error| error.during("get").model(schema.model))
            }
        }
    }

    async fn lend(
        &self,
        cx: &Context,
        schema: &'static Schema,
        query: &Query,
        to: Box<dyn Borrower>,
    ) -> Result<()> {
        let span =
            tracing::debug_span!("larder_redb::lend", model = schema.model, steps = tracing::field::Empty);
        let lent = self.lend_all(cx, schema, query, to).instrument(span).await;
        self.shared.noted(lent).map_err(|error| error.during("get").model(schema.model))
    }

    async fn count(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<u64> {
        let span = tracing::debug_span!("larder_redb::count", model = schema.model);
        query.check_alone(schema).map_err(|error| error.during("count"))?;
        let slot = self.shared.catalog.slot(schema)?;
        let (at, query, watch) = (slot.at, query.clone(), Watch::new(&self.shared.runtime, cx));
        let counted = self.read_long(move |shared, generation| {
            count(generation, &shared.catalog.slots()[at], &query, &watch)
        });
        let counted = counted.instrument(span).await;
        self.shared.noted(counted).map_err(|error| error.during("count").model(schema.model))
    }

    async fn load(&self, _: &Context, schema: &'static Schema, key: &Key) -> Result<Option<StoredRow>> {
        let span = tracing::trace_span!("larder_redb::load", model = schema.model);
        let slot = self.shared.catalog.slot(schema)?;
        let at = codec::row_key(slot.model, key);
        let named = |error: Error| error.during("load").model(schema.model).key(key);
        let found = self.read(|generation| match generation.get(&at)? {
            Some(record) => Ok(Some(stored_row(slot, key, record.value())?)),
            None => Ok(None),
        });
        let found = found.instrument(span).await;
        self.shared.noted(found).map_err(named)
    }

    fn revision(&self) -> u64 {
        self.shared.revision()
    }

    async fn outbox(&self, _: &Context, after: u64, limit: usize) -> Result<Loaded> {
        let span = tracing::debug_span!("larder_redb::outbox", after, limit);
        let loaded = async {
            // Whoever asks for many after each commit mostly gets one or two: that is not worth a hop.
            let few = limit.min(INLINE_ENTRIES);
            let loaded =
                self.read(|generation| outbox::load(generation, &self.shared.catalog, after, few)).await?;
            if few == limit || loaded.entries.len() + loaded.unreadable.len() < few {
                return Ok(loaded);
            }
            self.read_long(move |shared, generation| outbox::load(generation, &shared.catalog, after, limit))
                .await
        };
        let loaded = self.shared.noted(loaded.instrument(span).await);
        if let Some(damaged) = loaded.as_ref().ok().and_then(|loaded| loaded.unreadable.first()) {
            self.shared.suspect(&damaged.error);
        }
        loaded.map_err(|error| error.during("read the outbox"))
    }

    async fn entry(&self, _: &Context, seq: u64) -> Result<Option<Entry>> {
        let entry = self.read(|generation| match generation.get(&codec::outbox_key(seq))? {
            Some(bytes) => match outbox::read(&self.shared.catalog, seq, bytes.value()) {
                Ok(entry) => Ok(Some(entry)),
                Err(unreadable) => Err(unreadable.error.into()),
            },
            None => Ok(None),
        });
        self.shared.noted(entry.await).map_err(|error| error.during("read the outbox"))
    }

    async fn outbox_counts(&self, _: &Context) -> Result<OutboxCounts> {
        let counters = self.read(|generation| Ok(counters::read(&generation.table)?));
        let counters = self.shared.noted(counters.await).map_err(|error| error.during("count the outbox"))?;
        Ok(OutboxCounts { entries: counters.entries, parked: counters.parked })
    }

    async fn cursor(&self, _: &Context, scope: &str) -> Result<Option<String>> {
        let key = codec::cursor_key(scope);
        let value = self.read(|generation| {
            let Some(sealed) = generation.get(&key)? else {
                return Ok(None);
            };
            let text = std::str::from_utf8(codec::unseal(sealed.value(), "a cursor")?);
            Ok(Some(text.map_err(|_| codec::damaged("a cursor"))?.to_owned()))
        });
        self.shared.noted(value.await).map_err(|error| error.during("read the cursor").key(scope))
    }

    async fn migrate(&self, cx: &Context, limit: usize) -> Result<Migrated> {
        Watch::new(&self.shared.runtime, cx).check().map_err(|error| error.during("migrate"))?;
        self.shared.ask(|to| Job::Migrate(limit, to)).await.map_err(|error| error.during("migrate"))
    }

    async fn wipe(&self, _: &Context) -> Result<()> {
        self.shared.ask(Job::Wipe).await.map_err(|error| error.during("wipe"))
    }

    async fn check(&self, cx: &Context) -> Result<Integrity> {
        let watch = Watch::new(&self.shared.runtime, cx);
        self.look_at_all(&watch).await.map_err(|error| error.during("check"))
    }

    async fn salvage(&self, _: &Context) -> Result<Option<Damage>> {
        self.shared.ask(|to| Job::Mend(Cause::Asked, Some(to))).await.map_err(|error| error.during("salvage"))
    }

    fn damage(&self) -> Option<Damage> {
        lock(&self.shared.reports).last().map(|report| report.damage.clone())
    }

    async fn acknowledge(&self, _: &Context, damage: &Damage) -> Result<()> {
        let damage = damage.clone();
        let told = self.shared.ask(|answer| Job::Acknowledge(damage, answer)).await;
        told.map_err(|error| error.during("acknowledge damage"))
    }

    async fn compact(&self, _: &Context) -> Result<StoreSize> {
        self.shared.ask(Job::Compact).await.map_err(|error| error.during("compact"))
    }

    async fn size(&self, _: &Context) -> Result<StoreSize> {
        let bytes = self.shared.medium.size().map_err(|error| error.during("measure"))?;
        Ok(StoreSize { bytes })
    }

    fn observe(&self, observer: Weak<dyn CommitObserver>) {
        self.shared.observe(observer);
    }
}

impl RedbStore {
    /// Looks at one committed state, off the asynchronous threads.
    async fn look_at_all(&self, watch: &Watch) -> Result<Integrity> {
        for _ in 0..LOOKS {
            watch.check()?;
            let snapshot = match self.shared.ask(Job::Snapshot).await {
                Ok(snapshot) => snapshot,
                // It can't even be opened any more: that is what was found.
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    let mut found = Integrity::default();
                    let message = error.to_string();
                    found.note(Finding { kind: FindingKind::Page, model: None, key: None, message });
                    return Ok(found);
                }
                Err(error) => return Err(error),
            };
            let (shared, watch) = (self.shared.clone(), watch.clone());
            match self.off_thread(move || snapshot.check(&shared.catalog, &watch)).await? {
                Ok(found) => return Ok(found),
                Err(Halt::Failed(error)) => return Err(error),
                // The store reopened itself meanwhile.
                Err(Halt::Closed) => {}
            }
        }
        let message = "the store closes itself whenever it is looked at: salvage it";
        Err(Error::new(ErrorKind::Corrupt, message))
    }

    /// The way that a cache miss takes: one lookup, and the row out of its page.
    fn lend_one(
        &self,
        schema: &'static Schema,
        query: &Query,
        key: &Key,
        sink: Sink<'_>,
    ) -> Result<bool, Halt> {
        let slot = self.shared.catalog.slot(schema)?;
        let current = self.shared.reads.load();
        let Some(generation) = current.as_deref() else {
            return Ok(false);
        };
        // A panic of the one who is lent to is his own.
        let mut lending = false;
        let lent = catch_unwind(AssertUnwindSafe(|| -> Result<bool, Halt> {
            let Some(record) = generation.get(&codec::row_key(slot.model, key))? else {
                return Ok(true);
            };
            let stored = Stored::parse(record.value()).map_err(|error| error.key(key))?;
            let Some(body) = stored.body else { return Ok(true) };
            let row = slot.row(body).map_err(|error| error.key(key))?;
            if !query.filter.matches(schema, &row)? {
                return Err(misplaced(key).into());
            }
            lending = true;
            sink(stored.meta, &row)?;
            Ok(true)
        }));
        match lent {
            Ok(lent) => lent,
            Err(panic) if lending => resume_unwind(panic),
            Err(panic) => Err(Panicked::of(&*panic).into()),
        }
    }

    fn lend_now(&self, schema: &'static Schema, query: &Query, sink: Sink<'_>) -> Result<bool, Halt> {
        query.check_alone(schema)?;
        let slot = self.shared.catalog.slot(schema)?;
        query.permit_scan(schema)?;
        let plan = Plan::of(slot, query);
        plan.permit(slot, query)?;
        if is_long(slot, query, &plan) {
            return Ok(false);
        }
        let current = self.shared.reads.load();
        let Some(generation) = current.as_deref() else {
            return Ok(false);
        };
        let mut lending = Lending { sink, now: false };
        let lent =
            catch_unwind(AssertUnwindSafe(|| scan::lend_now(generation, slot, query, &plan, &mut lending)));
        match lent {
            Ok(lent) => {
                let done = lent?;
                if !done && plan.goes_on(query) {
                    slot.large.store(true, Ordering::Relaxed);
                }
                Ok(done)
            }
            Err(panic) if lending.now => resume_unwind(panic),
            Err(panic) => Err(Panicked::of(&*panic).into()),
        }
    }
}

/// Lends to a sink, and knows while it does: a panic is the sink's own then.
struct Lending<'s> {
    sink: Sink<'s>,
    now: bool,
}

impl Borrower for Lending<'_> {
    fn take(&mut self, meta: MetaRef<'_>, row: &dyn Row) -> Result<()> {
        self.now = true;
        let taken = (self.sink)(meta, row);
        self.now = false;
        taken
    }

    fn anew(&mut self) {}
}

/// What is stored under `key`.
fn stored_row(slot: &Slot, key: &Key, record: &[u8]) -> Result<StoredRow> {
    let stored = Stored::parse(record)?;
    let row = match stored.body {
        None => None,
        Some(body) => {
            if slot.schema.key_of(&slot.row(body)?)? != *key {
                return Err(misplaced(key));
            }
            Some(Arc::new(slot.copy(body)?) as Arc<dyn Row>)
        }
    };
    Ok(StoredRow { meta: stored.meta.to_meta(), row })
}

#[cold]
fn misplaced(key: &Key) -> Error {
    Error::new(ErrorKind::Corrupt, "another row is stored under this key").key(key)
}
