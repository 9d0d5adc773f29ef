//! Models, a remote that misbehaves on demand, and short ways to say things.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]
#![allow(clippy::disallowed_methods, reason = "tests wait in real time")]

pub(crate) mod chaos;
pub(crate) mod clock;
pub(crate) mod counting;
pub(crate) mod gates;

use std::collections::VecDeque;
use std::io::{Seek as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::core::{
    Applied, Capabilities, Context, Delta, Mutation, OpenProvider, Opening, Page, Presence, Provider, Query,
    Realtime, Requests, Schema, Sent, async_trait,
};
use larder::{
    Error, ErrorKind, Idempotency, Memory, Model, Operation, ReadPolicy, Repository, Result, Select,
};

/// After this time something hangs; a machine that does much else at the time does not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Note {
    #[model(key)]
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) stars: i64,
    pub(crate) tag: Option<String>,
}

pub(crate) fn note(id: &str, text: &str, stars: i64) -> Note {
    Note { id: id.into(), text: text.into(), stars, tag: None }
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct User {
    #[model(key)]
    pub(crate) id: String,
    #[model(unique)]
    pub(crate) email: String,
}

/// The server numbers it.
#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Card {
    #[model(key(server))]
    pub(crate) number: i64,
    pub(crate) name: String,
    pub(crate) left: i64,
    pub(crate) right: i64,
}

/// The same with a key that does not tell whether the server has given it.
#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Badge {
    #[model(key(server))]
    pub(crate) number: larder::Uuid,
    pub(crate) name: String,
    pub(crate) left: i64,
    pub(crate) right: i64,
}

/// What the remote does with the next requests.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// Nothing reaches it.
    Unreachable,
    /// It does what it is told, and the answer is lost.
    LoseReply,
    /// It answers with this error.
    Say(ErrorKind, u16),
    /// It asks to be left alone for so long.
    Later(Duration),
}

/// The switches of a [`Net`], and what it has seen.
#[derive(Debug, Default)]
pub(crate) struct Switches {
    pub(crate) offline: Mutex<bool>,
    pub(crate) turns: Mutex<VecDeque<Turn>>,
    /// What it says to every write of these rows, for ever.
    poison: Mutex<std::collections::BTreeMap<String, Turn>>,
    pub(crate) applied: Mutex<Vec<Mutation>>,
    pub(crate) reads: Mutex<usize>,
    /// In whose name the writes came.
    pub(crate) accounts: Mutex<Vec<Option<Arc<str>>>>,
    /// As long as it is true, reads and writes reach the server and nothing comes back.
    pub(crate) hangs: Mutex<bool>,
    /// How much of a filter it says it evaluates; everything unless told otherwise.
    pub(crate) filter: Mutex<Option<larder::core::Pushdown>>,
    pub(crate) idempotency: Mutex<Option<Idempotency>>,
    /// It answers each write of a note with the row, and with a tag that it has made for this answer.
    pub(crate) stamps: Mutex<bool>,
    /// Somebody else writes a row each time before it is asked for by its key.
    pub(crate) restless: Mutex<bool>,
    /// What it says beside each row that it answers a write with, and the model has not.
    pub(crate) extra: Mutex<Option<Arc<str>>>,
    /// Its lists tell no versions, as those of most servers.
    pub(crate) lists_without_versions: Mutex<bool>,
    pub(crate) open: Mutex<Option<Arc<dyn Provider>>>,
}

impl Switches {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn offline(&self, offline: bool) {
        *self.offline.lock().unwrap() = offline;
    }

    pub(crate) fn hang(&self, hangs: bool) {
        *self.hangs.lock().unwrap() = hangs;
    }

