//! What the engine is told, what it says, and what it knows of an entry.

use std::sync::Arc;
use std::time::Duration;

use larder_core::{
    Entry, EntryState, Error, ErrorKind, Idempotency, Key, MutationId, ParkReason, Sent, Timestamp,
    Unreadable, Uuid,
};

use super::backoff::{Backoff, SPREAD};
use super::exchange::is_temporary;
use super::hosts::Host;
use super::rebase::Ended;
use super::ties::{Place, Tied};
use super::window::is_aside;
use crate::contained::Panicked;

/// What the engine is configured with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) backoff: Backoff,
    /// How far apart those who regain their connection at one moment begin.
    pub(crate) spread: Duration,
    /// How many entries may be on their way at a time.
    pub(crate) parallel: usize,
    /// One entry at a time, in the order of the sequence numbers, whatever its row.
    pub(crate) serial: bool,
    /// How many answers that count an entry survives, and over how long at least.
    pub(crate) strikes: u32,
    pub(crate) strike_span: Duration,
    /// The longest that a remote is left alone because it asked for it.
    pub(crate) longest_wait: Duration,
    /// How many heads are held at a time.
    pub(crate) window: usize,
    /// How many entries one commit may mark as "may have been sent"; no more of them wait for their turn.
    pub(crate) marks: usize,
    /// How many entries the remote may have accepted whose removal is not durable yet, while others go; 0: none.
    pub(crate) ahead: usize,
    /// The account in whose name entries are sent.
    pub(crate) account: Option<Arc<str>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            spread: SPREAD,
            parallel: 8,
            serial: false,
            strikes: 5,
            strike_span: Duration::from_secs(10 * 60),
            longest_wait: Duration::from_secs(60 * 60),
            window: 4096,
            marks: 64,
            ahead: 64,
            account: None,
        }
    }
}

/// What becomes of a mutation that has failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PermanentFailure {
    /// It is parked: it stops its own row and what depends on it, and nothing else, until the application decides.
    #[default]
    Park,
    /// If the remote has refused it, its row goes back to what it was changed from, and later changes go on from there.
    /// What is left of it is a dead letter with the remote's answer ([`ParkReason::Reverted`]) that stops nothing. What
    /// failed in another way is parked: the remote may have it.
    Revert,
    /// It is parked, and nothing at all is sent before the application decides.
    Halt,
}

/// The two clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instants {
    pub(crate) mono: Duration,
    pub(crate) wall: Timestamp,
}

/// What the engine knows of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) id: MutationId,
    pub(crate) model: &'static str,
    pub(crate) key: Key,
    /// Entries of one lane go in order, one at a time; `None` for that of the row.
    pub(crate) lane: Option<Key>,
    pub(crate) host: Host,
    pub(crate) idempotency: Idempotency,
    pub(crate) on_failure: PermanentFailure,
    pub(crate) account: Option<Arc<str>>,
    pub(crate) parked: Option<ParkReason>,
    pub(crate) marked: Option<Timestamp>,
    /// There was an attempt. It may go again as another one, and is not marked then.
    pub(crate) tried: bool,
    pub(crate) strikes: u32,
    pub(crate) first_strike: Option<Timestamp>,
    /// The remote asked to be left alone until then.
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) tied: Tied,
    /// It creates a row to which the remote gives its key.
    pub(crate) gets_key: bool,
}

impl Head {
    /// The head of an entry that can't be read, if it is known whose it is: a dead letter.
    pub(crate) fn unreadable(entry: &Unreadable, account: Option<Arc<str>>) -> Option<Self> {
        let (schema, key) = entry.row.as_ref()?;
        Some(Self {
            seq: entry.seq,
            id: MutationId(Uuid::nil()),
            model: schema.model,
            key: key.clone(),
            lane: None,
            host: None,
            idempotency: Idempotency::AtMostOnce,
            on_failure: PermanentFailure::Park,
            account,
            parked: Some(ParkReason::Unsendable),
            marked: None,
            tried: false,
            strikes: 0,
            first_strike: None,
            not_before: None,
            // What it does and refers to stands where it can't be read.
            tied: Tied::default(),
            gets_key: false,
        })
    }

    /// True if the schedule would not treat the entry otherwise than the one that it knows.
    pub(crate) fn is_as(&self, known: &Self) -> bool {
        self.key == known.key
            && self.id == known.id
            && self.idempotency == known.idempotency
            && self.parked == known.parked
            && self.tied == known.tied
    }

