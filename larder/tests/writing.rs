//! Writes: stored at once, accepted later, refused, retried, given up.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder::{ErrorKind, Idempotency, ParkReason, RowState, Select, Transaction, WritePolicy};
use rstest::rstest;
use support::{Note, Switches, Turn, User, note, parked, repo, settled};

// Rules: w-optimistic, w-stored-accepted
#[tokio::test]
async fn stored_and_accepted_are_two_words() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.offline(true);
    let stored = repo.upsert(&note("1", "offline", 0)).await.unwrap();
    assert!(stored.is_queued());
    assert_eq!(repo.find::<Note>("1").await.unwrap().unwrap().text, "offline");
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Pending);

    net.offline(false);
    repo.outbox().drain().await;
    assert_eq!(stored.accepted().await.unwrap().text, "offline");
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Synced);
    assert_eq!(net.notes().await, [("1".to_owned(), "offline".to_owned())]);
}

// Rules: o-lanes, o-order
#[tokio::test]
async fn changes_of_one_row_arrive_in_order() {
    let net = Switches::new();
    let repo = support::stepwise(&net).build().await.unwrap();
    net.offline(true);
    for stars in 0..5 {
        let _ = repo.upsert(&note("1", "text", stars)).await.unwrap();
    }
    let _ = repo.delete::<Note>("1").await.unwrap();
    net.offline(false);
    settled(&repo).await;
    assert_eq!(net.seen(), ["insert 1", "update 1", "update 1", "update 1", "update 1", "delete 1"]);
    assert!(net.notes().await.is_empty());
    assert!(repo.find::<Note>("1").await.unwrap().is_none());
}

// Rules: o-idempotency, o-entry
#[tokio::test]
async fn a_lost_reply_is_repeated_with_the_same_identity_and_has_one_effect() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.next(Turn::LoseReply);
    let stored = repo.upsert(&note("1", "once", 0)).await.unwrap();
    stored.accepted().await.unwrap();
    let applied = net.applied.lock().unwrap().clone();
    assert_eq!(applied.len(), 2);
    assert_eq!(applied[0].id, applied[1].id);
    assert_eq!((applied[0].repeated, applied[1].repeated), (false, true));
}

// Rules: o-idempotency
#[tokio::test]
async fn a_lost_reply_without_keys_is_asked_about_or_parked() {
    for (idempotency, sends) in [(Idempotency::Probe, 1), (Idempotency::AtMostOnce, 1)] {
        let net = Switches::new();
        *net.idempotency.lock().unwrap() = Some(idempotency);
        let repo = repo(&net).await;
        net.next(Turn::LoseReply);
        let _ = repo.upsert(&note("1", "once", 0)).await.unwrap();
        if idempotency == Idempotency::Probe {
            settled(&repo).await;
        } else {
            let parked = parked(&repo, 1).await;
            assert_eq!(parked[0].parked, Some(ParkReason::Uncertain));
        }
        assert_eq!(net.seen().len(), sends, "{idempotency:?}");
    }
}

// Rules: o-parked
#[tokio::test]
async fn a_refused_write_is_parked_with_the_servers_answer_and_stops_its_own_row_alone() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    let refused = repo.upsert(&note("1", "refused", 0)).await.unwrap();
    let error = refused.accepted().await.unwrap_err();
    assert_eq!((error.kind(), error.status(), error.body()), (ErrorKind::Rejected, Some(422), Some("no")));

    let _ = repo.upsert(&note("1", "waits behind it", 0)).await.unwrap();
    repo.upsert(&note("2", "goes", 0)).await.unwrap().accepted().await.unwrap();
    assert_eq!(net.seen(), ["insert 2"]);
    assert_eq!(repo.status().parked, 1);
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Parked);

    let parked = parked(&repo, 1).await;
    assert_eq!(parked[0].failure.as_ref().unwrap().body.as_deref(), Some("no"));
    repo.outbox().retry(parked[0].seq).await.unwrap();
    settled(&repo).await;
    assert_eq!(net.seen(), ["insert 2", "insert 1", "update 1"]);
    assert!(repo.status().is_settled());
}

