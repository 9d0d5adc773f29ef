//! A row is deleted with what its references say.

use larder::{ErrorKind, Many, One, WritePolicy};
use rstest::rstest;

use crate::shop::{
    Domino, Item, Node, Order, Payment, Product, Remark, Side, Tag, Tagging, customer, item, keys, node,
    order, product, queued, queueing, references, remark, shop, tag, tagging,
};

// Rules: m-assoc-delete
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn children_go_first_and_those_that_can_do_without_stay(#[case] side: Side) {
    let shop = queueing(side).await;
    shop.upsert_many(&[order(1, "ada"), order(2, "ada")]).await.unwrap();
    shop.upsert_many(&[item(10, 1, 7), item(11, 1, 7), item(12, 2, 7)]).await.unwrap();
    shop.upsert_many(&[remark(20, Some(1)), remark(21, Some(2))]).await.unwrap();
    shop.upsert_many(&[tag("gift")]).await.unwrap();
    shop.upsert_many(&[tagging(1, 1, "gift"), tagging(2, 2, "gift")]).await.unwrap();
    let before = queued(&shop).await.len();

    let deleted = shop.delete::<Order>(1).await.unwrap();
    assert_eq!(deleted.count(), 4, "the order, two items and a link");
    let entries = queued(&shop).await.split_off(before);
    let link = format!("delete Tagging {}", larder::Uuid::from_u128(1));
    assert_eq!(entries, ["delete Item 10", "delete Item 11", &link, "update Remark 20", "delete Order 1"]);
    assert_eq!(keys::<Item>(&shop).await, ["12"]);
    assert_eq!(references::<Remark>(&shop, "order").await, [None, Some("2".into())]);
    assert_eq!((keys::<Tagging>(&shop).await.len(), keys::<Tag>(&shop).await.len()), (1, 1));
}

// Rules: m-assoc-delete
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn a_row_that_is_referred_to_can_not_go(#[case] side: Side) {
    let shop = shop(side).await;
    shop.upsert_many(&[order(1, "ada"), order(2, "ada")]).await.unwrap();
    let _ = shop.upsert(&Payment { id: 30, order: One::to(1) }).await.unwrap();
    let _ = shop.upsert(&item(10, 1, 7)).await.unwrap();
    let error = shop.delete::<Order>(1).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.model_name(), error.row_key()),
        (ErrorKind::Conflict, Some("Order"), Some("1"))
    );
    assert!(error.message().contains("Payment 30"), "{error}");
    assert_eq!(
        (keys::<Order>(&shop).await.len(), keys::<Item>(&shop).await.len()),
        (2, 1),
        "nothing was deleted"
    );

    let _ = shop.delete::<Payment>(30).await.unwrap();
    assert_eq!(shop.delete::<Order>(1).await.unwrap().count(), 2);
}

#[tokio::test]
async fn a_row_that_is_deleted_as_well_is_in_nobody_s_way() {
    let shop = shop(Side::Memory).await;
    // The item keeps its product, and goes with its order; deleting a product by way of nothing is refused.
    let _ = shop.upsert(&order(1, "ada")).await.unwrap();
    let _ = shop.upsert(&product(7)).await.unwrap();
    let _ = shop.upsert(&item(10, 1, 7)).await.unwrap();
    assert_eq!(shop.delete::<Product>(7).await.unwrap_err().kind(), ErrorKind::Conflict);
    shop.transaction(|tx| {
        tx.delete::<Order>(1)?;
        tx.delete::<Product>(7)
    })
    .await
    .unwrap();
    assert!(keys::<Product>(&shop).await.is_empty() && keys::<Item>(&shop).await.is_empty());
}

#[tokio::test]
async fn deletion_by_a_query_or_by_several_does_the_same() {
    let shop = shop(Side::Memory).await;
    shop.upsert_many(&[order(1, "ada"), order(2, "ada"), order(3, "bob")]).await.unwrap();
    shop.upsert_many(&[item(10, 1, 7), item(11, 2, 7), item(12, 3, 7)]).await.unwrap();
    let deleted = shop.delete(Order::CUSTOMER.is("ada")).await.unwrap();
    assert_eq!((deleted.count(), keys::<Item>(&shop).await), (4, vec!["12".to_owned()]));
}

