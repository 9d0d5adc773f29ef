//! Media with sectors that are never read again: what nobody has given up stays as it is, and what somebody has is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::{Damage, ErrorKind, Key, Query, Store};
use larder_harness::TestRuntime as Manual;
use larder_redb::{Files, OnCorrupt, Redb, StorageBackend, backend};
use redb::BackendError;

use crate::damage::kind;
use crate::salvage::{asides, filled};
use crate::support::*;

const PAGE: usize = 4096;
const ALWAYS: usize = usize::MAX;

/// A disk on which one file has bad sectors, whatever names it has.
#[derive(Clone, Debug)]
struct Disk(Arc<Sectors>);

#[derive(Debug, Default)]
struct Sectors {
    /// The names of that file.
    names: Mutex<BTreeSet<PathBuf>>,
    /// How often each of its pages can't be read any more.
    bad: Mutex<BTreeMap<u64, usize>>,
    /// A file has one name only.
    one_name: AtomicBool,
    /// There is no room for new files.
    full: AtomicBool,
    /// After so many more changes nothing is changed any more.
    changes: AtomicUsize,
}

impl std::ops::Deref for Disk {
    type Target = Sectors;

    fn deref(&self) -> &Sectors {
        &self.0
    }
}

impl Disk {
    fn of(path: &Path) -> Self {
        let disk = Sectors { changes: AtomicUsize::new(ALWAYS), ..Sectors::default() };
        disk.names.lock().unwrap().insert(path.to_owned());
        Self(Arc::new(disk))
    }

    fn spoil(&self, page: usize, times: usize) {
        self.bad.lock().unwrap().insert(page as u64, times);
    }

    fn config(&self, path: &Path) -> Redb {
        Redb::at(path).cache_size(0).files(Arc::new(self.clone()))
    }

