//! The engine by itself: events in, effects out, time and chance as values.

use std::time::Duration;

use larder_core::{Idempotency, Key, MutationId, ParkReason, Sent, Timestamp, Uuid};
use rstest::rstest;

use super::rebase::Ended;
use super::ties::Tied;
use super::{Answer, Effect, Engine, Event, Head, Instants, Moved, PermanentFailure, Settings, Verdict};

mod asked;
mod failing;
mod places;
mod told;
mod turns;
mod world;

const LONG: Duration = Duration::from_secs(3600);
/// When the last of those comes that are asked to stay away for that long.
const LAST: Duration = Duration::from_secs(3600 + 150);

pub(crate) fn at(seconds: u64) -> Instants {
    let wall = Timestamp::from_second(1_700_000_000 + i64::try_from(seconds).unwrap()).unwrap();
    Instants { mono: Duration::from_secs(seconds), wall }
}

pub(crate) fn head(seq: u64, key: &str, idempotency: Idempotency) -> Head {
    Head {
        seq,
        id: MutationId(Uuid::from_u128(seq.into())),
        model: "Note",
        key: Key::from(key),
        lane: None,
        host: None,
        idempotency,
        on_failure: PermanentFailure::Park,
        account: None,
        parked: None,
        marked: None,
        tried: false,
        strikes: 0,
        first_strike: None,
        not_before: None,
        tied: Tied::default(),
        gets_key: false,
    }
}

/// An engine that has loaded `heads`, and what it wants done.
pub(crate) fn loaded(now: Instants, heads: Vec<Head>) -> (Engine, Vec<Effect>) {
    let mut engine = Engine::new(Settings::default());
    assert_eq!(tell(&mut engine, now, Event::Tick), [Effect::Load { after: 0, limit: 4096 }]);
    let last = heads.last().map_or(0, |head| head.seq);
    let effects = tell(&mut engine, now, Event::Loaded { heads, last, more: false, wipes: 0 });
    (engine, effects)
}

/// The same with other settings than the usual ones.
pub(crate) fn with(settings: Settings, heads: Vec<Head>) -> (Engine, Vec<Effect>) {
    let mut engine = Engine::new(settings);
    tell(&mut engine, at(0), Event::Tick);
    let last = heads.last().map_or(0, |head| head.seq);
    let effects = tell(&mut engine, at(0), Event::Loaded { heads, last, more: false, wipes: 0 });
    (engine, effects)
}

pub(crate) fn tell(engine: &mut Engine, now: Instants, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    engine.on(now, event, &mut effects);
    effects
}

fn marks(seqs: Vec<u64>, now: Instants) -> Event {
    Event::Marked { seqs, at: now.wall, revised: Vec::new(), gone: Vec::new() }
}

pub(super) fn marked(engine: &mut Engine, now: Instants, seqs: &[u64]) -> Vec<Effect> {
    tell(engine, now, marks(seqs.to_vec(), now))
}

pub(super) fn answered(engine: &mut Engine, now: Instants, seq: u64, answer: Answer) -> Vec<Effect> {
    tell(engine, now, Event::Answered { seq, answer, jitter: u64::MAX })
}

const UNREACHABLE: Answer = Answer::Unreachable { sent: Sent::Never, wait: None };
const BROKEN: Answer = Answer::Broken { sent: Sent::Maybe };
const LOST: Answer = Answer::Unreachable { sent: Sent::Maybe, wait: None };
const KEYED: Idempotency = Idempotency::KEYED;

// Rules: o-marked
#[test]
fn an_entry_is_marked_before_its_first_byte_goes_out() {
    let (mut engine, effects) = loaded(at(0), vec![head(1, "a", KEYED)]);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    assert_eq!(marked(&mut engine, at(0), &[1]), [Effect::Send { seq: 1, repeated: false }]);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Accepted), [Effect::Settle(1, Verdict::Accept)]);
    assert!(!engine.at_rest());
    tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Accept });
    assert!(engine.at_rest());
}

