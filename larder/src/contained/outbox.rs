//! An outbox with entries that a store panics over, each time: they are found, and hide no other.
//!
//! Where the list can't be read it is read one by one. That tells before which entry the store panics and not which one it is,
//! for the list alone says that: so it is looked for by number, from the last that could be read on. What is not found so
//! is no entry of the list, and the store is tried again as a whole.

use larder_core::{Context, Error, Loaded, Result, Store as _, Unreadable};

use super::panicked::Panicked;
use super::store::ContainedStore;

/// How many numbers are looked through for an entry that the store panics over. Those of entries that are gone lie between.
const LOOK: u64 = 1_024;

impl ContainedStore {
    /// What [`outbox`](larder_core::Store::outbox) gives, with each entry that the store panics over among those that can't be
    /// read. Such a one it has panicked over three times, while it could read what comes behind.
    ///
    /// # Errors
    /// `panicked`, if it is no such entry that the store panics over; those of the store.
    pub(super) async fn one_by_one(
        &self,
        cx: &Context,
        after: u64,
        limit: usize,
        panicked: Error,
    ) -> Result<Loaded> {
        // A store that panics over an entry which does not exist panics over anything.
        if self.entry(cx, u64::MAX).await.is_err() {
            return Err(panicked);
        }
        let mut found = Loaded { last: after, ..Loaded::default() };
        let count = |found: &Loaded| found.entries.len() + found.unreadable.len();
        while count(&found) < limit {
            let next = self.later("read the outbox", || self.inner.outbox(cx, found.last, 1)).await;
            match next {
                Ok(next) if next.last == 0 => break,
                Ok(next) => take(&mut found, next),
                Err(error) if Panicked::is_cause_of(&error) => {
                    let Some(unreadable) = self.panicked_over(cx, found.last).await else {
                        return Err(panicked);
                    };
                    found.last = unreadable.seq;
                    found.unreadable.push(unreadable);
                    // Most often it is the only one.
                    let (last, left) = (found.last, limit - count(&found));
                    let rest = self.later("read the outbox", || self.inner.outbox(cx, last, left)).await;
                    if let Ok(rest) = rest {
                        take(&mut found, rest);
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        for unreadable in found.unreadable.iter().filter(|other| Panicked::is_cause_of(&other.error)) {
            // It is well again.
            if self.entry(cx, unreadable.seq).await.is_ok() {
                return Err(panicked);
            }
        }
        if count(&found) == 0 {
            found.last = 0;
        }
        Ok(found)
    }

    /// The first entry behind a number, if the store panics over it twice.
    async fn panicked_over(&self, cx: &Context, after: u64) -> Option<Unreadable> {
        for seq in (after..after.saturating_add(LOOK)).map(|before| before.saturating_add(1)) {
            match self.entry(cx, seq).await {
                Ok(None) => {}
                Err(error) if Panicked::is_cause_of(&error) && self.entry(cx, seq).await.is_err() => {
                    tracing::error!(seq, %error, "the store panics over an outbox entry: it stays stored");
                    return Some(Unreadable { seq, row: None, error, raw: Vec::new() });
                }
                Ok(Some(_)) | Err(_) => return None,
            }
        }
        None
    }
}

/// Adds what comes behind.
fn take(found: &mut Loaded, next: Loaded) {
    found.entries.extend(next.entries);
    found.unreadable.extend(next.unreadable);
    found.last = found.last.max(next.last);
}
