//! Rows that did not come, of an answer whose pages may have moved under it: each is asked for by itself, and goes if the
//! remote says that it is gone.
//!
//! Where others delete a row of a page that has been read, a list that goes on by numbers skips one that is still to come.

use futures_util::stream::{self, StreamExt};
use larder_core::query::plan::Served;
use larder_core::runtime::BoxFuture;
use larder_core::{Key, Query, Result, Schema};

use super::run::Run;
use super::state::{Remark, Strays};
use super::sweep::Swept;
use crate::repository::Repository;

/// How many rows are asked for at a time.
const AT_A_TIME: usize = 8;
/// After how many it is looked whether to stop.
const TOGETHER: usize = 64;

impl Repository {
    /// Asks for rows by their keys, some at a time; what comes is stored, and what is gone is removed. Boxed, because a
    /// fetch whose pages may have moved asks for rows by their keys.
    pub(in crate::repository) fn ask_each(
        &self,
        schema: &'static Schema,
        keys: Vec<Key>,
    ) -> BoxFuture<'_, Vec<(Key, Result<()>)>> {
        let ask = move |key: Key| async move {
            let outcome = self.fetch_alone(schema, &Query::key(key.clone())).await;
            (key, outcome)
        };
        Box::pin(stream::iter(keys).map(ask).buffered(AT_A_TIME).collect())
    }

    /// Whether the remote can be asked for this row and no other.
    pub(in crate::repository) fn is_askable_by_key(
        &self,
        schema: &'static Schema,
        key: &Key,
    ) -> Result<bool> {
        let plan = self.remote()?.provider.explain(schema, &Query::key(key.clone()));
        let judged = |served: &Served| matches!(served, Served::Residual | Served::Unindexed);
        Ok(plan.is_ok_and(|plan| !plan.conditions.iter().any(|condition| judged(&condition.served))))
    }
}

impl Run<'_, '_> {
    /// Asks for the rows that are in doubt, and gives those that are to be asked for again; `None` if it is time to stop.
    pub(super) async fn doubt(&mut self, swept: Swept) -> Result<Option<Strays>> {
        let (repo, schema, mut left) = (self.repo, self.schema, Strays::default());
        let model = schema.model;
        let Some(first) = swept.doubted.first() else { return Ok(Some(left)) };
        if !repo.is_askable_by_key(schema, first)? {
            let (rows, more) = (swept.doubted.len() as u64, swept.more);
            self.pulled.remarks.push(Remark::Doubted { model, rows, more });
            return Ok(Some(left));
        }
        for keys in swept.doubted.chunks(TOGETHER) {
            if self.is_spent() {
                return Ok(None);
            }
            let Some(again) = self.ask_again(keys.to_vec()).await? else { return Ok(None) };
            left = left.and(&again);
            for key in keys {
                let gone = repo.shared.store.load(&repo.cx(), schema, key).await?.is_none();
                self.pulled.changed += u64::from(gone);
            }
        }
        // The rest comes into doubt again when everything is pulled again.
        left.lost |= swept.more;
        Ok(Some(left))
    }
}
