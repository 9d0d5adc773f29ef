//! Conflicts of rows that go in the request of the row that they belong to.

use std::time::Duration;

use larder::rest::Endpoint;
use larder::{
    Builder, Conflicted, ErrorKind, Many, Memory, Model, One, Pushed, Repository, Resolution, Rest, RowState,
    Strategy,
};
use larder_stubs::{Answer, Call, Fault, Flaky, Stubs, Variant};
use serde_json::{Value, json};

use super::here;

#[derive(Model, Clone, Debug, PartialEq)]
pub(super) struct Order {
    #[model(key)]
    pub(super) id: u32,
    pub(super) note: String,
    #[model(children = "order", json(rename = "lines", send = "nested"))]
    pub(super) items: Many<Item>,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(super) struct Item {
    #[model(key)]
    pub(super) id: u32,
    pub(super) order: One<Order>,
    pub(super) name: String,
    pub(super) price: Option<i64>,
    #[model(children = "item", json(send = "nested"))]
    pub(super) parts: Many<Part>,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(super) struct Part {
    #[model(key)]
    pub(super) id: u32,
    pub(super) item: One<Item>,
    pub(super) label: String,
}

pub(super) fn item(name: &str, price: Option<i64>) -> Item {
    Item { id: 7, order: One::to(1), name: name.into(), price, parts: Many::default() }
}

pub(super) fn order(note: &str, item: Item) -> Order {
    let mut order = Order { id: 1, note: note.into(), items: Many::default() };
    order.items.push(item);
    order
}

pub(super) fn line(name: &str, price: Option<i64>) -> Value {
    json!({ "id": 7, "order": 1, "name": name, "price": price })
}

/// A server that has the order 1, "soon", with these lines; `says` is what it answers to its update.
pub(super) fn server(lines: &Value, says: Variant) -> Stubs {
    let order = json!({ "id": 1, "note": "soon", "lines": lines });
    let stubs = Stubs::new().on("GET orders/1", order).variant(says);
    let stubs = match lines.get(0) {
        Some(line) => stubs.on("GET items/7", line.clone()),
        None => stubs.variant(Variant::new("GET items/7").status(404)),
    };
    let stubs = stubs.variant(Variant::new("GET parts/3").status(404));
    ["PUT items/7", "POST parts"]
        .into_iter()
        .fold(stubs, |stubs, name| stubs.variant(Variant::new(name).status(204)))
}

/// Refused once: somebody else has changed something.
pub(super) fn refused_once() -> Variant {
    Variant::new("PUT orders/1").status(412).then(Answer::new().status(204))
}

/// A repository that has the order 1 with a hat, as the server had them; nothing is sent.
pub(super) async fn stocked(stubs: &Stubs, configure: impl FnOnce(Builder) -> Builder) -> Repository {
    let rest = Rest::at("https://api.example.com")
        .model::<Order>(Endpoint::new("/orders"))
        .idempotency_header("Idempotency-Key")
        .transport(stubs.clone());
    let builder = Repository::builder()
        .store(Memory::new())
        .remote(rest)
        .outbox(larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(5)))
        .model::<Order>()
        .model::<Item>()
        .model::<Part>()
        .paused();
    let repo = configure(builder).build().await.unwrap();
    let soon = Order { id: 1, note: "soon".into(), items: Many::default() };
    repo.pushed(Pushed::rows([soon])).await.unwrap();
    repo.pushed(Pushed::rows([item("hat", None)])).await.unwrap();
    repo
}

pub(super) fn requests(stubs: &Stubs) -> Vec<(String, Value)> {
    let shown = |call: Call| {
        let body = call.json().unwrap_or_default();
        (format!("{} {}", call.method, call.segments.join("/")), body)
    };
    stubs.calls().into_iter().map(shown).filter(|(request, _)| !request.starts_with("GET")).collect()
}

pub(super) async fn settled(repo: &Repository) {
    tokio::time::timeout(Duration::from_secs(60), repo.outbox().settled()).await.expect("it settles");
}

async fn state(repo: &Repository) -> RowState {
    repo.sync_state::<Item>(7).await.unwrap().unwrap().state
}

pub(super) async fn item_here(repo: &Repository) -> Option<(String, Option<i64>)> {
    here::<Item>(repo).await.pop().map(|item| (item.name, item.price))
}

async fn conflict(repo: &Repository) -> Conflicted<Item> {
    let mut conflicts = repo.conflicts::<Item>().list().await.unwrap();
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    conflicts.remove(0)
}

// Rules: c-nested
#[tokio::test]
async fn what_goes_in_a_refused_request_is_put_on_what_the_server_has_of_it() {
    let stubs = server(&json!([line("hat", Some(100))]), refused_once());
    let repo = stocked(&stubs, |builder| builder).await;
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    repo.outbox().resume();
    stored.accepted().await.unwrap();
    settled(&repo).await;
    let sent = requests(&stubs);
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(sent[0].1["lines"], json!([line("cap", None)]));
    assert_eq!(sent[1].1["lines"], json!([line("cap", Some(100))]), "the price that was made there stays");
    assert_eq!(sent[1].1["note"], "now");
    assert_eq!(item_here(&repo).await, Some(("cap".into(), Some(100))));
    assert_eq!(state(&repo).await, RowState::Synced);
}

// Rules: c-nested, c-ask, c-settle
#[tokio::test]
async fn one_that_asks_leaves_the_request_and_waits_by_itself() {
    let stubs = server(&json!([line("helmet", None)]), refused_once());
    let repo = stocked(&stubs, |builder| builder.conflict_strategy::<Item>(Strategy::Ask)).await;
    let mut cap = item("cap", None);
    cap.parts.push(Part { id: 3, item: One::to(7), label: "brim".into() });
    let stored = repo.upsert(&order("now", cap)).await.unwrap();
    repo.outbox().resume();
    let fate = stored.accepted().await.unwrap_err();
    assert_eq!(fate.kind(), ErrorKind::Conflict, "of what was saved together one waits");
    settled(&repo).await;
    let sent = requests(&stubs);
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(
        sent[1],
        ("PUT orders/1".into(), json!({ "id": 1, "note": "now" })),
        "the order goes without it"
    );

    let conflict = conflict(&repo).await;
    let names =
        [conflict.sides.base, conflict.sides.mine, conflict.sides.theirs].map(|side| side.unwrap().name);
    assert_eq!(names, ["hat", "cap", "helmet"]);
    assert_eq!(
        (state(&repo).await, repo.status().conflicts, repo.status().parked),
        (RowState::Conflicted, 1, 1)
    );
    assert_eq!(repo.outbox().len().await.unwrap(), 2, "what stands in it waits with it");

    repo.conflicts::<Item>().settle(conflict.seq, Resolution::Mine).await.unwrap();
    settled(&repo).await;
    let sent = requests(&stubs);
    let (request, body) = sent.last().unwrap();
    assert_eq!((request.as_str(), &body["name"]), ("PUT items/7", &json!("cap")));
    assert_eq!(body["parts"][0]["label"], "brim", "and goes with it");
    assert_eq!((state(&repo).await, repo.outbox().len().await.unwrap()), (RowState::Synced, 0));
}

// Rules: c-nested
#[tokio::test]
async fn one_that_is_gone_there_leaves_the_request_and_what_stood_in_it_goes_by_itself() {
    let stubs = server(&json!([]), refused_once());
    let repo = stocked(&stubs, |builder| builder.conflict_strategy::<Item>(Strategy::ServerWins)).await;
    let mut cap = item("cap", None);
    cap.parts.push(Part { id: 3, item: One::to(7), label: "brim".into() });
    let stored = repo.upsert(&order("now", cap)).await.unwrap();
    repo.outbox().resume();
    assert_eq!(stored.accepted().await.unwrap_err().kind(), ErrorKind::Conflict, "the server's word stands");
    settled(&repo).await;
    let sent: Vec<_> = requests(&stubs).split_off(1);
    let names: Vec<&str> = sent.iter().map(|(request, _)| request.as_str()).collect();
    assert!(names.contains(&"POST parts") && names.len() == 2, "nothing is dropped: {sent:?}");
    assert!(sent.contains(&("PUT orders/1".into(), json!({ "id": 1, "note": "now" }))), "{sent:?}");
    assert_eq!(item_here(&repo).await, None);
    assert_eq!(repo.outbox().len().await.unwrap(), 0);
}

// Rules: c-nested, c-edit
#[tokio::test]
async fn a_request_that_asks_keeps_what_goes_in_it_until_it_is_settled() {
    let stubs = server(&json!([line("hat", Some(100))]), refused_once());
    stubs.forget_calls();
    let stubs =
        stubs.on("GET orders/1", json!({ "id": 1, "note": "never", "lines": [line("hat", Some(100))] }));
    let repo = stocked(&stubs, |builder| builder.conflict_strategy::<Order>(Strategy::Ask)).await;
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    repo.outbox().resume();
    assert_eq!(stored.accepted().await.unwrap_err().kind(), ErrorKind::Conflict);
    settled(&repo).await;
    let waiting = repo.conflicts::<Order>().list().await.unwrap();
    assert_eq!(waiting[0].sides.theirs.as_ref().unwrap().note, "never");
    assert!(repo.conflicts::<Item>().list().await.unwrap().is_empty());
    repo.outbox().edit::<Order>(waiting[0].seq, |order| order.note = "soon enough".into()).await.unwrap();
    settled(&repo).await;
    let sent = requests(&stubs);
    assert_eq!(sent[1].1, json!({ "id": 1, "note": "soon enough", "lines": [line("cap", Some(100))] }));
    assert_eq!(item_here(&repo).await, Some(("cap".into(), Some(100))));
    assert_eq!(state(&repo).await, RowState::Synced);
}

// Rules: c-nested, s-rebase
#[tokio::test]
async fn what_is_heard_before_the_request_has_gone_moves_what_goes_in_it() {
    let stubs = server(&json!([]), Variant::new("PUT orders/1").status(204));
    let repo = stocked(&stubs, |builder| builder).await;
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    repo.pushed(Pushed::rows([item("hat", Some(100))])).await.unwrap();
    repo.outbox().resume();
    stored.accepted().await.unwrap();
    settled(&repo).await;
    assert_eq!(requests(&stubs)[0].1["lines"], json!([line("cap", Some(100))]));

    // One that asks leaves it.
    let repo = stocked(&stubs, |builder| builder.conflict_strategy::<Item>(Strategy::Ask)).await;
    stubs.forget_calls();
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    repo.pushed(Pushed::rows([item("helmet", None)])).await.unwrap();
    repo.outbox().resume();
    assert_eq!(stored.accepted().await.unwrap_err().kind(), ErrorKind::Conflict);
    settled(&repo).await;
    assert_eq!(requests(&stubs), [("PUT orders/1".into(), json!({ "id": 1, "note": "now" }))]);
    let seq = conflict(&repo).await.seq;
    repo.outbox().discard(seq).await.unwrap();
    assert_eq!(item_here(&repo).await, Some(("helmet".into(), None)));
    assert_eq!(repo.outbox().len().await.unwrap(), 0);
}

// Rules: c-nested, o-coalesce-sent
#[tokio::test]
async fn what_may_be_on_its_way_is_not_altered_and_what_was_heard_meanwhile_is_not_lost() {
    let stubs = server(&json!([line("cap", Some(100))]), Variant::new("PUT orders/1").status(204));
    let repo = stocked(&stubs, |builder| builder).await;
    stubs.switches().flaky(Flaky::new(1, 100).faults([Fault::LostReply]));
    let stored = repo.upsert(&order("now", item("cap", None))).await.unwrap();
    repo.outbox().resume();
    while requests(&stubs).is_empty() {
        tokio::task::yield_now().await;
    }
    repo.pushed(Pushed::rows([item("hat", Some(100))])).await.unwrap();
    assert_eq!(item_here(&repo).await, Some(("cap".into(), None)), "it waits for the fate of the request");
    let before = requests(&stubs).len();
    while requests(&stubs).len() <= before {
        tokio::task::yield_now().await;
    }
    stubs.switches().clear();
    stored.accepted().await.unwrap();
    settled(&repo).await;
    let sent = requests(&stubs);
    assert!(sent.iter().all(|request| *request == sent[0]), "{sent:?}");
    assert_eq!(item_here(&repo).await, Some(("cap".into(), Some(100))));
    assert_eq!(state(&repo).await, RowState::Synced);
}
