//! How much memory a pull takes does not depend on how many rows there are.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder::core::{
    Applied, Capabilities, Context, Delta, Done, Meta, Mutation, Page, PageRow, PageToken, Plan, Presence,
    Provider, Query, Realtime, Requests, Schema, async_trait,
};
use larder::{Idempotency, Model, Operation, Redb, Repository, Result, Timestamp};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const PAGE: usize = 250;

#[derive(Model, Debug)]
struct Reading {
    #[model(key)]
    id: u64,
    value: String,
}

/// A remote that makes its rows up, in an order that has nothing to do with their keys, and no two in a row at a time.
#[derive(Debug)]
struct Endless {
    rows: usize,
    /// What every value begins with.
    round: AtomicUsize,
}

#[async_trait]
impl Provider for Endless {
    fn name(&self) -> &str {
        "endless"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
    }

    fn idempotency(&self, _: &'static Schema, _: Operation) -> Idempotency {
        Idempotency::AtMostOnce
    }

    async fn get(&self, cx: &Context, _: &'static Schema, _: &Query) -> Result<Page> {
        let from: usize = cx.resume.as_ref().map_or(0, |token| token.0.parse().unwrap());
        let to = (from + PAGE).min(self.rows);
        let round = self.round.load(Ordering::SeqCst);
        let row = |at: usize| {
            let id = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let value =
                format!("{round}: what a reading has to say of itself, which is not much, number {at}");
            PageRow::new(Meta::synced(Timestamp::UNIX_EPOCH), Arc::new(Reading { id, value }))
        };
        let next = (to < self.rows).then(|| PageToken(to.to_string()));
        Ok(Page { rows: (from..to).map(row).collect(), done: Done::default(), next, ..Page::default() })
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        Ok(query.plan(schema, &self.capabilities()))
    }

    async fn exists(&self, _: &Context, _: &'static Schema, _: &Query) -> Result<Presence> {
        Ok(Presence::Unknown)
    }

    async fn apply(&self, _: &Context, _: &Mutation) -> Result<Applied> {
        unreachable!("nothing is written")
    }

    fn delta(&self) -> Option<&dyn Delta> {
        None
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        None
    }

    fn requests(&self) -> Option<&dyn Requests> {
        None
    }
}

/// The most bytes that were held at a time by two pulls: all rows are new, then all are known.
async fn most(rows: usize) -> usize {
    let _profiler = dhat::Profiler::builder().testing().build();
    let folder = tempfile::tempdir().unwrap();
    let store = Redb::at(folder.path().join("readings.redb")).cache_size(256 << 10);
    let remote = Arc::new(Endless { rows, round: AtomicUsize::new(0) });
    let repo = Repository::builder()
        .store(store)
        .remote(Arc::clone(&remote) as Arc<dyn Provider>)
        .model::<Reading>()
        .cache_size(0)
        .build()
        .await
        .unwrap();
    let changed = repo.sync().await.unwrap().changed;
    assert_eq!(changed, rows as u64);
    assert_eq!(repo.sync().await.unwrap().changed, 0);
    dhat::HeapStats::get().max_bytes
}

// Rules: s-memory
#[tokio::test(flavor = "current_thread")]
async fn a_pull_of_many_rows_runs_in_bounded_memory() {
    let (some, many) = (most(9_000).await, most(24_000).await);
    println!("9,000 rows: {some} bytes at most; 24,000 rows: {many}");
    assert!(many < some + some / 5, "9,000 rows took {some} bytes, 24,000 took {many}");
    assert!(many < 16 << 20, "{many} bytes");
}
