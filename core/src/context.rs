//! What travels with a call: policy, deadline, cancellation. Nothing about a call lives in a provider.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::provider::PageToken;

/// Where a read's answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ReadPolicy {
    /// Local storage alone.
    LocalOnly,
    /// Local storage if the query's result is known there, else the remote.
    #[default]
    LocalFirst,
    /// Local storage at once; the remote behind it.
    LocalThenRemote,
    /// The remote; local rows, marked stale, if it can't be reached.
    RemoteFirst,
    /// The remote or an error.
    RemoteOnly,
}

/// When a write is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum WritePolicy {
    /// When it is durable locally, together with its outbox entry.
    #[default]
    OptimisticLocal,
    /// When the remote has accepted it; nothing is queued.
    RequireRemote,
    /// When it is durable locally; it is never sent. Over a row that the remote has, it stands until the remote says something
    /// of that row.
    LocalOnly,
}

/// What travels with a call to a provider.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The moment, on the runtime's monotonic clock, after which the answer is of no use.
    pub deadline: Option<Duration>,
    /// Lets the caller withdraw.
    pub cancellation: Cancellation,
    /// The policy of the read that led to the call.
    pub read_policy: ReadPolicy,
    /// The account whose credentials are to be used.
    pub account: Option<Arc<str>>,
    /// Where a paged answer goes on: [`Page::next`](crate::Page::next) of the call before.
    pub resume: Option<PageToken>,
    /// An earlier answer to the same query, by its [`Page::tag`](crate::Page::tag): a provider that can tell that it is
    /// still the same says so instead of giving it. Whoever can't gives the answer.
    pub unless: Option<String>,
    /// The calling task is one that [`Runtime::spawn`](crate::Runtime::spawn) runs, and does nothing else before the answer is
    /// there: a store may block its thread, as [`Runtime::in_place`](crate::Runtime::in_place) says.
    pub alone: bool,
}

impl Context {
    /// No deadline, never cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the deadline, on the runtime's monotonic clock.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets where a paged answer goes on.
    #[must_use]
    pub fn resume(mut self, token: PageToken) -> Self {
        self.resume = Some(token);
        self
    }

    /// Sets the cancellation.
    #[must_use]
    pub fn cancellation(mut self, cancellation: Cancellation) -> Self {
        self.cancellation = cancellation;
        self
    }
}

/// A flag that can be waited for. Clones share it.
#[derive(Clone, Default)]
pub struct Cancellation(Arc<Flag>);

#[derive(Default)]
struct Flag {
    raised: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Cancellation {
    /// Raises the flag.
    pub fn cancel(&self) {
        self.0.raised.store(true, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    /// True once the flag is raised.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }

    /// Ends when the flag is raised.
    pub async fn cancelled(&self) {
        poll_fn(|cx| {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if self.is_cancelled() {
                return Poll::Ready(());
            }
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancellation").field(&self.is_cancelled()).finish()
    }
}
