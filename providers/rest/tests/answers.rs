//! Answers that are no rows: bad data, statuses, redirects. Each gives a typed error that says where, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use std::time::Duration;

use larder_core::{Context, Error, ErrorKind, Operation, Query, Sent};
use larder_rest::http::Method;
use larder_rest::{Endpoint, Meaning, Rest};
use rstest::rstest;
use serde_json::{Value as Json, json};
use support::*;

fn users() -> Endpoint {
    Endpoint::new("/users")
}

async fn fail(server: &Server, endpoint: Endpoint, query: &Query) -> Error {
    match remote(server, endpoint).await.get(&Context::new(), &USER, query).await {
        Err(error) => error,
        // A row of a list that can't be read hides no other.
        Ok(page) => page.misfits.first().expect("something is wrong").error.duplicate(),
    }
}

/// The user with one member changed; `Json::Null` for "left out".
fn with(member: &str, value: Json) -> Json {
    let mut user = user_json("7", "Ada", Some(36), "open");
    if value.is_null() {
        user.as_object_mut().unwrap().remove(member);
    } else {
        user[member] = value;
    }
    user
}

// ---- data ----

#[rstest]
#[case::wrong_type("years", json!("old"), "age", "expected an integer, found a string")]
#[case::missing("userName", Json::Null, "name", "required, but not there")]
#[case::unknown_variant("status", json!("asleep"), "state", "unknown variant `asleep` of State, expected one of open, closed")]
#[case::in_a_list("labels", json!(["a", 2]), "tags[1]", "expected a string, found an integer")]
#[case::nested("home", json!({ "zip": -1 }), "address.zip", "-1 is not between")]
#[case::no_object("home", json!([]), "address", "expected an object, found an array")]
#[tokio::test]
async fn data_that_does_not_fit(
    #[case] member: &str,
    #[case] value: Json,
    #[case] path: &str,
    #[case] message: &str,
) {
    let row = with(member, value);
    let alone = fail(&Server::always(ok(row.clone())), users(), &Query::key("7".into())).await;
    let good = user_json("6", "Eve", None, "open");
    let list = ok(json!({ "items": [good, row] }));
    let listed = fail(&Server::always(list), users().list_key("items"), &Query::all()).await;
    for (error, path) in [(alone, path.to_owned()), (listed, format!("items[1].{path}"))] {
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Serialization, Sent::Answered));
        assert_eq!((error.path(), error.model_name()), (Some(path.as_str()), Some("User")));
        assert!(error.message().contains(message), "{error}");
        assert!(!error.is_transient());
    }
}

#[rstest]
#[case::malformed(ok(Json::Null).text("[{\n\"id\": \"7\",,}]"), "malformed JSON at line 2 column 11")]
#[case::cut_off(ok(Json::Null).text(r#"[{"id": "7""#), "malformed JSON at line 1 column 11")]
#[case::not_utf8(ok(Json::Null).text(b"[\"\xff\"]".as_slice()), "malformed JSON at line 1")]
#[case::deep(ok(Json::Null).text("[".repeat(100_000)), "malformed JSON at line 1 column 128")]
#[case::empty(ok(Json::Null).text(""), "expected JSON, found an empty body (application/json)")]
#[case::html(
    reply(200).header("content-type", "text/html; charset=utf-8").text("<!DOCTYPE html>\n<title>Log in</title>"),
    "expected JSON, found text/html; charset=utf-8 that begins with `<!DOCTYPE html> <title>Log in</title>`"
)]
#[case::html_that_calls_itself_json(
    ok(Json::Null).text("\n <html>"),
    "expected JSON, found application/json that begins with `<html>`"
)]
#[case::html_without_a_type(reply(200).text("<html>"), "found no content type that begins with `<html>`")]
#[case::no_array(ok(json!({ "items": [], "total": 0 })), "expected an array of rows, found an object with the members items, total")]
#[case::encoded(ok(json!([])).header("content-encoding", "gzip"), "content encoding `gzip`")]
#[tokio::test]
async fn a_list_that_is_none(#[case] answer: Reply, #[case] message: &str) {
    let error = fail(&Server::always(answer), users(), &Query::all()).await;
    assert_eq!((error.kind(), error.status()), (ErrorKind::Serialization, Some(200)));
    assert_eq!((error.sent(), error.is_transient()), (Sent::Answered, false));
    assert!(error.message().contains(message), "{error}");
}

#[tokio::test]
async fn json_is_taken_whatever_it_calls_itself() {
    for kind in ["text/plain", "application/vnd.api+json", "application/problem+json"] {
        let server = Server::always(reply(200).header("content-type", kind).text("\u{feff}[]"));
        let page = remote(&server, users()).await.get(&Context::new(), &USER, &Query::all()).await.unwrap();
        assert!(page.rows.is_empty());
    }
}

