//! Pulls that are begun anew or go on, and what they say of those before them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::core::{Batch, Context, DeltaScope, Op};
use larder::{
    Budget, ErrorKind, Key, Memory, Progress, ReadPolicy, Remark, Repository, Select, SyncReport, Timestamp,
};
use rstest::rstest;

use crate::server::{Server, name, opened};
use crate::support::{Note, note, soon};

/// A server with so many rows, two on a page.
async fn paging(rows: usize) -> Arc<Server> {
    let server = Server::paging(2).await;
    server.fill(rows).await;
    server
}

async fn here(repo: &Repository) -> Vec<(String, String)> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| (note.id.clone(), note.text.clone())).collect()
}

/// Syncs, and does something after each page; gives the steps as well.
async fn watched(
    repo: &Repository,
    after: impl FnMut(&Progress) + Send + 'static,
) -> (SyncReport, Vec<Progress>) {
    let steps = Arc::<Mutex<Vec<Progress>>>::default();
    let (kept, after) = (Arc::clone(&steps), Mutex::new(after));
    let sync = repo.sync().model::<Note>().unwrap().on_progress(move |at| {
        after.lock().unwrap()(&at);
        kept.lock().unwrap().push(at);
    });
    let report = soon(sync.into_future()).await.unwrap();
    let steps = steps.lock().unwrap().clone();
    (report, steps)
}

/// Pulls so many pages, and then the line is dead.
async fn broken_off(server: &Arc<Server>, repo: &Repository, pages: usize) {
    server.answers.store(pages, Ordering::SeqCst);
    repo.sync().model::<Note>().unwrap().await.unwrap_err();
    server.answers.store(usize::MAX, Ordering::SeqCst);
}

// Rules: s-resume-refused, s-aside, s-progress
#[tokio::test]
async fn a_row_that_can_not_be_read_is_told_of_once_though_the_pull_began_anew() {
    let server = paging(7).await;
    server.misfits.lock().unwrap().insert(name(1));
    let repo = server.repo(opened(Memory::new()).await).await;
    let other = Arc::clone(&server);
    let forgets = move |at: &Progress| {
        if at.pages == 2 {
            other.epoch.store(1, Ordering::SeqCst);
        }
    };
    let (report, steps) = watched(&repo, forgets).await;
    let [Remark::Restarted { .. }, Remark::Row { key, .. }] = &report.remarks[..] else {
        panic!("{:?}", report.remarks)
    };
    assert_eq!(*key, Some(Key::from(name(1))));
    let pages: Vec<u64> = steps.iter().map(|at| at.pages).collect();
    assert_eq!((pages, steps.last().unwrap().rows), (vec![1, 2, 1, 2, 3, 4, 4], 6));
}

