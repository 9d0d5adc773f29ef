//! The table of the read policies, cell by cell: what is known here, whether the remote can be reached, what comes.

use larder::ReadPolicy::{LocalFirst, LocalOnly, LocalThenRemote, RemoteFirst, RemoteOnly};
use larder::{ErrorKind, Origin, ReadPolicy, Repository, Select};
use rstest::rstest;

use crate::support::{Note, Switches, Turn, note, repo, soon};

/// What is known here before the read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Here {
    /// Nothing.
    Nothing,
    /// One row of two, found by its key: no list is known by it.
    OneRow,
    /// The list, as it was.
    TheList,
}
use Here::{Nothing, OneRow, TheList};

/// What a read comes to.
#[derive(Debug, PartialEq)]
enum Answer {
    /// Local rows, without a word of the remote.
    Local(Vec<&'static str>),
    /// Local rows, because the remote could not be reached.
    Stale(Vec<&'static str>),
    /// What the remote has, out of local storage.
    Remote(Vec<&'static str>),
    Offline,
}
use Answer::{Local, Offline, Remote, Stale};

async fn prepared(here: Here, net: &std::sync::Arc<Switches>) -> Repository {
    let repo = repo(net).await;
    net.elsewhere(note("1", "old", 0)).await;
    net.elsewhere(note("2", "two", 0)).await;
    match here {
        Nothing => {}
        OneRow => drop(repo.find::<Note>("1").await.unwrap()),
        TheList => drop(repo.sync().await.unwrap()),
    }
    net.elsewhere(note("1", "new", 0)).await;
    repo
}

fn known(text: &str) -> &'static str {
    ["old", "new", "two", "mine"].into_iter().find(|known| *known == text).expect("a text of the table")
}

/// The answer, and how often the remote was read for it.
async fn read(repo: &Repository, net: &Switches) -> (Answer, usize) {
    let before = net.reads();
    let answer = match repo.get(Select::<Note>::all()).await {
        Ok(rows) => {
            let texts = rows.iter().map(|note| known(&note.text)).collect();
            match (rows.origin(), rows.stale()) {
                (Origin::Remote, None) => {
                    assert!(rows.is_complete(), "the remote has just answered");
                    Remote(texts)
                }
                (_, None) => Local(texts),
                (origin, Some(error)) => {
                    assert_eq!((origin, error.kind()), (Origin::Local, ErrorKind::Offline));
                    Stale(texts)
                }
            }
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Offline);
            Offline
        }
    };
    (answer, net.reads() - before)
}

// Rules: r-local-only, r-local-first, r-local-first-offline, r-then-remote, r-then-remote-offline
// Rules: r-remote-first, r-remote-first-offline, r-remote-only, r-remote-only-offline, r-empty, r-origin
#[rstest]
#[case(LocalOnly, Nothing, Local(vec![]), Local(vec![]))]
#[case(LocalOnly, OneRow, Local(vec!["old"]), Local(vec!["old"]))]
#[case(LocalOnly, TheList, Local(vec!["old", "two"]), Local(vec!["old", "two"]))]
#[case(LocalFirst, Nothing, Remote(vec!["new", "two"]), Offline)]
#[case(LocalFirst, OneRow, Remote(vec!["new", "two"]), Stale(vec!["old"]))]
#[case(LocalFirst, TheList, Local(vec!["old", "two"]), Local(vec!["old", "two"]))]
#[case(LocalThenRemote, Nothing, Remote(vec!["new", "two"]), Offline)]
#[case(LocalThenRemote, OneRow, Remote(vec!["new", "two"]), Stale(vec!["old"]))]
#[case(LocalThenRemote, TheList, Local(vec!["old", "two"]), Local(vec!["old", "two"]))]
#[case(RemoteFirst, Nothing, Remote(vec!["new", "two"]), Offline)]
#[case(RemoteFirst, OneRow, Remote(vec!["new", "two"]), Stale(vec!["old"]))]
#[case(RemoteFirst, TheList, Remote(vec!["new", "two"]), Stale(vec!["old", "two"]))]
#[case(RemoteOnly, Nothing, Remote(vec!["new", "two"]), Offline)]
#[case(RemoteOnly, OneRow, Remote(vec!["new", "two"]), Offline)]
#[case(RemoteOnly, TheList, Remote(vec!["new", "two"]), Offline)]
#[tokio::test]
async fn a_cell_of_the_table(
    #[case] policy: ReadPolicy,
    #[case] here: Here,
    #[case] reachable: Answer,
    #[case] unreachable: Answer,
) {
    for (offline, expected) in [(false, reachable), (true, unreachable)] {
        let net = Switches::new();
        let repo = prepared(here, &net).await;
        net.offline(offline);
        let asked = usize::from(matches!(expected, Remote(_)));
        assert_eq!(read(&repo.reading(policy), &net).await, (expected, asked), "offline: {offline}");
    }
}

// Rules: r-from-store, r-origin, r-sync-state
#[rstest]
#[case(LocalOnly)]
#[case(LocalFirst)]
#[case(LocalThenRemote)]
#[case(RemoteFirst)]
#[case(RemoteOnly)]
#[tokio::test]
async fn what_is_pending_is_in_every_answer(#[case] policy: ReadPolicy) {
    let net = Switches::new();
    let repo = prepared(TheList, &net).await;
    repo.outbox().pause();
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    let _ = repo.update(&row, |note| note.text = "mine".into()).await.unwrap();
    let rows = repo.reading(policy).get(Select::<Note>::all()).await.unwrap();
    assert_eq!((rows[0].text.as_str(), rows.pending()), ("mine", 1));
    let states: Vec<_> = rows.states().iter().map(|sync| sync.state).collect();
    assert_eq!(states, [larder::RowState::Pending, larder::RowState::Synced]);
}

// Rules: r-empty
#[tokio::test]
async fn a_refusal_is_no_outage_and_is_not_papered_over() {
    for policy in [LocalFirst, LocalThenRemote, RemoteFirst, RemoteOnly] {
        let net = Switches::new();
        let repo = prepared(OneRow, &net).await.reading(policy);
        net.next(crate::support::Turn::Say(ErrorKind::Unauthorized, 401));
        let refused = repo.get(Select::<Note>::all()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthorized, "{policy:?}");
    }
}

// Rules: r-policy
#[tokio::test]
async fn two_calls_at_a_time_keep_their_own_policies() {
    let net = Switches::new();
    let repo = prepared(TheList, &net).await;
    net.offline(true);
    let (local, remote) = (repo.reading(LocalOnly), repo.reading(RemoteOnly));
    for _ in 0..20 {
        let (here, there) = tokio::join!(local.get(Select::<Note>::all()), remote.get(Select::<Note>::all()));
        assert_eq!(here.unwrap().len(), 2);
        assert_eq!(there.unwrap_err().kind(), ErrorKind::Offline);
        let (there, here) = tokio::join!(remote.get(Select::<Note>::all()), local.get(Select::<Note>::all()));
        assert_eq!(there.unwrap_err().kind(), ErrorKind::Offline);
        assert_eq!(here.unwrap().len(), 2);
    }
}

// Rules: r-undone, o-discard
#[rstest]
#[case(LocalFirst)]
#[case(LocalThenRemote)]
#[case(RemoteFirst)]
#[tokio::test]
async fn a_row_whose_creation_was_given_up_is_known_not_to_be_there(#[case] policy: ReadPolicy) {
    let net = Switches::new();
    let repo = crate::support::stepwise(&net).build().await.unwrap();
    net.poison("sent", Turn::LoseReply);
    drop(repo.upsert(&note("sent", "mine", 0)).await.unwrap());
    soon(async {
        while net.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        net.offline(true);
        repo.outbox().pause();
        repo.outbox().drain().await;
    })
    .await;
    drop(repo.upsert(&note("a", "mine", 0)).await.unwrap());
    drop(repo.upsert(&note("a", "mine, once more", 0)).await.unwrap());
    let cleared = repo.outbox().clear(drop).await.unwrap();
    assert_eq!(cleared.kept, 0);
    let repo = repo.reading(policy);
    assert!(repo.find::<Note>("a").await.unwrap().is_none());
    assert!(!repo.exists(Select::<Note>::key("a")).await.unwrap());
    // What may have been sent may be there.
    assert_eq!(repo.find::<Note>("sent").await.unwrap_err().kind(), ErrorKind::Offline);
}

// Rules: r-undone
#[rstest]
#[case(LocalFirst)]
#[case(LocalThenRemote)]
#[case(RemoteFirst)]
#[tokio::test]
async fn a_row_that_was_created_and_deleted_here_is_known_not_to_be_there(#[case] policy: ReadPolicy) {
    let net = Switches::new();
    let store = crate::support::chaos::memory().await;
    let repo = crate::support::builder(&net).store(store.clone()).build().await.unwrap();
    net.offline(true);
    repo.outbox().pause();
    for key in ["a", "b", "c"] {
        drop(repo.upsert(&note(key, "mine", 0)).await.unwrap());
    }
    drop(repo.delete::<Note>("c").await.unwrap());
    drop(repo.delete_all::<Note>().await.unwrap());
    repo.close().await;
    let repo = crate::support::builder(&net).store(store).build().await.unwrap().reading(policy);
    for key in ["a", "b", "c"] {
        assert!(repo.find::<Note>(key).await.unwrap().is_none());
        assert!(!repo.exists(Select::<Note>::key(key)).await.unwrap());
    }
    // Of others nothing is known.
    assert_eq!(repo.find::<Note>("d").await.unwrap_err().kind(), ErrorKind::Offline);
    let only = repo.reading(RemoteOnly).find::<Note>("a").await;
    assert_eq!(only.unwrap_err().kind(), ErrorKind::Offline, "it wants the remote's word");
    // Somebody else has one of that name: it is asked for where the remote can be.
    net.elsewhere(note("a", "theirs", 0)).await;
    net.offline(false);
    assert_eq!(repo.find::<Note>("a").await.unwrap().unwrap().text, "theirs");
}

/// Creates a row and deletes it, before anybody has heard of it.
async fn undo(repo: &Repository, key: &str) {
    drop(repo.upsert(&note(key, "mine", 0)).await.unwrap());
    drop(repo.delete::<Note>(key).await.unwrap());
}

/// A repository that sends nothing and asks in vain.
async fn alone(store: std::sync::Arc<dyn larder::core::Store>) -> Repository {
    let net = Switches::new();
    let repo = crate::support::builder(&net).store(store).build().await.unwrap();
    net.offline(true);
    repo.outbox().pause();
    repo
}

async fn is_known_not_to_be_there<M: larder::Model>(repo: &Repository, key: &str) -> bool {
    match repo.find::<M>(key).await {
        Ok(found) => found.is_none(),
        Err(error) => error.kind() != ErrorKind::Offline,
    }
}

// Rules: r-undone
#[tokio::test]
async fn the_last_128_rows_of_a_model_that_were_undone_are_remembered() {
    let repo = alone(crate::support::chaos::memory().await).await;
    for id in 0..130 {
        undo(&repo, &format!("{id}")).await;
    }
    // One that is undone again is the last one, and takes no second place.
    for id in ["5", "130", "131"] {
        undo(&repo, id).await;
    }
    for (key, known) in [("1", false), ("3", false), ("4", true), ("5", true), ("129", true), ("131", true)] {
        assert_eq!(is_known_not_to_be_there::<Note>(&repo, key).await, known, "{key}");
    }
    // Each model has its own.
    let user = crate::support::User { id: "u".into(), email: "a".into() };
    drop(repo.upsert(&user).await.unwrap());
    drop(repo.upsert(&note("n", "mine", 0)).await.unwrap());
    let both = repo.transaction(|tx| {
        tx.delete::<Note>("n")?;
        tx.delete::<crate::support::User>("u")
    });
    both.await.unwrap();
    assert!(is_known_not_to_be_there::<Note>(&repo, "n").await);
    assert!(is_known_not_to_be_there::<crate::support::User>(&repo, "u").await);
    assert!(!is_known_not_to_be_there::<crate::support::User>(&repo, "n").await);
    assert!(is_known_not_to_be_there::<Note>(&repo, "131").await);
}

// Rules: r-undone
#[tokio::test]
async fn of_two_rows_that_are_undone_at_the_same_time_both_are_remembered() {
    let memory = crate::support::chaos::memory().await;
    let (store, faults) = crate::support::chaos::Faulty::over(&memory, 0);
    let repo = alone(store).await;
    for key in ["a", "b"] {
        drop(repo.upsert(&note(key, "mine", 0)).await.unwrap());
    }
    let held = faults.gates.hold(|call| call.notes("undone/"));
    let other = repo.clone();
    let first = tokio::spawn(async move { drop(other.delete::<Note>("a").await.unwrap()) });
    held.during(async { drop(repo.delete::<Note>("b").await.unwrap()) }).await;
    soon(first).await.unwrap();
    assert!(is_known_not_to_be_there::<Note>(&repo, "a").await);
    assert!(is_known_not_to_be_there::<Note>(&repo, "b").await);
}
