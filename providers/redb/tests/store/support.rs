//! Runtimes, models and helpers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::runtime::BoxFuture;
use larder_core::{
    Batch, Borrower, CommitOutcome, Committed, Context, Error, FieldDef, IndexDef, IntKind, Key, KeyDef,
    Kind, Meta, MetaRef, Op, OpenStore, Opening, PageRow, Predicate, Query, Record, Result, Row, Runtime,
    Schema, Store, Tail, Timestamp, Value, ValueRef,
};
use larder_redb::Redb;

/// Where a [`TestRuntime`] runs blocking work.
#[derive(Debug, Default)]
enum Blocking {
    #[default]
    Threads,
    Inline,
    Nowhere,
}

/// Runs blocking work on tokio's threads, or inline, or lets go of it unrun.
#[derive(Debug, Default)]
pub(crate) struct TestRuntime {
    blocking: Blocking,
    ticks: AtomicU64,
}

impl TestRuntime {
    pub(crate) fn threads() -> Arc<dyn Runtime> {
        Arc::new(Self::default())
    }

    pub(crate) fn inline() -> Arc<dyn Runtime> {
        Arc::new(Self { blocking: Blocking::Inline, ..Self::default() })
    }

    pub(crate) fn without_threads() -> Arc<dyn Runtime> {
        Arc::new(Self { blocking: Blocking::Nowhere, ..Self::default() })
    }
}

impl Runtime for TestRuntime {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.ticks.fetch_add(1, Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn spawn(&self, _: &'static str, task: BoxFuture<'static, ()>) {
        #[allow(clippy::disallowed_methods, reason = "this is the runtime")]
        drop(tokio::spawn(task));
    }

    fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) {
        match self.blocking {
            Blocking::Inline => work(),
            Blocking::Nowhere => drop(work),
            Blocking::Threads => {
                #[allow(clippy::disallowed_methods, reason = "this is the runtime")]
                drop(tokio::task::spawn_blocking(work));
            }
        }
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.blocking(name, work);
    }
}

/// Runs everything inline, and calls what it was given before each piece of reading.
#[derive(Default)]
pub(crate) struct Between {
    inner: TestRuntime,
    before: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl Between {
    pub(crate) fn before_reads(&self, before: impl Fn() + Send + Sync + 'static) {
        *self.before.lock().unwrap() = Some(Arc::new(before));
    }
}

impl std::fmt::Debug for Between {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Between")
    }
}

impl Runtime for Between {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.inner.spawn(name, task);
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        let before = self.before.lock().unwrap().clone();
        if let Some(before) = before.filter(|_| name.ends_with("read")) {
            before();
        }
        work();
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.blocking(name, work);
    }
}

pub(crate) static PERSON: Schema = Schema::new(
    "Person",
    &[
        FieldDef::new("id", Kind::Int(IntKind::U32)),
        FieldDef::new("name", Kind::Str),
        FieldDef::new("email", Kind::Option(&Kind::Str)),
        FieldDef::new("age", Kind::Int(IntKind::I64)),
        FieldDef::new("city", Kind::Option(&Kind::Str)),
        FieldDef::new("score", Kind::Option(&Kind::F64)),
    ],
    KeyDef::natural(&[0]),
)
.indexes(&[
    IndexDef { name: "email", fields: &[2], unique: true },
    IndexDef { name: "city_age", fields: &[4, 3], unique: false },
    IndexDef { name: "score", fields: &[5], unique: false },
]);