    async fn answers(&self) {
        while *self.hangs.lock().unwrap() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn next(&self, turn: Turn) {
        self.turns.lock().unwrap().push_back(turn);
    }

    /// From now on it does this with every write of the row.
    pub(crate) fn poison(&self, key: &str, turn: Turn) {
        self.poison.lock().unwrap().insert(key.to_owned(), turn);
    }

    /// The operations that reached the remote, as "verb key".
    pub(crate) fn seen(&self) -> Vec<String> {
        let applied = self.applied.lock().unwrap();
        applied.iter().map(|mutation| format!("{} {}", mutation.operation.verb(), mutation.key)).collect()
    }

    pub(crate) fn reads(&self) -> usize {
        *self.reads.lock().unwrap()
    }

    /// The remote itself, behind the network.
    pub(crate) fn server(&self) -> Arc<dyn Provider> {
        self.open.lock().unwrap().clone().expect("the repository is built")
    }

    /// What the server has, as (key, text).
    pub(crate) async fn notes(&self) -> Vec<(String, String)> {
        let page = self.server().get(&Context::new(), Note::schema(), &Query::all()).await.unwrap();
        let note = |row: &larder::core::PageRow| Note::from_row(&*row.row).unwrap();
        page.rows.iter().map(note).map(|note| (note.id, note.text)).collect()
    }

    /// Somebody else writes to the server.
    pub(crate) async fn elsewhere(&self, note: Note) {
        let mutation = Mutation {
            id: larder::MutationId(larder::Uuid::from_u128(rand())),
            schema: Note::schema(),
            key: note.key().unwrap(),
            operation: Operation::Upsert,
            row: Some(Arc::new(note)),
            changed: None,
            base_version: None,
            extra: None,
            repeated: false,
            nested: Vec::new(),
        };
        self.server().apply(&Context::new(), &mutation).await.unwrap();
    }

    pub(crate) async fn delete_elsewhere(&self, key: &str) {
        let mutation = Mutation {
            id: larder::MutationId(larder::Uuid::from_u128(rand())),
            schema: Note::schema(),
            key: key.into(),
            operation: Operation::Delete,
            row: None,
            changed: None,
            base_version: None,
            extra: None,
            repeated: false,
            nested: Vec::new(),
        };
        self.server().apply(&Context::new(), &mutation).await.unwrap();
    }

    fn pass(&self) -> Result<Option<Turn>> {
        if *self.offline.lock().unwrap() {
            return Err(Error::new(ErrorKind::Offline, "the switch is off").with_sent(Sent::Never));
        }
        match self.turns.lock().unwrap().pop_front() {
            Some(Turn::Unreachable) => {
                Err(Error::new(ErrorKind::Offline, "for this once").with_sent(Sent::Never))
            }
            Some(Turn::Say(kind, status)) => {
                Err(Error::new(kind, "as told").with_status(status).with_body("no").with_sent(Sent::Answered))
            }
            Some(Turn::Later(wait)) => {
                let busy = Error::new(ErrorKind::Http { status: 503 }, "busy").with_sent(Sent::Answered);
                Err(busy.with_retry_after(wait))
            }
            other => Ok(other),
        }
    }
}

fn rand() -> u128 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) | 1 << 127
}

/// A memory store behind a network that misbehaves on demand.
#[derive(Debug)]
pub(crate) struct Net(pub(crate) Arc<Switches>);

#[derive(Debug)]
struct OpenNet {
    inner: Arc<dyn Provider>,
    switches: Arc<Switches>,
}

#[async_trait]
impl OpenProvider for Net {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Provider>> {
        let known = self.0.open.lock().unwrap().clone();
        let inner = match known {
            Some(inner) => inner,
            None => OpenProvider::open(Box::new(Memory::new()), opening).await?,
        };
        *self.0.open.lock().unwrap() = Some(Arc::clone(&inner));
        Ok(Arc::new(OpenNet { inner, switches: self.0 }))
    }
}

