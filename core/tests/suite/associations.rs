//! Associations as types, as data and in queries.

use std::sync::Arc;

use futures_util::FutureExt;
use larder_core::association::{Lookup, answer, involved, needed, resolved};
use larder_core::{
    Datum, ErrorKind, Includes, Key, Link, Many, Meta, Model, OnDelete, One, Orphans, PageRow, Position,
    Predicate, Query, Result, Row, Schema, Select, Timestamp, Uuid, Value, ValueRef, Where, async_trait,
};
use larder_derive::Model;
use proptest::prelude::*;
use rstest::rstest;

use crate::support::{from_json, lend, pack, to_json};

#[derive(Model, Clone, Debug, PartialEq)]
#[model(crate = "larder_core")]
struct User {
    #[model(key)]
    name: String,
    age: Option<u8>,
    #[model(children = "customer")]
    orders: Many<Order>,
    #[model(children = "seller")]
    sales: Many<Order>,
}

#[derive(Model, Clone, Debug, PartialEq)]
#[model(crate = "larder_core")]
struct Order {
    #[model(key)]
    id: u32,
    customer: One<User>,
    #[model(on_delete = "cascade")]
    seller: Option<One<User>>,
    #[model(keys)]
    labels: Many<Label>,
    #[model(through = "Tagging", from = "order", to = "tag")]
    tags: Many<Label>,
    #[model(children = "Item::OF_ORDER", orphans = "delete")]
    items: Many<Item>,
}

#[derive(Model, Clone, Debug, PartialEq)]
#[model(crate = "larder_core")]
#[model(tokens = "of_")]
struct Item {
    #[model(key)]
    id: u32,
    #[model(unindexed)]
    order: One<Order>,
    price: u32,
}

#[derive(Model, Clone, Debug, PartialEq)]
#[model(crate = "larder_core")]
struct Label {
    #[model(key)]
    text: String,
}

/// The key begins with the order, so that there is an index for the tag alone.
#[derive(Model, Clone, Debug, PartialEq)]
#[model(crate = "larder_core")]
struct Tagging {
    #[model(key, on_delete = "cascade")]
    order: One<Order>,
    #[model(key, on_delete = "cascade")]
    tag: One<Label>,
}

#[derive(Model, Clone, Debug, PartialEq)]
#[model(crate = "larder_core")]
struct Node {
    #[model(key)]
    id: u32,
    parent: Option<One<Node>>,
    #[model(children = "parent")]
    children: Many<Node>,
}

fn user(name: &str, age: Option<u8>) -> User {
    User { name: name.into(), age, orders: Many::new(), sales: Many::new() }
}

fn order(id: u32, customer: &str, seller: Option<&str>, labels: &[&str]) -> Order {
    let label = |text: &&str| (*text).to_owned();
    Order {
        id,
        customer: One::to(customer.into()),
        seller: seller.map(|seller| One::to(seller.into())),
        labels: Many::to(labels.iter().map(label)),
        tags: Many::new(),
        items: Many::new(),
    }
}

fn node(id: u32, parent: Option<u32>) -> Node {
    Node { id, parent: parent.map(One::to), children: Many::new() }
}

#[test]
fn the_schema_says_how_a_model_hangs_together_with_others() {
    let schema = Order::schema();
    let stored: Vec<_> = schema.fields.iter().map(|field| field.name).collect();
    assert_eq!(stored, ["id", "customer", "seller", "labels"]);
    let shown: Vec<_> =
        schema.associations.iter().map(|def| (def.name, def.at, (def.target)().model)).collect();
    assert_eq!(
        shown,
        [
            ("customer", 1, "User"),
            ("seller", 2, "User"),
            ("labels", 3, "Label"),
            ("tags", 4, "Label"),
            ("items", 5, "Item")
        ]
    );
    let of = |name: &str| schema.associations.iter().find(|def| def.name == name).unwrap();
    assert!(matches!(of("customer").link, Link::One { field: 1 }));
    assert!(matches!(of("labels").link, Link::Keys { field: 3 }));
    assert!(matches!(of("items").link, Link::Children { field: 1 }));
    assert!(matches!(of("tags").link, Link::Through { from: 0, to: 1, link } if link() == Tagging::schema()));
    assert_eq!((of("customer").on_delete, of("seller").on_delete), (OnDelete::Restrict, OnDelete::Cascade));
    assert_eq!(Node::schema().associations[0].on_delete, OnDelete::SetNull);
    assert_eq!((of("items").orphans, of("customer").orphans), (Orphans::Delete, Orphans::Unlink));
}

