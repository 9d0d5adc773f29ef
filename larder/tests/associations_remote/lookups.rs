//! References by other fields than the key.

use larder::{ErrorKind, Select};
use larder_stubs::{Collection, Filters, Stubs};
use serde_json::{Value, json};

use super::{Person, User, Visit, asked, here, repo, users};

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
