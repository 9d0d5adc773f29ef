//! A live query sees changes of whatever its answer depends on.

use larder::{One, Select};
use rstest::rstest;

use crate::shop::{
    Customer, Item, Order, Side, connected, customer, elsewhere, item, order, product, remark, shop,
};
use crate::support::{Switches, soon};

#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn a_change_of_a_loaded_row_is_a_change(#[case] side: Side) {
    let shop = shop(side).await;
    let _ = shop.upsert(&order(1, "ada")).await.unwrap();
    let mut live = shop.watch(Select::<Order>::all().with(Order::ITEMS.with(Item::PRODUCT))).unwrap();
    assert!(soon(live.next()).await.unwrap().unwrap()[0].items.is_empty());
    let _ = shop.upsert(&item(10, 1, 7)).await.unwrap();
    let rows = soon(live.next()).await.unwrap().unwrap();
    assert!(rows[0].items.get(&10).unwrap().product.get().is_none());
    let _ = shop.upsert(&product(7)).await.unwrap();
    let rows = soon(live.next()).await.unwrap().unwrap();
    assert_eq!(rows[0].items.get(&10).unwrap().product.get().unwrap().name, "product 7");
    // A row of another order, and one of a model that was not asked for, are none.
    let _ = shop.upsert(&item(11, 2, 7)).await.unwrap();
    let _ = shop.upsert(&remark(20, Some(1))).await.unwrap();
    let _ = shop.delete::<Item>(10).await.unwrap();
    assert!(soon(live.next()).await.unwrap().unwrap()[0].items.is_empty());
}

#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn a_change_of_a_row_that_the_condition_or_the_order_asks_is_a_change(#[case] side: Side) {
    let shop = shop(side).await;
    shop.upsert_many(&[order(1, "ada"), order(2, "bob")]).await.unwrap();
    let in_oslo = Order::CUSTOMER.any(Customer::CITY.is_not_null());
    let mut live = shop.watch(in_oslo.order_by(Order::CUSTOMER.by(Customer::CITY).asc())).unwrap();
    let mut next = async || {
        let rows = soon(live.next()).await.unwrap().unwrap();
        rows.iter().map(|order| order.id).collect::<Vec<_>>()
    };
    let lives = |name, city: &str| Customer { city: Some(city.into()), ..customer(name) };
    assert!(next().await.is_empty());
    let _ = shop.upsert(&lives("ada", "Bergen")).await.unwrap();
    assert_eq!(next().await, [1]);
    let _ = shop.upsert(&lives("bob", "Oslo")).await.unwrap();
    assert_eq!(next().await, [1, 2]);
    let _ = shop.upsert(&lives("ada", "Tromsø")).await.unwrap();
    assert_eq!(next().await, [2, 1]);
    let _ = shop.delete::<Order>(1).await.unwrap();
    assert_eq!(next().await, [2]);
}

#[tokio::test]
async fn related_rows_that_are_missing_come_from_the_remote_once() {
    let net = Switches::new();
    let shop = connected(Side::Memory, &net).await;
    elsewhere(&net, [customer("ada")]).await;
    elsewhere(&net, [order(1, "ada")]).await;
    shop.get(Select::<Order>::all()).await.unwrap();
    let mut live = shop.watch(Select::<Order>::all().with(Order::CUSTOMER)).unwrap();
    let name = |rows: &larder::Rows<Order>| rows[0].customer.get().map(|row| row.name.clone());
    assert_eq!(name(&soon(live.next()).await.unwrap().unwrap()), None);
    assert_eq!(name(&soon(live.next()).await.unwrap().unwrap()), Some("ada".into()));
    let reads = net.reads();
    let _ =
        shop.upsert(&Order { recommender: Some(One::to("bob".into())), ..order(1, "ada") }).await.unwrap();
    assert_eq!(name(&soon(live.next()).await.unwrap().unwrap()), Some("ada".into()));
    assert_eq!(net.reads(), reads);
}

#[tokio::test]
async fn the_stream_that_ends_brings_related_rows_with_its_second_answer() {
    let net = Switches::new();
    let shop = connected(Side::Memory, &net).await;
    elsewhere(&net, [customer("ada")]).await;
    elsewhere(&net, [order(1, "ada")]).await;
    shop.get(Select::<Order>::all()).await.unwrap();
    let mut answers = shop.stream(Select::<Order>::all().with(Order::CUSTOMER)).unwrap();
    let here = answers.next().await.unwrap().unwrap();
    assert!(here[0].customer.get().is_none());
    let there = answers.next().await.unwrap().unwrap();
    assert!(there[0].customer.get().is_some());
    assert!(answers.next().await.is_none());
}
