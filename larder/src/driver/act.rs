//! The calls: read entries, mark them, send them, ask about them, make decisions durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder_core::{
    Applied, Batch, Cancellation, CommitOutcome, Context, Entry, Error, ErrorKind, Failure, Idempotency, Key,
    Mutation, MutationId, Op, Operation, PageRow, ParkReason, Provider, Query, Result, Runtime, Schema,
    SendMark, Sent, Store, StoredRow, Unreadable,
};

use crate::account::Account;
use crate::changes::Changes;
use crate::engine::exchange::{self, Exchange};
use crate::engine::settle::{self, View};
use crate::engine::{Answer, Event, Head, PermanentFailure, Settings, Verdict, enqueue};
use crate::fates::{Fate, Fates};
use crate::repository::{Since, take_brought};

/// What the calls need.
#[derive(Debug)]
pub(crate) struct Acts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) remote: Arc<dyn Provider>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) fates: Arc<Fates>,
    pub(crate) changes: Arc<Changes>,
    pub(crate) account: Arc<Account>,
    /// What becomes of a mutation that has failed for good, by model; it is parked unless told otherwise.
    pub(crate) policies: BTreeMap<&'static str, PermanentFailure>,
    pub(crate) settings: Settings,
    /// Raised when the driver stops: what can't be made durable is left to the next start.
    pub(crate) stopping: Cancellation,
    /// Answers that are not settled yet, by sequence number.
    pub(crate) answers: Mutex<BTreeMap<u64, Kept>>,
}

/// An answer that is not settled yet.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The revision of the store when the remote was asked.
    asked: u64,
    answer: Result<Option<PageRow>>,
}

impl Acts {
    pub(super) fn cx(&self) -> Context {
        Context { account: self.account.get(), ..Context::new() }
    }

    /// For requests to the remote: an entry goes in the name of the account that wrote it, whoever is signed in.
    pub(super) fn cx_of(entry: &Entry) -> Context {
        Context { account: entry.account.clone(), ..Context::new() }
    }

    pub(crate) async fn load(&self, mut after: u64, limit: usize) -> Event {
        loop {
            let wipes = self.changes.wipes();
            let event = self.load_once(after, limit, wipes).await;
            // What is read while the store is wiped may be of both times.
            if self.changes.wipes() == wipes {
                return event;
            }
            after = 0;
        }
    }

    async fn load_once(&self, after: u64, limit: usize, wipes: u64) -> Event {
        match self.store.outbox(&self.cx(), after, limit).await {
            Ok(loaded) => {
                for Unreadable { seq, error, .. } in &loaded.unreadable {
                    tracing::error!(seq, %error, "an outbox entry can't be read; it stays stored");
                }
                let count = loaded.entries.len() + loaded.unreadable.len();
                let head = |entry: &Entry| {
                    let policy = self.policies.get(entry.schema.model).copied().unwrap_or_default();
                    Head::of(entry, self.idempotency(entry), policy)
                };
                let mut heads: Vec<Head> = loaded.entries.iter().map(head).collect();
                // It holds back what comes after it in its lane.
                let own = |entry: &Unreadable| Head::unreadable(entry, self.account.get());
                heads.extend(loaded.unreadable.iter().filter_map(own));
                heads.sort_by_key(|head| head.seq);
                Event::Loaded { heads, last: loaded.last, more: count >= limit, wipes }
            }
            Err(error) => {
                tracing::error!(%error, "the outbox can't be read");
                Event::LoadFailed { jitter: self.runtime.random() }
            }
        }
    }

    /// What a repeat of the entry may do. One whose key is still to be given can't be asked about; and one that should
    /// say on which version it is based, and knows none, has to be asked about.
    pub(super) fn idempotency(&self, entry: &Entry) -> Idempotency {
        let conditional = entry.operation == Operation::Insert || entry.base_version.is_some();
        match self.remote.idempotency(entry.schema, entry.operation) {
            Idempotency::Probe if exchange::is_temporary(entry) => Idempotency::AtMostOnce,
            Idempotency::Conditional if !conditional => Idempotency::Probe,
            declared => declared,
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
            match self.store.entry(&self.cx(), *seq).await {
                Ok(Some(mut entry)) => {
                    entry.mark.get_or_insert(mark);
                    batch.ops.push(Op::Revise(Box::new(entry)));
                }
                Ok(None) => {}
                // It can't be sent either, and does not keep the others.
                Err(error) if is_damage(&error) => {
                    tracing::error!(seq, %error, "an outbox entry can't be read");
                }
                Err(error) => return Err(error),
            }
        }
        self.store.commit(&self.cx(), batch).await.map(drop)
    }

