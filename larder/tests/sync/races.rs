//! Something happens between a read of a pull and the commit that relies on it: the store waits in between.

#![allow(clippy::async_yields_async, reason = "what begins meanwhile goes on after that")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder::core::DeltaScope;
use larder::{Key, Memory, Model, Operation, OutboxSettings, Pushed, ReadPolicy, Repository, Select, Stored};
use rstest::rstest;

use crate::server::{Server, name, opened};
use crate::support::chaos::{Faults, Faulty};
use crate::support::gates::{Call, marks};
use crate::support::{Note, local, note, settled, soon};

/// How often others get their turn, to show that somebody waits.
const TURNS: usize = 300;

async fn turns() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

fn row(id: usize) -> Key {
    name(id).into()
}

/// A server with four rows, and a client that has them.
async fn apart(scope: DeltaScope) -> (Arc<Server>, Repository, Arc<Faults>) {
    let server = Server::telling(Memory::new()).await;
    *server.scope.lock().unwrap() = scope;
    server.fill(4).await;
    let (store, faults) = Faulty::over(&opened(Memory::new()).await, 1);
    let settings = OutboxSettings::new().without_coalescing();
    let settings = settings.backoff(Duration::from_millis(1), Duration::from_millis(20));
    let repo = server.builder(store).outbox(settings).build().await.unwrap();
    repo.sync().model::<Note>().unwrap().await.unwrap();
    server.asked();
    (server, repo, faults)
}

/// A pull that goes on while the test does something else.
fn pulling(repo: &Repository) -> tokio::task::JoinHandle<larder::Result<u64>> {
    let repo = repo.clone();
    // What is queued is not pushed before.
    tokio::spawn(async move { repo.pushed(Pushed::<Note>::hint()).await })
}

async fn edit(repo: &Repository, id: usize, change: impl FnMut(&mut Note)) -> Stored<Note> {
    let row = here(repo, id).await.unwrap();
    repo.update(&row, change).await.unwrap()
}

async fn here(repo: &Repository, id: usize) -> Option<Arc<Note>> {
    repo.reading(ReadPolicy::LocalOnly).find::<Note>(name(id)).await.unwrap()
}

/// What is queued for a row.
async fn queued(repo: &Repository, id: usize) -> Vec<Operation> {
    let all = repo.outbox().list(0, 99).await.unwrap().into_iter();
    all.filter(|entry| entry.key == row(id)).map(|entry| entry.operation).collect()
}

/// What others have made of a row, and how a pull hears of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum News {
    /// It stands on a page.
    Changed,
    /// It stands on no page.
    Absent,
    /// It is said to be gone.
    Deleted,
}

impl News {
    fn scope(self) -> DeltaScope {
        if self == Self::Deleted { DeltaScope::ChangesAndDeletions } else { DeltaScope::Nothing }
    }

    async fn made(self, server: &Server, id: usize) {
        let theirs = (self == Self::Changed)
            .then(|| Note { tag: Some("theirs".into()), ..note(&name(id), "theirs", 0) });
        server.write(&name(id), theirs).await;
    }
}

// Rules: s-pending, s-rebase, s-delete
#[rstest]
#[tokio::test]
async fn what_is_written_while_news_of_its_row_is_about_to_be_stored_is_not_lost(
    #[values(News::Changed, News::Absent, News::Deleted)] news: News,
    #[values(false, true)] after_another: bool,
) {
    let (server, repo, faults) = apart(news.scope()).await;
    repo.outbox().pause();
    if after_another {
        drop(edit(&repo, 2, |note| note.text = "mine".into()).await);
    }
    news.made(&server, 2).await;
    server.write(&name(3), None).await;
    let held = faults.gates.hold(|call| call.writes(Note::schema(), &row(2)));
    let pull = pulling(&repo);
    drop(held.during(edit(&repo, 2, |note| note.stars = 9)).await);
    pull.await.unwrap().unwrap();
    let text = if after_another { "mine" } else { "theirs" };
    let note = here(&repo, 2).await.expect("it was written here");
    assert_eq!((note.text.as_str(), note.stars), (text, 9));
    assert_eq!(note.tag.is_some(), news == News::Changed, "it lies on what others have made of the row");
    assert_eq!(queued(&repo, 2).await.len(), if after_another { 2 } else { 1 });
    assert!(here(&repo, 3).await.is_none(), "of the other row the news is stored");
    repo.outbox().resume();
    soon(settled(&repo)).await;
    let there = server.notes().await;
    assert!(there.contains(&(name(2), text.to_owned())), "{there:?}");
}

