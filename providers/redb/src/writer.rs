//! The one place where anything becomes durable.
//!
//! Whoever commits puts a job in the queue; if nobody writes, a turn is started on [`Runtime::blocking`]. It takes what
//! waits, up to [`GROUP`] batches, into one transaction, and ends when nothing waits: there is no thread of our own,
//! and under a runtime that runs everything inline a commit is done when `blocking` returns.
//!
//! A turn may begin on the thread of the one who commits, if he does nothing else meanwhile: then nobody has to be woken for
//! the commit, nor after it. It ends there with the first transaction, and goes on elsewhere if others wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread::ThreadId;

use arc_swap::ArcSwapOption;
use larder_core::{
    Batch, CommitObserver, CommitOutcome, Damage, Error, ErrorKind, Migrated, Result, Runtime, StoreSize,
};
use tokio::sync::oneshot;

use crate::again::Again;
use crate::catalog::Catalog;
use crate::commit::Writer;
use crate::config::Medium;
use crate::error::contain;
use crate::held::Held;
use crate::mend::Snapshot;
use crate::reads::Generation;
use crate::reports::Report;
use crate::salvage::NoteRecords;
use crate::upkeep::Prepared;

/// The most batches in one transaction.
const GROUP: usize = 256;

/// How often the writer steps aside without a job coming before it goes on: some tens of microseconds.
const PATIENCE: usize = 200;

/// What the store's handles, its writer and its readers share.
pub(crate) struct Shared {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) catalog: Catalog,
    /// The newest committed state; `None` while the store reopens itself.
    pub(crate) reads: ArcSwapOption<Generation>,
    /// The revision of the newest state, for when none is published.
    pub(crate) revision: AtomicU64,
    pub(crate) medium: Medium,
    /// What is noted down about models, shapes and indexes, as it was when the store was opened.
    pub(crate) notes: NoteRecords,
    /// What was salvaged and nobody has acknowledged, the newest last.
    pub(crate) reports: Mutex<Vec<Report>>,
    /// True once damage was come across that the store has not been mended of.
    pub(crate) suspected: AtomicBool,
    pub(crate) again: Again,
    queue: Mutex<Queue>,
    writer: Mutex<Writer>,
    pub(crate) observers: Mutex<Vec<Weak<dyn CommitObserver>>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// True from the starting of a turn to its end.
    active: bool,
    /// The thread of the turn, once it runs.
    thread: Option<ThreadId>,
    closing: bool,
}

/// What the writer is asked for.
pub(crate) enum Job {
    /// To apply a batch.
    Commit(Batch, oneshot::Sender<Result<CommitOutcome>>),
    /// To remove everything.
    Wipe(oneshot::Sender<Result<()>>),
    /// To rewrite a piece of what older versions of the models have stored.
    Migrate(usize, oneshot::Sender<Result<Migrated>>),
    /// To reopen the store, if that is needed.
    Revive(oneshot::Sender<Result<()>>),
    /// To tell what is committed, here and on the medium.
    Snapshot(oneshot::Sender<Result<Snapshot>>),
    /// To begin anew with what verifies, if anything is damaged.
    Mend(Cause, Option<oneshot::Sender<Result<Option<Damage>>>>),
    /// To forget a report of a salvage.
    Acknowledge(Damage, oneshot::Sender<Result<()>>),
    /// To give space back.
    Compact(oneshot::Sender<Result<StoreSize>>),
}

/// Why the store looks whether it is damaged.
pub(crate) enum Cause {
    /// It has come across this.
    Met(Error),
    /// It was asked to.
    Asked,
}

/// Where a turn of the writer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Where the runtime lets work block.
    Aside,
    /// On the thread of the one who commits.
    Here,
}

/// What becomes of a job, sent when no lock is held any more.
enum Answer {
    Commit(oneshot::Sender<Result<CommitOutcome>>, Result<CommitOutcome>),
    Migrated(oneshot::Sender<Result<Migrated>>, Result<Migrated>),
    Snapshot(oneshot::Sender<Result<Snapshot>>, Box<Result<Snapshot>>),
    Mended(Option<oneshot::Sender<Result<Option<Damage>>>>, Box<Result<Option<Damage>>>),
    Compacted(oneshot::Sender<Result<StoreSize>>, Result<StoreSize>),
    Done(oneshot::Sender<Result<()>>, Result<()>),
}

