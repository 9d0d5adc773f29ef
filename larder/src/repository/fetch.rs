//! Brings rows from the remote into the store, page by page, and notes what is known completely.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{FutureExt, Shared, WeakShared};
use larder_core::runtime::BoxFuture;
use larder_core::{
    Batch, CommitOutcome, Context, Done, Error, ErrorKind, Key, Op, Page, Predicate, Pushdown, Query, Result,
    Schema, Timestamp,
};

use tracing::Instrument as _;
use tracing::field::Empty;

use super::Repository;
use super::known::{answerable, doubt};
use super::lookup::Above;
use super::pull::{Asides, Asked, Part, Seen, Swept};

/// How many pages a remote may answer to one query before it is suspected of going in circles.
pub(super) const PAGES: usize = 100_000;

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
struct Fetched {
    /// Rows that came, over all pages.
    rows: u64,
    /// Rows that were new or different.
    changed: u64,
    /// The keys that came.
    keys: HashSet<Key>,
    /// The remote gave all that it has, whatever was asked.
    unfiltered: bool,
    /// It came on one page.
    whole: bool,
    /// What the answer is called, if it came whole and every row of it is here.
    tag: Option<String>,
    /// The remote said that its answer has not changed.
    unchanged: bool,
    asked: Asked,
    asides: Asides,
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
        let Some(query) = self.askable(schema, query).await? else { return Ok(()) };
        let query = &*query;
        let id = (schema.model, query.clone(), self.options.deadline);
        let flight = self.shared.flights.join(id.clone(), |number| {
            let (query, airborne) = (query.clone(), Airborne { repo: self.clone(), id, number });
            Box::pin(async move { airborne.repo.fetch_pages(schema, &query).await.map_err(Arc::new) })
        });
        flight.await.map_err(|error| error.duplicate())
    }

    /// Fetches `query` page by page; each page is stored before the next is asked for.
    async fn fetch_pages(&self, schema: &'static Schema, query: &Query) -> Result<()> {
        self.fetch_pages_for(schema, query, &Above::default()).await
    }

    /// The same for the references of rows that are `above`.
    pub(super) async fn fetch_pages_for(
        &self,
        schema: &'static Schema,
        query: &Query,
        above: &Above,
    ) -> Result<()> {
        let span = tracing::info_span!(
            "larder::fetch",
            model = schema.model,
            pages = Empty,
            rows = Empty,
            changed = Empty
        );
        let (fetched, pages) = self.fetch_all(schema, query, above).instrument(span.clone()).await?;
        span.record("pages", pages).record("rows", fetched.rows).record("changed", fetched.changed);
        // What could be stored is here; that it is not all is no answer.
        match fetched.asides.rows.first() {
            Some(aside) => Err(aside.error.duplicate()),
            None => Ok(()),
        }
    }

    /// What came, and on how many pages.
    async fn fetch_all(
        &self,
        schema: &'static Schema,
        query: &Query,
        above: &Above,
    ) -> Result<(Fetched, usize)> {
        let remote = &self.remote()?.provider;
        let query = &answerable(query);
        let mut fetched = Fetched {
            rows: 0,
            changed: 0,
            keys: HashSet::new(),
            unfiltered: remote.capabilities().filter == Pushdown::None,
            whole: false,
            tag: None,
            unchanged: false,
            asked: self.asking(schema),
            asides: Asides::default(),
        };
        let mut cx = self.cx();
        if !above.is_nested() && query.as_key().is_none() {
            cx.unless = self.tag(schema, &scope_of(query, fetched.unfiltered)).await?;
        }
        for pages in 1..=PAGES {
            let page = match remote.get(&cx, schema, query).await {
                Ok(page) => page,
                // Nothing there is an answer.
                Err(error) if error.kind() == ErrorKind::NotFound && query.as_key().is_some() => {
                    Page { done: Done::ALL, ..Page::default() }
                }
                Err(error) => return Err(error),
            };
            let (done, next) = (page.done, page.next.clone());
            fetched.whole = pages == 1 && next.is_none();
            fetched.unchanged = is_unchanged(schema, &page, &cx)?;
            fetched.tag = page.tag.clone().or(cx.unless.take()).filter(|_| fetched.whole);
            self.take_page(schema, page, &mut fetched, above).await?;
            let satisfied = done.filter
                && (done.order || query.order.is_empty())
                && (done.window || query.after.is_none())
                && query.limit.is_some_and(|limit| fetched.rows >= limit);
            let Some(next) = next.filter(|_| !satisfied) else {
                fetched.changed += self.try_again(schema, &mut fetched.asides, &mut fetched.asked).await?;
                // What was fetched for the references of another is not asked for again: the rows are here.
                if !above.is_nested() && fetched.asides.is_empty() {
                    self.note_complete(schema, query, &fetched).await?;
                }
                return Ok((fetched, pages));
            };
            if cx.resume.as_ref() == Some(&next) {
                return Err(circling(schema));
            }
            cx = Context { resume: Some(next), ..self.cx() };
        }
        Err(endless(schema))
    }

    /// Stores a page, and keeps what is to be known of it.
    async fn take_page(
        &self,
        schema: &'static Schema,
        page: Page,
        fetched: &mut Fetched,
        above: &Above,
    ) -> Result<()> {
        fetched.rows += page.rows.len() as u64;
        fetched.unfiltered &= !page.done.filter;
        fetched.asked.unproven |= page.next.is_some() && !page.steady;
        let part = Part { rows: page.rows, misfits: page.misfits, ..Part::default() };
        let kept = self.store_page(schema, part, &mut fetched.asked, above, &|_| Ok(Vec::new())).await?;
        fetched.changed += kept.changed;
        // What is not all here has to be told again.
        fetched.tag.take_if(|_| !kept.left.is_empty() || !kept.asides.is_empty());
        fetched.asides.add(schema, &kept);
        fetched.keys.extend(kept.written.into_iter().chain(kept.unchanged));
        Ok(())
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
        let scope = scope_of(query, fetched.unfiltered);
        let mut since = fetched.asked.started;
        if !is_windowed(query) && !fetched.unchanged {
            let now = self.shared.store.revision();
            // The rows may be elsewhere than where the filter looked: what else was known of the model is not known any
            // more.
            let doubtful = scope.filter != Predicate::All && scope.as_key().is_none();
            let doubted = Op::Cursor { scope: doubt(schema), value: Some(now.to_string()) };
            let trace = |_: Option<&Key>| Ok(doubtful.then(|| doubted.clone()).into_iter().collect());
            let seen = Seen::Here(fetched.keys.clone());
            let swept = self.sweep(schema, &scope, &seen, &fetched.asked, None, &trace).await?;
            if swept.removed > 0 && doubtful {
                since = now;
            }
            if !self.doubt_fetched(schema, query, swept).await? {
                return Ok(());
            }
        }
        // A row by its key is known by being here; for how long, only the one who asks for an age wants to know.
        if scope.as_key().is_none() || self.options.max_age.is_some() {
            let _turn = self.shared.known.changing.lock().await;
            let tag = fetched.tag.as_deref();
            let ops = self.covered(schema, &scope, fetched.asked.at, since, tag).await?;
            self.commit_fetched(Batch { expect: Vec::new(), ops }, fetched.asked.wipes).await?;
        }
        self.pulled_at(fetched.asked.at);
        Ok(())
    }

    /// Asks for the rows that are in doubt; false if so many are that not all of them were asked for.
    async fn doubt_fetched(&self, schema: &'static Schema, query: &Query, swept: Swept) -> Result<bool> {
        let Some(first) = swept.doubted.first() else { return Ok(true) };
        // Who asks for a row by its key and gets pages of others learns nothing by asking again.
        if query.as_key().is_some() || !self.is_askable_by_key(schema, first)? {
            return Ok(true);
        }
        for (_, outcome) in self.ask_each(schema, swept.doubted).await {
            outcome?;
        }
        Ok(!swept.more)
    }

    /// Something was pulled, as the remote had it at that time.
    pub(super) fn pulled_at(&self, at: Timestamp) {
        *self.shared.last_pulled.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }
}

