//! What an application sees of the outbox, and what it may do about it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

#[path = "../support/mod.rs"]
mod support;

mod questions;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use larder::{
    ErrorKind, ExportedMutation, Happened, Idempotency, Operation, OutboxEvent, OutboxSettings, ParkReason,
    PermanentFailure, ReadPolicy, Repository, RowState, Select,
};
use support::{Note, Switches, Turn, User, drained, note, parked, repo, settled, soon};

fn settings() -> OutboxSettings {
    OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20))
}

async fn here(repo: &Repository, key: &str) -> Option<Note> {
    let found = repo.reading(ReadPolicy::LocalOnly).find::<Note>(key).await.unwrap();
    found.map(|note| Note::clone(&note))
}

// Rules: o-revert
#[tokio::test]
async fn a_refused_change_goes_back_by_itself_and_leaves_the_servers_answer() {
    let net = Switches::new();
    let policy = settings().without_coalescing().on_permanent_failure::<Note>(PermanentFailure::Revert);
    let repo = support::builder(&net).outbox(policy).build().await.unwrap();
    let row = repo.upsert(&note("1", "old", 1)).await.unwrap().accepted().await.unwrap();
    repo.outbox().pause();
    let refused = repo.update(&row, |note| note.text = "refused".into()).await.unwrap();
    let later = repo.update(&row, |note| note.stars = 9).await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    repo.outbox().resume();
    assert_eq!(refused.accepted().await.unwrap_err().status(), Some(422));
    let row = later.accepted().await.unwrap();
    assert_eq!((row.text.as_str(), row.stars), ("old", 9));
    assert_eq!(net.notes().await, [("1".to_owned(), "old".to_owned())]);
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Synced);

    let left = parked(&repo, 1).await.remove(0);
    assert_eq!(left.parked, Some(ParkReason::Reverted));
    assert_eq!((left.attempts, left.failure.unwrap().body.as_deref()), (1, Some("no")));
    assert_eq!(repo.status().parked, 1);
    assert_eq!(repo.outbox().retry(left.seq).await.unwrap_err().kind(), ErrorKind::Conflict);
    repo.outbox().discard(left.seq).await.unwrap();
    assert!(repo.outbox().is_empty().await.unwrap());
    assert_eq!(here(&repo, "1").await.unwrap().stars, 9, "the row is not touched again");
}

// Rules: o-revert
#[tokio::test]
async fn what_was_changed_of_a_row_whose_creation_was_refused_is_kept_as_well() {
    let net = Switches::new();
    let policy = settings().without_coalescing().on_permanent_failure::<Note>(PermanentFailure::Revert);
    let repo = support::builder(&net).outbox(policy).paused().build().await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    let first = repo.upsert(&note("1", "refused", 0)).await.unwrap();
    let second = repo.upsert(&note("1", "goes with it", 0)).await.unwrap();
    repo.outbox().resume();
    assert_eq!(first.accepted().await.unwrap_err().kind(), ErrorKind::Rejected);
    assert!(second.accepted().await.is_err());
    assert!(here(&repo, "1").await.is_none());
    let left = parked(&repo, 2).await;
    assert!(left.iter().all(|left| left.parked == Some(ParkReason::Reverted) && left.failure.is_some()));
    // The key is free again.
    repo.upsert(&note("1", "anew", 0)).await.unwrap().accepted().await.unwrap();
    assert_eq!(net.notes().await, [("1".to_owned(), "anew".to_owned())]);
}

// Rules: o-halt
#[tokio::test]
async fn a_model_can_stop_everything_until_it_is_decided() {
    let net = Switches::new();
    let policy = settings().on_permanent_failure::<User>(PermanentFailure::Halt);
    let repo = support::builder(&net).outbox(policy).build().await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    let ada = User { id: "ada".into(), email: "a@b".into() };
    repo.upsert(&ada).await.unwrap().accepted().await.unwrap_err();
    let waits = repo.upsert(&note("1", "waits", 0)).await.unwrap();
    soon(repo.outbox().drain()).await;
    assert!(repo.status().halted && net.seen().is_empty());
    let seq = parked(&repo, 1).await[0].seq;
    repo.outbox().discard(seq).await.unwrap();
    soon(waits.accepted()).await.unwrap();
    assert!(!repo.status().halted);
}

