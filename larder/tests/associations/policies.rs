//! Related rows come as the policy of the call says.

use larder::ReadPolicy::{LocalFirst, LocalOnly, RemoteFirst, RemoteOnly};
use larder::{ErrorKind, One, Select};

use crate::shop::{
    Customer, Item, Order, Shop, Side, connected, customer, elsewhere, item, keys, order, product,
};
use crate::support::Switches;

/// The server has three orders of two customers, an item each; nothing is here.
async fn stocked() -> (std::sync::Arc<Switches>, Shop) {
    let net = Switches::new();
    let shop = connected(Side::Memory, &net).await;
    elsewhere(&net, ["ada", "bob"].map(customer)).await;
    elsewhere(&net, [order(1, "ada"), order(2, "bob"), order(3, "nobody")]).await;
    elsewhere(&net, [item(10, 1, 7), item(11, 2, 7), item(12, 3, 8)]).await;
    elsewhere(&net, [product(7), product(8)]).await;
    (net, shop)
}

fn customers(rows: &[std::sync::Arc<Order>]) -> Vec<Option<&str>> {
    rows.iter().map(|order| order.customer.get().map(|row| row.name.as_str())).collect()
}

// Rules: m-assoc-local, r-assoc
#[tokio::test]
async fn reading_locally_never_asks_the_remote() {
    let (net, shop) = stocked().await;
    shop.get(Select::<Order>::all()).await.unwrap();
    let reads = net.reads();
    let here = shop.reading(LocalOnly);
    let all = || Select::<Order>::all().with_all(2);
    assert_eq!(customers(&here.get(all()).await.unwrap()), [None, None, None]);
    assert_eq!(here.get(Order::CUSTOMER.any(Customer::NAME.eq("ada"))).await.unwrap().len(), 0);
    assert_eq!(net.reads(), reads);
}

// Rules: r-assoc
#[tokio::test]
async fn what_is_missing_is_fetched_in_one_batch_and_once() {
    let (net, shop) = stocked().await;
    let _ = shop.reading(LocalFirst).find::<Customer>("bob").await.unwrap();
    shop.get(Select::<Order>::all()).await.unwrap();
    let reads = net.reads();
    let all = || Select::<Order>::all().with(Order::CUSTOMER);
    assert_eq!(customers(&shop.get(all()).await.unwrap()), [Some("ada"), Some("bob"), None]);
    assert_eq!(net.reads(), reads + 1, "the two that were missing, one of which is nowhere");
    assert_eq!(customers(&shop.get(all()).await.unwrap()), [Some("ada"), Some("bob"), None]);
    assert_eq!(net.reads(), reads + 1);

    let items = || Select::<Order>::all().with(Order::ITEMS.with(Item::PRODUCT));
    assert_eq!(shop.get(items()).await.unwrap().iter().map(|order| order.items.len()).sum::<usize>(), 3);
    assert_eq!(net.reads(), reads + 3, "the children of all, and their products");
    assert_eq!(shop.get(Order::ID.eq(2).with(Order::ITEMS)).await.unwrap()[0].items.len(), 1);
    assert_eq!(net.reads(), reads + 3, "a part of what is known is known");
}

// Rules: r-assoc, m-assoc-missing
#[tokio::test]
async fn an_outage_leaves_out_what_is_missing_and_says_so() {
    let (net, shop) = stocked().await;
    shop.get(Select::<Order>::all()).await.unwrap();
    net.offline(true);
    let rows = shop.get(Select::<Order>::all().with(Order::CUSTOMER).with(Order::ITEMS)).await.unwrap();
    assert_eq!(customers(&rows), [None, None, None]);
    assert_eq!(rows.stale().map(larder::Error::kind), Some(ErrorKind::Offline));
    let strict = shop.reading(RemoteOnly).get(Select::<Order>::all().with(Order::CUSTOMER)).await;
    assert_eq!(strict.unwrap_err().kind(), ErrorKind::Offline);
}

// Rules: r-assoc
#[tokio::test]
async fn the_remote_first_also_for_what_is_related() {
    let (net, shop) = stocked().await;
    let all = || Select::<Order>::all().with(Order::CUSTOMER).with(Order::ITEMS);
    shop.get(all()).await.unwrap();
    elsewhere(&net, [Customer { city: Some("Oslo".into()), ..customer("ada") }]).await;
    elsewhere(&net, [item(13, 1, 7)]).await;
    let seen = |rows: &[std::sync::Arc<Order>]| {
        let city = rows[0].customer.get().and_then(|row| row.city.clone());
        (city, rows[0].items.len())
    };
    assert_eq!(seen(&shop.get(all()).await.unwrap()), (None, 1));
    assert_eq!(seen(&shop.reading(RemoteFirst).get(all()).await.unwrap()), (Some("Oslo".into()), 2));
}

// Rules: r-assoc
#[tokio::test]
async fn what_a_condition_asks_of_related_rows_is_fetched_before_it_is_answered() {
    let (net, shop) = stocked().await;
    let of_ada = || Select::from(Order::CUSTOMER.any(Customer::NAME.eq("ada")));
    let rows = shop.get(of_ada()).await.unwrap();
    assert_eq!((rows.len(), rows.is_complete()), (1, true));
    assert_eq!(keys::<Customer>(&shop).await, ["ada"], "of the customers no more than was asked for");
    let reads = net.reads();
    assert_eq!(shop.get(of_ada()).await.unwrap().len(), 1);
    assert_eq!(net.reads(), reads, "it is known now");
    let others = !Order::CUSTOMER.any(Customer::NAME.eq("ada"));
    assert_eq!(shop.get(others).await.unwrap().len(), 2);
    assert_eq!(net.reads(), reads, "and so is its opposite");
    assert!(shop.exists(Order::ITEMS.any(Item::PRODUCT.is(8))).await.unwrap());
}

// Rules: r-assoc
#[tokio::test]
async fn a_known_query_of_which_a_related_row_is_not_known_is_not_known() {
    let (net, shop) = stocked().await;
    shop.get(Select::<Order>::all()).await.unwrap();
    let of_bob = || Select::from(Order::CUSTOMER.any(Customer::NAME.eq("bob")));
    assert!(shop.coverage(of_bob()).await.unwrap().is_none());
    net.offline(true);
    assert_eq!(shop.get(of_bob()).await.unwrap_err().kind(), ErrorKind::Offline, "never a false \"none\"");
    net.offline(false);
    assert_eq!(shop.get(of_bob()).await.unwrap().len(), 1);
    assert!(shop.coverage(of_bob()).await.unwrap().is_some());
}

#[tokio::test]
async fn the_outbox_sends_targets_first_and_deletions_last() {
    let (net, shop) = stocked().await;
    let given = Order { customer: One::of(customer("cy")), ..order(9, "") };
    let given = Order { items: larder::Many::of([item(90, 0, 7)]), ..given };
    shop.upsert(&given).await.unwrap().accepted().await.unwrap();
    let created = net.seen();
    assert!(created.contains(&"insert 90".to_owned()), "the children are waited for as well: {created:?}");
    shop.delete::<Order>(9).await.unwrap().accepted().await.unwrap();
    assert_eq!(shop.count(Item::ORDER.is(9)).await.unwrap(), 0);
}
