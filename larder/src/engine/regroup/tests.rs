//! Requests that are made up by chance, of which some entries ask, delete their rows or are gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use larder_core::{
    Entry, EntryState, FieldDef, Key, KeyDef, Kind, MutationId, Operation, ParkReason, Record, Schema,
    Timestamp, Uuid, Value, Within,
};
use proptest::prelude::*;

use super::{Part, regroup};

static ROW: Schema = Schema::new("Row", &[FieldDef::new("id", Kind::Str)], KeyDef::natural(&[0]));

fn id(at: usize) -> MutationId {
    MutationId(Uuid::from_u128(at as u128 + 1))
}

/// The entry at `at` of a request; the one in whose row it stands comes before it.
fn entry(at: usize, parent: Option<usize>, carries: Vec<MutationId>) -> Entry {
    let within =
        parent.map(|parent| Within { carrier: id(0), parent: id(parent), association: "rows".into() });
    Entry {
        seq: at as u64 + 1,
        row: Some(Arc::new(Record::new([Some(Value::Str(at.to_string().into()))]))),
        carries,
        within,
        ..Entry::new(&ROW, Key::from(at.to_string()), Operation::Update, id(at), Timestamp::UNIX_EPOCH)
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Stays,
    Asks,
    Deletes,
    Gone,
}

fn parts(parents: &[usize], fates: &[Fate]) -> Vec<Part> {
    let all: Vec<MutationId> = (1..=parents.len()).map(id).collect();
    let mut entries = vec![entry(0, None, all)];
    for (nth, parent) in parents.iter().enumerate() {
        entries.push(entry(nth + 1, Some(parent % (nth + 1)), Vec::new()));
    }
    let part = |(old, fate): (Entry, &Fate)| {
        let mut now = old.clone();
        match fate {
            Fate::Stays => {}
            Fate::Asks => now.state = EntryState::Parked(ParkReason::Conflict),
            Fate::Deletes => (now.row, now.operation) = (None, Operation::Delete),
            Fate::Gone => return Part { old, now: None },
        }
        Part { old, now: Some(now) }
    };
    entries.into_iter().zip(fates).map(part).collect()
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![5 => Just(Fate::Stays), 1 => Just(Fate::Asks), 1 => Just(Fate::Deletes), 1 => Just(Fate::Gone)]
}

proptest! {
    // Rules: c-nested
    #[test]
    fn each_entry_goes_in_one_request_and_stands_in_a_row_of_it(
        parents in prop::collection::vec(0_usize..9, 0..9),
        fates in prop::collection::vec(fate(), 10),
    ) {
        let mut parts = parts(&parents, &fates);
        regroup(&mut parts);
        let left: Vec<&Entry> = parts.iter().filter_map(|part| part.now.as_ref()).collect();
        let mut carried = BTreeSet::new();
        for carrier in left.iter().filter(|entry| !entry.carries.is_empty()) {
            prop_assert!(carrier.within.is_none() && carrier.row.is_some());
            for one in &carrier.carries {
                prop_assert!(carried.insert(*one), "{:?} goes in two requests", one);
                let entry = left.iter().find(|entry| entry.id == *one).expect("what is carried is there");
                let within = entry.within.as_ref().expect("and knows it");
                prop_assert_eq!(within.carrier, carrier.id);
            }
        }
        for (at, entry) in left.iter().enumerate() {
            let Some(within) = &entry.within else { continue };
            prop_assert!(carried.contains(&entry.id));
            prop_assert!(entry.row.is_some() && entry.state == EntryState::Ready);
            let parent = left[..at].iter().find(|other| other.id == within.parent).expect("before it");
            prop_assert!(parent.id == within.carrier || parent.within.as_ref().map(|of| of.carrier) == Some(within.carrier));
        }
        // Nothing leaves that has no reason to.
        for part in &parts {
            let Some(now) = &part.now else { continue };
            let parent = part.old.within.as_ref().and_then(|of| parts.iter().find(|other| other.old.id == of.parent));
            let holds = parent.and_then(|parent| parent.now.as_ref()).is_some_and(|parent| parent.row.is_some());
            let goes = holds && now.row.is_some() && now.state == EntryState::Ready;
            prop_assert_eq!(now.within.is_some(), goes);
        }
    }
}

// Rules: c-nested
#[test]
fn a_request_under_another_identity_keeps_what_goes_in_it() {
    let mut parts = parts(&[0, 1], &[Fate::Stays; 3]);
    let renewed = MutationId(Uuid::from_u128(77));
    if let Some(carrier) = &mut parts[0].now {
        carrier.id = renewed;
    }
    regroup(&mut parts);
    let within = |at: usize| parts[at].now.as_ref().and_then(|now| now.within.clone()).expect("it stays");
    assert_eq!((within(1).carrier, within(1).parent), (renewed, renewed));
    assert_eq!((within(2).carrier, within(2).parent), (renewed, id(1)));
}
