//! Rows to which the server gives their keys, in the requests of others.

use std::sync::Arc;

use larder::core::{OpenStore, Opening};
use larder::{Many, Memory, Model, One, ReadPolicy, Select, TokioRuntime};
use larder_stubs::{Collection, Stubs};
use serde_json::json;

use super::here;
use super::nested_targets::{Queue, Step, Ticket, over, requests, settled};
use crate::support::chaos::Faulty;
use crate::support::gates::dequeues;
use crate::support::soon;

// Rules: m-assoc-send, m-key-server-refs, o-order
#[rstest::rstest]
#[tokio::test]
async fn what_was_accepted_in_the_request_of_another_is_not_undone_by_what_was_written_before(
    #[values(false, true)] killed: bool,
) {
    let stubs = Stubs::new()
        .collection(Collection::at("tickets").key("number").rows([json!({ "number": 20, "queue": null })]))
        .collection(Collection::at("steps").key("number").idempotent("Idempotency-Key"));
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    let schemas = Arc::new([Ticket::schema(), Step::schema(), Queue::schema()]);
    let disk = OpenStore::open(Box::new(Memory::new()), &Opening { runtime, schemas }).await.unwrap();
    let (store, faults) = Faulty::over(&disk, 1);
    let repo = over(store, &stubs).await;
    drop(repo.get(Select::<Ticket>::all()).await.unwrap());
    // The answer to its creation is there, and not stored yet.
    let exchange = faults.gates.hold(dequeues);
    let number = repo.new_key(Step::NUMBER).await.unwrap();
    let new = Step { number, ticket: One::to(20), text: "new".into() };
    drop(repo.upsert(&new).await.unwrap());
    soon(exchange.there.notified()).await;
    let remote = repo.reading(ReadPolicy::RemoteOnly);
    let came = remote.get(Select::<Step>::all()).await.unwrap().iter().find(|step| step.number > 0).cloned();
    drop(repo.update(&new, |step| step.text = "earlier".into()).await.unwrap());
    let later = Step { text: "later".into(), ..Step::clone(&came.unwrap()) };
    let given = later.number;
    let ticket = Ticket { number: 20, queue: None, steps: Many::of([later]) };
    drop(repo.upsert(&ticket).await.unwrap().accepted().await.unwrap());
    let repo = if killed {
        faults.kill().await;
        drop(repo);
        over(Faulty::over(&disk, 1).0, &stubs).await
    } else {
        exchange.go.notify_one();
        repo
    };
    settled(&repo).await;
    assert_eq!(here::<Step>(&repo).await.iter().map(|step| &*step.text).collect::<Vec<_>>(), ["later"]);
    let alone = format!("steps/{given}");
    let asked = requests(&stubs);
    assert!(asked.iter().all(|(name, _)| !name.ends_with(&alone)), "nothing goes over it: {asked:?}");
}
