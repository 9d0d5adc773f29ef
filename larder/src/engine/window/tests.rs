//! Whatever becomes of entries: what may go is what nothing stands in the way of, and of a row one at a time.

use proptest::prelude::*;

use super::*;
use crate::engine::tests::head;
use larder_core::Idempotency;

impl Window {
    /// What is known of an entry's place is what it is when it is worked out anew.
    pub(in crate::engine) fn check(&self) {
        let busy: BTreeSet<u64> =
            self.entries.iter().filter(|(_, tracked)| tracked.stage.is_busy()).map(|(seq, _)| *seq).collect();
        assert_eq!(self.busy, busy);
        assert!(self.beside.is_subset(&busy), "{:?} of {busy:?}", self.beside);
        for (at, lane) in self.lanes.all() {
            let (head, lane) = (lane.head(), lane.entries());
            assert!(lane.iter().all(|seq| place(&self.entries[seq].head) == *at), "{at:?}: {lane:?}");
            // What was sent goes before what never was, and past nothing else.
            let stands = |seq: &&u64| self.stand(**seq, &self.entries[*seq]);
            let first = lane.iter().find(|seq| stands(seq) != Stand::Unsent);
            let first = first.filter(|seq| stands(seq) == Stand::Sent).or(lane.first());
            assert_eq!(head.as_ref(), first, "{lane:?}");
            let behind: Vec<_> = lane.intersection(&busy).filter(|seq| Some(**seq) != head).collect();
            assert!(behind.iter().all(|seq| self.beside.contains(seq)), "{behind:?} of {lane:?}");
        }
        let mut live = BTreeSet::new();
        for (seq, tracked) in &self.entries {
            let lane = self.lanes.get(&place(&tracked.head)).filter(|lane| lane.entries().contains(seq));
            let turn = lane.filter(|lane| lane.head() != Some(*seq));
            let before = turn.and_then(|lane| lane.entries().range(..seq).next_back().copied());
            let mut waits = before.into_iter().chain(self.ties.waits(*seq));
            if !tracked.is_stopped() && waits.all(|other| live.contains(&other)) {
                live.insert(*seq);
            }
        }
        assert_eq!(self.live, live, "what goes without a decision");
        let heads = self.entries.values().map(|tracked| &tracked.head);
        let created = heads.filter(|head| head.gets_key && head.may_have_been_sent()).map(|head| head.seq);
        let created: Vec<u64> = created.collect();
        assert_eq!(self.created.values().flatten().copied().collect::<Vec<_>>(), created);
        for (seq, tracked) in &self.entries {
            let lane = self.lanes.get(&place(&tracked.head)).filter(|lane| lane.head() == Some(*seq));
            let alone = lane.is_some_and(|lane| lane.entries().intersection(&busy).all(|other| other == seq));
            let goes = tracked.stage == Stage::Ready && !tracked.foreign && alone && self.ties.is_free(*seq);
            let in_queue = self.queues.values().any(|queue| queue.is_ready(*seq));
            assert_eq!(in_queue, goes, "{seq}: {tracked:?}, {busy:?}, {:?}", self.beside);
        }
    }

    /// How many of a row are on their way.
    pub(in crate::engine) fn most_busy(&self) -> usize {
        self.lanes
            .all()
            .map(|(_, lane)| lane.entries().intersection(&self.busy).count())
            .max()
            .unwrap_or_default()
    }

    fn may_go(&self) -> Vec<u64> {
        self.entries
            .keys()
            .copied()
            .filter(|seq| self.queues().any(|(_, queue)| queue.is_ready(*seq)))
            .collect()
    }
}

/// What can happen; entries and rows are named by any number.
#[derive(Clone, Debug)]
enum Happens {
    Added(Head),
    Begun(usize, Stage),
    Became(usize, Stage),
    Marked(u64),
    Gone(u64),
    Exchanged(u64, Vec<(u64, u64)>),
    Revised(Head, Option<u64>),
    Withdrawn(u64),
    Restored(u64),
    SignedIn(bool),
    SetAside(u64),
    Replaced(Head),
    Woken,
    Loaded,
}

fn key(number: u64) -> Key {
    Key::from(number.to_string())
}

fn seqs() -> impl Strategy<Value = u64> {
    1..12_u64
}

fn heads() -> impl Strategy<Value = Head> {
    let kinds = [Idempotency::KEYED, Idempotency::Probe];
    let ties = (any::<bool>(), any::<bool>(), proptest::option::of(0..3_u64));
    let (marked, gets_key) = (proptest::bool::weighted(0.2), proptest::bool::weighted(0.2));
    (seqs(), 0..3_u64, proptest::sample::select(kinds.to_vec()), ties, marked, gets_key).prop_map(
        |(seq, at, kind, (creates, deletes, refers), marked, gets_key)| {
            let refers = refers.map(|refers| ("Note", key(refers))).into_iter().collect();
            let tied = Tied { creates, deletes: deletes && !creates, refers, ..Tied::default() };
            let marked = marked.then_some(Timestamp::UNIX_EPOCH);
            Head { tied, marked, gets_key, ..head(seq, &at.to_string(), kind) }
        },
    )
}

