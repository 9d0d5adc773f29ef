//! The process dies at any commit: no request is lost, and none that has a key has its effect twice.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::core::OpenStore;
use larder::{Memory, ParkReason};

use crate::disk::{Disk, life};
use crate::server::{Server, Turn};
use crate::soon;

/// Sends three requests below `path` and waits for what becomes of them; gives how many were durable, and whether the
/// process died meanwhile, which it does at the nth commit.
async fn until_it_dies(
    server: &Arc<Server>,
    disk: &Disk,
    new: impl OpenStore,
    path: &str,
    (commits, durable): (u64, bool),
) -> (usize, bool) {
    let (repo, faults) = life(server, disk, new).await;
    faults.burn(commits, durable);
    let stored = Mutex::new(0);
    let story = async {
        for number in 0..3 {
            let post = repo.http().post(format!("{path}/{number}")).body("x");
            let _ = post.send().await.unwrap();
            *stored.lock().unwrap() += 1;
        }
        repo.outbox().settled().await;
    };
    let dies = async {
        while !faults.dead.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    };
    let died = {
        futures_util::pin_mut!(story, dies);
        matches!(futures_util::future::select(story, dies).await, futures_util::future::Either::Right(_))
    };
    faults.dead.store(true, Ordering::SeqCst);
    let stored = *stored.lock().unwrap();
    // What is under way stays under way for ever.
    std::mem::forget(repo);
    (stored, died)
}

fn troubled(path: &str) -> Arc<Server> {
    let server = Server::new();
    server.next(&format!("{path}/0"), Turn::Unreachable);
    server.next(&format!("{path}/1"), Turn::LoseReply);
    server.next(&format!("{path}/2"), Turn::Say(503, "later"));
    server
}

async fn keyed(point: (u64, bool)) -> bool {
    let (server, disk) = (troubled("/keyed"), Disk::default());
    let (stored, died) = until_it_dies(&server, &disk, Memory::new(), "/keyed", point).await;
    let (repo, _) = life(&server, &disk, Memory::new()).await;
    soon(repo.outbox().settled()).await;
    assert!(repo.outbox().is_empty().await.unwrap(), "{point:?}: {:?}", repo.outbox().list(0, 9).await);
    let done = server.done();
    assert!(done.len() >= stored, "{point:?}: {stored} were durable, and {done:?} arrived");
    let expected: Vec<String> = (0..done.len()).map(|number| format!("POST /keyed/{number} x")).collect();
    assert_eq!(done, expected, "{point:?}: once, and in order");
    assert!(repo.check().await.unwrap().is_sound());
    died
}

// Rules: o-crash, o-requests, o-requests-once
#[tokio::test]
async fn killed_at_any_commit_a_keyed_request_has_its_effect_once() {
    let mut points = 0;
    for durable in [false, true] {
        for commits in 1.. {
            if !keyed((commits, durable)).await {
                break;
            }
            points += 1;
        }
    }
    assert!(points >= 16, "it died at {points} points alone");
}

// Rules: o-crash, o-requests-once, o-marked
#[tokio::test]
async fn killed_at_any_commit_an_undeclared_post_is_never_repeated_by_itself() {
    let mut uncertain = 0;
    for durable in [false, true] {
        for commits in 1.. {
            let (server, disk) = (Server::new(), Disk::default());
            // A server that would do it again.
            *server.forgetful.lock().unwrap() = true;
            server.next("/once/1", Turn::LoseReply);
            let point = (commits, durable);
            let (stored, died) = until_it_dies(&server, &disk, Memory::new(), "/once", point).await;
            if !died {
                break;
            }
            let (repo, _) = life(&server, &disk, Memory::new()).await;
            // One that is parked as uncertain stops its lane: it is given up, as somebody has to decide.
            let mut given_up = 0;
            while !repo.outbox().is_empty().await.unwrap() {
                soon(repo.outbox().settled()).await;
                for left in repo.outbox().parked().await.unwrap() {
                    assert_eq!(left.parked, Some(ParkReason::Uncertain), "{point:?}");
                    repo.outbox().discard(left.seq).await.unwrap();
                    given_up += 1;
                }
            }
            let done = server.done();
            let mut once = done.clone();
            once.sort();
            once.dedup();
            assert_eq!(once, done, "{point:?}: none twice, and in order");
            assert!(
                done.len() + given_up >= stored,
                "{point:?}: {stored} durable, {done:?}, {given_up} given up"
            );
            uncertain += given_up;
        }
    }
    assert!(uncertain > 0);
}

// Rules: o-crash, o-requests
#[cfg(feature = "redb")]
#[tokio::test]
async fn killed_at_any_commit_a_file_has_the_request_and_its_body_or_neither() {
    for commits in [1, 2, 3, 4, 6, 8, 10] {
        let folder = tempfile::tempdir().unwrap();
        let file = || larder::Redb::at(folder.path().join("app.redb"));
        let (server, disk) = (troubled("/keyed"), Disk::default());
        let point = (commits, commits % 2 == 0);
        let (stored, _) = until_it_dies(&server, &disk, file(), "/keyed", point).await;
        let (repo, _) = life(&server, &disk, file()).await;
        soon(repo.outbox().settled()).await;
        assert!(repo.check().await.unwrap().is_sound(), "{point:?}");
        let done = server.done();
        assert!(done.len() >= stored && done.iter().all(|done| done.ends_with(" x")), "{point:?}: {done:?}");
        assert!(repo.outbox().is_empty().await.unwrap());
    }
}
