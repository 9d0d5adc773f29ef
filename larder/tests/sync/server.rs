//! A remote that answers in pages, tells what has changed, knows when nothing has, and fails on demand.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::stream::{BoxStream, StreamExt};
use larder::core::{
    Applied, Batch, Capabilities, Change, Changed, Context, Delta, DeltaAnswer, DeltaScope, Done, Misfit,
    Mutation, Op, OpenStore, Opening, Page, PageRow, PageToken, Plan, Presence, Provider, Query, Realtime,
    Record, Requests, Schema, Sent, Store, async_trait,
};
use larder::{
    Error, ErrorKind, Idempotency, Key, Memory, Model, MutationId, Operation, Repository, Result,
    TokioRuntime, Uuid,
};

use crate::support::{Note, User, note};

/// What others write: notes, or nothing where they delete.
pub(crate) type ByOthers = Vec<(String, Option<Note>)>;

/// The server: a memory store, and how it answers.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Arc<dyn Store>,
    /// How many rows a page has.
    pub(crate) page: AtomicUsize,
    pub(crate) offline: AtomicBool,
    /// Requests from now on that are answered; then the line is dead, until this is set anew.
    pub(crate) answers: AtomicUsize,
    /// What it says of changes.
    pub(crate) scope: Mutex<DeltaScope>,
    /// Of a row that is another one or gone by now, it tells that alone.
    pub(crate) brief: AtomicBool,
    pub(crate) pushes: AtomicBool,
    /// Its pages go on after a number of rows, and not after the last of them.
    pub(crate) numbered: AtomicBool,
    /// It has no way to ask for a row by its key.
    pub(crate) keyless: AtomicBool,
    /// A page other than the first says that the list goes on with itself.
    pub(crate) circles: AtomicBool,
    /// It knows no place at which a list could go on.
    pub(crate) forgets: AtomicBool,
    /// What others write after each page that is not the last.
    pub(crate) meanwhile: Mutex<VecDeque<ByOthers>>,
    /// A stream of changes breaks off before there is anything in it.
    pub(crate) breaks: AtomicBool,
    /// What comes by it has no position; it says that something has changed and not what.
    pub(crate) placeless: Arc<AtomicBool>,
    pub(crate) hints: Arc<AtomicBool>,
    /// Ends all streams.
    pub(crate) ends: tokio::sync::watch::Sender<()>,
    /// Page tokens of another epoch are refused.
    pub(crate) epoch: AtomicU64,
    /// It says what its answers are called.
    pub(crate) tags: AtomicBool,
    /// Rows that can't be read, and whether their keys can.
    pub(crate) misfits: Mutex<BTreeSet<String>>,
    pub(crate) nameless: AtomicBool,
    /// They come as rows all the same, in which nothing stands.
    pub(crate) blank: AtomicBool,
    /// Rows of which it says by its next page of changes that they are gone.
    pub(crate) gone: Mutex<Vec<Key>>,
    /// How many changes it says that there are; 0: it does not say so.
    pub(crate) foretells: AtomicU64,
    /// A model that it has no list of.
    pub(crate) refuses: Mutex<Option<&'static str>>,
    /// What it is asked, as far as that begins so, fails with this status.
    pub(crate) fails: Mutex<Option<(&'static str, ErrorKind, u16)>>,
    /// As long as it is true, nothing comes back.
    pub(crate) hangs: AtomicBool,
    /// What it is asked, as far as that begins so, never comes back.
    pub(crate) silent: Mutex<Option<&'static str>>,
    /// What it was asked for.
    pub(crate) asked: Mutex<Vec<String>>,
    mutations: AtomicU64,
}

pub(crate) async fn opened(store: impl OpenStore) -> Arc<dyn Store> {
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    let opening = Opening { runtime, schemas: Arc::new([Note::schema(), User::schema()]) };
    OpenStore::open(Box::new(store), &opening).await.unwrap()
}

impl Server {
    /// One that pages, and tells of no changes.
    pub(crate) async fn paging(page: usize) -> Arc<Self> {
        Self::over(Memory::new(), page, DeltaScope::Nothing).await
    }

    /// One that tells of changes and deletions.
    pub(crate) async fn telling(memory: Memory) -> Arc<Self> {
        Self::over(memory, usize::MAX, DeltaScope::ChangesAndDeletions).await
    }

