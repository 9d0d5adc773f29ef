//! How far a sync may go before it stops where it is.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::repository::Repository;

/// How much a sync may take before it stops at the next consistent point; what is left goes on with the next one.
///
/// ```
/// # use larder::Budget;
/// let budget = Budget::unlimited().pages(20).rows(10_000);
/// # drop(budget);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "it limits nothing by itself"]
pub struct Budget {
    pages: Option<u64>,
    rows: Option<u64>,
}

impl Budget {
    /// Whatever it takes.
    pub const fn unlimited() -> Self {
        Self { pages: None, rows: None }
    }

    /// At most so many pages are pulled, one at least.
    pub const fn pages(mut self, pages: u64) -> Self {
        self.pages = Some(pages);
        self
    }

    /// No further page is asked for once so many rows have come.
    pub const fn rows(mut self, rows: u64) -> Self {
        self.rows = Some(rows);
        self
    }
}

/// What is left of a budget, and until when.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::repository) struct Limits {
    /// On the runtime's monotonic clock.
    pub(in crate::repository) until: Option<Duration>,
    budget: Budget,
}

impl Limits {
    pub(in crate::repository) fn new(until: Duration, budget: Budget) -> Self {
        Self { until: Some(until), budget }
    }

    /// A page has come.
    pub(super) fn spend(&mut self, rows: u64) {
        let less = |left: &mut Option<u64>, by| *left = left.map(|left| left.saturating_sub(by));
        less(&mut self.budget.pages, 1);
        less(&mut self.budget.rows, rows);
    }

    /// Whether it is time to stop.
    pub(in crate::repository) fn are_spent(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now >= until)
            || self.budget.pages == Some(0)
            || self.budget.rows == Some(0)
    }
}

impl Repository {
    /// What `work` comes to, or `None` if the time is up before.
    pub(in crate::repository) async fn in_time<T>(
        &self,
        limits: &Limits,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let Some(until) = limits.until else { return Some(work.await) };
        let left = until.saturating_sub(self.shared.runtime.monotonic());
        if left.is_zero() {
            return None;
        }
        match select(pin!(work), self.shared.runtime.sleep(left)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }
}
