//! Requests that hold several rows, next to what is queued before, between and behind them, and what waits for a decision.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder::core::Store;
use larder::rest::Endpoint;
use larder::{
    Builder, Conflict, ErrorKind, Idempotency, Many, One, Operation, OutboxSettings, Pushed, Resolution,
    Rest, Strategy,
};
use larder_stubs::{Answer, Call, Fault, Flaky, Variant};
use serde_json::json;

use super::here;
use super::nested_conflicts::{
    Item, Order, Part, item, item_here, line, order, refused_once, requests, server, settled, stocked,
};
use super::nested_races::{accepting, is_queued, seqs, waiting, with_a_part, writes_part};
use crate::support::gates::dequeues;
use crate::support::soon;

/// The order 4, with these items; the server does not know it.
fn four(note: &str, items: &[(u32, &str)]) -> Order {
    let mut four = Order { id: 4, note: note.into(), items: Many::default() };
    let items = items.iter().map(|(id, name)| Item { id: *id, order: One::to(4), ..item(name, None) });
    items.for_each(|item| four.items.push(item));
    four
}

/// Writes of one row stay apart.
fn not_merged(builder: Builder) -> Builder {
    let wait = Duration::from_millis(1);
    builder.outbox(OutboxSettings::new().without_coalescing().backoff(wait, 5 * wait))
}

// Rules: m-assoc-send, o-unreadable
#[tokio::test]
async fn a_request_goes_though_dozens_of_entries_between_it_and_its_rows_can_not_be_read() {
    let stubs = server(&json!([]), accepting()).variant(Variant::new("POST orders").status(201));
    let (store, faults) = waiting().await;
    let repo = stocked(&stubs, |builder| builder.store(store)).await;
    let mut orders = vec![order("now", item("cap", None))];
    orders.extend((100..200).map(|id| Order { id, note: "another".into(), items: Many::default() }));
    let stored = repo.upsert_many(&orders).await.unwrap().remove(0);
    let queued = repo.outbox().list(0, 999).await.unwrap();
    let [_, between @ .., within] = &queued[..] else { panic!("{queued:?}") };
    assert_eq!((between.len(), within.model), (100, "Item"));
    faults.unreadable.lock().unwrap().extend(between.iter().map(|entry| entry.seq));
    repo.outbox().resume();
    soon(stored.accepted()).await.unwrap();
    assert_eq!(requests(&stubs)[0].1["lines"], json!([line("cap", None)]));
}

// Rules: c-nested, c-ask
#[tokio::test]
async fn what_goes_in_a_request_goes_on_though_a_later_change_of_its_row_waits_for_the_application() {
    let stubs = server(&json!([line("hat", Some(100))]), refused_once());
    let asks = |sides: Conflict<Order>| match sides.mine {
        Some(mine) if mine.note == "now" => Resolution::Merged(Order { note: "now and then".into(), ..mine }),
        _ => Resolution::Ask,
    };
    let stubs =
        stubs.on("GET orders/1", json!({ "id": 1, "note": "never", "lines": [line("hat", Some(100))] }));
    let repo = stocked(&stubs, |builder| builder.on_conflict(asks)).await;
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    let later = Order { id: 1, note: "later".into(), items: Many::default() };
    let later = repo.upsert(&later).await.unwrap();
    repo.outbox().resume();
    soon(stored.accepted()).await.unwrap();
    assert_eq!(soon(later.accepted()).await.unwrap_err().kind(), ErrorKind::Conflict);
    let sent = requests(&stubs);
    assert_eq!(sent[1].1["lines"], json!([line("cap", Some(100))]));
}

