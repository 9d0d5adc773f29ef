//! The store: one state, one lock for readers, one for the sequence of writers.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use larder_core::{
    Applied, Batch, Borrower, Capabilities, Change, CommitObserver, CommitOutcome, Context, Damage, Delta,
    DeltaAnswer, DeltaPage, DeltaScope, Done, Entry, Error, ErrorKind, Idempotency, Integrity, Key, Loaded,
    Meta, Migrated, Mutation, Op, Opening, Operation, OutboxCounts, Outcome, Page, PageRow, Plan, Presence,
    Provider, Query, Realtime, Record, Requests, Result, Row, Runtime, Schema, Sink, Store, StoreSize,
    StoredRow, Tail, Touched,
};
use tracing::{Level, instrument};

use crate::config::Memory;
use crate::feed::{Feed, Place};
use crate::forward::Hosts;
use crate::state::{Staged, State};

/// An open store in memory.
pub struct MemoryStore {
    runtime: Arc<dyn Runtime>,
    state: RwLock<State>,
    /// Held from the check of a batch until its observers have been told: batches and reports have one order.
    writing: Mutex<()>,
    observers: Mutex<Vec<Weak<dyn CommitObserver>>>,
    /// Written while the state is: whoever reads the state finds the changes that made it.
    feed: Arc<Feed>,
    /// How many rows or changes a page of a delta has.
    page: usize,
    /// Who answers requests that are no models, if it takes them.
    hosts: Option<Hosts>,
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.feed.close();
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store for the models that it is opened with.
    #[must_use]
    pub fn new(opening: &Opening) -> Self {
        Self::configured(Memory::new(), opening)
    }

    pub(crate) fn configured(config: Memory, opening: &Opening) -> Self {
        let epoch = opening.runtime.now().as_nanosecond();
        Self {
            runtime: opening.runtime.clone(),
            state: RwLock::new(State::new(&opening.schemas)),
            writing: Mutex::default(),
            observers: Mutex::default(),
            feed: Feed::new(&opening.schemas, epoch, config.changes),
            page: config.page,
            hosts: Hosts::of(config.handlers),
        }
    }

    // Nothing panics while a lock is held, and a state is replaced in one step: a poisoned lock guards sound data.

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn sequence(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The observers that are still alive; the others are forgotten.
    fn observers(&self) -> Vec<Arc<dyn CommitObserver>> {
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        observers.retain(|observer| observer.strong_count() > 0);
        observers.iter().filter_map(Weak::upgrade).collect()
    }

    /// Makes a change visible, and tells the observers before and after. The caller holds the sequence.
    fn publish(&self, touched: &Touched, change: impl FnOnce(&mut State)) {
        let observers = self.observers();
        observers.iter().for_each(|observer| observer.durable(touched));
        change(&mut self.write());
        observers.iter().for_each(|observer| observer.published(touched));
    }

    fn merge(&self, staged: Staged) {
        let touched = staged.touched.clone();
        self.publish(&touched, |state| {
            for (model, rows) in &staged.rows {
                let changes = rows.iter().map(|(key, row)| (key, row.as_ref().and_then(StoredRow::shown)));
                self.feed.add(model, changes);
            }
            state.merge(staged);
        });
    }

    /// Does what `mutation` asks for; the caller holds the sequence.
    fn change(&self, mutation: &Mutation) -> Result<Outcome> {
        let (schema, key) = (mutation.schema, &mutation.key);
        let state = self.read();
        let stored = state.stored(schema, key)?.filter(|stored| stored.row.is_some());
        let outcome = judge(mutation, stored)?;
        let op = match (outcome, &mutation.row) {
            (Outcome::Missing, _) => return Ok(outcome),
            (Outcome::Deleted, _) => Op::Remove { schema, key: key.clone() },
            (_, Some(row)) => self.put(mutation, &**row, stored, state.revision + 1)?,
            (_, None) => return Err(Error::new(ErrorKind::Invalid, "the mutation has no row")),
        };
        let staged = state.stage(Batch { expect: Vec::new(), ops: vec![op] })?;
        drop(state);
        self.merge(staged);
        Ok(outcome)
    }

    /// The row as the remote keeps it: fields that the mutation does not have stay, and the version is a new one.
    fn put(
        &self,
        mutation: &Mutation,
        row: &dyn Row,
        stored: Option<&StoredRow>,
        revision: u64,
    ) -> Result<Op> {
        let under = stored.and_then(|stored| stored.row.as_ref());
        let row = match under {
            Some(under) => Record::overlay(mutation.schema, &**under, row)?,
            None => Record::copy(mutation.schema, row)?,
        };
        let meta = Meta {
            version: Some(revision.to_string().into()),
            extra: mutation.extra.clone(),
            ..Meta::synced(self.runtime.now())
        };
        let (schema, key) = (mutation.schema, mutation.key.clone());
        Ok(Op::Put { schema, key, row: Arc::new(row), meta, tail: Tail::At(0) })
    }
}

/// What `mutation` comes to on what is stored.
fn judge(mutation: &Mutation, stored: Option<&StoredRow>) -> Result<Outcome> {
    let outcome = match (mutation.operation, stored) {
        (Operation::Insert, Some(_)) => {
            return Err(Error::new(ErrorKind::Conflict, "there is a row with this key already"));
        }
        (Operation::Update, None) => {
            return Err(Error::new(ErrorKind::NotFound, "there is no row with this key"));
        }
        (Operation::Delete, None) => Outcome::Missing,
        (Operation::Delete, Some(_)) => Outcome::Deleted,
        (_, None) => Outcome::Inserted,
        (_, Some(_)) => Outcome::Updated,
    };
    let version = stored.and_then(|stored| stored.meta.version.as_deref());
    match &mutation.base_version {
        Some(base) if outcome != Outcome::Missing && version != Some(base) => {
            let version = version.unwrap_or("none");
            let message =
                format!("the change was made from version {base}, but the row has version {version}");
            Err(Error::new(ErrorKind::Conflict, message))
        }
        _ => Ok(outcome),
    }
}

#[async_trait]
impl Provider for MemoryStore {
    fn name(&self) -> &str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::ALL;
        capabilities.versions = true;
        capabilities
    }

