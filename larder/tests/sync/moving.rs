//! Lists that go on by numbers, while others write: a row that they move past a page is not gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder::{Memory, Operation, ReadPolicy, Remark, Repository, Select};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};
use proptest::test_runner::TestCaseError;
use rstest::rstest;

use crate::server::{ByOthers, Server, name, opened};
use crate::support::{Note, note};

/// What others do: write a note, or delete it.
type Writes = Vec<(usize, bool)>;

fn by_others(writes: Writes) -> ByOthers {
    let write = |(id, there): (usize, bool)| (name(id), there.then(|| note(&name(id), "others'", 1)));
    writes.into_iter().map(write).collect()
}

/// A server with so many rows, whose pages go on by numbers from now on, and a client that has all of them.
async fn apart(page: usize, rows: usize) -> (Arc<Server>, Repository) {
    let server = Server::paging(page).await;
    server.fill(rows).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    server.numbered.store(true, Ordering::SeqCst);
    server.asked();
    (server, repo)
}

async fn here(repo: &Repository) -> Vec<String> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| note.id.clone()).collect()
}

fn names(ids: impl IntoIterator<Item = usize>) -> Vec<String> {
    ids.into_iter().map(name).collect()
}

fn keys_asked(server: &Server) -> usize {
    server.asked().iter().filter(|asked| asked.starts_with("key")).count()
}