#[rstest]
#[case::references(Order::schema(), &["customer", "seller"])]
#[case::told_not_to(Item::schema(), &[])]
#[case::after_the_first_of_a_key(Tagging::schema(), &["tag"])]
fn references_have_an_index(#[case] schema: &'static Schema, #[case] indexes: &[&str]) {
    let found: Vec<_> = schema.indexes.iter().map(|index| index.name).collect();
    assert_eq!(found, indexes);
}

// Rules: m-assoc
#[test]
fn references_are_stored_and_sent_as_keys() {
    let order = order(1, "ada", None, &["red", "urgent"]);
    let json = serde_json::json!({ "id": 1, "customer": "ada", "seller": null, "labels": ["red", "urgent"] });
    assert_eq!(to_json(&order), json);
    assert_eq!(from_json::<Order>(&json).unwrap(), order);
    let bound = crate::support::bound(Order::schema(), Order::schema());
    let back = lend(&pack(&order), &bound, |row| Order::from_row(row)).unwrap().unwrap();
    assert_eq!(back, order);
    assert!(!back.items.is_loaded() && !back.customer.is_loaded());
}

// Rules: m-assoc
#[test]
fn a_list_remembers_what_the_application_did() {
    let mut list = Many::of([user("ada", None), user("bob", None)]);
    list.push(user("bob", Some(9)));
    list.link("cy".into());
    list.link("ada".into());
    list.remove(&"ada".to_owned());
    assert_eq!(list.ids().collect::<Vec<_>>(), ["bob", "cy"]);
    assert_eq!((list.len(), list.get(&"bob".to_owned()).unwrap().age), (1, Some(9)));
    assert!(list.edit(&"bob".to_owned(), |bob| bob.age = None));
    assert!(!list.edit(&"cy".to_owned(), |_| ()), "it is not here");
    list.retain(|user| user.age.is_some());
    assert_eq!(format!("{list:?}"), "Many[Str(\"cy\")]");
    assert_eq!(list, Many::to(["cy".to_owned()]));
    assert_ne!(list, Many::new());
}

#[test]
fn a_key_set_finds_keys_of_every_type() {
    let keys: larder_core::KeySet = ["b", "a", "b"].into_iter().map(Key::from).collect();
    assert_eq!(keys.len(), 2);
    let members = vec!["x".to_owned(), "a".to_owned()];
    assert!(keys.holds(members.show()).unwrap());
    assert!(!keys.holds(ValueRef::Null).unwrap());
    assert!(!keys.holds(ValueRef::Str("c")).unwrap());
    let moment: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let moments: larder_core::KeySet = [Key::take(ValueRef::Time(moment)).unwrap()].into_iter().collect();
    assert!(moments.holds(ValueRef::Time(moment)).unwrap());
    let bytes: larder_core::KeySet = [Key::from(7_u8)].into_iter().collect();
    assert!(bytes.holds(vec![1_u8, 7].show()).unwrap() && !bytes.holds(vec![1_u8].show()).unwrap());
    let json = serde_json::to_string(&keys).unwrap();
    let unsorted = r#"[{"Str":"b"},{"Str":"a"}]"#;
    assert_eq!(serde_json::from_str::<larder_core::KeySet>(&json).unwrap(), keys);
    assert_eq!(serde_json::from_str::<larder_core::KeySet>(unsorted).unwrap(), keys);
}