    fn change(&self) -> io::Result<()> {
        match self.changes.load(Ordering::SeqCst) {
            0 => Err(io::Error::other("the power is cut")),
            ALWAYS => Ok(()),
            left => {
                self.changes.store(left - 1, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<()> {
        let pages = offset / PAGE as u64..(offset + len as u64).div_ceil(PAGE as u64);
        let mut bad = self.bad.lock().unwrap();
        match bad.range_mut(pages).find(|(_, times)| **times > 0) {
            Some((_, times)) => {
                *times -= usize::from(*times != ALWAYS);
                Err(io::Error::other("a bad sector"))
            }
            None => Ok(()),
        }
    }
}

impl Files for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        let is_bad = self.names.lock().unwrap().contains(path);
        Ok(Box::new(File { disk: self.clone(), inner: backend::file(path)?, is_bad }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        if self.one_name.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        std::fs::hard_link(from, to)?;
        let mut names = self.names.lock().unwrap();
        if names.contains(from) {
            names.insert(to.to_owned());
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        self.names.lock().unwrap().remove(to);
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.change()
    }
}

#[derive(Debug)]
struct File {
    disk: Disk,
    inner: Box<dyn StorageBackend>,
    is_bad: bool,
}

impl File {
    fn change(&self) -> io::Result<()> {
        if !self.is_bad && self.disk.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.change()
    }
}

impl StorageBackend for File {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.is_bad {
            self.disk.read(offset, out.len())?;
        }
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change()?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change()?;
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }
}

const MANY: u32 = 300;
const QUEUED: u32 = 12;

/// A file, closed or as a kill leaves it.
async fn file(directory: &Path, closed: bool) -> (PathBuf, Vec<u8>) {
    let path = directory.join("a.redb");
    filled(&path, MANY, QUEUED).await;
    if !closed {
        let store = open(&Redb::at(&path), &[&PERSON]).await.unwrap();
        save(&*store, [crate::salvage::row(MANY - 1)]).await;
        let bytes = std::fs::read(&path).unwrap();
        drop(store);
        std::fs::write(&path, bytes).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

fn clear(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

async fn opened(config: &Redb) -> larder_core::Result<Arc<dyn Store>> {
    open_on(TestRuntime::inline(), config, &[&PERSON]).await
}

/// That nothing is there but what was written, and that the store is whole.
async fn is_whole(store: &dyn Store, how: &str) -> usize {
    let found = store.check(&cx()).await.unwrap();
    assert!(found.is_sound(), "{how}: {found:?}");
    let rows = get(store, &PERSON, &Query::all()).await.unwrap();
    for row in &rows {
        let Key::Int(id) = key_of(row, &PERSON) else { panic!("{row:?}") };
        assert_eq!(string(&*row.row, 1), format!("name {id}"), "{how}");
    }
    rows.len()
}

/// Every page of a file, by turns: what is in it can't be read, ever.
// Rules: d-salvage-unread, d-check, d-salvage-status
#[tokio::test]
async fn what_the_medium_does_not_give_is_lost_only_if_somebody_gives_it_up() {
    let directory = tempfile::tempdir().unwrap();
    // redb reads all pages when it opens a file, where its debug assertions are on: so they become unreadable later as well.
    for (closed, later) in [(true, false), (false, false), (true, true)] {
        clear(directory.path());
        let (path, bytes) = file(directory.path(), closed).await;
        let (mut refused, mut rows, mut entries, mut more) = (0, 0, 0, 0);
        for page in 0..bytes.len() / PAGE {
            let how = format!("page {page} of {}, closed: {closed}, later: {later}", bytes.len() / PAGE);
            let salvaged = async |gives_up: bool| {
                clear(directory.path());
                std::fs::write(&path, &bytes).unwrap();
                let disk = Disk::of(&path);
                if !later {
                    disk.spoil(page, ALWAYS);
                }
                let config = disk.config(&path).give_up_unreadable(gives_up);
                let store = opened(&config.on_corrupt(OnCorrupt::Fail)).await?;
                disk.spoil(page, ALWAYS);
                store.salvage(&cx()).await.map(|_| store)
            };
            match salvaged(false).await {
                Ok(store) => assert!(store.damage().is_none(), "{how}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Storage, "{how}: {error}");
                    let told = message(&error);
                    let advised = [&*path.display().to_string(), "give_up_unreadable", "bad sector"];
                    assert!(later || advised.iter().all(|part| told.contains(part)), "{how}: {told}");
                }
            }
            assert!(asides(directory.path()).is_empty(), "{how}");
            let store = match salvaged(true).await {
                Ok(store) => store,
                Err(error) => {
                    // Nothing can be made out, and nothing is changed.
                    assert_eq!(error.kind(), ErrorKind::Storage, "{how}: {error}");
                    let told = message(&error);
                    assert!(
                        told.contains("move the file away") && told.contains("can't be read"),
                        "{how}: {told}"
                    );
                    let same = std::fs::read(&path).unwrap() == bytes;
                    assert!(same && asides(directory.path()).is_empty(), "{how}");
                    refused += 1;
                    continue;
                }
            };
            let there = is_whole(&*store, &how).await;
            let Some(damage) = store.damage() else {
                assert_eq!(there, MANY as usize, "{how}: nobody needs the page");
                continue;
            };
            let Damage { pages, unread, lost, .. } = damage;
            assert!(unread <= 1 && pages == unread, "{how}: {damage:?}");
            assert_eq!(asides(directory.path()), [PathBuf::from(&damage.aside)], "{how}");
            assert_eq!(damage.rows, there as u64, "{how}");
            assert!(damage.cause.contains("bad sector"), "{how}: {damage:?}");
            // Nothing is lost without a word.
            let gone = u64::from(MANY) - damage.rows + u64::from(QUEUED) - damage.entries;
            assert!(lost >= gone && (gone == 0 || unread == 1), "{how}: {damage:?}");
            rows += u32::from(damage.rows < u64::from(MANY));
            entries += u32::from(damage.entries < u64::from(QUEUED));
            more += u32::from(lost > 60);
        }
        // The header, and the page that says where the tables begin, unless there is an older one, or it is known.
        assert!(refused > u32::from(closed) || later, "{refused}, closed: {closed}");
        assert!(rows > 2 && entries > 0 && more > 0, "{rows} {entries} {more}");
    }
}

/// Every page of a file, by turns: the first reads of it fail.
// Rules: d-salvage-unread
#[tokio::test]
async fn what_can_not_be_read_for_once_is_not_lost_though_it_may_be_given_up() {
    let directory = tempfile::tempdir().unwrap();
    for closed in [true, false] {
        clear(directory.path());
        let (path, bytes) = file(directory.path(), closed).await;
        for page in 0..bytes.len() / PAGE {
            let how = format!("page {page}, closed: {closed}");
            clear(directory.path());
            std::fs::write(&path, &bytes).unwrap();
            let disk = Disk::of(&path);
            disk.spoil(page, 1);
            let store = opened(&disk.config(&path).give_up_unreadable(true)).await.unwrap();
            assert_eq!(store.salvage(&cx()).await.unwrap(), None, "{how}");
            assert_eq!(is_whole(&*store, &how).await, MANY as usize);
            assert_eq!(store.outbox_counts(&cx()).await.unwrap().entries, u64::from(QUEUED), "{how}");
            assert!(store.damage().is_none() && asides(directory.path()).is_empty(), "{how}");
        }
    }
}

/// The pages on which this text stands, those that nobody needs any more among them.
fn pages_of(bytes: &[u8], text: &str) -> BTreeSet<usize> {
    let places = bytes.windows(text.len()).enumerate().filter(|(_, bytes)| *bytes == text.as_bytes());
    places.map(|(at, _)| at / PAGE).collect()
}

// Rules: d-salvage-unread, d-salvage
#[tokio::test]
async fn a_damaged_file_is_not_salvaged_by_itself_while_some_of_it_can_not_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut bytes) = file(directory.path(), false).await;
    for damaged in pages_of(&bytes, "name 200") {
        bytes[damaged * PAGE + 9] ^= 1;
    }
    let (mut left, mut salvaged) = (0, 0);
    for page in 1..bytes.len() / PAGE {
        clear(directory.path());
        std::fs::write(&path, &bytes).unwrap();
        let disk = Disk::of(&path);
        disk.spoil(page, ALWAYS);
        match opened(&disk.config(&path)).await {
            // It is one that nobody needs.
            Ok(store) => {
                let damage = store.damage().unwrap();
                assert!(damage.unread == 0 && damage.pages >= 1, "page {page}: {damage:?}");
                salvaged += 1;
            }
            Err(_) => {
                assert!(
                    asides(directory.path()).is_empty() && std::fs::read(&path).unwrap() == bytes,
                    "{page}"
                );
                left += 1;
            }
        }
    }
    assert!(left > 5 && salvaged > 0, "{left} {salvaged}");
}

/// A store of which a page of rows has become unreadable, whose application has given that up.
struct GivenUp {
    directory: tempfile::TempDir,
    disk: Disk,
    path: PathBuf,
    bytes: Vec<u8>,
    bad: BTreeSet<usize>,
}

impl GivenUp {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (path, bytes) = file(directory.path(), true).await;
        let disk = Disk::of(&path);
        let mut bad = BTreeSet::new();
        for page in pages_of(&bytes, "name 200") {
            let looked = Disk::of(&path);
            let store = opened(&looked.config(&path)).await.unwrap();
            looked.spoil(page, ALWAYS);
            if store.check(&cx()).await.is_err_and(|error| error.kind() == ErrorKind::Storage) {
                bad.insert(page);
            }
        }
        assert!(!bad.is_empty());
        Self { directory, disk, path, bytes, bad }
    }

    fn config(&self) -> Redb {
        self.disk.config(&self.path).give_up_unreadable(true)
    }

    fn spoil(&self) {
        self.bad.iter().for_each(|page| self.disk.spoil(*page, ALWAYS));
    }
}

// Rules: d-salvage-unread, d-salvage-again
#[tokio::test]
async fn what_is_given_up_while_there_is_no_room_is_salvaged_once_there_is() {
    let given_up = GivenUp::new().await;
    let GivenUp { disk, path, bytes, directory, .. } = &given_up;
    let clock = Manual::manual(1);
    let store = open_on(Arc::new(clock.clone()), &given_up.config(), &[&PERSON]).await.unwrap();
    given_up.spoil();
    disk.full.store(true, Ordering::SeqCst);
    assert_eq!(kind(store.salvage(&cx()).await), ErrorKind::Full);
    assert!(std::fs::read(path).unwrap() == *bytes && asides(directory.path()).is_empty());
    // Where its debug assertions are on, redb can't open the file again.
    let rest = find(&*store, &PERSON, 1).await;
    assert!(cfg!(debug_assertions) || rest.unwrap().is_some(), "the rest is read on");
    disk.full.store(false, Ordering::SeqCst);
    for _ in 0..10 {
        clock.advance(Duration::from_secs(1));
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
    let damage = store.damage().expect("it is done");
    assert!(
        damage.unread == 1 && damage.rows < u64::from(MANY) && damage.entries == u64::from(QUEUED),
        "{damage:?}"
    );
    is_whole(&*store, "later").await;
}

// Rules: d-salvage-unread
#[tokio::test]
async fn a_store_that_comes_across_damage_gives_nothing_up_by_itself() {
    let given_up = GivenUp::new().await;
    let GivenUp { path, bytes, directory, .. } = &given_up;
    let runtime = Arc::new(Manual::manual(1));
    let store = open_on(runtime, &given_up.config(), &[&PERSON]).await.unwrap();
    given_up.spoil();
    let mut damaged = bytes.clone();
    let places = bytes.windows(8).enumerate().filter(|(_, bytes)| *bytes == b"name 100");
    places.for_each(|(at, _)| damaged[at] ^= 1);
    std::fs::write(path, damaged).unwrap();
    assert_eq!(kind(find(&*store, &PERSON, 100).await), ErrorKind::Corrupt);
    assert!(store.damage().is_none() && asides(directory.path()).is_empty());
    let damage = store.salvage(&cx()).await.unwrap().expect("that is asked for");
    assert!(damage.unread > 0 && damage.pages > damage.unread, "{damage:?}");
}

/// Cut short at each change that it makes, and begun anew.
// Rules: d-salvage-unread, d-salvage-faults
#[tokio::test]
async fn one_that_is_cut_short_is_begun_anew_and_sets_the_file_aside_once() {
    for one_name in [false, true] {
        let given_up = GivenUp::new().await;
        let GivenUp { disk, path, bytes, directory, bad } = &given_up;
        disk.one_name.store(one_name, Ordering::SeqCst);
        let mut cut = 0;
        for changes in (0..).step_by(3) {
            clear(directory.path());
            std::fs::write(path, bytes).unwrap();
            *disk.names.lock().unwrap() = BTreeSet::from([path.clone()]);
            disk.bad.lock().unwrap().clear();
            let how = format!("after {changes} changes, one name: {one_name}");
            let store = opened(&given_up.config()).await.unwrap();
            given_up.spoil();
            disk.changes.store(changes, Ordering::SeqCst);
            let first = store.salvage(&cx()).await;
            drop(store);
            let whole = disk.changes.load(Ordering::SeqCst) > 0;
            disk.changes.store(ALWAYS, Ordering::SeqCst);
            cut += u32::from(first.is_err());
            let store = opened(&given_up.config()).await.unwrap();
            store.salvage(&cx()).await.unwrap();
            let damage = store.damage().unwrap_or_else(|| panic!("{how}: it is done"));
            assert!(damage.unread > 0 && damage.rows < u64::from(MANY), "{how}: {damage:?}");
            is_whole(&*store, &how).await;
            let aside = asides(directory.path());
            assert_eq!(aside.len(), 1, "{how}");
            // All that could be read is kept.
            let (kept, nothing) = (std::fs::read(&aside[0]).unwrap(), [0; PAGE]);
            assert_eq!(kept.len(), bytes.len(), "{how}");
            for (at, (kept, was)) in kept.chunks(PAGE).zip(bytes.chunks(PAGE)).enumerate().skip(1) {
                let is_lost = one_name && bad.contains(&at);
                assert!(kept == if is_lost { &nothing } else { was }, "{how}: page {at}");
            }
            if whole {
                break;
            }
        }
        assert!(cut > 10, "{cut}");
    }
}

// Rules: d-salvage-unread, d-second
#[tokio::test]
async fn a_file_that_somebody_else_has_is_not_given_up() {
    let given_up = GivenUp::new().await;
    given_up.spoil();
    let other = crate::hooked::take(&given_up.path);
    let error = opened(&given_up.config()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Storage && message(&error).contains("another process"), "{error}");
    drop(other);
    assert!(asides(given_up.directory.path()).is_empty());
}
