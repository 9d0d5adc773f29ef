//! The outbox's state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use larder_core::{Entry, EntryState, Error, ErrorKind, Idempotency, Key, ParkReason, Sent, Timestamp};

use super::backoff::Backoff;

/// What the engine is configured with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) backoff: Backoff,
    /// How many entries may be on their way at a time.
    pub(crate) parallel: usize,
    /// How many answers that count an entry survives, and over how long at least.
    pub(crate) strikes: u32,
    pub(crate) strike_span: Duration,
    /// How many heads are held at a time.
    pub(crate) window: usize,
    /// How many entries one commit may mark as "may have been sent".
    pub(crate) marks: usize,
    /// The account in whose name entries are sent.
    pub(crate) account: Option<Arc<str>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            parallel: 8,
            strikes: 5,
            strike_span: Duration::from_secs(10 * 60),
            window: 4096,
            marks: 64,
            account: None,
        }
    }
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
    pub(crate) model: &'static str,
    pub(crate) key: Key,
    pub(crate) idempotency: Idempotency,
    pub(crate) foreign: bool,
    pub(crate) parked: Option<ParkReason>,
    pub(crate) marked: Option<Timestamp>,
    pub(crate) strikes: u32,
    pub(crate) first_strike: Option<Timestamp>,
}

impl Head {
    pub(crate) fn of(entry: &Entry, idempotency: Idempotency, account: Option<&str>) -> Self {
        Self {
            seq: entry.seq,
            model: entry.schema.model,
            key: entry.key.clone(),
            idempotency,
            foreign: entry.account.as_deref() != account,
            parked: match entry.state {
                EntryState::Parked(reason) => Some(reason),
                _ => None,
            },
            marked: entry.mark.map(|mark| mark.first),
            strikes: entry.strikes,
            first_strike: entry.first_strike,
        }
    }
}

/// Where an entry of the window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Ready,
    Waiting { until: Duration },
    Marking,
    Sending,
    Probing,
    /// The answer is known; the bookkeeping is not durable yet.
    Settling,
    /// Waits for credentials.
    Held,
    Parked,
    /// Belongs to another account.
    Foreign,
}

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) head: Head,
    pub(super) stage: Stage,
    pub(super) failures: u32,
    /// An attempt may have arrived.
    pub(super) maybe_sent: bool,
    /// The remote was asked about that, and does not have it.
    pub(super) reconciled: bool,
    /// The probe that is under way was caused by a conflict.
    pub(super) disputed: bool,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The outbox has changed: there may be entries that are not loaded yet.
    Stored,
    /// Entries were read from the store, up to `last`; `more` if there may be further ones.
    Loaded { heads: Vec<Head>, last: u64, more: bool },
    /// Entries could not be read from the store.
    LoadFailed { jitter: u64 },
    /// The marks are durable.
    Marked { seqs: Vec<u64>, at: Timestamp },
    /// The marks are not durable.
    MarkFailed { seqs: Vec<u64>, jitter: u64 },
    /// A request came to an end.
    Answered { seq: u64, answer: Answer, jitter: u64 },
    /// What was decided about an entry is durable.
    Settled { seq: u64, verdict: Verdict },
    /// What was decided about an entry is not durable yet; the driver tries again.
    Connectivity(bool),
    /// New credentials are there.
    Credentials,
    /// Somebody asks for an attempt now.
    Nudge,
    /// A parked entry may go again.
    Retried(u64),
    /// An entry is gone by decision of the application.
    Discarded(u64),
    /// The time that was asked for has come.
    Tick,
    /// Nothing is sent from now on.
    Pause,
    /// Sending goes on.
    Resume,
    /// Everything was removed from the store.
    Wiped,
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
    /// The credentials were refused.
    Unauthorized,
    /// The remote's row has changed as well, or is there already.
    Conflict,
    /// The remote says no.
    Refused,
    /// A probe found that the remote does not have it.
    NotThere,
    /// The entry can't be sent as the application is today.
    Unsendable,
}