#[tokio::test]
async fn a_policy_of_a_model_that_is_not_there_is_refused() {
    let policy = settings().on_permanent_failure::<User>(PermanentFailure::Halt);
    let builder = Repository::builder().store(larder::Memory::new()).model::<Note>().outbox(policy);
    assert_eq!(builder.build().await.unwrap_err().kind(), ErrorKind::Invalid);
}

// Rules: o-serial
#[tokio::test]
async fn in_one_order_rows_arrive_as_they_were_written() {
    let net = Switches::new();
    let repo = support::builder(&net)
        .outbox(settings().serial().without_coalescing())
        .paused()
        .build()
        .await
        .unwrap();
    for (nth, key) in ["c", "a", "b", "a", "c"].iter().enumerate() {
        let _ = repo.upsert(&note(key, &format!("{nth}"), 0)).await.unwrap();
    }
    net.next(Turn::Unreachable);
    net.next(Turn::Say(ErrorKind::Http { status: 500 }, 500));
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(net.seen(), ["insert c", "insert a", "insert b", "update a", "update c"]);
}

// Rules: o-capacity
#[tokio::test]
async fn a_full_outbox_refuses_writes_and_drops_nothing() {
    let net = Switches::new();
    let repo = support::builder(&net).outbox(settings().capacity(3)).paused().build().await.unwrap();
    let writes: Vec<_> = (0..20)
        .map(|nth| {
            let repo = repo.clone();
            tokio::spawn(async move { repo.upsert(&note(&nth.to_string(), "", 0)).await.map(drop) })
        })
        .collect();
    let mut full = 0;
    for write in writes {
        if let Err(error) = write.await.unwrap() {
            assert_eq!(error.kind(), ErrorKind::Full);
            full += 1;
        }
    }
    let queued = repo.outbox().len().await.unwrap();
    assert!(queued <= 3 && full + queued == 20, "{queued} queued, {full} refused");
    assert_eq!(
        repo.get(Select::<Note>::all()).await.unwrap().len() as u64,
        queued,
        "nothing of them is stored"
    );
    // Of several rows at once there is room for all or none; what is not queued needs none.
    assert_eq!(
        repo.upsert_many(&[note("x", "", 0), note("y", "", 0), note("z", "", 0)]).await.unwrap_err().kind(),
        ErrorKind::Full
    );
    let local = repo.writing(larder::WritePolicy::LocalOnly);
    assert!(local.upsert(&note("draft", "", 0)).await.is_ok());
    repo.outbox().resume();
    settled(&repo).await;
    repo.upsert(&note("now", "", 0)).await.unwrap().accepted().await.unwrap();
}

// Rules: o-edit
#[tokio::test]
async fn a_parked_mutation_can_be_edited_and_goes_as_another_one() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let row = repo.upsert(&note("1", "old", 1)).await.unwrap().accepted().await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    let refused = repo.update(&row, |note| note.text = "wrong".into()).await.unwrap();
    refused.accepted().await.unwrap_err();
    let _ = repo.update(&row, |note| note.stars = 9).await.unwrap();
    let before = parked(&repo, 1).await.remove(0);

    let outbox = repo.outbox();
    let other = outbox.edit::<Note>(before.seq, |note| note.id = "2".into()).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Invalid);
    let other = outbox.edit::<User>(before.seq, |_| {}).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Invalid);
    repo.outbox().pause();
    outbox.edit::<Note>(before.seq, |note| note.text = "right".into()).await.unwrap();
    let after = outbox.list(0, 10).await.unwrap().remove(0);
    assert_eq!((after.seq, after.parked, after.maybe_sent), (before.seq, None, false));
    assert_ne!(after.id, before.id, "a key is never used with another payload");
    let shown = here(&repo, "1").await.unwrap();
    assert_eq!((shown.text.as_str(), shown.stars), ("right", 9));

    repo.outbox().resume();
    settled(&repo).await;
    let sent = net.applied.lock().unwrap().clone();
    assert_eq!(sent[1].id, after.id);
    assert!(!sent[1].repeated);
    assert_eq!(net.notes().await, [("1".to_owned(), "right".to_owned())]);
    assert_eq!(outbox.edit::<Note>(before.seq, |_| {}).await.unwrap_err().kind(), ErrorKind::NotFound);
}

