//! Requests that are no models: sent as they are, and removed by their answer.

use std::sync::Arc;

use larder_core::{
    Batch, CommitOutcome, Entry, EntryState, Error, ErrorKind, Idempotency, MutationId, Op, ParkReason,
    Request, Response, Result, RowState, Sent, StoredRow, SyncState, Tail, Timestamp,
};

use super::act::{Acts, Kept, unreadable};
use super::decide::Retry;
use crate::engine::{Answer, Event, settle};
use crate::parcel::{Parcel, is_parcel};

/// Says what an edit makes of a request, and to which host that goes.
type EditRequest<'a> = dyn FnMut(Request) -> Result<(Request, Option<Arc<str>>)> + Send + 'a;

impl Acts {
    /// Sends an entry that is a request.
    pub(super) async fn forward(&self, entry: Entry, repeated: bool) -> Event {
        let (seq, keyed) = (entry.seq, matches!(self.idempotency(&entry), Idempotency::Keyed { .. }));
        match self.try_forward(&entry, repeated).await {
            Ok(None) => self.answered(seq, Answer::Foreign),
            Ok(Some(response)) => {
                let response = Some(response);
                self.keep_answer(seq, Kept { asked: 0, answer: Ok(None), response });
                self.answered(seq, Answer::Accepted)
            }
            Err(error) => {
                let answer = match Answer::of(&error) {
                    // The first attempt may be under way still: that is how servers with keys say so.
                    Answer::Conflict if repeated && keyed && error.status() == Some(409) => {
                        Answer::Failed { wait: error.retry_after() }
                    }
                    // It may be the first attempt that stands in the way of this one, and there is nothing to compare.
                    Answer::Conflict if repeated => Answer::Unknowable,
                    Answer::Conflict => Answer::Refused,
                    other => other,
                };
                tracing::debug!(%error, ?answer, "the remote did not accept a request");
                self.keep_answer(seq, Kept { asked: 0, answer: Err(error), response: None });
                self.answered(seq, answer)
            }
        }
    }

    /// `None` if the entry is foreign by now.
    async fn try_forward(&self, entry: &Entry, repeated: bool) -> Result<Option<Response>> {
        let requests = self.remote.requests().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the remote takes no requests that are no models")
                .with_sent(Sent::Never)
        })?;
        let stored = self.store.load(&self.cx(), entry.schema, &entry.key).await.map_err(unreadable)?;
        let request = Parcel::request(entry, stored.as_ref(), repeated)?;
        if self.is_foreign(entry) {
            return Ok(None);
        }
        requests.forward(&Self::cx_of(entry), &request).await.map(Some)
    }
}

impl Acts {
    /// Gives a parked request another content and lets it go again, under `id` if it may have been sent; `None` if there is
    /// none. `edit` says to which host it would go.
    ///
    /// # Errors
    /// `Invalid` if it is no request, or would go to another host; `Conflict` if it is not parked; `Unsupported` if its
    /// body is lost; what `edit` says.
    pub(crate) async fn edit_request(
        &self,
        seq: u64,
        id: MutationId,
        edit: &mut EditRequest<'_>,
    ) -> Result<Option<Retry>> {
        loop {
            let Some((entry, stored)) = self.look(seq).await? else {
                return Ok(None);
            };
            if !is_parcel(&entry) {
                let what = "the mutation is of a model: edit it by `Outbox::edit`";
                return Err(Error::new(ErrorKind::Invalid, what).model(entry.schema.model).key(&entry.key));
            }
            let EntryState::Parked(reason) = entry.state else {
                let what = "the request is not parked: discard it and make another";
                return Err(Error::new(ErrorKind::Conflict, what));
            };
            let former = Parcel::read(&entry)?;
            let (request, host) = edit(Parcel::request(&entry, stored.as_ref(), false)?)?;
            if host != former.host() {
                let what = "an edit can't send a request to another host: discard it and make another";
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            let parcel = former.edited(request)?;
            let entry = Entry { row: Some(parcel.head()), ..entry };
            let stored = stored.map(|stored| StoredRow { row: Some(Arc::new(parcel)), ..stored });
            let aside = reason == ParkReason::Refused;
            let batch = if aside {
                again(&entry, stored, id, self.runtime.now())?
            } else {
                in_place(entry, stored, id, self.runtime.now())?
            };
            if self.store.commit(&self.cx(), batch).await? != CommitOutcome::Stale {
                return Ok(Some(if aside { Retry::Anew } else { Retry::Again }));
            }
        }
    }
}

/// A parked request that stops its lane, as it goes on in its place.
///
/// # Errors
/// `Unsupported` if its body is not there any more.
fn in_place(mut entry: Entry, stored: Option<StoredRow>, id: MutationId, now: Timestamp) -> Result<Batch> {
    let expect = vec![settle::expect(&entry, stored.as_ref())];
    let Some(StoredRow { row, mut meta }) = stored else { return Err(bodiless()) };
    settle::reworded(&mut entry, id);
    meta.sync = SyncState { state: RowState::Pending, since: now };
    let row = settle::rewritten(entry.schema, entry.key.clone(), row, meta);
    Ok(Batch { expect, ops: vec![Op::Revise(Box::new(entry)), row] })
}

fn bodiless() -> Error {
    Error::new(ErrorKind::Unsupported, "the body of the request is lost: discard what is left of it")
}

/// The remote has answered: neither the request nor its row is kept.
pub(super) fn done(entry: &Entry, stored: Option<&StoredRow>) -> Batch {
    let mut batch = Batch { expect: vec![settle::expect(entry, stored)], ops: vec![Op::Dequeue(entry.seq)] };
    if stored.is_some() {
        batch.ops.push(Op::Remove { schema: entry.schema, key: entry.key.clone() });
    }
    batch
}

/// A request that was refused, as another one at the end of the outbox.
///
/// # Errors
/// `Unsupported` if its body is not there any more.
pub(super) fn again(
    entry: &Entry,
    stored: Option<StoredRow>,
    id: MutationId,
    now: Timestamp,
) -> Result<Batch> {
    let expect = vec![settle::expect(entry, stored.as_ref())];
    let mut batch = Batch { expect, ops: vec![Op::Dequeue(entry.seq)] };
    let Some(StoredRow { row: Some(row), mut meta }) = stored else {
        return Err(bodiless());
    };
    let (schema, key) = (entry.schema, entry.key.clone());
    meta.sync = SyncState { state: RowState::Pending, since: now };
    batch.ops.push(Op::Enqueue(Box::new(Entry {
        seq: 0,
        prev: 0,
        id,
        state: EntryState::Ready,
        mark: None,
        attempts: 0,
        strikes: 0,
        first_strike: None,
        not_before: None,
        ..entry.clone()
    })));
    batch.ops.push(Op::Put { schema, key, row, meta, tail: Tail::New(0) });
    Ok(batch)
}
