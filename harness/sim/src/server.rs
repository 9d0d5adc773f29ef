//! The model server: rows with versions, and what it makes of a request that it has had before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::Operation;
use larder_core::association::references;
use larder_core::{
    Applied, Capabilities, Context, Error, ErrorKind, Idempotency, Key, Mutation, MutationId, OpenStore,
    Opening, Outcome, Page, PageToken, Predicate, Presence, Query, Result, Schema, Sent, Store, Uuid,
};
use larder_memory::Memory;

use crate::kernel::lock;

/// Says no to a mutation.
type Refusal = Arc<dyn Fn(&Mutation) -> Option<Error> + Send + Sync>;

/// What the server is like.
///
/// ```
/// use larder_sim::Server;
///
/// let server = Server::ignoring_keys().checking_versions().pages_of(2);
/// ```
#[derive(Clone)]
pub struct Server {
    keys: Keys,
    declared: Idempotency,
    versions: bool,
    strict: bool,
    page: Option<usize>,
    away_until: Duration,
    refusal: Option<Refusal>,
}

/// What becomes of an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    Honoured,
    Ignored,
    Rejected,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("keys", &self.keys)
            .field("versions", &self.versions)
            .finish_non_exhaustive()
    }
}

impl Server {
    fn new(keys: Keys, declared: Idempotency) -> Self {
        Self {
            keys,
            declared,
            versions: false,
            strict: false,
            page: None,
            away_until: Duration::ZERO,
            refusal: None,
        }
    }

    /// A request that it has had before gets the answer again, and has no further effect.
    #[must_use]
    pub fn honouring_keys() -> Self {
        Self::new(Keys::Honoured, Idempotency::KEYED)
    }

    /// Every request is a new one; so the devices ask before they repeat one.
    #[must_use]
    pub fn ignoring_keys() -> Self {
        Self::new(Keys::Ignored, Idempotency::Probe)
    }

    /// A request that it has had before is a conflict (409).
    #[must_use]
    pub fn rejecting_repeats() -> Self {
        Self::new(Keys::Rejected, Idempotency::KEYED)
    }

    /// What the devices are told of a repeat, whether it is true or not.
    #[must_use]
    pub fn declaring(mut self, idempotency: Idempotency) -> Self {
        self.declared = idempotency;
        self
    }

    /// A change that was made from another version than the row has is refused (412), as by `If-Match`, and so is a new
    /// row whose key is taken. Without it, the last write wins.
    #[must_use]
    pub fn checking_versions(mut self) -> Self {
        self.versions = true;
        self
    }

    /// A row that refers to one that the server does not have is refused (422).
    #[must_use]
    pub fn checking_references(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Lists come in pages of so many rows.
    #[must_use]
    pub fn pages_of(mut self, rows: usize) -> Self {
        self.page = Some(rows.max(1));
        self
    }

    /// It answers 503 to every mutation for so long from the beginning.
    #[must_use]
    pub fn away_until(mut self, end: Duration) -> Self {
        self.away_until = end;
        self
    }

    /// Mutations for which `refusal` has an error are refused with it.
    #[must_use]
    pub fn refusing(mut self, refusal: impl Fn(&Mutation) -> Option<Error> + Send + Sync + 'static) -> Self {
        self.refusal = Some(Arc::new(refusal));
        self
    }

    pub(crate) fn declared(&self) -> Idempotency {
        self.declared
    }

    /// Whether a repeat has no effect by the server's own doing.
    pub(crate) fn is_exact(&self) -> bool {
        self.keys != Keys::Ignored
    }
}

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
}

/// The server at work.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) rules: Server,
    rows: Arc<dyn Store>,
    pub(crate) ledger: Mutex<Ledger>,
    /// The last key of each page that goes on.
    bookmarks: Mutex<Vec<Key>>,
}

impl Running {
    pub(crate) async fn open(rules: Server, opening: &Opening) -> Result<Self> {
        let rows = OpenStore::open(Box::new(Memory::new()), opening).await?;
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
            return Err(busy.with_sent(Sent::Answered).with_transient(true));
        }
        let answered = |error: Error| {
            let status = status_of(error.kind());
            error.with_status(status).with_sent(Sent::Answered)
        };
        let known = lock(&self.ledger).effects.contains_key(&mutation.id);
        if known && self.rules.keys == Keys::Rejected {
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
        if self.rules.keys == Keys::Ignored {
            // A server that does not know keys takes every request for a new one.
            as_kept.id = MutationId(Uuid::from_u128(u128::from(lock(&self.ledger).requests)));
        }
        let applied = self.rows.apply(&Context::new(), &as_kept).await.map_err(answered)?;
        let repeated = known && self.rules.keys == Keys::Honoured;
        if !repeated {
            let effect = |ledger: &mut Ledger| {
                let times = ledger.effects.entry(mutation.id).or_default();
                // A delete that finds nothing is accepted and has no effect.
                *times += u64::from(applied.outcome != Outcome::Missing || *times == 0);
                let (id, model, key) = (mutation.id, mutation.schema.model, mutation.key.clone());
                let (times, repeated) = (*times, mutation.repeated);
                ledger.fresh.push(Effect { device, id, model, key, repeated, times });
            };
            effect(&mut lock(&self.ledger));
        }
        Ok(applied)
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
        // Pages go on after the last key: what is written in between moves nothing from one page to another.
        let mut page = self.rows.get(cx, schema, query).await?;
        if let Some(last) = cx.resume.as_ref().and_then(|token| self.bookmark(token)) {
            page.rows.retain(|row| schema.key_of(&*row.row).is_ok_and(|key| key > last));
        }
        if page.rows.len() > rows {
            page.rows.truncate(rows);
            if let Some(last) = page.rows.last() {
                let mut bookmarks = lock(&self.bookmarks);
                page.next = Some(PageToken(bookmarks.len().to_string()));
                bookmarks.push(schema.key_of(&*last.row)?);
            }
        }
        Ok(page)
    }

    fn bookmark(&self, token: &PageToken) -> Option<Key> {
        lock(&self.bookmarks).get(token.0.parse::<usize>().ok()?).cloned()
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
