//! Variants, their answers, and the log.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{ask, send, tell};
use larder_core::{ErrorKind, Runtime};
use larder_harness::TestRuntime;
use larder_stubs::{Answer, Stubs, Variant};
use rstest::rstest;
use serde_json::json;

#[rstest]
#[case("GET", 200)]
#[case("POST", 201)]
#[case("PUT", 200)]
#[case("PATCH", 200)]
#[case("DELETE", 204)]
#[tokio::test]
async fn a_variant_without_a_method_answers_every_method(#[case] method: &str, #[case] status: u16) {
    let stubs = Stubs::new().on("user", json!({ "id": 1 }));
    let answered = ask(&stubs, &format!("{method} user")).await;
    assert_eq!(answered.status, status);
    let body = if status == 204 { "" } else { r#"{"id":1}"# };
    assert_eq!(answered.text, body);
}

#[tokio::test]
async fn the_variants_of_the_page() {
    let stubs = Stubs::new().on_each([
        ("user", json!("one")),
        ("users", json!("all")),
        ("users?by_first_name=Guy", json!("some")),
        ("hat/1", json!("hat")),
    ]);
    for (line, expected) in [
        ("GET user", json!("one")),
        ("GET users", json!("all")),
        ("GET users?by_first_name=Guy", json!("some")),
        ("GET hat/1", json!("hat")),
    ] {
        assert_eq!(ask(&stubs, line).await.json, expected, "{line}");
    }
    assert_eq!(ask(&stubs, "GET users?by_first_name=Ada").await.status, 501);
    stubs.assert_all_asked();
}

#[tokio::test]
async fn declared_status_and_headers() {
    let variant =
        Variant::new("GET user").status(203).header("etag", "\"7\"").header("content-type", "text/plain");
    let stubs = Stubs::new().variant(variant.json(json!(1)));
    let answered = ask(&stubs, "GET user").await;
    assert_eq!((answered.status, answered.header("etag")), (203, Some("\"7\"")));
    assert_eq!(answered.header("content-type"), Some("text/plain"));
}

#[tokio::test]
async fn a_sequence_ends_in_its_last_answer() {
    let stubs = Stubs::new().variant(Variant::new("GET user").status(503).then(Answer::new().json(json!(1))));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(ask(&stubs, "GET user").await.status);
    }
    assert_eq!(statuses, [503, 200, 200]);
    stubs.forget_calls();
    assert_eq!(ask(&stubs, "GET user").await.status, 503);
}

#[tokio::test]
async fn a_later_declaration_replaces_an_earlier_one() {
    let stubs = Stubs::new().on("users?a=1&b=2", json!(1)).on("users?b=2&a=1", json!(2));
    assert_eq!(ask(&stubs, "GET users?a=1&b=2").await.json, json!(2));
    assert_eq!(stubs.declared(), ["users?b=2&a=1"]);
}

#[tokio::test]
async fn the_closest_variant_answers() {
    let stubs = Stubs::new()
        .on("GET users/*", json!("any"))
        .on("users/1", json!("one"))
        .variant(Variant::new("POST users").body_like(json!({ "name": "" })).status(422))
        .variant(Variant::new("POST users").json(json!("created")));
    assert_eq!(ask(&stubs, "GET users/2").await.json, json!("any"));
    assert_eq!(ask(&stubs, "PUT users/1").await.json, json!("one"));
    assert_eq!(tell(&stubs, "POST users", json!({ "name": "", "age": 1 })).await.status, 422);
    assert_eq!(tell(&stubs, "POST users", json!({ "name": "Ada" })).await.status, 201);
}

#[tokio::test]
async fn templates_are_filled_in_from_the_request() {
    let template = json!({
        "id": "{{path.1}}", "name": "{{body.name}}", "tags": "{{body.tags}}", "first": "{{body.tags.0}}",
        "text": "{{method}} {{query.q}} by {{header.x-who}}{{query.none}}", "none": "{{body.none}}", "nth": "{{call}}",
    });
    let stubs = Stubs::new().variant(Variant::new("users/*?*").template(template));
    let body = json!({ "name": "Ada", "tags": [1, 2] });
    let answered = send(&stubs, "POST users/7?q=x", &[("x-who", "me")], Some(body)).await.expect("an answer");
    let expected = json!({
        "id": "7", "name": "Ada", "tags": [1, 2], "first": 1, "text": "POST x by me", "none": null, "nth": 1,
    });
    assert_eq!(answered.json, expected);
}

