//! What the remote has accepted last of rows whose keys it gives: one of them may have been made by a creation whose answer is
//! still to come, under whose temporary key something earlier is queued. While there may be such a creation it is noted in the
//! store as well, for that answer may come after a restart.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder_core::packed::DIALECT;
use larder_core::{
    Batch, Context, Entry, ErrorKind, FieldSet, Key, KeyKind, Op, Operation, Result, Schema, Store,
};
use serde::{Deserialize, Serialize};

use super::act::Acts;
use crate::engine::rebase::{Ended, Rebased};

/// How many changes are remembered.
const KEPT: usize = 1_024;

type Place = (&'static str, Key);

/// The last changes that the remote has accepted, by row.
#[derive(Debug, Default)]
pub(crate) struct Accepted(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    rows: HashMap<Place, Vec<Change>>,
    /// The rows, once for each of their changes, in the order in which these were accepted.
    order: VecDeque<Place>,
}

#[derive(Debug)]
struct Change {
    seq: u64,
    account: Option<Arc<str>>,
    /// `None`: the row was deleted.
    fields: Option<FieldSet>,
}

/// A change as it is noted in the store, whatever version of the model comes to read it.
#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    model: String,
    key: Key,
    seq: u64,
    account: Option<String>,
    fields: Option<Vec<String>>,
}

/// Where a change is noted: over one that is older by so many mutations.
fn scope(seq: u64) -> String {
    format!("accepted/{}", seq % KEPT as u64)
}

