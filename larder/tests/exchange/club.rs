//! A club whose server numbers everything, and short ways to say things.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::core::association::references;
use larder::core::{
    Applied, Capabilities, Context, Delta, KeyKind, Mutation, OpenProvider, Opening, Outcome, Page, PageRow,
    Plan, Presence, Provider, Query, Realtime, Record, Requests, Row, Schema, Sent, Value, async_trait,
};
use larder::{
    Builder, Error, ErrorKind, Idempotency, Key, Many, Memory, Model, MutationId, One, Operation, ReadPolicy,
    Repository, Result, Select, Uuid,
};

use crate::support::gates::Held;

#[derive(Model, Clone, Debug, Default, PartialEq)]
pub(crate) struct Team {
    #[model(key(server))]
    pub(crate) number: i64,
    pub(crate) name: String,
    /// Its own kind.
    pub(crate) parent: Option<One<Team>>,
    #[model(children = "team")]
    pub(crate) members: Many<Member>,
    #[model(through = "Seat", from = "team", to = "member")]
    pub(crate) board: Many<Member>,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Member {
    #[model(key(server))]
    pub(crate) number: i64,
    pub(crate) name: String,
    #[model(index)]
    pub(crate) team: Option<One<Team>>,
    /// A list of keys.
    #[model(keys)]
    pub(crate) friends: Many<Member>,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Task {
    #[model(key)]
    pub(crate) id: Uuid,
    pub(crate) title: String,
    pub(crate) member: One<Member>,
}

/// Its own key is made of the keys of others.
#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Seat {
    #[model(key)]
    #[model(on_delete = "cascade")]
    pub(crate) team: One<Team>,
    #[model(key)]
    #[model(on_delete = "cascade")]
    pub(crate) member: One<Member>,
    #[model(default)]
    pub(crate) since: i64,
}

/// Numbers new rows, remembers what it was sent, and takes nothing that refers to what it does not have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    pub(crate) offline: Arc<AtomicBool>,
    /// This many requests are answered before it is offline again; negative: all.
    pub(crate) budget: Arc<AtomicI64>,
    /// Loses this many replies.
    pub(crate) lose: Arc<AtomicI64>,
    /// Says of this many creations of teams that there is a conflict.
    pub(crate) disputes: Arc<AtomicI64>,
    pub(crate) next: Arc<AtomicI64>,
    /// Nothing is repeated that may have arrived.
    pub(crate) once: Arc<AtomicBool>,
    /// How many changes of another device it has taken.
    others: Arc<AtomicU64>,
    /// Keeps the next change of a row that has had a key, and does then what is said.
    held: Arc<Mutex<Option<Kept>>>,
    /// It knows no versions, and takes each row as it comes.
    pub(crate) unversioned: Arc<AtomicBool>,
    /// It gives the key of a row that is deleted to a new one at once.
    pub(crate) gives_again: Arc<AtomicBool>,
    /// The rows of which something is on its way.
    under_way: Arc<Mutex<HashSet<(&'static str, Key)>>>,
    seen: Arc<Mutex<Vec<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
    done: Arc<Mutex<HashMap<MutationId, Option<PageRow>>>>,
    inner: Arc<Mutex<Option<Arc<dyn Provider>>>>,
}

type Kept = (Arc<Held>, Then);

/// What becomes of a change that was held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Then {
    Accepted,
    /// It is done, and the reply is lost.
    Lost,
    /// It never came.
    Unreachable,
    /// There is a conflict.
    Disputed,
    Refused,
}

#[async_trait]
impl OpenProvider for Server {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Provider>> {
        let known = self.inner.lock().unwrap().clone();
        if known.is_none() {
            let inner = OpenProvider::open(Box::new(Memory::new()), opening).await?;
            *self.inner.lock().unwrap() = Some(inner);
            self.next.store(17, Ordering::Relaxed);
            self.budget.store(-1, Ordering::Relaxed);
        }
        Ok(Arc::new(*self))
    }
}

impl Server {
    pub(crate) fn inner(&self) -> Arc<dyn Provider> {
        self.inner.lock().unwrap().clone().unwrap()
    }

    pub(crate) fn offline(&self, offline: bool) {
        self.offline.store(offline, Ordering::Relaxed);
    }

