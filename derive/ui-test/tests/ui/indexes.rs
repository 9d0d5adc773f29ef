//! Indexes that name what is not there, or the same twice.

use larder_derive::Model;

#[derive(Model)]
#[model(unique(emial, tenant), index(city, secret), index(), index(city, city), unique("city"))]
struct Unknown {
    #[model(key)]
    id: u32,
    email: String,
    tenant: u32,
    city: String,
    #[model(skip)]
    secret: u32,
}

#[derive(Model)]
#[model(unique(email, tenant), index(email, tenant), index(city), index(tenant, email, name = "city"), unique = "email")]
struct Twice {
    #[model(key)]
    id: u32,
    #[model(unique, index)]
    email: String,
    tenant: u32,
    #[model(index)]
    city: String,
}

fn main() {}
