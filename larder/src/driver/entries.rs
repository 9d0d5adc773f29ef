//! Entries as they are stored: one with its row, and all of a row in their order.

use larder_core::{Entry, EntryState, Key, Result, Schema, StoredRow};

use super::act::{Acts, is_unreadable};
use crate::engine::settle::{self, View};

/// An entry, and its row as it is stored.
pub(super) type Found = (Entry, Option<StoredRow>);

impl Acts {
    /// An entry and its row. The entry is of no state before that of the row: a batch that relies on the row's revision
    /// relies on the entry as well, because whatever is decided about an entry touches its row.
    pub(super) async fn look(&self, seq: u64) -> Result<Option<Found>> {
        let revision = self.store.revision();
        if let Some(found) = self.recent.take(revision, seq) {
            return Ok(Some(found));
        }
        let Some(entry) = self.store.entry(&self.cx(), seq).await? else {
            return Ok(None);
        };
        let stored = self.store.load(&self.cx(), entry.schema, &entry.key).await?;
        let entry = match self.store.revision() == revision {
            true => Some(entry),
            false => self.store.entry(&self.cx(), seq).await?,
        };
        Ok(entry.map(|entry| (entry, stored)))
    }

    /// The entry of a row that comes after `entry`; `hint` is what the engine knows of that.
    pub(super) async fn next(
        &self,
        entry: &Entry,
        stored: Option<&StoredRow>,
        hint: Option<u64>,
    ) -> Result<Option<Entry>> {
        let tail = stored.map_or(0, |stored| stored.meta.tail);
        if tail <= entry.seq {
            return Ok(None);
        }
        if let Some(hint) = hint.filter(|hint| *hint <= tail) {
            let found = self.store.entry(&self.cx(), hint).await;
            // Others may have come in between, where two queues have become one.
            if let Ok(Some(found)) = found
                && found.prev == entry.seq
            {
                return Ok(Some(found));
            }
        }
        let chain = self.chain(entry.schema, &entry.key, tail).await?;
        Ok(chain.into_iter().find(|other| other.seq > entry.seq))
    }

    /// The entries of a row, oldest first. Those that can't be read are left out.
    pub(crate) async fn chain(&self, schema: &'static Schema, key: &Key, tail: u64) -> Result<Vec<Entry>> {
        let (mut chain, mut at) = (Vec::new(), tail);
        while at != 0 {
            match self.store.entry(&self.cx(), at).await {
                Ok(Some(found)) => {
                    at = found.prev.min(at - 1);
                    if !settle::is_reverted(&found) {
                        chain.push(found);
                    }
                }
                // The one before has been settled.
                Ok(None) => break,
                Err(error) if is_unreadable(&error) => return self.scan(schema, key).await,
                Err(error) => return Err(error),
            }
        }
        chain.reverse();
        Ok(chain)
    }

    /// The entries of a row that come before one that is on its way: there are some where the queues of two keys have become
    /// one.
    pub(super) async fn earlier(&self, entry: &Entry) -> Result<Vec<Entry>> {
        let mut chain = self.chain(entry.schema, &entry.key, entry.prev).await?;
        chain.retain(|other| other.seq < entry.seq);
        Ok(chain)
    }

    /// Whether one that is still to go comes before an entry that is not on its way.
    pub(super) async fn has_earlier(&self, entry: &Entry) -> Result<bool> {
        let goes = |other: &Entry| other.mark.is_none() && other.state == EntryState::Ready;
        let alone = |other: &Entry| other.within.is_none() && other.account == entry.account;
        Ok(self.earlier(entry).await?.iter().any(|other| goes(other) && alone(other)))
    }

    /// The entries of a row whose list is broken, oldest first.
    pub(super) async fn scan(&self, schema: &'static Schema, key: &Key) -> Result<Vec<Entry>> {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let loaded = self.store.outbox(&self.cx(), after, 256).await?;
            if loaded.entries.is_empty() && loaded.unreadable.is_empty() {
                return Ok(found);
            }
            after = loaded.last;
            found.extend(
                loaded.entries.into_iter().filter(|entry| {
                    entry.schema == schema && entry.key == *key && !settle::is_reverted(entry)
                }),
            );
        }
    }

    /// The row of an entry, and the entries of it that come before and after.
    pub(super) async fn view(&self, entry: &Entry, stored: Option<StoredRow>) -> Result<View> {
        let tail = stored.as_ref().map_or(0, |stored| stored.meta.tail);
        let mut earlier = self.chain(entry.schema, &entry.key, tail).await?;
        earlier.retain(|other| other.seq != entry.seq);
        let later = earlier.split_off(earlier.partition_point(|other| other.seq < entry.seq));
        Ok(View { stored, earlier, later })
    }
}
