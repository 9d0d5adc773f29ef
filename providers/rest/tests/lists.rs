//! How a list goes on, and how it is noticed that it never ends.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};

use larder_core::{Context, ErrorKind, PageToken, Query, Sent};
use larder_rest::{Endpoint, Paging};
use rstest::rstest;
use serde_json::{Value, json};
use support::*;

fn users() -> Endpoint {
    Endpoint::new("/users")
}

// Rules: s-paged
#[tokio::test]
async fn pages_by_link() {
    let server = Server::new(|seen| match param(seen, "page").unwrap_or(1) {
        page @ 1..3 => {
            ok(slice(page * 10, page * 10 + 2)).header("link", format!("<?page={}>; rel=\"next\"", page + 1))
        }
        page => ok(slice(page * 10, page * 10 + 1)).header("link", "</v1/users?page=1>; rel=first"),
    });
    let remote = remote(&server, users().list_param("per_page", "2")).await;
    let pages = pages(&remote, &USER, &Query::all()).await.unwrap();
    assert_eq!(
        pages.iter().map(ids).collect::<Vec<_>>(),
        [vec!["010", "011"], vec!["020", "021"], vec!["030"]]
    );
    assert_eq!(server.lines(), ["GET /v1/users?per_page=2", "GET /v1/users?page=2", "GET /v1/users?page=3"]);
}

// Rules: s-paged
#[rstest]
#[case(Paging::pages("page", "per_page", 2), 3, &["?page=1&per_page=2", "?page=2&per_page=2"])]
#[case(Paging::pages("page", "per_page", 2), 4, &["?page=1&per_page=2", "?page=2&per_page=2", "?page=3&per_page=2"])]
#[case(Paging::offsets("from", "per_page", 2), 3, &["?from=0&per_page=2", "?from=2&per_page=2"])]
#[case(Paging::offsets("from", "per_page", 2), 0, &["?from=0&per_page=2"])]
#[case(
    Paging::Page { param: "page".into(), size_param: None, size: 10, start: 1, until_empty: true },
    3, &["?page=1", "?page=2", "?page=3"]
)]
#[case(Paging::None, 3, &[""])]
#[tokio::test]
async fn pages_by_number(#[case] paging: Paging, #[case] total: u64, #[case] expected: &[&str]) {
    let server = if paging == Paging::None { Server::always(ok(slice(0, 3))) } else { numbered(total) };
    let remote = remote(&server, users().paging(paging)).await;
    let pages = pages(&remote, &USER, &Query::all()).await.unwrap();
    let found: Vec<_> = pages.iter().flat_map(ids).collect();
    assert_eq!(found, (0..total).map(|at| format!("{at:03}")).collect::<Vec<_>>());
    let expected: Vec<_> = expected.iter().map(|query| format!("GET /v1/users{query}")).collect();
    assert_eq!(server.lines(), expected);
}

// Rules: s-paged
#[rstest]
#[case(json!(null))]
#[case(json!(""))]
#[case(json!(false))]
#[tokio::test]
async fn pages_by_cursor(#[case] last: Value) {
    let server = Server::new(move |seen| {
        let (rows, next) = match seen.line().as_str() {
            "GET /v1/users?limit=2" => (0..2, json!("a/b")),
            "GET /v1/users?limit=2&cursor=a%2Fb" => (2..4, json!(7)),
            "GET /v1/users?limit=2&cursor=7" => (4..5, last.clone()),
            other => panic!("nobody asks for {other}"),
        };
        ok(
            json!({ "items": rows.map(|at| user_json(&format!("{at:03}"), "Ada", None, "open")).collect::<Vec<_>>(),
            "meta": { "next": next } }),
        )
    });
    let endpoint =
        users().list_key("items").list_param("limit", "2").paging(Paging::cursors("cursor", "meta.next"));
    let remote = remote(&server, endpoint).await;
    let pages = pages(&remote, &USER, &Query::all()).await.unwrap();
    assert_eq!(
        pages.iter().map(ids).collect::<Vec<_>>(),
        [vec!["000", "001"], vec!["002", "003"], vec!["004"]]
    );
}

#[tokio::test]
async fn a_cursor_that_leads_back_is_noticed() {
    let server = Server::new(|seen| {
        let next = if seen.line().ends_with("cursor=a") { "b" } else { "a" };
        ok(json!({ "items": [user_json(next, "Ada", None, "open")], "next": next }))
    });
    let remote = remote(&server, users().list_key("items").paging(Paging::cursors("cursor", "next"))).await;
    let error = pages(&remote, &USER, &Query::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Transport, false), "{error:?}");
    assert!(server.lines().len() < 10);
}

