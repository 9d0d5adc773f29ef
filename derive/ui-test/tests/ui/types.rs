//! Fields of types that nobody knows how to store.

use larder_derive::{Datum, Model};

struct Opaque;

struct NoConverter;

#[derive(Model)]
struct Fields {
    #[model(key)]
    id: u32,
    opaque: Opaque,
    many: Vec<Opaque>,
    #[model(with = "NoConverter")]
    converted: Opaque,
    #[model(default = "\"text\"")]
    number: u8,
    #[model(default = "missing::function")]
    other: u8,
    #[model(skip)]
    skipped: Opaque,
    #[model(json(with = "missing"))]
    wired: u8,
}

#[derive(Datum)]
struct Nested {
    opaque: Opaque,
}

fn main() {}

// Rules: m-unsupported
