//! The calls: read entries, mark them, send them, ask about them, make decisions durable.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder_core::{
    Applied, Batch, CommitOutcome, Context, Entry, Error, ErrorKind, Failure, Mutation, Op, Operation, PageRow,
    ParkReason, Provider, Query, Result, Runtime, SendMark, Sent, Store,
};

use crate::engine::settle::{self, View};
use crate::engine::{Answer, Event, Head, Verdict, enqueue};
use crate::fates::{Fate, Fates};

/// What the calls need.
#[derive(Debug)]
pub(crate) struct Acts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) remote: Arc<dyn Provider>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) fates: Arc<Fates>,
    pub(crate) account: Option<Arc<str>>,
    /// Answers that are not settled yet, by sequence number.
    pub(crate) answers: Mutex<std::collections::BTreeMap<u64, Result<Option<PageRow>>>>,
}

impl Acts {
    fn cx(&self) -> Context {
        Context { account: self.account.clone(), ..Context::new() }
    }

    pub(crate) async fn load(&self, after: u64, limit: usize) -> Event {
        match self.store.outbox(&self.cx(), after, limit).await {
            Ok(loaded) => {
                for (seq, error) in &loaded.unreadable {
                    tracing::error!(seq, %error, "an outbox entry can't be read; it stays stored");
                }
                let count = loaded.entries.len() + loaded.unreadable.len();
                let head = |entry: &Entry| {
                    let idempotency = self.remote.idempotency(entry.schema, entry.operation);
                    Head::of(entry, idempotency, self.account.as_deref())
                };
                let heads = loaded.entries.iter().map(head).collect();
                Event::Loaded { heads, last: loaded.last, more: count >= limit }
            }
            Err(error) => {
                tracing::error!(%error, "the outbox can't be read");
                Event::LoadFailed { jitter: self.runtime.random() }
            }
        }
    }

    /// Notes durably that the entries may have been sent, before the first byte goes out.
    pub(crate) async fn mark(&self, seqs: Vec<u64>) -> Event {
        let at = self.runtime.now();
        match self.try_mark(&seqs, SendMark { first: at }).await {
            Ok(()) => Event::Marked { seqs, at },
            Err(error) => {
                tracing::error!(%error, "entries can't be marked as sent, so they are not sent");
                Event::MarkFailed { seqs, jitter: self.runtime.random() }
            }
        }
    }

    async fn try_mark(&self, seqs: &[u64], mark: SendMark) -> Result<()> {
        let mut batch = Batch::default();
        for seq in seqs {
            if let Some(mut entry) = self.store.entry(&self.cx(), *seq).await? {
                entry.mark.get_or_insert(mark);
                batch.ops.push(Op::Revise(Box::new(entry)));
            }
        }
        self.store.commit(&self.cx(), batch).await.map(drop)
    }

    #[tracing::instrument(name = "larder::send", skip(self))]
    pub(crate) async fn send(&self, seq: u64, repeated: bool) -> Event {
        let answer = match self.try_send(seq, repeated).await {
            Ok(None) => Answer::Accepted,
            Ok(Some(applied)) => {
                self.keep(seq, Ok(applied.row));
                Answer::Accepted
            }
            Err(error) => {
                let answer = Answer::of(&error);
                tracing::debug!(%error, ?answer, "the remote did not accept");
                self.keep(seq, Err(error));
                answer
            }
        };
        Event::Answered { seq, answer, jitter: self.runtime.random() }
    }

    /// `None` if the entry is gone.
    async fn try_send(&self, seq: u64, repeated: bool) -> Result<Option<Applied>> {
        let Some(entry) = self.store.entry(&self.cx(), seq).await.map_err(unreadable)? else { return Ok(None) };
        let mutation = Mutation {
            id: entry.id,
            schema: entry.schema,
            key: entry.key,
            operation: entry.operation,
            row: entry.row,
            changed: Some(entry.changed),
            base_version: entry.base_version,
            extra: entry.extra,
            repeated,
        };
        self.remote.apply(&self.cx(), &mutation).await.map(Some)
    }

    /// Asks the remote whether it has what an entry wants.
    #[tracing::instrument(name = "larder::probe", skip(self))]
    pub(crate) async fn probe(&self, seq: u64) -> Event {
        let answer = match self.try_probe(seq).await {
            Ok(answer) => answer,
            Err(error) => {
                let answer = Answer::of(&error);
                self.keep_unless_answered(seq, error);
                answer
            }
        };
        Event::Answered { seq, answer, jitter: self.runtime.random() }
    }

    async fn try_probe(&self, seq: u64) -> Result<Answer> {
        let Some(entry) = self.store.entry(&self.cx(), seq).await.map_err(unreadable)? else {
            return Ok(Answer::Accepted);
        };
        let query = Query::key(entry.key.clone());
        let there = match self.remote.get(&self.cx(), entry.schema, &query).await {
            Ok(page) => query.finish(entry.schema, page.done, page.rows)?.into_iter().next(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let Some(there) = there else {
            return Ok(if entry.operation == Operation::Delete { Answer::Accepted } else { Answer::NotThere });
        };
        let Some(wanted) = &entry.row else { return Ok(Answer::NotThere) };
        let different = enqueue::differences(entry.schema, &**wanted, &*there.row)?;
        if !entry.changed.iter().any(|at| different.contains(at)) {
            self.keep(seq, Ok(Some(there)));
            return Ok(Answer::Accepted);
        }
        Ok(if entry.operation == Operation::Insert { Answer::Conflict } else { Answer::NotThere })
    }

    fn keep(&self, seq: u64, answer: Result<Option<PageRow>>) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(seq, answer);
    }

    /// A probe that fails must not hide the answer that it was made for.
    fn keep_unless_answered(&self, seq: u64, error: Error) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.entry(seq).or_insert(Err(error));
    }

