//! What a remote pushes, by messages that the application gets and by a stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::core::Store;
use larder::{ErrorKind, Memory, Pushed, ReadPolicy, Repository, RowState, Runtime, Select, Strategy};

use crate::server::{Server, name, opened};
use crate::support::clock::{Clock, rest};
use crate::support::{Note, note, soon};

async fn here(repo: &Repository) -> Vec<(String, String)> {
    let rows = repo.reading(ReadPolicy::LocalOnly).get(Select::<Note>::all()).await.unwrap();
    rows.iter().map(|note| (note.id.clone(), note.text.clone())).collect()
}

/// Lets time pass until both have the same.
async fn alike(clock: &Clock, repo: &Repository, server: &Server) {
    for _ in 0..20 {
        if here(repo).await == server.notes().await {
            return;
        }
        clock.advance(Duration::from_millis(5)).await;
    }
    assert_eq!(here(repo).await, server.notes().await);
}

fn live(server: &Arc<Server>, store: &Arc<dyn Store>, clock: &Clock) -> larder::Builder {
    server.pushes.store(true, Ordering::SeqCst);
    server
        .builder(Arc::clone(store))
        .runtime(Arc::new(clock.clone()))
        .outbox(larder::OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(5)))
        .live()
}

// Rules: s-pushed, s-pending
#[tokio::test]
async fn what_is_pushed_is_merged_like_a_page() {
    let server = Server::telling(Memory::new()).await;
    server.fill(4).await;
    let repo = server.builder(opened(Memory::new()).await).paused().build().await.unwrap();
    repo.sync().await.unwrap();
    server.asked();
    for id in [0, 1] {
        drop(repo.upsert(&note(&name(id), "mine", 1)).await.unwrap());
    }
    let rows = [note(&name(0), "pushed", 2), note(&name(2), "pushed", 2), note(&name(8), "pushed", 2)];
    // Two rows are new or different, and what is queued for the third is put on what was pushed.
    assert_eq!(repo.pushed(Pushed::rows(rows)).await.unwrap(), 3);
    // One goes, and of the other it is noted that what is queued for it has no row there any more.
    assert_eq!(repo.pushed(Pushed::<Note>::deleted([name(1), name(3), name(99)])).await.unwrap(), 2);
    let texts: Vec<_> = here(&repo).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["mine", "mine", "pushed", "pushed"]);
    let state = repo.sync_state::<Note>(name(2)).await.unwrap().unwrap();
    assert_eq!(state.state, RowState::Synced, "nothing of it is sent back");
    assert_eq!(repo.safe_to_wipe().await.unwrap().entries, 2);
    assert!(server.asked().is_empty());
}

// Rules: s-pushed
#[tokio::test]
async fn a_hint_leads_to_a_pull() {
    let server = Server::telling(Memory::new()).await;
    server.fill(4).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    repo.sync().await.unwrap();
    server.write(&name(1), None).await;
    server.asked();
    assert_eq!(repo.pushed(Pushed::<Note>::hint()).await.unwrap(), 1);
    assert_eq!((server.asked(), here(&repo).await.len()), (vec!["changes Note".to_owned()], 3));
    server.write(&name(2), None).await;
    repo.pushed(Pushed::hint_of(Note::ID.eq(name(2)))).await.unwrap();
    assert_eq!(here(&repo).await.len(), 2);
}

// Rules: s-pushed, s-aside
#[tokio::test]
async fn of_json_that_can_not_be_read_the_rest_is_stored() {
    let server = Server::telling(Memory::new()).await;
    let repo = server.repo(opened(Memory::new()).await).await;
    let row = |id: &str| serde_json::json!({ "id": id, "text": "pushed", "stars": 1, "tag": null });
    let odd = serde_json::json!({ "id": "2", "text": 7, "stars": 1 });
    let error = repo.pushed(Pushed::<Note>::json([row("1"), odd, row("3")])).await.unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Serialization, Some("text")));
    assert_eq!(here(&repo).await.len(), 2);
    let many = (0..2_500).map(|id| note(&name(id), "pushed", 1));
    assert_eq!(repo.pushed(Pushed::rows(many)).await.unwrap(), 2_500);
}

// Rules: s-live
#[tokio::test]
async fn a_repository_that_listens_hears_every_change() {
    let server = Server::telling(Memory::new()).await;
    server.fill(4).await;
    let (store, clock) = (opened(Memory::new()).await, Clock::new());
    let repo = live(&server, &store, &clock).build().await.unwrap();
    alike(&clock, &repo, &server).await;
    server.write(&name(7), Some(note(&name(7), "new", 1))).await;
    server.write(&name(1), None).await;
    server.write(&name(7), Some(note(&name(7), "newer", 1))).await;
    alike(&clock, &repo, &server).await;
    assert!(server.asked().iter().all(|what| !what.starts_with("changes Note")), "nothing was pulled for it");
}

