//! What a real server has said: issues of GitHub page by page, whose authors and labels stand in them.
//!
//! The recordings are not part of the project. `LARDER_REAL_FIXTURES` names a folder with them (`paginate-issues.json` and
//! `labels.json`, each a list of requests with `path`, `response` and `headers`); without it, the test says so.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use larder::rest::{Endpoint, Paging};
use larder::{Many, Memory, Model, One, ReadPolicy, Repository, Rest, Select, Timestamp};
use larder_stubs::{Stubs, Variant};
use serde_json::Value;

use super::here;

#[derive(Model, Clone, Debug, PartialEq)]
struct Issue {
    #[model(key)]
    number: u64,
    title: String,
    state: String,
    #[model(json(rename = "user"))]
    author: One<Account>,
    assignee: Option<One<Account>>,
    #[model(keys)]
    labels: Many<Label>,
    comments: u32,
    body: Option<String>,
    created_at: Timestamp,
    closed_at: Option<Timestamp>,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Account {
    #[model(key)]
    login: String,
    id: u64,
    html_url: String,
    #[model(json(rename = "type"))]
    kind: String,
    site_admin: bool,
}

#[derive(Model, Clone, Debug, PartialEq)]
struct Label {
    #[model(key)]
    name: String,
    color: String,
    #[model(json(rename = "default"))]
    is_default: bool,
    description: Option<String>,
}

fn recorded(folder: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The pages as they were recorded. The recorded issues have no labels: each gets two of the recorded ones, whole, as the
/// server embeds them.
fn pages(folder: &Path) -> (Stubs, Vec<Value>) {
    let labels = recorded(folder, "labels.json")[0]["response"].as_array().unwrap().clone();
    let (mut stubs, mut issues) = (Stubs::new(), Vec::new());
    for mut page in recorded(folder, "paginate-issues.json") {
        for issue in page["response"].as_array_mut().unwrap() {
            let of = |step: usize| labels[(issues.len() + step) % labels.len()].clone();
            issue["labels"] = Value::Array(vec![of(0), of(3)]);
            issues.push(issue.clone());
        }
        let path = page["path"].as_str().unwrap().trim_start_matches('/');
        let link = page["headers"]["link"].as_str().unwrap();
        let variant = Variant::new(&format!("GET {path}")).header("link", link);
        stubs = stubs.variant(variant.json(page["response"].clone()));
    }
    (stubs, issues)
}

// Rules: m-assoc-remote
#[tokio::test]
async fn authors_and_labels_of_recorded_issues_are_rows_of_their_own() {
    let Some(folder) = std::env::var_os("LARDER_REAL_FIXTURES") else {
        // Beside what the test runner keeps to itself.
        let _ = writeln!(std::io::stderr(), "left out: LARDER_REAL_FIXTURES names no folder with recordings");
        return;
    };
    let folder = Path::new(&folder);
    let folder =
        if folder.join("github-api").is_dir() { folder.join("github-api") } else { folder.to_owned() };
    let (stubs, recorded) = pages(&folder);
    let issues = Endpoint::new("/repos/octokit-fixture-org/paginate-issues/issues")
        .list_param("per_page", "3")
        .paging(Paging::Link);
    let rest = Rest::at("https://api.github.com").model::<Issue>(issues).transport(stubs.clone());
    let builder = Repository::builder().store(Memory::new()).remote(rest);
    let repo = builder.model::<Issue>().model::<Account>().model::<Label>().build().await.unwrap();

    let found = repo.get(Select::<Issue>::all()).await.unwrap();
    assert_eq!((found.len(), found.is_complete()), (recorded.len(), true));
    stubs.assert_all_asked();
    let asked = stubs.calls().len();

    // What stood in them is here, each once, and loads without a request.
    let local = repo.reading(ReadPolicy::LocalOnly);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let logins: BTreeSet<String> = recorded.iter().map(|issue| text(&issue["user"]["login"])).collect();
    let accounts = here::<Account>(&repo).await;
    assert_eq!(accounts.iter().map(|account| account.login.clone()).collect::<BTreeSet<_>>(), logins);
    let loaded = local.get(Select::<Issue>::all().with(Issue::AUTHOR).with(Issue::LABELS)).await.unwrap();
    for said in &recorded {
        let number = said["number"].as_u64().unwrap();
        let issue = loaded.iter().find(|issue| issue.number == number).unwrap();
        let author = issue.author.get().expect("it came with the issue");
        assert_eq!(
            (author.id, author.kind.clone()),
            (said["user"]["id"].as_u64().unwrap(), text(&said["user"]["type"]))
        );
        let labels: Vec<(String, String)> =
            issue.labels.iter().map(|label| (label.name.clone(), label.color.clone())).collect();
        let there = said["labels"].as_array().unwrap().iter();
        assert_eq!(
            labels,
            there.map(|label| (text(&label["name"]), text(&label["color"]))).collect::<Vec<_>>()
        );
        assert_eq!(issue.created_at.to_string(), text(&said["created_at"]));
    }
    let first = text(&recorded[0]["labels"][0]["name"]);
    let with_it = recorded
        .iter()
        .filter(|issue| issue["labels"].as_array().unwrap().iter().any(|label| label["name"] == *first));
    let of_label = local.get(Issue::LABELS.any(Label::NAME.eq(&first))).await.unwrap();
    assert_eq!(of_label.len(), with_it.count());
    assert_eq!(stubs.calls().len(), asked, "all of it locally");
}
