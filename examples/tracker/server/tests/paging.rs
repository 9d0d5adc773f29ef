//! Lists: pages, the second path, states, reads.

use serde_json::Value;

use crate::server::{Seeds, Server};

fn next_link(links: &str) -> Option<String> {
    let next = links.split(", ").find(|link| link.ends_with("rel=\"next\""))?;
    let address = next.trim_start_matches('<').split('>').next()?;
    let path = address.strip_prefix("http://")?.split_once('/')?.1;
    Some(format!("/{path}"))
}

/// Follows the `Link` headers from a first path; the numbers of every page.
async fn walk(server: &Server, first: &str) -> Vec<Vec<u64>> {
    let mut pages = Vec::new();
    let mut path = Some(first.to_owned());
    while let Some(at) = path {
        let reply = server.call("GET", &at).send().await.expect(200);
        let numbers = |issue: &Value| issue["number"].as_u64().unwrap();
        pages.push(reply.body.as_array().unwrap().iter().map(numbers).collect());
        path = reply.headers.get("link").and_then(|links| next_link(links.to_str().unwrap()));
        assert!(path.as_ref().is_none_or(|path| path.starts_with("/repositories/")), "{path:?}");
    }
    pages
}

#[tokio::test]
async fn pages_follow_links_that_lead_to_another_path() {
    let server = Server::shipped().await;
    let pages = walk(&server, &format!("{}/issues?per_page=3&state=all", server.repo().path())).await;
    let expected: Vec<Vec<u64>> =
        vec![vec![14, 13, 12], vec![11, 10, 9], vec![8, 7, 6], vec![5, 4, 3], vec![2, 1]];
    assert_eq!(pages, expected);
}

#[tokio::test]
async fn links_carry_the_state_and_stand_in_githubs_order() {
    let server = Server::shipped().await;
    let first = server.repo_call("GET", "issues?per_page=5&state=all&page=2").send().await;
    let list = format!("{}/repositories/{}/issues?per_page=5&page=", server.url(), server.repo().id);
    let link = |page: u8, rel: &str| format!("<{list}{page}&state=all>; rel=\"{rel}\"");
    assert_eq!(
        first.header("link"),
        [link(1, "prev"), link(3, "next"), link(3, "last"), link(1, "first")].join(", ")
    );
}

#[tokio::test]
async fn only_open_issues_are_listed_unless_asked() {
    let server = Server::shipped().await;
    let states = async |query: &str| {
        let rows = server.repo_call("GET", &format!("issues{query}")).send().await.expect(200).body;
        rows.as_array().unwrap().iter().map(|row| row["state"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(states("").await, vec![Value::from("open"); 11]);
    assert_eq!(states("?state=closed").await, vec![Value::from("closed"); 3]);
    assert_eq!(states("?state=all").await.len(), 14);
    server.repo_call("GET", "issues?state=lost").send().await.expect(422);
    server.repo_call("GET", "issues?per_page=many").send().await.expect(422);
    let behind = server.repo_call("GET", "issues?page=99").send().await.expect(200);
    assert_eq!(behind.body, Value::Array(Vec::new()));
}

#[tokio::test]
async fn another_repository_is_not_found() {
    let server = Server::shipped().await;
    server.call("GET", "/repos/somebody/else/issues").send().await.expect(404);
    server.call("GET", "/repositories/1/issues").send().await.expect(404);
    server.call("GET", "/nowhere").send().await.expect(404);
    server.repo_call("GET", "issues/999").send().await.expect(404);
    server.repo_call("GET", "labels/").send().await.expect(404);
}

#[tokio::test]
async fn an_object_is_read_with_its_tag_and_its_extra_fields() {
    let server = Server::shipped().await;
    let seven = server.repo_call("GET", "issues/7").send().await.expect(200);
    assert_eq!(seven.body["id"], "7");
    assert_eq!(seven.body["user"], "mira-k");
    assert_eq!(seven.body["labels"], serde_json::json!(["cockpit"]));
    assert!(seven.body["html_url"].is_string() && seven.body["locked"].is_boolean());
    let tag = seven.header("etag").to_owned();
    assert!(tag.starts_with('"'), "a strong tag: {tag}");
    let again = server.repo_call("GET", "issues/7").header("if-none-match", &tag).send().await.expect(304);
    assert_eq!((again.header("etag"), &again.body), (tag.as_str(), &Value::Null));
    let weak = format!("\"other\", W/{tag}");
    server.repo_call("GET", "issues/7").header("if-none-match", weak).send().await.expect(304);
    server.repo_call("GET", "issues/7").header("if-none-match", "\"other\"").send().await.expect(200);
}

#[tokio::test]
async fn the_recordings_page_as_they_were_recorded() {
    let Some(dir) = super::seeding::recordings() else {
        return;
    };
    let server = Server::start(&Seeds::from_dir(&dir).unwrap(), 0).await.unwrap();
    let pages = walk(&server, "/repos/octokit-fixture-org/paginate-issues/issues?per_page=3").await;
    let expected: Vec<Vec<u64>> =
        vec![vec![13, 12, 11], vec![10, 9, 8], vec![7, 6, 5], vec![4, 3, 2], vec![1]];
    assert_eq!(pages, expected);
}
