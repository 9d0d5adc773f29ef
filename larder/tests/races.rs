//! Something happens between a read of the driver and the commit that relies on it: the store waits in between.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder::core::{EntryState, Op};
use larder::{
    ErrorKind, Idempotency, Operation, OutboxSettings, Pushed, ReadPolicy, Repository, Resolution, RowState,
    Strategy,
};
use rstest::rstest;
use support::chaos::{Faults, Faulty, memory};
use support::gates::{Call, dequeues, marks};
use support::{Note, Switches, Turn, note, parked, settled, soon};

fn settings() -> OutboxSettings {
    OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20))
}

/// A repository that sends nothing yet, over a store that can be made to wait.
async fn paused(net: &Arc<Switches>, settings: OutboxSettings) -> (Repository, Arc<Faults>) {
    with(net, settings, |builder| builder).await
}

async fn with(
    net: &Arc<Switches>,
    settings: OutboxSettings,
    more: impl FnOnce(larder::Builder) -> larder::Builder,
) -> (Repository, Arc<Faults>) {
    let (store, faults) = Faulty::over(&memory().await, 1);
    let repo = more(support::builder(net).store(store).outbox(settings)).build().await.unwrap();
    repo.outbox().pause();
    soon(repo.outbox().drain()).await;
    (repo, faults)
}

/// The row `1` as the remote has it, and nothing queued.
async fn with_row(repo: &Repository) {
    repo.outbox().resume();
    repo.upsert(&note("1", "old", 0)).await.unwrap().accepted().await.unwrap();
    repo.outbox().pause();
    soon(repo.outbox().drain()).await;
}

async fn here(repo: &Repository) -> Arc<Note> {
    repo.reading(ReadPolicy::LocalOnly).find::<Note>("1").await.unwrap().unwrap()
}

async fn edit(repo: &Repository, change: impl FnMut(&mut Note)) {
    let row = here(repo).await;
    drop(repo.update(&row, change).await.unwrap());
}

/// A commit by which a parked entry goes again.
fn revives(call: &Call<'_>) -> bool {
    let ready = |op: &Op| matches!(op, Op::Revise(entry) if entry.state == EntryState::Ready);
    matches!(call, Call::Commit(batch) if batch.ops.iter().any(ready))
}

/// A read of an entry.
fn reads(call: &Call<'_>) -> bool {
    matches!(call, Call::Entry(_))
}

// Rules: o-coalesce-sent, o-marked
#[rstest]
#[case::before_its_row_is_read(reads)]
#[case::before_the_mark_is_stored(marks)]
#[tokio::test]
async fn what_is_written_while_a_mutation_is_being_marked_goes_with_it(#[case] at: fn(&Call<'_>) -> bool) {
    let net = Switches::new();
    let (repo, faults) = paused(&net, settings()).await;
    let first = repo.upsert(&note("1", "first", 0)).await.unwrap();
    let held = faults.gates.hold(at);
    repo.outbox().resume();
    held.during(async { drop(repo.upsert(&note("1", "second", 0)).await.unwrap()) }).await;
    soon(settled(&repo)).await;
    assert_eq!(
        (net.seen(), net.notes().await),
        (vec!["insert 1".into()], vec![("1".into(), "second".into())])
    );
    assert_eq!(soon(first.accepted()).await.unwrap().text, "second");
}

// Rules: w-merge, s-pending
#[tokio::test]
async fn what_is_written_while_an_answer_is_being_stored_is_not_lost() {
    let net = Switches::new();
    let (repo, faults) = paused(&net, settings()).await;
    drop(repo.upsert(&note("1", "first", 0)).await.unwrap());
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    held.during(edit(&repo, |note| note.text = "second".into())).await;
    soon(settled(&repo)).await;
    assert_eq!(net.seen(), ["insert 1", "update 1"]);
    assert_eq!(
        (here(&repo).await.text.as_str(), net.notes().await),
        ("second", vec![("1".into(), "second".into())])
    );
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Synced);
}

