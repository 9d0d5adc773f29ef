//! Writes: row and outbox entry in one transaction, or as the policy says.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::{
    AsModel, Batch, CommitOutcome, Error, ErrorKind, Expect, Key, KeyKind, Meta, Model, Mutation, Op,
    Operation, PageRow, Result, Row, RowState, Schema, StoredRow, SyncState, Tail, WritePolicy,
};

use super::arrive::{Since, take_brought};
use super::clear::Chosen;
use super::coalesce::Coalesced;
use super::nesting::Within;
use super::renewal::Renewed;
use super::stored::{Deleted, Stored};
use super::target::{Aim, Target};
use super::undone::note_undone;
use super::{Remote, Repository, associations};
use crate::engine::enqueue::{Intent, Write, differences, enqueue};
use crate::engine::exchange;
use crate::engine::renames::Rename;
use crate::engine::settle::overlaid;
use crate::fates::Awaited;

/// How often a write is made again because its row moved meanwhile.
pub(super) const ATTEMPTS: usize = 1_000;

/// One row of a write.
pub(super) struct Change {
    pub(super) schema: &'static Schema,
    pub(super) key: Key,
    pub(super) write: Write,
    /// The row in whose request it goes, if it can.
    pub(super) within: Option<Within>,
}

impl Change {
    pub(super) fn place(&self) -> (&'static str, Key) {
        (self.schema.model, self.key.clone())
    }
}

/// What a commit of changes came to.
pub(super) struct Written {
    pub(super) revision: u64,
    /// The changes whose rows are written otherwise than they were given, with the keys of the rows: they named
    /// temporary keys, and others have been given since.
    pub(super) moved: BTreeMap<usize, Key>,
    /// Per change: whether anything changed here, and who waits for its fate.
    pub(super) changes: Vec<(bool, Option<Awaited>)>,
}

impl Repository {
    /// Stores `model`, new or not.
    ///
    /// # Errors
    /// `Invalid` if the model is not registered, or one of its own checks refuses it; `Unsupported` if the remote does
    /// not take such a write; `Conflict` if a unique constraint forbids it; `Full`, `Storage`. Under
    /// [`WritePolicy::RequireRemote`] whatever the remote says. Nothing is stored and nothing is queued then.
    #[tracing::instrument(name = "larder::upsert", skip_all, fields(model = A::Model::schema().model))]
    pub async fn upsert<A: AsModel>(&self, model: &A) -> Result<Stored<A::Model>> {
        let schema = self.schema::<A::Model>()?;
        let model = model.as_model();
        if associations::carries(schema, model) {
            let stored = self.store_related(schema, &[model], Vec::new()).await?;
            return stored.and_then(|mut stored| stored.pop()).ok_or_else(moving);
        }
        self.store_row(schema, Arc::new(A::Model::from_row(model)?)).await
    }

    async fn store_row<M: Model>(&self, schema: &'static Schema, row: Arc<M>) -> Result<Stored<M>> {
        let key = row.key()?;
        let shared: Arc<dyn Row> = Arc::<M>::clone(&row);
        let change = Change { schema, key: key.clone(), write: Write::Put(shared), within: None };
        if self.options.write == WritePolicy::RequireRemote {
            let key = self.write_through(change).await?;
            let row = self.find_stored(schema, &key).await?.unwrap_or(row);
            return Ok(Stored::new(row, self, None));
        }
        let mut written = self.write(vec![change], Vec::new()).await?.ok_or_else(moving)?;
        let (changed, awaited) = written.changes.pop().unwrap_or_default();
        if let Some(key) = written.moved.get(&0) {
            let row = self.find_stored(schema, key).await?.unwrap_or(row);
            return Ok(Stored::new(row, self, awaited));
        }
        if let (true, Some(cache)) = (changed, self.shared.caches.of::<M>()) {
            cache.insert(key, Arc::clone(&row), written.revision);
        }
        Ok(Stored::new(row, self, awaited))
    }

