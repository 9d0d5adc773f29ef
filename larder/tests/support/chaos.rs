//! A store that fails and dies on demand, and a remote that does whatever chance says.

#![allow(clippy::unwrap_used, reason = "a test that can't go on stops")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use larder::core::query::Query;
use larder::core::store::{
    Batch, Borrower, CommitObserver, CommitOutcome, Loaded, Migrated, Op, OutboxCounts, Sink, StoredRow,
    Unreadable,
};
use larder::core::{
    Applied, Capabilities, Context, Damage, Delta, Entry, Integrity, KeyKind, Meta, Mutation, OpenStore,
    Opening, Outcome, Page, PageRow, Presence, Provider, Realtime, Record, Requests, Schema, Sent, Store,
    StoreSize, Value, async_trait,
};
use larder::{
    Error, ErrorKind, Idempotency, Key, Memory, Model, MutationId, Operation, Result, Timestamp,
    TokioRuntime, Uuid,
};

use super::gates::{Call, Gates, marks};
use super::{Badge, Card, Note, User};

/// Numbers that follow from a seed: `SplitMix64`.
#[derive(Debug)]
pub(crate) struct Chance(AtomicU64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    pub(crate) fn below(&self, most: u64) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }

    pub(crate) async fn dawdle(&self) {
        for _ in 0..self.below(4) {
            tokio::task::yield_now().await;
        }
    }
}

/// Notes, users and cards, opened.
pub(crate) async fn memory() -> Arc<dyn Store> {
    opened(Memory::new()).await
}

/// The same in any store.
pub(crate) async fn opened(store: impl OpenStore) -> Arc<dyn Store> {
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    let schemas = Arc::new([Note::schema(), User::schema(), Card::schema(), Badge::schema()]);
    let opening = Opening { runtime, schemas };
    OpenStore::open(Box::new(store), &opening).await.unwrap()
}

/// What goes wrong with a store.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Of a hundred commits, so many fail.
    pub(crate) failing: AtomicU64,
    /// The process is dead: nothing comes back.
    pub(crate) dead: AtomicBool,
    /// Commits that the store has been told of.
    committing: AtomicU64,
    /// After so many commits the process dies; 0: it does not. Whether the last one is durable.
    fuse: AtomicU64,
    durable: AtomicBool,
    /// Commits by which an entry is removed come to no end.
    pub(crate) keeps_entries: AtomicBool,
    /// Somebody else writes whenever mutations are marked: what the driver has read of them is read again.
    pub(crate) crowded: AtomicBool,
    /// Entries that can't be read.
    pub(crate) unreadable: Mutex<BTreeSet<u64>>,
    /// Entries over which it panics.
    pub(crate) cursed: Mutex<BTreeSet<u64>>,
    /// Whose rows they are can be read all the same.
    pub(crate) named: AtomicBool,
    /// Single reads of outbox entries.
    pub(crate) entry_reads: AtomicU64,
    /// Calls that wait for the test.
    pub(crate) gates: Gates,
    /// Commits by which an entry is removed: how many there were, and how many of them while the driver did nothing else.
    pub(crate) removals: AtomicU64,
    pub(crate) removals_alone: AtomicU64,
    /// How often which call panics.
    panics: Mutex<BTreeMap<&'static str, u64>>,
}

impl Faults {
    /// The process dies at the nth commit from now on, before or after that is durable.
    pub(crate) fn burn(&self, commits: u64, durable: bool) {
        self.fuse.store(commits, Ordering::SeqCst);
        self.durable.store(durable, Ordering::SeqCst);
    }

    /// From now on the call panics so often.
    pub(crate) fn panic_at(&self, call: &'static str, times: u64) {
        self.panics.lock().unwrap().insert(call, times);
    }

    /// How often it would still panic.
    pub(crate) fn panics_left(&self, call: &'static str) -> u64 {
        self.panics.lock().unwrap().get(call).copied().unwrap_or_default()
    }

    fn may_panic(&self, call: &str) {
        let mut panics = self.panics.lock().unwrap();
        let Some(left) = panics.get_mut(call).filter(|left| **left > 0) else { return };
        *left -= 1;
        drop(panics);
        panic!("{call} is not what it was");
    }

    fn may_be_cursed(&self, seq: u64) {
        let cursed = self.cursed.lock().unwrap().contains(&seq);
        assert!(!cursed, "entry {seq} is beyond it");
    }

