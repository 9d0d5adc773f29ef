//! The suites over the store in memory: no refusal and no exemption.

use larder_core::{OpenStore, Request, Response, Result};
use larder_harness::{Arrived, Setup, Site, Subject};
use larder_memory::Memory;

const ELSEWHERE: &str = "https://uploads.example.com";

/// Whoever answers for the host.
fn answers(site: &Site, elsewhere: bool) -> impl Fn(&Request) -> Result<Response> + Send + Sync + 'static {
    let site = site.clone();
    move |request| {
        let lower = |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone());
        let reply = site.reply(Arrived {
            elsewhere,
            method: request.method.clone(),
            target: request.target.clone(),
            headers: request.headers.iter().map(lower).collect(),
            key: Some(request.id.to_string()),
            body: request.body.to_vec(),
        });
        Ok(Response { status: reply.status, headers: reply.headers, body: Some(reply.body.into()) })
    }
}

async fn make(setup: Setup) -> Result<Subject> {
    // Small pages and a short memory: changes come on several pages, and some are forgotten.
    let memory = Memory::new().delta_page(7).changes(60);
    let site = Site::new().elsewhere(ELSEWHERE);
    let memory = memory.answering(answers(&site, false)).answering_at(ELSEWHERE, answers(&site, true));
    Ok(Subject::store(OpenStore::open(Box::new(memory), &setup.opening()).await?).site(site))
}

larder_harness::conformance! {
    provider = "memory",
    faces = [store, remote, delta, realtime, requests],
    make = make,
    exempt = {},
}
