//! Requests that are no models: what is sent, what its answer means, and what is never sent.

use futures_util::future::join_all;
use larder_core::{Context, ErrorKind, Idempotency, MutationId, Request, Response, Result, RuntimeExt, Sent};

use crate::site::{Arrived, Reply};
use crate::trial::{Trial, Verdict, fails};

/// More than goes into one packet or one buffer.
const LONG: usize = 300_000;

impl Trial {
    fn request(&self, method: &str, target: &str) -> Request {
        Request {
            id: MutationId(self.runtime.uuid()),
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new().into(),
            idempotency: Idempotency::Idempotent,
            repeated: false,
        }
    }

    async fn forward(&self, request: &Request) -> Result<Response> {
        self.requests().admit(request)?;
        self.requests().forward(&self.cx, request).await
    }

    async fn answer(&self, request: &Request) -> Response {
        self.forward(request).await.unwrap_or_else(|error| panic!("{request:?} fails: {error:?}"))
    }

    /// The only request that has arrived.
    #[track_caller]
    fn only(&self) -> Arrived {
        let mut arrived = self.site().arrived();
        assert_eq!(arrived.len(), 1, "one request arrives, not {arrived:?}");
        arrived.remove(0)
    }
}

/// A request with a body.
fn with_body(request: Request, body: &[u8]) -> Request {
    Request { body: body.into(), ..request }
}

pub(super) async fn a_request_arrives_as_it_was_made(trial: Trial) -> Verdict {
    let request = with_body(trial.request("POST", "/site/events?kind=a%20b&empty="), b"opened");
    trial.answer(&request).await;
    let arrived = trial.only();
    assert_eq!(
        (arrived.method.as_str(), arrived.target.as_str()),
        ("POST", "/site/events?kind=a%20b&empty=")
    );
    assert_eq!((arrived.body.as_slice(), arrived.elsewhere), (&b"opened"[..], false));
    Verdict::Passed
}

pub(super) async fn every_method_goes(trial: Trial) -> Verdict {
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "REPORT"] {
        trial.answer(&trial.request(method, "/site/a")).await;
        assert_eq!(trial.only().method, method);
    }
    Verdict::Passed
}

pub(super) async fn any_body_arrives(trial: Trial) -> Verdict {
    let bytes: Vec<u8> = (0..=255).collect();
    let long: Vec<u8> = bytes.iter().copied().cycle().take(LONG).collect();
    for body in [&[][..], b"\0", b"{\"a\": 1}", b"\r\n\r\n", &bytes, &long] {
        let answer = trial.answer(&with_body(trial.request("PUT", "/site/a"), body)).await;
        assert!(trial.only().body == body, "a body of {} bytes arrives as another", body.len());
        assert!(answer.body.unwrap_or_default().as_ref() == body, "it comes back as another");
    }
    Verdict::Passed
}

pub(super) async fn headers_arrive(trial: Trial) -> Verdict {
    let mut request = with_body(trial.request("PUT", "/site/a"), b"x = 1");
    let headers =
        [("Content-Type", "application/toml"), ("If-Match", "\"7\""), ("X-Tag", "a"), ("x-tag", "b, c")];
    request.headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    trial.answer(&request).await;
    let arrived = trial.only();
    for (name, values) in
        [("content-type", &["application/toml"][..]), ("if-match", &["\"7\""]), ("x-tag", &["a", "b, c"])]
    {
        assert_eq!(arrived.header(name), values, "{name} among {:?}", arrived.headers);
    }
    Verdict::Passed
}

pub(super) async fn the_answer_is_given(trial: Trial) -> Verdict {
    let body = b"\0\xff made".to_vec();
    trial.site().next(Reply::new(201, body.clone()).header("X-Number", "7").header("Location", "/site/a/7"));
    let answer = trial.answer(&trial.request("POST", "/site/a")).await;
    assert_eq!((answer.status, answer.body.as_deref()), (201, Some(&body[..])));
    assert_eq!((answer.header("x-number"), answer.header("location")), (Some("7"), Some("/site/a/7")));
    Verdict::Passed
}

pub(super) async fn an_answer_may_have_no_body(trial: Trial) -> Verdict {
    trial.site().next(Reply::new(204, []));
    let answer = trial.answer(&trial.request("DELETE", "/site/a")).await;
    assert_eq!((answer.status, answer.body.unwrap_or_default().len()), (204, 0));
    Verdict::Passed
}

