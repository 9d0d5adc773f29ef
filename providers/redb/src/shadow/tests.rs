//! A shadow seems to be a file of its own, and changes nothing of the one below it.

use std::sync::Arc;

use proptest::prelude::*;
use redb::backends::InMemoryBackend;

use super::*;
use crate::backend::{self, Lent};

/// Longer than a page, so that what is written lies across some.
const LONGEST: u64 = 5 * PAGE / 2;

#[derive(Clone, Debug)]
enum Does {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Read(u64, usize),
}

fn does() -> impl Strategy<Value = Does> {
    let at = || 0..4 * PAGE;
    let bytes = (any::<u8>(), 1..LONGEST as usize).prop_map(|(byte, len)| vec![byte; len]);
    prop_oneof![
        (at(), bytes).prop_map(|(at, bytes)| Does::Write(at, bytes)),
        at().prop_map(Does::SetLen),
        (at(), 1..LONGEST as usize).prop_map(|(at, len)| Does::Read(at, len)),
    ]
}

proptest! {
    // Rules: d-full
    #[test]
    fn it_is_read_as_it_was_written_and_what_lies_below_stays(
        len in 0..3 * PAGE,
        steps in prop::collection::vec(does(), 1..20),
    ) {
        let below = Arc::new(InMemoryBackend::new());
        let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        below.set_len(len).unwrap();
        below.write(0, &bytes).unwrap();
        let (shadow, mut expected) = (Shadow::of(Box::new(Lent(below.clone()))).unwrap(), bytes.clone());
        for step in steps {
            match step {
                // Nobody writes behind the end.
                Does::Write(at, data) if at + data.len() as u64 <= expected.len() as u64 => {
                    shadow.write(at, &data).unwrap();
                    expected[at as usize..at as usize + data.len()].copy_from_slice(&data);
                }
                Does::Write(..) => {}
                Does::SetLen(len) => {
                    shadow.set_len(len).unwrap();
                    // What a longer file has at its end was never said to be zero.
                    let there = expected.len().min(len as usize);
                    expected.resize(len as usize, 0);
                    let zeros = vec![0; expected.len() - there];
                    shadow.write(there as u64, &zeros).unwrap();
                }
                Does::Read(at, len) => {
                    let mut out = vec![0; len];
                    let read = shadow.read(at, &mut out);
                    match expected.get(at as usize..at as usize + len) {
                        Some(there) => prop_assert_eq!(out.as_slice(), there),
                        None => prop_assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
                    }
                }
            }
            prop_assert_eq!(shadow.len().unwrap(), expected.len() as u64);
        }
        let mut all = vec![0; expected.len()];
        shadow.read(0, &mut all).unwrap();
        prop_assert_eq!(all, expected);
        shadow.sync_data().unwrap();
        let mut there = vec![0; bytes.len()];
        below.read(0, &mut there).unwrap();
        prop_assert_eq!((below.len().unwrap(), there), (len, bytes));
    }
}

// Rules: d-second
#[test]
fn the_file_below_is_taken_and_let_go_of() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let whole = |file: &dyn StorageBackend| file.try_lock_range(Bound::Unbounded, Bound::Unbounded);
    let shadow = Shadow::of(backend::file(&path).unwrap()).unwrap();
    let another = backend::file(&path).unwrap();
    assert!(whole(&shadow).unwrap() && !whole(&*another).unwrap());
    shadow.unlock_range(Bound::Unbounded, Bound::Unbounded).unwrap();
    assert!(whole(&*another).unwrap() && !whole(&shadow).unwrap());
    another.close().unwrap();
    assert!(whole(&shadow).unwrap());
    shadow.close().unwrap();
    assert!(whole(&*backend::file(&path).unwrap()).unwrap());
}
