//! The integrity check, and beginning anew with what verifies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_core::{
    ErrorKind, FindingKind, Integrity, Key, KeyDef, Op, Query, Schema, Store, Tail, Timestamp,
};
use larder_redb::{OnCorrupt, Redb};

use crate::damage::{COUNTERS, ENTRIES, OUTBOX, ROWS, at, kind, make_newer, tamper};
use crate::disk::Disk;
use crate::support::*;

const PAGE: usize = 4096;

/// A closed store with `rows` rows, of which the first `queued` wait to be sent.
pub(crate) async fn filled(path: &Path, rows: u32, queued: u32) {
    let store = open(&Redb::at(path), &[&PERSON]).await.unwrap();
    for first in (0..rows).step_by(500) {
        save(&*store, (first..rows.min(first + 500)).map(row)).await;
    }
    for id in 0..queued {
        enqueue(&*store, id).await;
    }
    let found = store.check(&cx()).await.unwrap();
    assert!(found.is_sound(), "{found:?}");
    assert_eq!((found.rows, found.entries), (rows.into(), queued.into()));
}

pub(crate) fn row(id: u32) -> larder_core::Record {
    person(id, &format!("name {id}"), &format!("{id}@x"), i64::from(id))
}

/// Changes a row, and queues that.
async fn enqueue(store: &dyn Store, id: u32) {
    let entry = crate::outbox::entry(&PERSON, row(id));
    let meta = larder_core::Meta {
        sync: larder_core::SyncState { state: larder_core::RowState::Pending, since: Timestamp::UNIX_EPOCH },
        ..larder_core::Meta::synced(Timestamp::UNIX_EPOCH)
    };
    let ops = [put_with(&PERSON, row(id), meta, Tail::New(0)), Op::Enqueue(entry)];
    commit(store, ops).await.unwrap();
}

fn kinds(found: &Integrity) -> BTreeSet<String> {
    found.findings.iter().map(|finding| format!("{:?}", finding.kind)).collect()
}

async fn checked(path: &Path) -> Integrity {
    let store = open(&at(path), &[&PERSON]).await.unwrap();
    store.check(&cx()).await.unwrap()
}

pub(crate) fn asides(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".damaged-"))
        .collect();
    found.sort();
    found
}

/// Removes what lies in a space and matches.
pub(crate) fn remove(path: &Path, space: u8, matches: impl Fn(&[u8]) -> bool) {
    let database = redb::Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let definition = redb::TableDefinition::<&[u8], &[u8]>::new("larder");
        let mut table = transaction.open_table(definition).unwrap();
        table
            .retain_in::<&[u8], _>([space].as_slice()..[space + 1].as_slice(), |key, _| !matches(key))
            .unwrap();
    }
    transaction.commit().unwrap();
}

// Rules: d-check
#[tokio::test]
async fn a_check_finds_what_is_altered_missing_and_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 50, 5).await;
    let case = async |what: &str, change: &dyn Fn(&Path), expected: &[FindingKind]| {
        let copy = directory.path().join(what);
        std::fs::copy(&path, &copy).unwrap();
        change(&copy);
        let found = checked(&copy).await;
        let expected: BTreeSet<String> = expected.iter().map(|kind| format!("{kind:?}")).collect();
        assert_eq!(kinds(&found), expected, "{what}: {found:?}");
    };
    use FindingKind::*;
    let flip = |space: u8, ending: u8| {
        move |path: &Path| {
            tamper(path, space, |key, value| {
                let hit = key.ends_with(&[ending]);
                if hit {
                    let last = value.len() - 1;
                    value[last] ^= 1;
                }
                hit
            });
        }
    };
    case("a row", &flip(ROWS, 7), &[Altered]).await;
    case("an entry", &flip(OUTBOX, 2), &[Altered]).await;
    case("a row is gone", &|path| remove(path, ROWS, |key| key.ends_with(&[40])), &[StrayIndexEntry]).await;
    let gone = |path: &Path| remove(path, ENTRIES, |key| key[2] == 0 && key.ends_with(&[9]));
    case("an index entry is gone", &gone, &[MissingIndexEntry]).await;
    let gone = |path: &Path| remove(path, OUTBOX, |key| key.ends_with(&[3]));
    case("an outbox entry is gone", &gone, &[MissingEntry, Miscounted]).await;
    let gone = |path: &Path| remove(path, ROWS, |key| key.ends_with(&[1]));
    case("a row with an entry is gone", &gone, &[MissingRow, StrayIndexEntry]).await;
}