    /// What it was sent: the verb, the model, the key, and what the row refers to.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// What it was asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn shows(&self, row: &mut PageRow) {
        row.meta.version.take_if(|_| self.unversioned.load(Ordering::Relaxed));
    }

    fn pass(&self) -> Result<()> {
        let spent = self.budget.load(Ordering::Relaxed) == 0;
        if spent || self.offline.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Offline, "the switch is off").with_sent(Sent::Never));
        }
        if self.budget.load(Ordering::Relaxed) > 0 {
            self.budget.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn has(&self, schema: &'static Schema, key: &Key) -> bool {
        let query = Query::key(key.clone());
        let there = self.inner().exists(&Context::new(), schema, &query).await.unwrap();
        there == Presence::Present
    }

    /// Another device changes a row, or makes it.
    pub(crate) async fn elsewhere<M: Model + Clone>(&self, row: &M) {
        let id = MutationId(Uuid::from_u64_pair(2, self.others.fetch_add(1, Ordering::Relaxed)));
        let there = self.has(M::schema(), &row.key().unwrap()).await;
        let mutation = Mutation {
            id,
            schema: M::schema(),
            key: row.key().unwrap(),
            operation: if there { Operation::Update } else { Operation::Insert },
            row: Some(Arc::new(row.clone())),
            changed: Some((0..M::schema().fields.len()).collect()),
            base_version: None,
            extra: None,
            repeated: false,
            nested: Vec::new(),
        };
        self.inner().apply(&Context::new(), &mutation).await.unwrap();
    }

    /// All rows that it has of a model.
    pub(crate) async fn rows<M: Model>(&self) -> Vec<M> {
        let page = self.inner().get(&Context::new(), M::schema(), &Query::all()).await.unwrap();
        page.rows.iter().map(|row| M::from_row(&*row.row).unwrap()).collect()
    }
}

fn named(schema: &'static Schema, row: Option<&dyn Row>) -> Vec<(&'static Schema, Key)> {
    row.map(|row| references(schema, row).unwrap()).unwrap_or_default()
}

#[async_trait]
impl Provider for Server {
    fn name(&self) -> &str {
        "club"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }

    fn idempotency(&self, _: &'static Schema, _: Operation) -> Idempotency {
        match self.once.load(Ordering::Relaxed) {
            true => Idempotency::AtMostOnce,
            false => Idempotency::Keyed { life: Duration::from_secs(3600) },
        }
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        self.inner().explain(schema, query)
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        self.asked.lock().unwrap().push(format!("{} {:?}", schema.model, query.filter));
        self.pass()?;
        let mut page = self.inner().get(cx, schema, query).await?;
        page.rows.iter_mut().for_each(|row| self.shows(row));
        Ok(page)
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.asked.lock().unwrap().push(format!("{} {:?}", schema.model, query.filter));
        self.pass()?;
        self.inner().exists(cx, schema, query).await
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        self.pass()?;
        let place = (mutation.schema.model, mutation.key.clone());
        if !self.under_way.lock().unwrap().insert(place.clone()) {
            self.seen.lock().unwrap().push(format!("two at a time: {} {}", place.0, place.1));
        }
        // A server takes its time.
        tokio::task::yield_now().await;
        let is_temporary = match &mutation.key {
            Key::Uuid(key) => key.get_version_num() == 7,
            key => *key < Key::from(0),
        };
        let creates = mutation.operation == Operation::Insert && is_temporary;
        let held = self.held.lock().unwrap().take_if(|_| !creates);
        if let Some((held, _)) = &held {
            held.there.notify_one();
            held.go.notified().await;
        }
        let then = held.map_or(Then::Accepted, |(_, then)| then);
        let applied = self.answer(cx, mutation, then).await;
        self.under_way.lock().unwrap().remove(&place);
        applied
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

impl Server {
    /// Keeps the next change of a row that has, or has had, a key of its own, and does `then` with it.
    pub(crate) fn hold(&self, then: Then) -> Arc<Held> {
        let held = Arc::<Held>::default();
        *self.held.lock().unwrap() = Some((Arc::clone(&held), then));
        held
    }

    async fn answer(&self, cx: &Context, mutation: &Mutation, then: Then) -> Result<Applied> {
        let no = |kind, status| Error::new(kind, "no").with_status(status).with_sent(Sent::Answered);
        match then {
            Then::Unreachable => {
                return Err(Error::new(ErrorKind::Offline, "it never came").with_sent(Sent::Never));
            }
            Then::Disputed => return Err(no(ErrorKind::Conflict, 409)),
            Then::Refused => return Err(no(ErrorKind::Rejected, 422)),
            Then::Lost => drop(self.lose.fetch_add(1, Ordering::Relaxed)),
            Then::Accepted => {}
        }
        let repeated = self.done.lock().unwrap().get(&mutation.id).cloned();
        if let Some(row) = repeated {
            return Ok(Applied { outcome: Outcome::Updated, row });
        }
        let creates = mutation.operation == Operation::Insert && mutation.schema == Team::schema();
        if creates && self.disputes.load(Ordering::Relaxed) > 0 {
            self.disputes.fetch_sub(1, Ordering::Relaxed);
            let error = Error::new(ErrorKind::Conflict, "there is such a row");
            return Err(error.with_status(409).with_sent(Sent::Answered));
        }
        let mut mutation = mutation.clone();
        let refers = named(mutation.schema, mutation.row.as_deref());
        for (schema, key) in &refers {
            if !self.has(schema, key).await {
                let what = format!("there is no {} {key}", schema.model);
                self.seen.lock().unwrap().push(format!("refused: {what}"));
                return Err(Error::new(ErrorKind::Rejected, what).with_status(422).with_sent(Sent::Answered));
            }
        }
        if mutation.operation == Operation::Insert && mutation.schema.key.kind == KeyKind::Server {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let mut record = Record::copy(mutation.schema, &**mutation.row.as_ref().unwrap())?;
            let given = match mutation.key {
                Key::Uuid(_) => Value::Uuid(Uuid::from_u128(number.unsigned_abs().into())),
                _ => Value::Int(number.into()),
            };
            mutation.key = Key::take(given.show()).unwrap();
            record.set(0, given);
            mutation.row = Some(Arc::new(record));
        }
        let refers: String = refers.iter().map(|(schema, key)| format!(" {}:{key}", schema.model)).collect();
        let (verb, model, key) = (mutation.operation.verb(), mutation.schema.model, &mutation.key);
        self.seen.lock().unwrap().push(format!("{verb} {model} {key}{refers}"));
        let mut applied = self.inner().apply(cx, &mutation).await?;
        if mutation.operation == Operation::Delete && self.gives_again.load(Ordering::Relaxed) {
            let row = Team { number: 17, name: "new".into(), ..Team::default() };
            let (id, row) = (MutationId(Uuid::from_u64_pair(1, 1)), Some(Arc::new(row) as Arc<dyn Row>));
            let operation = Operation::Insert;
            let another = Mutation { id, operation, row, base_version: None, ..mutation.clone() };
            self.inner().apply(cx, &another).await?;
        }
        applied.row.iter_mut().for_each(|row| self.shows(row));
        self.done.lock().unwrap().insert(mutation.id, applied.row.clone());
        if self.lose.load(Ordering::Relaxed) > 0 {
            self.lose.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::new(ErrorKind::Transport, "the reply was lost").with_sent(Sent::Maybe));
        }
        Ok(applied)
    }
}

pub(crate) fn builder(server: &Server) -> Builder {
    Repository::builder()
        .remote(server.clone())
        .model::<Team>()
        .model::<Member>()
        .model::<Task>()
        .model::<Seat>()
        .outbox(larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(5)))
}