// Rules: s-rebase, o-marked
#[rstest]
#[tokio::test]
async fn nothing_is_sent_while_it_is_put_on_what_has_come(
    #[values(News::Changed, News::Absent, News::Deleted)] news: News,
) {
    let (server, repo, faults) = apart(news.scope()).await;
    repo.outbox().pause();
    drop(edit(&repo, 2, |note| note.stars = 9).await);
    news.made(&server, 2).await;
    let held = faults.gates.hold(|call| call.writes(Note::schema(), &row(2)));
    let pull = pulling(&repo);
    held.during(async {
        repo.outbox().resume();
        turns().await;
        let asked = server.asked();
        assert!(asked.iter().all(|what| !what.ends_with(&name(2))), "it is not marked before: {asked:?}");
    })
    .await;
    pull.await.unwrap().unwrap();
    soon(settled(&repo)).await;
    // It goes as it is by then: of a row that is gone, as its creation.
    let verb = if news == News::Changed { "update" } else { "insert" };
    let sent: Vec<_> = server.asked().into_iter().filter(|what| what.ends_with(&name(2))).collect();
    assert_eq!(sent, [format!("{verb} {}", name(2))]);
}

// Rules: s-delete, s-rebase
#[tokio::test]
async fn a_row_that_is_written_while_a_pull_misses_it_is_not_taken_for_one_that_is_gone() {
    let (server, repo, faults) = apart(DeltaScope::Nothing).await;
    repo.outbox().pause();
    for id in [1, 2] {
        drop(edit(&repo, id, |note| note.text = "mine".into()).await);
        server.write(&name(id), None).await;
    }
    // One after the other is put on that it is gone there.
    let held = faults.gates.hold(|call| call.writes(Note::schema(), &row(1)));
    let pull = pulling(&repo);
    drop(held.during(edit(&repo, 2, |note| note.stars = 9)).await);
    pull.await.unwrap().unwrap();
    assert_eq!(queued(&repo, 1).await, [Operation::Insert], "it is gone, and created again");
    assert_eq!(queued(&repo, 2).await, [Operation::Update; 2], "whether it was there, the next pull tells");
}

// Rules: s-pending, s-rebase
#[rstest]
#[tokio::test]
async fn what_was_asked_for_before_a_change_was_confirmed_says_nothing_of_its_row(
    #[values(false, true)] changed_again: bool,
) {
    let (server, repo, faults) = apart(DeltaScope::Nothing).await;
    server.write(&name(0), Some(note(&name(0), "new", 0))).await;
    let held = faults.gates.hold(|call| call.loads(Note::schema(), &row(0)));
    let pull = pulling(&repo);
    held.during(async {
        // The page with the row as it was before is here already.
        edit(&repo, 2, |note| note.text = "mine".into()).await.accepted().await.unwrap();
        repo.outbox().pause();
        if changed_again {
            drop(edit(&repo, 2, |note| note.stars = 9).await);
        }
    })
    .await;
    pull.await.unwrap().unwrap();
    let note = here(&repo, 2).await.unwrap();
    let stars = if changed_again { 9 } else { 0 };
    assert_eq!((note.text.as_str(), note.stars), ("mine", stars), "it does not go back to what it was");
    assert_eq!(here(&repo, 0).await.unwrap().text, "new");
}

