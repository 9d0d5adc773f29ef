//! A file that somebody else takes at whatever moment this one does not have it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use larder_core::ErrorKind;
use larder_redb::StorageBackend;

use crate::damage::{COUNTERS, kind, tamper};
use crate::hooked::{Hooked, Step, nth, take};
use crate::salvage::{asides, filled};
use crate::support::*;

/// What another process has taken.
type Taken = Arc<Mutex<Option<Box<dyn StorageBackend>>>>;

type Meanwhile = fn(&Hooked, &Path, usize) -> Taken;

/// Has another process take the file at `path` before this one takes it for the nth time.
fn another_takes(files: &Hooked, path: &Path, at: usize) -> Taken {
    let (taken, is_it, path) = (Taken::default(), nth(at, 1), path.to_owned());
    let theirs = taken.clone();
    files.set(move |step| {
        if step == Step::Lock(&path) && is_it() {
            *theirs.lock().unwrap() = Some(take(&path));
        }
        Ok(())
    });
    taken
}

/// Has it be a failure when this one takes the file for the nth time.
fn can_t_be_taken(files: &Hooked, path: &Path, at: usize) -> Taken {
    let (is_it, path) = (nth(at, 1), path.to_owned());
    let failed = Taken::default();
    let theirs = failed.clone();
    files.set(move |step| {
        if step == Step::Lock(&path) && is_it() {
            *theirs.lock().unwrap() = Some(larder_redb::backend::file(&path)?);
            return Err(io::Error::other("no locks today"));
        }
        Ok(())
    });
    failed
}

// Rules: d-salvage, d-second
#[tokio::test]
async fn a_damaged_file_that_another_takes_before_it_is_salvaged_stays_his() {
    for (meanwhile, is_another) in [(another_takes as Meanwhile, true), (can_t_be_taken, false)] {
        let directory = tempfile::tempdir().unwrap();
        let (path, files) = (directory.path().join("a.redb"), Hooked::default());
        filled(&path, 10, 2).await;
        tamper(&path, COUNTERS, |_, value| {
            value[5] ^= 1;
            true
        });
        let damaged = std::fs::read(&path).unwrap();
        // What fails once, on the calling thread, is tried again off it.
        for moment in if is_another { 0 } else { 1 }.. {
            let taken = meanwhile(&files, &path, moment);
            let opened = open_on(TestRuntime::inline(), &files.config(&path), &[&PERSON]).await;
            files.clear();
            let another = taken.lock().unwrap().take();
            match (moment, another.is_some()) {
                // At opening, once more off the calling thread, and when it is salvaged.
                (0..=2, true) => {
                    assert_eq!(kind(opened), ErrorKind::Storage, "{moment}");
                    assert!(std::fs::read(&path).unwrap() == damaged, "{moment}: it is left as it is");
                    assert!(asides(directory.path()).is_empty(), "{moment}");
                }
                // It has been salvaged by then.
                (3, true) => {
                    assert_eq!(kind(opened), ErrorKind::Storage);
                    drop(another);
                    let store = open(&files.config(&path), &[&PERSON]).await.unwrap();
                    assert_eq!(store.damage().map(|damage| (damage.rows, damage.entries)), Some((10, 2)));
                }
                _ => {
                    assert!(moment == 4 && opened.unwrap().damage().is_some(), "nobody has taken it");
                    break;
                }
            }
        }
    }
}

// Rules: d-salvage, d-second
#[tokio::test]
async fn an_open_store_whose_file_another_takes_as_it_is_mended_goes_on_when_he_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (path, files) = (directory.path().join("a.redb"), Hooked::default());
    filled(&path, 10, 2).await;
    tamper(&path, crate::damage::ROWS, |key, value| {
        let last = value.len() - 1;
        value[last] ^= 1;
        key.ends_with(&[7])
    });
    let store = open_on(TestRuntime::inline(), &files.config(&path), &[&PERSON]).await.unwrap();
    let taken = another_takes(&files, &path, 0);
    assert_eq!(kind(store.salvage(&cx()).await), ErrorKind::Storage);
    assert!(taken.lock().unwrap().is_some() && asides(directory.path()).is_empty());
    assert_eq!(kind(find(&*store, &PERSON, 1).await), ErrorKind::Storage, "he has it");
    taken.lock().unwrap().take();
    files.clear();
    assert!(find(&*store, &PERSON, 1).await.unwrap().is_some());
    assert_eq!(store.salvage(&cx()).await.unwrap().map(|damage| (damage.rows, damage.entries)), Some((9, 2)));
}

// Rules: d-second, d-unfinished
#[tokio::test]
async fn an_unfinished_file_that_another_takes_is_not_emptied_under_him() {
    let directory = tempfile::tempdir().unwrap();
    let (path, files) = (directory.path().join("a.redb"), Hooked::default());
    let unfinished = vec![0; 64 << 10];
    let mut moments = 0;
    loop {
        std::fs::write(&path, &unfinished).unwrap();
        let taken = another_takes(&files, &path, moments);
        let opened = open_on(TestRuntime::inline(), &files.config(&path), &[&PERSON]).await;
        files.clear();
        if taken.lock().unwrap().is_none() {
            opened.unwrap();
            break;
        }
        // Once it is empty and let go of, it may be another's.
        if moments < 2 {
            assert!(opened.is_err() && std::fs::read(&path).unwrap() == unfinished, "{moments}");
        } else {
            assert_eq!(kind(opened), ErrorKind::Storage);
        }
        moments += 1;
    }
    assert_eq!(moments, 3, "opened, emptied, and opened again");
}
