//! Entries and rows that are there twice, one copy of them on a page that is not as it was written.

use std::path::PathBuf;
use std::sync::Arc;

use larder_core::{Key, Op, Store};
use larder_redb::Redb;

use crate::outbox::entry;
use crate::support::*;

const PAGE: usize = 4096;

/// The pages on which `text` lies, by number.
fn pages(bytes: &[u8], text: &str) -> Vec<usize> {
    let lies = |page: &[u8]| page.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    (1..bytes.len() / PAGE).filter(|at| lies(&bytes[at * PAGE..(at + 1) * PAGE])).collect()
}

/// Which of `count` names lie on a page.
fn names(page: &[u8], count: u32, name: impl Fn(u32) -> String) -> Vec<u32> {
    let lies = |id: &u32| page.windows(name(*id).len()).any(|bytes| bytes == name(*id).as_bytes());
    (0..count).filter(lies).collect()
}

/// Opens a copy of `bytes` in which page `to` is the page `from` of `others`; what is damaged is salvaged.
async fn copied(path: PathBuf, bytes: &[u8], to: usize, page: &[u8]) -> Arc<dyn Store> {
    let mut bytes = bytes.to_vec();
    bytes[to * PAGE..(to + 1) * PAGE].copy_from_slice(page);
    std::fs::write(&path, bytes).unwrap();
    let store = open_on(TestRuntime::inline(), &Redb::at(&path), &[&PERSON]).await.unwrap();
    store.salvage(&cx()).await.unwrap();
    store
}

// Rules: d-salvage-uncertain
#[tokio::test]
async fn an_entry_that_lies_on_a_sound_page_as_well_is_as_it_was() {
    const ENTRIES: u32 = 60;
    let name = |nth: u32| format!("entry {nth:03}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    let queued = (0..ENTRIES).map(|nth| Op::Enqueue(entry(&PERSON, person(nth, &name(nth), "", 1))));
    commit(&*store, queued).await.unwrap();
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    let leaves = pages(&bytes, "entry ");
    let mut twice = 0;
    for (from, to) in leaves.iter().flat_map(|from| leaves.iter().map(move |to| (*from, *to))) {
        let page = |at: usize| &bytes[at * PAGE..(at + 1) * PAGE];
        if from == to {
            continue;
        }
        let copy = directory.path().join(format!("{from}-{to}.redb"));
        let store = copied(copy, &bytes, to, page(from)).await;
        if store.damage().is_none() {
            continue;
        }
        let entries = store.outbox(&cx(), 0, usize::MAX).await.unwrap().entries;
        let gone = names(page(to), ENTRIES, name);
        for nth in (0..ENTRIES).filter(|nth| !gone.contains(nth)) {
            let found = entries.iter().find(|entry| entry.key == Key::from(nth)).expect("its page is sound");
            assert!(found.mark.is_none(), "page {to} is page {from}: {nth} may have been sent");
        }
        twice += 1;
    }
    assert!(twice >= 6, "{twice} of {} pages", leaves.len());
}

// Rules: d-salvage
#[tokio::test]
async fn of_two_copies_of_a_row_the_newer_one_is_salvaged() {
    const COUNT: u32 = 120;
    let name = |round: u32| move |id: u32| format!("{round} of {id:03}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    save(&*store, (0..COUNT).map(|id| person(id, &name(1)(id), "", 1))).await;
    drop(store);
    let before = std::fs::read(&path).unwrap();
    let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
    save(&*store, (0..COUNT).map(|id| person(id, &name(2)(id), "", 1))).await;
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    let (former, leaves) = (pages(&before, "1 of "), pages(&bytes, "2 of "));
    let mut twice = 0;
    for (from, to) in former.iter().flat_map(|from| leaves.iter().map(move |to| (*from, *to))) {
        let page = &before[from * PAGE..(from + 1) * PAGE];
        let store = copied(directory.path().join(format!("{from}-{to}.redb")), &bytes, to, page).await;
        if store.damage().is_none() {
            continue;
        }
        let gone = names(&bytes[to * PAGE..(to + 1) * PAGE], COUNT, name(2));
        for id in (0..COUNT).filter(|id| !gone.contains(id)) {
            let found = find(&*store, &PERSON, id).await.unwrap().expect("its page is sound");
            assert_eq!(string(&*found.row, 1), name(2)(id), "page {to} is the former page {from}");
        }
        twice += 1;
    }
    assert!(twice >= 6, "{twice} of {} pages", former.len() * leaves.len());
}