fn happens() -> impl Strategy<Value = Happens> {
    let on_its_way = [Stage::Marking, Stage::Sending, Stage::Probing, Stage::Settling, Stage::Acknowledged];
    let ended = [Stage::Ready, Stage::Waiting { until: Duration::from_secs(1) }, Stage::Held, Stage::Parked];
    let begun = proptest::sample::select(on_its_way.to_vec());
    let became = proptest::sample::select(ended.to_vec());
    let renames = proptest::collection::vec((0..3_u64, 0..3_u64), 1..3);
    prop_oneof![
        4 => heads().prop_map(Happens::Added),
        8 => (any::<usize>(), begun.clone()).prop_map(|(nth, stage)| Happens::Begun(nth, stage)),
        2 => (any::<usize>(), begun).prop_map(|(nth, stage)| Happens::Became(nth, stage)),
        4 => (any::<usize>(), became).prop_map(|(nth, stage)| Happens::Became(nth, stage)),
        2 => seqs().prop_map(Happens::Marked),
        2 => seqs().prop_map(Happens::Gone),
        3 => (seqs(), renames).prop_map(|(seq, renames)| Happens::Exchanged(seq, renames)),
        3 => (heads(), proptest::option::of(seqs())).prop_map(|(head, gone)| Happens::Revised(head, gone)),
        1 => seqs().prop_map(Happens::Withdrawn),
        1 => seqs().prop_map(Happens::Restored),
        1 => any::<bool>().prop_map(Happens::SignedIn),
        1 => seqs().prop_map(Happens::SetAside),
        1 => heads().prop_map(Happens::Replaced),
        1 => Just(Happens::Woken),
        1 => Just(Happens::Loaded),
    ]
}

impl Window {
    fn takes(&mut self, what: Happens) {
        let nth = |of: &[u64], nth: usize| of.get(nth % of.len().max(1)).copied();
        let parks = |tracked: &mut Tracked, stage: Stage| {
            tracked.stage = stage;
            tracked.head.parked = (stage == Stage::Parked).then_some(ParkReason::Rejected);
        };
        match what {
            Happens::Added(head) => self.add(head),
            Happens::Begun(at, stage) => {
                let Some(seq) = nth(&self.may_go(), at) else { return };
                let lane = self.lanes.get(&place(&self.entries[&seq].head)).unwrap();
                assert!(self.busy.is_disjoint(lane.entries()), "{seq} goes beside another of {lane:?}");
                self.set(seq, stage);
            }
            Happens::Became(at, stage) => {
                let busy: Vec<u64> = self.busy.iter().copied().collect();
                if let Some(seq) = nth(&busy, at) {
                    self.update(seq, |tracked| parks(tracked, stage));
                }
            }
            Happens::Marked(seq) => drop(self.marked(seq, Some(Timestamp::UNIX_EPOCH))),
            Happens::Gone(seq) => self.end(seq, true),
            Happens::Exchanged(seq, renames) => {
                let renames = renames.into_iter().map(|(from, to)| (("Note", key(from)), key(to))).collect();
                self.exchange(seq, renames, true);
            }
            Happens::Revised(head, gone) => self.revise(vec![head], gone.into_iter().collect(), true),
            Happens::Withdrawn(seq) => drop(self.withdraw(seq)),
            Happens::Restored(seq) => self.restore(seq),
            Happens::SignedIn(bob) => self.sign_in(bob.then(|| "bob".into())),
            Happens::SetAside(seq) => self.set_aside(seq, ParkReason::Reverted),
            // A dead letter is in no row's queue, and so is never put on news of one.
            Happens::Replaced(head) => {
                let aside = |tracked: &Tracked| is_aside(tracked.head.parked);
                if !self.get(head.seq).is_some_and(aside) {
                    self.replace(&head);
                }
            }
            Happens::Woken => {
                self.wake_all();
                self.release_held();
            }
            Happens::Loaded => self.loaded(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    // Rules: o-lanes, m-key-server-refs
    #[test]
    fn what_may_go_is_what_nothing_stands_in_the_way_of(
        happens in proptest::collection::vec(happens(), 1..60),
        serial in any::<bool>(),
    ) {
        let mut window = Window { serial, ..Window::default() };
        for what in happens {
            window.takes(what);
            window.check();
        }
        // Whatever is on its way comes to its end, and so does all that waits for it.
        window.sign_in(None);
        let all: Vec<u64> = window.entries.keys().copied().collect();
        for seq in all {
            window.restore(seq);
        }
        for seq in window.busy.clone() {
            window.set(seq, Stage::Ready);
            window.check();
        }
        window.release_held();
        window.wake_all();
        while let Some(seq) = window.may_go().first().copied() {
            window.set(seq, Stage::Sending);
            window.check();
            prop_assert_eq!(window.most_busy(), 1);
            window.forget(seq);
            window.check();
        }
        prop_assert_eq!(window.live(), 0);
    }
}
