//! Files that are not closed in order: what makes a store leave its file, and which of its states counts then.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_core::{Batch, ErrorKind, Expect, KeyDef, Op, Query, Schema, Store};
use larder_redb::Redb;

use crate::damage::{COUNTERS, at, kind, tamper};
use crate::hooked::{Hooked, Step};
use crate::outbox::entry;
use crate::salvage::{filled, row};
use crate::support::*;

const PAGE: usize = 4096;
const FLAGS: usize = 9;
/// The flag of a file that is open, or was not closed.
const OPEN: u8 = 2;

fn is_closed(path: &Path) -> bool {
    std::fs::read(path).unwrap()[FLAGS] & OPEN == 0
}

/// Every place where `text` lies, by page.
fn places(bytes: &[u8], text: &str) -> Vec<usize> {
    (PAGE..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect()
}

fn alter(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// The page of a row is gone.
fn erase(path: &Path, name: &str) {
    alter(path, |bytes| {
        for place in places(&bytes.clone(), name) {
            bytes[place / PAGE * PAGE..][..PAGE].fill(0);
        }
    });
}

/// Each way of coming across damage; how often the file was opened after it was met, and closed in order in between.
// Rules: d-closing
#[tokio::test]
async fn a_file_is_left_as_it_is_by_whatever_its_damage_was_met() {
    async fn read(store: &dyn Store) -> ErrorKind {
        kind(get(store, &PERSON, &Query::all()).await)
    }
    async fn write(store: &dyn Store) -> ErrorKind {
        kind(commit(store, [put(&PERSON, row(1500))]).await)
    }
    async fn expect(store: &dyn Store) -> ErrorKind {
        let expect = vec![Expect::Row { schema: &PERSON, key: 1500.into(), revision: 1 }];
        kind(store.commit(&cx(), Batch { expect, ops: vec![put(&PERSON, row(1))] }).await)
    }
    async fn compact(store: &dyn Store) -> ErrorKind {
        kind(store.compact(&cx()).await)
    }
    type Meets = for<'s> fn(&'s dyn Store) -> larder_core::runtime::BoxFuture<'s, ErrorKind>;
    let ways: [(&str, Meets); 4] = [
        ("read", |store| Box::pin(read(store))),
        ("written", |store| Box::pin(write(store))),
        ("expected", |store| Box::pin(expect(store))),
        ("given back", |store| Box::pin(compact(store))),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (way, meets) in ways {
        let (path, files) = (directory.path().join(way), Hooked::default());
        filled(&path, 2_000, 0).await;
        let config = files.config(&path).on_corrupt(larder_redb::OnCorrupt::Fail);
        let store = open_on(TestRuntime::inline(), &config, &[&PERSON]).await.unwrap();
        // It is marked as open.
        save(&*store, [row(2_000)]).await;
        if way == "expected" {
            alter(&path, |bytes| places(&bytes.clone(), "name 1500").iter().for_each(|at| bytes[*at] ^= 1));
        } else {
            erase(&path, "name 1500");
        }
        let closed = Arc::new(AtomicU64::new(0));
        let (counted, file) = (closed.clone(), path.clone());
        files.set(move |step| {
            if matches!(step, Step::Open(path) if path == file && is_closed(path)) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        });
        assert_eq!(meets(&*store).await, ErrorKind::Corrupt, "{way}");
        let _ = find(&*store, &PERSON, 1).await;
        drop(store);
        assert!(closed.load(Ordering::SeqCst) == 0 && !is_closed(&path), "{way}: it was closed in order");
    }
}

// Rules: d-closing
#[tokio::test]
async fn a_file_whose_own_pages_are_altered_under_an_open_store_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("a.redb"), directory.path().join("b.redb"));
    filled(&path, 50, 0).await;
    let (mut left, pages) = (0, std::fs::read(&path).unwrap().len() / PAGE);
    for page in 1..pages {
        std::fs::copy(&path, &copy).unwrap();
        let store = open_on(TestRuntime::inline(), &at(&copy), &[&PERSON]).await.unwrap();
        save(&*store, [row(50)]).await;
        alter(&copy, |bytes| bytes[page * PAGE + 9] ^= 0x10);
        drop(store);
        left += u32::from(!is_closed(&copy));
    }
    assert!(left > 0 && left < 10, "{left} of {pages} pages are redb's own");
}

