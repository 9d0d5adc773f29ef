//! A disk in memory that fails when it is told to, and remembers what had not been synced.

use std::io;
use std::ops::{Bound, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder_redb::{Redb, StorageBackend};
use redb::BackendError;

/// How many bytes a disk writes whole.
const SECTOR: usize = 512;

/// When operations fail. They are counted from 0 since the disk was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Never.
    #[default]
    None,
    /// The one with this number.
    Once(u64),
    /// The one with this number and every one after it.
    From(u64),
    /// From the one with the first number on, each with a chance of one in the second, by the third as the seed.
    Often(u64, u64, u64),
    /// Those that make the disk longer.
    Full,
    /// Those that change anything.
    Unwritable,
}

/// What an operation does to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    Stays,
    Grows,
}

/// Something that was written and not synced.
#[derive(Clone, Debug)]
pub enum Unsynced {
    /// Bytes at a place.
    Write(u64, Vec<u8>),
    /// The length.
    Length(u64),
}

/// The disk at a sync that was asked for and had not happened.
#[derive(Clone, Debug)]
pub struct Moment {
    /// What is there for certain.
    pub durable: Vec<u8>,
    /// What was written since.
    pub unsynced: Vec<Unsynced>,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: Vec<u8>,
    fault: Fault,
    operations: u64,
    failed: u64,
    /// Kept only where moments are.
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    watched: Option<Watcher>,
    /// Told when the first operation fails.
    told: Option<Teller>,
    /// True while a database has it open.
    taken: bool,
}

struct Watcher(Box<dyn FnMut(Moment) + Send>);

struct Teller(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Teller")
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    /// A disk on which `bytes` lie.
    #[must_use]
    pub fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Inner { bytes, ..Inner::default() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A store on it.
    #[must_use]
    pub fn store(&self) -> Redb {
        let disk = self.clone();
        Redb::in_memory()
            .backend(move || Ok(Box::new(Handle { disk: disk.clone(), took: AtomicBool::new(false) })))
    }

    /// Sets when operations fail.
    pub fn fail(&self, fault: Fault) {
        self.inner().fault = fault;
    }

    /// How many operations there were, and how many of them failed.
    #[must_use]
    pub fn operations(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.operations, inner.failed)
    }

    /// Calls `tell` when an operation fails for the first time.
    pub fn on_failure(&self, tell: impl FnOnce() + Send + 'static) {
        self.inner().told = Some(Teller(Box::new(tell)));
    }

    /// Calls `watch` at each sync, before it happens.
    pub fn watch(&self, watch: impl FnMut(Moment) + Send + 'static) {
        let mut inner = self.inner();
        inner.durable = inner.bytes.clone();
        inner.watched = Some(Watcher(Box::new(watch)));
    }

    fn operate(&self, change: Change) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.inner();
        let now = inner.operations;
        inner.operations += 1;
        let (fails, kind) = match inner.fault {
            Fault::None => (false, io::ErrorKind::Other),
            Fault::Once(at) => (now == at, io::ErrorKind::Other),
            Fault::From(at) => (now >= at, io::ErrorKind::Other),
            Fault::Often(from, one_in, seed) => {
                (now >= from && mix(seed ^ now).is_multiple_of(one_in), io::ErrorKind::Other)
            }
            Fault::Full => (change == Change::Grows, io::ErrorKind::StorageFull),
            Fault::Unwritable => (change != Change::Nothing, io::ErrorKind::StorageFull),
        };
        if fails {
            inner.failed += 1;
            if let Some(tell) = inner.told.take() {
                (tell.0)();
            }
            return Err(io::Error::new(kind, "as told"));
        }
        Ok(inner)
    }
}

/// Spreads a number over all of them: `SplitMix64`.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Numbers that follow from a seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Those of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        usize::try_from(mix(self.0) % end as u64).unwrap_or_default()
    }

    /// True in one of so many cases.
    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

