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
    /// Rung whenever the outbox has changed.
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

    /// Notes the rows of a model that are touched from now on, for as long as what is given lives.
    pub(crate) fn touches(&self, schema: &Schema) -> Arc<Touches> {
        let touches = Arc::new(Touches { model: schema.model, keys: Mutex::default() });
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        fetches.retain(|fetch| fetch.strong_count() > 0);
        fetches.push(Arc::downgrade(&touches));
        drop(fetches);
        touches
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

/// The rows of a model that were touched while a fetch of it was under way, removed ones included: what its pages say
/// about them may be older.
#[derive(Debug)]
pub(crate) struct Touches {
    model: &'static str,
    keys: Mutex<HashSet<Key>>,
}

impl Touches {
    fn note(&self, touched: &Touched) {
        let rows = touched.rows.iter().filter(|(schema, _)| schema.model == self.model);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.extend(rows.map(|(_, key)| key.clone()));
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
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
        if touched.outbox || touched.wiped {
            self.outbox.notify_one();
        }
    }
}
