//! What is newer, and what is put on it.

use std::sync::Arc;

use larder_core::conflict::Outcome;
use larder_core::{
    ConflictDef, Entry, EntryState, FieldDef, FieldSet, IntKind, Key, KeyDef, Kind, Meta, MutationId, Op,
    Operation, ParkReason, Record, Row, RowState, Schema, SendMark, StoredRow, Strategy, Tail, Theirs,
    Timestamp, Uuid, Value,
};
use rstest::rstest;

use super::{Ended, Rebase, Start, combined, rebased, say_no_more};
use crate::engine::settle::noted;

mod sent;

static NOTE: Schema = Schema::new(
    "Note",
    &[
        FieldDef::new("id", Kind::Int(IntKind::I64)),
        FieldDef::new("text", Kind::Str),
        FieldDef::new("tag", Kind::Str),
    ],
    KeyDef::natural(&[0]),
);

fn note(text: &str, tag: &str) -> Record {
    Record::new([Some(Value::Int(1)), Some(Value::Str(text.into())), Some(Value::Str(tag.into()))])
}

fn shared(row: Record) -> Arc<dyn Row> {
    Arc::new(row)
}

/// An update of the text, from "base" to "mine"; the tag was "tag".
fn update(seq: u64) -> Entry {
    Entry {
        seq,
        row: Some(shared(note("mine", "tag"))),
        changed: [1].into_iter().collect(),
        base: Some(shared(note("base", "tag"))),
        ..Entry::new(
            &NOTE,
            Key::Int(1),
            Operation::Update,
            MutationId(Uuid::from_u128(seq.into())),
            Timestamp::UNIX_EPOCH,
        )
    }
}

fn stored(row: Record, tail: u64) -> StoredRow {
    let meta = Meta { tail, revision: 7, ..Meta::synced(Timestamp::UNIX_EPOCH) };
    StoredRow { meta, row: Some(shared(row)) }
}

fn theirs(row: Option<Record>) -> Theirs {
    Theirs { row: row.map(shared), version: Some("2".into()), extra: None, at: Timestamp::UNIX_EPOCH }
}

// Rules: s-rebase
#[rstest]
#[case::before_it_arrived(note("mine", "tag"), note("base", "tag"), Some(note("mine", "tag")))]
#[case::before_and_the_answer_is_newer(note("mine", "new"), note("base", "tag"), Some(note("mine", "new")))]
#[case::after_the_answer(note("mine", "tag"), note("mine", "newer"), Some(note("mine", "newer")))]
#[case::the_same(note("mine", "tag"), note("mine", "tag"), Some(note("mine", "tag")))]
#[case::my_field_again(note("mine", "tag"), note("theirs", "tag"), None)]
#[case::another_field_twice(note("mine", "new"), note("mine", "newer"), None)]
fn what_was_heard_while_a_change_was_on_its_way(
    #[case] answer: Record,
    #[case] heard: Record,
    #[case] expected: Option<Record>,
) {
    assert_eq!(combined(&update(1), &answer, &heard).unwrap(), expected, "`None`: the remote is asked");
}

fn run(stored: &StoredRow, queue: Vec<Entry>, theirs: Theirs, start: Start) -> Option<super::Rebased> {
    let (key, now) = (&Key::Int(1), Timestamp::UNIX_EPOCH);
    let rebase = Rebase { schema: &NOTE, key, stored, queue, theirs, start, held: false, now };
    rebased(rebase, &ConflictDef::DEFAULT).unwrap()
}

/// The remote has taken `entry`, and answered this.
fn answered(entry: &Entry, row: Record) -> Start {
    Start::Accepted { entry: Box::new(entry.clone()), answered: shared(row) }
}

/// The row that a rebase leaves, and its newest entry.
fn left(rebased: &super::Rebased) -> (Option<Record>, u64) {
    let found = rebased.batch.ops.iter().find_map(|op| match op {
        Op::Put { row, tail: Tail::At(tail), .. } => {
            Some((Some(Record::copy(&NOTE, &**row).unwrap()), *tail))
        }
        Op::Tombstone { tail: Tail::At(tail), .. } => {
            assert_ne!(*tail, 0, "nothing is queued that would ever take the trace away");
            Some((None, *tail))
        }
        Op::Remove { .. } => Some((None, 0)),
        _ => None,
    });
    found.expect("the row is always written: whatever is decided about an entry relies on it")
}

