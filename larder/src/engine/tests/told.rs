//! What the application and the device tell, and what can be asked about the schedule.

use super::*;

const FAILED: Answer = Answer::Failed { wait: None };

fn connected(connected: bool) -> Event {
    Event::Connectivity { connected, jitter: u64::MAX }
}

fn send(seq: u64, repeated: bool) -> Effect {
    Effect::Send { seq, repeated }
}

/// Loads one more entry.
fn comes(engine: &mut Engine, now: Instants, head: Head) -> Vec<Effect> {
    tell(engine, now, Event::Stored);
    let last = head.seq;
    tell(engine, now, Event::Loaded { heads: vec![head], last, more: false, wipes: 0 })
}

// Rules: o-marked, o-backoff
#[test]
fn a_mark_that_could_not_be_stored_is_tried_again_later() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    let failed = Event::MarkFailed { seqs: vec![1], jitter: u64::MAX };
    assert_eq!(tell(&mut engine, at(0), failed), []);
    let wake = engine.wait_until().expect("a next step is scheduled");
    assert!(wake > Duration::ZERO);
    assert_eq!(tell(&mut engine, at(wake.as_secs() + 1), Event::Tick), [Effect::Mark(vec![1])]);
}

// Rules: o-apart
#[test]
fn a_connection_that_was_never_lost_is_not_regained() {
    let (mut engine, _) = loaded(at(0), Vec::new());
    tell(&mut engine, at(0), connected(true));
    assert_eq!(comes(&mut engine, at(0), head(1, "a", KEYED)), [Effect::Mark(vec![1])]);
    assert!(engine.reachable());
    tell(&mut engine, at(0), connected(false));
    assert!(!engine.reachable());
}

// Rules: o-backoff
#[rstest]
#[case::retried(Event::Retried(1), true)]
#[case::edited(Event::Edited { seq: 1, id: MutationId(Uuid::from_u128(9)) }, false)]
fn who_lets_a_parked_entry_go_again_cuts_every_wait_short(#[case] event: Event, #[case] repeated: bool) {
    let asked = Some(Duration::from_secs(60));
    for waits in [FAILED, Answer::Unreachable { sent: Sent::Maybe, wait: asked }] {
        let heads = vec![head(1, "a", KEYED), head(2, "b", KEYED)];
        let (mut engine, _) = loaded(at(0), heads);
        marked(&mut engine, at(0), &[1, 2]);
        answered(&mut engine, at(0), 1, Answer::Refused);
        let parked = Event::Settled { seq: 1, verdict: Verdict::Park(ParkReason::Rejected) };
        assert_eq!(tell(&mut engine, at(0), parked), []);
        answered(&mut engine, at(0), 2, waits);
        assert!(tell(&mut engine, at(0), Event::Tick).is_empty());
        let mut next = tell(&mut engine, at(0), event.clone());
        if !repeated {
            next.extend(marked(&mut engine, at(0), &[1]));
        }
        assert!(next.contains(&send(2, true)), "{waits:?}: {next:?}");
        assert!(next.contains(&send(1, repeated)), "{waits:?}: {next:?}");
    }
}

// Rules: o-accounts, o-credentials
#[test]
fn who_signs_in_has_other_credentials_and_stays_signed_in_after_a_wipe() {
    let of = |seq, key: &str, account: &str| Head { account: Some(account.into()), ..head(seq, key, KEYED) };
    let (mut engine, effects) = loaded(at(0), vec![head(1, "a", KEYED), of(2, "b", "bob")]);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    marked(&mut engine, at(0), &[1]);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Unauthorized), []);
    assert!(engine.unauthorized());
    assert_eq!(tell(&mut engine, at(0), Event::Account(Some("bob".into()))), [Effect::Mark(vec![2])]);
    assert!(!engine.unauthorized());
    tell(&mut engine, at(0), Event::Wiped(1));
    let heads = vec![of(1, "c", "bob"), head(2, "d", KEYED)];
    let after = tell(&mut engine, at(0), Event::Loaded { heads, last: 2, more: false, wipes: 1 });
    assert_eq!(after, [Effect::Mark(vec![1])], "bob's alone");
}

