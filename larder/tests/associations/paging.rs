//! Pages and chunks in an order that asks related rows.

use std::collections::BTreeSet;

use larder::core::{Cursor, OrderBy};
use larder::{ErrorKind, Model, One, RowState, Select};
use proptest::prelude::*;
use rstest::rstest;

use crate::shop::{Customer, Order, Shop, Side, customer, order, queueing, shop};

/// The customers that there are, by number, with their cities; the others are nowhere.
fn city(who: u8) -> Option<String> {
    [None, Some("Bergen"), Some("Oslo"), Some("Oslo"), Some("")][usize::from(who)].map(Into::into)
}

fn name(who: u8) -> String {
    format!("c{who}")
}

async fn put(shop: &Shop, orders: &[(u8, Option<u8>)]) {
    let there = (0..5).map(|who| Customer { city: city(who), ..customer(&name(who)) });
    let _ = shop.upsert_many(&there.collect::<Vec<_>>()).await.unwrap();
    let rows: Vec<Order> = (0_u32..)
        .zip(orders)
        .map(|(id, (who, recommender))| Order {
            recommender: recommender.map(|who| One::to(name(who))),
            ..order(id, &name(*who))
        })
        .collect();
    let _ = shop.upsert_many(&rows).await.unwrap();
}

fn orders_of(choice: &[(u8, bool)]) -> Vec<OrderBy<Order>> {
    let by = |(what, rises): &(u8, bool)| match (what, rises) {
        (0, true) => Order::CUSTOMER.by(Customer::CITY).asc(),
        (0, false) => Order::CUSTOMER.by(Customer::CITY).desc(),
        (1, true) => Order::RECOMMENDER.by(Customer::CITY).asc(),
        (1, false) => Order::RECOMMENDER.by(Customer::NAME).desc(),
        (_, true) => Order::ID.asc(),
        (_, false) => Order::ID.desc(),
    };
    choice.iter().map(by).collect()
}

/// What is read page by page, every cursor through its text.
async fn paged(shop: &Shop, query: &Select<Order>, size: u64) -> Vec<u32> {
    let (mut came, mut page) = (Vec::new(), query.clone().limit(size));
    loop {
        let rows = shop.get(page).await.unwrap();
        came.extend(rows.iter().map(|order| order.id));
        let Some(cursor) = rows.cursor().unwrap() else { return came };
        let cursor: Cursor = cursor.to_string().parse().unwrap();
        page = query.clone().limit(size).after(&cursor).unwrap();
    }
}

fn blocking<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    // Rules: q-after, q-order-association
    #[test]
    fn pages_put_together_are_the_sorted_whole(
        orders in proptest::collection::vec((0..7_u8, proptest::option::of(0..7_u8)), 0..30),
        choice in proptest::collection::vec((0..3_u8, any::<bool>()), 0..3),
        size in 1..6_u64,
        redb in any::<bool>(),
    ) {
        blocking(async {
            let shop = shop(if redb { Side::Redb } else { Side::Memory }).await;
            put(&shop, &orders).await;
            // At least one part of the order asks a related row.
            let query = orders_of(&choice).into_iter().fold(Select::all(), Select::order_by);
            let query = query.order_by(Order::CUSTOMER.by(Customer::CITY).asc());
            let whole: Vec<u32> = shop.get(query.clone()).await.unwrap().iter().map(|order| order.id).collect();
            prop_assert_eq!(whole.len(), orders.len());
            prop_assert_eq!(&paged(&shop, &query, size).await, &whole);
            let (mut rows, mut iterated) = (shop.iterate(query.limit(20)).unwrap(), Vec::new());
            while let Some(row) = rows.next().await {
                iterated.push(row.unwrap().id);
            }
            prop_assert_eq!(&iterated[..], &whole[..whole.len().min(20)]);
            Ok(())
        })?;
    }
}

fn by_city() -> Select<Order> {
    Select::all().order_by(Order::CUSTOMER.by(Customer::CITY).desc())
}

// Rules: q-after-stable, r-scan
#[rstest]
#[case::memory(Side::Memory)]
#[case::redb(Side::Redb)]
#[tokio::test]
async fn a_row_that_keeps_its_place_comes_once_whatever_is_written(#[case] side: Side) {
    let shop = shop(side).await;
    let orders: Vec<(u8, Option<u8>)> = (0..60).map(|at| (at % 6, None)).collect();
    put(&shop, &orders).await;
    let (mut seen, mut page) = (Vec::new(), by_city().limit(7));
    for round in 0_u32.. {
        let rows = shop.get(page).await.unwrap();
        seen.extend(rows.iter().map(|order| order.id));
        let Some(cursor) = rows.cursor().unwrap() else { break };
        page = by_city().limit(7).after(&cursor).unwrap();
        // The last row goes, others come in front of the place and behind it, and a related row moves one of them.
        let _ = shop.delete::<Order>(*seen.last().unwrap()).await.unwrap();
        let _ = shop.upsert(&order(1000 + round, &name(2))).await.unwrap();
        let _ = shop.upsert(&order(2000 + round, &name(0))).await.unwrap();
        let moved = Customer { city: Some(format!("M{round}")), ..customer("moving") };
        let _ = shop.upsert(&moved).await.unwrap();
        let _ = shop.upsert(&order(3000, "moving")).await.unwrap();
    }
    let throughout: Vec<u32> = seen.iter().copied().filter(|id| *id < 1000).collect();
    let distinct: BTreeSet<u32> = throughout.iter().copied().collect();
    assert_eq!((throughout.len(), distinct.len()), (60, 60), "none twice, none left out");
}

