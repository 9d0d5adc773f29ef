//! What becomes of an entry that fails, and of those around one that is given up.

use larder_core::{Error, Failure};

use super::*;
use crate::engine::settle::{deferred, noted, parked, reverted};

fn failure(what: &'static str) -> Failure {
    Failure::of(&Error::new(ErrorKind::Rejected, what), NOW)
}

fn said(entry: &Entry) -> Option<&str> {
    entry.failure.as_ref().map(|failure| failure.message.trim_start_matches("rejected: "))
}

/// A creation that was not sent yet.
fn creates() -> Entry {
    Entry { operation: Operation::Insert, base: None, base_version: None, mark: None, ..sent() }
}

fn unsent() -> Entry {
    Entry { mark: None, ..sent() }
}

fn deletes(seq: u64) -> Entry {
    Entry { seq, prev: seq - 1, operation: Operation::Delete, row: None, ..behind() }
}

fn seqs(batch: &Batch) -> Vec<u64> {
    let gone = batch.ops.iter().filter_map(|op| if let Op::Dequeue(seq) = op { Some(*seq) } else { None });
    gone.collect()
}

// Rules: o-parked, c-ask
#[rstest]
#[case::conflict(ParkReason::Conflict, RowState::Conflicted)]
#[case::refused(ParkReason::Rejected, RowState::Parked)]
fn what_is_parked_says_why_and_its_row_says_that_it_waits(
    #[case] reason: ParkReason,
    #[case] state: RowState,
) {
    let row = stored(Some(note("mine", "tag")), 1, RowState::Pending);
    let before = Entry { failure: Some(failure("before")), attempts: 2, ..sent() };
    for (told, kept) in [(Some(failure("now")), "now"), (None, "before")] {
        let batch = parked(&before, Some(&row), reason, told, NOW);
        let entry = revised(&batch, 1).expect("it is kept");
        assert_eq!((entry.state, entry.attempts, said(entry)), (EntryState::Parked(reason), 3, Some(kept)));
        assert_eq!(left(&batch).1.map(|meta| (meta.sync.state, meta.tail)), Some((state, 1)));
    }
}

// Rules: o-backoff, o-retry-after
#[test]
fn a_failure_that_counts_is_a_strike_and_one_that_does_not_is_an_attempt_alone() {
    let (later, until) = (Timestamp::from_second(5).unwrap(), Timestamp::from_second(60).unwrap());
    let first = noted(&sent(), None, Some(failure("first")), None, NOW);
    let entry = revised(&first, 1).expect("it is noted");
    assert_eq!((entry.strikes, entry.first_strike, entry.attempts), (1, Some(NOW), 1));
    let second = noted(entry, None, None, Some(until), later);
    let entry = revised(&second, 1).expect("it is noted");
    assert_eq!((entry.strikes, entry.first_strike, entry.attempts), (2, Some(NOW), 2));
    assert_eq!((said(entry), entry.not_before), (Some("first"), Some(until)));
    let third = deferred(entry, None, Some(failure("third")), None);
    let entry = revised(&third, 1).expect("it is noted");
    assert_eq!((entry.strikes, entry.attempts, entry.not_before), (2, 3, None));
    assert_eq!((said(entry), third.expect.len()), (Some("third"), 1));
}

// Rules: o-revert
#[test]
fn of_what_is_put_back_the_first_has_the_answer_and_the_others_say_that_they_went_with_it() {
    let ops = vec![Op::Dequeue(1), Op::Dequeue(2), Op::Dequeue(3)];
    let mut batch = Batch { expect: Vec::new(), ops };
    reverted(&mut batch, &[sent(), behind()], Some(failure("there is no such team")), NOW);
    let [first, second] = [1, 2].map(|seq| revised(&batch, seq).expect("it stays").clone());
    let state = EntryState::Parked(ParkReason::Reverted);
    assert_eq!((first.state, first.attempts, said(&first)), (state, 1, Some("there is no such team")));
    assert_eq!((second.state, second.attempts), (state, 0));
    assert!(said(&second).is_some_and(|said| said.contains("was refused")), "{:?}", said(&second));
    assert_eq!(seqs(&batch), [3], "what was not put back is not kept");
}

