//! Identical fetches are one, whoever of the callers gives up.

use futures_util::{future, poll};
use larder::ReadPolicy::RemoteOnly;
use larder::{ErrorKind, Select};

use crate::support::{Note, Switches, note, repo, soon};

// Rules: r-single-flight
#[tokio::test]
async fn of_many_callers_one_fetches() {
    let net = Switches::new();
    let repo = repo(&net).await.reading(RemoteOnly);
    net.elsewhere(note("1", "text", 0)).await;
    net.hang(true);
    let mut callers: Vec<_> = (0..200).map(|_| Box::pin(repo.get(Select::<Note>::all()))).collect();
    // All of them have asked before the remote answers.
    for caller in &mut callers {
        assert!(poll!(caller).is_pending());
    }
    net.hang(false);
    for answer in soon(future::join_all(callers)).await {
        assert_eq!(answer.unwrap().len(), 1);
    }
    assert_eq!(net.reads(), 1);
    repo.get(Select::<Note>::all()).await.unwrap();
    assert_eq!(net.reads(), 2, "the next one asks anew");
}

// Rules: r-single-flight
#[tokio::test]
async fn the_first_caller_may_give_up() {
    let net = Switches::new();
    let repo = repo(&net).await.reading(RemoteOnly);
    net.elsewhere(note("1", "text", 0)).await;
    net.hang(true);
    let (mut first, mut second) =
        (Box::pin(repo.get(Select::<Note>::all())), Box::pin(repo.get(Select::<Note>::all())));
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut second).is_pending());
    drop(first);
    net.hang(false);
    assert_eq!(soon(second).await.unwrap().len(), 1);
    assert_eq!(net.reads(), 1);
}

// Rules: r-single-flight
#[tokio::test]
async fn an_error_is_everybodys() {
    let net = Switches::new();
    let repo = repo(&net).await.reading(RemoteOnly);
    net.next(crate::support::Turn::Say(ErrorKind::Http { status: 500 }, 500));
    let answers = future::join_all((0..3).map(|_| repo.get(Select::<Note>::all()))).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Http { status: 500 });
    }
    assert!(repo.get(Select::<Note>::all()).await.is_ok());
}

// Rules: r-single-flight
#[tokio::test]
async fn other_queries_and_other_deadlines_are_other_fetches() {
    let net = Switches::new();
    let repo = repo(&net).await.reading(RemoteOnly);
    let patient = repo.within(std::time::Duration::from_secs(60));
    let _ = tokio::join!(
        repo.get(Select::<Note>::all()),
        repo.get(Note::STARS.gt(1)),
        patient.get(Select::<Note>::all()),
    );
    assert_eq!(net.reads(), 3);
}