// Rules: o-discard
#[tokio::test]
async fn a_discarded_update_rolls_the_row_back_under_later_changes() {
    let net = Switches::new();
    let repo = repo(&net).await;
    repo.upsert(&note("1", "old", 1)).await.unwrap().accepted().await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    let refused = repo.update(&row, |note| note.text = "refused".into()).await.unwrap();
    refused.accepted().await.unwrap_err();
    let _ = repo.update(&row, |note| note.stars = 9).await.unwrap();

    let parked = parked(&repo, 1).await;
    repo.outbox().discard(parked[0].seq).await.unwrap();
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    assert_eq!((row.text.as_str(), row.stars), ("old", 9));
    settled(&repo).await;
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Synced);
    assert_eq!(net.notes().await, [("1".to_owned(), "old".to_owned())]);
}

#[tokio::test]
async fn a_discarded_create_takes_its_later_changes_with_it() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    repo.upsert(&note("1", "refused", 1)).await.unwrap().accepted().await.unwrap_err();
    let later = repo.upsert(&note("1", "later", 1)).await.unwrap();
    let parked = parked(&repo, 1).await;
    repo.outbox().discard(parked[0].seq).await.unwrap();
    assert_eq!(later.accepted().await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(repo.safe_to_wipe().await.unwrap().nothing());
    assert!(repo.get(Select::<Note>::all()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_discarded_delete_brings_the_row_back() {
    let net = Switches::new();
    let repo = repo(&net).await;
    repo.upsert(&note("1", "here", 1)).await.unwrap().accepted().await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 403));
    repo.delete::<Note>("1").await.unwrap().accepted().await.unwrap_err();
    assert!(repo.find::<Note>("1").await.unwrap().is_none());
    let parked = parked(&repo, 1).await;
    repo.outbox().discard(parked[0].seq).await.unwrap();
    assert_eq!(repo.find::<Note>("1").await.unwrap().unwrap().text, "here");
}

// Rules: c-kept, c-detect
#[tokio::test]
async fn a_conflict_is_kept_with_the_servers_answer() {
    let net = Switches::new();
    let repo = support::builder(&net).conflict_strategy::<Note>(larder::Strategy::Ask).build().await.unwrap();
    let row = repo.upsert(&note("1", "mine", 1)).await.unwrap().accepted().await.unwrap();
    net.elsewhere(note("1", "theirs", 1)).await;
    repo.update(&row, |note| note.text = "mine again".into()).await.unwrap().accepted().await.unwrap_err();
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Conflicted);
    assert_eq!(repo.status().conflicts, 1);
    assert_eq!(net.notes().await, [("1".to_owned(), "theirs".to_owned())]);
}

// Rules: o-credentials
#[tokio::test]
async fn refused_credentials_wait_for_new_ones() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.next(Turn::Say(ErrorKind::Unauthorized, 401));
    let stored = repo.upsert(&note("1", "text", 0)).await.unwrap();
    let mut status = repo.status();
    while !status.unauthorized {
        status = repo.status_changed(&status).await;
    }
    assert!(net.seen().is_empty());
    repo.credentials_renewed();
    stored.accepted().await.unwrap();
    assert_eq!(net.seen(), ["insert 1"]);
}

// Rules: w-merge
#[tokio::test]
async fn a_second_write_during_the_flight_of_the_first_is_not_overwritten_by_its_answer() {
    let net = Switches::new();
    let repo = repo(&net).await;
    repo.upsert(&note("1", "base", 0)).await.unwrap().accepted().await.unwrap();
    repo.outbox().pause();
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    let first = repo.update(&row, |note| note.text = "first".into()).await.unwrap();
    let second = repo.update(&row, |note| note.text = "second".into()).await.unwrap();
    repo.outbox().resume();
    assert_eq!(first.accepted().await.unwrap().text, "second");
    second.accepted().await.unwrap();
    assert_eq!(net.notes().await, [("1".to_owned(), "second".to_owned())]);
}

// Rules: w-require-remote
#[rstest]
#[case::online(false)]
#[case::offline(true)]
#[tokio::test]
async fn require_remote_stores_after_the_remote_and_queues_nothing(#[case] offline: bool) {
    let net = Switches::new();
    let repo = repo(&net).await.writing(WritePolicy::RequireRemote);
    net.offline(offline);
    let stored = repo.upsert(&note("1", "text", 0)).await;
    assert_eq!(stored.is_err(), offline);
    if let Err(error) = &stored {
        assert_eq!(error.kind(), ErrorKind::Offline);
    }
    assert!(repo.safe_to_wipe().await.unwrap().nothing());
    let local = repo.reading(larder::ReadPolicy::LocalOnly).find::<Note>("1").await.unwrap();
    assert_eq!(local.is_some(), !offline);
    net.offline(false);
    let deleted = repo.delete::<Note>("1").await.unwrap();
    deleted.accepted().await.unwrap();
    assert!(net.notes().await.is_empty());
}

