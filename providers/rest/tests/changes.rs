//! What has changed since the last time, and answers that have not changed at all.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

mod support;

use larder_core::{Context, DeltaAnswer, DeltaPage, DeltaScope, Key, Provider, Query};
use larder_rest::{Changes, Endpoint, Total};
use serde_json::json;
use support::*;

async fn ask(remote: &dyn Provider, since: Option<&str>) -> DeltaAnswer {
    remote.delta().unwrap().changes(&Context::new(), &USER, since).await.unwrap()
}

fn page(answer: DeltaAnswer) -> DeltaPage {
    match answer {
        DeltaAnswer::Page(page) => page,
        DeltaAnswer::Expired => panic!("a page"),
    }
}

fn ada(id: &str) -> serde_json::Value {
    user_json(id, "Ada", Some(36), "open")
}

#[tokio::test]
async fn a_token_leads_from_one_answer_to_the_next() {
    let server = Server::new(|seen| match seen.line().as_str() {
        "GET /v1/users/changes" => ok(json!({ "changed": [ada("1")], "more": true, "token": "a" })),
        "GET /v1/users/changes?since=a" => {
            ok(json!({ "changed": [ada("2"), { "id": "3" }], "deleted": ["4", { "id": "5" }], "token": "b" }))
        }
        _ => reply(410),
    });
    let changes = Changes::by_token("since", "token").at("/users/changes").rows("changed");
    let endpoint = Endpoint::new("/users").changes(changes.deleted("deleted").more("more"));
    let remote = remote(&server, endpoint).await;
    let first = page(ask(&*remote, None).await);
    assert_eq!((first.rows.len(), first.more), (1, true));
    let second = page(ask(&*remote, Some(&first.cursor)).await);
    assert_eq!((second.rows.len(), second.more), (1, false));
    assert_eq!(second.deleted, [Key::from("4"), Key::from("5")]);
    assert_eq!(second.misfits[0].key, Some(Key::from("3")));
    assert!(matches!(ask(&*remote, Some(&second.cursor)).await, DeltaAnswer::Expired));
    assert_eq!(remote.delta().unwrap().scope(&USER), DeltaScope::ChangesAndDeletions);
}

#[tokio::test]
async fn the_newest_moment_is_the_next_token_over_all_pages() {
    let row = |id: &str, at: &str| {
        let mut row = ada(id);
        row["updated_at"] = at.into();
        row
    };
    let server = Server::new(move |seen| match seen.line().as_str() {
        "GET /v1/users" => {
            ok(json!([row("1", "2026-03-01T00:00:00Z")])).header("link", "</v1/users?page=2>; rel=\"next\"")
        }
        "GET /v1/users?page=2" => ok(json!([row("2", "2026-02-01T00:00:00Z")])),
        _ => ok(json!([])),
    });
    let remote =
        remote(&server, Endpoint::new("/users").changes(Changes::by_newest("since", "updated_at"))).await;
    let first = page(ask(&*remote, None).await);
    let second = page(ask(&*remote, Some(&first.cursor)).await);
    assert_eq!((first.more, second.more), (true, false));
    let third = page(ask(&*remote, Some(&second.cursor)).await);
    page(ask(&*remote, Some(&third.cursor)).await);
    let since = "GET /v1/users?since=2026-03-01T00%3A00%3A00Z";
    assert_eq!(server.lines()[2..], [since, since]);
    assert_eq!(remote.delta().unwrap().scope(&USER), DeltaScope::Changes);
}

#[tokio::test]
async fn a_list_that_has_not_changed_is_not_told_again() {
    let server = Server::new(|seen| match seen.header("if-none-match") {
        Some("\"v1\"") => reply(304),
        _ => ok(json!([ada("1")])).header("etag", "\"v1\""),
    });
    let remote = remote(&server, Endpoint::new("/users")).await;
    let first = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
    let known = Context { unless: first.tag.clone(), ..Context::new() };
    let again = remote.get(&known, &USER, &Query::all()).await.unwrap();
    assert_eq!((first.tag.as_deref(), again.unchanged, again.rows.len()), (Some("\"v1\""), true, 0));
}

/// Rows in another order than that of their moments: one that is written meanwhile may stand on a page that was read.
#[tokio::test]
async fn what_is_written_while_pages_are_read_is_asked_for_again() {
    let row = |id: &str, at: u64| {
        let mut row = ada(id);
        row["at"] = at.into();
        row
    };
    let next = |number: u8| format!("</v1/users?page={number}>; rel=\"next\"");
    let server = Server::new(move |seen| match seen.line().as_str() {
        "GET /v1/users" => ok(json!([row("1", 5), row("2", 3)])).header("link", next(2)),
        // Between the two, 1 was written at 8, and 4 at 9.
        "GET /v1/users?page=2" => ok(json!([row("3", 4), row("4", 9)])),
        // In the order of their moments, what is written comes last.
        "GET /v1/users?since=5" => ok(json!([row("1", 8)])).header("link", next(3)),
        "GET /v1/users?page=3" => ok(json!([row("4", 9)])),
        _ => ok(json!([])),
    });
    let remote = remote(&server, Endpoint::new("/users").changes(Changes::by_newest("since", "at"))).await;
    let mut since = None::<String>;
    for _ in 0..5 {
        since = Some(page(ask(&*remote, since.as_deref()).await).cursor);
    }
    assert_eq!(
        server.lines()[2..],
        ["GET /v1/users?since=5", "GET /v1/users?page=3", "GET /v1/users?since=9"]
    );
}

#[tokio::test]
async fn totals_are_told_where_the_server_tells_them() {
    let server = Server::new(|seen| match seen.line().as_str() {
        "GET /v1/users/changes" => ok(json!({ "items": [ada("1")], "count": "7", "token": "a" })),
        line if line.starts_with("GET /v1/users/changes") => ok(json!({ "items": [], "token": "b" })),
        _ => ok(json!({ "items": [ada("1")], "count": 3 })).header("x-total-count", "3"),
    });
    for total in [Total::header("X-Total-Count"), Total::member("count")] {
        let changes = Changes::by_token("since", "token").at("/users/changes").total(Total::member("count"));
        let endpoint = Endpoint::new("/users").list_key("items").total(total).changes(changes);
        let endpoint = endpoint.lists_by_key().limit_param("limit");
        let remote = remote(&server, endpoint).await;
        let all = remote.get(&Context::new(), &USER, &Query::all()).await.unwrap();
        assert_eq!(all.total, Some(3));
        // The server counts what it lists without the window.
        let some = Query { limit: Some(1), ..Query::all() };
        let some = remote.get(&Context::new(), &USER, &some).await.unwrap();
        assert_eq!((some.done.window, some.total), (true, None));
        let first = page(ask(&*remote, None).await);
        assert_eq!((first.total, page(ask(&*remote, Some(&first.cursor)).await).total), (Some(7), None));
    }
}
