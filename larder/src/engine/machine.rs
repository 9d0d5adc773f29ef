//! The outbox's state machine.

use std::collections::BTreeMap;
use std::time::Duration;

use larder_core::{Idempotency, Key, ParkReason, Sent};

use super::backoff::part;
use super::hosts::{Host, Queue, Standing};
use super::terms::{
    Answer, Counts, Effect, Event, Head, Instants, Moved, PermanentFailure, Settings, Verdict,
};
use super::tracked::{Stage, Tracked};
use super::window::{Window, is_aside};

/// How many conflicts of an entry are resolved one after the other before it waits for the application.
const CONFLICTS: u32 = 8;

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
    /// How often there were new ones: what was begun with older ones says nothing about these.
    pub(super) credentials: u64,
    /// How often the store has been wiped.
    wipes: u64,
    /// The hosts that are, or were, left alone.
    hosts: BTreeMap<Host, Standing>,
    /// The place of this device among all that were asked at one moment to come back at one moment: a part of what is between the
    /// first and the last, drawn when it is asked for the first time.
    place: Option<u64>,
    /// The connection was regained, by others at the same moment: nothing goes before this one.
    pub(super) apart: Option<Duration>,
    /// The monotonic moment of the last look at the schedule.
    pub(super) seen: Duration,
}

