//! Reads that answer with something smaller than a list: one row, a number, rows by their keys.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::stream::{StreamExt, TryStreamExt};
use larder_core::{
    Error, ErrorKind, Key, Model, Predicate, Pushdown, Query, ReadPolicy, Result, Schema, Select,
};

use super::Repository;
use super::read::{no_remote, unreachable};

/// How many keys one fetch asks for: they may stand in a URL.
const BATCH: usize = 100;

/// How many rows are asked for at a time, of a remote that has to be asked for each of them.
const AT_A_TIME: usize = 8;

impl Repository {
    /// The one row that answers `query`.
    ///
    /// ```
    /// # use larder::{ErrorKind, Memory, Model, Repository};
    /// # #[derive(Model, Clone, Debug)]
    /// # struct Label { #[model(key)] name: String, color: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).model::<Label>().build().await?;
    /// # let label = |name: &str| Label { name: name.into(), color: "red".into() };
    /// repo.upsert(&label("bug")).await?;
    /// assert_eq!(repo.get_one(Label::COLOR.eq("red")).await?.name, "bug");
    /// let none = repo.get_one(Label::COLOR.eq("blue")).await.expect_err("none is blue");
    /// assert_eq!(none.kind(), ErrorKind::NotFound);
    ///
    /// repo.upsert(&label("crash")).await?;
    /// let two = repo.get_one(Label::COLOR.eq("red")).await.expect_err("two are red");
    /// assert_eq!(two.kind(), ErrorKind::Conflict);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `NotFound` if there is none; `Conflict` naming two if there are several; else as [`get`](Self::get).
    pub async fn get_one<M: Model>(&self, query: impl Into<Select<M>>) -> Result<Arc<M>> {
        let mut rows = self.get(at_most(2, query.into())).await?.into_iter();
        let model = M::schema().model;
        match (rows.next(), rows.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => {
                let what = "no row answers, and one should";
                Err(Error::new(ErrorKind::NotFound, what).during("get one").model(model))
            }
            (Some(one), Some(other)) => {
                let (one, other) = (one.key()?, other.key()?);
                let what = format!("rows {one} and {other} both answer, and one should");
                Err(Error::new(ErrorKind::Conflict, what).during("get one").model(model).key(one))
            }
        }
    }

