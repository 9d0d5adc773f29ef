//! The store as a provider: queries, and single changes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use larder_core::{
    Applied, Batch, Borrower, Capabilities, CommitOutcome, Context, Delta, Done, Error, ErrorKind, Expect,
    Idempotency, Meta, Mutation, Op, Operation, Outcome, Page, PageRow, Presence, Provider, Query, Realtime,
    Record, Requests, Result, Row, Schema, Store, Tail,
};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::catalog::Slot;
use crate::error::contain;
use crate::explain::explain;
use crate::pieces::Asked;
use crate::plan::Plan;
use crate::reads::{Generation, Halt, Watch};
use crate::scan::{self, Answer, Found, INLINE_LOOKUPS};
use crate::writer::{Job, Shared};

/// How often a read begins anew because the store reopened itself under it.
const ATTEMPTS: usize = 8;

/// The most keys that are looked up on the calling thread by one who would else wait for another: what belongs to a page
/// of 1,000 rows. That takes a millisecond or two, and the other thread has to be waited for where the processor is busy.
pub(crate) const LOOKUPS_HERE: usize = 1024;

/// An open store.
#[derive(Debug)]
pub(crate) struct RedbStore {
    pub(crate) shared: Arc<Shared>,
}

impl RedbStore {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// The newest committed state; waits while the store reopens itself.
    async fn generation(&self) -> Result<Arc<Generation>> {
        for _ in 0..ATTEMPTS {
            if let Some(generation) = self.shared.reads.load_full() {
                return Ok(generation);
            }
            self.shared.ask(Job::Revive).await?;
        }
        Err(moving())
    }

