//! Whose turn it is, and when to look again.

use super::*;

const FAILED: Answer = Answer::Failed { wait: None };

fn asked(seconds: u64) -> Answer {
    Answer::Unreachable { sent: Sent::Maybe, wait: Some(Duration::from_secs(seconds)) }
}

fn of(seq: u64, host: &str) -> Head {
    Head { host: Some(host.into()), ..head(seq, &seq.to_string(), KEYED) }
}

fn serial(heads: Vec<Head>) -> (Engine, Vec<Effect>) {
    with(Settings { serial: true, ..Settings::default() }, heads)
}

// Rules: o-lanes, o-coalesce
#[test]
fn what_is_other_than_it_was_known_keeps_its_place_before_those_behind_it() {
    let mut engine = Engine::new(Settings::default());
    tell(&mut engine, at(0), Event::Pause);
    let heads = vec![head(1, "a", KEYED), head(2, "a", KEYED)];
    tell(&mut engine, at(0), Event::Loaded { heads, last: 2, more: false, wipes: 0 });
    let other = Head { id: MutationId(Uuid::from_u128(9)), ..head(1, "a", KEYED) };
    tell(&mut engine, at(0), Event::Revised { revised: vec![other.clone()], gone: Vec::new() });
    assert_eq!(engine.head(1).map(|head| head.id), Some(other.id));
    assert_eq!(tell(&mut engine, at(0), Event::Resume), [Effect::Mark(vec![1])]);
    assert_eq!(marked(&mut engine, at(0), &[1]), [Effect::Send { seq: 1, repeated: false }]);
}

// Rules: o-hosts, o-marked
#[rstest]
#[case::all_alike(KEYED, KEYED)]
#[case::the_first_must_not_be_repeated(Idempotency::AtMostOnce, KEYED)]
#[case::the_second_must_not_be_repeated(KEYED, Idempotency::AtMostOnce)]
fn a_host_that_was_unreachable_is_tried_by_the_first_of_what_was_never_sent(
    #[case] first: Idempotency,
    #[case] second: Idempotency,
) {
    let creates = Tied { creates: true, ..Tied::default() };
    let refers = Tied { refers: vec![("Note", Key::from("a"))], ..Tied::default() };
    let heads = vec![
        Head { tied: creates, ..head(1, "a", KEYED) },
        head(2, "a", first),
        Head { tied: refers, ..head(3, "b", second) },
    ];
    let (mut engine, effects) = loaded(at(0), heads);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, UNREACHABLE);
    let wake = engine.wait_until().expect("a next step is scheduled");
    // Both waited for the first, which is given up.
    assert_eq!(tell(&mut engine, at(0), Event::Discarded(1)), []);
    assert_eq!(tell(&mut engine, wake_at(wake), Event::Tick), [Effect::Mark(vec![2])]);
}

fn wake_at(wake: Duration) -> Instants {
    at(wake.as_secs() + 1)
}

// Rules: o-serial, o-marked
#[test]
fn in_one_order_what_is_marked_waits_for_one_that_is_not_and_that_is_marked() {
    let heads = (1..=64).map(|seq| head(seq, &seq.to_string(), KEYED)).collect();
    let (mut engine, effects) = serial(heads);
    let [Effect::Mark(seqs)] = &effects[..] else { panic!("{effects:?}") };
    marked(&mut engine, at(0), seqs);
    answered(&mut engine, at(0), 1, Answer::Refused);
    tell(&mut engine, at(0), Event::Pause);
    tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Park(ParkReason::Rejected) });
    let edited = Event::Edited { seq: 1, id: MutationId(Uuid::from_u128(99)) };
    assert_eq!(tell(&mut engine, at(0), edited), []);
    assert_eq!(tell(&mut engine, at(0), Event::Resume), [Effect::Mark(vec![1])]);
    assert_eq!(marked(&mut engine, at(0), &[1]), [Effect::Send { seq: 1, repeated: false }]);
}

// Rules: o-serial, o-marked
#[test]
fn in_one_order_no_more_is_marked_while_the_first_waits() {
    let (mut engine, effects) = serial((1..=200).map(|seq| head(seq, &seq.to_string(), KEYED)).collect());
    let [Effect::Mark(seqs)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(marked(&mut engine, at(0), seqs), [Effect::Send { seq: 1, repeated: false }]);
    assert_eq!(answered(&mut engine, at(0), 1, FAILED), [Effect::Settle(1, Verdict::Note)]);
    assert_eq!(tell(&mut engine, at(0), Event::Tick), []);
}

// Rules: o-pause, o-marked
#[test]
fn a_mark_that_has_a_price_is_taken_back_once_by_a_pause() {
    let settings = Settings { parallel: 1, ..Settings::default() };
    let heads = vec![head(1, "a", Idempotency::AtMostOnce)];
    let (mut engine, effects) = with(settings, heads);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    tell(&mut engine, at(0), Event::Pause);
    assert_eq!(marked(&mut engine, at(0), &[1]), [Effect::Settle(1, Verdict::Unmark)]);
    assert_eq!(tell(&mut engine, at(0), Event::Tick), []);
    tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Unmark });
    assert_eq!(tell(&mut engine, at(0), Event::Resume), [Effect::Mark(vec![1])]);
}

// Rules: o-idempotency
#[test]
fn what_was_asked_about_is_not_asked_about_again_for_the_sake_of_credentials() {
    let was_sent = Head { marked: Some(at(0).wall), ..head(1, "a", Idempotency::Probe) };
    let (mut engine, effects) = loaded(at(0), vec![was_sent]);
    assert_eq!(effects, [Effect::Probe(1)]);
    let again = [Effect::Send { seq: 1, repeated: true }];
    assert_eq!(answered(&mut engine, at(0), 1, Answer::NotThere), again);
    assert_eq!(answered(&mut engine, at(0), 1, Answer::Unauthorized), []);
    assert_eq!(tell(&mut engine, at(0), Event::Credentials), again);
}

