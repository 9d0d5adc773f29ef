//! Syncs that stop, that tell how far they are, and that begin from nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::core::DeltaScope;
use larder::{
    Budget, ErrorKind, Memory, ReadPolicy, Remark, Repository, Select, SyncEvent, SyncReport, WritePolicy,
};
use rstest::rstest;

use crate::server::{Server, name, opened};
use crate::support::clock::{Clock, rest};
use crate::support::{Note, User, note, soon};

const LONG: Duration = Duration::from_secs(60);

async fn count(repo: &Repository) -> usize {
    repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap().len()
}

// Rules: s-until, s-resume
#[tokio::test]
async fn a_budget_stops_a_sync_between_pages_and_says_what_is_left() {
    let server = Server::paging(3).await;
    server.fill(20).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    drop(repo.upsert(&note("a", "mine", 1)).await.unwrap());
    let report = repo.sync_until(LONG, Budget::unlimited().pages(2)).await.unwrap();
    assert_eq!((report.pushed, report.left, report.pulled), (1, 0, 6));
    assert_eq!(report.models_left, ["Note", "User"]);
    assert!(!report.is_complete());
    assert!(repo.coverage(Select::<Note>::all()).await.unwrap().is_none());
    // Rows count by pages: the one that goes beyond is stored whole.
    let report = repo.sync_until(LONG, Budget::unlimited().rows(7)).await.unwrap();
    assert_eq!((report.pulled, report.models_left), (9, vec!["Note", "User"]));
    let report = repo.sync_until(LONG, Budget::unlimited()).await.unwrap();
    assert!(report.is_complete());
    assert_eq!((report.pulled, count(&repo).await), (6, 21));
}

// Rules: s-until
#[tokio::test]
async fn a_deadline_stops_a_request_that_does_not_come_back() {
    let server = Server::paging(3).await;
    server.fill(20).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    server.hangs.store(true, Ordering::SeqCst);
    drop(repo.upsert(&note("a", "mine", 1)).await.unwrap());
    let report = soon(repo.sync_until(Duration::from_millis(30), Budget::unlimited()).into_future()).await;
    let report = report.unwrap();
    assert_eq!((report.pushed, report.left, report.pulled), (0, 1, 0));
    assert_eq!(report.models_left, ["Note", "User"]);
    server.hangs.store(false, Ordering::SeqCst);
    assert!(soon(repo.sync().into_future()).await.unwrap().is_complete());
    assert_eq!(count(&repo).await, 21);
}

// Rules: s-until, s-resume
#[tokio::test]
async fn a_pull_that_goes_on_and_hears_nothing_in_time_goes_on_later() {
    let server = Server::paging(3).await;
    server.fill(20).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    let stopped = repo.sync_until(LONG, Budget::unlimited().pages(2)).model::<Note>().unwrap();
    stopped.await.unwrap();
    server.hangs.store(true, Ordering::SeqCst);
    let late = repo.sync_until(Duration::from_millis(100), Budget::unlimited()).model::<Note>().unwrap();
    let report = soon(late.into_future()).await.unwrap();
    // On a machine that is busy the time is up before it begins.
    assert!(matches!(report.remarks[..], [] | [Remark::Resumed { pages: 2, .. }]), "{report:?}");
    assert_eq!((report.pulled, report.models_left), (0, vec!["Note"]));
    server.hangs.store(false, Ordering::SeqCst);
    assert_eq!(repo.sync().model::<Note>().unwrap().await.unwrap().pulled, 14);
}

/// Why a pull asks for single rows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Single {
    /// One did not come, of a list that others have moved on.
    InDoubt,
    /// One could not be read by the last pull of changes.
    Unread,
    /// One could not be read before the pull was broken off.
    UnreadBefore,
}

// Rules: s-until, s-aside
#[rstest]
#[tokio::test]
async fn a_deadline_stops_a_pull_that_asks_for_single_rows_and_hears_nothing(
    #[values(Single::InDoubt, Single::Unread, Single::UnreadBefore)] single: Single,
) {
    let server = Server::telling(Memory::new().delta_page(2)).await;
    server.page.store(2, Ordering::SeqCst);
    if single != Single::Unread {
        *server.scope.lock().unwrap() = DeltaScope::Nothing;
    }
    server.fill(6).await;
    let clock = Clock::new();
    let repo = server.builder(opened(Memory::new()).await).runtime(Arc::new(clock.clone()));
    let repo = repo.build().await.unwrap();
    match single {
        Single::InDoubt => {
            repo.sync().model::<Note>().unwrap().await.unwrap();
            server.numbered.store(true, Ordering::SeqCst);
            server.write(&name(5), None).await;
        }
        Single::Unread => {
            server.misfits.lock().unwrap().insert(name(1));
            repo.sync().model::<Note>().unwrap().await.unwrap();
        }
        Single::UnreadBefore => {
            server.misfits.lock().unwrap().insert(name(1));
            server.answers.store(2, Ordering::SeqCst);
            repo.sync().model::<Note>().unwrap().await.unwrap_err();
            server.answers.store(usize::MAX, Ordering::SeqCst);
        }
    }
    server.misfits.lock().unwrap().clear();
    server.asked();

    *server.silent.lock().unwrap() = Some("key");
    let until = repo.sync_until(LONG, Budget::unlimited()).model::<Note>().unwrap();
    let syncing = tokio::spawn(until.into_future());
    rest().await;
    assert_eq!(server.asked().last().unwrap(), "key Note");
    clock.advance(LONG).await;
    let report: SyncReport = soon(syncing).await.unwrap().unwrap();
    assert_eq!(report.models_left, ["Note"]);
    // Nothing was heard, so nothing has become of it.
    let here = if single == Single::InDoubt { 6 } else { 5 };
    assert_eq!(count(&repo).await, here);

    *server.silent.lock().unwrap() = None;
    let report = soon(repo.sync().model::<Note>().unwrap().into_future()).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(count(&repo).await, server.notes().await.len());
}

