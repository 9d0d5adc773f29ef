//! Queries that ask something of related rows.

use larder::core::{Include, Includes, Predicate, Query};
use larder::{ErrorKind, One, Select, Where};
use rstest::rstest;

use crate::shop::{
    Customer, Item, Order, Product, Shop, Side, Tag, customer, item, order, product, shop, tag, tagging,
};

/// - ada (Oslo) bought 1 and 2, bob (nowhere) bought 3, and nobody who is known bought 4;
/// - order 1 has items of products 7 and 8, order 3 of product 8; order 2 is tagged "gift" and "late", order 3 "late".
async fn stocked(side: Side) -> Shop {
    let shop = shop(side).await;
    let ada = Customer { city: Some("Oslo".into()), ..customer("ada") };
    shop.upsert_many(&[ada, customer("bob")]).await.unwrap();
    let from = |id, who: &str, recommender: &str| Order {
        recommender: Some(One::to(recommender.into())),
        ..order(id, who)
    };
    shop.upsert_many(&[from(1, "ada", "bob"), order(2, "ada"), from(3, "bob", "ada"), order(4, "eve")])
        .await
        .unwrap();
    shop.upsert_many(&[item(10, 1, 7), item(11, 1, 8), item(12, 3, 8), item(13, 9, 7)]).await.unwrap();
    shop.upsert_many(&[product(7), product(8)]).await.unwrap();
    shop.upsert_many(&["gift", "late"].map(tag)).await.unwrap();
    shop.upsert_many(&[tagging(1, 2, "gift"), tagging(2, 2, "late"), tagging(3, 3, "late")]).await.unwrap();
    shop
}

async fn ids(shop: &Shop, query: impl Into<Select<Order>>) -> Vec<u32> {
    shop.get(query).await.unwrap().iter().map(|order| order.id).collect()
}

// Rules: q-any, q-all, q-nesting, q-apart
#[rstest]
#[tokio::test]
async fn conditions_on_related_rows(
    #[values(Side::Memory, Side::Redb)] side: Side,
    #[values(0, 1, 2, 3, 4, 5, 6)] case: usize,
) {
    let cases: [(Where<Order>, &[u32]); 7] = [
        (Order::CUSTOMER.any(Customer::CITY.eq("Oslo")), &[1, 2]),
        (!Order::CUSTOMER.any(Customer::CITY.eq("Oslo")), &[3, 4]),
        (Order::ITEMS.any(Item::PRODUCT.any(Product::NAME.eq("product 7"))).or(Order::ID.eq(4)), &[1, 4]),
        (Order::ITEMS.all(Item::PRODUCT.is(8)), &[2, 3, 4]),
        (Order::CUSTOMER.any(Customer::ORDERS.any(Order::TAGS.any(Tag::NAME.eq("gift")))), &[1, 2]),
        (Order::TAGS.all(Tag::NAME.eq("late")).and(!Order::TAGS.all(Tag::NAME.eq("gift"))), &[3]),
        (
            Order::RECOMMENDER
                .any(Customer::NAME.eq("bob"))
                .and(Order::CUSTOMER.any(Customer::NAME.eq("ada"))),
            &[1],
        ),
    ];
    let shop = stocked(side).await;
    let (condition, expected) = cases[case].clone();
    assert_eq!(ids(&shop, condition.clone()).await, expected);
    assert_eq!(shop.count(condition.clone()).await.unwrap(), expected.len() as u64);
    assert!(!shop.exists(condition.clone().offset(expected.len() as u64)).await.unwrap());
    assert!(shop.exists(condition).await.unwrap());
}

// Rules: q-order-association
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn an_order_by_a_field_of_a_related_row(#[case] side: Side) {
    let shop = stocked(side).await;
    let by_city = || Select::<Order>::all().order_by(Order::CUSTOMER.by(Customer::CITY).asc());
    assert_eq!(ids(&shop, by_city()).await, [3, 4, 1, 2], "null and missing first, then the key");
    let falling = Select::<Order>::all().order_by(Order::CUSTOMER.by(Customer::CITY).desc());
    assert_eq!(ids(&shop, falling.order_by(Order::ID.desc())).await, [2, 1, 4, 3]);
    assert_eq!(ids(&shop, by_city().offset(1).limit(2)).await, [4, 1]);
    assert_eq!(shop.count(by_city().offset(1).limit(2)).await.unwrap(), 2);
    assert!(
        shop.exists(by_city().offset(3)).await.unwrap() && !shop.exists(by_city().offset(4)).await.unwrap()
    );
    let (queries, _) = shop.queries(shop.get(by_city())).await;
    assert_eq!(queries, 2);
}

#[tokio::test]
async fn a_condition_and_an_order_are_one_query_an_association() {
    let shop = stocked(Side::Memory).await;
    let query = Order::ITEMS
        .any(Item::PRODUCT.any(Product::ID.eq(8)))
        .order_by(Order::CUSTOMER.by(Customer::NAME).desc());
    let (queries, rows) = shop.queries(shop.get(query)).await;
    assert_eq!(rows.unwrap().iter().map(|order| order.id).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(queries, 4, "products, items, orders, customers");
}

#[tokio::test]
async fn what_is_deleted_by_such_a_condition() {
    let shop = stocked(Side::Redb).await;
    assert_eq!(shop.delete(Item::ORDER.any(Order::CUSTOMER.is("ada"))).await.unwrap().count(), 2);
    assert_eq!(shop.count(Select::<Item>::all()).await.unwrap(), 2);
}

#[tokio::test]
async fn an_association_that_the_model_does_not_have_is_an_error() {
    let shop = stocked(Side::Memory).await;
    let unknown = Predicate::Related { assoc: 77, all: false, filter: Box::default() };
    let kind = |error: larder::Error| error.kind();
    let query = || Select::<Order>::new(Query::filter(unknown.clone()));
    assert_eq!(shop.get(query()).await.map_err(kind).unwrap_err(), ErrorKind::Invalid);
    assert_eq!(shop.watch(query()).map_err(kind).err(), Some(ErrorKind::Invalid));
    assert_eq!(shop.delete(query()).await.map_err(kind).unwrap_err(), ErrorKind::Invalid);
    let include = Includes { named: vec![Include { assoc: 77, nested: Includes::default() }], depth: 0 };
    let including = Select::<Order>::all().including(include);
    assert_eq!(shop.get(including).await.map_err(kind).unwrap_err(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_condition_that_is_deeper_than_any_stack_is_an_error() {
    let shop = stocked(Side::Memory).await;
    let mut filter = Predicate::All;
    for _ in 0..1_000 {
        filter = Predicate::Related { assoc: 1, all: true, filter: Box::new(filter) };
    }
    let query = || Select::<Order>::new(Query::filter(filter.clone()));
    for error in [
        shop.get(query()).await.unwrap_err(),
        shop.count(query()).await.unwrap_err(),
        shop.exists(query()).await.unwrap_err(),
        shop.watch(query()).err().unwrap(),
        shop.delete(query()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
