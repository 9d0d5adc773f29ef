//! Stateful collections.

mod common;

use common::{ask, send, tell};
use larder_stubs::{Collection, Filters, Stubs};
use rstest::rstest;
use serde_json::{Value, json};

fn people() -> [Value; 3] {
    [
        json!({ "id": 1, "name": "Ada", "age": 36 }),
        json!({ "id": 2, "name": "Bob", "age": null }),
        json!({ "id": 10, "name": "Ada", "age": 7 }),
    ]
}

fn ids(rows: &Value) -> Vec<i64> {
    rows.as_array().expect("a list").iter().map(|row| row["id"].as_i64().expect("an id")).collect()
}

#[tokio::test]
async fn what_is_created_can_be_read_back() {
    let stubs = Stubs::new().collections(["users"]);
    let created = tell(&stubs, "POST users", json!({ "id": "a/b", "name": "Ada" })).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), Some("https://example.com/users/a%2Fb"));
    assert_eq!(ask(&stubs, "GET users/a%2Fb").await.json["name"], json!("Ada"));
    assert_eq!(tell(&stubs, "PATCH users/a%2Fb", json!({ "age": 36 })).await.json["name"], json!("Ada"));
    assert_eq!(
        tell(&stubs, "PUT users/a%2Fb", json!({ "age": 37 })).await.json,
        json!({ "id": "a/b", "age": 37 })
    );
    assert_eq!(ask(&stubs, "GET users").await.json, json!([{ "id": "a/b", "age": 37 }]));
    assert_eq!(ask(&stubs, "DELETE users/a%2Fb").await.status, 204);
    assert_eq!(ask(&stubs, "GET users/a%2Fb").await.status, 404);
}

#[rstest]
#[case("POST users", json!({ "id": 1 }), 409)]
#[case("PUT users/9", json!({}), 404)]
#[case("PATCH users/9", json!({}), 404)]
#[case("DELETE users/9", json!(null), 404)]
#[case("PUT users/1", json!({ "id": 2 }), 422)]
#[case("PATCH users/1", json!({ "id": 2 }), 422)]
#[case("POST users", json!([]), 400)]
#[case("DELETE users", json!(null), 405)]
#[case("GET users/1/hats", json!(null), 501)]
#[tokio::test]
async fn refusals_change_nothing(#[case] line: &str, #[case] body: Value, #[case] status: u16) {
    let stubs = Stubs::new().collection(Collection::at("users").rows(people()));
    assert_eq!(tell(&stubs, line, body).await.status, status);
    assert_eq!(stubs.rows("users"), people());
}

#[tokio::test]
async fn keys_are_made_where_they_are_missing() {
    let stubs = Stubs::new().collection(Collection::at("users").rows(people()));
    assert_eq!(tell(&stubs, "POST users", json!({ "name": "Eve" })).await.json["id"], json!(11));
}

#[tokio::test]
async fn composite_keys_and_singletons() {
    let stubs = Stubs::new()
        .collection(Collection::at("seats").keys(["row", "place"]))
        .collection(Collection::at("profile").keys([]).put_creates());
    tell(&stubs, "POST seats", json!({ "row": "A", "place": 7, "free": true })).await;
    assert_eq!(ask(&stubs, "GET seats/A/7").await.json["free"], json!(true));
    assert_eq!(ask(&stubs, "GET seats/A").await.status, 501);
    assert_eq!(ask(&stubs, "GET profile").await.status, 404);
    assert_eq!(tell(&stubs, "PUT profile", json!({ "name": "Ada" })).await.status, 201);
    assert_eq!(ask(&stubs, "GET profile").await.json["name"], json!("Ada"));
}

#[rstest]
#[case::all("GET users", &[1, 2, 10])]
#[case::equal("GET users?name=Ada", &[1, 10])]
#[case::number("GET users?age=7", &[10])]
#[case::null_is_no_text("GET users?age=null", &[])]
#[case::any_of("GET users?id=1&id=2", &[1, 2])]
#[case::both("GET users?name=Ada&age=36", &[1])]
#[case::sorted("GET users?sort=age", &[2, 10, 1])]
#[case::falling("GET users?sort=-age", &[1, 10, 2])]
#[case::tie("GET users?sort=name", &[1, 10, 2])]
#[case::window("GET users?offset=1&limit=1", &[2])]
#[case::beyond("GET users?offset=9", &[])]
#[case::everything("GET users?name=Ada&sort=age&limit=1", &[10])]
#[tokio::test]
async fn lists_can_be_narrowed(#[case] line: &str, #[case] expected: &[i64]) {
    let users = Collection::at("users").rows(people()).filters(Filters::All).sorted_by("sort");
    let stubs = Stubs::new().collection(users.window("offset", "limit"));
    assert_eq!(ids(&ask(&stubs, line).await.json), expected);
}

