//! Writes of rows that may be known by two keys become one only where nothing was written under the other key in between.

use std::sync::Arc;
use std::time::Duration;

use larder::core::Store;
use larder::{OutboxSettings, Repository, Uuid};

use super::*;
use crate::races::with_a_team;
use crate::support::Badge;
use crate::support::chaos::Faults;
use crate::support::gates::{Call, dequeues};

fn merging() -> OutboxSettings {
    let wait = Duration::from_millis(1);
    OutboxSettings::new().backoff(wait, 5 * wait)
}

/// A repository that sends nothing yet, in which a badge is queued.
async fn with_a_badge(server: &Server) -> (Repository, Arc<Faults>, Arc<Badge>) {
    let models = [Team::schema(), Member::schema(), Task::schema(), Seat::schema(), Badge::schema()];
    let opening = Opening { schemas: Arc::new(models), ..opening() };
    let disk = OpenStore::open(Box::new(Memory::new()), &opening).await.unwrap();
    let (store, faults) = Faulty::over(&disk, 0);
    let builder = builder(server).model::<Badge>().store(store).outbox(merging());
    let repo = builder.paused().build().await.unwrap();
    let badge = badge(&repo, "blue").await;
    (repo, faults, badge)
}

async fn badge(repo: &Repository, name: &str) -> Arc<Badge> {
    let number = repo.new_key(Badge::NUMBER).await.unwrap();
    let badge = Badge { number, name: name.into(), left: 0, right: 0 };
    repo.upsert(&badge).await.unwrap().into_row()
}

/// The badge under the key that the server has given.
async fn pulled(repo: &Repository) -> Arc<Badge> {
    let given = Uuid::from_u128(17);
    repo.reading(ReadPolicy::RemoteOnly).find::<Badge>(given).await.unwrap().unwrap()
}

async fn rename(repo: &Repository, badge: &Badge, name: &str) {
    drop(repo.update(badge, |badge| badge.name = name.into()).await.unwrap());
}

async fn queued(repo: &Repository) -> usize {
    repo.outbox().list(0, 99).await.unwrap().len()
}

// Rules: m-key-server-refs, o-coalesce-apart
#[tokio::test]
async fn a_write_under_one_key_goes_into_none_that_came_before_a_write_under_the_other() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_team(&server, merging(), None).await;
    let exchange = faults.gates.hold(dequeues);
    repo.outbox().resume();
    let meanwhile = async {
        let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
        server.offline(true);
        for (team, name) in [(&blue, "sky"), (&came, "azure"), (&blue, "navy"), (&came, "cyan")] {
            drop(repo.update(team, |team| team.name = name.into()).await.unwrap());
        }
        assert_eq!(repo.outbox().list(0, 9).await.unwrap().len(), 5);
        for name in ["teal", "cobalt"] {
            drop(repo.update(&came, |team| team.name = name.into()).await.unwrap());
        }
        assert_eq!(repo.outbox().list(0, 9).await.unwrap().len(), 5, "these are one");
    };
    exchange.during(meanwhile).await;
    server.offline(false);
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(server.rows::<Team>().await[0].name, "cobalt", "{:?}", server.seen());
}

// Rules: m-key-server-refs, o-coalesce-apart
#[rstest]
#[tokio::test]
async fn a_write_goes_into_none_of_before_a_restart_if_the_row_was_written_under_the_other_key_since(
    #[values(false, true)] read: bool,
) {
    let server = Server::default();
    let disk = OpenStore::open(Box::new(Memory::new()), &opening()).await.unwrap();
    let builder = |store: Arc<dyn Store>| builder(&server).store(store).paused();
    let hour = Duration::from_secs(3_600);
    let once = OutboxSettings::new().backoff(hour, hour);
    let repo = builder(Arc::clone(&disk)).outbox(once).build().await.unwrap();
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
    server.lose.store(i64::MAX, Ordering::Relaxed);
    repo.outbox().resume();
    while server.rows::<Team>().await.is_empty() {
        tokio::task::yield_now().await;
    }
    repo.outbox().pause();
    while repo.status().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    server.lose.store(0, Ordering::Relaxed);
    let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
    for (team, name) in [(&blue, "sky"), (&came, "azure")] {
        drop(repo.update(team, |team| team.name = name.into()).await.unwrap());
    }
    repo.close().await;
    let (store, faults) = Faulty::over(&disk, 0);
    let reading = faults.gates.hold(|call| matches!(call, Call::Outbox));
    let repo = builder(store).outbox(merging()).build().await.unwrap();
    soon(reading.there.notified()).await;
    if read {
        reading.go.notify_one();
        while repo.status().pending < 3 {
            tokio::task::yield_now().await;
        }
    }
    drop(repo.update(&blue, |team| team.name = "navy".into()).await.unwrap());
    assert_eq!(queued(&repo).await, 4);
    reading.go.notify_one();
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(server.rows::<Team>().await[0].name, "navy", "{:?}", server.seen());
}

