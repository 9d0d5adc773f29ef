//! The model server at work: rows with versions, what it has done, and what it makes of a request that it has had before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::Operation;
use larder_core::association::references;
use larder_core::{
    Applied, Capabilities, Context, Delta, DeltaAnswer, Error, ErrorKind, Idempotency, Key, Mutation,
    MutationId, OpenStore, Opening, Outcome, Page, PageRow, PageToken, Predicate, Presence, Query, Realtime,
    Request, Response, Result, Schema, Sent, Store, Uuid,
};
use larder_memory::Memory;

use crate::errand::MODEL;
use crate::kernel::lock;
use crate::rules::{Keys, Server};

/// What the server has done.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// How often each mutation had its effect, and was said to be accepted.
    pub(crate) effects: BTreeMap<MutationId, u64>,
    /// Mutations that had their effect since somebody looked, in order, with the device that sent them.
    pub(crate) fresh: Vec<Effect>,
    /// Rows that were refused because they refer to one that is not there: who sent which, and what is not there.
    pub(crate) orphans: Vec<(usize, MutationId, (&'static str, Key))>,
    /// Mutations that were refused for good.
    pub(crate) refused: BTreeSet<MutationId>,
    /// What was said to mutations that did not fit the row that there was: it is said again to a repeat.
    conflicts: BTreeMap<MutationId, Error>,
    /// Pages by number whose rows had moved since the page before.
    pub(crate) moved: u64,
    /// Requests that arrived.
    pub(crate) requests: u64,
    /// When they arrived, and from which device.
    pub(crate) arrivals: Vec<(Duration, usize)>,
}

impl Ledger {
    fn arrived(&mut self, now: Duration, device: usize) {
        self.requests += 1;
        self.arrivals.push((now, device));
    }
}

/// A mutation that had its effect.
#[derive(Debug)]
pub(crate) struct Effect {
    pub(crate) device: usize,
    pub(crate) id: MutationId,
    pub(crate) model: &'static str,
    pub(crate) key: Key,
    /// The device said that it may have sent it before.
    pub(crate) repeated: bool,
    /// How often the mutation has had an effect by now.
    pub(crate) times: u64,
    /// The server takes care that it has one effect.
    pub(crate) exact: bool,
}

/// The server at work.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) rules: Server,
    rows: Arc<dyn Store>,
    pub(crate) ledger: Mutex<Ledger>,
    /// Where pages go on: after which key, and after how many rows.
    bookmarks: Mutex<Vec<(Key, usize)>>,
}

impl Running {
    pub(crate) async fn open(rules: Server, opening: &Opening) -> Result<Self> {
        let mut memory = Memory::new();
        if let Some(remembered) = rules.changes {
            memory = memory.changes(remembered);
        }
        if let Some(rows) = rules.page {
            memory = memory.delta_page(rows);
        }
        let rows = OpenStore::open(Box::new(memory), opening).await?;
        Ok(Self { rules, rows, ledger: Mutex::default(), bookmarks: Mutex::default() })
    }

    pub(crate) fn rows(&self) -> &Arc<dyn Store> {
        &self.rows
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.rows.capabilities();
        capabilities.versions = self.rules.versions;
        // Rows are unique here by their keys alone: which row of two devices comes first, chance says.
        capabilities
    }

