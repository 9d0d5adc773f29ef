//! Transactions read their own writes through associations.

use larder::{ErrorKind, Many, One};
use rstest::rstest;

use crate::shop::{
    Customer, Item, Order, Payment, Remark, Side, customer, item, keys, order, queued, queueing, references,
    remark, shop,
};

#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn what_was_carried_is_seen_and_committed_with_the_rest(#[case] side: Side) {
    let shop = queueing(side).await;
    let found = shop
        .transaction(|tx| {
            let given = Order {
                customer: One::of(customer("ada")),
                items: Many::of([item(10, 0, 7)]),
                ..order(1, "")
            };
            tx.upsert(&given)?;
            assert_eq!(*tx.find::<Item>(10)?.unwrap().order.id(), 1);
            assert_eq!(tx.get(Order::ITEMS.any(Item::PRODUCT.is(7)))?.len(), 1);
            assert_eq!(tx.get(Order::CUSTOMER.any(Customer::NAME.eq("bob")))?.len(), 0);
            let by_name = tx.get(Order::ID.gt(0).order_by(Order::CUSTOMER.by(Customer::NAME).asc()))?;
            Ok(by_name.len())
        })
        .await
        .unwrap();
    assert_eq!(found, 1);
    assert_eq!(queued(&shop).await, ["insert Customer ada", "insert Order 1", "insert Item 10"]);
}

#[tokio::test]
async fn a_deletion_sees_what_was_written_before_it() {
    let shop = shop(Side::Memory).await;
    shop.upsert_many(&[remark(20, Some(1)), remark(21, Some(1))]).await.unwrap();
    let _ = shop.upsert(&order(1, "ada")).await.unwrap();
    let refused = shop.transaction(|tx| {
        tx.upsert(&Payment { id: 30, order: One::to(1) })?;
        tx.delete::<Order>(1)
    });
    assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(keys::<Payment>(&shop).await.is_empty());
    shop.transaction(|tx| {
        tx.upsert(&item(10, 1, 7))?;
        tx.upsert(&remark(20, Some(2)))?;
        tx.delete::<Order>(1)?;
        assert!(tx.find::<Item>(10)?.is_none());
        Ok(())
    })
    .await
    .unwrap();
    assert!(keys::<Item>(&shop).await.is_empty());
    assert_eq!(references::<Remark>(&shop, "order").await, [Some("2".into()), None]);
}