// Rules: o-accounts, o-marked
#[rstest]
#[case::keyed(Idempotency::KEYED)]
#[case::once(Idempotency::AtMostOnce)]
#[tokio::test]
async fn a_mutation_of_an_account_that_is_left_between_scheduling_and_sending_stays_here(
    #[case] idempotency: Idempotency,
) {
    let net = Switches::new();
    *net.idempotency.lock().unwrap() = Some(idempotency);
    let (repo, faults) = with(&net, settings(), |builder| builder.account("ada")).await;
    drop(repo.upsert(&note("1", "ada's", 0)).await.unwrap());
    // The first read of an entry that is marked is the one before it is sent.
    faults.crowded.store(true, Ordering::SeqCst);
    let marked = AtomicBool::new(false);
    let held = faults.gates.hold(move |call| {
        marked.fetch_or(marks(call), Ordering::SeqCst);
        marked.load(Ordering::SeqCst) && reads(call)
    });
    repo.outbox().resume();
    held.during(async { repo.sign_in("bob") }).await;
    repo.upsert(&note("2", "bob's", 0)).await.unwrap().accepted().await.unwrap();
    soon(repo.outbox().settled()).await;
    assert_eq!(net.seen(), ["insert 2"]);
    let left = repo.outbox().list(0, 9).await.unwrap();
    assert_eq!((left.len(), left[0].parked, left[0].account.as_deref()), (1, None, Some("ada")));
    assert!(idempotency != Idempotency::AtMostOnce || !left[0].maybe_sent, "nothing has left");
    repo.sign_in("ada");
    soon(repo.outbox().settled()).await;
    let accounts: Vec<_> =
        net.accounts.lock().unwrap().iter().map(|of| of.as_deref().map(str::to_owned)).collect();
    assert_eq!(
        (net.seen(), accounts),
        (vec!["insert 2".into(), "insert 1".into()], vec![Some("bob".into()), Some("ada".into())])
    );
}

// Rules: o-parked, o-edit, s-rebase
#[rstest]
#[tokio::test]
async fn a_decision_about_what_is_parked_is_taken_anew_if_something_is_heard_of_its_row_meanwhile(
    #[values("mine", "edited")] wanted: &str,
) {
    let net = Switches::new();
    let (repo, faults) = paused(&net, settings()).await;
    with_row(&repo).await;
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    edit(&repo, |note| note.text = "mine".into()).await;
    repo.outbox().resume();
    let seq = parked(&repo, 1).await[0].seq;
    net.elsewhere(note("1", "old", 7)).await;
    let held = faults.gates.hold(revives);
    let (deciding, other) = (repo.clone(), wanted == "edited");
    let decision = tokio::spawn(async move {
        match other {
            true => deciding.outbox().edit::<Note>(seq, |note| note.text = "edited".into()).await,
            false => deciding.outbox().retry(seq).await,
        }
    });
    held.during(async { repo.pushed(Pushed::rows([note("1", "old", 7)])).await.unwrap() }).await;
    soon(decision).await.unwrap().unwrap();
    soon(settled(&repo)).await;
    let row = here(&repo).await;
    assert_eq!((row.text.as_str(), row.stars), (wanted, 7));
    assert_eq!(net.notes().await, [("1".to_owned(), wanted.to_owned())]);
}

// Rules: o-discard
#[tokio::test]
async fn what_is_written_while_a_mutation_is_given_up_stays_and_the_mutation_goes() {
    let net = Switches::new();
    let (repo, faults) = paused(&net, settings().without_coalescing()).await;
    with_row(&repo).await;
    edit(&repo, |note| note.text = "mine".into()).await;
    let seq = repo.outbox().list(0, 9).await.unwrap()[0].seq;
    let held = faults.gates.hold(dequeues);
    let giving_up = repo.clone();
    let discard = tokio::spawn(async move { giving_up.outbox().discard(seq).await });
    held.during(edit(&repo, |note| note.stars = 9)).await;
    soon(discard).await.unwrap().unwrap();
    let row = here(&repo).await;
    assert_eq!((row.text.as_str(), row.stars, repo.outbox().len().await.unwrap()), ("old", 9, 1));
    repo.outbox().resume();
    soon(settled(&repo)).await;
    assert_eq!(net.seen(), ["insert 1", "update 1"]);
}

