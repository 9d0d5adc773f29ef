//! Options of options: both nulls would look the same.

use larder_derive::{Datum, Model};

#[derive(Model)]
struct Doubt {
    #[model(key)]
    id: u32,
    doubled: Option<Option<u8>>,
    deep: Vec<std::option::Option<Option<u8>>>,
}

#[derive(Datum)]
struct Value {
    doubled: Option<Option<u8>>,
}

fn main() {}