// Rules: o-export, o-entry
#[tokio::test]
async fn an_export_has_everything_that_is_needed_to_make_the_mutations_again() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let row = repo.upsert(&note("1", "old", 1)).await.unwrap().accepted().await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    repo.update(&row, |note| note.tag = Some("ü\"\n".into())).await.unwrap().accepted().await.unwrap_err();
    repo.outbox().pause();
    let _ = repo.upsert(&note("2", "new", 2)).await.unwrap();
    let _ = repo.delete::<Note>("3").await.unwrap();
    let mut lines = Vec::new();
    let keep = |line| {
        lines.push(line);
        Ok(())
    };
    assert_eq!(repo.outbox().export(keep).await.unwrap(), 3);
    assert_eq!(repo.outbox().len().await.unwrap(), 3, "they stay where they are");
    let read = |line: &String| serde_json::from_str::<ExportedMutation>(line).unwrap().mutation.unwrap();
    let [refused, new, gone] = &lines.iter().map(read).collect::<Vec<_>>()[..] else { panic!("{lines:?}") };
    assert_eq!(
        (refused.parked, refused.changed.as_slice()),
        (Some(ParkReason::Rejected), &["tag".to_owned()][..])
    );
    let failure = refused.failure.as_ref().unwrap();
    assert_eq!((failure.status, failure.body.as_deref()), (Some(422), Some("no")));
    assert!(refused.base.is_some() && refused.first_sent.is_some());
    assert_eq!((gone.operation, gone.model::<Note>().unwrap()), (Operation::Delete, None));
    assert_eq!(new.model::<User>().unwrap_err().kind(), ErrorKind::Invalid);

    repo.wipe().await.unwrap();
    repo.outbox().resume();
    repo.sync().await.unwrap();
    for mutation in [refused, new] {
        repo.upsert(&mutation.model::<Note>().unwrap().unwrap()).await.unwrap().accepted().await.unwrap();
    }
    assert_eq!(net.notes().await, [("1".to_owned(), "old".to_owned()), ("2".to_owned(), "new".to_owned())]);
}

// Rules: o-clear
#[tokio::test]
async fn clearing_tells_what_is_lost_and_puts_the_rows_back() {
    let net = Switches::new();
    let repo = support::stepwise(&net).build().await.unwrap();
    let row = repo.upsert(&note("1", "old", 1)).await.unwrap().accepted().await.unwrap();
    net.offline(true);
    for stars in 2..5 {
        let _ = repo.update(&row, |note| note.stars = stars).await.unwrap();
    }
    let _ = repo.upsert(&note("2", "new", 2)).await.unwrap();
    let _ = repo.delete::<Note>("1").await.unwrap();
    soon(repo.outbox().drain()).await;
    let mut lost = Vec::new();
    let cleared = repo.outbox().clear(|mutation| lost.push(mutation.key.to_string())).await.unwrap();
    assert_eq!((cleared.discarded, cleared.kept), (5, 0));
    assert_eq!(lost, ["1", "2", "1", "1", "1"]);
    assert_eq!(here(&repo, "1").await.unwrap().stars, 1);
    assert!(here(&repo, "2").await.is_none());
    assert!(repo.outbox().is_empty().await.unwrap());
    net.offline(false);
    assert!(soon(repo.outbox().settled()).await.is_settled());
}

