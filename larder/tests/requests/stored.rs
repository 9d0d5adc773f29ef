//! What lies in the store: everything that is needed to send it, and no credential.
#![cfg(feature = "redb")]

use std::path::Path;
use std::sync::Arc;

use larder::core::{Batch, Context, Op, Tail, ValueRef};
use larder::rest::{Credential, Rest};
use larder::{
    ErrorKind, ExportedMutation, Idempotency, Memory, ParkReason, Redb, Repository, RequestSettings,
};

use crate::disk::{Disk, life};
use crate::server::{Server, Turn};
use crate::{API, builder, parked, quick, soon};

async fn open(file: &Path, server: &Arc<Server>, account: &str) -> Repository {
    let rest = Rest::at(API).transport(Arc::clone(server).service()).credentials(
        |account: Option<Arc<str>>| async move {
            Ok(Credential::bearer(format!("s3cret-of-{}", account.as_deref().unwrap_or("nobody"))))
        },
    );
    let settings = RequestSettings::new().keep_header("X-Client");
    Repository::builder()
        .store(Redb::at(file))
        .remote(rest)
        .requests(settings)
        .outbox(quick())
        .account(account)
        .build()
        .await
        .unwrap()
}

// Rules: o-requests, o-requests-headers
#[tokio::test(flavor = "multi_thread")]
async fn requests_survive_a_restart_and_hold_no_credential() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let file = folder.path().join("app.redb");
    server.down("api.example.com", true);
    let repo = open(&file, &server, "ada").await;
    let body = vec![7; 100_000];
    for number in 0..3 {
        let post = repo.http().post(format!("/events/{number}")).header("X-Client", "tea");
        let _ = post.body(body.clone()).send().await.unwrap();
    }
    repo.outbox().drain().await;
    repo.close().await;
    let bytes = std::fs::read(&file).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("/events/2") && holds("X-Client"));
    assert!(!holds("s3cret") && !holds("uthorization"), "credentials are applied when it is sent");

    server.down("api.example.com", false);
    let repo = open(&file, &server, "ada").await;
    soon(repo.outbox().settled()).await;
    let heard = server.heard();
    assert_eq!(server.lines(), ["POST /events/0", "POST /events/1", "POST /events/2"]);
    for heard in heard {
        assert_eq!(heard.header("authorization"), Some("Bearer s3cret-of-ada"));
        assert_eq!((heard.header("x-client"), heard.body.len()), (Some("tea"), 100_000));
    }
    assert!(repo.outbox().is_empty().await.unwrap());
    let sound = repo.check().await.unwrap();
    assert!(sound.is_sound(), "{sound:?}");
    assert_eq!((sound.rows, sound.tombstones), (0, 0), "nothing of them is left");
    repo.close().await;
}

// Rules: o-requests-headers
#[tokio::test]
async fn a_header_that_may_hold_a_credential_is_refused_and_not_left_out() {
    let server = Server::new();
    let repo = builder(&server, RequestSettings::new().exclude("/login")).paused().build().await.unwrap();
    for name in ["Authorization", "cookie", "Proxy-Authorization", "X-Api-Key", "X-Whatever"] {
        let refused = repo.http().post("/x").header(name, "s3cret").send().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{name}");
        assert!(!refused.to_string().contains("s3cret"), "{refused}");
        // What is not stored may say what it likes.
        let _ = repo.http().post("/login").header(name, "s3cret").send().await.unwrap();
    }
    assert!(repo.outbox().is_empty().await.unwrap());
    for name in ["Authorization", "COOKIE", "Proxy-Authorization"] {
        let refused = builder(&server, RequestSettings::new().keep_header(name)).build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{name}");
    }
    for target in ["https://ada:s3cret@api.example.com/x", "x", "ftp://api.example.com/x", "/x y", ""] {
        let refused = repo.http().post(target).send().await.unwrap_err();
        assert!(refused.kind() == ErrorKind::Invalid && !refused.to_string().contains("s3cret"), "{refused}");
    }
    let refused = repo.http().request("PO ST", "/x").send().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let refused = repo.http().post("/x").header("Accept", "a\nb").send().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

// Rules: o-requests, o-accounts
#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_in_the_name_of_whoever_made_it() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let repo = open(&folder.path().join("app.redb"), &server, "ada").await;
    repo.outbox().pause();
    let _ = repo.http().post("/by/ada").send().await.unwrap();
    repo.sign_in("bob");
    let bobs = repo.http().post("/by/bob").lane("other").send().await.unwrap();
    repo.outbox().resume();
    soon(bobs.accepted()).await.unwrap();
    assert_eq!(server.lines(), ["POST /by/bob"]);
    repo.sign_in("ada");
    soon(repo.outbox().settled()).await;
    let heard = server.heard().pop().unwrap();
    assert_eq!(
        (heard.line.as_str(), heard.header("authorization")),
        ("POST /by/ada", Some("Bearer s3cret-of-ada"))
    );
    repo.close().await;
}

