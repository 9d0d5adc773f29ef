//! How much memory a queue of requests takes does not depend on how long it is, nor on how long their bodies are.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder::core::Response;
use larder::{Memory, OutboxSettings, Redb, Repository, RequestSettings};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// How long each body is.
const BODY: usize = 100_000;

/// How many are on their way at a time.
const PARALLEL: usize = 4;

async fn open(file: &Path, arrived: &Arc<AtomicUsize>) -> Repository {
    let arrived = Arc::clone(arrived);
    let remote = Memory::new().answering(move |request| {
        arrived.fetch_add(usize::from(request.body.len() == BODY), Ordering::SeqCst);
        Ok(Response { status: 200, headers: Vec::new(), body: None })
    });
    let repo = Repository::builder()
        .store(Redb::at(file).cache_size(256 << 10))
        .remote(remote)
        .requests(RequestSettings::new())
        .outbox(OutboxSettings::new().parallel(PARALLEL))
        .paused()
        .cache_size(0)
        .build();
    repo.await.unwrap()
}

/// The most bytes that were held at a time while `count` requests were kept, found again, listed and sent.
async fn most(count: usize, lanes: usize) -> usize {
    let _profiler = dhat::Profiler::builder().testing().build();
    let folder = tempfile::tempdir().unwrap();
    let (file, arrived) = (folder.path().join("queue.redb"), Arc::new(AtomicUsize::new(0)));
    let repo = open(&file, &arrived).await;
    for nth in 0..count {
        let request = repo.http().put(format!("/{nth}")).lane((nth % lanes).to_string());
        let _ = request.body(vec![7; BODY]).send().await.unwrap();
    }
    repo.close().await;
    let repo = open(&file, &arrived).await;
    let listed = repo.outbox().list(0, count).await.unwrap();
    assert_eq!(listed.len(), count);
    drop(listed);
    repo.outbox().resume();
    repo.outbox().settled().await;
    repo.close().await;
    assert_eq!(arrived.load(Ordering::SeqCst), count);
    dhat::HeapStats::get().max_bytes
}

// Rules: o-requests-memory
#[tokio::test(flavor = "current_thread")]
async fn a_queue_of_long_requests_runs_in_bounded_memory() {
    // Of those in lanes of their own, dozens are marked at a time. How many are removed together depends on how they meet;
    // if their bodies were kept until then, it would be several times as much.
    for (lanes, bodies) in [(8, 14), (240, 28)] {
        let bytes = most(240, lanes).await;
        println!("240 requests in {lanes} lanes: {bytes} bytes at most");
        assert!(bytes < bodies * BODY, "240 requests of {BODY} bytes each take {bytes} bytes");
    }
}