// Rules: o-lanes
#[test]
fn entries_of_one_key_go_one_by_one_and_those_of_others_beside_them() {
    let heads = vec![head(1, "a", KEYED), head(2, "a", KEYED), head(3, "b", KEYED)];
    let (mut engine, effects) = loaded(at(0), heads);
    assert_eq!(effects, [Effect::Mark(vec![1, 3])]);
    let sends = marked(&mut engine, at(0), &[1, 3]);
    assert_eq!(sends, [Effect::Send { seq: 1, repeated: false }, Effect::Send { seq: 3, repeated: false }]);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    let next = tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Accept });
    assert_eq!(next, [Effect::Mark(vec![2])]);
}

// Rules: o-parked
#[test]
fn a_parked_entry_stops_its_own_key_and_nothing_else() {
    let heads = vec![head(1, "a", KEYED), head(2, "a", KEYED), head(3, "b", KEYED)];
    let (mut engine, _) = loaded(at(0), heads);
    marked(&mut engine, at(0), &[1, 3]);
    assert_eq!(
        answered(&mut engine, at(0), 1, Answer::Refused),
        [Effect::Settle(1, Verdict::Park(ParkReason::Rejected))]
    );
    let parked = Event::Settled { seq: 1, verdict: Verdict::Park(ParkReason::Rejected) };
    assert_eq!(tell(&mut engine, at(0), parked), []);
    assert_eq!(answered(&mut engine, at(0), 3, Answer::Accepted), [Effect::Settle(3, Verdict::Accept)]);
    tell(&mut engine, at(0), Event::Settled { seq: 3, verdict: Verdict::Accept });
    assert_eq!((engine.counts().parked, engine.counts().waiting), (1, 1));
    assert_eq!(tell(&mut engine, at(1), Event::Retried(1)), [Effect::Send { seq: 1, repeated: true }]);
}

// Rules: o-idempotency
#[rstest]
#[case::idempotent(Idempotency::Idempotent, Effect::Send { seq: 1, repeated: true })]
#[case::keyed(KEYED, Effect::Send { seq: 1, repeated: true })]
#[case::conditional(Idempotency::Conditional, Effect::Send { seq: 1, repeated: true })]
#[case::probe(Idempotency::Probe, Effect::Probe(1))]
#[case::at_most_once(Idempotency::AtMostOnce, Effect::Settle(1, Verdict::Park(ParkReason::Uncertain)))]
fn after_a_restart_the_endpoint_decides(#[case] idempotency: Idempotency, #[case] expected: Effect) {
    let was_in_flight = Head { marked: Some(at(0).wall), ..head(1, "a", idempotency) };
    let (_, effects) = loaded(at(60), vec![was_in_flight]);
    assert_eq!(effects, [expected]);
}

#[rstest]
#[case::alive(at(86_399), false)]
#[case::to_the_second(at(86_400), true)]
#[case::expired(at(86_401), true)]
fn a_key_that_may_have_expired_is_asked_about(#[case] now: Instants, #[case] probes: bool) {
    let was_in_flight = Head { marked: Some(at(0).wall), ..head(1, "a", KEYED) };
    let (_, effects) = loaded(now, vec![was_in_flight]);
    assert_eq!(matches!(effects[..], [Effect::Probe(1)]), probes, "{effects:?}");
}

#[test]
fn a_clock_found_behind_the_mark_makes_the_key_count_as_expired() {
    let was_in_flight = Head { marked: Some(at(1000).wall), ..head(1, "a", KEYED) };
    let (_, effects) = loaded(at(0), vec![was_in_flight]);
    assert_eq!(effects, [Effect::Probe(1)]);
}

