//! Keys whose types can't be one, which shows only once types are known.

use larder_derive::{Datum, Model};

type Price = f64;

#[derive(Datum)]
struct Place {
    zip: u32,
}

#[derive(Datum)]
struct Name(String);

#[derive(Model)]
struct ByPrice {
    #[model(key)]
    price: Price,
}

#[derive(Model)]
struct ByPlace {
    #[model(key)]
    place: Place,
    #[model(key)]
    name: Name,
}

#[derive(Model)]
struct ByName {
    #[model(key(client))]
    name: Name,
}

fn main() {}
