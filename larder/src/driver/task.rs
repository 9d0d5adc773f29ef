//! The task: waits for whatever comes first, asks the engine, starts what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::FutureExt;
use larder_core::runtime::BoxFuture;
use larder_core::{Connectivity, Key, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

use super::act::Acts;
use super::creations;
use super::tell;
use super::work::Work;
use crate::engine::rebase::Ended;
use crate::engine::{Effect, Engine, Event, Instants, Settings, Verdict};
use crate::events::Teller;
use crate::status::{RestingHost, Status};

/// For how long news of what was stored can wait, where nothing can be sent and nobody looks on.
const QUIET: Duration = Duration::from_millis(20);

/// What the repository asks of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// Tell the engine.
    Tell(Event),
    /// Try everything now, and answer when nothing more can be done.
    Drain(oneshot::Sender<()>),
    /// Answer when nothing waits that would go by itself.
    Settled(oneshot::Sender<()>),
    /// Keep an entry from being sent, and answer whether it is not on its way.
    Withdraw(u64, oneshot::Sender<bool>),
    /// Stop as soon as nothing is under way.
    Close(oneshot::Sender<()>),
}

/// The repository's end of the driver.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) in_flight: Arc<Mutex<BTreeSet<(&'static str, Key)>>>,
    pub(crate) teller: Teller,
    accepted: Arc<AtomicU64>,
    /// Sending was paused, and the engine may not have been told yet.
    paused: Arc<AtomicBool>,
}

impl Handle {
    /// Sends nothing from now on.
    pub(crate) fn pause(&self) {
        self.paused.store(true, Ordering::Release);
        self.tell(Event::Pause);
    }

    /// Sends again.
    pub(crate) fn resume(&self) {
        self.paused.store(false, Ordering::Release);
        self.tell(Event::Resume);
    }

    /// How many mutations the remote has accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn tell(&self, event: Event) {
        // A driver that has stopped has nothing to be told.
        let _ = self.commands.send(Command::Tell(event));
    }

    /// Waits until the outbox is empty or stuck.
    pub(crate) async fn drain(&self) {
        let (done, drained) = oneshot::channel();
        if self.commands.send(Command::Drain(done)).is_ok() {
            let _ = drained.await;
        }
    }

    /// Waits until nothing waits that would go by itself.
    pub(crate) async fn settled(&self) {
        let (done, settled) = oneshot::channel();
        if self.commands.send(Command::Settled(done)).is_ok() {
            let _ = settled.await;
        }
    }

    /// Keeps an entry from being sent; `false` if it is on its way.
    pub(crate) async fn withdraw(&self, seq: u64) -> bool {
        let (done, withdrawn) = oneshot::channel();
        match self.commands.send(Command::Withdraw(seq, done)) {
            Ok(()) => withdrawn.await.unwrap_or(true),
            // A driver that has stopped sends nothing.
            Err(_) => true,
        }
    }

    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }
}

/// Starts the driver.
pub(crate) fn start(
    acts: Arc<Acts>,
    connectivity: Arc<dyn Connectivity>,
    settings: Settings,
    teller: Teller,
    paused: bool,
) -> Handle {
    let (commands, inbox) = mpsc::unbounded_channel();
    let engine = Engine::new(settings);
    let (status, seen) = watch::channel(Status { more: true, ..Status::default() });
    let in_flight = Arc::<Mutex<BTreeSet<_>>>::default();
    let accepted = Arc::<AtomicU64>::default();
    let stopped = Arc::new(AtomicBool::new(paused));
    let runtime = Arc::clone(&acts.runtime);
    let task = Task {
        acts,
        connectivity,
        engine,
        wipes: 0,
        work: Work::default(),
        inbox,
        status,
        in_flight: Arc::clone(&in_flight),
        teller: teller.clone(),
        accepted: Arc::clone(&accepted),
        paused: Arc::clone(&stopped),
        waiting: Vec::new(),
        settling: Vec::new(),
        withdrawing: Vec::new(),
        until: BTreeMap::new(),
        quiet: None,
        closing: None,
    };
    runtime.spawn("larder outbox", Box::pin(task.run(paused)));
    Handle { commands, status: seen, in_flight, teller, accepted, paused: stopped }
}

