//! `conflict` where it means nothing, or is written wrongly.

use larder_derive::Model;

#[derive(Model)]
#[model(conflict)]
struct Nothing {
    #[model(key)]
    id: u64,
}

#[derive(Model)]
#[model(conflict = "server_win")]
struct Misspelled {
    #[model(key, conflict = "ask")]
    id: u64,
    #[model(conflict = "merge_fields")]
    name: String,
    #[model(conflict = 7)]
    size: u64,
    #[model(skip, conflict = "ask")]
    cache: u64,
}

#[derive(Model)]
#[model(conflict = "last_write_wins")]
struct NotSaidWhen {
    #[model(key)]
    id: u64,
    #[model(conflict(last_write_wins))]
    name: String,
    #[model(conflict(server_wins = id))]
    size: u64,
}

#[derive(Model)]
#[model(conflict(last_write_wins = updated))]
struct NoSuchField {
    #[model(key)]
    id: u64,
    updated_at: u64,
}

#[derive(Model)]
#[model(conflict(last_write_wins = id))]
struct ByTheKey {
    #[model(key)]
    id: u64,
    #[model(conflict = "server_wins")]
    name: String,
}

fn main() {}