#[test]
fn an_unreachable_remote_is_tried_by_one_entry_after_a_backoff() {
    let heads = (1..=20).map(|seq| head(seq, &seq.to_string(), KEYED)).collect();
    let (mut engine, effects) = loaded(at(0), heads);
    let [Effect::Mark(seqs)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(seqs.len(), 20);
    assert_eq!(marked(&mut engine, at(0), seqs).len(), 8);
    for seq in 1..=8 {
        assert_eq!(answered(&mut engine, at(0), seq, UNREACHABLE), []);
    }
    assert!(!engine.reachable());
    let wake = engine.wait_until().expect("a next step is scheduled");
    assert!(wake > Duration::ZERO && wake <= Settings::default().backoff.cap);
    let later = at(wake.as_secs() + 1);
    assert_eq!(tell(&mut engine, later, Event::Tick), [Effect::Send { seq: 1, repeated: false }]);
    assert_eq!(answered(&mut engine, later, 1, Answer::Accepted).len(), 9, "one settles, eight more go");
}

// Rules: o-backoff
#[rstest]
#[case::connectivity(Event::Connectivity { connected: true, jitter: 0 })]
#[case::nudge(Event::Nudge)]
#[case::credentials(Event::Credentials)]
fn waiting_is_cut_short(#[case] event: Event) {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, LOST);
    assert!(tell(&mut engine, at(0), event).contains(&Effect::Send { seq: 1, repeated: true }));
}

fn regained(jitter: u64) -> Event {
    Event::Connectivity { connected: true, jitter }
}

// Rules: o-apart
#[test]
fn a_connection_that_is_regained_is_used_at_a_moment_of_ones_own() {
    let lost = Event::Connectivity { connected: false, jitter: 0 };
    for (jitter, seconds) in [(0, 0), (u64::MAX / 2, 1), (u64::MAX, 2)] {
        let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
        marked(&mut engine, at(0), &[1]);
        answered(&mut engine, at(0), 1, UNREACHABLE);
        assert_eq!(tell(&mut engine, at(5), lost.clone()), []);
        let begun = tell(&mut engine, at(10), regained(jitter));
        assert!(engine.reachable(), "what is left alone is not out of reach");
        if seconds == 0 {
            assert_eq!(begun, [Effect::Send { seq: 1, repeated: false }]);
            continue;
        }
        assert_eq!(begun, []);
        let until = engine.wait_until().expect("a next step is scheduled");
        assert_eq!(until.as_secs_f64().round(), at(10 + seconds).mono.as_secs_f64());
        assert_eq!(tell(&mut engine, at(10 + seconds), Event::Tick).len(), 1);
    }
}

// Rules: o-apart
#[test]
fn whoever_insists_does_not_wait_for_others() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, UNREACHABLE);
    tell(&mut engine, at(5), Event::Connectivity { connected: false, jitter: 0 });
    assert_eq!(tell(&mut engine, at(10), regained(u64::MAX)), []);
    assert!(tell(&mut engine, at(10), Event::Nudge).contains(&Effect::Send { seq: 1, repeated: false }));
}

// Rules: o-apart
#[test]
fn ten_thousand_that_regain_their_connection_together_come_one_after_the_other() {
    let runtime = Spread(std::cell::Cell::new(7));
    let mut busiest = std::collections::BTreeMap::<u128, usize>::new();
    for _ in 0..10_000 {
        let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
        marked(&mut engine, at(0), &[1]);
        answered(&mut engine, at(0), 1, UNREACHABLE);
        tell(&mut engine, at(5), Event::Connectivity { connected: false, jitter: 0 });
        let at_once = !tell(&mut engine, at(10), regained(runtime.next())).is_empty();
        let begins = if at_once { at(10).mono } else { engine.wait_until().expect("a next step") };
        *busiest.entry(begins.as_millis() / 100).or_default() += 1;
    }
    let most = busiest.values().max().copied().unwrap_or_default();
    assert!(most <= 750, "{most} of 10,000 begin within one of twenty tenths of a second");
}

/// Random numbers by a seed.
struct Spread(std::cell::Cell<u64>);

