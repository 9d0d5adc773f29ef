//! What a decision leaves of the row and of what is queued behind it.

use std::sync::Arc;

use larder_core::{
    Batch, Entry, EntryState, ErrorKind, FieldDef, FieldSet, Idempotency, IntKind, Key, KeyDef, Kind, Meta,
    MutationId, Op, Operation, PageRow, ParkReason, Record, Row, RowState, Schema, SendMark, StoredRow,
    Theirs, Timestamp, Uuid, Value,
};
use rstest::rstest;

use super::{View, accepted, discarded, edited, retried, unmarked};

mod around;

static NOTE: Schema = Schema::new(
    "Note",
    &[
        FieldDef::new("id", Kind::Int(IntKind::I64)),
        FieldDef::new("text", Kind::Str),
        FieldDef::new("tag", Kind::Str),
    ],
    KeyDef::natural(&[0]),
);

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn keyed(id: i128, text: &str, tag: &str) -> Record {
    Record::new([Some(Value::Int(id)), Some(Value::Str(text.into())), Some(Value::Str(tag.into()))])
}

fn note(text: &str, tag: &str) -> Record {
    keyed(1, text, tag)
}

fn shared(row: Record) -> Option<Arc<dyn Row>> {
    Some(Arc::new(row))
}

fn id(nth: u64) -> MutationId {
    MutationId(Uuid::from_u128(nth.into()))
}

/// An update of the text, from "base" to "mine", that may have been sent.
fn sent() -> Entry {
    Entry {
        seq: 1,
        row: shared(note("mine", "tag")),
        changed: [1].into_iter().collect(),
        base: shared(note("base", "tag")),
        base_version: Some("1".into()),
        mark: Some(SendMark { first: NOW }),
        ..Entry::new(&NOTE, Key::Int(1), Operation::Update, id(1), NOW)
    }
}

/// An update of the tag behind it.
fn behind() -> Entry {
    Entry {
        seq: 2,
        prev: 1,
        row: shared(note("mine", "later")),
        changed: [2].into_iter().collect(),
        base: shared(note("mine", "tag")),
        base_version: Some("1".into()),
        mark: None,
        id: id(2),
        ..sent()
    }
}

fn stored(row: Option<Record>, tail: u64, state: RowState) -> StoredRow {
    let mut meta = Meta { tail, revision: 7, version: Some("1".into()), ..Meta::synced(NOW) };
    (meta.extra, meta.sync.state) = (Some("{\"more\":1}".into()), state);
    StoredRow { meta, row: row.and_then(shared) }
}

fn answer(version: &str, row: Record) -> PageRow {
    PageRow::new(Meta { version: Some(version.into()), ..Meta::synced(NOW) }, Arc::new(row))
}

fn shown(row: Option<&Arc<dyn Row>>) -> Option<Record> {
    row.map(|row| Record::copy(&NOTE, &**row).unwrap())
}

/// An entry as the batch leaves it.
fn revised(batch: &Batch, seq: u64) -> Option<&Entry> {
    batch.ops.iter().find_map(|op| match op {
        Op::Revise(entry) if entry.seq == seq => Some(&**entry),
        _ => None,
    })
}

/// The row as the batch leaves it; no meta if it is removed.
fn left(batch: &Batch) -> (Option<Record>, Option<&Meta>) {
    let found = batch.ops.iter().find_map(|op| match op {
        Op::Put { row, meta, .. } => Some((shown(Some(row)), Some(meta))),
        Op::Tombstone { meta, .. } => Some((None, Some(meta))),
        Op::Remove { .. } => Some((None, None)),
        _ => None,
    });
    found.expect("the row is always written")
}

