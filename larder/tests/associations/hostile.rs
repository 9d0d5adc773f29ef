//! Rows that are reached by several ways, and writes that come in an inconvenient order.

use larder::{Many, One, Select};
use rstest::rstest;

use crate::shop::{
    Customer, Item, Node, Order, Remark, Side, customer, item, keys, node, order, queued, queueing,
    references, remark, shop,
};

// Rules: m-assoc-save
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn a_row_that_stands_in_two_lists_belongs_to_both(#[case] side: Side) {
    let shop = shop(side).await;
    let pushed = Customer { orders: Many::of([order(1, "")]), ..customer("ada") };
    let _ = shop.upsert(&Customer { recommended: Many::of([order(1, "")]), ..pushed }).await.unwrap();
    let _ = shop.upsert(&order(2, "bob")).await.unwrap();
    let linked = Customer { orders: Many::to([2]), recommended: Many::to([2]), ..customer("cid") };
    let _ = shop.upsert(&linked).await.unwrap();
    let ends = [Some("ada".to_owned()), Some("cid".to_owned())];
    assert_eq!(references::<Order>(&shop, "customer").await, ends);
    assert_eq!(references::<Order>(&shop, "recommender").await, ends);
}

// Rules: m-assoc-unlink
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn a_row_is_edited_in_one_list_and_taken_out_of_another(#[case] side: Side) {
    let shop = shop(side).await;
    let _ =
        shop.upsert(&Order { recommender: Some(One::of(customer("ada"))), ..order(1, "ada") }).await.unwrap();
    let with_both = Select::<Customer>::all().with(Customer::ORDERS).with(Customer::RECOMMENDED);
    let mut ada = Customer::clone(&*shop.get_one(with_both).await.unwrap());
    assert!(ada.orders.edit(&1, |order| order.note = "late".into()));
    ada.recommended.remove(&1);
    let _ = shop.upsert(&ada).await.unwrap();
    assert_eq!(references::<Order>(&shop, "note").await, [Some("late".into())]);
    assert_eq!(references::<Order>(&shop, "recommender").await, [None]);
}

// Rules: m-assoc-save
#[tokio::test]
async fn edits_of_two_copies_of_a_row_both_count() {
    let shop = shop(Side::Memory).await;
    let _ =
        shop.upsert(&Order { recommender: Some(One::of(customer("ada"))), ..order(1, "ada") }).await.unwrap();
    let with_both = Select::<Customer>::all().with(Customer::ORDERS).with(Customer::RECOMMENDED);
    let mut ada = Customer::clone(&*shop.get_one(with_both).await.unwrap());
    assert!(ada.orders.edit(&1, |order| order.note = "late".into()));
    assert!(ada.recommended.edit(&1, |order| order.items.push(item(10, 0, 7))));
    let _ = shop.upsert(&ada).await.unwrap();
    assert_eq!(references::<Order>(&shop, "note").await, [Some("late".into())]);
    assert_eq!(references::<Item>(&shop, "order").await, [Some("1".into())]);
}

// Rules: m-assoc-save
#[tokio::test]
async fn what_each_copy_of_a_row_carries_is_saved() {
    let shop = shop(Side::Memory).await;
    let ada = |id| Customer { recommended: Many::of([order(id, "bob")]), ..customer("ada") };
    let first = Order { customer: One::of(ada(5)), ..order(1, "") };
    let second = Order { customer: One::of(ada(6)), ..order(2, "") };
    let _ = shop.upsert_many(&[first, second]).await.unwrap();
    assert_eq!(keys::<Order>(&shop).await, ["1", "2", "5", "6"]);
}

