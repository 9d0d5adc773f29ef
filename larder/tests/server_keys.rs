//! Keys that the server gives: a temporary one until then, and exchanged with the answer.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::core::{
    Applied, Capabilities, Context, Delta, KeyKind, Mutation, OpenProvider, Opening, Page, Plan, Presence,
    Provider, Query, Realtime, Record, Requests, Schema, Sent, Value, async_trait,
};
use larder::{
    Error, ErrorKind, Idempotency, Key, Memory, Model, Operation, ReadPolicy, Redb, Repository, Result,
    RowState, Select, Uuid, WritePolicy,
};
use rstest::rstest;
use support::settled;

#[derive(Model, Clone, Debug, PartialEq)]
struct Ticket {
    #[model(key(server))]
    number: i64,
    #[model(unique)]
    title: String,
    votes: u32,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Article {
    #[model(key(server))]
    slug: String,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Note {
    #[model(key)]
    id: Uuid,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Label {
    #[model(key)]
    name: String,
}

/// Counts up and gives each new row the next number, as servers do.
#[derive(Clone, Debug, Default)]
struct Counting {
    offline: Arc<AtomicBool>,
    next: Arc<AtomicI64>,
    seen: Arc<Mutex<Vec<String>>>,
    inner: Option<Arc<dyn Provider>>,
    /// Says nothing of what it has made.
    mute: Arc<AtomicBool>,
    /// Loses this many replies.
    lose: Arc<AtomicI64>,
}

#[async_trait]
impl OpenProvider for Counting {
    async fn open(mut self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Provider>> {
        self.inner = Some(OpenProvider::open(Box::new(Memory::new()), opening).await?);
        self.next.store(17, Ordering::Relaxed);
        Ok(Arc::new(*self))
    }
}

impl Counting {
    fn inner(&self) -> &dyn Provider {
        self.inner.as_deref().unwrap()
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl Provider for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }

    fn idempotency(&self, _: &'static Schema, operation: Operation) -> Idempotency {
        if operation == Operation::Insert { Idempotency::Probe } else { Idempotency::Idempotent }
    }

    fn explain(&self, schema: &'static Schema, query: &Query) -> Result<Plan> {
        self.inner().explain(schema, query)
    }

    async fn get(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Page> {
        if self.offline.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Offline, "the switch is off"));
        }
        self.inner().get(cx, schema, query).await
    }

    async fn exists(&self, cx: &Context, schema: &'static Schema, query: &Query) -> Result<Presence> {
        self.inner().exists(cx, schema, query).await
    }

    async fn apply(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        if self.offline.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Offline, "the switch is off").with_sent(Sent::Never));
        }
        let mut mutation = mutation.clone();
        if mutation.operation == Operation::Insert && mutation.schema.key.kind == KeyKind::Server {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let mut record = Record::copy(mutation.schema, &**mutation.row.as_ref().unwrap())?;
            record.set(0, Value::Int(number.into()));
            mutation.row = Some(Arc::new(record));
            mutation.key = Key::from(number);
        }
        self.seen.lock().unwrap().push(format!("{} {}", mutation.operation.verb(), mutation.key));
        let mut applied = self.inner().apply(cx, &mutation).await?;
        if self.lose.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Err(Error::new(ErrorKind::Transport, "the reply was lost").with_sent(Sent::Maybe));
        }
        if self.mute.load(Ordering::Relaxed) {
            applied.row = None;
        }
        Ok(applied)
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

async fn memory(server: &Counting) -> Repository {
    Repository::builder()
        .store(Memory::new())
        .remote(server.clone())
        .model::<Ticket>()
        .model::<Article>()
        .model::<Note>()
        .model::<Label>()
        .outbox(larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20)))
        .build()
        .await
        .unwrap()
}

async fn ticket(repo: &Repository, title: &str) -> Ticket {
    Ticket { number: repo.new_key(Ticket::NUMBER).await.unwrap(), title: title.into(), votes: 0 }
}

async fn local(repo: &Repository) -> Vec<Ticket> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Ticket>::all()).await.unwrap();
    rows.iter().map(|row| (**row).clone()).collect()
}

