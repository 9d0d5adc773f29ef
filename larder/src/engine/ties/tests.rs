//! Parents before children, and children before the end of their parents.

use larder_core::{Idempotency, Key, MutationId, ParkReason, Uuid};

use super::Tied;
use crate::engine::tests::{answered, at, head, loaded, marked, tell};
use crate::engine::{Answer, Effect, Engine, Event, Head, Moved, Settings, Verdict};

const KEYED: Idempotency = Idempotency::KEYED;

fn places(keys: &[&str]) -> Vec<(&'static str, Key)> {
    keys.iter().map(|key| ("Note", Key::from(*key))).collect()
}

fn creates(seq: u64, key: &str, refers: &[&str]) -> Head {
    let tied = Tied { creates: true, refers: places(refers), ..Tied::default() };
    Head { tied, ..head(seq, key, KEYED) }
}

fn updates(seq: u64, key: &str, refers: &[&str], referred: &[&str]) -> Head {
    let tied = Tied { refers: places(refers), referred: places(referred), ..Tied::default() };
    Head { tied, ..head(seq, key, KEYED) }
}

fn deletes(seq: u64, key: &str, referred: &[&str]) -> Head {
    let tied = Tied { deletes: true, referred: places(referred), ..Tied::default() };
    Head { tied, ..head(seq, key, KEYED) }
}

fn accept(engine: &mut Engine, seq: u64) -> Vec<Effect> {
    marked(engine, at(0), &[seq]);
    answered(engine, at(0), seq, Answer::Accepted);
    tell(engine, at(0), Event::Settled { seq, verdict: Verdict::Accept })
}

fn park(engine: &mut Engine, seq: u64) -> Vec<Effect> {
    marked(engine, at(0), &[seq]);
    answered(engine, at(0), seq, Answer::Refused);
    tell(engine, at(0), Event::Settled { seq, verdict: Verdict::Park(ParkReason::Rejected) })
}

// Rules: o-dependencies
#[test]
fn what_refers_to_a_row_waits_for_its_creation() {
    let heads = vec![
        creates(1, "parent", &[]),
        creates(2, "child", &["parent"]),
        creates(3, "grandchild", &["child"]),
        creates(4, "other", &["known to the remote"]),
    ];
    let (mut engine, effects) = loaded(at(0), heads);
    assert_eq!(effects, [Effect::Mark(vec![1, 4])]);
    marked(&mut engine, at(0), &[4]);
    assert_eq!(accept(&mut engine, 1), [Effect::Mark(vec![2])]);
    assert_eq!(accept(&mut engine, 2), [Effect::Mark(vec![3])]);
}

// Rules: o-dependencies
#[test]
fn a_delete_waits_for_what_still_refers_to_the_row_or_has_just_stopped() {
    let heads = vec![
        updates(1, "moved", &["new parent"], &["parent"]),
        deletes(2, "child", &["parent"]),
        deletes(3, "parent", &[]),
        updates(4, "later", &["parent"], &[]),
    ];
    let (mut engine, effects) = loaded(at(0), heads);
    assert_eq!(effects, [Effect::Mark(vec![1, 2, 4])], "what comes after the delete holds it up no more");
    marked(&mut engine, at(0), &[1, 2, 4]);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    assert_eq!(tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Accept }), []);
    answered(&mut engine, at(0), 2, Answer::Accepted);
    let freed = tell(&mut engine, at(0), Event::Settled { seq: 2, verdict: Verdict::Accept });
    assert_eq!(freed, [Effect::Mark(vec![3])]);
}

// Rules: o-dependencies, o-coalesce
#[test]
fn what_waits_for_an_entry_waits_for_it_when_it_has_taken_another_in() {
    let heads = vec![creates(1, "parent", &[]), creates(2, "child", &["parent"])];
    let (mut engine, effects) = loaded(at(0), heads);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    let revised = vec![creates(1, "parent", &[])];
    assert_eq!(tell(&mut engine, at(0), Event::Revised { revised, gone: Vec::new() }), []);
    assert_eq!(marked(&mut engine, at(0), &[1]), [Effect::Mark(vec![1])], "as what it is now");
    assert_eq!(accept(&mut engine, 1), [Effect::Mark(vec![2])]);
}

