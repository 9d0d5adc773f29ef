//! A medium that is read and never written: what is written to it stays in memory, and goes with it.
//!
//! It is what a store is opened over that can't be written to, so that reads go on. What redb writes when it opens a file
//! that was not closed are some pages.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

const PAGE: u64 = 4096;

#[derive(Debug)]
pub(crate) struct Shadow {
    inner: Box<dyn StorageBackend>,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    /// The length that the medium seems to have.
    len: u64,
    /// The pages that were written, by number.
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Shadow {
    pub(crate) fn of(inner: Box<dyn StorageBackend>) -> io::Result<Self> {
        let written = Mutex::new(Written { len: inner.len()?, pages: BTreeMap::new() });
        Ok(Self { inner, written })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page as it lies on the medium, with zeros beyond its end.
    fn below(&self, page: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; PAGE as usize];
        let there = self.inner.len()?.saturating_sub(page * PAGE).min(PAGE) as usize;
        if there > 0 {
            self.inner.read(page * PAGE, &mut bytes[..there])?;
        }
        Ok(bytes)
    }

    /// Calls `on` with each page that the bytes from `offset` on touch: its number, where in it, and where in the bytes.
    fn each(
        offset: u64,
        len: usize,
        mut on: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = (at % PAGE) as usize;
            let some = (PAGE as usize - within).min(len - done);
            on(at / PAGE, within..within + some, done..done + some)?;
            done += some;
        }
        Ok(())
    }
}

impl StorageBackend for Shadow {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        if offset.saturating_add(out.len() as u64) > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::each(offset, out.len(), |page, within, to| {
            match written.pages.get(&page) {
                Some(bytes) => out[to].copy_from_slice(&bytes[within]),
                None => out[to].copy_from_slice(&self.below(page)?[within]),
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.written().len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        Self::each(offset, data.len(), |page, within, from| {
            let bytes = match written.pages.remove(&page) {
                Some(bytes) => Ok(bytes),
                None => self.below(page),
            };
            let mut bytes = bytes?;
            bytes[within].copy_from_slice(&data[from]);
            written.pages.insert(page, bytes);
            Ok(())
        })
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

#[cfg(test)]
mod tests;
