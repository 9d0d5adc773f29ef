//! The suites over a real socket, through surf and its middleware, carried by hyper.

#[path = "../../rest/tests/collections/mod.rs"]
mod collections;

use collections::{Level, remote, serve, server};
use larder_core::{OpenProvider, Result};
use larder_harness::{Setup, Subject};
use larder_rest_surf::over_hyper;
use surf::middleware::{Middleware, Next};

/// Middleware that every request goes through.
struct Seen;

#[surf::utils::async_trait]
impl Middleware for Seen {
    async fn handle(
        &self,
        mut request: surf::Request,
        client: surf::Client,
        next: Next<'_>,
    ) -> surf::Result<surf::Response> {
        request.set_header("x-seen", "by surf");
        next.run(request, client).await
    }
}

async fn make(setup: Setup) -> Result<Subject> {
    let (base, serving) = serve(server(Level::None)).await;
    let rest = remote(Level::None, &base).transport_with(over_hyper(|client| client.with(Seen)));
    let provider = OpenProvider::open(Box::new(rest), &setup.opening()).await?;
    Ok(Subject::provider(provider).finite_floats().keeping(serving))
}

larder_harness::conformance! {
    provider = "rest-surf",
    faces = [remote],
    make = make,
    exempt = {
        "floats::what_is_no_number_can_be_stored" => "JSON has no NaN and no infinity: such a row is refused",
        "keys::empty_text" => "a path can't name an empty key: such a row is refused",
        "keys::dots" => "a path can't name the keys `.` and `..`: such rows are refused",
    },
}
