//! Several writes as one: all or nothing, and one notification.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use larder_core::association::{Lookup, answer};
use larder_core::provider::{Done, PageRow};
use larder_core::{
    Batch, CommitOutcome, Error, ErrorKind, Expect, Key, Meta, Model, Query, Result, Row, RuntimeExt, Schema,
    Select, Timestamp, async_trait,
};
use tokio::sync::oneshot;

use super::Repository;
use super::associations::{self, Ground, Plan, Root, Source};
use super::nesting::Within;
use super::target::{Aim, Target};
use super::write::Change;
use crate::engine::enqueue::Write;

/// How often a transaction is run again because what it read has moved.
const ATTEMPTS: usize = 1_000;

/// The inside of [`Repository::transaction`]: reads its own writes and the committed state.
pub struct Transaction<'a> {
    repo: &'a Repository,
    expect: Vec<Expect>,
    /// The last write of each row.
    writes: BTreeMap<(&'static str, Key), Pending>,
}

/// A write that is not committed yet.
struct Pending {
    /// Writes reach the outbox in the order in which they were made first.
    place: usize,
    schema: &'static Schema,
    /// `None` for a delete.
    row: Option<Arc<dyn Row>>,
    /// The row in whose request it goes.
    within: Option<Within>,
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("writes", &self.writes.len()).finish_non_exhaustive()
    }
}

impl Repository {
    /// Runs `work` and commits what it wrote, in one transaction; gives what `work` gave. `work` is synchronous and
    /// runs off the asynchronous threads; it is run again if what it read has moved meanwhile. If it fails, nothing
    /// is written.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository};
    /// # #[derive(Model, Debug)]
    /// # struct Account { #[model(key)] name: String, cents: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).model::<Account>().build().await?;
    /// # for (name, cents) in [("ada", 100), ("bob", 0)] {
    /// #     repo.upsert(&Account { name: name.into(), cents }).await?;
    /// # }
    /// repo.transaction(|tx| {
    ///     for (name, cents) in [("ada", -30), ("bob", 30)] {
    ///         let account = tx.find::<Account>(name)?.expect("both exist");
    ///         tx.upsert(&Account { name: name.into(), cents: account.cents + cents })?;
    ///     }
    ///     Ok(())
    /// })
    /// .await?;
    /// assert_eq!(repo.find::<Account>("bob").await?.expect("it exists").cents, 30);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `work` returns; else as [`upsert`](Self::upsert).
    pub async fn transaction<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Transaction<'_>) -> Result<T> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        for _ in 0..ATTEMPTS {
            let (done, ran) = oneshot::channel();
            let (repo, work) = (self.clone(), Arc::clone(&work));
            let run = move || {
                let mut tx = Transaction { repo: &repo, expect: Vec::new(), writes: BTreeMap::new() };
                let value = work(&mut tx);
                let Transaction { expect, writes, .. } = tx;
                // The caller may have stopped waiting.
                let _ = done.send(value.map(|value| (value, expect, writes)));
            };
            self.shared.runtime.blocking("larder transaction", Box::new(run));
            let panicked = |_| Error::new(ErrorKind::Cancelled, "the transaction's closure panicked");
            let (value, expect, writes) = ran.await.map_err(panicked)??;
            // One read is of one state; several must be.
            if writes.is_empty() {
                let torn = expect.len() > 1 && {
                    let batch = Batch { expect, ops: Vec::new() };
                    self.shared.store.commit(&self.cx(), batch).await? == CommitOutcome::Stale
                };
                if torn {
                    continue;
                }
                return Ok(value);
            }
            let mut writes: Vec<_> = writes.into_iter().collect();
            writes.sort_by_key(|(_, pending)| pending.place);
            let change = |((_, key), Pending { schema, row, within, .. })| {
                let write = row.map_or(Write::Delete, Write::Put);
                Change { schema, key, write, within }
            };
            let changes = writes.into_iter().map(change).collect();
            if self.write(changes, expect).await?.is_some() {
                return Ok(value);
            }
        }
        Err(Error::new(ErrorKind::Conflict, "what the transaction reads was written again and again"))
    }
}