struct Task {
    acts: Arc<Acts>,
    connectivity: Arc<dyn Connectivity>,
    engine: Engine,
    /// How often the store had been wiped, or begun anew, when that was looked at last.
    wipes: u64,
    work: Work,
    inbox: mpsc::UnboundedReceiver<Command>,
    status: watch::Sender<Status>,
    /// Until when hosts are left alone, on both clocks.
    until: BTreeMap<Option<Arc<str>>, (Duration, Timestamp)>,
    in_flight: Arc<Mutex<BTreeSet<(&'static str, Key)>>>,
    teller: Teller,
    accepted: Arc<AtomicU64>,
    paused: Arc<AtomicBool>,
    /// Until this ends, news of what was stored waits: an application that writes a lot without a connection has its entries
    /// read many at a time, and no thread is woken for each.
    quiet: Option<BoxFuture<'static, ()>>,
    /// Those who wait for the outbox to come to rest.
    waiting: Vec<oneshot::Sender<()>>,
    /// Those who wait for it to be settled.
    settling: Vec<oneshot::Sender<()>>,
    /// Those who want to give an entry up.
    withdrawing: Vec<(u64, oneshot::Sender<bool>)>,
    closing: Option<Vec<oneshot::Sender<()>>>,
}

impl Drop for Task {
    /// However the task ends: nobody waits for a word that will not come, and nothing counts as on its way that is not.
    fn drop(&mut self) {
        self.acts.fates.close();
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.status.send_if_modified(|status| {
            let dropped = std::mem::take(&mut status.in_flight);
            status.pending += dropped;
            dropped > 0
        });
    }
}

/// The moment so long after another.
fn later(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = i128::try_from(wait.as_nanos()).unwrap_or(i128::MAX);
    Timestamp::from_nanosecond(at.as_nanosecond().saturating_add(wait)).unwrap_or(Timestamp::MAX)
}

/// Tells those who wait; they may have stopped waiting.
fn answer(waiting: Vec<oneshot::Sender<()>>) {
    for done in waiting {
        let _ = done.send(());
    }
}

/// How far the outbox is read.
#[derive(Clone, Copy)]
enum Read {
    All(u64),
    Upto(u64),
}

/// What came first.
enum Next {
    Event(Event),
    /// Whether there is a connection.
    Online(bool),
    Command(Command),
    /// The outbox was changed, or wiped.
    Stored,
    Closed,
}

impl Task {
    async fn run(mut self, paused: bool) {
        // First of all: the outbox is loaded, and nothing of it is sent, even if it has been resumed by now.
        if paused {
            self.feed(Event::Pause);
        }
        if self.acts.store.damage().is_some() {
            self.look_for_lost();
        }
        let mut online = self.connectivity.is_online();
        self.feed(Event::Connectivity { connected: online, jitter: 0 });
        loop {
            self.withdraw();
            if let Some(done) = self.closing.take_if(|_| self.work.is_empty()) {
                // The store is let go of first: whoever waits may open it again.
                drop(self);
                answer(done);
                return;
            }
            match self.next(online).await {
                Next::Online(now) => {
                    // Chance is asked only where it decides: whoever was not offline is not one of a crowd.
                    let jitter = if now && !online { self.acts.runtime.random() } else { 0 };
                    online = now;
                    self.feed(Event::Connectivity { connected: now, jitter });
                }
                Next::Event(event) => self.feed(event),
                Next::Stored => {
                    let wipes = self.acts.changes.wipes();
                    // The store may have begun anew with what verified.
                    if std::mem::replace(&mut self.wipes, wipes) != wipes {
                        self.look_for_lost();
                        self.acts.recent.clear();
                    }
                    self.feed(Event::Wiped(wipes));
                    self.feed(Event::Stored);
                    self.quiet = Some(self.acts.runtime.sleep(QUIET)).filter(|_| self.news_can_wait());
                }
                Next::Command(Command::Drain(done)) => {
                    self.waiting.push(done);
                    self.feed(Event::Nudge);
                }
                Next::Command(Command::Settled(done)) => {
                    self.settling.push(done);
                    // What was committed before the question is looked at before the answer.
                    self.feed(Event::Stored);
                }
                Next::Command(Command::Withdraw(seq, done)) => self.withdrawing.push((seq, done)),
                // Nothing starts again while the driver comes to its end, or if it was paused once more.
                Next::Command(Command::Tell(Event::Resume))
                    if self.closing.is_some() || self.paused.load(Ordering::Acquire) => {}
                Next::Command(Command::Tell(event)) => self.feed(event),
                Next::Command(Command::Close(done)) => {
                    self.stop();
                    self.closing.get_or_insert_default().push(done);
                }
                Next::Closed => {
                    self.stop();
                    // Whoever held the repository is gone; what is under way comes to its end.
                    while let Some(event) = self.work.next().await {
                        self.feed(event);
                    }
                    return;
                }
            }
        }
    }

    /// Nothing can go, and nobody but the repository sees how things stand.
    fn news_can_wait(&self) -> bool {
        self.engine.stopped() && !self.teller.is_heard() && self.status.receiver_count() <= 1
    }

