//! The memory cache in front of the store: typed, bounded, and never older than what has been published.
//!
//! A row enters with the revision of the state that it was read from; a commit raises the floor of the rows that it
//! touches before any reader can see it. A row that was read before and arrives after is below the floor and stays
//! out, so a cache hit is never older than a read of the store.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, PoisonError};

use larder_core::association::AnyModel;
use larder_core::{CommitObserver, Key, Model, Touched};
use quick_cache::sync::Cache;

const STRIPES: usize = 64;

/// The cached rows of one model.
pub(crate) struct ModelCache<M> {
    rows: Cache<Key, Arc<M>>,
    /// The revisions below which a row stays out, by the hash of its key.
    floors: [Mutex<u64>; STRIPES],
}

impl<M: Model> ModelCache<M> {
    fn new(capacity: usize) -> Self {
        Self { rows: Cache::new(capacity), floors: std::array::from_fn(|_| Mutex::new(0)) }
    }

    /// The row, if it is cached.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<M>> {
        self.rows.get(key)
    }

    /// Keeps a row that was read from the state `revision`, unless it has been written since.
    pub(crate) fn insert(&self, key: Key, row: Arc<M>, revision: u64) {
        let floor = self.floor(&key);
        let floor = floor.lock().unwrap_or_else(PoisonError::into_inner);
        if revision >= *floor {
            self.rows.insert(key, row);
        }
    }

    fn floor(&self, key: &Key) -> &Mutex<u64> {
        // Any hash will do: it decides nothing but which lock is taken.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        &self.floors[(hash % STRIPES as u64) as usize]
    }
}

/// A model's cache, whatever the model.
pub(crate) trait AnyCache: Send + Sync {
    /// As [`ModelCache::get`].
    fn any(&self, key: &Key) -> Option<Arc<dyn AnyModel>>;
    /// As [`ModelCache::insert`]; a row of another model stays out.
    fn insert_any(&self, key: Key, row: Arc<dyn AnyModel>, revision: u64);
    fn forget(&self, key: &Key, revision: u64);
    fn clear(&self, revision: u64);
}

impl<M: Model> AnyCache for ModelCache<M> {
    fn any(&self, key: &Key) -> Option<Arc<dyn AnyModel>> {
        self.get(key).map(|row| row as Arc<dyn AnyModel>)
    }

    fn insert_any(&self, key: Key, row: Arc<dyn AnyModel>, revision: u64) {
        if let Ok(row) = row.into_any().downcast::<M>() {
            self.insert(key, row, revision);
        }
    }

    fn forget(&self, key: &Key, revision: u64) {
        let mut floor = self.floor(key).lock().unwrap_or_else(PoisonError::into_inner);
        *floor = revision.max(*floor);
        self.rows.remove(key);
    }

    fn clear(&self, revision: u64) {
        for floor in &self.floors {
            let mut floor = floor.lock().unwrap_or_else(PoisonError::into_inner);
            *floor = revision.max(*floor);
        }
        self.rows.clear();
    }
}

/// The caches of all models.
#[derive(Default)]
pub(crate) struct Caches {
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    by_model: HashMap<&'static str, Arc<dyn AnyCache>>,
}

impl Caches {
    /// Adds a model; at most `capacity` of its rows are kept.
    pub(crate) fn add<M: Model>(&mut self, capacity: usize) {
        let cache = Arc::new(ModelCache::<M>::new(capacity));
        self.by_type.insert(TypeId::of::<M>(), Arc::<ModelCache<M>>::clone(&cache));
        self.by_model.insert(M::schema().model, cache);
    }

    /// The cache of `M`, if it has one.
    pub(crate) fn of<M: Model>(&self) -> Option<&ModelCache<M>> {
        self.by_type.get(&TypeId::of::<M>())?.downcast_ref()
    }

    /// The cache of the model with this name, if it has one.
    pub(crate) fn named(&self, model: &str) -> Option<&dyn AnyCache> {
        self.by_model.get(model).map(|cache| &**cache)
    }
}

impl CommitObserver for Caches {
    fn durable(&self, touched: &Touched) {
        if touched.wiped {
            self.by_model.values().for_each(|cache| cache.clear(touched.revision));
        }
        for (schema, key) in &touched.rows {
            if let Some(cache) = self.by_model.get(schema.model) {
                cache.forget(key, touched.revision);
            }
        }
    }

    fn published(&self, _: &Touched) {}
}

impl std::fmt::Debug for Caches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caches").field("models", &self.by_model.len()).finish_non_exhaustive()
    }
}