impl Moment {
    /// What may be on the disk after a power cut at this moment: some of what was not synced, in another order, and one
    /// write perhaps in part. The first two ways are all of it, and nothing of it.
    #[must_use]
    pub fn image(&self, way: u64, random: &mut Random) -> Vec<u8> {
        let mut image = self.durable.clone();
        let mut kept: Vec<&Unsynced> = match way {
            0 => self.unsynced.iter().collect(),
            1 => Vec::new(),
            _ => self.unsynced.iter().filter(|_| !random.one_in(3)).collect(),
        };
        if way > 1 {
            for at in (1..kept.len()).rev() {
                // The length and what lies beyond it stay in order: a file system does not write behind the end.
                let other = random.below(at + 1);
                let moves = |which: &Unsynced| matches!(which, Unsynced::Write(..));
                if moves(kept[at])
                    && moves(kept[other])
                    && !kept[other..=at].iter().any(|which| !moves(which))
                {
                    kept.swap(at, other);
                }
            }
        }
        let torn = if way > 1 && !kept.is_empty() { Some(random.below(kept.len())) } else { None };
        for (at, change) in kept.into_iter().enumerate() {
            match change {
                Unsynced::Length(len) => image.resize(usize::try_from(*len).unwrap_or_default(), 0),
                Unsynced::Write(offset, data) => {
                    let start = usize::try_from(*offset).unwrap_or_default();
                    if image.len() < start + data.len() {
                        image.resize(start + data.len(), 0);
                    }
                    let sectors = data.len().div_ceil(SECTOR);
                    let len = match torn {
                        Some(torn) if torn == at => (random.below(sectors + 1) * SECTOR).min(data.len()),
                        _ => data.len(),
                    };
                    image[start..start + len].copy_from_slice(&data[..len]);
                }
            }
        }
        image
    }
}

fn range(offset: u64, len: usize) -> io::Result<Range<usize>> {
    let start = usize::try_from(offset).map_err(io::Error::other)?;
    Ok(start..start + len)
}

/// A disk as one database has it open.
#[derive(Debug)]
struct Handle {
    disk: Disk,
    took: AtomicBool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Handle {
    fn let_go(&self) {
        if self.took.swap(false, Ordering::SeqCst) {
            self.disk.inner().taken = false;
        }
    }
}

/// As a file: it can be taken as a whole and not in part.
pub(crate) fn is_whole(start: Bound<u64>, end: Bound<u64>) -> bool {
    matches!(start, Bound::Unbounded | Bound::Included(0)) && end == Bound::Unbounded
}

impl StorageBackend for Handle {
    // As a file: it can be taken as a whole and not in part.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if !is_whole(start, end) {
            return Err(BackendError::Unsupported);
        }
        let free = !std::mem::replace(&mut self.disk.inner().taken, true);
        if free {
            self.took.store(true, Ordering::SeqCst);
        }
        Ok(free)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        if !is_whole(start, end) {
            return Err(BackendError::Unsupported);
        }
        self.let_go();
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.let_go();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.operate(Change::Nothing)?.bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.disk.operate(Change::Nothing)?;
        let there = inner.bytes.get(range(offset, out.len())?).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(there);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let grows = len > self.disk.inner().bytes.len() as u64;
        let change = if grows { Change::Grows } else { Change::Stays };
        let mut inner = self.disk.operate(change)?;
        inner.bytes.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        if inner.watched.is_some() {
            inner.unsynced.push(Unsynced::Length(len));
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.disk.operate(Change::Stays)?;
        if let Some(mut watcher) = inner.watched.take() {
            let unsynced = std::mem::take(&mut inner.unsynced);
            let bytes = inner.bytes.clone();
            let durable = std::mem::replace(&mut inner.durable, bytes);
            drop(inner);
            (watcher.0)(Moment { durable, unsynced });
            self.disk.inner().watched = Some(watcher);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.operate(Change::Stays)?;
        let range = range(offset, data.len())?;
        inner.bytes.get_mut(range).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        if inner.watched.is_some() {
            inner.unsynced.push(Unsynced::Write(offset, data.to_vec()));
        }
        Ok(())
    }
}
