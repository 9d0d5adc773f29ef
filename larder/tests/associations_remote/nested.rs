//! Rows that go in the request of the row that they belong to.

use std::time::Duration;

use larder::core::OpenStore;
use larder::rest::Endpoint;
use larder::{ErrorKind, Many, Memory, Model, One, ReadPolicy, Repository, Rest, RowState, Select};
use larder_stubs::{Answer, Call, Fault, Flaky, Stubs, Variant};
use serde_json::{Value, json};

use super::here;

#[derive(Model, Clone, Debug, PartialEq)]
struct Order {
    #[model(key)]
    id: u32,
    note: String,
    #[model(children = "order", json(rename = "lines", send = "nested"))]
    items: Many<Item>,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Item {
    #[model(key)]
    id: u32,
    order: One<Order>,
    name: String,
    /// The server says.
    price: Option<i64>,
    #[model(json(send = "first"))]
    product: Option<One<Product>>,
    #[model(children = "item", json(send = "nested"))]
    parts: Many<Part>,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Part {
    #[model(key)]
    id: u32,
    item: One<Item>,
    label: String,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Product {
    #[model(key)]
    id: u32,
}

fn item(id: u32, name: &str) -> Item {
    let parts = Many::default();
    Item { id, order: One::to(1), name: name.into(), price: None, product: None, parts }
}

fn order(items: impl IntoIterator<Item = Item>) -> Order {
    let mut order = Order { id: 1, note: "soon".into(), items: Many::default() };
    items.into_iter().for_each(|item| order.items.push(item));
    order
}

/// What the server hears of an item.
fn line(id: u32, name: &str) -> Value {
    json!({ "id": id, "order": 1, "name": name, "price": null, "product": null })
}

async fn over(store: impl OpenStore + 'static, stubs: &Stubs) -> Repository {
    let rest = Rest::at("https://api.example.com")
        .model::<Order>(Endpoint::new("/orders"))
        .idempotency_header("Idempotency-Key")
        .transport(stubs.clone());
    Repository::builder()
        .store(store)
        .remote(rest)
        .outbox(larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(5)))
        .model::<Order>()
        .model::<Item>()
        .model::<Part>()
        .model::<Product>()
        .build()
        .await
        .unwrap()
}

/// A server that takes everything and says nothing of use.
fn agreeable() -> Stubs {
    [
        "POST orders",
        "PATCH orders/1",
        "PUT orders/1",
        "POST items",
        "PATCH items/7",
        "PUT items/7",
        "PATCH items/8",
        "PUT items/8",
        "POST products",
    ]
    .into_iter()
    .fold(Stubs::new(), |stubs, name| stubs.variant(Variant::new(name).status(204)))
}

fn requests(stubs: &Stubs) -> Vec<(String, Value)> {
    let shown = |call: Call| {
        let body = call.json().unwrap_or_default();
        (format!("{} {}", call.method, call.segments.join("/")), body)
    };
    stubs.calls().into_iter().map(shown).collect()
}

/// Until nothing is queued.
async fn settled(repo: &Repository) {
    let empty = async {
        while !repo.outbox().list(0, 1).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), empty).await.expect("the outbox gets empty");
}

async fn state_of(repo: &Repository, item: u32) -> RowState {
    repo.sync_state::<Item>(item).await.unwrap().unwrap().state
}

// Rules: m-assoc-send
#[tokio::test]
async fn nested_children_go_in_the_request_of_their_parent() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    let mut shoe = item(8, "shoe");
    shoe.parts.push(Part { id: 1, item: One::to(8), label: "lace".into() });
    repo.upsert(&order([item(7, "hat"), shoe])).await.unwrap().accepted().await.unwrap();

    let mut second = line(8, "shoe");
    second["parts"] = json!([{ "id": 1, "item": 8, "label": "lace" }]);
    let body = json!({ "id": 1, "note": "soon", "lines": [line(7, "hat"), second] });
    assert_eq!(requests(&stubs), [("POST orders".into(), body)]);
    assert_eq!(state_of(&repo, 7).await, RowState::Synced);
    assert_eq!(repo.sync_state::<Part>(1).await.unwrap().unwrap().state, RowState::Synced);
    assert!(repo.outbox().list(0, 10).await.unwrap().is_empty());
}

