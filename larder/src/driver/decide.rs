//! What the application, or its policy, decides about an entry: again, otherwise, or not at all.

use std::sync::Arc;

use larder_core::conflict::Outcome;
use larder_core::{
    Batch, CommitOutcome, Entry, EntryState, Error, ErrorKind, Expect, Failure, Key, Meta, MutationId, Op,
    Operation, ParkReason, Record, Result, Row, RowState, RuntimeExt, Schema, StoredRow, SyncState,
    Unreadable,
};

use super::act::{Acts, is_unreadable};
use super::dependants::depended_on;
use super::forward;
use crate::engine::{Moved, settle};
use crate::fates::Fate;
use crate::parcel::is_parcel;
use crate::repository::note_undone;

/// What has become of an entry that shall go again.
#[derive(Debug)]
pub(crate) enum Retry {
    /// It was parked, and goes as it is.
    Again,
    /// It was put on what the remote has now.
    Moved(Moved),
    /// It is another entry now, at the end of the outbox.
    Anew,
    /// It was not parked.
    Waiting,
}

/// What has become of an entry that shall be given up.
#[derive(Debug)]
pub(crate) enum Discard {
    /// There is none.
    Nothing,
    /// What was left of it is removed: its row had gone back already, or it can't be read.
    Removed,
    /// It is given up, with these.
    Gone(Vec<Entry>),
    /// It creates a row that these can't be sent without, the newest first; the error says so.
    DependedOn(Vec<u64>, Error),
}

/// What makes another row of the one that an entry wants.
pub(crate) type Edit<'f> = &'f mut (dyn FnMut(&dyn Row) -> Result<Arc<dyn Row>> + Send);

impl Acts {
    /// Lets a parked entry go again; `None` if there is none.
    ///
    /// # Errors
    /// `Conflict` if its row has gone back already.
    pub(crate) async fn retry(&self, seq: u64) -> Result<Option<Retry>> {
        loop {
            let Some((entry, stored)) = self.look(seq).await? else {
                return Ok(None);
            };
            match entry.state {
                EntryState::Ready => return Ok(Some(Retry::Waiting)),
                EntryState::Parked(ParkReason::Reverted) => return Err(gone_back(&entry).during("retry")),
                EntryState::Parked(ParkReason::Conflict) if entry.theirs.is_some() => {
                    let moved = self.settle_conflict(seq, &Outcome::Mine).await?;
                    return Ok(Some(Retry::Moved(moved)));
                }
                EntryState::Parked(ParkReason::Refused) => {
                    let id = MutationId(self.runtime.uuid());
                    let batch = forward::again(&entry, stored, id, self.runtime.now())?;
                    if self.store.commit(&self.cx(), batch).await? == CommitOutcome::Stale {
                        continue;
                    }
                    return Ok(Some(Retry::Anew));
                }
                _ => {}
            }
            let idempotency = self.idempotency(&entry);
            let batch = settle::retried(&entry, stored.as_ref(), idempotency, self.runtime.now());
            if self.store.commit(&self.cx(), batch).await? != CommitOutcome::Stale {
                return Ok(Some(Retry::Again));
            }
        }
    }

    /// Gives a parked entry another intent and lets it go again; `None` if there is none.
    ///
    /// # Errors
    /// `Conflict` if it is not parked, or its row has gone back; `Unsupported` if it has no row, or goes together with
    /// others and is in no conflict; `Invalid` if it is of another model, or the edit changes the key; what `edit` says.
    pub(crate) async fn edit(
        &self,
        seq: u64,
        schema: &'static Schema,
        id: MutationId,
        edit: Edit<'_>,
    ) -> Result<Option<Retry>> {
        loop {
            let Some((entry, stored)) = self.look(seq).await? else {
                return Ok(None);
            };
            let refusal = |kind, what: &str| {
                Err(Error::new(kind, what).during("edit").model(entry.schema.model).key(&entry.key))
            };
            if entry.schema != schema {
                return refusal(ErrorKind::Invalid, "the mutation is of this model: edit it as one");
            }
            match entry.state {
                EntryState::Ready => {
                    return refusal(ErrorKind::Conflict, "the mutation is not parked: write the row again");
                }
                EntryState::Parked(ParkReason::Reverted) => return Err(gone_back(&entry).during("edit")),
                _ => {}
            }
            let disputed = entry.state == EntryState::Parked(ParkReason::Conflict) && entry.theirs.is_some();
            if !disputed && (!entry.carries.is_empty() || entry.within.is_some()) {
                let what =
                    "the mutation goes in one request with others: discard it and write the rows again";
                return refusal(ErrorKind::Unsupported, what);
            }
            let Some(wanted) = entry.row.as_ref().filter(|_| entry.operation != Operation::Delete) else {
                return refusal(
                    ErrorKind::Unsupported,
                    "a deletion has nothing to edit: retry or discard it",
                );
            };
            let row = edit(&**wanted)?;
            if entry.schema.key_of(&*row)? != entry.key {
                return refusal(ErrorKind::Invalid, "an edit can't change the key: discard and write anew");
            }
            entry.schema.validate(&*row)?;
            if disputed {
                let merged = Outcome::Row(Record::copy(schema, &*row)?);
                return Ok(Some(Retry::Moved(self.settle_conflict(seq, &merged).await?)));
            }
            let view = self.view(&entry, stored).await?;
            let batch = settle::edited(&entry, &view, row, id, self.runtime.now())?;
            if self.store.commit(&self.cx(), batch).await? != CommitOutcome::Stale {
                return Ok(Some(Retry::Again));
            }
        }
    }