    /// Reads on the calling thread: what takes some microseconds.
    pub(crate) async fn read<T>(
        &self,
        read: impl Fn(&Generation) -> Result<T, Halt> + Send + Sync,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let generation = self.generation().await?;
            match contain(|| read(&generation)) {
                Ok(found) => return Ok(found),
                Err(Halt::Failed(error)) => return Err(error),
                // It is about to reopen itself, or has just done so.
                Err(Halt::Closed) => self.shared.ask(Job::Revive).await?,
            }
        }
        Err(moving())
    }

    /// Reads off the asynchronous threads: what may take long.
    pub(crate) async fn read_long<T: Send + 'static>(
        &self,
        read: impl Fn(&Shared, &Generation) -> Result<T, Halt> + Send + Sync + 'static,
    ) -> Result<T> {
        let read = Arc::new(read);
        for _ in 0..ATTEMPTS {
            let (generation, read, shared) = (self.generation().await?, read.clone(), self.shared.clone());
            match self.off_thread(move || contain(|| read(&shared, &generation))).await? {
                Ok(found) => return Ok(found),
                Err(Halt::Failed(error)) => return Err(error),
                // It is about to reopen itself, or has just done so.
                Err(Halt::Closed) => self.shared.ask(Job::Revive).await?,
            }
        }
        Err(moving())
    }

    /// Runs `work` off the asynchronous threads. What it holds is let go of before the caller goes on.
    pub(crate) async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let work = move || {
            let done = work();
            // Nobody may be waiting any more.
            drop(answer.send(done));
        };
        self.shared.runtime.blocking("larder-redb read", Box::new(work));
        let stopped = |_| Error::new(ErrorKind::Storage, "the runtime stopped before the store had read");
        answered.await.map_err(stopped)
    }

    async fn answer(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        let (slot, plan, watch) = self.planned(cx, schema, query)?;
        let Answer { rows, steps } = if plan.lookups().is_some_and(|lookups| lookups <= LOOKUPS_HERE) {
            self.read(|generation| scan::run(generation, slot, query, &plan, &watch)).await?
        } else {
            let (at, query) = (slot.at, query.clone());
            self.read_long(move |shared, generation| {
                scan::run(generation, &shared.catalog.slots()[at], &query, &plan, &watch)
            })
            .await?
        };
        let copied = |found| match found {
            Found::Copied(row) => Some(*row),
            Found::Lent(_) => None,
        };
        tracing::Span::current().record("steps", steps);
        Ok(rows.into_iter().filter_map(copied).collect())
    }

    /// How a query is answered, and what ends that early.
    fn planned(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<(&Slot, Plan, Watch)> {
        if cx.resume.is_some() {
            return Err(Error::new(ErrorKind::Invalid, "the store answers in one page and gives no tokens"));
        }
        let watch = Watch::new(&self.shared.runtime, cx);
        watch.check()?;
        query.check_alone(schema)?;
        let slot = self.shared.catalog.slot(schema)?;
        query.permit_scan(schema)?;
        let plan = Plan::of(slot, query);
        plan.permit(slot, query)?;
        Ok((slot, plan, watch))
    }

    /// Lends an answer where it lies: on the calling thread if it takes some lookups, else off it.
    pub(crate) async fn lend_all(
        &self,
        cx: &Context,
        schema: &'static Schema,
        query: &Query,
        to: Box<dyn Borrower>,
    ) -> Result<()> {
        let (slot, plan, watch) = self.planned(cx, schema, query)?;
        // Nobody else takes it: it is there to begin anew with, should the store reopen itself.
        let to = Mutex::new(to);
        let steps = if plan.lookups().is_some_and(|lookups| lookups <= LOOKUPS_HERE) {
            self.read(|generation| {
                let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
                scan::lend(generation, slot, query, &plan, &watch, &mut **to)
            })
            .await?
        } else if let Some(steps) =
            self.lend_in_pieces(Asked { slot, query, plan: &plan, watch: &watch }, &to).await?
        {
            steps
        } else {
            let (at, query) = (slot.at, query.clone());
            self.read_long(move |shared, generation| {
                let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
                scan::lend(generation, &shared.catalog.slots()[at], &query, &plan, &watch, &mut **to)
            })
            .await?
        };
        tracing::Span::current().record("steps", steps);
        Ok(())
    }

    /// Applies a mutation to what is there; `None` if that moved meanwhile.
    async fn attempt(&self, cx: &Context, mutation: &Mutation) -> Result<Option<Applied>> {
        let (schema, key) = (mutation.schema, mutation.key.clone());
        let stored = self.load(cx, schema, &key).await?;
        let revision = stored.as_ref().map_or(0, |stored| stored.meta.revision);
        let under = stored.and_then(|stored| stored.row);
        let outcome = judge(mutation.operation, under.is_some())?;
        let mut row = match outcome {
            Outcome::Missing => return Ok(Some(Applied { outcome, row: None })),
            Outcome::Deleted => None,
            _ => Some(self.written(mutation, under)?),
        };
        let op = match &row {
            Some(PageRow { meta, row, .. }) => {
                let (key, row, meta) = (key.clone(), row.clone(), meta.clone());
                Op::Put { schema, key, row, meta, tail: Tail::At(0) }
            }
            None => Op::Remove { schema, key: key.clone() },
        };
        let expect = vec![Expect::Row { schema, key, revision }];
        let CommitOutcome::Committed(committed) = self.commit(cx, Batch { expect, ops: vec![op] }).await?
        else {
            return Ok(None);
        };
        if let Some(row) = &mut row {
            row.meta.revision = committed.revision;
        }
        Ok(Some(Applied { outcome, row }))
    }

    /// The row that a mutation makes of `under`: fields that it does not have stay as they are.
    fn written(&self, mutation: &Mutation, under: Option<Arc<dyn Row>>) -> Result<PageRow> {
        let over =
            mutation.row.as_ref().ok_or_else(|| Error::new(ErrorKind::Invalid, "a write needs a row"))?;
        let row: Arc<dyn Row> = match under {
            Some(under) => Arc::new(Record::overlay(mutation.schema, &*under, &**over)?),
            None => over.clone(),
        };
        let synced = Meta::synced(self.shared.runtime.now());
        Ok(PageRow::new(Meta { extra: mutation.extra.clone(), ..synced }, row))
    }
}

