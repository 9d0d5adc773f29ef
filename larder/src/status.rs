//! How a repository stands towards its remote.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};
use larder_core::{Damage, Timestamp};
use tokio::sync::watch;

/// How a repository stands towards its remote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether the last attempts reached the remote; true as long as none was made. Other hosts, to which requests go that
    /// are no models, don't count.
    pub online: bool,
    /// Whether the remote, or another host, refuses the credentials: the outbox waits for new ones.
    pub unauthorized: bool,
    /// The hosts to which nothing goes for now, the remote itself among them.
    pub resting: Vec<RestingHost>,
    /// Whether sending is paused.
    pub paused: bool,
    /// Whether a parked mutation stops everything: see [`PermanentFailure::Halt`](crate::PermanentFailure::Halt).
    pub halted: bool,
    /// Entries that wait to be sent; of a very long outbox, those that are looked at.
    pub pending: usize,
    /// Those of them that only a decision lets go: they come after a parked one, or belong to another account.
    pub blocked: usize,
    /// Whether there are, or may be, entries that are not looked at yet; [`Outbox::len`](crate::Outbox::len) counts
    /// all.
    pub more: bool,
    /// Entries that are on their way.
    pub in_flight: usize,
    /// Entries that wait for a decision, conflicts included.
    pub parked: usize,
    /// Entries that the remote's row has overtaken.
    pub conflicts: usize,
    /// When the remote last accepted something.
    pub last_pushed: Option<Timestamp>,
    /// When something was last pulled.
    pub last_pulled: Option<Timestamp>,
    /// What of the store was found damaged, and what became of it: told, after a restart too, until it is acknowledged
    /// by [`Repository::acknowledge`](crate::Repository::acknowledge).
    pub damage: Option<Damage>,
}

/// A host to which nothing goes for now: it can't be reached, asked to be left alone, or refuses the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestingHost {
    /// `https://host`; `None` for the remote itself, where the rows come from.
    pub host: Option<Arc<str>>,
    /// When it is tried again unless something is heard before; `None` if it waits for new credentials alone. As long as
    /// nothing is queued for it, this moment may have passed.
    pub until: Option<Timestamp>,
    /// Whether it refuses the credentials: it waits for new ones.
    pub unauthorized: bool,
}

impl Status {
    /// True if the remote has everything, as far as was looked: nothing is waiting, on its way or parked.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.pending + self.in_flight + self.parked == 0
    }
}

impl Default for Status {
    fn default() -> Self {
        Self {
            online: true,
            unauthorized: false,
            resting: Vec::new(),
            paused: false,
            halted: false,
            pending: 0,
            blocked: 0,
            more: false,
            in_flight: 0,
            parked: 0,
            conflicts: 0,
            last_pushed: None,
            last_pulled: None,
            damage: None,
        }
    }
}

/// The status now, and whenever it has changed: see [`Repository::watch_status`](crate::Repository::watch_status).
pub struct StatusWatch(BoxStream<'static, Status>);

impl StatusWatch {
    /// Follows `status`; `None` never changes.
    pub(crate) fn of(
        status: Option<watch::Receiver<Status>>,
        complete: impl Fn(Status) -> Status + Send + 'static,
    ) -> Self {
        let Some(mut status) = status else {
            let only = complete(Status::default());
            return Self(futures_util::stream::iter([only]).chain(futures_util::stream::pending()).boxed());
        };
        status.mark_changed();
        let next = |mut status: watch::Receiver<Status>| async move {
            status.changed().await.ok()?;
            let now = status.borrow_and_update().clone();
            Some((now, status))
        };
        Self(unfold(status, next).map(complete).boxed())
    }

    /// The next status. `None` once the repository is closed.
    pub async fn next(&mut self) -> Option<Status> {
        self.0.next().await
    }
}

impl Stream for StatusWatch {
    type Item = Status;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for StatusWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusWatch").finish_non_exhaustive()
    }
}
