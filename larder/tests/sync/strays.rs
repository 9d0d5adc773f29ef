//! Rows that could not be read, lists that go in circles, and pulls that stop in the middle: what is left comes later.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::core::{Batch, Context, DeltaScope, Op};
use larder::{
    Budget, ErrorKind, Memory, Model, ReadPolicy, Redb, Remark, Repository, RowState, Select, WritePolicy,
};
use rstest::rstest;

use crate::server::{Server, apart, name, opened};
use crate::support::{Note, User, note, soon};

const LONG: Duration = Duration::from_secs(60);

async fn here(repo: &Repository) -> Vec<(String, String)> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| (note.id.clone(), note.text.clone())).collect()
}

async fn sync(repo: &Repository) -> larder::Result<larder::SyncReport> {
    soon(repo.sync().model::<Note>().unwrap().into_future()).await
}

// Rules: s-aside, s-resume, s-delta
#[rstest]
#[tokio::test]
async fn a_row_that_could_not_be_read_comes_when_it_can_wherever_a_pull_was_broken_off(
    #[values(DeltaScope::Nothing, DeltaScope::ChangesAndDeletions)] scope: DeltaScope,
    #[values(false, true)] nameless: bool,
    #[values(false, true)] known_before: bool,
    #[values(0, 1, 2)] unread: usize,
) {
    for answers in 0..9 {
        let (server, repo) = apart(scope, 6).await;
        if known_before {
            sync(&repo).await.unwrap();
        }
        for id in 0..6 {
            server.write(&name(id), Some(note(&name(id), "new", 1))).await;
        }
        *server.misfits.lock().unwrap() = [name(1), name(4)].into();
        server.nameless.store(nameless, Ordering::SeqCst);
        server.answers.store(answers, Ordering::SeqCst);
        let broken = sync(&repo).await;
        server.answers.store(usize::MAX, Ordering::SeqCst);
        for _ in 0..unread {
            // It still can't be read, and is in the report each time.
            let report = sync(&repo).await.unwrap();
            assert!(!report.is_complete(), "broken off after {answers}: {broken:?}, then {report:?}");
        }
        if known_before && unread > 0 {
            assert_eq!(here(&repo).await.len(), 6, "what can't be read is not gone");
        }
        let known = repo.coverage(Select::<Note>::all()).await.unwrap();
        assert!(unread == 0 || known_before || known.is_none(), "what is not all here is not known");
        server.misfits.lock().unwrap().clear();
        let mut report = sync(&repo).await.unwrap();
        if !report.is_complete() {
            // It went on, and which row of the pages before it lacks is not known: the next one asks for all of them.
            assert!(nameless && unread == 0, "{report:?}");
            report = sync(&repo).await.unwrap();
        }
        assert!(report.is_complete(), "broken off after {answers}: {broken:?}, then {report:?}");
        assert_eq!(
            here(&repo).await,
            server.notes().await,
            "broken off after {answers}: {broken:?}, then {report:?}"
        );
        server.asked();
        assert!(sync(&repo).await.unwrap().is_complete());
        let again = server.asked().iter().filter(|asked| asked.starts_with("key")).count();
        assert_eq!(again, 0, "nothing is asked for twice that is here");
    }
}

