//! What survives: reopening a file, a crash between any two steps, another account.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use larder::{
    ErrorKind, OutboxSettings, ParkReason, PermanentFailure, ReadPolicy, Redb, Repository, RowState, Select,
};
use support::{Net, Note, Switches, Turn, User, note, settled};

async fn open(file: &Path, net: &Arc<Switches>, account: &str) -> Repository {
    builder(file, net, account).build().await.unwrap()
}

fn builder(file: &Path, net: &Arc<Switches>, account: &str) -> larder::Builder {
    Repository::builder()
        .store(Redb::at(file))
        .remote(Net(Arc::clone(net)))
        .model::<Note>()
        .model::<User>()
        .account(account)
        .outbox(
            larder::OutboxSettings::new()
                .without_coalescing()
                .backoff(Duration::from_millis(1), Duration::from_millis(20)),
        )
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_outbox_survive_a_reopening_and_the_queue_drains_by_itself() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    net.offline(true);
    let repo = open(&file, &net, "ada").await;
    for stars in 0..3 {
        let _ = repo.upsert(&note("1", "offline", stars)).await.unwrap();
    }
    let _ = repo.upsert(&note("2", "offline", 0)).await.unwrap();
    let _ = repo.delete::<Note>("2").await.unwrap();
    repo.close().await;

    let repo = open(&file, &net, "ada").await;
    assert_eq!(repo.find::<Note>("1").await.unwrap().unwrap().stars, 2);
    assert!(repo.find::<Note>("2").await.unwrap().is_none());
    assert_eq!(repo.safe_to_wipe().await.unwrap().entries, 5);
    net.offline(false);
    settled(&repo).await;
    assert_eq!(net.seen().iter().filter(|seen| seen.ends_with('1')).count(), 3);
    assert_eq!(net.notes().await, [("1".to_owned(), "offline".to_owned())]);
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Synced);
    repo.close().await;
}

// Rules: o-crash, o-marked
#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_sent_before_the_end_goes_again_with_the_same_identity() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let repo = open(&file, &net, "ada").await;
    // The server has it, the client never learns of it: as if it had been killed in between.
    net.next(Turn::LoseReply);
    net.next(Turn::Unreachable);
    let _ = repo.upsert(&note("1", "once", 0)).await.unwrap();
    while net.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    net.offline(true);
    repo.close().await;

    net.offline(false);
    let repo = open(&file, &net, "ada").await;
    settled(&repo).await;
    let ids: std::collections::BTreeSet<_> =
        net.applied.lock().unwrap().iter().map(|applied| applied.id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(net.notes().await.len(), 1);
    repo.close().await;
}

// Rules: o-credentials
#[tokio::test(flavor = "multi_thread")]
async fn entries_are_never_sent_with_anothers_credentials() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    net.offline(true);
    let repo = open(&file, &net, "ada").await;
    let _ = repo.upsert(&note("1", "ada's", 0)).await.unwrap();
    repo.close().await;
    net.offline(false);

    let repo = open(&file, &net, "bob").await;
    repo.outbox().drain().await;
    repo.upsert(&note("2", "bob's", 0)).await.unwrap().accepted().await.unwrap();
    assert_eq!(net.seen(), ["insert 2"]);
    repo.close().await;

    let repo = open(&file, &net, "ada").await;
    settled(&repo).await;
    assert_eq!(net.seen(), ["insert 2", "insert 1"]);
    repo.close().await;
}

// Rules: d-second
#[tokio::test(flavor = "multi_thread")]
async fn a_second_repository_on_the_same_file_is_refused_at_once() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let first = open(&file, &net, "ada").await;
    let second = Repository::builder().store(Redb::at(&file)).model::<Note>().build().await;
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Storage);
    first.close().await;
}

// Rules: d-format
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.redb");
    std::fs::write(&file, "a shopping list").unwrap();
    let opened = Repository::builder().store(Redb::at(&file)).model::<Note>().build().await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a shopping list");
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_scans_work_on_a_file_as_well() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let repo = open(&folder.path().join("app.redb"), &net, "ada").await;
    net.offline(true);
    let notes: Vec<_> = (0..500).map(|i| note(&format!("{i:03}"), "text", i)).collect();
    repo.upsert_many(&notes).await.unwrap();
    repo.transaction(|tx| {
        let many = tx.get(Note::STARS.ge(250))?;
        for found in &many {
            tx.delete(found)?;
        }
        tx.upsert(&note("sum", "text", many.iter().map(|note| note.stars).sum()))
    })
    .await
    .unwrap();
    let local = repo.reading(ReadPolicy::LocalOnly);
    assert_eq!(local.get(Select::<Note>::all()).await.unwrap().len(), 251);
    assert_eq!(local.find::<Note>("sum").await.unwrap().unwrap().stars, (250..500).sum::<i64>());
    repo.close().await;
}