// Rules: r-scan
#[tokio::test]
async fn an_iteration_goes_on_beyond_a_chunk() {
    let shop = shop(Side::Redb).await;
    let orders: Vec<(u8, Option<u8>)> = (0..5_000_u32).map(|at| ((at % 6) as u8, None)).collect();
    put(&shop, &orders).await;
    let (mut rows, mut ids) = (shop.iterate(by_city()).unwrap(), Vec::new());
    while let Some(row) = rows.next().await {
        ids.push(row.unwrap().id);
    }
    let whole: Vec<u32> = shop.get(by_city()).await.unwrap().iter().map(|order| order.id).collect();
    assert_eq!(ids, whole);
}

// Rules: q-after, r-sync-state
#[tokio::test]
async fn rows_in_a_state_are_paged_too() {
    let shop = queueing(Side::Memory).await;
    put(&shop, &[(1, None), (2, None), (0, None), (9 - 4, None)]).await;
    let pending = shop.in_state([RowState::Pending]);
    let first = pending.get(by_city().limit(2)).await.unwrap();
    assert_eq!(first.iter().map(|order| order.id).collect::<Vec<_>>(), [1, 0]);
    let cursor = first.cursor().unwrap().expect("there may be more");
    let second = pending.get(by_city().limit(5).after(&cursor).unwrap()).await.unwrap();
    assert_eq!(second.iter().map(|order| order.id).collect::<Vec<_>>(), [2, 3]);
}

mod later {
    use larder::{Many, Model, One};

    #[derive(Model, Clone, Debug)]
    #[model(name = "Customer", version = 2)]
    pub(super) struct Customer {
        #[model(key)]
        pub(super) name: String,
        pub(super) city: Option<String>,
        #[model(children = "customer")]
        pub(super) orders: Many<Order>,
    }

    /// At the same version, but what it refers to is not.
    #[derive(Model, Clone, Debug)]
    pub(super) struct Order {
        #[model(key)]
        pub(super) id: u32,
        pub(super) customer: One<Customer>,
    }
}

// Rules: q-after-foreign
#[tokio::test]
async fn a_cursor_of_another_query_or_of_another_version_of_a_related_model_is_refused() {
    let shop = shop(Side::Memory).await;
    put(&shop, &[(1, None), (2, None)]).await;
    let rows = shop.get(by_city().limit(1)).await.unwrap();
    let cursor = rows.cursor().unwrap().expect("there may be more");
    assert!(by_city().after(&cursor).is_ok());
    let by_name = Select::<Order>::all().order_by(Order::CUSTOMER.by(Customer::NAME).desc());
    let of_another = Select::<Order>::all().order_by(Order::RECOMMENDER.by(Customer::CITY).desc());
    let by_own = Select::<Order>::all().order_by(Order::ID.desc());
    for foreign in [by_name, of_another, by_own, Select::all()] {
        let error = foreign.after(&cursor).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("another query"), "{error}");
    }
    assert_eq!(Order::schema().version, later::Order::schema().version);
    let newer = Select::<later::Order>::new(by_city().into_query()).after(&cursor).unwrap_err();
    assert_eq!(newer.kind(), ErrorKind::Invalid);
    assert!(newer.message().contains("related models of the version"), "{newer}");
    // A place whose values are of other types, as whoever makes up a query may give.
    let mut query = by_city().into_query();
    let place = larder::core::Position { values: vec![larder::core::Value::Int(3)], key: 1_u32.into() };
    query.after = Some(Box::new(place));
    assert_eq!(shop.get(Select::<Order>::new(query)).await.unwrap_err().kind(), ErrorKind::Invalid);
}

// Rules: q-after
#[tokio::test]
async fn the_next_page_comes_with_what_was_asked_for_with_it() {
    let shop = shop(Side::Memory).await;
    put(&shop, &[(1, None), (2, None)]).await;
    let query = by_city().limit(1).with(Order::CUSTOMER);
    let cursor = shop.get(query.clone()).await.unwrap().cursor().unwrap().expect("there may be more");
    let next = shop.get(query.after(&cursor).unwrap()).await.unwrap();
    assert_eq!(next[0].customer.get().and_then(|customer| customer.city.as_deref()), Some("Bergen"));
}
