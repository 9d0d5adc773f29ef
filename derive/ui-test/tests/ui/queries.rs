//! Queries that make no sense do not compile.

use larder::{Convert, Fault, Kind, Select, ValueRef};
use larder_derive::Model;

#[derive(Model)]
struct User {
    #[model(key)]
    id: u32,
    age: u8,
    name: String,
    nick: Option<String>,
    tags: Vec<String>,
    #[model(with = "Cents")]
    price: Price,
}

struct Price(i64);

struct Cents;

impl Convert<Price> for Cents {
    const KIND: Kind = <i64 as larder::Datum>::KIND;

    fn show(value: &Price) -> ValueRef<'_> {
        ValueRef::Int(value.0.into())
    }

    fn take(value: ValueRef<'_>) -> Result<Price, Fault> {
        <i64 as larder::Datum>::take(value).map(Price)
    }
}

#[derive(Model)]
struct Order {
    #[model(key)]
    id: u32,
}

mod elsewhere {
    #[derive(larder_derive::Model)]
    pub struct Secretive {
        #[model(key)]
        pub id: u32,
        secret: u8,
    }
}

fn main() {
    let _ = User::AGE.eq("x");
    let _ = User::NAME.lt(5);
    let _ = User::NAME.eq(None);
    let _ = User::NICK.eq(5);
    let _ = User::AGE.is_in(["a"]);
    let _ = User::AGE.contains("x");
    let _ = User::TAGS.contains(5);
    let _ = User::AGE.starts_with("x");
    let _ = User::PRICE.eq(5);
    let _ = User::ID.eq(1).and(Order::ID.eq(1));
    let _ = Select::<User>::all().order_by(Order::ID.asc());
    let _ = User::ID.eq(1).limit(3).or(User::ID.eq(2));
    let _ = elsewhere::Secretive::SECRET.eq(1);
}

// Rules: q-typed, q-token-visible
