//! Remotes that answer what they should not, stores that are damaged, and moments that are badly chosen.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that can't go on stops, and waits in real time"
)]

mod support;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use larder::core::{
    Applied, Capabilities, Context, Delta, Done, Mutation, Page, PageToken, Presence, Provider, Query,
    Realtime, Requests, Schema, Store, async_trait,
};
use larder::{
    ErrorKind, Idempotency, Model, Operation, ReadPolicy, Repository, Result, RowState, Select, WritePolicy,
};
use support::chaos::{Faulty, memory};
use support::clock::rest;
use support::{Note, Switches, Turn, User, local, note, parked, settled, soon};
use tokio::sync::Semaphore;

/// What a [`Scripted`] remote does to a page before it gives it.
type Retouch = Box<dyn Fn(&Context, &Query, Page) -> Page + Send>;
/// What it does to an answer.
type Reword = Box<dyn Fn(Applied) -> Applied + Send>;

/// A memory store whose pages and answers are tampered with, and held back while the gates are shut.
struct Scripted {
    server: Arc<dyn Store>,
    retouch: Mutex<Option<Retouch>>,
    reword: Mutex<Option<Reword>>,
    /// A page is made before it passes, and a write is done before its answer passes.
    gets: Semaphore,
    applies: Semaphore,
    seen: Mutex<Vec<(Operation, String)>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

const OPEN: usize = 1_000_000;

impl Scripted {
    async fn new() -> Arc<Self> {
        Arc::new(Self {
            server: memory().await,
            retouch: Mutex::default(),
            reword: Mutex::default(),
            gets: Semaphore::new(OPEN),
            applies: Semaphore::new(OPEN),
            seen: Mutex::default(),
        })
    }

    fn retouch(&self, retouch: impl Fn(&Context, &Query, Page) -> Page + Send + 'static) {
        *self.retouch.lock().unwrap() = Some(Box::new(retouch));
    }

    fn reword(&self, reword: impl Fn(Applied) -> Applied + Send + 'static) {
        *self.reword.lock().unwrap() = Some(Box::new(reword));
    }

    async fn elsewhere(&self, operation: Operation, note: Note) {
        let mutation = Mutation {
            id: larder::MutationId(larder::Uuid::from_u128(self.server.revision().into())),
            schema: Note::schema(),
            key: note.key().unwrap(),
            operation,
            row: (operation != Operation::Delete).then(|| Arc::new(note) as Arc<dyn larder::core::Row>),
            changed: None,
            base_version: None,
            extra: None,
            repeated: false,
            nested: Vec::new(),
        };
        self.server.apply(&Context::new(), &mutation).await.unwrap();
    }

    fn seen(&self) -> Vec<(Operation, String)> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl Provider for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        self.server.capabilities()
    }

