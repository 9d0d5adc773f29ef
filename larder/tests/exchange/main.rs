//! Keys that the server gives are exchanged everywhere, in the transaction that records the answer.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

#[path = "../support/mod.rs"]
mod support;

mod club;
mod deleted;
mod giving_up;
mod graphs;
mod heard;
mod held;
mod merging;
mod naming;
mod natural;
mod races;
mod restarts;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder::core::{OpenStore, Opening, Query, Schema};
use larder::{
    ErrorKind, Key, Many, Memory, Model, One, ReadPolicy, Redb, RowState, TokioRuntime, WritePolicy,
};
use rstest::rstest;
use support::chaos::Faulty;
use support::{settled, soon};

use club::{Member, Seat, Server, Task, Team, at_peace, builder, local, member, memory, seat, task, team};

// Rules: m-key-server-refs, o-dependencies
#[rstest]
#[case::memory(false)]
#[case::redb(true)]
#[tokio::test]
async fn a_chain_that_was_created_offline_arrives_with_given_keys(#[case] durable: bool) {
    let server = Server::default();
    let folder = tempfile::tempdir().unwrap();
    let repo = match durable {
        true => builder(&server).store(Redb::at(folder.path().join("club.redb"))).build().await.unwrap(),
        false => memory(&server).await,
    };
    server.offline(true);
    let root = repo.upsert(&team(&repo, "root", None).await).await.unwrap().into_row();
    let team = repo.upsert(&team(&repo, "blue", Some(root.number)).await).await.unwrap().into_row();
    let mut ada = member(&repo, "Ada", Some(team.number)).await;
    let bob = repo.upsert(&member(&repo, "Bob", Some(team.number)).await).await.unwrap().into_row();
    ada.friends = Many::to([bob.number]);
    let ada = repo.upsert(&ada).await.unwrap();
    let first = repo.upsert(&task("first", ada.number)).await.unwrap();
    let seated = repo.upsert(&seat(team.number, bob.number)).await.unwrap();
    let _ = repo.update(&bob, |bob| bob.name = "Bobby".into()).await.unwrap();
    server.offline(false);
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let ada = ada.accepted().await.unwrap();
    let blue = repo.find::<Team>(team.number).await.unwrap().unwrap();
    assert_eq!(ada.team.as_ref().map(|team| *team.id()), Some(blue.number));
    assert_eq!(blue.parent.as_ref().map(|team| *team.id()), Some(17), "the root came first");
    assert_eq!(*first.accepted().await.unwrap().member.id(), ada.number);
    let seated = seated.accepted().await.unwrap();
    assert_eq!((*seated.team.id(), *seated.member.id()), (blue.number, *ada.friends.ids().next().unwrap()));
}

// Rules: m-key-server-refs
#[tokio::test]
async fn what_is_queued_and_names_the_row_no_more_learns_the_key_as_well() {
    let server = Server::default();
    let repo = memory(&server).await;
    server.offline(true);
    let [blue, red] = [team(&repo, "blue", None).await, team(&repo, "red", None).await];
    let _ = repo.upsert_many(&[blue.clone(), red.clone()]).await.unwrap();
    let ada = repo.upsert(&member(&repo, "Ada", Some(blue.number)).await).await.unwrap().into_row();
    // What is queued says blue, and the row does not.
    let _ = repo.update(&ada, |ada| ada.team = Some(One::to(red.number))).await.unwrap();
    let gone = repo.upsert(&member(&repo, "Bob", Some(blue.number)).await).await.unwrap().into_row();
    let _ = repo.delete(&*gone).await.unwrap();
    server.offline(false);
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let red = repo.find::<Team>(red.number).await.unwrap().unwrap();
    assert_eq!(local::<Member>(&repo).await[0].team.as_ref().map(|team| *team.id()), Some(red.number));
}

