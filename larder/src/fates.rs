//! What becomes of a queued mutation, for whoever waits for the remote's word.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use larder_core::{Error, MutationId};
use tokio::sync::oneshot;

/// What became of a mutation.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The remote has it.
    Accepted,
    /// It is parked, or was given up.
    Failed(Error),
}

/// Those who wait.
#[derive(Debug, Default)]
pub(crate) struct Fates(Mutex<HashMap<MutationId, oneshot::Sender<Fate>>>);

impl Fates {
    /// Registers interest, before the mutation is stored: its fate may come at once.
    pub(crate) fn await_fate(self: &Arc<Self>, id: MutationId) -> Awaited {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        Awaited { id, receiver, fates: Arc::clone(self) }
    }

    /// Tells whoever waits.
    pub(crate) fn settle(&self, id: MutationId, fate: Fate) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id) {
            // Nobody may be listening any more.
            let _ = sender.send(fate);
        }
    }

    /// Tells everybody that there will be no answer.
    pub(crate) fn give_up(&self, why: impl Fn() -> Error) {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for sender in waiting.into_values() {
            let _ = sender.send(Fate::Failed(why()));
        }
    }
}

/// Interest in one mutation; ends with its owner.
#[derive(Debug)]
pub(crate) struct Awaited {
    id: MutationId,
    receiver: oneshot::Receiver<Fate>,
    fates: Arc<Fates>,
}

impl Awaited {
    /// The fate; `None` if the repository is closed before it is known.
    pub(crate) async fn fate(mut self) -> Option<Fate> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.fates.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