// Rules: m-assoc-send
#[tokio::test]
async fn a_repeat_after_a_lost_reply_sends_the_same_bytes() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    stubs.switches().flaky(Flaky::new(1, 100).faults([Fault::LostReply]));
    let stored = repo.upsert(&order([item(7, "hat")])).await.unwrap();
    while stubs.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    // Whatever is changed meanwhile goes later.
    let _ = repo.upsert(&item(7, "cap")).await.unwrap();
    stubs.switches().clear();
    stored.accepted().await.unwrap();
    settled(&repo).await;

    let calls = stubs.calls();
    let (creations, later) = calls.split_at(calls.len() - 1);
    assert!(creations.len() > 1);
    for call in creations {
        assert_eq!(
            (&call.body, call.header("idempotency-key")),
            (&creations[0].body, creations[0].header("idempotency-key"))
        );
    }
    assert_eq!(creations[0].json().unwrap()["lines"], json!([line(7, "hat")]));
    assert_eq!(later[0].segments, ["items", "7"]);
    assert_eq!(here::<Item>(&repo).await[0].name, "cap");
}

// Rules: m-assoc-send
#[tokio::test]
async fn a_child_that_changed_alone_goes_with_its_parent_if_it_is_saved_with_it_and_else_by_itself() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    repo.upsert(&order([item(7, "hat")])).await.unwrap().accepted().await.unwrap();
    stubs.forget_calls();

    repo.upsert(&order([item(7, "cap")])).await.unwrap().accepted().await.unwrap();
    repo.upsert(&order([item(7, "cap")])).await.unwrap().accepted().await.unwrap();
    repo.upsert(&item(7, "helmet")).await.unwrap().accepted().await.unwrap();
    let requests = requests(&stubs);
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(requests[0].0.ends_with("orders/1"), "{requests:?}");
    assert_eq!(requests[0].1["lines"], json!([line(7, "cap")]));
    assert!(requests[1].0.ends_with("items/7"), "{requests:?}");
    assert_eq!(requests[1].1["name"], "helmet");
}

// Rules: m-assoc-send
#[tokio::test]
async fn what_the_server_says_of_nested_rows_is_merged_under_later_changes() {
    let answer = |call: &Call| {
        let mut row = call.json().unwrap();
        for line in row["lines"].as_array_mut().unwrap() {
            line["price"] = json!(100);
        }
        Answer::new().status(201).json(row)
    };
    let stubs = Stubs::new()
        .variant(Variant::new("POST orders").respond(answer))
        .variant(Variant::new("PATCH items/8").status(204))
        .variant(Variant::new("PUT items/8").status(204));
    let repo = over(Memory::new(), &stubs).await;
    repo.outbox().pause();
    let stored = repo.upsert(&order([item(7, "hat"), item(8, "shoe")])).await.unwrap();
    let _ = repo.upsert(&item(8, "boot")).await.unwrap();
    repo.outbox().resume();
    stored.accepted().await.unwrap();
    let items = here::<Item>(&repo).await;
    let shown: Vec<_> = items.iter().map(|item| (item.name.as_str(), item.price)).collect();
    assert_eq!(shown, [("hat", Some(100)), ("boot", Some(100))]);
    assert_eq!(state_of(&repo, 7).await, RowState::Synced);
    settled(&repo).await;
    assert_eq!(state_of(&repo, 8).await, RowState::Synced);
}

// Rules: m-assoc-send
#[tokio::test]
async fn a_refused_parent_holds_its_children_until_it_is_retried() {
    let refusing = Variant::new("POST orders").status(422).then(Answer::new().status(204));
    let stubs = Stubs::new().variant(refusing);
    let repo = over(Memory::new(), &stubs).await;
    let stored = repo.upsert(&order([item(7, "hat")])).await.unwrap();
    assert_eq!(stored.accepted().await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(state_of(&repo, 7).await, RowState::Pending);
    let parked = repo.outbox().parked().await.unwrap();
    assert_eq!(parked.len(), 1, "the child is no letter of its own");

    repo.outbox().retry(parked[0].seq).await.unwrap();
    settled(&repo).await;
    let requests = requests(&stubs);
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0], requests[1]);
    assert_eq!(state_of(&repo, 7).await, RowState::Synced);
}