pub(crate) async fn memory(server: &Server) -> Repository {
    builder(server).store(Memory::new()).build().await.unwrap()
}

pub(crate) async fn team(repo: &Repository, name: &str, parent: Option<i64>) -> Team {
    let number = repo.new_key(Team::NUMBER).await.unwrap();
    let parent = parent.map(One::to);
    Team { number, name: name.into(), parent, members: Many::new(), board: Many::new() }
}

pub(crate) async fn member(repo: &Repository, name: &str, team: Option<i64>) -> Member {
    let number = repo.new_key(Member::NUMBER).await.unwrap();
    Member { number, name: name.into(), team: team.map(One::to), friends: Many::new() }
}

pub(crate) fn task(title: &str, member: i64) -> Task {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    let id = Uuid::from_u64_pair(0, NEXT.fetch_add(1, Ordering::Relaxed).unsigned_abs());
    Task { id, title: title.into(), member: One::to(member) }
}

pub(crate) fn seat(team: i64, member: i64) -> Seat {
    Seat { team: One::to(team), member: One::to(member), since: 0 }
}

/// All rows that are here.
pub(crate) async fn local<M: Model>(repo: &Repository) -> Vec<Arc<M>> {
    repo.reading(ReadPolicy::LocalOnly).get(Select::<M>::all()).await.unwrap().into_vec()
}

/// What a row names by keys that a server would not give.
pub(crate) fn temporary<M: Model>(row: &M) -> Vec<String> {
    let own = row.key().unwrap();
    let mut keys = named(M::schema(), Some(row));
    keys.push((M::schema(), own));
    let shown = keys.into_iter().map(|(schema, key)| format!("{} {key}", schema.model));
    shown.filter(|key| key.contains('-') && !key.starts_with("Task")).collect()
}

/// Here and there are the same, and no temporary key is left anywhere.
pub(crate) async fn at_peace(repo: &Repository, server: &Server) {
    async fn same<M: Model + PartialEq + Clone + std::fmt::Debug>(repo: &Repository, server: &Server) {
        let here: Vec<M> = local::<M>(repo).await.iter().map(|row| (**row).clone()).collect();
        for row in &here {
            assert_eq!(temporary(row), [""; 0], "{row:?}");
        }
        assert_eq!(here, server.rows::<M>().await, "here and there are the same");
    }
    let queued = repo.outbox().list(0, 1000).await.unwrap();
    assert!(queued.is_empty(), "{queued:?} {:?}", server.seen());
    same::<Team>(repo, server).await;
    same::<Member>(repo, server).await;
    same::<Task>(repo, server).await;
    same::<Seat>(repo, server).await;
    let leaked: Vec<_> =
        server.seen().into_iter().filter(|line| line.contains(":-") || line.contains(" -")).collect();
    assert_eq!(leaked, [""; 0], "{:?}", server.seen());
    let beside: Vec<_> = server.seen().into_iter().filter(|line| line.starts_with("two at a time")).collect();
    assert_eq!(beside, [""; 0], "{:?}", server.seen());
    let asked: Vec<_> = server.asked().into_iter().filter(|line| line.contains("Int(-")).collect();
    assert_eq!(asked, [""; 0]);
}