// Rules: s-aside, s-resume
#[rstest]
#[tokio::test]
async fn what_could_not_be_read_is_told_by_the_pull_that_goes_on_after_a_restart(
    #[values(DeltaScope::Nothing, DeltaScope::ChangesAndDeletions)] scope: DeltaScope,
    #[values(false, true)] restarted_twice: bool,
) {
    let (server, _) = apart(scope, 8).await;
    let disk = opened(Memory::new()).await;
    server.nameless.store(true, Ordering::SeqCst);
    *server.misfits.lock().unwrap() = [name(0), name(1), name(3)].into();
    let breaks: &[usize] = if restarted_twice { &[1, 1] } else { &[2] };
    for answers in breaks {
        server.answers.store(*answers, Ordering::SeqCst);
        let repo = server.repo(Arc::clone(&disk)).await;
        assert_eq!(sync(&repo).await.unwrap_err().kind(), ErrorKind::Offline);
        repo.close().await;
    }
    server.answers.store(usize::MAX, Ordering::SeqCst);
    *server.misfits.lock().unwrap() = [name(7)].into();
    let repo = server.repo(Arc::clone(&disk)).await;
    let report = sync(&repo).await.unwrap();
    let (mut untold, mut said) = (0, Vec::new());
    for remark in &report.remarks {
        match remark {
            Remark::Row { key: None, error, .. } => said.push(error.to_string()),
            Remark::MoreRows { rows, .. } => untold += rows,
            Remark::Resumed { pages: 2, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((untold, said.len()), (2, 2), "three of before, and one of now: {report:?}");
    assert!(said.iter().any(|said| said.contains("it is none") && said.contains("broken off")), "{said:?}");
    assert!(!report.is_complete());
    assert!(repo.coverage(Select::<Note>::all()).await.unwrap().is_none());
    server.misfits.lock().unwrap().clear();
    let report = sync(&repo).await.unwrap();
    assert!(report.is_complete() && report.remarks.is_empty(), "{report:?}");
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-aside, s-resume
#[rstest]
#[case::with_their_findings(r#","rows":2,"why":"it is none""#, 1)]
#[case::of_a_former_version("", 0)]
#[tokio::test]
async fn a_pull_of_which_only_the_end_was_left_tells_what_the_one_after_it_finds(
    #[case] findings: &str,
    #[case] more: usize,
) {
    for stage in [r#"{"At":"0:000001"}"#, r#"{"Sweep":null}"#] {
        let (server, _) = apart(DeltaScope::Nothing, 4).await;
        let disk = opened(Memory::new()).await;
        let course = format!(
            r#"{{"source":"Pages","stage":{stage},"asked":0,"started":0,"pages":1,"rows":2,"unproven":false,
            "strays":{{"keys":[],"lost":true{findings}}}}}"#
        );
        let ops = vec![Op::Cursor { scope: "pull/Note/1".to_owned(), value: Some(course) }];
        disk.commit(&Context::new(), Batch { expect: Vec::new(), ops }).await.unwrap();
        let repo = server.repo(disk).await;
        let report = sync(&repo).await.unwrap();
        let went_on = matches!(report.remarks[0], Remark::Resumed { pages: 1, .. });
        assert!(went_on, "{report:?}");
        if stage.starts_with(r#"{"At"#) {
            let rows = &report.remarks[1..];
            assert!(matches!(rows[0], Remark::Row { key: None, .. }), "{report:?}");
            assert_eq!((rows.len(), report.is_complete()), (1 + more, false));
        } else {
            // The remote was asked for everything once more, and all of it could be read.
            assert_eq!((report.remarks.len(), report.is_complete()), (1, true), "{report:?}");
        }
    }
}

// Rules: s-paged
#[rstest]
#[case::pages(DeltaScope::Nothing)]
#[case::a_delta(DeltaScope::ChangesAndDeletions)]
#[tokio::test]
async fn a_list_that_goes_in_circles_is_an_error_and_is_begun_anew(#[case] scope: DeltaScope) {
    let (server, repo) = apart(scope, 7).await;
    for known_before in [false, true] {
        server.circles.store(true, Ordering::SeqCst);
        let error = sync(&repo).await.unwrap_err();
        assert!(error.to_string().contains("just given"), "{error}");
        server.circles.store(false, Ordering::SeqCst);
        let report = sync(&repo).await.unwrap();
        let resumed = report.remarks.iter().any(|remark| matches!(remark, Remark::Resumed { .. }));
        assert!(!resumed, "there is no place at which it could go on");
        assert_eq!(here(&repo).await, server.notes().await, "known before: {known_before}");
        for id in 0..7 {
            server.write(&name(id), Some(note(&name(id), "new", 1))).await;
        }
    }
}

// Rules: s-resume-refused
#[tokio::test]
async fn a_remote_that_never_goes_on_is_asked_anew_once() {
    let (server, repo) = apart(DeltaScope::Nothing, 7).await;
    server.forgets.store(true, Ordering::SeqCst);
    assert_eq!(sync(&repo).await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(server.asked().len(), 4, "two pages, and two pages anew");
    server.forgets.store(false, Ordering::SeqCst);
    sync(&repo).await.unwrap();
    assert_eq!(here(&repo).await, server.notes().await);
}

// Rules: s-until, s-delta
#[tokio::test]
async fn a_budget_stops_a_pull_of_changes_and_one_that_asks_for_rows_in_doubt() {
    let (server, repo) = apart(DeltaScope::ChangesAndDeletions, 6).await;
    sync(&repo).await.unwrap();
    for id in 0..6 {
        server.write(&name(id), Some(note(&name(id), "new", 1))).await;
    }
    let pages = |pages| repo.sync_until(LONG, Budget::unlimited().pages(pages)).model::<Note>().unwrap();
    let report = pages(1).await.unwrap();
    assert_eq!((report.pulled, report.models_left), (2, vec!["Note"]));
    let report = pages(9).await.unwrap();
    assert_eq!((report.pulled, report.models_left.len()), (4, 0));

    let (server, repo) = apart(DeltaScope::Nothing, 6).await;
    sync(&repo).await.unwrap();
    server.numbered.store(true, Ordering::SeqCst);
    server.write(&name(5), None).await;
    server.asked();
    let pages = |pages| repo.sync_until(LONG, Budget::unlimited().pages(pages)).model::<Note>().unwrap();
    // All pages are here, and whether the last row is gone is still to be asked.
    let report = pages(3).await.unwrap();
    assert_eq!((report.pulled, report.models_left, here(&repo).await.len()), (5, vec!["Note"], 6));
    assert!(server.asked().iter().all(|asked| !asked.starts_with("key")));
    let report = pages(9).await.unwrap();
    assert_eq!((report.models_left.len(), here(&repo).await.len()), (0, 5));
}

// Rules: s-tag, s-aside
#[tokio::test]
async fn an_answer_of_which_a_row_could_not_be_read_is_given_again_and_a_full_pull_takes_no_answer_for_known()
{
    let (server, repo) = apart(DeltaScope::Nothing, 4).await;
    server.page.store(9, Ordering::SeqCst);
    server.tags.store(true, Ordering::SeqCst);
    server.misfits.lock().unwrap().insert(name(2));
    sync(&repo).await.unwrap();
    server.misfits.lock().unwrap().clear();
    assert_eq!(sync(&repo).await.unwrap().pulled, 4);
    assert_eq!(here(&repo).await.len(), 4);
    server.asked();
    assert_eq!(sync(&repo).await.unwrap().pulled, 0, "nothing has changed");
    assert_eq!(server.asked(), ["page Note"]);
    let full = repo.sync().model::<Note>().unwrap().full();
    assert_eq!(full.await.unwrap().pulled, 4);
    assert_eq!(sync(&repo).await.unwrap().pulled, 0, "that was not forgotten");
}

// Rules: s-resync, s-resume
#[rstest]
#[tokio::test]
async fn a_resync_that_is_broken_off_anywhere_is_made_good_by_the_next_sync(
    #[values(DeltaScope::Nothing, DeltaScope::ChangesAndDeletions)] scope: DeltaScope,
) {
    for answers in 0..6 {
        let (server, repo) = apart(scope, 6).await;
        sync(&repo).await.unwrap();
        server.answers.store(answers, Ordering::SeqCst);
        let broken = repo.resync().model::<Note>().unwrap().await;
        server.answers.store(usize::MAX, Ordering::SeqCst);
        sync(&repo).await.unwrap();
        assert_eq!(here(&repo).await, server.notes().await, "broken off after {answers}: {broken:?}");
    }
}

// Rules: s-pull, c-detect
#[tokio::test]
async fn of_a_row_that_is_what_it_was_the_version_is_taken_over_and_that_the_remote_has_it() {
    let (server, repo) = apart(DeltaScope::Nothing, 2).await;
    sync(&repo).await.unwrap();
    // Somebody has written it as it was: that is another version all the same.
    server.write(&name(0), Some(note(&name(0), "theirs", 0))).await;
    let kept = repo.writing(WritePolicy::LocalOnly);
    drop(kept.upsert(&note(&name(1), "mine", 1)).await.unwrap());
    server.write(&name(1), Some(note(&name(1), "mine", 1))).await;
    sync(&repo).await.unwrap();
    assert_eq!(repo.sync_state::<Note>(name(1)).await.unwrap().unwrap().state, RowState::Synced);
    assert!(repo.status().last_pulled.is_some());
    server.asked();
    let row = repo.find::<Note>(name(0)).await.unwrap().unwrap();
    let written = repo.update(&row, |note| note.stars = 9).await.unwrap();
    soon(written.accepted()).await.unwrap();
    assert_eq!(server.asked(), [format!("update {}", name(0))], "nothing is in conflict");
}

// Rules: s-resume, s-aside
#[rstest]
#[case::how_far_a_pull_is("pull/Note/1")]
#[case::what_is_to_be_asked_for_again("strays/Note/1")]
#[tokio::test]
async fn a_note_that_can_not_be_read_leads_to_a_pull_of_everything(#[case] scope: &str) {
    let server = Server::telling(Memory::new()).await;
    server.fill(4).await;
    let disk = opened(Memory::new()).await;
    let repo = server.repo(Arc::clone(&disk)).await;
    sync(&repo).await.unwrap();
    let ops = vec![
        Op::Cursor { scope: scope.to_owned(), value: Some("nonsense".to_owned()) },
        Op::Remove { schema: Note::schema(), key: name(2).into() },
    ];
    disk.commit(&Context::new(), Batch { expect: Vec::new(), ops }).await.unwrap();
    server.asked();
    let full = repo.sync().model::<Note>().unwrap();
    let full = if scope.starts_with("pull") { full.full() } else { full };
    soon(full.into_future()).await.unwrap();
    assert!(server.asked().contains(&"everything Note".to_owned()));
    assert_eq!(here(&repo).await, server.notes().await);
    sync(&repo).await.unwrap();
    assert_eq!(server.asked(), ["changes Note"], "it is as if it had never been");
}

// Rules: s-aside
#[rstest]
#[case::its_key(true)]
#[case::a_field_with_an_index(false)]
#[tokio::test]
async fn a_row_with_something_too_long_for_the_store_is_told_of_and_spoils_no_other(#[case] key: bool) {
    let server = Server::telling(Memory::new()).await;
    let (short, long) = ("a".to_owned(), "b".repeat(2 << 20));
    server.write_user(User { id: short.clone(), email: short.clone() }).await;
    let odd = if key { User { id: long, email: "b".into() } } else { User { id: "b".into(), email: long } };
    server.write_user(odd.clone()).await;
    server.write_user(User { id: "c".into(), email: "c".into() }).await;
    let folder = tempfile::tempdir().unwrap();
    let repo = server.repo(opened(Redb::at(folder.path().join("app.redb"))).await).await;
    let report = repo.sync().model::<User>().unwrap().await.unwrap();
    let [Remark::Row { model: "User", key: Some(key), error }] = &report.remarks[..] else {
        panic!("{report:?}")
    };
    assert_eq!((key, error.kind()), (&odd.id.into(), ErrorKind::Invalid));
    assert!(error.to_string().len() < 1_000, "it is a line");
    let users = repo.reading(ReadPolicy::LocalOnly).get(Select::<User>::all()).await.unwrap();
    assert_eq!(users.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
}