// Rules: o-discard
#[test]
fn a_creation_that_is_given_up_takes_with_it_what_comes_before_the_row_is_created_again() {
    let again = Entry { seq: 4, prev: 3, row: shared(note("again", "tag")), ..creates() };
    let row = stored(Some(note("again", "tag")), 4, RowState::Parked);
    let later = vec![Entry { mark: None, ..behind() }, deletes(3), again];
    let view = View { stored: Some(row), earlier: Vec::new(), later };
    let batch = discarded(&creates(), &view, NOW).unwrap();
    assert_eq!(seqs(&batch), [1, 2, 3]);
    let again = revised(&batch, 4).expect("it stands by itself");
    assert_eq!((again.prev, again.operation, again.base.is_none()), (0, Operation::Insert, true));
    let (row, meta) = left(&batch);
    assert_eq!((row, meta.map(|meta| meta.tail)), (Some(note("again", "tag")), Some(4)));
    assert_eq!(meta.map(|meta| meta.sync.state), Some(RowState::Pending));
}

// Rules: o-discard
#[test]
fn a_row_that_was_here_before_it_was_published_is_created_by_the_next_change_of_it() {
    let published = Entry { base: shared(note("base", "tag")), ..creates() };
    let row = stored(Some(note("mine", "later")), 2, RowState::Parked);
    let view = View { stored: Some(row), earlier: Vec::new(), later: vec![behind()] };
    let batch = discarded(&published, &view, NOW).unwrap();
    let next = revised(&batch, 2).expect("it creates the row now");
    assert_eq!((next.prev, next.operation, next.base_version.as_ref()), (0, Operation::Insert, None));
    assert_eq!((shown(next.row.as_ref()), next.changed.iter().count()), (Some(note("base", "later")), 3));
    assert_eq!(left(&batch).0, Some(note("base", "later")));
    // Of its deletion nothing is left to be told.
    let row = stored(None, 2, RowState::Parked);
    let view = View { stored: Some(row), earlier: Vec::new(), later: vec![deletes(2)] };
    let batch = discarded(&published, &view, NOW).unwrap();
    assert_eq!((seqs(&batch), left(&batch)), (vec![1, 2], (None, None)));
}

// Rules: o-discard
#[test]
fn what_is_given_up_behind_others_leaves_them_as_they_are() {
    let since = Timestamp::from_second(5).unwrap();
    let third = Entry { seq: 3, prev: 2, row: shared(note("mine", "third")), ..behind() };
    for (later, tail, tag) in [(vec![third], 3, "third"), (Vec::new(), 2, "tag")] {
        let mut row = stored(Some(note("mine", "later")), 2 + later.len() as u64, RowState::InFlight);
        (row.meta.sync.since, row.meta.version) = (since, Some("6".into()));
        let tail = if later.is_empty() { 1 } else { tail };
        let view = View { stored: Some(row), earlier: vec![sent()], later };
        let batch = discarded(&behind(), &view, NOW).unwrap();
        let (row, meta) = left(&batch);
        let meta = meta.expect("there is a row");
        assert_eq!((row, meta.tail), (Some(note("mine", tag)), tail));
        assert_eq!((meta.sync.state, meta.sync.since), (RowState::InFlight, since));
        assert_eq!(meta.version.as_deref(), Some("6"));
        assert!(revised(&batch, 1).is_none(), "it may have been sent");
        assert_eq!(revised(&batch, 3).map(|entry| entry.prev), (tail == 3).then_some(1));
    }
}

