//! The outbox's state machine.

use std::sync::Arc;
use std::time::Duration;

use larder_core::{
    Entry, EntryState, Error, ErrorKind, Idempotency, Key, ParkReason, Sent, Timestamp, Unreadable,
};

use super::backoff::Backoff;
use super::ties::Tied;
use super::window::{Stage, Window};

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
    pub(crate) tied: Tied,
}

impl Head {
    /// The head of an entry that can't be read, if it is known whose it is: a dead letter.
    pub(crate) fn unreadable(entry: &Unreadable) -> Option<Self> {
        let (schema, key) = entry.row.as_ref()?;
        Some(Self {
            seq: entry.seq,
            model: schema.model,
            key: key.clone(),
            idempotency: Idempotency::AtMostOnce,
            foreign: false,
            parked: Some(ParkReason::Unsendable),
            marked: None,
            strikes: 0,
            first_strike: None,
            // What it does and refers to stands where it can't be read.
            tied: Tied::default(),
        })
    }

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
            tied: Tied::of(entry),
        }
    }
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The outbox has changed: there may be entries that are not loaded yet.
    Stored,
    /// Entries were read from the store, up to `last`; `more` if there may be further ones. `wipes` is how often the
    /// store had been wiped by then.
    Loaded { heads: Vec<Head>, last: u64, more: bool, wipes: u64 },
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
    /// It is durable that the remote has an entry, and under which key its row and what is queued for it stand now.
    Exchanged { seq: u64, key: Key },
    /// The device is connected, or no longer.
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
    /// Everything was removed from the store, for the time that is given: what was loaded before is gone.
    Wiped(u64),
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
        !matches!(
            self,
            Self::Unreachable { sent: Sent::Never, .. }
                | Self::Unauthorized
                | Self::Unsendable
                | Self::NotThere
        )
    }

    fn came_from_remote(self) -> bool {
        matches!(self, Self::Accepted | Self::Conflict | Self::Refused | Self::NotThere | Self::Failed { .. })
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
    /// Note a failure that counts.
    Note,
    /// Note that it was not sent after all.
    Unmark,
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
    pub(super) window: Window,
    /// Everything up to here has been loaded; `None` while a load is under way.
    pub(super) loaded: u64,
    pub(super) loading: bool,
    pub(super) more: bool,
    pub(super) load_at: Option<Duration>,
    pub(super) connected: bool,
    pub(super) paused: bool,
    /// The credentials were refused: nothing goes before there are new ones.
    pub(super) held: bool,
    /// How often there were new ones: what was begun with older ones says nothing about these.
    pub(super) credentials: u64,
    /// How often the store has been wiped.
    wipes: u64,
    /// The remote can't be reached: one entry at a time tries, not before this moment.
    pub(super) down: Option<Duration>,
    /// The remote asked to be left alone until then: what it answers to others meanwhile changes nothing about that.
    pub(super) asked: Option<Duration>,
    pub(super) down_failures: u32,
    /// The monotonic moment of the last look at the schedule.
    pub(super) seen: Duration,
}

