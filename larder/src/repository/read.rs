//! Reads: memory cache, then store, then remote, as the policy says. The answer always comes out of local storage.
//!
//! A read has two steps. [`prepare`](Repository::prepare) asks the remote if the policy wants it, and its answer goes
//! into the store; then the local side answers. So pending edits are in every answer.

use std::sync::{Arc, PoisonError};

use larder_core::{
    Error, ErrorKind, Key, Model, PageRow, Plan, Position, Presence, Query, ReadPolicy, Result, RowState,
    Schema, Select, SyncState, Timestamp, association,
};
use tracing::Instrument as _;
use tracing::field::{Empty, debug};

use super::rows::GoesOn;
use super::{Origin, Repository, Rows};

/// What the local side answers.
pub(super) struct Local<M> {
    pub(super) rows: Vec<Arc<M>>,
    pub(super) states: Vec<SyncState>,
    pub(super) revisions: Vec<u64>,
    /// The place after each row, if the rows alone don't tell it.
    pub(super) places: Vec<Position>,
}

/// What came of asking the remote, or of not asking it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) origin: Origin,
    /// Why the local side answers although the remote was asked.
    pub(super) stale: Option<Error>,
}

impl Prepared {
    pub(super) const fn local() -> Self {
        Self { origin: Origin::Local, stale: None }
    }

    pub(super) const fn remote() -> Self {
        Self { origin: Origin::Remote, stale: None }
    }
}

impl Repository {
    /// The row with this key.
    ///
    /// # Errors
    /// `Invalid` if the model is not registered; `Offline`, `Timeout` and their like if the policy asks the remote
    /// and it can't be reached; `Storage`, `Corrupt`; `Serialization` if the row does not fit the model.
    pub async fn find<M: Model>(&self, key: impl Into<Key>) -> Result<Option<Arc<M>>> {
        let key = key.into();
        if self.looks_here_first() {
            if let Some(hit) = self.shared.caches.of::<M>().and_then(|cache| cache.get(&key)) {
                self.refresh_behind::<M>(|| Query::key(key));
                return Ok(Some(hit));
            }
            let schema = self.schema::<M>()?;
            if let Some(row) = self.find_stored::<M>(schema, &key).await? {
                self.refresh_behind::<M>(|| Query::key(key));
                return Ok(Some(row));
            }
        }
        self.find_beyond(key).await
    }

    /// Whether a row that is here is an answer, however long ago it came.
    pub(super) fn looks_here_first(&self) -> bool {
        let remote_first = matches!(self.options.read, ReadPolicy::RemoteFirst | ReadPolicy::RemoteOnly);
        !remote_first && (self.options.max_age.is_none() || self.shared.remote.is_none())
    }

    /// The row is not here, or the policy asks the remote first.
    async fn find_beyond<M: Model>(&self, key: Key) -> Result<Option<Arc<M>>> {
        // A temporary key stands for the one that was given in its place.
        let schema = self.schema::<M>()?;
        if let Some(given) = self.shared.given.get(schema, &key) {
            // That is about to take its place; what has come under it may not know yet that the row is deleted here.
            let there = self.shared.store.load(&self.cx(), schema, &key).await?;
            return match there {
                Some(deleted) if deleted.row.is_none() => Ok(None),
                _ => Box::pin(self.find(given)).await,
            };
        }
        let mut rows = self.get(Select::<M>::new(Query::key(key))).await?.into_vec();
        Ok(rows.pop())
    }

    /// The row as it is stored, through the cache.
    pub(super) async fn find_stored<M: Model>(
        &self,
        schema: &'static Schema,
        key: &Key,
    ) -> Result<Option<Arc<M>>> {
        let revision = self.shared.store.revision();
        let query = Query::key(key.clone());
        let mut found = None;
        let now = self.shared.store.read_now(schema, &query, &mut |_, row| {
            found = Some(Arc::new(M::from_row(row)?));
            Ok(())
        })?;
        if !now {
            let page = self.shared.store.get(&self.cx(), schema, &query).await?;
            found = page.rows.first().map(|stored| M::from_row(&*stored.row)).transpose()?.map(Arc::new);
        }
        if let (Some(row), Some(cache)) = (&found, self.shared.caches.of::<M>()) {
            cache.insert(key.clone(), Arc::clone(row), revision);
        }
        Ok(found)
    }

