//! Requests that hold several rows: what is asked about them, and what happens to one of them meanwhile.

use std::sync::Arc;

use larder::core::{OpenStore, Opening, Sent, Store};
use larder::rest::{Action, Endpoint};
use larder::{
    Builder, ErrorKind, Idempotency, Many, Memory, Model, One, Operation, OutboxSettings, Pushed, Repository,
    Rest, RowState, Strategy, TokioRuntime,
};
use larder_stubs::{Answer, Fault, Flaky, Stubs, Variant};
use rstest::rstest;
use serde_json::{Value, json};

use super::here;
use super::nested_conflicts::{
    Item, Order, Part, item, item_here, line, order, refused_once, requests, server, settled, stocked,
};
use crate::support::chaos::{Faults, Faulty};
use crate::support::gates::{Call, dequeues};
use crate::support::soon;

/// A store that can be made to wait.
pub(super) async fn waiting() -> (Arc<dyn Store>, Arc<Faults>) {
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    let schemas = Arc::new([Order::schema(), Item::schema(), Part::schema()]);
    let disk = OpenStore::open(Box::new(Memory::new()), &Opening { runtime, schemas }).await.unwrap();
    Faulty::over(&disk, 1)
}

pub(super) fn accepting() -> Variant {
    Variant::new("PUT orders/1").status(204)
}

/// A commit that writes the row of this part.
pub(super) fn writes_part(call: &Call<'_>) -> bool {
    call.writes(Part::schema(), &3_u32.into())
}

/// A commit that writes the row of the item.
fn writes_item(call: &Call<'_>) -> bool {
    call.writes(Item::schema(), &7_u32.into())
}

pub(super) fn with_a_part(mut item: Item) -> Item {
    item.parts.push(Part { id: 3, item: One::to(7), label: "brim".into() });
    item
}

pub(super) async fn seqs(repo: &Repository) -> Vec<u64> {
    repo.outbox().list(0, 99).await.unwrap().iter().map(|entry| entry.seq).collect()
}

/// True as long as the item has something in the outbox.
pub(super) async fn is_queued(repo: &Repository) -> bool {
    repo.outbox().list(0, 99).await.unwrap().iter().any(|entry| entry.model == "Item")
}

// Rules: m-assoc-send, o-unreadable
#[tokio::test]
async fn a_request_of_which_a_part_can_not_be_read_is_not_sent_without_it() {
    let stubs = server(&json!([]), accepting());
    let (store, faults) = waiting().await;
    let repo = stocked(&stubs, |builder| builder.store(store)).await;
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    let within = seqs(&repo).await[1];
    faults.unreadable.lock().unwrap().insert(within);
    repo.outbox().resume();
    let error = soon(stored.accepted()).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Unsupported, Sent::Never), "{error}");
    assert!(requests(&stubs).is_empty());
}

// Rules: m-assoc-send, o-idempotency, o-success
#[rstest]
#[case::shown_as_it_was_sent(json!([line("cap", None)]), None, 1)]
#[case::with_what_others_have_done_to_it(json!([line("cap", Some(100))]), None, 1)]
#[case::without_the_field_in_question(json!([{ "id": 7, "price": 100 }]), None, 1)]
#[case::not_shown_and_there(json!([]), Some(line("cap", None)), 1)]
#[case::shown_as_it_was(json!([line("hat", None)]), None, 2)]
#[case::not_there(json!([]), None, 2)]
#[tokio::test]
async fn a_request_has_arrived_if_each_of_its_rows_has(
    #[case] shown: Value,
    #[case] alone: Option<Value>,
    #[case] requests: usize,
) {
    let lost = Variant::new("PUT orders/1").status(502).then(Answer::new().status(204));
    let stubs = Stubs::new().variant(lost);
    let stubs = stubs.on("GET orders/1", json!({ "id": 1, "note": "now", "lines": shown }));
    let stubs = match alone {
        Some(alone) => stubs.on("GET items/7", alone),
        None => stubs.variant(Variant::new("GET items/7").status(404)),
    };
    let asks = Endpoint::new("/orders").idempotency(Operation::Update, Idempotency::Probe);
    let rest = Rest::at("https://api.example.com").model::<Order>(asks).transport(stubs.clone());
    let repo = stocked(&stubs, |builder: Builder| builder.remote(rest)).await;
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    repo.outbox().resume();
    soon(stored.accepted()).await.unwrap();
    assert_eq!(stubs.calls_of("PUT orders/1").len(), requests);
}

