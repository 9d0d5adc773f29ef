//! One order for all, what a failure for good leads to, and that there is always a next step.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use larder_core::{Idempotency, Key, ParkReason, Sent, Timestamp};
use proptest::prelude::*;
use rstest::rstest;

use crate::engine::rebase::Ended;
use crate::engine::terms::Counts;
use crate::engine::tests::{answered, at, head, loaded, marked, tell, with};
use crate::engine::ties::Tied;
use crate::engine::{
    Answer, Effect, Engine, Event, Head, Instants, Moved, PermanentFailure, Settings, Verdict,
};

const KEYED: Idempotency = Idempotency::KEYED;
const LOST: Answer = Answer::Unreachable { sent: Sent::Maybe, wait: None };

fn send(seq: u64) -> Effect {
    Effect::Send { seq, repeated: false }
}

fn settle(engine: &mut Engine, now: Instants, seq: u64, verdict: Verdict) -> Vec<Effect> {
    tell(engine, now, Event::Settled { seq, verdict })
}

// Rules: o-serial
#[test]
fn in_one_order_nothing_overtakes_whatever_its_row() {
    let serial = Settings { serial: true, ..Settings::default() };
    let heads = vec![head(1, "a", Idempotency::Idempotent), head(2, "b", KEYED), head(3, "c", KEYED)];
    let (mut engine, effects) = with(serial, heads);
    assert_eq!(effects, [Effect::Mark(vec![1, 2, 3])]);
    assert_eq!(marked(&mut engine, at(0), &[1, 2, 3]), [send(1)]);
    // It waits, and so does everything behind it; a drain knows that nothing more can be done.
    assert_eq!(
        answered(&mut engine, at(0), 1, Answer::Failed { wait: None }),
        [Effect::Settle(1, Verdict::Note)]
    );
    assert!(engine.at_rest());
    let wake = engine.wait_until().expect("there is a next step");
    let again = tell(&mut engine, at(wake.as_secs() + 1), Event::Tick);
    assert_eq!(again, [Effect::Send { seq: 1, repeated: true }]);
    let next = answered(&mut engine, at(9), 1, Answer::Accepted);
    assert_eq!(next, [Effect::Settle(1, Verdict::Accept), send(2)]);
    // A parked one stops its own row, and the others go on.
    assert_eq!(answered(&mut engine, at(9), 2, Answer::Refused).len(), 1, "not before that is durable");
    let next = settle(&mut engine, at(9), 2, Verdict::Park(ParkReason::Rejected));
    assert_eq!(next, [send(3)]);
}

/// Accepts and goes on until nothing is sent any more; gives the order in which they went.
fn accepted_without_settling(engine: &mut Engine, effects: Vec<Effect>) -> Vec<u64> {
    let (mut open, mut sent) = (VecDeque::from(effects), Vec::new());
    while let Some(effect) = open.pop_front() {
        match effect {
            Effect::Mark(seqs) => open.extend(marked(engine, at(0), &seqs)),
            Effect::Send { seq, repeated: false } => {
                sent.push(seq);
                open.extend(answered(engine, at(0), seq, Answer::Accepted));
            }
            Effect::Settle(_, Verdict::Accept) => {}
            other => panic!("{other:?}"),
        }
    }
    sent
}

