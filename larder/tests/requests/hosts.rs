//! Other hosts: each is left alone by itself, and none hears the credentials of another.

use std::sync::Arc;

use larder::rest::{BearerToken, Host, Rest};
use larder::{ErrorKind, Idempotency, Memory, Repository, RequestContent, RequestSettings};

use crate::server::{Server, Turn};
use crate::{API, emptied, parked, quick, soon};

const UPLOADS: &str = "https://uploads.example.com/a.pdf";

async fn repo(server: &Arc<Server>) -> Repository {
    let rest = Rest::at(API)
        .credentials(BearerToken::new("own"))
        .header("X-Client", "tea")
        .host(Host::at("https://uploads.example.com").credentials(BearerToken::new("theirs")))
        .host(Host::at("https://open.example.com"))
        .transport(Arc::clone(server).service());
    let settings = RequestSettings::new().declare("https://uploads.example.com", Idempotency::KEYED);
    let builder = Repository::builder().store(Memory::new()).remote(rest).requests(settings);
    builder.outbox(quick()).build().await.unwrap()
}

// Rules: o-hosts, o-requests-order
#[tokio::test]
async fn a_host_that_is_down_keeps_its_own_requests_waiting_and_no_others() {
    let server = Server::new();
    server.down("uploads.example.com", true);
    let repo = repo(&server).await;
    let upload = repo.http().put(UPLOADS).send().await.unwrap();
    for number in 0..5 {
        let sent = repo.http().put(format!("/{number}")).send().await.unwrap();
        soon(sent.accepted()).await.unwrap();
    }
    assert!(upload.is_queued() && repo.status().online, "{:?}", repo.status());
    assert_eq!(server.done().len(), 5);
    server.down("uploads.example.com", false);
    soon(upload.accepted()).await.unwrap();
    assert_eq!(server.lines().pop().unwrap(), "uploads.example.com PUT /a.pdf");
}

// Rules: o-hosts, o-retry-after, o-status
#[tokio::test]
async fn a_host_that_asks_for_it_is_left_alone_with_all_its_lanes() {
    let server = Server::new();
    let repo = repo(&server).await;
    server.next("/busy", Turn::Later(429, 3600));
    let busy = repo.http().put("https://uploads.example.com/busy").lane("a").send().await.unwrap();
    soon(async {
        while server.heard().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let behind = repo.http().put(UPLOADS).lane("b").send().await.unwrap();
    soon(repo.http().put("/own").send().await.unwrap().accepted()).await.unwrap();
    let mut status = repo.status();
    while status.resting.is_empty() {
        status = soon(repo.status_changed(&status)).await;
    }
    assert_eq!(server.lines(), ["uploads.example.com PUT /busy", "PUT /own"]);
    let resting = repo.status().resting;
    assert_eq!(resting.len(), 1, "{resting:?}");
    assert_eq!(
        (resting[0].host.as_deref(), resting[0].unauthorized),
        (Some("https://uploads.example.com"), false)
    );
    let left = resting[0].until.unwrap().duration_since(larder::Timestamp::now()).as_secs();
    assert!((3_500..=3_600).contains(&left), "{left} s are left");
    repo.outbox().drain().await;
    soon(busy.accepted()).await.unwrap();
    soon(behind.accepted()).await.unwrap();
    assert_eq!(repo.status().resting, []);
}

// Rules: o-hosts, o-credentials, o-status
#[tokio::test]
async fn a_host_that_refuses_the_credentials_stops_itself() {
    let server = Server::new();
    let repo = repo(&server).await;
    server.next("/a.pdf", Turn::Say(401, "who?"));
    let upload = repo.http().put(UPLOADS).send().await.unwrap();
    soon(async {
        while !repo.status().unauthorized {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(repo.http().put("/own").send().await.unwrap().accepted()).await.unwrap();
    let resting = repo.status().resting.remove(0);
    assert_eq!(resting.host.as_deref(), Some("https://uploads.example.com"));
    assert_eq!((resting.until, resting.unauthorized), (None, true));
    repo.credentials_renewed();
    soon(upload.accepted()).await.unwrap();
    assert!(!repo.status().unauthorized && repo.status().resting.is_empty());
}

// Rules: o-requests-headers
#[tokio::test]
async fn no_host_hears_the_credentials_of_another_and_unknown_ones_hear_nothing() {
    let server = Server::new();
    let repo = repo(&server).await;
    for target in [UPLOADS, "https://open.example.com/x?y", "https://API.example.com:443/v1/z", "/own"] {
        let _ = repo.http().put(target).send().await.unwrap();
    }
    emptied(&repo).await;
    let mut heard: Vec<_> = server
        .heard()
        .iter()
        .map(|heard| (heard.line.clone(), heard.header("authorization").map(str::to_owned)))
        .collect();
    heard.sort();
    let said =
        |line: &str, token: Option<&str>| (line.to_owned(), token.map(|token| format!("Bearer {token}")));
    assert_eq!(
        heard,
        [
            said("PUT /own", Some("own")),
            said("PUT /z", Some("own")),
            said("open.example.com PUT /x?y", None),
            said("uploads.example.com PUT /a.pdf", Some("theirs")),
        ]
    );
    assert!(server.heard().iter().all(|heard| heard.header("x-client") == Some("tea")));
    for target in
        ["https://evil.example.com/x", "https://uploads.example.com:8443/a", "http://uploads.example.com/a"]
    {
        for method in ["GET", "POST"] {
            let refused = repo.http().request(method, target).send().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unsupported, "{target}");
        }
    }
    assert_eq!(server.heard().len(), 4);
    let twice = Rest::at(API).host(Host::at(API)).transport(server.service());
    let refused = Repository::builder().store(Memory::new()).remote(twice).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

// Rules: o-requests
#[tokio::test]
async fn a_web_page_is_no_answer_unless_it_was_asked_for() {
    let server = Server::new();
    let repo = repo(&server).await;
    for _ in 0..2 {
        server.next("/form", Turn::Page);
    }
    let sent = repo.http().put("/form").header("Accept", "text/html").send().await.unwrap();
    assert_eq!(soon(sent.accepted()).await.unwrap().status, 200);
    let sent = repo.http().put("/form").send().await.unwrap();
    assert_eq!(soon(sent.accepted()).await.unwrap().status, 201, "the portal's page did not count");
    assert_eq!(server.heard().len(), 3);
}

// Rules: o-requests-edit, o-hosts
#[tokio::test]
async fn an_edit_sends_no_request_to_another_host() {
    let server = Server::new();
    let repo = repo(&server).await;
    server.next("/a.pdf", Turn::Say(422, "no"));
    let sent = repo.http().put(UPLOADS).send().await.unwrap();
    soon(sent.accepted()).await.unwrap_err();
    let seq = parked(&repo, 1).await[0].seq;
    for elsewhere in ["/a.pdf", "https://open.example.com/a.pdf"] {
        let edit = move |content: &mut RequestContent| content.target = elsewhere.into();
        let error = repo.outbox().edit_request(seq, edit).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("another host"), "{error}");
    }
    let edit = |content: &mut RequestContent| content.target = "https://uploads.example.com/b.pdf".into();
    repo.outbox().edit_request(seq, edit).await.unwrap();
    emptied(&repo).await;
    assert_eq!(server.done(), ["uploads.example.com PUT /b.pdf"]);
}