// Rules: c-settle
#[tokio::test]
async fn a_conflict_is_settled_though_its_row_is_written_meanwhile() {
    let net = Switches::new();
    let asks = |builder: larder::Builder| builder.conflict_strategy::<Note>(Strategy::Ask);
    let (repo, faults) = with(&net, settings().without_coalescing(), asks).await;
    with_row(&repo).await;
    edit(&repo, |note| note.text = "mine".into()).await;
    net.elsewhere(note("1", "theirs", 0)).await;
    repo.outbox().resume();
    let seq = parked(&repo, 1).await[0].seq;
    let held = faults.gates.hold(revives);
    let deciding = repo.clone();
    let settle =
        tokio::spawn(async move { deciding.conflicts::<Note>().settle(seq, Resolution::Mine).await });
    held.during(edit(&repo, |note| note.stars = 9)).await;
    soon(settle).await.unwrap().unwrap();
    soon(settled(&repo)).await;
    let row = here(&repo).await;
    assert_eq!((row.text.as_str(), row.stars), ("mine", 9));
    assert_eq!(net.notes().await, [("1".to_owned(), "mine".to_owned())]);
}

// Rules: o-capacity
#[tokio::test]
async fn of_two_that_write_at_the_same_time_one_finds_the_outbox_full() {
    let net = Switches::new();
    let (repo, faults) = paused(&net, settings().capacity(1)).await;
    let held = faults.gates.hold(|call| call.queues("Note"));
    let first = repo.clone();
    let first = tokio::spawn(async move { first.upsert(&note("1", "first", 0)).await.map(drop) });
    let second = held.during(async { repo.upsert(&note("2", "second", 0)).await.map(drop) }).await;
    soon(first).await.unwrap().unwrap();
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Full, "the room is taken before it is filled");
    assert_eq!(repo.outbox().len().await.unwrap(), 1);
}

// Rules: o-capacity, o-coalesce
#[tokio::test]
async fn what_adds_nothing_to_a_full_outbox_is_written() {
    let net = Switches::new();
    let disk = memory().await;
    let open = async |most| {
        let builder = support::builder(&net).store(Arc::clone(&disk)).outbox(settings().capacity(most));
        builder.paused().build().await.unwrap()
    };
    let repo = open(2).await;
    for id in ["1", "2"] {
        drop(repo.upsert(&note(id, "first", 0)).await.unwrap());
    }
    repo.close().await;
    // It holds more than it may by now.
    let repo = open(1).await;
    edit(&repo, |note| note.text = "second".into()).await;
    assert_eq!(repo.upsert(&note("3", "", 0)).await.unwrap_err().kind(), ErrorKind::Full);
    drop(repo.delete::<Note>("2").await.unwrap());
    assert_eq!(repo.outbox().len().await.unwrap(), 1, "a creation and a deletion are nothing");
    assert_eq!(repo.upsert(&note("3", "", 0)).await.unwrap_err().kind(), ErrorKind::Full);
    // One goes as the other comes.
    let swap = repo.transaction(|tx| {
        tx.delete::<Note>("1")?;
        tx.upsert(&note("3", "instead", 0))
    });
    soon(swap).await.unwrap();
    let queued = repo.outbox().list(0, 9).await.unwrap();
    assert_eq!((queued.len(), &queued[0].key, queued[0].operation), (1, &"3".into(), Operation::Insert));
}

/// A repository that sends nothing yet, with the row `1`; whatever is sent from now on is answered with a tag.
async fn answered_with_tags(net: &Arc<Switches>) -> (Repository, Arc<Faults>) {
    let (repo, faults) = paused(net, settings().without_coalescing()).await;
    with_row(&repo).await;
    *net.stamps.lock().unwrap() = true;
    (repo, faults)
}

/// What is told of the tag each time that a mutation is about to be marked.
async fn tags(repo: &Repository, faults: &Faults, from: u64, to: u64) -> Vec<Option<String>> {
    let mut seen = Vec::new();
    for seq in from..=to {
        let held = faults.gates.hold(move |call| {
            let of = |op: &Op| matches!(op, Op::Revise(entry) if entry.seq == seq && entry.mark.is_some());
            matches!(call, Call::Commit(batch) if batch.ops.iter().any(of))
        });
        repo.outbox().resume();
        seen.push(held.during(async { here(repo).await.tag.clone() }).await);
    }
    seen
}

