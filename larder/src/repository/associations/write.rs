//! Carries plans out: one transaction, one notification.

use std::collections::HashMap;
use std::sync::Arc;

use larder_core::{
    Error, ErrorKind, Expect, Key, Model, Result, Row, RuntimeExt, Schema, WritePolicy, async_trait,
};

use super::super::Repository;
use super::super::stored::{Deleted, Stored};
use super::super::write::{ATTEMPTS, Written, moving};
use super::ground::{Committed, Ground};
use super::plan::Plan;
use super::save::Root;
use crate::engine::enqueue::Write;

/// What is to be planned, on whatever is stored at the time.
#[async_trait]
trait Intention: Sync {
    async fn plan(&self, repo: &Repository, ground: &mut dyn Ground) -> Result<Plan>;
}

/// Rows that are saved, each with what it carries.
struct Saving<'a, M> {
    schema: &'static Schema,
    rows: Vec<Given<'a, M>>,
}

/// A row as the application gave it, and as it is stored.
struct Given<'a, M> {
    key: Key,
    given: &'a M,
    row: Arc<M>,
}

impl<'a, M: Model> Saving<'a, M> {
    /// Of two rows with one key, the later one counts.
    fn of(schema: &'static Schema, given: &[&'a M]) -> Result<Self> {
        let mut rows: std::collections::BTreeMap<Key, &'a M> = std::collections::BTreeMap::new();
        for model in given {
            rows.insert(model.key()?, model);
        }
        let row = |(key, given): (Key, &'a M)| Ok(Given { key, given, row: Arc::new(M::from_row(given)?) });
        Ok(Self { schema, rows: rows.into_iter().map(row).collect::<Result<_>>()? })
    }
}

#[async_trait]
impl<M: Model> Intention for Saving<'_, M> {
    async fn plan(&self, repo: &Repository, ground: &mut dyn Ground) -> Result<Plan> {
        let mut roots = Vec::with_capacity(self.rows.len());
        for Given { key, given, row } in &self.rows {
            let row: Arc<dyn Row> = Arc::<M>::clone(row);
            roots.push(Root { schema: self.schema, key: key.clone(), row, given: *given });
        }
        super::save(ground, &repo.shared.referrers, &|| repo.shared.runtime.uuid(), roots).await
    }
}

/// Rows that are deleted.
struct Deleting(Vec<(&'static Schema, Key)>);

#[async_trait]
impl Intention for Deleting {
    async fn plan(&self, repo: &Repository, ground: &mut dyn Ground) -> Result<Plan> {
        let mut plan = Plan::default();
        let mut doomed = Vec::with_capacity(self.0.len());
        for (schema, key) in &self.0 {
            doomed.push((*schema, repo.current(schema, key.clone()).await?));
        }
        super::delete(&mut plan, ground, &repo.shared.referrers, doomed).await?;
        Ok(plan)
    }
}

/// A plan that was carried out.
struct CarriedOut {
    written: Written,
    /// Where each row is among the changes.
    places: HashMap<(&'static str, Key), usize>,
    /// Which of the changes are deletions.
    deletions: Vec<bool>,
}

impl Repository {
    /// Stores rows together with what they carry, in one transaction. With expectations of the caller's own, `None`
    /// says that they don't hold.
    pub(in super::super) async fn store_related<M: Model>(
        &self,
        schema: &'static Schema,
        given: &[&M],
        expect: Vec<Expect>,
    ) -> Result<Option<Vec<Stored<M>>>> {
        if self.options.write == WritePolicy::RequireRemote {
            return Err(together("upsert"));
        }
        let saving = Saving::of(schema, given)?;
        let Some(CarriedOut { mut written, places, .. }) = self.carry_out(&saving, expect).await? else {
            return Ok(None);
        };
        let mut stored = Vec::with_capacity(saving.rows.len());
        for Given { key, row, .. } in saving.rows {
            let place = places.get(&(schema.model, key));
            let awaited = place.and_then(|place| written.changes[*place].1.take());
            let row = match place.and_then(|place| written.moved.get(place)) {
                Some(key) => self.find_stored(schema, key).await?.unwrap_or(row),
                None => row,
            };
            stored.push(Stored::new(row, self, awaited));
        }
        // What waits for the first one waits for the related rows as well.
        if let Some(first) = stored.first_mut() {
            first.wait_for(written.changes.into_iter().filter_map(|(_, awaited)| awaited));
        }
        Ok(Some(stored))
    }

    /// Deletes rows, and does to those that refer to them what their references say.
    pub(in super::super) async fn delete_related(
        &self,
        schema: &'static Schema,
        keys: Vec<Key>,
        expect: Vec<Expect>,
    ) -> Result<Option<Deleted>> {
        let deleting = Deleting(keys.into_iter().map(|key| (schema, key)).collect());
        let carried_out = self.carry_out(&deleting, expect).await?;
        Ok(carried_out.map(|CarriedOut { written, deletions, .. }| {
            let gone = written
                .changes
                .iter()
                .zip(&deletions)
                .filter(|((changed, _), deletion)| *changed && **deletion);
            let count = gone.count();
            Deleted::new(count, written.changes.into_iter().filter_map(|(_, awaited)| awaited).collect())
        }))
    }

    /// Whether deleting these rows does something to others, or is refused because of them.
    ///
    /// # Errors
    /// `Conflict` if one of them can't be deleted; `Unsupported` if others would have to be written.
    pub(in super::super) async fn delete_alone(&self, schema: &'static Schema, keys: &[Key]) -> Result<()> {
        if !self.shared.referrers.any(schema) {
            return Ok(());
        }
        let deleting = Deleting(keys.iter().map(|key| (schema, key.clone())).collect());
        let plan = deleting.plan(self, &mut Committed::new(self, Vec::new())).await?;
        let alone =
            plan.into_changes()?.iter().all(|change| change.schema == schema && keys.contains(&change.key));
        if alone { Ok(()) } else { Err(together("delete")) }
    }

    /// Plans and commits, again and again until nothing moves in between.
    async fn carry_out(&self, intention: &dyn Intention, expect: Vec<Expect>) -> Result<Option<CarriedOut>> {
        let own = !expect.is_empty();
        for _ in 0..ATTEMPTS {
            let mut ground = Committed::new(self, expect.clone());
            let changes = intention.plan(self, &mut ground).await?.into_changes()?;
            let place = |(at, change): (usize, &super::super::write::Change)| {
                ((change.schema.model, change.key.clone()), at)
            };
            let places = changes.iter().enumerate().map(place).collect();
            let deletions = changes.iter().map(|change| matches!(change.write, Write::Delete)).collect();
            if let Some(written) = self.write(changes, ground.expect).await? {
                return Ok(Some(CarriedOut { written, places, deletions }));
            }
            if own {
                return Ok(None);
            }
        }
        Err(moving())
    }
}

fn together(verb: &'static str) -> Error {
    let what = "related rows can't be written together while the remote is waited for: write them one by one, or by \
                another policy";
    Error::new(ErrorKind::Unsupported, what).during(verb)
}
