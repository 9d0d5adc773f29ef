//! A server that honours idempotency keys, gives keys, and counts the effects of each mutation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder::core::{
    Applied, Capabilities, Context, Delta, KeyKind, Mutation, Outcome, Page, PageRow, Plan, Presence,
    Provider, Query, Realtime, Record, Request, Requests, Response, Schema, Value, async_trait,
};
use larder::core::{Meta, Row};
use larder::{Error, ErrorKind, Idempotency, Key, MutationId, Operation, Result, Timestamp};

/// What the story is about at the moment, for the histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "they are named after what they are")]
pub enum Phase {
    Open,
    Salvage,
    Enqueue,
    Send,
    Acknowledge,
    Merge,
    Exchange,
    Pull,
    Migrate,
    Compact,
    Read,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::Salvage,
        Self::Enqueue,
        Self::Send,
        Self::Acknowledge,
        Self::Merge,
        Self::Exchange,
        Self::Pull,
        Self::Migrate,
        Self::Compact,
        Self::Read,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Salvage => "salvage",
            Self::Enqueue => "enqueue",
            Self::Send => "send",
            Self::Acknowledge => "acknowledge",
            Self::Merge => "merge",
            Self::Exchange => "exchange of ids",
            Self::Pull => "pull",
            Self::Migrate => "migration",
            Self::Compact => "compaction",
            Self::Read => "read",
        }
    }
}

/// What the server has. A clone is what it had at that moment.
#[derive(Clone, Debug)]
pub struct State {
    /// The rows by model and key, with their versions.
    rows: BTreeMap<(&'static str, Key), (Record, u64)>,
    /// What was answered to each mutation.
    answers: BTreeMap<MutationId, Option<(Record, u64)>>,
    /// The requests that came, each with its target and its body.
    pub requests: BTreeMap<MutationId, (String, Vec<u8>)>,
    /// How often each mutation or request had an effect.
    pub effects: BTreeMap<MutationId, u64>,
    version: u64,
    next: i64,
    /// What goes on.
    pub phase: Phase,
}

impl Default for State {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            answers: BTreeMap::new(),
            requests: BTreeMap::new(),
            effects: BTreeMap::new(),
            version: 0,
            next: 1000,
            phase: Phase::Open,
        }
    }
}

/// A server. Clones are the same server.
#[derive(Clone, Debug, Default)]
pub struct Server(Arc<Mutex<State>>);

impl Server {
    /// A server with this state.
    #[must_use]
    pub fn of(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has now.
    #[must_use]
    pub fn snapshot(&self) -> State {
        self.state().clone()
    }

    /// What goes on.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Says what goes on.
    pub fn enter(&self, phase: Phase) {
        self.state().phase = phase;
    }

    /// Somebody else writes a row.
    ///
    /// # Errors
    /// `Serialization`.
    pub fn elsewhere(&self, schema: &'static Schema, row: &dyn Row) -> Result<()> {
        let record = Record::copy(schema, row)?;
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        state.rows.insert((schema.model, schema.key_of(&record)?), (record, version));
        Ok(())
    }

    /// How many mutations had an effect.
    #[must_use]
    pub fn effects(&self) -> usize {
        self.state().effects.len()
    }

    /// The rows of a model.
    #[must_use]
    pub fn rows(&self, model: &str) -> Vec<Record> {
        let state = self.state();
        state.rows.iter().filter(|((of, _), _)| *of == model).map(|(_, (row, _))| row.clone()).collect()
    }
}

impl State {
    fn apply(&mut self, mutation: &Mutation) -> Result<Option<(Record, u64)>> {
        if let Some(answer) = self.answers.get(&mutation.id) {
            return Ok(answer.clone());
        }
        self.version += 1;
        let (schema, version) = (mutation.schema, self.version);
        let answer = match &mutation.row {
            None => {
                self.rows.remove(&(schema.model, mutation.key.clone()));
                None
            }
            Some(row) => {
                let mut record = Record::copy(schema, &**row)?;
                if mutation.operation == Operation::Insert && schema.key.kind == KeyKind::Server {
                    self.next += 1;
                    record.set(schema.key.fields[0], Value::Int(self.next.into()));
                }
                // What the server says of a row and the application does not: it has to be merged.
                if let Some(seen) = schema.fields.iter().position(|field| field.name == "seen") {
                    record.set(seen, Value::Int(version.into()));
                }
                self.rows.insert((schema.model, schema.key_of(&record)?), (record.clone(), version));
                Some((record, version))
            }
        };
        *self.effects.entry(mutation.id).or_default() += 1;
        self.answers.insert(mutation.id, answer.clone());
        Ok(answer)
    }
}

#[async_trait]
impl larder::core::OpenProvider for Server {
    async fn open(self: Box<Self>, _: &larder::core::Opening) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(*self))
    }
}

