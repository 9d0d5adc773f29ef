//! What is noted about a mutation, and when: before its first byte goes out, and after the remote has it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::core::{Batch, Context, EntryState, Op, Store};
use larder::{ErrorKind, Idempotency, Memory, Model, OutboxSettings, ParkReason, Repository, RowState};
use rstest::rstest;
use support::chaos::{Faults, Faulty, memory};
use support::counting::{Counting, Reads};
use support::gates::Call;
use support::{Net, Note, Switches, Turn, User, drained, note, parked, settled, soon};

async fn open(store: Arc<dyn Store>, net: &Arc<Switches>) -> Repository {
    let settings = OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(5));
    let builder = Repository::builder().store(store).remote(Net(Arc::clone(net))).outbox(settings);
    builder.model::<Note>().model::<User>().build().await.unwrap()
}

async fn faulty(disk: &Arc<dyn Store>, net: &Arc<Switches>) -> (Repository, Arc<Faults>) {
    let (store, faults) = Faulty::over(disk, 1);
    (open(store, net).await, faults)
}

async fn a_while() {
    tokio::time::sleep(Duration::from_millis(40)).await;
}

// Rules: o-marked
#[rstest]
#[tokio::test]
async fn not_a_byte_goes_out_before_the_mark_is_durable(
    #[values(Idempotency::KEYED, Idempotency::AtMostOnce)] idempotency: Idempotency,
) {
    let (disk, net) = (memory().await, Switches::new());
    *net.idempotency.lock().unwrap() = Some(idempotency);
    let (repo, faults) = faulty(&disk, &net).await;
    repo.outbox().pause();
    let stored = repo.upsert(&note("1", "", 0)).await.unwrap();
    faults.failing.store(100, Ordering::SeqCst);
    repo.outbox().resume();
    a_while().await;
    assert!(net.seen().is_empty(), "it may have been sent, and nothing says so");
    faults.failing.store(0, Ordering::SeqCst);
    soon(stored.accepted()).await.unwrap();
}

