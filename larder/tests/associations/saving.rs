//! A row is saved with what it carries.

use std::sync::Arc;

use larder::{ErrorKind, Many, One, WritePolicy};
use rstest::rstest;

use crate::shop::{
    Customer, Egg, Hen, Item, Label, Node, Order, Payment, Product, Remark, Side, Tag, Tagging, customer,
    item, keys, node, order, product, queued, queueing, references, remark, shop, tag,
};

// Rules: m-assoc-save
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn targets_come_before_the_row_and_children_after_it(#[case] side: Side) {
    let shop = queueing(side).await;
    let with_product = |id, product: Product| Item { product: One::of(product), ..item(id, 0, 0) };
    let mut first =
        Order { customer: One::of(customer("ada")), labels: Many::to(["red".to_owned()]), ..order(1, "") };
    first.labels.push(Label { name: "blue".into() });
    first.items = Many::of([with_product(11, product(7)), with_product(10, product(8))]);
    first.tags = Many::of([tag("gift")]);
    let stored = shop.upsert(&first).await.unwrap();
    assert!(stored.is_queued());
    let link = keys::<Tagging>(&shop).await.pop().unwrap();
    assert_eq!(
        queued(&shop).await,
        [
            "insert Customer ada",
            "insert Label blue",
            "insert Order 1",
            "insert Tag gift",
            &format!("insert Tagging {link}"),
            "insert Product 7",
            "insert Item 11",
            "insert Product 8",
            "insert Item 10",
        ]
    );
    // The children refer to the order, whatever they said before; the labels' keys are in the order itself.
    assert_eq!(references::<Item>(&shop, "order").await, [Some("1".into()), Some("1".into())]);
    assert_eq!(stored.labels.ids().collect::<Vec<_>>(), ["red", "blue"]);
    assert_eq!(keys::<Label>(&shop).await, ["blue"]);
}

// Rules: m-assoc-save
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn what_has_not_changed_is_not_written(#[case] side: Side) {
    let shop = queueing(side).await;
    let given = Order {
        customer: One::of(customer("ada")),
        items: Many::of([item(10, 1, 7)]),
        tags: Many::of([tag("gift")]),
        ..order(1, "")
    };
    let _ = shop.upsert(&given).await.unwrap();
    let before = queued(&shop).await;
    assert!(!shop.upsert(&given).await.unwrap().is_queued());
    assert_eq!(queued(&shop).await, before);
    // Of several, the one that has changed.
    let changed = Order { items: Many::of([item(10, 1, 7), item(11, 1, 7)]), ..given };
    let stored = shop.upsert(&changed).await.unwrap();
    assert!(stored.is_queued(), "the row itself has not changed, and waits for the child");
    assert_eq!(queued(&shop).await[before.len()..], ["insert Item 11"]);
}

#[tokio::test]
async fn a_link_is_made_once() {
    let shop = shop(Side::Memory).await;
    let given = Order { tags: Many::of([tag("gift"), tag("late")]), ..order(1, "ada") };
    let _ = shop.upsert(&given).await.unwrap();
    let mut again = Order { tags: Many::of([tag("gift")]), ..order(1, "ada") };
    again.tags.link("late".into());
    again.tags.link("unheard of".into());
    let _ = shop.upsert(&again).await.unwrap();
    let mut tags = references::<Tagging>(&shop, "tag").await;
    tags.sort();
    assert_eq!(tags, [Some("gift".into()), Some("late".into()), Some("unheard of".into())]);
    again.tags.remove(&"late".to_owned());
    again.tags.remove(&"unheard of".to_owned());
    let _ = shop.upsert(&again).await.unwrap();
    assert_eq!(references::<Tagging>(&shop, "tag").await, [Some("gift".into())]);
    assert_eq!(keys::<Tag>(&shop).await, ["gift", "late"], "the rows at the other end stay");
}

