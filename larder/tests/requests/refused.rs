//! What the server refuses, and what may have arrived: kept for a decision.

use larder::{ErrorKind, Idempotency, ParkReason, PermanentFailure, RequestContent, RequestSettings};

use crate::server::{Server, Turn};
use crate::{builder, emptied, parked, repo, soon};

// Rules: o-requests-refused
#[tokio::test]
async fn a_refused_request_is_kept_with_the_answer_and_its_lane_goes_on() {
    let server = Server::new();
    let repo = repo(&server).await;
    server.next("/orders", Turn::Say(422, "no such dish"));
    let refused = repo.http().post("/orders").body("soup").send().await.unwrap();
    let next = repo.http().post("/bill").send().await.unwrap();
    let error = soon(refused.accepted()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status(), error.body()),
        (ErrorKind::Rejected, Some(422), Some("no such dish"))
    );
    soon(next.accepted()).await.unwrap();

    let left = parked(&repo, 1).await.remove(0);
    assert_eq!(left.parked, Some(ParkReason::Refused));
    let failure = left.failure.unwrap();
    assert_eq!(
        (failure.status, failure.body.as_deref(), left.attempts),
        (Some(422), Some("no such dish"), 1)
    );
    assert_eq!(left.request.unwrap().target, "/orders");
    assert_eq!((repo.status().parked, repo.status().conflicts), (1, 0));
    assert!(repo.check().await.unwrap().is_sound(), "{:?}", repo.check().await);

    // It goes again as another request, at the end: the server may have kept its refusal under the former key.
    repo.outbox().pause();
    repo.outbox().retry(left.seq).await.unwrap();
    let again = repo.outbox().list(0, 9).await.unwrap().remove(0);
    assert_eq!((again.attempts, again.maybe_sent), (0, false), "that one has not been sent");
    repo.outbox().resume();
    emptied(&repo).await;
    assert_eq!(server.done(), ["POST /bill", "POST /orders soup"]);
    let keys: Vec<_> = server
        .heard()
        .iter()
        .filter(|heard| heard.body == "soup")
        .map(|heard| heard.header("idempotency-key").unwrap().to_owned())
        .collect();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
}

// Rules: o-requests-refused
#[tokio::test]
async fn what_is_left_of_a_refused_request_can_be_discarded() {
    let server = Server::new();
    let repo = repo(&server).await;
    for _ in 0..3 {
        server.next("/x", Turn::Say(400, "no"));
        let sent = repo.http().post("/x").send().await.unwrap();
        soon(sent.accepted()).await.unwrap_err();
    }
    let left = parked(&repo, 3).await;
    repo.outbox().discard(left[1].seq).await.unwrap();
    assert_eq!(parked(&repo, 2).await.len(), 2);
    let cleared = repo.outbox().clear(|_| {}).await.unwrap();
    assert_eq!((cleared.discarded, repo.outbox().len().await.unwrap()), (2, 0));
    assert!(repo.check().await.unwrap().is_sound());
}

// Rules: o-requests-refused
#[tokio::test]
async fn on_demand_a_refused_request_stops_its_lane() {
    let server = Server::new();
    let settings = RequestSettings::new().on_refusal(PermanentFailure::Park);
    let repo = builder(&server, settings).build().await.unwrap();
    server.next("/1", Turn::Say(409, "no"));
    let first = repo.http().post("/1").send().await.unwrap();
    let _ = repo.http().post("/2").send().await.unwrap();
    let beside = repo.http().post("/3").lane("beside").send().await.unwrap();
    soon(first.accepted()).await.unwrap_err();
    soon(beside.accepted()).await.unwrap();
    let left = parked(&repo, 1).await.remove(0);
    assert_eq!(left.parked, Some(ParkReason::Rejected), "a 409 is no conflict of rows");
    let status = soon(repo.outbox().settled()).await;
    assert_eq!((status.parked, status.blocked), (1, 1));
    assert_eq!(server.done(), ["POST /3"]);
    repo.outbox().retry(left.seq).await.unwrap();
    emptied(&repo).await;
    assert_eq!(server.done(), ["POST /3", "POST /1", "POST /2"]);
}