// Rules: s-rebase
#[test]
fn what_is_newer_than_the_answer_counts_under_what_was_changed_since() {
    let accepted = Entry { mark: Some(SendMark { first: Timestamp::UNIX_EPOCH }), ..update(1) };
    let alone = run(&stored(note("mine", "tag"), 1), Vec::new(), theirs(Some(note("mine", "newer"))), {
        answered(&accepted, note("mine", "tag"))
    });
    assert_eq!(left(&alone.unwrap()), (Some(note("mine", "newer")), 0));
    let again =
        Entry { row: Some(shared(note("again", "tag"))), base: accepted.row.clone(), prev: 1, ..update(2) };
    let start = answered(&accepted, note("mine", "tag"));
    let behind =
        run(&stored(note("again", "tag"), 2), vec![again], theirs(Some(note("mine", "newer"))), start)
            .unwrap();
    assert_eq!(left(&behind), (Some(note("again", "newer")), 2));
    assert_eq!((behind.moved[0].prev, behind.moved[0].base_version.as_deref()), (0, Some("2")));
}

// Rules: s-rebase
#[rstest]
#[case::next(false)]
#[case::behind_another_change(true)]
fn what_the_remote_made_of_a_change_of_ours_does_not_overrule_a_deletion(#[case] changed_before: bool) {
    let accepted = Entry { mark: Some(SendMark { first: Timestamp::UNIX_EPOCH }), ..update(1) };
    let change =
        || Entry { row: Some(shared(note("again", "tag"))), base: accepted.row.clone(), ..update(2) };
    let mut queue: Vec<Entry> = changed_before.then(change).into_iter().collect();
    let base = queue.last().map_or_else(|| accepted.row.clone(), |last| last.row.clone());
    queue.push(Entry {
        operation: Operation::Delete,
        row: None,
        changed: FieldSet::default(),
        base,
        ..update(3)
    });
    let gone = StoredRow { row: None, ..stored(note("mine", "tag"), 3) };
    // Its answer says of the tag what the application did not know, and so does what was pulled meanwhile.
    let said = note("mine", "said by the server");
    let rebased = run(&gone, queue, theirs(Some(said.clone())), answered(&accepted, said)).unwrap();
    assert_eq!(left(&rebased), (None, 3));
    assert_eq!(rebased.moved.last().map(|last| last.operation), Some(Operation::Delete));
    assert!(rebased.ended.is_empty(), "the remote is told of both");
}

// Rules: s-rebase, c-deleted
#[test]
fn what_is_changed_here_and_gone_there_is_created_with_all_of_its_fields() {
    let created = run(&stored(note("mine", "tag"), 1), vec![update(1)], theirs(None), Start::Heard).unwrap();
    assert_eq!(left(&created), (Some(note("mine", "tag")), 1));
    assert_eq!(created.moved[0].operation, Operation::Insert);
    assert_eq!(created.moved[0].changed.iter().collect::<Vec<_>>(), [0, 1, 2]);
}

// Rules: s-rebase, o-marked
#[test]
fn an_entry_that_may_have_been_sent_keeps_what_it_says() {
    let sent = Entry { mark: Some(SendMark { first: Timestamp::UNIX_EPOCH }), ..update(1) };
    let kept =
        run(&stored(note("mine", "tag"), 1), vec![sent], theirs(Some(note("base", "theirs"))), Start::Heard);
    let kept = kept.unwrap();
    assert_eq!(left(&kept), (Some(note("mine", "tag")), 1), "nothing is seen of it yet");
    let entry =
        kept.batch.ops.iter().find_map(|op| if let Op::Revise(entry) = op { Some(entry) } else { None });
    let entry = entry.expect("it is kept beside the entry");
    assert_eq!(Record::copy(&NOTE, &**entry.row.as_ref().unwrap()).unwrap(), note("mine", "tag"));
    let beside = entry.theirs.as_ref().unwrap().row.as_ref().unwrap();
    assert_eq!(Record::copy(&NOTE, &**beside).unwrap(), note("base", "theirs"));
}

// Rules: c-settle, c-deleted
#[test]
fn of_a_row_that_is_gone_once_its_conflict_is_settled_no_trace_is_left() {
    let asks = Entry { theirs: Some(Box::new(theirs(None))), ..update(1) };
    let (id, outcome) = (MutationId(Uuid::from_u128(9)), Outcome::Theirs);
    let start = Start::Settled { id, outcome, before: 0 };
    let settled = run(&stored(note("mine", "tag"), 1), vec![asks], theirs(None), start).unwrap();
    assert_eq!(left(&settled), (None, 0));
}

