//! Closing a store: no file, however damaged, ends the process.

use std::path::Path;
use std::process::Command;

use larder_core::{ErrorKind, Op, Query};
use larder_redb::Redb;

use crate::damage::{at, kind};
use crate::support::*;

const PAGE: usize = 4096;

/// Set for the process in which the pages are swapped.
const WITHIN: &str = "LARDER_TEST_SWAPPED_PAGES";

/// A closed store, with pages that its commits have left free.
async fn filled(path: &Path) {
    let store = open_on(TestRuntime::inline(), &Redb::at(path), &[&PERSON]).await.unwrap();
    for round in 0..3 {
        for first in (0..60).step_by(20) {
            let row = |id: u32| person(id, &format!("{round} {id}"), &format!("{id}@x"), i64::from(id));
            let entry = |id| Op::Enqueue(crate::outbox::entry(&PERSON, row(id)));
            let rows = (first..first + 20).map(|id| put(&PERSON, row(id)));
            commit(&*store, rows.chain((first..first + 5).map(entry))).await.unwrap();
        }
    }
}

fn swap(bytes: &mut [u8], one: usize, other: usize) {
    let (left, right) = bytes.split_at_mut(other * PAGE);
    left[one * PAGE..][..PAGE].swap_with_slice(&mut right[..PAGE]);
}

// Rules: d-closing
#[tokio::test]
async fn whichever_pages_are_swapped_a_store_is_used_and_closed_and_the_process_lives() {
    if std::env::var_os(WITHIN).is_some() {
        return swapped().await;
    }
    // In a process of its own: one that ends itself takes no other test with it.
    let name = "closing::whichever_pages_are_swapped_a_store_is_used_and_closed_and_the_process_lives";
    let mut within = Command::new(std::env::current_exe().unwrap());
    let told = within.args(["--exact", name]).env(WITHIN, "1").output().unwrap();
    let last = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{}: {}", told.status, &last[last.len().saturating_sub(2000)..]);
}

async fn swapped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path).await;
    let sound = std::fs::read(&path).unwrap();
    // Those that were ever written.
    let page = |at: usize| sound[at * PAGE..][..PAGE].iter().any(|byte| *byte != 0);
    let pages: Vec<usize> = (1..sound.len() / PAGE).filter(|at| page(*at)).collect();
    let (mut refused, mut wrong) = (0, 0);
    for (nth, one) in pages.iter().enumerate() {
        for other in &pages[nth + 1..] {
            let mut bytes = sound.clone();
            swap(&mut bytes, *one, *other);
            for use_ in 0..3 {
                std::fs::write(&path, &bytes).unwrap();
                let Ok(store) = open_on(TestRuntime::inline(), &at(&path), &[&PERSON]).await else {
                    refused += 1;
                    break;
                };
                match use_ {
                    0 => {}
                    1 => wrong += u32::from(get(&*store, &PERSON, &Query::all()).await.is_err()),
                    _ => {
                        let rows = (0..60).map(|id| put(&PERSON, person(id, &"again".repeat(20), "", 1)));
                        wrong += u32::from(commit(&*store, rows).await.is_err());
                    }
                }
            }
        }
    }
    let pages = pages.len();
    assert!(
        refused > 10 && wrong > 1,
        "{refused} were refused, and {wrong} were noticed later, of {pages} pages"
    );
}

// Rules: d-closing
#[tokio::test]
async fn a_store_that_has_come_across_damage_is_verified_when_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path).await;
    let sound = std::fs::read(&path).unwrap();
    // One bit of a row that only a reader of it comes across.
    let mut bytes = sound.clone();
    let marked = bytes.windows(4).rposition(|bytes| bytes == b"2 59").unwrap();
    bytes[marked] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let closed = async |reads: bool| {
        std::fs::write(&path, &bytes).unwrap();
        let store = open_on(TestRuntime::inline(), &at(&path), &[&PERSON]).await.unwrap();
        let revision = store.revision();
        if reads {
            assert_eq!(kind(get(&*store, &PERSON, &Query::all()).await), ErrorKind::Corrupt);
        }
        drop(store);
        let again = open_on(TestRuntime::inline(), &at(&path), &[&PERSON]).await;
        again.map(|store| assert_eq!(store.revision(), revision, "a commit was lost"))
    };
    closed(false).await.unwrap();
    assert_eq!(kind(closed(true).await), ErrorKind::Corrupt, "all of it was verified");
}

// Rules: d-closing
#[tokio::test]
async fn a_store_whose_own_pages_are_damaged_is_salvaged_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    filled(&path).await;
    let sound = std::fs::read(&path).unwrap();
    let mut salvaged = 0;
    for page in 1..sound.len() / PAGE {
        let mut bytes = sound.clone();
        bytes[page * PAGE + 9] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        if open_on(TestRuntime::inline(), &at(&path), &[&PERSON]).await.is_ok() {
            continue;
        }
        std::fs::write(&path, &bytes).unwrap();
        // Without the page that says where the tables are, nothing is found.
        let Ok(store) = open_on(TestRuntime::inline(), &Redb::at(&path), &[&PERSON]).await else { continue };
        let damage = store.damage().unwrap();
        let whole = damage.rows == 60 && damage.entries == 45;
        assert!(damage.pages > 0, "{damage:?}");
        salvaged += u32::from(whole && damage.cause.contains("its own pages"));
        assert!(store.check(&cx()).await.unwrap().is_sound());
    }
    assert!(salvaged > 0, "pages that hold none of our records take none of them along");
}
