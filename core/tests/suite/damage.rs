//! Damaged bytes: an error or another value, never a panic.

use std::sync::Arc;

use larder_core::packed::{
    Bound, EntryRows, Stored, append_note, decode_entry, encode_entry, glance_at_entry, replace_note,
    write_record, write_tombstone,
};
use larder_core::{
    Entry, EntryState, ErrorKind, Key, Meta, Model, MutationId, Operation, ParkReason, Row, Schema, SendMark,
    Theirs, Timestamp, Uuid, ordered,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::evolution::{now, then, user};
use crate::models::{Everything, everything};
use crate::support::{SHAPE, bound, lend, pack, refusal};

/// Looks at everything that a body shows. True if the model could be read.
fn look<M: Model>(body: &[u8], bound: &Bound) -> bool {
    let schema = M::schema();
    let looked = lend(body, bound, |row| {
        for at in 0..schema.fields.len() {
            if let Ok(value) = row.field(at) {
                let _ = (value.to_value(), format!("{value:?}"));
            }
        }
        let _ = schema.key_of(row);
        M::from_row(row).is_ok()
    });
    looked.unwrap_or(false)
}

/// Cuts `bytes` off everywhere and changes each byte in several ways.
fn spoil(bytes: &[u8], mut f: impl FnMut(&[u8])) -> usize {
    let mut spoilt = 0;
    for end in 0..bytes.len() {
        f(&bytes[..end]);
        spoilt += 1;
    }
    let mut copy = bytes.to_vec();
    for at in 0..bytes.len() {
        for mask in [0x01, 0x0f, 0x10, 0x80, 0xff] {
            copy[at] = bytes[at] ^ mask;
            f(&copy);
            spoilt += 1;
        }
        copy[at] = bytes[at];
    }
    spoilt
}

fn samples() -> Vec<Everything> {
    let mut runner = TestRunner::deterministic();
    (0..3).map(|_| everything().new_tree(&mut runner).expect("a sample").current()).collect()
}

// Rules: d-panic
#[test]
fn spoilt_rows_never_panic() {
    let bound = bound(Everything::schema(), Everything::schema());
    let mut spoilt = 0;
    for sample in samples() {
        spoilt += spoil(&pack(&sample), |body| {
            look::<Everything>(body, &bound);
        });
    }
    assert!(spoilt > 5_000, "only {spoilt} rows were tried");
}

#[test]
fn spoilt_rows_of_yesterday_never_panic() {
    let bound = bound(then::User::schema(), now::User::schema());
    let body = pack(&user());
    assert!(look::<now::User>(&body, &bound));
    let spoilt = spoil(&body, |body| {
        look::<now::User>(body, &bound);
    });
    assert!(spoilt > 1_000, "only {spoilt} rows were tried");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_noise_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let bound = bound(Everything::schema(), Everything::schema());
        look::<Everything>(&body, &bound);
    }

    #[test]
    fn values_of_noise_never_panic(noise in proptest::collection::vec(any::<u8>(), 0..60), at in 0..40_usize) {
        // A sound row in which one field is noise.
        let count = Everything::schema().fields.len();
        let mut body = vec![0, 7, 0, u8::try_from(count).expect("few fields"), 0];
        for field in 0..count {
            let end = if field < at { 0 } else { u16::try_from(noise.len()).expect("little noise") };
            body.extend_from_slice(&end.to_le_bytes());
        }
        body.extend_from_slice(&noise);
        let bound = bound(Everything::schema(), Everything::schema());
        look::<Everything>(&body, &bound);
    }

    #[test]
    fn keys_of_noise_never_panic(noise in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok((key, rest)) = ordered::decode_key(&noise) {
            let mut again = Vec::new();
            ordered::encode_key(&key, &mut again);
            again.extend_from_slice(rest);
            prop_assert!(again.len() <= noise.len() + 16);
        }
    }
}

#[test]
fn a_key_without_end_is_refused_and_does_not_exhaust_the_stack() {
    assert!(ordered::decode_key(&vec![0x88; 1 << 20]).is_err());
}

// Rules: d-checksum
#[test]
fn no_altered_record_is_ever_returned() {
    let mut record = Vec::new();
    let mut meta = Meta::synced(Timestamp::UNIX_EPOCH);
    meta.version = Some("7".into());
    write_record(&mut record, Everything::schema(), SHAPE, &samples()[0], meta.show()).expect("a record");
    assert!(Stored::parse(&record).is_ok());
    spoil(&record, |spoilt| {
        assert_eq!(refusal(Stored::parse(spoilt)).kind(), ErrorKind::Corrupt);
    });

    let mut tombstone = Vec::new();
    write_tombstone(&mut tombstone, meta.show()).expect("a tombstone");
    assert!(Stored::parse(&tombstone).expect("a tombstone").body.is_none());
    spoil(&tombstone, |spoilt| {
        assert_eq!(refusal(Stored::parse(spoilt)).kind(), ErrorKind::Corrupt);
    });
}

