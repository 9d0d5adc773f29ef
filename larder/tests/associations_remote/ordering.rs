//! What goes to the server first.

use larder::{Many, One, ParkReason, Stored, WritePolicy};
use larder_stubs::{Answer, Collection, Stubs, Variant};
use rstest::rstest;
use serde_json::json;

use super::{Issue, User, here, repo};

fn ada() -> User {
    User { login: "ada".into(), email: "ada@example.com".into(), bio: None }
}

fn issue(id: u32) -> Issue {
    Issue {
        id,
        title: "It burns".into(),
        opened_by: One::to("ada".into()),
        labels: Many::new(),
        remarks: Many::new(),
        watchers: Many::new(),
    }
}

/// Forgets that the write is still to be sent.
fn stored<M>(written: larder::Result<Stored<M>>) {
    drop(written.unwrap());
}

fn sent(stubs: &Stubs) -> Vec<String> {
    let shown =
        |call: larder_stubs::Call| format!("{} {} {}", call.method, call.segments.join("/"), call.status);
    stubs.calls().into_iter().map(shown).collect()
}

// Rules: o-dependencies
#[tokio::test]
async fn the_row_that_is_referred_to_is_created_first_and_its_refusal_stops_what_refers_to_it() {
    let refused = Variant::new("POST users").status(422).then(Answer::new().status(201).json(json!({})));
    let stubs = Stubs::new().variant(refused).collection(Collection::at("issues"));
    let repo = repo(&stubs).await;
    repo.outbox().pause();
    stored(repo.upsert(&ada()).await);
    stored(repo.upsert(&issue(1)).await);
    stored(repo.upsert(&Issue { opened_by: One::to("bob".into()), ..issue(2) }).await);
    repo.outbox().resume();
    repo.outbox().drain().await;

    let mut first = sent(&stubs);
    first.sort();
    assert_eq!(first, ["POST issues 201", "POST users 422"], "the issue of ada waits");
    assert_eq!(stubs.rows("issues")[0]["id"], 2);
    let parked = repo.outbox().parked().await.unwrap();
    assert_eq!((parked.len(), parked[0].parked), (1, Some(ParkReason::Rejected)));

    repo.outbox().retry(parked[0].seq).await.unwrap();
    repo.outbox().drain().await;
    assert_eq!(sent(&stubs)[2..], ["POST users 201", "POST issues 201"]);
    let first = &stubs.rows("issues")[0];
    assert_eq!((&first["id"], &first["openedBy"]), (&json!(1), &json!("ada")), "it is sent as its key");
}

// Rules: o-dependencies
#[tokio::test]
async fn a_row_is_deleted_after_what_referred_to_it() {
    let refused = Variant::new("DELETE issues/1").status(422);
    let stubs = Stubs::new()
        .variant(refused)
        .variant(Variant::new("POST issues").status(204))
        .collection(Collection::at("users").key("login").rows([json!({ "login": "ada", "email": "a" })]));
    let repo = repo(&stubs).await;
    let local = repo.writing(WritePolicy::LocalOnly);
    repo.find::<User>("ada").await.unwrap();
    stored(local.upsert(&issue(1)).await);
    // What is kept here alone is published with the first change of it.
    stored(repo.upsert(&Issue { title: "It smokes".into(), ..issue(1) }).await);
    repo.outbox().drain().await;
    repo.outbox().pause();
    drop(repo.delete::<Issue>(1_u32).await.unwrap());
    drop(repo.delete::<User>("ada").await.unwrap());
    repo.outbox().resume();
    repo.outbox().drain().await;
    assert!(here::<User>(&repo).await.is_empty());
    assert_eq!(stubs.rows("users").len(), 1, "the issue has not been deleted, so neither has the user");
}

// Rules: o-dependencies, o-parked
#[rstest]
#[case::what_refers_to_the_row_waits_for_no_change_of_it("PUT users/ada", ["PUT users/ada 422", "POST issues 201"])]
#[case::a_change_waits_for_nothing_that_refers_to_its_row("POST issues", ["POST issues 422", "PUT users/ada 200"])]
#[tokio::test]
async fn a_change_creates_nothing_and_deletes_nothing(#[case] refused: &str, #[case] requests: [&str; 2]) {
    let users = Collection::at("users").key("login").rows([json!({ "login": "ada", "email": "a" })]);
    let stubs = Stubs::new()
        .variant(Variant::new(refused).status(422))
        .collection(users)
        .collection(Collection::at("issues"));
    let repo = repo(&stubs).await;
    repo.find::<User>("ada").await.unwrap();
    stubs.forget_calls();
    for request in requests {
        if request.starts_with("PUT") {
            stored(repo.upsert(&ada()).await);
        } else {
            stored(repo.upsert(&issue(1)).await);
        }
        repo.outbox().drain().await;
    }
    assert_eq!(sent(&stubs), requests, "the first one is parked, and stops its own row alone");
}