// Rules: m-assoc-send, o-idempotency, o-success
#[rstest]
#[case::a_creation_makes_all_that_is_in_it(4, "POST orders", 1)]
#[case::a_change_may_not_have(1, "PUT orders/1", 2)]
#[tokio::test]
async fn where_the_rows_of_a_request_can_not_be_asked_about_its_own_row_tells_what_it_can(
    #[case] id: u32,
    #[case] request: &str,
    #[case] requests: usize,
) {
    let lost = Variant::new(request).status(502).then(Answer::new().status(204));
    let there = json!({ "id": id, "note": "now" });
    let stubs = Stubs::new().variant(lost).on(&format!("GET orders/{id}"), there);
    let asks = [Operation::Insert, Operation::Update]
        .into_iter()
        .fold(Endpoint::new("/orders"), |asks, operation| asks.idempotency(operation, Idempotency::Probe));
    let silent = Endpoint::new("/items").without(Action::One).without(Action::List);
    let rest = Rest::at("https://api.example.com").model::<Order>(asks).model::<Item>(silent);
    let rest = rest.transport(stubs.clone());
    let repo = stocked(&stubs, |builder: Builder| builder.remote(rest)).await;
    let mut saved = Order { id, note: "now".into(), items: Many::default() };
    saved.items.push(Item { id: 9, order: One::to(id), ..item("cap", None) });
    let stored = repo.upsert(&saved).await.unwrap();
    repo.outbox().resume();
    soon(stored.accepted()).await.unwrap();
    assert_eq!(stubs.calls_of(request).len(), requests);
}

// Rules: c-nested, m-extra
#[tokio::test]
async fn what_an_answer_says_of_a_nested_row_beside_its_fields_is_kept() {
    let mut said = line("cap", None);
    said["made"] = json!(1);
    let answer = json!({ "id": 1, "note": "now", "lines": [said] });
    let stubs = server(&json!([]), Variant::new("PUT orders/1").json(answer));
    let repo = stocked(&stubs, |builder| builder).await;
    repo.outbox().resume();
    soon(repo.upsert(&order("now", item("cap", None))).await.unwrap().accepted()).await.unwrap();
    soon(repo.upsert(&item("helmet", None)).await.unwrap().accepted()).await.unwrap();
    let (request, body) = requests(&stubs).pop().unwrap();
    assert_eq!((request.as_str(), &body["made"]), ("PUT items/7", &json!(1)));
}

// Rules: c-nested, s-rebase
#[tokio::test]
async fn what_is_queued_behind_a_nested_row_lies_on_what_the_server_has_of_it() {
    let stubs = server(&json!([line("helmet", Some(100))]), refused_once());
    let strategy = |builder: Builder| builder.conflict_strategy::<Item>(Strategy::ClientWins);
    let repo = stocked(&stubs, strategy).await;
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    let behind = repo.upsert(&item("cap", Some(5))).await.unwrap();
    repo.outbox().resume();
    soon(stored.accepted()).await.unwrap();
    assert_eq!(item_here(&repo).await, Some(("cap".into(), Some(5))));
    soon(behind.accepted()).await.unwrap();
    assert_eq!(requests(&stubs).pop().unwrap().1["price"], 5);
}

// Rules: c-nested, c-ask, s-rebase
#[tokio::test]
async fn what_is_heard_of_a_row_in_a_request_that_asks_waits_with_it() {
    let stubs = server(&json!([line("hat", Some(100))]), refused_once());
    let stubs =
        stubs.on("GET orders/1", json!({ "id": 1, "note": "never", "lines": [line("hat", Some(100))] }));
    let repo = stocked(&stubs, |builder| builder.conflict_strategy::<Order>(Strategy::Ask)).await;
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    repo.outbox().resume();
    soon(stored.accepted()).await.unwrap_err();
    settled(&repo).await;
    assert_eq!(item_here(&repo).await, Some(("cap".into(), None)), "nothing of the request moves");
    repo.pushed(Pushed::rows([item("hat", Some(300))])).await.unwrap();
    assert_eq!(item_here(&repo).await, Some(("cap".into(), None)));
    let seq = repo.conflicts::<Order>().list().await.unwrap()[0].seq;
    repo.conflicts::<Order>().settle(seq, larder::Resolution::Mine).await.unwrap();
    settled(&repo).await;
    assert_eq!(requests(&stubs)[1].1["lines"], json!([line("cap", Some(300))]), "the newest counts");
}

// Rules: c-nested, s-pending
#[tokio::test]
async fn what_is_written_to_a_nested_row_while_its_request_is_put_on_news_is_not_lost() {
    let stubs = server(&json!([line("hat", Some(100))]), refused_once());
    let (store, faults) = waiting().await;
    let repo = stocked(&stubs, |builder| builder.store(store)).await;
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    let held = faults.gates.hold(writes_item);
    repo.outbox().resume();
    held.during(async { drop(repo.upsert(&item("helmet", None)).await.unwrap()) }).await;
    soon(stored.accepted()).await.unwrap();
    settled(&repo).await;
    assert_eq!(item_here(&repo).await, Some(("helmet".into(), Some(100))));
    assert_eq!(requests(&stubs).pop().unwrap().1["name"], "helmet");
}

