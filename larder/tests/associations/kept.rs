//! Related rows that are found by their keys come out of memory, if they are kept there.

use std::sync::Arc;

use larder::{One, Select};
use rstest::rstest;

use crate::shop::{Customer, Item, Order, Side, connected, customer, elsewhere, item, order, product, shop};
use crate::support::Switches;

fn with_customers() -> Select<Order> {
    Select::all().with(Order::CUSTOMER)
}

fn cities(orders: &[Arc<Order>]) -> Vec<Option<&str>> {
    orders.iter().map(|order| order.customer.get().and_then(|row| row.city.as_deref())).collect()
}

fn of(city: &str, name: &str) -> Customer {
    Customer { city: Some(city.into()), ..customer(name) }
}

// Rules: m-assoc-kept, r-cache
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn what_was_read_before_is_not_asked_for_again_until_it_is_written(#[case] side: Side) {
    let shop = shop(side).await;
    shop.upsert_many(&[of("Oslo", "ada"), of("Rome", "bob")]).await.unwrap();
    shop.upsert_many(&[order(1, "ada"), order(2, "bob"), order(3, "gone")]).await.unwrap();
    assert_eq!(shop.queries(shop.get(with_customers())).await.0, 2);
    let _ = shop.delete::<Order>(3).await.unwrap();
    let (queries, orders) = shop.queries(shop.get(with_customers())).await;
    assert_eq!(
        (queries, cities(&orders.unwrap())),
        (1, vec![Some("Oslo"), Some("Rome")]),
        "the orders alone"
    );
    shop.upsert_many(&[of("Lima", "ada")]).await.unwrap();
    let (queries, orders) = shop.queries(shop.get(with_customers())).await;
    assert_eq!((queries, cities(&orders.unwrap())), (2, vec![Some("Lima"), Some("Rome")]));
}

// Rules: m-assoc-kept
#[tokio::test]
async fn without_a_cache_they_are_read_each_time() {
    let reads = Arc::default();
    let (builder, _folder) = crate::shop::builder(Side::Redb, &reads);
    let shop = builder.cache_size(0).build().await.unwrap();
    shop.upsert_many(&[of("Oslo", "ada")]).await.unwrap();
    shop.upsert_many(&[order(1, "ada")]).await.unwrap();
    for round in 1..4 {
        assert_eq!(cities(&shop.get(with_customers()).await.unwrap()), [Some("Oslo")]);
        assert_eq!(reads.queries(), 2 * round);
    }
}

// Rules: m-assoc-kept
#[tokio::test]
async fn what_is_done_to_a_loaded_row_stays_with_the_one_who_does_it() {
    let shop = shop(Side::Redb).await;
    shop.upsert_many(&[of("Oslo", "ada")]).await.unwrap();
    shop.upsert_many(&[order(1, "ada")]).await.unwrap();
    let mut mine = (*shop.get(with_customers()).await.unwrap()[0]).clone();
    assert!(mine.customer.edit(|row| row.city = Some("Lima".into())));
    assert_eq!(cities(&shop.get(with_customers()).await.unwrap()), [Some("Oslo")], "nothing was stored");
    assert_eq!(shop.find::<Customer>("ada").await.unwrap().unwrap().city.as_deref(), Some("Oslo"));
    let _ = shop.upsert(&mine).await.unwrap();
    assert_eq!(cities(&shop.get(with_customers()).await.unwrap()), [Some("Lima")]);
}

