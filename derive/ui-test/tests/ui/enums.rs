//! Tags that have no place.

use larder_derive::Datum;

#[derive(Datum)]
#[model(tag = "type")]
enum WithoutData {
    A,
    B,
}

#[derive(Datum)]
#[model(content = "value")]
enum WithoutTag {
    A(u8),
}

#[derive(Datum)]
#[model(tag = "t", content = "t")]
enum SameName {
    A(u8),
}

#[derive(Datum)]
#[model(tag = "type")]
enum NoPlace {
    Pair(u8, u8),
    Empty(),
    Named { r#type: u8 },
    Renamed {
        #[model(json(rename = "type"))]
        kind: u8,
    },
}

fn main() {}