// Rules: c-nested, s-pending
#[tokio::test]
async fn what_is_written_to_a_row_while_it_leaves_a_request_is_not_lost() {
    let stubs = server(&json!([]), refused_once()).variant(Variant::new("PUT parts/3").status(204));
    let (store, faults) = waiting().await;
    let wins = |builder: Builder| builder.store(store).conflict_strategy::<Item>(Strategy::ServerWins);
    let repo = stocked(&stubs, wins).await;
    drop(repo.upsert(&order("now", with_a_part(item("cap", None)))).await.unwrap());
    let held = faults.gates.hold(writes_part);
    repo.outbox().resume();
    let edge = Part { id: 3, item: One::to(7), label: "edge".into() };
    let decided = async {
        while is_queued(&repo).await {
            tokio::task::yield_now().await;
        }
    };
    held.during(async {
        repo.outbox().pause();
        drop(repo.upsert(&edge).await.unwrap());
    })
    .await;
    soon(decided).await;
    assert_eq!(here::<Part>(&repo).await, std::slice::from_ref(&edge));
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(here::<Part>(&repo).await, [edge]);
    assert_eq!(repo.outbox().len().await.unwrap(), 0);
}

// Rules: w-merge, s-pending
#[tokio::test]
async fn what_is_written_to_a_nested_row_while_the_answer_is_being_stored_is_not_lost() {
    let stubs = server(&json!([]), accepting());
    let (store, faults) = waiting().await;
    let repo = stocked(&stubs, |builder| builder.store(store)).await;
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    let held = faults.gates.hold(dequeues);
    repo.outbox().resume();
    held.during(async {
        repo.outbox().pause();
        drop(repo.upsert(&item("helmet", None)).await.unwrap());
    })
    .await;
    soon(stored.accepted()).await.unwrap();
    assert_eq!(item_here(&repo).await, Some(("helmet".into(), None)));
    assert_eq!(repo.sync_state::<Item>(7_u32).await.unwrap().unwrap().state, RowState::Pending);
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(requests(&stubs).pop().unwrap().1["name"], "helmet");
}

// Rules: c-nested, c-ask, s-pending
#[rstest]
#[tokio::test]
async fn what_was_heard_of_a_nested_row_on_its_way_is_told_to_who_waits_for_what_is_behind_it(
    #[values(false, true)] written_meanwhile: bool,
) {
    let stubs = server(&json!([line("cap", Some(100))]), accepting());
    let (store, faults) = waiting().await;
    let asks = |builder: Builder| builder.store(store).conflict_strategy::<Item>(Strategy::Ask);
    let repo = stocked(&stubs, asks).await;
    stubs.switches().flaky(Flaky::new(1, 100).faults([Fault::LostReply]));
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    repo.outbox().resume();
    while requests(&stubs).is_empty() {
        tokio::task::yield_now().await;
    }
    let behind = repo.upsert(&item("cap", Some(5))).await.unwrap();
    repo.pushed(Pushed::rows([item("hat", Some(100))])).await.unwrap();
    let held = faults.gates.hold(dequeues);
    stubs.switches().clear();
    held.during(async {
        if written_meanwhile {
            drop(repo.upsert(&item("helmet", Some(5))).await.unwrap());
        }
    })
    .await;
    soon(stored.accepted()).await.unwrap();
    assert_eq!(soon(behind.accepted()).await.unwrap_err().kind(), ErrorKind::Conflict);
    settled(&repo).await;
    let name = if written_meanwhile { "helmet" } else { "cap" };
    assert_eq!(
        item_here(&repo).await,
        Some((name.into(), Some(5))),
        "what is here stays until it is settled"
    );
    assert_eq!(repo.status().conflicts, 1);
}

// Rules: o-discard, m-assoc-send
#[tokio::test]
async fn what_goes_in_a_change_is_given_up_with_the_creation_that_the_change_needs() {
    let stubs = server(&json!([]), accepting());
    let repo = stocked(&stubs, |builder| builder.outbox(OutboxSettings::new().without_coalescing())).await;
    for (note, name) in [("first", "hat"), ("then", "cap")] {
        let mut four = Order { id: 4, note: note.into(), items: Many::default() };
        four.items.push(Item { id: 8, order: One::to(4), ..item(name, None) });
        drop(repo.upsert(&four).await.unwrap());
    }
    let seqs = seqs(&repo).await;
    assert_eq!(seqs.len(), 4);
    repo.outbox().discard(seqs[0]).await.unwrap();
    assert_eq!(repo.outbox().len().await.unwrap(), 0);
    assert!(here::<Item>(&repo).await.iter().all(|item| item.id != 8));
}

// Rules: o-discard, m-assoc-send
#[tokio::test]
async fn a_row_far_behind_in_a_large_request_is_not_given_up_alone() {
    let stubs = server(&json!([]), accepting());
    let repo = stocked(&stubs, |builder| builder).await;
    let mut large = Order { id: 4, note: "large".into(), items: Many::default() };
    (100..200).for_each(|id| large.items.push(Item { id, order: One::to(4), ..item("one", None) }));
    drop(repo.upsert(&large).await.unwrap());
    let last = repo.outbox().list(100, 9).await.unwrap().pop().unwrap();
    assert_eq!(repo.outbox().discard(last.seq).await.unwrap_err().kind(), ErrorKind::Conflict);
}
