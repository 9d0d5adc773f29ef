//! Live queries.

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_util::future::{Either, select};
use futures_util::stream::{BoxStream, Stream, StreamExt};
use larder_core::runtime::BoxFuture;
use larder_core::{Key, Model, ReadPolicy, Result, RowState, Schema, Select};
use tokio::sync::watch;

use super::associations::Watching;
use super::read::Prepared;
use super::rows::GoesOn;
use super::standing::States;
use super::{Origin, Repository, Rows};
use crate::status::Status;

/// The answers to a query, from now on.
///
/// The local answer comes first; then, if the policy asks the remote, what it brought; then every change, own or the
/// remote's. A result that becomes empty is given as empty. Who reads slowly gets the latest state, never a backlog.
/// An error is an item, and the stream goes on. Dropping the stream ends it. Under `RemoteOnly` there is no answer before
/// the remote's.
pub struct Watch<M> {
    answers: BoxStream<'static, Result<Rows<M>>>,
}

impl<M> Watch<M> {
    /// The next answer; waits until there is a different one. `None` once the repository is gone.
    pub async fn next(&mut self) -> Option<Result<Rows<M>>> {
        self.answers.next().await
    }
}

impl<M> Stream for Watch<M> {
    type Item = Result<Rows<M>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.answers.poll_next_unpin(cx)
    }
}

impl<M> fmt::Debug for Watch<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// What a live query remembers between two answers.
struct Live<M> {
    repo: Repository,
    schema: &'static Schema,
    select: Select<M>,
    /// Only rows in these states; `None`: all.
    states: Option<States>,
    /// The models that the answer depends on.
    changed: Watching,
    /// What is on its way, if the states of rows are of interest: no commit tells of it.
    status: Option<watch::Receiver<Status>>,
    /// What was given last.
    seen: Option<Seen>,
    phase: Phase,
    /// The remote is being asked; what changes here meanwhile is told all the same.
    asking: Option<BoxFuture<'static, Result<bool>>>,
}

/// The rows of an answer, their states if they are of interest, and whether they were known to be all.
#[derive(PartialEq)]
struct Seen {
    print: Vec<(Key, u64)>,
    /// Of the rows that were loaded with them.
    related: Vec<(&'static str, Key, u64)>,
    states: Vec<RowState>,
    known: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    First,
    Remote,
    Following,
}

impl Repository {
    /// Watches `query`: see [`Watch`].
    ///
    /// ```
    /// # use larder::{Memory, Model, Repository};
    /// # #[derive(Model, Debug)]
    /// # struct Label { #[model(key)] name: String, color: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> larder::Result<()> {
    /// # let repo = Repository::builder().store(Memory::new()).model::<Label>().build().await?;
    /// let mut red = repo.watch(Label::COLOR.eq("red"))?;
    /// assert!(red.next().await.expect("the local answer")?.is_empty());
    /// repo.upsert(&Label { name: "bug".into(), color: "red".into() }).await?;
    /// assert_eq!(red.next().await.expect("the change")?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the model is not registered. What goes wrong later is an item of the stream.
    pub fn watch<M: Model>(&self, query: impl Into<Select<M>>) -> Result<Watch<M>> {
        self.watch_in(query.into(), None)
    }

