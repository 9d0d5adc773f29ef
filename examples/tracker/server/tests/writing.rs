//! Writes: rules, tags, idempotency keys, hostile names.

use serde_json::{Value, json};

use crate::server::{Change, Effect, Kind, Server};

#[tokio::test]
async fn an_issue_is_created_under_the_clients_id() {
    let server = Server::shipped().await;
    let id = "0192f0c1-2d3e-7abc-8def-0123456789ab";
    let body = json!({ "id": id, "title": "Made offline", "labels": ["bug"], "flavour": "kept" });
    let made = server.repo_call("POST", "issues").json(&body).send().await.expect(201);
    assert_eq!(made.header("location"), format!("{}/issues/{id}", server.repo().path()));
    assert_eq!((&made.body["id"], &made.body["number"]), (&json!(id), &json!(15)));
    assert_eq!((&made.body["state"], &made.body["body"]), (&json!("open"), &Value::Null));
    assert_eq!(made.body["flavour"], "kept");
    for target in [id, "15"] {
        let read = server.repo_call("GET", &format!("issues/{target}")).send().await.expect(200);
        assert_eq!(read.body, made.body);
    }
    let again = server.repo_call("POST", "issues").json(&body).send().await.expect(422);
    assert_eq!(again.body["errors"][0]["code"], "already_exists");
    let unnamed = server.repo_call("POST", "issues").json(&json!({"title": "x"})).send().await.expect(201);
    assert_eq!(unnamed.body["id"], "16");
}

#[tokio::test]
async fn what_breaks_a_rule_changes_nothing() {
    let server = Server::shipped().await;
    let before = server.snapshot();
    let post = |path: &str, body: Value| server.repo_call("POST", path).json(&body);
    post("issues", json!({ "title": "" })).send().await.expect(422);
    post("issues", json!({ "title": "x", "id": "99" })).send().await.expect(422);
    post("issues", json!({ "title": "x", "id": 5 })).send().await.expect(422);
    post("issues", json!({ "title": "x", "state": "lost" })).send().await.expect(422);
    post("issues", json!({ "title": "x", "labels": [5] })).send().await.expect(422);
    post("labels", json!({ "color": "ffffff" })).send().await.expect(422);
    post("labels", json!({ "name": "x", "color": "white" })).send().await.expect(422);
    let patch = |body: Value| server.repo_call("PATCH", "issues/7").json(&body);
    patch(json!({ "id": "8" })).send().await.expect(422);
    patch(json!({ "body": 5 })).send().await.expect(422);
    server.repo_call("PATCH", "issues/7").text("{").send().await.expect(400);
    server.repo_call("PATCH", "issues/7").text("[]").send().await.expect(400);
    server.repo_call("PATCH", "issues/999").json(&json!({})).send().await.expect(404);
    server.repo_call("DELETE", "issues/999").send().await.expect(404);
    assert_eq!(server.snapshot(), before);
    assert_eq!(server.journal().entries(), []);
    assert_eq!(server.progress().accepted, 0);
}

#[tokio::test]
async fn patch_keeps_and_put_replaces_what_the_client_may_write() {
    let server = Server::shipped().await;
    let old = server.repo_call("GET", "issues/7").send().await;
    let patch = json!({ "title": "New", "number": 99, "comments": 99 });
    let patched = server.repo_call("PATCH", "issues/7").json(&patch).send().await.expect(200);
    assert_ne!(patched.header("etag"), old.header("etag"));
    assert_ne!(patched.body["updated_at"], old.body["updated_at"]);
    assert_eq!((&patched.body["title"], &patched.body["body"]), (&json!("New"), &old.body["body"]));
    assert_eq!(
        (&patched.body["number"], &patched.body["comments"]),
        (&old.body["number"], &old.body["comments"])
    );
    let put = json!({ "id": "7", "title": "Newer" });
    let put = server.repo_call("PUT", "issues/7").json(&put).send().await.expect(200);
    assert_eq!((&put.body["body"], &put.body["labels"]), (&Value::Null, &json!([])));
    assert_eq!(put.body.get("locked"), None, "an extra field that a PUT leaves out is gone");
    assert_eq!(put.body["html_url"], old.body["html_url"], "the server's own stays");
    assert_eq!(put.body["created_at"], old.body["created_at"]);
    let made = server.repo_call("PUT", "issues/some-id").json(&json!({ "title": "x" })).send().await;
    assert_eq!((made.status, &made.body["id"]), (201, &json!("some-id")));
}

#[tokio::test]
async fn a_stale_tag_is_refused_with_the_current_object() {
    let server = Server::shipped().await;
    let stale = server.repo_call("GET", "issues/7").send().await.header("etag").to_owned();
    let edit = Change::Edit {
        kind: Kind::Issue,
        key: "7".to_owned(),
        fields: json!({ "title": "Theirs" }).as_object().unwrap().clone(),
    };
    server.change(edit).unwrap();
    let before = server.snapshot();
    for method in ["PUT", "PATCH", "DELETE"] {
        let call = server.repo_call(method, "issues/7").header("if-match", &stale);
        let refused = call.json(&json!({ "title": "Mine" })).send().await.expect(412);
        assert_eq!(refused.body["title"], "Theirs");
        let current = refused.header("etag");
        assert_ne!(current, stale);
    }
    assert_eq!(server.snapshot(), before);
    let current = server.repo_call("GET", "issues/7").send().await.header("etag").to_owned();
    let both = format!("{stale}, {current}");
    let mine = json!({ "title": "Mine" });
    server.repo_call("PATCH", "issues/7").header("if-match", both).json(&mine).send().await.expect(200);
    let gone = server.repo_call("PUT", "issues/gone").header("if-match", stale).json(&mine);
    gone.send().await.expect(412);
    let only_new = server.repo_call("PUT", "issues/7").header("if-none-match", "*").json(&mine);
    only_new.send().await.expect(412);
}

