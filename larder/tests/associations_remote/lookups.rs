//! References by other fields than the key.

use std::sync::Arc;
use std::time::Duration;

use larder::rest::{Endpoint, FilterOp};
use larder::{Budget, ErrorKind, Memory, Model, One, Remark, Repository, Rest, Select};
use larder_stubs::{Collection, Filters, Stubs, Variant};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Person, User, Visit, asked, here, repo, repo_by, users};
use crate::support::clock::{Clock, rest};
use crate::support::soon;

fn visits(rows: impl IntoIterator<Item = Value>) -> Stubs {
    Stubs::new().collection(users()).collection(Collection::at("visits").rows(rows))
}

fn visit(id: u32, guest: &str) -> Value {
    json!({ "id": id, "guest": guest })
}

// Rules: m-assoc-remote
#[tokio::test]
async fn what_is_missing_is_fetched_in_one_batch() {
    let both = [visit(1, "ada@example.com"), visit(2, "bob@example.com"), visit(3, "ada@example.com")];
    let stubs = visits(both);
    let repo = repo(&stubs).await;
    let found = repo.get(Select::<Visit>::all()).await.unwrap();
    let guests: Vec<_> = found.iter().map(|visit| visit.guest.id().as_str()).collect();
    assert_eq!(guests, ["ada", "bob", "ada"]);
    assert_eq!(here::<User>(&repo).await.len(), 2);
    assert_eq!(asked(&stubs), ["visits", "users email=ada@example.com email=bob@example.com"]);
}

// Rules: m-assoc-remote
#[tokio::test]
async fn what_is_here_is_not_asked_for() {
    let stubs = visits([visit(1, "ada@example.com")]);
    let repo = repo(&stubs).await;
    repo.find::<User>("ada").await.unwrap();
    stubs.forget_calls();
    let found = repo.get(Select::<Visit>::all()).await.unwrap();
    assert_eq!(found[0].guest.id(), "ada");
    assert_eq!(asked(&stubs), ["visits"]);
}

// Rules: m-assoc-remote
#[tokio::test]
async fn several_fields_all_have_to_be_equal() {
    let by = |email: &str, login: &str| json!({ "id": 1, "guest": "ada@example.com", "by": { "email": email, "login": login } });
    for (row, clerk) in [
        (by("bob@example.com", "bob"), Some("bob")),
        (by("bob@example.com", "ada"), None),
        (json!({ "id": 1, "guest": "ada@example.com" }), None),
    ] {
        let repo = repo(&visits([row])).await;
        let found = repo.get(Select::<Visit>::all()).await.unwrap();
        assert_eq!(found[0].clerk.as_ref().map(|clerk| clerk.id().as_str()), clerk);
    }
}

// Rules: m-assoc-remote
#[tokio::test]
async fn a_required_row_that_is_nowhere_is_an_error_that_names_what_was_looked_for() {
    let stubs = visits([visit(1, "ada@example.com"), visit(2, "eve@example.com")]);
    let repo = repo(&stubs).await;
    let error = repo.get(Select::<Visit>::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Serialization, Some("guest")));
    assert!(error.to_string().contains(r#"User with email = "eve@example.com""#), "{error}");
    let here: Vec<u32> = here::<Visit>(&repo).await.iter().map(|visit| visit.id).collect();
    assert_eq!(here, [1], "the others are stored");
}

#[tokio::test]
async fn an_outage_in_between_stores_nothing_of_the_page() {
    let stubs = Stubs::new().collection(Collection::at("visits").rows([visit(1, "ada@example.com")]));
    let repo = repo(&stubs).await;
    assert!(repo.get(Select::<Visit>::all()).await.is_err());
    assert!(here::<Visit>(&repo).await.is_empty());
}

// Rules: m-assoc-remote
#[tokio::test]
async fn rows_that_refer_to_each_other_are_found_and_the_search_ends() {
    let person = |id: u32, name: &str, boss: &str| json!({ "id": id, "name": name, "boss": boss });
    let people = Collection::at("people").filters(Filters::Some(vec!["name".into()])).rows([
        person(1, "ada", "bob"),
        person(2, "bob", "eve"),
        person(3, "eve", "ada"),
        person(4, "max", "max"),
        person(5, "sue", "nobody"),
    ]);
    let stubs = Stubs::new().collection(people);
    let repo = repo(&stubs).await;
    let boss = |name: &'static str| {
        let repo = repo.clone();
        async move {
            let found = repo.get(Person::NAME.eq(name)).await.unwrap();
            found[0].boss.as_ref().map(|boss| *boss.id())
        }
    };
    assert_eq!(boss("ada").await, Some(2));
    assert_eq!(here::<Person>(&repo).await.len(), 3, "each who is referred to is here");
    assert_eq!((boss("max").await, boss("sue").await), (Some(4), None));
    assert_eq!(boss("eve").await, Some(1));
}

