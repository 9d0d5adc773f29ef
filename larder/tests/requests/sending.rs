//! What is stored, what is sent at once, in which order and how often.

use larder::{ErrorKind, Happened, Idempotency, OutboxEvent, RequestSettings, WritePolicy};

use crate::server::{Server, Turn};
use crate::{builder, quick, repo, soon};

// Rules: o-requests, o-requests-order
#[tokio::test]
async fn what_was_asked_for_offline_is_sent_in_the_order_in_which_it_was_made() {
    let server = Server::new();
    server.down("api.example.com", true);
    let repo = repo(&server).await;
    for number in 0..5 {
        let sent = repo.http().post("/events?by=ada").json(&number).send().await.unwrap();
        assert!(sent.is_queued());
    }
    let removed = repo.http().delete("/drafts/7").send().await.unwrap();
    assert_eq!(repo.safe_to_wipe().await.unwrap().entries, 6);
    assert_eq!(server.heard().len(), 0);

    server.down("api.example.com", false);
    assert_eq!(soon(removed.accepted()).await.unwrap().status, 201);
    let mut expected: Vec<String> = (0..5).map(|number| format!("POST /events?by=ada {number}")).collect();
    expected.push("DELETE /drafts/7".to_owned());
    assert_eq!(server.done(), expected);
    assert!(soon(repo.outbox().settled()).await.pending == 0 && repo.outbox().is_empty().await.unwrap());
    let heard = server.heard();
    assert_eq!(heard[0].header("content-type"), Some("application/json"));
}

// Rules: o-requests
#[tokio::test]
async fn the_answer_comes_to_whoever_waits_for_it_with_status_headers_and_body() {
    let server = Server::new();
    let repo = repo(&server).await;
    let sent = repo.http().put("/profile").body("me").send().await.unwrap();
    let answer = soon(sent.accepted()).await.unwrap();
    assert_eq!((answer.status, answer.header("x-number")), (201, Some("1")));
    assert_eq!(answer.body.as_deref(), Some(&b"did PUT /profile"[..]));
    assert!(!format!("{answer:?}").contains("did"), "a body is nobody's business");
}

// Rules: o-requests
#[tokio::test]
async fn what_changes_nothing_is_never_stored_and_neither_is_what_is_excluded() {
    let server = Server::new();
    let settings = RequestSettings::new().exclude("/login").exclude("/a/b/");
    let repo = builder(&server, settings).paused().build().await.unwrap();
    for (method, target) in
        [("GET", "/x"), ("HEAD", "/x"), ("POST", "/login"), ("POST", "/login/2?x"), ("PUT", "/a/b/c")]
    {
        let sent = repo.http().request(method, target).send().await.unwrap();
        assert!(!sent.is_queued(), "{method} {target}");
        assert_eq!(sent.accepted().await.unwrap().status, 201);
    }
    assert!(repo.outbox().is_empty().await.unwrap());
    // A path is more than the beginning of a word, and without a list nothing is excluded.
    for target in ["/logins", "/a/bc", "/"] {
        assert!(repo.http().post(target).send().await.unwrap().is_queued(), "{target}");
    }
    server.down("api.example.com", true);
    let refused = repo.http().get("/x").send().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Offline);
    let refused = repo.http().post("/login").send().await.unwrap_err();
    assert_eq!((refused.kind(), repo.outbox().len().await.unwrap()), (ErrorKind::Offline, 3));
}

// Rules: o-requests
#[tokio::test]
async fn under_require_remote_nothing_is_stored() {
    let server = Server::new();
    let repo = builder(&server, RequestSettings::new()).paused().build().await.unwrap();
    let online = repo.writing(WritePolicy::RequireRemote);
    assert_eq!(online.http().post("/now").send().await.unwrap().accepted().await.unwrap().status, 201);
    server.next("/now", Turn::Say(422, "no"));
    let refused = online.http().post("/now").send().await.unwrap_err();
    assert_eq!((refused.status(), refused.body()), (Some(422), Some("no")));
    assert!(repo.outbox().is_empty().await.unwrap());
    let local = repo.writing(WritePolicy::LocalOnly).http().post("/now").send().await.unwrap_err();
    assert_eq!(local.kind(), ErrorKind::Unsupported);
}

