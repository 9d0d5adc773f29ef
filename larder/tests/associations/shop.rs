//! A shop: models of every form of association, and short ways to say things.

use std::sync::Arc;

use larder::core::{Context, Mutation, Value};
use larder::{Builder, Many, Memory, Model, One, Redb, Repository, Select, Uuid};

use crate::support::counting::{Counting, Reads};
use crate::support::{Net, Switches};

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Customer {
    #[model(key)]
    pub(crate) name: String,
    pub(crate) city: Option<String>,
    #[model(children = "customer")]
    pub(crate) orders: Many<Order>,
    #[model(children = "recommender")]
    pub(crate) recommended: Many<Order>,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Order {
    #[model(key)]
    pub(crate) id: u32,
    pub(crate) customer: One<Customer>,
    /// A second association to the same model.
    pub(crate) recommender: Option<One<Customer>>,
    pub(crate) note: String,
    #[model(keys)]
    pub(crate) labels: Many<Label>,
    #[model(children = "order", orphans = "delete")]
    pub(crate) items: Many<Item>,
    #[model(children = "order")]
    pub(crate) remarks: Many<Remark>,
    #[model(children = "order")]
    pub(crate) payments: Many<Payment>,
    #[model(through = "Tagging", from = "order", to = "tag")]
    pub(crate) tags: Many<Tag>,
}

/// Goes with its order, and keeps its product.
#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Item {
    #[model(key)]
    pub(crate) id: u32,
    #[model(on_delete = "cascade")]
    pub(crate) order: One<Order>,
    pub(crate) product: One<Product>,
    pub(crate) amount: u32,
}

/// Can do without an order.
#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Remark {
    #[model(key)]
    pub(crate) id: u32,
    pub(crate) order: Option<One<Order>>,
    pub(crate) text: String,
}

