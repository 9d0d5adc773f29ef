//! Types that are not of the right shape.

use larder_derive::{Datum, Model};

#[derive(Model)]
struct Tuple(u32, String);

#[derive(Model)]
struct Unit;

#[derive(Model)]
enum Choice {
    A,
    B,
}

#[derive(Model)]
union Bits {
    a: u32,
    b: f32,
}

#[derive(Datum)]
struct TwoValues(u32, u32);

#[derive(Datum)]
struct NoValue;

#[derive(Datum)]
enum Never {}

#[derive(Datum)]
union Either {
    a: u32,
    b: f32,
}

fn main() {}