    /// True if the remote may have what it says, or has had it, and has not refused it.
    pub(crate) fn may_have_been_sent(&self) -> bool {
        (self.marked.is_some() || self.tried) && !is_aside(self.parked)
    }

    pub(crate) fn of(entry: &Entry, idempotency: Idempotency, on_failure: PermanentFailure) -> Self {
        Self {
            seq: entry.seq,
            id: entry.id,
            model: entry.schema.model,
            key: entry.key.clone(),
            lane: None,
            host: None,
            idempotency,
            on_failure,
            account: entry.account.clone(),
            parked: match entry.state {
                EntryState::Parked(reason) => Some(reason),
                _ => None,
            },
            marked: entry.mark.map(|mark| mark.first),
            tried: entry.attempts > 0,
            strikes: entry.strikes,
            first_strike: entry.first_strike,
            not_before: entry.not_before,
            tied: Tied::of(entry),
            gets_key: is_temporary(entry),
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The outbox has changed: there may be entries that are not loaded yet.
    Stored,
    /// Entries were read from the store, up to `last`; `more` if there may be further ones. `wipes` is how often the
    /// store had been wiped by then.
    Loaded { heads: Vec<Head>, last: u64, more: bool, wipes: u64 },
    /// Entries could not be read from the store.
    LoadFailed { jitter: u64 },
    /// The marks of `seqs` are durable. The others were not marked: they are other than they were known, or gone.
    Marked { seqs: Vec<u64>, at: Timestamp, revised: Vec<Head>, gone: Vec<u64> },
    /// Entries are other than they were, or gone, by a write of the application.
    Revised { revised: Vec<Head>, gone: Vec<u64> },
    /// The marks are not durable.
    MarkFailed { seqs: Vec<u64>, jitter: u64 },
    /// A request came to an end.
    Answered { seq: u64, answer: Answer, jitter: u64 },
    /// What was decided about an entry is durable.
    Settled { seq: u64, verdict: Verdict },
    /// It is durable that the remote has an entry, and under which keys its row and others stand now.
    Exchanged { seq: u64, renames: Vec<(Place, Key)> },
    /// The device is connected, or no longer.
    Connectivity { connected: bool, jitter: u64 },
    /// New credentials are there.
    Credentials,
    /// Somebody asks for an attempt now.
    Nudge,
    /// A parked entry may go again.
    Retried(u64),
    /// It has been decided about an entry that waited for that; what has become of it is told next.
    Decided(u64),
    /// A parked entry goes again with another intent; with this identity, if it may have been sent.
    Edited { seq: u64, id: MutationId },
    /// An entry is gone, and what it said is another one at the end of the outbox.
    Requeued(u64),
    /// An entry is gone by decision of the application.
    Discarded(u64),
    /// An entry that was to be given up stays.
    Kept(u64),
    /// It is durable that the rows of these entries have gone back, after the remote had refused the first of them.
    Reverted(Vec<u64>),
    /// What is queued for a row was put on what the remote has now.
    Rebased(Moved),
    /// An entry that was refused has been put on what the remote has now.
    Resolved { seq: u64, moved: Moved, jitter: u64 },
    /// Another account is signed in, or none.
    Account(Option<Arc<str>>),
    /// The time that was asked for has come.
    Tick,
    /// Nothing is sent from now on.
    Pause,
    /// Sending goes on.
    Resume,
    /// Everything was removed from the store, for the time that is given: what was loaded before is gone.
    Wiped(u64),
}

/// What a rebase has done to the queue of a row: entries that are gone, and entries that are other than before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) ended: Vec<(u64, Ended)>,
    pub(crate) heads: Vec<Head>,
}

/// What a request came to, as far as the schedule is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The remote has it.
    Accepted,
    /// Nothing was sent, or the remote is unreachable or overloaded: try again, without counting.
    Unreachable { sent: Sent, wait: Option<Duration> },
    /// The remote failed: try again, and count.
    Failed { wait: Option<Duration> },
    /// The provider panicked, or the store before anything was sent: try again, and count, for it will most likely do so again.
    /// The remote was not heard of.
    Broken { sent: Sent },
    /// The credentials were refused.
    Unauthorized,
    /// The remote's row has changed as well, or is there already.
    Conflict,
    /// The remote says no.
    Refused,
    /// A probe found that the remote does not have it.
    NotThere,
    /// The remote can't be asked whether it has it.
    Unknowable,
    /// The entry can't be sent as the application is today.
    Unsendable,
    /// Nothing was asked: the entry waits for a decision, and that was not known here yet.
    Waits(ParkReason),
    /// Nothing was asked: by now another account is signed in than the one that the entry belongs to.
    Foreign,
}

