//! What went wrong elsewhere with pulling, and does not here.

use std::sync::atomic::Ordering;

use larder::{ErrorKind, Memory, ReadPolicy, Repository, Select, WritePolicy};

use crate::server::{Server, name, opened};
use crate::support::{Note, note};

async fn ids(repo: &Repository) -> Vec<String> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| note.id.clone()).collect()
}

// Rules: s-delete, s-delta
#[tokio::test]
async fn peer_bug_07_rows_deleted_on_the_server_stay_for_ever() {
    for server in [Server::paging(2).await, Server::telling(Memory::new()).await] {
        server.fill(5).await;
        let repo = server.repo(opened(Memory::new()).await).await;
        repo.sync().await.unwrap();
        server.write(&name(0), None).await;
        server.write(&name(3), None).await;
        repo.sync().await.unwrap();
        assert_eq!(ids(&repo).await, [name(1), name(2), name(4)]);
    }
}

// Rules: s-delete, s-pending, s-resync
#[tokio::test]
async fn peer_bug_08_destructive_sync_deletes_rows_that_were_created_offline() {
    for server in [Server::paging(2).await, Server::telling(Memory::new()).await] {
        server.fill(5).await;
        let repo = server.builder(opened(Memory::new()).await).paused().build().await.unwrap();
        drop(repo.upsert(&note("created offline", "mine", 1)).await.unwrap());
        drop(repo.writing(WritePolicy::LocalOnly).upsert(&note("never sent", "mine", 1)).await.unwrap());
        repo.sync().await.unwrap();
        repo.sync().full().await.unwrap();
        repo.resync().await.unwrap();
        assert_eq!(ids(&repo).await[5..], ["created offline", "never sent"]);
        assert_eq!(repo.safe_to_wipe().await.unwrap().entries, 1);
        repo.outbox().resume();
        repo.outbox().drain().await;
        assert_eq!(server.notes().await.len(), 6, "and it arrives");
    }
}

// Rules: r-remote-only-offline, r-remote-first-offline
#[tokio::test]
async fn peer_bug_12_an_outage_looks_like_no_data() {
    let server = Server::paging(2).await;
    server.fill(5).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    server.offline.store(true, Ordering::SeqCst);
    for policy in
        [ReadPolicy::LocalFirst, ReadPolicy::LocalThenRemote, ReadPolicy::RemoteFirst, ReadPolicy::RemoteOnly]
    {
        let nothing = repo.reading(policy).get(Select::<Note>::all()).await.unwrap_err();
        assert_eq!(
            nothing.kind(),
            ErrorKind::Offline,
            "{policy:?}: nothing is known, which is not: there is none"
        );
    }
    assert_eq!(repo.sync().await.unwrap_err().kind(), ErrorKind::Offline);
    server.offline.store(false, Ordering::SeqCst);
    repo.sync().await.unwrap();
    server.offline.store(true, Ordering::SeqCst);
    let stale = repo.reading(ReadPolicy::RemoteFirst).get(Select::<Note>::all()).await.unwrap();
    assert_eq!((stale.len(), stale.stale().map(larder::Error::kind)), (5, Some(ErrorKind::Offline)));
    assert!(repo.reading(ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await.is_err());
}

// Rules: r-coverage, s-resume
#[tokio::test]
async fn peer_bug_13_a_few_cached_rows_suppress_the_first_fetch_of_a_list() {
    let server = Server::paging(2).await;
    server.fill(5).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    assert!(repo.find::<Note>(name(3)).await.unwrap().is_some());
    assert_eq!(repo.get(Select::<Note>::all()).await.unwrap().len(), 5);
    // Half a pull is a few cached rows as well.
    let repo = server.repo(opened(Memory::new()).await).await;
    server.answers.store(1, Ordering::SeqCst);
    repo.sync().model::<Note>().unwrap().await.unwrap_err();
    server.answers.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(ids(&repo).await.len(), 2);
    assert_eq!(repo.get(Select::<Note>::all()).await.unwrap().len(), 5);
}
