//! What goes to the medium, and what is seen of it.

use std::sync::Arc;

use proptest::prelude::*;
use redb::backends::InMemoryBackend;

use super::*;

/// What went to the medium, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Went {
    Write(u64, Vec<u8>),
    Sync,
    Len(u64),
}

/// A medium in memory that keeps a list.
#[derive(Clone, Debug)]
struct Listed {
    bytes: Arc<InMemoryBackend>,
    went: Arc<Mutex<Vec<Went>>>,
}

impl Listed {
    fn of(bytes: &[u8]) -> Self {
        let medium = Self { bytes: Arc::new(InMemoryBackend::new()), went: Arc::default() };
        medium.bytes.set_len(bytes.len() as u64).unwrap();
        medium.bytes.write(0, bytes).unwrap();
        medium
    }

    fn note(&self, what: Went) {
        self.went.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<Went> {
        std::mem::take(&mut self.went.lock().unwrap())
    }
}

impl StorageBackend for Listed {
    fn len(&self) -> io::Result<u64> {
        self.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.bytes.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(Went::Len(len));
        self.bytes.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(Went::Sync);
        self.bytes.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(Went::Write(offset, data.to_vec()));
        self.bytes.write(offset, data)
    }
}

const HEADER: [u8; 16] = [7, 7, 7, 7, 7, 7, 7, 7, 7, 5, 7, 7, 7, 7, 7, 7];

fn marked() -> Vec<u8> {
    let mut header = HEADER.to_vec();
    header[FLAGS] |= OPEN;
    header
}

fn all(medium: &dyn StorageBackend) -> Vec<u8> {
    let mut bytes = vec![0; medium.len().unwrap() as usize];
    medium.read(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn the_mark_goes_before_what_is_written_first_and_is_durable_then() {
    let medium = Listed::of(&[&HEADER[..], &[1; 48]].concat());
    let untouched = Untouched::new(Box::new(medium.clone()));
    untouched.write(0, &marked()).unwrap();
    untouched.sync_data().unwrap();
    assert_eq!(medium.take(), [], "nothing has been written");
    assert_eq!(all(&untouched)[..16], marked(), "the mark is seen");
    untouched.write(32, &[2; 4]).unwrap();
    untouched.sync_data().unwrap();
    let went = [Went::Write(0, marked()), Went::Sync, Went::Write(32, vec![2; 4]), Went::Sync];
    assert_eq!(medium.take(), went);
}

#[test]
fn what_says_more_than_the_mark_is_written() {
    for header in [{ marked() }, [&marked()[..15], &[8]].concat(), HEADER.to_vec()] {
        let there = if header == marked() { marked() } else { HEADER.to_vec() };
        let medium = Listed::of(&there);
        Untouched::new(Box::new(medium.clone())).write(0, &header).unwrap();
        assert_eq!(medium.take(), [Went::Write(0, header)]);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Mark,
    Write(u64, Vec<u8>),
    Len(u64),
    Sync,
}

fn step() -> impl Strategy<Value = Step> {
    let data = prop::collection::vec(any::<u8>(), 1..20);
    prop_oneof![
        2 => Just(Step::Mark),
        2 => Just(Step::Sync),
        1 => (0..40_u64, data).prop_map(|(at, data)| Step::Write(at, data)),
        1 => (16..80_u64).prop_map(Step::Len),
    ]
}

proptest! {
    /// Whatever is done, the same is read as from a medium that holds nothing back, and that is what is written but for
    /// a mark that nothing followed; a write never comes before a mark that was to come before it.
    #[test]
    fn nothing_else_is_to_be_seen_of_it(steps in prop::collection::vec(step(), 0..8)) {
        let (plain, medium) = (Listed::of(&[&HEADER[..], &[1; 64]].concat()), Listed::of(&[&HEADER[..], &[1; 64]].concat()));
        let untouched = Untouched::new(Box::new(medium.clone()));
        for step in steps {
            for side in [&plain as &dyn StorageBackend, &untouched] {
                match &step {
                    Step::Mark => side.write(0, &marked()).unwrap(),
                    Step::Write(at, data) if at + data.len() as u64 <= side.len().unwrap() => side.write(*at, data).unwrap(),
                    Step::Write(..) => {}
                    Step::Len(len) => side.set_len(*len).unwrap(),
                    Step::Sync => side.sync_data().unwrap(),
                }
            }
            prop_assert_eq!(all(&plain), all(&untouched));
        }
        let written = |went: Vec<Went>| went.into_iter().filter(|one| *one != Went::Sync).collect::<Vec<_>>();
        let (plainly, held) = (written(plain.take()), written(medium.take()));
        // A mark that was held back when another came is written once.
        let mut expected = plainly;
        expected.dedup_by(|a, b| a == b && *a == Went::Write(0, marked()));
        let mut held = held;
        held.dedup_by(|a, b| a == b && *a == Went::Write(0, marked()));
        let only_marked = expected == [Went::Write(0, marked())] && held.is_empty();
        prop_assert!(only_marked || held == expected, "{:?} in place of {:?}", held, expected);
    }
}
