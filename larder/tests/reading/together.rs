//! Several queries answered from one committed state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder::{ErrorKind, Memory, Model, Origin, ReadPolicy, Redb, Repository, Select};
use rstest::rstest;

use crate::support::{Note, Switches, note, repo};

#[derive(Model, Clone, Debug, PartialEq)]
struct Account {
    #[model(key)]
    name: String,
    cents: i64,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Total {
    #[model(key)]
    id: u8,
    cents: i64,
}

// Rules: r-together
#[rstest]
#[case::memory(false)]
#[case::redb(true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_answer_knows_of_a_write_that_another_does_not_know_of(#[case] redb: bool) {
    let folder = tempfile::tempdir().unwrap();
    let builder = match redb {
        true => Repository::builder().store(Redb::at(folder.path().join("bank.redb"))),
        false => Repository::builder().store(Memory::new()),
    };
    let repo = builder.model::<Account>().model::<Total>().build().await.unwrap();
    let _ =
        repo.upsert_many(&["ada", "bob"].map(|name| Account { name: name.into(), cents: 0 })).await.unwrap();
    let _ = repo.upsert(&Total { id: 0, cents: 0 }).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (repo, done) = (repo.clone(), Arc::clone(&done));
        async move {
            for cents in 1..200 {
                repo.transaction(move |tx| {
                    tx.upsert(&Account { name: if cents % 2 == 0 { "ada" } else { "bob" }.into(), cents })?;
                    let sum: i64 =
                        tx.get(Select::<Account>::all())?.iter().map(|account| account.cents).sum();
                    tx.upsert(&Total { id: 0, cents: sum })
                })
                .await
                .unwrap();
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    let mut reads = 0;
    while !done.load(Ordering::SeqCst) {
        let (accounts, totals) =
            repo.get_together((Select::<Account>::all(), Select::<Total>::all())).await.unwrap();
        let sum: i64 = accounts.iter().map(|account| account.cents).sum();
        assert_eq!(sum, totals[0].cents, "of one state");
        reads += 1;
    }
    writer.await.unwrap();
    assert!(reads > 0);
}

// Rules: r-together
#[tokio::test]
async fn each_query_fetches_as_the_policy_says_and_tells_of_itself() {
    let net = Switches::new();
    let repo = repo(&net).await;
    for stars in 0..4 {
        net.elsewhere(note(&stars.to_string(), "theirs", stars)).await;
    }
    let known = repo.get(Note::STARS.eq(1)).await.unwrap();
    assert_eq!((known.len(), net.reads()), (1, 1));
    let both = || (Note::STARS.eq(1), Select::<Note>::all());
    let (one, all) = repo.get_together(both()).await.unwrap();
    assert_eq!((one.len(), all.len(), net.reads()), (1, 4, 2), "what is known is not asked for again");
    assert_eq!((one.origin(), all.origin()), (Origin::Local, Origin::Remote));

    net.offline(true);
    let strict = repo.reading(ReadPolicy::RemoteOnly);
    assert_eq!(strict.get_together(both()).await.unwrap_err().kind(), ErrorKind::Offline);
    let (one, all) = repo.reading(ReadPolicy::RemoteFirst).get_together(both()).await.unwrap();
    assert!(one.stale().is_some() && all.stale().is_some());
    let (here, three, _) = repo
        .reading(ReadPolicy::LocalOnly)
        .get_together((Note::STARS.gt(1), Note::STARS.eq(3), Note::STARS.eq(9)))
        .await
        .unwrap();
    assert_eq!((here.len(), three[0].id.as_str()), (2, "3"));
}

// Rules: r-together
#[tokio::test]
async fn a_query_that_makes_no_sense_is_told_before_anything_is_fetched() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let error = repo.get_together((Select::<Note>::all(), Select::<Account>::all())).await.unwrap_err();
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Invalid, Some("Account")));
    assert_eq!(net.reads(), 0);
}
