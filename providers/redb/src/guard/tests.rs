//! What is given out of sound files and of damaged ones, and what that costs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, TableDefinition};

use super::*;

const TABLE: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("t");
const OTHER: TableDefinition<'static, &[u8], u64> = TableDefinition::new("u");
const PAGE: usize = 4096;

/// A medium that counts how often it is read.
#[derive(Debug, Default)]
struct Counted {
    inner: InMemoryBackend,
    reads: AtomicUsize,
}

impl Counted {
    fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::SeqCst)
    }
}

impl StorageBackend for Counted {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.read(offset, out)
    }

    forward! { inner:
        set_len(len: u64) -> io::Result<()>;
        sync_data() -> io::Result<()>;
        write(offset: u64, data: &[u8]) -> io::Result<()>;
    }

    forward_locks!(inner);
}

/// A closed file with two trees of three levels.
fn filled() -> Arc<Counted> {
    let medium = Arc::new(Counted::default());
    let database = Database::builder().create_with_backend(Lent(medium.clone())).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(TABLE).unwrap();
    let mut other = transaction.open_table(OTHER).unwrap();
    for nth in 0..60_000_u64 {
        table.insert(nth, nth.to_be_bytes().as_slice()).unwrap();
        other.insert([nth.to_be_bytes(); 4].concat().as_slice(), nth).unwrap();
    }
    drop((table, other));
    transaction.commit().unwrap();
    drop(database);
    medium
}

fn begun(medium: &Arc<Counted>) -> Guarded {
    let guarded = Guarded::new(medium.clone());
    guarded.begin();
    guarded
}

fn known(guarded: &Guarded) -> usize {
    match &*guarded.gives() {
        Gives::Known(_, known) => known.len(),
        Gives::Any(_) => 0,
    }
}

// Rules: d-closing
#[test]
fn a_branch_is_given_out_where_it_was_written_and_nowhere_else() {
    let medium = filled();
    let guarded = begun(&medium);
    let (_, found) = guarded.search(Lead::to_any_depth, |_| true).unwrap();
    let branches: BTreeMap<u64, Lead> = found.into_iter().collect();
    assert!(branches.len() > 10, "{}", branches.len());
    let len = medium.len().unwrap();
    let (mut page, mut out) = (vec![0; PAGE], vec![0; PAGE]);
    medium.read(*branches.keys().next().unwrap(), &mut page).unwrap();
    let mut refused = 0;
    for start in (PAGE as u64..len).step_by(PAGE) {
        let mut before = vec![0; PAGE];
        medium.read(start, &mut before).unwrap();
        let sound = guarded.read(start, &mut out);
        let is_branch = branches.contains_key(&start);
        assert_eq!(sound.is_ok(), before[0] != BRANCH || is_branch, "{start}");
        if before == page {
            continue;
        }
        medium.write(start, &page).unwrap();
        assert_eq!(guarded.read(start, &mut out).unwrap_err().kind(), io::ErrorKind::InvalidData);
        medium.write(start, &before).unwrap();
        // One bit of what it leads to.
        before[9] ^= 1;
        medium.write(start, &before).unwrap();
        assert_eq!(guarded.read(start, &mut out).is_err(), before[0] == BRANCH, "{start}");
        before[9] ^= 1;
        medium.write(start, &before).unwrap();
        refused += 1;
    }
    assert!(refused > 100, "{refused}");
    // What is written is known.
    let start = len - PAGE as u64;
    guarded.write(start, &page).unwrap();
    guarded.read(start, &mut out).unwrap();
    guarded.write(start, &vec![1; PAGE]).unwrap();
    medium.write(start, &page).unwrap();
    assert!(guarded.read(start, &mut out).is_err());
}

// Rules: d-closing
#[test]
fn below_a_branch_that_was_read_before_nothing_else_is_given_out_either() {
    let medium = filled();
    let guarded = Guarded::new(medium.clone());
    let (layout, found) = guarded.search(|lead| lead, |_| true).unwrap();
    let everything: Vec<u64> = found.iter().map(|(start, _)| *start).collect();
    let mut out = vec![0; PAGE];
    for start in &everything {
        guarded.read(*start, &mut out).unwrap();
    }
    guarded.begin();
    assert_eq!(known(&guarded), everything.len());
    let tops = begun(&medium);
    assert!(known(&tops) < everything.len(), "{layout:?}");
    medium.reads();
    for start in &everything {
        guarded.read(*start, &mut out).unwrap();
    }
    assert_eq!(medium.reads(), everything.len(), "what redb may follow was looked for");
}

