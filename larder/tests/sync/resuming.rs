//! A pull is broken off anywhere, and goes on there.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::{Either, select};
use larder::core::{Context, DeltaScope, Store};
use larder::{ErrorKind, Memory, ReadPolicy, Remark, Repository, Select, WritePolicy};
use rstest::rstest;

use crate::server::{Server, name, opened};
use crate::support::chaos::Faulty;
use crate::support::{Note, note, soon};

async fn here(repo: &Repository) -> Vec<(String, String)> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| (note.id.clone(), note.text.clone())).collect()
}

/// Names under which a pull keeps what it has to remember.
const NOTES: [&str; 4] =
    ["pull/Note/1", "seen/Note/1/00000000", "seen/Note/1/00000003", "seen/Note/1/00000006"];

/// A server that has changed since the client has pulled everything, and a client that has written meanwhile: "a" is
/// written and not sent, "b" is kept here by choice, 3 is changed here and deleted there.
async fn apart(server: &Arc<Server>, disk: &Arc<dyn Store>) {
    server.fill(20).await;
    let repo = server.builder(Arc::clone(disk)).paused().build().await.unwrap();
    repo.sync().model::<Note>().unwrap().await.unwrap();
    drop(repo.upsert(&note("a", "mine", 1)).await.unwrap());
    drop(repo.writing(WritePolicy::LocalOnly).upsert(&note("b", "mine", 1)).await.unwrap());
    drop(repo.upsert(&note(&name(3), "mine", 1)).await.unwrap());
    repo.close().await;
    for id in [3, 7, 8, 19] {
        server.write(&name(id), None).await;
    }
    for id in [0, 9, 25, 26] {
        server.write(&name(id), Some(note(&name(id), "new", 2))).await;
    }
    server.asked();
}

/// What is to be here in the end: all that the server has, and what was written here.
async fn expected(server: &Server) -> Vec<(String, String)> {
    let mut notes = server.notes().await;
    notes.extend([&name(3), "a", "b"].map(|id| (id.to_owned(), "mine".to_owned())));
    notes.sort();
    notes
}

// Rules: s-resume, s-delete, s-pull, s-pending
#[rstest]
#[case::pages(DeltaScope::Nothing)]
#[case::a_delta(DeltaScope::ChangesAndDeletions)]
#[tokio::test]
async fn a_pull_that_is_killed_at_any_commit_goes_on_where_it_was(
    #[case] scope: DeltaScope,
    #[values(false, true)] durable: bool,
) {
    let mut deaths = 0;
    for fuse in 1.. {
        let server = Server::telling(Memory::new().delta_page(3)).await;
        server.page.store(3, Ordering::SeqCst);
        *server.scope.lock().unwrap() = scope;
        let disk = opened(Memory::new()).await;
        apart(&server, &disk).await;
        let (store, faults) = Faulty::over(&disk, 1);
        let repo = server.builder(store).paused().build().await.unwrap();
        let known = repo.coverage(Select::<Note>::all()).await.unwrap();
        faults.burn(fuse, durable);
        let sync = repo.sync().model::<Note>().unwrap().full();
        let killed = matches!(select(pin!(sync.into_future()), pin!(faults.death())).await, Either::Right(_));
        drop(repo);
        let before = server.asked().len();
        let repo = server.builder(Arc::clone(&disk)).paused().build().await.unwrap();
        let done = repo.coverage(Select::<Note>::all()).await.unwrap() > known;
        let report = soon(repo.sync().model::<Note>().unwrap().full().into_future()).await.unwrap();
        assert_eq!(here(&repo).await, expected(&server).await, "killed at commit {fuse}, durable: {durable}");
        assert!(report.models_left.is_empty());
        for scope in NOTES {
            assert_eq!(disk.cursor(&Context::new(), scope).await.unwrap(), None, "{scope} is left over");
        }
        if !killed {
            break;
        }
        deaths += 1;
        let after = server.asked().len();
        assert!(after > 0, "no sync says that it is done without having asked, killed at commit {fuse}");
        // Of six pages none is asked for a second time, but the one that was not stored. Where all of them were, they are
        // of a former life: the remote is asked anew.
        let whole = report.remarks.iter().all(|remark| !matches!(remark, Remark::Resumed { .. }));
        assert!(whole || !done, "what is done does not go on, killed at commit {fuse}");
        let most = if before == 6 { 12 } else { 8 };
        assert!(whole || before + after <= most, "{before} and {after} requests, killed at {fuse}");
    }
    assert!(deaths >= 7, "{deaths} commits");
}

