//! A damaged file with requests in its queue.
#![cfg(feature = "redb")]

use std::path::Path;
use std::sync::Arc;

use larder::rest::Rest;
use larder::{Damage, ErrorKind, Idempotency, MutationId, OnCorrupt, Redb, Repository, RequestSettings};
use rstest::rstest;

use crate::server::{Server, Turn};
use crate::support::flip;
use crate::{API, parked, quick, soon};

async fn open(file: &Path, server: &Arc<Server>) -> Repository {
    let rest = Rest::at(API).transport(Arc::clone(server).service());
    let builder = Repository::builder().store(Redb::at(file)).remote(rest).outbox(quick());
    builder.requests(RequestSettings::new()).paused().build().await.unwrap()
}

fn body(nth: usize) -> String {
    format!("<body of {nth}>").repeat(30 * (nth + 1))
}

/// Six requests, each in a lane of its own.
async fn filled(file: &Path, server: &Arc<Server>) -> Vec<MutationId> {
    let (repo, mut ids) = (open(file, server).await, Vec::new());
    for nth in 0..6 {
        let post = repo.http().post(format!("/keyed/{nth}")).body(body(nth)).lane(nth.to_string());
        ids.push(post.idempotency(Idempotency::KEYED).send().await.unwrap().id());
    }
    repo.close().await;
    ids
}

/// Alters one bit of every place where this text stands, if what comes behind it is as wanted.
fn spoil(file: &Path, text: &str, wanted: impl Fn(&[u8]) -> bool) {
    let bytes = std::fs::read(file).unwrap();
    let found = |at: &usize| {
        bytes[*at..].starts_with(text.as_bytes())
            && wanted(&bytes[at + text.len()..bytes.len().min(at + 200)])
    };
    let places: Vec<usize> = (0..bytes.len() - text.len()).filter(found).collect();
    assert!(!places.is_empty(), "{text}");
    flip(file, &places);
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn salvaged(repo: &Repository) -> Damage {
    // It may have done so by itself already; asking for it waits for it.
    repo.salvage().await.unwrap();
    repo.status().damage.expect("there is damage")
}

// Rules: d-salvage-requests, d-salvage
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_verify_go_out_as_they_were_made_and_one_without_its_body_waits() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let file = folder.path().join("app.redb");
    let ids = filled(&file, &server).await;
    // The row of one, in which its body is, and the entry of another.
    spoil(&file, "<body of 1>", |_| true);
    spoil(&file, "/keyed/2", |behind| !has(behind, "<body of 2>"));
    let repo = open(&file, &server).await;
    let damage = salvaged(&repo).await;
    assert_eq!((damage.rows, damage.entries), (6, 5), "{damage:?}");
    // Nothing is left to send it by, so the application is told.
    let unsent: Vec<&str> = damage.unsent.iter().map(|(model, _)| model.as_str()).collect();
    assert_eq!(unsent, ["larder::Request"]);
    assert_eq!(damage.unsent[0].1, larder::Key::Uuid(ids[2].0));
    repo.outbox().resume();
    let waits = parked(&repo, 1).await;
    soon(repo.outbox().settled()).await;
    let mut done = server.done();
    done.sort();
    let made = |nth: &usize| format!("POST /keyed/{nth} {}", body(*nth));
    assert_eq!(done, [0, 3, 4, 5].iter().map(made).collect::<Vec<_>>());
    assert_eq!(waits[0].id, ids[1]);
    let failure = waits[0].failure.as_ref().unwrap();
    assert!(failure.kind == ErrorKind::Unsupported && failure.message.contains("body"), "{failure:?}");
    // It stays what it is, whoever tries it again, until it is given up.
    repo.outbox().retry(waits[0].seq).await.unwrap();
    assert_eq!(parked(&repo, 1).await[0].id, ids[1]);
    repo.outbox().discard(waits[0].seq).await.unwrap();
    let found = repo.check().await.unwrap();
    assert!(repo.outbox().is_empty().await.unwrap() && found.is_sound());
    assert_eq!((server.done().len(), found.rows), (4, 0), "nothing of any request is left behind");
    repo.close().await;
}