// Rules: o-requests, o-export
#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_the_whole_request() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let repo = open(&folder.path().join("app.redb"), &server, "ada").await;
    server.next("/x", Turn::Say(400, "no"));
    let sent = repo.http().post("/x").body("abc").idempotency(Idempotency::KEYED).send().await.unwrap();
    soon(sent.accepted()).await.unwrap_err();
    parked(&repo, 1).await;
    let mut lines = Vec::new();
    let keep = |line| {
        lines.push(line);
        Ok(())
    };
    assert_eq!(repo.outbox().export(keep).await.unwrap(), 1);
    let exported: ExportedMutation = serde_json::from_str(&lines[0]).unwrap();
    let row = exported.mutation.unwrap().row.unwrap();
    assert_eq!(row["target"], larder::Value::Str("/x".into()));
    assert_eq!(row["body"], larder::Value::Bytes((*b"abc").into()));
    assert!(!lines[0].contains("s3cret"));
    repo.close().await;
}

// Rules: o-requests-body
#[tokio::test]
async fn an_entry_holds_no_body_and_a_request_whose_body_is_lost_is_not_sent() {
    let (server, disk) = (Server::new(), Disk::default());
    server.down("api.example.com", true);
    let (repo, _) = life(&server, &disk, Memory::new()).await;
    for number in 0..2 {
        let _ = repo
            .http()
            .put(format!("/{number}"))
            .body(vec![7; 1000])
            .lane(number.to_string())
            .send()
            .await
            .unwrap();
    }
    let (store, cx) = (disk.store(), Context::new());
    let entries = store.outbox(&cx, 0, 10).await.unwrap().entries;
    let at = entries[0].schema.position("body").unwrap();
    for entry in &entries {
        assert!(matches!(entry.row.as_ref().unwrap().field(at), Ok(ValueRef::Bytes([]))));
    }
    // As a salvage does that has lost the row: it makes another one from the entry.
    let first = &entries[0];
    let (schema, key, row) = (first.schema, first.key.clone(), first.row.clone().unwrap());
    let meta = store.load(&cx, schema, &key).await.unwrap().unwrap().meta;
    let put = Op::Put { schema, key, row, meta, tail: Tail::At(first.seq) };
    store.commit(&cx, Batch { expect: Vec::new(), ops: vec![put] }).await.unwrap();
    server.down("api.example.com", false);
    let left = parked(&repo, 1).await.remove(0);
    assert_eq!((left.seq, left.parked), (first.seq, Some(ParkReason::Unsendable)));
    soon(repo.outbox().settled()).await;
    assert_eq!(server.lines(), ["PUT /1"]);
    repo.outbox().discard(left.seq).await.unwrap();
    assert!(repo.outbox().is_empty().await.unwrap());
}

// Rules: o-requests
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_makes_no_requests_any_more_keeps_those_that_there_are() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let file = folder.path().join("app.redb");
    server.down("api.example.com", true);
    let repo = open(&file, &server, "ada").await;
    let _ = repo.http().post("/x").send().await.unwrap();
    repo.close().await;
    server.down("api.example.com", false);
    let rest = Rest::at(API).transport(Arc::clone(&server).service());
    let repo = Repository::builder().store(Redb::at(&file)).remote(rest).build().await.unwrap();
    repo.outbox().drain().await;
    assert_eq!((server.lines().len(), repo.outbox().len().await.unwrap()), (0, 1));
    repo.close().await;
    let repo = open(&file, &server, "ada").await;
    soon(repo.outbox().settled()).await;
    assert_eq!(server.lines(), ["POST /x"]);
    repo.close().await;
}

// Rules: o-requests-body, o-requests-edit
#[tokio::test]
async fn an_entry_of_a_request_that_was_edited_holds_no_body_either() {
    let (server, disk) = (Server::new(), Disk::default());
    let (repo, _) = life(&server, &disk, Memory::new()).await;
    server.next("/refused", Turn::Say(422, "no"));
    server.next("/unknown", Turn::LoseReply);
    for path in ["/refused", "/unknown"] {
        let request = repo.http().post(path).body("x").lane(path).idempotency(Idempotency::AtMostOnce);
        soon(request.send().await.unwrap().accepted()).await.unwrap_err();
    }
    let left = parked(&repo, 2).await;
    repo.outbox().pause();
    for left in left {
        repo.outbox().edit_request(left.seq, |content| content.body = vec![7; 1000]).await.unwrap();
    }
    let entries = disk.store().outbox(&Context::new(), 0, 10).await.unwrap().entries;
    assert_eq!(entries.len(), 2);
    for entry in entries {
        let at = entry.schema.position("body").unwrap();
        assert!(matches!(entry.row.as_ref().unwrap().field(at), Ok(ValueRef::Bytes([]))));
    }
}
