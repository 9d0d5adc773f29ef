//! Fields and variants that would have the same name in a dialect.

use larder_derive::{Datum, Model};

#[derive(Model)]
#[model(json(rename_all = "lowercase"))]
struct Fields {
    #[model(key)]
    id: u32,
    #[model(rename = "town")]
    city: String,
    town: String,
    #[model(alias = "id")]
    number: u32,
    #[model(json(rename = "x"), row(rename = "x"))]
    a: u8,
    #[model(json(alias = "x"), row(rename = "y"), dialect(name = "toml", rename = "a"))]
    b: u8,
}

#[derive(Datum)]
#[model(rename_all = "lowercase")]
enum Variants {
    FooBar,
    Foobar,
    #[model(alias = "foobar", json(rename = "z"))]
    Other,
    #[model(json(rename = "z"))]
    Last,
}

#[derive(Datum)]
enum WithData {
    Struct {
        #[model(rename = "b")]
        a: u8,
        b: u8,
    },
}

#[derive(Model)]
#[model(rename_all = "Title Case", json(rename_all = "camelcase"), row(rename_al = "x"))]
struct Cases {
    #[model(key)]
    id: u32,
}

fn main() {}