// Rules: o-dependencies, o-parked
#[test]
fn a_parked_creation_stops_what_depends_on_it_and_nothing_else() {
    let heads = vec![
        creates(1, "parent", &[]),
        creates(2, "child", &["parent"]),
        updates(3, "child", &["parent"], &[]),
        creates(4, "grandchild", &["child"]),
        creates(5, "other", &[]),
    ];
    let (mut engine, effects) = loaded(at(0), heads);
    assert_eq!(effects, [Effect::Mark(vec![1, 5])]);
    marked(&mut engine, at(0), &[5]);
    assert_eq!(park(&mut engine, 1), []);
    answered(&mut engine, at(0), 5, Answer::Accepted);
    tell(&mut engine, at(0), Event::Settled { seq: 5, verdict: Verdict::Accept });
    assert!(engine.at_rest());
    assert_eq!(engine.wait_until(), None);
    assert_eq!((engine.counts().parked, engine.counts().waiting), (1, 3));
    let again = tell(&mut engine, at(1), Event::Retried(1));
    assert_eq!(again, [Effect::Send { seq: 1, repeated: true }]);
    assert_eq!(accept(&mut engine, 1), [Effect::Mark(vec![2])]);
}

#[test]
fn what_depends_on_a_creation_that_is_given_up_goes() {
    let (mut engine, _) = loaded(at(0), vec![creates(1, "parent", &[]), creates(2, "child", &["parent"])]);
    park(&mut engine, 1);
    assert_eq!(tell(&mut engine, at(0), Event::Discarded(1)), [Effect::Mark(vec![2])]);
}

#[test]
fn what_waits_behind_a_parked_creation_keeps_no_other_from_being_loaded() {
    let parked = Head { parked: Some(ParkReason::Rejected), ..creates(1, "parent", &[]) };
    let children = (2..=4096_u64).map(|seq| creates(seq, &seq.to_string(), &["parent"]));
    let (mut engine, effects) = loaded(at(0), std::iter::once(parked).chain(children).collect());
    assert_eq!(effects, []);
    assert_eq!(tell(&mut engine, at(0), Event::Stored), [Effect::Load { after: 4096, limit: 4096 }]);
    let heads = vec![creates(4097, "other", &[])];
    let next = tell(&mut engine, at(0), Event::Loaded { heads, last: 4097, more: false, wipes: 0 });
    assert_eq!(next, [Effect::Mark(vec![4097])]);
    tell(&mut engine, at(0), Event::Retried(1));
    assert_eq!(tell(&mut engine, at(0), Event::Stored), [], "they can go now, so they take room");
}

#[test]
fn a_row_that_refers_to_itself_waits_for_nobody() {
    let heads = vec![creates(1, "a", &["a"]), deletes(2, "a", &["a"])];
    let (mut engine, effects) = loaded(at(0), heads);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    assert_eq!(accept(&mut engine, 1), [Effect::Mark(vec![2])]);
}

#[test]
fn rows_that_refer_to_each_other_go_in_the_order_in_which_they_were_written() {
    let heads = vec![creates(1, "a", &["b"]), creates(2, "b", &["a"])];
    let (mut engine, effects) = loaded(at(0), heads);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    assert_eq!(accept(&mut engine, 1), [Effect::Mark(vec![2])]);
}

fn id(nth: u64) -> MutationId {
    MutationId(Uuid::from_u128(nth.into()))
}

/// Others go in its request.
fn carries(seq: u64, key: &str) -> Head {
    let head = creates(seq, key, &[]);
    Head { tied: Tied { carries: Some(id(seq)), ..head.tied.clone() }, ..head }
}

/// It goes in the request of that one.
fn carried(seq: u64, key: &str, carrier: u64, refers: &[&str]) -> Head {
    let head = creates(seq, key, refers);
    Head { tied: Tied { carrier: Some(id(carrier)), ..head.tied.clone() }, ..head }
}

