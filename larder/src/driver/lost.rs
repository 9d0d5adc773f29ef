//! Requests whose entries are lost by damage: nothing is left to send them by, so what is left of them goes, and whoever waits
//! for their answers is told.

use std::sync::{Arc, Mutex, PoisonError};

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

    /// Removes what is left of requests that have no entry any more. What fails is done after the next start.
    pub(super) async fn sweep_requests(&self) -> Event {
        if let Err(error) = self.try_sweep_requests().await {
            tracing::warn!(%error, "what is left of requests that are lost can't be removed now");
        }
        Event::Tick
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
            let what = "its place in the outbox is lost by damage of the store: it may have been sent, and is not sent any more";
            let lost =
                Error::new(ErrorKind::Corrupt, what).model(schema.model).key(key).with_sent(Sent::Maybe);
            self.fates.settle(MutationId(*id), &Fate::Failed(lost));
        }
        Ok(())
    }
}