    fn look_for_lost(&mut self) {
        let acts = Arc::clone(&self.acts);
        self.work.push(Box::pin(async move { acts.look_for_lost().await }));
        self.acts.under_way.store(self.work.len(), Ordering::Relaxed);
    }

    fn stop(&mut self) {
        self.feed(Event::Pause);
        self.acts.stopping.cancel();
    }

    /// Takes entries out of the schedule for those who want to give them up. The application may see that an entry is
    /// parked before the engine is told: that is waited for.
    fn withdraw(&mut self) {
        for (seq, done) in std::mem::take(&mut self.withdrawing) {
            if self.engine.is_settling(seq) {
                self.withdrawing.push((seq, done));
            } else {
                // Whoever asked is a task that waits to the end.
                let _ = done.send(self.engine.withdraw(seq));
            }
        }
    }

    async fn next(&mut self, online: bool) -> Next {
        if !self.news_can_wait() {
            self.quiet = None;
        }
        let timer = match self.engine.wait_until() {
            Some(until) => {
                let wait = until.saturating_sub(self.acts.runtime.monotonic());
                self.acts.runtime.sleep(wait)
            }
            None => Box::pin(std::future::pending()),
        };
        let connectivity = Arc::clone(&self.connectivity);
        let changed = async move {
            connectivity.changed(online).await;
            connectivity.is_online()
        };
        let work = &mut self.work;
        let finished = async {
            match work.next().await {
                Some(event) => event,
                None => std::future::pending().await,
            }
        };
        let (timer, changed, finished) = (timer.fuse(), changed.fuse(), finished.fuse());
        let (quiet, changes) = (&mut self.quiet, &self.acts.changes);
        let outbox = async {
            if let Some(rest) = quiet {
                rest.await;
                *quiet = None;
            }
            changes.outbox.notified().await;
        };
        let outbox = outbox.fuse();
        let command = self.inbox.recv().fuse();
        futures_util::pin_mut!(timer, changed, finished, outbox, command);
        futures_util::select_biased! {
            event = finished => Next::Event(event),
            command = command => command.map_or(Next::Closed, Next::Command),
            () = outbox => Next::Stored,
            now = changed => Next::Online(now),
            () = timer => Next::Event(Event::Tick),
        }
    }

    /// Marks what goes later in a task of its own: the answer to what is on its way is not to wait until dozens of rows are
    /// read.
    fn mark_aside(&self, marks: BoxFuture<'static, Event>, seqs: Vec<u64>) -> BoxFuture<'static, Event> {
        let (done, marked) = oneshot::channel();
        let marks = async move { drop(done.send(marks.await)) };
        self.acts.runtime.spawn("larder marks", Box::pin(marks));
        let runtime = Arc::clone(&self.acts.runtime);
        // Where the runtime stops, or that has panicked, whether they are marked is not known.
        let lost = move || Event::MarkFailed { seqs, jitter: runtime.random() };
        Box::pin(async move { marked.await.unwrap_or_else(|_| lost()) })
    }

    fn feed(&mut self, event: Event) {
        // Whoever has paused may rely on it: nothing that has happened meanwhile, such as the first load, starts anything.
        if self.paused.load(Ordering::Acquire) && !self.engine.paused() && !matches!(event, Event::Pause) {
            self.feed(Event::Pause);
        }
        let beside = std::mem::take(&mut *self.acts.beside.lock().unwrap_or_else(PoisonError::into_inner));
        beside.into_iter().for_each(|moved| self.feed(Event::Rebased(moved)));
        let accepted = self.is_acceptance(&event);
        self.accepted.fetch_add(u64::from(accepted), Ordering::Relaxed);
        let answered =
            if let Event::Answered { seq, answer, .. } = &event { Some((*seq, *answer)) } else { None };
        let heard = self.teller.is_heard();
        let (told, brought) = if heard {
            (tell::before(&self.engine, &event), tell::brought(&self.engine, &event))
        } else {
            Default::default()
        };
        let runtime = &self.acts.runtime;
        let now = Instants { mono: runtime.monotonic(), wall: runtime.now() };
        let mut effects = Vec::new();
        let (read, changed) = (self.what_is_read(&event), creations::Changed::by(&self.engine, &event));
        self.engine.on(now, event, &mut effects);
        self.acts.creations.follow(&self.engine, changed);
        if heard {
            let came = tell::after(&self.engine, &brought, answered, &effects);
            told.into_iter().chain(came).for_each(|event| self.teller.tell(event));
        }
        if let Some((seq, _)) = answered.filter(|(seq, _)| !self.engine.tracks(*seq)) {
            // It was given up or wiped meanwhile: nobody will ask for the answer.
            self.acts.answer(seq);
        }
        for effect in effects {
            let acts = Arc::clone(&self.acts);
            let call: BoxFuture<'static, Event> = match effect {
                Effect::Load { after, limit } => Box::pin(async move { acts.load(after, limit).await }),
                Effect::Mark(seqs) => {
                    let heads = seqs.iter().filter_map(|seq| self.engine.head(*seq).cloned()).collect();
                    let marks = Box::pin(async move { acts.mark(heads).await });
                    let aside = !self.work.is_empty() && seqs.len() > 1;
                    if aside { self.mark_aside(marks, seqs) } else { marks }
                }
                Effect::Send { seq, repeated } => Box::pin(async move { acts.send(seq, repeated).await }),
                Effect::Probe(seq) => Box::pin(async move { acts.probe(seq).await }),
                Effect::Settle(seq, verdict) => {
                    let next = self.engine.follower(seq);
                    let asked = self.engine.asked(seq, now.mono);
                    let until = asked.map(|until| later(now.wall, until.saturating_sub(now.mono)));
                    Box::pin(async move { acts.settle(seq, verdict, next, until).await })
                }
            };
            self.work.push(call);
        }
        self.acts.under_way.store(self.work.len(), Ordering::Relaxed);
        self.publish(accepted, now, read);
        if self.engine.at_rest() {
            answer(std::mem::take(&mut self.waiting));
        }
        if self.engine.is_settled() {
            answer(std::mem::take(&mut self.settling));
        }
    }