    fn idempotency(&self, _: &'static Schema, _: Operation) -> Idempotency {
        Idempotency::KEYED
    }

    #[instrument(level = Level::DEBUG, name = "memory.get", skip_all, fields(model = schema.model), err(level = Level::DEBUG))]
    async fn get(&self, _: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        let rows = self.read().select(schema, query).map_err(|error| error.during("get"))?;
        Ok(Page { rows, done: Done::ALL, ..Page::default() })
    }

    async fn exists(&self, _: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        let rows = self.read().select(schema, query).map_err(|error| error.during("get"))?;
        Ok(if rows.is_empty() { Presence::Absent } else { Presence::Present })
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        self.read().explain(schema, query).map_err(|error| error.during("explain"))
    }

    #[instrument(
        level = Level::DEBUG, name = "memory.apply", skip_all, err(level = Level::DEBUG),
        fields(model = mutation.schema.model, operation = mutation.operation.verb()),
    )]
    async fn apply(&self, _: &Context, mutation: &Mutation) -> Result<Applied> {
        let place = |error: Error| {
            error.during(mutation.operation.verb()).model(mutation.schema.model).key(&mutation.key)
        };
        let _sequence = self.sequence();
        let known = self.read().applied.get(&mutation.id).copied();
        let outcome = match known {
            Some(outcome) => outcome,
            None => {
                let outcome = self.change(mutation).map_err(place)?;
                self.write().applied.insert(mutation.id, outcome);
                outcome
            }
        };
        let state = self.read();
        let stored = state.stored(mutation.schema, &mutation.key).map_err(place)?.cloned();
        let row = stored.and_then(|stored| stored.row.map(|row| PageRow::new(stored.meta, row)));
        Ok(Applied { outcome, row })
    }

    fn delta(&self) -> Option<&dyn Delta> {
        Some(self)
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        Some(self)
    }

    fn requests(&self) -> Option<&dyn Requests> {
        self.hosts.as_ref().map(|hosts| hosts as &dyn Requests)
    }
}

/// The rows by their keys first, then what has changed since that began.
#[async_trait]
impl Delta for MemoryStore {
    fn scope(&self, schema: &'static Schema) -> DeltaScope {
        match self.read().has(schema) {
            true => DeltaScope::ChangesAndDeletions,
            false => DeltaScope::Nothing,
        }
    }

    async fn changes(
        &self,
        _: &Context,
        schema: &'static Schema,
        since: Option<&str>,
    ) -> Result<DeltaAnswer> {
        let state = self.read();
        state.known(schema).map_err(|error| error.during("ask what has changed"))?;
        let place = match since {
            None => Some(self.feed.end(schema.model)),
            Some(cursor) => self.feed.place(schema.model, cursor),
        };
        let Some(place) = place else { return Ok(DeltaAnswer::Expired) };
        if since.is_some() && place.after.is_none() {
            let page = self.feed.page(schema.model, &place, self.page);
            return Ok(page.map_or(DeltaAnswer::Expired, DeltaAnswer::Page));
        }
        let mut rows = state.after(schema, place.after.as_ref(), self.page + 1)?;
        let more = rows.len() > self.page;
        rows.truncate(self.page);
        let last = rows.last().map(|row| schema.key_of(&*row.row)).transpose()?;
        let cursor = Place { after: last.filter(|_| more), ..place }.write();
        let total = Some(state.count(schema, &Query::all())?);
        Ok(DeltaAnswer::Page(DeltaPage { rows, cursor, more, total, steady: true, ..DeltaPage::default() }))
    }
}