// Rules: o-discard
#[test]
fn what_lies_on_something_that_was_heard_goes_back_to_that() {
    let theirs = |row: Option<Record>| {
        let row = row.and_then(shared);
        Some(Box::new(Theirs { row, version: Some("5".into()), extra: None, at: NOW }))
    };
    let heard = Entry { theirs: theirs(Some(note("theirs", "tag"))), ..unsent() };
    let after = |entry: &Entry, later: Vec<Entry>| {
        let row = stored(Some(note("mine", "later")), 1 + later.len() as u64, RowState::Conflicted);
        discarded(entry, &View { stored: Some(row), earlier: Vec::new(), later }, NOW).unwrap()
    };
    let batch = after(&heard, Vec::new());
    let (row, meta) = left(&batch);
    assert_eq!(row, Some(note("theirs", "tag")));
    let meta = meta.expect("there is a row");
    assert_eq!((meta.version.as_deref(), meta.sync.state), (Some("5"), RowState::Synced));
    // What comes behind it lies on that, and asks nothing any more.
    let asks = Entry { theirs: theirs(Some(note("theirs", "tag"))), ..behind() };
    let batch = after(&heard, vec![asks]);
    let next = revised(&batch, 2).expect("it is put on what was heard");
    assert_eq!(
        (shown(next.base.as_ref()), shown(next.row.as_ref())),
        (Some(note("theirs", "tag")), Some(note("theirs", "later")))
    );
    assert_eq!((next.theirs.is_none(), next.base_version.as_deref(), next.prev), (true, Some("5"), 0));
    // The remote has it no more: nothing is left of it, and what comes behind it creates it.
    let gone = Entry { theirs: theirs(None), ..unsent() };
    assert_eq!(left(&after(&gone, Vec::new())), (None, None));
    let batch = after(&gone, vec![behind()]);
    assert_eq!(revised(&batch, 2).map(|next| next.operation), Some(Operation::Insert));
}

// Rules: o-edit
#[test]
fn what_is_edited_between_others_lies_on_the_one_and_under_the_other() {
    let third = Entry { seq: 3, prev: 2, row: shared(note("mine", "third")), ..behind() };
    let row = stored(Some(note("mine", "third")), 3, RowState::Parked);
    let view = View { stored: Some(row), earlier: vec![unsent()], later: vec![third] };
    let edited =
        |entry: &Entry| super::edited(entry, &view, Arc::new(note("else", "tag")), id(9), NOW).unwrap();
    let batch = edited(&behind());
    let entry = revised(&batch, 2).expect("it wants something else");
    assert_eq!((entry.prev, shown(entry.base.as_ref())), (1, Some(note("mine", "tag"))));
    assert_eq!(shown(entry.row.as_ref()), Some(note("else", "tag")));
    assert_eq!(revised(&batch, 1).map(|first| shown(first.base.as_ref())), Some(Some(note("base", "tag"))));
    let (row, meta) = left(&batch);
    assert_eq!((row, meta.map(|meta| meta.tail)), (Some(note("else", "third")), Some(3)));
    assert_eq!(entry.base_version.as_deref(), Some("1"));
    // Of a creation everything is new.
    let created = Entry { base: None, ..Entry { operation: Operation::Insert, ..unsent() } };
    let row = stored(Some(note("mine", "tag")), 1, RowState::Parked);
    let view = View { stored: Some(row), earlier: Vec::new(), later: Vec::new() };
    let batch = super::edited(&created, &view, Arc::new(note("mine", "tag")), id(9), NOW).unwrap();
    assert_eq!(revised(&batch, 1).map(|entry| entry.changed.iter().count()), Some(3));
}

// Rules: w-merge, w-delete
#[rstest]
fn a_confirmed_row_is_synced_and_a_confirmed_deletion_leaves_nothing(#[values(true, false)] answers: bool) {
    let (since, none) = (Timestamp::from_second(5).unwrap(), FieldSet::default());
    let row = stored(Some(note("mine", "tag")), 1, RowState::InFlight);
    let answer = answers.then(|| answer("2", note("Mine", "tag")));
    let batch = accepted(&sent(), Some(&row), None, answer.as_ref(), &none, since).unwrap();
    let (row, meta) = left(&batch);
    let meta = meta.expect("there is a row");
    assert_eq!(row, Some(note(if answers { "Mine" } else { "mine" }, "tag")));
    assert_eq!((meta.tail, meta.sync.state, meta.sync.since), (0, RowState::Synced, since));
    assert_eq!(meta.version.as_deref(), answers.then_some("2"), "of another version nothing is known");
    let deleting = Entry { operation: Operation::Delete, row: None, ..sent() };
    let confirmed = |row: &StoredRow| accepted(&deleting, Some(row), None, None, &none, since).unwrap();
    assert_eq!(left(&confirmed(&stored(None, 1, RowState::InFlight))), (None, None));
    // What was written since here alone is that, and what is queued behind it goes on.
    let here = confirmed(&stored(Some(note("here", "tag")), 1, RowState::Local));
    let meta = left(&here).1.expect("it is kept");
    assert_eq!((meta.tail, meta.sync.state, meta.version.as_ref()), (0, RowState::Local, None));
    let queued = confirmed(&stored(Some(note("mine", "later")), 2, RowState::Pending));
    let meta = left(&queued).1.expect("it is kept");
    assert_eq!((meta.tail, meta.sync.state, meta.version.as_ref()), (2, RowState::Pending, None));
}