/// An engine that has loaded these and sends nothing yet.
fn paused(heads: Vec<Head>) -> Engine {
    let mut engine = Engine::new(Settings::default());
    tell(&mut engine, at(0), Event::Pause);
    comes(&mut engine, heads);
    engine
}

fn comes(engine: &mut Engine, heads: Vec<Head>) -> Vec<Effect> {
    tell(engine, at(0), Event::Stored);
    let last = heads.last().map_or(0, |head| head.seq);
    tell(engine, at(0), Event::Loaded { heads, last, more: false, wipes: 0 })
}

fn rebased(engine: &mut Engine, head: Head) -> Vec<Effect> {
    tell(engine, at(0), Event::Rebased(Moved { ended: Vec::new(), heads: vec![head] }))
}

fn resumed(engine: &mut Engine) -> Vec<Effect> {
    tell(engine, at(0), Event::Resume)
}

// Rules: o-dependencies
#[test]
fn what_goes_in_the_request_of_another_goes_with_it() {
    let heads = vec![carries(1, "order"), carried(2, "line", 1, &[]), creates(3, "other", &["line"])];
    let (mut engine, effects) = loaded(at(0), heads);
    assert_eq!((effects, engine.carried(1)), (vec![Effect::Mark(vec![1])], vec![2]));
    assert_eq!(accept(&mut engine, 1), [Effect::Mark(vec![3])]);
    assert!(!engine.tracks(2));
    // One whose request is gone goes by itself.
    assert_eq!(comes(&mut engine, vec![carried(4, "late", 1, &[])]), []);
    assert_eq!(
        marked(&mut engine, at(0), &[3]),
        [Effect::Send { seq: 3, repeated: false }, Effect::Mark(vec![4])]
    );
}

// Rules: o-dependencies, o-parked
#[test]
fn what_goes_in_no_other_request_any_more_waits_for_what_it_refers_to_alone() {
    for (refers, next) in [(&[][..], vec![1, 2]), (&["order"][..], vec![1])] {
        let mut engine = paused(vec![carries(1, "order"), carried(2, "line", 1, refers)]);
        rebased(&mut engine, creates(2, "line", refers));
        assert!(engine.carried(1).is_empty());
        assert_eq!(resumed(&mut engine), [Effect::Mark(next)], "{refers:?}");
        // Nor does it stand behind a request that waits for a decision.
        let refused = Head { parked: Some(ParkReason::Rejected), ..carries(1, "order") };
        let mut engine = paused(vec![refused, carried(2, "line", 1, refers)]);
        assert_eq!(engine.counts().blocked, 1);
        rebased(&mut engine, creates(2, "line", refers));
        assert_eq!(engine.counts().blocked, refers.len());
    }
}

// Rules: o-dependencies
#[test]
fn what_goes_in_another_request_now_waits_for_that_one_unless_it_comes_later() {
    let mut engine =
        paused(vec![carries(1, "a"), carries(2, "b"), carried(3, "line", 1, &[]), carries(4, "c")]);
    rebased(&mut engine, carried(3, "line", 2, &[]));
    assert_eq!((engine.carried(1), engine.carried(2)), (vec![], vec![3]));
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![1, 2, 4])]);
    marked(&mut engine, at(0), &[1, 2, 4]);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Accept });
    assert!(engine.tracks(3), "it waits for the second");
    answered(&mut engine, at(0), 2, Answer::Accepted);
    tell(&mut engine, at(0), Event::Settled { seq: 2, verdict: Verdict::Accept });
    assert!(!engine.tracks(3), "it went with it");

    let mut engine = paused(vec![carries(1, "a"), carried(2, "line", 1, &[]), carries(3, "b")]);
    rebased(&mut engine, carried(2, "line", 3, &[]));
    assert!(engine.carried(3).is_empty());
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![1, 2, 3])]);
}

// Rules: o-dependencies
#[test]
fn others_go_in_a_request_by_its_identity_of_now() {
    let mut engine = paused(vec![carries(1, "order")]);
    let head = carries(1, "order");
    rebased(&mut engine, Head { tied: Tied { carries: Some(id(9)), ..head.tied.clone() }, ..head });
    comes(&mut engine, vec![carried(2, "line", 9, &[]), carried(3, "stray", 1, &[])]);
    assert_eq!(engine.carried(1), [2]);
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![1, 3])]);
    // And by none that is over.
    marked(&mut engine, at(0), &[3]);
    accept(&mut engine, 1);
    assert!(comes(&mut engine, vec![carried(4, "late", 9, &[])]).contains(&Effect::Mark(vec![4])));
}

