//! What a remote says in the middle of a pull, and what is noted of pulls that come to no end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder::core::{Batch, Context, DeltaScope, Op, Store};
use larder::{ErrorKind, Memory, ReadPolicy, Remark, Repository, Select, SyncReport};
use rstest::rstest;

use crate::server::{Server, name, opened};
use crate::support::chaos::Faulty;
use crate::support::{Note, User, note, soon};

/// A server with so many rows, two on a page, and the disk of a client that has them all.
async fn known(scope: DeltaScope, rows: usize) -> (Arc<Server>, Arc<dyn Store>) {
    let server = Server::telling(Memory::new().delta_page(2)).await;
    server.page.store(2, Ordering::SeqCst);
    *server.scope.lock().unwrap() = scope;
    server.fill(rows).await;
    let disk = opened(Memory::new()).await;
    let repo = server.repo(Arc::clone(&disk)).await;
    sync(&repo).await.unwrap();
    repo.close().await;
    server.asked();
    (server, disk)
}

async fn sync(repo: &Repository) -> larder::Result<SyncReport> {
    soon(repo.sync().model::<Note>().unwrap().into_future()).await
}

async fn here(repo: &Repository) -> Vec<(String, String)> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| (note.id.clone(), note.text.clone())).collect()
}

async fn noted(disk: &Arc<dyn Store>, scope: &str) -> Option<String> {
    disk.cursor(&Context::new(), scope).await.unwrap()
}

async fn notes(disk: &Arc<dyn Store>, notes: impl IntoIterator<Item = (&str, Option<String>)>) {
    let op = |(scope, value): (&str, Option<String>)| Op::Cursor { scope: scope.to_owned(), value };
    let ops = notes.into_iter().map(op).collect();
    disk.commit(&Context::new(), Batch { expect: Vec::new(), ops }).await.unwrap();
}

/// Pulls pages until so many are here.
async fn broken_off(server: &Arc<Server>, disk: &Arc<dyn Store>, pages: usize) {
    let repo = server.repo(Arc::clone(disk)).await;
    server.answers.store(pages, Ordering::SeqCst);
    sync(&repo).await.unwrap_err();
    server.answers.store(usize::MAX, Ordering::SeqCst);
    repo.close().await;
    server.asked();
}

fn is_resumed(report: &SyncReport) -> bool {
    report.remarks.iter().any(|remark| matches!(remark, Remark::Resumed { .. }))
}

// Rules: s-resume, s-resume-refused
#[tokio::test]
async fn a_remote_that_is_overloaded_in_the_middle_is_asked_on_later() {
    let (server, disk) = known(DeltaScope::Nothing, 7).await;
    let repo = server.repo(disk).await;
    *server.fails.lock().unwrap() = Some(("page Note 0:", ErrorKind::Http { status: 503 }, 503));
    assert_eq!(sync(&repo).await.unwrap_err().status(), Some(503));
    assert_eq!(server.asked().len(), 2, "it is not begun anew");
    *server.fails.lock().unwrap() = None;
    assert!(is_resumed(&sync(&repo).await.unwrap()));
    assert_eq!(server.asked().len(), 3, "the first page is here");
}

// Rules: s-resume-refused
#[rstest]
#[case::invalid(ErrorKind::Invalid, 400, true)]
#[case::not_there(ErrorKind::NotFound, 404, true)]
#[case::refused(ErrorKind::Rejected, 422, true)]
#[case::in_conflict(ErrorKind::Conflict, 409, true)]
#[case::another_status(ErrorKind::Http { status: 416 }, 416, true)]
#[case::not_let_in(ErrorKind::Unauthorized, 401, false)]
#[case::no_answer_that_can_be_read(ErrorKind::Serialization, 200, false)]
#[tokio::test]
async fn a_pull_begins_anew_if_the_remote_speaks_of_the_place_and_only_then(
    #[case] kind: ErrorKind,
    #[case] status: u16,
    #[case] anew: bool,
) {
    let (server, disk) = known(DeltaScope::Nothing, 7).await;
    let repo = server.repo(disk).await;
    *server.fails.lock().unwrap() = Some(("page Note 0:", kind, status));
    assert_eq!(sync(&repo).await.unwrap_err().kind(), kind);
    assert_eq!(server.asked().len(), if anew { 4 } else { 2 });
}

