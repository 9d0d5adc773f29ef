//! Brings rows from the remote into the store, page by page, and notes what is known completely.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures_util::future::{FutureExt, Shared};
use larder_core::runtime::BoxFuture;
use larder_core::{
    Batch, CommitOutcome, Context, Done, Error, ErrorKind, Expect, Key, Meta, Op, Page, PageRow, Predicate, Query,
    Record, Result, RowState, Schema, StoredRow, SyncState, Tail, Timestamp,
};

use super::Repository;
use crate::engine::enqueue::differences;

/// How many pages a remote may answer to one query before it is suspected of going in circles.
const PAGES: usize = 100_000;

type Flight = Shared<BoxFuture<'static, std::result::Result<(), std::sync::Arc<Error>>>>;

/// Fetches that are under way: identical ones are one.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<(&'static str, Query), Flight>>);

/// What a fetch brought.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Rows that came, over all pages.
    pub(super) rows: u64,
    /// Rows that were new or different.
    pub(super) changed: u64,
    /// The keys that came.
    pub(super) keys: Vec<Key>,
    /// The remote gave all that it has, whatever was asked.
    pub(super) unfiltered: bool,
}

impl Repository {
    /// Fetches `query` and stores what comes; joins a fetch of the same query that is under way.
    pub(super) async fn fetch(&self, schema: &'static Schema, query: &Query) -> Result<()> {
        let id = (schema.model, query.clone());
        let flight = {
            let mut flights = self.shared.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
            match flights.get(&id) {
                Some(flight) => flight.clone(),
                None => {
                    let (repo, query) = (self.clone(), query.clone());
                    let landing = id.clone();
                    let flight = async move {
                        let fetched = repo.fetch_pages(schema, &query, &mut |_| {}).await;
                        let mut flights = repo.shared.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
                        flights.remove(&landing);
                        fetched.map(drop).map_err(std::sync::Arc::new)
                    };
                    let flight = (Box::pin(flight) as BoxFuture<'static, _>).shared();
                    flights.insert(id.clone(), flight.clone());
                    flight
                }
            }
        };
        let answer = flight.await;
        answer.map_err(|error| error.duplicate())
    }

    /// Fetches `query` page by page; each page is stored before the next is asked for.
    #[tracing::instrument(name = "larder::fetch", skip_all, fields(model = schema.model))]
    pub(super) async fn fetch_pages(
        &self,
        schema: &'static Schema,
        query: &Query,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Fetched> {
        let remote = &self.remote()?.provider;
        let started = self.shared.store.revision();
        let asked = self.now();
        let mut fetched = Fetched { rows: 0, changed: 0, keys: Vec::new(), unfiltered: true };
        let mut cx = self.cx();
        for _ in 0..PAGES {
            let page = match remote.get(&cx, schema, query).await {
                Ok(page) => page,
                // Nothing there is an answer.
                Err(error) if error.kind() == ErrorKind::NotFound && query.as_key().is_some() => {
                    Page { rows: Vec::new(), done: Done::ALL, next: None }
                }
                Err(error) => return Err(error),
            };
            fetched.rows += page.rows.len() as u64;
            fetched.unfiltered &= !page.done.window && (!page.done.filter || query.filter == Predicate::All);
            let next = page.next.clone();
            let done = page.done;
            fetched.changed += self.store_page(schema, page.rows, started, &mut fetched.keys).await?;
            progress(fetched.rows);
            let satisfied = done.filter
                && (done.order || query.order.is_empty() && query.limit.is_none())
                && query.limit.is_some_and(|limit| fetched.rows >= limit.saturating_add(query.offset));
            let Some(next) = next else {
                self.note_complete(schema, query, &fetched, asked, started).await?;
                return Ok(fetched);
            };
            if satisfied {
                fetched.unfiltered = false;
                self.note_complete(schema, query, &fetched, asked, started).await?;
                return Ok(fetched);
            }
            cx = Context { resume: Some(next), ..self.cx() };
        }
        Err(Error::new(ErrorKind::Transport, format!("the remote gave {PAGES} pages and no end")).model(schema.model))
    }

    /// Stores a page in one transaction. A row with pending changes stays as it is.
    async fn store_page(
        &self,
        schema: &'static Schema,
        rows: Vec<PageRow>,
        started: u64,
        keys: &mut Vec<Key>,
    ) -> Result<u64> {
        let mut incoming = Vec::with_capacity(rows.len());
        for row in rows {
            let key = schema.key_of(&*row.row)?;
            keys.push(key.clone());
            incoming.push((key, row));
        }
        loop {
            let mut batch = Batch::default();
            for (key, row) in &incoming {
                let stored = self.shared.store.load(&self.cx(), schema, key).await?;
                if let Some(op) = merge(schema, key, row, stored.as_ref(), started, self.now())? {
                    let revision = stored.map_or(0, |stored| stored.meta.revision);
                    batch.expect.push(Expect::Row { schema, key: key.clone(), revision });
                    batch.ops.push(op);
                }
            }
            let changed = batch.ops.len() as u64;
            if batch.ops.is_empty() {
                return Ok(0);
            }
            match self.shared.store.commit(&self.cx(), batch).await? {
                CommitOutcome::Committed(_) => return Ok(changed),
                CommitOutcome::Stale => {}
            }
        }
    }

    /// Notes that the query is known, and removes rows that a complete answer does not have any more.
    async fn note_complete(
        &self,
        schema: &'static Schema,
        query: &Query,
        fetched: &Fetched,
        at: Timestamp,
        started: u64,
    ) -> Result<()> {
        let everything = fetched.unfiltered;
        let mut batch = Batch::default();
        if everything {
            batch = self.absent(schema, &Query::all(), &fetched.keys, started).await?;
        } else if query.limit.is_none() && query.offset == 0 {
            batch = self.absent(schema, query, &fetched.keys, started).await?;
            if !batch.ops.is_empty() && query.as_key().is_none() {
                // The rows may be elsewhere than where the filter looked: nothing is known of the whole any more.
                batch.ops.push(Op::Cursor { scope: scope(schema, &Query::all())?, value: None });
            }
        }
        let known = if everything { covered(schema, &Query::all(), at)? } else { covered(schema, query, at)? };
        let noted = everything || query.as_key().is_none();
        if noted {
            batch.ops.push(known.clone());
        }
        // A row that moved meanwhile is left to the next pull.
        if self.shared.store.commit(&self.cx(), batch).await? == CommitOutcome::Stale && noted {
            self.shared.store.commit(&self.cx(), Batch { expect: Vec::new(), ops: vec![known] }).await?;
        }
        *self.shared.last_pulled.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        Ok(())
    }

    /// Removes the rows that answer `query` here and did not come, unless something is pending for them, they were
    /// never sent, or they were written after the fetch had begun.
    async fn absent(&self, schema: &'static Schema, query: &Query, keys: &[Key], started: u64) -> Result<Batch> {
        let came: std::collections::HashSet<&Key> = keys.iter().collect();
        let mut batch = Batch::default();
        let page = self.shared.store.get(&self.cx(), schema, query).await?;
        for PageRow { meta, row } in page.rows {
            let key = schema.key_of(&*row)?;
            let settled = meta.sync.state == RowState::Synced && meta.tail == 0 && meta.revision <= started;
            if settled && !came.contains(&key) {
                batch.expect.push(Expect::Row { schema, key: key.clone(), revision: meta.revision });
                batch.ops.push(Op::Remove { schema, key });
            }
        }
        Ok(batch)
    }

    /// When the remote last answered `query` completely, or a query that includes it.
    pub(super) async fn known_since(&self, schema: &'static Schema, query: &Query) -> Result<Option<Timestamp>> {
        let unlimited = Query::filter(query.filter.clone());
        let mut newest = None;
        let mut asked: Vec<String> = Vec::with_capacity(3);
        for candidate in [query, &unlimited, &Query::all()] {
            let scope = scope(schema, candidate)?;
            if asked.contains(&scope) {
                continue;
            }
            if let Some(at) = self.shared.store.cursor(&self.cx(), &scope).await? {
                let at = at.parse().ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
                newest = newest.max(at);
            }
            asked.push(scope);
        }
        Ok(newest)
    }
}

/// What becomes of a row that the remote gave; `None` if nothing changes.
fn merge(
    schema: &'static Schema,
    key: &Key,
    incoming: &PageRow,
    stored: Option<&StoredRow>,
    started: u64,
    now: Timestamp,
) -> Result<Option<Op>> {
    let put = |row, meta: Meta| Some(Op::Put { schema, key: key.clone(), row, meta, tail: Tail::At(0) });
    let sync = SyncState { state: RowState::Synced, since: now };
    let fresh = Meta { sync, ..incoming.meta.clone() };
    let Some(stored) = stored else {
        return Ok(put(std::sync::Arc::clone(&incoming.row), Meta { tail: 0, ..fresh }));
    };
    // Pending changes stand; what was confirmed while the page was on its way is newer than the page.
    if stored.meta.tail != 0 || stored.meta.revision > started {
        return Ok(None);
    }
    let Some(old) = &stored.row else {
        return Ok(put(std::sync::Arc::clone(&incoming.row), Meta { tail: 0, ..fresh }));
    };
    // A field that this remote does not show keeps its value.
    let row: std::sync::Arc<dyn larder_core::Row> = std::sync::Arc::new(Record::overlay(schema, &**old, &*incoming.row)?);
    // A list often tells no versions: of a row that is what it was, the known one stands.
    let same = differences(schema, &**old, &*row)?.is_empty()
        && (incoming.meta.version.is_none() || stored.meta.version == incoming.meta.version)
        && stored.meta.extra == incoming.meta.extra
        && stored.meta.sync.state == RowState::Synced;
    Ok(if same { None } else { put(row, Meta { tail: 0, ..fresh }) })
}

/// The name under which it is noted that a query is known.
fn scope(schema: &Schema, query: &Query) -> Result<String> {
    let json = serde_json::to_string(query)
        .map_err(|error| Error::new(ErrorKind::Invalid, "the query can't be written down").because(error))?;
    Ok(format!("known/{}/{}/{json}", schema.model, schema.version))
}

fn covered(schema: &Schema, query: &Query, at: Timestamp) -> Result<Op> {
    Ok(Op::Cursor { scope: scope(schema, query)?, value: Some(at.as_microsecond().to_string()) })
}
