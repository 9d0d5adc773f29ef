//! Layers over a store that do to a batch what they should not.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use larder::core::{
    Applied, Batch, Borrower, Capabilities, CommitObserver, CommitOutcome, Context, Delta, Entry,
    Idempotency, Key, Loaded, Migrated, Mutation, Op, Operation, OutboxCounts, Page, Plan, Presence,
    Provider, Query, Realtime, Requests, Result, Schema, Sink, Store, StoredRow, Tail, async_trait,
};
use larder::core::{Damage, Integrity, StoreSize};

use crate::remote::Pulled;

/// What becomes of a batch: it is committed as these, one after another.
type Tamper = Box<dyn Fn(&Batch) -> Option<Vec<Batch>> + Send + Sync>;

struct Tampered {
    inner: Arc<dyn Store>,
    tamper: Tamper,
    pulled: Option<Pulled>,
    overlooks: Option<Overlooks>,
    forgets_marks: bool,
}

/// Entries that are overlooked when the outbox is read.
struct Overlooks {
    /// Which of those that are read.
    which: fn(&Entry, &[Entry]) -> bool,
    /// Those that come with the next reading; without it none ever does.
    later: Option<Mutex<Vec<Entry>>>,
}

impl fmt::Debug for Tampered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tampered").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// Every fifth mutation that is written has no entry in the outbox.
pub(crate) fn loses_entries(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    let written = AtomicU64::new(0);
    let tamper: Tamper = Box::new(move |batch| {
        let enqueues = batch.ops.iter().any(|op| matches!(op, Op::Enqueue(_)));
        if !enqueues || written.fetch_add(1, Ordering::Relaxed) % 5 != 4 {
            return None;
        }
        let mut batch = batch.clone();
        batch.ops.retain(|op| !matches!(op, Op::Enqueue(_)));
        for op in &mut batch.ops {
            if let Op::Put { tail, .. } | Op::Tombstone { tail, .. } = op {
                *tail = Tail::At(0);
            }
        }
        Some(vec![batch])
    });
    Arc::new(Tampered { tamper, ..Tampered::none(inner) })
}

/// A page is stored in two transactions.
pub(crate) fn stores_pages_by_halves(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    let tamper: Tamper = Box::new(|batch| {
        let is_page =
            batch.ops.len() > 1 && batch.ops.iter().all(|op| matches!(op, Op::Put { tail: Tail::At(0), .. }));
        let mut half = batch.clone();
        let other = Batch { expect: Vec::new(), ops: half.ops.split_off(half.ops.len() / 2) };
        is_page.then(|| vec![half, other])
    });
    Arc::new(Tampered { tamper, ..Tampered::none(inner) })
}

/// When a pull is complete, what it brought is written over rows with changes that wait.
pub(crate) fn overwrites_what_is_pending(inner: Arc<dyn Store>, pulled: Pulled) -> Arc<dyn Store> {
    Arc::new(Tampered { pulled: Some(pulled), ..Tampered::none(inner) })
}

/// New customers are not seen when the outbox is read: what refers to them goes without them.
pub(crate) fn overlooks_customers(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    let which =
        |entry: &Entry, _: &[Entry]| entry.schema.model == "Customer" && entry.operation == Operation::Insert;
    Arc::new(Tampered { overlooks: Some(Overlooks { which, later: None }), ..Tampered::none(inner) })
}

/// Every third request that is no model has no entry in the outbox.
pub(crate) fn loses_requests(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    let written = AtomicU64::new(0);
    let tamper: Tamper = Box::new(move |batch| {
        let requests = batch.ops.iter().any(|op| matches!(op, Op::Enqueue(entry) if is_request(entry)));
        if !requests || written.fetch_add(1, Ordering::Relaxed) % 3 != 2 {
            return None;
        }
        let mut batch = batch.clone();
        batch.ops.retain(|op| !matches!(op, Op::Enqueue(_)));
        for op in &mut batch.ops {
            if let Op::Put { tail, .. } = op {
                *tail = Tail::At(0);
            }
        }
        Some(vec![batch])
    });
    Arc::new(Tampered { tamper, ..Tampered::none(inner) })
}

