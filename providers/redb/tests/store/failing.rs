//! A medium that fails while the store is looked at, mended, or made smaller: what was not read is not damaged.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use larder_core::{ErrorKind, Op, Query, Store};

use crate::damage::{ROWS, kind, tamper};
use crate::hooked::{Hooked, Step, nth};
use crate::salvage::{asides, filled, row};
use crate::support::*;

async fn opened(files: &Hooked, path: &Path) -> Arc<dyn Store> {
    open_on(TestRuntime::inline(), &files.config(path), &[&PERSON]).await.unwrap()
}

fn flip_row(path: &Path, id: u8) {
    tamper(path, ROWS, |key, value| {
        let last = value.len() - 1;
        value[last] ^= 1;
        key.ends_with(&[id])
    });
}

/// Whichever reads fail, and however many of them.
// Rules: d-check, d-salvage
#[tokio::test]
async fn a_sound_file_is_not_salvaged_whatever_of_it_can_not_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let (path, files) = (directory.path().join("a.redb"), Hooked::default());
    filled(&path, 40, 3).await;
    for many in [1, 2, 9, usize::MAX] {
        let mut failed = 0;
        for first in (0..).step_by(5) {
            let store = opened(&files, &path).await;
            let (is_it, met) = (nth(first, many), Arc::new(AtomicUsize::new(0)));
            let counted = met.clone();
            files.set(move |step| match step {
                Step::Read(..) if is_it() => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    Err(io::Error::other("not now"))
                }
                _ => Ok(()),
            });
            let (checked, salvaged) = (store.check(&cx()).await, store.salvage(&cx()).await);
            files.clear();
            let how = format!("{many} reads from {first} on");
            match checked {
                Ok(found) => assert!(found.is_sound(), "{how}: {found:?}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Storage, "{how}: {error}"),
            }
            match salvaged {
                Ok(salvaged) => assert_eq!(salvaged, None, "{how}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Storage, "{how}: {error}");
                    failed += 1;
                }
            }
            assert!(asides(directory.path()).is_empty() && store.damage().is_none(), "{how}");
            assert_eq!(get(&*store, &PERSON, &Query::all()).await.unwrap().len(), 40, "{how}");
            if met.load(Ordering::SeqCst) == 0 {
                break;
            }
        }
        assert!(failed > 0 || many == 1, "{many}");
    }
}

// Rules: d-salvage
#[tokio::test]
async fn a_salvage_asks_twice_for_what_it_reads() {
    let directory = tempfile::tempdir().unwrap();
    let mut salvaged = Vec::new();
    for fails in [false, true] {
        let (path, files) = (directory.path().join(format!("{fails}.redb")), Hooked::default());
        filled(&path, 300, 3).await;
        flip_row(&path, 200);
        let store = opened(&files, &path).await;
        let failed = Mutex::new(std::collections::BTreeSet::new());
        files.set(move |step| match step {
            // Whoever reads beside the database: each part fails the first time.
            Step::Read(offset, _, false) if fails && failed.lock().unwrap().insert(offset) => {
                Err(io::Error::other("not now"))
            }
            _ => Ok(()),
        });
        let damage = store.salvage(&cx()).await.unwrap().unwrap();
        files.clear();
        salvaged.push((damage.rows, damage.entries, damage.pages, damage.lost));
        assert!(store.check(&cx()).await.unwrap().is_sound());
    }
    assert_eq!(salvaged[0], salvaged[1]);
    assert_eq!(salvaged[0].0, 299);
}

// Rules: d-compact
#[tokio::test]
async fn space_is_given_back_though_a_page_can_not_be_read_beside_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let (path, files) = (directory.path().join("a.redb"), Hooked::default());
    filled(&path, 300, 0).await;
    let store = opened(&files, &path).await;
    let large = crate::outbox::entry(&PERSON, person(1, &"x".repeat(20_000), "", 1));
    let queued = commit(&*store, (0..50).map(|_| Op::Enqueue(large.clone()))).await.unwrap();
    commit(&*store, queued.seqs.iter().map(|seq| Op::Dequeue(*seq))).await.unwrap();
    let full = store.size(&cx()).await.unwrap().bytes;
    let bytes = std::fs::read(&path).unwrap();
    let bad = bytes.windows(8).rposition(|bytes| bytes == b"name 200").unwrap() as u64;
    files.set(move |step| match step {
        Step::Read(offset, len, false) if offset > 0 && (offset..offset + len as u64).contains(&bad) => {
            Err(io::Error::other("a bad sector"))
        }
        _ => Ok(()),
    });
    let small = store.compact(&cx()).await.unwrap().bytes;
    files.clear();
    assert!(small < full / 2, "{full} became {small}");
    assert_eq!(get(&*store, &PERSON, &Query::all()).await.unwrap().len(), 300);
}

/// One who reads is not served by a state that is let go of under him.
// Rules: d-check
#[tokio::test]
async fn a_check_begins_anew_when_the_store_has_reopened_itself_under_it() {
    for often in [1, 3, usize::MAX] {
        let directory = tempfile::tempdir().unwrap();
        let (path, files) = (directory.path().join("a.redb"), Hooked::default());
        filled(&path, 300, 0).await;
        let between = Arc::new(Between::default());
        let store = open_on(between.clone(), &files.config(&path), &[&PERSON]).await.unwrap();
        let reopens = Arc::downgrade(&store);
        let left = AtomicUsize::new(often);
        let looked = Arc::new(AtomicUsize::new(0));
        let counted = looked.clone();
        between.before_reads(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
                return;
            }
            // A commit that finds no room.
            files.set(|step| match step {
                Step::Write => Err(io::ErrorKind::StorageFull.into()),
                _ => Ok(()),
            });
            let (store, context) = (reopens.upgrade().unwrap(), cx());
            let commit = store.commit(&context, batch([put(&PERSON, row(1))]));
            assert_eq!(kind(futures_util::FutureExt::now_or_never(commit).unwrap()), ErrorKind::Full);
            files.clear();
        });
        let checked = store.check(&cx()).await;
        match often {
            usize::MAX => assert_eq!(kind(checked), ErrorKind::Corrupt, "it comes to an end"),
            _ => assert!(checked.unwrap().is_sound()),
        }
        assert_eq!(looked.load(Ordering::SeqCst), often.saturating_add(1).min(8));
    }
}
