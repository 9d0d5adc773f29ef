//! Requests and the accounts that made them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use larder::rest::{Credential, Rest};
use larder::{Idempotency, Memory, Repository, RequestSettings};
use rstest::rstest;
use tokio::sync::Notify;

use crate::disk::{Disk, opens};
use crate::server::Server;
use crate::support::gates::{Call, marks};
use crate::{API, quick, soon};

fn secret(account: &str) -> Credential {
    Credential::bearer(format!("s3cret-of-{account}"))
}

/// Who made each request, and with whose credentials it has come.
fn names(server: &Server) -> Vec<(String, String)> {
    let heard = server.heard().into_iter();
    let secret = |value: &str| value.trim_start_matches("Bearer s3cret-of-").to_owned();
    heard
        .map(|heard| (heard.body.clone(), secret(heard.header("authorization").unwrap_or_default())))
        .collect()
}

// Rules: o-accounts, o-requests, o-marked
#[rstest]
#[case::idempotent(Idempotency::Idempotent)]
#[case::keyed(Idempotency::KEYED)]
#[case::once(Idempotency::AtMostOnce)]
#[tokio::test]
async fn an_account_that_is_switched_between_scheduling_and_sending_sends_nothing(
    #[case] idempotency: Idempotency,
) {
    let (server, disk) = (Server::new(), Disk::default());
    let (store, faults) = opens(&disk, Memory::new());
    // They are of whoever is signed in on this device, whatever they are asked for.
    let signed_in = Arc::new(std::sync::Mutex::new("ada"));
    let known = Arc::clone(&signed_in);
    let rest =
        Rest::at(API).transport(Arc::clone(&server).service()).credentials(move |_: Option<Arc<str>>| {
            let account = *known.lock().unwrap();
            async move { Ok(secret(account)) }
        });
    let repo =
        Repository::builder().store(store).remote(rest).requests(RequestSettings::new()).outbox(quick());
    let repo = repo.account("ada").build().await.unwrap();
    // The read after the mark is the one before it is sent.
    let marked = AtomicBool::new(false);
    let held = faults.lock().unwrap().clone().unwrap().gates.hold(move |call| {
        marked.fetch_or(marks(call), Ordering::SeqCst);
        marked.load(Ordering::SeqCst) && matches!(call, Call::Load(..))
    });
    let _ = repo.http().post("/x").idempotency(idempotency).body("ada").send().await.unwrap();
    // The schedule has let it go, and its body is about to be read.
    soon(held.there.notified()).await;
    repo.sign_in("bob");
    *signed_in.lock().unwrap() = "bob";
    held.go.notify_one();
    let bobs =
        repo.http().post("/x").idempotency(idempotency).body("bob").lane("other").send().await.unwrap();
    soon(bobs.accepted()).await.unwrap();
    assert_eq!(names(&server), [("bob".into(), "bob".into())]);
    let left = repo.outbox().list(0, 9).await.unwrap();
    assert_eq!((left.len(), left[0].parked, left[0].account.as_deref()), (1, None, Some("ada")));
    // Nothing has left: what must not be repeated is as if it had never been looked at.
    assert!(idempotency != Idempotency::AtMostOnce || !left[0].maybe_sent);
    *signed_in.lock().unwrap() = "ada";
    repo.sign_in("ada");
    soon(repo.outbox().settled()).await;
    assert_eq!(names(&server)[1..], [("ada".into(), "ada".into())]);
    repo.close().await;
}

// Rules: o-accounts, o-requests
#[tokio::test]
async fn a_request_whose_credentials_are_being_fetched_goes_in_the_name_of_its_account() {
    let (server, asked, go_on) = (Server::new(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (told, waits) = (Arc::clone(&asked), Arc::clone(&go_on));
    let rest = Rest::at(API).transport(Arc::clone(&server).service()).credentials(
        move |account: Option<Arc<str>>| {
            told.fetch_add(1, Ordering::SeqCst);
            let waits = Arc::clone(&waits);
            async move {
                waits.notified().await;
                Ok(secret(account.as_deref().unwrap_or("nobody")))
            }
        },
    );
    let repo = Repository::builder().store(Memory::new()).remote(rest).requests(RequestSettings::new());
    let repo = repo.outbox(quick()).account("ada").build().await.unwrap();
    let sent = repo.http().post("/x").body("ada").send().await.unwrap();
    soon(async {
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    repo.sign_in("bob");
    go_on.notify_one();
    soon(sent.accepted()).await.unwrap();
    assert_eq!(names(&server), [("ada".into(), "ada".into())]);
    repo.close().await;
}
