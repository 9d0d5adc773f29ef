//! Shapes on the wire that make no sense.

use larder_derive::{Datum, Model};

#[derive(Model)]
#[model(row(computed(name = "x", with = "x")), json(computed(name = "x"), computed(with = "x"), computed(nme = "x")))]
struct Computed {
    #[model(key)]
    id: u32,
}

#[derive(Model)]
struct Flattened {
    #[model(key, json(flatten))]
    id: u32,
    #[model(row(flatten))]
    stored: Part,
    #[model(json(flatten, rename = "x"))]
    named: Part,
    #[model(flatten)]
    everywhere: Part,
}

#[derive(Datum)]
#[model(row(with = "x"), json(with = "x", via = "Y"))]
struct Part {
    number: u32,
}

#[derive(Model)]
#[model(with = "x")]
struct Whole {
    #[model(key(serve))]
    id: u32,
}

#[derive(Model)]
struct Parts {
    #[model(key(server))]
    a: u32,
    #[model(key)]
    b: u32,
}

fn main() {}

// Rules: m-unsupported
