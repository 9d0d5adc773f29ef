//! What becomes of a queued mutation, for whoever waits for the remote's word.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder_core::{Error, Key, MutationId, Response};
use tokio::sync::oneshot;

/// What became of a mutation.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The remote has it; with the key that it has given in place of a temporary one.
    Accepted(Option<Key>),
    /// The remote has it, and has answered this: it was a request that is no model.
    Answered(Response),
    /// It is parked, or was given up.
    Failed(Error),
}

impl Fate {
    fn duplicate(&self) -> Self {
        match self {
            Self::Accepted(given) => Self::Accepted(given.clone()),
            Self::Answered(response) => Self::Answered(response.clone()),
            Self::Failed(error) => Self::Failed(error.duplicate()),
        }
    }
}

/// Those who wait.
#[derive(Debug, Default)]
pub(crate) struct Fates(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Writes that have become one mutation have one fate.
    senders: HashMap<MutationId, Vec<(u64, oneshot::Sender<Fate>)>>,
    asked: u64,
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
        waiting.asked += 1;
        let number = waiting.asked;
        if !waiting.closed {
            waiting.senders.entry(id).or_default().push((number, sender));
        }
        drop(waiting);
        Awaited { id, number, receiver, fates: Arc::clone(self) }
    }

    /// Tells whoever waits.
    pub(crate) fn settle(&self, id: MutationId, fate: &Fate) {
        let senders = self.waiting().senders.remove(&id);
        for (_, sender) in senders.into_iter().flatten() {
            // Nobody may be listening any more.
            let _ = sender.send(fate.duplicate());
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
        for (_, sender) in senders.into_values().flatten() {
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
    number: u64,
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
        let mut waiting = self.fates.waiting();
        let Entry::Occupied(mut senders) = waiting.senders.entry(self.id) else { return };
        senders.get_mut().retain(|(number, _)| *number != self.number);
        if senders.get().is_empty() {
            senders.remove();
        }
    }
}