    /// Watches `query` among the rows in these states.
    pub(super) fn watch_in<M: Model>(&self, select: Select<M>, states: Option<States>) -> Result<Watch<M>> {
        let schema = self.schema::<M>()?;
        let changed = self.watching(schema, select.as_query(), select.includes())?;
        let remote = self.shared.remote.as_ref().filter(|_| states.is_some());
        let live = Live::<M> {
            repo: self.clone(),
            schema,
            select,
            states,
            changed,
            status: remote.map(|remote| remote.driver.status.clone()),
            seen: None,
            phase: Phase::First,
            asking: None,
        };
        let answers = futures_util::stream::unfold(live, |mut live| async move {
            let item = live.next().await?;
            Some((item, live))
        });
        Ok(Watch { answers: answers.fuse().boxed() })
    }
}

/// Brings the remote's answer in, if the policy wants it; `false` if it does not.
async fn bring_in<M: Model>(repo: &Repository, schema: &'static Schema, select: &Select<M>) -> Result<bool> {
    let wanted = repo.wants_remote(schema, select.as_query()).await?;
    if wanted {
        repo.fetch(schema, select.as_query()).await?;
    }
    if select.includes().is_empty() {
        return Ok(wanted);
    }
    // What is missing of the related rows comes once; from then on they are watched here.
    let mut rows = repo.answer::<M>(schema, select.as_query(), Prepared::local()).await?;
    repo.load_related(schema, &mut rows, select.includes()).await?;
    rows.stale.map_or(Ok(true), Err)
}

impl<M: Model> Live<M> {
    async fn next(&mut self) -> Option<Result<Rows<M>>> {
        loop {
            match self.phase {
                Phase::First => {
                    let asks =
                        self.repo.shared.remote.is_some() && self.repo.options.read != ReadPolicy::LocalOnly;
                    self.phase = if asks { Phase::Remote } else { Phase::Following };
                    // Nothing but the remote's word counts: what is here may be a false "none".
                    if asks && self.repo.options.read == ReadPolicy::RemoteOnly {
                        continue;
                    }
                }
                Phase::Remote => {
                    if let Some(asked) = self.ask_remote().await? {
                        self.phase = Phase::Following;
                        self.asking = None;
                        match asked {
                            Ok(true) => {}
                            Ok(false) => continue,
                            Err(error) => return Some(Err(error)),
                        }
                    }
                }
                Phase::Following => self.change().await?,
            }
            // From here on, a later change is news.
            self.changed.mark_unchanged();
            if let Some(status) = &mut self.status {
                status.mark_unchanged();
            }
            match self.answer().await {
                Ok(Some(rows)) => return Some(Ok(rows)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Waits until something may have changed; `None` once the repository is gone.
    async fn change(&mut self) -> Option<()> {
        let Some(status) = &mut self.status else {
            return self.changed.changed().await.ok();
        };
        let driver_lives = match select(pin!(self.changed.changed()), pin!(status.changed())).await {
            Either::Left((changed, _)) => return changed.ok(),
            Either::Right((told, _)) => told.is_ok(),
        };
        if driver_lives {
            return Some(());
        }
        // Nothing is on its way any more.
        self.status = None;
        self.changed.changed().await.ok()
    }

    /// Waits for the remote's answer, or for a change here, upon which it gives `Some(None)`.
    async fn ask_remote(&mut self) -> Option<Option<Result<bool>>> {
        let (repo, schema, select_of) = (&self.repo, self.schema, &self.select);
        let asking = self.asking.get_or_insert_with(|| {
            let (repo, wanted) = (repo.clone(), select_of.clone());
            Box::pin(async move { bring_in(&repo, schema, &wanted).await })
        });
        if repo.options.read == ReadPolicy::RemoteOnly && self.seen.is_none() {
            return Some(Some(asking.await));
        }
        match select(asking, pin!(self.changed.changed())).await {
            Either::Left((asked, _)) => Some(Some(asked)),
            Either::Right((changed, _)) => changed.ok().map(|()| None),
        }
    }

    /// The answer, if it differs from the one before.
    async fn answer(&mut self) -> Result<Option<Rows<M>>> {
        let (schema, query) = (self.schema, self.select.as_query());
        let local = self.repo.local_in::<M>(schema, query, self.states).await?;
        let known_since = self.repo.known_since(schema, query).await?;
        let states = match self.states {
            Some(_) => local.states.iter().map(|sync| sync.state).collect(),
            None => Vec::new(),
        };
        let goes_on = GoesOn::of(query, local.rows.len(), &local.places);
        let print = local.print()?;
        let mut rows = Rows {
            rows: local.rows,
            origin: Origin::Local,
            known_since,
            states: local.states,
            stale: None,
            goes_on,
        };
        let here = self.repo.reading(ReadPolicy::LocalOnly);
        let related = here.load_compared(schema, &mut rows, self.select.includes()).await?;
        let seen = Some(Seen { print, related, states, known: known_since.is_some() });
        if self.seen == seen {
            return Ok(None);
        }
        self.seen = seen;
        Ok(Some(rows))
    }
}
