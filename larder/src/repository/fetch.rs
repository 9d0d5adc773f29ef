//! Brings rows from the remote into the store, page by page, and notes what is known completely.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{FutureExt, Shared, WeakShared};
use larder_core::association::reached;
use larder_core::runtime::BoxFuture;
use larder_core::{
    Batch, CommitOutcome, Context, Done, Error, ErrorKind, Expect, Key, Op, Page, PageRow, Predicate,
    Pushdown, Query, Result, RowState, Schema, Timestamp,
};

use tracing::Instrument as _;
use tracing::field::Empty;

use super::Repository;
use super::arrive::{Arrivals, Since};
use super::known::{answerable, doubt};
use super::lookup::Above;
use crate::changes::Touches;

/// How many pages a remote may answer to one query before it is suspected of going in circles.
const PAGES: usize = 100_000;

type Answer = std::result::Result<(), Arc<Error>>;
type Flight = Shared<BoxFuture<'static, Answer>>;
/// What makes two fetches one: the query, and how long they wait.
type FlightId = (&'static str, Query, Option<Duration>);

/// Fetches that are under way: identical ones are one. A fetch lives as long as anybody waits for it, and is gone from
/// here when it has its answer or nobody waits any more.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<Hangar>);

#[derive(Debug, Default)]
struct Hangar {
    under_way: HashMap<FlightId, (u64, WeakShared<BoxFuture<'static, Answer>>)>,
    begun: u64,
}

/// Held by a fetch while it is under way.
struct Airborne {
    repo: Repository,
    id: FlightId,
    number: u64,
}

impl Drop for Airborne {
    fn drop(&mut self) {
        self.repo.shared.flights.land(&self.id, self.number);
    }
}

impl Flights {
    /// The fetch `id`, begun by `start` unless it is under way.
    fn join(&self, id: FlightId, start: impl FnOnce(u64) -> BoxFuture<'static, Answer>) -> Flight {
        let mut hangar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = hangar.under_way.get(&id).and_then(|(_, flight)| flight.upgrade()) {
            return flight;
        }
        hangar.begun += 1;
        let number = hangar.begun;
        let flight = start(number).shared();
        if let Some(weak) = flight.downgrade() {
            hangar.under_way.insert(id, (number, weak));
        }
        flight
    }

    /// Whoever asks from now on asks anew; a later fetch of the same id stays.
    fn land(&self, id: &FlightId, number: u64) {
        let mut hangar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hangar.under_way.get(id).is_some_and(|(begun, _)| *begun == number) {
            hangar.under_way.remove(id);
        }
    }

    /// How many are under way.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).under_way.len()
    }
}

/// What a fetch brought.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Rows that came, over all pages.
    pub(super) rows: u64,
    /// Rows that were new or different.
    pub(super) changed: u64,
    /// The keys that came.
    keys: Vec<Key>,
    /// The remote gave all that it has, whatever was asked.
    unfiltered: bool,
    /// When it was asked.
    asked: Timestamp,
    /// The revision of the store at that time.
    started: u64,
    /// How often the store had been wiped at that time.
    wipes: u64,
    /// What was touched here since.
    touches: Arc<Touches>,
    /// The revisions that storing its pages made.
    own: Vec<u64>,
}

impl Repository {
    /// Fetches `query` and stores what comes. A remote sees one model at a time: what is asked of related rows is fetched
    /// apart, and the answer comes out of local storage.
    pub(super) async fn fetch(&self, schema: &'static Schema, query: &Query) -> Result<()> {
        if query.is_related() {
            return Box::pin(self.fetch_parts(schema, query)).await;
        }
        self.fetch_alone(schema, query).await
    }

