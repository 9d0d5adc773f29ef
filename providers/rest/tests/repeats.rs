//! Writes that are sent twice, or based on an old version: what is said with them, and what the answers mean.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use larder_core::{Context, ErrorKind, Idempotency, Operation, Outcome, Sent};
use larder_rest::http::Method;
use larder_rest::{Endpoint, OnRepeat};
use rstest::rstest;
use serde_json::json;
use support::*;

fn users() -> Endpoint {
    Endpoint::new("/users")
}

fn ada() -> larder_core::Record {
    user("7", "Ada", Some(36), "Open")
}

#[tokio::test]
async fn the_idempotency_key_is_a_quoted_string_on_post_and_patch() {
    let server = Server::always(reply(204));
    let quoted = format!("\"{ID}\"");
    let cases = [
        (users(), Operation::Insert, Some(quoted.as_str())),
        (users(), Operation::Update, None),
        (users(), Operation::Delete, None),
        (users().update_with(Method::PATCH), Operation::Update, Some(quoted.as_str())),
        (users().without_idempotency_header(), Operation::Insert, None),
        (
            users().idempotency(Operation::Delete, Idempotency::KEYED),
            Operation::Delete,
            Some(quoted.as_str()),
        ),
    ];
    for (endpoint, operation, expected) in cases {
        let remote = remote(&server, endpoint).await;
        remote.apply(&Context::new(), &mutation(operation, Some(ada()), "7")).await.unwrap();
        assert_eq!(server.log().last().unwrap().header("idempotency-key"), expected);
    }
    let remote = remote(&server, users().idempotency_header("X-Request-Id")).await;
    remote.apply(&Context::new(), &mutation(Operation::Insert, Some(ada()), "7")).await.unwrap();
    assert_eq!(server.log().last().unwrap().header("x-request-id"), Some(quoted.as_str()));
    assert_eq!(remote.idempotency(&USER, Operation::Insert), Idempotency::KEYED);
}

#[rstest]
#[case(Operation::Update, Some("\"v1\""), users(), Some("\"v1\""))]
#[case(Operation::Delete, Some("\"v1\""), users(), Some("\"v1\""))]
#[case(Operation::Upsert, Some("\"v1\""), users(), Some("\"v1\""))]
#[case(Operation::Insert, Some("\"v1\""), users(), None)]
#[case(Operation::Update, None, users(), None)]
#[case(Operation::Update, Some("W/\"v1\""), users(), None)]
#[case(Operation::Update, Some("2024-01-01"), users(), None)]
#[case(Operation::Update, Some("\"v\r\n1\""), users(), None)]
#[case(Operation::Update, Some("\"v1\""), users().send_if_match(false), None)]
#[tokio::test]
async fn a_strong_version_goes_out_as_if_match(
    #[case] operation: Operation,
    #[case] version: Option<&str>,
    #[case] endpoint: Endpoint,
    #[case] expected: Option<&str>,
) {
    let server = Server::always(reply(204));
    let remote = remote(&server, endpoint).await;
    let mut write = mutation(operation, Some(ada()), "7");
    write.base_version = version.map(Into::into);
    remote.apply(&Context::new(), &write).await.unwrap();
    assert_eq!(server.only().header("if-match"), expected);
}

#[tokio::test]
async fn a_create_by_put_says_if_none_match() {
    let server = Server::always(reply(201));
    for (endpoint, expected) in [
        (users().create_with(Method::PUT), Some("*")),
        (users().create_with(Method::PUT).send_if_none_match(false), None),
    ] {
        let remote = remote(&server, endpoint).await;
        remote.apply(&Context::new(), &mutation(Operation::Insert, Some(ada()), "7")).await.unwrap();
        assert_eq!(server.log().last().unwrap().header("if-none-match"), expected);
    }
}

