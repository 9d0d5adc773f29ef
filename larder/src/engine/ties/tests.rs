//! Parents before children, and children before the end of their parents.

use larder_core::{Idempotency, Key, ParkReason};

use super::Tied;
use crate::engine::tests::{answered, at, head, loaded, marked, tell};
use crate::engine::{Answer, Effect, Engine, Event, Head, Verdict};

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
