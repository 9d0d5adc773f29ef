//! Writes of one row that have not been sent become one mutation.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

#[path = "exchange/club.rs"]
mod club;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use larder::core::Query;
use larder::{ErrorKind, Memory, Model, One, Operation, OutboxSettings, Redb, Repository, WritePolicy};
use proptest::prelude::*;
use support::{Note, Switches, User, note, settled};

use club::{Member, Server, Team, at_peace, local, member, seat, team};

fn settings() -> OutboxSettings {
    OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(5))
}

async fn paused(net: &Arc<Switches>) -> Repository {
    support::builder(net).outbox(settings()).paused().build().await.unwrap()
}

/// What is queued, as "verb key changed fields".
async fn queued(repo: &Repository) -> Vec<String> {
    let queued = repo.outbox().list(0, 100).await.unwrap();
    let shown = queued.iter().map(|one| {
        let fields = if one.operation == Operation::Update { one.changed.join("+") } else { String::new() };
        format!("{} {} {fields}", one.operation.verb(), one.key).trim_end().to_owned()
    });
    shown.collect()
}

/// Of what is queued, what is done.
fn verb(queued: &str) -> &str {
    queued.split(' ').next().unwrap_or_default()
}

// Rules: o-coalesce
#[tokio::test]
async fn a_creation_and_later_changes_are_one_creation() {
    let net = Switches::new();
    let repo = paused(&net).await;
    let first = repo.upsert(&note("a", "one", 0)).await.unwrap();
    let second = repo.upsert(&note("a", "two", 0)).await.unwrap();
    let third = repo.update(first.row(), |note| note.stars = 3).await.unwrap();
    assert_eq!(queued(&repo).await, ["insert a"]);
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(net.seen(), ["insert a"]);
    for stored in [first, second, third] {
        let row = stored.accepted().await.unwrap();
        assert_eq!((row.text.as_str(), row.stars), ("two", 3), "they have one fate");
    }
}

// Rules: o-coalesce
#[tokio::test]
async fn changes_are_one_change_from_the_oldest_base() {
    let net = Switches::new();
    let repo = paused(&net).await;
    let stored = repo.upsert(&note("a", "one", 0)).await.unwrap();
    repo.outbox().resume();
    let row = stored.accepted().await.unwrap();
    repo.outbox().pause();
    let _ = repo.update(&row, |note| note.text = "two".into()).await.unwrap();
    let _ = repo.update(&row, |note| note.stars = 1).await.unwrap();
    let _ = repo.update(&row, |note| note.text = "three".into()).await.unwrap();
    let all = repo.outbox().list(0, 9).await.unwrap();
    assert_eq!(queued(&repo).await, ["update a text+stars"]);
    repo.outbox().discard(all[0].seq).await.unwrap();
    assert_eq!(
        *repo.find::<Note>("a").await.unwrap().unwrap(),
        note("a", "one", 0),
        "it goes back to the base"
    );
    let _ = repo.update(&row, |note| note.text = "two".into()).await.unwrap();
    let deleted = repo.delete::<Note>("a").await.unwrap();
    assert_eq!(queued(&repo).await, ["delete a"]);
    repo.outbox().resume();
    deleted.accepted().await.unwrap();
    assert_eq!(net.seen(), ["insert a", "delete a"]);
}

// Rules: o-coalesce-cancel
#[tokio::test]
async fn a_creation_and_a_deletion_are_nothing() {
    let net = Switches::new();
    let repo = paused(&net).await;
    let stored = repo.upsert(&note("a", "one", 0)).await.unwrap();
    let deleted = repo.delete::<Note>("a").await.unwrap();
    assert_eq!((deleted.count(), queued(&repo).await.len()), (1, 0));
    deleted.accepted().await.unwrap();
    let fate = support::soon(stored.accepted()).await.unwrap_err();
    assert_eq!(fate.kind(), ErrorKind::NotFound, "{fate}");
    assert!(repo.find::<Note>("a").await.unwrap().is_none());
    let again = repo.upsert(&note("a", "again", 0)).await.unwrap();
    repo.outbox().resume();
    again.accepted().await.unwrap();
    assert_eq!(net.seen(), ["insert a"]);
    support::drained(&repo).await;
    assert_eq!(repo.status().pending, 0, "the schedule has heard of it");
}

