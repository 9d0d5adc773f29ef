//! What was stored once is still read: `golden/requests-N.redb` holds requests as the N-th form of them was stored.
//! `cargo xtask fixtures` writes today's; those of former forms are never written again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use larder::core::runtime::BoxFuture;
use larder::rest::{Host, Rest};
use larder::{Idempotency, ParkReason, Redb, Repository, RequestSettings, Runtime, Timestamp, TokioRuntime};

use crate::server::{Server, Turn};
use crate::{API, parked, quick, soon};

/// The form that is stored today.
const FILE: &str = "requests-1.redb";

/// Set by `cargo xtask fixtures`.
const WRITE: &str = "LARDER_FIXTURES";

/// When the file is written: what may have been sent then is repeated for as long as the server knows its key.
const WRITTEN: &str = "2026-11-26T12:00:00Z";

/// A runtime whose wall clock stands still.
#[derive(Debug)]
struct At(TokioRuntime, Timestamp);

impl Runtime for At {
    fn now(&self) -> Timestamp {
        self.1
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.0.spawn(name, task);
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.0.blocking(name, work);
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.0.in_place(name, work);
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests/golden").join(FILE)
}

/// Opens the file so long after it was written.
async fn open(file: &Path, server: &Arc<Server>, after: Duration) -> Repository {
    let now = WRITTEN.parse::<Timestamp>().unwrap() + after;
    let rest = Rest::at(API).host(Host::at("https://uploads.example.com"));
    Repository::builder()
        .runtime(Arc::new(At(TokioRuntime::current().unwrap(), now)))
        .store(Redb::at(file))
        .remote(rest.transport(Arc::clone(server).service()))
        .requests(RequestSettings::new())
        .outbox(quick())
        .account("ada")
        .build()
        .await
        .unwrap()
}

/// One that was refused, one of unknown outcome, and two that were not sent.
async fn write(file: &Path) {
    let server = Server::new();
    let repo = open(file, &server, Duration::ZERO).await;
    server.next("/refused", Turn::Say(422, "no"));
    server.next("/uncertain", Turn::LoseReply);
    for path in ["/refused", "/uncertain"] {
        let sent = repo.http().post(path).body(path).lane(path).send().await.unwrap();
        soon(sent.accepted()).await.unwrap_err();
    }
    server.down("api.example.com", true);
    server.down("uploads.example.com", true);
    let keyed = repo.http().patch("/keyed?a=b").json(&[1]).idempotency(Idempotency::KEYED);
    let _ = keyed.header("Accept", "text/plain").send().await.unwrap();
    let _ = repo.http().put("https://uploads.example.com/a.pdf").body("%PDF").send().await.unwrap();
    repo.compact().await.unwrap();
    repo.close().await;
}

/// A copy of the golden file.
fn copy(folder: &tempfile::TempDir) -> PathBuf {
    let file = folder.path().join("app.redb");
    std::fs::copy(golden(), &file).unwrap();
    file
}

// Rules: o-requests
#[tokio::test(flavor = "multi_thread")]
async fn golden_requests() {
    if std::env::var_os(WRITE).is_some() {
        let _ = std::fs::remove_file(golden());
        write(&golden()).await;
    }
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let file = copy(&folder);
    let repo = open(&file, &server, Duration::from_secs(3_600)).await;
    soon(repo.outbox().settled()).await;
    let left = parked(&repo, 2).await;
    let why: Vec<_> =
        left.iter().map(|left| (left.request.as_ref().unwrap().target.as_str(), left.parked)).collect();
    assert_eq!(why, [("/refused", Some(ParkReason::Refused)), ("/uncertain", Some(ParkReason::Uncertain))]);
    assert_eq!(left[0].failure.as_ref().unwrap().body.as_deref(), Some("no"));
    for left in left {
        repo.outbox().retry(left.seq).await.unwrap();
    }
    soon(repo.outbox().settled()).await;
    let mut done = server.done();
    done.sort();
    let expected = [
        "PATCH /keyed?a=b [1]",
        "POST /refused /refused",
        "POST /uncertain /uncertain",
        "uploads.example.com PUT /a.pdf %PDF",
    ];
    assert_eq!(done, expected);
    let heard = server.heard();
    let keyed = heard.iter().find(|heard| heard.line.starts_with("PATCH")).unwrap();
    assert_eq!(
        (keyed.header("content-type"), keyed.header("accept")),
        (Some("application/json"), Some("text/plain"))
    );
    assert!(repo.check().await.unwrap().is_sound());
    repo.close().await;
}

// Rules: o-requests, o-key-life
#[tokio::test(flavor = "multi_thread")]
async fn a_golden_request_whose_key_the_server_has_forgotten_waits_for_a_decision() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let repo = open(&copy(&folder), &server, 2 * Idempotency::KEY_LIFE).await;
    soon(repo.outbox().settled()).await;
    let left = parked(&repo, 3).await;
    let keyed = left.iter().find(|left| left.request.as_ref().unwrap().target == "/keyed?a=b").unwrap();
    assert_eq!(keyed.parked, Some(ParkReason::Uncertain));
    assert_eq!(server.done(), ["uploads.example.com PUT /a.pdf %PDF"]);
    repo.close().await;
}
