//! Values that contain each other have no finite shape.

use larder_derive::Datum;

#[derive(Datum)]
struct Branch {
    leaves: Vec<Leaf>,
}

#[derive(Datum)]
struct Leaf {
    branch: Option<Box<Branch>>,
}

fn main() {}

// Rules: m-unsupported