// Rules: c-settle
#[test]
fn what_was_changed_since_a_conflict_was_settled_is_put_on_that() {
    let asks = Entry { theirs: Some(Box::new(theirs(Some(note("theirs", "tag"))))), ..update(1) };
    let again = Entry {
        row: Some(shared(note("mine", "later"))),
        base: asks.row.clone(),
        changed: [2].into_iter().collect(),
        prev: 1,
        ..update(2)
    };
    let (id, outcome) = (MutationId(Uuid::from_u128(9)), Outcome::Theirs);
    let start = Start::Settled { id, outcome, before: 0 };
    let stored = stored(note("mine", "later"), 2);
    let settled = run(&stored, vec![asks, again], theirs(Some(note("theirs", "tag"))), start).unwrap();
    assert_eq!(left(&settled), (Some(note("theirs", "later")), 2));
    assert_eq!(
        settled.ended.iter().map(|(entry, ended)| (entry.seq, *ended)).collect::<Vec<_>>(),
        [(1, Ended::Overruled)]
    );
    assert_eq!(settled.moved[0].changed.iter().collect::<Vec<_>>(), [2]);
}

fn beside(rebased: &super::Rebased) -> (&Entry, &Theirs) {
    let revised =
        rebased.batch.ops.iter().find_map(|op| if let Op::Revise(entry) = op { Some(entry) } else { None });
    let entry = revised.expect("it is kept beside the entry");
    (entry, entry.theirs.as_ref().expect("it is kept beside the entry"))
}

fn shown(row: Option<&Arc<dyn Row>>) -> Option<Record> {
    row.map(|row| Record::copy(&NOTE, &**row).unwrap())
}

// Rules: s-rebase, c-ask
#[test]
fn an_entry_that_waits_for_a_decision_keeps_what_it_says_and_has_the_newest_row_beside_it() {
    for reason in [ParkReason::Rejected, ParkReason::Conflict] {
        let waits = Entry { state: EntryState::Parked(reason), ..update(1) };
        let row = stored(note("mine", "tag"), 1);
        let heard = theirs(Some(note("base", "theirs")));
        let kept = run(&row, vec![waits.clone()], heard.clone(), Start::Heard).expect("it is news");
        let (entry, newest) = beside(&kept);
        assert_eq!(shown(entry.row.as_ref()), Some(note("mine", "tag")));
        assert_eq!(shown(entry.base.as_ref()), Some(note("base", "tag")));
        assert_eq!(shown(newest.row.as_ref()), Some(note("base", "theirs")));
        assert_eq!(left(&kept), (Some(note("mine", "tag")), 1));
        // The same again is no news, and the same in another version is.
        let waits = entry.clone();
        assert!(run(&row, vec![waits.clone()], heard.clone(), Start::Heard).is_none());
        let newer = Theirs { version: Some("3".into()), ..heard };
        let kept = run(&row, vec![waits], newer, Start::Heard).expect("it is news");
        assert_eq!(beside(&kept).1.version.as_deref(), Some("3"));
    }
}

// Rules: c-again, s-rebase
#[test]
fn a_version_that_has_moved_on_is_what_a_change_is_based_on_though_the_row_is_the_same() {
    let queued = Entry { base_version: Some("1".into()), ..update(1) };
    let same = theirs(Some(note("base", "tag")));
    let row = stored(note("mine", "tag"), 1);
    let moved = run(&row, vec![queued.clone()], same.clone(), Start::Heard).expect("it is news");
    assert_eq!(moved.moved[0].base_version.as_deref(), Some("2"));
    assert_eq!(meta(&moved).version.as_deref(), Some("2"));
    assert!(run(&row, vec![moved.moved[0].clone()], same, Start::Heard).is_none());
}

/// What stands beside the row that a rebase leaves.
fn meta(rebased: &super::Rebased) -> &Meta {
    let found = rebased.batch.ops.iter().find_map(|op| match op {
        Op::Put { meta, .. } | Op::Tombstone { meta, .. } => Some(meta),
        _ => None,
    });
    found.expect("there is a row")
}

fn refused(nth: u128) -> Start {
    Start::Refused { id: MutationId(Uuid::from_u128(nth)), failure: None, before: 0 }
}