// Rules: w-merge, s-rebase
#[test]
fn what_the_remote_answers_lies_under_what_is_queued_behind() {
    let row = stored(Some(note("mine", "later")), 2, RowState::Pending);
    let answer = answer("2", note("Mine", "tag"));
    let next = behind();
    let none = FieldSet::default();
    let batch = accepted(&sent(), Some(&row), Some(&next), Some(&answer), &none, NOW).unwrap();
    let next = revised(&batch, 2).expect("it is put on the answer");
    assert_eq!(
        (shown(next.base.as_ref()), next.base_version.as_deref()),
        (Some(note("Mine", "tag")), Some("2"))
    );
    assert_eq!(shown(next.row.as_ref()), Some(note("Mine", "later")));
    let (row, meta) = left(&batch);
    let meta = meta.expect("there is a row");
    assert_eq!((row, meta.tail, meta.sync.state), (Some(note("Mine", "later")), 2, RowState::Pending));
    assert_eq!(meta.version.as_deref(), Some("2"));
    assert_eq!(meta.extra.as_deref(), Some("{\"more\":1}"), "of which the answer said nothing");
}

// Rules: o-coalesce-sent, s-rebase
#[test]
fn what_may_have_been_sent_goes_as_it_is_and_is_compared_with_the_answer() {
    let row = stored(Some(note("mine", "later")), 2, RowState::Pending);
    let next = Entry { mark: sent().mark, ..behind() };
    let (answer, none) = (answer("2", note("Mine", "tag")), FieldSet::default());
    let batch = accepted(&sent(), Some(&row), Some(&next), Some(&answer), &none, NOW).unwrap();
    let next = revised(&batch, 2).expect("it lies on the answer");
    assert_eq!(
        (shown(next.row.as_ref()), next.base_version.as_deref()),
        (Some(note("mine", "later")), Some("1"))
    );
    assert_eq!(shown(next.base.as_ref()), Some(note("Mine", "tag")));
}

// Rules: o-coalesce-sent, o-discard
#[test]
fn what_may_have_made_the_row_anew_is_given_up_without_a_trace() {
    let row = stored(Some(note("anew", "tag")), 2, RowState::Pending);
    let next = Entry { mark: sent().mark, operation: Operation::Insert, base: None, ..behind() };
    let (answer, none) = (answer("2", note("Mine", "tag")), FieldSet::default());
    let batch = accepted(&sent(), Some(&row), Some(&next), Some(&answer), &none, NOW).unwrap();
    let next = revised(&batch, 2).expect("it is written").clone();
    assert!(next.base.is_none(), "nothing of it was kept here before");
    let view = View { stored: Some(row), earlier: Vec::new(), later: Vec::new() };
    let batch = discarded(&next, &view, NOW).unwrap();
    assert!(batch.ops.iter().any(|op| matches!(op, Op::Remove { .. })), "{batch:?}");
}

// Rules: c-ask
#[test]
fn what_waits_for_a_decision_has_the_answer_beside_it_and_stays_what_it_is() {
    let row = stored(Some(note("mine", "later")), 2, RowState::Conflicted);
    let theirs =
        Theirs { row: shared(note("base", "theirs")), version: Some("1".into()), extra: None, at: NOW };
    let state = EntryState::Parked(ParkReason::Conflict);
    let asks = Entry { theirs: Some(Box::new(theirs)), state, ..behind() };
    let (answer, none) = (answer("2", note("Mine", "theirs")), FieldSet::default());
    let batch = accepted(&sent(), Some(&row), Some(&asks), Some(&answer), &none, NOW).unwrap();
    let next = revised(&batch, 2).expect("it learns what the remote has now");
    let theirs = next.theirs.as_ref().expect("it has it beside it");
    assert_eq!(
        (shown(theirs.row.as_ref()), theirs.version.as_deref()),
        (Some(note("Mine", "theirs")), Some("2"))
    );
    assert_eq!(
        (shown(next.base.as_ref()), shown(next.row.as_ref())),
        (Some(note("mine", "tag")), Some(note("mine", "later")))
    );
}

// Rules: w-merge
#[test]
fn what_is_written_again_behind_it_is_shown_whatever_the_remote_answers() {
    let row = stored(Some(note("mine", "later")), 2, RowState::Pending);
    let (answer, again) = (answer("2", note("Mine", "tag")), [1].into_iter().collect());
    let batch = accepted(&sent(), Some(&row), None, Some(&answer), &again, NOW).unwrap();
    assert_eq!(left(&batch).0, Some(note("mine", "later")));
}

