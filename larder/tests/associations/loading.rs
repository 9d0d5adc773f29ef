//! Related rows come with a query, in one query an association and level.

use larder::{Many, One, Select};
use rstest::rstest;

use crate::shop::{
    Customer, Item, Label, Node, Order, Product, Remark, Side, customer, item, node, order, product, queued,
    queueing, remark, shop, tag, tagging,
};

// Rules: m-assoc-derived
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn a_child_that_is_stored_with_its_foreign_key_is_in_its_parents_list(#[case] side: Side) {
    let shop = shop(side).await;
    let _ = shop.upsert(&order(1, "ada")).await.unwrap();
    let with_items = || shop.get_first(Select::<Order>::all().with(Order::ITEMS));
    assert!(with_items().await.unwrap().unwrap().items.is_empty());
    let _ = shop.upsert(&item(10, 1, 7)).await.unwrap();
    let _ = shop.upsert(&item(11, 2, 7)).await.unwrap();
    let order = with_items().await.unwrap().unwrap();
    assert!(order.items.is_loaded());
    assert_eq!(order.items.iter().map(|item| item.id).collect::<Vec<_>>(), [10]);
    let _ = shop.delete::<Item>(10).await.unwrap();
    assert!(with_items().await.unwrap().unwrap().items.is_empty());
}

// Rules: m-assoc, m-assoc-missing
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn many_to_many_by_link_rows_and_by_a_list_of_keys(#[case] side: Side) {
    let shop = shop(side).await;
    let labelled = |id, labels: &[&str]| Order {
        labels: Many::to(labels.iter().map(|&label| label.to_owned())),
        ..order(id, "ada")
    };
    shop.upsert_many(&[labelled(1, &["red", "gone", "blue"]), labelled(2, &[])]).await.unwrap();
    shop.upsert_many(&["blue", "red"].map(|name| Label { name: name.into() })).await.unwrap();
    shop.upsert_many(&["gift", "late"].map(tag)).await.unwrap();
    let links = [
        tagging(1, 1, "late"),
        tagging(2, 1, "gift"),
        tagging(3, 2, "late"),
        tagging(4, 1, "late"),
        tagging(5, 2, "gone"),
    ];
    shop.upsert_many(&links).await.unwrap();
    let orders = shop.get(Select::<Order>::all().with(Order::LABELS).with(Order::TAGS)).await.unwrap();
    let labels = |order: &Order| order.labels.iter().map(|label| label.name.clone()).collect::<Vec<_>>();
    let tags = |order: &Order| order.tags.iter().map(|tag| tag.name.clone()).collect::<Vec<_>>();
    assert_eq!(labels(&orders[0]), ["red", "blue"], "in the order of the list; what is gone is absent");
    assert_eq!(orders[0].labels.ids().collect::<Vec<_>>(), ["red", "gone", "blue"]);
    assert_eq!((labels(&orders[1]).len(), orders[1].labels.is_loaded()), (0, true));
    assert_eq!(
        (tags(&orders[0]), tags(&orders[1])),
        (vec!["gift".to_owned(), "late".into()], vec!["late".into()])
    );
}

// Rules: m-assoc, m-assoc-missing, q-apart
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn two_associations_to_one_model_stay_apart_and_a_missing_row_is_none(#[case] side: Side) {
    let shop = shop(side).await;
    shop.upsert_many(&[customer("ada"), customer("bob")]).await.unwrap();
    let recommended = |id, by: &str, from: Option<&str>| Order {
        recommender: from.map(|from| One::to(from.into())),
        ..order(id, by)
    };
    let orders = [
        recommended(1, "ada", Some("bob")),
        recommended(2, "bob", Some("gone")),
        recommended(3, "gone", None),
    ];
    shop.upsert_many(&orders).await.unwrap();

    let orders =
        shop.get(Select::<Order>::all().with(Order::CUSTOMER).with(Order::RECOMMENDER)).await.unwrap();
    let names: Vec<_> = orders
        .iter()
        .map(|order| {
            let recommender = order.recommender.as_ref().and_then(One::get);
            (order.customer.get().map(|row| row.name.as_str()), recommender.map(|row| row.name.as_str()))
        })
        .collect();
    assert_eq!(names, [(Some("ada"), Some("bob")), (Some("bob"), None), (None, None)]);
    assert!(orders[2].customer.is_loaded(), "it was looked for");
    assert_eq!(orders[2].customer.id(), "gone");

    let both =
        shop.get(Select::<Customer>::all().with(Customer::ORDERS).with(Customer::RECOMMENDED)).await.unwrap();
    let ids = |list: &Many<Order>| list.ids().copied().collect::<Vec<_>>();
    let lists: Vec<_> = both.iter().map(|row| (ids(&row.orders), ids(&row.recommended))).collect();
    assert_eq!(lists, [(vec![1], vec![]), (vec![2], vec![1])]);
}

