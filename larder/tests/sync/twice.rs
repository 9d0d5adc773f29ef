//! Lists that go on by numbers: that all of it is here is known once the same rows have come twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder::{Memory, ReadPolicy, Repository, Select, Timestamp};
use proptest::collection::vec;
use proptest::prelude::{prop_assert_eq, proptest};
use proptest::test_runner::TestCaseError;
use rstest::rstest;

use crate::server::{ByOthers, Server, name, opened};
use crate::support::{Note, note};

/// A server with so many rows, whose pages go on by numbers, and a client that has none of them.
async fn apart(page: usize, rows: usize) -> (Arc<Server>, Repository) {
    let server = Server::paging(page).await;
    server.numbered.store(true, Ordering::SeqCst);
    server.fill(rows).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    (server, repo)
}

/// Asks for everything, as a pull or as a read.
async fn bring(repo: &Repository, pull: bool) {
    if pull {
        repo.sync().model::<Note>().unwrap().await.unwrap();
    } else {
        repo.reading(ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await.unwrap();
    }
}

async fn read(repo: &Repository) -> Vec<String> {
    let rows = repo.get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| note.id.clone()).collect()
}

async fn since(repo: &Repository) -> Option<Timestamp> {
    repo.coverage(Select::<Note>::all()).await.unwrap()
}

fn names(ids: impl IntoIterator<Item = usize>) -> Vec<String> {
    ids.into_iter().map(name).collect()
}

fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

// Rules: r-coverage-moved, s-delete-moved
#[rstest]
#[case::a_pull(true)]
#[case::a_fetch(false)]
#[tokio::test]
async fn a_row_that_was_left_out_is_not_said_not_to_be_there(#[case] pull: bool) {
    let (server, repo) = apart(2, 6).await;
    // 0 has been read and goes: the second page begins with 3, where 2 had been.
    *server.meanwhile.lock().unwrap() = [vec![(name(0), None)]].into();
    bring(&repo, pull).await;
    assert_eq!(since(&repo).await, None);
    assert_eq!(read(&repo).await, names(1..6), "it is asked again, and 0 by its key");
    assert_eq!(since(&repo).await, None, "other rows came than before");
    bring(&repo, pull).await;
    assert!(since(&repo).await.is_some());
}

// Rules: r-coverage-moved
#[rstest]
#[case::a_pull(true)]
#[case::a_fetch(false)]
#[tokio::test]
async fn what_has_come_twice_is_known_as_of_the_first_time(#[case] pull: bool) {
    let (server, repo) = apart(2, 6).await;
    bring(&repo, pull).await;
    assert_eq!(since(&repo).await, None, "rows may have moved");
    let between = now();
    read(&repo).await;
    let known = since(&repo).await.expect("the same has come again");
    assert!(known <= between, "what came the second time is not proven");
    server.asked();
    assert_eq!(read(&repo).await, names(0..6));
    assert!(server.asked().is_empty(), "it is known here");
    // What is edited, and stays where it is, moves nothing.
    server.write(&name(3), Some(note(&name(3), "others'", 1))).await;
    bring(&repo, pull).await;
    assert!(since(&repo).await.unwrap() > between);
}

// Rules: r-coverage-moved
#[rstest]
#[case::of_one_page(true, 6)]
#[case::that_goes_on_after_its_last_row(false, 2)]
#[tokio::test]
async fn a_list_in_which_nothing_can_move_is_known_at_once(#[case] numbered: bool, #[case] page: usize) {
    let (server, repo) = apart(page, 6).await;
    server.numbered.store(numbered, Ordering::SeqCst);
    read(&repo).await;
    assert!(since(&repo).await.is_some());
}

// Rules: r-coverage-moved, s-resume
#[tokio::test]
async fn a_pull_that_was_broken_off_proves_as_much_as_another() {
    let (server, repo) = apart(2, 6).await;
    bring(&repo, true).await;
    server.answers.store(2, Ordering::SeqCst);
    drop(repo.sync().model::<Note>().unwrap().await);
    server.answers.store(usize::MAX, Ordering::SeqCst);
    server.asked();
    bring(&repo, true).await;
    assert_eq!(server.asked(), ["page Note 0:#4"], "it goes on");
    assert!(since(&repo).await.is_some());
}

// Rules: r-coverage-moved, r-forget
#[tokio::test]
async fn what_is_forgotten_has_to_come_twice_again() {
    let (_server, repo) = apart(2, 6).await;
    bring(&repo, false).await;
    repo.forget(Select::<Note>::all()).await.unwrap();
    bring(&repo, false).await;
    assert_eq!(since(&repo).await, None);
    bring(&repo, false).await;
    assert!(since(&repo).await.is_some());
    repo.resync().await.unwrap();
    assert_eq!(since(&repo).await, None);
}

/// What others do: write a row that never was, behind one of these, or delete one that is there.
async fn by_others(server: &Server, used: &mut BTreeSet<usize>, writes: &[(usize, bool)]) -> ByOthers {
    let mut there = server.notes().await;
    let mut made = Vec::new();
    for (nth, new) in writes {
        if *new {
            let id = (nth * 100..).find(|id| !used.contains(id)).unwrap();
            used.insert(id);
            made.push((name(id), Some(note(&name(id), "others'", 1))));
        } else if !there.is_empty() {
            let (id, _) = there.remove(nth % there.len());
            made.push((id, None));
        }
    }
    made
}

proptest! {
    // Rules: r-coverage-moved
    #[test]
    fn whatever_others_write_between_the_pages_what_is_known_is_here(
        page in 1..4_usize,
        rows in 0..10_usize,
        passes in vec(vec(vec((0..12_usize, proptest::bool::ANY), 0..3), 0..6), 1..6),
        pull in proptest::bool::ANY,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(holds(page, rows, passes, pull))?;
    }
}

async fn holds(
    page: usize,
    rows: usize,
    passes: Vec<Vec<Vec<(usize, bool)>>>,
    pull: bool,
) -> Result<(), TestCaseError> {
    let (server, repo) = apart(page, 0).await;
    let mut used = BTreeSet::new();
    for (key, row) in
        by_others(&server, &mut used, &(0..rows).map(|nth| (nth, true)).collect::<Vec<_>>()).await
    {
        server.write(&key, row).await;
    }
    let mut begun: Vec<(Timestamp, BTreeSet<String>)> = Vec::new();
    for between in passes {
        let there = server.notes().await.into_iter().map(|(id, _)| id).collect();
        begun.push((now(), there));
        let mut writes = Vec::new();
        for some in between {
            writes.push(by_others(&server, &mut used, &some).await);
        }
        *server.meanwhile.lock().unwrap() = writes.into();
        bring(&repo, pull).await;
        let Some(known) = since(&repo).await else { continue };
        let (_, before) = begun.iter().rev().find(|(at, _)| *at <= known).unwrap();
        let here: BTreeSet<String> = read(&repo).await.into_iter().collect();
        let there: BTreeSet<String> = server.notes().await.into_iter().map(|(id, _)| id).collect();
        let lacking: Vec<_> = before.intersection(&there).filter(|id| !here.contains(*id)).collect();
        prop_assert_eq!(lacking, Vec::<&String>::new());
    }
    Ok(())
}