// Rules: d-closing
#[tokio::test]
async fn a_file_whose_own_pages_can_not_be_read_any_more_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (path, files) = (directory.path().join("a.redb"), Hooked::default());
    filled(&path, 50, 0).await;
    let store = open_on(TestRuntime::inline(), &files.config(&path), &[&PERSON]).await.unwrap();
    save(&*store, [row(50)]).await;
    files.set(|step| match step {
        Step::Read(0, ..) => Err(io::Error::other("not now")),
        _ => Ok(()),
    });
    drop(store);
    assert!(!is_closed(&path));
}

// Rules: d-untouched, d-closing
#[tokio::test]
async fn an_opening_that_is_given_up_writes_nothing() {
    static OTHER: Schema =
        Schema::new("Person", PERSON.fields, KeyDef::natural(&[1])).indexes(PERSON.indexes);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 50, 2).await;
    let sound = std::fs::read(&path).unwrap();
    for (space, schema, expected) in [
        (0x00, &OTHER, ErrorKind::Invalid),
        (0x01, &PERSON, ErrorKind::Corrupt),
        (0x03, &PERSON, ErrorKind::Corrupt),
        (COUNTERS, &PERSON, ErrorKind::Corrupt),
    ] {
        std::fs::write(&path, &sound).unwrap();
        tamper(&path, space, |_, value| {
            value[5] ^= 1;
            true
        });
        let before = std::fs::read(&path).unwrap();
        assert_eq!(kind(open_on(TestRuntime::inline(), &at(&path), &[schema]).await), expected);
        assert!(std::fs::read(&path).unwrap() == before, "{expected:?}, space {space}");
        // One that was not closed is repaired by redb, and does not count as closed for that.
        alter(&path, |bytes| bytes[FLAGS] |= OPEN);
        assert_eq!(kind(open_on(TestRuntime::inline(), &at(&path), &[schema]).await), expected);
        assert!(!is_closed(&path), "{expected:?}, space {space}");
    }
}

// Rules: d-closing
#[tokio::test]
async fn a_store_that_has_reopened_itself_is_closed_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (path, files) = (directory.path().join("a.redb"), Hooked::default());
    filled(&path, 50, 0).await;
    let store = open_on(TestRuntime::inline(), &files.config(&path), &[&PERSON]).await.unwrap();
    files.set(|step| match step {
        Step::Write => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    });
    assert_eq!(kind(commit(&*store, [put(&PERSON, row(50))]).await), ErrorKind::Full);
    files.clear();
    save(&*store, [row(50)]).await;
    drop(store);
    assert!(is_closed(&path));
}

/// The new file is closed in order before it has its name, so that whoever opens it has nothing to write.
// Rules: d-salvage-faults
#[tokio::test]
async fn nothing_is_written_to_a_file_that_was_salvaged_before_its_name_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let (path, files) = (directory.path().join("a.redb"), Hooked::default());
    filled(&path, 50, 2).await;
    tamper(&path, COUNTERS, |_, value| {
        value[5] ^= 1;
        true
    });
    let names = Arc::new(AtomicU64::new(0));
    let since = names.clone();
    files.set(move |step| {
        match step {
            Step::Name => since.fetch_add(1, Ordering::SeqCst),
            Step::Write => since.swap(0, Ordering::SeqCst),
            _ => 0,
        };
        Ok(())
    });
    let store = open_on(TestRuntime::inline(), &files.config(&path), &[&PERSON]).await.unwrap();
    assert!(store.damage().is_some());
    // The second name and the name, each made durable, and once more by whoever opens it.
    assert_eq!(names.load(Ordering::SeqCst), 5, "done to names since the last write");
}

/// Closing the new file is part of making it: one that redb could not end is not put in the damaged one's place.
// Rules: d-salvage-faults
#[tokio::test]
async fn whichever_write_of_a_salvage_is_the_first_that_fails_the_damaged_file_stays_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 50, 2).await;
    tamper(&path, COUNTERS, |_, value| {
        value[5] ^= 1;
        true
    });
    let damaged = std::fs::read(&path).unwrap();
    let mut failed = 0;
    loop {
        let (files, written) = (Hooked::default(), AtomicU64::new(0));
        files.set(move |step| match step {
            Step::Write | Step::Sync if written.fetch_add(1, Ordering::SeqCst) >= failed => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        });
        match open_on(TestRuntime::inline(), &files.config(&path), &[&PERSON]).await {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{failed}: {error}"),
        }
        assert!(
            std::fs::read(&path).unwrap() == damaged,
            "another file took its place after {failed} writes"
        );
        failed += 1;
    }
    assert!(failed > 20, "{failed}");
    assert!(open(&Redb::at(&path), &[&PERSON]).await.unwrap().damage().is_some());
}