/// Can't do without an order, and keeps it.
#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Payment {
    #[model(key)]
    pub(crate) id: u32,
    pub(crate) order: One<Order>,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Product {
    #[model(key)]
    pub(crate) id: u32,
    pub(crate) name: String,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Label {
    #[model(key)]
    pub(crate) name: String,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Tag {
    #[model(key)]
    pub(crate) name: String,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Tagging {
    #[model(key)]
    pub(crate) id: Uuid,
    #[model(on_delete = "cascade")]
    pub(crate) order: One<Order>,
    #[model(on_delete = "cascade")]
    pub(crate) tag: One<Tag>,
    #[model(default)]
    pub(crate) weight: u8,
}

/// Refers to its own kind.
#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Node {
    #[model(key)]
    pub(crate) id: u32,
    pub(crate) parent: Option<One<Node>>,
    #[model(children = "parent")]
    pub(crate) children: Many<Node>,
}

/// Falls when the one before it falls.
#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Domino {
    #[model(key)]
    pub(crate) id: u32,
    #[model(on_delete = "cascade")]
    pub(crate) before: Option<One<Domino>>,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Hen {
    #[model(key)]
    pub(crate) id: u32,
    pub(crate) egg: One<Egg>,
    pub(crate) chick: Option<One<Egg>>,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Egg {
    #[model(key)]
    pub(crate) id: u32,
    pub(crate) hen: One<Hen>,
}

pub(crate) fn customer(name: &str) -> Customer {
    Customer { name: name.into(), city: None, orders: Many::new(), recommended: Many::new() }
}

pub(crate) fn order(id: u32, customer: &str) -> Order {
    Order {
        id,
        customer: One::to(customer.into()),
        recommender: None,
        note: String::new(),
        labels: Many::new(),
        items: Many::new(),
        remarks: Many::new(),
        payments: Many::new(),
        tags: Many::new(),
    }
}

pub(crate) fn item(id: u32, order: u32, product: u32) -> Item {
    Item { id, order: One::to(order), product: One::to(product), amount: 1 }
}

pub(crate) fn remark(id: u32, order: Option<u32>) -> Remark {
    Remark { id, order: order.map(One::to), text: String::new() }
}

pub(crate) fn product(id: u32) -> Product {
    Product { id, name: format!("product {id}") }
}

pub(crate) fn tag(name: &str) -> Tag {
    Tag { name: name.into() }
}

pub(crate) fn tagging(id: u128, order: u32, tag: &str) -> Tagging {
    Tagging { id: Uuid::from_u128(id), order: One::to(order), tag: One::to(tag.into()), weight: 0 }
}

pub(crate) fn node(id: u32, parent: Option<u32>) -> Node {
    Node { id, parent: parent.map(One::to), children: Many::new() }
}

/// Where the rows are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Memory,
    Redb,
}

/// All models, over a store of its own; the file goes with what is given beside.
pub(crate) fn builder(side: Side, reads: &Arc<Reads>) -> (Builder, Option<tempfile::TempDir>) {
    let (builder, reads) = (Repository::builder(), Arc::clone(reads));
    let (builder, folder) = match side {
        Side::Memory => (builder.store(Counting { store: Memory::new(), reads }), None),
        Side::Redb => {
            let folder = tempfile::tempdir().unwrap();
            let store = Redb::at(folder.path().join("shop.redb"));
            (builder.store(Counting { store, reads }), Some(folder))
        }
    };
    (with_models(builder), folder)
}

pub(crate) fn with_models(builder: Builder) -> Builder {
    let builder = builder.model::<Customer>().model::<Order>().model::<Item>().model::<Remark>();
    let builder = builder.model::<Payment>().model::<Product>().model::<Label>().model::<Tag>();
    builder.model::<Tagging>().model::<Node>().model::<Domino>().model::<Hen>().model::<Egg>()
}

/// A repository without a remote, with what it is kept in.
pub(crate) struct Shop {
    pub(crate) repo: Repository,
    pub(crate) reads: Arc<Reads>,
    _folder: Option<tempfile::TempDir>,
}

impl std::ops::Deref for Shop {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        &self.repo
    }
}

impl Shop {
    /// How many queries the store answers while `work` is done, and what it gives.
    pub(crate) async fn queries<T>(&self, work: impl Future<Output = T>) -> (usize, T) {
        let before = self.reads.queries();
        let done = work.await;
        (self.reads.queries() - before, done)
    }
}

pub(crate) async fn shop(side: Side) -> Shop {
    let reads = Arc::default();
    let (builder, folder) = builder(side, &reads);
    Shop { repo: builder.build().await.unwrap(), reads, _folder: folder }
}

/// The same with a remote behind the switches.
pub(crate) async fn connected(side: Side, net: &Arc<Switches>) -> Shop {
    let reads = Arc::default();
    let (builder, folder) = builder(side, &reads);
    let repo = builder.remote(Net(Arc::clone(net))).build().await.unwrap();
    Shop { repo, reads, _folder: folder }
}

/// Somebody else writes rows to the server.
pub(crate) async fn elsewhere<M: Model + Clone>(net: &Arc<Switches>, rows: impl IntoIterator<Item = M>) {
    for row in rows {
        let mutation = Mutation {
            id: larder::MutationId(fresh()),
            schema: M::schema(),
            key: row.key().unwrap(),
            operation: larder::Operation::Upsert,
            row: Some(Arc::new(row)),
            changed: None,
            base_version: None,
            extra: None,
            repeated: false,
            nested: Vec::new(),
        };
        net.server().apply(&Context::new(), &mutation).await.unwrap();
    }
}

fn fresh() -> Uuid {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) | 1 << 126)
}

/// The same with a remote that nothing is sent to, so that the outbox can be looked at.
pub(crate) async fn queueing(side: Side) -> Shop {
    let reads = Arc::default();
    let (builder, folder) = builder(side, &reads);
    let builder = builder.outbox(larder::OutboxSettings::new().without_coalescing());
    let builder = builder.remote(Net(Switches::new())).paused();
    Shop { repo: builder.build().await.unwrap(), reads, _folder: folder }
}

/// What is queued, as "verb Model key".
pub(crate) async fn queued(repo: &Repository) -> Vec<String> {
    let entries = repo.outbox().list(0, 1_000).await.unwrap();
    let shown =
        |entry: &larder::QueuedMutation| format!("{} {} {}", entry.operation.verb(), entry.model, entry.key);
    entries.iter().map(shown).collect()
}

/// The keys of all rows of `M` that are here.
pub(crate) async fn keys<M: Model>(repo: &Repository) -> Vec<String> {
    let local = repo.reading(larder::ReadPolicy::LocalOnly);
    let rows = local.get(Select::<M>::all()).await.unwrap();
    rows.iter().map(|row| row.key().unwrap().to_string()).collect()
}

/// What the field of each row of `M` refers to.
pub(crate) async fn references<M: Model>(repo: &Repository, field: &str) -> Vec<Option<String>> {
    let at = M::schema().position(field).unwrap();
    let local = repo.reading(larder::ReadPolicy::LocalOnly);
    let rows = local.get(Select::<M>::all()).await.unwrap();
    let shown = |value: Value| match value {
        Value::Null => None,
        Value::Str(text) => Some(text.into()),
        Value::Int(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    };
    rows.iter().map(|row| shown(row.field(at).unwrap().to_value().unwrap())).collect()
}
