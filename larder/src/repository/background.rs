//! What goes on behind the application's handles, and ends with them.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::select;
use larder_core::Cancellation;
use tokio::sync::oneshot;

use super::Repository;

/// Held by every handle that an application has: when the last one is gone, what goes on behind them ends.
#[derive(Debug, Default)]
pub(super) struct Lease(Cancellation);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The tasks behind a repository: each is over when its end is heard of.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<Vec<oneshot::Receiver<()>>>);

impl Repository {
    /// A handle that keeps nothing going.
    fn unleased(&self) -> Self {
        Self { lease: None, ..self.clone() }
    }

    /// Runs a task as long as the application has a handle; it is given one that does not count as such.
    pub(super) fn behind<F>(&self, name: &'static str, task: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(lease) = &self.lease else { return };
        let (done, over) = oneshot::channel::<()>();
        let (stop, task) = (lease.0.clone(), task(self.unleased()));
        self.shared.tasks.0.lock().unwrap_or_else(PoisonError::into_inner).push(over);
        let run = async move {
            {
                select(pin!(task), pin!(stop.cancelled())).await;
            }
            drop(done);
        };
        self.shared.runtime.spawn(name, Box::pin(run));
    }

    /// Ends the tasks, and waits for that.
    pub(super) async fn end_tasks(&self) {
        if let Some(lease) = &self.lease {
            lease.0.cancel();
        }
        let tasks = std::mem::take(&mut *self.shared.tasks.0.lock().unwrap_or_else(PoisonError::into_inner));
        for over in tasks {
            // It says nothing; it ends.
            let _ = over.await;
        }
    }
}

impl Lease {
    pub(super) fn new() -> Option<Arc<Self>> {
        Some(Arc::default())
    }
}