// Rules: o-coalesce-sent
#[tokio::test]
async fn what_may_have_been_sent_is_never_altered() {
    let net = Switches::new();
    let repo = support::builder(&net).outbox(settings()).build().await.unwrap();
    net.next(support::Turn::LoseReply);
    net.hang(true);
    let first = repo.upsert(&note("a", "one", 0)).await.unwrap();
    while net.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let _ = repo.update(first.row(), |note| note.text = "two".into()).await.unwrap();
    let _ = repo.update(first.row(), |note| note.text = "three".into()).await.unwrap();
    assert_eq!(queued(&repo).await, ["insert a", "update a text"]);
    net.hang(false);
    settled(&repo).await;
    let sent: Vec<_> = net.applied.lock().unwrap().iter().map(|sent| sent.id).collect();
    let texts: Vec<String> = net
        .applied
        .lock()
        .unwrap()
        .iter()
        .map(|sent| Note::from_row(&**sent.row.as_ref().unwrap()).unwrap().text)
        .collect();
    for (id, text) in sent.iter().zip(&texts) {
        let same = sent.iter().zip(&texts).filter(|(other, _)| *other == id);
        assert!(same.clone().all(|(_, other)| other == text), "one key, one payload: {texts:?}");
    }
    assert_eq!(texts.last().map(String::as_str), Some("three"));
}

// Rules: o-coalesce-apart
#[tokio::test]
async fn what_has_to_stay_apart_stays_apart() {
    let net = Switches::new();
    let repo = paused(&net).await;
    // A unique value: another row may have had it in between.
    let row = User { id: "a".into(), email: "one".into() };
    let _ = repo.upsert(&row).await.unwrap();
    let _ = repo.upsert(&User { email: "two".into(), ..row }).await.unwrap();
    assert_eq!(queued(&repo).await, ["insert a", "update a email"]);
    // What is told to nobody.
    let _ = repo.upsert(&note("b", "one", 0)).await.unwrap();
    let _ = repo.writing(WritePolicy::LocalOnly).upsert(&note("b", "here", 0)).await.unwrap();
    assert_eq!(queued(&repo).await.len(), 3);
    // If that is asked for.
    let repo = support::stepwise(&net).paused().build().await.unwrap();
    for text in ["one", "two", "three"] {
        let _ = repo.upsert(&note("c", text, 0)).await.unwrap();
    }
    assert_eq!(queued(&repo).await, ["insert c", "update c text", "update c text"]);
}

// Rules: o-coalesce-apart
#[tokio::test]
async fn a_row_does_not_go_before_what_it_refers_to() {
    let server = Server::default();
    let repo = club::builder(&server).outbox(settings()).store(Memory::new()).paused().build().await.unwrap();
    let ada = repo.upsert(&member(&repo, "Ada", None).await).await.unwrap();
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap();
    // The team was created after the member.
    let _ = repo.update(ada.row(), |ada| ada.team = Some(One::to(blue.number))).await.unwrap();
    let own = repo.update(blue.row(), |blue| blue.parent = Some(One::to(blue.number))).await.unwrap();
    let _ = repo.update(own.row(), |blue| blue.name = "azure".into()).await.unwrap();
    let verbs: Vec<_> = repo.outbox().list(0, 9).await.unwrap().iter().map(|one| one.operation).collect();
    assert_eq!(verbs, [Operation::Insert, Operation::Insert, Operation::Update, Operation::Update]);
    // A creation that is referred to is not taken back, and its deletion waits for what refers to it.
    let red = repo.upsert(&team(&repo, "red", None).await).await.unwrap();
    let bob = repo.upsert(&member(&repo, "Bob", Some(red.number)).await).await.unwrap();
    let _ = repo.upsert(&seat(red.number, bob.number)).await.unwrap();
    let _ = repo.update(bob.row(), |bob| bob.team = None).await.unwrap();
    // The seat falls with the team.
    let _ = repo.delete(&**red.row()).await.unwrap();
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(local::<Team>(&repo).await.len(), 1);
    assert_eq!(local::<Member>(&repo).await.len(), 2);
    assert!(server.seen().iter().all(|line| !line.contains("refused")), "{:?}", server.seen());
}