// Rules: o-ahead, o-serial
#[rstest]
#[case::keyed(KEYED, false, 64)]
#[case::idempotent(Idempotency::Idempotent, false, 64)]
#[case::keyed_in_one_order(KEYED, true, 64)]
#[case::conditional(Idempotency::Conditional, false, 8)]
#[case::probe(Idempotency::Probe, false, 8)]
#[case::at_most_once(Idempotency::AtMostOnce, false, 8)]
#[case::probe_in_one_order(Idempotency::Probe, true, 1)]
fn what_was_accepted_runs_ahead_of_its_removal_so_far(
    #[case] idempotency: Idempotency,
    #[case] serial: bool,
    #[case] most: u64,
) {
    let heads: Vec<Head> = (1..=200).map(|seq| head(seq, &seq.to_string(), idempotency)).collect();
    let (mut engine, effects) = with(Settings { serial, ..Settings::default() }, heads.clone());
    assert_eq!(accepted_without_settling(&mut engine, effects), Vec::from_iter(1..=most));
    assert!(!engine.at_rest() && engine.is_settling(1) && !engine.withdraw(1));
    // With each removal that is durable one more goes.
    let next = settle(&mut engine, at(0), 1, Verdict::Accept);
    assert_eq!(accepted_without_settling(&mut engine, next), [most + 1]);
    // Strictly: none before the removal of the one whose place it takes.
    let (mut engine, effects) = with(Settings { serial, ahead: 0, ..Settings::default() }, heads);
    let places = if serial { 1 } else { 8 };
    assert_eq!(accepted_without_settling(&mut engine, effects), Vec::from_iter(1..=places));
}

// Rules: o-ahead, o-lanes, o-dependencies
#[rstest]
fn what_waits_for_the_row_waits_for_the_removal(#[values(true, false)] serial: bool) {
    let creates = Head { tied: Tied { creates: true, ..Tied::default() }, ..head(1, "a", KEYED) };
    let refers = Tied { refers: [("Note", Key::from("a"))].into(), ..Tied::default() };
    let child = Head { tied: refers, ..head(3, "b", KEYED) };
    let heads = vec![creates, head(2, "a", KEYED), child, head(4, "c", KEYED)];
    let (mut engine, effects) = with(Settings { serial, ..Settings::default() }, heads);
    let sent = accepted_without_settling(&mut engine, effects);
    assert_eq!(sent, if serial { vec![1] } else { vec![1, 4] });
    let next = settle(&mut engine, at(0), 1, Verdict::Accept);
    let sent = accepted_without_settling(&mut engine, next);
    assert_eq!(sent, if serial { vec![2, 3, 4] } else { vec![2, 3] });
}

// Rules: o-serial, o-marked, m-key-server-refs
#[test]
fn in_one_order_what_may_be_of_a_row_that_is_being_created_is_not_marked_before_its_turn() {
    let gets_key = |seq: u64| Head { gets_key: true, ..head(seq, &format!("new {seq}"), KEYED) };
    let other = Head { model: "Other", ..head(3, "c", KEYED) };
    let heads = vec![head(1, "17", KEYED), gets_key(2), other, head(4, "18", KEYED), gets_key(5)];
    let (mut engine, effects) = with(Settings { serial: true, ..Settings::default() }, heads);
    assert_eq!(effects, [Effect::Mark(vec![1, 2, 3])]);
    let mut next = marked(&mut engine, at(0), &[1, 2, 3]);
    for seq in [1, 2, 3] {
        assert_eq!(next, [Effect::Send { seq, repeated: false }]);
        let settled = answered(&mut engine, at(0), seq, Answer::Accepted);
        assert!(settled.contains(&Effect::Settle(seq, Verdict::Accept)), "{settled:?}");
        next = tell(&mut engine, at(0), Event::Settled { seq, verdict: Verdict::Accept });
        next.retain(|effect| !matches!(effect, Effect::Load { .. }));
        let begun =
            settled.into_iter().filter(|effect| matches!(effect, Effect::Send { .. } | Effect::Mark(_)));
        next.extend(begun);
        if let Some(at_once) = next.iter().position(|effect| matches!(effect, Effect::Mark(_))) {
            assert_eq!(next.remove(at_once), Effect::Mark(vec![4, 5]), "nothing is created any more");
            assert!(seq >= 2, "{seq}");
        }
    }
}