#[async_trait]
impl Provider for OpenNet {
    fn name(&self) -> &str {
        "net"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        if let Some(filter) = *self.switches.filter.lock().unwrap() {
            capabilities.filter = filter;
        }
        capabilities
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.switches.idempotency.lock().unwrap().unwrap_or(self.inner.idempotency(schema, operation))
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        // A network takes its time.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.switches.answers().await;
        self.switches.pass()?;
        let reads = {
            let mut reads = self.switches.reads.lock().unwrap();
            *reads += 1;
            *reads
        };
        if let Some(key) = query.as_key().filter(|_| *self.switches.restless.lock().unwrap()) {
            let stars = i64::try_from(reads).unwrap();
            self.switches.elsewhere(note(&key.to_string(), "theirs", stars)).await;
        }
        let mut page = self.inner.get(cx, schema, query).await?;
        if query.as_key().is_none() && *self.switches.lists_without_versions.lock().unwrap() {
            page.rows.iter_mut().for_each(|row| row.meta.version = None);
        }
        Ok(page)
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<larder::core::Plan> {
        self.inner.explain(schema, query)
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.switches.pass()?;
        self.inner.exists(cx, schema, query).await
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        let poison = self.switches.poison.lock().unwrap().get(&mutation.key.to_string()).cloned();
        if let Some(poison) = poison {
            self.switches.turns.lock().unwrap().push_front(poison);
        }
        let turn = self.switches.pass()?;
        self.switches.applied.lock().unwrap().push(mutation.clone());
        self.switches.accounts.lock().unwrap().push(cx.account.clone());
        self.switches.answers().await;
        let mut applied = self.inner.apply(cx, mutation).await?;
        if let Some(row) = mutation.row.as_deref().filter(|_| *self.switches.stamps.lock().unwrap()) {
            let tag = Some(format!("answer {}", self.switches.applied.lock().unwrap().len()));
            let stamped = Note { tag, ..Note::from_row(row)? };
            let meta = larder::core::Meta::synced(larder::Timestamp::UNIX_EPOCH);
            applied.row = Some(larder::core::PageRow::new(meta, Arc::new(stamped)));
        }
        if let (Some(row), Some(extra)) = (&mut applied.row, self.switches.extra.lock().unwrap().clone()) {
            row.meta.extra = Some(extra);
        }
        match turn {
            Some(Turn::LoseReply) => {
                Err(Error::new(ErrorKind::Transport, "the reply was lost").with_sent(Sent::Maybe))
            }
            _ => Ok(applied),
        }
    }

    /// It has neither face: a sync pulls by queries.
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

/// A repository over memory, with a remote behind the switches.
pub(crate) async fn repo(switches: &Arc<Switches>) -> Repository {
    builder(switches).build().await.unwrap()
}

/// The same, to be configured further.
pub(crate) fn builder(switches: &Arc<Switches>) -> larder::Builder {
    Repository::builder()
        .store(Memory::new())
        .remote(Net(Arc::clone(switches)))
        .model::<Note>()
        .model::<User>()
        .outbox(larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20)))
}

/// The same, in which each write is sent as a mutation of its own.
pub(crate) fn stepwise(switches: &Arc<Switches>) -> larder::Builder {
    let settings = larder::OutboxSettings::new().without_coalescing();
    builder(switches).outbox(settings.backoff(Duration::from_millis(1), Duration::from_millis(20)))
}

/// Drains once.
pub(crate) async fn drained(repo: &Repository) {
    let outbox = repo.outbox();
    let drained = tokio::time::timeout(PATIENCE, outbox.drain());
    drained.await.expect("the outbox comes to rest in time");
}

/// Waits until nothing is queued.
pub(crate) async fn settled(repo: &Repository) {
    let wait = async {
        while !repo.safe_to_wipe().await.unwrap().nothing() {
            repo.outbox().drain().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the outbox is empty in time");
}

/// Damages a byte at each of these places of a file, and where it lies: whoever reads meanwhile finds no file that is shorter.
pub(crate) fn flip(file: &std::path::Path, places: &[usize]) {
    let bytes = std::fs::read(file).unwrap();
    let mut written = std::fs::File::options().write(true).open(file).unwrap();
    for at in places {
        written.seek(std::io::SeekFrom::Start(*at as u64)).unwrap();
        written.write_all(&[bytes[*at] ^ 1]).unwrap();
    }
}

/// Waits until `count` mutations are parked.
pub(crate) async fn parked(repo: &Repository, count: usize) -> Vec<larder::QueuedMutation> {
    let wait = async {
        loop {
            let parked = repo.outbox().parked().await.unwrap();
            if parked.len() == count {
                return parked;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("they are parked in time")
}

/// Fails if it takes too long.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes to an end")
}

/// What is here.
pub(crate) async fn local(repo: &Repository) -> Vec<String> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| note.id.clone()).collect()
}