// Rules: o-discard
#[tokio::test]
async fn what_is_on_its_way_is_not_given_up_and_what_waits_is() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.hang(true);
    let _ = repo.upsert(&note("1", "on its way", 0)).await.unwrap();
    let mut status = repo.status();
    while net.seen().is_empty() {
        status = soon(repo.status_changed(&status)).await;
        tokio::task::yield_now().await;
    }
    let seq = repo.outbox().list(0, 1).await.unwrap()[0].seq;
    assert_eq!(repo.outbox().discard(seq).await.unwrap_err().kind(), ErrorKind::Conflict);
    net.hang(false);
    soon(settled(&repo)).await;

    // Sent, its answer lost, and now nothing can be reached: it waits, and may be given up.
    net.next(Turn::LoseReply);
    net.offline(false);
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    repo.outbox().pause();
    let stored = repo.update(&row, |note| note.text = "lost".into()).await.unwrap();
    let mut events = repo.outbox().events();
    repo.outbox().resume();
    loop {
        if let Some(OutboxEvent::Mutation { what: Happened::Postponed, .. }) = soon(events.next()).await {
            net.offline(true);
            break;
        }
    }
    repo.outbox().pause();
    soon(repo.outbox().drain()).await;
    if let Some(waits) = repo.outbox().list(0, 1).await.unwrap().first() {
        assert!(waits.maybe_sent);
        repo.outbox().discard(waits.seq).await.unwrap();
        assert_eq!(stored.accepted().await.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}

// Rules: o-events
#[tokio::test]
async fn events_come_in_order_and_who_is_too_slow_is_told() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let mut events = repo.outbox().events();
    net.next(Turn::LoseReply);
    repo.upsert(&note("1", "once", 0)).await.unwrap().accepted().await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    repo.upsert(&note("2", "refused", 0)).await.unwrap().accepted().await.unwrap_err();
    let seq = parked(&repo, 1).await[0].seq;
    repo.outbox().retry(seq).await.unwrap();
    settled(&repo).await;
    let mut seen = Vec::new();
    while seen.len() < 9 {
        if let Some(OutboxEvent::Mutation { key, what, .. }) = soon(events.next()).await {
            seen.push((key.to_string(), what));
        }
    }
    let of = |key: &str| seen.iter().filter(|(of, _)| of == key).map(|(_, what)| *what).collect::<Vec<_>>();
    let sent = |repeated| Happened::Sent { repeated };
    assert_eq!(of("1"), [Happened::Queued, sent(false), Happened::Postponed, sent(true), Happened::Accepted]);
    assert_eq!(
        of("2"),
        [Happened::Queued, sent(false), Happened::Parked(ParkReason::Rejected), Happened::Retried],
        "and then it goes again"
    );

    let many: Vec<_> = (0..600).map(|nth| note(&format!("n{nth}"), "", 0)).collect();
    let _ = repo.upsert_many(&many).await.unwrap();
    settled(&repo).await;
    let mut missed = 0;
    while let Some(event) = soon(events.next()).await {
        match event {
            OutboxEvent::Missed(many) => missed += many,
            OutboxEvent::Mutation { what: Happened::Accepted, .. } if missed > 0 => break,
            _ => {}
        }
    }
    assert!(missed > 0);
}

// Rules: o-status
#[tokio::test]
async fn the_status_can_be_watched_and_waited_for() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let mut statuses = repo.watch_status();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    repo.upsert(&note("1", "refused", 0)).await.unwrap().accepted().await.unwrap_err();
    let _ = repo.upsert(&note("1", "behind it", 0)).await.unwrap();
    for nth in 0..50 {
        let _ = repo.upsert(&note(&format!("n{nth}"), "", 0)).await.unwrap();
    }
    let status = soon(repo.outbox().settled()).await;
    assert_eq!((status.pending, status.blocked, status.parked, status.more), (1, 1, 1, false));
    assert_eq!(net.notes().await.len(), 50);
    assert_eq!(repo.outbox().len().await.unwrap(), 2);
    // Who was slow gets the latest and no backlog.
    let mut seen = 0;
    loop {
        seen += 1;
        if soon(statuses.next()).await.unwrap() == status {
            break;
        }
    }
    assert!(seen < 5, "{seen}");
}

// Rules: o-accounts, s-safe
#[tokio::test]
async fn what_each_account_has_written_is_told_apart() {
    let net = Switches::new();
    let repo = support::builder(&net).account("ada").paused().build().await.unwrap();
    let _ = repo.upsert(&note("1", "ada's", 0)).await.unwrap();
    repo.sign_in("bob");
    let _ = repo.upsert(&note("2", "bob's", 0)).await.unwrap();
    // It is another's, and stays apart.
    let _ = repo.upsert(&note("1", "bob's", 0)).await.unwrap();
    repo.sign_out();
    let _ = repo.upsert(&note("3", "nobody's", 0)).await.unwrap();
    let counts: Vec<_> = repo.outbox().by_account().await.unwrap().into_iter().collect();
    assert_eq!(counts, [(None, 1), (Some("ada".into()), 1), (Some("bob".into()), 2)]);
    assert_eq!(repo.safe_to_wipe().await.unwrap().entries, 4);
}

