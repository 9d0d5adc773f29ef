//! Steps between versions.

use larder::OldRow;
use larder_derive::Model;

fn step(_: &mut OldRow) -> Result<(), String> {
    Ok(())
}

fn other(_: &str) {}

#[derive(Model)]
#[model(migrate(1 => "step"))]
struct First {
    #[model(key)]
    id: i64,
}

#[derive(Model)]
#[model(version = 3, migrate(1 => "step", 3 => "step"), rekey(1 => "step"))]
struct Beyond {
    #[model(key)]
    id: i64,
}

#[derive(Model)]
#[model(version = 2, migrate("step"))]
struct Shapeless {
    #[model(key)]
    id: i64,
}

#[derive(Model)]
#[model(version = 2, migrate(1 => "other"))]
struct Mistyped {
    #[model(key)]
    id: i64,
}

fn main() {}