    #[tracing::instrument(name = "larder::send", skip(self))]
    pub(crate) async fn send(&self, seq: u64, repeated: bool) -> Event {
        let asked = self.store.revision();
        let answer = match self.try_send(seq, repeated).await {
            Ok(None) => Answer::Accepted,
            Ok(Some(applied)) => {
                self.keep(seq, asked, Ok(applied.row));
                Answer::Accepted
            }
            Err(error) => {
                let answer = Answer::of(&error);
                tracing::debug!(%error, ?answer, "the remote did not accept");
                self.keep(seq, asked, Err(error));
                answer
            }
        };
        Event::Answered { seq, answer, jitter: self.runtime.random() }
    }

    /// `None` if the entry is gone.
    async fn try_send(&self, seq: u64, repeated: bool) -> Result<Option<Applied>> {
        let Some(entry) = self.store.entry(&self.cx(), seq).await.map_err(unreadable)? else {
            return Ok(None);
        };
        let (cx, nested) = (Self::cx_of(&entry), self.nested(&entry).await?);
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
            nested,
        };
        self.remote.apply(&cx, &mutation).await.map(Some)
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
        // There is no key to ask by, and "not there" would send it again.
        if exchange::is_temporary(&entry) {
            return Ok(Answer::Unknowable);
        }
        let (asked, query) = (self.store.revision(), Query::key(entry.key.clone()));
        let is_it = |row: &PageRow| entry.schema.key_of(&*row.row).is_ok_and(|key| key == entry.key);
        let there = match self.remote.get(&Self::cx_of(&entry), entry.schema, &query).await {
            Ok(page) => query.finish(entry.schema, page.done, page.rows)?.into_iter().find(is_it),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let Some(there) = there else {
            return Ok(if entry.operation == Operation::Delete {
                Answer::Accepted
            } else {
                Answer::NotThere
            });
        };
        let Some(wanted) = &entry.row else {
            return Ok(Answer::NotThere);
        };
        let different = enqueue::differences(entry.schema, &**wanted, &*there.row)?;
        let as_wanted = !entry.changed.iter().any(|at| different.contains(at));
        if as_wanted && self.has_nested(&entry, &there).await? {
            self.keep(seq, asked, Ok(Some(there)));
            return Ok(Answer::Accepted);
        }
        Ok(if entry.operation == Operation::Insert { Answer::Conflict } else { Answer::NotThere })
    }

    fn keep(&self, seq: u64, asked: u64, answer: Result<Option<PageRow>>) {
        let kept = Kept { asked, answer };
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(seq, kept);
    }

