//! Plans of queries that ask something of related rows, and scans that are denied to them.

use larder::core::query::plan::{Access, Finds, Ordering, Served};
use larder::core::{Plan, Predicate};
use larder::{ErrorKind, Model, Select, Where};
use rstest::rstest;

use crate::shop::{
    Customer, Item, Order, Product, Shop, Side, Tag, customer, item, order, shop, tag, tagging,
};

async fn stocked(side: Side) -> Shop {
    let shop = shop(side).await;
    let _ = shop.upsert_many(&["ada", "bob"].map(customer)).await.unwrap();
    let _ = shop.upsert_many(&[order(1, "ada"), order(2, "ada"), order(3, "bob")]).await.unwrap();
    let _ = shop.upsert_many(&[item(10, 1, 7), item(11, 3, 8)]).await.unwrap();
    let _ = shop.upsert_many(&["gift", "late"].map(tag)).await.unwrap();
    let _ = shop.upsert_many(&[tagging(1, 2, "gift"), tagging(2, 3, "late")]).await.unwrap();
    shop
}

fn steps(plan: &Plan) -> Vec<(&str, Finds, &str, &Access)> {
    plan.related
        .iter()
        .map(|step| (step.association.as_str(), step.finds, step.model.as_str(), &step.plan.access))
        .collect()
}

fn index(name: &str) -> Access {
    Access::Index { name: name.into(), fields: vec![name.into()] }
}

// Rules: q-plan
#[tokio::test]
async fn a_plan_names_each_query_that_it_takes_and_what_serves_it() {
    let shop = stocked(Side::Redb).await;
    let query = Order::ITEMS
        .any(Item::PRODUCT.any(Product::ID.eq(8)))
        .and(Order::NOTE.eq(""))
        .order_by(Order::CUSTOMER.by(Customer::CITY).desc())
        .limit(2);
    let plan = shop.plan(query).unwrap();
    assert_eq!(
        steps(&plan),
        [
            ("Item.product", Finds::Matches, "Product", &Access::Keys(1)),
            ("Order.items", Finds::Matches, "Item", &index("product")),
            ("Order.customer", Finds::Order, "Customer", &Access::Found),
        ]
    );
    assert_eq!((&plan.access, plan.order, plan.estimate), (&Access::Found, Ordering::Caller, None));
    let served: Vec<_> = plan.conditions.iter().map(|one| (one.condition.as_str(), &one.served)).collect();
    assert_eq!(
        served,
        [("any of items (any of product (id eq 8))", &Served::Key), ("note eq \"\"", &Served::Unindexed)]
    );
    assert_eq!(
        plan.to_string(),
        "keys that are found\n  any of items (any of product (id eq 8)): by key\n  note eq \"\": row by row, no index\n  \
         order: sorted by the caller\n  Item.product, what a condition asks for: Product, one key, at most 1\n    id eq \
         8: by key\n    order: as it comes\n  Order.items, what a condition asks for: Item, index product (product)\n    \
         any of product (id eq 8): by index product\n    order: as it comes\n  Order.customer, what the order goes by: \
         Customer, keys that are found\n    name among the keys that are found: by key\n    order: as it comes"
    );
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

// Rules: q-plan
#[rstest]
#[case::to_one(Order::CUSTOMER.any(Customer::NAME.eq("ada")), index("customer"), 1)]
#[case::children(Customer::RECOMMENDED.any(Order::ID.lt(3)), Access::Found, 1)]
#[tokio::test]
async fn what_an_association_leads_to<M: Model>(
    #[case] condition: Where<M>,
    #[case] access: Access,
    #[case] queries: usize,
) {
    let plan = stocked(Side::Redb).await.plan(condition).unwrap();
    assert_eq!((plan.access, plan.related.len()), (access, queries));
}

// Rules: q-plan
#[tokio::test]
async fn a_link_model_is_a_step_of_its_own_and_a_list_of_keys_has_no_index() {
    let shop = stocked(Side::Redb).await;
    let plan = shop.plan(Order::TAGS.any(Tag::NAME.eq("gift"))).unwrap();
    assert_eq!(
        steps(&plan),
        [
            ("Order.tags", Finds::Matches, "Tag", &Access::Keys(1)),
            ("Order.tags", Finds::Links, "Tagging", &index("tag")),
        ]
    );
    let plan = shop.plan(Order::LABELS.any(Where::new(Predicate::All))).unwrap();
    assert_eq!((plan.access, &plan.conditions[0].served), (Access::Scan, &Served::Unindexed));
    // Memory has no index, and says so of each query.
    let plan = stocked(Side::Memory).await.plan(Order::CUSTOMER.any(Customer::CITY.eq("Oslo"))).unwrap();
    assert_eq!((&plan.access, steps(&plan)[0].3), (&Access::Scan, &Access::Scan));
}

// Rules: q-plan
#[tokio::test]
async fn what_a_plan_says_is_what_the_store_is_asked() {
    let shop = stocked(Side::Redb).await;
    let queries: [Select<Order>; 4] = [
        Order::CUSTOMER.any(Customer::CITY.eq("Oslo")).into(),
        Order::TAGS.all(Tag::NAME.eq("gift")).or(Order::ITEMS.any(Item::PRODUCT.is(7))).into(),
        Select::all()
            .order_by(Order::CUSTOMER.by(Customer::CITY).asc())
            .order_by(Order::CUSTOMER.by(Customer::NAME).asc()),
        Order::CUSTOMER
            .any(Customer::ORDERS.any(Order::ID.eq(1)))
            .order_by(Order::RECOMMENDER.by(Customer::CITY).asc()),
    ];
    for query in queries {
        let told = shop.plan(query.clone()).unwrap().related.len() + 1;
        let (asked, _) = shop.queries(shop.get(query.clone())).await;
        assert_eq!(told, asked, "{query:?}");
    }
}

// Rules: q-deny-scan
#[rstest]
#[case::every_query_has_an_index(Order::CUSTOMER.any(Customer::NAME.eq("ada")).into(), None)]
#[case::through_a_link(Order::TAGS.any(Tag::NAME.eq("gift")).into(), None)]
#[case::nested(Order::ITEMS.any(Item::PRODUCT.any(Product::ID.eq(7))).into(), None)]
#[case::beside_an_index(Order::CUSTOMER.is("ada").and(Order::LABELS.any(crate::shop::Label::NAME.eq("x"))).into(), None)]
#[case::the_related_rows(Order::CUSTOMER.any(Customer::CITY.eq("Oslo")).into(), Some(("Customer", "city")))]
#[case::deep(Customer::ORDERS.any(Order::ITEMS.any(Item::AMOUNT.gt(1))).into(), Some(("Item", "amount")))]
#[case::all_asks_for_those_that_do_not(Order::ITEMS.all(Item::PRODUCT.is(7)).into(), Some(("Item", "product")))]
#[case::whoever(Order::CUSTOMER.any(Where::new(Predicate::All)).into(), Some(("Customer", "reads all rows")))]
#[case::a_list_of_keys(Order::LABELS.any(crate::shop::Label::NAME.eq("x")).into(), Some(("Order", "labels")))]
#[case::the_opposite((!Order::CUSTOMER.any(Customer::NAME.eq("ada"))).into(), Some(("Order", "customer")))]
#[case::one_of_several(
    Order::CUSTOMER.any(Customer::NAME.eq("ada")).or(Order::NOTE.eq("x")).into(), Some(("Order", "note")))]
