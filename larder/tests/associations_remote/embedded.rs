//! Rows that stand within others.

use larder::{ErrorKind, Model, ReadPolicy, RowState, Select};
use larder_stubs::{Collection, Stubs};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Issue, Label, Remark, User, Watching, here, issue, repo};

fn ada() -> Value {
    json!({ "login": "ada", "email": "ada@example.com", "bio": "first" })
}

fn user(login: &str, bio: Option<&str>) -> User {
    User { login: login.into(), email: format!("{login}@example.com"), bio: bio.map(Into::into) }
}

/// A server with these issues and nothing else.
fn issues(rows: impl IntoIterator<Item = Value>) -> Stubs {
    Stubs::new().collection(Collection::at("issues").rows(rows))
}

// Rules: m-assoc-remote
#[tokio::test]
async fn embedded_rows_are_stored_with_the_row_that_they_stand_in() {
    let first = json!({
        "id": 1, "title": "It burns", "openedBy": ada(),
        "labels": ["old", { "name": "hot", "color": "red" }],
        "remarks": [{ "id": 7, "text": "yes" }],
        "watchers": [{ "login": "bob", "email": "bob@example.com" }, "ada"]
    });
    let stubs = issues([first, issue(2, ada())]);
    let repo = repo(&stubs).await;
    let mut live = repo.reading(ReadPolicy::LocalOnly).watch(Select::<Issue>::all()).unwrap();
    assert!(live.next().await.unwrap().unwrap().is_empty());

    assert_eq!(repo.get(Select::<Issue>::all()).await.unwrap().len(), 2);
    assert_eq!(here::<User>(&repo).await, [user("ada", Some("first")), user("bob", None)]);
    assert_eq!(here::<Label>(&repo).await, [Label { name: "hot".into(), color: "red".into() }]);
    let remarks = here::<Remark>(&repo).await;
    assert_eq!((remarks[0].issue.id(), remarks[0].text.as_str()), (&1, "yes"));
    let watching = here::<Watching>(&repo).await;
    assert_eq!(watching.iter().map(|link| link.user.id().as_str()).collect::<Vec<_>>(), ["ada", "bob"]);
    assert_eq!(repo.sync_state::<User>("ada").await.unwrap().unwrap().state, RowState::Synced);
    assert_eq!(stubs.calls().len(), 1, "one request brought it all");
    assert_eq!(live.next().await.unwrap().unwrap().len(), 2, "and one transaction stored it");
}

// Rules: m-assoc-remote
#[tokio::test]
async fn a_part_of_a_row_completes_what_is_here_and_is_a_key_where_nothing_is() {
    let stubs = issues([
        issue(1, json!({ "login": "ada", "bio": "newer" })),
        issue(2, json!({ "login": "eve", "bio": "nobody knows her address" })),
    ]);
    let repo = repo(&stubs).await;
    let _ = repo.writing(larder::WritePolicy::LocalOnly).upsert(&user("ada", Some("older"))).await.unwrap();
    let issues = repo.get(Issue::TITLE.eq("It burns")).await.unwrap();
    assert_eq!(issues[1].opened_by.id(), "eve");
    assert_eq!(here::<User>(&repo).await, [user("ada", Some("newer"))]);
}

// Rules: m-assoc-remote
#[tokio::test]
async fn a_pending_change_stands_whatever_is_embedded() {
    let stubs = issues([issue(1, ada())]);
    let repo = repo(&stubs).await;
    repo.outbox().pause();
    let _ = repo.upsert(&user("ada", Some("mine"))).await.unwrap();
    repo.get(Select::<Issue>::all()).await.unwrap();
    assert_eq!(here::<User>(&repo).await, [user("ada", Some("mine"))]);
}

