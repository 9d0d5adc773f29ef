//! Conflicts that wait for the application, and how it settles them.

use larder::{ErrorKind, Memory, Resolution, RowState, Strategy};
use rstest::rstest;

use super::*;
use crate::support::{Turn, parked, settled, soon};

/// A repository in which the row `1` is in conflict: "mine" here, "theirs" with five stars there.
async fn disputed(net: &Arc<Switches>) -> Repository {
    let repo = with_row(net, |builder| builder.conflict_strategy::<Note>(Strategy::Ask)).await;
    repo.outbox().pause();
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    net.elsewhere(note("1", "theirs", 5)).await;
    repo.outbox().resume();
    parked(&repo, 1).await;
    repo
}

// Rules: c-ask, c-kept
#[tokio::test]
async fn a_conflict_waits_with_its_three_sides() {
    let net = Switches::new();
    let repo = disputed(&net).await;
    let conflicts = repo.conflicts::<Note>().list().await.unwrap();
    let [conflict] = &conflicts[..] else { panic!("{conflicts:?}") };
    assert_eq!(conflict.key, "1".into());
    assert_eq!(conflict.sides.base, Some(note("1", "base", 1)));
    assert_eq!(conflict.sides.mine, Some(note("1", "mine", 1)));
    assert_eq!(conflict.sides.theirs, Some(note("1", "theirs", 5)));
    assert!(conflict.asked);
    assert_eq!(conflict.failure.as_ref().unwrap().kind, ErrorKind::Conflict);
    assert_eq!(here(&repo).await, Some(note("1", "mine", 1)), "what was written here is read here");
    let state = repo.sync_state::<Note>("1").await.unwrap().unwrap().state;
    assert_eq!((state, repo.status().conflicts), (RowState::Conflicted, 1));
}

// Rules: c-settle
#[rstest]
#[case::mine(Resolution::Mine, Some(note("1", "mine", 1)))]
#[case::theirs(Resolution::Theirs, Some(note("1", "theirs", 5)))]
#[case::merged(Resolution::Merged(note("1", "both", 6)), Some(note("1", "both", 6)))]
#[case::deleted(Resolution::Delete, None)]
#[tokio::test]
async fn the_application_settles_it(#[case] resolution: Resolution<Note>, #[case] expected: Option<Note>) {
    let net = Switches::new();
    let repo = disputed(&net).await;
    let seq = repo.conflicts::<Note>().list().await.unwrap()[0].seq;
    repo.conflicts::<Note>().settle(seq, resolution).await.unwrap();
    settled(&repo).await;
    assert_eq!((here(&repo).await, there(&net).await), (expected.clone(), expected));
    assert!(repo.conflicts::<Note>().list().await.unwrap().is_empty());
    let again = repo.conflicts::<Note>().settle(seq, Resolution::Mine).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
}

// Rules: c-settle
#[tokio::test]
async fn what_was_changed_since_stays_on_top() {
    let net = Switches::new();
    let repo = disputed(&net).await;
    let _ = repo.upsert(&tagged("mine", 1, "later")).await.unwrap();
    let seq = repo.conflicts::<Note>().list().await.unwrap()[0].seq;
    repo.conflicts::<Note>().settle(seq, Resolution::Merged(note("1", "both", 6))).await.unwrap();
    // The later change was made from what was here before: it asks again.
    let conflicts = repo.conflicts::<Note>().list().await.unwrap();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].sides.mine, Some(tagged("mine", 1, "later")));
    assert_eq!(conflicts[0].sides.theirs, Some(note("1", "both", 6)));
    assert_eq!(here(&repo).await, Some(tagged("mine", 1, "later")), "nothing goes away before it is decided");
    repo.conflicts::<Note>().settle(conflicts[0].seq, Resolution::Mine).await.unwrap();
    settled(&repo).await;
    assert_eq!(there(&net).await, Some(tagged("mine", 1, "later")));
}

