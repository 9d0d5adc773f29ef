//! What opening does to the medium.

use std::sync::Arc;

use larder_core::{ErrorKind, Key, Query, ValueRef};
use larder_redb::Redb;
use larder_redb::backend::{self, CountingBackend, Counts};

use crate::damage::{COUNTERS, ROWS, kind, pairs, tamper};
use crate::disk::Disk;
use crate::findings::insert;
use crate::salvage::{filled, remove};
use crate::support::*;

/// Where two states of a medium differ.
fn differences(one: &[u8], other: &[u8]) -> Vec<usize> {
    assert_eq!(one.len(), other.len());
    (0..one.len()).filter(|at| one[*at] != other[*at]).collect()
}

// Rules: d-untouched
#[tokio::test]
async fn a_store_that_is_only_read_leaves_the_medium_as_it_was() {
    let disk = Disk::default();
    let store = open(&disk.config(), &[&PERSON]).await.unwrap();
    save(&*store, (1..200).map(|id| person(id, "Ada", "", 36))).await;
    drop(store);
    let (closed, _) = (disk.bytes(), disk.take_syncs());

    let store = open(&disk.config(), &[&PERSON]).await.unwrap();
    assert_eq!(get(&*store, &PERSON, &Query::all()).await.unwrap().len(), 199);
    assert!(store.load(&cx(), &PERSON, &Key::from(7)).await.unwrap().is_some());
    assert!(differences(&closed, &disk.bytes()).is_empty(), "nothing was written");
    assert!(disk.take_syncs().is_empty(), "nothing was waited for");

    drop(store);
    assert!(
        differences(&closed, &disk.bytes()).is_empty() && disk.take_syncs().is_empty(),
        "nor when it was closed"
    );

    let store = open(&disk.config(), &[&PERSON]).await.unwrap();
    save(&*store, [person(7, "Grace", "", 37)]).await;
    let syncs = disk.take_syncs();
    assert_eq!(differences(&closed, &syncs[0]), [9], "that it is open is durable before anything else");
    // A kill now leaves what has to be verified, and has the row.
    let left = open(&Disk::of(syncs.last().unwrap().clone()).config(), &[&PERSON]).await.unwrap();
    let row = left.load(&cx(), &PERSON, &Key::from(7)).await.unwrap().unwrap();
    assert!(matches!(row.row.unwrap().field(1), Ok(ValueRef::Str("Grace"))));
    drop(store);
    assert_ne!(disk.bytes()[9] & 2, 2, "it was closed");
}

// Rules: d-untouched
#[tokio::test]
async fn opening_reading_and_closing_write_nothing_whatever_was_read_and_whoever_opens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let counts = Arc::new(Counts::default());
    let (counted, file) = (counts.clone(), path.clone());
    let counting = Redb::at(&path)
        .backend(move || Ok(Box::new(CountingBackend::new(backend::file(&file)?, counted.clone()))));
    let store = open(&counting, &[&PERSON]).await.unwrap();
    save(&*store, (1..2_000).map(|id| person(id, "Ada", &format!("{id}@x"), 36))).await;
    drop(store);
    let (before, bytes) = ((counts.writes(), counts.syncs()), std::fs::read(&path).unwrap());
    for reads in 0..3 {
        let store = open(&counting, &[&PERSON]).await.unwrap();
        if reads > 0 {
            assert_eq!(all(&*store).await.len(), 1_999);
        }
        if reads > 1 {
            assert!(store.check(&cx()).await.unwrap().is_sound());
            assert_eq!(store.outbox(&cx(), 0, 100).await.unwrap().last, 0);
        }
        drop(store);
        assert_eq!((counts.writes(), counts.syncs()), before, "read {reads}");
    }
    assert!(std::fs::read(&path).unwrap() == bytes);
    // And it is a file like any other.
    let store = open(&counting, &[&PERSON]).await.unwrap();
    save(&*store, [person(1, "Grace", "", 37)]).await;
    assert!(store.check(&cx()).await.unwrap().is_sound());
}

// Rules: d-open-at-once
#[tokio::test]
async fn a_closed_file_that_needs_nothing_is_opened_on_the_calling_thread_and_no_other_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let config = Redb::at(&path);
    let here = async |schema| open_on(TestRuntime::without_threads(), &config, &[schema]).await;
    assert_eq!(kind(here(&PERSON).await), ErrorKind::Storage, "it would have to be made");
    assert!(!path.exists());
    let store = open(&config, &[&PERSON]).await.unwrap();
    save(&*store, (1..200).map(|id| person(id, "Ada", "", 36))).await;
    let open_elsewhere = kind(here(&PERSON).await);
    assert_eq!(open_elsewhere, ErrorKind::Storage);
    let killed = std::fs::read(&path).unwrap();
    drop(store);

    let store = here(&PERSON).await.unwrap();
    assert!(store.load(&cx(), &PERSON, &Key::from(7)).await.unwrap().is_some());
    drop(store);
    let closed = std::fs::read(&path).unwrap();
    assert_eq!(
        kind(here(&crate::migration::V1).await),
        ErrorKind::Storage,
        "a model would have to be noted down"
    );
    assert!(std::fs::read(&path).unwrap() == closed, "nothing was written");

    std::fs::write(&path, killed).unwrap();
    assert_eq!(kind(here(&PERSON).await), ErrorKind::Storage, "all of it would have to be verified");
    drop(open(&config, &[&PERSON]).await.unwrap());
    here(&PERSON).await.unwrap();
}

/// Format 1 has the counters behind the outbox.
// Rules: d-format
#[tokio::test]
async fn a_file_of_an_older_format_is_one_of_todays_once_it_has_been_opened_or_salvaged() {
    const FORMAT: u8 = 0x01;
    const BEHIND: u8 = 0x51;
    let directory = tempfile::tempdir().unwrap();
    for damaged in [false, true] {
        let path = directory.path().join(format!("{damaged}.redb"));
        filled(&path, 20, 0).await;
        let (todays, counters) = (pairs(&path, FORMAT), pairs(&path, COUNTERS));
        tamper(&path, FORMAT, |_, value| {
            *value = sealed(&[&value[4..value.len() - 2], &[1, 0]].concat());
            true
        });
        insert(&path, &[BEHIND], &counters[0].1);
        remove(&path, COUNTERS, |_| true);
        assert_ne!(pairs(&path, FORMAT), todays);
        if damaged {
            tamper(&path, ROWS, |key, value| {
                let last = value.len() - 1;
                value[last] ^= 1;
                key.ends_with(&[7])
            });
        }
        let store = open_on(TestRuntime::inline(), &Redb::at(&path), &[&PERSON]).await.unwrap();
        assert_eq!(store.salvage(&cx()).await.unwrap().is_some(), damaged);
        drop(store);
        assert_eq!(pairs(&path, FORMAT), todays);
        assert_eq!((pairs(&path, COUNTERS).len(), pairs(&path, BEHIND).len()), (1, 0));
        // There is nothing left to do, but for the name of one that was salvaged.
        let here = open_on(TestRuntime::without_threads(), &Redb::at(&path), &[&PERSON]).await;
        assert_eq!(here.is_ok(), !damaged);
        drop(here);
        let store = open_on(TestRuntime::inline(), &Redb::at(&path), &[&PERSON]).await.unwrap();
        assert_eq!(all(&*store).await.len(), 20 - usize::from(damaged));
    }
}
