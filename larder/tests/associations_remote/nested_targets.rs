//! Rows that others refer to, by a key, by a list of keys or through a link model, in the request of what refers to them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use larder::core::OpenStore;
use larder::rest::Endpoint;
use larder::{ErrorKind, Many, Memory, Model, One, ReadPolicy, Repository, Rest, RowState, Select};
use larder_stubs::{Call, Collection, Fault, Flaky, Stubs, Switches, Variant};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::here;

#[derive(Model, Clone, Debug, PartialEq)]
struct Order {
    #[model(key)]
    id: u32,
    #[model(json(rename = "buyer", send = "nested"))]
    customer: One<Customer>,
    #[model(keys, json(rename = "marks", send = "nested"))]
    labels: Many<Label>,
    #[model(through = "Tagging", from = "order", to = "tag", json(rename = "hashes", send = "nested"))]
    tags: Many<Tag>,
    #[model(children = "order", json(send = "nested"))]
    items: Many<Item>,
    /// Goes by a request of its own.
    shop: Option<One<Shop>>,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Customer {
    #[model(key)]
    name: String,
    city: Option<String>,
    town: Option<One<Town>>,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Town {
    #[model(key)]
    name: String,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Shop {
    #[model(key)]
    name: String,
    owner: Option<One<Customer>>,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Label {
    #[model(key)]
    name: String,
    color: u8,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Tag {
    #[model(key)]
    name: String,
    color: u8,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Tagging {
    #[model(key)]
    order: One<Order>,
    #[model(key)]
    tag: One<Tag>,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Item {
    #[model(key)]
    id: u32,
    order: One<Order>,
    #[model(json(send = "nested"))]
    product: Option<One<Product>>,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Product {
    #[model(key)]
    id: u32,
}

/// Its key is the server's.
#[derive(Model, Clone, Debug, PartialEq)]
pub(super) struct Ticket {
    #[model(key(server))]
    pub(super) number: i64,
    #[model(json(send = "nested"))]
    pub(super) queue: Option<One<Queue>>,
    #[model(children = "ticket", json(send = "nested"))]
    pub(super) steps: Many<Step>,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(super) struct Step {
    #[model(key(server))]
    pub(super) number: i64,
    pub(super) ticket: One<Ticket>,
    pub(super) text: String,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(super) struct Queue {
    #[model(key(server))]
    number: i64,
    name: String,
}

fn customer(name: &str) -> Customer {
    Customer { name: name.into(), city: None, town: None }
}

fn order(id: u32, customer: One<Customer>) -> Order {
    let (labels, tags, items) = (Many::new(), Many::new(), Many::new());
    Order { id, customer, labels, tags, items, shop: None }
}

fn label(name: &str, color: u8) -> Label {
    Label { name: name.into(), color }
}

fn tag(name: &str, color: u8) -> Tag {
    Tag { name: name.into(), color }
}

/// What the server hears of an order in which nothing stands.
fn bare(id: u32, buyer: &str) -> Value {
    json!({ "id": id, "buyer": buyer, "marks": [], "shop": null })
}

fn with(mut object: Value, member: &str, value: Value) -> Value {
    object[member] = value;
    object
}

fn shown(name: &str) -> Value {
    json!({ "name": name, "city": null, "town": null })
}

pub(super) async fn over(store: impl OpenStore + 'static, stubs: &Stubs) -> Repository {
    let rest = Rest::at("https://api.example.com")
        .idempotency_header("Idempotency-Key")
        .model::<Order>(Endpoint::new("/orders"))
        .transport(stubs.clone());
    Repository::builder()
        .store(store)
        .remote(rest)
        .outbox(larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(5)))
        .model::<Order>()
        .model::<Customer>()
        .model::<Town>()
        .model::<Shop>()
        .model::<Label>()
        .model::<Tag>()
        .model::<Tagging>()
        .model::<Item>()
        .model::<Product>()
        .model::<Ticket>()
        .model::<Step>()
        .model::<Queue>()
        .model::<Knot>()
        .build()
        .await
        .unwrap()
}

/// A server that takes everything and says nothing of use.
fn agreeable() -> Stubs {
    let creations =
        ["orders", "customers", "towns", "shops", "labels", "tags", "taggings", "items", "products", "knots"];
    let stubs = creations
        .into_iter()
        .fold(Stubs::new(), |stubs, name| stubs.variant(Variant::new(&format!("POST {name}")).status(204)));
    let knots = (0..8).map(|id| format!("knots/{id}"));
    let rows = ["orders/1", "orders/2", "customers/ada"].map(str::to_owned).into_iter().chain(knots);
    rows.fold(stubs, |stubs, name| {
        stubs
            .variant(Variant::new(&format!("PATCH {name}")).status(204))
            .variant(Variant::new(&format!("PUT {name}")).status(204))
    })
}

pub(super) fn requests(stubs: &Stubs) -> Vec<(String, Value)> {
    let shown = |call: Call| {
        let body = call.json().unwrap_or_default();
        (format!("{} {}", call.method, call.segments.join("/")), body)
    };
    stubs.calls().into_iter().map(shown).collect()
}

fn names(stubs: &Stubs) -> Vec<String> {
    requests(stubs).into_iter().map(|(name, _)| name).collect()
}

/// Until nothing is queued.
pub(super) async fn settled(repo: &Repository) {
    let empty = async {
        while !repo.outbox().list(0, 1).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), empty).await.expect("the outbox gets empty");
}

/// From when on nothing is sent.
async fn paused(repo: &Repository) {
    repo.outbox().pause();
    while !repo.status().paused {
        tokio::task::yield_now().await;
    }
}

async fn state_of<M: Model>(repo: &Repository, key: impl Into<larder::Key>) -> RowState {
    repo.sync_state::<M>(key).await.unwrap().unwrap().state
}

// Rules: m-assoc-send
#[tokio::test]
async fn what_a_row_refers_to_stands_in_the_place_of_its_key() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    let _ = repo.upsert(&label("old", 0)).await.unwrap().accepted().await.unwrap();
    let _ = repo.upsert(&tag("late", 0)).await.unwrap().accepted().await.unwrap();
    stubs.forget_calls();
    let mut new = order(1, One::of(customer("ada")));
    new.labels.link("old".into());
    new.labels.push(label("red", 1));
    new.tags.push(tag("gift", 2));
    new.tags.link("late".into());
    let product = Some(One::of(Product { id: 3 }));
    new.items.push(Item { id: 7, order: One::to(1), product });
    repo.upsert(&new).await.unwrap().accepted().await.unwrap();
    settled(&repo).await;

    let body = with(bare(1, ""), "buyer", shown("ada"));
    let body = with(body, "marks", json!(["old", { "name": "red", "color": 1 }]));
    let body = with(body, "hashes", json!([{ "name": "gift", "color": 2 }, "late"]));
    let body = with(body, "items", json!([{ "id": 7, "order": 1, "product": { "id": 3 } }]));
    assert_eq!(requests(&stubs), [("POST orders".into(), body)]);
    assert_eq!(state_of::<Customer>(&repo, "ada").await, RowState::Synced);
    assert_eq!(state_of::<Label>(&repo, "red").await, RowState::Synced);
    assert_eq!(state_of::<Tag>(&repo, "gift").await, RowState::Synced);
    assert_eq!(state_of::<Product>(&repo, 3_u32).await, RowState::Synced);
    for link in here::<Tagging>(&repo).await {
        assert_eq!(state_of::<Tagging>(&repo, link.key().unwrap()).await, RowState::Synced);
    }
}

// Rules: m-assoc-send
#[tokio::test]
async fn what_changed_alone_goes_with_the_row_that_it_is_saved_with() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    let mut new = order(1, One::of(customer("ada")));
    new.labels.push(label("red", 1));
    new.labels.push(label("blue", 2));
    new.tags.push(tag("gift", 1));
    repo.upsert(&new).await.unwrap().accepted().await.unwrap();
    settled(&repo).await;
    stubs.forget_calls();

    let everything = Order::ID.eq(1).with(Order::CUSTOMER).with(Order::LABELS).with(Order::TAGS);
    let mut loaded = Order::clone(&*repo.reading(ReadPolicy::LocalOnly).get_one(everything).await.unwrap());
    assert!(loaded.customer.edit(|ada| ada.city = Some("Oslo".into())));
    assert!(loaded.labels.edit(&"blue".into(), |label| label.color = 9));
    assert!(loaded.tags.edit(&"gift".into(), |tag| tag.color = 9));
    repo.upsert(&loaded).await.unwrap().accepted().await.unwrap();
    settled(&repo).await;
    let requests = requests(&stubs);
    assert_eq!(requests.len(), 1, "{requests:?}");
    let (name, body) = &requests[0];
    assert!(name.ends_with("orders/1"), "{name}");
    assert_eq!(body["buyer"]["city"], "Oslo");
    assert_eq!(body["marks"], json!(["red", { "name": "blue", "color": 9 }]));
    assert_eq!(body["hashes"], json!([{ "name": "gift", "color": 9 }]));
}

// Rules: m-assoc-send
#[tokio::test]
async fn a_row_that_two_refer_to_stands_in_the_first_and_is_named_by_the_other() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    let orders = [1, 2].map(|id| order(id, One::of(customer("ada"))));
    let _ = repo.upsert_many(&orders).await.unwrap();
    settled(&repo).await;
    let first = with(bare(1, ""), "buyer", shown("ada"));
    assert_eq!(requests(&stubs), [("POST orders".into(), first), ("POST orders".into(), bare(2, "ada"))]);
}

// Rules: m-assoc-send
#[tokio::test]
async fn what_has_changes_on_their_way_goes_before_by_itself() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    paused(&repo).await;
    let _ = repo.upsert(&customer("ada")).await.unwrap();
    let ada = Customer { city: Some("Oslo".into()), ..customer("ada") };
    let _ = repo.upsert(&order(1, One::of(ada))).await.unwrap();
    repo.outbox().resume();
    settled(&repo).await;
    let requests = requests(&stubs);
    assert_eq!(names(&stubs)[0], "POST customers");
    let orders: Vec<_> = requests.iter().filter(|(name, _)| name == "POST orders").collect();
    assert_eq!(orders[0].1, bare(1, "ada"), "its key alone");
}

// Rules: m-assoc-send
#[tokio::test]
async fn what_refers_to_a_new_row_elsewhere_goes_after_that_one_and_before_this() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    let town = Some(One::of(Town { name: "Oslo".into() }));
    let mut new = order(1, One::of(Customer { town, ..customer("ada") }));
    new.labels.push(label("red", 1));
    let _ = repo.upsert(&new).await.unwrap();
    settled(&repo).await;
    assert_eq!(names(&stubs), ["POST towns", "POST customers", "POST orders"]);
    let marks = json!([{ "name": "red", "color": 1 }]);
    assert_eq!(requests(&stubs)[2].1, with(bare(1, "ada"), "marks", marks), "the others still stand in it");
}

// Rules: m-assoc-send
#[tokio::test]
async fn a_row_that_something_before_refers_to_as_well_goes_first() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    // The order needs the shop, which needs the customer: she can't stand in the order.
    let owner = Some(One::to("ada".into()));
    let shop = Some(One::of(Shop { name: "corner".into(), owner }));
    let _ = repo.upsert(&Order { shop, ..order(1, One::of(customer("ada"))) }).await.unwrap();
    settled(&repo).await;
    assert_eq!(names(&stubs), ["POST customers", "POST shops", "POST orders"]);
}

// Rules: m-assoc-send
#[tokio::test]
async fn in_a_transaction_that_writes_in_another_order_it_goes_first_as_well() {
    let stubs = agreeable();
    let repo = over(Memory::new(), &stubs).await;
    repo.transaction(|tx| {
        tx.upsert(&order(1, One::to("ada".into())))?;
        let shop = Some(One::to("corner".into()));
        tx.upsert(&Order { shop, ..order(1, One::of(customer("ada"))) })?;
        tx.upsert(&Shop { name: "corner".into(), owner: Some(One::to("ada".into())) })
    })
    .await
    .unwrap();
    settled(&repo).await;
    assert_eq!(names(&stubs), ["POST customers", "POST shops", "POST orders"]);
}

// Rules: m-assoc-send, m-key-server
#[tokio::test]
async fn a_row_with_a_temporary_key_stands_in_no_request_and_in_its_own_nothing_stands() {
    let stubs = Stubs::new().collection(Collection::at("tickets").key("number")).collection(
        Collection::at("steps").key("number").rows([json!({ "number": 40, "ticket": 20, "text": "known" })]),
    );
    stubs.put_row("tickets", json!({ "number": 20, "queue": null }));
    let stubs = stubs.collection(Collection::at("queues").key("number"));
    let repo = over(Memory::new(), &stubs).await;
    repo.get(Select::<Ticket>::all().with(Ticket::STEPS)).await.unwrap();
    stubs.forget_calls();
    paused(&repo).await;
    let ticket = repo.new_key(Ticket::NUMBER).await.unwrap();
    let step = |number, ticket, text: &str| Step { number, ticket: One::to(ticket), text: text.into() };
    // Nobody could tell which row of the answer was meant.
    let steps = Many::of([step(repo.new_key(Step::NUMBER).await.unwrap(), ticket, "first")]);
    let queue = Some(One::of(Queue { number: repo.new_key(Queue::NUMBER).await.unwrap(), name: "q".into() }));
    let _ = repo.upsert(&Ticket { number: ticket, queue, steps }).await.unwrap();
    let queued = repo.outbox().list(0, 10).await.unwrap();
    let shown: Vec<_> = queued.iter().map(|entry| (entry.model, entry.operation)).collect();
    assert_eq!(shown.len(), 3, "each is a mutation of its own: {shown:?}");
    let alone: Vec<u64> = queued.iter().map(|entry| entry.seq).collect();
    for seq in alone.into_iter().rev() {
        // What goes in the request of another can't be discarded alone.
        repo.outbox().discard(seq).await.unwrap();
    }

    // A new step of a ticket that is known goes by itself; one that the server has named stands in it.
    let known =
        Many::of([step(40, 20, "edited"), step(repo.new_key(Step::NUMBER).await.unwrap(), 20, "new")]);
    let _ = repo.upsert(&Ticket { number: 20, queue: None, steps: known }).await.unwrap();
    repo.outbox().resume();
    settled(&repo).await;
    let requests = requests(&stubs);
    let nested = requests.iter().find(|(name, _)| name.ends_with("tickets/20")).unwrap();
    assert_eq!(nested.1["steps"], json!([{ "number": 40, "ticket": 20, "text": "edited" }]));
    let alone = requests.iter().find(|(name, _)| name == "POST steps").unwrap();
    assert_eq!(alone.1, json!({ "ticket": 20, "text": "new" }), "without its temporary key");
    assert!(here::<Step>(&repo).await.iter().all(|step| step.number > 0), "exchanged");
}

// Rules: m-assoc-send, m-key-server-held
#[tokio::test]
async fn a_row_stands_within_one_that_has_got_its_key_whoever_still_holds_the_temporary_one() {
    let steps = Collection::at("steps").key("number");
    let stubs = Stubs::new()
        .collection(Collection::at("tickets").key("number"))
        .collection(steps.rows([json!({ "number": 40, "ticket": 20, "text": "known" })]));
    stubs.put_row("tickets", json!({ "number": 20, "queue": null }));
    let repo = over(Memory::new(), &stubs).await;
    repo.get(Select::<Ticket>::all().with(Ticket::STEPS)).await.unwrap();
    let held =
        Ticket { number: repo.new_key(Ticket::NUMBER).await.unwrap(), queue: None, steps: Many::new() };
    let given = repo.upsert(&held).await.unwrap().accepted().await.unwrap().number;
    settled(&repo).await;
    stubs.forget_calls();
    let moved = Step { number: 40, ticket: One::to(held.number), text: "moved".into() };
    let _ = repo.upsert(&Ticket { steps: Many::of([moved]), ..held }).await.unwrap();
    settled(&repo).await;
    let requests = requests(&stubs);
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].0.ends_with(&format!("tickets/{given}")), "{requests:?}");
    assert_eq!(requests[0].1["steps"], json!([{ "number": 40, "ticket": given, "text": "moved" }]));
}