// Rules: o-pause
#[tokio::test]
async fn what_is_loaded_after_a_pause_is_not_sent() {
    for _ in 0..50 {
        let net = Switches::new();
        let disk = support::chaos::memory().await;
        let before =
            support::builder(&net).store(std::sync::Arc::clone(&disk)).paused().build().await.unwrap();
        let _ = before.upsert(&note("1", "waits", 0)).await.unwrap();
        before.close().await;
        let repo = support::builder(&net).store(disk).build().await.unwrap();
        repo.outbox().pause();
        soon(repo.outbox().drain()).await;
        assert_eq!(net.seen(), [""; 0], "nothing goes that was not on its way");
        repo.outbox().resume();
        settled(&repo).await;
        assert_eq!(net.seen(), ["insert 1"]);
    }
}

// Rules: o-accounts, o-credentials
#[tokio::test]
async fn each_account_sends_its_own() {
    let net = Switches::new();
    let repo = support::builder(&net).account("ada").paused().build().await.unwrap();
    let adas = repo.upsert(&note("1", "ada's", 0)).await.unwrap();
    repo.sign_out();
    assert_eq!(repo.account(), None);
    repo.sign_in("bob");
    repo.outbox().resume();
    repo.upsert(&note("2", "bob's", 0)).await.unwrap().accepted().await.unwrap();
    let status = soon(repo.outbox().settled()).await;
    assert_eq!((status.blocked, status.pending), (1, 1));
    assert_eq!(net.seen(), ["insert 2"]);
    assert_eq!(repo.safe_to_wipe().await.unwrap().entries, 1);
    repo.sign_in("ada");
    soon(adas.accepted()).await.unwrap();
    assert_eq!(net.seen(), ["insert 2", "insert 1"]);
    let accounts: Vec<_> = net.accounts.lock().unwrap().clone();
    assert_eq!(accounts, [Some("bob".into()), Some("ada".into())]);
}

// Rules: o-key-life
#[tokio::test]
async fn a_key_that_the_server_has_forgotten_is_asked_about_first() {
    for (theirs, outcome) in [(false, "ours"), (true, "someone else's")] {
        let net = Switches::new();
        *net.idempotency.lock().unwrap() = Some(Idempotency::Keyed { life: Duration::ZERO });
        let repo = repo(&net).await;
        net.next(Turn::LoseReply);
        repo.outbox().pause();
        let stored = repo.upsert(&note("1", "mine", 0)).await.unwrap();
        if theirs {
            net.elsewhere(note("1", "theirs", 0)).await;
            net.turns.lock().unwrap().clear();
            net.next(Turn::Say(ErrorKind::Timeout, 408));
        }
        repo.outbox().resume();
        let accepted = soon(stored.accepted()).await;
        assert_eq!(accepted.is_ok(), !theirs, "{outcome}");
        let seen: BTreeSet<_> = net.applied.lock().unwrap().iter().map(|sent| sent.repeated).collect();
        assert!(!seen.contains(&true), "{outcome}: it was sent blindly");
    }
}

/// Waits long enough for anything, unless somebody insists.
fn patient() -> OutboxSettings {
    let minute = Duration::from_secs(60);
    OutboxSettings::new().backoff(minute, minute)
}

/// A row that the server has, and a remote whose replies get lost from now on.
async fn with_row(idempotency: Idempotency) -> (std::sync::Arc<Switches>, Repository) {
    let net = Switches::new();
    *net.idempotency.lock().unwrap() = Some(idempotency);
    *net.lists_without_versions.lock().unwrap() = true;
    let repo = support::builder(&net).outbox(patient()).build().await.unwrap();
    net.elsewhere(note("1", "old", 1)).await;
    repo.sync().await.unwrap();
    net.next(Turn::LoseReply);
    (net, repo)
}

// Rules: o-success, o-idempotency
#[tokio::test]
async fn a_change_that_has_arrived_is_not_made_again_whatever_others_have_changed_since() {
    let (net, repo) = with_row(Idempotency::Probe).await;
    let row = here(&repo, "1").await.unwrap();
    let changed = repo.update(&row, |note| note.text = "mine".into()).await.unwrap();
    while net.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    net.elsewhere(note("1", "mine", 9)).await;
    drained(&repo).await;
    assert_eq!(soon(changed.accepted()).await.unwrap().stars, 9);
    assert_eq!(net.seen(), ["update 1"], "it was asked about");
}

