//! Related rows in reads: found and loaded as the policy of the call says.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use larder_core::association::{Answer, Includes, Lookup, answer, needed, resolve, resolved};
use larder_core::{
    Error, Key, MetaRef, Model, PageRow, Predicate, Query, ReadPolicy, Result, Row, Schema, Timestamp, Value,
    async_trait,
};

use super::super::read::unreachable;
use super::super::{Repository, Rows};
use super::load::{Child, Decode, Source, load_typed};
use super::plan::reference;
use crate::cache::AnyCache;

/// Finds rows here.
struct Here<'a>(&'a Repository);

#[async_trait]
impl Lookup for Here<'_> {
    async fn rows(&mut self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        Ok(self.0.shared.store.get(&self.0.cx(), schema, query).await?.rows)
    }
}

impl Repository {
    /// What is stored that answers `query`, whatever it asks of related rows.
    pub(in super::super) async fn rows_here(&self, schema: &'static Schema, query: &Query) -> Result<Answer> {
        answer(&mut Here(self), schema, &self.shared.given.widened(schema, query)).await
    }

    /// A query that asks nothing of related rows, and lets through as many rows as `query`; their order is of no
    /// interest.
    pub(in super::super) async fn unrelated<'q>(
        &self,
        schema: &'static Schema,
        query: &'q Query,
    ) -> Result<Cow<'q, Query>> {
        let query = self.shared.given.widened(schema, query);
        if !query.is_related() {
            return Ok(query);
        }
        let mut query = resolved(&mut Here(self), schema, &query).await?;
        query.order.retain(|order| order.through.is_none());
        Ok(Cow::Owned(query))
    }

    /// The queries, of one model each, that have to be known for `query` to be answered here.
    pub(in super::super) fn parts(
        &self,
        schema: &'static Schema,
        query: &Query,
    ) -> Result<Vec<(&'static Schema, Query)>> {
        query.check(schema)?;
        let mut parts = vec![(schema, query.widened())];
        for part in needed(schema, query)? {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        Ok(parts)
    }

    /// When all parts of `query` were known last.
    pub(in super::super) async fn parts_known_since(
        &self,
        schema: &'static Schema,
        query: &Query,
    ) -> Result<Option<Timestamp>> {
        let mut oldest = None;
        for (schema, part) in self.parts(schema, query)? {
            let Some(since) = self.known_since_alone(schema, &part).await? else {
                return Ok(None);
            };
            oldest = Some(oldest.map_or(since, |known: Timestamp| known.min(since)));
        }
        Ok(oldest)
    }

    /// Fetches the parts of `query` that the policy wants to fetch.
    pub(in super::super) async fn fetch_parts(&self, schema: &'static Schema, query: &Query) -> Result<()> {
        for (schema, part) in self.parts(schema, query)? {
            let enough =
                self.options.read == ReadPolicy::LocalFirst && self.is_known_enough(schema, &part).await?;
            if !enough {
                self.fetch_alone(schema, &part).await?;
            }
        }
        Ok(())
    }

    /// Loads what `includes` asks for into the rows of an answer.
    pub(in super::super) async fn load_related<M: Model>(
        &self,
        schema: &'static Schema,
        rows: &mut Rows<M>,
        includes: &Includes,
    ) -> Result<()> {
        self.load_with(schema, rows, includes, None).await.map(drop)
    }

    /// The same; gives what a live query compares: the related rows and their revisions.
    pub(in super::super) async fn load_compared<M: Model>(
        &self,
        schema: &'static Schema,
        rows: &mut Rows<M>,
        includes: &Includes,
    ) -> Result<Print> {
        let print = self.load_with(schema, rows, includes, Some(Print::new())).await?;
        Ok(print.unwrap_or_default())
    }

    async fn load_with<M: Model>(
        &self,
        schema: &'static Schema,
        rows: &mut Rows<M>,
        includes: &Includes,
        print: Option<Print>,
    ) -> Result<Option<Print>> {
        if includes.is_empty() {
            return Ok(print);
        }
        let mut loading = Loading { repo: self, stale: None, print };
        load_typed(&mut loading, schema, &mut rows.rows, includes).await?;
        if rows.stale.is_none() {
            rows.stale = loading.stale;
        }
        Ok(loading.print)
    }
}