/// Keys of every kind, and values that are none of them.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3..3_i128).prop_map(Value::Int),
        Just(Value::Int(i128::MAX)),
        (0..3_u128).prop_map(|more| Value::Uint(i128::MAX as u128 + 1 + more)),
        (0..4_u128).prop_map(|id| Value::Uuid(Uuid::from_u128(id << 120 | id))),
        "[ab]{0,2}".prop_map(|text| Value::Str(text.into())),
        prop::collection::vec(0..3_u8, 0..2).prop_map(|bytes| Value::Bytes(bytes.into())),
        any::<bool>().prop_map(Value::Bool),
        (-3..3_i64).prop_map(|ns| Value::Time(Timestamp::from_nanosecond(ns.into()).expect("a moment"))),
        Just(Value::Null),
        Just(Value::Float(1.0)),
    ]
}

proptest! {
    // Rules: q-any
    #[test]
    fn a_key_stands_where_the_order_of_values_puts_it(
        values in prop::collection::vec(value(), 0..20),
        asked in prop::collection::vec(value(), 20),
    ) {
        let keys: larder_core::KeySet =
            values.iter().filter_map(|value| Key::take(value.show()).ok()).collect();
        for value in &asked {
            let key = Key::take(value.show()).ok();
            let expected = keys.iter().position(|one| Some(one) == key.as_ref());
            prop_assert_eq!(keys.place(value.show()).unwrap(), expected, "{:?} in {:?}", value, keys);
            if !matches!(value, Value::Bytes(_)) {
                prop_assert_eq!(keys.holds(value.show()).unwrap(), expected.is_some());
            }
        }
    }
}

/// Rows in memory; counts what it is asked.
#[derive(Default)]
struct Rows {
    rows: Vec<(&'static Schema, Arc<dyn Row>)>,
    asked: Vec<&'static str>,
    /// Those of them that deny scans.
    denied: Vec<&'static str>,
}

impl Rows {
    fn add<M: Model>(&mut self, rows: impl IntoIterator<Item = M>) {
        self.rows.extend(rows.into_iter().map(|row| (M::schema(), Arc::new(row) as Arc<dyn Row>)));
    }
}

#[async_trait]
impl Lookup for Rows {
    async fn rows(&mut self, schema: &'static Schema, query: &Query) -> Result<Vec<PageRow>> {
        self.asked.push(schema.model);
        if query.deny_scan {
            self.denied.push(schema.model);
        }
        let of_model = self.rows.iter().filter(|(of, _)| *of == schema);
        let row =
            |(_, row): &(_, Arc<dyn Row>)| PageRow::new(Meta::synced(Timestamp::UNIX_EPOCH), Arc::clone(row));
        query.of_one_model(schema)?;
        query.finish(schema, larder_core::Done::default(), of_model.map(row).collect())
    }
}

/// - ada (36) bought 1 and 2, bob (null) bought 3, and nobody who is known (`eve`) bought 4;
/// - ada sold 3, bob sold 1, and 2 and 4 have no seller.
fn shop() -> Rows {
    let mut shop = Rows::default();
    shop.add([user("ada", Some(36)), user("bob", None), user("cy", Some(20))]);
    shop.add([
        order(1, "ada", Some("bob"), &["red", "urgent"]),
        order(2, "ada", None, &["blue", "gone"]),
        order(3, "bob", Some("ada"), &[]),
        order(4, "eve", None, &["gone"]),
    ]);
    shop.add(["red", "blue", "urgent"].map(|text| Label { text: text.into() }));
    let item = |id, order, price| Item { id, order: One::to(order), price };
    shop.add([item(1, 1, 5), item(2, 1, 50), item(3, 3, 50), item(4, 9, 5)]);
    let tagging = |order, tag: &str| Tagging { order: One::to(order), tag: One::to(tag.into()) };
    shop.add([tagging(1, "red"), tagging(2, "red"), tagging(2, "blue"), tagging(3, "gone")]);
    shop.add([node(1, None), node(2, Some(1)), node(3, Some(2)), node(4, Some(1)), node(5, Some(99))]);
    shop
}

/// The lookups of these tests never wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it waits for nothing")
}