    /// The first row that answers `query`, in its order.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_first<M: Model>(&self, query: impl Into<Select<M>>) -> Result<Option<Arc<M>>> {
        Ok(self.get(at_most(1, query.into())).await?.into_iter().next())
    }

    /// How many rows answer `query`, inside its window. The store counts, and decodes no row; the policy fetches as for
    /// [`get`](Self::get), so that pending changes are counted too. That the remote could not be reached does not show:
    /// who wants to know uses `get`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[tracing::instrument(
        name = "larder::count", skip_all,
        fields(model = M::schema().model, policy = ?self.options.read),
    )]
    pub async fn count<M: Model>(&self, query: impl Into<Select<M>>) -> Result<u64> {
        let schema = self.schema::<M>()?;
        let query = query.into().into_query();
        self.prepare(schema, &query).await?;
        self.shared.store.count(&self.cx(), schema, &*self.unrelated(schema, &query).await?).await
    }

    /// The rows with these keys, in the order of the keys: `None` where there is no row. However many keys there are,
    /// it is one read of the store; what is missing here and not known to be gone is fetched as the policy says, many keys
    /// with one request if the remote can be asked for several, else row by row, a few at a time.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository};
    /// # #[derive(Model, Clone, Debug)]
    /// # struct Label { #[model(key)] name: String, color: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).model::<Label>().build().await?;
    /// repo.upsert(&Label { name: "bug".into(), color: "red".into() }).await?;
    /// let found = repo.find_many::<Label>(["bug", "nobody", "bug"]).await?;
    /// assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`find`](Self::find); a key of which nothing can be known is an error and not a `None`.
    #[tracing::instrument(
        name = "larder::find_many", skip_all,
        fields(model = M::schema().model, policy = ?self.options.read),
    )]
    pub async fn find_many<M: Model>(
        &self,
        keys: impl IntoIterator<Item = impl Into<Key>>,
    ) -> Result<Vec<Option<Arc<M>>>> {
        let schema = self.schema::<M>()?;
        let keys: Vec<Key> = keys.into_iter().map(Into::into).collect();
        let mut found: HashMap<Key, Arc<M>> = HashMap::with_capacity(keys.len());
        let policy = match &self.shared.remote {
            Some(_) => self.options.read,
            None => no_remote(self.options.read)?,
        };
        if matches!(policy, ReadPolicy::RemoteFirst | ReadPolicy::RemoteOnly) {
            self.fetch_keys_or_know(schema, distinct(keys.iter())).await?;
            self.find_all_here(schema, &keys, &mut found).await?;
        } else {
            self.find_all_here(schema, &keys, &mut found).await?;
            self.refresh_behind::<M>(|| Query::filter(Predicate::Keys(keys.clone())));
            let unknown = self.unknown(schema, policy, &keys, &found).await?;
            if !unknown.is_empty() {
                self.fetch_keys_or_know(schema, unknown.clone()).await?;
                self.find_all_here(schema, &unknown, &mut found).await?;
            }
        }
        let held =
            |key: &Key| self.shared.given.get(schema, key).and_then(|given| found.get(&given).cloned());
        Ok(keys.iter().map(|key| found.get(key).cloned().or_else(|| held(key))).collect())
    }

    /// Adds what is stored of `keys`, by one read.
    async fn find_all_here<M: Model>(
        &self,
        schema: &'static Schema,
        keys: &[Key],
        found: &mut HashMap<Key, Arc<M>>,
    ) -> Result<()> {
        let cache = self.shared.caches.of::<M>();
        let mut open = Vec::with_capacity(keys.len());
        for key in keys {
            match cache.and_then(|cache| cache.get(key)) {
                Some(hit) => drop(found.insert(key.clone(), hit)),
                None => open.push(key.clone()),
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        let revision = self.shared.store.revision();
        let local = self.local::<M>(schema, &Query::filter(Predicate::Keys(open))).await?;
        for row in local.rows {
            let key = row.key()?;
            if let Some(cache) = cache {
                cache.insert(key.clone(), Arc::clone(&row), revision);
            }
            found.insert(key, row);
        }
        Ok(())
    }

    /// The keys of which too little is known here.
    async fn unknown<M>(
        &self,
        schema: &'static Schema,
        policy: ReadPolicy,
        keys: &[Key],
        found: &HashMap<Key, Arc<M>>,
    ) -> Result<Vec<Key>> {
        let mut unknown = Vec::new();
        if policy == ReadPolicy::LocalOnly {
            return Ok(unknown);
        }
        let found_is_enough = self.options.max_age.is_none();
        for key in distinct(keys.iter().filter(|key| !(found_is_enough && found.contains_key(*key)))) {
            if !self.is_known_enough(schema, &Query::key(key.clone())).await? {
                unknown.push(key);
            }
        }
        Ok(unknown)
    }

    /// Fetches these keys; that the remote can't be reached is no error if the policy allows for it and something is
    /// known of each of them.
    async fn fetch_keys_or_know(&self, schema: &'static Schema, keys: Vec<Key>) -> Result<()> {
        let Err(error) = self.fetch_keys(schema, &keys).await else {
            return Ok(());
        };
        if self.options.read == ReadPolicy::RemoteOnly || !unreachable(&error) {
            return Err(error);
        }
        for key in keys {
            if self.known_since(schema, &Query::key(key)).await?.is_none() {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Fetches these keys, as many with one request as the remote takes.
    pub(super) async fn fetch_keys(&self, schema: &'static Schema, keys: &[Key]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        // A remote that is deaf to filters would give everything, again and again.
        let deaf = self.remote()?.provider.capabilities().filter == Pushdown::None;
        let queries: Vec<Query> = match keys {
            keys if deaf => keys.iter().cloned().map(Query::key).collect(),
            [key] => vec![Query::key(key.clone())],
            keys => keys.chunks(BATCH).map(|keys| Query::filter(Predicate::Keys(keys.to_vec()))).collect(),
        };
        let fetches = queries.into_iter().map(|query| async move { self.fetch(schema, &query).await });
        futures_util::stream::iter(fetches).buffer_unordered(AT_A_TIME).try_collect().await
    }
}

fn at_most<M>(rows: u64, select: Select<M>) -> Select<M> {
    let limit = select.as_query().limit.map_or(rows, |limit| limit.min(rows));
    select.limit(limit)
}

fn distinct<'a>(keys: impl Iterator<Item = &'a Key>) -> Vec<Key> {
    keys.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}