// Rules: m-assoc-remote, s-rebase
#[tokio::test]
async fn a_pending_change_is_put_on_what_is_embedded() {
    let stubs = issues([issue(1, ada())]);
    let repo = repo(&stubs).await.reading(ReadPolicy::RemoteOnly);
    repo.get(Select::<Issue>::all()).await.unwrap();
    repo.outbox().pause();
    let _ = repo.upsert(&user("ada", Some("mine"))).await.unwrap();
    stubs.put_row("issues", issue(1, json!({ "login": "ada", "email": "ada@elsewhere", "bio": "first" })));
    repo.get(Select::<Issue>::all()).await.unwrap();
    let merged = User { email: "ada@elsewhere".into(), ..user("ada", Some("mine")) };
    assert_eq!(here::<User>(&repo).await, [merged]);
    let queued = repo.outbox().list(0, 9).await.unwrap();
    assert_eq!(queued[0].changed, ["bio"], "the rest is the remote's");
}

#[tokio::test]
async fn a_list_that_does_not_name_a_child_any_more_removes_nothing() {
    let with = |remarks: Value| {
        let mut row = issue(1, json!("ada"));
        row["remarks"] = remarks;
        row
    };
    let stubs = issues([with(json!([{ "id": 7, "text": "yes" }]))]);
    let repo = repo(&stubs).await.reading(ReadPolicy::RemoteOnly);
    repo.get(Select::<Issue>::all()).await.unwrap();
    for less in [json!([]), json!(null)] {
        stubs.put_row("issues", with(less));
        repo.get(Select::<Issue>::all()).await.unwrap();
        assert_eq!(here::<Remark>(&repo).await.len(), 1);
    }
}

#[tokio::test]
async fn the_whole_row_counts_more_than_what_another_shows_of_it() {
    // The same user stands in two pages and in between something of him has changed.
    let stubs = Stubs::new().collection(Collection::at("issues").paged(1).rows([
        issue(1, json!({ "login": "ada", "email": "ada@example.com", "bio": "one" })),
        issue(2, json!({ "login": "ada", "bio": "two" })),
    ]));
    let repo = repo(&stubs).await;
    repo.get(Select::<Issue>::all()).await.unwrap();
    let shown = here::<User>(&repo).await;
    assert_eq!(shown, [user("ada", Some(if stubs.calls().len() == 1 { "one" } else { "two" }))]);
}

// Rules: m-assoc-remote
#[rstest]
#[case::no_key(json!({ "email": "a" }), "[1].opened_by.login")]
#[case::wrong_type(json!({ "login": "ada", "email": 7 }), "[1].opened_by.email")]
#[case::list(json!(["ada"]), "[1].opened_by")]
#[tokio::test]
async fn what_does_not_fit_is_told_and_the_others_are_stored(#[case] opened_by: Value, #[case] path: &str) {
    let repo = repo(&issues([issue(1, ada()), issue(2, opened_by)])).await;
    let error = repo.get(Select::<Issue>::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Serialization, Some(path)), "{error}");
    let issues: Vec<_> = here::<Issue>(&repo).await.iter().map(|issue| issue.id).collect();
    assert_eq!(issues, [1]);
    assert_eq!(here::<User>(&repo).await.iter().map(|user| user.login.clone()).collect::<Vec<_>>(), ["ada"]);
}

#[tokio::test]
async fn a_row_that_is_deleted_here_does_not_come_back_embedded() {
    let stubs = issues([issue(1, ada())]);
    let repo = repo(&stubs).await.reading(ReadPolicy::RemoteOnly);
    repo.outbox().pause();
    let _ = repo.delete::<User>("ada").await.unwrap();
    repo.get(Select::<Issue>::all()).await.unwrap();
    assert!(here::<User>(&repo).await.is_empty());
    assert!(User::schema().associations.is_empty());
}

// Rules: m-assoc-remote, s-delete
#[tokio::test]
async fn a_row_that_is_what_it_was_is_not_gone_because_another_model_s_row_with_its_key_has_changed() {
    let with = |text: &str| {
        let mut row = issue(1, json!("ada"));
        row["remarks"] = json!([{ "id": 7, "text": text }]);
        row
    };
    let stubs = issues([with("yes"), issue(7, "ada")]);
    let repo = repo(&stubs).await;
    for text in ["yes", "no"] {
        stubs.put_row("issues", with(text));
        repo.sync().model::<Issue>().unwrap().await.unwrap();
        assert_eq!(here::<Remark>(&repo).await[0].text, text);
        assert_eq!(here::<Issue>(&repo).await.iter().map(|issue| issue.id).collect::<Vec<_>>(), [1, 7]);
    }
}