// Rules: m-assoc-batched
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn each_association_is_one_query_a_level_however_many_rows_there_are(#[case] side: Side) {
    let shop = shop(side).await;
    let names: Vec<String> = (0..20).map(|n| format!("customer {n:02}")).collect();
    shop.upsert_many(&names.iter().map(|name| customer(name)).collect::<Vec<_>>()).await.unwrap();
    let orders: Vec<_> = (0..200).map(|id| order(id, &names[id as usize % 20])).collect();
    shop.upsert_many(&orders).await.unwrap();
    shop.upsert_many(&(0..400).map(|id| item(id, id / 2, id % 10)).collect::<Vec<_>>()).await.unwrap();
    shop.upsert_many(&(0..10).map(product).collect::<Vec<_>>()).await.unwrap();

    let deep = Select::<Customer>::all()
        .with(Customer::ORDERS.with(Order::ITEMS.with(Item::PRODUCT)).with(Order::CUSTOMER));
    let (queries, customers) = shop.queries(shop.get(deep)).await;
    let customers = customers.unwrap();
    assert_eq!(queries, 5, "customers, orders, items, products, and the customers of the orders");
    let orders = || customers.iter().flat_map(|row| row.orders.iter());
    assert_eq!(orders().count(), 200);
    assert!(orders().all(|order| order.customer.get().is_some() && order.items.len() == 2));
    let products = orders().flat_map(|order| order.items.iter()).filter_map(|item| item.product.get());
    assert_eq!(products.count(), 400);

    let through = Select::<Order>::all().with(Order::TAGS);
    assert_eq!(shop.queries(shop.get(through)).await.0, 2, "the link rows; there are no tags to look for");
}

// Rules: m-assoc-cycles, r-assoc
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn a_depth_ends_circles(#[case] side: Side) {
    let shop = shop(side).await;
    shop.upsert_many(&[node(1, None), node(2, Some(1)), node(3, Some(2)), node(4, Some(3))]).await.unwrap();
    let root = shop.get_one(Node::ID.eq(1).with_all(3)).await.unwrap();
    let child = root.children.get(&2).unwrap();
    let grandchild = child.children.get(&3).unwrap();
    let parent = child.parent.as_ref().and_then(One::get).unwrap();
    assert_eq!(parent.children.len(), 1, "the third level");
    assert!(grandchild.children.is_loaded() && grandchild.children.len() == 1);
    assert!(!grandchild.children.get(&4).unwrap().children.is_loaded());
    let (queries, rows) = shop.queries(shop.get(Select::<Node>::all().with_all(u16::MAX).limit(0))).await;
    assert_eq!((queries, rows.unwrap().len()), (1, 0), "where there is nothing, nothing is looked for");
}

#[tokio::test]
async fn rows_with_what_was_loaded_stay_out_of_the_cache() {
    let shop = shop(Side::Memory).await;
    let _ = shop.upsert(&Order { items: Many::of([item(10, 1, 7)]), ..order(1, "ada") }).await.unwrap();
    let loaded = shop.get_one(Order::ID.eq(1).with(Order::ITEMS)).await.unwrap();
    assert_eq!(loaded.items.len(), 1);
    assert!(!shop.find::<Order>(1).await.unwrap().unwrap().items.is_loaded());
    assert!(!shop.get_one(Order::ID.eq(1)).await.unwrap().items.is_loaded());
}

// Rules: m-assoc-edit, m-assoc-save
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn what_was_loaded_and_edited_is_saved_on_top_of_what_others_did(#[case] side: Side) {
    let shop = queueing(side).await;
    let with_product = |id| Item { product: One::of(product(id)), ..item(id, 1, id) };
    let _ = shop
        .upsert(&Order { items: Many::of([with_product(10), with_product(11)]), ..order(1, "ada") })
        .await
        .unwrap();
    let loaded = shop.get_one(Order::ID.eq(1).with(Order::ITEMS.with(Item::PRODUCT))).await.unwrap();
    let mut edited = Order::clone(&loaded);

    // Meanwhile.
    let _ = shop.upsert(&Item { amount: 9, ..item(10, 1, 10) }).await.unwrap();
    let _ = shop.upsert(&item(12, 1, 10)).await.unwrap();
    let before = queued(&shop).await.len();

    assert!(edited.items.edit(&10, |item| {
        assert!(item.product.edit(|product| product.name = "renamed".into()));
        item.product = One::to(11);
    }));
    assert!(
        edited.items.edit(&11, |item| assert!(item.product.edit(|product| product.name = "other".into())))
    );
    let _ = shop.upsert(&edited).await.unwrap();
    assert_eq!(queued(&shop).await[before..], ["update Item 10", "update Product 11"]);
    let stored = shop.find::<Item>(10).await.unwrap().unwrap();
    assert_eq!((stored.amount, *stored.product.id()), (9, 11), "both changes are there");
    assert_eq!(shop.find::<Product>(11).await.unwrap().unwrap().name, "other");
    let again = shop.get_one(Order::ID.eq(1).with(Order::ITEMS)).await.unwrap();
    assert_eq!(again.items.len(), 3, "what came meanwhile stays");
}

// Rules: m-assoc-edit
#[tokio::test]
async fn an_edit_of_a_row_that_is_gone_or_of_its_key_is_an_error() {
    let shop = shop(Side::Memory).await;
    let _ = shop.upsert(&Order { remarks: Many::of([remark(20, None)]), ..order(1, "ada") }).await.unwrap();
    let loaded = shop.get_one(Order::ID.eq(1).with(Order::REMARKS)).await.unwrap();
    let mut moved = Order::clone(&loaded);
    moved.remarks.edit(&20, |remark| remark.id = 21);
    assert_eq!(shop.upsert(&moved).await.unwrap_err().kind(), larder::ErrorKind::Invalid);
    let mut edited = Order::clone(&loaded);
    edited.remarks.edit(&20, |remark| remark.text = "late".into());
    let _ = shop.delete::<Remark>(20).await.unwrap();
    assert_eq!(shop.upsert(&edited).await.unwrap_err().kind(), larder::ErrorKind::NotFound);
}
