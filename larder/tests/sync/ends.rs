//! What a pull counts and says at its end, and what it leaves for the next one where it stops.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::core::DeltaScope;
use larder::{Budget, Memory, Operation, ReadPolicy, Remark, Repository, Select, SyncEvent, SyncReport};
use rstest::rstest;

use crate::server::{Server, apart, name, opened};
use crate::support::{Note, User, note, soon};

async fn here(repo: &Repository) -> Vec<(String, String)> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| (note.id.clone(), note.text.clone())).collect()
}

async fn sync(repo: &Repository) -> SyncReport {
    soon(repo.sync().model::<Note>().unwrap().into_future()).await.unwrap()
}

/// Pulls so many pages and stops.
async fn pages(repo: &Repository, pages: u64) -> SyncReport {
    let budget = Budget::unlimited().pages(pages);
    let sync = repo.sync_until(Duration::from_secs(60), budget).model::<Note>().unwrap();
    soon(sync.into_future()).await.unwrap()
}

// Rules: s-delete, s-delete-moved
#[rstest]
#[case::missed(false)]
#[case::asked_for_one_by_one(true)]
#[tokio::test]
async fn what_is_gone_counts_as_changed(#[case] numbered: bool) {
    let (server, repo) = apart(DeltaScope::Nothing, 6).await;
    assert_eq!(sync(&repo).await.changed, 6);
    server.numbered.store(numbered, Ordering::SeqCst);
    for id in [4, 5] {
        server.write(&name(id), None).await;
    }
    let report = sync(&repo).await;
    assert_eq!((report.pulled, report.changed, here(&repo).await.len()), (4, 2, 4));
}