// Rules: m-assoc-send
#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn it_stands_there_after_a_reopening_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.redb");
    let stubs = agreeable();
    stubs.switches().offline(true);
    let repo = over(larder::Redb::at(&file), &stubs).await;
    let mut new = order(1, One::of(customer("ada")));
    new.tags.push(tag("gift", 2));
    let _ = repo.upsert(&new).await.unwrap();
    repo.close().await;
    stubs.switches().offline(false);
    stubs.forget_calls();
    let repo = over(larder::Redb::at(&file), &stubs).await;
    settled(&repo).await;
    let body = with(bare(1, ""), "buyer", shown("ada"));
    let body = with(body, "hashes", json!([{ "name": "gift", "color": 2 }]));
    assert_eq!(requests(&stubs), [("POST orders".into(), body)]);
    repo.close().await;
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Paper {
    #[model(key)]
    id: u32,
    #[model(through = "Signing", from = "paper", to = "tag", json(send = "nested"))]
    tags: Many<Tag>,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Signing {
    #[model(key)]
    paper: One<Paper>,
    #[model(key)]
    tag: One<Tag>,
    #[model(default)]
    weight: u8,
}

// Rules: m-assoc-send
#[tokio::test]
async fn a_link_model_that_says_more_than_whom_it_joins_is_not_sent_as_a_list_of_rows() {
    let builder = Repository::builder().store(Memory::new()).model::<Paper>().model::<Signing>();
    let error = builder.model::<Tag>().build().await.unwrap_err();
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Invalid, Some("Paper")));
    assert!(error.message().contains("its only fields"), "{error}");
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Knot {
    #[model(key)]
    id: u32,
    #[model(json(send = "nested"))]
    next: Option<One<Knot>>,
    #[model(keys, json(send = "nested"))]
    list: Many<Knot>,
    plain: Option<One<Knot>>,
}