// Rules: s-live
#[tokio::test]
async fn it_goes_on_from_the_last_position_and_pulls_for_a_gap() {
    // The server remembers five changes; the client is away for four, and then for twenty.
    for missed in [2, 10] {
        let server = Server::telling(Memory::new().changes(5)).await;
        server.fill(4).await;
        let (store, clock) = (opened(Memory::new()).await, Clock::new());
        let repo = live(&server, &store, &clock).build().await.unwrap();
        alike(&clock, &repo, &server).await;
        server.write(&name(0), Some(note(&name(0), "heard", 1))).await;
        alike(&clock, &repo, &server).await;
        repo.close().await;
        for id in 0..missed {
            server.write(&name(id), None).await;
            server.write(&name(20 + id), Some(note(&name(20 + id), "missed", 1))).await;
        }
        server.asked();
        let repo = live(&server, &store, &clock).build().await.unwrap();
        alike(&clock, &repo, &server).await;
        let asked = server.asked();
        assert!(asked.contains(&"listen Note on".to_owned()));
        assert!(asked.iter().any(|what| what.ends_with(" Note") && what.starts_with("changes")), "{asked:?}");
        server.write(&name(50), Some(note(&name(50), "later", 1))).await;
        alike(&clock, &repo, &server).await;
    }
}

// Rules: s-live
#[tokio::test]
async fn it_listens_again_after_an_outage() {
    let server = Server::telling(Memory::new()).await;
    server.fill(4).await;
    server.offline.store(true, Ordering::SeqCst);
    let (store, clock) = (opened(Memory::new()).await, Clock::new());
    let repo = live(&server, &store, &clock).build().await.unwrap();
    clock.advance(Duration::from_millis(10)).await;
    assert!(here(&repo).await.is_empty());
    server.offline.store(false, Ordering::SeqCst);
    alike(&clock, &repo, &server).await;
    server.write(&name(1), None).await;
    alike(&clock, &repo, &server).await;
}

// Rules: s-live, s-aside
#[tokio::test]
async fn a_row_without_a_key_keeps_nobody_from_hearing_what_comes_after_it() {
    let server = Server::telling(Memory::new()).await;
    server.fill(4).await;
    server.misfits.lock().unwrap().insert(name(7));
    server.nameless.store(true, Ordering::SeqCst);
    let (store, clock) = (opened(Memory::new()).await, Clock::new());
    let repo = live(&server, &store, &clock).build().await.unwrap();
    alike(&clock, &repo, &server).await;
    server.asked();
    server.write(&name(7), Some(note(&name(7), "without a key", 1))).await;
    server.write(&name(8), Some(note(&name(8), "behind it", 1))).await;
    clock.advance(Duration::from_millis(10)).await;
    assert!(here(&repo).await.contains(&(name(8), "behind it".to_owned())));
    let asked = server.asked();
    assert!(asked.iter().all(|what| !what.starts_with("listen Note")), "the stream goes on: {asked:?}");
    assert!(
        asked.iter().any(|what| what.starts_with("changes Note")),
        "which row it was tells a pull: {asked:?}"
    );
    server.misfits.lock().unwrap().clear();
    repo.sync().await.unwrap();
    assert_eq!(here(&repo).await, server.notes().await);
}

/// How often it is listened to, and how often changes are pulled, in a while.
async fn asked_in_a_while(clock: &Clock, server: &Server) -> (usize, usize) {
    for _ in 0..20 {
        clock.advance(Duration::from_millis(5)).await;
    }
    let asked = server.asked();
    let count = |begins: &str| asked.iter().filter(|what| what.starts_with(begins)).count();
    (count("listen Note"), count("changes Note"))
}

// Rules: s-live
#[tokio::test]
async fn what_changed_before_a_stream_that_has_no_position_yet_is_pulled_each_time() {
    let server = Server::telling(Memory::new()).await;
    server.breaks.store(true, Ordering::SeqCst);
    let (store, clock) = (opened(Memory::new()).await, Clock::new());
    let repo = live(&server, &store, &clock).build().await.unwrap();
    assert!(asked_in_a_while(&clock, &server).await.0 > 2);
    // No stream that is listened to tells of it.
    server.write(&name(1), Some(note(&name(1), "new", 1))).await;
    server.breaks.store(false, Ordering::SeqCst);
    alike(&clock, &repo, &server).await;
}

// Rules: s-live
#[tokio::test]
async fn a_stream_that_breaks_off_goes_on_where_it_was_without_a_pull_each_time() {
    let server = Server::telling(Memory::new()).await;
    server.fill(1).await;
    let (store, clock) = (opened(Memory::new()).await, Clock::new());
    let repo = live(&server, &store, &clock).build().await.unwrap();
    alike(&clock, &repo, &server).await;
    server.write(&name(1), Some(note(&name(1), "heard", 1))).await;
    alike(&clock, &repo, &server).await;
    repo.close().await;
    server.asked();
    server.breaks.store(true, Ordering::SeqCst);
    let _repo = live(&server, &store, &clock).build().await.unwrap();
    let (listened, pulled) = asked_in_a_while(&clock, &server).await;
    assert!(listened > 2 && pulled == 1, "{listened} times, and {pulled} pulls");
}

