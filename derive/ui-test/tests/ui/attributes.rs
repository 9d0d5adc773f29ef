//! Attributes that are unknown, twice there, or not written as they should be: all are reported together.

use larder_derive::{Datum, Model};

#[derive(Model)]
#[model(verison = 2, colour = "red", name = "A", name = "B", tokens, singelton)]
struct Words {
    #[model(kye)]
    id: u32,
    #[model(uniqe, index, index, flatten)]
    email: String,
    #[model(json(renam = "x", rename = 5, alias))]
    city: String,
    #[model(default(1), skip = true)]
    age: u8,
}

#[derive(Model)]
#[model(name = "", version = 0)]
struct Values {
    #[model(key = "natural")]
    id: u32,
    #[model(with = "not a type", default = "1 +")]
    age: u8,
}

#[derive(Model)]
struct Syntax {
    #[model(key)]
    id: u32,
    #[model(rename "x")]
    city: String,
    #[model]
    age: u8,
    #[model(json = "x")]
    nick: String,
}

#[derive(Datum)]
#[model(version = 2, tag = "type")]
struct Value {
    #[model(key, unique)]
    zip: u32,
}

#[derive(Datum)]
#[model(rename_al = "lowercase")]
enum Variants {
    #[model(renmae = "x", default)]
    A,
    #[model(json(alias = "b"))]
    B(#[model(rename = "x")] u8),
}

#[derive(Datum)]
#[model(rename_all = "lowercase")]
struct Newtype(#[model(default)] u8);

fn main() {}
