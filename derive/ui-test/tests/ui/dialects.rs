//! What is said about a dialect that makes no sense.

use larder_derive::{Datum, Model};

#[derive(Model)]
#[model(dialect(rename_all = "lowercase"), dialect(name = "toml"), dialect(name = "toml"), dialect(name = ""))]
struct Container {
    #[model(key)]
    id: u32,
}

#[derive(Model)]
struct Fields {
    #[model(key)]
    id: u32,
    #[model(row(skip))]
    unstored: u8,
    #[model(row(with = "hex"))]
    converted: u8,
    #[model(json(name = "x"))]
    named: u8,
    #[model(json(skip))]
    secret: String,
    #[model(json(skip_read, default))]
    half: String,
    #[model(json(skip_read))]
    fine: Option<String>,
    #[model(json(skip), default)]
    fine_too: String,
    #[model(dialect(name = "json", rename = "x"), json(rename = "y"))]
    twice: u8,
}

#[derive(Datum)]
struct Value {
    #[model(json(skip, default))]
    fine: u8,
    #[model(json(skip))]
    secret: u8,
}

fn main() {}