#[tokio::test]
async fn a_missing_member_names_those_that_are_there() {
    let server = Server::always(ok(json!({ "data": { "rows": [] } })));
    let error = fail(&server, users().list_key("data.items"), &Query::all()).await;
    assert_eq!(error.message(), "the answer has no member `items`, but rows");
    let error = fail(&server, users().list_key("data.rows.x"), &Query::all()).await;
    assert_eq!(error.message(), "expected an object with the member `x`, found an array");
}

#[tokio::test]
async fn an_over_long_body_is_refused() {
    let server = Server::always(ok(json!(["x".repeat(1000)])));
    let rest = Rest::at("https://api.example.com").transport(server.clone());
    let error =
        open(rest.body_limit(1003)).await.get(&Context::new(), &USER, &Query::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.status(), error.sent()), (ErrorKind::Full, Some(200), Sent::Answered));
    assert!(error.message().contains("the limit of 1003 bytes; raise it with `Rest::body_limit`"), "{error}");
    let rest = Rest::at("https://api.example.com").transport(server).body_limit(1004);
    let page = open(rest).await.get(&Context::new(), &USER, &Query::all()).await.unwrap();
    assert_eq!(page.misfits[0].error.kind(), ErrorKind::Serialization, "it has just been read");
}

// ---- statuses ----

