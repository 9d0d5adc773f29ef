//! What fails, and what that leaves behind in the schedule.

use std::time::Duration;

use larder_core::{Idempotency, Key, ParkReason, Sent};
use rstest::rstest;

use super::{BROKEN, KEYED, LONG, LOST, UNREACHABLE, answered, at, head, loaded, marked, marks, tell};
use crate::engine::terms::Counts;
use crate::engine::ties::Tied;
use crate::engine::{
    Answer, Effect, Engine, Event, Head, Instants, Moved, PermanentFailure, Settings, Verdict,
};

const FAILED: Answer = Answer::Failed { wait: None };

fn again(seq: u64) -> Effect {
    Effect::Send { seq, repeated: true }
}

/// The entry may have been sent before the start.
fn sent_before(idempotency: Idempotency) -> Head {
    Head { marked: Some(at(0).wall), ..head(1, "a", idempotency) }
}

// Rules: o-credentials
#[test]
fn refused_credentials_count_as_no_failure_of_the_remote() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", Idempotency::Idempotent)]);
    marked(&mut engine, at(0), &[1]);
    for hour in 1..=10 {
        let now = at(hour * LONG.as_secs());
        assert_eq!(answered(&mut engine, now, 1, Answer::Unauthorized), []);
        assert_eq!(tell(&mut engine, now, Event::Credentials).len(), 1, "it goes again");
    }
    assert_eq!(answered(&mut engine, at(40_000), 1, FAILED), [Effect::Settle(1, Verdict::Note)]);
}

// Rules: o-credentials
#[test]
fn the_first_refusal_of_credentials_holds_what_was_not_sent_yet() {
    let settings = Settings { parallel: 1, ..Settings::default() };
    let mut engine = Engine::new(settings);
    tell(&mut engine, at(0), Event::Tick);
    let heads = vec![head(1, "a", KEYED), head(2, "b", KEYED)];
    tell(&mut engine, at(0), Event::Loaded { heads, last: 2, more: false, wipes: 0 });
    assert_eq!(marked(&mut engine, at(0), &[1, 2]).len(), 1);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Unauthorized), [], "the second is not tried");
    assert_eq!(tell(&mut engine, at(9999), Event::Tick), []);
}

// Rules: o-credentials, o-accounts
#[test]
fn credentials_of_an_account_that_has_signed_out_hold_nothing() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    tell(&mut engine, at(0), Event::Account(Some("bob".into())));
    answered(&mut engine, at(1), 1, Answer::Unauthorized);
    assert!(!engine.unauthorized(), "they are not the ones of who is signed in");
    assert_eq!(tell(&mut engine, at(2), Event::Account(None)).len(), 1);
}

// Rules: o-idempotency, o-marked
#[test]
fn that_the_last_attempt_never_left_says_nothing_of_the_ones_before() {
    for (idempotency, asked) in [(Idempotency::Probe, true), (KEYED, false)] {
        let (mut engine, mut effects) = loaded(at(60), vec![sent_before(idempotency)]);
        if asked {
            assert_eq!(effects, [Effect::Probe(1)]);
            effects = answered(&mut engine, at(60), 1, Answer::NotThere);
        }
        assert_eq!(effects, [again(1)]);
        assert_eq!(answered(&mut engine, at(60), 1, UNREACHABLE), [], "the mark stays");
        let next = tell(&mut engine, at(600), Event::Tick);
        assert_eq!(next, [if asked { Effect::Probe(1) } else { again(1) }]);
    }
}

// Rules: o-idempotency
#[test]
fn what_must_not_be_repeated_is_parked_as_soon_as_its_outcome_is_unknown() {
    let unknown = [LOST, FAILED, BROKEN, Answer::Unreachable { sent: Sent::Answered, wait: None }];
    for answer in unknown {
        let (mut engine, _) = loaded(at(0), vec![head(1, "a", Idempotency::AtMostOnce)]);
        marked(&mut engine, at(0), &[1]);
        let parked = Effect::Settle(1, Verdict::Park(ParkReason::Uncertain));
        assert_eq!(answered(&mut engine, at(0), 1, answer), [parked], "{answer:?}");
    }
}