// Rules: c-detect
#[test]
fn the_deletion_of_a_row_that_was_never_seen_goes_on_whatever_is_there() {
    let unseen = Entry {
        operation: Operation::Delete,
        row: None,
        changed: FieldSet::default(),
        base: None,
        ..update(1)
    };
    let gone = StoredRow { row: None, ..stored(note("mine", "tag"), 1) };
    for start in [Start::Heard, refused(9)] {
        let rebased = run(&gone, vec![unseen.clone()], theirs(Some(note("theirs", "tag"))), start).unwrap();
        assert_eq!(left(&rebased), (None, 1));
        assert_eq!(
            (rebased.moved[0].operation, rebased.moved[0].base_version.as_deref()),
            (Operation::Delete, Some("2"))
        );
    }
}

// Rules: c-detect, c-again, o-success
#[rstest]
#[case::changed_since("and changed since", Some("2"), false)]
#[case::after_a_refusal_when_it_was_not_there("tag", None, true)]
fn a_creation_under_a_key_of_our_own_that_is_there_already_is_done(
    #[case] tag: &str,
    #[case] version: Option<&str>,
    #[case] unexplained: bool,
) {
    static OWN: Schema = Schema::new("Note", NOTE.fields, KeyDef::client(&[0]));
    let created = Entry { operation: Operation::Insert, base: None, schema: &OWN, unexplained, ..update(1) };
    let (key, now, row) = (&Key::Int(1), Timestamp::UNIX_EPOCH, stored(note("mine", "tag"), 1));
    let rebase = Rebase {
        schema: &OWN,
        key,
        stored: &row,
        queue: vec![created],
        theirs: Theirs { version: version.map(Into::into), ..theirs(Some(note("mine", tag))) },
        start: refused(9),
        held: false,
        now,
    };
    let rebased = rebased(rebase, &ConflictDef::DEFAULT).unwrap().unwrap();
    assert_eq!(rebased.ended.iter().map(|(_, ended)| *ended).collect::<Vec<_>>(), [Ended::Done]);
    assert_eq!(left(&rebased), (Some(note("mine", tag)), 0));
}

/// A later change of the tag.
fn later() -> Entry {
    Entry {
        row: Some(shared(note("mine", "later"))),
        base: Some(shared(note("mine", "tag"))),
        changed: [2].into_iter().collect(),
        prev: 1,
        ..update(2)
    }
}

// Rules: c-ask
#[test]
fn what_comes_after_a_change_that_asks_waits_as_it_is() {
    const ASK: ConflictDef = ConflictDef { strategy: Strategy::Ask, fields: &[] };
    let (key, now, row) = (&Key::Int(1), Timestamp::UNIX_EPOCH, stored(note("mine", "later"), 2));
    let (queue, theirs) = (vec![update(1), later()], theirs(Some(note("theirs", "theirs"))));
    let rebase =
        Rebase { schema: &NOTE, key, stored: &row, queue, theirs, start: Start::Heard, held: false, now };
    let rebased = rebased(rebase, &ASK).unwrap().unwrap();
    assert_eq!(rebased.moved.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1]);
    assert_eq!(left(&rebased), (Some(note("mine", "later")), 2), "what was written here is read here");
    assert_eq!(meta(&rebased).sync.state, RowState::Conflicted);
}

// Rules: c-merge, c-again
#[test]
fn what_goes_on_says_what_is_still_to_be_said() {
    let both =
        Entry { row: Some(shared(note("mine", "same"))), changed: [1, 2].into_iter().collect(), ..update(1) };
    let there = Theirs { extra: Some("{\"more\":1}".into()), ..theirs(Some(note("theirs", "same"))) };
    let rebased = run(&stored(note("mine", "same"), 1), vec![both], there, refused(9)).unwrap();
    let moved = &rebased.moved[0];
    assert_eq!(moved.changed.iter().collect::<Vec<_>>(), [1], "the tag is there already");
    assert_eq!((moved.id, moved.mark), (MutationId(Uuid::from_u128(9)), None));
    assert_eq!(moved.extra.as_deref(), Some("{\"more\":1}"), "it goes back with it");
    assert_eq!(shown(moved.base.as_ref()), Some(note("theirs", "same")));
}

// Rules: c-again
#[test]
fn the_identity_of_one_that_is_done_goes_with_it() {
    let rebased = run(
        &stored(note("mine", "later"), 2),
        vec![update(1), later()],
        theirs(Some(note("mine", "tag"))),
        refused(9),
    );
    let rebased = rebased.unwrap();
    assert_eq!(rebased.ended.len(), 1);
    assert_eq!((rebased.moved[0].id, rebased.renewed), (later().id, None));
}

