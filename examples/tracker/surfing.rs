//! `--transport surf`: a surf client with a middleware of the application's own, carried by Larder's hyper client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::Rest;
use larder_rest_surf::over_hyper;
use larder_rest_surf::surf::middleware::{Middleware, Next};
use larder_rest_surf::surf::{Client, Request, Response, Result};

/// Counts the requests that pass.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    /// How many have passed.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[larder_rest_surf::surf::utils::async_trait]
impl Middleware for Counter {
    async fn handle(&self, request: Request, client: Client, next: Next<'_>) -> Result<Response> {
        self.0.fetch_add(1, Ordering::Relaxed);
        next.run(request, client).await
    }
}

/// Sends `rest` through surf.
pub(crate) fn through_surf(rest: Rest, counter: Counter) -> Rest {
    rest.transport_with(over_hyper(|client| client.with(counter)))
}
