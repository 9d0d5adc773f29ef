//! What becomes of a queued mutation, for whoever waits for the remote's word.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder_core::{Error, Key, MutationId, Response};
use tokio::sync::{Notify, oneshot};

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
pub(crate) struct Fates {
    waiting: Mutex<Waiting>,
    /// Rung whenever somebody has told.
    told: Notify,
}

/// One who waits: for which mutation, and his number.
pub(crate) type Waiter = (MutationId, u64);

#[derive(Debug, Default)]
struct Waiting {
    /// Writes that have become one mutation have one fate.
    senders: HashMap<MutationId, Vec<(u64, oneshot::Sender<Fate>)>>,
    /// Those who store mutations or decide about them, and have not told yet what came of it.
    telling: BTreeSet<u64>,
    /// The number of the last one who waits or tells.
    asked: u64,
    /// Nothing is sent any more.
    closed: bool,
}

impl Fates {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held by whoever stores or removes entries: from before he registers interest and commits until he has told what
    /// came of it.
    pub(crate) fn telling(self: &Arc<Self>) -> Telling {
        let mut waiting = self.waiting();
        waiting.asked += 1;
        let number = waiting.asked;
        waiting.telling.insert(number);
        drop(waiting);
        Telling { number, fates: Arc::clone(self) }
    }

    /// Those who wait now and still do once everybody who is storing or deciding now has told: their mutations are stored,
    /// and none of them is gone by a decision.
    pub(crate) async fn unheard(&self) -> BTreeSet<Waiter> {
        let upto = self.waiting().asked;
        loop {
            // Whoever tells from here on rings it.
            let told = self.told.notified();
            {
                let waiting = self.waiting();
                if waiting.telling.first().is_none_or(|first| *first > upto) {
                    let numbers = |(id, senders): (&MutationId, &Vec<(u64, _)>)| {
                        let id = *id;
                        senders.iter().map(|(number, _)| (id, *number)).collect::<Vec<_>>()
                    };
                    let all = waiting.senders.iter().flat_map(numbers);
                    return all.filter(|(_, number)| *number <= upto).collect();
                }
            }
            told.await;
        }
    }

    /// Tells one who waits, if he still does.
    pub(crate) fn fail(&self, (id, number): Waiter, error: Error) {
        let mut waiting = self.waiting();
        let Entry::Occupied(mut senders) = waiting.senders.entry(id) else { return };
        let Some(at) = senders.get().iter().position(|(other, _)| *other == number) else { return };
        let (_, sender) = senders.get_mut().swap_remove(at);
        if senders.get().is_empty() {
            senders.remove();
        }
        drop(waiting);
        // He may have stopped listening.
        let _ = sender.send(Fate::Failed(error));
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

    /// The mutation goes on under another identity, or has the fate of another: whoever waits for it waits for that.
    pub(crate) fn rename(&self, former: MutationId, id: MutationId) -> Renamed {
        let mut waiting = self.waiting();
        let senders = waiting.senders.remove(&former).unwrap_or_default();
        let numbers = senders.iter().map(|(number, _)| *number).collect();
        if !senders.is_empty() {
            waiting.senders.entry(id).or_default().extend(senders);
        }
        Renamed { former, id, numbers }
    }

    /// It does not after all: those who still wait, wait for it again.
    pub(crate) fn take_back(&self, renamed: &Renamed) {
        let mut waiting = self.waiting();
        let Some(all) = waiting.senders.remove(&renamed.id) else { return };
        let (back, stay): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(number, _)| renamed.numbers.contains(number));
        for (id, senders) in [(renamed.id, stay), (renamed.former, back)] {
            if !senders.is_empty() {
                waiting.senders.entry(id).or_default().extend(senders);
            }
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

/// Who waits for another mutation than before.
#[derive(Debug)]
pub(crate) struct Renamed {
    former: MutationId,
    id: MutationId,
    numbers: Vec<u64>,
}

/// Says that somebody stores mutations or decides about them, until this is dropped: then he has told what came of it.
#[derive(Debug)]
#[must_use = "whoever has told nothing yet must not be overtaken"]
pub(crate) struct Telling {
    number: u64,
    fates: Arc<Fates>,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.fates.waiting().telling.remove(&self.number);
        self.fates.told.notify_waiters();
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn id(nth: u128) -> MutationId {
        MutationId(larder_core::Uuid::from_u128(nth))
    }

    fn whom(unheard: &BTreeSet<Waiter>) -> Vec<MutationId> {
        unheard.iter().map(|(id, _)| *id).collect()
    }

    // Rules: m-key-server-refs
    #[test]
    fn who_was_to_have_the_fate_of_another_has_his_own_if_that_is_taken_back() {
        let fates = Arc::<Fates>::default();
        let (first, second) = (fates.await_fate(id(1)), fates.await_fate(id(2)));
        // The other one has been told by then, and nothing comes for it any more.
        fates.settle(id(2), &Fate::Accepted(None));
        let renamed = fates.rename(id(1), id(2));
        let third = fates.await_fate(id(2));
        fates.take_back(&renamed);
        fates.settle(id(1), &Fate::Accepted(Some(7.into())));
        let told = |awaited: Awaited| awaited.fate().now_or_never().flatten();
        assert!(matches!(told(first), Some(Fate::Accepted(Some(key))) if key == 7.into()));
        assert!(matches!(told(second), Some(Fate::Accepted(None))));
        assert!(told(third).is_none(), "whoever waits for the other one goes on waiting for it");
    }

    // Rules: o-lost
    #[test]
    fn who_waits_is_known_once_those_have_told_who_were_about_to() {
        let fates = Arc::<Fates>::default();
        let _stored = fates.await_fate(id(1));
        assert_eq!(whom(&fates.unheard().now_or_never().unwrap()), [id(1)]);
        let (deciding, writing) = (fates.telling(), fates.telling());
        let _written = fates.await_fate(id(2));
        let mut unheard = Box::pin(fates.unheard());
        assert!(unheard.as_mut().now_or_never().is_none(), "they have told nothing yet");
        // Whoever comes later is not waited for, and is none of those who wait.
        let _later = fates.telling();
        let _new = fates.await_fate(id(3));
        fates.settle(id(1), &Fate::Accepted(None));
        drop(deciding);
        assert!(unheard.as_mut().now_or_never().is_none(), "one is still about to");
        drop(writing);
        assert_eq!(whom(&unheard.now_or_never().unwrap()), [id(2)]);
    }

    // Rules: o-lost
    #[test]
    fn one_who_waits_is_told_and_whoever_waits_for_the_same_later_is_not() {
        let fates = Arc::<Fates>::default();
        let (first, second) = (fates.await_fate(id(1)), fates.await_fate(id(1)));
        let lost = || Error::new(larder_core::ErrorKind::Corrupt, "lost");
        fates.fail((id(1), first.number), lost());
        assert!(matches!(first.fate().now_or_never(), Some(Some(Fate::Failed(_)))));
        // He goes on under another identity, by which he has been told nothing.
        fates.rename(id(1), id(2));
        fates.fail((id(1), second.number), lost());
        fates.settle(id(2), &Fate::Accepted(None));
        assert!(matches!(second.fate().now_or_never(), Some(Some(Fate::Accepted(None)))));
        assert!(fates.waiting().senders.is_empty());
    }
}
