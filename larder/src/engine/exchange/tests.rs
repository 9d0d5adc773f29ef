//! What of the queues of two keys has nothing left to say once they become one.

use larder_core::{FieldDef, IntKind, KeyDef, Kind, SendMark, Uuid, Value, Within};

use super::*;

static TEAM: Schema = Schema::new(
    "Team",
    &[
        FieldDef::new("number", Kind::Int(IntKind::I64)),
        FieldDef::new("name", Kind::Str),
        FieldDef::new("town", Kind::Str),
    ],
    KeyDef::server(&[0]),
);

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn deletion(seq: u64) -> Entry {
    let id = MutationId(Uuid::from_u128(seq.into()));
    Entry { seq, ..Entry::new(&TEAM, 17.into(), Operation::Delete, id, NOW) }
}

fn change(seq: u64, operation: Operation, fields: &[usize]) -> Entry {
    let text = |text: &str| Some(Value::Str(text.into()));
    let row = Record::new([Some(Value::Int(17)), text("blue"), text("Ulm")]);
    let changed = fields.iter().copied().collect();
    Entry { operation, row: Some(Arc::new(row)), changed, ..deletion(seq) }
}

fn edit(seq: u64, fields: &[usize]) -> Entry {
    change(seq, Operation::Update, fields)
}

fn sent(entry: Entry) -> Entry {
    Entry { mark: Some(SendMark { first: NOW }), ..entry }
}

/// What ends, and in which it goes on; and what is left, with what it changes.
type Left = (Vec<(u64, Option<u64>)>, Vec<(u64, Vec<usize>)>);

fn left(mut queued: Vec<Entry>, written: &[(usize, u64)]) -> Left {
    let creation = change(1, Operation::Insert, &[0, 1, 2]);
    let ids: BTreeMap<_, _> = queued.iter().map(|entry| (entry.id, entry.seq)).collect();
    let spent = spent(&mut queued, &creation, &written.iter().copied().collect());
    let within = |id: Option<MutationId>| id.and_then(|id| ids.get(&id)).copied();
    (
        spent.into_iter().map(|(entry, id)| (entry.seq, within(id))).collect(),
        queued.into_iter().map(|entry| (entry.seq, entry.changed.iter().collect())).collect(),
    )
}

// Rules: m-key-server-refs, o-order
#[test]
fn what_was_written_since_is_not_said_and_who_says_nothing_ends() {
    let queue = || vec![edit(2, &[1]), edit(3, &[1, 2]), edit(5, &[1])];
    assert_eq!(left(queue(), &[(1, 4)]), (vec![(2, None)], vec![(3, vec![2]), (5, vec![1])]));
    assert_eq!(left(queue(), &[]), (vec![], vec![(2, vec![1]), (3, vec![1, 2]), (5, vec![1])]));
}

// Rules: m-key-server-refs, o-order
#[test]
fn what_comes_before_a_creation_or_a_deletion_that_is_no_more_goes_on_in_what_was_sent() {
    let again = sent(change(4, Operation::Insert, &[0, 1, 2]));
    let queue = vec![edit(2, &[1]), edit(3, &[2]), again, edit(5, &[1])];
    assert_eq!(left(queue, &[]).0, [(2, Some(4)), (3, Some(4))]);
    let queue = |last: Entry| vec![edit(2, &[1]), deletion(3), last];
    assert_eq!(left(queue(sent(edit(4, &[2]))), &[]).0, [(2, Some(4)), (3, Some(4))]);
    assert_eq!(left(queue(edit(4, &[2])), &[(2, 5)]).0, [(2, None), (3, None), (4, None)]);
    assert_eq!(left(queue(sent(deletion(4))), &[]).0, [(2, Some(4)), (3, Some(4))]);
    // It is deleted after all.
    assert_eq!(left(queue(edit(4, &[2])), &[]).0, []);
    assert_eq!(left(vec![sent(edit(2, &[1])), deletion(3)], &[(2, 1)]).0, []);
}

// Rules: m-key-server-refs, o-coalesce-apart, o-coalesce-sent
#[test]
fn what_may_have_been_sent_or_goes_with_others_or_is_another_accounts_is_not_covered() {
    let (mine, decided) = (deletion(2), deletion(3));
    assert!(is_covered(&mine, &decided));
    let bobs = Entry { account: Some("bob".into()), ..mine.clone() };
    let carrier = Entry { carries: vec![decided.id], ..mine.clone() };
    let within = Within { carrier: decided.id, parent: decided.id, association: "team".into() };
    let within = Entry { within: Some(within), ..mine.clone() };
    for other in [sent(mine), bobs, carrier, within] {
        assert!(!is_covered(&other, &decided), "{other:?}");
        assert_eq!(left(vec![Entry { seq: 2, ..other }], &[(1, 9)]).0, []);
    }
}