impl Spread {
    fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mixed = (self.0.get() ^ (self.0.get() >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

// Rules: o-backoff
#[test]
fn retry_after_is_obeyed() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, Answer::Unreachable { sent: Sent::Never, wait: Some(LONG) });
    assert_eq!(engine.wait_until(), Some(LAST));
    assert_eq!(tell(&mut engine, at(3749), Event::Tick), []);
    assert_eq!(tell(&mut engine, at(3750), Event::Tick).len(), 1);
}

#[test]
fn retry_after_is_obeyed_whatever_the_remote_answers_to_others() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    marked(&mut engine, at(0), &[1, 2]);
    answered(&mut engine, at(0), 1, Answer::Unreachable { sent: Sent::Never, wait: Some(LONG) });
    assert_eq!(answered(&mut engine, at(1), 2, Answer::Accepted), [Effect::Settle(2, Verdict::Accept)]);
    tell(&mut engine, at(1), Event::Settled { seq: 2, verdict: Verdict::Accept });
    assert_eq!(engine.wait_until(), Some(LAST));
    assert_eq!(tell(&mut engine, at(3749), Event::Tick), []);
    assert_eq!(tell(&mut engine, at(3750), Event::Tick), [Effect::Send { seq: 1, repeated: false }]);
}

// Rules: o-credentials
#[test]
fn refused_credentials_stop_everything_and_burn_no_attempt() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    marked(&mut engine, at(0), &[1, 2]);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Unauthorized), []);
    assert_eq!(answered(&mut engine, at(0), 2, Answer::Unauthorized), []);
    assert!(engine.unauthorized() && engine.at_rest());
    assert_eq!(tell(&mut engine, at(9999), Event::Tick), []);
    let again = tell(&mut engine, at(9999), Event::Credentials);
    assert_eq!(again, [Effect::Send { seq: 1, repeated: false }, Effect::Send { seq: 2, repeated: false }]);
}

#[test]
fn five_failures_over_ten_minutes_exhaust_an_entry() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", Idempotency::Idempotent)]);
    marked(&mut engine, at(0), &[1]);
    for strike in 0..4 {
        let now = at(strike * 200);
        let noted = answered(&mut engine, now, 1, Answer::Failed { wait: None });
        assert_eq!(noted, [Effect::Settle(1, Verdict::Note)], "strike {strike}");
        let again = tell(&mut engine, at(strike * 200 + 199), Event::Tick);
        assert_eq!(again, [Effect::Send { seq: 1, repeated: true }]);
    }
    let exhausted = answered(&mut engine, at(800), 1, Answer::Failed { wait: None });
    assert_eq!(exhausted, [Effect::Settle(1, Verdict::Park(ParkReason::Exhausted))]);
}

#[test]
fn a_lost_reply_of_an_at_most_once_endpoint_is_never_repeated() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", Idempotency::AtMostOnce)]);
    marked(&mut engine, at(0), &[1]);
    let parked = answered(&mut engine, at(0), 1, LOST);
    assert_eq!(parked, [Effect::Settle(1, Verdict::Park(ParkReason::Uncertain))]);
}

#[rstest]
#[case::at_most_once(Idempotency::AtMostOnce)]
#[case::probe(Idempotency::Probe)]
fn what_never_left_is_not_marked_as_sent_any_more(#[case] idempotency: Idempotency) {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", idempotency)]);
    marked(&mut engine, at(0), &[1]);
    assert_eq!(answered(&mut engine, at(0), 1, UNREACHABLE), [Effect::Settle(1, Verdict::Unmark)]);
    assert_eq!(tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Unmark }), []);
    assert_eq!(tell(&mut engine, at(600), Event::Tick), [Effect::Mark(vec![1])]);
}

// Rules: o-success
#[test]
fn our_own_success_after_a_lost_reply_is_no_conflict() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", Idempotency::Conditional)]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, LOST);
    assert_eq!(tell(&mut engine, at(600), Event::Tick), [Effect::Send { seq: 1, repeated: true }]);
    assert_eq!(answered(&mut engine, at(600), 1, Answer::Conflict), [Effect::Probe(1)]);
    assert_eq!(answered(&mut engine, at(600), 1, Answer::Accepted), [Effect::Settle(1, Verdict::Accept)]);
}

#[test]
fn a_conflict_at_the_first_attempt_is_a_conflict() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", Idempotency::Conditional)]);
    marked(&mut engine, at(0), &[1]);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Conflict), [Effect::Probe(1)], "what is there now?");
    assert_eq!(answered(&mut engine, at(0), 1, Answer::NotThere), [Effect::Settle(1, Verdict::Resolve)]);
}