    /// Kills the process: from here on it writes nothing, as no process does whose file another one has opened.
    pub(crate) async fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        while self.committing.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Ends when the process is dead.
    pub(crate) async fn death(&self) {
        while !self.dead.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    }

    /// Whether it dies now.
    fn burns(&self) -> bool {
        self.fuse.load(Ordering::SeqCst) > 0 && self.fuse.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

/// A store with faults.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) chance: Chance,
}

impl Faulty {
    pub(crate) fn over(inner: &Arc<dyn Store>, seed: u64) -> (Arc<dyn Store>, Arc<Faults>) {
        let faults = Arc::<Faults>::default();
        let store = Self { inner: Arc::clone(inner), faults: Arc::clone(&faults), chance: Chance::new(seed) };
        (Arc::new(store), faults)
    }

    async fn alive(&self) {
        if self.faults.dead.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
    }
}

#[async_trait]
impl Provider for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.inner.idempotency(schema, operation)
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        self.faults.may_panic("get");
        self.inner.get(cx, schema, query).await
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
impl Store for Faulty {
    async fn commit(&self, cx: &Context, batch: Batch) -> Result<CommitOutcome> {
        self.faults.may_panic("commit");
        let removes = batch.ops.iter().any(|op| matches!(op, Op::Dequeue(_)));
        self.faults.removals.fetch_add(u64::from(removes), Ordering::SeqCst);
        self.faults.removals_alone.fetch_add(u64::from(removes && cx.alone), Ordering::SeqCst);
        self.chance.dawdle().await;
        self.faults.gates.pass(Call::Commit(&batch)).await;
        self.alive().await;
        let removed = |op: &Op| if let Op::Dequeue(seq) = op { Some(*seq) } else { None };
        let removed: Vec<u64> = batch.ops.iter().filter_map(removed).collect();
        if !removed.is_empty() && self.faults.keeps_entries.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
        if self.chance.below(100) < self.faults.failing.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Storage, "the disk says no"));
        }
        let crowded = self.faults.crowded.load(Ordering::SeqCst) && marks(&Call::Commit(&batch));
        let (burns, durable) = (self.faults.burns(), self.faults.durable.load(Ordering::SeqCst));
        if burns && !durable {
            self.faults.dead.store(true, Ordering::SeqCst);
            self.alive().await;
        }
        self.faults.committing.fetch_add(1, Ordering::SeqCst);
        if self.faults.dead.load(Ordering::SeqCst) {
            self.faults.committing.fetch_sub(1, Ordering::SeqCst);
            self.alive().await;
        }
        let outcome = self.inner.commit(cx, batch).await;
        self.faults.committing.fetch_sub(1, Ordering::SeqCst);
        self.faults.dead.fetch_or(burns, Ordering::SeqCst);
        if crowded {
            let note = Op::Cursor { scope: "another".into(), value: Some(String::new()) };
            self.inner.commit(cx, Batch { ops: vec![note], ..Batch::default() }).await?;
        }
        if !removed.is_empty() {
            self.faults.gates.pass(Call::Removed(&removed)).await;
        }
        self.chance.dawdle().await;
        self.alive().await;
        outcome
    }

    fn read_now(&self, schema: &'static Schema, query: &Query, sink: Sink<'_>) -> Result<bool> {
        self.faults.may_panic("read_now");
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
        self.faults.may_panic("load");
        self.chance.dawdle().await;
        let stored = self.inner.load(cx, schema, key).await?;
        self.faults.gates.pass(Call::Load(schema, key)).await;
        Ok(stored)
    }

    fn revision(&self) -> u64 {
        self.faults.may_panic("revision");
        self.inner.revision()
    }

    async fn outbox(&self, cx: &Context, after: u64, limit: usize) -> Result<Loaded> {
        self.faults.may_panic("outbox");
        self.chance.dawdle().await;
        self.alive().await;
        let mut loaded = self.inner.outbox(cx, after, limit).await?;
        loaded.entries.iter().for_each(|entry| self.faults.may_be_cursed(entry.seq));
        self.faults.gates.pass(Call::Outbox).await;
        let unreadable = self.faults.unreadable.lock().unwrap().clone();
        let named = self.faults.named.load(Ordering::SeqCst);
        let damaged = |entry: &Entry| Unreadable {
            seq: entry.seq,
            row: named.then(|| (entry.schema, entry.key.clone())),
            error: damage(),
            raw: Vec::new(),
        };
        let damaged: Vec<_> =
            loaded.entries.iter().filter(|entry| unreadable.contains(&entry.seq)).map(damaged).collect();
        loaded.unreadable.extend(damaged);
        loaded.entries.retain(|entry| !unreadable.contains(&entry.seq));
        Ok(loaded)
    }

    async fn entry(&self, cx: &Context, seq: u64) -> Result<Option<Entry>> {
        self.faults.may_panic("entry");
        self.faults.may_be_cursed(seq);
        self.faults.entry_reads.fetch_add(1, Ordering::SeqCst);
        self.chance.dawdle().await;
        self.alive().await;
        if self.faults.unreadable.lock().unwrap().contains(&seq) {
            return Err(damage());
        }
        let entry = self.inner.entry(cx, seq).await?;
        self.faults.gates.pass(Call::Entry(seq)).await;
        Ok(entry)
    }

    async fn outbox_counts(&self, cx: &Context) -> Result<OutboxCounts> {
        self.faults.may_panic("outbox_counts");
        self.inner.outbox_counts(cx).await
    }

    async fn cursor(&self, cx: &Context, scope: &str) -> Result<Option<String>> {
        self.faults.may_panic("cursor");
        self.inner.cursor(cx, scope).await
    }

    async fn migrate(&self, cx: &Context, limit: usize) -> Result<Migrated> {
        self.inner.migrate(cx, limit).await
    }

    async fn wipe(&self, cx: &Context) -> Result<()> {
        if self.chance.below(100) < self.faults.failing.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Storage, "the disk says no"));
        }
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