pub(super) async fn each_gets_its_own_answer(trial: Trial) -> Verdict {
    let asked = (0..16).map(|nth| {
        let body = format!("body {nth}");
        let request = with_body(trial.request("POST", &format!("/site/{nth}")), body.as_bytes());
        let trial = &trial;
        async move { (body, trial.answer(&request).await) }
    });
    for (body, answer) in join_all(asked).await {
        assert_eq!(answer.body.as_deref(), Some(body.as_bytes()));
    }
    let mut targets: Vec<String> = trial.site().arrived().into_iter().map(|arrived| arrived.target).collect();
    targets.sort();
    targets.dedup();
    assert_eq!(targets.len(), 16, "{targets:?}");
    Verdict::Passed
}

pub(super) async fn what_is_no_success_is_an_error(trial: Trial) -> Verdict {
    for (status, kind, transient) in [
        (400, ErrorKind::Rejected, false),
        (401, ErrorKind::Unauthorized, false),
        (403, ErrorKind::Rejected, false),
        (404, ErrorKind::NotFound, false),
        (409, ErrorKind::Conflict, false),
        (412, ErrorKind::Conflict, false),
        (422, ErrorKind::Rejected, false),
        (429, ErrorKind::Http { status: 429 }, true),
        (500, ErrorKind::Http { status: 500 }, true),
        (501, ErrorKind::Http { status: 501 }, false),
        (503, ErrorKind::Http { status: 503 }, true),
    ] {
        trial.site().next(Reply::new(status, *b"{\"why\":\"so\"}"));
        let error = fails(trial.forward(&trial.request("POST", "/site/a")).await, kind);
        assert_eq!(error.is_transient(), transient, "{status}: {error:?}");
        assert_eq!((error.status(), error.sent()), (Some(status), Sent::Answered), "{error:?}");
        assert_eq!(error.body(), Some("{\"why\":\"so\"}"), "{error:?}");
    }
    Verdict::Passed
}

pub(super) async fn a_wait_that_is_asked_for_is_told(trial: Trial) -> Verdict {
    trial.site().next(Reply::new(503, []).header("Retry-After", "7"));
    let error = trial.forward(&trial.request("POST", "/site/a")).await.expect_err("no success");
    assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(7), "{error:?}");
    trial.site().next(Reply::new(503, []));
    let error = trial.forward(&trial.request("POST", "/site/a")).await.expect_err("no success");
    assert_eq!(error.retry_after(), None, "{error:?}");
    Verdict::Passed
}

pub(super) async fn a_repeated_delete_that_finds_nothing_is_done(trial: Trial) -> Verdict {
    for status in [404, 410] {
        let first = trial.request("DELETE", "/site/a");
        trial.site().next(Reply::new(status, []));
        fails(trial.forward(&first).await, ErrorKind::NotFound);
        trial.site().next(Reply::new(status, []));
        let again = Request { repeated: true, ..first };
        assert_eq!(trial.answer(&again).await.status, status);
        trial.site().next(Reply::new(status, []));
        let put = Request { repeated: true, ..trial.request("PUT", "/site/a") };
        fails(trial.forward(&put).await, ErrorKind::NotFound);
    }
    Verdict::Passed
}

pub(super) async fn it_is_sent_once(trial: Trial) -> Verdict {
    for status in [200, 202, 400, 401, 404, 408, 409, 425, 429, 500, 502, 503, 504] {
        trial.site().next(Reply::new(status, []));
        drop(trial.forward(&with_body(trial.request("PUT", "/site/a"), b"once")).await);
        let arrived = trial.site().arrived();
        assert_eq!(arrived.len(), 1, "a request that is answered {status} is sent {} times", arrived.len());
    }
    Verdict::Passed
}

pub(super) async fn the_key_is_the_same_at_a_repeat(trial: Trial) -> Verdict {
    let request = Request { idempotency: Idempotency::KEYED, ..trial.request("POST", "/site/a") };
    if let Err(error) = trial.requests().admit(&request) {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        fails(trial.forward(&request).await, ErrorKind::Invalid);
        assert!(trial.site().arrived().is_empty(), "what is refused is sent");
        return Verdict::Refused("the remote is told no key".into());
    }
    trial.answer(&request).await;
    let first = trial.only().key.expect("a key goes out");
    assert!(first.contains(&request.id.to_string()), "{first} is not the identity of the request");
    trial.answer(&Request { repeated: true, ..request }).await;
    assert_eq!(trial.only().key, Some(first), "the key of a repeat");
    let other = Request { idempotency: Idempotency::KEYED, ..trial.request("POST", "/site/a") };
    trial.answer(&other).await;
    assert!(trial.only().key.is_some_and(|key| key.contains(&other.id.to_string())), "another has its own");
    Verdict::Passed
}

