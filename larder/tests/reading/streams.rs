//! The stream that ends, and live queries with several readers.

use larder::ReadPolicy::{LocalFirst, LocalOnly, LocalThenRemote, RemoteFirst, RemoteOnly};
use larder::{ErrorKind, Origin, ReadPolicy, Select};
use rstest::rstest;

use crate::support::{Note, Switches, note, repo, soon};

/// What a stream gives: the origin and the number of rows, or the kind of the error.
async fn answers(repo: &larder::Repository, policy: ReadPolicy) -> Vec<Result<(Origin, usize), ErrorKind>> {
    let mut stream = repo.reading(policy).stream(Select::<Note>::all()).unwrap();
    let mut answers = Vec::new();
    while let Some(answer) = soon(stream.next()).await {
        answers.push(answer.map(|rows| (rows.origin(), rows.len())).map_err(|error| error.kind()));
    }
    assert!(stream.next().await.is_none(), "it has ended");
    answers
}

const HERE_0: Result<(Origin, usize), ErrorKind> = Ok((Origin::Local, 0));
const HERE_1: Result<(Origin, usize), ErrorKind> = Ok((Origin::Local, 1));
const THERE_1: Result<(Origin, usize), ErrorKind> = Ok((Origin::Remote, 1));
const THERE_2: Result<(Origin, usize), ErrorKind> = Ok((Origin::Remote, 2));
const OUTAGE: Result<(Origin, usize), ErrorKind> = Err(ErrorKind::Offline);

// Rules: r-stream
#[rstest]
#[case(LocalOnly, &[HERE_0], &[HERE_0], &[HERE_1])]
#[case(LocalFirst, &[HERE_0, THERE_1], &[HERE_0, OUTAGE], &[HERE_1])]
#[case(LocalThenRemote, &[HERE_0, THERE_1], &[HERE_0, OUTAGE], &[HERE_1, THERE_2])]
#[case(RemoteFirst, &[HERE_0, THERE_1], &[HERE_0, OUTAGE], &[HERE_1, THERE_2])]
#[case(RemoteOnly, &[THERE_1], &[OUTAGE], &[THERE_2])]
#[tokio::test]
async fn local_then_the_remotes_answer_or_error_then_the_end(
    #[case] policy: ReadPolicy,
    #[case] unknown: &[Result<(Origin, usize), ErrorKind>],
    #[case] outage: &[Result<(Origin, usize), ErrorKind>],
    #[case] known: &[Result<(Origin, usize), ErrorKind>],
) {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.elsewhere(note("1", "theirs", 0)).await;
    net.offline(true);
    assert_eq!(answers(&repo, policy).await, outage);
    net.offline(false);
    assert_eq!(answers(&repo, policy).await, unknown);
    repo.sync().await.unwrap();
    net.elsewhere(note("2", "theirs", 0)).await;
    assert_eq!(answers(&repo, policy).await, known);
}

// Rules: r-stream, r-origin
#[tokio::test]
async fn a_local_answer_that_may_lack_rows_says_so() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let mut stream = repo.stream(Select::<Note>::all()).unwrap();
    assert!(!stream.next().await.unwrap().unwrap().is_complete());
    assert!(stream.next().await.unwrap().unwrap().is_complete());
}

// Rules: r-watch, r-remote-only
#[tokio::test]
async fn a_watch_of_the_remote_alone_begins_with_the_remotes_answer() {
    let net = Switches::new();
    let repo = repo(&net).await.reading(RemoteOnly);
    net.elsewhere(note("1", "theirs", 0)).await;
    let mut live = repo.watch(Select::<Note>::all()).unwrap();
    assert_eq!(soon(live.next()).await.unwrap().unwrap().len(), 1);
}

// Rules: r-watch-slow, r-watch-empty
#[tokio::test]
async fn any_number_of_readers_get_the_latest_state_each_at_its_own_pace() {
    let net = Switches::new();
    let repo = repo(&net).await.reading(LocalOnly);
    let mut readers: Vec<_> = (0..20).map(|_| repo.watch(Note::STARS.gt(0)).unwrap()).collect();
    for reader in &mut readers {
        assert!(reader.next().await.unwrap().unwrap().is_empty());
    }
    repo.outbox().pause();
    for stars in 1..=100 {
        let _ = repo.upsert(&note("1", "text", stars)).await.unwrap();
    }
    for reader in &mut readers {
        let rows = soon(reader.next()).await.unwrap().unwrap();
        assert_eq!(rows[0].stars, 100, "a slow reader gets the latest state and no backlog");
    }
    let _ = repo.delete::<Note>("1").await.unwrap();
    for reader in &mut readers {
        assert!(soon(reader.next()).await.unwrap().unwrap().is_empty(), "emptiness is told");
    }
}
