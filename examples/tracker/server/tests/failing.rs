//! The failure switch, over the socket: offline, refusals, lost replies, held requests, `/_control`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Fault, Journal, Scope, Server, Snapshot};

fn edit(server: &Server, title: &str) -> super::client::Call {
    server.repo_call("PATCH", "issues/7").key(title).json(&json!({ "title": title }))
}

fn title(server: &Server) -> String {
    let issue = server.snapshot().issues.into_iter().find(|issue| issue["id"] == "7").unwrap();
    issue["title"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn offline_answers_nothing_and_comes_back() {
    let server = Server::shipped().await;
    server.set_offline(true);
    edit(&server, "offline").try_send().await.unwrap_err();
    server.repo_call("GET", "issues").try_send().await.unwrap_err();
    server.call("GET", "/_control/progress").send().await.expect(200);
    server.set_offline(false);
    assert_eq!(server.journal().entries(), []);
    edit(&server, "online").send().await.expect(200);
}

#[tokio::test]
async fn a_stopped_server_comes_back_at_its_address_with_its_state() {
    let mut server = Server::shipped().await;
    let url = server.url();
    edit(&server, "before").send().await.expect(200);
    server.stop().await;
    let refused = edit(&server, "during").try_send().await.unwrap_err();
    let kind = refused.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::ConnectionRefused));
    server.resume().await.unwrap();
    assert_eq!(server.url(), url);
    let replayed = edit(&server, "before").send().await.expect(200);
    assert_eq!(replayed.header("idempotent-replayed"), "true");
    assert_eq!(title(&server), "before");
}

#[tokio::test]
async fn the_next_requests_are_refused_with_retry_after() {
    let server = Server::shipped().await;
    server.plant(Fault::refuse(503).retry_after(7).only(Scope::Writes).times(2));
    for _ in 0..2 {
        let refused = edit(&server, "x").send().await.expect(503);
        assert_eq!(refused.header("retry-after"), "7");
    }
    assert_eq!(server.journal().entries(), []);
    edit(&server, "x").send().await.expect(200);
}

#[tokio::test]
async fn a_lost_reply_was_applied_once() {
    let server = Server::shipped().await;
    server.plant(Fault::lost_reply());
    edit(&server, "lost").try_send().await.unwrap_err();
    assert_eq!(title(&server), "lost");
    assert_eq!(server.progress().accepted, 1);
    edit(&server, "lost").send().await.expect(200);
    assert_eq!(server.journal().applied().count(), 1);
}

#[tokio::test]
async fn a_client_can_be_killed_between_acceptance_and_answer() {
    let server = Server::shipped().await;
    server.plant(Fault::hang_after_accept());
    let client = tokio::spawn(edit(&server, "held").try_send());
    server.soon(|progress| progress.accepted == 1 && progress.holding == 1).await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    server.soon(|progress| progress.holding == 0).await;
    assert_eq!(title(&server), "held");
    let replayed = edit(&server, "held").send().await.expect(200);
    assert_eq!(replayed.header("idempotent-replayed"), "true");
}

#[tokio::test]
async fn a_client_can_be_killed_before_acceptance() {
    let server = Server::shipped().await;
    server.plant(Fault::hang_before().only(Scope::Writes));
    let client = tokio::spawn(edit(&server, "never").try_send());
    server.soon(|progress| progress.holding == 1).await;
    client.abort();
    server.soon(|progress| progress.holding == 0).await;
    server.clear_faults();
    assert_eq!(server.journal().entries(), []);
}

#[tokio::test]
async fn held_requests_go_on_when_the_faults_are_cleared() {
    let server = Server::shipped().await;
    server.plant(Fault::hang_before().only(Scope::Reads).skip(1));
    server.repo_call("GET", "issues/7").send().await.expect(200);
    let held = tokio::spawn(server.repo_call("GET", "issues/7").try_send());
    server.soon(|progress| progress.holding == 1).await;
    server.clear_faults();
    assert_eq!(held.await.unwrap().unwrap().status, 200);
    assert_eq!(server.progress().arrived, 2);
}

#[tokio::test]
async fn another_process_reaches_every_switch() {
    let server = Server::shipped().await;
    let control = |method, path: &str| server.call(method, &format!("/_control/{path}"));
    let fault = json!({ "act": { "refuse": { "status": 429, "retry_after": 1 } }, "scope": "writes" });
    control("POST", "faults").json(&fault).send().await.expect(204);
    edit(&server, "x").send().await.expect(429);
    control("POST", "offline").json(&json!({ "offline": true })).send().await.expect(204);
    edit(&server, "x").try_send().await.unwrap_err();
    control("DELETE", "faults").send().await.expect(204);
    edit(&server, "x").send().await.expect(200);
    let change = json!({ "edit": { "kind": "issue", "key": "7", "fields": { "title": "Theirs" } } });
    control("POST", "change").json(&change).send().await.expect(200);
    let change = json!({ "delete": { "kind": "label", "key": "on hold" } });
    control("POST", "change").json(&change).send().await.expect(204);
    let change = json!({ "create": { "kind": "issue", "fields": { "title": "Theirs" } } });
    control("POST", "change").json(&change).send().await.expect(201);
    control("POST", "break").json(&json!({ "break": "differ" })).send().await.expect(204);
    control("POST", "faults").json(&json!({ "act": "explode" })).send().await.expect(422);

    let journal = control("GET", "journal").send().await.expect(200).body;
    assert_eq!(serde_json::from_value::<Journal>(journal).unwrap(), server.journal());
    assert_eq!(server.journal().entries().len(), 4);
    let snapshot = control("GET", "snapshot").send().await.expect(200).body;
    assert_eq!(serde_json::from_value::<Snapshot>(snapshot).unwrap(), server.snapshot());
    assert_eq!(server.snapshot().labels.len(), 9);
    let progress = control("GET", "progress").send().await.expect(200).body;
    assert_eq!(progress, json!({ "arrived": 3, "accepted": 1, "holding": 0 }));
}

#[tokio::test]
async fn a_long_poll_waits_for_acceptance() {
    let server = Server::shipped().await;
    let short = server.call("GET", "/_control/wait?accepted=1&timeout_ms=20").send().await.expect(408);
    assert_eq!(short.body["accepted"], Value::from(0));
    let wait = tokio::spawn(server.call("GET", "/_control/wait?accepted=1").try_send());
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!wait.is_finished());
    edit(&server, "x").send().await.expect(200);
    assert_eq!(wait.await.unwrap().unwrap().body["accepted"], Value::from(1));
}