// Rules: w-local-only, r-absence
#[tokio::test]
async fn local_only_is_never_sent_and_a_pull_does_not_delete_it() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let stored = repo.writing(WritePolicy::LocalOnly).upsert(&note("draft", "mine", 0)).await.unwrap();
    assert!(!stored.is_queued());
    repo.sync().await.unwrap();
    assert!(net.seen().is_empty());
    assert_eq!(repo.sync_state::<Note>("draft").await.unwrap().unwrap().state, RowState::Local);
    // Published after all: it is new to the remote.
    repo.upsert(&note("draft", "ready", 0)).await.unwrap().accepted().await.unwrap();
    assert_eq!(net.seen(), ["insert draft"]);
}

// Rules: w-transaction, m-unique
#[tokio::test]
async fn many_rows_are_one_transaction_and_a_broken_constraint_stores_none() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let user = |id: &str, email: &str| User { id: id.into(), email: email.into() };
    let error = repo.upsert_many(&[user("1", "a@b"), user("2", "a@b")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(repo.safe_to_wipe().await.unwrap().nothing());
    let stored = repo.upsert_many(&[user("1", "a@b"), user("2", "c@d")]).await.unwrap();
    assert_eq!(stored.len(), 2);
    for stored in stored {
        stored.accepted().await.unwrap();
    }
}

// Rules: w-delete
#[tokio::test]
async fn deletes_take_a_key_a_model_or_a_query() {
    let net = Switches::new();
    let repo = repo(&net).await;
    for stored in repo
        .upsert_many(&[note("1", "a", 1), note("2", "b", 2), note("3", "c", 3), note("4", "d", 4)])
        .await
        .unwrap()
    {
        stored.accepted().await.unwrap();
    }
    assert_eq!(repo.delete::<Note>("1").await.unwrap().count(), 1);
    assert_eq!(repo.delete(&note("2", "b", 2)).await.unwrap().count(), 1);
    assert_eq!(repo.delete(Note::STARS.gt(2)).await.unwrap().count(), 2);
    settled(&repo).await;
    assert!(net.notes().await.is_empty());
}

#[tokio::test]
async fn a_row_that_is_not_here_is_deleted_at_the_remote() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.elsewhere(note("9", "never pulled", 0)).await;
    repo.delete::<Note>("9").await.unwrap().accepted().await.unwrap();
    assert!(net.notes().await.is_empty());
}

// Rules: w-unchanged
#[tokio::test]
async fn writing_what_is_there_queues_nothing() {
    let net = Switches::new();
    let repo = repo(&net).await;
    repo.upsert(&note("1", "same", 0)).await.unwrap().accepted().await.unwrap();
    assert!(!repo.upsert(&note("1", "same", 0)).await.unwrap().is_queued());
    assert_eq!(net.seen(), ["insert 1"]);
}

// Rules: w-transaction
#[tokio::test]
async fn a_transaction_reads_its_writes_and_runs_again_when_the_state_moved() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let _ = repo.upsert(&note("sum", "", 0)).await.unwrap();
    let add = |repo: larder::Repository| async move {
        repo.transaction(|tx| {
            let sum = tx.find::<Note>("sum")?.unwrap();
            tx.upsert(&note("sum", "", sum.stars + 1))?;
            assert_eq!(tx.find::<Note>("sum")?.unwrap().stars, sum.stars + 1);
            assert_eq!(tx.get(Note::STARS.eq(sum.stars + 1))?.len(), 1);
            Ok(())
        })
        .await
    };
    let adds: Vec<_> = (0..20).map(|_| tokio::spawn(add(repo.clone()))).collect();
    for done in adds {
        done.await.unwrap().unwrap();
    }
    assert_eq!(repo.find::<Note>("sum").await.unwrap().unwrap().stars, 20);
    let failed = repo.transaction(|tx| {
        tx.delete::<Note>("sum")?;
        Err::<(), _>(larder::Error::new(ErrorKind::Invalid, "changed my mind"))
    });
    assert_eq!(failed.await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(repo.find::<Note>("sum").await.unwrap().is_some());
}