/// The rows, each made with what it refers to: rows behind it alone.
fn knots(edges: &[(Option<usize>, Vec<usize>, Option<usize>)]) -> Vec<Arc<Knot>> {
    let count = edges.len();
    let mut made: Vec<Option<Arc<Knot>>> = vec![None; count];
    for at in (0..count).rev() {
        let (next, list, plain) = &edges[at];
        let behind = |step: &usize| at + 1 + step;
        let row = |step: &usize| made.get(behind(step)).cloned().flatten();
        let mut list: Vec<Arc<Knot>> = list.iter().filter_map(row).collect();
        list.dedup_by_key(|knot| knot.id);
        let one = |step: &Option<usize>| step.as_ref().and_then(row).map(One::of);
        let knot =
            Knot { id: u32::try_from(at).unwrap(), next: one(next), list: Many::of(list), plain: one(plain) };
        made[at] = Some(Arc::new(knot));
    }
    made.into_iter().flatten().collect()
}

/// The rows that stand in a body, and the keys that it names.
fn told(body: &Value, rows: &mut Vec<u64>, keys: &mut BTreeSet<u64>) {
    let Value::Object(object) = body else {
        keys.extend(body.as_u64());
        return;
    };
    rows.push(object["id"].as_u64().unwrap());
    told_within(&object["next"], rows, keys);
    told_within(&object["plain"], rows, keys);
    for one in object["list"].as_array().into_iter().flatten() {
        told_within(one, rows, keys);
    }
}