/// Related rows: model, key and revision of each.
pub(in super::super) type Print = Vec<(&'static str, Key, u64)>;

/// So many keys are looked for on the calling thread, if the store does that.
const FEW: usize = 256;

/// Finds rows as the policy says.
struct Loading<'a> {
    repo: &'a Repository,
    /// Why the rows are not as fresh as was asked for.
    stale: Option<Error>,
    /// What was found, if somebody wants to compare it.
    print: Option<Print>,
}

#[async_trait]
impl Lookup for Loading<'_> {
    async fn rows(&mut self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        let rows = match &query.filter {
            Predicate::Among { field, keys } if self.asks_remote() => {
                if resolve::own_key(schema).is_ok_and(|own| own == *field) {
                    self.by_key(schema, query, keys.iter()).await?
                } else {
                    let values = keys.iter().map(|key| reference(schema, *field, key));
                    self.by_parent(schema, query, *field, values.collect::<Result<_>>()?).await?
                }
            }
            _ => self.here(schema, query).await?,
        };
        if let Some(print) = &mut self.print {
            for row in &rows {
                print.push((schema.model, schema.key_of(&*row.row)?, row.meta.revision));
            }
        }
        Ok(rows)
    }
}

#[async_trait]
impl Source for Loading<'_> {
    async fn children(&mut self, decode: &Decode) -> Result<Vec<Child>> {
        match self.cache(decode) {
            Some(cache) => self.through(cache, decode).await,
            None => self.stored(&decode.query(), decode).await,
        }
    }
}

impl<'a> Loading<'a> {
    fn asks_remote(&self) -> bool {
        self.repo.shared.remote.is_some() && self.repo.options.read != ReadPolicy::LocalOnly
    }

