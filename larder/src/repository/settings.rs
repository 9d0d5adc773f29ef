//! How the outbox goes about its work.

use std::collections::BTreeMap;
use std::time::Duration;

use larder_core::Model;

use crate::engine::backoff::Backoff;
use crate::engine::{PermanentFailure, Settings};

/// How the outbox goes about its work: see [`Builder::outbox`](crate::Builder::outbox).
///
/// ```
/// use std::time::Duration;
///
/// use larder::{Memory, Model, OutboxSettings, PermanentFailure, Repository};
///
/// # #[derive(Model, Debug)]
/// # struct Label { #[model(key)] name: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> larder::Result<()> {
/// let settings = OutboxSettings::new()
///     .serial()
///     .capacity(10_000)
///     .backoff(Duration::from_secs(1), Duration::from_secs(120))
///     .on_permanent_failure::<Label>(PermanentFailure::Revert);
/// let repo = Repository::builder()
///     .store(Memory::new())
///     .remote(Memory::new())
///     .model::<Label>()
///     .outbox(settings)
///     .build()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "give it to `Builder::outbox`"]
pub struct OutboxSettings {
    pub(super) engine: Settings,
    pub(super) capacity: Option<u64>,
    pub(super) policies: BTreeMap<&'static str, PermanentFailure>,
    pub(super) coalesce: bool,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self { engine: Settings::default(), capacity: None, policies: BTreeMap::new(), coalesce: true }
    }
}

impl OutboxSettings {
    /// What holds unless told otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many mutations may be on their way at a time (8 unless told otherwise); those of one row go one by one.
    pub fn parallel(mut self, mutations: usize) -> Self {
        self.engine.parallel = mutations.max(1);
        self
    }

    /// Sends one mutation at a time, whatever its row, in the order in which they were written: the next one goes when
    /// the remote has answered (see [`strict`](Self::strict) for what that leaves open). One that has to be tried
    /// again keeps the others waiting; one that is parked stops what it would stop else, and the others go on.
    pub fn serial(mut self) -> Self {
        self.engine.serial = true;
        self
    }

    /// Lets a mutation go only when the place that it takes is free: the one before it there is out of the outbox, durably.
    ///
    /// Unless told so, what the remote has accepted leaves the outbox while the next mutations are on their way, and
    /// several leave it by one commit. Then up to 64 (or as many as go at a time, if that is more) that the remote has
    /// may still be queued, and a process that is killed sends these again, under their keys. That holds only for
    /// mutations whose repeat has no effect, [`Idempotent`](larder_core::Idempotency::Idempotent) and
    /// [`Keyed`](larder_core::Idempotency::Keyed); and what belongs to the same row, or depends on it, waits in any case.
    pub fn strict(mut self) -> Self {
        self.engine.ahead = 0;
        self
    }

    /// Sends every write as a mutation of its own. Unless told so, the writes of one row that have not been sent are one
    /// mutation: a creation and its changes are a creation, changes are one change from the oldest base, a change and a
    /// deletion are a deletion, and a creation and a deletion are nothing.
    ///
    /// To be chosen where the steps count and not what they come to: a server that keeps a history, or acts on each change.
    pub fn without_coalescing(mut self) -> Self {
        self.coalesce = false;
        self
    }

    /// The ceiling of the first wait and the highest ceiling; 500 ms and 5 minutes unless told otherwise. A wait is anywhere
    /// below its ceiling, which doubles with each failure. A remote that stays out of reach is tried each half of the highest
    /// ceiling from then on, at a moment that is drawn for this device.
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.engine.backoff = Backoff { base, cap };
        self
    }

    /// How far apart devices that regain their connection at one moment begin to send: each waits for anything up to this,
    /// 2 seconds unless told otherwise, before the first request. What the application insists on, by
    /// [`drain`](crate::Outbox::drain) say, does not wait.
    pub fn spread(mut self, spread: Duration) -> Self {
        self.engine.spread = spread;
        self
    }

    /// How often the remote may fail of itself (500 and its like) on a mutation, and over which time at least, before it
    /// is parked as [`Exhausted`](larder_core::ParkReason::Exhausted): 5 times over 10 minutes unless told otherwise.
    /// Attempts that did not reach the remote, and those that it put off, don't count.
    pub fn strikes(mut self, failures: u32, span: Duration) -> Self {
        self.engine.strikes = failures.max(1);
        self.engine.strike_span = span;
        self
    }

    /// The longest that the remote is left alone because it asked for it (`Retry-After`); an hour unless told otherwise. Each
    /// device has its own place in a tenth of that after it, at most half of the highest ceiling of the backoff.
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.engine.longest_wait = wait;
        self
    }

    /// How many mutations are looked at ahead; 4096 unless told otherwise. A longer outbox costs no more memory.
    pub fn window(mut self, mutations: usize) -> Self {
        self.engine.window = mutations.max(2);
        self
    }

    /// The most mutations that the outbox may hold, parked ones included; without a limit unless told otherwise. A write
    /// that finds no room is refused with [`Full`](larder_core::ErrorKind::Full), and nothing of it is stored: nothing that is queued is
    /// dropped to make room. What is being written at that moment counts, so a write may be refused a little early.
    pub fn capacity(mut self, mutations: u64) -> Self {
        self.capacity = Some(mutations);
        self
    }

    /// What becomes of a mutation of `M` that has failed for good; it is parked unless told otherwise.
    pub fn on_permanent_failure<M: Model>(mut self, policy: PermanentFailure) -> Self {
        self.policies.insert(M::schema().model, policy);
        self
    }
}
