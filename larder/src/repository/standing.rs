//! Rows by how they stand towards the remote.

use larder_core::{Model, Predicate, Query, ReadPolicy, Result, RowState, Schema, Select};

use super::read::Local;
use super::rows::GoesOn;
use super::{Origin, Repository, Rows, Watch};

/// How many outbox entries are loaded at a time.
const ENTRIES: usize = 256;

/// A set of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct States(u8);

impl States {
    fn of(states: impl IntoIterator<Item = RowState>) -> Self {
        Self(states.into_iter().fold(0, |set, state| set | Self::bit(state)))
    }

    fn bit(state: RowState) -> u8 {
        match state {
            RowState::Synced => 1,
            RowState::Local => 2,
            RowState::Pending => 4,
            RowState::InFlight => 8,
            RowState::Parked => 16,
            RowState::Conflicted => 32,
            // A state that is added later has to be told apart here.
            _ => 64,
        }
    }

    fn contains(self, state: RowState) -> bool {
        self.0 & Self::bit(state) != 0
    }

    /// True if every row in one of these states has something in the outbox.
    fn is_queued(self) -> bool {
        !self.contains(RowState::Synced) && !self.contains(RowState::Local)
    }
}

/// The rows in certain states towards the remote: see [`Repository::in_state`].
#[derive(Clone, Debug)]
#[must_use = "it reads nothing by itself"]
pub struct InState {
    repo: Repository,
    states: States,
}

impl Repository {
    /// The rows in one of these states, to be read or watched. How a row stands is known here alone, so the remote is
    /// never asked.
    ///
    /// A state without `Synced` and `Local` costs in proportion to the outbox, any other to the rows that answer the
    /// query.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository, RowState, Select};
    /// # #[derive(Model, Clone, Debug)]
    /// # struct Label { #[model(key)] name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Label>().paused().build().await?;
    /// repo.upsert(&Label { name: "bug".into() }).await?;
    /// let waiting = repo.in_state([RowState::Pending, RowState::InFlight]);
    /// assert_eq!(waiting.get(Select::<Label>::all()).await?.len(), 1);
    /// assert!(repo.in_state([RowState::Parked]).get(Select::<Label>::all()).await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_state(&self, states: impl IntoIterator<Item = RowState>) -> InState {
        InState { repo: self.reading(ReadPolicy::LocalOnly), states: States::of(states) }
    }

    /// The rows of a model whose changes the remote has not confirmed: pending, in flight, parked or conflicted.
    ///
    /// # Errors
    /// As [`InState::get`].
    pub async fn pending<M: Model>(&self) -> Result<Rows<M>> {
        let states = [RowState::Pending, RowState::InFlight, RowState::Parked, RowState::Conflicted];
        self.in_state(states).get(Select::<M>::all()).await
    }
}

impl InState {
    /// The rows in one of the states that answer `query`; its window counts them alone.
    ///
    /// # Errors
    /// `Invalid` if the model is not registered; `Storage`, `Corrupt`; `Serialization` if a row does not fit.
    pub async fn get<M: Model>(&self, query: impl Into<Select<M>>) -> Result<Rows<M>> {
        let (schema, select) = (self.repo.schema::<M>()?, query.into());
        let query = select.as_query();
        query.check(schema)?;
        let local = self.repo.local_in::<M>(schema, query, Some(self.states)).await?;
        let known_since = match &self.repo.shared.remote {
            None => None,
            Some(_) => self.repo.known_since(schema, query).await?,
        };
        let (goes_on, states) = (GoesOn::of(query, local.rows.len(), &local.places), local.states);
        let mut rows =
            Rows { rows: local.rows, origin: Origin::Local, known_since, states, stale: None, goes_on };
        self.repo.load_related(schema, &mut rows, select.includes()).await?;
        Ok(rows)
    }

    /// How many rows in one of the states answer `query`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn count<M: Model>(&self, query: impl Into<Select<M>>) -> Result<u64> {
        Ok(self.get(query).await?.len() as u64)
    }

    /// Watches the rows in one of the states that answer `query`: see [`Watch`]. A row that comes into one of the
    /// states, leaves them or goes from one to another is a change.
    ///
    /// # Errors
    /// `Invalid` if the model is not registered.
    pub fn watch<M: Model>(&self, query: impl Into<Select<M>>) -> Result<Watch<M>> {
        self.repo.watch_in(query.into(), Some(self.states))
    }
}

impl Repository {
    /// What the local side answers, from rows in these states.
    pub(super) async fn local_in<M: Model>(
        &self,
        schema: &'static Schema,
        query: &Query,
        states: Option<States>,
    ) -> Result<Local<M>> {
        let Some(states) = states else {
            return self.local(schema, query).await;
        };
        let mut asked = Query { limit: None, offset: 0, ..query.clone() };
        if states.is_queued()
            && let Some(queued) = self.queued_rows(schema).await?
        {
            asked.filter = Predicate::And(vec![queued, asked.filter]);
        }
        let mut local = self.local::<M>(schema, &asked).await?;
        let wanted: Vec<bool> = local.states.iter().map(|sync| states.contains(sync.state)).collect();
        let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let (offset, limit) = (size(query.offset), query.limit.map_or(usize::MAX, size));
        keep(&mut local.rows, &wanted, offset, limit);
        keep(&mut local.states, &wanted, offset, limit);
        keep(&mut local.revisions, &wanted, offset, limit);
        keep(&mut local.places, &wanted, offset, limit);
        Ok(local)
    }

    /// The rows of the model that have something in the outbox; `None` if that can't be told.
    async fn queued_rows(&self, schema: &'static Schema) -> Result<Option<Predicate>> {
        let (mut keys, mut after) = (Vec::new(), 0);
        loop {
            let loaded = self.shared.store.outbox(&self.cx(), after, ENTRIES).await?;
            if !loaded.unreadable.is_empty() {
                return Ok(None);
            }
            if loaded.entries.is_empty() {
                break;
            }
            after = loaded.last;
            let own = loaded.entries.into_iter().filter(|entry| entry.schema == schema);
            keys.extend(own.map(|entry| entry.key));
        }
        keys.sort();
        keys.dedup();
        Ok(Some(Predicate::Keys(keys)))
    }
}

/// Keeps what is wanted, and of that the window.
fn keep<T>(all: &mut Vec<T>, wanted: &[bool], offset: usize, limit: usize) {
    let mut wanted = wanted.iter();
    all.retain(|_| wanted.next().copied().unwrap_or(false));
    all.drain(..offset.min(all.len()));
    all.truncate(limit);
}