// Rules: o-dependencies, s-rebase
#[test]
fn what_creates_its_row_by_now_is_waited_for() {
    let mut engine = paused(vec![updates(1, "parent", &[], &[])]);
    rebased(&mut engine, creates(1, "parent", &[]));
    comes(&mut engine, vec![creates(2, "child", &["parent"])]);
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![1])]);
    assert_eq!(accept(&mut engine, 1), [Effect::Mark(vec![2])]);
    // One that only changes it is not.
    let mut engine = paused(vec![updates(1, "parent", &[], &[])]);
    rebased(&mut engine, updates(1, "parent", &[], &[]));
    comes(&mut engine, vec![creates(2, "child", &["parent"])]);
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![1, 2])]);
}

// Rules: o-dependencies, m-key-server-refs
#[test]
fn what_creates_a_row_whose_key_has_changed_is_waited_for_by_its_new_key() {
    let mut engine = paused(vec![creates(1, "-1", &[]), creates(2, "seat of -1", &["-1"])]);
    let renamed = |from: &str, to: &str| (("Note", Key::from(from)), Key::from(to));
    let renames = vec![renamed("-1", "17"), renamed("seat of -1", "seat of 17")];
    tell(&mut engine, at(0), Event::Exchanged { seq: 1, renames });
    comes(&mut engine, vec![creates(3, "ticket", &["seat of 17"])]);
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![2])]);
}

// Rules: o-parked
#[test]
fn whatever_stands_behind_a_parked_creation_counts_as_blocked() {
    let parked = Head { parked: Some(ParkReason::Rejected), ..creates(1, "a", &[]) };
    let heads = vec![parked, creates(2, "b", &["a"]), creates(3, "c", &["b"]), updates(4, "c", &[], &[])];
    let mut engine = paused(heads);
    assert_eq!(engine.counts().blocked, 3);
    tell(&mut engine, at(0), Event::Retried(1));
    assert_eq!(engine.counts().blocked, 0);
}

// Rules: o-dependencies, s-rebase
#[test]
fn what_an_entry_waits_for_by_itself_it_goes_on_waiting_for_whatever_is_heard() {
    let mut engine = paused(vec![updates(1, "child", &["parent"], &[]), deletes(2, "parent", &[])]);
    rebased(&mut engine, deletes(2, "parent", &[]));
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![1])]);
    // It goes in no other request any more, and waits for the row that it refers to alone.
    let heads = vec![creates(1, "a", &[]), carries(2, "order"), carried(3, "line", 2, &["a"])];
    let mut engine = paused(heads);
    rebased(&mut engine, creates(3, "line", &["a"]));
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![1, 2])]);
    marked(&mut engine, at(0), &[2]);
    assert_eq!(accept(&mut engine, 1), [Effect::Mark(vec![3])]);
}

// Rules: o-dependencies
#[test]
fn a_change_of_a_row_waits_for_nothing_that_refers_to_it() {
    let (_, effects) =
        loaded(at(0), vec![updates(1, "child", &["parent"], &[]), updates(2, "parent", &[], &[])]);
    assert_eq!(effects, [Effect::Mark(vec![1, 2])]);
}

// Rules: o-dependencies, m-key-server-refs
#[test]
fn a_given_key_is_that_of_its_row_alone_in_what_refers_to_several() {
    let heads = vec![creates(1, "-1", &[]), creates(2, "-2", &[]), creates(3, "child", &["-1", "-2"])];
    let mut engine = paused(heads);
    let renames = vec![(("Note", Key::from("-1")), Key::from("17"))];
    tell(&mut engine, at(0), Event::Exchanged { seq: 1, renames });
    let refers = engine.head(3).map(|head| head.tied.refers.clone());
    assert_eq!(refers, Some(places(&["17", "-2"])));
}
