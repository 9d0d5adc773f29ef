//! A file system in memory: files by name, operations that fail when they are told to, and what a kill or a power cut
//! leaves.
//!
//! What is written to a file is there for certain once the file is synced, and what is done to names once the directory
//! is: of everything else a power cut may take each part alone.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder_redb::{Files, StorageBackend};
use redb::BackendError;

use crate::disk::{Moment, Random, Unsynced, is_whole};
use crate::server::{Phase, Server};

/// When operations fail. They are counted from 0 since that was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Never.
    #[default]
    None,
    /// The one with this number.
    Once(u64),
    /// The one with this number and every one after it.
    From(u64),
    /// From the one with this number on, those that need room.
    Full(u64),
    /// As [`From`](Self::From), but of a write with this number half is done: what a kill leaves.
    Stop(u64),
}

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Room,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    /// True while a database has it open.
    taken: bool,
}

/// Something that was done to names: what lies under each from then on.
#[derive(Clone, Debug)]
struct Naming(Vec<(PathBuf, Option<usize>)>);

#[derive(Debug, Default)]
struct Inner {
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    unsynced: Vec<Naming>,
    /// True if a file may have several names.
    links: bool,
    fault: Fault,
    operations: u64,
    /// Who knows what goes on, and what did when an operation failed first.
    server: Option<Server>,
    hit: Option<Phase>,
    /// Those of them that have to do with names.
    of_names: Vec<u64>,
}

/// A file system. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Folder(Arc<Mutex<Inner>>);

impl Folder {
    /// One in which `bytes` lie at `path`, durably. `links`: whether a file may have several names.
    #[must_use]
    pub fn of(path: &Path, bytes: &[u8], links: bool) -> Self {
        let file = Contents { bytes: bytes.to_vec(), durable: bytes.to_vec(), ..Contents::default() };
        Self::holding(vec![file], BTreeMap::from([(path.to_owned(), 0)]), links)
    }

    fn holding(files: Vec<Contents>, names: BTreeMap<PathBuf, usize>, links: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner { files, durable: names.clone(), names, links, ..Inner::default() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets when operations fail, and counts from 0 again.
    pub fn fail(&self, fault: Fault) {
        let mut inner = self.inner();
        (inner.fault, inner.operations) = (fault, 0);
        inner.of_names.clear();
    }

    /// From now on it is noted what goes on when an operation fails.
    pub fn attend(&self, server: &Server) {
        self.inner().server = Some(server.clone());
    }

    /// What went on when an operation failed first.
    #[must_use]
    pub fn hit(&self) -> Option<Phase> {
        self.inner().hit
    }

    /// How many operations there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// Which of them made, gave, took or synced a name.
    #[must_use]
    pub fn of_names(&self) -> Vec<u64> {
        self.inner().of_names.clone()
    }

    /// What lies there, by name.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let inner = self.inner();
        inner.names.iter().map(|(name, file)| (name.clone(), inner.files[*file].bytes.clone())).collect()
    }

    /// What a kill leaves: everything that was done, and nobody has a file open.
    #[must_use]
    pub fn killed(&self) -> Self {
        let inner = self.inner();
        let freed = |file: &Contents| Contents { taken: false, ..file.clone() };
        let copy = Self::holding(inner.files.iter().map(freed).collect(), inner.names.clone(), inner.links);
        (copy.inner().durable, copy.inner().unsynced) = (inner.durable.clone(), inner.unsynced.clone());
        copy
    }

    /// What a power cut may leave: of what was done to names and not synced all, nothing, the last of it or some, and of bytes
    /// all, nothing or some: twelve ways, of which half are at random.
    #[must_use]
    pub fn cut(&self, way: u64, random: &mut Random) -> Self {
        let inner = self.inner();
        let of_bytes = |file: &Contents, random: &mut Random| {
            let moment = Moment { durable: file.durable.clone(), unsynced: file.unsynced.clone() };
            let bytes = moment.image(way / 4 % 3, random);
            Contents { durable: bytes.clone(), bytes, ..Contents::default() }
        };
        let files = inner.files.iter().map(|file| of_bytes(file, random)).collect();
        let mut names = inner.durable.clone();
        for (at, naming) in inner.unsynced.iter().enumerate() {
            let is_kept = match way % 4 {
                0 => true,
                1 => false,
                2 => at + 1 == inner.unsynced.len(),
                _ => random.one_in(2),
            };
            if is_kept {
                naming.apply(&mut names);
            }
        }
        Self::holding(files, names, inner.links)
    }

    fn operate_on_names(&self, needs: Needs) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.inner();
        let now = inner.operations;
        inner.of_names.push(now);
        drop(inner);
        self.operate(needs)
    }