// Rules: m-evolve-newer
#[test]
fn a_record_of_a_newer_format_asks_for_an_update() {
    let mut record = Vec::new();
    write_tombstone(&mut record, Meta::synced(Timestamp::UNIX_EPOCH).show()).expect("a tombstone");
    record[4] += 1;
    let checksum = crc32(&record[4..]);
    record[..4].copy_from_slice(&checksum.to_le_bytes());
    let error = refusal(Stored::parse(&record));
    assert_eq!(
        error.to_string(),
        "stored data is corrupt: a record has format 2, newer than 1: update the application"
    );
}

/// CRC-32 as the records have it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let byte = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    };
    !bytes.iter().fold(!0, byte)
}

fn entry(schema: &'static Schema, row: &Everything) -> Entry {
    let row: Arc<dyn Row> = Arc::new(row.clone());
    Entry {
        prev: 3,
        row: Some(row.clone()),
        changed: [1, 3].into_iter().collect(),
        base: Some(row),
        base_version: Some("v".into()),
        account: Some("ada".into()),
        mark: Some(SendMark { first: Timestamp::UNIX_EPOCH }),
        attempts: 1,
        ..Entry::new(
            schema,
            Key::from("k"),
            Operation::Update,
            MutationId(Uuid::from_u128(9)),
            Timestamp::UNIX_EPOCH,
        )
    }
}

// Rules: d-checksum
#[test]
fn no_altered_outbox_entry_is_ever_returned() {
    let row = &samples()[0];
    let bytes = encode_entry(&entry(Everything::schema(), row), SHAPE).expect("an entry");
    let decoded = decode_entry(&bytes).expect("a sound entry");
    assert_eq!(decoded.model(), "Everything");
    assert_eq!(decoded.row, Some(&pack(row)[..]));
    assert_eq!(decoded.base, decoded.row);
    let again = decoded.into_entry(5, Everything::schema(), EntryRows::default());
    assert_eq!((again.seq, again.prev, again.key), (5, 3, Key::from("k")));
    assert_eq!(again.changed, [1, 3].into_iter().collect());
    spoil(&bytes, |spoilt| {
        assert_eq!(refusal(decode_entry(spoilt)).kind(), ErrorKind::Corrupt);
        assert_eq!(refusal(glance_at_entry(spoilt)).kind(), ErrorKind::Corrupt);
    });
}

#[test]
fn a_glance_at_an_entry_sees_what_taking_it_apart_shows() {
    let row = &samples()[0];
    let sound = entry(Everything::schema(), row);
    let theirs = |row: Option<Arc<dyn Row>>| {
        Some(Box::new(Theirs { row, version: None, extra: None, at: Timestamp::UNIX_EPOCH }))
    };
    for theirs in [None, theirs(None), theirs(sound.row.clone())] {
        for state in [EntryState::Ready, EntryState::Parked(ParkReason::Conflict)] {
            let entry = Entry { state, theirs: theirs.clone(), ..sound.clone() };
            let mut bytes = encode_entry(&entry, SHAPE).expect("an entry");
            for note in [None, Some(&b"one"[..])] {
                let seen = glance_at_entry(&bytes).expect("a sound entry");
                assert_eq!((seen.parked, seen.note), (state != EntryState::Ready, note));
                append_note(&mut bytes, b"one");
            }
        }
    }
}

/// Marking an entry does not make it longer, and what a store has appended goes with it.
#[test]
fn an_entry_is_as_long_marked_as_unmarked() {
    let row = &samples()[0];
    let unmarked = Entry { mark: None, attempts: 0, ..entry(Everything::schema(), row) };
    let first = Timestamp::from_second(1_700_000_000).expect("a moment");
    let marked = Entry { mark: Some(larder_core::SendMark { first }), ..unmarked.clone() };
    let [mut unmarked, marked] =
        [&unmarked, &marked].map(|entry| encode_entry(entry, SHAPE).expect("an entry"));
    assert_eq!(unmarked.len(), marked.len());
    let sent = |bytes: &[u8]| decode_entry(bytes).expect("a sound entry").sent();
    assert_eq!((sent(&unmarked), sent(&marked)), ((false, 0), (true, 0)));
    let again = decode_entry(&unmarked).expect("a sound entry").encode_marked().expect("an entry");
    assert!(sent(&again).0);
    let shown = |bytes: &[u8]| {
        let decoded = decode_entry(bytes).expect("a sound entry");
        decoded.into_entry(1, Everything::schema(), EntryRows::default()).mark
    };
    assert_eq!((shown(&unmarked), shown(&marked)), (None, Some(larder_core::SendMark { first })));
    append_note(&mut unmarked, b"one");
    assert_eq!(decode_entry(&unmarked).expect("a sound entry").note, Some(&b"one"[..]));
    replace_note(&mut unmarked, b"two");
    assert_eq!(decode_entry(&unmarked).expect("a sound entry").note, Some(&b"two"[..]));
    assert!(!sent(&unmarked).0);
}