// Rules: w-merge
#[test]
fn an_answer_about_another_row_is_not_stored() {
    let row = stored(Some(note("mine", "tag")), 1, RowState::Pending);
    let (answer, none) = (answer("2", keyed(2, "mine", "tag")), FieldSet::default());
    let refused = accepted(&sent(), Some(&row), None, Some(&answer), &none, NOW).unwrap_err();
    assert_eq!((refused.kind(), refused.row_key()), (ErrorKind::Serialization, Some("1")));
}

// Rules: w-delete
#[test]
fn what_was_written_after_a_deletion_is_created_anew() {
    let row = stored(Some(note("mine", "later")), 2, RowState::Pending);
    let deletes = Entry { operation: Operation::Delete, row: None, ..sent() };
    let none = FieldSet::default();
    let batch = accepted(&deletes, Some(&row), Some(&behind()), None, &none, NOW).unwrap();
    let next = revised(&batch, 2).expect("it is another one now");
    assert_eq!(
        (next.operation, next.base.is_none(), next.base_version.as_ref()),
        (Operation::Insert, true, None)
    );
    assert_eq!(shown(next.row.as_ref()), Some(note("mine", "later")));
}

// Rules: o-marked, o-retry-after
#[test]
fn what_never_left_is_not_marked_and_waits_as_long_as_the_remote_asked() {
    let until = Timestamp::from_second(60).unwrap();
    let batch = unmarked(&sent(), None, Some(until));
    let entry = revised(&batch, 1).expect("it is noted");
    assert_eq!((entry.mark, entry.not_before), (None, Some(until)));
}

// Rules: o-idempotency, o-backoff
#[rstest]
#[case::keyed(Idempotency::KEYED, true)]
#[case::probe(Idempotency::Probe, true)]
#[case::at_most_once(Idempotency::AtMostOnce, false)]
fn a_retry_begins_anew_and_forgets_not_that_it_may_have_been_sent(
    #[case] idempotency: Idempotency,
    #[case] known: bool,
) {
    let parked = Entry {
        state: EntryState::Parked(ParkReason::Exhausted),
        strikes: 5,
        first_strike: Some(NOW),
        not_before: Some(NOW),
        unexplained: true,
        ..sent()
    };
    let row = stored(Some(note("mine", "tag")), 1, RowState::Parked);
    let batch = retried(&parked, Some(&row), idempotency, NOW);
    let entry = revised(&batch, 1).expect("it is noted");
    assert_eq!((entry.state, entry.mark.is_some()), (EntryState::Ready, known));
    assert_eq!((entry.strikes, entry.first_strike, entry.not_before), (0, None, None));
    assert!(!entry.unexplained);
    assert_eq!(left(&batch).1.map(|meta| meta.sync.state), Some(RowState::Pending));
}

// Rules: o-edit
#[rstest]
fn an_edit_changes_what_differs_from_the_base_and_has_a_new_identity_if_it_may_have_been_sent(
    #[values(true, false)] was_sent: bool,
) {
    let parked = Entry {
        state: EntryState::Parked(ParkReason::Rejected),
        mark: sent().mark.filter(|_| was_sent),
        strikes: 3,
        first_strike: Some(NOW),
        not_before: Some(NOW),
        unexplained: true,
        ..sent()
    };
    let row = stored(Some(note("mine", "later")), 2, RowState::Parked);
    let view = View { stored: Some(row), earlier: Vec::new(), later: vec![behind()] };
    let batch = edited(&parked, &view, Arc::new(note("edited", "tag")), id(9), NOW).unwrap();
    let entry = revised(&batch, 1).expect("it wants something else");
    assert_eq!((entry.id, entry.mark), (if was_sent { id(9) } else { id(1) }, None));
    assert_eq!(entry.changed.iter().collect::<Vec<_>>(), [1]);
    assert_eq!((entry.strikes, entry.first_strike, entry.not_before), (0, None, None));
    assert!(!entry.unexplained);
    let next = revised(&batch, 2).expect("it lies on that");
    assert_eq!(
        (shown(next.base.as_ref()), shown(next.row.as_ref())),
        (Some(note("edited", "tag")), Some(note("edited", "later")))
    );
    let (row, meta) = left(&batch);
    assert_eq!(
        (row, meta.map(|meta| meta.sync.state)),
        (Some(note("edited", "later")), Some(RowState::Pending))
    );
}