pub(super) async fn admission_sends_nothing(trial: Trial) -> Verdict {
    let request = with_body(trial.request("POST", "/site/a"), b"later");
    for _ in 0..3 {
        trial.requests().admit(&request).expect("it can be sent");
    }
    trial.answer(&request).await;
    assert_eq!(trial.only().body, b"later");
    Verdict::Passed
}

pub(super) async fn what_can_not_be_sent_is_refused(trial: Trial) -> Verdict {
    let mut unfit: Vec<Request> =
        ["", "PO ST", "POST\r\n", "P\u{f6}ST"].map(|method| trial.request(method, "/site/a")).into();
    unfit.extend(
        ["", "site/a", "/site/a b", "/site/a\r\nHost: evil"].map(|target| trial.request("POST", target)),
    );
    unfit.extend([("", "a"), ("X Tag", "a"), ("X-Tag", "a\r\nX-Other: b"), ("X-Tag", "\0")].map(
        |(name, value)| Request {
            headers: vec![(name.to_owned(), value.to_owned())],
            ..trial.request("POST", "/site/a")
        },
    ));
    for request in unfit {
        fails(trial.requests().admit(&request), ErrorKind::Invalid);
        // Whoever does not ask first gets no further.
        let error = fails(trial.requests().forward(&trial.cx, &request).await, ErrorKind::Invalid);
        assert_eq!(error.sent(), Sent::Never, "{error:?}");
        assert!(trial.site().arrived().is_empty(), "{request:?} can't be sent, and is");
    }
    Verdict::Passed
}

pub(super) async fn a_host_that_is_not_known_is_refused(trial: Trial) -> Verdict {
    for target in ["https://stranger.example.net/site/a", "ftp://stranger.example.net/site/a"] {
        let request = trial.request("POST", target);
        let refusal = trial.requests().admit(&request).expect_err("a stranger's host");
        assert!(matches!(refusal.kind(), ErrorKind::Unsupported | ErrorKind::Invalid), "{refusal:?}");
        let error = fails(trial.requests().forward(&trial.cx, &request).await, refusal.kind());
        assert_eq!(error.sent(), Sent::Never, "{error:?}");
    }
    let secret = trial.request("POST", "https://me:s3cret@stranger.example.net/site/a");
    let refusal = trial.requests().admit(&secret).expect_err("a stranger's host").to_string();
    assert!(!refusal.contains("s3cret"), "{refusal}");
    assert!(trial.site().arrived().is_empty(), "something is sent for a host that is not known");
    Verdict::Passed
}

pub(super) async fn another_host_is_told_apart(trial: Trial) -> Verdict {
    let admit = |target: &str| trial.requests().admit(&trial.request("POST", target)).expect("a known host");
    assert_eq!(admit("/site/a"), None, "the host of the rows");
    let Some(other) = trial.site().other().map(str::to_owned) else {
        return Verdict::Refused("sends to no other host".into());
    };
    let [one, two] = ["site/a", "site/b?c=d"].map(|path| format!("{other}/{path}"));
    assert!(admit(&one).is_some(), "another host is taken for that of the rows");
    assert_eq!(admit(&one), admit(&two), "one host has two names");
    trial.answer(&with_body(trial.request("PUT", &two), b"there")).await;
    let arrived = trial.only();
    assert!(arrived.elsewhere, "{arrived:?} is for another host");
    assert_eq!((arrived.target.as_str(), arrived.body.as_slice()), ("/site/b?c=d", &b"there"[..]));
    // What it answers concerns no other host.
    trial.site().next(Reply::new(503, []).header("Retry-After", "3600"));
    drop(trial.forward(&trial.request("PUT", &one)).await);
    assert!(trial.only().elsewhere);
    trial.answer(&trial.request("PUT", "/site/a")).await;
    assert!(!trial.only().elsewhere);
    Verdict::Passed
}

pub(super) async fn what_was_withdrawn_is_not_sent(trial: Trial) -> Verdict {
    let cx = Context::new();
    cx.cancellation.cancel();
    let error = trial.requests().forward(&cx, &trial.request("POST", "/site/a")).await;
    assert_eq!(fails(error, ErrorKind::Cancelled).sent(), Sent::Never);
    assert!(trial.site().arrived().is_empty(), "what was withdrawn is sent");
    Verdict::Passed
}
