//! A shop with customers and their orders: rows that refer to rows.

use std::time::Duration;

use larder::{Model, One, OutboxSettings, ReadPolicy, Repository, RequestSettings, Select};
use larder_sim::{Device, Random, Server, Simulation};

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Item {
    #[model(key)]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) amount: i64,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Customer {
    #[model(key)]
    pub(crate) id: String,
    pub(crate) name: String,
}

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Order {
    #[model(key)]
    pub(crate) id: String,
    pub(crate) customer: One<Customer>,
}

/// Users who take orders of new customers; a server that wants to know the customer first.
pub(crate) fn orders() -> Simulation {
    Simulation::new(|_| Repository::builder().model::<Customer>().model::<Order>())
        .devices_between(2, 3)
        .server(Server::honouring_keys().checking_references())
        .acting(6, Duration::from_secs(60), |device, mut chance| async move {
            let (repo, id) = (device.repo(), format!("{:x}", chance.draw()));
            drop(repo.upsert(&Customer { id: id.clone(), name: "Ada".to_owned() }).await?);
            drop(repo.upsert(&Order { id: format!("order of {id}"), customer: One::to(id) }).await?);
            Ok(())
        })
}

/// Devices that do nothing by themselves.
pub(crate) fn shop() -> Simulation {
    Simulation::new(|_| Repository::builder().model::<Item>()).server(Server::honouring_keys().pages_of(4))
}

/// Users who write, edit, delete and pull.
pub(crate) fn busy() -> Simulation {
    acting(shop())
}

/// The same, over a server whose lists are paged by number.
pub(crate) fn crowded() -> Simulation {
    let shop = shop().server(Server::honouring_keys().numbered_pages_of(2));
    acting(shop).acting(24, Duration::from_secs(30), act)
}

/// The same as at first, and each write goes as a mutation of its own.
pub(crate) fn busy_step_by_step() -> Simulation {
    let apart = OutboxSettings::new().without_coalescing();
    let builder = move |_| Repository::builder().model::<Item>().outbox(apart.clone());
    acting(Simulation::new(builder).server(Server::honouring_keys().pages_of(4)))
}

/// The same users as at first, who make requests that are no models as well.
pub(crate) fn busy_with_errands() -> Simulation {
    let builder = |_| Repository::builder().model::<Item>().requests(RequestSettings::new());
    acting(Simulation::new(builder).server(Server::honouring_keys().pages_of(4))).errands(8)
}

fn acting(devices: Simulation) -> Simulation {
    devices.devices_between(2, 3).kills(1).acting(12, Duration::from_secs(60), act)
}

pub(crate) async fn act(device: Device, mut chance: Random) -> larder::Result<()> {
    let repo = device.repo();
    let amount = i64::try_from(chance.draw() % 1_000).unwrap_or(0);
    let id = format!("i{}", chance.below(6));
    match chance.below(8) {
        0..=2 => drop(repo.upsert(&Item { id, name: "new".to_owned(), amount }).await?),
        3 | 4 => {
            let known = repo.reading(ReadPolicy::LocalOnly).get(Select::<Item>::all()).await?;
            if let Some(item) = known.get(chance.below(known.len())) {
                drop(repo.update(item, |item| item.amount = amount).await?);
            }
        }
        5 => drop(repo.delete::<Item>(id.as_str()).await?),
        _ => _ = repo.sync().await?,
    }
    Ok(())
}

/// Changes one field or the other of two rows.
pub(crate) async fn edit(device: Device, mut chance: Random) -> larder::Result<()> {
    let repo = device.repo();
    let amount = i64::try_from(chance.draw() % 1_000).unwrap_or(0);
    let item = Item { id: format!("i{}", chance.below(2)), name: "new".to_owned(), amount };
    let known = repo.reading(ReadPolicy::LocalOnly).find::<Item>(item.id.as_str()).await?;
    match known {
        None => drop(repo.upsert(&item).await?),
        Some(known) if chance.below(2) == 0 => drop(repo.update(&known, |item| item.amount = amount).await?),
        Some(known) => drop(repo.update(&known, |item| item.name = amount.to_string()).await?),
    }
    Ok(())
}