// Rules: m-assoc-unlink
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn a_child_that_is_taken_out_is_unlinked_or_deleted_as_its_reference_says(#[case] side: Side) {
    let shop = shop(side).await;
    let given = Order { items: Many::of([item(10, 1, 7), item(11, 1, 7)]), ..order(1, "ada") };
    let _ = shop
        .upsert(&Order { remarks: Many::of([remark(20, None), remark(21, None)]), ..given })
        .await
        .unwrap();
    let _ = shop
        .upsert(&Order { payments: Many::of([Payment { id: 30, order: One::to(0) }]), ..order(1, "ada") })
        .await
        .unwrap();

    let mut edited = order(1, "ada");
    edited.remarks.remove(&20);
    edited.items.remove(&10);
    edited.items.remove(&99);
    let _ = shop.upsert(&edited).await.unwrap();
    assert_eq!(references::<Remark>(&shop, "order").await, [None, Some("1".into())]);
    assert_eq!(keys::<Item>(&shop).await, ["11"], "`orphans = \"delete\"`");

    edited.payments.remove(&30);
    edited.note = "changed".into();
    let error = shop.upsert(&edited).await.unwrap_err();
    assert_eq!((error.kind(), error.row_key()), (ErrorKind::Invalid, Some("30")));
    assert!(error.message().contains("`order` is required"), "{error}");
    assert_eq!(shop.find::<Order>(1).await.unwrap().unwrap().note, "", "nothing was written");
}

// Rules: m-assoc-unlink
#[tokio::test]
async fn a_child_that_has_gone_elsewhere_is_left_alone() {
    let shop = shop(Side::Memory).await;
    shop.upsert_many(&[remark(20, Some(2)), remark(21, Some(1))]).await.unwrap();
    let (mut from, mut to) = (order(1, "ada"), order(2, "ada"));
    from.remarks.remove(&20);
    from.remarks.remove(&21);
    to.remarks.link(21);
    // Moved by one save: from one list into another.
    shop.upsert_many(&[from, to]).await.unwrap();
    assert_eq!(references::<Remark>(&shop, "order").await, [Some("2".into()), Some("2".into())]);
}

#[tokio::test]
async fn linking_a_row_that_is_not_there_is_an_error_and_writes_nothing() {
    let shop = shop(Side::Memory).await;
    let error = shop.upsert(&Order { remarks: Many::to([9]), ..order(1, "ada") }).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.model_name(), error.row_key()),
        (ErrorKind::NotFound, Some("Remark"), Some("9"))
    );
    assert!(keys::<Order>(&shop).await.is_empty());
}

// Rules: m-assoc-cycles
#[tokio::test]
async fn a_row_that_was_put_in_twice_or_in_a_circle_is_written_once() {
    let shop = queueing(Side::Memory).await;
    let ada = Arc::new(customer("ada"));
    let orders = [1, 2].map(|id| Order { customer: One::of(Arc::clone(&ada)), ..order(id, "") });
    let parent = Customer { orders: Many::of(orders), ..customer("ada") };
    let _ = shop.upsert(&parent).await.unwrap();
    assert_eq!(queued(&shop).await, ["insert Customer ada", "insert Order 1", "insert Order 2"]);

    let child = Node { parent: Some(One::of(node(1, None))), ..node(2, None) };
    let _ = shop.upsert(&Node { children: Many::of([child]), ..node(1, None) }).await.unwrap();
    assert_eq!(references::<Node>(&shop, "parent").await, [None, Some("1".into())]);
}

#[tokio::test]
async fn three_levels_are_saved_at_once() {
    let shop = queueing(Side::Memory).await;
    let grandchild = node(3, None);
    let child = Node { children: Many::of([grandchild]), ..node(2, None) };
    let _ = shop.upsert(&Node { children: Many::of([child]), ..node(1, None) }).await.unwrap();
    assert_eq!(queued(&shop).await, ["insert Node 1", "insert Node 2", "insert Node 3"]);
    assert_eq!(references::<Node>(&shop, "parent").await, [None, Some("1".into()), Some("2".into())]);
}