// Rules: s-delta, s-resume, s-pull
#[rstest]
#[tokio::test]
async fn a_pull_of_changes_that_is_killed_at_any_commit_misses_none(#[values(false, true)] durable: bool) {
    let mut deaths = 0;
    for fuse in 1.. {
        let server = Server::telling(Memory::new().delta_page(3)).await;
        let disk = opened(Memory::new()).await;
        apart(&server, &disk).await;
        let (store, faults) = Faulty::over(&disk, 1);
        faults.burn(fuse, durable);
        let repo = server.builder(store).paused().build().await.unwrap();
        let sync = repo.sync().model::<Note>().unwrap();
        let killed = matches!(select(pin!(sync.into_future()), pin!(faults.death())).await, Either::Right(_));
        drop(repo);
        let repo = server.builder(Arc::clone(&disk)).paused().build().await.unwrap();
        server.asked();
        soon(repo.sync().model::<Note>().unwrap().into_future()).await.unwrap();
        assert_eq!(here(&repo).await, expected(&server).await, "killed at commit {fuse}, durable: {durable}");
        let asked = server.asked();
        assert!(asked.iter().all(|what| !what.starts_with("everything")), "{asked:?}");
        if !killed {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= 3, "{deaths} commits");
}

// Rules: s-resume
#[tokio::test]
async fn an_outage_breaks_a_pull_off_and_the_next_sync_goes_on() {
    let server = Server::paging(3).await;
    server.fill(20).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    server.answers.store(4, Ordering::SeqCst);
    let error = repo.sync().model::<Note>().unwrap().await.unwrap_err();
    assert_eq!((error.kind(), here(&repo).await.len()), (ErrorKind::Offline, 12));
    assert!(repo.coverage(Select::<Note>::all()).await.unwrap().is_none(), "half a pull is not known");
    server.answers.store(usize::MAX, Ordering::SeqCst);
    server.asked();
    let report = repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!((report.pulled, report.changed, here(&repo).await.len()), (8, 8, 20));
    assert!(matches!(report.remarks[..], [Remark::Resumed { model: "Note", pages: 4 }]));
    assert_eq!(server.asked().len(), 3);
    assert!(repo.coverage(Select::<Note>::all()).await.unwrap().is_some());
}

// Rules: s-resume-refused, s-delete
#[tokio::test]
async fn a_remote_that_refuses_to_go_on_is_asked_anew() {
    let server = Server::paging(3).await;
    server.fill(20).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    server.answers.store(5, Ordering::SeqCst);
    repo.sync().model::<Note>().unwrap().await.unwrap_err();
    server.answers.store(usize::MAX, Ordering::SeqCst);
    // Seen by the pull that was broken off, and gone before it begins anew.
    server.write(&name(1), None).await;
    server.epoch.store(1, Ordering::SeqCst);
    let report = repo.sync().model::<Note>().unwrap().await.unwrap();
    let [Remark::Resumed { .. }, Remark::Restarted { model: "Note", error }] = &report.remarks[..] else {
        panic!("{:?}", report.remarks)
    };
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-delete
#[tokio::test]
async fn what_is_written_between_the_pages_is_not_deleted_by_absence() {
    let server = Server::paging(3).await;
    server.fill(9).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    server.answers.store(2, Ordering::SeqCst);
    repo.sync().model::<Note>().unwrap().await.unwrap_err();
    server.answers.store(usize::MAX, Ordering::SeqCst);
    // It stands before the place at which the pull goes on.
    let stored = repo.upsert(&note("000000a", "mine", 1)).await.unwrap();
    stored.accepted().await.unwrap();
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert!(here(&repo).await.iter().any(|(id, _)| id == "000000a"));
}

// Rules: s-once
#[tokio::test]
async fn of_syncs_at_the_same_time_one_pulls() {
    let server = Server::paging(3).await;
    server.fill(20).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    let syncs = (0..4).map(|_| repo.sync().model::<Note>().unwrap().into_future());
    let reports = futures_util::future::try_join_all(syncs).await.unwrap();
    assert_eq!(reports.iter().map(|report| report.pulled).sum::<u64>(), 20);
    assert_eq!(server.asked().len(), 7);
}

// Rules: r-absence
#[tokio::test]
async fn a_fetch_of_many_pages_removes_what_is_in_none_of_them() {
    let server = Server::paging(3).await;
    server.fill(20).await;
    let repo = server.repo(opened(Memory::new()).await).await.reading(ReadPolicy::RemoteOnly);
    assert_eq!(repo.get(Note::TEXT.eq("theirs")).await.unwrap().len(), 20);
    for id in [0, 10, 19] {
        server.write(&name(id), None).await;
    }
    assert_eq!(repo.get(Note::TEXT.eq("theirs")).await.unwrap().len(), 17);
    assert_eq!(here(&repo).await, server.notes().await);
}
