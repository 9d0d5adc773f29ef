//! Shapes on the wire that make no sense, which shows only once types are known.

use larder_derive::{Datum, Model};

#[derive(Datum)]
struct Place {
    name: String,
}

#[derive(Model)]
struct Taken {
    #[model(key)]
    id: u32,
    name: String,
    #[model(json(flatten))]
    place: Place,
}

#[derive(Model)]
struct NoStruct {
    #[model(key)]
    id: u32,
    #[model(json(flatten))]
    text: String,
}

#[derive(Model)]
struct Small {
    #[model(key(server))]
    id: u8,
}

#[derive(Datum)]
#[model(with = "Nothing")]
struct Unconverted(u8);

struct Nothing;

#[derive(Datum)]
#[model(json(via = "NoDto"))]
struct ViaNothing {
    number: u8,
}

struct NoDto;

#[derive(Model)]
#[model(validate = "not_a_check")]
struct Unchecked {
    #[model(key)]
    id: u32,
}

fn not_a_check(_: &Unchecked) -> bool {
    true
}

fn main() {}

// Rules: m-unsupported
