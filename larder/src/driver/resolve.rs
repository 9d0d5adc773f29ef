//! Rows that were changed here and at the remote: what is queued for them is put on what the remote has now.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use larder_core::conflict::Outcome;
use larder_core::{
    CommitOutcome, Entry, EntryState, Error, ErrorKind, Expect, Failure, Key, Meta, MutationId, PageRow,
    ParkReason, Query, Record, Resolve, Result, Row, RuntimeExt, Schema, StoredRow, Theirs, Timestamp,
};

use super::act::{Acts, Heard, is_damage};
use super::dependants::depended_on;
use super::settlement::{is_unfit, parked_error};
use crate::engine::Moved;
use crate::engine::exchange::is_temporary;
use crate::engine::rebase::{self, Ended, Rebase, Rebased, Start, combined, rebased};
use crate::engine::settle::{self, overlaid};
use crate::fates::Fate;

/// What becomes of rows that were changed on both sides, by model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolvers(BTreeMap<&'static str, Arc<dyn Resolve>>);

impl Resolvers {
    pub(crate) fn set(&mut self, schema: &'static Schema, resolver: Arc<dyn Resolve>) {
        self.0.insert(schema.model, resolver);
    }

    /// What was registered for the model, or what it declares itself.
    pub(crate) fn of(&self, schema: &'static Schema) -> &dyn Resolve {
        self.0.get(schema.model).map_or(&schema.conflict, |resolver| &**resolver)
    }
}

/// What the remote has of the row of `entry`, with the fields that the remote does not show as they are known here.
///
/// # Errors
/// `Serialization` if it is no row of the model.
pub(super) fn theirs(entry: &Entry, there: Option<&PageRow>, now: Timestamp) -> Result<Theirs> {
    let Some(there) = there else {
        return Ok(Theirs { row: None, version: None, extra: None, at: now });
    };
    let known = entry.base.as_ref().or(entry.row.as_ref());
    let row: Arc<dyn Row> = match known {
        Some(known) => overlaid(entry.schema, &**known, there)?,
        None => {
            entry.schema.fits(&*there.row)?;
            Arc::clone(&there.row)
        }
    };
    let (version, extra) = (there.meta.version.clone(), there.meta.extra.clone());
    Ok(Theirs { row: Some(row), version, extra, at: now })
}

impl Acts {
    /// Puts an entry that was refused, and what comes after it, on what the remote has now. `None` if that is not known
    /// or can't be used: then it is for the application to decide.
    pub(super) async fn resolved(
        &self,
        entry: &Entry,
        stored: Option<&StoredRow>,
        heard: Option<&Heard>,
        failure: Option<Failure>,
    ) -> Result<Option<Rebased>> {
        let (Some(stored), Some(heard)) = (stored, heard) else { return Ok(None) };
        let now = self.runtime.now();
        let attempt = async {
            let mut queue = vec![entry.clone()];
            queue.extend(self.later(entry, stored).await?);
            let before = self.earlier(entry).await?.last().map_or(0, |last| last.seq);
            let start = Start::Refused { id: MutationId(self.runtime.uuid()), failure, before };
            let theirs = theirs(entry, heard.row.as_ref(), now)?;
            let (schema, key) = (entry.schema, &entry.key);
            let rebase = Rebase { schema, key, stored, queue, theirs, start, held: false, now };
            let mut rebased = rebased(rebase, self.resolvers.of(schema))?;
            if let Some(rebased) = &mut rebased {
                self.rebase_carried(rebased, entry, Some(heard)).await?;
                self.regroup(rebased).await?;
                self.note_ended(rebased);
            }
            Ok(rebased)
        };
        match attempt.await {
            Err(error) if is_unfit(&error) => {
                tracing::warn!(seq = entry.seq, %error, "what the remote has can't be used to resolve a conflict");
                Ok(None)
            }
            other => other,
        }
    }