    /// A probe that fails must not hide the answer that it was made for.
    fn keep_unless_answered(&self, seq: u64, error: Error) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.entry(seq).or_insert(Kept { asked: 0, answer: Err(error) });
    }

    pub(crate) fn answer(&self, seq: u64) -> Option<Kept> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(&seq)
    }

    /// Makes a decision durable. It was taken, so a store that fails is tried until it succeeds: the mutation is
    /// never given up for the sake of its bookkeeping. `next` is the entry of the row that comes after, if it is known.
    #[tracing::instrument(name = "larder::settle", skip(self))]
    pub(crate) async fn settle(&self, seq: u64, verdict: Verdict, next: Option<u64>) -> Event {
        let (asked, answer) = self.answer(seq).map(|kept| (kept.asked, kept.answer)).unzip();
        let mut decision = Decision {
            seq,
            verdict,
            next,
            asked: asked.unwrap_or_default(),
            answer,
            ids: Vec::new(),
            given: None,
            reverted: Vec::new(),
        };
        let mut failures = 0;
        loop {
            match self.try_settle(&mut decision).await {
                Ok(()) => {
                    return match decision.given {
                        Some(key) => Event::Exchanged { seq, key },
                        // It was gone already, or can't be read.
                        None if verdict == Verdict::Revert && decision.reverted.is_empty() => {
                            Event::Discarded(seq)
                        }
                        None if verdict == Verdict::Revert => Event::Reverted(decision.reverted),
                        None => Event::Settled { seq, verdict },
                    };
                }
                // The remote has the mutation, whatever it said about it.
                Err(error) if is_unfit(&error) && matches!(decision.answer, Some(Ok(Some(_)))) => {
                    tracing::warn!(seq, %error, "the remote accepted, and its answer can't be stored: it is left out");
                    decision.answer = Some(Ok(None));
                }
                Err(error) => {
                    failures += 1;
                    tracing::error!(seq, %error, failures, "a decision can't be made durable yet");
                    let wait = self.settings.backoff.wait(failures, self.runtime.random());
                    let wait = self.runtime.sleep(wait.max(Duration::from_millis(10)));
                    futures_util::future::select(wait, std::pin::pin!(self.stopping.cancelled())).await;
                    if self.stopping.is_cancelled() {
                        // The mark is durable: after the next start the entry goes by what its endpoint makes of a repeat.
                        return Event::Tick;
                    }
                }
            }
        }
    }

    async fn try_settle(&self, decision: &mut Decision) -> Result<()> {
        let Decision { seq, verdict, .. } = *decision;
        let failure = |error: &Error| Failure::of(error, self.runtime.now());
        let until = |error: Option<&Error>| {
            let wait = error.and_then(Error::retry_after)?.min(self.settings.longest_wait);
            self.runtime.now().checked_add(wait).ok()
        };
        loop {
            let (entry, stored) = match self.look(seq).await {
                Ok(Some(found)) => found,
                Ok(None) => break,
                // It stays stored as it is, and is not looked at before the next start.
                Err(error) if is_damage(&error) => {
                    tracing::error!(seq, %error, "an outbox entry can't be read; it stays stored");
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            decision.ids.clone_from(&entry.carries);
            decision.ids.push(entry.id);
            let now = self.runtime.now();
            let error = decision.answer.as_ref().and_then(|answer| answer.as_ref().err());
            let stored = stored.as_ref();
            let batch = match verdict {
                Verdict::Accept => {
                    let row = decision
                        .answer
                        .as_ref()
                        .and_then(|answer| answer.as_ref().ok())
                        .and_then(Option::as_ref);
                    let given = exchange::given(&entry, row);
                    let mut batch = match (stored, row, &given) {
                        (Some(stored), Some(row), Some(key)) => {
                            self.exchanged(&entry, stored, row, key.clone()).await?
                        }
                        _ => {
                            let next = self.next(&entry, stored, decision.next).await?;
                            settle::accepted(&entry, stored, next.as_ref(), row, now)?
                        }
                    };
                    decision.given = given;
                    self.accept_nested(&mut batch, &entry, row, now).await?;
                    let since = Since { revision: decision.asked, own: &[], touches: None, now };
                    take_brought(&mut batch, row, &*self.store, &self.cx(), since).await?;
                    batch
                }
                Verdict::Park(reason) => settle::parked(&entry, stored, reason, error.map(failure), now),
                Verdict::Note => settle::noted(&entry, stored, error.map(failure), until(error), now),
                Verdict::Defer => settle::deferred(&entry, stored, error.map(failure), until(error)),
                Verdict::Unmark => settle::unmarked(&entry, stored, until(error)),
                Verdict::Revert => {
                    let (batch, gone) = self.revert(&entry, stored.cloned(), error.map(failure)).await?;
                    decision.ids = gone.iter().map(|gone| gone.id).collect();
                    decision.reverted = gone.iter().map(|gone| gone.seq).collect();
                    batch
                }
            };
            if self.store.commit(&self.cx(), batch).await? != CommitOutcome::Stale {
                break;
            }
        }
        // An entry that was gone already has its fate, unless a commit of ours has succeeded and said that it failed.
        let given = decision.given.take();
        let own = decision.ids.last().copied();
        for id in decision.ids.drain(..) {
            match verdict {
                Verdict::Accept => {
                    self.fates.settle(id, Fate::Accepted(given.clone().filter(|_| Some(id) == own)));
                }
                Verdict::Park(_) | Verdict::Revert => {
                    let error = decision.answer.as_ref().and_then(|answer| answer.as_ref().err());
                    let reason =
                        if let Verdict::Park(reason) = verdict { reason } else { ParkReason::Reverted };
                    let error = error.map_or_else(|| parked_error(reason), Error::duplicate);
                    self.fates.settle(id, Fate::Failed(error));
                }
                Verdict::Note | Verdict::Defer | Verdict::Unmark => {}
            }
        }
        Ok(())
    }

    /// The batch that moves a row from its temporary key to `key`.
    async fn exchanged(
        &self,
        entry: &Entry,
        stored: &StoredRow,
        answer: &PageRow,
        key: Key,
    ) -> Result<Batch> {
        let there = self.store.load(&self.cx(), entry.schema, &key).await?;
        if there.as_ref().is_some_and(|there| there.meta.tail != 0) {
            let what = "the row has been written under its new key already";
            return Err(Error::new(ErrorKind::Conflict, what).model(entry.schema.model).key(&key));
        }
        let mut later = self.chain(entry.schema, &entry.key, stored.meta.tail).await?;
        later.retain(|other| other.seq > entry.seq);
        let exchange = Exchange { entry, stored, later, answer, key, there };
        exchange::exchanged(exchange, self.runtime.now())
    }

    /// An entry and its row. The entry is read after the row: a batch that relies on the row's revision relies on the
    /// entry as well, because whatever is decided about an entry touches its row.
    pub(super) async fn look(&self, seq: u64) -> Result<Option<(Entry, Option<StoredRow>)>> {
        let Some(entry) = self.store.entry(&self.cx(), seq).await? else {
            return Ok(None);
        };
        let stored = self.store.load(&self.cx(), entry.schema, &entry.key).await?;
        let entry = self.store.entry(&self.cx(), seq).await?;
        Ok(entry.map(|entry| (entry, stored)))
    }

    /// The entry of a row that comes after `entry`; `hint` is what the engine knows of that.
    pub(super) async fn next(
        &self,
        entry: &Entry,
        stored: Option<&StoredRow>,
        hint: Option<u64>,
    ) -> Result<Option<Entry>> {
        let tail = stored.map_or(0, |stored| stored.meta.tail);
        if tail <= entry.seq {
            return Ok(None);
        }
        if let Some(hint) = hint.filter(|hint| *hint <= tail) {
            let found = self.store.entry(&self.cx(), hint).await;
            if let Ok(Some(found)) = found {
                return Ok(Some(found));
            }
        }
        let chain = self.chain(entry.schema, &entry.key, tail).await?;
        Ok(chain.into_iter().find(|other| other.seq > entry.seq))
    }

    /// The entries of a row, oldest first. Those that can't be read are left out.
    pub(super) async fn chain(&self, schema: &'static Schema, key: &Key, tail: u64) -> Result<Vec<Entry>> {
        let (mut chain, mut at) = (Vec::new(), tail);
        while at != 0 {
            match self.store.entry(&self.cx(), at).await {
                Ok(Some(found)) => {
                    at = found.prev.min(at - 1);
                    if !settle::is_reverted(&found) {
                        chain.push(found);
                    }
                }
                // The one before has been settled.
                Ok(None) => break,
                Err(error) if is_damage(&error) => return self.scan(schema, key).await,
                Err(error) => return Err(error),
            }
        }
        chain.reverse();
        Ok(chain)
    }

    /// The entries of a row whose list is broken, oldest first.
    pub(super) async fn scan(&self, schema: &'static Schema, key: &Key) -> Result<Vec<Entry>> {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let loaded = self.store.outbox(&self.cx(), after, 256).await?;
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                return Ok(found);
            }
            after = loaded.last;
            found.extend(
                loaded.entries.into_iter().filter(|entry| {
                    entry.schema == schema && entry.key == *key && !settle::is_reverted(entry)
                }),
            );
        }
    }

    /// The row of an entry, and the entries of it that come before and after.
    pub(super) async fn view(&self, entry: &Entry, stored: Option<StoredRow>) -> Result<View> {
        let tail = stored.as_ref().map_or(0, |stored| stored.meta.tail);
        let mut earlier = self.chain(entry.schema, &entry.key, tail).await?;
        earlier.retain(|other| other.seq != entry.seq);
        let later = earlier.split_off(earlier.partition_point(|other| other.seq < entry.seq));
        Ok(View { stored, earlier, later })
    }
}

/// A decision that is being made durable.
struct Decision {
    seq: u64,
    verdict: Verdict,
    next: Option<u64>,
    /// The revision of the store when the remote was asked.
    asked: u64,
    answer: Option<Result<Option<PageRow>>>,
    /// The mutation and those that go with it, once its entry has been read.
    ids: Vec<MutationId>,
    /// The key that the remote has given in place of a temporary one.
    given: Option<Key>,
    /// The entries whose rows have gone back.
    reverted: Vec<u64>,
}

/// A record can't be read, and will not be by trying again.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Serialization | ErrorKind::Corrupt)
}

/// The data is at fault and not the medium.
fn is_unfit(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Serialization | ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::Unsupported
    )
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
