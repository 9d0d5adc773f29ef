//! The suites over the store in memory: no refusal and no exemption.

use larder_core::{OpenStore, Result};
use larder_harness::{Setup, Subject};
use larder_memory::Memory;

async fn make(setup: Setup) -> Result<Subject> {
    // Small pages and a short memory: changes come on several pages, and some are forgotten.
    let memory = Memory::new().delta_page(7).changes(60);
    Ok(Subject::store(OpenStore::open(Box::new(memory), &setup.opening()).await?))
}

larder_harness::conformance! {
    provider = "memory",
    faces = [store, remote, delta, realtime],
    make = make,
    exempt = {},
}