    /// Keeps what the remote has beside an entry that is parked.
    pub(super) fn with_theirs(&self, entry: &Entry, heard: Option<&Heard>) -> Entry {
        let mut entry = entry.clone();
        if let Some(Ok(theirs)) = heard.map(|heard| theirs(&entry, heard.row.as_ref(), self.runtime.now())) {
            entry.theirs = Some(Box::new(theirs));
        }
        entry
    }

    /// Settles an entry that the remote has accepted, if something else was heard of its row meanwhile, which may be older
    /// than the answer, or newer; and if earlier entries of the row are still to go, because the queues of two keys have
    /// become one. `None` if there is nothing to it.
    pub(super) async fn overtaken(
        &self,
        entry: &Entry,
        stored: Option<&StoredRow>,
        answer: Option<&PageRow>,
    ) -> Result<Option<Rebased>> {
        let (Some(stored), Some(sent)) = (stored, &entry.row) else { return Ok(None) };
        let mut queue = self.earlier(entry).await?;
        // It is kept beside the first one.
        let heard = queue.first().and_then(|first| first.theirs.as_ref()).or(entry.theirs.as_ref()).cloned();
        if heard.is_none() && queue.is_empty() {
            return Ok(None);
        }
        let schema = entry.schema;
        let merged = match answer {
            Some(answer) => overlaid(schema, &**sent, answer)?,
            None => Arc::clone(sent),
        };
        let now = self.runtime.now();
        let version = answer.and_then(|answer| answer.meta.version.clone());
        let extra = answer.and_then(|answer| answer.meta.extra.clone());
        let known = |row: Arc<dyn Row>| Theirs {
            row: Some(row),
            version: version.clone(),
            extra: extra.clone(),
            at: now,
        };
        let combined = match heard.as_ref().map(|heard| &heard.row) {
            None => Some(Record::copy(schema, &*merged)?),
            Some(Some(heard)) => combined(entry, &*merged, &**heard)?,
            Some(None) => None,
        };
        let newest = match combined {
            Some(row) => known(Arc::new(row)),
            // Only the remote can tell.
            None => match self.there(entry).await.and_then(|there| theirs(entry, there.as_ref(), now)) {
                Ok(newest) => newest,
                Err(error) => {
                    tracing::warn!(%error, "the remote can't be asked what is newer: its answer counts");
                    known(Arc::clone(&merged))
                }
            },
        };
        queue.iter_mut().try_for_each(|earlier| rebase::say_no_more(earlier, entry))?;
        queue.extend(self.later(entry, stored).await?);
        let start = Start::Accepted { entry: Box::new(entry.clone()), answered: merged };
        let (key, held) = (&entry.key, false);
        let rebase = Rebase { schema, key, stored, queue, theirs: newest, start, held, now };
        let mut rebased = rebased(rebase, self.resolvers.of(schema))?;
        if let Some(rebased) = &mut rebased {
            // What goes in the request of one that has ended has to go by itself.
            self.regroup(rebased).await?;
            self.note_ended(rebased);
            rebased.ended.push((entry.clone(), Ended::Done));
        }
        Ok(rebased)
    }