fn is_windowed(query: &Query) -> bool {
    query.limit.is_some() || query.after.is_some()
}

/// What an answer to `query` is complete for: its window, or all that its condition lets through.
fn scope_of(query: &Query, unfiltered: bool) -> Query {
    match () {
        () if is_windowed(query) => query.clone(),
        () if unfiltered => Query::all(),
        () => Query::filter(query.filter.clone()),
    }
}

/// Whether the remote says that its answer is the known one.
///
/// # Errors
/// `Transport`, not transient, if there is none: a page without rows would be taken for "there are none".
pub(super) fn is_unchanged(schema: &Schema, page: &Page, cx: &Context) -> Result<bool> {
    if page.unchanged && cx.unless.is_none() {
        let what = "the remote says that its answer has not changed, and none is known here";
        return Err(Error::new(ErrorKind::Transport, what).model(schema.model).with_transient(false));
    }
    Ok(page.unchanged)
}

pub(super) fn circling(schema: &Schema) -> Error {
    let what = "the remote's next page is the one that it has just given";
    Error::new(ErrorKind::Transport, what).model(schema.model)
}

pub(super) fn endless(schema: &Schema) -> Error {
    Error::new(ErrorKind::Transport, format!("the remote gave {PAGES} pages and no end")).model(schema.model)
}