// Rules: o-serial, o-marked, m-key-server-refs
#[rstest]
#[case::waits_for_its_backoff(Answer::Failed { wait: None }, Verdict::Note, vec![])]
#[case::is_parked(Answer::Unknowable, Verdict::Park(ParkReason::Uncertain), vec![vec![3], vec![4]])]
#[case::is_refused(Answer::Refused, Verdict::Park(ParkReason::Refused), vec![vec![2, 3, 4]])]
fn in_one_order_what_may_be_of_a_row_that_was_created_is_not_marked_before_its_turn(
    #[case] answer: Answer,
    #[case] verdict: Verdict,
    #[case] goes: Vec<Vec<u64>>,
) {
    let creation = Head { gets_key: true, ..head(1, "new", KEYED) };
    let heads = vec![creation, head(2, "new", KEYED), head(3, "17", KEYED), head(4, "18", KEYED)];
    let (mut engine, effects) = with(Settings { serial: true, ..Settings::default() }, heads);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, answer);
    let mut next = VecDeque::from(tell(&mut engine, at(0), Event::Settled { seq: 1, verdict }));
    let mut marks = Vec::new();
    while let Some(effect) = next.pop_front() {
        match effect {
            Effect::Mark(seqs) => {
                next.extend(marked(&mut engine, at(0), &seqs));
                marks.push(seqs);
            }
            Effect::Send { seq, .. } => next.extend(answered(&mut engine, at(0), seq, Answer::Accepted)),
            Effect::Settle(seq, verdict) => {
                next.extend(tell(&mut engine, at(0), Event::Settled { seq, verdict }));
            }
            _ => {}
        }
    }
    assert_eq!(marks, goes);
}

// Rules: o-marked
#[rstest]
fn no_more_are_marked_than_one_commit_takes_and_each_has_its_turn(#[values(false, true)] serial: bool) {
    let kind = |seq: u64| if seq.is_multiple_of(10) { Idempotency::AtMostOnce } else { KEYED };
    let heads: Vec<Head> = (1..=1000).map(|seq| head(seq, &seq.to_string(), kind(seq))).collect();
    let (mut engine, effects) = with(Settings { serial, ..Settings::default() }, heads);
    let (mut open, mut ahead, mut last) = (VecDeque::from(effects), BTreeSet::<u64>::new(), 0);
    while let Some(effect) = open.pop_front() {
        open.extend(match effect {
            Effect::Mark(seqs) => {
                assert!(seqs.len() == 1 || seqs.iter().all(|seq| kind(*seq) == KEYED), "{seqs:?}");
                ahead.extend(seqs.iter().copied());
                assert!(ahead.len() <= 64 + 8, "{} are marked and wait", ahead.len());
                marked(&mut engine, at(0), &seqs)
            }
            Effect::Send { seq, .. } => {
                ahead.remove(&seq);
                // What is marked at the last moment does not wait until nothing else is there.
                assert!(seq + 2 * 64 > last, "{seq} goes after {last}");
                last = last.max(seq);
                answered(&mut engine, at(0), seq, Answer::Accepted)
            }
            Effect::Settle(seq, verdict) => settle(&mut engine, at(0), seq, verdict),
            Effect::Load { .. } | Effect::Probe(_) => Vec::new(),
        });
    }
    assert!(engine.at_rest() && engine.counts() == Counts::default() && last == 1000);
}

// Rules: o-halt
#[test]
fn a_model_can_stop_everything_until_somebody_decides() {
    let halts = Head { on_failure: PermanentFailure::Halt, ..head(1, "a", KEYED) };
    let (mut engine, _) = loaded(at(0), vec![halts.clone(), head(2, "b", KEYED)]);
    marked(&mut engine, at(0), &[1, 2]);
    answered(&mut engine, at(0), 1, Answer::Refused);
    assert_eq!(settle(&mut engine, at(0), 1, Verdict::Park(ParkReason::Rejected)), []);
    assert_eq!(answered(&mut engine, at(0), 2, LOST), []);
    assert!(engine.halted() && engine.at_rest());
    assert_eq!(tell(&mut engine, at(9999), Event::Nudge), [Effect::Load { after: 2, limit: 4095 }]);
    let decided = tell(&mut engine, at(9999), Event::Discarded(1));
    assert_eq!(decided, [Effect::Send { seq: 2, repeated: true }]);
    assert!(!engine.halted());
    // After a restart it holds on; a conflict is no failure for good.
    for (reason, goes) in [(ParkReason::Exhausted, false), (ParkReason::Conflict, true)] {
        let parked = Head { parked: Some(reason), ..halts.clone() };
        let (_, effects) = loaded(at(0), vec![parked, head(2, "b", KEYED)]);
        assert_eq!(effects == [Effect::Mark(vec![2])], goes, "{reason:?}: {effects:?}");
    }
}