    /// Stores several models of one type, in one transaction and with one notification.
    ///
    /// # Errors
    /// As [`upsert`](Self::upsert); `Unsupported` under [`WritePolicy::RequireRemote`].
    #[tracing::instrument(name = "larder::upsert_many", skip_all, fields(model = M::schema().model))]
    pub async fn upsert_many<'a, M: Model>(
        &self,
        models: impl IntoIterator<Item = &'a M>,
    ) -> Result<Vec<Stored<M>>> {
        let schema = self.schema::<M>()?;
        let models: Vec<&M> = models.into_iter().collect();
        if models.iter().any(|model| associations::carries(schema, *model)) {
            return self.store_related(schema, &models, Vec::new()).await?.ok_or_else(moving);
        }
        // Of two rows with one key, the later one counts; one that holds a temporary key still has that of its row.
        let mut rows: BTreeMap<Key, (Key, Arc<M>)> = BTreeMap::new();
        for model in models {
            let key = model.key()?;
            rows.insert(self.current(schema, key.clone()).await?, (key, Arc::new(M::from_row(model)?)));
        }
        let change = |(key, row): &(Key, Arc<M>)| {
            let row: Arc<dyn Row> = Arc::<M>::clone(row);
            Change { schema, key: key.clone(), write: Write::Put(row), within: None }
        };
        let changes = rows.values().map(change).collect();
        let written = self.write(changes, Vec::new()).await?.ok_or_else(moving)?;
        let mut stored = Vec::with_capacity(rows.len());
        for (at, ((_, mut row), (_, awaited))) in rows.into_values().zip(written.changes).enumerate() {
            if let Some(key) = written.moved.get(&at) {
                row = self.find_stored(schema, key).await?.unwrap_or(row);
            }
            stored.push(Stored::new(row, self, awaited));
        }
        Ok(stored)
    }

    /// Edits the row that has the key of `model`, as it is stored now: what others have changed meanwhile stays.
    /// `edit` is called again if the row moves while it is written.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository};
    /// # #[derive(Model, Debug)]
    /// # struct Label { #[model(key)] name: String, color: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).model::<Label>().build().await?;
    /// let bug = repo.upsert(&Label { name: "bug".into(), color: "red".into() }).await?.into_row();
    /// let bug = repo.update(&bug, |bug| bug.color = "blue".into()).await?;
    /// assert_eq!(bug.color, "blue");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `NotFound` if there is no such row; `Invalid` if `edit` changes the key; else as [`upsert`](Self::upsert).
    pub async fn update<A: AsModel>(
        &self,
        model: &A,
        mut edit: impl FnMut(&mut A::Model),
    ) -> Result<Stored<A::Model>> {
        let (schema, key) = (self.schema::<A::Model>()?, model.as_model().key()?);
        for _ in 0..ATTEMPTS {
            let key = self.current(schema, key.clone()).await?;
            let stored = self.shared.store.load(&self.cx(), schema, &key).await?;
            let (revision, row) = match stored {
                Some(StoredRow { meta, row: Some(row) }) => (meta.revision, row),
                // It has got another key this moment.
                None if self.shared.given.get(schema, &key).is_some() => continue,
                _ => {
                    let error = Error::new(ErrorKind::NotFound, "there is no such row to edit");
                    return Err(error.during("update").model(schema.model).key(&key));
                }
            };
            let mut edited = A::Model::from_row(&*row)?;
            edit(&mut edited);
            if edited.key()? != key {
                let error = Error::new(ErrorKind::Invalid, "an edit can't change the key: delete and insert");
                return Err(error.during("update").model(schema.model).key(&key));
            }
            if associations::carries(schema, &edited) {
                let expect = vec![Expect::Row { schema, key: key.clone(), revision }];
                match self.store_related(schema, &[&edited], expect).await? {
                    Some(mut stored) => return stored.pop().ok_or_else(moving),
                    None => continue,
                }
            }
            let edited = Arc::new(edited);
            if self.options.write == WritePolicy::RequireRemote {
                return self.store_row(schema, edited).await;
            }
            let shared: Arc<dyn Row> = Arc::<A::Model>::clone(&edited);
            let change = Change { schema, key: key.clone(), write: Write::Put(shared), within: None };
            let expect = Expect::Row { schema, key: key.clone(), revision };
            if let Some(mut written) = self.write(vec![change], vec![expect]).await? {
                let (_, awaited) = written.changes.pop().unwrap_or_default();
                let row = match written.moved.get(&0) {
                    Some(key) => self.find_stored(schema, key).await?.unwrap_or(edited),
                    None => edited,
                };
                return Ok(Stored::new(row, self, awaited));
            }
        }
        Err(moving())
    }

    /// Deletes by key (`repo.delete::<User>(id)`), by several keys (a `Vec<Key>`), by model (`repo.delete(&user)`) or by
    /// query (`repo.delete(User::CITY.eq("Oslo"))`), in one transaction. A row that is named and not here is deleted at
    /// the remote all the same; a query deletes what answers it here at one moment.
    ///
    /// # Errors
    /// As [`upsert`](Self::upsert).
    #[tracing::instrument(name = "larder::delete", skip_all, fields(model = M::schema().model))]
    pub async fn delete<M: Model>(&self, target: impl Target<M>) -> Result<Deleted> {
        let schema = self.schema::<M>()?;
        let aim = target.aim()?;
        if matches!(aim, Aim::Select(_)) {
            return self.delete_chosen(schema, &Chosen::Aimed(aim)).await;
        }
        let keys = self.aimed_at(schema, &aim).await?;
        if self.options.write == WritePolicy::RequireRemote {
            return self.delete_through(schema, keys).await;
        }
        self.delete_here(schema, keys, Vec::new()).await?.ok_or_else(moving)
    }

    /// Deletes here, with what refers to the rows; `None` if the expectations don't hold.
    pub(super) async fn delete_here(
        &self,
        schema: &'static Schema,
        keys: Vec<Key>,
        expect: Vec<Expect>,
    ) -> Result<Option<Deleted>> {
        if self.shared.referrers.any(schema) {
            return self.delete_related(schema, keys, expect).await;
        }
        let changes =
            keys.into_iter().map(|key| Change { schema, key, write: Write::Delete, within: None }).collect();
        Ok(self.write(changes, expect).await?.map(Deleted::of))
    }

    /// Remote first, row by row.
    pub(super) async fn delete_through(&self, schema: &'static Schema, keys: Vec<Key>) -> Result<Deleted> {
        self.delete_alone(schema, &keys).await?;
        let count = keys.len();
        for key in keys {
            self.write_through(Change { schema, key, write: Write::Delete, within: None }).await?;
        }
        Ok(Deleted::new(count, Vec::new()))
    }

    /// Commits `changes` in one transaction. With expectations of the caller's own, `None` says that they don't hold;
    /// without, a row that moves is read again.
    pub(super) async fn write(
        &self,
        mut changes: Vec<Change>,
        expect: Vec<Expect>,
    ) -> Result<Option<Written>> {
        changes.iter().try_for_each(validate)?;
        let queued = match (&self.shared.remote, self.options.write) {
            (Some(remote), WritePolicy::OptimisticLocal) => Some(remote),
            (_, WritePolicy::RequireRemote) => {
                let what = "a transaction can't wait for the remote: write row by row, or by another policy";
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
            _ => None,
        };
        let mut renewed = Renewed::default();
        let _telling = self.shared.fates.telling();
        'anew: for _ in 0..ATTEMPTS {
            let _turn = self.shared.turn.read().await;
            self.renew(&mut changes, &mut renewed).await?;
            let mut stored = Vec::with_capacity(changes.len());
            for change in &changes {
                let there = self.shared.store.load(&self.cx(), change.schema, &change.key).await?;
                // It has got another key this moment.
                if there.is_none() && self.shared.given.get(change.schema, &change.key).is_some() {
                    continue 'anew;
                }
                stored.push(there);
            }
            let nests = queued.is_some_and(|remote| remote.provider.capabilities().nests);
            let (mut order, nesting) = self.arranged(&changes, &stored, nests).await?;
            order.retain(|at| !renewed.superseded.contains(at));
            let mut batch = Batch { expect: expect.clone(), ops: Vec::new() };
            batch.expect.extend_from_slice(&nesting.expect);
            if !self.bind(&mut batch, &changes, &stored, &order).await? {
                continue;
            }
            let mut written = Written { revision: 0, moved: renewed.moved.clone(), changes: Vec::new() };
            written.changes.resize_with(changes.len(), Default::default);
            let mut coalesced = Coalesced::default();
            for at in order {
                let change = &changes[at];
                let by_itself = nesting.carries(at).is_empty() && nesting.within(at).is_none();
                if let Some(remote) = queued.filter(|_| by_itself) {
                    let taken =
                        self.coalesce(&mut batch, &mut coalesced, change, stored[at].as_ref()).await?;
                    if let Some(told) = taken {
                        told.map(|(_, operation)| permit(remote, operation)).transpose()?;
                        let awaited = told.map(|(id, _)| self.shared.fates.await_fate(id));
                        written.changes[at] = (true, awaited);
                        continue;
                    }
                }
                let mut id = queued.map(|_| nesting.id(at).unwrap_or_else(|| self.mint()));
                let unknown = matches!(change.write, Write::Delete) && stored[at].is_none();
                if unknown && self.is_of_temporary(change.schema, &change.key).await? {
                    // The remote can't have it.
                    id = None;
                } else if unknown && !self.renames(change.schema, change).await?.is_empty() {
                    // What its key is made of has got another key this moment.
                    continue 'anew;
                }
                let intent = Intent {
                    schema: change.schema,
                    key: change.key.clone(),
                    write: change.write.clone(),
                    id,
                    account: self.shared.account.get(),
                    now: self.now(),
                    carries: nesting.carries(at),
                    within: nesting.within(at),
                };
                let alone = intent.within.is_none();
                let before = batch.ops.len();
                let changed = enqueue(&mut batch, stored[at].as_ref(), intent)?;
                let entry = batch.ops[before..]
                    .iter()
                    .find_map(|op| if let Op::Enqueue(entry) = op { Some(entry) } else { None });
                let mut awaited = None;
                if let (Some(entry), Some(remote)) = (entry, queued) {
                    if alone {
                        permit(remote, entry.operation)?;
                    }
                    awaited = Some(self.shared.fates.await_fate(entry.id));
                }
                written.changes[at] = (changed, awaited);
            }
            if batch.ops.is_empty() && expect.is_empty() {
                return Ok(Some(written));
            }
            note_undone(&*self.shared.store, &self.cx(), &mut batch, coalesced.undone()).await?;
            let _room = self.room_for(&batch).await?;
            match self.shared.store.commit(&self.cx(), batch).await? {
                CommitOutcome::Committed(committed) => {
                    written.revision = committed.revision;
                    if let Some(remote) = queued {
                        remote.acts.fresh.lock().add(&committed);
                        self.tell_coalesced(remote, &coalesced);
                    }
                    return Ok(Some(written));
                }
                CommitOutcome::Stale if expect.is_empty() => {}
                CommitOutcome::Stale => return Ok(None),
            }
        }
        Err(moving())
    }

    /// Remote first; local only after it has accepted. Nothing is queued. Gives the key under which the row stands.
    async fn write_through(&self, change: Change) -> Result<Key> {
        validate(&change)?;
        let remote = self.remote()?;
        let Change { schema, key, write, .. } = self.renewed(change).await?;
        if let Write::Put(row) = &write {
            self.refuse_temporary(schema, &**row).await?;
        }
        let wipes = self.shared.changes.wipes();
        let stored = self.shared.store.load(&self.cx(), schema, &key).await?;
        let meta = stored.as_ref().map(|stored| stored.meta.clone());
        if meta.as_ref().is_some_and(|meta| meta.tail != 0) {
            let what =
                "earlier changes of the row wait in the outbox, and none may overtake them: sync first";
            return Err(Error::new(ErrorKind::Conflict, what).model(schema.model).key(&key));
        }
        let before = stored.and_then(|stored| stored.row);
        let local = meta.as_ref().is_some_and(|meta| meta.sync.state == RowState::Local);
        let (operation, row) = match &write {
            Write::Delete => (Operation::Delete, None),
            Write::Put(row) if before.is_some() && !local => (Operation::Update, Some(Arc::clone(row))),
            Write::Put(row) => (Operation::Insert, Some(Arc::clone(row))),
        };
        permit(remote, operation)?;
        let changed = match (&row, &before) {
            (Some(new), Some(old)) if operation == Operation::Update => {
                Some(differences(schema, &**old, &**new)?)
            }
            _ => Some((0..schema.fields.len()).collect()),
        };
        let mutation = Mutation {
            id: self.mint(),
            schema,
            key: key.clone(),
            operation,
            row: row.clone(),
            changed,
            base_version: meta.as_ref().and_then(|meta| meta.version.clone()),
            extra: meta.as_ref().and_then(|meta| meta.extra.clone()),
            repeated: false,
            nested: Vec::new(),
        };
        let asked = self.shared.store.revision();
        let applied = remote.provider.apply(&self.cx(), &mutation).await?;
        let given = given(&mutation, applied.row.as_ref()).filter(|given| *given != key);
        let (Some(given), Some(sent), Some(answer)) = (given, &row, &applied.row) else {
            return self.store_written(schema, key, None, row, applied.row, (wipes, asked)).await;
        };
        let sent = overlaid(schema, &**sent, answer)?;
        self.store_written(schema, given, Some(key), Some(sent), applied.row, (wipes, asked)).await
    }

    /// Stores what the remote has accepted; the row leaves its `former` key. What was written here while the remote was
    /// asked stays, and goes its own way.
    async fn store_written(
        &self,
        schema: &'static Schema,
        key: Key,
        former: Option<Key>,
        sent: Option<Arc<dyn Row>>,
        mut answer: Option<PageRow>,
        (wipes, asked): (u64, u64),
    ) -> Result<Key> {
        for _ in 0..ATTEMPTS {
            let stored = self.shared.store.load(&self.cx(), schema, &key).await?;
            let (revision, meta) =
                stored.map_or((0, None), |stored| (stored.meta.revision, Some(stored.meta)));
            if meta.as_ref().is_some_and(|meta| meta.tail != 0) {
                return Ok(key);
            }
            let mut left = None;
            if let Some(former) = &former {
                let stored = self.shared.store.load(&self.cx(), schema, former).await?;
                let free = stored.is_none_or(|stored| stored.meta.tail == 0);
                left = free.then(|| Rename { schema, from: former.clone(), to: key.clone() });
            }
            let op = match &sent {
                None => Ok(Op::Remove { schema, key: key.clone() }),
                Some(sent) => {
                    accepted_put(schema, key.clone(), Arc::clone(sent), meta, answer.as_ref(), self.now())
                }
            };
            let expect = vec![Expect::Row { schema, key: key.clone(), revision }];
            let committed = match op {
                Ok(op) => {
                    let mut batch = Batch { expect, ops: vec![op] };
                    self.leave(&mut batch, left).await?;
                    let since = Since { revision: asked, own: &[], touches: None, now: self.now() };
                    let acts = &self.remote()?.acts;
                    // Held for no longer than it takes to store what is known.
                    let _alone = acts.marking.lock().await;
                    let brought = take_brought(&mut batch, answer.as_ref(), acts, since, true).await?;
                    let _telling = self.shared.fates.telling();
                    let committed = self.commit_fetched(batch, wipes).await;
                    if let Ok(CommitOutcome::Committed(_)) = &committed {
                        self.tell_rebased(&brought.unwrap_or_default())?;
                    }
                    committed
                }
                Err(error) => Err(error),
            };
            match committed {
                Ok(CommitOutcome::Committed(_)) => return Ok(key),
                Ok(CommitOutcome::Stale) => {}
                // The remote has accepted, whatever it said about it.
                Err(error) if answer.is_some() && !is_of_the_medium(&error) => {
                    tracing::warn!(%error, "the remote accepted, and its answer can't be stored: it is left out");
                    answer = None;
                }
                Err(error) => return Err(error),
            }
        }
        Err(moving())
    }
}