    /// Gives an entry up that is not on its way, unless others can't be sent without it.
    ///
    /// # Errors
    /// `Conflict` if the entry goes in the request of another.
    pub(crate) async fn discard(&self, seq: u64) -> Result<Discard> {
        let telling = self.fates.telling();
        for attempt in 0.. {
            let turn = self.turn(attempt).await;
            let (entry, stored) = match self.look(seq).await {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(error) if is_unreadable(&error) => {
                    // Those who are waited for then may wait for it.
                    drop((turn, telling));
                    return self.discard_unreadable(seq, error).await;
                }
                Err(error) => return Err(error),
            };
            if settle::is_reverted(&entry) {
                let batch = Batch { expect: Vec::new(), ops: vec![Op::Dequeue(seq)] };
                self.store.commit(&self.cx(), batch).await?;
                return Ok(Discard::Removed);
            }
            self.refuse_carried(&entry).await?;
            let (dependants, mut relied_on) = self.dependants(&entry).await?;
            if !dependants.is_empty() {
                let seqs = dependants.iter().map(|dependant| dependant.seq).collect();
                return Ok(Discard::DependedOn(seqs, depended_on(&entry, &dependants).during("discard")));
            }
            let (mut batch, gone) = self.give_up(entry, stored).await?;
            let unmade = unmade(&batch, &gone);
            note_undone(&*self.store, &self.cx(), &mut batch, unmade).await?;
            batch.expect.append(&mut relied_on);
            if self.store.commit(&self.cx(), batch).await? == CommitOutcome::Stale {
                continue;
            }
            for entry in &gone {
                let given_up =
                    Error::new(ErrorKind::Cancelled, "the mutation was discarded").model(entry.schema.model);
                self.fates.settle(entry.id, &Fate::Failed(given_up));
            }
            return Ok(Discard::Gone(gone));
        }
        Ok(Discard::Nothing)
    }

    /// The batch that puts the row of a refused entry back, with what came of it and of the entries that go with it.
    pub(super) async fn revert(
        &self,
        entry: &Entry,
        stored: Option<StoredRow>,
        failure: Option<Failure>,
    ) -> Result<(Batch, Vec<Entry>)> {
        let (mut batch, gone) = self.give_up(entry.clone(), stored).await?;
        settle::reverted(&mut batch, &gone, failure, self.runtime.now());
        Ok((batch, gone))
    }

    /// Gives an entry up that can't be read. What its row was changed from can't be read either: the row stays as it
    /// is, and counts as the remote's once nothing else is queued for it.
    async fn discard_unreadable(&self, seq: u64, error: Error) -> Result<Discard> {
        let discarded = self.try_discard_unreadable(seq, error).await?;
        // Of a request nothing is left that anybody could ask for.
        self.try_sweep_requests().await?;
        // It is given up, whether or not that can be told now.
        if let Err(error) = self.try_tell_lost().await {
            tracing::warn!(%error, "what is lost of the outbox can't be told");
        }
        Ok(discarded)
    }

    async fn try_discard_unreadable(&self, seq: u64, error: Error) -> Result<Discard> {
        let loaded = self.store.outbox(&self.cx(), seq - 1, 1).await?;
        let Some(Unreadable { row, .. }) = loaded.unreadable.into_iter().find(|other| other.seq == seq)
        else {
            return Err(error);
        };
        let Some((schema, key)) = row else {
            let batch = Batch { expect: Vec::new(), ops: vec![Op::Dequeue(seq)] };
            self.store.commit(&self.cx(), batch).await?;
            return Ok(Discard::Removed);
        };
        loop {
            let stored = self.store.load(&self.cx(), schema, &key).await?;
            let revision = stored.as_ref().map_or(0, |stored| stored.meta.revision);
            let expect = vec![Expect::Row { schema, key: key.clone(), revision }];
            let mut batch = Batch { expect, ops: vec![Op::Dequeue(seq)] };
            if let Some(StoredRow { meta, row }) = stored.filter(|stored| stored.meta.tail == seq) {
                let tail = self.scan(schema, &key).await?.last().map_or(0, |last| last.seq);
                let state = if tail == 0 { RowState::Synced } else { meta.sync.state };
                let sync = SyncState { state, since: self.runtime.now() };
                batch.ops.push(match row {
                    None if tail == 0 => Op::Remove { schema, key: key.clone() },
                    row => settle::rewritten(schema, key.clone(), row, Meta { tail, sync, ..meta }),
                });
            }
            if self.store.commit(&self.cx(), batch).await? != CommitOutcome::Stale {
                return Ok(Discard::Removed);
            }
        }
    }
}

/// Rows of which the remote never heard, and of which nothing is left once their creations are given up.
fn unmade(batch: &Batch, given_up: &[Entry]) -> Vec<(&'static Schema, Key)> {
    let removed = |entry: &Entry| {
        let of_it = |op: &Op| matches!(op, Op::Remove { schema, key } if *schema == entry.schema && *key == entry.key);
        batch.ops.iter().any(of_it)
    };
    let unheard =
        |entry: &&Entry| entry.operation == Operation::Insert && entry.mark.is_none() && !is_parcel(entry);
    let created = given_up.iter().filter(unheard).filter(|entry| removed(entry));
    created.map(|entry| (entry.schema, entry.key.clone())).collect()
}

fn gone_back(entry: &Entry) -> Error {
    let what =
        "the row has gone back to what it was before: write it again, and discard what is left of this";
    Error::new(ErrorKind::Conflict, what).model(entry.schema.model).key(&entry.key)
}