    async fn over(memory: Memory, page: usize, scope: DeltaScope) -> Arc<Self> {
        Arc::new(Self {
            store: opened(memory).await,
            page: AtomicUsize::new(page),
            offline: AtomicBool::new(false),
            answers: AtomicUsize::new(usize::MAX),
            scope: Mutex::new(scope),
            brief: AtomicBool::new(false),
            pushes: AtomicBool::new(false),
            numbered: AtomicBool::new(false),
            keyless: AtomicBool::new(false),
            circles: AtomicBool::new(false),
            forgets: AtomicBool::new(false),
            meanwhile: Mutex::default(),
            breaks: AtomicBool::new(false),
            placeless: Arc::default(),
            hints: Arc::default(),
            ends: tokio::sync::watch::Sender::new(()),
            epoch: AtomicU64::new(0),
            tags: AtomicBool::new(false),
            misfits: Mutex::default(),
            nameless: AtomicBool::new(false),
            blank: AtomicBool::new(false),
            gone: Mutex::default(),
            foretells: AtomicU64::new(0),
            refuses: Mutex::default(),
            fails: Mutex::default(),
            hangs: AtomicBool::new(false),
            silent: Mutex::default(),
            asked: Mutex::default(),
            mutations: AtomicU64::new(1),
        })
    }

    /// Somebody else writes; without a note, deletes.
    pub(crate) async fn write(&self, key: &str, note: Option<Note>) {
        let operation = if note.is_some() { Operation::Upsert } else { Operation::Delete };
        self.write_row(Note::schema(), key, operation, note.map(|note| Arc::new(note) as _)).await;
    }

    pub(crate) async fn write_user(&self, user: User) {
        let key = user.id.clone();
        self.write_row(User::schema(), &key, Operation::Upsert, Some(Arc::new(user))).await;
    }

    pub(crate) async fn delete_user(&self, id: &str) {
        self.write_row(User::schema(), id, Operation::Delete, None).await;
    }

    async fn write_row(
        &self,
        schema: &'static Schema,
        key: &str,
        operation: Operation,
        row: Option<Arc<dyn larder::core::Row>>,
    ) {
        let number = self.mutations.fetch_add(1, Ordering::SeqCst);
        let mutation = Mutation {
            id: MutationId(Uuid::from_u128(u128::from(number) | 1 << 127)),
            schema,
            key: key.into(),
            operation,
            row,
            changed: None,
            base_version: None,
            extra: None,
            repeated: false,
            nested: Vec::new(),
        };
        self.store.apply(&Context::new(), &mutation).await.unwrap();
    }

    /// Writes `count` notes at once.
    pub(crate) async fn fill(&self, count: usize) {
        let put = |id: usize| Op::Put {
            schema: Note::schema(),
            key: name(id).into(),
            row: Arc::new(note(&name(id), "theirs", 0)),
            meta: larder::core::Meta::synced(larder::Timestamp::UNIX_EPOCH),
            tail: larder::core::Tail::At(0),
        };
        let ops = (0..count).map(put).collect();
        self.store.commit(&Context::new(), Batch { expect: Vec::new(), ops }).await.unwrap();
    }

    /// What it was asked since this was called last.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// What it has, as (key, text).
    pub(crate) async fn notes(&self) -> Vec<(String, String)> {
        let page = self.store.get(&Context::new(), Note::schema(), &Query::all()).await.unwrap();
        page.rows
            .iter()
            .map(|row| Note::from_row(&*row.row).unwrap())
            .map(|note| (note.id, note.text))
            .collect()
    }

    pub(crate) async fn repo(self: &Arc<Self>, store: Arc<dyn Store>) -> Repository {
        self.builder(store).build().await.unwrap()
    }

    pub(crate) fn builder(self: &Arc<Self>, store: Arc<dyn Store>) -> larder::Builder {
        let remote: Arc<dyn Provider> = Arc::<Self>::clone(self);
        Repository::builder().store(store).remote(remote).model::<Note>().model::<User>()
    }