// Rules: s-delete, w-delete
#[tokio::test]
async fn a_row_that_is_deleted_while_it_is_on_its_way_does_not_come_back() {
    let (server, repo, faults) = apart(DeltaScope::Nothing).await;
    server.write(&name(0), Some(note(&name(0), "new", 0))).await;
    let held = faults.gates.hold(|call| call.loads(Note::schema(), &row(0)));
    let pull = pulling(&repo);
    held.during(async { repo.delete::<Note>(name(2)).await.unwrap().accepted().await.unwrap() }).await;
    pull.await.unwrap().unwrap();
    assert_eq!(local(&repo).await, [name(0), name(1), name(3)]);
}

// Rules: s-delta, s-aside, s-rebase
#[rstest]
#[tokio::test]
async fn of_news_that_may_be_older_than_an_answer_or_newer_the_remote_is_asked_again(
    #[values(News::Changed, News::Deleted)] news: News,
) {
    let (server, repo, faults) = apart(DeltaScope::ChangesAndDeletions).await;
    // Once its entry is marked, the row is read for settling it.
    faults.crowded.store(true, Ordering::SeqCst);
    let marked = AtomicBool::new(false);
    let answered = faults.gates.hold(move |call| {
        marked.fetch_or(marks(call), Ordering::SeqCst);
        marked.load(Ordering::SeqCst) && call.loads(Note::schema(), &row(2))
    });
    let first = edit(&repo, 2, |note| note.text = "theirs, and mine".into()).await;
    let came = faults.gates.hold(|call| call.loads(Note::schema(), &row(0)));
    let pull = answered
        .during(async {
            // The remote has the change, and others are at the row, before its answer is looked at here.
            news.made(&server, 2).await;
            server.write(&name(0), Some(note(&name(0), "new", 0))).await;
            let pull = pulling(&repo);
            came.there.notified().await;
            pull
        })
        .await;
    first.accepted().await.unwrap();
    repo.outbox().pause();
    drop(edit(&repo, 2, |note| note.stars = 9).await);
    came.go.notify_one();
    pull.await.unwrap().unwrap();
    assert_eq!(queued(&repo, 2).await, [Operation::Update], "it is not known to be gone");
    for entry in repo.outbox().list(0, 9).await.unwrap() {
        repo.outbox().discard(entry.seq).await.unwrap();
    }
    repo.sync().model::<Note>().unwrap().await.unwrap();
    let tag = here(&repo, 2).await.map(|note| note.tag.clone());
    assert_eq!(tag, (news == News::Changed).then(|| Some("theirs".to_owned())));
}

// Rules: s-tag, s-pending
#[tokio::test]
async fn an_answer_of_which_a_row_was_left_out_is_given_again() {
    let (server, repo, faults) = apart(DeltaScope::Nothing).await;
    server.tags.store(true, Ordering::SeqCst);
    faults.crowded.store(true, Ordering::SeqCst);
    let marked = AtomicBool::new(false);
    let answered = faults.gates.hold(move |call| {
        marked.fetch_or(marks(call), Ordering::SeqCst);
        marked.load(Ordering::SeqCst) && call.loads(Note::schema(), &row(2))
    });
    let first = edit(&repo, 2, |note| note.text = "mine".into()).await;
    let came = faults.gates.hold(|call| call.loads(Note::schema(), &row(0)));
    let pull = answered
        .during(async {
            News::Changed.made(&server, 2).await;
            let pull = pulling(&repo);
            came.there.notified().await;
            pull
        })
        .await;
    first.accepted().await.unwrap();
    repo.outbox().pause();
    let second = edit(&repo, 2, |note| note.stars = 9).await;
    came.go.notify_one();
    pull.await.unwrap().unwrap();
    drop(second);
    for entry in repo.outbox().list(0, 9).await.unwrap() {
        repo.outbox().discard(entry.seq).await.unwrap();
    }
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!(here(&repo, 2).await.unwrap().tag.as_deref(), Some("theirs"));
}

