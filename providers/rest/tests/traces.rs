//! What is traced. A file of its own: which subscriber a place reports to is settled once for the process.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use larder_core::{Context, Operation};
use larder_rest::{ApiKey, Endpoint, Rest};
use support::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const SECRET: &str = "s3cret/+key";

/// Writes down all that is traced.
#[derive(Clone, Default)]
struct Traced(Arc<Mutex<String>>);

impl Visit for Traced {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0.lock().unwrap(), "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Traced {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        write!(self.0.lock().unwrap(), "{} ", span.metadata().name()).unwrap();
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_trace_has_the_template_and_the_status_but_no_data() {
    let traced = Traced::default();
    let guard = tracing::subscriber::set_default(traced.clone());
    let server = Server::always(reply(201).text(format!("<html>{SECRET}")));
    let endpoint = Endpoint::new("/users").update("/users/{key}?name={name}");
    let rest = Rest::at("https://api.example.com")
        .transport(server)
        .endpoint("User", endpoint)
        .credentials(ApiKey::query("key", SECRET));
    let remote = open(rest).await;
    let update = mutation(Operation::Update, Some(user("p3rson", "Ada L", None, "Open")), "p3rson");
    remote.apply(&Context::new(), &update).await.unwrap();
    drop(guard);
    let told = traced.0.lock().unwrap().clone();
    assert!(!told.contains("s3cret"), "{told}");
    for expected in
        ["rest ", "model=\"User\"", "method=\"PUT\"", "template=\"/users/{key}?name={name}\"", "status=201"]
    {
        assert!(told.contains(expected), "{told}");
    }
    for private in ["p3rson", "Ada"] {
        assert!(!told.contains(private), "{told}");
    }
    assert!(told.contains("accepted the write"), "{told}");
}
