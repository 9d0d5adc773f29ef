//! What the model server is like.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{Error, Idempotency, Model, Mutation, Request, Schema};

/// Says no to a mutation.
type Refusal = Arc<dyn Fn(&Mutation) -> Option<Error> + Send + Sync>;
/// Says no to a request that is no model.
type RefusalOfRequests = Arc<dyn Fn(&Request) -> Option<Error> + Send + Sync>;

/// What the server is like.
///
/// ```
/// use larder_sim::Server;
///
/// let server = Server::ignoring_keys().checking_versions().pages_of(2);
/// ```
#[derive(Clone)]
pub struct Server {
    repeats: Repeats,
    /// Of these models repeats are another matter.
    apart: BTreeMap<&'static str, Repeats>,
    pub(crate) versions: bool,
    pub(crate) strict: bool,
    pub(crate) page: Option<usize>,
    /// Pages go on by number.
    pub(crate) numbered: bool,
    /// How many changes it remembers, if it tells what has changed.
    pub(crate) changes: Option<usize>,
    pub(crate) pushes: bool,
    pub(crate) away_until: Duration,
    pub(crate) asks_for: Option<Duration>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) refusal_of_requests: Option<RefusalOfRequests>,
}

/// What becomes of a request that the server has had before, and what the devices are told of that.
#[derive(Clone, Copy, Debug)]
struct Repeats {
    keys: Keys,
    declared: Idempotency,
}

/// What becomes of an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    Honoured,
    Ignored,
    Rejected,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("repeats", &self.repeats)
            .field("apart", &self.apart)
            .field("versions", &self.versions)
            .field("page", &self.page)
            .field("numbered", &self.numbered)
            .finish_non_exhaustive()
    }
}

impl Server {
    fn new(keys: Keys, declared: Idempotency) -> Self {
        Self {
            repeats: Repeats { keys, declared },
            apart: BTreeMap::new(),
            versions: false,
            strict: false,
            page: None,
            numbered: false,
            changes: None,
            pushes: false,
            away_until: Duration::ZERO,
            asks_for: None,
            refusal: None,
            refusal_of_requests: None,
        }
    }

    /// A request that it has had before gets the answer again, and has no further effect.
    #[must_use]
    pub fn honouring_keys() -> Self {
        Self::new(Keys::Honoured, Idempotency::KEYED)
    }

    /// Every request is a new one; so the devices ask before they repeat one.
    #[must_use]
    pub fn ignoring_keys() -> Self {
        Self::new(Keys::Ignored, Idempotency::Probe)
    }

    /// A request that it has had before is a conflict (409).
    #[must_use]
    pub fn rejecting_repeats() -> Self {
        Self::new(Keys::Rejected, Idempotency::KEYED)
    }

    /// What the devices are told of a repeat, whether it is true or not.
    #[must_use]
    pub fn declaring(mut self, idempotency: Idempotency) -> Self {
        self.repeats.declared = idempotency;
        self
    }

    /// Repeats of requests for `M` are treated, and declared, as `other` does; of all models alike unless told otherwise.
    ///
    /// ```
    /// use larder::{Idempotency, Model};
    /// use larder_sim::Server;
    ///
    /// #[derive(Model)]
    /// struct Payment {
    ///     #[model(key)]
    ///     id: String,
    ///     cents: i64,
    /// }
    ///
    /// let once = Server::ignoring_keys().declaring(Idempotency::AtMostOnce);
    /// let server = Server::honouring_keys().but_for::<Payment>(&once);
    /// ```
    #[must_use]
    pub fn but_for<M: Model>(mut self, other: &Self) -> Self {
        self.apart.insert(M::schema().model, other.repeats);
        self
    }

    /// A change that was made from another version than the row has is refused (412), as by `If-Match`, and so is a new
    /// row whose key is taken. Without it, the last write wins.
    #[must_use]
    pub fn checking_versions(mut self) -> Self {
        self.versions = true;
        self
    }

    /// A row that refers to one that the server does not have is refused (422).
    #[must_use]
    pub fn checking_references(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Lists come in pages of so many rows. Each goes on after the last row of the one before.
    #[must_use]
    pub fn pages_of(mut self, rows: usize) -> Self {
        self.page = Some(rows.max(1));
        self
    }

    /// Lists come in pages of so many rows that go on by number: what is written meanwhile moves rows from one page to
    /// another, so a list may leave out a row that is there throughout, and have another twice.
    #[must_use]
    pub fn numbered_pages_of(self, rows: usize) -> Self {
        Self { numbered: true, ..self.pages_of(rows) }
    }

    /// It tells what has changed, and which rows are gone ([`Delta`](larder_core::Delta)); of each model it remembers so many
    /// changes, and who asks about more has to pull everything. Without it every pull is of everything.
    #[must_use]
    pub fn telling_changes(mut self, remembered: usize) -> Self {
        self.changes = Some(remembered);
        self
    }

    /// It pushes changes ([`Realtime`](larder_core::Realtime)) to the devices that listen, whose repositories are built with
    /// [`live`](larder::Builder::live). A push that does not reach a device ends the connection. Of each model it remembers so
    /// many changes as it [tells](Self::telling_changes), or 4,096.
    #[must_use]
    pub fn pushing(mut self) -> Self {
        self.pushes = true;
        self
    }

    /// It answers 503 to every mutation for so long from the beginning.
    #[must_use]
    pub fn away_until(mut self, end: Duration) -> Self {
        self.away_until = end;
        self
    }

    /// While it is [away](Self::away_until), it asks each device to come back after so long (`Retry-After`).
    #[must_use]
    pub fn asking_for(mut self, wait: Duration) -> Self {
        self.asks_for = Some(wait);
        self
    }

    /// Mutations for which `refusal` has an error are refused with it.
    #[must_use]
    pub fn refusing(mut self, refusal: impl Fn(&Mutation) -> Option<Error> + Send + Sync + 'static) -> Self {
        self.refusal = Some(Arc::new(refusal));
        self
    }

    /// Requests that are no models and for which `refusal` has an error are refused with it; the others are answered 200.
    #[must_use]
    pub fn refusing_requests(
        mut self,
        refusal: impl Fn(&Request) -> Option<Error> + Send + Sync + 'static,
    ) -> Self {
        self.refusal_of_requests = Some(Arc::new(refusal));
        self
    }

    fn repeats(&self, model: &str) -> Repeats {
        self.apart.get(model).copied().unwrap_or(self.repeats)
    }

    pub(crate) fn keys(&self, schema: &Schema) -> Keys {
        self.repeats(schema.model).keys
    }

    pub(crate) fn declared(&self, schema: &Schema) -> Idempotency {
        self.repeats(schema.model).declared
    }

    /// Whether a repeat has no effect by the server's own doing.
    pub(crate) fn is_exact(&self, model: &str) -> bool {
        self.repeats(model).keys != Keys::Ignored
    }
}