// Rules: m-assoc-circle
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn new_rows_that_require_each_other_are_an_error_and_nothing_is_written(#[case] side: Side) {
    let shop = shop(side).await;
    let hen = |egg| Hen { id: 1, egg, chick: None };
    let egg = Egg { id: 2, hen: One::of(hen(One::to(2))) };
    let error = shop.upsert(&hen(One::of(egg.clone()))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("Egg and Hen require each other"), "{error}");
    assert!(keys::<Hen>(&shop).await.is_empty() && keys::<Egg>(&shop).await.is_empty());

    // Once one of them is there, the other may come.
    let _ = shop.upsert(&hen(One::to(2))).await.unwrap();
    let _ = shop.upsert(&hen(One::of(egg))).await.unwrap();
    assert_eq!(
        (keys::<Hen>(&shop).await, keys::<Egg>(&shop).await),
        (vec!["1".to_owned()], vec!["2".to_owned()])
    );
}

// Rules: m-assoc-circle
#[tokio::test]
async fn a_circle_with_an_optional_reference_in_it_begins_where_nothing_is_required() {
    let shop = queueing(Side::Memory).await;
    let old_egg = Egg { id: 1, hen: One::to(99) };
    let _ = shop.upsert(&old_egg).await.unwrap();
    let chick = Egg { id: 2, hen: One::to(1) };
    let chick = Egg { hen: One::of(Hen { id: 1, egg: One::to(1), chick: Some(One::to(2)) }), ..chick };
    let hen = Hen { id: 1, egg: One::to(1), chick: Some(One::of(chick)) };
    let _ = shop.upsert(&hen).await.unwrap();
    assert_eq!(queued(&shop).await[1..], ["insert Hen 1", "insert Egg 2"]);
}

#[tokio::test]
async fn an_update_carries_as_well() {
    let shop = shop(Side::Memory).await;
    let row = shop.upsert(&order(1, "ada")).await.unwrap().into_row();
    let _ = shop.update(&row, |order| order.items.push(item(10, 0, 7))).await.unwrap();
    assert_eq!(references::<Item>(&shop, "order").await, [Some("1".into())]);
    let gone = shop.update(&order(9, "ada"), |order| order.items.push(item(11, 0, 7))).await.unwrap_err();
    assert_eq!((gone.kind(), keys::<Item>(&shop).await.len()), (ErrorKind::NotFound, 1));
}

#[tokio::test]
async fn while_the_remote_is_waited_for_only_the_row_alone_can_be_written() {
    let shop = queueing(Side::Memory).await;
    let strict = shop.writing(WritePolicy::RequireRemote);
    let carrying = Order { items: Many::of([item(10, 1, 7)]), ..order(1, "ada") };
    assert_eq!(strict.upsert(&carrying).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let _ = strict.upsert(&order(1, "ada")).await.unwrap();
    assert!(keys::<Item>(&shop).await.is_empty());
}

#[tokio::test]
async fn a_link_row_that_needs_more_than_its_ends_is_refused() {
    use larder::Model;

    #[derive(Model, Clone, Debug)]
    struct Team {
        #[model(key)]
        id: u32,
        #[model(through = "Membership", from = "team", to = "person")]
        people: Many<Person>,
    }

    #[derive(Model, Clone, Debug)]
    struct Person {
        #[model(key)]
        id: u32,
    }

    #[derive(Model, Clone, Debug)]
    struct Membership {
        #[model(key)]
        team: One<Team>,
        #[model(key)]
        person: One<Person>,
        role: String,
    }

    let builder = larder::Repository::builder().store(larder::Memory::new());
    let repo = builder.model::<Team>().model::<Person>().model::<Membership>().build().await.unwrap();
    let error = repo.upsert(&Team { id: 1, people: Many::of([Person { id: 2 }]) }).await.unwrap_err();
    assert_eq!((error.kind(), error.message().contains("`role`")), (ErrorKind::Invalid, true), "{error}");
    assert!(keys::<Team>(&repo).await.is_empty() && keys::<Person>(&repo).await.is_empty());
}

#[tokio::test]
async fn a_model_that_leads_to_an_unknown_one_is_refused_when_the_repository_is_built() {
    let builder = larder::Repository::builder().store(larder::Memory::new());
    let error = builder.model::<Payment>().build().await.unwrap_err();
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Invalid, Some("Payment")));
    assert!(error.message().contains(".model::<Order>()"), "{error}");
}