#[tokio::test]
async fn an_answer_can_be_computed() {
    let stubs = Stubs::new()
        .variant(Variant::new("POST double").respond(|call| {
            Answer::new().json(json!(call.json().and_then(|n| n.as_i64()).unwrap_or(0) * 2))
        }));
    assert_eq!(tell(&stubs, "POST double", json!(21)).await.json, json!(42));
}

#[tokio::test]
async fn a_base_and_percent_encoding() {
    let stubs = Stubs::new().base("/api/v1").on("tags/a b", json!(1)).on("tags/x%2Fy", json!(2));
    assert_eq!(ask(&stubs, "GET api/v1/tags/a%20b").await.json, json!(1));
    assert_eq!(ask(&stubs, "GET api/v1/tags/x%2Fy").await.json, json!(2));
    assert_eq!(ask(&stubs, "GET api/v1/tags/x/y").await.status, 501);
}

#[tokio::test]
async fn what_is_not_declared_names_the_nearest() {
    let stubs = Stubs::new().on("GET users/1", json!(1)).on("users", json!(1)).on("hats", json!(1));
    let answered = ask(&stubs, "GET users/2?x=1").await;
    assert_eq!(answered.status, 501);
    let message = answered.json["error"].as_str().expect("a message");
    assert!(message.contains("no stub for `GET users/2?x=1`"), "{message}");
    assert_eq!(answered.json["nearest"][0], json!("GET users/1"));
    assert_eq!(stubs.undeclared().len(), 1);
    let empty = ask(&Stubs::new(), "GET users").await;
    assert!(empty.text.contains("nothing is declared at all"), "{}", empty.text);
}

#[tokio::test]
async fn calls_are_logged_and_verified() {
    let stubs = Stubs::new().on("users?*", json!([])).on("hats", json!([]));
    tell(&stubs, "POST users?notify=1", json!({ "name": "Ada" })).await;
    send(&stubs, "GET users", &[("authorization", "Bearer secret")], None).await.expect("an answer");
    stubs.assert_called("POST users?*", 1);
    stubs.assert_called("users?*", 2);
    stubs.assert_called("hats", 0);
    assert_eq!(stubs.unasked(), ["hats"]);
    let calls = stubs.calls_of("POST users?*");
    assert_eq!(calls[0].json(), Some(json!({ "name": "Ada" })));
    assert_eq!(calls[0].query("notify"), Some("1"));
    let printed = format!("{:?}", stubs.calls());
    assert!(!printed.contains("secret"), "{printed}");
}

#[tokio::test]
#[should_panic(expected = "`POST users` was asked 0 times, not 1; the calls were:\n  GET users -> 200")]
async fn a_failed_verification_shows_the_log() {
    let stubs = Stubs::new().on("users", json!([]));
    ask(&stubs, "GET users").await;
    stubs.assert_called("POST users", 1);
}

#[tokio::test]
async fn a_delay_is_waited_for_by_the_runtime() {
    let runtime = TestRuntime::new(1);
    let slow = Variant::new("GET user").delay(Duration::from_secs(3)).json(json!(1));
    let stubs = Stubs::new().runtime(Arc::new(runtime.clone())).variant(slow);
    assert_eq!(ask(&stubs, "GET user").await.status, 200);
    assert_eq!(runtime.monotonic(), Duration::from_secs(3));
}

#[tokio::test]
async fn a_delay_without_a_clock_is_an_error() {
    let stubs = Stubs::new().variant(Variant::new("GET user").delay(Duration::from_secs(3)));
    let error = send(&stubs, "GET user", &[], None).await.expect_err("no clock");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[rstest]
#[case(Variant::new("GET user").status(7), "the stub's status 7")]
#[case(Variant::new("GET user").header("a b", "c"), "the stub's header `a b: c`")]
#[tokio::test]
async fn impossible_answers_say_so(#[case] variant: Variant, #[case] expected: &str) {
    let answered = ask(&Stubs::new().variant(variant), "GET user").await;
    assert_eq!(answered.status, 500);
    assert!(answered.text.starts_with(expected), "{}", answered.text);
}
