//! Keys, and the rows that are fetched by them.

use larder::rest::{Endpoint, FilterOp};
use larder::{Memory, Model, One, Repository, Rest, Select};
use larder_stubs::{Collection, Stubs};
use rstest::rstest;
use serde_json::json;

use super::{User, users};

#[derive(Model, Clone, Debug)]
struct Card {
    #[model(key)]
    id: u32,
    owner: One<User>,
}

fn stubs() -> Stubs {
    let card = |(id, owner)| json!({ "id": id, "owner": owner });
    let cards = [(1, "ada"), (2, "bob"), (3, "ada"), (4, "eve")].map(card);
    Stubs::new().collection(users()).collection(Collection::at("cards").rows(cards))
}

async fn repo(stubs: &Stubs, users: Endpoint) -> Repository {
    let rest = Rest::at("https://api.example.com").model::<User>(users).transport(stubs.clone());
    Repository::builder()
        .store(Memory::new())
        .remote(rest)
        .model::<User>()
        .model::<Card>()
        .build()
        .await
        .unwrap()
}

// Rules: m-assoc-remote
#[rstest]
#[case::in_one_request(
    Endpoint::new("/users").filter_op(User::LOGIN, FilterOp::AnyOf, "login"),
    &["cards", "users login=ada login=bob login=eve"]
)]
#[case::each_by_itself(
    Endpoint::new("/users").filter_param(User::EMAIL, "email"),
    &["cards", "users/ada", "users/bob", "users/eve"]
)]
#[case::of_a_server_that_filters_nothing(
    Endpoint::new("/users"),
    &["cards", "users/ada", "users/bob", "users/eve"]
)]
#[tokio::test]
async fn rows_that_are_missing_are_fetched_together(#[case] endpoint: Endpoint, #[case] asked: &[&str]) {
    let stubs = stubs();
    let repo = repo(&stubs, endpoint).await;
    for _ in 0..2 {
        let cards = repo.get(Select::<Card>::all().with(Card::OWNER)).await.unwrap();
        let owners: Vec<_> =
            cards.iter().map(|card| card.owner.get().map(|owner| owner.email.as_str())).collect();
        let (ada, bob) = (Some("ada@example.com"), Some("bob@example.com"));
        assert_eq!(owners, [ada, bob, ada, None], "nobody knows eve");
    }
    let mut calls = super::asked(&stubs);
    calls.truncate(asked.len());
    calls.sort();
    assert_eq!(calls, asked);
}

// Rules: r-batch
#[rstest]
#[case::in_one_request(
    Endpoint::new("/users").filter_op(User::LOGIN, FilterOp::AnyOf, "login"),
    &["users login=ada login=bob login=eve"]
)]
#[case::each_by_itself(
    Endpoint::new("/users").filter_param(User::EMAIL, "email"),
    &["users/ada", "users/bob", "users/eve"]
)]
#[tokio::test]
async fn rows_that_are_asked_for_by_their_keys_are_fetched_together(
    #[case] endpoint: Endpoint,
    #[case] asked: &[&str],
) {
    let stubs = stubs();
    let repo = repo(&stubs, endpoint).await;
    for _ in 0..2 {
        let found = repo.find_many::<User>(["eve", "ada", "bob"]).await.unwrap();
        let there: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(there, [false, true, true]);
    }
    let mut seen = super::asked(&stubs);
    seen.sort();
    assert_eq!(
        seen[..asked.len()],
        *asked,
        "what is missing is asked for together, what came is not asked for again"
    );
    assert!(seen[asked.len()..].iter().all(|again| again.ends_with("eve")), "{seen:?}");
}