    async fn comes_back(&self) {
        tokio::task::yield_now().await;
        while self.hangs.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    fn pass(&self, what: String) -> Result<()> {
        let failing = self.fails.lock().unwrap().filter(|(begins, ..)| what.starts_with(begins));
        self.asked.lock().unwrap().push(what);
        if let Some((_, kind, status)) = failing {
            return Err(Error::new(kind, "as told").with_status(status).with_sent(Sent::Answered));
        }
        let dead = self
            .answers
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                if left == usize::MAX { Some(left) } else { left.checked_sub(1) }
            })
            .is_err();
        if dead || self.offline.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Offline, "the line is dead").with_sent(Sent::Never));
        }
        Ok(())
    }

    fn unreadable(&self, rows: &mut Vec<PageRow>) -> Vec<Misfit> {
        let bad = self.misfits.lock().unwrap();
        let mut misfits = Vec::new();
        let blank = self.blank.load(Ordering::SeqCst);
        rows.retain_mut(|row| {
            let Ok(note) = Note::from_row(&*row.row) else { return true };
            let is_bad = bad.contains(&note.id);
            if is_bad && blank {
                row.row = Arc::new(Record::new(vec![None; Note::schema().fields.len()]));
                return true;
            }
            if is_bad {
                let key = (!self.nameless.load(Ordering::SeqCst)).then(|| Key::from(note.id));
                let error = Error::new(ErrorKind::Serialization, "it is none").model("Note");
                misfits.push(Misfit { key, error: Arc::new(error) });
            }
            !is_bad
        });
        misfits
    }
}

/// Names in the order of their numbers.
pub(crate) fn name(id: usize) -> String {
    format!("{id:06}")
}

#[async_trait]
impl Provider for Server {
    fn name(&self) -> &str {
        "server"
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.store.idempotency(schema, operation)
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        self.comes_back().await;
        if *self.refuses.lock().unwrap() == Some(schema.model) {
            return Err(Error::new(ErrorKind::Unsupported, "there is no list"));
        }
        let token = cx.resume.as_ref().map(|token| token.0.clone());
        if query.limit == Some(1) {
            self.pass("one".to_owned())?;
        } else {
            let what = if query.as_key().is_some() { "key" } else { "page" };
            self.pass(format!(
                "{what} {}{}",
                schema.model,
                token.as_deref().map_or(String::new(), |token| format!(" {token}"))
            ))?;
            let silent = *self.silent.lock().unwrap();
            if silent.is_some_and(|begins| what.starts_with(begins)) {
                std::future::pending::<()>().await;
            }
        }
        let tag = self.store.revision().to_string();
        let tagged = self.tags.load(Ordering::SeqCst) && query.as_key().is_none();
        if tagged && token.is_none() && cx.unless.as_ref() == Some(&tag) {
            return Ok(Page { done: Done::ALL, unchanged: true, ..Page::default() });
        }
        let epoch = self.epoch.load(Ordering::SeqCst);
        let mut page = self.store.get(&Context::new(), schema, query).await?;
        let total = page.rows.len();
        if let Some(token) = &token {
            let (of, after) = token.split_once(':').unwrap();
            if of != epoch.to_string() || self.forgets.load(Ordering::SeqCst) {
                return Err(Error::new(ErrorKind::Rejected, "the token is too old").with_status(400));
            }
            match after.strip_prefix('#') {
                Some(rows) => drop(page.rows.drain(..rows.parse::<usize>().unwrap().min(page.rows.len()))),
                None => page.rows.retain(|row| schema.key_of(&*row.row).unwrap() > Key::from(after)),
            }
        }
        let size = self.page.load(Ordering::SeqCst);
        let numbered = self.numbered.load(Ordering::SeqCst);
        let next = (page.rows.len() > size).then(|| {
            let last = schema.key_of(&*page.rows[size - 1].row).unwrap();
            let read = total - page.rows.len() + size;
            let place = if numbered { format!("#{read}") } else { last.to_string() };
            PageToken(format!("{epoch}:{place}"))
        });
        page.rows.truncate(size);
        if next.is_some() {
            let writes = self.meanwhile.lock().unwrap().pop_front().unwrap_or_default();
            for (key, note) in writes {
                self.write(&key, note).await;
            }
        }
        let circles = self.circles.load(Ordering::SeqCst);
        let next = if circles { token.map(PageToken).or(next) } else { next };
        let misfits = self.unreadable(&mut page.rows);
        let tag = tagged.then_some(tag).filter(|_| next.is_none());
        let total = Some(total as u64);
        Ok(Page { next, misfits, total, tag, steady: !numbered, ..page })
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        if self.keyless.load(Ordering::SeqCst) {
            return Ok(query.plan(schema, &Capabilities::NONE));
        }
        self.store.explain(schema, query)
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.store.exists(cx, schema, query).await
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        self.comes_back().await;
        self.pass(format!("{} {}", mutation.operation.verb(), mutation.key))?;
        self.store.apply(cx, mutation).await
    }

