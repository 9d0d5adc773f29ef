//! A medium that is marked as open when it is first written to, and not when it is opened.
//!
//! redb marks a file before it hands it out, and syncs: whoever finds the mark later verifies the file and repairs it. A
//! store that is opened to be read would pay for that with a sync, and after a kill with a walk through a file that nobody
//! has written to. So the mark is held back here, and goes to the medium, durably, before anything else does.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::backend::forward_locks;

/// Where the flags of the file are …
const FLAGS: usize = 9;
/// … and the one that says that it is open.
const OPEN: u8 = 2;

/// Holds the mark of `inner` back.
#[derive(Debug)]
pub(crate) struct Untouched {
    inner: Box<dyn StorageBackend>,
    /// True once something is written, for good: nobody asks for the lock then.
    touched: AtomicBool,
    /// The header with the mark, once redb has written it.
    held: Mutex<Option<Vec<u8>>>,
}

impl Untouched {
    pub(crate) fn new(inner: Box<dyn StorageBackend>) -> Self {
        Self { inner, touched: AtomicBool::new(false), held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Acquire)
    }

    /// True if the medium is one that was closed, and nothing was written to it since.
    pub(crate) fn is_as_it_was(&self) -> bool {
        !self.is_touched() && self.held().is_some()
    }

    /// True if writing `data` would set the mark and change nothing else.
    fn only_marks(&self, offset: u64, data: &[u8]) -> io::Result<bool> {
        if offset != 0 || data.len() <= FLAGS || self.inner.len()? < data.len() as u64 {
            return Ok(false);
        }
        let mut there = vec![0; data.len()];
        self.inner.read(0, &mut there)?;
        let was_open = there[FLAGS] & OPEN != 0;
        there[FLAGS] |= OPEN;
        Ok(!was_open && there == data)
    }

    /// Marks the medium, if that is still to be done.
    fn touch(&self, held: &mut Option<Vec<u8>>) -> io::Result<()> {
        if let Some(header) = held {
            self.inner.write(0, header)?;
            self.inner.sync_data()?;
        }
        *held = None;
        self.touched.store(true, Ordering::Release);
        Ok(())
    }
}

impl StorageBackend for Untouched {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)?;
        if offset <= FLAGS as u64
            && !self.is_touched()
            && let Some(header) = &*self.held()
        {
            let header = header.get(offset as usize..).unwrap_or_default();
            out.iter_mut().zip(header).for_each(|(out, byte)| *out = *byte);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if !self.is_touched() {
            self.touch(&mut self.held())?;
        }
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        // While the mark is held back, nothing else has been written.
        if !self.is_touched() && self.held().is_some() { Ok(()) } else { self.inner.sync_data() }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if !self.is_touched() {
            let mut held = self.held();
            if held.is_none() && self.only_marks(offset, data)? {
                *held = Some(data.to_vec());
                return Ok(());
            }
            self.touch(&mut held)?;
        }
        self.inner.write(offset, data)
    }

    forward_locks!(inner);
}

#[cfg(test)]
mod tests;