fn keys<M: Model>(query: impl Into<Select<M>>) -> Vec<String> {
    let rows = now(answer(&mut shop(), M::schema(), query.into().as_query())).expect("an answer").rows;
    rows.iter().map(|row| M::schema().key_of(&*row.row).expect("a key").to_string()).collect()
}

// Rules: q-any, q-all, q-apart, q-nesting
#[rstest]
#[case::to_one_any(Order::CUSTOMER.any(User::AGE.ge(30)), &["1", "2"])]
#[case::to_one_any_whoever(Order::CUSTOMER.any(Where::new(Predicate::All)), &["1", "2", "3"])]
#[case::to_one_all_holds_for_a_missing_row(Order::CUSTOMER.all(User::AGE.ge(30)), &["1", "2", "4"])]
#[case::null_has_no_related_row(Order::SELLER.any(Where::new(Predicate::All)), &["1", "3"])]
#[case::null_all(Order::SELLER.all(User::AGE.ge(30)), &["2", "3", "4"])]
#[case::two_associations_to_one_model_stay_apart(
    Order::CUSTOMER.any(User::NAME.eq("ada")).and(Order::SELLER.any(User::NAME.eq("bob"))), &["1"])]
#[case::keys_any(Order::LABELS.any(Label::TEXT.eq("red")), &["1"])]
#[case::a_key_whose_row_is_gone_meets_nothing(Order::LABELS.any(Label::TEXT.eq("gone")), &[])]
#[case::keys_all(Order::LABELS.all(Label::TEXT.eq("blue")), &["2", "3", "4"])]
#[case::through_any(Order::TAGS.any(Label::TEXT.eq("red")), &["1", "2"])]
#[case::through_all(Order::TAGS.all(Label::TEXT.eq("red")), &["1", "3", "4"])]
#[case::children_any(Order::ITEMS.any(Item::OF_PRICE.gt(10)), &["1", "3"])]
#[case::children_all(Order::ITEMS.all(Item::OF_PRICE.gt(10)), &["2", "3", "4"])]
#[case::under_not(!Order::ITEMS.any(Item::OF_PRICE.gt(10)), &["2", "4"])]
#[case::not_within(Order::CUSTOMER.any(!User::AGE.eq(36)), &["3"])]
#[case::under_or(Order::ITEMS.any(Item::OF_PRICE.eq(5)).or(Order::ID.eq(4)), &["1", "4"])]
#[case::nested(Order::ITEMS.any(Item::OF_ORDER.any(Order::CUSTOMER.any(User::AGE.is_null()))), &["3"])]
#[case::a_member_is_a_condition_on_the_field(Order::LABELS.contains("gone"), &["2", "4"])]
#[case::is(Order::CUSTOMER.is("eve"), &["4"])]
#[case::is_of_an_option(Order::SELLER.is("bob"), &["1"])]
fn conditions_on_related_rows(#[case] condition: Where<Order>, #[case] expected: &[&str]) {
    assert_eq!(keys(condition), expected);
}

// Rules: q-any, q-nesting
#[test]
fn of_rows_that_refer_to_their_own_kind() {
    assert_eq!(keys(Node::PARENT.any(Node::ID.eq(1))), ["2", "4"]);
    assert_eq!(keys(Node::CHILDREN.any(Node::CHILDREN.any(Node::ID.eq(3)))), ["1"]);
    assert_eq!(keys(!Node::CHILDREN.any(Where::new(Predicate::All))), ["3", "4", "5"]);
}

// Rules: q-order-association
#[rstest]
#[case::rising_with_null_and_missing_first(Order::CUSTOMER.by(User::AGE).asc(), &["3", "4", "1", "2"])]
#[case::falling_with_null_and_missing_last(Order::CUSTOMER.by(User::AGE).desc(), &["1", "2", "3", "4"])]
#[case::through_a_null_reference(Order::SELLER.by(User::NAME).asc(), &["2", "4", "3", "1"])]
fn orders_by_a_field_of_a_related_row(#[case] order: larder_core::OrderBy<Order>, #[case] expected: &[&str]) {
    assert_eq!(keys(Select::<Order>::all().order_by(order)), expected);
}

