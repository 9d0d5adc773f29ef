//! The store: kills, resets, failures, and a file that grows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::{ErrorKind, Model, Redb, Repository};

use crate::support::chaos::Faulty;
use crate::support::{Net, Note, Switches, User, drained, local, note, settled};

async fn open(file: &Path, net: &Arc<Switches>) -> Repository {
    let store = Redb::at(file).compact_above(64 << 10);
    let builder = Repository::builder().store(store).remote(Net(Arc::clone(net)));
    let builder = builder
        .outbox(larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20)));
    builder.model::<Note>().model::<User>().build().await.unwrap()
}

/// TanStack Query, Store and PowerSync lost it or sent it twice.
// Rules: o-crash
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_the_wrong_moment_loses_or_doubles_a_write() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    // What lies there at one moment is what a kill leaves: nothing may be written to it while it is copied.
    let kill = |name: &str| {
        let left = folder.path().join(name);
        while std::fs::copy(&file, &left).is_err()
            || std::fs::read(&file).unwrap() != std::fs::read(&left).unwrap()
        {}
        left
    };
    net.offline(true);
    let repo = open(&file, &net).await;
    for stars in 0..3 {
        let _ = repo.upsert(&note(&format!("n{stars}"), "acknowledged", stars)).await.unwrap();
    }
    let before = kill("before.redb");
    net.hang(true);
    net.offline(false);
    let draining = repo.outbox();
    let drain = tokio::time::timeout(Duration::from_millis(300), draining.drain());
    assert!(drain.await.is_err(), "the server has it, and says nothing");
    let amid = kill("amid.redb");
    let ids = || {
        let applied = net.applied.lock().unwrap();
        applied.iter().map(|mutation| mutation.id).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(ids().len(), 3);
    drop(repo);
    net.hang(false);
    for left in [amid, before] {
        let repo = open(&left, &net).await;
        assert_eq!(local(&repo).await.len(), 3);
        settled(&repo).await;
        assert!(repo.check().await.unwrap().is_sound());
        repo.close().await;
        // Whatever goes again goes under the identity that it has.
        assert_eq!((net.notes().await.len(), ids().len()), (3, 3));
    }
}

/// Brick's re-opening after a reset failed.
// Rules: p-wipe
#[tokio::test(flavor = "multi_thread")]
async fn reopening_after_a_reset_fails() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let repo = open(&file, &net).await;
    for round in 0..3 {
        let _ = repo.upsert(&note(&format!("a{round}"), "a", round)).await.unwrap();
        settled(&repo).await;
        repo.wipe().await.unwrap();
        assert!(local(&repo).await.is_empty());
        let _ = repo.upsert(&note(&format!("b{round}"), "b", round)).await.unwrap();
    }
    repo.close().await;
    let repo = open(&file, &net).await;
    assert_eq!(local(&repo).await, ["b2"]);
    assert!(repo.check().await.unwrap().is_sound());
    settled(&repo).await;
    repo.close().await;
}

/// Store (Dropbox's) reported the write a success.
// Rules: w-optimistic
#[tokio::test(flavor = "multi_thread")]
async fn the_store_failed_and_the_write_was_reported_a_success() {
    let net = Switches::new();
    let opening = larder::core::Opening {
        runtime: Arc::new(larder::TokioRuntime::current().unwrap()),
        schemas: [Note::schema(), User::schema()].into(),
    };
    let memory = larder::core::OpenStore::open(Box::new(larder::Memory::new()), &opening).await.unwrap();
    let (store, faults) = Faulty::over(&memory, 1);
    let builder = Repository::builder().store(store).remote(Net(Arc::clone(&net)));
    let repo = builder.model::<Note>().model::<User>().build().await.unwrap();
    faults.failing.store(100, Ordering::SeqCst);
    let refused = repo.upsert(&note("1", "a", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Storage);
    faults.failing.store(0, Ordering::SeqCst);
    drained(&repo).await;
    assert!(local(&repo).await.is_empty() && net.notes().await.is_empty(), "it is nowhere");
    assert!(repo.safe_to_wipe().await.unwrap().nothing());
    let _ = repo.upsert(&note("1", "a", 1)).await.unwrap();
    settled(&repo).await;
    assert_eq!(net.notes().await.len(), 1);
}

const ROUNDS: i64 = 40;

/// PouchDB's did, and redb's does unless it is told not to.
// Rules: d-compact
#[tokio::test(flavor = "multi_thread")]
async fn the_file_grows_for_ever() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let repo = open(&file, &net).await;
    let text = "x".repeat(2000);
    let mut sizes = Vec::new();
    for round in 0..ROUNDS {
        net.offline(true);
        let notes: Vec<Note> = (0..60).map(|nth| note(&format!("{nth}"), &text, round)).collect();
        let _ = repo.upsert_many(&notes).await.unwrap();
        net.offline(false);
        settled(&repo).await;
        sizes.push(repo.store_size().await.unwrap().bytes);
    }
    // It takes what a round needs at its fullest, and no more as time goes by. How far the queue had got when a round was
    // written decides whether that is one doubling of the file more or less.
    let written = u64::try_from(ROUNDS).unwrap() * 60 * 2 * 2000;
    let most = sizes.iter().max().copied().unwrap_or_default();
    assert!(most < written / 2, "{most} of {written}: {sizes:?}");
    repo.close().await;
}
