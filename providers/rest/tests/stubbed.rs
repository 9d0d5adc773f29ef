//! A remote over stubs: what a bad network and a missing stub look like from here.

use std::sync::Arc;

use larder_core::{
    Context, ErrorKind, FieldDef, IntKind, KeyDef, Kind, Mutation, MutationId, OpenProvider, Operation,
    Provider, Query, Record, Schema, Sent, Uuid, Value,
};
use larder_harness::{Setup, fails};
use larder_rest::Rest;
use larder_stubs::{Fault, Flaky, Stubs};
use serde_json::json;

static USER: Schema =
    Schema::new("User", &[FieldDef::new("id", Kind::Int(IntKind::I64))], KeyDef::natural(&[0]));

async fn remote(stubs: &Stubs) -> Arc<dyn Provider> {
    let setup = Setup { schemas: Arc::new([&USER]), ..Setup::new(1) };
    let rest = Rest::at("https://api.example.com").transport(stubs.clone());
    OpenProvider::open(Box::new(rest), &setup.opening()).await.expect("a remote")
}

fn insert() -> Mutation {
    Mutation {
        id: MutationId(Uuid::nil()),
        schema: &USER,
        key: 1.into(),
        operation: Operation::Insert,
        row: Some(Arc::new(Record::new([Some(Value::Int(1))]))),
        changed: None,
        base_version: None,
        extra: None,
        repeated: false,
        nested: Vec::new(),
    }
}

#[tokio::test]
async fn offline_was_never_sent() {
    let stubs = Stubs::new().collections(["users"]);
    let remote = remote(&stubs).await;
    stubs.switches().offline(true);
    let error = fails(remote.apply(&Context::new(), &insert()).await, ErrorKind::Offline);
    assert_eq!((error.sent(), error.is_transient()), (Sent::Never, true), "{error:?}");
    stubs.switches().offline(false);
    remote.apply(&Context::new(), &insert()).await.expect("an insert");
}

#[tokio::test]
async fn a_lost_reply_may_have_been_sent() {
    let stubs = Stubs::new().collections(["users"]);
    stubs.switches().flaky(Flaky::new(1, 100).faults([Fault::LostReply]));
    let error = fails(remote(&stubs).await.apply(&Context::new(), &insert()).await, ErrorKind::Transport);
    assert_eq!((error.sent(), error.is_transient()), (Sent::Maybe, true), "{error:?}");
    assert_eq!(stubs.rows("users"), [json!({ "id": 1 })]);
}

#[tokio::test]
async fn a_missing_stub_is_no_passing_trouble() {
    let stubs = Stubs::new().on("GET user", json!([]));
    let asked = remote(&stubs).await.get(&Context::new(), &USER, &Query::all()).await;
    let error = fails(asked, ErrorKind::Http { status: 501 });
    assert!(!error.is_transient(), "{error:?}");
    assert!(error.body().is_some_and(|body| body.contains("no stub for `GET users`")), "{error:?}");
    assert_eq!(stubs.undeclared()[0].nearest, ["GET user"]);
}
