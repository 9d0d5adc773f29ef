//! The stubs themselves: what is declared, what was asked, and the switches.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder_core::Runtime;
use serde_json::Value;

use crate::calls::Call;
use crate::collection::{Collection, Rows};
use crate::error::Undeclared;
use crate::pattern::{self, Pattern};
use crate::switches::Switches;
use crate::variant::Variant;

/// Stubs for the endpoints of a server: a [`tower::Service`] for HTTP requests that opens no socket.
///
/// Clones are cheap and share everything, so one goes to the client as its transport and another stays with the test.
///
/// - The variant that fits a request most closely answers it; of several that fit alike, the one declared last. A
///   variant that fits wins over a collection.
/// - What nobody declared is answered by 501, with a message that names the nearest variants.
/// - Every request that arrives is logged.
#[derive(Clone, Default)]
pub struct Stubs {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) variants: Vec<Declared>,
    pub(crate) collections: Vec<Rows>,
    pub(crate) calls: Vec<Call>,
    pub(crate) undeclared: Vec<Undeclared>,
    pub(crate) refused: usize,
    pub(crate) base: Vec<String>,
    pub(crate) runtime: Option<Arc<dyn Runtime>>,
    pub(crate) switches: Switches,
}

/// A variant, and how often it was asked.
pub(crate) struct Declared {
    pub(crate) variant: Variant,
    pub(crate) asked: usize,
}

impl fmt::Debug for Stubs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stubs").field("declared", &self.declared()).finish_non_exhaustive()
    }
}

impl Stubs {
    /// Stubs that declare nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Declares a variant, `[METHOD ]path[?query]`, that answers with `json`.
    #[must_use]
    pub fn on(self, name: &str, json: Value) -> Self {
        self.variant(Variant::new(name).json(json))
    }