fn told_within(value: &Value, rows: &mut Vec<u64>, keys: &mut BTreeSet<u64>) {
    if !value.is_null() {
        told(value, rows, keys);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    // Rules: m-assoc-send
    #[test]
    fn nothing_is_named_before_it_is_made_and_each_row_is_made_once(
        edges in proptest::collection::vec(
            (proptest::option::of(0..4_usize), proptest::collection::vec(0..4_usize, 0..3), proptest::option::of(0..4_usize)),
            1..8,
        ),
        roots in proptest::collection::vec(any::<bool>(), 8),
        waiting in proptest::option::of(0..8_usize),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stubs = agreeable();
            let repo = over(Memory::new(), &stubs).await;
            paused(&repo).await;
            let rows = knots(&edges);
            // One of them may be on its way already.
            if let Some(row) = waiting.and_then(|at| rows.get(at)) {
                let _ = repo.upsert(&Knot { id: row.id, next: None, list: Many::new(), plain: None }).await.unwrap();
            }
            let chosen: Vec<Knot> =
                rows.iter().zip(&roots).enumerate().filter(|(at, (_, root))| *at == 0 || **root).map(|(_, (row, _))| Knot::clone(row)).collect();
            let _ = repo.upsert_many(&chosen).await.unwrap();
            repo.outbox().resume();
            settled(&repo).await;
            let mut made = BTreeSet::new();
            for (name, body) in requests(&stubs) {
                let (mut rows, mut keys) = (Vec::new(), BTreeSet::new());
                told(&body, &mut rows, &mut keys);
                let creates = name.starts_with("POST");
                for row in rows {
                    prop_assert!(made.insert(row) || !creates || Some(row) == waiting.map(|at| at as u64), "{row} twice");
                }
                prop_assert!(keys.is_subset(&made), "{name} {body} names what is not made: {made:?}");
            }
            prop_assert_eq!(made.len(), here::<Knot>(&repo).await.len());
            Ok(())
        })?;
    }
}

