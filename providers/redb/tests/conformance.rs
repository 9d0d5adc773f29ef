//! The suites over a store in a file: no refusal and no exemption.

use std::sync::Arc;

use larder_core::runtime::BoxFuture;
use larder_core::{OpenStore, Result};
use larder_harness::{Setup, Subject};
use larder_redb::Redb;
use tempfile::TempDir;

async fn make(setup: Setup) -> Result<Subject> {
    open(setup, Arc::new(TempDir::new().expect("a directory"))).await
}

/// Opens the file in `directory`, which is there for as long as somebody may open it again.
fn open(setup: Setup, directory: Arc<TempDir>) -> BoxFuture<'static, Result<Subject>> {
    Box::pin(async move {
        let redb = Redb::at(directory.path().join("store.redb"));
        let store = OpenStore::open(Box::new(redb), &setup.opening()).await?;
        let kept = directory.clone();
        Ok(Subject::store(store).keeping(kept).reopened_by(|setup| open(setup, directory)))
    })
}

larder_harness::conformance! {
    provider = "redb",
    faces = [store, durable],
    make = make,
    exempt = {},
}
