//! Whoever wants to know how far a sync is.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use larder_core::runtime::yield_now;

/// How far a sync is: told after each page, and when a model is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The model that is pulled.
    pub model: &'static str,
    /// Pages of it that are stored, those of a pull that was broken off included.
    pub pages: u64,
    /// Rows of it that have come so far.
    pub rows: u64,
    /// How many rows there are in all, if the remote says so.
    pub total: Option<u64>,
    /// True once the model is complete.
    pub done: bool,
    /// Models that are complete, and models that this sync pulls.
    pub models: (usize, usize),
}

/// Who is told.
#[derive(Clone, Default)]
pub(in crate::repository) struct Steps {
    pub(in crate::repository) told: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
    /// Steps that have not been taken out yet.
    pub(in crate::repository) queue: Option<Arc<Mutex<VecDeque<Progress>>>>,
}

impl Steps {
    /// Tells of a step. Whoever takes them out of the queue gets his turn before the next one.
    pub(super) async fn tell(&self, step: Progress) {
        if let Some(told) = &self.told {
            told(step.clone());
        }
        let Some(queue) = &self.queue else { return };
        queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(step);
        yield_now().await;
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").field("told", &self.told.is_some()).finish_non_exhaustive()
    }
}