// Rules: d-check
#[tokio::test]
async fn a_check_goes_on_beside_reads_and_writes_and_finds_damaged_pages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 3000, 0).await;
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    for id in 3000..3020 {
        let found = store.check(&cx()).await.unwrap();
        assert!(found.is_sound() && found.pages > 100, "{found:?}");
        save(&*store, [row(id)]).await;
    }
    drop(store);
    let sound = std::fs::read(&path).unwrap();
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    let marked = sound.windows(8).position(|bytes| bytes == b"name 777").unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    use std::io::{Seek as _, Write as _};
    file.seek(std::io::SeekFrom::Start(marked as u64)).unwrap();
    file.write_all(b"Name").unwrap();
    let found = store.check(&cx()).await.unwrap();
    assert_eq!(found.findings.first().map(|finding| finding.kind), Some(FindingKind::Page), "{found:?}");
}

// Rules: d-salvage, d-salvage-status, d-mode
#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_what_verifies_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 2000, 20).await;
    let mut bytes = std::fs::read(&path).unwrap();
    // A bit of one row is wrong, wherever it lies.
    for at in 0..bytes.len() - 9 {
        if bytes[at..].starts_with(b"name 1500") {
            bytes[at] ^= 1;
        }
    }
    std::fs::write(&path, &bytes).unwrap();
    // What is damaged is noticed by a read, which fails, and the store mends itself behind it.
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    assert_eq!(store.damage(), None);
    let revision = store.revision();
    assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Corrupt);
    assert!(store.salvage(&cx()).await.unwrap().is_none(), "it has done so already");
    let kept = get(&*store, &PERSON, &Query::all()).await.unwrap();
    let damage = store.damage().expect("it has been mended");
    assert_eq!(damage.aside, path.with_extension("redb.damaged-1").display().to_string());
    assert!(
        std::fs::read(&damage.aside).unwrap().windows(9).any(|bytes| bytes == b"oame 1500"),
        "it is as it was"
    );
    assert_eq!((damage.rows, damage.entries, damage.unsent.len()), (kept.len() as u64, 20, 0));
    assert_eq!((kept.len(), damage.pages, damage.lost), (1999, 1, 1));
    for stored in &kept {
        let copy = larder_core::Record::copy(&PERSON, &*stored.row).unwrap();
        assert_eq!(copy, row(u32::try_from(id_of(&key_of(stored, &PERSON))).unwrap()));
    }
    assert!(store.revision() > revision);
    assert_eq!(store.outbox(&cx(), 0, 100).await.unwrap().entries.len(), 20);
    assert!(store.check(&cx()).await.unwrap().is_sound());
    save(&*store, [row(1500)]).await;
    drop(store);
    // It is told until it is acknowledged, also after a wipe.
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    assert!(
        store.damage().as_ref() == Some(&damage) && find(&*store, &PERSON, 1500).await.unwrap().is_some()
    );
    store.acknowledge(&cx(), &larder_core::Damage { lost: 7, ..damage.clone() }).await.unwrap();
    store.wipe(&cx()).await.unwrap();
    assert_eq!(store.damage().as_ref(), Some(&damage));
    drop(store);
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    assert_eq!(store.damage().as_ref(), Some(&damage));
    store.acknowledge(&cx(), &damage).await.unwrap();
    assert!(store.damage().is_none() && store.check(&cx()).await.unwrap().is_sound());
    drop(store);
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    assert!(store.damage().is_none());
    #[cfg(unix)]
    for file in [&path, &asides(directory.path())[0]] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "nothing else is left behind");
}

fn id_of(key: &Key) -> i128 {
    match key {
        Key::Int(id) => *id,
        other => panic!("{other}"),
    }
}