impl Accepted {
    /// What was noted in the store. Where nothing is queued, or no key is given, there is nothing to know.
    ///
    /// # Errors
    /// `Storage`.
    pub(crate) async fn load(store: &dyn Store, schemas: &[&'static Schema]) -> Result<Self> {
        let cx = Context::new();
        let gives_keys = schemas.iter().any(|schema| schema.key.kind == KeyKind::Server);
        if !gives_keys || store.outbox_counts(&cx).await?.entries == 0 {
            return Ok(Self::default());
        }
        let mut found = Vec::new();
        for at in 0..KEPT as u64 {
            let noted = match store.cursor(&cx, &scope(at)).await {
                Ok(None) => continue,
                Ok(Some(noted)) => serde_json::from_str::<Noted>(&noted).map_err(|error| error.to_string()),
                Err(error) if error.kind() == ErrorKind::Corrupt => Err(error.to_string()),
                Err(error) => return Err(error),
            };
            match noted {
                Ok(noted) => found.push(noted),
                Err(error) => {
                    tracing::warn!(%error, "which change the remote has accepted can't be read: it is not known");
                }
            }
        }
        found.sort_by_key(|noted| noted.seq);
        let mut last = Last::default();
        for Noted { model, key, seq, account, fields } in found {
            // One that is not registered any more has no rows.
            let Some(schema) = schemas.iter().find(|schema| schema.model == model) else { continue };
            let fields = fields
                .map(|names| names.iter().filter_map(|name| schema.position_in(DIALECT, name)).collect());
            last.add((schema.model, key), Change { seq, account: account.map(Into::into), fields });
        }
        Ok(Self(Mutex::new(last)))
    }

    /// The remote has accepted `entry`, and given its row the key `given`. Gives the key under which that is remembered, if it
    /// says anything of other entries.
    fn note(&self, entry: &Entry, given: Option<&Key>) -> Option<Key> {
        let Schema { model, key, .. } = entry.schema;
        let mut last = self.lock();
        // A row that nobody has deleted is created once, and nothing was accepted of it before.
        let again = entry.operation == Operation::Insert;
        if key.kind != KeyKind::Server || again && !last.rows.contains_key(&(*model, entry.key.clone())) {
            return None;
        }
        let key = given.unwrap_or(&entry.key);
        let fields = entry.row.as_ref().map(|_| entry.changed.clone());
        last.add((model, key.clone()), Change { seq: entry.seq, account: entry.account.clone(), fields });
        Some(key.clone())
    }

    /// The rows of a model of which something was accepted that was queued after `seq`.
    pub(crate) fn after(&self, schema: &Schema, seq: u64) -> Vec<Key> {
        let last = self.lock();
        let is_later = |changes: &[Change]| changes.iter().any(|change| change.seq > seq);
        let rows =
            last.rows.iter().filter(|((model, _), changes)| *model == schema.model && is_later(changes));
        rows.map(|((_, key), _)| key.clone()).collect()
    }

    /// The last deletion of a row in the name of `account`; 0 if there was none.
    pub(super) fn deleted(&self, schema: &Schema, key: &Key, account: Option<&str>) -> u64 {
        let deletes = |change: &&Change| change.fields.is_none() && change.account.as_deref() == account;
        self.of(schema, key, |changes| changes.iter().filter(deletes).map(|change| change.seq).max())
    }

    /// Which mutation was the last to write each field of a row.
    pub(super) fn written(&self, schema: &Schema, key: &Key) -> BTreeMap<usize, u64> {
        self.of(schema, key, |changes| {
            let mut written = BTreeMap::new();
            for change in changes {
                for at in change.fields.iter().flat_map(FieldSet::iter) {
                    let last = written.entry(at).or_default();
                    *last = change.seq.max(*last);
                }
            }
            Some(written)
        })
    }

    fn of<T: Default>(&self, schema: &Schema, key: &Key, what: impl FnOnce(&[Change]) -> Option<T>) -> T {
        let last = self.lock();
        let changes = last.rows.get(&(schema.model, key.clone()));
        changes.and_then(|changes| what(changes)).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acts {
    /// Remembers that the remote has accepted `entry`, and given its row the key `given`. What has to be known of that after a
    /// restart is noted with `batch`.
    pub(super) fn note_accepted(&self, batch: &mut Batch, entry: &Entry, given: Option<&Key>) {
        let Some(key) = self.accepted.note(entry, given) else { return };
        if self.creations.are_none() {
            return;
        }
        let name = |at: usize| entry.schema.fields.get(at).map(|field| field.name_in(DIALECT).to_owned());
        let noted = Noted {
            model: entry.schema.model.to_owned(),
            key,
            seq: entry.seq,
            account: entry.account.as_deref().map(str::to_owned),
            fields: entry.row.as_ref().map(|_| entry.changed.iter().filter_map(name).collect()),
        };
        // Keys that were stored can be written down.
        let value = serde_json::to_string(&noted).ok();
        batch.ops.push(Op::Cursor { scope: scope(entry.seq), value });
    }

    /// The same of all that the remote turned out to have, and of all that gave way to what the remote has: nor does anything
    /// earlier stand over that.
    pub(super) fn note_ended(&self, rebased: &mut Rebased) {
        let counts = |entry: &Entry, ended: Ended| match ended {
            Ended::Done => true,
            Ended::Overruled => entry.row.is_some(),
            Ended::Covered => false,
        };
        for (entry, _) in rebased.ended.iter().filter(|(entry, ended)| counts(entry, *ended)) {
            self.note_accepted(&mut rebased.batch, entry, None);
        }
    }
}

impl Last {
    fn add(&mut self, place: Place, change: Change) {
        let changes = self.rows.entry(place.clone()).or_default();
        // What can't be made durable is tried again.
        if changes.iter().any(|known| known.seq == change.seq) {
            return;
        }
        changes.push(change);
        self.order.push_back(place);
        if self.order.len() > KEPT {
            self.forget();
        }
    }

    /// Forgets the one that was accepted first.
    fn forget(&mut self) {
        let Some(place) = self.order.pop_front() else { return };
        if let Some(changes) = self.rows.get_mut(&place) {
            changes.remove(0);
            if changes.is_empty() {
                self.rows.remove(&place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use larder_core::{FieldDef, IntKind, KeyDef, Kind, MutationId, Record, Timestamp, Uuid, Value};

    use super::*;

    static TEAM: Schema = Schema::new(
        "Team",
        &[FieldDef::new("number", Kind::Int(IntKind::I64)), FieldDef::new("name", Kind::Str)],
        KeyDef::server(&[0]),
    );

    fn deletion(key: i64, seq: u64) -> Entry {
        let id = MutationId(Uuid::from_u128(seq.into()));
        Entry { seq, ..Entry::new(&TEAM, key.into(), Operation::Delete, id, Timestamp::UNIX_EPOCH) }
    }

    fn change(key: i64, seq: u64, operation: Operation, fields: &[usize]) -> Entry {
        let row = Record::new([Some(Value::Int(key.into())), Some(Value::Str("blue".into()))]);
        let changed = fields.iter().copied().collect();
        Entry { operation, row: Some(Arc::new(row)), changed, ..deletion(key, seq) }
    }

    // Rules: m-key-server-refs
    #[test]
    fn the_last_changes_are_remembered() {
        let accepted = Accepted::default();
        accepted.note(&deletion(17, 1), None);
        accepted.note(&deletion(17, 2), None);
        accepted.note(&Entry { account: Some("bob".into()), ..deletion(17, 3) }, None);
        let of = |key: i64, account| accepted.deleted(&TEAM, &key.into(), account);
        assert_eq!((of(17, None), of(17, Some("bob")), of(18, None)), (2, 3, 0));
        (0..KEPT).for_each(|_| drop(accepted.note(&deletion(100, 4), None)));
        assert_eq!((of(17, None), of(100, None)), (2, 4), "one that is tried again takes one place");
        (5..KEPT as i64 + 4)
            .for_each(|seq| drop(accepted.note(&deletion(100 + seq, seq.unsigned_abs()), None)));
        assert_eq!((of(17, None), of(17, Some("bob")), of(100, None)), (0, 0, 4));
    }

    // Rules: m-key-server-refs, o-order
    #[test]
    fn of_each_field_it_is_known_which_change_was_written_last_in_whatever_order_they_were_accepted() {
        let accepted = Accepted::default();
        let written = |key: i64| accepted.written(&TEAM, &key.into()).into_iter().collect::<Vec<_>>();
        accepted.note(&change(17, 5, Operation::Update, &[1]), None);
        accepted.note(&change(17, 4, Operation::Update, &[0, 1]), None);
        assert_eq!(written(17), [(0, 4), (1, 5)]);
        assert_eq!((accepted.after(&TEAM, 4), accepted.after(&TEAM, 5)), (vec![17.into()], vec![]));
        // Made anew, it is another row.
        accepted.note(&change(17, 6, Operation::Insert, &[0, 1]), Some(&18.into()));
        assert_eq!(written(18), [(0, 6), (1, 6)]);
        // What was never deleted is made once.
        accepted.note(&change(-1, 7, Operation::Insert, &[0, 1]), Some(&19.into()));
        assert_eq!((written(19), written(-1)), (vec![], vec![]));
    }
}
