//! What becomes of a queued mutation, for whoever waits for the remote's word.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder_core::{Error, Key, MutationId};
use tokio::sync::oneshot;

/// What became of a mutation.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The remote has it; with the key that it has given in place of a temporary one.
    Accepted(Option<Key>),
    /// It is parked, or was given up.
    Failed(Error),
}

/// Those who wait.
#[derive(Debug, Default)]
pub(crate) struct Fates(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    senders: HashMap<MutationId, oneshot::Sender<Fate>>,
    /// Nothing is sent any more.
    closed: bool,
}

impl Fates {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers interest, before the mutation is stored: its fate may come at once.
    pub(crate) fn await_fate(self: &Arc<Self>, id: MutationId) -> Awaited {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        if !waiting.closed {
            waiting.senders.insert(id, sender);
        }
        drop(waiting);
        Awaited { id, receiver, fates: Arc::clone(self) }
    }

    /// Tells whoever waits.
    pub(crate) fn settle(&self, id: MutationId, fate: Fate) {
        let sender = self.waiting().senders.remove(&id);
        if let Some(sender) = sender {
            // Nobody may be listening any more.
            let _ = sender.send(fate);
        }
    }

    /// The mutation goes on under another identity.
    pub(crate) fn rename(&self, former: MutationId, id: MutationId) {
        let mut waiting = self.waiting();
        if let Some(sender) = waiting.senders.remove(&former) {
            waiting.senders.insert(id, sender);
        }
    }

    /// Tells everybody that there will be no answer.
    pub(crate) fn give_up(&self, why: impl Fn() -> Error) {
        let senders = std::mem::take(&mut self.waiting().senders);
        for sender in senders.into_values() {
            let _ = sender.send(Fate::Failed(why()));
        }
    }

    /// There will be no answers any more, to whoever waits or will.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let senders = std::mem::take(&mut waiting.senders);
        drop(waiting);
        drop(senders);
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
        let sender = self.fates.waiting().senders.remove(&self.id);
        drop(sender);
    }
}
