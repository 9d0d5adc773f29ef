//! Coverage: which queries the remote has answered completely, and when.
//!
//! Each known query has a cursor of its own in the store, written in the transaction that ends its fetch; a list of
//! them stands beside, per model, so that a query can be found in the answer to another. A query that is in the list
//! and has no cursor is not known: the cursors decide.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use larder_core::{Batch, Error, ErrorKind, Model, Op, Query, Result, Schema, Select, Timestamp};

use super::Repository;
use crate::coverage::{includes, remembered};

/// How many queries of one model are remembered; of more, those that became known first are forgotten.
const MOST: usize = 128;

/// A list as it is written, and what it says.
type List = (String, Arc<Vec<Query>>);

/// The lists as they were last read, and the turn to change them.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) changing: tokio::sync::Mutex<()>,
    lists: Mutex<HashMap<&'static str, List>>,
}

impl Known {
    /// The queries of a list. Those that today's application can't read are left out.
    fn list(&self, schema: &Schema, written: Option<String>) -> Arc<Vec<Query>> {
        let Some(written) = written else { return Arc::default() };
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, list)) = lists.get(schema.model).filter(|(known, _)| *known == written) {
            return Arc::clone(list);
        }
        let texts: Vec<String> = serde_json::from_str(&written).unwrap_or_default();
        let list = texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        let list = Arc::new(list);
        lists.insert(schema.model, (written, Arc::clone(&list)));
        list
    }
}

impl Repository {
    /// When the remote last answered this query completely, or one that includes it; `None` if it is not known. For a
    /// single key it is the time at which its row came, was confirmed, or was written here, if that is later.
    ///
    /// A known query includes another if it has no limit and the other's condition implies its own (a part of the
    /// conditions, a narrower range, fewer values, fewer keys), or if they differ in the limit alone and the known one
    /// goes as far.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository, Select};
    /// # #[derive(Model, Clone, Debug)]
    /// # struct Label { #[model(key)] name: String, color: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Label>().build().await?;
    /// repo.get(Label::COLOR.is_in(["red", "blue"])).await?;
    /// assert!(repo.coverage(Label::COLOR.eq("red").limit(10)).await?.is_some());
    /// assert!(repo.coverage(Select::<Label>::all()).await?.is_none());
    ///
    /// repo.forget(Label::COLOR.eq("red")).await?;
    /// assert!(repo.coverage(Label::COLOR.eq("red")).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the model is not registered; `Storage` or `Corrupt`.
    pub async fn coverage<M: Model>(&self, query: impl Into<Select<M>>) -> Result<Option<Timestamp>> {
        let (schema, query) = (self.schema::<M>()?, query.into().into_query());
        query.check(schema)?;
        self.known_since(schema, &query).await
    }

    /// Forgets that this query is known, and every query that includes it or is included in it. Rows stay; what the
    /// policy wants to know it fetches again.
    ///
    /// # Errors
    /// `Invalid` if the model is not registered; `Storage` or `Full`.
    pub async fn forget<M: Model>(&self, query: impl Into<Select<M>>) -> Result<()> {
        let (schema, query) = (self.schema::<M>()?, query.into().into_query());
        query.check(schema)?;
        let query = remembered(&answerable(&query.widened()));
        let _turn = self.shared.known.changing.lock().await;
        let list = self.known_queries(schema).await?;
        let touched = |known: &Query| includes(schema, known, &query) || includes(schema, &query, known);
        let (gone, kept): (Vec<&Query>, Vec<&Query>) = list.iter().partition(|known| touched(known));
        let mut ops = vec![Op::Cursor { scope: scope(schema, &query)?, value: None }];
        for known in gone {
            ops.push(Op::Cursor { scope: scope(schema, known)?, value: None });
        }
        ops.push(written_list(schema, kept)?);
        self.shared.store.commit(&self.cx(), Batch { expect: Vec::new(), ops }).await?;
        Ok(())
    }

    /// When the remote last answered `query` completely, or a query that includes it; of one that asks something of
    /// related rows, when it last answered all that it takes.
    pub(super) async fn known_since(
        &self,
        schema: &'static Schema,
        query: &Query,
    ) -> Result<Option<Timestamp>> {
        let query = &*self.shared.given.renewed(schema, query);
        if query.is_related() {
            return Box::pin(self.parts_known_since(schema, query)).await;
        }
        self.known_since_alone(schema, query).await
    }