// Rules: c-nested, s-rebase
#[tokio::test]
async fn what_is_heard_of_a_row_while_it_leaves_a_request_does_not_put_it_back() {
    let refuses = Arc::new(AtomicBool::new(true));
    let refusing = Arc::clone(&refuses);
    let says = move |_: &Call| Answer::new().status(if refusing.load(Ordering::SeqCst) { 412 } else { 204 });
    let stubs = server(&json!([]), Variant::new("PUT orders/1").respond(says));
    let stubs = stubs.variant(Variant::new("PUT parts/3").status(204));
    let (store, faults) = waiting().await;
    let wins = |store: Arc<dyn Store>| {
        // The part is not marked before its turn: until then it may be altered.
        let parts = Endpoint::new("/parts").idempotency(Operation::Insert, Idempotency::AtMostOnce);
        let rest = Rest::at("https://api.example.com").model::<Order>(Endpoint::new("/orders"));
        let rest = rest.model::<Part>(parts).transport(stubs.clone());
        let wait = Duration::from_millis(1);
        let settings = OutboxSettings::new().serial().backoff(wait, 5 * wait);
        |builder: Builder| {
            let builder = builder.store(store).remote(rest).outbox(settings);
            builder.conflict_strategy::<Item>(Strategy::ServerWins)
        }
    };
    let repo = stocked(&stubs, wins(Arc::clone(&store))).await;
    stubs.switches().flaky(Flaky::new(1, 100).faults([Fault::LostReply]));
    drop(repo.upsert(&order("now", with_a_part(item("cap", None)))).await.unwrap());
    repo.outbox().resume();
    while requests(&stubs).is_empty() {
        tokio::task::yield_now().await;
    }
    let held = faults.gates.hold(writes_part);
    let theirs = Part { id: 3, item: One::to(7), label: "theirs".into() };
    let heard = repo.clone();
    let heard = tokio::spawn(async move { heard.pushed(Pushed::rows([theirs])).await });
    let decided = async {
        stubs.switches().clear();
        while is_queued(&repo).await {
            tokio::task::yield_now().await;
        }
        repo.outbox().pause();
        refuses.store(false, Ordering::SeqCst);
    };
    held.during(decided).await;
    soon(heard).await.unwrap().unwrap();
    repo.close().await;
    let repo = stocked(&stubs, wins(store)).await;
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(repo.outbox().len().await.unwrap(), 0);
    assert_eq!(stubs.calls_of("PUT parts/3").len(), 1, "it goes by itself, and the server has one");
}

// Rules: c-nested, c-ask, s-rebase
#[tokio::test]
async fn what_is_heard_of_a_row_waits_with_its_request_though_that_was_never_sent() {
    let stubs = server(&json!([line("hat", Some(100))]), accepting());
    let repo = stocked(&stubs, |builder| builder.conflict_strategy::<Order>(Strategy::Ask)).await;
    drop(repo.upsert(&order("now", item("cap", None))).await.unwrap());
    let never = Order { id: 1, note: "never".into(), items: Many::default() };
    repo.pushed(Pushed::rows([never])).await.unwrap();
    let conflict = repo.conflicts::<Order>().list().await.unwrap().remove(0);
    repo.pushed(Pushed::rows([item("hat", Some(300))])).await.unwrap();
    assert_eq!(item_here(&repo).await, Some(("cap".into(), None)), "nothing of the request moves");
    repo.conflicts::<Order>().settle(conflict.seq, Resolution::Mine).await.unwrap();
    assert_eq!(item_here(&repo).await, Some(("cap".into(), Some(300))));
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(requests(&stubs)[0].1["lines"], json!([line("cap", Some(300))]));
}

// Rules: w-merge, c-nested
#[tokio::test]
async fn what_is_written_again_behind_a_nested_row_shows_no_answer() {
    let answer = json!({ "id": 1, "note": "now", "lines": [line("CAP", Some(100))] });
    let stubs = server(&json!([]), Variant::new("PUT orders/1").json(answer));
    let (store, faults) = waiting().await;
    let repo = stocked(&stubs, |builder| not_merged(builder.store(store))).await;
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    for name in ["helmet", "cap"] {
        drop(repo.upsert(&item(name, None)).await.unwrap());
    }
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    held.during(async { repo.outbox().pause() }).await;
    soon(stored.accepted()).await.unwrap();
    assert_eq!(item_here(&repo).await, Some(("cap".into(), Some(100))));
}

