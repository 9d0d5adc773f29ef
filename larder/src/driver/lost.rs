//! Mutations whose entries are lost by damage: nothing is left to send them by. Whoever waits for their fates is told, and what is
//! left of a request goes.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::select;
use larder_core::query::{Position, Query};
use larder_core::{
    Batch, Borrower, CommitOutcome, Error, ErrorKind, Expect, Key, MetaRef, MutationId, Op, Result, Row, Sent,
};

use super::act::Acts;
use crate::engine::Event;
use crate::fates::Fate;
use crate::parcel;

/// How many rows are looked at by one query of the store.
const LOOK: u64 = 256;

/// What a row says of its place in the outbox: its key, its revision, and the number of its entry.
type Place = (Key, u64, u64);

/// Takes the places of rows and leaves the rows where they are: bodies may be long.
struct Places(Arc<Mutex<Vec<Place>>>);

impl Borrower for Places {
    fn take(&mut self, meta: MetaRef<'_>, row: &dyn Row) -> Result<()> {
        let key = parcel::schema().key_of(row)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((key, meta.revision, meta.tail));
        Ok(())
    }

    fn anew(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Acts {
    /// True if requests are taken that are no models.
    pub(super) fn takes_requests(&self) -> bool {
        self.policies.contains_key(parcel::schema().model)
    }

    /// Looks what is lost once the store has begun anew: removes what is left of requests that have no entry any more, and
    /// tells whoever waits for what is lost.
    pub(super) async fn look_for_lost(&self) -> Event {
        if let Err(error) = self.try_sweep_requests().await {
            tracing::warn!(%error, "what is left of lost requests can't be removed before the next start");
        }
        select(pin!(self.tell_lost()), pin!(self.stopping.cancelled())).await;
        Event::Tick
    }

    /// Tells whoever waits for a mutation that has no entry any more; a store that fails is asked again.
    async fn tell_lost(&self) {
        let mut failures = 0;
        while let Err(error) = self.try_tell_lost().await {
            failures += 1;
            tracing::warn!(%error, failures, "what is lost of the outbox can't be told yet");
            let wait = self.settings.backoff.wait(failures, self.runtime.random());
            self.runtime.sleep(wait.max(Duration::from_millis(10))).await;
        }
    }

    /// The same once. An entry that is damaged may be anybody's: while there is one, nobody is told.
    pub(super) async fn try_tell_lost(&self) -> Result<()> {
        // Their mutations are stored before the outbox is read.
        let mut lost = self.fates.unheard().await;
        if lost.is_empty() {
            return Ok(());
        }
        let (mut there, mut after) = (BTreeSet::new(), 0);
        loop {
            let loaded = self.store.outbox(&self.cx(), after, LOOK as usize).await?;
            if loaded.unreadable.iter().any(|unreadable| unreadable.error.kind() == ErrorKind::Corrupt) {
                return Ok(());
            }
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                break;
            }
            after = loaded.last;
            there.extend(loaded.entries.iter().map(|entry| entry.id));
        }
        lost.retain(|(id, _)| !there.contains(id));
        if lost.is_empty() {
            return Ok(());
        }
        // Who was about to remove an entry while the outbox was read has told what became of it.
        let unheard = self.fates.unheard().await;
        for waiter in lost.intersection(&unheard) {
            tracing::error!(mutation = %waiter.0.0, "a mutation is lost by damage of the store");
            self.fates.fail(*waiter, lost_entry());
        }
        Ok(())
    }

    pub(super) async fn try_sweep_requests(&self) -> Result<()> {
        if !self.takes_requests() {
            return Ok(());
        }
        let mut after = None;
        loop {
            let places = self.places(after.take()).await?;
            for (key, revision, tail) in &places {
                if *tail == 0 || self.store.entry(&self.cx(), *tail).await.is_ok_and(|entry| entry.is_none())
                {
                    self.remove_lost(key, *revision).await?;
                }
            }
            match places.into_iter().nth(LOOK as usize - 1) {
                Some((key, _, _)) => after = Some(key),
                None => return Ok(()),
            }
        }
    }

    /// The places of the next rows.
    async fn places(&self, after: Option<Key>) -> Result<Vec<Place>> {
        let after = after.map(|key| Box::new(Position { values: Vec::new(), key }));
        let query = Query { after, limit: Some(LOOK), ..Query::all() };
        let taken = Arc::<Mutex<Vec<Place>>>::default();
        let borrower = Box::new(Places(Arc::clone(&taken)));
        self.store.lend(&self.cx(), parcel::schema(), &query, borrower).await?;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *taken))
    }

    /// Removes a row that nothing is queued for, unless it has moved: an answer takes it as well.
    async fn remove_lost(&self, key: &Key, revision: u64) -> Result<()> {
        let schema = parcel::schema();
        let expect = vec![Expect::Row { schema, key: key.clone(), revision }];
        let batch = Batch { expect, ops: vec![Op::Remove { schema, key: key.clone() }] };
        if self.store.commit(&self.cx(), batch).await? == CommitOutcome::Stale {
            return Ok(());
        }
        tracing::error!(%key, "a request is lost by damage of the store");
        if let Key::Uuid(id) = key {
            let lost = lost_entry().model(schema.model).key(key);
            self.fates.settle(MutationId(*id), &Fate::Failed(lost));
        }
        Ok(())
    }
}

/// What is said to whoever waits for a mutation whose entry is lost.
#[cold]
fn lost_entry() -> Error {
    let what = "its place in the outbox is lost by damage of the store: it may have been sent, and is not sent any more: look \
                whether the remote has it, and write it again if not";
    Error::new(ErrorKind::Corrupt, what).with_sent(Sent::Maybe)
}