/// What an operation comes to.
fn judge(operation: Operation, is_there: bool) -> Result<Outcome> {
    Ok(match (operation, is_there) {
        (Operation::Insert, true) => {
            return Err(Error::new(ErrorKind::Conflict, "a row with this key is there already"));
        }
        (Operation::Update, false) => {
            return Err(Error::new(ErrorKind::NotFound, "there is no row with this key"));
        }
        (Operation::Delete, false) => Outcome::Missing,
        (Operation::Delete, true) => Outcome::Deleted,
        (_, false) => Outcome::Inserted,
        (_, true) => Outcome::Updated,
    })
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cold]
fn moving() -> Error {
    Error::new(ErrorKind::Storage, "the store reopened itself again and again while it was read")
}

#[async_trait]
impl Provider for RedbStore {
    fn name(&self) -> &str {
        "redb"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn idempotency(&self, _: &'static Schema, operation: Operation) -> Idempotency {
        match operation {
            Operation::Insert => Idempotency::Probe,
            _ => Idempotency::Idempotent,
        }
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        let span = tracing::debug_span!(
            "larder_redb::get",
            model = schema.model,
            rows = tracing::field::Empty,
            steps = tracing::field::Empty
        );
        let answer = self.answer(cx, schema, query).instrument(span.clone()).await;
        let rows = self.shared.noted(answer).map_err(|error| error.during("get").model(schema.model))?;
        span.record("rows", rows.len());
        Ok(Page { rows, done: Done::ALL, ..Page::default() })
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        let span = tracing::debug_span!("larder_redb::exists", model = schema.model);
        query.check_alone(schema).map_err(|error| error.during("look for"))?;
        // One row is enough, and which one it is does not matter; a place is one in an order, though.
        let limit = Some(query.limit.map_or(1, |limit| limit.min(1)));
        let order = if query.after.is_some() { query.order.clone() } else { Vec::new() };
        let query = Query { order, limit, ..query.clone() };
        let answer = self.answer(cx, schema, &query).instrument(span).await;
        let rows = self.shared.noted(answer).map_err(|error| error.during("look for").model(schema.model))?;
        Ok(if rows.is_empty() { Presence::Absent } else { Presence::Present })
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<larder_core::Plan> {
        let explained = || -> Result<larder_core::Plan> {
            query.check_alone(schema)?;
            let slot = self.shared.catalog.slot(schema)?;
            let Some(generation) = self.shared.reads.load_full() else {
                // While the store reopens itself, the schema is all that is known.
                return Ok(query.plan(schema, &self.capabilities()));
            };
            match contain(|| explain(&generation, slot, query)) {
                Ok(plan) => Ok(plan),
                Err(Halt::Failed(error)) => Err(error),
                Err(Halt::Closed) => Ok(query.plan(schema, &self.capabilities())),
            }
        };
        explained().map_err(|error| error.during("explain").model(schema.model))
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        let Mutation { schema, key, operation, .. } = mutation;
        let span =
            tracing::debug_span!("larder_redb::apply", model = schema.model, operation = operation.verb());
        let attempts = async {
            loop {
                if let Some(applied) = self.attempt(cx, mutation).await? {
                    return Ok(applied);
                }
            }
        };
        let applied: Result<Applied> = attempts.instrument(span).await;
        applied.map_err(|error| error.during(operation.verb()).model(schema.model).key(key))
    }

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

/// Whether the plan is known to take too long for the calling thread: keys beyond number, or more rows than are read
/// there of a model that once had too many.
pub(crate) fn is_long(slot: &Slot, query: &Query, plan: &Plan) -> bool {
    plan.lookups().is_some_and(|lookups| lookups > INLINE_LOOKUPS)
        || plan.goes_on(query) && slot.large.load(Ordering::Relaxed)
}