// Rules: m-key-server-refs, o-coalesce-apart
#[tokio::test]
async fn nor_does_it_where_the_keys_do_not_tell_who_has_given_them() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_badge(&server).await;
    let exchange = faults.gates.hold(dequeues);
    repo.outbox().resume();
    let meanwhile = async {
        let came = pulled(&repo).await;
        repo.outbox().pause();
        for (badge, name) in [(&came, "sky"), (&blue, "azure"), (&came, "navy"), (&blue, "cyan")] {
            rename(&repo, badge, name).await;
        }
        assert_eq!(queued(&repo).await, 5);
        rename(&repo, &blue, "teal").await;
        assert_eq!(queued(&repo).await, 5, "these are one");
        rename(&repo, &came, "cobalt").await;
        assert_eq!(queued(&repo).await, 6);
    };
    exchange.during(meanwhile).await;
    repo.outbox().resume();
    settled(&repo).await;
    assert_eq!(server.rows::<Badge>().await[0].name, "cobalt", "{:?}", server.seen());
    assert_eq!(local::<Badge>(&repo).await.len(), 1);
}

// Rules: m-key-server-refs, o-coalesce-apart
#[tokio::test]
async fn nor_does_it_if_the_write_under_the_other_key_is_accepted_and_gone() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_badge(&server).await;
    let exchange = faults.gates.hold(dequeues);
    repo.outbox().resume();
    let meanwhile = async {
        let came = pulled(&repo).await;
        rename(&repo, &blue, "sky").await;
        drop(repo.delete(&came).await.unwrap());
        while queued(&repo).await > 2 {
            tokio::task::yield_now().await;
        }
        rename(&repo, &blue, "azure").await;
        assert_eq!(queued(&repo).await, 3, "what was deleted in between is there again");
    };
    exchange.during(meanwhile).await;
    settled(&repo).await;
    let there: Vec<String> = server.rows::<Badge>().await.into_iter().map(|badge| badge.name).collect();
    assert_eq!(there, ["azure"], "{:?}", server.seen());
}

// Rules: m-key-server-refs, o-coalesce-apart
#[tokio::test]
async fn nor_is_what_a_transaction_writes_under_both_keys_put_in_the_place_of_what_was_written_before() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_team(&server, merging(), None).await;
    let exchange = faults.gates.hold(dequeues);
    repo.outbox().resume();
    let meanwhile = async {
        let came = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
        repo.outbox().pause();
        drop(repo.update(&came, |team| team.name = "azure".into()).await.unwrap());
        let both = [
            Team { name: "navy".into(), ..(*blue).clone() },
            Team { name: "cyan".into(), ..(*came).clone() },
        ];
        repo.transaction(move |tx| both.iter().try_for_each(|team| tx.upsert(team).map(drop))).await.unwrap();
    };
    exchange.during(meanwhile).await;
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(server.rows::<Team>().await[0].name, "cyan", "{:?}", server.seen());
}

// Rules: o-coalesce
#[tokio::test]
async fn writes_of_rows_that_have_one_key_go_into_each_other_whatever_was_written_in_between() {
    let server = Server::default();
    let (repo, faults, first) = with_a_badge(&server).await;
    let second = badge(&repo, "second").await;
    repo.outbox().resume();
    settled(&repo).await;
    let mut rows = Vec::new();
    for badge in [&first, &second] {
        rows.push(repo.find::<Badge>(badge.number).await.unwrap().unwrap());
    }
    repo.outbox().pause();
    for name in ["sky", "azure", "navy"] {
        for row in &rows {
            rename(&repo, row, name).await;
        }
    }
    assert_eq!(queued(&repo).await, 2, "nothing was created");
    repo.outbox().resume();
    settled(&repo).await;
    // A third one has been sent, and not answered.
    let exchange = faults.gates.hold(dequeues);
    let third = badge(&repo, "third").await;
    soon(exchange.there.notified()).await;
    repo.outbox().pause();
    for name in ["teal", "cobalt", "cyan"] {
        for row in [&rows[0], &rows[1]] {
            rename(&repo, row, name).await;
        }
    }
    assert_eq!(queued(&repo).await, 3, "neither is the row that was created");
    rename(&repo, &third, "teal").await;
    rename(&repo, &rows[0], "indigo").await;
    assert_eq!(queued(&repo).await, 5, "one of them could be");
    exchange.go.notify_one();
    repo.outbox().resume();
    settled(&repo).await;
    let names: Vec<String> = server.rows::<Badge>().await.into_iter().map(|badge| badge.name).collect();
    assert_eq!(names, ["indigo", "cyan", "teal"]);
}

// Rules: o-coalesce
#[tokio::test]
async fn nor_do_rows_keep_each_other_apart_whose_keys_tell_that_none_of_them_was_given() {
    let server = Server::default();
    let (repo, faults, blue) = with_a_team(&server, merging().parallel(1), None).await;
    let red = repo.upsert(&team(&repo, "red", None).await).await.unwrap().into_row();
    let exchange = faults.gates.hold(dequeues);
    repo.outbox().resume();
    soon(exchange.there.notified()).await;
    repo.outbox().pause();
    for name in ["sky", "azure", "navy"] {
        for row in [&blue, &red] {
            drop(repo.update(row, |team| team.name = name.into()).await.unwrap());
        }
    }
    assert_eq!(queued(&repo).await, 4, "both are marked, and both were changed");
    exchange.go.notify_one();
    repo.outbox().resume();
    settled(&repo).await;
    at_peace(&repo, &server).await;
}