impl Answer {
    /// Whether the request, whatever became of it, may have had its effect.
    pub(super) fn may_have_arrived(self) -> bool {
        !matches!(
            self,
            Self::Unreachable { sent: Sent::Never, .. }
                | Self::Broken { sent: Sent::Never }
                | Self::Unauthorized
                | Self::Unsendable
                | Self::NotThere
                | Self::Unknowable
                | Self::Waits(_)
                | Self::Foreign
        )
    }

    pub(super) fn came_from_remote(self) -> bool {
        matches!(self, Self::Accepted | Self::Conflict | Self::Refused | Self::NotThere | Self::Failed { .. })
    }

    /// Reads an error.
    pub(crate) fn of(error: &Error) -> Self {
        let wait = error.retry_after();
        match error.kind() {
            _ if Panicked::is_cause_of(error) => Self::Broken { sent: error.sent() },
            ErrorKind::Unauthorized => Self::Unauthorized,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Offline | ErrorKind::Timeout | ErrorKind::Transport => {
                Self::Unreachable { sent: error.sent(), wait }
            }
            // The remote, or something before it, says that it did not act on the request.
            _ if error.is_transient() && matches!(error.status(), Some(425 | 429 | 503 | 511)) => {
                Self::Unreachable { sent: Sent::Never, wait }
            }
            _ if error.is_transient() && matches!(error.status(), Some(408 | 502 | 504)) => {
                Self::Unreachable { sent: Sent::Maybe, wait }
            }
            ErrorKind::Cancelled => Self::Unreachable { sent: error.sent(), wait },
            _ if error.is_transient() => Self::Failed { wait },
            ErrorKind::Unsupported | ErrorKind::Invalid => Self::Unsendable,
            _ => Self::Refused,
        }
    }
}

/// What is decided about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Remove it and merge the answer.
    Accept,
    /// Keep it as a dead letter.
    Park(ParkReason),
    /// Put its row back, and keep what came of it.
    Revert,
    /// Note a failure that counts.
    Note,
    /// Note a failure that doesn't, and for how long the remote asked to be left alone.
    Defer,
    /// Note that it was not sent after all.
    Unmark,
    /// Put it on what the remote has now.
    Resolve,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Read entries after this sequence number.
    Load { after: u64, limit: usize },
    /// Note durably that these may have been sent.
    Mark(Vec<u64>),
    /// Send.
    Send { seq: u64, repeated: bool },
    /// Ask the remote whether it has it.
    Probe(u64),
    /// Make a decision durable, with the answer that led to it.
    Settle(u64, Verdict),
}

/// How the outbox stands.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) waiting: usize,
    /// Those of the waiting that nothing but a decision lets go.
    pub(crate) blocked: usize,
    pub(crate) in_flight: usize,
    pub(crate) parked: usize,
    pub(crate) conflicts: usize,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // Rules: o-backoff
    #[rstest]
    #[case::before_the_request_was_read([425, 429, 503], Answer::Unreachable { sent: Sent::Never, wait: None })]
    #[case::nobody_knows_what_became_of_it([408, 502, 504], Answer::Unreachable { sent: Sent::Maybe, wait: None })]
    #[case::the_server_failed([500, 500, 500], Answer::Failed { wait: None })]
    #[case::the_server_says_no([400, 422, 501], Answer::Refused)]
    fn a_status_says_whether_a_repeat_helps_and_whether_the_attempt_counts(
        #[case] statuses: [u16; 3],
        #[case] expected: Answer,
    ) {
        for status in statuses {
            let error = Error::new(ErrorKind::Http { status }, "no").with_sent(Sent::Answered);
            assert_eq!(Answer::of(&error), expected, "{status}");
        }
    }

    // Rules: o-backoff
    #[test]
    fn what_was_broken_off_here_is_no_refusal_and_counts_as_no_failure() {
        for sent in [Sent::Never, Sent::Maybe] {
            let error = Error::new(ErrorKind::Cancelled, "given up").with_sent(sent);
            assert_eq!(Answer::of(&error), Answer::Unreachable { sent, wait: None });
        }
    }
}