// Rules: o-key-life, o-revert
#[rstest]
fn a_question_that_is_refused_says_nothing_of_the_write(
    #[values(PermanentFailure::Park, PermanentFailure::Revert, PermanentFailure::Halt)]
    on_failure: PermanentFailure,
) {
    let asks = Head { on_failure, ..sent_before(Idempotency::Probe) };
    let (mut engine, effects) = loaded(at(60), vec![asks]);
    assert_eq!(effects, [Effect::Probe(1)]);
    let parked = Effect::Settle(1, Verdict::Park(ParkReason::Uncertain));
    assert_eq!(answered(&mut engine, at(60), 1, Answer::Refused), [parked], "it may be there");
}

// Rules: o-panic, o-backoff
#[test]
fn an_entry_over_which_the_provider_panics_waits_alone_and_is_exhausted_in_the_end() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    assert_eq!(marked(&mut engine, at(0), &[1, 2]).len(), 2);
    for strike in 0..4 {
        let now = at(strike * 200);
        assert_eq!(answered(&mut engine, now, 1, BROKEN), [Effect::Settle(1, Verdict::Note)]);
        assert!(engine.reachable(), "it says nothing of the remote");
        assert_eq!(tell(&mut engine, at(strike * 200 + 199), Event::Tick), [again(1)], "it may have arrived");
    }
    assert_eq!(answered(&mut engine, at(790), 2, Answer::Accepted), [Effect::Settle(2, Verdict::Accept)]);
    let exhausted = [Effect::Settle(1, Verdict::Park(ParkReason::Exhausted))];
    assert_eq!(answered(&mut engine, at(800), 1, BROKEN), exhausted);
}

// Rules: o-panic, o-idempotency
#[test]
fn what_the_store_panicked_over_before_it_was_sent_goes_again_though_a_repeat_might_do_harm() {
    let before = Answer::Broken { sent: Sent::Never };
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", Idempotency::AtMostOnce)]);
    marked(&mut engine, at(0), &[1]);
    for strike in 0..4 {
        assert_eq!(answered(&mut engine, at(strike * 200), 1, before), [Effect::Settle(1, Verdict::Note)]);
        let sends = Effect::Send { seq: 1, repeated: false };
        assert_eq!(tell(&mut engine, at(strike * 200 + 199), Event::Tick), [sends], "nothing has left");
    }
    let exhausted = [Effect::Settle(1, Verdict::Park(ParkReason::Exhausted))];
    assert_eq!(answered(&mut engine, at(800), 1, before), exhausted);
}

// Rules: o-panic
#[test]
fn a_panic_is_no_sign_that_the_remote_is_there_again() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    marked(&mut engine, at(0), &[1, 2]);
    answered(&mut engine, at(0), 1, UNREACHABLE);
    assert!(!engine.reachable());
    answered(&mut engine, at(0), 2, BROKEN);
    assert!(!engine.reachable());
}

/// How long it waits after each of so many such answers, in milliseconds; chance gives the most.
fn waits(answer: Answer, times: usize) -> Vec<u128> {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", Idempotency::Idempotent)]);
    marked(&mut engine, at(0), &[1]);
    let (mut now, mut waits) = (at(0), Vec::new());
    for _ in 0..times {
        answered(&mut engine, now, 1, answer);
        let until = engine.wait_until().expect("there is a next step");
        waits.push((until - now.mono).as_millis());
        now = Instants { mono: until, ..at(until.as_secs()) };
        assert_eq!(tell(&mut engine, now, Event::Tick).len(), 1, "it goes when its time has come");
    }
    waits
}

// Rules: o-backoff, o-turns
#[test]
fn the_ceiling_doubles_with_each_failure_up_to_the_cap() {
    let doubled = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000];
    assert_eq!(waits(FAILED, 9), doubled, "of an entry that the remote failed at");
    let turns = [&doubled[..], &[150_000, 150_000, 150_000]].concat();
    assert_eq!(waits(UNREACHABLE, 12), turns, "of a host that can't be reached");
}