// Rules: s-resume, s-delta-changes
#[tokio::test]
async fn a_pull_of_everything_goes_on_though_the_remote_could_tell_what_has_changed() {
    let (server, disk) = known(DeltaScope::Changes, 6).await;
    let repo = server.repo(disk).await;
    server.write(&name(5), None).await;
    server.answers.store(2, Ordering::SeqCst);
    soon(repo.sync().model::<Note>().unwrap().full().into_future()).await.unwrap_err();
    server.answers.store(usize::MAX, Ordering::SeqCst);
    assert!(is_resumed(&sync(&repo).await.unwrap()));
    assert_eq!(here(&repo).await, server.notes().await, "of what is gone, everything alone tells");
}

// Rules: s-resume, s-delete
#[tokio::test]
async fn what_was_noted_of_pages_of_a_pull_that_does_not_go_on_says_nothing_of_a_later_one() {
    let (server, disk) = known(DeltaScope::Nothing, 7).await;
    broken_off(&server, &disk, 2).await;
    notes(&disk, [("pull/Note/1", Some("nonsense".to_owned()))]).await;
    server.write(&name(0), None).await;
    for id in 1..7 {
        server.write(&name(id), Some(note(&name(id), "new", 1))).await;
    }
    let repo = server.repo(disk).await;
    assert!(!is_resumed(&sync(&repo).await.unwrap()));
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-resume, s-delete
#[tokio::test]
async fn of_what_has_come_a_note_that_can_not_be_read_is_an_error_once() {
    let (server, disk) = known(DeltaScope::Nothing, 7).await;
    broken_off(&server, &disk, 2).await;
    notes(&disk, [("seen/Note/1/00000000", Some("nonsense".to_owned()))]).await;
    let repo = server.repo(disk).await;
    assert_eq!(sync(&repo).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(here(&repo).await.len(), 7, "what may have come is not gone");
    server.write(&name(0), None).await;
    let report = sync(&repo).await.unwrap();
    assert!(report.is_complete() && !is_resumed(&report), "{report:?}");
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-resume, r-panic-store
#[tokio::test]
async fn a_store_that_fails_while_what_is_gone_is_removed_does_not_begin_the_pull_anew() {
    let (server, disk) = known(DeltaScope::Nothing, 7).await;
    server.write(&name(0), None).await;
    let (store, faults) = Faulty::over(&disk, 1);
    let repo = server.repo(store).await;
    // What comes after the last of three pages is the removal.
    let pages = AtomicUsize::new(0);
    let held =
        faults.gates.hold(move |call| call.notes("pull/Note") && pages.fetch_add(1, Ordering::SeqCst) == 2);
    let fails = held.during(async { faults.panic_at("commit", 1) });
    let (failed, ()) = tokio::join!(sync(&repo), fails);
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(is_resumed(&sync(&repo).await.unwrap()));
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-resume, s-delete
#[tokio::test]
async fn a_pull_of_one_model_says_nothing_of_one_of_another_that_was_broken_off() {
    let (server, disk) = known(DeltaScope::Nothing, 7).await;
    broken_off(&server, &disk, 2).await;
    for id in 0..7 {
        server.write_user(User { id: name(id), email: name(id) }).await;
    }
    let repo = server.repo(disk).await;
    soon(repo.sync().model::<User>().unwrap().into_future()).await.unwrap();
    assert!(is_resumed(&sync(&repo).await.unwrap()));
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-resume
#[rstest]
#[case::by_pages_and_now_by_changes(DeltaScope::Nothing, DeltaScope::ChangesAndDeletions, "everything Note")]
#[case::by_changes_and_now_by_pages(DeltaScope::ChangesAndDeletions, DeltaScope::Nothing, "page Note")]
#[tokio::test]
async fn a_pull_that_came_another_way_than_the_remote_is_pulled_now_does_not_go_on(
    #[case] before: DeltaScope,
    #[case] now: DeltaScope,
    #[case] first: &str,
) {
    let server = Server::telling(Memory::new().delta_page(2)).await;
    server.page.store(2, Ordering::SeqCst);
    *server.scope.lock().unwrap() = before;
    server.fill(6).await;
    let disk = opened(Memory::new()).await;
    broken_off(&server, &disk, 1).await;
    *server.scope.lock().unwrap() = now;
    let repo = server.repo(disk).await;
    let report = sync(&repo).await.unwrap();
    assert!(!is_resumed(&report) && report.is_complete(), "{report:?}");
    assert_eq!(server.asked()[0], first);
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-aside, s-pull
#[rstest]
#[case::not_let_in(ErrorKind::Unauthorized, 401)]
#[case::overloaded(ErrorKind::Http { status: 503 }, 503)]
#[tokio::test]
async fn a_remote_that_can_not_be_asked_for_single_rows_says_nothing_of_them(
    #[case] kind: ErrorKind,
    #[case] status: u16,
) {
    let (server, disk) = known(DeltaScope::ChangesAndDeletions, 4).await;
    let repo = server.repo(disk).await;
    server.misfits.lock().unwrap().insert(name(2));
    server.write(&name(2), Some(note(&name(2), "new", 1))).await;
    sync(&repo).await.unwrap();
    server.misfits.lock().unwrap().clear();
    *server.fails.lock().unwrap() = Some(("key", kind, status));
    assert_eq!(sync(&repo).await.unwrap_err().kind(), kind, "the row is not at fault");
    *server.fails.lock().unwrap() = None;
    assert!(sync(&repo).await.unwrap().is_complete());
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-once
#[tokio::test]
async fn who_wants_everything_is_not_contented_with_what_another_pulls() {
    let (server, disk) = known(DeltaScope::ChangesAndDeletions, 4).await;
    let repo = server.repo(disk).await;
    // Both wait for the one that is under way, and begin after it, one after the other.
    server.hangs.store(true, Ordering::SeqCst);
    let first = repo.clone();
    let first = tokio::spawn(async move { sync(&first).await });
    let goes_on = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        server.hangs.store(false, Ordering::SeqCst);
    };
    let one = repo.sync().model::<Note>().unwrap().into_future();
    let all = repo.sync().model::<Note>().unwrap().full().into_future();
    let (one, all, ()) = soon(async { tokio::join!(one, all, goes_on) }).await;
    first.await.unwrap().unwrap();
    assert_eq!((one.unwrap().pulled, all.unwrap().pulled), (0, 4));
}

// Rules: s-resume-refused
#[tokio::test]
async fn nothing_is_left_of_a_pull_that_began_anew_though_it_has_become_a_short_one() {
    let (server, disk) = known(DeltaScope::Nothing, 6).await;
    broken_off(&server, &disk, 2).await;
    for id in 1..6 {
        server.write(&name(id), None).await;
    }
    server.epoch.store(1, Ordering::SeqCst);
    let repo = server.repo(Arc::clone(&disk)).await;
    sync(&repo).await.unwrap();
    assert_eq!(here(&repo).await, server.notes().await);
    for scope in ["pull/Note/1", "seen/Note/1/00000000", "seen/Note/1/00000001"] {
        assert_eq!(noted(&disk, scope).await, None, "{scope}");
    }
    assert!(!is_resumed(&sync(&repo).await.unwrap()));
}

// Rules: s-resume, s-delete
#[tokio::test]
async fn a_pull_of_which_half_the_notes_are_cleared_does_not_go_on() {
    let (server, disk) = known(DeltaScope::Nothing, 4).await;
    broken_off(&server, &disk, 1).await;
    // As if it had been a pull of so many pages that their notes are not cleared by one commit.
    let (course, seen) = ("pull/Note/1", "seen/Note/1/00000000");
    let long = noted(&disk, course).await.unwrap().replace("\"pages\":1,", "\"pages\":1025,");
    let last = noted(&disk, seen).await;
    notes(&disk, [(course, Some(long)), (seen, None), ("seen/Note/1/00001024", last)]).await;
    // It is begun anew, and the process dies between the two commits.
    server.forgets.store(true, Ordering::SeqCst);
    let (store, faults) = Faulty::over(&disk, 1);
    faults.burn(1, true);
    let repo = server.repo(store).await;
    let dying = repo.clone();
    let dying = tokio::spawn(async move { sync(&dying).await });
    let dead = async {
        while !faults.dead.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    };
    soon(dead).await;
    dying.abort();
    drop(repo);
    server.forgets.store(false, Ordering::SeqCst);
    let repo = server.repo(Arc::clone(&disk)).await;
    sync(&repo).await.unwrap();
    assert_eq!(here(&repo).await, server.notes().await, "what had come before is not missing");
}