// Rules: c-detect
#[test]
fn what_the_remote_has_is_asked_until_it_is_known() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", Idempotency::AtMostOnce)]);
    marked(&mut engine, at(0), &[1]);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Conflict), [Effect::Probe(1)]);
    assert_eq!(answered(&mut engine, at(0), 1, LOST), []);
    assert_eq!(
        tell(&mut engine, at(600), Event::Tick),
        [Effect::Probe(1)],
        "it was refused, and is not sent again"
    );
    assert_eq!(answered(&mut engine, at(600), 1, Answer::Refused), [Effect::Settle(1, Verdict::Resolve)]);
}

// Rules: c-again
#[test]
fn conflict_after_conflict_is_resolved_slower_and_slower_and_then_parked() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    let (mut now, mut waits, mut id) = (at(0), Vec::new(), 1);
    let mut effects = vec![Effect::Mark(vec![1])];
    loop {
        effects = match effects[..] {
            [Effect::Mark(_)] => {
                assert_eq!(
                    engine.head(1).unwrap().id,
                    MutationId(Uuid::from_u128(id)),
                    "it is known by its name"
                );
                marked(&mut engine, now, &[1])
            }
            [Effect::Send { seq: 1, repeated: false }] => answered(&mut engine, now, 1, Answer::Conflict),
            [Effect::Probe(1)] => answered(&mut engine, now, 1, Answer::NotThere),
            [Effect::Settle(1, Verdict::Resolve)] => {
                id += 1;
                let again = Head { id: MutationId(Uuid::from_u128(id)), ..head(1, "a", KEYED) };
                let moved = Moved { ended: Vec::new(), heads: vec![again] };
                let resolved = Event::Resolved { seq: 1, moved, jitter: u64::MAX };
                let effects = tell(&mut engine, now, resolved);
                waits.extend(engine.wait_until().map(|until| until.saturating_sub(now.mono).as_millis()));
                effects
            }
            [] => {
                now = at(engine.wait_until().unwrap().as_secs() + 1);
                tell(&mut engine, now, Event::Tick)
            }
            [Effect::Settle(1, Verdict::Park(ParkReason::Conflict))] => break,
            ref other => panic!("{other:?}"),
        };
        assert!(waits.len() < 100, "it has to come to an end");
    }
    assert_eq!(waits.len(), 7, "the first one goes again at once, the ninth is parked");
    assert!(waits.is_sorted() && waits[0] < 1_000 && waits[6] > 10_000, "{waits:?}");
}

#[test]
fn entries_of_another_account_stay() {
    let foreign = Head { account: Some("other".into()), ..head(1, "a", KEYED) };
    let (engine, effects) = loaded(at(0), vec![foreign]);
    assert_eq!((effects.len(), engine.counts().waiting), (0, 1));
}

#[test]
fn pausing_lets_what_is_on_its_way_end_and_starts_nothing() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    tell(&mut engine, at(0), Event::Pause);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    assert_eq!(tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Accept }), []);
    assert_eq!(engine.counts().waiting, 1, "the unsent one is still there");
    assert_eq!(tell(&mut engine, at(0), Event::Resume), [Effect::Mark(vec![2])]);
}

#[test]
fn an_entry_of_another_account_behind_ones_own_is_counted_once() {
    let foreign = Head { account: Some("other".into()), ..head(2, "a", KEYED) };
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), foreign]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Accept });
    assert_eq!(engine.counts().waiting, 1);
    let more = tell(&mut engine, at(0), Event::Stored);
    assert_eq!(more, [Effect::Load { after: 2, limit: 4096 }], "it takes no room");
}

#[test]
fn what_waits_behind_a_parked_entry_keeps_no_other_from_being_loaded() {
    let first = Head { parked: Some(ParkReason::Conflict), ..head(1, "a", KEYED) };
    let heads = std::iter::once(first).chain((2..=4096).map(|seq| head(seq, "a", KEYED))).collect();
    let (mut engine, _) = loaded(at(0), heads);
    assert_eq!(tell(&mut engine, at(0), Event::Stored), [Effect::Load { after: 4096, limit: 4096 }]);
    let heads = vec![head(4097, "b", KEYED)];
    let next = tell(&mut engine, at(0), Event::Loaded { heads, last: 4097, more: false, wipes: 0 });
    assert_eq!(next, [Effect::Mark(vec![4097])]);
    tell(&mut engine, at(0), Event::Discarded(7));
    assert_eq!(engine.counts().conflicts, 1);
}

