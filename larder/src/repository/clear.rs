//! Deleting a whole model, or all of it but some rows.

use std::collections::HashSet;

use larder_core::{Expect, Key, Model, Query, Result, Schema, WritePolicy};

use super::Repository;
use super::stored::Deleted;
use super::target::{Aim, Target};
use super::write::{ATTEMPTS, moving};

/// Which rows are deleted. It is no closure: what a call gives has to be `Send`.
pub(super) enum Chosen<M> {
    Aimed(Aim<M>),
    AllBut(Option<Aim<M>>),
}

impl Repository {
    /// Deletes every row of `M` that is here, as [`delete`](Self::delete) deletes one: see
    /// [`delete_all_except`](Self::delete_all_except).
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub async fn delete_all<M: Model>(&self) -> Result<Deleted> {
        self.delete_but::<M>(None).await
    }

    /// Deletes every row of `M` that is here, but those that `keep` names: a key, a list of keys, a model, or a query.
    /// Rows that only the remote has stay there.
    ///
    /// It is one transaction, with an outbox entry for each row, of the state at one moment: if the model is written
    /// meanwhile, it looks again. The transaction holds all rows that it deletes; for very many, delete by queries.
    /// Under [`WritePolicy::RequireRemote`] the remote is asked row by row, and what it accepted before it refused one
    /// stays deleted.
    ///
    /// ```
    /// # use larder::{Key, Memory, Model, Repository, Select};
    /// # #[derive(Model, Clone, Debug)]
    /// # struct Label { #[model(key)] name: String, color: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).model::<Label>().build().await?;
    /// # for (name, color) in [("bug", "red"), ("crash", "red"), ("idea", "blue")] {
    /// #     repo.upsert(&Label { name: name.into(), color: color.into() }).await?;
    /// # }
    /// assert_eq!(repo.delete_all_except::<Label>(Label::COLOR.eq("red")).await?.count(), 1);
    /// assert_eq!(repo.delete_all_except::<Label>(vec![Key::from("bug")]).await?.count(), 1);
    /// assert_eq!(repo.delete_all::<Label>().await?.count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub async fn delete_all_except<M: Model>(&self, keep: impl Target<M>) -> Result<Deleted> {
        self.delete_but(Some(keep.aim()?)).await
    }

    #[tracing::instrument(name = "larder::delete_all", skip_all, fields(model = M::schema().model))]
    async fn delete_but<M: Model>(&self, keep: Option<Aim<M>>) -> Result<Deleted> {
        let schema = self.schema::<M>()?;
        self.delete_chosen(schema, &Chosen::AllBut(keep)).await
    }

    /// Deletes the rows that are chosen, in one transaction; if the model is written meanwhile, it chooses again.
    pub(super) async fn delete_chosen<M>(
        &self,
        schema: &'static Schema,
        chosen: &Chosen<M>,
    ) -> Result<Deleted> {
        for _ in 0..ATTEMPTS {
            // Taken before the read: a write in between makes it choose again.
            let state = Expect::Model { schema, revision: self.shared.store.revision() };
            let keys = self.chosen(schema, chosen).await?;
            if self.options.write == WritePolicy::RequireRemote {
                return self.delete_through(schema, keys).await;
            }
            if let Some(deleted) = self.delete_here(schema, keys, vec![state]).await? {
                return Ok(deleted);
            }
        }
        Err(moving())
    }

    async fn chosen<M>(&self, schema: &'static Schema, chosen: &Chosen<M>) -> Result<Vec<Key>> {
        match chosen {
            Chosen::Aimed(aim) => self.aimed_at(schema, aim).await,
            Chosen::AllBut(keep) => {
                let kept: HashSet<Key> = match keep {
                    None => HashSet::new(),
                    Some(aim) => self.aimed_at(schema, aim).await?.into_iter().collect(),
                };
                let mut keys = self.keys_here(schema, &Query::all()).await?;
                keys.retain(|key| !kept.contains(key));
                Ok(keys)
            }
        }
    }

    /// The keys that are aimed at; of a query, those of the rows that are here.
    pub(super) async fn aimed_at<M>(&self, schema: &'static Schema, aim: &Aim<M>) -> Result<Vec<Key>> {
        match aim {
            Aim::Key(key) => Ok(vec![key.clone()]),
            Aim::Keys(keys) => Ok(keys.clone()),
            Aim::Select(select) => self.keys_here(schema, select.as_query()).await,
        }
    }

    /// The keys of the rows that answer here; no row is decoded.
    async fn keys_here(&self, schema: &'static Schema, query: &Query) -> Result<Vec<Key>> {
        let query = &*self.shared.given.widened(schema, query);
        if query.is_related() {
            let rows = self.rows_here(schema, query).await?.rows;
            return rows.iter().map(|stored| schema.key_of(&*stored.row)).collect();
        }
        let mut keys = Vec::new();
        let now = self.shared.store.read_now(schema, query, &mut |_, row| {
            keys.push(schema.key_of(row)?);
            Ok(())
        })?;
        if now {
            return Ok(keys);
        }
        let page = self.shared.store.get(&self.cx(), schema, query).await?;
        page.rows.iter().map(|stored| schema.key_of(&*stored.row)).collect()
    }
}