// Rules: m-assoc-remote, s-aside, s-delete
#[tokio::test]
async fn a_row_that_refers_to_nobody_any_more_is_told_of_and_stays_as_it_was() {
    let stubs = visits([1, 2, 3].map(|id| visit(id, "ada@example.com")));
    let repo = repo(&stubs).await;
    let sync = async || repo.sync().model::<Visit>().unwrap().await.unwrap();
    sync().await;
    stubs.put_row("visits", visit(2, "eve@example.com"));
    stubs.remove_row("visits", ["3"]);
    let report = sync().await;
    assert!(
        matches!(&report.remarks[..], [Remark::Row { model: "Visit", key: Some(key), .. }] if *key == 2.into()),
        "{report:?}"
    );
    let here: Vec<u32> = here::<Visit>(&repo).await.iter().map(|visit| visit.id).collect();
    assert_eq!(here, [1, 2], "it is there, and the third one is not");
}

// Rules: m-assoc-remote, s-aside
#[rstest]
#[case::for_all_together(&["users?email=ada@example.com&email=eve@example.com"])]
#[case::for_one_by_itself(&[
    "users?email=ada@example.com&email=eve@example.com",
    "users?email=eve@example.com",
])]
#[tokio::test]
async fn that_the_remote_can_not_be_asked_who_is_meant_is_no_row_s_fault(#[case] questions: &[&str]) {
    let (last, before) = questions.split_last().unwrap();
    let ada = json!([{ "login": "ada", "email": "ada@example.com", "bio": null }]);
    let rows = json!([visit(1, "ada@example.com"), visit(2, "eve@example.com")]);
    let stubs =
        Stubs::new().on("visits", rows).on_each(before.iter().map(|question| (*question, ada.clone())));
    let stubs = stubs.variant(Variant::new(&format!("GET {last}")).status(503));
    let repo = repo(&stubs).await;
    let error = repo.sync().model::<Visit>().unwrap().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Http { status: 503 });
    assert!(here::<Visit>(&repo).await.is_empty(), "the page comes once more");
    assert_eq!(asked(&stubs).len(), 1 + questions.len());
}

/// Says by name what comes before it: something does.
#[derive(Model, Clone, Debug, PartialEq)]
struct Task {
    #[model(key)]
    id: u32,
    #[model(unique)]
    name: String,
    #[model(json(lookup = "name"))]
    after: One<Task>,
}

// Rules: m-assoc-remote
#[tokio::test]
async fn references_that_lead_nowhere_are_followed_twice_however_long_they_are() {
    let task = |id: u32, name: &str, after: &str| json!({ "id": id, "name": name, "after": after });
    let rows = [task(1, "a", "b"), task(2, "b", "c"), task(3, "c", "d"), task(4, "d", "nothing")];
    let tasks = Collection::at("tasks").filters(Filters::Some(vec!["name".into()])).rows(rows);
    let stubs = Stubs::new().collection(tasks);
    let names = Endpoint::new("/tasks").filter_param(Task::NAME, "name").filter_op(
        Task::NAME,
        FilterOp::AnyOf,
        "name",
    );
    let rest = Rest::at("https://api.example.com").model::<Task>(names).transport(stubs.clone());
    let repo = Repository::builder().store(Memory::new()).remote(rest).model::<Task>().build().await.unwrap();
    let error = repo.get(Task::NAME.eq("a")).await.unwrap_err();
    assert!(error.to_string().contains(r#"Task with name = "nothing""#), "{error}");
    let ways: Vec<String> = ["b", "c", "d", "nothing"].map(|name| format!("tasks name={name}")).into();
    let all = [vec!["tasks name=a".to_owned()], ways.clone(), ways].concat();
    assert_eq!(asked(&stubs), all, "for the row with others, and for it alone");
}

// Rules: m-assoc-remote, s-until
#[tokio::test]
async fn a_deadline_stops_a_pull_that_asks_who_is_meant_and_hears_nothing() {
    const LONG: Duration = Duration::from_secs(10);
    let clock = Arc::new(Clock::new());
    let ada = json!([{ "login": "ada", "email": "ada@example.com", "bio": null }]);
    let late = Variant::new("GET users?email=ada@example.com").json(ada).delay(2 * LONG);
    let stubs = Stubs::new().on("visits", json!([visit(1, "ada@example.com")])).variant(late);
    let repo = repo_by(&stubs.clone().runtime(clock.clone()), clock.clone()).await;
    for (patience, left, rows) in [(LONG, &["Visit"][..], 0), (3 * LONG, &[], 1)] {
        let sync = repo.sync_until(patience, Budget::unlimited()).model::<Visit>().unwrap();
        let syncing = tokio::spawn(sync.into_future());
        rest().await;
        assert_eq!(asked(&stubs), ["visits", "users email=ada@example.com"]);
        clock.advance(patience.min(2 * LONG)).await;
        let report = soon(syncing).await.unwrap().unwrap();
        assert_eq!((&report.models_left[..], here::<Visit>(&repo).await.len()), (left, rows));
        stubs.forget_calls();
    }
}
