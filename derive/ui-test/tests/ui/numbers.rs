//! Enums that are stored by number.

use larder_derive::Datum;

const LAST: isize = 9;

#[derive(Datum)]
#[model(by = "index")]
enum Unnumbered {
    Low = 1,
    Middle,
    High = LAST,
}

#[derive(Datum)]
#[model(by = "index")]
enum WithData {
    A(u8),
    B,
}

#[derive(Datum)]
#[model(by = "number")]
enum Misspelt {
    A,
}

#[derive(Datum)]
#[model(by = "index", tag = "type")]
enum Tagged {
    A = 1,
}

fn main() {}

// Rules: m-unsupported
