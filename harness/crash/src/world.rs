//! Where a story happens: one thread, virtual time, chance from a seed, and a count of panics.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use larder::core::runtime::BoxFuture;
use larder::{Runtime, Timestamp};

use crate::disk::mix;

/// How long a story may take by its own clock: what waits longer waits for ever.
pub const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Time jumps to the next timer whenever nothing can go on; blocking work is done at once.
#[derive(Debug)]
pub struct World {
    start: tokio::time::Instant,
    drawn: AtomicU64,
    seed: u64,
}

impl Runtime for World {
    fn now(&self) -> Timestamp {
        let start = Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH);
        start + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn random(&self) -> u64 {
        mix(self.seed ^ self.drawn.fetch_add(1, Ordering::Relaxed))
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
    fn spawn(&self, _: &'static str, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.blocking(name, work);
    }
}

/// How a story ended that did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It waits for something that will not come.
    Hangs,
    /// It panicked, with this message.
    Panicked(String),
}

/// Runs a story.
///
/// # Errors
/// How it ended otherwise.
pub fn run<T, F: Future<Output = T>>(seed: u64, story: impl FnOnce(Arc<World>) -> F) -> Result<T, Broken> {
    let run = || {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let tokio = tokio.map_err(|error| Broken::Panicked(error.to_string()))?;
        tokio.block_on(async {
            let world = World { start: tokio::time::Instant::now(), drawn: AtomicU64::new(0), seed };
            let story = tokio::time::timeout(PATIENCE, story(Arc::new(world)));
            story.await.map_err(|_| Broken::Hangs)
        })
    };
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(Broken::Panicked(text.unwrap_or_default()))
    })
}

/// If it is set, redb's panics are printed as well.
const TOLD: &str = "LARDER_CRASH_PANICS";

static OURS: AtomicU64 = AtomicU64::new(0);
static REDB: AtomicU64 = AtomicU64::new(0);

/// Counts panics instead of printing them: those of redb, which are contained, apart from all others.
pub fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|place| place.file().replace('\\', "/")).unwrap_or_default();
            // Those of the standard library are redb's as well: they are called from there.
            if place.contains("/redb-") || place.starts_with("/rustc/") {
                REDB.fetch_add(1, Ordering::Relaxed);
                if std::env::var_os(TOLD).is_some() {
                    before(info);
                }
            } else {
                OURS.fetch_add(1, Ordering::Relaxed);
                before(info);
            }
        }));
    });
}

/// How many panics there were: ours, and redb's.
#[must_use]
pub fn panics() -> (u64, u64) {
    (OURS.load(Ordering::Relaxed), REDB.load(Ordering::Relaxed))
}