// Rules: d-salvage
#[tokio::test]
async fn a_page_that_is_gone_takes_no_other_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 600, 20).await;
    let sound = std::fs::read(&path).unwrap();
    // Two pages lie above all the others: where the state begins, and where the tree does.
    let (mut nothing, mut no_rows, mut some) = (0, 0, 0);
    for page in 1..sound.len() / PAGE {
        let mut bytes = sound.clone();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        let path = directory.path().join(format!("{page}.redb"));
        std::fs::write(&path, &bytes).unwrap();
        let opened = open_on(TestRuntime::inline(), &Redb::at(&path), &[&PERSON]).await;
        let Ok(store) = opened else {
            assert!(
                std::fs::read(&path).unwrap() == bytes,
                "page {page} can't be opened: it is left as it is"
            );
            nothing += 1;
            continue;
        };
        let _ = store.salvage(&cx()).await.unwrap();
        let Some(damage) = store.damage() else { continue };
        assert!(damage.rows + damage.lost >= 600, "what can't be reached is lost: {damage:?}");
        assert!(store.check(&cx()).await.unwrap().is_sound());
        let rows = get(&*store, &PERSON, &Query::all()).await.unwrap();
        assert!(
            rows.len() as u64 == damage.rows
                && rows.iter().all(|stored| {
                    let copy = larder_core::Record::copy(&PERSON, &*stored.row).unwrap();
                    copy == row(u32::try_from(id_of(&key_of(stored, &PERSON))).unwrap())
                })
        );
        match damage.rows {
            0 => no_rows += 1,
            // No leaf has as many.
            rows => assert!(rows > 500, "page {page}: {damage:?}"),
        }
        some += u32::from(damage.rows < 600);
    }
    assert!(nothing == 1 && no_rows == 1 && some > 10, "{nothing}, {no_rows}, {some}");
}

// Rules: d-salvage, d-salvage-status
#[tokio::test]
async fn a_file_that_can_t_be_opened_any_more_is_salvaged_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 500, 5).await;
    tamper(&path, COUNTERS, |_, value| {
        value[5] ^= 1;
        true
    });
    assert_eq!(kind(open(&at(&path), &[&PERSON]).await), ErrorKind::Corrupt);
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    let damage = store.damage().unwrap();
    assert_eq!((damage.rows, damage.entries), (500, 5));
    assert!(damage.cause.contains("counters"), "{}", damage.cause);
    // The numbers that may have been handed out are not handed out again.
    let next = commit(&*store, [Op::Enqueue(crate::outbox::entry(&PERSON, row(7)))]).await.unwrap();
    assert!(next.seqs[0] > 5 && next.revision > 5, "{next:?}");
    assert_eq!(store.outbox_counts(&cx()).await.unwrap().entries, 6);
    drop(store);
    // Each time it gets a name of its own, and both are told of, the newest first.
    tamper(&path, COUNTERS, |_, value| {
        value[5] ^= 1;
        true
    });
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    assert_eq!(asides(directory.path()).len(), 2);
    let second = store.damage().unwrap();
    assert!(second.aside.ends_with("damaged-2") && second.entries == 6, "{second:?}");
    store.acknowledge(&cx(), &second).await.unwrap();
    assert_eq!(store.damage(), Some(damage.clone()));
    store.acknowledge(&cx(), &damage).await.unwrap();
    assert_eq!(store.damage(), None);
}

// Rules: d-salvage
#[tokio::test]
async fn rows_and_entries_that_lost_each_other_are_brought_together() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 10, 4).await;
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    let before = store.load(&cx(), &PERSON, &0.into()).await.unwrap().unwrap().meta.revision;
    drop(store);
    // The rows 0 to 3 have the entries 1 to 4.
    remove(&path, OUTBOX, |key| key.ends_with(&[1]));
    remove(&path, ROWS, |key| key.ends_with(&[1]));
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    let damage = store.salvage(&cx()).await.unwrap().expect("there is damage");
    assert_eq!(damage.unsent, [("Person".to_owned(), Key::from(0))]);
    assert!(damage.cause.contains("outbox entry #1 is not there"), "what was found first: {}", damage.cause);
    assert!(store.check(&cx()).await.unwrap().is_sound());
    let orphan = store.load(&cx(), &PERSON, &0.into()).await.unwrap().unwrap();
    assert_eq!((orphan.meta.tail, orphan.meta.sync.state), (0, larder_core::RowState::Synced));
    assert!(orphan.meta.revision > before, "who relies on what it was reads it again");
    let again = store.load(&cx(), &PERSON, &1.into()).await.unwrap().unwrap();
    assert_eq!((again.meta.tail, again.meta.sync.state), (2, larder_core::RowState::Pending));
    assert_eq!(string(&*again.row.unwrap(), 1), "name 1");
    assert_eq!(all(&*store).await.len(), 10);
    // Nothing is wrong any more, so nothing is done.
    assert!(store.salvage(&cx()).await.unwrap().is_none());
    assert_eq!(asides(directory.path()).len(), 1);
}