// Rules: m-key-server-refs, o-crash
#[tokio::test]
async fn after_a_crash_at_any_step_everything_learns_the_key() {
    // The replies that are lost before the application is killed, and the requests that are answered after.
    for (lose, budget) in [(0, 0), (1, 0), (1, 1), (0, 1), (2, 2), (0, 2), (1, 3), (0, 3)] {
        let server = Server::default();
        let folder = tempfile::tempdir().unwrap();
        let open = || builder(&server).store(Redb::at(folder.path().join("club.redb"))).build();
        let repo = open().await.unwrap();
        server.offline(true);
        let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap().into_row();
        let ada = repo.upsert(&member(&repo, "Ada", Some(blue.number)).await).await.unwrap().into_row();
        let _ = repo.upsert(&task("first", ada.number)).await.unwrap();
        let _ = repo.upsert(&seat(blue.number, ada.number)).await.unwrap();
        server.lose.store(lose, Ordering::Relaxed);
        server.budget.store(budget, Ordering::Relaxed);
        server.offline(false);
        repo.outbox().drain().await;
        repo.close().await;
        server.budget.store(-1, Ordering::Relaxed);
        let repo = open().await.unwrap();
        settled(&repo).await;
        at_peace(&repo, &server).await;
        assert_eq!(server.rows::<Team>().await.len(), 1, "it was created once");
        assert_eq!(local::<Seat>(&repo).await.len(), 1);
    }
}

// Rules: m-key-server-refs
#[tokio::test]
async fn a_pull_may_be_faster_than_the_answer() {
    let server = Server::default();
    let repo = memory(&server).await;
    server.lose.store(1, Ordering::Relaxed);
    server.budget.store(1, Ordering::Relaxed);
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap();
    repo.outbox().drain().await;
    repo.outbox().pause();
    server.budget.store(-1, Ordering::Relaxed);
    let pulled = repo.reading(ReadPolicy::RemoteOnly).find::<Team>(17).await.unwrap().unwrap();
    assert_eq!(local::<Team>(&repo).await.len(), 2, "it has come by a pull as well");
    let ada = repo.upsert(&member(&repo, "Ada", Some(blue.number)).await).await.unwrap().into_row();
    let bob = repo.upsert(&member(&repo, "Bob", Some(17)).await).await.unwrap().into_row();
    let _ = repo.update(&pulled, |team| team.parent = Some(One::to(17))).await.unwrap();
    let _ = repo.upsert(&seat(17, bob.number)).await.unwrap();
    let _ = repo.upsert(&seat(blue.number, bob.number)).await.unwrap();
    repo.outbox().resume();
    assert_eq!(blue.accepted().await.unwrap().number, 17);
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let teams = local::<Team>(&repo).await;
    assert_eq!((teams.len(), teams[0].name.as_str(), &teams[0].parent), (1, "blue", &Some(One::to(17))));
    assert_eq!(repo.find::<Member>(ada.number).await.unwrap().unwrap().team, Some(One::to(17)));
    assert_eq!(local::<Seat>(&repo).await.len(), 1);
}

// Rules: m-key-server-refs
#[tokio::test]
async fn rows_that_are_kept_here_learn_the_key_as_well() {
    let server = Server::default();
    let repo = memory(&server).await;
    server.offline(true);
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap();
    let kept = member(&repo, "Ada", Some(blue.number)).await;
    let kept = repo.writing(WritePolicy::LocalOnly).upsert(&kept).await.unwrap().into_row();
    server.offline(false);
    let blue = blue.accepted().await.unwrap();
    let kept = repo.find::<Member>(kept.number).await.unwrap().unwrap();
    assert_eq!(kept.team, Some(One::to(blue.number)));
    assert_eq!(repo.sync_state::<Member>(kept.number).await.unwrap().unwrap().state, RowState::Local);
    // Under `RequireRemote` as well.
    let online = repo.writing(WritePolicy::RequireRemote);
    let red = team(&repo, "red", None).await;
    let _ = repo.writing(WritePolicy::LocalOnly).upsert(&red).await.unwrap();
    let bob = member(&repo, "Bob", Some(red.number)).await;
    let bob = repo.writing(WritePolicy::LocalOnly).upsert(&bob).await.unwrap().into_row();
    let refused = online.upsert(&Member { name: "Bobby".into(), ..(*bob).clone() }).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let given = online.upsert(&Team { name: "rouge".into(), ..red }).await.unwrap().number;
    assert_eq!(given, 18);
    assert_eq!(repo.find::<Member>(bob.number).await.unwrap().unwrap().team, Some(One::to(18)));
}