// Rules: q-order-association
#[test]
fn the_window_comes_after_such_an_order() {
    let by_age =
        Select::<Order>::all().order_by(Order::CUSTOMER.by(User::AGE).asc()).order_by(Order::ID.desc());
    assert_eq!(keys(by_age.clone()), ["4", "3", "2", "1"]);
    assert_eq!(keys(by_age.clone().offset(1).limit(2)), ["3", "2"]);
    let place = |values: Vec<Value>, key: u32| Box::new(Position { values, key: key.into() });
    let after = |place| Select::<Order>::new(Query { after: Some(place), ..by_age.as_query().clone() });
    assert_eq!(keys(after(place(vec![Value::Null, Value::Int(3)], 3))), ["2", "1"]);
    assert_eq!(keys(after(place(vec![Value::Int(36), Value::Int(2)], 2)).limit(1)), ["1"]);
}

#[test]
fn each_association_is_one_query_however_many_rows_there_are() {
    let mut shop = shop();
    let query = Select::from(Order::TAGS.any(Label::TEXT.eq("red")).or(Order::CUSTOMER.any(User::AGE.ge(1))));
    let query =
        query.order_by(Order::SELLER.by(User::NAME).asc()).order_by(Order::SELLER.by(User::AGE).asc());
    now(answer(&mut shop, Order::schema(), query.as_query())).unwrap();
    assert_eq!(shop.asked, ["Label", "Tagging", "User", "Order", "User"]);
}