impl Transaction<'_> {
    /// The row with this key.
    ///
    /// # Errors
    /// As [`Repository::find`], without the remote's.
    pub fn find<M: Model>(&mut self, key: impl Into<Key>) -> Result<Option<Arc<M>>> {
        let row = self.row_of(self.repo.schema::<M>()?, key.into())?;
        row.map(|row| M::from_row(&*row)).transpose().map(|row| row.map(Arc::new))
    }

    fn row_of(&mut self, schema: &'static Schema, key: Key) -> Result<Option<Arc<dyn Row>>> {
        if let Some(Pending { row, .. }) = self.writes.get(&(schema.model, key.clone())) {
            return Ok(row.clone());
        }
        let store = &self.repo.shared.store;
        let key = block_on(self.repo.current(schema, key))?;
        if let Some(Pending { row, .. }) = self.writes.get(&(schema.model, key.clone())) {
            return Ok(row.clone());
        }
        let stored = block_on(store.load(&self.repo.cx(), schema, &key))?;
        let revision = stored.as_ref().map_or(0, |stored| stored.meta.revision);
        self.expect.push(Expect::Row { schema, key, revision });
        Ok(stored.and_then(|stored| stored.row))
    }

    /// The rows that answer `query`.
    ///
    /// # Errors
    /// As [`Repository::get`], without the remote's.
    pub fn get<M: Model>(&mut self, query: impl Into<Select<M>>) -> Result<Vec<Arc<M>>> {
        let schema = self.repo.schema::<M>()?;
        let select = query.into();
        let rows = self.rows(schema, select.as_query())?;
        let rows = rows.iter().map(|stored| M::from_row(&*stored.row).map(Arc::new));
        let mut rows: Vec<Arc<M>> = rows.collect::<Result<_>>()?;
        if !select.includes().is_empty() {
            block_on(associations::load_typed(self, schema, &mut rows, select.includes()))?;
        }
        Ok(rows)
    }

    fn rows(&mut self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        // What is asked of related rows sees the transaction's own writes as well.
        Ok(block_on(answer(self, schema, query))?.rows)
    }

    fn rows_of_one(&mut self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        let store = &self.repo.shared.store;
        // Taken before the read: a write in between makes the transaction run again.
        self.expect.push(Expect::Model { schema, revision: store.revision() });
        let query = &*self.repo.shared.given.widened(schema, query);
        let mut rows = block_on(store.get(&self.repo.cx(), schema, &query.unlimited()))?.rows;
        let own = |key: &Key| self.writes.contains_key(&(schema.model, key.clone()));
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            if !own(&schema.key_of(&*row.row)?) {
                kept.push(row);
            }
        }
        let written = self.writes.values().filter(|pending| pending.schema.model == schema.model);
        let row = |pending: &Pending| {
            pending.row.clone().map(|row| PageRow::new(Meta::synced(Timestamp::UNIX_EPOCH), row))
        };
        kept.extend(written.filter_map(row));
        query.finish(schema, Done::default(), kept)
    }

    /// Stores `model`, new or not.
    ///
    /// # Errors
    /// `Invalid` if the model is not registered, or one of its own checks refuses it; `Serialization` if it has no key.
    pub fn upsert<M: Model>(&mut self, model: &M) -> Result<()> {
        let schema = self.repo.schema::<M>()?;
        schema.validate(model)?;
        let (key, row): (_, Arc<dyn Row>) = (model.key()?, Arc::new(M::from_row(model)?));
        if !associations::carries(schema, model) {
            self.note(schema, key, Some(row));
            return Ok(());
        }
        let repo = self.repo;
        let mint = || repo.shared.runtime.uuid();
        let roots = vec![Root { schema, key, row, given: model }];
        let plan = block_on(associations::save(self, &repo.shared.referrers, &mint, roots))?;
        self.note_all(plan)
    }

    fn note_all(&mut self, plan: Plan) -> Result<()> {
        for Change { schema, key, write, within } in plan.into_changes()? {
            let row = if let Write::Put(row) = write { Some(row) } else { None };
            self.note(schema, key, row).within = within;
        }
        Ok(())
    }

    fn note(&mut self, schema: &'static Schema, key: Key, row: Option<Arc<dyn Row>>) -> &mut Pending {
        let place = self.writes.len();
        let new = Pending { place, schema, row: None, within: None };
        let pending = self.writes.entry((schema.model, key)).or_insert(new);
        pending.row = row;
        pending
    }

    /// Deletes by key, by model or by query.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn delete<M: Model>(&mut self, target: impl Target<M>) -> Result<()> {
        let schema = self.repo.schema::<M>()?;
        let keys = match target.aim()? {
            Aim::Key(key) => vec![key],
            Aim::Keys(keys) => keys,
            Aim::Select(select) => {
                let rows = self.rows(schema, select.as_query())?;
                rows.iter().map(|row| schema.key_of(&*row.row)).collect::<Result<_>>()?
            }
        };
        let repo = self.repo;
        if repo.shared.referrers.any(schema) {
            let mut plan = Plan::default();
            let doomed = keys.into_iter().map(|key| (schema, key)).collect();
            block_on(associations::delete(&mut plan, self, &repo.shared.referrers, doomed))?;
            return self.note_all(plan);
        }
        for key in keys {
            self.note(schema, key, None);
        }
        Ok(())
    }
}

#[async_trait]
impl Lookup for Transaction<'_> {
    async fn rows(&mut self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        self.rows_of_one(schema, query)
    }
}

impl Source for Transaction<'_> {}

#[async_trait]
impl Ground for Transaction<'_> {
    async fn row(&mut self, schema: &'static Schema, key: &Key) -> Result<Option<Arc<dyn Row>>> {
        self.row_of(schema, key.clone())
    }
}

/// Waits for a store on a thread that may block.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}
