//! Tags that have no place, which shows only once types are known.

use larder_derive::Datum;

#[derive(Datum)]
struct Place {
    #[model(json(rename = "type"))]
    kind: u8,
}

#[derive(Datum)]
#[model(tag = "type")]
enum Tagged {
    Text(String),
    Place(Place),
}

fn main() {}
