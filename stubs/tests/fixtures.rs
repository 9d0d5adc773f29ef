//! Directories and manifests.

mod common;

use std::fs;
use std::path::Path;

use common::{ask, tell};
use larder_stubs::Stubs;
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    directory
}

#[tokio::test]
async fn a_line_stubs_a_directory() {
    let directory = directory(&[
        ("user.json", r#""one""#),
        ("users.json", r#""all""#),
        ("users%3Fby_first_name=Guy.json", r#""some""#),
        ("hat/1.json", r#""hat""#),
        ("POST hat.json", r#"{"$stub": {"status": 202, "headers": {"x-a": "b"}}, "body": {"ok": true}}"#),
        ("hats.json", r#"{"$stub": {"status": 503}, "then": [{"body": []}]}"#),
        ("README.md", "no fixture"),
        (".hidden.json", "no fixture"),
    ]);
    let stubs = Stubs::dir(directory.path()).expect("fixtures");
    for (line, expected) in [
        ("GET user", "one"),
        ("PUT users", "all"),
        ("GET users?by_first_name=Guy", "some"),
        ("GET hat/1", "hat"),
    ] {
        assert_eq!(ask(&stubs, line).await.json, json!(expected), "{line}");
    }
    let created = tell(&stubs, "POST hat", json!({})).await;
    assert_eq!(
        (created.status, created.header("x-a"), created.json.clone()),
        (202, Some("b"), json!({ "ok": true }))
    );
    assert_eq!(ask(&stubs, "GET hats").await.status, 503);
    assert_eq!(ask(&stubs, "GET hats").await.json, json!([]));
    stubs.assert_all_asked();
}

#[tokio::test]
async fn a_manifest_says_what_names_cannot() {
    let manifest = r#"{
        "base": "/api",
        "variants": [
            { "on": ["user", "profile"], "answer": { "file": "ada.json", "headers": { "etag": "\"1\"" } } },
            { "on": "POST users", "body_like": { "name": "" }, "answer": { "status": 422 } },
            { "on": "page", "answer": { "file": "page.html", "headers": { "content-type": "text/html" } } },
            { "on": "echo/*", "answer": { "template": { "id": "{{path.1}}" } }, "then": [{ "status": 410 }] }
        ],
        "collections": [
            { "at": "hats", "key": "name", "file": "hats.json", "page_size": 1, "etags": true, "filters": "all",
              "idempotency_key": "Idempotency-Key", "sort": "sort", "window": ["offset", "limit"], "wrap": "hats" },
            { "at": "seats", "key": ["row", "place"], "filters": ["free"], "put_creates": true }
        ]
    }"#;
    let directory = directory(&[
        ("stubs.manifest.json", manifest),
        ("ada.json", r#"{"name": "Ada"}"#),
        ("page.html", "<html></html>"),
        ("hats.json", r#"[{"name": "fez"}, {"name": "cap"}]"#),
        ("extra.json", "1"),
    ]);
    let stubs = Stubs::dir(directory.path()).expect("fixtures");
    assert_eq!(ask(&stubs, "GET api/profile").await.json, json!({ "name": "Ada" }));
    assert_eq!(ask(&stubs, "GET api/user").await.header("etag"), Some("\"1\""));
    assert_eq!(tell(&stubs, "POST api/users", json!({ "name": "" })).await.status, 422);
    let page = ask(&stubs, "GET api/page").await;
    assert_eq!((page.text.as_str(), page.header("content-type")), ("<html></html>", Some("text/html")));
    assert_eq!(ask(&stubs, "GET api/echo/7").await.json, json!({ "id": "7" }));
    assert_eq!(ask(&stubs, "GET api/echo/7").await.status, 410);
    let hats = ask(&stubs, "GET api/hats?sort=-name").await;
    assert_eq!(hats.json, json!({ "hats": [{ "name": "fez" }] }));
    assert!(hats.header("link").expect("a link").contains("api/hats?sort=-name&page=2"));
    assert_eq!(ask(&stubs, "GET api/extra").await.json, json!(1));
    assert!(
        !stubs.declared().contains(&"ada".to_owned()),
        "a file that the manifest uses is no variant as well"
    );
    let alone = Stubs::manifest(directory.path().join("stubs.manifest.json")).expect("fixtures");
    assert!(!alone.declared().contains(&"extra".to_owned()));
}

#[rstest]
#[case::no_json("users.json", "{\n  \"a\": 1,\n  oops\n}", 3, "key must be a string")]
#[case::empty("users.json", "", 1, "EOF")]
#[case::unknown_member(
    "users.json",
    "{\n  \"$stub\": {\n    \"staus\": 200\n  }\n}",
    3,
    "unknown field `staus`"
)]
#[case::bad_status("users.json", "{\n  \"$stub\": { \"status\": 20000 }\n}", 2, "20000 is no status")]
#[case::bad_header(
    "users.json",
    "{\n\"$stub\":\n{ \"headers\": { \"a b\": \"c\" } }}",
    3,
    "can't be the name"
)]
#[case::bad_manifest("stubs.manifest.json", "{\n\"variant\": []\n}", 2, "unknown field `variant`")]
#[case::no_file(
    "stubs.manifest.json",
    "{\"variants\": [\n{ \"on\": \"a\", \"answer\": {\n\"file\": \"gone.json\" } }\n]}",
    3,
    "there is no file `gone.json`"
)]
#[case::twice(
    "stubs.manifest.json",
    "{\"variants\": [\n{ \"on\": \"a\" },\n{ \"on\": \"a\" }\n]}",
    3,
    "`a` is declared already"
)]
fn malformed_fixtures_have_file_and_line(
    #[case] file: &str,
    #[case] text: &str,
    #[case] line: usize,
    #[case] message: &str,
) {
    let directory = directory(&[(file, text)]);
    let error = Stubs::dir(directory.path()).expect_err("malformed");
    assert_eq!((error.file.as_path(), error.line), (directory.path().join(file).as_path(), line), "{error}");
    assert!(error.message.contains(message), "{error}");
    let error = larder_core::Error::from(error);
    assert_eq!(error.kind(), larder_core::ErrorKind::Invalid);
    assert!(error.to_string().contains(&format!("{file}:{line}: ")), "{error}");
}

#[test]
fn a_missing_directory_is_an_error() {
    let error = Stubs::dir(Path::new("no/such/directory")).expect_err("missing");
    assert!(error.to_string().starts_with("no/such/directory:1: can't be read"), "{error}");
}
