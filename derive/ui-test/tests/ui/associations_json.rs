//! How an association is written on the wire: what is refused.

use larder::{Many, One};
use larder_derive::Model;

#[derive(Model)]
struct User {
    #[model(key)]
    name: String,
    #[model(unique)]
    email: String,
}

#[derive(Model)]
struct Paths {
    #[model(key)]
    id: u32,
    #[model(json(path = "owner/name"))]
    no_slash: One<User>,
    #[model(json(path = "/owners/*/name"))]
    several_for_one: One<User>,
    #[model(json(path = "/title"))]
    no_association: String,
    #[model(row(path = "/owner/name"))]
    stored: One<User>,
    #[model(json(path = "/owner/name", lookup = "email"))]
    both: One<User>,
}

#[derive(Model)]
struct Lookups {
    #[model(key)]
    id: u32,
    #[model(json(lookup(email = "/users/*/email")))]
    several: One<User>,
    #[model(json(lookup()))]
    nothing: One<User>,
    #[model(keys, json(lookup = "email"))]
    many: Many<User>,
}

#[derive(Model)]
struct Unknown {
    #[model(key)]
    id: u32,
    #[model(json(lookup = "phone"))]
    user: One<User>,
}

#[derive(Model)]
struct Sent {
    #[model(key)]
    id: u32,
    #[model(json(send = "nestde"))]
    misspelt: One<User>,
    #[model(json(send = "first"))]
    none: String,
}

fn main() {}
