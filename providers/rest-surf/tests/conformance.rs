//! The suites over a real socket, through surf and its middleware, carried by hyper.

#[path = "../../rest/tests/collections/mod.rs"]
mod collections;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use collections::{Level, Sited, remote, serve, server};
use larder_core::{OpenProvider, Result};
use larder_harness::{Setup, Site, Subject};
use larder_rest::Host;
use larder_rest_surf::over_hyper;
use larder_stubs::Stubs;
use surf::middleware::{Middleware, Next};

/// Middleware that counts what goes through it.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

#[surf::utils::async_trait]
impl Middleware for Counting {
    async fn handle(
        &self,
        request: surf::Request,
        client: surf::Client,
        next: Next<'_>,
    ) -> surf::Result<surf::Response> {
        self.0.fetch_add(1, Ordering::SeqCst);
        next.run(request, client).await
    }
}

/// Fails the case if the server was asked for more than the middleware has seen.
struct EachWasSeen {
    stubs: Stubs,
    site: Site,
    seen: Counting,
}

impl Drop for EachWasSeen {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(
                self.stubs.calls().len() + self.site.heard(),
                self.seen.0.load(Ordering::SeqCst),
                "surf saw other requests"
            );
        }
    }
}

async fn make(setup: Setup) -> Result<Subject> {
    let (stubs, seen) = (server(Level::None), Counting::default());
    let site = Site::new();
    let (other, also_serving) = serve(Sited::elsewhere(site.clone())).await;
    let (base, serving) = serve(Sited::new(stubs.clone(), site.clone())).await;
    let middleware = seen.clone();
    let transport = over_hyper(move |client| client.with(middleware));
    let rest = remote(Level::None, &base).host(Host::at(&other)).transport_with(transport);
    let provider = OpenProvider::open(Box::new(rest), &setup.opening()).await?;
    Ok(Subject::provider(provider)
        .finite_floats()
        .dear()
        .site(site.clone().elsewhere(other))
        .keeping(serving)
        .keeping(also_serving)
        .keeping(EachWasSeen { stubs, site, seen }))
}

larder_harness::conformance! {
    provider = "rest-surf",
    faces = [remote, delta, requests],
    make = make,
    exempt = {
        "floats::what_is_no_number_can_be_stored" => "JSON has no NaN and no infinity: such a row is refused",
        "keys::empty_text" => "a path can't name an empty key: such a row is refused",
        "keys::dots" => "a path can't name the keys `.` and `..`: such rows are refused",
    },
}
