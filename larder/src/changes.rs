//! Tells live queries and the outbox's driver that something was committed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use larder_core::{CommitObserver, Key, Schema, Touched};
use tokio::sync::{Notify, watch};

/// The revision at which each model was written last.
#[derive(Debug)]
pub(crate) struct Changes {
    models: HashMap<&'static str, watch::Sender<u64>>,
    /// Rung whenever entries have come into the outbox, or everything has gone out of it.
    pub(crate) outbox: Notify,
    wipes: AtomicU64,
    /// Who is told of every row that is touched while a fetch is under way.
    fetches: Mutex<Vec<Weak<Touches>>>,
}

impl Changes {
    pub(crate) fn new(schemas: &[&'static Schema]) -> Self {
        let models = schemas.iter().map(|schema| (schema.model, watch::Sender::new(0))).collect();
        Self { models, outbox: Notify::new(), wipes: AtomicU64::new(0), fetches: Mutex::default() }
    }

    /// Notes the rows of these models that are touched from now on, for as long as what is given lives.
    pub(crate) fn touches(&self, schemas: &[&'static Schema]) -> Arc<Touches> {
        let of_model = |schema: &&'static Schema| (schema.model, Noted::default());
        let touches = Arc::new(Touches(Mutex::new(schemas.iter().map(of_model).collect())));
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        fetches.retain(|fetch| fetch.strong_count() > 0);
        fetches.push(Arc::downgrade(&touches));
        drop(fetches);
        touches
    }

    /// Notes, before it is stored, that the remote has said something of a row: what a fetch under way brings of it may be
    /// older.
    pub(crate) fn confirm(&self, schema: &Schema, key: &Key) {
        let fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        fetches.iter().filter_map(Weak::upgrade).for_each(|fetch| fetch.confirm(schema, key));
    }

    /// How many watch a model.
    #[cfg(test)]
    pub(crate) fn watching(&self, schema: &Schema) -> usize {
        self.models.get(schema.model).map_or(0, watch::Sender::receiver_count)
    }

    /// How often the store has been wiped.
    pub(crate) fn wipes(&self) -> u64 {
        self.wipes.load(Ordering::SeqCst)
    }

    /// The revisions of a model's changes, the latest one alone.
    pub(crate) fn of(&self, schema: &Schema) -> Option<watch::Receiver<u64>> {
        self.models.get(schema.model).map(watch::Sender::subscribe)
    }
}

/// The rows that others have touched while a fetch that may bring them was under way, removed ones included, by model,
/// with the revision: what its pages say about them may be older.
#[derive(Debug)]
pub(crate) struct Touches(Mutex<HashMap<&'static str, Noted>>);

#[derive(Debug, Default)]
struct Noted {
    touched: HashMap<Key, u64>,
    /// The rows of which the remote has said something meanwhile, beside what the fetch brings.
    confirmed: HashSet<Key>,
}

impl Touches {
    fn note(&self, touched: &Touched) {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (schema, key) in &touched.rows {
            if let Some(noted) = models.get_mut(schema.model) {
                noted.touched.insert(key.clone(), touched.revision);
            }
        }
    }

    pub(crate) fn contains(&self, schema: &Schema, key: &Key) -> bool {
        let models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        models.get(schema.model).is_some_and(|noted| noted.touched.contains_key(key))
    }

    fn confirm(&self, schema: &Schema, key: &Key) {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(noted) = models.get_mut(schema.model) {
            noted.confirmed.insert(key.clone());
        }
    }

    /// Whether the remote has said something of the row meanwhile.
    pub(crate) fn is_confirmed(&self, schema: &Schema, key: &Key) -> bool {
        let models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        models.get(schema.model).is_some_and(|noted| noted.confirmed.contains(key))
    }

    /// Forgets what the fetch itself has touched by the commit `revision`: however many rows it brings, none is kept.
    pub(crate) fn forget<'a>(&self, revision: u64, own: impl Iterator<Item = (&'static Schema, &'a Key)>) {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (schema, key) in own {
            if let Some(noted) = models.get_mut(schema.model)
                && noted.touched.get(key) == Some(&revision)
            {
                noted.touched.remove(key);
            }
        }
    }
}

impl CommitObserver for Changes {
    fn durable(&self, touched: &Touched) {
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        fetches.retain(|fetch| match fetch.upgrade() {
            Some(fetch) => {
                fetch.note(touched);
                true
            }
            None => false,
        });
    }

    fn published(&self, touched: &Touched) {
        for (model, changed) in &self.models {
            if touched.wiped || touched.rows.iter().any(|(schema, _)| schema.model == *model) {
                changed.send_replace(touched.revision);
            }
        }
        if touched.wiped {
            self.wipes.fetch_add(1, Ordering::SeqCst);
        }
        // Nobody is woken for what is revised or removed: whoever does that tells the driver himself.
        if touched.queued || touched.wiped {
            self.outbox.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use larder_core::{CommitObserver as _, Key, Touched};

    use super::Changes;
    use crate::parcel;

    #[test]
    fn what_is_touched_by_others_right_after_a_page_is_not_forgotten_with_it() {
        let (schema, key) = (parcel::schema(), Key::from("1"));
        let changes = Changes::new(&[schema]);
        let touches = changes.touches(&[schema]);
        let touched = |revision| Touched { rows: vec![(schema, key.clone())], ..Touched::nothing(revision) };
        changes.durable(&touched(7));
        changes.durable(&touched(8));
        touches.forget(7, [(schema, &key)].into_iter());
        assert!(touches.contains(schema, &key), "the commit 8 was no page's");
        touches.forget(8, [(schema, &key)].into_iter());
        assert!(!touches.contains(schema, &key));
    }
}
