//! Makes a decision about an entry durable, and tells whoever waits for it.

use std::sync::PoisonError;
use std::time::Duration;

use larder_core::{
    Batch, CommitOutcome, Entry, Error, ErrorKind, Failure, Key, MutationId, PageRow, ParkReason, Response,
    Result, Sent, StoredRow, Timestamp,
};

use super::act::{Acts, Heard, Kept, is_damage};
use super::covered::Gone;
use super::forward;
use crate::engine::rebase::Rebased;
use crate::engine::renames::Rename;
use crate::engine::{Event, Moved, Verdict, exchange, settle};
use crate::fates::{Fate, Renamed};
use crate::parcel::is_parcel;
use crate::repository::{Since, take_brought};

/// A decision that is being made durable.
struct Decision {
    seq: u64,
    verdict: Verdict,
    next: Option<u64>,
    until: Option<Timestamp>,
    /// The revision of the store when the remote was asked.
    asked: u64,
    answer: Option<Result<Option<PageRow>>>,
    /// What the remote answered to a request that is no model.
    response: Option<Response>,
    /// What the remote has, if it was asked.
    heard: Option<Heard>,
    /// The mutation and those that go with it, once its entry has been read.
    ids: Vec<MutationId>,
    /// The key that the remote has given in place of a temporary one.
    given: Option<Key>,
    /// The keys that rows have got by it.
    renames: Vec<Rename>,
    /// Of what the remote said about a row with a new key, nothing but the key can be stored.
    key_alone: bool,
    /// The entries whose rows have gone back.
    reverted: Vec<u64>,
    /// What a rebase has done to the row's queue.
    moved: Option<Moved>,
    /// Whether rows are gone over there, where that had to be asked.
    gone: Gone,
    /// Who is to have the fate of another mutation, once it is durable.
    joined: Vec<Renamed>,
    /// The entry is not in the outbox any more.
    missing: bool,
}

impl Decision {
    /// What the remote answered, if that is an error.
    fn error(&self) -> Option<&Error> {
        self.answer.as_ref().and_then(|answer| answer.as_ref().err())
    }

    /// What the mutation is parked for is the conflict, whatever came of the attempt after which the remote was asked.
    fn dispute(&mut self, entry: &Entry) {
        let known = match &self.answer {
            Some(Err(error)) => error.kind(),
            _ => entry.failure.as_ref().map_or(ErrorKind::Cancelled, |failure| failure.kind),
        };
        if known == ErrorKind::Conflict {
            return;
        }
        let mut conflict = parked_error(ParkReason::Conflict).model(entry.schema.model).key(&entry.key);
        if let Some(Err(attempt)) = self.answer.take() {
            if let Some(status) = attempt.status().filter(|_| attempt.kind() == ErrorKind::NotFound) {
                conflict = conflict.with_status(status);
            }
            conflict = conflict.because(attempt);
        }
        self.answer = Some(Err(conflict));
    }

    /// Leaves out what can be left out of the answer; `false` if that is nothing. The key that a remote has given can't
    /// be: all that refers to the row waits for it.
    fn leave_out(&mut self) -> bool {
        if self.given.is_some() {
            return !std::mem::replace(&mut self.key_alone, true);
        }
        let said = matches!(self.answer, Some(Ok(Some(_))));
        if said {
            self.answer = Some(Ok(None));
        }
        said
    }
}

/// What makes a decision durable.
#[derive(Default)]
struct Settlement {
    batch: Batch,
    /// What has become of the row's queue.
    rebased: Option<Rebased>,
    /// What has become of the queues of rows that stood in the answer.
    brought: Vec<Rebased>,
}

impl From<Batch> for Settlement {
    fn from(batch: Batch) -> Self {
        Self { batch, ..Self::default() }
    }
}

impl From<Rebased> for Settlement {
    fn from(mut rebased: Rebased) -> Self {
        let batch = std::mem::take(&mut rebased.batch);
        Self { batch, rebased: Some(rebased), ..Self::default() }
    }
}

