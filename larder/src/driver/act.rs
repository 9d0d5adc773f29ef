//! The calls: read entries, mark them, send them, ask about them, make decisions durable.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join;
use larder_core::{
    Applied, Batch, Cancellation, CommitOutcome, Context, Entry, EntryState, Error, ErrorKind, Idempotency,
    KeyKind, Mutation, Op, Operation, PageRow, Provider, Response, Result, Runtime, Schema, SendMark, Sent,
    Store, Unreadable,
};
use tokio::sync::{RwLock, RwLockWriteGuard};

use super::accepted::Accepted;
use super::again::Written;
use super::creations::Creations;
use super::fresh::Fresh;
use super::recent::{Changed, Recent};
use super::resolve::Resolvers;
use crate::account::Account;
use crate::changes::Changes;
use crate::contained::Panicked;
use crate::engine::exchange;
use crate::engine::settle;
use crate::engine::{Answer, Event, Head, Moved, PermanentFailure, Settings, enqueue};
use crate::fates::Fates;
use crate::given::Given;
use crate::parcel::{Parcel, is_parcel};

/// How often a decision is tried while others write, before they have to wait for it.
const OVERTAKEN: usize = 3;

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
    /// The models that are known.
    pub(crate) schemas: Vec<&'static Schema>,
    /// The keys that the remote has given in place of temporary ones.
    pub(crate) given: Arc<Given>,
    /// Shared by whoever writes; held alone by a decision that has been overtaken too often.
    pub(crate) turn: Arc<RwLock<()>>,
    /// Held while entries are marked, and while what is queued is put on what the remote has now.
    pub(crate) marking: tokio::sync::Mutex<()>,
    /// Raised when the driver stops: what can't be made durable is left to the next start.
    pub(crate) stopping: Cancellation,
    /// What becomes of rows that were changed on both sides.
    pub(crate) resolvers: Resolvers,
    /// Answers that are not settled yet, by sequence number.
    pub(crate) answers: Mutex<BTreeMap<u64, Kept>>,
    /// What the remote has of rows that are in conflict.
    pub(crate) heard: Mutex<BTreeMap<u64, Heard>>,
    /// Which entries of the rows that are being settled write what.
    pub(crate) written: Written,
    /// What the remote has accepted last of rows whose keys it gives.
    pub(crate) accepted: Accepted,
    /// Creations that may have been sent, of rows whose keys it gives.
    pub(crate) creations: Creations,
    /// Entries that are about to be sent or settled, with their rows.
    pub(crate) recent: Recent,
    /// What rebases have done to the queues of rows that stood in answers, until the engine is told.
    pub(crate) beside: Mutex<Vec<Moved>>,
    /// What is stored and not loaded.
    pub(crate) fresh: Fresh,
    /// The revision of the store when the outbox was last begun to be loaded.
    pub(crate) loading: AtomicU64,
    /// How many calls the driver has under way; one that is the only one may block its thread.
    pub(crate) under_way: AtomicUsize,
}

/// An answer that is not settled yet.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The revision of the store when the remote was asked.
    pub(super) asked: u64,
    pub(super) answer: Result<Option<PageRow>>,
    /// To a request that is no model.
    pub(super) response: Option<Response>,
}

/// What the remote has of a row that is in conflict, and of those that go in one request with it; `None`: nothing. What it
/// can't be asked about is not there.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(super) row: Option<PageRow>,
    /// By the sequence numbers of their entries.
    pub(super) nested: BTreeMap<u64, Option<PageRow>>,
}

impl Acts {
    pub(super) fn cx(&self) -> Context {
        Context { account: self.account.get(), ..Context::new() }
    }

    /// For what the driver itself commits.
    pub(super) fn own_cx(&self) -> Context {
        Context { alone: self.under_way.load(Ordering::Relaxed) == 1, ..self.cx() }
    }

    /// For requests to the remote: an entry goes in the name of the account that wrote it, whoever is signed in.
    pub(super) fn cx_of(entry: &Entry) -> Context {
        Context { account: entry.account.clone(), ..Context::new() }
    }

