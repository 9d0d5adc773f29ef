//! What was queued for a row before its deletion, once the remote has accepted that: there is something only where the queues
//! of two keys become one, and the deletion was sent before.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use larder_core::{Entry, Expect, Key, KeyKind, Op, Result, Schema};

use super::act::Acts;
use crate::engine::rebase::{Ended, Rebased};

/// How many deletions are remembered.
const KEPT: usize = 1_024;

/// The last deletions that the remote has accepted of rows whose keys it gives: one of them may have been made by a creation
/// whose answer is still to come.
#[derive(Debug, Default)]
pub(crate) struct Deletions(Mutex<VecDeque<Deletion>>);

#[derive(Debug)]
struct Deletion {
    schema: &'static Schema,
    key: Key,
    seq: u64,
    account: Option<Arc<str>>,
}

impl Deletions {
    /// The remote has accepted `entry`.
    fn note(&self, entry: &Entry) {
        if entry.row.is_some() || entry.schema.key.kind != KeyKind::Server {
            return;
        }
        let (schema, key, account) = (entry.schema, entry.key.clone(), entry.account.clone());
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What can't be made durable is tried again.
        if last.iter().any(|deletion| deletion.seq == entry.seq) {
            return;
        }
        if last.len() >= KEPT {
            last.pop_front();
        }
        last.push_back(Deletion { schema, key, seq: entry.seq, account });
    }

    /// The last one of the row under `key` in the name of `account`; 0 if there was none.
    fn of(&self, schema: &'static Schema, key: &Key, account: Option<&str>) -> u64 {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = |deletion: &&Deletion| {
            deletion.schema == schema && deletion.key == *key && deletion.account.as_deref() == account
        };
        last.iter().rev().find(of_it).map_or(0, |deletion| deletion.seq)
    }
}

/// Whether the remote says that it has no such row, once it was asked: it may have given the key of one that is deleted to a
/// new one.
pub(super) type Gone = Option<bool>;

impl Acts {
    /// What a deletion that the remote has accepted makes of the entries of its row before it: they have nothing left to say,
    /// as if they had become one with it.
    pub(super) async fn covered(&self, deletion: &Entry, gone: &mut Gone) -> Result<Rebased> {
        self.deletions.note(deletion);
        if deletion.row.is_some() || deletion.prev == 0 {
            return Ok(Rebased::default());
        }
        let mut earlier = self.chain(deletion.schema, &deletion.key, deletion.prev).await?;
        earlier.retain(|earlier| earlier.seq < deletion.seq && is_covered(earlier, deletion));
        if earlier.is_empty() || !self.is_gone(deletion, &deletion.key, gone).await {
            return Ok(Rebased::default());
        }
        Ok(ended(earlier))
    }

    /// The same for the entries behind a creation whose row gets the key `to`, if it was deleted under that before; `None` if
    /// it was not. Takes those out of `later` that have nothing left to say.
    pub(super) async fn deleted_before(
        &self,
        creation: &Entry,
        to: &Key,
        later: &mut Vec<Entry>,
        gone: &mut Gone,
    ) -> Option<Rebased> {
        let upto = self.deletions.of(creation.schema, to, creation.account.as_deref());
        let before = later.partition_point(|entry| entry.seq < upto);
        let covered = later[..before].iter().all(|entry| is_covered(entry, creation));
        if upto < creation.seq || !covered || !self.is_gone(creation, to, gone).await {
            return None;
        }
        Some(ended(later.drain(..before).collect()))
    }

    async fn is_gone(&self, entry: &Entry, key: &Key, gone: &mut Gone) -> bool {
        if let Some(gone) = gone {
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
        *gone.insert(is_gone)
    }
}

/// True if nothing is lost by the end of an entry whose row was deleted later in the name of the account of `decided`. Of one
/// that may have been sent the fate is not known; others may go with one in a request; and about what another account has
/// written somebody else has decided.
fn is_covered(entry: &Entry, decided: &Entry) -> bool {
    let alone = entry.within.is_none() && entry.carries.is_empty();
    entry.mark.is_none() && alone && entry.account == decided.account
}

fn ended(entries: Vec<Entry>) -> Rebased {
    let mut ended = Rebased::default();
    for entry in entries {
        ended.batch.expect.push(Expect::entry(&entry));
        ended.batch.ops.push(Op::Dequeue(entry.seq));
        ended.ended.push((entry, Ended::Covered));
    }
    ended
}

#[cfg(test)]
mod tests {
    use larder_core::{
        FieldDef, IntKind, KeyDef, Kind, MutationId, Operation, SendMark, Timestamp, Uuid, Within,
    };

    use super::*;

    static TEAM: Schema =
        Schema::new("Team", &[FieldDef::new("number", Kind::Int(IntKind::I64))], KeyDef::server(&[0]));

    fn deletion(key: i64, seq: u64) -> Entry {
        let id = MutationId(Uuid::from_u128(seq.into()));
        Entry { seq, ..Entry::new(&TEAM, key.into(), Operation::Delete, id, Timestamp::UNIX_EPOCH) }
    }

    // Rules: m-key-server-refs, o-coalesce-apart, o-coalesce-sent
    #[test]
    fn what_may_have_been_sent_or_goes_with_others_or_is_another_accounts_is_not_covered() {
        let (mine, decided) = (deletion(17, 2), deletion(17, 3));
        assert!(is_covered(&mine, &decided));
        let sent = Entry { mark: Some(SendMark { first: Timestamp::UNIX_EPOCH }), ..mine.clone() };
        let bobs = Entry { account: Some("bob".into()), ..mine.clone() };
        let carrier = Entry { carries: vec![decided.id], ..mine.clone() };
        let within = Within { carrier: decided.id, parent: decided.id, association: "team".into() };
        let within = Entry { within: Some(within), ..mine.clone() };
        for other in [sent, bobs, carrier, within] {
            assert!(!is_covered(&other, &decided), "{other:?}");
        }
    }

    // Rules: m-key-server-refs
    #[test]
    fn the_last_deletions_are_remembered() {
        let deletions = Deletions::default();
        deletions.note(&deletion(17, 1));
        deletions.note(&deletion(17, 2));
        deletions.note(&Entry { account: Some("bob".into()), ..deletion(17, 3) });
        let of = |key: i64, account| deletions.of(&TEAM, &key.into(), account);
        assert_eq!((of(17, None), of(17, Some("bob")), of(18, None)), (2, 3, 0));
        (0..KEPT).for_each(|_| deletions.note(&deletion(100, 4)));
        assert_eq!((of(17, None), of(100, None)), (2, 4), "one that is tried again takes one place");
        (5..KEPT as i64 + 4).for_each(|seq| deletions.note(&deletion(100 + seq, seq.unsigned_abs())));
        assert_eq!((of(17, None), of(17, Some("bob")), of(100, None)), (0, 0, 4));
    }
}