    pub(crate) async fn apply(&self, now: Duration, device: usize, mutation: &Mutation) -> Result<Applied> {
        lock(&self.ledger).arrived(now, device);
        if now < self.rules.away_until {
            let busy = Error::new(ErrorKind::Http { status: 503 }, "the server has no time").with_status(503);
            let busy = busy.with_sent(Sent::Answered).with_transient(true);
            return Err(match self.rules.asks_for {
                Some(wait) => busy.with_retry_after(wait),
                None => busy,
            });
        }
        let answered = |error: Error| {
            let status = status_of(error.kind());
            error.with_status(status).with_sent(Sent::Answered)
        };
        let known = lock(&self.ledger).effects.contains_key(&mutation.id);
        let keys = self.rules.keys(mutation.schema);
        if known && keys == Keys::Rejected {
            let error = Error::new(ErrorKind::Conflict, "the request has been made before");
            return Err(error
                .with_body("{\"error\":\"repeated\"}")
                .with_status(409)
                .with_sent(Sent::Answered));
        }
        let refused = if known { None } else { self.refused(device, mutation).await? };
        if let Some(error) = refused {
            lock(&self.ledger).refused.insert(mutation.id);
            return Err(answered(error));
        }
        let mut as_kept = mutation.clone();
        if !self.rules.versions {
            as_kept.base_version = None;
            if mutation.operation == Operation::Insert {
                as_kept.operation = Operation::Upsert;
            }
        }
        if keys == Keys::Ignored {
            // A server that does not know keys takes every request for a new one.
            as_kept.id = MutationId(Uuid::from_u128(u128::from(lock(&self.ledger).requests)));
        }
        let kept = lock(&self.ledger).conflicts.get(&mutation.id).map(Error::duplicate);
        if let Some(error) = kept.filter(|_| keys == Keys::Honoured) {
            return Err(error);
        }
        let applied = match self.rows.apply(&Context::new(), &as_kept).await.map_err(answered) {
            Ok(applied) => applied,
            Err(error) => {
                lock(&self.ledger).conflicts.insert(mutation.id, error.duplicate());
                return Err(error);
            }
        };
        let repeated = known && keys == Keys::Honoured;
        if !repeated {
            let effect = |ledger: &mut Ledger| {
                let times = ledger.effects.entry(mutation.id).or_default();
                // A delete that finds nothing is accepted and has no effect.
                *times += u64::from(applied.outcome != Outcome::Missing || *times == 0);
                let (id, model, key) = (mutation.id, mutation.schema.model, mutation.key.clone());
                let (times, repeated, exact) = (*times, mutation.repeated, self.rules.is_exact(model));
                ledger.fresh.push(Effect { device, id, model, key, repeated, times, exact });
            };
            effect(&mut lock(&self.ledger));
        }
        Ok(applied)
    }

    /// What a request that is no model comes to: it has an effect, and again unless it has a key that is honoured.
    pub(crate) fn take(&self, now: Duration, device: usize, request: &Request) -> Result<Response> {
        let answer = Response { status: 200, headers: Vec::new(), body: None };
        if request.is_safe() {
            return Ok(answer);
        }
        let mut ledger = lock(&self.ledger);
        ledger.arrived(now, device);
        if let Some(error) = self.rules.refusal_of_requests.as_ref().and_then(|refusal| refusal(request)) {
            ledger.refused.insert(request.id);
            let status = error.status().unwrap_or(status_of(error.kind()));
            return Err(error.with_status(status).with_sent(Sent::Answered));
        }
        let keyed = matches!(request.idempotency, Idempotency::Keyed { .. });
        let exact = keyed && self.rules.is_exact(MODEL);
        let times = ledger.effects.entry(request.id).or_default();
        if *times == 0 || !exact {
            *times += 1;
            let times = *times;
            let (id, key, repeated) = (request.id, Key::from(request.target.as_str()), request.repeated);
            ledger.fresh.push(Effect { device, id, model: MODEL, key, repeated, times, exact });
        }
        Ok(answer)
    }

    /// Why the server does not want the mutation, if so.
    async fn refused(&self, device: usize, mutation: &Mutation) -> Result<Option<Error>> {
        if let Some(error) = self.rules.refusal.as_ref().and_then(|refusal| refusal(mutation)) {
            return Ok(Some(error));
        }
        if let (true, Some(row)) = (self.rules.strict, &mutation.row) {
            for (schema, key) in references(mutation.schema, &**row)? {
                if self.rows.load(&Context::new(), schema, &key).await?.is_none() {
                    let what = format!("{} {key} does not exist", schema.model);
                    lock(&self.ledger).orphans.push((device, mutation.id, (schema.model, key)));
                    return Ok(Some(Error::new(ErrorKind::Rejected, what)));
                }
            }
        }
        Ok(None)
    }