// Rules: o-lanes
#[test]
fn a_second_load_begins_when_the_first_has_ended_and_half_of_the_room_is_free() {
    let mut engine = Engine::new(Settings { window: 4, ..Settings::default() });
    let load = |after, limit| Effect::Load { after, limit };
    assert_eq!(tell(&mut engine, at(0), Event::Tick), [load(0, 4)]);
    assert_eq!(tell(&mut engine, at(0), Event::Stored), []);
    let heads: Vec<Head> = (1..=3).map(|seq| head(seq, &seq.to_string(), KEYED)).collect();
    let effects = tell(&mut engine, at(0), Event::Loaded { heads, last: 3, more: false, wipes: 0 });
    assert_eq!(effects, [Effect::Mark(vec![1, 2, 3])]);
    marked(&mut engine, at(0), &[1, 2, 3]);
    let mut accept = |seq| {
        answered(&mut engine, at(0), seq, Answer::Accepted);
        tell(&mut engine, at(0), Event::Settled { seq, verdict: Verdict::Accept })
    };
    assert_eq!((accept(1), accept(2)), (vec![], vec![load(3, 3)]), "something was stored meanwhile");
    let heads = vec![head(4, "4", KEYED)];
    let effects = tell(&mut engine, at(0), Event::Loaded { heads, last: 4, more: true, wipes: 0 });
    assert_eq!(effects, [Effect::Mark(vec![4])]);
    answered(&mut engine, at(0), 3, Answer::Accepted);
    let next = tell(&mut engine, at(0), Event::Settled { seq: 3, verdict: Verdict::Accept });
    assert_eq!(next, [load(4, 3)], "there are more");
}

// Rules: o-hosts, o-backoff
#[test]
fn the_next_step_is_that_of_the_host_that_is_left_alone_for_the_shortest_time() {
    let (mut engine, _) = loaded(at(0), vec![of(1, "long"), of(2, "short"), of(3, "long")]);
    marked(&mut engine, at(0), &[1, 2, 3]);
    assert_eq!(answered(&mut engine, at(0), 3, FAILED), [Effect::Settle(3, Verdict::Note)]);
    let own = engine.wait_until().expect("it waits by itself");
    assert!(own < Duration::from_secs(5));
    answered(&mut engine, at(0), 1, asked(60));
    let long = engine.wait_until().expect("the host asked for it");
    assert!(long >= Duration::from_secs(60), "whose own wait is over before that of his host waits with it");
    answered(&mut engine, at(0), 2, asked(10));
    let short = engine.wait_until().expect("the other one asked for less");
    assert!(short >= Duration::from_secs(10) && short < Duration::from_secs(20));
    assert_eq!(tell(&mut engine, wake_at(short), Event::Tick), [Effect::Send { seq: 2, repeated: true }]);
    assert_eq!(engine.wait_until(), Some(long));
}

// Rules: o-backoff
#[test]
fn no_moment_is_waited_for_that_changes_nothing() {
    // It is tried, and what comes of that is told.
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    marked(&mut engine, at(0), &[1, 2]);
    answered(&mut engine, at(0), 1, UNREACHABLE);
    answered(&mut engine, at(0), 2, UNREACHABLE);
    let wake = engine.wait_until().expect("a next step is scheduled");
    assert_eq!(tell(&mut engine, wake_at(wake), Event::Tick).len(), 1);
    assert_eq!(engine.wait_until(), None);
    // Whose credentials are refused waits for others.
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    marked(&mut engine, at(0), &[1, 2]);
    answered(&mut engine, at(0), 1, FAILED);
    answered(&mut engine, at(0), 2, Answer::Unauthorized);
    assert_eq!(engine.wait_until(), None);
    // A pause ends by itself at no time; but what could not be read is read.
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, FAILED);
    tell(&mut engine, at(0), Event::Pause);
    assert_eq!(engine.wait_until(), None);
    assert!(!tell(&mut engine, at(0), Event::Stored).is_empty());
    tell(&mut engine, at(0), Event::LoadFailed { jitter: u64::MAX });
    assert!(engine.wait_until().is_some());
}

// Rules: o-serial, o-backoff
#[test]
fn in_one_order_as_well_there_is_a_next_step_when_the_remote_is_unreachable() {
    let (mut engine, _) = serial(vec![head(1, "a", KEYED), head(2, "b", KEYED)]);
    marked(&mut engine, at(0), &[1, 2]);
    answered(&mut engine, at(0), 1, LOST);
    let wake = engine.wait_until().expect("a next step is scheduled");
    let again = [Effect::Send { seq: 1, repeated: true }];
    assert_eq!(tell(&mut engine, wake_at(wake), Event::Tick), again);
}

// Rules: m-key-server-refs, o-lanes
#[test]
fn a_key_that_is_given_while_the_outbox_is_read_is_that_of_its_row_alone() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "-1", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    assert_eq!(tell(&mut engine, at(0), Event::Stored).len(), 1, "it is read");
    let renames = vec![(("Note", Key::from("-1")), Key::from("17"))];
    tell(&mut engine, at(0), Event::Exchanged { seq: 1, renames });
    let heads = vec![head(2, "-1", KEYED), head(3, "other", KEYED), head(4, "17", KEYED)];
    let next = tell(&mut engine, at(0), Event::Loaded { heads, last: 4, more: false, wipes: 0 });
    assert_eq!(next, [Effect::Mark(vec![2, 3])], "the fourth is behind the second");
    assert_eq!(engine.head(2).map(|head| &head.key), Some(&Key::from("17")));
}