    /// Whether the entry belongs to another account than the one that is signed in: it may have changed since the engine
    /// said that the entry may go.
    pub(super) fn is_foreign(&self, entry: &Entry) -> bool {
        entry.account != self.account.get()
    }

    /// Commits what the driver alone has decided: what it knows of entries and rows that are not changed by that, it goes on
    /// to know.
    pub(super) async fn commit(&self, batch: Batch) -> Result<CommitOutcome> {
        let changed = Changed::by(&batch);
        let outcome = self.store.commit(&self.own_cx(), batch).await?;
        if let CommitOutcome::Committed(done) = &outcome {
            self.recent.goes_on(done.revision, &changed);
        }
        Ok(outcome)
    }

    /// Reads entries. What is read while the store is wiped may be of both times: the engine, which learns of the wipe, reads
    /// it again.
    pub(crate) async fn load(&self, after: u64, limit: usize) -> Event {
        let wipes = self.changes.wipes();
        self.loading.store(self.store.revision(), Ordering::SeqCst);
        match self.store.outbox(&self.cx(), after, limit).await {
            Ok(loaded) => {
                for Unreadable { seq, error, .. } in &loaded.unreadable {
                    tracing::error!(seq, %error, "an outbox entry can't be read; it stays stored");
                }
                let count = loaded.entries.len() + loaded.unreadable.len();
                let mut heads: Vec<Head> = loaded.entries.iter().map(|entry| self.head(entry)).collect();
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
        if is_parcel(entry) {
            // One that can't be read can't be sent either.
            return Parcel::read(entry).map_or(Idempotency::AtMostOnce, |parcel| parcel.idempotency());
        }
        let conditional = entry.operation == Operation::Insert || entry.base_version.is_some();
        match self.remote.idempotency(entry.schema, entry.operation) {
            Idempotency::Probe if exchange::is_temporary(entry) => Idempotency::AtMostOnce,
            Idempotency::Conditional if !conditional => Idempotency::Probe,
            declared => declared,
        }
    }

    /// Notes durably that the entries may have been sent, before the first byte goes out. One that is not any more what
    /// the schedule knows of it is not marked: the schedule learns what it is now.
    pub(crate) async fn mark(&self, heads: Vec<Head>) -> Event {
        let at = self.runtime.now();
        match self.try_mark(&heads, SendMark { first: at }).await {
            Ok(Marking { revised, gone }) => {
                let moved = |seq: &u64| gone.contains(seq) || revised.iter().any(|head| head.seq == *seq);
                let seqs = heads.iter().map(|head| head.seq).filter(|seq| !moved(seq)).collect();
                Event::Marked { seqs, at, revised, gone }
            }
            Err(error) => {
                tracing::error!(%error, "entries can't be marked as sent, so they are not sent");
                let seqs = heads.iter().map(|head| head.seq).collect();
                Event::MarkFailed { seqs, jitter: self.runtime.random() }
            }
        }
    }

    async fn try_mark(&self, heads: &[Head], mark: SendMark) -> Result<Marking> {
        for attempt in 0.. {
            let _turn = self.turn(attempt).await;
            let _alone = self.marking.lock().await;
            let (mut batch, mut marking, mut marked) = (Batch::default(), Marking::default(), Vec::new());
            for known in heads {
                match self.look(known.seq).await {
                    Ok(Some((mut entry, stored))) => {
                        let head = self.head(&entry);
                        if !head.is_as(known) {
                            marking.revised.push(head);
                            continue;
                        }
                        // Two queues have become one, of which the schedule has not heard: what comes before goes first.
                        if entry.schema.key.kind == KeyKind::Server && self.has_earlier(&entry).await? {
                            marking.revised.push(head);
                            continue;
                        }
                        // What the entry says changes with its row alone.
                        batch.expect.push(settle::expect(&entry, stored.as_ref()));
                        entry.mark.get_or_insert(mark);
                        batch.ops.push(Op::Revise(Box::new(entry.clone())));
                        // The body of a request may be large, and is read where it goes out.
                        if !is_parcel(&entry) {
                            marked.push((entry, stored));
                        }
                    }
                    Ok(None) => marking.gone.push(known.seq),
                    // It can't be sent either, and does not keep the others.
                    Err(error) if is_damage(&error) => {
                        tracing::error!(seq = known.seq, %error, "an outbox entry can't be read");
                    }
                    Err(error) => return Err(error),
                }
            }
            if batch.ops.is_empty() {
                return Ok(marking);
            }
            if let CommitOutcome::Committed(done) = self.commit(batch).await? {
                self.recent.keep(done.revision, marked);
                return Ok(marking);
            }
        }
        Ok(Marking::default())
    }

    /// What is waited for before a decision is tried once more: after some attempts, that nobody writes meanwhile.
    pub(super) async fn turn(&self, attempt: usize) -> Option<RwLockWriteGuard<'_, ()>> {
        if attempt < OVERTAKEN { None } else { Some(self.turn.write().await) }
    }

    pub(crate) fn head(&self, entry: &Entry) -> Head {
        let policy = self.policies.get(entry.schema.model).copied().unwrap_or_default();
        let mut head = Head::of(entry, self.idempotency(entry), policy);
        if let Some(Ok(parcel)) = is_parcel(entry).then(|| Parcel::read(entry)) {
            (head.lane, head.host) = (Some(parcel.lane()), parcel.host());
        }
        head
    }

    #[tracing::instrument(name = "larder::send", skip(self))]
    pub(crate) async fn send(&self, seq: u64, repeated: bool) -> Event {
        let asked = self.store.revision();
        let known = self.recent.get(asked, seq).map(|(entry, _)| entry);
        let is_known = known.is_some();
        let found = match known {
            Some(entry) => Ok(Some(entry)),
            None => self.store.entry(&self.cx(), seq).await.map_err(unreadable),
        };
        let mut operation = None;
        let applied = match found {
            Ok(None) => return self.answered(seq, Answer::Accepted),
            Ok(Some(Entry { state: EntryState::Parked(reason), .. })) => {
                return self.answered(seq, Answer::Waits(reason));
            }
            Ok(Some(entry)) if is_parcel(&entry) => return self.forward(entry, repeated).await,
            Ok(Some(entry)) => {
                operation = Some(entry.operation);
                if is_known {
                    self.try_send(entry, repeated).await
                } else {
                    // What the answer is put on is read while that is waited for.
                    join(self.try_send(entry.clone(), repeated), self.keep_sent(asked, entry)).await.0
                }
            }
            Err(error) => Err(error),
        };
        let answer = match applied {
            Ok(Some(applied)) => {
                self.keep_answer(seq, Kept { asked, answer: Ok(applied.row), response: None });
                Answer::Accepted
            }
            Ok(None) => Answer::Foreign,
            Err(error) => {
                let answer = match operation {
                    // What was to be changed is gone.
                    Some(Operation::Update | Operation::Delete) if error.kind() == ErrorKind::NotFound => {
                        Answer::Conflict
                    }
                    _ => Answer::of(&error),
                };
                tracing::debug!(%error, ?answer, "the remote did not accept");
                self.keep(seq, asked, Err(error));
                answer
            }
        };
        self.answered(seq, answer)
    }

    /// Reads the row of an entry, and keeps both if the store is as it was when that was read.
    async fn keep_sent(&self, revision: u64, entry: Entry) {
        let stored = self.store.load(&self.cx(), entry.schema, &entry.key).await;
        if let Ok(stored) = stored
            && self.store.revision() == revision
        {
            self.recent.keep(revision, [(entry, stored)]);
        }
    }

    pub(super) fn answered(&self, seq: u64, answer: Answer) -> Event {
        Event::Answered { seq, answer, jitter: self.runtime.random() }
    }

    /// `None` if the entry is foreign by now.
    async fn try_send(&self, entry: Entry, repeated: bool) -> Result<Option<Applied>> {
        let (cx, nested) = (Self::cx_of(&entry), self.nested(&entry).await?);
        if self.is_foreign(&entry) {
            return Ok(None);
        }
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
                self.keep_beside_refusal(seq, error);
                answer
            }
        };
        self.answered(seq, answer)
    }

    async fn try_probe(&self, seq: u64) -> Result<Answer> {
        let Some(entry) = self.store.entry(&self.cx(), seq).await.map_err(unreadable)? else {
            return Ok(Answer::Accepted);
        };
        // There is no key to ask by, and "not there" would send it again; nor can be asked about a request.
        if exchange::is_temporary(&entry) || is_parcel(&entry) {
            return Ok(Answer::Unknowable);
        }
        let asked = self.store.revision();
        let there = self.there(&entry).await?;
        let nested = self.nested_there(&entry, there.as_ref()).await?;
        let has_nested = nested.has_all;
        let heard = Heard { row: there.clone(), nested: nested.rows };
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(seq, heard);
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
        if as_wanted && has_nested {
            self.keep(seq, asked, Ok(Some(there)));
            return Ok(Answer::Accepted);
        }
        Ok(if entry.operation == Operation::Insert { Answer::Conflict } else { Answer::NotThere })
    }

    fn keep(&self, seq: u64, asked: u64, answer: Result<Option<PageRow>>) {
        self.keep_answer(seq, Kept { asked, answer, response: None });
    }

    pub(super) fn keep_answer(&self, seq: u64, kept: Kept) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(seq, kept);
    }

    /// A probe that fails must not hide the refusal that it was made for; what was lost on its way says nothing any more.
    fn keep_beside_refusal(&self, seq: u64, error: Error) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |kept: &Kept| {
            let refusal = kept.answer.as_ref().err().map(Error::kind);
            matches!(refusal, Some(ErrorKind::Conflict | ErrorKind::NotFound))
        };
        if !answers.get(&seq).is_some_and(refused) {
            answers.insert(seq, Kept { asked: 0, answer: Err(error), response: None });
        }
    }

    pub(crate) fn answer(&self, seq: u64) -> Option<Kept> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(&seq)
    }
}