impl Repository {
    /// Adds that a row leaves its former key, and that what names it learns the new one.
    async fn leave(&self, batch: &mut Batch, left: Option<Rename>) -> Result<()> {
        let Some(rename) = left else { return Ok(()) };
        batch.ops.push(Op::Remove { schema: rename.schema, key: rename.from.clone() });
        let named = self.remote()?.acts.named(rename).await?;
        self.shared.given.note(&named.renames);
        exchange::followed(batch, named, self.now())
    }
}

/// It is not the data that is at fault.
fn is_of_the_medium(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Storage | ErrorKind::Full | ErrorKind::Corrupt | ErrorKind::Cancelled)
}

/// The key that the remote has given to a row that had none there.
fn given(mutation: &Mutation, answer: Option<&PageRow>) -> Option<Key> {
    let temporary = mutation.schema.key.kind == KeyKind::Server && mutation.operation == Operation::Insert;
    answer.filter(|_| temporary).and_then(|answer| mutation.schema.key_of(&*answer.row).ok())
}

/// The row that was sent, with what the remote answered on top.
fn accepted_put(
    schema: &'static Schema,
    key: Key,
    sent: Arc<dyn Row>,
    meta: Option<Meta>,
    answer: Option<&PageRow>,
    now: larder_core::Timestamp,
) -> Result<Op> {
    let before = meta.and_then(|meta| meta.extra);
    let (row, version, extra): (Arc<dyn Row>, _, _) = match answer {
        None => (sent, None, before),
        Some(answer) => {
            let row = overlaid(schema, &*sent, answer)?;
            if schema.key_of(&*row)? != key {
                let what = "the remote answered with a row of another key";
                return Err(Error::new(ErrorKind::Serialization, what).model(schema.model).key(&key));
            }
            (row, answer.meta.version.clone(), answer.meta.extra.clone().or(before))
        }
    };
    let sync = SyncState { state: RowState::Synced, since: now };
    let meta = Meta { revision: 0, tail: 0, sync, version, extra };
    Ok(Op::Put { schema, key, row, meta, tail: Tail::At(0) })
}

/// Asks the application's own checks, before anything is stored.
fn validate(change: &Change) -> Result<()> {
    match &change.write {
        Write::Put(row) => change.schema.validate(&**row),
        Write::Delete => Ok(()),
    }
}

/// Refuses what the remote does not take, before anything is stored.
fn permit(remote: &Remote, operation: Operation) -> Result<()> {
    remote.provider.capabilities().permit(operation, remote.provider.name())
}

pub(super) fn moving() -> Error {
    Error::new(ErrorKind::Conflict, "the row was written by somebody else again and again")
}