// Rules: o-discard, m-assoc-send
#[tokio::test]
async fn what_is_created_in_the_request_of_a_change_is_given_up_with_the_creation_that_the_change_needs() {
    let stubs = server(&json!([]), accepting());
    let repo = stocked(&stubs, not_merged).await;
    drop(repo.upsert(&four("first", &[(8, "hat")])).await.unwrap());
    drop(repo.upsert(&four("then", &[(8, "hat"), (9, "cap")])).await.unwrap());
    let first = seqs(&repo).await[0];
    repo.outbox().discard(first).await.unwrap();
    assert_eq!(repo.outbox().len().await.unwrap(), 0);
    let left: Vec<u32> = here::<Item>(&repo).await.iter().map(|item| item.id).collect();
    assert_eq!(left, [7]);
}

// Rules: c-nested, w-merge, m-assoc-remote
#[tokio::test]
async fn a_row_that_is_gone_by_now_does_not_come_back_by_an_answer_that_shows_it() {
    let answer = json!({ "id": 1, "note": "now", "lines": [line("CAP", None)] });
    let stubs = server(&json!([]), Variant::new("PUT orders/1").json(answer));
    let repo = stocked(&stubs, |builder| builder).await;
    stubs.switches().flaky(Flaky::new(1, 100).faults([Fault::LostReply]));
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    repo.outbox().resume();
    while requests(&stubs).is_empty() {
        tokio::task::yield_now().await;
    }
    repo.pushed(Pushed::rows([item("helmet", None)])).await.unwrap();
    stubs.switches().clear();
    soon(stored.accepted()).await.unwrap();
    settled(&repo).await;
    assert_eq!(item_here(&repo).await, None, "the server was asked, and has it no more");
}

// Rules: c-nested, s-rebase
#[tokio::test]
async fn what_goes_in_the_request_of_a_row_that_is_gone_goes_by_itself() {
    let stubs = server(&json!([line("hat", None)]), accepting());
    let stubs = stubs.variant(Variant::new("GET orders/1").status(404));
    let (store, faults) = waiting().await;
    let wins =
        |builder: Builder| not_merged(builder.store(store)).conflict_strategy::<Order>(Strategy::ServerWins);
    let repo = stocked(&stubs, wins).await;
    let noted = |note: &str| Order { id: 1, note: note.into(), items: Many::default() };
    drop(repo.upsert(&noted("now")).await.unwrap());
    drop(repo.upsert(&order("later", item("cap", None))).await.unwrap());
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    // Something else is heard of the row while its first change is settled; and then it is gone.
    held.during(async { repo.pushed(Pushed::rows([noted("never")])).await.unwrap() }).await;
    settled(&repo).await;
    let sent: Vec<String> = requests(&stubs).into_iter().map(|(request, _)| request).collect();
    assert_eq!(seqs(&repo).await, [0; 0], "{sent:?}");
    assert_eq!(sent, ["PUT orders/1", "PUT items/7"]);
    assert_eq!(requests(&stubs)[1].1, line("cap", None));
}

// Rules: c-nested, s-rebase
#[tokio::test]
async fn what_goes_in_the_request_of_a_nested_row_that_is_gone_goes_by_itself() {
    let stubs = server(&json!([line("hat", None)]), accepting());
    let stubs = stubs.variant(Variant::new("GET items/7").status(404));
    let (store, faults) = waiting().await;
    let wins =
        |builder: Builder| not_merged(builder.store(store)).conflict_strategy::<Item>(Strategy::ServerWins);
    let repo = stocked(&stubs, wins).await;
    drop(repo.upsert(&order("now", item("cap", None))).await.unwrap());
    drop(repo.upsert(&with_a_part(item("cape", None))).await.unwrap());
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    // Something else is heard of the item while the request that it went in is settled; and then it is gone.
    held.during(async { repo.pushed(Pushed::rows([item("never", None)])).await.unwrap() }).await;
    settled(&repo).await;
    assert_eq!(seqs(&repo).await, [0; 0], "{:?}", requests(&stubs));
    assert_eq!(stubs.calls_of("POST parts").len(), 1);
}