// Rules: m-key-server, m-key-client
#[tokio::test]
async fn new_keys_are_as_their_model_says() {
    let repo = memory(&Counting::default()).await;
    let numbers = [repo.new_key(Ticket::NUMBER).await.unwrap(), repo.new_key(Ticket::NUMBER).await.unwrap()];
    assert!(numbers[0] < 0 && numbers[1] < 0 && numbers[0] != numbers[1]);
    assert!(repo.new_key(Article::SLUG).await.unwrap().starts_with("new-"));
    assert_eq!(repo.new_key(Note::ID).await.unwrap().get_version_num(), 7);
    let natural = repo.new_key(Label::NAME).await.unwrap_err();
    assert_eq!(
        (natural.kind(), natural.message()),
        (ErrorKind::Invalid, "the keys of the model come with its data")
    );
    let other = repo.new_key(Ticket::TITLE).await.unwrap_err();
    assert_eq!(
        (other.kind(), other.message()),
        (ErrorKind::Invalid, "the field is not the key of the model")
    );
}

// Rules: m-key-server
#[tokio::test]
async fn the_answer_brings_the_key_and_the_temporary_one_is_gone() {
    let server = Counting::default();
    let repo = memory(&server).await;
    let stored = repo.upsert(&ticket(&repo, "leaks").await).await.unwrap();
    let temporary = stored.number;
    let accepted = stored.accepted().await.unwrap();
    assert_eq!((accepted.number, accepted.title.as_str()), (17, "leaks"));
    assert_eq!(local(&repo).await, [(*accepted).clone()]);
    assert_eq!(
        repo.find::<Ticket>(temporary).await.unwrap(),
        Some(accepted.clone()),
        "who holds it finds the row"
    );
    assert_eq!(repo.sync_state::<Ticket>(17).await.unwrap().unwrap().state, RowState::Synced);
    let edited = repo.update(&accepted, |ticket| ticket.votes = 3).await.unwrap();
    assert_eq!(edited.accepted().await.unwrap().votes, 3);
    assert_eq!(server.seen(), ["insert 17", "update 17"]);
}

// Rules: s-wipe
#[tokio::test]
async fn after_a_wipe_it_is_not_known_which_key_a_row_once_had() {
    let server = Counting::default();
    let repo = memory(&server).await;
    let stored = repo.upsert(&ticket(&repo, "leaks").await).await.unwrap();
    let temporary = stored.number;
    stored.accepted().await.unwrap();
    repo.wipe().await.unwrap();
    assert_eq!(repo.find::<Ticket>(temporary).await.unwrap(), None);
    assert!(repo.find::<Ticket>(17).await.unwrap().is_some(), "the remote has it under its own");
}

// Rules: m-key-server
#[rstest]
#[case::memory(false)]
#[case::redb(true)]
#[tokio::test]
async fn what_is_queued_behind_a_new_row_goes_to_the_key_that_it_got(#[case] durable: bool) {
    let server = Counting::default();
    let folder = tempfile::tempdir().unwrap();
    let builder = Repository::builder().remote(server.clone()).model::<Ticket>();
    let builder = builder
        .outbox(larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20)));
    let builder = if durable {
        builder.store(Redb::at(folder.path().join("keys.redb")))
    } else {
        builder.store(Memory::new())
    };
    let repo = builder.build().await.unwrap();
    server.offline.store(true, Ordering::Relaxed);
    let first = repo.upsert(&ticket(&repo, "leaks").await).await.unwrap();
    let other = repo.upsert(&ticket(&repo, "drips").await).await.unwrap();
    let gone = repo.upsert(&ticket(&repo, "never mind").await).await.unwrap().into_row();
    for votes in 1..4 {
        let _ = repo.update(first.row(), |ticket| ticket.votes = votes).await.unwrap();
    }
    let _ = repo.update(other.row(), |ticket| ticket.title = "drops".into()).await.unwrap();
    let _ = repo.delete(&*gone).await.unwrap();
    server.offline.store(false, Ordering::Relaxed);
    settled(&repo).await;
    let mut rows = local(&repo).await;
    rows.sort_by(|a, b| a.title.cmp(&b.title));
    let shown: Vec<_> = rows.iter().map(|row| (row.title.as_str(), row.votes, row.number >= 17)).collect();
    assert_eq!(shown, [("drops", 0, true), ("leaks", 3, true)]);
    let mut there = repo.reading(ReadPolicy::RemoteOnly).get(Select::<Ticket>::all()).await.unwrap().to_vec();
    there.sort_by(|a, b| a.title.cmp(&b.title));
    let there: Vec<_> = there.iter().map(|row| (**row).clone()).collect();
    assert_eq!(there, rows, "here and there are the same");
    assert!(server.seen().iter().all(|line| !line.contains('-')), "{:?}", server.seen());
}