// Rules: o-requests-order
#[tokio::test]
async fn a_lane_of_its_own_goes_beside_the_others() {
    let server = Server::new();
    let repo = repo(&server).await;
    server.next("/slow", Turn::Hang);
    let slow = repo.http().post("/slow").send().await.unwrap();
    let behind = repo.http().post("/behind").send().await.unwrap();
    let beside = repo.http().post("/beside").lane("uploads").send().await.unwrap();
    soon(beside.accepted()).await.unwrap();
    assert_eq!(server.done(), ["POST /beside"], "what is behind the slow one waits for it");
    server.go_on.notify_one();
    soon(slow.accepted()).await.unwrap();
    soon(behind.accepted()).await.unwrap();
    assert_eq!(server.done(), ["POST /beside", "POST /slow", "POST /behind"]);
}

// Rules: o-requests, o-retry-after
#[tokio::test]
async fn what_is_on_the_list_of_retries_stays_and_goes_again_with_the_same_key() {
    let server = Server::new();
    let settings = RequestSettings::new().declare("/", Idempotency::KEYED);
    let repo = builder(&server, settings).build().await.unwrap();
    for status in [408, 425, 429, 500, 502, 503, 504] {
        server.next("/events", Turn::Say(status, "later"));
    }
    server.next("/events", Turn::Later(503, 0));
    server.next("/events", Turn::LoseReply);
    let sent = repo.http().post("/events").body("once").send().await.unwrap();
    let id = sent.id();
    soon(sent.accepted()).await.unwrap();
    assert_eq!(server.done(), ["POST /events once"]);
    let heard = server.heard();
    assert_eq!(heard.len(), 10);
    for heard in heard {
        assert_eq!(heard.header("idempotency-key"), Some(format!("\"{id}\"").as_str()));
        assert_eq!(heard.body, "once");
    }
}

// Rules: o-requests
#[tokio::test]
async fn a_request_is_told_of_among_the_events_and_counts_in_the_status() {
    let server = Server::new();
    let repo = builder(&server, RequestSettings::new()).paused().build().await.unwrap();
    let mut events = repo.outbox().events();
    let sent = repo.http().post("/events?token=7").body("abc").send().await.unwrap();
    let status = soon(repo.status_changed(&repo.status())).await;
    assert_eq!(status.pending, 1);
    let queued = repo.outbox().list(0, 10).await.unwrap().remove(0);
    assert_eq!((queued.id, queued.maybe_sent, queued.parked), (sent.id(), false, None));
    let request = queued.request.unwrap();
    assert_eq!(
        (request.method.as_str(), request.target.as_str(), request.length),
        ("POST", "/events?token=7", 3)
    );
    repo.outbox().resume();
    soon(sent.accepted()).await.unwrap();
    let mut seen = Vec::new();
    while let Some(OutboxEvent::Mutation { what, .. }) = soon(events.next()).await {
        seen.push(what);
        if what == Happened::Accepted {
            break;
        }
    }
    assert_eq!(seen, [Happened::Queued, Happened::Sent { repeated: false }, Happened::Accepted]);
}

// Rules: o-requests, o-capacity, o-requests-memory
#[tokio::test]
async fn a_full_outbox_takes_no_request_and_drops_none() {
    let server = Server::new();
    let builder = builder(&server, RequestSettings::new().body_limit(4)).paused();
    let repo = builder.outbox(quick().capacity(2)).build().await.unwrap();
    let first = repo.http().post("/1").body("four").send().await.unwrap();
    let _ = repo.http().post("/2").send().await.unwrap();
    let full = repo.http().post("/3").send().await.unwrap_err();
    assert_eq!((full.kind(), repo.outbox().len().await.unwrap()), (ErrorKind::Full, 2));
    let long = repo.http().post("/4").body("five!").send().await.unwrap_err();
    assert_eq!(long.kind(), ErrorKind::Full);
    let told = long.to_string();
    assert!(told.contains("and 4 may be stored") && told.contains("body_limit"), "{told}");
    repo.outbox().resume();
    soon(first.accepted()).await.unwrap();
    soon(repo.outbox().settled()).await;
    assert_eq!(server.lines(), ["POST /1", "POST /2"]);
}

#[tokio::test]
async fn requests_have_to_be_asked_for_and_need_a_remote_that_takes_them() {
    let server = Server::new();
    let rest = larder::Rest::at(crate::API).transport(server.service());
    let plain = larder::Repository::builder().store(larder::Memory::new());
    let silent = plain.remote(rest).build().await.unwrap();
    let refused = silent.http().post("/x").send().await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("requests("), "{refused}");
    let alone = larder::Repository::builder().store(larder::Memory::new()).requests(RequestSettings::new());
    let refused = alone.build().await.unwrap().http().post("/x").send().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Offline);
    let memory = larder::Repository::builder()
        .store(larder::Memory::new())
        .remote(larder::Memory::new())
        .requests(RequestSettings::new());
    let refused = memory.build().await.unwrap().http().post("/x").send().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}