// Rules: o-discard
#[test]
fn what_is_left_of_a_row_says_how_it_stands() {
    let parked = Entry { state: EntryState::Parked(ParkReason::Rejected), mark: None, ..sent() };
    let after = |entry: &Entry, later: Vec<Entry>| {
        let row = stored(Some(note("mine", "later")), 1 + later.len() as u64, RowState::Parked);
        let view = View { stored: Some(row), earlier: Vec::new(), later };
        let batch = discarded(entry, &view, NOW).unwrap();
        let (row, meta) = left(&batch);
        (row, meta.map(|meta| (meta.tail, meta.sync.state)))
    };
    assert_eq!(after(&parked, vec![behind()]), (Some(note("base", "later")), Some((2, RowState::Pending))));
    assert_eq!(after(&parked, Vec::new()), (Some(note("base", "tag")), Some((0, RowState::Synced))));
    // What was kept here before it was published is that again.
    let published = Entry { operation: Operation::Insert, ..parked.clone() };
    assert_eq!(after(&published, Vec::new()), (Some(note("base", "tag")), Some((0, RowState::Local))));
    let created = Entry { base: None, ..published };
    assert_eq!(after(&created, vec![behind()]), (None, None), "later changes of it go with it");
}

// Rules: o-coalesce-sent, o-discard
#[test]
fn what_may_have_been_sent_stays_what_it_is_when_one_before_it_is_given_up() {
    let parked = Entry { state: EntryState::Parked(ParkReason::Rejected), mark: None, ..sent() };
    let on_its_way = Entry { mark: sent().mark, ..behind() };
    let row = stored(Some(note("mine", "later")), 2, RowState::Pending);
    let view = View { stored: Some(row), earlier: Vec::new(), later: vec![on_its_way.clone()] };
    let batch = discarded(&parked, &view, NOW).unwrap();
    let entry = revised(&batch, 2).expect("there is none before it any more");
    assert_eq!((entry.prev, shown(entry.row.as_ref())), (0, Some(note("mine", "later"))));
    assert_eq!((entry.id, entry.base_version.as_deref()), (on_its_way.id, Some("1")));
    assert_eq!(batch.expect.len(), 2, "it is to be as it was read");
}

// Rules: s-rebase, o-discard
#[rstest]
#[case::what_was_sent(true)]
#[case::and_no_other(false)]
fn what_was_heard_stays_beside_what_was_sent_if_the_one_is_given_up_that_it_was_kept_beside(
    #[case] was_sent: bool,
) {
    let row = shared(note("theirs", "tag"));
    let heard = Theirs { row, version: Some("2".into()), extra: None, at: NOW };
    let first = Entry { mark: None, theirs: Some(Box::new(heard)), ..sent() };
    let later = Entry { mark: sent().mark.filter(|_| was_sent), ..behind() };
    let stored = stored(Some(note("mine", "later")), 2, RowState::Pending);
    let view = View { stored: Some(stored), earlier: Vec::new(), later: vec![later] };
    let batch = discarded(&first, &view, NOW).unwrap();
    let last = batch.ops.iter().rev().find_map(|op| match op {
        Op::Revise(entry) if entry.seq == 2 => Some(&**entry),
        _ => None,
    });
    let last = last.expect("there is none before it any more");
    let beside = last.theirs.as_ref().map(|theirs| (shown(theirs.row.as_ref()), theirs.version.as_deref()));
    let expected = was_sent.then_some((Some(note("theirs", "tag")), Some("2")));
    assert_eq!(beside, expected);
}