// Rules: o-hosts
#[test]
fn the_hosts_that_are_left_alone_can_be_asked_about() {
    let of = |seq, host: &str| Head { host: Some(host.into()), ..head(seq, &seq.to_string(), KEYED) };
    let (mut engine, _) = loaded(at(0), vec![of(1, "busy"), of(2, "closed"), of(3, "open")]);
    marked(&mut engine, at(0), &[1, 2, 3]);
    let wait = Some(Duration::from_secs(60));
    answered(&mut engine, at(0), 1, Answer::Unreachable { sent: Sent::Never, wait });
    let until = engine.wait_until().expect("a next step is scheduled");
    answered(&mut engine, at(0), 2, Answer::Unauthorized);
    answered(&mut engine, at(0), 3, Answer::Accepted);
    let resting = |engine: &Engine, mono| {
        let resting = engine.resting(mono);
        let told = resting.map(|(host, until, held)| (host.as_deref().unwrap_or("").to_owned(), until, held));
        told.collect::<Vec<_>>()
    };
    let closed = ("closed".to_owned(), None, true);
    assert_eq!(resting(&engine, at(0).mono), [("busy".to_owned(), Some(until), false), closed.clone()]);
    assert_eq!(resting(&engine, until), [closed]);
    tell(&mut engine, at(60), Event::Credentials);
    assert_eq!(resting(&engine, until), []);
}

// Rules: o-pause
#[test]
fn nothing_is_settled_while_something_waits_for_its_next_attempt() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    assert!(!engine.is_settled(), "it is being marked");
    marked(&mut engine, at(0), &[1]);
    assert!(!engine.is_settled(), "it is on its way");
    answered(&mut engine, at(0), 1, FAILED);
    assert!(!engine.is_settled() && engine.at_rest(), "it waits");
    tell(&mut engine, at(9999), Event::Tick);
    answered(&mut engine, at(9999), 1, Answer::Refused);
    assert!(!engine.is_settled(), "its end is not durable");
    tell(&mut engine, at(9999), Event::Settled { seq: 1, verdict: Verdict::Park(ParkReason::Rejected) });
    assert!(engine.is_settled());
    tell(&mut engine, at(9999), Event::Stored);
    assert!(!engine.is_settled(), "there may be more");
}

