//! A value that contains itself has no finite shape.

use larder_derive::Datum;

#[derive(Datum)]
struct Tree {
    leaf: u8,
    children: Vec<Tree>,
}

fn main() {}

// Rules: m-unsupported