// Rules: s-aside, s-rebase
#[tokio::test]
async fn what_is_asked_for_again_while_a_change_of_it_is_confirmed_is_asked_for_once_more() {
    let (server, repo, faults) = apart(DeltaScope::ChangesAndDeletions).await;
    server.misfits.lock().unwrap().insert(name(2));
    faults.crowded.store(true, Ordering::SeqCst);
    let marked = AtomicBool::new(false);
    let answered = faults.gates.hold(move |call| {
        marked.fetch_or(marks(call), Ordering::SeqCst);
        marked.load(Ordering::SeqCst) && call.loads(Note::schema(), &row(2))
    });
    let first = edit(&repo, 2, |note| note.text = "mine".into()).await;
    let asked = Arc::clone(&server);
    let is_asked = move || asked.asked.lock().unwrap().iter().any(|what| what.starts_with("key"));
    let came = faults.gates.hold(move |call| call.loads(Note::schema(), &row(2)) && is_asked());
    let pull = answered
        .during(async {
            News::Changed.made(&server, 2).await;
            // The cursor passes it, and it is to be asked for by its key.
            pulling(&repo).await.unwrap().unwrap();
            server.misfits.lock().unwrap().clear();
            let pull = pulling(&repo);
            came.there.notified().await;
            pull
        })
        .await;
    first.accepted().await.unwrap();
    repo.outbox().pause();
    drop(edit(&repo, 2, |note| note.stars = 9).await);
    came.go.notify_one();
    pull.await.unwrap().unwrap();
    for entry in repo.outbox().list(0, 9).await.unwrap() {
        repo.outbox().discard(entry.seq).await.unwrap();
    }
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!(here(&repo, 2).await.unwrap().tag.as_deref(), Some("theirs"));
}

// Rules: s-wipe
#[rstest]
#[case::before_its_rows_are_compared(|call: &Call<'_>| call.loads(Note::schema(), &row(4)))]
#[case::as_its_page_is_stored(|call: &Call<'_>| call.writes(Note::schema(), &row(4)))]
#[tokio::test]
async fn a_pull_that_began_before_a_wipe_stores_nothing_after_it(#[case] at: fn(&Call<'_>) -> bool) {
    let (server, repo, faults) = apart(DeltaScope::Nothing).await;
    server.write(&name(4), Some(note(&name(4), "new", 0))).await;
    let held = faults.gates.hold(at);
    let pull = pulling(&repo);
    let wipe = held
        .during(async {
            let repo = repo.clone();
            let wipe = tokio::spawn(async move { repo.wipe().await });
            turns().await;
            wipe
        })
        .await;
    soon(wipe).await.unwrap().unwrap();
    // It has stored its page before, or says that it may not.
    let _ = soon(pull).await.unwrap();
    assert!(local(&repo).await.is_empty());
}

// Rules: r-coverage, r-included
#[tokio::test]
async fn two_that_come_to_know_something_at_once_both_know_it_afterwards() {
    let (_server, repo, faults) = apart(DeltaScope::Nothing).await;
    repo.forget(Select::<Note>::all()).await.unwrap();
    let held = faults.gates.hold(|call| call.notes("known/Note"));
    let asking = repo.reading(ReadPolicy::RemoteOnly);
    let fetch = tokio::spawn(async move { asking.get(Note::STARS.gt(5)).await.map(drop) });
    let pull = held
        .during(async {
            let pull = pulling(&repo);
            turns().await;
            pull
        })
        .await;
    soon(fetch).await.unwrap().unwrap();
    soon(pull).await.unwrap().unwrap();
    assert!(repo.coverage(Note::STARS.gt(7)).await.unwrap().is_some(), "a part of what was fetched");
    assert!(repo.coverage(Note::TEXT.eq("a")).await.unwrap().is_some(), "a part of what was pulled");
}