impl Engine {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            window: Window::of(&settings),
            settings,
            loaded: 0,
            loading: false,
            more: true,
            load_at: None,
            connected: true,
            paused: false,
            credentials: 0,
            wipes: 0,
            hosts: BTreeMap::new(),
            place: None,
            apart: None,
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
                // What was read before a wipe is gone, and what came after it is still to be read, from the beginning: where a
                // load began says nothing of a time that it was not asked in. So is what was decided meanwhile.
                let outdated = wipes != self.wipes || self.window.is_overtaken(&heads);
                self.wiped(wipes);
                let heads = if outdated { Vec::new() } else { heads };
                self.more |= outdated;
                // A write that came in meanwhile has set `more` again.
                self.more |= more;
                if !outdated {
                    self.loaded = self.loaded.max(last);
                }
                heads.into_iter().for_each(|head| self.add(now, head));
                self.window.loaded();
            }
            Event::LoadFailed { jitter } => {
                self.loading = false;
                self.window.loaded();
                self.more = true;
                let wait = self.settings.backoff.wait(1, jitter).max(Duration::from_millis(10));
                self.load_at = Some(now.mono + wait);
            }
            Event::Marked { seqs, at, revised, gone } => {
                for seq in seqs {
                    self.window.marked(seq, Some(at));
                }
                for head in &revised {
                    self.window.marked(head.seq, None);
                }
                self.window.revise(revised, gone, self.loading);
            }
            Event::Revised { mut revised, gone } => {
                // News under another key is of before an exchange, or comes before what tells of one. Where the entry is, the
                // exchange says; what it is, is seen when it is marked.
                let is_there =
                    |head: &Head| self.window.get(head.seq).is_none_or(|known| known.head.key == head.key);
                revised.retain(is_there);
                self.window.revise(revised, gone, self.loading);
            }
            Event::MarkFailed { seqs, jitter } => {
                for seq in seqs {
                    if self.window.marked(seq, None) {
                        self.postpone(seq, now.mono, None, jitter);
                    }
                }
            }
            Event::Answered { seq, answer, jitter } => self.answered(now, seq, answer, jitter, out),
            Event::Settled { seq, verdict } => self.settled(seq, verdict),
            Event::Exchanged { seq, renames } => self.window.exchange(seq, renames, self.loading),
            Event::Connectivity { connected, jitter } => {
                let regained = connected && !self.connected;
                self.connected = connected;
                if connected {
                    self.hurry(false);
                }
                if regained {
                    self.apart = Some(now.mono.saturating_add(part(self.settings.spread, jitter)));
                }
            }
            Event::Credentials => {
                self.credentials += 1;
                self.nudge(false);
            }
            Event::Nudge => {
                self.more = true;
                self.nudge(true);
            }
            Event::Retried(seq) => {
                self.retried(seq);
                self.hurry(true);
            }
            Event::Decided(seq) => self.decided(seq),
            Event::Edited { seq, id } => {
                self.edited(seq, id);
                self.hurry(true);
            }
            Event::Discarded(seq) | Event::Requeued(seq) => {
                self.window.revise(Vec::new(), vec![seq], self.loading);
            }
            Event::Kept(seq) => self.window.restore(seq),
            Event::Reverted(seqs) => {
                for seq in seqs {
                    self.window.decide(seq, self.loading);
                    self.window.set_aside(seq, ParkReason::Reverted);
                }
            }
            Event::Account(account) => {
                self.settings.account.clone_from(&account);
                self.window.sign_in(account);
                self.credentials += 1;
                self.nudge(false);
            }
            Event::Rebased(moved) => self.rebased(moved),
            Event::Resolved { seq, moved, jitter } => self.resolved(now.mono, seq, moved, jitter),
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
        self.connected && self.standing(&None).down.is_none()
    }

    /// Whether a host refuses the credentials.
    pub(crate) fn unauthorized(&self) -> bool {
        self.hosts.values().any(|standing| standing.held)
    }

    /// The hosts to which nothing goes now: until when that is so, and whether they refuse the credentials.
    pub(crate) fn resting(&self, mono: Duration) -> impl Iterator<Item = (&Host, Option<Duration>, bool)> {
        let resting = self
            .hosts
            .iter()
            .map(move |(host, standing)| (host, standing.down.filter(|until| *until > mono), standing.held));
        resting.filter(|(_, until, held)| *held || until.is_some())
    }

    /// Whether sending is paused.
    pub(crate) fn paused(&self) -> bool {
        self.paused
    }

    /// Whether a parked entry stops everything.
    pub(crate) fn halted(&self) -> bool {
        self.window.halted()
    }

    /// Whether there may be entries that are not loaded.
    pub(crate) fn has_more(&self) -> bool {
        self.more || self.loading
    }

    /// True if nothing goes, now or later, before somebody decides something or writes.
    pub(crate) fn is_settled(&self) -> bool {
        !self.has_more() && self.window.live() == 0 && self.window.busy().is_empty()
    }

    /// The entries that go in the request of an entry.
    pub(crate) fn carried(&self, seq: u64) -> Vec<u64> {
        self.window.carried(seq)
    }

    /// True if nothing is under way and nothing could go if it were tried now.
    pub(crate) fn at_rest(&self) -> bool {
        if self.loading || !self.window.busy().is_empty() {
            return false;
        }
        let rests = |(host, queue): (&Host, &Queue)| {
            let standing = self.standing(host);
            standing.held || standing.down.is_some() || !self.has_ready(queue)
        };
        self.stopped() || self.window.queues().all(rests)
    }

    /// Takes an entry out of the schedule until it is given up or [kept](Event::Kept); `false` if it is on its way.
    pub(crate) fn withdraw(&mut self, seq: u64) -> bool {
        self.window.withdraw(seq)
    }

    /// True if what was decided about an entry is not durable yet, or was not told yet.
    pub(crate) fn is_settling(&self, seq: u64) -> bool {
        let settling = |stage| matches!(stage, Stage::Settling | Stage::Acknowledged);
        self.window.get(seq).is_some_and(|tracked| settling(tracked.stage))
    }

    /// What the engine knows of an entry.
    pub(crate) fn head(&self, seq: u64) -> Option<&Head> {
        self.window.get(seq).map(|tracked| &tracked.head)
    }

    /// The rows whose entries are on their way.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = (&'static str, &Key)> {
        let sent = self.window.busy().difference(self.window.marking());
        let tracked = sent.filter_map(|seq| self.window.get(*seq));
        tracked.map(|tracked| (tracked.head.model, &tracked.head.key))
    }

    fn answered(&mut self, now: Instants, seq: u64, answer: Answer, jitter: u64, out: &mut Vec<Effect>) {
        let Some(tracked) = self.window.get_mut(seq) else {
            return;
        };
        let probing = tracked.stage == Stage::Probing;
        let disputed = tracked.disputed;
        let repeated = tracked.maybe_sent;
        tracked.maybe_sent |= answer.may_have_arrived();
        // What the remote was found not to have, it may have now.
        tracked.reconciled &= !answer.may_have_arrived();
        let once = tracked.head.idempotency == Idempotency::AtMostOnce;
        let marked_alone = tracked.head.idempotency.is_marked_alone();
        // After a kill it goes out again, and that has no effect.
        let harmless =
            matches!(tracked.head.idempotency, Idempotency::Idempotent | Idempotency::Keyed { .. });
        let reverts = tracked.head.on_failure == PermanentFailure::Revert;
        if answer.came_from_remote()
            && let Some(standing) = self.hosts.get_mut(&tracked.head.host)
        {
            standing.heard(now.mono);
        }
        let verdict = match answer {
            Answer::Accepted => Verdict::Accept,
            // The remote's row is other than it was, or can't be asked for: a conflict all the same.
            Answer::NotThere | Answer::Conflict | Answer::Refused | Answer::Unsendable if disputed => {
                if tracked.conflicts < CONFLICTS {
                    Verdict::Resolve
                } else {
                    Verdict::Park(ParkReason::Conflict)
                }
            }
            Answer::NotThere => {
                // Asked, and told that it never arrived: send it.
                tracked.reconciled = true;
                self.window.set(seq, Stage::Sending);
                out.push(Effect::Send { seq, repeated: true });
                return;
            }
            Answer::Conflict if !probing => {
                // Our own success, whose answer was lost, looks like a conflict as well; and of a conflict it has to be
                // known what the remote has now.
                tracked.disputed = true;
                self.window.set(seq, Stage::Probing);
                out.push(Effect::Probe(seq));
                return;
            }
            Answer::Conflict => Verdict::Park(ParkReason::Conflict),
            // Not even the question is answered.
            Answer::Refused if probing => Verdict::Park(ParkReason::Uncertain),
            Answer::Unknowable if !disputed => Verdict::Park(ParkReason::Uncertain),
            Answer::Unknowable => Verdict::Park(ParkReason::Conflict),
            // A request has no row to put back.
            Answer::Refused if reverts && tracked.head.lane.is_some() => Verdict::Park(ParkReason::Refused),
            Answer::Refused if reverts => Verdict::Revert,
            Answer::Refused => Verdict::Park(ParkReason::Rejected),
            Answer::Unsendable => Verdict::Park(ParkReason::Unsendable),
            // That was so before it was decided.
            Answer::Waits(_) if std::mem::take(&mut tracked.revived) => {
                self.window.set(seq, Stage::Ready);
                return;
            }
            Answer::Waits(reason) => {
                tracked.head.parked = Some(reason);
                self.window.set(seq, Stage::Parked);
                return;
            }
            // The credentials that were refused have been replaced while the answer was on its way.
            Answer::Unauthorized if tracked.credentials < self.credentials => {
                self.window.set(seq, Stage::Ready);
                return;
            }
            Answer::Unauthorized => {
                self.hosts.entry(tracked.head.host.clone()).or_default().held = true;
                self.window.set(seq, Stage::Held);
                return;
            }
            Answer::Unreachable { sent, .. } if once && !probing && sent != Sent::Never => {
                Verdict::Park(ParkReason::Uncertain)
            }
            // Nothing has left: after a restart it must not look as if something might have.
            Answer::Foreign if !repeated && marked_alone => Verdict::Unmark,
            Answer::Foreign => {
                self.window.set(seq, Stage::Ready);
                return;
            }
            Answer::Unreachable { sent: Sent::Never, wait } if !repeated && marked_alone => {
                self.unreachable(now.mono, seq, wait, jitter);
                Verdict::Unmark
            }
            Answer::Unreachable { wait, .. } => {
                self.unreachable(now.mono, seq, wait, jitter);
                if wait.is_some() {
                    out.push(Effect::Settle(seq, Verdict::Defer));
                }
                return;
            }
            Answer::Failed { .. } | Answer::Broken { .. }
                if once && !probing && answer.may_have_arrived() =>
            {
                Verdict::Park(ParkReason::Uncertain)
            }
            Answer::Failed { .. } | Answer::Broken { .. } => {
                let wait = if let Answer::Failed { wait } = answer { wait } else { None };
                tracked.head.strikes += 1;
                if tracked.head.first_strike.is_none() {
                    tracked.struck = Some(now.mono);
                }
                let first = *tracked.head.first_strike.get_or_insert(now.wall);
                // The wall clock counts across a restart alone: it may jump.
                let span = match tracked.struck {
                    Some(struck) => now.mono.saturating_sub(struck),
                    None => Duration::try_from(now.wall.duration_since(first)).unwrap_or_default(),
                };
                if tracked.head.strikes < self.settings.strikes || span < self.settings.strike_span {
                    self.postpone(seq, now.mono, wait, jitter);
                    out.push(Effect::Settle(seq, Verdict::Note));
                    return;
                }
                Verdict::Park(ParkReason::Exhausted)
            }
        };
        let ahead = verdict == Verdict::Accept && self.settings.ahead > 0 && harmless;
        self.window.set(seq, if ahead { Stage::Acknowledged } else { Stage::Settling });
        out.push(Effect::Settle(seq, verdict));
    }

    /// Takes an entry in that was read from the store.
    fn add(&mut self, now: Instants, head: Head) {
        let wait = head.not_before.map(|until| until.duration_since(now.wall));
        let wait = wait.and_then(|wait| Duration::try_from(wait).ok()).filter(|wait| !wait.is_zero());
        let (new, host) = (!self.tracks(head.seq), head.host.clone());
        self.window.add(head);
        if let Some(wait) = wait.filter(|_| new) {
            // It was said before a restart, and holds on.
            let most = self.settings.backoff.away(self.settings.longest_wait, u64::MAX);
            let until = now.mono.saturating_add(wait.min(most));
            self.hosts.entry(host).or_default().leave_alone(until);
        }
    }

    /// How a host stands.
    pub(super) fn standing(&self, host: &Host) -> Standing {
        self.hosts.get(host).copied().unwrap_or_default()
    }

    /// Until when the host of an entry asked to be left alone, if that is still to come.
    pub(crate) fn asked(&self, seq: u64, mono: Duration) -> Option<Duration> {
        self.hosts.get(&self.window.get(seq)?.head.host)?.asked(mono)
    }

    /// A host asked to be left alone.
    fn leave_alone(&mut self, host: Host, mono: Duration, wait: Duration, jitter: u64) {
        let wait = wait.min(self.settings.longest_wait);
        // Of what was on its way together, each may be told so: all of it has one place.
        let place = *self.place.get_or_insert(jitter);
        let until = mono.saturating_add(self.settings.backoff.away(wait, place));
        self.hosts.entry(host).or_default().leave_alone(until);
    }

    /// The host of an entry can't be reached: it is left alone for a while, and then tried by one entry.
    fn unreachable(&mut self, mono: Duration, seq: u64, wait: Option<Duration>, jitter: u64) {
        let Some(host) = self.window.get(seq).map(|tracked| tracked.head.host.clone()) else {
            return;
        };
        match wait {
            Some(wait) => self.leave_alone(host, mono, wait, jitter),
            None => self.hosts.entry(host).or_default().unreachable(&self.settings.backoff, mono, jitter),
        }
        self.window.update(seq, |tracked| {
            tracked.reconciled = false;
            tracked.stage = Stage::Ready;
        });
    }

    /// Lets an entry wait for its backoff, and its host be left alone for as long as it asked.
    fn postpone(&mut self, seq: u64, mono: Duration, wait: Option<Duration>, jitter: u64) {
        let Some(tracked) = self.window.get_mut(seq) else {
            return;
        };
        tracked.failures = tracked.failures.saturating_add(1);
        let host = tracked.head.host.clone();
        let own = self.settings.backoff.wait(tracked.failures, jitter);
        self.window.set(seq, Stage::Waiting { until: mono.saturating_add(own) });
        if let Some(wait) = wait {
            self.leave_alone(host, mono, wait, jitter);
        }
    }

    fn settled(&mut self, seq: u64, verdict: Verdict) {
        match verdict {
            Verdict::Accept => {
                // What went with it is settled in the same transaction.
                self.window.carried(seq).into_iter().for_each(|carried| self.window.forget(carried));
                self.window.forget(seq);
            }
            Verdict::Park(reason) if is_aside(Some(reason)) => self.window.set_aside(seq, reason),
            Verdict::Park(reason) => {
                self.window.update(seq, |tracked| {
                    tracked.head.parked = Some(reason);
                    tracked.stage = Stage::Parked;
                });
                if self.window.get(seq).is_some_and(|tracked| tracked.revived) {
                    self.retried(seq);
                }
            }
            // A reverted entry may take others with it, and what came of a conflict is told by an event of its own.
            Verdict::Note | Verdict::Defer | Verdict::Revert | Verdict::Resolve => {}
            Verdict::Unmark => self.window.update(seq, |tracked| {
                tracked.head.marked = None;
                // What was heard meanwhile may be in conflict with it.
                tracked.stage = if tracked.head.parked.is_some() { Stage::Parked } else { Stage::Ready };
            }),
        }
    }

    /// Takes over what a rebase has done.
    fn rebased(&mut self, Moved { ended, heads }: Moved) {
        // What went in the request of one that is gone may go by itself by now.
        for head in heads {
            self.window.decide(head.seq, self.loading);
            let settling = |tracked: &&mut Tracked| tracked.stage == Stage::Settling;
            if let Some(tracked) = self.window.get_mut(head.seq).filter(settling) {
                // It goes on as another one, of which nothing was sent. The application may see that an entry is parked
                // before the engine does, and settle it.
                if head.id != tracked.head.id {
                    (tracked.head.id, tracked.head.marked, tracked.maybe_sent) =
                        (head.id, head.marked, false);
                    tracked.revived |= head.parked.is_none();
                }
            }
            self.window.replace(&head);
        }
        for (seq, _) in ended {
            self.window.carried(seq).into_iter().for_each(|carried| self.window.forget(carried));
            self.window.end(seq, self.loading);
        }
    }

    /// The same for an entry that was refused: the first time it goes again at once, then it waits longer and longer.
    fn resolved(&mut self, mono: Duration, seq: u64, moved: Moved, jitter: u64) {
        self.rebased(moved);
        let Some(tracked) = self.window.get_mut(seq) else {
            return;
        };
        tracked.conflicts += 1;
        tracked.failures += 1;
        (tracked.disputed, tracked.reconciled, tracked.maybe_sent, tracked.revived) =
            (false, false, false, false);
        (tracked.head.strikes, tracked.head.first_strike, tracked.struck) = (0, None, None);
        tracked.head.marked = None;
        let stage = match tracked.conflicts {
            _ if tracked.head.parked.is_some() => Stage::Parked,
            1 => Stage::Ready,
            again => Stage::Waiting { until: mono + self.settings.backoff.wait(again - 1, jitter) },
        };
        self.window.set(seq, stage);
    }

    /// Forgets what was loaded before the store was wiped.
    fn wiped(&mut self, wipes: u64) {
        if wipes > self.wipes {
            self.wipes = wipes;
            self.window = Window::of(&self.settings);
            // What was salvaged has the numbers that it had.
            self.loaded = 0;
            self.more = true;
        }
    }

    /// How often the store had been wiped when that was told last.
    pub(crate) fn wipes(&self) -> u64 {
        self.wipes
    }

    /// Whether the engine looks at the entry.
    pub(crate) fn tracks(&self, seq: u64) -> bool {
        self.window.get(seq).is_some()
    }

    /// True if something is done about the entry: it is marked, or sent, or what came of that is made durable.
    pub(crate) fn is_busy(&self, seq: u64) -> bool {
        self.window.busy().contains(&seq)
    }

    /// The entry of the same row that comes after `seq`, as far as it is loaded.
    pub(crate) fn follower(&self, seq: u64) -> Option<u64> {
        self.window.follower(seq)
    }

    /// Cuts every wait short; those that hosts asked for if somebody insists.
    fn hurry(&mut self, insists: bool) {
        self.hosts.values_mut().for_each(|standing| standing.hurry(insists));
        self.apart = None;
        self.window.wake_all();
    }

    fn nudge(&mut self, insists: bool) {
        self.hosts.values_mut().for_each(|standing| standing.held = false);
        self.window.release_held();
        self.hurry(insists);
    }
}