impl Acts {
    /// Makes a decision durable. It was taken, so a store that fails is tried until it succeeds: the mutation is
    /// never given up for the sake of its bookkeeping. `next` is the entry of the row that comes after, if it is known, and
    /// `until` the moment until which the remote asked to be left alone.
    #[tracing::instrument(name = "larder::settle", skip(self, until))]
    pub(crate) async fn settle(
        &self,
        seq: u64,
        verdict: Verdict,
        next: Option<u64>,
        until: Option<Timestamp>,
    ) -> Event {
        let (asked, answer, response) = match self.answer(seq) {
            Some(Kept { asked, answer, response }) => (asked, Some(answer), response),
            None => (0, None, None),
        };
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).remove(&seq);
        // Until it is durable and told, however often it is tried: a commit may have succeeded and say that it failed.
        let _telling = self.fates.telling();
        let mut decision = Decision {
            seq,
            verdict,
            next,
            until,
            asked,
            answer,
            response,
            heard,
            ids: Vec::new(),
            given: None,
            renames: Vec::new(),
            key_alone: false,
            reverted: Vec::new(),
            moved: None,
            gone: Gone::new(),
            joined: Vec::new(),
            missing: false,
        };
        let mut failures = 0;
        loop {
            match self.try_settle(&mut decision).await {
                Ok(()) => {
                    let (jitter, verdict) = (self.runtime.random(), decision.verdict);
                    // It was gone already, or can't be read.
                    let nothing = decision.reverted.is_empty();
                    return match (verdict, decision.moved) {
                        _ if !decision.renames.is_empty() => {
                            let places = decision.renames.into_iter();
                            let places = places.map(|rename| (rename.place(), rename.to)).collect();
                            Event::Exchanged { seq, renames: places }
                        }
                        (Verdict::Resolve, Some(moved)) => Event::Resolved { seq, moved, jitter },
                        (_, Some(moved)) => Event::Rebased(moved),
                        (Verdict::Resolve, None) => Event::Discarded(seq),
                        // Nobody could ever decide about it.
                        (Verdict::Park(_), None) if decision.missing => Event::Discarded(seq),
                        (Verdict::Revert, None) if nothing => Event::Discarded(seq),
                        (Verdict::Revert, None) => {
                            decision.reverted.sort_unstable();
                            decision.reverted.dedup();
                            Event::Reverted(decision.reverted)
                        }
                        (verdict, None) => Event::Settled { seq, verdict },
                    };
                }
                // The remote has the mutation, whatever it said about it.
                Err(error) if is_unfit(&error) && decision.leave_out() => {
                    tracing::warn!(seq, %error, "the remote accepted, and its answer can't be stored: it is left out");
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
        let mut settled = Settlement::default();
        // A mark, a rebase and a note of the same entry must not undo each other.
        let mut alone = matches!(verdict, Verdict::Note | Verdict::Defer | Verdict::Unmark);
        for attempt in 0.. {
            let _turn = self.turn(attempt).await;
            let _alone = if alone { Some(self.marking.lock().await) } else { None };
            let (entry, mut stored) = match self.look(seq).await {
                Ok(Some(found)) => found,
                Ok(None) => {
                    decision.missing = true;
                    break;
                }
                // It stays stored as it is, and is not looked at before the next start.
                Err(error) if is_damage(&error) => {
                    tracing::error!(seq, %error, "an outbox entry can't be read; it stays stored");
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            if matches!(verdict, Verdict::Accept) && is_parcel(&entry) {
                // Dozens may wait for their removal, and a body may be large.
                stored.iter_mut().for_each(|stored| stored.row = None);
            }
            decision.verdict = verdict;
            decision.joined.drain(..).for_each(|joined| self.fates.take_back(&joined));
            decision.ids.clone_from(&entry.carries);
            decision.ids.push(entry.id);
            let Some(mut settlement) = self.settlement(decision, &entry, stored.as_ref(), alone).await?
            else {
                alone = true;
                continue;
            };
            if matches!(verdict, Verdict::Accept | Verdict::Resolve) {
                self.changes.confirm(entry.schema, &entry.key);
            }
            let batch = std::mem::take(&mut settlement.batch);
            if let CommitOutcome::Committed(done) = self.commit(batch).await? {
                let alone = settlement.rebased.is_none() && decision.renames.is_empty();
                if let Some(stored) = stored.filter(|_| alone && matches!(verdict, Verdict::Accept)) {
                    self.written.goes_on(&entry, &stored, done.revision);
                }
                settled = settlement;
                break;
            }
        }
        decision.moved = settled.rebased.map(|rebased| self.tell(&rebased));
        let brought = settled.brought.iter().map(|rebased| self.tell(rebased));
        self.beside.lock().unwrap_or_else(PoisonError::into_inner).extend(brought);
        self.tell_fates(decision);
        Ok(())
    }

    /// What makes the decision durable as things stand; `None`: not without holding off marks and rebases, or something
    /// had to be done before, and now it is.
    async fn settlement(
        &self,
        decision: &mut Decision,
        entry: &Entry,
        stored: Option<&StoredRow>,
        alone: bool,
    ) -> Result<Option<Settlement>> {
        let now = self.runtime.now();
        if decision.verdict == Verdict::Park(ParkReason::Conflict) {
            decision.dispute(entry);
        }
        let has_left = decision.verdict != Verdict::Unmark;
        let is_answered = matches!(decision.verdict, Verdict::Park(_) | Verdict::Resolve);
        if (is_answered || !has_left) && self.catch_up(entry, stored, has_left, alone).await? {
            return Ok(None);
        }
        let failure = |decision: &Decision| decision.error().map(|error| Failure::of(error, now));
        let until = decision.until;
        Ok(Some(match decision.verdict {
            Verdict::Accept if is_parcel(entry) => forward::done(entry, stored).into(),
            Verdict::Accept => return self.acceptance(decision, entry, stored, alone).await,
            Verdict::Park(reason) => {
                let entry = self.with_theirs(entry, decision.heard.as_ref());
                settle::parked(&entry, stored, reason, failure(decision), now).into()
            }
            Verdict::Resolve => {
                let heard = decision.heard.as_ref();
                match self.resolved(entry, stored, heard, failure(decision)).await? {
                    Some(resolved) => resolved.into(),
                    None => {
                        decision.verdict = Verdict::Park(ParkReason::Conflict);
                        decision.dispute(entry);
                        let entry = self.with_theirs(entry, decision.heard.as_ref());
                        settle::parked(&entry, stored, ParkReason::Conflict, failure(decision), now).into()
                    }
                }
            }
            Verdict::Note => settle::noted(entry, stored, failure(decision), until, now).into(),
            Verdict::Defer => settle::deferred(entry, stored, failure(decision), until).into(),
            Verdict::Unmark => settle::unmarked(entry, stored, until).into(),
            Verdict::Revert => {
                let (dependants, mut relied_on) = self.dependants(entry).await?;
                if !dependants.is_empty() {
                    decision.reverted.extend(self.revert_dependants(dependants).await?);
                    return Ok(None);
                }
                let (mut batch, gone) = self.revert(entry, stored.cloned(), failure(decision)).await?;
                batch.expect.append(&mut relied_on);
                decision.ids = gone.iter().map(|gone| gone.id).collect();
                decision.reverted.extend(gone.iter().map(|gone| gone.seq));
                batch.into()
            }
        }))
    }

    /// The remote has the mutation: what it answered is merged, and the entry goes.
    async fn acceptance(
        &self,
        decision: &mut Decision,
        entry: &Entry,
        stored: Option<&StoredRow>,
        alone: bool,
    ) -> Result<Option<Settlement>> {
        let now = self.runtime.now();
        let row = decision.answer.as_ref().and_then(|answer| answer.as_ref().ok()).and_then(Option::as_ref);
        let given = exchange::given(entry, row);
        decision.renames.clear();
        decision.given.clone_from(&given);
        let mut noted = Batch::default();
        self.note_accepted(&mut noted, entry, given.as_ref());
        let mut covered = self.covered(entry, &mut decision.gone).await?;
        let mut settlement: Settlement = match (stored, row, given) {
            (Some(stored), Some(row), Some(key)) => {
                let mut key_alone = None;
                if decision.key_alone {
                    key_alone = Some(exchange::key_alone(entry.schema, row)?);
                }
                let row = key_alone.as_ref().unwrap_or(row);
                let (batch, renames, before, joined) =
                    self.exchanged(entry, stored, row, key, &mut decision.gone).await?;
                // Made anew meanwhile, it has another key by now.
                decision.given =
                    renames.iter().find(|rename| rename.from == entry.key).map(|rename| rename.to.clone());
                decision.renames = renames;
                // Before it is durable: afterwards the other's fate may come at once.
                let joined = joined.into_iter().map(|(former, id)| self.fates.rename(former, id));
                decision.joined = joined.collect();
                covered = before;
                batch.into()
            }
            _ => match self.overtaken(entry, stored, row).await? {
                Some(overtaken) => overtaken.into(),
                None => {
                    let next = self.next(entry, stored, decision.next).await?;
                    let again = self.written_again(entry, stored, row).await?;
                    settle::accepted(entry, stored, next.as_ref(), row, &again, now)?.into()
                }
            },
        };
        settlement.batch.ops.append(&mut noted.ops);
        settlement.batch.expect.append(&mut covered.batch.expect);
        settlement.batch.ops.append(&mut covered.batch.ops);
        settlement.brought = self.accept_nested(&mut settlement.batch, entry, row, now).await?;
        settlement.brought.extend(Some(covered).filter(|covered| !covered.ended.is_empty()));
        let since = Since { revision: decision.asked, own: &[], touches: None, now };
        let Some(brought) = take_brought(&mut settlement.batch, row, self, since, alone).await? else {
            return Ok(None);
        };
        settlement.brought.extend(brought);
        Ok(Some(settlement))
    }

    /// Tells whoever waits for the mutation, and for those that went with it.
    fn tell_fates(&self, decision: &mut Decision) {
        // An entry that was gone already has its fate, unless a commit of ours has succeeded and said that it failed.
        let own = decision.ids.last().copied();
        for id in std::mem::take(&mut decision.ids) {
            let reason = match decision.verdict {
                Verdict::Accept if decision.response.is_some() => {
                    let fate = decision.response.take().map_or(Fate::Accepted(None), Fate::Answered);
                    self.fates.settle(id, &fate);
                    continue;
                }
                Verdict::Accept => {
                    let given = decision.given.clone().filter(|_| Some(id) == own);
                    self.fates.settle(id, &Fate::Accepted(given));
                    continue;
                }
                Verdict::Park(reason) => reason,
                Verdict::Revert => ParkReason::Reverted,
                Verdict::Note | Verdict::Defer | Verdict::Unmark | Verdict::Resolve => continue,
            };
            let error = decision.error().map_or_else(|| parked_error(reason), Error::duplicate);
            self.fates.settle(id, &Fate::Failed(error));
        }
    }
}

/// The data is at fault and not the medium.
pub(super) fn is_unfit(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Serialization | ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::Unsupported
    )
}

pub(super) fn parked_error(reason: ParkReason) -> Error {
    match reason {
        ParkReason::Uncertain => Error::new(
            ErrorKind::Transport,
            "the mutation may have been applied and must not be repeated by itself: retry or discard it",
        ),
        ParkReason::Conflict => Error::new(
            ErrorKind::Conflict,
            "the remote's row is another one by now: settle the conflict, retry or discard the mutation",
        ),
        _ => Error::new(ErrorKind::Rejected, "the mutation is parked: retry or discard it"),
    }
    .with_sent(Sent::Maybe)
}