// Rules: m-key-server-refs
#[tokio::test]
async fn writes_that_come_in_between_are_not_left_out() {
    for seed in 0..20 {
        write_in_between(seed).await;
    }
}

/// Writers refer to a row while its key is exchanged; the store takes its time now and then, as the seed says.
async fn write_in_between(seed: u64) {
    let server = Server::default();
    let disk = OpenStore::open(Box::new(Memory::new()), &opening()).await.unwrap();
    let (store, _) = Faulty::over(&disk, seed);
    let repo = builder(&server).store(Arc::clone(&store)).build().await.unwrap();
    let mut awaited = Vec::new();
    for round in 0..4 {
        let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap();
        let writers: Vec<_> = (0..4)
            .map(|nth| {
                let (repo, number) = (repo.clone(), blue.number);
                tokio::spawn(async move {
                    for _ in 0..3 {
                        let ada = member(&repo, &format!("{round}/{nth}"), Some(number)).await;
                        let ada = repo.upsert(&ada).await.unwrap().into_row();
                        let _ = repo.upsert(&seat(number, ada.number)).await.unwrap();
                    }
                })
            })
            .collect();
        awaited.push(blue);
        for writer in writers {
            writer.await.unwrap();
        }
    }
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(local::<Seat>(&repo).await.len(), 4 * 12, "seed {seed}");
    assert!(store.outbox(&larder::core::Context::new(), 0, 9).await.unwrap().entries.is_empty());
}

// Rules: m-key-server-refs
#[tokio::test]
async fn a_write_that_was_made_from_the_temporary_key_is_made_again() {
    let server = Server::default();
    let disk = OpenStore::open(Box::new(Memory::new()), &opening()).await.unwrap();
    let (store, faults) = Faulty::over(&disk, 0);
    let repo = builder(&server).store(store).paused().build().await.unwrap();
    let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap();
    let ada = member(&repo, "Ada", Some(blue.number)).await;
    let held = faults.gates.hold(|call| call.queues("Member"));
    let writer = tokio::spawn({
        let repo = repo.clone();
        async move { repo.upsert(&ada).await.unwrap().into_row() }
    });
    held.there.notified().await;
    // She is about to be stored, and her team gets its key.
    repo.outbox().resume();
    let given = blue.accepted().await.unwrap().number;
    held.go.notify_one();
    let ada = writer.await.unwrap();
    assert_eq!(ada.team, Some(One::to(given)));
    settled(&repo).await;
    at_peace(&repo, &server).await;
}

fn opening() -> Opening {
    let schemas: [&'static Schema; 4] = [Team::schema(), Member::schema(), Task::schema(), Seat::schema()];
    Opening { runtime: Arc::new(TokioRuntime::current().unwrap()), schemas: schemas.into() }
}

// Rules: m-key-server-refs
#[tokio::test]
async fn a_temporary_key_of_no_row_is_refused() {
    let server = Server::default();
    let repo = memory(&server).await;
    let nobody = repo.new_key(Team::NUMBER).await.unwrap();
    let refused = repo.upsert(&member(&repo, "Ada", Some(nobody)).await).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    let mut own = team(&repo, "blue", None).await;
    own.parent = Some(One::to(own.number));
    let refused = repo.upsert(&own).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert!(local::<Team>(&repo).await.is_empty() && local::<Member>(&repo).await.is_empty());
    // One that is there already goes, for the key comes first.
    server.offline(true);
    let blue = repo.upsert(&Team { parent: None, ..own }).await.unwrap();
    let _ = repo.update(blue.row(), |blue| blue.parent = Some(One::to(blue.number))).await.unwrap();
    server.offline(false);
    settled(&repo).await;
    at_peace(&repo, &server).await;
    assert_eq!(local::<Team>(&repo).await[0].parent, Some(One::to(17)));
    let query = Query::key(Key::from(17));
    assert_eq!(
        server.inner().get(&larder::core::Context::new(), Team::schema(), &query).await.unwrap().rows.len(),
        1
    );
}
