//! What of a device outlives its process: a store in memory, or the bytes of a redb file.

use std::io;
use std::sync::{Arc, Mutex};

use larder_core::{OpenStore, Opening, Result, Store};
use larder_memory::Memory;
use larder_redb::Redb;
use redb::StorageBackend;

use crate::kernel::lock;

/// What the devices store into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disk {
    /// A store in memory that outlives its process, commit by commit. Fast.
    Memory,
    /// redb, on a file in memory; a power cut takes what was not synced.
    Redb,
}

/// The medium of one device.
#[derive(Debug)]
pub(crate) enum Medium {
    Memory(Mutex<Option<Arc<dyn Store>>>),
    Redb(Mutex<Arc<File>>),
}

impl Medium {
    pub(crate) fn new(disk: Disk) -> Self {
        match disk {
            Disk::Memory => Self::Memory(Mutex::default()),
            Disk::Redb => Self::Redb(Mutex::default()),
        }
    }

    /// Opens the store, as it was left.
    pub(crate) async fn open(&self, opening: &Opening) -> Result<Arc<dyn Store>> {
        match self {
            Self::Memory(kept) => {
                let known = lock(kept).clone();
                if let Some(store) = known {
                    return Ok(store);
                }
                let store = OpenStore::open(Box::new(Memory::new()), opening).await?;
                *lock(kept) = Some(Arc::clone(&store));
                Ok(store)
            }
            Self::Redb(file) => {
                let file = Arc::clone(&lock(file));
                let redb = Redb::in_memory()
                    .cache_size(1 << 20)
                    .backend(move || Ok(Box::new(Open(Arc::clone(&file)))));
                OpenStore::open(Box::new(redb), opening).await
            }
        }
    }

    /// There is no room any more, or again. A store in memory does not know of it: its [steps](crate::steps) do.
    pub(crate) fn fill(&self, full: bool) {
        if let Self::Redb(file) = self {
            lock(&lock(file).0).full = full;
        }
    }

    /// The process is gone: whoever holds the former file can't write to it any more.
    pub(crate) fn cut_off(&self, power: bool) {
        if let Self::Redb(file) = self {
            let mut file = lock(file);
            let left = file.leave(power);
            *file = Arc::new(left);
        }
    }
}

/// A file in memory that knows what has been synced.
#[derive(Debug, Default)]
pub(crate) struct File(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    written: Vec<u8>,
    synced: Vec<u8>,
    /// What has been written since.
    since: Vec<Change>,
    gone: bool,
    /// Nothing can be written.
    full: bool,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                if bytes.len() < at + data.len() {
                    bytes.resize(at + data.len(), 0);
                }
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }
}

impl File {
    fn content(&self) -> io::Result<std::sync::MutexGuard<'_, Content>> {
        let content = lock(&self.0);
        if content.gone { Err(io::Error::other("the process is gone")) } else { Ok(content) }
    }

    /// Takes the file away from its process, and gives it as the next one finds it.
    fn leave(&self, power: bool) -> Self {
        let mut content = lock(&self.0);
        content.gone = true;
        let bytes = std::mem::take(if power { &mut content.synced } else { &mut content.written });
        let full = content.full;
        Self(Mutex::new(Content { synced: bytes.clone(), written: bytes, full, ..Content::default() }))
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut content = self.content()?;
        if content.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        change.make(&mut content.written);
        content.since.push(change);
        Ok(())
    }
}

/// The file, as one process has it open.
#[derive(Debug)]
struct Open(Arc<File>);

impl StorageBackend for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.content()?.written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.0.content()?;
        let from = size(offset)?;
        let bytes = content.written.get(from..from.saturating_add(out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.change(Change::Length(size(len)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.0.content()?;
        let Content { since, synced, .. } = &mut *content;
        since.drain(..).for_each(|change| change.make(synced));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.change(Change::Write(size(offset)?, data.to_vec()))
    }
}

fn size(size: u64) -> io::Result<usize> {
    usize::try_from(size).map_err(io::Error::other)
}
