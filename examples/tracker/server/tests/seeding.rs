//! Both sources of seeds, and what damaged ones get.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::server::{LabelStep, REAL_FIXTURES, SeedError, Seeds, Source};

/// The recordings, where there are any.
pub(super) fn recordings() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let dir = std::env::var_os(REAL_FIXTURES).map_or(beside, PathBuf::from);
    let found = dir.join("github-api/paginate-issues.json").exists();
    if !found {
        eprintln!("no recordings in {}: not tested", dir.display());
    }
    found.then_some(dir)
}

#[test]
fn the_shipped_seeds_are_whole() {
    let seeds = Seeds::shipped().unwrap();
    assert_eq!((seeds.issues.len(), seeds.labels.len()), (14, 10));
    assert_eq!((seeds.repo.path().as_str(), seeds.repo.id), ("/repos/skylark-air/flightbag", 4711));
    assert_eq!(seeds.source, Source::Shipped);
    let names: Vec<&Value> = seeds.labels.iter().map(|label| &label["name"]).collect();
    assert!(names.contains(&&json!("good first issue")) && names.contains(&&json!("area/sync")));
    let [
        LabelStep::Create(made),
        LabelStep::Read(read),
        LabelStep::Update { name, fields },
        LabelStep::Delete(gone),
    ] = seeds.label_steps.as_slice()
    else {
        panic!("{:?}", seeds.label_steps)
    };
    assert_eq!(
        (&made["name"], read.as_str(), name.as_str()),
        (&json!("preflight"), "preflight", "preflight")
    );
    assert_eq!((&fields["new_name"], gone.as_str()), (&json!("preflight check"), "preflight check"));
}

#[test]
fn the_recordings_are_read() {
    let Some(dir) = recordings() else { return };
    let seeds = Seeds::from_dir(&dir).unwrap();
    assert_eq!((seeds.issues.len(), seeds.labels.len()), (13, 9));
    assert_eq!(seeds.repo.path(), "/repos/octokit-fixture-org/paginate-issues");
    assert_eq!(seeds.repo.id, 1000);
    assert_eq!(seeds.source, Source::Recorded(dir));
    let first = &seeds.issues[0];
    assert_eq!((&first["id"], &first["title"]), (&json!("13"), &json!("Test issue 13")));
    assert_eq!(
        (&first["user"], &first["comments"], &first["body"]),
        (&json!("octokit-fixture-user-a"), &json!(42), &Value::Null)
    );
    assert_eq!(seeds.label_steps.len(), 4);
    assert_eq!(seeds.label_steps[3], LabelStep::Delete("test-label-updated".to_owned()));
}

#[test]
fn absent_recordings_are_said_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let seeds = Seeds::from_dir(dir.path()).unwrap();
    assert_eq!(seeds.source, Source::ShippedInsteadOf(dir.path().to_owned()));
    assert!(seeds.source.to_string().contains("no recordings in"), "{}", seeds.source);
    assert_eq!(seeds.issues.len(), 14);
}

/// Loads these two files and shows the error, which must not be a panic.
fn damaged(issues: &str, labels: &str) -> SeedError {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("github-api");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("paginate-issues.json"), issues).unwrap();
    std::fs::write(folder.join("labels.json"), labels).unwrap();
    Seeds::from_dir(dir.path()).unwrap_err()
}

fn page(issue: &Value) -> String {
    json!([{ "method": "get", "path": "/repos/o/r/issues?per_page=3", "status": 200, "response": [issue] }])
        .to_string()
}

fn good_issue() -> Value {
    json!({ "number": 1, "title": "x", "state": "open", "labels": [{ "name": "bug" }], "comments": 0, "body": null,
            "user": null, "created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z" })
}

#[track_caller]
fn check(issues: &str, labels: &str, wanted: &str) {
    let error = damaged(issues, labels).to_string();
    assert!(error.contains(wanted), "expected {wanted:?} in {error:?}");
}

#[test]
fn damaged_recordings_are_named_with_their_place() {
    check("{", "[]", "is not a list of recorded requests");
    check("<html>", "[]", "is not a list of recorded requests");
    check("{}", "[]", "is not a list of recorded requests");
    check(r#"[{"method": "get"}]"#, "[]", "missing field `path`");
    check("[]", "[]", "request 1: there is none");
    check(&page(&json!(5)), "[]", "request 1, response[0]: expected an object");
    for (field, value, wanted) in [
        ("number", json!("one"), "field `number`: expected a positive number, found \"one\""),
        ("title", Value::Null, "field `title`: expected a string, found null"),
        ("title", json!(""), "title must be a string that is not empty"),
        ("state", json!("lost"), "state must be"),
        ("labels", json!([5]), "field `labels`: expected a list of labels"),
        ("updated_at", json!("yesterday"), "field `updated_at`: expected a date-time"),
        ("body", json!(5), "body must be a string or null"),
    ] {
        let mut issue = good_issue();
        issue[field] = value;
        check(&page(&issue), "[]", wanted);
    }
    let good = page(&good_issue());
    let wrong_path = good.replace("/repos/o/r/issues", "/issues");
    check(&wrong_path, "[]", "expected /repos/{owner}/{name}/issues");
    let mut twice: Value = serde_json::from_str(&good).unwrap();
    twice[0]["response"] = json!([good_issue(), good_issue()]);
    check(&twice.to_string(), "[]", "response[1]: id appears twice");
    check(&good, "nonsense", "labels.json is not a list");
    let list = json!([{ "method": "get", "path": "/l", "response": [{ "name": "x", "color": "no" }] }]);
    check(&good, &list.to_string(), "color must be six");
    let step = json!([{ "method": "get", "path": "/l", "response": [] },
                      { "method": "move", "path": "/repos/o/r/labels/x", "response": "" }]);
    check(&good, &step.to_string(), "request 2: move /repos/o/r/labels/x is no label step");
}

#[test]
fn a_file_that_is_no_text_is_a_read_error() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("github-api");
    std::fs::create_dir_all(folder.join("labels.json")).unwrap();
    std::fs::write(folder.join("paginate-issues.json"), [0xff, 0xfe]).unwrap();
    assert!(matches!(Seeds::from_dir(dir.path()), Err(SeedError::Read { .. })));
}