// Rules: s-delete, s-memory
#[tokio::test]
async fn what_is_gone_is_found_however_many_rows_there_are() {
    let server = Server::paging(3_000).await;
    server.fill(9_000).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    sync(&repo).await;
    let gone = [0, 1_023, 1_024, 8_191, 8_192, 8_999];
    for id in gone {
        server.write(&name(id), None).await;
    }
    assert_eq!(sync(&repo).await.changed, gone.len() as u64);
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-delete-moved, s-aside
#[tokio::test]
async fn a_row_in_doubt_that_can_not_be_read_keeps_the_list_from_being_known_anew() {
    let (server, repo) = apart(DeltaScope::Nothing, 6).await;
    sync(&repo).await;
    let known = repo.coverage(Select::<Note>::all()).await.unwrap();
    server.numbered.store(true, Ordering::SeqCst);
    server.misfits.lock().unwrap().insert(name(2));
    // 0 and 1 have been read and go, so 2 and 3 do not come; and nobody can read what 2 is.
    *server.meanwhile.lock().unwrap() = [vec![(name(0), None), (name(1), None)]].into();
    let report = sync(&repo).await;
    assert!(matches!(&report.remarks[..], [Remark::Row { key: Some(key), .. }] if *key == name(2).into()));
    assert_eq!(repo.coverage(Select::<Note>::all()).await.unwrap(), known);
    server.misfits.lock().unwrap().clear();
    server.numbered.store(false, Ordering::SeqCst);
    assert!(sync(&repo).await.is_complete());
    assert_ne!(repo.coverage(Select::<Note>::all()).await.unwrap(), known);
}

// Rules: s-resume, s-delta
#[rstest]
#[tokio::test]
async fn a_row_that_is_deleted_while_the_pull_that_brought_it_stands_still_goes(
    #[values(DeltaScope::Nothing, DeltaScope::ChangesAndDeletions)] scope: DeltaScope,
) {
    let (server, repo) = apart(scope, 6).await;
    assert_eq!(pages(&repo, 1).await.pulled, 2);
    server.write(&name(0), None).await;
    sync(&repo).await;
    sync(&repo).await;
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-delta
#[tokio::test]
async fn a_row_that_came_is_gone_if_a_later_page_of_the_same_pull_says_so() {
    let (server, repo) = apart(DeltaScope::ChangesAndDeletions, 6).await;
    let other = Arc::clone(&server);
    let sync = repo.sync().model::<Note>().unwrap().on_progress(move |at| {
        if at.pages == 1 {
            other.gone.lock().unwrap().push(name(0).into());
        }
    });
    soon(sync.into_future()).await.unwrap();
    assert_eq!(here(&repo).await, server.notes().await[1..]);
}

// Rules: s-delta, s-rebase
#[tokio::test]
async fn several_rows_for_which_something_is_queued_may_be_gone_by_one_page() {
    let (server, repo) = apart(DeltaScope::ChangesAndDeletions, 2).await;
    sync(&repo).await;
    repo.outbox().pause();
    for id in 0..2 {
        drop(repo.upsert(&note(&name(id), "mine", 1)).await.unwrap());
        server.gone.lock().unwrap().push(name(id).into());
    }
    sync(&repo).await;
    let queued = repo.outbox().list(0, 9).await.unwrap();
    assert_eq!(queued.iter().map(|queued| queued.operation).collect::<Vec<_>>(), [Operation::Insert; 2]);
}

// Rules: s-aside, s-until
#[tokio::test]
async fn what_is_still_to_be_asked_for_is_remembered_by_a_pull_of_changes_that_stops() {
    let (server, repo) = apart(DeltaScope::ChangesAndDeletions, 6).await;
    sync(&repo).await;
    server.misfits.lock().unwrap().insert(name(0));
    server.write(&name(0), Some(note(&name(0), "new", 1))).await;
    assert!(!sync(&repo).await.is_complete());
    server.misfits.lock().unwrap().insert(name(1));
    for id in 1..6 {
        server.write(&name(id), Some(note(&name(id), "new", 1))).await;
    }
    assert_eq!(pages(&repo, 1).await.models_left, ["Note"]);
    server.misfits.lock().unwrap().clear();
    assert!(sync(&repo).await.is_complete());
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-aside, s-delta
#[rstest]
#[case::the_second_takes_what_the_first_had([("1", "x"), ("2", "a"), ("1", "y")], ["y", "a"])]
#[case::the_first_takes_what_the_second_had([("2", "x"), ("1", "b"), ("2", "y")], ["b", "y"])]
#[case::each_takes_what_the_other_had([("1", "x"), ("2", "a"), ("1", "b")], ["b", "a"])]
#[tokio::test]
async fn what_only_stood_in_the_way_of_each_other_among_changes_is_stored_and_not_asked_for_again(
    #[case] writes: [(&str, &str); 3],
    #[case] comes: [&str; 2],
) {
    let (server, repo) = two_users().await;
    for (id, email) in writes {
        server.write_user(user(id, email)).await;
    }
    let report = sync_users(&repo).await;
    assert!(report.remarks.is_empty(), "{report:?}");
    assert_eq!((report.changed, emails(&repo).await), (2, comes.map(str::to_owned).to_vec()));
    server.asked();
    sync_users(&repo).await;
    assert_eq!(server.asked(), ["changes User"]);
}

// Rules: s-aside, s-delta
#[rstest]
#[case::another_one("1", Some("z"), &["z", "c"])]
#[case::what_is_here("1", Some("a"), &["a", "c"])]
#[case::gone("1", None, &["c"])]
#[case::gone_and_never_here("3", None, &["a", "c"])]
#[tokio::test]
async fn what_could_not_be_stored_is_not_tried_again_in_place_of_what_came_after_it(
    #[case] id: &str,
    #[case] later: Option<&str>,
    #[case] comes: &[&str],
) {
    let (server, repo) = two_users().await;
    for (id, email) in [("2", "x"), (id, "b"), ("2", "c")] {
        server.write_user(user(id, email)).await;
    }
    let mut events = repo.sync().model::<User>().unwrap().events();
    let mut written = false;
    while let Some(event) = soon(events.next()).await {
        // The first row of all has come, and the second one still has what it takes.
        if matches!(event.unwrap(), SyncEvent::Progress(at) if at.rows == 1) && !written {
            written = true;
            match later {
                Some(email) => server.write_user(user(id, email)).await,
                None => server.delete_user(id).await,
            }
        }
    }
    assert_eq!(emails(&repo).await, comes);
    server.asked();
    assert!(sync_users(&repo).await.remarks.is_empty());
    assert_eq!(server.asked(), ["changes User"], "nothing is to be asked for again");
}

fn user(id: &str, email: &str) -> User {
    User { id: id.into(), email: email.into() }
}

/// A server that tells of one change at a time, and of each row the last one, and a client that has its two users.
async fn two_users() -> (Arc<Server>, Repository) {
    let server = Server::telling(Memory::new().delta_page(1)).await;
    server.brief.store(true, Ordering::SeqCst);
    server.write_user(user("1", "a")).await;
    server.write_user(user("2", "b")).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    sync_users(&repo).await;
    (server, repo)
}

async fn sync_users(repo: &Repository) -> SyncReport {
    soon(repo.sync().model::<User>().unwrap().into_future()).await.unwrap()
}

async fn emails(repo: &Repository) -> Vec<String> {
    let users = repo.reading(ReadPolicy::LocalOnly).get(Select::<User>::all()).await.unwrap();
    users.iter().map(|user| user.email.clone()).collect()
}

// Rules: s-progress
#[rstest]
#[tokio::test]
async fn how_many_rows_there_are_is_told_if_the_remote_says_so(
    #[values(DeltaScope::Nothing, DeltaScope::ChangesAndDeletions)] scope: DeltaScope,
) {
    let (server, repo) = apart(scope, 6).await;
    let totals = async || {
        let totals = Arc::<Mutex<Vec<Option<u64>>>>::default();
        let (kept, other) = (Arc::clone(&totals), Arc::clone(&server));
        let sync = repo.sync().model::<Note>().unwrap().on_progress(move |at| {
            kept.lock().unwrap().push(at.total);
            // A later page tells how many are left.
            let _ =
                other.foretells.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |all| all.checked_sub(2));
        });
        soon(sync.into_future()).await.unwrap();
        totals.lock().unwrap().clone()
    };
    assert_eq!(totals().await, [Some(6); 4]);
    for id in 0..3 {
        server.write(&name(id), Some(note(&name(id), "new", 1))).await;
    }
    server.foretells.store(3, Ordering::SeqCst);
    let (count, total) = if scope == DeltaScope::Nothing { (4, 6) } else { (3, 3) };
    assert_eq!(totals().await, vec![Some(total); count]);
}

// Rules: s-aside, s-memory
#[tokio::test]
async fn of_very_many_rows_that_could_not_be_read_the_rest_is_counted() {
    let server = Server::paging(2_000).await;
    server.fill(1_100).await;
    server.misfits.lock().unwrap().extend((0..1_050).map(name));
    let repo = server.repo(opened(Memory::new()).await).await;
    let report = sync(&repo).await;
    let rows = report.remarks.iter().filter(|remark| matches!(remark, Remark::Row { .. })).count();
    assert_eq!((rows, here(&repo).await.len()), (1_000, 50));
    assert!(
        matches!(report.remarks.last(), Some(Remark::MoreRows { rows: 50, .. })),
        "{:?}",
        report.remarks.last()
    );
}

// Rules: s-aside, s-delete
#[tokio::test]
async fn of_a_row_in_which_no_key_stands_nobody_knows_which_one_is_not_gone() {
    let (server, repo) = apart(DeltaScope::Nothing, 6).await;
    sync(&repo).await;
    server.misfits.lock().unwrap().insert(name(1));
    server.blank.store(true, Ordering::SeqCst);
    server.write(&name(5), None).await;
    let report = sync(&repo).await;
    assert!(matches!(report.remarks[..], [Remark::Row { key: None, .. }]), "{report:?}");
    assert_eq!((report.changed, here(&repo).await.len()), (0, 6));
    server.misfits.lock().unwrap().clear();
    assert!(sync(&repo).await.is_complete());
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-pull, s-delete-moved
#[tokio::test]
async fn of_a_row_that_comes_twice_in_a_pull_the_later_one_counts() {
    let (server, repo) = apart(DeltaScope::Nothing, 6).await;
    server.numbered.store(true, Ordering::SeqCst);
    // Somebody puts a row before all others: the second page begins with the last row of the first one.
    let others = |key: &str| (key.to_owned(), Some(note(key, "others'", 1)));
    *server.meanwhile.lock().unwrap() = [vec![others("000"), others(&name(1))]].into();
    sync(&repo).await;
    assert!(here(&repo).await.contains(&(name(1), "others'".to_owned())));
    server.asked();
    sync(&repo).await;
    assert!(server.asked().iter().all(|asked| asked.starts_with("page")), "nothing is to be asked for again");
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-delete-moved, s-delta-changes
#[rstest]
#[case::as_they_were(false, 0)]
#[case::by_numbers(true, 1)]
#[tokio::test]
async fn what_is_missing_in_a_pull_of_all_changes_is_gone_unless_rows_may_have_moved(
    #[case] numbered: bool,
    #[case] questions: usize,
) {
    let (server, repo) = apart(DeltaScope::Changes, 6).await;
    sync(&repo).await;
    server.write(&name(5), None).await;
    server.numbered.store(numbered, Ordering::SeqCst);
    server.asked();
    soon(repo.sync().model::<Note>().unwrap().full().into_future()).await.unwrap();
    assert_eq!(server.asked().iter().filter(|asked| asked.starts_with("key")).count(), questions);
    assert_eq!(here(&repo).await, server.notes().await);
}
