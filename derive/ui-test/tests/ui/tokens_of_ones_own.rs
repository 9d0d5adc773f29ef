//! A token that collides with a constant of the application; a prefix gets it out of the way.

use larder_derive::Model;

#[derive(Model)]
struct Collide {
    #[model(key)]
    limit: u32,
}

impl Collide {
    const LIMIT: u32 = 5;
}

#[derive(Model)]
#[model(tokens = "by_")]
struct Prefixed {
    #[model(key)]
    limit: u32,
}

impl Prefixed {
    const LIMIT: u32 = 5;
}

fn main() {
    let _ = (Collide::LIMIT, Prefixed::LIMIT, Prefixed::BY_LIMIT);
}