// Rules: m-assoc-send
#[tokio::test]
async fn giving_the_parent_up_gives_its_children_up() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    repo.upsert(&order([item(7, "hat"), item(8, "shoe")])).await.unwrap().accepted().await.unwrap();
    stubs.forget_calls();
    repo.outbox().pause();
    let stored = repo.upsert(&order([item(7, "cap"), item(8, "boot"), item(9, "new")])).await.unwrap();
    let _ = repo.upsert(&Item { price: Some(5), ..item(8, "boot") }).await.unwrap();

    let queued = repo.outbox().list(0, 10).await.unwrap();
    let error = repo.outbox().discard(queued[1].seq).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    repo.outbox().discard(queued[0].seq).await.unwrap();
    assert_eq!(stored.accepted().await.unwrap_err().kind(), ErrorKind::Cancelled);

    let items = here::<Item>(&repo).await;
    let shown: Vec<_> = items.iter().map(|item| (item.id, item.name.as_str(), item.price)).collect();
    assert_eq!(shown, [(7, "hat", None), (8, "shoe", Some(5))], "what was changed since stays");
    assert_eq!(state_of(&repo, 7).await, RowState::Synced);
    repo.outbox().resume();
    settled(&repo).await;
    let requests = requests(&stubs);
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].0.ends_with("items/8"), "{requests:?}");
}

// Rules: m-assoc-send
#[tokio::test]
async fn a_child_that_refers_to_a_new_row_goes_by_itself_after_it() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    let hat = Item { product: Some(One::of(Product { id: 3 })), ..item(7, "hat") };
    repo.upsert(&order([hat])).await.unwrap().accepted().await.unwrap();
    let mut requests: Vec<_> = requests(&stubs).into_iter().map(|(request, _)| request).collect();
    assert_eq!(requests.pop().unwrap(), "POST items", "after both that it refers to");
    requests.sort();
    assert_eq!(requests, ["POST orders", "POST products"]);
}

// Rules: m-assoc-send
#[tokio::test]
async fn a_child_with_changes_on_their_way_goes_by_itself() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    repo.upsert(&order([item(7, "hat")])).await.unwrap().accepted().await.unwrap();
    stubs.forget_calls();
    repo.outbox().pause();
    let _ = repo.upsert(&item(7, "cap")).await.unwrap();
    let _ = repo.upsert(&Order { note: "now".into(), ..order([item(7, "helmet")]) }).await.unwrap();
    repo.outbox().resume();
    settled(&repo).await;
    let requests = requests(&stubs);
    assert_eq!(requests.len(), 2, "{requests:?}");
    let names: Vec<_> = requests.iter().filter_map(|(_, body)| body["name"].as_str()).collect();
    assert_eq!(names, ["helmet"]);
    assert!(requests.iter().all(|(_, body)| body.get("lines").is_none()));
}

// Rules: m-assoc-send
#[tokio::test]
async fn a_transaction_nests_as_well() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    repo.transaction(|tx| tx.upsert(&order([item(7, "hat")]))).await.unwrap();
    settled(&repo).await;
    let body = json!({ "id": 1, "note": "soon", "lines": [line(7, "hat")] });
    assert_eq!(requests(&stubs), [("POST orders".into(), body)]);
}

// Rules: m-assoc-send
#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_a_request_goes_in_it_after_a_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.redb");
    let stubs = agreeable();
    stubs.switches().offline(true);
    let repo = over(larder::Redb::at(&file), &stubs).await;
    let _ = repo.upsert(&order([item(7, "hat")])).await.unwrap();
    repo.close().await;

    stubs.switches().offline(false);
    let repo = over(larder::Redb::at(&file), &stubs).await;
    settled(&repo).await;
    let body = json!({ "id": 1, "note": "soon", "lines": [line(7, "hat")] });
    assert_eq!(requests(&stubs), [("POST orders".into(), body)]);
    let items = repo.reading(ReadPolicy::LocalOnly).get(Select::<Item>::all()).await.unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(state_of(&repo, 7).await, RowState::Synced);
    repo.close().await;
}