fn damage() -> Error {
    Error::new(ErrorKind::Corrupt, "the checksum is wrong")
}

/// A remote that does whatever chance says, and what it came to.
#[derive(Debug)]
pub(crate) struct Weather {
    pub(crate) server: Arc<dyn Store>,
    pub(crate) chance: Chance,
    pub(crate) calm: AtomicBool,
    /// The client's process is dead: nothing that it sends arrives, and nothing comes back.
    pub(crate) dead: AtomicU64,
    pub(crate) idempotency: Idempotency,
    pub(crate) log: Mutex<Log>,
}

impl Weather {
    /// A remote over `server` that does what follows from the seed.
    pub(crate) fn over(server: Arc<dyn Store>, seed: u64, idempotency: Idempotency) -> Self {
        Self {
            server,
            chance: Chance::new(seed),
            calm: AtomicBool::new(false),
            dead: AtomicU64::new(0),
            idempotency,
            log: Mutex::default(),
        }
    }

    /// The mutation with the number that the server gives to a new row, the same one each time.
    fn numbered(&self, mutation: &Mutation) -> Result<Mutation> {
        let mut mutation = mutation.clone();
        let row = mutation.row.as_ref().filter(|_| mutation.operation == Operation::Insert);
        let Some(row) = row.filter(|_| mutation.schema.key.kind == KeyKind::Server) else {
            return Ok(mutation);
        };
        let mut log = self.log.lock().unwrap();
        let number = log.numbered.len() as i64 + 1;
        let mut record = Record::copy(mutation.schema, &**row)?;
        let given = match mutation.key {
            Key::Uuid(_) => Value::Uuid(Uuid::from_u128(number.unsigned_abs().into())),
            _ => Value::Int(number.into()),
        };
        record.set(mutation.schema.key.fields[0], given);
        let new = || PageRow::new(Meta::synced(Timestamp::UNIX_EPOCH), Arc::new(record));
        let known = log.numbered.entry(mutation.id).or_insert_with(new);
        mutation.key = mutation.schema.key_of(&*known.row)?;
        mutation.row = Some(Arc::clone(&known.row));
        Ok(mutation)
    }
}

/// What the server has done.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// How often a mutation had its effect.
    pub(crate) effects: BTreeMap<MutationId, usize>,
    /// What was written to each key, in order; `None` for a delete.
    pub(crate) written: BTreeMap<Key, Vec<Option<i64>>>,
    /// The rows that were numbered, as they were answered.
    pub(crate) numbered: BTreeMap<MutationId, PageRow>,
    /// What has arrived of rows that the server numbers, and whatever else is told of them, to be read.
    pub(crate) story: Vec<(Key, String)>,
    /// Which keys have requests under way.
    pub(crate) under_way: BTreeSet<Key>,
    /// Keys that had two requests under way at a time.
    pub(crate) together: Vec<Key>,
}

/// One client's end of the weather; a client that died hears nothing any more.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) weather: Arc<Weather>,
    pub(crate) life: u64,
}

impl Line {
    async fn alive(&self) {
        self.weather.chance.dawdle().await;
        if self.weather.dead.load(Ordering::SeqCst) >= self.life {
            pending::<()>().await;
        }
    }

