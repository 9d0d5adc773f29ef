//! Time, chance and tasks come from the runtime alone: two runs with one seed are the same run.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder::core::runtime::BoxFuture;
use larder::{Memory, OutboxSettings, Repository, Runtime, Select, Timestamp};
use support::{Net, Note, Switches, Turn, User, note, settled};

/// A clock that moves by a second a look, and numbers that follow from a seed. Work that may block runs at once.
#[derive(Debug)]
struct Seeded {
    ticks: AtomicU64,
    next: AtomicU64,
}

impl Seeded {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { ticks: AtomicU64::new(0), next: AtomicU64::new(seed) })
    }
}

impl Runtime for Seeded {
    fn now(&self) -> Timestamp {
        let tick = self.ticks.fetch_add(1, Ordering::Relaxed);
        Timestamp::from_second(1_700_000_000 + i64::try_from(tick).unwrap()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.ticks.fetch_add(1, Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        // An LCG with the constants of Knuth's MMIX.
        let step = |x: u64| x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        step(self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(step(x))).unwrap())
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::task::yield_now())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a single-threaded tokio runs tasks in the order of their waking"
    )]
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

/// What the remote saw of a run, down to the identities.
async fn trace(seed: u64) -> String {
    let net = Switches::new();
    let repo = Repository::builder()
        .store(Memory::new())
        .remote(Net(Arc::clone(&net)))
        .model::<Note>()
        .model::<User>()
        .runtime(Seeded::new(seed))
        .outbox(OutboxSettings::new().without_coalescing())
        .build()
        .await
        .unwrap();
    for turn in [Turn::Unreachable, Turn::LoseReply, Turn::Unreachable] {
        net.next(turn);
    }
    for i in 0..20 {
        let _ = repo.upsert(&note(&(i % 7).to_string(), "text", i)).await.unwrap();
    }
    repo.transaction(|tx| tx.delete(Note::STARS.lt(15))).await.unwrap();
    settled(&repo).await;
    let mut trace = String::new();
    for mutation in net.applied.lock().unwrap().iter() {
        let verb = mutation.operation.verb();
        writeln!(trace, "{} {verb} {} {:?}", mutation.id, mutation.key, mutation.row).unwrap();
    }
    writeln!(trace, "{:?}", repo.get(Select::<Note>::all()).await.unwrap()).unwrap();
    trace
}

#[tokio::test]
async fn one_seed_is_one_run() {
    let first = trace(7).await;
    assert!(first.lines().count() > 20, "{first}");
    assert_eq!(first, trace(7).await);
    assert_ne!(first, trace(8).await);
}