// Rules: s-paged
#[tokio::test]
async fn a_short_page_is_not_the_last_if_a_link_says_so() {
    let server = Server::new(|seen| match param(seen, "page") {
        Some(1) => ok(slice(0, 1)).header("link", "</v1/users?page=2>; rel=next"),
        _ => ok(slice(1, 2)),
    });
    let remote = remote(&server, users().paging(Paging::pages("page", "size", 100))).await;
    assert_eq!(pages(&remote, &USER, &Query::all()).await.unwrap().len(), 2);
}

// Rules: q-limit-pages
#[rstest]
#[case(Paging::pages("page", "per_page", 2), &["?page=1&per_page=2", "?page=2&per_page=2"])]
#[case(Paging::offsets("from", "per_page", 2), &["?from=1&per_page=2"])]
#[case(Paging::offsets("from", "per_page", 10), &["?from=1&per_page=2"])]
#[tokio::test]
async fn a_limited_query_ends_when_it_has_enough(#[case] paging: Paging, #[case] expected: &[&str]) {
    let server = numbered(100);
    let remote = remote(&server, users().lists_by_key().paging(paging)).await;
    let query = Query { limit: Some(2), offset: 1, ..Query::all() };
    let pages = pages(&remote, &USER, &query).await.unwrap();
    assert_eq!(pages.iter().flat_map(ids).collect::<Vec<_>>(), ["001", "002"]);
    let expected: Vec<_> = expected.iter().map(|query| format!("GET /v1/users{query}")).collect();
    assert_eq!(server.lines(), expected);
}

#[rstest]
#[case::a_page_that_links_to_itself(Paging::Link, |_: &Seen| ok(three()).header("link", "</v1/users>; rel=next"))]
#[case::a_page_that_links_to_itself_with_ever_new_rows(Paging::Link, |_: &Seen| {
    static ROW: AtomicU64 = AtomicU64::new(0);
    let at = ROW.fetch_add(1, Ordering::SeqCst);
    ok(slice(at, at + 1)).header("link", "</v1/users>; rel=next")
})]
#[case::two_that_link_to_each_other(Paging::Link, |seen: &Seen| {
    let page = param(seen, "page").unwrap_or(0);
    ok(slice(page, page + 1)).header("link", format!("<?page={}>; rel=next", 1 - page))
})]
#[case::always_new_links_to_the_same_rows(Paging::Link, |seen: &Seen| {
    ok(three()).header("link", format!("<?page={}>; rel=next", param(seen, "page").unwrap_or(0) + 1))
})]
#[case::always_new_links_to_nothing(Paging::Link, |seen: &Seen| {
    ok(json!([])).header("link", format!("<?page={}>; rel=next", param(seen, "page").unwrap_or(0) + 1))
})]
#[case::the_parameter_is_ignored(Paging::pages("page", "size", 3), |_: &Seen| ok(three()))]
#[case::the_offset_is_ignored(Paging::offsets("offset", "size", 3), |_: &Seen| ok(three()))]
#[case::the_pages_go_round(Paging::pages("page", "size", 2), |seen: &Seen| {
    let at = (param(seen, "page").unwrap() % 5) * 2;
    ok(slice(at, at + 2))
})]
#[tokio::test]
async fn a_list_without_an_end_is_noticed(#[case] paging: Paging, #[case] server: fn(&Seen) -> Reply) {
    let server = Server::new(server);
    let remote = remote(&server, users().paging(paging)).await;
    let error = pages(&remote, &USER, &Query::all()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_transient(), error.sent()),
        (ErrorKind::Transport, false, Sent::Answered)
    );
    assert!(server.log().len() < 110, "{}", server.log().len());
}

#[rstest]
#[case("<https://evil.example.com/v1/users?page=2>; rel=next")]
#[case("<http://api.example.com/v1/users?page=2>; rel=next")]
#[case("<https://api.example.com:8443/v1/users?page=2>; rel=next")]
#[case("<//evil.example.com/>; rel=next")]
#[case("<javascript:alert(1)>; rel=next")]
#[case("<https://api.example.com@evil.example.com/>; rel=next")]
#[tokio::test]
async fn a_link_to_another_origin_is_not_followed(#[case] link: &str) {
    let server = Server::always(ok(three()).header("link", link));
    let remote = remote(&server, users()).await;
    let error = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Transport, false));
    assert_eq!(server.log().len(), 1);
}

#[rstest]
#[case("")]
#[case("2")]
#[case(r#"{"at":{"Target":"//evil.example.com/"},"pages":1,"empty":0,"seen_page":1,"seen_place":1,"skip":0,"left":null}"#)]
#[case(r#"{"at":{"Target":"https://evil.example.com/"},"pages":1,"empty":0,"seen_page":1,"seen_place":1,"skip":0,"left":null}"#)]
#[tokio::test]
async fn a_token_of_somebody_else_is_refused(#[case] token: &str) {
    let server = Server::always(ok(three()));
    let cx = Context::new().resume(PageToken(token.to_owned()));
    let error = remote(&server, users()).await.get(&cx, &USER, &Query::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Invalid, Sent::Never));
    assert!(server.log().is_empty());
}
