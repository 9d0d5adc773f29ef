//! The suites over the store in memory: no refusal and no exemption.

use larder_core::{OpenStore, Result};
use larder_harness::{Setup, Subject};
use larder_memory::Memory;

async fn make(setup: Setup) -> Result<Subject> {
    Ok(Subject::store(OpenStore::open(Box::new(Memory::new()), &setup.opening()).await?))
}

larder_harness::conformance! {
    provider = "memory",
    faces = [store, remote],
    make = make,
    exempt = {},
}