#[tokio::test]
async fn what_a_repeat_means_is_declared() {
    let conflict = reply(409).json(json!({ "error": "exists" }));
    let server = Server::always(conflict);
    let mut insert = mutation(Operation::Insert, Some(ada()), "7");
    insert.repeated = true;
    let plain = remote(&server, users()).await;
    let declared = remote(
        &server,
        users().on_repeat(Operation::Insert, 409, OnRepeat::Done).on_repeat(
            Operation::Delete,
            409,
            OnRepeat::Done,
        ),
    )
    .await;

    let refused = plain.apply(&Context::new(), &insert).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.status(), refused.sent()),
        (ErrorKind::Conflict, Some(409), Sent::Answered)
    );
    assert_eq!(refused.body(), Some(r#"{"error":"exists"}"#));
    assert_eq!(refused.row_key(), Some("7"));

    let applied = declared.apply(&Context::new(), &insert).await.unwrap();
    assert_eq!((applied.outcome, applied.row.is_none()), (Outcome::Accepted, true), "an error is no row");
    insert.repeated = false;
    assert_eq!(declared.apply(&Context::new(), &insert).await.unwrap_err().kind(), ErrorKind::Conflict);

    let mut delete = mutation(Operation::Delete, None, "7");
    assert_eq!(declared.apply(&Context::new(), &delete).await.unwrap_err().kind(), ErrorKind::Conflict);
    delete.repeated = true;
    assert_eq!(declared.apply(&Context::new(), &delete).await.unwrap().outcome, Outcome::Missing);
    assert_eq!(plain.apply(&Context::new(), &delete).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_repeated_create_may_answer_with_the_row() {
    let server = Server::always(reply(412).json(user_json("7", "Ada", None, "open")));
    let remote =
        remote(&server, users().create_with(Method::PUT).on_repeat(Operation::Insert, 412, OnRepeat::Done))
            .await;
    let mut insert = mutation(Operation::Insert, Some(ada()), "7");
    insert.repeated = true;
    assert!(remote.apply(&Context::new(), &insert).await.unwrap().row.is_some());
}

// Rules: o-on-repeat
#[tokio::test]
async fn what_a_repeat_is_answered_can_be_compared_or_refused() {
    let server = Server::always(reply(400).json(json!({ "code": "RECORD_NOT_UNIQUE" })));
    let endpoint = users().on_repeat(Operation::Insert, 400, OnRepeat::Compare);
    let compared = remote(&server, endpoint).await;
    let mut insert = mutation(Operation::Insert, Some(ada()), "7");
    for (repeated, kind) in [(false, ErrorKind::Rejected), (true, ErrorKind::Conflict)] {
        insert.repeated = repeated;
        let error = compared.apply(&Context::new(), &insert).await.unwrap_err();
        assert_eq!((error.kind(), error.status(), error.is_transient()), (kind, Some(400), false));
    }
    let server = Server::always(reply(409));
    let refused = remote(&server, users().on_repeat(Operation::Insert, 409, OnRepeat::Refused)).await;
    assert_eq!(refused.apply(&Context::new(), &insert).await.unwrap_err().kind(), ErrorKind::Rejected);
}

// Rules: o-on-repeat
#[tokio::test]
async fn a_delete_that_finds_nothing_is_done_unless_the_endpoint_says_that_it_was_refused() {
    for status in [404, 410] {
        let server = Server::always(reply(status));
        for repeated in [false, true] {
            let mut delete = mutation(Operation::Delete, None, "7");
            delete.repeated = repeated;
            let usual = remote(&server, users()).await;
            let done = usual.apply(&Context::new(), &delete).await.unwrap();
            assert_eq!(done.outcome, Outcome::Missing);
            let hides = users().on_repeat(Operation::Delete, status, OnRepeat::Refused);
            let refused = remote(&server, hides).await.apply(&Context::new(), &delete).await.unwrap_err();
            assert!(matches!(refused.kind(), ErrorKind::NotFound | ErrorKind::Rejected));
        }
    }
}