// Rules: o-coalesce-apart
#[tokio::test]
async fn a_creation_that_is_named_by_what_is_queued_is_not_taken_back() {
    let server = Server::default();
    let repo = club::builder(&server).outbox(settings()).store(Memory::new()).paused().build().await.unwrap();
    let red = repo.upsert(&team(&repo, "red", None).await).await.unwrap();
    let bob = repo.upsert(&member(&repo, "Bob", Some(red.number)).await).await.unwrap();
    let green = repo.upsert(&team(&repo, "green", None).await).await.unwrap();
    // He can't be created with a team that was created after him, so his creation goes on naming the red one.
    let _ = repo.update(bob.row(), |bob| bob.team = Some(One::to(green.number))).await.unwrap();
    let _ = repo.delete(&**red.row()).await.unwrap();
    let verbs: Vec<_> = repo.outbox().list(0, 9).await.unwrap().iter().map(|one| one.operation).collect();
    let expected =
        [Operation::Insert, Operation::Insert, Operation::Insert, Operation::Update, Operation::Delete];
    assert_eq!(verbs, expected);
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert!(server.seen().iter().all(|line| !line.contains("refused")), "{:?}", server.seen());
}

// Rules: o-coalesce-apart
#[tokio::test]
async fn a_row_does_not_go_before_what_the_same_transaction_creates() {
    let server = Server::default();
    let repo = club::builder(&server).outbox(settings()).store(Memory::new()).paused().build().await.unwrap();
    let ada = repo.upsert(&member(&repo, "Ada", None).await).await.unwrap();
    let blue = team(&repo, "blue", None).await;
    let joins = Member { team: Some(One::to(blue.number)), ..Member::clone(ada.row()) };
    repo.transaction(move |tx| {
        tx.upsert(&blue)?;
        tx.upsert(&joins)
    })
    .await
    .unwrap();
    assert_eq!(
        queued(&repo).await.iter().map(|one| verb(one)).collect::<Vec<_>>(),
        ["insert", "insert", "update"]
    );
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert!(server.seen().iter().all(|line| !line.contains("refused")), "{:?}", server.seen());
}

// Rules: o-coalesce-apart
#[tokio::test]
async fn a_deletion_does_not_go_before_what_stops_referring_to_its_row() {
    let server = Server::default();
    let repo = club::builder(&server).outbox(settings()).store(Memory::new()).build().await.unwrap();
    let red = repo.upsert(&team(&repo, "red", None).await).await.unwrap().accepted().await.unwrap();
    let bob = member(&repo, "Bob", Some(red.number)).await;
    let bob = repo.upsert(&bob).await.unwrap().accepted().await.unwrap();
    settled(&repo).await;
    repo.outbox().pause();
    let _ = repo.update(&red, |red| red.name = "crimson".into()).await.unwrap();
    let _ = repo.update(&bob, |bob| bob.team = None).await.unwrap();
    let _ = repo.delete(&*red).await.unwrap();
    assert_eq!(
        queued(&repo).await.iter().map(|one| verb(one)).collect::<Vec<_>>(),
        ["update", "update", "delete"]
    );
    repo.outbox().resume();
    settled(&repo).await;
    assert!(server.seen().iter().all(|line| !line.contains("refused")), "{:?}", server.seen());
}

// Rules: o-coalesce-apart
#[tokio::test]
async fn an_outbox_that_is_too_long_to_look_through_takes_nothing_back() {
    let server = Server::default();
    let repo = club::builder(&server).outbox(settings()).store(Memory::new()).paused().build().await.unwrap();
    for (others, left) in [(200, 0), (60, 2)] {
        for _ in 0..others {
            let _ = repo.upsert(&member(&repo, "one of many", None).await).await.unwrap();
        }
        let before = repo.outbox().len().await.unwrap();
        let red = repo.upsert(&team(&repo, "red", None).await).await.unwrap();
        let _ = repo.delete(&**red.row()).await.unwrap();
        assert_eq!(repo.outbox().len().await.unwrap() - before, left, "beside {before}");
    }
}

// Rules: o-coalesce-apart, o-coalesce-sent
#[tokio::test]
async fn what_comes_after_one_that_is_on_its_way_keeps_its_place() {
    let net = Switches::new();
    let repo = support::builder(&net).outbox(settings()).build().await.unwrap();
    let a = repo.upsert(&note("a", "one", 0)).await.unwrap().accepted().await.unwrap();
    net.hang(true);
    let _ = repo.update(&a, |note| note.text = "two".into()).await.unwrap();
    while net.seen().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let _ = repo.update(&a, |note| note.stars = 3).await.unwrap();
    let _ = repo.upsert(&note("b", "one", 0)).await.unwrap();
    let gone = repo.delete(&*a).await.unwrap();
    assert_eq!(queued(&repo).await, ["update a text", "update a stars", "insert b", "delete a"]);
    net.hang(false);
    gone.accepted().await.unwrap();
    settled(&repo).await;
    assert_eq!(net.notes().await, [("b".to_owned(), "one".to_owned())]);
}

