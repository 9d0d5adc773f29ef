//! Requests that are no models: stored, sent in order, and gone when the server has answered.
#![cfg(feature = "rest")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

mod accounts;
mod crash;
mod damaged;
mod disk;
#[cfg(feature = "redb")]
mod golden;
mod hosts;
mod refused;
mod sending;
mod server;
mod stored;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use larder::rest::Rest;
use larder::{Builder, Memory, OutboxSettings, QueuedMutation, Repository, RequestSettings};
use server::Server;

pub(crate) const API: &str = "https://api.example.com/v1";

/// Waits that a test can wait for.
pub(crate) fn quick() -> OutboxSettings {
    OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20))
}

/// A repository over memory whose remote is `server`, to be configured further.
pub(crate) fn builder(server: &Arc<Server>, settings: RequestSettings) -> Builder {
    let rest = Rest::at(API).transport(Arc::clone(server).service());
    Repository::builder().store(Memory::new()).remote(rest).requests(settings).outbox(quick())
}

pub(crate) async fn repo(server: &Arc<Server>) -> Repository {
    builder(server, RequestSettings::new()).build().await.unwrap()
}

/// Fails if it takes too long.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it comes to an end")
}

/// Waits until this many entries are parked.
pub(crate) async fn parked(repo: &Repository, count: usize) -> Vec<QueuedMutation> {
    soon(async {
        loop {
            let parked = repo.outbox().parked().await.unwrap();
            if parked.len() == count {
                return parked;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
}

/// Waits until nothing is in the outbox.
pub(crate) async fn emptied(repo: &Repository) {
    soon(async {
        while !repo.outbox().is_empty().await.unwrap() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