/// That a request may have been sent is not seen when the outbox is read, as it is when a device starts again.
pub(crate) fn forgets_that_requests_were_sent(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    Arc::new(Tampered { forgets_marks: true, ..Tampered::none(inner) })
}

fn is_request(entry: &Entry) -> bool {
    entry.schema.model == "larder::Request"
}

/// When the outbox is read and has several mutations of a row, only the last one is seen, and the others the next time.
pub(crate) fn finds_entries_late(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    let which = |entry: &Entry, all: &[Entry]| {
        all.iter().any(|other| other.seq > entry.seq && other.key == entry.key && entry.mark.is_none())
    };
    let later = Some(Mutex::default());
    Arc::new(Tampered { overlooks: Some(Overlooks { which, later }), ..Tampered::none(inner) })
}

impl Tampered {
    fn none(inner: Arc<dyn Store>) -> Self {
        Self { inner, tamper: Box::new(|_| None), pulled: None, overlooks: None, forgets_marks: false }
    }

    /// What was pulled, as rows that go over pending ones.
    async fn rows_over_pending(&self, cx: &Context) -> Result<Vec<Op>> {
        let mut ops = Vec::new();
        let pulled = match &self.pulled {
            Some(pulled) => std::mem::take(&mut *pulled.lock().unwrap()),
            None => Vec::new(),
        };
        for (schema, key, row) in pulled {
            if let Some(StoredRow { meta, row: Some(_) }) = self.inner.load(cx, schema, &key).await?
                && meta.tail != 0
            {
                let tail = Tail::At(meta.tail);
                ops.push(Op::Put { schema, key, row, meta, tail });
            }
        }
        Ok(ops)
    }
}

#[async_trait]
impl Store for Tampered {
    async fn commit(&self, cx: &Context, mut batch: Batch) -> Result<CommitOutcome> {
        if let Some(batches) = (self.tamper)(&batch) {
            let mut outcome = CommitOutcome::Stale;
            for batch in batches {
                outcome = self.inner.commit(cx, batch).await?;
                if outcome == CommitOutcome::Stale {
                    break;
                }
            }
            return Ok(outcome);
        }
        if batch.ops.iter().any(|op| matches!(op, Op::Cursor { .. })) {
            batch.ops.extend(self.rows_over_pending(cx).await?);
        }
        self.inner.commit(cx, batch).await
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
        self.inner.lend(cx, schema, query, to).await
    }

    async fn count(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<u64> {
        self.inner.count(cx, schema, query).await
    }

    async fn load(&self, cx: &Context, schema: &'static Schema, key: &Key) -> Result<Option<StoredRow>> {
        self.inner.load(cx, schema, key).await
    }

    fn revision(&self) -> u64 {
        self.inner.revision()
    }

    async fn outbox(&self, cx: &Context, after: u64, limit: usize) -> Result<Loaded> {
        let mut loaded = self.inner.outbox(cx, after, limit).await?;
        if self.forgets_marks {
            loaded.entries.iter_mut().filter(|entry| is_request(entry)).for_each(|entry| entry.mark = None);
        }
        if let Some(Overlooks { which, later }) = &self.overlooks {
            let all = loaded.entries.clone();
            let (overlooked, seen): (Vec<_>, Vec<_>) =
                loaded.entries.into_iter().partition(|entry| which(entry, &all));
            loaded.entries = seen;
            if let Some(later) = later {
                let before = std::mem::replace(&mut *later.lock().unwrap(), overlooked);
                loaded.entries.splice(0..0, before);
            }
        }
        Ok(loaded)
    }

    async fn entry(&self, cx: &Context, seq: u64) -> Result<Option<Entry>> {
        let mut entry = self.inner.entry(cx, seq).await?;
        if self.forgets_marks {
            entry.iter_mut().filter(|entry| is_request(entry)).for_each(|entry| entry.mark = None);
        }
        Ok(entry)
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

#[async_trait]
impl Provider for Tampered {
    fn name(&self) -> &str {
        "tampered"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.inner.idempotency(schema, operation)
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        self.inner.get(cx, schema, query).await
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.inner.exists(cx, schema, query).await
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        self.inner.explain(schema, query)
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