    fn delta(&self) -> Option<&dyn Delta> {
        Some(self)
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        self.pushes.load(Ordering::SeqCst).then_some(self)
    }

    fn requests(&self) -> Option<&dyn Requests> {
        None
    }
}

/// A server with so many rows, two on a page, and a client that has nothing yet.
pub(crate) async fn apart(scope: DeltaScope, rows: usize) -> (Arc<Server>, Repository) {
    let server = Server::telling(Memory::new().delta_page(2)).await;
    server.page.store(2, Ordering::SeqCst);
    *server.scope.lock().unwrap() = scope;
    server.fill(rows).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    (server, repo)
}

#[async_trait]
impl Delta for Server {
    fn scope(&self, _: &'static Schema) -> DeltaScope {
        *self.scope.lock().unwrap()
    }

    async fn changes(
        &self,
        cx: &Context,
        schema: &'static Schema,
        since: Option<&str>,
    ) -> Result<DeltaAnswer> {
        self.comes_back().await;
        let what = since.map_or("everything", |since| {
            if since.contains("/\"") || since.contains('{') { "more" } else { "changes" }
        });
        self.pass(format!("{what} {}", schema.model))?;
        let mut answer = self.store.delta().unwrap().changes(cx, schema, since).await?;
        if let DeltaAnswer::Page(page) = &mut answer {
            page.misfits = self.unreadable(&mut page.rows);
            page.steady &= !self.numbered.load(Ordering::SeqCst);
            page.deleted.append(&mut self.gone.lock().unwrap());
            let foretold = Some(self.foretells.load(Ordering::SeqCst)).filter(|changes| *changes > 0);
            page.total = page.total.or(foretold);
            if let Some(since) = since.filter(|_| self.circles.load(Ordering::SeqCst)) {
                (page.cursor, page.more) = (since.to_owned(), true);
            }
            if self.brief.load(Ordering::SeqCst) {
                let mut still = Vec::new();
                for row in page.rows.drain(..) {
                    let key = schema.key_of(&*row.row)?;
                    let stored = self.store.load(cx, schema, &key).await?;
                    let there = stored.filter(|stored| stored.row.is_some());
                    if there.is_some_and(|there| there.meta.version == row.meta.version) {
                        still.push(row);
                    }
                }
                page.rows = still;
            }
            if self.scope(schema) == DeltaScope::Changes {
                page.deleted.clear();
            }
        }
        Ok(answer)
    }
}

#[async_trait]
impl Realtime for Server {
    fn carries(&self, _: &'static Schema) -> bool {
        true
    }

    async fn subscribe(
        &self,
        cx: &Context,
        schema: &'static Schema,
        from: Option<&str>,
    ) -> Result<BoxStream<'static, Result<Change>>> {
        self.pass(format!("listen {} {}", schema.model, if from.is_some() { "on" } else { "anew" }))?;
        if self.breaks.load(Ordering::SeqCst) {
            let broken = Err(Error::new(ErrorKind::Transport, "it breaks off at once"));
            return Ok(futures_util::stream::iter([broken]).boxed());
        }
        let (bad, nameless) = (self.misfits.lock().unwrap().clone(), self.nameless.load(Ordering::SeqCst));
        let changes = self.store.realtime().unwrap().subscribe(cx, schema, from).await?;
        let (placeless, hints) = (Arc::clone(&self.placeless), Arc::clone(&self.hints));
        let reworded = move |change: Result<Change>| {
            let mut change = change?;
            if placeless.load(Ordering::SeqCst) {
                change.position = None;
            }
            if hints.load(Ordering::SeqCst) {
                change.what = Changed::Hint;
            }
            if let Changed::Row(row) = &mut change.what
                && Note::from_row(&*row.row).is_ok_and(|note| nameless && bad.contains(&note.id))
            {
                row.row = Arc::new(Record::new(vec![None; schema.fields.len()]));
            }
            Ok(change)
        };
        let mut ends = self.ends.subscribe();
        let end = Box::pin(async move { drop(ends.changed().await) });
        Ok(changes.map(reworded).take_until(end).boxed())
    }
}