// Rules: o-turns
#[test]
fn what_was_on_its_way_together_fails_once() {
    let heads = (1..=8).map(|seq| head(seq, &seq.to_string(), KEYED)).collect();
    let (mut engine, _) = loaded(at(0), heads);
    assert_eq!(marked(&mut engine, at(0), &[1, 2, 3, 4, 5, 6, 7, 8]).len(), 8);
    for seq in 1..=8 {
        answered(&mut engine, at(0), seq, UNREACHABLE);
    }
    assert_eq!(engine.wait_until(), Some(Duration::from_millis(500)), "it is the first wait");
}

// Rules: o-backoff
#[test]
fn an_entry_that_goes_again_by_hand_begins_anew_with_its_strikes() {
    let exhausted = Head {
        parked: Some(ParkReason::Exhausted),
        strikes: 5,
        first_strike: Some(at(0).wall),
        ..sent_before(Idempotency::Idempotent)
    };
    let (mut engine, _) = loaded(at(100_000), vec![exhausted]);
    assert_eq!(tell(&mut engine, at(100_000), Event::Retried(1)), [again(1)]);
    let noted = answered(&mut engine, at(100_000), 1, FAILED);
    assert_eq!(noted, [Effect::Settle(1, Verdict::Note)]);
}

// Rules: o-next-step
#[test]
fn an_outbox_that_can_t_be_read_is_read_again() {
    let mut engine = Engine::new(Settings::default());
    let load = [Effect::Load { after: 0, limit: 4096 }];
    assert_eq!(tell(&mut engine, at(0), Event::Tick), load);
    for failure in 0..3 {
        let now = at(failure * 10);
        assert_eq!(tell(&mut engine, now, Event::LoadFailed { jitter: u64::MAX }), []);
        assert!(engine.has_more() && !engine.is_settled());
        let until = engine.wait_until().expect("there is a next step");
        assert!(until > now.mono && until <= now.mono + Duration::from_secs(1), "{until:?}");
        assert_eq!(tell(&mut engine, at(failure * 10 + 1), Event::Tick), load);
    }
}

// Rules: o-marked
#[test]
fn what_has_a_price_is_marked_one_by_one_and_when_it_is_its_turn() {
    let once = |seq: u64| head(seq, &seq.to_string(), Idempotency::AtMostOnce);
    let (_, effects) = loaded(at(0), (1..=20).map(once).collect());
    let one_by_one: Vec<Effect> = (1..=8).map(|seq| Effect::Mark(vec![seq])).collect();
    assert_eq!(effects, one_by_one, "as many as go at a time");
    let keyed = (1..=8).map(|seq| head(seq, &seq.to_string(), KEYED));
    let (mut engine, effects) = loaded(at(0), keyed.chain([once(9)]).collect());
    assert_eq!(effects, [Effect::Mark((1..=8).collect())], "it is not the turn of the last one");
    assert_eq!(marked(&mut engine, at(0), &[1, 2, 3, 4, 5, 6, 7, 8]).len(), 8);
    assert!(answered(&mut engine, at(0), 1, Answer::Accepted).contains(&Effect::Mark(vec![9])));
}

// Rules: o-coalesce-sent
#[test]
fn what_is_on_its_way_is_not_begun_again_by_what_is_heard_of_it() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    let revised = Event::Revised { revised: vec![sent_before(KEYED)], gone: Vec::new() };
    assert_eq!(tell(&mut engine, at(0), revised), []);
    assert_eq!(engine.counts(), Counts { in_flight: 1, ..Counts::default() });
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Accepted), [Effect::Settle(1, Verdict::Accept)]);
}