// Rules: s-resume-refused, s-aside, s-progress
#[tokio::test]
async fn what_a_pull_before_had_found_says_nothing_of_one_that_began_anew() {
    let server = paging(7).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    server.misfits.lock().unwrap().insert(name(1));
    server.nameless.store(true, Ordering::SeqCst);
    broken_off(&server, &repo, 2).await;
    server.misfits.lock().unwrap().clear();
    server.epoch.store(1, Ordering::SeqCst);
    let (report, steps) = watched(&repo, |_| {}).await;
    let began_anew = matches!(report.remarks[..], [Remark::Resumed { .. }, Remark::Restarted { .. }]);
    assert!(began_anew && report.is_complete(), "{report:?}");
    let last = steps.last().unwrap();
    assert_eq!((last.pages, last.rows), (4, 7));
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-resume, s-progress
#[tokio::test]
async fn a_pull_that_goes_on_counts_what_was_here_already() {
    let server = paging(7).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    broken_off(&server, &repo, 2).await;
    let (report, steps) = watched(&repo, |_| {}).await;
    let counts: Vec<_> = steps.iter().map(|at| (at.pages, at.rows, at.done)).collect();
    assert_eq!(counts, [(3, 6, false), (4, 7, false), (4, 7, true)]);
    assert_eq!(report.pulled, 3);
}

// Rules: s-resume, s-until, s-progress
#[rstest]
#[case::pages(DeltaScope::Nothing)]
#[case::a_delta(DeltaScope::ChangesAndDeletions)]
#[tokio::test]
async fn what_is_asked_after_the_end_of_a_former_pull_counts_from_nothing(#[case] scope: DeltaScope) {
    let server = Server::telling(Memory::new().delta_page(2)).await;
    server.page.store(2, Ordering::SeqCst);
    *server.scope.lock().unwrap() = scope;
    server.fill(4).await;
    let disk = opened(Memory::new()).await;
    let repo = server.repo(Arc::clone(&disk)).await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    repo.close().await;
    for id in 0..4 {
        server.write(&name(id), Some(note(&name(id), "new", 1))).await;
    }
    let cursor = disk.cursor(&Context::new(), "delta/Note/1").await.unwrap();
    let source = if cursor.is_some() { "Delta" } else { "Pages" };
    let course = format!(
        r#"{{"source":"{source}","stage":{{"Sweep":null}},"asked":0,"started":0,"pages":1,"rows":2,"unproven":false,
        "cursor":{}}}"#,
        serde_json::to_string(&cursor).unwrap()
    );
    let note = async || {
        let ops = vec![Op::Cursor { scope: "pull/Note/1".to_owned(), value: Some(course.clone()) }];
        disk.commit(&Context::new(), Batch { expect: Vec::new(), ops }).await.unwrap();
    };
    note().await;
    let repo = server.repo(Arc::clone(&disk)).await;
    let one = repo.sync_until(Duration::from_secs(60), Budget::unlimited().pages(1)).model::<Note>().unwrap();
    let report = soon(one.into_future()).await.unwrap();
    assert_eq!((report.pulled, report.models_left), (2, vec!["Note"]), "it is not at its end");
    note().await;
    let (report, steps) = watched(&repo, |_| {}).await;
    assert!(report.is_complete(), "{report:?}");
    let last = steps.last().unwrap();
    assert_eq!((last.pages, last.rows), (report.pulled / 2, report.pulled));
    assert!(repo.status().last_pulled > Some(Timestamp::UNIX_EPOCH), "and not as of the former one");
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-until
#[tokio::test]
async fn a_budget_that_is_spent_with_the_last_page_is_enough() {
    let server = paging(6).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    let budget = Budget::unlimited().pages(3);
    let report = repo.sync_until(Duration::from_secs(60), budget).model::<Note>().unwrap().await.unwrap();
    assert!(report.is_complete(), "{report:?}");
}

// Rules: s-resume-refused
#[tokio::test]
async fn a_list_that_is_refused_from_the_first_is_asked_for_once() {
    let server = paging(6).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    *server.fails.lock().unwrap() = Some(("page", ErrorKind::Rejected, 400));
    repo.sync().model::<Note>().unwrap().await.unwrap_err();
    assert_eq!(server.asked(), ["page Note"]);
}

// Rules: s-delete-moved
#[tokio::test]
async fn on_one_page_no_row_moves_however_pages_go_on() {
    let server = paging(6).await;
    server.page.store(9, Ordering::SeqCst);
    server.numbered.store(true, Ordering::SeqCst);
    let repo = server.repo(opened(Memory::new()).await).await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    server.write(&name(3), None).await;
    server.asked();
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!(server.asked(), ["page Note"], "its absence is enough");
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-paged
#[tokio::test]
async fn a_pull_that_has_come_to_no_end_after_very_many_pages_is_given_up() {
    let server = paging(6).await;
    *server.scope.lock().unwrap() = DeltaScope::Nothing;
    let disk = opened(Memory::new()).await;
    let course =
        r#"{"source":"Pages","stage":{"At":"0:000001"},"asked":0,"started":0,"pages":100000,"rows":0}"#;
    let ops = vec![Op::Cursor { scope: "pull/Note/1".to_owned(), value: Some(course.to_owned()) }];
    disk.commit(&Context::new(), Batch { expect: Vec::new(), ops }).await.unwrap();
    let repo = server.repo(disk).await;
    let error = repo.sync().model::<Note>().unwrap().await.unwrap_err();
    assert!(error.to_string().contains("no end"), "{error}");
    server.asked();
    let report = repo.sync().model::<Note>().unwrap().await.unwrap();
    assert!(report.is_complete() && report.remarks.is_empty(), "{report:?}");
    assert_eq!(server.asked()[0], "page Note", "it is begun anew");
}