// Rules: w-delete
#[test]
fn a_deletion_behind_a_deletion_stays_one() {
    let (none, deleting) = (FieldSet::default(), Entry { operation: Operation::Delete, row: None, ..sent() });
    let row = stored(None, 2, RowState::Pending);
    let batch = accepted(&deleting, Some(&row), Some(&deletes(2)), None, &none, NOW).unwrap();
    assert_eq!(revised(&batch, 2).map(|next| next.operation), Some(Operation::Delete));
}

// Rules: o-discard
#[test]
fn what_is_given_up_leaves_its_row_as_the_remote_has_it_and_what_comes_behind_as_it_is() {
    let later = Timestamp::from_second(5).unwrap();
    let row = |row: Option<Record>, tail: u64| Some(stored(row, tail, RowState::Parked));
    let view = View { stored: row(Some(note("mine", "tag")), 1), earlier: Vec::new(), later: Vec::new() };
    let batch = discarded(&Entry { base_version: Some("3".into()), ..unsent() }, &view, later).unwrap();
    let meta = left(&batch).1.expect("there is a row");
    assert_eq!((meta.version.as_deref(), meta.sync.since), (Some("3"), later));
    // The row is deleted all the same.
    let view = View { stored: row(None, 2), earlier: Vec::new(), later: vec![deletes(2)] };
    let batch = discarded(&unsent(), &view, NOW).unwrap();
    assert_eq!(
        (seqs(&batch), revised(&batch, 2).map(|next| next.operation)),
        (vec![1], Some(Operation::Delete))
    );
    assert_eq!(left(&batch).1.map(|meta| meta.tail), Some(2));
    // What it is based on is said by the first alone.
    let third = Entry { seq: 3, prev: 2, base_version: None, ..behind() };
    let view = View {
        stored: row(Some(note("mine", "later")), 3),
        earlier: Vec::new(),
        later: vec![behind(), third],
    };
    let batch = discarded(&unsent(), &view, NOW).unwrap();
    let versions = [2, 3].map(|seq| revised(&batch, seq).and_then(|entry| entry.base_version.as_deref()));
    assert_eq!(versions, [Some("1"), None]);
}

// Rules: o-discard, o-edit
#[test]
fn what_is_given_up_or_edited_leaves_those_before_it_on_what_they_were_made_from() {
    let view = |row: Record, earlier: Entry, later: Vec<Entry>| {
        let tail = 2 + later.len() as u64;
        View { stored: Some(stored(Some(row), tail, RowState::Parked)), earlier: vec![earlier], later }
    };
    let base = |batch: &Batch| shown(revised(batch, 1).expect("it is there").base.as_ref());
    let batch = discarded(&behind(), &view(note("mine", "later"), unsent(), Vec::new()), NOW).unwrap();
    assert_eq!((base(&batch), left(&batch).0), (Some(note("base", "tag")), Some(note("mine", "tag"))));
    // The row was deleted and created again, which is given up: its deletion is that of the row that there was.
    let deletes = Entry { operation: Operation::Delete, row: None, ..unsent() };
    let again = Entry { operation: Operation::Insert, base: None, ..behind() };
    let third = Entry { seq: 3, prev: 2, ..behind() };
    let batch = discarded(&again, &view(note("mine", "later"), deletes, vec![third]), NOW).unwrap();
    assert_eq!((seqs(&batch), base(&batch)), (vec![2, 3], Some(note("base", "tag"))));
    // What comes behind a creation changes what that has created.
    let view = View {
        stored: Some(stored(Some(note("mine", "later")), 2, RowState::Parked)),
        earlier: Vec::new(),
        later: vec![behind()],
    };
    let batch = super::edited(&creates(), &view, Arc::new(note("else", "tag")), id(9), NOW).unwrap();
    let operations = [1, 2].map(|seq| revised(&batch, seq).map(|entry| entry.operation));
    assert_eq!(operations, [Some(Operation::Insert), Some(Operation::Update)]);
}
