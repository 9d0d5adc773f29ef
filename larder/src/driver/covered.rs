//! What was queued for a row before its deletion, once the remote has accepted that: there is something only where the queues
//! of two keys become one, and the deletion was sent before.

use std::collections::BTreeMap;

use larder_core::{Entry, Expect, Key, Op, Result};

use super::act::Acts;
use crate::engine::exchange::is_covered;
use crate::engine::rebase::{Ended, Rebased};
use crate::given::KEYS;

/// Of which keys the remote says that it has no such row, as far as it was asked: it may have given the key of one that is
/// deleted to a new one.
pub(super) type Gone = BTreeMap<Key, bool>;

/// What became of a row under the key that the remote has given it, before the answer with that key has come.
#[derive(Debug)]
pub(super) struct Since {
    /// The one under which it stands by now: where it was deleted, it may have been made anew.
    pub(super) key: Key,
    /// That it is as it was looked at.
    pub(super) expect: Expect,
    /// It was deleted, and is gone or another one by now.
    pub(super) deleted: bool,
    /// Which mutation has written each field last.
    pub(super) written: BTreeMap<usize, u64>,
    /// What was queued under the temporary key before it was deleted, and has nothing left to say.
    pub(super) ended: Rebased,
}

impl Acts {
    /// What a deletion that the remote has accepted makes of the entries of its row before it: they have nothing left to say,
    /// as if they had become one with it.
    pub(super) async fn covered(&self, deletion: &Entry, gone: &mut Gone) -> Result<Rebased> {
        if deletion.row.is_some() {
            return Ok(Rebased::default());
        }
        let mut earlier = self.earlier(deletion).await?;
        earlier.retain(|earlier| is_covered(earlier, deletion));
        if earlier.is_empty() || !self.is_gone(deletion, &deletion.key, gone).await {
            return Ok(Rebased::default());
        }
        Ok(covered_by(earlier))
    }

    /// What became meanwhile of the row of a creation that gets the key `to`. Takes those out of `later`, the other entries of
    /// the row, that have nothing left to say.
    pub(super) async fn since(
        &self,
        creation: &Entry,
        to: &Key,
        later: &mut Vec<Entry>,
        gone: &mut Gone,
    ) -> Result<Since> {
        let (schema, account) = (creation.schema, creation.account.as_deref());
        let (mut key, mut deleted, mut ended, mut revision) = (to.clone(), false, Vec::new(), 0);
        for _ in 0..KEYS {
            // First of all: what is accepted from here on changes it.
            let there = self.store.load(&self.cx(), schema, &key).await?;
            revision = there.as_ref().map_or(0, |there| there.meta.revision);
            let upto = self.accepted.deleted(schema, &key, account);
            let before = later.partition_point(|entry| entry.seq < upto);
            let covered = later[..before].iter().all(|entry| is_covered(entry, creation));
            if upto < creation.seq || !covered || !self.is_gone(creation, &key, gone).await {
                break;
            }
            deleted = true;
            ended.extend(later.drain(..before));
            match self.given.get(schema, &key).filter(|_| there.is_none()) {
                Some(again) => key = again,
                None => break,
            }
        }
        let written = self.accepted.written(schema, &key);
        let expect = Expect::Row { schema, key: key.clone(), revision };
        Ok(Since { key, expect, deleted, written, ended: covered_by(ended) })
    }

    async fn is_gone(&self, entry: &Entry, key: &Key, gone: &mut Gone) -> bool {
        if let Some(gone) = gone.get(key) {
            return *gone;
        }
        let asked = Entry { key: key.clone(), ..entry.clone() };
        let is_gone = match self.there(&asked).await {
            Ok(there) => there.is_none(),
            Err(error) => {
                tracing::warn!(%error, "the remote can't be asked whether a row is gone: what is queued for it goes");
                false
            }
        };
        gone.insert(key.clone(), is_gone);
        is_gone
    }
}

fn covered_by(entries: impl IntoIterator<Item = Entry>) -> Rebased {
    let mut ended = Rebased::default();
    for entry in entries {
        ended.batch.expect.push(Expect::entry(&entry));
        ended.batch.ops.push(Op::Dequeue(entry.seq));
        ended.ended.push((entry, Ended::Covered));
    }
    ended
}