// Rules: c-again
#[test]
fn a_second_refusal_in_a_row_for_nothing_asks_whatever_has_failed_before_and_in_between() {
    let (row, now) = (stored(note("mine", "tag"), 1), Timestamp::UNIX_EPOCH);
    let refuse = |entry: &Entry, row: Record| {
        let there = Theirs { version: Some("1".into()), ..theirs(Some(row)) };
        let entry = Entry { base_version: Some("1".into()), ..entry.clone() };
        run(&stored(note("mine", "tag"), 1), vec![entry], there, refused(9)).unwrap().moved.remove(0)
    };
    let fail = |entry: &Entry| match &noted(entry, Some(&row), None, None, now).ops[..] {
        [Op::Revise(entry)] => Entry::clone(entry),
        other => panic!("{other:?}"),
    };
    let asks = |entry: &Entry| entry.state == EntryState::Parked(ParkReason::Conflict);

    let once = refuse(&fail(&fail(&update(1))), note("base", "tag"));
    assert!(!asks(&once), "that it failed says nothing of the row");
    assert!(asks(&refuse(&once, note("base", "tag"))));
    assert!(asks(&refuse(&fail(&fail(&once)), note("base", "tag"))));
    // A refusal for something in between is one that is understood.
    let merged = refuse(&once, note("base", "theirs"));
    assert!(!asks(&merged));
    let again = refuse(&merged, note("base", "theirs"));
    assert!(!asks(&again));
    assert!(asks(&refuse(&again, note("base", "theirs"))));
}

// Rules: c-again
#[test]
fn a_refusal_is_for_something_if_the_version_alone_has_moved_on() {
    let entry = Entry { unexplained: true, base_version: Some("1".into()), ..update(1) };
    let there = theirs(Some(note("base", "tag")));
    let goes = run(&stored(note("mine", "tag"), 1), vec![entry], there, refused(9)).unwrap().moved.remove(0);
    assert_eq!((goes.state, goes.base_version.as_deref()), (EntryState::Ready, Some("2")));
    assert!(!goes.unexplained);
}

// Rules: c-again
#[rstest]
#[case::heard(Start::Heard)]
#[case::refused(refused(9))]
fn what_lies_on_a_change_that_goes_on_has_not_been_refused_for_nothing(#[case] start: Start) {
    let (row, there) = (stored(note("mine", "later"), 2), theirs(Some(note("base", "tag"))));
    let rebased = run(&row, vec![update(1), later()], there, start).unwrap();
    let marked: Vec<_> = rebased.moved.iter().map(|entry| (entry.seq, entry.unexplained)).collect();
    assert_eq!(marked, [(1, false), (2, false)]);
}

// Rules: s-rebase
#[test]
fn what_was_written_here_alone_stays_on_top() {
    let row = stored(note("mine", "here"), 1);
    let rebased = run(&row, vec![update(1)], theirs(Some(note("theirs", "tag"))), Start::Heard).unwrap();
    assert_eq!(left(&rebased), (Some(note("mine", "here")), 1));
}

// Rules: s-rebase
#[test]
fn what_the_remote_made_of_a_change_of_ours_is_no_change_of_what_comes_behind() {
    let accepted = Entry { mark: Some(SendMark { first: Timestamp::UNIX_EPOCH }), ..update(1) };
    let again =
        Entry { row: Some(shared(note("again", "tag"))), base: accepted.row.clone(), prev: 1, ..update(2) };
    let start = answered(&accepted, note("mine", "said"));
    let newer = theirs(Some(note("mine", "newer")));
    let rebased = run(&stored(note("again", "tag"), 2), vec![again], newer, start).unwrap();
    assert_eq!(left(&rebased), (Some(note("again", "newer")), 2));
}

/// A change of the text, and the deletion of the row behind it.
fn changed_and_deleted() -> Vec<Entry> {
    let deletes =
        Entry { row: None, changed: FieldSet::default(), base: update(1).row, prev: 1, ..update(2) };
    vec![update(1), Entry { operation: Operation::Delete, ..deletes }]
}

/// A deletion that is queued.
fn trace(tail: u64) -> StoredRow {
    StoredRow { row: None, ..stored(note("mine", "tag"), tail) }
}