#[case::an_order(
    Select::all().order_by(Order::CUSTOMER.by(Customer::NAME).asc()).limit(3), Some(("Order", "looks at all rows")))]
#[case::an_order_of_what_an_index_finds(
    Order::ID.lt(3).order_by(Order::CUSTOMER.by(Customer::CITY).asc()).limit(3), None)]
#[tokio::test]
async fn a_scan_that_is_denied_is_denied_to_every_query_that_it_takes<M: Model + std::fmt::Debug>(
    #[values(Side::Memory, Side::Redb)] side: Side,
    #[case] query: Select<M>,
    #[case] denied: Option<(&str, &str)>,
) {
    let shop = stocked(side).await;
    assert!(shop.get(query.clone()).await.is_ok(), "only if it is denied");
    let (asked, answer) = shop.queries(shop.get(query.clone().deny_scan())).await;
    let Some((model, why)) = denied else {
        answer.unwrap();
        return;
    };
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Unsupported, Some(model)), "{error}");
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(asked, 0, "nothing is read");
    assert!(shop.plan(query.deny_scan()).is_ok(), "a plan tells, it does not judge");
}

// Rules: q-deny-scan
#[tokio::test]
async fn counting_and_deleting_are_denied_scans_as_well() {
    let shop = stocked(Side::Redb).await;
    let in_oslo = || Order::CUSTOMER.any(Customer::CITY.eq("Oslo")).deny_scan();
    for error in [
        shop.count(in_oslo()).await.unwrap_err(),
        shop.exists(in_oslo()).await.unwrap_err(),
        shop.delete(in_oslo()).await.map(|_| ()).unwrap_err(),
        shop.transaction(move |tx| tx.get(in_oslo())).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