impl Engine {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            window: Window::default(),
            loaded: 0,
            loading: false,
            more: true,
            load_at: None,
            connected: true,
            paused: false,
            held: false,
            credentials: 0,
            wipes: 0,
            down: None,
            asked: None,
            down_failures: 0,
            seen: Duration::ZERO,
        }
    }

    /// Takes in what happened and says what is to be done.
    pub(crate) fn on(&mut self, now: Instants, event: Event, out: &mut Vec<Effect>) {
        match event {
            // Entries come by loading alone, so they come in order whoever stored them.
            Event::Stored => self.more = true,
            Event::Loaded { heads, last, more, wipes } => {
                self.loading = false;
                self.wiped(wipes);
                // What was read before a wipe is gone, and what came after it is still to be read.
                let outdated = wipes < self.wipes;
                let heads = if outdated { Vec::new() } else { heads };
                self.more |= outdated;
                // A write that came in meanwhile has set `more` again.
                self.more |= more;
                self.loaded = self.loaded.max(last);
                heads.into_iter().for_each(|head| self.window.add(head));
            }
            Event::LoadFailed { jitter } => {
                self.loading = false;
                self.more = true;
                let wait = self.settings.backoff.wait(1, jitter).max(Duration::from_millis(10));
                self.load_at = Some(now.mono + wait);
            }
            Event::Marked { seqs, at } => {
                for seq in seqs {
                    self.window.update(seq, |tracked| {
                        tracked.head.marked.get_or_insert(at);
                        tracked.stage = Stage::Ready;
                    });
                }
            }
            Event::MarkFailed { seqs, jitter } => {
                seqs.into_iter().for_each(|seq| self.postpone(seq, now.mono, None, jitter));
            }
            Event::Answered { seq, answer, jitter } => self.answered(now, seq, answer, jitter, out),
            Event::Settled { seq, verdict } => self.settled(seq, verdict),
            Event::Exchanged { seq, key } => self.window.exchange(seq, key),
            Event::Connectivity(connected) => {
                self.connected = connected;
                if connected {
                    self.hurry();
                }
            }
            Event::Credentials => {
                self.credentials += 1;
                self.nudge();
            }
            Event::Nudge => {
                self.more = true;
                self.nudge();
            }
            Event::Retried(seq) => {
                self.retried(seq);
                self.hurry();
            }
            Event::Discarded(seq) => self.window.forget(seq),
            Event::Tick => {}
            Event::Pause => self.paused = true,
            Event::Resume => self.paused = false,
            Event::Wiped(wipes) => self.wiped(wipes),
        }
        self.schedule(now, out);
    }

    /// How the outbox stands, as far as it is loaded.
    pub(crate) fn counts(&self) -> Counts {
        self.window.counts()
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
        if self.loading || !self.window.busy().is_empty() {
            return false;
        }
        let stuck = self.paused || self.held || !self.connected || self.down.is_some();
        stuck || !self.window.has_ready()
    }

    /// The rows whose entries are on their way.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = (&'static str, &Key)> {
        let tracked = self.window.busy().iter().filter_map(|seq| self.window.get(*seq));
        tracked
            .filter(|tracked| tracked.stage != Stage::Marking)
            .map(|tracked| (tracked.head.model, &tracked.head.key))
    }

    fn answered(&mut self, now: Instants, seq: u64, answer: Answer, jitter: u64, out: &mut Vec<Effect>) {
        let Some(tracked) = self.window.get_mut(seq) else {
            return;
        };
        let probing = tracked.stage == Stage::Probing;
        let disputed = std::mem::take(&mut tracked.disputed);
        let repeated = tracked.maybe_sent;
        tracked.maybe_sent |= answer.may_have_arrived();
        let once = tracked.head.idempotency == Idempotency::AtMostOnce;
        let marked_alone = tracked.head.idempotency.is_marked_alone();
        if answer.came_from_remote() {
            self.down = self.asked.filter(|until| *until > now.mono);
            self.down_failures = 0;
        }
        let verdict = match answer {
            Answer::Accepted => Verdict::Accept,
            Answer::NotThere if disputed => Verdict::Park(ParkReason::Conflict),
            Answer::NotThere => {
                // Asked, and told that it never arrived: send it.
                tracked.reconciled = true;
                self.window.set(seq, Stage::Sending);
                out.push(Effect::Send { seq, repeated: true });
                return;
            }
            Answer::Conflict if repeated && !probing && !tracked.reconciled => {
                // Our own success, whose answer was lost, looks like a conflict as well.
                tracked.disputed = true;
                self.window.set(seq, Stage::Probing);
                out.push(Effect::Probe(seq));
                return;
            }
            Answer::Conflict => Verdict::Park(ParkReason::Conflict),
            // Not even the question is answered.
            Answer::Refused if probing && !disputed => Verdict::Park(ParkReason::Uncertain),
            Answer::Refused => Verdict::Park(ParkReason::Rejected),
            Answer::Unsendable => Verdict::Park(ParkReason::Unsendable),
            // The credentials that were refused have been replaced while the answer was on its way.
            Answer::Unauthorized if tracked.credentials < self.credentials => {
                self.window.set(seq, Stage::Ready);
                return;
            }
            Answer::Unauthorized => {
                self.held = true;
                self.window.set(seq, Stage::Held);
                return;
            }
            Answer::Unreachable { sent, .. } if once && !probing && sent != Sent::Never => {
                Verdict::Park(ParkReason::Uncertain)
            }
            Answer::Unreachable { sent: Sent::Never, wait } if !repeated && marked_alone => {
                // Nothing has left: after a restart it must not look as if something might have.
                self.unreachable(now.mono, seq, wait, jitter);
                Verdict::Unmark
            }
            Answer::Unreachable { wait, .. } => {
                self.unreachable(now.mono, seq, wait, jitter);
                return;
            }
            Answer::Failed { .. } if once && !probing => Verdict::Park(ParkReason::Uncertain),
            Answer::Failed { wait } => {
                tracked.head.strikes += 1;
                let first = *tracked.head.first_strike.get_or_insert(now.wall);
                let span = Duration::try_from(now.wall.duration_since(first)).unwrap_or_default();
                if tracked.head.strikes < self.settings.strikes || span < self.settings.strike_span {
                    self.postpone(seq, now.mono, wait, jitter);
                    out.push(Effect::Settle(seq, Verdict::Note));
                    return;
                }
                Verdict::Park(ParkReason::Exhausted)
            }
        };
        self.window.set(seq, Stage::Settling);
        out.push(Effect::Settle(seq, verdict));
    }

    /// The remote can't be reached: it is left alone for a while, and then tried by one entry.
    fn unreachable(&mut self, mono: Duration, seq: u64, wait: Option<Duration>, jitter: u64) {
        self.down_failures = self.down_failures.saturating_add(1);
        if let Some(wait) = wait {
            self.asked = self.asked.max(Some(mono + wait));
        }
        let wait = wait.unwrap_or_else(|| self.settings.backoff.wait(self.down_failures, jitter));
        self.down = Some(self.down.unwrap_or_default().max(mono + wait));
        self.window.update(seq, |tracked| {
            tracked.reconciled = false;
            tracked.stage = Stage::Ready;
        });
    }

    /// Lets an entry wait for its backoff, or for as long as the remote asked.
    fn postpone(&mut self, seq: u64, mono: Duration, wait: Option<Duration>, jitter: u64) {
        let Some(tracked) = self.window.get_mut(seq) else {
            return;
        };
        tracked.failures = tracked.failures.saturating_add(1);
        let wait = wait.unwrap_or_else(|| self.settings.backoff.wait(tracked.failures, jitter));
        self.window.set(seq, Stage::Waiting { until: mono + wait });
    }

    fn settled(&mut self, seq: u64, verdict: Verdict) {
        match verdict {
            Verdict::Accept => {
                // What went with it is settled in the same transaction.
                self.window.carried(seq).into_iter().for_each(|carried| self.window.forget(carried));
                self.window.forget(seq);
            }
            Verdict::Park(reason) => {
                self.window.update(seq, |tracked| {
                    tracked.head.parked = Some(reason);
                    tracked.stage = Stage::Parked;
                });
                if self.window.get(seq).is_some_and(|tracked| tracked.revived) {
                    self.retried(seq);
                }
            }
            Verdict::Note => {}
            Verdict::Unmark => self.window.update(seq, |tracked| {
                tracked.head.marked = None;
                tracked.stage = Stage::Ready;
            }),
        }
    }

    /// A parked entry goes again. The application may see that an entry is parked before the engine does.
    fn retried(&mut self, seq: u64) {
        match self.window.get_mut(seq) {
            Some(tracked) if tracked.stage == Stage::Settling => tracked.revived = true,
            Some(tracked) if tracked.stage == Stage::Parked => self.window.update(seq, |tracked| {
                tracked.stage = Stage::Ready;
                tracked.revived = false;
                tracked.failures = 0;
                tracked.reconciled = false;
                tracked.head.parked = None;
                if tracked.head.idempotency == Idempotency::AtMostOnce {
                    tracked.maybe_sent = false;
                    tracked.head.marked = None;
                }
                tracked.head.strikes = 0;
                tracked.head.first_strike = None;
            }),
            _ => {}
        }
    }

    /// Forgets what was loaded before the store was wiped.
    fn wiped(&mut self, wipes: u64) {
        if wipes > self.wipes {
            self.wipes = wipes;
            self.window = Window::default();
            self.more = true;
        }
    }

    /// Whether the engine looks at the entry.
    pub(crate) fn tracks(&self, seq: u64) -> bool {
        self.window.get(seq).is_some()
    }

    /// The entry of the same row that comes after `seq`, as far as it is loaded.
    pub(crate) fn follower(&self, seq: u64) -> Option<u64> {
        self.window.follower(seq)
    }

    /// Cuts every wait short.
    fn hurry(&mut self) {
        self.down = None;
        self.asked = None;
        self.down_failures = 0;
        self.window.wake_all();
    }

    fn nudge(&mut self) {
        self.held = false;
        self.window.release_held();
        self.hurry();
    }
}