// Rules: o-pause
#[test]
fn at_rest_is_what_could_do_nothing_if_it_were_tried() {
    let two = || loaded(at(0), vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    for answer in [UNREACHABLE, Answer::Unauthorized] {
        let (mut engine, _) = two();
        marked(&mut engine, at(0), &[1, 2]);
        assert!(!engine.at_rest());
        answered(&mut engine, at(0), 1, answer);
        answered(&mut engine, at(0), 2, answer);
        assert!(engine.at_rest(), "{answer:?}");
    }
    let (mut engine, _) = two();
    tell(&mut engine, at(0), Event::Pause);
    marked(&mut engine, at(0), &[1, 2]);
    assert!(engine.at_rest() && engine.paused());
    tell(&mut engine, at(0), Event::Resume);
    assert!(!engine.paused() && !engine.is_settling(1), "it is on its way");
    // Its moment comes by itself.
    let (mut engine, _) = two();
    tell(&mut engine, at(0), connected(false));
    marked(&mut engine, at(0), &[1, 2]);
    assert!(engine.at_rest());
    tell(&mut engine, at(0), connected(true));
    assert!(!engine.at_rest());
    let mut engine = Engine::new(Settings::default());
    tell(&mut engine, at(0), Event::Tick);
    assert!(!engine.at_rest(), "it is read what there is");
}

// Rules: o-backoff
#[test]
fn a_store_that_fails_is_not_asked_again_at_once_however_chance_falls() {
    let mut engine = Engine::new(Settings::default());
    tell(&mut engine, at(0), Event::Tick);
    assert_eq!(tell(&mut engine, at(0), Event::LoadFailed { jitter: 0 }), []);
    assert!(engine.wait_until().is_some_and(|until| until >= Duration::from_millis(10)));
}

// Rules: o-marked, o-coalesce
#[test]
fn what_was_found_to_be_another_one_or_gone_as_it_was_to_be_marked_is_not_marked() {
    let (mut engine, effects) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    assert_eq!(effects, [Effect::Mark(vec![1, 2])]);
    let revised = vec![Head { id: MutationId(Uuid::from_u128(9)), ..head(1, "a", KEYED) }];
    let found = Event::Marked { seqs: Vec::new(), at: at(0).wall, revised, gone: vec![2] };
    assert_eq!(tell(&mut engine, at(0), found), [Effect::Mark(vec![1])]);
    assert_eq!(engine.head(1).map(|head| head.id), Some(MutationId(Uuid::from_u128(9))));
    assert!(!engine.tracks(2));
}

// Rules: o-idempotency, c-kept
#[test]
fn what_a_question_comes_to_depends_on_why_it_was_asked() {
    let asks = || {
        let was_sent = Head { marked: Some(at(0).wall), ..head(1, "a", Idempotency::Probe) };
        let (engine, effects) = loaded(at(0), vec![was_sent]);
        assert_eq!(effects, [Effect::Probe(1)]);
        engine
    };
    let parked = |reason| [Effect::Settle(1, Verdict::Park(reason))];
    // Something else is there; or it was sent after the question, and refused.
    assert_eq!(answered(&mut asks(), at(0), 1, Answer::Conflict), parked(ParkReason::Conflict));
    let mut engine = asks();
    answered(&mut engine, at(0), 1, Answer::NotThere);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Refused), parked(ParkReason::Rejected));
    // Of a conflict, about which nobody can be asked, nothing is uncertain.
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Conflict), [Effect::Probe(1)]);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Unknowable), parked(ParkReason::Conflict));
}

// Rules: o-refresh, o-credentials
#[test]
fn refused_credentials_are_not_tried_again_because_of_anything_else_that_is_told() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, Answer::Unauthorized);
    for told in [connected(false), connected(true), Event::Retried(9)] {
        assert_eq!(tell(&mut engine, at(9999), told), []);
        assert!(engine.unauthorized());
    }
    assert_eq!(tell(&mut engine, at(9999), Event::Credentials), [send(1, false)]);
}

fn told(parked: Option<ParkReason>, anew: bool) -> Event {
    let heads = vec![Head { parked, ..head(2, "a", KEYED) }];
    match anew {
        true => Event::Revised { revised: heads, gone: Vec::new() },
        false => Event::Rebased(Moved { ended: Vec::new(), heads }),
    }
}

// Rules: o-parked
#[rstest]
fn what_is_heard_of_a_parked_one_after_the_decision_about_it_is_of_before(
    #[values(Event::Retried(2), Event::Decided(2))] decided: Event,
    #[values(false, true)] anew: bool,
) {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "a", KEYED)]);
    let parked = || told(Some(ParkReason::Conflict), anew);
    // Somebody who pulls has parked it, and another one has decided before that is told.
    tell(&mut engine, at(0), decided);
    tell(&mut engine, at(0), told(None, true));
    tell(&mut engine, at(0), told(None, false));
    tell(&mut engine, at(0), parked());
    assert_eq!(engine.counts().parked, 0);
    tell(&mut engine, at(0), parked());
    assert_eq!(engine.counts().parked, 1, "the next one is newer");
}

// Rules: o-parked
#[test]
fn what_is_read_of_a_parked_one_after_the_decision_about_it_counts() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    tell(&mut engine, at(0), Event::Retried(1));
    marked(&mut engine, at(0), &[1]);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Waits(ParkReason::Conflict)), []);
    assert_eq!(engine.counts().parked, 1);
}