    fn idempotency(&self, schema: &'static Schema, operation: Operation) -> Idempotency {
        self.server.idempotency(schema, operation)
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        let page = self.server.get(cx, schema, query).await?;
        self.gets.acquire().await.unwrap().forget();
        Ok(match &*self.retouch.lock().unwrap() {
            Some(retouch) => retouch(cx, query, page),
            None => page,
        })
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<larder::core::Plan> {
        self.server.explain(schema, query)
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.server.exists(cx, schema, query).await
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        let applied = self.server.apply(cx, mutation).await?;
        self.seen.lock().unwrap().push((mutation.operation, mutation.key.to_string()));
        self.applies.acquire().await.unwrap().forget();
        Ok(match &*self.reword.lock().unwrap() {
            Some(reword) => reword(applied),
            None => applied,
        })
    }

    fn delta(&self) -> Option<&dyn Delta> {
        None
    }

    fn realtime(&self) -> Option<&dyn Realtime> {
        None
    }

    fn requests(&self) -> Option<&dyn Requests> {
        None
    }
}

fn over(store: Arc<dyn Store>, remote: &Arc<Scripted>) -> larder::Builder {
    let remote: Arc<dyn Provider> = Arc::<Scripted>::clone(remote);
    let backoff = Duration::from_millis(1);
    Repository::builder()
        .store(store)
        .remote(remote)
        .model::<Note>()
        .model::<User>()
        .outbox(larder::OutboxSettings::new().backoff(backoff, backoff))
}

/// Each write is sent as a mutation of its own.
fn stepwise() -> larder::OutboxSettings {
    larder::OutboxSettings::new().without_coalescing()
}

async fn scripted() -> (Arc<Scripted>, Repository) {
    let remote = Scripted::new().await;
    let repo = over(memory().await, &remote).build().await.unwrap();
    (remote, repo)
}

// ---- reading ----

// Rules: r-absence, s-delete
#[tokio::test]
async fn a_filter_that_the_remote_does_not_claim_deletes_nothing_else() {
    let (remote, repo) = scripted().await;
    for (id, stars) in [("1", 1), ("2", 2)] {
        remote.elsewhere(Operation::Insert, note(id, "theirs", stars)).await;
    }
    repo.sync().await.unwrap();
    // It leaves some rows out, and says rightly that it has not done all of the filter.
    remote.retouch(|_, _, page| Page { done: Done::default(), ..page });
    assert_eq!(repo.reading(ReadPolicy::RemoteOnly).get(Note::STARS.eq(1)).await.unwrap().len(), 1);
    assert_eq!(local(&repo).await, ["1", "2"]);
}

#[tokio::test]
async fn a_window_that_does_not_begin_at_the_beginning_is_answered() {
    let (remote, repo) = scripted().await;
    for id in ["1", "2", "3", "4", "5"] {
        remote.elsewhere(Operation::Insert, note(id, "theirs", 0)).await;
    }
    let window = || Select::<Note>::all().offset(3).limit(1);
    for policy in [ReadPolicy::LocalFirst, ReadPolicy::RemoteOnly] {
        let rows = repo.reading(policy).get(window()).await.unwrap();
        let ids: Vec<_> = rows.iter().map(|note| note.id.as_str()).collect();
        assert_eq!((ids, rows.is_complete()), (vec!["4"], true), "{policy:?}");
    }
}

// Rules: r-absence
#[tokio::test]
async fn a_row_that_is_absent_from_one_filter_may_be_missing_from_others() {
    let (remote, repo) = scripted().await;
    remote.elsewhere(Operation::Insert, note("1", "text", 5)).await;
    assert_eq!(repo.get(Note::TEXT.eq("text")).await.unwrap().len(), 1);
    remote.elsewhere(Operation::Update, note("1", "text", 1)).await;
    assert!(repo.get(Note::STARS.gt(3)).await.unwrap().is_empty());
    assert_eq!(repo.get(Note::TEXT.eq("text")).await.unwrap().len(), 1, "the remote has had it all the time");
}

#[tokio::test]
async fn what_was_deleted_while_a_page_was_on_its_way_does_not_come_back() {
    let (remote, repo) = scripted().await;
    repo.upsert(&note("1", "mine", 0)).await.unwrap().accepted().await.unwrap();
    remote.gets.forget_permits(OPEN);
    let pull = tokio::spawn(repo.sync().into_future());
    // The page is made now, with the row in it.
    rest().await;
    repo.delete::<Note>("1").await.unwrap().accepted().await.unwrap();
    remote.gets.add_permits(OPEN);
    soon(pull).await.unwrap().unwrap();
    assert!(local(&repo).await.is_empty());
}

// Rules: s-wipe
#[tokio::test]
async fn what_was_asked_for_before_a_wipe_does_not_come_in_after_it() {
    let (remote, repo) = scripted().await;
    remote.elsewhere(Operation::Insert, note("1", "the former user's", 0)).await;
    remote.gets.forget_permits(OPEN);
    let pull = tokio::spawn(repo.sync().into_future());
    rest().await;
    repo.wipe().await.unwrap();
    remote.gets.add_permits(OPEN);
    assert_eq!(soon(pull).await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(local(&repo).await.is_empty());
    assert!(!repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap().is_complete());
}

#[tokio::test]
async fn pages_that_go_in_a_circle_are_an_error() {
    let (remote, repo) = scripted().await;
    remote.elsewhere(Operation::Insert, note("1", "theirs", 0)).await;
    remote.retouch(|_, _, page| Page { next: Some(PageToken("again".into())), ..page });
    assert_eq!(soon(repo.sync().into_future()).await.unwrap_err().kind(), ErrorKind::Transport);
}

#[tokio::test]
async fn a_key_twice_in_a_page_is_one_row_and_the_later_one() {
    let (remote, repo) = scripted().await;
    remote.elsewhere(Operation::Insert, note("1", "first", 0)).await;
    remote.retouch(|_, _, mut page| {
        if let Some(mut twice) = page.rows.first().cloned() {
            twice.row = Arc::new(note("1", "second", 0));
            page.rows.push(twice);
        }
        page
    });
    assert_eq!(repo.sync().await.unwrap().changed, 1);
    assert_eq!(repo.find::<Note>("1").await.unwrap().unwrap().text, "second");
}

// Rules: r-single-flight
#[tokio::test]
async fn a_fetch_that_nobody_waits_for_any_more_is_not_joined_later() {
    let (remote, repo) = scripted().await;
    let repo = repo.reading(ReadPolicy::RemoteOnly);
    remote.gets.forget_permits(OPEN);
    let given_up = tokio::time::timeout(Duration::from_millis(10), repo.get(Select::<Note>::all())).await;
    assert!(given_up.is_err());
    remote.elsewhere(Operation::Insert, note("1", "since then", 0)).await;
    remote.gets.add_permits(OPEN);
    assert_eq!(soon(repo.get(Select::<Note>::all())).await.unwrap().len(), 1);
}

// Rules: r-watch
#[tokio::test]
async fn a_watch_shows_what_changes_here_while_the_remote_thinks() {
    let (remote, repo) = scripted().await;
    remote.gets.forget_permits(OPEN);
    let mut live = repo.watch(Select::<Note>::all()).unwrap();
    assert_eq!(live.next().await.unwrap().unwrap().len(), 0);
    let _ = repo.upsert(&note("1", "mine", 0)).await.unwrap();
    assert_eq!(soon(live.next()).await.unwrap().unwrap().len(), 1);
}

// Rules: w-transaction
#[tokio::test]
async fn a_transaction_that_only_reads_sees_one_state() {
    let (_, repo) = scripted().await;
    for id in ["a", "b"] {
        let _ = repo.upsert(&note(id, "", 0)).await.unwrap();
    }
    let writer = repo.clone();
    let writes = tokio::spawn(async move {
        for stars in 1..200 {
            let both = [note("a", "", stars), note("b", "", stars)];
            writer.upsert_many(&both).await.unwrap();
        }
    });
    while !writes.is_finished() {
        let read = repo.transaction(|tx| {
            let a = tx.find::<Note>("a")?.unwrap().stars;
            std::thread::yield_now();
            Ok((a, tx.find::<Note>("b")?.unwrap().stars))
        });
        let (a, b) = read.await.unwrap();
        assert_eq!(a, b);
        tokio::task::yield_now().await;
    }
}

// ---- writing ----

#[tokio::test]
async fn an_answer_with_another_rows_key_is_left_out() {
    for policy in [WritePolicy::OptimisticLocal, WritePolicy::RequireRemote] {
        let (remote, repo) = scripted().await;
        remote.reword(|mut applied| {
            applied.row.as_mut().unwrap().row = Arc::new(note("other", "not yours", 7));
            applied
        });
        let stored = repo.writing(policy).upsert(&note("1", "mine", 0)).await.unwrap();
        assert_eq!(*soon(stored.accepted()).await.unwrap(), note("1", "mine", 0));
        assert_eq!(local(&repo).await, ["1"]);
        soon(settled(&repo)).await;
    }
}

// Rules: w-merge, w-require-remote
#[tokio::test]
async fn what_the_remote_makes_of_a_write_is_here_whatever_the_policy() {
    for policy in [WritePolicy::OptimisticLocal, WritePolicy::RequireRemote] {
        let (remote, repo) = scripted().await;
        remote.reword(|mut applied| {
            applied.row.as_mut().unwrap().row = Arc::new(note("1", "as it is there", 7));
            applied
        });
        let stored = repo.writing(policy).upsert(&note("1", "mine", 0)).await.unwrap();
        assert_eq!(*soon(stored.accepted()).await.unwrap(), note("1", "as it is there", 7));
        let here = repo.reading(ReadPolicy::LocalOnly).find::<Note>("1").await.unwrap().unwrap();
        assert_eq!(*here, note("1", "as it is there", 7));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_a_local_constraint_does_not_stop_its_row() {
    let (remote, repo) = scripted().await;
    let user = |id: &str, email: &str| User { id: id.into(), email: email.into() };
    repo.upsert(&user("1", "a@b")).await.unwrap().accepted().await.unwrap();
    remote.reword(move |mut applied| {
        applied.row.as_mut().unwrap().row = Arc::new(user("2", "a@b"));
        applied
    });
    let stored = repo.upsert(&user("2", "c@d")).await.unwrap();
    assert_eq!(soon(stored.accepted()).await.unwrap().email, "c@d");
}

// Rules: s-pending
#[tokio::test]
async fn a_write_that_was_queued_while_another_went_through_is_not_overwritten() {
    let (remote, repo) = scripted().await;
    repo.upsert(&note("1", "base", 0)).await.unwrap().accepted().await.unwrap();
    remote.applies.forget_permits(OPEN);
    let through = repo.writing(WritePolicy::RequireRemote);
    let through = tokio::spawn(async move { through.upsert(&note("1", "through", 0)).await.map(drop) });
    rest().await;
    repo.outbox().pause();
    let _ = repo.upsert(&note("1", "queued", 0)).await.unwrap();
    remote.applies.add_permits(OPEN);
    soon(through).await.unwrap().unwrap();
    assert_eq!(repo.find::<Note>("1").await.unwrap().unwrap().text, "queued");
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Pending);
}

#[tokio::test]
async fn what_the_remote_has_stays_known_to_it_whatever_is_written_here_alone() {
    let (remote, repo) = scripted().await;
    let alone = repo.writing(WritePolicy::LocalOnly);
    repo.upsert(&note("1", "theirs", 0)).await.unwrap().accepted().await.unwrap();
    let _ = alone.upsert(&note("1", "mine alone", 0)).await.unwrap();
    repo.upsert(&note("1", "for all", 0)).await.unwrap().accepted().await.unwrap();
    let _ = alone.upsert(&note("1", "mine again", 0)).await.unwrap();
    repo.delete::<Note>("1").await.unwrap().accepted().await.unwrap();
    let seen: Vec<_> = remote.seen().into_iter().map(|(operation, _)| operation).collect();
    assert_eq!(seen, [Operation::Insert, Operation::Update, Operation::Delete]);
}

#[tokio::test]
async fn a_draft_is_published_as_it_is_and_stays_a_draft_if_that_is_given_up() {
    let net = Switches::new();
    let repo = support::repo(&net).await;
    let alone = repo.writing(WritePolicy::LocalOnly);
    let _ = alone.upsert(&note("draft", "mine", 0)).await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    repo.upsert(&note("draft", "mine", 0)).await.unwrap().accepted().await.unwrap_err();
    repo.outbox().discard(parked(&repo, 1).await[0].seq).await.unwrap();
    assert_eq!(repo.sync_state::<Note>("draft").await.unwrap().unwrap().state, RowState::Local);
    repo.sync().await.unwrap();
    assert!(repo.find::<Note>("draft").await.unwrap().is_some());
    repo.upsert(&note("draft", "mine", 0)).await.unwrap().accepted().await.unwrap();
    assert_eq!(net.seen(), ["insert draft"]);
}

#[tokio::test]
async fn what_is_written_here_alone_over_a_pending_delete_stays() {
    let (remote, repo) = scripted().await;
    repo.upsert(&note("1", "theirs", 0)).await.unwrap().accepted().await.unwrap();
    remote.applies.forget_permits(OPEN);
    let deleted = repo.delete::<Note>("1").await.unwrap();
    let _ = repo.writing(WritePolicy::LocalOnly).upsert(&note("1", "mine alone", 0)).await.unwrap();
    remote.applies.add_permits(OPEN);
    soon(deleted.accepted()).await.unwrap();
    assert_eq!(local(&repo).await, ["1"]);
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Local);
}

#[tokio::test]
async fn a_retry_of_what_is_on_its_way_sends_it_once() {
    let (remote, repo) = scripted().await;
    remote.applies.forget_permits(OPEN);
    let stored = repo.upsert(&note("1", "once", 0)).await.unwrap();
    while remote.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let seq = repo.outbox().list(0, 1).await.unwrap()[0].seq;
    repo.outbox().retry(seq).await.unwrap();
    assert_eq!(repo.outbox().discard(seq).await.unwrap_err().kind(), ErrorKind::Conflict);
    tokio::time::sleep(Duration::from_millis(10)).await;
    remote.applies.add_permits(OPEN);
    soon(stored.accepted()).await.unwrap();
    assert_eq!(remote.seen().len(), 1);
}

// ---- the end, and damage ----

#[tokio::test]
async fn nobody_waits_for_a_closed_repository() {
    let net = Switches::new();
    net.offline(true);
    let repo = support::repo(&net).await;
    let before = repo.upsert(&note("1", "unsent", 0)).await.unwrap();
    let deleted = repo.delete::<Note>("2").await.unwrap();
    let other = repo.clone();
    soon(repo.close()).await;
    let after = other.upsert(&note("3", "nobody sends it", 0)).await.unwrap();
    for stored in [before, after] {
        assert_eq!(soon(stored.accepted()).await.unwrap_err().kind(), ErrorKind::Cancelled);
    }
    assert_eq!(soon(deleted.accepted()).await.unwrap_err().kind(), ErrorKind::Cancelled);
    soon(other.outbox().drain()).await;
    soon(other.close()).await;

    let repo = support::repo(&net).await;
    let deleted = repo.delete::<Note>("2").await.unwrap();
    drop(repo);
    assert_eq!(soon(deleted.accepted()).await.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn a_store_that_fails_for_ever_keeps_nobody_from_closing_and_loses_nothing() {
    let (disk, remote) = (memory().await, Scripted::new().await);
    let (store, faults) = Faulty::over(&disk, 1);
    let repo = over(store, &remote).build().await.unwrap();
    remote.applies.forget_permits(OPEN);
    let _ = repo.upsert(&note("1", "once", 0)).await.unwrap();
    while remote.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    faults.failing.store(100, Ordering::SeqCst);
    remote.applies.add_permits(OPEN);
    tokio::time::sleep(Duration::from_millis(20)).await;
    soon(repo.close()).await;

    let repo = over(disk, &remote).build().await.unwrap();
    soon(settled(&repo)).await;
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Synced);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_stops_no_other_row_and_not_what_came_before_it() {
    let (disk, remote) = (memory().await, Scripted::new().await);
    let (store, faults) = Faulty::over(&disk, 1);
    let repo = over(store, &remote).outbox(stepwise()).paused().build().await.unwrap();
    let first = repo.upsert(&note("1", "first", 0)).await.unwrap();
    let _ = repo.upsert(&note("1", "damaged", 0)).await.unwrap();
    let other = repo.upsert(&note("2", "other", 0)).await.unwrap();
    soon(repo.outbox().drain()).await;
    let seq = repo.outbox().list(0, 10).await.unwrap()[1].seq;
    faults.unreadable.lock().unwrap().insert(seq);
    repo.outbox().resume();
    soon(first.accepted()).await.unwrap();
    soon(other.accepted()).await.unwrap();
    assert_eq!(
        repo.find::<Note>("1").await.unwrap().unwrap().text,
        "damaged",
        "the row is what was written last"
    );
    soon(repo.outbox().drain()).await;
    soon(repo.close()).await;
}

#[tokio::test]
async fn what_is_written_right_after_a_wipe_is_sent() {
    let (remote, repo) = scripted().await;
    for round in 0..50_u32 {
        let (wiping, writing) = (repo.clone(), repo.clone());
        let wipe = tokio::spawn(async move { wiping.wipe().await });
        let write =
            tokio::spawn(async move { writing.upsert(&note(&round.to_string(), "text", 0)).await.map(drop) });
        wipe.await.unwrap().unwrap();
        write.await.unwrap().unwrap();
        let _ = repo.upsert(&note(&format!("last {round}"), "text", 0)).await.unwrap();
    }
    soon(settled(&repo)).await;
    let last = |(_, key): &(Operation, String)| key.contains("last 49");
    assert_eq!(remote.seen().iter().filter(|seen| last(seen)).count(), 1);
    assert!(repo.status().is_settled());
}

#[tokio::test]
async fn thousands_of_entries_drain_in_linear_time() {
    for one_row in [false, true] {
        let (disk, remote) = (memory().await, Scripted::new().await);
        let (store, faults) = Faulty::over(&disk, 1);
        let repo = over(store, &remote).outbox(stepwise()).paused().build().await.unwrap();
        const COUNT: u64 = 5_000;
        if one_row {
            for stars in 0..COUNT {
                let _ = repo.upsert(&note("1", "text", stars.cast_signed())).await.unwrap();
            }
        } else {
            let notes: Vec<_> = (0..COUNT).map(|nth| note(&format!("{nth:05}"), "text", 0)).collect();
            repo.upsert_many(&notes).await.unwrap();
        }
        let started = Instant::now();
        repo.outbox().resume();
        let drained = async {
            while !repo.safe_to_wipe().await.unwrap().nothing() {
                repo.outbox().drain().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), drained).await.expect("it drains in time");
        let reads = faults.entry_reads.load(Ordering::SeqCst);
        assert!(reads < COUNT * 8, "{reads} reads of entries, one row: {one_row}, {:?}", started.elapsed());
        assert_eq!(remote.seen().len() as u64, COUNT);
    }
}