#[tokio::test]
async fn an_unknown_parameter_is_refused() {
    let users = Collection::at("users").rows(people());
    let none = Stubs::new().collection(users.clone());
    let some = Stubs::new().collection(users.filters(Filters::Some(vec!["name".into()])));
    assert_eq!(ask(&none, "GET users?name=Ada").await.status, 400);
    assert_eq!(ids(&ask(&some, "GET users?name=Ada").await.json), [1, 10]);
    let refused = ask(&some, "GET users?age=7").await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("`age`"), "{}", refused.text);
}

#[tokio::test]
async fn pages_are_linked() {
    let users = Collection::at("users").rows(people()).paged(2).filters(Filters::All).wrapped_in("items");
    let stubs = Stubs::new().collection(users);
    let first = ask(&stubs, "GET users?name=Ada&per_page=1").await;
    assert_eq!(ids(&first.json["items"]), [1]);
    assert_eq!(
        first.header("link"),
        Some(concat!(
            "<https://example.com/users?name=Ada&per_page=1&page=2>; rel=\"next\", ",
            "<https://example.com/users?name=Ada&per_page=1&page=2>; rel=\"last\""
        ))
    );
    let last = ask(&stubs, "GET users?page=2").await;
    assert_eq!(ids(&last.json["items"]), [10]);
    assert!(!last.header("link").expect("a link").contains("next"));
    assert_eq!(ids(&ask(&stubs, "GET users?page=3").await.json["items"]), [0; 0]);
}

#[tokio::test]
async fn versions_guard_writes() {
    let stubs = Stubs::new().collection(Collection::at("users").rows(people()).etags());
    let tag = ask(&stubs, "GET users/1").await.header("etag").expect("a version").to_owned();
    let patch = |tag: String| {
        let stubs = stubs.clone();
        async move { send(&stubs, "PATCH users/1", &[("if-match", &tag)], Some(json!({ "age": 37 }))).await }
    };
    let first = patch(tag.clone()).await.expect("an answer");
    assert_eq!(first.status, 200);
    assert_ne!(first.header("etag"), Some(tag.as_str()));
    assert_eq!(patch(tag.clone()).await.expect("an answer").status, 412);
    let delete = send(&stubs, "DELETE users/1", &[("if-match", &tag)], None).await.expect("an answer");
    assert_eq!(delete.status, 412);
    let known = first.header("etag").expect("a version");
    let unchanged = send(&stubs, "GET users/1", &[("if-none-match", known)], None).await.expect("an answer");
    assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
    let gone =
        send(&stubs, "PUT users/9", &[("if-match", "\"1\"")], Some(json!({}))).await.expect("an answer");
    assert_eq!(gone.status, 412);
}

#[tokio::test]
async fn idempotency_keys_are_honoured_or_ignored() {
    let header = [("idempotency-key", "\"k1\"")];
    let row = || Some(json!({ "name": "Eve" }));
    let honouring = Stubs::new().collection(Collection::at("users").idempotent("Idempotency-Key"));
    let first = send(&honouring, "POST users", &header, row()).await.expect("an answer");
    let again = send(&honouring, "POST users", &header, row()).await.expect("an answer");
    assert_eq!((first.status, again.status, again.json), (201, 201, first.json));
    assert_eq!(honouring.rows("users").len(), 1);
    let other = send(&honouring, "POST users", &header, Some(json!({}))).await.expect("an answer");
    assert_eq!(other.status, 422);
    let ignoring = Stubs::new().collections(["users"]);
    for _ in 0..2 {
        send(&ignoring, "POST users", &header, row()).await.expect("an answer");
    }
    assert_eq!(ignoring.rows("users").len(), 2);
}