// Rules: o-idempotency, c-detect
#[tokio::test]
async fn a_change_that_can_not_say_what_it_is_based_on_is_asked_about_before_it_is_repeated() {
    let (net, repo) = with_row(Idempotency::Conditional).await;
    let row = here(&repo, "1").await.unwrap();
    let changed = repo.update(&row, |note| note.text = "mine".into()).await.unwrap();
    while net.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let reads = net.reads();
    drained(&repo).await;
    assert_eq!(soon(changed.accepted()).await.unwrap().text, "mine");
    assert_eq!(
        (net.seen().len(), net.reads() - reads),
        (1, 1),
        "it has no version that would keep it from harm"
    );
}

// Rules: o-entry
#[tokio::test]
async fn what_the_model_does_not_have_goes_back_with_a_change() {
    let net = Switches::new();
    let repo = support::builder(&net).outbox(settings()).build().await.unwrap();
    let more = serde_json::json!([{ "id": "1", "text": "old", "stars": 1, "tag": null, "color": "red" }]);
    repo.pushed(larder::Pushed::<Note>::json(more.as_array().cloned().unwrap())).await.unwrap();
    let row = here(&repo, "1").await.unwrap();
    let changed = repo.update(&row, |note| note.stars = 2).await.unwrap();
    soon(changed.accepted()).await.unwrap();
    let sent = net.applied.lock().unwrap()[0].clone();
    assert!(sent.extra.is_some_and(|extra| extra.contains("color")));
    assert_eq!(sent.changed.unwrap().iter().collect::<Vec<_>>(), [2], "what was changed, and no more");
}

// Rules: o-edit, c-settle
#[tokio::test]
async fn what_is_not_parked_is_not_edited_and_what_is_in_no_conflict_not_settled() {
    let net = Switches::new();
    let repo = support::builder(&net).outbox(settings()).paused().build().await.unwrap();
    let _ = repo.upsert(&note("1", "mine", 1)).await.unwrap();
    let seq = repo.outbox().list(0, 1).await.unwrap()[0].seq;
    let refused = repo.outbox().edit::<Note>(seq, |note| note.stars = 2).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    repo.outbox().resume();
    for parked_too in [false, true] {
        if parked_too {
            parked(&repo, 1).await;
        }
        for resolution in [larder::Resolution::Mine, larder::Resolution::Theirs] {
            let refused = repo.conflicts::<Note>().settle(seq, resolution).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
        }
    }
    let queued = repo.outbox().list(0, 9).await.unwrap();
    assert_eq!((queued.len(), queued[0].parked), (1, Some(ParkReason::Rejected)), "nothing has happened");
    assert_eq!(here(&repo, "1").await, Some(note("1", "mine", 1)));
}

// Rules: o-status
#[tokio::test]
async fn what_was_written_is_counted_at_once() {
    let net = Switches::new();
    let repo = support::builder(&net).paused().build().await.unwrap();
    for count in 1..=20 {
        drop(repo.upsert(&note(&count.to_string(), "one", 0)).await.unwrap());
        let status = repo.status();
        assert_eq!((status.pending, status.is_settled()), (count, false));
    }
    // A change of what waits is no further one, and what was never sent is gone with its row.
    drop(repo.upsert(&note("1", "two", 0)).await.unwrap());
    assert_eq!(repo.status().pending, 20);
    let seen = repo.status();
    drop(repo.delete::<Note>("2").await.unwrap());
    let mut now = repo.status();
    while now.pending != 19 {
        now = support::soon(repo.status_changed(&now)).await;
    }
    assert_ne!(now, seen);
    repo.outbox().resume();
    settled(&repo).await;
    assert!(repo.status().is_settled());
    repo.outbox().pause();
    drop(repo.upsert(&note("3", "three", 0)).await.unwrap());
    repo.wipe().await.unwrap();
    let mut now = repo.status();
    while now.pending != 0 {
        now = support::soon(repo.status_changed(&now)).await;
    }
    drop(repo.upsert(&note("4", "four", 0)).await.unwrap());
    assert_eq!(repo.status().pending, 1, "after a wipe as well");
}
