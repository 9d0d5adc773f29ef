//! Creations that may have been sent, of rows to which the remote gives their keys. Until the answer is stored, such a row may
//! be written under two keys: by its temporary one, and by that which the remote has given, if it has come by a pull.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use larder_core::{Key, Schema};

use super::act::Acts;
use crate::engine::{Engine, Event, Head};
use crate::repository::looks_temporary;

/// Up to how many are looked at; of more it is taken for granted that one of them is of the row.
const LOOK: usize = 256;

/// Where to look for them.
#[derive(Debug, Default)]
pub(crate) struct Creations(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    seqs: BTreeSet<u64>,
    /// All that was queued before the start has been looked at.
    all: bool,
}

/// What an event says of creations.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Entries that were one when they were read.
    read: Vec<u64>,
    /// Entries that may have become one, or may be one no more.
    named: Vec<u64>,
    /// Everything was removed.
    wiped: bool,
}

impl Changed {
    pub(super) fn by(engine: &Engine, event: &Event) -> Self {
        let named: Vec<u64> = match event {
            Event::Loaded { heads, wipes, .. } => {
                let read = heads.iter().filter(|head| may_be_one(head)).map(|head| head.seq).collect();
                return Self { read, wiped: *wipes > engine.wipes(), ..Self::default() };
            }
            Event::Wiped(wipes) => return Self { wiped: *wipes > engine.wipes(), ..Self::default() },
            Event::Marked { seqs, gone, .. } => seqs.iter().chain(gone).copied().collect(),
            Event::Settled { seq, .. } | Event::Exchanged { seq, .. } => vec![*seq],
            Event::Discarded(seq) | Event::Requeued(seq) => vec![*seq],
            Event::Revised { gone, .. } => gone.clone(),
            Event::Reverted(seqs) => seqs.clone(),
            Event::Rebased(moved) | Event::Resolved { moved, .. } => {
                moved.ended.iter().map(|(seq, _)| *seq).collect()
            }
            _ => Vec::new(),
        };
        let carried: Vec<u64> = named.iter().flat_map(|seq| engine.carried(*seq)).collect();
        Self { named: [named, carried].concat(), ..Self::default() }
    }
}

/// True if the remote may have given a key to the row of an entry, or to one that goes in its request.
fn may_be_one(head: &Head) -> bool {
    (head.gets_key || head.tied.carries.is_some()) && head.may_have_been_sent()
}

impl Creations {
    /// Takes over what an event has changed, of which the engine has been told.
    pub(super) fn follow(&self, engine: &Engine, Changed { read, named, wiped }: Changed) {
        if read.is_empty() && named.is_empty() && !wiped {
            return;
        }
        let mut known = self.lock();
        if wiped {
            *known = Known::default();
        }
        known.seqs.extend(read);
        for seq in named {
            match engine.head(seq) {
                Some(head) if may_be_one(head) => drop(known.seqs.insert(seq)),
                _ => drop(known.seqs.remove(&seq)),
            }
        }
    }

    /// All that was queued before the start has been read.
    pub(super) fn read_all(&self) {
        self.lock().all = true;
    }

    /// True if there are none.
    pub(crate) fn are_none(&self) -> bool {
        let known = self.lock();
        known.all && known.seqs.is_empty()
    }

    /// Where they are; `None` if there may be others, or they are too many to look at.
    fn known(&self) -> Option<Vec<u64>> {
        let known = self.lock();
        (known.all && known.seqs.len() <= LOOK).then(|| known.seqs.iter().copied().collect())
    }