    pub(crate) async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        let paged = self.rules.page.filter(|_| query.order.is_empty() && query.as_key().is_none());
        let Some(rows) = paged else {
            return self.rows.get(cx, schema, query).await;
        };
        let mut page = self.rows.get(cx, schema, query).await?;
        let mut begin = 0;
        if let Some((last, before)) = cx.resume.as_ref().and_then(|token| self.bookmark(token)) {
            let mut keys = page.rows.iter().map(|row| schema.key_of(&*row.row));
            let after = keys.position(|key| key.is_ok_and(|key| key > last)).unwrap_or(page.rows.len());
            // After the last key, what is written in between moves nothing from one page to another.
            begin = if self.rules.numbered { before.min(page.rows.len()) } else { after };
            lock(&self.ledger).moved += u64::from(begin != after);
        }
        page.rows.drain(..begin);
        page.steady = !self.rules.numbered;
        if page.rows.len() > rows {
            page.rows.truncate(rows);
            if let Some(last) = page.rows.last() {
                let mut bookmarks = lock(&self.bookmarks);
                page.next = Some(PageToken(bookmarks.len().to_string()));
                bookmarks.push((schema.key_of(&*last.row)?, begin + rows));
            }
        }
        Ok(page)
    }

    fn bookmark(&self, token: &PageToken) -> Option<(Key, usize)> {
        lock(&self.bookmarks).get(token.0.parse::<usize>().ok()?).cloned()
    }

    /// Whoever tells what has changed, if the server does.
    pub(crate) fn delta(&self) -> Option<&dyn Delta> {
        self.rules.changes.and_then(|_| self.rows.delta())
    }

    /// Whoever pushes what changes, if the server does.
    pub(crate) fn realtime(&self) -> Option<&dyn Realtime> {
        self.rows.realtime().filter(|_| self.rules.pushes)
    }

    /// What has changed, each row as it is now.
    pub(crate) async fn changes(
        &self,
        cx: &Context,
        schema: &'static Schema,
        since: Option<&str>,
    ) -> Result<DeltaAnswer> {
        let delta =
            self.delta().ok_or_else(|| Error::new(ErrorKind::Unsupported, "the server tells nothing"))?;
        let mut answer = delta.changes(cx, schema, since).await?;
        if let DeltaAnswer::Page(page) = &mut answer {
            let mut keys = std::mem::take(&mut page.deleted);
            for row in std::mem::take(&mut page.rows) {
                keys.push(schema.key_of(&*row.row)?);
            }
            keys.sort();
            keys.dedup();
            for key in keys {
                match self.now(schema, &key).await? {
                    Some(now) => page.rows.push(now),
                    None => page.deleted.push(key),
                }
            }
        }
        Ok(answer)
    }

    /// A row as it is now.
    pub(crate) async fn now(&self, schema: &'static Schema, key: &Key) -> Result<Option<PageRow>> {
        let stored = self.rows.load(&Context::new(), schema, key).await?;
        Ok(stored.and_then(|stored| Some(PageRow::new(stored.meta, stored.row?))))
    }

    pub(crate) async fn exists(&self, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.rows.exists(&Context::new(), schema, query).await
    }

    /// All rows of a model, for comparison.
    pub(crate) async fn all(&self, schema: &'static Schema) -> Result<Page> {
        self.rows.get(&Context::new(), schema, &Query::filter(Predicate::All)).await
    }
}

fn status_of(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::Conflict => 409,
        ErrorKind::NotFound => 404,
        ErrorKind::Unauthorized => 401,
        ErrorKind::Http { status } => status,
        _ => 422,
    }
}
