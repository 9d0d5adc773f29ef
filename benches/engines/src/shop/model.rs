//! The models.

use std::time::Duration;

use larder::{Many, Model, One, Timestamp, Uuid};
use larder_benches::model::{CITIES, city, id, mix};

/// Somebody who orders.
#[derive(Clone, Debug, Model, PartialEq)]
pub struct Customer {
    /// A UUIDv7.
    #[model(key)]
    pub id: Uuid,
    /// A name.
    pub name: String,
    /// One of the cities.
    pub city: String,
    /// Since when.
    pub since: Timestamp,
    /// What was ordered.
    #[model(children = "customer")]
    pub orders: Many<Order>,
}

/// Something that was ordered.
#[derive(Clone, Debug, Model, PartialEq)]
pub struct Order {
    /// A UUIDv7.
    #[model(key)]
    pub id: Uuid,
    /// Who ordered it; indexed.
    pub customer: One<Customer>,
    /// What it is.
    pub item: String,
    /// How many of it.
    pub count: u32,
    /// What it costs.
    pub price: f64,
    /// A remark that every other order has.
    pub remark: Option<String>,
    /// When it was ordered.
    pub placed: Timestamp,
}

/// One customer for so many orders.
pub const CUSTOMERS: u64 = 5;

/// The key of the customer with the number `n`.
#[must_use]
pub fn customer_id(n: u64) -> Uuid {
    id(n)
}

/// The key of the order with the number `n`.
#[must_use]
pub fn order_id(n: u64) -> Uuid {
    id(n + (1 << 32))
}

fn moment(n: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_millis(1_795_000_000_000 + n)
}

impl Customer {
    /// The customer with the number `n`: always the same one.
    #[must_use]
    pub fn nth(n: u64) -> Self {
        Self {
            id: customer_id(n),
            name: format!("Charles Babbage the {n}th"),
            city: city(mix(n) % CITIES),
            since: moment(n),
            orders: Many::new(),
        }
    }
}

impl Order {
    /// The order with the number `n`, of any of so many customers: always the same one.
    #[must_use]
    pub fn nth(n: u64, customers: u64) -> Self {
        let noise = mix(n);
        Self {
            id: order_id(n),
            customer: One::to(customer_id(noise % customers.max(1))),
            item: format!("Wheel with {} teeth", noise % 97),
            count: (noise >> 20) as u32 % 10,
            price: (noise >> 11) as f64 / 1e12,
            remark: (noise & 1 == 0).then(|| format!("deliver to door {}", noise % 300)),
            placed: moment(n),
        }
    }
}