    /// One is gone.
    fn forget(&self, seq: u64) {
        self.lock().seqs.remove(&seq);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acts {
    /// Whether the row with `key` may be the one with one of the keys `others`.
    pub(crate) async fn may_be_among(
        &self,
        schema: &'static Schema,
        key: &Key,
        others: &BTreeSet<Key>,
    ) -> bool {
        // Of two keys of one row the remote has given one at least.
        let is_temporary = looks_temporary(schema, key);
        let may_be = |other: &&Key| *other != key && !(is_temporary && looks_temporary(schema, other));
        let others: Vec<&Key> = others.iter().filter(may_be).collect();
        if others.is_empty() {
            return false;
        }
        let Some(known) = self.creations.known() else { return true };
        for seq in known {
            match self.store.entry(&self.cx(), seq).await {
                Ok(None) => self.creations.forget(seq),
                // The keys of those that go in its request are not in it.
                Ok(Some(entry)) if !entry.carries.is_empty() => return true,
                Ok(Some(entry)) if entry.schema != schema => {}
                // The other key of the row is the one that the remote has given.
                Ok(Some(entry)) if entry.key == *key => return true,
                Ok(Some(entry)) if others.contains(&&entry.key) => return true,
                Ok(Some(_)) => {}
                // What it created can't be told.
                Err(_) => return true,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use larder_core::{Idempotency, ParkReason, Timestamp};

    use super::*;
    use crate::engine::rebase::Ended;
    use crate::engine::tests::{at, head, tell};
    use crate::engine::{Moved, Settings, Verdict};

    fn creation(seq: u64) -> Head {
        Head { gets_key: true, ..head(seq, &format!("new {seq}"), Idempotency::KEYED) }
    }

    struct Followed {
        engine: Engine,
        creations: Creations,
    }

    impl Followed {
        fn new() -> Self {
            Self { engine: Engine::new(Settings::default()), creations: Creations::default() }
        }

        fn tell(&mut self, event: Event) {
            let changed = Changed::by(&self.engine, &event);
            tell(&mut self.engine, at(0), event);
            self.creations.follow(&self.engine, changed);
        }

        fn load(&mut self, heads: Vec<Head>) {
            let last = heads.last().map_or(0, |head| head.seq);
            self.tell(Event::Loaded { heads, last, more: false, wipes: 0 });
            self.creations.read_all();
        }
    }

    // Rules: o-coalesce-apart
    #[test]
    fn they_are_looked_at_once_all_have_been_read_and_if_they_are_not_too_many() {
        let mut followed = Followed::new();
        assert!(
            !followed.creations.are_none() && followed.creations.known().is_none(),
            "there may be others"
        );
        let sent = |head: Head| Head { marked: Some(Timestamp::UNIX_EPOCH), ..head };
        followed.load(vec![creation(1), sent(Head { gets_key: false, ..creation(2) })]);
        assert!(followed.creations.are_none(), "nothing that was sent creates anything");
        followed.load((3..=258).map(|seq| sent(creation(seq))).collect());
        assert_eq!(followed.creations.known(), Some((3..=258).collect()));
        followed.load(vec![Head { tried: true, ..creation(259) }]);
        assert_eq!(followed.creations.known(), None);
        followed.tell(Event::Settled { seq: 259, verdict: Verdict::Accept });
        assert!(followed.creations.known().is_some());
    }

    // Rules: o-coalesce-apart
    #[test]
    fn one_is_known_from_its_mark_on_until_it_is_gone_or_refused_however_that_came() {
        let (mut followed, all) = (Followed::new(), 1..=7);
        followed.load(all.clone().map(creation).collect());
        assert!(followed.creations.are_none());
        followed.tell(Event::Marked { seqs: all.collect(), at: at(0).wall, revised: vec![], gone: vec![] });
        assert_eq!(followed.creations.known(), Some((1..=7).collect()));
        followed.tell(Event::Retried(7));
        let moved = Moved { ended: vec![(6, Ended::Overruled)], heads: vec![] };
        let events = [
            Event::Discarded(1),
            Event::Requeued(2),
            Event::Reverted(vec![3]),
            Event::Revised { revised: vec![], gone: vec![4] },
            Event::Settled { seq: 5, verdict: Verdict::Park(ParkReason::Refused) },
            Event::Rebased(moved),
        ];
        for (left, event) in (2..).zip(events) {
            followed.tell(event);
            assert_eq!(followed.creations.known(), Some((left..=7).collect()));
        }
        for event in [Event::Wiped(1), Event::Loaded { heads: vec![], last: 0, more: true, wipes: 2 }] {
            followed.tell(event);
            assert!(followed.creations.known().is_none(), "what was salvaged is read once more");
            followed.creations.read_all();
            assert!(followed.creations.are_none());
        }
    }

    // Rules: o-coalesce-apart
    #[test]
    fn what_goes_with_another_is_forgotten_with_it() {
        let sent = |head: Head| Head { marked: Some(Timestamp::UNIX_EPOCH), ..head };
        let id = creation(1).id;
        let mut heads: Vec<Head> = (1..=300).map(|seq| sent(creation(seq))).collect();
        heads[0].tied.carries = Some(id);
        heads[1..].iter_mut().for_each(|head| head.tied.carrier = Some(id));
        let mut followed = Followed::new();
        followed.load(heads);
        assert_eq!(followed.creations.known(), None, "they are too many");
        followed.tell(Event::Settled { seq: 1, verdict: Verdict::Accept });
        assert!(followed.creations.are_none());
    }
}
