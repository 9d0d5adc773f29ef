//! A list of conflicts that is watched: each other list is told, whatever the last one was.

use larder::core::{Batch, Context, Op, Record};
use larder::{ErrorKind, Model, Resolution, Strategy, WatchConflicts};

use super::*;
use crate::support::User;
use crate::support::chaos;

/// A repository that sends nothing, in which the row `1` is in conflict, over that store.
async fn disputed(net: &Arc<Switches>, disk: &Arc<dyn larder::core::Store>) -> Repository {
    let builder = builder(net).store(Arc::clone(disk)).conflict_strategy::<Note>(Strategy::Ask);
    let repo = builder.build().await.unwrap();
    net.elsewhere(note("1", "base", 1)).await;
    repo.sync().await.unwrap();
    repo.outbox().pause();
    disputes(net, &repo).await;
    repo
}

/// Row `1`: "mine" here, "theirs" there.
async fn disputes(net: &Arc<Switches>, repo: &Repository) {
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    net.elsewhere(note("1", "theirs", 5)).await;
    pull(repo).await;
}

/// The numbers of the conflicts and what is there, as the watch tells them next.
async fn told(watch: &mut WatchConflicts<Note>) -> larder::Result<Vec<(u64, Option<String>)>> {
    let list = within(watch.next()).await.expect("the repository is there")?;
    Ok(list.into_iter().map(|conflict| (conflict.seq, conflict.sides.theirs.map(|note| note.text))).collect())
}

// Rules: c-ask
#[tokio::test]
async fn a_conflict_that_looks_like_the_last_one_is_another_one() {
    let net = Switches::new();
    let repo = disputed(&net, &chaos::memory().await).await;
    let mut watch = repo.conflicts::<Note>().watch().unwrap();
    let first = told(&mut watch).await.unwrap();
    assert_eq!(first[0].1.as_deref(), Some("theirs"));
    // Nobody looks while it is settled, and the same is written once more here and there.
    repo.conflicts::<Note>().settle(first[0].0, Resolution::Theirs).await.unwrap();
    net.elsewhere(note("1", "base", 1)).await;
    pull(&repo).await;
    disputes(&net, &repo).await;
    let second = told(&mut watch).await.unwrap();
    assert_eq!((second.len(), second[0].1.as_deref()), (1, Some("theirs")));
    assert_ne!(second[0].0, first[0].0);
    repo.conflicts::<Note>().settle(second[0].0, Resolution::Mine).await.unwrap();
}

// Rules: c-ask, s-rebase
#[tokio::test]
async fn what_is_heard_of_a_conflict_is_told_and_what_is_written_elsewhere_is_not() {
    let net = Switches::new();
    let repo = disputed(&net, &chaos::memory().await).await;
    let mut watch = repo.conflicts::<Note>().watch().unwrap();
    let first = told(&mut watch).await.unwrap();
    let _ = repo.upsert(&note("2", "another row", 1)).await.unwrap();
    let _ = repo.upsert(&User { id: "1".into(), email: "a".into() }).await.unwrap();
    let mut next = std::pin::pin!(told(&mut watch));
    for _ in 0..50 {
        assert!(futures_util::poll!(next.as_mut()).is_pending(), "its conflicts are what they were");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    net.elsewhere(note("1", "theirs again", 7)).await;
    pull(&repo).await;
    assert_eq!(next.await.unwrap(), [(first[0].0, Some("theirs again".to_owned()))]);
    assert_eq!(repo.conflicts::<User>().list().await.unwrap().len(), 0, "they are another model's");
}

// Rules: c-ask
#[tokio::test]
async fn each_error_is_told_and_after_it_that_there_are_none() {
    let net = Switches::new();
    let disk = chaos::memory().await;
    let repo = disputed(&net, &disk).await;
    let mut watch = repo.conflicts::<Note>().watch().unwrap();
    let seq = told(&mut watch).await.unwrap()[0].0;
    let revise = async |entry: &larder::core::Entry| {
        let ops = vec![Op::Revise(Box::new(entry.clone()))];
        disk.commit(&Context::new(), Batch { expect: Vec::new(), ops }).await.unwrap();
    };
    let sound = disk.outbox(&Context::new(), 0, 9).await.unwrap().entries.remove(0);
    let mut damaged = sound.clone();
    let nothing = Record::new(vec![None; Note::schema().fields.len()]);
    damaged.theirs.as_mut().unwrap().row = Some(Arc::new(nothing));
    revise(&damaged).await;
    for text in ["another row", "once more"] {
        let _ = repo.upsert(&note("2", text, 1)).await.unwrap();
        assert_eq!(told(&mut watch).await.unwrap_err().kind(), ErrorKind::Serialization);
    }
    revise(&sound).await;
    repo.conflicts::<Note>().settle(seq, Resolution::Theirs).await.unwrap();
    assert_eq!(told(&mut watch).await.unwrap(), []);
}

// Rules: c-ask, o-unreadable
#[tokio::test]
async fn a_conflict_behind_very_many_mutations_that_can_not_be_read_is_in_the_list() {
    let net = Switches::new();
    let (store, faults) = chaos::Faulty::over(&chaos::memory().await, 0);
    let repo = builder(&net).store(store).conflict_strategy::<Note>(Strategy::Ask).build().await.unwrap();
    net.elsewhere(note("1", "base", 1)).await;
    repo.sync().await.unwrap();
    repo.outbox().pause();
    let user = |id| User { id: format!("{id}"), email: format!("{id}") };
    let users: Vec<_> = (0..256).map(user).collect();
    let _ = repo.upsert_many(&users).await.unwrap();
    disputes(&net, &repo).await;
    let conflicts = repo.conflicts::<Note>();
    let found = conflicts.list().await.unwrap();
    faults.unreadable.lock().unwrap().extend((1..300).filter(|seq| *seq != found[0].seq));
    assert_eq!(conflicts.list().await.unwrap().len(), 1);
}
