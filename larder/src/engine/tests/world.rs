//! Whatever a remote answers: every entry comes to its end, in order.

use std::collections::{BTreeMap, BTreeSet};

use larder_core::{Idempotency, Key, ParkReason};
use proptest::prelude::*;

use super::{BROKEN, KEYED, LOST, UNREACHABLE, at, head, marks, tell};
use crate::engine::rebase::Ended;
use crate::engine::ties::Tied;
use crate::engine::{Answer, Effect, Engine, Event, Head, Moved, Settings, Verdict};

/// A remote that answers as chance has it, and what it saw.
struct World {
    engine: Engine,
    now: u64,
    pending: Vec<Pending>,
    chance: u64,
    calm: bool,
    /// Whose requests are on their way.
    under_way: BTreeSet<u64>,
    /// Whose marks are durable.
    marked: BTreeSet<u64>,
    uncertain_once: BTreeSet<u64>,
    /// What may have arrived, and is to be asked about before it goes again.
    to_ask: BTreeSet<u64>,
    gone: Vec<u64>,
    parked: BTreeSet<u64>,
    /// What was accepted, removed or not.
    accepted: BTreeSet<u64>,
    heads: BTreeMap<u64, Head>,
    /// The first entry creates a row whose key the remote gives, and the row may be known by that before.
    gives: bool,
    given: bool,
    /// What was on its way, gone, or marked, under the given key as the row got it: it goes before what was queued under the other.
    ahead: BTreeSet<u64>,
}

/// The keys of the row that gets another.
const TEMPORARY: &str = "0";
const GIVEN: &str = "given";

/// What is still to come, in any order.
enum Pending {
    Effect(Effect),
    /// Something has happened, and the engine has not heard of it.
    Word(Event),
}