impl Answer {
    /// Whether the request, whatever became of it, may have had its effect.
    fn may_have_arrived(self) -> bool {
        !matches!(self, Self::Unreachable { sent: Sent::Never, .. } | Self::Unauthorized | Self::Unsendable | Self::NotThere)
    }

    /// Reads an error.
    pub(crate) fn of(error: &Error) -> Self {
        let wait = error.retry_after();
        match error.kind() {
            ErrorKind::Unauthorized => Self::Unauthorized,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Offline | ErrorKind::Timeout | ErrorKind::Transport => {
                Self::Unreachable { sent: error.sent(), wait }
            }
            // The remote, or something before it, says that it did not act on the request.
            _ if error.is_transient() && matches!(error.status(), Some(425 | 429 | 503)) => {
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
    /// Note the failure; `sent` tells whether it may have arrived.
    Note { counts: bool, sent: Sent },
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
    pub(crate) in_flight: usize,
    pub(crate) parked: usize,
    pub(crate) conflicts: usize,
}

/// The outbox's schedule.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) settings: Settings,
    pub(super) entries: BTreeMap<u64, Tracked>,
    pub(super) lanes: BTreeMap<(&'static str, Key), BTreeSet<u64>>,
    /// Everything up to here has been loaded; `None` while a load is under way.
    pub(super) loaded: u64,
    pub(super) loading: bool,
    pub(super) more: bool,
    pub(super) load_at: Option<Duration>,
    pub(super) connected: bool,
    pub(super) paused: bool,
    /// The credentials were refused: nothing goes before there are new ones.
    pub(super) held: bool,
    /// The remote can't be reached: one entry at a time tries, not before this moment.
    pub(super) down: Option<Duration>,
    pub(super) down_failures: u32,
}

impl Engine {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            entries: BTreeMap::new(),
            lanes: BTreeMap::new(),
            loaded: 0,
            loading: false,
            more: true,
            load_at: None,
            connected: true,
            paused: false,
            held: false,
            down: None,
            down_failures: 0,
        }
    }

    /// Takes in what happened and says what is to be done.
    pub(crate) fn on(&mut self, now: Instants, event: Event, out: &mut Vec<Effect>) {
        match event {
            // Entries come by loading alone, so they come in order whoever stored them.
            Event::Stored => self.more = true,
            Event::Loaded { heads, last, more } => {
                self.loading = false;
                // A write that came in meanwhile has set `more` again.
                self.more |= more;
                self.loaded = self.loaded.max(last);
                heads.into_iter().for_each(|head| self.track(head));
            }
            Event::LoadFailed { jitter } => {
                self.loading = false;
                self.more = true;
                self.load_at = Some(now.mono + self.settings.backoff.wait(1, jitter).max(Duration::from_millis(10)));
            }
            Event::Marked { seqs, at } => {
                for seq in seqs {
                    if let Some(tracked) = self.entries.get_mut(&seq) {
                        tracked.head.marked.get_or_insert(at);
                        tracked.stage = Stage::Sending;
                        out.push(Effect::Send { seq, repeated: false });
                    }
                }
            }
            Event::MarkFailed { seqs, jitter } => {
                for seq in seqs {
                    self.postpone(seq, now.mono, None, jitter);
                }
            }
            Event::Answered { seq, answer, jitter } => self.answered(now, seq, answer, jitter, out),
            Event::Settled { seq, verdict } => self.settled(seq, verdict),
            Event::Connectivity(connected) => {
                self.connected = connected;
                if connected {
                    self.hurry();
                }
            }
            Event::Credentials => {
                self.release_held();
                self.hurry();
            }
            Event::Nudge => {
                self.more = true;
                self.release_held();
                self.hurry();
            }
            Event::Retried(seq) => {
                if let Some(tracked) = self.entries.get_mut(&seq) {
                    tracked.stage = Stage::Ready;
                    tracked.failures = 0;
                    tracked.reconciled = false;
                    tracked.maybe_sent = false;
                    tracked.head.parked = None;
                    tracked.head.marked = None;
                    tracked.head.strikes = 0;
                    tracked.head.first_strike = None;
                }
                self.hurry();
            }
            Event::Discarded(seq) => self.forget(seq),
            Event::Tick => {}
            Event::Pause => self.paused = true,
            Event::Resume => self.paused = false,
            Event::Wiped => {
                self.entries.clear();
                self.lanes.clear();
                self.more = true;
            }
        }
        self.schedule(now, out);
    }

    /// How the outbox stands, as far as it is loaded.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for tracked in self.entries.values() {
            match tracked.stage {
                Stage::Parked => {
                    counts.parked += 1;
                    counts.conflicts += usize::from(tracked.head.parked == Some(ParkReason::Conflict));
                }
                Stage::Sending | Stage::Probing | Stage::Marking | Stage::Settling => counts.in_flight += 1,
                _ => counts.waiting += 1,
            }
        }
        counts
    }

    /// Whether the last attempts reached the remote.
    pub(crate) fn reachable(&self) -> bool {
        self.connected && self.down.is_none()
    }

    /// Whether the remote refuses the credentials.
    pub(crate) fn unauthorized(&self) -> bool {
        self.held
    }

    /// Whether sending is paused.
    pub(crate) fn paused(&self) -> bool {
        self.paused
    }

    /// True if nothing is under way and nothing could go if it were tried now.
    pub(crate) fn at_rest(&self) -> bool {
        let busy = |tracked: &Tracked| {
            matches!(tracked.stage, Stage::Sending | Stage::Probing | Stage::Marking | Stage::Settling)
        };
        if self.loading || self.entries.values().any(busy) {
            return false;
        }
        let stuck = self.paused || self.held || !self.connected || self.down.is_some();
        stuck || (!self.more && !self.entries.values().any(|tracked| self.could_go(tracked)))
    }

    /// A head of its lane that waits for nothing but time.
    fn could_go(&self, tracked: &Tracked) -> bool {
        tracked.stage == Stage::Ready && self.is_first(&tracked.head)
    }

    /// The rows whose entries are on their way.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = (&'static str, &Key)> {
        self.entries
            .values()
            .filter(|tracked| matches!(tracked.stage, Stage::Sending | Stage::Probing | Stage::Settling))
            .map(|tracked| (tracked.head.model, &tracked.head.key))
    }

    fn track(&mut self, head: Head) {
        let stage = match head.parked {
            _ if head.foreign => Stage::Foreign,
            Some(_) => Stage::Parked,
            None => Stage::Ready,
        };
        if self.entries.contains_key(&head.seq) {
            return;
        }
        self.lanes.entry((head.model, head.key.clone())).or_default().insert(head.seq);
        let maybe_sent = head.marked.is_some();
        let tracked = Tracked { head, stage, failures: 0, maybe_sent, reconciled: false, disputed: false };
        self.entries.insert(tracked.head.seq, tracked);
    }

    pub(super) fn forget(&mut self, seq: u64) {
        let Some(tracked) = self.entries.remove(&seq) else { return };
        let lane = (tracked.head.model, tracked.head.key);
        if let Some(seqs) = self.lanes.get_mut(&lane) {
            seqs.remove(&seq);
            if seqs.is_empty() {
                self.lanes.remove(&lane);
            }
        }
    }

    fn answered(&mut self, now: Instants, seq: u64, answer: Answer, jitter: u64, out: &mut Vec<Effect>) {
        let Some(tracked) = self.entries.get_mut(&seq) else { return };
        let probing = tracked.stage == Stage::Probing;
        let disputed = std::mem::take(&mut tracked.disputed);
        let repeated = tracked.maybe_sent;
        tracked.maybe_sent |= answer.may_have_arrived();
        let idempotency = tracked.head.idempotency;
        match answer {
            Answer::Accepted | Answer::Conflict | Answer::Refused | Answer::NotThere | Answer::Failed { .. } => {
                // The remote answered, whatever it said.
                self.down = None;
                self.down_failures = 0;
            }
            _ => {}
        }
        let verdict = match answer {
            Answer::Accepted => Verdict::Accept,
            Answer::NotThere if disputed => Verdict::Park(ParkReason::Conflict),
            Answer::NotThere => {
                // Asked, and told that it never arrived: send it.
                tracked.reconciled = true;
                tracked.stage = Stage::Sending;
                out.push(Effect::Send { seq, repeated: true });
                return;
            }
            Answer::Conflict if repeated && !probing && !tracked.reconciled => {
                // Our own success, whose answer was lost, looks like a conflict as well.
                tracked.disputed = true;
                tracked.stage = Stage::Probing;
                out.push(Effect::Probe(seq));
                return;
            }
            Answer::Conflict => Verdict::Park(ParkReason::Conflict),
            Answer::Refused => Verdict::Park(ParkReason::Rejected),
            Answer::Unsendable => Verdict::Park(ParkReason::Unsendable),
            Answer::Unauthorized => {
                tracked.stage = Stage::Held;
                self.held = true;
                return;
            }
            Answer::Unreachable { sent, wait } => {
                if !probing && sent != Sent::Never && idempotency == Idempotency::AtMostOnce {
                    Verdict::Park(ParkReason::Uncertain)
                } else {
                    self.unreachable(now.mono, seq, wait, jitter);
                    return;
                }
            }
            Answer::Failed { .. } if !probing && idempotency == Idempotency::AtMostOnce => {
                Verdict::Park(ParkReason::Uncertain)
            }
            Answer::Failed { wait } => {
                tracked.head.strikes += 1;
                let first = *tracked.head.first_strike.get_or_insert(now.wall);
                let span = Duration::try_from(now.wall.duration_since(first)).unwrap_or_default();
                if tracked.head.strikes >= self.settings.strikes && span >= self.settings.strike_span {
                    Verdict::Park(ParkReason::Exhausted)
                } else {
                    self.postpone(seq, now.mono, wait, jitter);
                    out.push(Effect::Settle(seq, Verdict::Note { counts: true, sent: Sent::Maybe }));
                    return;
                }
            }
        };
        tracked.stage = Stage::Settling;
        out.push(Effect::Settle(seq, verdict));
    }

    fn unreachable(&mut self, mono: Duration, seq: u64, wait: Option<Duration>, jitter: u64) {
        self.down_failures = self.down_failures.saturating_add(1);
        let wait = wait.unwrap_or_else(|| self.settings.backoff.wait(self.down_failures, jitter));
        self.down = Some(self.down.unwrap_or_default().max(mono + wait));
        if let Some(tracked) = self.entries.get_mut(&seq) {
            tracked.stage = Stage::Ready;
            tracked.reconciled = false;
        }
    }

    /// Lets an entry wait for its backoff, or for as long as the remote asked.
    fn postpone(&mut self, seq: u64, mono: Duration, wait: Option<Duration>, jitter: u64) {
        if let Some(tracked) = self.entries.get_mut(&seq) {
            tracked.failures = tracked.failures.saturating_add(1);
            let wait = wait.unwrap_or_else(|| self.settings.backoff.wait(tracked.failures, jitter));
            tracked.stage = Stage::Waiting { until: mono + wait };
        }
    }

    fn settled(&mut self, seq: u64, verdict: Verdict) {
        match verdict {
            Verdict::Accept => self.forget(seq),
            Verdict::Park(reason) => {
                if let Some(tracked) = self.entries.get_mut(&seq) {
                    tracked.stage = Stage::Parked;
                    tracked.head.parked = Some(reason);
                }
            }
            Verdict::Note { .. } => {}
        }
    }

    /// Cuts every wait short.
    fn hurry(&mut self) {
        self.down = None;
        self.down_failures = 0;
        for tracked in self.entries.values_mut() {
            if matches!(tracked.stage, Stage::Waiting { .. }) {
                tracked.stage = Stage::Ready;
            }
        }
    }

    fn release_held(&mut self) {
        self.held = false;
        for tracked in self.entries.values_mut() {
            if tracked.stage == Stage::Held {
                tracked.stage = Stage::Ready;
            }
        }
    }

    pub(super) fn is_first(&self, head: &Head) -> bool {
        let lane = self.lanes.get(&(head.model, head.key.clone()));
        lane.and_then(BTreeSet::first) == Some(&head.seq)
    }
}
