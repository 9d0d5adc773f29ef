//! One row, the first row, a number, rows by their keys.

use std::sync::Arc;

use larder::ReadPolicy::{LocalFirst, LocalOnly, LocalThenRemote, RemoteFirst, RemoteOnly};
use larder::core::Pushdown;
use larder::{ErrorKind, Memory, ReadPolicy, Repository, Select};
use rstest::rstest;

use crate::support::counting::{Counting, Reads};
use crate::support::{Net, Note, Switches, note, repo, settled};

/// A repository whose store is counted.
async fn counted(net: &Arc<Switches>) -> (Repository, Arc<Reads>) {
    let reads = Arc::<Reads>::default();
    let repo = Repository::builder()
        .store(Counting { store: Memory::new(), reads: Arc::clone(&reads) })
        .remote(Net(Arc::clone(net)))
        .model::<Note>()
        .cache_size(0)
        .build()
        .await
        .unwrap();
    (repo, reads)
}

fn ids(found: &[Option<Arc<Note>>]) -> Vec<Option<&str>> {
    found.iter().map(|note| note.as_ref().map(|note| note.id.as_str())).collect()
}

// Rules: r-one
#[tokio::test]
async fn get_one_is_exactly_one_or_says_why_not() {
    let net = Switches::new();
    let repo = repo(&net).await;
    for (id, stars) in [("a", 1), ("b", 2), ("c", 2), ("d", 2)] {
        net.elsewhere(note(id, "text", stars)).await;
    }
    assert_eq!(repo.get_one(Note::STARS.eq(1)).await.unwrap().id, "a");
    let none = repo.get_one(Note::STARS.eq(9)).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
    let several = repo.get_one(Note::STARS.eq(2)).await.unwrap_err();
    assert_eq!(several.kind(), ErrorKind::Conflict);
    assert!(several.to_string().contains("rows b and c"), "{several}");
    let first = repo.get_one(Note::STARS.eq(2).order_by(Note::ID.desc()).limit(1)).await.unwrap();
    assert_eq!(first.id, "d", "a limit of one is the caller's word that any will do");
    net.offline(true);
    assert_eq!(repo.get_one(Note::STARS.eq(3)).await.unwrap_err().kind(), ErrorKind::Offline);
}

// Rules: r-one
#[tokio::test]
async fn get_first_is_the_first_in_order_or_none() {
    let net = Switches::new();
    let repo = repo(&net).await;
    for (id, stars) in [("a", 1), ("b", 3), ("c", 2)] {
        net.elsewhere(note(id, "text", stars)).await;
    }
    let most = repo.get_first(Select::<Note>::all().order_by(Note::STARS.desc())).await.unwrap();
    assert_eq!(most.unwrap().id, "b");
    assert!(repo.get_first(Note::STARS.gt(9)).await.unwrap().is_none());
    assert!(repo.get_first(Select::<Note>::all().limit(0)).await.unwrap().is_none());
}

// Rules: r-count, r-exists
#[rstest]
#[case(LocalOnly, Ok(1), Ok(1))]
#[case(LocalFirst, Ok(3), Ok(1))]
#[case(LocalThenRemote, Ok(3), Ok(1))]
#[case(RemoteFirst, Ok(3), Ok(1))]
#[case(RemoteOnly, Ok(3), Err(ErrorKind::Offline))]
#[tokio::test]
async fn count_and_exists_follow_the_policy(
    #[case] policy: ReadPolicy,
    #[case] online: Result<u64, ErrorKind>,
    #[case] offline: Result<u64, ErrorKind>,
) {
    for (is_offline, expected) in [(true, offline), (false, online)] {
        let net = Switches::new();
        let (repo, reads) = counted(&net).await;
        net.elsewhere(note("1", "theirs", 0)).await;
        net.elsewhere(note("2", "theirs", 0)).await;
        repo.outbox().pause();
        let _ = repo.upsert(&note("3", "mine", 0)).await.unwrap();
        net.offline(is_offline);
        let repo = repo.reading(policy);
        let exists = repo.exists(Note::TEXT.eq("theirs")).await.map_err(|error| error.kind());
        let count = repo.count(Select::<Note>::all()).await.map_err(|error| error.kind());
        assert_eq!(count, expected, "offline: {is_offline}");
        assert_eq!(reads.counts(), usize::from(expected.is_ok()), "the store counts");
        let known = match (policy, is_offline) {
            (LocalOnly, _) => Ok(false),
            (_, true) => Err(ErrorKind::Offline),
            (_, false) => Ok(true),
        };
        assert_eq!(exists, known, "of what is nowhere here, nothing is known");
    }
}