// Rules: s-delete-moved
#[rstest]
#[case::a_pull(true)]
#[case::a_fetch(false)]
#[tokio::test]
async fn a_row_that_others_move_past_a_page_stays(#[case] pull: bool) {
    let (server, repo) = apart(2, 6).await;
    let bring = async || {
        if pull {
            assert!(repo.sync().model::<Note>().unwrap().await.unwrap().remarks.is_empty());
        } else {
            repo.reading(ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await.unwrap();
        }
    };
    // 0 and 1 have been read and go: the second page begins with 4, where 2 had been.
    *server.meanwhile.lock().unwrap() = [by_others(vec![(0, false), (1, false)])].into();
    bring().await;
    assert_eq!(here(&repo).await, names(0..6));
    assert_eq!(keys_asked(&server), 2, "2 and 3 did not come, and are asked for");
    bring().await;
    assert_eq!(here(&repo).await, names(2..6));
    assert_eq!(keys_asked(&server), 2, "0 and 1 did not come, and are gone");
    bring().await;
    assert_eq!(keys_asked(&server), 0, "nothing is in doubt any more");
}

// Rules: s-delete-moved
#[tokio::test]
async fn a_list_that_goes_on_after_its_last_row_is_believed() {
    let (server, repo) = apart(2, 6).await;
    server.numbered.store(false, Ordering::SeqCst);
    server.write(&name(3), None).await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!((here(&repo).await, keys_asked(&server)), (names([0, 1, 2, 4, 5]), 0));
}

// Rules: s-delete-moved
#[tokio::test]
async fn a_change_of_a_row_that_was_moved_is_not_taken_for_one_of_a_row_that_is_gone() {
    let (server, repo) = apart(2, 6).await;
    repo.outbox().pause();
    drop(repo.upsert(&note(&name(2), "mine", 9)).await.unwrap());
    *server.meanwhile.lock().unwrap() = [by_others(vec![(0, false)])].into();
    let report = repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!((report.left, repo.status().conflicts), (1, 0));
    // One of a row that is gone would be a creation by now.
    assert_eq!(repo.outbox().list(0, 9).await.unwrap()[0].operation, Operation::Update);
    repo.outbox().resume();
    repo.sync().await.unwrap();
    assert!(server.notes().await.contains(&(name(2), "mine".to_owned())));
}

// Rules: s-delete-moved, s-rebase
#[tokio::test]
async fn a_change_of_a_row_that_is_gone_is_put_on_that_once_the_remote_has_said_so() {
    let (server, repo) = apart(2, 6).await;
    repo.outbox().pause();
    drop(repo.upsert(&note(&name(2), "mine", 9)).await.unwrap());
    server.write(&name(2), None).await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!(keys_asked(&server), 1);
    assert_eq!(repo.outbox().list(0, 9).await.unwrap()[0].operation, Operation::Insert);
}

// Rules: s-delete-moved
#[tokio::test]
async fn where_no_row_can_be_asked_for_by_its_key_it_stays_and_the_report_says_so() {
    let (server, repo) = apart(2, 6).await;
    server.keyless.store(true, Ordering::SeqCst);
    server.write(&name(3), None).await;
    let report = repo.sync().model::<Note>().unwrap().await.unwrap();
    assert!(
        matches!(report.remarks[..], [Remark::Doubted { model: "Note", rows: 1, more: false, .. }]),
        "{report:?}"
    );
    assert_eq!(here(&repo).await, names(0..6));
}

// Rules: s-delete-moved, s-memory
#[tokio::test]
async fn so_many_rows_in_doubt_are_asked_for_by_several_pulls() {
    let (server, repo) = apart(50, 1_300).await;
    for id in 0..1_200 {
        server.write(&name(id), None).await;
    }
    let known = async || repo.coverage(Select::<Note>::all()).await.unwrap();
    let before = known().await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!(keys_asked(&server), 1_000);
    assert_eq!(here(&repo).await.len(), 300);
    assert_eq!(known().await, before, "there are some of which it is not known");
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!((here(&repo).await, keys_asked(&server)), (names(1_200..1_300), 200));
    assert_ne!(known().await, before);
}

// Rules: s-delete-moved, s-resume
#[tokio::test]
async fn a_pull_that_is_broken_off_while_it_asks_goes_on_and_removes_nothing_that_is_there() {
    for answers in 0..12 {
        let (server, repo) = apart(2, 8).await;
        server.write(&name(7), None).await;
        *server.meanwhile.lock().unwrap() = [by_others(vec![(0, false), (1, false)])].into();
        server.answers.store(answers, Ordering::SeqCst);
        let broken = repo.sync().model::<Note>().unwrap().await;
        server.answers.store(usize::MAX, Ordering::SeqCst);
        let left = here(&repo).await;
        assert!(names(2..7).iter().all(|id| left.contains(id)), "after {answers}: {broken:?}, {left:?}");
        repo.sync().model::<Note>().unwrap().await.unwrap();
        repo.sync().model::<Note>().unwrap().await.unwrap();
        assert_eq!(here(&repo).await, names(2..7), "after {answers}");
    }
}

proptest! {
    // Rules: s-delete-moved
    #[test]
    fn whatever_others_write_between_the_pages_no_row_that_is_there_is_removed(
        page in 1..5_usize,
        rows in 0..14_usize,
        before in vec((0..18_usize, any::<bool>()), 0..5),
        between in vec(vec((0..18_usize, any::<bool>()), 0..4), 0..8),
        pull in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(holds(page, rows, before, between, pull))?;
    }
}

async fn holds(
    page: usize,
    rows: usize,
    before: Writes,
    between: Vec<Writes>,
    pull: bool,
) -> Result<(), TestCaseError> {
    let (server, repo) = apart(page, rows).await;
    let had: BTreeSet<String> = here(&repo).await.into_iter().collect();
    for (key, note) in by_others(before) {
        server.write(&key, note).await;
    }
    *server.meanwhile.lock().unwrap() = between.into_iter().map(by_others).collect();
    if pull {
        repo.sync().model::<Note>().unwrap().await.unwrap();
    } else {
        repo.reading(ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await.unwrap();
    }
    let (left, there) = (here(&repo).await, server.notes().await);
    let lost: Vec<_> = there.iter().filter(|(id, _)| had.contains(id) && !left.contains(id)).collect();
    prop_assert_eq!(lost, Vec::<&(String, String)>::new());
    server.meanwhile.lock().unwrap().clear();
    repo.sync().model::<Note>().unwrap().await.unwrap();
    let there: Vec<_> = server.notes().await.into_iter().map(|(id, _)| id).collect();
    prop_assert_eq!(here(&repo).await, there);
    Ok(())
}