impl Answer {
    fn send(self) {
        // Nobody may be waiting any more.
        match self {
            Self::Commit(to, result) => drop(to.send(result)),
            Self::Migrated(to, result) => drop(to.send(result)),
            Self::Snapshot(to, result) => drop(to.send(*result)),
            Self::Mended(to, result) => drop(to.map(|to| to.send(*result))),
            Self::Compacted(to, result) => drop(to.send(result)),
            Self::Done(to, result) => drop(to.send(result)),
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under one of these locks leaves nothing half done: what fails is marked as broken.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        runtime: Arc<dyn Runtime>,
        prepared: Prepared,
        medium: Medium,
        held: Held,
    ) -> Result<Self> {
        let Prepared { catalog, counters, notes, reports } = prepared;
        let (reader, readers) = mpsc::channel();
        let generation =
            contain(|| Ok::<_, Error>(Generation::of(held.get()?, counters.revision, &reader)?))?;
        held.trust();
        let changed = vec![counters.revision; catalog.slots().len()];
        Ok(Self {
            runtime,
            catalog,
            reads: ArcSwapOption::from_pointee(generation),
            revision: AtomicU64::new(counters.revision),
            medium,
            notes,
            reports: Mutex::new(reports),
            suspected: AtomicBool::new(false),
            again: Again::default(),
            queue: Mutex::default(),
            writer: Mutex::new(Writer {
                held,
                broken: false,
                shadow: false,
                counters,
                changed,
                limbo: Vec::new(),
                reader,
                readers,
                freed: 0,
            }),
            observers: Mutex::default(),
        })
    }

    /// That of the state that readers see: whoever finds the same one twice has read nothing else in between.
    pub(crate) fn revision(&self) -> u64 {
        let published = self.reads.load().as_ref().map(|generation| generation.revision);
        published.unwrap_or_else(|| self.revision.load(Ordering::Acquire))
    }

    pub(crate) fn observe(&self, observer: Weak<dyn CommitObserver>) {
        lock(&self.observers).push(observer);
    }

    /// Hands a job to the writer and waits for its answer.
    pub(crate) async fn ask<T>(
        self: &Arc<Self>,
        job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.submit(job(answer))?;
        answered.await.unwrap_or_else(|_| Err(unwritten()))
    }

    /// Hands a batch to the writer and waits for what becomes of it. `alone`: the calling task does nothing else meanwhile.
    pub(crate) async fn write(self: &Arc<Self>, batch: Batch, alone: bool) -> Result<CommitOutcome> {
        let (answer, answered) = oneshot::channel();
        self.hand_in(Job::Commit(batch, answer), if alone { Place::Here } else { Place::Aside })?;
        answered.await.unwrap_or_else(|_| Err(unwritten()))
    }

    pub(crate) fn submit(self: &Arc<Self>, job: Job) -> Result<()> {
        self.hand_in(job, Place::Aside)
    }

    fn hand_in(self: &Arc<Self>, job: Job, place: Place) -> Result<()> {
        let mut queue = lock(&self.queue);
        if queue.closing {
            return Err(Error::new(ErrorKind::Storage, "the store is closed"));
        }
        queue.jobs.push_back(job);
        if !std::mem::replace(&mut queue.active, true) {
            drop(queue);
            Turn { shared: self.clone(), ended: false }.begin(place);
        }
        Ok(())
    }

    /// Closes the database, now or, if jobs are waiting, after them.
    pub(crate) fn close(&self) {
        {
            let mut queue = lock(&self.queue);
            queue.closing = true;
            if queue.thread == Some(std::thread::current().id()) {
                // An observer let go of the last handle: the turn that it is called from closes.
                return;
            }
        }
        // A turn that has answered everybody is about to end, and holds the lock for no longer than it takes to see
        // that: waiting for it means that whoever opens the file next finds it free.
        let mut writer = lock(&self.writer);
        if lock(&self.queue).jobs.is_empty() {
            self.shut(&mut writer);
        }
    }

    pub(crate) fn shut(&self, writer: &mut Writer) {
        self.reads.store(None);
        if self.suspected.load(Ordering::SeqCst) {
            writer.held.doubt();
        }
        writer.held.keep(writer.counters);
        drop(std::mem::take(&mut writer.held));
    }

    /// The jobs of one transaction. None: the turn is over.
    fn take(&self) -> Vec<Job> {
        let mut queue = lock(&self.queue);
        let commits = queue.jobs.iter().take(GROUP).take_while(|job| matches!(job, Job::Commit(..))).count();
        let count = commits.max(1).min(queue.jobs.len());
        if count == 0 {
            queue.active = false;
            queue.thread = None;
        }
        queue.jobs.drain(..count).collect()
    }

    /// Steps aside for those who have just been answered: what they write next can share a transaction. Without it,
    /// two halves of the writers take turns, and each waits for two commits.
    fn gather(&self, answered: usize) {
        let (mut most, mut idle) = (0, 0);
        while answered > 1 && most < answered && idle < PATIENCE {
            std::thread::yield_now();
            let waiting = lock(&self.queue).jobs.len();
            idle = if waiting > most { 0 } else { idle + 1 };
            most = most.max(waiting);
        }
    }

    fn work(self: &Arc<Self>, writer: &mut Writer, jobs: Vec<Job>) -> Vec<Answer> {
        let mut batches = Vec::with_capacity(jobs.len());
        for job in jobs {
            match job {
                Job::Commit(batch, to) => batches.push((batch, to)),
                Job::Migrate(limit, to) => return vec![Answer::Migrated(to, self.migrate(writer, limit))],
                Job::Wipe(to) => return vec![Answer::Done(to, self.wipe(writer))],
                Job::Revive(to) => return vec![Answer::Done(to, self.revive(writer))],
                Job::Snapshot(to) => return vec![Answer::Snapshot(to, Box::new(self.snapshot(writer)))],
                Job::Mend(cause, to) => {
                    let mended = self.mend(writer, &cause);
                    self.mend_again(&mended, cause);
                    return vec![Answer::Mended(to, Box::new(mended))];
                }
                Job::Acknowledge(damage, to) => {
                    return vec![Answer::Done(to, self.acknowledge(writer, &damage))];
                }
                Job::Compact(to) => return vec![Answer::Compacted(to, self.compact(writer))],
            }
        }
        let (batches, to): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
        match self.commit(writer, &batches) {
            Ok(outcomes) => {
                to.into_iter().zip(outcomes).map(|(to, outcome)| Answer::Commit(to, outcome)).collect()
            }
            Err(error) => to.into_iter().map(|to| Answer::Commit(to, Err(error.duplicate()))).collect(),
        }
    }
}

/// What a turn is called in traces.
const NAME: &str = "larder-redb writer";

fn unwritten() -> Error {
    Error::new(ErrorKind::Storage, "the runtime stopped before the store had written")
}

/// One run of the writer.
struct Turn {
    shared: Arc<Shared>,
    ended: bool,
}

impl Turn {
    fn begin(self, place: Place) {
        let runtime = self.shared.runtime.clone();
        let run = Box::new(move || self.run(place));
        match place {
            Place::Aside => runtime.blocking(NAME, run),
            Place::Here => runtime.in_place(NAME, run),
        }
    }

