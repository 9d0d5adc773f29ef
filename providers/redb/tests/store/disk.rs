//! A medium that remembers what lay on it at each sync: what a kill at that moment leaves.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use larder_redb::{Redb, StorageBackend};

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    syncs: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Disk {
    /// A disk on which `bytes` lie.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes: Arc::new(Mutex::new(bytes)), ..Self::default() }
    }

    pub(crate) fn config(&self) -> Redb {
        let disk = self.clone();
        Redb::in_memory().backend(move || Ok(Box::new(disk.clone())))
    }

    /// The same, but whoever opens it can read what lies at `offset` so many times and no more.
    pub(crate) fn wearing(&self, offset: u64, reads: usize) -> Redb {
        let disk = self.clone();
        Redb::in_memory().cache_size(0).backend(move || {
            Ok(Box::new(Wearing { disk: disk.clone(), offset, reads: AtomicUsize::new(reads) }))
        })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        held(&self.bytes).clone()
    }

    /// What lay there at each sync since the last time that this was asked.
    pub(crate) fn take_syncs(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *held(&self.syncs))
    }
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn range(offset: u64, len: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).map_err(io::Error::other)?;
    Ok(start..start + len)
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(held(&self.bytes).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = held(&self.bytes);
        let there = bytes.get(range(offset, out.len())?).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(there);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        held(&self.bytes).resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let bytes = self.bytes();
        held(&self.syncs).push(bytes);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = held(&self.bytes);
        bytes.get_mut(range(offset, data.len())?).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}

/// A disk of which one page can be read a few times.
#[derive(Debug)]
struct Wearing {
    disk: Disk,
    offset: u64,
    reads: AtomicUsize,
}

impl StorageBackend for Wearing {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let spent = (offset..offset + out.len() as u64).contains(&self.offset)
            && self
                .reads
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_err();
        if spent { Err(io::ErrorKind::UnexpectedEof.into()) } else { self.disk.read(offset, out) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(offset, data)
    }
}