    /// What the weather makes of a request: an error before it arrives, or one after.
    fn turn(&self) -> (Result<()>, Result<()>) {
        let say = |kind, status, sent| Err(Error::new(kind, "weather").with_status(status).with_sent(sent));
        if self.weather.calm.load(Ordering::SeqCst) {
            return (Ok(()), Ok(()));
        }
        match self.weather.chance.below(24) {
            0 | 1 => (Err(Error::new(ErrorKind::Offline, "down").with_sent(Sent::Never)), Ok(())),
            2 => (Err(Error::new(ErrorKind::Transport, "lost on the way").with_sent(Sent::Maybe)), Ok(())),
            3 | 4 => (Ok(()), Err(Error::new(ErrorKind::Transport, "reply lost").with_sent(Sent::Maybe))),
            5 => (say(ErrorKind::Http { status: 500 }, 500, Sent::Answered), Ok(())),
            6 => (Ok(()), say(ErrorKind::Http { status: 500 }, 500, Sent::Answered)),
            7 => (say(ErrorKind::Unauthorized, 401, Sent::Answered), Ok(())),
            8 => (say(ErrorKind::Conflict, 409, Sent::Answered), Ok(())),
            9 => (say(ErrorKind::Rejected, 422, Sent::Answered), Ok(())),
            10 => (say(ErrorKind::Http { status: 503 }, 503, Sent::Answered), Ok(())),
            _ => (Ok(()), Ok(())),
        }
    }

    async fn arrived(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        let keyed = matches!(self.weather.idempotency, Idempotency::Keyed { .. });
        let known = self.weather.log.lock().unwrap().effects.contains_key(&mutation.id);
        // A server that does not know keys takes every request for a new one.
        let id = if keyed {
            mutation.id
        } else {
            MutationId(Uuid::from_u128(self.weather.chance.below(u64::MAX).into()))
        };
        let sent = mutation;
        let mutation = &self.weather.numbered(mutation)?;
        let mut applied = self.weather.server.apply(cx, &Mutation { id, ..mutation.clone() }).await?;
        if let Some(known) = self.weather.log.lock().unwrap().numbered.get(&mutation.id) {
            // Whatever has become of the row since.
            applied.row.get_or_insert_with(|| known.clone());
        }
        if !(keyed && known) && applied.outcome != Outcome::Missing {
            let mut log = self.weather.log.lock().unwrap();
            *log.effects.entry(mutation.id).or_default() += 1;
            if mutation.schema.key.kind == KeyKind::Server {
                let Mutation { operation, changed, .. } = mutation;
                let what =
                    format!("arrived {} {operation:?} {changed:?} of {:?}", mutation.id.0, mutation.key);
                log.story.push((sent.key.clone(), what));
            }
            if mutation.schema == Note::schema() {
                let written = mutation.row.as_ref().map(|row| Note::from_row(&**row).unwrap().stars);
                log.written.entry(mutation.key.clone()).or_default().push(written);
            }
        }
        Ok(applied)
    }
}

#[async_trait]
impl Provider for Line {
    fn name(&self) -> &str {
        "weather"
    }

    fn capabilities(&self) -> Capabilities {
        self.weather.server.capabilities()
    }

    fn idempotency(&self, _: &'static Schema, _: Operation) -> Idempotency {
        self.weather.idempotency
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        self.alive().await;
        // Whether a row is gone that was deleted under the key that the server has given: where that can't be asked, what was
        // queued before is for the application to decide.
        let is_gone = schema.key.kind == KeyKind::Server && query.as_key().is_some();
        let (before, after) = if is_gone { (Ok(()), Ok(())) } else { self.turn() };
        before?;
        let page = self.weather.server.get(cx, schema, query).await;
        self.alive().await;
        after?;
        page
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<larder::core::Plan> {
        self.weather.server.explain(schema, query)
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.weather.server.exists(cx, schema, query).await
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        self.alive().await;
        {
            let mut log = self.weather.log.lock().unwrap();
            if !log.under_way.insert(mutation.key.clone()) {
                log.together.push(mutation.key.clone());
            }
        }
        let (before, after) = self.turn();
        self.alive().await;
        let applied = match before {
            Ok(()) => self.arrived(cx, mutation).await,
            Err(error) => Err(error),
        };
        self.weather.log.lock().unwrap().under_way.remove(&mutation.key);
        self.alive().await;
        let applied = applied?;
        after?;
        Ok(applied)
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