// Rules: m-key-server
#[tokio::test]
async fn a_write_to_the_new_key_does_not_overtake_what_was_queued_for_the_old_one() {
    let server = Counting::default();
    let repo = memory(&server).await;
    server.offline.store(true, Ordering::Relaxed);
    let stored = repo.upsert(&ticket(&repo, "leaks").await).await.unwrap();
    for votes in 1..20 {
        let _ = repo.update(stored.row(), |ticket| ticket.votes = votes).await.unwrap();
    }
    server.offline.store(false, Ordering::Relaxed);
    let accepted = stored.accepted().await.unwrap();
    assert_eq!(accepted.votes, 19, "what was written since is on top of the answer");
    let last = repo.update(&accepted, |ticket| ticket.votes = 100).await.unwrap();
    assert_eq!(last.accepted().await.unwrap().votes, 100);
    settled(&repo).await;
    assert_eq!(local(&repo).await[0].votes, 100);
    let there = repo.reading(ReadPolicy::RemoteOnly).find::<Ticket>(17).await.unwrap().unwrap();
    assert_eq!(there.votes, 100);
}

// Rules: m-key-server
#[tokio::test]
async fn the_row_may_come_by_a_pull_before_the_answer_is_noted() {
    let server = Counting::default();
    let repo = memory(&server).await;
    repo.outbox().pause();
    let stored = repo.upsert(&ticket(&repo, "leaks").await).await.unwrap();
    // As a pull would leave it that was faster than the answer.
    server.next.store(40, Ordering::Relaxed);
    let row = Ticket { number: 40, title: "pulled".into(), votes: 1 };
    let _ = repo.writing(WritePolicy::LocalOnly).upsert(&row).await.unwrap();
    repo.outbox().resume();
    let accepted = stored.accepted().await.unwrap();
    assert_eq!((accepted.number, accepted.title.as_str()), (40, "leaks"));
    assert_eq!(local(&repo).await.len(), 1);
}

// Rules: m-key-server
#[tokio::test]
async fn under_require_remote_the_row_is_stored_under_the_key_that_it_got() {
    let server = Counting::default();
    let repo = memory(&server).await;
    let online = repo.writing(WritePolicy::RequireRemote);
    let stored = online.upsert(&ticket(&repo, "leaks").await).await.unwrap();
    assert_eq!(stored.number, 17);
    assert_eq!(local(&repo).await.len(), 1);
    let kept = repo.writing(WritePolicy::LocalOnly).upsert(&ticket(&repo, "kept").await).await.unwrap();
    let published = online.upsert(&Ticket { votes: 1, ..(*kept).clone() }).await.unwrap();
    assert_eq!((published.number, published.votes), (18, 1));
    let numbers: Vec<_> = local(&repo).await.iter().map(|ticket| ticket.number).collect();
    assert_eq!(numbers, [17, 18], "the temporary key is gone");
}

// Rules: m-key-server
#[tokio::test]
async fn an_answer_without_a_key_leaves_the_row_where_it_is() {
    let server = Counting::default();
    let repo = memory(&server).await;
    server.mute.store(true, Ordering::Relaxed);
    let stored = repo.upsert(&ticket(&repo, "leaks").await).await.unwrap();
    let temporary = stored.number;
    assert_eq!(stored.accepted().await.unwrap().number, temporary);
    assert_eq!(local(&repo).await.len(), 1);
}

// Rules: m-key-server
#[tokio::test]
async fn a_create_of_unknown_outcome_is_never_asked_about_by_its_temporary_key() {
    let server = Counting::default();
    let repo = memory(&server).await;
    server.lose.store(1, Ordering::Relaxed);
    let _ = repo.upsert(&ticket(&repo, "leaks").await).await.unwrap();
    let parked = support::parked(&repo, 1).await;
    assert_eq!(server.seen(), ["insert 17"], "it was sent once");
    assert_eq!(parked[0].parked, Some(larder::ParkReason::Uncertain));
}
