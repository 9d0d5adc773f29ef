//! Conflicts that wait for the application.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use futures_util::stream::{BoxStream, Stream, StreamExt};
use larder_core::{
    Conflict, Context, Entry, EntryState, Failure, Key, Model, MutationId, Operation, ParkReason, Resolution,
    Result, Row, Sides, Timestamp,
};
use tokio::sync::watch;

use super::Repository;
use crate::engine::Event;

/// How many outbox entries are loaded at a time.
const ENTRIES: usize = 256;

/// The conflicts of a model that wait for the application, and what may be done about them.
#[derive(Clone, Copy)]
pub struct Conflicts<'a, M> {
    repo: &'a Repository,
    model: PhantomData<fn(M)>,
}

/// A row that was changed here and at the remote, and waits for the application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Conflicted<M> {
    /// The mutation that waits: what [`settle`](Conflicts::settle) names it by.
    pub seq: u64,
    /// Its identity.
    pub id: MutationId,
    /// The row.
    pub key: Key,
    /// The three sides.
    pub sides: Conflict<M>,
    /// False if the remote could not be asked what it has: then `theirs` is what the change was made from.
    pub asked: bool,
    /// When the change was written here.
    pub created: Timestamp,
    /// What the remote answered, or what the resolver did wrong.
    pub failure: Option<Failure>,
}

impl<M> fmt::Debug for Conflicts<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conflicts").finish_non_exhaustive()
    }
}

impl Repository {
    /// The conflicts of `M` that wait for the application: its strategy is to [`ask`](crate::Strategy::Ask), it had no
    /// answer, or the remote could not be asked what it has.
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository, Resolution};
    /// # #[derive(Model, Clone, Debug)]
    /// # struct Label { #[model(key)] name: String, color: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).remote(Memory::new()).model::<Label>().build().await?;
    /// for conflict in repo.conflicts::<Label>().list().await? {
    ///     println!("{}: here {:?}, there {:?}", conflict.key, conflict.sides.mine, conflict.sides.theirs);
    ///     repo.conflicts::<Label>().settle(conflict.seq, Resolution::Theirs).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn conflicts<M: Model>(&self) -> Conflicts<'_, M> {
        Conflicts { repo: self, model: PhantomData }
    }
}

impl<M: Model> Conflicts<'_, M> {
    /// The conflicts, in the order in which the changes were made here.
    ///
    /// # Errors
    /// `Invalid` if the model is not registered; `Serialization` if a side is no row of it any more; `Storage` or
    /// `Corrupt`.
    pub async fn list(&self) -> Result<Vec<Conflicted<M>>> {
        let schema = self.repo.schema::<M>()?;
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let loaded = self.repo.shared.store.outbox(&Context::new(), after, ENTRIES).await?;
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                return Ok(found);
            }
            after = loaded.last;
            for entry in loaded.entries {
                if entry.schema == schema && entry.state == EntryState::Parked(ParkReason::Conflict) {
                    found.push(Conflicted::of(entry)?);
                }
            }
        }
    }

    /// Decides about a conflict. What is to be sent goes again, under another identity and on top of what the remote
    /// has; [`Theirs`](Resolution::Theirs) gives the change up. What was changed here since stays on top.
    /// [`Ask`](Resolution::Ask) leaves it as it is.
    ///
    /// # Errors
    /// `NotFound` if there is no such mutation; `Conflict` if it is in no conflict, or not any more; `Invalid` for a
    /// merged row of another key, or one that the model's own checks refuse; `Offline` without a remote; `Storage`.
    pub async fn settle(&self, seq: u64, resolution: Resolution<M>) -> Result<()> {
        let remote = self.repo.remote()?;
        if matches!(resolution, Resolution::Ask) {
            return Ok(());
        }
        let outcome = resolution.outcome()?;
        let (acts, driver) = (Arc::clone(&remote.acts), remote.driver.clone());
        let settle = async move {
            let moved = acts.settle_conflict(seq, &outcome).await?;
            driver.tell(Event::Decided(seq));
            driver.tell(Event::Rebased(moved));
            // What is parked no more has been changed by nobody else.
            driver.tell(Event::Nudge);
            Ok(())
        };
        self.repo.outbox().decide("larder settle", Box::pin(settle)).await
    }

    /// The conflicts now, and again whenever they are others.
    ///
    /// # Errors
    /// `Invalid` if the model is not registered. What goes wrong later is an item of the stream.
    pub fn watch(&self) -> Result<WatchConflicts<M>> {
        let schema = self.repo.schema::<M>()?;
        let changes = self.repo.shared.changes.of(schema);
        let live = Live { repo: self.repo.clone(), changes, seen: None };
        let lists = futures_util::stream::unfold(live, |mut live| async move {
            let item = live.next().await?;
            Some((item, live))
        });
        Ok(WatchConflicts { lists: lists.fuse().boxed() })
    }
}

impl<M: Model> Conflicted<M> {
    fn of(entry: Entry) -> Result<Self> {
        let base = entry.base.as_deref().filter(|_| entry.operation != Operation::Insert);
        let theirs: Option<&dyn Row> = match &entry.theirs {
            Some(theirs) => theirs.row.as_deref(),
            None => base,
        };
        let sides = Sides { schema: entry.schema, base, mine: entry.row.as_deref(), theirs };
        Ok(Self {
            seq: entry.seq,
            id: entry.id,
            sides: Conflict::of(sides)?,
            asked: entry.theirs.is_some(),
            key: entry.key,
            created: entry.created,
            failure: entry.failure,
        })
    }
}

/// The conflicts of a model, from now on: the list first, then again whenever it is another.
pub struct WatchConflicts<M> {
    lists: BoxStream<'static, Result<Vec<Conflicted<M>>>>,
}

impl<M> WatchConflicts<M> {
    /// The next list; waits until there is a different one. `None` once the repository is gone.
    pub async fn next(&mut self) -> Option<Result<Vec<Conflicted<M>>>> {
        self.lists.next().await
    }
}

impl<M> Stream for WatchConflicts<M> {
    type Item = Result<Vec<Conflicted<M>>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<Self::Item>> {
        self.lists.poll_next_unpin(cx)
    }
}

impl<M> fmt::Debug for WatchConflicts<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchConflicts").finish_non_exhaustive()
    }
}

/// What a watch remembers.
struct Live {
    repo: Repository,
    changes: Option<watch::Receiver<u64>>,
    /// What was given last, by what tells it from another list; `None` in it if that was an error.
    seen: Option<Option<Vec<(u64, String)>>>,
}

impl Live {
    async fn next<M: Model>(&mut self) -> Option<Result<Vec<Conflicted<M>>>> {
        loop {
            if self.seen.is_some() {
                self.changes.as_mut()?.changed().await.ok()?;
            } else if let Some(changes) = &mut self.changes {
                changes.mark_unchanged();
            }
            let list = self.repo.conflicts::<M>().list().await;
            let prints = |list: &Vec<Conflicted<M>>| {
                list.iter().map(|conflict| (conflict.seq, conflict.print())).collect::<Vec<_>>()
            };
            let print = list.as_ref().ok().map(prints);
            if print.is_none() || self.seen.as_ref() != Some(&print) {
                self.seen = Some(print);
                return Some(list);
            }
        }
    }
}

impl<M: Model> Conflicted<M> {
    fn print(&self) -> String {
        let sides = [&self.sides.base, &self.sides.mine, &self.sides.theirs];
        format!("{:?}", sides.map(|side| side.as_ref().map(|model| model as &dyn Row)))
    }
}