// Rules: d-salvage
#[tokio::test]
async fn a_damaged_file_goes_aside_as_it_is_though_nobody_has_come_across_it_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 500, 0).await;
    let store = open_on(TestRuntime::inline(), &Redb::at(&path), &[&PERSON]).await.unwrap();
    save(&*store, [row(500)]).await;
    erase(&path, "name 100");
    let damaged = std::fs::read(&path).unwrap();
    let damage = store.salvage(&cx()).await.unwrap().unwrap();
    assert!(std::fs::read(&damage.aside).unwrap()[PAGE..] == damaged[PAGE..]);
    assert!(find(&*store, &PERSON, 500).await.unwrap().is_some());
}

/// What was told to have failed does not take the place of what was told to be durable.
// Rules: d-closing
#[tokio::test]
async fn a_doubted_store_does_not_keep_a_commit_that_has_failed() {
    let directory = tempfile::tempdir().unwrap();
    let (path, files) = (directory.path().join("a.redb"), Hooked::default());
    filled(&path, 2_000, 0).await;
    let config = files.config(&path).on_corrupt(larder_redb::OnCorrupt::Fail);
    let store = open_on(TestRuntime::inline(), &config, &[&PERSON]).await.unwrap();
    save(&*store, [row(0)]).await;
    alter(&path, |bytes| places(&bytes.clone(), "name 1500").iter().for_each(|at| bytes[*at] ^= 1));
    assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Corrupt);
    // All of it is written, and whether it lasts is not known.
    files.set(|step| match step {
        Step::Sync => Err(io::Error::other("not now")),
        _ => Ok(()),
    });
    assert_eq!(kind(commit(&*store, [put(&PERSON, row(1))]).await), ErrorKind::Storage);
    files.clear();
    drop(store);
    let header = std::fs::read(&path).unwrap();
    assert!(!is_closed(&path) && header[64..192] != header[192..320], "the state before it is there");
}

/// Two states of a file that was not closed share most of their pages; each has a row that the other has not.
async fn killed(path: &Path) -> Vec<u8> {
    filled(path, 500, 0).await;
    let store = open(&Redb::at(path), &[&PERSON]).await.unwrap();
    save(&*store, [row(8_000)]).await;
    save(&*store, [row(9_000)]).await;
    let bytes = std::fs::read(path).unwrap();
    drop(store);
    bytes
}

async fn salvaged(path: PathBuf, bytes: &[u8]) -> Arc<dyn Store> {
    std::fs::write(&path, bytes).unwrap();
    let store = open_on(TestRuntime::inline(), &Redb::at(&path), &[&PERSON]).await.unwrap();
    assert!(store.damage().is_some());
    store
}

// Rules: d-salvage
#[tokio::test]
async fn of_two_states_that_are_damaged_alike_the_newer_one_is_salvaged() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = killed(&directory.path().join("a.redb")).await;
    // A page that both have.
    let mut altered = bytes.clone();
    for place in places(&bytes, "name 100") {
        altered[place] ^= 1;
    }
    // A power cut may leave the newer one in either place, whichever the header says.
    for other in [0, 1] {
        altered[FLAGS] ^= other;
        let store = salvaged(directory.path().join(format!("{other}.redb")), &altered).await;
        assert!(find(&*store, &PERSON, 9_000).await.unwrap().is_some(), "{other}");
        assert!(find(&*store, &PERSON, 100).await.unwrap().is_none());
    }
}

/// Where the two states begin, by page: all of what they lead to lies in single pages of the first region.
fn beginnings(bytes: &[u8]) -> [usize; 2] {
    [64, 192].map(|slot| 1 + u32::from_le_bytes(*bytes[slot + 8..].first_chunk().unwrap()) as usize)
}

