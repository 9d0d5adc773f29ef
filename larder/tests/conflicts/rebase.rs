//! A pull that finds changed rows under pending changes.

use larder::{ErrorKind, Select, Strategy};

use super::*;
use crate::support::{settled, soon};

// Rules: s-pending, s-rebase
#[tokio::test]
async fn a_pending_change_is_put_on_the_row_that_is_pulled() {
    let net = Switches::new();
    let repo = plain(&net).await;
    repo.outbox().pause();
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    net.elsewhere(tagged("base", 5, "theirs")).await;
    pull(&repo).await;
    assert_eq!(here(&repo).await, Some(tagged("mine", 5, "theirs")));
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(there(&net).await, Some(tagged("mine", 5, "theirs")));
    let applied = net.applied.lock().unwrap();
    assert_eq!(applied.len(), 1, "the version is that of the pulled row: nothing is refused");
    let changed = applied[0].changed.as_ref().unwrap();
    assert_eq!(changed.iter().collect::<Vec<_>>(), [1], "what the remote has already is not changed");
}

// Rules: s-rebase
#[tokio::test]
async fn several_changes_are_put_on_it_one_after_the_other() {
    let net = Switches::new();
    let repo = plain(&net).await;
    repo.outbox().pause();
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    let _ = repo.upsert(&note("1", "mine", 2)).await.unwrap();
    let _ = repo.upsert(&note("1", "mine too", 2)).await.unwrap();
    net.elsewhere(tagged("theirs", 1, "theirs")).await;
    pull(&repo).await;
    assert_eq!(here(&repo).await, Some(tagged("mine too", 2, "theirs")));
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(there(&net).await, Some(tagged("mine too", 2, "theirs")));
}

// Rules: s-rebase, o-discard
#[tokio::test]
async fn what_is_given_up_goes_back_to_the_newest_row() {
    let net = Switches::new();
    let repo = plain(&net).await;
    repo.outbox().pause();
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    net.elsewhere(tagged("base", 5, "theirs")).await;
    pull(&repo).await;
    let queued = repo.outbox().list(0, 9).await.unwrap();
    repo.outbox().discard(queued[0].seq).await.unwrap();
    assert_eq!(here(&repo).await, Some(tagged("base", 5, "theirs")));
}

// Rules: s-rebase
#[tokio::test]
async fn a_change_that_the_remote_has_already_is_gone() {
    let net = Switches::new();
    let repo = plain(&net).await;
    repo.outbox().pause();
    let stored = repo.upsert(&note("1", "the same", 1)).await.unwrap();
    net.elsewhere(note("1", "the same", 1)).await;
    pull(&repo).await;
    assert!(repo.safe_to_wipe().await.unwrap().nothing());
    assert_eq!(soon(stored.accepted()).await.unwrap().text, "the same");
    assert!(net.applied.lock().unwrap().is_empty());
}

// Rules: s-rebase
#[tokio::test]
async fn a_pull_that_brings_nothing_new_touches_no_change() {
    let net = Switches::new();
    let repo = plain(&net).await;
    repo.outbox().pause();
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    let mut watch = repo.reading(ReadPolicy::LocalOnly).watch(Select::<Note>::all()).unwrap();
    within(watch.next()).await.unwrap().unwrap();
    pull(&repo).await;
    let quiet = tokio::time::timeout(Duration::from_millis(50), watch.next());
    assert!(quiet.await.is_err(), "nobody is told");
}

// Rules: s-rebase
#[tokio::test]
async fn watches_see_one_change_and_what_is_mine_in_it() {
    let net = Switches::new();
    let repo = plain(&net).await;
    repo.outbox().pause();
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    let mut watch = repo.reading(ReadPolicy::LocalOnly).watch(Select::<Note>::all()).unwrap();
    within(watch.next()).await.unwrap().unwrap();
    net.elsewhere(tagged("base", 5, "theirs")).await;
    pull(&repo).await;
    let rows = within(watch.next()).await.unwrap().unwrap();
    assert_eq!(*rows[0], tagged("mine", 5, "theirs"));
    let quiet = tokio::time::timeout(Duration::from_millis(50), watch.next());
    assert!(quiet.await.is_err(), "once");
}