    /// Puts what was never sent on what was heard of the row while `entry` was on its way, which the remote has not accepted:
    /// what comes before that, and itself if it has not left. `true` if something is to be put so, which needs `marking`, and
    /// is if `alone` says that it is held.
    pub(super) async fn catch_up(
        &self,
        entry: &Entry,
        stored: Option<&StoredRow>,
        has_left: bool,
        alone: bool,
    ) -> Result<bool> {
        let Some(stored) = stored else { return Ok(false) };
        let mut queue = self.earlier(entry).await?;
        queue.push(Entry { mark: entry.mark.filter(|_| has_left), ..entry.clone() });
        let first = queue.first().filter(|first| first.mark.is_none() && first.state == EntryState::Ready);
        let Some(theirs) = first.and_then(|first| first.theirs.as_deref().cloned()) else { return Ok(false) };
        queue.extend(self.later(entry, stored).await?);
        let (schema, key, start) = (entry.schema, &entry.key, Start::Answered(entry.seq));
        let now = self.runtime.now();
        let rebase = Rebase { schema, key, stored, queue, theirs, start, held: false, now };
        let mut rebased = match rebased(rebase, self.resolvers.of(schema)) {
            Ok(Some(rebased)) => rebased,
            Ok(None) => return Ok(false),
            Err(error) if is_unfit(&error) || is_damage(&error) => {
                tracing::warn!(seq = entry.seq, %error, "what was heard meanwhile can't be used: earlier changes go as they are");
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        if alone {
            self.regroup(&mut rebased).await?;
            self.note_ended(&mut rebased);
            let batch = std::mem::take(&mut rebased.batch);
            if let CommitOutcome::Committed(_) = self.commit(batch).await? {
                let moved = self.tell(&rebased);
                self.beside.lock().unwrap_or_else(PoisonError::into_inner).push(moved);
            }
        }
        Ok(true)
    }

    /// What the remote has of the row of an entry.
    pub(super) async fn there(&self, entry: &Entry) -> Result<Option<PageRow>> {
        let query = Query::key(entry.key.clone());
        let is_it = |row: &PageRow| entry.schema.key_of(&*row.row).is_ok_and(|key| key == entry.key);
        match self.remote.get(&Self::cx_of(entry), entry.schema, &query).await {
            Ok(page) => Ok(query.finish(entry.schema, page.done, page.rows)?.into_iter().find(is_it)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The entries of the row that come after `entry`.
    pub(super) async fn later(&self, entry: &Entry, stored: &StoredRow) -> Result<Vec<Entry>> {
        let mut chain = self.chain(entry.schema, &entry.key, stored.meta.tail).await?;
        chain.retain(|other| other.seq > entry.seq && !settle::is_reverted(other));
        Ok(chain)
    }

    /// What was heard of a row that has something in the outbox, as what is queued is put on it; `None` if that is
    /// nothing new. To be committed while `marking` is held.
    pub(crate) async fn heard_of(
        &self,
        schema: &'static Schema,
        key: &Key,
        stored: &StoredRow,
        heard: impl FnOnce(&Entry) -> Result<Option<Theirs>>,
    ) -> Result<Option<Rebased>> {
        let mut queue = self.chain(schema, key, stored.meta.tail).await?;
        queue.retain(|entry| !settle::is_reverted(entry));
        let Some(first) = queue.first() else { return Ok(None) };
        let Some(theirs) = heard(first)? else { return Ok(None) };
        let (start, now) = (Start::Heard, self.runtime.now());
        let held = self.is_held(first).await?;
        let rebase = Rebase { schema, key, stored, queue, theirs, start, held, now };
        let mut rebased = rebased(rebase, self.resolvers.of(schema))?;
        if let Some(rebased) = &mut rebased {
            self.regroup(rebased).await?;
            self.note_ended(rebased);
        }
        Ok(rebased)
    }

    /// Tells whoever waits for the fate of an entry what a rebase, which is durable now, has made of it; gives what the
    /// engine has to know.
    pub(crate) fn tell(&self, rebased: &Rebased) -> Moved {
        if let Some((former, id)) = rebased.renewed {
            self.fates.rename(former, id);
        }
        for (entry, ended) in &rebased.ended {
            let fate = match ended {
                // Whoever waits for what has become one with a deletion has the fate of that.
                Ended::Done | Ended::Covered => Fate::Accepted(None),
                Ended::Overruled => {
                    let what = "the remote's row has changed as well, and stands";
                    Fate::Failed(
                        Error::new(ErrorKind::Conflict, what).model(entry.schema.model).key(&entry.key),
                    )
                }
            };
            self.fates.settle(entry.id, &fate);
        }
        for entry in rebased.moved.iter().filter(|entry| entry.state != EntryState::Ready) {
            self.fates.settle(entry.id, &Fate::Failed(parked_error(ParkReason::Conflict)));
        }
        Moved {
            ended: rebased.ended.iter().map(|(entry, ended)| (entry.seq, *ended)).collect(),
            heads: rebased.moved.iter().map(|entry| self.head(entry)).collect(),
        }
    }

    /// What would be stored of the row of `entry`, which is gone: the remote has accepted its deletion, before what came
    /// earlier could go. If it is `made` again, what is queued behind goes on with it; else that is decided by itself. All
    /// of that is relied on.
    async fn trace(&self, entry: &Entry, made: bool, relied_on: &mut Vec<Expect>) -> Result<StoredRow> {
        let mut queued = self.scan(entry.schema, &entry.key).await?;
        queued.retain(|other| made || other.seq <= entry.seq);
        relied_on.extend(queued.iter().map(Expect::entry));
        let tail = queued.last().map_or(entry.seq, |last| last.seq);
        Ok(StoredRow { row: None, meta: Meta { tail, ..Meta::synced(self.runtime.now()) } })
    }

    /// Carries out what the application has decided about a conflict.
    ///
    /// # Errors
    /// `NotFound` if there is no such entry; `Conflict` if it is in none, or would give a creation up that others can't be
    /// sent without; `Invalid` for a row that can't be stored.
    pub(crate) async fn settle_conflict(&self, seq: u64, outcome: &Outcome) -> Result<Moved> {
        let _alone = self.marking.lock().await;
        let _telling = self.fates.telling();
        loop {
            let Some((entry, stored)) = self.look(seq).await? else {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("there is no mutation {seq} in the outbox"),
                ));
            };
            let schema = entry.schema;
            let placed = |error: Error| error.during("settle a conflict").model(schema.model).key(&entry.key);
            if entry.state != EntryState::Parked(ParkReason::Conflict) {
                let what = format!("the mutation {seq} is in no conflict: it has been settled already");
                return Err(placed(Error::new(ErrorKind::Conflict, what)));
            }
            let gives_way = matches!(outcome, Outcome::Theirs | Outcome::Delete);
            let gives_up = gives_way && is_temporary(&entry);
            let mut relied_on = Vec::new();
            let stored = match stored {
                Some(stored) => stored,
                None => self.trace(&entry, !gives_way, &mut relied_on).await?,
            };
            if gives_up {
                let (dependants, mut expect) = self.dependants(&entry).await?;
                if !dependants.is_empty() {
                    return Err(depended_on(&entry, &dependants).during("settle a conflict"));
                }
                relied_on.append(&mut expect);
            }
            let base = entry.base.as_ref().filter(|_| entry.operation != larder_core::Operation::Insert);
            // Nothing was heard of it: what it was made from is what is known.
            let theirs = entry.theirs.as_deref().cloned().unwrap_or_else(|| Theirs {
                row: base.cloned(),
                version: entry.base_version.clone(),
                extra: None,
                at: self.runtime.now(),
            });
            let sides = larder_core::Sides {
                schema,
                base: base.map(|row| &**row as &dyn Row),
                mine: entry.row.as_deref(),
                theirs: theirs.row.as_deref(),
            };
            // A row that the remote never had is gone by not being made.
            let outcome = if gives_up { Outcome::Theirs } else { outcome.clone() };
            let outcome = larder_core::conflict::checked(&sides, outcome).map_err(placed)?;
            let view = self.view(&entry, Some(stored.clone())).await?;
            let mut queue = vec![entry.clone()];
            queue.extend(view.later);
            let id = MutationId(self.runtime.uuid());
            let start =
                Start::Settled { id, outcome, before: view.earlier.last().map_or(0, |last| last.seq) };
            let (key, now) = (&entry.key, self.runtime.now());
            let rebase = Rebase { schema, key, stored: &stored, queue, theirs, start, held: false, now };
            let Some(mut rebased) = rebased(rebase, self.resolvers.of(schema))? else { continue };
            self.rebase_carried(&mut rebased, &entry, None).await?;
            self.regroup(&mut rebased).await?;
            self.note_ended(&mut rebased);
            let mut batch = std::mem::take(&mut rebased.batch);
            batch.expect.append(&mut relied_on);
            if self.store.commit(&self.cx(), batch).await? != CommitOutcome::Stale {
                return Ok(self.tell(&rebased));
            }
        }
    }
}
