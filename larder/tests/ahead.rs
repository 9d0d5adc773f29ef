//! What the remote has accepted leaves the outbox while the next mutations are on their way.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::core::Store;
use larder::{ErrorKind, Idempotency, Model, MutationId, OutboxSettings, Repository};
use rstest::rstest;
use support::chaos::{Faulty, memory};
use support::{Net, Note, Switches, Turn, User, note, settled, soon};

const WRITES: usize = 200;

fn settings() -> OutboxSettings {
    OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20))
}

async fn open(store: Arc<dyn Store>, net: &Arc<Switches>, settings: OutboxSettings) -> Repository {
    let builder = Repository::builder().store(store).remote(Net(Arc::clone(net))).outbox(settings);
    builder.model::<Note>().model::<User>().build().await.unwrap()
}

/// How often each mutation was sent, in the order in which they went first.
fn sent(net: &Switches) -> Vec<(MutationId, usize)> {
    let (mut order, mut counts) = (Vec::new(), BTreeMap::<MutationId, usize>::new());
    for mutation in net.applied.lock().unwrap().iter() {
        let count = counts.entry(mutation.id).or_default();
        if *count == 0 {
            order.push(mutation.id);
        }
        *count += 1;
    }
    order.into_iter().map(|id| (id, counts[&id])).collect()
}

// Rules: o-ahead, o-crash
#[rstest]
#[case::lanes(settings(), Idempotency::KEYED, 64)]
#[case::one_order(settings().serial(), Idempotency::KEYED, 64)]
#[case::strict_lanes(settings().strict(), Idempotency::KEYED, 8)]
#[case::strict_order(settings().serial().strict(), Idempotency::KEYED, 1)]
#[case::a_repeat_that_may_do_harm(settings(), Idempotency::Probe, 8)]
#[tokio::test]
async fn after_a_kill_what_was_accepted_and_not_removed_goes_again_and_nothing_else(
    #[case] settings: OutboxSettings,
    #[case] idempotency: Idempotency,
    #[case] most: usize,
) {
    let (disk, net) = (memory().await, Switches::new());
    *net.idempotency.lock().unwrap() = Some(idempotency);
    let (store, faults) = Faulty::over(&disk, 1);
    faults.keeps_entries.store(true, Ordering::SeqCst);
    let repo = open(store, &net, settings.clone()).await;
    let notes: Vec<Note> = (0..WRITES).map(|nth| note(&format!("{nth:03}"), "", 0)).collect();
    let _ = repo.upsert_many(&notes).await.unwrap();
    soon(async {
        while sent(&net).len() < most {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    // No removal is durable, so none goes further.
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(sent(&net).iter().map(|(_, times)| times).sum::<usize>(), most);
    assert_eq!(net.notes().await.len(), most, "the server has them");
    let before: Vec<MutationId> = sent(&net).into_iter().map(|(id, _)| id).collect();

    faults.dead.store(true, Ordering::SeqCst);
    drop(repo);
    let repo = open(disk, &net, settings).await;
    soon(settled(&repo)).await;
    let after = sent(&net);
    assert_eq!((after.len(), net.notes().await.len()), (WRITES, WRITES));
    for (id, times) in after {
        // One that is asked about does not go again.
        let again = usize::from(before.contains(&id) && idempotency == Idempotency::KEYED);
        assert_eq!(times, 1 + again, "under the same key, and nothing else goes again");
    }
}

// Rules: o-ahead, o-serial
#[tokio::test]
async fn in_one_order_nothing_overtakes_though_removals_are_slow_and_fail() {
    let (disk, net) = (memory().await, Switches::new());
    *net.idempotency.lock().unwrap() = Some(Idempotency::KEYED);
    let (store, faults) = Faulty::over(&disk, 7);
    let repo = open(store, &net, settings().serial().without_coalescing()).await;
    repo.outbox().pause();
    for nth in 0..60 {
        let _ = repo.upsert(&note(&(nth % 7).to_string(), &nth.to_string(), nth)).await.unwrap();
    }
    faults.failing.store(30, Ordering::SeqCst);
    for _ in 0..3 {
        net.next(Turn::LoseReply);
        net.next(Turn::Say(ErrorKind::Http { status: 500 }, 500));
    }
    repo.outbox().resume();
    soon(settled(&repo)).await;
    let applied = net.applied.lock().unwrap().clone();
    let stars: Vec<i64> =
        applied.iter().map(|sent| Note::from_row(&**sent.row.as_ref().unwrap()).unwrap().stars).collect();
    assert!(stars.is_sorted(), "{stars:?}");
    assert_eq!(net.notes().await.len(), 7);
}

// Rules: o-ahead
#[rstest]
#[case::one_order(settings().serial(), 0..10)]
#[case::lanes(settings().strict(), 0..10)]
#[case::strict_order(settings().serial().strict(), 50..61)]
#[tokio::test]
async fn a_removal_has_the_thread_to_itself_while_nothing_else_is_under_way(
    #[case] settings: OutboxSettings,
    #[case] alone: std::ops::Range<u64>,
) {
    let (disk, net) = (memory().await, Switches::new());
    *net.idempotency.lock().unwrap() = Some(Idempotency::KEYED);
    let (store, faults) = Faulty::over(&disk, 3);
    let repo = open(store, &net, settings).await;
    // As many as one commit marks, so that none is marked later.
    let notes: Vec<Note> = (0..60).map(|nth| note(&format!("{nth:03}"), "", 0)).collect();
    let _ = repo.upsert_many(&notes).await.unwrap();
    soon(settled(&repo)).await;
    assert_eq!(faults.removals.load(Ordering::SeqCst), 60);
    let seen = faults.removals_alone.load(Ordering::SeqCst);
    assert!(alone.contains(&seen), "{seen} of 60");
}