// Rules: r-count
#[tokio::test]
async fn count_is_of_the_window() {
    let net = Switches::new();
    let repo = repo(&net).await;
    for stars in 0..10 {
        net.elsewhere(note(&stars.to_string(), "text", stars)).await;
    }
    let count = async |select: Select<Note>| repo.count(select).await.unwrap();
    assert_eq!(count(Note::STARS.gt(3).into()).await, 6);
    assert_eq!(count(Note::STARS.gt(3).limit(4)).await, 4);
    assert_eq!(count(Note::STARS.gt(3).offset(4)).await, 2);
    assert_eq!(count(Note::STARS.gt(3).offset(40)).await, 0);
    assert_eq!(count(Select::all().limit(0)).await, 0);
}

// Rules: r-batch
#[tokio::test]
async fn find_many_keeps_the_order_of_the_keys_and_reads_the_store_once() {
    let net = Switches::new();
    let (repo, reads) = counted(&net).await;
    for id in 0..50 {
        net.elsewhere(note(&id.to_string(), "text", id)).await;
    }
    repo.sync().await.unwrap();
    let (before, remote) = (reads.queries(), net.reads());
    let keys = ["7", "nobody", "3", "7", "49"];
    let found = repo.find_many::<Note>(keys).await.unwrap();
    assert_eq!(ids(&found), [Some("7"), None, Some("3"), Some("7"), Some("49")]);
    assert_eq!(reads.queries() - before, 1);
    assert_eq!(net.reads(), remote, "all rows are known, so nobody is known not to be there");
    assert!(repo.find_many::<Note>([""; 0]).await.unwrap().is_empty());
}

// Rules: r-batch
#[rstest]
#[case::in_one_request(Pushdown::All, 1)]
#[case::row_by_row(Pushdown::None, 3)]
#[tokio::test]
async fn find_many_fetches_what_is_missing_and_nothing_else(
    #[case] filter: Pushdown,
    #[case] requests: usize,
) {
    let net = Switches::new();
    *net.filter.lock().unwrap() = Some(filter);
    let repo = repo(&net).await;
    for id in ["1", "2", "3", "4"] {
        net.elsewhere(note(id, "theirs", 0)).await;
    }
    repo.find::<Note>("1").await.unwrap();
    net.offline(true);
    let _ = repo.delete::<Note>("4").await.unwrap();
    let offline = repo.find_many::<Note>(["1", "2"]).await.unwrap_err();
    assert_eq!(offline.kind(), ErrorKind::Offline, "of 2 nothing is known: that is no None");
    assert_eq!(ids(&repo.find_many::<Note>(["4", "1"]).await.unwrap()), [None, Some("1")]);
    repo.outbox().pause();
    net.offline(false);

    let before = net.reads();
    let found = repo.find_many::<Note>(["3", "1", "2", "nobody", "4"]).await.unwrap();
    assert_eq!(ids(&found), [Some("3"), Some("1"), Some("2"), None, None]);
    assert_eq!(net.reads() - before, requests, "3, 2 and nobody");
    repo.outbox().resume();
    settled(&repo).await;
}

// Rules: r-batch, r-local-first, r-remote-first, r-remote-only
#[rstest]
#[case(LocalOnly, Ok("old"), Ok("old"))]
#[case(LocalFirst, Ok("old"), Ok("old"))]
#[case(RemoteFirst, Ok("new"), Ok("old"))]
#[case(RemoteOnly, Ok("new"), Err(ErrorKind::Offline))]
#[tokio::test]
async fn find_and_find_many_follow_the_policy(
    #[case] policy: ReadPolicy,
    #[case] online: Result<&str, ErrorKind>,
    #[case] offline: Result<&str, ErrorKind>,
) {
    for (is_offline, expected) in [(true, offline), (false, online)] {
        let net = Switches::new();
        let repo = repo(&net).await;
        net.elsewhere(note("1", "old", 0)).await;
        repo.find::<Note>("1").await.unwrap();
        net.elsewhere(note("1", "new", 0)).await;
        net.offline(is_offline);
        let repo = repo.reading(policy);
        let expected = expected.map(ToOwned::to_owned);
        let many = repo.find_many::<Note>(["1"]).await.map(|found| found[0].as_ref().unwrap().text.clone());
        assert_eq!(many.map_err(|error| error.kind()), expected, "offline: {is_offline}");
        let one = repo.find::<Note>("1").await.map(|found| found.unwrap().text.clone());
        assert_eq!(one.map_err(|error| error.kind()), expected, "offline: {is_offline}");
    }
}
