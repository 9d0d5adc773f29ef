//! Deletion by absence: what is here, was not written since, and did not come in a complete answer.

use std::collections::HashSet;

use larder_core::query::Position;
use larder_core::{Batch, CommitOutcome, Expect, Key, Op, Query, Result, RowState, Schema};

use super::page::Asked;
use super::seen::Seen;
use crate::repository::Repository;

/// How many rows are looked at by one query of the store.
const LOOK: u64 = 1_024;
/// How many rows that may be gone are held at a time.
const SUSPECTS: usize = 8_192;
/// How many rows go in one transaction.
const TOGETHER: usize = 1_024;
/// How often a piece is tried whose rows are written meanwhile.
const ATTEMPTS: usize = 8;

/// What is stored together with rows that go: how far it has come is the last key that was looked at.
pub(in crate::repository) type Trace<'a> = &'a (dyn Fn(Option<&Key>) -> Result<Vec<Op>> + Send + Sync);

/// Rows that may be gone, by key, with their revisions, of a stretch of the keys.
#[derive(Default)]
struct Stretch {
    suspects: Vec<(Key, u64)>,
    last: Option<Key>,
    rows: u64,
}

impl Repository {
    /// Removes the rows of `scope` that are here and were not seen, from the key `after` on, unless something is pending
    /// for them, they were never sent, or they were written after the remote was asked. Gives how many.
    pub(in crate::repository) async fn sweep(
        &self,
        schema: &'static Schema,
        scope: &Query,
        seen: &Seen,
        asked: &Asked,
        mut after: Option<Key>,
        trace: Trace<'_>,
    ) -> Result<u64> {
        let mut removed = 0;
        loop {
            let stretch = self.stretch(schema, scope, after.take(), asked.started).await?;
            let keys: HashSet<Key> = stretch.suspects.iter().map(|(key, _)| key.clone()).collect();
            let missing = match keys.is_empty() {
                true => keys,
                false => seen.missing(&*self.shared.store, schema, keys).await?,
            };
            let mut gone = stretch.suspects;
            gone.retain(|(key, _)| missing.contains(key));
            for piece in gone.chunks(TOGETHER) {
                let last = piece.last().map(|(key, _)| key);
                removed += self.remove(schema, piece.to_vec(), asked, trace(last)?).await?;
            }
            match stretch.last {
                Some(last) => after = Some(last),
                None => return Ok(removed),
            }
        }
    }

    /// The next rows that may be gone; `last` is where to go on.
    async fn stretch(
        &self,
        schema: &'static Schema,
        scope: &Query,
        mut after: Option<Key>,
        started: u64,
    ) -> Result<Stretch> {
        let mut suspects = Vec::new();
        loop {
            let after_here = after.take().map(|key| Box::new(Position { values: Vec::new(), key }));
            let query = Query { after: after_here, limit: Some(LOOK), ..scope.clone() };
            let looked: Stretch = self
                .lent(schema, &query, move |stretch: &mut Stretch, meta, row| {
                    let key = schema.key_of(row)?;
                    let settled = meta.sync.state == RowState::Synced && meta.tail == 0;
                    if settled && meta.revision <= started {
                        stretch.suspects.push((key.clone(), meta.revision));
                    }
                    (stretch.last, stretch.rows) = (Some(key), stretch.rows + 1);
                    Ok(())
                })
                .await?;
            suspects.extend(looked.suspects);
            if looked.rows < LOOK {
                return Ok(Stretch { suspects, ..Stretch::default() });
            }
            if suspects.len() >= SUSPECTS {
                return Ok(Stretch { suspects, last: looked.last, rows: 0 });
            }
            after = looked.last;
        }
    }

    /// Removes these rows in one transaction, those that have moved meanwhile excepted.
    async fn remove(
        &self,
        schema: &'static Schema,
        mut gone: Vec<(Key, u64)>,
        asked: &Asked,
        trace: Vec<Op>,
    ) -> Result<u64> {
        for _ in 0..ATTEMPTS {
            let expect =
                |(key, revision): &(Key, u64)| Expect::Row { schema, key: key.clone(), revision: *revision };
            let mut ops: Vec<Op> =
                gone.iter().map(|(key, _)| Op::Remove { schema, key: key.clone() }).collect();
            ops.extend(trace.iter().cloned());
            let batch = Batch { expect: gone.iter().map(expect).collect(), ops };
            if let CommitOutcome::Committed(_) = self.commit_fetched(batch, asked.wipes).await? {
                return Ok(gone.len() as u64);
            }
            let mut stayed = Vec::with_capacity(gone.len());
            for (key, revision) in gone {
                let stored = self.shared.store.load(&self.cx(), schema, &key).await?;
                if stored.is_some_and(|stored| stored.meta.revision == revision) {
                    stayed.push((key, revision));
                }
            }
            gone = stayed;
            if gone.is_empty() {
                return Ok(0);
            }
        }
        // They are left to the next pull.
        Ok(0)
    }
}
