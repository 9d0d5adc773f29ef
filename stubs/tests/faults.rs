//! Offline, slow and flaky.

mod common;

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use common::{ask, send, tell};
use larder_core::{ErrorKind, Runtime, Sent};
use larder_harness::TestRuntime;
use larder_stubs::{Fault, Flaky, Stubs, Switches, Variant};
use serde_json::json;

/// The kind of the I/O error behind an error, as a client looks for it.
fn cause(error: &larder_core::Error) -> io::ErrorKind {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind();
        }
        source = error.source();
    }
    panic!("{error:?} has no I/O error as its cause")
}

#[tokio::test]
async fn offline_looks_like_a_refused_connection() {
    let stubs = Stubs::new().collections(["users"]);
    stubs.switches().offline(true);
    let error = send(&stubs, "POST users", &[], Some(json!({ "id": 1 }))).await.expect_err("offline");
    assert_eq!(cause(&error), io::ErrorKind::ConnectionRefused);
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Offline, Sent::Never));
    assert_eq!((stubs.refused(), stubs.calls().len(), stubs.rows("users").len()), (1, 0, 0));
    stubs.switches().offline(false);
    assert_eq!(tell(&stubs, "POST users", json!({ "id": 1 })).await.status, 201);
}

#[tokio::test]
async fn one_variant_alone_can_be_offline() {
    let switches = Switches::default();
    let stubs =
        Stubs::new().variant(Variant::new("users").json(json!([])).switches(&switches)).on("hats", json!([]));
    switches.offline(true);
    assert!(send(&stubs, "GET users", &[], None).await.is_err());
    assert_eq!(ask(&stubs, "GET hats").await.status, 200);
    switches.clear();
    assert_eq!(ask(&stubs, "GET users").await.status, 200);
}

#[tokio::test]
async fn slow_adds_to_every_delay() {
    let runtime = TestRuntime::new(1);
    let stubs = Stubs::new()
        .runtime(Arc::new(runtime.clone()))
        .variant(Variant::new("users").delay(Duration::from_secs(1)));
    stubs.switches().slow(Duration::from_secs(2));
    ask(&stubs, "GET users").await;
    assert_eq!(runtime.monotonic(), Duration::from_secs(3));
}

#[tokio::test]
async fn a_lost_reply_was_acted_on() {
    let stubs = Stubs::new().collections(["users"]);
    stubs.switches().flaky(Flaky::new(1, 100).faults([Fault::LostReply]));
    let error = send(&stubs, "POST users", &[], Some(json!({ "id": 1 }))).await.expect_err("lost");
    assert_eq!(cause(&error), io::ErrorKind::ConnectionReset);
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Transport, Sent::Maybe));
    assert_eq!(stubs.rows("users").len(), 1);
    assert!(stubs.calls()[0].lost);
}

#[tokio::test]
async fn a_status_as_a_fault_is_not_acted_on() {
    let stubs = Stubs::new().collections(["users"]);
    stubs.switches().flaky(Flaky::new(1, 100).faults([Fault::Status(503)]));
    assert_eq!(tell(&stubs, "POST users", json!({ "id": 1 })).await.status, 503);
    assert_eq!(stubs.rows("users").len(), 0);
}

async fn fates(seed: u64) -> Vec<String> {
    let stubs = Stubs::new().on("users", json!([]));
    stubs.switches().flaky(Flaky::new(seed, 40));
    let mut fates = Vec::new();
    for _ in 0..60 {
        let answered = send(&stubs, "GET users", &[], None).await;
        fates.push(answered.map_or_else(|error| error.to_string(), |answered| answered.status.to_string()));
    }
    fates
}

#[tokio::test]
async fn flaky_repeats_itself_by_its_seed() {
    let first = fates(7).await;
    assert_eq!(first, fates(7).await);
    assert_ne!(first, fates(8).await);
    let failed = first.iter().filter(|fate| *fate != "200").count();
    assert!((10..=40).contains(&failed), "{failed} of 60 failed");
    for kind in ["503", "refused the connection", "answer was lost"] {
        assert!(first.iter().any(|fate| fate.contains(kind)), "no {kind}");
    }
}
