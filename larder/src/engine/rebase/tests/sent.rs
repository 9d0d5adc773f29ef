//! What may have been sent, and is put on what came of another entry, or on what was heard.

use super::*;

/// A change of the text, and behind it one of the tag; both, or one of them, may have been sent, and so may have arrived.
fn both(sent: [bool; 2], states: [EntryState; 2]) -> [Entry; 2] {
    let version = Some("1".into());
    let mark = |nth: usize| sent[nth].then_some(SendMark { first: Timestamp::UNIX_EPOCH });
    let first = Entry { base_version: version, mark: mark(0), state: states[0], ..update(1) };
    let behind = Entry { seq: 2, prev: 1, row: Some(shared(note("mine", "later"))), ..update(2) };
    let changed = [2].into_iter().collect();
    [first, Entry { changed, base: update(1).row, mark: mark(1), state: states[1], ..behind }]
}

fn revised(rebased: &super::super::Rebased, seq: u64) -> &Entry {
    let is_it = |op: &&Op| matches!(op, Op::Revise(entry) if entry.seq == seq);
    match rebased.batch.ops.iter().find(is_it) {
        Some(Op::Revise(entry)) => entry,
        _ => panic!("it stands on something else"),
    }
}

/// What a repeat of it says is what was said.
fn is_the_same(entry: &Entry, before: &Entry) {
    let told = |entry: &Entry| {
        (entry.id, entry.operation, entry.changed.clone(), entry.base_version.clone(), entry.mark)
    };
    assert_eq!(told(entry), told(before));
    assert_eq!((shown(entry.row.as_ref()), entry.state), (shown(before.row.as_ref()), before.state));
}

// Rules: s-rebase, o-coalesce-sent, m-key-server-refs
#[rstest]
#[case::that_goes_again(EntryState::Ready, RowState::Pending)]
#[case::that_waits(EntryState::Parked(ParkReason::Uncertain), RowState::Parked)]
fn what_may_have_been_sent_is_not_altered_by_what_came_of_a_later_one(
    #[case] state: EntryState,
    #[case] row_state: RowState,
) {
    let [mut first, accepted] = both([true, true], [state, EntryState::Ready]);
    first.theirs =
        Some(Box::new(Theirs { version: Some("1".into()), ..theirs(Some(note("base", "before"))) }));
    let mut row = stored(note("mine", "later"), 2);
    row.meta.sync.state = row_state;
    let start = answered(&accepted, note("base", "later"));
    let rebased = run(&row, vec![first.clone()], theirs(Some(note("elsewhere", "later"))), start).unwrap();
    let entry = revised(&rebased, 1);
    is_the_same(entry, &first);
    assert_eq!((shown(entry.base.as_ref()), entry.prev), (Some(note("elsewhere", "later")), 0));
    let newest = entry.theirs.as_ref().map(|theirs| (shown(theirs.row.as_ref()), theirs.version.as_deref()));
    assert_eq!(newest, Some((Some(note("elsewhere", "later")), Some("2"))), "what is decided is about this");
    assert_eq!(left(&rebased), (Some(note("mine", "later")), 1));
    assert_eq!(meta(&rebased).sync.state, row_state);
    assert_eq!(rebased.batch.expect.len(), 2, "it is to be as it was read");
    let start = answered(&accepted, note("base", "later"));
    let gone = run(&row, vec![first.clone()], theirs(None), start).unwrap();
    let entry = revised(&gone, 1);
    is_the_same(entry, &first);
    assert_eq!(shown(entry.base.as_ref()), Some(note("base", "tag")), "it changes what was there");
    let mut unaltered = first.clone();
    say_no_more(&mut unaltered, &accepted).unwrap();
    is_the_same(&unaltered, &first);
}

// Rules: s-rebase, o-parked, m-key-server-refs
#[rstest]
#[case::that_goes_again(EntryState::Ready)]
#[case::that_waits(EntryState::Parked(ParkReason::Uncertain))]
fn what_is_heard_waits_for_what_may_have_been_sent_unless_that_waits_itself(#[case] state: EntryState) {
    let [first, sent] = both([false, true], [EntryState::Ready, state]);
    let heard = theirs(Some(note("base", "theirs")));
    let rebased =
        run(&stored(note("mine", "later"), 2), vec![first, sent.clone()], heard, Start::Heard).unwrap();
    if state == EntryState::Ready {
        assert_eq!(beside(&rebased).0.seq, 1);
        return;
    }
    let goes = revised(&rebased, 1);
    assert_eq!((shown(goes.base.as_ref()), goes.theirs.is_some()), (Some(note("base", "theirs")), false));
    is_the_same(revised(&rebased, 2), &sent);
    assert_eq!(left(&rebased), (Some(note("mine", "later")), 2));
}

// Rules: c-again, o-coalesce-sent
#[rstest]
#[case::refused(refused(9), "theirs")]
#[case::settled(Start::Settled { id: MutationId(Uuid::from_u128(9)), outcome: Outcome::Mine, before: 0 }, "tag")]
fn what_was_sent_and_is_decided_about_goes_on_as_another_one_of_which_nothing_was_sent(
    #[case] start: Start,
    #[case] tag: &str,
) {
    let [first, later] = both([true, true], [EntryState::Ready; 2]);
    let there = theirs(Some(note("base", "theirs")));
    let row = stored(note("mine", "later"), 2);
    let rebased = run(&row, vec![first, later.clone()], there, start).unwrap();
    let goes = revised(&rebased, 1);
    assert_eq!((goes.id.0, goes.mark), (Uuid::from_u128(9), None));
    assert_eq!(shown(goes.row.as_ref()), Some(note("mine", tag)));
    // What comes after it may have been sent as well, and is what it was.
    is_the_same(revised(&rebased, 2), &later);
    assert_eq!(left(&rebased), (Some(note("mine", "later")), 2));
}

// Rules: s-rebase, m-key-server-refs
#[test]
fn once_the_fate_of_what_was_sent_is_known_what_comes_before_it_is_put_on_what_was_heard() {
    let [first, sent] = both([false, true], [EntryState::Ready; 2]);
    let heard = || theirs(Some(note("base", "theirs")));
    let row = stored(note("mine", "later"), 2);
    let rebased = run(&row, vec![first, sent.clone()], heard(), Start::Answered(2)).unwrap();
    let goes = revised(&rebased, 1);
    assert_eq!((shown(goes.base.as_ref()), goes.theirs.is_some()), (Some(note("base", "theirs")), false));
    let stays = revised(&rebased, 2);
    is_the_same(stays, &sent);
    assert_eq!(shown(stays.base.as_ref()), shown(sent.base.as_ref()), "what it was made from is known");
    let kept = stays.theirs.as_ref().and_then(|theirs| shown(theirs.row.as_ref()));
    assert_eq!(kept, Some(note("base", "theirs")), "after a restart it may be accepted");
}
