//! Keys of maps that can't be written as text, which shows only once types are known.

use std::collections::BTreeMap;

use larder_derive::{Datum, Model};

#[derive(PartialEq, Eq, PartialOrd, Ord, Datum)]
struct Place {
    zip: u32,
}

#[derive(Model)]
struct Counts {
    #[model(key)]
    id: u32,
    by_place: BTreeMap<Place, u32>,
    by_list: BTreeMap<Vec<u32>, u32>,
    by_option: BTreeMap<Option<u32>, u32>,
    fine: BTreeMap<String, u32>,
}

fn main() {}

// Rules: m-unsupported