#[tokio::test]
async fn a_repeated_key_is_answered_again_and_not_applied() {
    let server = Server::shipped().await;
    let tag = server.repo_call("GET", "issues/7").send().await.header("etag").to_owned();
    let edit = |title: &str| {
        let call = server.repo_call("PATCH", "issues/7").key("0192-a").header("if-match", &tag);
        call.json(&json!({ "title": title }))
    };
    let first = edit("Once").send().await.expect(200);
    // The tag in If-Match is stale by now: the key is looked at first.
    let again = edit("Once").send().await.expect(200);
    assert_eq!((&again.body, again.header("etag")), (&first.body, first.header("etag")));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let bare = server.repo_call("PATCH", "issues/7").header("idempotency-key", "0192-a");
    bare.json(&json!({ "title": "Once" })).send().await.expect(200);
    edit("Twice").send().await.expect(422);
    server.repo_call("DELETE", "issues/7").key("0192-a").send().await.expect(422);
    server.repo_call("DELETE", "issues/7").header("idempotency-key", "\"\"").send().await.expect(400);
    assert_eq!(server.progress().accepted, 1);
    let journal = server.journal();
    let replayed: Vec<bool> = journal.entries().iter().map(|entry| entry.replayed).collect();
    assert_eq!(replayed, [false, true, true]);
    assert_eq!(journal.entries()[1].key.as_deref(), Some("0192-a"));
}

#[tokio::test]
async fn a_refusal_is_not_remembered() {
    let server = Server::shipped().await;
    let edit = |tag: &str| {
        let call = server.repo_call("PATCH", "issues/7").key("0192-b").header("if-match", tag);
        call.json(&json!({ "title": "x" }))
    };
    let refused = edit("\"stale\"").send().await.expect(412);
    edit(refused.header("etag")).send().await.expect(200);
}

#[tokio::test]
async fn labels_with_hostile_names_stay_in_their_segment() {
    let server = Server::shipped().await;
    for (name, segment) in [
        ("a/b", "a%2Fb"),
        ("../../issues/7", "..%2F..%2Fissues%2F7"),
        ("100% sure?", "100%25%20sure%3F"),
        ("#1&x=y", "%231%26x%3Dy"),
        ("grün 🛫", "gr%C3%BCn%20%F0%9F%9B%AB"),
        ("..", "%2E%2E"),
        ("a%2Fb", "a%252Fb"),
        ("\"quoted\"", "%22quoted%22"),
    ] {
        let body = json!({ "name": name, "color": "00ff00" });
        server.repo_call("POST", "labels").json(&body).send().await.expect(201);
        let path = format!("labels/{segment}");
        assert_eq!(server.repo_call("GET", &path).send().await.expect(200).body["name"], name);
        let patch = json!({ "name": name, "description": "hostile" });
        server.repo_call("PATCH", &path).json(&patch).send().await.expect(200);
        server.repo_call("DELETE", &path).send().await.expect(204);
        server.repo_call("GET", &path).send().await.expect(404);
    }
    let known = server.repo_call("GET", "labels/good%20first%20issue").send().await.expect(200);
    assert_eq!(known.body["name"], "good first issue");
    server.repo_call("GET", "labels/%FF").send().await.expect(400);
}

#[tokio::test]
async fn a_label_is_renamed_and_its_old_name_is_free() {
    let server = Server::shipped().await;
    let rename = |from: &str, to: &str| {
        let body = json!({ "new_name": to, "color": "BADA55" });
        server.repo_call("PATCH", &format!("labels/{from}")).json(&body)
    };
    let renamed = rename("bug", "defect/hull").send().await.expect(200);
    assert_eq!((&renamed.body["name"], &renamed.body["color"]), (&json!("defect/hull"), &json!("BADA55")));
    assert!(renamed.body["url"].as_str().unwrap().ends_with("/labels/defect%2Fhull"), "{renamed:?}");
    assert_eq!(renamed.body.get("new_name"), None);
    server.repo_call("GET", "labels/bug").send().await.expect(404);
    server.repo_call("GET", "labels/defect%2Fhull").send().await.expect(200);
    rename("docs", "question").send().await.expect(422);
    rename("docs", "").send().await.expect(422);
    let entry = server.journal().entries()[0].clone();
    assert_eq!((entry.effect, entry.id.as_str()), (Effect::Update, "bug"));
    let labels = server.repo_call("GET", "labels?per_page=100").send().await.body;
    assert_eq!(labels.as_array().unwrap().len(), 10);
}