// Rules: c-settle
#[tokio::test]
async fn a_settlement_that_makes_no_sense_changes_nothing() {
    let net = Switches::new();
    let repo = disputed(&net).await;
    let conflicts = repo.conflicts::<Note>();
    let seq = conflicts.list().await.unwrap()[0].seq;
    let renamed = conflicts.settle(seq, Resolution::Merged(note("2", "both", 1))).await.unwrap_err();
    assert_eq!(renamed.kind(), ErrorKind::Invalid);
    let before = format!("{:?}", repo.outbox().parked().await.unwrap());
    conflicts.settle(seq, Resolution::Ask).await.unwrap();
    assert_eq!(conflicts.settle(77, Resolution::Mine).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(format!("{:?}", repo.outbox().parked().await.unwrap()), before);
    assert_eq!(conflicts.list().await.unwrap().len(), 1);
}

// Rules: c-settle, o-backoff
#[tokio::test]
async fn who_settles_it_cuts_every_wait_short() {
    let net = Switches::new();
    let repo = disputed(&net).await;
    net.next(Turn::Later(Duration::from_secs(3600)));
    let other = repo.upsert(&note("2", "other", 1)).await.unwrap();
    soon(async {
        while repo.outbox().list(0, 9).await.unwrap()[1].failure.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let seq = repo.conflicts::<Note>().list().await.unwrap()[0].seq;
    repo.conflicts::<Note>().settle(seq, Resolution::Mine).await.unwrap();
    soon(other.accepted()).await.unwrap();
    settled(&repo).await;
    assert_eq!(there(&net).await, Some(note("1", "mine", 1)));
}

// Rules: c-edit, c-again
#[tokio::test]
async fn an_edit_settles_it_with_another_row() {
    let net = Switches::new();
    let repo = disputed(&net).await;
    let seq = repo.conflicts::<Note>().list().await.unwrap()[0].seq;
    repo.outbox().edit::<Note>(seq, |note| note.text += " after all").await.unwrap();
    settled(&repo).await;
    // The row is as it was wanted here, all of it: the stars that were given there are gone.
    let wanted = Some(note("1", "mine after all", 1));
    assert_eq!((here(&repo).await, there(&net).await), (wanted.clone(), wanted));
    {
        let sent = net.applied.lock().unwrap();
        assert_eq!(sent.len(), 2, "it goes on top of what is there, and is not refused again");
        assert_ne!(sent[0].id, sent[1].id, "a key is never used with another payload");
    }
    assert!(repo.conflicts::<Note>().list().await.unwrap().is_empty());
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Synced);
}

// Rules: c-edit, c-settle
#[tokio::test]
async fn what_was_changed_since_an_edited_conflict_is_put_on_it() {
    let net = Switches::new();
    let repo = disputed(&net).await;
    let _ = repo.upsert(&tagged("mine", 1, "later")).await.unwrap();
    let seq = repo.conflicts::<Note>().list().await.unwrap()[0].seq;
    repo.outbox().edit::<Note>(seq, |note| note.stars = 6).await.unwrap();
    let conflicts = repo.conflicts::<Note>().list().await.unwrap();
    assert_eq!(conflicts.len(), 1, "the later change was made from what was here before: it asks again");
    assert_eq!(conflicts[0].sides.theirs, Some(note("1", "mine", 6)));
    assert_eq!(conflicts[0].sides.mine, Some(tagged("mine", 1, "later")));
    repo.outbox().edit::<Note>(conflicts[0].seq, |note| note.stars = 6).await.unwrap();
    settled(&repo).await;
    assert_eq!(there(&net).await, Some(tagged("mine", 6, "later")));
    assert_eq!(here(&repo).await, there(&net).await);
}

// Rules: c-edit
#[tokio::test]
async fn an_edit_of_a_conflict_that_makes_no_sense_changes_nothing() {
    let net = Switches::new();
    let repo = disputed(&net).await;
    let seq = repo.conflicts::<Note>().list().await.unwrap()[0].seq;
    let renamed = repo.outbox().edit::<Note>(seq, |note| note.id = "2".into()).await.unwrap_err();
    assert_eq!(renamed.kind(), ErrorKind::Invalid);
    let other = repo.outbox().edit::<crate::support::User>(seq, |_| ()).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Invalid);
    assert_eq!(repo.outbox().edit::<Note>(77, |_| ()).await.unwrap_err().kind(), ErrorKind::NotFound);
    let conflicts = repo.conflicts::<Note>().list().await.unwrap();
    assert_eq!(conflicts[0].sides.mine, Some(note("1", "mine", 1)));
    assert_eq!(conflicts[0].sides.theirs, Some(note("1", "theirs", 5)));
}

// Rules: c-ask, s-rebase
#[tokio::test]
async fn a_pull_brings_the_newest_side() {
    let net = Switches::new();
    let repo = disputed(&net).await;
    net.elsewhere(note("1", "theirs again", 7)).await;
    repo.sync().await.unwrap();
    let conflicts = repo.conflicts::<Note>().list().await.unwrap();
    assert_eq!(conflicts[0].sides.theirs, Some(note("1", "theirs again", 7)));
    assert_eq!(here(&repo).await, Some(note("1", "mine", 1)));
    repo.outbox().discard(conflicts[0].seq).await.unwrap();
    assert_eq!(here(&repo).await, Some(note("1", "theirs again", 7)), "it is given up for what is there now");
}

// Rules: c-ask, s-rebase
#[tokio::test]
async fn a_pull_that_finds_a_changed_row_asks_as_well() {
    let net = Switches::new();
    let repo = with_row(&net, |builder| builder.conflict_strategy::<Note>(Strategy::Ask)).await;
    repo.outbox().pause();
    let stored = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    net.elsewhere(note("1", "theirs", 5)).await;
    pull(&repo).await;
    assert_eq!(soon(stored.accepted()).await.unwrap_err().kind(), ErrorKind::Conflict);
    let conflicts = repo.conflicts::<Note>().list().await.unwrap();
    assert_eq!(conflicts[0].sides.theirs, Some(note("1", "theirs", 5)));
    repo.outbox().resume();
    repo.outbox().retry(conflicts[0].seq).await.unwrap();
    settled(&repo).await;
    assert_eq!(there(&net).await, Some(note("1", "mine", 1)), "a retry goes on top of what is there");
    assert_eq!(net.applied.lock().unwrap().len(), 1, "and is not refused");
}

// Rules: c-ask
#[tokio::test]
async fn conflicts_are_watched() {
    let net = Switches::new();
    let repo = with_row(&net, |builder| builder.conflict_strategy::<Note>(Strategy::Ask)).await;
    let mut watch = repo.conflicts::<Note>().watch().unwrap();
    assert!(within(watch.next()).await.unwrap().unwrap().is_empty());
    repo.outbox().pause();
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    net.elsewhere(note("1", "theirs", 5)).await;
    pull(&repo).await;
    let one = within(watch.next()).await.unwrap().unwrap();
    assert_eq!(one.len(), 1);
    repo.conflicts::<Note>().settle(one[0].seq, Resolution::Theirs).await.unwrap();
    assert!(within(watch.next()).await.unwrap().unwrap().is_empty());
}

// Rules: c-kept
#[tokio::test]
async fn a_remote_that_can_not_be_asked_leaves_a_conflict_without_its_side() {
    let net = Switches::new();
    let repo = plain(&net).await;
    net.next(Turn::Say(ErrorKind::Conflict, 412));
    net.next(Turn::Say(ErrorKind::Unsupported, 405));
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    parked(&repo, 1).await;
    let conflicts = repo.conflicts::<Note>().list().await.unwrap();
    assert!(!conflicts[0].asked);
    assert_eq!(conflicts[0].sides.theirs, Some(note("1", "base", 1)), "what is known");
    assert_eq!(conflicts[0].failure.as_ref().unwrap().status, Some(412));
    repo.conflicts::<Note>().settle(conflicts[0].seq, Resolution::Theirs).await.unwrap();
    assert_eq!(here(&repo).await, Some(note("1", "base", 1)));
}

// Rules: c-kept
#[tokio::test]
async fn what_the_remote_never_had_is_no_side_of_a_conflict() {
    let net = Switches::new();
    let repo = builder(&net).build().await.unwrap();
    let alone = repo.writing(larder::WritePolicy::LocalOnly);
    drop(alone.upsert(&note("1", "here alone", 1)).await.unwrap());
    net.next(Turn::Say(ErrorKind::Conflict, 412));
    net.next(Turn::Say(ErrorKind::Unsupported, 405));
    drop(repo.upsert(&note("1", "mine", 1)).await.unwrap());
    parked(&repo, 1).await;
    let sides = repo.conflicts::<Note>().list().await.unwrap().remove(0).sides;
    assert_eq!((sides.base, sides.mine, sides.theirs), (None, Some(note("1", "mine", 1)), None));
}

// Rules: c-kept
#[cfg(feature = "redb")]
#[tokio::test]
async fn a_conflict_is_there_after_a_restart() {
    let net = Switches::new();
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        builder(&net)
            .store(larder::Redb::at(folder.path().join("app.redb")))
            .conflict_strategy::<Note>(Strategy::Ask)
            .paused()
            .build()
    };
    let repo = open().await.unwrap();
    net.elsewhere(note("1", "base", 1)).await;
    repo.sync().await.unwrap();
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    net.elsewhere(note("1", "theirs", 5)).await;
    repo.sync().await.unwrap();
    repo.close().await;
    let repo = open().await.unwrap();
    let conflicts = repo.conflicts::<Note>().list().await.unwrap();
    assert_eq!(conflicts[0].sides.mine, Some(note("1", "mine", 1)));
    assert_eq!(conflicts[0].sides.theirs, Some(note("1", "theirs", 5)));
    repo.conflicts::<Note>()
        .settle(conflicts[0].seq, Resolution::Merged(note("1", "both", 6)))
        .await
        .unwrap();
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(there(&net).await, Some(note("1", "both", 6)));
}

