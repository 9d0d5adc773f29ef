//! What happens in the outbox, one event after the other.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::contained::Panicked;
use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};
use larder_core::{Key, MutationId, ParkReason};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender};

/// How many events a slow reader may be behind.
const BEHIND: usize = 1024;

/// Something that happened in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutboxEvent {
    /// It happened to this mutation.
    Mutation {
        /// Its place in the order.
        seq: u64,
        /// Its identity.
        id: MutationId,
        /// The model.
        model: &'static str,
        /// The row.
        key: Key,
        /// What happened.
        what: Happened,
    },
    /// Something that the application has given to the repository has panicked. What it was asked for has failed, or is not
    /// known; everything else goes on, and it is asked again, where that is by itself after a backoff.
    Panicked {
        /// What it was.
        part: Part,
        /// What it said.
        said: String,
    },
    /// The reader was so slow that this many events are lost to it. How things stand is told by the status and by
    /// [`Outbox::list`](crate::Outbox::list).
    Missed(u64),
}

/// What an application gives to a repository, and what may panic by a defect of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The store. The call ends with `Corrupt`, and whether it has done what it was asked for, nobody knows.
    Store,
    /// The [`Connectivity`](crate::Connectivity). The device counts as connected, and the connection as not metered.
    Connectivity,
    /// The [`Power`](crate::Power). Of the battery nothing is known.
    Power,
    /// What [`AutoSync::on_report`](crate::AutoSync::on_report) tells.
    Report,
}

/// What happened to a mutation. In this order, as far as it happens: queued, then sent, postponed and held as often as
/// it takes, and one of the others at the end; after `Parked` it may begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happened {
    /// It waits for its turn: it was written just now, or before the repository was opened.
    Queued,
    /// A request with it goes out.
    Sent {
        /// It may have been sent before.
        repeated: bool,
    },
    /// The remote is asked whether it has it.
    Asked,
    /// It failed for now, and will be tried again.
    Postponed,
    /// The credentials were refused: it waits for new ones.
    Held,
    /// The remote has it.
    Accepted,
    /// It waits for a decision.
    Parked(ParkReason),
    /// It was refused for good, and its row has gone back to what it was.
    Reverted,
    /// It was parked, and goes again.
    Retried,
    /// It was given up.
    Discarded,
    /// It was put on what the remote has now, and goes on.
    Rebased,
    /// The remote's row has changed as well, and stands.
    Overruled,
    /// It was not sent: its row was deleted after it, and the remote has that; or what it says was written again, and the remote
    /// was told of that first.
    Covered,
    /// Its row was created and deleted, and the remote was told of neither.
    Cancelled,
}

/// Tells whoever listens.
#[derive(Clone, Debug)]
pub(crate) struct Teller(Sender<OutboxEvent>);

impl Default for Teller {
    fn default() -> Self {
        Self(Sender::new(BEHIND))
    }
}

impl Teller {
    /// True if anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(crate) fn tell(&self, event: OutboxEvent) {
        // Nobody may be listening any more.
        let _ = self.0.send(event);
    }

    /// Says that a part has panicked.
    pub(crate) fn panicked(&self, part: Part, panicked: &Panicked) {
        tracing::error!(?part, %panicked, "what the application has given panicked");
        self.tell(OutboxEvent::Panicked { part, said: panicked.to_string() });
    }

    pub(crate) fn listen(&self) -> OutboxEvents {
        let next = |mut events: Receiver<OutboxEvent>| async move {
            match events.recv().await {
                Ok(event) => Some((event, events)),
                Err(RecvError::Lagged(missed)) => Some((OutboxEvent::Missed(missed), events)),
                Err(RecvError::Closed) => None,
            }
        };
        OutboxEvents(unfold(self.0.subscribe(), next).boxed())
    }
}

/// The events of the outbox from now on: see [`Outbox::events`](crate::Outbox::events).
pub struct OutboxEvents(BoxStream<'static, OutboxEvent>);

impl OutboxEvents {
    /// No events, ever.
    pub(crate) fn none() -> Self {
        Self(futures_util::stream::pending().boxed())
    }

    /// The next event. `None` once the repository is closed.
    pub async fn next(&mut self) -> Option<OutboxEvent> {
        self.0.next().await
    }
}

impl Stream for OutboxEvents {
    type Item = OutboxEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for OutboxEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxEvents").finish_non_exhaustive()
    }
}