// Rules: m-assoc-save
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn rows_of_one_batch_are_created_after_what_they_refer_to(#[case] side: Side) {
    let shop = queueing(side).await;
    let stored = shop.upsert_many(&[node(1, Some(3)), node(2, Some(1)), node(3, None)]).await.unwrap();
    assert_eq!(stored.iter().map(|node| node.id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(queued(&shop).await, ["insert Node 3", "insert Node 1", "insert Node 2"]);
    shop.transaction(|tx| {
        tx.upsert(&item(10, 1, 7))?;
        tx.upsert(&order(1, "ada"))?;
        tx.upsert(&customer("ada"))
    })
    .await
    .unwrap();
    assert_eq!(queued(&shop).await[3..], ["insert Customer ada", "insert Order 1", "insert Item 10"]);
    // A circle of references that can be empty has no first one: it stays as it is.
    shop.upsert_many(&[node(4, Some(5)), node(5, Some(4))]).await.unwrap();
    assert_eq!(queued(&shop).await[6..], ["insert Node 4", "insert Node 5"]);
}

// Rules: m-assoc-delete
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn a_transaction_that_wrote_a_row_before_it_deletes_it_tells_so_last(#[case] side: Side) {
    let shop = queueing(side).await;
    let _ = shop.upsert(&order(1, "ada")).await.unwrap();
    let _ = shop.upsert(&item(10, 1, 7)).await.unwrap();
    let _ = shop.upsert(&remark(20, Some(1))).await.unwrap();
    shop.transaction(|tx| {
        tx.upsert(&Order { note: "changed".into(), ..order(1, "ada") })?;
        tx.delete::<Order>(1)
    })
    .await
    .unwrap();
    assert_eq!(queued(&shop).await[3..], ["delete Item 10", "update Remark 20", "delete Order 1"]);
    assert_eq!(references::<Remark>(&shop, "order").await, [None]);
    assert!(keys::<Node>(&shop).await.is_empty());
}

// Rules: m-assoc-unlink
#[tokio::test]
async fn what_one_copy_takes_out_goes_whatever_another_copy_does_to_it() {
    let shop = queueing(Side::Memory).await;
    let given = Order { items: Many::of([item(10, 1, 7)]), ..order(1, "ada") };
    let _ = shop.upsert(&Order { recommender: Some(One::of(customer("ada"))), ..given }).await.unwrap();
    let before = queued(&shop).await.len();
    let both = Select::<Customer>::all()
        .with(Customer::ORDERS.with(Order::ITEMS))
        .with(Customer::RECOMMENDED.with(Order::ITEMS));
    let mut ada = Customer::clone(&*shop.get_one(both).await.unwrap());
    ada.orders.edit(&1, |order| {
        order.items.edit(&10, |item| item.amount = 9);
        order.items.push(item(11, 0, 7));
    });
    ada.recommended.edit(&1, |order| {
        order.items.remove(&10);
        order.items.remove(&11);
    });
    let _ = shop.upsert(&ada).await.unwrap();
    assert!(keys::<Item>(&shop).await.is_empty());
    assert_eq!(queued(&shop).await[before..], ["delete Item 10"]);
}

// Rules: q-order-association
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn an_order_by_a_related_field_has_windows(#[case] side: Side) {
    let shop = shop(side).await;
    for (name, city) in [("ada", Some("Oslo")), ("bob", None), ("cid", Some("Bonn"))] {
        let _ = shop.upsert(&Customer { city: city.map(Into::into), ..customer(name) }).await.unwrap();
    }
    let of = ["bob", "ada", "cid", "ada", "gone", "bob", "ada"];
    let orders: Vec<Order> = (1..).zip(of).map(|(id, name)| order(id, name)).collect();
    shop.upsert_many(&orders).await.unwrap();
    let query = Select::<Order>::all().order_by(Order::CUSTOMER.by(Customer::CITY).desc());
    let mut seen = Vec::new();
    for offset in [0, 2, 4, 6] {
        let page = shop.get(query.clone().limit(2).offset(offset)).await.unwrap();
        seen.extend(page.iter().map(|order| order.id));
    }
    assert_eq!(seen, [2, 4, 7, 3, 1, 5, 6]);
}

// Rules: m-assoc-save, m-assoc-delete
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn savers_and_deleters_at_once_leave_no_child_without_its_parent(#[case] side: Side) {
    let shop = shop(side).await;
    for round in 0..10_u32 {
        let savers = (0..4_u32).map(|nth| {
            let repo = shop.repo.clone();
            tokio::spawn(async move {
                let pushed = Order { items: Many::of([item(nth, 0, 7)]), ..order(1, "ada") };
                let _ = repo.upsert(&pushed).await.unwrap();
            })
        });
        let repo = shop.repo.clone();
        let deleter = tokio::spawn(async move {
            let _ = repo.delete(Order::ID.eq(1)).await.unwrap();
        });
        let all: Vec<_> = savers.chain([deleter]).collect();
        for one in all {
            one.await.unwrap();
        }
        let (orders, items) = (keys::<Order>(&shop).await, keys::<Item>(&shop).await);
        assert!(items.is_empty() || orders == ["1"], "round {round}: {items:?} of {orders:?}");
        assert!(references::<Item>(&shop, "order").await.iter().all(|to| to.as_deref() == Some("1")));
    }
}

fn sendable<T: Send>(calls: T) {
    drop(calls);
}

#[tokio::test]
async fn whatever_is_called_can_be_spawned() {
    let shop = shop(Side::Memory).await;
    let (repo, row, more) = (&shop.repo, order(1, "ada"), [order(2, "ada")]);
    let select =
        || Select::<Order>::all().with(Order::ITEMS).order_by(Order::CUSTOMER.by(Customer::CITY).asc());
    sendable((repo.upsert(&row), repo.upsert_many(&more), repo.update(&row, |order| order.id = 1)));
    sendable((
        repo.delete::<Order>(1),
        repo.delete(&row),
        repo.delete(Order::ID.eq(1)),
        repo.delete(select()),
    ));
    sendable((repo.delete_all::<Order>(), repo.delete_all_except::<Order>(Order::ID.eq(1))));
    sendable((repo.get(select()), repo.get_one(select()), repo.get_first(select()), repo.find::<Order>(1)));
    sendable((repo.count(select()), repo.exists(select()), repo.find_many::<Order>([1, 2])));
    sendable((repo.transaction(|tx| tx.delete::<Order>(1)), repo.coverage(select())));
}