    fn answer(&self, seq: u64) -> Option<Result<Option<PageRow>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(&seq)
    }

    /// Makes a decision durable. It was taken, so a store that fails is tried until it succeeds: the mutation is
    /// never given up for the sake of its bookkeeping.
    #[tracing::instrument(name = "larder::settle", skip(self))]
    pub(crate) async fn settle(&self, seq: u64, verdict: Verdict) -> Event {
        let answer = self.answer(seq);
        let mut failures = 0;
        loop {
            match self.try_settle(seq, verdict, answer.as_ref()).await {
                Ok(()) => return Event::Settled { seq, verdict },
                Err(error) => {
                    failures += 1;
                    tracing::error!(seq, %error, failures, "a decision can't be made durable yet");
                    let wait = crate::engine::backoff::Backoff::default().wait(failures, self.runtime.random());
                    self.runtime.sleep(wait.max(Duration::from_millis(10))).await;
                }
            }
        }
    }

    async fn try_settle(&self, seq: u64, verdict: Verdict, answer: Option<&Result<Option<PageRow>>>) -> Result<()> {
        let failure = |error: &Error| Failure::of(error, self.runtime.now());
        let error = answer.and_then(|answer| answer.as_ref().err());
        loop {
            let Some(entry) = self.store.entry(&self.cx(), seq).await? else { return Ok(()) };
            let now = self.runtime.now();
            let batch = match verdict {
                Verdict::Accept => {
                    let row = answer.and_then(|answer| answer.as_ref().ok()).and_then(Option::as_ref);
                    settle::accepted(&entry, &self.view(&entry).await?, row, now)?
                }
                Verdict::Park(reason) => {
                    settle::parked(&entry, &self.view(&entry).await?, reason, error.map(failure), now)
                }
                Verdict::Note => settle::noted(&entry, error.map(failure), now),
            };
            match self.store.commit(&self.cx(), batch).await? {
                CommitOutcome::Stale => continue,
                CommitOutcome::Committed(_) => {}
            }
            match verdict {
                Verdict::Accept => self.fates.settle(entry.id, Fate::Accepted),
                Verdict::Park(reason) => {
                    let error = error.map_or_else(|| parked_error(reason), Error::duplicate);
                    self.fates.settle(entry.id, Fate::Failed(error));
                }
                Verdict::Note => {}
            }
            return Ok(());
        }
    }

    /// The stored row of an entry, and the entries of it that come after.
    pub(crate) async fn view(&self, entry: &Entry) -> Result<View> {
        let stored = self.store.load(&self.cx(), entry.schema, &entry.key).await?;
        let mut later = Vec::new();
        let mut at = stored.as_ref().map_or(0, |stored| stored.meta.tail);
        while at > entry.seq {
            let Some(found) = self.store.entry(&self.cx(), at).await? else { break };
            at = found.prev;
            later.push(found);
        }
        later.reverse();
        Ok(View { stored, later })
    }

    /// Lets a parked entry go again; `false` if there is none.
    pub(crate) async fn retry(&self, seq: u64) -> Result<bool> {
        loop {
            let Some(entry) = self.store.entry(&self.cx(), seq).await? else { return Ok(false) };
            let batch = settle::retried(&entry, &self.view(&entry).await?, self.runtime.now());
            if self.store.commit(&self.cx(), batch).await? != CommitOutcome::Stale {
                return Ok(true);
            }
        }
    }

    /// Gives an entry up; gives the entries that went with it.
    pub(crate) async fn discard(&self, seq: u64) -> Result<Vec<u64>> {
        loop {
            let Some(entry) = self.store.entry(&self.cx(), seq).await? else { return Ok(Vec::new()) };
            let view = self.view(&entry).await?;
            let batch = settle::discarded(&entry, &view, self.runtime.now())?;
            let gone: Vec<u64> = batch.ops.iter().filter_map(|op| if let Op::Dequeue(seq) = op { Some(*seq) } else { None }).collect();
            if self.store.commit(&self.cx(), batch).await? == CommitOutcome::Stale {
                continue;
            }
            for entry in view.later.iter().chain([&entry]).filter(|entry| gone.contains(&entry.seq)) {
                let given_up = Error::new(ErrorKind::Cancelled, "the mutation was discarded").model(entry.schema.model);
                self.fates.settle(entry.id, Fate::Failed(given_up));
            }
            return Ok(gone);
        }
    }
}

/// An entry that can't be read was not sent.
fn unreadable(error: Error) -> Error {
    let transient = error.kind() == ErrorKind::Storage;
    let kind = if transient { ErrorKind::Offline } else { ErrorKind::Unsupported };
    Error::new(kind, "the outbox entry can't be read").with_sent(Sent::Never).because(error)
}

fn parked_error(reason: ParkReason) -> Error {
    match reason {
        ParkReason::Uncertain => Error::new(
            ErrorKind::Transport,
            "the mutation may have been applied and must not be repeated by itself: retry or discard it",
        ),
        ParkReason::Conflict => Error::new(ErrorKind::Conflict, "the remote's row has changed as well"),
        _ => Error::new(ErrorKind::Rejected, "the mutation is parked: retry or discard it"),
    }
    .with_sent(Sent::Maybe)
}
