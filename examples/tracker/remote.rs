//! Where the tracker's models live: the parts that `--store` and `--transport` swap, and the server's interface.

use std::time::Duration;

use larder::rest::http::Method;
use larder::rest::{Endpoint, Paging};
use larder::{Idempotency, Memory, Operation, Redb, Repository, Rest};
use serde::{Deserialize, Serialize};

use crate::client::ClientArgs;
use crate::models::{Issue, Label};
use crate::surfing::{Counter, through_surf};

/// How many mutations the client sends at a time.
pub(crate) const PARALLEL: u32 = 3;

/// How many rows a page has.
const PER_PAGE: &str = "3";

/// The local side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum StoreKind {
    /// Everything is gone with the process.
    Memory,
    /// A file.
    Redb,
}

/// What carries the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum TransportKind {
    /// hyper, which Larder ships.
    Hyper,
    /// A surf client with its middleware.
    Surf,
}

/// Opens the tracker's repository; `counter` counts what goes through surf.
pub(crate) async fn open(args: &ClientArgs, counter: &Counter) -> larder::Result<Repository> {
    let rest = rest(&args.server, &args.repo);
    let builder = Repository::builder()
        .model::<Issue>()
        .model::<Label>()
        .remote(match args.transport {
            TransportKind::Hyper => rest,
            TransportKind::Surf => through_surf(rest, counter.clone()),
        })
        // The verdict counts each thing that the user did, so none goes into another.
        .outbox(larder::OutboxSettings::new().parallel(PARALLEL as usize).without_coalescing());
    let builder = if args.paused { builder.paused() } else { builder };
    match args.store {
        StoreKind::Memory => builder.store(Memory::new()).build().await,
        StoreKind::Redb => builder.store(Redb::at(&args.file)).build().await,
    }
}

/// The server's interface: GitHub's, with a `PUT` for issues to show that nothing is lost by it.
fn rest(server: &str, repo: &str) -> Rest {
    // The server honours the key in every write, so a repeat after a lost answer finds what was done.
    let keyed = |endpoint: Endpoint| {
        let endpoint = endpoint.idempotency(Operation::Update, Idempotency::KEYED);
        endpoint.idempotency(Operation::Delete, Idempotency::KEYED)
    };
    let issues = Endpoint::new(format!("{repo}/issues"))
        .list_param("state", "all")
        .list_param("per_page", PER_PAGE)
        .paging(Paging::Link);
    let labels = Endpoint::new(format!("{repo}/labels"))
        .update_with(Method::PATCH)
        .list_param("per_page", PER_PAGE)
        .paging(Paging::Link);
    Rest::at(server)
        .header("Accept", "application/json")
        .timeout(Duration::from_secs(10))
        .model::<Issue>(keyed(issues))
        .model::<Label>(keyed(labels))
}