// Rules: d-salvage, d-salvage-uncertain
#[tokio::test]
async fn an_entry_on_a_damaged_page_counts_as_perhaps_sent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 30, 30).await;
    let mut bytes = std::fs::read(&path).unwrap();
    // One bit of the name in one entry: the others on its page are as they were.
    let entries: Vec<_> = crate::damage::pairs(&path, OUTBOX);
    let (_, victim) = &entries[10];
    let at = bytes.windows(victim.len()).rposition(|window| window == victim.as_slice()).unwrap();
    bytes[at + victim.len() / 2] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    let damage = store.salvage(&cx()).await.unwrap().expect("there is damage");
    assert_eq!((damage.entries, damage.lost), (29, 1), "{damage:?}");
    let entries = store.outbox(&cx(), 0, 100).await.unwrap().entries;
    let marked: BTreeMap<u64, bool> = entries.iter().map(|entry| (entry.seq, entry.mark.is_some())).collect();
    assert!(!marked.contains_key(&11));
    assert!(marked[&10] && marked[&12], "they lie beside it: {marked:?}");
    assert!(marked.values().any(|marked| !marked), "those of sound pages are as they were: {marked:?}");
}

// Rules: d-salvage
#[tokio::test]
async fn the_page_of_the_notes_is_there_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 100, 3).await;
    tamper(&path, 0x02, |_, value| {
        value[4] ^= 1;
        true
    });
    tamper(&path, 0x03, |_, value| {
        value[4] ^= 1;
        true
    });
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    assert_eq!(store.damage().map(|damage| (damage.rows, damage.entries)), Some((100, 3)));
    assert_eq!(get(&*store, &PERSON, &Query::all()).await.unwrap().len(), 100);
    assert_eq!(store.outbox(&cx(), 0, 10).await.unwrap().entries.len(), 3);
}

// Rules: d-salvage
#[tokio::test]
async fn what_another_version_of_the_application_keeps_is_salvaged_as_well() {
    static OTHER: Schema = Schema::new("Other", PERSON.fields, KeyDef::natural(&[0])).indexes(PERSON.indexes);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&Redb::at(&path), &[&PERSON, &OTHER]).await.unwrap();
    commit(&*store, (0..50).map(|id| put(&OTHER, row(id)))).await.unwrap();
    drop(store);
    tamper(&path, COUNTERS, |_, value| {
        value[5] ^= 1;
        true
    });
    drop(open(&Redb::at(&path), &[&PERSON]).await.unwrap());
    let store = open(&Redb::at(&path), &[&PERSON, &OTHER]).await.unwrap();
    assert_eq!(keys(&*store, &OTHER, &Query::all()).await.len(), 50);
    assert!(store.check(&cx()).await.unwrap().is_sound(), "its indexes were built anew");
}

// Rules: d-format, d-salvage
#[tokio::test]
async fn what_is_not_ours_or_newer_is_never_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    std::fs::write(&path, "a text file that is certainly no database".repeat(1000)).unwrap();
    let error = open(&Redb::at(&path), &[&PERSON]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(message(&error).contains("no database of this application"), "the first word says more: {error}");
    let other = directory.path().join("b.redb");
    let database = redb::Database::create(&other).unwrap();
    let transaction = database.begin_write().unwrap();
    let definition = redb::TableDefinition::<&[u8], &[u8]>::new("larder");
    transaction.open_table(definition).unwrap().insert([0x20].as_slice(), [1].as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(kind(open(&Redb::at(&other), &[&PERSON]).await), ErrorKind::Corrupt);
    assert!(asides(directory.path()).is_empty());
    // Told to leave it alone, it does; and what lies in no file can't be moved.
    let path = directory.path().join("c.redb");
    filled(&path, 10, 0).await;
    tamper(&path, COUNTERS, |_, value| {
        value[5] ^= 1;
        true
    });
    let config = Redb::at(&path).on_corrupt(OnCorrupt::Fail);
    assert_eq!(kind(open(&config, &[&PERSON]).await), ErrorKind::Corrupt);
    assert!(asides(directory.path()).is_empty());
    let store = persons().await;
    assert_eq!(kind(store.salvage(&cx()).await), ErrorKind::Unsupported);
}

// Rules: d-second
#[tokio::test]
async fn a_check_does_not_let_go_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 10, 0).await;
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    store.check(&cx()).await.unwrap();
    store.size(&cx()).await.unwrap();
    assert_eq!(kind(open(&Redb::at(&path), &[&PERSON]).await), ErrorKind::Storage);
}