    pub(super) async fn known_since_alone(
        &self,
        schema: &'static Schema,
        query: &Query,
    ) -> Result<Option<Timestamp>> {
        let mut newest = None;
        if let Some(key) = query.as_key() {
            let stored = self.shared.store.load(&self.cx(), schema, key).await?;
            newest = stored.map(|stored| stored.meta.sync.since);
        }
        let doubted = self.doubted(schema).await?;
        let query = remembered(&answerable(query));
        let own = self.shared.store.cursor(&self.cx(), &scope(schema, &query)?).await?;
        newest = newest.max(own.and_then(|known| read_coverage(&known, doubted)));
        for known in self.known_queries(schema).await?.iter() {
            if *known != query && includes(schema, known, &query) {
                let noted = self.shared.store.cursor(&self.cx(), &scope(schema, known)?).await?;
                newest = newest.max(noted.and_then(|known| read_coverage(&known, doubted)));
            }
        }
        Ok(newest)
    }

    async fn known_queries(&self, schema: &'static Schema) -> Result<Arc<Vec<Query>>> {
        let written = self.shared.store.cursor(&self.cx(), &list_scope(schema)).await?;
        Ok(self.shared.known.list(schema, written))
    }

    /// What the last complete answer to `query` is called, as far as it is still known.
    pub(super) async fn tag(&self, schema: &'static Schema, query: &Query) -> Result<Option<String>> {
        let doubted = self.doubted(schema).await?;
        let known = self.shared.store.cursor(&self.cx(), &scope(schema, &remembered(query))?).await?;
        Ok(known.and_then(|known| {
            read_coverage(&known, doubted)?;
            Some(known.splitn(3, '/').nth(2)?.to_owned())
        }))
    }

    /// Up to which revision nothing is known of the model any more.
    async fn doubted(&self, schema: &'static Schema) -> Result<u64> {
        let doubted = self.shared.store.cursor(&self.cx(), &doubt(schema)).await?;
        Ok(doubted.and_then(|revision| revision.parse().ok()).unwrap_or(0))
    }

    /// What is to be stored to remember that `query` was answered `at` that time, from the state `revision`, by the
    /// answer that is called `tag`. The caller has the turn to change the list until it is stored.
    pub(super) async fn covered(
        &self,
        schema: &'static Schema,
        query: &Query,
        at: Timestamp,
        revision: u64,
        tag: Option<&str>,
    ) -> Result<Vec<Op>> {
        let query = remembered(query);
        let mut value = format!("{}/{revision}", at.as_microsecond());
        if let Some(tag) = tag {
            value = format!("{value}/{tag}");
        }
        let mut ops = vec![Op::Cursor { scope: scope(schema, &query)?, value: Some(value) }];
        let list = self.known_queries(schema).await?;
        if !list.contains(&query) {
            let first = (list.len() + 1).saturating_sub(MOST);
            for old in &list[..first] {
                ops.push(Op::Cursor { scope: scope(schema, old)?, value: None });
            }
            ops.push(written_list(schema, list[first..].iter().chain([&query]))?);
        }
        Ok(ops)
    }
}

/// The query whose answer lets `query` be answered locally: what comes before its window as well. An order without a
/// limit takes nothing away. A query that begins at a place in its order asks for all of it: how many rows come before
/// the place is not known.
pub(super) fn answerable(query: &Query) -> Query {
    let limit = query.limit.filter(|_| query.after.is_none());
    let limit = limit.map(|limit| limit.saturating_add(query.offset));
    // How the store finds its rows is nothing to the remote.
    Query { limit, deny_scan: false, ..query.unlimited() }
}

/// The name under which it is noted up to which revision nothing is known of the model any more.
pub(super) fn doubt(schema: &Schema) -> String {
    format!("doubt/{}/{}", schema.model, schema.version)
}

/// The name under which it is noted that a query is known.
fn scope(schema: &Schema, query: &Query) -> Result<String> {
    Ok(format!("known/{}/{}/{}", schema.model, schema.version, text(query)?))
}

/// The name under which the known queries of a model are listed.
fn list_scope(schema: &Schema) -> String {
    format!("coverage/{}/{}", schema.model, schema.version)
}

fn text(query: &Query) -> Result<String> {
    serde_json::to_string(query)
        .map_err(|error| Error::new(ErrorKind::Invalid, "the query can't be written down").because(error))
}

/// Each query is a text of its own: one that can't be read spoils no other.
fn written_list<'a>(schema: &Schema, queries: impl IntoIterator<Item = &'a Query>) -> Result<Op> {
    let texts = queries.into_iter().map(text).collect::<Result<Vec<_>>>()?;
    let value = serde_json::to_string(&texts).unwrap_or_default();
    Ok(Op::Cursor { scope: list_scope(schema), value: Some(value) })
}

/// When the answer was given that is noted as `known` (`time/revision`, or `time/revision/tag`), unless that was before the revision `doubted`.
fn read_coverage(known: &str, doubted: u64) -> Option<Timestamp> {
    let mut parts = known.splitn(3, '/');
    let (micros, revision) = (parts.next()?, parts.next()?);
    let valid = revision.parse::<u64>().is_ok_and(|revision| revision >= doubted);
    valid.then(|| Timestamp::from_microsecond(micros.parse().ok()?).ok()).flatten()
}