impl World {
    fn roll(&mut self) -> u64 {
        // SplitMix64, as in Steele et al., "Fast splittable pseudorandom number generators".
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn tell(&mut self, event: Event) {
        let window = &self.engine.window;
        let on_its_way: BTreeSet<u64> = window.busy().difference(window.marking()).copied().collect();
        let effects = tell(&mut self.engine, at(self.now), event);
        self.engine.window.check();
        assert!(self.engine.window.most_busy() <= 1, "two of one row are on their way");
        for effect in &effects {
            // Late news of a write took one for ready that is parked; the store knows better.
            if let Effect::Send { seq, .. } = effect
                && !on_its_way.contains(seq)
                && !self.parked.contains(seq)
            {
                let waits = self.waits_for(*seq);
                assert!(waits.iter().all(|earlier| self.gone.contains(earlier)), "{seq} did not wait");
            }
        }
        self.pending.extend(effects.into_iter().map(Pending::Effect));
    }

    fn tell_later(&mut self, event: Event) {
        self.pending.push(Pending::Word(event));
    }

    /// Now and then somebody's write goes into an entry that is not marked.
    fn merge(&mut self) {
        let nth = usize::try_from(self.roll()).unwrap_or(0) % self.heads.len();
        let open =
            |seq: &u64| !self.marked.contains(seq) && !self.gone.contains(seq) && !self.parked.contains(seq);
        let merged = self.heads.values().nth(nth).filter(|head| open(&head.seq)).cloned();
        if let Some(mut head) = merged.filter(|_| !self.calm) {
            head.key = self.row(head.seq);
            self.tell_later(Event::Revised { revised: vec![head], gone: Vec::new() });
        }
    }

    fn go_on(&mut self) {
        let pick = usize::try_from(self.roll()).unwrap_or(0) % self.pending.len();
        match self.pending.swap_remove(pick) {
            Pending::Effect(effect) => self.act(effect),
            // News of before is not what the store has, and that is seen when it is to be marked.
            Pending::Word(Event::Revised { revised, .. })
                if revised.iter().any(|head| self.is_of_before(head)) => {}
            Pending::Word(event) => {
                if let Event::Answered { seq, answer, .. } = &event {
                    self.under_way.remove(seq);
                    if *answer == Answer::Accepted {
                        self.accepted.insert(*seq);
                    }
                }
                self.tell(event);
            }
        }
    }

    /// What is known of the entry names a row by the key that it had before.
    fn is_of_before(&self, head: &Head) -> bool {
        let named = head.tied.refers.iter().chain(&head.tied.referred);
        let mut keys = named.map(|(_, key)| key).chain([&head.key]);
        let deletes = head.tied.deletes && head.key == Key::from(GIVEN);
        self.given && (deletes || keys.any(|key| *key == Key::from(TEMPORARY)))
    }

    fn act(&mut self, effect: Effect) {
        let jitter = self.roll();
        match effect {
            Effect::Load { .. } => {
                self.tell(Event::Loaded { heads: Vec::new(), last: 0, more: false, wipes: 0 });
            }
            Effect::Mark(seqs) if !self.calm && jitter.is_multiple_of(5) => {
                self.tell_later(Event::MarkFailed { seqs, jitter });
            }
            Effect::Mark(seqs) => {
                self.marked.extend(&seqs);
                self.tell_later(marks(seqs, at(self.now)));
            }
            // Late news of a write took it for one that goes on; the store knows better.
            Effect::Send { seq, .. } if self.parked.contains(&seq) => {
                let answer = Answer::Waits(ParkReason::Conflict);
                self.tell_later(Event::Answered { seq, answer, jitter });
            }
            Effect::Send { seq, .. } => {
                assert!(self.under_way.insert(seq), "{seq} is on its way twice");
                assert!(self.marked.contains(&seq), "{seq} is not marked");
                let beside = self.under_way.iter().filter(|other| self.row(**other) == self.row(seq));
                assert_eq!(beside.count(), 1, "of the row of {seq} another is on its way");
                let unasked = self.uncertain_once.contains(&seq) || self.to_ask.contains(&seq);
                assert!(!unasked, "{seq} was repeated blindly");
                assert!(!self.accepted.contains(&seq), "{seq} was sent though it was accepted");
                self.look_at_the_order(seq);
                let answer = self.answer();
                let arrived = matches!(answer, Answer::Failed { .. } | BROKEN | LOST);
                if arrived && self.heads[&seq].idempotency == Idempotency::AtMostOnce {
                    self.uncertain_once.insert(seq);
                }
                if arrived && self.heads[&seq].idempotency == Idempotency::Probe {
                    self.to_ask.insert(seq);
                }
                self.tell_later(Event::Answered { seq, answer, jitter });
            }
            Effect::Probe(seq) => {
                self.to_ask.remove(&seq);
                let answer = if jitter.is_multiple_of(2) { Answer::Accepted } else { Answer::NotThere };
                self.tell_later(Event::Answered { seq, answer, jitter });
            }
            Effect::Settle(seq, verdict) => {
                match verdict {
                    Verdict::Accept if self.gives && seq == 1 => return self.exchange(seq),
                    Verdict::Accept => self.gone.push(seq),
                    Verdict::Park(_) => drop(self.parked.insert(seq)),
                    Verdict::Unmark => drop(self.marked.remove(&seq)),
                    Verdict::Note | Verdict::Defer | Verdict::Revert => {}
                    // It is absorbed, asks, or goes again.
                    Verdict::Resolve => {
                        let (mut moved, head) = (Moved::default(), self.heads[&seq].clone());
                        self.marked.remove(&seq);
                        match jitter % 3 {
                            0 => {
                                self.gone.push(seq);
                                moved.ended.push((seq, Ended::Done));
                            }
                            1 => {
                                self.parked.insert(seq);
                                moved.heads.push(Head { parked: Some(ParkReason::Conflict), ..head });
                            }
                            _ => moved.heads.push(head),
                        }
                        return self.tell(Event::Resolved { seq, moved, jitter });
                    }
                }
                self.tell(Event::Settled { seq, verdict });
            }
        }
    }

    /// The row of the first entry gets its key.
    fn exchange(&mut self, seq: u64) {
        let given = |seq: &&u64| self.heads[*seq].key == Key::from(GIVEN);
        let begun = self.engine.window.busy().iter().chain(&self.gone).chain(&self.marked);
        self.ahead = begun.filter(given).copied().collect();
        self.gone.push(seq);
        self.given = true;
        let renames = vec![(("Note", Key::from(TEMPORARY)), Key::from(GIVEN))];
        self.tell(Event::Exchanged { seq, renames });
    }

    /// In one order, whatever comes before has been accepted, or is stopped. Never are there more that were accepted
    /// and not removed than there may be, and before one that must not be repeated goes on, it is removed.
    fn look_at_the_order(&self, seq: u64) {
        let (settings, heads) = (&self.engine.settings, &self.heads);
        let open: Vec<u64> = self.accepted.iter().filter(|seq| !self.gone.contains(seq)).copied().collect();
        assert!(open.len() < settings.ahead.max(settings.parallel), "{open:?}");
        if settings.serial {
            let safe = [KEYED, Idempotency::Idempotent];
            assert!(open.iter().all(|seq| settings.ahead > 0 && safe.contains(&heads[seq].idempotency)));
            let done = |seq: &u64| self.accepted.contains(seq) || self.gone.contains(seq);
            let stopped = |seq: &u64| self.is_stopped(*seq);
            assert!(heads.range(..seq).all(|(seq, _)| done(seq) || stopped(seq)), "{seq} overtook");
        }
    }

    fn is_stopped(&self, seq: u64) -> bool {
        let waits = || self.waits_for(seq).into_iter().any(|earlier| self.is_stopped(earlier));
        self.parked.contains(&seq) || (!self.gone.contains(&seq) && waits())
    }

    /// The key of an entry's row.
    fn row(&self, seq: u64) -> Key {
        let key = &self.heads[&seq].key;
        if self.given && *key == Key::from(TEMPORARY) { Key::from(GIVEN) } else { key.clone() }
    }

    /// The earlier entries that one waits for: those of its row, those that create what it refers to, and those that refer
    /// to what it deletes.
    fn waits_for(&self, seq: u64) -> Vec<u64> {
        let Head { key, tied, .. } = &self.heads[&seq];
        // What may have been sent goes before what never was, where two queues have become one; but past nothing that is
        // decided about, and nothing that deletes the row.
        let parallel = !self.engine.settings.serial;
        let marked = |seq| self.engine.window.get(seq).is_some_and(|known| known.head.marked.is_some());
        let is_of_row = |other: &Head| self.row(other.seq) == self.row(seq);
        let stops = |other: &Head| self.parked.contains(&other.seq) || other.tied.deletes;
        let stopped = |other: &Head| !self.gone.contains(&other.seq) && is_of_row(other) && stops(other);
        let ahead = parallel && self.ahead.contains(&seq) && marked(seq) && !tied.deletes;
        let ahead = ahead && !self.heads.range(..seq).any(|(_, other)| stopped(other));
        let waits = |other: &Head| {
            let creates = other.tied.creates && tied.refers.iter().any(|(_, refers)| *refers == other.key);
            let mut named = other.tied.refers.iter().chain(&other.tied.referred);
            let in_row = is_of_row(other) && (!ahead || marked(other.seq));
            in_row || creates || (tied.deletes && named.any(|(_, named)| named == key))
        };
        self.heads.range(..seq).filter(|(_, other)| waits(other)).map(|(seq, _)| *seq).collect()
    }

    fn answer(&mut self) -> Answer {
        if self.calm {
            return Answer::Accepted;
        }
        match self.roll() % 10 {
            0 => UNREACHABLE,
            1 => LOST,
            2 => Answer::Failed { wait: None },
            3 => Answer::Unauthorized,
            4 => Answer::Conflict,
            5 => Answer::Refused,
            6 => BROKEN,
            _ => Answer::Accepted,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens, every entry ends accepted or parked, none stops for ever, those of a key stay in order, none is
    /// on its way twice, and one that may have arrived goes again only where that does no harm.
    #[test]
    fn every_entry_comes_to_an_end_in_order(
        seed in any::<u64>(),
        count in 1..40_u64,
        keys in 1..6_u64,
        serial in any::<bool>(),
        (parallel, ahead, marks) in (1..5_usize, 0..6_usize, 1..6_usize),
        gives in any::<bool>(),
    ) {
        let kinds = [Idempotency::Idempotent, KEYED, Idempotency::Probe, Idempotency::AtMostOnce];
        let mut world = World {
            engine: Engine::new(Settings { serial, parallel, ahead, marks, ..Settings::default() }),
            now: 0,
            pending: Vec::new(),
            chance: seed,
            calm: false,
            under_way: BTreeSet::new(),
            marked: BTreeSet::new(),
            uncertain_once: BTreeSet::new(),
            to_ask: BTreeSet::new(),
            gone: Vec::new(),
            parked: BTreeSet::new(),
            accepted: BTreeSet::new(),
            heads: BTreeMap::new(),
            gives,
            given: false,
            ahead: BTreeSet::new(),
        };
        for seq in 1..=count {
            let (key, kind) = (world.roll() % keys, world.roll() % 4);
            let key = match key {
                _ if gives && seq == 1 => TEMPORARY.to_owned(),
                0 if gives && world.roll().is_multiple_of(2) => GIVEN.to_owned(),
                key => key.to_string(),
            };
            let mut places = |one_in: u64| {
                let refers = world.roll().is_multiple_of(one_in);
                refers.then(|| ("Note", Key::from((world.roll() % keys).to_string()))).into_iter().collect()
            };
            let (refers, referred) = (places(2), places(4));
            let (creates, deletes) = (world.roll().is_multiple_of(3), world.roll().is_multiple_of(4));
            let tied = Tied { creates, deletes: deletes && !creates, refers, referred, ..Tied::default() };
            let kind = kinds[usize::try_from(kind).unwrap()];
            world.heads.insert(seq, Head { tied, ..head(seq, &key, kind) });
        }
        world.tell(Event::Tick);
        world.pending.clear();
        let heads = world.heads.values().cloned().collect();
        world.tell(Event::Loaded { heads, last: count, more: false, wipes: 0 });
        for step in 0..10_000 {
            world.calm = step > 2_000;
            world.merge();
            if !world.pending.is_empty() {
                world.go_on();
            } else if world.engine.unauthorized() {
                world.tell(Event::Credentials);
            } else if let Some(wake) = world.engine.wait_until() {
                world.now = world.now.max(wake.as_secs() + 1);
                world.tell(Event::Tick);
            } else {
                break;
            }
        }
        let counts = world.engine.counts();
        prop_assert_eq!(counts.in_flight, 0);
        let heads = &world.heads;
        let stopped: BTreeSet<u64> = heads.keys().copied().filter(|seq| world.is_stopped(*seq)).collect();
        for seq in heads.keys() {
            prop_assert!(world.gone.contains(seq) || stopped.contains(seq), "{} stopped for ever", seq);
        }
        let left: BTreeSet<_> = heads.keys().filter(|seq| !world.gone.contains(seq)).collect();
        prop_assert_eq!(world.engine.window.live(), left.len() - stopped.len());
        for pair in world.gone.windows(2) {
            let same_row = world.row(pair[0]) == world.row(pair[1]);
            prop_assert!(!same_row || pair[0] < pair[1] || world.ahead.contains(&pair[0]));
        }
    }
}