// Rules: o-parked
#[test]
fn what_was_read_of_a_parked_one_before_the_decision_about_it_keeps_it_from_nothing() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    tell(&mut engine, at(0), Event::Retried(1));
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Waits(ParkReason::Conflict)), [send(1, false)]);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Waits(ParkReason::Conflict)), []);
    assert_eq!(engine.counts().parked, 1, "it is so as it is stored by now");
}

/// How it is told that an entry was parked, while what was decided about its answer is still to be told.
#[derive(Clone, Copy, Debug)]
enum Parks {
    /// The answer itself parks it.
    Settled,
    /// Something else was heard of its row before that.
    HeardBefore,
    /// The conflict that the answer shows waits for the application.
    Asks,
}

// Rules: o-parked, c-ask
#[rstest]
#[case::settled(Parks::Settled, Answer::Refused)]
#[case::heard_before(Parks::HeardBefore, Answer::Refused)]
#[case::asks(Parks::Asks, Answer::Conflict)]
fn what_is_decided_before_it_is_told_that_the_answer_parks_it_counts(
    #[case] parks: Parks,
    #[case] answer: Answer,
    #[values(false, true)] as_another_one: bool,
) {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, answer);
    if answer == Answer::Conflict {
        let resolve = [Effect::Settle(1, Verdict::Resolve)];
        assert_eq!(answered(&mut engine, at(0), 1, Answer::NotThere), resolve);
    }
    let id = MutationId(Uuid::from_u128(9));
    let decided = if as_another_one { Event::Edited { seq: 1, id } } else { Event::Retried(1) };
    tell(&mut engine, at(0), decided);
    let heads = vec![Head { parked: Some(ParkReason::Conflict), ..head(1, "a", KEYED) }];
    let moved = Moved { ended: Vec::new(), heads };
    let settled = Event::Settled { seq: 1, verdict: Verdict::Park(ParkReason::Rejected) };
    match parks {
        Parks::Settled => {
            tell(&mut engine, at(0), settled);
        }
        Parks::HeardBefore => {
            tell(&mut engine, at(0), Event::Rebased(moved));
            tell(&mut engine, at(0), settled);
        }
        Parks::Asks => {
            tell(&mut engine, at(0), Event::Resolved { seq: 1, moved, jitter: 0 });
        }
    }
    assert_eq!(engine.counts().parked, 0, "it goes again");
}

// Rules: o-parked, c-ask
#[test]
fn what_nobody_has_decided_about_waits_once_it_is_told() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, Answer::Conflict);
    answered(&mut engine, at(0), 1, Answer::NotThere);
    let asks = |id| {
        let id = MutationId(Uuid::from_u128(id));
        let heads = vec![Head { id, parked: Some(ParkReason::Conflict), ..head(1, "a", KEYED) }];
        Event::Resolved { seq: 1, moved: Moved { ended: Vec::new(), heads }, jitter: 0 }
    };
    assert_eq!(tell(&mut engine, at(0), asks(9)), []);
    assert_eq!(engine.counts().parked, 1);
    // What was decided before that was told is over with it: the next parking is newer.
    assert_eq!(tell(&mut engine, at(0), Event::Retried(1)), [Effect::Mark(vec![1])]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, Answer::Conflict);
    answered(&mut engine, at(0), 1, Answer::NotThere);
    tell(&mut engine, at(0), Event::Retried(1));
    tell(&mut engine, at(0), Event::Pause);
    tell(&mut engine, at(0), asks(10));
    assert_eq!(engine.counts().parked, 0);
    let heads = vec![Head { parked: Some(ParkReason::Conflict), ..engine.head(1).unwrap().clone() }];
    tell(&mut engine, at(0), Event::Rebased(Moved { ended: Vec::new(), heads }));
    assert_eq!(engine.counts().parked, 1);
}
