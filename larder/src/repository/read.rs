//! Reads: memory cache, then store, then remote, as the policy says. The answer always comes out of local storage.

use std::sync::Arc;

use larder_core::{
    Error, ErrorKind, Key, Model, PageRow, Presence, Query, ReadPolicy, Result, RowState, Schema, Select,
    Timestamp,
};

use super::{Origin, Repository, Rows};

/// What the local side answers.
pub(super) struct Local<M> {
    pub(super) rows: Vec<Arc<M>>,
    pub(super) pending: usize,
    /// Each row's key and revision: what a live query compares.
    pub(super) print: Vec<(Key, u64)>,
}

impl Repository {
    /// The row with this key.
    ///
    /// # Errors
    /// `Invalid` if the model is not registered; `Offline`, `Timeout` and their like if the policy asks the remote
    /// and it can't be reached; `Storage`, `Corrupt`; `Serialization` if the row does not fit the model.
    pub async fn find<M: Model>(&self, key: impl Into<Key>) -> Result<Option<Arc<M>>> {
        let key = key.into();
        let local =
            self.options.read != ReadPolicy::RemoteFirst && self.options.read != ReadPolicy::RemoteOnly;
        if local {
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

    /// The row is not here, or the policy asks the remote first.
    async fn find_beyond<M: Model>(&self, key: Key) -> Result<Option<Arc<M>>> {
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
    #[tracing::instrument(name = "larder::get", skip_all, fields(model = M::schema().model))]
    pub async fn get<M: Model>(&self, query: impl Into<Select<M>>) -> Result<Rows<M>> {
        let schema = self.schema::<M>()?;
        let query = query.into().into_query();
        let has_remote = self.shared.remote.is_some();
        let policy = if has_remote { self.options.read } else { no_remote(self.options.read)? };
        match policy {
            ReadPolicy::LocalOnly => self.answer(schema, &query, Origin::Local, None).await,
            ReadPolicy::LocalFirst | ReadPolicy::LocalThenRemote => {
                let answer = self.answer::<M>(schema, &query, Origin::Local, None).await?;
                let enough = answer.known_since.is_some_and(|since| self.is_fresh(since))
                    || (query.as_key().is_some() && self.is_here(schema, &query).await?);
                if enough {
                    self.refresh_behind::<M>(|| query);
                    return Ok(answer);
                }
                match self.fetch(schema, &query).await {
                    Ok(()) => self.answer(schema, &query, Origin::Remote, None).await,
                    // Something is known: rows, or a complete answer that is too old.
                    Err(error)
                        if unreachable(&error) && (!answer.is_empty() || answer.known_since.is_some()) =>
                    {
                        Ok(Rows { stale: Some(error), ..answer })
                    }
                    Err(error) => Err(error),
                }
            }
            ReadPolicy::RemoteFirst => match self.fetch(schema, &query).await {
                Ok(()) => self.answer(schema, &query, Origin::Remote, None).await,
                Err(error) if unreachable(&error) => {
                    let answer = self.answer::<M>(schema, &query, Origin::Local, None).await?;
                    if answer.is_empty() && answer.known_since.is_none() {
                        return Err(error);
                    }
                    Ok(Rows { stale: Some(error), ..answer })
                }
                Err(error) => Err(error),
            },
            ReadPolicy::RemoteOnly => {
                self.fetch(schema, &query).await?;
                self.answer(schema, &query, Origin::Remote, None).await
            }
        }
    }

    /// Whether any row answers `query`. Asks the remote only where the policy would fetch, and stores nothing.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn exists<M: Model>(&self, query: impl Into<Select<M>>) -> Result<bool> {
        let schema = self.schema::<M>()?;
        let query = query.into().into_query();
        let asks_first = matches!(self.options.read, ReadPolicy::RemoteFirst | ReadPolicy::RemoteOnly);
        if !asks_first && self.exists_here(schema, &query).await? {
            return Ok(true);
        }
        let known = self.known_since(schema, &query).await?.is_some_and(|since| self.is_fresh(since));
        let policy = self.options.read;
        if policy == ReadPolicy::LocalOnly || self.shared.remote.is_none() || (known && !asks_first) {
            return self.exists_here(schema, &query).await;
        }
        let presence = match self.remote()?.provider.exists(&self.cx(), schema, &query).await {
            Ok(presence) => presence,
            Err(error) if unreachable(&error) && policy == ReadPolicy::RemoteFirst => {
                return self.exists_here(schema, &query).await;
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
        Ok(self.shared.store.exists(&self.cx(), schema, query).await? == Presence::Present)
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

    async fn answer<M: Model>(
        &self,
        schema: &'static Schema,
        query: &Query,
        origin: Origin,
        stale: Option<Error>,
    ) -> Result<Rows<M>> {
        let local = self.local::<M>(schema, query).await?;
        let known_since = match (&self.shared.remote, query.as_key()) {
            (None, _) => None,
            (Some(_), Some(_)) if !local.rows.is_empty() => Some(self.now()),
            (Some(_), _) => self.known_since(schema, query).await?,
        };
        Ok(Rows { rows: local.rows, origin, known_since, pending: local.pending, stale })
    }

    /// What the local side answers, decoded on the way.
    pub(super) async fn local<M: Model>(&self, schema: &'static Schema, query: &Query) -> Result<Local<M>> {
        let mut local = Local { rows: Vec::new(), pending: 0, print: Vec::new() };
        let now = self.shared.store.read_now(schema, query, &mut |meta, row| {
            local.add(schema, row, meta.sync.state, meta.revision)
        })?;
        if !now {
            let page = self.shared.store.get(&self.cx(), schema, query).await?;
            for PageRow { meta, row } in &page.rows {
                local.add(schema, &**row, meta.sync.state, meta.revision)?;
            }
        }
        Ok(local)
    }

    fn refresh_behind<M: Model>(&self, query: impl FnOnce() -> Query) {
        if self.options.read == ReadPolicy::LocalThenRemote && self.shared.remote.is_some() {
            let (repo, query) = (self.clone(), query());
            let refresh = async move {
                let Ok(schema) = repo.schema::<M>() else { return };
                if let Err(error) = repo.fetch(schema, &query).await {
                    tracing::debug!(%error, "the refresh behind a local answer failed");
                }
            };
            self.shared.runtime.spawn("larder refresh", Box::pin(refresh));
        }
    }
}

impl<M: Model> Local<M> {
    fn add(
        &mut self,
        schema: &Schema,
        row: &dyn larder_core::Row,
        state: RowState,
        revision: u64,
    ) -> Result<()> {
        self.print.push((schema.key_of(row)?, revision));
        self.rows.push(Arc::new(M::from_row(row)?));
        self.pending += usize::from(!matches!(state, RowState::Synced | RowState::Local));
        Ok(())
    }
}

/// A repository without a remote answers locally, unless the remote is all that was asked for.
fn no_remote(policy: ReadPolicy) -> Result<ReadPolicy> {
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