/// The table.
#[rstest]
#[case(304, ErrorKind::Http { status: 304 }, false)]
#[case(400, ErrorKind::Rejected, false)]
#[case(401, ErrorKind::Unauthorized, false)]
#[case(402, ErrorKind::Rejected, false)]
#[case(403, ErrorKind::Rejected, false)]
#[case(404, ErrorKind::NotFound, false)]
#[case(405, ErrorKind::Rejected, false)]
#[case(408, ErrorKind::Http { status: 408 }, true)]
#[case(409, ErrorKind::Conflict, false)]
#[case(410, ErrorKind::NotFound, false)]
#[case(412, ErrorKind::Conflict, false)]
#[case(413, ErrorKind::Rejected, false)]
#[case(418, ErrorKind::Rejected, false)]
#[case(422, ErrorKind::Rejected, false)]
#[case(423, ErrorKind::Rejected, false)]
#[case(425, ErrorKind::Http { status: 425 }, true)]
#[case(428, ErrorKind::Conflict, false)]
#[case(429, ErrorKind::Http { status: 429 }, true)]
#[case(499, ErrorKind::Rejected, false)]
#[case(500, ErrorKind::Http { status: 500 }, true)]
#[case(501, ErrorKind::Http { status: 501 }, false)]
#[case(502, ErrorKind::Http { status: 502 }, true)]
#[case(503, ErrorKind::Http { status: 503 }, true)]
#[case(504, ErrorKind::Http { status: 504 }, true)]
#[case(505, ErrorKind::Http { status: 505 }, false)]
#[case(511, ErrorKind::Http { status: 511 }, true)]
#[case(520, ErrorKind::Http { status: 520 }, true)]
#[case(999, ErrorKind::Http { status: 999 }, false)]
#[tokio::test]
async fn each_status_has_its_kind(#[case] status: u16, #[case] kind: ErrorKind, #[case] transient: bool) {
    let server = Server::always(reply(status).json(json!({ "why": status })));
    let remote = remote(&server, users()).await;
    let read = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap_err();
    let update = mutation(Operation::Update, Some(user("7", "Ada", None, "Open")), "7");
    let written = remote.apply(&Context::new(), &update).await.unwrap_err();
    for error in [read, written] {
        assert_eq!((error.kind(), error.is_transient(), error.status()), (kind, transient, Some(status)));
        assert_eq!(error.body(), Some(format!(r#"{{"why":{status}}}"#).as_str()));
        assert_eq!(error.sent(), Sent::Answered);
    }
    assert_eq!(server.log().len(), 2, "nothing is sent twice");
}

// Rules: e-transient
#[rstest]
#[case(423, Meaning::Transient, ErrorKind::Http { status: 423 }, true)]
#[case(501, Meaning::Transient, ErrorKind::Http { status: 501 }, true)]
#[case(503, Meaning::Rejected, ErrorKind::Rejected, false)]
#[case(403, Meaning::Unauthorized, ErrorKind::Unauthorized, false)]
#[case(400, Meaning::NotFound, ErrorKind::NotFound, false)]
#[case(422, Meaning::Conflict, ErrorKind::Conflict, false)]
#[tokio::test]
async fn what_a_status_means_can_be_said(
    #[case] status: u16,
    #[case] meaning: Meaning,
    #[case] kind: ErrorKind,
    #[case] transient: bool,
) {
    let rest = Rest::at("https://api.example.com").transport(Server::always(reply(status)));
    let remote = open(rest.status(status, meaning)).await;
    let error = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (kind, transient));
}

#[rstest]
#[case("7", Some(7))]
#[case(" 120 ", Some(120))]
#[case("Fri, 01 Jan 2100 00:00:00 GMT", None)]
#[case("Friday, 01-Jan-99 00:00:00 GMT", Some(0))]
#[case("Fri Jan  1 00:00:00 1999", Some(0))]
#[case("Sun, 06 Nov 1994 08:49:37 GMT", Some(0))]
#[tokio::test]
async fn retry_after_is_kept(#[case] value: &str, #[case] seconds: Option<u64>) {
    let server = Server::always(reply(503).header("retry-after", value));
    let error = fail(&server, users(), &Query::all()).await;
    let wait = error.retry_after().unwrap();
    match seconds {
        Some(seconds) => assert_eq!(wait, Duration::from_secs(seconds)),
        None => assert!(wait > Duration::from_secs(365 * 24 * 60 * 60)),
    }
    // The server's own clock counts, not that of this machine.
    let late = reply(503).header("retry-after", "Fri, 01 Jan 2100 00:01:00 GMT");
    let server = Server::always(late.header("date", "Fri, 01 Jan 2100 00:00:00 GMT"));
    assert_eq!(fail(&server, users(), &Query::all()).await.retry_after(), Some(Duration::from_secs(60)));
    let server = Server::always(reply(503).header("retry-after", "soon"));
    assert_eq!(fail(&server, users(), &Query::all()).await.retry_after(), None);
}

#[tokio::test]
async fn a_long_body_of_an_error_is_cut() {
    let server = Server::always(reply(500).text("é".repeat(40_000)));
    let error = fail(&server, users(), &Query::all()).await;
    let body = error.body().unwrap();
    assert!((65_530..=65_536).contains(&body.len()), "{}", body.len());
}

// ---- redirects ----

#[rstest]
#[case("https://evil.example.com/users?token=s3cret", "https://evil.example.com/users")]
#[case("/v2/users", "https://api.example.com/v2/users")]
#[tokio::test]
async fn a_write_is_never_redirected(
    #[case] location: &str,
    #[case] shown: &str,
    #[values(301, 302, 303, 307, 308)] status: u16,
) {
    let server = Server::always(reply(status).header("location", location));
    for (operation, endpoint) in [
        (Operation::Insert, users()),
        (Operation::Update, users().update_with(Method::PATCH)),
        (Operation::Delete, users()),
    ] {
        let remote = remote(&server, endpoint).await;
        let write = mutation(operation, Some(user("7", "Ada", None, "Open")), "7");
        let error = remote.apply(&Context::new(), &write).await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Http { status }, false));
        assert_eq!((error.status(), error.sent()), (Some(status), Sent::Answered));
        assert!(error.message().contains(shown), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }
    assert_eq!(server.log().len(), 3);
}

#[tokio::test]
async fn a_read_follows_redirects_within_its_origin() {
    let server = Server::new(|seen| match seen.target.as_str() {
        "/v1/users" => reply(301).header("location", "../v2/users?page=1"),
        "/v2/users?page=1" => reply(307).header("location", "https://API.example.com:443/v3/users"),
        _ => ok(json!([])).header("link", "<?page=2>; rel=next"),
    });
    let page = remote(&server, users()).await.get(&Context::new(), &USER, &Query::all()).await.unwrap();
    assert_eq!(server.lines(), ["GET /v1/users", "GET /v2/users?page=1", "GET /v3/users"]);
    assert!(
        page.next.unwrap().0.contains("/v3/users?page=2"),
        "links are relative to where the answer came from"
    );
}

#[rstest]
#[case("https://evil.example.com/users", "another origin", 1)]
#[case("http://api.example.com/users", "another origin", 1)]
#[case("//evil.example.com", "another origin", 1)]
#[case("ftp://evil.example.com/", "something that is not http", 1)]
#[case("http://[", "no URL", 1)]
#[case("/v1/users", "more than 5 redirects", 6)]
#[tokio::test]
async fn a_read_does_not_follow_every_redirect(
    #[case] location: &str,
    #[case] message: &str,
    #[case] requests: usize,
) {
    let server = Server::always(reply(302).header("location", location));
    let error = fail(&server, users(), &Query::all()).await;
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Http { status: 302 }, false));
    assert!(error.message().contains(message), "{error}");
    assert_eq!(server.log().len(), requests);
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_a_status() {
    let error = fail(&Server::always(reply(302)), users(), &Query::all()).await;
    assert_eq!(error.kind(), ErrorKind::Http { status: 302 });
}
