//! The data layer of a shopping list that a household shares: one model, and what people do with it.

use larder::{Builder, Model, ReadPolicy, Repository, Result, Rows};

/// Something that is needed, by its name.
#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Item {
    #[model(key)]
    pub(crate) name: String,
    pub(crate) amount: u32,
    #[model(index)]
    pub(crate) bought: bool,
}

/// What every device of the household opens; store and remote are up to where it runs.
pub(crate) fn repository() -> Builder {
    Repository::builder().model::<Item>()
}

/// The list, on one device.
#[derive(Clone, Debug)]
pub(crate) struct List {
    repo: Repository,
}

impl List {
    pub(crate) fn new(repo: &Repository) -> Self {
        Self { repo: repo.clone() }
    }

    /// Puts something on the list; what is on it already is needed in a greater amount.
    pub(crate) async fn needs(&self, name: &str, amount: u32) -> Result<()> {
        let name = name.to_owned();
        let add = move |tx: &mut larder::Transaction<'_>| {
            let known = tx.find::<Item>(name.as_str())?.filter(|item| !item.bought);
            let amount = amount + known.map_or(0, |item| item.amount);
            tx.upsert(&Item { name: name.clone(), amount, bought: false })
        };
        self.repo.transaction(add).await
    }

    /// Ticks something off, if it is on the list here.
    pub(crate) async fn buys(&self, name: &str) -> Result<bool> {
        let Some(item) = self.repo.reading(ReadPolicy::LocalOnly).find::<Item>(name).await? else {
            return Ok(false);
        };
        drop(self.repo.update(&item, |item| item.bought = true).await?);
        Ok(true)
    }

    /// Throws away what is bought.
    pub(crate) async fn tidies(&self) -> Result<usize> {
        Ok(self.repo.delete(Item::BOUGHT.eq(true)).await?.count())
    }

    /// What is still needed, as far as this device knows.
    pub(crate) async fn missing(&self) -> Result<Rows<Item>> {
        let missing = Item::BOUGHT.eq(false).order_by(Item::NAME.asc());
        self.repo.reading(ReadPolicy::LocalOnly).get(missing).await
    }

    /// Sends and fetches. Of what the server refused, the server is right: somebody else has thrown it away.
    pub(crate) async fn syncs(&self) -> Result<()> {
        for refused in self.repo.outbox().parked().await? {
            self.repo.outbox().discard(refused.seq).await?;
        }
        self.repo.sync().await.map(drop)
    }
}