// Rules: o-revert
#[rstest]
#[case::refused(Answer::Refused, Verdict::Revert)]
#[case::conflict(Answer::Conflict, Verdict::Resolve)]
#[case::unsendable(Answer::Unsendable, Verdict::Park(ParkReason::Unsendable))]
fn a_model_can_put_back_what_was_refused_and_nothing_else(#[case] answer: Answer, #[case] verdict: Verdict) {
    let reverts = Head { on_failure: PermanentFailure::Revert, ..head(1, "a", KEYED) };
    let (mut engine, _) = loaded(at(0), vec![reverts, head(2, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    let mut effects = answered(&mut engine, at(0), 1, answer);
    if effects == [Effect::Probe(1)] {
        effects = answered(&mut engine, at(0), 1, Answer::NotThere);
    }
    assert_eq!(effects, [Effect::Settle(1, verdict)]);
    if verdict == Verdict::Revert {
        // What is left of it stops nothing.
        assert_eq!(tell(&mut engine, at(0), Event::Reverted(vec![1])), [Effect::Mark(vec![2])]);
        assert_eq!((engine.counts().parked, engine.counts().waiting), (1, 0));
        tell(&mut engine, at(0), Event::Discarded(1));
        assert_eq!(engine.counts().parked, 0);
    }
}

// Rules: o-idempotency
#[test]
fn what_was_found_not_to_be_there_is_asked_about_again_once_it_may_have_arrived() {
    for answer in [LOST, Answer::Failed { wait: None }] {
        let was_sent = Head { marked: Some(at(0).wall), ..head(1, "a", Idempotency::Probe) };
        let (mut engine, effects) = loaded(at(0), vec![was_sent]);
        assert_eq!(effects, [Effect::Probe(1)]);
        let again = answered(&mut engine, at(0), 1, Answer::NotThere);
        assert_eq!(again, [Effect::Send { seq: 1, repeated: true }]);
        answered(&mut engine, at(0), 1, answer);
        assert_eq!(tell(&mut engine, at(600), Event::Tick), [Effect::Probe(1)], "{answer:?}");
    }
}

// Rules: o-key-life
#[test]
fn what_can_not_be_asked_about_is_never_sent_blindly() {
    let was_sent = Head { marked: Some(at(0).wall), ..head(1, "a", KEYED) };
    let (mut engine, effects) = loaded(at(100_000), vec![was_sent]);
    assert_eq!(effects, [Effect::Probe(1)]);
    let parked = answered(&mut engine, at(100_000), 1, Answer::Unknowable);
    assert_eq!(parked, [Effect::Settle(1, Verdict::Park(ParkReason::Uncertain))]);
}

// Rules: o-retry-after
#[test]
fn a_wait_that_was_asked_for_is_capped_survives_a_restart_and_yields_to_insistence_alone() {
    let forever = Some(Duration::from_secs(u64::MAX));
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    let put_off = answered(&mut engine, at(0), 1, Answer::Unreachable { sent: Sent::Never, wait: forever });
    assert_eq!(put_off, [Effect::Settle(1, Verdict::Defer)]);
    let most = Settings::default().longest_wait + Settings::default().backoff.cap / 2;
    assert_eq!(engine.wait_until(), Some(most), "the last place after it");
    assert_eq!(
        tell(&mut engine, at(1), Event::Connectivity { connected: true, jitter: 0 }),
        [],
        "the device is not who asked"
    );
    assert!(tell(&mut engine, at(2), Event::Nudge).contains(&send(1)));

    let put_off = Head { not_before: Some(at(600).wall), marked: Some(at(0).wall), ..head(1, "a", KEYED) };
    let (mut engine, effects) = loaded(at(0), vec![put_off, head(2, "b", KEYED)]);
    assert_eq!((effects.len(), engine.wait_until()), (0, Some(Duration::from_secs(600))));
    assert_eq!(tell(&mut engine, at(599), Event::Tick), []);
    assert_eq!(tell(&mut engine, at(600), Event::Tick).len(), 2);
}

// Rules: o-backoff
#[test]
fn a_wall_clock_that_jumps_exhausts_nothing() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", Idempotency::Idempotent)]);
    marked(&mut engine, at(0), &[1]);
    for strike in 0..10 {
        let ten_years_each = Timestamp::from_second(strike * 315_000_000).unwrap();
        let now = Instants { mono: Duration::from_secs(strike.unsigned_abs()), wall: ten_years_each };
        let noted = answered(&mut engine, now, 1, Answer::Failed { wait: None });
        assert_eq!(noted, [Effect::Settle(1, Verdict::Note)], "strike {strike}");
        tell(&mut engine, now, Event::Nudge);
    }
}

// Rules: o-accounts
#[test]
fn who_signs_in_finds_what_is_queued_in_that_name_and_nothing_else_goes() {
    let of = |seq, key: &str, account: &str| Head { account: Some(account.into()), ..head(seq, key, KEYED) };
    let settings = Settings { account: Some("ada".into()), ..Settings::default() };
    let (mut engine, effects) = with(settings, vec![of(1, "a", "ada"), of(2, "b", "bob"), of(3, "a", "bob")]);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    assert_eq!(marked(&mut engine, at(0), &[1]), [send(1)]);
    // What is on its way comes to its end; what comes back waits for its own account.
    assert_eq!(tell(&mut engine, at(0), Event::Account(Some("bob".into()))), [Effect::Mark(vec![2])]);
    answered(&mut engine, at(0), 1, LOST);
    tell(&mut engine, at(0), Event::Nudge);
    assert_eq!(marked(&mut engine, at(0), &[2]), [send(2)]);
    answered(&mut engine, at(0), 2, Answer::Accepted);
    assert_eq!(settle(&mut engine, at(0), 2, Verdict::Accept), [], "3 waits behind 1, which is not bob's");
    assert_eq!((engine.counts().waiting, engine.counts().blocked), (2, 2));
    let back = tell(&mut engine, at(0), Event::Account(Some("ada".into())));
    assert_eq!(back, [Effect::Send { seq: 1, repeated: true }]);
}

#[test]
fn what_is_about_to_be_given_up_does_not_go_and_what_goes_is_not_given_up() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    assert!(!engine.withdraw(1), "it is being marked");
    marked(&mut engine, at(0), &[1, 2]);
    answered(&mut engine, at(0), 2, Answer::Accepted);
    settle(&mut engine, at(0), 2, Verdict::Accept);
    answered(&mut engine, at(0), 1, LOST);
    assert!(engine.withdraw(1));
    assert_eq!(tell(&mut engine, at(600), Event::Nudge), [Effect::Load { after: 2, limit: 4096 }]);
    // One that is not loaded yet is remembered.
    assert!(engine.withdraw(3));
    let heads = vec![head(3, "c", KEYED)];
    assert_eq!(tell(&mut engine, at(600), Event::Loaded { heads, last: 3, more: false, wipes: 0 }), []);
    assert_eq!(tell(&mut engine, at(600), Event::Kept(3)), [Effect::Mark(vec![3])]);
    assert_eq!(tell(&mut engine, at(600), Event::Kept(1)), [Effect::Send { seq: 1, repeated: true }]);
}

fn of(host: &str, seq: u64) -> Head {
    let host = (!host.is_empty()).then(|| host.into());
    Head { host, ..head(seq, &seq.to_string(), KEYED) }
}

// Rules: o-hosts
#[rstest]
#[case::unreachable(Answer::Unreachable { sent: Sent::Never, wait: None })]
#[case::asked_for(Answer::Unreachable { sent: Sent::Never, wait: Some(Duration::from_secs(60)) })]
#[case::failing(Answer::Failed { wait: Some(Duration::from_secs(60)) })]
#[case::unauthorized(Answer::Unauthorized)]
fn a_host_is_left_alone_as_a_whole_and_no_other_is(#[case] answer: Answer) {
    let heads = vec![of("uploads", 1), of("", 2), of("uploads", 3), of("", 4), of("other", 5)];
    let settings = Settings { parallel: 2, ..Settings::default() };
    let (mut engine, effects) = with(settings, heads);
    assert_eq!(effects, [Effect::Mark(vec![1, 2, 3, 4, 5])]);
    assert_eq!(marked(&mut engine, at(0), &[1, 2, 3, 4, 5]), [send(1), send(2)]);
    let next: Vec<Effect> = answered(&mut engine, at(0), 1, answer);
    assert!(next.contains(&send(4)) && !next.contains(&send(3)), "{next:?}");
    assert!(engine.reachable(), "the remote itself is");
    let mut accepted = |seq| {
        let mut next = answered(&mut engine, at(0), seq, Answer::Accepted);
        next.extend(settle(&mut engine, at(0), seq, Verdict::Accept));
        next.retain(|effect| matches!(effect, Effect::Send { .. }));
        next
    };
    // What the others answer says nothing of the one that is left alone.
    assert_eq!((accepted(2), accepted(4), accepted(5)), (vec![send(5)], vec![], vec![]));
    let insisted = tell(&mut engine, at(0), Event::Nudge);
    assert!(insisted.contains(&send(3)), "{insisted:?}");
}

// Rules: o-hosts
#[test]
fn a_host_that_was_unreachable_is_tried_by_one_entry_while_the_others_go_side_by_side() {
    let heads = (1..=3).map(|seq| of("uploads", seq)).chain((4..=6).map(|seq| of("", seq))).collect();
    let (mut engine, _) = with(Settings { parallel: 4, ..Settings::default() }, heads);
    marked(&mut engine, at(0), &[1, 2, 3, 4, 5, 6]);
    for seq in 1..=3 {
        answered(&mut engine, at(0), seq, LOST);
    }
    let again = engine.wait_until().expect("there is a next step");
    assert_eq!(engine.counts().in_flight, 3, "4, 5 and 6");
    let tries = tell(&mut engine, at(again.as_secs() + 1), Event::Tick);
    assert_eq!(tries, [Effect::Send { seq: 1, repeated: true }]);
    answered(&mut engine, at(9), 4, Answer::Accepted);
    assert_eq!(settle(&mut engine, at(9), 4, Verdict::Accept), [], "one tries");
    let back = answered(&mut engine, at(9), 1, Answer::Accepted);
    assert!(back.contains(&Effect::Send { seq: 2, repeated: true }), "{back:?}");
}

// Rules: o-hosts, o-retry-after
#[test]
fn what_one_host_asked_for_survives_a_restart_and_keeps_no_other() {
    let until = Timestamp::from_second(at(60).wall.as_second()).unwrap();
    let waits = Head { not_before: Some(until), ..of("uploads", 1) };
    let (mut engine, effects) = with(Settings::default(), vec![waits, of("uploads", 2), of("", 3)]);
    assert_eq!(effects, [Effect::Mark(vec![3])]);
    assert_eq!(marked(&mut engine, at(0), &[3]), [send(3)]);
    assert_eq!(engine.wait_until(), Some(at(60).mono));
    assert_eq!(tell(&mut engine, at(60), Event::Tick), [Effect::Mark(vec![1, 2])]);
}

// Rules: o-marked
#[rstest]
#[case::once(Idempotency::AtMostOnce, true)]
#[case::probe(Idempotency::Probe, true)]
#[case::keyed(KEYED, false)]
fn a_pause_takes_back_marks_in_vain_that_would_have_a_price(
    #[case] idempotency: Idempotency,
    #[case] priced: bool,
) {
    let (mut engine, effects) = with(Settings::default(), vec![head(1, "a", idempotency)]);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    assert_eq!(tell(&mut engine, at(0), Event::Pause), []);
    let unmark = Effect::Settle(1, Verdict::Unmark);
    assert_eq!(marked(&mut engine, at(0), &[1]), priced.then_some(unmark).into_iter().collect::<Vec<_>>());
    if priced {
        assert_eq!(settle(&mut engine, at(0), 1, Verdict::Unmark), []);
        assert_eq!(tell(&mut engine, at(0), Event::Resume), [Effect::Mark(vec![1])]);
        assert_eq!(marked(&mut engine, at(0), &[1]), [send(1)], "it was never sent");
        // What may have left keeps its mark, whatever happens.
        answered(&mut engine, at(0), 1, Answer::Unauthorized);
        assert_eq!(tell(&mut engine, at(0), Event::Pause), []);
    }
}

// Rules: o-requests-order
#[test]
fn entries_of_one_lane_go_one_at_a_time_whatever_their_rows() {
    let lane = |seq: u64| Head { lane: Some(Key::from("events")), ..head(seq, &seq.to_string(), KEYED) };
    let (mut engine, effects) = with(Settings::default(), vec![lane(1), lane(2), head(3, "3", KEYED)]);
    assert_eq!(effects, [Effect::Mark(vec![1, 3])]);
    assert_eq!(marked(&mut engine, at(0), &[1, 3]), [send(1), send(3)]);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    assert_eq!(settle(&mut engine, at(0), 1, Verdict::Accept), [Effect::Mark(vec![2])]);
}

// Rules: o-requests-refused
#[test]
fn a_refused_request_stops_nothing_and_one_whose_lane_is_to_stop_does() {
    let lane = |seq: u64, policy| Head {
        lane: Some(Key::from("events")),
        on_failure: policy,
        ..head(seq, &seq.to_string(), KEYED)
    };
    for (policy, reason, goes) in [
        (PermanentFailure::Revert, ParkReason::Refused, true),
        (PermanentFailure::Park, ParkReason::Rejected, false),
    ] {
        let (mut engine, _) = with(Settings::default(), vec![lane(1, policy), lane(2, policy)]);
        marked(&mut engine, at(0), &[1]);
        let park = Verdict::Park(reason);
        assert_eq!(answered(&mut engine, at(0), 1, Answer::Refused), [Effect::Settle(1, park)]);
        let next = settle(&mut engine, at(0), 1, park);
        assert_eq!(next, if goes { vec![Effect::Mark(vec![2])] } else { vec![] }, "{policy:?}");
        assert_eq!((engine.counts().parked, engine.counts().blocked), (1, usize::from(!goes)));
    }
}

/// What may happen at any time, whatever is under way.
fn outside() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Tick),
        Just(Event::Nudge),
        Just(Event::Credentials),
        Just(Event::Pause),
        Just(Event::Resume),
        any::<(bool, u64)>().prop_map(|(connected, jitter)| Event::Connectivity { connected, jitter }),
        any::<bool>().prop_map(|ada| Event::Account(ada.then(|| "ada".into()))),
        (1..20_u64).prop_map(Event::Retried),
        (1..20_u64).prop_map(Event::Kept),
    ]
}