    fn operate(&self, needs: Needs) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.inner();
        let now = inner.operations;
        inner.operations += 1;
        let (fails, kind) = match inner.fault {
            Fault::None => (false, io::ErrorKind::Other),
            Fault::Once(at) => (now == at, io::ErrorKind::Other),
            Fault::From(at) | Fault::Stop(at) => (now >= at, io::ErrorKind::Other),
            Fault::Full(at) => (now >= at && needs == Needs::Room, io::ErrorKind::StorageFull),
        };
        if fails {
            inner.hit = inner.hit.or_else(|| inner.server.as_ref().map(Server::phase));
            return Err(io::Error::new(kind, "as told"));
        }
        Ok(inner)
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        for (name, file) in &self.0 {
            match file {
                Some(file) => names.insert(name.clone(), *file),
                None => names.remove(name),
            };
        }
    }
}

impl Inner {
    fn file(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn name(&mut self, changes: Vec<(PathBuf, Option<usize>)>) {
        let naming = Naming(changes);
        naming.apply(&mut self.names);
        self.unsynced.push(naming);
    }
}

impl Files for Folder {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        let is_there = self.inner().names.contains_key(path);
        let mut inner =
            if is_there { self.operate(Needs::Nothing)? } else { self.operate_on_names(Needs::Room)? };
        if !is_there {
            inner.files.push(Contents::default());
            let file = inner.files.len() - 1;
            inner.name(vec![(path.to_owned(), Some(file))]);
        }
        let file = inner.file(path)?;
        Ok(Box::new(Handle { folder: self.clone(), file, took: AtomicBool::new(false) }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.operate(Needs::Nothing)?.names.contains_key(path))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.operate_on_names(Needs::Room)?;
        if !inner.links {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if inner.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = inner.file(from)?;
        inner.name(vec![(to.to_owned(), Some(file))]);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.operate_on_names(Needs::Nothing)?;
        let file = inner.file(from)?;
        inner.name(vec![(from.to_owned(), None), (to.to_owned(), Some(file))]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.operate_on_names(Needs::Nothing)?;
        if inner.names.contains_key(path) {
            inner.name(vec![(path.to_owned(), None)]);
        }
        Ok(())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        let mut inner = self.operate_on_names(Needs::Nothing)?;
        inner.unsynced.clear();
        inner.durable = inner.names.clone();
        Ok(())
    }
}

/// A file as one opener has it.
#[derive(Debug)]
struct Handle {
    folder: Folder,
    file: usize,
    took: AtomicBool,
}

impl Handle {
    fn let_go(&self) {
        if self.took.swap(false, Ordering::SeqCst) {
            self.folder.inner().files[self.file].taken = false;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn size(number: u64) -> io::Result<usize> {
    usize::try_from(number).map_err(io::Error::other)
}

impl StorageBackend for Handle {
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if !is_whole(start, end) {
            return Err(BackendError::Unsupported);
        }
        let is_free = !std::mem::replace(&mut self.folder.inner().files[self.file].taken, true);
        if is_free {
            self.took.store(true, Ordering::SeqCst);
        }
        Ok(is_free)
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
        Ok(self.folder.operate(Needs::Nothing)?.files[self.file].bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.folder.operate(Needs::Nothing)?;
        let start = size(offset)?;
        let there = inner.files[self.file].bytes.get(start..start + out.len());
        out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let grows = len > self.folder.inner().files[self.file].bytes.len() as u64;
        let mut inner = self.folder.operate(if grows { Needs::Room } else { Needs::Nothing })?;
        let file = &mut inner.files[self.file];
        file.bytes.resize(size(len)?, 0);
        file.unsynced.push(Unsynced::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.folder.operate(Needs::Nothing)?;
        let file = &mut inner.files[self.file];
        file.unsynced.clear();
        file.durable = file.bytes.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let stops = {
            let inner = self.folder.inner();
            inner.fault == Fault::Stop(inner.operations)
        };
        let done = self.folder.operate(Needs::Nothing).map(drop);
        let data = if stops { &data[..data.len() / 2] } else { data };
        if stops || done.is_ok() {
            let mut inner = self.folder.inner();
            let (file, start) = (&mut inner.files[self.file], size(offset)?);
            let there = file.bytes.get_mut(start..start + data.len());
            there.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
            file.unsynced.push(Unsynced::Write(offset, data.to_vec()));
        }
        done
    }
}
