//! Keys that are missing, or can't be one.

use larder::Uuid;
use larder_derive::Model;

#[derive(Model)]
struct Keyless {
    name: String,
}

#[derive(Model)]
#[model(singleton)]
struct KeyedSingleton {
    #[model(key)]
    name: String,
}

#[derive(Model)]
struct OptionalKey {
    #[model(key)]
    id: Option<Uuid>,
}

#[derive(Model)]
struct FloatKey {
    #[model(key)]
    id: f64,
    #[model(key)]
    other: f32,
    #[model(key)]
    letter: char,
    #[model(key)]
    many: Vec<String>,
}

#[derive(Model)]
struct MadeHere {
    #[model(key(client))]
    id: String,
}

#[derive(Model)]
struct MadeInParts {
    #[model(key(client))]
    a: Uuid,
    #[model(key(natural))]
    b: u8,
}

#[derive(Model)]
struct Unknown {
    #[model(key(sever))]
    id: u64,
}

#[derive(Model)]
struct Defaulted {
    #[model(key, default, json(default = "7"))]
    id: u64,
}

#[derive(Model)]
struct Unread {
    #[model(key, json(skip))]
    id: u64,
}

#[derive(Model)]
struct Twice {
    #[model(key, unique, index)]
    id: u64,
}

#[derive(Model)]
struct Skipped {
    #[model(key)]
    id: u64,
    #[model(key, unique, index, rename = "x", alias = "y", skip)]
    other: u64,
}

fn main() {}