// Rules: d-unfinished
#[tokio::test]
async fn a_file_whose_making_was_cut_short_is_made_anew_and_a_lost_header_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    std::fs::write(&path, vec![0; 64 << 10]).unwrap();
    drop(open(&Redb::at(&path), &[&PERSON]).await.unwrap());
    filled(&path, 10, 0).await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..4096].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(kind(open(&Redb::at(&path), &[&PERSON]).await), ErrorKind::Corrupt);
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left alone");
}

// Rules: d-check
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "it would go on for ever")]
async fn a_check_comes_to_an_end_though_the_store_can_be_opened_and_not_be_read() {
    let disk = Disk::default();
    let store = open(&disk.config(), &[&PERSON]).await.unwrap();
    commit(&*store, (0..500).map(|id| put(&PERSON, person(id, "Ada", "", 1)))).await.unwrap();
    drop(store);
    let bytes = disk.bytes();
    let mut noticed = 0;
    for offset in (PAGE..bytes.len()).step_by(PAGE) {
        for reads in 1..6 {
            let disk = Disk::of(bytes.clone()).wearing(offset as u64, reads);
            let Ok(store) = open(&disk, &[&PERSON]).await else { continue };
            let checked = tokio::time::timeout(Duration::from_secs(60), store.check(&cx())).await;
            let found = checked.unwrap_or_else(|_| panic!("it goes on for ever: {reads} reads at {offset}"));
            noticed += match found {
                Ok(found) => usize::from(!found.is_sound()),
                Err(error) => usize::from(error.kind() == ErrorKind::Corrupt),
            };
        }
    }
    assert!(noticed >= 10, "{noticed}");
}

// Rules: d-format, d-salvage
#[tokio::test]
async fn a_damaged_file_of_a_newer_format_is_left_as_it_is() {
    for newer in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.redb");
        filled(&path, 3_000, 0).await;
        if newer {
            make_newer(&path);
        }
        // It lacks its end, so that it can't even be opened.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 4096);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(kind(open(&at(&path), &[&PERSON]).await), ErrorKind::Corrupt);
        let opened = open(&Redb::at(&path), &[&PERSON]).await;
        if newer {
            assert_eq!(kind(opened), ErrorKind::Unsupported);
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
        } else {
            assert!(opened.unwrap().damage().is_some(), "one of ours is salvaged");
        }
    }
}

// Rules: d-salvage
#[tokio::test]
async fn a_store_that_was_told_to_fail_goes_on_with_the_file_that_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 100, 0).await;
    tamper(&path, ROWS, |key, value| {
        let is_it = key.last() == Some(&7);
        if is_it {
            let last = value.len() - 1;
            value[last] ^= 1;
        }
        is_it
    });
    let store = open(&at(&path), &[&PERSON]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Corrupt);
        // Whatever the store does about it comes before this.
        save(&*store, [row(500)]).await;
        assert!(store.damage().is_none() && asides(directory.path()).is_empty());
    }
    assert!(find(&*store, &PERSON, 500).await.unwrap().is_some());
}

// Rules: d-salvage, d-salvage-status
#[tokio::test]
async fn what_a_newer_state_held_is_told_as_gone_if_the_one_before_it_is_salvaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.redb");
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    save(&*store, (0..40).map(row)).await;
    let mut went_back = 0;
    for queued in 1..=12 {
        enqueue(&*store, queued).await;
        // As a kill leaves it: the last two states are in it.
        let killed = std::fs::read(&path).unwrap();
        let used = killed.chunks(PAGE).rposition(|page| page.iter().any(|byte| *byte != 0)).unwrap();
        for pages in used.saturating_sub(8)..=used {
            let path = directory.path().join(format!("{queued}-{pages}.redb"));
            std::fs::write(&path, &killed[..pages * PAGE]).unwrap();
            let Ok(store) = open(&Redb::at(&path), &[&PERSON]).await else { continue };
            let Some(damage) = store.damage() else { continue };
            if damage.entries < u64::from(queued) {
                assert!(damage.pages > 0, "{queued} queued, cut off at page {pages}: {damage:?}");
                went_back += 1;
            }
        }
    }
    assert!(went_back > 0);
}
