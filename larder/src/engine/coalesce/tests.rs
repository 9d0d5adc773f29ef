//! Which entry takes a write in, and what it is then.

use std::sync::Arc;

use larder_core::{
    Entry, EntryState, FieldDef, IndexDef, IntKind, Key, KeyDef, Kind, MutationId, Operation, ParkReason,
    Record, Row, Schema, SendMark, Timestamp, Uuid, Value, Within,
};

use super::{Merged, Write, is_open, merged};

static NOTE: Schema = Schema::new(
    "Note",
    &[
        FieldDef::new("id", Kind::Int(IntKind::I64)),
        FieldDef::new("text", Kind::Str),
        FieldDef::new("tag", Kind::Str),
        FieldDef::new("code", Kind::Str),
    ],
    KeyDef::natural(&[0]),
)
.indexes(&[IndexDef { name: "code", fields: &[3], unique: true }]);

fn row(text: &str, tag: &str, code: &str) -> Arc<dyn Row> {
    let texts = [text, tag, code].map(|text| Some(Value::Str(text.into())));
    let [text, tag, code] = texts;
    Arc::new(Record::new([Some(Value::Int(1)), text, tag, code]))
}

fn id(nth: u128) -> MutationId {
    MutationId(Uuid::from_u128(nth))
}

/// A change of the text that is queued.
fn update() -> Entry {
    Entry {
        seq: 1,
        row: Some(row("mine", "tag", "a")),
        changed: [1].into_iter().collect(),
        base: Some(row("base", "tag", "a")),
        base_version: Some("1".into()),
        account: Some("ada".into()),
        ..Entry::new(&NOTE, Key::Int(1), Operation::Update, id(1), Timestamp::UNIX_EPOCH)
    }
}

// Rules: o-coalesce-sent, o-coalesce-apart
#[test]
fn what_was_sent_tried_or_parked_or_does_not_stand_for_itself_takes_no_write_in() {
    let within = Within { carrier: id(2), parent: id(2), association: "notes".into() };
    let closed = [
        Entry { mark: Some(SendMark { first: Timestamp::UNIX_EPOCH }), ..update() },
        Entry { attempts: 1, ..update() },
        Entry { state: EntryState::Parked(ParkReason::Conflict), ..update() },
        Entry { carries: vec![id(2)], ..update() },
        Entry { within: Some(within), ..update() },
        Entry { account: None, ..update() },
        Entry { account: Some("bob".into()), ..update() },
    ];
    assert!(is_open(&update(), Some("ada")));
    for entry in closed {
        assert!(!is_open(&entry, Some("ada")), "{entry:?}");
    }
    assert!(is_open(&Entry { account: None, ..update() }, None));
}

fn taken(entry: &Entry, write: &Write) -> Option<Entry> {
    match merged(entry, &*row("mine", "tag", "a"), write).unwrap() {
        Some(Merged::Into(kept)) => Some(*kept),
        Some(Merged::Nothing) => panic!("there is something to tell"),
        None => None,
    }
}

// Rules: o-coalesce
#[test]
fn what_takes_a_write_in_keeps_its_base_and_its_identity_and_is_of_todays_model() {
    let old = Entry { model_version: 7, ..update() };
    for write in [Write::Put(row("mine", "new", "a")), Write::Delete] {
        let kept = taken(&old, &write).expect("it is taken in");
        assert_eq!((kept.seq, kept.id, kept.prev), (old.seq, old.id, old.prev));
        assert_eq!(kept.model_version, NOTE.version, "the whole row is written anew");
        let base = Record::copy(&NOTE, &**kept.base.as_ref().expect("the oldest base")).unwrap();
        assert_eq!(base, Record::copy(&NOTE, &*row("base", "tag", "a")).unwrap());
        assert_eq!(kept.base_version.as_deref(), Some("1"));
        match write {
            Write::Put(_) => {
                assert_eq!(kept.operation, Operation::Update);
                assert_eq!(kept.changed.iter().collect::<Vec<_>>(), [1, 2]);
            }
            Write::Delete => assert!(kept.operation == Operation::Delete && kept.row.is_none()),
        }
    }
}

// Rules: o-coalesce-apart
#[test]
fn a_unique_value_and_what_comes_after_a_deletion_stay_apart() {
    assert!(taken(&update(), &Write::Put(row("mine", "tag", "b"))).is_none());
    let deletes = Entry { operation: Operation::Delete, row: None, ..update() };
    assert!(taken(&deletes, &Write::Put(row("again", "tag", "a"))).is_none());
    assert!(taken(&deletes, &Write::Delete).is_none());
}
