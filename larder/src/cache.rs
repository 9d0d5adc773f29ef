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
use larder_core::value::{Item, Nested};
use larder_core::{CommitObserver, Fault, Key, Model, Row, Schema, Touched, ValueRef};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

const STRIPES: usize = 64;

/// The cache of a model is divided so that those who read it don't wait for each other, in as many parts on every machine:
/// no row that is kept is larger than a part.
const SHARD: usize = 512 << 10;
const SHARDS: usize = 32;

/// What a row costs beside what it consists of: its key, its count of owners, and its place in the cache.
const OVERHEAD: u64 = 96;

/// A cached row, and how many bytes of memory it takes.
struct Kept<M> {
    row: Arc<M>,
    bytes: u64,
}

impl<M> Clone for Kept<M> {
    fn clone(&self) -> Self {
        Self { row: Arc::clone(&self.row), bytes: self.bytes }
    }
}

#[derive(Clone)]
struct Bytes;

impl<M> Weighter<Key, Kept<M>> for Bytes {
    fn weight(&self, _: &Key, kept: &Kept<M>) -> u64 {
        kept.bytes
    }
}

/// The cached rows of one model.
pub(crate) struct ModelCache<M> {
    rows: Cache<Key, Kept<M>, Bytes>,
    /// The revisions below which a row stays out, by the hash of its key.
    floors: [Mutex<u64>; STRIPES],
}

impl<M: Model> ModelCache<M> {
    fn new(bytes: usize) -> Self {
        let (most, at_most) = (bytes / (size_of::<M>() + OVERHEAD as usize), bytes as u64);
        let mut options = OptionsBuilder::new();
        options
            .shards((bytes / SHARD).clamp(1, SHARDS))
            .estimated_items_capacity(most)
            .weight_capacity(at_most);
        // It says no only if one of these was not set.
        let rows = options.build().map_or_else(
            |_| Cache::with_weighter(most, at_most, Bytes),
            |options| {
                Cache::with_options(
                    options,
                    Bytes,
                    DefaultHashBuilder::default(),
                    DefaultLifecycle::default(),
                )
            },
        );
        Self { rows, floors: std::array::from_fn(|_| Mutex::new(0)) }
    }

    /// The row, if it is cached.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<M>> {
        self.rows.get(key).map(|kept| kept.row)
    }

    /// Keeps a row that was read from the state `revision`, unless it has been written since.
    pub(crate) fn insert(&self, key: Key, row: Arc<M>, revision: u64) {
        // What can't be shown is not kept.
        let Ok(beside) = weight_beside(M::schema(), &*row) else { return };
        let bytes = size_of::<M>() as u64 + OVERHEAD + beside;
        let floor = self.floor(&key);
        let floor = floor.lock().unwrap_or_else(PoisonError::into_inner);
        if revision >= *floor {
            self.rows.insert(key, Kept { row, bytes });
        }
    }

    fn floor(&self, key: &Key) -> &Mutex<u64> {
        // Any hash will do: it decides nothing but which lock is taken.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        &self.floors[(hash % STRIPES as u64) as usize]
    }
}

/// About how many bytes a row takes beside itself: its texts, bytes and composites.
pub(crate) fn weight_beside(schema: &Schema, row: &dyn Row) -> Result<u64, Fault> {
    let fields = 0..schema.fields.len();
    fields.map(|at| row.field(at).and_then(weight)).try_fold(0, |sum, bytes| Ok(sum + bytes?))
}

fn weight(value: ValueRef<'_>) -> Result<u64, Fault> {
    let all = |nested: Nested<'_>| {
        let mut sum = 0;
        nested.each(&mut |item| {
            sum += size_of::<ValueRef<'_>>() as u64;
            sum += match item {
                Item::Value(value) => weight(value)?,
                Item::Entry(key, value) => weight(key)? + weight(value)?,
            };
            Ok(())
        })?;
        Ok(sum)
    };
    match value {
        ValueRef::Str(text) => Ok(text.len() as u64),
        ValueRef::Bytes(bytes) => Ok(bytes.len() as u64),
        ValueRef::List(nested)
        | ValueRef::Map(nested)
        | ValueRef::Struct(nested)
        | ValueRef::Variant(nested) => all(nested),
        _ => Ok(0),
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

/// The caches of all models. Each has an equal part of what there is room for.
#[derive(Default)]
pub(crate) struct Caches {
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    by_model: HashMap<&'static str, Arc<dyn AnyCache>>,
}

impl Caches {
    /// Adds a model; no more than so many bytes of its rows are kept.
    pub(crate) fn add<M: Model>(&mut self, bytes: usize) {
        let cache = Arc::new(ModelCache::<M>::new(bytes));
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

#[cfg(test)]
mod tests {
    use larder_derive::Model;

    use super::*;

    #[derive(Clone, Debug, Model)]
    #[model(crate = "crate")]
    struct Page {
        #[model(key)]
        id: u32,
        text: String,
        tags: Vec<String>,
    }

    fn page(id: u32, bytes: usize) -> Arc<Page> {
        Arc::new(Page { id, text: "x".repeat(bytes), tags: Vec::new() })
    }

    fn kept(cache: &ModelCache<Page>, ids: std::ops::Range<u32>) -> usize {
        ids.filter(|id| cache.get(&Key::from(*id)).is_some()).count()
    }

    // Rules: r-cache-size
    #[test]
    fn it_keeps_so_many_bytes_however_large_the_rows_are() {
        const ROOM: usize = 1 << 20;
        for (bytes, at_least) in [(0, 4000), (1000, 700), (10_000, 80), (100_000, 4)] {
            let cache = ModelCache::new(ROOM);
            (0..20_000).for_each(|id| cache.insert(Key::from(id), page(id, bytes), 1));
            let kept = kept(&cache, 0..20_000);
            assert!(kept * bytes <= ROOM && kept >= at_least, "{kept} rows of {bytes} bytes");
        }
    }

    // Rules: r-cache-size
    #[test]
    fn a_row_for_which_there_is_no_room_is_not_kept_and_takes_no_other_with_it() {
        let cache = ModelCache::new(100_000);
        (0..5).for_each(|id| cache.insert(Key::from(id), page(id, 1000), 1));
        cache.insert(Key::from(9_u32), page(9, 200_000), 1);
        assert_eq!((kept(&cache, 0..5), kept(&cache, 9..10)), (5, 0));
        // It was smaller before, and is not what it was.
        cache.insert(Key::from(4_u32), page(4, 200_000), 1);
        assert_eq!(kept(&cache, 4..5), 0);
    }

    #[test]
    fn what_lies_in_lists_counts() {
        let row = Page { id: 1, text: "ab".into(), tags: vec!["abc".into(); 2] };
        assert_eq!(weight_beside(Page::schema(), &row), Ok(2 + 2 * (size_of::<ValueRef<'_>>() as u64 + 3)));
    }
}