// Rules: s-progress
#[tokio::test]
async fn progress_is_told_after_each_page_by_a_stream_and_by_a_callback() {
    let server = Server::paging(8).await;
    server.fill(20).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    let told = Arc::<Mutex<Vec<_>>>::default();
    let telling = Arc::clone(&told);
    let mut events = repo.sync().on_progress(move |at| telling.lock().unwrap().push(at)).events();
    let (mut seen, mut report) = (Vec::new(), None);
    while let Some(event) = events.next().await {
        match event.unwrap() {
            SyncEvent::Progress(at) => {
                // The page is here before it is told of, and the next one is not asked for.
                assert_eq!(told.lock().unwrap().len(), seen.len() + 1);
                seen.push(at);
            }
            SyncEvent::Done(done) => report = Some(done),
        }
    }
    assert_eq!(seen, *told.lock().unwrap());
    assert_eq!(report.unwrap().pulled, 20);
    let steps: Vec<_> =
        seen.iter().map(|at| (at.model, at.pages, at.rows, at.total, at.done, at.models)).collect();
    let notes = |pages, rows, done| ("Note", pages, rows, Some(20), done, (usize::from(done), 2));
    assert_eq!(
        steps[..4],
        [notes(1, 8, false), notes(2, 16, false), notes(3, 20, false), notes(3, 20, true)]
    );
    assert_eq!(steps[4..], [("User", 1, 0, Some(0), false, (1, 2)), ("User", 1, 0, Some(0), true, (2, 2))]);
}

// Rules: s-progress
#[tokio::test]
async fn an_error_is_the_last_event_of_a_sync() {
    let server = Server::paging(8).await;
    server.fill(20).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    server.answers.store(1, Ordering::SeqCst);
    let mut events = repo.sync().events();
    assert!(matches!(events.next().await, Some(Ok(SyncEvent::Progress(_)))));
    assert_eq!(events.next().await.unwrap().unwrap_err().kind(), ErrorKind::Offline);
    assert!(events.next().await.is_none());
}

// Rules: s-models
#[tokio::test]
async fn a_model_that_can_not_be_pulled_spoils_no_other() {
    let server = Server::paging(8).await;
    server.write_user(User { id: "1".into(), email: "a".into() }).await;
    *server.refuses.lock().unwrap() = Some("Note");
    let repo = server.repo(opened(Memory::new()).await).await;
    let report = repo.sync().await.unwrap();
    let [Remark::Model { model: "Note", error }] = &report.remarks[..] else {
        panic!("{:?}", report.remarks)
    };
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!((report.pulled, report.models_left), (1, vec!["Note"]));
    let error = repo.sync().model::<Note>().unwrap().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "of one model alone it is the error");
}

// Rules: s-resync, s-pending
#[tokio::test]
async fn a_resync_keeps_what_is_pending_and_drops_the_rest() {
    let server = Server::telling(Memory::new().delta_page(3)).await;
    server.fill(8).await;
    let repo = server.builder(opened(Memory::new()).await).paused().build().await.unwrap();
    repo.sync().await.unwrap();
    drop(repo.upsert(&note("a", "mine", 1)).await.unwrap());
    drop(repo.upsert(&note(&name(3), "mine", 1)).await.unwrap());
    drop(repo.delete::<Note>(name(4)).await.unwrap());
    drop(repo.writing(WritePolicy::LocalOnly).upsert(&note("b", "mine", 1)).await.unwrap());
    let entries = repo.safe_to_wipe().await.unwrap().entries;
    server.asked();

    server.offline.store(true, Ordering::SeqCst);
    assert_eq!(repo.resync().await.unwrap_err().kind(), ErrorKind::Offline);
    assert_eq!(count(&repo).await, 9, "a remote that is not there is no reason to drop anything");
    server.offline.store(false, Ordering::SeqCst);
    server.asked();

    // Here and not there: it must not survive. The first page comes, and no more.
    server.write(&name(7), None).await;
    server.answers.store(2, Ordering::SeqCst);
    repo.resync().model::<Note>().unwrap().await.unwrap_err();
    assert_eq!(count(&repo).await, 3 + 3, "what is pending, what is kept by choice, and the first page");
    assert!(repo.coverage(Select::<Note>::all()).await.unwrap().is_none());
    assert_eq!(repo.safe_to_wipe().await.unwrap().entries, entries);

    server.answers.store(usize::MAX, Ordering::SeqCst);
    let report = repo.resync().await.unwrap();
    assert_eq!((report.left, report.models_left.len()), (entries, 0));
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    let mine: Vec<_> = rows.iter().filter(|note| note.text == "mine").map(|note| note.id.clone()).collect();
    assert_eq!(mine, [&name(3), "a", "b"]);
    assert_eq!(rows.len(), 6 + 2, "0, 1, 2, 3, 5, 6, a, b");
}