/// A row as the version of the application that asks has it: the server knows how long a text is.
fn page_row(schema: &Schema, record: &Record, version: u64) -> PageRow {
    let value =
        |(at, field): (usize, &larder::core::FieldDef)| match (record.get(at), field.name, record.get(1)) {
            (None, "length", Some(Value::Str(text))) => Some(Value::Int(text.len() as i128)),
            (known, ..) => known.cloned(),
        };
    let record = Record::new(schema.fields.iter().enumerate().map(value).collect::<Vec<_>>());
    let meta = Meta { version: Some(version.to_string().into()), ..Meta::synced(Timestamp::UNIX_EPOCH) };
    PageRow::new(meta, Arc::new(record))
}

#[async_trait]
impl Provider for Server {
    fn name(&self) -> &str {
        "server"
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::NONE;
        (can.list, can.insert, can.update, can.upsert, can.delete) = (true, true, true, true, true);
        can
    }

    fn idempotency(&self, _: &'static Schema, _: Operation) -> Idempotency {
        Idempotency::KEYED
    }

    async fn get(&self, _: &Context, schema: &'static Schema, _: &Query) -> Result<Page> {
        let rows = {
            let state = self.state();
            let of_model = state.rows.iter().filter(|((model, _), _)| *model == schema.model);
            of_model.map(|(_, (record, version))| page_row(schema, record, *version)).collect()
        };
        Ok(Page { rows, ..Page::default() })
    }

    async fn exists(&self, _: &Context, _: &'static Schema, _: &Query) -> Result<Presence> {
        Ok(Presence::Unknown)
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        Ok(query.plan(schema, &self.capabilities()))
    }

    async fn apply(&self, _: &Context, mutation: &Mutation) -> Result<Applied> {
        // A network takes its time, and others get a turn.
        tokio::task::yield_now().await;
        let answer = {
            let mut state = self.state();
            let answer = state.apply(mutation)?;
            state.phase = match (&answer, mutation.schema.key.kind) {
                (None, _) => Phase::Acknowledge,
                (Some(_), KeyKind::Server) if mutation.operation == Operation::Insert => Phase::Exchange,
                (Some(_), _) => Phase::Merge,
            };
            answer
        };
        let row = answer.map(|(record, version)| page_row(mutation.schema, &record, version));
        Ok(Applied { outcome: Outcome::Accepted, row })
    }

    fn delta(&self) -> Option<&dyn Delta> {
        None
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        None
    }

    fn requests(&self) -> Option<&dyn Requests> {
        Some(self)
    }
}

#[async_trait]
impl Requests for Server {
    fn admit(&self, _: &Request) -> Result<Option<Arc<str>>> {
        Ok(None)
    }

    async fn forward(&self, _: &Context, request: &Request) -> Result<Response> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        if !state.requests.contains_key(&request.id) {
            *state.effects.entry(request.id).or_default() += 1;
            state.requests.insert(request.id, (request.target.clone(), request.body.to_vec()));
        }
        state.phase = Phase::Acknowledge;
        Ok(Response { status: 202, headers: Vec::new(), body: None })
    }
}

/// What a story says that went wrong.
#[must_use]
pub fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, what)
}