#[tokio::test]
async fn the_server_changes_rows_by_itself() {
    let stubs = Stubs::new().collection(Collection::at("users").rows(people()).etags());
    let before = ask(&stubs, "GET users/1").await;
    stubs.put_row("users", json!({ "id": 1, "name": "Ada Lovelace" }));
    let after = ask(&stubs, "GET users/1").await;
    assert_eq!(after.json["name"], json!("Ada Lovelace"));
    assert_ne!(after.header("etag"), before.header("etag"));
    assert!(stubs.remove_row("users", ["1"]));
    assert_eq!(ask(&stubs, "GET users/1").await.status, 404);
}

#[tokio::test]
async fn a_collection_can_filter_in_ways_of_its_own() {
    let younger = |row: &Value, than: &str| row["age"].as_i64() < than.parse().ok();
    let users = Collection::at("users").rows(people());
    let stubs = Stubs::new().collection(users.clone().parameter("younger", younger));
    assert_eq!(ids(&ask(&stubs, "GET users?younger=30").await.json), [2, 10]);
    let last = |rows: &[Value], query: &[(String, String)]| match query {
        [(name, _)] if name == "last" => Ok(rows.last().cloned().into_iter().collect()),
        _ => Err(format!("{} parameters", query.len())),
    };
    let stubs = Stubs::new().collection(users.paged(2).selected_by(last));
    assert_eq!(ids(&ask(&stubs, "GET users?last=1&page=1").await.json), [10]);
    let refused = ask(&stubs, "GET users").await;
    assert_eq!((refused.status, refused.json["error"].as_str()), (400, Some("0 parameters")));
}

#[tokio::test]
async fn a_single_resource_is_made_at_its_path() {
    let stubs = Stubs::new().collection(Collection::at("profile").keys([]));
    assert_eq!(tell(&stubs, "POST profile", json!({ "name": "Ada" })).await.status, 201);
    assert_eq!(tell(&stubs, "POST profile", json!({ "name": "Bob" })).await.status, 409);
    assert_eq!(ask(&stubs, "GET profile").await.json["name"], json!("Ada"));
}

#[tokio::test]
async fn a_list_is_counted_before_it_is_cut_into_pages() {
    let people =
        Collection::at("users").rows(people()).paged(2).filters(Filters::All).counted("X-Total-Count");
    let stubs = Stubs::new().collection(people);
    for (line, count) in [("GET users", "3"), ("GET users?page=2", "3"), ("GET users?name=Ada", "2")] {
        assert_eq!(ask(&stubs, line).await.header("x-total-count"), Some(count), "{line}");
    }
}

#[tokio::test]
async fn changes_are_told_page_by_page_until_a_token_is_too_old() {
    let stubs =
        Stubs::new().collection(Collection::at("users").rows(people()).tells_changes(2, 3).stamped("at"));
    let first = ask(&stubs, "GET users/changes").await.json;
    assert_eq!(
        (ids(&first["changed"]), &first["more"], &first["total"]),
        (vec![1, 2], &json!(true), &json!(3))
    );
    // What is written meanwhile comes on a later page.
    assert_eq!(tell(&stubs, "PATCH users/1", json!({ "age": 37 })).await.json["at"], json!(4));
    assert_eq!(ask(&stubs, "DELETE users/2").await.status, 204);
    let since =
        |page: &Value| format!("GET users/changes?since={}", page["token"].as_str().expect("a token"));
    let second = ask(&stubs, &since(&first)).await;
    assert_eq!(second.header("x-changes-token"), second.json["token"].as_str());
    let second = second.json;
    assert_eq!(ids(&second["changed"]), [10, 1]);
    assert_eq!((&second["deleted"], &second["more"]), (&json!([2]), &json!(false)));
    // What has come back is not gone.
    tell(&stubs, "POST users", json!({ "id": 2 })).await;
    let third = ask(&stubs, &since(&second)).await.json;
    assert_eq!((ids(&third["changed"]), &third["deleted"]), (vec![2], &json!([])));
    for age in 0..3 {
        tell(&stubs, "PATCH users/1", json!({ "age": age })).await;
    }
    assert_eq!(ids(&ask(&stubs, &since(&third)).await.json["changed"]), [1], "three writes are remembered");
    tell(&stubs, "PATCH users/1", json!({ "age": 3 })).await;
    assert_eq!(ask(&stubs, &since(&third)).await.status, 410);
    assert_eq!(ask(&stubs, "GET users/changes?since=x").await.status, 410);
    assert_eq!(ask(&stubs, "GET users/changes?limit=1").await.status, 400);
}