#[test]
fn nothing_is_read_before_it_is_asked_for_and_nothing_twice() {
    let medium = filled();
    medium.reads();
    let guarded = Arc::new(begun(&medium));
    let (reads, pages) = (medium.reads(), medium.len().unwrap() / PAGE as u64);
    assert!(reads < 20 && pages > 1000, "{reads} of {pages} pages were read to begin with");
    let whole = |backend: Arc<dyn StorageBackend>| {
        let database = Database::builder().create_with_backend(Lent(backend)).unwrap();
        let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
        assert_eq!(table.range::<u64>(..).unwrap().count(), 60_000);
    };
    whole(guarded);
    let through = medium.reads();
    whole(medium.clone());
    assert_eq!(through, medium.reads(), "of what redb asks for, each page is read once");
}

/// What is done to a table, one transaction each.
#[derive(Clone, Debug)]
enum Step {
    /// So many rows from one on, of so many bytes.
    Put(u64, u64, usize),
    Remove(u64, u64),
    Reopen,
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6000_u64, 1..3000_u64, 0..300_usize).prop_map(|(first, count, size)| Step::Put(first, count, size)),
        3 => (0..6000_u64, 1..4000_u64).prop_map(|(first, count)| Step::Remove(first, count)),
        2 => Just(Step::Reopen),
        1 => Just(Step::Compact),
    ]
}

fn open(medium: &Arc<Counted>, before: bool) -> (Database, Arc<Guarded>) {
    // A file that was closed can be guarded before redb reads anything of it.
    let guarded = Arc::new(if before { begun(medium) } else { Guarded::new(medium.clone()) });
    let mut builder = Database::builder();
    // Hardly anything is kept: pages are read again and again, and written before they are committed.
    let database = builder.set_cache_size(16 * PAGE).create_with_backend(Lent(guarded.clone())).unwrap();
    guarded.begin();
    (database, guarded)
}

fn take(database: &mut Database, step: &Step, model: &mut BTreeMap<u64, Vec<u8>>) {
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(TABLE).unwrap();
    match step {
        Step::Put(first, count, size) => {
            for nth in *first..first + count {
                let value = vec![nth as u8; *size];
                table.insert(nth, value.as_slice()).unwrap();
                model.insert(nth, value);
            }
        }
        Step::Remove(first, count) => {
            for nth in *first..first + count {
                assert_eq!(table.remove(nth).unwrap().is_some(), model.remove(&nth).is_some());
            }
        }
        Step::Reopen => {}
        Step::Compact => {
            drop(table);
            transaction.commit().unwrap();
            assert!(database.compact().is_ok());
            return;
        }
    }
    drop(table);
    transaction.commit().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // Rules: d-closing
    #[test]
    fn no_branch_of_a_sound_file_is_refused(steps in prop::collection::vec(step(), 1..12), before in any::<bool>()) {
        let (medium, mut model) = (Arc::new(Counted::default()), BTreeMap::new());
        let (mut database, mut guarded) = open(&medium, false);
        for step in &steps {
            if matches!(step, Step::Reopen) {
                drop((database, guarded));
                (database, guarded) = open(&medium, before);
            }
            take(&mut database, step, &mut model);
            let reader = database.begin_read().unwrap().open_table(TABLE).unwrap();
            let stored = reader.range::<u64>(..).unwrap().map(|pair| {
                let (key, value) = pair.unwrap();
                (key.value(), value.value().to_vec())
            });
            prop_assert!(stored.eq(model.iter().map(|(key, value)| (*key, value.clone()))));
            let (_, all) = guarded.search(Lead::to_any_depth, |_| true).unwrap();
            prop_assert!(all.len() <= known(&guarded), "{} of {} branches are known", known(&guarded), all.len());
        }
    }
}