// Rules: o-requests-once, o-idempotency
#[tokio::test]
async fn a_post_whose_answer_was_lost_is_parked_and_goes_again_by_hand_alone() {
    let server = Server::new();
    let repo = repo(&server).await;
    server.next("/payments", Turn::LoseReply);
    let sent = repo.http().post("/payments").send().await.unwrap();
    let error = soon(sent.accepted()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    let left = parked(&repo, 1).await.remove(0);
    assert_eq!((left.parked, left.maybe_sent), (Some(ParkReason::Uncertain), true));
    repo.outbox().drain().await;
    assert_eq!(server.done(), ["POST /payments"]);
    *server.forgetful.lock().unwrap() = true;
    repo.outbox().retry(left.seq).await.unwrap();
    emptied(&repo).await;
    assert_eq!(server.done().len(), 2, "it was told to");
}

// Rules: o-requests-once
#[tokio::test]
async fn what_never_left_is_no_uncertain_request() {
    let server = Server::new();
    let repo = repo(&server).await;
    for _ in 0..3 {
        server.next("/payments", Turn::Unreachable);
    }
    server.next("/payments", Turn::Say(503, ""));
    let sent = repo.http().post("/payments").send().await.unwrap();
    soon(sent.accepted()).await.unwrap();
    assert_eq!(server.done(), ["POST /payments"]);
}

// Rules: o-requests-once
#[tokio::test]
async fn of_a_repeated_request_a_conflict_is_uncertain_and_a_missing_row_was_deleted() {
    let server = Server::new();
    let repo = repo(&server).await;
    // The first attempt did it; what a repeat is answered does not say so.
    server.next("/rows/1", Turn::LoseReply);
    server.next("/rows/1", Turn::Say(412, "other version"));
    let sent = repo.http().put("/rows/1").header("If-Match", "\"1\"").send().await.unwrap();
    assert_eq!(soon(sent.accepted()).await.unwrap_err().status(), Some(412));
    let left = parked(&repo, 1).await.remove(0);
    assert_eq!(left.parked, Some(ParkReason::Uncertain));
    repo.outbox().discard(left.seq).await.unwrap();

    server.next("/rows/2", Turn::LoseReply);
    server.next("/rows/2", Turn::Say(404, "gone"));
    let sent = repo.http().delete("/rows/2").send().await.unwrap();
    assert_eq!(soon(sent.accepted()).await.unwrap().status, 404);
    // At the first attempt nobody knows what it means.
    server.next("/rows/3", Turn::Say(404, "what?"));
    let sent = repo.http().delete("/rows/3").send().await.unwrap();
    assert_eq!(soon(sent.accepted()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

// Rules: o-requests-once
#[tokio::test]
async fn a_keyed_request_whose_first_attempt_is_still_under_way_waits_for_it() {
    let server = Server::new();
    let settings = RequestSettings::new().declare("/jobs", Idempotency::KEYED);
    let repo = builder(&server, settings).build().await.unwrap();
    server.next("/jobs", Turn::LoseReply);
    server.next("/jobs", Turn::Say(409, "in progress"));
    let sent = repo.http().post("/jobs").send().await.unwrap();
    soon(sent.accepted()).await.unwrap();
    assert_eq!((server.done().len(), server.heard().len()), (1, 3));
}

// Rules: o-requests-once, o-key-life
#[tokio::test]
async fn a_key_that_the_server_may_have_forgotten_is_not_sent_again() {
    let server = Server::new();
    let repo = repo(&server).await;
    server.next("/jobs", Turn::LoseReply);
    let forgotten = Idempotency::Keyed { life: std::time::Duration::ZERO };
    let sent = repo.http().post("/jobs").idempotency(forgotten).send().await.unwrap();
    soon(sent.accepted()).await.unwrap_err();
    assert_eq!(parked(&repo, 1).await[0].parked, Some(ParkReason::Uncertain));
    assert_eq!(server.heard().len(), 1);
    let probe = repo.http().post("/jobs").idempotency(Idempotency::Probe).send().await.unwrap_err();
    assert_eq!(probe.kind(), ErrorKind::Unsupported, "there is nothing to ask for");
}

// Rules: o-credentials
#[tokio::test]
async fn refused_credentials_stop_everything_and_park_nothing() {
    let server = Server::new();
    let repo = repo(&server).await;
    server.next("/x", Turn::Say(401, "who?"));
    let sent = repo.http().post("/x").send().await.unwrap();
    soon(async {
        while !repo.status().unauthorized {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(repo.status().parked, 0);
    repo.credentials_renewed();
    soon(sent.accepted()).await.unwrap();
}

// Rules: o-requests-edit, o-requests-refused, o-requests-body
#[tokio::test]
async fn a_refused_request_is_edited_and_goes_again_under_another_key() {
    let server = Server::new();
    let repo = repo(&server).await;
    server.next("/a", Turn::Say(422, "too short"));
    let sent = repo.http().put("/a").body("x").lane("one").send().await.unwrap();
    soon(sent.accepted()).await.unwrap_err();
    let left = parked(&repo, 1).await.remove(0);
    let edit = |content: &mut RequestContent| {
        assert_eq!((content.method.as_str(), content.body.as_slice()), ("PUT", &b"x"[..]));
        content.target = "/a?long".into();
        content.headers = vec![("Content-Type".into(), "text/plain".into())];
        content.body = b"longer".to_vec();
    };
    repo.outbox().edit_request(left.seq, edit).await.unwrap();
    emptied(&repo).await;
    assert_eq!(server.done(), ["PUT /a?long longer"]);
    let [first, second] = [0, 1].map(|nth| server.heard().remove(nth));
    assert_ne!(first.header("idempotency-key"), second.header("idempotency-key"));
    assert_eq!(second.header("content-type"), Some("text/plain"));
}

// Rules: o-requests-edit, o-requests-once, o-requests-order
#[tokio::test]
async fn a_request_that_stops_its_lane_is_edited_in_its_place() {
    let server = Server::new();
    let repo = repo(&server).await;
    server.next("/pay", Turn::LoseReply);
    let sent = repo.http().post("/pay").body("1").send().await.unwrap();
    soon(sent.accepted()).await.unwrap_err();
    let left = parked(&repo, 1).await.remove(0);
    let behind = repo.http().post("/next").send().await.unwrap();
    let mut status = repo.status();
    while status.blocked != 1 {
        status = soon(repo.status_changed(&status)).await;
    }
    assert_eq!(server.done(), ["POST /pay 1"], "one of unknown outcome keeps its lane waiting");
    let edit = |content: &mut RequestContent| content.body = b"2".to_vec();
    repo.outbox().edit_request(left.seq, edit).await.unwrap();
    soon(behind.accepted()).await.unwrap();
    assert_eq!(server.done(), ["POST /pay 1", "POST /pay 2", "POST /next"]);
}

// Rules: o-requests-edit, o-requests-headers
#[tokio::test]
async fn what_an_edit_can_not_make_of_a_request_is_refused_and_changes_nothing() {
    let server = Server::new();
    let settings = RequestSettings::new().body_limit(8);
    let repo = builder(&server, settings).build().await.unwrap();
    server.next("/a", Turn::Say(422, "no"));
    let sent = repo.http().put("/a").body("x").send().await.unwrap();
    soon(sent.accepted()).await.unwrap_err();
    let seq = parked(&repo, 1).await[0].seq;
    type Edit = fn(&mut RequestContent);
    let edits: [(Edit, ErrorKind, &str); 6] = [
        (|content| content.method = "GET".into(), ErrorKind::Invalid, "changes nothing"),
        (|content| content.target = "nowhere".into(), ErrorKind::Invalid, "/path"),
        (|content| content.target = "https://x.example".into(), ErrorKind::Unsupported, "Rest::host"),
        (|content| content.headers = vec![("X-Who".into(), "me".into())], ErrorKind::Invalid, "keep_header"),
        (|content| content.headers = vec![("".into(), "me".into())], ErrorKind::Invalid, "header"),
        (|content| content.body = vec![0; 9], ErrorKind::Full, "9 bytes, and 8 may be stored"),
    ];
    for (edit, kind, why) in edits {
        let error = repo.outbox().edit_request(seq, edit).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let error = repo.outbox().edit_request(99, |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(parked(&repo, 1).await[0].seq, seq);
    repo.outbox().retry(seq).await.unwrap();
    emptied(&repo).await;
    assert_eq!(server.done(), ["PUT /a x"]);
}
