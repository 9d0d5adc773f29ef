//! Deletion by absence: what is here, was not written since, and did not come in a complete answer.

use std::collections::HashSet;

use larder_core::query::Position;
use larder_core::{Batch, CommitOutcome, Expect, Key, Op, Predicate, Query, Result, RowState, Schema};

use super::page::Asked;
use super::seen::Seen;
use crate::repository::Repository;

/// How many rows are looked at by one query of the store.
const LOOK: u64 = 1_024;
/// How many rows that may be gone are held at a time.
const SUSPECTS: usize = 8_192;
/// How many rows go in one transaction.
const TOGETHER: usize = 1_024;
/// How many rows are held that are in doubt.
const DOUBTED: usize = 1_000;
/// How often a piece is tried whose rows are written meanwhile.
const ATTEMPTS: usize = 8;

/// What is stored together with rows that go: how far it has come is the last key that was looked at.
pub(in crate::repository) type Trace<'a> = &'a (dyn Fn(Option<&Key>) -> Result<Vec<Op>> + Send + Sync);

/// Rows that may be gone, by key, with their revisions, of a stretch of the keys.
#[derive(Default)]
struct Stretch {
    suspects: Vec<(Key, u64)>,
    /// Those for which something is queued.
    pending: Vec<Key>,
    last: Option<Key>,
    rows: u64,
}

/// What became of the rows that did not come.
#[derive(Debug, Default)]
pub(in crate::repository) struct Swept {
    /// How many are removed.
    pub(in crate::repository) removed: u64,
    /// Those that may be there after all, because rows may have moved between the pages.
    pub(in crate::repository) doubted: Vec<Key>,
    /// There are more of these.
    pub(in crate::repository) more: bool,
}

impl Repository {
    /// Removes the rows of `scope` that are here and were not seen, from the key `after` on, unless they were never sent,
    /// or were written after the remote was asked. What is queued for a row that is gone is put on that. Where an absence
    /// proves nothing, nothing is done to them.
    pub(in crate::repository) async fn sweep(
        &self,
        schema: &'static Schema,
        scope: &Query,
        seen: &Seen,
        asked: &Asked,
        mut after: Option<Key>,
        trace: Trace<'_>,
    ) -> Result<Swept> {
        let mut swept = Swept::default();
        // A row that was changed here may be elsewhere than where a filter looked.
        let proven = scope.filter == Predicate::All || scope.as_key().is_some();
        loop {
            let stretch = self.stretch(schema, scope, after.take(), asked.started).await?;
            let pending = stretch.pending.iter().filter(|_| proven);
            let keys = stretch.suspects.iter().map(|(key, _)| key).chain(pending);
            let keys: HashSet<Key> = keys.cloned().collect();
            let missing = match keys.is_empty() {
                true => keys,
                false => seen.missing(&*self.shared.store, schema, keys).await?,
            };
            let Stretch { suspects: mut gone, mut pending, last, .. } = stretch;
            gone.retain(|(key, _)| missing.contains(key));
            pending.retain(|key| missing.contains(key));
            if asked.unproven {
                swept.doubted.extend(gone.into_iter().map(|(key, _)| key).chain(pending));
                swept.more = swept.doubted.len() > DOUBTED;
                swept.doubted.truncate(DOUBTED);
                match last.filter(|_| !swept.more) {
                    Some(last) => after = Some(last),
                    None => return Ok(swept),
                }
                continue;
            }
            for key in &pending {
                self.rebase_gone(schema, key, asked).await?;
            }
            for piece in gone.chunks(TOGETHER) {
                let last = piece.last().map(|(key, _)| key);
                swept.removed += self.remove(schema, piece.to_vec(), asked, trace(last)?).await?;
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(swept),
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
        let (mut suspects, mut pending) = (Vec::new(), Vec::new());
        loop {
            let after_here = after.take().map(|key| Box::new(Position { values: Vec::new(), key }));
            let query = Query { after: after_here, limit: Some(LOOK), ..scope.clone() };
            let looked: Stretch = self
                .lent(schema, &query, move |stretch: &mut Stretch, meta, row| {
                    let key = schema.key_of(row)?;
                    let settled = meta.sync.state == RowState::Synced && meta.tail == 0;
                    if settled && meta.revision <= started {
                        stretch.suspects.push((key.clone(), meta.revision));
                    } else if meta.tail != 0 && meta.revision <= started {
                        stretch.pending.push(key.clone());
                    }
                    (stretch.last, stretch.rows) = (Some(key), stretch.rows + 1);
                    Ok(())
                })
                .await?;
            suspects.extend(looked.suspects);
            pending.extend(looked.pending);
            if looked.rows < LOOK {
                return Ok(Stretch { suspects, pending, ..Stretch::default() });
            }
            if suspects.len() + pending.len() >= SUSPECTS {
                return Ok(Stretch { suspects, pending, last: looked.last, rows: 0 });
            }
            after = looked.last;
        }
    }

    /// Puts what is queued for a row on that it is gone there, unless it was written since the remote was asked.
    async fn rebase_gone(&self, schema: &'static Schema, key: &Key, asked: &Asked) -> Result<()> {
        let _alone = self.remote()?.acts.marking.lock().await;
        let Some(stored) = self.shared.store.load(&self.cx(), schema, key).await? else { return Ok(()) };
        if stored.meta.revision > asked.started {
            return Ok(());
        }
        let Some(mut rebased) = self.gone_there(schema, key, &stored).await? else { return Ok(()) };
        let batch = std::mem::take(&mut rebased.batch);
        let _telling = self.shared.fates.telling();
        // A row that moves meanwhile is left to the next pull.
        if let CommitOutcome::Committed(_) = self.commit_fetched(batch, asked.wipes).await? {
            self.tell_rebased(&[rebased])?;
        }
        Ok(())
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
