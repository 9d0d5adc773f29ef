//! What has changed since the last pull.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder::core::DeltaScope;
use larder::{ErrorKind, Memory, ReadPolicy, Remark, Repository, Select};

use crate::server::{Server, name, opened};
use crate::support::{Note, User, note};

async fn here(repo: &Repository) -> Vec<(String, String)> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| (note.id.clone(), note.text.clone())).collect()
}

async fn pulled(memory: Memory, rows: usize) -> (Arc<Server>, Repository) {
    let server = Server::telling(memory).await;
    server.fill(rows).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    server.asked();
    (server, repo)
}

// Rules: s-delta, s-delete
#[tokio::test]
async fn changes_and_deletions_come_by_a_delta() {
    let (server, repo) = pulled(Memory::new(), 20).await;
    server.write(&name(3), None).await;
    server.write(&name(4), Some(note(&name(4), "new", 1))).await;
    server.write(&name(30), Some(note(&name(30), "new", 1))).await;
    let report = repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!((report.pulled, report.changed), (3, 3));
    assert_eq!(server.asked(), ["changes Note"]);
    assert_eq!(here(&repo).await, server.notes().await);
    let before = repo.coverage(Select::<Note>::all()).await.unwrap();
    let report = repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!((report.pulled, report.changed), (0, 0));
    assert!(
        repo.coverage(Select::<Note>::all()).await.unwrap() > before,
        "what is known is as fresh as the delta"
    );
}

