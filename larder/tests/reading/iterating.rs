//! Results that are larger than memory: in pieces, each row once.

use std::collections::BTreeSet;
use std::sync::Arc;

use larder::{ErrorKind, Memory, ReadPolicy, Repository, Select, WritePolicy};
use rstest::rstest;

use crate::support::counting::{Counting, Reads};
use crate::support::{Net, Note, Switches, note, repo};

const ROWS: i64 = 2_000;

async fn filled() -> (Repository, Arc<Reads>) {
    let reads = Arc::<Reads>::default();
    let store = Counting { store: Memory::new(), reads: Arc::clone(&reads) };
    let repo = Repository::builder().store(store).model::<Note>().build().await.unwrap();
    let notes: Vec<Note> = (0..ROWS).map(|at| note(&format!("{at:05}"), "text", at % 7)).collect();
    let _ = repo.upsert_many(&notes).await.unwrap();
    (repo, reads)
}

async fn ids(repo: &Repository, query: Select<Note>) -> Vec<String> {
    let (mut rows, mut ids) = (repo.iterate(query).unwrap(), Vec::new());
    while let Some(row) = rows.next().await {
        ids.push(row.unwrap().id.clone());
    }
    assert!(rows.next().await.is_none(), "it has ended");
    ids
}

// Rules: r-scan
#[rstest]
#[case::by_key(Select::all())]
#[case::falling(Select::all().order_by(Note::STARS.desc()))]
#[case::with_a_condition(Note::STARS.gt(2).order_by(Note::STARS.asc()).order_by(Note::ID.desc()))]
#[case::a_window(Select::all().order_by(Note::STARS.asc()).offset(300).limit(1_000))]
#[case::a_limit_that_a_chunk_ends_at(Select::all().limit(512))]
#[case::nothing(Note::STARS.gt(100).into())]
#[tokio::test]
async fn every_row_comes_once_in_order_and_few_are_held(#[case] query: Select<Note>) {
    let (repo, reads) = filled().await;
    let found = ids(&repo, query.clone()).await;
    assert!(reads.most() <= 256, "{} rows at a time", reads.most());
    let whole: Vec<String> = repo.get(query).await.unwrap().iter().map(|note| note.id.clone()).collect();
    assert_eq!(found, whole);
}

// Rules: r-scan
#[tokio::test]
async fn a_row_that_is_there_throughout_comes_exactly_once() {
    let (repo, _) = filled().await;
    let mut rows = repo.iterate(Select::<Note>::all()).unwrap();
    let mut seen = Vec::new();
    while let Some(chunk) = rows.next_chunk().await {
        let chunk = chunk.unwrap();
        assert!(!chunk.is_empty() && chunk.len() <= 256);
        seen.extend(chunk.iter().map(|note| note.id.clone()));
        // Behind, at and before the place where it stands, rows come and go.
        let last: i64 = seen.last().unwrap().parse().unwrap();
        let _ = repo.delete::<Note>(format!("{last:05}")).await.unwrap();
        let _ = repo.delete::<Note>(format!("{:05}", last + 1)).await.unwrap();
        let _ = repo.upsert(&note(&format!("{:05} new", last - 5), "new", 0)).await.unwrap();
        let _ = repo.upsert(&note(&format!("{:05} new", last + 5), "new", 0)).await.unwrap();
    }
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "none twice");
    for note in repo.get(Note::TEXT.eq("text")).await.unwrap().iter() {
        assert!(distinct.contains(&note.id), "{} was there all the time", note.id);
    }
}

// Rules: r-scan
#[tokio::test]
async fn the_policy_fetches_first_and_an_outage_is_an_item() {
    let net = Switches::new();
    let repo = repo(&net).await;
    for stars in 0..10 {
        net.elsewhere(note(&stars.to_string(), "theirs", stars)).await;
    }
    net.offline(true);
    let mut rows = repo.iterate(Select::<Note>::all()).unwrap();
    assert_eq!(rows.next().await.unwrap().unwrap_err().kind(), ErrorKind::Offline);
    assert!(rows.next().await.is_none());

    net.offline(false);
    assert_eq!(net.reads(), 0, "nothing happens before the first row is asked for");
    assert_eq!(ids(&repo, Select::all()).await.len(), 10);
    assert_eq!(net.reads(), 1);

    net.offline(true);
    let mut rows = repo.reading(ReadPolicy::RemoteFirst).iterate(Note::STARS.gt(3)).unwrap();
    let chunk = rows.next_chunk().await.unwrap().unwrap();
    assert_eq!((chunk.len(), chunk.stale().map(larder::Error::kind)), (6, Some(ErrorKind::Offline)));
}

// Rules: r-scan
#[tokio::test]
async fn pending_rows_are_among_them() {
    let net = Switches::new();
    let repo = Repository::builder()
        .store(Memory::new())
        .remote(Net(Arc::clone(&net)))
        .model::<Note>()
        .paused()
        .build()
        .await
        .unwrap();
    net.elsewhere(note("1", "theirs", 0)).await;
    let _ = repo.upsert(&note("2", "mine", 0)).await.unwrap();
    let _ = repo.writing(WritePolicy::LocalOnly).upsert(&note("3", "mine", 0)).await.unwrap();
    assert_eq!(ids(&repo, Select::all()).await, ["1", "2", "3"]);
}