    /// Fetches a query of one model; joins a fetch of the same query that is under way.
    pub(super) async fn fetch_alone(&self, schema: &'static Schema, query: &Query) -> Result<()> {
        let id = (schema.model, query.clone(), self.options.deadline);
        let flight = self.shared.flights.join(id.clone(), |number| {
            let (query, airborne) = (query.clone(), Airborne { repo: self.clone(), id, number });
            Box::pin(async move {
                let fetched = airborne.repo.fetch_pages(schema, &query, &mut |_| {}).await;
                fetched.map(drop).map_err(Arc::new)
            })
        });
        flight.await.map_err(|error| error.duplicate())
    }

    /// Fetches `query` page by page; each page is stored before the next is asked for.
    pub(super) async fn fetch_pages(
        &self,
        schema: &'static Schema,
        query: &Query,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Fetched> {
        self.fetch_pages_for(schema, query, progress, &Above::default()).await
    }

    /// The same for the references of rows that are `above`.
    pub(super) async fn fetch_pages_for(
        &self,
        schema: &'static Schema,
        query: &Query,
        progress: &mut (dyn FnMut(u64) + Send),
        above: &Above,
    ) -> Result<Fetched> {
        let span = tracing::info_span!(
            "larder::fetch",
            model = schema.model,
            pages = Empty,
            rows = Empty,
            changed = Empty
        );
        let (fetched, pages) =
            self.fetch_all(schema, query, progress, above).instrument(span.clone()).await?;
        span.record("pages", pages).record("rows", fetched.rows).record("changed", fetched.changed);
        Ok(fetched)
    }

    /// What came, and on how many pages.
    async fn fetch_all(
        &self,
        schema: &'static Schema,
        query: &Query,
        progress: &mut (dyn FnMut(u64) + Send),
        above: &Above,
    ) -> Result<(Fetched, usize)> {
        let remote = &self.remote()?.provider;
        let query = &answerable(query);
        let touches = self.shared.changes.touches(&reached(schema));
        let wipes = self.shared.changes.wipes();
        let (started, asked) = (self.shared.store.revision(), self.now());
        let deaf = remote.capabilities().filter == Pushdown::None;
        let mut fetched = Fetched {
            rows: 0,
            changed: 0,
            keys: Vec::new(),
            unfiltered: deaf,
            asked,
            started,
            wipes,
            touches,
            own: Vec::new(),
        };
        let mut cx = self.cx();
        for pages in 1..=PAGES {
            let page = match remote.get(&cx, schema, query).await {
                Ok(page) => page,
                // Nothing there is an answer.
                Err(error) if error.kind() == ErrorKind::NotFound && query.as_key().is_some() => {
                    Page { rows: Vec::new(), done: Done::ALL, next: None }
                }
                Err(error) => return Err(error),
            };
            let Page { rows, done, next } = page;
            fetched.rows += rows.len() as u64;
            fetched.unfiltered &= !done.filter;
            self.store_page(schema, rows, &mut fetched, above).await?;
            progress(fetched.rows);
            let satisfied = done.filter
                && (done.order || query.order.is_empty())
                && (done.window || query.after.is_none())
                && query.limit.is_some_and(|limit| fetched.rows >= limit);
            let Some(next) = next.filter(|_| !satisfied) else {
                // What was fetched for the references of another is not asked for again: the rows are here.
                if !above.is_nested() {
                    self.note_complete(schema, query, &fetched).await?;
                }
                return Ok((fetched, pages));
            };
            if cx.resume.as_ref() == Some(&next) {
                let what = "the remote's next page is the one that it has just given";
                return Err(Error::new(ErrorKind::Transport, what).model(schema.model));
            }
            cx = Context { resume: Some(next), ..self.cx() };
        }
        Err(Error::new(ErrorKind::Transport, format!("the remote gave {PAGES} pages and no end"))
            .model(schema.model))
    }

    /// Stores a page in one transaction, with the rows that stood within its rows. A row with pending changes stays as
    /// it is.
    async fn store_page(
        &self,
        schema: &'static Schema,
        mut rows: Vec<PageRow>,
        fetched: &mut Fetched,
        above: &Above,
    ) -> Result<()> {
        self.look_up(schema, &mut rows, above).await?;
        let mut arrivals = Arrivals::default();
        for row in rows {
            let key = schema.key_of(&*row.row)?;
            fetched.keys.push(key.clone());
            arrivals.add(schema, key, row);
        }
        loop {
            let mut batch = Batch::default();
            let since = Since {
                revision: fetched.started,
                own: &fetched.own,
                touches: Some(&fetched.touches),
                now: self.now(),
            };
            arrivals.enter(&mut batch, &*self.shared.store, &self.cx(), since).await?;
            let changed = batch.ops.len() as u64;
            if batch.ops.is_empty() {
                return Ok(());
            }
            match self.commit_fetched(batch, fetched.wipes).await? {
                CommitOutcome::Committed(committed) => {
                    fetched.changed += changed;
                    fetched.own.push(committed.revision);
                    return Ok(());
                }
                CommitOutcome::Stale => {}
            }
        }
    }

    /// Commits what the remote said, unless the store has been wiped since it was asked.
    pub(super) async fn commit_fetched(&self, batch: Batch, wipes: u64) -> Result<CommitOutcome> {
        let _shared = self.shared.wiping.read().await;
        if self.shared.changes.wipes() != wipes {
            return Err(Error::new(ErrorKind::Cancelled, "the repository was wiped meanwhile"));
        }
        self.shared.store.commit(&self.cx(), batch).await
    }

    /// Notes that the query is known, and removes rows that a complete answer does not have any more.
    async fn note_complete(&self, schema: &'static Schema, query: &Query, fetched: &Fetched) -> Result<()> {
        let windowed = query.limit.is_some() || query.after.is_some();
        let scope = match () {
            () if windowed => query.clone(),
            () if fetched.unfiltered => Query::all(),
            () => Query::filter(query.filter.clone()),
        };
        let mut batch = Batch::default();
        let mut since = fetched.started;
        if !windowed {
            let now = self.shared.store.revision();
            batch = self.absent(schema, &scope, &fetched.keys, fetched.started).await?;
            if !batch.ops.is_empty() && scope.filter != Predicate::All && scope.as_key().is_none() {
                // The rows may be elsewhere than where the filter looked: what else was known of the model is not
                // known any more.
                since = now;
                batch.ops.push(Op::Cursor { scope: doubt(schema), value: Some(now.to_string()) });
            }
        }
        let _turn = self.shared.known.changing.lock().await;
        // A row by its key is known by being here; for how long, only the one who asks for an age wants to know.
        let noted = scope.as_key().is_none() || self.options.max_age.is_some();
        if noted {
            batch.ops.extend(self.covered(schema, &scope, fetched.asked, since).await?);
        }
        // A row that moved meanwhile is left to the next pull.
        if !batch.ops.is_empty()
            && self.commit_fetched(batch, fetched.wipes).await? == CommitOutcome::Stale
            && noted
        {
            let ops = self.covered(schema, &scope, fetched.asked, fetched.started).await?;
            self.commit_fetched(Batch { expect: Vec::new(), ops }, fetched.wipes).await?;
        }
        *self.shared.last_pulled.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetched.asked);
        Ok(())
    }

    /// Removes the rows that answer `query` here and did not come, unless something is pending for them, they were
    /// never sent, or they were written after the fetch had begun.
    async fn absent(
        &self,
        schema: &'static Schema,
        query: &Query,
        keys: &[Key],
        started: u64,
    ) -> Result<Batch> {
        let came: std::collections::HashSet<&Key> = keys.iter().collect();
        let mut batch = Batch::default();
        let page = self.shared.store.get(&self.cx(), schema, query).await?;
        for PageRow { meta, row, .. } in page.rows {
            let key = schema.key_of(&*row)?;
            let settled = meta.sync.state == RowState::Synced && meta.tail == 0 && meta.revision <= started;
            if settled && !came.contains(&key) {
                batch.expect.push(Expect::Row { schema, key: key.clone(), revision: meta.revision });
                batch.ops.push(Op::Remove { schema, key });
            }
        }
        Ok(batch)
    }
}