// Rules: m-assoc-delete, m-assoc-cycles
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn a_cascade_nests_and_ends_where_it_began(#[case] side: Side) {
    let shop = queueing(side).await;
    let domino = |id, before: Option<u32>| Domino { id, before: before.map(One::to) };
    shop.upsert_many(&[domino(1, Some(3)), domino(2, Some(1)), domino(3, Some(2)), domino(4, None)])
        .await
        .unwrap();
    let deleted = shop.delete::<Domino>(1).await.unwrap();
    assert_eq!((deleted.count(), keys::<Domino>(&shop).await), (3, vec!["4".to_owned()]));
    let entries = queued(&shop).await.split_off(4);
    assert_eq!(entries.len(), 3, "each is told once: {entries:?}");
}

#[tokio::test]
async fn a_chain_goes_from_its_end() {
    let shop = queueing(Side::Memory).await;
    let domino = |id, before: Option<u32>| Domino { id, before: before.map(One::to) };
    shop.upsert_many(&[domino(1, None), domino(2, Some(1)), domino(3, Some(2))]).await.unwrap();
    let _ = shop.delete::<Domino>(1).await.unwrap();
    assert_eq!(queued(&shop).await[3..], ["delete Domino 3", "delete Domino 2", "delete Domino 1"]);
}

#[tokio::test]
async fn children_of_their_own_kind_become_roots() {
    let shop = shop(Side::Memory).await;
    shop.upsert_many(&[node(1, None), node(2, Some(1)), node(3, Some(2))]).await.unwrap();
    let _ = shop.delete::<Node>(1).await.unwrap();
    assert_eq!(references::<Node>(&shop, "parent").await, [None, Some("2".into())]);
}

#[tokio::test]
async fn an_orphan_takes_with_it_what_refers_to_it_or_stays() {
    let shop = shop(Side::Memory).await;
    // An order that is taken out of nothing: its items are its own.
    let given = order(1, "ada");
    let _ = shop.upsert(&larder_order_with_items(given, [item(10, 1, 7)])).await.unwrap();
    let mut edited = order(1, "ada");
    edited.items.remove(&10);
    let _ = shop.upsert(&edited).await.unwrap();
    assert!(keys::<Item>(&shop).await.is_empty());
}

fn larder_order_with_items<const N: usize>(order: Order, items: [Item; N]) -> Order {
    Order { items: Many::of(items), ..order }
}

#[tokio::test]
async fn while_the_remote_is_waited_for_a_row_goes_alone_or_not_at_all() {
    let shop = queueing(Side::Memory).await;
    let strict = shop.writing(WritePolicy::RequireRemote);
    let local = shop.writing(WritePolicy::LocalOnly);
    local.upsert_many(&[order(1, "ada"), order(2, "ada")]).await.unwrap();
    let _ = local.upsert(&item(10, 1, 7)).await.unwrap();
    let _ = local.upsert(&customer("ada")).await.unwrap();
    assert_eq!(strict.delete::<Order>(1).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(strict.delete(&customer("ada")).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(strict.delete::<Order>(2).await.unwrap().count(), 1);
    assert_eq!(keys::<Order>(&shop).await, ["1"]);
}

#[tokio::test]
async fn the_keys_of_a_list_stay_where_their_rows_are_gone() {
    let shop = shop(Side::Memory).await;
    let _ = shop.upsert(&Order { labels: Many::to(["red".to_owned()]), ..order(1, "ada") }).await.unwrap();
    let _ = shop.delete::<crate::shop::Label>("red").await.unwrap();
    let row = shop.find::<Order>(1).await.unwrap().unwrap();
    assert_eq!(row.labels.ids().collect::<Vec<_>>(), ["red"]);
}