#[test]
fn a_refusal_of_credentials_that_have_been_replaced_holds_nothing() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    marked(&mut engine, at(0), &[1, 2]);
    answered(&mut engine, at(0), 1, Answer::Unauthorized);
    tell(&mut engine, at(1), Event::Credentials);
    let again = answered(&mut engine, at(2), 2, Answer::Unauthorized);
    assert!(!engine.unauthorized());
    assert_eq!(again, [Effect::Send { seq: 2, repeated: false }]);
}

#[test]
fn a_retry_that_comes_before_the_news_of_the_parking_counts() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, Answer::Refused);
    assert_eq!(tell(&mut engine, at(0), Event::Retried(1)), []);
    let parked = Event::Settled { seq: 1, verdict: Verdict::Park(ParkReason::Rejected) };
    assert_eq!(tell(&mut engine, at(0), parked), [Effect::Send { seq: 1, repeated: true }]);
    assert_eq!(tell(&mut engine, at(0), Event::Retried(1)), [], "it is on its way");
}

// Rules: o-marked, c-again
#[test]
fn what_goes_on_under_another_identity_is_marked_anew_though_its_parking_was_not_heard_of_yet() {
    let again = || Head { id: MutationId(Uuid::from_u128(9)), ..head(1, "a", KEYED) };
    let settles = |moved: Vec<Head>| {
        let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
        marked(&mut engine, at(0), &[1]);
        answered(&mut engine, at(0), 1, Answer::Conflict);
        answered(&mut engine, at(0), 1, Answer::Unknowable);
        for head in moved {
            tell(&mut engine, at(0), Event::Rebased(Moved { ended: Vec::new(), heads: vec![head] }));
        }
        let verdict = Verdict::Park(ParkReason::Conflict);
        let effects = tell(&mut engine, at(0), Event::Settled { seq: 1, verdict });
        let id = engine.head(1).unwrap().id;
        (engine, effects, id)
    };
    let (_, effects, id) = settles(vec![again()]);
    assert_eq!((effects, id), (vec![Effect::Mark(vec![1])], again().id));
    // What was heard of it before it was sent says nothing of its parking.
    assert_eq!(settles(vec![head(1, "a", KEYED)]).1, []);
    // Whether it waits for a decision once more, or did so before, is seen as it is marked.
    let parked = Head { parked: Some(ParkReason::Conflict), ..again() };
    let (mut engine, effects, _) = settles(vec![again(), parked.clone()]);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    let found = Event::Marked { seqs: Vec::new(), at: at(0).wall, revised: vec![parked], gone: Vec::new() };
    assert_eq!(tell(&mut engine, at(0), found), []);
    assert_eq!(engine.counts().parked, 1);
}

// Rules: o-parked
#[test]
fn what_is_decided_while_the_outbox_is_read_is_not_undone_by_what_was_read_before() {
    let parked = || Head { parked: Some(ParkReason::Rejected), ..head(1, "a", KEYED) };
    let behind = || head(2, "a", KEYED);
    let moved = Moved { ended: Vec::new(), heads: vec![head(1, "a", KEYED)] };
    let edited = Event::Edited { seq: 1, id: MutationId(Uuid::from_u128(9)) };
    for decision in [Event::Retried(1), edited, Event::Rebased(moved), Event::Reverted(vec![1])] {
        let mut engine = Engine::new(Settings::default());
        tell(&mut engine, at(0), Event::Tick);
        tell(&mut engine, at(0), decision);
        let read = Event::Loaded { heads: vec![parked(), behind()], last: 2, more: false, wipes: 0 };
        assert_eq!(
            tell(&mut engine, at(0), read),
            [Effect::Load { after: 0, limit: 4096 }],
            "it is read again"
        );
        assert!(engine.has_more() && !engine.tracks(1) && !engine.tracks(2));
        let read =
            Event::Loaded { heads: vec![head(1, "a", KEYED), behind()], last: 2, more: false, wipes: 0 };
        assert_eq!(tell(&mut engine, at(0), read), [Effect::Mark(vec![1])]);
    }
}