    /// The rows that answer `query`: a [`Select`], or a condition alone.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn get<M: Model>(&self, query: impl Into<Select<M>>) -> Result<Rows<M>> {
        let schema = self.schema::<M>()?;
        let select = query.into();
        let span = tracing::info_span!(
            "larder::get", model = schema.model, policy = ?self.options.read,
            origin = Empty, rows = Empty, stale = Empty,
        );
        let answer = async {
            let prepared = self.prepare(schema, select.as_query()).await?;
            let mut rows = self.answer::<M>(schema, select.as_query(), prepared).await?;
            self.load_related(schema, &mut rows, select.includes()).await?;
            Ok::<_, Error>(rows)
        };
        let rows = answer.instrument(span.clone()).await?;
        span.record("origin", debug(rows.origin)).record("rows", rows.len());
        if let Some(error) = &rows.stale {
            span.record("stale", debug(error.kind()));
        }
        Ok(rows)
    }

    /// Asks the remote for `query`, if the policy wants it; what comes is stored before this returns.
    pub(super) async fn prepare(&self, schema: &'static Schema, query: &Query) -> Result<Prepared> {
        query.check(schema)?;
        let policy = match &self.shared.remote {
            Some(_) => self.options.read,
            None => no_remote(self.options.read)?,
        };
        match policy {
            ReadPolicy::LocalOnly => return Ok(Prepared::local()),
            ReadPolicy::LocalFirst | ReadPolicy::LocalThenRemote => {
                if self.is_known_enough(schema, query).await? {
                    if policy == ReadPolicy::LocalThenRemote {
                        self.refresh(schema, query.clone());
                    }
                    return Ok(Prepared::local());
                }
            }
            ReadPolicy::RemoteFirst | ReadPolicy::RemoteOnly => {}
        }
        match self.fetch(schema, query).await {
            Ok(()) => Ok(Prepared::remote()),
            Err(error) if policy != ReadPolicy::RemoteOnly && unreachable(&error) => {
                // Something is known: rows, a complete answer that is too old, or that the row was never sent.
                let known = self.known_since(schema, query).await?.is_some()
                    || self.exists_here(schema, query).await?
                    || self.is_undone(schema, query).await?;
                if known { Ok(Prepared { stale: Some(error), ..Prepared::local() }) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Whether what is known here is complete, and fresh enough for this handle.
    pub(super) async fn is_known_enough(&self, schema: &'static Schema, query: &Query) -> Result<bool> {
        let by_key = query.as_key().is_some();
        if by_key && self.options.max_age.is_none() && self.is_here(schema, query).await? {
            return Ok(true);
        }
        let since = self.known_since(schema, query).await?;
        Ok(since.is_some_and(|since| self.is_fresh(since)))
    }

    /// How the local store answers `query`: by which keys and indexes, what is judged row by row, and whether it sorts. Of
    /// what it asks of related rows, which queries that takes and how each of them is answered. What is loaded with the
    /// rows is not part of it.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository};
    /// # #[derive(Model)]
    /// # struct User { #[model(key)] id: u32, #[model(index)] city: String }
    /// # async fn run() -> larder::Result<()> {
    /// let repo = Repository::builder().store(Memory::new()).model::<User>().build().await?;
    /// println!("{}", repo.plan(User::CITY.eq("Oslo"))?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the model is not registered, or the query makes no sense for it.
    pub fn plan<M: Model>(&self, query: impl Into<Select<M>>) -> Result<Plan> {
        let schema = self.schema::<M>()?;
        let explain = |schema, query: &Query| self.shared.store.explain(schema, query);
        association::plan(schema, query.into().as_query(), &explain)
    }

    /// Whether any row answers `query`. Asks the remote only where the policy would fetch, and stores nothing.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn exists<M: Model>(&self, query: impl Into<Select<M>>) -> Result<bool> {
        let schema = self.schema::<M>()?;
        let query = query.into().into_query();
        query.check(schema)?;
        let policy = match &self.shared.remote {
            Some(_) => self.options.read,
            None => no_remote(self.options.read)?,
        };
        let asks_first = matches!(policy, ReadPolicy::RemoteFirst | ReadPolicy::RemoteOnly);
        if !asks_first {
            let here = self.exists_here(schema, &query).await?;
            if here || policy == ReadPolicy::LocalOnly || self.is_known_enough(schema, &query).await? {
                return Ok(here);
            }
        }
        let remote = &self.remote()?.provider;
        let widened = query.widened();
        let Some(asked) = self.askable(schema, &widened).await? else {
            return self.exists_here(schema, &query).await;
        };
        let presence = match remote.exists(&self.cx(), schema, &asked).await {
            // It was asked for more.
            Ok(Presence::Present) if query.is_related() => Presence::Unknown,
            Ok(presence) => presence,
            Err(error) if unreachable(&error) && policy != ReadPolicy::RemoteOnly => {
                let here = self.exists_here(schema, &query).await?;
                let known = here
                    || self.known_since(schema, &query).await?.is_some()
                    || self.is_undone(schema, &query).await?;
                return if known { Ok(here) } else { Err(error) };
            }
            Err(error) => return Err(error),
        };
        match presence {
            Presence::Present => Ok(true),
            // What was written here and not sent yet counts as well.
            Presence::Absent => self.exists_here(schema, &query).await,
            Presence::Unknown => Ok(!self.get(Select::<M>::new(query)).await?.is_empty()),
        }
    }

    async fn exists_here(&self, schema: &'static Schema, query: &Query) -> Result<bool> {
        let query = self.unrelated(schema, query).await?;
        Ok(self.shared.store.exists(&self.cx(), schema, &query).await? == Presence::Present)
    }

    /// A row or its trace: a key that was deleted here is known.
    async fn is_here(&self, schema: &'static Schema, query: &Query) -> Result<bool> {
        let Some(key) = query.as_key() else {
            return Ok(false);
        };
        Ok(self.shared.store.load(&self.cx(), schema, key).await?.is_some())
    }

    fn is_fresh(&self, since: Timestamp) -> bool {
        self.options.max_age.is_none_or(|most| {
            let age = std::time::Duration::try_from(self.now().duration_since(since));
            age.is_ok_and(|age| age <= most)
        })
    }

    /// The local side's answer, with what is known about it.
    pub(super) async fn answer<M: Model>(
        &self,
        schema: &'static Schema,
        query: &Query,
        Prepared { origin, stale }: Prepared,
    ) -> Result<Rows<M>> {
        let local = self.local::<M>(schema, query).await?;
        let known_since = match &self.shared.remote {
            None => None,
            Some(_) => self.known_since(schema, query).await?,
        };
        let goes_on = GoesOn::of(query, local.rows.len(), &local.places);
        Ok(Rows { rows: local.rows, origin, known_since, states: local.states, stale, goes_on })
    }

    /// What the local side answers, decoded on the way.
    pub(super) async fn local<M: Model>(&self, schema: &'static Schema, query: &Query) -> Result<Local<M>> {
        let mut local = Local::default();
        let query = &*self.shared.given.widened(schema, query);
        if query.is_related() {
            let answer = self.rows_here(schema, query).await?;
            for PageRow { meta, row, .. } in &answer.rows {
                local.add(&**row, meta.sync, meta.revision)?;
            }
            local.places = answer.places;
            self.show_in_flight(schema, &mut local)?;
            return Ok(local);
        }
        local.make_room(query);
        let now = self
            .shared
            .store
            .read_now(schema, query, &mut |meta, row| local.add(row, meta.sync, meta.revision))?;
        if !now {
            local = self
                .lent(schema, query, move |local: &mut Local<M>, meta, row| {
                    local.add(row, meta.sync, meta.revision)
                })
                .await?;
        }
        self.show_in_flight(schema, &mut local)?;
        Ok(local)
    }

    /// What is on its way is known by the driver alone: the store has it as pending.
    fn show_in_flight<M: Model>(&self, schema: &'static Schema, local: &mut Local<M>) -> Result<()> {
        let Some(remote) = &self.shared.remote else { return Ok(()) };
        if local.states.iter().all(|sync| sync.state != RowState::Pending) {
            return Ok(());
        }
        let in_flight = remote.driver.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        for (sync, row) in local.states.iter_mut().zip(&local.rows) {
            if sync.state == RowState::Pending && in_flight.contains(&(schema.model, row.key()?)) {
                sync.state = RowState::InFlight;
            }
        }
        Ok(())
    }

    /// Asks the remote behind an answer that was given already, if the policy says so.
    pub(super) fn refresh_behind<M: Model>(&self, query: impl FnOnce() -> Query) {
        if self.options.read == ReadPolicy::LocalThenRemote
            && self.shared.remote.is_some()
            && let Ok(schema) = self.schema::<M>()
        {
            self.refresh(schema, query());
        }
    }

    pub(super) fn refresh(&self, schema: &'static Schema, query: Query) {
        let repo = self.clone();
        let refresh = async move {
            if let Err(error) = repo.fetch(schema, &query).await {
                tracing::debug!(%error, "the refresh behind a local answer failed");
            }
        };
        self.shared.runtime.spawn("larder refresh", Box::pin(refresh));
    }
}

impl<M> Default for Local<M> {
    fn default() -> Self {
        Self { rows: Vec::new(), states: Vec::new(), revisions: Vec::new(), places: Vec::new() }
    }
}

/// So much room is made for a limited answer at once.
const ROOM: u64 = 1024;

impl<M: Model> Local<M> {
    fn make_room(&mut self, query: &Query) {
        let room = query.limit.unwrap_or_default().min(ROOM) as usize;
        self.rows.reserve(room);
        self.states.reserve(room);
        self.revisions.reserve(room);
    }

    fn add(&mut self, row: &dyn larder_core::Row, sync: SyncState, revision: u64) -> Result<()> {
        self.rows.push(Arc::new(M::from_row(row)?));
        self.states.push(sync);
        self.revisions.push(revision);
        Ok(())
    }

    /// Each row's key and revision: what a live query compares.
    pub(super) fn print(&self) -> Result<Vec<(Key, u64)>> {
        let keys = self.rows.iter().map(|row| row.key());
        keys.zip(&self.revisions).map(|(key, revision)| Ok((key?, *revision))).collect()
    }
}

/// A repository without a remote answers locally, unless the remote is all that was asked for.
pub(super) fn no_remote(policy: ReadPolicy) -> Result<ReadPolicy> {
    match policy {
        ReadPolicy::RemoteOnly => Err(Error::new(ErrorKind::Offline, "the repository has no remote")),
        _ => Ok(ReadPolicy::LocalOnly),
    }
}

/// The remote did not answer; that is not the same as "no".
pub(super) fn unreachable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Offline | ErrorKind::Timeout | ErrorKind::Transport)
        || error.is_transient()
}
