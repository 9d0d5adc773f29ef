//! Rows that stand in the answer to a write, and were not sent with it.

use larder::{RowState, Select, WritePolicy};
use larder_stubs::{Answer, Call, Stubs, Variant};
use rstest::rstest;
use serde_json::json;

use super::{Issue, Label, User, here, repo};
use larder::{Many, One};

fn issue() -> Issue {
    Issue {
        id: 1,
        title: "It burns".into(),
        opened_by: One::to("ada".into()),
        labels: Many::to(["hot".to_owned()]),
        remarks: Many::new(),
        watchers: Many::new(),
    }
}

/// A server that shows the user and the labels whole.
fn showing() -> Stubs {
    let answer = |call: &Call| {
        let mut row = call.json().unwrap();
        row["openedBy"] = json!({ "login": "ada", "email": "ada@example.com", "bio": "theirs" });
        row["labels"] = json!([{ "name": "hot", "color": "red" }, { "name": 3 }]);
        if row["title"] == "It burns" {
            row["labels"].as_array_mut().unwrap().pop();
        }
        Answer::new().status(201).json(row)
    };
    Stubs::new()
        .variant(Variant::new("POST issues").respond(answer))
        .variant(Variant::new("POST users").status(204))
        .variant(Variant::new("PATCH users/ada").status(204))
        .variant(Variant::new("PUT users/ada").status(204))
}

// Rules: m-assoc-remote
#[rstest]
#[case::queued(WritePolicy::OptimisticLocal)]
#[case::remote_first(WritePolicy::RequireRemote)]
#[tokio::test]
async fn rows_that_stand_in_an_answer_are_stored_as_pulled_rows_are(#[case] policy: WritePolicy) {
    let stubs = showing();
    let repo = repo(&stubs).await;
    repo.writing(policy).upsert(&issue()).await.unwrap().accepted().await.unwrap();
    let ada = &here::<User>(&repo).await[0];
    assert_eq!((ada.login.as_str(), ada.bio.as_deref()), ("ada", Some("theirs")));
    assert_eq!(here::<Label>(&repo).await, [Label { name: "hot".into(), color: "red".into() }]);
    let state = repo.sync_state::<User>("ada").await.unwrap().unwrap().state;
    assert_eq!(state, RowState::Synced);
    assert!(repo.outbox().list(0, 9).await.unwrap().is_empty());
}

// Rules: m-assoc-remote
#[tokio::test]
async fn they_pass_over_what_is_pending_and_what_was_written_since() {
    let stubs = showing();
    let repo = repo(&stubs).await;
    let mine = User { login: "ada".into(), email: "ada@example.com".into(), bio: Some("mine".into()) };
    let local = repo.writing(WritePolicy::LocalOnly);
    let _ = local.upsert(&User { bio: None, ..mine.clone() }).await.unwrap();
    repo.outbox().pause();
    let stored = repo.upsert(&issue()).await.unwrap();
    let _ = repo.upsert(&mine).await.unwrap();
    repo.outbox().resume();
    stored.accepted().await.unwrap();
    assert_eq!(here::<User>(&repo).await[0].bio.as_deref(), Some("mine"));
}

// Rules: m-assoc-remote
#[tokio::test]
async fn an_answer_with_a_row_that_does_not_fit_is_accepted_all_the_same() {
    let stubs = showing();
    let repo = repo(&stubs).await;
    let stored = repo.upsert(&Issue { title: "odd".into(), ..issue() }).await.unwrap();
    stored.accepted().await.unwrap();
    assert_eq!(repo.get(Select::<Issue>::all().limit(0)).await.unwrap().len(), 0);
    assert_eq!(here::<Issue>(&repo).await[0].title, "odd");
    assert_eq!(repo.sync_state::<Issue>(1_u32).await.unwrap().unwrap().state, RowState::Synced);
}