// Rules: m-assoc-kept
#[tokio::test]
async fn rows_that_others_are_put_into_are_one_s_own() {
    let shop = shop(Side::Redb).await;
    shop.upsert_many(&[customer("ada")]).await.unwrap();
    shop.upsert_many(&[order(1, "ada")]).await.unwrap();
    shop.upsert_many(&[item(10, 1, 7)]).await.unwrap();
    shop.upsert_many(&[product(7)]).await.unwrap();
    // They are kept now, with nothing in them.
    shop.find::<Order>(1).await.unwrap();
    shop.get(Select::<Item>::all().with(Item::ORDER).with(Item::PRODUCT)).await.unwrap();
    let items = shop.get(Select::<Item>::all().with(Item::ORDER.with(Order::CUSTOMER))).await.unwrap();
    let order = items[0].order.get().unwrap();
    assert_eq!(order.customer.get().unwrap().name, "ada");
    let items = shop.get(Select::<Item>::all().with(Item::ORDER)).await.unwrap();
    assert!(!items[0].order.get().unwrap().customer.is_loaded(), "what was put in is not kept");
    assert!(items[0].product.get().is_none());
}

// Rules: m-assoc-kept, r-assoc
#[tokio::test]
async fn the_remote_is_asked_for_those_that_are_neither_kept_nor_stored() {
    let net = Switches::new();
    let shop = connected(Side::Memory, &net).await;
    elsewhere(&net, [of("Oslo", "ada"), of("Rome", "bob")]).await;
    elsewhere(&net, [order(1, "ada"), order(2, "bob")]).await;
    shop.get(Select::<Order>::all()).await.unwrap();
    shop.find::<Customer>("ada").await.unwrap();
    let reads = net.reads();
    assert_eq!(cities(&shop.get(with_customers()).await.unwrap()), [Some("Oslo"), Some("Rome")]);
    assert_eq!(net.reads(), reads + 1, "bob");
    net.offline(true);
    shop.get(with_customers()).await.unwrap();
    let (queries, orders) = shop.queries(shop.get(with_customers())).await;
    assert_eq!((queries, cities(&orders.unwrap())), (1, vec![Some("Oslo"), Some("Rome")]));
    net.offline(false);
    elsewhere(&net, [of("Lima", "ada")]).await;
    let asked = shop.reading(larder::ReadPolicy::RemoteFirst).get(with_customers()).await.unwrap();
    assert_eq!(cities(&asked), [Some("Lima"), Some("Rome")], "who wants the remote's answer has it");
}

// Rules: m-assoc-kept
#[tokio::test]
async fn all_are_of_one_state() {
    let shop = shop(Side::Redb).await;
    let names: Vec<String> = (0..400).map(|n| format!("customer {n:03}")).collect();
    let all_in = |city: &str| names.iter().map(|name| of(city, name)).collect::<Vec<_>>();
    shop.upsert_many(&all_in("Oslo")).await.unwrap();
    shop.upsert_many(&(0..400).map(|id| order(id, &names[id as usize])).collect::<Vec<_>>()).await.unwrap();
    shop.find::<Customer>(names[0].as_str()).await.unwrap();
    // All of them move in one transaction, after the one that is kept has been taken.
    let (moving, all) = (shop.repo.clone(), all_in("Lima"));
    let gone = Box::pin(async move {
        moving.upsert_many(&all).await.unwrap();
    });
    let ids: Vec<u32> = (0..400).collect();
    let orders = shop.get(Order::ID.is_in(ids).with(Order::CUSTOMER));
    *shop.reads.before.lock().unwrap() = Some(gone);
    let cities: std::collections::BTreeSet<_> =
        cities(&orders.await.unwrap()).into_iter().map(|city| city.map(str::to_owned)).collect();
    assert!(shop.reads.before.lock().unwrap().is_none(), "they have moved");
    assert_eq!(cities.len(), 1, "{cities:?}");
}

// Rules: m-assoc-kept
#[tokio::test]
async fn one_row_for_many() {
    let shop = shop(Side::Memory).await;
    shop.upsert_many(&[of("Oslo", "ada")]).await.unwrap();
    let recommended = Order { recommender: Some(One::to("ada".into())), ..order(2, "ada") };
    shop.upsert_many(&[order(1, "ada"), recommended]).await.unwrap();
    let both = || with_customers().with(Order::RECOMMENDER);
    let (queries, orders) = shop.queries(shop.get(both())).await;
    assert_eq!((queries, cities(&orders.unwrap())), (2, vec![Some("Oslo"); 2]), "the second time it is kept");
}