#[async_trait]
impl Realtime for MemoryStore {
    fn carries(&self, schema: &'static Schema) -> bool {
        self.read().has(schema)
    }

    async fn subscribe(
        &self,
        _: &Context,
        schema: &'static Schema,
        from: Option<&str>,
    ) -> Result<BoxStream<'static, Result<Change>>> {
        let state = self.read();
        state.known(schema).map_err(|error| error.during("listen"))?;
        Ok(self.feed.listen(schema.model, from))
    }
}

#[async_trait]
impl Store for MemoryStore {
    #[instrument(level = Level::DEBUG, name = "memory.commit", skip_all, fields(ops = batch.ops.len()), err(level = Level::DEBUG))]
    async fn commit(&self, _: &Context, batch: Batch) -> Result<CommitOutcome> {
        let _sequence = self.sequence();
        let state = self.read();
        if !state.holds(&batch.expect).map_err(|error| error.during("commit"))? {
            return Ok(CommitOutcome::Stale);
        }
        let staged = state.stage(batch).map_err(|error| error.during("commit"))?;
        drop(state);
        let committed = staged.committed.clone();
        self.merge(staged);
        Ok(CommitOutcome::Committed(committed))
    }

    fn read_now(&self, schema: &'static Schema, query: &Query, sink: Sink<'_>) -> Result<bool> {
        // The lock is gone before the first row is lent: the sink may read as well.
        let rows = self.read().select(schema, query).map_err(|error| error.during("get"))?;
        for row in &rows {
            sink(row.meta.show(), &*row.row)?;
        }
        Ok(true)
    }

    async fn lend(
        &self,
        _: &Context,
        schema: &'static Schema,
        query: &Query,
        mut to: Box<dyn Borrower>,
    ) -> Result<()> {
        to.anew();
        self.read_now(schema, query, &mut |meta, row| to.take(meta, row)).map(drop)
    }

    async fn count(&self, _: &Context, schema: &'static Schema, query: &Query) -> Result<u64> {
        self.read().count(schema, query).map_err(|error| error.during("count"))
    }

    async fn load(&self, _: &Context, schema: &'static Schema, key: &Key) -> Result<Option<StoredRow>> {
        Ok(self.read().stored(schema, key).map_err(|error| error.during("load").key(key))?.cloned())
    }

    fn revision(&self) -> u64 {
        self.read().revision
    }

    async fn outbox(&self, _: &Context, after: u64, limit: usize) -> Result<Loaded> {
        let entries: Vec<Entry> = match after.checked_add(1) {
            Some(first) => {
                self.read().outbox.range(first..).take(limit).map(|(_, entry)| entry.clone()).collect()
            }
            None => Vec::new(),
        };
        let last = entries.last().map_or(0, |entry| entry.seq);
        Ok(Loaded { entries, unreadable: Vec::new(), last })
    }

    async fn entry(&self, _: &Context, seq: u64) -> Result<Option<Entry>> {
        Ok(self.read().outbox.get(&seq).cloned())
    }

    async fn outbox_counts(&self, _: &Context) -> Result<OutboxCounts> {
        let state = self.read();
        let parked =
            state.outbox.values().filter(|entry| matches!(entry.state, larder_core::EntryState::Parked(_)));
        Ok(OutboxCounts { entries: state.outbox.len() as u64, parked: parked.count() as u64 })
    }

    async fn cursor(&self, _: &Context, scope: &str) -> Result<Option<String>> {
        Ok(self.read().cursors.get(scope).cloned())
    }

    /// Rows and entries live as today's models have them.
    async fn migrate(&self, _: &Context, _: usize) -> Result<Migrated> {
        Ok(Migrated { done: true, ..Migrated::default() })
    }

    async fn wipe(&self, _: &Context) -> Result<()> {
        let _sequence = self.sequence();
        let revision = self.revision() + 1;
        let touched = Touched::everything(revision);
        self.publish(&touched, |state| {
            self.feed.wipe();
            state.wipe();
        });
        Ok(())
    }

    /// What lies in memory does not decay.
    async fn check(&self, _: &Context) -> Result<Integrity> {
        Ok(self.read().count_up())
    }

    async fn salvage(&self, _: &Context) -> Result<Option<Damage>> {
        Ok(None)
    }

    fn damage(&self) -> Option<Damage> {
        None
    }

    async fn acknowledge(&self, _: &Context, _: &Damage) -> Result<()> {
        Ok(())
    }

    /// Memory is given back as it becomes free.
    async fn compact(&self, _: &Context) -> Result<StoreSize> {
        Ok(StoreSize::default())
    }

    async fn size(&self, _: &Context) -> Result<StoreSize> {
        Ok(StoreSize::default())
    }

    fn observe(&self, observer: Weak<dyn CommitObserver>) {
        self.observers.lock().unwrap_or_else(PoisonError::into_inner).push(observer);
    }
}