// Rules: s-wipe
#[tokio::test]
async fn wiping_works_in_place() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.offline(true);
    let stored = repo.upsert(&note("1", "unsent", 0)).await.unwrap();
    assert_eq!(repo.safe_to_wipe().await.unwrap().entries, 1);
    repo.wipe().await.unwrap();
    assert_eq!(support::soon(stored.accepted()).await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(repo.reading(larder::ReadPolicy::LocalOnly).find::<Note>("1").await.unwrap().is_none());
    net.offline(false);
    repo.upsert(&note("2", "next user", 0)).await.unwrap().accepted().await.unwrap();
    assert_eq!(net.seen(), ["insert 2"]);
}

#[tokio::test]
async fn a_repository_that_starts_paused_sends_after_it_is_resumed() {
    let net = Switches::new();
    let repo = support::builder(&net).paused().build().await.unwrap();
    let stored = repo.upsert(&note("1", "later", 0)).await.unwrap();
    support::drained(&repo).await;
    assert!(net.seen().is_empty());
    assert!(repo.status().paused);
    assert_eq!(repo.status().pending, 1);
    repo.outbox().resume();
    stored.accepted().await.unwrap();
    assert_eq!(net.seen(), ["insert 1"]);
}

#[tokio::test]
async fn a_transactions_writes_reach_the_outbox_in_the_order_in_which_they_were_made() {
    let net = Switches::new();
    let repo = repo(&net).await;
    repo.outbox().pause();
    repo.transaction(|tx| {
        tx.upsert(&note("parent", "", 0))?;
        tx.upsert(&User { id: "b".into(), email: "b".into() })?;
        tx.upsert(&note("child", "", 0))?;
        tx.upsert(&note("parent", "again", 0))
    })
    .await
    .unwrap();
    let queued = repo.outbox().list(0, 10).await.unwrap();
    let keys: Vec<_> = queued.iter().map(|mutation| mutation.key.to_string()).collect();
    assert_eq!(keys, ["parent", "b", "child"]);
}

// Rules: w-transaction
#[rstest]
#[case::of_a_row(|tx: &mut Transaction<'_>| Ok(tx.find::<Note>("sum")?.unwrap().stars))]
#[case::of_a_query(|tx: &mut Transaction<'_>| Ok(tx.get(Note::TEXT.eq("sum"))?[0].stars))]
#[tokio::test]
async fn a_transaction_runs_again_if_the_one_thing_that_it_read_has_moved(
    #[case] read: fn(&mut Transaction<'_>) -> larder::Result<i64>,
) {
    let net = Switches::new();
    // What the remote answers moves the row as well.
    let repo = support::builder(&net).paused().build().await.unwrap();
    let _ = repo.upsert(&note("sum", "sum", 0)).await.unwrap();
    let (runs, other) = (Arc::new(AtomicUsize::new(0)), repo.clone());
    let counted = Arc::clone(&runs);
    let add = repo.transaction(move |tx| {
        let stars = read(tx)?;
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            let _ = tokio::runtime::Handle::current().block_on(other.upsert(&note("sum", "sum", 10)))?;
        }
        tx.upsert(&note("sum", "sum", stars + 1))
    });
    add.await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(repo.find::<Note>("sum").await.unwrap().unwrap().stars, 11);
}

// Rules: w-require-remote, o-lanes
#[tokio::test]
async fn a_write_through_overtakes_nothing_that_is_queued_for_its_row() {
    let net = Switches::new();
    let repo = support::builder(&net).paused().build().await.unwrap();
    let _ = repo.upsert(&note("1", "queued", 0)).await.unwrap();
    let through = repo.writing(WritePolicy::RequireRemote);
    let refused = through.upsert(&note("1", "at once", 0)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert_eq!(through.delete::<Note>("1").await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!((net.seen().len(), repo.outbox().len().await.unwrap()), (0, 1));
    assert_eq!(repo.find::<Note>("1").await.unwrap().unwrap().text, "queued");
    let _ = through.upsert(&note("2", "at once", 0)).await.unwrap();
    assert_eq!(net.seen(), ["insert 2"]);
}