// Rules: o-coalesce-sent
#[test]
fn what_was_merged_while_it_was_being_marked_is_marked_once_more_and_then_sent_once() {
    let failed = Event::MarkFailed { seqs: vec![1], jitter: 0 };
    for (first, wait) in [(marks(vec![1], at(0)), 0), (failed, 3600)] {
        let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
        let revised = Event::Revised { revised: vec![head(1, "a", KEYED)], gone: Vec::new() };
        assert_eq!(tell(&mut engine, at(0), revised), [], "it is being marked");
        let mut effects = tell(&mut engine, at(0), first);
        effects.extend(tell(&mut engine, at(wait), Event::Tick));
        assert_eq!(effects, [Effect::Mark(vec![1])]);
        assert_eq!(marked(&mut engine, at(wait), &[1]), [Effect::Send { seq: 1, repeated: false }]);
        assert_eq!(tell(&mut engine, at(2 * wait), Event::Tick), []);
    }
}

// Rules: o-order
#[test]
fn a_mark_that_failed_before_a_wipe_holds_up_nothing_that_was_loaded_since() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    tell(&mut engine, at(0), Event::Wiped(1));
    // What was salvaged has the number that it had.
    let heads = vec![head(1, "a", KEYED)];
    tell(&mut engine, at(0), Event::Loaded { heads, last: 1, more: false, wipes: 1 });
    assert_eq!(marked(&mut engine, at(0), &[1]), [Effect::Send { seq: 1, repeated: false }]);
    let failed = Event::MarkFailed { seqs: vec![1], jitter: 0 };
    assert_eq!(tell(&mut engine, at(0), failed), [], "it is on its way");
    assert_eq!(engine.counts(), Counts { in_flight: 1, ..Counts::default() });
}

// Rules: o-coalesce-sent
#[test]
fn a_late_word_of_what_was_merged_forgets_not_that_it_may_have_been_sent() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", Idempotency::Probe)]);
    marked(&mut engine, at(0), &[1]);
    assert_eq!(answered(&mut engine, at(0), 1, LOST), []);
    let revised = Event::Revised { revised: vec![head(1, "a", Idempotency::Probe)], gone: Vec::new() };
    assert_eq!(tell(&mut engine, at(0), revised), []);
    assert_eq!(tell(&mut engine, at(3600), Event::Tick), [Effect::Probe(1)], "it is asked about first");
}

// Rules: o-coalesce-cancel
#[test]
fn what_was_cancelled_while_it_was_being_loaded_stays_away() {
    let mut engine = Engine::new(Settings::default());
    tell(&mut engine, at(0), Event::Tick);
    tell(&mut engine, at(0), Event::Revised { revised: Vec::new(), gone: vec![1] });
    let heads = vec![head(1, "a", KEYED), head(2, "b", KEYED)];
    let after = tell(&mut engine, at(0), Event::Loaded { heads, last: 2, more: false, wipes: 0 });
    assert_eq!(after, [Effect::Mark(vec![2])]);
    assert!(!engine.tracks(1));
}

#[test]
fn what_went_in_the_request_of_another_is_settled_with_it() {
    let (carrier, place) = (head(1, "a", KEYED), ("Note", Key::from("a")));
    let tied = Tied { carrier: Some(carrier.id), refers: vec![place], ..Tied::default() };
    let within = Head { tied, ..head(2, "b", KEYED) };
    let tied = Tied { creates: true, carries: Some(carrier.id), ..Tied::default() };
    let (mut engine, effects) = loaded(at(0), vec![Head { tied, ..carrier }, within]);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    assert_eq!(tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Accept }), []);
    assert_eq!(engine.counts(), Counts::default());
}

// Rules: o-parked, s-pending
#[test]
fn what_never_left_and_is_in_conflict_with_what_was_heard_meanwhile_waits_for_the_application() {
    let entry = head(1, "a", Idempotency::AtMostOnce);
    let (mut engine, _) = loaded(at(0), vec![entry.clone()]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, UNREACHABLE);
    let heads = vec![Head { parked: Some(ParkReason::Conflict), ..entry }];
    tell(&mut engine, at(0), Event::Rebased(Moved { ended: Vec::new(), heads }));
    tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Unmark });
    assert_eq!(tell(&mut engine, at(600), Event::Tick), []);
    assert!(engine.is_settled());
    assert_eq!(tell(&mut engine, at(600), Event::Retried(1)), [Effect::Mark(vec![1])]);
}
