//! A damaged store, as an application sees it.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::{ErrorKind, OnCorrupt, ReadPolicy, Redb, Repository, Select};
use support::chaos::{Faulty, memory};
use support::{Net, Note, Switches, User, local, note, settled};

async fn open_with(store: Redb, net: &Arc<Switches>) -> larder::Result<Repository> {
    let builder = Repository::builder().store(store).remote(Net(Arc::clone(net)));
    let builder = builder
        .outbox(larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20)));
    builder.model::<Note>().model::<User>().build().await
}

async fn open(file: &Path, net: &Arc<Switches>) -> Repository {
    open_with(Redb::at(file), net).await.unwrap()
}

/// Alters one bit of every place where this text stands.
fn spoil(file: &Path, text: &str) {
    let mut bytes = std::fs::read(file).unwrap();
    let places: Vec<usize> =
        (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] ^= 1;
    }
    std::fs::write(file, bytes).unwrap();
}

// Rules: d-salvage, d-salvage-status
#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_fetched_again_and_what_is_queued_goes_out() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let repo = open(&file, &net).await;
    for at in 0..200 {
        net.elsewhere(note(&format!("n{at:03}"), &format!("of the server {at:03}"), at)).await;
    }
    assert_eq!(repo.get(Select::<Note>::all()).await.unwrap().len(), 200);
    net.offline(true);
    for at in 0..20 {
        let _ = repo.upsert(&note(&format!("mine{at}"), "written here", at)).await.unwrap();
    }
    assert!(repo.check().await.unwrap().is_sound());
    repo.close().await;
    spoil(&file, "of the server 150");

    let repo = open(&file, &net).await;
    assert_eq!(repo.status().damage, None);
    let everything = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await;
    assert_eq!(everything.unwrap_err().kind(), ErrorKind::Corrupt);
    // It mends itself behind that answer; asking for it waits for it.
    assert_eq!(repo.salvage().await.unwrap(), None);
    let damage = repo.status().damage.expect("the status says so");
    assert_eq!((damage.rows, damage.entries, damage.lost), (219, 20, 1));
    assert!(Path::new(&damage.aside).exists());
    assert_eq!(local(&repo).await.len(), 219);
    // Nothing counts as known any more: without a remote that is an error and not a list with a hole.
    assert!(repo.coverage(Select::<Note>::all()).await.unwrap().is_none());
    net.offline(false);
    settled(&repo).await;
    assert_eq!(repo.get(Select::<Note>::all()).await.unwrap().len(), 220);
    assert_eq!(net.notes().await.len(), 220);
    assert_eq!(repo.find::<Note>("n150").await.unwrap().unwrap().text, "of the server 150");
    assert!(repo.check().await.unwrap().is_sound());
    // It is told again after each start, until somebody has taken note of it.
    repo.close().await;
    let repo = open(&file, &net).await;
    assert_eq!(repo.status().damage.as_ref(), Some(&damage));
    repo.acknowledge(&damage).await.unwrap();
    assert_eq!(repo.status().damage, None);
    repo.close().await;
    let repo = open(&file, &net).await;
    assert_eq!(repo.status().damage, None);
    repo.close().await;
}

// Rules: d-check, d-salvage
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_whether_the_store_is_sound_is_told_and_may_have_it_mended() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let repo = open(&file, &net).await;
    let notes: Vec<Note> = (0..200).map(|at| note(&format!("{at}"), &format!("text {at}."), at)).collect();
    let _ = repo.writing(larder::WritePolicy::LocalOnly).upsert_many(&notes).await.unwrap();
    assert_eq!(repo.salvage().await.unwrap(), None, "there is nothing to mend");
    repo.close().await;
    spoil(&file, "text 150.");
    let repo = open(&file, &net).await;
    let late = repo.within(Duration::ZERO).check().await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
    let found = repo.check().await.unwrap();
    assert!(!found.is_sound() && found.rows == 200 && repo.status().damage.is_none(), "{found:?}");
    let damage = repo.salvage().await.unwrap().expect("it was mended");
    assert_eq!((damage.rows, damage.lost), (199, 1));
    assert!(repo.check().await.unwrap().is_sound() && repo.status().damage == Some(damage));
    assert_eq!(repo.store_size().await.unwrap().bytes, std::fs::metadata(&file).unwrap().len());
    repo.close().await;
}

// Rules: s-wipe
#[tokio::test(flavor = "multi_thread")]
async fn a_wipe_that_fails_removes_nothing_and_gives_nothing_up() {
    let ((store, faults), net) = (Faulty::over(&memory().await, 1), Switches::new());
    let builder = Repository::builder().store(store).remote(Net(Arc::clone(&net)));
    let repo = builder.model::<Note>().model::<User>().build().await.unwrap();
    net.offline(true);
    let stored = repo.upsert(&note("1", "unsent", 1)).await.unwrap();
    faults.failing.store(100, Ordering::SeqCst);
    assert_eq!(repo.wipe().await.unwrap_err().kind(), ErrorKind::Storage);
    faults.failing.store(0, Ordering::SeqCst);
    assert_eq!(local(&repo).await, ["1"]);
    assert_eq!(repo.safe_to_wipe().await.unwrap().entries, 1);
    net.offline(false);
    support::soon(stored.accepted()).await.unwrap();
    repo.wipe().await.unwrap();
    assert!(local(&repo).await.is_empty() && repo.safe_to_wipe().await.unwrap().nothing());
}

// Rules: d-salvage
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_can_t_be_opened_is_begun_anew_unless_told_otherwise() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    net.offline(true);
    let repo = open(&file, &net).await;
    let _ = repo.upsert(&note("1", "a", 1)).await.unwrap();
    repo.close().await;
    // The two names of the model are in the notes and in their second copy.
    spoil(&file, "Note");
    let error = open_with(Redb::at(&file).on_corrupt(OnCorrupt::Fail), &net).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let repo = open(&file, &net).await;
    let damage = repo.status().damage.expect("the status says so");
    assert!(damage.lost > 0, "{damage:?}");
    let _ = repo.upsert(&note("2", "b", 1)).await.unwrap();
    assert_eq!(local(&repo).await, ["2"]);
    repo.close().await;
}

// Rules: d-compact
#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_time_offline_the_file_becomes_small_again() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    for by_itself in [true, false] {
        net.offline(true);
        let file = folder.path().join(format!("{by_itself}.redb"));
        let above = if by_itself { 256 << 10 } else { u64::MAX };
        let repo = open_with(Redb::at(&file).compact_above(above), &net).await.unwrap();
        let text = "x".repeat(1500);
        for some in 0..10 {
            let notes: Vec<Note> =
                (0..100).map(|at| note(&format!("{}", some * 100 + at), &text, 0)).collect();
            let _ = repo.upsert_many(&notes).await.unwrap();
        }
        let all: Vec<larder::Key> = (0..1000).map(|at| format!("{at}").into()).collect();
        let _ = repo.delete::<Note>(all).await.unwrap();
        let full = repo.store_size().await.unwrap().bytes;
        net.offline(false);
        settled(&repo).await;
        let drained = repo.store_size().await.unwrap().bytes;
        assert!(by_itself || drained >= full, "nobody has asked for it: {full} became {drained}");
        let small = repo.compact().await.unwrap();
        assert_eq!(small, repo.store_size().await.unwrap());
        assert!(small.bytes <= full / 10, "{full} became {}", small.bytes);
        assert!(repo.check().await.unwrap().is_sound());
        repo.close().await;
    }
}