/// What came of marking entries, beside the marks.
#[derive(Default)]
struct Marking {
    /// Entries that are other than the schedule knows them.
    revised: Vec<Head>,
    gone: Vec<u64>,
}

/// A record can't be read, and will not be by trying again. What a store has panicked over may be.
pub(super) fn is_damage(error: &Error) -> bool {
    !Panicked::is_cause_of(error) && matches!(error.kind(), ErrorKind::Serialization | ErrorKind::Corrupt)
}

/// A record can't be read now: it is damaged, or the store panics over it.
pub(super) fn is_unreadable(error: &Error) -> bool {
    is_damage(error) || Panicked::is_cause_of(error)
}

/// An entry that can't be read was not sent.
pub(super) fn unreadable(error: Error) -> Error {
    if Panicked::is_cause_of(&error) {
        return error.with_sent(Sent::Never);
    }
    let transient = error.kind() == ErrorKind::Storage;
    let kind = if transient { ErrorKind::Offline } else { ErrorKind::Unsupported };
    Error::new(kind, "the outbox entry can't be read").with_sent(Sent::Never).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contained;

    // Rules: o-panic-parts, o-unreadable
    #[test]
    fn what_could_not_be_read_was_not_sent_whatever_the_reason() {
        let corrupt = || Error::new(ErrorKind::Corrupt, "the checksum does not fit");
        let panicked = contained::now(|| panic!("no idea")).map(drop).unwrap_err();
        let panicked = corrupt().because(panicked);
        assert!(
            is_damage(&corrupt()) && !is_damage(&panicked),
            "what the store has panicked over may be read yet"
        );
        let answer = |error| Answer::of(&unreadable(error));
        assert_eq!(answer(panicked), Answer::Broken { sent: Sent::Never });
        assert_eq!(answer(corrupt()), Answer::Unsendable);
        let storage = Error::new(ErrorKind::Storage, "the medium can't be read");
        assert_eq!(answer(storage), Answer::Unreachable { sent: Sent::Never, wait: None });
    }
}