// Rules: s-delta, s-resume
#[tokio::test]
async fn the_cursor_moves_with_each_page() {
    let (server, repo) = pulled(Memory::new().delta_page(4), 3).await;
    for id in 10..30 {
        server.write(&name(id), Some(note(&name(id), "new", 1))).await;
    }
    server.answers.store(2, Ordering::SeqCst);
    let error = repo.sync().model::<Note>().unwrap().await.unwrap_err();
    assert_eq!((error.kind(), here(&repo).await.len()), (ErrorKind::Offline, 11));
    server.answers.store(usize::MAX, Ordering::SeqCst);
    server.asked();
    let report = repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!((report.pulled, server.asked().len()), (12, 3));
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-delta, s-delete
#[tokio::test]
async fn a_deletion_spares_a_row_that_was_made_anew_during_the_pull() {
    let (server, repo) = pulled(Memory::new().delta_page(2), 6).await;
    for id in 0..2 {
        server.write(&name(id), Some(note(&name(id), "new", 1))).await;
    }
    for id in 4..6 {
        server.write(&name(id), None).await;
    }
    let mut events = repo.sync().model::<Note>().unwrap().events();
    events.next().await.expect("a page of what is new").unwrap();
    repo.delete::<Note>(name(4)).await.unwrap().accepted().await.unwrap();
    let _ = repo.upsert(&note(&name(4), "mine", 1)).await.unwrap().accepted().await.unwrap();
    events.next().await.expect("a page of what is gone").unwrap();
    let rows = here(&repo).await;
    assert!(rows.iter().any(|(id, text)| (id, text.as_str()) == (&name(4), "mine")), "{rows:?}");
    assert!(rows.iter().all(|(id, _)| *id != name(5)), "{rows:?}");
    while let Some(event) = events.next().await {
        event.unwrap();
    }
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-delta, s-delete
#[tokio::test]
async fn a_row_that_was_written_during_the_pull_and_deleted_by_others_after_that_is_gone_after_the_next() {
    let (server, repo) = pulled(Memory::new().delta_page(2), 6).await;
    server.brief.store(true, Ordering::SeqCst);
    for id in 0..3 {
        server.write(&name(id), Some(note(&name(id), "new", 1))).await;
    }
    let mut events = repo.sync().model::<Note>().unwrap().events();
    events.next().await.expect("a page of what is new").unwrap();
    let _ = repo.upsert(&note(&name(4), "mine", 1)).await.unwrap().accepted().await.unwrap();
    server.write(&name(4), None).await;
    while let Some(event) = events.next().await {
        event.unwrap();
    }
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-expired, s-delete
#[tokio::test]
async fn a_cursor_that_is_too_old_leads_to_a_pull_of_everything() {
    let (server, repo) = pulled(Memory::new().changes(5), 20).await;
    for id in 0..6 {
        server.write(&name(id), None).await;
    }
    let report = repo.sync().model::<Note>().unwrap().await.unwrap();
    assert!(matches!(report.remarks[..], [Remark::Expired { model: "Note" }]));
    assert_eq!(server.asked(), ["changes Note", "everything Note"]);
    assert_eq!(here(&repo).await, server.notes().await);
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!(server.asked(), ["changes Note"]);
}

// Rules: s-delta-changes
#[tokio::test]
async fn what_a_delta_does_not_tell_of_is_found_by_a_full_pull() {
    let (server, repo) = pulled(Memory::new(), 20).await;
    *server.scope.lock().unwrap() = DeltaScope::Changes;
    server.write(&name(3), None).await;
    server.write(&name(4), Some(note(&name(4), "new", 1))).await;
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!(here(&repo).await.len(), 20);
    repo.sync().model::<Note>().unwrap().full().await.unwrap();
    assert_eq!(here(&repo).await, server.notes().await);
    assert_eq!(server.asked(), ["changes Note", "everything Note"]);
}

// Rules: s-tag
#[tokio::test]
async fn an_answer_that_has_not_changed_costs_no_rows_and_is_as_good_as_new() {
    let server = Server::paging(100).await;
    server.tags.store(true, Ordering::SeqCst);
    server.fill(20).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    assert_eq!(repo.sync().model::<Note>().unwrap().await.unwrap().pulled, 20);
    let before = repo.coverage(Select::<Note>::all()).await.unwrap();
    for _ in 0..2 {
        let report = repo.sync().model::<Note>().unwrap().await.unwrap();
        assert_eq!((report.pulled, here(&repo).await.len()), (0, 20));
    }
    assert!(repo.coverage(Select::<Note>::all()).await.unwrap() > before);
    server.write(&name(3), None).await;
    assert_eq!(repo.sync().model::<Note>().unwrap().await.unwrap().pulled, 19);
    assert_eq!(here(&repo).await.len(), 19);
    // A read asks in the same way.
    let fresh = repo.reading(ReadPolicy::RemoteFirst);
    for _ in 0..2 {
        assert_eq!(fresh.get(Note::TEXT.eq("theirs")).await.unwrap().len(), 19);
    }
    // What is forgotten is asked for without conditions.
    repo.forget(Select::<Note>::all()).await.unwrap();
    assert_eq!(repo.sync().model::<Note>().unwrap().await.unwrap().pulled, 19);
}

// Rules: s-aside
#[tokio::test]
async fn a_row_that_can_not_be_read_spoils_no_other_and_is_asked_for_again() {
    let (server, repo) = pulled(Memory::new(), 3).await;
    server.misfits.lock().unwrap().insert(name(8));
    server.write(&name(8), Some(note(&name(8), "odd", 1))).await;
    server.write(&name(9), Some(note(&name(9), "even", 1))).await;
    let report = repo.sync().model::<Note>().unwrap().await.unwrap();
    let [Remark::Row { model: "Note", key: Some(key), error }] = &report.remarks[..] else {
        panic!("{:?}", report.remarks)
    };
    assert_eq!((key, error.kind()), (&name(8).into(), ErrorKind::Serialization));
    assert!(!report.is_complete());
    assert_eq!(here(&repo).await.len(), 4);
    // The cursor has passed it; it is not forgotten all the same.
    server.misfits.lock().unwrap().clear();
    server.asked();
    let report = repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!(server.asked(), ["key Note", "changes Note"]);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(here(&repo).await, server.notes().await);
    repo.sync().model::<Note>().unwrap().await.unwrap();
    assert_eq!(server.asked(), ["changes Note"]);
}

// Rules: s-aside, s-delete
#[tokio::test]
async fn a_row_without_a_readable_key_keeps_absence_from_proving_anything() {
    let (server, repo) = pulled(Memory::new(), 5).await;
    server.misfits.lock().unwrap().insert(name(2));
    server.nameless.store(true, Ordering::SeqCst);
    let report = repo.sync().model::<Note>().unwrap().full().await.unwrap();
    assert!(matches!(report.remarks[..], [Remark::Row { key: None, .. }]));
    assert_eq!(here(&repo).await.len(), 5, "it may be the one that can't be read");
    server.misfits.lock().unwrap().clear();
    server.asked();
    // Nobody could ask for it by its key.
    assert!(repo.sync().model::<Note>().unwrap().await.unwrap().is_complete());
    assert_eq!(server.asked(), ["everything Note"]);
}

// Rules: s-aside
#[tokio::test]
async fn rows_that_swap_what_is_unique_across_pages_are_all_stored() {
    let user = |id: &str, email: &str| User { id: id.into(), email: email.into() };
    let server = Server::paging(1).await;
    for (id, email) in [("1", "a"), ("2", "b"), ("3", "c")] {
        server.write_user(user(id, email)).await;
    }
    let repo = server.repo(opened(Memory::new()).await).await;
    repo.sync().model::<User>().unwrap().await.unwrap();
    for (id, email) in [("1", "x"), ("3", "a"), ("2", "c"), ("1", "b")] {
        server.write_user(user(id, email)).await;
    }
    let report = repo.sync().model::<User>().unwrap().await.unwrap();
    assert_eq!((report.changed, report.remarks.len()), (3, 0), "{report:?}");
    let emails = repo.reading(ReadPolicy::LocalOnly).get(Select::<User>::all()).await.unwrap();
    assert_eq!(emails.iter().map(|user| user.email.as_str()).collect::<Vec<_>>(), ["b", "c", "a"]);
}

// Rules: s-aside
#[tokio::test]
async fn a_row_that_breaks_what_is_unique_here_is_told_and_the_rest_is_stored() {
    let user = |id: &str, email: &str| User { id: id.into(), email: email.into() };
    let server = Server::paging(10).await;
    for (id, email) in [("1", "a"), ("2", "b"), ("3", "c")] {
        server.write_user(user(id, email)).await;
    }
    let repo = server.builder(opened(Memory::new()).await).paused().build().await.unwrap();
    drop(repo.upsert(&user("9", "b")).await.unwrap());
    let report = repo.sync().model::<User>().unwrap().await.unwrap();
    let [Remark::Row { model: "User", key: Some(key), error }] = &report.remarks[..] else {
        panic!("{:?}", report.remarks)
    };
    assert_eq!((key, error.kind()), (&"2".into(), ErrorKind::Conflict));
    assert!(error.to_string().contains('9'), "{error}");
    let ids = repo.reading(ReadPolicy::LocalOnly).get(Select::<User>::all()).await.unwrap();
    assert_eq!(ids.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), ["1", "3", "9"]);
    assert!(repo.coverage(Select::<User>::all()).await.unwrap().is_none(), "a row is missing");
}