// Rules: s-rebase, c-deleted
#[rstest::rstest]
#[case::merged(Strategy::MergeFields, true)]
#[case::mine(Strategy::ClientWins, true)]
#[case::theirs(Strategy::ServerWins, false)]
#[tokio::test]
async fn a_row_that_is_gone_there_is_a_conflict_with_a_change_here(
    #[case] strategy: Strategy,
    #[case] stays: bool,
) {
    let net = Switches::new();
    let repo = with_row(&net, |builder| builder.conflict_strategy::<Note>(strategy)).await;
    repo.outbox().pause();
    let stored = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    net.delete_elsewhere("1").await;
    pull(&repo).await;
    let expected = stays.then(|| note("1", "mine", 1));
    assert_eq!(here(&repo).await, expected);
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(there(&net).await, expected);
    let fate = soon(stored.accepted()).await;
    assert_eq!(fate.map_err(|error| error.kind()).is_ok(), stays);
}

// Rules: s-rebase, c-deleted
#[rstest::rstest]
#[case::merged(Strategy::MergeFields, Some("theirs"))]
#[case::mine(Strategy::ClientWins, None)]
#[case::theirs(Strategy::ServerWins, Some("theirs"))]
#[tokio::test]
async fn a_row_that_was_changed_there_is_a_conflict_with_a_deletion_here(
    #[case] strategy: Strategy,
    #[case] left: Option<&str>,
) {
    let net = Switches::new();
    let repo = with_row(&net, |builder| builder.conflict_strategy::<Note>(strategy)).await;
    repo.outbox().pause();
    let _ = repo.delete::<Note>("1").await.unwrap();
    net.elsewhere(note("1", "theirs", 1)).await;
    pull(&repo).await;
    let text = |note: Option<Note>| note.map(|note| note.text);
    assert_eq!(text(here(&repo).await).as_deref(), left);
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(text(there(&net).await).as_deref(), left);
}

// Rules: s-pending
#[tokio::test]
async fn a_row_that_was_created_here_is_not_missed_there() {
    let net = Switches::new();
    let repo = builder(&net).conflict_strategy::<Note>(Strategy::ServerWins).paused().build().await.unwrap();
    let _ = repo.upsert(&note("1", "new", 1)).await.unwrap();
    pull(&repo).await;
    assert_eq!(here(&repo).await, Some(note("1", "new", 1)));
}

// Rules: s-rebase
#[tokio::test]
async fn a_filtered_pull_says_nothing_of_rows_that_are_not_in_it() {
    let net = Switches::new();
    let repo = with_row(&net, |builder| builder.conflict_strategy::<Note>(Strategy::ServerWins)).await;
    repo.outbox().pause();
    let _ = repo.upsert(&note("1", "mine", 9)).await.unwrap();
    repo.reading(ReadPolicy::RemoteOnly).get(Note::STARS.eq(9)).await.unwrap();
    assert_eq!(here(&repo).await, Some(note("1", "mine", 9)), "there it has another number of stars");
}

// Rules: s-rebase, o-marked
#[tokio::test]
async fn what_may_be_on_its_way_is_not_altered_and_what_was_pulled_is_not_lost() {
    let net = Switches::new();
    let long = Duration::from_secs(60);
    let repo =
        with_row(&net, |builder| builder.outbox(larder::OutboxSettings::new().backoff(long, long))).await;
    net.next(support::Turn::Say(ErrorKind::Http { status: 500 }, 500));
    let stored = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    // It has been sent once, and waits.
    while repo.outbox().list(0, 9).await.unwrap()[0].attempts == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    net.elsewhere(tagged("base", 5, "theirs")).await;
    repo.reading(ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await.unwrap();
    assert_eq!(here(&repo).await, Some(note("1", "mine", 1)), "what was sent once is what is sent again");
    repo.outbox().drain().await;
    soon(stored.accepted()).await.unwrap();
    settled(&repo).await;
    assert_eq!(there(&net).await, Some(tagged("mine", 5, "theirs")));
    assert_eq!(here(&repo).await, there(&net).await, "without another pull");
}

// Rules: s-rebase
#[tokio::test]
async fn what_came_while_a_change_was_on_its_way_is_here_when_it_has_arrived() {
    let net = Switches::new();
    *net.idempotency.lock().unwrap() = Some(larder::Idempotency::Idempotent);
    let repo = plain(&net).await;
    // The reply hangs; meanwhile somebody else writes, and a pull brings that.
    net.hang(true);
    let stored = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    while net.applied.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    net.hang(false);
    soon(stored.accepted()).await.unwrap();
    net.elsewhere(tagged("mine", 1, "theirs")).await;
    repo.sync().await.unwrap();
    assert_eq!(here(&repo).await, Some(tagged("mine", 1, "theirs")));
}