// Rules: o-coalesce-apart, w-delete
#[tokio::test]
async fn a_creation_behind_a_deletion_that_is_on_its_way_is_not_taken_back() {
    let net = Switches::new();
    let repo = support::builder(&net).outbox(settings()).build().await.unwrap();
    let a = repo.upsert(&note("a", "one", 0)).await.unwrap().accepted().await.unwrap();
    net.hang(true);
    let _ = repo.delete(&*a).await.unwrap();
    while net.seen().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let _ = repo.upsert(&note("a", "again", 0)).await.unwrap();
    let gone = repo.delete::<Note>("a").await.unwrap();
    assert_eq!(queued(&repo).await, ["delete a", "insert a", "delete a"]);
    net.hang(false);
    gone.accepted().await.unwrap();
    settled(&repo).await;
    assert!(net.notes().await.is_empty() && support::local(&repo).await.is_empty());
}

// Rules: o-coalesce-apart, c-ask
#[tokio::test]
async fn what_waits_for_the_application_takes_no_write_in() {
    let net = Switches::new();
    let asks = |_: larder::Conflict<Note>| larder::Resolution::Ask;
    let repo = support::builder(&net).outbox(settings()).on_conflict(asks).build().await.unwrap();
    let a = repo.upsert(&note("a", "one", 0)).await.unwrap().accepted().await.unwrap();
    repo.outbox().pause();
    let _ = repo.update(&a, |note| note.text = "mine".into()).await.unwrap();
    net.elsewhere(note("a", "theirs", 0)).await;
    let _ = repo.sync().await.unwrap();
    let _ = repo.update(&a, |note| note.stars = 3).await.unwrap();
    assert_eq!(queued(&repo).await, ["update a text", "update a stars"]);
    let waits = repo.conflicts::<Note>().list().await.unwrap().remove(0);
    assert_eq!(waits.sides.mine, Some(note("a", "mine", 0)), "it is what it was");
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        key: usize,
        text: u8,
        stars: Option<u8>,
    },
    Delete {
        key: usize,
    },
    Many {
        keys: Vec<usize>,
        text: u8,
    },
    /// The server answers so many requests, of which it loses some replies.
    Online {
        requests: usize,
        lost: bool,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..4usize;
    prop_oneof![
        6 => (key.clone(), 0..5u8, proptest::option::of(0..3u8))
            .prop_map(|(key, text, stars)| Step::Put { key, text, stars }),
        3 => key.clone().prop_map(|key| Step::Delete { key }),
        1 => (proptest::collection::vec(key, 1..4), 0..5u8).prop_map(|(keys, text)| Step::Many { keys, text }),
        2 => (1..4usize, any::<bool>()).prop_map(|(requests, lost)| Step::Online { requests, lost }),
        1 => Just(Step::Reopen),
    ]
}