    fn run(mut self, place: Place) {
        lock(&self.shared.queue).thread = Some(std::thread::current().id());
        let mut done = false;
        loop {
            let mut writer = lock(&self.shared.writer);
            let waiting = !lock(&self.shared.queue).jobs.is_empty();
            if done && place == Place::Here && (waiting || self.shared.is_due(&writer)) {
                drop(writer);
                lock(&self.shared.queue).thread = None;
                return self.begin(Place::Aside);
            }
            if !waiting && self.shared.is_due(&writer) {
                // At rest: nobody waits to write. What goes wrong is told of, and is tried again later.
                drop(self.shared.compact(&mut writer));
            }
            let jobs = self.shared.take();
            if jobs.is_empty() {
                self.ended = true;
                if lock(&self.shared.queue).closing {
                    self.shared.shut(&mut writer);
                }
                return;
            }
            let answers = self.shared.work(&mut writer, jobs);
            if writer.broken && !writer.shadow && writer.held.is_open() {
                // At once, so that reads go on: redb reads nothing more after an error.
                drop(self.shared.ensure_open(&mut writer));
            }
            // Whoever gets the answer may close the store and open the file again.
            drop(writer);
            let answered = answers.len();
            answers.into_iter().for_each(Answer::send);
            done = true;
            if place == Place::Aside {
                self.shared.gather(answered);
            }
        }
    }
}

/// A turn that the runtime dropped unrun, or that panicked: whoever waits is told so by the dropping of the jobs, and
/// the next job starts another.
impl Drop for Turn {
    fn drop(&mut self) {
        if !self.ended {
            let jobs = {
                let mut queue = lock(&self.shared.queue);
                queue.active = false;
                queue.thread = None;
                std::mem::take(&mut queue.jobs)
            };
            drop(jobs);
        }
    }
}

/// A runtime may let go of the last turn instead of running it.
impl Drop for Shared {
    fn drop(&mut self) {
        self.shut(&mut lock(&self.writer));
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("medium", &self.medium)
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}