#[test]
fn what_a_row_alone_can_not_tell_is_refused_by_whoever_sees_rows() {
    let related = Order::CUSTOMER.any(User::AGE.ge(1)).into_predicate();
    let error = related.matches(Order::schema(), &order(1, "ada", None, &[])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let through = Select::<Order>::all().order_by(Order::CUSTOMER.by(User::AGE).asc());
    assert_eq!(through.as_query().of_one_model(Order::schema()).unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(Query::all().of_one_model(Order::schema()).is_ok());
}

#[test]
fn an_association_that_is_not_there_is_an_error() {
    let unknown = Query::filter(Predicate::Related { assoc: 0, all: false, filter: Box::default() });
    let error = now(resolved(&mut shop(), Order::schema(), &unknown)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let several = Query { order: vec![Order_::through(0, 3)], ..Query::all() };
    let error = now(answer(&mut shop(), Order::schema(), &several)).unwrap_err();
    assert_eq!((error.kind(), error.message().contains("labels")), (ErrorKind::Invalid, true));
    let include =
        Includes { named: vec![larder_core::Include { assoc: 9, nested: Includes::default() }], depth: 0 };
    assert_eq!(include.of(Order::schema()).unwrap_err().kind(), ErrorKind::Invalid);
}

struct Order_;

impl Order_ {
    fn through(field: u16, through: u16) -> larder_core::Order {
        larder_core::Order { through: Some(through), ..larder_core::Order::asc(field) }
    }
}

#[test]
fn includes_are_data() {
    let select =
        Select::<Order>::all().with(Order::ITEMS.with(Item::OF_ORDER)).with(Order::ITEMS).with_all(2);
    let named: Vec<_> = select.includes().named.iter().map(|include| include.assoc).collect();
    assert_eq!((named, select.includes().depth), (vec![5], 2));
    let below: Vec<_> = select.includes().of(Order::schema()).unwrap();
    assert_eq!(below.len(), 5);
    let (items, nested) = below.last().unwrap();
    assert_eq!((items.name, nested.named.len(), nested.depth), ("items", 1, 1));
    let json = serde_json::to_string(select.includes()).unwrap();
    assert_eq!(&serde_json::from_str::<Includes>(&json).unwrap(), select.includes());
    assert_ne!(select, Select::all());
    assert_eq!(select, select.clone());
}

#[rstest]
#[case::nothing_related(Order::ID.eq(1), Some(Order::ID.eq(1)))]
#[case::a_conjunct_goes(Order::ID.eq(1).and(Order::CUSTOMER.any(User::AGE.ge(1))), Some(Order::ID.eq(1)))]
#[case::an_alternative_may_be_anything(Order::ID.eq(1).or(Order::CUSTOMER.any(User::AGE.ge(1))), None)]
#[case::negated(!Order::CUSTOMER.any(User::AGE.ge(1)), None)]
#[case::negated_beside_another(
    !(Order::ID.eq(1).or(Order::CUSTOMER.any(User::AGE.ge(1)))), Some(!Order::ID.eq(1)))]
#[case::negated_conjunction(!(Order::ID.eq(1).and(Order::CUSTOMER.any(User::AGE.ge(1)))), None)]
fn what_one_model_can_tell_lets_more_through(
    #[case] asked: Where<Order>,
    #[case] wider: Option<Where<Order>>,
) {
    let windowed = Select::from(asked).limit(1);
    let related = windowed.as_query().is_related();
    let widened = windowed.as_query().widened();
    assert_eq!(widened.filter, wider.map_or(Predicate::All, Where::into_predicate));
    assert_eq!(widened.limit, (!related).then_some(1));
}

#[test]
fn what_has_to_be_known_and_watched() {
    let query = Select::from(Order::ITEMS.all(Item::OF_PRICE.gt(1).and(Item::OF_ORDER.any(Order::ID.eq(2)))));
    let needed = needed(Order::schema(), query.as_query()).unwrap();
    let models: Vec<_> = needed.iter().map(|(schema, _)| schema.model).collect();
    assert_eq!(models, ["Item", "Order"]);
    let models = |select: Select<Order>| {
        let involved = involved(Order::schema(), select.as_query(), select.includes()).unwrap();
        involved.iter().map(|schema| schema.model).collect::<Vec<_>>()
    };
    assert_eq!(models(query), ["Order", "Item"]);
    assert_eq!(models(Select::all().with(Order::TAGS)), ["Order", "Tagging", "Label"]);
    assert_eq!(models(Select::all().with(Order::CUSTOMER.with(User::SALES))), ["Order", "User"]);
    assert_eq!(models(Select::all().with_all(u16::MAX)), ["Order", "User", "Label", "Tagging", "Item"]);
}

// Rules: q-after, q-order-association
#[test]
fn an_answer_in_such_an_order_tells_the_places_after_its_rows() {
    let query = Select::<Order>::all().order_by(Order::CUSTOMER.by(User::AGE).desc()).limit(2).offset(1);
    let answer = now(answer(&mut shop(), Order::schema(), query.as_query())).unwrap();
    let places: Vec<_> =
        answer.places.iter().map(|place| (place.values.clone(), place.key.clone())).collect();
    assert_eq!(places, [(vec![Value::Int(36)], 2_u32.into()), (vec![Value::Null], 3_u32.into())]);
    let cursor = query.as_query().cursor_at(Order::schema(), answer.places[1].clone()).unwrap();
    let next = query.offset(0).after(&cursor).unwrap();
    assert_eq!(keys(next), ["4"]);
}

// Rules: q-deny-scan
#[test]
fn each_query_denies_scans_where_the_whole_does() {
    let mut shop = shop();
    let tagged = Order::TAGS.any(Label::TEXT.eq("red"));
    let query = tagged.and(Order::ID.lt(9)).order_by(Order::SELLER.by(User::NAME).asc()).deny_scan();
    now(answer(&mut shop, Order::schema(), query.as_query())).unwrap();
    assert_eq!(shop.denied, ["Label", "Tagging", "Order", "User"]);
    // What has no index is told before anything is asked.
    let priced = Order::ITEMS.any(Item::OF_PRICE.gt(1)).deny_scan();
    let error = now(answer(&mut shop, Order::schema(), priced.as_query())).unwrap_err();
    assert_eq!((error.kind(), error.model_name()), (ErrorKind::Unsupported, Some("Item")));
    assert_eq!(shop.asked.len(), 4);
}