// Rules: d-salvage
#[tokio::test]
async fn a_file_that_was_cut_off_is_salvaged_by_whichever_state_begins_in_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let whole = killed(&directory.path().join("a.redb")).await;
    let (beginnings, pages) = (beginnings(&whole), whole.len() / PAGE);
    let (mut nothing, mut everything) = (0, 0);
    for pages in (1..pages).step_by(3) {
        let mut found = Vec::new();
        for other in [0, 1] {
            // It ends in the middle of a page, so redb has not even put the header right.
            let mut bytes = whole[..pages * PAGE + 100].to_vec();
            bytes[FLAGS] ^= other;
            let path = directory.path().join(format!("{pages}-{other}.redb"));
            if beginnings.iter().any(|page| *page < pages) {
                let store = salvaged(path, &bytes).await;
                let damage = store.damage().unwrap();
                found.push((all(&*store).await, damage.pages, damage.lost));
                continue;
            }
            std::fs::write(&path, &bytes).unwrap();
            let opened = open_on(TestRuntime::inline(), &Redb::at(&path), &[&PERSON]).await;
            assert_eq!(kind(opened), ErrorKind::Corrupt, "cut off at page {pages}");
            assert!(std::fs::read(&path).unwrap() == bytes, "it is left as it is");
            nothing += 1;
        }
        let Some((rows, ..)) = found.first() else { continue };
        assert!(found[0] == found[1], "cut off at page {pages}");
        everything += u32::from(rows.len() > 500);
    }
    assert!(nothing > 0 && everything > 1, "{nothing}, {everything}");
}

// Rules: d-salvage
#[tokio::test]
async fn of_two_states_the_one_with_fewer_damaged_pages_is_salvaged() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = killed(&directory.path().join("a.redb")).await;
    for place in places(&bytes, "name 100") {
        bytes[place] ^= 1;
    }
    let newest = places(&bytes, "name 9000");
    assert!(!newest.is_empty());
    for place in newest {
        bytes[place] ^= 1;
    }
    let store = salvaged(directory.path().join("b.redb"), &bytes).await;
    let damage = store.damage().unwrap();
    assert!(find(&*store, &PERSON, 8_000).await.unwrap().is_some(), "{damage:?}");
    assert!(damage.pages >= 2, "what the newer one held is told as gone: {damage:?}");
}

/// Where the newest state does not verify, redb goes back to the one before it: what is torn of that one may say that there are
/// no tables at all.
// Rules: d-salvage
#[tokio::test]
async fn a_torn_state_is_never_taken_for_an_empty_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = killed(&directory.path().join("a.redb")).await;
    let before = 1 - usize::from(bytes[FLAGS] & 1);
    bytes[64 + before * 128 + 1] = 0;
    for place in places(&bytes, "name 100") {
        bytes[place] ^= 1;
    }
    let store = salvaged(directory.path().join("b.redb"), &bytes).await;
    assert!(find(&*store, &PERSON, 9_000).await.unwrap().is_some());
    assert!(all(&*store).await.len() > 450, "{:?}", store.damage());
}

// Rules: d-salvage
#[tokio::test]
async fn a_closed_file_of_which_one_state_is_lost_is_salvaged_by_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path, 500, 3).await;
    let sound = std::fs::read(&path).unwrap();
    let counts = usize::from(sound[FLAGS] & 1);
    for slot in [counts, 1 - counts] {
        let path = directory.path().join(format!("{slot}.redb"));
        let mut bytes = sound.clone();
        bytes[64 + slot * 128 + 20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let store = open_on(TestRuntime::inline(), &Redb::at(&path), &[&PERSON]).await.unwrap();
        assert_eq!(all(&*store).await.len(), 500, "{slot}");
        assert_eq!(store.outbox(&cx(), 0, 10).await.unwrap().entries.len(), 3, "{slot}");
        assert!(store.check(&cx()).await.unwrap().is_sound());
    }
}

/// The last commit may have left the counters in any of three places: its state is the one that was told to be durable.
// Rules: d-closing
#[tokio::test]
async fn a_doubted_store_keeps_its_last_commit_wherever_that_left_the_counters() {
    let directory = tempfile::tempdir().unwrap();
    let queue = || Op::Enqueue(entry(&PERSON, row(1)));
    let commits: [(&str, Vec<Op>); 3] = [
        ("their record", vec![put(&PERSON, row(1))]),
        ("the newest entry", vec![queue()]),
        ("the oldest entry", vec![put(&PERSON, row(1))]),
    ];
    for (nth, (place, last)) in commits.into_iter().enumerate() {
        let path = directory.path().join(format!("{nth}.redb"));
        filled(&path, 2_000, 0).await;
        let store = open_on(TestRuntime::inline(), &at(&path).cache_size(0), &[&PERSON]).await.unwrap();
        if nth > 0 {
            commit(&*store, [queue(), queue()]).await.unwrap();
        }
        save(&*store, [row(0)]).await;
        commit(&*store, last).await.unwrap();
        let revision = store.revision();
        // What a reader comes across, and what was written last.
        erase(&path, "name 1500");
        assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Corrupt);
        drop(store);
        let header = std::fs::read(&path).unwrap();
        assert!(header[64..192] == header[192..320], "{place}: there is a state before revision {revision}");
    }
}