fn asking(queue: Vec<Entry>, start: Start) -> super::Rebased {
    const ASK: ConflictDef = ConflictDef { strategy: Strategy::Ask, fields: &[] };
    let (stored, key, theirs) = (&trace(2), &Key::Int(1), theirs(None));
    let now = Timestamp::UNIX_EPOCH;
    rebased(Rebase { schema: &NOTE, key, stored, queue, theirs, start, held: false, now }, &ASK)
        .unwrap()
        .unwrap()
}

/// The same, where the deletion may have been sent, as it may where two queues have become one.
fn changed_and_gone() -> Vec<Entry> {
    let mut queue = changed_and_deleted();
    queue[1].mark = Some(SendMark { first: Timestamp::UNIX_EPOCH });
    queue
}

// Rules: s-rebase, m-key-server-refs
#[test]
fn of_a_row_that_is_gone_over_there_and_whose_deletion_may_have_been_sent_nobody_is_asked() {
    let rebased = asking(changed_and_gone(), refused(9));
    let ended: Vec<_> = rebased.ended.iter().map(|(entry, ended)| (entry.seq, *ended)).collect();
    assert_eq!(ended, [(1, Ended::Covered), (2, Ended::Done)]);
    assert_eq!(left(&rebased), (None, 0));
}

// Rules: s-rebase, c-ask, c-deleted
#[test]
fn of_a_row_that_is_gone_over_there_and_deleted_later_by_another_account_or_not_yet_over_there_is_asked() {
    let mut bobs = changed_and_gone();
    bobs[1].account = Some("bob".into());
    for queue in [bobs, changed_and_deleted()] {
        let rebased = asking(queue, refused(9));
        assert_eq!(rebased.moved[0].state, EntryState::Parked(ParkReason::Conflict));
    }
}

// Rules: s-rebase, c-settle
#[test]
fn what_the_application_decides_of_a_row_that_is_deleted_later_is_done() {
    let start = Start::Settled { id: MutationId(Uuid::from_u128(9)), outcome: Outcome::Mine, before: 0 };
    let rebased = asking(changed_and_deleted(), start);
    let goes: Vec<_> = rebased.moved.iter().map(|entry| (entry.seq, entry.operation)).collect();
    assert_eq!(goes, [(1, Operation::Insert), (2, Operation::Delete)]);
}

// Rules: s-rebase, m-key-server-refs
#[test]
fn what_is_heard_stays_beside_what_comes_before_something_that_may_have_been_sent() {
    let rebased =
        run(&trace(2), changed_and_gone(), theirs(Some(note("base", "theirs"))), Start::Heard).unwrap();
    assert!(rebased.moved.is_empty() && rebased.ended.is_empty());
    let (first, theirs) = beside(&rebased);
    assert_eq!((first.seq, shown(theirs.row.as_ref())), (1, Some(note("base", "theirs"))));
}

// Rules: s-rebase
#[test]
fn of_a_row_that_was_deleted_put_again_and_deleted_the_first_deletion_is_done_if_it_is_gone_over_there() {
    let mut queue = changed_and_deleted();
    let again = Entry { operation: Operation::Insert, base: None, prev: 2, ..update(3) };
    let deleted = Entry { seq: 4, prev: 3, ..queue[1].clone() };
    queue.extend([again, deleted]);
    let rebased = asking(queue.split_off(1), Start::Heard);
    assert_eq!(rebased.ended.iter().map(|(_, ended)| *ended).collect::<Vec<_>>(), [Ended::Done]);
    let goes: Vec<_> = rebased.moved.iter().map(|entry| (entry.seq, entry.operation)).collect();
    assert_eq!(goes, [(3, Operation::Insert), (4, Operation::Delete)]);
}

// Rules: m-key-server-refs, o-order
#[test]
fn what_was_written_before_and_comes_after_says_nothing_of_what_was_written_since() {
    let later = Entry { row: Some(shared(note("later", "tag"))), ..update(2) };
    let both = [1, 2].into_iter().collect();
    let mut earlier = Entry { row: Some(shared(note("mine", "new"))), changed: both, ..update(1) };
    say_no_more(&mut earlier, &later).unwrap();
    assert_eq!(earlier.changed.iter().collect::<Vec<_>>(), [2]);
    let row = Record::copy(&NOTE, &**earlier.row.as_ref().unwrap()).unwrap();
    assert_eq!(row, note("later", "new"));
}