// Rules: m-assoc-send, o-idempotency
#[tokio::test]
async fn a_probe_asks_after_what_stood_in_the_request() {
    use larder::{Idempotency, Operation};
    for (there, accepted) in [
        (json!([{ "id": 7, "order": 1, "product": { "id": 3 } }]), true),
        (json!([{ "id": 7, "order": 1, "product": null }]), false),
    ] {
        let found = with(with(bare(1, ""), "buyer", shown("ada")), "items", there);
        let lossy = Switches::default();
        lossy.flaky(Flaky::new(1, 100).faults([Fault::LostReply]));
        let stubs = Stubs::new()
            .variant(Variant::new("POST orders").status(201).switches(&lossy))
            .variant(Variant::new("GET orders/1").json(found))
            .variant(Variant::new("GET products/3").json(json!({ "id": 3 })));
        let orders = Endpoint::new("/orders").idempotency(Operation::Insert, Idempotency::Probe);
        let rest = Rest::at("https://api.example.com").model::<Order>(orders).transport(stubs.clone());
        let builder = Repository::builder().store(Memory::new()).remote(rest);
        let builder = builder.outbox(
            larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(5)),
        );
        let builder = builder.model::<Order>().model::<Customer>().model::<Town>().model::<Shop>();
        let builder = builder.model::<Label>().model::<Tag>().model::<Tagging>().model::<Item>();
        let repo = builder.model::<Product>().build().await.unwrap();
        let mut new = order(1, One::of(customer("ada")));
        new.items.push(Item { id: 7, order: One::to(1), product: Some(One::of(Product { id: 3 })) });
        let fate = repo.upsert(&new).await.unwrap().accepted().await;
        assert_eq!(stubs.calls_of("POST orders").len(), 1, "it is not sent again blindly");
        assert_eq!(fate.is_ok(), accepted, "{fate:?}");
        let state = if accepted { RowState::Synced } else { RowState::Pending };
        assert_eq!(state_of::<Item>(&repo, 7_u32).await, state);
        assert_eq!(state_of::<Product>(&repo, 3_u32).await, state);
    }
}