// Rules: o-marked, o-idempotency
#[tokio::test]
async fn after_a_kill_during_the_first_send_it_is_known_that_it_may_have_arrived() {
    let (disk, net) = (memory().await, Switches::new());
    *net.idempotency.lock().unwrap() = Some(Idempotency::AtMostOnce);
    let (repo, faults) = faulty(&disk, &net).await;
    net.hang(true);
    let _ = repo.upsert(&note("1", "", 0)).await.unwrap();
    soon(async {
        while net.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    faults.dead.store(true, Ordering::SeqCst);
    drop(repo);
    let repo = open(disk, &net).await;
    assert_eq!(parked(&repo, 1).await[0].parked, Some(ParkReason::Uncertain));
    assert_eq!(net.seen(), ["insert 1"]);
    net.hang(false);
}

// Rules: o-marked, o-idempotency
#[rstest]
#[tokio::test]
async fn what_never_left_goes_after_a_restart_though_a_repeat_might_do_harm(
    #[values(Idempotency::Probe, Idempotency::AtMostOnce)] idempotency: Idempotency,
) {
    let (disk, net) = (memory().await, Switches::new());
    *net.idempotency.lock().unwrap() = Some(idempotency);
    let repo = open(Arc::clone(&disk), &net).await;
    net.offline(true);
    let _ = repo.upsert(&note("1", "", 0)).await.unwrap();
    drained(&repo).await;
    repo.close().await;
    net.offline(false);
    let reads = net.reads();
    let repo = open(disk, &net).await;
    soon(settled(&repo)).await;
    assert_eq!(
        (net.seen().len(), net.reads() - reads),
        (1, 0),
        "nobody is asked, and nothing waits for a decision"
    );
    assert!(!net.applied.lock().unwrap()[0].repeated);
}

// Rules: o-bookkeeping, w-merge
#[rstest]
#[tokio::test]
async fn a_mutation_is_neither_parked_nor_sent_again_because_its_bookkeeping_fails(
    #[values(Idempotency::KEYED, Idempotency::AtMostOnce)] idempotency: Idempotency,
) {
    let (disk, net) = (memory().await, Switches::new());
    *net.idempotency.lock().unwrap() = Some(idempotency);
    let (repo, faults) = faulty(&disk, &net).await;
    net.hang(true);
    let stored = repo.upsert(&note("1", "accepted", 0)).await.unwrap();
    soon(async {
        while net.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    faults.failing.store(100, Ordering::SeqCst);
    net.hang(false);
    a_while().await;
    assert_eq!(net.notes().await.len(), 1, "the server has it");
    assert_eq!((repo.status().parked, repo.safe_to_wipe().await.unwrap().entries), (0, 1));
    faults.failing.store(0, Ordering::SeqCst);
    soon(stored.accepted()).await.unwrap();
    soon(settled(&repo)).await;
    assert_eq!(net.seen(), ["insert 1"]);
    assert_eq!(repo.sync_state::<Note>("1").await.unwrap().unwrap().state, RowState::Synced);
}

// Rules: o-backoff
#[tokio::test]
async fn how_often_the_remote_has_failed_is_known_after_a_restart() {
    let (disk, net) = (memory().await, Switches::new());
    let strikes = async |store: Arc<dyn Store>| {
        let settings = OutboxSettings::new()
            .backoff(Duration::from_secs(3600), Duration::from_secs(3600))
            .strikes(3, Duration::ZERO);
        let builder = Repository::builder().store(store).remote(Net(Arc::clone(&net))).outbox(settings);
        builder.model::<Note>().model::<User>().build().await.unwrap()
    };
    net.poison("1", Turn::Say(larder::ErrorKind::Http { status: 500 }, 500));
    for life in 0..3 {
        let repo = strikes(Arc::clone(&disk)).await;
        if life == 0 {
            let _ = repo.upsert(&note("1", "", 0)).await.unwrap();
        }
        // Each life sees one failure.
        soon(async {
            while repo.outbox().list(0, 1).await.unwrap()[0].attempts <= life {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let left = repo.outbox().list(0, 1).await.unwrap().remove(0);
        assert_eq!(left.parked, (life == 2).then_some(ParkReason::Exhausted), "life {life}");
        repo.close().await;
    }
}

/// A server that makes something of what it is sent.
#[cfg(feature = "rest")]
fn opinionated() -> larder::Rest {
    use larder::rest::{Body, http};
    let server = tower::service_fn(|_: http::Request<Body>| async {
        let body = r#"{"id": "1", "text": "as the server has it", "stars": 7, "tag": null}"#;
        let response = http::Response::builder().status(201).header("content-type", "application/json");
        Ok::<_, std::convert::Infallible>(response.body(Body::from(body)).unwrap())
    });
    larder::Rest::at("https://api.example.com").transport(server)
}

// Rules: w-merge, o-crash
#[cfg(feature = "rest")]
#[tokio::test]
async fn what_the_server_answers_is_here_when_the_entry_is_gone_and_not_before() {
    use larder::ReadPolicy;
    // The process dies at each commit, before or after that is durable; at last at none.
    for (commits, durable) in [(2, false), (2, true), (3, false), (3, true), (0, true)] {
        let (disk, net) = (memory().await, Switches::new());
        let (store, faults) = Faulty::over(&disk, 1);
        let builder = Repository::builder().store(store).remote(opinionated());
        let repo = builder.model::<Note>().model::<User>().build().await.unwrap();
        faults.burn(commits, durable);
        let stored = soon(repo.upsert(&note("1", "mine", 0))).await.unwrap();
        let heard = tokio::time::timeout(Duration::from_millis(50), stored.accepted()).await;
        assert_eq!(heard.is_ok(), commits == 0);
        drop(repo);
        // Nothing is sent by this one.
        net.offline(true);
        let repo = open(disk, &net).await;
        let row = repo.reading(ReadPolicy::LocalOnly).find::<Note>("1").await.unwrap().unwrap();
        let entries = repo.safe_to_wipe().await.unwrap().entries;
        let done = commits == 0 || (commits == 3 && durable);
        let expected = if done { (0, "as the server has it", 7) } else { (1, "mine", 0) };
        assert_eq!((entries, row.text.as_str(), row.stars), expected, "{commits} commits, {durable}");
        repo.close().await;
    }
}

/// Reads of entries while so many changes of one row are sent one by one, to a server that answers each with something of
/// its own; the row then.
async fn reads_for(changes: usize) -> (usize, Note) {
    let (net, reads) = (Switches::new(), Arc::<Reads>::default());
    *net.stamps.lock().unwrap() = true;
    let store = Counting { store: Memory::new(), reads: reads.clone() };
    let repo = Repository::builder().store(store).remote(Net(net.clone()));
    let repo = repo.outbox(OutboxSettings::new().without_coalescing()).paused();
    let repo = repo.model::<Note>().build().await.unwrap();
    let first = repo.upsert(&note("1", "", 0)).await.unwrap();
    for nth in 1..changes {
        // One of them writes the very field that the server fills.
        let tag = (nth == changes / 2).then(|| "mine".to_owned());
        let edit =
            |note: &mut Note| (note.text, note.tag) = (nth.to_string(), tag.clone().or(note.tag.take()));
        let _ = repo.update(first.row(), edit).await.unwrap();
    }
    let before = reads.entries();
    repo.outbox().resume();
    drained(&repo).await;
    let row = repo.find::<Note>("1").await.unwrap().unwrap();
    (reads.entries() - before, (*row).clone())
}

// Rules: w-merge, o-lanes
#[tokio::test]
async fn a_long_queue_of_one_row_is_settled_without_reading_it_again_and_again() {
    let (few, _) = reads_for(20).await;
    let (many, row) = reads_for(200).await;
    assert!(many <= 12 * few, "{few} reads for 20 changes, {many} for 200");
    assert_eq!((row.text.as_str(), row.tag.as_deref()), ("199", Some("answer 200")));
}

// Rules: o-parked
#[tokio::test]
async fn nothing_waits_for_a_decision_about_a_mutation_that_is_not_in_the_outbox_any_more() {
    let (disk, net) = (memory().await, Switches::new());
    let (repo, faults) = faulty(&disk, &net).await;
    let parks = |op: &Op| matches!(op, Op::Revise(entry) if entry.state != EntryState::Ready);
    let parking =
        faults.gates.hold(move |call| matches!(call, Call::Commit(batch) if batch.ops.iter().any(parks)));
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    drop(repo.upsert(&note("1", "refused", 0)).await.unwrap());
    let removal = async {
        let seq = repo.outbox().list(0, 9).await.unwrap()[0].seq;
        let row = Op::Remove { schema: Note::schema(), key: "1".into() };
        let batch = Batch { ops: vec![Op::Dequeue(seq), row], ..Batch::default() };
        drop(disk.commit(&Context::new(), batch).await.unwrap());
    };
    parking.during(removal).await;
    let status = soon(repo.outbox().settled()).await;
    assert_eq!((status.parked, status.pending), (0, 0));
    let next = repo.upsert(&note("1", "taken", 0)).await.unwrap();
    assert_eq!(soon(next.accepted()).await.unwrap().text, "taken");
}