    /// True if the remote has taken something in. What is accepted while earlier changes of its row are still to go, or other
    /// news of it have come, goes by a rebase.
    fn is_acceptance(&self, event: &Event) -> bool {
        match event {
            Event::Settled { verdict, .. } => *verdict == Verdict::Accept,
            Event::Exchanged { .. } => true,
            Event::Rebased(moved) => {
                let done = |(seq, ended): &(u64, Ended)| *ended == Ended::Done && self.engine.is_busy(*seq);
                moved.ended.iter().any(done)
            }
            _ => false,
        }
    }

    /// How far the outbox is read, if this says so: up to an entry, or up to its end at a revision.
    fn what_is_read(&self, event: &Event) -> Option<Read> {
        match event {
            Event::Loaded { wipes, .. }
                if *wipes != self.acts.changes.wipes() || *wipes != self.engine.wipes() =>
            {
                None
            }
            Event::Loaded { more: true, last, .. } => Some(Read::Upto(*last)),
            Event::Loaded { .. } => Some(Read::All(self.acts.loading.load(Ordering::SeqCst))),
            _ => None,
        }
    }

    /// The hosts to which nothing goes now. The moment until which one is left alone is told once: clocks drift apart.
    fn resting(&mut self, now: Instants) -> Vec<RestingHost> {
        let former = std::mem::take(&mut self.until);
        let mut resting = Vec::new();
        for (host, until, unauthorized) in self.engine.resting(now.mono) {
            let until = until.map(|until| {
                let known = former.get(host).filter(|(known, _)| *known == until).map(|(_, told)| *told);
                let told = known.unwrap_or_else(|| later(now.wall, until.saturating_sub(now.mono)));
                self.until.insert(host.clone(), (until, told));
                told
            });
            resting.push(RestingHost { host: host.clone(), until, unauthorized });
        }
        resting
    }

    fn publish(&mut self, accepted: bool, now: Instants, read: Option<Read>) {
        let counts = self.engine.counts();
        let resting = self.resting(now);
        let next = Status {
            online: self.engine.reachable(),
            unauthorized: self.engine.unauthorized(),
            resting,
            paused: self.engine.paused(),
            halted: self.engine.halted(),
            pending: counts.waiting,
            blocked: counts.blocked,
            more: self.engine.has_more(),
            in_flight: counts.in_flight,
            parked: counts.parked,
            conflicts: counts.conflicts,
            last_pushed: if accepted { Some(now.wall) } else { self.status.borrow().last_pushed },
            // Both are told by the repository.
            last_pulled: None,
            damage: None,
        };
        let in_flight = self.engine.in_flight().map(|(model, key)| (model, key.clone())).collect();
        *self.in_flight.lock().unwrap_or_else(PoisonError::into_inner) = in_flight;
        let mut fresh = self.acts.fresh.lock();
        match read {
            Some(Read::All(revision)) => {
                self.acts.creations.read_all();
                fresh.is_read(revision);
            }
            Some(Read::Upto(seq)) => fresh.is_read_upto(seq),
            None => {}
        }
        self.status.send_if_modified(|status| {
            let modified = *status != next;
            *status = next;
            modified
        });
    }
}