    /// Declares several variants at once: a line for several models.
    #[must_use]
    pub fn on_each<'a>(self, variants: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        variants.into_iter().fold(self, |stubs, (name, json)| stubs.on(name, json))
    }

    /// Declares a variant. It replaces an earlier one that answers the same requests.
    #[must_use]
    pub fn variant(self, variant: Variant) -> Self {
        let mut inner = self.inner();
        inner.variants.retain(|declared| !declared.variant.same(&variant));
        inner.variants.push(Declared { variant, asked: 0 });
        drop(inner);
        self
    }

    /// Declares a stateful collection. It replaces an earlier one at the same path.
    #[must_use]
    pub fn collection(self, collection: Collection) -> Self {
        let mut inner = self.inner();
        inner.collections.retain(|rows| rows.config.path != collection.path);
        inner.collections.push(Rows::new(collection));
        drop(inner);
        self
    }

    /// Declares several collections at once, empty and with the key `id`.
    #[must_use]
    pub fn collections<'a>(self, paths: impl IntoIterator<Item = &'a str>) -> Self {
        paths.into_iter().fold(self, |stubs, path| stubs.collection(Collection::at(path)))
    }

    /// Sets the path that the server's paths stand below, such as `/api/v1`.
    #[must_use]
    pub fn base(self, path: &str) -> Self {
        self.inner().base = pattern::segments(path);
        self
    }

    /// Sets the runtime by which delays are waited for.
    #[must_use]
    pub fn runtime(self, runtime: Arc<dyn Runtime>) -> Self {
        self.inner().runtime = Some(runtime);
        self
    }

    /// The switches of all stubs. A variant has its own: [`Variant::switches`].
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.inner().switches.clone()
    }

    /// Everything that is declared, as it was written, in order.
    #[must_use]
    pub fn declared(&self) -> Vec<String> {
        self.inner().declared().collect()
    }

    /// The rows of the collection at `path`, in the order of their keys; none if there is no such collection.
    #[must_use]
    pub fn rows(&self, path: &str) -> Vec<Value> {
        let inner = self.inner();
        inner.collection(path).map(Rows::all).unwrap_or_default()
    }

    /// Writes a row into the collection at `path`, as a server does by itself: the row gets a new version.
    ///
    /// # Panics
    /// If there is no such collection, or the row is no object.
    #[track_caller]
    pub fn put_row(&self, path: &str, row: Value) {
        assert!(row.is_object(), "a row of a collection is an object, not {row}");
        let done = self.inner().collection_mut(path).map(|rows| rows.put(row));
        assert!(done.is_some(), "no collection is declared at `{path}`");
    }

    /// Removes a row from the collection at `path`, as a server does by itself. `false` if it is not there.
    pub fn remove_row<'a>(&self, path: &str, key: impl IntoIterator<Item = &'a str>) -> bool {
        let key: Vec<String> = key.into_iter().map(str::to_owned).collect();
        self.inner().collection_mut(path).is_some_and(|rows| rows.remove(&key))
    }

    /// The requests that arrived, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.inner().calls.clone()
    }

    /// The requests that arrived and that a variant of this name answers, in order.
    #[must_use]
    pub fn calls_of(&self, name: &str) -> Vec<Call> {
        let pattern = Pattern::parse(name);
        self.inner().calls.iter().filter(|call| call.is_of(&pattern)).cloned().collect()
    }

    /// How many connections were refused: those requests are not in the log.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.inner().refused
    }

    /// The requests that nobody declared.
    #[must_use]
    pub fn undeclared(&self) -> Vec<Undeclared> {
        self.inner().undeclared.clone()
    }

    /// The variants that were declared and never asked for.
    #[must_use]
    pub fn unasked(&self) -> Vec<String> {
        let inner = self.inner();
        let unasked = inner.variants.iter().filter(|declared| declared.asked == 0);
        unasked.map(|declared| declared.variant.name.clone()).collect()
    }

    /// Forgets the log, and begins sequences of answers anew. Declarations, rows and switches stay.
    pub fn forget_calls(&self) {
        let mut inner = self.inner();
        inner.calls.clear();
        inner.undeclared.clear();
        inner.refused = 0;
        inner.variants.iter_mut().for_each(|declared| declared.asked = 0);
    }

    /// Asserts how often a variant of this name was asked for.
    ///
    /// # Panics
    /// If it was another number of times; the message has the log.
    #[track_caller]
    pub fn assert_called(&self, name: &str, times: usize) {
        let found = self.calls_of(name).len();
        assert!(found == times, "`{name}` was asked {found} times, not {times}; {}", self.log());
    }

    /// Asserts that nothing was asked for that is not declared.
    ///
    /// # Panics
    /// If something was.
    #[track_caller]
    pub fn assert_all_declared(&self) {
        let undeclared: Vec<String> = self.undeclared().iter().map(ToString::to_string).collect();
        assert!(undeclared.is_empty(), "{}", undeclared.join("\n"));
    }

    /// Asserts that every declared variant was asked for.
    ///
    /// # Panics
    /// If one was not.
    #[track_caller]
    pub fn assert_all_asked(&self) {
        let unasked = self.unasked();
        assert!(unasked.is_empty(), "never asked for: {}; {}", unasked.join(", "), self.log());
    }

    fn log(&self) -> String {
        let calls: Vec<String> = self.calls().iter().map(|call| format!("\n  {call}")).collect();
        if calls.is_empty() {
            "nothing was asked".to_owned()
        } else {
            format!("the calls were:{}", calls.concat())
        }
    }

    /// How often each variant and collection answered.
    #[must_use]
    pub fn tally(&self) -> BTreeMap<String, usize> {
        let mut tally = BTreeMap::new();
        for variant in self.inner().calls.iter().filter_map(|call| call.variant.clone()) {
            *tally.entry(variant).or_default() += 1;
        }
        tally
    }
}

impl Inner {
    pub(crate) fn declared(&self) -> impl Iterator<Item = String> {
        let variants = self.variants.iter().map(|declared| declared.variant.name.clone());
        variants.chain(self.collections.iter().map(|rows| rows.config.path.clone()))
    }

    fn collection(&self, path: &str) -> Option<&Rows> {
        self.collections.iter().find(|rows| rows.config.path == path.trim_matches('/'))
    }

    fn collection_mut(&mut self, path: &str) -> Option<&mut Rows> {
        self.collections.iter_mut().find(|rows| rows.config.path == path.trim_matches('/'))
    }
}