// Rules: o-retry-after
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_asked_to_be_left_alone_is_left_alone_after_a_restart() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let repo = open(&file, &net, "ada").await;
    net.next(Turn::Later(Duration::from_secs(1800)));
    let _ = repo.upsert(&note("1", "put off", 0)).await.unwrap();
    let noted = async {
        while repo.outbox().list(0, 1).await.unwrap()[0].failure.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    support::soon(noted).await;
    repo.close().await;

    let repo = open(&file, &net, "ada").await;
    let _ = repo.upsert(&note("2", "waits as well", 0)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(net.seen().is_empty(), "{:?}", net.seen());
    // Somebody insists.
    support::drained(&repo).await;
    assert_eq!(net.notes().await.len(), 2);
    repo.close().await;
}

// Rules: o-halt, o-revert
#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_has_done_holds_after_a_restart() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let file = folder.path().join("app.redb");
    let open = || {
        let settings = OutboxSettings::new()
            .backoff(Duration::from_millis(1), Duration::from_millis(20))
            .on_permanent_failure::<Note>(PermanentFailure::Revert)
            .on_permanent_failure::<User>(PermanentFailure::Halt);
        builder(&file, &net, "ada").outbox(settings).build()
    };
    let repo = open().await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    repo.upsert(&note("1", "refused", 0)).await.unwrap().accepted().await.unwrap_err();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    let user = User { id: "ada".into(), email: "a@b".into() };
    repo.upsert(&user).await.unwrap().accepted().await.unwrap_err();
    repo.close().await;

    let repo = open().await.unwrap();
    assert!(support::local(&repo).await.is_empty(), "the row has gone back");
    let waits = repo.upsert(&note("2", "waits", 0)).await.unwrap();
    support::drained(&repo).await;
    assert!(repo.status().halted && net.seen().is_empty());
    let left = support::parked(&repo, 2).await;
    let reasons: Vec<_> = left.iter().map(|left| left.parked.unwrap()).collect();
    assert_eq!(reasons, [ParkReason::Reverted, ParkReason::Rejected]);
    for left in left {
        repo.outbox().discard(left.seq).await.unwrap();
    }
    support::soon(waits.accepted()).await.unwrap();
    assert!(repo.outbox().is_empty().await.unwrap());
    repo.close().await;
}

// Rules: o-discard
#[tokio::test(flavor = "multi_thread")]
async fn what_is_seen_to_be_parked_can_be_given_up_at_once() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let repo = open(&folder.path().join("app.redb"), &net, "ada").await;
    for nth in 0..50 {
        net.next(Turn::Say(ErrorKind::Rejected, 422));
        let _ = repo.upsert(&note(&nth.to_string(), "", 0)).await.unwrap();
        let parked = support::parked(&repo, 1).await;
        repo.outbox().discard(parked[0].seq).await.unwrap();
    }
    repo.close().await;
}

// Rules: p-lend
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_begun_on_the_calling_thread_and_taken_elsewhere_has_each_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Redb::at(folder.path().join("app.redb"));
    let repo = Repository::builder().store(store).model::<Note>().build().await.unwrap();
    let id = |nth: i64| format!("{nth:05}");
    let notes: Vec<Note> = (0..6_000).map(|nth| note(&id(nth), "", nth % 5)).collect();
    let _ = repo.upsert_many(&notes).await.unwrap();
    // The first rows are soon found, and to find all of them takes longer than the calling thread goes on.
    let select = Select::from(Note::STARS.eq(3)).order_by(Note::ID.asc()).limit(1_000);
    let found = repo.get(select.clone()).await.unwrap();
    let ids: Vec<&str> = found.iter().map(|note| note.id.as_str()).collect();
    let expected: Vec<String> = (0..1_000).map(|nth| id(5 * nth + 3)).collect();
    assert_eq!(ids, expected);
    let _ = repo.delete_all_except::<Note>(select).await.unwrap();
    assert_eq!(repo.count(Select::<Note>::all()).await.unwrap(), 1_000);
    repo.close().await;
}