    /// The memory cache, if what is in it is an answer.
    fn cache(&self, decode: &Decode) -> Option<&'a dyn AnyCache> {
        let repo = self.repo;
        let is_enough = repo.options.read == ReadPolicy::LocalFirst && repo.looks_here_first();
        // Who compares asks for revisions, which it does not know.
        let serves = decode.shares_by_key() && self.print.is_none() && (is_enough || !self.asks_remote());
        if serves { repo.shared.caches.named(decode.target.model) } else { None }
    }

    /// What the cache has, and what is stored of the others, all of one state.
    async fn through(&mut self, cache: &dyn AnyCache, decode: &Decode) -> Result<Vec<Child>> {
        let mut revision = self.repo.shared.store.revision();
        let (mut children, mut open) = (Vec::with_capacity(decode.keys().len()), Vec::new());
        for (place, key) in decode.keys().iter().enumerate() {
            match cache.any(key) {
                Some(row) => children.push(Child { place, row }),
                None => open.push(key.clone()),
            }
        }
        let mut hits = children.len();
        if !open.is_empty() {
            children.extend(self.stored(&decode.asking(open.into()), decode).await?);
        }
        if hits > 0 && self.repo.shared.store.revision() != revision {
            // Some may be older than others by now. Whatever had to be fetched is here.
            (hits, revision) = (0, self.repo.shared.store.revision());
            children = self.local(&decode.query(), decode).await?;
        }
        for child in &children[hits..] {
            if let Some(key) = decode.keys().iter().as_slice().get(child.place) {
                cache.insert_any(key.clone(), Arc::clone(&child.row), revision);
            }
        }
        Ok(children)
    }

    /// The rows that answer `query`, decoded.
    async fn stored(&mut self, query: &Query, decode: &Decode) -> Result<Vec<Child>> {
        if self.asks_remote() {
            return decode.all(&self.rows(decode.target, query).await?);
        }
        self.local(query, decode).await
    }

    /// Those that are here, decoded where they lie; a few of them at once.
    async fn local(&mut self, query: &Query, decode: &Decode) -> Result<Vec<Child>> {
        let target = decode.target;
        let found = |print: &mut Option<Print>, meta: MetaRef<'_>, row: &dyn Row| {
            if let Some(print) = print {
                print.push((target.model, target.key_of(row)?, meta.revision));
            }
            Ok::<_, Error>(())
        };
        if decode.keys().len() <= FEW {
            let (mut children, print) = (Vec::with_capacity(decode.keys().len()), &mut self.print);
            let before = print.as_ref().map_or(0, Vec::len);
            let now = self.repo.shared.store.read_now(target, query, &mut |meta, row| {
                found(print, meta, row)?;
                decode.add(row, &mut children)
            })?;
            if now {
                return Ok(children);
            }
            if let Some(print) = print {
                print.truncate(before);
            }
        }
        let (own, prints) = (decode.clone(), self.print.is_some());
        let add =
            move |(children, print): &mut (Vec<Child>, Option<Print>), meta: MetaRef<'_>, row: &dyn Row| {
                if prints {
                    print.get_or_insert_default();
                }
                found(print, meta, row)?;
                own.add(row, children)
            };
        let (children, print) = self.repo.lent(target, query, add).await?;
        if let (Some(all), Some(print)) = (&mut self.print, print) {
            all.extend(print);
        }
        Ok(children)
    }

    async fn here(&self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        Here(self.repo).rows(schema, query).await
    }

    /// Rows by their keys: what is missing is fetched in one batch.
    async fn by_key(
        &mut self,
        schema: &'static Schema,
        query: &Query,
        keys: impl Iterator<Item = &Key> + Send,
    ) -> Result<Vec<PageRow>> {
        let repo = self.repo;
        let rows = self.here(schema, query).await?;
        let fresh_enough = repo.looks_here_first();
        let mut here = HashSet::with_capacity(rows.len());
        for row in &rows {
            here.insert(schema.key_of(&*row.row)?);
        }
        let asks_first = matches!(repo.options.read, ReadPolicy::RemoteFirst | ReadPolicy::RemoteOnly);
        let mut unknown = Vec::new();
        for key in keys.filter(|key| !(fresh_enough && here.contains(*key))).cloned().collect::<Vec<_>>() {
            if asks_first || !repo.is_known_enough(schema, &Query::key(key.clone())).await? {
                unknown.push(key);
            }
        }
        if repo.options.read == ReadPolicy::LocalThenRemote && !here.is_empty() {
            let mut here: Vec<Key> = here.into_iter().collect();
            here.sort_unstable();
            repo.refresh(schema, Query::filter(Predicate::Keys(here)));
        }
        if unknown.is_empty() {
            return Ok(rows);
        }
        let fetched = repo.fetch_keys(schema, &unknown).await;
        self.or_stale(fetched)?;
        self.here(schema, query).await
    }

    /// Rows by what they refer to: all or none of them are known.
    async fn by_parent(
        &mut self,
        schema: &'static Schema,
        query: &Query,
        field: u16,
        values: Vec<Value>,
    ) -> Result<Vec<PageRow>> {
        let asked = Query::filter(Predicate::In { field, values });
        match self.repo.prepare(schema, &asked).await {
            Ok(prepared) => self.stale = self.stale.take().or(prepared.stale),
            Err(error) => self.or_stale(Err(error))?,
        }
        self.here(schema, query).await
    }

    /// That the remote can't be reached takes nothing away from what is here, unless the remote is all that counts.
    fn or_stale(&mut self, fetched: Result<()>) -> Result<()> {
        match fetched {
            Err(error) if self.repo.options.read != ReadPolicy::RemoteOnly && unreachable(&error) => {
                self.stale.get_or_insert(error);
                Ok(())
            }
            other => other,
        }
    }
}