// Rules: s-pushed, s-pending
#[tokio::test]
async fn what_is_still_to_be_created_is_not_gone_because_it_is_said_to_be() {
    let server = Server::telling(Memory::new()).await;
    let builder = server.builder(opened(Memory::new()).await).paused();
    let repo = builder.conflict_strategy::<Note>(Strategy::ServerWins).build().await.unwrap();
    drop(repo.upsert(&note("x", "mine", 1)).await.unwrap());
    assert_eq!(repo.pushed(Pushed::<Note>::deleted(["x"])).await.unwrap(), 0);
    repo.outbox().resume();
    soon(repo.outbox().settled()).await;
    assert_eq!(server.notes().await, [("x".to_owned(), "mine".to_owned())]);
}

// Rules: s-live
#[tokio::test]
async fn a_stream_that_breaks_off_again_and_again_is_listened_to_less_and_less_often() {
    let server = Server::telling(Memory::new()).await;
    server.breaks.store(true, Ordering::SeqCst);
    let (store, clock) = (opened(Memory::new()).await, Clock::new());
    let hour = Duration::from_secs(3600);
    let settings = larder::OutboxSettings::new().backoff(Duration::from_millis(1), hour);
    let repo = live(&server, &store, &clock).outbox(settings).build().await.unwrap();
    for _ in 0..400 {
        clock.advance(Duration::from_millis(1)).await;
    }
    let times = server.asked().into_iter().filter(|what| what.starts_with("listen Note")).count();
    assert!((8..=12).contains(&times), "{times} times in less than half a second");
    repo.close().await;
}

// Rules: s-live
#[tokio::test]
async fn behind_changes_without_positions_something_is_pulled_once() {
    let server = Server::telling(Memory::new()).await;
    server.fill(1).await;
    let (store, clock) = (opened(Memory::new()).await, Clock::new());
    let repo = live(&server, &store, &clock).build().await.unwrap();
    alike(&clock, &repo, &server).await;
    for placeless in [false, true] {
        server.placeless.store(placeless, Ordering::SeqCst);
        server.write(&name(1), Some(note(&name(1), if placeless { "b" } else { "a" }, 1))).await;
        alike(&clock, &repo, &server).await;
    }
    server.placeless.store(false, Ordering::SeqCst);
    for pulls in [1, 0] {
        server.asked();
        server.ends.send_replace(());
        assert_eq!(asked_in_a_while(&clock, &server).await, (1, pulls), "what comes next may not be all");
    }
}

// Rules: s-live
#[tokio::test]
async fn that_something_has_changed_is_heard_again_if_it_could_not_be_pulled() {
    let server = Server::telling(Memory::new()).await;
    server.fill(1).await;
    let (store, clock) = (opened(Memory::new()).await, Clock::new());
    let repo = live(&server, &store, &clock).build().await.unwrap();
    alike(&clock, &repo, &server).await;
    server.write(&name(1), Some(note(&name(1), "heard", 1))).await;
    alike(&clock, &repo, &server).await;
    server.hints.store(true, Ordering::SeqCst);
    *server.fails.lock().unwrap() = Some(("changes", ErrorKind::Http { status: 503 }, 503));
    server.write(&name(2), Some(note(&name(2), "hinted at", 1))).await;
    assert!(asked_in_a_while(&clock, &server).await.1 > 0);
    assert_eq!(here(&repo).await.len(), 2);
    *server.fails.lock().unwrap() = None;
    alike(&clock, &repo, &server).await;
}

// Rules: s-live
#[tokio::test]
async fn a_stream_that_was_heard_is_listened_to_again_without_a_long_wait() {
    let server = Server::telling(Memory::new()).await;
    let (store, clock) = (opened(Memory::new()).await, Clock::new());
    let hour = Duration::from_secs(3600);
    let settings = larder::OutboxSettings::new().backoff(Duration::from_millis(1), hour);
    let repo = live(&server, &store, &clock).outbox(settings).build().await.unwrap();
    server.breaks.store(true, Ordering::SeqCst);
    server.ends.send_replace(());
    asked_in_a_while(&clock, &server).await;
    server.breaks.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_secs(1)).await;
    clock.advance(Duration::from_secs(1)).await;
    server.write(&name(1), Some(note(&name(1), "heard", 1))).await;
    rest().await;
    assert_eq!(here(&repo).await.len(), 1);
    assert_eq!(repo.status().last_pulled, Some(clock.now()), "that was as good as a pull");
    server.asked();
    server.ends.send_replace(());
    rest().await;
    clock.advance(Duration::from_millis(1)).await;
    assert!(server.asked().contains(&"listen Note on".to_owned()));
}
