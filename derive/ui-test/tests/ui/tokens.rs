//! Tokens that collide with each other.

use larder_derive::Model;

#[derive(Model)]
struct Collide {
    #[model(key)]
    id: u32,
    first_name: String,
    #[allow(non_snake_case)]
    firstName: String,
}

#[derive(Model)]
#[model(tokens = "1-")]
struct Prefix {
    #[model(key)]
    id: u32,
}

fn main() {}