// Rules: c-ask
#[tokio::test]
async fn a_model_that_nobody_registered_has_no_conflicts() {
    let repo = Repository::builder().store(Memory::new()).build().await.unwrap();
    assert_eq!(repo.conflicts::<Note>().list().await.unwrap_err().kind(), ErrorKind::Invalid);
}

// Rules: c-kept, o-key-life
#[tokio::test]
async fn what_a_question_found_in_place_of_a_creation_is_beside_it() {
    let net = Switches::new();
    *net.idempotency.lock().unwrap() = Some(larder::Idempotency::Probe);
    let long = Duration::from_secs(3600);
    let outbox = larder::OutboxSettings::new().backoff(long, long);
    let repo = builder(&net).outbox(outbox).build().await.unwrap();
    net.next(Turn::LoseReply);
    let stored = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    while net.applied.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    net.elsewhere(note("1", "theirs", 5)).await;
    repo.outbox().drain().await;
    soon(stored.accepted()).await.unwrap_err();
    let conflicts = repo.conflicts::<Note>().list().await.unwrap();
    assert!(conflicts[0].asked);
    assert_eq!(conflicts[0].sides.mine, Some(note("1", "mine", 1)));
    assert_eq!(conflicts[0].sides.theirs, Some(note("1", "theirs", 5)));
    assert_eq!(net.applied.lock().unwrap().len(), 1, "it was not repeated");
}

// Rules: c-again
#[tokio::test]
async fn what_is_refused_again_and_again_for_something_new_waits_for_the_application() {
    let net = Switches::new();
    let repo = with_row(&net, |builder| builder.conflict_strategy::<Note>(Strategy::ClientWins)).await;
    *net.restless.lock().unwrap() = true;
    net.poison("1", Turn::Say(ErrorKind::Conflict, 412));
    let stored = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    let parked = parked(&repo, 1).await;
    assert_eq!((parked[0].parked, parked[0].attempts), (Some(larder::ParkReason::Conflict), 9));
    assert_eq!(soon(stored.accepted()).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(repo.conflicts::<Note>().list().await.unwrap()[0].asked);
}