#[test]
fn what_has_ended_while_the_outbox_is_read_stops_nothing() {
    let mut engine = Engine::new(Settings::default());
    tell(&mut engine, at(0), Event::Tick);
    tell(&mut engine, at(0), Event::Rebased(Moved { ended: vec![(1, Ended::Done)], heads: Vec::new() }));
    let gone = Head { parked: Some(ParkReason::Conflict), ..head(1, "a", KEYED) };
    let read = Event::Loaded { heads: vec![gone, head(2, "a", KEYED)], last: 2, more: false, wipes: 0 };
    assert_eq!(tell(&mut engine, at(0), read), [Effect::Mark(vec![2])]);
}

#[test]
fn a_retry_forgets_not_that_it_may_have_been_sent() {
    for (idempotency, expected) in
        [(Idempotency::Probe, Effect::Probe(1)), (Idempotency::AtMostOnce, Effect::Mark(vec![1]))]
    {
        let uncertain = Some(ParkReason::Uncertain);
        let parked = Head { marked: Some(at(0).wall), parked: uncertain, ..head(1, "a", idempotency) };
        let (mut engine, _) = loaded(at(0), vec![parked]);
        assert_eq!(tell(&mut engine, at(0), Event::Retried(1)), [expected]);
    }
}

// Rules: d-salvage, s-wipe
#[test]
fn what_was_loaded_before_a_wipe_is_forgotten_and_what_is_there_after_it_is_read_from_the_beginning() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    assert!(matches!(tell(&mut engine, at(0), Event::Stored)[..], [Effect::Load { after: 2, .. }]));
    // The store began anew before it was read: what was salvaged lies before the place where the load began.
    let (last, more, wipes) = (3, false, 1);
    let read = Event::Loaded { heads: vec![head(3, "c", KEYED)], last, more, wipes };
    assert!(matches!(tell(&mut engine, at(0), read)[..], [Effect::Load { after: 0, .. }]));
    assert_eq!(tell(&mut engine, at(0), Event::Wiped(1)), [], "it is known already");
    let read = Event::Loaded { heads: vec![head(2, "b", KEYED), head(3, "c", KEYED)], last, more, wipes };
    assert_eq!(tell(&mut engine, at(0), read), [Effect::Mark(vec![2, 3])]);
    assert_eq!([1, 2, 3].map(|seq| engine.tracks(seq)), [false, true, true]);
}

// Rules: m-key-server, o-lanes
#[test]
fn what_is_queued_behind_a_new_row_keeps_its_place_under_the_key_that_was_given() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "new", KEYED), head(2, "new", KEYED)]);
    let accept = |engine: &mut Engine, seq, event| {
        marked(engine, at(0), &[seq]);
        assert_eq!(answered(engine, at(0), seq, Answer::Accepted), [Effect::Settle(seq, Verdict::Accept)]);
        tell(engine, at(0), event)
    };
    let given = Event::Exchanged { seq: 1, renames: vec![(("Note", Key::from("new")), Key::from("17"))] };
    // Written to the given key, and read before the exchange was known.
    tell(&mut engine, at(0), Event::Stored);
    assert_eq!(accept(&mut engine, 1, given), [Effect::Mark(vec![2])]);
    let heads = vec![head(3, "17", KEYED), head(4, "new", KEYED)];
    assert_eq!(tell(&mut engine, at(0), Event::Loaded { heads, last: 4, more: false, wipes: 0 }), []);
    let settled = |seq| Event::Settled { seq, verdict: Verdict::Accept };
    assert_eq!(accept(&mut engine, 2, settled(2)), [Effect::Mark(vec![3])]);
    assert_eq!(accept(&mut engine, 3, settled(3)), [Effect::Mark(vec![4])]);
    assert_eq!(accept(&mut engine, 4, settled(4)), []);
    assert!(engine.at_rest());
}