/// Opens `config` for `schemas` on threads.
pub(crate) async fn open(config: &Redb, schemas: &[&'static Schema]) -> Result<Arc<dyn Store>> {
    open_on(TestRuntime::threads(), config, schemas).await
}

pub(crate) async fn open_on(
    runtime: Arc<dyn Runtime>,
    config: &Redb,
    schemas: &[&'static Schema],
) -> Result<Arc<dyn Store>> {
    OpenStore::open(Box::new(config.clone()), &Opening { runtime, schemas: schemas.into() }).await
}

/// An empty store of persons in memory.
pub(crate) async fn persons() -> Arc<dyn Store> {
    open(&Redb::in_memory(), &[&PERSON]).await.unwrap()
}

pub(crate) fn cx() -> Context {
    Context::new()
}

pub(crate) fn text(text: &str) -> Value {
    Value::Str(text.into())
}

/// A person; `""` is no email.
pub(crate) fn person(id: u32, name: &str, email: &str, age: i64) -> Record {
    let email = if email.is_empty() { Value::Null } else { text(email) };
    let values =
        [Value::Int(id.into()), text(name), email, Value::Int(age.into()), text("Oslo"), Value::Null];
    Record::new(values.map(Some))
}

pub(crate) fn put(schema: &'static Schema, row: Record) -> Op {
    put_with(schema, row, Meta::synced(Timestamp::UNIX_EPOCH), Tail::At(0))
}

pub(crate) fn put_with(schema: &'static Schema, row: Record, meta: Meta, tail: Tail) -> Op {
    Op::Put { schema, key: schema.key_of(&row).unwrap(), row: Arc::new(row), meta, tail }
}

pub(crate) fn batch(ops: impl IntoIterator<Item = Op>) -> Batch {
    Batch { expect: Vec::new(), ops: ops.into_iter().collect() }
}

/// Commits what must not be stale.
pub(crate) async fn commit(store: &dyn Store, ops: impl IntoIterator<Item = Op>) -> Result<Committed> {
    match store.commit(&cx(), batch(ops)).await? {
        CommitOutcome::Committed(committed) => Ok(committed),
        CommitOutcome::Stale => panic!("nothing was expected"),
    }
}

pub(crate) async fn save(store: &dyn Store, rows: impl IntoIterator<Item = Record>) -> Committed {
    commit(store, rows.into_iter().map(|row| put(&PERSON, row))).await.unwrap()
}

pub(crate) async fn get(store: &dyn Store, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
    let page = store.get(&cx(), schema, query).await?;
    assert_eq!(page.done, larder_core::Done::ALL);
    assert!(page.next.is_none());
    Ok(page.rows)
}

/// The same rows by `read_now`, copied; `None` if it refuses.
pub(crate) fn lent(store: &dyn Store, schema: &'static Schema, query: &Query) -> Result<Option<Vec<Record>>> {
    let mut rows = Vec::new();
    let lent = store.read_now(schema, query, &mut |_, row| {
        rows.push(Record::copy(schema, row)?);
        Ok(())
    })?;
    Ok(lent.then_some(rows))
}

/// Copies what is lent, and forgets it when it comes anew.
struct Copying(&'static Schema, Arc<Mutex<Vec<Record>>>);

impl Borrower for Copying {
    fn take(&mut self, _: MetaRef<'_>, row: &dyn Row) -> Result<()> {
        self.1.lock().unwrap().push(Record::copy(self.0, row)?);
        Ok(())
    }

    fn anew(&mut self) {
        self.1.lock().unwrap().clear();
    }
}

/// The same rows by `lend`, copied.
pub(crate) async fn lent_on(
    store: &dyn Store,
    schema: &'static Schema,
    query: &Query,
) -> Result<Vec<Record>> {
    let rows = Arc::new(Mutex::new(Vec::new()));
    store.lend(&cx(), schema, query, Box::new(Copying(schema, rows.clone()))).await?;
    let rows = std::mem::take(&mut *rows.lock().unwrap());
    Ok(rows)
}

pub(crate) fn key_of(row: &PageRow, schema: &Schema) -> Key {
    schema.key_of(&*row.row).unwrap()
}

/// The keys of the rows that answer `query`, which `get`, `lend` and `read_now` agree in.
pub(crate) async fn keys(store: &dyn Store, schema: &'static Schema, query: &Query) -> Vec<Key> {
    let got: Vec<Key> =
        get(store, schema, query).await.unwrap().iter().map(|row| key_of(row, schema)).collect();
    let rows = lent_on(store, schema, query).await.unwrap();
    assert_eq!(rows.iter().map(|row| schema.key_of(row).unwrap()).collect::<Vec<_>>(), got);
    if let Some(rows) = lent(store, schema, query).unwrap() {
        let lent: Vec<Key> = rows.iter().map(|row| schema.key_of(row).unwrap()).collect();
        assert_eq!(lent, got);
    }
    got
}

pub(crate) async fn find(
    store: &dyn Store,
    schema: &'static Schema,
    key: impl Into<Key>,
) -> Result<Option<PageRow>> {
    Ok(get(store, schema, &Query::key(key.into())).await?.pop())
}

pub(crate) async fn all(store: &dyn Store) -> Vec<Key> {
    keys(store, &PERSON, &Query::all()).await
}

pub(crate) fn where_(filter: Predicate) -> Query {
    Query::filter(filter)
}

pub(crate) fn string(row: &dyn Row, at: usize) -> String {
    match row.field(at).unwrap() {
        ValueRef::Str(text) => text.to_owned(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn message(error: &Error) -> String {
    error.to_string()
}

/// A payload with its checksum in front, as records have it: a CRC-32 of our own, so that no test leans on the store's.
pub(crate) fn sealed(payload: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in payload {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    [&(!crc).to_le_bytes()[..], payload].concat()
}