/// What the server has in the end, and the most that was queued at a time for each step.
async fn run(steps: &[Step], apart: bool, durable: bool) -> (Vec<(String, String, i64)>, Vec<usize>) {
    let (net, folder) = (Switches::new(), tempfile::tempdir().unwrap());
    let settings = || match apart {
        true => OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(2)),
        false => settings(),
    };
    let open = || {
        let builder = support::builder(&net).outbox(settings()).paused();
        match durable {
            true => builder.store(Redb::at(folder.path().join("notes.redb"))).build(),
            false => builder.build(),
        }
    };
    let mut repo = open().await.unwrap();
    let name = |key: &usize| ["a", "b", "c", "d"][*key];
    let mut lengths = Vec::new();
    for step in steps {
        match step {
            Step::Put { key, text, stars } => {
                let there = repo.find::<Note>(name(key)).await.unwrap();
                let mut row = there.map_or_else(|| note(name(key), "", 0), |row| (*row).clone());
                row.text = text.to_string();
                row.stars = stars.map_or(row.stars, i64::from);
                let _ = repo.upsert(&row).await.unwrap();
            }
            Step::Delete { key } => {
                if repo.find::<Note>(name(key)).await.unwrap().is_some() {
                    let _ = repo.delete::<Note>(name(key)).await.unwrap();
                }
            }
            Step::Many { keys, text } => {
                let rows: Vec<Note> = keys.iter().map(|key| note(name(key), &text.to_string(), 7)).collect();
                let _ = repo.upsert_many(&rows).await.unwrap();
            }
            Step::Online { requests, lost } => {
                if *lost {
                    net.next(support::Turn::LoseReply);
                }
                let before = net.seen().len();
                repo.outbox().resume();
                while net.seen().len() < before + requests && !repo.safe_to_wipe().await.unwrap().nothing() {
                    tokio::task::yield_now().await;
                }
                repo.outbox().pause();
            }
            Step::Reopen if durable => {
                repo.close().await;
                repo = open().await.unwrap();
            }
            Step::Reopen => {}
        }
        lengths.push(repo.outbox().list(0, 1000).await.unwrap().len());
    }
    repo.outbox().resume();
    settled(&repo).await;
    let page = net.server().get(&larder::core::Context::new(), Note::schema(), &Query::all()).await.unwrap();
    let there: Vec<Note> = page.rows.iter().map(|row| Note::from_row(&*row.row).unwrap()).collect();
    let mut here: Vec<Note> = Vec::new();
    for row in
        there.iter().map(|row| row.id.clone()).chain(support::local(&repo).await).collect::<BTreeSet<_>>()
    {
        here.extend(repo.find::<Note>(row.as_str()).await.unwrap().map(|row| (*row).clone()));
    }
    assert_eq!(here, there, "here and there are the same");
    one_payload_a_key(&net);
    (there.into_iter().map(|note| (note.id, note.text, note.stars)).collect(), lengths)
}

/// An idempotency key never goes out with another payload.
fn one_payload_a_key(net: &Switches) {
    let mut payloads: BTreeMap<_, (Operation, Option<Note>)> = BTreeMap::new();
    for sent in net.applied.lock().unwrap().iter() {
        let row = sent.row.as_ref().map(|row| Note::from_row(&**row).unwrap());
        let payload = (sent.operation, row);
        let first = payloads.entry(sent.id).or_insert_with(|| payload.clone());
        assert_eq!(*first, payload, "one key, one payload");
    }
}

fn block<T>(run: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    // Rules: o-coalesce, o-coalesce-cancel, o-coalesce-sent
    #[test]
    fn the_remote_comes_to_have_the_same(steps in proptest::collection::vec(step(), 1..30), durable in any::<bool>()) {
        let (merged, lengths) = block(run(&steps, false, durable));
        let (apart, _) = block(run(&steps, true, durable));
        prop_assert_eq!(merged, apart);
        // Of a row there may wait: one that is on its way, a deletion, and a creation after it.
        prop_assert!(lengths.iter().all(|length| *length <= 4 * 4), "{:?}", lengths);
    }
}

// Rules: o-coalesce
#[tokio::test]
async fn a_write_looks_at_the_last_mutation_of_its_row_alone() {
    let (net, disk) = (Switches::new(), support::chaos::memory().await);
    let (store, faults) = support::chaos::Faulty::over(&disk, 1);
    let repo = support::builder(&net).store(store).paused().build().await.unwrap();
    let notes: Vec<Note> = (0..300).map(|nth| note(&nth.to_string(), "", 0)).collect();
    let _ = repo.upsert_many(&notes).await.unwrap();
    support::drained(&repo).await;
    let reads = || faults.entry_reads.load(std::sync::atomic::Ordering::SeqCst);
    let before = reads();
    let _ = repo.upsert(&note("new", "", 0)).await.unwrap();
    assert_eq!(reads(), before, "nothing of it is queued");
    let _ = repo.upsert(&note("7", "changed", 0)).await.unwrap();
    let _ = repo.delete::<Note>("8").await.unwrap();
    assert_eq!(reads(), before + 2);
    assert_eq!(repo.outbox().len().await.unwrap(), 300, "one is new, and one is nothing");
}

// Rules: o-coalesce
#[tokio::test]
async fn a_row_that_is_written_again_and_again_is_one_mutation() {
    let net = Switches::new();
    let repo = support::builder(&net).outbox(settings()).build().await.unwrap();
    let mut last = repo.upsert(&note("a", "", 0)).await.unwrap();
    for stars in 1..500 {
        last = repo.update(last.row(), |note| note.stars = stars).await.unwrap();
        if stars % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(last.accepted().await.unwrap().stars, 499);
    settled(&repo).await;
    assert!(net.seen().len() < 250, "{}", net.seen().len());
    one_payload_a_key(&net);
}