/// A store whose damage is come across at once, and what becomes of it.
async fn watchful(file: &Path, server: &Arc<Server>, on_corrupt: OnCorrupt) -> Repository {
    let rest = Rest::at(API).transport(Arc::clone(server).service());
    let store = Redb::at(file).cache_size(0).on_corrupt(on_corrupt);
    let builder = Repository::builder().store(store).remote(rest).outbox(quick());
    builder.requests(RequestSettings::new()).paused().build().await.unwrap()
}

// Rules: d-salvage-requests, o-requests-lost
#[rstest]
#[case::by_a_salvage(OnCorrupt::Salvage)]
#[case::by_being_given_up(OnCorrupt::Fail)]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_entry_is_lost_is_told_of_and_leaves_nothing_behind(#[case] on_corrupt: OnCorrupt) {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let file = folder.path().join("app.redb");
    let repo = watchful(&file, &server, on_corrupt).await;
    let mut sent = Vec::new();
    for nth in 0..3 {
        let post = repo.http().post(format!("/keyed/{nth}")).body(body(nth)).lane(nth.to_string());
        sent.push(post.idempotency(Idempotency::KEYED).send().await.unwrap());
    }
    spoil(&file, "/keyed/1", |behind| !has(behind, "<body of 1>"));
    if on_corrupt == OnCorrupt::Salvage {
        assert_eq!(salvaged(&repo).await.unsent.len(), 1);
    } else {
        let unreadable = repo.outbox().unreadable().await.unwrap();
        assert_eq!((unreadable.len(), repo.check().await.unwrap().rows), (1, 3));
        repo.outbox().discard(unreadable[0].seq).await.unwrap();
    }
    let error = soon(sent.remove(1).accepted()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("lost by damage"), "{error}");
    // The others are as they were, their bodies with them.
    assert_eq!(repo.check().await.unwrap().rows, 2);
    repo.outbox().resume();
    for sent in sent {
        soon(sent.accepted()).await.unwrap();
    }
    assert_eq!((server.done().len(), repo.check().await.unwrap().rows), (2, 0));
    repo.close().await;
}

// Rules: o-requests-lost
#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_has_left_behind_goes_after_a_restart_and_what_is_refused_or_waits_stays() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let file = folder.path().join("app.redb");
    let repo = watchful(&file, &server, OnCorrupt::Fail).await;
    server.next("/keyed/0", Turn::Say(422, "no"));
    let sent = repo.http().post("/keyed/0").body(body(0)).lane("0").send().await.unwrap();
    repo.outbox().resume();
    soon(sent.accepted()).await.unwrap_err();
    repo.outbox().pause();
    for nth in 1..3 {
        drop(
            repo.http()
                .post(format!("/keyed/{nth}"))
                .body(body(nth))
                .lane(nth.to_string())
                .send()
                .await
                .unwrap(),
        );
    }
    repo.close().await;
    spoil(&file, "/keyed/1", |behind| !has(behind, "<body of 1>"));
    // It is salvaged by one who sends nothing, and so leaves everything as it is.
    let store = Redb::at(&file).cache_size(0);
    let repo = Repository::builder().store(store).requests(RequestSettings::new()).build().await.unwrap();
    assert_eq!((salvaged(&repo).await.unsent.len(), repo.check().await.unwrap().rows), (1, 3));
    repo.close().await;
    let repo = watchful(&file, &server, OnCorrupt::Salvage).await;
    let left = async || loop {
        let rows = repo.check().await.unwrap().rows;
        if rows == 2 {
            return;
        }
        tokio::task::yield_now().await;
    };
    soon(left()).await;
    let parked = parked(&repo, 1).await;
    repo.outbox().retry(parked[0].seq).await.unwrap();
    repo.outbox().resume();
    soon(repo.outbox().settled()).await;
    assert_eq!((server.done().len(), repo.check().await.unwrap().rows), (2, 0));
    repo.close().await;
}