fn an_answer() -> impl Strategy<Value = Answer> {
    let wait = prop_oneof![Just(None), (0..10_000_u64).prop_map(|s| Some(Duration::from_secs(s)))];
    let sent = prop_oneof![Just(Sent::Never), Just(Sent::Maybe), Just(Sent::Answered)];
    prop_oneof![
        Just(Answer::Accepted),
        (sent, wait.clone()).prop_map(|(sent, wait)| Answer::Unreachable { sent, wait }),
        wait.prop_map(|wait| Answer::Failed { wait }),
        Just(Answer::Unauthorized),
        Just(Answer::Conflict),
        Just(Answer::Refused),
        Just(Answer::NotThere),
        Just(Answer::Unknowable),
        Just(Answer::Unsendable),
    ]
}

/// What the world says to an effect.
fn outcome(effect: Effect, answer: Answer, jitter: u64, now: Instants) -> Option<Event> {
    Some(match effect {
        Effect::Load { after, .. } => Event::Loaded { heads: Vec::new(), last: after, more: false, wipes: 0 },
        Effect::Mark(seqs) if jitter.is_multiple_of(7) => Event::MarkFailed { seqs, jitter },
        Effect::Mark(seqs) => Event::Marked { seqs, at: now.wall, revised: Vec::new(), gone: Vec::new() },
        Effect::Send { seq, .. } if answer == Answer::NotThere || answer == Answer::Unknowable => {
            Event::Answered { seq, answer: Answer::Accepted, jitter }
        }
        Effect::Send { seq, .. } | Effect::Probe(seq) => Event::Answered { seq, answer, jitter },
        Effect::Settle(seq, Verdict::Revert) => Event::Reverted(vec![seq]),
        Effect::Settle(seq, Verdict::Resolve) => {
            let ended = jitter.is_multiple_of(3).then_some((seq, Ended::Done)).into_iter().collect();
            Event::Resolved { seq, moved: Moved { ended, heads: Vec::new() }, jitter }
        }
        Effect::Settle(seq, verdict) => Event::Settled { seq, verdict },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // Rules: o-next-step, o-hosts
    /// Whenever nothing is under way, and there is something that no decision, pause or credential is missing for, there
    /// is a moment at which the engine goes on by itself; and that moment is never further away than the longest wait.
    #[test]
    #[test]
    fn there_is_always_a_next_step(
        heads in proptest::collection::vec((0..6_u8, 0..5_u8, 0..3_u8, any::<bool>(), 0..4_u8, 0..3_u8), 1..20),
        steps in proptest::collection::vec((0..4_u8, an_answer(), outside(), any::<u64>()), 1..120),
        serial in any::<bool>(),
    ) {
        let kinds =
            [KEYED, Idempotency::Idempotent, Idempotency::Probe, Idempotency::AtMostOnce, Idempotency::Conditional];
        let policies = [PermanentFailure::Park, PermanentFailure::Revert, PermanentFailure::Halt];
        let heads: Vec<Head> = heads.into_iter().zip(1..).map(|((key, kind, policy, ada, refers, host), seq)| Head {
            host: (host == 1).then(|| "uploads".into()),
            lane: (host > 0).then(|| Key::from("lane")),
            on_failure: policies[usize::from(policy)],
            account: ada.then(|| "ada".into()),
            tied: Tied {
                creates: refers == 1,
                refers: (refers == 2).then(|| ("Note", Key::from("0"))).into_iter().collect(),
                ..Tied::default()
            },
            ..head(seq, &key.to_string(), kinds[usize::from(kind)])
        }).collect();
        let (mut engine, mut pending) = with(Settings { serial, ..Settings::default() }, heads);
        let mut seconds = 0;
        for (step, answer, event, jitter) in steps {
            let now = at(seconds);
            let event = if step == 0 {
                Some(event)
            } else if !pending.is_empty() {
                let nth = usize::try_from(jitter % pending.len() as u64).unwrap();
                outcome(pending.swap_remove(nth), answer, jitter, now)
            } else {
                if let Some(wake) = engine.wait_until() {
                    seconds = seconds.max(wake.as_secs() + 1);
                }
                Some(Event::Tick)
            };
            if let Some(event) = event {
                pending.extend(tell(&mut engine, at(seconds), event));
            }
            let counts = engine.counts();
            let goes = counts.waiting > counts.blocked;
            if pending.is_empty() && goes && !engine.stopped() && !engine.unauthorized() {
                let next = engine.wait_until();
                prop_assert!(next.is_some(), "{counts:?} and no next step: {engine:?}");
                let ahead = next.unwrap_or_default().saturating_sub(at(seconds).mono);
                let most = Settings::default().longest_wait + Settings::default().backoff.cap / 2;
                prop_assert!(ahead <= most, "{ahead:?}");
            }
        }
    }
}
