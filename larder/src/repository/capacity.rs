//! How much the outbox may hold.
//!
//! Whoever writes takes its room before it counts what is there, and gives it back after its commit: of two that write at
//! the same time one counts the other, so the outbox never holds more than it may.

use std::sync::atomic::{AtomicU64, Ordering};

use larder_core::{Batch, Error, ErrorKind, Op, Result};

use super::Repository;

/// The most entries that the outbox may hold.
#[derive(Debug, Default)]
pub(super) struct Capacity {
    most: Option<u64>,
    /// Entries that are being written.
    taken: AtomicU64,
}

impl Capacity {
    pub(super) fn new(most: Option<u64>) -> Self {
        Self { most, taken: AtomicU64::new(0) }
    }
}

/// Room for the entries of a batch, until it is committed.
#[must_use = "the room is given back when this is dropped"]
pub(super) struct Room<'c> {
    capacity: &'c Capacity,
    entries: u64,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.capacity.taken.fetch_sub(self.entries, Ordering::SeqCst);
    }
}

impl Repository {
    /// Takes room in the outbox for what `batch` adds to it.
    ///
    /// # Errors
    /// `Full` if there is none; `Storage`.
    pub(super) async fn room_for(&self, batch: &Batch) -> Result<Option<Room<'_>>> {
        let capacity = &self.shared.capacity;
        let Some(most) = capacity.most else { return Ok(None) };
        let count = |wanted: fn(&Op) -> bool| batch.ops.iter().filter(|op| wanted(op)).count() as u64;
        let added = count(|op| matches!(op, Op::Enqueue(_)));
        let entries = added.saturating_sub(count(|op| matches!(op, Op::Dequeue(_))));
        if entries == 0 {
            return Ok(None);
        }
        let taken = capacity.taken.fetch_add(entries, Ordering::SeqCst) + entries;
        let room = Room { capacity, entries };
        let there = self.shared.store.outbox_counts(&self.cx()).await?.entries;
        if there + taken > most {
            let what = format!(
                "the outbox holds {there} of at most {most} mutations: sync, decide about the parked ones, or raise the \
                 capacity"
            );
            return Err(Error::new(ErrorKind::Full, what));
        }
        Ok(Some(room))
    }
}