// Rules: w-merge
#[tokio::test]
async fn a_field_that_is_written_again_later_shows_no_answer_however_many_are_in_between() {
    let net = Switches::new();
    let (repo, faults) = answered_with_tags(&net).await;
    edit(&repo, |note| note.text = "mine".into()).await;
    for tag in [Some("x"), None, Some("x"), None] {
        edit(&repo, |note| note.tag = tag.map(str::to_owned)).await;
    }
    let queued = repo.outbox().list(0, 9).await.unwrap();
    // Each of them but the last is answered while the last one is still to say that there is no tag.
    let seen = tags(&repo, &faults, queued[0].seq, queued[4].seq).await;
    assert_eq!(seen, vec![None; 5]);
    soon(settled(&repo)).await;
    assert_eq!(here(&repo).await.tag.as_deref(), Some("answer 6"));
}

// Rules: w-merge
#[tokio::test]
async fn what_is_written_again_while_an_answer_is_being_stored_shows_no_answer() {
    let net = Switches::new();
    let (repo, faults) = answered_with_tags(&net).await;
    edit(&repo, |note| note.text = "first".into()).await;
    edit(&repo, |note| note.text = "second".into()).await;
    // It has been found out that nothing writes the tag again; then something does.
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    held.during(async {
        repo.outbox().pause();
        for tag in [Some("x"), None] {
            edit(&repo, |note| note.tag = tag.map(str::to_owned)).await;
        }
    })
    .await;
    soon(repo.outbox().drain()).await;
    assert_eq!((net.seen().len(), here(&repo).await.tag.clone()), (2, None));
}

// Rules: w-merge
#[tokio::test]
async fn what_is_written_again_as_it_was_answered_shows_no_later_answer() {
    let net = Switches::new();
    let (repo, faults) = answered_with_tags(&net).await;
    edit(&repo, |note| note.text = "first".into()).await;
    edit(&repo, |note| note.text = "second".into()).await;
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    // What the remote is about to answer, which the application can't know.
    held.during(edit(&repo, |note| note.tag = Some("answer 2".into()))).await;
    let last = repo.outbox().list(0, 9).await.unwrap().last().unwrap().seq;
    assert_eq!(tags(&repo, &faults, last, last).await, [Some("answer 2".to_owned())]);
    soon(settled(&repo)).await;
}

// Rules: s-rebase, c-detect
#[tokio::test]
async fn where_the_remote_can_not_be_asked_which_of_two_is_newer_its_answer_counts() {
    let net = Switches::new();
    let (repo, _) = paused(&net, settings()).await;
    with_row(&repo).await;
    net.hang(true);
    let row = here(&repo).await;
    let stored = repo.update(&row, |note| note.text = "mine".into()).await.unwrap();
    repo.outbox().resume();
    soon(async {
        while net.seen().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // It may be older than the answer, or newer.
    repo.pushed(Pushed::rows([note("1", "theirs", 0)])).await.unwrap();
    net.offline(true);
    net.hang(false);
    soon(stored.accepted()).await.unwrap();
    assert_eq!(here(&repo).await.text, "mine");
}

// Rules: w-merge, s-rebase, m-extra
#[tokio::test]
async fn an_answer_beside_which_something_was_heard_says_the_version_and_what_the_model_has_not() {
    let net = Switches::new();
    let (repo, _) = paused(&net, settings()).await;
    with_row(&repo).await;
    net.hang(true);
    *net.extra.lock().unwrap() = Some("more".into());
    let stored = repo.update(&here(&repo).await, |note| note.text = "mine".into()).await.unwrap();
    repo.outbox().resume();
    soon(async {
        while net.seen().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    repo.pushed(Pushed::rows([note("1", "old", 7)])).await.unwrap();
    net.hang(false);
    soon(stored.accepted()).await.unwrap();
    let row = here(&repo).await;
    assert_eq!((row.text.as_str(), row.stars), ("mine", 7), "both sides' changes");
    edit(&repo, |note| note.stars = 8).await;
    soon(settled(&repo)).await;
    let sent = net.applied.lock().unwrap()[2].clone();
    assert!(sent.base_version.is_some() && sent.base_version != net.applied.lock().unwrap()[1].base_version);
    assert_eq!(sent.extra.as_deref(), Some("more"), "it goes back as it came");
}
